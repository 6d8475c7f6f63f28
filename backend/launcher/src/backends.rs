//! What the main loop needs of the two ways to start backends.

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::poll::PollFlags;
use nix::unistd::Pid;
use spectrum2_backend_protocol::{Frame, Problem};

use crate::child::Ending;

/// A descriptor to wait for, what for, and a number that its owner knows it by.
pub type Interest<'a> = (usize, BorrowedFd<'a>, PollFlags);

/// A way to start backends. Nothing in it waits; the main loop calls it when there is something to do.
pub trait Backends {
    /// Starts a backend at the other end of the daemon's connection, or closes that.
    fn serve(&mut self, daemon: UnixStream, now: Instant);

    /// What to wait for.
    fn interest(&self) -> Vec<Interest<'_>>;

    /// What was waited for is there.
    fn ready(&mut self, key: usize, events: PollFlags, now: Instant);

    /// When to call [`tick`](Self::tick), if nothing else happens before.
    fn deadline(&self) -> Option<Instant>;

    /// Does what is due.
    fn tick(&mut self, now: Instant);

    /// A child of this process ended.
    fn reaped(&mut self, pid: Pid, ending: Ending, now: Instant);

    /// Begins to end everything.
    fn end(&mut self, now: Instant);

    /// How many backends run.
    fn running(&self) -> usize;

    /// Whether connections are served from now on.
    fn is_ready(&self) -> bool;

    /// What keeps backends from working, for an administrator.
    fn problem(&self) -> Option<&str>;
}

/// Tells the daemon why there will be no backend, then closes. `fatal` is what only an administrator can change: the daemon
/// ends with it. Otherwise the daemon tries again later.
///
/// Announcing the extension can be left out: on this socket, the other end is always our own daemon.
pub fn refuse(daemon: UnixStream, text: &str, fatal: bool) {
    let mut bytes = Vec::new();
    Frame::Problem(Problem { text: text.to_owned(), fatal: Some(fatal) }).encode(&mut bytes);
    // A new connection has room for it; if the daemon is gone already, nobody wants to know.
    let _ = daemon.set_nonblocking(true).and_then(|()| (&daemon).write_all(&bytes));
    drop(daemon);
}
