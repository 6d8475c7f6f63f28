//! The transport daemon of Spectrum 2.
//!
//! [`gateway`] is the core: a state machine without I/O, event in, actions out. Everything else is the thin shell
//! around it that moves bytes: the XMPP link, the backend links, storage, systemd.

pub mod backend_config;
pub mod backend_link;
pub mod bus;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod client_links;
pub mod exit;
pub mod gateway;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod outbox;
pub mod passed;
pub mod pidfile;
pub mod privileges;
pub mod run;
pub mod server;
pub mod standalone;
pub mod status;
pub mod storage;
pub mod supervisor;
pub mod systemd;
pub mod unserved;
pub mod xmpp_link;

#[cfg(test)]
mod testing;
