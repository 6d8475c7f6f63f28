//! XEP-0402: PEP Native Bookmarks; and those of XEP-0048, which have the same content.

use crate::element::Element;
use crate::ns;

/// A room that a user wants to find again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// JID of the room.
    pub jid: String,
    /// Its name to show.
    pub name: String,
    /// The user's nick there.
    pub nick: String,
}

impl Bookmark {
    fn conference(&self, namespace: &'static str) -> Element {
        let nick = (!self.nick.is_empty()).then(|| Element::new("nick", namespace).text(self.nick.clone()));
        Element::new("conference", namespace).with("name", self.name.clone()).children_from(nick)
    }

    /// XEP-0048 §2: as an entry in private storage.
    pub fn stored(&self) -> Element {
        self.conference(ns::BOOKMARKS).with("jid", self.jid.clone())
    }

    /// §3.2: the payload of a request that publishes it. The node is made as §3.1 wants it, if there is none.
    pub fn publish(&self) -> Element {
        let conference = self.conference(ns::BOOKMARKS_PEP).with("autojoin", "false");
        let item = Element::new("item", ns::PUBSUB).with("id", self.jid.clone()).child(conference);
        let publish = Element::new("publish", ns::PUBSUB).with("node", ns::BOOKMARKS_PEP).child(item);
        let field = |var: &str, value: &str| {
            Element::new("field", ns::DATA)
                .with("var", var)
                .child(Element::new("value", ns::DATA).text(value))
        };
        let form = Element::new("x", ns::DATA)
            .with("type", "submit")
            .child(
                field("FORM_TYPE", "http://jabber.org/protocol/pubsub#publish-options")
                    .with("type", "hidden"),
            )
            .child(field("pubsub#persist_items", "true"))
            .child(field("pubsub#max_items", "max"))
            .child(field("pubsub#send_last_published_item", "never"))
            .child(field("pubsub#access_model", "whitelist"));
        Element::new("pubsub", ns::PUBSUB)
            .child(publish)
            .child(Element::new("publish-options", ns::PUBSUB).child(form))
    }
}

/// §3.3: the payload of a request for all bookmarks.
pub fn request() -> Element {
    let items = Element::new("items", ns::PUBSUB).with("node", ns::BOOKMARKS_PEP);
    Element::new("pubsub", ns::PUBSUB).child(items)
}

/// The JIDs in an answer to [`request`].
pub fn read(pubsub: &Element) -> Vec<String> {
    let items = pubsub.find("items", ns::PUBSUB);
    items
        .into_iter()
        .flat_map(Element::elements)
        .filter_map(|item| item.attr("id").map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        let verona = Bookmark { jid: "#verona@gw".into(), name: "Verona".into(), nick: "Romeo".into() };
        let published = verona.publish().to_xml();
        assert!(published.starts_with(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'>\
             <item id='#verona@gw'><conference xmlns='urn:xmpp:bookmarks:1' name='Verona' autojoin='false'>\
             <nick>Romeo</nick></conference></item></publish><publish-options>"
        ));
        assert_eq!(
            verona.stored().to_xml(),
            "<conference xmlns='storage:bookmarks' name='Verona' jid='#verona@gw'><nick>Romeo</nick></conference>"
        );
        let answer = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'>\
                      <item id='a@gw'/><item id='b@gw'/></items></pubsub>";
        assert_eq!(read(&Element::parse(answer).unwrap()), ["a@gw", "b@gw"]);
    }
}
