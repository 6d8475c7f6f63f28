//! XEP-0106: JID Escaping, and how Spectrum 2 makes JIDs of names on the legacy network.

use std::borrow::Cow;

use jid::{NodePart, NodeRef};

/// XEP-0106 §2, Table 1: what may not stand in a localpart, and what stands for it.
const ESCAPES: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

/// Escapes `text` for a localpart. A backslash is escaped only where it would be read as the start of an escape.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        // XEP-0106 §4.2; ignoring case, because nodeprep would turn `\2F` into an escape.
        let literal =
            c == '\\' && !text.get(at..at + 3).is_some_and(|three| is_escape(&three.to_ascii_lowercase()));
        match ESCAPES.iter().find(|(special, _)| *special == c) {
            Some((_, escape)) if !literal => escaped.push_str(escape),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Undoes [`escape`]. Text without escapes comes back as it is.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, from_backslash) = rest.split_at(at);
        plain.push_str(before);
        let escape =
            from_backslash.get(..3).and_then(|three| ESCAPES.iter().find(|(_, escape)| *escape == three));
        let taken = match escape {
            Some((c, escape)) => {
                plain.push(*c);
                escape.len()
            }
            None => {
                plain.push('\\');
                1
            }
        };
        rest = from_backslash.get(taken..).unwrap_or_default();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn is_escape(three: &str) -> bool {
    ESCAPES.iter().any(|(_, escape)| *escape == three)
}

/// The localpart for a name on the legacy network.
///
/// With `escaping`, XEP-0106; without, Spectrum 2's older form, in which the last `@` becomes `%`. None if no JID can
/// say the name: if it is empty, too long, or has characters that nodeprep (RFC 3920) refuses, such as emoji. Nodeprep
/// also folds: capitals come back in lower case, so look names up without regard to case.
pub fn legacy_name_to_node(name: &str, escaping: bool) -> Option<NodePart> {
    let node: Cow<'_, str> = if escaping {
        escape(name).into()
    } else {
        match name.rsplit_once('@') {
            Some((user, host)) => format!("{user}%{host}").into(),
            None => name.into(),
        }
    };
    let node: Cow<'_, NodeRef> = NodePart::new(&node).ok()?;
    Some(node.into_owned())
}

/// The name on the legacy network for a localpart, in whichever of the two forms it is.
pub fn node_to_legacy_name(node: &str) -> String {
    let name = unescape(node);
    if name != node {
        return name.into_owned();
    }
    match node.rsplit_once('%') {
        Some((user, host)) => format!("{user}@{host}"),
        None => node.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, escaping: bool) -> Option<String> {
        legacy_name_to_node(name, escaping).map(|node| node.to_string())
    }

    #[test]
    fn the_examples_of_the_xep() {
        // XEP-0106 §3, Table 2, and §5.
        for (plain, escaped) in [
            ("space cadet", r"space\20cadet"),
            ("call me \"ishmael\"", r"call\20me\20\22ishmael\22"),
            ("at&t guy", r"at\26t\20guy"),
            ("d'artagnan", r"d\27artagnan"),
            ("/.fanboy", r"\2f.fanboy"),
            ("::foo::", r"\3a\3afoo\3a\3a"),
            ("<foo>", r"\3cfoo\3e"),
            ("user@host", r"user\40host"),
            (r"c:\net", r"c\3a\net"),
            (r"c:\\net", r"c\3a\\net"),
            (r"c:\cool stuff", r"c\3a\cool\20stuff"),
            (r"c:\5commas", r"c\3a\5c5commas"),
            (r"\3and\2is\5cool", r"\5c3and\2is\5c5cool"),
        ] {
            assert_eq!(escape(plain), escaped);
            assert_eq!(unescape(escaped), plain);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [r"\", r"a\", r"\2", r"\2x", r"\2F", r"\é", r"\\"] {
            assert_eq!(unescape(text), text);
        }
        assert_eq!(escape(r"\2F"), r"\5c2F", "or nodeprep would make a slash of it");
        assert_eq!(unescape(r"\5c5c20"), r"\5c20", "one level only");
    }

    #[test]
    fn names_become_nodes() {
        assert_eq!(node("romeo@example.net", true).as_deref(), Some(r"romeo\40example.net"));
        assert_eq!(node("romeo@example.net", false).as_deref(), Some("romeo%example.net"));
        assert_eq!(node("a@b@c", false), None, "only the last one is replaced");
        assert_eq!(node("19:abc@thread.skype", true).as_deref(), Some(r"19\3aabc\40thread.skype"));
        assert_eq!(node("Bärbel", true).as_deref(), Some("bärbel"), "folded");
        assert_eq!(node("d'artagnan", false), None);
        assert_eq!(node("a/b", false), None);
    }

    #[test]
    fn names_that_no_jid_can_say() {
        for name in ["", "😀", "\u{0}", &"x".repeat(2000)] {
            assert_eq!(node(name, true), None, "{name:?}");
            assert_eq!(node(name, false), None, "{name:?}");
        }
    }

    #[test]
    fn nodes_become_names_in_either_form() {
        assert_eq!(node_to_legacy_name(r"romeo\40example.net"), "romeo@example.net");
        assert_eq!(node_to_legacy_name("romeo%example.net"), "romeo@example.net");
        assert_eq!(node_to_legacy_name("a%b%c"), "a%b@c");
        assert_eq!(node_to_legacy_name(r"50%\20off"), "50% off", "escaped, so % is itself");
        assert_eq!(node_to_legacy_name("nurse"), "nurse");
    }
}
