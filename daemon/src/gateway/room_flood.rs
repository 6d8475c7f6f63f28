//! Changes of occupants that are not shown at once: while the XMPP link is down, and when too many come together, as in a
//! net-split. Of what happened to one occupant meanwhile only the outcome is shown, and nothing if all is as it was.
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
use super::room::{Departure, Occupant, Room};
use super::timer::Timer;

/// So many changes in a room within [`WINDOW`] are shown at once.
const CALM: u32 = 100;
/// Milliseconds.
const WINDOW: u64 = 1_000;
/// So many late changes are shown at a time, and then others have their turn for [`PAUSE`] milliseconds.
const SLICE: usize = 500;
const PAUSE: u64 = 20;

/// What is still to be shown of a room's occupants.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unseen {
    /// By nick: what the user's clients see, `None` if nobody of that nick.
    before: BTreeMap<String, Option<Occupant>>,
    /// Since when changes are counted, and how many there were.
    since: Time,
    changes: u32,
    /// When the next ones are shown.
    due: Option<Time>,
}

impl Unseen {
    /// Somebody is found to be gone whom clients see.
    pub fn is_gone(&mut self, nick: String, before: Occupant) {
        self.before.entry(nick).or_insert(Some(before));
    }

    /// Clients have been told that nobody is there who is shown as this.
    pub fn is_hidden(&mut self, shown: &str) {
        for (nick, before) in &mut self.before {
            before.take_if(|before| before.shown(nick) == shown);
        }
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
    /// Shows all clients a change of an occupant who was `before`, now or late.
    pub fn show_change(
        &mut self,
        cx: &mut Context,
        user: &BareJid,
        nick: &str,
        before: Option<Occupant>,
        stanza: Element,
    ) {
        let calm = nick == self.nick || self.unseen.is_calm(cx.now);
        if cx.up && calm && !self.unseen.before.contains_key(nick) {
            self.to_all(cx, user, stanza);
            return;
        }
        self.unseen.before.entry(nick.to_owned()).or_insert(before);
        if cx.up {
            let due = *self.unseen.due.get_or_insert(cx.now.after(WINDOW));
            cx.timers.set_earlier(Timer::Rooms(user.clone()), due);
        }
    }

    /// Shows what is late of one occupant, because of what follows.
    pub fn show_now(&mut self, cx: &mut Context, user: &BareJid, nick: &str) {
        let Some(before) = self.unseen.before.remove(nick) else { return };
        if self.occupants.get(nick) == before.as_ref() {
            return;
        }
        let now = self.occupants.remove(nick);
        if let Some(before) = before {
            // Who is gone goes under the name that was shown, which may not be the nick.
            let seen = before.shown(nick).to_owned();
            // An alias stays with its owner when his nick changes.
            let taken_over = self.shows(&seen);
            self.occupants.insert(nick.to_owned(), before);
            if !taken_over && now.as_ref().is_none_or(|now| now.shown(nick) != seen) {
                let goes = self.departed_presence(cx, nick, &Departure::new(RoomReason::Other, None));
                self.to_all(cx, user, goes);
                self.unseen.is_hidden(&seen);
            }
            self.occupants.remove(nick);
        }
        if let Some(now) = now {
            let occupant = self.occupants.entry(nick.to_owned()).or_insert(now).clone();
            let comes = self.occupant_presence(cx, nick, &occupant);
            self.to_all(cx, user, comes);
        }
    }

    /// Shows a part of what is late, or all of it.
    pub fn show_late(&mut self, cx: &mut Context, user: &BareJid, all: bool) {
        let most = if all { usize::MAX } else { SLICE };
        let nicks: Vec<String> = self.unseen.before.keys().take(most).cloned().collect();
        for nick in nicks {
            self.show_now(cx, user, &nick);
        }
        self.unseen.due = (!self.unseen.before.is_empty()).then(|| cx.now.after(PAUSE));
        if let Some(due) = self.unseen.due {
            cx.timers.set_earlier(Timer::Rooms(user.clone()), due);
        }
    }
}
