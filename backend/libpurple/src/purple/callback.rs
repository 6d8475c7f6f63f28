//! What libpurple calls: each function copies what it is told into an event.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr;

use libpurple_sys as sys;
use spectrum2_backend_protocol::{Affiliation, Role, RoomReason};
use sys::{gboolean, time_t};

use super::account::{self, Account, SettingValue};
use super::event::{Departure, Event, IdPrefix, Leaver, Message, MessageKind, Participant, Typing, push};
use super::{AccountId, copy, dialog, ear, guard, list, room, take};

/// The account of a connection.
fn account_of(gc: *mut sys::PurpleConnection) -> Option<AccountId> {
    if gc.is_null() {
        return None;
    }
    // SAFETY: not null, and alive during the callback.
    account::id_of(unsafe { sys::purple_connection_get_account(gc) })
}

/// The account and the name of a conversation.
fn conversation_of(conversation: *mut sys::PurpleConversation) -> Option<(AccountId, String)> {
    if conversation.is_null() {
        return None;
    }
    // SAFETY: not null, and alive during the callback.
    unsafe {
        let id = account::id_of(sys::purple_conversation_get_account(conversation))?;
        Some((id, copy(sys::purple_conversation_get_name(conversation))))
    }
}

// Account settings.

unsafe extern "C" fn set_int(account: *mut sys::PurpleAccount, name: *const c_char, value: c_int) {
    // SAFETY: libpurple passes a text.
    guard((), || setting(account, unsafe { copy(name) }, Some(SettingValue::Integer(value))));
}

unsafe extern "C" fn set_bool(account: *mut sys::PurpleAccount, name: *const c_char, value: gboolean) {
    // SAFETY: libpurple passes a text.
    guard((), || setting(account, unsafe { copy(name) }, Some(SettingValue::Boolean(value != 0))));
}

unsafe extern "C" fn set_string(account: *mut sys::PurpleAccount, name: *const c_char, value: *const c_char) {
    guard((), || {
        // SAFETY: libpurple passes texts; a null value is a setting without one.
        let (name, value) =
            unsafe { (copy(name), (!value.is_null()).then(|| SettingValue::Text(copy(value)))) };
        setting(account, name, value);
    });
}

fn setting(account: *mut sys::PurpleAccount, name: String, value: Option<SettingValue>) {
    account::remember(account, name, value);
    push(Event::SettingsChanged);
}

unsafe extern "C" fn accounts_changed() {
    guard((), || push(Event::SettingsChanged));
}

unsafe extern "C" fn nothing() {}

// Connections.

unsafe extern "C" fn disconnect_reason(
    gc: *mut sys::PurpleConnection,
    reason: sys::PurpleConnectionError::Type,
    text: *const c_char,
) {
    guard((), || {
        if let Some(account) = account_of(gc) {
            // SAFETY: libpurple passes a text or null.
            let text = unsafe { copy(text) };
            push(Event::ConnectionError(account, i32::try_from(reason).unwrap_or(16), text));
        }
    });
}

unsafe extern "C" fn signed_on(gc: *mut sys::PurpleConnection, _: *mut c_void) {
    guard((), || account_of(gc).into_iter().for_each(|account| push(Event::SignedOn(account))));
}

unsafe extern "C" fn signed_off(gc: *mut sys::PurpleConnection, _: *mut c_void) {
    guard((), || account_of(gc).into_iter().for_each(|account| push(Event::SignedOff(account))));
}

// Contacts.

