//! XEP-0199: XMPP Ping. The answer is an empty result ([`crate::stanza::iq_result`]).

use crate::element::Element;
use crate::ns;

/// The payload of a ping.
pub fn element() -> Element {
    Element::new("ping", ns::PING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        assert_eq!(element().to_xml(), "<ping xmlns='urn:xmpp:ping'/>");
    }
}
