//! Conversations with the server: clients, the network and storage are played here; no sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jid::BareJid;
use spectrum2_backend_protocol::{
    BackendConfig, Buddy, Connected, ConversationMessage, Disconnected, Frame, Login, StatusType,
};
use spectrum2_config::{Config, NoSecrets, Overrides};
use spectrum2_xmpp::framer::Piece;
use spectrum2_xmpp::{Element, ns};

use super::Server;
use crate::client::{self, Client, Cover};
use crate::gateway::{Action, Event, Link, Time};
use crate::storage::{Answer, Archives, Request, StoredUser};
use crate::testing::{Frames, buddy};

mod accounts;
mod chaos;
mod memory;
mod messages;
mod negotiation;
mod presence;
mod roster;
mod storage;
mod stream_management;

const DOMAIN: &str = "irc.example.org";
const ROMEO: &str = "romeo%example.net";
const ROMEO_JID: &str = "romeo%example.net@irc.example.org";
const PASSWORD: &str = "wherefore";
const NURSE: &str = "nurse@irc.example.org";

/// What our own backend announces.
const OURS: &str = "[registration]\nneedPassword=1\nneedRegistration=0\n[features]\nmuc=1\n\
                    [extensions]\nname=ack\nname=problem\nname=rooms\n";

/// The play: the core, and everybody else.
pub struct Stage {
    pub server: Server,
    pub now: Time,
    /// What each client was sent and has not read, and whether its connection was closed.
    pub sent: BTreeMap<Client, Vec<client::Action>>,
    pub frames: Frames,
    pub opened: Vec<Link>,
    pub database: BTreeMap<BareJid, StoredUser>,
    archives: Archives,
    /// Storage fails.
    pub broken: bool,
    /// Storage takes its time: its answers wait in `late`.
    pub slow: bool,
    pub late: Vec<Event>,
    /// Storage keeps nothing.
    pub forgetful: bool,
    /// Backends answer pings at once.
    pub answering: bool,
    pub stopped: bool,
    next_id: i64,
    last_client: u64,
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    /// A server with more options, and a warm backend.
    fn with(options: &str) -> Self {
        let server = Server::new(config(options), Time(1_000), 7).expect("a valid configuration");
        let mut stage = Self {
            server,
            now: Time(1_000),
            sent: BTreeMap::new(),
            frames: Frames::default(),
            opened: Vec::new(),
            database: BTreeMap::new(),
            archives: Archives::default(),
            broken: false,
            slow: false,
            late: Vec::new(),
            forgetful: false,
            answering: true,
            stopped: false,
            next_id: 1,
            last_client: 0,
        };
        stage.event(Event::Clock(1_795_000_000_000));
        stage.frames.clear();
        stage
    }

