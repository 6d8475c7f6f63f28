//! Archives of rooms (XEP-0313): what is said goes to storage in batches, and what is asked for comes back.
//!
//! An archive belongs to one user and one room, as everything of a room does here: each user is in it by a legacy
//! account of his own, and sees what the network shows to that account. So nobody else can ask for it, and it can be
//! asked for whether or not he is in the room.
//!
//! Writing is never waited for. What storage has not taken yet is bounded: past [`BACKLOG`], frames of backends wait.

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_config::DatabaseKind;
use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_result};
use spectrum2_xmpp::xep_0313::{self, Query};
use spectrum2_xmpp::{Element, ns, xep_0059};
use tracing::{error, warn};

use super::context::{Context, Pending};
use super::timer::Timer;
use super::user::User;
use crate::storage::{self, Answer, Archived, Lines, NewLine, Page, Request, Wanted};

/// Messages that are written together: many, because what each room costs is paid once.
const BATCH: usize = 1_000;
/// The first of them waits for so long.
const DELAY: u64 = 1_000;
/// Messages that storage may owe an answer for.
const BACKLOG: usize = 5_000;
/// Archives are tidied up this often.
const PRUNE: u64 = 3_600_000;
/// Pause between two steps of that.
const STEP: u64 = 250;
/// Queries of one user that may be under way.
const QUERIES: usize = 10;
/// Messages on a page when the client does not say how many.
const PAGE: u32 = 50;
/// And at most.
const LONGEST_PAGE: u32 = 200;
/// Bits of an id below the time.
const BITS: u32 = 20;

/// What is on its way to the archives.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outgoing {
    lines: Lines,
    under_way: usize,
    /// The last id that was given.
    last: i64,
    /// When archives are to be tidied up.
    prune_at: super::Time,
}

/// A query that storage is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    iq: Element,
    queryid: Option<String>,
    flipped: bool,
}

/// Writes a message without what its line says already: who said it, where, and under which id. Most of it would be that.
pub fn write(message: &Element, id: i64, out: &mut String) {
    let name = name_of(id);
    message.write_without(
        out,
        |attribute, value| matches!(attribute, "from" | "type") || (attribute == "id" && value == name),
        |child| child.is("stanza-id", ns::SID),
    );
}

/// A message of the archive of the room with this JID, with all that it had.
pub fn read(line: &Archived, room: &str) -> Option<Element> {
    let Ok(mut message) = Element::parse(&line.message) else {
        warn!(id = line.id, "a message in the archive is no XML");
        return None;
    };
    let name = name_of(line.id);
    if message.attr("from").is_none() {
        let slash = if line.nick.is_empty() { "" } else { "/" };
        message.set_attr("from", format!("{room}{slash}{}", line.nick));
        message.set_attr("type", "groupchat");
        message.push(stanza_id(room, line.id));
    }
    if message.attr("id").is_none() {
        message.set_attr("id", name);
    }
    Some(message)
}

/// The id of a message in a room's archive (XEP-0359, XEP-0313 §3.5).
pub fn stanza_id(room: &str, id: i64) -> Element {
    Element::new("stanza-id", ns::SID).with("by", room).with("id", name_of(id))
}

/// An id as it is shown (XEP-0359).
pub fn name_of(id: i64) -> String {
    format!("{id:x}")
}

/// The id that is shown like this.
fn id_of(name: &str) -> Option<i64> {
    i64::from_str_radix(name, 16).ok().filter(|id| name_of(*id) == name)
}

impl Context {
    /// How many messages of a room are archived; 0: none, also where nothing is to be stored.
    pub(super) fn archive_size(&self) -> u32 {
        let stored = self.config.database.kind != DatabaseKind::None;
        if stored { self.config.service.archive_size } else { 0 }
    }

    /// Now, in milliseconds since 1970.
    pub(super) fn wall_clock(&self) -> u64 {
        self.day + self.now.0
    }

    /// Takes note of the time of day, in milliseconds since 1970.
    pub(super) fn set_clock(&mut self, milliseconds: u64) {
        self.day = milliseconds.saturating_sub(self.now.0);
    }

    /// An id for a message of a room: greater than all before, never used again, and not to be guessed from others
    /// (XEP-0313 §3).
    pub(super) fn archive_id(&mut self) -> i64 {
        let random = i64::try_from(self.random(1 << BITS)).unwrap_or(0);
        let by_clock = first_id_at(self.wall_clock()) + random;
        self.archive.last = by_clock.max(self.archive.last + 1 + (random & 0xff));
        self.archive.last
    }

    /// Ids that storage has are not given again, also when the clock was put back.
    pub(super) fn ids_were_given(&mut self, newest: i64) {
        self.archive.last = self.archive.last.max(newest);
    }

