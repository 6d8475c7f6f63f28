//! Rooms: libpurple's chats.

use std::cell::Cell;
use std::ptr;

use libpurple_sys as sys;

use super::account::{self, Account};
use super::event::{Event, push};
use super::{c_text, copy, list as items, take};

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
            // A room on the user's own list may need more to be found than its name.
            let listed = self.listed_chat(room);
            if password.is_empty() && !listed.is_null() {
                sys::serv_join_chat(gc, sys::purple_chat_get_components(listed));
                return true;
            }
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

    /// The rooms on the user's own list: name, and name to show.
    pub fn listed_chats(&self) -> Vec<(String, String)> {
        // SAFETY: the nodes live while nothing is changed; texts are copied.
        unsafe {
            let names = self.chat_nodes().map(|chat| {
                (
                    self.name_of_chat(sys::purple_chat_get_components(chat)),
                    copy(sys::purple_chat_get_name(chat)),
                )
            });
            names.filter(|(name, _)| !name.is_empty()).collect()
        }
    }

    fn listed_chat(&self, room: &str) -> *mut sys::PurpleChat {
        let is_it = |chat: &*mut sys::PurpleChat| {
            // SAFETY: the node lives while nothing is changed.
            let name = unsafe { self.name_of_chat(sys::purple_chat_get_components(*chat)) };
            name.to_lowercase() == room.to_lowercase()
        };
        self.chat_nodes().find(is_it).unwrap_or(ptr::null_mut())
    }

    fn chat_nodes(&self) -> impl Iterator<Item = *mut sys::PurpleChat> {
        const CHAT: sys::PurpleBlistNodeType::Type = sys::PurpleBlistNodeType::PURPLE_BLIST_CHAT_NODE;
        let account = self.raw();
        // SAFETY: the list lives, and each node while nothing is changed.
        let first = unsafe { sys::purple_blist_get_root() };
        let nodes = std::iter::successors((!first.is_null()).then_some(first), |node| {
            // SAFETY: as above. True: those whose account is off line as well.
            let next = unsafe { sys::purple_blist_node_next(*node, 1) };
            (!next.is_null()).then_some(next)
        });
        // SAFETY: the type says that it is a chat.
        let is_ours = move |node: &*mut sys::PurpleBlistNode| unsafe {
            sys::purple_blist_node_get_type(*node) == CHAT
                && sys::purple_chat_get_account(node.cast()) == account
        };
        nodes.filter(is_ours).map(<*mut sys::PurpleBlistNode>::cast)
    }

    /// # Safety
    /// `components` is a table of texts, or null.
    unsafe fn name_of_chat(&self, components: *mut sys::GHashTable) -> String {
        if components.is_null() {
            return String::new();
        }
        let named = self.protocol().info().and_then(|info| info.get_chat_name);
        // SAFETY: the caller's promise; the plugin's function gives a new text or null.
        unsafe {
            match named {
                Some(named) => take(named(components)),
                None => component_name(components),
            }
        }
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
        Self::mark_sending(true);
        // SAFETY: connection and conversation live; the text is ours.
        let result = unsafe {
            let id = sys::purple_conv_chat_get_id(sys::purple_conversation_get_chat_data(conversation));
            sys::serv_chat_send(gc, id, c_text(html).as_ptr(), sys::PurpleMessageFlags::PURPLE_MESSAGE_SEND)
        };
        Self::mark_sending(false);
        if result < 0 { Err(result) } else { Ok(()) }
    }

    /// The topic of a room; empty if none.
    pub fn topic(&self, room: &str) -> String {
        self.conversation(ROOM, room, false).map_or_else(String::new, |conversation| {
            // SAFETY: the conversation was just found and is a room; the text is copied.
            unsafe {
                copy(sys::purple_conv_chat_get_topic(sys::purple_conversation_get_chat_data(conversation)))
            }
        })
    }

    /// Invites somebody to a room in which the user is.
    pub fn invite(&self, room: &str, who: &str, text: &str) {
        let (Some(gc), Some(conversation)) = (self.connection(), self.conversation(ROOM, room, false)) else {
            return;
        };
        // SAFETY: connection and conversation live; the texts are ours.
        unsafe {
            let id = sys::purple_conv_chat_get_id(sys::purple_conversation_get_chat_data(conversation));
            sys::serv_chat_invite(gc, id, c_text(text).as_ptr(), c_text(who).as_ptr());
        }
    }

    /// Sends something in the protocol's own words. False: the plugin takes none.
    pub fn send_raw(&self, text: &str) -> bool {
        let send = self.protocol().info().and_then(|info| info.send_raw);
        let (Some(gc), Some(send)) = (self.connection(), send) else { return false };
        let text = c_text(text);
        let length = i32::try_from(text.as_bytes().len()).unwrap_or(0);
        // SAFETY: the connection lives; the text is ours and as long as said.
        unsafe { send(gc, text.as_ptr(), length) };
        true
    }

    /// Gives a command as users of libpurple's own programs type them, without the slash.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub fn command(&self, room: &str, line: &str) -> Result<(), String> {
        use sys::_PurpleCmdStatus as status;
        let Some(conversation) = self.conversation(ROOM, room, false) else {
            return Err("You are not in the room".to_owned());
        };
        let (plain, markup) = (c_text(line), c_text(&super::text::escape(line)));
        let mut error = ptr::null_mut();
        // SAFETY: the conversation was just found; the texts are ours; an error is a new text or none.
        let (done, text) = unsafe {
            let done =
                sys::purple_cmd_do_command(conversation, plain.as_ptr(), markup.as_ptr(), &raw mut error);
            (done, take(error))
        };
        match done {
            status::PURPLE_CMD_STATUS_OK => Ok(()),
            status::PURPLE_CMD_STATUS_FAILED if !text.is_empty() => Err(text),
            status::PURPLE_CMD_STATUS_FAILED => Err("The network refused the command".to_owned()),
            _ => Err("The network has no such command".to_owned()),
        }
    }

    /// Asks for the network's rooms, which come as [`Event::RoomList`]. False: it has no list.
    pub fn list_rooms(&self) -> bool {
        let lists = self.protocol().info().is_some_and(|info| info.roomlist_get_list.is_some());
        let Some(gc) = self.connection().filter(|_| lists) else { return false };
        // SAFETY: the connection lives. The list belongs to the plugin, and is looked at when it is complete.
        unsafe { sys::purple_roomlist_get_list(gc) };
        true
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

/// What the components of a room call it, where the plugin does not say.
///
/// # Safety
/// `components` is a table of texts.
pub(super) unsafe fn component_name(components: *mut sys::GHashTable) -> String {
    let value = |key: &std::ffi::CStr| {
        // SAFETY: the caller's promise.
        unsafe { copy(sys::g_hash_table_lookup(components, key.as_ptr().cast()).cast()) }
    };
    let (room, server) = (value(c"room"), value(c"server"));
    if !room.is_empty() {
        return if server.is_empty() { room } else { format!("{room}@{server}") };
    }
    [c"channel", c"name", c"chat_id", c"id"]
        .into_iter()
        .map(value)
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

thread_local! {
    static INVITATIONS: Cell<bool> = const { Cell::new(false) };
}

/// Whether invitations are events, rather than questions of the plugin.
pub fn take_invitations(yes: bool) {
    INVITATIONS.set(yes);
}

pub(super) fn takes_invitations() -> bool {
    INVITATIONS.get()
}

/// Tells of a list that is complete.
///
/// # Safety
/// `list` lives.
pub(super) unsafe fn listed(list: *mut sys::PurpleRoomlist) {
    // SAFETY: the caller's promise; rooms and fields live with the list; names are copied.
    unsafe {
        let Some(id) = account::id_of((*list).account) else { return };
        let protocol = sys::purple_find_prpl(sys::purple_account_get_protocol_id((*list).account));
        let info = if protocol.is_null() { ptr::null_mut() } else { (*protocol).info };
        let serialize = info
            .as_ref()
            .and_then(|info| info.extra_info.cast::<sys::PurplePluginProtocolInfo>().as_ref())
            .and_then(|info| info.roomlist_room_serialize);
        // The first text that is shown and says more than the name.
        let shown = items::<sys::PurpleRoomlistField>((*list).fields).into_iter().position(|field| {
            sys::purple_roomlist_field_get_type(field)
                == sys::PurpleRoomlistFieldType::PURPLE_ROOMLIST_FIELD_STRING
                && sys::purple_roomlist_field_get_hidden(field) == 0
        });
        let rooms = items::<sys::PurpleRoomlistRoom>((*list).rooms);
        let rooms = rooms.into_iter().filter(|room| {
            sys::purple_roomlist_room_get_type(*room)
                & sys::PurpleRoomlistRoomType::PURPLE_ROOMLIST_ROOMTYPE_ROOM
                != 0
        });
        let rooms = rooms.map(|room| {
            let name = match serialize {
                Some(serialize) => take(serialize(room)),
                None => copy(sys::purple_roomlist_room_get_name(room)),
            };
            let fields = items::<std::ffi::c_char>(sys::purple_roomlist_room_get_fields(room));
            let title = shown.and_then(|place| fields.get(place)).map(|text| copy(*text));
            (name, title.unwrap_or_default())
        });
        push(Event::RoomList(id, rooms.collect()));
    }
}
