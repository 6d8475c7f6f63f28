//! The connection to the daemon: frames in, frames out, never blocking.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use spectrum2_backend_protocol::{Decoder, Frame, FrameError, MAX_FRAME};

use crate::log;

/// Bytes that may wait for a daemon that does not read. What is beyond ends the process: its users are logged in
/// again elsewhere, which is better than to lose some frames and not others.
const MAX_WAITING: usize = 64 * 1024 * 1024;
/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

/// Why the connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The daemon closed it.
    #[error("The daemon closed the connection")]
    Closed,
    /// It broke.
    #[error("The connection to the daemon broke: {0}")]
    Broken(#[from] io::Error),
    /// The peer does not speak our protocol.
    #[error(transparent)]
    Protocol(#[from] FrameError),
    /// The daemon does not read.
    #[error("The daemon has not read {MAX_WAITING} bytes that wait for it; it hangs")]
    Overflow,
}

/// The connection.
#[derive(Debug)]
pub struct Link {
    socket: File,
    decoder: Decoder,
    waiting: VecDeque<u8>,
}

impl Link {
    /// Takes a connected socket.
    ///
    /// # Errors
    /// It cannot be made non-blocking.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_truncate(fcntl(&socket, FcntlArg::F_GETFL)?);
        fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { socket: socket.into(), decoder: Decoder::new(MAX_FRAME), waiting: VecDeque::new() })
    }

    /// The socket, to watch.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether frames wait to be written.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Reads what is there, at most one chunk, so that a busy daemon does not keep libpurple from its own sockets.
    ///
    /// # Errors
    /// The connection is over.
    pub fn receive(&mut self) -> Result<Vec<Frame>, LinkError> {
        let mut chunk = vec![0; CHUNK];
        let length = match self.socket.read(&mut chunk) {
            Ok(0) => return Err(LinkError::Closed),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error.into()),
        };
        self.decoder.push(chunk.get(..length).unwrap_or_default());
        let mut frames = Vec::new();
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return Ok(frames),
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => log::warning(format_args!("{error}; it is skipped")),
            }
        }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// Too much waits already.
    pub fn send(&mut self, frame: &Frame) -> Result<(), LinkError> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        if bytes.len() > MAX_FRAME {
            log::warning(format_args!("A {} frame is too long and is not sent", frame.name()));
            return Ok(());
        }
        self.waiting.extend(bytes);
        if self.waiting.len() > MAX_WAITING { Err(LinkError::Overflow) } else { Ok(()) }
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while !self.waiting.is_empty() {
            let (bytes, _) = self.waiting.as_slices();
            match self.socket.write(bytes) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.waiting.shrink_to(CHUNK);
        Ok(())
    }
}
