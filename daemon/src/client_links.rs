//! Connections of XMPP clients, in server mode.
//!
//! Each connection is served by a task of its own, so a slow or hostile client holds up nobody. Guarantees:
//!
//! * Who has not logged in is bounded: in number, all together and for one address; in time; in bytes. When the places
//!   for strangers are taken, the one who waits longest makes room, so that a flood locks nobody out.
//! * What clients send is delivered in order and waits in a queue of fixed length; while nobody takes from that queue,
//!   no client is read. A client that does not read is given up, with what waits for it.
//! * A client that is gone without a word is noticed within ten minutes, and at once when something is sent to it.
//! * An idle client costs no buffer: one serves all for reading, and what is empty is given back.

mod doorman;
mod listener;
mod stream;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use spectrum2_config::Config;
use spectrum2_xmpp::framer::{Limits, Piece};
use spectrum2_xmpp::{Element, ns, stream as xmpp_stream};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::certificate::{self, Certificate};
use crate::client::{Action, Client, Cover};
use crate::outbox::{Bounds, Outbox};
use doorman::{Doorman, Permit};
pub use listener::{Door, OpenError, Sockets};

/// Bytes waiting for a client above which it is given up: a roster of 5,000 contacts with their presences fits.
const LIMIT: usize = 4 << 20;
/// The same for a client that has not logged in.
const STRANGERS_LIMIT: usize = 64 << 10;
/// When a client counts as gone.
const BOUNDS: Bounds = Bounds { high: LIMIT, low: LIMIT, stall: Duration::from_secs(60), keep: 0 };
/// Chunks that wait for the loop, all clients together.
const QUEUE: usize = 8;
/// Read at once from a client.
const CHUNK: usize = 16 << 10;

/// What clients meet.
pub struct Settings {
    /// `service.jid`.
    pub jid: String,
    /// `service.cert`; without it nothing is encrypted.
    pub certificate: Option<Certificate>,
    /// Where to listen.
    pub sockets: Sockets,
    /// `service.max_stanza_size`.
    pub largest_stanza: usize,
}

impl Settings {
    /// As the transport file says.
    ///
    /// # Errors
    /// The certificate cannot be used.
    pub fn from_config(config: &Config, sockets: Sockets) -> Result<Self, certificate::Error> {
        let service = &config.service;
        Ok(Self {
            jid: service.jid.clone(),
            certificate: Certificate::load(service)?,
            sockets,
            largest_stanza: usize::try_from(service.max_stanza_size).unwrap_or(usize::MAX),
        })
    }
}

/// Something that happened on a connection.
#[derive(Debug)]
pub struct Arrival {
    /// Whose it is.
    pub client: Client,
    /// Which of the client's streams it belongs to.
    pub stream: u32,
    /// What happened.
    pub news: News,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum News {
    /// It was accepted, and if it begins with TLS, that stands.
    Opened(IpAddr, Cover),
    /// The client sent these; at least one.
    Pieces(Vec<Piece>),
    /// The handshake that was asked for is done.
    Encrypted,
    /// It is gone, for this reason.
    Closed(String),
}

/// The receiving end of all connections. Whoever takes from it asks [`ClientLinks::is_current`] before he believes it:
/// what came from a stream that is over may still wait here.
#[derive(Debug)]
pub struct ClientInput(mpsc::Receiver<Arrival>);

impl ClientInput {
    /// Nobody will ever come.
    #[must_use]
    pub fn none() -> Self {
        Self(mpsc::channel(1).1)
    }

