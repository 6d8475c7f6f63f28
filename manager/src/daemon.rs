//! A running transport on the bus: `im.spectrum.Transport1`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;

use zbus::{Connection, OwnedVariant, Variant, proxy};

/// A transport that does not tell its state within this time hangs: it answers from memory.
pub const PATIENCE: Duration = Duration::from_secs(3);

const INTERFACE: &str = "im.spectrum.Transport1";
const PATH: &str = "/im/spectrum/Transport1";

/// Flags of `ListUsers`: leave nobody out.
const ALL_USERS: u64 = 0;

/// A row of `ListUsers`: bare JID, name of the account, state, reason, since, time of the next attempt.
type UserRow = (String, String, String, String, u64, u64);

/// A row of `ListBackends`: number of its connection, process id, number of users, KiB, state, JIDs of its users.
type BackendRow = (u64, u32, u32, u64, String, String);

#[proxy(
    interface = "im.spectrum.Transport1",
    default_path = "/im/spectrum/Transport1",
    assume_defaults = false
)]
pub trait Transport {
    #[zbus(allow_interactive_auth)]
    fn list_users(&self, flags: u64) -> zbus::Result<Vec<UserRow>>;
    /// The same, but nobody is asked for a password.
    #[zbus(name = "ListUsers")]
    fn list_users_quietly(&self, flags: u64) -> zbus::Result<Vec<UserRow>>;
    #[zbus(allow_interactive_auth)]
    fn list_backends(&self) -> zbus::Result<Vec<BackendRow>>;
    #[zbus(allow_interactive_auth)]
    fn get_user(&self, jid: &str) -> zbus::Result<HashMap<String, OwnedVariant>>;
    #[zbus(allow_interactive_auth)]
    fn register_user(
        &self,
        jid: &str,
        account: &str,
        password: &str,
        options: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn unregister_user(&self, jid: &str) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn login_user(&self, jid: &str) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn logout_user(&self, jid: &str) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn export_user(&self, jid: &str) -> zbus::Result<String>;
    #[zbus(allow_interactive_auth)]
    fn erase_user(&self, jid: &str) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> zbus::Result<Vec<String>>;
    #[zbus(allow_interactive_auth)]
    fn set_log_level(&self, subsystem: &str, user: &str, level: &str, seconds: u32) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn command(&self, line: &str) -> zbus::Result<String>;
}

/// What a transport says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// JID of the transport.
    pub jid: String,
    /// Protocol of the legacy network.
    pub protocol: String,
    /// Gateway or server.
    pub mode: String,
    /// Version of the daemon.
    pub version: String,
    /// The link to the XMPP server.
    pub xmpp_state: String,
    /// Since when, in µs since 1970.
    pub xmpp_since: u64,
    /// Why the link is down; empty while it is up.
    pub xmpp_error: String,
    /// One line that says how it does.
    pub status: String,
    /// What went wrong last.
    pub last_error: String,
    /// Users that are logged in.
    pub online_users: u32,
    /// Users that are registered.
    pub registered_users: u32,
    /// Backend processes.
    pub backends: u32,
}

impl Facts {
    /// Whether users can reach it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.xmpp_state == "connected" || self.xmpp_state == "listening"
    }
}

/// A user, as `ListUsers` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Bare JID.
    pub jid: String,
    /// Name of the account on the legacy network.
    pub account: String,
    /// State of the login; `online` when all is well.
    pub state: String,
    /// Why it is not online.
    pub reason: String,
    /// Since when it is in this state, in µs since 1970; 0 is unknown.
    pub since: u64,
    /// When the next attempt is, in µs since 1970; 0 is never.
    pub retry_at: u64,
}

impl User {
    /// Whether somebody may want to know: it is neither logged in nor logged out.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        !matches!(self.state.as_str(), "online" | "offline")
    }
}

/// A backend process, as `ListBackends` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// Number of its connection.
    pub id: u64,
    /// Process id; 0 is unknown.
    pub pid: u32,
    /// Users that it serves.
    pub users: u32,
    /// Bytes; 0 is unknown.
    pub memory: u64,
    /// State.
    pub state: String,
    /// Bare JIDs of those users.
    pub jids: Vec<String>,
}

/// A running transport.
#[derive(Clone, Debug)]
pub struct Daemon {
    connection: Connection,
    name: String,
    patience: Duration,
    /// The calls that commands make.
    pub calls: TransportProxy<'static>,
}

