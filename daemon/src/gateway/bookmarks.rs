//! Rooms on the user's own list on the network appear among his bookmarks (XEP-0402).
//!
//! Where the user's server lets us (XEP-0356, for the namespace of pubsub) they are written there; what he has there
//! already is left as it is. Elsewhere he is invited (XEP-0249). Either is done once for each room, and not again when he
//! has removed it. Who asks the gateway itself for bookmarks (XEP-0048) is shown them in any case.

use jid::Jid;
use spectrum2_backend_protocol::RoomList;
use spectrum2_xmpp::xep_0356::Privileges;
use spectrum2_xmpp::xep_0402::{self, Bookmark};
use spectrum2_xmpp::{Element, ns};

use super::context::{Context, Query, clip};
use super::user::User;

/// Rooms of one user's list.
const ROOMS: usize = 500;
/// Longest list of those that were told, in bytes.
const TOLD: usize = 64 << 10;
/// Rooms to which a user is invited at a login; the others have their turn at later ones.
const INVITATIONS: usize = 10;
/// The setting that holds those that were told, one JID a line. Not of Spectrum 2, which leaves alone what it does not know.
const SETTING: &str = "rooms_told";
/// Longest name to show.
const NAME: usize = 256;

impl User {
    /// The network tells which rooms are on the user's list.
    pub fn room_bookmarks(&mut self, cx: &mut Context, list: &RoomList) {
        let titles = list.names.iter().map(String::as_str).chain(std::iter::repeat(""));
        let mut bookmarks = Vec::new();
        for (name, title) in list.rooms.iter().zip(titles).take(ROOMS) {
            let known = self.rooms.node_of(name).map(str::to_owned);
            let Some(node) = known.or_else(|| cx.room_node(name)) else { continue };
            let title = if title.is_empty() { name } else { title };
            bookmarks.push((name.clone(), cx.contact_bare(&node), clip(title.to_owned(), NAME)));
        }
        self.rooms.bookmarks = bookmarks;
        self.tell_bookmarks(cx);
    }

    /// Tells of those rooms that were not told of, if somebody is there to hear it.
    pub fn tell_bookmarks(&mut self, cx: &mut Context) {
        // Without the XMPP link nobody knows what the server allows: the next login is soon enough.
        if !cx.up || self.online().is_none() || self.new_bookmarks().is_empty() {
            return;
        }
        if cx.privileges_for(&self.jid).is_some_and(|granted| granted.iq_pubsub) {
            self.ask_as_user(cx, "get", xep_0402::request(), Query::Bookmarks);
        } else if !self.resources.is_empty() {
            let some = self.new_bookmarks().into_iter().take(INVITATIONS).collect::<Vec<_>>();
            for bookmark in &some {
                // XEP-0249: from the gateway, as nobody in the room has sent it.
                let x = Element::new("x", ns::CONFERENCE)
                    .with("jid", bookmark.jid.clone())
                    .with("reason", format!("{} is on your list of rooms on the network", bookmark.name));
                let id = cx.id();
                let stanza = Element::new("message", ns::CLIENT)
                    .with("from", cx.jid.as_str())
                    .with("to", self.jid.as_str())
                    .with("id", id)
                    .child(x);
                cx.send(stanza);
            }
            self.note_told(cx, &some);
        }
    }

    /// The server told which bookmarks the user has; `None`: it did not, or there are none yet.
    pub fn bookmarks_known(&mut self, cx: &mut Context, pubsub: Option<&Element>) {
        let there = pubsub.map(xep_0402::read).unwrap_or_default();
        let new = self.new_bookmarks();
        for bookmark in new.iter().filter(|bookmark| !there.contains(&bookmark.jid)) {
            self.ask_as_user(cx, "set", bookmark.publish(), Query::BookmarkSet(bookmark.jid.clone()));
        }
        let had: Vec<_> = new.into_iter().filter(|bookmark| there.contains(&bookmark.jid)).collect();
        self.note_told(cx, &had);
    }

    /// The server took a bookmark, or did not: then it is tried again at the next login.
    pub fn bookmark_was_set(&mut self, cx: &mut Context, jid: &str, done: bool) {
        if done {
            let told: Vec<_> = self.new_bookmarks().into_iter().filter(|new| new.jid == jid).collect();
            self.note_told(cx, &told);
        }
    }

    /// All rooms on the user's list, as bookmarks.
    pub fn bookmarks(&self) -> impl Iterator<Item = Bookmark> {
        let nick = self.registration.as_ref().map(|registration| registration.legacy_name.as_str());
        let nick = nick.and_then(|name| name.split('@').next()).unwrap_or_default();
        self.rooms.bookmarks.iter().map(|(_, jid, name)| Bookmark {
            jid: jid.clone(),
            name: name.clone(),
            nick: nick.to_owned(),
        })
    }

    fn told(&self) -> impl Iterator<Item = &str> {
        let setting = self.settings.iter().find(|(var, _)| var == SETTING);
        setting.into_iter().flat_map(|(_, told)| told.lines())
    }

    fn new_bookmarks(&self) -> Vec<Bookmark> {
        self.bookmarks().filter(|bookmark| !self.told().any(|told| told == bookmark.jid)).collect()
    }

    /// Remembers that these were told of. Who is not on the list any more is forgotten: if he comes again, he is new.
    fn note_told(&mut self, cx: &mut Context, bookmarks: &[Bookmark]) {
        if bookmarks.is_empty() {
            return;
        }
        let listed = |jid: &str| self.rooms.bookmarks.iter().any(|(_, listed, _)| listed == jid);
        let mut told: Vec<&str> = self.told().filter(|jid| listed(jid)).collect();
        told.extend(bookmarks.iter().map(|bookmark| bookmark.jid.as_str()));
        let mut length = 0;
        told.retain(|jid| {
            length += jid.len() + 1;
            length <= TOLD
        });
        let told = told.join("\n");
        self.set_setting(cx, SETTING, 0, told);
    }

    /// A request in the user's name (XEP-0356 §6).
    fn ask_as_user(&self, cx: &mut Context, kind: &'static str, payload: Element, query: Query) {
        let (outer, inner) = (cx.id(), cx.id());
        let iq = Privileges::iq_from_user(&cx.jid, &self.jid, kind, outer, inner, payload);
        cx.query(&self.jid, Jid::from(self.jid.clone()), iq, query);
    }
}
