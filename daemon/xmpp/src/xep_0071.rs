//! XEP-0071: XHTML-IM.
//!
//! Markup from a legacy network is untrusted and seldom well-formed. It is read as a browser would, leniently, into a
//! tree of elements and attributes that are allowed here by name. Nothing else gets through, and the tree is written by
//! our own serialiser, so the stream stays well-formed whatever came in.

use std::borrow::Cow;

use crate::element::{Element, Node};
use crate::name;
use crate::ns;

/// The longest markup that is looked at, in bytes. Whatever is longer is sent as plain text only.
pub const MAX_MARKUP: usize = 64 << 10;

/// Deeper elements are dropped, their text is kept.
const MAX_DEPTH: usize = 32;
/// Further elements are dropped, their text is kept.
const MAX_ELEMENTS: usize = 1024;

/// The `<html/>` child of a message for markup from a legacy network.
///
/// None if the markup says nothing that plain text does not say, or is longer than [`MAX_MARKUP`].
pub fn sanitise(markup: &str) -> Option<Element> {
    if markup.len() > MAX_MARKUP {
        return None;
    }
    let body = tree(markup);
    body.elements().next()?;
    Some(Element::new("html", ns::XHTML_IM).child(body))
}

/// The text of markup from a legacy network, as plain text.
pub fn plain_text(markup: &str) -> String {
    let mut text = String::new();
    flatten(&tree(markup), &mut text);
    text.trim().to_owned()
}

/// The markup in a message from a user, for a legacy network: the content of the XHTML body, under the same rules as
/// [`sanitise`].
pub fn read(message: &Element) -> Option<String> {
    let body = message.find("html", ns::XHTML_IM)?.find("body", ns::XHTML)?;
    let mut markup = String::new();
    content(body, &mut markup);
    let mut out = String::new();
    content(sanitise(&markup)?.find("body", ns::XHTML)?, &mut out);
    Some(out)
}

fn content(body: &Element, out: &mut String) {
    for node in body.nodes() {
        match node {
            Node::Element(element) => element.write(out, ns::XHTML),
            Node::Text(text) => crate::write::escape_text(text, out),
        }
    }
}

fn flatten(element: &Element, text: &mut String) {
    for node in element.nodes() {
        match node {
            Node::Text(piece) => text.push_str(piece),
            Node::Element(child) => match child.name() {
                "br" => text.push('\n'),
                "img" => text.push_str(child.attr("alt").or(child.attr("src")).unwrap_or_default()),
                name => {
                    let block = matches!(name, "p" | "div" | "blockquote" | "li" | "ul" | "ol" | "pre");
                    begin_line(text, block);
                    flatten(child, text);
                    begin_line(text, block);
                }
            },
        }
    }
}

fn begin_line(text: &mut String, block: bool) {
    if block && !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// The `<body/>` for any text whatever.
fn tree(markup: &str) -> Element {
    let mut builder = Builder { stack: vec![Element::new("body", ns::XHTML)], elements: 0 };
    let markup: String = markup.chars().filter(|c| name::is_char(*c)).collect();
    let mut rest = markup.as_str();
    while let Some((token, after)) = token(rest) {
        rest = match token {
            Token::Text(text) => {
                builder.text(&decode(text));
                after
            }
            Token::Start { name, attributes, empty } => {
                let name = name.to_ascii_lowercase();
                // What these hold is not meant to be read.
                if matches!(name.as_str(), "script" | "style" | "head" | "title" | "object" | "iframe")
                    && !empty
                {
                    skip_past_end(after, &name)
                } else {
                    builder.open(&name, attributes, empty);
                    after
                }
            }
            Token::End(name) => {
                builder.close(&name.to_ascii_lowercase());
                after
            }
            Token::Nothing => after,
        };
    }
    builder.finish()
}

/// A piece of markup.
enum Token<'m> {
    Text(&'m str),
    Start {
        name: &'m str,
        attributes: &'m str,
        empty: bool,
    },
    End(&'m str),
    /// A comment or declaration.
    Nothing,
}

/// Cuts off the first token; none at the end. Never fails: what is no tag is text.
fn token(markup: &str) -> Option<(Token<'_>, &str)> {
    let rest = markup.strip_prefix('<').unwrap_or_default();
    if markup.is_empty() {
        None
    } else if let Some(comment) = rest.strip_prefix("!--") {
        Some((Token::Nothing, comment.split_once("-->").map_or("", |(_, after)| after)))
    } else if rest.starts_with(['!', '?']) {
        Some((Token::Nothing, rest.split_once('>').map_or("", |(_, after)| after)))
    } else if rest.trim_start_matches('/').starts_with(|c: char| c.is_ascii_alphabetic()) {
        let end = tag_end(rest);
        let tag = rest.get(..end).unwrap_or_default();
        let after = rest.get(end + 1..).unwrap_or_default();
        Some((read_tag(tag), after))
    } else {
        // A `<` that begins no tag is text.
        let end = markup.char_indices().skip(1).find(|(_, c)| *c == '<').map_or(markup.len(), |(at, _)| at);
        let (text, after) = markup.split_at(end);
        Some((Token::Text(text), after))
    }
}

/// Where the tag that `text` begins with ends: at the first `>` outside of quotes, else at the first `>`, else at the end.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return at,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    text.find('>').unwrap_or(text.len())
}

fn read_tag(tag: &str) -> Token<'_> {
    let (is_end, tag) = match tag.strip_prefix('/') {
        Some(tag) => (true, tag.trim_start_matches('/')),
        None => (false, tag),
    };
    let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
    let (name, attributes) = tag.split_at(name_end);
    if is_end {
        Token::End(name)
    } else {
        Token::Start { name, attributes, empty: attributes.ends_with('/') }
    }
}

