//! Backends written for Spectrum 2: each is started with the arguments that Spectrum 2 would give it, connects by TCP
//! to a loopback port that exists for it alone, and is bridged to the daemon.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::backends::{Backends, Interest, refuse};
use crate::bridge::{Bridge, State};
use crate::child::{self, Ending};
use crate::log::{error, info, warning};
use crate::peer;
use crate::settings::Settings;
use spectrum2_log::message_id::BACKEND_UNAVAILABLE;

/// Most processes at a time; the daemon needs far fewer.
const LIMIT: usize = 4096;

/// How long a backend may take from its start to its connection.
const CONNECT: Duration = Duration::from_secs(30);

/// How long a backend may take to obey: the end of its connection, then SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// Keys of [`Backends::interest`]: the low bits say which of a slot's descriptors.
const KEYS_PER_SLOT: usize = 4;
const LISTENER: usize = 0;
const DAEMON: usize = 1;
const BRIDGE: usize = 2;

/// The processes of one foreign program.
#[derive(Debug)]
pub struct Foreign {
    settings: Settings,
    words: Vec<String>,
    /// Spectrum 2's slots: index + 1 is `service.backend_id`, and a free one is used again.
    slots: Vec<Option<Process>>,
    /// How many were started; stands for `BACKEND_ID` in the command.
    started: usize,
    problem: Option<String>,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    exited: bool,
    stage: Stage,
    /// When patience with the stage ends.
    until: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    /// It was started and has not connected yet.
    Starting { listener: TcpListener, daemon: UnixStream },
    /// It talks to the daemon. A deadline is set once the daemon is gone.
    Serving(Box<Bridge>),
    /// Its connection is closed; `next` is what it gets if that was not enough.
    Ending { next: Option<Signal> },
}

impl Foreign {
    /// Nothing is started before the daemon asks.
    pub const fn new(settings: Settings, words: Vec<String>) -> Self {
        Self { settings, words, slots: Vec::new(), started: 0, problem: None }
    }

    fn free_slot(&mut self) -> Option<usize> {
        let free = self.slots.iter().position(Option::is_none);
        free.or_else(|| {
            (self.slots.len() < LIMIT).then(|| {
                self.slots.push(None);
                self.slots.len() - 1
            })
        })
    }

    fn start(
        &mut self,
        slot: usize,
        daemon: UnixStream,
        now: Instant,
    ) -> Result<Process, (UnixStream, io::Error)> {
        let started = (|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok((child::spawn(&mut self.command(slot + 1, port))?, listener))
        })();
        self.started += 1;
        match started {
            Ok((pid, listener)) => {
                let stage = Stage::Starting { listener, daemon };
                Ok(Process { pid, exited: false, stage, until: Some(now + CONNECT) })
            }
            Err(error) => Err((daemon, error)),
        }
    }

    /// The command line of Spectrum 2: `BACKEND_ID` in the words replaced, the configuration last.
    fn command(&self, number: usize, port: u16) -> Command {
        let counter = self.started.to_string();
        let mut words = self.words.iter().map(|word| word.replace("BACKEND_ID", &counter));
        let program = words.next().unwrap_or_default();
        let mut command = child::command(program, &self.settings.directory);
        command.args(words).args(["--host", "127.0.0.1", "--port"]).arg(port.to_string());
        command.arg(format!("--service.backend_id={number}"));
        command.args(&self.settings.overrides).arg(&self.settings.file);
        command
    }

    fn cannot_start(&self, error: &io::Error) -> String {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "it may not be executed".to_owned(),
            _ => error.to_string(),
        };
        let program = self.words.first().map_or("", String::as_str);
        format!(
            "Cannot start the backend {program:?} (service.backend of {}): {reason}. Install it, or correct the option.",
            self.settings.name
        )
    }

    /// Frees slots whose process is gone for good.
    fn sweep(&mut self) {
        for slot in &mut self.slots {
            slot.take_if(|process| process.is_over());
        }
    }
}

