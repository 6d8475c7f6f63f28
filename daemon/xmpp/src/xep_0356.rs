//! XEP-0356: Privileged Entity: what the server lets the gateway do for its users.
//!
//! The server announces it in a message. Whoever reads one must first make sure that it comes from the own server.

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};

use crate::element::Element;
use crate::ns;
use crate::roster;
use crate::stanza::{MessageType, iq_get, iq_set, message};
use crate::xep_0280::forwarded;

/// Which edition of the XEP the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edition {
    /// `urn:xmpp:privilege:1`.
    One,
    /// `urn:xmpp:privilege:2`.
    Two,
}

impl Edition {
    fn ns(self) -> &'static str {
        match self {
            Self::One => ns::PRIVILEGE_1,
            Self::Two => ns::PRIVILEGE_2,
        }
    }
}

/// What the server lets us do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Which edition to speak with it.
    pub edition: Edition,
    /// Read users' rosters.
    pub roster_get: bool,
    /// Change users' rosters.
    pub roster_set: bool,
    /// Be told of changes in rosters.
    pub roster_push: bool,
    /// Send messages in users' names.
    pub message_outgoing: bool,
    /// Be told of the presence of users.
    pub presence: bool,
    /// Ask the pubsub service of users (XEP-0163) in their names, and change what is there.
    pub iq_pubsub: bool,
    /// The same with their private storage (XEP-0049).
    pub iq_private: bool,
}

impl Privileges {
    /// Reads an announcement (§4.1); the newer edition if there are both. None if the message is none.
    pub fn read(message: &Element) -> Option<Self> {
        [Edition::Two, Edition::One].into_iter().find_map(|edition| {
            message.find("privilege", edition.ns()).map(|privilege| Self::of(edition, privilege))
        })
    }

    fn of(edition: Edition, privilege: &Element) -> Self {
        let mut granted = Self {
            edition,
            roster_get: false,
            roster_set: false,
            roster_push: false,
            message_outgoing: false,
            presence: false,
            iq_pubsub: false,
            iq_private: false,
        };
        for perm in privilege.elements().filter(|child| child.is("perm", edition.ns())) {
            let kind = perm.attr("type").unwrap_or("none");
            match perm.attr("access") {
                Some("roster") => {
                    granted.roster_get = matches!(kind, "get" | "both");
                    granted.roster_set = matches!(kind, "set" | "both");
                    // §4.2.1: on unless it is turned off; edition one has no such thing.
                    granted.roster_push = edition == Edition::Two
                        && granted.roster_get
                        && !matches!(perm.attr("push"), Some("false" | "0"));
                }
                Some("message") => granted.message_outgoing = kind == "outgoing",
                // §6.1.
                Some("iq") => {
                    let both = |namespace| {
                        perm.elements().any(|child| {
                            child.is("namespace", edition.ns())
                                && child.attr("ns") == Some(namespace)
                                && child.attr("type") == Some("both")
                        })
                    };
                    (granted.iq_pubsub, granted.iq_private) = (both(ns::PUBSUB), both(ns::PRIVATE));
                }
                Some("presence") => granted.presence = matches!(kind, "managed_entity" | "roster"),
                _ => {}
            }
        }
        granted
    }

    /// Whether rosters may be read and changed.
    pub const fn roster_both(&self) -> bool {
        self.roster_get && self.roster_set
    }

    /// Wraps a request in a user's name to his own account (§6.2).
    pub fn iq_from_user(
        gateway: &BareJid,
        user: &BareJid,
        kind: &'static str,
        id: String,
        inner_id: String,
        payload: Element,
    ) -> Element {
        let inner = Element::new("iq", ns::CLIENT)
            .with("type", kind)
            .with("to", user.as_str())
            .with("id", inner_id)
            .child(payload);
        Element::new("iq", ns::CLIENT)
            .with("from", gateway.as_str())
            .with("to", user.as_str())
            .with("type", kind)
            .with("id", id)
            .child(Element::new("privileged_iq", ns::PRIVILEGE_2).child(inner))
    }

    /// The answer in the answer to [`Self::iq_from_user`] (§6.2).
    pub fn iq_answer(payload: &Element) -> Option<&Element> {
        payload
            .is("privilege", ns::PRIVILEGE_2)
            .then(|| payload.find("forwarded", ns::FORWARD)?.find("iq", ns::CLIENT))
            .flatten()
    }

    /// Wraps a message in a user's name, to be sent by the user's server (§5.3). `inner` must be from the user's bare JID.
    pub fn message_from_user(&self, gateway: &Jid, server: &Jid, inner: Element) -> Element {
        message(gateway, server, MessageType::Normal)
            .child(Element::new("privilege", self.edition.ns()).child(forwarded(inner)))
    }
}

