//! Subscriptions between the user and his contacts: adding, removing, authorising and refusing people.

use spectrum2_backend_protocol::{Buddy, Frame};
use spectrum2_xmpp::stanza::{Condition, ErrorType};
use spectrum2_xmpp::{Element, xep_0106};

use super::contact::{Contact, flag};
use super::context::{Context, LABEL, clip};
use super::presence;
use super::roster::subscription_request;
use super::user::User;
use crate::storage::StoredContact;

/// Strangers who may be waiting for an answer of one user.
const AUTH_REQUESTS: usize = 500;

impl User {
    /// A subscription stanza of the user, to a contact.
    pub fn subscription(&mut self, cx: &mut Context, kind: &str, node: &str, stanza: &Element) {
        if self.registration.is_none() {
            if kind == "subscribe" {
                cx.send(presence::typed(cx.contact_bare(node), self.jid.as_str(), "unsubscribed"));
            }
            return;
        }
        match kind {
            "subscribe" => self.user_adds(cx, node, stanza),
            "subscribed" => self.user_authorises(cx, node),
            "unsubscribe" => {
                self.user_removes(cx, node);
                let contact = cx.contact_bare(node);
                cx.send(presence::typed(contact.clone(), self.jid.as_str(), "unsubscribed"));
                cx.send(presence::typed(contact, self.jid.as_str(), "unsubscribe"));
            }
            _ => self.user_denies(cx, node),
        }
    }

    /// The user wants the contact on his list.
    fn user_adds(&mut self, cx: &mut Context, node: &str, stanza: &Element) {
        let Some(link) = self.online() else {
            // RFC 6121 §3.1.3: not an answer of the contact, so not a refusal.
            cx.refuse(
                stanza,
                ErrorType::Wait,
                Condition::RecipientUnavailable,
                "You are not logged in to the network",
            );
            return;
        };
        if self.contacts.by_node(node).is_none() && !self.make_contact(cx, node) {
            cx.refuse(
                stanza,
                ErrorType::Cancel,
                Condition::NotAcceptable,
                "Your contact list is full, or that is no name",
            );
            return;
        }
        let Some(contact) = self.contacts.by_node(node) else { return };
        let ask_back = !contact.stored.subscribed;
        contact.stored.subscribed = true;
        contact.stored.flags &= !flag::DENIED;
        contact.dirty = true;
        contact.asked = true;
        let contact = contact.clone();
        self.auth_requests.remove(node);
        cx.frame(link, Frame::BuddyChanged(self.buddy(&contact)));
        let bare = cx.contact_bare(node);
        cx.send(presence::typed(bare, self.jid.as_str(), "subscribed"));
        if ask_back {
            cx.send(subscription_request(cx, node, "", self.jid.as_str()));
        }
        let stanza = presence::of_contact(cx, &contact, self.jid.as_str());
        cx.send(stanza);
        self.save_later(cx);
    }

    /// The user lets the contact see his presence: a request of the network is granted, or one of ours.
    fn user_authorises(&mut self, cx: &mut Context, node: &str) {
        if let Some(name) = self.auth_requests.get(node).cloned() {
            self.auth_requests.remove(node);
            let buddy =
                Buddy { user_name: self.jid.to_string(), buddy_name: name.clone(), ..Default::default() };
            let known = self.contacts.by_node(node).cloned();
            let buddy = known.map_or(buddy, |contact| self.buddy(&contact));
            self.when_online(cx, Frame::BuddyChanged(buddy));
        }
        let Some(contact) = self.contacts.by_node(node) else { return };
        if !contact.stored.subscribed || contact.is_denied() {
            contact.stored.subscribed = true;
            contact.stored.flags &= !flag::DENIED;
            contact.dirty = true;
        }
        let stanza = presence::of_contact(cx, contact, self.jid.as_str());
        cx.send(stanza);
        self.save_later(cx);
    }

    /// Sends a frame now, or when the login that is under way has come about.
    fn when_online(&mut self, cx: &mut Context, frame: Frame) {
        match self.online() {
            Some(link) => cx.frame(link, frame),
            None if self.expects_login() && self.unsent.len() < AUTH_REQUESTS => self.unsent.push(frame),
            None => {}
        }
    }

    /// The user takes the contact off his list. Unless the network forgets it too it would be back at the next login:
    /// so it is remembered that he does not want it.
    pub fn user_removes(&mut self, cx: &mut Context, node: &str) {
        self.auth_requests.remove(node);
        if cx.config.service.enable_remove_buddy
            && let Some(link) = self.online()
        {
            if let Some(contact) = self.drop_contact(cx, node) {
                cx.frame(link, Frame::BuddyRemoved(self.buddy(&contact)));
            }
            return;
        }
        let Some(contact) = self.contacts.by_node(node) else { return };
        contact.stored.subscribed = false;
        contact.stored.flags |= flag::DENIED;
        contact.dirty = true;
        self.save_later(cx);
    }

    /// The user does not let the contact see his presence.
    fn user_denies(&mut self, cx: &mut Context, node: &str) {
        if let Some(name) = self.auth_requests.remove(node) {
            let buddy = Buddy { user_name: self.jid.to_string(), buddy_name: name, ..Default::default() };
            self.when_online(cx, Frame::BuddyRemoved(buddy));
            return;
        }
        let Some(contact) = self.contacts.by_node(node) else { return };
        if !contact.stored.subscribed {
            contact.stored.flags |= flag::DENIED;
            contact.dirty = true;
            cx.send(presence::typed(cx.contact_bare(node), self.jid.as_str(), "unsubscribe"));
            self.save_later(cx);
        }
    }

    /// Somebody on the network asks to see the user's presence.
    pub fn auth_request(&mut self, cx: &mut Context, buddy: &Buddy) {
        let Some(node) = self.node_for(cx, &buddy.buddy_name) else { return };
        if self.auth_requests.len() >= AUTH_REQUESTS && !self.auth_requests.contains_key(&node) {
            return;
        }
        let alias = clip(buddy.alias.clone().unwrap_or_default(), LABEL);
        cx.send(subscription_request(cx, &node, &alias, self.jid.as_str()));
        self.auth_requests.insert(node, buddy.buddy_name.clone());
    }

    /// The user's server asks for the presence of a contact.
    pub fn contact_probed(&mut self, cx: &mut Context, node: &str, from: &str) {
        let stanza = match self.contacts.by_node(node) {
            Some(contact) if !contact.is_denied() => presence::of_contact(cx, contact, from),
            _ => presence::typed(cx.contact_bare(node), from, "unavailable"),
        };
        cx.send(stanza);
    }

    /// Makes a contact of a JID that the user knows from elsewhere.
    pub fn make_contact(&mut self, cx: &Context, node: &str) -> bool {
        let limit = usize::try_from(cx.config.service.max_contacts).unwrap_or(usize::MAX);
        let legacy_name = match self.auth_requests.get(node) {
            Some(name) => name.clone(),
            None => xep_0106::node_to_legacy_name(node),
        };
        if self.contacts.len() >= limit || legacy_name.is_empty() {
            return false;
        }
        // Which scheme the JID follows shows in the JID.
        let escaped = xep_0106::unescape(node) != node || !node.contains('%');
        let stored = StoredContact {
            legacy_name,
            alias: String::new(),
            groups: Vec::new(),
            subscribed: false,
            flags: if escaped { flag::ESCAPED } else { 0 },
            icon_hash: String::new(),
        };
        let Some(mut contact) = Contact::new(stored) else { return false };
        node.clone_into(&mut contact.node);
        self.contacts.insert(contact).is_some()
    }
}
