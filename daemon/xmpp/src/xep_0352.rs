//! XEP-0352: Client State Indication.

use crate::element::Element;
use crate::ns;

/// The stream feature.
pub fn feature() -> Element {
    Element::new("csi", ns::CSI)
}

/// Whether the client says that nobody looks at it (`false`: that somebody does). None if it does not say either.
pub fn inactive(element: &Element) -> Option<bool> {
    match (element.ns(), element.name()) {
        (ns::CSI, "inactive") => Some(true),
        (ns::CSI, "active") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_states() {
        assert_eq!(inactive(&Element::new("inactive", ns::CSI)), Some(true));
        assert_eq!(inactive(&Element::new("active", ns::CSI)), Some(false));
        assert_eq!(inactive(&Element::new("active", ns::CHATSTATES)), None);
        assert_eq!(feature().to_xml(), "<csi xmlns='urn:xmpp:csi:0'/>");
    }
}
