//! The options as `spectrum2 --help` shows them.

use crate::option::{Kind, OptionInfo};
use crate::table::{OPTIONS, SECTIONS};

/// Columns of a line.
const WIDTH: usize = 90;

/// All options, grouped by section: how to give each on the command line, its default, and its meaning.
#[must_use]
pub fn help_text() -> String {
    let mut text = String::new();
    for (section, about) in SECTIONS {
        text.push_str(&format!("[{section}]  "));
        text.push_str(wrap(about, "    ").trim_start());
        for option in OPTIONS.iter().filter(|option| option.section == *section) {
            text.push('\n');
            text.push_str(&describe(option));
        }
        text.push('\n');
    }
    text
}

fn describe(option: &OptionInfo) -> String {
    let value = placeholder(option.kind);
    let note = match option.kind {
        Kind::Integer { min, max } => format!("{min} to {max}, default {}", option.default),
        Kind::List => "may be repeated".to_owned(),
        _ if option.default.is_empty() => String::new(),
        _ => format!("default {}", option.default),
    };
    let note = if note.is_empty() { note } else { format!("  ({note})") };
    format!("  --{}={value}{note}\n{}", option.name, wrap(option.meaning, "      "))
}

/// What stands for the value of an option.
pub(crate) fn placeholder(kind: Kind) -> String {
    match kind {
        Kind::Text => "TEXT".to_owned(),
        Kind::Path => "PATH".to_owned(),
        Kind::Secret => "SECRET".to_owned(),
        Kind::Integer { .. } => "NUMBER".to_owned(),
        Kind::Boolean => "0|1".to_owned(),
        Kind::Choice(words) => words.join("|"),
        Kind::List => "VALUE".to_owned(),
    }
}

/// Breaks a text at blanks into lines of [`WIDTH`] columns, each with the indent in front and a newline at the end.
fn wrap(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = indent.to_owned();
    for word in text.split_whitespace() {
        if line.len() > indent.len() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push_str(&line);
                lines.push('\n');
                line = indent.to_owned();
            } else {
                line.push(' ');
            }
        }
        line.push_str(word);
    }
    lines.push_str(&line);
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_option() {
        let help = help_text();
        for option in OPTIONS {
            assert!(help.contains(&format!("  --{}=", option.name)), "{}", option.name);
        }
    }

    #[test]
    fn fits_on_the_screen() {
        for line in help_text().lines() {
            assert!(line.chars().count() <= 100, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn breaks_lines_at_blanks() {
        let text = "word ".repeat(40);
        let wrapped = wrap(&text, "  ");
        assert_eq!(wrapped.lines().count(), 3);
        assert_eq!(wrapped.split_whitespace().count(), 40);
    }
}
