//! An account of a user on the legacy network.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ptr::{self, NonNull};

use libpurple_sys as sys;

use super::core::UI;
use super::protocol::Protocol;
use super::text;
use super::{Primitive, Typing, c_text, copy};

/// Number of an [`Account`], never used again within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(usize);

/// Value of an account setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Integer(i32),
    /// A text.
    Text(String),
}

/// How to reach the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its protocol.
    pub kind: ProxyKind,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name, or empty.
    pub user: String,
    /// Password, or empty.
    pub password: String,
}

/// Protocol of a [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP CONNECT.
    Http,
    /// SOCKS 4.
    Socks4,
    /// SOCKS 5.
    Socks5,
}

type Settings = BTreeMap<String, SettingValue>;

thread_local! {
    static NEXT_ID: Cell<usize> = const { Cell::new(1) };
    /// What libpurple said was set, by account. libpurple has no way to list settings, but it tells of each change.
    static SETTINGS: RefCell<HashMap<AccountId, Settings>> = RefCell::new(HashMap::new());
    /// Set while a plugin takes a message of ours, so that its echo is not mistaken for another client's message.
    static SENDING: Cell<bool> = const { Cell::new(false) };
}

/// An account. Deleted, and logged out, when dropped.
#[derive(Debug)]
pub struct Account {
    raw: NonNull<sys::PurpleAccount>,
    id: AccountId,
    protocol: Protocol,
}

impl Account {
    /// A new account, not connected. `None`: libpurple refused the name.
    pub fn create(name: &str, protocol: Protocol) -> Option<Self> {
        let id = AccountId(NEXT_ID.get());
        NEXT_ID.set(id.0 + 1);
        SETTINGS.with_borrow_mut(|settings| settings.insert(id, Settings::new()));
        // SAFETY: two texts of ours; the result is a new account or null.
        let raw = unsafe { sys::purple_account_new(c_text(name).as_ptr(), c_text(&protocol.id()).as_ptr()) };
        let raw = NonNull::new(raw)?;
        let account = Self { raw, id, protocol };
        // SAFETY: the account is new and ours; `ui_data` is for the user interface to use. libpurple's list of accounts
        // must have it for look-ups by plugins.
        unsafe {
            (*raw.as_ptr()).ui_data = id.0 as *mut _;
            sys::purple_accounts_add(raw.as_ptr());
        }
        Some(account)
    }

    /// Its number.
    pub const fn id(&self) -> AccountId {
        self.id
    }

    /// Its protocol.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its name on the network, as libpurple keeps it.
    pub fn name(&self) -> String {
        // SAFETY: the account lives as long as `self`.
        unsafe { copy(sys::purple_account_get_username(self.raw())) }
    }

    /// The form of a name that is equal for all spellings of one contact.
    pub fn normalize(&self, name: &str) -> String {
        // SAFETY: the account lives; the result is a static buffer, which is copied at once.
        unsafe { copy(sys::purple_normalize(self.raw(), c_text(name).as_ptr())) }
    }

    /// The user's name on the network, as the network shows it.
    pub fn display_name(&self) -> String {
        // SAFETY: the account lives; the connection is checked for null by `connection`.
        let shown = self.connection().map(|gc| unsafe { copy(sys::purple_connection_get_display_name(gc)) });
        shown.filter(|name| !name.is_empty()).unwrap_or_else(|| self.name())
    }

    /// All settings.
    pub fn settings(&self) -> Settings {
        SETTINGS.with_borrow(|all| {
            let mut settings = all.get(&self.id).cloned().unwrap_or_default();
            // A plugin can remove settings, of which libpurple does not tell.
            // SAFETY: the account and its table live.
            settings.retain(|name, _| unsafe {
                let key = c_text(name);
                !sys::g_hash_table_lookup((*self.raw()).settings, key.as_ptr().cast()).is_null()
            });
            settings
        })
    }