    /// Something happens; storage and new backends do their part at once.
    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.server.handle(self.now, event, &mut actions);
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Stanza(stanza) => panic!("there is no XMPP server for {stanza:?}"),
                    Action::Client(client, action) => self.sent.entry(client).or_default().push(action),
                    Action::Frame(link, Frame::Ping) if self.answering => {
                        next.push(Event::Frame(link, Frame::Pong));
                    }
                    Action::Frame(_, Frame::Ping) => {}
                    Action::Frame(link, frame) => self.frames.push((link, frame)),
                    Action::OpenBackend(link) => {
                        self.opened.push(link);
                        let config = BackendConfig { config: OURS.to_owned() };
                        next.push(Event::BackendUp(link));
                        next.push(Event::Frame(link, Frame::BackendConfig(config)));
                    }
                    Action::Store(token, request) if self.broken => {
                        drop(request);
                        let error = crate::storage::Error("the disk is full".to_owned());
                        next.push(Event::Stored(token, Err(error)));
                    }
                    Action::Store(token, request) => {
                        let answer = Event::Stored(token, Ok(self.store(request)));
                        if self.slow { self.late.push(answer) } else { next.push(answer) }
                    }
                    Action::Stopped => self.stopped = true,
                    _ => {}
                }
            }
            next.reverse();
            events.extend(next);
        }
    }

    fn store(&mut self, request: Request) -> Answer {
        let stored = |database: &mut BTreeMap<BareJid, StoredUser>,
                      id: i64,
                      change: &dyn Fn(&mut StoredUser)| {
            change(
                database.values_mut().find(|user| user.registration.id == id).expect("the user is stored"),
            );
            Answer::Done
        };
        match request {
            Request::LoadUser(jid) => Answer::User(self.database.get(&jid).cloned().map(Box::new)),
            Request::SaveUser(jid, mut registration) => {
                assert!(registration.password.is_empty(), "passwords are in memory only");
                registration.id = self.next_id;
                self.next_id += 1;
                let id = registration.id;
                self.database.insert(jid, StoredUser { registration, settings: vec![], contacts: vec![] });
                Answer::Id(id)
            }
            Request::SaveContacts(..) if self.forgetful => Answer::Done,
            Request::SaveContacts(id, contacts) => stored(&mut self.database, id, &|user| {
                for contact in &contacts {
                    user.contacts.retain(|old| old.legacy_name != contact.legacy_name);
                    user.contacts.push(contact.clone());
                }
            }),
            Request::RemoveContacts(id, names) => stored(&mut self.database, id, &|user| {
                user.contacts.retain(|c| !names.contains(&c.legacy_name));
            }),
            Request::SaveSetting(id, name, _, value) => stored(&mut self.database, id, &|user| {
                user.settings.retain(|(var, _)| *var != name);
                user.settings.push((name.clone(), value.clone()));
            }),
            Request::SetOnline(..) if self.forgetful => Answer::Done,
            Request::SetOnline(id, _) => stored(&mut self.database, id, &|_| ()),
            Request::RemoveUser(id) => {
                self.database.retain(|_, user| user.registration.id != id);
                Answer::Done
            }
            Request::CountUsers => Answer::Count(0),
            Request::Archive(..)
            | Request::ArchivePage(..)
            | Request::ArchiveEnds(..)
            | Request::ArchivedRooms(_)
            | Request::PruneArchives(..)
            | Request::NewestArchived => {
                let users = self.database.iter().map(|(jid, user)| (user.registration.id, jid));
                self.archives.carry_out(users, request)
            }
            request => panic!("the server does not ask {request:?}"),
        }
    }

    /// A client connects.
    fn connects(&mut self, cover: Cover) -> Client {
        self.connects_from(cover, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
    }

    fn connects_from(&mut self, cover: Cover, address: IpAddr) -> Client {
        self.last_client += 1;
        let client = Client(self.last_client);
        self.event(Event::Client(client, client::Event::Opened { address, cover }));
        client
    }

    fn piece(&mut self, client: Client, piece: Piece) {
        self.event(Event::Client(client, client::Event::Piece(piece)));
    }

    /// The client opens its stream; gives the features.
    #[track_caller]
    fn opens(&mut self, client: Client) -> Element {
        self.piece(client, Piece::Open(header()));
        let sent = self.takes(client);
        let [client::Action::Header(header), client::Action::Send(features)] = &sent[..] else {
            panic!("no header and features: {sent:?}");
        };
        assert_eq!(header.attr("from"), Some(DOMAIN));
        assert!(features.is("features", ns::STREAM), "{features:?}");
        features.clone()
    }

    /// The client opens the stream that follows its login.
    fn opens_again(&mut self, client: Client) {
        self.sent.remove(&client);
        self.opens(client);
    }

    /// The client says something; a stanza that is written without namespace is one of clients.
    fn says(&mut self, client: Client, xml: &str) {
        let element = parse(xml);
        self.piece(client, Piece::Stanza(element));
    }

    /// Takes everything that the client was sent.
    fn takes(&mut self, client: Client) -> Vec<client::Action> {
        self.sent.remove(&client).unwrap_or_default()
    }

    /// Takes the elements that the client was sent.
    fn hears(&mut self, client: Client) -> Vec<Element> {
        let sent = self.takes(client).into_iter();
        sent.filter_map(|action| match action {
            client::Action::Send(element) => {
                Some(Element::parse(&element.to_xml()).expect("what we send is well-formed"))
            }
            _ => None,
        })
        .collect()
    }

    /// Takes the first element among those that the client was sent that fits; what came before is dropped.
    #[track_caller]
    fn hears_of(&mut self, client: Client, fits: impl Fn(&Element) -> bool) -> Element {
        let mut heard = self.hears(client);
        let Some(n) = heard.iter().position(fits) else { panic!("nothing fits among {heard:#?}") };
        let rest = heard.split_off(n + 1);
        self.sent.entry(client).or_default().extend(rest.into_iter().map(client::Action::Send));
        heard.pop().expect("it was found")
    }

    /// The stream error with which the client's connection was closed, if it was; empty for none.
    #[track_caller]
    fn closed(&mut self, client: Client) -> String {
        let sent = self.takes(client);
        let Some(client::Action::Close(error)) = sent.last() else { panic!("not closed: {sent:?}") };
        let condition = error.as_ref().and_then(|error| error.elements().next());
        condition.map(|condition| condition.name().to_owned()).unwrap_or_default()
    }

    /// The client asks to be let in.
    fn authenticates(&mut self, client: Client, name: &str, password: &str) {
        let plain = STANDARD.encode(format!("\0{name}\0{password}"));
        self.says(client, &format!("<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>", ns::SASL));
    }

    /// The network lets a user in.
    fn lets_in(&mut self, user: &str) -> Link {
        let (link, _) = self.login_of(user);
        self.network(link, Frame::Connected(Connected { user: user.to_owned() }));
        link
    }

    /// The network does not let a user in.
    fn refuses(&mut self, user: &str, error: i32, text: &str) {
        let (link, _) = self.login_of(user);
        let frame = Disconnected { user: user.to_owned(), error, message: Some(text.to_owned()) };
        self.network(link, Frame::Disconnected(frame));
    }

    #[track_caller]
    fn login_of(&mut self, user: &str) -> (Link, Login) {
        self.frames.take_login(user)
    }

    /// Takes the first frame sent that fits.
    #[track_caller]
    fn frame<T>(&mut self, fits: impl Fn(&Frame) -> Option<T>) -> (Link, T) {
        self.frames.take(fits)
    }

    /// A frame comes from a backend.
    fn network(&mut self, link: Link, frame: Frame) {
        self.event(Event::Frame(link, frame));
    }

    /// The network tells Romeo of a contact.
    fn buddy(&mut self, link: Link, name: &str, alias: &str, status: StatusType) {
        self.network(link, buddy(ROMEO_JID, name, alias, status));
    }

    /// Somebody on the network writes to Romeo.
    fn writes(&mut self, link: Link, name: &str, text: &str) {
        let message = ConversationMessage {
            user_name: ROMEO_JID.into(),
            buddy_name: name.into(),
            message: text.into(),
            ..Default::default()
        };
        self.network(link, Frame::ConvMessage(message));
    }

    /// A connection is lost.
    fn loses(&mut self, client: Client) {
        self.event(Event::Client(client, client::Event::Closed("reset by peer".to_owned())));
    }

    /// Time passes, and everything that is due happens.
    fn wait(&mut self, seconds: u64) {
        let end = self.now.after(seconds * 1_000);
        while let Some(next) = self.server.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.event(Event::Tick);
        }
        self.now = end;
    }

    /// A client that is let in as Romeo, and has opened its new stream.
    fn romeo_in(&mut self) -> (Client, Option<Link>) {
        let client = self.connects(Cover::Encrypted);
        self.opens(client);
        self.authenticates(client, ROMEO, PASSWORD);
        let link = self
            .frames
            .iter()
            .any(|(_, frame)| matches!(frame, Frame::Login(_)))
            .then(|| self.lets_in(ROMEO_JID));
        let sent = self.takes(client);
        assert!(
            matches!(&sent[..], [client::Action::Send(success), client::Action::Restart] if success.is("success", ns::SASL)),
            "{sent:?}"
        );
        self.opens(client);
        (client, link)
    }

    /// A client of Romeo with a resource.
    fn romeo_bound(&mut self, resource: &str) -> (Client, Option<Link>) {
        let (client, link) = self.romeo_in();
        self.binds(client, resource);
        (client, link)
    }

    fn binds(&mut self, client: Client, resource: &str) {
        self.says(
            client,
            &format!(
                "<iq type='set' id='b'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
                ns::BIND
            ),
        );
        let answer = self.hears_of(client, |stanza| stanza.attr("id") == Some("b"));
        assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
    }

    /// A client of Romeo that has the roster and shows itself; nothing of it is left on the stage.
    fn romeo(&mut self, resource: &str) -> (Client, Option<Link>) {
        let (client, link) = self.romeo_bound(resource);
        self.says(client, &format!("<iq type='get' id='r'><query xmlns='{}'/></iq>", ns::ROSTER));
        self.says(client, "<presence/>");
        self.sent.clear();
        self.frames.clear();
        (client, link)
    }

    /// A client of Romeo, and the nurse in its roster.
    fn romeo_and_nurse(&mut self) -> (Client, Link) {
        let (client, link) = self.romeo("orchard");
        let link = link.expect("he was not on line");
        self.buddy(link, "nurse", "Nanny", StatusType::Online);
        self.wait(5);
        self.sent.clear();
        self.frames.clear();
        (client, link)
    }

    /// How many clients have sessions, and of how many accounts.
    fn population(&self) -> (usize, usize) {
        (
            self.server.accounts.values().map(|account| account.sessions.len()).sum(),
            self.server.accounts.len(),
        )
    }
}