impl Daemon {
    /// The transport of that name, whether or not it is there: that of the instance, or the JID of a vhost. A command
    /// waits `patience` for its answer.
    ///
    /// # Errors
    /// The connection is of no use, or the name is too long for a bus.
    pub async fn new(connection: &Connection, name: &str, patience: Duration) -> zbus::Result<Self> {
        let name = bus_name(name);
        let calls = TransportProxy::builder(connection)
            .destination(name.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        Ok(Self { connection: connection.clone(), name, patience, calls })
    }

    /// The answer to one of [`Daemon::calls`], if it comes in time: zbus sets no limit to calls that may ask somebody
    /// for a password.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn in_time<T>(&self, call: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
        timeout(self.patience, call).await.unwrap_or_else(|_| Err(silence()))
    }

    /// What it says about itself.
    ///
    /// # Errors
    /// It is not there, or does not answer within [`PATIENCE`].
    pub async fn facts(&self) -> zbus::Result<Facts> {
        let properties = PropertiesProxy::builder(&self.connection)
            .destination(self.name.clone())
            .path(PATH)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let all = properties.get_all(InterfaceName::try_from(INTERFACE)?);
        let all = timeout(PATIENCE, all).await.map_err(|_| silence())?;
        Ok(facts_of(&all?))
    }

    /// Its users, sorted by JID.
    ///
    /// # Errors
    /// It does not say.
    pub async fn users(&self) -> zbus::Result<Vec<User>> {
        Ok(users_of(self.in_time(self.calls.list_users(ALL_USERS)).await?))
    }

    /// Its users whose login is neither done nor undone, if it says so within [`PATIENCE`] and without asking anybody for
    /// a password: for who wants to see more than users.
    ///
    /// # Errors
    /// It does not say.
    pub async fn troubled_users(&self) -> zbus::Result<Vec<User>> {
        let rows = timeout(PATIENCE, self.calls.list_users_quietly(ALL_USERS)).await;
        let mut users = users_of(rows.unwrap_or_else(|_| Err(silence()))?);
        users.retain(User::has_trouble);
        Ok(users)
    }

    /// Its backend processes.
    ///
    /// # Errors
    /// It does not say.
    pub async fn backends(&self) -> zbus::Result<Vec<Backend>> {
        Ok(self.in_time(self.calls.list_backends()).await?.into_iter().map(backend_of).collect())
    }
}

/// The name on the bus: an element of it has letters, digits and `_` only, and begins with no digit, so everything
/// else is written as sd_bus_path_encode(3) does.
#[must_use]
pub fn bus_name(name: &str) -> String {
    let mut label = String::new();
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && index > 0) {
            label.push(char::from(byte));
        } else {
            label.push_str(&format!("_{byte:02x}"));
        }
    }
    format!("{INTERFACE}.{label}")
}

/// No answer.
fn silence() -> zbus::Error {
    zbus::Error::InputOutput(Arc::new(ErrorKind::TimedOut.into()))
}

fn facts_of(all: &HashMap<String, OwnedVariant>) -> Facts {
    let text = |name: &str| {
        all.get(name).and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default().to_owned()
    };
    let count = |name: &str| all.get(name).and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    Facts {
        jid: text("Jid"),
        protocol: text("Protocol"),
        mode: text("Mode"),
        version: text("Version"),
        xmpp_state: text("XmppState"),
        xmpp_since: all.get("XmppSince").and_then(|value| u64::try_from(value).ok()).unwrap_or_default(),
        xmpp_error: text("XmppError"),
        status: text("Status"),
        last_error: text("LastError"),
        online_users: count("OnlineUsers"),
        registered_users: count("RegisteredUsers"),
        backends: count("Backends"),
    }
}

fn users_of(rows: Vec<UserRow>) -> Vec<User> {
    let mut users: Vec<User> = rows.into_iter().map(user_of).collect();
    users.sort_by(|one, other| one.jid.cmp(&other.jid));
    users
}

fn user_of((jid, account, state, reason, since, retry_at): UserRow) -> User {
    User { jid, account, state, reason, since, retry_at }
}

fn backend_of((id, pid, users, kibibytes, state, jids): BackendRow) -> Backend {
    let jids = jids.split_whitespace().map(str::to_owned).collect();
    Backend { id, pid, users, memory: kibibytes.saturating_mul(1024), state, jids }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_bus_name_of_its_own() {
        assert_eq!(bus_name("irc"), "im.spectrum.Transport1.irc");
        assert_eq!(bus_name("0irc1"), "im.spectrum.Transport1._30irc1");
        assert_eq!(bus_name("a_b.c"), "im.spectrum.Transport1.a_5fb_2ec");
        assert_eq!(bus_name("irc-2.example.org"), "im.spectrum.Transport1.irc_2d2_2eexample_2eorg");
    }
}