unsafe extern "C" fn node_changed(node: *mut sys::PurpleBlistNode) {
    guard((), || {
        // SAFETY: null, or a node that lives during the callback; the type says whether it is a contact.
        unsafe {
            use sys::PurpleBlistNodeType as kind;
            if node.is_null() {
                return;
            }
            let node_kind = sys::purple_blist_node_get_type(node);
            if node_kind == kind::PURPLE_BLIST_CHAT_NODE {
                let account = account::id_of(sys::purple_chat_get_account(node.cast()));
                account.into_iter().for_each(|account| push(Event::ChatsChanged(account)));
            }
            if node_kind != kind::PURPLE_BLIST_BUDDY_NODE {
                return;
            }
            let buddy = node.cast::<sys::PurpleBuddy>();
            if let Some(account) = account::id_of(sys::purple_buddy_get_account(buddy)) {
                push(Event::ContactChanged(account, copy(sys::purple_buddy_get_name(buddy))));
            }
        }
    });
}

unsafe extern "C" fn list_changed(_: *mut sys::PurpleBuddyList, node: *mut sys::PurpleBlistNode) {
    // SAFETY: the same node.
    unsafe { node_changed(node) };
}

unsafe extern "C" fn ignore_node(_: *mut sys::PurpleBlistNode) {}

unsafe extern "C" fn ignore_account(_: *mut sys::PurpleAccount) {}

unsafe extern "C" fn icon_changed(buddy: *mut sys::PurpleBuddy, _: *mut c_void) {
    // SAFETY: a buddy is a node.
    unsafe { node_changed(buddy.cast()) };
}

fn typing(account: *mut sys::PurpleAccount, name: *const c_char, state: Typing) {
    guard((), || {
        if let Some(id) = account::id_of(account) {
            // SAFETY: libpurple passes a text or null.
            push(Event::Typing(id, unsafe { copy(name) }, state));
        }
    });
}

unsafe extern "C" fn typing_started(account: *mut sys::PurpleAccount, name: *const c_char, _: *mut c_void) {
    typing(account, name, Typing::Composing);
}

unsafe extern "C" fn typing_paused(account: *mut sys::PurpleAccount, name: *const c_char, _: *mut c_void) {
    typing(account, name, Typing::Paused);
}

unsafe extern "C" fn typing_stopped(account: *mut sys::PurpleAccount, name: *const c_char, _: *mut c_void) {
    typing(account, name, Typing::Stopped);
}

unsafe extern "C" fn attention(
    account: *mut sys::PurpleAccount,
    who: *const c_char,
    _: *mut sys::PurpleConversation,
    _: u32,
    _: *mut c_void,
) {
    guard((), || {
        if let Some(id) = account::id_of(account) {
            // SAFETY: libpurple passes a text or null.
            push(Event::Attention(id, unsafe { copy(who) }));
        }
    });
}

// Conversations.

unsafe extern "C" fn write(
    conversation: *mut sys::PurpleConversation,
    who: *const c_char,
    html: *const c_char,
    flags: sys::PurpleMessageFlags::Type,
    time: time_t,
) {
    guard((), || {
        use sys::PurpleMessageFlags as flag;
        let Some((account, name)) = conversation_of(conversation) else { return };
        // SAFETY: not null, and alive during the callback.
        let in_room = unsafe { sys::purple_conversation_get_type(conversation) }
            == sys::PurpleConversationType::PURPLE_CONV_TYPE_CHAT;
        let kind = if flags & flag::PURPLE_MESSAGE_ERROR != 0 {
            MessageKind::Error
        } else if flags & flag::PURPLE_MESSAGE_SYSTEM != 0 {
            // Most of these tell what presence and topic tell already. A plugin that says something of the moment, such
            // as that nobody is there to read a message, marks it as not worth a log.
            if flags & flag::PURPLE_MESSAGE_NO_LOG == 0 {
                return;
            }
            MessageKind::System
        } else if flags & flag::PURPLE_MESSAGE_SEND != 0 {
            MessageKind::SentElsewhere
        } else {
            MessageKind::Received
        };
        let echo = kind != MessageKind::Error && Account::is_sending();
        if (echo && kind == MessageKind::SentElsewhere && !in_room)
            || flags & flag::PURPLE_MESSAGE_INVISIBLE != 0
        {
            return;
        }
        // SAFETY: libpurple passes texts or null.
        let (who, html) = unsafe { (copy(who), copy(html)) };
        let delayed = flags & flag::PURPLE_MESSAGE_DELAYED != 0;
        push(Event::Message(Message {
            account,
            kind,
            in_room,
            conversation: name,
            who,
            html,
            time,
            delayed,
            echo,
        }));
    });
}

