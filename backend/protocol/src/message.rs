//! The messages inside frames, field by field.
//!
//! A `String` is a required field: it is always written, and reads as empty from a peer that left it out. An `Option`
//! keeps *absent* and *empty* apart. Users are named by their bare XMPP JID, contacts and rooms by their legacy names.
//! Where people write or passwords travel, `Debug` is written by hand and tells lengths only.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::value::{Affiliation, ConnectionError, ParticipantFlags, Role, RoomReason, RoomWish, StatusType};

/// The envelope of every frame.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Wrapper {
    /// Type number, see [`Frame`](crate::Frame).
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    /// The serialised message of that type; raw text for RAW_XML; absent where the type says it all.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub payload: Option<Vec<u8>>,
}

/// CONNECTED: the legacy session of a user is up.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Connected {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user: String,
}

/// DISCONNECTED: the legacy session of a user ended, or did not come up.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Disconnected {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user: String,
    /// A [`ConnectionError`] number.
    #[prost(int32, required, tag = "2")]
    pub error: i32,
    /// What the network said, for the user to read.
    #[prost(string, optional, tag = "3")]
    pub message: Option<String>,
}

impl Disconnected {
    /// The error, if it is one we know.
    pub fn connection_error(&self) -> Option<ConnectionError> {
        ConnectionError::try_from(self.error).ok()
    }

    /// Whether to log in again; an error number nobody knows is final, as it was in Spectrum 2.
    pub fn is_temporary(&self) -> bool {
        self.connection_error().is_some_and(ConnectionError::is_temporary)
    }
}

/// LOGIN: open the legacy session of a user. May be repeated while the session is up; that changes nothing.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct Login {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user: String,
    /// Name on the legacy network.
    #[prost(string, required, tag = "2")]
    pub legacy_name: String,
    /// Password on the legacy network; empty where none is needed.
    #[prost(string, required, tag = "3")]
    pub password: String,
    /// Further registration fields; no daemon fills them.
    #[prost(string, repeated, tag = "4")]
    pub extra_fields: Vec<String>,
    /// Stored settings of the user. Always set by a daemon, possibly empty.
    #[prost(message, optional, tag = "5")]
    pub settings: Option<UserSettings>,
}

/// Settings of a user, as text.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct UserSettings {
    /// Setting name to value.
    #[prost(btree_map = "string, string", tag = "1")]
    pub value: BTreeMap<String, String>,
}

/// LOGOUT: end the legacy session of a user. Not answered.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Logout {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user: String,
    /// Name on the legacy network.
    #[prost(string, required, tag = "2")]
    pub legacy_name: String,
}

/// A contact: BUDDY_CHANGED, BUDDY_REMOVED, AUTH_REQUEST and the typing types.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Buddy {
    /// Bare JID of the user whose contact it is.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// Legacy name of the contact.
    #[prost(string, required, tag = "2")]
    pub buddy_name: String,
    /// Name to show.
    #[prost(string, optional, tag = "3")]
    pub alias: Option<String>,
    /// Groups of the contact list; none means: not said.
    #[prost(string, repeated, tag = "4")]
    pub groups: Vec<String>,
    /// A [`StatusType`] number.
    #[prost(int32, optional, tag = "5")]
    pub status: Option<i32>,
    /// What the contact says about the status.
    #[prost(string, optional, tag = "6")]
    pub status_message: Option<String>,
    /// SHA-1 of the avatar in lower-case hexadecimal; empty: no avatar.
    #[prost(string, optional, tag = "7")]
    pub icon_hash: Option<String>,
    /// Whether the contact is blocked. Its presence in a frame to a backend makes that frame a block command.
    #[prost(bool, optional, tag = "8")]
    pub blocked: Option<bool>,
}

impl Buddy {
    /// The status, if one was sent and it is one we know.
    pub fn status_type(&self) -> Option<StatusType> {
        self.status.and_then(|number| StatusType::try_from(number).ok())
    }
}

