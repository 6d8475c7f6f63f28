//! Limits on attempts to log in: who guesses passwords is slowed down, then shut out for a while.
//!
//! What fails is counted for the address it came from and for the account it was for, within [`WINDOW`]. The next answer
//! of "no" takes longer each time; past a count nothing is tried any more, which spares the network, too. A right
//! password is not counted, and whoever is on line already can log in again whatever others tried in his name.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::gateway::Time;

/// What is longer ago does not count.
pub const WINDOW: u64 = 600_000;
/// Failures of one address within the window past which nothing is tried.
pub const PER_ADDRESS: u32 = 20;
/// Failures for one account within the window past which nothing is tried.
pub const PER_ACCOUNT: u32 = 10;
/// The first failure is answered after this time; each further one takes twice as long.
const FIRST_PAUSE: u64 = 500;
/// But no longer than this.
const LONGEST_PAUSE: u64 = 16_000;
/// Addresses and accounts that are remembered. Past it those that are known wait, and others are not counted.
const REMEMBERED: usize = 20_000;

/// Whose failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Whose {
    Address(IpAddr),
    Account(String),
}

/// Failed attempts to log in.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// How many, and when the last was.
    failed: HashMap<Whose, (u32, Time)>,
}

impl Attempts {
    /// Whether another attempt may be made.
    pub fn allowed(&self, address: IpAddr, account: &str, now: Time) -> bool {
        let [of_address, of_account] = keys(address, account);
        self.count(&of_address, now) < PER_ADDRESS && self.count(&of_account, now) < PER_ACCOUNT
    }

    /// One has failed. Gives how long its answer is to be held back.
    pub fn failed(&mut self, address: IpAddr, account: &str, now: Time) -> u64 {
        let mut most = 0;
        for key in keys(address, account) {
            let count = self.count(&key, now).saturating_add(1);
            most = most.max(count);
            if self.failed.len() < REMEMBERED || self.failed.contains_key(&key) {
                self.failed.insert(key, (count, now));
            }
        }
        (FIRST_PAUSE << (most - 1).min(16)).min(LONGEST_PAUSE)
    }

    /// One has succeeded: what was tried for this account before were slips. What was tried from there for others was not.
    pub fn succeeded(&mut self, address: IpAddr, account: &str) {
        let [of_address, of_account] = keys(address, account);
        let slips = self.failed.remove(&of_account).map_or(0, |(count, _)| count);
        if let Some((count, _)) = self.failed.get_mut(&of_address) {
            *count = count.saturating_sub(slips);
        }
    }

    /// Forgets what is long past. `false`: nothing is left.
    pub fn sweep(&mut self, now: Time) -> bool {
        self.failed.retain(|_, (_, last)| now.since(*last) < WINDOW);
        !self.failed.is_empty()
    }

    fn count(&self, whose: &Whose, now: Time) -> u32 {
        self.failed.get(whose).filter(|(_, last)| now.since(*last) < WINDOW).map_or(0, |(count, _)| *count)
    }
}

/// An IPv6 network of 64 bits is one customer.
fn keys(address: IpAddr, account: &str) -> [Whose; 2] {
    let address = match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    };
    [Whose::Address(address), Whose::Account(account.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn answers_take_longer_and_then_there_are_none() {
        let mut attempts = Attempts::default();
        let pauses: Vec<u64> = (0..PER_ACCOUNT).map(|_| attempts.failed(HERE, "romeo", Time(1))).collect();
        assert_eq!(pauses[..4], [500, 1_000, 2_000, 4_000]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        assert!(!attempts.allowed(ELSEWHERE, "romeo", Time(1)), "guesses spread over addresses");
        assert!(attempts.allowed(HERE, "juliet", Time(1)));
        for _ in PER_ACCOUNT..PER_ADDRESS {
            attempts.failed(HERE, "juliet", Time(1));
        }
        assert!(!attempts.allowed(HERE, "nurse", Time(1)), "guesses spread over accounts");
        assert!(attempts.allowed(HERE, "romeo", Time(1).after(WINDOW)));
        assert!(!attempts.sweep(Time(1).after(WINDOW)));
    }

    #[test]
    fn a_right_password_forgives_slips() {
        let mut attempts = Attempts::default();
        attempts.failed(HERE, "romeo", Time(1));
        attempts.succeeded(HERE, "romeo");
        assert_eq!(attempts.failed(HERE, "romeo", Time(2)), FIRST_PAUSE);
    }

    #[test]
    fn one_network_is_one_address() {
        let mut attempts = Attempts::default();
        for n in 0..PER_ADDRESS {
            let address = format!("2001:db8::{n:x}").parse().unwrap();
            attempts.failed(address, &format!("user{n}"), Time(1));
        }
        assert!(!attempts.allowed("2001:db8::ffff".parse().unwrap(), "romeo", Time(1)));
        assert!(attempts.allowed("2001:db8:0:1::1".parse().unwrap(), "romeo", Time(1)));
    }
}
