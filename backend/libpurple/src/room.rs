//! Rooms, both ways. What the daemon is told of a room is what the network said, nothing that is only hoped for.

use spectrum2_backend_protocol::{Frame, Participant as Frames, ParticipantFlags, Room, StatusType};

use crate::html;
use crate::purple::Participant;
use crate::session::{Session, is_one_line};

/// Rooms whose join is under way and whose nick is remembered.
const MAX_JOINING: usize = 100;

impl Session {
    /// The user wants to be in a room.
    pub fn join_room(&mut self, room: &Room, out: &mut Vec<Frame>) {
        let connected = self.account.is_connected();
        if self.joining.len() < MAX_JOINING {
            self.joining.insert(room.room.clone(), room.nickname.clone());
        }
        let password = room.password.as_deref().unwrap_or_default();
        let proper = is_one_line(&room.room) && is_one_line(&room.nickname) && is_one_line(password);
        if !proper || !connected || !self.account.join_room(&room.room, &room.nickname, password) {
            let text = if connected {
                "The network has no such rooms"
            } else {
                "You are not connected to the network"
            };
            out.push(self.not_joined(&room.room, &room.nickname, text));
        }
    }

    /// The user leaves a room. The daemon also says this of contacts, which are no rooms.
    pub fn leave_room(&self, room: &Room) {
        self.account.leave_room(&room.room);
    }

    /// The user sets the topic.
    pub fn set_topic(&self, room: &str, topic: &str) {
        if self.account.is_in_room(room) {
            let line: String = topic.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            self.account.set_topic(room, &line);
        }
    }

    /// The user is in the room, maybe under another nick than the wanted one; the occupants follow.
    pub fn room_joined(&mut self, room: &str, out: &mut Vec<Frame>) {
        let wanted = self.joining.remove(room);
        let nickname = self.account.nick_in_room(room);
        if !nickname.is_empty() && wanted.is_none_or(|wanted| wanted != nickname) {
            out.push(Frame::RoomNicknameChanged(Room {
                user_name: self.user.clone(),
                nickname,
                room: room.to_owned(),
                password: None,
            }));
        }
    }

    /// The room could not be joined.
    pub fn room_join_failed(&mut self, room: &str, out: &mut Vec<Frame>) {
        let nick = self.joining.remove(room).unwrap_or_default();
        out.push(self.not_joined(room, &nick, "The room could not be joined"));
    }

    /// Occupants came or changed.
    pub fn participants(&self, room: &str, participants: Vec<Participant>, out: &mut Vec<Frame>) {
        for participant in participants {
            let mut frame = self.participant(room, &participant.name);
            frame.flag = if participant.moderator { ParticipantFlags::MODERATOR } else { 0 };
            if !participant.alias.is_empty() {
                frame.alias = Some(participant.alias);
            }
            out.push(Frame::ParticipantChanged(frame));
        }
    }

    /// An occupant changed the nick.
    pub fn participant_renamed(&self, room: &str, old: &str, new: String, out: &mut Vec<Frame>) {
        let mut frame = self.participant(room, old);
        frame.newname = Some(new);
        out.push(Frame::ParticipantChanged(frame));
    }

    /// Occupants left.
    pub fn participants_left(&self, room: &str, names: &[String], out: &mut Vec<Frame>) {
        for name in names {
            let mut frame = self.participant(room, name);
            frame.status = StatusType::None.into();
            out.push(Frame::ParticipantChanged(frame));
        }
    }

    /// The topic is known or changed.
    pub fn topic_changed(&self, room: &str, topic: &str, who: String, out: &mut Vec<Frame>) {
        let mut frame = self.conversation_message(room, html::from_network(topic).plain);
        frame.nickname = Some(who);
        out.push(Frame::RoomSubjectChanged(frame));
    }

    fn participant(&self, room: &str, nickname: &str) -> Frames {
        Frames {
            user_name: self.user.clone(),
            room: room.to_owned(),
            nickname: nickname.to_owned(),
            flag: 0,
            status: StatusType::Online.into(),
            ..Frames::default()
        }
    }

    fn not_joined(&self, room: &str, nickname: &str, text: &str) -> Frame {
        let mut frame = self.participant(room, nickname);
        frame.flag = ParticipantFlags::ROOM_NOT_FOUND;
        frame.status = StatusType::None.into();
        frame.status_message = Some(text.to_owned());
        Frame::ParticipantChanged(frame)
    }
}
