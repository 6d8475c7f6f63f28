//! The core: XMPP on one side, backends on the other, no I/O.
//!
//! [`Gateway::handle`] takes an [`Event`] and gives [`Action`]s; time, randomness and all answers come in as events.
//! Each [`User`] owns everything about one XMPP user, and nothing else changes it. What users share — backends,
//! timers, requests under way — is in the [`Context`]. All of it can be written down (serde).

mod account;
mod adhoc;
pub mod admin;
mod archive;
mod bookmarks;
mod contact;
mod context;
pub mod counters;
mod disco;
mod event;
mod frame;
mod history;
mod iq;
mod message;
mod muc;
mod occupants;
mod pool;
mod presence;
mod registration;
mod room;
mod room_flood;
mod room_frame;
mod room_iq;
mod room_kept;
mod room_name;
mod roster;
mod session;
mod subscription;
pub(crate) mod timer;
mod user;
mod vcard;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jid::{BareJid, Jid};
use regex::Regex;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::Frame;
use spectrum2_config::Config;
use spectrum2_log::message_id;
use spectrum2_xmpp::Element;
use spectrum2_xmpp::stanza::{Condition, ErrorType, Kind, Stanza, StanzaError};
use spectrum2_xmpp::xep_0356::{Edition, Privileges};
use tracing::{error, info, trace, warn};

pub use account::{OWN_SETTING, Refused, Verdict, same_secret};
use admin::{ArchiveLine, Asker, Reader, Refusal, State};
use context::{Context, Pending, Query};
pub use counters::Counters;
use counters::Fault;
pub use event::{Action, Event, Link, Time, Token};
use pool::Stage;
pub use pool::WORDS as BACKEND_WORDS;
pub(crate) use presence::typed as presence_typed;
use session::Session;
use timer::Timer;
use user::{Early, User};

use crate::status::Status;
use crate::storage::{self, Answer, Request};

/// Backends are asked for a sign of life this often; Spectrum 2's own take silence of more than 60 s for the end.
const PING: u64 = 20_000;
/// A backend that connected must have said so.
const HANDSHAKE: u64 = 30_000;
/// So long are backends heard out when the gateway ends; it must leave time for storage, see `crate::run`.
const LAST_WORDS: u64 = 300;
/// Users who were logged in before the restart are asked this far apart.
const BRING_BACK: u64 = 50;
/// Domains whose privileges are remembered.
const DOMAINS: usize = 100;
/// Stanzas of one user that wait for storage.
const EARLY: usize = 50;
/// Strangers who are remembered for a minute besides `service.max_users` registered users.
const STRANGERS: usize = 1_000;
/// Longest pause between attempts to get a backend.
const SPAWN_PAUSE: u64 = 60_000;

/// Why a gateway cannot be made of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `service.jid` is no JID that a gateway can have.
    #[error("service.jid {0:?} is not a domain; use something like irc.example.org")]
    Jid(String),
    /// `registration.allowed_usernames` is no regular expression.
    #[error("registration.allowed_usernames is not a regular expression: {0}")]
    Usernames(String),
}

/// `registration.allowed_usernames`, if it is set.
fn pattern(config: &Config) -> Result<Option<Regex>, Error> {
    let allowed = &config.registration.allowed_usernames;
    // Spectrum 2 matches the whole name.
    let pattern = (!allowed.is_empty()).then(|| Regex::new(&format!("^(?:{allowed})$"))).transpose();
    pattern.map_err(|error| Error::Usernames(error.to_string()))
}

/// The state machine between XMPP and the backends.
#[derive(Serialize, Deserialize)]
pub struct Gateway {
    /// Boxed, because a table has room for twice as many as it holds.
    users: HashMap<BareJid, Box<User>>,
    cx: Context,
    /// Users to be asked whether they are on line.
    to_bring_back: VecDeque<BareJid>,
    started: bool,
    /// The end has begun: backends that may still say something from before it, until they answer this ping.
    last_words: Option<BTreeMap<Link, u64>>,
    stopped: bool,
}