    /// Changes a setting.
    pub fn set(&self, name: &str, value: &SettingValue) {
        let name = c_text(name);
        // SAFETY: the account lives; libpurple copies the texts.
        unsafe {
            match value {
                SettingValue::Boolean(value) => {
                    sys::purple_account_set_bool(self.raw(), name.as_ptr(), i32::from(*value));
                }
                SettingValue::Integer(value) => {
                    sys::purple_account_set_int(self.raw(), name.as_ptr(), *value);
                }
                SettingValue::Text(value) => {
                    sys::purple_account_set_string(self.raw(), name.as_ptr(), c_text(value).as_ptr());
                }
            }
        }
    }

    /// The user's profile in the plugin's own form; empty if none.
    pub fn profile(&self) -> String {
        // SAFETY: the account lives.
        unsafe { copy(sys::purple_account_get_user_info(self.raw())) }
    }

    /// Sets what [`profile`](Self::profile) returned earlier.
    pub fn set_profile(&self, profile: &str) {
        // SAFETY: the account lives; libpurple copies the text.
        unsafe { sys::purple_account_set_user_info(self.raw(), c_text(profile).as_ptr()) };
    }

    /// Sets the password; libpurple never writes it down.
    pub fn set_password(&self, password: &str) {
        // SAFETY: the account lives; libpurple copies the text.
        unsafe {
            sys::purple_account_set_remember_password(self.raw(), 0);
            sys::purple_account_set_password(self.raw(), c_text(password).as_ptr());
        }
    }

    /// Sets the proxy.
    pub fn set_proxy(&self, proxy: &Proxy) {
        let kind = match proxy.kind {
            ProxyKind::Http => sys::PurpleProxyType::PURPLE_PROXY_HTTP,
            ProxyKind::Socks4 => sys::PurpleProxyType::PURPLE_PROXY_SOCKS4,
            ProxyKind::Socks5 => sys::PurpleProxyType::PURPLE_PROXY_SOCKS5,
        };
        // SAFETY: the account lives and owns the new structure afterwards; libpurple copies the texts.
        unsafe {
            let info = sys::purple_proxy_info_new();
            sys::purple_proxy_info_set_type(info, kind);
            sys::purple_proxy_info_set_host(info, c_text(&proxy.host).as_ptr());
            sys::purple_proxy_info_set_port(info, i32::from(proxy.port));
            if !proxy.user.is_empty() {
                sys::purple_proxy_info_set_username(info, c_text(&proxy.user).as_ptr());
            }
            if !proxy.password.is_empty() {
                sys::purple_proxy_info_set_password(info, c_text(&proxy.password).as_ptr());
            }
            sys::purple_account_set_proxy_info(self.raw(), info);
        }
    }

    /// Chooses between "anybody may write" and "anybody but those on the block list".
    pub fn set_blocking(&self, blocking: bool) {
        let kind = if blocking {
            sys::_PurplePrivacyType::PURPLE_PRIVACY_DENY_USERS
        } else {
            sys::_PurplePrivacyType::PURPLE_PRIVACY_ALLOW_ALL
        };
        // SAFETY: the account lives.
        unsafe { sys::purple_account_set_privacy_type(self.raw(), kind) };
    }

    /// Sets or clears the user's picture, here and, when connected, on the network.
    pub fn set_icon(&self, picture: Option<&[u8]>) {
        let Some(picture) = picture.filter(|picture| !picture.is_empty()) else {
            // SAFETY: the account lives; null clears.
            unsafe { sys::purple_buddy_icons_set_account_icon(self.raw(), ptr::null_mut(), 0) };
            return;
        };
        // SAFETY: the memory is GLib's, has room for the picture, and belongs to libpurple afterwards.
        unsafe {
            let data = sys::g_malloc0(picture.len() as _).cast::<u8>();
            ptr::copy_nonoverlapping(picture.as_ptr(), data, picture.len());
            sys::purple_buddy_icons_set_account_icon(self.raw(), data, picture.len());
        }
    }

    /// Starts to connect. False: the plugin did not even begin.
    pub fn connect(&self) -> bool {
        // SAFETY: the account lives.
        unsafe { sys::purple_account_set_enabled(self.raw(), UI.as_ptr(), 1) };
        self.connection().is_some()
    }

    /// Whether the session is up.
    pub fn is_connected(&self) -> bool {
        // SAFETY: the connection lives as long as the account has it.
        self.connection().is_some_and(|gc| unsafe {
            sys::purple_connection_get_state(gc) == sys::PurpleConnectionState::PURPLE_CONNECTED
        })
    }