unsafe extern "C" fn write_directly(
    conversation: *mut sys::PurpleConversation,
    who: *const c_char,
    _alias: *const c_char,
    html: *const c_char,
    flags: sys::PurpleMessageFlags::Type,
    time: time_t,
) {
    // SAFETY: the same arguments. libpurple keeps all that goes this way in memory, for a window that nobody opens.
    unsafe {
        write(conversation, who, html, flags, time);
        sys::purple_conversation_clear_message_history(conversation);
    }
}

unsafe extern "C" fn add_users(
    conversation: *mut sys::PurpleConversation,
    users: *mut sys::GList,
    _: gboolean,
) {
    guard((), || {
        let Some((account, room)) = conversation_of(conversation) else { return };
        // SAFETY: libpurple passes a list of occupants.
        let users = unsafe { list::<sys::PurpleConvChatBuddy>(users) };
        // SAFETY: the occupants live during the callback.
        let users = users.into_iter().map(|user| unsafe { participant(&room, user) }).collect();
        push(Event::Participants(account, room, users));
    });
}

/// # Safety
/// `user` lives.
pub(super) unsafe fn participant(room: &str, user: *const sys::PurpleConvChatBuddy) -> Participant {
    use sys::PurpleConvChatBuddyFlags as flag;
    // SAFETY: the caller's promise; its texts are texts or null.
    let (name, alias, flags) = unsafe { (copy((*user).name), copy((*user).alias), (*user).flags) };
    if let Some(known) = ear::occupant(room, &name) {
        let ear::Occupant { role, affiliation, own, contact, show, text, photo, .. } = known;
        return Participant { name, alias, role, affiliation, own, contact, show, text, photo };
    }
    let has = |bits: u32| flags & bits != 0;
    let (role, affiliation) = if has(flag::PURPLE_CBFLAGS_FOUNDER) {
        (Role::Moderator, Affiliation::Owner)
    } else if has(flag::PURPLE_CBFLAGS_OP) {
        (Role::Moderator, Affiliation::Admin)
    } else if has(flag::PURPLE_CBFLAGS_HALFOP) {
        (Role::Moderator, Affiliation::Member)
    } else if has(flag::PURPLE_CBFLAGS_VOICE) {
        (Role::Participant, Affiliation::Member)
    } else {
        (Role::Participant, Affiliation::None)
    };
    let show = if has(flag::PURPLE_CBFLAGS_AWAY) { "away" } else { "" }.to_owned();
    Participant {
        name,
        alias,
        role,
        affiliation,
        own: false,
        contact: String::new(),
        show,
        text: String::new(),
        photo: String::new(),
    }
}

unsafe extern "C" fn update_user(conversation: *mut sys::PurpleConversation, name: *const c_char) {
    guard((), || {
        let Some((account, room)) = conversation_of(conversation) else { return };
        // SAFETY: not null; the occupant is checked for null and lives during the callback.
        unsafe {
            let chat = sys::purple_conversation_get_chat_data(conversation);
            let user =
                if chat.is_null() { ptr::null_mut() } else { sys::purple_conv_chat_cb_find(chat, name) };
            if !user.is_null() {
                let user = participant(&room, user);
                push(Event::Participants(account, room, vec![user]));
            }
        }
    });
}

unsafe extern "C" fn rename_user(
    conversation: *mut sys::PurpleConversation,
    old: *const c_char,
    new: *const c_char,
    _alias: *const c_char,
) {
    guard((), || {
        let Some((account, room)) = conversation_of(conversation) else { return };
        // SAFETY: libpurple passes texts or null.
        let (old, new) = unsafe { (copy(old), copy(new)) };
        push(Event::ParticipantRenamed(account, room, old, new));
    });
}