impl Gateway {
    /// A gateway that knows nobody yet. `seed` makes its stanza ids and pauses differ from those of earlier lives.
    ///
    /// # Errors
    /// If the configuration has no usable JID or pattern.
    pub fn new(config: Arc<Config>, now: Time, seed: u64) -> Result<Self, Error> {
        let jid: BareJid = config.service.jid.parse().map_err(|_| Error::Jid(config.service.jid.clone()))?;
        if jid.node().is_some() {
            return Err(Error::Jid(config.service.jid.clone()));
        }
        let allowed = pattern(&config)?;
        let mut cx = Context::new(config, jid, allowed, now, seed);
        cx.timers.set(Timer::Ping, now.after(PING));
        cx.timers.set(Timer::Spawn, now);
        Ok(Self {
            users: HashMap::new(),
            cx,
            to_bring_back: VecDeque::new(),
            started: false,
            last_words: None,
            stopped: false,
        })
    }

    /// When [`Event::Tick`] is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.cx.timers.next()
    }

    /// Whether frames of backends may come. Not while there is nowhere to put what they lead to.
    pub fn accepts_frames(&self) -> bool {
        self.cx.accepts_frames()
    }

    /// Whether users are told, or have been, that the gateway ends.
    pub fn is_stopping(&self) -> bool {
        self.cx.stopping
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let mut sessions = BTreeMap::new();
        for user in self.users.values() {
            *sessions.entry(user.session.state()).or_default() += 1;
        }
        let count = |state| sessions.get(&state).copied().unwrap_or(0);
        let mut stages = BTreeMap::new();
        for (_, backend) in self.cx.pool.iter() {
            *stages.entry(backend.word()).or_default() += 1;
        }
        Status {
            online: count(State::Online),
            connecting: count(State::Waiting) + count(State::Connecting),
            registered: self.cx.registered,
            backends: self.cx.pool.iter().filter(|(_, backend)| !backend.users.is_empty()).count(),
            problem: self.cx.problem.clone(),
            kept: self.users.values().map(|user| user.kept.len()).sum(),
            backend_memory: self.cx.pool.iter().map(|(_, backend)| backend.memory.resident).sum(),
            sessions,
            stages,
        }
    }

    /// Running totals.
    pub fn counters(&self) -> Counters {
        self.cx.counters.clone()
    }

    /// Takes what happened and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        self.cx.now = now;
        match event {
            Event::XmppUp => self.xmpp_up(),
            Event::XmppDown => self.xmpp_down(),
            Event::Stanza(element) => self.stanza(element),
            Event::BackendUp(link) => self.backend_up(link),
            Event::Frame(link, frame) => self.frame(link, frame),
            Event::BackendBusy(link) => self.backend_busy(link, true),
            Event::BackendReady(link) => self.backend_busy(link, false),
            Event::BackendDown(link, reason) => {
                self.backend_down(link, &reason);
                self.heard_out();
            }
            Event::Stored(token, answer) => self.stored(token, answer),
            Event::Admin(ticket, request) => self.admin(Asker::Shell(ticket), request),
            Event::Reload(config) => self.reload(config),
            Event::Measured(memory) => self.cx.memory = memory,
            Event::Clock(milliseconds) => self.cx.set_clock(milliseconds),
            // Clients are the server's, see `crate::server`; what reaches us is stanzas.
            Event::Client(..) | Event::Tick => {}
            Event::Stop => self.stop(),
        }
        while let Some(timer) = self.cx.timers.pop(now) {
            self.timer(timer);
        }
        self.go_on_with_jobs();
        if self.cx.stopping && !self.cx.storage_busy() && !std::mem::replace(&mut self.stopped, true) {
            self.cx.out.push(Action::Stopped);
        }
        out.append(&mut self.cx.out);
    }

    fn xmpp_up(&mut self) {
        self.cx.up = true;
        if !self.to_bring_back.is_empty() {
            self.cx.timers.set(Timer::BringBack, self.cx.now);
        }
        for user in self.users.values_mut() {
            user.link_is_back(&mut self.cx);
        }
        self.cx.flush_outbox();
        if !self.started {
            self.started = true;
            self.cx.out.push(Action::Measure);
            self.cx.ask(Request::CountUsers, Pending::CountUsers);
            // Before any user is loaded, so before anything is archived.
            self.cx.ask(Request::NewestArchived, Pending::NewestArchived);
            if self.cx.config.service.server_mode {
                // Nobody can be brought back: passwords are not stored.
                return;
            }
            let request = if self.cx.config.service.reconnect_all_users {
                Request::AllUsers
            } else {
                Request::OnlineUsers
            };
            self.cx.ask(request, Pending::OnlineUsers);
        }
    }

    fn xmpp_down(&mut self) {
        self.cx.up = false;
        self.cx.privileges.clear();
        for (user, from, query) in self.cx.expired_queries(true) {
            self.answered(&user, &from, query, None);
        }
        for user in self.users.values_mut() {
            user.link_is_lost(&mut self.cx);
        }
    }

    /// A stanza from the XMPP server.
    fn stanza(&mut self, element: Element) {
        let stanza = match Stanza::read(element) {
            Ok(stanza) => stanza,
            Err(malformed) => {
                if let Some(reply) = malformed.reply().filter(|_| self.is_ours(&malformed.element)) {
                    self.cx.send(reply);
                }
                return;
            }
        };
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
            warn!("a stanza without address came from the XMPP server and is ignored");
            return;
        };
        if to.domain() != self.cx.jid.domain() {
            self.misrouted(&stanza.element, to);
            return;
        }
        if from.domain() == self.cx.jid.domain() && !self.cx.config.service.server_mode {
            // Only a loop can have made it; in server mode, our own users.
            return;
        }
        trace!(user = %from.to_bare(), "{} for {to}", stanza.element.name());
        let node = to.node().map(|node| node.to_string());
        let from = from.clone();
        match stanza.kind {
            Kind::Iq => self.iq(&from, node.as_deref(), stanza.element),
            Kind::Presence => self.for_user(&from.to_bare(), stanza.element),
            Kind::Message if stanza.is_error() => self.message_error(&from, node.as_deref(), &stanza.element),
            Kind::Message if node.is_none() => self.gateway_message(&from, &stanza.element),
            Kind::Message => self.for_user(&from.to_bare(), stanza.element),
        }
    }

    fn is_ours(&self, element: &Element) -> bool {
        let to = element.attr("to").and_then(|to| to.parse::<Jid>().ok());
        to.is_some_and(|to| to.domain() == self.cx.jid.domain())
    }

    /// Some servers send stanzas for one component to another. They may hold what is not for us: a password.
    fn misrouted(&mut self, element: &Element, to: &Jid) {
        warn!(
            to = %to.domain(), ours = %self.cx.jid,
            "the XMPP server sent us a stanza for another domain, which is refused: give each component a port of its own"
        );
        let mut ours = element.clone();
        ours.set_attr("to", self.cx.jid.as_str());
        self.cx.refuse(
            &ours,
            ErrorType::Cancel,
            Condition::ItemNotFound,
            "The XMPP server sent this to the wrong gateway",
        );
    }

    fn iq(&mut self, from: &Jid, node: Option<&str>, iq: Element) {
        match iq.attr("type") {
            Some("get" | "set") => {
                if !iq::answer_stranger(&mut self.cx, &iq, node) && !self.admin_command(from, &iq) {
                    self.for_user(&from.to_bare(), iq);
                }
            }
            _ => {
                let query = iq.attr("id").and_then(|id| self.cx.take_query(id, Some(from)));
                if let Some((user, query)) = query {
                    self.answered(&user, from, query, Some(&iq));
                }
            }
        }
    }

    fn answered(&mut self, user: &BareJid, from: &Jid, query: Query, answer: Option<&Element>) {
        if let Some(user) = self.users.get_mut(user) {
            user.answered(&mut self.cx, from, query, answer);
        }
    }

    /// What we sent could not be delivered: there is nothing better to be done about it than to know.
    fn message_error(&mut self, from: &Jid, node: Option<&str>, message: &Element) {
        let condition =
            message.find_same("error").and_then(|e| e.elements().next()).map_or("", Element::name);
        info!(from = message.attr("from"), condition, "a message of ours came back");
        if let Some(node) = node {
            self.with(&from.to_bare(), |user, cx| user.bounced(cx, node, from, message));
        }
    }

    /// A message to the gateway itself: from the server, about privileges; from an admin, a command; else it is for
    /// nobody.
    fn gateway_message(&mut self, from: &Jid, message: &Element) {
        if from.node().is_none()
            && let Some(privileges) = Privileges::read(message)
        {
            self.privileges(from, privileges);
            return;
        }
        let body = message.find_same("body").map(|body| body.content().into_owned());
        if let Some(line) = &body
            && self.cx.is_admin(&from.to_bare())
        {
            self.text_command(Reader::Message(from.clone()), line);
            return;
        }
        if body.is_some() {
            let text = "This is a gateway; write to your contacts on the other network, not to it";
            self.cx.refuse(message, ErrorType::Cancel, Condition::ServiceUnavailable, text);
        }
    }

    /// XEP-0356 §3: what the server of these users lets us do.
    fn privileges(&mut self, from: &Jid, privileges: Privileges) {
        let (roster, messages) = (privileges.roster_both(), privileges.message_outgoing);
        info!(domain = %from.domain(), roster, messages, "the XMPP server grants privileges");
        if self.cx.privileges.len() >= DOMAINS && !self.cx.privileges.contains_key(from.domain().as_str()) {
            return;
        }
        // A server that speaks both editions tells of the same rights twice: the newer one counts.
        let known = self.cx.privileges.entry(from.domain().to_string()).or_insert(privileges);
        if known.edition != Edition::Two || privileges.edition == Edition::Two {
            *known = privileges;
        }
        if known.iq_pubsub || known.iq_private {
            for (_, user) in self.users.iter_mut().filter(|(jid, _)| jid.domain() == from.domain()) {
                user.tell_bookmarks(&mut self.cx);
            }
        }
        if self.cx.privileges.get(from.domain().as_str()).is_some_and(Privileges::roster_both) {
            for (_, user) in self.users.iter_mut().filter(|(jid, _)| jid.domain() == from.domain()) {
                user.roster_granted(&mut self.cx);
            }
        }
    }

    /// A stanza that needs what is known of its sender. Storage is asked first if he is not at hand.
    fn for_user(&mut self, jid: &BareJid, stanza: Element) {
        if !self.users.contains_key(jid) && !self.make_user(jid) {
            self.cx.refuse(
                &stanza,
                ErrorType::Wait,
                Condition::ResourceConstraint,
                "The gateway has as many users as it can serve",
            );
            return;
        }
        let Some(user) = self.users.get_mut(jid) else { return };
        match &mut user.early {
            Some(early) if early.len() < EARLY => early.push_back(Early::Stanza(stanza)),
            Some(_) => {
                self.cx.refuse(
                    &stanza,
                    ErrorType::Wait,
                    Condition::ResourceConstraint,
                    "The gateway is busy",
                );
            }
            None => user.stanza(&mut self.cx, &stanza),
        }
    }

    /// Makes room for a user, and asks storage for him; `false` if there is no room.
    fn make_user(&mut self, jid: &BareJid) -> bool {
        let limit = usize::try_from(self.cx.config.service.max_users).unwrap_or(usize::MAX);
        let limit = limit.saturating_add(STRANGERS);
        if self.users.len() >= limit {
            self.make_room();
        }
        if self.users.len() >= limit {
            return false;
        }
        self.users.insert(jid.clone(), Box::new(User::new(jid.clone())));
        self.cx.ask(Request::LoadUser(jid.clone()), Pending::Load(jid.clone()));
        true
    }

    /// Storage has answered.
    fn stored(&mut self, token: Token, answer: Result<Answer, storage::Error>) {
        let Some(pending) = self.cx.take_pending(token) else { return };
        if answer.is_err() {
            self.cx.counters.fault(Fault::Storage);
        }
        match (pending, answer) {
            (Pending::Load(jid), answer) => self.user_loaded(&jid, answer),
            (Pending::OnlineUsers, Ok(Answer::Jids(jids))) => {
                self.to_bring_back = jids.into();
                self.cx.timers.set(Timer::BringBack, self.cx.now);
            }
            (Pending::Register(jid, registrar, mut registration), Ok(Answer::Id(id))) => {
                registration.id = id;
                self.with(&jid, |user, cx| user.registered(cx, registrar, *registration));
            }
            (Pending::NameTaken(jid, registrar, registration), Ok(Answer::Taken(taken))) => {
                self.with(&jid, |user, cx| user.name_checked(cx, registrar, *registration, taken));
            }
            (Pending::Unregister(jid, registrar), Ok(_)) => {
                self.with(&jid, |user, cx| user.unregistered(cx, registrar));
            }
            (
                Pending::Register(jid, registrar, _)
                | Pending::NameTaken(jid, registrar, _)
                | Pending::Unregister(jid, registrar),
                Err(error),
            ) => {
                error!(%error, user = %jid, message_id = message_id::DATABASE_FAILED, "a registration could not be stored");
                self.cx.not_stored(registrar);
                self.with(&jid, User::registration_settled);
            }
            (Pending::ListUsers(asker), Ok(Answer::Users(users))) => self.users_listed(asker, users),
            (Pending::ListUsers(asker), Err(error)) => {
                self.cx.answer(asker, Err(Refusal::Failed(error.to_string())));
            }
            (Pending::CountUsers, Ok(Answer::Count(count))) => self.cx.registered = count,
            (Pending::CountUsers, Err(error)) => {
                error!(%error, message_id = message_id::DATABASE_FAILED, "the users could not be counted");
            }
            (Pending::OnlineUsers, Err(error)) => {
                error!(%error, message_id = message_id::DATABASE_FAILED, "who was online before the restart could not be read");
            }
            (Pending::Admitted(jid), Ok(Answer::Id(id))) => self.with(&jid, |user, cx| user.kept(cx, id)),
            (Pending::Admitted(jid), Err(error)) => {
                error!(%error, user = %jid, message_id = message_id::DATABASE_FAILED, "a user could not be stored");
            }
            (Pending::Archived(count), answer) => self.cx.archived(count, answer),
            (Pending::Pruned, answer) => self.cx.pruned(answer),
            (Pending::NewestArchived, Ok(Answer::Id(newest))) => self.cx.ids_were_given(newest),
            (Pending::NewestArchived, Err(error)) => {
                error!(%error, message_id = message_id::DATABASE_FAILED, "the archives could not be looked at");
            }
            (Pending::ArchivePage(_, asked), answer) => self.cx.archive_page(&asked, answer),
            (Pending::ArchiveEnds(_, iq), answer) => self.cx.archive_ends(&iq, answer),
            (Pending::Past(jid, node), answer) => {
                self.with(&jid, |user, cx| user.past_read(cx, &node, answer));
            }
            (Pending::Export(asker, mut export), Ok(Answer::Rooms(rooms))) => {
                let jid = self.cx.jid.clone();
                let line = |(node, messages)| ArchiveLine { room: format!("{node}@{jid}"), messages };
                export.archives = rooms.into_iter().map(line).collect();
                self.cx.answer(asker, Ok(admin::Answer::Export(export)));
            }
            (Pending::Export(asker, _), Err(error)) => {
                self.cx.answer(asker, Err(Refusal::Failed(error.to_string())));
            }
            (Pending::Write(what), Err(error)) => {
                error!(%error, what, message_id = message_id::DATABASE_FAILED, "could not be stored");
            }
            (Pending::Write(_), Ok(_)) => {}
            (_, Ok(_)) => {
                error!("storage answered something else than was asked");
            }
        }
    }

    fn with(&mut self, jid: &BareJid, act: impl FnOnce(&mut User, &mut Context)) {
        if let Some(user) = self.users.get_mut(jid) {
            act(user, &mut self.cx);
        }
    }

    fn user_loaded(&mut self, jid: &BareJid, answer: Result<Answer, storage::Error>) {
        let Some(user) = self.users.get_mut(jid) else { return };
        match answer {
            Ok(Answer::User(stored)) => {
                let early = user.loaded(stored.map(|stored| *stored));
                for early in early {
                    match early {
                        Early::Stanza(stanza) => user.stanza(&mut self.cx, &stanza),
                        Early::Wake => user.wake(&mut self.cx),
                        Early::Admission(admission) => user.admit(&mut self.cx, admission),
                        Early::Admin(asker, request) => user.admin(&mut self.cx, asker, request),
                    }
                }
                if user.session == Session::Offline {
                    user.forget_later(&mut self.cx);
                }
            }
            answer => {
                let error = answer
                    .err()
                    .map_or_else(|| "no user in the answer".to_owned(), |error| error.to_string());
                error!(user = %jid, error, message_id = message_id::DATABASE_FAILED, "a user could not be loaded");
                let early = self.users.remove(jid).and_then(|user| user.early).unwrap_or_default();
                let text = "The gateway cannot read its database now; try again later";
                for early in early {
                    match early {
                        Early::Stanza(stanza) => {
                            self.cx.refuse(&stanza, ErrorType::Wait, Condition::InternalServerError, text);
                        }
                        Early::Wake => {}
                        Early::Admission(_) => {
                            let refused = Refused::Trouble(text.to_owned());
                            self.cx.verdicts.push(Verdict { user: jid.clone(), outcome: Err(refused) });
                        }
                        Early::Admin(asker, _) => {
                            self.cx.answer(asker, Err(Refusal::Failed(text.to_owned())));
                        }
                    }
                }
            }
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Ping => self.ping_backends(),
            Timer::Stop => self.stop_now(),
            Timer::Collect => self.cx.pool.retire_largest(),
            Timer::Handshake(link) => self.handshake_late(link),
            Timer::Spawn => self.serve_waiting(),
            Timer::BringBack => self.bring_back(),
            Timer::Commands => self.cx.expire_commands(),
            Timer::Requests => {
                for (user, from, query) in self.cx.expired_queries(false) {
                    self.answered(&user, &from, query, None);
                }
            }
            Timer::Archive => self.cx.flush_archive(),
            Timer::Prune => self.cx.prune(),
            Timer::Retry(jid) => self.with(&jid, |user, cx| {
                user.retry(cx);
                user.quarantine_over(cx);
            }),
            Timer::Login(jid) => self.with(&jid, User::login_timed_out),
            Timer::Settle(jid) => self.with(&jid, User::settle),
            Timer::Roster(jid) => self.with(&jid, User::roster_round),
            Timer::Save(jid) => self.with(&jid, User::save_now),
            Timer::VCards(jid) => self.with(&jid, User::expire_vcards),
            Timer::Rooms(jid) => self.with(&jid, User::check_rooms),
            Timer::Expire(jid) => self.with(&jid, User::bounce_old),
            Timer::Reappear(jid) if self.cx.up => self.with(&jid, User::drop_stale),
            Timer::Reappear(_) => {}
            Timer::Forget(jid) => self.forget(&jid),
        }
    }

    /// Lets go of a user, if nothing is lost by it.
    fn forget(&mut self, jid: &BareJid) {
        if !self.users.get(jid).is_some_and(|user| user.forgettable()) {
            return;
        }
        self.with(jid, User::save_now);
        if self.cx.is_pending(jid) {
            self.with(jid, |user, cx| user.forget_later(cx));
        } else {
            self.users.remove(jid);
        }
    }

    /// Lets go of strangers, so that they do not keep users out.
    fn make_room(&mut self) {
        let strangers =
            self.users.iter().filter(|(_, user)| user.registration.is_none() && user.forgettable());
        let strangers: Vec<BareJid> = strangers.map(|(jid, _)| jid.clone()).take(STRANGERS / 2).collect();
        for jid in strangers {
            self.forget(&jid);
        }
    }

    /// Asks the next user who was logged in before the restart whether he is still there; his presence logs him in.
    fn bring_back(&mut self) {
        if !self.cx.up {
            return;
        }
        let Some(jid) = self.to_bring_back.pop_front() else { return };
        if self.users.contains_key(&jid) || self.make_user(&jid) {
            self.with(&jid, |user, cx| match &mut user.early {
                Some(early) => early.push_back(Early::Wake),
                None => user.wake(cx),
            });
        }
        if !self.to_bring_back.is_empty() {
            self.cx.timers.set(Timer::BringBack, self.cx.now.after(BRING_BACK));
        }
    }

    /// The end begins: what backends said before they knew of it is still taken, so that nothing is lost on the way. Their
    /// answers to a last ping come behind it.
    fn stop(&mut self) {
        if self.last_words.is_some() {
            return self.stop_now();
        }
        let backends = self.cx.pool.iter().filter(|(_, backend)| !backend.users.is_empty());
        let links: Vec<Link> = backends.map(|(link, _)| link).collect();
        self.last_words = Some(links.into_iter().map(|link| (link, self.cx.ping(link))).collect());
        self.cx.timers.set(Timer::Stop, self.cx.now.after(LAST_WORDS));
        self.heard_out();
    }

    /// A backend may have said all, or will say nothing more. When all have, the gateway stops.
    pub(super) fn heard_out(&mut self) {
        let Some(links) = &mut self.last_words else { return };
        links.retain(|link, ping| self.cx.pool.get(*link).is_some_and(|backend| backend.pongs < *ping));
        if links.is_empty() {
            self.stop_now();
        }
    }

    /// Everybody is told, backends and users; what must be kept is stored.
    fn stop_now(&mut self) {
        if std::mem::replace(&mut self.cx.stopping, true) {
            return;
        }
        self.cx.timers.cancel(&Timer::Stop);
        for user in self.users.values_mut() {
            if user.session != Session::Offline {
                user.log_out(&mut self.cx);
            }
            user.save_now(&mut self.cx);
        }
        self.cx.flush_archive();
        let links: Vec<Link> = self.cx.pool.iter().map(|(link, _)| link).collect();
        for link in links {
            if self.cx.pool.get(link).is_some_and(|backend| backend.stage != Stage::Opening) {
                self.cx.frame(link, Frame::Exit);
            }
            self.cx.pool.remove(link);
            self.cx.out.push(Action::CloseBackend(link));
        }
    }
}