impl Backends for Foreign {
    fn serve(&mut self, daemon: UnixStream, now: Instant) {
        let Some(slot) = self.free_slot() else {
            let text = format!("No backend is started, because {LIMIT} run already");
            warning!("{text}");
            return refuse(daemon, &text, false);
        };
        match self.start(slot, daemon, now) {
            Ok(process) => {
                info!("Backend {} started as process {}", slot + 1, process.pid);
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = Some(process);
                }
                self.problem = None;
            }
            Err((daemon, error)) => {
                let text = self.cannot_start(&error);
                error!(id: BACKEND_UNAVAILABLE, "{text}");
                // Others, such as too many processes, may pass.
                let fatal = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
                refuse(daemon, &text, fatal);
                self.problem = Some(text);
            }
        }
    }

    fn interest(&self) -> Vec<Interest<'_>> {
        let mut interest = Vec::new();
        for (slot, process) in self.slots.iter().enumerate() {
            let key = slot * KEYS_PER_SLOT;
            match process.as_ref().map(|process| &process.stage) {
                Some(Stage::Starting { listener, daemon }) => {
                    interest.push((key + LISTENER, listener.as_fd(), PollFlags::POLLIN));
                    // Nothing is read before the backend is there, but a daemon that gives up is noticed.
                    interest.push((key + DAEMON, daemon.as_fd(), PollFlags::empty()));
                }
                Some(Stage::Serving(bridge)) => {
                    interest.extend(bridge.interest().map(|(fd, flags)| (key + BRIDGE, fd, flags)));
                }
                Some(Stage::Ending { .. }) | None => {}
            }
        }
        interest
    }

    fn ready(&mut self, key: usize, events: PollFlags, now: Instant) {
        let slot = key / KEYS_PER_SLOT;
        let Some(Some(process)) = self.slots.get_mut(slot) else {
            return;
        };
        match (key % KEYS_PER_SLOT, &mut process.stage) {
            (LISTENER, Stage::Starting { .. }) => process.accept(slot + 1, now),
            (DAEMON, Stage::Starting { .. }) => process.close(now),
            (BRIDGE, Stage::Serving(bridge)) => match bridge.pump(events) {
                State::Open if bridge.daemon_gone() => {
                    process.until.get_or_insert(now + GRACE);
                }
                State::Open => {}
                State::DaemonClosed => process.close(now),
                State::BackendClosed => {
                    info!("Backend {} closed its connection", slot + 1);
                    process.close(now);
                }
            },
            _ => {}
        }
        self.sweep();
    }

    fn deadline(&self) -> Option<Instant> {
        self.slots.iter().flatten().filter_map(|process| process.until).min()
    }

    fn tick(&mut self, now: Instant) {
        for (slot, process) in self.slots.iter_mut().enumerate() {
            if let Some(process) = process
                && process.until.is_some_and(|until| until <= now)
            {
                process.run_out(slot + 1, now);
            }
        }
        self.sweep();
    }

    fn reaped(&mut self, pid: Pid, ending: Ending, now: Instant) {
        let mut processes = self.slots.iter_mut().enumerate();
        let found = processes
            .find_map(|(slot, process)| process.as_mut().filter(|it| it.pid == pid).map(|it| (slot, it)));
        if let Some((slot, process)) = found {
            process.reaped(slot + 1, ending, now);
            self.sweep();
        }
    }

    fn end(&mut self, now: Instant) {
        for process in self.slots.iter_mut().flatten() {
            process.close(now);
        }
        self.sweep();
    }

    fn running(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

impl Process {
    /// Takes the backend's connection; the port is closed with it.
    fn accept(&mut self, number: usize, now: Instant) {
        let Stage::Starting { listener, daemon } = &self.stage else {
            return;
        };
        let Ok((backend, address)) = listener.accept() else {
            return;
        };
        if !peer::is_our_user(&backend) {
            warning!("Backend {number}: a connection from {address} is refused, it belongs to another user");
            return;
        }
        match daemon.try_clone().and_then(|daemon| Bridge::new(daemon, backend)) {
            Ok(bridge) => {
                self.stage = Stage::Serving(Box::new(bridge));
                self.until = None;
            }
            Err(error) => {
                warning!("Backend {number} cannot be connected to the daemon: {error}");
                self.close(now);
            }
        }
    }

    /// Closes the connections; the backend is to end by itself now.
    fn close(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Ending { .. }) {
            self.stage = Stage::Ending { next: Some(Signal::SIGTERM) };
            self.until = Some(now + GRACE);
        }
    }

    /// Patience ended.
    fn run_out(&mut self, number: usize, now: Instant) {
        match self.stage {
            Stage::Starting { .. } => {
                warning!("Backend {number} did not connect within {} seconds", CONNECT.as_secs());
                self.close(now);
            }
            Stage::Serving(_) => self.close(now),
            Stage::Ending { next: Some(signal) } => {
                if signal == Signal::SIGKILL {
                    warning!("Backend {number} (process {}) does not end and is killed", self.pid);
                }
                child::signal(self.pid, signal);
                let next = (signal == Signal::SIGTERM).then_some(Signal::SIGKILL);
                self.stage = Stage::Ending { next };
                self.until = next.is_some().then_some(now + GRACE);
            }
            Stage::Ending { next: None } => self.until = None,
        }
    }

    fn reaped(&mut self, number: usize, ending: Ending, now: Instant) {
        self.exited = true;
        match self.stage {
            Stage::Ending { .. } => info!("Backend {number} (process {}) ended: {ending}", self.pid),
            // A script may start the backend and leave; the port stays open for it.
            Stage::Starting { .. } if ending.is_success() => {}
            Stage::Starting { .. } => {
                warning!("Backend {number} (process {}) ended before it connected: {ending}", self.pid);
                self.close(now);
            }
            // The end of its connection follows, after its last words.
            Stage::Serving(_) if ending.is_success() => {
                info!("Backend {number} (process {}) ended", self.pid);
            }

            Stage::Serving(_) => warning!("Backend {number} (process {}) ended: {ending}", self.pid),
        }
    }

    const fn is_over(&self) -> bool {
        self.exited && matches!(self.stage, Stage::Ending { .. })
    }
}