unsafe extern "C" fn remove_users(conversation: *mut sys::PurpleConversation, users: *mut sys::GList) {
    guard((), || {
        let Some((account, room)) = conversation_of(conversation) else { return };
        // SAFETY: libpurple passes a list of texts.
        let users = unsafe { list::<c_char>(users) };
        // SAFETY: the texts live during the callback.
        let users = users.into_iter().map(|user| unsafe { copy(user) });
        let users = users.map(|name| Leaver { departure: ear::departure(&room, &name), name }).collect();
        push(Event::ParticipantsLeft(account, room, users));
    });
}

unsafe extern "C" fn has_focus(_: *mut sys::PurpleConversation) -> gboolean {
    // Some plugins tell the other side that a message was read only if so.
    1
}

unsafe extern "C" fn chat_joined(conversation: *mut sys::PurpleConversation, _: *mut c_void) {
    guard((), || {
        if let Some((account, room)) = conversation_of(conversation) {
            push(Event::RoomJoined(account, room));
        }
    });
}

unsafe extern "C" fn chat_join_failed(
    gc: *mut sys::PurpleConnection,
    components: *mut sys::GHashTable,
    _: *mut c_void,
) {
    guard((), || {
        let Some(account) = account_of(gc) else { return };
        // SAFETY: the table, if any, lives during the callback, and its keys and values are texts.
        let name =
            unsafe { if components.is_null() { String::new() } else { room::component_name(components) } };
        push(Event::RoomJoinFailed(account, name));
    });
}

unsafe extern "C" fn chat_left(conversation: *mut sys::PurpleConversation, _: *mut c_void) {
    guard((), || {
        let Some((account, room)) = conversation_of(conversation) else { return };
        // SAFETY: the conversation lives during the callback, and is a room.
        let nick = unsafe {
            copy(sys::purple_conv_chat_get_nick(sys::purple_conversation_get_chat_data(conversation)))
        };
        let unknown = || Departure {
            reason: RoomReason::Disconnected,
            actor: String::new(),
            text: "The network ended the stay in the room".to_owned(),
        };
        let departure = ear::departure(&room, &nick).unwrap_or_else(unknown);
        push(Event::RoomLeft(account, room, departure));
    });
}

/// Somebody invites the user. Where the daemon takes invitations, the plugin needs no answer: the user joins, or not.
unsafe extern "C" fn chat_invited(
    account: *mut sys::PurpleAccount,
    who: *const c_char,
    name: *const c_char,
    text: *const c_char,
    components: *mut sys::GHashTable,
    _: *mut c_void,
) -> c_int {
    guard(0, || {
        let Some(id) = account::id_of(account).filter(|_| room::takes_invitations()) else { return 0 };
        // SAFETY: libpurple passes texts or null, and a table of texts or null.
        unsafe {
            let key = c"password".as_ptr().cast();
            let password = if components.is_null() {
                String::new()
            } else {
                copy(sys::g_hash_table_lookup(components, key).cast())
            };
            let heard = ear::inviter();
            let who = if heard.is_empty() { copy(who) } else { heard };
            push(Event::Invited(id, copy(name), who, copy(text), password));
        }
        -1
    })
}

unsafe extern "C" fn rooms_listed(list: *mut sys::PurpleRoomlist, in_progress: gboolean) {
    guard((), || {
        if in_progress == 0 && !list.is_null() {
            // SAFETY: not null, and alive during the callback.
            unsafe { room::listed(list) };
        }
    });
}

