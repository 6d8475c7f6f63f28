//! Processes: how we start one, how one ended, how we end one.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::system;

/// Variables by which systemd speaks to this process: a child that took them for its own would speak for us.
const OURS: [&str; 7] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
];

/// Where libdbus finds buses. Backends need none, and those that libpurple connects to, to ask for NetworkManager, would
/// end every backend with them: libdbus ends a process whose bus is gone.
const BUSES: [&str; 2] = ["DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS"];

/// A command that runs in `directory`, as leader of a process group of its own.
///
/// The group is what gets signals, so that a wrapper script cannot leave its backend behind, and Ctrl-C in a terminal
/// reaches the daemon alone, which then ends everything in order.
pub fn command(program: impl AsRef<Path>, directory: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.stdin(Stdio::null()).process_group(0);
    for variable in OURS {
        command.env_remove(variable);
    }
    for variable in BUSES {
        command.env(variable, "unix:path=/nonexistent");
    }
    command.current_dir(directory);
    system::unblock_signals(&mut command);
    command
}

/// Starts a command; [`reap`] tells its end.
///
/// # Errors
/// The program cannot be executed.
#[allow(clippy::zombie_processes, reason = "reap() collects every child")]
pub fn spawn(command: &mut Command) -> std::io::Result<Pid> {
    let child = command.spawn()?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Sends a signal to a child and to all that it started. It must not be reaped yet, or the number may be another's.
pub fn signal(leader: Pid, signal: Signal) {
    // The only error is that the group is gone, which is what we want.
    let _ = killpg(leader, signal);
}

/// The next child that ended, if any.
pub fn reap() -> Option<(Pid, Ending)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => return Some((pid, Ending::Exit(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => return Some((pid, Ending::Signal(signal))),
            Ok(WaitStatus::StillAlive) => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal.
    Signal(Signal),
}

impl Ending {
    /// Whether it ended as a program does when all is well.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exit(0))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {} ({signal})", *signal as i32),
        }
    }
}
