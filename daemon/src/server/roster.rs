//! The roster of an account (RFC 6121 §2), with versions (§2.6), and its subscriptions (§3).
//!
//! It is filled by the gateway, as if that had leave to change rosters (XEP-0356), and lives as long as the account is
//! logged in. What the user changes is passed on to the gateway, and so to the network.

use std::collections::{BTreeMap, BTreeSet};

use jid::{BareJid, NodePart};
use serde::{Deserialize, Serialize};
use spectrum2_xmpp::roster::{Item, Subscription};
use spectrum2_xmpp::stanza::{Condition, ErrorType, PresenceType, iq_result, presence_of};
use spectrum2_xmpp::{Element, jid::Jid, ns};

use super::account::Account;
use super::context::{Context, refusal};

/// Requests for the user's presence that wait for his answer.
const REQUESTS: usize = 500;
/// Longest name of a contact or group, in bytes.
const LABEL: usize = 1_023;
/// Groups that a contact may be in.
const GROUPS: usize = 32;

/// The roster of an account.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Roster {
    /// By local part; the server itself has none.
    items: BTreeMap<Box<str>, Entry>,
    /// Who asks for the user's presence, and how.
    requests: BTreeMap<Box<str>, Element>,
    /// Sets this life of the roster apart from others.
    life: String,
    version: u64,
}

/// An item, in little memory: of these there are most.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: Option<Box<str>>,
    groups: Box<[Box<str>]>,
    subscription: Subscription,
    ask: bool,
}

impl From<&Item> for Entry {
    fn from(item: &Item) -> Self {
        Self {
            name: item.name.as_deref().map(Box::from),
            groups: item.groups.iter().map(|group| Box::from(group.as_str())).collect(),
            subscription: item.subscription,
            ask: item.ask,
        }
    }
}

/// Under what an item is kept.
fn key(jid: &BareJid) -> Box<str> {
    jid.node().map(|node| Box::from(node.as_str())).unwrap_or_default()
}

impl Roster {
    pub fn new(life: String, items: impl IntoIterator<Item = Item>) -> Self {
        let items = items.into_iter().map(|item| (key(&item.jid), Entry::from(&item))).collect();
        Self { items, requests: BTreeMap::new(), life, version: 1 }
    }

    /// Who asks for the user's presence.
    pub fn requests(&self) -> impl Iterator<Item = &Element> {
        self.requests.values()
    }

    /// The item of this contact.
    fn item(&self, jid: &BareJid) -> Option<Item> {
        let entry = self.items.get(&key(jid))?;
        Some(Item {
            jid: jid.clone(),
            name: entry.name.as_deref().map(str::to_owned),
            subscription: entry.subscription,
            ask: entry.ask,
            groups: entry.groups.iter().map(|group| group.to_string()).collect(),
        })
    }

    fn version(&self) -> String {
        format!("{}-{}", self.life, self.version)
    }

    /// The answer to a request for it, of a client that has version `known`.
    fn query(&self, domain: &BareJid, known: Option<&str>) -> Option<Element> {
        let version = self.version();
        // RFC 6121 §2.6.3.
        if known == Some(&*version) {
            return None;
        }
        let jids = self.items.keys().filter_map(|key| match &**key {
            "" => Some(domain.clone()),
            node => Some(BareJid::from_parts(Some(&NodePart::new(node).ok()?), domain.domain())),
        });
        let items: Vec<Item> = jids.filter_map(|jid| self.item(&jid)).collect();
        Some(spectrum2_xmpp::roster::query(&items).with_opt("ver", known.map(|_| version)))
    }
}

impl Account {
    /// A client asks for the roster.
    pub fn roster_get(&mut self, cx: &mut Context, number: u64, iq: &Element, query: &Element) {
        let answer = iq_result(iq).children_from(self.roster.query(&cx.jid, query.attr("ver")));
        if let Some(session) = self.session(number) {
            session.knows_roster = true;
            session.send(cx, answer);
        }
    }

    /// A client changes the roster (RFC 6121 §2.3 to §2.5).
    pub fn roster_set(&mut self, cx: &mut Context, number: u64, iq: &Element, query: &Element, limit: usize) {
        let answer = match self.change(cx, query, limit) {
            Ok(()) => Some(iq_result(iq)),
            Err((condition, text)) => refusal(iq, condition.default_type(), condition, text),
        };
        if let (Some(session), Some(answer)) = (self.session(number), answer) {
            session.send(cx, answer);
        }
    }

