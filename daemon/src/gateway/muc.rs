//! Rooms (XEP-0045), from the user's side: joining, leaving, speaking, inviting.
//!
//! A join is asked of the network once, whoever of the user's clients wants it first. It is answered only when the network
//! has: with all that XEP-0045 §7.2 wants in its order, or with an error in the network's own words.

use jid::{BareJid, Jid};
use spectrum2_backend_protocol::{Frame, Invitation, Participant, Room as RoomFrame, RoomReason};
use spectrum2_xmpp::stanza::{Condition, ErrorType};
use spectrum2_xmpp::{Element, ns, xep_0071};

use super::archive;
use super::contact::fold;
use super::context::{Context, LABEL, Pending, clip};
use super::event::Time;
use super::history::{self, History, Past, Said};
use super::message::{body, conversation};
use super::occupants::Occupant;
use super::presence::{self, Resource};
use super::room::{Client, Departure, Listing, ROOMS, Room, State, code};
use super::timer::Timer;
use super::user::User;
use crate::storage::{self, Answer, NewLine, Wanted};

/// The network must have answered a join by then.
const JOIN: u64 = 60_000;
/// A subject that has not come by then is taken for none.
const SUBJECT: u64 = 3_000;
/// Joins that wait until the user is registered.
const EARLY: usize = 20;
/// A client that is still on line after this time has left a room for good, although the user stays connected.
const LEFT: u64 = 10_000;
/// People with whom a user may talk through rooms.
const PRIVATE: usize = 500;
/// The longest message, in bytes as it is written: clients see it with all that is in it, and servers must accept that.
const LONGEST: usize = 200 << 10;

impl Room {
    /// Sends a stanza to all clients that are in the room.
    pub fn to_all(&self, cx: &mut Context, user: &BareJid, stanza: Element) {
        to_each(cx, user, self.clients.keys(), stanza);
    }

    /// Sends a message to those clients that have seen what is in the room.
    pub fn to_present(&self, cx: &mut Context, user: &BareJid, stanza: Element) {
        let present = self.clients.iter().filter(|(_, client)| !client.waiting);
        to_each(cx, user, present.map(|(name, _)| name), stanza);
    }

    /// Shows a client who is there: first the others, then itself (XEP-0045 §7.2.3).
    fn show_occupants(&mut self, cx: &mut Context, user: &BareJid, client: &str) {
        let to = presence::full(user, client);
        for (nick, occupant) in self.occupants.iter().filter(|(nick, _)| *nick != self.nick) {
            let stanza = self.occupant_presence(cx, nick, occupant);
            cx.send(stanza.with("to", to.clone()));
        }
        self.show_self(cx, &to, client);
    }

    fn show_self(&mut self, cx: &mut Context, to: &str, client: &str) {
        let Some(own) = self.occupants.get(&self.nick) else { return };
        let mut stanza = self.occupant_presence(cx, &self.nick, own);
        let nick = self.shown(&self.nick).to_owned();
        if let Some(client) = self.clients.get_mut(client) {
            if client.asked != nick {
                // XEP-0045 §7.2.3: the service changed the nick.
                if let Some(x) = stanza.find_mut("x", ns::MUC_USER) {
                    x.push(code(210));
                }
                client.asked = nick;
            }
            if let Some(id) = client.id.take() {
                // As in the examples there; clients know by it which of their joins it answers.
                stanza.set_attr("id", id);
            }
        }
        stanza.set_attr("to", to);
        cx.send(stanza);
    }

    /// XEP-0045 §7.7: a client shows something else of itself, and all of the user's see it. The network is told by what
    /// he shows the gateway.
    fn show_own(&mut self, cx: &mut Context, user: &BareJid, stanza: &Element) {
        let Some(own) = self.occupants.get(&self.nick) else { return };
        let shows = Resource::read(stanza);
        let mut changed = own.clone();
        changed.status = shows.status;
        changed.text = Some(clip(shows.text, LABEL).into_boxed_str()).filter(|text| !text.is_empty());
        let (nick, shown) = (self.nick.clone(), self.shown(&self.nick).to_owned());
        let before = self.seen_as(&shown);
        let comes = self.occupant_presence(cx, &nick, &changed);
        if self.occupants.mention(&nick, changed, true) {
            self.show_change(cx, user, &shown, before, comes);
        }
    }

    /// The network let the user in: he is shown who is there.
    pub fn enter(&mut self, cx: &mut Context, user: &BareJid) {
        let returning = matches!(self.state, State::Returning(_));
        if self.occupants.get(&self.nick).is_none() {
            let own = Participant { nickname: self.nick.clone(), ..Participant::default() };
            self.occupants.mention(&self.nick, Occupant::read(&own), true);
        }
        if returning {
            for (nick, occupant) in self.occupants.take_stale() {
                self.unseen.is_gone(nick, occupant);
            }
            if cx.up {
                self.show_late(cx, user, false);
            }
        }
        if !returning || self.clients.values().any(|client| client.asked != self.nick) {
            for client in self.clients.keys().cloned().collect::<Vec<_>>() {
                self.show_occupants(cx, user, &client);
            }
        }
        if returning {
            self.state = State::Joined;
            for said in self.memory.take_held_back() {
                self.deliver(cx, user, said);
            }
            return;
        }
        self.state = State::Entered(cx.now);
        if self.subject.is_some() {
            self.settle(cx, user);
        } else {
            cx.timers.set_earlier(Timer::Rooms(user.clone()), cx.now.after(SUBJECT));
        }
    }

