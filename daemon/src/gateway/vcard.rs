//! vCards (XEP-0054) and avatars (XEP-0153): those of contacts for the user, the user's own for the network.

use jid::Jid;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Frame, VCard};
use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_get, iq_result};
use spectrum2_xmpp::{Element, ns, xep_0054};

use super::context::{Context, LABEL, Query, clip};
use super::event::Time;
use super::muc::nick_of;
use super::timer::Timer;
use super::user::User;

/// vCards that one user may be waiting for.
const WAITING: usize = 200;
/// Larger pictures are left out: the whole stanza must get through every XMPP server.
const PHOTO: usize = 256 * 1024;
/// How long the network has.
const ANSWER: u64 = 40_000;

/// A vCard that a client waits for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The iq without its payload.
    iq: Element,
    /// Name of the contact, for want of a better answer.
    alias: String,
    /// Then it gets what is known.
    until: Time,
}

impl User {
    /// A client asks for the vCard of a contact.
    pub fn vcard_wanted(&mut self, cx: &mut Context, node: &str, iq: &Element) {
        let Some(link) = self.online() else {
            cx.refuse(iq, ErrorType::Auth, Condition::NotAllowed, "You are not logged in to the network");
            return;
        };
        if self.vcards.len() >= WAITING {
            cx.refuse(
                iq,
                ErrorType::Wait,
                Condition::ResourceConstraint,
                "Too many vCards are being asked for",
            );
            return;
        }
        if self.rooms.at(node).is_none() && self.is_for_occupant(cx, node, iq) {
            cx.refuse(iq, ErrorType::Modify, Condition::NotAcceptable, "You are not in the room");
            return;
        }
        let name = match (self.rooms.at(node), nick_of(iq)) {
            (None, _) => self.contacts.legacy_name(node),
            (Some(room), Some(shown)) => match room.occupants.nick_of(&shown) {
                Some(nick) => format!("{}/{nick}", room.name),
                None => {
                    cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "Nobody has this nick here");
                    return;
                }
            },
            (Some(_), None) => {
                cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "The room has no vCard");
                return;
            }
        };
        self.last_vcard = self.last_vcard.wrapping_add(1).max(1);
        let id = self.last_vcard;
        let alias =
            self.contacts.by_node(node).map(|contact| contact.stored.alias.clone()).unwrap_or_default();
        let mut head = iq.clone();
        head.take_nodes();
        self.vcards.insert(id, Request { iq: head, alias, until: cx.now.after(ANSWER) });
        cx.timers.set_once(Timer::VCards(self.jid.clone()), cx.now.after(ANSWER));
        let request = VCard { user_name: self.jid.to_string(), buddy_name: name, id, ..Default::default() };
        cx.frame(link, Frame::VCard(request));
    }

    /// The network tells what it knows of somebody. Ids are the user's own: nobody answers for another.
    pub fn network_vcard(&mut self, cx: &mut Context, vcard: VCard) {
        let Some(request) = self.vcards.remove(&vcard.id) else { return };
        let full_name = vcard.fullname.filter(|name| !name.is_empty()).unwrap_or(request.alias);
        let full_name = clip(full_name, LABEL);
        let card = xep_0054::VCard {
            full_name: Some(full_name).filter(|name| !name.is_empty()),
            nickname: vcard.nickname.filter(|name| !name.is_empty()).map(|name| clip(name, LABEL)),
            photo: vcard
                .photo
                .filter(|photo| !photo.is_empty() && photo.len() <= PHOTO)
                .map(xep_0054::Photo::new),
            description: None,
        };
        cx.send(iq_result(&request.iq).child(card.element()));
    }

    /// The network did not answer: the client gets what is known.
    pub fn expire_vcards(&mut self, cx: &mut Context) {
        let now = cx.now;
        let late: Vec<i32> = self.vcards.iter().filter(|(_, r)| r.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            self.network_vcard(cx, VCard { id, ..Default::default() });
        }
        if let Some(until) = self.vcards.values().map(|request| request.until).min() {
            cx.timers.set(Timer::VCards(self.jid.clone()), until);
        }
    }

    /// A client sets the user's vCard through us: it is for the network.
    pub fn vcard_set(&mut self, cx: &mut Context, iq: &Element) {
        let (Some(link), Some(card)) = (self.online(), iq.find("vCard", ns::VCARD)) else {
            cx.refuse(iq, ErrorType::Auth, Condition::NotAllowed, "You are not logged in to the network");
            return;
        };
        if let Err(error) = xep_0054::Photo::read(card) {
            cx.refuse(iq, ErrorType::Modify, Condition::NotAcceptable, &error.to_string());
            return;
        }
        self.send_own_vcard(cx, link, xep_0054::VCard::read(card));
        cx.send(iq_result(iq));
    }

    fn send_own_vcard(&self, cx: &mut Context, link: super::event::Link, card: xep_0054::VCard) {
        let frame = VCard {
            user_name: self.jid.to_string(),
            buddy_name: String::new(),
            id: 0,
            fullname: card.full_name,
            nickname: card.nickname,
            // COMPAT(Spectrum 2 backends): a photo, even an empty one, is what tells an update from a request.
            photo: Some(card.photo.map(|photo| photo.data).unwrap_or_default()),
        };
        cx.frame(link, Frame::VCard(frame));
    }

    /// XEP-0153 §4.2: the user's avatar is another one. It is fetched once, for the network.
    pub fn check_avatar(&mut self, cx: &mut Context) {
        let Some(hash) = self.best().and_then(|(_, resource)| resource.photo.clone()) else { return };
        let known = self.settings.iter().any(|(var, value)| var == "photohash" && *value == hash);
        if known || self.online().is_none() {
            return;
        }
        let id = cx.id();
        let iq = iq_get(&cx.jid, &self.jid, id).child(xep_0054::query());
        cx.query(&self.jid, Jid::from(self.jid.clone()), iq, Query::OwnVCard(hash));
    }

    /// The user's own vCard, asked for because of its new avatar.
    pub fn own_vcard(&mut self, cx: &mut Context, card: Option<&Element>, hash: String) {
        let (Some(link), Some(card)) = (self.online(), card) else { return };
        self.send_own_vcard(cx, link, xep_0054::VCard::read(card));
        self.set_setting(cx, "photohash", 13, hash);
    }
}
