//! From XML text to [`Element`], strictly.
//!
//! quick-xml cuts the text into tags, texts and references, and matches end tags. Everything else that makes a document
//! namespace-well-formed is checked here, because quick-xml does not: names, characters, attribute syntax, prefixes,
//! attributes that are equal once expanded, entities, depth.

use std::borrow::Cow;

use memchr::memmem;
use quick_xml::Reader;
use quick_xml::errors::{Error as QuickError, IllFormedError};
use quick_xml::events::Event;

use crate::atom::Atom;
use crate::element::Element;
use crate::name;
use crate::ns;

/// Why a text is not an XML element that XMPP allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// Bytes that are not UTF-8 (RFC 6120 §11.6).
    #[error("The text is not UTF-8")]
    NotUtf8,
    /// Tags that are not XML.
    #[error("A tag or reference is not well-formed")]
    Syntax,
    /// An end tag that does not belong to the start tag before it, or a missing one.
    #[error("Start and end tags do not match")]
    MismatchedTags,
    /// No element, more than one, or text beside it.
    #[error("There is not exactly one element")]
    NotOneElement,
    /// An element, attribute or prefix with a name that XML forbids.
    #[error("A name contains a character that XML does not allow there")]
    BadName,
    /// An attribute that is not `name='value'`.
    #[error("An attribute is not well-formed")]
    BadAttribute,
    /// The same attribute twice, perhaps under two prefixes.
    #[error("An attribute is given twice")]
    DuplicateAttribute,
    /// A prefix without a namespace.
    #[error("A namespace prefix is not declared")]
    UnboundPrefix,
    /// A namespace declaration that Namespaces in XML forbids, or a name that is too long.
    #[error("A namespace declaration is not allowed")]
    BadNamespace,
    /// A character outside of XML's repertoire.
    #[error("The text contains a character that XML does not allow")]
    ForbiddenChar,
    /// An entity other than the five predefined ones.
    #[error("The text refers to an entity that XMPP does not define")]
    UnknownEntity,
    /// A comment, processing instruction, declaration or DTD (RFC 6120 §11.1).
    #[error(
        "The text contains XML that XMPP does not allow: a comment, processing instruction, declaration or DTD"
    )]
    Restricted,
    /// More levels of elements than allowed.
    #[error("Elements are nested too deeply")]
    TooDeep,
    /// More attributes on one element than allowed, or more declarations in force.
    #[error("An element has too many attributes")]
    TooManyAttributes,
    /// More elements than allowed.
    #[error("There are too many elements")]
    TooManyElements,
}

/// Bounds of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub depth: usize,
    pub attributes: usize,
    pub elements: usize,
}

const BOUNDS_ALONE: Bounds = Bounds { depth: 256, attributes: 256, elements: 100_000 };

/// The longest name of a namespace: each element keeps a copy of the one it is in, each prefixed attribute too.
const NAMESPACE: usize = 256;

/// The most declarations in force at a time, beside those of the stream: each prefix is looked for among them.
const BINDINGS: usize = 256;

/// Prefixes and what they stand for, innermost last; the default namespace has an empty prefix.
pub(crate) type Bindings = Vec<(String, Atom)>;

/// Parses an element that brings all its namespaces.
pub(crate) fn alone(xml: &str) -> Result<Element, XmlError> {
    Builder { outer: &[], bindings: Vec::new(), bounds: BOUNDS_ALONE, on_stream: false }.tree(xml)
}

/// Parses a child of a stream that declared `outer`.
pub(crate) fn stream_child(xml: &str, outer: &[(String, Atom)], bounds: Bounds) -> Result<Element, XmlError> {
    Builder { outer, bindings: Vec::new(), bounds, on_stream: true }.tree(xml)
}

