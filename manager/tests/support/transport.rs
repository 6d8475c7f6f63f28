//! A transport on the bus that says what it is told to.

use std::collections::HashMap;
use std::future::pending;

use zbus::{Connection, OwnedVariant, Variant, interface};

use super::bus::Bus;

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "im.spectrum.Transport1.Error")]
pub enum Error {
    NoSuchUser(String),
    NotPermitted(String),
}

#[derive(Clone, Debug)]
pub struct Transport {
    pub jid: &'static str,
    pub xmpp_state: &'static str,
    pub xmpp_error: &'static str,
    pub hangs: bool,
    pub is_strict: bool,
}

impl Transport {
    pub fn connected(jid: &'static str) -> Self {
        Self { jid, xmpp_state: "connected", xmpp_error: "", hangs: false, is_strict: false }
    }

    /// Serves until the connection is dropped.
    pub async fn serve(self, bus: &Bus, label: &str) -> Connection {
        let connection = bus.connect().await;
        connection.object_server().at("/im/spectrum/Transport1", self).await.unwrap();
        connection.request_name(format!("im.spectrum.Transport1.{label}")).await.unwrap();
        connection
    }
}

type UserRow = (String, String, String, String, u64, u64);

#[interface(name = "im.spectrum.Transport1")]
impl Transport {
    fn list_users(&self, flags: u64) -> Vec<UserRow> {
        assert_eq!(flags, 0);
        let row = |jid: &str, state: &str, reason: &str, retry_at| {
            (jid.to_owned(), "legacy".to_owned(), state.to_owned(), reason.to_owned(), 1, retry_at)
        };
        vec![
            row("romeo@example.org", "online", "", 0),
            row("juliet@example.org", "retrying", "The network is down", 2),
            row("nurse@example.org", "refused", "Wrong password", 0),
        ]
    }

    fn get_user(&self, jid: &str) -> Result<HashMap<String, OwnedVariant>, Error> {
        if jid != "romeo@example.org" {
            return Err(Error::NoSuchUser(format!("{jid} is not registered.")));
        }
        let settings: HashMap<&str, &str> = HashMap::from([("stay_connected", "1")]);
        let value = |value: Variant<'_>| OwnedVariant::try_from(value).unwrap();
        Ok(HashMap::from([
            ("Jid".to_owned(), value(jid.into())),
            ("Vip".to_owned(), value(true.into())),
            ("Settings".to_owned(), value(settings.into())),
        ]))
    }

    fn register_user(
        &self,
        jid: &str,
        name: &str,
        password: &str,
        _options: HashMap<String, OwnedVariant>,
    ) -> Result<(), Error> {
        if self.is_strict {
            return Err(Error::NotPermitted("This takes an administrator: do it as root".to_owned()));
        }
        assert_eq!((jid, name, password), ("romeo@example.org", "montague", "rosaline"));
        Ok(())
    }

    fn logout_user(&self, _jid: &str) {}

    fn export_user(&self, jid: &str) -> String {
        format!("{{\"jid\":\"{jid}\"}}")
    }

    fn list_backends(&self) -> Vec<(u64, u32, u32, u64, String, String)> {
        vec![(1, 4712, 1, 2048, "ready".to_owned(), "romeo@example.org".to_owned())]
    }

    fn reload(&self) -> Result<Vec<String>, Error> {
        if self.is_strict {
            return Err(Error::NotPermitted("It takes an administrator.".to_owned()));
        }
        Ok(vec!["service.port".to_owned()])
    }

    fn set_log_level(&self, subsystem: &str, user: &str, level: &str, seconds: u32) {
        assert_eq!((subsystem, user, level, seconds), ("xmpp", "", "debug", 600));
    }

    async fn command(&self, line: &str) -> String {
        if self.hangs {
            pending::<()>().await;
        }
        match line {
            "online_users_count" => "12".to_owned(),
            other => format!("Error: Unknown variable or command: {other}"),
        }
    }

    #[zbus(property)]
    fn jid(&self) -> &str {
        self.jid
    }
    #[zbus(property)]
    async fn xmpp_state(&self) -> &str {
        if self.hangs {
            pending::<()>().await;
        }
        self.xmpp_state
    }
    #[zbus(property)]
    fn xmpp_error(&self) -> &str {
        self.xmpp_error
    }
    #[zbus(property)]
    fn status(&self) -> &str {
        "connected to 127.0.0.1:5347"
    }
    #[zbus(property)]
    fn online_users(&self) -> u32 {
        1
    }
    #[zbus(property)]
    fn registered_users(&self) -> u32 {
        3
    }
    #[zbus(property)]
    fn backends(&self) -> u32 {
        1
    }
}