unsafe extern "C" fn topic_changed(
    conversation: *mut sys::PurpleConversation,
    who: *const c_char,
    topic: *const c_char,
    _: *mut c_void,
) {
    guard((), || {
        let Some((account, room)) = conversation_of(conversation) else { return };
        // SAFETY: libpurple passes texts or null.
        let (who, topic) = unsafe { (copy(who), copy(topic)) };
        push(Event::Topic(account, room, topic, who));
    });
}

// Notices.

thread_local! {
    /// Whose data a plugin is looking at: notices come without a name, but mostly while it reads what the network sent.
    static READING: Cell<Option<AccountId>> = const { Cell::new(None) };
}

/// A plugin is called for some account or other.
pub(super) fn forget_reader() {
    READING.set(None);
}

/// Before prpl-irc handles a line.
unsafe extern "C" fn reading_line(gc: *mut sys::PurpleConnection, line: *mut *mut c_char, _: *mut c_void) {
    guard((), || {
        READING.set(account_of(gc));
        // SAFETY: libpurple passes the address of a text; the connection lives during the callback.
        unsafe {
            if let (Some(account), false) = (account_of(gc), line.is_null()) {
                let state = sys::purple_connection_get_state(gc);
                let connected = state == sys::PurpleConnectionState::PURPLE_CONNECTED;
                ear::irc_line(account, connected, &copy(*line));
            }
        }
    });
}

/// Before prpl-jabber handles a stanza.
unsafe extern "C" fn reading_stanza(
    gc: *mut sys::PurpleConnection,
    stanza: *mut *mut sys::xmlnode,
    _: *mut c_void,
) {
    guard((), || {
        READING.set(account_of(gc));
        // SAFETY: libpurple passes the address of a stanza, which lives during the callback.
        unsafe {
            if let (Some(account), false) = (account_of(gc), stanza.is_null() || (*stanza).is_null()) {
                ear::stanza(account, sys::purple_connection_get_account(gc), *stanza);
                delivery_failure(account, *stanza);
            }
        }
    });
}

/// prpl-jabber says nothing of an error that does not repeat the message, as most servers' errors do not.
///
/// # Safety
/// `stanza` lives.
unsafe fn delivery_failure(account: AccountId, stanza: *mut sys::xmlnode) {
    // SAFETY: the caller's promise; nulls are checked; texts are copied.
    unsafe {
        if copy((*stanza).name) != "message"
            || copy(sys::xmlnode_get_attrib(stanza, c"type".as_ptr())) != "error"
            // Of a stanza that waits for its answer.
            || IdPrefix::strip(&copy(sys::xmlnode_get_attrib(stanza, c"id".as_ptr()))).is_some()
        {
            return;
        }
        let error = sys::xmlnode_get_child(stanza, c"error".as_ptr());
        let mut reason = String::new();
        if !error.is_null() {
            let text = sys::xmlnode_get_child(error, c"text".as_ptr());
            if !text.is_null() {
                reason = take(sys::xmlnode_get_data(text));
            }
            // RFC 6120 §8.3: without a text, the name of the condition says what is wrong.
            let mut child = (*error).child;
            while reason.is_empty() && !child.is_null() {
                if (*child).type_ == sys::_XMLNodeType::XMLNODE_TYPE_TAG {
                    reason = copy((*child).name).replace('-', " ");
                }
                child = (*child).next;
            }
        }
        let from = copy(sys::xmlnode_get_attrib(stanza, c"from".as_ptr()));
        let html = super::text::escape(&format!("The message was not delivered: {reason}"));
        push(Event::Message(Message {
            account,
            kind: MessageKind::Error,
            in_room: false,
            conversation: from.clone(),
            who: from,
            html,
            time: 0,
            delayed: false,
            echo: false,
        }));
    }
}

unsafe extern "C" fn notify_message(
    _: sys::PurpleNotifyMsgType::Type,
    title: *const c_char,
    primary: *const c_char,
    secondary: *const c_char,
) -> *mut c_void {
    guard((), || {
        // SAFETY: libpurple passes texts or null.
        let parts = unsafe { [copy(title), copy(primary), copy(secondary)] };
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if !ear::was_told() {
            push(Event::Notice(READING.get(), parts.join("\n")));
        }
    });
    ptr::null_mut()
}