    /// The history is complete: it is sent, and after it the subject (XEP-0045 §7.2.15), always exactly one. If the
    /// archive has not been read yet, all this is done when it has.
    pub fn settle(&mut self, cx: &mut Context, user: &BareJid) {
        self.settling = self.memory.is_awaited();
        if self.settling {
            return;
        }
        let archived = self.memory.take_archived();
        let (told, live): (Vec<_>, Vec<_>) =
            self.memory.take_held_back().into_iter().partition(|said| said.late);
        let usual = told.len();
        // Nobody is there if the user stays connected.
        let present = !self.clients.is_empty();
        // What the network tells of times before the end of the archive was in it once, or was never to be.
        let (new, old): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|said| history::is_new(&archived, said.past.stamp));
        let mut past: Vec<Past> = old.into_iter().map(|said| said.past).chain(archived).collect();
        for mut said in new {
            self.memory.fit(&mut said.past);
            let archived = self.archive(cx, user, &said);
            self.memory.note(&said, present, archived);
            past.push(said.past);
        }
        let usual = self.memory.usual(&past).max(usual);
        for (name, client) in &self.clients {
            let to = presence::full(user, name);
            for message in client.history.of(&past, cx.wall_clock(), usual, &self.jid(cx), &to) {
                cx.send(message);
            }
        }
        let subject = self.subject_message(cx, None);
        self.to_all(cx, user, subject);
        if present || self.memory.heard().is_none() {
            self.memory.all_heard(cx.archive_id());
        }
        self.state = State::Joined;
        for said in live {
            self.deliver(cx, user, said);
        }
    }

    /// Somebody said something. Until the user has seen who is in the room it is held back.
    pub fn say(&mut self, cx: &mut Context, user: &BareJid, said: Said) {
        if matches!(self.state, State::Entered(_)) && !said.late {
            // Who speaks now speaks after all that was said before.
            self.settle(cx, user);
        }
        if self.state != State::Joined {
            self.memory.hold_back(said);
        } else if !self.memory.is_repeated(&said) {
            self.deliver(cx, user, said);
        }
    }

    /// A message goes to the clients and to the archive.
    fn deliver(&mut self, cx: &mut Context, user: &BareJid, mut said: Said) {
        self.memory.fit(&mut said.past);
        let archived = self.archive(cx, user, &said);
        let present = self.clients.values().any(|client| !client.waiting);
        self.memory.note(&said, present, archived);
        let stanza = if said.late { said.past.sent(&self.jid(cx), "") } else { said.past.stanza };
        self.to_present(cx, user, stanza);
    }

    /// Archives a message, if messages are archived here.
    fn archive(&self, cx: &mut Context, user: &BareJid, said: &Said) -> bool {
        let archives = cx.archive_size() > 0;
        if archives {
            let Past { id, stamp, stanza } = &said.past;
            let line = NewLine { id: *id, stamp: *stamp, nick: &said.nick };
            cx.archive(user, &self.node, line, |out| archive::write(stanza, *id, out));
        }
        archives
    }

    /// The subject changed: it is shown, and archived (XEP-0313 §6.1.2).
    pub fn show_subject(&mut self, cx: &mut Context, user: &BareJid) {
        let id = cx.archive_id();
        let stanza = self.subject_message(cx, Some(id));
        let from = stanza.attr("from").and_then(|from| from.split_once('/'));
        let nick = from.map_or("", |(_, nick)| nick).to_owned();
        let past = Past { id, stamp: cx.wall_clock(), stanza };
        let said = Said { past, nick, late: false };
        self.archive(cx, user, &said);
        self.to_present(cx, user, said.past.stanza);
    }

    /// Asks for the end of the archive; `false` if there is none.
    fn read_archive(&self, cx: &mut Context, user: &BareJid, most: usize) -> bool {
        if cx.archive_size() == 0 {
            return false;
        }
        cx.flush_archive();
        let max = u32::try_from(most).unwrap_or(u32::MAX);
        let wanted = Wanted { backwards: true, max, ..Wanted::default() };
        let request = storage::Request::ArchivePage(user.clone(), self.node.clone(), wanted);
        cx.ask(request, Pending::Past(user.clone(), self.node.clone()));
        true
    }

    /// A client comes into a room in which the user is: it is shown everything when the archive has been read.
    fn admit(&mut self, cx: &mut Context, user: &BareJid, name: &str) {
        let alone = self.clients.values().filter(|client| !client.waiting).count() <= 1;
        let Some(client) = self.clients.get_mut(name) else { return };
        // Those that no client has heard are counted when they are there.
        let most = client.history.most(if alone { history::LONGEST } else { history::USUAL });
        client.waiting = most > 0;
        if most > 0 && self.read_archive(cx, user, most) {
            self.memory.read_again();
        } else {
            let missed = self.memory.take_missed();
            self.welcome(cx, user, name, &missed);
        }
    }

    /// Shows a client who is in the room, what was said there, and the subject (XEP-0045 §7.2).
    fn welcome(&mut self, cx: &mut Context, user: &BareJid, name: &str, past: &[Past]) {
        let Some(client) = self.clients.get_mut(name) else { return };
        client.waiting = false;
        let history = client.history;
        self.show_occupants(cx, user, name);
        let to = presence::full(user, name);
        let usual = self.memory.usual(past);
        for message in history.of(past, cx.wall_clock(), usual, &self.jid(cx), &to) {
            cx.send(message);
        }
        let subject = self.subject_message(cx, None);
        cx.send(subject.with("to", to));
        self.memory.all_heard(cx.archive_id());
    }

    /// The end of the archive has been read.
    fn past_read(&mut self, cx: &mut Context, user: &BareJid, past: Vec<Past>) {
        let past = self.memory.was_read(past, &self.jid(cx));
        if self.settling {
            self.settle(cx, user);
        }
        // While nothing can be shown they wait on.
        if cx.up {
            let waiting = self.clients.iter().filter(|(_, client)| client.waiting);
            let waiting: Vec<String> = waiting.map(|(name, _)| name.clone()).collect();
            if !waiting.is_empty() {
                self.show_late(cx, user, true);
            }
            for name in waiting {
                self.welcome(cx, user, &name, &past);
            }
        }
    }

    /// Ends the stay of all clients.
    pub fn expel(&self, cx: &mut Context, user: &BareJid, departure: &Departure<'_>) {
        let stanza = self.own_departure(cx, departure);
        self.to_all(cx, user, stanza);
    }

    /// Tells all clients that the room could not be joined (XEP-0045 §7.2).
    pub fn refuse_all(&self, cx: &mut Context, user: &BareJid, reason: RoomReason, text: &str) {
        let (kind, condition) = refusal(reason);
        for (name, client) in &self.clients {
            // COMPAT(Dino): it knows by the id that a join has failed.
            let join = Element::new("presence", ns::CLIENT)
                .with_opt("id", client.id.clone())
                .with("from", presence::full(user, name))
                .with("to", format!("{}/{}", self.jid(cx), client.asked))
                .child(Element::new("x", ns::MUC));
            cx.refuse(&join, kind, condition, text);
        }
    }
}

