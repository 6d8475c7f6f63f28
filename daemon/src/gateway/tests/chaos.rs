//! Anything may happen, in any order: what holds all the same.
//!
//! Users, their server, backends, the launcher and storage do as they like, but keep to what [`Event`] promises of
//! each. After every event, what the core says of itself is what the others see of it. In the end, when all is quiet,
//! every request, message and wish has had its one answer, and nothing is left behind.

use std::collections::VecDeque;

use jid::Jid;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use spectrum2_backend_protocol::{Problem, Room, Stats};

use super::*;
use crate::gateway::admin::Request as Wish;
use crate::gateway::{STRANGERS, Token};
use crate::storage;
use crate::testing::seed;

const USERS: [&str; 4] =
    ["romeo@example.org", "juliet@example.org", "tybalt@elsewhere.net", "escalus@verona.example"];
/// Of these users are registered in the beginning.
const REGISTERED: [&str; 2] = ["romeo@example.org", "juliet@example.org"];
const RESOURCES: [&str; 3] = ["", "/orchard", "/phone"];
const CONTACTS: [&str; 4] = ["nurse", "peter", r"paris\40example.net", "a%b"];
/// What the network calls people. The last but one folds to the JID of the first.
const NAMES: [&str; 6] = ["Nurse", "peter", "Paris@example.net", "a\u{1}b]]>", "\u{ff4e}urse", ""];
const MAX_USERS: usize = 10;
const MAX_CONTACTS: usize = 3;
const OPTIONS: &str = "max_users=10\nmax_contacts=3\nusers_per_backend=2\nenable_remove_buddy=1\n\
                       admin_jid=escalus@verona.example\n";

