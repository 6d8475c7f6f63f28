//! Connections to backend processes.
//!
//! Each connection is served by a task of its own, so a slow or broken backend holds up no other. Guarantees: frames are
//! delivered in order, and all that a backend sent before it went away is delivered before the news that it did; what is
//! read waits in a queue of fixed length, and while nobody takes from that queue, no backend is read; what is to be
//! written is bounded as [`BOUNDS`] and [`LIMIT`] say.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use spectrum2_backend_protocol::{Decoder, Frame, FrameError, MAX_FRAME, endpoint};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::gateway::{Event, Link};
use crate::logging;
use crate::outbox::{Bounds, Outbox};
use crate::standalone::Launcher;

/// When a backend counts as slow.
const BOUNDS: Bounds =
    Bounds { high: 1 << 20, low: 1 << 18, stall: Duration::from_secs(60), keep: 256 << 10 };
/// Bytes waiting for a backend above which it is given up.
const LIMIT: usize = 16 << 20;
/// The launcher accepts at once; starting a process comes later.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a backend may take to read its last frames.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// Read at once.
const CHUNK: usize = 32 * 1024;
/// Chunks that wait for the loop, all backends together.
const QUEUE: usize = 8;

/// Where backends come from.
#[derive(Debug)]
pub enum BackendSource {
    /// The launcher listens here; each connection becomes a backend.
    Socket(PathBuf),
    /// The launcher is our child.
    Launcher(Launcher),
}

impl BackendSource {
    /// Asks for a backend; an error is the reason for [`Arrival::Down`].
    async fn connect(&self, jid: &str) -> Result<UnixStream, String> {
        match self {
            Self::Socket(path) => {
                let launcher = format!("the backend launcher at {}", path.display());
                match timeout(CONNECT_TIME, connect_in_turn(path, jid)).await {
                    Ok(Ok(stream)) => Ok(stream),
                    Ok(Err(error)) => Err(format!("{launcher} cannot be reached: {error}")),
                    Err(_) => Err(format!("{launcher} did not accept within {} s", CONNECT_TIME.as_secs())),
                }
            }
            Self::Launcher(launcher) => {
                launcher.connect(jid).and_then(from_std).map_err(|error| error.to_string())
            }
        }
    }
}

/// Connects to a socket whose queue may be full: unlike TCP, the kernel does not wait then.
async fn connect_in_turn(path: &Path, jid: &str) -> io::Result<UnixStream> {
    const LOOK: Duration = Duration::from_millis(50);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    name_after(&socket, jid);
    let launcher = UnixAddr::new(path)?;
    while let Err(error) = connect(socket.as_raw_fd(), &launcher) {
        match error {
            Errno::EAGAIN => sleep(LOOK).await,
            Errno::EINTR => {}
            _ => return Err(error.into()),
        }
    }
    from_std(socket.into())
}

/// Lets whoever is at the other end of a connection know for which transport it is. Who cannot see it takes the first of
/// the file.
pub fn name_after(socket: &impl AsRawFd, jid: &str) {
    let Some(name) = endpoint::name(jid, fastrand::u64(..)) else { return };
    let named = UnixAddr::new_abstract(name.as_bytes()).and_then(|name| bind(socket.as_raw_fd(), &name));
    if let Err(error) = named {
        tracing::debug!("A connection to a backend has no name: {error}.");
    }
}

fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Something that happened on a connection.
#[derive(Debug)]
pub enum Arrival {
    /// The connection stands.
    Up(Link),
    /// The backend sent these; at least one.
    Frames(Link, Vec<Frame>),
    /// The connection could not be made or is gone, for this reason.
    Down(Link, String),
    /// A slow backend has caught up: there is news for [`BackendLinks::news`].
    Drained,
}

/// The receiving end of all connections. Whoever takes from it asks [`BackendLinks::is_open`] before he believes it:
/// what came from a connection that was closed meanwhile may still wait here.
#[derive(Debug)]
pub struct BackendInput {
    openings: mpsc::Receiver<Arrival>,
    inputs: mpsc::Receiver<Arrival>,
    drained: Rc<Notify>,
}

