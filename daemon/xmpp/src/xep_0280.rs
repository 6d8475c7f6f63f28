//! XEP-0280: Message Carbons, and XEP-0297: Stanza Forwarding, which carries them.

use jid::Jid;

use crate::element::Element;
use crate::ns;
use crate::stanza::{MessageType, message};

/// XEP-0297 §3: a whole stanza as the child of another one.
pub fn forwarded(stanza: Element) -> Element {
    Element::new("forwarded", ns::FORWARD).child(stanza)
}

/// The copy of a message that the user sent from elsewhere, for one of the user's resources (§8).
pub fn sent(user: &Jid, resource: &Jid, original: Element) -> Element {
    message(user, resource, MessageType::Chat)
        .child(Element::new("sent", ns::CARBONS).child(forwarded(original)))
        // XEP-0334 §4.3: so the server makes no copies of the copy.
        .child(Element::new("no-copy", ns::HINTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        let user = Jid::new("romeo@example.org").unwrap();
        let resource = Jid::new("romeo@example.org/balcony").unwrap();
        let original = message(&user, &Jid::new("nurse@gw").unwrap(), MessageType::Chat);
        let mut out = String::new();
        sent(&user, &resource, original).write(&mut out, ns::COMPONENT);
        assert_eq!(
            out,
            "<message from='romeo@example.org' to='romeo@example.org/balcony' type='chat'>\
             <sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' from='romeo@example.org' to='nurse@gw' type='chat'/></forwarded></sent>\
             <no-copy xmlns='urn:xmpp:hints'/></message>"
        );
    }
}