/// What comes after the end tag of `name`; nothing if it never ends.
fn skip_past_end<'m>(markup: &'m str, name: &str) -> &'m str {
    let mut rest = markup;
    while let Some((_, after)) = rest.split_once("</") {
        if after.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}

struct Builder {
    /// Open elements; the first is the body.
    stack: Vec<Element>,
    elements: usize,
}

impl Builder {
    fn text(&mut self, text: &str) {
        if let Some(open) = self.stack.last_mut() {
            open.push_text(text);
        }
    }

    fn open(&mut self, name: &str, attributes: &str, empty: bool) {
        let Some(element) = allowed(name, attributes) else { return };
        if self.stack.len() >= MAX_DEPTH || self.elements >= MAX_ELEMENTS {
            return;
        }
        self.elements += 1;
        self.stack.push(element);
        if empty || matches!(name, "br" | "img") {
            self.close_one();
        }
    }

    /// Closes the innermost open element that `name` stands for, and all in it; nothing if there is none.
    fn close(&mut self, name: &str) {
        let Some((name, _)) = meaning(name) else { return };
        let open = self.stack.iter().skip(1).rposition(|element| element.name() == name);
        if let Some(at) = open {
            while self.stack.len() > at + 1 {
                self.close_one();
            }
        }
    }

    fn close_one(&mut self) {
        if let Some(element) = self.stack.pop() {
            match self.stack.last_mut() {
                Some(parent) => parent.push(element),
                None => self.stack.push(element),
            }
        }
    }

    fn finish(mut self) -> Element {
        while self.stack.len() > 1 {
            self.close_one();
        }
        self.stack.pop().unwrap_or_else(|| Element::new("body", ns::XHTML))
    }
}

/// The allowed element, and the style if any, that a tag stands for (XEP-0071 §7.8; older HTML is translated).
fn meaning(name: &str) -> Option<(&'static str, Option<&'static str>)> {
    Some(match name {
        "a" => ("a", None),
        "blockquote" => ("blockquote", None),
        "br" => ("br", None),
        "cite" => ("cite", None),
        "code" | "tt" => ("code", None),
        "div" => ("div", None),
        "em" | "i" => ("em", None),
        "img" => ("img", None),
        "li" => ("li", None),
        "ol" => ("ol", None),
        "p" => ("p", None),
        "pre" => ("pre", None),
        "span" | "font" => ("span", None),
        "u" => ("span", Some("text-decoration: underline")),
        "s" | "strike" | "del" => ("span", Some("text-decoration: line-through")),
        "strong" | "b" => ("strong", None),
        "ul" => ("ul", None),
        _ => return None,
    })
}