    fn change(
        &mut self,
        cx: &mut Context,
        query: &Element,
        limit: usize,
    ) -> Result<(), (Condition, &'static str)> {
        let mut elements = query.elements();
        // §2.1.5: one item, no more.
        let (Some(element), None) = (elements.next(), elements.next()) else {
            return Err((Condition::BadRequest, "A roster set has exactly one item"));
        };
        let Some(item) = Item::read(element) else {
            return Err((Condition::BadRequest, "The item has no valid address"));
        };
        // Items are known by their local parts.
        let known = self.roster.item(&item.jid).filter(|_| item.jid.domain() == cx.jid.domain());
        if item.subscription == Subscription::Remove {
            if known.is_none() {
                return Err((Condition::ItemNotFound, ""));
            }
            self.roster.requests.remove(&key(&item.jid));
            self.remove_item(cx, &item.jid);
            self.tell_gateway(cx, &Item::new(item.jid, Subscription::Remove));
            return Ok(());
        }
        if item.jid.domain() != cx.jid.domain() || item.jid.node().is_none() && known.is_none() {
            return Err((Condition::NotAllowed, "Only people on this network can be contacts here"));
        }
        // §2.3.3: groups have names, and are named once.
        let groups: Vec<_> = element.elements().filter(|child| child.is("group", ns::ROSTER)).collect();
        if groups.len() != item.groups.len() {
            return Err((Condition::NotAcceptable, "A group has no name"));
        }
        if item.groups.iter().collect::<BTreeSet<_>>().len() != item.groups.len() {
            return Err((Condition::BadRequest, "A group is named twice"));
        }
        let labels = item.groups.iter().chain(&item.name);
        if item.groups.len() > GROUPS || labels.into_iter().any(|label| label.len() > LABEL) {
            return Err((Condition::NotAcceptable, "A name is too long, or there are too many groups"));
        }
        if known.is_none() && self.roster.items.len() >= limit {
            return Err((Condition::ResourceConstraint, "The roster is full"));
        }
        let (subscription, ask) =
            known.map_or((Subscription::None, false), |old| (old.subscription, old.ask));
        let item = Item { subscription, ask, ..item };
        self.tell_gateway(cx, &item);
        self.set_item(cx, &item);
        Ok(())
    }

    /// The gateway changes the roster (XEP-0356 §4.2).
    pub fn gateway_sets(&mut self, cx: &mut Context, iq: &Element, query: &Element, limit: usize) {
        for item in spectrum2_xmpp::roster::read(query) {
            if item.subscription == Subscription::Remove {
                self.remove_item(cx, &item.jid);
            } else if self.roster.items.len() < limit || self.roster.items.contains_key(&key(&item.jid)) {
                self.set_item(cx, &item);
            } else {
                return cx.return_to_gateway(iq, Condition::ResourceConstraint, "The roster is full");
            }
        }
        cx.pass(iq_result(iq));
    }

    /// The gateway asks for the roster (XEP-0356 §4.2.2).
    pub fn gateway_gets(&self, cx: &mut Context, iq: &Element) {
        cx.pass(iq_result(iq).children_from(self.roster.query(&cx.jid, None)));
    }

    /// Puts an item into the roster, if it is new or different, and tells clients.
    fn set_item(&mut self, cx: &mut Context, item: &Item) {
        let (key, entry) = (key(&item.jid), Entry::from(item));
        if self.roster.items.get(&key) == Some(&entry) {
            return;
        }
        self.roster.items.insert(key, entry);
        self.push(cx, item.element());
    }

    fn remove_item(&mut self, cx: &mut Context, jid: &BareJid) {
        if self.roster.items.remove(&key(jid)).is_some() {
            self.push(cx, Item::new(jid.clone(), Subscription::Remove).element());
        }
    }

    /// RFC 6121 §2.1.6.
    fn push(&mut self, cx: &mut Context, item: Element) {
        self.roster.version += 1;
        let query = Element::new("query", ns::ROSTER).with("ver", self.roster.version()).child(item);
        for session in self.sessions.iter_mut().filter(|session| session.knows_roster) {
            let push = Element::new("iq", ns::CLIENT)
                .with("type", "set")
                .with("to", format!("{}/{}", self.jid, session.resource))
                .with("id", cx.id())
                .child(query.clone());
            session.send(cx, push);
        }
    }

    /// XEP-0356 §4.4: the user changed an item himself.
    fn tell_gateway(&self, cx: &mut Context, item: &Item) {
        if self.admin {
            return;
        }
        let id = cx.id();
        let push = Element::new("iq", ns::CLIENT)
            .with("type", "set")
            .with("from", self.jid.as_str())
            .with("to", cx.domain())
            .with("id", id)
            .child(spectrum2_xmpp::roster::query([item]));
        cx.pass(push);
    }

