//! Carries bytes between the daemon's connection and a backend's, both ways.
//!
//! Guarantees back-pressure: each direction holds one buffer and reads only when that is empty, so a slow reader slows
//! its writer and nobody else. What one side sent before it closed is passed on.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::poll::PollFlags;

const BUFFER: usize = 16 * 1024;

/// Buffers that one call moves, so that one busy connection leaves the others their turn.
const TURNS: usize = 16;

/// A connection of the daemon and one of a backend.
#[derive(Debug)]
pub struct Bridge {
    daemon: UnixStream,
    backend: TcpStream,
    to_backend: Flow,
    to_daemon: Flow,
    daemon_gone: bool,
}

/// What became of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Bytes may still come.
    Open,
    /// The daemon closed, and the backend has all that it sent.
    DaemonClosed,
    /// The backend closed, and the daemon has all that it sent.
    BackendClosed,
}

impl Bridge {
    /// Takes both ends over.
    ///
    /// # Errors
    /// They cannot be made non-blocking.
    pub fn new(daemon: UnixStream, backend: TcpStream) -> io::Result<Self> {
        daemon.set_nonblocking(true)?;
        backend.set_nonblocking(true)?;
        backend.set_nodelay(true)?;
        Ok(Self { daemon, backend, to_backend: Flow::new(), to_daemon: Flow::new(), daemon_gone: false })
    }

    /// What to wait for, on which descriptor.
    pub fn interest(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let daemon = self.to_backend.reads() | self.to_daemon.writes();
        let backend = self.to_daemon.reads() | self.to_backend.writes();
        // A descriptor whose peer is gone always reports so: wait on it only when there is something to do with it. The
        // daemon's is an exception once, to learn that it is gone while a backend does not read.
        let daemon = (!daemon.is_empty() || !self.daemon_gone).then(|| (self.daemon.as_fd(), daemon));
        let backend = (!backend.is_empty()).then(|| (self.backend.as_fd(), backend));
        daemon.into_iter().chain(backend)
    }

    /// Whether the daemon closed while the backend had not read everything yet.
    pub const fn daemon_gone(&self) -> bool {
        self.daemon_gone
    }

    /// Moves what can be moved. `events` is what came of [`interest`](Self::interest), for either descriptor.
    pub fn pump(&mut self, events: PollFlags) -> State {
        if self.to_daemon.pump(&mut self.backend, &mut self.daemon).is_over() {
            return State::BackendClosed;
        }
        if self.to_backend.pump(&mut self.daemon, &mut self.backend).is_over() {
            return State::DaemonClosed;
        }
        if events.contains(PollFlags::POLLHUP) && self.to_backend.writes() != PollFlags::empty() {
            self.daemon_gone = true;
        }
        State::Open
    }
}

/// One direction.
#[derive(Debug)]
struct Flow {
    buffer: Box<[u8]>,
    /// The part of `buffer` that waits to be written.
    start: usize,
    end: usize,
    /// Nothing more will be read; or nothing can be written any more.
    ended: bool,
}

impl Flow {
    fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into(), start: 0, end: 0, ended: false }
    }

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    const fn is_over(&self) -> bool {
        self.ended && self.is_empty()
    }

    fn reads(&self) -> PollFlags {
        if self.is_empty() && !self.ended { PollFlags::POLLIN } else { PollFlags::empty() }
    }

    fn writes(&self) -> PollFlags {
        if self.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT }
    }

    fn pump(&mut self, from: &mut impl Read, to: &mut impl Write) -> &Self {
        for _ in 0..TURNS {
            if self.is_empty() && !self.fill(from) {
                break;
            }
            if !self.drain(to) {
                break;
            }
        }
        self
    }

    /// Reads once; whether there is something to write now.
    fn fill(&mut self, from: &mut impl Read) -> bool {
        if self.ended {
            return false;
        }
        match from.read(&mut self.buffer) {
            Ok(0) => self.ended = true,
            Ok(length) => (self.start, self.end) = (0, length),
            Err(error) if is_transient(&error) => {}
            // A reset says no more than an end: that side is gone.
            Err(_) => self.ended = true,
        }
        !self.is_empty()
    }

    /// Writes once; whether the buffer is empty now.
    fn drain(&mut self, to: &mut impl Write) -> bool {
        match to.write(self.buffer.get(self.start..self.end).unwrap_or_default()) {
            Ok(length) => self.start += length,
            Err(error) if is_transient(&error) => {}
            Err(_) => {
                // The reader is gone, so there is nobody to pass it on to.
                self.start = self.end;
                self.ended = true;
            }
        }
        self.is_empty()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// The daemon's end, the bridge, the backend's end.
    fn bridge() -> (UnixStream, Bridge, TcpStream) {
        let (daemon, ours) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        (daemon, Bridge::new(ours, accepted).unwrap(), backend)
    }

    /// Pumps as the main loop would until the state is what is expected.
    fn pump_until(bridge: &mut Bridge, expected: State) {
        loop {
            let mut fds: Vec<_> =
                bridge.interest().map(|(fd, flags)| nix::poll::PollFd::new(fd, flags)).collect();
            assert_ne!(nix::poll::poll(&mut fds, 2000_u16).unwrap(), 0, "nothing happens");
            let events = fds.iter().filter_map(nix::poll::PollFd::revents).collect();
            if bridge.pump(events) == expected {
                return;
            }
        }
    }

    #[test]
    fn what_was_said_before_closing_arrives_on_either_side() {
        let (mut daemon, mut bridge, mut backend) = bridge();
        daemon.write_all(b"exit").unwrap();
        drop(daemon);
        pump_until(&mut bridge, State::DaemonClosed);
        drop(bridge);
        let mut received = Vec::new();
        backend.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"exit");
    }

    #[test]
    fn the_last_words_of_a_backend_arrive() {
        let (mut daemon, mut bridge, mut backend) = bridge();
        backend.write_all(b"sorry").unwrap();
        drop(backend);
        pump_until(&mut bridge, State::BackendClosed);
        drop(bridge);
        let mut received = Vec::new();
        daemon.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"sorry");
    }

    #[test]
    fn a_reader_that_does_not_read_stops_its_writer() {
        let (daemon, mut bridge, mut backend) = bridge();
        backend.set_nonblocking(true).unwrap();
        let chunk = [7; 65536];
        let mut written = 0;
        let mut idle = 0;
        while idle < 50 {
            match backend.write(&chunk) {
                Ok(length) => (written, idle) = (written + length, 0),
                Err(_) => idle += 1,
            }
            bridge.pump(PollFlags::empty());
        }
        assert!(written < 64 * 1024 * 1024, "{written} bytes were taken");
        assert!(bridge.to_daemon.writes().contains(PollFlags::POLLOUT));
        drop(daemon);
        pump_until(&mut bridge, State::BackendClosed);
    }

    #[test]
    fn a_daemon_that_leaves_a_deaf_backend_is_noticed() {
        let (mut daemon, mut bridge, _backend) = bridge();
        daemon.set_nonblocking(true).unwrap();
        let chunk = [7; 65536];
        let mut idle = 0;
        while idle < 50 {
            match daemon.write(&chunk) {
                Ok(_) => idle = 0,
                Err(_) => idle += 1,
            }
            bridge.pump(PollFlags::empty());
        }
        drop(daemon);
        while !bridge.daemon_gone() {
            assert_eq!(bridge.pump(PollFlags::POLLHUP), State::Open);
        }
        assert_eq!(bridge.interest().count(), 1, "only the backend is waited for");
    }
}
