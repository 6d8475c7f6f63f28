//! What this machine has for us: a bus, and systemd on it.

use std::time::Duration;

use zbus::Connection;

use crate::bus::{self, connect, is_booted_with_systemd};
use crate::daemon::Daemon;
use crate::fleet::Transport;
use crate::outcome::Failure;
use crate::systemd::Systemd;

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    bus: Option<Connection>,
    patience: Duration,
    /// systemd, where it manages services. Elsewhere (a container, a chroot) pid files are what there is.
    pub systemd: Option<Systemd>,
}

impl Machine {
    /// Looks around; no later call on the bus takes longer than `patience`.
    ///
    /// # Errors
    /// systemd runs, but cannot be talked to.
    pub async fn find(patience: Duration) -> Result<Self, Failure> {
        let connection = match connect(patience).await {
            Ok(connection) => connection,
            Err(error) if is_booted_with_systemd() => {
                return Err(Failure::unavailable(format!(
                    "systemd runs here, but the system bus cannot be reached: {error}. Start dbus.service."
                )));
            }
            Err(_) => return Ok(Self { bus: None, patience, systemd: None }),
        };
        let systemd = Systemd::find(&connection).await.map_err(|error| bus::failure(&error, "The bus"))?;
        Ok(Self { bus: Some(connection), patience, systemd })
    }

    /// systemd, for what cannot be done without.
    ///
    /// # Errors
    /// It does not run here.
    pub fn systemd(&self) -> Result<&Systemd, Failure> {
        self.systemd.as_ref().ok_or_else(|| {
            Failure::unavailable(
                "systemd does not run here, so there is nothing that starts transports at boot.",
            )
        })
    }

    /// A transport on the bus by the name of its instance or the JID of a vhost, if there is a bus.
    pub async fn try_daemon(&self, name: &str) -> Option<Daemon> {
        // A name that the bus does not take is no transport's.
        Daemon::new(self.bus.as_ref()?, name, self.patience).await.ok()
    }

    /// A transport on the bus, or this one of its vhosts.
    ///
    /// # Errors
    /// There is no bus, or the transport has no name for it.
    pub async fn daemon(&self, transport: &Transport, vhost: Option<&str>) -> Result<Daemon, Failure> {
        let instance = transport.instance()?;
        self.try_daemon(vhost.unwrap_or(instance.as_str())).await.ok_or_else(|| {
            Failure::unavailable(
                "There is no system bus here, so a running transport cannot be asked. Start dbus.",
            )
        })
    }
}
