//! libpurple backends, forked from one process in which libpurple is initialised already: the zygote.
//!
//! The zygote is started as `PROGRAM --zygote CONFIG [OVERRIDE…]`, its standard input is one end of a sequenced-packet socket pair, and
//! both speak one word a datagram:
//!
//! | from us | from the zygote |
//! | --- | --- |
//! | `serve NUMBER`, with a connection of the daemon attached: fork, and serve it as the process of this number | `ready`: libpurple is initialised |
//! | | `problem TEXT`: it cannot work, but serves, so that each child can tell the daemon |
//! | | `started PID`: the child for the oldest unanswered `serve` |
//! | | `failed`: there is none for it |
//! | | `ended PID STATUS`: a child ended, for example with `exit 0` or `signal 11 (SIGSEGV)` |
//!
//! End of file on the socket tells the zygote to end. Its children go on without it and without us.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::unistd::Pid;

use crate::backends::{Backends, Interest, refuse};
use crate::child::{self, Ending};
use crate::log::{error, info, warning};
use crate::settings::Settings;
use crate::system;
use spectrum2_log::message_id::{BACKEND_CRASH_LOOP, BACKEND_CRASHED, BACKEND_UNAVAILABLE, BACKEND_USELESS};

/// Connections that wait while there is no zygote; more are closed, and the daemon asks again later.
const WAITING: usize = 1000;

/// How long initialisation may take. It takes 0.1 seconds, or some on a machine that just booted.
const INITIALISE: Duration = Duration::from_secs(60);

/// Zygotes in a row that may die before they are ready until the daemon is told.
const PATIENCE: u32 = 3;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How long children may take to obey: the end of everything, then SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// The zygote, and the connections that wait for it.
#[derive(Debug)]
pub struct Zygote {
    settings: Settings,
    program: PathBuf,
    state: State,
    waiting: VecDeque<UnixStream>,
    /// Whether it was logged that connections are closed for lack of room.
    overflow: bool,
    /// Before the next start.
    delay: Duration,
    /// The backends with their numbers: children of this zygote and of those before it.
    children: BTreeMap<Pid, usize>,
    /// The numbers of those that the zygote was asked for and has not told of yet.
    asked: VecDeque<usize>,
    problem: Option<String>,
    /// Zygotes in a row that ended before they were ready.
    failures: u32,
    /// Whether there is something to be told to who waits for our start.
    was_ready: bool,
}

#[derive(Debug)]
enum State {
    /// To be started at this time.
    Down { until: Instant },
    /// It initialises, until this time at most.
    Initialising { process: Process, until: Instant },
    /// It serves.
    Ready { process: Process, since: Instant },
    /// We end. Whoever is left gets `next` at that time; after SIGKILL nobody is waited for.
    Ending { process: Option<Process>, next: Option<Signal>, until: Instant },
}

impl State {
    /// What comes after the signal that was just sent.
    fn escalate(&mut self) {
        if let Self::Ending { next, .. } = self {
            *next = (*next == Some(Signal::SIGTERM)).then_some(Signal::SIGKILL);
        }
    }
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    socket: OwnedFd,
}

impl Zygote {
    /// Starts the zygote.
    pub fn new(settings: Settings, program: PathBuf, now: Instant) -> Self {
        let mut zygote = Self {
            settings,
            program,
            state: State::Down { until: now },
            waiting: VecDeque::new(),
            overflow: false,
            delay: FIRST_DELAY,
            children: BTreeMap::new(),
            asked: VecDeque::new(),
            problem: None,
            failures: 0,
            was_ready: false,
        };
        zygote.start(now);
        zygote
    }

    fn start(&mut self, now: Instant) {
        match self.spawn() {
            Ok(process) => self.state = State::Initialising { process, until: now + INITIALISE },
            Err(error) => {
                let text = format!(
                    "Cannot start the backend {} (service.backend of {}): {error}. Install it, or correct the option.",
                    self.program.display(),
                    self.settings.name
                );
                error!(id: BACKEND_UNAVAILABLE, "{text}");
                self.give_up_waiting(&text);
                self.try_later(now);
            }
        }
    }

