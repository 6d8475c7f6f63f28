//! The link to the XMPP server, as its component (XEP-0114).
//!
//! A task connects, and again for ever whenever the stream is lost. Guarantees: a stanza that cannot be read costs its
//! sender an error reply and the stream nothing; a peer that is gone without a word is noticed within a minute; all that
//! the server sent before the stream was lost is delivered before the news that it is.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use jid::Jid;
use nix::sys::socket::{setsockopt, sockopt};
use spectrum2_config::{Config, Secret, Service};
use spectrum2_xmpp::component::{CLOSE, Component, Failure, Step};
use spectrum2_xmpp::framer::Framer;
use spectrum2_xmpp::stanza::{Condition, refuse};
use spectrum2_xmpp::{Element, ns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::logging;
use crate::outbox::{Bounds, Outbox};

/// When the server counts as slow.
const BOUNDS: Bounds =
    Bounds { high: 4 << 20, low: 1 << 20, stall: Duration::from_secs(60), keep: 256 << 10 };
/// Bytes waiting for the server above which it is not even read: what it sends would only add to them.
const STUCK: usize = 2 * BOUNDS.high;
/// The longest stanza that is sent: Prosody ends the stream of a component that sends more than 512 KiB.
const LONGEST: usize = 500 << 10;
/// For the name of the server.
const RESOLVE_TIME: Duration = Duration::from_secs(30);
/// For each of its addresses.
const CONNECT_TIME: Duration = Duration::from_secs(15);
/// From the connection to the answered handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How long the last words may take at the end of a stream.
const CLOSE_TIME: Duration = Duration::from_millis(500);
/// Between two blanks on an idle stream (RFC 6120 §4.6.1).
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Idle time after which the kernel asks whether the server is there, in seconds.
const TCP_KEEPALIVE: u32 = 30;
/// How long written data may stay unacknowledged, in milliseconds (tcp(7), `TCP_USER_TIMEOUT`).
const USER_TIMEOUT: u32 = 60_000;
/// Name of the systemd credential that holds the secret.
const CREDENTIAL: &str = "component-password";
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait for the loop.
const QUEUE: usize = 8;

/// Where the server is, and who we are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `service.server`: name or address.
    pub server: String,
    /// `service.port`.
    pub port: u16,
    /// `service.jid`, a bare domain.
    pub jid: String,
    /// `service.password`.
    pub secret: Secret,
    /// Where the secret comes from, for error texts: the option and its file, or the credential.
    pub secret_source: String,
}

impl Settings {
    /// As the transport file says.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let Service { server, port, jid, password, password_file, .. } = &config.service;
        // The order in which the configuration looks for it.
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|directory| Path::new(&directory).join(CREDENTIAL))
            .filter(|credential| credential.exists());
        let secret_source = match credential {
            Some(_) => format!("the systemd credential {CREDENTIAL}"),
            None if password_file.as_os_str().is_empty() => {
                format!("service.password in {}", config.file.display())
            }
            None => format!("{} (service.password_file)", password_file.display()),
        };
        Self {
            server: server.clone(),
            port: *port,
            jid: jid.clone(),
            secret: password.clone(),
            secret_source,
        }
    }

    /// Server and port as people write them.
    #[must_use]
    pub fn address(&self) -> String {
        if self.server.contains(':') {
            format!("[{}]:{}", self.server, self.port)
        } else {
            format!("{}:{}", self.server, self.port)
        }
    }
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The name of the server has no address.
    #[error("the name does not resolve: {0}")]
    Resolve(io::Error),
    /// None of the addresses accepts; the last error.
    #[error("{0}")]
    Connect(io::Error),
    /// The server accepts the connection and then says nothing that helps.
    #[error("no answer to the handshake within {} s", HANDSHAKE_TIME.as_secs())]
    Handshake,
    /// The server refuses or ends the stream, or it does not speak the protocol.
    #[error("{}", in_short(.0))]
    Stream(Failure),
    /// The server closed the stream, as it does when it stops.
    #[error("the server closed the connection")]
    Closed,
    /// The connection broke.
    #[error("{0}")]
    Broken(io::Error),
}

