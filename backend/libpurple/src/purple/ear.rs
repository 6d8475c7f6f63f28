//! What prpl-irc and prpl-jabber hear but do not pass on: why a room could not be joined, why somebody left it, who
//! did it, what an occupant may do.
//!
//! Both plugins show each line or stanza before they handle it. What is of use is kept until then, and joined to what
//! libpurple tells of the same.

use std::cell::{Cell, RefCell};

use libpurple_sys as sys;
use spectrum2_backend_protocol::{Affiliation, Role, RoomReason};

use super::account::AccountId;
use super::callback::participant;
use super::event::{Card, Denial, Departure, Event, IdPrefix, push};
use super::{c_text, copy, take};

/// What a stanza says of an occupant who is in a room.
#[derive(Debug, Clone)]
pub(super) struct Occupant {
    room: String,
    nick: String,
    pub(super) role: Role,
    pub(super) affiliation: Affiliation,
    pub(super) own: bool,
    pub(super) contact: String,
    pub(super) show: String,
    pub(super) text: String,
    pub(super) photo: String,
}

/// Who is leaving, where, and why.
#[derive(Debug, Clone)]
struct Leaving {
    /// Empty: every room.
    room: String,
    nick: String,
    departure: Departure,
}

/// The id of requests for vCards, before the number.
pub const CARD_ID: &str = "spectrum2-card-";

/// The id of requests for bookmarks.
pub const BOOKMARKS_ID: &str = "spectrum2-bookmarks";

const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

