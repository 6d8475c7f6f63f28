//! Where stanzas go: those of clients to the gateway or to the user's other clients, those of the gateway to clients.
//!
//! Users and contacts share a domain. What a client sends to a JID there is for the contact of that name, but for its
//! own account; what the gateway sends is for the user.

use jid::{BareJid, Jid, NodePart};
use spectrum2_xmpp::stanza::{Condition, ErrorType, Kind, Stanza, StanzaError};
use spectrum2_xmpp::{Element, ns, xep_0191};
use tracing::debug;

use super::Server;
use super::account::Account;
use super::context::{Context, refusal};
use super::iq;
use crate::gateway::admin::State;

/// Whom a client's stanza is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The server, on behalf of the account.
    Account,
    /// Another client of the account, or the same one.
    Own(String),
    /// The server, or the gateway, itself.
    Server,
    /// Somebody or some room on the network.
    Contact,
    /// Somebody whom nobody here can reach.
    Foreign,
}

impl Target {
    fn of(cx: &Context, account: &Account, to: Option<&Jid>) -> Self {
        let Some(to) = to else { return Self::Account };
        match (to.domain() == cx.jid.domain(), to.node(), to.resource()) {
            (false, ..) => Self::Foreign,
            (true, None, _) => Self::Server,
            (true, Some(_), resource) if to.to_bare() == account.jid => {
                resource.map_or(Self::Account, |resource| Self::Own(resource.to_string()))
            }
            (true, Some(_), _) => Self::Contact,
        }
    }
}

impl Server {
    /// A stanza of a client.
    pub(super) fn stanza(&mut self, account: &str, number: u64, mut element: Element) {
        let Some(known) = self.accounts.get_mut(account) else { return };
        let Some(resource) = known.session(number).map(|session| session.resource.clone()) else { return };
        let full = known.full(&resource);
        // RFC 6120 §8.1.2.1: whatever it claims to be.
        element.set_attr("from", full);
        let stanza = match Stanza::read(element) {
            Ok(stanza) => stanza,
            Err(malformed) => {
                let answer = malformed.reply();
                return self.reply(account, number, answer);
            }
        };
        let target = Target::of(&self.cx, known, stanza.to.as_ref());
        if target != Target::Account && stanza.to.as_ref().is_some_and(|to| known.blocks(to.as_str())) {
            let answer = refuse_blocked(&stanza);
            return self.reply(account, number, answer);
        }
        match stanza.kind {
            Kind::Message => self.message(account, number, &target, stanza.element),
            Kind::Presence => self.presence(account, number, &target, stanza),
            Kind::Iq => self.iq(account, number, &target, stanza),
        }
    }

    /// Answers a client.
    pub(super) fn reply(&mut self, account: &str, number: u64, answer: Option<Element>) {
        let session = self.accounts.get_mut(account).and_then(|account| account.session(number));
        if let (Some(session), Some(answer)) = (session, answer) {
            session.send(&mut self.cx, answer);
        }
    }

    fn message(&mut self, account: &str, number: u64, target: &Target, stanza: Element) {
        let Some(known) = self.accounts.get_mut(account) else { return };
        let unreachable = match target {
            // RFC 6121 §8.5.3.2.1. What comes from the network goes to another client instead: it must not be lost.
            Target::Own(resource) if is_normal(&stanza) && known.by_resource(resource).is_none() => {
                Some(refusal(&stanza, ErrorType::Cancel, Condition::ServiceUnavailable, ""))
            }
            Target::Account | Target::Own(_) => {
                let resource =
                    if let Target::Own(resource) = target { Some(resource.as_str()) } else { None };
                let delivered = known.message(&mut self.cx, stanza, resource);
                delivered
                    .err()
                    .map(|stanza| refusal(&stanza, ErrorType::Cancel, Condition::ServiceUnavailable, ""))
            }
            Target::Foreign => Some(refuse_foreign(&stanza)),
            Target::Contact | Target::Server if known.admin && *target == Target::Contact => {
                let text = "An administrator is not on the network";
                Some(refusal(&stanza, ErrorType::Cancel, Condition::ItemNotFound, text))
            }
            Target::Contact | Target::Server => {
                if *target == Target::Contact {
                    known.copy_sent(&mut self.cx, &stanza, number);
                }
                self.cx.pass(stanza);
                None
            }
        };
        if let Some(answer) = unreachable {
            self.reply(account, number, answer);
        }
    }

