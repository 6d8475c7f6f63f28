//! What must hold for any input whatever.

use proptest::collection::vec;
use proptest::prelude::*;
use spectrum2_xmpp::framer::{Framer, Limits, Piece};
use spectrum2_xmpp::stanza::{Condition, Stanza, refuse};
use spectrum2_xmpp::{
    Atom, Element, Node, legacy_name_to_node, node_to_legacy_name, ns, xep_0071, xep_0082, xep_0106,
};

const HEADER: &str =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

/// All pieces of a stream that comes in chunks of `size`, and whether it ended in an error.
fn pieces(stream: &[u8], size: usize) -> (Vec<Piece>, bool) {
    let limits = Limits { stanza: 200, depth: 8, ..Limits::CLIENT };
    let mut framer = Framer::new(limits);
    let mut pieces = Vec::new();
    for chunk in stream.chunks(size) {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => break,
                Err(_) => return (pieces, true),
            }
        }
        assert!(framer.pending() <= limits.header.max(limits.stanza).saturating_add(size));
    }
    (pieces, false)
}

/// Text that looks enough like a stream to get past the first check.
fn streamish() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("<message id='1'>".to_owned()),
        Just("</message>".to_owned()),
        Just("<a b='".to_owned()),
        Just("'/>".to_owned()),
        Just("\" c=\"".to_owned()),
        Just("<![CDATA[".to_owned()),
        Just("]]>".to_owned()),
        Just("&amp;&#x".to_owned()),
        Just("<p:x xmlns:p='urn:p'>".to_owned()),
        Just("</p:x>".to_owned()),
        Just("</stream:stream>".to_owned()),
        "[<>/='\"&;\\[\\]!? a-c:]{1,6}",
        "\\PC{1,4}",
    ];
    vec(token, 0..40).prop_map(|tokens| [HEADER, &tokens.concat()].concat())
}

/// Any tree at all, named with any strings.
fn any_element() -> impl Strategy<Value = Element> {
    let name = || prop_oneof!["[a-z]{1,8}", any::<String>()];
    let leaf = (name(), name(), vec((name(), any::<String>()), 0..4), any::<String>()).prop_map(
        |(name, ns, attributes, text)| {
            attributes
                .into_iter()
                .fold(Element::new(name, ns), |element, (name, value)| element.with(name, value))
                .text(text)
        },
    );
    leaf.prop_recursive(4, 24, 4, |inner| {
        (any_leaf(), vec(inner, 0..4), any::<String>())
            .prop_map(|(element, children, text)| element.children_from(children).text(text))
    })
}

fn any_leaf() -> impl Strategy<Value = Element> {
    ("[a-z]{1,8}", any::<String>()).prop_map(|(name, ns)| Element::new(name, ns))
}