thread_local! {
    /// Who sent the invitation that is being handled; prpl-jabber may name the room.
    static INVITER: RefCell<String> = const { RefCell::new(String::new()) };
    static OCCUPANT: RefCell<Option<Occupant>> = const { RefCell::new(None) };
    static LEAVING: RefCell<Option<Leaving>> = const { RefCell::new(None) };
    /// What is being handled was told already, so the plugin's own notice would tell it again.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Something new is being handled.
fn begin() {
    OCCUPANT.set(None);
    LEAVING.set(None);
    INVITER.set(String::new());
    TOLD.set(false);
}

/// Whether a notice would repeat what was told.
pub(super) fn was_told() -> bool {
    TOLD.get()
}

/// Who sent the invitation that is being handled; empty if nothing better than what libpurple says is known.
pub(super) fn inviter() -> String {
    INVITER.with_borrow(String::clone)
}

/// What is known of an occupant who is just being mentioned.
pub(super) fn occupant(room: &str, nick: &str) -> Option<Occupant> {
    let is_it = |occupant: &&Occupant| same(&occupant.room, room) && occupant.nick == nick;
    OCCUPANT.with_borrow(|occupant| occupant.as_ref().filter(is_it).cloned())
}

/// Why somebody is just leaving a room.
pub(super) fn departure(room: &str, nick: &str) -> Option<Departure> {
    let is_it = |leaving: &&Leaving| {
        (leaving.room.is_empty() || same(&leaving.room, room)) && same(&leaving.nick, nick)
    };
    LEAVING.with_borrow(|leaving| leaving.as_ref().filter(is_it).map(|leaving| leaving.departure.clone()))
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// prpl-irc is going to handle this line.
pub(super) fn irc_line(account: AccountId, connected: bool, line: &str) {
    begin();
    let Some(line) = Line::parse(line) else { return };
    let param = |place: usize| line.params.get(place).map(|text| (*text).to_owned()).unwrap_or_default();
    let last = || line.params.last().map(|text| (*text).to_owned()).unwrap_or_default();
    let leaving = |room: String, nick: String, reason: RoomReason, actor: &str, text: String| {
        let departure = Departure { reason, actor: actor.to_owned(), text };
        LEAVING.set(Some(Leaving { room, nick, departure }));
    };
    match line.command {
        "KICK" => leaving(param(0), param(1), RoomReason::Kicked, line.nick, param(2)),
        "PART" => leaving(param(0), line.nick.to_owned(), RoomReason::Other, "", param(1)),
        "QUIT" => leaving(String::new(), line.nick.to_owned(), RoomReason::Other, "", param(0)),
        numeric => {
            if let Some(reason) = refusal(numeric).filter(|_| numeric == "403" || is_channel(&param(1))) {
                TOLD.set(true);
                push(Event::RoomRefused(account, param(1), reason, last()));
            } else if let Some(reason) = nick_refusal(numeric).filter(|_| connected) {
                TOLD.set(true);
                push(Event::NickRefused(account, reason, last()));
            } else if numeric == "367" {
                TOLD.set(true);
                push(Event::Banned(account, param(1), param(2)));
            } else if numeric == "368" {
                TOLD.set(true);
            } else if numeric == "302" {
                push(Event::Hosts(account, hosts(&last())));
            } else if numeric == "PONG" {
                IdPrefix::strip(&last())
                    .into_iter()
                    .for_each(|number| push(Event::Answered(account, number)));
            } else if let Some(no_right) = denial(numeric) {
                let told = numeric == "401";
                TOLD.set(!told);
                let names = line.params.iter().skip(1).take(line.params.len().saturating_sub(2));
                let names = names.map(|name| (*name).to_owned()).collect();
                let denial = Denial { no_right, told, text: last() };
                push(Event::Denied(account, names, denial));
            }
        }
    }
}

/// RFC 2812 §5.1, RPL_USERHOST: nick, `*` for an operator, `=`, `+` or `-`, user and host.
fn hosts(replies: &str) -> Vec<(String, String, String)> {
    let host = |reply: &str| {
        let (nick, rest) = reply.split_once('=')?;
        let (user, host) = rest.get(1..)?.split_once('@')?;
        Some((nick.trim_end_matches('*').to_owned(), user.to_owned(), host.to_owned()))
    };
    replies.split(' ').filter_map(host).collect()
}

fn is_channel(name: &str) -> bool {
    name.starts_with(['#', '&', '+', '!'])
}

/// RFC 2812 §5.2: errors of JOIN.
fn refusal(numeric: &str) -> Option<RoomReason> {
    Some(match numeric {
        "403" | "476" => RoomReason::NotFound,
        "405" => RoomReason::TooMany,
        "407" | "437" | "489" | "520" => RoomReason::NotAllowed,
        "471" => RoomReason::Full,
        "473" | "477" => RoomReason::MembersOnly,
        "474" => RoomReason::Banned,
        "475" => RoomReason::Password,
        _ => return None,
    })
}

/// RFC 2812 §5.2: errors of PRIVMSG, TOPIC, MODE, KICK and INVITE in channels; whether it is a right that is missing.
fn denial(numeric: &str) -> Option<bool> {
    match numeric {
        "404" | "482" | "485" => Some(true),
        "401" | "441" | "442" | "443" | "472" | "478" => Some(false),
        _ => None,
    }
}

/// RFC 2812 §5.2: errors of NICK.
fn nick_refusal(numeric: &str) -> Option<RoomReason> {
    Some(match numeric {
        "432" => RoomReason::BadNick,
        "433" | "436" | "437" => RoomReason::NickTaken,
        "438" | "447" | "484" => RoomReason::NotAllowed,
        _ => return None,
    })
}

/// A line of IRC (RFC 2812 §2.3.1).
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    nick: &'a str,
    command: &'a str,
    params: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim_end_matches(['\r', '\n']);
        // IRCv3 message tags.
        let line = line.strip_prefix('@').map_or(line, |rest| rest.split_once(' ').unwrap_or_default().1);
        let (prefix, line) = match line.strip_prefix(':') {
            Some(rest) => rest.split_once(' ')?,
            None => ("", line),
        };
        let (middle, trailing) = match line.split_once(" :") {
            Some((middle, trailing)) => (middle, Some(trailing)),
            None => (line, None),
        };
        let mut words = middle.split(' ').filter(|word| !word.is_empty());
        let command = words.next()?;
        let nick = prefix.split(['!', '@']).next().unwrap_or_default();
        Some(Self { nick, command, params: words.chain(trailing).collect() })
    }
}

