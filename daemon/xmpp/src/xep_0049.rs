//! XEP-0049: Private XML Storage.

use crate::element::Element;
use crate::ns;

/// The one element that is stored or asked for. None if there is not exactly one, or it has no namespace of its own
/// (§2: the namespaces of XMPP itself are reserved).
pub fn content(query: &Element) -> Option<&Element> {
    let mut elements = query.elements();
    let content = elements.next().filter(|content| !matches!(content.ns(), "" | ns::PRIVATE | ns::CLIENT));
    content.filter(|_| elements.next().is_none())
}

/// The answer: what is stored, or the empty element that was asked for.
pub fn query(content: Element) -> Element {
    Element::new("query", ns::PRIVATE).child(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_element_of_a_namespace_of_its_own() {
        let query = |content: &str| {
            Element::parse(&format!("<query xmlns='jabber:iq:private'>{content}</query>")).unwrap()
        };
        assert_eq!(content(&query("<a xmlns='x:y'/>")), Some(&Element::new("a", "x:y")));
        for odd in ["", "<a/>", "<a xmlns=''/>", "<a xmlns='x:y'/><b xmlns='x:y'/>"] {
            assert_eq!(content(&query(odd)), None, "{odd}");
        }
    }
}
