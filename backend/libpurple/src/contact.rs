//! Contacts, both ways.
//!
//! libpurple tells of a contact many times while a list arrives, and again for each group. The daemon is told once: the
//! list in bursts, later changes at once, and nothing that it knows already.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spectrum2_backend_protocol::{Buddy, Frame};

use crate::html::printable;
use crate::purple::{Answer, Contact};
use crate::session::{Session, is_one_line};
use crate::settings::Settings;
use crate::status;

/// The first burst goes when the network has been quiet for so long,
const QUIET: Duration = Duration::from_millis(400);
/// or when so many contacts wait,
const BURST: usize = 200;
/// or after so long in any case.
const LONGEST: Duration = Duration::from_secs(3);

/// What the daemon knows of the contacts, and what it is to be told.
#[derive(Debug)]
pub struct Contacts {
    user: String,
    /// By normalised name: what was sent.
    known: BTreeMap<String, Buddy>,
    /// Normalised names of those that changed.
    changed: BTreeSet<String>,
    /// Since when the first of these waits, and since when the last.
    since: Instant,
    last: Instant,
    /// Whether the first burst is over.
    settled: bool,
}

impl Contacts {
    /// No contacts.
    pub const fn new(user: String, now: Instant) -> Self {
        Self { user, known: BTreeMap::new(), changed: BTreeSet::new(), since: now, last: now, settled: false }
    }

    /// Whether the daemon was told of this contact.
    pub fn is_known(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// The name under which the daemon knows a contact; a stranger's is the normalised one.
    pub fn name<'a>(&'a self, normalised: &'a str) -> &'a str {
        self.known.get(normalised).map_or(normalised, |buddy| &buddy.buddy_name)
    }

    /// A contact may have changed.
    pub fn touch(&mut self, name: String, now: Instant) {
        if self.changed.is_empty() {
            self.since = now;
        }
        self.last = now;
        self.changed.insert(name);
    }

    /// When to tell the daemon.
    pub fn deadline(&self) -> Option<Instant> {
        if self.changed.is_empty() {
            None
        } else if self.settled || self.changed.len() >= BURST {
            Some(self.since)
        } else {
            Some((self.last + QUIET).min(self.since + LONGEST))
        }
    }
}

impl Session {
    /// libpurple says that a contact is new, changed or gone.
    pub fn contact_changed(&mut self, name: &str, now: Instant) {
        let name = self.account.normalize(name);
        self.contacts.touch(name, now);
    }

    /// Tells the daemon of contacts that changed, if it is time.
    pub fn flush_contacts(&mut self, now: Instant, out: &mut Vec<Frame>) {
        if self.contacts.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if self.contacts.changed.len() < BURST {
            self.contacts.settled = true;
        }
        for name in std::mem::take(&mut self.contacts.changed) {
            match self.account.contact(&name) {
                Some(contact) => {
                    let buddy = to_frame(&self.contacts.user, &contact);
                    if self.contacts.known.get(&name) != Some(&buddy) {
                        self.contacts.known.insert(name, buddy.clone());
                        out.push(Frame::BuddyChanged(buddy));
                    }
                }
                None => {
                    if let Some(buddy) = self.contacts.known.remove(&name) {
                        out.push(Frame::BuddyRemoved(self.buddy(&buddy.buddy_name)));
                    }
                }
            }
        }
    }

    /// The user added, changed, accepted or blocked a contact.
    pub fn change_contact(&mut self, wanted: &Buddy, now: Instant) {
        let name = self.account.normalize(&wanted.buddy_name);
        if !self.account.is_connected()
            || name.is_empty()
            || !is_one_line(&name)
            || self.requests.is_assistant(&name)
        {
            return;
        }
        if let Some(blocked) = wanted.blocked {
            self.account.block(&name, blocked);
            self.contacts.touch(name, now);
            return;
        }
        if let Some(request) = self.requests.authorizations.remove(&name) {
            request.answer(&Answer::Authorize(true));
        }
        let alias = wanted.alias.as_deref().unwrap_or_default();
        match self.account.contact(&name) {
            None => self.account.add_contact(&name, alias, &wanted.groups),
            Some(present) => {
                if !alias.is_empty() && alias != present.alias && alias != present.name {
                    self.account.rename_contact(&name, alias);
                }
                let mut groups = wanted.groups.clone();
                groups.sort();
                groups.dedup();
                if !groups.is_empty() && groups != present.groups {
                    self.account.regroup_contact(&name, &groups);
                }
            }
        }
        self.contacts.touch(name, now);
    }

    /// The user refused or removed a contact.
    pub fn remove_contact(&mut self, settings: &Settings, wanted: &Buddy) {
        let name = self.account.normalize(&wanted.buddy_name);
        if let Some(request) = self.requests.authorizations.remove(&name) {
            request.answer(&Answer::Authorize(false));
        }
        // The daemon knows; it need not be told again.
        self.contacts.known.remove(&name);
        if settings.remove_contacts && self.account.is_connected() {
            self.account.remove_contact(&name);
        }
    }
}

/// A contact as the daemon is told of it: always whole, for an absent field would mean "none" to Spectrum 2's daemon.
fn to_frame(user: &str, contact: &Contact) -> Buddy {
    Buddy {
        user_name: user.to_owned(),
        buddy_name: contact.name.clone(),
        alias: Some(printable(&contact.alias)),
        groups: contact.groups.iter().map(|group| printable(group)).collect(),
        status: Some(status::from_network(contact.presence).into()),
        status_message: Some(printable(&contact.status_text)),
        icon_hash: Some(contact.icon_hash.clone()),
        blocked: Some(contact.blocked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_burst_waits_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let mut contacts = Contacts::new("romeo@example.org".to_owned(), start);
        assert_eq!(contacts.deadline(), None);
        contacts.touch("nurse".to_owned(), start);
        assert_eq!(contacts.deadline(), Some(start + QUIET));
        contacts.touch("tybalt".to_owned(), start + QUIET / 2);
        assert_eq!(contacts.deadline(), Some(start + QUIET / 2 + QUIET));
        contacts.touch("tybalt".to_owned(), start + LONGEST);
        assert_eq!(contacts.deadline(), Some(start + LONGEST));
    }

    #[test]
    fn a_long_list_goes_in_pieces() {
        let start = Instant::now();
        let mut contacts = Contacts::new("romeo@example.org".to_owned(), start);
        (0..BURST).for_each(|number| contacts.touch(format!("servant{number}"), start));
        assert_eq!(contacts.deadline(), Some(start));
    }

    #[test]
    fn later_changes_go_at_once() {
        let start = Instant::now();
        let mut contacts = Contacts::new("romeo@example.org".to_owned(), start);
        contacts.settled = true;
        let later = start + LONGEST;
        contacts.touch("nurse".to_owned(), later);
        assert_eq!(contacts.deadline(), Some(later));
    }
}
