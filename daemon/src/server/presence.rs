//! Presence (RFC 6121 §4): what clients show goes to the gateway and to the user's other clients; what contacts show goes
//! to clients.

use spectrum2_xmpp::Element;
use spectrum2_xmpp::stanza::{Condition, ErrorType, PresenceType, Stanza, priority};

use super::Server;
use super::account::Account;
use super::context::{Context, refusal};
use super::message::{Target, refuse_foreign};
use super::session::Session;
use crate::gateway::presence_typed;

/// JIDs to which one client may have sent presence directly.
const DIRECTED: usize = 500;

impl Server {
    /// Presence of a client.
    pub(super) fn presence(&mut self, account: &str, number: u64, target: &Target, stanza: Stanza) {
        use PresenceType as P;
        let limit = self.contacts_limit();
        let Some(known) = self.accounts.get_mut(account) else { return };
        let kind = stanza.presence_type();
        let answer = match (target, kind) {
            (Target::Account, P::Available | P::Unavailable) if stanza.to.is_none() => {
                known.broadcast(&mut self.cx, number, stanza.element);
                None
            }
            (Target::Account, _) if stanza.to.is_none() => refusal(
                &stanza.element,
                ErrorType::Modify,
                Condition::BadRequest,
                "Presence of this type has a recipient",
            ),
            (Target::Account, P::Available | P::Unavailable) => {
                known.show_all(&mut self.cx, &stanza.element);
                None
            }
            (Target::Account, P::Probe) => {
                known.show_own(&mut self.cx, number);
                None
            }
            // Nobody subscribes to himself.
            (Target::Account, _) => None,
            (Target::Own(resource), _) => {
                if let Some(session) = known.by_resource(resource) {
                    session.send(&mut self.cx, stanza.element);
                }
                None
            }
            (Target::Foreign, P::Subscribe | P::Available | P::Probe) => refuse_foreign(&stanza.element),
            (Target::Foreign, _) => None,
            // The gateway knows an admin by his messages only.
            (Target::Server | Target::Contact, _) if known.admin => None,
            (Target::Contact, P::Subscribe | P::Subscribed | P::Unsubscribe | P::Unsubscribed) => {
                let contact = stanza.to.as_ref().map(|to| to.to_bare());
                contact.and_then(|contact| {
                    known.subscription_out(&mut self.cx, kind, &contact, &stanza.element, limit)
                })
            }
            (Target::Server, P::Subscribe | P::Subscribed | P::Unsubscribe | P::Unsubscribed) => None,
            (Target::Server | Target::Contact, P::Available) => known.directed(&mut self.cx, number, stanza),
            (Target::Server | Target::Contact, P::Unavailable) => {
                if let (Some(session), Some(to)) = (known.session(number), &stanza.to) {
                    session.directed.remove(to.as_str());
                }
                self.cx.pass(stanza.element);
                None
            }
            (Target::Server | Target::Contact, _) => {
                self.cx.pass(stanza.element);
                None
            }
        };
        self.reply(account, number, answer);
    }

    /// How many contacts an account may have.
    pub(super) fn contacts_limit(&self) -> usize {
        usize::try_from(self.gateway.config().service.max_contacts).unwrap_or(usize::MAX)
    }
}

impl Account {
    /// A client shows itself, shows something else, or goes (RFC 6121 §4.2, §4.4, §4.5).
    fn broadcast(&mut self, cx: &mut Context, number: u64, presence: Element) {
        let account = self.jid.to_string();
        let Some(n) = self.sessions.iter().position(|session| session.number == number) else { return };
        if presence.attr("type").is_some() {
            let mut session = self.sessions.remove(n);
            self.show_end(cx, &mut session, &presence);
            self.sessions.insert(n.min(self.sessions.len()), session);
            return;
        }
        let Some(session) = self.sessions.get_mut(n) else { return };
        let is_new = session.presence.is_none();
        session.priority = priority(&presence);
        session.presence = Some(presence.clone());
        // §4.2.2: to all resources, this one as well.
        self.show_all(cx, &presence.clone().with("to", account));
        if is_new {
            let others = self.sessions.iter().filter(|other| other.number != number);
            let mut shown: Vec<Element> = others.filter_map(|other| other.presence.clone()).collect();
            // §3.1.3: until they are answered.
            shown.extend(self.roster.requests().cloned());
            if self.admin {
                shown.push(presence_of_server(cx, self.jid.as_str()));
            }
            if let Some(session) = self.session(number) {
                for presence in shown {
                    session.send(cx, presence);
                }
            }
        }
        self.look_at_client(cx, number, &presence);
        if !self.admin {
            let mut presence = presence;
            presence.set_attr("to", cx.domain());
            cx.pass(presence);
        }
        self.deliver_held(cx);
    }

    /// RFC 6121 §4.3.2: a client asks which of the account's clients are there.
    fn show_own(&mut self, cx: &mut Context, number: u64) {
        let shown: Vec<Element> =
            self.sessions.iter().filter_map(|session| session.presence.clone()).collect();
        let Some(session) = self.session(number) else { return };
        for presence in shown {
            session.send(cx, presence);
        }
    }

    /// A client shows itself to one contact or room only (RFC 6121 §4.6).
    fn directed(&mut self, cx: &mut Context, number: u64, stanza: Stanza) -> Option<Element> {
        let (session, to) = (self.session(number)?, stanza.to?);
        if session.directed.len() >= DIRECTED && !session.directed.contains(to.as_str()) {
            let text = "You have sent presence to too many";
            return refusal(&stanza.element, ErrorType::Wait, Condition::ResourceConstraint, text);
        }
        session.directed.insert(to.to_string());
        cx.pass(stanza.element);
        None
    }

    /// A client is not available any more: whoever saw it is told (RFC 6121 §4.5.2, §4.6.3).
    pub fn show_end(&mut self, cx: &mut Context, session: &mut Session, gone: &Element) {
        let mut gone = gone.clone();
        gone.set_attr("from", self.full(&session.resource));
        for to in std::mem::take(&mut session.directed) {
            cx.pass(gone.clone().with("to", to));
        }
        if session.presence.take().is_none() {
            return;
        }
        self.show_all(cx, &gone.clone().with("to", self.jid.as_str()));
        if !self.admin {
            cx.pass(gone.with("to", cx.domain().to_owned()));
        }
    }

    /// Presence of a contact, or of the gateway.
    pub fn presence_in(&mut self, cx: &mut Context, stanza: &Element, resource: Option<&str>) {
        let kind = match stanza.attr("type") {
            Some("subscribe") => PresenceType::Subscribe,
            Some("subscribed") => PresenceType::Subscribed,
            Some("unsubscribe") => PresenceType::Unsubscribe,
            Some("unsubscribed") => PresenceType::Unsubscribed,
            // RFC 6121 §4.3.2: the gateway sees what clients show anyhow.
            Some("probe") => return,
            _ => {
                match resource {
                    None => self.show_all(cx, stanza),
                    Some(resource) => {
                        if let Some(session) = self.by_resource(resource) {
                            session.send(cx, stanza.clone());
                        }
                    }
                }
                return;
            }
        };
        let contact =
            stanza.attr("from").and_then(|from| jid::Jid::new(from).ok()).map(|from| from.to_bare());
        if let Some(contact) = contact.filter(|contact| contact.node().is_some()) {
            self.subscription_in(cx, kind, &contact, stanza);
        }
    }
}

/// The server is there, for an admin.
fn presence_of_server(cx: &Context, to: &str) -> Element {
    let mut presence = presence_typed(cx.domain(), to, "");
    presence.remove_attr("type");
    presence
}
