//! How contacts of the network get into the user's roster: directly where his server lets us (XEP-0356), by roster
//! item exchange where his client can (XEP-0144), else by subscription requests, a few at a time.

use std::collections::{HashMap, VecDeque};

use jid::Jid;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Buddy, Frame};
use spectrum2_xmpp::roster::{self, Item, Subscription};
use spectrum2_xmpp::stanza::Condition;
use spectrum2_xmpp::xep_0144::{self, Action};
use spectrum2_xmpp::xep_0356::Privileges;
use spectrum2_xmpp::{Element, ns};

use super::contact::{Contact, flag};
use super::context::{Context, LABEL, Query, clip};
use super::presence;
use super::session::Session;
use super::timer::Timer;
use super::user::User;
use crate::storage::StoredContact;

/// After the first new contact, others are waited for.
const GATHER: u64 = 1_000;
/// Pause between two rounds.
const PACE: u64 = 500;
/// Roster sets of one round.
const SETS: usize = 40;
/// Items of one exchange (XEP-0144 §8: clients show them to a person).
const ITEMS: usize = 100;
/// Groups that a contact may be in.
const GROUPS: usize = 32;
/// Subscription requests of one round.
const REQUESTS: usize = 3;

/// Who puts contacts into the roster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    /// Not known yet.
    #[default]
    Unknown,
    /// The server has been asked for the roster: an answer means that it may be written too.
    Asking,
    /// We do (XEP-0356 §4).
    Privileged,
    /// A client does (XEP-0144), or the user himself, contact by contact.
    Client,
}

/// What is known of the user's roster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    way: Way,
    /// Items of ours that are in it: local part → name and groups.
    items: HashMap<String, (String, Vec<String>)>,
    /// Contacts that are not in it as they should be.
    todo: VecDeque<String>,
}

impl User {
    /// A session begins: finds out how contacts can get into the roster.
    pub fn roster_begin(&mut self, cx: &mut Context) {
        if self.roster.way != Way::Unknown {
            return;
        }
        // XEP-0356 §4.1; servers that never told of privileges may still know XEP-0321, whose stanzas are the same.
        let iq = roster_iq(cx, "get", self.jid.as_str(), None);
        if cx.query(&self.jid, Jid::from(self.jid.clone()), iq, Query::Roster) {
            self.roster.way = Way::Asking;
        }
    }

    /// The XMPP link is lost: what it will let us do is to be found out anew.
    pub fn roster_interrupted(&mut self) {
        self.roster.way = Way::Unknown;
    }

    /// His server has just said that we may write his roster.
    pub fn roster_granted(&mut self, cx: &mut Context) {
        if self.roster.way == Way::Client && self.session != Session::Offline {
            self.roster.way = Way::Unknown;
            self.roster_begin(cx);
        }
    }

    /// Logged in: what was left over goes on.
    pub fn roster_ready(&mut self, cx: &mut Context) {
        self.roster_begin(cx);
        if !self.roster.todo.is_empty() {
            cx.timers.set_once(Timer::Roster(self.jid.clone()), cx.now.after(GATHER));
        }
    }

    /// The server shows the roster, or does not.
    pub fn roster_answer(&mut self, cx: &mut Context, query: Option<&Element>) {
        let granted = cx.privileges_for(&self.jid).map(Privileges::roster_both);
        let query = match (query, granted) {
            // To read is not to write.
            (_, Some(false)) | (None, None) => {
                self.roster.way = Way::Client;
                return;
            }
            (None, Some(true)) => {
                self.roster.way = Way::Privileged;
                return;
            }
            (Some(query), _) => query,
        };
        self.roster.way = Way::Privileged;
        self.roster.items.clear();
        for item in query.elements().filter(|item| item.name() == "item") {
            let Some(node) = own_node(cx, item) else { continue };
            if item.attr("subscription") == Some("both") {
                if let Some(contact) = self.contacts.by_node(&node)
                    && !contact.stored.subscribed
                {
                    contact.stored.subscribed = true;
                    contact.dirty = true;
                }
                self.roster.items.insert(node, name_and_groups(item));
            }
        }
        self.save_later(cx);
    }

    /// A contact is new in this session, or its name or groups are: the roster should follow.
    pub fn roster_wants(&mut self, cx: &mut Context, node: &str) {
        let Some(contact) = self.contacts.by_node(node) else { return };
        if contact.is_denied() {
            return;
        }
        let entry = (contact.stored.alias.clone(), contact.stored.groups.clone());
        if self.roster.items.get(node) == Some(&entry) && contact.stored.subscribed {
            return;
        }
        let subscribed = contact.stored.subscribed;
        // A client that did not take what it was offered is not asked again, nor told of its changes.
        if self.roster.way == Way::Client && contact.settled() && !(subscribed && self.exchanger().is_some())
        {
            return;
        }
        if !self.roster.todo.iter().any(|waiting| waiting == node) {
            self.roster.todo.push_back(node.to_owned());
        }
        cx.timers.set_once(Timer::Roster(self.jid.clone()), cx.now.after(GATHER));
    }

