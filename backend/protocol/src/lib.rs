//! The backend wire protocol of Spectrum 2: how the daemon and the process that speaks to a legacy network talk.
//!
//! A *frame* is a 4-byte big-endian length and that many bytes of a [`Wrapper`], which holds a type number and the
//! serialised message of that type (Protocol Buffers, proto2). Type and field numbers are those of Spectrum 2, so both
//! ends work with peers that Spectrum 2 shipped, and with its Python and C++ plugins.
//!
//! * [`Frame`] is one decoded frame; [`Decoder`] cuts a byte stream into frames.
//! * [`Capabilities`] is the text that a backend introduces itself with.
//! * [`endpoint`] is how our daemon's end of a connection is called.
//! * What Spectrum 2 did not have is an [extension](extension): used only with a peer that announced it.
//!
//! Guarantees: no input makes it panic; nothing is buffered beyond the limit given to the decoder; the `Debug` form of a
//! frame holds neither passwords nor what people wrote.

mod capabilities;
mod decoder;
pub mod endpoint;
mod frame;
mod message;
mod repair;
mod value;

pub use capabilities::{Capabilities, extension};
pub use decoder::Decoder;
pub use frame::{Frame, FrameError};
pub use message::{
    ApiVersion, Attachment, BackendConfig, Buddies, Buddy, Connected, ConversationMessage, Disconnected,
    Extensions, Invitation, Login, Logout, MessageResult, Participant, Problem, Room, RoomCommand, RoomEnd,
    RoomList, RoomListRequest, Stats, Status, UserSettings, VCard, Wrapper,
};
pub use value::{
    Affiliation, ConnectionError, ParticipantFlags, Role, RoomReason, RoomWish, StatusType, UnknownValue,
};

/// The longest frame that either side accepts, in bytes without the length prefix.
///
/// Spectrum 2 set no limit; avatars and room lists are the longest that occur and stay far below this.
pub const MAX_FRAME: usize = 8 * 1024 * 1024;