/// The errors of XEP-0045 §15.6.1 and §7.2.
const fn refusal(reason: RoomReason) -> (ErrorType, Condition) {
    match reason {
        RoomReason::NotFound | RoomReason::Destroyed => (ErrorType::Cancel, Condition::ItemNotFound),
        RoomReason::NickTaken => (ErrorType::Cancel, Condition::Conflict),
        RoomReason::Password => (ErrorType::Auth, Condition::NotAuthorized),
        RoomReason::Banned | RoomReason::Kicked => (ErrorType::Auth, Condition::Forbidden),
        RoomReason::MembersOnly => (ErrorType::Auth, Condition::RegistrationRequired),
        RoomReason::Full => (ErrorType::Wait, Condition::ServiceUnavailable),
        RoomReason::NotAllowed => (ErrorType::Cancel, Condition::NotAllowed),
        RoomReason::BadNick => (ErrorType::Modify, Condition::NotAcceptable),
        RoomReason::TooMany => (ErrorType::Wait, Condition::ResourceConstraint),
        RoomReason::Disconnected => (ErrorType::Wait, Condition::RecipientUnavailable),
        RoomReason::Other => (ErrorType::Cancel, Condition::UndefinedCondition),
    }
}

impl User {
    /// Whether the backend reports joins, and takes what Spectrum 2's do not.
    pub fn has_room_extension(&self, cx: &Context) -> bool {
        self.online().and_then(|link| cx.pool.get(link)).is_some_and(|backend| backend.rooms)
    }

    /// Presence for a room; `false` if it is not for one.
    pub fn room_presence(&mut self, cx: &mut Context, node: &str, from: &Jid, stanza: &Element) -> bool {
        let Some(client) = presence::resource(from) else { return false };
        let is_in = self.rooms.at(node).is_some_and(|room| room.clients.contains_key(client));
        let is_deserted = self.rooms.at(node).is_some_and(|room| room.clients.is_empty());
        match (stanza.attr("type"), stanza.find("x", ns::MUC)) {
            (None, Some(x)) => self.join_room(cx, node, client, stanza, x),
            (None, None) if is_in => self.change_presence(cx, node, client, stanza),
            // COMPAT(Spectrum 2): XEP-0045 §7.2.1 wants `<x/>` in a join; for channels of IRC it does without.
            (None, None) if node.starts_with('#') && nick_of(stanza).is_some() => {
                self.join_room(cx, node, client, stanza, &Element::new("x", ns::MUC));
            }
            (None, None) if self.is_for_occupant(cx, node, stanza) => {
                // It takes itself for somebody in the room.
                cx.refuse(stanza, ErrorType::Cancel, Condition::NotAcceptable, "You are not in the room");
            }
            // Also for a client that does not know that it is not there since a restart.
            (Some("unavailable"), _) if is_in || is_deserted => {
                self.leave_room(cx, node, client, Some(stanza));
            }
            // XEP-0045 §9: a client that is not there any more.
            (Some("error"), _) if is_in => self.leave_room(cx, node, client, None),
            _ => return false,
        }
        true
    }

