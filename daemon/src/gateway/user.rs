//! One XMPP user: the only owner of his resources, contacts, session and of what he waits for.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Frame, StatusType};
use spectrum2_xmpp::Element;
use spectrum2_xmpp::xep_0115::Caps;

use super::account::Admission;
use super::admin::{Asker, Request};
use super::contact::{Contact, Contacts};
use super::context::{Context, Query};
use super::disco;
use super::event::{Link, Time};
use super::message::Kept;
use super::presence::{self, Resource};
use super::room::Rooms;
use super::room_iq::Awaited;
use super::room_kept::KeptRooms;
use super::roster::Roster;
use super::session::{Session, Trouble};
use super::timer::Timer;
use super::vcard::Request as VCardRequest;
use crate::storage::{self, Registration, StoredUser};

/// Clients of one user that are told apart.
const RESOURCES: usize = 50;
/// A user who is not logged in is forgotten after this time; storage has him.
const FORGET: u64 = 60_000;
/// Changed contacts are written together, after this time.
const SAVE: u64 = 2_000;
/// Clients that do not show up again this long after the XMPP link came back are gone.
const REAPPEAR: u64 = 120_000;

/// What came while storage was asked for the user.
#[derive(Debug, Serialize, Deserialize)]
pub enum Early {
    /// A stanza of his.
    Stanza(Element),
    /// A request of an admin about him.
    Admin(Asker, Request),
    /// He was logged in before the restart.
    Wake,
    /// Somebody logs in as him (server mode).
    Admission(Admission),
}

/// One XMPP user.
#[derive(Debug, Serialize, Deserialize)]
pub struct User {
    /// Bare JID.
    pub jid: BareJid,
    /// What came while storage was asked; `None` once it has answered.
    pub early: Option<VecDeque<Early>>,
    /// What the user registered; `None` if he did not.
    pub registration: Option<Registration>,
    /// Rows of `users_settings`.
    pub settings: Vec<(String, String)>,
    /// Contacts on the network.
    pub contacts: Contacts,
    /// Clients that are on line, by resource. Boxed, because a tree has room for eleven.
    pub resources: BTreeMap<String, Box<Resource>>,
    /// Where he stands with the network.
    pub session: Session,
    /// The backend that he left last.
    pub left: Option<Link>,
    /// The ping that his backend was sent before it was told to log him in, if he was on it before: what it says of logins
    /// until it answers is about an earlier one.
    pub login_ping: u64,
    /// When he came to stand there; `None` if that is not known any more.
    pub since: Option<Time>,
    /// When the login that is under way began.
    pub login_since: Time,
    /// What went wrong lately.
    pub trouble: Trouble,
    /// How contacts get into his roster.
    pub roster: Roster,
    /// Messages that the network has not taken yet.
    pub kept: VecDeque<Kept>,
    /// Rooms that he is in, or wants to be in.
    pub rooms: Rooms,
    /// What he, as a moderator, asked of the network.
    pub commands: Vec<Awaited>,
    /// Strangers on the network who ask for his presence: local part → legacy name.
    pub auth_requests: HashMap<String, String>,
    /// What the network is to be told once he is logged in.
    pub unsent: Vec<Frame>,
    /// vCards that he waits for.
    pub vcards: BTreeMap<i32, VCardRequest>,
    /// What the network was last told of his presence.
    pub shown: Option<(StatusType, String)>,
    /// A client of his is connected, whether it shows itself or not (server mode).
    pub attached: bool,
    /// The login under way decides whether a client is let in (server mode).
    pub trying: bool,
    pub(super) last_serial: u64,
    pub(super) last_vcard: i32,
}

