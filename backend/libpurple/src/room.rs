//! Rooms, both ways. What the daemon is told of a room is what the network said, nothing that is only hoped for.
//!
//! To a daemon that knows the extension `rooms`, a join is done when all who are there have been named, and a message of
//! the user is acknowledged when the room has it. A daemon of Spectrum 2 is told by flags, and gets the message back.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use spectrum2_backend_protocol::{
    Affiliation, ConnectionError, ConversationMessage, Frame, Invitation, MAX_FRAME, Participant as Frames,
    ParticipantFlags, Role, Room, RoomCommand, RoomEnd, RoomList, RoomReason, RoomWish, StatusType,
};

use crate::confirm::{Confirmations, Silence};
use crate::html;
use crate::irc;
use crate::purple::{Departure, Leaver, Message, Participant, text};
use crate::session::{Session, is_one_line};

/// Rooms of one user.
const MAX_ROOMS: usize = 200;
/// Messages in one room that wait for their echo.
const MAX_ECHOES: usize = 200;
/// Where a plugin does not say that all occupants have been named, they are so soon.
const NAMING: Duration = Duration::from_secs(3);
/// prpl-jabber forgets a room when the network has confirmed that the user left, or never.
const VACATING: Duration = Duration::from_secs(5);

/// How far the stay in a room is.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The network was asked.
    Asked,
    /// The user is in; occupants are being named, until then at the latest.
    Entering(Instant),
    /// All is told.
    Joined,
    /// The user left, which the network has not confirmed; until then at the latest.
    Vacating(Instant),
}

/// A room of the user.
#[derive(Debug)]
struct Stay {
    /// As the daemon wrote it.
    request: Room,
    stage: Stage,
    /// The user's nick there, once the network has named it.
    nick: String,
    /// The daemon wants to know how it goes on.
    tells: bool,
    /// To be joined again once it is left.
    again: bool,
    /// What was sent and is going to come back: text, and the serial if it was not acknowledged before.
    echoes: VecDeque<(String, Option<u64>)>,
    /// Another nick was asked for.
    renaming: bool,
}

/// All rooms of a user.
#[derive(Debug)]
pub struct Rooms {
    /// By name in lower case.
    all: BTreeMap<String, Stay>,
    /// Nobody acknowledges messages but the room's echo.
    echoing: bool,
    /// Leaving takes until the network confirms it.
    slow: bool,
    irc: bool,
}

impl Rooms {
    /// The rooms of an account of this protocol: none.
    pub fn new(protocol: &str) -> Self {
        let (jabber, irc) = (protocol == "prpl-jabber", protocol == "prpl-irc");
        Self { all: BTreeMap::new(), echoing: jabber, slow: jabber, irc }
    }

    fn get(&mut self, room: &str) -> Option<&mut Stay> {
        self.all.get_mut(&room.to_lowercase())
    }

    /// Whether the network is IRC.
    pub const fn is_irc(&self) -> bool {
        self.irc
    }

    /// Whether the daemon wants to know how the stay in a room goes on.
    pub fn tells(&self, room: &str) -> bool {
        self.all.get(&room.to_lowercase()).is_some_and(|stay| stay.tells)
    }

    /// A room's name as the daemon writes it.
    pub fn name<'a>(&'a self, room: &'a str) -> &'a str {
        self.all.get(&room.to_lowercase()).map_or(room, |stay| &stay.request.room)
    }

    /// When something is to be done.
    pub fn deadline(&self) -> Option<Instant> {
        let due = |stay: &Stay| match stay.stage {
            Stage::Entering(until) | Stage::Vacating(until) => Some(until),
            Stage::Asked | Stage::Joined => None,
        };
        self.all.values().filter_map(due).min()
    }
}

