//! What the daemon tells the service manager (sd_notify(3)), and when.
//!
//! Guarantees: texts cannot smuggle in fields of their own; the status is sent only when it changed and at most once a
//! second; a service manager that does not read never blocks the daemon; without `NOTIFY_SOCKET` nothing happens.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use tokio::time::Instant;

/// Least time between two status lines.
const STATUS_SPACING: Duration = Duration::from_secs(1);

/// Value of `NOTIFY_SOCKET` when the socket is the standard input. Ours alone: see [`crate::standalone::daemonize`].
pub(crate) const STANDARD_INPUT: &str = "fd:0";

/// The sending end of the notification socket.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    status: String,
    /// When the next status line may be sent; in the past if at once.
    free_at: Option<Instant>,
    /// A status line was held back.
    stale: bool,
}

impl Notifier {
    /// The service manager named by `NOTIFY_SOCKET`; one that ignores everything if there is none or it is out of reach.
    #[must_use]
    pub fn from_env() -> Self {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        Self::connect(&address).unwrap_or_else(|error| {
            tracing::warn!(
                "Cannot reach the service manager at {} (NOTIFY_SOCKET): {error}. It will not see that the \
                 transport is ready.",
                address.display()
            );
            Self::default()
        })
    }

    /// The service manager at `address`: a path, `@` and the name of an abstract socket, or [`STANDARD_INPUT`].
    ///
    /// # Errors
    /// The error of connect(2).
    pub fn connect(address: &OsStr) -> io::Result<Self> {
        if address == STANDARD_INPUT {
            return Self::over(io::stdin().as_fd().try_clone_to_owned()?.into());
        }
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Self::over(socket)
    }

    fn over(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some(socket), ..Self::default() })
    }

    /// The transport works: `READY=1`.
    pub fn ready(&self) {
        self.send(&NotifyState::Ready);
    }

    /// The transport begins to read its file again: `RELOADING=1`. [`Notifier::ready`] says when it is done.
    pub fn reloading(&self) {
        // systemd.service(5), Type=notify-reload: the time tells which reload it is, and comes in the same message.
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        let time = i128::try_from(time.as_micros()).unwrap_or_default();
        self.send(&format_args!("{}\n{}", NotifyState::Reloading, NotifyState::MonotonicUsec(time)));
    }

    /// The transport begins to end: `STOPPING=1`.
    pub fn stopping(&self) {
        self.send(&NotifyState::Stopping);
    }

    /// The daemon makes progress: `WATCHDOG=1`.
    pub fn alive(&self) {
        self.send(&NotifyState::Watchdog);
    }

    /// Sends the status line, or holds it back until [`Notifier::status_due`] if the last one was just sent.
    /// `line` is made only when it can be sent.
    pub fn status(&mut self, now: Instant, line: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        self.stale = self.free_at.is_some_and(|free_at| now < free_at);
        if !self.stale {
            self.free_at = Some(now + STATUS_SPACING);
            self.status_now(&line());
        }
    }

    /// Sends the status line whenever the last one was sent: for what is said just before the end.
    pub fn status_now(&mut self, line: &str) {
        // A line break would begin another field of the protocol.
        let line = line.replace(['\n', '\r', '\0'], " ");
        if line != self.status {
            self.send(&NotifyState::Status(&line));
            self.status = line;
        }
    }

    /// When to call [`Notifier::status`] again, if a line was held back.
    #[must_use]
    pub fn status_due(&self) -> Option<Instant> {
        self.free_at.filter(|_| self.stale)
    }

    fn send(&self, state: &impl fmt::Display) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.to_string().as_bytes()) {
            tracing::debug!("The service manager was not told {state}: {error}.");
        }
    }
}

/// Decides when the service manager hears that the daemon is alive: at half the interval that it asked for, and only if
/// storage answered the question that went with the last time.
#[derive(Debug)]
pub struct Watchdog {
    period: Duration,
    next: Instant,
    waiting: bool,
    overdue: bool,
}