    fn join_room(&mut self, cx: &mut Context, node: &str, client: &str, stanza: &Element, x: &Element) {
        let nick = nick_of(stanza);
        if let Some((kind, condition, text)) = self.why_not_join(cx, node, nick.as_deref()) {
            cx.refuse(stanza, kind, condition, text);
            return;
        }
        let nick = nick.unwrap_or_default();
        if self.registration.is_none() {
            if self.rooms.early.len() >= EARLY || !self.register_by_join(cx, &nick) {
                let text = "Register with the gateway first";
                cx.refuse(stanza, ErrorType::Auth, Condition::RegistrationRequired, text);
            } else {
                self.rooms.early.push(stanza.clone());
            }
            return;
        }
        if self.online().is_none() && !self.expects_login() && !self.log_in_to_join(cx, client, stanza) {
            return;
        }
        if self.rooms.at(node).is_none() {
            let name = self.rooms.legacy_name(cx, node);
            if let Some(other) = self.rooms.node_of(&name) {
                // One name may have two JIDs, with `%` and with `\40`.
                let text = format!("You are in this room already, as {}", cx.contact_bare(other));
                cx.refuse(stanza, ErrorType::Cancel, Condition::NotAllowed, &text);
                return;
            }
            let password = x.child_text("password", ns::MUC).unwrap_or_default().into_owned();
            self.rooms.insert(Room::new(name, node.to_owned(), nick.clone(), password));
        }
        let user = self.jid.clone();
        let Some(room) = self.rooms.by_node(node) else { return };
        let id = stanza.attr("id").map(str::to_owned);
        let wishes = Client { asked: nick, id, history: History::read(x), waiting: false };
        room.clients.insert(client.to_owned(), wishes);
        room.left_by = None;
        room.show_late(cx, &user, true);
        match room.state {
            State::Wanted => self.ask_to_join(cx, node),
            State::Joining(_) => {}
            State::Entered(_) => room.show_occupants(cx, &user, client),
            State::Joined | State::Lost | State::Returning(_) => room.admit(cx, &user, client),
        }
        self.keep_rooms(cx);
    }

    fn why_not_join(
        &self,
        cx: &Context,
        node: &str,
        nick: Option<&str>,
    ) -> Option<(ErrorType, Condition, &'static str)> {
        Some(if cx.capabilities.muc == Some(false) {
            (ErrorType::Cancel, Condition::ServiceUnavailable, "There are no rooms here")
        } else if nick.is_none_or(str::is_empty) {
            // XEP-0045 §7.2.1.
            (ErrorType::Modify, Condition::JidMalformed, "Say under which nick you want to join")
        } else if self.rooms.at(node).is_none() && self.rooms.len() >= ROOMS {
            (ErrorType::Wait, Condition::ResourceConstraint, "You are in as many rooms as the gateway allows")
        } else {
            return None;
        })
    }

    /// A client joins before it showed itself to the gateway: for its sake the user is logged in. `false`: that cannot be,
    /// and the client was told why.
    fn log_in_to_join(&mut self, cx: &mut Context, client: &str, stanza: &Element) -> bool {
        if let Some(resource) = self.resources.get_mut(client) {
            // It is there, and the login was refused: who joins wants it tried again.
            resource.stale = false;
            self.log_in(cx);
        } else {
            self.available(cx, client, stanza);
            if let Some(resource) = self.resources.get_mut(client) {
                resource.guest = true;
            }
        }
        if self.online().is_some() || self.expects_login() {
            return true;
        }
        let text = match self.state_reason() {
            "" => "You are not logged in to the network",
            reason => reason,
        };
        cx.refuse(stanza, ErrorType::Wait, Condition::RecipientUnavailable, text);
        self.part_guest(cx, client);
        false
    }

    /// Lets go of a client that was there for a room only, and is in none any more.
    fn part_guest(&mut self, cx: &mut Context, client: &str) {
        let guest = self.resources.get(client).is_some_and(|resource| resource.guest);
        if guest && !self.rooms.iter_mut().any(|room| room.clients.contains_key(client)) {
            self.unavailable(cx, Some(client));
        }
    }

    /// The user has been registered, or cannot be: joins that waited for it go on.
    pub fn registration_settled(&mut self, cx: &mut Context) {
        for stanza in std::mem::take(&mut self.rooms.early) {
            let from = stanza.attr("from").and_then(|from| from.parse::<Jid>().ok());
            let to = stanza.attr("to").and_then(|to| to.parse::<Jid>().ok());
            let (Some(from), Some(node)) = (from, to.as_ref().and_then(Jid::node)) else { continue };
            if self.registration.is_some() {
                self.room_presence(cx, node.as_str(), &from, &stanza);
            } else {
                let text = "Register with the gateway first";
                cx.refuse(&stanza, ErrorType::Auth, Condition::RegistrationRequired, text);
            }
        }
    }

    /// Asks the network, if the user is logged in.
    fn ask_to_join(&mut self, cx: &mut Context, node: &str) {
        let Some(link) = self.online() else { return };
        let user = self.jid.clone();
        let Some(room) = self.rooms.by_node(node) else { return };
        room.state = match room.state {
            State::Lost | State::Returning(_) => State::Returning(cx.now),
            _ => State::Joining(cx.now),
        };
        // Somebody who returns knows what was said.
        let first = matches!(room.state, State::Joining(_));
        let reading = first && room.read_archive(cx, &user, history::MARKS);
        room.memory.begin(reading);
        let frame = RoomFrame {
            user_name: user.to_string(),
            nickname: room.nick.clone(),
            room: room.name.clone(),
            password: Some(room.password.clone()),
        };
        cx.frame(link, Frame::JoinRoom(frame));
        cx.timers.set_earlier(Timer::Rooms(user), cx.now.after(JOIN));
    }

