//! Client State Indication (XEP-0352): what a client that nobody looks at need not be woken for.
//!
//! Presence and chat states wait, the latest of each sender only, until the client is looked at again or something comes
//! that it must have at once; then they go first. A message with a text is never held.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use spectrum2_xmpp::{Element, ns};

use super::session::Parcel;

/// Stanzas that wait for one client. Past it all are sent.
const WAITING: usize = 200;

/// What waits for a client, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Held {
    stanzas: VecDeque<Element>,
}

impl Held {
    /// Takes what can wait.
    ///
    /// # Errors
    /// It cannot, or too much waits.
    pub fn hold(&mut self, parcel: Parcel) -> Result<(), Parcel> {
        let stanza = &parcel.stanza;
        if !can_wait(stanza) {
            return Err(parcel);
        }
        // In rooms each presence says something of its own.
        if stanza.find("x", ns::MUC_USER).is_none() {
            let same = |old: &Element| {
                old.name() == stanza.name()
                    && old.attr("from") == stanza.attr("from")
                    && old.find("x", ns::MUC_USER).is_none()
            };
            self.stanzas.retain(|old| !same(old));
        }
        if self.stanzas.len() >= WAITING {
            return Err(parcel);
        }
        self.stanzas.push_back(parcel.stanza);
        Ok(())
    }

    /// Gives all that waits.
    pub fn take(&mut self) -> VecDeque<Element> {
        std::mem::take(&mut self.stanzas)
    }
}

fn can_wait(stanza: &Element) -> bool {
    match stanza.name() {
        "presence" => matches!(stanza.attr("type"), None | Some("unavailable")),
        // XEP-0085 §5.5: a notification alone.
        "message" => {
            stanza.attr("type") != Some("error")
                && stanza.elements().next().is_some()
                && stanza
                    .elements()
                    .all(|child| child.ns() == ns::CHATSTATES || child.is("thread", ns::CLIENT))
        }
        _ => false,
    }
}