impl Session {
    /// The user wants to be in a room; whether the daemon `tells` by the extension.
    pub fn join_room(&mut self, room: &Room, tells: bool, now: Instant, out: &mut Vec<Frame>) {
        let key = room.room.to_lowercase();
        match self.rooms.all.get_mut(&key) {
            Some(Stay { stage: Stage::Vacating(_), again, request, .. }) => {
                *again = true;
                request.clone_from(room);
                return;
            }
            // COMPAT(Spectrum 2): its daemon asks again when it is not sure.
            Some(Stay { stage: Stage::Asked | Stage::Entering(_), .. }) => return,
            _ => {}
        }
        let password = room.password.as_deref().unwrap_or_default();
        let proper = is_one_line(&room.room) && is_one_line(&room.nickname) && is_one_line(password);
        let named = !self.rooms.irc || (irc::is_name(&room.room) && !password.contains([' ', ',']));
        let refusal = if !self.account.is_connected() {
            Some((RoomReason::Disconnected, "You are not connected to the network"))
        } else if !proper || !named {
            Some((RoomReason::NotFound, "The network has no such rooms"))
        } else if self.rooms.all.len() >= MAX_ROOMS {
            Some((RoomReason::TooMany, "You are in as many rooms as this gateway allows"))
        } else {
            None
        };
        let stay = Stay {
            request: room.clone(),
            stage: Stage::Asked,
            nick: String::new(),
            tells,
            again: false,
            echoes: VecDeque::new(),
            renaming: false,
        };
        if let Some((reason, text)) = refusal {
            return out.push(self.refusal(&stay, reason, text));
        }
        if self.account.is_in_room(&room.room) {
            // The daemon forgot; the network did not.
            self.account.leave_room(&room.room);
            if self.rooms.slow {
                let stay = Stay { again: true, stage: Stage::Vacating(now + VACATING), ..stay };
                self.rooms.all.insert(key, stay);
                return;
            }
        }
        self.rooms.all.insert(key.clone(), stay);
        if !self.account.join_room(&room.room, &room.nickname, password)
            && let Some(stay) = self.rooms.all.remove(&key)
        {
            out.push(self.refusal(&stay, RoomReason::NotFound, "The network has no such rooms"));
        }
    }

    /// The user leaves a room. The daemon of Spectrum 2 also says this of contacts, which are no rooms.
    pub fn leave_room(&mut self, room: &str, now: Instant, out: &mut Vec<Frame>) {
        let there = self.account.is_in_room(room);
        self.account.leave_room(room);
        let slow = self.rooms.slow && there;
        let Some(mut stay) = self.rooms.all.remove(&room.to_lowercase()) else { return };
        self.refuse_echoes(&mut stay, out);
        if slow {
            let stay = Stay { stage: Stage::Vacating(now + VACATING), again: false, ..stay };
            self.rooms.all.insert(room.to_lowercase(), stay);
        }
    }

    /// The user sets the topic.
    pub fn set_topic(&mut self, message: &ConversationMessage, out: &mut Vec<Frame>) {
        let (room, serial) = (message.buddy_name.as_str(), message.serial);
        if !self.account.is_in_room(room) {
            return self.not_in_room(serial, out);
        }
        let topic: String = message.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match serial {
            // XEP-0045 §8.1: with an id, by which the answer is known.
            Some(serial) if self.rooms.echoing => {
                let stanza = format!(
                    "<message type='groupchat' id='{}' to='{}'><subject>{}</subject></message>",
                    Confirmations::id(serial),
                    text::for_stanza(room),
                    text::for_stanza(&topic)
                );
                self.account.send_raw(&stanza);
            }
            _ => self.account.set_topic(room, &topic),
        }
        self.answer_later(serial, room, "", Silence::Consent, out);
    }

    /// The network's answer is awaited where it gives one.
    fn answer_later(
        &mut self,
        serial: Option<u64>,
        room: &str,
        who: &str,
        silence: Silence,
        out: &mut Vec<Frame>,
    ) {
        if self.rooms.irc || self.rooms.echoing {
            self.await_network(serial, room, who, silence, out);
        } else {
            self.accepted(serial, out);
        }
    }

    fn not_in_room(&self, serial: Option<u64>, out: &mut Vec<Frame>) {
        if serial.is_some() {
            self.refused(serial, ConnectionError::OtherError, "You are not in the room", out);
        }
    }

