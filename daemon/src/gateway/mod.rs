//! The core: XMPP on one side, backends on the other, no I/O.

mod event;

pub use event::{Action, Event, Link, Time, Token};
