//! One client of an account, from binding to its end: what it showed, and the way to it.
//!
//! A session may outlive its connection for a while (XEP-0198): what is sent meanwhile waits in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use spectrum2_xmpp::Element;

use super::client_info::Asked;
use super::context::Context;
use super::csi::Held;
use super::stream_management::Management;
use crate::client::Client;

/// A stanza on its way to a client.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub stanza: Element,
    /// The same for all copies of one message; 0 for what is not a message from somebody else.
    pub serial: u64,
    /// Another session has it for sure.
    pub taken: bool,
    /// It is a carbon copy of the message that another session got.
    pub copy: bool,
}

impl From<Element> for Parcel {
    fn from(stanza: Element) -> Self {
        Self { stanza, serial: 0, taken: false, copy: false }
    }
}

/// A bound resource.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    /// Names it within the server.
    pub number: u64,
    /// The account's local part, for the way back.
    pub account: String,
    /// Its connection; `None` while it is waited for.
    pub client: Option<Client>,
    pub resource: String,
    /// The available presence that it broadcast last, without `to`.
    pub presence: Option<Element>,
    pub priority: i8,
    /// Whom it sent available presence directly (RFC 6121 §4.6).
    pub directed: BTreeSet<String>,
    /// It wants copies of messages (XEP-0280).
    pub carbons: bool,
    /// It asked for the roster, and is told of changes (RFC 6121 §2.1.6).
    pub knows_roster: bool,
    /// It asked for the block list, and is told of changes (XEP-0191 §3.3).
    pub knows_blocked: bool,
    /// It asked for the bookmarks, and is told of changes (XEP-0402).
    pub knows_bookmarks: bool,
    /// It says among its capabilities that it wants to be told of them (XEP-0163 §4.3).
    pub wants_bookmarks: bool,
    /// It was asked what it can do.
    pub asked: Option<Box<Asked>>,
    /// Since it enabled stream management.
    pub management: Option<Box<Management>>,
    /// While nobody looks at it (XEP-0352).
    pub inactive: Option<Box<Held>>,
}

impl Session {
    pub fn new(number: u64, account: String, client: Client, resource: String) -> Self {
        Self {
            number,
            account,
            client: Some(client),
            resource,
            presence: None,
            priority: 0,
            directed: BTreeSet::new(),
            carbons: false,
            knows_roster: false,
            knows_blocked: false,
            knows_bookmarks: false,
            wants_bookmarks: false,
            asked: None,
            management: None,
            inactive: None,
        }
    }

    /// Whether it gets messages that are for all of the account (RFC 6121 §8.5.2.1.1).
    pub fn takes_messages(&self) -> bool {
        self.presence.is_some() && self.priority >= 0
    }

    /// Sends a stanza, or holds it back for a better time.
    pub fn send(&mut self, cx: &mut Context, parcel: impl Into<Parcel>) {
        let parcel = parcel.into();
        let Some(held) = &mut self.inactive else { return self.write(cx, parcel) };
        match held.hold(parcel) {
            Ok(()) => {}
            Err(parcel) => {
                self.show_held(cx);
                self.write(cx, parcel);
            }
        }
    }

    /// Sends what was held back.
    pub fn show_held(&mut self, cx: &mut Context) {
        let held = self.inactive.as_mut().map(|held| held.take()).unwrap_or_default();
        for stanza in held {
            self.write(cx, stanza.into());
        }
    }

    fn write(&mut self, cx: &mut Context, parcel: Parcel) {
        let Some(management) = &mut self.management else {
            if let Some(client) = self.client {
                cx.send(client, parcel.stanza);
            }
            return;
        };
        if let Some(client) = self.client {
            cx.send(client, parcel.stanza.clone());
        }
        if !management.keep(parcel) {
            cx.overfull.push((self.account.clone(), self.number));
        }
        self.ask(cx);
    }

    /// Asks the client for an acknowledgement, if something is not acknowledged and it has not been asked.
    pub fn ask(&mut self, cx: &mut Context) {
        if let (Some(client), Some(management)) = (self.client, &mut self.management)
            && management.asks()
        {
            cx.send(client, spectrum2_xmpp::xep_0198::request());
        }
    }
}