    /// Whether a stanza can only be for an occupant of a room: it has the address of one, and no contact has it.
    pub fn is_for_occupant(&mut self, cx: &Context, node: &str, stanza: &Element) -> bool {
        let name = self.rooms.legacy_name(cx, node);
        cx.capabilities.muc == Some(true)
            && self.registration.is_some()
            && self.contacts.by_node(node).is_none()
            && nick_of(stanza).is_some_and(|nick| nick != "bot" || cx.is_no_persons_name(&name))
            && cx.is_room_name(&name)
    }

    /// A client that is in a room wants another nick, or shows something else of itself.
    fn change_presence(&mut self, cx: &mut Context, node: &str, client: &str, stanza: &Element) {
        let Some(room) = self.rooms.by_node(node).filter(|room| room.is_entered()) else { return };
        match nick_of(stanza) {
            Some(nick) if nick != room.shown(&room.nick) => self.change_nick(cx, node, client, nick, stanza),
            Some(_) => room.show_own(cx, &self.jid, stanza),
            None => {}
        }
    }

    /// XEP-0045 §7.6. The user's other clients share the nick.
    fn change_nick(&mut self, cx: &mut Context, node: &str, client: &str, nick: String, stanza: &Element) {
        let extension = self.has_room_extension(cx);
        let (link, user) = (self.online(), self.jid.to_string());
        let Some(room) = self.rooms.by_node(node) else { return };
        match link {
            Some(link) if extension => {
                if let Some(client) = room.clients.get_mut(client) {
                    client.asked.clone_from(&nick);
                    client.id = stanza.attr("id").map(str::to_owned);
                }
                let name = room.name.clone();
                let frame = RoomFrame { user_name: user, nickname: nick, room: name, password: None };
                cx.frame(link, Frame::RoomNicknameChanged(frame));
            }
            _ => {
                let text = "The network does not let you change your nick here";
                cx.refuse(stanza, ErrorType::Cancel, Condition::NotAcceptable, text);
            }
        }
    }

    /// A client leaves; `stanza` is its presence, if it is there to hear the answer.
    fn leave_room(&mut self, cx: &mut Context, node: &str, client: &str, stanza: Option<&Element>) {
        let session = self.online().is_some() || self.expects_login();
        let stays = session && self.setting(cx, "stay_connected");
        let user = self.jid.clone();
        let kept = self.rooms.at(node).is_some_and(|room| self.rooms.kept.contains(&room.name));
        let Some(room) = self.rooms.by_node(node) else { return };
        let entered = room.is_entered();
        if room.clients.remove(client).is_none() && !room.clients.is_empty() {
            return;
        }
        if stanza.is_some() {
            // XEP-0045 §7.14; networks take no parting words.
            let text = stanza.and_then(|stanza| stanza.find_same("status")).map(Element::content);
            let departure = Departure::new(RoomReason::Other, text.as_deref());
            let answer = room.own_departure(cx, &departure);
            cx.send(answer.with("to", presence::full(&user, client)));
        }
        let deserted = room.clients.is_empty();
        if deserted && !(stays && (entered || kept)) {
            self.leave_for_good(cx, node);
        } else if deserted && stanza.is_some() {
            // A server says the same in the name of a client that goes off line.
            room.left_by = Some((client.to_owned(), cx.now));
            cx.timers.set_earlier(Timer::Rooms(user), cx.now.after(LEFT));
        }
        self.keep_rooms(cx);
        self.part_guest(cx, client);
    }

    /// The user does not want to be in a room any more.
    fn leave_for_good(&mut self, cx: &mut Context, node: &str) {
        if let Some(name) = self.rooms.at(node).map(|room| room.name.clone()) {
            self.drop_kept_room(cx, &name);
        }
        self.forget_room(cx, node);
    }

    /// Leaves a room on the network.
    fn forget_room(&mut self, cx: &mut Context, node: &str) {
        let Some(name) = self.rooms.at(node).map(|room| room.name.clone()) else { return };
        self.rooms.remove(&name);
        if let Some(link) = self.online() {
            let user_name = self.jid.to_string();
            let frame = RoomFrame { user_name, nickname: String::new(), room: name, password: None };
            cx.frame(link, Frame::LeaveRoom(frame));
        }
    }

    /// A client is gone: no ghost of it stays in a room.
    pub fn leave_rooms(&mut self, cx: &mut Context, client: &str) {
        // It went off line: it did not leave the room alone.
        for room in self.rooms.iter_mut() {
            room.left_by.take_if(|(name, _)| name == client);
        }
        for name in self.rooms.names() {
            if let Some(node) = self.rooms.by_name(&name).map(|room| room.node.clone()) {
                self.leave_room(cx, &node, client, None);
            }
        }
    }

    /// The user is logged in: rooms that he waits for are joined, those that he was in are joined again.
    pub fn rooms_connected(&mut self, cx: &mut Context) {
        self.restore_rooms(cx);
        for name in self.rooms.names() {
            let Some(room) = self.rooms.by_name(&name) else { continue };
            room.occupants.mark_stale();
            let node = room.node.clone();
            self.ask_to_join(cx, &node);
        }
    }

    /// The session broke, and will be back: who is in a room stays, as far as he sees.
    pub fn rooms_broken(&mut self, cx: &mut Context) {
        self.forget_commands(cx);
        for room in self.rooms.iter_mut() {
            room.state = if room.is_entered() { State::Lost } else { State::Wanted };
        }
        self.rooms.listing = Listing::Unknown;
        self.rooms.listed = None;
    }