impl BackendInput {
    /// The next thing that happened. While `paused`, frames stay where they are, and so does what comes after them.
    pub async fn next(&mut self, paused: bool) -> Arrival {
        tokio::select! {
            // In this order one hears that a backend is there before one hears what it says.
            biased;
            Some(opening) = self.openings.recv() => opening,
            () = self.drained.notified() => Arrival::Drained,
            Some(input) = self.inputs.recv(), if !paused => input,
            else => std::future::pending().await,
        }
    }
}

/// The sending end of all connections.
#[derive(Debug)]
pub struct BackendLinks {
    links: HashMap<Link, Handle>,
    tasks: JoinSet<()>,
    shared: Rc<Shared>,
    news: VecDeque<Event>,
}

#[derive(Debug)]
struct Handle {
    outbox: Rc<Outbox>,
    task: AbortHandle,
    /// The core was told that the backend is slow.
    busy: bool,
}

/// What the tasks have in common.
#[derive(Debug)]
struct Shared {
    source: Rc<BackendSource>,
    /// Of the transport.
    jid: String,
    openings: mpsc::Sender<Arrival>,
    inputs: mpsc::Sender<Arrival>,
    drained: Rc<Notify>,
    /// One read buffer serves all connections: it is used within one poll only.
    scratch: RefCell<Box<[u8]>>,
}

impl BackendLinks {
    /// Both ends, without any connection yet. To be used inside a [`tokio::task::LocalSet`].
    #[must_use]
    pub fn new(source: Rc<BackendSource>, jid: &str) -> (Self, BackendInput) {
        let (opening_sender, openings) = mpsc::channel(QUEUE);
        let (input_sender, inputs) = mpsc::channel(QUEUE);
        let drained = Rc::new(Notify::new());
        let shared = Rc::new(Shared {
            source,
            jid: jid.to_owned(),
            openings: opening_sender,
            inputs: input_sender,
            drained: Rc::clone(&drained),
            scratch: RefCell::new(vec![0; CHUNK].into_boxed_slice()),
        });
        let links = Self { links: HashMap::new(), tasks: JoinSet::new(), shared, news: VecDeque::new() };
        (links, BackendInput { openings, inputs, drained })
    }

    /// Begins to connect; [`Arrival::Up`] or [`Arrival::Down`] follows.
    pub fn open(&mut self, link: Link) {
        // Tasks that have ended are forgotten here, so that they do not pile up.
        while self.tasks.try_join_next().is_some() {}
        let outbox = Rc::new(Outbox::new(BOUNDS, Rc::clone(&self.shared.drained)));
        let connection = Connection { link, outbox: Rc::clone(&outbox), shared: Rc::clone(&self.shared) };
        let task = self.tasks.spawn_local(logging::inherited(connection.run()));
        self.links.insert(link, Handle { outbox, task, busy: false });
    }

    /// Whether the link is neither closed nor known to be gone.
    #[must_use]
    pub fn is_open(&self, link: Link) -> bool {
        self.links.contains_key(&link)
    }

