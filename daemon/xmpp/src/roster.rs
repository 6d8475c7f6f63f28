//! RFC 6121 §2: Roster Management.

use jid::BareJid;
use serde::{Deserialize, Serialize};

use crate::element::Element;
use crate::ns;

/// Who sees whose presence (RFC 6121 §2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subscription {
    /// Nobody.
    #[default]
    None,
    /// The user sees the contact's.
    To,
    /// The contact sees the user's.
    From,
    /// Both see each other's.
    Both,
    /// The contact is to be removed, or has been.
    Remove,
}

impl Subscription {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
            Self::Remove => "remove",
        }
    }

    fn from_attr(value: Option<&str>) -> Self {
        match value {
            Some("to") => Self::To,
            Some("from") => Self::From,
            Some("both") => Self::Both,
            Some("remove") => Self::Remove,
            _ => Self::None,
        }
    }
}

/// A contact in a roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its address.
    pub jid: BareJid,
    /// The user's name for it.
    pub name: Option<String>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// Whether the user's request to see its presence is pending.
    pub ask: bool,
    /// The groups it is in.
    pub groups: Vec<String>,
}

impl Item {
    /// A contact without name and groups.
    pub fn new(jid: BareJid, subscription: Subscription) -> Self {
        Self { jid, name: None, subscription, ask: false, groups: Vec::new() }
    }

    /// The `<item/>`.
    pub fn element(&self) -> Element {
        Element::new("item", ns::ROSTER)
            .with("jid", self.jid.as_str())
            .with_opt("name", self.name.as_deref())
            .with("subscription", self.subscription.as_str())
            .with_opt("ask", self.ask.then_some("subscribe"))
            .children_from(
                self.groups.iter().map(|group| Element::new("group", ns::ROSTER).text(group.as_str())),
            )
    }

    /// Reads an `<item/>`; none if this is none, or its address is not a JID.
    pub fn read(item: &Element) -> Option<Self> {
        if !item.is("item", ns::ROSTER) {
            return None;
        }
        let groups = item.elements().filter(|child| child.is("group", ns::ROSTER));
        Some(Self {
            jid: BareJid::new(item.attr("jid")?).ok()?,
            name: item.attr("name").map(str::to_owned).filter(|name| !name.is_empty()),
            subscription: Subscription::from_attr(item.attr("subscription")),
            ask: item.attr("ask") == Some("subscribe"),
            groups: groups
                .map(|group| group.content().into_owned())
                .filter(|group| !group.is_empty())
                .collect(),
        })
    }
}

/// A `<query/>` with `items`.
pub fn query<'i>(items: impl IntoIterator<Item = &'i Item>) -> Element {
    Element::new("query", ns::ROSTER).children_from(items.into_iter().map(Item::element))
}

/// The contacts in a `<query/>`. What cannot be read is left out.
pub fn read(query: &Element) -> impl Iterator<Item = Item> {
    query.elements().filter_map(Item::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_read_as_they_were_written() {
        let item = Item {
            name: Some("Nurse".to_owned()),
            ask: true,
            groups: vec!["Capulets".to_owned(), "Staff".to_owned()],
            ..Item::new(BareJid::new("nurse@gw").unwrap(), Subscription::From)
        };
        let query = query([&item]);
        assert_eq!(
            query.to_xml(),
            "<query xmlns='jabber:iq:roster'><item jid='nurse@gw' name='Nurse' subscription='from' ask='subscribe'>\
             <group>Capulets</group><group>Staff</group></item></query>"
        );
        assert_eq!(read(&query).collect::<Vec<_>>(), [item]);
    }

    #[test]
    fn odd_contacts_are_left_out() {
        let query = Element::parse(
            "<query xmlns='jabber:iq:roster'><item/><item jid='a b'/><item jid='a/r'/><odd/>\
             <item jid='a' subscription='odd' name=''><group/></item></query>",
        )
        .unwrap();
        let items: Vec<_> = read(&query).collect();
        assert_eq!(items, [Item::new(BareJid::new("a").unwrap(), Subscription::None)]);
    }
}
