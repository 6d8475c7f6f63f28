//! Who is let in: the bounds on clients that have not logged in.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use crate::client::Client;

/// Strangers at once.
const STRANGERS: usize = 1_000;
/// Strangers at once from one address. On the loopback there may be a proxy, which speaks for many.
const FROM_ONE_ADDRESS: u32 = 20;

/// Counts strangers.
#[derive(Debug, Default)]
pub struct Doorman(RefCell<Strangers>);

#[derive(Debug, Default)]
struct Strangers {
    /// How far each has come, then in the order of their coming: the first is the one that is missed least.
    line: BTreeSet<(bool, Client)>,
    from: HashMap<IpAddr, u32>,
}

/// The place of one stranger; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    doorman: Rc<Doorman>,
    client: Client,
    network: IpAddr,
}

impl Doorman {
    /// Gives a stranger a place.
    pub fn admit(self: &Rc<Self>, client: Client, address: IpAddr) -> Result<Permit, &'static str> {
        let network = network(address);
        let mut strangers = self.0.borrow_mut();
        let count = strangers.from.entry(network).or_default();
        if *count >= FROM_ONE_ADDRESS && !address.is_loopback() {
            return Err("too many from its address have not logged in");
        }
        *count += 1;
        strangers.line.insert((false, client));
        Ok(Permit { doorman: Rc::clone(self), client, network })
    }

    /// The stranger who has to make room, if there are too many; of those who have come least far, the one who has
    /// waited longest. Nobody is named twice: it takes a moment until one is gone.
    pub fn evict(&self) -> Option<Client> {
        let mut strangers = self.0.borrow_mut();
        let is_crowded = strangers.line.len() > STRANGERS;
        is_crowded.then(|| strangers.line.pop_first()).flatten().map(|(_, client)| client)
    }
}

impl Permit {
    /// The stranger has shown that somebody is there: the TLS handshake is done.
    pub fn promote(&self) {
        let mut strangers = self.doorman.0.borrow_mut();
        if strangers.line.remove(&(false, self.client)) {
            strangers.line.insert((true, self.client));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut strangers = self.doorman.0.borrow_mut();
        strangers.line.remove(&(false, self.client));
        strangers.line.remove(&(true, self.client));
        if let Some(count) = strangers.from.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                strangers.from.remove(&self.network);
            }
        }
    }
}

/// What one party commands: an address of IPv4, or a whole subnet of IPv6 (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doorman() -> Rc<Doorman> {
        Rc::default()
    }

    #[test]
    fn one_address_gets_so_many_places_and_gets_them_back() {
        let doorman = doorman();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let admit = |n| doorman.admit(Client(n), address);
        let mut permits: Vec<_> = (0..20).map(|n| admit(n).unwrap()).collect();
        assert!(admit(20).is_err());
        assert!(doorman.admit(Client(21), "192.0.2.2".parse().unwrap()).is_ok());
        permits.pop();
        permits.push(admit(22).unwrap());
        drop(permits);
        assert!(doorman.0.borrow().from.is_empty() && doorman.0.borrow().line.is_empty());
    }

    #[test]
    fn a_subnet_counts_as_one_and_the_loopback_does_not_count() {
        let doorman = doorman();
        let admit = |n: u64, address: String| doorman.admit(Client(n), address.parse().unwrap());
        let _permits: Vec<_> = (0..20).map(|n| admit(n, format!("2001:db8::{n:x}")).unwrap()).collect();
        assert!(admit(20, "2001:db8::ffff".to_owned()).is_err());
        assert!(admit(21, "2001:db8:0:1::1".to_owned()).is_ok());
        let _loopback: Vec<_> = (100..200).map(|n| admit(n, "127.0.0.1".to_owned()).unwrap()).collect();
    }

    #[test]
    fn the_stranger_who_is_missed_least_makes_room() {
        let doorman = doorman();
        let admit = |n: u64| {
            let address = Ipv6Addr::from((u128::from(n) << 64) | (0x2001 << 112));
            doorman.admit(Client(n), address.into()).unwrap()
        };
        let mut permits: Vec<_> = (0..=STRANGERS as u64).map(admit).collect();
        assert_eq!(doorman.evict(), Some(Client(0)));
        // It is on its way out, and does not count any more.
        assert_eq!(doorman.evict(), None);
        permits[0].promote();
        permits[1].promote();
        permits.push(admit(STRANGERS as u64 + 1));
        assert_eq!(doorman.evict(), Some(Client(2)));
        drop(permits);
        assert_eq!(doorman.evict(), None);
    }
}
