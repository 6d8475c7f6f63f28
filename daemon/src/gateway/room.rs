//! The rooms that a user is in, or waits to be let into: their occupants, subject, and which of his clients are there.
//!
//! On the network the user is in a room once, under one nick. Each of his clients that joins sees that one occupant as
//! itself. What is kept here is what the network said last, so a client that joins later is shown the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use spectrum2_backend_protocol::{Affiliation, Role, RoomReason, StatusType};
use spectrum2_xmpp::{Element, ns};

use super::archive;
use super::contact::fold;
use super::context::Context;
use super::event::Time;
use super::history::{History, Memory};
use super::occupants::{Occupant, Occupants, prepared};
use super::presence;
use super::room_flood::Unseen;
use super::room_kept::KeptRooms;
use super::room_name;

/// Rooms of one user.
pub const ROOMS: usize = 200;
/// Messages of the user whose echo is awaited.
const ECHOES: usize = 50;
/// Rooms of the network that are remembered by name.
const LISTED: usize = 100_000;

/// How far a join has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// To be asked for when the user is logged in.
    Wanted,
    /// The network was asked at this time.
    Joining(Time),
    /// The user is in the room since this time; its history comes, and its subject.
    Entered(Time),
    /// The user is in the room, and knows the subject.
    Joined,
    /// The user was in the room when the session broke, and is to be there again.
    Lost,
    /// The network was asked at this time to let the user in again.
    Returning(Time),
}

/// One of the user's clients in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The nick it asked for.
    pub asked: String,
    /// The id of the stanza in which it did, for the answer.
    pub id: Option<String>,
    /// The history it wants.
    pub history: History,
    /// It joins when the archive has been read: until then it is told nothing.
    pub waiting: bool,
}

/// A room of a user.
#[derive(Debug, Serialize, Deserialize)]
pub struct Room {
    /// Its name on the network.
    pub name: String,
    /// Local part of its JID.
    pub node: String,
    /// Password with which it was joined; may be empty.
    pub password: String,
    /// The user's nick: as the network has it, or as he wants it.
    pub nick: String,
    /// How far the join has come.
    pub state: State,
    /// The user's clients that are there, by resource.
    pub clients: BTreeMap<String, Client>,
    /// Who is there.
    pub occupants: Occupants,
    /// The subject, and the nick of who set it.
    pub subject: Option<(String, String)>,
    /// Whose changes are still to be shown, and what was shown of them before.
    pub unseen: Unseen,
    /// What was said there.
    pub memory: Memory,
    /// The subject is known, and sent when the archive has been read.
    pub settling: bool,
    /// The client that left as the last one of a user who stays, and when.
    pub left_by: Option<(String, Time)>,
    /// The user's messages that the network is going to repeat: text and stanza.
    echoes: VecDeque<(String, Element)>,
}

impl Room {
    /// A room that is wanted.
    pub fn new(name: String, node: String, nick: String, password: String) -> Self {
        Self {
            name,
            node,
            password,
            nick,
            state: State::Wanted,
            clients: BTreeMap::new(),
            occupants: Occupants::default(),
            subject: None,
            unseen: Unseen::default(),
            memory: Memory::default(),
            settling: false,
            left_by: None,
            echoes: VecDeque::new(),
        }
    }

    /// Whether the user is in the room, as far as he knows.
    pub const fn is_entered(&self) -> bool {
        !matches!(self.state, State::Wanted | State::Joining(_))
    }

    /// JID of the room.
    pub fn jid(&self, cx: &Context) -> String {
        cx.contact_bare(&self.node)
    }

    /// JID of an occupant; of the room, for who can have none.
    pub fn occupant_jid(&self, cx: &Context, nick: &str) -> String {
        let unknown = || prepared(nick);
        let known = self.occupants.get(nick).map(|occupant| occupant.shown(nick).to_owned());
        known.or_else(unknown).map_or_else(|| self.jid(cx), |shown| format!("{}/{shown}", self.jid(cx)))
    }

    /// The nick that is shown for an occupant: some networks have numbers for keys.
    pub fn shown<'a>(&'a self, nick: &'a str) -> &'a str {
        self.occupants.get(nick).map_or(nick, |occupant| occupant.shown(nick))
    }

    /// An opaque id of who has this nick (XEP-0421).
    pub fn occupant_id(&self, nick: &str) -> Element {
        self.id_of(nick, self.occupants.get(nick))
    }