impl LinkError {
    /// Whether only a change of the configuration can help: the secret is wrong.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Stream(failure) if failure.condition == "not-authorized")
    }

    /// What the admin can do about it, in sentences.
    fn hint(&self, settings: &Settings) -> Option<String> {
        let Settings { jid, secret_source, .. } = settings;
        match self {
            Self::Stream(failure) => match failure.condition.as_str() {
                "not-authorized" => Some(format!(
                    "The secret is not the one that the server has for the component {jid}: compare it with \
                     {secret_source}."
                )),
                "host-unknown" | "host-gone" | "improper-addressing" => Some(format!(
                    "The server has no component {jid}: add it there (Prosody: Component \"{jid}\"; ejabberd: hosts \
                     of an ejabberd_service listener), or correct service.jid."
                )),
                "conflict" => Some(format!(
                    "The server has a connection of {jid} already: stop the other process, or give it a component \
                     name of its own."
                )),
                _ => None,
            },
            Self::Resolve(_) => Some("Check service.server.".to_owned()),
            Self::Connect(_) | Self::Handshake => Some(
                "Check that the server runs and accepts components at service.server and service.port."
                    .to_owned(),
            ),
            Self::Closed | Self::Broken(_) => None,
        }
    }
}

fn in_short(Failure { condition, text, .. }: &Failure) -> String {
    match text {
        Some(text) => format!("{condition}: {}", text.trim_end_matches('.')),
        None => condition.clone(),
    }
}

/// What the link tells the loop.
#[derive(Debug)]
pub enum Report {
    /// An attempt begins.
    Connecting,
    /// The handshake is done.
    Up(XmppStream),
    /// The server sent these; at least one.
    Stanzas(Vec<Element>),
    /// The server reads again after [`XmppStream::is_slow`].
    Drained,
    /// There is no stream; the next attempt comes after `delay`.
    Lost {
        /// What happened.
        error: LinkError,
        /// What the admin can do about it, in sentences; may be empty.
        hint: String,
        /// From now to the next attempt.
        delay: Duration,
    },
}

/// The sending end of a stream that stands, until [`Report::Lost`].
#[derive(Debug)]
pub struct XmppStream {
    outbox: Rc<Outbox>,
    /// Kept for its memory.
    text: String,
}

impl XmppStream {
    /// Sends a stanza. One that is too long costs whoever asked for it his answer, and the stream nothing.
    pub fn send(&mut self, stanza: &Element) {
        self.text.clear();
        stanza.write(&mut self.text, ns::COMPONENT);
        if self.text.len() > LONGEST {
            tracing::warn!(
                to = stanza.attr("to"),
                "A stanza of {} KiB is not sent, because it is longer than servers accept.",
                self.text.len() >> 10
            );
            self.text.clear();
            if let Some(instead) = refused_answer(stanza) {
                instead.write(&mut self.text, ns::COMPONENT);
            }
            // What made it so long may be the id that somebody gave his request.
            if self.text.len() > LONGEST {
                return;
            }
        }
        self.outbox.push(|buffer| buffer.extend_from_slice(self.text.as_bytes()));
    }

    /// Whether the server reads more slowly than it is written to.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.outbox.is_over()
    }

    /// Bytes that the server has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Whether so much waits for the server that it must not cause more.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.outbox.len() > STUCK
    }
}

/// The error that goes instead of an answer which cannot be sent; none if the stanza is no result.
fn refused_answer(stanza: &Element) -> Option<Element> {
    let is_result = stanza.is("iq", ns::CLIENT) && stanza.attr("type") == Some("result");
    let request = Element::new("iq", ns::CLIENT)
        .with("type", "get")
        .with_opt("id", stanza.attr("id"))
        .with_opt("from", stanza.attr("to"))
        .with_opt("to", stanza.attr("from"));
    refuse(&request, Condition::ResourceConstraint).filter(|_| is_result)
}

