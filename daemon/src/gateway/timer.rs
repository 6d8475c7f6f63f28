//! What the core wants to be woken for.

use std::collections::{BTreeMap, BTreeSet};

use jid::BareJid;
use serde::{Deserialize, Serialize};

use super::event::{Link, Time};

/// A reason to wake up. Each is armed at most once: arming it again moves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// Ask all backends for a sign of life.
    Ping,
    /// Wait no longer for what backends had to say before the end.
    Stop,
    /// The backend that uses most memory takes no more users.
    Collect,
    /// A backend that connected has not said what it is.
    Handshake(Link),
    /// Try again to get a backend.
    Spawn,
    /// Probe the next user that was logged in before the restart.
    BringBack,
    /// Forget ad-hoc commands that nobody goes on with.
    Commands,
    /// Drop requests to XMPP entities that were never answered.
    Requests,
    /// Write to the archives of rooms.
    Archive,
    /// Go on with tidying up the archives.
    Prune,
    /// Log the user in again.
    Retry(BareJid),
    /// The network does not answer the login.
    Login(BareJid),
    /// What the network has not mentioned since the login is gone.
    Settle(BareJid),
    /// Ask for the next subscriptions of contacts.
    Roster(BareJid),
    /// Write changed contacts to storage.
    Save(BareJid),
    /// Answer clients that wait for vCards.
    VCards(BareJid),
    /// Look at joins that take long, and at subjects that do not come.
    Rooms(BareJid),
    /// Give messages back that wait for the network for too long.
    Expire(BareJid),
    /// Clients that did not show up again since the XMPP link came back are gone.
    Reappear(BareJid),
    /// Forget a user who is not logged in.
    Forget(BareJid),
}

/// All armed timers, soonest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Ord + Deserialize<'de>"))]
pub struct Timers<T = Timer> {
    due: BTreeSet<(Time, T)>,
    at: BTreeMap<T, Time>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), at: BTreeMap::new() }
    }
}

impl<T: Clone + Ord> Timers<T> {
    /// Arms `timer` for `at`, or moves it there.
    pub fn set(&mut self, timer: T, at: Time) {
        self.cancel(&timer);
        self.due.insert((at, timer.clone()));
        self.at.insert(timer, at);
    }

    /// Arms `timer` for `at` unless it is armed already.
    pub fn set_once(&mut self, timer: T, at: Time) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    /// Arms `timer` for `at` unless it is armed for an earlier time.
    pub fn set_earlier(&mut self, timer: T, at: Time) {
        if self.at.get(&timer).is_none_or(|armed| *armed > at) {
            self.set(timer, at);
        }
    }

    /// Disarms `timer`, if it is armed.
    pub fn cancel(&mut self, timer: &T) {
        if let Some((timer, at)) = self.at.remove_entry(timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one that is due at `now`.
    pub fn pop(&mut self, now: Time) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soonest_first_and_only_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Ping, Time(20));
        timers.set(Timer::Spawn, Time(10));
        timers.set(Timer::Ping, Time(5));
        timers.set_once(Timer::Spawn, Time(1));
        assert_eq!(timers.next(), Some(Time(5)));
        assert_eq!(timers.pop(Time(4)), None);
        assert_eq!(timers.pop(Time(30)), Some(Timer::Ping));
        assert_eq!(timers.pop(Time(30)), Some(Timer::Spawn));
        assert_eq!(timers.pop(Time(30)), None);
    }

    #[test]
    fn cancelled_is_gone() {
        let mut timers = Timers::default();
        timers.set(Timer::Ping, Time(20));
        timers.cancel(&Timer::Ping);
        assert_eq!(timers.next(), None);
    }
}
