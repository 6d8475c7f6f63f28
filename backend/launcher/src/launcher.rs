//! The main loop: connections in, backends out, children reaped, systemd told.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sd_notify::NotifyState;

use crate::backends::Backends;
use crate::child;
use crate::log::{info, warning};
use crate::source::{Arrival, Source};

/// Connections that are taken before everything else gets its turn.
const BATCH: usize = 64;

/// The pause after a connection could not be taken for lack of descriptors or memory.
const PAUSE: Duration = Duration::from_secs(1);

/// Keys below this are ours, the others the backends'.
const BACKENDS: usize = 2;
const SIGNALS: usize = 0;
const SOURCE: usize = 1;

/// Everything the main loop owns.
pub struct Launcher {
    source: Source,
    signals: SignalFd,
    backends: Box<dyn Backends>,
    /// What the backends are for, in the status text.
    purpose: String,
    /// Nothing is taken from the source before this.
    paused_until: Option<Instant>,
    ending: bool,
    ready: bool,
    status: String,
}

/// Takes the signals that the main loop waits for. Call it before anything is started, or the end of that may be missed.
///
/// # Errors
/// What signalfd(2) says.
pub fn take_signals() -> nix::Result<SignalFd> {
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

impl Launcher {
    /// Everything in place; nothing served yet.
    pub fn new(source: Source, signals: SignalFd, backends: Box<dyn Backends>, purpose: String) -> Self {
        let (status, paused_until) = (String::new(), None);
        Self { source, signals, backends, purpose, paused_until, ending: false, ready: false, status }
    }

    /// Serves until it is told to stop, or the daemon is gone.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn run(mut self) -> nix::Result<()> {
        while !self.is_over() {
            self.report();
            let events = self.wait()?;
            let now = Instant::now();
            for (key, events) in events {
                match key {
                    SIGNALS => self.take_signal(now),
                    SOURCE => self.take_connections(now),
                    backend => self.backends.ready(backend - BACKENDS, events, now),
                }
            }
            self.backends.tick(now);
        }
        Ok(())
    }

    /// Under systemd, its end of the whole control group follows at once; without it, we wait for our children.
    fn is_over(&self) -> bool {
        self.ending && (matches!(self.source, Source::Listener(_)) || self.backends.running() == 0)
    }

    fn wait(&mut self) -> nix::Result<Vec<(usize, PollFlags)>> {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|&until| until > now);
        let deadline = self.backends.deadline().into_iter().chain(self.paused_until).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            // Rounded up, or the last millisecond would be spent spinning.
            let rest = at.saturating_duration_since(now) + Duration::from_micros(999);
            PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)
        });

        // Backends come first: a slot that is free after an event must not be taken before all events are dealt with.
        let backends = self.backends.interest().into_iter();
        let mut interest: Vec<_> = backends.map(|(key, fd, wanted)| (key + BACKENDS, fd, wanted)).collect();
        interest.push((SIGNALS, self.signals.as_fd(), PollFlags::POLLIN));
        if !self.ending && self.paused_until.is_none() {
            interest.push((SOURCE, self.source.as_fd(), PollFlags::POLLIN));
        }

        let mut fds: Vec<_> = interest.iter().map(|&(_, fd, wanted)| PollFd::new(fd, wanted)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let keys = interest.iter().map(|&(key, ..)| key);
        Ok(keys.zip(events).filter(|(_, events)| !events.is_empty()).collect())
    }

    fn take_signal(&mut self, now: Instant) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                // Ctrl-C in a terminal is for the daemon, which ends its sessions first.
                Ok(Signal::SIGINT) if matches!(self.source, Source::Control(_)) => {}
                Ok(Signal::SIGTERM | Signal::SIGINT) => self.end("asked to stop", now),
                _ => {}
            }
        }
        // One SIGCHLD may stand for many children.
        while let Some((pid, ending)) = child::reap() {
            self.backends.reaped(pid, ending, now);
        }
    }

    fn take_connections(&mut self, now: Instant) {
        for _ in 0..BATCH {
            match self.source.next() {
                Ok(Arrival::Connection(daemon)) => self.backends.serve(daemon, now),
                Ok(Arrival::Nothing) => return,
                Ok(Arrival::End) => return self.end("the daemon is gone", now),
                Err(error) => {
                    warning!("A connection cannot be taken: {error}");
                    self.paused_until = Some(now + PAUSE);
                    return;
                }
            }
        }
    }

    fn end(&mut self, why: &str, now: Instant) {
        if !self.ending {
            info!("Ending: {why}");
            self.ending = true;
            self.backends.end(now);
        }
    }

    /// Tells systemd, if it listens, when something changed.
    fn report(&mut self) {
        let status = self.describe();
        let mut news = Vec::new();
        if !self.ready && self.backends.is_ready() {
            self.ready = true;
            news.push(NotifyState::Ready);
        }
        if status != self.status {
            news.push(NotifyState::Status(&status));
        }
        if !news.is_empty()
            && let Err(error) = sd_notify::notify(&news)
        {
            warning!("systemd cannot be told the status: {error}");
        }
        drop(news);
        self.status = status;
    }

    fn describe(&self) -> String {
        let running = self.backends.running();
        let plural = if running == 1 { "" } else { "s" };
        let mut status = format!("{running} backend{plural} for {}", self.purpose);
        if let Some(problem) = self.backends.problem() {
            status = format!("{status}; {problem}");
        }
        // A line break would start another field.
        status.replace('\n', " ")
    }
}
