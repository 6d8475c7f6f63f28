//! Limits on attempts to log in: who guesses passwords is slowed down, then shut out for a while, and shuts out nobody
//! else.
//!
//! What fails is counted within [`WINDOW`], three times:
//!
//! * for the address it came from. Past [`PER_ADDRESS`] nothing from there is tried: guesses spread over accounts;
//! * for the account, from that address. Past [`PER_ACCOUNT`] nothing from there is tried for it. So one guesser stops
//!   before the account feels him;
//! * for the account, from wherever it has not logged in before. Past [`BY_STRANGERS`], which takes several addresses,
//!   strangers have one attempt in [`TURN`] among them. A lock would let anybody with a few addresses keep the user out
//!   for as long as he likes; a turn now and then keeps guesses as rare as a lock of ten minutes after ten failures
//!   would, and whoever logs in from where he did before does not even notice.
//!
//! The next answer of "no" takes longer each time. What is not tried spares the network, too. A right password is not
//! counted, forgives slips with this account from this address and nothing else (so nobody gets free guesses by logging
//! in to an account of his own), and whoever is on line already can log in again whatever others tried in his name.
//!
//! On the loopback a proxy may speak for everybody: it has more attempts, and is never known to an account.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::gateway::Time;

/// What is longer ago does not count.
pub const WINDOW: u64 = 600_000;
/// Failures of one address within the window past which nothing from there is tried.
pub const PER_ADDRESS: u32 = 20;
/// The same for the loopback.
const PER_PROXY: u32 = 1_000;
/// Failures for one account from one address within the window past which nothing from there is tried for it.
pub const PER_ACCOUNT: u32 = 10;
/// Failures for one account within the window past which those who are no friends of it have to take turns.
pub const BY_STRANGERS: u32 = 20;
/// How long a turn is.
pub const TURN: u64 = 60_000;
/// The first failure is answered after this time; each further one takes twice as long.
const FIRST_PAUSE: u64 = 500;
/// But no longer than this.
const LONGEST_PAUSE: u64 = 16_000;
/// Addresses, accounts and pairs of them that are remembered. Past it those that are known wait, and others are not
/// counted.
const REMEMBERED: usize = 50_000;
/// Addresses from which one account has logged in that are remembered, newest first.
const HOMES: usize = 4;
/// Accounts of which they are. Past it nobody new has any.
const AT_HOME: usize = 20_000;
/// How long an address counts as one of the account's after its last login from there.
const AT_HOME_FOR: u64 = 30 * 24 * 3_600_000;

/// Whose failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Whose {
    Address(IpAddr),
    /// Of an account, from one address.
    Pair(IpAddr, String),
    /// Of an account, from where it never logged in.
    Strangers(String),
}

/// Why an attempt is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// Whoever it is failed too often.
    Failures,
    /// Others did, and take turns.
    Strangers,
}

impl TooMany {
    /// For the user.
    pub fn text(self) -> &'static str {
        match self {
            Self::Failures => "There were too many failed logins; try again in ten minutes",
            Self::Strangers => {
                "Somebody else has tried too often to log in with this name; try again in a minute"
            }
        }
    }
}

/// Failed attempts to log in.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// How many, and when the last was.
    failed: HashMap<Whose, (u32, Time)>,
    /// When a stranger to an account was last let try, of those where strangers take turns.
    turns: HashMap<String, Time>,
    /// From where accounts logged in, and when last.
    homes: HashMap<String, Vec<(IpAddr, Time)>>,
}

impl Attempts {
    /// Begins an attempt, if it may be made.
    ///
    /// # Errors
    /// It may not.
    pub fn begin(&mut self, address: IpAddr, account: &str, now: Time) -> Result<(), TooMany> {
        let address = network(address);
        let (most, of_pair) = match address.is_loopback() {
            true => (PER_PROXY, 0),
            false => (PER_ADDRESS, self.count(&Whose::Pair(address, account.to_owned()), now)),
        };
        if of_pair >= PER_ACCOUNT || self.count(&Whose::Address(address), now) >= most {
            return Err(TooMany::Failures);
        }
        if self.is_home(address, account, now)
            || self.count(&Whose::Strangers(account.to_owned()), now) < BY_STRANGERS
        {
            return Ok(());
        }
        if self.turns.get(account).is_some_and(|last| now.since(*last) < TURN) {
            return Err(TooMany::Strangers);
        }
        self.turns.insert(account.to_owned(), now);
        Ok(())
    }

