//! Bookmarks of rooms as personal events (XEP-0402): the same as those in private storage, in the way of newer clients.
//!
//! Of the pubsub service of an account (XEP-0163) there is this node only, persistent and for nobody else; all others are
//! refused. A client that has asked for the bookmarks, or published one, or says in its capabilities that it wants to be
//! told, is told of changes; the gateway may do all that in the user's name (XEP-0356 §6).

use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_result};
use spectrum2_xmpp::xep_0004::Form;
use spectrum2_xmpp::{Element, ns, xep_0402};

use super::Server;
use super::context::refusal;
use super::session::Session;
use super::storage::{BOOKMARKS, LONGEST_PRIVATE};

impl Server {
    /// A request to the account's pubsub service, of one of its clients or of the gateway.
    pub(super) fn pubsub(&mut self, account: &str, number: Option<u64>, iq: &Element) -> Option<Element> {
        let payload = iq.find("pubsub", ns::PUBSUB)?;
        let get = iq.attr("type") == Some("get");
        let request =
            payload.elements().find(|child| matches!(child.name(), "items" | "publish" | "retract"));
        let Some(request) = request else {
            return payload.elements().next().and_then(|request| not_here(iq, request));
        };
        let ours = request.attr("node") == Some(ns::BOOKMARKS_PEP);
        if ours
            && let Some(session) = number.and_then(|number| self.accounts.get_mut(account)?.session(number))
        {
            session.knows_bookmarks = true;
        }
        match (request.name(), get, ours) {
            ("items", true, true) => {
                let asked: Vec<&str> = request.elements().filter_map(|item| item.attr("id")).collect();
                let wanted = |item: &Element| {
                    asked.is_empty() || item.attr("id").is_some_and(|id| asked.contains(&id))
                };
                let bookmarks = self.bookmarks(account);
                let items = bookmarks.elements().filter_map(xep_0402::item).filter(wanted);
                let items =
                    Element::new("items", ns::PUBSUB).with("node", ns::BOOKMARKS_PEP).children_from(items);
                Some(iq_result(iq).child(Element::new("pubsub", ns::PUBSUB).child(items)))
            }
            // XEP-0060 §6.5.9.11.
            ("items", true, false) => refusal(iq, ErrorType::Cancel, Condition::ItemNotFound, ""),
            ("publish", false, true) if !fits_node(payload) => {
                // XEP-0060 §7.1.5.
                let text = "Bookmarks are kept, and are for nobody else";
                explained(iq, ErrorType::Cancel, Condition::Conflict, text, "precondition-not-met")
            }
            ("publish", false, true) => self.publish(account, number, iq, request),
            ("retract", false, true) => self.retract(account, number, iq, request),
            _ => {
                let text = "Only bookmarks are kept here";
                refusal(iq, ErrorType::Cancel, Condition::FeatureNotImplemented, text)
            }
        }
    }

    fn publish(
        &mut self,
        account: &str,
        number: Option<u64>,
        iq: &Element,
        publish: &Element,
    ) -> Option<Element> {
        let items: Vec<&Element> = publish.elements().filter(|child| child.name() == "item").collect();
        let stored: Option<Vec<Element>> = items.iter().map(|item| xep_0402::stored(item)).collect();
        let Some(stored) = stored.filter(|stored| !stored.is_empty()) else {
            return refusal(iq, ErrorType::Modify, Condition::BadRequest, "This is no bookmark");
        };
        let mut bookmarks = self.bookmarks(account);
        for bookmark in stored {
            remove(&mut bookmarks, bookmark.attr("jid"));
            bookmarks.push(bookmark);
        }
        if !self.store(account, BOOKMARKS, &bookmarks, LONGEST_PRIVATE) {
            return refusal(iq, ErrorType::Wait, Condition::ResourceConstraint, "There is no room for it");
        }
        let ids = items.iter().filter_map(|item| item.attr("id"));
        let published = ids.map(|id| Element::new("item", ns::PUBSUB).with("id", id));
        let published =
            Element::new("publish", ns::PUBSUB).with("node", ns::BOOKMARKS_PEP).children_from(published);
        let told = items.iter().map(|item| {
            let id = item.attr("id").unwrap_or_default();
            let conference = item.find("conference", ns::BOOKMARKS_PEP).cloned();
            Element::new("item", ns::PUBSUB_EVENT).with("id", id).children_from(conference)
        });
        self.tell_bookmarks(account, number, told.collect());
        Some(iq_result(iq).child(Element::new("pubsub", ns::PUBSUB).child(published)))
    }