/// The element for a start tag, with those of its attributes that are allowed.
fn allowed(tag: &str, attributes: &str) -> Option<Element> {
    let (name, style) = meaning(tag)?;
    let mut element = Element::new(name, ns::XHTML).with_opt("style", style);
    for (attribute, value) in Attributes(attributes) {
        let value = decode(value);
        let value = value.trim();
        match (name, attribute.to_ascii_lowercase().as_str()) {
            ("a", "href")
                if has_scheme(
                    value,
                    &["http", "https", "ftp", "mailto", "xmpp", "tel", "geo", "irc", "ircs"],
                ) =>
            {
                element.set_attr("href", value);
            }
            ("img", "src") if has_scheme(value, &["http", "https", "cid"]) => element.set_attr("src", value),
            ("img", "alt") => element.set_attr("alt", value),
            ("img", size @ ("width" | "height")) if value.parse::<u16>().is_ok() => {
                element.set_attr(if size == "width" { "width" } else { "height" }, value);
            }
            (_, "style") => {
                let safe = safe_style(value);
                if !safe.is_empty() {
                    element.set_attr("style", safe);
                }
            }
            ("span", "color") if tag == "font" => {
                let safe = safe_style(&format!("color: {value}"));
                if !safe.is_empty() {
                    element.set_attr("style", safe);
                }
            }
            _ => {}
        }
    }
    // An image from nowhere is its description.
    (name != "img" || element.attr("src").is_some()).then_some(element)
}

fn has_scheme(url: &str, schemes: &[&str]) -> bool {
    url.split_once(':')
        .is_some_and(|(scheme, _)| schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)))
}

/// Keeps the declarations of XEP-0071 §7.4.1 whose values are plain words, numbers and colours.
fn safe_style(style: &str) -> String {
    const PROPERTIES: [&str; 10] = [
        "background-color",
        "color",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "margin-left",
        "margin-right",
        "text-align",
        "text-decoration",
    ];
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '#' | '%' | '.' | ',' | '-' | '\'' | '"');
    let mut safe = String::new();
    for (property, value) in style.split(';').filter_map(|declaration| declaration.split_once(':')) {
        let (property, value) = (property.trim().to_ascii_lowercase(), value.trim());
        if PROPERTIES.contains(&property.as_str()) && !value.is_empty() && value.chars().all(plain) {
            let separator = if safe.is_empty() { "" } else { "; " };
            safe.extend([separator, &property, ": ", value]);
        }
    }
    safe
}

/// The attributes of a start tag: names and raw values, quoted or not.
struct Attributes<'m>(&'m str);

impl<'m> Iterator for Attributes<'m> {
    type Item = (&'m str, &'m str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self
            .0
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '=' | '"' | '\''));
        if text.is_empty() {
            return None;
        }
        let ends_name = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/' | '"' | '\'');
        let (name, after) = text.split_at(text.find(ends_name).unwrap_or(text.len()));
        let Some(value) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            self.0 = after;
            return Some((name, ""));
        };
        let (value, after) = match value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => {
                let inside = value.get(1..).unwrap_or_default();
                inside.split_once(quote).unwrap_or((inside, ""))
            }
            None => value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len())),
        };
        self.0 = after;
        Some((name, value))
    }
}

