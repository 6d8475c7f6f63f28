//! XEP-0030: Service Discovery.

use std::borrow::Cow;

use crate::element::Element;
use crate::ns;
use crate::xep_0004::Form;

/// What an entity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Such as `gateway`, `client`, `conference`.
    pub category: Cow<'static, str>,
    /// Such as `irc`, `pc`, `text`.
    pub type_: Cow<'static, str>,
    /// Its name for people.
    pub name: Option<String>,
    /// The language of the name.
    pub lang: Option<String>,
}

impl Identity {
    /// An identity without name.
    pub fn new(category: impl Into<Cow<'static, str>>, type_: impl Into<Cow<'static, str>>) -> Self {
        Self { category: category.into(), type_: type_.into(), name: None, lang: None }
    }

    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// A `disco#info` answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The node that was asked about.
    pub node: Option<String>,
    /// What it is.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<Cow<'static, str>>,
    /// More about it (XEP-0128).
    pub forms: Vec<Form>,
}

impl Info {
    /// Reads a `disco#info` query element; none if this is none.
    pub fn read(query: &Element) -> Option<Self> {
        if !query.is("query", ns::DISCO_INFO) {
            return None;
        }
        let mut info = Self { node: query.attr("node").map(str::to_owned), ..Self::default() };
        for child in query.elements() {
            match (child.name(), child.ns()) {
                ("identity", ns::DISCO_INFO) => info.identities.push(Identity {
                    category: child.attr("category").unwrap_or_default().to_owned().into(),
                    type_: child.attr("type").unwrap_or_default().to_owned().into(),
                    name: child.attr("name").map(str::to_owned),
                    lang: child.attr("xml:lang").map(str::to_owned),
                }),
                ("feature", ns::DISCO_INFO) => {
                    info.features.extend(child.attr("var").map(|var| var.to_owned().into()));
                }
                ("x", ns::DATA) => info.forms.extend(Form::read(child)),
                _ => {}
            }
        }
        Some(info)
    }

    /// The `<query/>` that says all this.
    pub fn element(&self) -> Element {
        let identities = self.identities.iter().map(|identity| {
            Element::new("identity", ns::DISCO_INFO)
                .with("category", identity.category.as_ref())
                .with("type", identity.type_.as_ref())
                .with_opt("name", identity.name.as_deref())
                .with_opt("xml:lang", identity.lang.as_deref())
        });
        let features = self
            .features
            .iter()
            .map(|feature| Element::new("feature", ns::DISCO_INFO).with("var", feature.as_ref()));
        Element::new("query", ns::DISCO_INFO)
            .with_opt("node", self.node.as_deref())
            .children_from(identities)
            .children_from(features)
            .children_from(self.forms.iter().map(Form::element))
    }

    /// Whether it can do `feature`.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Adds an identity.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Adds a feature.
    #[must_use]
    pub fn feature(mut self, feature: impl Into<Cow<'static, str>>) -> Self {
        self.features.push(feature.into());
        self
    }

    /// Adds features.
    #[must_use]
    pub fn features(mut self, features: &[&'static str]) -> Self {
        self.features.extend(features.iter().map(|feature| Cow::Borrowed(*feature)));
        self
    }

    /// Sets the node: an answer repeats the one that was asked about.
    #[must_use]
    pub fn node(mut self, node: Option<impl Into<String>>) -> Self {
        self.node = node.map(Into::into);
        self
    }
}

/// One entry of a `disco#items` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its address.
    pub jid: String,
    /// Its node.
    pub node: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
}

/// A `disco#items` answer: the `<query/>` with `items`. An answer repeats the node that was asked about.
pub fn items(node: Option<&str>, items: impl IntoIterator<Item = Item>) -> Element {
    Element::new("query", ns::DISCO_ITEMS).with_opt("node", node).children_from(items.into_iter().map(
        |item| {
            Element::new("item", ns::DISCO_ITEMS)
                .with("jid", item.jid)
                .with_opt("node", item.node)
                .with_opt("name", item.name)
        },
    ))
}

/// Reads a `disco#items` query element. Entries without address are left out.
pub fn read_items(query: &Element) -> Vec<Item> {
    let items = query.elements().filter(|child| child.is("item", ns::DISCO_ITEMS));
    items
        .filter_map(|item| {
            Some(Item {
                jid: item.attr("jid")?.to_owned(),
                node: item.attr("node").map(str::to_owned),
                name: item.attr("name").map(str::to_owned),
            })
        })
        .collect()
}

/// The question for what an entity, or a node of it, is and can do.
pub fn info_query(node: Option<&str>) -> Element {
    Element::new("query", ns::DISCO_INFO).with_opt("node", node)
}

/// The question for what an entity, or a node of it, has.
pub fn items_query(node: Option<&str>) -> Element {
    Element::new("query", ns::DISCO_ITEMS).with_opt("node", node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_as_it_was_written() {
        let info = Info::default()
            .node(Some("spectrum#x"))
            .identity(Identity::new("gateway", "irc").name("IRC"))
            .feature(ns::REGISTER)
            .features(&[ns::PING, ns::VERSION]);
        assert_eq!(
            info.element().to_xml(),
            "<query xmlns='http://jabber.org/protocol/disco#info' node='spectrum#x'>\
             <identity category='gateway' type='irc' name='IRC'/><feature var='jabber:iq:register'/>\
             <feature var='urn:xmpp:ping'/><feature var='jabber:iq:version'/></query>"
        );
        assert_eq!(Info::read(&info.element()), Some(info.clone()));
        assert!(info.has(ns::PING));
        assert!(!info.has(ns::MUC));
    }

    #[test]
    fn odd_info_is_read_as_far_as_it_goes() {
        let query = Element::parse(
            "<query xmlns='http://jabber.org/protocol/disco#info'><identity/><feature/><feature xmlns='x' var='y'/></query>",
        )
        .unwrap();
        let info = Info::read(&query).unwrap();
        assert_eq!(info.identities, [Identity::new("", "")]);
        assert!(info.features.is_empty());
        assert_eq!(Info::read(&Element::new("query", ns::DISCO_ITEMS)), None);
    }

    #[test]
    fn items_are_read_as_they_were_written() {
        let room = Item { jid: "r@gw".to_owned(), node: None, name: Some("Room".to_owned()) };
        let query = items(Some("n"), [room.clone()]).child(Element::new("item", ns::DISCO_ITEMS));
        assert_eq!(query.attr("node"), Some("n"));
        assert_eq!(read_items(&query), [room]);
    }
}
