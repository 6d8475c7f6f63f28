//! Rooms, from the network's side: what backends say of them, shown to those clients that are there.
//!
//! COMPAT(Spectrum 2): its backends do not say that a join is done. There, the user's own entry among the occupants says
//! so, and flags of it say that the room could not be joined.

use spectrum2_backend_protocol::{
    ConversationMessage, Invitation, Participant, ParticipantFlags, Room as RoomFrame, RoomEnd, RoomList,
    RoomReason, StatusType,
};
use spectrum2_xmpp::{Element, ns, xep_0082};

use super::contact::fold;
use super::context::Context;
use super::history::{Past, Said};
use super::message::{Content, Part};
use super::occupants::{Occupant, is_nick};
use super::room::{Departure, Room, State};
use super::user::User;

impl User {
    /// The user is in a room.
    pub fn room_joined(&mut self, cx: &mut Context, frame: &RoomFrame) {
        let user = self.jid.clone();
        let Some(room) = self.rooms.by_name(&frame.room) else { return };
        if !frame.nickname.is_empty() {
            rename_self(cx, &user, room, &frame.nickname);
        }
        if matches!(room.state, State::Joining(_) | State::Returning(_)) {
            room.enter(cx, &user);
        }
        self.keep_rooms(cx);
    }

    /// A room could not be joined, or the user could not have another nick in it.
    pub fn room_refused(&mut self, cx: &mut Context, frame: &RoomEnd) {
        let user = self.jid.clone();
        let Some(room) = self.rooms.by_name(&frame.room) else { return };
        let text = frame.text.as_deref().unwrap_or_default();
        match room.state {
            State::Wanted | State::Lost => return,
            State::Joining(_) => room.refuse_all(cx, &user, frame.room_reason(), text),
            State::Returning(_) => {
                room.expel(cx, &user, &Departure::new(RoomReason::Disconnected, Some(text)));
            }
            State::Entered(_) | State::Joined => {
                let nick = room.shown(&room.nick).to_owned();
                let mut waiting = room.clients.clone();
                waiting.retain(|_, client| client.asked != nick);
                let everybody = std::mem::replace(&mut room.clients, waiting);
                room.refuse_all(cx, &user, frame.room_reason(), text);
                room.clients = everybody;
                for client in room.clients.values_mut() {
                    client.asked.clone_from(&nick);
                }
                return;
            }
        }
        self.rooms.remove(&frame.room);
        if is_final(frame.room_reason()) {
            self.drop_kept_room(cx, &frame.room);
        }
    }

    /// The user is not in a room any more.
    pub fn room_left(&mut self, cx: &mut Context, frame: &RoomEnd) {
        let Some(room) = self.rooms.remove(&frame.room) else { return };
        if frame.room_reason() != RoomReason::Disconnected {
            self.drop_kept_room(cx, &frame.room);
        }
        let departure = Departure::new(frame.room_reason(), frame.text.as_deref()).by(frame.actor.as_deref());
        if room.is_entered() {
            room.expel(cx, &self.jid, &departure);
        } else {
            let text = frame.text.as_deref().unwrap_or_default();
            room.refuse_all(cx, &self.jid, frame.room_reason(), text);
        }
    }

    /// The network gave the user another nick.
    pub fn room_nick_changed(&mut self, cx: &mut Context, frame: &RoomFrame) {
        let user = self.jid.clone();
        if let Some(room) = self.rooms.by_name(&frame.room)
            && !frame.nickname.is_empty()
        {
            rename_self(cx, &user, room, &frame.nickname);
        }
        self.keep_rooms(cx);
    }

