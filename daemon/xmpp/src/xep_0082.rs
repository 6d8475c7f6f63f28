//! XEP-0082: XMPP Date and Time Profiles. Legacy backends write XEP-0091's older form.

/// Seconds in a day.
const DAY: u64 = 86_400;

/// `YYYYMMDDTHHMMSS`, as backends send it, in the form `YYYY-MM-DDTHH:MM:SSZ`. None if it is not a date and time.
pub fn from_legacy(stamp: &str) -> Option<String> {
    let (date, time) = stamp.split_once('T')?;
    if date.len() != 8 || time.len() != 6 || !stamp.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T')
    {
        return None;
    }
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let days = days_in(year.parse().ok()?, month.parse().ok()?)?;
    let in_range = |text: &str, range: std::ops::RangeInclusive<u32>| {
        text.parse().is_ok_and(|number: u32| range.contains(&number))
    };
    // A leap second is 60.
    let valid = in_range(day, 1..=days)
        && in_range(hour, 0..=23)
        && in_range(minute, 0..=59)
        && in_range(second, 0..=60);
    valid.then(|| format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// Seconds since 1970 in the form `YYYY-MM-DDTHH:MM:SSZ`.
pub fn from_unix(seconds: u64) -> String {
    let (mut days, second) = (seconds / DAY, seconds % DAY);
    // 146,097 days are 400 years, after which the calendar repeats.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while let Some(length) = days_in(year, month).map(u64::from).filter(|length| days >= *length) {
        days -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{:02}Z", days + 1, second % 60)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in(year: u64, month: u32) -> Option<u32> {
    match month {
        2 if is_leap(year) => Some(29),
        2 => Some(28),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_stamps() {
        assert_eq!(from_legacy("20261121T222412").as_deref(), Some("2026-11-21T22:24:12Z"));
        assert_eq!(from_legacy("20240229T000000").as_deref(), Some("2024-02-29T00:00:00Z"));
        assert_eq!(from_legacy("20161231T235960").as_deref(), Some("2016-12-31T23:59:60Z"));
    }

    #[test]
    fn what_is_no_stamp() {
        for stamp in [
            "",
            "T",
            "20261121",
            "20261121T2224",
            "20261121T222412Z",
            "20231301T000000",
            "20230229T000000",
            "20230100T000000",
            "20230101T240000",
            "20230101T006000",
            "20230101T000061",
            "+2230101T000000",
            "2023010éT00000",
            "20230101T00T000",
        ] {
            assert_eq!(from_legacy(stamp), None, "{stamp}");
        }
    }

    #[test]
    fn unix_seconds() {
        assert_eq!(from_unix(0), "1970-01-01T00:00:00Z");
        assert_eq!(from_unix(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(from_unix(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(from_unix(4_102_444_800), "2100-01-01T00:00:00Z");
        assert_eq!(from_unix(1_795_300_000), "2026-11-21T22:26:40Z");
        assert!(from_unix(u64::MAX).ends_with('Z'));
    }
}