/// The link, seen from the loop.
#[derive(Debug)]
pub struct XmppLink {
    reports: mpsc::Receiver<Report>,
    drained: Rc<Notify>,
    task: JoinHandle<()>,
}

impl XmppLink {
    /// Begins to connect. To be called inside a [`tokio::task::LocalSet`].
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let (sender, reports) = mpsc::channel(QUEUE);
        let drained = Rc::new(Notify::new());
        let connector = Connector { settings, reports: sender, drained: Rc::clone(&drained) };
        Self { reports, drained, task: tokio::task::spawn_local(logging::inherited(connector.run())) }
    }

    /// The next report. While `paused`, nothing but [`Report::Drained`] comes, and the server is not read.
    pub async fn next(&mut self, paused: bool) -> Report {
        tokio::select! {
            Some(report) = self.reports.recv(), if !paused => report,
            () = self.drained.notified() => Report::Drained,
            else => std::future::pending().await,
        }
    }

    /// Writes out what is left, closes the stream and waits until that is done.
    pub async fn finish(self, stream: Option<XmppStream>) {
        match stream {
            Some(stream) => {
                stream.outbox.push(|buffer| buffer.extend_from_slice(CLOSE.as_bytes()));
                stream.outbox.close();
                // Nobody takes reports any more; the task must not wait for that.
                drop(self.reports);
                // It fails only if the task panicked, which was reported then.
                let _ = self.task.await;
            }
            None => self.task.abort(),
        }
    }
}

/// Waiting times between attempts: doubling, and spread so that a server that starts is not met by all at once.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);
    /// A stream that stood for so long was a success.
    const SUCCESS: Duration = Duration::from_secs(60);

    const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// The time to wait after a stream that stood for `up`, with `random` in 0..1.
    fn delay(&mut self, up: Duration, random: f64) -> Duration {
        if up >= Self::SUCCESS {
            self.next = Self::FIRST;
        }
        let delay = self.next;
        self.next = (delay * 2).min(Self::LONGEST);
        delay.mul_f64(0.75 + random / 2.0)
    }
}

/// The link, seen from its task.
struct Connector {
    settings: Settings,
    reports: mpsc::Sender<Report>,
    drained: Rc<Notify>,
}