    /// An occupant came, changed or went.
    pub fn participant(&mut self, cx: &mut Context, frame: &Participant) {
        let extension = self.has_room_extension(cx);
        let user = self.jid.clone();
        let Some(room) = self.rooms.by_name(&frame.room) else { return };
        let own = fold(&frame.nickname) == fold(&room.nick) || frame.flags().contains(ParticipantFlags::ME);
        if let Some(reason) = refusal(frame).filter(|_| own) {
            let end = RoomEnd {
                room: frame.room.clone(),
                reason: reason.into(),
                text: frame.status_message.clone(),
                ..RoomEnd::default()
            };
            if matches!(room.state, State::Joining(_) | State::Returning(_)) {
                self.room_refused(cx, &end);
            } else {
                self.room_left(cx, &end);
            }
            return;
        }
        if own && room.nick != frame.nickname && !room.is_entered() {
            room.nick.clone_from(&frame.nickname);
        }
        let node = room.node.clone();
        if let Some(new) = frame.newname.as_deref().filter(|new| !new.is_empty()) {
            renamed(cx, &user, room, &frame.nickname, new);
        } else if frame.status_type() == StatusType::None {
            departed(cx, &user, room, frame);
        } else {
            mentioned(cx, &user, room, frame);
        }
        if own && !extension && matches!(room.state, State::Joining(_) | State::Returning(_)) {
            room.enter(cx, &user);
        }
        if own {
            self.keep_rooms(cx);
        }
        if let Some(new) = frame.newname.as_deref().filter(|new| !new.is_empty())
            && self.rooms.private.get(&fold(&frame.nickname)) == Some(&node)
        {
            // Whom he talks to goes on under another nick.
            self.rooms.private.remove(&fold(&frame.nickname));
            self.rooms.private.insert(fold(new), node);
        }
    }

    /// The subject is known, or changed.
    pub fn room_subject(&mut self, cx: &mut Context, frame: &ConversationMessage) {
        let user = self.jid.clone();
        let Some(room) = self.rooms.by_name(&frame.buddy_name) else { return };
        let who = frame.nickname.clone().unwrap_or_default();
        // COMPAT(Spectrum 2): its backends name themselves where nobody is known to have set the subject.
        let who = if who == "Spectrum 2" || fold(&who) == fold(&room.name) { String::new() } else { who };
        let subject = Some((frame.message.clone(), who));
        let repeated = room.subject == subject;
        room.subject = subject;
        match room.state {
            State::Entered(_) => room.settle(cx, &user),
            State::Joined if !repeated => room.show_subject(cx, &user),
            _ => {}
        }
    }

    /// Somebody spoke in a room, or privately to the user in it; `false` if the message is not for a room.
    pub fn network_room_message(&mut self, cx: &mut Context, frame: &ConversationMessage) -> bool {
        let nick = frame.nickname.as_deref().unwrap_or_default();
        if frame.pm == Some(true) && !nick.is_empty() {
            self.private_message(cx, &frame.buddy_name, nick, frame);
            return true;
        }
        if nick.is_empty()
            && let Some(node) = self.rooms.private.get(&fold(&frame.buddy_name))
            && let Some(room) = self.rooms.at(node)
            && room.occupants.get(&frame.buddy_name).is_some()
        {
            // On networks without private messages in rooms the answer to one comes as any message does.
            let name = room.name.clone();
            self.private_message(cx, &name, &frame.buddy_name, frame);
            return true;
        }
        let Some(room) = self.rooms.by_name(&frame.buddy_name) else { return !nick.is_empty() };
        cx.counters.to_xmpp += 1;
        if cx.up {
            let shown = room.shown(nick).to_owned();
            room.show_now(cx, &self.jid, &shown);
        }
        if nick == room.nick
            && let Some(stanza) = room.take_echo(&frame.message)
        {
            self.reflect(cx, stanza);
            return true;
        }
        // What is said by nobody, or by somebody who can have no JID, the room says.
        let nick = if fold(nick) == fold(&room.name) { "" } else { nick };
        let from = room.occupant_jid(cx, nick);
        let shown = from.split_once('/').map_or("", |(_, shown)| shown).to_owned();
        let stamp = frame.timestamp.as_deref().and_then(xep_0082::from_legacy);
        let stamp = stamp.as_deref().and_then(xep_0082::to_unix_ms);
        for part in Content::read(cx, frame).parts(cx) {
            let id = cx.archive_id();
            let mut stanza = with_content(room.groupchat(cx, from.clone(), Some(id)), part);
            if !nick.is_empty() {
                stanza.push(room.occupant_id(nick));
            }
            let past = Past { id, stamp: stamp.unwrap_or_else(|| cx.wall_clock()), stanza };
            room.say(cx, &self.jid, Said { past, nick: shown.clone(), late: stamp.is_some() });
        }
        true
    }