    /// Bytes that backends have not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.links.values().map(|handle| handle.outbox.len()).sum()
    }

    /// Sends a frame; one for a link that is not open is dropped, as its receiver is gone.
    pub fn send(&mut self, link: Link, frame: &Frame) {
        let Some(handle) = self.links.get_mut(&link) else { return };
        handle.outbox.push(|buffer| frame.encode(buffer));
        if handle.outbox.is_over() && !handle.busy {
            handle.busy = true;
            self.news.push_back(Event::BackendBusy(link));
        }
        if handle.outbox.len() > LIMIT {
            handle.task.abort();
            self.links.remove(&link);
            let reason = format!("it does not read: {} MiB wait for it", LIMIT >> 20);
            self.news.push_back(Event::BackendDown(link, reason));
        }
    }

    /// What the core must know about backends that became slow, quick again, or too slow.
    pub fn news(&mut self) -> Option<Event> {
        self.news.pop_front()
    }

    /// Finds the backends that have caught up; after [`Arrival::Drained`].
    pub fn drained(&mut self) {
        for (link, handle) in &mut self.links {
            if handle.busy && !handle.outbox.is_over() {
                handle.busy = false;
                self.news.push_back(Event::BackendReady(*link));
            }
        }
    }

    /// Writes out what is left, then closes. Nothing is heard of the link any more.
    pub fn close(&mut self, link: Link) {
        if let Some(handle) = self.links.remove(&link) {
            handle.outbox.close();
        }
    }

    /// Forgets a link that is gone; whether it was open.
    pub fn forget(&mut self, link: Link) -> bool {
        self.links.remove(&link).is_some()
    }

    /// Closes everything, and waits until all is written; at most [`CLOSE_TIME`].
    pub async fn finish(&mut self) {
        for (_, handle) in self.links.drain() {
            handle.outbox.close();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One connection, seen from its task.
struct Connection {
    link: Link,
    outbox: Rc<Outbox>,
    shared: Rc<Shared>,
}

impl Connection {
    async fn run(self) {
        let connected = tokio::select! {
            biased;
            () = self.outbox.closed() => return,
            connected = self.shared.source.connect(&self.shared.jid) => connected,
        };
        match connected {
            Ok(stream) => self.serve(stream).await,
            Err(reason) => self.report(&self.shared.openings, Arrival::Down(self.link, reason)).await,
        }
    }

    async fn serve(self, stream: UnixStream) {
        self.report(&self.shared.openings, Arrival::Up(self.link)).await;
        let (mut reader, mut writer) = stream.into_split();
        let reason = tokio::select! {
            biased;
            () = self.outbox.closed() => None,
            reason = self.exchange(&mut reader, &mut writer) => Some(reason),
        };
        match reason {
            Some(reason) => self.report(&self.shared.inputs, Arrival::Down(self.link, reason)).await,
            None => self.say_good_bye(&mut reader, &mut writer).await,
        }
    }

    /// Moves frames both ways until the connection is gone; the reason.
    async fn exchange(&self, reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf) -> String {
        let mut receive = std::pin::pin!(self.receive(reader));
        tokio::select! {
            reason = &mut receive => reason,
            result = self.outbox.write_to(writer) => match result {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => error.to_string(),
                // It is gone, and what it said before it went is still to be read.
                _ => receive.await,
            },
        }
    }

    async fn receive(&self, reader: &mut OwnedReadHalf) -> String {
        let mut decoder = Decoder::new(MAX_FRAME);
        loop {
            let read = self.read(reader, |bytes| decoder.push(bytes)).await;
            let (frames, broken) = self.decode(&mut decoder);
            if !frames.is_empty() {
                self.report(&self.shared.inputs, Arrival::Frames(self.link, frames)).await;
            }
            match (read, broken) {
                (_, Some(error)) => return error.to_string(),
                (Ok(0), None) => return "it closed the connection".to_owned(),
                (Ok(_), None) => {}
                (Err(error), None) => return error.to_string(),
            }
        }
    }

    /// All frames that are complete, and the error after which the stream cannot be followed.
    fn decode(&self, decoder: &mut Decoder) -> (Vec<Frame>, Option<FrameError>) {
        let mut frames = Vec::new();
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None),
                Err(error) if error.is_fatal() => return (frames, Some(error)),
                Err(error) => tracing::debug!(backend = self.link.0, "Frame skipped. {error}."),
            }
        }
    }

    /// Writes the rest, while what the backend still says is thrown away: a backend that waits until we read could
    /// never read itself.
    async fn say_good_bye(&self, reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf) {
        let discard = async { while self.read(reader, |_| ()).await.is_ok_and(|length| length > 0) {} };
        let last_words = async {
            tokio::select! {
                _ = self.outbox.write_to(writer) => {}
                () = discard => {}
            }
        };
        if timeout(CLOSE_TIME, last_words).await.is_err() {
            tracing::debug!(backend = self.link.0, "The backend did not read its last frames.");
        }
    }

    /// Reads once; 0 at the end of the stream.
    async fn read(&self, reader: &mut OwnedReadHalf, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|context| {
            let mut scratch = self.shared.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Waits until the loop has room, or does not want to know any more.
    async fn report(&self, queue: &mpsc::Sender<Arrival>, arrival: Arrival) {
        tokio::select! {
            biased;
            () = self.outbox.closed() => {}
            _ = queue.send(arrival) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use spectrum2_backend_protocol::ConversationMessage;
    use tokio::io::AsyncWriteExt;
    use tokio::task::{LocalSet, yield_now};

    use crate::testing::{Backend, FakeLauncher};

    const LINK: Link = Link(7);

    fn message(length: usize) -> Frame {
        Frame::ConvMessage(ConversationMessage {
            message: "x".repeat(length),
            ..ConversationMessage::default()
        })
    }

    /// A link that stands, and the backend at its other end.
    async fn opened(launcher: &FakeLauncher) -> (BackendLinks, BackendInput, Backend) {
        let (mut links, mut input) =
            BackendLinks::new(Rc::new(BackendSource::Socket(launcher.path.clone())), "irc.example.org");
        links.open(LINK);
        let backend = launcher.accept().await;
        assert!(matches!(input.next(true).await, Arrival::Up(LINK)));
        (links, input, backend)
    }

    /// Takes frames until the link is down: their number, and the reason.
    async fn rest(input: &mut BackendInput) -> (usize, String) {
        let mut count = 0;
        loop {
            match input.next(false).await {
                Arrival::Frames(LINK, frames) => count += frames.len(),
                Arrival::Down(LINK, reason) => return (count, reason),
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn frames_pass_both_ways() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, mut input, mut backend) = opened(&launcher).await;
                links.send(LINK, &Frame::Ping);
                assert_eq!(backend.frame().await, Some(Frame::Ping));
                backend.send(&Frame::Pong).await;
                let Arrival::Frames(LINK, frames) = input.next(false).await else { panic!("no frame") };
                assert_eq!(frames, [Frame::Pong]);
            })
            .await;
    }

    #[tokio::test]
    async fn all_that_a_backend_said_before_it_died_is_delivered_first() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (_links, mut input, mut backend) = opened(&launcher).await;
                let talk = async {
                    for _ in 0..5_000 {
                        backend.send(&message(100)).await;
                    }
                    drop(backend);
                };
                let (_, (count, reason)) = tokio::join!(talk, rest(&mut input));
                assert_eq!(count, 5_000);
                assert_eq!(reason, "it closed the connection");
            })
            .await;
    }

    #[tokio::test]
    async fn also_while_something_was_to_be_written_to_it() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, mut input, mut backend) = opened(&launcher).await;
                for _ in 0..100 {
                    backend.send(&message(1_000)).await;
                }
                drop(backend);
                links.send(LINK, &message(1 << 19));
                let (count, _) = rest(&mut input).await;
                assert_eq!(count, 100);
            })
            .await;
    }

    #[tokio::test]
    async fn a_frame_that_does_not_parse_is_skipped_and_one_that_is_too_long_ends_the_link() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (_links, mut input, mut backend) = opened(&launcher).await;
                backend.connection.write_all(&[0, 0, 0, 2, 0xff, 0xff]).await.unwrap();
                backend.send(&Frame::Pong).await;
                backend.connection.write_all(b"GET / HTTP/1.1").await.unwrap();
                let (count, reason) = rest(&mut input).await;
                assert_eq!(count, 1);
                assert!(reason.contains("does not speak the backend protocol"), "{reason}");
            })
            .await;
    }

    #[tokio::test]
    async fn a_launcher_that_is_not_there_is_named() {
        LocalSet::new()
            .run_until(async {
                let source = BackendSource::Socket(PathBuf::from("/nonexistent/irc.sock"));
                let (mut links, mut input) = BackendLinks::new(Rc::new(source), "irc.example.org");
                links.open(LINK);
                let (_, reason) = rest(&mut input).await;
                assert_eq!(
                    reason,
                    "the backend launcher at /nonexistent/irc.sock cannot be reached: No such file or directory \
                     (os error 2)"
                );
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn backends_are_not_read_while_nobody_takes_their_frames() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (_links, mut input, mut backend) = opened(&launcher).await;
                let mut sent: usize = 0;
                // The clock moves only when nothing else can: the backend is stuck then.
                while timeout(Duration::from_secs(1), backend.send(&message(1_000))).await.is_ok() {
                    sent += 1;
                    assert!(sent < 10_000, "nothing holds the backend up");
                }
                let mut taken = 0;
                while taken < sent {
                    let Arrival::Frames(LINK, frames) = input.next(false).await else { panic!("no frames") };
                    taken += frames.len();
                }
            })
            .await;
    }

    #[tokio::test]
    async fn a_slow_backend_is_told_of_and_so_is_its_recovery() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, mut input, mut backend) = opened(&launcher).await;
                let mut sent = 0;
                while links.news.is_empty() {
                    links.send(LINK, &message(10_000));
                    sent += 1;
                }
                assert!(matches!(links.news(), Some(Event::BackendBusy(LINK))));
                let read = async {
                    for _ in 0..sent {
                        assert!(backend.frame().await.is_some());
                    }
                };
                let (arrival, ()) = tokio::join!(input.next(true), read);
                assert!(matches!(arrival, Arrival::Drained), "{arrival:?}");
                links.drained();
                assert!(matches!(links.news(), Some(Event::BackendReady(LINK))));
                assert!(links.news().is_none());
            })
            .await;
    }

    #[tokio::test]
    async fn a_backend_that_never_reads_is_given_up() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, _input, mut backend) = opened(&launcher).await;
                while links.is_open(LINK) {
                    links.send(LINK, &message(1 << 20));
                }
                assert!(matches!(links.news(), Some(Event::BackendBusy(LINK))));
                let Some(Event::BackendDown(LINK, reason)) = links.news() else { panic!("not given up") };
                assert_eq!(reason, "it does not read: 16 MiB wait for it");
                assert_eq!(backend.frame().await, None);
            })
            .await;
    }

    #[tokio::test]
    async fn closing_writes_out_the_rest_also_to_a_backend_that_is_talking() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, mut input, mut backend) = opened(&launcher).await;
                for _ in 0..50 {
                    links.send(LINK, &message(10_000));
                }
                links.send(LINK, &Frame::Exit);
                links.close(LINK);
                assert!(!links.is_open(LINK));
                // It reads only after it has said more than any queue holds.
                for _ in 0..2_000 {
                    backend.send(&message(1_000)).await;
                }
                for _ in 0..50 {
                    assert!(matches!(backend.frame().await, Some(Frame::ConvMessage(_))));
                }
                assert_eq!(backend.frame().await, Some(Frame::Exit));
                assert_eq!(backend.frame().await, None);
                tokio::select! {
                    biased;
                    arrival = input.next(false) => panic!("heard of a closed link: {arrival:?}"),
                    () = yield_now() => {}
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_does_not_wait_for_news_that_nobody_takes() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, _input, mut backend) = opened(&launcher).await;
                for _ in 0..QUEUE {
                    backend.send(&Frame::Pong).await;
                    // Long enough to be read as a chunk of its own: the clock moves when all is quiet.
                    sleep(Duration::from_millis(1)).await;
                }
                drop(backend);
                sleep(Duration::from_millis(1)).await;
                let finished = timeout(Duration::from_secs(1), links.finish()).await;
                assert!(finished.is_ok(), "the news that the backend is gone holds up the end");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_does_not_take_its_last_frames_holds_nobody_up_for_long() {
        LocalSet::new()
            .run_until(async {
                let launcher = FakeLauncher::new();
                let (mut links, _input, _backend) = opened(&launcher).await;
                links.send(LINK, &message(1 << 20));
                let start = tokio::time::Instant::now();
                links.finish().await;
                assert_eq!(start.elapsed().as_secs(), CLOSE_TIME.as_secs());
            })
            .await;
    }
}
