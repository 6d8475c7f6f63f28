//! Where connections of the daemon come from: systemd's listening socket, or the daemon itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{SockType, getsockopt, sockopt};

use crate::system;

/// Where connections come from.
#[derive(Debug)]
pub enum Source {
    /// A Unix stream socket that systemd listens on for us.
    Listener(UnixListener),
    /// A sequenced-packet socket, our standard input: the daemon sends one connection in each datagram, and its end of
    /// file means that the daemon is gone.
    Control(OwnedFd),
}

/// What a source has to say.
#[derive(Debug)]
pub enum Arrival {
    /// The daemon wants a backend at the other end of this.
    Connection(UnixStream),
    /// Nothing more for now.
    Nothing,
    /// The daemon is gone.
    End,
}

impl Source {
    /// The socket that systemd passed.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn from_systemd() -> Result<Self, String> {
        let listener = system::listening_socket()?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(Self::Listener(listener))
    }

    /// Our standard input.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn from_standard_input() -> Result<Self, String> {
        let socket = io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        if getsockopt(&socket, sockopt::SockType) != Ok(SockType::SeqPacket) {
            return Err(
                "standard input is not a sequenced-packet socket; --control is for the daemon to use"
                    .to_owned(),
            );
        }
        Ok(Self::Control(socket))
    }

    /// The next connection, without waiting.
    ///
    /// # Errors
    /// Resources ran out: try again a little later.
    pub fn next(&self) -> io::Result<Arrival> {
        let next = match self {
            Self::Listener(listener) => {
                listener.accept().map(|(connection, _)| Arrival::Connection(connection))
            }
            Self::Control(socket) => system::receive(socket.as_fd()).map(from_datagram),
        };
        match next {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Arrival::Nothing),
            // accept(2): the peer gave up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(Arrival::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Arrival::Nothing),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Arrival::End),
            next => next,
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(listener) => listener.as_fd(),
            Self::Control(socket) => socket.as_fd(),
        }
    }
}

fn from_datagram(datagram: system::Datagram) -> Arrival {
    let system::Datagram { bytes, mut descriptors } = datagram;
    match descriptors.pop() {
        Some(connection) => Arrival::Connection(UnixStream::from(connection)),
        None if bytes.is_empty() => Arrival::End,
        // The descriptor was lost for lack of room in our table: the daemon sees its end closed.
        None => Arrival::Nothing,
    }
}