    /// XEP-0045 §7.5.
    fn private_message(&mut self, cx: &mut Context, room: &str, nick: &str, frame: &ConversationMessage) {
        let Some(room) = self.rooms.by_name(room) else { return };
        cx.counters.to_xmpp += 1;
        let from = room.occupant_jid(cx, nick);
        for part in Content::read(cx, frame).parts(cx) {
            let stanza = Element::new("message", ns::CLIENT)
                .with("from", from.clone())
                .with("type", "chat")
                .with("id", cx.id());
            let stanza = with_content(stanza, part).child(Element::new("x", ns::MUC_USER));
            let stanza = stanza.child(room.occupant_id(nick));
            if room.clients.is_empty() {
                // A user who stays connected without a client: his server keeps it for him (XEP-0160).
                cx.send(stanza.with("to", self.jid.as_str()));
            } else {
                room.to_all(cx, &self.jid, stanza);
            }
        }
    }

    /// Somebody invites the user: by way of the room (XEP-0045 §7.8.2) and, in the same stanza, directly (XEP-0249).
    pub fn network_invitation(&mut self, cx: &mut Context, frame: &Invitation) {
        let known = self.rooms.node_of(&frame.room).map(str::to_owned);
        let Some(room) = known.or_else(|| cx.room_node(&frame.room)) else { return };
        let room = cx.contact_bare(&room);
        let nick = frame.contact.strip_prefix(&frame.room).and_then(|rest| rest.strip_prefix('/'));
        let inviter = match (nick, self.node_for(cx, &frame.contact)) {
            (Some(nick), _) if is_nick(nick) => format!("{room}/{nick}"),
            (None, Some(contact)) => cx.contact_bare(&contact),
            _ => room.clone(),
        };
        let own = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (text, password) = (own(&frame.text), own(&frame.password));
        let reason = text.clone().map(|text| Element::new("reason", ns::MUC_USER).text(text));
        let invite = Element::new("invite", ns::MUC_USER).with("from", inviter).children_from(reason);
        let secret = password.clone().map(|text| Element::new("password", ns::MUC_USER).text(text));
        let stanza = Element::new("message", ns::CLIENT)
            .with("from", room.clone())
            .with("to", self.jid.as_str())
            .with("id", cx.id())
            .child(Element::new("x", ns::MUC_USER).child(invite).children_from(secret))
            .child(
                Element::new("x", ns::CONFERENCE)
                    .with("jid", room)
                    .with_opt("reason", text)
                    .with_opt("password", password),
            );
        cx.send(stanza);
    }

    /// The network's rooms, for those who asked.
    pub fn room_list(&mut self, cx: &mut Context, frame: &RoomList) {
        self.rooms.set_list(cx, &frame.rooms, &frame.names);
        for (_, iq) in std::mem::take(&mut self.rooms.asking) {
            self.answer_with_rooms(cx, &iq);
        }
    }
}

/// Whether trying again later, as after a break, is of no use.
const fn is_final(reason: RoomReason) -> bool {
    match reason {
        RoomReason::Disconnected
        | RoomReason::Full
        | RoomReason::NickTaken
        | RoomReason::Other
        | RoomReason::TooMany => false,
        RoomReason::BadNick
        | RoomReason::Banned
        | RoomReason::Destroyed
        | RoomReason::Kicked
        | RoomReason::MembersOnly
        | RoomReason::NotAllowed
        | RoomReason::NotFound
        | RoomReason::Password => true,
    }
}

/// Why Spectrum 2's flags say that the user is not in the room.
fn refusal(frame: &Participant) -> Option<RoomReason> {
    let reasons = [
        (ParticipantFlags::CONFLICT, RoomReason::NickTaken),
        (ParticipantFlags::BANNED, RoomReason::Banned),
        (ParticipantFlags::NOT_AUTHORIZED, RoomReason::Password),
        (ParticipantFlags::ROOM_NOT_FOUND, RoomReason::NotFound),
        (ParticipantFlags::KICKED, RoomReason::Kicked),
    ];
    reasons.into_iter().find(|(flag, _)| frame.flags().contains(*flag)).map(|(_, reason)| reason)
}

