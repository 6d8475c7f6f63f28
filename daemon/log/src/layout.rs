//! What a line looks like: log4j's layouts.

use std::process;
use std::time::SystemTime;

use crate::date::{Format, Zone};
use crate::{Record, one_line};

/// What log4cxx writes when nothing else is said, and Spectrum 2 on the console.
pub const DEFAULT: &str = "%d %-5p %c: %m%n";

/// A pattern of a line.
#[derive(Debug)]
pub struct Layout {
    parts: Vec<Part>,
    start: SystemTime,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Field(Field, Width),
}

#[derive(Debug)]
enum Field {
    Date(Format, Zone),
    Level,
    /// This many of the last parts of its name; 0 for all.
    Logger(usize),
    Message,
    NewLine,
    Thread,
    /// Milliseconds since the start.
    Elapsed,
    /// A named value of the message.
    Value(String),
    /// All of them.
    Values,
    /// A place in the source, which Spectrum 2 has and we have not.
    Unknown,
}

/// At least so wide, at most so wide.
#[derive(Debug, Default, Clone, Copy)]
struct Width {
    left: bool,
    min: usize,
    max: Option<usize>,
}

/// No line needs wider columns.
const WIDEST: usize = 512;

impl Layout {
    /// Reads a pattern; gives with it what was not understood, which stays in the lines as it stands.
    pub fn read(pattern: &str) -> (Self, Vec<String>) {
        let (mut parts, mut problems) = (Vec::new(), Vec::new());
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('%') {
            parts.push(Part::Text(before.to_owned()));
            if let Some(behind) = after.strip_prefix('%') {
                parts.push(Part::Text("%".to_owned()));
                rest = behind;
                continue;
            }
            let (width, after) = width(after);
            let (word, behind) = word(after);
            let (options, behind) = options(behind);
            match field(word, &options) {
                Some(field) => parts.push(Part::Field(field, width)),
                None => {
                    problems.push(format!("%{word} is not known, so it stays in the lines as it is."));
                    parts.push(Part::Text(format!("%{word}")));
                }
            }
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        (Self { parts, start: SystemTime::now() }, problems)
    }

    /// A line for a message.
    pub fn write(&self, record: &Record) -> String {
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field, width) => line.push_str(&width.applied(self.value(field, record))),
            }
        }
        line
    }

    fn value(&self, field: &Field, record: &Record) -> String {
        match field {
            Field::Date(format, zone) => format.write(record.time, zone),
            Field::Level => record.level.to_string(),
            Field::Logger(0) => record.logger.clone(),
            Field::Logger(count) => {
                let skipped = record.logger.split('.').count().saturating_sub(*count);
                record.logger.split('.').skip(skipped).collect::<Vec<_>>().join(".")
            }
            Field::Message => record.message.clone(),
            Field::NewLine => "\n".to_owned(),
            Field::Thread => process::id().to_string(),
            Field::Elapsed => {
                record.time.duration_since(self.start).unwrap_or_default().as_millis().to_string()
            }
            Field::Value(name) => record
                .fields
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| one_line(value))
                .unwrap_or_default(),
            Field::Values => {
                let pairs =
                    record.fields.iter().map(|(name, value)| format!("{{{name},{}}}", one_line(value)));
                pairs.collect::<Vec<_>>().join(",")
            }
            Field::Unknown => "?".to_owned(),
        }
    }
}

impl Width {
    fn applied(self, text: String) -> String {
        let count = text.chars().count();
        let cut = self.max.map_or(0, |max| count.saturating_sub(max));
        // log4j keeps the end.
        let text = if cut > 0 { text.chars().skip(cut).collect() } else { text };
        let min = self.min;
        if self.left { format!("{text:<min$}") } else { format!("{text:>min$}") }
    }
}

/// `-20.30`: what is in front of the letter.
fn width(text: &str) -> (Width, &str) {
    let (left, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (min, text) = digits(text);
    let (max, text) = match text.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => (None, text),
    };
    (Width { left, min: min.unwrap_or_default(), max }, text)
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let number = (!digits.is_empty()).then(|| digits.parse().unwrap_or(WIDEST).min(WIDEST));
    (number, rest)
}

