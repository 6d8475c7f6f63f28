//! What goes into the core and what comes out of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::Frame;
use spectrum2_config::Config;
use spectrum2_xmpp::Element;

use super::admin::{self, Memory, Notice, Ticket};
use crate::client::{self, Client};
use crate::storage;

/// A point in time: milliseconds of a clock that never goes back (`CLOCK_BOOTTIME`, so that it outlives a restart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// This point in time, `milliseconds` later.
    #[must_use]
    pub const fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this point in time, zero if it lies later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Names one connection to a backend process. The core chooses it; numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link(pub u64);

/// Pairs a storage request with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u64);

/// Something that happened outside.
#[derive(Debug)]
pub enum Event {
    /// The component handshake is done: stanzas can be sent.
    XmppUp,
    /// The XMPP stream is lost. The shell reconnects by itself; stanzas must not be sent until the next [`Event::XmppUp`].
    XmppDown,
    /// A stanza came from the XMPP server.
    Stanza(Element),
    /// Something happened to a client's connection (server mode).
    Client(Client, client::Event),
    /// The connection asked for by [`Action::OpenBackend`] stands.
    BackendUp(Link),
    /// A frame came from a backend.
    Frame(Link, Frame),
    /// The backend does not read as fast as it is written to: messages for it are to be refused until
    /// [`Event::BackendReady`]. What is sent all the same still arrives, unless the backend is given up as a whole.
    BackendBusy(Link),
    /// The backend has caught up after [`Event::BackendBusy`].
    BackendReady(Link),
    /// The connection could not be made, or is gone; `reason` is for the log. No more events for this link follow.
    BackendDown(Link, String),
    /// Storage answers the request with this token. Requests are carried out in the order in which they were made.
    Stored(Token, Result<storage::Answer, storage::Error>),
    /// An admin wants something; answered by [`Action::Admin`] with the same ticket.
    Admin(Ticket, admin::Request),
    /// The transport file was read again after [`Action::Reload`], or is broken; the text says how.
    Reload(Result<Arc<Config>, String>),
    /// The memory that [`Action::Measure`] asked for.
    Measured(Memory),
    /// The time of day, in milliseconds since 1970: it is another one than was known, because somebody set the clock.
    Clock(u64),
    /// The time that [`super::Gateway::deadline`] named has come.
    Tick,
    /// The daemon is asked to end. The core says good-bye and gives [`Action::Stopped`].
    Stop,
}

/// Something that the shell must do. Actions are carried out in order.
#[derive(Debug)]
pub enum Action {
    /// Send this stanza to the XMPP server.
    Stanza(Element),
    /// Do this with a client's connection (server mode).
    Client(Client, client::Action),
    /// Connect to the launcher; answered by [`Event::BackendUp`] or [`Event::BackendDown`].
    OpenBackend(Link),
    /// Send this frame to a backend.
    Frame(Link, Frame),
    /// Close the connection once all frames are written. No [`Event::BackendDown`] follows.
    CloseBackend(Link),
    /// Ask storage; answered by [`Event::Stored`] with the same token.
    Store(Token, storage::Request),
    /// The answer to [`Event::Admin`].
    Admin(Ticket, admin::Outcome),
    /// Something that those who watch may want to know.
    Notice(Notice),
    /// Read the transport file again; answered by [`Event::Reload`].
    Reload,
    /// Measure the memory of the daemon; answered by [`Event::Measured`].
    Measure,
    /// The configuration cannot work (a protocol plugin that is not there): end with status 78 and this text.
    Misconfigured(String),
    /// Everything is said: write it out and end.
    Stopped,
}