/// Parses the start tag of a child of a stream that declared `outer`.
pub(crate) fn start_tag(xml: &str, outer: &[(String, Atom)], bounds: Bounds) -> Result<Element, XmlError> {
    Builder { outer, bindings: Vec::new(), bounds, on_stream: true }.start_tag(xml)
}

/// Parses the start tag of a stream, and returns what it declares.
pub(crate) fn stream_header(xml: &str) -> Result<(Element, Bindings), XmlError> {
    let mut builder = Builder { outer: &[], bindings: Vec::new(), bounds: BOUNDS_ALONE, on_stream: false };
    let element = builder.start_tag(xml)?;
    Ok((element, builder.bindings))
}

/// What the declarations of a stream header mean for its children.
pub(crate) fn on_stream(mut bindings: Bindings) -> Bindings {
    for (_, ns) in &mut bindings {
        if **ns == *ns::COMPONENT {
            *ns = Atom::from(ns::CLIENT);
        }
    }
    bindings
}

/// Whether every start tag has its end tag. Says nothing else about `xml`.
pub(crate) fn tags_match(xml: &str) -> bool {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().allow_dangling_amp = true;
    let mut depth = 0_usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Eof) => return depth == 0,
            Ok(_) => {}
            Err(error) => return cause(error) != XmlError::MismatchedTags,
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn cause(error: QuickError) -> XmlError {
    match error {
        QuickError::IllFormed(
            IllFormedError::MismatchedEndTag { .. }
            | IllFormedError::UnmatchedEndTag(_)
            | IllFormedError::MissingEndTag(_),
        ) => XmlError::MismatchedTags,
        _ => XmlError::Syntax,
    }
}

/// An element whose end tag has not come yet.
struct Open {
    element: Element,
    /// How many bindings were in force outside of it.
    outer_bindings: usize,
}

struct Builder<'s> {
    outer: &'s [(String, Atom)],
    bindings: Bindings,
    bounds: Bounds,
    /// On a stream, the component namespace is read as that of clients: stanzas look alike on every stream.
    on_stream: bool,
}

