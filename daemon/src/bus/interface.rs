//! The interface `im.spectrum.Transport1`, as `im.spectrum.Transport1.xml` declares it (a test compares the two).

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jid::BareJid;
use spectrum2_config::Secret;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::info;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Variant, interface};

use super::polkit;
use super::{About, Question};
use crate::gateway::Time;
use crate::gateway::admin::{Account, Answer, Outcome, Refusal, Request, Right, UserLine};
use crate::logging;
use crate::run::now;
use crate::status::Snapshot;

/// Flag of `ListUsers`: leave out those who are offline.
const ONLINE_ONLY: u64 = 1;
/// The longest time for which a log level is raised.
const LONGEST_RAISE: u32 = 24 * 60 * 60;

/// What a caller is told when it goes wrong.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "im.spectrum.Transport1.Error")]
pub enum Error {
    /// The user is not registered.
    NoSuchUser(String),
    /// The user is registered already.
    UserExists(String),
    /// The arguments make no sense.
    InvalidArguments(String),
    /// The caller may not do this.
    NotPermitted(String),
    /// It went wrong.
    Failed(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NoSuchUser(_) => Self::NoSuchUser(text),
            Refusal::UserExists(_) => Self::UserExists(text),
            Refusal::InvalidArguments(_) => Self::InvalidArguments(text),
            Refusal::Failed(_) => Self::Failed(text),
        }
    }
}

/// A user in `ListUsers`: JID, legacy name, state, reason, since and retry-at in microseconds.
type UserRow = (String, String, String, String, u64, u64);
/// A backend in `ListBackends`: link, pid, number of users, memory in KiB, state, users.
type BackendRow = (u64, u32, u32, u64, String, String);

/// The object at [`super::name::PATH`].
pub struct Transport {
    pub(super) about: About,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    pub(super) questions: mpsc::Sender<Question>,
}

impl Transport {
    /// Asks the core for somebody who may; what changes something is logged with who wanted it.
    async fn ask(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        request: Request,
    ) -> Result<Answer, Error> {
        let right = request.right();
        let uid = polkit::check(connection, header, right).await?;
        if right != Right::Inspect {
            let member = header.member().map_or("", |member| member.as_str());
            info!(uid, method = member, "{member}, asked for over the bus by user {uid}");
        }
        let (reply, outcome) = oneshot::channel();
        self.questions
            .try_send(Question { request, reply })
            .map_err(|_| Error::Failed("The transport is too busy; try again later".to_owned()))?;
        let outcome: Outcome =
            outcome.await.map_err(|_| Error::Failed("The transport is ending or too busy".to_owned()))?;
        outcome.map_err(Error::from)
    }

    async fn ask_done(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        request: Request,
    ) -> Result<(), Error> {
        self.ask(connection, header, request).await.map(drop)
    }
}

#[interface(name = "im.spectrum.Transport1", introspection_docs = false)]
impl Transport {
    #[zbus(out_args("users"))]
    async fn list_users(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        flags: u64,
    ) -> Result<Vec<UserRow>, Error> {
        if flags & !ONLINE_ONLY != 0 {
            return Err(Error::InvalidArguments(format!("There are no such flags: {flags}")));
        }
        let request = Request::ListUsers { online: flags & ONLINE_ONLY != 0 };
        match self.ask(connection, &header, request).await? {
            Answer::Users(lines) => Ok(lines.into_iter().map(user_row).collect()),
            _ => Err(odd()),
        }
    }