    /// There is no session any more, nor will there be one soon.
    pub fn rooms_over(&mut self, cx: &mut Context, text: &str) {
        for (_, iq) in std::mem::take(&mut self.rooms.asking) {
            cx.refuse(&iq, ErrorType::Wait, Condition::RecipientUnavailable, text);
        }
        self.forget_commands(cx);
        self.rooms_unheard(cx);
        for name in self.rooms.names() {
            let Some(room) = self.rooms.remove(&name) else { continue };
            if room.is_entered() {
                let stopped = Departure::shutdown();
                let broken = Departure::new(RoomReason::Disconnected, Some(text));
                room.expel(cx, &self.jid, if cx.stopping { &stopped } else { &broken });
            } else {
                room.refuse_all(cx, &self.jid, RoomReason::Disconnected, text);
            }
        }
        self.rooms.list = Vec::new();
        self.rooms.bookmarks = Vec::new();
        self.rooms.listing = Listing::Unknown;
        self.rooms.no_pep = false;
        self.rooms.listed = None;
        self.resources.retain(|_, resource| !resource.guest);
    }

    /// The XMPP link is back: what happened meanwhile in the rooms is shown.
    pub fn rooms_reappear(&mut self, cx: &mut Context) {
        for room in self.rooms.iter_mut() {
            room.show_late(cx, &self.jid, false);
            if room.clients.values().any(|client| client.waiting)
                && room.read_archive(cx, &self.jid, history::LONGEST)
            {
                room.memory.read_again();
            }
        }
    }

    /// Joins that take too long, subjects that do not come, and other answers that the network owes.
    pub fn check_rooms(&mut self, cx: &mut Context) {
        let (mut late, mut left) = (Vec::new(), Vec::new());
        if self.bookmarks_due().is_some_and(|due| due <= cx.now) {
            self.bookmarks_settled(cx);
        }
        let mut next = [self.bookmarks_due(), self.expire_answers(cx)].into_iter().flatten().min();
        for room in self.rooms.iter_mut() {
            if room.unseen.due().is_some_and(|due| due <= cx.now) && cx.up {
                room.show_late(cx, &self.jid, false);
            }
            if let Some(due) = room.unseen.due().filter(|_| cx.up) {
                next = Some(next.map_or(due, |next: Time| due.min(next)));
            }
            match &room.left_by {
                Some((client, at)) if at.after(LEFT) <= cx.now => {
                    let there = self.resources.get(client).is_some_and(|resource| !resource.stale);
                    if there && cx.up {
                        left.push(room.node.clone());
                    }
                    room.left_by = None;
                }
                Some((_, at)) => next = Some(next.map_or(at.after(LEFT), |next| at.after(LEFT).min(next))),
                None => {}
            }
            let due = match room.state {
                State::Joining(since) | State::Returning(since) => since.after(JOIN),
                State::Entered(since) => since.after(SUBJECT),
                State::Wanted | State::Joined | State::Lost => continue,
            };
            match room.state {
                _ if due > cx.now => next = Some(next.map_or(due, |next| due.min(next))),
                State::Entered(_) => room.settle(cx, &self.jid),
                _ => late.push(room.node.clone()),
            }
        }
        for node in left {
            self.leave_for_good(cx, &node);
        }
        for node in late {
            let text = "The network did not answer";
            let Some(room) = self.rooms.at(&node) else { continue };
            if room.is_entered() {
                room.expel(cx, &self.jid, &Departure::new(RoomReason::Disconnected, Some(text)));
            } else {
                room.refuse_all(cx, &self.jid, RoomReason::Full, text);
            }
            self.forget_room(cx, &node);
        }
        if let Some(next) = next {
            cx.timers.set(Timer::Rooms(self.jid.clone()), next);
        }
    }

    /// A message for a room, or for an occupant; `false` if it is not for one.
    pub fn room_message(&mut self, cx: &mut Context, node: &str, stanza: &Element) -> bool {
        let groupchat = stanza.attr("type") == Some("groupchat");
        let invites =
            stanza.find("x", ns::MUC_USER).is_some_and(|x| x.find("invite", ns::MUC_USER).is_some());
        if stanza.find("x", ns::MUC_USER).is_some_and(|x| x.find("decline", ns::MUC_USER).is_some()) {
            // XEP-0045 §7.8.2: who declines may, and networks do not tell who invited.
            return true;
        }
        if self.rooms.at(node).is_none()
            && !groupchat
            && !invites
            && !self.is_said_in_a_room(cx, node, stanza)
        {
            return false;
        }
        let client = stanza.attr("from").and_then(|from| from.split_once('/')).map(|(_, client)| client);
        let is_in = self
            .rooms
            .at(node)
            .is_some_and(|room| room.is_entered() && client.is_some_and(|c| room.clients.contains_key(c)));
        if !is_in {
            // XEP-0045 §7.4.
            cx.refuse(stanza, ErrorType::Modify, Condition::NotAcceptable, "You are not in the room");
            return true;
        }
        match nick_of(stanza) {
            Some(_) if groupchat => {
                cx.refuse(stanza, ErrorType::Modify, Condition::BadRequest, "A room is spoken to as a whole");
            }
            // An occupant may be invited like any contact.
            Some(_) if self.direct_invitation(cx, stanza) => {}
            Some(nick) => self.say_privately(cx, node, &nick, stanza),
            None if invites => self.invite(cx, node, stanza),
            None if groupchat => self.say_in_room(cx, node, stanza),
            None if stanza.find("x", ns::DATA).is_some() => {
                // XEP-0045 §7.13.
                let text = "The network has no requests for voice; ask a moderator in private";
                cx.refuse(stanza, ErrorType::Cancel, Condition::FeatureNotImplemented, text);
            }
            None => {
                let text = "Speak to the room with messages of type groupchat";
                cx.refuse(stanza, ErrorType::Modify, Condition::BadRequest, text);
            }
        }
        true
    }

