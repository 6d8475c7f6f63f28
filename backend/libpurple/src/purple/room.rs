//! Rooms: libpurple's chats.

use std::ptr;

use libpurple_sys as sys;

use super::account::Account;
use super::{c_text, copy};

const ROOM: sys::PurpleConversationType::Type = sys::PurpleConversationType::PURPLE_CONV_TYPE_CHAT;

impl Account {
    /// Starts to join a room. False: the network has no rooms, or is not connected.
    pub fn join_room(&self, room: &str, nick: &str, password: &str) -> bool {
        let Some(gc) = self.connection() else { return false };
        let Some(defaults) = self.protocol().info().and_then(|info| info.chat_info_defaults) else {
            return false;
        };
        // prpl-jabber takes the nick from the room's name; the others use the account's.
        let name =
            if self.protocol().id() == "prpl-jabber" { format!("{room}/{nick}") } else { room.to_owned() };
        // SAFETY: the connection lives. The table is ours; it frees values but not keys, so the key is static and the
        // value GLib's.
        unsafe {
            let components = defaults(gc, c_text(&name).as_ptr());
            if components.is_null() {
                return false;
            }
            if !password.is_empty() {
                let value = sys::g_strdup(c_text(password).as_ptr());
                sys::g_hash_table_insert(components, c"password".as_ptr().cast_mut().cast(), value.cast());
            }
            sys::serv_join_chat(gc, components);
            sys::g_hash_table_destroy(components);
        }
        true
    }

    /// Leaves a room.
    pub fn leave_room(&self, room: &str) {
        if let Some(conversation) = self.conversation(ROOM, room, false) {
            // SAFETY: the conversation was just found.
            unsafe { sys::purple_conversation_destroy(conversation) };
        }
    }

    /// Whether the user is in this room.
    pub fn is_in_room(&self, room: &str) -> bool {
        self.conversation(ROOM, room, false).is_some_and(|conversation| {
            // SAFETY: the conversation was just found and is a room.
            unsafe {
                sys::purple_conv_chat_has_left(sys::purple_conversation_get_chat_data(conversation)) == 0
            }
        })
    }

    /// The user's nick in a room.
    pub fn nick_in_room(&self, room: &str) -> String {
        self.conversation(ROOM, room, false).map_or_else(String::new, |conversation| {
            // SAFETY: as above; the text is copied.
            unsafe {
                copy(sys::purple_conv_chat_get_nick(sys::purple_conversation_get_chat_data(conversation)))
            }
        })
    }

    /// Speaks in a room.
    ///
    /// # Errors
    /// The plugin's error number, negative.
    pub fn send_to_room(&self, room: &str, html: &str) -> Result<(), i32> {
        let (Some(gc), Some(conversation)) = (self.connection(), self.conversation(ROOM, room, false)) else {
            return Err(-libc::ENOTCONN);
        };
        // SAFETY: connection and conversation live; the text is ours.
        let result = unsafe {
            let id = sys::purple_conv_chat_get_id(sys::purple_conversation_get_chat_data(conversation));
            sys::serv_chat_send(gc, id, c_text(html).as_ptr(), sys::PurpleMessageFlags::PURPLE_MESSAGE_SEND)
        };
        if result < 0 { Err(result) } else { Ok(()) }
    }

    /// Sets the topic of a room, if the network has such.
    pub fn set_topic(&self, room: &str, topic: &str) {
        let (Some(gc), Some(conversation)) = (self.connection(), self.conversation(ROOM, room, false)) else {
            return;
        };
        let Some(set) = self.protocol().info().and_then(|info| info.set_chat_topic) else { return };
        // SAFETY: connection and conversation live; the text is ours.
        unsafe {
            let id = sys::purple_conv_chat_get_id(sys::purple_conversation_get_chat_data(conversation));
            let topic = c_text(topic);
            set(gc, id, if topic.is_empty() { ptr::null() } else { topic.as_ptr() });
        }
    }
}
