//! RFC 6120 §7: resource binding; and the session of RFC 3921 §3, which does nothing any more.

use jid::FullJid;

use crate::element::Element;
use crate::ns;

/// The stream feature.
pub fn feature() -> Element {
    Element::new("bind", ns::BIND)
}

/// The stream feature of RFC 3921, marked as one that clients may leave out.
pub fn session_feature() -> Element {
    Element::new("session", ns::SESSION).child(Element::new("optional", ns::SESSION))
}

/// The resource that the client wishes; `None` in `Some` if it leaves the choice to the server. None if this is no
/// request to bind one.
pub fn wish(payload: &Element) -> Option<Option<String>> {
    if !payload.is("bind", ns::BIND) {
        return None;
    }
    let wish = payload.child_text("resource", ns::BIND).map(|text| text.trim().to_owned());
    Some(wish.filter(|wish| !wish.is_empty()))
}

/// The answer (§7.6.1).
pub fn bound(jid: &FullJid) -> Element {
    Element::new("bind", ns::BIND).child(Element::new("jid", ns::BIND).text(jid.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        let of = |xml: &str| wish(&Element::parse(xml).unwrap());
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'";
        assert_eq!(
            of(&format!("{bind}><resource> balcony </resource></bind>")),
            Some(Some("balcony".to_owned()))
        );
        assert_eq!(of(&format!("{bind}/>")), Some(None));
        assert_eq!(of(&format!("{bind}><resource/></bind>")), Some(None));
        assert_eq!(of("<bind/>"), None);
    }

    #[test]
    fn the_answer() {
        let jid = FullJid::new("juliet@example.org/balcony").unwrap();
        assert_eq!(
            bound(&jid).to_xml(),
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.org/balcony</jid></bind>"
        );
    }
}
