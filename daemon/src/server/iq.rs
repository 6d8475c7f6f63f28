//! Requests of clients that the server answers itself, and requests of the gateway that it answers for its users.

use jid::BareJid;
use spectrum2_xmpp::stanza::{Condition, ErrorType, Stanza, iq_result};
use spectrum2_xmpp::xep_0030::{Identity, Info};
use spectrum2_xmpp::xep_0313::Query;
use spectrum2_xmpp::{Element, ns, xep_0030, xep_0059, xep_0313};

use super::Server;
use super::bookmarks;
use super::client_info::is_about_client;
use super::context::refusal;
use super::message::{Target, refuse_foreign};

/// What the server can do for an account.
const ACCOUNT: [&str; 18] = [
    ns::BLOCKING,
    ns::BOOKMARKS_COMPAT,
    ns::CARBONS,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::LAST,
    // COMPAT(Dino): version 0.4 crashes in a room that has an archive if the account has none.
    ns::MAM,
    ns::PING,
    ns::PRIVATE,
    ns::PUBSUB_ACCESS_WHITELIST,
    ns::PUBSUB_FILTERED_NOTIFICATIONS,
    ns::PUBSUB_MULTI_ITEMS,
    ns::PUBSUB_PERSISTENT_ITEMS,
    ns::PUBSUB_PUBLISH,
    ns::PUBSUB_PUBLISH_OPTIONS,
    ns::PUBSUB_RETRACT_ITEMS,
    ns::PUBSUB_RETRIEVE_ITEMS,
    ns::VCARD,
];

impl Server {
    /// A request of a client, or an answer.
    pub(super) fn iq(&mut self, account: &str, number: u64, target: &Target, stanza: Stanza) {
        let is_request = matches!(stanza.stanza_type(), Some("get" | "set"));
        let iq = stanza.element;
        let Some(known) = self.accounts.get_mut(account) else { return };
        let answer = match target {
            Target::Account if is_request => return self.account_request(account, number, &iq),
            Target::Account => None,
            Target::Own(resource) => match known.by_resource(resource) {
                Some(session) => {
                    session.send(&mut self.cx, iq);
                    None
                }
                None => refusal(&iq, ErrorType::Cancel, Condition::ServiceUnavailable, ""),
            },
            Target::Server if is_request => return self.server_request(account, number, iq),
            Target::Server if is_about_client(&iq) => return self.client_described(account, number, &iq),
            Target::Contact if is_request && known.admin => {
                refusal(&iq, ErrorType::Cancel, Condition::ItemNotFound, "")
            }
            Target::Server | Target::Contact => {
                self.cx.pass(iq);
                None
            }
            Target::Foreign => refuse_foreign(&iq),
        };
        self.reply(account, number, answer);
    }

    /// A request to the account: without `to`, or to the user's bare JID (RFC 6120 §10.3.3).
    fn account_request(&mut self, account: &str, number: u64, iq: &Element) {
        let limit = self.contacts_limit();
        let Some(known) = self.accounts.get_mut(account) else { return };
        let Some(payload) = iq.elements().next() else { return };
        let get = iq.attr("type") == Some("get");
        let answer = match (payload.ns(), payload.name()) {
            (ns::ROSTER, "query") if get => return known.roster_get(&mut self.cx, number, iq, payload),
            (ns::ROSTER, "query") => return known.roster_set(&mut self.cx, number, iq, payload, limit),
            // RFC 6120 §7.1: once.
            (ns::BIND, _) => refusal(
                iq,
                ErrorType::Cancel,
                Condition::NotAllowed,
                "This connection has a resource already",
            ),
            (ns::SESSION, "session") if !get => Some(iq_result(iq)),
            (ns::VCARD, "vCard") => return self.own_vcard(account, number, iq, payload, get),
            (ns::PRIVATE, "query") => return self.private(account, number, iq, payload, get),
            (ns::BLOCKING, _) => return self.block(account, number, iq, payload, get),
            (ns::DISCO_INFO, "query") if get && payload.attr("node").is_none() => {
                // XEP-0030 §8: a registered account.
                let info = Info::default()
                    .identity(Identity::new("account", "registered"))
                    .identity(Identity::new("pubsub", "pep"))
                    .features(&ACCOUNT);
                Some(iq_result(iq).child(info.element()))
            }
            (ns::DISCO_ITEMS, "query") if get => {
                Some(iq_result(iq).child(xep_0030::items(payload.attr("node"), [])))
            }
            (ns::MAM, _) => empty_archive(iq, payload, get),
            (ns::PUBSUB_OWNER, "pubsub") => payload
                .elements()
                .next()
                .and_then(|request| bookmarks::not_here(iq, request))
                .or_else(|| refusal(iq, ErrorType::Modify, Condition::BadRequest, "")),
            (ns::PUBSUB, "pubsub") => self
                .pubsub(account, Some(number), iq)
                .or_else(|| refusal(iq, ErrorType::Modify, Condition::BadRequest, "")),
            _ => self.common_request(account, number, iq, payload, get),
        };
        self.reply(account, number, answer);
    }

