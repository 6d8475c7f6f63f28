//! Service discovery (XEP-0030) and entity capabilities (XEP-0115): what gateway and contacts can do, and what the
//! users' clients can.

use jid::Jid;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::Capabilities;
use spectrum2_config::Config;
use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_get, iq_result};
use spectrum2_xmpp::xep_0030::{self, Identity, Info};
use spectrum2_xmpp::xep_0115::Caps;
use spectrum2_xmpp::{Element, ns};

use super::context::Context;

/// Where our capabilities are described: the `node` of XEP-0115 §4.
const NODE: &str = "https://spectrum.im/";

/// What our presences carry (XEP-0115 §4), computed once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hashes {
    gateway: Element,
    contact: Element,
}

impl Hashes {
    /// To be renewed when the backends' capabilities or the configuration change.
    pub fn compute(config: &Config, capabilities: &Capabilities) -> Self {
        let caps = |info| Caps::of(NODE, &info).element();
        Self {
            gateway: caps(gateway_info(config, capabilities)),
            contact: caps(contact_info(config, capabilities)),
        }
    }
}

fn gateway_info(config: &Config, capabilities: &Capabilities) -> Info {
    let identity = &config.identity;
    let features = [
        ns::CAPS,
        ns::COMMANDS,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::GATEWAY,
        ns::PING,
        ns::REGISTER,
        ns::VCARD,
        ns::VERSION,
    ];
    let info = Info::default()
        .identity(Identity::new(identity.category.clone(), identity.kind.clone()).name(identity.name.clone()))
        .features(&features);
    if capabilities.muc != Some(true) {
        return info;
    }
    // XEP-0045 §6.1.
    info.identity(Identity::new("conference", "text").name(identity.name.clone()))
        .features(&[ns::MUC, ns::RSM])
}

fn contact_info(config: &Config, capabilities: &Capabilities) -> Info {
    let features = [
        ns::ATTENTION,
        ns::CAPS,
        ns::CHATSTATES,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::PING,
        ns::VCARD,
        ns::XHTML_IM,
    ];
    let receipts: &[_] = if capabilities.receipts == Some(true) { &[ns::RECEIPTS] } else { &[] };
    Info::default()
        .identity(Identity::new("client", "pc").name(config.identity.name.clone()))
        .features(&features)
        .features(receipts)
}

/// The caps of the gateway's own presence.
pub fn gateway_caps(cx: &Context) -> Element {
    cx.hashes.gateway.clone()
}

/// The caps of every contact's presence.
pub fn contact_caps(cx: &Context) -> Element {
    cx.hashes.contact.clone()
}

/// Answers disco#info to the gateway or to a contact.
pub fn info(cx: &mut Context, iq: &Element, query: &Element, to_gateway: bool) {
    let (info, caps) = if to_gateway {
        (gateway_info(&cx.config, &cx.capabilities), &cx.hashes.gateway)
    } else {
        (contact_info(&cx.config, &cx.capabilities), &cx.hashes.contact)
    };
    let asked = query.attr("node");
    // XEP-0115 §6.2: what is announced is asked for under `node#ver`.
    let announced = |asked: &str| {
        let rest = asked.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#'));
        rest.is_some() && rest == caps.attr("ver")
    };
    if asked.is_none_or(announced) {
        cx.send(iq_result(iq).child(info.node(asked).element()));
    } else {
        cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "");
    }
}

/// Answers disco#items: there are none.
pub fn items(cx: &mut Context, iq: &Element, query: &Element) {
    cx.send(iq_result(iq).child(xep_0030::items(query.attr("node"), [])));
}

/// A disco#info request to a client.
pub fn ask(cx: &mut Context, to: &Jid) -> Element {
    let id = cx.id();
    iq_get(&cx.jid, to, id).child(xep_0030::info_query(None))
}

/// Whether a client takes roster item exchanges, if its kind answered before.
pub fn known_client(cx: &Context, presence: &Element) -> Option<bool> {
    cx.clients.get(&Caps::read(presence)?.query_node()).copied()
}
