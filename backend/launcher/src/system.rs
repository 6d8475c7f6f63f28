//! What the compiler cannot check, and the only module with `unsafe`: descriptors that come from outside the program,
//! and what happens between fork(2) and exec(2).
//!
//! Each raw number is turned into an owned descriptor exactly once, here.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::cmsg_space;
use nix::sys::signal::SigSet;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockType, SockaddrLike, UnixAddr,
    getsockname, getsockopt, recvmsg, sendmsg, sockopt,
};

/// The listening socket that systemd passed.
///
/// # Errors
/// A sentence: none was passed, more than one, or it is not a Unix stream socket that listens. A second call finds
/// none.
pub fn listening_socket() -> Result<UnixListener, String> {
    static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let passed = sd_notify::listen_fds().map_err(|error| format!("LISTEN_FDS makes no sense: {error}"))?;
    let passed: Vec<RawFd> = passed.collect();
    let [number] = *passed.as_slice() else {
        return Err(format!("{} sockets were passed where one is needed", passed.len()));
    };
    if TAKEN.swap(true, std::sync::atomic::Ordering::Relaxed) {
        return Err("the socket that was passed is in use already".to_owned());
    }
    // SAFETY: sd_listen_fds(3): LISTEN_PID names this process, so systemd opened the descriptor for it, and `TAKEN`
    // makes this its only owner.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let is_unix = getsockname::<UnixAddr>(socket.as_raw_fd())
        .is_ok_and(|address| address.family() == Some(AddressFamily::Unix));
    let is_stream = getsockopt(&socket, sockopt::SockType) == Ok(SockType::Stream);
    let listens = getsockopt(&socket, sockopt::AcceptConn) == Ok(true);
    if is_unix && is_stream && listens {
        Ok(UnixListener::from(socket))
    } else {
        Err("what was passed is not a listening Unix stream socket (Accept=no, ListenStream=)".to_owned())
    }
}

/// One datagram.
#[derive(Debug)]
pub struct Datagram {
    /// Its bytes, cut at 4096.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, at most four; more are closed by the kernel.
    pub descriptors: Vec<OwnedFd>,
}

/// Takes one datagram from a sequenced-packet socket; without bytes and descriptors it is the end.
///
/// # Errors
/// What recvmsg(2) says; `WouldBlock` if there is none now.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Datagram> {
    let mut bytes = [0; 4096];
    let mut space = cmsg_space!([RawFd; 4]);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: unix(7), SCM_RIGHTS: the kernel just made these descriptors for this process, and nothing else
            // has seen their numbers.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    let length = message.bytes;
    Ok(Datagram { bytes: bytes.get(..length).unwrap_or_default().to_vec(), descriptors })
}

/// Sends one datagram with a connection attached, of which the caller keeps its own copy.
///
/// # Errors
/// What sendmsg(2) says; `WouldBlock` if the other side has too much to read already.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], connection: &UnixStream) -> io::Result<()> {
    let numbers = [connection.as_fd().as_raw_fd()];
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        &[ControlMessage::ScmRights(&numbers)],
        flags,
        None,
    )?;
    Ok(())
}

/// Lets a command start with no signal blocked; those that the main loop waits for by signalfd(2) are blocked in us, and
/// exec(2) would hand that down: SIGTERM could not end a backend.
pub fn unblock_signals(command: &mut Command) {
    let unblock = || SigSet::empty().thread_set_mask().map_err(io::Error::from);
    // SAFETY: between fork and exec only what signal-safety(7) lists may be called; pthread_sigmask is on it, and the
    // closure neither allocates nor touches memory of anybody else.
    unsafe { command.pre_exec(unblock) };
}
