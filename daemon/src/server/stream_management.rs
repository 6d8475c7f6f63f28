//! Stream management (XEP-0198): what a client has not acknowledged is kept, and sent again when it comes back.
//!
//! Guarantees: a session that was resumed has lost and doubled nothing; the queue of one that was not is given out
//! ([`Management::unsent`]), so that its messages go elsewhere.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use spectrum2_xmpp::{Element, ns};

use super::session::Parcel;

/// How long a session is kept without a connection, in milliseconds; a client may ask for less.
pub const KEPT: u64 = 300_000;
/// Stanzas that one client may leave unacknowledged.
const UNACKNOWLEDGED: usize = 1_000;
/// And their size in memory.
const UNACKNOWLEDGED_BYTES: usize = 2 << 20;
/// What a stanza costs beside its text.
const OVERHEAD: usize = 64;

/// Sessions that are over of which is remembered what was handled; the oldest are forgotten.
const ENDED: usize = 5_000;

/// What was handled in sessions that are over: id, account, count.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ended(VecDeque<(String, String, u32)>);

impl Ended {
    /// A session is over. If nobody can have its id, there is nothing to remember.
    pub fn remember(&mut self, account: &str, management: &Management) {
        let Some(id) = &management.id else { return };
        if self.0.len() >= ENDED {
            self.0.pop_front();
        }
        self.0.push_back((id.clone(), account.to_owned(), management.handled));
    }

    /// How many stanzas of the client were handled in such a session of this account.
    pub fn handled(&self, account: &str, id: &str) -> Option<u32> {
        let found = self.0.iter().rev().find(|(known, whose, _)| known == id && whose == account);
        found.map(|(.., handled)| *handled)
    }
}

/// A stanza that the client has not acknowledged. As text, which takes a third of an element's memory: some clients
/// never acknowledge anything until they are asked, or at all.
#[derive(Debug, Serialize, Deserialize)]
struct Unacknowledged {
    xml: Box<str>,
    serial: u64,
    taken: bool,
    copy: bool,
}

impl Unacknowledged {
    fn weight(&self) -> usize {
        OVERHEAD + self.xml.len()
    }

    fn stanza(&self) -> Element {
        // We wrote it ourselves. The count must be right even so.
        Element::parse(&self.xml).unwrap_or_else(|_| Element::new("message", ns::CLIENT))
    }
}

/// The counts of one session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Management {
    /// Under which it can be resumed.
    pub id: Option<String>,
    /// For how long, in milliseconds.
    pub kept_for: u64,
    /// Stanzas of the client that we have handled.
    pub handled: u32,
    acknowledged: u32,
    queue: VecDeque<Unacknowledged>,
    bytes: usize,
    /// The client was asked for an acknowledgement, and has not given it.
    asked: bool,
}

impl Management {
    /// Counts begin at zero.
    pub fn new(id: Option<String>, kept_for: u64) -> Self {
        Self { id, kept_for, ..Self::default() }
    }

    /// Keeps what was sent. `false`: this is too much.
    pub fn keep(&mut self, parcel: Parcel) -> bool {
        let Parcel { stanza, serial, taken, copy } = parcel;
        let kept = Unacknowledged { xml: stanza.to_xml().into_boxed_str(), serial, taken, copy };
        self.bytes += kept.weight();
        // Doubling is for those of whom more is to be expected.
        if self.queue.len() == self.queue.capacity() {
            self.queue.reserve_exact((self.queue.len() / 4).max(4));
        }
        self.queue.push_back(kept);
        self.queue.len() <= UNACKNOWLEDGED && self.bytes <= UNACKNOWLEDGED_BYTES
    }

    /// Whether the client is to be asked now.
    pub fn asks(&mut self) -> bool {
        !self.queue.is_empty() && !std::mem::replace(&mut self.asked, true)
    }

