//! Numbers that have a meaning: status, connection error, participant flags.
//!
//! Messages keep them as plain `i32`, because a peer may send any number; these types say what the known ones mean.

/// A number that the enumeration does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is not a known {what}")]
pub struct UnknownValue {
    /// Which enumeration it was looked up in.
    pub what: &'static str,
    /// The number that was received.
    pub number: i32,
}

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl TryFrom<i32> for $name {
            type Error = UnknownValue;

            fn try_from(number: i32) -> Result<Self, UnknownValue> {
                match number {
                    $($number => Ok(Self::$variant),)*
                    _ => Err(UnknownValue { what: $what, number }),
                }
            }
        }

        impl From<$name> for i32 {
            fn from(value: $name) -> Self {
                value as Self
            }
        }
    };
}

wire_enum! {
    /// Availability of a user, a contact or a participant of a room.
    StatusType, "status" {
        /// Available.
        Online = 0,
        /// Away.
        Away = 1,
        /// Free for chat.
        Ffc = 2,
        /// Away for long ("extended away").
        Xa = 3,
        /// Do not disturb.
        Dnd = 4,
        /// Offline; of a participant: not in the room any more.
        None = 5,
        /// Online, but not to be shown as such.
        Invisible = 6,
    }
}

wire_enum! {
    /// Why a legacy session ended; the numbers are those of libpurple.
    ConnectionError, "connection error" {
        /// The connection to the network broke or could not be made.
        NetworkError = 0,
        /// The network does not have this user name.
        InvalidUsername = 1,
        /// Wrong password.
        AuthenticationFailed = 2,
        /// No way to authenticate that both sides know.
        AuthenticationImpossible = 3,
        /// TLS is wanted but not available.
        NoSslSupport = 4,
        /// TLS could not be negotiated.
        EncryptionError = 5,
        /// Somebody else uses the name, or the same account logged in elsewhere.
        NameInUse = 6,
        /// A setting of the account makes no sense.
        InvalidSettings = 7,
        /// The server gave no certificate.
        CertNotProvided = 8,
        /// The certificate is signed by nobody we trust.
        CertUntrusted = 9,
        /// The certificate has expired.
        CertExpired = 10,
        /// The certificate is not valid yet.
        CertNotActivated = 11,
        /// The certificate is for another host.
        CertHostnameMismatch = 12,
        /// The certificate is not the one that was expected.
        CertFingerprintMismatch = 13,
        /// The certificate is signed by itself.
        CertSelfSigned = 14,
        /// Anything else that is wrong with the certificate.
        CertOtherError = 15,
        /// Anything else.
        OtherError = 16,
    }
}

wire_enum! {
    /// Why a room could not be joined, or why somebody is not in it any more.
    RoomReason, "reason of a room" {
        /// Anything else; of somebody who left: of his own will.
        Other = 0,
        /// There is no such room.
        NotFound = 1,
        /// Somebody else in the room has the nick.
        NickTaken = 2,
        /// The password is missing or wrong.
        Password = 3,
        /// Banned.
        Banned = 4,
        /// Only for members, or only by invitation.
        MembersOnly = 5,
        /// As many occupants as it may have.
        Full = 6,
        /// The user may not make new rooms, or may not change the nick.
        NotAllowed = 7,
        /// The nick is none, or not the one that is reserved for the user.
        BadNick = 8,
        /// The user is in as many rooms as he may be.
        TooMany = 9,
        /// Removed by somebody.
        Kicked = 10,
        /// The room is no more.
        Destroyed = 11,
        /// The connection broke, or the network ended it.
        Disconnected = 12,
    }
}

wire_enum! {
    /// What a moderator or owner wants of a room.
    RoomWish, "wish" {
        /// A role or an affiliation for somebody.
        Standing = 0,
        /// To know who is banned.
        Outcasts = 1,
        /// That the room is no more.
        Destroy = 2,
    }
}

wire_enum! {
    /// What an occupant may do in a room while there; greater is more.
    Role, "role" {
        /// Not in the room: whoever gets this is removed.
        None = 0,
        /// May listen.
        Visitor = 1,
        /// May speak.
        Participant = 2,
        /// May silence and remove others.
        Moderator = 3,
    }
}

wire_enum! {
    /// What somebody may do in a room for good; greater is more.
    Affiliation, "affiliation" {
        /// Banned.
        Outcast = 0,
        /// Nothing special.
        None = 1,
        /// Known to the room.
        Member = 2,
        /// Manages members and moderators.
        Admin = 3,
        /// Owns the room.
        Owner = 4,
    }
}

impl ConnectionError {
    /// Whether logging in again may help without the user doing anything.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::NetworkError | Self::OtherError)
    }
}

/// What a [`Participant`](crate::Participant) frame says about an occupant besides presence: a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParticipantFlags(pub i32);

impl ParticipantFlags {
    /// Moderator of the room.
    pub const MODERATOR: i32 = 1;
    /// The wanted nick is taken.
    pub const CONFLICT: i32 = 2;
    /// Banned from the room.
    pub const BANNED: i32 = 4;
    /// Not allowed to enter, for example for lack of the password.
    pub const NOT_AUTHORIZED: i32 = 8;
    /// The user's own entry.
    pub const ME: i32 = 16;
    /// Removed from the room by somebody.
    pub const KICKED: i32 = 32;
    /// There is no such room.
    pub const ROOM_NOT_FOUND: i32 = 64;

    /// Whether all bits of `flag` are set.
    pub const fn contains(self, flag: i32) -> bool {
        self.0 & flag == flag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_spectrum_2_map_both_ways() {
        for number in 0..=6 {
            assert_eq!(i32::from(StatusType::try_from(number).unwrap()), number);
        }
        for number in 0..=16 {
            assert_eq!(i32::from(ConnectionError::try_from(number).unwrap()), number);
        }
        assert_eq!(StatusType::try_from(7).unwrap_err().to_string(), "7 is not a known status");
        assert!(ConnectionError::try_from(-1).is_err());
    }

    #[test]
    fn only_network_and_other_errors_are_temporary() {
        let temporary: Vec<i32> =
            (0..=16).filter(|&n| ConnectionError::try_from(n).unwrap().is_temporary()).collect();
        assert_eq!(temporary, [0, 16]);
    }

    #[test]
    fn flags_combine() {
        let flags = ParticipantFlags(ParticipantFlags::MODERATOR | ParticipantFlags::ME);
        assert!(flags.contains(ParticipantFlags::ME));
        assert!(!flags.contains(ParticipantFlags::CONFLICT));
    }
}
