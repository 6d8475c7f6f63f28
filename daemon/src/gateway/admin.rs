//! What admins can ask of the core, and what they are told: one set of requests for the bus, for the text commands of
//! Spectrum 2, for messages to the gateway and for ad-hoc commands.
//!
//! Guarantees that every request is answered once, in whichever form it was asked, and that nothing here shows a
//! password or a message.

mod text;

use std::fmt;
use std::sync::Arc;

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_config::{Config, Secret};
use spectrum2_log::message_id;
use tracing::{error, info, warn};

use super::account::{OWN_SETTING, Refused};
use super::adhoc::Job;
use super::context::{Context, Pending};
use super::event::{Action, Link, Time};
use super::registration::Registrar;
use super::session::Session;
use super::user::{Early, User};
use super::{EARLY, Gateway};
use crate::storage::{self, StoredContact};
use text::Question;

/// Where Spectrum 2 keeps the bookmarks, which hold passwords of rooms.
const BOOKMARKS: &str = "storage";
/// Most users that one list holds: what the bus takes in one message, by a wide margin.
const LONGEST_LIST: u32 = 100_000;
/// Reloads that may be asked for while one is under way.
const RELOADS: usize = 16;

/// Names a request of the shell, which made it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// What an admin wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// All registered users, or only those who are not offline. Answer: [`Answer::Users`].
    ListUsers {
        /// Leave out those who are offline.
        online: bool,
    },
    /// Everything about one user. Answer: [`Answer::User`].
    GetUser(BareJid),
    /// Register a user who is not registered. Answer: [`Answer::Done`].
    RegisterUser(BareJid, Account),
    /// End the session of a user and delete all that is stored of him. Answer: [`Answer::Done`].
    UnregisterUser(BareJid),
    /// The same, and have the backend delete what it keeps of him. Answer: [`Answer::Done`].
    EraseUser(BareJid),
    /// End the session of a user, until one of his clients comes on line again. Answer: [`Answer::Done`].
    LogOutUser(BareJid),
    /// Log a user in now, whatever he waits for. Answer: [`Answer::Done`].
    LogInUser(BareJid),
    /// All that is stored of a user but for his password. Answer: [`Answer::Export`].
    ExportUser(BareJid),
    /// All backend processes. Answer: [`Answer::Backends`].
    ListBackends,
    /// Read the transport file again. Answer: [`Answer::Reloaded`].
    Reload,
    /// A line of Spectrum 2's admin interface. Answer: [`Answer::Text`].
    Command(String),
}

/// What somebody must be allowed to for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// See who uses the transport, and how it fares.
    Inspect,
    /// Change and end what users have.
    ManageUsers,
    /// Change how the transport works.
    ManageTransport,
}

impl Request {
    /// What it takes to make this request.
    pub fn right(&self) -> Right {
        match self {
            Self::ListUsers { .. } | Self::GetUser(_) | Self::ListBackends => Right::Inspect,
            Self::RegisterUser(..)
            | Self::UnregisterUser(_)
            | Self::EraseUser(_)
            | Self::LogOutUser(_)
            | Self::LogInUser(_)
            | Self::ExportUser(_) => Right::ManageUsers,
            Self::Reload => Right::ManageTransport,
            Self::Command(line) => text::right(line),
        }
    }
}

/// An account on the legacy network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Name on the legacy network.
    pub legacy_name: String,
    /// Password on the legacy network.
    pub password: Secret,
    /// Language of the user; empty if not known.
    pub language: String,
}

/// The answer to a [`Request`].
pub type Outcome = Result<Answer, Refusal>;

/// What an admin is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// Users, sorted by JID.
    Users(Vec<UserLine>),
    /// One user.
    User(Box<UserDetails>),
    /// What is stored of a user.
    Export(Box<Export>),
    /// Backend processes, the oldest first.
    Backends(Vec<BackendLine>),
    /// The file was read; these options changed and wait for a restart.
    Reloaded(Vec<String>),
    /// Words.
    Text(String),
}

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The user is not registered.
    #[error("{0} is not registered with this transport")]
    NoSuchUser(BareJid),
    /// The user is registered already.
    #[error("{0} is already registered with this transport")]
    UserExists(BareJid),
    /// The request makes no sense; the text says why.
    #[error("{0}")]
    InvalidArguments(String),
    /// It went wrong; the text says why.
    #[error("{0}")]
    Failed(String),
}