impl User {
    /// A user of whom nothing is known yet.
    pub fn new(jid: BareJid) -> Self {
        Self {
            jid,
            early: Some(VecDeque::new()),
            registration: None,
            settings: Vec::new(),
            contacts: Contacts::default(),
            resources: BTreeMap::new(),
            session: Session::Offline,
            left: None,
            login_ping: 0,
            since: None,
            login_since: Time::default(),
            trouble: Trouble::default(),
            roster: Roster::default(),
            kept: VecDeque::new(),
            rooms: Rooms::default(),
            commands: Vec::new(),
            auth_requests: HashMap::new(),
            unsent: Vec::new(),
            vcards: BTreeMap::new(),
            shown: None,
            attached: false,
            trying: false,
            last_serial: 0,
            last_vcard: 0,
        }
    }

    /// Takes over what storage has of him; gives what waited for it.
    pub fn loaded(&mut self, stored: Option<StoredUser>) -> VecDeque<Early> {
        if let Some(stored) = stored {
            self.registration = Some(stored.registration);
            self.settings = stored.settings;
            self.rooms.kept = KeptRooms::take(&mut self.settings);
            for contact in stored.contacts.into_iter().filter_map(Contact::new) {
                self.contacts.insert(contact);
            }
        }
        self.early.take().unwrap_or_default()
    }

    /// A setting of the user that is on or off, else what `[settings]` says, else what is usual.
    pub fn setting(&self, cx: &Context, name: &str) -> bool {
        let own = self.settings.iter().find(|(var, _)| var == name).map(|(_, value)| value.as_str());
        // Spectrum 2 stores what clients send (`true`) and reads only `1`.
        match (own, name) {
            (Some(value), _) => matches!(value, "1" | "true"),
            (None, "enable_transport") => true,
            (None, "send_headlines") => cx.config.settings.send_headlines,
            (None, "stay_connected") => cx.config.settings.stay_connected,
            (None, _) => false,
        }
    }

    /// His row in storage, if it may be written: not while it is being deleted, for its number may be another's then.
    fn row(&self, cx: &Context) -> Option<i64> {
        let registration = self.registration.as_ref()?;
        (registration.id != 0 && !cx.is_being_removed(&self.jid)).then_some(registration.id)
    }

    /// Changes a setting, here and in storage. `kind` is Spectrum 2's number: 4 boolean, 13 string, 0 other.
    pub fn set_setting(&mut self, cx: &mut Context, name: &str, kind: i32, value: String) {
        match self.row(cx) {
            Some(id) => cx.store(
                storage::Request::SaveSetting(id, name.to_owned(), kind, value.clone()),
                format!("setting {name} of {}", self.jid),
            ),
            // He is being stored for the first time, and then this is too.
            None if self.attached && self.registration.is_some() => {}
            None => return,
        }
        match self.settings.iter_mut().find(|(var, _)| var == name) {
            Some(row) => row.1 = value,
            None => self.settings.push((name.to_owned(), value)),
        }
    }

    /// The client that speaks for him.
    pub fn best(&self) -> Option<(&String, &Resource)> {
        let resources = self.resources.iter().map(|(name, resource)| (name, &**resource));
        resources.max_by_key(|(_, resource)| resource.rank())
    }

    /// He was logged in before the restart. A bouncer is again; the others' servers are asked whether they are there.
    pub fn wake(&mut self, cx: &mut Context) {
        if self.registration.is_none() {
            return;
        }
        let probe = presence::probe(cx, &self.jid);
        cx.send(probe);
        if self.wanted(cx) {
            self.log_in(cx);
        }
    }

    /// A client of somebody who is not registered: he may be, soon.
    pub fn stranger_available(&mut self, cx: &mut Context, name: &str, stanza: &Element) {
        if self.resources.len() < RESOURCES {
            self.resources.insert(name.to_owned(), Box::new(Resource::read(stanza)));
        }
        self.auto_register(cx);
    }

