//! Numbers for monitoring, in the text format of OpenMetrics 1.0, over HTTP on sockets that only the machine itself can
//! reach.
//!
//! Guarantees: a scrape never waits for a transport nor a transport for a scrape, because it shows what each transport
//! last said of itself (at most a second old); connections, their size and their time are bounded; no number is about
//! a single user. A socket that cannot be had costs the transport nothing but the metrics.

mod exposition;
mod http;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use spectrum2_config::Config;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::status::Snapshot;

pub use exposition::exposition;

/// `FileDescriptorName=` of the socket that systemd passes.
pub const NAME: &str = "metrics";
/// Connections at a time, of all sockets together. Others wait in the socket's queue.
const CONNECTIONS: usize = 8;
/// From its acceptance to the end of a connection.
const TIME: Duration = Duration::from_secs(10);
/// Between two attempts to accept when the machine is out of something.
const PAUSE: Duration = Duration::from_secs(1);
/// Who may read: owner and group.
const MODE: u32 = 0o660;

/// A transport whose numbers are shown.
#[derive(Debug)]
pub struct Watched {
    /// Its JID.
    pub jid: String,
    /// What it says of itself.
    pub snapshot: watch::Receiver<Snapshot>,
}

/// Sockets that listen.
#[derive(Debug, Default)]
pub struct Sockets {
    unix: Vec<UnixListener>,
    tcp: Vec<TcpListener>,
    /// A file that we made.
    file: Option<PathBuf>,
}

impl Sockets {
    /// The sockets that systemd passes as [`NAME`], and those that the options name.
    #[must_use]
    pub fn open(config: &Config, passed: Vec<OwnedFd>) -> Self {
        let mut sockets = Self::default();
        passed.into_iter().for_each(|descriptor| sockets.add(descriptor));
        let path = &config.metrics.socket;
        if !path.as_os_str().is_empty() {
            match bind_unix(path) {
                Ok(listener) => {
                    sockets.unix.push(listener);
                    sockets.file = Some(path.clone());
                }
                Err(error) => warn!(
                    "No metrics at {} (metrics.socket): {error}. Its directory must be writable for the transport.",
                    path.display()
                ),
            }
        }
        // The configuration was checked: it is an address of the loopback, or nothing.
        if let Ok(address) = config.metrics.listen.parse::<SocketAddr>() {
            match TcpListener::bind(address) {
                Ok(listener) => sockets.tcp.push(listener),
                Err(error) => warn!("No metrics at {address} (metrics.listen): {error}. Choose a free port."),
            }
        }
        sockets
    }

    fn add(&mut self, descriptor: OwnedFd) {
        use std::os::fd::AsRawFd;
        match getsockname::<SockaddrStorage>(descriptor.as_raw_fd()).map(|address| address.family()) {
            Ok(Some(AddressFamily::Unix)) => self.unix.push(descriptor.into()),
            Ok(Some(AddressFamily::Inet | AddressFamily::Inet6)) => self.tcp.push(descriptor.into()),
            _ => warn!("What the service manager passes for metrics is no socket for them."),
        }
    }
}

/// Puts a socket there, in place of one that a dead process left.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_dead = || UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_dead() {
        fs::remove_file(path)?;
    }
    // Until its rights are set it has those that the umask of the daemon leaves: none for others.
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Answers scrapes until it is dropped.
#[derive(Debug)]
pub struct Server {
    tasks: Vec<tokio::task::AbortHandle>,
    file: Option<PathBuf>,
}

impl Server {
    /// Begins to answer. To be called inside a [`tokio::task::LocalSet`].
    #[must_use]
    pub fn start(sockets: Sockets, transports: Vec<Watched>) -> Self {
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        let shared = Rc::new(Shared { transports, started: SystemTime::now(), turns });
        let mut tasks = Vec::new();
        for listener in sockets.unix {
            let listener =
                listener.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(listener));
            tasks.extend(spawn(listener, &shared));
        }
        for listener in sockets.tcp {
            let listener =
                listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
            tasks.extend(spawn(listener, &shared));
        }
        Self { tasks, file: sockets.file }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
        if let Some(file) = &self.file {
            // The user that the daemon became may not be allowed to; the next start replaces it.
            let _ = fs::remove_file(file);
        }
    }
}

/// What all connections share.
struct Shared {
    transports: Vec<Watched>,
    started: SystemTime,
    turns: Arc<Semaphore>,
}

/// A socket that accepts connections.
trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    async fn next(&self) -> io::Result<Self::Stream>;
    fn place(&self) -> String;
}

impl Listener for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn place(&self) -> String {
        let path = self.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
        path.map_or_else(|| "a socket".to_owned(), |path| path.display().to_string())
    }
}

impl Listener for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn place(&self) -> String {
        self.local_addr().map_or_else(|_| "a port".to_owned(), |address| address.to_string())
    }
}

fn spawn<L: Listener + 'static>(
    listener: io::Result<L>,
    shared: &Rc<Shared>,
) -> Option<tokio::task::AbortHandle> {
    match listener {
        Ok(listener) => {
            info!("Metrics are at {}.", listener.place());
            Some(tokio::task::spawn_local(accept(listener, Rc::clone(shared))).abort_handle())
        }
        Err(error) => {
            error!("No metrics: {error}.");
            None
        }
    }
}

async fn accept(listener: impl Listener, shared: Rc<Shared>) {
    loop {
        match listener.next().await {
            Ok(mut stream) => {
                // Never closed.
                let Ok(turn) = Arc::clone(&shared.turns).acquire_owned().await else { return };
                let shared = Rc::clone(&shared);
                tokio::task::spawn_local(async move {
                    let _turn = turn;
                    let body = || exposition(&shared.transports, shared.started);
                    match timeout(TIME, http::answer(&mut stream, body)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => debug!("A scrape broke off: {error}."),
                        Err(_) => debug!("A scrape took too long."),
                    }
                });
            }
            Err(error) => {
                debug!("A scrape cannot be accepted: {error}.");
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
