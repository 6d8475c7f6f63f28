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

/// Milliseconds since 1970 in the form `YYYY-MM-DDTHH:MM:SS.sssZ`, or without fraction where that is nothing.
pub fn from_unix_ms(milliseconds: u64) -> String {
    let whole = from_unix(milliseconds / 1_000);
    match milliseconds % 1_000 {
        0 => whole,
        fraction => format!("{}.{fraction:03}Z", whole.trim_end_matches('Z')),
    }
}

/// Milliseconds since 1970 of a `DateTime` (§3.2): with or without fractions of a second, in any time zone. None if it
/// is none, or lies before 1970.
pub fn to_unix_ms(stamp: &str) -> Option<u64> {
    let (date, rest) = stamp.trim().split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if !(1..=u64::from(days_in(year, u32::try_from(month).ok()?)?)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
        || fraction.is_empty()
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let days_of_years: u64 = (1970..year).map(days_in_year).sum();
    let days_of_months: u64 =
        (1..month).filter_map(|month| days_in(year, u32::try_from(month).ok()?)).map(u64::from).sum();
    let days = days_of_years + days_of_months + day - 1;
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let local = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + thousandths;
    match zone.split_at(1) {
        _ if year < 1970 => None,
        ("Z", "") => Some(local),
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            let offset = (hours * 60 + minutes) * 60_000;
            // East of Greenwich the clock is ahead.
            if sign == "+" { local.checked_sub(offset) } else { local.checked_add(offset) }
        }
    }
}

/// Numbers of these lengths, with this sign between.
fn numbers<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(between);
    let mut all = [0; N];
    for (number, length) in all.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == length)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(all)
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
    fn stamps_in_any_form() {
        for (stamp, milliseconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T22:26:40Z", 1_795_300_000_000),
            ("2026-11-21T22:26:40.5Z", 1_795_300_000_500),
            ("2026-11-21T22:26:40.123456Z", 1_795_300_000_123),
            ("2026-11-21T23:56:40+01:30", 1_795_300_000_000),
            ("2026-11-21T17:26:40-05:00", 1_795_300_000_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
        ] {
            assert_eq!(to_unix_ms(stamp), Some(milliseconds), "{stamp}");
        }
        for stamp in [
            "",
            "T",
            "2026-11-21",
            "2026-11-21T22:26:40",
            "2026-11-21T22:26Z",
            "2026-11-31T22:26:40Z",
            "2026-13-21T22:26:40Z",
            "2026-11-21T24:26:40Z",
            "2026-11-21T22:26:40.Z",
            "2026-11-21T22:26:40Zulu",
            "2026-11-21T22:26:40+1:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "+026-11-21T22:26:40Z",
            "２０２６-11-21T22:26:40Z",
        ] {
            assert_eq!(to_unix_ms(stamp), None, "{stamp}");
        }
        for milliseconds in [0, 1, 999, 951_868_799_999, 1_795_300_000_123, 4_102_444_800_000] {
            assert_eq!(to_unix_ms(&from_unix_ms(milliseconds)), Some(milliseconds));
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
