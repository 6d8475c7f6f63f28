//! What was said in a room before a client came there (XEP-0045 §7.2.14), and what the network says for a second time.
//!
//! A client that joins is sent the end of the room's archive, and what the network itself tells of the past. Where
//! nothing is archived, a room in which the user stays without a client keeps the last messages for the next one.
//! What the network repeats after a broken connection is recognised by who said what, and about when.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use spectrum2_xmpp::{Element, ns, xep_0082};

/// Messages that a client gets if it does not say how many it wants.
pub const USUAL: usize = 20;
/// Messages that a client gets at most.
pub const LONGEST: usize = 500;
/// Messages that are remembered to recognise them, and those that are read again for it before a join.
pub const MARKS: usize = 100;
/// Messages that are held back until the user has seen who is in the room: the oldest go first.
const HELD_BACK: usize = 500;
/// Messages that are kept for a user without a client, where there is no archive: the oldest go first.
const MISSED: usize = 100;
/// The clocks of a network and ours may differ by so many seconds.
const SKEW: u32 = 300;
/// A message that is older than the end of the archive by so many milliseconds belongs to what it has, or has lost.
const OLDER: u64 = 60_000;

/// How much of a room's history a client wants (XEP-0045 §7.2.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// So many messages.
    stanzas: Option<usize>,
    /// So many characters of stanzas.
    characters: Option<usize>,
    /// Those of the last so many seconds.
    seconds: Option<u64>,
    /// Those since this time, in milliseconds since 1970.
    since: Option<u64>,
}

impl History {
    /// Reads it from `<x/>` of a join. What is no number or time limits nothing.
    pub fn read(x: &Element) -> Self {
        let Some(history) = x.find("history", ns::MUC) else { return Self::default() };
        let number = |name| history.attr(name).and_then(|text| text.trim().parse::<u64>().ok());
        let small = |name| number(name).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        Self {
            stanzas: small("maxstanzas"),
            characters: small("maxchars"),
            seconds: number("seconds"),
            since: history.attr("since").and_then(xep_0082::to_unix_ms),
        }
    }

    /// How many messages can be wanted at most; `usual` are if the client does not say.
    pub fn most(self, usual: usize) -> usize {
        let usual = if self == Self::default() { usual } else { LONGEST };
        self.stanzas.unwrap_or(usual).min(LONGEST)
    }

    /// Those of the messages, the last ones, that are wanted at this time, ready to be sent from this room to this
    /// client; `usual` are if the client does not say.
    pub fn of(self, past: &[Past], now: u64, usual: usize, room: &str, to: &str) -> Vec<Element> {
        let oldest = self.seconds.map(|seconds| now.saturating_sub(seconds.saturating_mul(1_000)));
        let oldest = oldest.max(self.since).unwrap_or(0);
        // `seconds='0'` asks for none, not for those of this moment.
        let most = if self.seconds == Some(0) { 0 } else { self.most(usual) };
        let mut left = self.characters;
        // All limits hold at once. Clocks differ, so what is young may come before what is old.
        let young = past.iter().rev().take(most).filter(|past| past.stamp >= oldest);
        let wanted = young.map(|past| past.sent(room, to)).take_while(|stanza| {
            // The whole stanza counts.
            let fits = left.map(|left| left.checked_sub(stanza.to_xml().chars().count()));
            left = fits.flatten();
            fits != Some(None)
        });
        let mut wanted: Vec<Element> = wanted.collect();
        wanted.reverse();
        wanted
    }
}

/// A message of the past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Its id in the archive.
    pub id: i64,
    /// When it was said, in milliseconds since 1970.
    pub stamp: u64,
    /// The stanza, to nobody yet.
    pub stanza: Element,
}

impl Past {
    /// The stanza as it is sent later than it was said (XEP-0045 §7.2.14, XEP-0203).
    pub fn sent(&self, room: &str, to: &str) -> Element {
        let stamp = xep_0082::from_unix_ms(self.stamp);
        let delay = Element::new("delay", ns::DELAY).with("from", room).with("stamp", stamp);
        self.stanza.clone().with("to", to).child(delay)
    }
}

/// A message as it comes from the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Itself.
    pub past: Past,
    /// Who said it, as shown; empty for the room itself.
    pub nick: String,
    /// The network says that it is of the past.
    pub late: bool,
}

/// By what a message is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// When it was said, in seconds since 1970.
    second: u32,
    /// Who said what.
    hash: u32,
}

impl Mark {
    fn of(past: &Past, nick: &str) -> Self {
        let text = past.stanza.find_same("body").map(Element::content).unwrap_or_default();
        Self { second: u32::try_from(past.stamp / 1_000).unwrap_or(u32::MAX), hash: hash(nick, &text) }
    }
}