    /// The client has handled so many stanzas in all. Gives the serials of messages among the new ones.
    ///
    /// # Errors
    /// That is more than were sent: how many those were.
    pub fn acknowledge(&mut self, h: u32) -> Result<Vec<u64>, u32> {
        // §4: the count wraps.
        let new = usize::try_from(h.wrapping_sub(self.acknowledged)).unwrap_or(usize::MAX);
        if new > self.queue.len() {
            return Err(self.sent());
        }
        let mut serials = Vec::new();
        for done in self.queue.drain(..new) {
            self.bytes = self.bytes.saturating_sub(done.weight());
            serials.extend(Some(done.serial).filter(|serial| *serial != 0));
        }
        if self.queue.is_empty() {
            // Most sessions are idle most of the time.
            self.queue = VecDeque::new();
        }
        self.acknowledged = h;
        self.asked = false;
        Ok(serials)
    }

    /// How many stanzas were sent in all.
    pub fn sent(&self) -> u32 {
        self.acknowledged.wrapping_add(u32::try_from(self.queue.len()).unwrap_or(u32::MAX))
    }

    /// What is to be sent again on a new connection.
    pub fn again(&mut self) -> impl Iterator<Item = Element> {
        self.asked = false;
        self.queue.iter().map(Unacknowledged::stanza)
    }

    /// Whether a copy of this message waits here.
    pub fn has(&self, serial: u64) -> bool {
        self.queue.iter().any(|kept| kept.serial == serial)
    }

    /// Another session has taken this message.
    pub fn taken_elsewhere(&mut self, serial: u64) {
        for kept in self.queue.iter_mut().filter(|kept| kept.serial == serial) {
            kept.taken = true;
        }
    }

    /// Gives all that was not acknowledged, because the session is over.
    pub fn unsent(&mut self) -> impl Iterator<Item = Parcel> + use<> {
        self.bytes = 0;
        let queue = std::mem::take(&mut self.queue);
        queue.into_iter().map(|kept| {
            let stanza = kept.stanza();
            Parcel { stanza, serial: kept.serial, taken: kept.taken, copy: kept.copy }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel() -> Parcel {
        Element::new("message", ns::CLIENT).into()
    }

    #[test]
    fn the_count_wraps() {
        let mut management = Management { acknowledged: u32::MAX, ..Management::default() };
        assert!(management.keep(parcel()) && management.keep(parcel()));
        assert_eq!(management.acknowledge(1), Ok(vec![]));
        assert_eq!(management.again().count(), 0);
        assert_eq!(management.acknowledge(2), Err(1));
        assert_eq!(management.acknowledge(0), Err(1), "a count does not go back");
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut management = Management::default();
        assert!((0..UNACKNOWLEDGED).all(|_| management.keep(parcel())));
        assert!(!management.keep(parcel()));
        assert_eq!(management.acknowledge(2), Ok(vec![]));
        assert!(management.keep(parcel()));
        let mut management = Management::default();
        let mut large = parcel();
        large.stanza = large.stanza.text("x".repeat(UNACKNOWLEDGED_BYTES));
        assert!(!management.keep(large));
    }

    #[test]
    fn sessions_that_are_over_are_remembered_for_a_while() {
        let mut ended = Ended::default();
        let management = |id: usize| Management { handled: 7, ..Management::new(Some(id.to_string()), 0) };
        ended.remember("romeo", &Management::new(None, 0));
        (0..=ENDED).for_each(|id| ended.remember("romeo", &management(id)));
        assert_eq!(ended.0.len(), ENDED);
        assert_eq!((ended.handled("romeo", "0"), ended.handled("romeo", "1")), (None, Some(7)));
        assert_eq!(ended.handled("tybalt", "1"), None, "it is nobody else's affair");
    }

    #[test]
    fn it_asks_once_until_it_is_answered() {
        let mut management = Management::default();
        assert!(!management.asks());
        management.keep(parcel());
        assert!(management.asks() && !management.asks());
        assert_eq!(management.acknowledge(0), Ok(vec![]));
        assert!(management.asks());
    }
}
