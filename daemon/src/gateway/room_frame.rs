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
use super::room::{Change, Departure, Room, State, is_nick};
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
            && room.occupants.contains_key(&frame.buddy_name)
        {
            // On networks without private messages in rooms the answer to one comes as any message does.
            let name = room.name.clone();
            self.private_message(cx, &name, &frame.buddy_name, frame);
            return true;
        }
        let Some(room) = self.rooms.by_name(&frame.buddy_name) else { return !nick.is_empty() };
        cx.counters.to_xmpp += 1;
        if cx.up {
            room.show_now(cx, &self.jid, nick);
        }
        if nick == room.nick
            && let Some(stanza) = room.take_echo(&frame.message)
        {
            self.reflect(cx, stanza);
            return true;
        }
        let from = if !is_nick(nick) || fold(nick) == fold(&room.name) {
            room.jid(cx)
        } else {
            room.occupant_jid(cx, nick)
        };
        let stamp = frame.timestamp.as_deref().and_then(xep_0082::from_legacy);
        let stamp = stamp.as_deref().and_then(xep_0082::to_unix_ms);
        for part in Content::read(cx, frame).parts(cx) {
            let id = cx.archive_id();
            let mut stanza = with_content(room.groupchat(cx, from.clone(), Some(id)), part);
            if !nick.is_empty() {
                stanza.push(room.occupant_id(nick));
            }
            let past = Past { id, stamp: stamp.unwrap_or_else(|| cx.wall_clock()), stanza };
            let shown = if is_nick(nick) { room.shown(nick).to_owned() } else { String::new() };
            room.say(cx, &self.jid, Said { past, nick: shown, late: stamp.is_some() });
        }
        true
    }

    /// XEP-0045 §7.5.
    fn private_message(&mut self, cx: &mut Context, room: &str, nick: &str, frame: &ConversationMessage) {
        let Some(room) = self.rooms.by_name(room) else { return };
        cx.counters.to_xmpp += 1;
        let from = if is_nick(nick) { room.occupant_jid(cx, nick) } else { room.jid(cx) };
        for part in Content::read(cx, frame).parts(cx) {
            let stanza = Element::new("message", ns::CLIENT)
                .with("from", from.clone())
                .with("type", "chat")
                .with("id", cx.id());
            let stanza = with_content(stanza, part).child(Element::new("x", ns::MUC_USER));
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
        for iq in std::mem::take(&mut self.rooms.asking) {
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
    if room.is_entered() && room.occupants.contains_key(&room.nick) {
        let old = room.nick.clone();
        renamed(cx, user, room, &old, new);
    }
    new.clone_into(&mut room.nick);
}

fn renamed(cx: &mut Context, user: &jid::BareJid, room: &mut Room, old: &str, new: &str) {
    if !room.occupants.contains_key(old) || old == new {
        return;
    }
    let shown = room.shown(old).to_owned();
    let before = room.occupants.get(old).cloned();
    room.rename(old, new);
    if room.nick == old {
        new.clone_into(&mut room.nick);
        for client in room.clients.values_mut() {
            new.clone_into(&mut client.asked);
        }
    }
    if !room.is_entered() {
        return;
    }
    let Some(occupant) = room.occupants.get(new) else { return };
    let goes = room.renamed_presence(cx, &shown, new, occupant);
    let comes = room.occupant_presence(cx, new, occupant);
    if room.nick == new && cx.up {
        // The user himself: his clients must not miss it.
        room.to_all(cx, user, goes);
        room.unseen.is_hidden(&shown);
        room.to_all(cx, user, comes);
        return;
    }
    room.show_change(cx, user, old, before, goes);
    room.show_change(cx, user, new, None, comes);
}

fn departed(cx: &mut Context, user: &jid::BareJid, room: &mut Room, frame: &Participant) {
    // The user's own end is told by ROOM_LEFT, or by a flag.
    if frame.nickname == room.nick || !room.occupants.contains_key(&frame.nickname) {
        return;
    }
    if room.is_entered() {
        let departure =
            Departure::new(frame.departure(), frame.status_message.as_deref()).by(frame.actor.as_deref());
        let removed = departure.is_removal() && cx.up;
        if removed {
            room.show_now(cx, user, &frame.nickname);
        }
        let stanza = room.departed_presence(cx, &frame.nickname, &departure);
        let shown = room.shown(&frame.nickname).to_owned();
        let before = room.occupants.remove(&frame.nickname);
        if removed {
            room.to_all(cx, user, stanza);
            room.unseen.is_hidden(&shown);
        } else {
            room.show_change(cx, user, &frame.nickname, before, stanza);
        }
    }
    room.occupants.remove(&frame.nickname);
}

fn mentioned(cx: &mut Context, user: &jid::BareJid, room: &mut Room, frame: &Participant) {
    let nick = frame.nickname.as_str();
    let before = room.occupants.get(nick).cloned();
    let shown = room.shown(nick).to_owned();
    if room.mention(nick, frame) == Change::Nothing || !room.is_entered() {
        return;
    }
    let Some(occupant) = room.occupants.get(nick) else { return };
    let comes = room.occupant_presence(cx, nick, occupant);
    let renamed = before.is_some() && shown != room.shown(nick);
    let goes = renamed.then(|| room.renamed_presence(cx, &shown, nick, occupant));
    if let Some(goes) = goes.filter(|_| cx.up) {
        // What is late is late under one name.
        room.show_now(cx, user, nick);
        room.to_all(cx, user, goes);
        room.unseen.is_hidden(&shown);
        room.to_all(cx, user, comes);
        return;
    }
    room.show_change(cx, user, nick, before, comes);
}
