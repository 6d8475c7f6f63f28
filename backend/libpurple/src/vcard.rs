//! Profiles: what a contact's says, and the user's own.

use std::collections::BTreeMap;

use base64::Engine as _;
use spectrum2_backend_protocol::{Frame, VCard};

use crate::html::{self, printable};
use crate::log;
use crate::purple::{CARD_ID, Card, text};
use crate::session::{Session, is_one_line};
use crate::settings::Settings;

/// Largest picture that is passed on, in bytes.
const MAX_PHOTO: usize = 1024 * 1024;
/// Contacts whose profile may be awaited; requests beyond are answered with what is known.
const MAX_AWAITED: usize = 100;

/// Profiles that were asked for: by normalised name, the numbers of the requests and the name as it was given.
#[derive(Debug, Default)]
pub struct Profiles {
    awaited: BTreeMap<String, Vec<(i32, String)>>,
    /// Occupants of rooms on an XMPP network, by the number of the request.
    occupants: BTreeMap<i32, String>,
}

impl Session {
    /// The user wants a profile, or has a new one.
    pub fn profile_frame(&mut self, settings: &Settings, frame: VCard, out: &mut Vec<Frame>) {
        match frame.photo {
            Some(photo) => self.publish_profile(&photo, frame.nickname.as_deref().unwrap_or_default()),
            None if !frame.buddy_name.is_empty() => {
                self.request_profile(settings, frame.buddy_name, frame.id, out);
            }
            None => {}
        }
    }

    /// An empty picture leaves the one that is there.
    fn publish_profile(&self, photo: &[u8], nickname: &str) {
        if !nickname.is_empty() {
            self.account.set_public_alias(nickname);
        }
        if photo.is_empty() || photo.len() > MAX_PHOTO {
            return;
        }
        self.account.set_icon(Some(photo));
        if let Err(error) = self.store.save_avatar(photo) {
            log::warning(format_args!(
                "A user's picture cannot be kept: {error}. Make room in service.working_dir."
            ));
        }
    }

    fn request_profile(&mut self, settings: &Settings, name: String, id: i32, out: &mut Vec<Frame>) {
        let occupant = name.split_once('/').filter(|(room, _)| self.account.is_in_room(room));
        let name = match occupant {
            Some((_, nick)) if self.rooms.is_irc() => nick.to_owned(),
            Some(_) if self.account.protocol().id() == "prpl-jabber" => {
                return self.request_card(settings, name, id, out);
            }
            _ => name,
        };
        let key = self.account.normalize(&name);
        let improper = !is_one_line(&key);
        let skipped = settings.no_profiles && !self.is_self(&key);
        let full = self.profiles.awaited.len() >= MAX_AWAITED;
        if improper || skipped || full || !self.account.is_connected() {
            out.push(Frame::VCard(self.profile(&name, id, &[])));
            return;
        }
        let asked = self.profiles.awaited.contains_key(&key);
        self.profiles.awaited.entry(key.clone()).or_default().push((id, name));
        if !asked && !self.account.request_user_info(&key) {
            self.profile_arrived(&key, &[], out);
        }
    }

    /// libpurple finds pictures of contacts only, so an occupant's vCard is asked for by ourselves (XEP-0054 §3.2).
    fn request_card(&mut self, settings: &Settings, name: String, id: i32, out: &mut Vec<Frame>) {
        let full = self.profiles.occupants.len() >= MAX_AWAITED;
        let stanza = format!(
            "<iq type='get' id='{CARD_ID}{id}' to='{}'><vCard xmlns='vcard-temp'/></iq>",
            text::for_stanza(&name)
        );
        if settings.no_profiles || full || !is_one_line(&name) || !self.account.send_raw(&stanza) {
            return out.push(Frame::VCard(self.profile(&name, id, &[])));
        }
        self.profiles.occupants.insert(id, name);
    }

    /// The vCard of an occupant came.
    pub fn card_arrived(&mut self, id: i32, from: &str, card: &Card, out: &mut Vec<Frame>) {
        if self.profiles.occupants.get(&id).is_none_or(|name| name != from) {
            return;
        }
        self.profiles.occupants.remove(&id);
        let base64: String = card.photo.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let photo = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
        out.push(Frame::VCard(VCard {
            user_name: self.user.clone(),
            buddy_name: from.to_owned(),
            id,
            fullname: Some(printable(card.full_name.trim())),
            nickname: Some(printable(card.nickname.trim())),
            photo: Some(if photo.len() <= MAX_PHOTO { photo } else { Vec::new() }),
        }));
    }

    /// The network answered.
    pub fn profile_arrived(&mut self, who: &str, facts: &[(String, String)], out: &mut Vec<Frame>) {
        let key = self.account.normalize(who);
        let bare = key.split('/').next().unwrap_or_default();
        let awaited = self.profiles.awaited.remove(&key).or_else(|| self.profiles.awaited.remove(bare));
        for (id, name) in awaited.unwrap_or_default() {
            out.push(Frame::VCard(self.profile(&name, id, facts)));
        }
    }

    fn is_self(&self, name: &str) -> bool {
        // prpl-jabber's accounts have a resource.
        let own = self.account.normalize(&self.account.name());
        own.split('/').next() == Some(name)
    }

    fn profile(&self, name: &str, id: i32, facts: &[(String, String)]) -> VCard {
        let Names { full, mut nickname } = names(facts);
        let own = self.is_self(&self.account.normalize(name));
        if nickname.is_empty() {
            nickname = match self.account.contact(name) {
                _ if own => self.account.display_name(),
                Some(contact) if !contact.alias.is_empty() => contact.alias,
                _ => full.clone(),
            };
        }
        let photo = if own { self.account.own_icon() } else { self.account.contact_icon(name) };
        VCard {
            user_name: self.user.clone(),
            buddy_name: name.to_owned(),
            id,
            fullname: Some(full),
            nickname: Some(nickname),
            photo: Some(photo.filter(|photo| photo.len() <= MAX_PHOTO).unwrap_or_default()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Names {
    full: String,
    nickname: String,
}

/// The names among the facts that a plugin tells under labels of its own.
fn names(facts: &[(String, String)]) -> Names {
    let fact = |labels: &[&str]| {
        let labelled = |(label, _): &&(String, String)| {
            let label = label.trim().trim_end_matches(':').to_lowercase();
            labels.contains(&label.as_str())
        };
        let value = facts.iter().find(labelled).map(|(_, value)| html::from_network(value).plain);
        printable(value.unwrap_or_default().trim())
    };
    let (given, family) = (fact(&["given name", "first name"]), fact(&["family name", "last name"]));
    let mut full = fact(&["full name", "display name"]);
    if full.is_empty() {
        full = format!("{given} {family}").trim().to_owned();
    }
    Names { full, nickname: fact(&["nickname", "nick"]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(facts: &[(&str, &str)]) -> Vec<(String, String)> {
        facts.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_full_name_is_found_or_composed() {
        let given = facts(&[("First Name", "Tybalt"), ("Last name", "Capulet"), ("Nick", "Prince of Cats")]);
        assert_eq!(
            names(&given),
            Names { full: "Tybalt Capulet".to_owned(), nickname: "Prince of Cats".to_owned() }
        );
        let given = facts(&[("Full Name:", "Tybalt &amp; Co"), ("First Name", "T")]);
        assert_eq!(names(&given).full, "Tybalt & Co");
        assert_eq!(names(&[]).full, "");
    }
}
