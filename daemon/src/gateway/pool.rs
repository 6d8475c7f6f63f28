//! The backend processes: which there are, who is on which, which of them live.
//!
//! One connection is one process. A process is filled up to `service.users_per_backend` before the next one is asked
//! for; one without users is kept warm for the next login. A user whose backends keep dying gets a process of his own,
//! so that the guilty one is found without harm to others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::BareJid;
use serde::{Deserialize, Serialize};

use super::admin::Memory;
use super::event::{Link, Time};

/// How many processes may be starting at a time.
const STARTING: usize = 8;
/// A process without users is closed after this time, but for one.
const IDLE: u64 = 60_000;
/// A process that sent nothing for this many pings is taken for dead.
const MISSED_PINGS: u8 = 3;

/// How far a backend has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The connection is being made.
    Opening,
    /// Connected; it has not answered the first ping.
    Shaking,
    /// Takes users.
    Ready,
}

/// One backend process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Backend {
    /// How far it has come.
    pub stage: Stage,
    /// Who is logged in (or logging in) through it.
    pub users: BTreeSet<BareJid>,
    /// It acknowledges messages.
    pub acknowledges: bool,
    /// It reports joins.
    pub rooms: bool,
    /// It deletes what it keeps of a user if it is asked to.
    pub erases: bool,
    /// Serves one user only, whose earlier backends died.
    pub solo: bool,
    /// Takes no further users, ever.
    pub retired: bool,
    /// Process id, as it says.
    pub pid: Option<u32>,
    /// Its memory, as it says.
    pub memory: Memory,
    /// Its resident memory in KiB when it had just started, as it says.
    pub initial_memory: u64,
    /// Its socket takes nothing at the moment.
    pub busy: bool,
    /// Pings that it was sent, and those that it has answered. It answers in order: what it says before an answer it said
    /// without knowing what it was told before that ping.
    pub pings: u64,
    pub pongs: u64,
    /// Pings since the last frame.
    missed: u8,
    /// Since when it has had no user.
    idle: Time,
}

/// What [`Backend::word`] can be.
pub const WORDS: [&str; 4] = ["starting", "ready", "single", "retired"];

impl Backend {
    /// How it is, in a word for those who watch.
    pub fn word(&self) -> &'static str {
        match self.stage {
            Stage::Opening | Stage::Shaking => "starting",
            Stage::Ready if self.solo => "single",
            Stage::Ready if self.retired => "retired",
            Stage::Ready => "ready",
        }
    }
}

/// What a check of all backends asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// To be pinged.
    pub ping: Vec<Link>,
    /// Do not answer any more.
    pub dead: Vec<Link>,
    /// Not needed any more.
    pub idle: Vec<Link>,
}

/// All backend processes, and the users who wait for one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    backends: BTreeMap<Link, Backend>,
    waiting: VecDeque<(BareJid, bool)>,
    last_link: u64,
    /// How often in a row none could be had.
    pub failures: u32,
}

/// The limits that the configuration sets.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `service.users_per_backend`.
    pub users: usize,
    /// `service.reuse_old_backends`.
    pub reuse: bool,
}

impl Pool {
    /// The backend behind this link.
    pub fn get(&self, link: Link) -> Option<&Backend> {
        self.backends.get(&link)
    }

    /// The backend behind this link, to be changed.
    pub fn get_mut(&mut self, link: Link) -> Option<&mut Backend> {
        self.backends.get_mut(&link)
    }

    /// All backends.
    pub fn iter(&self) -> impl Iterator<Item = (Link, &Backend)> {
        self.backends.iter().map(|(link, backend)| (*link, backend))
    }

    /// A backend that deletes what backends keep of a user: the one that served him, if it does.
    pub fn eraser(&self, served: Option<Link>) -> Option<Link> {
        let erasers = self.iter().filter(|(_, backend)| backend.stage == Stage::Ready && backend.erases);
        erasers.map(|(link, _)| link).max_by_key(|link| Some(*link) == served)
    }

    /// Puts the user on a backend with room, or at the end of the queue.
    pub fn place(&mut self, user: &BareJid, solo: bool, limits: Limits) -> Option<Link> {
        let found = self.room(solo, limits);
        match found {
            Some(link) => self.seat(link, user, solo, limits),
            None => self.enqueue(user, solo),
        }
        found
    }