    /// Whether a message is for a room or an occupant, although the user is not there: a contact must not get it, and
    /// least of all must the room get what was meant for one of its occupants.
    fn is_said_in_a_room(&mut self, cx: &Context, node: &str, stanza: &Element) -> bool {
        // XEP-0045 §7.5: private messages in rooms are marked by `<x/>`.
        let is_marked = nick_of(stanza).is_some() && stanza.find("x", ns::MUC_USER).is_some();
        cx.capabilities.muc != Some(false)
            && (is_marked || cx.is_no_persons_name(&self.rooms.legacy_name(cx, node)))
            && self.contacts.by_node(node).is_none()
    }

    fn say_in_room(&mut self, cx: &mut Context, node: &str, stanza: &Element) {
        let name = self.rooms.legacy_name(cx, node);
        let subject = stanza.find_same("subject");
        if let (Some(subject), None, None) = (subject, stanza.find_same("body"), stanza.find_same("thread")) {
            // XEP-0045 §8.1.
            let Some(link) = self.online() else {
                let text = "You are not logged in to the network";
                cx.refuse(stanza, ErrorType::Wait, Condition::RecipientUnavailable, text);
                return;
            };
            let mut message = conversation(&self.jid, name, subject.content().into_owned());
            if self.has_room_extension(cx) {
                message.serial = self.await_result(cx, stanza);
                if message.serial.is_none() {
                    return;
                }
            }
            cx.frame(link, Frame::RoomSubjectChanged(message));
            return;
        }
        let fastened = stanza.find("apply-to", ns::FASTEN);
        if stanza.find("retract", ns::RETRACT).is_some()
            || fastened.is_some_and(|apply| apply.find("retract", ns::RETRACT_0).is_some())
        {
            // XEP-0424 §3: what stands beside it for older clients is not what the user wants to say.
            let text = "The network cannot take back what was said";
            cx.refuse(stanza, ErrorType::Cancel, Condition::FeatureNotImplemented, text);
            return;
        }
        if stanza.to_xml().len() > LONGEST {
            let text = "The message is too long";
            cx.refuse(stanza, ErrorType::Modify, Condition::PolicyViolation, text);
            return;
        }
        let Some(text) = body(stanza) else {
            // Without a body there is nothing that networks know. Chat states and markers nobody misses.
            if stanza.find("reactions", ns::REACTIONS).is_some() {
                let text = "The network has no reactions";
                cx.refuse(stanza, ErrorType::Cancel, Condition::FeatureNotImplemented, text);
            }
            return;
        };
        cx.counters.from_xmpp += 1;
        let mut message = conversation(&self.jid, name, text);
        message.xhtml = xep_0071::read(stanza);
        if !self.has_room_extension(cx)
            && let Some(room) = self.rooms.by_node(node)
        {
            room.expect_echo(message.message.clone(), stanza.clone());
        }
        self.deliver(cx, message, stanza);
    }

    /// The network has a message of the user: all of his clients see it, with the id that its sender knows it by
    /// (XEP-0045 §7.4).
    pub fn reflect(&mut self, cx: &mut Context, mut stanza: Element) {
        let to = stanza.attr("to").and_then(|to| to.parse::<Jid>().ok());
        let node = to.as_ref().and_then(Jid::node).map(|node| node.to_string());
        let Some(room) = node.as_deref().and_then(|node| self.rooms.by_node(node)) else { return };
        // XEP-0359 §6, XEP-0421 §4, XEP-0313 §6.1.2: what only a room may say.
        for (name, namespace) in [
            ("stanza-id", ns::SID),
            ("occupant-id", ns::OCCUPANT_ID),
            ("delay", ns::DELAY),
            ("x", ns::MUC_USER),
        ] {
            stanza.remove_children(name, namespace);
        }
        stanza.remove_attr("to");
        stanza.set_attr("from", room.occupant_jid(cx, &room.nick));
        let id = cx.archive_id();
        stanza.push(room.stanza_id(cx, id));
        stanza.push(room.occupant_id(&room.nick));
        let past = Past { id, stamp: cx.wall_clock(), stanza };
        let said = Said { past, nick: room.shown(&room.nick).to_owned(), late: false };
        room.say(cx, &self.jid, said);
    }

    /// The end of a room's archive has been read for those who join, or could not be.
    pub fn past_read(&mut self, cx: &mut Context, node: &str, answer: Result<Answer, storage::Error>) {
        let Some(room) = self.rooms.by_node(node) else { return };
        let lines = match answer {
            Ok(Answer::Page(page)) => page.unwrap_or_default().lines,
            answer => {
                let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
                tracing::error!(error, "the archive of a room could not be read for somebody who joins");
                Vec::new()
            }
        };
        let jid = room.jid(cx);
        let past = lines.into_iter().filter_map(|line| {
            let stanza = archive::read(&line, &jid)?;
            // XEP-0045 §7.2.15: subjects are no history.
            stanza.find_same("body")?;
            Some(Past { id: line.id, stamp: line.stamp, stanza })
        });
        room.past_read(cx, &self.jid, past.collect());
    }

