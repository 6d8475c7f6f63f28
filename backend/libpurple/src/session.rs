//! One user's session on the legacy network: from LOGIN to LOGOUT or DISCONNECTED.
//!
//! A session owns its account, the lock on the account's directory, and everything that is under way for the user. What
//! the daemon is to be told goes into the list of frames that each function is given.

use std::collections::BTreeMap;
use std::time::Instant;

use spectrum2_backend_protocol::{
    Buddy, Connected, ConnectionError, ConversationMessage, Disconnected, Frame, Login, Status,
};

use crate::bookmarks::Bookmarks;
use crate::confirm::Confirmations;
use crate::contact::Contacts;
use crate::log;
use crate::message::Outgoing;
use crate::options;
use crate::purple::{Account, AccountId, Protocol, SettingValue, Typing};
use crate::request::Requests;
use crate::room::Rooms;
use crate::settings::Settings;
use crate::status;
use crate::store::{Saved, Store, StoreError};
use crate::vcard::Profiles;

/// The protocol that means "the user says which".
pub const ANY: &str = "any";

/// A session.
#[derive(Debug)]
pub struct Session {
    /// Bare JID of the user.
    pub user: String,
    /// The account, which logs out when it is dropped.
    pub account: Account,
    pub(crate) contacts: Contacts,
    pub(crate) outgoing: Outgoing,
    pub(crate) requests: Requests,
    pub(crate) profiles: Profiles,
    pub(crate) store: Store,
    pub(crate) rooms: Rooms,
    pub(crate) confirmations: Confirmations,
    pub(crate) bookmarks: Bookmarks,
    /// What the file, the user and this program set; it is set again at each login and so not kept.
    applied: BTreeMap<String, SettingValue>,
    identity: Identity,
}

/// Who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    legacy_name: String,
    password: String,
}

/// Why a session did not start.
#[derive(Debug)]
pub enum LoginError {
    /// Another process has the account; it may let go of it in a moment.
    Later,
    /// For the user.
    Failed(ConnectionError, String),
}

/// The plugin and the account name for a legacy name.
pub fn resolve<'a>(protocol: &'a str, legacy_name: &'a str) -> (&'a str, &'a str) {
    if protocol == ANY {
        legacy_name.split_once('.').unwrap_or((legacy_name, ""))
    } else {
        (protocol, legacy_name)
    }
}

impl Session {
    /// Opens the account and starts to connect.
    ///
    /// # Errors
    /// No session exists then.
    pub fn start(settings: &Settings, login: &Login) -> Result<Self, LoginError> {
        let (id, name) = resolve(&settings.protocol, &login.legacy_name);
        let failed = |text: String| LoginError::Failed(ConnectionError::InvalidUsername, text);
        let protocol = Protocol::find(id).ok_or_else(|| failed(format!("Invalid protocol {id}")))?;
        if name.is_empty() {
            return Err(failed("The name of the account is missing".to_owned()));
        }
        if !is_one_line(name) || !is_one_line(&login.password) {
            return Err(failed(
                "Name and password of the account must not have control characters".to_owned(),
            ));
        }
        let store = Store::open(&settings.state, id, name, &login.user).map_err(|error| match error {
            StoreError::InUse => LoginError::Later,
            error => {
                log::error(format_args!("{error}"));
                let text =
                    "The transport cannot keep the account's data; its administrator must look into it";
                LoginError::Failed(ConnectionError::OtherError, text.to_owned())
            }
        })?;
        let (name, server) = split_server(id, name);
        let account = Account::create(name, protocol)
            .ok_or_else(|| failed(format!("{} is not a name of this network", login.legacy_name)))?;
        for (name, value) in &store.saved().settings {
            account.set(name, value);
        }
        if !store.saved().profile.is_empty() {
            account.set_profile(&store.saved().profile);
        }
        let mut session = Self {
            user: login.user.clone(),
            contacts: Contacts::new(login.user.clone(), Instant::now()),
            outgoing: Outgoing::new(&settings.purple, id),
            requests: Requests::new(protocol),
            profiles: Profiles::default(),
            rooms: Rooms::new(id),
            confirmations: Confirmations::default(),
            bookmarks: Bookmarks::default(),
            applied: BTreeMap::new(),
            identity: Identity { legacy_name: login.legacy_name.clone(), password: login.password.clone() },
            account,
            store,
        };
        session.set_options(settings, login, server);
        session.set_avatar(settings);
        session.account.set_blocking(settings.blocking);
        if let Some(proxy) = &settings.proxy {
            session.account.set_proxy(proxy);
        }
        session.account.set_password(&login.password);
        if session.account.connect() {
            Ok(session)
        } else {
            Err(LoginError::Failed(
                ConnectionError::OtherError,
                format!("The protocol {id} did not start to connect"),
            ))
        }
    }

