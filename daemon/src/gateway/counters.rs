//! Running totals and how long things took: numbers for those who watch. None of them is about a single user.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Upper bounds of the classes of a [`Histogram`], in milliseconds; what is larger has a class of its own.
pub const CLASSES: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 180_000];

/// How long something took, many times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How often it took no longer than the bound of the same place, and longer than the one before.
    classes: [u64; CLASSES.len()],
    /// How often it was seen.
    pub count: u64,
    /// All times together, in milliseconds.
    pub sum: u64,
}

impl Histogram {
    /// It took so long.
    pub fn observe(&mut self, milliseconds: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(milliseconds);
        let class = CLASSES.iter().zip(&mut self.classes).find(|(bound, _)| milliseconds <= **bound);
        if let Some((_, number)) = class {
            *number += 1;
        }
    }

    /// Each bound with how often it took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        CLASSES.iter().zip(&self.classes).scan(0, |sum, (bound, number)| {
            *sum += number;
            Some((*bound, *sum))
        })
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// A message of an XMPP user was answered with an error.
    Message,
    /// A request of an XMPP entity was answered with an error.
    Request,
    /// A presence was answered with an error.
    Presence,
    /// A login did not come about, and is tried again.
    Login,
    /// The network refused a login for a reason that only the user can mend.
    LoginRefused,
    /// A session ended that was not to end, and is tried again.
    Session,
    /// A user was locked out because his account breaks backends.
    Quarantine,
    /// A backend could not be had.
    Backend,
    /// Storage could not do what it was asked to.
    Storage,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Message,
        Self::Request,
        Self::Presence,
        Self::Login,
        Self::LoginRefused,
        Self::Session,
        Self::Quarantine,
        Self::Backend,
        Self::Storage,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Request => "request",
            Self::Presence => "presence",
            Self::Login => "login",
            Self::LoginRefused => "login_refused",
            Self::Session => "session",
            Self::Quarantine => "quarantine",
            Self::Backend => "backend",
            Self::Storage => "storage",
        }
    }
}

/// Running totals, for those who watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages that XMPP users sent.
    pub from_xmpp: u64,
    /// Messages that were sent to XMPP users.
    pub to_xmpp: u64,
    /// Backends that died with users on them.
    pub crashed_backends: u64,
    /// What went wrong, how often; what never did is not there.
    pub faults: BTreeMap<Fault, u64>,
    /// From a message of an XMPP user to the word of the backend that the network's library has it.
    pub delivery: Histogram,
    /// From the wish to log in to the login.
    pub login: Histogram,
}

impl Counters {
    /// It went wrong once more.
    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let mut histogram = Histogram::default();
        for milliseconds in [0, 5, 6, 180_000, 180_001] {
            histogram.observe(milliseconds);
        }
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[..2], [(5, 2), (10, 3)]);
        assert_eq!(cumulative.last(), Some(&(180_000, 4)));
        assert_eq!((histogram.count, histogram.sum), (5, 360_012));
    }

    #[test]
    fn every_fault_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        assert_eq!(words.len(), Fault::ALL.len());
    }
}