    /// One of his clients is on line, or shows something else.
    pub fn available(&mut self, cx: &mut Context, name: &str, stanza: &Element) {
        let mut resource = Resource::read(stanza);
        let known = self.resources.get(name);
        let is_new = known.is_none_or(|known| known.stale);
        let came = known.is_none();
        if known.is_none() && self.resources.len() >= RESOURCES {
            return;
        }
        resource.exchange =
            known.and_then(|known| known.exchange).or_else(|| disco::known_client(cx, stanza));
        let exchange = resource.exchange;
        self.resources.insert(name.to_owned(), Box::new(resource));
        cx.timers.cancel(&Timer::Forget(self.jid.clone()));
        if is_new && exchange.is_none() {
            self.ask_features(cx, name, Caps::read(stanza));
        }
        let before = self.session.clone();
        if came || self.session == Session::Offline {
            // A wrong password stays wrong when a client merely goes away from the keyboard.
            self.log_in(cx);
        }
        match self.online() {
            Some(_) => {
                self.send_status(cx);
                if is_new {
                    self.present_to(cx, name);
                }
            }
            None if is_new && self.session == before => {
                let to = presence::full(&self.jid, name);
                let state = self.state_stanza(cx, &to, None);
                cx.send(state);
                self.send_status(cx);
            }
            None => self.send_status(cx),
        }
        self.check_avatar(cx);
    }

    /// A client is new: it is shown how everything stands.
    fn present_to(&mut self, cx: &mut Context, name: &str) {
        let to = presence::full(&self.jid, name);
        let state = self.state_stanza(cx, &to, None);
        cx.send(state);
        for contact in self.contacts.iter() {
            if contact.is_visible() {
                let stanza = presence::of_contact(cx, contact, &to);
                cx.send(stanza);
            }
        }
    }

    /// A client went off line (or told only the gateway so).
    pub fn unavailable(&mut self, cx: &mut Context, name: Option<&str>) {
        let gone: Vec<String> = match name {
            Some(name) => self.resources.remove(name).map(|_| name.to_owned()).into_iter().collect(),
            // From the bare JID, the answer to a probe: nobody is there. Not yet, if his server has just come back.
            None if self.resources.values().any(|resource| resource.stale) => return,
            // Who is there for a room only is not known to the server as one who is there for us.
            None => {
                self.resources.extract_if(.., |_, resource| !resource.guest).map(|(name, _)| name).collect()
            }
        };
        for name in &gone {
            self.leave_rooms(cx, name);
        }
        if !self.wanted(cx) {
            self.leave(cx);
            return;
        }
        for name in gone {
            self.part_from(cx, &name);
        }
        self.send_status(cx);
    }

    /// Takes back what a client that left was shown: it may be there still, and have left only us.
    fn part_from(&self, cx: &mut Context, name: &str) {
        let to = presence::full(&self.jid, name);
        for contact in self.contacts.iter() {
            if contact.is_visible() {
                cx.send(presence::typed(cx.contact_full(&contact.node), to.clone(), "unavailable"));
            }
        }
        cx.send(presence::typed(cx.jid.as_str(), to, "unavailable"));
    }

    /// The XMPP link is back. Who is there now is asked; what was shown before does not count.
    pub fn link_is_back(&mut self, cx: &mut Context) {
        for contact in self.contacts.iter_mut().filter(|contact| contact.lost_sight) {
            contact.lost_sight = false;
            if !contact.is_visible() {
                let stanza = presence::of_contact(cx, contact, self.jid.as_str());
                cx.send(stanza);
            }
        }
        self.rooms_reappear(cx);
        if self.session != Session::Offline {
            self.roster_ready(cx);
        }
        for resource in self.resources.values_mut() {
            resource.stale = true;
        }
        if self.session != Session::Offline || !self.resources.is_empty() {
            if self.registration.is_some() {
                let probe = presence::probe(cx, &self.jid);
                cx.send(probe);
            }
            // For strangers too: they may register meanwhile.
            cx.timers.set(Timer::Reappear(self.jid.clone()), cx.now.after(REAPPEAR));
        }
    }

    /// The XMPP link is lost: what is shown from now on is not seen.
    pub fn link_is_lost(&mut self, cx: &mut Context) {
        cx.timers.cancel(&Timer::Reappear(self.jid.clone()));
        for contact in self.contacts.iter_mut() {
            contact.lost_sight |= contact.is_visible();
        }
        self.roster_interrupted();
    }

