//! A user's contacts on the legacy network, and how their names become JIDs.
//!
//! Names are compared without regard to letter case, as XMPP folds the local part of JIDs; the network gets the
//! spelling that it used itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::StatusType;
use spectrum2_xmpp::xep_0106;

use super::presence;
use crate::storage::StoredContact;

/// Bits of `buddies.flags` (Spectrum 2's numbers).
pub mod flag {
    /// The JID was made by XEP-0106 escaping rather than by `%` for `@`.
    pub const ESCAPED: i32 = 2;
    /// The user refused this contact's subscription: never ask again. Spectrum 2 calls it "ignore" and does not use it.
    pub const DENIED: i32 = 4;
    /// The contact is blocked on the network.
    pub const BLOCKED: i32 = 8;
    /// A client was offered it for its roster (XEP-0144). Not of Spectrum 2, which keeps bits that it does not know.
    pub const OFFERED: i32 = 16;
}

/// Whether the contact can be reached, as the network says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// `None` while offline or unknown.
    pub status: Option<StatusType>,
    /// Status text; may be empty.
    pub text: String,
}

/// A contact on the legacy network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// What is stored of it.
    pub stored: StoredContact,
    /// Local part of its JID.
    pub node: String,
    /// Its presence.
    pub presence: Presence,
    /// The network (and not only the database or the user) has it on its list in this session.
    pub reported: bool,
    /// A subscription was asked for, or a roster item exchanged, in this session.
    pub asked: bool,
    /// Differs from what storage has.
    pub dirty: bool,
    /// Was visible when the XMPP link was lost.
    pub lost_sight: bool,
}

impl Contact {
    /// Makes a contact whose name can be a JID under the given scheme; `None` if it cannot be one.
    pub fn new(stored: StoredContact) -> Option<Self> {
        let node = xep_0106::legacy_name_to_node(&stored.legacy_name, stored.flags & flag::ESCAPED != 0)?;
        Some(Self {
            stored,
            node: node.to_string(),
            presence: Presence::default(),
            reported: false,
            asked: false,
            dirty: false,
            lost_sight: false,
        })
    }

    /// The user must not be asked (again) for a subscription to it.
    pub fn settled(&self) -> bool {
        self.stored.subscribed || self.asked || self.stored.flags & (flag::DENIED | flag::OFFERED) != 0
    }

    /// The user does not want it on his list.
    pub fn is_denied(&self) -> bool {
        self.stored.flags & flag::DENIED != 0
    }

    /// The user sees it as available.
    pub fn is_visible(&self) -> bool {
        !self.is_denied() && self.presence.status.is_some_and(presence::is_visible)
    }
}

/// All contacts of one user.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Contacts {
    /// By folded legacy name. Boxed, because a table has room for twice as many as it holds.
    all: HashMap<String, Box<Contact>>,
    /// Local part of the JID → folded legacy name.
    nodes: HashMap<String, String>,
}

/// The form under which a legacy name is looked up.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

impl Contacts {
    /// Number of contacts.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All contacts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.all.values().map(Box::as_ref)
    }

    /// All contacts, to be changed (but not their names).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Contact> {
        self.all.values_mut().map(Box::as_mut)
    }

    /// The contact with this legacy name.
    pub fn by_name(&mut self, name: &str) -> Option<&mut Contact> {
        self.all.get_mut(&fold(name)).map(Box::as_mut)
    }

    /// The contact whose JID has this local part.
    pub fn by_node(&mut self, node: &str) -> Option<&mut Contact> {
        self.all.get_mut(self.nodes.get(node)?).map(Box::as_mut)
    }

    /// Adds a contact, in place of one of the same name. `None` if another name has its JID already: what is folded to
    /// one local part (STRASSE, straße) must not be able to pass for another.
    pub fn insert(&mut self, contact: Contact) -> Option<&mut Contact> {
        let name = fold(&contact.stored.legacy_name);
        match self.nodes.entry(contact.node.clone()) {
            Entry::Occupied(owner) if *owner.get() != name => return None,
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(name.clone());
            }
        }
        Some(self.all.entry(name).insert_entry(Box::new(contact)).into_mut().as_mut())
    }

    /// Takes out the contact whose JID has this local part.
    pub fn remove_node(&mut self, node: &str) -> Option<Contact> {
        self.all.remove(&self.nodes.remove(node)?).map(|contact| *contact)
    }

    /// The legacy name that a local part stands for: the contact's own spelling, else what unescaping gives.
    pub fn legacy_name(&self, node: &str) -> String {
        match self.nodes.get(node).and_then(|name| self.all.get(name)) {
            Some(contact) => contact.stored.legacy_name.clone(),
            None => xep_0106::node_to_legacy_name(node),
        }
    }

    /// The local part for a legacy name: the contact's own one, else what the scheme gives; `None` if it cannot be one,
    /// or is that of another contact.
    pub fn node(&self, name: &str, escaping: bool) -> Option<String> {
        if let Some(contact) = self.all.get(&fold(name)) {
            return Some(contact.node.clone());
        }
        let node = xep_0106::legacy_name_to_node(name, escaping)?;
        (!self.nodes.contains_key(node.as_str())).then(|| node.to_string())
    }

    /// Forgets all presences, and that the network reported anything.
    pub fn forget_session(&mut self) {
        for contact in self.all.values_mut() {
            contact.presence = Presence::default();
            contact.reported = false;
            contact.asked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, flags: i32) -> StoredContact {
        StoredContact {
            legacy_name: name.into(),
            alias: String::new(),
            groups: vec![],
            subscribed: false,
            flags,
            icon_hash: String::new(),
        }
    }

    #[test]
    fn both_schemes_lead_back_to_the_name() {
        let mut contacts = Contacts::default();
        contacts.insert(Contact::new(stored("Nurse@example.net", flag::ESCAPED)).expect("a valid name"));
        contacts.insert(Contact::new(stored("50%Off@Example.net", 0)).expect("a valid name"));
        assert_eq!(contacts.legacy_name(r"nurse\40example.net"), "Nurse@example.net");
        assert_eq!(contacts.legacy_name("50%off%example.net"), "50%Off@Example.net");
        assert_eq!(contacts.legacy_name("paris%example.net"), "paris@example.net");
        assert_eq!(
            contacts.by_name("NURSE@example.NET").map(|c| c.node.as_str()),
            Some(r"nurse\40example.net")
        );
    }

    #[test]
    fn no_contact_passes_for_another() {
        let mut contacts = Contacts::default();
        assert!(contacts.insert(Contact::new(stored("strasse", 0)).expect("a valid name")).is_some());
        assert!(contacts.insert(Contact::new(stored("straße", 0)).expect("a valid name")).is_none());
        assert_eq!(contacts.legacy_name("strasse"), "strasse");
    }

    #[test]
    fn removed_contacts_are_gone_by_both_names() {
        let mut contacts = Contacts::default();
        contacts.insert(Contact::new(stored("nurse", 0)).expect("a valid name"));
        assert!(contacts.remove_node("nurse").is_some());
        assert!(contacts.by_name("nurse").is_none());
        assert_eq!(contacts.len(), 0);
    }
}
