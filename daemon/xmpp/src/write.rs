//! The serialiser. One pass, no look-back; every rule that keeps the output well-formed is here.

use std::borrow::Cow;

use crate::element::{Element, Node};
use crate::name;
use crate::ns;

/// Writes `element` as a child of a stream whose default namespace is `stream_ns`.
pub(crate) fn stream_child(element: &Element, out: &mut String, stream_ns: &str) {
    // RFC 6120 §4.8.5: the stream's own elements carry the prefix that the header declared.
    if element.ns() == ns::STREAM {
        write(element, out, stream_ns, "stream:");
    } else if element.ns() == ns::CLIENT && stream_ns == ns::COMPONENT {
        write(element, out, ns::CLIENT, "");
    } else {
        write(element, out, stream_ns, "");
    }
}

/// Writes `element` with every namespace it needs.
pub(crate) fn alone(element: &Element, out: &mut String) {
    write(element, out, "", "");
}

/// The same, without the attributes and children that are to be left out.
pub(crate) fn without(
    element: &Element,
    out: &mut String,
    attribute: impl Fn(&str, &str) -> bool,
    child: impl Fn(&Element) -> bool,
) {
    write_some(element, out, "", "", attribute, child);
}

fn write(element: &Element, out: &mut String, parent_ns: &str, prefix: &str) {
    write_some(element, out, parent_ns, prefix, |_, _| false, |_| false);
}

fn write_some(
    element: &Element,
    out: &mut String,
    parent_ns: &str,
    prefix: &str,
    no_attribute: impl Fn(&str, &str) -> bool,
    no_child: impl Fn(&Element) -> bool,
) {
    // Namespaces in XML 1.0 §3: the two reserved namespaces cannot be declared as default.
    let ns = match element.ns() {
        ns::XML | ns::XMLNS => "",
        other => other,
    };
    let tag = well_formed_name(element.name());
    out.push('<');
    out.push_str(prefix);
    out.push_str(&tag);
    // A prefixed element leaves the default namespace as it was.
    let inner_ns = if prefix.is_empty() { ns } else { parent_ns };
    if inner_ns != parent_ns {
        out.push_str(" xmlns='");
        escape_attribute(ns, out);
        out.push('\'');
    }
    attributes(element, out, no_attribute);
    if element.nodes().is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for node in element.nodes() {
        match node {
            Node::Element(child) if no_child(child) => {}
            Node::Element(child) => write(child, out, inner_ns, ""),
            Node::Text(text) => escape_text(text, out),
        }
    }
    out.push_str("</");
    out.push_str(prefix);
    out.push_str(&tag);
    out.push('>');
}

fn attributes(element: &Element, out: &mut String, leaves_out: impl Fn(&str, &str) -> bool) {
    for (index, (name, value)) in element.attributes_raw().iter().enumerate() {
        if leaves_out(name, value) {
            continue;
        }
        if let Some(qualified) = name.strip_prefix('{') {
            qualified_attribute(index, qualified, value, out);
        } else if name::is_local(name) && &**name != "xmlns"
            || name.strip_prefix("xml:").is_some_and(name::is_local)
        {
            out.push(' ');
            out.push_str(name);
            out.push_str("='");
            escape_attribute(value, out);
            out.push('\'');
        }
    }
}

/// Writes an attribute that is kept as `{namespace}name`, with a prefix made for it.
fn qualified_attribute(index: usize, qualified: &str, value: &str, out: &mut String) {
    let Some((ns, local)) = qualified.rsplit_once('}') else { return };
    // Dropping characters from a namespace could make it equal to another one, and the attribute a duplicate.
    if ns.is_empty() || !name::all_chars(ns) || matches!(ns, ns::XML | ns::XMLNS) || !name::is_local(local) {
        return;
    }
    let prefix = format!("ns{index}");
    out.push_str(" xmlns:");
    out.push_str(&prefix);
    out.push_str("='");
    escape_attribute(ns, out);
    out.push_str("' ");
    out.push_str(&prefix);
    out.push(':');
    out.push_str(local);
    out.push_str("='");
    escape_attribute(value, out);
    out.push('\'');
}

fn well_formed_name(name: &str) -> Cow<'_, str> {
    if name::is_local(name) {
        return Cow::Borrowed(name);
    }
    let mut fixed: String = name.chars().map(|c| if name::is_name_char(c) { c } else { '_' }).collect();
    if !fixed.starts_with(name::is_name_start) {
        fixed.insert(0, '_');
    }
    Cow::Owned(fixed)
}

