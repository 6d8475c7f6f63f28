//! XEP-0184: Message Delivery Receipts.

use crate::element::Element;
use crate::ns;

/// The child of a message that asks for a receipt.
pub fn request() -> Element {
    Element::new("request", ns::RECEIPTS)
}

/// The child of a message that says that message `id` has arrived.
pub fn received(id: &str) -> Element {
    Element::new("received", ns::RECEIPTS).with("id", id)
}

/// The id under which the sender of a message wants a receipt; none if it wants none, or gives no id (§5.2).
pub fn wanted_for(message: &Element) -> Option<&str> {
    message.find("request", ns::RECEIPTS)?;
    message.attr("id").filter(|id| !id.is_empty())
}

/// The id of the message that a receipt is for.
pub fn receipt_of(message: &Element) -> Option<&str> {
    message.find("received", ns::RECEIPTS)?.attr("id").filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_asked_for_and_given() {
        let message = Element::new("message", ns::CLIENT).with("id", "7").child(request());
        assert_eq!(wanted_for(&message), Some("7"));
        assert_eq!(receipt_of(&message), None);
        let receipt = Element::new("message", ns::CLIENT).child(received("7"));
        assert_eq!(receipt_of(&receipt), Some("7"));
        assert_eq!(wanted_for(&receipt), None);
        assert_eq!(wanted_for(&Element::new("message", ns::CLIENT).child(request())), None);
    }
}