    /// The user wants another nick.
    pub fn change_nick(&mut self, room: &Room) {
        let nick = room.nickname.as_str();
        let Some(stay) = self.rooms.get(&room.room).filter(|stay| stay.stage == Stage::Joined) else {
            return;
        };
        stay.renaming = true;
        if !is_one_line(nick) || (self.rooms.irc && !irc::is_name(nick)) {
            return;
        }
        let command = if self.rooms.irc {
            format!("NICK {nick}\r\n")
        } else {
            // XEP-0045 §7.6.
            format!("<presence to='{}'/>", text::for_stanza(&format!("{}/{nick}", room.room)))
        };
        self.account.send_raw(&command);
    }

    /// The user invites somebody.
    pub fn invite(&mut self, invitation: &Invitation, out: &mut Vec<Frame>) {
        let Invitation { room, contact, serial, .. } = invitation;
        let reason = invitation.text.as_deref().unwrap_or_default();
        if !self.account.is_in_room(room) {
            return self.not_in_room(*serial, out);
        }
        if !is_one_line(contact) || (self.rooms.irc && !irc::is_name(contact)) {
            let text = "This is no name that the network knows";
            return self.refused(*serial, ConnectionError::InvalidUsername, text, out);
        }
        match serial {
            // XEP-0045 §7.8.2.
            Some(serial) if self.rooms.echoing => {
                let stanza = format!(
                    "<message id='{}' to='{}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='{}'>\
                     <reason>{}</reason></invite></x></message>",
                    Confirmations::id(*serial),
                    text::for_stanza(room),
                    text::for_stanza(contact),
                    text::for_stanza(reason)
                );
                self.account.send_raw(&stanza);
            }
            _ => self.account.invite(room, contact, reason),
        }
        self.answer_later(*serial, room, contact, Silence::Consent, out);
    }

    /// Somebody invites the user.
    pub fn invited(&self, room: String, who: &str, text: &str, password: String, out: &mut Vec<Frame>) {
        let bare = who.split('/').next().unwrap_or_default();
        // An occupant is named by nick.
        let contact = if bare == room {
            who.to_owned()
        } else {
            self.contacts.name(&self.account.normalize(bare)).to_owned()
        };
        out.push(Frame::RoomInvite(Invitation {
            user_name: self.user.clone(),
            room,
            contact,
            text: Some(html::printable(text)),
            password: Some(password).filter(|password| !password.is_empty()),
            serial: None,
        }));
    }

    /// The user, as a moderator, wants something of the network.
    pub fn moderate(&mut self, command: &RoomCommand, out: &mut Vec<Frame>) {
        let serial = Some(command.serial);
        let reason: String = command
            .text
            .iter()
            .flat_map(|text| text.chars())
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let role = command.role.and_then(|number| Role::try_from(number).ok());
        let affiliation = command.affiliation.and_then(|number| Affiliation::try_from(number).ok());
        let (room, who) = (command.room.as_str(), command.nickname.as_str());
        if !self.account.is_in_room(room) {
            return self.not_in_room(serial, out);
        }
        match command.wish() {
            RoomWish::Standing => {}
            RoomWish::Outcasts => return self.ask_who_is_banned(command.serial, room, out),
            RoomWish::Destroy => return self.destroy(command, &reason, out),
        }
        if self.rooms.irc && role.is_none() && affiliation == Some(Affiliation::Outcast) {
            if !irc::is_name(room) || !irc::is_name(who) {
                return self.no_command(serial, out);
            }
            if !is_mask(who) {
                return self.ban(command.serial, room, who, reason, out);
            }
        }
        let raw = if !is_one_line(who) {
            None
        } else if self.rooms.irc {
            irc_command(room, who, role, affiliation, &reason)
        } else if self.rooms.echoing {
            Some(jabber_command(command, role, affiliation, &reason))
        } else {
            let line = typed_command(who, role, affiliation, &reason);
            return match line.map(|line| self.account.command(room, &line)) {
                Some(Ok(())) => self.accepted(serial, out),
                Some(Err(error)) => {
                    let text = html::from_network(&error).plain;
                    self.refused(serial, ConnectionError::OtherError, &text, out);
                }
                None => self.no_command(serial, out),
            };
        };
        match raw {
            Some(raw) if self.account.send_raw(&raw) => {
                let silence = if self.rooms.irc { Silence::Consent } else { Silence::Failure };
                self.await_network(serial, room, who, silence, out);
            }
            _ => self.no_command(serial, out),
        }
    }

