//! `service.backend` as a command: split into words as a shell would, without variables and wildcards.

/// Splits a command at blanks; quotes and backslashes keep blanks inside a word.
///
/// # Errors
/// A quote that is not closed, or a backslash at the end.
pub fn split(command: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            quote @ ('"' | '\'') => quoted(&mut characters, quote, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(characters.next().ok_or("it ends with a backslash")?),
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Appends what stands before the closing quote. Within double quotes a backslash keeps the quote and itself.
fn quoted(characters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a quote is not closed";
    loop {
        match characters.next().ok_or(OPEN)? {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = characters.next().ok_or(OPEN)?;
                if !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<String> {
        split(command).unwrap()
    }

    #[test]
    fn blanks_separate_and_quotes_keep() {
        assert_eq!(words("/usr/bin/python3  /opt/a.py\t-x"), ["/usr/bin/python3", "/opt/a.py", "-x"]);
        assert_eq!(
            words(r#""/opt/my backend" 'a "b"' c\ d "" e"f"'g'"#),
            ["/opt/my backend", "a \"b\"", "c d", "", "efg"]
        );
        assert_eq!(words(r#""a\"b\\c\d" '\'"#), [r#"a"b\c\d"#, r"\"]);
        assert!(words("  ").is_empty());
    }

    #[test]
    fn what_is_left_open_is_an_error() {
        assert!(split("'a").is_err());
        assert!(split(r#""a\"#).is_err());
        assert!(split(r"a\").is_err());
    }

    #[test]
    fn variables_and_wildcards_are_plain_text() {
        assert_eq!(words("$HOME/* ~"), ["$HOME/*", "~"]);
    }
}