impl Builder<'_> {
    fn tree(&mut self, xml: &str) -> Result<Element, XmlError> {
        let mut reader = Reader::from_str(xml);
        let mut stack: Vec<Open> = Vec::new();
        let mut root: Option<Element> = None;
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(cause)?;
            if matches!(event, Event::Start(_) | Event::Empty(_)) {
                elements += 1;
                self.may_open(&stack, root.is_some(), elements)?;
            }
            match event {
                Event::Start(tag) => {
                    let outer_bindings = self.bindings.len();
                    let element = self.open(tag.name().0, tag.attributes_raw())?;
                    stack.push(Open { element, outer_bindings });
                }
                Event::Empty(tag) => {
                    let outer_bindings = self.bindings.len();
                    let element = self.open(tag.name().0, tag.attributes_raw())?;
                    self.bindings.truncate(outer_bindings);
                    close(element, &mut stack, &mut root);
                }
                Event::End(_) => {
                    let Open { element, outer_bindings } = stack.pop().ok_or(XmlError::MismatchedTags)?;
                    self.bindings.truncate(outer_bindings);
                    close(element, &mut stack, &mut root);
                }
                Event::Text(text) => {
                    let text = text.into_inner();
                    // XML 1.0 §2.4: the end of a CDATA section may not stand in text.
                    if memmem::find(text.as_bytes(), b"]]>").is_some() {
                        return Err(XmlError::Syntax);
                    }
                    append(text, &mut stack)?;
                }
                Event::CData(text) => append(text.into_inner(), &mut stack)?,
                Event::GeneralRef(reference) => {
                    let c = resolve(&reference.into_inner())?;
                    let open = stack.last_mut().ok_or(XmlError::NotOneElement)?;
                    open.element.push_text(c);
                }
                Event::Eof if stack.is_empty() => return root.ok_or(XmlError::NotOneElement),
                Event::Eof => return Err(XmlError::MismatchedTags),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {
                    return Err(XmlError::Restricted);
                }
            }
        }
    }

    fn start_tag(&mut self, xml: &str) -> Result<Element, XmlError> {
        match Reader::from_str(xml).read_event().map_err(cause)? {
            Event::Start(tag) | Event::Empty(tag) => self.open(tag.name().0, tag.attributes_raw()),
            _ => Err(XmlError::NotOneElement),
        }
    }

    fn may_open(&self, stack: &[Open], has_root: bool, elements: usize) -> Result<(), XmlError> {
        match stack.len() {
            0 if has_root => Err(XmlError::NotOneElement),
            depth if depth >= self.bounds.depth => Err(XmlError::TooDeep),
            _ if elements > self.bounds.elements => Err(XmlError::TooManyElements),
            _ => Ok(()),
        }
    }

    /// Reads a start tag and puts what it declares on the bindings.
    fn open(&mut self, qname: &str, raw_attributes: &str) -> Result<Element, XmlError> {
        let own_bindings = self.bindings.len();
        let mut attributes: Vec<(Atom, String)> = Vec::new();
        // Their prefix may be declared further right.
        let mut prefixed: Vec<(String, String, String)> = Vec::new();
        let mut scanner = AttributeScanner { rest: raw_attributes };
        let mut count = 0;
        while let Some((qname, raw)) = scanner.next()? {
            count += 1;
            if count > self.bounds.attributes {
                return Err(XmlError::TooManyAttributes);
            }
            let value = attribute_value(raw)?;
            match qname.split_once(':') {
                None if qname == "xmlns" => self.declare(own_bindings, "", &value)?,
                None => {
                    if !name::is_local(qname) {
                        return Err(XmlError::BadName);
                    }
                    add(&mut attributes, Atom::from_text(qname), value.into_owned())?;
                }
                Some((_, local)) if !name::is_local(local) => return Err(XmlError::BadName),
                Some(("xmlns", prefix)) => self.declare(own_bindings, prefix, &value)?,
                Some(("xml", _)) => add(&mut attributes, Atom::from_text(qname), value.into_owned())?,
                Some((prefix, local)) => {
                    prefixed.push((prefix.to_owned(), local.to_owned(), value.into_owned()));
                }
            }
        }
        for (prefix, local, value) in prefixed {
            let ns = self.lookup(&prefix).ok_or(XmlError::UnboundPrefix)?;
            add(&mut attributes, Atom::from(format!("{{{ns}}}{local}")), value)?;
        }
        let (prefix, local) = qname.split_once(':').unwrap_or(("", qname));
        if !name::is_local(local) {
            return Err(XmlError::BadName);
        }
        let ns = match self.lookup(prefix) {
            Some(ns) => ns.clone(),
            None if prefix.is_empty() && !qname.starts_with(':') => Atom::from(""),
            None => return Err(XmlError::UnboundPrefix),
        };
        Ok(Element::with_attributes(Atom::from_text(local), ns, attributes))
    }

    /// Namespaces in XML 1.0 §2.2, §3.
    fn declare(&mut self, own_bindings: usize, prefix: &str, ns: &str) -> Result<(), XmlError> {
        let reserved = matches!(ns, ns::XML | ns::XMLNS);
        match prefix {
            "xml" if ns == ns::XML => return Ok(()),
            "xml" | "xmlns" => return Err(XmlError::BadNamespace),
            _ if reserved || (ns.is_empty() && !prefix.is_empty()) => return Err(XmlError::BadNamespace),
            _ if ns.len() > NAMESPACE => return Err(XmlError::BadNamespace),
            _ if self.bindings.len() >= BINDINGS => return Err(XmlError::TooManyAttributes),
            _ => {}
        }
        if self.bindings.iter().skip(own_bindings).any(|(known, _)| known == prefix) {
            return Err(XmlError::DuplicateAttribute);
        }
        let ns =
            if self.on_stream && ns == ns::COMPONENT { Atom::from(ns::CLIENT) } else { Atom::from_text(ns) };
        self.bindings.push((prefix.to_owned(), ns));
        Ok(())
    }

    fn lookup(&self, prefix: &str) -> Option<&Atom> {
        let mut innermost_first = self.bindings.iter().rev().chain(self.outer.iter().rev());
        innermost_first.find(|(known, _)| known == prefix).map(|(_, ns)| ns)
    }
}