    /// It is made of the person, where the network tells who that is; else of the nick.
    fn id_of(&self, nick: &str, occupant: Option<&Occupant>) -> Element {
        let origin = occupant.and_then(|occupant| occupant.origin.as_deref()).unwrap_or(nick);
        let mut hash = Sha1::new();
        hash.update(self.node.as_bytes());
        hash.update([0]);
        hash.update(origin.as_bytes());
        let id = hash.finalize().iter().take(12).fold(String::with_capacity(24), |mut id, byte| {
            for digit in [byte >> 4, byte & 15] {
                id.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
            }
            id
        });
        Element::new("occupant-id", ns::OCCUPANT_ID).with("id", id)
    }

    /// The presence of an occupant, for all clients; each `to` is still to be set.
    pub fn occupant_presence(&self, cx: &Context, nick: &str, occupant: &Occupant) -> Element {
        let mut status = occupant.status;
        if !presence::is_visible(status) {
            status = StatusType::Online;
        }
        let from = format!("{}/{}", self.jid(cx), occupant.shown(nick));
        let text = occupant.text.as_deref().unwrap_or_default();
        let mut stanza = presence::build(&from, "", status, text);
        let mut x = Element::new("x", ns::MUC_USER).child(item(occupant.role, occupant.affiliation));
        if nick == self.nick {
            x.push(code(110));
        }
        if let Some(hash) = &occupant.icon {
            // XEP-0153 §3.2.
            let photo = Element::new("photo", ns::VCARD_UPDATE).text(&**hash);
            stanza.push(Element::new("x", ns::VCARD_UPDATE).child(photo));
        }
        stanza.push(x);
        stanza.push(self.id_of(nick, Some(occupant)));
        stanza
    }

    /// The user's own presence when he is not there any more.
    pub fn own_departure(&self, cx: &Context, departure: &Departure<'_>) -> Element {
        self.departed_presence(cx, &self.nick, self.occupants.get(&self.nick), departure)
    }

    /// The presence of somebody who is not there any more, and what he was, if that is known.
    pub fn departed_presence(
        &self,
        cx: &Context,
        nick: &str,
        occupant: Option<&Occupant>,
        departure: &Departure<'_>,
    ) -> Element {
        let from = format!("{}/{}", self.jid(cx), occupant.map_or(nick, |occupant| occupant.shown(nick)));
        let removed = !departure.codes.is_empty();
        let mut stanza = presence::typed(from, "", "unavailable");
        let text = departure.text.filter(|text| !text.is_empty());
        if let Some(text) = text.filter(|_| !removed) {
            stanza.push(Element::new("status", ns::CLIENT).text(text));
        }
        let mut item = item(Role::None, departure.affiliation);
        if removed {
            if let Some(actor) = departure.actor.filter(|actor| !actor.is_empty()) {
                item.push(Element::new("actor", ns::MUC_USER).with("nick", actor));
            }
            if let Some(text) = text {
                item.push(Element::new("reason", ns::MUC_USER).text(text));
            }
        }
        let mut x = Element::new("x", ns::MUC_USER).child(item);
        if departure.reason == RoomReason::Destroyed {
            // XEP-0045 §10.9.
            let reason = text.map(|text| Element::new("reason", ns::MUC_USER).text(text));
            x.push(Element::new("destroy", ns::MUC_USER).children_from(reason));
        }
        for number in departure.codes {
            x.push(code(*number));
        }
        if nick == self.nick {
            x.push(code(110));
        }
        stanza.push(x);
        stanza.push(self.id_of(nick, occupant));
        stanza
    }

    /// XEP-0045 §7.6: the nick that was shown goes, and says what the new one is.
    pub fn renamed_presence(&self, cx: &Context, old: &str, new: &str, occupant: &Occupant) -> Element {
        let item = item(occupant.role, occupant.affiliation).with("nick", occupant.shown(new));
        let mut x = Element::new("x", ns::MUC_USER).child(item).child(code(303));
        if new == self.nick {
            x.push(code(110));
        }
        let id = self.id_of(new, Some(occupant));
        presence::typed(format!("{}/{old}", self.jid(cx)), "", "unavailable").child(x).child(id)
    }

    /// The subject, for all clients; empty if there is none. With an id if it has just changed.
    pub fn subject_message(&self, cx: &mut Context, id: Option<i64>) -> Element {
        let (text, who) = self.subject.as_ref().map_or(("", ""), |(text, who)| (text, who));
        let from = self.occupant_jid(cx, who);
        // XEP-0045 §7.2.15: a subject and no body.
        let subject = Element::new("subject", ns::CLIENT).text(text);
        let author = (!who.is_empty()).then(|| self.occupant_id(who));
        self.groupchat(cx, from, id).child(subject).children_from(author)
    }