    /// The next thing that happened. While `paused`, nothing comes, and soon nobody is read.
    pub async fn next(&mut self, paused: bool) -> Arrival {
        let arrival = if paused { None } else { self.0.recv().await };
        match arrival {
            Some(arrival) => arrival,
            None => std::future::pending().await,
        }
    }
}

/// The sending end of all connections.
pub struct ClientLinks {
    shared: Rc<Shared>,
    listeners: Vec<AbortHandle>,
    address: String,
}

/// What the tasks have in common.
struct Shared {
    jid: String,
    certificate: RefCell<Option<Certificate>>,
    known: Limits,
    stranger: Limits,
    links: RefCell<HashMap<Client, Rc<Link>>>,
    last: Cell<u64>,
    doorman: Rc<Doorman>,
    arrivals: mpsc::Sender<Arrival>,
    /// One read buffer serves all connections: it is used within one poll only.
    scratch: RefCell<Box<[u8]>>,
    /// One text buffer serves all that is sent.
    text: RefCell<String>,
    /// Connections whose tasks have not ended, and who waits for the last.
    alive: Cell<usize>,
    all_gone: Notify,
}

/// One connection, as loop and task both see it.
struct Link {
    client: Client,
    /// Counts the client's streams: one more after each restart.
    stream: Cell<u32>,
    mode: Cell<Mode>,
    /// Our header of the stream is sent.
    is_open: Cell<bool>,
    /// Something was sent since the last look.
    has_spoken: Cell<bool>,
    /// Where bytes go. STARTTLS closes one and begins the next.
    outbox: RefCell<Rc<Outbox>>,
    /// The place among strangers, until the client is known.
    permit: RefCell<Option<Permit>>,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It goes on.
    Open,
    /// After what is in the outbox comes the end, as the core wants it.
    Closing,
    /// After what is in the outbox comes the end, for this reason; the core is to hear of it.
    Shed(&'static str),
}

impl ClientLinks {
    /// Begins to listen. To be called inside a [`tokio::task::LocalSet`].
    ///
    /// # Errors
    /// The event loop cannot take the sockets.
    pub fn start(settings: Settings) -> std::io::Result<(Self, ClientInput)> {
        let (arrivals, input) = mpsc::channel(QUEUE);
        let stanza = settings.largest_stanza;
        let shared = Rc::new(Shared {
            jid: settings.jid,
            certificate: RefCell::new(settings.certificate),
            known: Limits { stanza, ..Limits::CLIENT },
            stranger: Limits::STRANGER,
            links: RefCell::default(),
            last: Cell::new(0),
            doorman: Rc::default(),
            arrivals,
            scratch: RefCell::new(vec![0; CHUNK].into_boxed_slice()),
            text: RefCell::default(),
            alive: Cell::new(0),
            all_gone: Notify::new(),
        });
        let address = settings.sockets.to_string();
        let mut listeners = listener::start(settings.sockets, &shared)?;
        listeners.push(tokio::task::spawn_local(look_at_certificate(Rc::clone(&shared))).abort_handle());
        Ok((Self { shared, listeners, address }, ClientInput(input)))
    }

    /// Where clients connect, as people write it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.links.borrow().len()
    }

    /// Whether this is still of interest: neither the stream nor the connection has ended meanwhile.
    #[must_use]
    pub fn is_current(&self, client: Client, stream: u32) -> bool {
        self.shared.links.borrow().get(&client).is_some_and(|link| link.stream.get() == stream)
    }

    /// Whether the client is neither closed nor known to be gone.
    #[must_use]
    pub fn is_open(&self, client: Client) -> bool {
        self.shared.links.borrow().contains_key(&client)
    }

    /// Forgets a client that is gone; whether it was open.
    pub fn forget(&mut self, client: Client) -> bool {
        self.shared.links.borrow_mut().remove(&client).is_some()
    }

    /// Does what the core wants. A client that is not there any more needs nothing.
    pub fn act(&mut self, client: Client, action: Action) {
        let Some(link) = self.shared.links.borrow().get(&client).cloned() else { return };
        match action {
            Action::Header(header) => self.shared.open(&link, &header),
            Action::Send(element) => self.shared.send(&link, &element),
            Action::StartTls => {
                link.begin_next_stream();
                let rest = link.outbox.replace(Rc::new(Outbox::new(BOUNDS, Rc::default())));
                rest.close();
            }
            Action::Restart => {
                link.begin_next_stream();
                // From here on it is no stranger.
                link.permit.take();
            }
            Action::Close(error) => {
                self.shared.end(&link, error.as_ref(), Mode::Closing);
                self.shared.links.borrow_mut().remove(&client);
            }
        }
    }

    /// Takes another certificate for those who connect from now on.
    pub fn replace_certificate(&self, certificate: Option<Certificate>) {
        self.shared.certificate.replace(certificate);
        self.shared.complain_of_certificate();
    }

    /// Lets nobody in any more.
    pub fn stop_listening(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
    }

    /// Tells those who are still there that this is the end, and waits until they have heard; each has
    /// [`stream::CLOSE_TIME`] for that.
    pub async fn finish(mut self, input: ClientInput) {
        self.stop_listening();
        // Nobody takes news any more, so none may wait for room.
        drop(input);
        // RFC 6120 §4.9.3.21.
        let shutdown = stream_error("system-shutdown");
        for (_, link) in self.shared.links.take() {
            self.shared.end(&link, Some(&shutdown), Mode::Closing);
        }
        while self.shared.alive.get() > 0 {
            self.shared.all_gone.notified().await;
        }
    }
}

impl Shared {
    /// Takes a connection that was just accepted; must not wait.
    fn admit(self: &Rc<Self>, socket: TcpStream, address: IpAddr, door: Door) {
        let client = Client(self.last.get() + 1);
        self.last.set(client.0);
        let permit = match self.doorman.admit(client, address) {
            Ok(permit) => permit,
            Err(refusal) => {
                if door == Door::InClear {
                    refuse(&socket, &self.jid);
                }
                tracing::debug!(%address, "A client was turned away: {refusal}.");
                return;
            }
        };
        if let Some(victim) = self.doorman.evict() {
            let victim = self.links.borrow().get(&victim).cloned();
            if let Some(link) = victim {
                self.shed(&link, "resource-constraint", "somebody else needed its place among strangers");
            }
        }
        let link = Rc::new(Link {
            client,
            stream: Cell::new(0),
            mode: Cell::new(Mode::Open),
            is_open: Cell::new(false),
            has_spoken: Cell::new(false),
            outbox: RefCell::new(Rc::new(Outbox::new(BOUNDS, Rc::default()))),
            permit: RefCell::new(Some(permit)),
        });
        self.links.borrow_mut().insert(client, Rc::clone(&link));
        self.alive.set(self.alive.get() + 1);
        let connection = stream::Connection { link, shared: Rc::clone(self), address };
        tokio::task::spawn_local(connection.run(socket, door));
    }

