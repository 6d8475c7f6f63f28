//! Presence: what the user shows the network, and what gateway and contacts show the user.

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::StatusType;
use spectrum2_xmpp::stanza::{Show, priority};
use spectrum2_xmpp::xep_0153::Update;
use spectrum2_xmpp::{Element, ns};

use super::contact::Contact;
use super::context::Context;
use super::disco;

/// One of the user's clients, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What it shows.
    pub status: StatusType,
    /// Status text; may be empty.
    pub text: String,
    /// Priority (RFC 6121 §4.7.2.3).
    pub priority: i8,
    /// Takes roster item exchanges (XEP-0144); `None` while that is being asked.
    pub exchange: Option<bool>,
    /// Hash of the avatar that it shows (XEP-0153).
    pub photo: Option<String>,
    /// Not heard of since the XMPP link came back.
    pub stale: bool,
    /// Joined a room, and told the gateway itself nothing: it is there as long as it is in a room.
    pub guest: bool,
}

impl Resource {
    /// Reads an available presence.
    pub fn read(presence: &Element) -> Self {
        let invisible = presence.find("invisible", ns::INVISIBLE).is_some();
        let status = match Show::read(presence) {
            _ if invisible => StatusType::Invisible,
            Show::Away => StatusType::Away,
            Show::Chat => StatusType::Ffc,
            Show::Xa => StatusType::Xa,
            Show::Dnd => StatusType::Dnd,
            Show::Online => StatusType::Online,
        };
        Self {
            status,
            text: presence.find_same("status").map(|text| text.content().into_owned()).unwrap_or_default(),
            priority: priority(presence),
            exchange: None,
            photo: match Update::read(presence) {
                Some(Update::Photo(hash)) => Some(hash),
                _ => None,
            },
            stale: false,
            guest: false,
        }
    }

    /// By this the resource that speaks for the user is chosen: priority, then availability.
    pub fn rank(&self) -> (i8, u8) {
        let availability = match self.status {
            StatusType::Ffc => 5,
            StatusType::Online => 4,
            StatusType::Dnd => 3,
            StatusType::Away => 2,
            StatusType::Xa => 1,
            StatusType::None | StatusType::Invisible => 0,
        };
        (self.priority, availability)
    }
}

/// The `<show/>` of a status (RFC 6121 §4.7.2.1); `None` for plainly available.
const fn show(status: StatusType) -> Option<&'static str> {
    match status {
        StatusType::Away => Some("away"),
        StatusType::Ffc => Some("chat"),
        StatusType::Xa => Some("xa"),
        StatusType::Dnd => Some("dnd"),
        StatusType::Online | StatusType::None | StatusType::Invisible => None,
    }
}

/// Whether others see it as available.
pub const fn is_visible(status: StatusType) -> bool {
    !matches!(status, StatusType::None | StatusType::Invisible)
}

/// A presence stanza with `show` and `status` as given.
pub fn build(from: &str, to: &str, status: StatusType, text: &str) -> Element {
    let mut presence = Element::new("presence", ns::CLIENT).with("from", from).with("to", to);
    if !is_visible(status) {
        presence.set_attr("type", "unavailable");
    }
    if let Some(show) = show(status) {
        presence.push(Element::new("show", ns::CLIENT).text(show));
    }
    if !text.is_empty() {
        presence.push(Element::new("status", ns::CLIENT).text(text));
    }
    presence
}

/// A presence stanza that has a type and nothing else: a subscription, a probe.
pub fn typed(from: impl Into<String>, to: impl Into<String>, kind: &'static str) -> Element {
    Element::new("presence", ns::CLIENT).with("from", from).with("to", to).with("type", kind)
}

/// The presence of a contact, for the user.
pub fn of_contact(cx: &Context, contact: &Contact, to: &str) -> Element {
    let from = cx.contact_full(&contact.node);
    let status = contact.presence.status.unwrap_or(StatusType::None);
    let mut presence = build(&from, to, status, &contact.presence.text);
    if is_visible(status) {
        // XEP-0153 §3.2: an empty photo says that there is none.
        let photo = Element::new("photo", ns::VCARD_UPDATE).text(contact.stored.icon_hash.clone());
        presence.push(Element::new("x", ns::VCARD_UPDATE).child(photo));
        presence.push(disco::contact_caps(cx));
    }
    presence
}

/// The presence of the gateway itself, for the user.
pub fn of_gateway(cx: &Context, to: &str, status: StatusType, text: &str) -> Element {
    let mut presence = build(cx.jid.as_str(), to, status, text);
    if is_visible(status) {
        presence.push(disco::gateway_caps(cx));
    }
    presence
}

/// Asks the user's server for the presence of all his clients (RFC 6121 §4.3).
pub fn probe(cx: &Context, user: &BareJid) -> Element {
    typed(cx.jid.as_str(), user.as_str(), "probe")
}

/// JID text of a resource of the user; the bare JID for the empty one.
pub fn full(user: &BareJid, resource: &str) -> String {
    if resource.is_empty() { user.to_string() } else { format!("{user}/{resource}") }
}

/// The resource part of a JID, if it has one.
pub fn resource(jid: &Jid) -> Option<&str> {
    jid.resource().map(|resource| resource.as_str())
}
