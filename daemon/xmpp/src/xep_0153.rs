//! XEP-0153: vCard-Based Avatars: the hash in a presence.

use crate::element::Element;
use crate::ns;

/// What a presence says about its sender's avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The sender does not know yet (§4.1).
    NotReady,
    /// There is none.
    NoPhoto,
    /// Its hash: SHA-1 in hexadecimal.
    Photo(String),
}

impl Update {
    /// Reads it from a presence; none if the presence says nothing.
    pub fn read(presence: &Element) -> Option<Self> {
        let update = presence.find("x", ns::VCARD_UPDATE)?;
        Some(match update.child_text("photo", ns::VCARD_UPDATE) {
            None => Self::NotReady,
            Some(hash) => match hash.trim() {
                "" => Self::NoPhoto,
                hash => Self::Photo(hash.to_ascii_lowercase()),
            },
        })
    }

    /// The child of a presence that says it.
    pub fn element(&self) -> Element {
        let update = Element::new("x", ns::VCARD_UPDATE);
        let photo = Element::new("photo", ns::VCARD_UPDATE);
        match self {
            Self::NotReady => update,
            Self::NoPhoto => update.child(photo),
            Self::Photo(hash) => update.child(photo.text(hash.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_read_as_they_were_written() {
        for update in [Update::NotReady, Update::NoPhoto, Update::Photo("aaf4c61d".to_owned())] {
            let presence = Element::new("presence", ns::CLIENT).child(update.element());
            assert_eq!(Update::read(&presence), Some(update));
        }
        assert_eq!(Update::read(&Element::new("presence", ns::CLIENT)), None);
    }
}