    fn ask_who_is_banned(&mut self, serial: u64, room: &str, out: &mut Vec<Frame>) {
        if self.rooms.irc && irc::is_name(room) {
            self.list_banned(serial, room, &format!("MODE {room} b\r\n"), out);
        } else if self.rooms.echoing {
            // XEP-0045 §9.2.
            let raw = format!(
                "<iq type='get' id='{}' to='{}'><query xmlns='http://jabber.org/protocol/muc#admin'>\
                 <item affiliation='outcast'/></query></iq>",
                Confirmations::id(serial),
                text::escape(room)
            );
            self.list_banned(serial, room, &raw, out);
        } else {
            self.no_command(Some(serial), out);
        }
    }

    /// XEP-0045 §10.9.
    fn destroy(&mut self, command: &RoomCommand, reason: &str, out: &mut Vec<Frame>) {
        let (serial, room) = (Some(command.serial), command.room.as_str());
        if self.rooms.irc {
            let text = "A channel ends when the last one has left; it cannot be destroyed";
            return self.refused(serial, ConnectionError::OtherError, text, out);
        }
        if !self.rooms.echoing {
            return self.no_command(serial, out);
        }
        let raw = format!(
            "<iq type='set' id='{}' to='{}'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy>\
             <reason>{}</reason></destroy></query></iq>",
            Confirmations::id(command.serial),
            text::escape(room),
            text::escape(reason)
        );
        self.account.send_raw(&raw);
        self.await_network(serial, room, "", Silence::Failure, out);
    }

    fn no_command(&self, serial: Option<u64>, out: &mut Vec<Frame>) {
        self.refused(serial, ConnectionError::OtherError, "The network has no such command", out);
    }

    /// The user wants to know what rooms there are.
    pub fn list_rooms(&self, out: &mut Vec<Frame>) {
        if !self.account.is_connected() || !self.account.list_rooms() {
            self.rooms_listed(Vec::new(), out);
        }
    }

    /// The network told its rooms.
    pub fn rooms_listed(&self, rooms: Vec<(String, String)>, out: &mut Vec<Frame>) {
        let user = Some(self.user.clone());
        let rooms = rooms.into_iter().map(|(name, title)| (name, html::from_network(&title).plain));
        let (rooms, names) = fitting(rooms).unzip();
        out.push(Frame::RoomList(RoomList { rooms, names, user }));
    }

    /// The user is in the room, maybe under another nick than the wanted one; the occupants follow.
    pub fn room_joined(&mut self, room: &str, now: Instant, out: &mut Vec<Frame>) {
        let nickname = self.account.nick_in_room(room);
        let user_name = self.user.clone();
        let Some(stay) = self.rooms.get(room) else { return };
        stay.stage = Stage::Entering(now + NAMING);
        if !stay.tells && !nickname.is_empty() && stay.request.nickname != nickname {
            let room = stay.request.room.clone();
            out.push(Frame::RoomNicknameChanged(Room { user_name, nickname, room, password: None }));
        }
    }

    /// All occupants have been named.
    fn all_named(&mut self, room: &str, out: &mut Vec<Frame>) {
        let topic = self.account.topic(room);
        let fallback = self.account.nick_in_room(room);
        let (user_name, subject_follows) = (self.user.clone(), self.rooms.echoing);
        let Some(stay) = self.rooms.get(room) else { return };
        stay.stage = Stage::Joined;
        if stay.nick.is_empty() {
            stay.nick = fallback;
        }
        if !stay.tells {
            return;
        }
        let (room, nickname) = (stay.request.room.clone(), stay.nick.clone());
        if !subject_follows {
            let mut frame = self.conversation_message(&room, html::from_network(&topic).plain);
            frame.nickname = Some(String::new());
            out.push(Frame::RoomSubjectChanged(frame));
        }
        out.push(Frame::RoomJoined(Room { user_name, nickname, room, password: None }));
    }

