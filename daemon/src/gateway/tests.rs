//! Conversations with the core: an XMPP server, backends and storage are played, time is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jid::BareJid;
use spectrum2_backend_protocol::{
    BackendConfig, Buddy, Connected, ConversationMessage, Disconnected, Frame, Login, MessageResult,
    StatusType, VCard,
};
use spectrum2_config::{Config, NoSecrets, Overrides};
use spectrum2_xmpp::{Element, ns};

use super::admin::{Memory, Notice, Outcome, Ticket};
use super::{Action, Event, Gateway, Link, Time};
use crate::storage::{Answer, Archives, Registration, Request, StoredContact, StoredUser};
use crate::testing::{Frames, buddy};

mod adhoc;
mod admin;
mod backends;
mod bookmarks;
mod chaos;
mod counters;
mod history;
mod link;
mod messages;
mod presence;
mod registration;
mod registration_limits;
mod room_first;
mod room_flood;
mod rooms;
mod rooms_xep_0045;
mod roster;

const GATEWAY: &str = "irc.example.org";
const ROMEO: &str = "romeo@example.org/orchard";

/// What our own backend announces.
const OURS: &str = "[registration]\nneedPassword=1\nneedRegistration=1\n[features]\nmuc=1\n\
                    [extensions]\nname=ack\nname=problem\nname=rooms\n";
/// What a backend of Spectrum 2 announces.
const THEIRS: &str = "[registration]\nneedPassword=1\nneedRegistration=1\n[features]\nmuc=1\nrawxml=0\n";

/// The play: the core, and everybody else.
struct Stage {
    gateway: Gateway,
    now: Time,
    stanzas: Vec<Element>,
    frames: Frames,
    opened: Vec<Link>,
    closed: Vec<Link>,
    database: BTreeMap<BareJid, StoredUser>,
    online: BTreeSet<i64>,
    archives: Archives,
    /// Backends announce this text.
    capabilities: &'static str,
    /// Backends answer pings.
    answering: bool,
    misconfigured: Option<String>,
    /// Answers to admins on the bus.
    answers: Vec<(Ticket, Outcome)>,
    /// What those who watch were told.
    notices: Vec<Notice>,
    /// What the transport file holds when it is read again.
    file: Result<Arc<Config>, String>,
    stopped: bool,
    next_id: i64,
    /// Answers of storage that it takes its time with; none while it is quick.
    held: Option<Vec<Event>>,
}

impl Stage {
    /// A gateway whose XMPP link stands, with a warm backend.
    fn new() -> Self {
        Self::with("", OURS)
    }

    /// The same, with more options and a backend that announces `capabilities`.
    fn with(options: &str, capabilities: &'static str) -> Self {
        let mut stage = Self::unconnected(options, capabilities);
        stage.event(Event::XmppUp);
        stage.event(Event::Tick);
        stage.stanzas.clear();
        stage.frames.clear();
        stage
    }

    fn unconnected(options: &str, capabilities: &'static str) -> Self {
        let gateway = Gateway::new(config(options), Time(1_000), 7).expect("a valid configuration");
        Self {
            gateway,
            now: Time(1_000),
            stanzas: Vec::new(),
            frames: Frames::default(),
            opened: Vec::new(),
            closed: Vec::new(),
            database: BTreeMap::new(),
            online: BTreeSet::new(),
            archives: Archives::default(),
            capabilities,
            answering: true,
            misconfigured: None,
            answers: Vec::new(),
            notices: Vec::new(),
            file: Err("irc.cfg cannot be read".to_owned()),
            stopped: false,
            next_id: 1,
            held: None,
        }
    }

