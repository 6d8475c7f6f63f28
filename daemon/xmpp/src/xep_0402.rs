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

/// The items in an answer to [`request`]; the id of each is a JID.
pub fn items(pubsub: &Element) -> impl Iterator<Item = &Element> {
    let items = pubsub.find("items", ns::PUBSUB);
    items.into_iter().flat_map(Element::elements).filter(|item| item.is("item", ns::PUBSUB))
}

/// §3.4: the payload of a request that removes a bookmark; the user's clients are told.
pub fn retract(jid: &str) -> Element {
    let item = Element::new("item", ns::PUBSUB).with("id", jid);
    let node = Element::new("retract", ns::PUBSUB).with("node", ns::BOOKMARKS_PEP).with("notify", "true");
    Element::new("pubsub", ns::PUBSUB).child(node.child(item))
}

/// The item for a bookmark from private storage; none if that names no room (§6).
pub fn item(stored: &Element) -> Option<Element> {
    let jid = stored.attr("jid").filter(|_| stored.is("conference", ns::BOOKMARKS))?.to_owned();
    let conference = moved(stored, ns::BOOKMARKS, ns::BOOKMARKS_PEP);
    Some(Element::new("item", ns::PUBSUB).with("id", jid).child(conference))
}

/// The bookmark for private storage; none if the item is none (§6). Its extensions are kept in it.
pub fn stored(item: &Element) -> Option<Element> {
    let conference = item.find("conference", ns::BOOKMARKS_PEP)?;
    let jid = item.attr("id").filter(|id| !id.is_empty())?.to_owned();
    let mut stored = Element::new("conference", ns::BOOKMARKS).with("jid", jid);
    let moved = moved(conference, ns::BOOKMARKS_PEP, ns::BOOKMARKS);
    for (name, value) in moved.attributes().filter(|(name, _)| matches!(*name, "name" | "autojoin")) {
        stored.set_attr(name.to_owned(), value);
    }
    Some(stored.children_from(moved.elements().cloned()))
}

/// The same bookmark in the other namespace: what both kinds have, and extensions as they are.
fn moved(conference: &Element, from: &'static str, to: &'static str) -> Element {
    let mut moved = Element::new("conference", to);
    for name in ["name", "autojoin"] {
        if let Some(value) = conference.attr(name) {
            moved.set_attr(name, value);
        }
    }
    let children = conference.elements().filter_map(|child| match (child.name(), child.ns()) {
        (name @ ("nick" | "password"), namespace) if namespace == from => {
            Some(Element::new(name.to_owned(), to).text(child.content()))
        }
        ("extensions", ns::BOOKMARKS_PEP) => Some(child.clone()),
        _ => None,
    });
    moved.children_from(children)
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
        let answer = Element::parse(answer).unwrap();
        assert_eq!(items(&answer).filter_map(|item| item.attr("id")).collect::<Vec<_>>(), ["a@gw", "b@gw"]);
        assert_eq!(
            retract("a@gw").to_xml(),
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><retract node='urn:xmpp:bookmarks:1' notify='true'>\
             <item id='a@gw'/></retract></pubsub>"
        );
    }

    #[test]
    fn both_kinds_are_the_same() {
        let old = "<conference xmlns='storage:bookmarks' jid='r@gw' name='Room' autojoin='true'><nick>n</nick>\
                   <extensions xmlns='urn:xmpp:bookmarks:1'><x xmlns='y'/></extensions></conference>";
        let new = item(&Element::parse(old).unwrap()).unwrap();
        assert_eq!(
            new.to_xml(),
            "<item xmlns='http://jabber.org/protocol/pubsub' id='r@gw'><conference xmlns='urn:xmpp:bookmarks:1' \
             name='Room' autojoin='true'><nick>n</nick><extensions><x xmlns='y'/></extensions></conference></item>"
        );
        assert_eq!(stored(&new).unwrap().to_xml(), old);
        assert_eq!(item(&Element::parse("<url xmlns='storage:bookmarks'/>").unwrap()), None);
        assert_eq!(stored(&Element::new("item", ns::PUBSUB).with("id", "x")), None);
    }
}