    /// One has failed. Gives how long its answer is to be held back.
    pub fn failed(&mut self, address: IpAddr, account: &str, now: Time) -> u64 {
        let address = network(address);
        let most = self.add(Whose::Address(address), now);
        if !account.is_empty() {
            self.add(Whose::Pair(address, account.to_owned()), now);
            if !self.is_home(address, account, now) {
                self.add(Whose::Strangers(account.to_owned()), now);
            }
        }
        (FIRST_PAUSE << (most - 1).min(16)).min(LONGEST_PAUSE)
    }

    /// One has succeeded: what was tried from there for this account before were slips.
    pub fn succeeded(&mut self, address: IpAddr, account: &str, now: Time) {
        let address = network(address);
        let pair = Whose::Pair(address, account.to_owned());
        let slips = self.count(&pair, now);
        self.failed.remove(&pair);
        self.forgive(&Whose::Address(address), slips);
        if !self.is_home(address, account, now) {
            self.forgive(&Whose::Strangers(account.to_owned()), slips);
        }
        if address.is_loopback() || self.homes.len() >= AT_HOME && !self.homes.contains_key(account) {
            return;
        }
        let homes = self.homes.entry(account.to_owned()).or_default();
        homes.retain(|(home, _)| *home != address);
        homes.truncate(HOMES - 1);
        homes.insert(0, (address, now));
    }

    /// Forgets what is long past. `false`: no failure is left.
    pub fn sweep(&mut self, now: Time) -> bool {
        self.failed.retain(|_, (_, last)| now.since(*last) < WINDOW);
        self.turns.retain(|_, last| now.since(*last) < TURN);
        self.homes.retain(|_, homes| {
            homes.retain(|(_, last)| now.since(*last) < AT_HOME_FOR);
            !homes.is_empty()
        });
        !self.failed.is_empty()
    }

    fn is_home(&self, address: IpAddr, account: &str, now: Time) -> bool {
        let mut homes = self.homes.get(account).into_iter().flatten();
        homes.any(|(home, last)| *home == address && now.since(*last) < AT_HOME_FOR)
    }

    fn count(&self, whose: &Whose, now: Time) -> u32 {
        self.failed.get(whose).filter(|(_, last)| now.since(*last) < WINDOW).map_or(0, |(count, _)| *count)
    }

    fn add(&mut self, whose: Whose, now: Time) -> u32 {
        let count = self.count(&whose, now).saturating_add(1);
        if self.failed.len() < REMEMBERED || self.failed.contains_key(&whose) {
            self.failed.insert(whose, (count, now));
        }
        count
    }

    fn forgive(&mut self, whose: &Whose, slips: u32) {
        if let Some((count, _)) = self.failed.get_mut(whose) {
            *count = count.saturating_sub(slips);
            if *count == 0 {
                self.failed.remove(whose);
            }
        }
    }
}