impl Connector {
    async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            self.report(Report::Connecting).await;
            let up_since = Cell::new(None);
            // Ends without an error only if we ended it.
            let Err(error) = self.session(&up_since).await else { return };
            let up = up_since.get().map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let delay = backoff.delay(up, fastrand::f64());
            let hint = error.hint(&self.settings).unwrap_or_default();
            self.report(Report::Lost { error, hint, delay }).await;
            tokio::select! {
                () = sleep(delay) => {}
                // The end came meanwhile.
                () = self.reports.closed() => return,
            }
        }
    }

    /// One connection from beginning to end. `up_since` becomes the time at which the handshake was done.
    async fn session(&self, up_since: &Cell<Option<Instant>>) -> Result<(), LinkError> {
        let mut connection = self.connect().await?;
        let outbox = Rc::new(Outbox::new(BOUNDS, Rc::clone(&self.drained)));
        let (mut reader, mut writer) = connection.split();
        let result = tokio::select! {
            result = self.exchange(&outbox, up_since, &mut reader, &mut writer) => result,
            () = handshake_timeout(up_since) => Err(LinkError::Handshake),
            never = keep_alive(&outbox) => match never {},
        };
        outbox.close();
        let last_words = async {
            outbox.write_to(&mut writer).await?;
            writer.shutdown().await?;
            // A socket that is closed with unread data resets the connection, and what we said last may be lost by that.
            let mut ignored = [0; 4096];
            while reader.read(&mut ignored).await? > 0 {}
            io::Result::Ok(())
        };
        if !matches!(timeout(CLOSE_TIME, last_words).await, Ok(Ok(()))) {
            tracing::debug!("The XMPP server did not wait for the end of the stream.");
        }
        result
    }

    async fn connect(&self) -> Result<TcpStream, LinkError> {
        let host = (self.settings.server.as_str(), self.settings.port);
        let addresses = timeout(RESOLVE_TIME, lookup_host(host))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(LinkError::Resolve)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match timeout(CONNECT_TIME, TcpStream::connect(address)).await {
                Ok(Ok(connection)) => {
                    set_options(&connection, TCP_KEEPALIVE).map_err(LinkError::Connect)?;
                    return Ok(connection);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(LinkError::Connect(last))
    }

    /// Moves stanzas both ways. Ends well only if the outbox was closed.
    async fn exchange(
        &self,
        outbox: &Rc<Outbox>,
        up_since: &Cell<Option<Instant>>,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
    ) -> Result<(), LinkError> {
        let mut receive = std::pin::pin!(self.receive(outbox, up_since, reader));
        let broken = tokio::select! {
            biased;
            error = &mut receive => return Err(error),
            result = outbox.write_to(writer) => match result {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
        };
        // What the server said before it hung up is the better reason.
        match timeout(CLOSE_TIME, receive).await {
            Ok(error @ LinkError::Stream(_)) => Err(error),
            _ => Err(LinkError::Broken(broken)),
        }
    }

    /// Reads until the stream is over; why it is.
    async fn receive(
        &self,
        outbox: &Rc<Outbox>,
        up_since: &Cell<Option<Instant>>,
        reader: &mut ReadHalf<'_>,
    ) -> LinkError {
        let Settings { jid, secret, .. } = &self.settings;
        let mut component = Component::new(jid, secret.expose());
        let mut framer = Framer::new(Component::LIMITS);
        let mut chunk = vec![0; CHUNK];
        say(outbox, &component.start());
        loop {
            let length = match reader.read(&mut chunk).await {
                Ok(0) => return LinkError::Closed,
                Ok(length) => length,
                Err(error) => return LinkError::Broken(error),
            };
            framer.push(chunk.get(..length).unwrap_or_default());
            let mut stanzas = Vec::new();
            let over = loop {
                match self.next_step(&mut framer, &mut component, outbox) {
                    None => break None,
                    Some(Step::Send(text)) => say(outbox, &text),
                    Some(Step::Up) => {
                        up_since.set(Some(Instant::now()));
                        let stream = XmppStream { outbox: Rc::clone(outbox), text: String::new() };
                        self.report(Report::Up(stream)).await;
                    }
                    Some(Step::Stanza(stanza)) => stanzas.push(stanza),
                    Some(Step::BadStanza { head, cause }) => {
                        tracing::info!("A stanza was refused. {cause}.");
                        self.refuse(head.as_ref(), Condition::BadRequest, outbox);
                    }
                    Some(Step::TooLarge { head }) => {
                        tracing::info!(
                            "A stanza was refused: it exceeds {} bytes.",
                            Component::LIMITS.stanza
                        );
                        self.refuse(head.as_ref(), Condition::PolicyViolation, outbox);
                    }
                    Some(Step::Failed(failure)) => break Some(LinkError::Stream(failure)),
                    Some(Step::Closed) => {
                        // RFC 6120 §4.4: the other side closes its stream too.
                        say(outbox, CLOSE);
                        break Some(LinkError::Closed);
                    }
                }
            };
            if !stanzas.is_empty() {
                self.report(Report::Stanzas(stanzas)).await;
            }
            if let Some(error) = over {
                return error;
            }
        }
    }

    fn next_step(&self, framer: &mut Framer, component: &mut Component, outbox: &Outbox) -> Option<Step> {
        match framer.next() {
            Ok(piece) => piece.map(|piece| component.feed(piece)),
            Err(error) => {
                // RFC 6120 §4.9.1.1: the error is told, then the stream closed.
                let mut text = String::new();
                error.element().write(&mut text, ns::COMPONENT);
                say(outbox, &text);
                say(outbox, CLOSE);
                Some(Step::Failed(error.into()))
            }
        }
    }

    /// Answers a stanza of which only the start tag is known.
    fn refuse(&self, head: Option<&Element>, condition: Condition, outbox: &Outbox) {
        let to_us = |head: &&Element| {
            let to = head.attr("to").and_then(|to| Jid::new(to).ok());
            to.is_some_and(|to| to.domain().as_str() == self.settings.jid)
        };
        // A server ends the stream of a component that speaks in a name which is not its own.
        if let Some(reply) = head.filter(to_us).and_then(|head| refuse(head, condition)) {
            let mut text = String::new();
            reply.write(&mut text, ns::COMPONENT);
            say(outbox, &text);
        }
    }

    /// Waits until the loop has room. If it takes no reports any more, the end is near.
    async fn report(&self, report: Report) {
        let _ = self.reports.send(report).await;
    }
}

fn say(outbox: &Outbox, text: &str) {
    outbox.push(|buffer| buffer.extend_from_slice(text.as_bytes()));
}

async fn handshake_timeout(up_since: &Cell<Option<Instant>>) {
    sleep(HANDSHAKE_TIME).await;
    if up_since.get().is_some() {
        std::future::pending::<()>().await;
    }
}

async fn keep_alive(outbox: &Outbox) -> Infallible {
    loop {
        sleep(KEEPALIVE).await;
        say(outbox, " ");
    }
}

/// Makes the kernel notice a peer that is gone without a word, and send small stanzas at once. It asks for a sign of
/// life after so many seconds without any.
pub(crate) fn set_options(connection: &TcpStream, idle: u32) -> io::Result<()> {
    connection.set_nodelay(true)?;
    setsockopt(connection, sockopt::KeepAlive, &true)?;
    setsockopt(connection, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(connection, sockopt::TcpKeepInterval, &10)?;
    setsockopt(connection, sockopt::TcpKeepCount, &3)?;
    setsockopt(connection, sockopt::TcpUserTimeout, &USER_TIMEOUT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::task::LocalSet;

    use crate::testing::{Server, ServerStream, stanza};

    fn settings(server: &Server) -> Settings {
        server.settings("secret")
    }

    /// The stream of a link that has just been started towards `server`, and the server's end.
    async fn connected(link: &mut XmppLink, server: &Server) -> (XmppStream, ServerStream) {
        assert!(matches!(link.next(false).await, Report::Connecting));
        let theirs = server.accept_component().await;
        match link.next(false).await {
            Report::Up(stream) => (stream, theirs),
            other => panic!("not up: {other:?}"),
        }
    }

    async fn loss(link: &mut XmppLink) -> (LinkError, String, Duration) {
        loop {
            match link.next(false).await {
                Report::Lost { error, hint, delay } => return (error, hint, delay),
                Report::Connecting | Report::Drained => {}
                other => panic!("not lost: {other:?}"),
            }
        }
    }

    #[test]
    fn waiting_times_double_up_to_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.delay(Duration::ZERO, 0.5).as_secs_f64()).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(backoff.delay(Duration::from_secs(59), 0.0), Duration::from_secs(45));
        assert_eq!(backoff.delay(Duration::from_secs(59), 1.0), Duration::from_secs(75));
        assert_eq!(backoff.delay(Duration::from_secs(60), 0.5), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn stanzas_pass_both_ways() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (mut stream, mut theirs) = connected(&mut link, &server).await;
                theirs.send("<presence from='romeo@example.org' to='irc.example.org'/>").await;
                let Report::Stanzas(stanzas) = link.next(false).await else { panic!("no stanza") };
                assert_eq!(stanzas[0].attr("from"), Some("romeo@example.org"));
                stream.send(&stanza("<message xmlns='jabber:client' to='romeo@example.org'/>"));
                theirs.expect("<message to='romeo@example.org'/>").await;
            })
            .await;
    }

    #[tokio::test]
    async fn a_stanza_that_no_server_accepts_does_not_end_the_stream() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (mut stream, mut theirs) = connected(&mut link, &server).await;
                let long = "'".repeat(LONGEST / 6);
                let iq = format!("<iq xmlns='jabber:client' type='result' to='romeo@example.org' from='irc.example.org' id='1'><query xmlns='urn:x' node=\"{long}\"/></iq>");
                stream.send(&stanza(&iq));
                stream.send(&stanza(&iq.replace("iq", "message")));
                stream.send(&stanza("<message xmlns='jabber:client' to='romeo@example.org'/>"));
                theirs
                    .expect(
                        "<iq type='error' id='1' from='irc.example.org' to='romeo@example.org'>\
                         <error type='wait'><resource-constraint \
                         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\
                         <message to='romeo@example.org'/>",
                    )
                    .await;
            })
            .await;
    }

    #[tokio::test]
    async fn a_wrong_secret_is_final_and_the_hint_says_where_to_look() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(server.settings("wrong"));
                server.accept().await.refuse("not-authorized").await;
                let (error, hint, _) = loss(&mut link).await;
                assert!(error.is_final());
                assert_eq!(error.to_string(), "not-authorized");
                assert_eq!(
                    hint,
                    "The secret is not the one that the server has for the component irc.example.org: compare it \
                     with service.password in irc.cfg."
                );
            })
            .await;
    }

    #[tokio::test]
    async fn an_unknown_component_is_tried_again_and_the_hint_names_what_to_configure() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                server.accept().await.refuse("host-unknown").await;
                let (error, hint, _) = loss(&mut link).await;
                assert!(!error.is_final());
                assert!(hint.contains("Component \"irc.example.org\""), "{hint}");
            })
            .await;
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_named_as_it_is() {
        LocalSet::new()
            .run_until(async {
                let settings = settings(&Server::new().await);
                let mut link = XmppLink::start(settings);
                let (error, hint, _) = loss(&mut link).await;
                assert!(matches!(&error, LinkError::Connect(cause)
                    if cause.kind() == io::ErrorKind::ConnectionRefused));
                assert!(hint.contains("service.port"), "{hint}");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_left_after_half_a_minute() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let start = Instant::now();
                let mut link = XmppLink::start(settings(&server));
                let _silent = server.accept().await;
                let (error, _, _) = loss(&mut link).await;
                assert_eq!(error.to_string(), "no answer to the handshake within 30 s");
                assert!(start.elapsed() < Duration::from_secs(32), "{:?}", start.elapsed());
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_is_found_again_when_it_is_back() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                for wait in [1.0, 2.0, 4.0, 8.0] {
                    drop(server.accept().await);
                    let (_, _, delay) = loss(&mut link).await;
                    assert!((0.75 * wait..=1.25 * wait).contains(&delay.as_secs_f64()), "{delay:?}");
                }
                let (_stream, theirs) = connected(&mut link, &server).await;
                tokio::time::advance(Backoff::SUCCESS).await;
                drop(theirs);
                let (_, _, delay) = loss(&mut link).await;
                assert!(delay <= Duration::from_millis(1250), "{delay:?}");
            })
            .await;
    }

    #[tokio::test]
    async fn what_came_before_the_connection_broke_is_delivered_first() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (_stream, mut theirs) = connected(&mut link, &server).await;
                theirs.send("<presence from='romeo@example.org'/><presence from='jul").await;
                drop(theirs);
                let Report::Stanzas(stanzas) = link.next(false).await else { panic!("no stanza") };
                assert_eq!(stanzas.len(), 1);
                let (error, _, _) = loss(&mut link).await;
                assert!(matches!(error, LinkError::Closed), "{error:?}");
            })
            .await;
    }

    #[tokio::test]
    async fn a_stream_that_the_server_closes_is_closed_in_turn() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (_stream, mut theirs) = connected(&mut link, &server).await;
                theirs.send(CLOSE).await;
                theirs.expect(CLOSE).await;
                drop(theirs);
                assert!(matches!(loss(&mut link).await.0, LinkError::Closed));
            })
            .await;
    }

    #[tokio::test]
    async fn a_stanza_that_cannot_be_read_costs_its_sender_an_error_and_the_stream_nothing() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (_stream, mut theirs) = connected(&mut link, &server).await;
                theirs
                    .send(
                        "<message from='romeo@example.org' to='x@elsewhere.example'><x:y/></message>\
                         <message from='romeo@example.org' to='x@irc.example.org' id='1'><x:y/></message>\
                         <presence from='romeo@example.org'/>",
                    )
                    .await;
                let Report::Stanzas(stanzas) = link.next(false).await else { panic!("no stanza") };
                assert!(stanzas[0].is("presence", ns::CLIENT));
                theirs
                    .expect(
                        "<message type='error' id='1' from='x@irc.example.org' to='romeo@example.org'>\
                         <error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>\
                         </message>",
                    )
                    .await;
            })
            .await;
    }

    #[tokio::test]
    async fn a_stream_that_is_not_xml_is_told_so_and_left() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (_stream, mut theirs) = connected(&mut link, &server).await;
                theirs.send("<!-- no -->").await;
                theirs
                    .expect(
                        "<stream:error><restricted-xml xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                         </stream:error></stream:stream>",
                    )
                    .await;
                assert!(matches!(loss(&mut link).await.0, LinkError::Stream(_)));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_blank_keeps_an_idle_stream_alive() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (_stream, mut theirs) = connected(&mut link, &server).await;
                let start = Instant::now();
                theirs.expect(" ").await;
                assert_eq!(start.elapsed().as_secs(), KEEPALIVE.as_secs());
            })
            .await;
    }

    #[tokio::test]
    async fn a_slow_server_is_noticed_and_so_is_its_recovery() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (mut stream, mut theirs) = connected(&mut link, &server).await;
                let message = stanza("<message xmlns='jabber:client' to='romeo@example.org'/>")
                    .text("x".repeat(10_000));
                let mut sent = 0;
                while !stream.is_slow() {
                    stream.send(&message);
                    sent += 1;
                }
                assert!(!stream.is_stuck());
                while !stream.is_stuck() {
                    stream.send(&message);
                    sent += 1;
                }
                let read = async {
                    let mut text = String::new();
                    message.write(&mut text, ns::COMPONENT);
                    theirs.skip(sent * text.len()).await;
                };
                let (report, ()) = tokio::join!(link.next(true), read);
                assert!(matches!(report, Report::Drained), "{report:?}");
                assert!(!stream.is_slow());
            })
            .await;
    }

    #[tokio::test]
    async fn the_end_writes_out_everything_and_closes_the_stream() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (mut stream, mut theirs) = connected(&mut link, &server).await;
                stream.send(&stanza("<presence xmlns='jabber:client' type='unavailable'/>"));
                tokio::join!(link.finish(Some(stream)), async {
                    theirs.expect("<presence type='unavailable'/></stream:stream>").await;
                    theirs.expect_end().await;
                    drop(theirs);
                });
            })
            .await;
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_a_stream_that_was_just_lost() {
        LocalSet::new()
            .run_until(async {
                let server = Server::new().await;
                let mut link = XmppLink::start(settings(&server));
                let (stream, theirs) = connected(&mut link, &server).await;
                drop(theirs);
                // The loss waits to be heard of.
                while link.reports.is_empty() {
                    tokio::task::yield_now().await;
                }
                assert!(timeout(Duration::from_millis(500), link.finish(Some(stream))).await.is_ok());
            })
            .await;
    }

    #[test]
    fn an_address_is_written_as_people_write_it() {
        let mut settings = Settings {
            server: "xmpp.example.org".to_owned(),
            port: 5347,
            jid: String::new(),
            secret: Secret::default(),
            secret_source: String::new(),
        };
        assert_eq!(settings.address(), "xmpp.example.org:5347");
        settings.server = "::1".to_owned();
        assert_eq!(settings.address(), "[::1]:5347");
    }
}
