//! One connection of a client, from its acceptance to its end, seen from its task.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use spectrum2_xmpp::framer::{Framer, Limits, Piece, StreamError};
use spectrum2_xmpp::ns;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::{Arrival, CHUNK, Door, Link, Mode, News, Shared};
use crate::client::Cover;
use crate::outbox::Outbox;
use crate::xmpp_link::set_options;

/// From a connection to STARTTLS, and then for the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// From there to the login. The legacy network's own time is in it.
const LOGIN_TIME: Duration = Duration::from_secs(120);
/// What a stranger may send all in all; a login takes less than a thousand bytes.
const STRANGERS_BYTES: usize = 64 << 10;
/// Read at once from a stranger: what comes of it in memory can be many times as large.
const STRANGERS_CHUNK: usize = 4 << 10;
/// How long the last words may take.
pub(super) const CLOSE_TIME: Duration = Duration::from_millis(500);
/// Between two blanks on an idle stream (RFC 6120 §4.6.1): often enough for address translators on the way.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// Idle time after which the kernel asks whether the client is there, in seconds. Phones sleep better undisturbed.
const TCP_KEEPALIVE: u32 = 300;

/// One connection.
pub(super) struct Connection {
    pub link: Rc<Link>,
    pub shared: Rc<Shared>,
    pub address: IpAddr,
}

/// How a part of a connection ends in good order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// TLS is to begin.
    StartTls,
    /// The core has closed it, and all is written.
    Closed,
}

impl Connection {
    pub async fn run(self, socket: TcpStream, door: Door) {
        let client = self.link.client;
        tracing::debug!(client = client.0, address = %self.address, "A client connects.");
        if let Err(error) = set_options(&socket, TCP_KEEPALIVE) {
            tracing::debug!(client = client.0, "The connection cannot be watched over: {error}.");
        }
        match door {
            Door::InClear => self.begin_in_clear(socket).await,
            Door::Direct => self.begin_with_tls(socket).await,
        }
    }

    async fn begin_in_clear(&self, mut socket: TcpStream) {
        let has_certificate = self.shared.certificate.borrow().is_some();
        let cover = if has_certificate { Cover::StartTls } else { Cover::Plain };
        self.report(News::Opened(self.address, cover)).await;
        // What is over takes no memory any more: that is what the boxes are for.
        let mut end = Box::pin(self.exchange(&mut socket, cover)).await;
        if let Ok(End::StartTls) = end {
            end = match Box::pin(self.handshake(Door::InClear, socket)).await {
                Ok(mut tls) => {
                    self.report(News::Encrypted).await;
                    self.exchange(&mut *tls, Cover::Encrypted).await
                }
                Err(reason) => Err(reason),
            };
        }
        if let Err(reason) = end {
            self.report(News::Closed(reason)).await;
        }
    }

    async fn begin_with_tls(&self, socket: TcpStream) {
        match Box::pin(self.handshake(Door::Direct, socket)).await {
            Ok(mut tls) => {
                self.report(News::Opened(self.address, Cover::Encrypted)).await;
                if let Err(reason) = self.exchange(&mut *tls, Cover::Encrypted).await {
                    self.report(News::Closed(reason)).await;
                }
            }
            // The core has not heard of it.
            Err(reason) => {
                tracing::debug!(client = self.link.client.0, "A client is gone: {reason}.");
                self.shared.links.borrow_mut().remove(&self.link.client);
            }
        }
    }

    /// Does our part of the TLS handshake; boxed, because it is large and moves.
    async fn handshake(&self, door: Door, socket: TcpStream) -> Result<Box<TlsStream<TcpStream>>, String> {
        let certificate = self.shared.certificate.borrow().clone();
        let acceptor = match (certificate, door) {
            (Some(certificate), Door::InClear) => certificate.starttls,
            (Some(certificate), Door::Direct) => certificate.direct,
            (None, _) => return Err("there is no certificate any more".to_owned()),
        };
        let outbox = self.outbox();
        let tls = tokio::select! {
            biased;
            () = outbox.closed() => return Err(self.reason()),
            tls = timeout(HANDSHAKE_TIME, acceptor.accept(socket)) => tls,
        };
        match tls {
            Ok(Ok(tls)) => {
                if let Some(permit) = &*self.link.permit.borrow() {
                    permit.promote();
                }
                Ok(Box::new(tls))
            }
            Ok(Err(error)) => Err(format!("the TLS handshake failed: {error}")),
            Err(_) => Err(format!("no TLS handshake within {} s", HANDSHAKE_TIME.as_secs())),
        }
    }

