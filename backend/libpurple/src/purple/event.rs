//! What libpurple told us, copied out of its callbacks, in the order in which it was told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::account::AccountId;
use super::dialog::DialogId;
use super::event_loop;
use spectrum2_backend_protocol::{Affiliation, Role, RoomReason};

/// Something that happened inside libpurple.
#[derive(Debug)]
pub enum Event {
    /// The session is up.
    SignedOn(AccountId),
    /// The session is about to end, for this reason. [`Event::SignedOff`] follows.
    ConnectionError(AccountId, i32, String),
    /// The session ended.
    SignedOff(AccountId),
    /// A setting of the account changed.
    SettingsChanged,
    /// A contact is new, changed or gone: look it up.
    ContactChanged(AccountId, String),
    /// Somebody wrote, or the network said something about a conversation.
    Message(Message),
    /// A contact writes, or stopped.
    Typing(AccountId, String, Typing),
    /// A contact wants attention.
    Attention(AccountId, String),
    /// A stranger wants to see the user's presence.
    Authorize(AccountId, String, DialogId),
    /// libpurple asks something; [`super::dialog`] answers.
    Dialog(Option<AccountId>, DialogId, Dialog),
    /// A notice for a user, or for one that libpurple does not name.
    Notice(Option<AccountId>, String),
    /// A web page that a user is to open.
    OpenUri(Option<AccountId>, String),
    /// Facts about a contact that were asked for: label and value.
    UserInfo(AccountId, String, Vec<(String, String)>),
    /// Occupants of a room came or changed.
    Participants(AccountId, String, Vec<Participant>),
    /// An occupant changed the nick: old and new.
    ParticipantRenamed(AccountId, String, String, String),
    /// Occupants left a room.
    ParticipantsLeft(AccountId, String, Vec<Leaver>),
    /// The user is in the room.
    RoomJoined(AccountId, String),
    /// The room could not be joined; no more is known.
    RoomJoinFailed(AccountId, String),
    /// The network refused something that concerns a room: to join it, or another nick in it.
    RoomRefused(AccountId, String, RoomReason, String),
    /// The network refused another nick.
    NickRefused(AccountId, RoomReason, String),
    /// The user is not in the room any more.
    RoomLeft(AccountId, String, Departure),
    /// The network says that somebody is not in the room any more; may be told of rooms that were left.
    RoomVacated(AccountId, String, String),
    /// Somebody invites the user: room, who, text, password.
    Invited(AccountId, String, String, String, String),
    /// The rooms on the user's own list changed.
    ChatsChanged(AccountId),
    /// The user's bookmarks on an XMPP network: JID, and name to show.
    Bookmarks(AccountId, Vec<(String, String)>),
    /// The vCard that was asked for under this number, of this JID.
    Card(AccountId, i32, String, Card),
    /// The network refuses something that concerns these names, of channels and people.
    Denied(AccountId, Vec<String>, Denial),
    /// The network has dealt with all that was sent before the PING with this number.
    Answered(AccountId, u64),
    /// A room has answered the stanza with this number; who is banned, if that was asked.
    RoomAnswered(AccountId, String, u64, Result<Vec<String>, Denial>),
    /// On IRC: a mask that is banned from a channel.
    Banned(AccountId, String, String),
    /// On IRC: nick, user and host of people.
    Hosts(AccountId, Vec<(String, String, String)>),
    /// The network's rooms: name and name to show.
    RoomList(AccountId, Vec<(String, String)>),
    /// The topic and who set it.
    Topic(AccountId, String, String, String),
}

/// That the network refuses something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The user has no right to it.
    pub no_right: bool,
    /// The plugin tells it as well.
    pub told: bool,
    /// The network's words.
    pub text: String,
}

/// What stanzas of ours have for ids, and PINGs for parameters: this and a number.
#[derive(Debug)]
pub struct IdPrefix;

impl IdPrefix {
    /// The prefix.
    pub const TEXT: &str = "spectrum2-";

    /// The number after the prefix.
    pub fn strip(id: &str) -> Option<u64> {
        id.strip_prefix(Self::TEXT)?.parse().ok()
    }
}