/// BUDDIES: the contacts that the daemon stored, sent after LOGIN to backends that ask for it.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Buddies {
    /// The contacts.
    #[prost(message, repeated, tag = "1")]
    pub buddies: Vec<Buddy>,
}

/// CONV_MESSAGE, CONV_MESSAGE_ACK, ATTENTION, and ROOM_SUBJECT_CHANGED with the subject as message.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct ConversationMessage {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// Contact; room; or `room/nick` for a private message to an occupant.
    #[prost(string, required, tag = "2")]
    pub buddy_name: String,
    /// Plain text.
    #[prost(string, required, tag = "3")]
    pub message: String,
    /// From a backend: the occupant of the room who wrote it.
    #[prost(string, optional, tag = "4")]
    pub nickname: Option<String>,
    /// Formatted text: the children of an XHTML-IM body.
    #[prost(string, optional, tag = "5")]
    pub xhtml: Option<String>,
    /// When it was written: UTC as `YYYYMMDDTHHMMSS`. Empty or absent: now.
    #[prost(string, optional, tag = "6")]
    pub timestamp: Option<String>,
    /// An announcement rather than part of a conversation.
    #[prost(bool, optional, tag = "7")]
    pub headline: Option<bool>,
    /// To a backend: set if a receipt is wanted. In CONV_MESSAGE_ACK: what was received.
    #[prost(string, optional, tag = "8")]
    pub id: Option<String>,
    /// A private message in a room: `buddy_name` is the room and `nickname` the occupant.
    #[prost(bool, optional, tag = "9")]
    pub pm: Option<bool>,
    /// The user's own message, sent with another client of the legacy network.
    #[prost(bool, optional, tag = "10")]
    pub carbon: Option<bool>,
    /// Files.
    #[prost(message, repeated, tag = "11")]
    pub attachments: Vec<Attachment>,
    /// Extension [`ACK`](crate::extension::ACK): the number to name in the [`MessageResult`].
    #[prost(uint64, optional, tag = "100")]
    pub serial: Option<u64>,
}

/// A file that belongs to a message.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct Attachment {
    /// Where it can be fetched.
    #[prost(string, required, tag = "1")]
    pub url: String,
    /// Media type.
    #[prost(string, optional, tag = "2")]
    pub mime_type: Option<String>,
    /// What it shows, or its name.
    #[prost(string, optional, tag = "3")]
    pub description: Option<String>,
}

/// JOIN_ROOM, LEAVE_ROOM, ROOM_NICKNAME_CHANGED.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct Room {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// The user's nick in the room: wanted, or given by the network. Empty in LEAVE_ROOM.
    #[prost(string, required, tag = "2")]
    pub nickname: String,
    /// Legacy name of the room.
    #[prost(string, required, tag = "3")]
    pub room: String,
    /// Password of the room; empty if none.
    #[prost(string, optional, tag = "4")]
    pub password: Option<String>,
}

/// ROOM_LIST: the rooms of the network.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct RoomList {
    /// Legacy names.
    #[prost(string, repeated, tag = "1")]
    pub rooms: Vec<String>,
    /// Names to show, parallel to `rooms`.
    #[prost(string, repeated, tag = "2")]
    pub names: Vec<String>,
    /// Bare JID of the user who sees these rooms; absent: everybody.
    #[prost(string, optional, tag = "3")]
    pub user: Option<String>,
}

