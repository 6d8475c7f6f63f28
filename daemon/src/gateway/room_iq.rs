//! Requests about rooms: what there are (XEP-0030, XEP-0059), what one is, whether one is in it (XEP-0410), and what
//! moderators want (XEP-0045 §8–9).

use spectrum2_backend_protocol::{
    Affiliation, Frame, MessageResult, Role, RoomCommand, RoomListRequest, RoomWish,
};
use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_result};
use spectrum2_xmpp::xep_0004::{Field, FieldType, Form, FormType};
use spectrum2_xmpp::xep_0030::{self, Identity, Info, Item};
use spectrum2_xmpp::xep_0059::{self, Request};
use spectrum2_xmpp::{Element, ns};

use super::Time;
use super::context::Context;
use super::muc::nick_of;
use super::presence;
use super::room::{Room, affiliation_name, role_name};
use super::room_name;
use super::timer::Timer;
use super::user::User;

/// A list of rooms is asked for again after this time.
const FRESH: u64 = 60_000;
/// Who may wait for a list.
const ASKING: usize = 20;
/// Rooms on one page, so that a stanza stays below what servers accept.
const PAGE: usize = 500;
/// Outcasts of one room that are listed.
const OUTCASTS: usize = 500;
/// Commands of moderators that may be under way.
const COMMANDS: usize = 50;
/// So long may the network take for an answer.
const PATIENCE: u64 = 60_000;

/// A moderator's command, a subject or an invitation whose result is awaited.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Awaited {
    serial: u64,
    /// The serial of the first part of what the stanza wants.
    first: u64,
    stanza: Element,
    /// Until then.
    due: Time,
}

/// Whether a request may be about a room, so that its answer depends on who asks.
pub fn is_for_room(cx: &Context, iq: &Element, payload: &Element, node: Option<&str>) -> bool {
    if cx.capabilities.muc == Some(false) {
        return false;
    }
    let nick = nick_of(iq);
    match (payload.ns(), node) {
        (ns::DISCO_ITEMS, None) => payload.attr("node").is_none(),
        (ns::DISCO_INFO | ns::DISCO_ITEMS, Some(_)) => nick.is_none() && payload.attr("node").is_none(),
        (ns::PING, Some(node)) => {
            nick.is_some_and(|nick| nick != "bot" || cx.is_no_persons_name(&room_name::name(node)))
        }
        (ns::MUC_ADMIN | ns::MUC_OWNER, Some(_)) => true,
        // XEP-0313 §3.3.2: the archive is at the room's bare JID.
        (ns::MAM, Some(_)) => nick.is_none(),
        _ => false,
    }
}

impl User {
    /// A request that [`is_for_room`].
    pub fn room_request(&mut self, cx: &mut Context, iq: &Element, payload: &Element, node: Option<&str>) {
        let get = iq.attr("type") == Some("get");
        match (payload.ns(), node) {
            (ns::DISCO_ITEMS, None) => self.list_rooms(cx, iq),
            // XEP-0045 §6.5: who is in a room is for those who are there to see.
            (ns::DISCO_ITEMS, Some(_)) => cx.send(iq_result(iq).child(xep_0030::items(None, []))),
            (ns::DISCO_INFO, Some(node)) => self.describe(cx, iq, payload, node),
            (ns::PING, Some(node)) => self.self_ping(cx, iq, node),
            (ns::MAM, Some(node)) => self.archive_request(cx, iq, payload, node),
            (ns::MUC_ADMIN, Some(node)) if get => self.list_affiliations(cx, iq, payload, node),
            (ns::MUC_ADMIN, Some(node)) => self.moderate(cx, iq, payload, node),
            (ns::MUC_OWNER, Some(node)) if !get && payload.find("destroy", ns::MUC_OWNER).is_some() => {
                self.destroy(cx, iq, payload, node);
            }
            _ => {
                let text = "The network's rooms cannot be configured from here";
                cx.refuse(iq, ErrorType::Cancel, Condition::NotAllowed, text);
            }
        }
    }