    /// The next round.
    pub fn roster_round(&mut self, cx: &mut Context) {
        match self.roster.way {
            // Goes on when the link is back.
            _ if !cx.up => return,
            Way::Unknown | Way::Asking if !self.roster.todo.is_empty() => {
                self.roster_begin(cx);
                cx.timers.set(Timer::Roster(self.jid.clone()), cx.now.after(PACE));
                return;
            }
            Way::Unknown | Way::Asking => return,
            Way::Privileged => self.set_items(cx),
            // A client that was not asked yet what it can do will have answered by the next round.
            Way::Client
                if self.resources.values().any(|r| r.exchange.is_none()) && self.exchanger().is_none() => {}
            Way::Client => match self.exchanger() {
                Some(resource) => self.exchange_items(cx, &resource),
                None => self.request_subscriptions(cx),
            },
        }
        if !self.roster.todo.is_empty() {
            cx.timers.set(Timer::Roster(self.jid.clone()), cx.now.after(PACE));
        }
    }

    /// A client that takes roster item exchanges.
    fn exchanger(&self) -> Option<String> {
        self.resources.iter().find(|(_, r)| r.exchange == Some(true)).map(|(name, _)| name.clone())
    }

    fn next_todo(&mut self) -> Option<(String, StoredContact)> {
        while let Some(node) = self.roster.todo.pop_front() {
            if let Some(contact) = self.contacts.by_node(&node) {
                let stored = contact.stored.clone();
                return Some((node, stored));
            }
        }
        // It is empty for most of a session.
        self.roster.todo = VecDeque::new();
        None
    }

    /// RFC 6121 §2.3.1: a roster set has exactly one item.
    fn set_items(&mut self, cx: &mut Context) {
        for _ in 0..SETS {
            let Some((node, stored)) = self.next_todo() else { return };
            let Some(jid) = cx.contact_jid(&node) else { continue };
            let item = Item {
                name: alias(&stored),
                groups: stored.groups.clone(),
                ..Item::new(jid, Subscription::Both)
            };
            let iq = roster_iq(cx, "set", self.jid.as_str(), Some(&item));
            self.roster.items.insert(node.clone(), (stored.alias, stored.groups));
            if !cx.query(&self.jid, Jid::from(self.jid.clone()), iq, Query::RosterSet(node.clone())) {
                self.roster.items.remove(&node);
                self.roster.todo.push_front(node);
                return;
            }
        }
    }

    /// The server has taken an item.
    pub fn roster_was_set(&mut self, cx: &mut Context, node: &str, error: Option<Condition>) {
        let Some(contact) = self.contacts.by_node(node) else { return };
        if let Some(error) = error {
            self.roster.items.remove(node);
            // COMPAT(ejabberd): versions up to 23.04 grant access to rosters and break down at every change of one.
            // Remove when Debian 12 is history.
            let broken = error == Condition::InternalServerError;
            if broken
                || matches!(error, Condition::Forbidden | Condition::NotAllowed | Condition::NotAuthorized)
            {
                self.roster.way = Way::Client;
            }
            if self.roster.way != Way::Privileged || !cx.up {
                self.roster_wants(cx, node);
            }
            return;
        }
        contact.dirty |= !contact.stored.subscribed;
        contact.stored.subscribed = true;
        // Until now the client did not know whose presence it got.
        if contact.is_visible() {
            let stanza = presence::of_contact(cx, contact, self.jid.as_str());
            cx.send(stanza);
        }
        self.save_later(cx);
    }

    /// XEP-0144 §3: all that is new in one stanza, to be confirmed by the user at once.
    fn exchange_items(&mut self, cx: &mut Context, resource: &str) {
        let mut items = Vec::new();
        for _ in 0..ITEMS {
            let Some((node, stored)) = self.next_todo() else { break };
            self.roster.items.insert(node.clone(), (stored.alias.clone(), stored.groups.clone()));
            // XEP-0144 §3.2 and §3.4.
            let action = if stored.subscribed { Action::Modify } else { Action::Add };
            if let Some(jid) = cx.contact_jid(&node) {
                items.push(xep_0144::Item { action, jid, name: alias(&stored), groups: stored.groups });
            }
            if let Some(contact) = self.contacts.by_node(&node) {
                contact.asked = true;
                contact.stored.flags |= flag::OFFERED;
                contact.dirty = true;
            }
        }
        if !items.is_empty() {
            self.send_exchange(cx, resource, xep_0144::element(items));
        }
        self.save_later(cx);
    }