    /// A stanza of the gateway, or of a contact.
    pub(super) fn route(&mut self, stanza: Element) {
        let to = stanza.attr("to").unwrap_or_default();
        let (bare, resource) = match to.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource.to_owned())),
            None => (to, None),
        };
        let Some((node, domain)) = bare.split_once('@') else {
            return self.for_server(&stanza);
        };
        if domain != self.cx.domain() {
            debug!("a stanza of the gateway is for nobody here");
            return;
        }
        let node = node.to_owned();
        if stanza.name() == "message" && !self.accounts.contains_key(&node) {
            self.open_for_message(&node);
        }
        let Some(known) = self.accounts.get_mut(&node) else {
            return self.for_nobody(&stanza);
        };
        if stanza.attr("from").is_some_and(|from| known.blocks(from)) {
            return blocked_in(&mut self.cx, &stanza);
        }
        match stanza.name() {
            "message" => {
                if let Err(stanza) = known.message(&mut self.cx, stanza, resource.as_deref()) {
                    self.cx.return_to_gateway(&stanza, Condition::ServiceUnavailable, "");
                }
                if !known.is_used() {
                    known.left(&mut self.cx);
                    self.forget(&node);
                }
            }
            "presence" => known.presence_in(&mut self.cx, &stanza, resource.as_deref()),
            _ => self.iq_in(&node, stanza, resource.as_deref()),
        }
    }

    /// The gateway speaks to its server: what a user wrote on another client of the network is his (XEP-0356 §5.3).
    fn for_server(&mut self, stanza: &Element) {
        let forwarded = stanza
            .find("privilege", ns::PRIVILEGE_2)
            .and_then(|privilege| privilege.find("forwarded", ns::FORWARD))
            .and_then(|forwarded| forwarded.find("message", ns::CLIENT));
        let Some(message) = forwarded else { return };
        let user = message.attr("from").and_then(|from| from.parse::<Jid>().ok());
        let node = user.as_ref().and_then(Jid::node).map(|node| node.to_string()).unwrap_or_default();
        if let Some(known) = self.accounts.get_mut(&node) {
            known.copy_of_network(&mut self.cx, message);
        }
    }

    /// With `stay_connected` a user is on the network without any client: what he is written waits for the next one.
    fn open_for_message(&mut self, account: &str) {
        let Ok(node) = NodePart::new(account) else { return };
        let user = BareJid::from_parts(Some(&node), self.cx.jid.domain());
        if self.gateway.standing(&user) == State::Online {
            let known = Box::new(self.new_account(&user, false));
            self.accounts.insert(account.to_owned(), known);
        }
    }

    /// There is no such account any more, or not yet.
    fn for_nobody(&mut self, stanza: &Element) {
        match (stanza.name(), stanza.attr("type")) {
            ("iq", Some("get")) if stanza.find("query", ns::ROSTER).is_some() => {
                // His login is under way: nothing is in it yet.
                self.cx.pass(iq::empty_roster(stanza));
            }
            ("iq", _) => self.cx.return_to_gateway(stanza, Condition::ServiceUnavailable, ""),
            ("message", kind) if kind != Some("error") => {
                debug!("a message for somebody who is not logged in");
                self.cx.return_to_gateway(stanza, Condition::ServiceUnavailable, "");
            }
            _ => {}
        }
    }
}

/// RFC 6121 §5.2.2: what has no type of its own.
fn is_normal(message: &Element) -> bool {
    !matches!(message.attr("type"), Some("chat" | "groupchat" | "headline" | "error"))
}

/// XEP-0191 §3.4.
fn refuse_blocked(stanza: &Stanza) -> Option<Element> {
    if stanza.is_error() || stanza.kind == Kind::Presence && stanza.stanza_type() == Some("unavailable") {
        return None;
    }
    let mut answer =
        refusal(&stanza.element, ErrorType::Cancel, Condition::NotAcceptable, "You block this contact")?;
    answer.find_mut("error", ns::CLIENT)?.push(xep_0191::blocked());
    Some(answer)
}

/// XEP-0191 §3.4: who is blocked sees somebody who is not there.
fn blocked_in(cx: &mut Context, stanza: &Element) {
    if stanza.name() != "presence" && StanzaError::read(stanza).is_none() {
        cx.return_to_gateway(stanza, Condition::ServiceUnavailable, "");
    }
}

/// RFC 6121 §8.2: this server knows no others.
pub fn refuse_foreign(stanza: &Element) -> Option<Element> {
    let text = "This server reaches its own network only";
    refusal(stanza, ErrorType::Cancel, Condition::RemoteServerNotFound, text)
}
