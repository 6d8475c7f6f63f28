//! What all parts of the core share: the configuration, the way out, timers, requests under way.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jid::{BareJid, Jid};
use regex::Regex;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Capabilities, Frame};
use spectrum2_config::Config;
use spectrum2_log::message_id;
use spectrum2_xmpp::stanza::{Condition, ErrorType, error_reply};
use spectrum2_xmpp::xep_0115::Caps;
use spectrum2_xmpp::xep_0356::Privileges;
use spectrum2_xmpp::{Element, ns, xep_0082};
use tracing::warn;

use super::account::Verdict;
use super::adhoc::{Commands, Job};
use super::admin::{Asker, Export, Memory, Outcome};
use super::archive::{Asked, Outgoing};
use super::counters::{Counters, Fault};
use super::disco::Hashes;
use super::event::{Action, Link, Time, Token};
use super::pool::{Limits, Pool};
use super::registration::Registrar;
use super::timer::{Timer, Timers};
use crate::storage;

/// Messages kept while the XMPP link is down. Past it, frames of backends are not read any more.
const OUTBOX: usize = 2_000;
/// And their size.
const OUTBOX_BYTES: usize = 8 << 20;
/// Longest name, group or status text that is taken from a network, in bytes.
pub const LABEL: usize = 1_024;
/// Requests to XMPP entities that may be under way.
const REQUESTS: usize = 20_000;
/// How long an XMPP entity has for an answer.
const ANSWER: u64 = 30_000;
/// Capabilities of client programs that are remembered (XEP-0115 §6.1).
const CLIENTS: usize = 2_000;

/// A request of ours to an XMPP entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// What a client can do; what its presence said of it (XEP-0115).
    Features(Option<Caps>),
    /// A user's roster, where the server lets us read it (XEP-0356 §4.1, XEP-0321).
    Roster,
    /// The roster of a user who unregistered: our items in it are to go.
    RosterToClear,
    /// A roster item was set for this local part.
    RosterSet(String),
    /// A roster item was set for the gateway itself, as the user registered.
    Introduction,
    /// A user's bookmarks, where the server lets us read them (XEP-0356 §6).
    Bookmarks,
    /// A bookmark was set for this JID.
    BookmarkSet(String),
    /// The bookmark for this JID was removed.
    BookmarkGone(String),
    /// A user's bookmarks in private storage, where the server lets us read them.
    PrivateBookmarks,
    /// They were written, with new ones for these JIDs.
    PrivateBookmarksSet(Vec<String>),
    /// A user's own vCard, for his avatar of this hash.
    OwnVCard(String),
}

/// A request to storage that somebody waits for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Pending {
    /// The user is being loaded.
    Load(BareJid),
    /// A registration is being saved; who is to be answered, and what is saved.
    Register(BareJid, Registrar, Box<storage::Registration>),
    /// Whether a legacy name is taken is being asked, before the registration is saved.
    NameTaken(BareJid, Registrar, Box<storage::Registration>),
    /// A registration is being removed; who is to be answered.
    Unregister(BareJid, Registrar),
    /// An admin wants a list of all registered users.
    ListUsers(Asker),
    /// How many users are registered.
    CountUsers,
    /// Who was logged in before the restart.
    OnlineUsers,
    /// A user of server mode whom the network let in for the first time is being saved.
    Admitted(BareJid),
    /// So many messages are being archived.
    Archived(usize),
    /// Archives are being tidied up.
    Pruned,
    /// The greatest id in the archives is being asked for.
    NewestArchived,
    /// A user asked for a page of an archive.
    ArchivePage(BareJid, Box<Asked>),
    /// A user asked by this iq what an archive holds.
    ArchiveEnds(BareJid, Element),
    /// The end of the archive of a user's room is being read for his clients.
    Past(BareJid, String),
    /// An admin wants all that is stored of a user; the archives are being looked through.
    Export(Asker, Box<Export>),
    /// Nobody waits, but a failure is logged with these words.
    Write(String),
}