    /// Number of the account.
    pub const fn id(&self) -> AccountId {
        self.account.id()
    }

    /// Whether a LOGIN asks for what is there already, as Spectrum 2's daemon does now and then.
    pub fn is_same(&self, login: &Login) -> bool {
        self.identity.legacy_name == login.legacy_name && self.identity.password == login.password
    }

    /// Whether this is the account of a legacy name.
    pub fn has_account(&self, protocol: &str, name: &str) -> bool {
        let (name, _) = split_server(protocol, name);
        self.account.protocol().id() == protocol
            && self.account.normalize(name) == self.account.normalize(&self.account.name())
    }

    fn set_options(&mut self, settings: &Settings, login: &Login, server: Option<(String, i32)>) {
        let declared = self.account.protocol().options();
        let mut wanted = vec![
            ("custom_smileys".to_owned(), SettingValue::Boolean(false)),
            ("direct_connect".to_owned(), SettingValue::Boolean(false)),
            ("compat-verification".to_owned(), SettingValue::Boolean(true)),
        ];
        // Only what the plugin declares: the rest are settings of the gateway.
        for (name, text) in login.settings.iter().flat_map(|settings| &settings.value) {
            let option = declared.iter().find(|option| option.name == *name);
            let value = option.and_then(|option| options::convert(text, option.kind));
            wanted.extend(value.map(|value| (name.clone(), value)));
        }
        wanted.extend(options::read(&settings.purple, &declared));
        if let Some((host, port)) = server {
            wanted.push(("server".to_owned(), SettingValue::Text(host)));
            wanted.push(("port".to_owned(), SettingValue::Integer(port)));
        }
        // prpl-irc keeps lines in its memory to send them in step; we do that, and know which were sent.
        if self.account.protocol().id() == "prpl-irc" {
            wanted.push(("ratelimit-interval".to_owned(), SettingValue::Integer(0)));
            wanted.push(("ratelimit-burst".to_owned(), SettingValue::Integer(100_000)));
        }
        for (name, value) in wanted {
            self.account.set(&name, &value);
            self.applied.insert(name, value);
        }
    }

    /// Sets the picture: the user's, the administrator's for this name, or the one for everybody.
    fn set_avatar(&self, settings: &Settings) {
        let name = &self.identity.legacy_name;
        let given = (!settings.avatars.as_os_str().is_empty() && !name.contains('/') && name != "..")
            .then(|| settings.avatars.join(name));
        let general =
            (!settings.default_avatar.as_os_str().is_empty()).then(|| settings.default_avatar.clone());
        let from_file = || given.into_iter().chain(general).find_map(|path| std::fs::read(path).ok());
        if let Some(picture) = self.store.avatar().or_else(from_file) {
            self.account.set_icon(Some(&picture));
        }
    }

    /// Writes down what changed in the account's settings.
    pub fn save(&mut self) {
        let mut settings = self.account.settings();
        settings.retain(|name, value| {
            self.applied.get(name) != Some(value)
                && !matches!(name.as_str(), "buddy_icon" | "buddy_icon_timestamp")
        });
        let saved = Saved { settings, profile: self.account.profile() };
        if let Err(error) = self.store.save(saved) {
            log::error(format_args!(
                "The settings of an account cannot be saved: {error}. Make room in service.working_dir."
            ));
        }
    }

    /// The session is up.
    pub fn signed_on(&mut self, out: &mut Vec<Frame>) {
        out.push(Frame::Connected(Connected { user: self.user.clone() }));
        self.save();
    }

    /// Ends the session by itself, after an error or not; the user is told why.
    pub fn end(mut self, error: i32, text: &str, out: &mut Vec<Frame>) {
        self.close(out);
        out.push(disconnected(&self.user, error, text));
    }

    /// Ends the session because the daemon wants it.
    pub fn logout(mut self, out: &mut Vec<Frame>) {
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<Frame>) {
        self.abandon_outgoing(out);
        self.abandon_rooms(out);
        self.abandon_confirmations(out);
        self.save();
    }