unsafe extern "C" fn notify_uri(uri: *const c_char) -> *mut c_void {
    // SAFETY: libpurple passes a text or null.
    guard((), || push(Event::OpenUri(READING.get(), unsafe { copy(uri) })));
    ptr::null_mut()
}

unsafe extern "C" fn notify_userinfo(
    gc: *mut sys::PurpleConnection,
    who: *const c_char,
    info: *mut sys::PurpleNotifyUserInfo,
) -> *mut c_void {
    guard((), || {
        let Some(account) = account_of(gc) else { return };
        if info.is_null() {
            return;
        }
        // SAFETY: the facts live during the callback; labels and values are texts or null.
        unsafe {
            let entries =
                list::<sys::PurpleNotifyUserInfoEntry>(sys::purple_notify_user_info_get_entries(info));
            let entries = entries
                .into_iter()
                .map(|entry| {
                    (
                        copy(sys::purple_notify_user_info_entry_get_label(entry)),
                        copy(sys::purple_notify_user_info_entry_get_value(entry)),
                    )
                })
                .collect();
            push(Event::UserInfo(account, copy(who), entries));
        }
    });
    ptr::null_mut()
}

/// Somebody offers a file, which cannot be taken here: the sender is told at once, and the user.
unsafe extern "C" fn file_offered(transfer: *mut sys::PurpleXfer, _: *mut c_void) {
    guard((), || {
        if transfer.is_null() {
            return;
        }
        // SAFETY: not null, and alive during the callback. With this status libpurple cancels the transfer itself.
        unsafe {
            (*transfer).status = sys::PurpleXferStatusType::PURPLE_XFER_STATUS_CANCEL_LOCAL;
            let name = super::text::escape(&copy(sys::purple_xfer_get_filename(transfer)));
            let account = account::id_of(sys::purple_xfer_get_account(transfer));
            let who = copy(sys::purple_xfer_get_remote_user(transfer));
            if let Some(account) = account {
                let html = format!("The file “{name}” was offered and refused: files cannot be received");
                let kind = MessageKind::Error;
                let conversation = who.clone();
                push(Event::Message(Message {
                    account,
                    kind,
                    in_room: false,
                    conversation,
                    who,
                    html,
                    time: 0,
                    delayed: false,
                    echo: false,
                }));
            }
        }
    });
}