/// What all parts of the core share.
#[derive(Serialize, Deserialize)]
pub struct Context {
    #[serde(skip)]
    pub(super) config: Arc<Config>,
    /// `registration.allowed_usernames`, which must match the whole name.
    #[serde(skip)]
    pub(super) allowed_usernames: Option<Regex>,
    #[serde(skip)]
    pub(super) out: Vec<Action>,
    /// Our own JID.
    pub(super) jid: BareJid,
    pub(super) now: Time,
    /// The XMPP link stands.
    pub(super) up: bool,
    /// The daemon is ending.
    pub(super) stopping: bool,
    pub(super) timers: Timers,
    pub(super) pool: Pool,
    /// What the backends can do, as far as any has said.
    pub(super) capabilities: Capabilities,
    pub(super) hashes: Hashes,
    /// What keeps the transport from working, for the admin.
    pub(super) problem: Option<String>,
    pub(super) counters: Counters,
    /// When the gateway was made.
    pub(super) started: Time,
    /// How many users are registered.
    pub(super) registered: u64,
    /// Whether it was logged that there is no room for more.
    pub(super) full_told: bool,
    /// Process ids of the backends that died last.
    pub(super) crashed: VecDeque<u32>,
    /// The daemon's own memory, as last measured.
    pub(super) memory: Memory,
    /// Who waits for the transport file to be read again.
    pub(super) reloading: Vec<Asker>,
    /// What came of the logins of server mode in this event.
    pub(super) verdicts: Vec<Verdict>,
    /// Ad-hoc commands under way.
    pub(super) commands: Commands,
    /// Ad-hoc commands of which a part was done in this event.
    pub(super) jobs: VecDeque<(Job, Outcome)>,
    /// The rooms that a backend listed for everybody.
    pub(super) rooms: Vec<super::room::Listed>,
    /// By domain of the users.
    pub(super) privileges: HashMap<String, Privileges>,
    /// By `node#ver`: whether the client takes roster item exchanges (XEP-0144).
    pub(super) clients: HashMap<String, bool>,
    /// Messages of rooms on their way to the archives.
    pub(super) archive: Outgoing,
    outbox: VecDeque<Element>,
    outbox_bytes: usize,
    /// Milliseconds from 1970 to the zero of our clock.
    pub(super) day: u64,
    queries: HashMap<String, (BareJid, Jid, Query, Time)>,
    pending: BTreeMap<Token, Pending>,
    /// When a backend with users was lost last.
    pub(super) last_loss: Time,
    /// A user was handed to a backend: it works, as far as configuration goes.
    pub(super) proven: bool,
    /// No login before this time.
    next_login: Time,
    last_token: u64,
    last_id: u64,
    /// Makes our stanza ids differ from those of earlier lives.
    life: String,
    random: u64,
}

impl Context {
    pub(super) fn new(
        config: Arc<Config>,
        jid: BareJid,
        allowed_usernames: Option<Regex>,
        now: Time,
        seed: u64,
    ) -> Self {
        let hashes = Hashes::compute(&config, &Capabilities::default());
        Self {
            config,
            allowed_usernames,
            out: Vec::new(),
            jid,
            now,
            up: false,
            stopping: false,
            timers: Timers::default(),
            pool: Pool::default(),
            capabilities: Capabilities::default(),
            hashes,
            problem: None,
            counters: Counters::default(),
            started: now,
            registered: 0,
            full_told: false,
            crashed: VecDeque::new(),
            memory: Memory::default(),
            reloading: Vec::new(),
            verdicts: Vec::new(),
            commands: Commands::default(),
            jobs: VecDeque::new(),
            rooms: Vec::new(),
            privileges: HashMap::new(),
            clients: HashMap::new(),
            archive: Outgoing::default(),
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            day: 0,
            queries: HashMap::new(),
            pending: BTreeMap::new(),
            last_loss: Time::default(),
            proven: false,
            next_login: Time::default(),
            last_token: 0,
            last_id: 0,
            life: format!("{:x}", seed & 0xffff_ffff),
            random: seed | 1,
        }
    }