    /// A message of the room or of an occupant, without content, and with the id that it has in the archive
    /// (XEP-0359, XEP-0313 §3.5).
    pub fn groupchat(&self, cx: &mut Context, from: String, id: Option<i64>) -> Element {
        let name = id.map_or_else(|| cx.id(), archive::name_of);
        let message = Element::new("message", ns::CLIENT).with("from", from).with("type", "groupchat");
        message.with("id", name).children_from(id.map(|id| self.stanza_id(cx, id)))
    }

    /// The id of a message in the room's archive.
    pub fn stanza_id(&self, cx: &Context, id: i64) -> Element {
        archive::stanza_id(&self.jid(cx), id)
    }

    /// The network is going to repeat this message of the user.
    pub fn expect_echo(&mut self, text: String, stanza: Element) {
        if self.echoes.len() >= ECHOES {
            self.echoes.pop_front();
        }
        self.echoes.push_back((text, stanza));
    }

    /// The stanza whose text the network repeats.
    pub fn take_echo(&mut self, text: &str) -> Option<Element> {
        let place = self.echoes.iter().position(|(sent, _)| sent == text)?;
        self.echoes.remove(place).map(|(_, stanza)| stanza)
    }
}

/// How and why somebody left a room.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Why.
    pub reason: RoomReason,
    /// Affiliation afterwards.
    pub affiliation: Affiliation,
    /// Who did it.
    pub actor: Option<&'a str>,
    /// What was said.
    pub text: Option<&'a str>,
    /// The status codes of XEP-0045 §15.6.2.
    codes: &'static [u16],
}

impl<'a> Departure<'a> {
    /// Somebody left, or the user did, for this reason.
    pub fn new(reason: RoomReason, text: Option<&'a str>) -> Self {
        let affiliation =
            if matches!(reason, RoomReason::Banned) { Affiliation::Outcast } else { Affiliation::None };
        let codes: &[u16] = match reason {
            RoomReason::Banned => &[301],
            RoomReason::Kicked => &[307],
            RoomReason::MembersOnly => &[322],
            RoomReason::Disconnected => &[333],
            _ => &[],
        };
        Self { reason, affiliation, actor: None, text, codes }
    }

    /// Names who did it.
    #[must_use]
    pub fn by(mut self, actor: Option<&'a str>) -> Self {
        self.actor = actor;
        self
    }

    /// Somebody else removed him.
    pub const fn is_removal(&self) -> bool {
        !self.codes.is_empty()
    }

    /// The gateway ends.
    pub fn shutdown() -> Self {
        let departure = Self::new(RoomReason::Disconnected, Some("The gateway is being stopped"));
        Self { codes: &[332], ..departure }
    }
}

fn item(role: Role, affiliation: Affiliation) -> Element {
    Element::new("item", ns::MUC_USER)
        .with("affiliation", affiliation_name(affiliation))
        .with("role", role_name(role))
}

/// `<status code='…'/>` of XEP-0045 §15.6.2.
pub fn code(number: u16) -> Element {
    Element::new("status", ns::MUC_USER).with("code", number.to_string())
}

/// XEP-0045 §5.1.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::None => "none",
        Role::Visitor => "visitor",
        Role::Participant => "participant",
        Role::Moderator => "moderator",
    }
}

/// XEP-0045 §5.2.
pub const fn affiliation_name(affiliation: Affiliation) -> &'static str {
    match affiliation {
        Affiliation::Outcast => "outcast",
        Affiliation::None => "none",
        Affiliation::Member => "member",
        Affiliation::Admin => "admin",
        Affiliation::Owner => "owner",
    }
}

/// All rooms of one user, and what the network said of others.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rooms {
    /// By folded name.
    all: HashMap<String, Room>,
    /// Local part of the JID → folded name.
    nodes: HashMap<String, String>,
    /// The network's rooms: local part, name, name to show.
    pub list: Vec<Listed>,
    /// The rooms on the user's own list on the network: name, JID, name to show.
    pub bookmarks: Vec<(String, String, String)>,
    /// How far that list is.
    pub listing: Listing,
    /// The user's server has no bookmarks as XEP-0402 has them.
    pub no_pep: bool,
    /// When the list came, or was asked for.
    pub listed: Option<Time>,
    /// Who waits for the list, and until when.
    pub asking: Vec<(Time, Element)>,
    /// Joins that wait until the user is registered.
    pub early: Vec<Element>,
    /// Those that outlive the session.
    pub kept: KeptRooms,
    /// Nicks with whom the user talks through a room: folded nick → room's node.
    pub private: HashMap<String, String>,
}

