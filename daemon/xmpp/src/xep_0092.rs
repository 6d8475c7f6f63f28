//! XEP-0092: Software Version.

use crate::element::Element;
use crate::ns;

/// The answer: which program, in which version. The operating system is nobody's business.
pub fn answer(name: &str, version: &str) -> Element {
    Element::new("query", ns::VERSION)
        .child(Element::new("name", ns::VERSION).text(name))
        .child(Element::new("version", ns::VERSION).text(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        assert_eq!(
            answer("Spectrum", "3.0.0").to_xml(),
            "<query xmlns='jabber:iq:version'><name>Spectrum</name><version>3.0.0</version></query>"
        );
    }
}