    /// A message of a room of this user is to be archived, as `write` writes it.
    pub(super) fn archive(
        &mut self,
        user: &BareJid,
        room: &str,
        line: NewLine<'_>,
        write: impl FnOnce(&mut String),
    ) {
        if self.archive.lines.is_empty() {
            self.timers.set(Timer::Archive, self.now.after(DELAY));
        }
        self.archive.lines.push(user, room, line, write);
        if self.archive.lines.len() >= BATCH {
            self.flush_archive();
        }
    }

    /// Gives to storage what waits to be archived. Whoever asks for an archive after this finds it there.
    pub(super) fn flush_archive(&mut self) {
        let lines = std::mem::take(&mut self.archive.lines);
        if !lines.is_empty() {
            self.timers.cancel(&Timer::Archive);
            self.archive.under_way += lines.len();
            let (count, keep) = (lines.len(), self.archive_size());
            self.ask(Request::Archive(lines, keep), Pending::Archived(count));
        }
    }

    /// Storage has archived messages, or could not.
    pub(super) fn archived(&mut self, count: usize, answer: Result<Answer, storage::Error>) {
        self.archive.under_way = self.archive.under_way.saturating_sub(count);
        if let Err(error) = answer {
            error!(%error, count, "messages of rooms could not be archived");
        }
    }

    /// Whether storage keeps up with what is to be archived.
    pub(super) fn archive_keeps_up(&self) -> bool {
        self.archive.under_way < BACKLOG
    }

    /// Nothing more is archived for a user who is registered no more.
    pub(super) fn unarchive(&mut self, user: &BareJid) {
        self.archive.lines.remove_owner(user);
        self.timers.set_once(Timer::Prune, self.now.after(STEP));
    }

    /// Tidies the archives up, if it is time. Asked with every round of pings, so that it needs no timer of its own.
    pub(super) fn prune_in_time(&mut self) {
        if self.now >= self.archive.prune_at {
            self.archive.prune_at = self.now.after(PRUNE);
            self.prune();
        }
    }

    /// One step of tidying up.
    pub(super) fn prune(&mut self) {
        let days = u64::from(self.config.service.archive_days);
        let oldest = match days {
            0 => 0,
            _ => first_id_at(self.wall_clock().saturating_sub(days * 86_400_000)),
        };
        self.ask(Request::PruneArchives(self.archive_size(), oldest), Pending::Pruned);
    }

    /// A step of tidying up is done.
    pub(super) fn pruned(&mut self, answer: Result<Answer, storage::Error>) {
        match answer {
            Ok(Answer::More(true)) => self.timers.set_once(Timer::Prune, self.now.after(STEP)),
            Ok(_) => {}
            Err(error) => error!(%error, "the archives of rooms could not be tidied up"),
        }
    }

    /// A page of an archive is there (XEP-0313 §4.2): its messages, and then the answer.
    pub(super) fn archive_page(&mut self, asked: &Asked, answer: Result<Answer, storage::Error>) {
        let iq = &asked.iq;
        let page = match answer {
            Ok(Answer::Page(Some(page))) => page,
            Ok(Answer::Page(None)) => {
                self.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "");
                return;
            }
            answer => return self.archive_unreadable(iq, answer),
        };
        if !self.up {
            // The answer would be lost, and the messages would not: they are kept for a link that is back.
            return;
        }
        let first = page.lines.first().map(|line| name_of(line.id));
        let last = page.lines.last().map(|line| name_of(line.id));
        let start = usize::try_from(page.first).unwrap_or(usize::MAX);
        let count = usize::try_from(page.count).unwrap_or(usize::MAX);
        let set = xep_0059::answer(start, first.as_deref(), last.as_deref(), count);
        let complete = page.complete;
        let mut lines = page.lines;
        if asked.flipped {
            // §4.3.4: the same messages, the other way round.
            lines.reverse();
        }
        for line in lines {
            let Some(message) = read(&line, iq.attr("to").unwrap_or_default()) else { continue };
            let result = xep_0313::result(asked.queryid.as_deref(), &name_of(line.id), line.stamp, message);
            let id = self.id();
            let stanza = Element::new("message", ns::CLIENT)
                .with_opt("from", iq.attr("to"))
                .with_opt("to", iq.attr("from"))
                .with("id", id)
                .child(result);
            self.send(stanza);
        }
        self.send(iq_result(iq).child(xep_0313::fin(complete, set)));
    }

    /// What an archive holds is known (XEP-0313 §5).
    pub(super) fn archive_ends(&mut self, iq: &Element, answer: Result<Answer, storage::Error>) {
        match answer {
            Ok(Answer::Ends(ends)) => {
                let ends = ends.map(|ends| ends.map(|(id, stamp)| (name_of(id), stamp)));
                self.send(iq_result(iq).child(xep_0313::metadata(ends)));
            }
            answer => self.archive_unreadable(iq, answer),
        }
    }

    fn archive_unreadable(&mut self, iq: &Element, answer: Result<Answer, storage::Error>) {
        let error = answer.err().map_or_else(|| "an odd answer".to_owned(), |error| error.to_string());
        error!(error, "the archive of a room could not be read");
        let text = "The gateway cannot read its database now; try again later";
        self.refuse(iq, ErrorType::Wait, Condition::InternalServerError, text);
    }
}