    /// Moves bytes both ways until this part of the connection is over; or says why it ended by itself.
    async fn exchange<S>(&self, peer: &mut S, cover: Cover) -> Result<End, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let outbox = self.outbox();
        let peer = RefCell::new(peer);
        let lost = {
            let mut receive = std::pin::pin!(self.receive(&peer));
            let mut writer = Half(&peer);
            tokio::select! {
                biased;
                () = outbox.closed() => None,
                reason = &mut receive => Some(reason),
                result = outbox.write_to(&mut writer) => match result {
                    Ok(()) => None,
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => Some(error.to_string()),
                    // It is gone, and what it said before it went is still to be read.
                    Err(_) => Some(timeout(CLOSE_TIME, &mut receive).await.unwrap_or_else(|_| "it went away".to_owned())),
                },
                never = self.watch(&outbox, cover) => match never {},
            }
        };
        if let Some(reason) = lost {
            return Err(reason);
        }
        if !Rc::ptr_eq(&outbox, &self.link.outbox.borrow()) {
            // RFC 6120 §5.4.3.3: what follows our answer is TLS; nothing of the client's may be read before.
            return match timeout(HANDSHAKE_TIME, outbox.write_to(&mut Half(&peer))).await {
                Ok(Ok(())) => Ok(End::StartTls),
                _ => Err("it did not wait for TLS".to_owned()),
            };
        }
        if timeout(CLOSE_TIME, self.say_good_bye(&outbox, &peer)).await.is_err() {
            tracing::debug!(
                client = self.link.client.0,
                "The client did not wait for the end of the stream."
            );
        }
        match self.link.mode.get() {
            Mode::Shed(reason) => Err(reason.to_owned()),
            Mode::Open | Mode::Closing => Ok(End::Closed),
        }
    }

    /// Writes the rest and ends the connection, while what the client still says is thrown away: one that waits until we
    /// read could never read itself, and a socket that is closed with unread data takes our last words with it.
    async fn say_good_bye<S>(&self, outbox: &Outbox, peer: &RefCell<&mut S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let discard = async { while self.read(peer, CHUNK, |_| ()).await.is_ok_and(|length| length > 0) {} };
        let last_words = async {
            if outbox.write_to(&mut Half(peer)).await.is_ok() && Half(peer).shutdown().await.is_ok() {
                // Until the client ends its side as well.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = last_words => {}
            () = discard => {}
        }
    }

    /// Reads until the client is gone; the reason.
    async fn receive<S>(&self, peer: &RefCell<&mut S>) -> String
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = self.link.stream.get();
        let mut framer = Framer::new(self.limits());
        let mut strangers_bytes = 0;
        loop {
            let chunk = if self.link.is_known() { CHUNK } else { STRANGERS_CHUNK };
            let read = self.read(peer, chunk, |bytes| {
                if stream != self.link.stream.get() {
                    stream = self.link.stream.get();
                    framer = Framer::new(self.limits());
                }
                framer.push(bytes);
            });
            match read.await {
                Ok(0) => return "it closed the connection".to_owned(),
                Ok(length) => strangers_bytes += length,
                Err(error) => return error.to_string(),
            }
            if !self.link.is_known() && strangers_bytes > STRANGERS_BYTES {
                return self.shed("policy-violation", "it sent too much before it logged in").await;
            }
            let mut pieces = Vec::new();
            let broken = loop {
                match framer.next() {
                    // RFC 6120 §4.8.2: what a server's clients speak.
                    Ok(Some(Piece::Open(_))) if framer.content_ns() != ns::CLIENT => {
                        break Some(StreamError::InvalidNamespace);
                    }
                    Ok(Some(piece)) => pieces.push(piece),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            framer.release();
            if !pieces.is_empty() {
                self.report_of(stream, News::Pieces(pieces)).await;
            }
            if let Some(error) = broken {
                return self.shed(error.condition(), "it sent what is no XMPP").await;
            }
        }
    }

    /// What the client may send now.
    fn limits(&self) -> Limits {
        if self.link.is_known() { self.shared.known } else { self.shared.stranger }
    }

    /// Reads once; 0 at the end of the stream.
    async fn read<S>(
        &self,
        peer: &RefCell<&mut S>,
        chunk: usize,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<usize>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        poll_fn(|context| {
            let mut scratch = self.shared.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(scratch.get_mut(..chunk).unwrap_or_default());
            ready!(Pin::new(&mut **peer.borrow_mut()).poll_read(context, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Ends the connection of one who takes too long, and keeps that of the others alive.
    async fn watch(&self, outbox: &Outbox, cover: Cover) -> Infallible {
        if !self.link.is_known() {
            let patience = if cover == Cover::StartTls { HANDSHAKE_TIME } else { LOGIN_TIME };
            sleep(patience).await;
            if !self.link.is_known() {
                self.shed("connection-timeout", "it took too long to log in").await;
            }
        }
        loop {
            sleep(KEEPALIVE).await;
            if !self.link.has_spoken.take() {
                outbox.push(|buffer| buffer.push(b' '));
            }
        }
    }

    /// Begins to end the connection; whoever awaits that is done away with in the course of it.
    async fn shed(&self, condition: &'static str, reason: &'static str) -> String {
        self.shared.shed(&self.link, condition, reason);
        std::future::pending().await
    }

    fn outbox(&self) -> Rc<Outbox> {
        Rc::clone(&self.link.outbox.borrow())
    }

    /// Why the loop has ended the connection.
    fn reason(&self) -> String {
        match self.link.mode.get() {
            Mode::Shed(reason) => reason.to_owned(),
            Mode::Open | Mode::Closing => "the transport ends".to_owned(),
        }
    }

    /// Waits until the loop has room, if it still wants to know.
    async fn report(&self, news: News) {
        self.report_of(self.link.stream.get(), news).await;
    }

    async fn report_of(&self, stream: u32, news: News) {
        // It fails only if the loop is gone.
        let _ = self.shared.arrivals.send(Arrival { client: self.link.client, stream, news }).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let alive = self.shared.alive.get() - 1;
        self.shared.alive.set(alive);
        if alive == 0 {
            self.shared.all_gone.notify_one();
        }
    }
}

/// One direction of a connection. Both are used in turn by one task, so each borrows it for one poll only.
struct Half<'a, 'b, S>(&'a RefCell<&'b mut S>);

impl<S: AsyncWrite + Unpin> AsyncWrite for Half<'_, '_, S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_shutdown(context)
    }
}