    /// Whether the network takes formatted messages.
    pub fn takes_formatting(&self) -> bool {
        // SAFETY: as above.
        self.connection().is_some_and(|gc| unsafe {
            (*gc).flags & sys::PurpleConnectionFlags::PURPLE_CONNECTION_HTML != 0
        })
    }

    /// Sends a message to a contact.
    ///
    /// # Errors
    /// The plugin's error number, negative.
    pub fn send(&self, contact: &str, html: &str) -> Result<(), i32> {
        let Some(gc) = self.connection() else { return Err(-libc::ENOTCONN) };
        let (name, html) = (c_text(contact), c_text(html));
        // Plugins look for the conversation to report in, for example that the contact is not there.
        self.conversation(sys::PurpleConversationType::PURPLE_CONV_TYPE_IM, contact, true);
        SENDING.set(true);
        // SAFETY: the connection lives; the texts are ours.
        let result = unsafe {
            sys::serv_send_im(gc, name.as_ptr(), html.as_ptr(), sys::PurpleMessageFlags::PURPLE_MESSAGE_SEND)
        };
        SENDING.set(false);
        if result < 0 { Err(result) } else { Ok(()) }
    }

    /// Whether a plugin is taking a message of ours at this moment.
    pub(super) fn is_sending() -> bool {
        SENDING.get()
    }

    /// Marks what follows as being sent by us.
    pub(super) fn mark_sending(sending: bool) {
        SENDING.set(sending);
    }

    /// Tells a contact whether the user writes; also marks the conversation as read.
    pub fn send_typing(&self, contact: &str, typing: Typing) {
        let Some(gc) = self.connection() else { return };
        let state = match typing {
            Typing::Composing => sys::PurpleTypingState::PURPLE_TYPING,
            Typing::Paused => sys::PurpleTypingState::PURPLE_TYPED,
            Typing::Stopped => sys::PurpleTypingState::PURPLE_NOT_TYPING,
        };
        // SAFETY: the connection lives; the text is ours.
        unsafe { sys::serv_send_typing(gc, c_text(contact).as_ptr(), state) };
        if let Some(conversation) =
            self.conversation(sys::PurpleConversationType::PURPLE_CONV_TYPE_IM, contact, false)
        {
            // Plugins such as facebook take this as "the user has read it". They look for the datum's presence and
            // value, which is zero.
            // SAFETY: the conversation was just found; libpurple copies the key.
            unsafe {
                sys::purple_conversation_set_data(conversation, c"unseen-count".as_ptr(), ptr::null_mut());
                sys::purple_conversation_update(
                    conversation,
                    sys::PurpleConvUpdateType::PURPLE_CONV_UPDATE_UNSEEN,
                );
            }
        }
    }

    /// Has what was said go out now.
    ///
    /// prpl-irc puts every line into a queue that it looks at once a second, also when its rate limit is off because we
    /// do the pacing. Its timer is armed with its connection's data, and need not wait. Other plugins send at once.
    pub fn flush(&self) {
        let Some(gc) = self.connection().filter(|_| self.protocol.id() == "prpl-irc") else { return };
        // SAFETY: the connection lives; its data is the plugin's own.
        unsafe {
            if !(*gc).proto_data.is_null() {
                super::event_loop::hurry((*gc).proto_data);
            }
        }
    }

    /// Asks for a contact's attention.
    pub fn send_attention(&self, contact: &str) {
        let Some(gc) = self.connection() else { return };
        let supported = self.protocol.info().is_some_and(|info| info.send_attention.is_some());
        if supported {
            // SAFETY: the connection lives; the text is ours.
            unsafe { sys::purple_prpl_send_attention(gc, c_text(contact).as_ptr(), 0) };
        }
    }

