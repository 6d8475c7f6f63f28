//! Who is in a room: by nick, which is how the network tells them apart, and by the name under which clients see them.
//!
//! Both are mostly the same. Some networks have numbers for nicks and an alias beside them; and a nick that preparation of
//! JIDs (RFC 7622 §3.4) would change has what it becomes for an alias.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Affiliation, Participant, Role, StatusType};

use super::contact::fold;

/// Occupants of one room that are shown; the rest can be heard, but not seen.
const MOST: usize = 10_000;

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupant {
    /// What the occupant may do there.
    pub role: Role,
    /// What the occupant may do for good.
    pub affiliation: Affiliation,
    /// Availability.
    pub status: StatusType,
    /// What the occupant says about it.
    pub text: Option<Box<str>>,
    /// SHA-1 of the avatar, in hexadecimal digits.
    pub icon: Option<Box<str>>,
    /// The name to show; `None`: the nick.
    alias: Option<Box<str>>,
    /// Of what the occupant id is made; `None`: of the nick.
    pub origin: Option<Box<str>>,
    /// Was not mentioned since the session came back.
    stale: bool,
}

impl Occupant {
    /// What a frame says of somebody who is in the room.
    pub fn read(frame: &Participant) -> Self {
        let own = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Box::from);
        let alias = frame.alias.as_deref().and_then(prepared).or_else(|| prepared(&frame.nickname));
        Self {
            role: frame.occupant_role(),
            affiliation: frame.occupant_affiliation(),
            status: frame.status_type(),
            text: own(&frame.status_message),
            icon: own(&frame.icon_hash).filter(|hash| is_hash(hash)),
            alias: alias.filter(|alias| *alias != frame.nickname).map(String::into_boxed_str),
            origin: own(&frame.contact),
            stale: false,
        }
    }

    /// The name under which clients see the occupant of this nick.
    pub fn shown<'a>(&'a self, nick: &'a str) -> &'a str {
        self.alias.as_deref().unwrap_or(nick)
    }
}

/// Everybody in a room.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Occupants {
    by_nick: BTreeMap<String, Occupant>,
    /// Those with an alias, by that; nearly always one of a name.
    by_alias: BTreeMap<Box<str>, BTreeSet<String>>,
}

