//! The transport daemon of Spectrum 2.
//!
//! [`gateway`] is the core: a state machine without I/O, event in, actions out. Everything else is the thin shell
//! around it that moves bytes: the XMPP link, the backend links, storage, systemd.

pub mod gateway;
pub mod storage;