    fn spawn(&self) -> io::Result<Process> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let mut command = child::command(&self.program, &self.settings.directory);
        command
            .arg("--zygote")
            .arg(&self.settings.file)
            .args(&self.settings.overrides)
            .stdin(Stdio::from(theirs));
        // libpurple looks for a video sink through GStreamer, which loads all of Mesa: 64 MB and half a second saved.
        command
            .env("GST_PLUGIN_SYSTEM_PATH_1_0", "/nonexistent")
            .env("GST_REGISTRY", "/nonexistent/registry");
        // A backtrace loads debug information into the memory of a process that lives for weeks.
        command.env_remove("RUST_BACKTRACE");
        // Labels of buttons are recognised by their text.
        command.env_remove("LC_ALL").env("LC_MESSAGES", "C");
        let pid = child::spawn(&mut command)?;
        Ok(Process { pid, socket: ours })
    }

    /// The zygote is gone: another one after a pause that grows.
    fn try_later(&mut self, now: Instant) {
        // Whoever was asked for of a zygote that is gone is not started.
        self.asked.clear();
        self.state = State::Down { until: now + self.delay };
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }

    const fn process(&self) -> Option<&Process> {
        match &self.state {
            State::Initialising { process, .. } | State::Ready { process, .. } => Some(process),
            State::Ending { process, .. } => process.as_ref(),
            State::Down { .. } => None,
        }
    }

    /// Connections waited for a zygote that dies again and again: their daemon shall know.
    fn give_up_waiting(&mut self, text: &str) {
        self.waiting.drain(..).for_each(|daemon| refuse(daemon, text, false));
        self.problem = Some(text.to_owned());
        self.was_ready = true;
    }

    /// Reads all that the zygote has said; whether it may say more.
    fn listen(&mut self, now: Instant) -> bool {
        while let Some(process) = self.process() {
            match system::receive(process.socket.as_fd()) {
                Ok(datagram) if datagram.bytes.is_empty() => return false,
                Ok(datagram) => self.heard(&String::from_utf8_lossy(&datagram.bytes), now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn heard(&mut self, text: &str, now: Instant) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "ready" => {
                self.problem = None;
                self.become_ready(now);
            }
            "problem" => {
                error!(id: BACKEND_USELESS, "The backend cannot work: {rest}");
                self.problem = Some(rest.to_owned());
                self.become_ready(now);
            }
            "started" => {
                let number = self.asked.pop_front().unwrap_or_default();
                if let Some(pid) = process_id(rest) {
                    self.children.insert(pid, number);
                    info!("Backend process {pid} started, {} running", self.children.len());
                }
            }
            "ended" => {
                let (pid, ending) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                if let Some(pid) = process_id(pid) {
                    self.child_ended(pid, ending);
                }
            }
            "failed" => drop(self.asked.pop_front()),
            _ => warning!("The zygote says something unknown"),
        }
    }

    fn become_ready(&mut self, now: Instant) {
        self.was_ready = true;
        self.failures = 0;
        let state = std::mem::replace(&mut self.state, State::Down { until: now });
        self.state = match state {
            State::Initialising { process, .. } => State::Ready { process, since: now },
            other => other,
        };
        self.hand_over();
    }

    /// Gives the zygote as many of the waiting connections as it takes.
    fn hand_over(&mut self) {
        let State::Ready { process, .. } = &self.state else {
            return;
        };
        while let Some(daemon) = self.waiting.front() {
            if !is_hung_up(daemon) {
                let number = free_number(&self.children, &self.asked);
                match system::send(process.socket.as_fd(), format!("serve {number}").as_bytes(), daemon) {
                    Ok(()) => self.asked.push_back(number),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    // Full: poll tells when it has room. Broken: its end will be reaped, and the next one goes on here.
                    Err(_) => return,
                }
            }
            self.waiting.pop_front();
        }
        self.overflow = false;
    }

    fn child_ended(&mut self, pid: Pid, ending: &str) {
        if self.children.remove(&pid).is_none() {
            return;
        }
        let running = self.children.len();
        if ending == "exit 0" {
            info!("Backend process {pid} ended, {running} running");
        } else {
            warning!(id: BACKEND_CRASHED, "Backend process {pid} ended: {ending}; {running} running");
        }
    }
}

impl Backends for Zygote {
    fn serve(&mut self, daemon: UnixStream, _now: Instant) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(daemon);
            return self.hand_over();
        }
        let text = format!("No backend is started, because {WAITING} connections wait for one already");
        if !self.overflow {
            self.overflow = true;
            warning!("{text}");
        }
        refuse(daemon, &text, false);
    }

    fn interest(&self) -> Vec<Interest<'_>> {
        let wanted = match &self.state {
            State::Ready { .. } if !self.waiting.is_empty() => PollFlags::POLLIN | PollFlags::POLLOUT,
            _ => PollFlags::POLLIN,
        };
        self.process().map(|process| (0, process.socket.as_fd(), wanted)).into_iter().collect()
    }

    fn ready(&mut self, _key: usize, events: PollFlags, now: Instant) {
        if events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            let open = self.listen(now);
            if let (false, Some(process)) = (open, self.process()) {
                // Without its socket it is of no use. That it ended is told by `reaped`. SIGKILL reaches it alone: its
                // children serve users.
                let _ = kill(process.pid, Signal::SIGKILL);
            }
        }
        self.hand_over();
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Down { until } | State::Initialising { until, .. } | State::Ending { until, .. } => {
                Some(*until)
            }
            State::Ready { .. } => None,
        }
    }

    fn tick(&mut self, now: Instant) {
        match &mut self.state {
            State::Down { until } if *until <= now => self.start(now),
            State::Initialising { process, until } if *until <= now => {
                error!("libpurple is not initialised after {} seconds", INITIALISE.as_secs());
                let _ = kill(process.pid, Signal::SIGKILL);
                // It is reaped in a moment.
                *until = now + INITIALISE;
            }
            State::Ending { next: Some(signal), until, .. } if *until <= now => {
                // Who is gone already, unheard, is not waited for.
                self.children.retain(|&pid, _| kill(pid, *signal).is_ok());
                *until = now + GRACE;
                self.state.escalate();
            }
            State::Ending { until, .. } if *until <= now => self.children.clear(),
            _ => {}
        }
    }

    fn reaped(&mut self, pid: Pid, ending: Ending, now: Instant) {
        if self.process().is_none_or(|process| process.pid != pid) {
            // A child of an earlier zygote: ours since that one died.
            return self.child_ended(pid, &ending.to_string());
        }
        // What it said last may still be unread.
        self.listen(now);
        match self.state {
            State::Ending { ref mut process, .. } => {
                *process = None;
                self.children.remove(&pid);
                return;
            }
            State::Ready { since, .. } if now.duration_since(since) > LONGEST_DELAY => {
                self.delay = FIRST_DELAY;
            }
            State::Ready { .. } => {}
            State::Initialising { .. } | State::Down { .. } => self.failures += 1,
        }
        let text =
            format!("The zygote (process {pid}) ended: {ending}; another one starts in {:?}", self.delay);
        error!(id: BACKEND_CRASH_LOOP, "{text}");
        if self.failures >= PATIENCE {
            self.give_up_waiting(&text);
        }
        self.try_later(now);
    }

    fn end(&mut self, now: Instant) {
        self.waiting.clear();
        let process = match std::mem::replace(&mut self.state, State::Down { until: now }) {
            State::Initialising { process, .. } | State::Ready { process, .. } => Some(process),
            State::Ending { process, .. } => process,
            State::Down { .. } => None,
        };
        if let Some(process) = &process {
            // It ends at the end of file, and what it still says about its children is heard. It is one to wait for, too.
            let _ = shutdown(process.socket.as_raw_fd(), Shutdown::Write);
            self.children.insert(process.pid, 0);
        }
        self.state = State::Ending { process, next: Some(Signal::SIGTERM), until: now + GRACE };
    }

    fn running(&self) -> usize {
        self.children.len()
    }

    fn is_ready(&self) -> bool {
        self.was_ready
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

/// COMPAT(Spectrum 2): the lowest number that nobody has, from 1; the names of log files have it.
fn free_number(children: &BTreeMap<Pid, usize>, asked: &VecDeque<usize>) -> usize {
    let taken: BTreeSet<usize> = children.values().chain(asked).copied().collect();
    (1..).find(|number| !taken.contains(number)).unwrap_or_default()
}

/// Zero and negative numbers would name whole groups of processes.
fn process_id(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|&number: &i32| number > 1).map(Pid::from_raw)
}

/// Whether the daemon has given up on a connection that waited.
fn is_hung_up(daemon: &UnixStream) -> bool {
    let mut fds = [PollFd::new(daemon.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