impl User {
    /// A stanza of this user, which is addressed to us.
    fn stanza(&mut self, cx: &mut Context, stanza: &Element) {
        let (Some(from), Some(to)) = (jid(stanza, "from"), jid(stanza, "to")) else { return };
        let node = to.node().map(|node| node.to_string());
        match (stanza.name(), node.as_deref()) {
            ("iq", node) => self.request(cx, stanza, node),
            ("message", Some(node)) => self.message(cx, node, stanza),
            ("presence", Some(node)) => self.contact_presence(cx, node, &from, stanza),
            ("presence", None) => self.gateway_presence(cx, &from, stanza),
            _ => {}
        }
    }

    /// Presence for the gateway itself.
    fn gateway_presence(&mut self, cx: &mut Context, from: &Jid, stanza: &Element) {
        let resource = presence::resource(from);
        match (stanza.attr("type"), resource) {
            (None, resource) if self.registration.is_none() => {
                self.stranger_available(cx, resource.unwrap_or_default(), stanza);
            }
            (None, resource) => self.available(cx, resource.unwrap_or_default(), stanza),
            (Some("unavailable"), resource) => self.unavailable(cx, resource),
            // An error is what is left of a client that went without a word.
            (Some("error"), Some(resource)) => self.unavailable(cx, Some(resource)),
            (Some("error"), None) => self.presence_error(cx, stanza),
            (Some("probe"), _) => {
                let state = self.state_stanza(cx, from.as_str(), None);
                cx.send(state);
            }
            (Some("subscribe"), _) => {
                let answer = if self.registration.is_some() { "subscribed" } else { "unsubscribed" };
                cx.send(presence::typed(cx.jid.as_str(), self.jid.as_str(), answer));
                if self.registration.is_some() {
                    self.say_state(cx, None);
                }
            }
            (Some("unsubscribe"), _) => {
                cx.send(presence::typed(cx.jid.as_str(), self.jid.as_str(), "unsubscribed"));
            }
            _ => {}
        }
    }

