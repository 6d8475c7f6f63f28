//! XEP-0066: Out of Band Data: a URL beside the text of a message.

use crate::element::Element;
use crate::ns;

/// The child of a message that points to `url`.
pub fn element(url: &str) -> Element {
    Element::new("x", ns::OOB).child(Element::new("url", ns::OOB).text(url))
}

/// The first URL that a message points to.
pub fn read(message: &Element) -> Option<String> {
    message
        .find("x", ns::OOB)?
        .child_text("url", ns::OOB)
        .map(|url| url.trim().to_owned())
        .filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_was_written() {
        let message = Element::new("message", ns::CLIENT).child(element("https://example.org/?a=1&b=2"));
        assert_eq!(read(&message).as_deref(), Some("https://example.org/?a=1&b=2"));
        assert_eq!(read(&Element::new("message", ns::CLIENT).child(element(" "))), None);
    }
}
