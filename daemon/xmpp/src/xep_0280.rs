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

/// The copy of a message that another of the user's resources received, for one that did not (§7).
pub fn received(user: &Jid, resource: &Jid, original: Element) -> Element {
    // §6: the copy has the type of the original.
    let kind = original.attr("type").map(str::to_owned);
    message(user, resource, MessageType::Normal)
        .with_opt("type", kind)
        .child(Element::new("received", ns::CARBONS).child(forwarded(original)))
}

/// The message that a copy made by [`received`] is of.
pub fn original(copy: &Element) -> Option<Element> {
    copy.find("received", ns::CARBONS)?.find("forwarded", ns::FORWARD)?.find("message", ns::CLIENT).cloned()
}

/// Whether copies of a message are to be made (§6.1): it is part of a conversation, its sender has not forbidden it, and
/// it is not itself a copy.
pub fn is_eligible(message: &Element) -> bool {
    let conversation = match message.attr("type") {
        Some("chat") => true,
        Some("groupchat" | "headline" | "error") => false,
        _ => message.find_same("body").is_some(),
    };
    // §6.1: of what is said in a room's private chat only the resource in the room makes sense.
    let own = message.elements().any(|child| {
        (child.ns() == ns::CARBONS && matches!(child.name(), "private" | "sent" | "received"))
            || child.is("no-copy", ns::HINTS)
            || child.is("x", ns::MUC_USER)
    });
    conversation && !own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied() {
        let eligible = |xml: &str| {
            is_eligible(&Element::parse(&xml.replacen(' ', " xmlns='jabber:client' ", 1)).unwrap())
        };
        assert!(eligible("<message type='chat'/>"));
        assert!(eligible("<message ><body>Hark</body></message>"));
        assert!(!eligible("<message />"));
        for odd in [
            "<message type='groupchat'><body>Hark</body></message>",
            "<message type='chat'><private xmlns='urn:xmpp:carbons:2'/></message>",
            "<message type='chat'><no-copy xmlns='urn:xmpp:hints'/></message>",
            "<message type='chat'><x xmlns='http://jabber.org/protocol/muc#user'/></message>",
            "<message type='chat'><sent xmlns='urn:xmpp:carbons:2'/></message>",
        ] {
            assert!(!eligible(odd), "{odd}");
        }
    }

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
