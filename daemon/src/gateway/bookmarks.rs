//! Rooms on the user's own list on the network appear among his bookmarks.
//!
//! Where the user's server lets us (XEP-0356, for the namespace of pubsub, or of private storage) they are written there:
//! as XEP-0402 says, or where that is not to be had, as XEP-0048 does. Elsewhere he is invited (XEP-0249). Either is done
//! once for each room, and not again when he has removed it. What he has there already is left as it is; what we wrote
//! goes when the room has been off his list for a while, if he has changed nothing in it. Who asks the gateway itself for
//! bookmarks (XEP-0048) is shown them in any case.

use std::collections::HashSet;

use jid::Jid;
use spectrum2_backend_protocol::RoomList;
use spectrum2_xmpp::stanza::{Condition, StanzaError};
use spectrum2_xmpp::xep_0356::Privileges;
use spectrum2_xmpp::xep_0402::{self, Bookmark};
use spectrum2_xmpp::{Element, ns, xep_0049};

use super::context::{Context, Query, clip};
use super::event::Time;
use super::history;
use super::room::Listing;
use super::timer::Timer;
use super::user::User;

/// Rooms of one user's list.
const ROOMS: usize = 500;
/// Longest list of those that were told, in bytes.
const TOLD: usize = 64 << 10;
/// Rooms to which a user is invited at a login; the others have their turn at later ones.
const INVITATIONS: usize = 10;
/// The setting that holds those that were told, a line for each: JID, and behind a tab the [`mark`] of a bookmark that we
/// wrote. Not of Spectrum 2, which leaves alone what it does not know.
const SETTING: &str = "rooms_told";
/// Longest name to show.
const NAME: usize = 256;
/// A list that has not changed for so long is complete: plugins find rooms one after the other.
const SETTLED: u64 = 120_000;

/// Where the user's bookmarks can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// XEP-0402.
    Pep,
    /// XEP-0048, in private storage.
    Private,
}

/// A room that the user was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    jid: String,
    /// The mark of the bookmark, if we wrote it.
    made: Option<String>,
}

