//! Changes of occupants that are not shown at once: while the XMPP link is down, and when too many come together, as in a
//! net-split. Of what happened to one name meanwhile only the outcome is shown, and nothing if all is as it was.
//!
//! Shown late is who comes, goes or changes by himself. Who is removed, what the user himself does, and who speaks is
//! shown at once.

use std::collections::BTreeMap;

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::RoomReason;
use spectrum2_xmpp::Element;

use super::context::Context;
use super::event::Time;
use super::occupants::Occupant;
use super::room::{Departure, Room};
use super::timer::Timer;

/// So many changes in a room within [`WINDOW`] are shown at once.
const CALM: u32 = 100;
/// Milliseconds.
const WINDOW: u64 = 1_000;
/// So many late changes are shown at a time, and then others have their turn for [`PAUSE`] milliseconds.
const SLICE: usize = 500;
const PAUSE: u64 = 20;

/// Whom clients see under a name: nick and what he is.
type Seen = Option<(String, Occupant)>;

/// What is still to be shown of a room's occupants.
///
/// Of every name that is not here, clients see what is so.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unseen {
    /// What they see of the others.
    before: BTreeMap<String, Seen>,
    /// Since when changes are counted, and how many there were.
    since: Time,
    changes: u32,
    /// When the next ones are shown.
    due: Option<Time>,
}

impl Unseen {
    /// Somebody is found to be gone whom clients see.
    pub fn is_gone(&mut self, nick: String, before: Occupant) {
        self.before.entry(before.shown(&nick).to_owned()).or_insert(Some((nick, before)));
    }

    /// When something is to be shown.
    pub const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Counts a change; `true` if it can be shown at once.
    fn is_calm(&mut self, now: Time) -> bool {
        if now.since(self.since) > WINDOW {
            (self.since, self.changes) = (now, 0);
        }
        self.changes = self.changes.saturating_add(1);
        self.changes <= CALM
    }
}

impl Room {
    /// Whom clients are to see under this name.
    pub fn seen_as(&self, shown: &str) -> Seen {
        self.occupants.seen_as(shown).map(|(nick, occupant)| (nick.to_owned(), occupant.clone()))
    }

    /// Shows all clients what became of a name, under which they were to see `before`: now, or late.
    pub fn show_change(
        &mut self,
        cx: &mut Context,
        user: &BareJid,
        shown: &str,
        before: Seen,
        stanza: Element,
    ) {
        let calm = shown == self.shown(&self.nick) || self.unseen.is_calm(cx.now);
        if cx.up && calm && !self.unseen.before.contains_key(shown) {
            self.show_at_once(cx, user, shown, stanza);
        } else {
            let now = self.seen_as(shown);
            let before = self.unseen.before.entry(shown.to_owned()).or_insert(before);
            if *before == now {
                // Or all who ever come and go while the link is down would be kept.
                self.unseen.before.remove(shown);
            }
            self.show_later(cx, user, WINDOW);
        }
    }

    /// Shows all clients a presence of this name.
    pub fn show_at_once(&mut self, cx: &mut Context, user: &BareJid, shown: &str, stanza: Element) {
        let goes = stanza.attr("type").is_some();
        self.to_all(cx, user, stanza);
        self.unseen.before.remove(shown);
        if goes && self.occupants.seen_as(shown).is_some() {
            // Somebody else has the same alias, and is out of sight now.
            self.unseen.before.insert(shown.to_owned(), None);
            self.show_later(cx, user, WINDOW);
        }
    }

    fn show_later(&mut self, cx: &mut Context, user: &BareJid, pause: u64) {
        if cx.up {
            let due = *self.unseen.due.get_or_insert(cx.now.after(pause));
            cx.timers.set_earlier(Timer::Rooms(user.clone()), due);
        }
    }

    /// Shows what is late of one name, because of what follows.
    pub fn show_now(&mut self, cx: &mut Context, user: &BareJid, shown: &str) {
        let Some(before) = self.unseen.before.remove(shown) else { return };
        let now = self.seen_as(shown);
        if now == before {
            return;
        }
        let stanza = match (before, now) {
            (_, Some((nick, occupant))) => self.occupant_presence(cx, &nick, &occupant),
            (Some((nick, occupant)), None) => {
                let departure = Departure::new(RoomReason::Other, None);
                self.departed_presence(cx, &nick, Some(&occupant), &departure)
            }
            (None, None) => return,
        };
        self.to_all(cx, user, stanza);
    }

    /// Shows a part of what is late, or all of it.
    pub fn show_late(&mut self, cx: &mut Context, user: &BareJid, all: bool) {
        let most = if all { usize::MAX } else { SLICE };
        let names: Vec<String> = self.unseen.before.keys().take(most).cloned().collect();
        for name in names {
            self.show_now(cx, user, &name);
        }
        self.unseen.due = None;
        if !self.unseen.before.is_empty() {
            self.show_later(cx, user, PAUSE);
        }
    }
}
