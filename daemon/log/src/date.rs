//! Dates as log4j writes them: by the names of formats, by Java's letters, or by those of strftime(3).

use std::time::{SystemTime, UNIX_EPOCH};

use tz::{DateTime, TimeZone, UtcDateTime};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// log4j's default.
pub const ISO8601: &str = "yyyy-MM-dd HH:mm:ss,SSS";

/// Where on earth it is that time. Read once: a change of the machine's zone needs a restart, as with any C program.
#[derive(Clone, Debug)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// That of the machine; UTC if it has none.
    pub fn local() -> Self {
        Self(TimeZone::local().ok())
    }

    /// By name; that of the machine if there is none of that name.
    pub fn named(name: &str) -> Self {
        match name {
            "GMT" | "UTC" | "Z" => Self(None),
            _ => TimeZone::from_posix_tz(name).map_or_else(|_| Self::local(), |zone| Self(Some(zone))),
        }
    }
}

/// A pattern of a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Java's letter, and how often.
    Field(char, usize),
}

impl Format {
    pub fn read(pattern: &str) -> Self {
        Self(match pattern {
            "" | "ISO8601" => java(ISO8601),
            "ABSOLUTE" => java("HH:mm:ss,SSS"),
            "DATE" => java("dd MMM yyyy HH:mm:ss,SSS"),
            // COMPAT(log4cxx): a percent sign tells strftime(3) from Java.
            _ if pattern.contains('%') => strftime(pattern),
            _ => java(pattern),
        })
    }

    pub fn write(&self, time: SystemTime, zone: &Zone) -> String {
        let mut text = String::new();
        let Some(date) = date(time, zone) else { return text };
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field(letter, count) => text.push_str(&field(&date, *letter, *count)),
            }
        }
        text
    }
}

fn date(time: SystemTime, Zone(zone): &Zone) -> Option<DateTime> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let utc = UtcDateTime::from_timespec(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()).ok()?;
    let zone = zone.as_ref().map_or(TimeZone::utc(), Clone::clone);
    utc.project(zone.as_ref()).or_else(|_| utc.project(TimeZone::utc().as_ref())).ok()
}

fn java(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            // Two quotes are one; else text up to the next.
            let mut text = String::new();
            if chars.next_if_eq(&'\'').is_some() {
                text.push('\'');
            } else {
                text.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            parts.push(Part::Text(text));
        } else if c.is_ascii_alphabetic() {
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            parts.push(Part::Field(c, count));
        } else {
            parts.push(Part::Text(c.to_string()));
        }
    }
    parts
}

fn strftime(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            parts.push(Part::Text(c.to_string()));
            continue;
        }
        match chars.next() {
            Some('Y') => parts.push(Part::Field('y', 4)),
            Some('y') => parts.push(Part::Field('y', 2)),
            Some('m') => parts.push(Part::Field('M', 2)),
            Some('b' | 'h') => parts.push(Part::Field('M', 3)),
            Some('B') => parts.push(Part::Field('M', 4)),
            Some('d') => parts.push(Part::Field('d', 2)),
            Some('j') => parts.push(Part::Field('D', 3)),
            Some('H') => parts.push(Part::Field('H', 2)),
            Some('I') => parts.push(Part::Field('h', 2)),
            Some('p') => parts.push(Part::Field('a', 1)),
            Some('M') => parts.push(Part::Field('m', 2)),
            Some('S') => parts.push(Part::Field('s', 2)),
            Some('a') => parts.push(Part::Field('E', 3)),
            Some('A') => parts.push(Part::Field('E', 4)),
            Some('z') => parts.push(Part::Field('Z', 1)),
            Some('Z') => parts.push(Part::Field('z', 1)),
            Some('F') => parts.extend(java("yyyy-MM-dd")),
            Some('T') => parts.extend(java("HH:mm:ss")),
            Some('%') => parts.push(Part::Text("%".to_owned())),
            Some(other) => parts.push(Part::Text(format!("%{other}"))),
            None => parts.push(Part::Text("%".to_owned())),
        }
    }
    parts
}

fn field(date: &DateTime, letter: char, count: usize) -> String {
    let number = |value: i64| format!("{value:0count$}");
    let hour = i64::from(date.hour());
    match letter {
        'y' if count == 2 => format!("{:02}", date.year().rem_euclid(100)),
        'y' => number(i64::from(date.year())),
        'M' if count > 2 => name(&MONTHS, usize::from(date.month()).saturating_sub(1), count),
        'M' => number(i64::from(date.month())),
        'd' => number(i64::from(date.month_day())),
        'D' => number(i64::from(date.year_day()) + 1),
        'E' => name(&DAYS, usize::from(date.week_day()), count),
        'H' => number(hour),
        'k' => number(if hour == 0 { 24 } else { hour }),
        'K' => number(hour % 12),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }),
        'a' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        'm' => number(i64::from(date.minute())),
        's' => number(i64::from(date.second())),
        'S' => number(i64::from(date.nanoseconds()) / 1_000_000),
        'z' => date.local_time_type().time_zone_designation().to_owned(),
        'Z' => {
            let offset = date.local_time_type().ut_offset();
            let minutes = offset.abs() / 60;
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        // What Java does not know, we do not know better.
        other => other.to_string().repeat(count),
    }
}

fn name(names: &[&str], index: usize, count: usize) -> String {
    let name = names.get(index).copied().unwrap_or_default();
    name.get(..if count > 3 { name.len() } else { 3 }).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(pattern: &str, zone: &str) -> String {
        // 2026-11-08T19:04:05.006Z, a Sunday.
        let time = UNIX_EPOCH + Duration::from_millis(1_794_164_645_006);
        Format::read(pattern).write(time, &Zone::named(zone))
    }

    #[test]
    fn the_formats_of_log4j() {
        for (pattern, expected) in [
            ("", "2026-11-08 19:04:05,006"),
            ("ISO8601", "2026-11-08 19:04:05,006"),
            ("ABSOLUTE", "19:04:05,006"),
            ("DATE", "08 Nov 2026 19:04:05,006"),
            ("'.'yyyy-MM-dd-HH", ".2026-11-08-19"),
            ("EEE, d MMMM yy h:mm a 'o''clock'", "Sun, 8 November 26 7:04 PM oclock"),
            ("%Y/%m/%d %H:%M:%S %%", "2026/11/08 19:04:05 %"),
            ("D Z", "312 +0000"),
        ] {
            assert_eq!(written(pattern, "UTC"), expected, "{pattern}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_place() {
        assert_eq!(written("HH:mm Z", "CET-1CEST,M3.5.0,M10.5.0/3"), "20:04 +0100");
        assert_eq!(written("yyyy-MM-dd HH:mm", "EST5"), "2026-11-08 14:04");
    }
}
