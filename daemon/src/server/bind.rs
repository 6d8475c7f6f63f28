//! Binding a resource (RFC 6120 §7), the end of a session, and going on with one (XEP-0198 §5).

use jid::ResourcePart;
use spectrum2_xmpp::stanza::{Condition as StanzaCondition, ErrorType, iq_result};
use spectrum2_xmpp::stream::Condition;
use spectrum2_xmpp::xep_0198::{self, Nonza};
use spectrum2_xmpp::{Element, bind, ns};
use tracing::info;

use super::Server;
use super::context::refusal;
use super::session::Session;
use super::stream::Stage;
use super::stream_management::{KEPT, Management};
use super::timer::Timer;
use crate::client::Client;
use crate::gateway::presence_typed;

/// Clients of one account, where `service.more_resources` allows more than one.
pub(super) const RESOURCES: usize = 20;

impl Server {
    /// The client wishes to be a resource.
    pub(super) fn bind(&mut self, client: Client, account: &str, iq: &Element, wish: Option<String>) {
        let more = self.gateway.config().service.more_resources;
        let Some(known) = self.accounts.get(account) else { return };
        let wish = wish.unwrap_or_else(|| self.cx.id());
        let Ok(resource) = ResourcePart::new(&wish) else {
            let text = "This cannot be a resource";
            return self.refuse_binding(client, iq, StanzaCondition::BadRequest, text);
        };
        let replaced: Vec<(u64, Option<Client>)> = known
            .sessions
            .iter()
            .filter(|session| !more || *session.resource == **resource)
            .map(|session| (session.number, session.client))
            .collect();
        if known.sessions.len() - replaced.len() >= RESOURCES {
            let text = "Too many clients are connected";
            return self.refuse_binding(client, iq, StanzaCondition::ResourceConstraint, text);
        }
        for (number, client) in replaced {
            match client {
                // RFC 6120 §7.7.2.2.
                Some(client) => {
                    self.close(client, Condition::Conflict, "You have signed on from another location");
                }
                None => self.end_session(account, number),
            }
        }
        let number = self.cx.number();
        let Some(known) = self.accounts.get_mut(account) else { return };
        let full = known.jid.with_resource(&resource);
        known.guests.remove(&client);
        // Most accounts have one.
        known.sessions.reserve_exact(1);
        known.sessions.push(Session::new(number, account.to_owned(), client, resource.to_string()));
        self.bound(client, account, number);
        self.cx.send(client, iq_result(iq).child(bind::bound(&full)));
    }

    fn bound(&mut self, client: Client, account: &str, number: u64) {
        self.cx.timers.cancel(&Timer::Bind(client));
        if let Some(stream) = self.streams.get_mut(&client) {
            stream.stage = Stage::Bound(account.to_owned(), number);
        }
    }

    fn refuse_binding(&mut self, client: Client, iq: &Element, condition: StanzaCondition, text: &str) {
        if let Some(answer) = refusal(iq, ErrorType::Modify, condition, text) {
            self.cx.send(client, answer);
        }
    }

    /// The connection of a session is lost, or was closed `for_good`.
    pub(super) fn lost(&mut self, account: &str, number: u64, for_good: bool) {
        let Some(session) = self.accounts.get_mut(account).and_then(|account| account.session(number)) else {
            return;
        };
        session.client = None;
        match session.management.as_ref().filter(|management| management.id.is_some()) {
            Some(management) if !for_good => {
                let until = self.cx.now.after(management.kept_for);
                self.cx.timers.set(Timer::Resume(account.to_owned(), number), until);
            }
            _ => self.end_session(account, number),
        }
    }

    /// A session is over: everybody is told, and what it did not get goes elsewhere.
    pub(super) fn end_session(&mut self, account: &str, number: u64) {
        self.cx.timers.cancel(&Timer::Resume(account.to_owned(), number));
        let Some(known) = self.accounts.get_mut(account) else { return };
        let Some(n) = known.sessions.iter().position(|session| session.number == number) else { return };
        let mut session = known.sessions.remove(n);
        if let Some(management) = &session.management {
            self.cx.ended.remember(account, management);
        }
        let full = known.full(&session.resource);
        let gone = presence_typed(full.as_str(), known.jid.as_str(), "unavailable");
        known.show_end(&mut self.cx, &mut session, &gone);
        known.redistribute(&mut self.cx, session);
        self.check_use(account);
    }

    /// A client has left too much unacknowledged.
    pub(super) fn end_overfull(&mut self, account: &str, number: u64) {
        let Some(session) = self.accounts.get_mut(account).and_then(|account| account.session(number)) else {
            return;
        };
        info!(account, "a client acknowledges nothing; its session is ended");
        match session.client {
            Some(client) => self.close(client, Condition::ResourceConstraint, "Too much is not acknowledged"),
            None => self.end_session(account, number),
        }
    }