/// A transport file with these options of `[service]` more.
fn config(options: &str) -> Arc<Config> {
    let protocol = if options.contains("protocol=") { "" } else { "protocol=prpl-irc\n" };
    let text = format!(
        "[service]\njid={DOMAIN}\nserver=127.0.0.1\nport=5222\nserver_mode=1\n{protocol}{options}\n[database]\ntype=none\n"
    );
    let config = Config::parse(&text, Path::new("irc.cfg"), &Overrides::default(), &NoSecrets);
    Arc::new(config.expect("a valid configuration").0)
}

fn header() -> Element {
    Element::new("stream", ns::STREAM).with("to", DOMAIN).with("version", "1.0")
}

/// An element; without a namespace it is in that of clients.
fn parse(xml: &str) -> Element {
    let end = xml.find([' ', '/', '>']).expect("a tag");
    let (name, rest) = xml.split_at(end);
    let has_own = rest.split('>').next().is_some_and(|tag| tag.contains("xmlns="));
    let xml = if has_own { xml.to_owned() } else { format!("{name} xmlns='{}'{rest}", ns::CLIENT) };
    Element::parse(&xml).expect("well-formed XML")
}

fn iq(id: &str) -> impl Fn(&Element) -> bool + '_ {
    move |stanza| stanza.name() == "iq" && stanza.attr("id") == Some(id)
}

fn presence_from(from: &str, kind: Option<&str>) -> impl Fn(&Element) -> bool {
    let (from, kind) = (from.to_owned(), kind.map(str::to_owned));
    move |stanza| {
        stanza.name() == "presence"
            && stanza.attr("from") == Some(&from)
            && stanza.attr("type") == kind.as_deref()
    }
}

fn with_body(text: &str) -> impl Fn(&Element) -> bool + '_ {
    move |stanza| stanza.name() == "message" && stanza.child_text("body", ns::CLIENT).as_deref() == Some(text)
}

/// The condition of an error stanza.
fn condition(stanza: &Element) -> Option<&str> {
    stanza.find_same("error")?.elements().next().map(Element::name)
}
