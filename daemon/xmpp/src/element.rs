//! The element tree: what every stanza is read into and written from.
//!
//! Guarantees: whatever an [`Element`] is built from, what it writes is well-formed, namespace-correct XML 1.0. Characters
//! and names that XML cannot express are dropped or replaced (see [`Element::write`]).

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::atom::Atom;
use crate::ns;
use crate::parse::{self, XmlError};
use crate::write;

/// An XML element: a name in a namespace, attributes and children.
///
/// `Debug` and serde use its XML text.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    name: Atom,
    ns: Atom,
    attributes: Vec<(Atom, String)>,
    nodes: Vec<Node>,
}

/// A child of an [`Element`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

impl Node {
    /// The element, if this is one.
    pub fn as_element(&self) -> Option<&Element> {
        match self {
            Self::Element(element) => Some(element),
            Self::Text(_) => None,
        }
    }
}

/// Building.
impl Element {
    /// An empty element `name` in namespace `ns`.
    pub fn new(name: impl Into<Atom>, ns: impl Into<Atom>) -> Self {
        Self { name: name.into(), ns: ns.into(), attributes: Vec::new(), nodes: Vec::new() }
    }

    /// Sets an attribute.
    #[must_use]
    pub fn with(mut self, attr: impl Into<Atom>, value: impl Into<String>) -> Self {
        self.set_attr(attr, value);
        self
    }

    /// Sets an attribute if there is a value for it.
    #[must_use]
    pub fn with_opt(self, attr: impl Into<Atom>, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(attr, value),
            None => self,
        }
    }

    /// Appends a child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.push(child);
        self
    }

    /// Appends children.
    #[must_use]
    pub fn children_from(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Appends character data.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text);
        self
    }
}

/// Reading.
impl Element {
    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace; empty for none.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// Whether this is the element `name` in namespace `ns`.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        *self.name == *name && *self.ns == *ns
    }

    /// The value of an attribute. `xml:lang` is found under that name, an attribute in any other namespace under
    /// `{namespace}name`.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.as_str())
    }

    /// All attributes in their order; names as in [`Element::attr`].
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The children that are elements.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(Node::as_element)
    }

    /// The first child `name` in namespace `ns`.
    pub fn find(&self, name: &str, ns: &str) -> Option<&Self> {
        self.elements().find(|child| child.is(name, ns))
    }

    /// The first child `name` in this element's own namespace.
    pub fn find_same(&self, name: &str) -> Option<&Self> {
        self.find(name, &self.ns)
    }

    /// The text directly inside this element, joined.
    pub fn content(&self) -> Cow<'_, str> {
        let mut texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => {
                let mut joined = [first, second].concat();
                joined.extend(texts);
                Cow::Owned(joined)
            }
        }
    }

    /// The text of the first child `name` in namespace `ns`.
    pub fn child_text(&self, name: &str, ns: &str) -> Option<Cow<'_, str>> {
        self.find(name, ns).map(Self::content)
    }
}

/// Changing.
impl Element {
    /// Sets an attribute; a known one keeps its place.
    pub fn set_attr(&mut self, name: impl Into<Atom>, value: impl Into<String>) {
        let name = name.into();
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.attributes.push((name, value.into())),
        }
    }

    /// Removes an attribute and returns its value.
    pub fn remove_attr(&mut self, name: &str) -> Option<String> {
        let at = self.attributes.iter().position(|(known, _)| **known == *name)?;
        Some(self.attributes.remove(at).1)
    }

    /// Appends a child.
    pub fn push(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    /// Appends character data, joining it to character data that is already last.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.nodes.last_mut() {
            Some(Node::Text(last)) => last.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.nodes.push(Node::Text(text)),
        }
    }

    /// Removes and returns all children.
    pub fn take_nodes(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.nodes)
    }

    /// Removes all children `name` in namespace `ns`.
    pub fn remove_children(&mut self, name: &str, ns: &str) {
        self.retain(|node| !node.as_element().is_some_and(|child| child.is(name, ns)));
    }

    /// Keeps only the children for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&Node) -> bool) {
        self.nodes.retain(keep);
    }

    /// The first child `name` in namespace `ns`, to be changed.
    pub fn find_mut(&mut self, name: &str, ns: &str) -> Option<&mut Self> {
        self.nodes.iter_mut().find_map(|node| match node {
            Node::Element(child) if child.is(name, ns) => Some(child),
            _ => None,
        })
    }

    /// For the parser, which has made sure that no attribute comes twice.
    pub(crate) fn with_attributes(name: Atom, ns: Atom, attributes: Vec<(Atom, String)>) -> Self {
        Self { name, ns, attributes, nodes: Vec::new() }
    }

    pub(crate) fn attributes_raw(&self) -> &[(Atom, String)] {
        &self.attributes
    }
}

/// Wire form.
impl Element {
    /// Writes the element as a child of a stream whose default namespace is `stream_ns`.
    ///
    /// A stanza in [`ns::CLIENT`] is written without `xmlns` on every stream, also on a component's
    /// ([`ns::COMPONENT`]). An element in [`ns::STREAM`] gets the prefix `stream:`.
    ///
    /// The result is always well-formed: characters that XML forbids are left out, in names they become `_`, attributes
    /// with forbidden names are left out.
    pub fn write(&self, out: &mut String, stream_ns: &str) {
        write::stream_child(self, out, stream_ns);
    }

    /// The element as XML that can stand alone.
    pub fn to_xml(&self) -> String {
        let mut out = String::new();
        write::alone(self, &mut out);
        out
    }

    /// Writes the element as XML that can stand alone, without the attributes and child elements that these say are to be
    /// left out.
    pub fn write_without(
        &self,
        out: &mut String,
        attribute: impl Fn(&str, &str) -> bool,
        child: impl Fn(&Self) -> bool,
    ) {
        write::without(self, out, attribute, child);
    }

    /// Parses one element that stands alone. At most 256 levels deep.
    ///
    /// # Errors
    /// If `xml` is not exactly one namespace-well-formed element, or holds a comment, a processing instruction, a DTD
    /// or a reference to an entity that XML does not predefine.
    pub fn parse(xml: &str) -> Result<Self, XmlError> {
        parse::alone(xml)
    }

    /// Whether this is in the namespace of stanzas and a message, presence or iq.
    pub fn is_stanza(&self) -> bool {
        *self.ns == *ns::CLIENT && matches!(self.name(), "message" | "presence" | "iq")
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_xml())
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_xml())
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let xml = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&xml).map_err(serde::de::Error::custom)
    }
}