    fn send_exchange(&self, cx: &mut Context, resource: &str, exchange: Element) {
        let id = cx.id();
        let iq = Element::new("iq", ns::CLIENT)
            .with("type", "set")
            .with("from", cx.jid.as_str())
            .with("to", presence::full(&self.jid, resource))
            .with("id", id)
            .child(exchange);
        cx.send(iq);
    }

    /// One request a contact, a few at a time, and never again once denied.
    fn request_subscriptions(&mut self, cx: &mut Context) {
        let mut requests = 0;
        while requests < REQUESTS {
            let Some((node, stored)) = self.next_todo() else { return };
            let Some(contact) = self.contacts.by_node(&node) else { continue };
            if contact.settled() {
                continue;
            }
            contact.asked = true;
            requests += 1;
            let stanza = subscription_request(cx, &node, &stored.alias, self.jid.as_str());
            cx.send(stanza);
        }
    }

    /// The network told of a contact: new, or changed.
    pub fn buddy_changed(&mut self, cx: &mut Context, buddy: &Buddy) {
        let own = self.registration.as_ref().map(|r| r.legacy_name.to_lowercase());
        let Some(node) = self.buddy_node(cx, buddy, own.as_deref()) else { return };
        let Some(contact) = self.contacts.by_node(&node) else { return };
        let is_new = !contact.reported;
        contact.reported = true;
        let before = contact.stored.clone();
        if let Some(alias) = buddy.alias.as_deref().filter(|alias| !alias.is_empty()) {
            contact.stored.alias = clip(alias.to_owned(), LABEL);
        }
        if !buddy.groups.is_empty() {
            contact.stored.groups = groups(&buddy.groups);
        }
        if let Some(hash) = &buddy.icon_hash {
            contact.stored.icon_hash = clip(hash.clone(), LABEL);
        }
        match buddy.blocked {
            Some(true) => contact.stored.flags |= flag::BLOCKED,
            Some(false) => contact.stored.flags &= !flag::BLOCKED,
            None => {}
        }
        contact.dirty |= contact.stored != before;
        let dirty = contact.dirty;
        let renamed = contact.stored.alias != before.alias || contact.stored.groups != before.groups;
        let icon_changed = contact.stored.icon_hash != before.icon_hash;
        self.presence_changed(cx, &node, buddy, icon_changed);
        if is_new || renamed {
            self.roster_wants(cx, &node);
        }
        if dirty {
            self.save_later(cx);
        }
    }

    /// Local part for a contact that the network tells of; a new one is made room for.
    fn buddy_node(&mut self, cx: &Context, buddy: &Buddy, own: Option<&str>) -> Option<String> {
        if let Some(contact) = self.contacts.by_name(&buddy.buddy_name) {
            return Some(contact.node.clone());
        }
        let limit = usize::try_from(cx.config.service.max_contacts).unwrap_or(usize::MAX);
        if self.contacts.len() >= limit || own == Some(buddy.buddy_name.to_lowercase().as_str()) {
            return None;
        }
        let stored = StoredContact {
            legacy_name: buddy.buddy_name.clone(),
            alias: String::new(),
            groups: Vec::new(),
            subscribed: false,
            flags: if cx.escaping() { flag::ESCAPED } else { 0 },
            icon_hash: String::new(),
        };
        let mut contact = Contact::new(stored)?;
        contact.dirty = true;
        self.contacts.insert(contact).map(|contact| contact.node.clone())
    }

    /// One stanza for all that changed of a contact's presence, none if nothing did.
    fn presence_changed(&mut self, cx: &mut Context, node: &str, buddy: &Buddy, icon_changed: bool) {
        let Some(contact) = self.contacts.by_node(node) else { return };
        let before = contact.presence.clone();
        if let Some(status) = buddy.status_type() {
            contact.presence.status = Some(status);
            contact.presence.text = clip(buddy.status_message.clone().unwrap_or_default(), LABEL);
        }
        let visible = |status: Option<_>| status.is_some_and(presence::is_visible);
        let is = visible(contact.presence.status);
        let changed = contact.presence != before || icon_changed;
        if contact.is_denied() || !changed || !(is || visible(before.status)) {
            return;
        }
        let stanza = presence::of_contact(cx, contact, self.jid.as_str());
        cx.send(stanza);
    }

    /// The network does not have the contact any more.
    pub fn buddy_removed(&mut self, cx: &mut Context, buddy: &Buddy) {
        let Some(node) = self.contacts.by_name(&buddy.buddy_name).map(|contact| contact.node.clone()) else {
            return;
        };
        self.drop_contact(cx, &node);
        self.roster_drop(cx, &node);
    }

