//! One account: somebody who logged in, all his clients, his roster, and what waits for them.

use std::collections::{BTreeSet, VecDeque};

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_xmpp::stanza::Condition;
use spectrum2_xmpp::{Element, ns, xep_0203, xep_0280};

use super::context::{Context, weight};
use super::roster::Roster;
use super::session::{Parcel, Session};
use super::timer::Timer;
use crate::client::Client;

/// Messages that wait for a client to show itself.
const HELD: usize = 200;
/// And their size in memory.
const HELD_BYTES: usize = 512 << 10;
/// How long they wait when nobody is logged in any more.
const HELD_FOR: u64 = 24 * 3_600_000;

/// Somebody whom the network let in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Account {
    pub jid: BareJid,
    /// Logged in as an admin, without the network.
    pub admin: bool,
    /// Connections that have logged in and bound no resource yet.
    pub guests: BTreeSet<Client>,
    pub sessions: Vec<Session>,
    pub roster: Roster,
    /// Whom he blocks (XEP-0191).
    pub blocked: BTreeSet<String>,
    /// Messages that no client was there to take.
    held: VecDeque<Element>,
    held_bytes: usize,
}

impl Account {
    pub fn new(jid: BareJid, admin: bool, roster: Roster) -> Self {
        Self {
            jid,
            admin,
            guests: BTreeSet::new(),
            sessions: Vec::new(),
            roster,
            blocked: BTreeSet::new(),
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// The account's local part, under which the server finds it.
    pub fn key(&self) -> String {
        self.jid.node().map(|node| node.to_string()).unwrap_or_default()
    }

    /// A client is connected, or expected back.
    pub fn is_used(&self) -> bool {
        !self.guests.is_empty() || !self.sessions.is_empty()
    }

    /// Something waits for him.
    pub fn is_owed(&self) -> bool {
        !self.held.is_empty()
    }

    pub fn session(&mut self, number: u64) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.number == number)
    }

