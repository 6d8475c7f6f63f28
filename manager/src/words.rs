//! Numbers for people.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// A time span in its largest unit: `12 s`, `5 min`, `3 h`, `4 d`.
#[must_use]
pub fn span(microseconds: u64) -> String {
    let seconds = microseconds / 1_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Time since a moment, both in µs since 1970.
#[must_use]
pub fn since(moment: u64, now: u64) -> String {
    if moment == 0 { String::new() } else { span(now.saturating_sub(moment)) }
}

/// Time until a moment, both in µs since 1970.
#[must_use]
pub fn until(moment: u64, now: u64) -> String {
    match moment {
        0 => String::new(),
        moment if moment <= now => "now".to_owned(),
        moment => format!("in {}", span(moment - now)),
    }
}

/// Bytes: `900 KiB`, `38 MiB`, `1.2 GiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        0..MIB => format!("{} KiB", bytes / KIB),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}

/// `1 user`, `2 users`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let seconds = |seconds: u64| span(seconds * 1_000_000);
        assert_eq!(seconds(59), "59 s");
        assert_eq!(seconds(60), "1 min");
        assert_eq!(seconds(7_199), "1 h");
        assert_eq!(seconds(200_000), "2 d");
    }

    #[test]
    fn moments_lie_before_or_after() {
        assert_eq!(since(0, 5), "");
        assert_eq!(since(9_000_000, 5), "0 s");
        assert_eq!(until(0, 5), "");
        assert_eq!(until(5, 9), "now");
        assert_eq!(until(3_000_001, 1), "in 3 s");
    }

    #[test]
    fn sizes_have_two_or_three_digits() {
        assert_eq!(bytes(900 << 10), "900 KiB");
        assert_eq!(bytes(38 << 20), "38 MiB");
        assert_eq!(bytes((1 << 30) + (1 << 28)), "1.2 GiB");
    }
}