    /// Something happens; storage and new backends do their part at once.
    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.gateway.handle(self.now, event, &mut actions);
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Client(..) => panic!("the gateway knows no clients"),
                    Action::Stanza(stanza) => {
                        let written = stanza.to_xml();
                        self.stanzas.push(Element::parse(&written).expect("what we send is well-formed"));
                    }
                    Action::Frame(link, Frame::Ping) if self.answering => {
                        next.push(Event::Frame(link, Frame::Pong));
                    }
                    Action::Frame(_, Frame::Ping) => {}
                    Action::Frame(link, frame) => self.frames.push((link, frame)),
                    Action::OpenBackend(link) => {
                        self.opened.push(link);
                        let config = BackendConfig { config: self.capabilities.to_owned() };
                        next.push(Event::BackendUp(link));
                        next.push(Event::Frame(link, Frame::BackendConfig(config)));
                    }
                    Action::CloseBackend(link) => self.closed.push(link),
                    Action::Store(token, request) => {
                        let answered = Event::Stored(token, Ok(self.store(request)));
                        match &mut self.held {
                            Some(held) => held.push(answered),
                            None => next.push(answered),
                        }
                    }
                    Action::Admin(ticket, outcome) => self.answers.push((ticket, outcome)),
                    Action::Notice(notice) => self.notices.push(notice),
                    Action::Reload => next.push(Event::Reload(self.file.clone())),
                    Action::Measure => next.push(Event::Measured(Memory { resident: 9_000, shared: 4_000 })),
                    Action::Misconfigured(text) => self.misconfigured = Some(text),
                    Action::Stopped => self.stopped = true,
                }
            }
            next.reverse();
            events.extend(next);
        }
    }

    fn store(&mut self, request: Request) -> Answer {
        let by_id = |database: &BTreeMap<BareJid, StoredUser>, id: i64| {
            database.iter().find(|(_, user)| user.registration.id == id).map(|(jid, _)| jid.clone())
        };
        match request {
            Request::LoadUser(jid) => Answer::User(self.database.get(&jid).cloned().map(Box::new)),
            Request::SaveUser(jid, mut registration) => {
                if let Some(user) = self.database.get_mut(&jid) {
                    registration.id = user.registration.id;
                    user.registration = registration;
                    return Answer::Id(user.registration.id);
                }
                registration.id = self.next_id;
                self.next_id += 1;
                let id = registration.id;
                self.database.insert(jid, StoredUser { registration, settings: vec![], contacts: vec![] });
                Answer::Id(id)
            }
            Request::RemoveUser(id) => {
                self.in_archives(Request::RemoveUser(id));
                if let Some(jid) = by_id(&self.database, id) {
                    self.database.remove(&jid);
                }
                Answer::Done
            }
            Request::SetOnline(id, true) => {
                self.online.insert(id);
                Answer::Done
            }
            Request::SetOnline(id, false) => {
                self.online.remove(&id);
                Answer::Done
            }
            Request::SaveContacts(id, contacts) => {
                let user = by_id(&self.database, id)
                    .and_then(|jid| self.database.get_mut(&jid))
                    .expect("the user is stored");
                for contact in contacts {
                    user.contacts.retain(|old| old.legacy_name != contact.legacy_name);
                    user.contacts.push(contact);
                }
                Answer::Done
            }
            Request::RemoveContacts(id, names) => {
                let user = by_id(&self.database, id)
                    .and_then(|jid| self.database.get_mut(&jid))
                    .expect("the user is stored");
                user.contacts.retain(|contact| !names.contains(&contact.legacy_name));
                Answer::Done
            }
            Request::SaveSetting(id, name, _, value) => {
                let user = by_id(&self.database, id)
                    .and_then(|jid| self.database.get_mut(&jid))
                    .expect("the user is stored");
                user.settings.retain(|(var, _)| *var != name);
                user.settings.push((name, value));
                Answer::Done
            }
            Request::OnlineUsers => {
                let online =
                    self.database.iter().filter(|(_, user)| self.online.contains(&user.registration.id));
                Answer::Jids(online.map(|(jid, _)| jid.clone()).collect())
            }
            Request::AllUsers => Answer::Jids(self.database.keys().cloned().collect()),
            Request::ListUsers(limit) => {
                let users = self.database.iter().take(usize::try_from(limit).expect("a small limit"));
                let users = users.map(|(jid, user)| (jid.clone(), user.registration.legacy_name.clone()));
                Answer::Users(users.collect())
            }
            Request::CountUsers => Answer::Count(u64::try_from(self.database.len()).expect("few users")),
            Request::Archive(..)
            | Request::ArchivePage(..)
            | Request::ArchiveEnds(..)
            | Request::ArchivedRooms(_)
            | Request::PruneArchives(..)
            | Request::NewestArchived => self.in_archives(request),
            Request::LegacyNameTaken(name, jid) => Answer::Taken(
                self.database
                    .iter()
                    .any(|(other, user)| *other != jid && user.registration.legacy_name == name),
            ),
        }
    }

    fn in_archives(&mut self, request: Request) -> Answer {
        let users = self.database.iter().map(|(jid, user)| (user.registration.id, jid));
        self.archives.carry_out(users, request)
    }

    /// A stanza comes from the XMPP server.
    fn says(&mut self, xml: &str) {
        let stanza = Element::parse(&xml.replacen(' ', &format!(" xmlns='{}' ", ns::CLIENT), 1))
            .expect("well-formed XML");
        self.event(Event::Stanza(stanza));
    }

    /// Time passes, and everything that is due happens.
    fn wait(&mut self, seconds: u64) {
        let end = self.now.after(seconds * 1_000);
        while let Some(next) = self.gateway.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.event(Event::Tick);
        }
        self.now = end;
    }

    /// Romeo is stored as registered.
    fn registered(&mut self, jid: &str, legacy_name: &str) {
        let registration = Registration {
            id: self.next_id,
            legacy_name: legacy_name.into(),
            password: spectrum2_config::Secret::new("juliet".into()),
            language: "en".into(),
            encoding: String::new(),
            vip: false,
        };
        self.next_id += 1;
        let user = StoredUser { registration, settings: vec![], contacts: vec![] };
        self.database.insert(jid.parse().expect("a bare JID"), user);
    }

    /// Romeo is registered and logged in; gives his backend. Nothing of it is left on the stage.
    fn romeo_online(&mut self) -> Link {
        self.registered("romeo@example.org", "romeo");
        self.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
        let link = self.login_of("romeo@example.org").0;
        self.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
        self.no_roster_rights();
        self.stanzas.clear();
        self.frames.clear();
        link
    }

    /// The XMPP server refuses to show rosters, clients say that they can do nothing special.
    fn no_roster_rights(&mut self) {
        let asked: Vec<Element> = self
            .stanzas
            .iter()
            .filter(|s| s.name() == "iq" && s.attr("type") == Some("get"))
            .cloned()
            .collect();
        for iq in asked {
            let (from, to, id) = (iq.attr("to").unwrap(), iq.attr("from").unwrap(), iq.attr("id").unwrap());
            if iq.find("query", ns::DISCO_INFO).is_some() {
                self.says(&format!(
                    "<iq type='result' from='{from}' to='{to}' id='{id}'><query xmlns='{}'/></iq>",
                    ns::DISCO_INFO
                ));
            } else {
                self.says(&format!(
                    "<iq type='error' from='{from}' to='{to}' id='{id}'><error type='auth'/></iq>"
                ));
            }
        }
    }

    /// A frame comes from a backend.
    fn network(&mut self, link: Link, frame: Frame) {
        self.event(Event::Frame(link, frame));
    }

    /// The network tells Romeo of a contact.
    fn buddy(&mut self, link: Link, name: &str, alias: &str, status: StatusType) {
        self.network(link, buddy("romeo@example.org", name, alias, status));
    }

    /// Takes the first stanza sent that fits.
    #[track_caller]
    fn stanza(&mut self, fits: impl Fn(&Element) -> bool) -> Element {
        let Some(n) = self.stanzas.iter().position(fits) else {
            panic!(
                "no such stanza among {:#?}",
                self.stanzas.iter().map(Element::to_xml).collect::<Vec<_>>()
            );
        };
        self.stanzas.remove(n)
    }

    /// Takes the only stanza sent.
    #[track_caller]
    fn only_stanza(&mut self) -> Element {
        assert_eq!(
            self.stanzas.len(),
            1,
            "{:#?}",
            self.stanzas.iter().map(Element::to_xml).collect::<Vec<_>>()
        );
        self.stanzas.remove(0)
    }

    #[track_caller]
    fn silence(&self) {
        assert!(
            self.stanzas.is_empty(),
            "{:#?}",
            self.stanzas.iter().map(Element::to_xml).collect::<Vec<_>>()
        );
    }

    /// Takes the first frame sent that fits.
    #[track_caller]
    fn frame<T>(&mut self, fits: impl Fn(&Frame) -> Option<T>) -> (Link, T) {
        self.frames.take(fits)
    }

    #[track_caller]
    fn login_of(&mut self, user: &str) -> (Link, Login) {
        self.frames.take_login(user)
    }

    #[track_caller]
    fn conversation(&mut self) -> (Link, ConversationMessage) {
        self.frame(|frame| match frame {
            Frame::ConvMessage(message) => Some(message.clone()),
            _ => None,
        })
    }
}

/// A transport file with these options more.
fn config(options: &str) -> Arc<Config> {
    let text = format!(
        "[service]\njid={GATEWAY}\nserver=127.0.0.1\nport=5347\npassword=secret\nprotocol=prpl-irc\n{options}"
    );
    let config = Config::parse(&text, Path::new("irc.cfg"), &Overrides::default(), &NoSecrets);
    Arc::new(config.expect("a valid configuration").0)
}

fn presence_from<'a>(from: &'a str, kind: Option<&'a str>) -> impl Fn(&Element) -> bool + 'a {
    move |stanza| {
        stanza.name() == "presence" && stanza.attr("from") == Some(from) && stanza.attr("type") == kind
    }
}

fn message_from(from: &str) -> impl Fn(&Element) -> bool + '_ {
    move |stanza| stanza.name() == "message" && stanza.attr("from") == Some(from)
}

fn iq(id: &str) -> impl Fn(&Element) -> bool + '_ {
    move |stanza| stanza.name() == "iq" && stanza.attr("id") == Some(id)
}

/// The condition of an error stanza.
fn condition(stanza: &Element) -> Option<&str> {
    let error = stanza.find_same("error")?;
    error.elements().next().map(Element::name)
}
