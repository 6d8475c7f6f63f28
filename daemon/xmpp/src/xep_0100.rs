//! XEP-0100: Gateway Interaction: how a client learns the JID of somebody on the legacy network (§6.2).

use jid::Jid;

use crate::element::Element;
use crate::ns;

/// What to ask the user for.
pub fn question(description: &str, prompt: &str) -> Element {
    Element::new("query", ns::GATEWAY)
        .child(Element::new("desc", ns::GATEWAY).text(description))
        .child(Element::new("prompt", ns::GATEWAY).text(prompt))
}

/// What the user entered.
pub fn entered(query: &Element) -> Option<String> {
    query.child_text("prompt", ns::GATEWAY).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The JID that belongs to it.
pub fn answer(jid: &Jid) -> Element {
    Element::new("query", ns::GATEWAY).child(Element::new("jid", ns::GATEWAY).text(jid.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation() {
        assert_eq!(
            question("Enter a name", "Name").to_xml(),
            "<query xmlns='jabber:iq:gateway'><desc>Enter a name</desc><prompt>Name</prompt></query>"
        );
        let query = |text: &str| {
            Element::new("query", ns::GATEWAY).child(Element::new("prompt", ns::GATEWAY).text(text))
        };
        assert_eq!(entered(&query(" nurse\n")).as_deref(), Some("nurse"));
        assert_eq!(entered(&query(" ")), None);
        assert_eq!(
            answer(&Jid::new("nurse@gw").unwrap()).to_xml(),
            "<query xmlns='jabber:iq:gateway'><jid>nurse@gw</jid></query>"
        );
    }
}