/// PARTICIPANT_CHANGED: an occupant of a room came, changed or went; or the room could not be joined.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Participant {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// Legacy name of the room.
    #[prost(string, required, tag = "2")]
    pub room: String,
    /// Nick of the occupant.
    #[prost(string, required, tag = "3")]
    pub nickname: String,
    /// [`ParticipantFlags`].
    #[prost(int32, required, tag = "4")]
    pub flag: i32,
    /// A [`StatusType`] number; [`StatusType::None`]: not in the room.
    #[prost(int32, required, tag = "5")]
    pub status: i32,
    /// What the occupant says about the status; on failure, what the network said.
    #[prost(string, optional, tag = "6")]
    pub status_message: Option<String>,
    /// The nick that the occupant changes to.
    #[prost(string, optional, tag = "7")]
    pub newname: Option<String>,
    /// SHA-1 of the avatar.
    #[prost(string, optional, tag = "8")]
    pub icon_hash: Option<String>,
    /// Nick to show instead of `nickname`, which stays the key.
    #[prost(string, optional, tag = "9")]
    pub alias: Option<String>,
    /// Extension [`ROOMS`](crate::extension::ROOMS), as all that follows: a [`Role`] number. Absent: `flag` says it.
    #[prost(int32, optional, tag = "100")]
    pub role: Option<i32>,
    /// An [`Affiliation`] number.
    #[prost(int32, optional, tag = "101")]
    pub affiliation: Option<i32>,
    /// Who the occupant is outside of the room, if that is known.
    #[prost(string, optional, tag = "102")]
    pub contact: Option<String>,
    /// A [`RoomReason`] number: why the occupant left.
    #[prost(int32, optional, tag = "103")]
    pub reason: Option<i32>,
    /// Who removed the occupant.
    #[prost(string, optional, tag = "104")]
    pub actor: Option<String>,
}

impl Participant {
    /// The role; who is said to be a moderator is one, others may speak.
    pub fn occupant_role(&self) -> Role {
        let told = self.role.and_then(|number| Role::try_from(number).ok());
        let moderator = self.flags().contains(ParticipantFlags::MODERATOR);
        told.unwrap_or(if moderator { Role::Moderator } else { Role::Participant })
    }

    /// The affiliation. Spectrum 2's backends do not know it; it has always shown moderators as admins, others as members.
    pub fn occupant_affiliation(&self) -> Affiliation {
        let told = self.affiliation.and_then(|number| Affiliation::try_from(number).ok());
        let moderator = self.flags().contains(ParticipantFlags::MODERATOR);
        told.unwrap_or(if moderator { Affiliation::Admin } else { Affiliation::Member })
    }

    /// Why the occupant left.
    pub fn departure(&self) -> RoomReason {
        self.reason.and_then(|number| RoomReason::try_from(number).ok()).unwrap_or(RoomReason::Other)
    }

    /// The status; a number nobody knows means [`StatusType::Online`], for the occupant is there.
    pub fn status_type(&self) -> StatusType {
        StatusType::try_from(self.status).unwrap_or(StatusType::Online)
    }

    /// The flags.
    pub const fn flags(&self) -> ParticipantFlags {
        ParticipantFlags(self.flag)
    }
}

/// VCARD: to a backend a request, or the user's own new profile if `photo` is present; from it the answer.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct VCard {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// The contact; empty for the user's own profile.
    #[prost(string, required, tag = "2")]
    pub buddy_name: String,
    /// Number of the request, repeated in the answer.
    #[prost(int32, required, tag = "3")]
    pub id: i32,
    /// Full name.
    #[prost(string, optional, tag = "4")]
    pub fullname: Option<String>,
    /// Nickname.
    #[prost(string, optional, tag = "5")]
    pub nickname: Option<String>,
    /// The picture, in whatever format the network uses.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub photo: Option<Vec<u8>>,
}

/// STATUS_CHANGED: the user's own availability.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Status {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// A [`StatusType`] number. Field 2 does not exist.
    #[prost(int32, required, tag = "3")]
    pub status: i32,
    /// What the user says about it.
    #[prost(string, optional, tag = "4")]
    pub status_message: Option<String>,
}

impl Status {
    /// The status; a number nobody knows means [`StatusType::Online`].
    pub fn status_type(&self) -> StatusType {
        StatusType::try_from(self.status).unwrap_or(StatusType::Online)
    }
}

