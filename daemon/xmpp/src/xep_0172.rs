//! XEP-0172: User Nickname.

use crate::element::Element;
use crate::ns;

/// The child of a stanza that gives its sender's nickname.
pub fn element(nick: &str) -> Element {
    Element::new("nick", ns::NICK).text(nick)
}

/// The nickname that a stanza gives.
pub fn read(stanza: &Element) -> Option<String> {
    stanza.child_text("nick", ns::NICK).map(|nick| nick.trim().to_owned()).filter(|nick| !nick.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_is_read_as_it_was_written() {
        let presence = |nick| Element::new("presence", ns::CLIENT).child(element(nick));
        assert_eq!(read(&presence("Nurse")).as_deref(), Some("Nurse"));
        assert_eq!(read(&presence(" ")), None);
    }
}