impl Watchdog {
    /// A watchdog that the service manager expects once in `interval`; due at once.
    #[must_use]
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { period: interval / 2, next: now, waiting: false, overdue: false }
    }

    /// The watchdog that the service manager asked for by `WATCHDOG_USEC`.
    #[must_use]
    pub fn from_env(now: Instant) -> Option<Self> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()).map(|i| Self::new(i, now))
    }

    /// When [`Watchdog::tick`] is to be called.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.next
    }

    /// Half the interval has passed. `true`: say that the daemon is alive, and ask storage something.
    pub fn tick(&mut self, now: Instant) -> bool {
        self.next = now + self.period;
        self.overdue = self.waiting;
        self.waiting = true;
        !self.overdue
    }

    /// Storage answered. `true`: the last tick waits for this, so it is to be made up for now, with a new question.
    pub fn answered(&mut self, now: Instant) -> bool {
        self.waiting = false;
        self.overdue && self.tick(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager and the daemon that reports to it.
    fn manager() -> (UnixDatagram, Notifier) {
        let name = format!("spectrum2-test-{}", fastrand::u64(..));
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier::connect(OsStr::new(&format!("@{name}"))).unwrap();
        (manager, notifier)
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let mut messages = Vec::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        messages
    }

    #[test]
    fn a_path_is_an_address_too() {
        let path = std::env::temp_dir().join(format!("spectrum2-test-{}.sock", fastrand::u64(..)));
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier::connect(path.as_os_str()).unwrap();
        notifier.ready();
        notifier.alive();
        notifier.stopping();
        assert_eq!(heard(&manager), ["READY=1", "WATCHDOG=1", "STOPPING=1"]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn status_is_told_when_it_changes_and_at_most_once_a_second() {
        let (manager, mut notifier) = manager();
        let start = Instant::now();
        notifier.status(start, || "one".to_owned());
        assert_eq!(notifier.status_due(), None);
        notifier.status(start + Duration::from_millis(300), || unreachable!("nobody could hear it yet"));
        assert_eq!(notifier.status_due(), Some(start + STATUS_SPACING));
        notifier.status(start + STATUS_SPACING, || "two".to_owned());
        assert_eq!(notifier.status_due(), None);
        notifier.status(start + STATUS_SPACING * 3, || "two".to_owned());
        assert_eq!(heard(&manager), ["STATUS=one", "STATUS=two"]);
    }

    #[test]
    fn a_status_cannot_contain_another_field() {
        let (manager, mut notifier) = manager();
        notifier.status_now("lost (server says\nREADY=1\r\nMAINPID=1)");
        assert_eq!(heard(&manager), ["STATUS=lost (server says READY=1  MAINPID=1)"]);
    }

    #[test]
    fn a_manager_that_does_not_read_blocks_nobody() {
        let (manager, notifier) = manager();
        for _ in 0..10_000 {
            notifier.alive();
        }
        assert!(heard(&manager).len() < 10_000);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        let mut notifier = Notifier::default();
        notifier.ready();
        notifier.status(Instant::now(), || unreachable!("nobody listens"));
        assert_eq!(notifier.status_due(), None);
    }

    #[test]
    fn the_watchdog_is_silent_while_storage_is() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Duration::from_secs(20), start);
        assert!(watchdog.tick(start));
        assert_eq!(watchdog.due(), after(10));
        assert!(!watchdog.answered(after(1)));
        assert!(watchdog.tick(after(10)));
        // Storage hangs.
        assert!(!watchdog.tick(after(20)));
        assert!(!watchdog.tick(after(30)));
        // It is back, and the service manager hears so at once.
        assert!(watchdog.answered(after(33)));
        assert_eq!(watchdog.due(), after(43));
        assert!(!watchdog.answered(after(34)));
        assert!(watchdog.tick(after(43)));
    }
}