    /// Sets the user's own availability.
    pub fn set_status(&self, status: &Status) {
        let text = status.status_message.as_deref().unwrap_or_default();
        self.account.set_status(status::to_network(status.status_type()), text);
    }

    /// Tells a contact that the user writes, or stopped.
    pub fn send_typing(&self, contact: &str, typing: Typing) {
        if self.account.is_connected() && !self.requests.is_assistant(contact) {
            self.account.send_typing(contact, typing);
        }
    }

    /// A contact writes, or stopped.
    pub fn typing(&self, name: &str, typing: Typing, out: &mut Vec<Frame>) {
        let name = self.account.normalize(name);
        // prpl-jabber tells it of contacts that were never mentioned, and of the server itself.
        if typing == Typing::Stopped && !self.contacts.is_known(&name) {
            return;
        }
        let buddy = self.buddy(self.contacts.name(name.split('/').next().unwrap_or_default()));
        out.push(match typing {
            Typing::Composing => Frame::BuddyTyping(buddy),
            Typing::Paused => Frame::BuddyTyped(buddy),
            Typing::Stopped => Frame::BuddyStoppedTyping(buddy),
        });
    }

    /// A contact wants attention.
    pub fn attention(&self, name: &str, out: &mut Vec<Frame>) {
        let name = self.account.normalize(name);
        let name = self.contacts.name(name.split('/').next().unwrap_or_default());
        out.push(Frame::Attention(self.conversation_message(name, String::new())));
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Frame>) {
        self.flush_contacts(now, out);
        self.send_lines(now, out);
        self.check_rooms(now, out);
        self.check_confirmations(now, out);
        self.tell_bookmarks(now, out);
    }

    /// When something will be due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (contacts, lines) = (self.contacts.deadline(), self.outgoing.deadline());
        let (rooms, answers) = (self.rooms.deadline(), self.confirmations.deadline());
        [contacts, lines, rooms, answers, self.bookmarks.deadline()].into_iter().flatten().min()
    }

    /// A frame about a contact, with nothing but the name.
    pub(crate) fn buddy(&self, name: &str) -> Buddy {
        Buddy {
            user_name: self.user.clone(),
            buddy_name: name.to_owned(),
            alias: None,
            groups: Vec::new(),
            status: None,
            status_message: None,
            icon_hash: None,
            blocked: None,
        }
    }

    /// A frame with a plain text.
    pub(crate) fn conversation_message(&self, name: &str, text: String) -> ConversationMessage {
        ConversationMessage {
            user_name: self.user.clone(),
            buddy_name: name.to_owned(),
            message: text,
            ..ConversationMessage::default()
        }
    }

    /// Tells the user something that no contact said.
    pub(crate) fn tell(&self, text: String, out: &mut Vec<Frame>) {
        out.push(Frame::ConvMessage(self.conversation_message(self.requests.assistant(), text)));
    }
}

/// The end of a session, or that there is none.
pub fn disconnected(user: &str, error: i32, text: &str) -> Frame {
    Frame::Disconnected(Disconnected { user: user.to_owned(), error, message: Some(text.to_owned()) })
}

/// Whether a text can be a part of a command: plugins for protocols of lines pass names on as they are, and a line break
/// in one would let a user send any command.
pub fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// COMPAT(Spectrum 2): prpl-novell's accounts are named `user@server:port`.
fn split_server<'a>(protocol: &str, name: &'a str) -> (&'a str, Option<(String, i32)>) {
    let parts = || {
        let (user, server) = name.split_once('@')?;
        let (host, port) = server.split_once(':')?;
        Some((user, (host.to_owned(), port.parse().ok()?)))
    };
    match parts() {
        Some((user, server)) if protocol == "prpl-novell" => (user, Some(server)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_any_the_name_says_which_protocol() {
        assert_eq!(resolve("any", "prpl-jabber.romeo@example.net"), ("prpl-jabber", "romeo@example.net"));
        assert_eq!(resolve("any", "romeo"), ("romeo", ""));
        assert_eq!(resolve("prpl-irc", "a.b@irc"), ("prpl-irc", "a.b@irc"));
    }

    #[test]
    fn novell_names_have_a_server() {
        assert_eq!(
            split_server("prpl-novell", "romeo@verona:8300"),
            ("romeo", Some(("verona".to_owned(), 8300)))
        );
        assert_eq!(split_server("prpl-irc", "romeo@verona:8300"), ("romeo@verona:8300", None));
    }
}
