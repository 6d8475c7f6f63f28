//! Clients' connections in server mode (`service.server_mode=1`): what the shell and the core say to each other.
//!
//! The shell owns sockets, TLS, framing, and the bounds on bytes and time before anybody has logged in. The core owns
//! what is said: features, SASL, binding, stanzas. The shell gives one [`Event::Opened`] for each connection, and
//! nothing for it after [`Event::Closed`] or after the core's own [`Action::Close`]. A stream header whose default
//! namespace is not that of clients ([`Framer::content_ns`](spectrum2_xmpp::framer::Framer::content_ns)) never reaches the
//! core: the shell ends such a stream with `invalid-namespace`.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spectrum2_xmpp::Element;
use spectrum2_xmpp::framer::Piece;

/// How long the network may take to let a user in. The shell's own limit on strangers must be longer.
pub const LOGIN_TIME: Duration = Duration::from_secs(60);

/// Names one connection of a client. The shell chooses it; numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Client(pub u64);

/// How far a connection can be trusted with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cover {
    /// TLS stands, from the first byte (XEP-0368) or since STARTTLS.
    Encrypted,
    /// Plain text, and STARTTLS must come first (RFC 6120 §5.3.1).
    StartTls,
    /// Plain text, and the admin wants it so: no certificate and only the loopback, or `service.allow_plain_text`.
    Plain,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was accepted.
    Opened {
        /// Where it comes from, for the limits on log-in attempts.
        address: IpAddr,
        /// What it is to begin with.
        cover: Cover,
    },
    /// One part of its stream, as the framer gives it; [`Piece::Open`] comes again after each restart of the stream.
    Piece(Piece),
    /// The TLS handshake that [`Action::StartTls`] began is done.
    Encrypted,
    /// It is gone; the reason is for the log. A stream that was closed properly says so before, as [`Piece::Close`].
    Closed(String),
}

/// What is to be done with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send our stream header, with this element as its only tag (attributes `from`, `id`, `xml:lang` are its own).
    Header(Element),
    /// Send this element. A client that does not read is closed when its queue is full.
    Send(Element),
    /// Write out what is queued, then do the TLS handshake; what the client sent in clear after its request is dropped.
    StartTls,
    /// What comes next begins a new stream (RFC 6120 §6.4.6). The client is known now: it gets the larger limits, and is
    /// no longer counted among strangers.
    Restart,
    /// Write out what is queued, end the stream, after this stream error if there is one, and close.
    Close(Option<Element>),
}
