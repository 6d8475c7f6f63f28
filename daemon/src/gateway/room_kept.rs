//! The rooms of somebody who stays connected are remembered: a restart, or a session that was over for long, ends no stay.
//!
//! They are a row of `users_settings` that only this module reads and writes. It holds the passwords of rooms, as plain
//! text like the password of the account beside it: nobody is shown them, and no backend gets the row. It is written when it
//! changes, and empty when the user is in no room or does not stay connected.

use serde::{Deserialize, Serialize};
use spectrum2_config::Secret;

use super::account::OWN_SETTING;
use super::contact::fold;
use super::context::Context;
use super::room::{ROOMS, Room};
use super::user::User;
use crate::storage::Request;

/// What follows [`OWN_SETTING`] in the name of the setting.
const SETTING: &str = "rooms";
/// Longest row, in bytes: rooms that do not fit are not remembered.
const LONGEST: usize = 64 << 10;

/// A room that outlives the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRoom {
    /// Its name on the network.
    name: String,
    /// Local part of its JID.
    node: String,
    /// The user's nick there.
    nick: String,
    /// Password with which it was joined; may be empty.
    #[serde(default)]
    password: Secret,
    /// The last message that a client of his has heard; `None` while one is there, which hears the next.
    #[serde(default)]
    heard: Option<i64>,
}

impl KeptRoom {
    fn of(room: &Room) -> Self {
        let heard = if room.clients.is_empty() { room.memory.heard() } else { None };
        Self {
            name: room.name.clone(),
            node: room.node.clone(),
            nick: room.nick.clone(),
            password: Secret::new(room.password.clone()),
            heard,
        }
    }

    fn wanted(&self) -> Room {
        let (name, node) = (self.name.clone(), self.node.clone());
        let mut room = Room::new(name, node, self.nick.clone(), self.password.expose().to_owned());
        if let Some(heard) = self.heard {
            room.memory.all_heard(heard);
        }
        room
    }

    fn length(&self) -> usize {
        serde_json::to_string(self).map_or(0, |text| text.len() + 1)
    }
}

/// The rooms of one user that outlive his session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct KeptRooms {
    all: Vec<KeptRoom>,
    /// Storage does not know yet.
    dirty: bool,
}

impl KeptRooms {
    /// Takes what storage has out of the settings of the user.
    pub fn take(settings: &mut Vec<(String, String)>) -> Self {
        let mut own = settings.extract_if(.., |(name, _)| name.strip_prefix(OWN_SETTING) == Some(SETTING));
        let Some((_, text)) = own.next().filter(|(_, text)| !text.is_empty()) else { return Self::default() };
        let mut all: Vec<KeptRoom> =
            serde_json::from_str(&text).unwrap_or_else(|error: serde_json::Error| {
                tracing::error!(
                    line = error.line(),
                    column = error.column(),
                    "the rooms of a user who stays connected cannot be read"
                );
                Vec::new()
            });
        all.truncate(ROOMS);
        Self { all, dirty: false }
    }

    /// Whether the user is to be in this room after a break.
    pub fn contains(&self, name: &str) -> bool {
        let name = fold(name);
        self.all.iter().any(|kept| fold(&kept.name) == name)
    }

    /// The row as its owner may see it: without passwords.
    pub fn for_export(&self) -> Option<(String, String)> {
        let bare = self.all.iter().map(|kept| KeptRoom { password: Secret::default(), ..kept.clone() });
        let bare: Vec<KeptRoom> = bare.collect();
        (!bare.is_empty()).then(|| (format!("{OWN_SETTING}{SETTING}"), row(&bare).expose().to_owned()))
    }

    /// The row for storage, if that has another one.
    fn unsaved(&mut self) -> Option<Secret> {
        std::mem::take(&mut self.dirty).then(|| row(&self.all))
    }
}

/// What is stored for these rooms.
fn row(rooms: &[KeptRoom]) -> Secret {
    // Lists of texts and numbers can always be written.
    Secret::new(if rooms.is_empty() {
        String::new()
    } else {
        serde_json::to_string(rooms).unwrap_or_default()
    })
}

impl User {
    /// Remembers in which rooms the user is, if he stays connected. To be called when a room, his nick there or the
    /// presence of a client there may have changed.
    pub fn keep_rooms(&mut self, cx: &mut Context) {
        let stays = self.setting(cx, "stay_connected");
        let before =
            if stays { self.rooms.kept.all.clone() } else { std::mem::take(&mut self.rooms.kept.all) };
        if stays {
            let entered: Vec<KeptRoom> = self
                .rooms
                .iter_mut()
                .filter(|room| room.is_entered())
                .map(|room| KeptRoom::of(room))
                .collect();
            let kept = &mut self.rooms.kept.all;
            for room in entered {
                match kept.iter_mut().find(|kept| kept.node == room.node) {
                    Some(kept) => *kept = room,
                    None => kept.push(room),
                }
            }
            let mut length = 2;
            kept.retain(|kept| {
                length += kept.length();
                length <= LONGEST
            });
            kept.truncate(ROOMS);
        }
        self.kept_rooms_changed(cx, &before);
    }

    /// The user left a room for good, or may not be there.
    pub fn drop_kept_room(&mut self, cx: &mut Context, name: &str) {
        let (before, name) = (self.rooms.kept.all.clone(), fold(name));
        self.rooms.kept.all.retain(|kept| fold(&kept.name) != name);
        self.kept_rooms_changed(cx, &before);
    }

    /// With another account the user is another one on the network.
    pub fn drop_kept_rooms(&mut self, cx: &mut Context) {
        let before = std::mem::take(&mut self.rooms.kept.all);
        self.kept_rooms_changed(cx, &before);
    }

    /// The session ends: clients that are in rooms hear no more.
    pub fn rooms_unheard(&mut self, cx: &mut Context) {
        self.keep_rooms(cx);
        let before = self.rooms.kept.all.clone();
        let mut kept = std::mem::take(&mut self.rooms.kept.all);
        for kept in &mut kept {
            if let Some(room) = self.rooms.at(&kept.node).filter(|room| room.is_entered()) {
                kept.heard = room.memory.heard();
            }
        }
        self.rooms.kept.all = kept;
        self.kept_rooms_changed(cx, &before);
    }

    /// The user is logged in: he wants to be where he was before, if he still stays connected.
    pub fn restore_rooms(&mut self, cx: &mut Context) {
        self.keep_rooms(cx);
        for kept in self.rooms.kept.all.clone() {
            let known = self.rooms.at(&kept.node).is_some() || self.rooms.node_of(&kept.name).is_some();
            if !known && self.rooms.len() < ROOMS {
                self.rooms.insert(kept.wanted());
            }
        }
    }

    /// Writes the row, if it changed; `row` is the user's.
    pub fn save_rooms(&mut self, cx: &mut Context, row: i64) {
        if let Some(text) = self.rooms.kept.unsaved() {
            let name = format!("{OWN_SETTING}{SETTING}");
            let request = Request::SaveSetting(row, name, 0, text.expose().to_owned());
            cx.store(request, format!("rooms of {}", self.jid));
        }
    }

    fn kept_rooms_changed(&mut self, cx: &mut Context, before: &[KeptRoom]) {
        if self.rooms.kept.all != before {
            self.rooms.kept.dirty = true;
            self.save_later(cx);
        }
    }
}
