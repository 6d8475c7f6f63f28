//! What a room's name on the network is as the local part of a JID, and back.
//!
//! Every name that is not too long has one, nothing else has the same, and it leads back to the name; on networks that do
//! not tell capitals of ASCII from small letters, to its spelling in small ones. Where Spectrum 2's own form leads back,
//! it is that one: bookmarks of its users stay good. Other names are written with more of the escapes of XEP-0106: `\` and
//! two digits stand for any byte of UTF-8, not only for those ten characters.

use jid::NodePart;
use spectrum2_xmpp::xep_0106;

/// The local part for a name; `None` if it is empty or too long for a JID (RFC 7622 §3.3.1). `escaping`: `@` is escaped;
/// else the last one is `%` where that leads back.
pub fn node(name: &str, escaping: bool, caseless: bool) -> Option<String> {
    let folded = if caseless { name.to_ascii_lowercase() } else { name.to_owned() };
    let name = folded.as_str();
    let older = || {
        let (user, host) = name.rsplit_once('@').filter(|_| !escaping)?;
        Some(xep_0106::escape(&format!("{user}%{host}")))
    };
    let forms: [&dyn Fn() -> Option<String>; 4] = [
        &older,
        &|| Some(xep_0106::escape(name)),
        &|| Some(escape(name, |c| is_stable(&c.to_string()))),
        &|| Some(escape(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit())),
    ];
    forms.iter().filter_map(|form| form()).find(|node| is_stable(node) && self::name(node) == name)
}

/// The name for a local part.
pub fn name(node: &str) -> String {
    match unescape(node) {
        Some(name) if name != node => name,
        // Bytes that are no text were never ours.
        _ => xep_0106::node_to_legacy_name(node),
    }
}

/// Whether preparation of JIDs (RFC 6122 appendix A) takes it and changes nothing.
fn is_stable(node: &str) -> bool {
    NodePart::new(node).is_ok_and(|prepared| prepared.as_str() == node)
}

/// Escapes all but what may stay. `%` never stays: alone it would be read as `@`.
fn escape(name: &str, may_stay: impl Fn(char) -> bool) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        if c != '%' && c != '\\' && may_stay(c) {
            escaped.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(escaped, "\\{byte:02x}");
            }
        }
    }
    escaped
}

/// `None` if the bytes are no text.
fn unescape(node: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(node.len());
    let mut rest = node.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match after {
            [high, low, after @ ..] if *first == b'\\' && is_digit(*high) && is_digit(*low) => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

const fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

const fn digit(byte: u8) -> u8 {
    if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_spectrum_2_stay_where_they_lead_back() {
        for (name, escaped, percent) in [
            ("#verona", "#verona", "#verona"),
            ("#c@irc.net", r"#c\40irc.net", "#c%irc.net"),
            ("19:abc@thread.skype", r"19\3aabc\40thread.skype", r"19\3aabc\40thread.skype"),
            ("space cadets", r"space\20cadets", r"space\20cadets"),
            ("50% off", r"50%\20off", r"50%\20off"),
            ("#bär", "#bär", "#bär"),
        ] {
            assert_eq!(node(name, true, false).as_deref(), Some(escaped));
            assert_eq!(node(name, false, false).as_deref(), Some(percent));
        }
        assert_eq!(name("#c%irc.net"), "#c@irc.net", "either form is understood");
        assert_eq!(name(r"#c\40irc.net"), "#c@irc.net");
    }

    #[test]
    fn others_are_escaped() {
        for (name, escaped) in [
            ("50%off", r"50\25off"),
            ("#☂😀", "#☂\\f0\\9f\\98\\80"),
            (r"a\25b", r"a\5c25b"),
            ("AbC", r"\41b\43"),
            ("#É", r"#\c3\89"),
            ("#größe", r"#grö\c3\9fe"),
        ] {
            assert_eq!(node(name, true, false).as_deref(), Some(escaped));
            assert_eq!(self::name(escaped), name);
        }
        assert_eq!(node("#Verona", true, true).as_deref(), Some("#verona"));
        assert_eq!(node("#É", true, true).as_deref(), Some(r"#\c3\89"), "another channel than #é");
    }

    #[test]
    fn what_no_jid_can_say_is_refused() {
        assert_eq!(node("", true, false), None);
        assert_eq!(node(&"x".repeat(1_024), true, false), None);
        assert_eq!(node(&" ".repeat(342), true, false), None);
        assert!(node(&"x".repeat(1_023), true, false).is_some());
    }

    #[test]
    fn bytes_that_are_no_text_are_left_alone() {
        assert_eq!(name(r"c\3a\ab"), r"c:\ab");
        assert_eq!(name(r"\ff%x"), r"\ff@x");
    }

    fn check(name: &str, escaping: bool, caseless: bool) -> Result<(), TestCaseError> {
        let Some(node) = node(name, escaping, caseless) else {
            // At worst each byte takes three.
            prop_assert!(name.is_empty() || name.len() * 3 > 1_023, "{name:?}");
            return Ok(());
        };
        let there = format!("{node}@rooms.example.org");
        prop_assert_eq!(there.parse::<jid::BareJid>().map(|jid| jid.to_string()), Ok(there));
        let back = self::name(&node);
        let same = if caseless { back.eq_ignore_ascii_case(name) } else { back == name };
        prop_assert!(same, "{:?} is {:?} and then {:?}", name, node, back);
        prop_assert_eq!(self::node(&back, escaping, caseless), Some(node));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_name_leads_to_a_jid_and_back(name in any::<String>(), escaping: bool, caseless: bool) {
            check(&name, escaping, caseless)?;
        }

        #[test]
        fn odd_names_do_too(name in "[a-cA-C0-9%@\\\\ :'é☂ß\u{301}]{0,14}", escaping: bool, caseless: bool) {
            check(&name, escaping, caseless)?;
        }

        #[test]
        fn long_names_too(name in "[a-z%@😀É]{300,1100}") {
            check(&name, true, false)?;
        }

        #[test]
        fn what_led_back_in_spectrum_2_is_the_same(name in "[a-z0-9#@%: '&-]{1,20}") {
            // Its rooms in lists are escaped; without escapes the last % is read as @.
            let theirs = xep_0106::escape(&name);
            if xep_0106::node_to_legacy_name(&theirs) == name {
                prop_assert_eq!(node(&name, true, false), Some(theirs));
            }
        }

        #[test]
        fn any_local_part_has_a_name(node in any::<String>()) {
            name(&node);
        }
    }
}