    /// Something is due.
    pub fn check_rooms(&mut self, now: Instant, out: &mut Vec<Frame>) {
        if self.rooms.deadline().is_none_or(|due| due > now) {
            return;
        }
        let due: Vec<String> = self.rooms.all.keys().cloned().collect();
        for key in due {
            match self.rooms.all.get(&key).map(|stay| &stay.stage) {
                Some(Stage::Entering(until)) if *until <= now => self.all_named(&key, out),
                Some(Stage::Vacating(until)) if *until <= now => self.vacated(&key, now, out),
                _ => {}
            }
        }
    }

    /// The network says that somebody is not in a room: maybe it is the user, who left.
    pub fn room_vacated(&mut self, room: &str, nick: &str, now: Instant, out: &mut Vec<Frame>) {
        let is_it =
            |stay: &&mut Stay| matches!(stay.stage, Stage::Vacating(_)) && (stay.again || stay.nick == nick);
        if self.rooms.get(room).filter(is_it).is_some() {
            self.vacated(&room.to_lowercase(), now, out);
        }
    }

    fn vacated(&mut self, key: &str, now: Instant, out: &mut Vec<Frame>) {
        if let Some(stay) = self.rooms.all.remove(key)
            && stay.again
        {
            self.join_room(&stay.request, stay.tells, now, out);
        }
    }

    /// The room could not be joined, and nobody says why.
    pub fn room_join_failed(&mut self, room: &str, out: &mut Vec<Frame>) {
        if self.rooms.get(room).is_some_and(|stay| stay.stage == Stage::Asked) {
            self.room_refused(room, RoomReason::Other, "The room could not be joined", out);
        }
    }

    /// The network refuses something that concerns a room.
    pub fn room_refused(&mut self, room: &str, reason: RoomReason, text: &str, out: &mut Vec<Frame>) {
        let (text, irc) = (html::printable(text), self.rooms.irc);
        match self.rooms.get(room).map(|stay| (&stay.stage, stay.renaming)) {
            Some((Stage::Asked, _)) => {
                if let Some(stay) = self.rooms.all.remove(&room.to_lowercase()) {
                    out.push(self.refusal(&stay, reason, &text));
                }
            }
            Some((Stage::Joined | Stage::Entering(_), true)) => self.refuse_nick(room, reason, &text, out),
            _ if irc => self.tell(format!("{room}: {text}"), out),
            _ => {}
        }
    }

    /// The network refuses another nick, in all rooms.
    pub fn nick_refused(&mut self, reason: RoomReason, text: &str, out: &mut Vec<Frame>) {
        let waiting = self.rooms.all.iter().filter(|(_, stay)| stay.renaming).map(|(key, _)| key.clone());
        for room in waiting.collect::<Vec<_>>() {
            self.refuse_nick(&room, reason, text, out);
        }
    }

    fn refuse_nick(&mut self, room: &str, reason: RoomReason, text: &str, out: &mut Vec<Frame>) {
        let Some(stay) = self.rooms.get(room) else { return };
        stay.renaming = false;
        if stay.tells {
            let room = stay.request.room.clone();
            out.push(Frame::RoomRefused(self.end_of(room, reason, text)));
        }
    }

    /// The user is not in the room any more. If he left it himself, nobody waits for this.
    pub fn room_left(&mut self, room: &str, departure: Departure, out: &mut Vec<Frame>) {
        if self.rooms.get(room).is_none_or(|stay| matches!(stay.stage, Stage::Vacating(_))) {
            return;
        }
        self.account.leave_room(room);
        let Some(mut stay) = self.rooms.all.remove(&room.to_lowercase()) else { return };
        self.refuse_echoes(&mut stay, out);
        let Departure { reason, actor, text } = departure;
        if stay.tells {
            let mut end = self.end_of(stay.request.room, reason, &html::printable(&text));
            end.actor = Some(actor);
            out.push(Frame::RoomLeft(end));
        } else {
            let mut frame = self.participant(room, &stay.nick);
            let banned = reason == RoomReason::Banned;
            frame.flag = if banned { ParticipantFlags::BANNED } else { ParticipantFlags::KICKED };
            frame.status = StatusType::None.into();
            frame.status_message = Some(text);
            out.push(Frame::ParticipantChanged(frame));
        }
    }

