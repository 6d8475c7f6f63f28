//! XEP-0191: Blocking Command.

use jid::Jid;

use crate::element::Element;
use crate::ns;

/// What a client wants with its block list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// See it.
    List,
    /// Block these. Never empty.
    Block(Vec<Jid>),
    /// Unblock these; all if there are none.
    Unblock(Vec<Jid>),
}

impl Request {
    /// Reads the payload of an iq; `get` is its type. None if this is no request that makes sense.
    pub fn read(payload: &Element, get: bool) -> Option<Self> {
        let items = payload.elements().filter(|item| item.is("item", ns::BLOCKING));
        let jids: Option<Vec<Jid>> = items.map(|item| Jid::new(item.attr("jid")?).ok()).collect();
        match (payload.ns(), payload.name(), get) {
            (ns::BLOCKING, "blocklist", true) => Some(Self::List),
            // §3.3: no item is a bad request.
            (ns::BLOCKING, "block", false) => jids.filter(|jids| !jids.is_empty()).map(Self::Block),
            (ns::BLOCKING, "unblock", false) => jids.map(Self::Unblock),
            _ => None,
        }
    }
}

/// A list of JIDs: `blocklist`, `block` or `unblock`.
pub fn list<'j>(name: &'static str, jids: impl IntoIterator<Item = &'j str>) -> Element {
    let items = jids.into_iter().map(|jid| Element::new("item", ns::BLOCKING).with("jid", jid));
    Element::new(name, ns::BLOCKING).children_from(items)
}

/// What tells that the recipient is blocked, as a child of a stanza error (§3.4).
pub fn blocked() -> Element {
    Element::new("blocked", ns::BLOCKING_ERRORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str, get: bool) -> Option<Request> {
        Request::read(&Element::parse(&xml.replacen(' ', " xmlns='urn:xmpp:blocking' ", 1)).unwrap(), get)
    }

    #[test]
    fn requests() {
        let jid = || vec![Jid::new("paris@gw").unwrap()];
        assert_eq!(read("<blocklist />", true), Some(Request::List));
        assert_eq!(read("<block ><item jid='paris@gw'/></block>", false), Some(Request::Block(jid())));
        assert_eq!(read("<unblock ><item jid='paris@gw'/></unblock>", false), Some(Request::Unblock(jid())));
        assert_eq!(read("<unblock />", false), Some(Request::Unblock(Vec::new())));
        for odd in
            ["<block />", "<block ><item/></block>", "<block ><item jid='@'/></block>", "<blocklist />"]
        {
            assert_eq!(read(odd, false), None, "{odd}");
        }
    }

    #[test]
    fn the_wire_form() {
        assert_eq!(
            list("blocklist", ["paris@gw"]).to_xml(),
            "<blocklist xmlns='urn:xmpp:blocking'><item jid='paris@gw'/></blocklist>"
        );
    }
}