    /// Puts the user at the end of the queue.
    pub fn enqueue(&mut self, user: &BareJid, solo: bool) {
        self.waiting.push_back((user.clone(), solo));
    }

    /// The fullest backend that still takes a user: few processes, little memory.
    fn room(&self, solo: bool, limits: Limits) -> Option<Link> {
        let limit = if solo { 1 } else { limits.users };
        self.backends
            .iter()
            .filter(|(_, b)| b.stage == Stage::Ready && !b.solo && !b.retired && b.users.len() < limit)
            .max_by_key(|(_, b)| b.users.len())
            .map(|(link, _)| *link)
    }

    fn seat(&mut self, link: Link, user: &BareJid, solo: bool, limits: Limits) {
        let Some(backend) = self.backends.get_mut(&link) else { return };
        backend.users.insert(user.clone());
        backend.solo |= solo;
        backend.retired |= !limits.reuse && backend.users.len() >= limits.users;
    }

    /// Takes the next user from the queue for whom there is room now.
    pub fn next_placed(&mut self, limits: Limits) -> Option<(BareJid, Link)> {
        for n in 0..self.waiting.len() {
            let solo = self.waiting.get(n)?.1;
            if let Some(link) = self.room(solo, limits) {
                let (user, solo) = self.waiting.remove(n)?;
                self.seat(link, &user, solo, limits);
                return Some((user, link));
            }
            if !solo {
                // No room for one who shares: none for those behind him either.
                return None;
            }
        }
        None
    }

    /// Takes the user off his backend and out of the queue. A process that served only him is retired
    /// (`users_per_backend=1`: a fresh process for everybody is what the admin asked for).
    pub fn leave(&mut self, user: &BareJid, link: Option<Link>, limits: Limits, now: Time) {
        self.waiting.retain(|(waiting, _)| waiting != user);
        let Some(backend) = link.and_then(|link| self.backends.get_mut(&link)) else { return };
        backend.users.remove(user);
        if backend.users.is_empty() {
            backend.idle = now;
            backend.retired |= backend.solo || limits.users == 1;
        }
    }

    /// How many processes should be started now: for those who wait and find no room, and one kept warm.
    pub fn missing(&self, limits: Limits) -> usize {
        let starting = self.backends.values().filter(|b| b.stage != Stage::Ready).count();
        let open = || self.backends.values().filter(|b| b.stage == Stage::Ready && !b.solo && !b.retired);
        let seats: usize = open().map(|b| limits.users.saturating_sub(b.users.len())).sum();
        let empty = open().filter(|b| b.users.is_empty()).count();
        let solo = self.waiting.iter().filter(|(_, solo)| *solo).count();
        let sharing = (self.waiting.len() - solo).saturating_sub(seats).div_ceil(limits.users.max(1));
        let spare = usize::from(seats == 0);
        (solo.saturating_sub(empty) + sharing).max(spare).min(STARTING).saturating_sub(starting)
    }

    /// Names a new connection, to be opened.
    pub fn open(&mut self, now: Time) -> Link {
        self.last_link += 1;
        let link = Link(self.last_link);
        let backend = Backend {
            stage: Stage::Opening,
            users: BTreeSet::new(),
            acknowledges: false,
            rooms: false,
            erases: false,
            solo: false,
            retired: false,
            pid: None,
            memory: Memory::default(),
            initial_memory: 0,
            busy: false,
            pings: 0,
            pongs: 0,
            missed: 0,
            idle: now,
        };
        self.backends.insert(link, backend);
        link
    }

    /// Something came from this backend: it lives.
    pub fn heard(&mut self, link: Link) {
        if let Some(backend) = self.backends.get_mut(&link) {
            backend.missed = 0;
        }
    }

    /// Forgets a backend; gives what was known of it.
    pub fn remove(&mut self, link: Link) -> Option<Backend> {
        self.backends.remove(&link)
    }