    /// The network's rooms, asked for when somebody wants to know, and not before.
    fn list_rooms(&mut self, cx: &mut Context, iq: &Element) {
        let fresh = self.rooms.listed.is_some_and(|at| cx.now.since(at) < FRESH);
        let waiting = !self.rooms.asking.is_empty();
        match self.online() {
            Some(link) if !fresh && self.has_room_extension(cx) && self.rooms.asking.len() < ASKING => {
                let due = self.answer_due(cx);
                self.rooms.asking.push((due, iq.clone()));
                if !waiting {
                    let user_name = self.jid.to_string();
                    cx.frame(link, Frame::ListRooms(RoomListRequest { user_name }));
                }
            }
            _ => self.answer_with_rooms(cx, iq),
        }
    }

    /// One page of the rooms that are known.
    pub fn answer_with_rooms(&self, cx: &mut Context, iq: &Element) {
        let request = iq.elements().next().and_then(Request::read);
        let wanted = request.clone().unwrap_or_default();
        // What is listed for everybody, and what is for this user only.
        let merged: Vec<super::room::Listed>;
        let list = if cx.rooms.is_empty() {
            &self.rooms.list
        } else {
            let own = |room: &super::room::Listed| {
                self.rooms.list.binary_search_by(|own| own.jid.cmp(&room.jid)).is_ok()
            };
            let general = cx.rooms.iter().filter(|room| !own(room));
            let mut all: Vec<_> = self.rooms.list.iter().chain(general).cloned().collect();
            all.sort_by(|one, other| one.jid.cmp(&other.jid));
            merged = all;
            &merged
        };
        let Some((start, page)) = wanted.page(list, |room| room.jid.as_str(), PAGE) else {
            cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "");
            return;
        };
        let items = page.iter().map(|room| {
            let (jid, name) = (room.jid.clone(), Some(room.title.clone()));
            Item { jid, node: None, name }
        });
        let mut query = xep_0030::items(None, items);
        // XEP-0045 §6.3: also where nobody asked for pages, it must be said that this is not all.
        if request.is_some() || page.len() < list.len() {
            let id = |room: Option<&super::room::Listed>| room.map(|room| room.jid.clone());
            let (first, last) = (id(page.first()), id(page.last()));
            query.push(xep_0059::answer(start, first.as_deref(), last.as_deref(), list.len()));
        }
        cx.send(iq_result(iq).child(query));
    }

    /// XEP-0045 §6.4. A name that is no contact's is taken for that of a room, if rooms can have it.
    fn describe(&mut self, cx: &mut Context, iq: &Element, query: &Element, node: &str) {
        let is_person =
            self.contacts.by_node(node).is_some() || !cx.is_room_name(&self.rooms.legacy_name(cx, node));
        if is_person && self.rooms.at(node).is_none() {
            super::disco::info(cx, iq, query, false);
            return;
        }
        let jid = cx.contact_bare(node);
        let listed = self.rooms.list.iter().chain(&cx.rooms).find(|listed| listed.jid == jid);
        let name = listed.map_or_else(|| self.rooms.legacy_name(cx, node), |listed| listed.name.clone());
        let mut form = Form::new(FormType::Result).field(Field::hidden("FORM_TYPE", ns::MUC_ROOM_INFO));
        let fact = |var: &str, value: String| Field::new(FieldType::TextSingle, var).value(value);
        if let Some(title) = listed.map(|listed| &listed.title).filter(|title| **title != name) {
            form = form.field(fact("muc#roominfo_description", title.clone()));
        }
        if let Some(room) = self.rooms.at(node).filter(|room| room.is_entered()) {
            let subject = room.subject.as_ref().map(|(text, _)| text.clone()).unwrap_or_default();
            form = form
                .field(fact("muc#roominfo_subject", subject))
                .field(fact("muc#roominfo_occupants", room.occupants.len().to_string()));
        }
        let features = [
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::MUC,
            ns::MUC_SELF_PING,
            ns::MUC_STABLE_ID,
            ns::OCCUPANT_ID,
            ns::SID,
            // Occupants are not shown with JIDs outside of the room.
            "muc_semianonymous",
        ];
        let mut info =
            Info::default().identity(Identity::new("conference", "text").name(name)).features(&features);
        if self.registration.is_some() && cx.archive_size() > 0 {
            info = info.features(&[ns::MAM, ns::MAM_EXTENDED]);
        }
        info.forms.push(form);
        cx.send(iq_result(iq).child(info.element()));
    }

    /// XEP-0410 §3.3: a ping to one's own nick is answered by us: who is in the room, we know.
    fn self_ping(&mut self, cx: &mut Context, iq: &Element, node: &str) {
        let client = iq.attr("from").and_then(|from| from.split_once('/')).map(|(_, client)| client);
        let nick = nick_of(iq).unwrap_or_default();
        let room = self
            .rooms
            .at(node)
            .filter(|room| room.is_entered() && client.is_some_and(|c| room.clients.contains_key(c)));
        match room {
            None => cx.refuse(iq, ErrorType::Cancel, Condition::NotAcceptable, "You are not in the room"),
            Some(room) if nick == room.shown(&room.nick) => cx.send(iq_result(iq)),
            Some(room) if room.occupants.nick_of(&nick).is_some() => {
                cx.refuse(iq, ErrorType::Cancel, Condition::ServiceUnavailable, "");
            }
            Some(_) => cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, ""),
        }
    }

    fn entered(&self, iq: &Element, node: &str) -> Option<&Room> {
        let from: jid::Jid = iq.attr("from")?.parse().ok()?;
        let client = presence::resource(&from)?;
        self.rooms.at(node).filter(|room| room.is_entered() && room.clients.contains_key(client))
    }

    /// XEP-0045 §8.5, §9: those who have a role or an affiliation, of the occupants.
    fn list_affiliations(&mut self, cx: &mut Context, iq: &Element, query: &Element, node: &str) {
        let Some(room) = self.entered(iq, node) else {
            cx.refuse(iq, ErrorType::Auth, Condition::Forbidden, "You are not in the room");
            return;
        };
        let wanted = query.find("item", ns::MUC_ADMIN);
        let role = wanted.and_then(|item| item.attr("role")).and_then(role_of);
        let affiliation = wanted.and_then(|item| item.attr("affiliation")).and_then(affiliation_of);
        if role.is_none() && affiliation.is_none() {
            cx.refuse(iq, ErrorType::Modify, Condition::BadRequest, "Say which role or affiliation");
            return;
        }
        if affiliation == Some(Affiliation::Outcast) {
            // §9.2: who is banned is not there: only the network knows.
            let command = wish(room, RoomWish::Outcasts);
            return self.ask_network(cx, iq, vec![command]);
        }
        let items = room.occupants.iter().filter(|(_, occupant)| {
            role.is_none_or(|role| role == occupant.role)
                && affiliation.is_none_or(|affiliation| affiliation == occupant.affiliation)
        });
        let items = items.map(|(nick, occupant)| {
            Element::new("item", ns::MUC_ADMIN)
                .with("jid", room.occupant_jid(cx, nick))
                .with("nick", room.shown(nick))
                .with("affiliation", affiliation_name(occupant.affiliation))
                .with("role", role_name(occupant.role))
        });
        let answer = Element::new("query", ns::MUC_ADMIN).children_from(items.collect::<Vec<_>>());
        cx.send(iq_result(iq).child(answer));
    }

    /// Roles or affiliations for some people (XEP-0045 §9: lists are changed with several items at once); answered when
    /// the network has.
    fn moderate(&mut self, cx: &mut Context, iq: &Element, query: &Element, node: &str) {
        let Some(room) = self.entered(iq, node) else {
            cx.refuse(iq, ErrorType::Auth, Condition::Forbidden, "You are not in the room");
            return;
        };
        let items = query.elements().filter(|child| child.is("item", ns::MUC_ADMIN));
        match items.map(|item| self.standing(cx, room, item)).collect::<Option<Vec<_>>>() {
            Some(commands) if !commands.is_empty() => self.ask_network(cx, iq, commands),
            _ => {
                let text = "Say for which occupant, or for whom on the network behind this gateway, and what";
                cx.refuse(iq, ErrorType::Modify, Condition::BadRequest, text);
            }
        }
    }

    /// XEP-0045 §10.9.
    fn destroy(&mut self, cx: &mut Context, iq: &Element, query: &Element, node: &str) {
        let Some(room) = self.entered(iq, node) else {
            cx.refuse(iq, ErrorType::Auth, Condition::Forbidden, "You are not in the room");
            return;
        };
        let destroy = query.find("destroy", ns::MUC_OWNER);
        let text = destroy.and_then(|destroy| destroy.child_text("reason", ns::MUC_OWNER));
        let text = text.map(std::borrow::Cow::into_owned);
        let command = RoomCommand { text, ..wish(room, RoomWish::Destroy) };
        self.ask_network(cx, iq, vec![command]);
    }

    /// Asks the network for something; answered when it has done all of it, or not a part of it.
    fn ask_network(&mut self, cx: &mut Context, iq: &Element, commands: Vec<RoomCommand>) {
        match self.online() {
            Some(_) if !self.has_room_extension(cx) => {
                let text = "The network does not let you do that from here";
                cx.refuse(iq, ErrorType::Cancel, Condition::NotAllowed, text);
            }
            Some(link) => {
                let Some(serials) = self.await_results(cx, iq, commands.len()) else { return };
                for (serial, command) in serials.zip(commands) {
                    let user_name = self.jid.to_string();
                    cx.frame(link, Frame::RoomCommand(RoomCommand { serial, user_name, ..command }));
                }
            }
            None => {
                let text = "You are not logged in to the network";
                cx.refuse(iq, ErrorType::Wait, Condition::RecipientUnavailable, text);
            }
        }
    }

    /// The number under which the network's answer to a stanza will come; the stanza is refused if too many wait.
    pub fn await_result(&mut self, cx: &mut Context, stanza: &Element) -> Option<u64> {
        self.await_results(cx, stanza, 1)?.next()
    }

    /// The same for something of several parts.
    fn await_results(
        &mut self,
        cx: &mut Context,
        stanza: &Element,
        parts: usize,
    ) -> Option<impl Iterator<Item = u64> + use<>> {
        if self.commands.len() + parts > COMMANDS {
            let text = "Too many things are being asked of the network already";
            cx.refuse(stanza, ErrorType::Wait, Condition::ResourceConstraint, text);
            return None;
        }
        let (first, due) = (self.last_serial + 1, self.answer_due(cx));
        // The answer needs no more than the head.
        let mut head = stanza.clone();
        if stanza.name() == "iq" {
            head.take_nodes();
        }
        for _ in 0..parts {
            self.last_serial += 1;
            self.commands.push(Awaited { serial: self.last_serial, first, stanza: head.clone(), due });
        }
        Some(first..=self.last_serial)
    }

    /// Until when the network has to answer what it is asked now.
    fn answer_due(&self, cx: &mut Context) -> Time {
        let due = cx.now.after(PATIENCE);
        cx.timers.set_earlier(Timer::Rooms(self.jid.clone()), due);
        due
    }

    /// What the network did not answer in time is answered by us. Gives when the next is due.
    pub fn expire_answers(&mut self, cx: &mut Context) -> Option<Time> {
        let late: Vec<_> = self.commands.extract_if(.., |awaited| awaited.due <= cx.now).collect();
        for stanza in stanzas(late) {
            let text = "The network did not answer";
            cx.refuse(&stanza, ErrorType::Wait, Condition::RemoteServerTimeout, text);
        }
        let late: Vec<_> = self.rooms.asking.extract_if(.., |(due, _)| *due <= cx.now).collect();
        for (_, iq) in late {
            self.answer_with_rooms(cx, &iq);
        }
        let lists = self.rooms.asking.iter().map(|(due, _)| *due);
        self.commands.iter().map(|awaited| awaited.due).chain(lists).min()
    }

    /// What an item wants; none if it does not say whom, or what.
    fn standing(&self, cx: &Context, room: &Room, item: &Element) -> Option<RoomCommand> {
        let role = item.attr("role").and_then(role_of);
        let affiliation = item.attr("affiliation").and_then(affiliation_of);
        if role.is_none() && affiliation.is_none() {
            return None;
        }
        let jid = item.attr("jid").and_then(|jid| jid.parse::<jid::Jid>().ok());
        let nickname = match (item.attr("nick"), jid) {
            (Some(shown), _) => room.occupants.nick_of(shown).unwrap_or(shown).to_owned(),
            (None, Some(jid)) if jid.domain() == cx.jid.domain() => match presence::resource(&jid) {
                Some(shown) => room.occupants.nick_of(shown).unwrap_or(shown).to_owned(),
                None => self.contacts.legacy_name(jid.node()?.as_str()),
            },
            _ => return None,
        };
        Some(RoomCommand {
            nickname,
            role: role.map(i32::from),
            affiliation: affiliation.map(i32::from),
            text: item.child_text("reason", ns::MUC_ADMIN).map(std::borrow::Cow::into_owned),
            ..wish(room, RoomWish::Standing)
        })
    }

    /// There is nobody any more who could carry out what was asked of the network, or list its rooms.
    pub fn forget_commands(&mut self, cx: &mut Context) {
        for (_, iq) in std::mem::take(&mut self.rooms.asking) {
            self.answer_with_rooms(cx, &iq);
        }
        for stanza in stanzas(std::mem::take(&mut self.commands)) {
            cx.refuse(
                &stanza,
                ErrorType::Wait,
                Condition::RecipientUnavailable,
                "The connection to the network broke",
            );
        }
    }

    /// The network has done what was asked of it, or has not; `false` if the result is of something else.
    pub fn command_result(&mut self, cx: &mut Context, result: &MessageResult) -> bool {
        let Some(place) = self.commands.iter().position(|awaited| awaited.serial == result.serial) else {
            return false;
        };
        let Awaited { stanza, first, .. } = self.commands.remove(place);
        if result.error.is_some() {
            // One answer is for all parts.
            self.commands.retain(|awaited| awaited.first != first);
        } else if self.commands.iter().any(|awaited| awaited.first == first) {
            return true;
        }
        let text = result.text.as_deref().unwrap_or_default();
        match result.error {
            // A subject that was set comes from the room (XEP-0045 §8.1), an invitation is answered by the guest.
            None if stanza.name() != "iq" => {}
            None if stanza.attr("type") == Some("get") => {
                let outcasts = result.names.iter().take(OUTCASTS).filter_map(|name| {
                    let jid = cx.contact_bare(&self.node_for(cx, name)?);
                    Some(Element::new("item", ns::MUC_ADMIN).with("affiliation", "outcast").with("jid", jid))
                });
                let query = Element::new("query", ns::MUC_ADMIN).children_from(outcasts.collect::<Vec<_>>());
                cx.send(iq_result(&stanza).child(query));
            }
            None => cx.send(iq_result(&stanza)),
            // XEP-0045 §8–10.
            Some(_) if result.denied == Some(true) => {
                cx.refuse(&stanza, ErrorType::Auth, Condition::Forbidden, text);
            }
            Some(_) => cx.refuse(&stanza, ErrorType::Cancel, Condition::NotAllowed, text),
        }
        true
    }
}

/// The stanzas to answer: each once, however many parts of it are awaited.
fn stanzas(mut awaited: Vec<Awaited>) -> impl Iterator<Item = Element> {
    awaited.dedup_by_key(|awaited| awaited.first);
    awaited.into_iter().map(|awaited| awaited.stanza)
}

/// What is wanted of a room; the rest is to be said.
fn wish(room: &Room, what: RoomWish) -> RoomCommand {
    let what = (what != RoomWish::Standing).then(|| what.into());
    RoomCommand { room: room.name.clone(), what, ..RoomCommand::default() }
}

fn role_of(name: &str) -> Option<Role> {
    [Role::None, Role::Visitor, Role::Participant, Role::Moderator]
        .into_iter()
        .find(|r| role_name(*r) == name)
}

fn affiliation_of(name: &str) -> Option<Affiliation> {
    let all = [
        Affiliation::Outcast,
        Affiliation::None,
        Affiliation::Member,
        Affiliation::Admin,
        Affiliation::Owner,
    ];
    all.into_iter().find(|affiliation| affiliation_name(*affiliation) == name)
}
