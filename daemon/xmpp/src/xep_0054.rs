//! XEP-0054: vcard-temp, as far as a gateway needs it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::element::Element;
use crate::ns;

/// The largest photo that is read, in bytes; larger ones than this also fit no usual stanza limit.
pub const MAX_PHOTO: usize = 1 << 20;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Its media type, such as `image/png`.
    pub media_type: Option<String>,
    /// The file.
    pub data: Vec<u8>,
}

/// Why a photo cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhotoError {
    /// Larger than [`MAX_PHOTO`].
    #[error("The photo in the vCard is larger than 1 MiB")]
    TooLarge,
    /// Not base64.
    #[error("The photo in the vCard is not base64")]
    NotBase64,
}

impl Photo {
    /// A photo whose media type is told by its first bytes.
    pub fn new(data: Vec<u8>) -> Self {
        let media_type = match data.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
            [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
            [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
            _ => None,
        };
        Self { media_type: media_type.map(str::to_owned), data }
    }

    /// Reads the photo of a vCard; none if it has none.
    ///
    /// # Errors
    /// If there is one that cannot be used.
    pub fn read(vcard: &Element) -> Result<Option<Self>, PhotoError> {
        let Some(photo) = vcard.find("PHOTO", ns::VCARD) else { return Ok(None) };
        let Some(text) = photo.child_text("BINVAL", ns::VCARD) else { return Ok(None) };
        // Many clients break lines.
        let mut base64 = text.into_owned();
        base64.retain(|c| !c.is_ascii_whitespace());
        if base64.is_empty() {
            return Ok(None);
        }
        if base64.len() / 4 * 3 > MAX_PHOTO + 2 {
            return Err(PhotoError::TooLarge);
        }
        let data = STANDARD.decode(base64).map_err(|_| PhotoError::NotBase64)?;
        if data.len() > MAX_PHOTO {
            return Err(PhotoError::TooLarge);
        }
        let media_type =
            photo.child_text("TYPE", ns::VCARD).map(String::from).filter(|text| !text.is_empty());
        Ok(Some(match media_type {
            Some(_) => Self { media_type, data },
            None => Self::new(data),
        }))
    }

    /// XEP-0153 §3.1: the hash that presences carry.
    pub fn hash(&self) -> String {
        crate::hex(&Sha1::digest(&self.data))
    }

    fn element(&self) -> Element {
        let media_type = self.media_type.as_deref().map(|text| Element::new("TYPE", ns::VCARD).text(text));
        Element::new("PHOTO", ns::VCARD)
            .children_from(media_type)
            .child(Element::new("BINVAL", ns::VCARD).text(STANDARD.encode(&self.data)))
    }
}

/// A vCard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VCard {
    /// The full name.
    pub full_name: Option<String>,
    /// The nickname.
    pub nickname: Option<String>,
    /// Words about the person.
    pub description: Option<String>,
    /// The avatar.
    pub photo: Option<Photo>,
}

impl VCard {
    /// Reads a vCard; a photo that cannot be used is left out (see [`Photo::read`]).
    pub fn read(vcard: &Element) -> Self {
        let text = |name| vcard.child_text(name, ns::VCARD).map(String::from).filter(|text| !text.is_empty());
        Self {
            full_name: text("FN"),
            nickname: text("NICKNAME"),
            description: text("DESC"),
            photo: Photo::read(vcard).ok().flatten(),
        }
    }

    /// The vCard as an element.
    pub fn element(&self) -> Element {
        let text = |name: &'static str, text: &Option<String>| {
            text.as_deref().map(|text| Element::new(name, ns::VCARD).text(text))
        };
        Element::new("vCard", ns::VCARD)
            .children_from(text("FN", &self.full_name))
            .children_from(text("NICKNAME", &self.nickname))
            .children_from(text("DESC", &self.description))
            .children_from(self.photo.as_ref().map(Photo::element))
    }
}

/// The question for a vCard.
pub fn query() -> Element {
    Element::new("vCard", ns::VCARD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_photo(base64: &str) -> Element {
        query().child(
            Element::new("PHOTO", ns::VCARD).child(Element::new("BINVAL", ns::VCARD).text(base64.to_owned())),
        )
    }

    #[test]
    fn a_vcard_is_read_as_it_was_written() {
        let vcard = VCard {
            full_name: Some("Romeo Montague".to_owned()),
            nickname: Some("romeo".to_owned()),
            description: None,
            photo: Some(Photo::new(b"\x89PNG\r\n".to_vec())),
        };
        assert_eq!(
            vcard.element().to_xml(),
            "<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><NICKNAME>romeo</NICKNAME>\
             <PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0K</BINVAL></PHOTO></vCard>"
        );
        assert_eq!(VCard::read(&vcard.element()), vcard);
    }

    #[test]
    fn base64_may_have_line_breaks() {
        let photo = Photo::read(&with_photo("aGV\n sbG8=\r\n")).unwrap().unwrap();
        assert_eq!(photo.data, b"hello");
        assert_eq!(photo.media_type, None);
        assert_eq!(photo.hash(), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    }

    #[test]
    fn photos_that_cannot_be_used() {
        assert_eq!(Photo::read(&with_photo("%%%")), Err(PhotoError::NotBase64));
        assert_eq!(Photo::read(&with_photo("")), Ok(None));
        assert_eq!(Photo::read(&query()), Ok(None));
        let largest = STANDARD.encode(vec![0; MAX_PHOTO]);
        assert!(Photo::read(&with_photo(&largest)).unwrap().is_some());
        let larger = STANDARD.encode(vec![0; MAX_PHOTO + 1]);
        assert_eq!(Photo::read(&with_photo(&larger)), Err(PhotoError::TooLarge));
        assert_eq!(VCard::read(&with_photo(&larger)), VCard::default());
    }
}
