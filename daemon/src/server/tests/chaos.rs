//! Anything may happen, in any order: what holds all the same.
//!
//! Clients come, break off, resume and talk nonsense; the network lets in, refuses, speaks and falls silent; backends die.
//! After every event the server's tables agree with each other and nothing is sent on a connection that was closed. In
//! the end, when every user comes back with a client that reads, each message that the network gave has reached one of
//! his clients.

use std::collections::BTreeSet;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::gateway::admin::State;
use crate::server::stream::Stage as At;

const USERS: [&str; 3] = ["romeo", "juliet", "tybalt"];
const RESOURCES: [&str; 3] = ["orchard", "phone", "tablet"];

/// What a client may say at any time.
const SAID: [&str; 26] = [
    "<presence/>",
    "<presence><show>away</show><priority>1</priority></presence>",
    "<presence><priority>-1</priority></presence>",
    "<presence type='unavailable'/>",
    "<presence to='nurse@irc.example.org' type='subscribe'/>",
    "<presence to='nurse@irc.example.org' type='subscribed'/>",
    "<presence to='nurse@irc.example.org' type='unsubscribe'/>",
    "<presence to='#v@irc.example.org/r'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence type='odd'/>",
    "<message to='nurse@irc.example.org' type='chat' id='m'><body>Hark</body></message>",
    "<message to='romeo@irc.example.org/phone' type='chat'><body>Note</body></message>",
    "<message type='groupchat' to='romeo@irc.example.org'><body>Note</body></message>",
    "<message to='elsewhere.org'/>",
    "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
    "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
    "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='nurse@irc.example.org' name='N'/></query></iq>",
    "<iq type='set' id='d'><query xmlns='jabber:iq:roster'><item jid='nurse@irc.example.org' subscription='remove'/></query></iq>",
    "<iq type='set' id='p'><query xmlns='jabber:iq:private'><x xmlns='urn:x'>1</x></query></iq>",
    "<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>R</FN></vCard></iq>",
    "<iq type='get' id='i' to='irc.example.org'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    "<iq type='result' id='s7-1' to='irc.example.org'/>",
    "<inactive xmlns='urn:xmpp:csi:0'/>",
    "<active xmlns='urn:xmpp:csi:0'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<iq type='get'/>",
];

