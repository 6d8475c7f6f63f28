//! Between libpurple's HTML and what XMPP carries: plain text and, if it says more, XHTML.

use crate::purple::text;

/// Instead of a picture that libpurple keeps.
const NO_PICTURE: &str = "[A picture was sent, which cannot be shown here]";

/// A message for XMPP.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Plain text.
    pub plain: String,
    /// The children of an XHTML-IM body; empty if they would say no more than the plain text.
    pub xhtml: String,
}

/// Turns what a plugin wrote into what XMPP carries.
pub fn from_network(html: &str) -> Text {
    let html = without_pictures(unwrap(html)).replace("\r\n", "<br>").replace('\n', "<br>");
    let (xhtml, plain) = text::convert(&html);
    let (plain, xhtml) = (printable(&plain), printable(&xhtml));
    let xhtml = if is_formatted(&xhtml) { xhtml } else { String::new() };
    Text { plain, xhtml }
}

/// Turns what a user wrote into what plugins take. `xhtml` counts only where the network takes formatting, and only if
/// it says the same as the plain text.
///
/// COMPAT(Spectrum 2): its daemon passes nothing but the last element of an XHTML body; the plain text is whole.
pub fn to_network(plain: &str, xhtml: &str, formatting: bool) -> String {
    if formatting && !xhtml.trim().is_empty() {
        let said = text::strip(&xhtml.replace("<br/>", "\n").replace("</p>", "</p>\n"));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if words(&said) == words(plain) {
            return xhtml.to_owned();
        }
    }
    text::escape(plain).replace("\r\n", "<br>").replace('\n', "<br>")
}

/// The inside of `<html>` and `<body>`, which prpl-jabber hands over as they came.
fn unwrap(html: &str) -> &str {
    let mut inside = html.trim_end_matches('\0');
    for tag in ["html", "body"] {
        let start = inside.trim_start().strip_prefix('<').and_then(|rest| rest.strip_prefix(tag));
        let Some(start) = start.filter(|rest| rest.starts_with(['>', ' ', '\n', '\t'])) else { continue };
        let Some((_, content)) = start.split_once('>') else { continue };
        let end = format!("</{tag}>");
        inside = content.trim_end().strip_suffix(end.as_str()).unwrap_or(content);
    }
    inside
}

/// A text in place of each picture that libpurple keeps in its memory, where no user can see it.
fn without_pictures(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = next_picture(rest) {
        let Some((attributes, after)) = tag.split_once('>') else { break };
        text += before;
        if attributes.contains("http://") || attributes.contains("https://") {
            text += &format!("<img {attributes}>");
        } else {
            text += NO_PICTURE;
        }
        rest = after;
    }
    text + rest
}

/// What is before the next picture, and what comes after `<img `. In one pass: who writes may repeat a tag very often.
fn next_picture(html: &str) -> Option<(&str, &str)> {
    const TAG: &str = "<img ";
    let is_picture =
        |at: &usize| html.get(*at..at + TAG.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(TAG));
    let at = html.match_indices('<').map(|(at, _)| at).find(is_picture)?;
    Some((html.get(..at)?, html.get(at + TAG.len()..)?))
}

/// Whether XHTML has any markup but line breaks.
fn is_formatted(xhtml: &str) -> bool {
    let mut rest = xhtml;
    while let Some((_, tag)) = rest.split_once('<') {
        let Some((name, after)) = tag.split_once('>') else { return false };
        if !matches!(name.trim_end_matches('/').trim(), "br" | "p" | "/p" | "span" | "/span") {
            return true;
        }
        rest = after;
    }
    false
}

/// Without the characters that XML 1.0 §2.2 forbids, which would end the user's stream.
pub fn printable(text: &str) -> String {
    let allowed = |c: &char| !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(allowed).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn text(plain: &str, xhtml: &str) -> Text {
        Text { plain: plain.to_owned(), xhtml: xhtml.to_owned() }
    }

    #[test]
    fn plain_text_has_no_xhtml() {
        assert_eq!(from_network("Ah, sir!"), text("Ah, sir!", ""));
        assert_eq!(from_network("a &amp; b &lt; c"), text("a & b < c", ""));
        assert_eq!(from_network("one\ntwo"), text("one\ntwo", ""));
    }

    #[test]
    fn formatting_is_kept() {
        let formatted = from_network("<b>bold</b> text");
        assert_eq!(formatted.plain, "bold text");
        assert!(formatted.xhtml.contains("bold</"), "{}", formatted.xhtml);
    }

    #[test]
    fn the_frame_of_prpl_jabber_is_taken_off() {
        let wrapped = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>\
                       Have at thee</body></html>";
        assert_eq!(from_network(wrapped), text("Have at thee", ""));
        let formatted = from_network(&wrapped.replace("thee", "<em>thee</em>"));
        assert_eq!(formatted.plain, "Have at thee");
        assert!(!formatted.xhtml.contains("body"), "{}", formatted.xhtml);
    }

    #[test]
    fn pictures_in_memory_are_mentioned() {
        let said = from_network("look: <IMG ID=\"3\"> nice").plain;
        assert_eq!(said, "look: [A picture was sent, which cannot be shown here] nice");
        assert_eq!(
            without_pictures("<img src='https://example.org/a.png'>"),
            "<img src='https://example.org/a.png'>"
        );
        assert_eq!(without_pictures("a <img "), "a <img ");
        assert_eq!(without_pictures("<IMG ID='1'><é<img id='2'>"), [NO_PICTURE, "<é", NO_PICTURE].concat());
    }

    #[test]
    fn a_message_of_nothing_but_pictures_holds_nobody_up() {
        // As long as no server lets through; a search of all the rest for each tag takes minutes.
        let begin = Instant::now();
        let said = without_pictures(&"<IMG >".repeat(200_000));
        assert!(said.starts_with(NO_PICTURE));
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }

    #[test]
    fn characters_that_xml_forbids_are_left_out() {
        assert_eq!(from_network("plain \u{1d}it\u{1d}"), text("plain it", ""));
    }

    #[test]
    fn what_users_write_is_not_markup() {
        assert_eq!(to_network("a & b < c", "", true), "a &amp; b &lt; c");
        assert_eq!(to_network("one\ntwo", "", false), "one<br>two");
    }

    #[test]
    fn xhtml_counts_if_it_says_the_same() {
        assert_eq!(to_network("bold text", "<b>bold</b> text", true), "<b>bold</b> text");
        assert_eq!(to_network("bold red link", "<a href='x'>link</a>", true), "bold red link");
        assert_eq!(to_network("bold text", "<b>bold</b> text", false), "bold text");
    }
}
