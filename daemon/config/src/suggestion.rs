//! "Did you mean …?" for option names.

use crate::option::OptionInfo;
use crate::table::OPTIONS;

/// Longer names are no typing errors, and comparing them would take long.
const LONGEST: usize = 64;

/// The option that was most likely meant by an unknown name.
pub fn closest(name: &str) -> Option<&'static OptionInfo> {
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    let key = lower.rsplit('.').next().unwrap_or_default();
    // A key of ten letters may have two wrong ones; one of three letters none.
    let tolerance = (key.chars().count() / 4 + 1).min(3);
    OPTIONS
        .iter()
        // Spares most comparisons: the distance is never less than the difference in length.
        .filter(|option| option.name.len().abs_diff(lower.len()) <= tolerance)
        .map(|option| (distance(&lower, &option.name.to_lowercase()), option))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, option)| option)
        .or_else(|| OPTIONS.iter().find(|option| option.key.to_lowercase() == key))
}

/// How many letters must be added, removed, changed or swapped with their neighbour to get from one word to the
/// other (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, from_char) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut left_char = None;
        for (column, &to_char) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&above, column) + usize::from(from_char != to_char))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            if previous == Some(to_char) && left_char == Some(from_char) {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
            left_char = Some(to_char);
        }
        before = std::mem::replace(&mut above, current);
        previous = Some(from_char);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(name: &str) -> Option<&'static str> {
        closest(name).map(|option| option.name)
    }

    #[test]
    fn finds_typing_errors() {
        assert_eq!(suggestion("service.prot"), Some("service.port"));
        assert_eq!(suggestion("service.pasword"), Some("service.password"));
        assert_eq!(suggestion("service.user_per_backends"), Some("service.users_per_backend"));
        assert_eq!(suggestion("servise.jid"), Some("service.jid"));
        assert_eq!(suggestion("registration.need_password"), Some("registration.needPassword"));
    }

    #[test]
    fn finds_wrong_letter_case_and_wrong_sections() {
        assert_eq!(suggestion("Service.JID"), Some("service.jid"));
        assert_eq!(suggestion("jid"), Some("service.jid"));
        assert_eq!(suggestion("service.encryption_key"), Some("database.encryption_key"));
    }

    #[test]
    fn stays_silent_about_what_is_like_nothing() {
        assert_eq!(suggestion("service.frobnicate"), None);
        assert_eq!(suggestion(&"service.port".repeat(100)), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("port", "prot"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