/// What ends most connections, or is said too early or too late.
const NONSENSE: [&str; 9] = [
    "<a xmlns='urn:xmpp:sm:3' h='4000000000'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>?</response>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<odd/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody connects, and goes on as far as he gets.
    Connect {
        user: usize,
        right: bool,
    },
    /// A client that logged in binds a resource, or goes on with the session that its user lost.
    Bind {
        client: usize,
        resource: usize,
        resume: bool,
    },
    Enable(usize),
    Say(usize, &'static str),
    Nonsense(usize, &'static str),
    /// The client reads what it was sent, and acknowledges it perhaps.
    Read {
        client: usize,
        acknowledge: bool,
    },
    Lose(usize),
    Close(usize),
    /// The network answers a login.
    Answer {
        user: usize,
        error: Option<i32>,
    },
    Write(usize),
    Shows(usize),
    /// The network ends a session.
    End {
        user: usize,
        error: i32,
    },
    BackendDies(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..USERS.len();
    let client = 0..8_usize;
    prop_oneof![
        4 => (user.clone(), weighted(0.8)).prop_map(|(user, right)| Step::Connect { user, right }),
        6 => (client.clone(), 0..RESOURCES.len(), any::<bool>())
            .prop_map(|(client, resource, resume)| Step::Bind { client, resource, resume }),
        4 => client.clone().prop_map(Step::Enable),
        10 => (client.clone(), select(&SAID[..])).prop_map(|(client, said)| Step::Say(client, said)),
        4 => client.clone().prop_map(|client| Step::Say(client, SAID[0])),
        1 => (client.clone(), select(&NONSENSE[..])).prop_map(|(client, said)| Step::Nonsense(client, said)),
        4 => (client.clone(), any::<bool>()).prop_map(|(client, acknowledge)| Step::Read { client, acknowledge }),
        3 => client.clone().prop_map(Step::Lose),
        1 => client.prop_map(Step::Close),
        8 => (user.clone(), prop_oneof![4 => Just(None), 1 => select(&[0, 2, 6, 99][..]).prop_map(Some)])
            .prop_map(|(user, error)| Step::Answer { user, error }),
        9 => user.clone().prop_map(Step::Write),
        2 => user.clone().prop_map(Step::Shows),
        1 => (user.clone(), select(&[0, 2, 99][..])).prop_map(|(user, error)| Step::End { user, error }),
        1 => user.prop_map(Step::BackendDies),
        4 => select(&[1, 5, 70, 310][..]).prop_map(Step::Wait),
    ]
}

/// A client, as it sees itself.
#[derive(Debug)]
struct Person {
    client: Client,
    user: usize,
    /// Its session can be resumed under this id.
    id: Option<String>,
    /// Stream management counts.
    counts: bool,
    /// Stanzas that it has handled.
    h: u32,
    closed: bool,
}

struct World {
    stage: Stage,
    people: Vec<Person>,
    /// Sessions that were lost: their ids, and how many stanzas were handled in them.
    lost: Vec<(usize, String, u32)>,
    /// Texts that the network gave, by user.
    written: BTreeMap<usize, BTreeSet<String>>,
    /// Texts that reached a client of the user.
    reached: BTreeMap<usize, BTreeSet<String>>,
    last_text: u32,
    refused_logins: u32,
}

fn jid(user: usize) -> String {
    format!("{}@{DOMAIN}", USERS[user])
}

impl World {
    fn new() -> Self {
        Self {
            stage: Stage::with("more_resources=1\nusers_per_backend=2\nmax_contacts=3"),
            people: Vec::new(),
            lost: Vec::new(),
            written: BTreeMap::new(),
            reached: BTreeMap::new(),
            last_text: 0,
            refused_logins: 0,
        }
    }

    fn person(&self, n: usize) -> Option<usize> {
        let open: Vec<usize> = (0..self.people.len()).filter(|n| !self.people[*n].closed).collect();
        (!open.is_empty()).then(|| open[n % open.len()])
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Connect { user, right } => {
                if self.people.iter().filter(|person| !person.closed).count() < 8 {
                    self.connect(user, right);
                }
            }
            Step::Bind { client, resource, resume } => {
                if let Some(n) = self.person(client) {
                    self.bind(n, resource, resume);
                }
            }
            Step::Enable(client) => {
                if let Some(n) = self.person(client).filter(|n| self.is_bound(*n) && !self.people[*n].counts)
                {
                    self.read(n);
                    self.stage.says(self.people[n].client, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
                    self.read(n);
                }
            }
            Step::Say(client, said) => {
                if let Some(n) = self.person(client).filter(|n| self.is_bound(*n)) {
                    self.stage.says(self.people[n].client, said);
                }
            }
            Step::Nonsense(client, said) => {
                if let Some(n) = self.person(client) {
                    self.stage.says(self.people[n].client, said);
                }
            }
            Step::Read { client, acknowledge } => {
                if let Some(n) = self.person(client) {
                    self.read(n);
                    let person = &self.people[n];
                    if acknowledge && person.counts && !person.closed {
                        let said = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", person.h);
                        self.stage.says(person.client, &said);
                    }
                }
            }
            Step::Lose(client) => {
                if let Some(n) = self.person(client) {
                    self.lose(n);
                }
            }
            Step::Close(client) => {
                if let Some(n) = self.person(client) {
                    // Who ends his stream in good order has read it.
                    self.read(n);
                    if self.people[n].counts && !self.people[n].closed {
                        let said = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.people[n].h);
                        self.stage.says(self.people[n].client, &said);
                    }
                    self.stage.piece(self.people[n].client, Piece::Close);
                }
            }
            Step::Answer { user, error } => self.answer(user, error),
            Step::Write(user) => self.write(user),
            Step::Shows(user) => {
                if let Some(link) = self.link(user) {
                    let buddy = Buddy {
                        user_name: jid(user),
                        buddy_name: "nurse".into(),
                        status: Some(StatusType::Away.into()),
                        status_message: Some(format!("{}", self.last_text)),
                        ..Default::default()
                    };
                    self.stage.network(link, Frame::BuddyChanged(buddy));
                }
            }
            Step::End { user, error } => {
                if let Some(link) = self.link(user) {
                    let frame = Disconnected { user: jid(user), error, message: None };
                    self.stage.network(link, Frame::Disconnected(frame));
                }
            }
            Step::BackendDies(user) => {
                if let Some(link) = self.link(user) {
                    self.stage.event(Event::BackendDown(link, "killed".to_owned()));
                }
            }
            Step::Wait(seconds) => self.stage.wait(seconds),
        }
        self.check();
    }

    /// The backend on which the user is logged in.
    fn link(&self, user: usize) -> Option<Link> {
        self.stage.server.gateway.backend_of(&jid(user).parse().unwrap())
    }

    fn connect(&mut self, user: usize, right: bool) {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(self.refused_logins % 200).unwrap()));
        self.refused_logins += 1;
        let client = self.stage.connects_from(Cover::Encrypted, address);
        self.people.push(Person { client, user, id: None, counts: false, h: 0, closed: false });
        self.stage.opens(client);
        self.stage.authenticates(client, USERS[user], if right { PASSWORD } else { "wrong" });
    }

    fn is_bound(&self, n: usize) -> bool {
        let stream = self.stage.server.streams.get(&self.people[n].client);
        stream.is_some_and(|stream| matches!(stream.stage, At::Bound(..)))
    }

    fn bind(&mut self, n: usize, resource: usize, resume: bool) {
        let (client, user) = (self.people[n].client, self.people[n].user);
        if !self.stage.server.streams.get(&client).is_some_and(|stream| matches!(stream.stage, At::Known(_)))
        {
            return;
        }
        self.read(n);
        self.stage.opens(client);
        let lost = self.lost.iter().position(|(whose, ..)| *whose == user).filter(|_| resume);
        if let Some((_, id, h)) = lost.map(|at| self.lost.remove(at)) {
            self.stage.says(client, &format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"));
            let sent = &self.stage.sent[&client];
            if matches!(&sent[0], client::Action::Send(resumed) if resumed.name() == "resumed") {
                let person = &mut self.people[n];
                (person.id, person.counts, person.h) = (Some(id), true, h);
                return;
            }
        }
        let resource = RESOURCES[resource];
        self.stage.says(
            client,
            &format!(
                "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
                ns::BIND
            ),
        );
    }

    /// The client reads all that it was sent.
    fn read(&mut self, n: usize) {
        let sent = self.stage.takes(self.people[n].client);
        let person = &mut self.people[n];
        for action in sent {
            match action {
                client::Action::Send(element) => {
                    if element.is("enabled", ns::SM) {
                        (person.counts, person.h) = (true, 0);
                        person.id = element.attr("id").map(str::to_owned);
                    }
                    if element.is_stanza() && person.counts {
                        person.h = person.h.wrapping_add(1);
                    }
                    if let Some(body) = element.child_text("body", ns::CLIENT) {
                        self.reached.entry(person.user).or_default().insert(body.into_owned());
                    }
                }
                client::Action::Close(_) => person.closed = true,
                _ => {}
            }
        }
    }

    /// The connection breaks: what was not read is lost, unless stream management knows of it.
    fn lose(&mut self, n: usize) {
        if !self.people[n].counts {
            // What TCP has taken counts as delivered.
            self.read(n);
        }
        let person = &mut self.people[n];
        if !std::mem::replace(&mut person.closed, true) {
            self.stage.loses(person.client);
            self.lost.extend(person.id.take().map(|id| (person.user, id, person.h)));
        }
        self.stage.takes(self.people[n].client);
    }

    fn answer(&mut self, user: usize, error: Option<i32>) {
        let jid = jid(user);
        let found = self
            .stage
            .frames
            .iter()
            .position(|(_, frame)| matches!(frame, Frame::Login(login) if login.user == jid));
        let Some((link, Frame::Login(login))) = found.map(|n| self.stage.frames.remove(n)) else { return };
        let error = if login.password == PASSWORD { error } else { Some(2) };
        let frame = match error {
            None => Frame::Connected(Connected { user: jid }),
            Some(error) => Frame::Disconnected(Disconnected { user: jid, error, message: None }),
        };
        self.stage.network(link, frame);
    }

    fn write(&mut self, user: usize) {
        let is_online = self.stage.server.gateway.standing(&jid(user).parse().unwrap()) == State::Online;
        let Some(link) = self.link(user).filter(|_| is_online) else { return };
        self.last_text += 1;
        let text = format!("text {}", self.last_text);
        let message = ConversationMessage {
            user_name: jid(user),
            buddy_name: "nurse".into(),
            message: text.clone(),
            ..Default::default()
        };
        self.written.entry(user).or_default().insert(text);
        self.stage.network(link, Frame::ConvMessage(message));
    }

    /// What the server's tables say of each other.
    fn check(&mut self) {
        let server = &self.stage.server;
        for (client, stream) in &server.streams {
            match &stream.stage {
                At::Bound(account, number) => {
                    let session =
                        server.accounts[account].sessions.iter().find(|session| session.number == *number);
                    assert_eq!(session.expect("its session").client, Some(*client));
                }
                At::Known(account) | At::Binding(account) => {
                    assert!(server.accounts[account].guests.contains(client));
                }
                At::LoggingIn(account) => assert!(server.logins.contains_key(account)),
                _ => {}
            }
        }
        for (key, account) in &server.accounts {
            assert!(account.is_used() || account.is_owed(), "an account that nobody needs");
            assert!(account.is_within_bounds());
            for session in &account.sessions {
                assert_eq!(session.account, *key);
                match &session.client {
                    Some(client) => assert!(server.streams.contains_key(client)),
                    None => assert!(session.management.as_ref().is_some_and(|known| known.id.is_some())),
                }
            }
            for guest in &account.guests {
                assert!(server.streams.contains_key(guest));
            }
        }
        for person in &mut self.people {
            let Some(sent) = self.stage.sent.get(&person.client) else { continue };
            let end = sent.iter().position(|action| matches!(action, client::Action::Close(_)));
            if let Some(end) = end {
                assert_eq!(end + 1, sent.len(), "something was sent after the end");
            }
        }
        // Whoever was closed by the server reads to the end.
        for n in 0..self.people.len() {
            let ended = self
                .stage
                .sent
                .get(&self.people[n].client)
                .is_some_and(|sent| matches!(sent.last(), Some(client::Action::Close(_))));
            if ended {
                self.read(n);
                // The server may have ended more than the connection.
                assert!(!self.stage.server.streams.contains_key(&self.people[n].client));
            }
        }
    }

    /// Everybody comes back and reads; then nothing may be missing.
    fn finish(&mut self) {
        for n in 0..self.people.len() {
            self.lose(n);
        }
        self.stage.wait(700);
        for user in 0..USERS.len() {
            // An hour's lock-out, at worst.
            for _ in 0..100 {
                self.connect(user, true);
                let n = self.people.len() - 1;
                for _ in 0..5 {
                    self.answer(user, None);
                    self.stage.wait(1);
                }
                self.bind(n, 0, false);
                if self.is_bound(n) {
                    self.stage.says(self.people[n].client, "<presence/>");
                    self.read(n);
                    break;
                }
                self.lose(n);
                self.stage.wait(90);
            }
            self.check();
        }
        for (user, written) in &self.written {
            let reached = self.reached.get(user).cloned().unwrap_or_default();
            let missing: Vec<&String> = written.difference(&reached).collect();
            assert!(missing.is_empty(), "{} never got {missing:?}", USERS[*user]);
        }
        // Nothing is left of those who go for good.
        for n in 0..self.people.len() {
            if !self.people[n].closed {
                self.stage.piece(self.people[n].client, Piece::Close);
            }
        }
        self.stage.wait(100);
        assert_eq!(self.stage.population(), (0, 0));
        assert!(self.stage.server.streams.is_empty() && self.stage.server.logins.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: crate::testing::seed(), ..ProptestConfig::default() })]

    #[test]
    fn anything_may_happen(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
