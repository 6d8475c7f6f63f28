//! log4j's filters: which messages an appender takes, beyond its threshold.

use crate::{Level, Record};

/// What a filter says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// The appender writes it.
    Accept,
    /// The next filter decides.
    Neutral,
    /// The appender does not write it.
    Deny,
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `LevelRangeFilter`: nothing else than these levels. Those are written at once (`accept`), or the next filter decides.
    Range { min: Level, max: Level, accept: bool },
    /// `LevelMatchFilter`: this level is written at once, or not at all.
    Match { level: Option<Level>, accept: bool },
    /// `StringMatchFilter`: the same for messages with this text in them.
    Text { text: String, accept: bool },
    /// `DenyAllFilter`: nothing that no filter before it wants.
    DenyAll,
}

impl Filter {
    fn decide(&self, record: &Record) -> Decision {
        let matched = |accept: bool| if accept { Decision::Accept } else { Decision::Deny };
        match self {
            Self::Range { min, max, .. } if !(min..=max).contains(&&record.level) => Decision::Deny,
            Self::Range { accept: true, .. } => Decision::Accept,
            Self::Range { accept: false, .. } => Decision::Neutral,
            Self::Match { level, accept } if *level == Some(record.level) => matched(*accept),
            Self::Text { text, accept } if !text.is_empty() && record.message.contains(text) => {
                matched(*accept)
            }
            Self::Match { .. } | Self::Text { .. } => Decision::Neutral,
            Self::DenyAll => Decision::Deny,
        }
    }
}

/// Whether a message passes these filters: the first that decides counts, and without one it passes.
pub fn pass(filters: &[Filter], record: &Record) -> bool {
    let decided = filters.iter().map(|filter| filter.decide(record)).find(|it| *it != Decision::Neutral);
    decided != Some(Decision::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [Level; 5] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error];

    fn passing(filters: &[Filter]) -> Vec<Level> {
        let passes = |level: &Level| pass(filters, &Record::now(*level, "a", "It rains"));
        LEVELS.into_iter().filter(passes).collect()
    }

    #[test]
    fn the_first_that_decides_counts() {
        use Level::{Debug, Error, Info, Trace, Warn};
        let range = |accept| Filter::Range { min: Info, max: Warn, accept };
        let only = |level, accept| Filter::Match { level: Some(level), accept };
        let text = |text: &str, accept| Filter::Text { text: text.to_owned(), accept };
        assert_eq!(passing(&[]), LEVELS);
        assert_eq!(passing(&[range(true), Filter::DenyAll]), [Info, Warn]);
        assert_eq!(passing(&[range(false), only(Warn, false)]), [Info]);
        assert_eq!(passing(&[range(false), Filter::DenyAll]), []);
        assert_eq!(passing(&[only(Debug, true), only(Error, true), Filter::DenyAll]), [Debug, Error]);
        assert_eq!(passing(&[only(Debug, false)]), [Trace, Info, Warn, Error]);
        assert_eq!(passing(&[text("rain", false)]), []);
        assert_eq!(passing(&[text("sun", false), text("", false)]), LEVELS);
        assert_eq!(passing(&[text("rain", true), Filter::DenyAll]), LEVELS);
    }
}