fn is_allowed(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

fn allowed(text: &str) -> String {
    text.chars().filter(|c| is_allowed(*c)).collect()
}

/// What is left of an element that has valid names, once forbidden characters are gone.
fn cleaned(element: &Element) -> Element {
    let mut clean = Element::new(Atom::from_text(element.name()), allowed(element.ns()));
    for (name, value) in element.attributes() {
        clean.set_attr(Atom::from_text(name), allowed(value));
    }
    for node in element.nodes() {
        match node {
            Node::Element(child) => clean.push(cleaned(child)),
            Node::Text(text) => clean.push_text(allowed(text)),
        }
    }
    clean
}

/// A tree with valid names and any text.
fn named_element() -> impl Strategy<Value = Element> {
    let ns = || {
        prop_oneof![Just(String::new()), Just(ns::CLIENT.to_owned()), "urn:[a-z<&']{1,4}", any::<String>()]
    };
    let leaf = ("[a-zé][a-z0-9.é-]{0,5}", ns(), vec(("a[a-z]{0,5}", any::<String>()), 0..4), any::<String>())
        .prop_map(|(name, ns, attributes, text)| {
            attributes
                .into_iter()
                .fold(Element::new(name, ns), |element, (name, value)| element.with(name, value))
                .text(text)
        });
    leaf.prop_recursive(4, 24, 4, move |inner| {
        ("[a-z]{1,5}", ns(), vec((inner, any::<String>()), 0..4)).prop_map(|(name, ns, children)| {
            children
                .into_iter()
                .fold(Element::new(name, ns), |element, (child, text)| element.child(child).text(text))
        })
    })
}

proptest! {
    #[test]
    fn the_framer_survives_any_bytes(bytes in vec(any::<u8>(), 0..400), size in 1..50_usize) {
        pieces(&bytes, size);
        pieces(&[HEADER.as_bytes(), &bytes].concat(), size);
    }

    #[test]
    fn the_size_of_reads_does_not_matter(stream in streamish(), size in 1..50_usize) {
        prop_assert_eq!(pieces(stream.as_bytes(), usize::MAX), pieces(stream.as_bytes(), size));
    }

    #[test]
    fn any_stanza_can_be_refused(stream in streamish()) {
        for piece in pieces(stream.as_bytes(), usize::MAX).0 {
            let (Piece::Stanza(element) | Piece::BadStanza { head: Some(element), .. }) = piece else { continue };
            if let Some(reply) = refuse(&element, Condition::BadRequest) {
                prop_assert!(Element::parse(&reply.to_xml()).is_ok());
            }
            let _ = Stanza::read(element).map_err(|malformed| malformed.reply());
        }
    }

    #[test]
    fn any_tree_is_written_well_formed(element in any_element()) {
        let xml = element.to_xml();
        prop_assert!(Element::parse(&xml).is_ok(), "{}", xml);
        let mut stream = HEADER.to_owned();
        element.write(&mut stream, ns::COMPONENT);
        let mut framer = Framer::new(Limits::COMPONENT);
        framer.push(stream.as_bytes());
        prop_assert!(matches!(framer.next(), Ok(Some(Piece::Open(_)))));
        prop_assert!(matches!(framer.next(), Ok(Some(Piece::Stanza(_)))), "{}", stream);
    }

    #[test]
    fn a_tree_is_read_as_it_was_written(element in named_element()) {
        prop_assert_eq!(Element::parse(&element.to_xml()), Ok(cleaned(&element)));
    }

    #[test]
    fn any_text_can_be_parsed_or_refused(text in "\\PC{0,200}") {
        let _ = Element::parse(&text);
    }

    #[test]
    fn escaping_can_be_undone(name in any::<String>()) {
        let escaped = xep_0106::escape(&name);
        prop_assert!(!escaped.contains([' ', '"', '&', '\'', '/', ':', '<', '>', '@']));
        prop_assert_eq!(xep_0106::unescape(&escaped), name);
    }

    #[test]
    fn escaping_can_be_undone_after_an_escape(name in "[\\\\0-9a-fA-F@ :]{0,12}") {
        let escaped = xep_0106::escape(&name);
        prop_assert_eq!(xep_0106::unescape(&escaped), name);
    }

    #[test]
    fn a_name_is_found_again_by_its_node(name in "[a-z0-9@: &'\\\\]{1,20}") {
        if let Some(node) = legacy_name_to_node(&name, true) {
            prop_assert_eq!(node_to_legacy_name(node.as_str()), name);
        }
    }

    #[test]
    fn any_name_has_a_node_or_none(name in any::<String>(), escaping in any::<bool>()) {
        let _ = legacy_name_to_node(&name, escaping);
        let _ = node_to_legacy_name(&name);
    }

    #[test]
    fn any_markup_is_made_well_formed(markup in "(<[a-z/!]{1,6}( (href|style|src)=['\"]?[a-z:;/ ]{0,12}['\"]?)?>?|&[a-z#0-9]{0,5};?|\\PC{0,8}){0,30}") {
        if let Some(html) = xep_0071::sanitise(&markup) {
            let xml = html.to_xml();
            prop_assert!(Element::parse(&xml).is_ok(), "{}", xml);
            prop_assert!(!xml.contains("script:"), "{}", xml);
        }
        xep_0071::plain_text(&markup);
    }

    #[test]
    fn any_stamp_is_a_time_or_none(stamp in "\\PC{0,20}", seconds in any::<u64>()) {
        let _ = xep_0082::from_legacy(&stamp);
        xep_0082::from_unix(seconds);
    }
}
