//! One frame: the table of type numbers, and conversion to and from bytes.

use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::message::{
    ApiVersion, BackendConfig, Buddies, Buddy, Connected, ConversationMessage, Disconnected, Extensions,
    Hidden, Invitation, Login, Logout, MessageResult, Participant, Problem, Room, RoomCommand, RoomEnd,
    RoomList, RoomListRequest, Stats, Status, VCard, Wrapper,
};
use crate::repair;

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream cannot be followed any further: close the connection.
    #[error(
        "A frame of {length} bytes exceeds the limit of {limit}; the peer does not speak the backend protocol"
    )]
    TooLong {
        /// Length that the prefix announces.
        length: usize,
        /// What the decoder accepts.
        limit: usize,
    },
    /// The envelope does not parse; the next frame is not affected.
    #[error("A frame is not a protocol buffer message")]
    Envelope(#[source] prost::DecodeError),
    /// The message inside does not parse; the next frame is not affected.
    #[error("The content of a {name} frame does not parse")]
    Payload {
        /// Name of the frame's type.
        name: &'static str,
        /// What is wrong with it.
        source: prost::DecodeError,
    },
}

impl FrameError {
    /// Whether the stream is lost, as opposed to one frame.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::TooLong { .. })
    }
}

/// One table of all types feeds the enumeration, its numbers and names, the encoder and the decoder.
macro_rules! frames {
    (
        messages { $($(#[$message_doc:meta])* $message:ident($content:ty) = $number:literal $name:literal,)* }
        signals { $($(#[$signal_doc:meta])* $signal:ident = $signal_number:literal $signal_name:literal,)* }
    ) => {
        /// One frame. Variants are named after the types of Spectrum 2; from 200 on they are ours.
        #[derive(Clone, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the content's type documents most of them")]
        pub enum Frame {
            $($(#[$message_doc])* $message($content),)*
            $($(#[$signal_doc])* $signal,)*
            /// One or more serialised stanzas, or a part of one.
            RawXml(Vec<u8>),
            /// A type that we do not know, or that has no content left in the protocol. Skip it.
            Unknown(i32),
        }

        impl Frame {
            /// The type number.
            pub const fn number(&self) -> i32 {
                match self {
                    $(Self::$message(_) => $number,)*
                    $(Self::$signal => $signal_number,)*
                    Self::RawXml(_) => RAW_XML,
                    Self::Unknown(number) => *number,
                }
            }

            /// The type's name, for logs.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$message(_) => $name,)*
                    $(Self::$signal => $signal_name,)*
                    Self::RawXml(_) => "RAW_XML",
                    Self::Unknown(_) => "unknown",
                }
            }

            fn payload(&self) -> Option<Vec<u8>> {
                match self {
                    $(Self::$message(content) => Some(content.encode_to_vec()),)*
                    $(Self::$signal => None,)*
                    Self::RawXml(bytes) => Some(bytes.clone()),
                    Self::Unknown(_) => None,
                }
            }

            fn from_payload(number: i32, payload: Vec<u8>) -> Result<Self, FrameError> {
                match number {
                    $($number => decode::<$content>(number, &payload)
                        .map(Self::$message)
                        .map_err(|source| FrameError::Payload { name: $name, source }),)*
                    $($signal_number => Ok(Self::$signal),)*
                    RAW_XML => Ok(Self::RawXml(payload)),
                    _ => Ok(Self::Unknown(number)),
                }
            }
        }

        impl fmt::Debug for Frame {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$message(content) => f.debug_tuple(stringify!($message)).field(content).finish(),)*
                    $(Self::$signal => f.write_str(stringify!($signal)),)*
                    Self::RawXml(bytes) => f.debug_tuple("RawXml").field(&Hidden(bytes.len())).finish(),
                    Self::Unknown(number) => f.debug_tuple("Unknown").field(number).finish(),
                }
            }
        }
    };
}

const RAW_XML: i32 = 34;

/// Reads a message; one with texts that are not UTF-8 is repaired first.
fn decode<M: Message + Default>(number: i32, payload: &[u8]) -> Result<M, prost::DecodeError> {
    M::decode(payload).or_else(|error| {
        let repaired = repair::texts(payload, |field| holds_text(number, field)).ok_or(error)?;
        M::decode(repaired.as_slice())
    })
}

/// Whether a field that holds bytes holds a text, rather than a message or a picture.
const fn holds_text(number: i32, field: u64) -> bool {
    !matches!((number, field), (LOGIN, 5) | (VCARD, 6) | (BUDDIES, 1) | (_, ATTACHMENT))
}

const LOGIN: i32 = 3;
const VCARD: i32 = 16;
const BUDDIES: i32 = 35;
/// No other message has as many fields.
const ATTACHMENT: u64 = 11;

frames! {
    messages {
        Connected(Connected) = 1 "CONNECTED",
        Disconnected(Disconnected) = 2 "DISCONNECTED",
        Login(Login) = 3 "LOGIN",
        Logout(Logout) = 4 "LOGOUT",
        /// From a backend: a contact is new or changed. To it: add, change or (with `blocked`) block it.
        BuddyChanged(Buddy) = 6 "BUDDY_CHANGED",
        BuddyRemoved(Buddy) = 7 "BUDDY_REMOVED",
        ConvMessage(ConversationMessage) = 8 "CONV_MESSAGE",
        JoinRoom(Room) = 11 "JOIN_ROOM",
        LeaveRoom(Room) = 12 "LEAVE_ROOM",
        ParticipantChanged(Participant) = 13 "PARTICIPANT_CHANGED",
        /// The network gave the user another nick in the room.
        RoomNicknameChanged(Room) = 14 "ROOM_NICKNAME_CHANGED",
        RoomSubjectChanged(ConversationMessage) = 15 "ROOM_SUBJECT_CHANGED",
        VCard(VCard) = 16 "VCARD",
        StatusChanged(Status) = 17 "STATUS_CHANGED",
        /// Somebody is writing.
        BuddyTyping(Buddy) = 18 "BUDDY_TYPING",
        /// Somebody stopped writing and will not go on.
        BuddyStoppedTyping(Buddy) = 19 "BUDDY_STOPPED_TYPING",
        /// Somebody wrote something and pauses.
        BuddyTyped(Buddy) = 20 "BUDDY_TYPED",
        /// A stranger asks to see the user's presence.
        AuthRequest(Buddy) = 21 "AUTH_REQUEST",
        Attention(ConversationMessage) = 22 "ATTENTION",
        Stats(Stats) = 23 "STATS",
        BackendConfig(BackendConfig) = 30 "BACKEND_CONFIG",
        /// A command of the administrator, and its answer.
        Query(BackendConfig) = 31 "QUERY",
        RoomList(RoomList) = 32 "ROOM_LIST",
        /// The contact's client received the message with this `id`.
        ConvMessageAck(ConversationMessage) = 33 "CONV_MESSAGE_ACK",
        Buddies(Buddies) = 35 "BUDDIES",
        ApiVersion(ApiVersion) = 36 "API_VERSION",
        Extensions(Extensions) = 200 "EXTENSIONS",
        Result(MessageResult) = 201 "RESULT",
        Problem(Problem) = 202 "PROBLEM",
        /// Delete all that is kept of this user, who is logged out.
        Erase(Logout) = 203 "ERASE",
        /// The user is in the room, under this nick; all who were there before him have been named.
        RoomJoined(Room) = 210 "ROOM_JOINED",
        /// The user could not join the room; or, while he is in it, could not have another nick.
        RoomRefused(RoomEnd) = 211 "ROOM_REFUSED",
        /// The user is not in the room any more, and did not ask for that.
        RoomLeft(RoomEnd) = 212 "ROOM_LEFT",
        /// Somebody invites the user; or the user invites somebody.
        RoomInvite(Invitation) = 213 "ROOM_INVITE",
        /// The user, as a moderator, changes what somebody may do. Answered by RESULT.
        RoomCommand(RoomCommand) = 214 "ROOM_COMMAND",
        /// The user wants the list of rooms. Answered by ROOM_LIST for him.
        ListRooms(RoomListRequest) = 215 "LIST_ROOMS",
        /// The rooms on the user's own list on the network, all of them.
        RoomBookmarks(RoomList) = 216 "ROOM_BOOKMARKS",
    }
    signals {
        /// Are you there? The daemon's first words, then every 20 seconds.
        Ping = 9 "PING",
        /// The answer; the first one makes a backend usable.
        Pong = 10 "PONG",
        /// End the process.
        Exit = 29 "EXIT",
    }
}

impl Frame {
    /// Appends the frame with its length prefix.
    ///
    /// A peer refuses a frame over [`MAX_FRAME`](crate::MAX_FRAME): whoever fills a list or a picture keeps it below.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let wrapper = Wrapper { kind: self.number(), payload: self.payload() };
        let length = wrapper.encoded_len();
        out.reserve(4 + length);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        wrapper.encode_raw(out);
    }

    /// Reads one frame without its length prefix.
    ///
    /// # Errors
    /// [`FrameError::Envelope`] and [`FrameError::Payload`]: the bytes are not what they should be. A type that we do
    /// not know is [`Frame::Unknown`], not an error.
    pub fn decode(wrapper: &[u8]) -> Result<Self, FrameError> {
        let Wrapper { kind, payload } = Wrapper::decode(wrapper).map_err(FrameError::Envelope)?;
        Self::from_payload(kind, payload.unwrap_or_default())
    }
}
