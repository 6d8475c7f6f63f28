//! A polkit agent on this terminal, as systemctl(1) has one: it asks who is not root for the password that polkit wants.
//!
//! Guarantees that nothing depends on it: where it cannot be started, polkit refuses what it refused without it.

use std::io::{self, IsTerminal, PipeReader};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zbus::OwnedObjectPath;
use zbus::proxy;

use crate::bus::connect;

/// How long it may take to make itself known to polkit.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running agent; it ends with this.
#[derive(Debug)]
pub struct Agent(Child);

impl Agent {
    /// Starts one for this process, if somebody who may need it sits at a terminal.
    pub async fn start() -> Option<Self> {
        if geteuid().is_root() || !io::stdin().is_terminal() {
            return None;
        }
        let (readiness, child) = spawn(is_in_session().await).ok()?;
        let agent = Self(child);
        let readiness = pipe::Receiver::from_owned_fd(readiness.into()).ok()?;
        // It closes its end when it is ready, or when it ends.
        let _ = timeout(PATIENCE, readiness.readable()).await;
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // SIGTERM, not SIGKILL: it may have switched the terminal's echo off.
        if let Some(pid) = self.0.id().and_then(|pid| pid.try_into().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

#[proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Logind {
    #[zbus(name = "GetSessionByPID")]
    fn get_session_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
}

/// Whether logind knows the session that this process is in.
async fn is_in_session() -> bool {
    let asked = async {
        let connection = connect(PATIENCE).await?;
        LogindProxy::new(&connection).await?.get_session_by_pid(std::process::id()).await
    };
    timeout(PATIENCE, asked).await.is_ok_and(|session| session.is_ok())
}

fn spawn(is_in_session: bool) -> io::Result<(PipeReader, Child)> {
    let (ours, theirs) = io::pipe()?;
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let child = Command::new("pkttyagent")
        .arg("--notify-fd")
        .arg(theirs.as_raw_fd().to_string())
        // Not in place of one that a desktop has. polkit asks such a one only for who is in a session: not for who comes
        // by su(1) or runuser(1), or sits in a container.
        .args(is_in_session.then_some("--fallback"))
        .stderr(Stdio::null())
        .spawn()?;
    Ok((ours, child))
}