fn with_content(stanza: Element, (text, xhtml, urls): Part) -> Element {
    stanza.child(Element::new("body", ns::CLIENT).text(text)).children_from(xhtml).children_from(urls)
}

/// The user has another nick in a room.
fn rename_self(cx: &mut Context, user: &jid::BareJid, room: &mut Room, new: &str) {
    if room.nick == new {
        return;
    }
    if room.is_entered() && room.occupants.get(&room.nick).is_some() {
        let old = room.nick.clone();
        renamed(cx, user, room, &old, new);
    }
    new.clone_into(&mut room.nick);
}

fn renamed(cx: &mut Context, user: &jid::BareJid, room: &mut Room, old: &str, new: &str) {
    if room.occupants.get(old).is_none() || old == new {
        return;
    }
    let was = room.shown(old).to_owned();
    let before = room.seen_as(&was);
    let displaced = room.seen_as(new);
    room.occupants.rename(old, new);
    if room.nick == old {
        new.clone_into(&mut room.nick);
        let shown = room.shown(new).to_owned();
        for client in room.clients.values_mut() {
            client.asked.clone_from(&shown);
        }
    }
    if room.is_entered() {
        show_rename(cx, user, room, new, (&was, before), displaced);
    }
}

/// Shows that who has this nick was seen as somebody else, and who was seen there before, if anybody.
fn show_rename(
    cx: &mut Context,
    user: &jid::BareJid,
    room: &mut Room,
    nick: &str,
    (was, before): (&str, Option<(String, Occupant)>),
    displaced: Option<(String, Occupant)>,
) {
    let Some(occupant) = room.occupants.get(nick) else { return };
    let shown = occupant.shown(nick).to_owned();
    let comes = room.occupant_presence(cx, nick, occupant);
    if shown == was {
        return;
    }
    let goes = room.renamed_presence(cx, was, nick, occupant);
    if room.nick == nick && cx.up {
        // The user himself: his clients must not miss it.
        room.show_at_once(cx, user, was, goes);
        room.show_at_once(cx, user, &shown, comes);
    } else {
        room.show_change(cx, user, was, before, goes);
        room.show_change(cx, user, &shown, displaced, comes);
    }
}

fn departed(cx: &mut Context, user: &jid::BareJid, room: &mut Room, frame: &Participant) {
    let nick = frame.nickname.as_str();
    // The user's own end is told by ROOM_LEFT, or by a flag.
    if nick == room.nick {
        return;
    }
    let shown = room.shown(nick).to_owned();
    let departure =
        Departure::new(frame.departure(), frame.status_message.as_deref()).by(frame.actor.as_deref());
    let removed = departure.is_removal() && cx.up;
    if removed && room.is_entered() {
        room.show_now(cx, user, &shown);
    }
    let before = room.seen_as(&shown);
    let Some(occupant) = room.occupants.remove(nick) else { return };
    if !room.is_entered() {
        return;
    }
    let stanza = room.departed_presence(cx, nick, Some(&occupant), &departure);
    if removed {
        room.show_at_once(cx, user, &shown, stanza);
    } else {
        room.show_change(cx, user, &shown, before, stanza);
    }
}

fn mentioned(cx: &mut Context, user: &jid::BareJid, room: &mut Room, frame: &Participant) {
    let nick = frame.nickname.as_str();
    let own = nick == room.nick;
    let was = room.occupants.get(nick).map(|occupant| occupant.shown(nick).to_owned());
    let before = was.as_deref().and_then(|was| room.seen_as(was));
    let occupant = Occupant::read(frame);
    let shown = occupant.shown(nick).to_owned();
    let displaced = room.seen_as(&shown);
    if !room.occupants.mention(nick, occupant, own) || !room.is_entered() {
        return;
    }
    match was.filter(|was| *was != shown) {
        Some(was) => show_rename(cx, user, room, nick, (&was, before), displaced),
        None => {
            let Some(occupant) = room.occupants.get(nick) else { return };
            let comes = room.occupant_presence(cx, nick, occupant);
            room.show_change(cx, user, &shown, displaced, comes);
        }
    }
}