/// Puts the functions above into libpurple's tables.
pub(super) fn install() {
    // SAFETY: all fields are optional functions, for which zero means none; libpurple keeps the tables, which are leaked.
    unsafe {
        let mut accounts: Box<sys::PurpleAccountUiOps> = Box::new(std::mem::zeroed());
        accounts.request_authorize = Some(dialog::request_authorize);
        accounts.close_account_request = Some(dialog::close_account_request);
        sys::purple_accounts_set_ui_ops(Box::leak(accounts));

        // With `load`, `save` and `schedule_save` there is no accounts.xml.
        let mut settings: Box<sys::PurpleAccountPrefsUiOps> = Box::new(std::mem::zeroed());
        settings.set_int = Some(set_int);
        settings.set_bool = Some(set_bool);
        settings.set_string = Some(set_string);
        settings.load = Some(nothing);
        settings.save = Some(nothing);
        settings.schedule_save = Some(accounts_changed);
        sys::purple_account_prefs_set_ui_ops(Box::leak(settings));

        let mut connections: Box<sys::PurpleConnectionUiOps> = Box::new(std::mem::zeroed());
        connections.report_disconnect_reason = Some(disconnect_reason);
        sys::purple_connections_set_ui_ops(Box::leak(connections));

        // With `save_node`, `remove_node` and `save_account` there is no blist.xml.
        let mut contacts: Box<sys::PurpleBlistUiOps> = Box::new(std::mem::zeroed());
        contacts.new_node = Some(node_changed);
        contacts.update = Some(list_changed);
        contacts.remove = Some(list_changed);
        contacts.save_node = Some(ignore_node);
        contacts.remove_node = Some(ignore_node);
        contacts.save_account = Some(ignore_account);
        sys::purple_blist_set_ui_ops(Box::leak(contacts));

        let mut conversations: Box<sys::PurpleConversationUiOps> = Box::new(std::mem::zeroed());
        conversations.write_chat = Some(write);
        conversations.write_im = Some(write);
        conversations.write_conv = Some(write_directly);
        conversations.chat_add_users = Some(add_users);
        conversations.chat_update_user = Some(update_user);
        conversations.chat_rename_user = Some(rename_user);
        conversations.chat_remove_users = Some(remove_users);
        conversations.has_focus = Some(has_focus);
        sys::purple_conversations_set_ui_ops(Box::leak(conversations));

        let mut rooms: Box<sys::PurpleRoomlistUiOps> = Box::new(std::mem::zeroed());
        rooms.in_progress = Some(rooms_listed);
        sys::purple_roomlist_set_ui_ops(Box::leak(rooms));

        let mut notices: Box<sys::PurpleNotifyUiOps> = Box::new(std::mem::zeroed());
        notices.notify_message = Some(notify_message);
        notices.notify_uri = Some(notify_uri);
        notices.notify_userinfo = Some(notify_userinfo);
        sys::purple_notify_set_ui_ops(Box::leak(notices));
    }
}

/// Asks libpurple to tell what has no place in its tables.
pub(super) fn connect_signals() {
    /// Something to name when signals are to be disconnected, which never happens.
    static HANDLE: u8 = 0;

    let connect = |instance: *mut c_void, signal: &std::ffi::CStr, function: *const c_void| {
        // SAFETY: libpurple calls the function with the parameters that it documents for the signal, and so it is declared.
        unsafe {
            let function = transmute::<*const c_void, unsafe extern "C" fn()>(function);
            let handle = (&raw const HANDLE).cast_mut().cast();
            sys::purple_signal_connect(instance, signal.as_ptr(), handle, Some(function), ptr::null_mut());
        }
    };
    // SAFETY: handles of libpurple's own subsystems, which are running.
    unsafe {
        let connections = sys::purple_connections_get_handle();
        connect(connections, c"signed-on", signed_on as *const c_void);
        connect(connections, c"signed-off", signed_off as *const c_void);
        let conversations = sys::purple_conversations_get_handle();
        connect(conversations, c"buddy-typing", typing_started as *const c_void);
        connect(conversations, c"buddy-typed", typing_paused as *const c_void);
        connect(conversations, c"buddy-typing-stopped", typing_stopped as *const c_void);
        connect(conversations, c"got-attention", attention as *const c_void);
        connect(conversations, c"chat-joined", chat_joined as *const c_void);
        connect(conversations, c"chat-join-failed", chat_join_failed as *const c_void);
        connect(conversations, c"chat-left", chat_left as *const c_void);
        connect(conversations, c"chat-invited", chat_invited as *const c_void);
        connect(conversations, c"chat-topic-changed", topic_changed as *const c_void);
        connect(sys::purple_blist_get_handle(), c"buddy-icon-changed", icon_changed as *const c_void);
        connect(sys::purple_xfers_get_handle(), c"file-recv-request", file_offered as *const c_void);
        for (plugin, signal, function) in [
            (c"prpl-jabber", c"jabber-receiving-xmlnode", reading_stanza as *const c_void),
            (c"prpl-irc", c"irc-receiving-text", reading_line as *const c_void),
        ] {
            let plugin = sys::purple_find_prpl(plugin.as_ptr());
            if !plugin.is_null() {
                connect(plugin.cast(), signal, function);
            }
        }
    }
}