/// Where a user stands with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Not logged in, and not wanting to be.
    Offline,
    /// Waits for a backend process.
    Waiting,
    /// The login is under way.
    Connecting,
    /// Logged in.
    Online,
    /// The connection was lost, and will be tried again.
    Retrying,
    /// The network refused for a reason that only the user can mend.
    Refused,
    /// Locked out for a while: the account breaks backends.
    Quarantined,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Offline,
        Self::Waiting,
        Self::Connecting,
        Self::Online,
        Self::Retrying,
        Self::Refused,
        Self::Quarantined,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Retrying => "retrying",
            Self::Refused => "refused",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// Bare JID.
    pub jid: BareJid,
    /// Name on the legacy network.
    pub legacy_name: String,
    /// Where he stands.
    pub state: State,
    /// Why he is not on line although he wants to be; else empty.
    pub reason: String,
    /// Since when; `None` if that is not known.
    pub since: Option<Time>,
    /// When the state ends by itself.
    pub until: Option<Time>,
}

/// Everything about one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDetails {
    /// As in a list.
    pub line: UserLine,
    /// Language of the user; may be empty.
    pub language: String,
    /// May log in where `service.vip_only` is set.
    pub vip: bool,
    /// Attempts to log in that failed in a row.
    pub failures: u32,
    /// The backend that serves him.
    pub backend: Option<Link>,
    /// Its process id, if it said so.
    pub backend_pid: Option<u32>,
    /// His clients that are on line.
    pub resources: Vec<String>,
    /// How many contacts he has.
    pub contacts: usize,
    /// Messages of his that wait for the network.
    pub kept_messages: usize,
    /// What he has set: name and value. What he keeps here for himself (bookmarks, his vCard) is his own affair.
    pub settings: Vec<(String, String)>,
}

/// Whether whoever may see the users may see this setting of one.
fn is_shown(setting: &str) -> bool {
    setting != BOOKMARKS && !setting.starts_with(OWN_SETTING)
}

/// All that is stored of one user but for his password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Bare JID.
    pub jid: BareJid,
    /// Name on the legacy network.
    pub legacy_name: String,
    /// Language of the user; may be empty.
    pub language: String,
    /// Encoding that he chose; may be empty.
    pub encoding: String,
    /// May log in where `service.vip_only` is set.
    pub vip: bool,
    /// What he has set: name and value.
    pub settings: Vec<(String, String)>,
    /// His contacts.
    pub contacts: Vec<StoredContact>,
    /// What is archived for him. The messages themselves he gets from the rooms (XEP-0313).
    pub archives: Vec<ArchiveLine>,
}

/// The archive of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveLine {
    /// JID of the room.
    pub room: String,
    /// How many messages it holds.
    pub messages: u64,
}

/// A backend process in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendLine {
    /// Its connection.
    pub link: Link,
    /// Its process id, if it said so.
    pub pid: Option<u32>,
    /// Its resident memory in KiB, if it said so.
    pub memory: u64,
    /// `starting`, `ready`, `single` (serves one suspect user only) or `retired` (takes no further users).
    pub state: String,
    /// Its users.
    pub users: Vec<BareJid>,
}

/// What those who watch are told without having asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// A user came to stand elsewhere with the network.
    UserState {
        /// Who.
        jid: BareJid,
        /// Where.
        state: State,
        /// Why he is not on line although he wants to be; else empty.
        reason: String,
    },
    /// A backend with users on it died.
    BackendLost {
        /// Its process id, if it said so.
        pid: Option<u32>,
        /// What is known of the cause.
        reason: String,
    },
}

/// The memory of a process, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident.
    pub resident: u64,
    /// The part of it that is shared with other processes.
    pub shared: u64,
}

/// Who asked, and so in which form he is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    /// The shell, for somebody on the bus.
    Shell(Ticket),
    /// Somebody who wrote a command.
    Text(Question, Reader),
    /// Somebody who completed an ad-hoc command.
    AdHoc(Box<Job>),
}

/// Who reads an answer in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reader {
    /// The shell, for somebody on the bus.
    Shell(Ticket),
    /// Somebody who wrote a message to the gateway.
    Message(Jid),
}