fn close(element: Element, stack: &mut [Open], root: &mut Option<Element>) {
    match stack.last_mut() {
        Some(parent) => parent.element.push(element),
        None => *root = Some(element),
    }
}

fn append(raw: Cow<'_, str>, stack: &mut [Open]) -> Result<(), XmlError> {
    let Some(open) = stack.last_mut() else {
        return if raw.chars().all(is_space) { Ok(()) } else { Err(XmlError::NotOneElement) };
    };
    if !name::all_chars(&raw) {
        return Err(XmlError::ForbiddenChar);
    }
    if memchr::memchr(b'\r', raw.as_bytes()).is_some() {
        // XML 1.0 §2.11.
        open.element.push_text(raw.replace("\r\n", "\n").replace('\r', "\n"));
    } else {
        open.element.push_text(raw);
    }
    Ok(())
}

fn add(attributes: &mut Vec<(Atom, String)>, name: Atom, value: String) -> Result<(), XmlError> {
    if attributes.iter().any(|(known, _)| *known == name) {
        return Err(XmlError::DuplicateAttribute);
    }
    attributes.push((name, value));
    Ok(())
}

/// XML 1.0 §2.3 `S`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Cuts what follows the name in a start tag into names and raw values.
struct AttributeScanner<'t> {
    rest: &'t str,
}

impl<'t> AttributeScanner<'t> {
    fn next(&mut self) -> Result<Option<(&'t str, &'t str)>, XmlError> {
        let text = self.rest.trim_start_matches(is_space);
        if text.is_empty() {
            return Ok(None);
        }
        // XML 1.0 §3.1: a blank stands before each attribute.
        if text.len() == self.rest.len() {
            return Err(XmlError::BadAttribute);
        }
        let (name, text) = text.split_once('=').ok_or(XmlError::BadAttribute)?;
        let text = text.trim_start_matches(is_space);
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or(XmlError::BadAttribute)?;
        let (value, rest) =
            text.get(1..).and_then(|text| text.split_once(quote)).ok_or(XmlError::BadAttribute)?;
        self.rest = rest;
        Ok(Some((name.trim_end_matches(is_space), value)))
    }
}