/// How far the list of a user's rooms on the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listing {
    /// There is none of this session.
    #[default]
    Unknown,
    /// More may come until then.
    Growing(Time),
    /// It is complete.
    Settled,
}

/// A room of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// JID of the room.
    pub jid: String,
    /// Its name on the network.
    pub name: String,
    /// Its name to show.
    pub title: String,
}

impl Rooms {
    /// Number of rooms.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The room whose JID has this local part.
    pub fn by_node(&mut self, node: &str) -> Option<&mut Room> {
        self.all.get_mut(self.nodes.get(node)?)
    }

    /// The same, to look at.
    pub fn at(&self, node: &str) -> Option<&Room> {
        self.all.get(self.nodes.get(node)?)
    }

    /// The room of this name.
    pub fn by_name(&mut self, name: &str) -> Option<&mut Room> {
        self.all.get_mut(&fold(name))
    }

    /// All rooms, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Room> {
        self.all.values_mut()
    }

    /// Adds a room.
    pub fn insert(&mut self, room: Room) {
        let name = fold(&room.name);
        if let Some(old) = self.all.get(&name) {
            self.nodes.remove(&old.node);
        }
        self.nodes.insert(room.node.clone(), name.clone());
        self.all.insert(name, room);
    }

    /// Takes out a room.
    pub fn remove(&mut self, name: &str) -> Option<Room> {
        let room = self.all.remove(&fold(name))?;
        self.nodes.remove(&room.node);
        self.private.retain(|_, node| *node != room.node);
        Some(room)
    }

    /// The names of all rooms.
    pub fn names(&self) -> Vec<String> {
        self.all.values().map(|room| room.name.clone()).collect()
    }

    /// The name that a local part stands for, in the network's own spelling if it listed the room.
    pub fn legacy_name(&self, cx: &Context, node: &str) -> String {
        if let Some(room) = self.at(node) {
            return room.name.clone();
        }
        let jid = cx.contact_bare(node);
        if let Some((name, ..)) = self.bookmarks.iter().find(|(_, bookmark, _)| *bookmark == jid) {
            return name.clone();
        }
        let is_it =
            |listed: &&Listed| listed.jid.strip_prefix(node).is_some_and(|rest| rest.starts_with('@'));
        match self.list.iter().chain(&cx.rooms).find(is_it) {
            Some(listed) => listed.name.clone(),
            // A bookmark of the time when all names were written small.
            None => {
                let name = room_name::name(node);
                let folded = fold(&name);
                let mut alike =
                    self.list.iter().chain(&cx.rooms).filter(|listed| fold(&listed.name) == folded);
                match (alike.next(), alike.next()) {
                    (Some(only), None) => only.name.clone(),
                    _ => name,
                }
            }
        }
    }

    /// The local part under which the user is in a room of this name, or waits for it.
    pub fn node_of(&self, name: &str) -> Option<&str> {
        self.all.get(&fold(name)).map(|room| room.node.as_str())
    }

    /// Takes over the network's list.
    pub fn set_list(&mut self, cx: &Context, names: &[String], titles: &[String]) {
        self.list = listed(cx, names, titles);
        self.listed = Some(cx.now);
    }
}

/// What a backend lists, in the order of JIDs.
pub fn listed(cx: &Context, names: &[String], titles: &[String]) -> Vec<Listed> {
    let titles = titles.iter().map(String::as_str).chain(std::iter::repeat(""));
    let mut seen = BTreeSet::new();
    let listed = names.iter().zip(titles).filter_map(|(name, title)| {
        let jid = cx.contact_bare(&cx.room_node(name)?);
        let title = if title.is_empty() { name } else { title };
        seen.insert(jid.clone()).then(|| Listed { jid, name: name.clone(), title: title.to_owned() })
    });
    let mut list: Vec<Listed> = listed.take(LISTED).collect();
    list.sort_by(|one, other| one.jid.cmp(&other.jid));
    list
}

#[cfg(test)]
mod tests {
    use spectrum2_backend_protocol::Participant;

    use super::*;

    fn room() -> Room {
        Room::new("#verona".into(), "#verona".into(), "romeo".into(), String::new())
    }

    #[test]
    fn the_occupant_id_outlives_a_nick() {
        let mut room = room();
        let tybalt = Participant { nickname: "tybalt".into(), ..Default::default() };
        room.occupants.mention("tybalt", Occupant::read(&tybalt), false);
        let id = room.occupant_id("tybalt");
        room.occupants.rename("tybalt", "ty_cat");
        assert_eq!(room.occupant_id("ty_cat"), id);
        assert_ne!(room.occupant_id("nurse"), id);
    }
}