/// The least id of this time, in milliseconds since 1970.
fn first_id_at(time: u64) -> i64 {
    i64::try_from(time).map_or(i64::MAX, |time| time.saturating_mul(1 << BITS))
}

impl User {
    /// Something is asked of the archive of a room.
    pub(super) fn archive_request(&mut self, cx: &mut Context, iq: &Element, payload: &Element, node: &str) {
        if self.registration.is_none() {
            // XEP-0313 §9.1.
            let text = "Register with the gateway first";
            cx.refuse(iq, ErrorType::Auth, Condition::RegistrationRequired, text);
            return;
        }
        let is_contact = self.contacts.by_node(node).is_some() && self.rooms.at(node).is_none();
        if cx.archive_size() == 0 || is_contact {
            cx.refuse(iq, ErrorType::Cancel, Condition::ServiceUnavailable, "");
            return;
        }
        match (iq.attr("type"), payload.name()) {
            (Some("get"), "query") => cx.send(iq_result(iq).child(xep_0313::form())),
            _ if cx.archive_queries(&self.jid) >= QUERIES => {
                let text = "Too many queries are under way";
                cx.refuse(iq, ErrorType::Wait, Condition::ResourceConstraint, text);
            }
            (Some("get"), "metadata") => {
                cx.flush_archive();
                let request = Request::ArchiveEnds(self.jid.clone(), node.to_owned());
                cx.ask(request, Pending::ArchiveEnds(self.jid.clone(), iq.clone()));
            }
            (Some("set"), "query") => self.query_archive(cx, iq, payload, node),
            _ => cx.refuse(iq, ErrorType::Modify, Condition::BadRequest, ""),
        }
    }

    fn query_archive(&mut self, cx: &mut Context, iq: &Element, payload: &Element, node: &str) {
        let query = match Query::read(payload) {
            Ok(query) => query,
            Err(refusal) => {
                let (kind, condition) = refusal.error();
                cx.refuse(iq, kind, condition, "");
                return;
            }
        };
        let asked = Asked { iq: iq.clone(), queryid: query.queryid.clone(), flipped: query.flipped };
        let room: Option<BareJid> = cx.contact_bare(node).parse().ok();
        if query.with.as_ref().is_some_and(|with| Some(with.to_bare()) != room) {
            // Who is behind an occupant is not known for sure, so nobody has said anything by another JID.
            let nothing = Page { complete: true, ..Page::default() };
            cx.archive_page(&asked, Ok(Answer::Page(Some(nothing))));
            return;
        }
        let Some(wanted) = wanted(&query) else {
            // XEP-0313 §4.3.2: an id that we never gave.
            cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "");
            return;
        };
        cx.flush_archive();
        let request = Request::ArchivePage(self.jid.clone(), node.to_owned(), wanted);
        cx.ask(request, Pending::ArchivePage(self.jid.clone(), Box::new(asked)));
    }
}

/// The query in terms of storage; none if it names an id that is none of ours.
fn wanted(query: &Query) -> Option<Wanted> {
    let id = |name: &Option<String>| name.as_deref().map(|name| id_of(name).ok_or(())).transpose().ok();
    let page = &query.page;
    let max = page.max.map_or(PAGE, |max| u32::try_from(max).unwrap_or(u32::MAX));
    Some(Wanted {
        start: query.start,
        end: query.end,
        nick: query.with.as_ref().and_then(Jid::resource).map(|nick| nick.to_string()),
        after_id: id(&query.after_id)?,
        before_id: id(&query.before_id)?,
        ids: query.ids.iter().map(|name| id_of(name.trim())).collect::<Option<_>>()?,
        page_after: id(&page.after)?,
        // XEP-0059 §2.5: an empty one asks for the last page.
        page_before: id(&page.before.clone().filter(|name| !name.is_empty()))?,
        backwards: page.before.is_some() && page.after.is_none(),
        index: page.index.and_then(|index| u64::try_from(index).ok()).filter(|_| page.before.is_none()),
        max: max.min(LONGEST_PAGE),
    })
}