    /// Sets the user's availability. Nothing happens if the plugin has no such status.
    pub fn set_status(&self, wanted: &[Primitive], message: &str) {
        if self.connection().is_none() {
            // libpurple would connect by itself.
            return;
        }
        // SAFETY: the account lives; status types belong to it; the list and its texts live during the call.
        unsafe {
            let kind = wanted.iter().find_map(|primitive| {
                let kind = sys::purple_account_get_status_type_with_primitive(self.raw(), primitive.number());
                (!kind.is_null()).then_some(kind)
            });
            let Some(kind) = kind else { return };
            let id = sys::purple_status_type_get_id(kind);
            let escaped = c_text(&text::escape(message));
            let mut attributes = ptr::null_mut();
            if !message.is_empty() && !sys::purple_status_type_get_attr(kind, c"message".as_ptr()).is_null() {
                attributes = sys::g_list_append(attributes, c"message".as_ptr().cast_mut().cast());
                attributes = sys::g_list_append(attributes, escaped.as_ptr().cast_mut().cast());
            }
            sys::purple_account_set_status_list(self.raw(), id, 1, attributes);
            sys::g_list_free(attributes);
        }
    }

    /// Sets the name under which others see the user, if the network has such.
    pub fn set_public_alias(&self, alias: &str) {
        // SAFETY: the account lives; libpurple copies the texts; no callbacks are wanted.
        unsafe {
            sys::purple_account_set_alias(self.raw(), c_text(alias).as_ptr());
            if self.connection().is_some() {
                sys::purple_account_set_public_alias(self.raw(), c_text(alias).as_ptr(), None, None);
            }
        }
    }

    /// Asks the network for facts about a contact, which come as [`super::Event::UserInfo`]. False: it cannot tell.
    pub fn request_user_info(&self, contact: &str) -> bool {
        let Some(gc) = self.connection() else { return false };
        let known = self.protocol.has_user_info();
        if known {
            // SAFETY: the connection lives; the text is ours.
            unsafe { sys::serv_get_info(gc, c_text(contact).as_ptr()) };
        }
        known
    }

    pub(super) const fn raw(&self) -> *mut sys::PurpleAccount {
        self.raw.as_ptr()
    }

    /// The connection, alive until control returns to libpurple.
    pub(super) fn connection(&self) -> Option<*mut sys::PurpleConnection> {
        // SAFETY: the account lives.
        let gc = unsafe { sys::purple_account_get_connection(self.raw()) };
        (!gc.is_null()).then_some(gc)
    }

    /// The conversation with a contact or room, alive until control returns to libpurple.
    pub(super) fn conversation(
        &self,
        kind: sys::PurpleConversationType::Type,
        name: &str,
        create: bool,
    ) -> Option<*mut sys::PurpleConversation> {
        let name = c_text(name);
        // SAFETY: the account lives; libpurple copies the text.
        unsafe {
            let mut found = sys::purple_find_conversation_with_account(kind, name.as_ptr(), self.raw());
            if found.is_null() && create {
                found = sys::purple_conversation_new(kind, self.raw(), name.as_ptr());
            }
            (!found.is_null()).then_some(found)
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        SETTINGS.with_borrow_mut(|settings| settings.remove(&self.id));
        let raw = self.raw();
        // SAFETY: the account lives until the last of these calls. Without its number, callbacks ignore it. A connection
        // that has failed must be ended by hand: libpurple leaves it alone when the account is disabled.
        unsafe {
            (*raw).ui_data = ptr::null_mut();
            if !sys::purple_account_get_connection(raw).is_null() {
                sys::purple_account_disconnect(raw);
            }
            sys::purple_accounts_delete(raw);
        }
    }
}

/// The number of an account that a callback was given.
pub(super) fn id_of(account: *mut sys::PurpleAccount) -> Option<AccountId> {
    // SAFETY: null, or an account that lives during the callback.
    let number = unsafe { account.as_ref() }?.ui_data as usize;
    (number != 0).then_some(AccountId(number))
}

/// Remembers what libpurple said was set; `None`: the setting is gone.
pub(super) fn remember(account: *mut sys::PurpleAccount, name: String, value: Option<SettingValue>) {
    let Some(id) = id_of(account) else { return };
    SETTINGS.with_borrow_mut(|all| {
        if let Some(settings) = all.get_mut(&id) {
            match value {
                Some(value) => settings.insert(name, value),
                None => settings.remove(&name),
            };
        }
    });
}