    /// The user wants or gives up, grants or refuses a subscription (RFC 6121 §3). Gives the error for his client.
    pub fn subscription_out(
        &mut self,
        cx: &mut Context,
        kind: PresenceType,
        contact: &BareJid,
        stanza: &Element,
        limit: usize,
    ) -> Option<Element> {
        let key = key(contact);
        let known = self.roster.item(contact);
        let asked = self.roster.requests.contains_key(&key);
        let mut item = known.clone().unwrap_or_else(|| Item::new(contact.clone(), Subscription::None));
        match kind {
            PresenceType::Subscribe => {
                if known.is_none() && self.roster.items.len() >= limit {
                    return refusal(
                        stanza,
                        ErrorType::Wait,
                        Condition::ResourceConstraint,
                        "The roster is full",
                    );
                }
                // §3.1.2.
                item.ask = !sees(item.subscription);
                self.set_item(cx, &item);
            }
            PresenceType::Subscribed if asked || known.is_some() => {
                self.roster.requests.remove(&key);
                item.subscription = with_from(item.subscription);
                self.set_item(cx, &item);
            }
            // §3.1.6: nobody asked.
            PresenceType::Subscribed => return None,
            PresenceType::Unsubscribe => {
                item.ask = false;
                item.subscription = without_to(item.subscription);
                if known.is_some() {
                    self.set_item(cx, &item);
                }
            }
            _ => {
                self.roster.requests.remove(&key);
                item.subscription = without_from(item.subscription);
                if known.is_some() {
                    self.set_item(cx, &item);
                }
            }
        }
        // §3.1.2: subscriptions are between bare JIDs.
        let mut stanza = stanza.clone();
        stanza.set_attr("from", self.jid.as_str());
        stanza.set_attr("to", contact.as_str());
        cx.pass(stanza);
        None
    }

    /// A contact wants or gives up, grants or refuses a subscription.
    pub fn subscription_in(
        &mut self,
        cx: &mut Context,
        kind: PresenceType,
        contact: &BareJid,
        stanza: &Element,
    ) {
        let key = key(contact);
        let known = self.roster.item(contact);
        let tell = match (kind, known) {
            // §3.1.3: what the user has granted, or asked for himself, is granted for him.
            (PresenceType::Subscribe, Some(mut item))
                if item.ask || item.subscription != Subscription::None =>
            {
                item.subscription = with_from(item.subscription);
                self.set_item(cx, &item);
                let granted = presence_of(
                    &Jid::from(self.jid.clone()),
                    &Jid::from(contact.clone()),
                    PresenceType::Subscribed,
                );
                cx.pass(granted);
                false
            }
            (PresenceType::Subscribe, _) => {
                let room = self.roster.requests.len() < REQUESTS || self.roster.requests.contains_key(&key);
                if room {
                    self.roster.requests.insert(key, stanza.clone());
                }
                room
            }
            (PresenceType::Subscribed, Some(mut item)) if item.ask && !sees(item.subscription) => {
                item.ask = false;
                item.subscription = with_to(item.subscription);
                self.set_item(cx, &item);
                true
            }
            (PresenceType::Unsubscribed, Some(mut item)) if item.ask || sees(item.subscription) => {
                item.ask = false;
                item.subscription = without_to(item.subscription);
                self.set_item(cx, &item);
                true
            }
            (PresenceType::Unsubscribe, known) => {
                let asked = self.roster.requests.remove(&key).is_some();
                let before = known.as_ref().map(|item| item.subscription);
                if let Some(mut item) = known {
                    item.subscription = without_from(item.subscription);
                    self.set_item(cx, &item);
                }
                asked || matches!(before, Some(Subscription::From | Subscription::Both))
            }
            _ => false,
        };
        if tell {
            self.show_all(cx, stanza);
        }
    }
}

/// Whether the user sees the contact's presence.
fn sees(subscription: Subscription) -> bool {
    matches!(subscription, Subscription::To | Subscription::Both)
}

fn with_to(subscription: Subscription) -> Subscription {
    match subscription {
        Subscription::From | Subscription::Both => Subscription::Both,
        _ => Subscription::To,
    }
}

fn with_from(subscription: Subscription) -> Subscription {
    match subscription {
        Subscription::To | Subscription::Both => Subscription::Both,
        _ => Subscription::From,
    }
}

fn without_to(subscription: Subscription) -> Subscription {
    match subscription {
        Subscription::From | Subscription::Both => Subscription::From,
        _ => Subscription::None,
    }
}

fn without_from(subscription: Subscription) -> Subscription {
    match subscription {
        Subscription::To | Subscription::Both => Subscription::To,
        _ => Subscription::None,
    }
}
