//! The zygote: a process in which libpurple is initialised, and which forks a child for each connection of a daemon.
//!
//! A child costs 0.7 MB and a few milliseconds, a process of its own 7 MB and a hundred. The launcher at the other end
//! of standard input sends the datagram `serve NUMBER` with a connection attached; the number is free among the processes
//! that run. It is told `ready` or `problem TEXT` once, then `started PID` for each child, or `failed` if there is none, and `ended PID exit N` or `ended PID signal N (NAME)` for each that ends.
//!
//! The zygote has no account, no connection and no thread of its own, and never runs GLib's loop.

use std::io::{IoSliceMut, stdin};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::log;
use crate::purple::os;

/// Why the zygote ended before its time.
#[derive(Debug, thiserror::Error)]
#[error(
    "The launcher cannot be reached on standard input: {0}. The launcher starts this program with --zygote itself"
)]
pub struct ZygoteError(#[from] Errno);

/// The deaths of children, as something to read.
#[derive(Debug)]
pub struct Deaths {
    signals: SignalFd,
    blocked: SigSet,
}

impl Deaths {
    /// Blocks SIGCHLD. To be called before libpurple starts: tcl.so has a thread that would take the signal otherwise.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn watch() -> Result<Self, ZygoteError> {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGCHLD);
        blocked.thread_block()?;
        let signals = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { signals, blocked })
    }
}

/// Tells the launcher whether libpurple works, then forks a child for each connection. Returns in each child, with the
/// connection and its number; in the zygote, with none, when the launcher is gone.
///
/// # Errors
/// Standard input is no socket of a launcher.
pub fn run(
    deaths: &Deaths,
    name: &str,
    problem: Option<&str>,
) -> Result<Option<(OwnedFd, String)>, ZygoteError> {
    os::set_title(&format!("spectrum2 backend {name}: zygote"));
    let launcher = stdin();
    match problem {
        None => tell(&launcher, "ready")?,
        Some(text) => tell(&launcher, &format!("problem {text}"))?,
    }
    loop {
        let mut waiting = [
            PollFd::new(launcher.as_fd(), PollFlags::POLLIN),
            PollFd::new(deaths.signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waiting, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        while matches!(deaths.signals.read_signal(), Ok(Some(_))) {}
        reap(&launcher)?;
        let asked = waiting[0].any().unwrap_or(false);
        if !asked {
            continue;
        }
        let Some((connections, number)) = receive(launcher.as_raw_fd())? else { return Ok(None) };
        for connection in connections {
            match os::fork() {
                Ok(Some(child)) => tell(&launcher, &format!("started {child}"))?,
                Ok(None) => {
                    deaths.blocked.thread_unblock()?;
                    release_standard_input();
                    return Ok(Some((connection, number)));
                }
                Err(error) => {
                    log::error(format_args!("No process can be forked: {error}. Raise TasksMax= or memory."));
                    tell(&launcher, "failed")?;
                }
            }
        }
    }
}

fn tell(launcher: &impl AsFd, text: &str) -> nix::Result<()> {
    match send(launcher.as_fd().as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL) {
        // It is gone, which the next read tells.
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        result => result.map(drop),
    }
}

/// The connections of one datagram and the number for their process, or `None` at the end.
fn receive(launcher: RawFd) -> nix::Result<Option<(Vec<OwnedFd>, String)>> {
    let mut bytes = [0; 64];
    let mut space = cmsg_space!([RawFd; 4]);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<()>(launcher, &mut buffers, Some(&mut space), flags) {
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Some((Vec::new(), String::new()))),
        Err(Errno::ECONNRESET) => return Ok(None),
        result => result?,
    };
    let mut connections = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            connections.extend(numbers.into_iter().filter_map(|number| os::adopt(number).ok()));
        }
    }
    let length = message.bytes;
    if length == 0 {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
    let (word, number) = said.split_once(' ').unwrap_or((&said, ""));
    // It becomes part of file names.
    if word != "serve" || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        log::warning(format_args!("The launcher asks for something unknown"));
        connections.clear();
    }
    Ok(Some((connections, number.to_owned())))
}

/// Tells of children that ended.
fn reap(launcher: &impl AsFd) -> nix::Result<()> {
    loop {
        let ended = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(child, status)) => format!("ended {child} exit {status}"),
            Ok(WaitStatus::Signaled(child, signal, _)) => {
                format!("ended {child} signal {} ({})", signal as i32, signal.as_str())
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        tell(launcher, &ended)?;
    }
}

/// The launcher's socket is the zygote's alone: a child must not keep it open.
fn release_standard_input() {
    if let Ok(null) = std::fs::File::open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(null);
    }
}
