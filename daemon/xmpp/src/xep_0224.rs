//! XEP-0224: Attention.

use crate::element::Element;
use crate::ns;

/// The child of a message that asks for attention.
pub fn element() -> Element {
    Element::new("attention", ns::ATTENTION)
}

/// Whether a message asks for attention.
pub fn is_wanted(message: &Element) -> bool {
    message.find("attention", ns::ATTENTION).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_read_as_it_was_written() {
        let message = Element::new("message", ns::CLIENT);
        assert!(!is_wanted(&message));
        assert!(is_wanted(&message.child(element())));
    }
}