impl Occupants {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_nick.len()
    }

    /// All of them, by nick.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Occupant)> {
        self.by_nick.iter().map(|(nick, occupant)| (nick.as_str(), occupant))
    }

    /// The occupant of this nick.
    pub fn get(&self, nick: &str) -> Option<&Occupant> {
        self.by_nick.get(nick)
    }

    /// Who is seen under this name.
    pub fn seen_as(&self, shown: &str) -> Option<(&str, &Occupant)> {
        let plain = self.by_nick.get_key_value(shown).filter(|(_, occupant)| occupant.alias.is_none());
        let aliased = || self.by_nick.get_key_value(self.by_alias.get(shown)?.first()?);
        plain.or_else(aliased).map(|(nick, occupant)| (nick.as_str(), occupant))
    }

    /// The nick of who is meant by this name, written as it may be.
    pub fn nick_of(&self, shown: &str) -> Option<&str> {
        let alike = || {
            let folded = fold(shown);
            self.iter().find(|(nick, occupant)| occupant.alias.is_none() && fold(nick) == folded)
        };
        self.seen_as(shown).or_else(alike).map(|(nick, _)| nick)
    }

    /// The network mentions somebody who is in the room; `own`: the user himself. `false`: there is nothing new to show.
    pub fn mention(&mut self, nick: &str, mut occupant: Occupant, own: bool) -> bool {
        if let Some(mut known) = self.remove(nick) {
            known.stale = false;
            let same = known == Occupant { origin: known.origin.clone(), ..occupant.clone() };
            occupant.origin = known.origin.or(occupant.origin);
            self.insert(nick.to_owned(), occupant);
            return !same;
        }
        let visible = is_nick(nick) || occupant.alias.is_some();
        let room = own || self.by_nick.len() < MOST;
        if visible && room {
            self.insert(nick.to_owned(), occupant);
        }
        visible && room
    }

    /// An occupant has another nick now. The occupant id stays (XEP-0421 §3).
    pub fn rename(&mut self, old: &str, new: &str) {
        let Some(mut occupant) = self.remove(old) else { return };
        occupant.origin.get_or_insert_with(|| old.into());
        if occupant.alias.is_none() || occupant.alias.as_deref() == prepared(old).as_deref() {
            occupant.alias = prepared(new).filter(|shown| shown != new).map(String::into_boxed_str);
        }
        self.remove(new);
        self.insert(new.to_owned(), occupant);
    }

    fn insert(&mut self, nick: String, occupant: Occupant) {
        if let Some(alias) = &occupant.alias {
            self.by_alias.entry(alias.clone()).or_default().insert(nick.clone());
        }
        self.by_nick.insert(nick, occupant);
    }

    /// Takes somebody out.
    pub fn remove(&mut self, nick: &str) -> Option<Occupant> {
        let occupant = self.by_nick.remove(nick)?;
        if let Some(alias) = &occupant.alias
            && let Some(nicks) = self.by_alias.get_mut(alias)
        {
            nicks.remove(nick);
            if nicks.is_empty() {
                self.by_alias.remove(alias);
            }
        }
        Some(occupant)
    }

    /// Nobody was mentioned since the session came back.
    pub fn mark_stale(&mut self) {
        for occupant in self.by_nick.values_mut() {
            occupant.stale = true;
        }
    }

    /// Takes out those who were not mentioned since the session came back.
    pub fn take_stale(&mut self) -> Vec<(String, Occupant)> {
        let stale = self.by_nick.iter().filter(|(_, occupant)| occupant.stale);
        let nicks: Vec<String> = stale.map(|(nick, _)| nick.clone()).collect();
        nicks.into_iter().filter_map(|nick| self.remove(&nick).map(|occupant| (nick, occupant))).collect()
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a nick can be part of a JID as it is.
pub fn is_nick(nick: &str) -> bool {
    prepared(nick).is_some_and(|prepared| prepared == nick)
}

/// What a name is as part of a JID; `None` if it can be none.
pub fn prepared(name: &str) -> Option<String> {
    let part = jid::ResourcePart::new(name).ok()?;
    Some(part.as_str().to_owned()).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(nick: &str, alias: &str) -> Participant {
        let alias = Some(alias.to_owned()).filter(|alias| !alias.is_empty());
        Participant { nickname: nick.into(), room: "#verona".into(), alias, ..Default::default() }
    }

    fn mention(occupants: &mut Occupants, nick: &str, alias: &str) -> bool {
        occupants.mention(nick, Occupant::read(&frame(nick, alias)), false)
    }

    fn seen(occupants: &Occupants, shown: &str) -> Option<String> {
        occupants.seen_as(shown).map(|(nick, _)| nick.to_owned())
    }

    #[test]
    fn what_was_said_before_is_not_said_again() {
        let mut occupants = Occupants::default();
        assert!(mention(&mut occupants, "tybalt", ""));
        assert!(!mention(&mut occupants, "tybalt", ""));
        occupants.rename("tybalt", "ty_cat");
        assert!(!mention(&mut occupants, "ty_cat", ""));
        let moderator = Participant { flag: 1, ..frame("ty_cat", "") };
        assert!(occupants.mention("ty_cat", Occupant::read(&moderator), false));
    }

    #[test]
    fn an_alias_is_a_name() {
        let mut occupants = Occupants::default();
        mention(&mut occupants, "17", "Tybalt");
        mention(&mut occupants, "18", "Tybalt");
        assert_eq!(seen(&occupants, "Tybalt").as_deref(), Some("17"));
        assert_eq!(seen(&occupants, "17"), None);
        occupants.remove("17");
        assert_eq!(seen(&occupants, "Tybalt").as_deref(), Some("18"));
        mention(&mut occupants, "18", "Nurse");
        assert_eq!(seen(&occupants, "Tybalt"), None);
        occupants.rename("18", "19");
        assert_eq!(seen(&occupants, "Nurse").as_deref(), Some("19"), "an alias stays");
    }

    #[test]
    fn every_name_can_be_in_a_jid() {
        let mut occupants = Occupants::default();
        assert!(mention(&mut occupants, "ﬁsh", ""));
        assert_eq!(seen(&occupants, "fish").as_deref(), Some("ﬁsh"));
        occupants.rename("ﬁsh", "bird");
        assert_eq!(seen(&occupants, "bird").as_deref(), Some("bird"));
        mention(&mut occupants, "7", "ﬁsh");
        assert_eq!(seen(&occupants, "fish").as_deref(), Some("7"));
        mention(&mut occupants, "8", "a\u{7}b");
        assert_eq!(seen(&occupants, "8").as_deref(), Some("8"), "an alias that can be none is left out");
        assert!(!mention(&mut occupants, "a\u{7}b", ""));
    }

    #[test]
    fn the_user_himself_always_finds_a_place() {
        let mut occupants = Occupants::default();
        for n in 0..=MOST {
            assert_eq!(mention(&mut occupants, &format!("n{n}"), ""), n < MOST);
        }
        assert!(occupants.mention("romeo", Occupant::read(&frame("romeo", "")), true));
    }
}