    #[zbus(out_args("user"))]
    async fn get_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
    ) -> Result<HashMap<&'static str, Variant<'static>>, Error> {
        let Answer::User(user) = self.ask(connection, &header, Request::GetUser(bare(jid)?)).await? else {
            return Err(odd());
        };
        let (jid, legacy_name, state, reason, since, retry_at) = user_row(user.line);
        let settings: HashMap<String, String> = user.settings.into_iter().collect();
        Ok(HashMap::from([
            ("Jid", jid.into()),
            ("LegacyName", legacy_name.into()),
            ("State", state.into()),
            ("Reason", reason.into()),
            ("Since", since.into()),
            ("RetryAt", retry_at.into()),
            ("Language", user.language.into()),
            ("Vip", user.vip.into()),
            ("Failures", user.failures.into()),
            ("Backend", user.backend.map_or(0, |link| link.0).into()),
            ("BackendPid", user.backend_pid.unwrap_or(0).into()),
            ("Resources", user.resources.into()),
            ("Contacts", count(user.contacts).into()),
            ("KeptMessages", count(user.kept_messages).into()),
            ("Settings", settings.into()),
        ]))
    }

    async fn register_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
        legacy_name: String,
        password: String,
        options: HashMap<String, Variant<'_>>,
    ) -> Result<(), Error> {
        let mut account = Account { legacy_name, password: Secret::new(password), language: String::new() };
        for (name, value) in options {
            match (name.as_str(), value) {
                ("Language", Variant::Str(language)) => account.language = language.to_string(),
                _ => {
                    return Err(Error::InvalidArguments(format!(
                        "There is no such option, or not of this type: {name}"
                    )));
                }
            }
        }
        self.ask_done(connection, &header, Request::RegisterUser(bare(jid)?, account)).await
    }

    async fn unregister_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
    ) -> Result<(), Error> {
        self.ask_done(connection, &header, Request::UnregisterUser(bare(jid)?)).await
    }

    async fn erase_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
    ) -> Result<(), Error> {
        self.ask_done(connection, &header, Request::EraseUser(bare(jid)?)).await
    }

    async fn logout_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
    ) -> Result<(), Error> {
        self.ask_done(connection, &header, Request::LogOutUser(bare(jid)?)).await
    }

    async fn login_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
    ) -> Result<(), Error> {
        self.ask_done(connection, &header, Request::LogInUser(bare(jid)?)).await
    }

    #[zbus(out_args("json"))]
    async fn export_user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        jid: &str,
    ) -> Result<String, Error> {
        match self.ask(connection, &header, Request::ExportUser(bare(jid)?)).await? {
            Answer::Export(export) => serde_json::to_string(&export).map_err(|_| odd()),
            _ => Err(odd()),
        }
    }

    #[zbus(out_args("backends"))]
    async fn list_backends(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BackendRow>, Error> {
        let Answer::Backends(lines) = self.ask(connection, &header, Request::ListBackends).await? else {
            return Err(odd());
        };
        let row = |line: crate::gateway::admin::BackendLine| {
            let users: Vec<&str> = line.users.iter().map(|jid| jid.as_str()).collect();
            let number = count(users.len());
            (line.link.0, line.pid.unwrap_or(0), number, line.memory, line.state, users.join(" "))
        };
        Ok(lines.into_iter().map(row).collect())
    }

    #[zbus(out_args("restart_needed"))]
    async fn reload(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<String>, Error> {
        match self.ask(connection, &header, Request::Reload).await? {
            Answer::Reloaded(waiting) => Ok(waiting),
            _ => Err(odd()),
        }
    }

    #[zbus(out_args("answer"))]
    async fn command(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        line: String,
    ) -> Result<String, Error> {
        match self.ask(connection, &header, Request::Command(line)).await? {
            Answer::Text(text) => Ok(text),
            _ => Err(odd()),
        }
    }

    async fn set_log_level(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        subsystem: &str,
        user: &str,
        level: &str,
        seconds: u32,
    ) -> Result<(), Error> {
        let uid = polkit::check(connection, &header, Right::ManageTransport).await?;
        if seconds == 0 || seconds > LONGEST_RAISE {
            return Err(Error::InvalidArguments(format!(
                "The time must be from 1 to {LONGEST_RAISE} seconds"
            )));
        }
        let raised = logging::raise(subsystem, user, level)
            .map_err(|error| Error::InvalidArguments(error.to_string()))?;
        info!(
            uid,
            subsystem,
            about = user,
            level,
            seconds,
            "more is logged for {seconds} s: asked for by user {uid}"
        );
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds.into())).await;
            drop(raised);
        });
        Ok(())
    }

    #[zbus(signal)]
    pub(super) async fn user_state_changed(
        emitter: &SignalEmitter<'_>,
        jid: &str,
        state: &str,
        reason: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn backend_lost(emitter: &SignalEmitter<'_>, pid: u32, reason: &str)
    -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.about.name
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn jid(&self) -> &str {
        &self.about.jid
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn protocol(&self) -> &str {
        &self.about.protocol
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn mode(&self) -> &str {
        self.about.mode
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn config_file(&self) -> &str {
        &self.about.config_file
    }

    #[zbus(property)]
    fn xmpp_state(&self) -> String {
        self.snapshot.borrow().xmpp_state.to_owned()
    }

    #[zbus(property)]
    fn xmpp_since(&self) -> u64 {
        self.snapshot.borrow().xmpp_since
    }

    #[zbus(property)]
    fn xmpp_error(&self) -> String {
        self.snapshot.borrow().xmpp_error.clone()
    }

    #[zbus(property)]
    fn status(&self) -> String {
        self.snapshot.borrow().status.clone()
    }

    #[zbus(property)]
    fn last_error(&self) -> String {
        self.snapshot.borrow().last_error.clone()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn online_users(&self) -> u32 {
        self.snapshot.borrow().online_users
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn registered_users(&self) -> u32 {
        self.snapshot.borrow().registered_users
    }

    #[zbus(property)]
    fn backends(&self) -> u32 {
        self.snapshot.borrow().backends
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn messages_from_xmpp(&self) -> u64 {
        self.snapshot.borrow().counters.from_xmpp
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn messages_to_xmpp(&self) -> u64 {
        self.snapshot.borrow().counters.to_xmpp
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn crashed_backends(&self) -> u64 {
        self.snapshot.borrow().counters.crashed_backends
    }
}

fn user_row(line: UserLine) -> UserRow {
    let UserLine { jid, legacy_name, state, reason, since, until } = line;
    (jid.to_string(), legacy_name, state.as_str().to_owned(), reason, realtime(since), realtime(until))
}

/// Microseconds since 1970, as systemd has them; 0 if not known.
fn realtime(at: Option<Time>) -> u64 {
    let Some(at) = at else { return 0 };
    let now = now();
    let wall = SystemTime::now();
    let wall = if at < now {
        wall.checked_sub(Duration::from_millis(now.since(at)))
    } else {
        wall.checked_add(Duration::from_millis(at.since(now)))
    };
    wall.map_or(0, microseconds)
}

/// Microseconds since 1970.
pub fn microseconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|age| age.as_micros().try_into().ok()).unwrap_or(0)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn bare(jid: &str) -> Result<BareJid, Error> {
    BareJid::new(jid).map_err(|error| Error::InvalidArguments(format!("{jid:?} is not a bare JID: {error}")))
}

/// The core gave an answer of another kind than was asked for.
fn odd() -> Error {
    Error::Failed("The transport gave an answer that makes no sense; please report it".to_owned())
}