    /// Occupants came or changed.
    pub fn participants(&mut self, room: &str, participants: Vec<Participant>, out: &mut Vec<Frame>) {
        for participant in participants {
            let mut frame = self.participant(room, &participant.name);
            self.note_own_nick(room, &participant);
            frame.flag = if participant.role == Role::Moderator { ParticipantFlags::MODERATOR } else { 0 };
            frame.role = Some(participant.role.into());
            frame.affiliation = Some(participant.affiliation.into());
            frame.icon_hash = Some(participant.photo).filter(|hash| !hash.is_empty());
            frame.contact = Some(participant.contact).filter(|contact| !contact.is_empty());
            frame.status = match participant.show.as_str() {
                "away" => StatusType::Away,
                "xa" => StatusType::Xa,
                "dnd" => StatusType::Dnd,
                "chat" => StatusType::Ffc,
                _ => StatusType::Online,
            }
            .into();
            frame.status_message = Some(html::printable(&participant.text)).filter(|text| !text.is_empty());
            // On IRC the alias is what the user's own list says of the nick, by which nobody else knows him.
            if !participant.alias.is_empty() && !self.rooms.irc {
                frame.alias = Some(participant.alias);
            }
            out.push(Frame::ParticipantChanged(frame));
        }
        let is_complete = |stay: &mut Stay| matches!(stay.stage, Stage::Entering(_)) && !stay.nick.is_empty();
        if self.rooms.get(room).is_some_and(is_complete) {
            self.all_named(room, out);
        }
    }

    /// libpurple keeps the user's nick in a form of its own, so the occupants are looked through for it.
    fn note_own_nick(&mut self, room: &str, participant: &Participant) {
        let kept = self.account.nick_in_room(room).to_lowercase();
        let exact = self.rooms.echoing;
        let Some(stay) = self.rooms.get(room).filter(|stay| stay.nick.is_empty()) else { return };
        let same = if exact {
            participant.name == stay.request.nickname
        } else {
            participant.name.to_lowercase() == kept
        };
        if participant.own || same {
            stay.nick.clone_from(&participant.name);
        }
    }

    /// An occupant changed the nick.
    pub fn participant_renamed(&mut self, room: &str, old: &str, new: String, out: &mut Vec<Frame>) {
        let mut frame = self.participant(room, old);
        if let Some(stay) = self.rooms.get(room).filter(|stay| stay.nick == old) {
            stay.renaming = false;
            stay.nick.clone_from(&new);
        }
        frame.newname = Some(new);
        out.push(Frame::ParticipantChanged(frame));
    }

    /// Occupants left.
    pub fn participants_left(&self, room: &str, leavers: Vec<Leaver>, out: &mut Vec<Frame>) {
        for leaver in leavers {
            let mut frame = self.participant(room, &leaver.name);
            frame.status = StatusType::None.into();
            if let Some(Departure { reason, actor, text }) = leaver.departure {
                frame.reason = Some(reason.into());
                frame.actor = Some(actor).filter(|actor| !actor.is_empty());
                frame.status_message = Some(html::printable(&text)).filter(|text| !text.is_empty());
            }
            out.push(Frame::ParticipantChanged(frame));
        }
    }

    /// The topic is known or changed.
    pub fn topic_changed(&self, room: &str, topic: &str, who: &str, out: &mut Vec<Frame>) {
        let mut frame = self.conversation_message(self.rooms.name(room), html::from_network(topic).plain);
        // prpl-irc names setters as user and host.
        frame.nickname = Some(who.split('!').next().unwrap_or_default().to_owned());
        out.push(Frame::RoomSubjectChanged(frame));
    }