    /// The user's server did not take a presence of ours.
    fn presence_error(&mut self, cx: &mut Context, stanza: &Element) {
        let condition = StanzaError::read(stanza).map(|error| error.condition);
        match condition {
            Some(Condition::SubscriptionRequired) if self.registration.is_some() => {
                cx.send(presence::typed(cx.jid.as_str(), self.jid.as_str(), "subscribe"));
            }
            Some(
                Condition::Gone
                | Condition::ItemNotFound
                | Condition::RecipientUnavailable
                | Condition::RemoteServerNotFound
                | Condition::RemoteServerTimeout
                | Condition::ServiceUnavailable,
            ) => self.unavailable(cx, None),
            _ => {}
        }
    }

    /// Presence for a contact.
    fn contact_presence(&mut self, cx: &mut Context, node: &str, from: &Jid, stanza: &Element) {
        match stanza.attr("type") {
            Some(kind @ ("subscribe" | "subscribed" | "unsubscribe" | "unsubscribed")) => {
                self.subscription(cx, kind, node, stanza);
            }
            Some("probe") => self.contact_probed(cx, node, from.as_str()),
            // Other presence, which servers send to each contact, says nothing that the gateway was not told.
            _ => {
                self.room_presence(cx, node, from, stanza);
            }
        }
    }
}

fn jid(stanza: &Element, attribute: &str) -> Option<Jid> {
    stanza.attr(attribute)?.parse().ok()
}

impl crate::run::Core for Gateway {
    fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        Self::handle(self, now, event, out);
    }

    fn deadline(&self) -> Option<Time> {
        Self::deadline(self)
    }

    fn accepts_frames(&self) -> bool {
        Self::accepts_frames(self)
    }

    fn status(&self) -> Status {
        Self::status(self)
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }
}
