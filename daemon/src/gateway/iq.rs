//! Requests to the gateway and to contacts. Every one is answered, from the JID that was asked.

use spectrum2_xmpp::stanza::{Condition, ErrorType, StanzaError, iq_result};
use spectrum2_xmpp::xep_0030::Info;
use spectrum2_xmpp::{Element, ns, xep_0092, xep_0100, xep_0106};

use super::adhoc;
use super::bookmarks;
use super::context::{Context, Query};
use super::disco;
use super::presence;
use super::room_iq;
use super::user::User;

/// Answers a request that needs no knowledge of the user; `false` if it is none of those.
pub fn answer_stranger(cx: &mut Context, iq: &Element, node: Option<&str>) -> bool {
    let Some(payload) = iq.elements().next() else {
        cx.refuse(iq, ErrorType::Modify, Condition::BadRequest, "An iq has exactly one payload");
        return true;
    };
    let get = iq.attr("type") == Some("get");
    if room_iq::is_for_room(cx, iq, payload, node) {
        return false;
    }
    match (payload.ns(), payload.name()) {
        // XEP-0050 §2.2: which commands there are depends on who asks.
        (ns::DISCO_INFO | ns::DISCO_ITEMS, "query")
            if get && node.is_none() && payload.attr("node").is_some_and(adhoc::is_node) =>
        {
            return false;
        }
        (ns::DISCO_INFO, "query") if get => disco::info(cx, iq, payload, node.is_none()),
        (ns::DISCO_ITEMS, "query") if get => disco::items(cx, iq, payload),
        (ns::COMMANDS, "command") if node.is_none() => return false,
        // XEP-0199 §4.
        (ns::PING, "ping") if get => cx.send(iq_result(iq)),
        (ns::VERSION, "query") if get => version(cx, iq),
        (ns::GATEWAY, "query") if node.is_none() => gateway_prompt(cx, iq, payload, get),
        (ns::VCARD, "vCard") if get && node.is_none() => gateway_vcard(cx, iq),
        (ns::REGISTER | ns::VCARD | ns::ROSTER | ns::PRIVATE, _) => return false,
        _ => cx.refuse(iq, ErrorType::Cancel, Condition::ServiceUnavailable, ""),
    }
    true
}

/// XEP-0092.
fn version(cx: &mut Context, iq: &Element) {
    cx.send(iq_result(iq).child(xep_0092::answer("Spectrum 2", env!("CARGO_PKG_VERSION"))));
}

/// XEP-0100 §6: how people on the network are named, and what the JID of one is.
fn gateway_prompt(cx: &mut Context, iq: &Element, query: &Element, get: bool) {
    if get {
        let texts = &cx.config.gateway_responder;
        let question = xep_0100::question(&texts.label, &texts.prompt);
        cx.send(iq_result(iq).child(question));
        return;
    }
    let name = xep_0100::entered(query).unwrap_or_default();
    // Who pastes an escaped name means what it stands for.
    let name = if name.contains(r"\40") { xep_0106::unescape(&name).into_owned() } else { name };
    match xep_0106::legacy_name_to_node(&name, cx.escaping()) {
        Some(node) => {
            let jid = Element::new("jid", ns::GATEWAY).text(cx.contact_bare(node.as_str()));
            cx.send(iq_result(iq).child(Element::new("query", ns::GATEWAY).child(jid)));
        }
        None => {
            cx.refuse(iq, ErrorType::Modify, Condition::JidMalformed, "This name cannot be an XMPP address");
        }
    }
}

fn gateway_vcard(cx: &mut Context, iq: &Element) {
    let name = cx.config.identity.name.clone();
    let card = Element::new("vCard", ns::VCARD).child(Element::new("FN", ns::VCARD).text(name));
    cx.send(iq_result(iq).child(card));
}