    /// The plugin took what the user said in a room.
    pub fn spoke(&mut self, room: &str, text: &str, serial: Option<u64>, out: &mut Vec<Frame>) {
        let echoing = self.rooms.echoing;
        let stay = self.rooms.get(room).filter(|stay| stay.tells && stay.echoes.len() < MAX_ECHOES);
        if let Some(stay) = stay {
            stay.echoes.push_back((text.to_owned(), serial.filter(|_| echoing)));
            if echoing {
                return;
            }
        }
        self.accepted(serial, out);
    }

    /// Whether a message in a room is one that the daemon sent, and shows by itself.
    pub fn is_known_echo(&mut self, message: &Message, text: &str, out: &mut Vec<Frame>) -> bool {
        let room = &message.conversation;
        let echoing = self.rooms.echoing;
        let own = |stay: &&mut Stay| stay.tells && !message.delayed && stay.nick == message.who;
        let Some(stay) = self.rooms.get(room).filter(own) else { return false };
        let same = stay.echoes.iter().position(|(sent, _)| sent.trim() == text.trim());
        // What comes back may have been changed on its way, but is in order.
        let place = same.or_else(|| (echoing && !stay.echoes.is_empty()).then_some(0));
        match place.and_then(|place| stay.echoes.remove(place)) {
            Some((_, serial)) => {
                if serial.is_some() {
                    self.accepted(serial, out);
                }
                true
            }
            // A line of a longer message.
            None => message.echo,
        }
    }

    /// The room did not take a message; `false` if none was sent there.
    pub fn room_refused_message(&mut self, room: &str, text: &str, out: &mut Vec<Frame>) -> bool {
        let Some((_, Some(serial))) = self.rooms.get(room).and_then(|stay| stay.echoes.pop_front()) else {
            return false;
        };
        self.refused(Some(serial), ConnectionError::OtherError, text, out);
        true
    }

    /// The session ends: what no room has repeated was not said.
    pub fn abandon_rooms(&mut self, out: &mut Vec<Frame>) {
        for mut stay in std::mem::take(&mut self.rooms.all).into_values() {
            self.refuse_echoes(&mut stay, out);
        }
    }

    fn refuse_echoes(&self, stay: &mut Stay, out: &mut Vec<Frame>) {
        for serial in stay.echoes.drain(..).filter_map(|(_, serial)| serial) {
            let text = "The message was not sent: you are not in the room any more";
            self.refused(Some(serial), ConnectionError::NetworkError, text, out);
        }
    }

    fn participant(&self, room: &str, nickname: &str) -> Frames {
        Frames {
            user_name: self.user.clone(),
            room: self.rooms.name(room).to_owned(),
            nickname: nickname.to_owned(),
            flag: 0,
            status: StatusType::Online.into(),
            ..Frames::default()
        }
    }

    fn end_of(&self, room: String, reason: RoomReason, text: &str) -> RoomEnd {
        let (user_name, text) = (self.user.clone(), Some(text.to_owned()));
        RoomEnd { user_name, room, reason: reason.into(), text, actor: None }
    }

    fn refusal(&self, stay: &Stay, reason: RoomReason, text: &str) -> Frame {
        if stay.tells {
            return Frame::RoomRefused(self.end_of(stay.request.room.clone(), reason, text));
        }
        let mut frame = self.participant(&stay.request.room, &stay.request.nickname);
        frame.flag = match reason {
            RoomReason::NickTaken => ParticipantFlags::CONFLICT,
            RoomReason::Password | RoomReason::MembersOnly | RoomReason::Banned => {
                ParticipantFlags::NOT_AUTHORIZED
            }
            _ => ParticipantFlags::ROOM_NOT_FOUND,
        };
        frame.status = StatusType::None.into();
        frame.status_message = Some(text.to_owned());
        Frame::ParticipantChanged(frame)
    }
}

/// As many rooms of a list as fit into a frame: one that is too long would not be sent, and nobody who asked answered.
fn fitting(rooms: impl Iterator<Item = (String, String)>) -> impl Iterator<Item = (String, String)> {
    // Besides the texts, each has at most ten bytes of tag and length.
    let mut left = MAX_FRAME / 2;
    rooms.take_while(move |(name, title)| {
        let needed = left.checked_sub(name.len() + title.len() + 20);
        left = needed.unwrap_or(0);
        needed.is_some()
    })
}

