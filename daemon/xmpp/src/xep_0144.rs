//! XEP-0144: Roster Item Exchange.

use jid::BareJid;

use crate::element::Element;
use crate::ns;

/// What the user is asked to do with a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add it to the roster.
    Add,
    /// Change its name or groups.
    Modify,
    /// Remove it.
    Delete,
}

/// One contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What to do with it.
    pub action: Action,
    /// Its address.
    pub jid: BareJid,
    /// Its name for people.
    pub name: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
}

/// The payload of the iq or message that suggests the changes.
pub fn element(items: impl IntoIterator<Item = Item>) -> Element {
    Element::new("x", ns::ROSTERX).children_from(items.into_iter().map(|item| {
        let action = match item.action {
            Action::Add => "add",
            Action::Modify => "modify",
            Action::Delete => "delete",
        };
        Element::new("item", ns::ROSTERX)
            .with("action", action)
            .with("jid", item.jid.as_str())
            .with_opt("name", item.name)
            .children_from(
                item.groups.into_iter().map(|group| Element::new("group", ns::ROSTERX).text(group)),
            )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        let item = Item {
            action: Action::Add,
            jid: BareJid::new("nurse@gw").unwrap(),
            name: Some("Nurse".to_owned()),
            groups: vec!["Capulets".to_owned()],
        };
        assert_eq!(
            element([item]).to_xml(),
            "<x xmlns='http://jabber.org/protocol/rosterx'>\
             <item action='add' jid='nurse@gw' name='Nurse'><group>Capulets</group></item></x>"
        );
    }
}
