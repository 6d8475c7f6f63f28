//! Where clients connect.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockopt, listen, setsockopt,
    socket, sockopt,
};
use spectrum2_config::Service;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::passed::Passed;

/// Connections that wait to be accepted; the kernel's own limit may be lower.
const WAITING: i32 = 4096;
/// Between two attempts to accept when the machine is out of something.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two complaints about that.
const SILENCE: Duration = Duration::from_secs(60);
/// Of a socket that systemd passes, `FileDescriptorName=` for connections that begin with TLS: the service of XEP-0368.
const DIRECT_NAME: &str = "xmpps-client";

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// With a stream in clear, which STARTTLS encrypts.
    InClear,
    /// With TLS (XEP-0368).
    Direct,
}

/// Sockets that listen.
#[derive(Debug)]
pub struct Sockets(Vec<(TcpListener, Door)>);

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another program listens there.
    #[error(
        "Port {port} of {address} is in use by another program. “ss -ltnp sport = :{port}” shows which: stop it, or \
         choose another port in {key}."
    )]
    InUse {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The option.
        key: &'static str,
    },
    /// The port is for root alone.
    #[error(
        "Port {port} needs a right that the transport does not have: ports below 1024 are for root. Let systemd open \
         it (“Low ports” in spectrum2-server-mode(7)), or choose another port in {key}."
    )]
    Denied {
        /// The port.
        port: u16,
        /// The option.
        key: &'static str,
    },
    /// The address is none of this machine.
    #[error("{0} is no address of this machine. Correct service.server, or write 0.0.0.0 for all addresses.")]
    NoSuchAddress(IpAddr),
    /// Anything else.
    #[error("Clients cannot be waited for at {address}: {cause}. Check service.server and {key}.")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        cause: Errno,
        /// The option.
        key: &'static str,
    },
}

impl Sockets {
    /// The sockets that systemd passes; without any, those that the options name.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(service: &Service, passed: &mut Passed) -> Result<Self, OpenError> {
        let passed = for_clients(service, passed);
        if !passed.is_empty() {
            return Ok(Self(passed));
        }
        // The configuration was checked; what is no address listens where it harms nobody.
        let address = service.server.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ports = [
            (service.port, "service.port", Door::InClear),
            (service.tls_port, "service.tls_port", Door::Direct),
        ];
        let open = |(port, key, door)| Ok((open(address, port, key)?, door));
        ports.into_iter().filter(|(port, ..)| *port != 0).map(open).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Sockets {
    /// `[::]:5222 and [::]:5223`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.0.iter().filter_map(|(socket, _)| socket.local_addr().ok());
        let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
        f.write_str(&addresses.join(" and "))
    }
}

/// TCP sockets that systemd passes. Anything else that it passes is not for clients.
fn for_clients(service: &Service, passed: &mut Passed) -> Vec<(TcpListener, Door)> {
    let mut listeners: Vec<_> = passed
        .rest()
        .filter_map(|(name, descriptor)| {
            let listener = listening(descriptor)?;
            let port = listener.local_addr().ok()?.port();
            let is_direct = name.as_deref() == Some(DIRECT_NAME) || (port == service.tls_port && port != 0);
            Some((listener, if is_direct { Door::Direct } else { Door::InClear }))
        })
        .collect();
    // systemd passes them in any order; they are named in that of the options.
    listeners.sort_by_key(|(_, door)| matches!(door, Door::Direct));
    listeners
}

fn listening(descriptor: OwnedFd) -> Option<TcpListener> {
    let is_stream = getsockopt(&descriptor, sockopt::SockType) == Ok(SockType::Stream);
    let listens = getsockopt(&descriptor, sockopt::AcceptConn) == Ok(true);
    let listener = TcpListener::from(descriptor);
    // Only a socket of the Internet has such an address.
    (is_stream && listens && listener.local_addr().is_ok()).then_some(listener)
}