/// By which it is seen whether a bookmark is as we wrote it.
fn mark(bookmark: &Bookmark) -> String {
    format!("{:08x}", history::hash(&bookmark.nick, &bookmark.name))
}

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
        self.rooms.listing = Listing::Growing(cx.now.after(SETTLED));
        cx.timers.set_earlier(Timer::Rooms(self.jid.clone()), cx.now.after(SETTLED));
        self.tell_bookmarks(cx);
    }

    fn place(&self, cx: &Context) -> Option<Place> {
        let granted = cx.privileges_for(&self.jid)?;
        match granted {
            _ if granted.iq_pubsub && !self.rooms.no_pep => Some(Place::Pep),
            _ if granted.iq_private => Some(Place::Private),
            _ => None,
        }
    }

    /// Tells of those rooms that were not told of, if somebody is there to hear it.
    pub fn tell_bookmarks(&mut self, cx: &mut Context) {
        // Without the XMPP link nobody knows what the server allows: the next login is soon enough.
        if !cx.up || self.online().is_none() || self.new_bookmarks().is_empty() {
            return;
        }
        if self.place(cx).is_some() {
            self.look_for_bookmarks(cx);
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
            self.note_told(cx, &some, false);
        }
    }

    /// When the list will have been the same for long enough.
    pub const fn bookmarks_due(&self) -> Option<Time> {
        match self.rooms.listing {
            Listing::Growing(until) => Some(until),
            Listing::Unknown | Listing::Settled => None,
        }
    }

    /// The list has been the same for a while: what we wrote of rooms that are not on it is to go.
    pub fn bookmarks_settled(&mut self, cx: &mut Context) {
        self.rooms.listing = Listing::Settled;
        if cx.up && self.online().is_some() && self.place(cx).is_some() && !self.unlisted().is_empty() {
            self.look_for_bookmarks(cx);
        }
    }

    fn look_for_bookmarks(&self, cx: &mut Context) {
        let (request, query) = match self.place(cx) {
            Some(Place::Pep) => (xep_0402::request(), Query::Bookmarks),
            Some(Place::Private) => {
                (xep_0049::query(Element::new("storage", ns::BOOKMARKS)), Query::PrivateBookmarks)
            }
            None => return,
        };
        self.ask_as_user(cx, "get", request, query);
    }

    /// The server told which bookmarks the user has.
    pub fn bookmarks_known(&mut self, cx: &mut Context, answer: &Result<Element, Condition>) {
        let items: Vec<&Element> = match answer {
            Ok(pubsub) => xep_0402::items(pubsub).collect(),
            // XEP-0060 §6.5.9.11: there is no node before the first bookmark.
            Err(Condition::ItemNotFound) => Vec::new(),
            Err(Condition::FeatureNotImplemented | Condition::ServiceUnavailable) => {
                self.rooms.no_pep = true;
                return self.tell_bookmarks(cx);
            }
            // It is tried again at the next login.
            Err(_) => return,
        };
        let find = |jid: &str| items.iter().find(|item| item.attr("id") == Some(jid));
        let new = self.new_bookmarks();
        for bookmark in new.iter().filter(|bookmark| find(&bookmark.jid).is_none()) {
            self.ask_as_user(cx, "set", bookmark.publish(), Query::BookmarkSet(bookmark.jid.clone()));
        }
        let had: Vec<_> = new.into_iter().filter(|bookmark| find(&bookmark.jid).is_some()).collect();
        self.note_told(cx, &had, false);
        for told in self.unlisted() {
            let stored = find(&told.jid).and_then(|item| xep_0402::stored(item));
            if stored.is_some_and(|stored| is_as_made(&stored, &told)) {
                let retract = xep_0402::retract(&told.jid);
                self.ask_as_user(cx, "set", retract, Query::BookmarkGone(told.jid.clone()));
            } else {
                self.forget_told(cx, &[told.jid]);
            }
        }
    }

    /// The same where they are in private storage, which is written as a whole (XEP-0048 §3).
    pub fn private_bookmarks_known(&mut self, cx: &mut Context, answer: &Result<Element, Condition>) {
        let mut storage = match answer {
            Ok(query) => query.find("storage", ns::BOOKMARKS).cloned(),
            Err(Condition::ItemNotFound) => None,
            Err(Condition::FeatureNotImplemented | Condition::ServiceUnavailable) => {
                self.rooms.no_pep = true;
                return;
            }
            Err(_) => return,
        }
        .unwrap_or_else(|| Element::new("storage", ns::BOOKMARKS));
        let is_there =
            |storage: &Element, jid: &str| storage.elements().any(|kept| kept.attr("jid") == Some(jid));
        let (had, new): (Vec<_>, Vec<_>) =
            self.new_bookmarks().into_iter().partition(|bookmark| is_there(&storage, &bookmark.jid));
        self.note_told(cx, &had, false);
        let unlisted = self.unlisted();
        let before = storage.elements().count();
        storage.retain(|node| {
            let kept = node.as_element();
            !kept.is_some_and(|kept| {
                unlisted.iter().any(|told| kept.attr("jid") == Some(&told.jid) && is_as_made(kept, told))
            })
        });
        let changed = storage.elements().count() < before || !new.is_empty();
        new.iter().for_each(|bookmark| storage.push(bookmark.stored()));
        if changed {
            let jids = new.into_iter().map(|bookmark| bookmark.jid).collect();
            self.ask_as_user(cx, "set", xep_0049::query(storage), Query::PrivateBookmarksSet(jids));
        }
        let gone: Vec<String> = unlisted.into_iter().map(|told| told.jid).collect();
        self.forget_told(cx, &gone);
    }

    /// The server took bookmarks, or did not: then it is tried again at the next login.
    pub fn bookmarks_were_set(&mut self, cx: &mut Context, jids: &[String], done: bool) {
        if done {
            let told: Vec<_> =
                self.new_bookmarks().into_iter().filter(|new| jids.contains(&new.jid)).collect();
            self.note_told(cx, &told, true);
        }
    }

    /// The server took a bookmark away, or did not: then it is tried again at the next login.
    pub fn bookmark_is_gone(&mut self, cx: &mut Context, jid: String, done: bool) {
        if done {
            self.forget_told(cx, &[jid]);
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

    fn told(&self) -> impl Iterator<Item = Told> {
        let setting = self.settings.iter().find(|(var, _)| var == SETTING);
        setting.into_iter().flat_map(|(_, told)| told.lines()).map(|line| match line.split_once('\t') {
            Some((jid, mark)) => Told { jid: jid.to_owned(), made: Some(mark.to_owned()) },
            None => Told { jid: line.to_owned(), made: None },
        })
    }

    fn new_bookmarks(&self) -> Vec<Bookmark> {
        let told: HashSet<String> = self.told().map(|told| told.jid).collect();
        self.bookmarks().filter(|bookmark| !told.contains(&bookmark.jid)).collect()
    }

    fn is_listed(&self, jid: &str) -> bool {
        self.rooms.bookmarks.iter().any(|(_, listed, _)| listed == jid)
    }

    /// Bookmarks that we wrote, of rooms that are for sure not on the list any more.
    fn unlisted(&self) -> Vec<Told> {
        if self.rooms.listing != Listing::Settled {
            return Vec::new();
        }
        self.told().filter(|told| told.made.is_some() && !self.is_listed(&told.jid)).collect()
    }

    /// Remembers that these were told of; `made`: by a bookmark that we wrote. What we did not write and is not on the list
    /// any more is forgotten: if it comes again, it is new.
    fn note_told(&mut self, cx: &mut Context, bookmarks: &[Bookmark], made: bool) {
        if bookmarks.is_empty() {
            return;
        }
        let mut told: Vec<Told> =
            self.told().filter(|told| told.made.is_some() || self.is_listed(&told.jid)).collect();
        told.extend(bookmarks.iter().map(|new| Told { jid: new.jid.clone(), made: made.then(|| mark(new)) }));
        self.write_told(cx, &told);
    }

    fn forget_told(&mut self, cx: &mut Context, jids: &[String]) {
        if !jids.is_empty() {
            let told: Vec<Told> = self.told().filter(|told| !jids.contains(&told.jid)).collect();
            self.write_told(cx, &told);
        }
    }

    fn write_told(&mut self, cx: &mut Context, told: &[Told]) {
        let mut lines = String::new();
        for Told { jid, made } in told {
            let line = made.as_ref().map_or_else(|| jid.clone(), |mark| format!("{jid}\t{mark}"));
            if lines.len() + line.len() < TOLD {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        self.set_setting(cx, SETTING, 0, lines);
    }

    /// A request in the user's name (XEP-0356 §6).
    fn ask_as_user(&self, cx: &mut Context, kind: &'static str, payload: Element, query: Query) {
        let (outer, inner) = (cx.id(), cx.id());
        let iq = Privileges::iq_from_user(&cx.jid, &self.jid, kind, outer, inner, payload);
        cx.query(&self.jid, Jid::from(self.jid.clone()), iq, query);
    }
}

/// What the server says in the answer to a request in the user's name: the payload, or why there is none.
pub fn answer(iq: Option<&Element>) -> Result<Element, Condition> {
    let outer = iq.ok_or(Condition::RemoteServerTimeout)?;
    let inner = outer.elements().next().and_then(Privileges::iq_answer).unwrap_or(outer);
    match StanzaError::read(inner) {
        Some(error) => Err(error.condition),
        None => Ok(inner.elements().next().cloned().unwrap_or_else(|| inner.clone())),
    }
}

/// Whether a bookmark of private storage is as we wrote it: the user has changed nothing, and does not join it.
fn is_as_made(stored: &Element, told: &Told) -> bool {
    let text = |name| stored.child_text(name, ns::BOOKMARKS).unwrap_or_default().into_owned();
    let name = stored.attr("name").unwrap_or_default().to_owned();
    let same = Bookmark { jid: told.jid.clone(), name, nick: text("nick") };
    let more = stored.elements().any(|child| child.name() != "nick");
    let joins = matches!(stored.attr("autojoin"), Some("true" | "1"));
    !more && !joins && told.made.as_ref() == Some(&mark(&same))
}