    /// A request to the server, which is the gateway at the same time.
    fn server_request(&mut self, account: &str, number: u64, iq: Element) {
        let Some(payload) = iq.elements().next() else { return };
        let get = iq.attr("type") == Some("get");
        let answer = match (payload.ns(), payload.name()) {
            // Whom the network lets in is registered.
            (ns::REGISTER | ns::ROSTER, _) => {
                refusal(&iq, ErrorType::Cancel, Condition::ServiceUnavailable, "")
            }
            (ns::CARBONS | ns::LAST | ns::SESSION | ns::TIME, _) => {
                self.common_request(account, number, &iq, payload, get)
            }
            (ns::PRIVATE, "query") => {
                let payload = payload.clone();
                return self.private(account, number, &iq, &payload, get);
            }
            _ => {
                self.cx.pass(iq);
                return;
            }
        };
        self.reply(account, number, answer);
    }

    /// What may be asked of either.
    fn common_request(
        &mut self,
        account: &str,
        number: u64,
        iq: &Element,
        payload: &Element,
        get: bool,
    ) -> Option<Element> {
        match (payload.ns(), payload.name(), get) {
            // XEP-0199 §4.2.
            (ns::PING, "ping", true) => Some(iq_result(iq)),
            // XEP-0280 §4 and §5.
            (ns::CARBONS, name @ ("enable" | "disable"), false) => {
                if let Some(session) = self.accounts.get_mut(account).and_then(|known| known.session(number))
                {
                    session.carbons = name == "enable";
                }
                Some(iq_result(iq))
            }
            (ns::SESSION, "session", false) => Some(iq_result(iq)),
            // XEP-0012 §3: of an account that is on line, no time has passed; of a server, that since it started.
            (ns::LAST, "query", true) => {
                let server = iq.attr("to") == Some(self.cx.domain());
                let seconds = if server { self.cx.now.since(self.since) / 1_000 } else { 0 };
                let query = Element::new("query", ns::LAST).with("seconds", seconds.to_string());
                Some(iq_result(iq).child(query))
            }
            // XEP-0202 §3.
            (ns::TIME, "time", true) => {
                let child = |name, text: &str| Element::new(name, ns::TIME).text(text.to_owned());
                let time = Element::new("time", ns::TIME);
                let time = time.child(child("tzo", "+00:00")).child(child("utc", &self.cx.stamp()));
                Some(iq_result(iq).child(time))
            }
            _ => refusal(iq, ErrorType::Cancel, Condition::ServiceUnavailable, ""),
        }
    }