impl Gateway {
    /// Carries out what an admin wants; whether he may is settled before.
    pub(super) fn admin(&mut self, asker: Asker, request: Request) {
        match request {
            Request::ListUsers { online: true } => {
                let mut lines: Vec<UserLine> = self
                    .users
                    .values()
                    .filter(|user| user.session != Session::Offline)
                    .filter_map(|user| user.line())
                    .collect();
                lines.sort_by(|a, b| a.jid.cmp(&b.jid));
                self.cx.answer(asker, Ok(Answer::Users(lines)));
            }
            Request::ListUsers { online: false } => {
                self.cx.ask(storage::Request::ListUsers(LONGEST_LIST), Pending::ListUsers(asker));
            }
            Request::ListBackends => {
                let backends = self.backend_lines();
                self.cx.answer(asker, Ok(Answer::Backends(backends)));
            }
            Request::Reload if self.cx.reloading.len() >= RELOADS => {
                let refusal = Refusal::Failed("A reload is under way; try again later".to_owned());
                self.cx.answer(asker, Err(refusal));
            }
            Request::Reload => {
                self.cx.reloading.push(asker);
                if self.cx.reloading.len() == 1 {
                    self.cx.out.push(Action::Reload);
                }
            }
            Request::Command(line) => match asker {
                Asker::Shell(ticket) => self.text_command(Reader::Shell(ticket), &line),
                Asker::Text(..) | Asker::AdHoc(_) => {}
            },
            Request::GetUser(ref jid)
            | Request::RegisterUser(ref jid, _)
            | Request::UnregisterUser(ref jid)
            | Request::EraseUser(ref jid)
            | Request::LogOutUser(ref jid)
            | Request::LogInUser(ref jid)
            | Request::ExportUser(ref jid) => {
                let jid = jid.clone();
                self.about_user(&jid, asker, request);
            }
        }
    }

    /// A request that needs what is known of a user. Storage is asked first if he is not at hand.
    fn about_user(&mut self, jid: &BareJid, asker: Asker, request: Request) {
        if !self.users.contains_key(jid) && !self.make_user(jid) {
            let refusal = Refusal::Failed("The gateway has as many users as it can serve".to_owned());
            self.cx.answer(asker, Err(refusal));
            return;
        }
        let Some(user) = self.users.get_mut(jid) else { return };
        match &mut user.early {
            Some(early) if early.len() < EARLY => early.push_back(Early::Admin(asker, request)),
            Some(_) => {
                self.cx
                    .answer(asker, Err(Refusal::Failed("Too many requests wait for this user".to_owned())));
            }
            None => user.admin(&mut self.cx, asker, request),
        }
    }

    /// Storage knows who is registered.
    pub(super) fn users_listed(&mut self, asker: Asker, stored: Vec<(BareJid, String)>) {
        if u32::try_from(stored.len()).is_ok_and(|len| len >= LONGEST_LIST) {
            let text =
                format!("There are {LONGEST_LIST} users or more, too many for a list; ask for those online");
            self.cx.answer(asker, Err(Refusal::Failed(text)));
            return;
        }
        let line = |(jid, legacy_name): (BareJid, String)| {
            self.users.get(&jid).and_then(|user| user.line()).unwrap_or(UserLine {
                jid,
                legacy_name,
                state: State::Offline,
                reason: String::new(),
                since: None,
                until: None,
            })
        };
        let mut lines: Vec<UserLine> = stored.into_iter().map(line).collect();
        lines.sort_by(|a, b| a.jid.cmp(&b.jid));
        self.cx.answer(asker, Ok(Answer::Users(lines)));
    }

    fn backend_lines(&self) -> Vec<BackendLine> {
        let line = |(link, backend): (Link, &super::pool::Backend)| BackendLine {
            link,
            pid: backend.pid,
            memory: backend.memory.resident,
            state: backend.word().to_owned(),
            users: backend.users.iter().cloned().collect(),
        };
        self.cx.pool.iter().map(line).collect()
    }

    /// The file was read again, or cannot be.
    pub(super) fn reload(&mut self, result: Result<Arc<Config>, String>) {
        let outcome = result.and_then(|config| self.cx.reload(&config)).map_err(Refusal::Failed);
        match &outcome {
            Ok(waiting) if waiting.is_empty() => info!("The configuration is reloaded."),
            Ok(waiting) => warn!(
                "The configuration is reloaded, but these options need a restart of the transport: {}.",
                waiting.join(", ")
            ),
            Err(refusal) => error!(
                message_id = message_id::CONFIGURATION_KEPT,
                "The configuration is not reloaded, and stays as it was: {refusal}"
            ),
        }
        for asker in std::mem::take(&mut self.cx.reloading) {
            self.cx.answer(asker, outcome.clone().map(Answer::Reloaded));
        }
    }
}

impl Context {
    /// Answers in the form in which was asked.
    pub(super) fn answer(&mut self, asker: Asker, outcome: Outcome) {
        match asker {
            Asker::Shell(ticket) => self.out.push(Action::Admin(ticket, outcome)),
            Asker::Text(question, reader) => {
                let text = question.answer(&outcome);
                self.say(reader, text);
            }
            Asker::AdHoc(job) => self.jobs.push_back((*job, outcome)),
        }
    }