    /// The backend that uses most memory takes no more users (`service.memory_collector_time`): it ends when the last one
    /// has left. One without users ends anyway, or is the warm one.
    pub fn retire_largest(&mut self) {
        let open = self.backends.values_mut().filter(|b| b.stage == Stage::Ready && !b.solo && !b.retired);
        let used = open.filter(|b| !b.users.is_empty() && b.memory.resident > 0);
        if let Some(largest) = used.max_by_key(|b| b.memory.resident) {
            largest.retired = true;
        }
    }

    /// Goes through all backends: who must answer, who did not, who is not needed. Silence counts only while they are
    /// being read (`reading`).
    pub fn check(&mut self, limits: Limits, now: Time, reading: bool) -> Check {
        let mut check = Check::default();
        // The warm one is the oldest with room, so that the choice does not wander.
        let mut spare = self
            .room(false, limits)
            .filter(|link| self.backends.get(link).is_some_and(|backend| backend.users.is_empty()));
        for (link, backend) in &mut self.backends {
            let kept = match spare {
                _ if !backend.users.is_empty() || backend.stage == Stage::Opening => true,
                _ if backend.retired => false,
                Some(spare_link) if spare_link == *link => {
                    spare = None;
                    true
                }
                _ => now.since(backend.idle) < IDLE,
            };
            if !kept {
                check.idle.push(*link);
            } else if backend.missed >= MISSED_PINGS {
                check.dead.push(*link);
            } else if backend.stage != Stage::Opening {
                backend.missed += u8::from(reading);
                check.ping.push(*link);
            }
        }
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Limits = Limits { users: 2, reuse: true };

    fn user(name: &str) -> BareJid {
        format!("{name}@example.org").parse().expect("a valid JID")
    }

    fn ready(pool: &mut Pool) -> Link {
        let link = pool.open(Time(0));
        pool.get_mut(link).expect("it was just opened").stage = Stage::Ready;
        link
    }

    #[test]
    fn a_process_is_filled_before_the_next_is_asked_for() {
        let mut pool = Pool::default();
        let first = ready(&mut pool);
        assert_eq!(pool.place(&user("romeo"), false, TWO), Some(first));
        assert_eq!(pool.place(&user("juliet"), false, TWO), Some(first));
        assert_eq!(pool.place(&user("nurse"), false, TWO), None);
        assert_eq!(pool.missing(TWO), 1);
        let second = ready(&mut pool);
        assert_eq!(pool.next_placed(TWO), Some((user("nurse"), second)));
        assert_eq!(pool.next_placed(TWO), None);
        assert_eq!(pool.missing(TWO), 0);
    }

    #[test]
    fn who_breaks_backends_gets_one_alone() {
        let mut pool = Pool::default();
        let shared = ready(&mut pool);
        assert_eq!(pool.place(&user("romeo"), false, TWO), Some(shared));
        assert_eq!(pool.place(&user("tybalt"), true, TWO), None);
        let alone = ready(&mut pool);
        assert_eq!(pool.next_placed(TWO), Some((user("tybalt"), alone)));
        assert_eq!(pool.place(&user("juliet"), false, TWO), Some(shared));
        assert_eq!(pool.place(&user("nurse"), false, TWO), None);
        pool.leave(&user("tybalt"), Some(alone), TWO, Time(5));
        assert_eq!(pool.next_placed(TWO), None, "a process that served a suspect is not used again");
    }

    #[test]
    fn one_process_is_kept_warm_and_the_silent_are_dead() {
        let mut pool = Pool::default();
        assert_eq!(pool.missing(TWO), 1);
        let warm = ready(&mut pool);
        let idle = ready(&mut pool);
        let busy = ready(&mut pool);
        pool.get_mut(busy).expect("open").users.insert(user("romeo"));
        pool.get_mut(busy).expect("open").users.insert(user("juliet"));
        let mut silent = 0;
        loop {
            let check = pool.check(TWO, Time(20_000 * (silent + 1)), true);
            for link in check.idle {
                pool.remove(link);
            }
            assert_eq!(pool.missing(TWO), 0);
            if !check.dead.is_empty() {
                assert!(check.dead.contains(&busy));
                break;
            }
            silent += 1;
        }
        assert_eq!(silent, u64::from(MISSED_PINGS));
        assert!(pool.get(warm).is_some() != pool.get(idle).is_some(), "one of two idle ones is kept");
    }
}