fn open(address: IpAddr, port: u16, key: &'static str) -> Result<TcpListener, OpenError> {
    // COMPAT(Spectrum 2): 0.0.0.0 means all addresses, those of IPv6 too.
    let is_any = address.is_unspecified();
    let wanted = if is_any { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { address };
    let result = match bound(SocketAddr::new(wanted, port)) {
        // The kernel may have no IPv6.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if is_any => {
            bound(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        result => result,
    };
    result.map_err(|cause| match cause {
        Errno::EADDRINUSE => OpenError::InUse { address, port, key },
        Errno::EACCES | Errno::EPERM => OpenError::Denied { port, key },
        Errno::EADDRNOTAVAIL => OpenError::NoSuchAddress(address),
        cause => OpenError::Other { address: SocketAddr::new(address, port), cause, key },
    })
}

fn bound(address: SocketAddr) -> nix::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let descriptor = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Connections of an earlier process that are in their last minute must not keep us from the port.
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&descriptor, sockopt::Ipv6V6Only, &!address.ip().is_unspecified())?;
    }
    let listener = TcpListener::from(descriptor);
    bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &SockaddrStorage::from(address))?;
    listen(&listener, Backlog::new(WAITING)?)?;
    Ok(listener)
}

/// Begins to accept connections. To be called inside a [`tokio::task::LocalSet`].
pub(super) fn start(sockets: Sockets, shared: &Rc<Shared>) -> io::Result<Vec<AbortHandle>> {
    let mut tasks = Vec::new();
    for (socket, door) in sockets.0 {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let accepting = accept(socket, door, Rc::clone(shared));
        tasks.push(tokio::task::spawn_local(accepting).abort_handle());
    }
    Ok(tasks)
}

async fn accept(socket: tokio::net::TcpListener, door: Door, shared: Rc<Shared>) {
    let mut complained: Option<Instant> = None;
    loop {
        match socket.accept().await {
            Ok((connection, peer)) => shared.admit(connection, peer.ip().to_canonical(), door),
            // accept(2): the client was gone before we came.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= SILENCE) {
                    complained = Some(Instant::now());
                    tracing::error!(
                        "A client cannot be let in: {error}. Who has logged in stays. If it is about open files, raise \
                         LimitNOFILE= of the unit."
                    );
                }
                // The connection waits in its queue; asking for it at once would take all the time there is.
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(server: &str, port: u16) -> Service {
        Service { server: server.to_owned(), port, ..Service::default() }
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_port_that_is_taken_is_said() {
        let port = free_port();
        let first = Sockets::open(&service("127.0.0.1", port), &mut Passed::default()).unwrap();
        assert_eq!(first.to_string(), format!("127.0.0.1:{port}"));
        let error = Sockets::open(&service("127.0.0.1", port), &mut Passed::default()).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }));
        assert!(error.to_string().starts_with(&format!("Port {port} of 127.0.0.1 is in use")), "{error}");
    }

    #[test]
    fn all_addresses_are_those_of_both_protocols() {
        let port = free_port();
        let _sockets = Sockets::open(&service("0.0.0.0", port), &mut Passed::default()).unwrap();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::net::TcpStream::connect(("::1", port)).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_said() {
        let error = Sockets::open(&service("192.0.2.1", free_port()), &mut Passed::default()).unwrap_err();
        assert!(matches!(error, OpenError::NoSuchAddress(_)), "{error}");
    }

    #[test]
    fn two_ports_are_two_sockets() {
        let (port, tls_port) = (free_port(), free_port());
        let both = Service { tls_port, ..service("127.0.0.1", port) };
        let sockets = Sockets::open(&both, &mut Passed::default()).unwrap();
        assert_eq!(sockets.to_string(), format!("127.0.0.1:{port} and 127.0.0.1:{tls_port}"));
        assert_eq!(sockets.0[1].1, Door::Direct);
    }
}
