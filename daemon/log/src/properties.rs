//! Java's properties files, as far as log4j files go.

/// Keys and values, in the order of the file.
#[derive(Debug, Default)]
pub struct Properties(Vec<(String, String)>);

/// How deep a value may refer to others: one that refers to itself ends here.
const DEPTH: usize = 8;
/// Longest value after the replacement of `${…}`: values that double each other end here.
const LONGEST: usize = 8192;

impl Properties {
    /// Reads a file; there is nothing that is no properties file.
    pub fn read(text: &str) -> Self {
        let mut list: Vec<(String, String)> = Vec::new();
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim_start().to_owned();
            if line.starts_with(['#', '!']) {
                continue;
            }
            while is_continued(&line) {
                line.pop();
                line.push_str(lines.next().unwrap_or_default().trim_start());
            }
            let (key, value) = split(line.trim_end());
            if key.is_empty() {
                continue;
            }
            // The last one counts.
            list.retain(|(known, _)| *known != key);
            list.push((key, value));
        }
        Self(list)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// The value with each `${NAME}` replaced: by what `variable` says, else by the property of that name, else by nothing.
    pub fn expand(&self, value: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
        self.expand_to(value, variable, DEPTH)
    }

    fn expand_to(&self, value: &str, variable: &dyn Fn(&str) -> Option<String>, depth: usize) -> String {
        let mut expanded = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once("${")
            && let Some((name, behind)) = after.split_once('}')
            && expanded.len() < LONGEST
        {
            expanded.push_str(before);
            match (variable(name), self.get(name)) {
                (Some(text), _) => expanded.push_str(&text),
                (None, Some(text)) if depth > 0 => {
                    expanded.push_str(&self.expand_to(text, variable, depth - 1));
                }
                (None, _) => {}
            }
            rest = behind;
        }
        expanded.push_str(rest);
        expanded.truncate(expanded.floor_char_boundary(LONGEST));
        expanded
    }
}

/// An odd number of backslashes at the end: two of them are one that stands for itself.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value: between them a blank, `=` or `:`.
fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || c.is_whitespace());
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (unescaped(key), unescaped(value))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('t') => plain.push('\t'),
                Some(other) => plain.push(other),
                None => {}
            },
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_and_a_value_however_they_are_parted() {
        let properties = Properties::read(
            "# comment\n! another\n\n a = 1 \nb:2\nc 3\nd\ne=x=y\nf=one, \\\n   two\ng\\:h=a\\\\b\na=last\n\\",
        );
        for (key, value) in [
            ("a", "last"),
            ("b", "2"),
            ("c", "3"),
            ("d", ""),
            ("e", "x=y"),
            ("f", "one, two"),
            ("g:h", "a\\b"),
        ] {
            assert_eq!(properties.get(key), Some(value), "{key}");
        }
        assert_eq!(properties.keys().count(), 7);
    }

    #[test]
    fn values_refer_to_variables_and_to_each_other() {
        let properties = Properties::read("base=/var/log/${jid}\nloop=${loop}x\nbig=${base}${big}${big}\n");
        let variable = |name: &str| (name == "jid").then(|| "irc.example.org".to_owned());
        assert_eq!(properties.expand("${base}/a.log", &variable), "/var/log/irc.example.org/a.log");
        assert_eq!(properties.expand("a${nothing}b$c{d}", &variable), "ab$c{d}");
        assert_eq!(properties.expand("${unclosed", &variable), "${unclosed");
        assert!(properties.expand("${loop}", &variable).len() <= DEPTH + 1);
        assert!(properties.expand("${big}", &variable).len() <= LONGEST);
    }
}