/// prpl-jabber is going to handle this stanza.
///
/// # Safety
/// Account and `stanza` live.
pub(super) unsafe fn stanza(
    account: AccountId,
    purple_account: *mut sys::PurpleAccount,
    stanza: *mut sys::xmlnode,
) {
    begin();
    // SAFETY: the caller's promise.
    unsafe {
        answer(account, stanza);
        if copy((*stanza).name) == "iq" {
            bookmarks(account, purple_account, stanza);
            card(account, stanza);
            return;
        }
        if copy((*stanza).name) == "message" {
            let invite = child(stanza, "x", MUC_USER).and_then(|x| child(x, "invite", ""));
            INVITER.set(invite.map(|invite| attribute(invite, c"from")).unwrap_or_default());
            return;
        }
        if copy((*stanza).name) != "presence" {
            return;
        }
        let from = attribute(stanza, c"from");
        let Some((room, nick)) = from.split_once('/').or_else(|| from.contains('@').then_some((&*from, "")))
        else {
            return;
        };
        let kind = attribute(stanza, c"type");
        if kind == "error" {
            if let Some(error) = child(stanza, "error", "") {
                let (reason, text) = refusal_of(error);
                TOLD.set(true);
                push(Event::RoomRefused(account, room.to_owned(), reason, text));
            }
            return;
        }
        let Some(x) = child(stanza, "x", MUC_USER) else { return };
        let item = child(x, "item", "");
        let item_attribute = |name| item.map(|item| attribute(item, name)).unwrap_or_default();
        if kind == "unavailable" {
            let departure = departure_of(stanza, x, item);
            LEAVING.set(Some(Leaving { room: room.to_owned(), nick: nick.to_owned(), departure }));
            push(Event::RoomVacated(account, room.to_owned(), nick.to_owned()));
        } else if kind.is_empty() {
            let occupant = Occupant {
                room: room.to_owned(),
                nick: nick.to_owned(),
                role: role(&item_attribute(c"role")),
                affiliation: affiliation(&item_attribute(c"affiliation")),
                own: has_code(x, "110"),
                contact: item_attribute(c"jid").split('/').next().unwrap_or_default().to_owned(),
                show: child(stanza, "show", "").map(|node| data(node)).unwrap_or_default(),
                text: child(stanza, "status", "").map(|node| data(node)).unwrap_or_default(),
                photo: child(stanza, "x", "vcard-temp:x:update")
                    .and_then(|x| child(x, "photo", ""))
                    .map(|photo| data(photo))
                    .unwrap_or_default(),
            };
            OCCUPANT.set(Some(occupant));
            // libpurple tells of a change only if its own flags differ.
            tell_change(account, purple_account, room, nick);
        }
    }
}

/// Tells of what answers a stanza of ours: a result, an error, or the subject that comes back.
///
/// # Safety
/// `stanza` lives.
unsafe fn answer(account: AccountId, stanza: *mut sys::xmlnode) {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(number) = IdPrefix::strip(&attribute(stanza, c"id")) else { return };
        let from = attribute(stanza, c"from");
        let room = from.split('/').next().unwrap_or_default().to_owned();
        let kind = attribute(stanza, c"type");
        let answer = match kind.as_str() {
            // Occupants could pretend.
            "error" | "result" if room != from => return,
            "error" => match child(stanza, "error", "") {
                Some(error) => {
                    let (reason, text) = refusal_of(error);
                    Err(Denial { no_right: reason == RoomReason::Banned, told: false, text })
                }
                None => Ok(Vec::new()),
            },
            "result" => Ok(outcasts(stanza)),
            "groupchat" => Ok(Vec::new()),
            _ => return,
        };
        push(Event::RoomAnswered(account, room, number, answer));
    }
}

/// XEP-0045 §9.2: who is banned, if the answer says that.
///
/// # Safety
/// `stanza` lives.
unsafe fn outcasts(stanza: *mut sys::xmlnode) -> Vec<String> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut jids = Vec::new();
        let Some(query) = child(stanza, "query", "http://jabber.org/protocol/muc#admin") else { return jids };
        for item in children(query) {
            if copy((*item).name) == "item" && attribute(item, c"affiliation") == "outcast" {
                jids.push(attribute(item, c"jid"));
            }
        }
        jids
    }
}