/// STATS: how the backend process is doing. Sent after each PONG.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Stats {
    /// Resident memory in KiB.
    #[prost(int32, required, tag = "1")]
    pub res: i32,
    /// Resident memory when it had just started, in KiB.
    #[prost(int32, required, tag = "2")]
    pub init_res: i32,
    /// The part of `res` that is shared with other processes, in KiB.
    #[prost(int32, required, tag = "3")]
    pub shared: i32,
    /// Process id, decimal.
    #[prost(string, required, tag = "4")]
    pub id: String,
}

/// BACKEND_CONFIG: the text that [`Capabilities`](crate::Capabilities) reads. QUERY: a command line, or its answer.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct BackendConfig {
    /// The text.
    #[prost(string, required, tag = "1")]
    pub config: String,
}

/// API_VERSION: never sent by any daemon so far.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct ApiVersion {
    /// Always 1.
    #[prost(int32, required, tag = "1")]
    pub version: i32,
}

/// EXTENSIONS: the daemon's answer to a backend that announced extensions.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Extensions {
    /// Those that the daemon is going to use, see [`extension`](crate::extension).
    #[prost(string, repeated, tag = "1")]
    pub names: Vec<String>,
}

/// RESULT, extension [`ACK`](crate::extension::ACK): what became of one message. Sent once for each serial.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct MessageResult {
    /// Bare JID of the user who sent the message.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// [`ConversationMessage::serial`] of the message.
    #[prost(uint64, required, tag = "2")]
    pub serial: u64,
    /// Why it was not sent; absent: the network library accepted it. Zero is an error like any other.
    #[prost(int32, optional, tag = "3")]
    pub error: Option<i32>,
    /// The network's own words about the error.
    #[prost(string, optional, tag = "4")]
    pub text: Option<String>,
    /// Extension [`ROOMS`](crate::extension::ROOMS): the user has no right to it.
    #[prost(bool, optional, tag = "5")]
    pub denied: Option<bool>,
    /// Extension [`ROOMS`](crate::extension::ROOMS): who is banned, where that was asked: names of people, or masks.
    #[prost(string, repeated, tag = "6")]
    pub names: Vec<String>,
}

/// PROBLEM, extension [`PROBLEM`](crate::extension::PROBLEM): something an administrator must know.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Problem {
    /// Cause, place and next step.
    #[prost(string, required, tag = "1")]
    pub text: String,
    /// The backend cannot work until it is solved.
    #[prost(bool, optional, tag = "2")]
    pub fatal: Option<bool>,
}

/// ROOM_REFUSED and ROOM_LEFT, extension [`ROOMS`](crate::extension::ROOMS).
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct RoomEnd {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// Legacy name of the room.
    #[prost(string, required, tag = "2")]
    pub room: String,
    /// A [`RoomReason`] number.
    #[prost(int32, required, tag = "3")]
    pub reason: i32,
    /// The network's own words, or those of whoever removed the user.
    #[prost(string, optional, tag = "4")]
    pub text: Option<String>,
    /// Nick of whoever removed the user.
    #[prost(string, optional, tag = "5")]
    pub actor: Option<String>,
}

impl RoomEnd {
    /// The reason; a number nobody knows means [`RoomReason::Other`].
    pub fn room_reason(&self) -> RoomReason {
        RoomReason::try_from(self.reason).unwrap_or(RoomReason::Other)
    }
}

/// ROOM_INVITE, extension [`ROOMS`](crate::extension::ROOMS).
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct Invitation {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// Legacy name of the room.
    #[prost(string, required, tag = "2")]
    pub room: String,
    /// Legacy name of who invites, or is invited; `room/nick` for an occupant.
    #[prost(string, required, tag = "3")]
    pub contact: String,
    /// What the one says to the other.
    #[prost(string, optional, tag = "4")]
    pub text: Option<String>,
    /// Password of the room.
    #[prost(string, optional, tag = "5")]
    pub password: Option<String>,
    /// To a backend: the number to name in the [`MessageResult`].
    #[prost(uint64, optional, tag = "6")]
    pub serial: Option<u64>,
}