/// A message or notice in a conversation.
#[derive(Debug)]
pub struct Message {
    /// Whose conversation.
    pub account: AccountId,
    /// What it is.
    pub kind: MessageKind,
    /// In a room, rather than with a contact.
    pub in_room: bool,
    /// Name of the conversation: contact or room.
    pub conversation: String,
    /// Who wrote it.
    pub who: String,
    /// libpurple's HTML.
    pub html: String,
    /// When it was written, in seconds since 1970.
    pub time: i64,
    /// It was written before it came.
    pub delayed: bool,
    /// The plugin repeats what it is just being given.
    pub echo: bool,
}

/// The nature of a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Written by somebody else.
    Received,
    /// Written by the user, with another client.
    SentElsewhere,
    /// Said by the network or the plugin about the conversation.
    System,
    /// Said by the network or the plugin about something that went wrong.
    Error,
}

/// Whether a contact is writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// Writes.
    Composing,
    /// Wrote something and pauses.
    Paused,
    /// Does not write.
    Stopped,
}

/// An occupant of a room.
#[derive(Debug)]
pub struct Participant {
    /// Nick.
    pub name: String,
    /// Name to show, if another.
    pub alias: String,
    /// What the occupant may do there.
    pub role: Role,
    /// What the occupant may do for good.
    pub affiliation: Affiliation,
    /// It is the user, as far as is known.
    pub own: bool,
    /// Who it is outside of the room; empty if not known.
    pub contact: String,
    /// As `<show/>` of XMPP.
    pub show: String,
    /// What the occupant says about it.
    pub text: String,
    /// SHA-1 of the avatar; empty if not known.
    pub photo: String,
}

/// A vCard on an XMPP network.
#[derive(Debug, Default)]
pub struct Card {
    /// Full name; may be empty.
    pub full_name: String,
    /// Nickname; may be empty.
    pub nickname: String,
    /// The picture, in base 64; may be empty.
    pub photo: String,
}

/// Why somebody left a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Why.
    pub reason: RoomReason,
    /// Nick of who did it; may be empty.
    pub actor: String,
    /// What was said; may be empty.
    pub text: String,
}

/// Somebody who left a room.
#[derive(Debug)]
pub struct Leaver {
    /// Nick.
    pub name: String,
    /// Why, if it is known.
    pub departure: Option<Departure>,
}

/// A question of a plugin.
#[derive(Debug)]
pub enum Dialog {
    /// Wants a text.
    Input { title: String, primary: String, secondary: String, value: String },
    /// Wants one of several buttons.
    Action { title: String, primary: String, secondary: String, labels: Vec<String> },
    /// Wants one of several values.
    Choice { title: String, primary: String, secondary: String, labels: Vec<String> },
    /// Wants a form.
    Form { title: String, primary: String, secondary: String },
}

/// More than this waiting means that the program does not take events any more; the newest are then dropped, because
/// memory must not grow for ever.
const MAX_WAITING: usize = 100_000;

thread_local! {
    static EVENTS: RefCell<VecDeque<Event>> = const { RefCell::new(VecDeque::new()) };
    static WAKER: Cell<Option<fn()>> = const { Cell::new(None) };
    static AWAKE: Cell<bool> = const { Cell::new(false) };
}

/// Names the function that is to run soon after an event came.
pub fn on_event(function: fn()) {
    WAKER.set(Some(function));
}

/// The oldest event that was not taken yet.
pub fn next_event() -> Option<Event> {
    EVENTS.with_borrow_mut(VecDeque::pop_front)
}

/// Queues an event and sees to it that it is looked at when libpurple is done.
pub(super) fn push(event: Event) {
    EVENTS.with_borrow_mut(|events| {
        // One is enough to say that settings differ from what is on the disk.
        let repeated = match (&event, events.back()) {
            (Event::SettingsChanged, Some(Event::SettingsChanged)) => true,
            (Event::ChatsChanged(one), Some(Event::ChatsChanged(other))) => one == other,
            _ => false,
        };
        if !repeated && events.len() < MAX_WAITING {
            events.push_back(event);
        }
    });
    if !AWAKE.replace(true) {
        event_loop::soon(|| {
            AWAKE.set(false);
            if let Some(function) = WAKER.get() {
                function();
            }
        });
    }
}