/// To whom, and what is asked.
const REQUESTS: [(bool, &str, &str); 23] = [
    (false, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    (true, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    (
        false,
        "get",
        "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    ),
    (true, "get", "<ping xmlns='urn:xmpp:ping'/>"),
    (true, "get", "<vCard xmlns='vcard-temp'/>"),
    (false, "get", "<vCard xmlns='vcard-temp'/>"),
    (false, "set", "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>"),
    (true, "set", "<vCard xmlns='vcard-temp'/>"),
    (false, "get", "<query xmlns='jabber:iq:register'/>"),
    (
        false,
        "set",
        "<query xmlns='jabber:iq:register'><username>r</username><password>one</password></query>",
    ),
    (
        false,
        "set",
        "<query xmlns='jabber:iq:register'><username>r</username><password>two</password></query>",
    ),
    (false, "set", "<query xmlns='jabber:iq:register'><username>no password</username></query>"),
    (false, "set", "<query xmlns='jabber:iq:register'><remove/></query>"),
    (
        false,
        "set",
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><x/></storage></query>",
    ),
    (false, "get", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>"),
    (false, "set", "<query xmlns='jabber:iq:gateway'><prompt>nurse@example.net</prompt></query>"),
    (false, "set", "<command xmlns='http://jabber.org/protocol/commands' node='settings'/>"),
    (
        false,
        "set",
        "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#get-online-users-num'/>",
    ),
    (
        false,
        "set",
        "<query xmlns='jabber:iq:roster'><item jid='nurse@irc.example.org' name='Nanny'><group>House</group></item>\
         <item jid='peter@irc.example.org' subscription='remove'/></query>",
    ),
    (false, "get", ""),
    (true, "set", "<query xmlns='urn:xmpp:mam:2'/>"),
    (
        true,
        "set",
        "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><before/></set></query>",
    ),
    (true, "get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
];

/// Presence for the gateway: type and content.
const PRESENCES: [(&str, &str); 10] = [
    ("", ""),
    ("", ""),
    ("", ""),
    ("", "<show>away</show><status>at the ball</status>"),
    ("", "<priority>5</priority><x xmlns='vcard-temp:x:update'><photo>abc</photo></x>"),
    ("unavailable", ""),
    ("probe", ""),
    ("subscribe", ""),
    ("unsubscribe", ""),
    ("error", "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
];

/// Presence for a contact.
const SUBSCRIPTIONS: [&str; 5] = ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"];

/// Comings and goings in a room.
const IN_ROOMS: [&str; 4] = [
    "<presence {a}><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence {a}><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence {a}><x xmlns='http://jabber.org/protocol/muc'><history seconds='60'/></x></presence>",
    "<presence type='unavailable' {a}/>",
];

/// Types and contents of messages that ask for no answer, and of stanzas that are no good.
const ODD_STANZAS: [&str; 8] = [
    "<message type='chat' {a}><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message type='error' {a}><error type='cancel'/></message>",
    "<message type='headline' {a}><attention xmlns='urn:xmpp:attention:0'/></message>",
    "<iq type='result' id='s7-1' {a}/>",
    "<iq type='get' {a}><ping xmlns='urn:xmpp:ping'/></iq>",
    "<presence type='odd' {a}/>",
    "<presence {a}><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<message from='example.org' to='irc.example.org'><privilege xmlns='urn:xmpp:privilege:2'>\
     <perm access='roster' type='both'/><perm access='message' type='outgoing'/></privilege></message>",
];

/// How well somebody does what he is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Prompt,
    Slow,
    Broken,
}

/// What a backend says of itself, and of one of the users whether he is its own or not.
#[derive(Clone, Copy, Debug)]
enum Saying {
    Buddy(StatusType),
    Removed,
    Typing,
    AuthRequest,
    Message,
    Receipt,
    Attention,
    VCard,
    Connected,
    Stats,
    Problem,
    RoomJoined,
    RoomMessage,
    OldRoomMessage,
}

/// Something happens. Numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Request {
        user: usize,
        resource: usize,
        contact: usize,
        request: usize,
    },
    Presence {
        user: usize,
        resource: usize,
        presence: usize,
    },
    Subscription {
        user: usize,
        contact: usize,
        kind: usize,
    },
    Message {
        user: usize,
        resource: usize,
        contact: usize,
        kind: &'static str,
    },
    Odd {
        user: usize,
        resource: usize,
        contact: usize,
        stanza: usize,
    },
    Room {
        user: usize,
        resource: usize,
        contact: usize,
        stanza: usize,
    },
    /// Many strangers come along.
    Crowd,
    /// The XMPP link is lost, or is back.
    Link(bool),
    /// Time passes, in milliseconds.
    Passes(u64),
    Launcher(Mood),
    Storage(Mood),
    /// Backends that are started from now on acknowledge messages.
    Acknowledge(bool),
    /// The network answers the login of one user, with an error or none.
    Login {
        nth: usize,
        error: Option<i32>,
    },
    /// The network takes the oldest message of a backend, or does not.
    Taken {
        nth: usize,
        error: Option<i32>,
    },
    Says {
        nth: usize,
        user: usize,
        name: usize,
        saying: Saying,
    },
    Dies(usize),
    /// A backend does not answer any more.
    Hangs(usize),
    Busy(usize, bool),
    /// Whoever was asked something by us answers.
    Answers(bool),
    Wish {
        user: usize,
        wish: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly all is well, and few talk much: else hardly anybody would ever be logged in.
    let user = prop_oneof![5 => Just(0_usize), 2 => Just(1), 1 => 2..USERS.len()];
    let (resource, contact) = (0..RESOURCES.len(), 0..CONTACTS.len());
    let mood = || prop_oneof![6 => Just(Mood::Prompt), 1 => Just(Mood::Slow), 1 => Just(Mood::Broken)];
    let error = || prop_oneof![6 => Just(None), 1 => Just(Some(0)), 1 => (0..18_i32).prop_map(Some)];
    let passes = prop_oneof![4 => 0..2_000_u64, 4 => 2_000..70_000_u64, 2 => 70_000..700_000_u64, 1 => Just(3_700_000_u64)];
    let saying = select(vec![
        Saying::Buddy(StatusType::Online),
        Saying::Buddy(StatusType::Away),
        Saying::Buddy(StatusType::None),
        Saying::Removed,
        Saying::Typing,
        Saying::AuthRequest,
        Saying::Message,
        Saying::Receipt,
        Saying::Attention,
        Saying::VCard,
        Saying::Connected,
        Saying::Stats,
        Saying::Problem,
        Saying::RoomJoined,
        Saying::RoomMessage,
        Saying::RoomMessage,
        Saying::OldRoomMessage,
    ]);
    prop_oneof![
        8 => (user.clone(), resource.clone(), contact.clone(), 0..REQUESTS.len())
            .prop_map(|(user, resource, contact, request)| Step::Request { user, resource, contact, request }),
        8 => (user.clone(), resource.clone(), 0..PRESENCES.len())
            .prop_map(|(user, resource, presence)| Step::Presence { user, resource, presence }),
        4 => (user.clone(), contact.clone(), 0..SUBSCRIPTIONS.len())
            .prop_map(|(user, contact, kind)| Step::Subscription { user, contact, kind }),
        10 => (user.clone(), resource.clone(), contact.clone(), select(vec!["chat", "chat", "chat", "normal", "groupchat", "groupchat"]))
            .prop_map(|(user, resource, contact, kind)| Step::Message { user, resource, contact, kind }),
        8 => (user.clone(), resource.clone(), 0..2_usize, 0..IN_ROOMS.len())
            .prop_map(|(user, resource, contact, stanza)| Step::Room { user, resource, contact, stanza }),
        3 => (user.clone(), resource, contact, 0..ODD_STANZAS.len())
            .prop_map(|(user, resource, contact, stanza)| Step::Odd { user, resource, contact, stanza }),
        1 => Just(Step::Crowd),
        4 => weighted(0.8).prop_map(Step::Link),
        10 => passes.prop_map(Step::Passes),
        1 => mood().prop_map(Step::Launcher),
        2 => mood().prop_map(Step::Storage),
        1 => any::<bool>().prop_map(Step::Acknowledge),
        8 => (0..4_usize, error()).prop_map(|(nth, error)| Step::Login { nth, error }),
        5 => (0..4_usize, error()).prop_map(|(nth, error)| Step::Taken { nth, error }),
        8 => (0..4_usize, user.clone(), 0..NAMES.len(), saying)
            .prop_map(|(nth, user, name, saying)| Step::Says { nth, user, name, saying }),
        3 => (0..4_usize).prop_map(Step::Dies),
        1 => (0..4_usize).prop_map(Step::Hangs),
        2 => (0..4_usize, weighted(0.3)).prop_map(|(nth, busy)| Step::Busy(nth, busy)),
        5 => any::<bool>().prop_map(Step::Answers),
        2 => (user, 0..10_usize).prop_map(|(user, wish)| Step::Wish { user, wish }),
    ]
}

/// A backend process, as it sees itself.
struct Process {
    connected: bool,
    acknowledges: bool,
    /// It does not hang. While it does it says nothing, and owes answers to pings.
    answering: bool,
    owed: usize,
    /// Who is to be logged in, and whether he is.
    users: BTreeMap<String, bool>,
    /// Messages that it has not acknowledged: of whom, which, and with which serial number.
    messages: VecDeque<(String, String, u64)>,
    /// vCards that it was asked for.
    cards: VecDeque<VCard>,
    /// Rooms that it was asked to join.
    rooms: Vec<Room>,
}

/// An iq that was sent to us.
struct Asked {
    from: String,
    to: String,
    /// The link was lost before the answer came, and the answer maybe with it.
    excused: bool,
    answers: u32,
}

/// A message that was sent to us.
struct Sent {
    from: String,
    /// The network has it.
    taken: bool,
    /// The network said so while the link was down: an error may be on its way already.
    late: bool,
    errors: u32,
}

/// Everybody around the core.
struct Storm {
    stage: Stage,
    up: bool,
    launcher: Mood,
    storage: Mood,
    storage_failed: bool,
    acknowledge: bool,
    /// The network lets everybody in and takes everything, at once.
    kind: bool,
    processes: BTreeMap<Link, Process>,
    /// What the shell has not read from backends yet.
    /// What backends said that was not read yet; whether it is about a login that has been given up meanwhile.
    unread: VecDeque<(Link, Frame, bool)>,
    /// What is being read is so.
    late: bool,
    requests: VecDeque<(Token, Request)>,
    asked: BTreeMap<String, Asked>,
    sent: BTreeMap<String, Sent>,
    wishes: BTreeMap<Ticket, u32>,
    /// Requests of ours that wait for an answer.
    ours: VecDeque<Element>,
    last_id: u64,
}

impl Storm {
    fn new() -> Self {
        let mut stage = Stage::unconnected(OPTIONS, OURS);
        for jid in REGISTERED {
            stage.registered(jid, jid);
        }
        let mut storm = Self {
            stage,
            up: false,
            launcher: Mood::Prompt,
            storage: Mood::Prompt,
            storage_failed: false,
            acknowledge: true,
            kind: false,
            processes: BTreeMap::new(),
            unread: VecDeque::new(),
            late: false,
            requests: VecDeque::new(),
            asked: BTreeMap::new(),
            sent: BTreeMap::new(),
            wishes: BTreeMap::new(),
            ours: VecDeque::new(),
            last_id: 0,
        };
        storm.event(Event::Tick);
        storm.link(true);
        storm
    }

    /// Something happens, and all that follows from it at once.
    fn event(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front().or_else(|| self.read()) {
            self.notes(&event);
            let mut actions = Vec::new();
            self.stage.gateway.handle(self.stage.now, event, &mut actions);
            for action in actions {
                events.extend(self.act(action));
            }
        }
        self.agrees();
    }

    /// The next frame, if the shell may read one.
    fn read(&mut self) -> Option<Event> {
        while self.stage.gateway.accepts_frames() {
            let (link, frame, late) = self.unread.pop_front()?;
            if self.processes.contains_key(&link) {
                self.late = late;
                return Some(Event::Frame(link, frame));
            }
        }
        None
    }

    /// What an event means for those outside.
    fn notes(&mut self, event: &Event) {
        let late = std::mem::take(&mut self.late);
        let Event::Frame(link, frame) = event else { return };
        let Some(process) = self.processes.get_mut(link) else { return };
        match frame {
            Frame::Connected(connected) if !late => {
                if let Some(logged_in) = process.users.get_mut(&connected.user) {
                    *logged_in = true;
                }
            }
            Frame::Result(result) if process.users.contains_key(&result.user_name) => {
                let which = |(user, _, serial): &(String, String, u64)| {
                    *user == result.user_name && *serial == result.serial
                };
                let Some(n) = process.messages.iter().position(which) else { return };
                let Some((_, id, _)) = process.messages.remove(n) else { return };
                let sent = self.sent.get_mut(&id).expect("it was sent to us");
                if result.error.is_none() && sent.errors == 0 {
                    sent.late |= !self.up;
                    sent.taken |= self.up;
                }
            }
            _ => {}
        }
    }

    /// Does what the core wants done; gives what comes of it.
    fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Client(..) => panic!("the gateway knows no clients"),
            Action::Stanza(stanza) => self.stanza(&stanza),
            Action::OpenBackend(link) => {
                let process = Process {
                    connected: false,
                    acknowledges: self.acknowledge,
                    answering: true,
                    owed: 0,
                    users: BTreeMap::new(),
                    messages: VecDeque::new(),
                    cards: VecDeque::new(),
                    rooms: Vec::new(),
                };
                assert!(self.processes.insert(link, process).is_none(), "numbers are never used again");
                return self.launch(link);
            }
            Action::Frame(link, frame) => self.frame(link, frame),
            Action::CloseBackend(link) => {
                assert!(self.processes.remove(&link).is_some(), "what is closed was open");
            }
            Action::Store(token, request) => {
                self.requests.push_back((token, request));
                if self.storage != Mood::Slow {
                    return self.store();
                }
            }
            Action::Admin(ticket, _) => {
                let answers = self.wishes.get_mut(&ticket).expect("a wish that was made");
                *answers += 1;
                assert_eq!(*answers, 1, "answers to {ticket:?}");
            }
            Action::Reload => return vec![Event::Reload(self.stage.file.clone())],
            Action::Measure => return vec![Event::Measured(Memory::default())],
            Action::Notice(_) => {}
            Action::Misconfigured(text) => panic!("a working configuration is said not to work: {text}"),
            Action::Stopped => {
                assert!(!std::mem::replace(&mut self.stage.stopped, true), "it ends once");
            }
        }
        Vec::new()
    }

    /// The launcher is asked for a process.
    fn launch(&mut self, link: Link) -> Vec<Event> {
        let Some(process) = self.processes.get_mut(&link) else { return Vec::new() };
        match self.launcher {
            Mood::Prompt => {
                process.connected = true;
                let config = if process.acknowledges { OURS } else { THEIRS };
                let config = BackendConfig { config: config.to_owned() };
                self.unread.push_back((link, Frame::BackendConfig(config), false));
                vec![Event::BackendUp(link)]
            }
            Mood::Slow => Vec::new(),
            Mood::Broken => {
                self.processes.remove(&link);
                vec![Event::BackendDown(link, "No such file or directory".to_owned())]
            }
        }
    }

    /// Storage does all it was asked for, in order.
    fn store(&mut self) -> Vec<Event> {
        let requests = std::mem::take(&mut self.requests);
        requests.into_iter().map(|(token, request)| Event::Stored(token, self.carried_out(request))).collect()
    }

    fn carried_out(&mut self, request: Request) -> Result<Answer, storage::Error> {
        if self.storage == Mood::Broken {
            self.storage_failed = true;
            return Err(storage::Error("the disk is full".to_owned()));
        }
        if let Request::SaveContacts(id, _) | Request::RemoveContacts(id, _) | Request::SaveSetting(id, ..) =
            &request
        {
            let is_there = self.stage.database.values().any(|user| user.registration.id == *id);
            assert!(is_there, "nothing is written of a user who is deleted: {request:?}");
        }
        Ok(self.stage.store(request))
    }

    /// A stanza is sent to the XMPP server.
    fn stanza(&mut self, stanza: &Element) {
        assert!(self.up, "nothing can be sent while the link is down");
        let stanza = Element::parse(&stanza.to_xml()).expect("what we send is well-formed");
        let from: Jid = stanza.attr("from").and_then(|from| from.parse().ok()).expect("it says from whom");
        let to: Jid = stanza.attr("to").and_then(|to| to.parse().ok()).expect("it says to whom");
        assert_eq!(from.domain().as_str(), GATEWAY, "we speak only for ourselves");
        assert_ne!(to.domain().as_str(), GATEWAY, "and not with ourselves");
        let id = stanza.attr("id").unwrap_or_default();
        match (stanza.name(), stanza.attr("type")) {
            ("iq", Some("get" | "set")) => self.ours.push_back(stanza),
            // One that came without an id.
            ("iq", _) if id.is_empty() => {}
            ("iq", _) => {
                let asked = self.asked.get_mut(id).expect("an answer to what was asked");
                assert_eq!((stanza.attr("from"), stanza.attr("to")), (Some(&*asked.to), Some(&*asked.from)));
                asked.answers += 1;
                assert_eq!(asked.answers, 1, "answers to {id}");
            }
            ("message", Some("error")) => {
                let Some(sent) = self.sent.get_mut(id) else { return };
                assert_eq!(stanza.attr("to"), Some(&*sent.from));
                sent.errors += 1;
                assert_eq!((sent.errors, sent.taken), (1, false), "one word on {id}");
            }
            _ => {}
        }
    }

    /// A frame is sent to a backend.
    fn frame(&mut self, link: Link, frame: Frame) {
        let process = self.processes.get_mut(&link).expect("a backend that is there");
        assert!(process.connected, "nothing can be sent to a backend before it is there");
        match frame {
            Frame::Ping if process.answering => self.unread.push_back((link, Frame::Pong, false)),
            Frame::Ping => process.owed += 1,
            Frame::Login(login) => {
                for (said_by, frame, late) in &mut self.unread {
                    let about = match frame {
                        Frame::Connected(connected) => &connected.user,
                        Frame::Disconnected(disconnected) => &disconnected.user,
                        _ => continue,
                    };
                    *late |= *said_by == link && *about == login.user;
                }
                assert_eq!(process.users.insert(login.user, false), None, "a login is asked for once");
            }
            Frame::Logout(logout) => {
                assert!(process.users.remove(&logout.user).is_some(), "who is logged out was logged in");
                process.messages.retain(|(user, ..)| *user != logout.user);
            }
            Frame::StatusChanged(status) => assert!(process.users.contains_key(&status.user_name)),
            Frame::VCard(card) => process.cards.push_back(card),
            Frame::JoinRoom(room) => {
                assert_eq!(process.users.get(&room.user_name), Some(&true), "he is logged in");
                // Half of the rooms let everybody in at once.
                if self.last_id.is_multiple_of(2) {
                    self.unread.push_back((link, Frame::RoomJoined(room.clone()), false));
                }
                process.rooms.push(room);
            }
            Frame::LeaveRoom(room) => {
                process.rooms.retain(|joined| joined.user_name != room.user_name || joined.room != room.room);
            }
            Frame::ConvMessage(message) => {
                assert_eq!(process.users.get(&message.user_name), Some(&true), "he is logged in");
                let sent = self.sent.get_mut(&message.message).expect("nobody says what nobody said");
                match message.serial {
                    Some(serial) if process.acknowledges => {
                        process.messages.push_back((message.user_name, message.message, serial));
                    }
                    // There will be no word of it.
                    _ => sent.taken |= sent.errors == 0,
                }
            }
            _ => {}
        }
    }

    /// What the core says of itself is what others see.
    fn agrees(&self) {
        let status = self.stage.gateway.status();
        let users = || self.processes.values().flat_map(|process| process.users.values());
        assert_eq!(status.online, users().filter(|logged_in| **logged_in).count());
        assert!(status.connecting >= users().filter(|logged_in| !**logged_in).count());
        assert_eq!(status.backends, self.processes.values().filter(|p| !p.users.is_empty()).count());
        assert!(self.stage.gateway.users.len() <= MAX_USERS + STRANGERS);
        assert!(self.stage.gateway.users.values().all(|user| user.contacts.len() <= MAX_CONTACTS));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Request { user, resource, contact, request } => {
                let (to_contact, kind, payload) = REQUESTS[request];
                let to =
                    if to_contact { format!("{}@{GATEWAY}", CONTACTS[contact]) } else { GATEWAY.to_owned() };
                self.ask(format!("{}{}", USERS[user], RESOURCES[resource]), to, kind, payload);
            }
            Step::Presence { user, resource, presence } => {
                let (kind, content) = PRESENCES[presence];
                let kind = if kind.is_empty() { String::new() } else { format!("type='{kind}'") };
                let from = format!("{}{}", USERS[user], RESOURCES[resource]);
                self.says(&format!("<presence from='{from}' to='{GATEWAY}' {kind}>{content}</presence>"));
            }
            Step::Subscription { user, contact, kind } => {
                let (user, contact, kind) = (USERS[user], CONTACTS[contact], SUBSCRIPTIONS[kind]);
                self.says(&format!("<presence from='{user}' to='{contact}@{GATEWAY}' type='{kind}'/>"));
            }
            Step::Message { user, resource, contact, kind } => {
                self.send(format!("{}{}", USERS[user], RESOURCES[resource]), CONTACTS[contact], kind);
            }
            Step::Odd { user, resource, contact, stanza } => {
                let (user, resource, contact) = (USERS[user], RESOURCES[resource], CONTACTS[contact]);
                let addresses = format!("from='{user}{resource}' to='{contact}@{GATEWAY}'");
                self.says(&ODD_STANZAS[stanza].replace("{a}", &addresses));
            }
            Step::Room { user, resource, contact, stanza } => {
                let (user, resource, contact) = (USERS[user], RESOURCES[resource], CONTACTS[contact]);
                let addresses = format!("from='{user}{resource}' to='{contact}@{GATEWAY}/Romeo'");
                self.says(&IN_ROOMS[stanza].replace("{a}", &addresses));
            }
            Step::Crowd => {
                for _ in 0..400 {
                    let from = format!("montague{}@elsewhere.net/x", self.last_id);
                    self.says(&format!("<presence from='{from}' to='{GATEWAY}'/>"));
                    self.ask(from, GATEWAY.to_owned(), "get", "<query xmlns='jabber:iq:register'/>");
                }
            }
            Step::Link(up) => self.link(up),
            Step::Passes(milliseconds) => {
                self.wait(milliseconds);
            }
            Step::Launcher(mood) => self.launcher_turns(mood),
            Step::Storage(mood) => self.storage_turns(mood),
            Step::Acknowledge(acknowledge) => self.acknowledge = acknowledge,
            Step::Login { nth, error } => self.login(nth, error),
            Step::Taken { nth, error } => self.taken(nth, error),
            Step::Says { nth, user, name, saying } => {
                if let Some(link) = self.nth(nth, |process| process.connected && process.answering) {
                    let frame = self.saying(link, USERS[user], NAMES[name], saying);
                    self.backend_says(link, frame);
                }
            }
            Step::Dies(nth) => {
                if let Some(link) = self.nth(nth, |process| process.connected) {
                    self.processes.remove(&link);
                    self.event(Event::BackendDown(link, "connection closed".to_owned()));
                }
            }
            Step::Hangs(nth) => {
                if let Some(process) = self.nth(nth, |_| true).and_then(|link| self.processes.get_mut(&link))
                {
                    process.answering = false;
                }
            }
            Step::Busy(nth, busy) => {
                if let Some(link) = self.nth(nth, |process| process.connected) {
                    self.event(if busy { Event::BackendBusy(link) } else { Event::BackendReady(link) });
                }
            }
            Step::Answers(well) => self.answers(well),
            Step::Wish { user, wish } => self.wish(USERS[user], wish),
        }
    }

    /// One of the processes that fit.
    fn nth(&self, nth: usize, fits: impl Fn(&Process) -> bool) -> Option<Link> {
        let links: Vec<Link> =
            self.processes.iter().filter(|(_, process)| fits(process)).map(|(link, _)| *link).collect();
        links.get(nth % links.len().max(1)).copied()
    }

    fn id(&mut self) -> String {
        self.last_id += 1;
        format!("storm{}", self.last_id)
    }

    /// A stanza comes, if the link stands.
    fn says(&mut self, xml: &str) {
        if self.up {
            let xml = xml.replacen(' ', &format!(" xmlns='{}' ", ns::CLIENT), 1);
            self.event(Event::Stanza(Element::parse(&xml).expect("well-formed XML")));
        }
    }

    fn ask(&mut self, from: String, to: String, kind: &str, payload: &str) {
        if self.up {
            let id = self.id();
            let iq = format!("<iq type='{kind}' id='{id}' from='{from}' to='{to}'>{payload}</iq>");
            self.asked.insert(id, Asked { from, to, excused: false, answers: 0 });
            self.says(&iq);
        }
    }

    fn send(&mut self, from: String, contact: &str, kind: &str) {
        if self.up {
            // The text names the message.
            let id = self.id();
            let to = format!("{contact}@{GATEWAY}");
            let message = format!(
                "<message type='{kind}' id='{id}' from='{from}' to='{to}'><body>{id}</body></message>"
            );
            self.sent.insert(id, Sent { from, taken: false, late: false, errors: 0 });
            self.says(&message);
        }
    }

    fn link(&mut self, up: bool) {
        if self.up == up {
            return;
        }
        self.up = up;
        if up {
            self.event(Event::XmppUp);
        } else {
            self.ours.clear();
            for asked in self.asked.values_mut() {
                asked.excused |= asked.answers == 0;
            }
            self.event(Event::XmppDown);
        }
    }

    /// Time passes; gives how often the core woke up.
    fn wait(&mut self, milliseconds: u64) -> u64 {
        let end = self.stage.now.after(milliseconds);
        let mut woken = 0;
        while let Some(next) = self.stage.gateway.deadline().filter(|next| *next <= end) {
            self.stage.now = self.stage.now.max(next);
            self.event(Event::Tick);
            woken += 1;
            assert!(woken <= 2_000 + milliseconds / 250, "it wakes up {woken} times in {milliseconds} ms");
            while self.kind && self.is_kind() {}
        }
        self.stage.now = end;
        woken
    }

    /// The network does somebody a favour; `false` if nobody waits for one.
    fn is_kind(&mut self) -> bool {
        let asking = |process: &Process| process.users.values().any(|logged_in| !logged_in);
        let unread = self.unread.len();
        if self.nth(0, asking).is_some() {
            self.login(0, None);
        } else if self.nth(0, |process| !process.messages.is_empty()).is_some() {
            self.taken(0, None);
        } else {
            return false;
        }
        self.unread.len() <= unread
    }

    fn launcher_turns(&mut self, mood: Mood) {
        self.launcher = mood;
        let waiting = self.processes.iter().filter(|(_, process)| !process.connected);
        for link in waiting.map(|(link, _)| *link).collect::<Vec<_>>() {
            for event in self.launch(link) {
                self.event(event);
            }
        }
    }

    fn storage_turns(&mut self, mood: Mood) {
        self.storage = mood;
        if mood != Mood::Slow {
            for event in self.store() {
                self.event(event);
            }
        }
    }

    fn backend_says(&mut self, link: Link, frame: Frame) {
        self.unread.push_back((link, frame, false));
        if let Some(event) = self.read() {
            self.event(event);
        }
    }

    fn login(&mut self, nth: usize, error: Option<i32>) {
        let asking = |process: &Process| {
            process.answering && process.users.values().any(|logged_in| error.is_some() || !logged_in)
        };
        let Some(link) = self.nth(nth, asking) else { return };
        let users = &self.processes[&link].users;
        let user = users.iter().find(|(_, logged_in)| error.is_some() || !**logged_in);
        let Some(user) = user.map(|(user, _)| user.clone()) else { return };
        let frame = match error {
            None => Frame::Connected(Connected { user }),
            Some(error) => Frame::Disconnected(Disconnected {
                user,
                error,
                message: Some("No.\n\u{1}Never.".to_owned()),
            }),
        };
        self.backend_says(link, frame);
    }

    fn taken(&mut self, nth: usize, error: Option<i32>) {
        let can_take = |process: &Process| process.answering && !process.messages.is_empty();
        let Some(link) = self.nth(nth, can_take) else { return };
        let Some((user_name, _, serial)) = self.processes[&link].messages.front().cloned() else { return };
        let text = error.map(|_| "No such nick".to_owned());
        self.backend_says(
            link,
            Frame::Result(MessageResult { user_name, serial, error, text, ..Default::default() }),
        );
    }

    /// What a backend says of a user and somebody on the network.
    fn saying(&mut self, link: Link, user: &str, name: &str, saying: Saying) -> Frame {
        let buddy = Buddy {
            user_name: user.to_owned(),
            buddy_name: name.to_owned(),
            alias: Some(format!("alias {}", self.last_id)),
            ..Default::default()
        };
        let message = ConversationMessage {
            user_name: user.to_owned(),
            buddy_name: name.to_owned(),
            message: "by night".to_owned(),
            id: Some("1".to_owned()),
            ..Default::default()
        };
        match saying {
            Saying::Buddy(status) => Frame::BuddyChanged(Buddy { status: Some(status.into()), ..buddy }),
            Saying::Removed => Frame::BuddyRemoved(buddy),
            Saying::Typing => Frame::BuddyTyping(buddy),
            Saying::AuthRequest => Frame::AuthRequest(buddy),
            Saying::Message => Frame::ConvMessage(message),
            Saying::Receipt => Frame::ConvMessageAck(message),
            Saying::Attention => Frame::Attention(message),
            Saying::VCard => {
                let asked = self.processes.get_mut(&link).and_then(|process| process.cards.pop_front());
                let unasked = VCard { user_name: user.to_owned(), id: 1, ..Default::default() };
                Frame::VCard(VCard { fullname: Some(name.to_owned()), ..asked.unwrap_or(unasked) })
            }
            Saying::Connected => Frame::Connected(Connected { user: user.to_owned() }),
            Saying::Stats => Frame::Stats(Stats { id: "42".to_owned(), ..Default::default() }),
            Saying::RoomJoined => Frame::RoomJoined(self.room(link, user, name)),
            Saying::RoomMessage | Saying::OldRoomMessage => {
                let Room { user_name, room, .. } = self.room(link, user, name);
                Frame::ConvMessage(ConversationMessage {
                    user_name,
                    buddy_name: room,
                    nickname: Some("tybalt".to_owned()),
                    timestamp: matches!(saying, Saying::OldRoomMessage).then(|| "19700101T000100".to_owned()),
                    ..message
                })
            }
            Saying::Problem => Frame::Problem(Problem { text: "odd".to_owned(), fatal: None }),
        }
    }

    /// A room that a backend was asked to join, if there is one.
    fn room(&self, link: Link, user: &str, name: &str) -> Room {
        let rooms = self.processes.get(&link).map(|process| &process.rooms[..]).unwrap_or_default();
        let nth = usize::try_from(self.last_id).unwrap_or(0) % rooms.len().max(1);
        rooms.get(nth).cloned().unwrap_or_else(|| Room {
            user_name: user.to_owned(),
            nickname: "Romeo".to_owned(),
            room: name.to_owned(),
            password: None,
        })
    }

    /// The oldest request of ours is answered.
    fn answers(&mut self, well: bool) {
        let Some(iq) = self.ours.pop_front() else { return };
        let (from, id) = (iq.attr("to").unwrap_or_default(), iq.attr("id").unwrap_or_default());
        let payload =
            iq.elements().next().map(|payload| (payload.name().to_owned(), payload.ns().to_owned()));
        let (name, namespace) = payload.expect("we ask for something");
        self.says(&if well {
            format!(
                "<iq type='result' from='{from}' to='{GATEWAY}' id='{id}'><{name} xmlns='{namespace}'>\
                 <feature var='http://jabber.org/protocol/rosterx'/></{name}></iq>"
            )
        } else {
            format!(
                "<iq type='error' from='{from}' to='{GATEWAY}' id='{id}'><error type='auth'>\
                 <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
        });
    }

    /// An admin on the bus wants something.
    fn wish(&mut self, user: &str, wish: usize) {
        let jid: BareJid = user.parse().expect("a bare JID");
        let wish = match wish {
            0 => Wish::GetUser(jid),
            1 => Wish::UnregisterUser(jid),
            2 => Wish::EraseUser(jid),
            3 => Wish::LogOutUser(jid),
            4 => Wish::LogInUser(jid),
            5 => Wish::ExportUser(jid),
            6 => Wish::ListUsers { online: false },
            7 => Wish::ListBackends,
            8 => Wish::Reload,
            _ => Wish::Command("status".to_owned()),
        };
        self.last_id += 1;
        let ticket = Ticket(self.last_id);
        self.wishes.insert(ticket, 0);
        self.event(Event::Admin(ticket, wish));
    }

    /// Everything works again, and time passes: nobody waits for an answer any more.
    fn calms_down(&mut self, kind: bool) {
        self.kind = kind;
        for (link, process) in &mut self.processes {
            process.answering = true;
            let owed = std::mem::take(&mut process.owed);
            self.unread.extend(std::iter::repeat_with(|| (*link, Frame::Pong, false)).take(owed));
        }
        self.storage_turns(Mood::Prompt);
        self.launcher_turns(Mood::Prompt);
        self.link(true);
        self.wait(3 * 3_600_000);
        for (id, asked) in &self.asked {
            assert!(asked.answers == 1 || asked.excused, "{id} of {} was never answered", asked.from);
        }
        for (id, sent) in &self.sent {
            let told = sent.errors == 1 || sent.taken || sent.late;
            assert!(told, "nobody knows what became of {id} of {}", sent.from);
        }
        assert!(self.wishes.values().all(|answers| *answers == 1), "wishes are answered");
        for user in USERS.map(|user| user.parse::<BareJid>().expect("a bare JID")) {
            let is_there = self.stage.database.contains_key(&user);
            let archives = self.stage.in_archives(Request::ArchivedRooms(user));
            assert!(is_there || archives == Answer::Rooms(vec![]), "what was archived goes with its owner");
        }
        if !self.storage_failed {
            let registered = u64::try_from(self.stage.database.len()).expect("few users");
            assert_eq!(self.stage.gateway.status().registered, registered);
        }
    }

    /// All users leave: nothing is left of them.
    fn empties(&mut self) {
        for user in USERS {
            for resource in RESOURCES {
                self.says(&format!("<presence from='{user}{resource}' to='{GATEWAY}' type='unavailable'/>"));
            }
        }
        self.wait(2 * 3_600_000);
        let left: Vec<_> = self.stage.gateway.users.keys().collect();
        assert!(left.is_empty(), "{left:?} are not forgotten");
        assert!(self.processes.len() <= 1, "one process is kept warm");
        assert!(!self.stage.gateway.cx.storage_busy());
        // Three pings a minute.
        let woken = self.wait(3_600_000);
        assert!(woken <= 181, "it wakes up {woken} times in an hour in which nothing happens");
    }

    fn stops(&mut self) {
        self.event(Event::Stop);
        assert!(self.stage.stopped && self.processes.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_everybody_gets_an_answer_and_nothing_is_left(
        steps in vec(step(), 1..300),
        kind in any::<bool>(),
    ) {
        let mut storm = Storm::new();
        for step in steps {
            storm.step(step);
        }
        storm.calms_down(kind);
        storm.empties();
        storm.stops();
    }

    #[test]
    fn whatever_happens_it_ends_when_it_is_asked_to(steps in vec(step(), 1..100)) {
        let mut storm = Storm::new();
        for step in steps {
            storm.step(step);
        }
        storm.event(Event::Stop);
        storm.storage_turns(Mood::Prompt);
        storm.stops();
    }
}