    /// Tells the admin why clients will refuse our certificate.
    fn complain_of_certificate(&self) {
        if let Some(certificate) = &*self.certificate.borrow() {
            for concern in certificate.facts.concerns(&self.jid, certificate::now()) {
                tracing::warn!("{concern}");
            }
        }
    }

    /// Sends our header of a stream.
    fn open(&self, link: &Link, header: &Element) {
        link.is_open.set(true);
        self.write(link, |text| write_header(header, text));
    }

    /// Sends an element.
    fn send(&self, link: &Link, element: &Element) {
        self.write(link, |text| element.write(text, ns::CLIENT));
        let limit = if link.is_known() { LIMIT } else { STRANGERS_LIMIT };
        if link.outbox.borrow().len() > limit {
            self.shed(link, "policy-violation", "it does not read what is sent to it");
        }
    }

    fn write(&self, link: &Link, write: impl FnOnce(&mut String)) {
        let mut text = self.text.borrow_mut();
        text.clear();
        write(&mut text);
        link.has_spoken.set(true);
        link.outbox.borrow().push(|buffer| buffer.extend_from_slice(text.as_bytes()));
        // One large stanza must not cost its size for ever.
        text.shrink_to(CHUNK);
    }

    /// Ends the stream, after an error if there is one, and then the connection.
    fn end(&self, link: &Link, error: Option<&Element>, mode: Mode) {
        if matches!(link.mode.get(), Mode::Closing | Mode::Shed(_)) {
            return;
        }
        // RFC 6120 §4.9.1.2: also an error comes in a stream.
        if !link.is_open.get() {
            let id = format!("{:016x}", fastrand::u64(..));
            self.open(link, &xmpp_stream::header(&self.jid, &id));
        }
        self.write(link, |text| {
            if let Some(error) = error {
                error.write(text, ns::CLIENT);
            }
            text.push_str("</stream:stream>");
        });
        link.mode.set(mode);
        link.outbox.borrow().close();
    }

    /// Ends a connection that has no right to go on.
    fn shed(&self, link: &Link, condition: &'static str, reason: &'static str) {
        self.end(link, Some(&stream_error(condition)), Mode::Shed(reason));
    }
}

impl Link {
    fn is_known(&self) -> bool {
        self.permit.borrow().is_none()
    }

    /// What still comes of the former stream is of no interest (RFC 6120 §4.3.3).
    fn begin_next_stream(&self) {
        self.stream.set(self.stream.get() + 1);
        self.is_open.set(false);
    }
}

/// What is good today may be over in a month; nobody restarts a transport that works.
async fn look_at_certificate(shared: Rc<Shared>) {
    loop {
        shared.complain_of_certificate();
        sleep(Duration::from_secs(24 * 60 * 60)).await;
    }
}

/// Writes our header: the element's attributes, and what every header has (RFC 6120 §4.7, §4.8).
fn write_header(header: &Element, text: &mut String) {
    let mut header = header.clone();
    header.take_nodes();
    if header.attr("version").is_none() {
        header.set_attr("version", "1.0");
    }
    text.push_str("<?xml version='1.0'?>");
    let begin = text.len();
    header.write(text, ns::CLIENT);
    // The writer closes what is empty; a stream stays open. Its prefix is declared here and nowhere else.
    let attributes = text.split_off(begin);
    let attributes = attributes.trim_start_matches("<stream:stream").trim_end_matches("/>");
    text.push_str(&format!(
        "<stream:stream xmlns='{}' xmlns:stream='{}'{attributes}>",
        ns::CLIENT,
        ns::STREAM
    ));
}

fn stream_error(condition: &'static str) -> Element {
    Element::new("error", ns::STREAM).child(Element::new(condition, ns::STREAMS))
}

/// Tells somebody who is not let in why, if that takes no waiting.
fn refuse(socket: &TcpStream, jid: &str) {
    let mut text = String::new();
    write_header(&xmpp_stream::header(jid, "0"), &mut text);
    // RFC 6120 §4.9.3.17.
    stream_error("resource-constraint").write(&mut text, ns::CLIENT);
    text.push_str("</stream:stream>");
    // Who does not get it sees the end of the connection.
    let _ = socket.try_write(text.as_bytes());
}

#[cfg(test)]
mod tests;