    /// An iq of the gateway, for an account or one of its clients.
    pub(super) fn iq_in(&mut self, account: &str, mut iq: Element, resource: Option<&str>) {
        let limit = self.contacts_limit();
        let is_request = matches!(iq.attr("type"), Some("get" | "set"));
        let Some(known) = self.accounts.get_mut(account) else { return };
        if let Some(resource) = resource {
            describe_server(&mut iq, self.cx.domain());
            match known.by_resource(resource) {
                Some(session) => session.send(&mut self.cx, iq),
                None => self.cx.return_to_gateway(&iq, Condition::ServiceUnavailable, ""),
            }
            return;
        }
        // RFC 6121 §8.5.2.1.3: the server answers for the account.
        let payload = iq.elements().next();
        match (payload.map(|payload| (payload.ns(), payload)), iq.attr("type")) {
            (Some((ns::ROSTER, _)), Some("get")) => known.gateway_gets(&mut self.cx, &iq),
            (Some((ns::ROSTER, query)), Some("set")) => known.gateway_sets(&mut self.cx, &iq, query, limit),
            (Some((ns::VCARD, _)), Some("get")) => {
                let card = self.stored_vcard(account);
                self.cx.pass(iq_result(&iq).child(card));
            }
            (Some((ns::PRIVILEGE_2, privileged)), _) if is_request => {
                let privileged = privileged.clone();
                self.privileged(account, &iq, &privileged);
            }
            _ if is_request => self.cx.return_to_gateway(&iq, Condition::ServiceUnavailable, ""),
            _ => {}
        }
    }

    /// Passes a copy of a client's request on to the gateway, whose answer is not for the client: it goes to the account,
    /// and ends there.
    pub(super) fn tell_gateway(&mut self, user: &BareJid, iq: &Element) {
        let mut copy = iq.clone();
        copy.set_attr("id", self.cx.id());
        copy.set_attr("from", user.as_str());
        copy.set_attr("to", self.cx.domain());
        self.cx.pass(copy);
    }
}

/// The gateway describes itself; here it is a server as well (XEP-0030 §3.1), where nobody registers.
fn describe_server(iq: &mut Element, domain: &str) {
    if iq.attr("from") != Some(domain) || iq.attr("type") != Some("result") {
        return;
    }
    let Some(query) = iq.find_mut("query", ns::DISCO_INFO).filter(|query| query.attr("node").is_none())
    else {
        return;
    };
    let Some(mut info) = Info::read(query) else { return };
    info.features.retain(|feature| feature != ns::REGISTER);
    info.identities.insert(0, Identity::new("server", "im"));
    let ours = [ns::BLOCKING, ns::CARBONS, ns::LAST, ns::PRIVATE, ns::SESSION, ns::TIME];
    *query = info.features(&ours).element();
}

/// The roster of somebody whose login is under way.
pub fn empty_roster(iq: &Element) -> Element {
    iq_result(iq).child(Element::new("query", ns::ROSTER))
}

/// XEP-0313: the archive of an account, in which there is nothing. What comes while nobody is there waits elsewhere, and
/// is delivered.
fn empty_archive(iq: &Element, payload: &Element, get: bool) -> Option<Element> {
    let answer = match (payload.name(), get) {
        ("query", true) => xep_0313::form(),
        ("metadata", true) => xep_0313::metadata(None),
        ("query", false) => match Query::read(payload) {
            // §4.3.2: ids that we never gave.
            Ok(query) if names_a_message(&query) => {
                return refusal(iq, ErrorType::Cancel, Condition::ItemNotFound, "");
            }
            Ok(_) => xep_0313::fin(true, xep_0059::answer(0, None, None, 0)),
            Err(why) => {
                let (kind, condition) = why.error();
                return refusal(iq, kind, condition, "");
            }
        },
        _ => return refusal(iq, ErrorType::Modify, Condition::BadRequest, ""),
    };
    Some(iq_result(iq).child(answer))
}

fn names_a_message(query: &Query) -> bool {
    let page = &query.page;
    let before = page.before.as_ref().is_some_and(|id| !id.is_empty());
    before
        || page.after.is_some()
        || query.after_id.is_some()
        || query.before_id.is_some()
        || !query.ids.is_empty()
}