    /// Takes over the options that may change while the transport runs; gives the names of those that may not and did.
    ///
    /// # Errors
    /// The pattern for names is none; then nothing changes.
    pub(super) fn reload(&mut self, new: &Config) -> Result<Vec<String>, String> {
        let (config, waiting) = self.config.reloaded(new);
        self.allowed_usernames = super::pattern(&config).map_err(|error| error.to_string())?;
        self.hashes = Hashes::compute(&config, &self.capabilities);
        self.config = Arc::new(config);
        Ok(waiting.into_iter().map(str::to_owned).collect())
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            users: usize::try_from(self.config.service.users_per_backend).unwrap_or(usize::MAX).max(1),
            reuse: self.config.service.reuse_old_backends,
        }
    }

    /// Puts the user on a backend, or in line for one (`service.login_delay` spaces logins).
    pub(super) fn place(&mut self, user: &BareJid, solo: bool) -> Option<Link> {
        let limits = self.limits();
        if self.now < self.next_login {
            self.pool.enqueue(user, solo);
            self.timers.set(Timer::Spawn, self.next_login);
            return None;
        }
        let link = self.pool.place(user, solo, limits);
        match link {
            Some(_) => self.next_login = self.now.after(self.login_delay()),
            None => self.timers.set_once(Timer::Spawn, self.now),
        }
        link
    }

    /// The next user in line for whom there is a backend now.
    pub(super) fn next_placed(&mut self) -> Option<(BareJid, Link)> {
        if self.now < self.next_login {
            self.timers.set(Timer::Spawn, self.next_login);
            return None;
        }
        let placed = self.pool.next_placed(self.limits())?;
        self.next_login = self.now.after(self.login_delay());
        Some(placed)
    }

    fn login_delay(&self) -> u64 {
        u64::from(self.config.service.login_delay) * 1_000
    }

    /// An id for a stanza of ours.
    pub(super) fn id(&mut self) -> String {
        self.last_id += 1;
        format!("s{}-{}", self.life, self.last_id)
    }

    /// Whether [`Self::id`] made it.
    pub(super) fn is_own_id(&self, id: &str) -> bool {
        id.strip_prefix('s')
            .and_then(|rest| rest.strip_prefix(&*self.life))
            .is_some_and(|rest| rest.starts_with('-'))
    }

    /// A number that others cannot foresee well enough to profit: for jitter, not for secrets.
    pub(super) fn random(&mut self, below: u64) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    /// `milliseconds`, up to a fifth more or less, so that many do not come at once.
    pub(super) fn jitter(&mut self, milliseconds: u64) -> u64 {
        milliseconds - milliseconds / 5 + self.random(milliseconds * 2 / 5 + 1)
    }

    /// Sends a stanza. While the link is down messages are kept; the rest is said anew when it stands again.
    pub(super) fn send(&mut self, stanza: Element) {
        if self.up {
            self.out.push(Action::Stanza(stanza));
        } else if stanza.name() == "message" && self.outbox_bytes < OUTBOX_BYTES * 2 {
            let stanza = self.stamped(stanza);
            self.outbox_bytes += stanza.to_xml().len();
            self.outbox.push_back(stanza);
        }
    }

    /// The stanza with the time it was meant to be sent (XEP-0203 §3), unless it says that already.
    fn stamped(&self, stanza: Element) -> Element {
        if stanza.find("delay", ns::DELAY).is_some() {
            return stanza;
        }
        let stamp = xep_0082::from_unix(self.wall_clock() / 1_000);
        stanza.child(Element::new("delay", ns::DELAY).with("from", self.jid.as_str()).with("stamp", stamp))
    }

    /// Whether frames of backends may come: not while what they lead to cannot be sent.
    pub(super) fn accepts_frames(&self) -> bool {
        self.outbox.len() < OUTBOX && self.outbox_bytes < OUTBOX_BYTES && self.archive_keeps_up()
    }

    /// Sends what was kept while the link was down.
    pub(super) fn flush_outbox(&mut self) {
        let kept = std::mem::take(&mut self.outbox);
        self.outbox_bytes = 0;
        self.out.extend(kept.into_iter().map(Action::Stanza));
    }

    /// Answers a stanza with an error, if it is one that may be answered.
    pub(super) fn refuse(&mut self, stanza: &Element, kind: ErrorType, condition: Condition, text: &str) {
        let text = (!text.is_empty()).then_some(text);
        if let Some(mut reply) = error_reply(stanza, kind, condition, text) {
            if stanza.name() == "presence" && stanza.find("x", ns::MUC).is_some() {
                // XEP-0045 §7.2: by this, clients tell that the error is of a room.
                reply.push(Element::new("x", ns::MUC));
            }
            self.counters.fault(match stanza.name() {
                "message" => Fault::Message,
                "presence" => Fault::Presence,
                _ => Fault::Request,
            });
            self.send(reply);
        }
    }

    /// Sends a frame to a backend.
    pub(super) fn frame(&mut self, link: Link, frame: Frame) {
        self.out.push(Action::Frame(link, frame));
    }

    /// Asks a backend for a sign of life; gives the number of that ping, see [`super::pool::Backend::pings`].
    pub(super) fn ping(&mut self, link: Link) -> u64 {
        self.frame(link, Frame::Ping);
        self.pool.get_mut(link).map_or(0, |backend| {
            backend.pings += 1;
            backend.pings
        })
    }

    /// Asks storage, with somebody waiting for the answer.
    pub(super) fn ask(&mut self, request: storage::Request, pending: Pending) {
        self.last_token += 1;
        let token = Token(self.last_token);
        self.pending.insert(token, pending);
        self.out.push(Action::Store(token, request));
    }

    /// Writes to storage; `what` says what was to be written, for the log.
    pub(super) fn store(&mut self, request: storage::Request, what: impl Into<String>) {
        self.ask(request, Pending::Write(what.into()));
    }

    pub(super) fn take_pending(&mut self, token: Token) -> Option<Pending> {
        self.pending.remove(&token)
    }

    /// Whether storage has been asked something about this user that he must be there for.
    pub(super) fn is_pending(&self, user: &BareJid) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Load(jid)
            | Pending::Register(jid, ..)
            | Pending::NameTaken(jid, ..)
            | Pending::Admitted(jid)
            | Pending::Unregister(jid, _) => jid == user,
            _ => false,
        })
    }

    /// How many queries of archives this user has under way.
    pub(super) fn archive_queries(&self, user: &BareJid) -> usize {
        let is_query = |pending: &&Pending| matches!(pending, Pending::ArchivePage(jid, _) | Pending::ArchiveEnds(jid, _) if jid == user);
        self.pending.values().filter(is_query).count()
    }

    /// Whether nobody else can register; those who are being registered count.
    pub(super) fn is_full(&self) -> bool {
        let under_way = self.pending.values().filter(|pending| match pending {
            Pending::Register(_, _, new) | Pending::NameTaken(_, _, new) => new.id == 0,
            Pending::Admitted(_) => true,
            _ => false,
        });
        self.registered + under_way.count() as u64 >= u64::from(self.config.service.max_users)
    }

    /// `service.max_users` keeps this user out. The log says so once for each time that it is reached.
    pub(super) fn tell_full(&mut self, user: &BareJid) {
        if !std::mem::replace(&mut self.full_told, true) {
            let limit = self.config.service.max_users;
            warn!(
                user = %user,
                limit,
                message_id = message_id::USERS_FULL,
                "service.max_users is reached, so nobody else can register. Raise it, or remove users"
            );
        }
    }

    /// Whether this user was let in for the first time, and is being stored.
    pub(super) fn is_being_kept(&self, user: &BareJid) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Admitted(jid) if jid == user))
    }

    /// Whether the registration of this user is being deleted.
    pub(super) fn is_being_removed(&self, user: &BareJid) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Unregister(jid, _) if jid == user))
    }

    /// Whether storage still has work of ours.
    pub(super) fn storage_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends an iq of ours and remembers what it was about. `false`: it could not be sent.
    pub(super) fn query(&mut self, user: &BareJid, to: Jid, iq: Element, query: Query) -> bool {
        let Some(id) = iq.attr("id").map(str::to_owned) else { return false };
        if !self.up || self.queries.len() >= REQUESTS {
            return false;
        }
        self.queries.insert(id, (user.clone(), to, query, self.now.after(ANSWER)));
        self.timers.set_once(Timer::Requests, self.now.after(ANSWER));
        self.send(iq);
        true
    }

    /// What the iq with this id was about, if it was ours and this is whom it was sent to.
    pub(super) fn take_query(&mut self, id: &str, from: Option<&Jid>) -> Option<(BareJid, Query)> {
        let (_, to, ..) = self.queries.get(id)?;
        if from != Some(to) {
            return None;
        }
        self.queries.remove(id).map(|(user, _, query, _)| (user, query))
    }

    /// Gives up on queries whose time has come, or on all of them.
    pub(super) fn expired_queries(&mut self, all: bool) -> Vec<(BareJid, Jid, Query)> {
        let now = self.now;
        let old = self.queries.extract_if(|_, (.., until)| all || *until <= now);
        let old: Vec<_> = old.map(|(_, (user, to, query, _))| (user, to, query)).collect();
        if let Some(next) = self.queries.values().map(|(.., until)| *until).min() {
            self.timers.set(Timer::Requests, next);
        }
        old
    }

    /// Remembers what a client program can do.
    pub(super) fn learn_client(&mut self, node_ver: String, exchange: bool) {
        if node_ver.len() > LABEL {
            return;
        }
        if self.clients.len() >= CLIENTS {
            self.clients.clear();
        }
        self.clients.insert(node_ver, exchange);
    }

    /// What the server of this user lets us do.
    pub(super) fn privileges_for(&self, user: &BareJid) -> Option<&Privileges> {
        self.privileges.get(user.domain().as_str())
    }

    /// JID of a contact: `node` at our own domain, with the resource that all contacts have.
    pub(super) fn contact_full(&self, node: &str) -> String {
        format!("{node}@{}/bot", self.jid)
    }

    /// Bare JID of a contact.
    pub(super) fn contact_bare(&self, node: &str) -> String {
        format!("{node}@{}", self.jid)
    }

    /// The same as a JID; `None` if `node` cannot be in one.
    pub(super) fn contact_jid(&self, node: &str) -> Option<BareJid> {
        BareJid::new(&self.contact_bare(node)).ok()
    }

    /// Tells the user something, from the gateway.
    pub(super) fn tell(&mut self, user: &BareJid, text: &str) {
        let message = self.notice(user.as_str(), text);
        self.send(message);
    }

    /// A message from the gateway.
    pub(super) fn notice(&mut self, to: &str, text: &str) -> Element {
        let id = self.id();
        Element::new("message", ns::CLIENT)
            .with("from", self.jid.as_str())
            .with("to", to)
            .with("type", "chat")
            .with("id", id)
            .child(Element::new("body", ns::CLIENT).text(text))
    }
}

/// `text`, cut to at most `longest` bytes.
pub fn clip(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
    }
    text
}
