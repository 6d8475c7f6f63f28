//! The grammar of transport files: lines to entries.
//!
//! Guarantees that nothing is lost silently: each line is an entry, a section header, blank, a comment, or a
//! problem. The rules are those of Spectrum 2 (boost::program_options), but for the comments: there a `#`
//! starts one wherever it stands, here only after a blank or at the start of a line, so that passwords and
//! channel names can hold it.
//!
//! The `ini` crate reads one line at a time, because given a whole file it keeps only the last of repeated keys
//! and no line numbers.

use ini::configparser::ini::Ini;

use crate::problem::Severity;
use crate::secret::Secret;

/// A `key = value` line that no option of the table matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Section and key, for example `service.prot`.
    pub name: String,
    /// The value; hidden, because the key may be a misspelt `password`.
    pub value: Secret,
    /// Line of the file, counted from 1; `None` for the command line.
    pub line: Option<usize>,
}

/// What one file says.
#[derive(Default)]
pub struct Syntax {
    pub lines: Vec<Line>,
    pub errors: Vec<LineProblem>,
}

/// A `key = value` line.
pub struct Line {
    /// Line of the file, counted from 1.
    pub number: usize,
    /// Section and key.
    pub name: String,
    pub value: String,
    /// The value that Spectrum 2 reads in this line, if it is another one.
    pub spectrum2: Option<String>,
}

/// A line that breaks the grammar. The text never repeats the line: it may hold a password.
pub struct LineProblem {
    pub number: usize,
    pub severity: Severity,
    pub text: &'static str,
}

/// Splits a file into its entries.
pub fn read(text: &str) -> Syntax {
    let mut lexer = lexer();
    let mut syntax = Syntax::default();
    let mut section = String::new();
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = index + 1;
        let mut problem = |severity, text| syntax.errors.push(LineProblem { number, severity, text });

        let line = without_comment(raw).trim();
        if line.is_empty() {
            continue;
        }
        if line.starts_with('[') && !line.ends_with(']') {
            problem(Severity::Error, "A section header ends with “]”. Write for example [service].");
            continue;
        }
        if line.starts_with('[') {
            section = header(&mut lexer, line);
            continue;
        }
        let Some((key, value)) = pair(&mut lexer, line) else {
            let text = if line.starts_with(';') {
                "“;” does not start a comment. Write “#” instead."
            } else {
                "This is neither “key = value” nor a [section]. Correct it, or put “#” in front."
            };
            problem(Severity::Error, text);
            continue;
        };
        if key.starts_with(';') {
            problem(
                Severity::Warning,
                "“;” does not start a comment, so this is an option. Write “#” instead.",
            );
            continue;
        }
        let spectrum2 = pair(&mut lexer, cut(raw)).map(|(_, value)| value).filter(|other| *other != value);
        let name = if section.is_empty() { key } else { format!("{section}.{key}") };
        syntax.lines.push(Line { number, name, value, spectrum2 });
    }
    syntax
}

/// A reader for single lines in which only `=` is special.
fn lexer() -> Ini {
    let mut lexer = Ini::new_cs();
    let mut rules = lexer.defaults();
    rules.delimiters = vec!['='];
    rules.comment_symbols = Vec::new();
    rules.enable_inline_comments = false;
    rules.multiline = false;
    lexer.load_defaults(rules);
    lexer
}