/// FNV-1a: the same in every build, so that it may be written down.
pub fn hash(nick: &str, text: &str) -> u32 {
    let bytes = nick.bytes().chain([0]).chain(text.trim().bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What is known of the past of one room.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// What came before the user has seen who is in the room.
    held_back: VecDeque<Said>,
    /// The last messages.
    marks: VecDeque<Mark>,
    /// Of those, what the network may repeat now.
    repeated: Vec<Mark>,
    /// An IRC bouncer repeats what it kept.
    playback: bool,
    /// The end of the archive, read before a join; none while it is awaited.
    archived: Option<Vec<Past>>,
    /// The archive is being read so many times.
    reading: u32,
    /// What was said meanwhile.
    fresh: Vec<Past>,
    /// What was said while no client was there to hear it, where there is no archive.
    missed: VecDeque<Past>,
    /// The last message that a client was there to hear.
    heard: Option<i64>,
    /// When the last message was said.
    newest: u64,
}

impl Memory {
    /// A join begins; `reading`: the archive is asked for its end.
    pub fn begin(&mut self, reading: bool) {
        self.repeated = self.marks.iter().copied().collect();
        self.archived = (!reading).then(Vec::new);
        self.reading += u32::from(reading);
    }

    /// The archive is asked for a client.
    pub fn read_again(&mut self) {
        self.reading += 1;
    }

    /// The archive's end, as far as it was asked for, has come, and what was said since it was asked.
    pub fn was_read(&mut self, mut past: Vec<Past>, room: &str) -> Vec<Past> {
        self.reading = self.reading.saturating_sub(1);
        if self.archived.is_none() {
            let marks = past.iter().map(|past| Mark::of(past, nick_in(&past.stanza, room)));
            self.repeated = marks.collect();
            self.marks = self.repeated.iter().rev().take(MARKS).rev().copied().collect();
            self.archived = Some(past.clone());
            self.newest = past.last().map_or(0, |past| past.stamp);
        }
        let newest = past.last().map_or(i64::MIN, |past| past.id);
        past.extend(self.fresh.iter().filter(|fresh| fresh.id > newest).cloned());
        if self.reading == 0 {
            self.fresh = Vec::new();
        }
        past
    }

    /// Whether the end of the archive is still awaited.
    pub fn is_awaited(&self) -> bool {
        self.archived.is_none()
    }

    /// Holds a message back.
    pub fn hold_back(&mut self, said: Said) {
        if self.held_back.len() >= HELD_BACK {
            self.held_back.pop_front();
        }
        self.held_back.push_back(said);
    }

    /// What was held back, in order, without what is known.
    pub fn take_held_back(&mut self) -> Vec<Said> {
        let held_back = std::mem::take(&mut self.held_back);
        held_back.into_iter().filter(|said| !self.is_repeated(said)).collect()
    }

    /// The past that a join shows, to which what the network told of it is still to be added.
    pub fn take_archived(&mut self) -> Vec<Past> {
        self.archived.replace(Vec::new()).unwrap_or_default()
    }

    /// Whether the network has said this before; each message once.
    pub fn is_repeated(&mut self, said: &Said) -> bool {
        let text = said.past.stanza.find_same("body").map(Element::content).unwrap_or_default();
        if said.late {
            let mark = Mark::of(&said.past, &said.nick);
            return self
                .strike(|known| known.hash == mark.hash && known.second.abs_diff(mark.second) <= SKEW);
        }
        // ZNC has a voice of its own that says when it repeats something, and writes the time before each line.
        if said.nick == "***" {
            self.playback = text.starts_with("Buffer Playback");
        } else if self.playback
            && let Some((_, text)) = text.strip_prefix('[').and_then(|text| text.split_once("] "))
        {
            let hash = hash(&said.nick, text);
            return self.strike(|known| known.hash == hash);
        } else {
            // Who speaks now does not repeat.
            self.repeated = Vec::new();
        }
        false
    }

    fn strike(&mut self, is_it: impl Fn(&Mark) -> bool) -> bool {
        let place = self.repeated.iter().position(is_it);
        place.map(|place| self.repeated.remove(place)).is_some()
    }

    /// Networks tell the second only: within it, what comes later was said later.
    pub fn fit(&mut self, past: &mut Past) {
        if past.stamp / 1_000 == self.newest / 1_000 {
            past.stamp = past.stamp.max(self.newest);
        }
        self.newest = past.stamp;
    }

    /// A message is shown; `present`: to a client, `archived`: and to the archive.
    pub fn note(&mut self, said: &Said, present: bool, archived: bool) {
        if self.marks.len() >= MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark::of(&said.past, &said.nick));
        if self.reading > 0 && self.fresh.len() < LONGEST {
            self.fresh.push(said.past.clone());
        }
        if present {
            self.heard = Some(said.past.id);
        } else if !archived {
            if self.missed.len() >= MISSED {
                self.missed.pop_front();
            }
            self.missed.push_back(said.past.clone());
        }
    }

    /// What no client was there to hear.
    pub fn take_missed(&mut self) -> Vec<Past> {
        std::mem::take(&mut self.missed).into()
    }

    /// How many of these messages a client gets that does not say how many it wants: all that no client has heard.
    pub fn usual(&self, past: &[Past]) -> usize {
        let unheard = self.heard.map_or(0, |heard| past.iter().filter(|past| past.id > heard).count());
        unheard.max(USUAL)
    }

    /// The last message that a client has heard, if that is known.
    pub const fn heard(&self) -> Option<i64> {
        self.heard
    }

    /// A client has heard all up to this id.
    pub fn all_heard(&mut self, id: i64) {
        self.heard = Some(id);
    }
}

/// Whether a message that the network tells of the past is to be archived behind these, or lies before them.
pub fn is_new(past: &[Past], stamp: u64) -> bool {
    past.last().is_none_or(|newest| stamp.saturating_add(OLDER) >= newest.stamp)
}

/// The nick in the address of an occupant of this room.
fn nick_in<'a>(stanza: &'a Element, room: &str) -> &'a str {
    let rest = stanza.attr("from").and_then(|from| from.strip_prefix(room));
    rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or_default()
}