/// Writes what may stand between tags.
pub(crate) fn escape_text(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'&' => Some("&amp;"),
        // XML 1.0 §2.11: a reader would turn a bare one into a line feed.
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// Writes what may stand between single quotes.
pub(crate) fn escape_attribute(value: &str, out: &mut String) {
    escape(value, out, |byte| match byte {
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'&' => Some("&amp;"),
        b'\'' => Some("&apos;"),
        // XML 1.0 §3.3.3: a reader would turn bare ones into spaces.
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// Copies `text` in runs; `replace` is asked about ASCII bytes. Characters that XML forbids are left out.
fn escape(text: &str, out: &mut String, replace: impl Fn(u8) -> Option<&'static str>) {
    out.reserve(text.len());
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let (instead, len) = match replace(byte) {
            Some(entity) => (entity, 1),
            None if name::is_control(byte) => ("", 1),
            None if byte == 0xEF && name::is_noncharacter(text.as_bytes(), at) => ("", 3),
            None => continue,
        };
        out.push_str(text.get(copied..at).unwrap_or_default());
        out.push_str(instead);
        copied = at + len;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_carry_no_namespace_on_any_stream() {
        let message = Element::new("message", ns::CLIENT)
            .with("to", "romeo@example.org")
            .child(Element::new("body", ns::CLIENT).text("Hi"))
            .child(Element::new("active", ns::CHATSTATES));
        for stream_ns in [ns::CLIENT, ns::COMPONENT] {
            let mut out = String::new();
            message.write(&mut out, stream_ns);
            assert_eq!(
                out,
                "<message to='romeo@example.org'><body>Hi</body>\
                 <active xmlns='http://jabber.org/protocol/chatstates'/></message>"
            );
        }
    }

    #[test]
    fn parts_are_left_out_on_the_outside_only() {
        let message = Element::new("message", ns::CLIENT)
            .with("from", "romeo@example.org")
            .with("id", "1")
            .child(Element::new("active", ns::CHATSTATES))
            .child(
                Element::new("body", ns::CLIENT)
                    .with("id", "1")
                    .child(Element::new("active", ns::CHATSTATES)),
            );
        let mut out = String::new();
        message.write_without(
            &mut out,
            |name, value| (name, value) == ("id", "1"),
            |child| child.name() == "active",
        );
        assert_eq!(
            out,
            "<message xmlns='jabber:client' from='romeo@example.org'><body id='1'>\
             <active xmlns='http://jabber.org/protocol/chatstates'/></body></message>"
        );
    }

    #[test]
    fn a_forwarded_stanza_names_its_namespace_again() {
        let inner = Element::new("message", ns::CLIENT).child(Element::new("body", ns::CLIENT));
        let outer =
            Element::new("message", ns::CLIENT).child(Element::new("forwarded", ns::FORWARD).child(inner));
        let mut out = String::new();
        outer.write(&mut out, ns::COMPONENT);
        assert_eq!(
            out,
            "<message><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client'><body/></message></forwarded></message>"
        );
    }

    #[test]
    fn stream_elements_use_the_stream_prefix() {
        let features = Element::new("features", ns::STREAM).child(Element::new("starttls", ns::TLS));
        let mut out = String::new();
        features.write(&mut out, ns::CLIENT);
        assert_eq!(
            out,
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        );
    }

    #[test]
    fn everything_is_escaped_and_forbidden_characters_are_dropped() {
        let element = Element::new("a", "urn:x'<")
            .with("b", "1\t'<&>\"\u{1}\r\n")
            .text("x<]]>&\u{0}\u{fffe}\u{ffff}ü\r");
        assert_eq!(
            element.to_xml(),
            "<a xmlns='urn:x&apos;&lt;' b='1&#9;&apos;&lt;&amp;&gt;\"&#13;&#10;'>x&lt;]]&gt;&amp;ü&#13;</a>"
        );
    }

    #[test]
    fn forbidden_names_cannot_break_the_stream() {
        let element = Element::new("a b>".to_owned(), "")
            .with("x y", "1")
            .with("xmlns", "urn:evil")
            .with("xmlns:p", "urn:evil")
            .with("ok", "2")
            .child(Element::new("", ns::XMLNS))
            .child(Element::new("p:q", ""));
        assert_eq!(element.to_xml(), "<a_b_ ok='2'><_/><p_q/></a_b_>");
    }

    #[test]
    fn attributes_in_a_namespace_get_a_prefix() {
        let element =
            Element::new("a", "urn:a").with("{urn:b}c", "1").with("xml:lang", "de").with("{}c", "lost");
        assert_eq!(element.to_xml(), "<a xmlns='urn:a' xmlns:ns0='urn:b' ns0:c='1' xml:lang='de'/>");
        assert_eq!(Element::parse(&element.to_xml()).unwrap().attr("{urn:b}c"), Some("1"));
    }
}