/// ROOM_COMMAND, extension [`ROOMS`](crate::extension::ROOMS): a role or an affiliation for somebody, or what `what` says.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[prost(skip_debug)]
pub struct RoomCommand {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
    /// Legacy name of the room.
    #[prost(string, required, tag = "2")]
    pub room: String,
    /// Nick of the occupant, or legacy name of somebody who is not there; a name of the list of those who are banned.
    #[prost(string, required, tag = "3")]
    pub nickname: String,
    /// The number to name in the [`MessageResult`].
    #[prost(uint64, required, tag = "4")]
    pub serial: u64,
    /// A [`Role`] number.
    #[prost(int32, optional, tag = "5")]
    pub role: Option<i32>,
    /// An [`Affiliation`] number, if there is no role.
    #[prost(int32, optional, tag = "6")]
    pub affiliation: Option<i32>,
    /// What the user says about it.
    #[prost(string, optional, tag = "7")]
    pub text: Option<String>,
    /// A [`RoomWish`](crate::RoomWish) number. Absent: a role or an affiliation.
    #[prost(int32, optional, tag = "8")]
    pub what: Option<i32>,
}

impl RoomCommand {
    /// What is wanted.
    pub fn wish(&self) -> RoomWish {
        self.what.and_then(|number| RoomWish::try_from(number).ok()).unwrap_or(RoomWish::Standing)
    }
}

/// LIST_ROOMS, extension [`ROOMS`](crate::extension::ROOMS).
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct RoomListRequest {
    /// Bare JID of the user.
    #[prost(string, required, tag = "1")]
    pub user_name: String,
}

/// Stands in `Debug` for what must not be printed.
pub(crate) struct Hidden(pub(crate) usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}

fn hidden(text: Option<&String>) -> Option<Hidden> {
    text.map(|text| Hidden(text.len()))
}

impl fmt::Debug for Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.payload.as_ref().map(|bytes| Hidden(bytes.len()));
        f.debug_struct("Wrapper").field("kind", &self.kind).field("payload", &payload).finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even the password's length: it narrows a search.
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("legacy_name", &self.legacy_name)
            .field("extra_fields", &self.extra_fields.len())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UserSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.value.keys()).finish()
    }
}

impl fmt::Debug for ConversationMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationMessage")
            .field("user_name", &self.user_name)
            .field("buddy_name", &self.buddy_name)
            .field("message", &Hidden(self.message.len()))
            .field("nickname", &self.nickname)
            .field("xhtml", &hidden(self.xhtml.as_ref()))
            .field("timestamp", &self.timestamp)
            .field("headline", &self.headline)
            .field("id", &self.id)
            .field("pm", &self.pm)
            .field("carbon", &self.carbon)
            .field("attachments", &self.attachments)
            .field("serial", &self.serial)
            .finish()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("url", &Hidden(self.url.len()))
            .field("mime_type", &self.mime_type)
            .field("description", &hidden(self.description.as_ref()))
            .finish()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("user_name", &self.user_name)
            .field("nickname", &self.nickname)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomEnd")
            .field("user_name", &self.user_name)
            .field("room", &self.room)
            .field("reason", &self.reason)
            .field("text", &hidden(self.text.as_ref()))
            .field("actor", &self.actor)
            .finish()
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("user_name", &self.user_name)
            .field("room", &self.room)
            .field("contact", &self.contact)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomCommand")
            .field("user_name", &self.user_name)
            .field("room", &self.room)
            .field("nickname", &self.nickname)
            .field("serial", &self.serial)
            .field("role", &self.role)
            .field("affiliation", &self.affiliation)
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VCard")
            .field("user_name", &self.user_name)
            .field("buddy_name", &self.buddy_name)
            .field("id", &self.id)
            .field("fullname", &self.fullname)
            .field("nickname", &self.nickname)
            .field("photo", &self.photo.as_ref().map(|bytes| Hidden(bytes.len())))
            .finish()
    }
}