/// Roles and affiliations in the words of IRC (RFC 2812 §3.2).
fn irc_command(
    room: &str,
    nick: &str,
    role: Option<Role>,
    affiliation: Option<Affiliation>,
    reason: &str,
) -> Option<String> {
    if !irc::is_name(room) || !irc::is_name(nick) {
        return None;
    }
    let mode = |modes: &str, who: String| Some(format!("MODE {room} {modes} {who}\r\n"));
    let pair = || format!("{nick} {nick}");
    if is_mask(nick) && (role, affiliation) == (None, Some(Affiliation::None)) {
        return mode("-b", nick.to_owned());
    }
    match (role, affiliation) {
        (Some(Role::None), _) => Some(format!("KICK {room} {nick} :{reason}\r\n")),
        (Some(Role::Moderator), _) | (None, Some(Affiliation::Admin | Affiliation::Owner)) => {
            mode("+o", nick.to_owned())
        }
        (Some(Role::Participant), _) | (None, Some(Affiliation::Member)) => mode("-o+v", pair()),
        (Some(Role::Visitor), _) | (None, Some(Affiliation::None)) => mode("-o-v", pair()),
        // Nobody can be kicked by a mask.
        (None, Some(Affiliation::Outcast)) => mode("+b", nick.to_owned()),
        (None, None) => None,
    }
}

/// Whether a name is one of a list of bans (RFC 2811 §4.3.1), which no nick is.
fn is_mask(name: &str) -> bool {
    name.contains(['!', '@', '*'])
}

/// Roles and affiliations in the words that most plugins take in their rooms.
fn typed_command(
    nick: &str,
    role: Option<Role>,
    affiliation: Option<Affiliation>,
    reason: &str,
) -> Option<String> {
    // The command line is cut at blanks.
    if nick.is_empty() || nick.contains(char::is_whitespace) {
        return None;
    }
    match (role, affiliation) {
        (Some(Role::None), _) => Some(format!("kick {nick} {reason}").trim_end().to_owned()),
        (None, Some(Affiliation::Outcast)) => Some(format!("ban {nick} {reason}").trim_end().to_owned()),
        (Some(Role::Moderator), _) | (None, Some(Affiliation::Admin)) => Some(format!("op {nick}")),
        (None, Some(Affiliation::None)) => Some(format!("deop {nick}")),
        _ => None,
    }
}

/// XEP-0045 §8–9.
fn jabber_command(
    command: &RoomCommand,
    role: Option<Role>,
    affiliation: Option<Affiliation>,
    reason: &str,
) -> String {
    let value = match (role, affiliation) {
        (Some(Role::None), _) => "role='none'",
        (Some(Role::Visitor), _) => "role='visitor'",
        (Some(Role::Participant), _) => "role='participant'",
        (Some(Role::Moderator), _) => "role='moderator'",
        (None, Some(Affiliation::Outcast)) => "affiliation='outcast'",
        (None, Some(Affiliation::Member)) => "affiliation='member'",
        (None, Some(Affiliation::Admin)) => "affiliation='admin'",
        (None, Some(Affiliation::Owner)) => "affiliation='owner'",
        (None, Some(Affiliation::None) | None) => "affiliation='none'",
    };
    let who = if command.nickname.contains('@') { "jid" } else { "nick" };
    format!(
        "<iq type='set' id='{}' to='{}'><query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item {who}='{}' {value}><reason>{}</reason></item></query></iq>",
        Confirmations::id(command.serial),
        text::for_stanza(&command.room),
        text::for_stanza(&command.nickname),
        text::for_stanza(reason)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_rooms_fits_into_a_frame() {
        let endless = (0..).map(|n: u32| (format!("#{n}"), "x".repeat(300)));
        let (rooms, names): (Vec<_>, Vec<_>) = fitting(endless).unzip();
        assert!(rooms.len() > 10_000);
        let mut frame = Vec::new();
        Frame::RoomList(RoomList { rooms, names, user: Some("romeo@example.org".to_owned()) })
            .encode(&mut frame);
        assert!(frame.len() <= MAX_FRAME);
    }
}