/// The name in a `[section]` line. A trailing dot is as good as none, and an empty name ends the section.
fn header(lexer: &mut Ini, line: &str) -> String {
    let sections = lexer.read(line.to_owned()).unwrap_or_default();
    let name = sections.into_keys().next().unwrap_or_default();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

/// The two halves of a `key = value` line.
fn pair(lexer: &mut Ini, line: &str) -> Option<(String, String)> {
    let sections = lexer.read(line.to_owned()).ok()?;
    let (key, value) = sections.into_values().next()?.into_iter().next()?;
    Some((key, value?))
}

/// The line up to a `#` at its start or after a blank.
fn without_comment(line: &str) -> &str {
    let comment = line.char_indices().find(|&(at, c)| {
        c == '#'
            && line.get(..at).is_none_or(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

/// The line as Spectrum 2 sees it: up to the first `#`, wherever it is.
fn cut(line: &str) -> &str {
    line.split_once('#').map_or(line, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(text: &str) -> Vec<(usize, String, String)> {
        let syntax = read(text);
        assert!(syntax.errors.is_empty(), "{:?}", syntax.errors.iter().map(|e| e.text).collect::<Vec<_>>());
        syntax.lines.into_iter().map(|line| (line.number, line.name, line.value)).collect()
    }

    fn entry(line: &str) -> (String, String) {
        let mut entries = entries(line);
        assert_eq!(entries.len(), 1, "{line}");
        let (_, name, value) = entries.remove(0);
        (name, value)
    }

    fn problem(text: &str) -> (usize, Severity, &'static str) {
        let errors = read(text).errors;
        assert_eq!(errors.len(), 1, "{text}");
        (errors[0].number, errors[0].severity, errors[0].text)
    }

    fn pair_of(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn keys_belong_to_the_section_above_them() {
        let text = "[service]\njid = a\n\n[database]\ntype=none\n[service]\nport=1\n";
        assert_eq!(
            entries(text),
            [
                (2, "service.jid".into(), "a".into()),
                (5, "database.type".into(), "none".into()),
                (7, "service.port".into(), "1".into())
            ]
        );
    }

    #[test]
    fn keys_may_be_written_in_full_before_any_section() {
        assert_eq!(entry("service.jid = x"), pair_of("service.jid", "x"));
        assert_eq!(entry("[service.]\njid = x"), pair_of("service.jid", "x"));
        assert_eq!(entry("[service]\n[]\nservice.jid = x"), pair_of("service.jid", "x"));
        assert_eq!(entry("[default]\njid = x"), pair_of("default.jid", "x"));
    }

    #[test]
    fn a_blank_and_a_hash_end_a_value() {
        assert_eq!(entry("type=sqlite3 # or \"none\""), pair_of("type", "sqlite3"));
        assert_eq!(entry("type=sqlite3\t#none"), pair_of("type", "sqlite3"));
        assert_eq!(entry("password = se#cret"), pair_of("password", "se#cret"));
        assert_eq!(entry("channel=#spectrum # ours"), pair_of("channel", "#spectrum"));
        assert_eq!(entry("channel= #spectrum"), pair_of("channel", ""));
        assert_eq!(entry("# comment\n  # indented = comment\n[a] # here too\nb=c"), pair_of("a.b", "c"));
    }

    #[test]
    fn knows_what_spectrum_2_would_have_read() {
        let line = |text| read(text).lines.remove(0).spectrum2;
        assert_eq!(line("password = se#cret"), Some("se".into()));
        assert_eq!(line("channel=#spectrum"), Some(String::new()));
        assert_eq!(line("type = sqlite3 # or none"), None);
    }

    #[test]
    fn only_the_first_equals_sign_separates() {
        assert_eq!(entry("a = b = c : d"), pair_of("a", "b = c : d"));
        assert_eq!(entry("a:b = c"), pair_of("a:b", "c"));
        assert_eq!(entry("a ="), pair_of("a", ""));
    }

    #[test]
    fn values_are_neither_unquoted_nor_unescaped() {
        assert_eq!(entry(r#"a = "b c""#), pair_of("a", r#""b c""#));
        assert_eq!(entry(r"a = C:\dir\"), pair_of("a", r"C:\dir\"));
        assert_eq!(entry("a = b ; c"), pair_of("a", "b ; c"));
        assert_eq!(entry("a = [b]"), pair_of("a", "[b]"));
    }

    #[test]
    fn windows_line_ends_and_byte_order_marks_are_no_part_of_the_text() {
        assert_eq!(entry("\u{feff}[service]\r\njid = x\r\n"), pair_of("service.jid", "x"));
    }

    #[test]
    fn letter_case_and_inner_blanks_are_kept() {
        assert_eq!(entry("[My Section]\nA Key = A Value"), pair_of("My Section.A Key", "A Value"));
    }

    #[test]
    fn broken_lines_are_named() {
        let (line, severity, text) = problem("[service]\njid = x\njunk\n");
        assert_eq!((line, severity), (3, Severity::Error));
        assert!(text.starts_with("This is neither"), "{text}");
        assert_eq!(problem("[service\n").1, Severity::Error);
        assert_eq!(problem("[service] junk\n").1, Severity::Error);
        assert_eq!(problem("= value\n").1, Severity::Error);
        assert_eq!(problem("; comment\n").1, Severity::Error);
        assert_eq!(problem("; old = value\n").1, Severity::Warning);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(?s).{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn any_value_survives(value in "[^\n\r]{0,60}") {
            let value = value.trim();
            prop_assume!(without_comment(&format!("={value}")).len() == value.len() + 1);
            prop_assert_eq!(entry(&format!("[a]\nb={value}\n")), pair_of("a.b", value));
        }
    }
}
