//! XEP-0203: Delayed Delivery.

use jid::Jid;

use crate::element::Element;
use crate::ns;

/// The child of a stanza that was first sent at `stamp` ([`crate::xep_0082`]); `from` is who held it back.
pub fn element(stamp: &str, from: Option<&Jid>) -> Element {
    Element::new("delay", ns::DELAY).with_opt("from", from.map(Jid::as_str)).with("stamp", stamp)
}

/// When a delayed stanza was first sent, as it says.
pub fn read(stanza: &Element) -> Option<&str> {
    stanza.find("delay", ns::DELAY)?.attr("stamp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let delay = element("2026-11-21T22:24:12Z", Some(&Jid::new("gw").unwrap()));
        assert_eq!(delay.to_xml(), "<delay xmlns='urn:xmpp:delay' from='gw' stamp='2026-11-21T22:24:12Z'/>");
        assert_eq!(read(&Element::new("message", ns::CLIENT).child(delay)), Some("2026-11-21T22:24:12Z"));
    }
}