    /// XEP-0198 §5: the stream goes on with an earlier session.
    pub(super) fn resume(&mut self, client: Client, account: &str, element: &Element) {
        let Some(Nonza::Resume { h, previd }) = Nonza::read(element) else {
            // §3: enabling it takes a resource.
            let failed = xep_0198::failed(StanzaCondition::UnexpectedRequest, None);
            return self.cx.send(client, failed);
        };
        let Some(known) = self.accounts.get_mut(account) else { return };
        let found = known.sessions.iter().find(|session| {
            let id = session.management.as_ref().and_then(|management| management.id.as_ref());
            id.is_some_and(|id| *id == previd)
        });
        let Some((number, old)) = found.map(|session| (session.number, session.client)) else {
            // §5: it learns at least what came through.
            let handled = self.cx.ended.handled(account, &previd);
            return self.cx.send(client, xep_0198::failed(StanzaCondition::ItemNotFound, handled));
        };
        known.guests.remove(&client);
        // Nothing goes there before it has heard that it is resumed.
        if let Some(session) = known.session(number) {
            session.client = None;
        }
        // §5: the old connection may be dead without our knowing.
        if let Some(old) = old {
            self.streams.remove(&old);
            let error = Condition::Conflict.error("The session goes on elsewhere");
            self.cx.client(old, crate::client::Action::Close(Some(error)));
        }
        self.cx.timers.cancel(&Timer::Resume(account.to_owned(), number));
        self.bound(client, account, number);
        let Some(known) = self.accounts.get_mut(account) else { return };
        let handled = known.session(number).and_then(|session| Some(session.management.as_ref()?.handled));
        if let Err(sent) = known.acknowledge(&mut self.cx, number, h) {
            return self.count_too_high(client, h, sent);
        }
        let Some(session) = known.session(number) else { return };
        self.cx.send(client, xep_0198::resumed(&previd, handled.unwrap_or_default()));
        session.client = Some(client);
        if let Some(management) = &mut session.management {
            for stanza in management.again() {
                self.cx.out.push(crate::gateway::Action::Client(client, crate::client::Action::Send(stanza)));
            }
        }
        session.show_held(&mut self.cx);
        session.inactive = None;
        session.ask(&mut self.cx);
    }

    /// A client that closes its stream learns what was handled (XEP-0198 §4).
    pub(super) fn last_answer(&mut self, client: Client, account: &str, number: u64) {
        let session = self.accounts.get_mut(account).and_then(|account| account.session(number));
        if let Some(management) = session.and_then(|session| session.management.as_ref()) {
            let answer = xep_0198::answer(management.handled);
            self.cx.send(client, answer);
        }
    }

    /// A client acknowledges what was never sent (XEP-0198 §4).
    pub(super) fn count_too_high(&mut self, client: Client, h: u32, sent: u32) {
        let text = "You acknowledged more than was sent";
        let error = Condition::UndefinedCondition.error(text).child(xep_0198::count_too_high(h, sent));
        self.close_with(client, error);
    }

    /// A client says something about its stream.
    pub(super) fn manage(&mut self, client: Client, account: &str, number: u64, element: &Element) {
        let Some(known) = self.accounts.get_mut(account) else { return };
        let Some(session) = known.session(number) else { return };
        match (Nonza::read(element), &mut session.management) {
            (Some(Nonza::Enable { resume, max }), management @ None) => {
                let asked = max.filter(|max| *max > 0).map_or(KEPT, |max| u64::from(max) * 1_000);
                let kept_for = KEPT.min(asked);
                let id = resume.then(|| self.cx.id());
                let enabled = xep_0198::enabled(id.as_deref().map(|id| (id, kept_for / 1_000)));
                *management = Some(Box::new(Management::new(id, kept_for)));
                self.cx.send(client, enabled);
            }
            // §3: only once.
            (Some(Nonza::Enable { .. } | Nonza::Resume { .. }), Some(_))
            | (Some(Nonza::Resume { .. }), None) => {
                self.cx.send(client, xep_0198::failed(StanzaCondition::UnexpectedRequest, None));
            }
            (Some(Nonza::Request), Some(management)) => {
                let answer = xep_0198::answer(management.handled);
                self.cx.send(client, answer);
            }
            (Some(Nonza::Answer(h)), Some(_)) => {
                if let Err(sent) = known.acknowledge(&mut self.cx, number, h) {
                    self.count_too_high(client, h, sent);
                }
            }
            _ => self.close(client, Condition::PolicyViolation, "Enable stream management first"),
        }
    }

    /// Whatever a client with a resource says.
    pub(super) fn element(&mut self, client: Client, account: &str, number: u64, element: Element) {
        if element.ns() == ns::SM {
            return self.manage(client, account, number, &element);
        }
        if let Some(inactive) = spectrum2_xmpp::xep_0352::inactive(&element) {
            return self.looked_at(account, number, !inactive);
        }
        if !element.is_stanza() {
            // RFC 6120 §4.9.3.24.
            return self.close(client, Condition::UnsupportedStanzaType, "");
        }
        let session = self.accounts.get_mut(account).and_then(|account| account.session(number));
        if let Some(management) = session.and_then(|session| session.management.as_mut()) {
            management.handled = management.handled.wrapping_add(1);
        }
        self.stanza(account, number, element);
    }

    /// XEP-0352: somebody looks at the client, or nobody does any more.
    fn looked_at(&mut self, account: &str, number: u64, active: bool) {
        let Some(session) = self.accounts.get_mut(account).and_then(|account| account.session(number)) else {
            return;
        };
        if active {
            session.show_held(&mut self.cx);
            session.inactive = None;
        } else {
            session.inactive.get_or_insert_default();
        }
    }
}