    /// Forgets a contact, here and in storage.
    pub fn drop_contact(&mut self, cx: &mut Context, node: &str) -> Option<Contact> {
        let contact = self.contacts.remove_node(node)?;
        self.unsave(cx, &contact.stored.legacy_name);
        Some(contact)
    }

    /// Takes a contact out of the roster.
    fn roster_drop(&mut self, cx: &mut Context, node: &str) {
        self.roster.items.remove(node);
        let Some(contact) = cx.contact_jid(node) else { return };
        if self.roster.way == Way::Privileged {
            let item = Item::new(contact, Subscription::Remove);
            let iq = roster_iq(cx, "set", self.jid.as_str(), Some(&item));
            cx.send(iq);
            return;
        }
        if let Some(resource) = self.exchanger() {
            // XEP-0144 §3.3.
            let (name, groups) = (None, Vec::new());
            let item = xep_0144::Item { action: Action::Delete, jid: contact.clone(), name, groups };
            self.send_exchange(cx, &resource, xep_0144::element([item]));
        }
        let jid = contact.to_string();
        cx.send(presence::typed(jid.clone(), self.jid.as_str(), "unsubscribe"));
        cx.send(presence::typed(jid, self.jid.as_str(), "unsubscribed"));
    }

    /// A client of the user changed a roster item of ours, and his server tells us (XEP-0356 §4.4, XEP-0321).
    pub fn roster_pushed(&mut self, cx: &mut Context, query: &Element) {
        for item in query.elements().filter(|item| item.name() == "item") {
            let Some(node) = own_node(cx, item) else { continue };
            if item.attr("subscription") == Some("remove") {
                self.roster.items.remove(&node);
                self.user_removes(cx, &node);
                continue;
            }
            let entry = name_and_groups(item);
            // What only echoes our own set is no change, though the network may have made one since.
            if self.roster.items.get(&node) == Some(&entry) {
                continue;
            }
            if self.contacts.by_node(&node).is_none() && !self.make_contact(cx, &node) {
                continue;
            }
            self.roster.items.insert(node.clone(), entry.clone());
            let (alias, groups) = entry;
            let Some(contact) = self.contacts.by_node(&node) else { continue };
            contact.stored.alias = alias;
            contact.stored.groups = groups;
            contact.dirty = true;
            let contact = contact.clone();
            self.save_later(cx);
            if let Some(link) = self.online() {
                cx.frame(link, Frame::BuddyChanged(self.buddy(&contact)));
            }
        }
    }
}

/// Local part of a roster item that is a contact of ours.
fn own_node(cx: &Context, item: &Element) -> Option<String> {
    let jid: Jid = item.attr("jid")?.parse().ok()?;
    if jid.domain() != cx.jid.domain() {
        return None;
    }
    jid.node().map(|node| node.to_string())
}

fn name_and_groups(item: &Element) -> (String, Vec<String>) {
    let elements = item.elements().filter(|group| group.name() == "group");
    let names: Vec<String> = elements.map(|group| group.content().into_owned()).collect();
    (clip(item.attr("name").unwrap_or_default().to_owned(), LABEL), groups(&names))
}

/// Groups as a roster and the database can have them: RFC 6121 §2.3.3 forbids empty and repeated ones.
fn groups(names: &[String]) -> Vec<String> {
    let storable = names.iter().filter(|name| !name.is_empty() && !name.contains('\n'));
    let mut groups: Vec<String> = storable.take(GROUPS).map(|name| clip(name.clone(), LABEL)).collect();
    groups.sort();
    groups.dedup();
    // Most contacts are in one.
    groups.shrink_to_fit();
    groups
}

/// A roster request in the user's name (RFC 6121 §2.1).
pub fn roster_iq(cx: &mut Context, kind: &'static str, to: &str, item: Option<&Item>) -> Element {
    let id = cx.id();
    Element::new("iq", ns::CLIENT)
        .with("type", kind)
        .with("from", cx.jid.as_str())
        .with("to", to)
        .with("id", id)
        .child(roster::query(item))
}

/// What the roster calls it, if anything.
fn alias(stored: &StoredContact) -> Option<String> {
    (!stored.alias.is_empty()).then(|| stored.alias.clone())
}

/// A contact asks for the user's presence, under its alias (XEP-0172 §4.2).
pub fn subscription_request(cx: &Context, node: &str, alias: &str, to: &str) -> Element {
    let request = presence::typed(cx.contact_bare(node), to, "subscribe");
    if alias.is_empty() {
        return request;
    }
    request.child(Element::new("nick", ns::NICK).text(alias))
}
