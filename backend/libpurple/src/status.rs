//! Availability: XMPP's and libpurple's.

use spectrum2_backend_protocol::StatusType;

use crate::purple::Primitive;

/// What to set for a user, best first; the plugin may have only some of them.
pub const fn to_network(status: StatusType) -> &'static [Primitive] {
    match status {
        StatusType::Away => &[Primitive::Away, Primitive::ExtendedAway],
        StatusType::Xa => &[Primitive::ExtendedAway, Primitive::Away],
        StatusType::Dnd => &[Primitive::Unavailable],
        StatusType::Invisible => &[Primitive::Invisible],
        // Somebody who is offline is logged out; a status alone must not do that.
        StatusType::Online | StatusType::Ffc | StatusType::None => &[Primitive::Available],
    }
}

/// What to tell of a contact.
pub const fn from_network(presence: Primitive) -> StatusType {
    match presence {
        Primitive::Available | Primitive::Invisible => StatusType::Online,
        Primitive::Away => StatusType::Away,
        Primitive::ExtendedAway => StatusType::Xa,
        Primitive::Unavailable => StatusType::Dnd,
        Primitive::Offline => StatusType::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_comes_back_as_itself() {
        for status in [StatusType::Online, StatusType::Away, StatusType::Xa, StatusType::Dnd] {
            assert_eq!(from_network(to_network(status)[0]), status);
        }
    }
}