/// The question for a user's roster (§4.2.2), the same in both editions and in XEP-0321.
pub fn roster_get(gateway: &Jid, user: &BareJid, id: impl Into<String>) -> Element {
    iq_get(gateway, user, id).child(roster::query([]))
}

/// A change in a user's roster (§4.2.3). RFC 6121 §2.1.5 lets a set have one item only.
pub fn roster_set(gateway: &Jid, user: &BareJid, id: impl Into<String>, item: &roster::Item) -> Element {
    iq_set(gateway, user, id).child(roster::query([item]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(content: &str) -> Option<Privileges> {
        Privileges::read(
            &Element::parse(&format!("<message xmlns='jabber:client'>{content}</message>")).unwrap(),
        )
    }

    #[test]
    fn what_prosody_announces() {
        let granted = announced(
            "<privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='both' push='true'/>\
             <perm access='message' type='outgoing'/><perm access='presence' type='managed_entity'/>\
             <perm access='iq'><namespace ns='x' type='get'/>\
             <namespace ns='http://jabber.org/protocol/pubsub' type='both'/></perm></privilege>",
        )
        .unwrap();
        assert_eq!(
            granted,
            Privileges {
                edition: Edition::Two,
                roster_get: true,
                roster_set: true,
                roster_push: true,
                message_outgoing: true,
                presence: true,
                iq_pubsub: true,
                iq_private: false,
            }
        );
    }

    #[test]
    fn the_first_edition_and_partial_grants() {
        let granted = announced(
            "<privilege xmlns='urn:xmpp:privilege:1'><perm access='roster' type='get'/></privilege>",
        )
        .unwrap();
        assert_eq!(granted.edition, Edition::One);
        assert!(granted.roster_get);
        assert!(
            !granted.roster_set && !granted.roster_push && !granted.message_outgoing && !granted.presence
        );
        let nothing = announced("<privilege xmlns='urn:xmpp:privilege:2'><perm/></privilege>").unwrap();
        assert!(!nothing.roster_get);
        assert_eq!(announced("<body/>"), None);
    }

    #[test]
    fn the_newer_edition_wins() {
        let both = "<privilege xmlns='urn:xmpp:privilege:1'/><privilege xmlns='urn:xmpp:privilege:2'/>";
        assert_eq!(announced(both).unwrap().edition, Edition::Two);
    }

    #[test]
    fn a_request_in_a_users_name() {
        let (gateway, user) = (BareJid::new("gw").unwrap(), BareJid::new("romeo@example.org").unwrap());
        let mut out = String::new();
        Privileges::iq_from_user(&gateway, &user, "get", "1".into(), "2".into(), Element::new("q", "x"))
            .write(&mut out, ns::COMPONENT);
        assert_eq!(
            out,
            "<iq from='gw' to='romeo@example.org' type='get' id='1'><privileged_iq xmlns='urn:xmpp:privilege:2'>\
             <iq xmlns='jabber:client' type='get' to='romeo@example.org' id='2'><q xmlns='x'/></iq></privileged_iq></iq>"
        );
        let answer = "<privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                      <iq xmlns='jabber:client' type='result' id='2'/></forwarded></privilege>";
        let answer = Element::parse(answer).unwrap();
        assert_eq!(Privileges::iq_answer(&answer).and_then(|iq| iq.attr("type")), Some("result"));
    }

    #[test]
    fn a_roster_change() {
        let gateway = Jid::new("gw").unwrap();
        let user = BareJid::new("romeo@example.org").unwrap();
        let item = roster::Item::new(BareJid::new("nurse@gw").unwrap(), roster::Subscription::Both);
        assert_eq!(
            roster_set(&gateway, &user, "1", &item).to_xml(),
            "<iq xmlns='jabber:client' from='gw' to='romeo@example.org' type='set' id='1'>\
             <query xmlns='jabber:iq:roster'><item jid='nurse@gw' subscription='both'/></query></iq>"
        );
        assert_eq!(
            roster_get(&gateway, &user, "2").to_xml(),
            "<iq xmlns='jabber:client' from='gw' to='romeo@example.org' type='get' id='2'>\
             <query xmlns='jabber:iq:roster'/></iq>"
        );
    }

    #[test]
    fn a_message_in_a_users_name() {
        let granted = announced("<privilege xmlns='urn:xmpp:privilege:2'/>").unwrap();
        let (gateway, server) = (Jid::new("gw").unwrap(), Jid::new("example.org").unwrap());
        let user = Jid::new("romeo@example.org").unwrap();
        let mut out = String::new();
        granted
            .message_from_user(&gateway, &server, message(&user, &user, MessageType::Chat))
            .write(&mut out, ns::COMPONENT);
        assert_eq!(
            out,
            "<message from='gw' to='example.org'><privilege xmlns='urn:xmpp:privilege:2'>\
             <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='romeo@example.org' \
             to='romeo@example.org' type='chat'/></forwarded></privilege></message>"
        );
    }
}