/// An IPv6 network of 64 bits is one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address if address.is_loopback() => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    impl Attempts {
        fn fail(&mut self, address: IpAddr, account: &str, times: u32) {
            for _ in 0..times {
                self.failed(address, account, Time(1));
            }
        }

        /// Several addresses have tried to guess Romeo's password.
        fn besieged() -> Self {
            let mut attempts = Self::default();
            for n in 0..BY_STRANGERS / PER_ACCOUNT {
                attempts.fail(format!("198.51.100.{n}").parse().unwrap(), "romeo", PER_ACCOUNT);
            }
            attempts
        }
    }

    #[test]
    fn answers_take_longer_and_then_there_are_none() {
        let mut attempts = Attempts::default();
        let pauses: Vec<u64> = (0..PER_ACCOUNT).map(|_| attempts.failed(HERE, "romeo", Time(1))).collect();
        assert_eq!(pauses[..4], [500, 1_000, 2_000, 4_000]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        assert_eq!(attempts.begin(HERE, "romeo", Time(1)), Err(TooMany::Failures));
        assert_eq!(attempts.begin(ELSEWHERE, "romeo", Time(1)), Ok(()), "one guesser shuts out himself");
        assert_eq!(attempts.begin(HERE, "juliet", Time(1)), Ok(()));
        attempts.fail(HERE, "juliet", PER_ADDRESS - PER_ACCOUNT);
        let spread = attempts.begin(HERE, "nurse", Time(1));
        assert_eq!(spread, Err(TooMany::Failures), "guesses spread over accounts");
        assert_eq!(attempts.begin(HERE, "romeo", Time(1).after(WINDOW)), Ok(()));
        assert!(!attempts.sweep(Time(1).after(WINDOW)));
    }

    #[test]
    fn strangers_take_turns_where_guesses_are_spread_over_addresses() {
        let mut attempts = Attempts::besieged();
        assert_eq!(attempts.begin(HERE, "romeo", Time(1)), Ok(()), "the first turn");
        assert_eq!(attempts.begin(ELSEWHERE, "romeo", Time(2)), Err(TooMany::Strangers));
        assert_eq!(attempts.begin(ELSEWHERE, "juliet", Time(2)), Ok(()));
        assert_eq!(attempts.begin(ELSEWHERE, "romeo", Time(1).after(TURN)), Ok(()));
        assert_eq!(attempts.begin(HERE, "romeo", Time(2).after(TURN)), Err(TooMany::Strangers));
    }

    #[test]
    fn who_comes_from_where_he_did_before_waits_for_no_turn() {
        let mut attempts = Attempts::besieged();
        attempts.succeeded(HERE, "romeo", Time(1));
        assert_eq!(attempts.begin(ELSEWHERE, "romeo", Time(1)), Ok(()), "the first turn");
        assert!((0..9).all(|_| attempts.begin(HERE, "romeo", Time(1)).is_ok()));
        // But he guesses no more freely than others.
        attempts.fail(HERE, "romeo", PER_ACCOUNT);
        assert_eq!(attempts.begin(HERE, "romeo", Time(1)), Err(TooMany::Failures));
        // The same holds of few addresses, and not for ever.
        let last = Time(1).after(AT_HOME_FOR);
        for n in 0..2 * HOMES {
            attempts.succeeded(format!("203.0.113.{n}").parse().unwrap(), "romeo", Time(2));
        }
        assert_eq!(attempts.homes["romeo"].len(), HOMES);
        attempts.sweep(last.after(1));
        assert!(attempts.homes.is_empty());
    }

    #[test]
    fn a_right_password_forgives_slips_with_it_and_nothing_else() {
        let mut attempts = Attempts::default();
        attempts.fail(HERE, "romeo", 1);
        attempts.succeeded(HERE, "romeo", Time(1));
        assert!(attempts.failed.is_empty());
        assert_eq!(attempts.failed(HERE, "romeo", Time(2)), FIRST_PAUSE);
        // Somebody with an account of his own guesses at others.
        let mut attempts = Attempts::default();
        for n in 0..PER_ADDRESS {
            attempts.fail(HERE, &format!("user{n}"), 1);
            attempts.succeeded(HERE, "tybalt", Time(1));
        }
        assert_eq!(attempts.begin(HERE, "romeo", Time(1)), Err(TooMany::Failures));
    }

    #[test]
    fn one_network_is_one_address() {
        let mut attempts = Attempts::default();
        for n in 0..PER_ADDRESS {
            attempts.fail(format!("2001:db8::{n:x}").parse().unwrap(), &format!("user{n}"), 1);
        }
        let same = attempts.begin("2001:db8::ffff".parse().unwrap(), "romeo", Time(1));
        assert_eq!(same, Err(TooMany::Failures));
        assert_eq!(attempts.begin("2001:db8:0:1::1".parse().unwrap(), "romeo", Time(1)), Ok(()));
    }

    #[test]
    fn a_proxy_speaks_for_many() {
        let mut attempts = Attempts::default();
        attempts.fail(LOOPBACK, "romeo", BY_STRANGERS);
        attempts.succeeded(LOOPBACK, "romeo", Time(1));
        attempts.fail(LOOPBACK, "romeo", BY_STRANGERS);
        assert_eq!(attempts.begin(LOOPBACK, "juliet", Time(1)), Ok(()));
        assert_eq!(attempts.begin(LOOPBACK, "romeo", Time(1)), Ok(()), "the first turn");
        assert_eq!(attempts.begin(LOOPBACK, "romeo", Time(1)), Err(TooMany::Strangers));
        for n in 0..PER_PROXY {
            attempts.fail(LOOPBACK, &format!("user{n}"), 1);
        }
        assert_eq!(attempts.begin(LOOPBACK, "juliet", Time(1)), Err(TooMany::Failures));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..REMEMBERED {
            attempts.fail(HERE, &format!("user{n}"), 1);
        }
        assert!(attempts.failed.len() <= REMEMBERED);
        for n in 0..=AT_HOME {
            attempts.succeeded(HERE, &format!("user{n}"), Time(1));
        }
        assert_eq!(attempts.homes.len(), AT_HOME);
    }
}