    /// Clients that did not show up again are gone.
    pub fn drop_stale(&mut self, cx: &mut Context) {
        let before = self.resources.len();
        let stale = self.resources.iter().filter(|(_, resource)| resource.stale);
        let gone: Vec<String> = stale.map(|(name, _)| name.clone()).collect();
        self.resources.retain(|_, resource| !resource.stale);
        if self.resources.len() == before {
            return;
        }
        for name in gone {
            self.leave_rooms(cx, &name);
        }
        if self.wanted(cx) {
            self.send_status(cx);
        } else {
            self.leave(cx);
        }
    }

    /// Nobody is there any more for whom to be on line.
    pub(super) fn leave(&mut self, cx: &mut Context) {
        if self.session == Session::Offline {
            self.forget_later(cx);
        } else {
            self.log_out(cx);
        }
    }

    /// Asks a client what it can do (XEP-0030), to know whether it takes roster item exchanges.
    fn ask_features(&mut self, cx: &mut Context, name: &str, caps: Option<Caps>) {
        // Without a resource, his server would answer in his client's place.
        let client = presence::full(&self.jid, name).parse::<Jid>().ok().filter(|_| !name.is_empty());
        let asked = client.is_some_and(|client| {
            let iq = disco::ask(cx, &client);
            cx.query(&self.jid, client, iq, Query::Features(caps))
        });
        if let Some(resource) = self.resources.get_mut(name).filter(|_| !asked) {
            resource.exchange = Some(false);
        }
    }

    /// Asks the clients that showed themselves before he registered: as a stranger's they were not asked.
    pub fn ask_clients(&mut self, cx: &mut Context) {
        let unknown = self.resources.iter().filter(|(_, resource)| resource.exchange.is_none());
        for name in unknown.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.ask_features(cx, &name, None);
        }
    }

    /// Remembers that contacts or rooms must be written.
    pub fn save_later(&self, cx: &mut Context) {
        cx.timers.set_once(Timer::Save(self.jid.clone()), cx.now.after(SAVE));
    }

    /// Writes changed contacts, and rooms.
    pub fn save_now(&mut self, cx: &mut Context) {
        cx.timers.cancel(&Timer::Save(self.jid.clone()));
        let row = self.registration.as_ref().map_or(0, |registration| registration.id);
        if row == 0 {
            return;
        }
        if cx.is_being_removed(&self.jid) {
            // If it fails there is time enough; if not, nobody must inherit them with the number of the row.
            return self.save_later(cx);
        }
        let mut changed = Vec::new();
        for contact in self.contacts.iter_mut().filter(|contact| contact.dirty) {
            contact.dirty = false;
            changed.push(contact.stored.clone());
        }
        if !changed.is_empty() {
            cx.store(storage::Request::SaveContacts(row, changed), format!("contacts of {}", self.jid));
        }
        self.save_rooms(cx, row);
    }

    /// Deletes a contact from storage.
    pub fn unsave(&self, cx: &mut Context, legacy_name: &str) {
        if let Some(id) = self.row(cx) {
            cx.store(
                storage::Request::RemoveContacts(id, vec![legacy_name.to_owned()]),
                format!("removal of a contact of {}", self.jid),
            );
        }
    }

    /// Lets go of the user after a while, unless he comes back.
    pub fn forget_later(&self, cx: &mut Context) {
        cx.timers.set(Timer::Forget(self.jid.clone()), cx.now.after(FORGET));
    }

    /// Nothing is lost if he is forgotten.
    pub fn forgettable(&self) -> bool {
        // A stranger's clients are not worth remembering.
        let nobody = !self.attached && (self.resources.is_empty() || self.registration.is_none());
        let owed = !self.kept.is_empty() || !self.vcards.is_empty();
        self.early.is_none() && self.session == Session::Offline && nobody && !owed
    }
}