    fn retract(
        &mut self,
        account: &str,
        number: Option<u64>,
        iq: &Element,
        retract: &Element,
    ) -> Option<Element> {
        let ids: Vec<&str> = retract.elements().filter_map(|item| item.attr("id")).collect();
        let mut bookmarks = self.bookmarks(account);
        let before = bookmarks.nodes().len();
        ids.iter().for_each(|id| remove(&mut bookmarks, Some(id)));
        if bookmarks.nodes().len() == before {
            return refusal(iq, ErrorType::Cancel, Condition::ItemNotFound, "");
        }
        if !self.store(account, BOOKMARKS, &bookmarks, LONGEST_PRIVATE) {
            return refusal(iq, ErrorType::Wait, Condition::ResourceConstraint, "It cannot be stored now");
        }
        let told = ids.iter().map(|id| Element::new("retract", ns::PUBSUB_EVENT).with("id", *id));
        self.tell_bookmarks(account, number, told.collect());
        Some(iq_result(iq))
    }

    fn bookmarks(&self, account: &str) -> Element {
        self.stored(account, BOOKMARKS).unwrap_or_else(|| Element::new("storage", ns::BOOKMARKS))
    }

    /// XEP-0402 §4: the other clients are told.
    fn tell_bookmarks(&mut self, account: &str, number: Option<u64>, changes: Vec<Element>) {
        let Some(known) = self.accounts.get_mut(account) else { return };
        let user = known.jid.to_string();
        let items =
            Element::new("items", ns::PUBSUB_EVENT).with("node", ns::BOOKMARKS_PEP).children_from(changes);
        let event = Element::new("event", ns::PUBSUB_EVENT).child(items);
        let others = known.sessions.iter_mut().filter(|session| Some(session.number) != number);
        let wants = |session: &Session| {
            session.knows_bookmarks || session.wants_bookmarks && session.presence.is_some()
        };
        for session in others.filter(|session| wants(session)) {
            let message = Element::new("message", ns::CLIENT)
                .with("type", "headline")
                .with("from", user.clone())
                .with("to", format!("{user}/{}", session.resource))
                .with("id", self.cx.id())
                .child(event.clone());
            session.send(&mut self.cx, message);
        }
    }

    /// The gateway asks in the user's name (XEP-0356 §6.2).
    pub(super) fn privileged(&mut self, account: &str, iq: &Element, privileged: &Element) {
        let inner = privileged.find("iq", ns::CLIENT).cloned();
        let answer = inner.and_then(|inner| self.pubsub(account, None, &inner));
        match answer {
            Some(answer) => {
                let forwarded = Element::new("forwarded", ns::FORWARD).child(answer);
                let privilege = Element::new("privilege", ns::PRIVILEGE_2).child(forwarded);
                self.cx.pass(iq_result(iq).child(privilege));
            }
            None => self.cx.return_to_gateway(iq, Condition::NotAllowed, ""),
        }
    }
}

/// XEP-0060 §7.1.5: whether the node is what the publisher takes it for.
fn fits_node(pubsub: &Element) -> bool {
    let Some(form) = pubsub.find("publish-options", ns::PUBSUB).and_then(Form::find) else { return true };
    form.boolean("pubsub#persist_items") != Some(false)
        && form.value("pubsub#access_model").is_none_or(|model| model == "whitelist")
}

/// What other pubsub services can do (XEP-0060 §10).
pub fn not_here(iq: &Element, request: &Element) -> Option<Element> {
    let feature = match request.name() {
        "create" => "create-nodes",
        "configure" => "config-node",
        "default" => "retrieve-default",
        "subscribe" | "unsubscribe" => "subscribe",
        "subscriptions" => "retrieve-subscriptions",
        "affiliations" => "retrieve-affiliations",
        "options" => "subscription-options",
        "delete" => "delete-nodes",
        "purge" => "purge-nodes",
        _ => return None,
    };
    let mut answer = refusal(iq, ErrorType::Cancel, Condition::FeatureNotImplemented, "")?;
    let unsupported = Element::new("unsupported", ns::PUBSUB_ERRORS).with("feature", feature);
    answer.find_mut("error", ns::CLIENT)?.push(unsupported);
    Some(answer)
}

/// An error that says in pubsub's own terms what is wrong.
fn explained(
    iq: &Element,
    kind: ErrorType,
    condition: Condition,
    text: &str,
    why: &'static str,
) -> Option<Element> {
    let mut answer = refusal(iq, kind, condition, text)?;
    answer.find_mut("error", ns::CLIENT)?.push(Element::new(why, ns::PUBSUB_ERRORS));
    Some(answer)
}

/// Takes the bookmark of a room out.
fn remove(bookmarks: &mut Element, jid: Option<&str>) {
    bookmarks.retain(|node| {
        let bookmark = node.as_element().filter(|child| child.name() == "conference");
        bookmark.is_none_or(|bookmark| bookmark.attr("jid") != jid)
    });
}