impl User {
    /// A request that depends on who asks.
    pub fn request(&mut self, cx: &mut Context, iq: &Element, node: Option<&str>) {
        let Some(payload) = iq.elements().next() else { return };
        let get = iq.attr("type") == Some("get");
        if !get && cx.is_being_removed(&self.jid) {
            cx.refuse(
                iq,
                ErrorType::Wait,
                Condition::ResourceConstraint,
                "Your registration is being deleted",
            );
            return;
        }
        if room_iq::is_for_room(cx, iq, payload, node) {
            self.room_request(cx, iq, payload, node);
            return;
        }
        match (payload.ns(), node) {
            (ns::REGISTER, None) if get => self.registration_form(cx, iq),
            (ns::REGISTER, None) => self.register(cx, iq, payload),
            (ns::VCARD, Some(node)) if get => self.vcard_wanted(cx, node, iq),
            (ns::VCARD, None) => self.vcard_set(cx, iq),
            (ns::ROSTER, _) if !get && iq.attr("from") == Some(self.jid.as_str()) => {
                // XEP-0356 §4.4: only the server itself speaks with the bare JID of the user.
                cx.send(iq_result(iq));
                self.roster_pushed(cx, payload);
            }
            (ns::DISCO_INFO, None) => adhoc::info(cx, self, iq, payload),
            (ns::DISCO_ITEMS, None) => adhoc::items(cx, self, iq, payload),
            (ns::COMMANDS, None) => self.command(cx, iq, payload),
            (ns::PRIVATE, None) => self.private_storage(cx, iq, payload, get),
            _ => cx.refuse(iq, ErrorType::Cancel, Condition::ServiceUnavailable, ""),
        }
    }

    /// Private storage (XEP-0049), for bookmarks only (XEP-0048).
    fn private_storage(&mut self, cx: &mut Context, iq: &Element, query: &Element, get: bool) {
        if self.registration.is_none() {
            cx.refuse(
                iq,
                ErrorType::Auth,
                Condition::RegistrationRequired,
                "Register with the gateway first",
            );
            return;
        }
        let Some(asked) = query.find("storage", ns::BOOKMARKS) else {
            cx.refuse(iq, ErrorType::Cancel, Condition::NotAcceptable, "Only bookmarks are kept here");
            return;
        };
        if get {
            let stored = self.settings.iter().find(|(var, _)| var == "storage");
            let mut storage = stored
                .and_then(|(_, xml)| Element::parse(xml).ok())
                .unwrap_or_else(|| Element::new("storage", ns::BOOKMARKS));
            for bookmark in self.bookmarks() {
                if !storage.elements().any(|kept| kept.attr("jid") == Some(&bookmark.jid)) {
                    storage.push(bookmark.stored());
                }
            }
            cx.send(iq_result(iq).child(Element::new("query", ns::PRIVATE).child(storage)));
        } else {
            self.set_setting(cx, "storage", 0, asked.to_xml());
            cx.send(iq_result(iq));
        }
    }

    /// An answer to a request of ours.
    pub fn answered(&mut self, cx: &mut Context, from: &jid::Jid, query: Query, answer: Option<&Element>) {
        let payload =
            answer.filter(|iq| iq.attr("type") == Some("result")).and_then(|iq| iq.elements().next());
        match query {
            Query::Features(caps) => {
                let info = payload.and_then(Info::read).unwrap_or_default();
                let exchange = info.has(ns::ROSTERX);
                // XEP-0115 §5.4: who announces a hash that is not his own must not speak for others.
                if let Some(caps) = caps.filter(|caps| caps.matches(&info)) {
                    cx.learn_client(caps.query_node(), exchange);
                }
                if let Some(resource) = presence::resource(from).and_then(|name| self.resources.get_mut(name))
                {
                    resource.exchange = Some(exchange);
                }
            }
            Query::Roster => self.roster_answer(cx, payload.filter(|p| p.is("query", ns::ROSTER))),
            Query::RosterToClear => self.clear_roster(cx, payload.filter(|p| p.is("query", ns::ROSTER))),
            Query::RosterSet(node) => self.roster_was_set(cx, &node, failure(answer)),
            Query::Introduction => self.introduced(cx, failure(answer)),
            Query::Bookmarks => self.bookmarks_known(cx, &bookmarks::answer(answer)),
            Query::BookmarkSet(jid) => {
                self.bookmarks_were_set(cx, &[jid], bookmarks::answer(answer).is_ok());
            }
            Query::BookmarkGone(jid) => self.bookmark_is_gone(cx, jid, bookmarks::answer(answer).is_ok()),
            Query::PrivateBookmarks => self.private_bookmarks_known(cx, &bookmarks::answer(answer)),
            Query::PrivateBookmarksSet(jids) => {
                self.bookmarks_were_set(cx, &jids, bookmarks::answer(answer).is_ok());
            }
            Query::OwnVCard(hash) => self.own_vcard(cx, payload.filter(|p| p.is("vCard", ns::VCARD)), hash),
        }
    }
}

/// Why a request failed, if it did.
fn failure(answer: Option<&Element>) -> Option<Condition> {
    match answer {
        None => Some(Condition::RemoteServerTimeout),
        Some(iq) => StanzaError::read(iq).map(|error| error.condition),
    }
}