/// Tells of the answer to a request for a vCard (XEP-0054 §3.2); without one, of an empty one.
///
/// # Safety
/// `stanza` lives.
unsafe fn card(account: AccountId, stanza: *mut sys::xmlnode) {
    // SAFETY: the caller's promise.
    unsafe {
        let id = attribute(stanza, c"id");
        let kind = attribute(stanza, c"type");
        let Some(number) = id.strip_prefix(CARD_ID).and_then(|number| number.parse().ok()) else { return };
        if kind != "result" && kind != "error" {
            return;
        }
        let card = child(stanza, "vCard", "vcard-temp").filter(|_| kind == "result");
        let field =
            |name| card.and_then(|card| child(card, name, "")).map(|node| data(node)).unwrap_or_default();
        let photo =
            card.and_then(|card| child(card, "PHOTO", "")).and_then(|photo| child(photo, "BINVAL", ""));
        let photo = photo.map(|node| data(node)).unwrap_or_default();
        let card = Card { full_name: field("FN"), nickname: field("NICKNAME"), photo };
        push(Event::Card(account, number, attribute(stanza, c"from"), card));
    }
}

/// Tells of the answer to a request for bookmarks: of XEP-0402 §3.3, or of XEP-0048 §3.2.
///
/// # Safety
/// Account and `stanza` live.
unsafe fn bookmarks(account: AccountId, purple_account: *mut sys::PurpleAccount, stanza: *mut sys::xmlnode) {
    // SAFETY: the caller's promise.
    unsafe {
        if attribute(stanza, c"id") != BOOKMARKS_ID || attribute(stanza, c"type") != "result" {
            return;
        }
        let from = attribute(stanza, c"from");
        let own = copy(sys::purple_account_get_username(purple_account));
        if !from.is_empty() && own.split('/').next() != Some(&from) {
            return;
        }
        let mut found = Vec::new();
        let items = child(stanza, "pubsub", "").and_then(|pubsub| child(pubsub, "items", ""));
        for item in items.map(|items| children(items)).unwrap_or_default() {
            let name = child(item, "conference", "").map(|conference| attribute(conference, c"name"));
            found.push((attribute(item, c"id"), name.unwrap_or_default()));
        }
        let storage = child(stanza, "query", "").and_then(|query| child(query, "storage", ""));
        for conference in storage.map(|storage| children(storage)).unwrap_or_default() {
            if copy((*conference).name) == "conference" {
                found.push((attribute(conference, c"jid"), attribute(conference, c"name")));
            }
        }
        found.retain(|(jid, _)| jid.contains('@'));
        push(Event::Bookmarks(account, found));
    }
}

/// Tells of an occupant who was there before.
///
/// # Safety
/// The account lives.
unsafe fn tell_change(id: AccountId, account: *mut sys::PurpleAccount, room: &str, nick: &str) {
    const ROOM: sys::PurpleConversationType::Type = sys::PurpleConversationType::PURPLE_CONV_TYPE_CHAT;
    // SAFETY: the caller's promise; what is found is checked for null, and lives while nothing is changed.
    unsafe {
        let found = sys::purple_find_conversation_with_account(ROOM, c_text(room).as_ptr(), account);
        if found.is_null() {
            return;
        }
        let chat = sys::purple_conversation_get_chat_data(found);
        let user = sys::purple_conv_chat_cb_find(chat, c_text(nick).as_ptr());
        if !user.is_null() {
            push(Event::Participants(id, room.to_owned(), vec![participant(room, user)]));
        }
    }
}

/// # Safety
/// `error` lives.
unsafe fn refusal_of(error: *mut sys::xmlnode) -> (RoomReason, String) {
    // SAFETY: the caller's promise.
    unsafe {
        let condition = children(error).first().map(|node| copy((**node).name)).unwrap_or_default();
        let text = child(error, "text", "").map(|node| data(node)).unwrap_or_default();
        let text = if text.is_empty() { condition.replace('-', " ") } else { text };
        let reason = match condition.as_str() {
            "item-not-found" | "remote-server-not-found" | "gone" => RoomReason::NotFound,
            "conflict" => RoomReason::NickTaken,
            "not-authorized" => RoomReason::Password,
            "forbidden" => RoomReason::Banned,
            "registration-required" => RoomReason::MembersOnly,
            "service-unavailable" => RoomReason::Full,
            "not-allowed" => RoomReason::NotAllowed,
            "not-acceptable" | "jid-malformed" => RoomReason::BadNick,
            "resource-constraint" => RoomReason::TooMany,
            _ => RoomReason::Other,
        };
        (reason, text)
    }
}