/// Resolves references as far as they are known; others stay as text.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let reference =
            after.char_indices().take(10).find(|(_, c)| *c == ';').and_then(|(at, _)| after.get(..at));
        match reference.and_then(|reference| Some((resolve(reference)?, reference.len() + 1))) {
            Some((c, len)) => {
                plain.push(c);
                rest = after.get(len..).unwrap_or_default();
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn resolve(reference: &str) -> Option<char> {
    Some(match reference {
        "nbsp" => '\u{a0}',
        "copy" => '©',
        "reg" => '®',
        "laquo" => '«',
        "raquo" => '»',
        "euro" => '€',
        "bull" => '•',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        _ => return crate::parse::resolve(reference).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content of the sanitised body.
    fn clean(markup: &str) -> Option<String> {
        let html = sanitise(markup)?;
        assert_eq!(Element::parse(&html.to_xml()).unwrap(), html, "well-formed: {markup}");
        let mut out = String::new();
        content(html.find("body", ns::XHTML).unwrap(), &mut out);
        Some(out)
    }

    #[test]
    fn allowed_markup_is_kept() {
        for markup in [
            "<p>Hello, <strong>world</strong>!<br/></p>",
            "<span style='color: #ff0000; font-weight: bold'>red</span>",
            "<a href='https://example.org/?a=1&amp;b=2'>link</a>",
            "<ul><li>one</li><li>two</li></ul>",
        ] {
            assert_eq!(clean(markup).as_deref(), Some(markup));
        }
    }

    #[test]
    fn broken_markup_is_repaired() {
        assert_eq!(clean("<b>a & b").as_deref(), Some("<strong>a &amp; b</strong>"));
        assert_eq!(clean("<b><i>x</b>y</i>").as_deref(), Some("<strong><em>x</em></strong>y"));
        assert_eq!(clean("</p>1 < 2<br>3 <").as_deref(), Some("1 &lt; 2<br/>3 &lt;"));
        assert_eq!(clean("<b title=\"a>b").as_deref(), Some("<strong>b</strong>"), "quote without end");
        assert_eq!(clean("<b").as_deref(), Some("<strong/>"));
        assert_eq!(clean("<!-- <b> --><em>x</em><!DOCTYPE").as_deref(), Some("<em>x</em>"));
    }

    #[test]
    fn older_html_is_translated() {
        assert_eq!(
            clean("<FONT COLOR=red FACE='x'><U>x</U></FONT>").as_deref(),
            Some("<span style='color: red'><span style='text-decoration: underline'>x</span></span>")
        );
        assert_eq!(clean("<HTML><BODY><I>x</I></BODY></HTML>").as_deref(), Some("<em>x</em>"));
    }

    #[test]
    fn nothing_active_gets_through() {
        assert_eq!(clean("<em>a</em><script>alert('<b>')</SCRIPT >b").as_deref(), Some("<em>a</em>b"));
        assert_eq!(clean("<em>a</em><script>never ends").as_deref(), Some("<em>a</em>"));
        assert_eq!(clean("<a href='javascript:alert(1)' onclick='x'>a</a>").as_deref(), Some("<a>a</a>"));
        assert_eq!(clean("<a href='&#106;avascript:x'>a</a>").as_deref(), Some("<a>a</a>"));
        assert_eq!(clean("<a href=' java\nscript:x'>a</a>").as_deref(), Some("<a>a</a>"));
        assert_eq!(
            clean("<p style='background: url(x); color: red; width: expression(1)'>a</p>").as_deref(),
            Some("<p style='color: red'>a</p>")
        );
        assert_eq!(clean("<img src='data:text/html,x' alt='y'><p/>").as_deref(), Some("<p/>"));
        assert_eq!(clean("<marquee><em>x</em></marquee>").as_deref(), Some("<em>x</em>"), "the text stays");
    }

    #[test]
    fn plain_text_needs_no_markup() {
        assert_eq!(sanitise("just text & nothing <else"), None);
        assert_eq!(sanitise("<html>x</html>"), None);
        assert_eq!(sanitise(&"<b>".repeat(MAX_MARKUP)), None);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = clean(&("<b>".repeat(10_000) + "x")).unwrap();
        assert_eq!(deep.matches("<strong>").count(), MAX_DEPTH - 1);
        assert!(deep.contains('x'));
        let wide = clean(&"<b>x</b>".repeat(5000)).unwrap();
        assert_eq!(wide.matches("<strong>").count(), MAX_ELEMENTS);
        assert_eq!(wide.matches('x').count(), 5000);
    }

    #[test]
    fn text_of_markup() {
        assert_eq!(
            plain_text("<p>One&nbsp;&amp; two</p><p>three<br>four</p>"),
            "One\u{a0}& two\nthree\nfour"
        );
        assert_eq!(plain_text("<ul><li>a<li>b</ul>c"), "a\nb\nc");
        assert_eq!(
            plain_text("<img src='https://e.org/i.png' alt='a cat'> &unknown; 1 < 2"),
            "a cat &unknown; 1 < 2"
        );
        assert_eq!(plain_text("<style>p { }</style>"), "");
    }

    #[test]
    fn markup_from_a_user_is_cleaned_too() {
        let message = Element::parse(
            "<message xmlns='jabber:client'><html xmlns='http://jabber.org/protocol/xhtml-im'>\
             <body xmlns='http://www.w3.org/1999/xhtml'>a &lt; <p onclick='x'>b<br/></p><em>c</em></body></html></message>",
        )
        .unwrap();
        assert_eq!(read(&message).as_deref(), Some("a &lt; <p>b<br/></p><em>c</em>"));
        assert_eq!(read(&Element::new("message", ns::CLIENT)), None);
    }
}