    /// Says something to whoever asked in words.
    fn say(&mut self, reader: Reader, text: String) {
        match reader {
            Reader::Shell(ticket) => self.out.push(Action::Admin(ticket, Ok(Answer::Text(text)))),
            Reader::Message(to) => {
                let message = self.notice(to.as_str(), &text);
                self.send(message);
            }
        }
    }

    /// Tells those who watch.
    pub(super) fn notice_admins(&mut self, notice: Notice) {
        self.out.push(Action::Notice(notice));
    }

    /// Whether this user is named by `service.admin_jid`.
    pub(super) fn is_admin(&self, jid: &BareJid) -> bool {
        self.config.service.admin_jid.iter().any(|admin| BareJid::new(admin).is_ok_and(|admin| admin == *jid))
    }
}

impl User {
    /// What an admin wants of this user.
    pub(super) fn admin(&mut self, cx: &mut Context, asker: Asker, request: Request) {
        let outcome = match request {
            Request::RegisterUser(_, account) => return self.register_by_admin(cx, asker, account),
            _ if self.registration.is_none() => Err(Refusal::NoSuchUser(self.jid.clone())),
            Request::UnregisterUser(_) => {
                info!(user = %self.jid, "an administrator unregisters the user");
                return self.unregister(cx, Registrar::Admin(asker));
            }
            Request::EraseUser(_) => {
                info!(user = %self.jid, "an administrator erases the user");
                return self.unregister(cx, Registrar::Eraser(asker));
            }
            Request::GetUser(_) => self.details(cx),
            Request::ExportUser(_) => return self.export(cx, asker),
            Request::LogOutUser(_) => {
                if self.session != Session::Offline {
                    info!(user = %self.jid, "an administrator logs the user out");
                    let text = "An administrator ended your session";
                    self.throw_out(cx, Refused::Trouble(text.to_owned()));
                    self.log_out(cx);
                }
                Ok(Answer::Done)
            }
            Request::LogInUser(_) => self.log_in_by_admin(cx),
            Request::ListUsers { .. } | Request::ListBackends | Request::Reload | Request::Command(_) => {
                Err(Refusal::InvalidArguments("This is not about a user".to_owned()))
            }
        };
        cx.answer(asker, outcome);
    }

    fn log_in_by_admin(&mut self, cx: &mut Context) -> Outcome {
        if !self.wanted(cx) {
            return Err(Refusal::Failed("None of the user's XMPP clients is online".to_owned()));
        }
        info!(user = %self.jid, "an administrator has the user logged in");
        self.log_in_now(cx);
        match self.session.state() {
            State::Offline => Err(Refusal::Failed(
                "The user may not log in, by his settings or by service.vip_only".to_owned(),
            )),
            _ => Ok(Answer::Done),
        }
    }

    /// The user in a list; none if he is not registered.
    pub(super) fn line(&self) -> Option<UserLine> {
        Some(UserLine {
            jid: self.jid.clone(),
            legacy_name: self.registration.as_ref()?.legacy_name.clone(),
            state: self.session.state(),
            reason: self.state_reason().to_owned(),
            since: self.since,
            until: self.session.until(),
        })
    }

    fn details(&self, cx: &Context) -> Outcome {
        let (Some(line), Some(registration)) = (self.line(), &self.registration) else {
            return Err(Refusal::NoSuchUser(self.jid.clone()));
        };
        Ok(Answer::User(Box::new(UserDetails {
            line,
            language: registration.language.clone(),
            vip: registration.vip,
            failures: self.trouble.failures,
            backend: self.link(),
            backend_pid: self.link().and_then(|link| cx.pool.get(link)).and_then(|backend| backend.pid),
            resources: self.resources.keys().cloned().collect(),
            contacts: self.contacts.iter().count(),
            kept_messages: self.kept.len(),
            settings: self.settings.iter().filter(|(name, _)| is_shown(name)).cloned().collect(),
        })))
    }

    fn export(&self, cx: &mut Context, asker: Asker) {
        let Some(registration) = &self.registration else { return };
        let export = Export {
            jid: self.jid.clone(),
            legacy_name: registration.legacy_name.clone(),
            language: registration.language.clone(),
            encoding: registration.encoding.clone(),
            vip: registration.vip,
            settings: self.settings.iter().cloned().chain(self.rooms.kept.for_export()).collect(),
            contacts: self.contacts.iter().map(|contact| contact.stored.clone()).collect(),
            archives: Vec::new(),
        };
        cx.flush_archive();
        let request = storage::Request::ArchivedRooms(self.jid.clone());
        cx.ask(request, Pending::Export(asker, Box::new(export)));
    }
}