/// XEP-0045 §15.6.2.
///
/// # Safety
/// The nodes live.
unsafe fn departure_of(
    stanza: *mut sys::xmlnode,
    x: *mut sys::xmlnode,
    item: Option<*mut sys::xmlnode>,
) -> Departure {
    // SAFETY: the caller's promise.
    unsafe {
        let destroyed = child(x, "destroy", "");
        let has = |code: &str| has_code(x, code);
        let reason = if destroyed.is_some() {
            RoomReason::Destroyed
        } else if has("301") {
            RoomReason::Banned
        } else if has("332") || has("333") {
            // Before 307: a server that stops "kicks" everybody.
            RoomReason::Disconnected
        } else if has("307") {
            RoomReason::Kicked
        } else if has("321") || has("322") {
            RoomReason::MembersOnly
        } else {
            RoomReason::Other
        };
        let said = |node: Option<*mut sys::xmlnode>, name: &str| {
            node.and_then(|node| child(node, name, "")).map(|node| data(node)).unwrap_or_default()
        };
        let mut text = said(destroyed.or(item), "reason");
        if text.is_empty() {
            text = said(Some(stanza), "status");
        }
        let actor = item.and_then(|item| child(item, "actor", ""));
        let actor = actor.map(|actor| attribute(actor, c"nick")).unwrap_or_default();
        Departure { reason, actor, text }
    }
}

/// # Safety
/// `x` lives.
unsafe fn has_code(x: *mut sys::xmlnode, code: &str) -> bool {
    // SAFETY: the caller's promise.
    unsafe { children(x) }.into_iter().any(|node| {
        // SAFETY: children live as long as their parent.
        unsafe { copy((*node).name) == "status" && attribute(node, c"code") == code }
    })
}

fn role(name: &str) -> Role {
    match name {
        "moderator" => Role::Moderator,
        "visitor" => Role::Visitor,
        "none" => Role::None,
        _ => Role::Participant,
    }
}

fn affiliation(name: &str) -> Affiliation {
    match name {
        "owner" => Affiliation::Owner,
        "admin" => Affiliation::Admin,
        "member" => Affiliation::Member,
        "outcast" => Affiliation::Outcast,
        _ => Affiliation::None,
    }
}

/// # Safety
/// `node` lives.
unsafe fn attribute(node: *mut sys::xmlnode, name: &std::ffi::CStr) -> String {
    // SAFETY: the caller's promise; the result is a text or null.
    unsafe { copy(sys::xmlnode_get_attrib(node, name.as_ptr())) }
}

/// # Safety
/// `node` lives.
unsafe fn data(node: *mut sys::xmlnode) -> String {
    // SAFETY: the caller's promise; the result is a new text or null.
    unsafe { take(sys::xmlnode_get_data(node)) }
}

/// The first child of this name, and of this namespace unless that is empty.
///
/// # Safety
/// `node` lives.
unsafe fn child(node: *mut sys::xmlnode, name: &str, namespace: &str) -> Option<*mut sys::xmlnode> {
    // SAFETY: the caller's promise.
    unsafe { children(node) }.into_iter().find(|child| {
        // SAFETY: children live as long as their parent.
        unsafe {
            copy((**child).name) == name && (namespace.is_empty() || copy((**child).xmlns) == namespace)
        }
    })
}

/// # Safety
/// `node` lives.
unsafe fn children(node: *mut sys::xmlnode) -> Vec<*mut sys::xmlnode> {
    let mut found = Vec::new();
    // SAFETY: the caller's promise; children live as long as their parent.
    unsafe {
        let mut next = (*node).child;
        while !next.is_null() {
            if (*next).type_ == sys::_XMLNodeType::XMLNODE_TYPE_TAG {
                found.push(next);
            }
            next = (*next).next;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = Line::parse(":mercutio!m@h KICK #verona tybalt :for a villain :)\r\n");
        let expected =
            Line { nick: "mercutio", command: "KICK", params: vec!["#verona", "tybalt", "for a villain :)"] };
        assert_eq!(line, Some(expected));
        let line = Line::parse("@time=x :irc.example.net 475 romeo #locked :Cannot join channel (+k)");
        assert_eq!(line.map(|line| line.params.len()), Some(3));
        assert_eq!(Line::parse(""), None);
        assert_eq!(Line::parse(":prefix"), None);
    }
}