/// The longest name that begins the text, or its first letter.
fn word(text: &str) -> (&str, &str) {
    const NAMES: [&str; 20] = [
        "date",
        "level",
        "logger",
        "class",
        "message",
        "thread",
        "relative",
        "properties",
        "throwable",
        "file",
        "line",
        "location",
        "method",
        "ndc",
        "mdc",
        "n",
        "d",
        "p",
        "c",
        "m",
    ];
    let length = NAMES
        .iter()
        .filter(|name| text.starts_with(**name))
        .map(|name| name.len())
        .max()
        .or_else(|| text.chars().next().map(char::len_utf8))
        .unwrap_or_default();
    text.split_at(length)
}

/// `{…}{…}` behind the letter.
fn options(mut text: &str) -> (Vec<&str>, &str) {
    let mut options = Vec::new();
    while let Some((option, rest)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        options.push(option);
        text = rest;
    }
    (options, text)
}

fn field(word: &str, options: &[&str]) -> Option<Field> {
    let first = options.first().copied().unwrap_or_default();
    Some(match word {
        "d" | "date" => {
            let zone = options.get(1).map_or_else(Zone::local, |name| Zone::named(name));
            Field::Date(Format::read(first), zone)
        }
        "p" | "level" => Field::Level,
        "c" | "logger" => Field::Logger(first.parse().unwrap_or_default()),
        "m" | "message" => Field::Message,
        "n" => Field::NewLine,
        "t" | "thread" => Field::Thread,
        "r" | "relative" => Field::Elapsed,
        "X" | "mdc" | "properties" if first.is_empty() => Field::Values,
        "X" | "mdc" | "properties" => Field::Value(first.to_owned()),
        "x" | "ndc" | "throwable" => Field::Value(String::new()),
        "C" | "class" | "F" | "file" | "L" | "line" | "l" | "location" | "M" | "method" => Field::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::Level;

    fn line(pattern: &str) -> String {
        let mut record = Record::now(Level::Info, "spectrum2.gateway.User", "logged in");
        record.time = UNIX_EPOCH + Duration::from_millis(1_794_164_645_006);
        record.fields.push(("user".to_owned(), "romeo@example.org".to_owned()));
        Layout::read(pattern).0.write(&record)
    }

    #[test]
    fn the_shipped_patterns() {
        let date = "2026-11-08 19:04:05,006";
        assert_eq!(
            line("%d{ISO8601}{GMT} %-5p %c: %m%n"),
            format!("{date} INFO  spectrum2.gateway.User: logged in\n")
        );
        assert!(line(DEFAULT).ends_with(" INFO  spectrum2.gateway.User: logged in\n"));
    }

    #[test]
    fn text_from_outside_begins_no_line() {
        let mut record = Record::now(Level::Info, "", "one\ntwo");
        record.fields.push(("reason".to_owned(), "away\nERROR forged".to_owned()));
        for pattern in ["%m", "%X", "%X{reason}"] {
            assert!(!Layout::read(pattern).0.write(&record).contains('\n'), "{pattern}");
        }
    }

    #[test]
    fn every_conversion() {
        for (pattern, expected) in [
            ("%c{1}", "User"),
            ("%logger{2}", "gateway.User"),
            ("[%7p]", "[   INFO]"),
            ("[%.4m]", "[d in]"),
            ("[%-12.20m]", "[logged in   ]"),
            ("%X{user}%x", "romeo@example.org"),
            ("%X", "{user,romeo@example.org}"),
            ("100%% %F:%L", "100% ?:?"),
            ("%level %message", "INFO logged in"),
            ("%99999999999999999999r", &format!("{:>512}", 0)),
        ] {
            assert_eq!(line(pattern), expected, "{pattern}");
        }
        assert_eq!(line("%t"), process::id().to_string());
    }

    #[test]
    fn what_is_not_known_is_said_and_stays() {
        let (layout, problems) = Layout::read("%q %m%");
        assert_eq!(layout.write(&Record::now(Level::Warn, "a", "b")), "%q b%");
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("%q "));
    }
}