    pub fn by_resource(&mut self, resource: &str) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.resource == resource)
    }

    /// Full JID of a session.
    pub fn full(&self, resource: &str) -> String {
        format!("{}/{resource}", self.jid)
    }

    /// Sends a stanza to every available resource (RFC 6121 §8.5.2.1.2).
    pub fn show_all(&mut self, cx: &mut Context, stanza: &Element) {
        for session in self.sessions.iter_mut().filter(|session| session.presence.is_some()) {
            session.send(cx, stanza.clone());
        }
    }

    /// A message for the account, from a contact or from one of its own resources.
    ///
    /// # Errors
    /// It cannot be delivered (RFC 6121 §8.5), and comes back: whoever sent it is to be told.
    pub fn message(
        &mut self,
        cx: &mut Context,
        stanza: Element,
        resource: Option<&str>,
    ) -> Result<(), Box<Element>> {
        let kind = stanza.attr("type").map(str::to_owned);
        let there = resource.is_some_and(|resource| self.by_resource(resource).is_some());
        match (kind.as_deref(), resource) {
            (_, Some(resource)) if there => {
                let serial = cx.number();
                let taken = self.copy_received(cx, &stanza, serial, &|session| session.resource == resource);
                if let Some(session) = self.by_resource(resource) {
                    session.send(cx, Parcel { stanza, serial, taken, copy: false });
                }
                Ok(())
            }
            // §8.5.2.1.1 and §8.5.3.2.1.
            (Some("error"), _) | (Some("headline"), Some(_)) => Ok(()),
            (Some("groupchat"), _) => Err(Box::new(stanza)),
            (kind, _) => {
                if !self.sessions.iter().any(Session::takes_messages) {
                    return if kind == Some("headline") { Ok(()) } else { self.hold(cx, stanza) };
                }
                let serial = cx.number();
                let copied = self.copy_received(cx, &stanza, serial, &Session::takes_messages);
                // What was written to a connection that is not managed counts as taken.
                let unmanaged = |session: &Session| session.takes_messages() && session.management.is_none();
                let taken = copied || self.sessions.iter().any(unmanaged);
                let parcel = Parcel { stanza, serial, taken, copy: false };
                for session in self.sessions.iter_mut().filter(|session| session.takes_messages()) {
                    session.send(cx, parcel.clone());
                }
                Ok(())
            }
        }
    }

    /// Keeps a message until a client shows itself (RFC 6121 §8.5.2.2.1), if there is room.
    fn hold(&mut self, cx: &mut Context, stanza: Element) -> Result<(), Box<Element>> {
        let content = |child: &Element| child.ns() != ns::CHATSTATES && !child.is("thread", ns::CLIENT);
        if !stanza.elements().any(content) {
            // XEP-0085 §5.5: what somebody did then is of no interest later.
            return Ok(());
        }
        let weight = weight(&stanza);
        if self.held.len() >= HELD || self.held_bytes + weight > HELD_BYTES {
            return Err(Box::new(stanza));
        }
        // XEP-0160 §3, XEP-0203 §4.
        let stanza = match xep_0203::read(&stanza) {
            Some(_) => stanza,
            None => stanza.child(xep_0203::element(&cx.stamp(), Some(&jid::Jid::from(cx.jid.clone())))),
        };
        self.held_bytes += weight;
        self.held.push_back(stanza);
        Ok(())
    }

    /// Gives what was held to the clients that are there now.
    pub fn deliver_held(&mut self, cx: &mut Context) {
        if !self.sessions.iter().any(Session::takes_messages) {
            return;
        }
        self.held_bytes = 0;
        for stanza in std::mem::take(&mut self.held) {
            // There is somebody to take it.
            let _ = self.message(cx, stanza, None);
        }
        let key = self.key();
        cx.timers.cancel(&Timer::Held(key));
    }

    /// Nobody is logged in any more: what is held waits a while.
    pub fn left(&self, cx: &mut Context) {
        if self.is_owed() {
            cx.timers.set(Timer::Held(self.key()), cx.now.after(HELD_FOR));
        }
    }

    /// Nobody came: whoever sent what was held is told.
    pub fn return_held(&mut self, cx: &mut Context) {
        self.held_bytes = 0;
        for stanza in std::mem::take(&mut self.held) {
            cx.return_to_gateway(&stanza, Condition::RecipientUnavailable, "The message was never fetched");
        }
    }

    /// A session is over: its messages that were not acknowledged go to others, or wait.
    pub fn redistribute(&mut self, cx: &mut Context, mut session: Session) {
        let Some(management) = &mut session.management else { return };
        for parcel in management.unsent() {
            let stanza = parcel.stanza;
            match stanza.name() {
                "message" if parcel.serial != 0 => {
                    let elsewhere = |other: &Session| {
                        other.management.as_ref().is_some_and(|management| management.has(parcel.serial))
                    };
                    // Another client has it, or has it coming, be it as a copy.
                    if parcel.taken || self.sessions.iter().any(elsewhere) {
                        continue;
                    }
                    let original = if parcel.copy { xep_0280::original(&stanza) } else { Some(stanza) };
                    let Some(stanza) = original else { continue };
                    if let Err(stanza) = self.message(cx, stanza, None) {
                        cx.return_to_gateway(&stanza, Condition::RecipientUnavailable, "");
                    }
                }
                // RFC 6121 §8.5.3.2.3.
                "iq" => cx.return_to_gateway(&stanza, Condition::ServiceUnavailable, ""),
                _ => {}
            }
        }
    }

    /// A client has acknowledged so many stanzas.
    ///
    /// # Errors
    /// That is more than were sent: how many those were.
    pub fn acknowledge(&mut self, cx: &mut Context, number: u64, h: u32) -> Result<(), u32> {
        let Some(session) = self.session(number) else { return Ok(()) };
        let Some(management) = &mut session.management else { return Ok(()) };
        let serials = management.acknowledge(h)?;
        session.ask(cx);
        for other in self.sessions.iter_mut().filter(|other| other.number != number) {
            let Some(management) = &mut other.management else { continue };
            serials.iter().for_each(|serial| management.taken_elsewhere(*serial));
        }
        Ok(())
    }

    /// Copies of a message that one of the sessions sent, for the others (XEP-0280 §8).
    pub fn copy_sent(&mut self, cx: &mut Context, stanza: &Element, number: u64) {
        if !xep_0280::is_eligible(stanza) {
            return;
        }
        self.copy(cx, stanza, None, &|session| session.number == number);
    }

    /// Copies of a message that some of the sessions receive, for the others (XEP-0280 §7). Gives whether one was
    /// written to a connection that is not managed.
    fn copy_received(
        &mut self,
        cx: &mut Context,
        stanza: &Element,
        serial: u64,
        receives: &dyn Fn(&Session) -> bool,
    ) -> bool {
        xep_0280::is_eligible(stanza) && self.copy(cx, stanza, Some(serial), receives)
    }

    /// A copy of what the user wrote on another client of the network.
    pub fn copy_of_network(&mut self, cx: &mut Context, stanza: &Element) {
        self.copy(cx, stanza, None, &|_| false);
    }

    /// `received` is the serial of a message that the account received; it has sent others.
    fn copy(
        &mut self,
        cx: &mut Context,
        stanza: &Element,
        received: Option<u64>,
        has: &dyn Fn(&Session) -> bool,
    ) -> bool {
        let user = jid::Jid::from(self.jid.clone());
        let serial = received.unwrap_or_default();
        let gets_copy = |session: &Session| session.carbons && !has(session);
        let taken = self.sessions.iter().any(|session| gets_copy(session) && session.management.is_none());
        for session in self.sessions.iter_mut().filter(|session| gets_copy(session)) {
            let Ok(resource) = jid::Jid::new(&format!("{user}/{}", session.resource)) else { continue };
            let make = if received.is_some() { xep_0280::received } else { xep_0280::sent };
            let stanza = make(&user, &resource, stanza.clone());
            session.send(cx, Parcel { stanza, serial, taken, copy: true });
        }
        taken
    }

    /// Whether nothing has grown past its limit.
    #[cfg(test)]
    pub fn is_within_bounds(&self) -> bool {
        self.held.len() <= HELD && self.held_bytes <= HELD_BYTES
    }

    /// Whether the user blocks this address: itself, all of its resources, or its domain (XEP-0191 §5).
    pub fn blocks(&self, address: &str) -> bool {
        if self.blocked.is_empty() {
            return false;
        }
        let bare = address.split_once('/').map_or(address, |(bare, _)| bare);
        let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
        [address, bare, domain].into_iter().any(|address| self.blocked.contains(address))
    }
}
