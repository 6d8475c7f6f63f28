//! Rooms on the user's own list on the network: libpurple's chats; on an XMPP network, of whose bookmarks the plugin knows
//! nothing, those (XEP-0402, XEP-0048).
//!
//! The daemon is told all of them after a login, and again when they have changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spectrum2_backend_protocol::{Frame, RoomList};

use crate::html;
use crate::purple::BOOKMARKS_ID;
use crate::session::Session;

/// Plugins add rooms one after the other.
const PATIENCE: Duration = Duration::from_secs(1);
/// Rooms of one user.
const MAX_ROOMS: usize = 500;

/// What is known of the user's list of rooms.
#[derive(Debug, Default)]
pub struct Bookmarks {
    /// The daemon wants to know.
    wanted: bool,
    /// On an XMPP network: JID and name to show.
    found: BTreeMap<String, String>,
    /// The last list that the daemon got; none: not even an empty one.
    told: Option<Vec<(String, String)>>,
    due: Option<Instant>,
}

impl Bookmarks {
    /// When the daemon is to be told.
    pub const fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl Session {
    /// The session is up: the list is looked for.
    pub fn seek_bookmarks(&mut self, now: Instant) {
        self.bookmarks.wanted = true;
        self.chats_changed(now);
        if self.account.protocol().id() == "prpl-jabber" {
            for payload in [
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>",
                "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
            ] {
                self.account.send_raw(&format!("<iq type='get' id='{BOOKMARKS_ID}'>{payload}</iq>"));
            }
        }
    }

    /// libpurple's list of rooms changed.
    pub fn chats_changed(&mut self, now: Instant) {
        if self.bookmarks.wanted {
            self.bookmarks.due.get_or_insert(now + PATIENCE);
        }
    }

    /// An XMPP server told bookmarks.
    pub fn bookmarks_found(&mut self, found: Vec<(String, String)>, now: Instant) {
        self.bookmarks.found.extend(found.into_iter().take(MAX_ROOMS));
        self.chats_changed(now);
    }

    /// Tells the daemon, if it is due and something is new.
    pub fn tell_bookmarks(&mut self, now: Instant, out: &mut Vec<Frame>) {
        if self.bookmarks.due.is_none_or(|due| due > now) {
            return;
        }
        self.bookmarks.due = None;
        let mut all = self.bookmarks.found.clone();
        all.extend(self.account.listed_chats());
        let all: Vec<(String, String)> = all.into_iter().take(MAX_ROOMS).collect();
        if self.bookmarks.told.as_ref() != Some(&all) {
            self.bookmarks.told = Some(all.clone());
            let user = Some(self.user.clone());
            let (rooms, names) =
                all.into_iter().map(|(name, title)| (name, html::from_network(&title).plain)).unzip();
            out.push(Frame::RoomBookmarks(RoomList { rooms, names, user }));
        }
    }
}