/// XML 1.0 §3.3.3: references are resolved and white space becomes blanks.
fn attribute_value(raw: &str) -> Result<Cow<'_, str>, XmlError> {
    let plain = |byte: u8| byte >= b' ' && !matches!(byte, b'<' | b'&' | 0xEF);
    if raw.bytes().all(plain) {
        return Ok(Cow::Borrowed(raw));
    }
    if raw.contains('<') {
        return Err(XmlError::BadAttribute);
    }
    if !name::all_chars(raw) {
        return Err(XmlError::ForbiddenChar);
    }
    let normal = raw.replace("\r\n", " ").replace(['\r', '\n', '\t'], " ");
    let mut value = String::with_capacity(normal.len());
    let mut rest = normal.as_str();
    while let Some((before, after)) = rest.split_once('&') {
        let (reference, after) = after.split_once(';').ok_or(XmlError::Syntax)?;
        value.push_str(before);
        value.push(resolve(reference)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}

/// XML 1.0 §4.1, §4.6: character references and the five predefined entities.
pub(crate) fn resolve(reference: &str) -> Result<char, XmlError> {
    let Some(number) = reference.strip_prefix('#') else {
        return match reference {
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "amp" => Ok('&'),
            "apos" => Ok('\''),
            "quot" => Ok('"'),
            _ => Err(XmlError::UnknownEntity),
        };
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(XmlError::Syntax);
    }
    let code = u32::from_str_radix(digits, radix).map_err(|_| XmlError::Syntax)?;
    char::from_u32(code).filter(|c| name::is_char(*c)).ok_or(XmlError::ForbiddenChar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(xml: &str) -> XmlError {
        Element::parse(xml).expect_err(xml)
    }

    #[test]
    fn namespaces_take_no_more_memory_than_a_tree_may() {
        // Each element and each attribute keeps the namespace it is in.
        let long = "n".repeat(NAMESPACE + 1);
        assert_eq!(fails(&format!("<a xmlns='{long}'><b/><b/></a>")), XmlError::BadNamespace);
        assert_eq!(fails(&format!("<a xmlns:p='{long}'><b p:c=''/></a>")), XmlError::BadNamespace);
        let ns = "n".repeat(NAMESPACE);
        assert_eq!(Element::parse(&format!("<a xmlns='{ns}'/>")).unwrap().ns(), ns);
    }

    #[test]
    fn few_bindings_are_in_force_at_a_time() {
        let nested = |levels: usize| {
            let mut xml = String::new();
            for level in 0..levels {
                xml.push_str("<a");
                for n in 0..60 {
                    xml.push_str(&format!(" xmlns:p{level}-{n}='n'"));
                }
                xml.push('>');
            }
            xml + &"</a>".repeat(levels)
        };
        assert!(Element::parse(&nested(BINDINGS / 60)).is_ok());
        assert_eq!(fails(&nested(BINDINGS / 60 + 1)), XmlError::TooManyAttributes);
        let siblings = format!("<r>{}</r>", nested(1).repeat(20));
        assert!(Element::parse(&siblings).is_ok());
    }

    #[test]
    fn a_message() {
        let message = Element::parse(
            "<message xmlns='jabber:client' to='a@example.org' xml:lang='en'>\
             <body>1 &lt; 2 &amp; &#x1F600;<![CDATA[ <b> ]]>\r\nend</body><db:x xmlns:db='urn:db' db:y='1'/></message>",
        )
        .unwrap();
        assert!(message.is("message", ns::CLIENT));
        assert_eq!(message.attr("xml:lang"), Some("en"));
        assert_eq!(message.child_text("body", ns::CLIENT).unwrap(), "1 < 2 & \u{1F600} <b> \nend");
        assert_eq!(message.find("body", ns::CLIENT).unwrap().nodes().len(), 1, "text comes joined");
        assert_eq!(message.find("x", "urn:db").unwrap().attr("{urn:db}y"), Some("1"));
    }

    #[test]
    fn namespaces_end_with_their_element() {
        let tree = Element::parse(
            "<a xmlns='urn:1'><b xmlns='urn:2'><c/></b><d/><p:e xmlns:p='urn:3'/><f xmlns=''/></a>",
        )
        .unwrap();
        let found: Vec<_> = tree.elements().map(|child| (child.name(), child.ns())).collect();
        assert_eq!(found, [("b", "urn:2"), ("d", "urn:1"), ("e", "urn:3"), ("f", "")]);
        assert_eq!(fails("<a><p:e xmlns:p='urn:3'/><p:e/></a>"), XmlError::UnboundPrefix);
    }

    #[test]
    fn attribute_values_are_normalised() {
        let tree = Element::parse("<a b=' 1\t\r\n2&#10;&quot;\u{f000}' c = \"'\"/>").unwrap();
        assert_eq!(tree.attr("b"), Some(" 1  2\n\"\u{f000}"));
        assert_eq!(tree.attr("c"), Some("'"));
    }

    #[test]
    fn what_quick_xml_lets_through_is_refused() {
        for (xml, error) in [
            ("<a 1='1'/>", XmlError::BadName),
            ("<a a&b='1'/>", XmlError::BadName),
            ("<1/>", XmlError::BadName),
            ("<a:b:c xmlns:a='urn:a'/>", XmlError::BadName),
            ("<:a/>", XmlError::UnboundPrefix),
            ("<a: xmlns:a='urn:a'/>", XmlError::BadName),
            ("<a b='1'c='2'/>", XmlError::BadAttribute),
            ("<a b/>", XmlError::BadAttribute),
            ("<a b=1/>", XmlError::BadAttribute),
            ("<a b='<'/>", XmlError::BadAttribute),
            ("<a xmlns:p=''/>", XmlError::BadNamespace),
            ("<a xmlns:xml='urn:a'/>", XmlError::BadNamespace),
            ("<a xmlns:xmlns='urn:a'/>", XmlError::BadNamespace),
            ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", XmlError::BadNamespace),
            ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", XmlError::BadNamespace),
            ("<a>\u{1}</a>", XmlError::ForbiddenChar),
            ("<a>\u{fffe}</a>", XmlError::ForbiddenChar),
            ("<a><![CDATA[\u{ffff}]]></a>", XmlError::ForbiddenChar),
            ("<a b='\u{b}'/>", XmlError::ForbiddenChar),
            ("<a>&#0;</a>", XmlError::ForbiddenChar),
            ("<a b='&#xFFFF;'/>", XmlError::ForbiddenChar),
            ("<a>&#+65;</a>", XmlError::Syntax),
            ("<a>&#;</a>", XmlError::Syntax),
            ("<a>&nbsp;</a>", XmlError::UnknownEntity),
            ("<a b='&nbsp;'/>", XmlError::UnknownEntity),
            ("<a b='&amp'/>", XmlError::Syntax),
            ("<a>]]></a>", XmlError::Syntax),
            ("<a b='1' b='2'/>", XmlError::DuplicateAttribute),
            ("<a xmlns='urn:a' xmlns='urn:b'/>", XmlError::DuplicateAttribute),
            ("<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>", XmlError::DuplicateAttribute),
            ("<a><b></a></b>", XmlError::MismatchedTags),
            ("<a>", XmlError::MismatchedTags),
            ("</a>", XmlError::MismatchedTags),
            ("<a><!-- c --></a>", XmlError::Restricted),
            ("<a><?pi?></a>", XmlError::Restricted),
            ("<!DOCTYPE a><a/>", XmlError::Restricted),
            ("<a/><?xml version='1.0'?>", XmlError::Restricted),
            ("<a/><b/>", XmlError::NotOneElement),
            ("<a/>text", XmlError::NotOneElement),
            ("&amp;<a/>", XmlError::NotOneElement),
            ("", XmlError::NotOneElement),
        ] {
            assert_eq!(fails(xml), error, "{xml}");
        }
    }

    #[test]
    fn depth_and_attributes_are_bounded() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(Element::parse(&nested(256)).is_ok());
        assert_eq!(fails(&nested(257)), XmlError::TooDeep);
        let wide = |count: usize| {
            let attributes: String = (0..count).map(|n| format!(" a{n}=''")).collect();
            format!("<a{attributes}/>")
        };
        assert!(Element::parse(&wide(256)).is_ok());
        assert_eq!(fails(&wide(257)), XmlError::TooManyAttributes);
    }

    #[test]
    fn serde_uses_the_xml_text() {
        use serde::Deserialize;
        use serde::de::IntoDeserializer;
        use serde::de::value::{Error, StrDeserializer};

        let deserializer: StrDeserializer<'_, Error> = "<a xmlns='urn:a'>b</a>".into_deserializer();
        let element = Element::deserialize(deserializer).unwrap();
        assert_eq!(element, Element::new("a", "urn:a").text("b"));
        let broken: StrDeserializer<'_, Error> = "<a".into_deserializer();
        assert!(Element::deserialize(broken).is_err());
    }
}