    /// XEP-0045 §7.5.
    fn say_privately(&mut self, cx: &mut Context, node: &str, shown: &str, stanza: &Element) {
        let Some(room) = self.rooms.at(node) else { return };
        let Some(nick) = room.occupants.nick_of(shown).map(str::to_owned) else {
            cx.refuse(stanza, ErrorType::Cancel, Condition::ItemNotFound, "Nobody has this nick here");
            return;
        };
        let Some(text) = body(stanza) else { return };
        cx.counters.from_xmpp += 1;
        let mut message = conversation(&self.jid, format!("{}/{nick}", room.name), text);
        message.xhtml = xep_0071::read(stanza);
        if self.rooms.private.len() < PRIVATE {
            self.rooms.private.insert(fold(&nick), node.to_owned());
        }
        self.deliver(cx, message, stanza);
    }

    /// XEP-0045 §7.8.2: an invitation by way of the room.
    fn invite(&mut self, cx: &mut Context, node: &str, stanza: &Element) {
        let Some(x) = stanza.find("x", ns::MUC_USER) else { return };
        for invite in x.elements().filter(|child| child.is("invite", ns::MUC_USER)) {
            let guest = invite.attr("to").and_then(|to| to.parse::<Jid>().ok());
            let reason = invite.child_text("reason", ns::MUC_USER).map(std::borrow::Cow::into_owned);
            let text = match guest.filter(|guest| guest.domain() == cx.jid.domain()) {
                Some(guest) if self.send_invitation(cx, node, &guest, reason, stanza) => continue,
                Some(_) => "The network takes no invitations",
                None => "Only people of the network behind this gateway can be invited",
            };
            cx.refuse(stanza, ErrorType::Cancel, Condition::NotAcceptable, text);
            return;
        }
    }

    /// XEP-0249: an invitation that is sent to a contact; `false` if it is none, or not to a room of ours.
    pub fn direct_invitation(&mut self, cx: &mut Context, stanza: &Element) -> bool {
        let Some(x) = stanza.find("x", ns::CONFERENCE) else { return false };
        let room = x.attr("jid").and_then(|jid| jid.parse::<Jid>().ok());
        let guest = stanza.attr("to").and_then(|to| to.parse::<Jid>().ok());
        let (Some(room), Some(guest)) = (room, guest) else { return false };
        let Some(node) = room.node().filter(|_| room.domain() == cx.jid.domain()) else { return false };
        let is_in = self.rooms.at(node.as_str()).is_some_and(Room::is_entered);
        let reason = x.attr("reason").map(str::to_owned);
        is_in && self.send_invitation(cx, node.as_str(), &guest, reason, stanza)
    }

    /// `false`: the network takes none. Else `stanza` is refused if the network does not like this one.
    fn send_invitation(
        &mut self,
        cx: &mut Context,
        node: &str,
        guest: &Jid,
        text: Option<String>,
        stanza: &Element,
    ) -> bool {
        let (Some(link), Some(guest_node)) = (self.online(), guest.node()) else { return false };
        if !self.has_room_extension(cx) {
            return false;
        }
        let Some(serial) = self.await_result(cx, stanza) else { return true };
        // An occupant of another room, or a contact.
        let nick = guest.resource().map(|nick| nick.to_string());
        let contact = match self.rooms.at(guest_node.as_str()).zip(nick) {
            Some((room, nick)) => room.occupants.nick_of(&nick).unwrap_or(&nick).to_owned(),
            None => self.contacts.legacy_name(guest_node.as_str()),
        };
        let frame = Invitation {
            user_name: self.jid.to_string(),
            room: self.rooms.legacy_name(cx, node),
            contact,
            text,
            password: None,
            serial: Some(serial),
        };
        cx.frame(link, Frame::RoomInvite(frame));
        true
    }

    /// A stanza of ours came back from a client: it is not there any more (XEP-0045 §9.1, "ghosts").
    pub fn bounced(&mut self, cx: &mut Context, node: &str, from: &Jid, stanza: &Element) {
        let condition = stanza.find_same("error").and_then(|e| e.elements().next()).map_or("", Element::name);
        let gone = matches!(
            condition,
            "gone"
                | "internal-server-error"
                | "item-not-found"
                | "jid-malformed"
                | "recipient-unavailable"
                | "redirect"
                | "remote-server-not-found"
                | "remote-server-timeout"
                | "service-unavailable"
        );
        if let Some(client) = presence::resource(from).filter(|_| gone) {
            self.leave_room(cx, node, client, None);
        }
    }
}

/// Sends a stanza to these clients of a user; only copies are made that must be.
fn to_each<'a>(
    cx: &mut Context,
    user: &BareJid,
    mut clients: impl DoubleEndedIterator<Item = &'a String>,
    mut stanza: Element,
) {
    let Some(last) = clients.next_back() else { return };
    for client in clients {
        let mut copy = stanza.clone();
        copy.set_attr("to", presence::full(user, client));
        cx.send(copy);
    }
    stanza.set_attr("to", presence::full(user, last));
    cx.send(stanza);
}

/// The nick that a stanza is addressed to.
pub fn nick_of(stanza: &Element) -> Option<String> {
    let to: Jid = stanza.attr("to")?.parse().ok()?;
    to.resource().map(|nick| nick.to_string())
}
