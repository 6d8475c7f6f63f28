use super::*;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spectrum2_backend_protocol::{ConversationMessage, Frame};
use spectrum2_config::{Config, NoSecrets, Overrides};
use spectrum2_log::message_id;
use spectrum2_xmpp::framer::Piece;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::backend_link::BackendSource;
use crate::client;
use crate::client_links::{self, Sockets};
use crate::exit::Exit;
use crate::gateway::admin::{Refusal, Request as AdminRequest, Ticket};
use crate::gateway::{Action, Counters, Event, Link, Time, Token};
use crate::run::{Front, STOP_TIME};
use crate::status::Status;
use crate::storage::{Request, Storage};

use crate::testing::{Backend, FakeLauncher, Server, ServerStream, stanza};
use crate::unserved::{Attempt, Problem};
use crate::xmpp_link::Settings;

const LINK: Link = Link(1);
const GREETING: &str = "<presence xmlns='jabber:client' from='irc.example.org' to='romeo@example.org'/>";
const GREETING_ON_THE_WIRE: &str = "<presence from='irc.example.org' to='romeo@example.org'/>";

/// What a test sees and sets of its core.
#[derive(Default)]
struct Controls {
    heard: RefCell<Vec<String>>,
    accepts_frames: Cell<bool>,
    frames: Cell<usize>,
    /// Whether the core ends when it is asked to.
    obedient: Cell<bool>,
    deadline: Cell<Option<Time>>,
    /// The time of day, as the core was told last; and when.
    clock: Cell<(u64, Time)>,
}

impl Controls {
    fn new() -> Self {
        let controls = Self::default();
        controls.accepts_frames.set(true);
        controls.obedient.set(true);
        controls
    }
}

/// Opens a backend when the stream is up, tells each side what it heard from the other, and keeps a record.
struct Relay(Rc<Controls>);

impl Core for Relay {
    fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        let controls = &self.0;
        let line = match event {
            Event::XmppUp => {
                out.push(Action::OpenBackend(LINK));
                "up".to_owned()
            }
            Event::XmppDown => "down".to_owned(),
            Event::Stanza(stanza) if stanza.attr("type") == Some("misconfigured") => {
                out.push(Action::Misconfigured("There is no plugin prpl-irc.".to_owned()));
                "order".to_owned()
            }
            Event::Stanza(stanza) if stanza.attr("type") == Some("timer") => {
                controls.deadline.set(Some(now.after(20)));
                "order".to_owned()
            }
            Event::Stanza(stanza) => {
                let message = stanza.content().into_owned();
                out.push(Action::Frame(
                    LINK,
                    Frame::ConvMessage(ConversationMessage { message, ..Default::default() }),
                ));
                "stanza".to_owned()
            }
            Event::Client(client, client::Event::Piece(Piece::Stanza(stanza))) => {
                out.push(Action::Client(client, client::Action::Send(stanza)));
                "client said something".to_owned()
            }
            Event::Client(_, client::Event::Piece(Piece::Open(_))) => return,
            Event::Client(_, client::Event::Opened { cover, .. }) => format!("client opened: {cover:?}"),
            Event::Client(_, client::Event::Closed(reason)) => format!("client closed: {reason}"),
            Event::BackendUp(LINK) => "backend up".to_owned(),
            Event::Frame(LINK, Frame::ConvMessage(message)) => {
                controls.frames.set(controls.frames.get() + 1);
                out.push(Action::Stanza(stanza(GREETING).text(message.message)));
                return;
            }
            Event::BackendDown(LINK, reason) => format!("backend down: {reason}"),
            Event::Stored(_, answer) => format!("stored: {answer:?}"),
            Event::Admin(_, AdminRequest::Reload) => {
                out.push(Action::Reload);
                "reload".to_owned()
            }
            Event::Reload(Err(problem)) => {
                out.push(Action::Admin(Ticket(1), Err(Refusal::Failed(problem.clone()))));
                problem
            }
            Event::Tick => {
                assert!(controls.deadline.take().is_some_and(|deadline| deadline <= now));
                out.push(Action::Store(Token(1), Request::OnlineUsers));
                "tick".to_owned()
            }
            Event::Clock(time) => return controls.clock.set((time, now)),
            Event::Stop => {
                out.push(Action::Stanza(stanza(GREETING)));
                if controls.obedient.get() {
                    out.push(Action::Stopped);
                }
                "stop".to_owned()
            }
            other => format!("{other:?}"),
        };
        controls.heard.borrow_mut().push(line);
    }

    fn deadline(&self) -> Option<Time> {
        self.0.deadline.get()
    }

    fn accepts_frames(&self) -> bool {
        self.0.accepts_frames.get()
    }

    fn status(&self) -> Status {
        Status { online: 2, backends: 1, ..Status::default() }
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A daemon with everything around it.
struct World {
    server: Server,
    launcher: FakeLauncher,
    manager: UnixDatagram,
    controls: Rc<Controls>,
    told: RefCell<Vec<String>>,
    signals: mpsc::Sender<Order>,
    daemon: JoinHandle<Result<(), Failure>>,
}

impl World {
    async fn new() -> Self {
        Self::with_watchdog(None).await
    }

    async fn with_watchdog(watchdog: Option<Watchdog>) -> Self {
        let server = Server::new().await;
        let settings = server.settings("secret");
        Self::with(server, settings, watchdog)
    }

    fn with(server: Server, settings: Settings, watchdog: Option<Watchdog>) -> Self {
        let controls = Rc::new(Controls::new());
        let launcher = FakeLauncher::new();
        let transport = transport(settings, &controls, launcher.path.clone());
        Self::of(vec![transport], server, launcher, controls, watchdog)
    }

    fn of(
        transports: Vec<Transport<Relay>>,
        server: Server,
        launcher: FakeLauncher,
        controls: Rc<Controls>,
        watchdog: Option<Watchdog>,
    ) -> Self {
        let (manager, notifier) = service_manager();
        let (signals, incoming) = mpsc::channel(4);
        let supervisor = Supervisor::new(transports, notifier, watchdog);
        let daemon = tokio::task::spawn_local(supervisor.run(incoming));
        Self { server, launcher, manager, controls, told: RefCell::default(), signals, daemon }
    }

    /// The daemon, once both of its sides are connected.
    async fn connected() -> (Self, ServerStream, Backend) {
        let world = Self::new().await;
        let stream = world.server.accept_component().await;
        let backend = world.launcher.accept().await;
        world.until(|| world.controls.heard.borrow().len() == 2).await;
        assert_eq!(world.heard(), ["up", "backend up"]);
        (world, stream, backend)
    }

    /// What the core heard since the last time.
    fn heard(&self) -> Vec<String> {
        self.controls.heard.take()
    }

    /// What the service manager heard since the last time.
    fn told(&self) -> Vec<String> {
        self.listen();
        self.told.take()
    }

    fn listen(&self) {
        let mut buffer = [0; 1024];
        while let Ok(length) = self.manager.recv(&mut buffer) {
            self.told.borrow_mut().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }

    /// Whether this is among what the service manager heard since the last time.
    fn was_told(&self, message: &str) -> bool {
        self.listen();
        self.told.borrow().iter().any(|told| told == message)
    }

    /// Lets the daemon run until `condition` holds.
    async fn until(&self, condition: impl Fn() -> bool) {
        let look = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), look).await.expect("it should have happened");
    }

    async fn signal(&self, signal: Order) {
        self.signals.send(signal).await.unwrap();
    }

    async fn end(self) -> Result<(), Failure> {
        self.daemon.await.unwrap()
    }
}

fn transport(settings: Settings, controls: &Rc<Controls>, launcher: PathBuf) -> Transport<Relay> {
    Transport::Served(Box::new(Parts {
        core: Relay(Rc::clone(controls)),
        xmpp: Front::Component(settings),
        backends: Rc::new(BackendSource::Socket(launcher)),
        storage: storage(),
        bus: None,
        read_again: Box::new(|| Err("irc.cfg:3: service.port: This is no number.".to_owned())),
    }))
}

/// A daemon with two transports, of which [`World`] shows the first.
struct Two {
    world: World,
    server: Server,
    controls: Rc<Controls>,
}

impl Two {
    async fn new() -> Self {
        Self::with_watchdog(None).await
    }

    async fn with_watchdog(watchdog: Option<Watchdog>) -> Self {
        let servers = [Server::new().await, Server::of("irc.example.net").await];
        let controls = [Controls::new(), Controls::new()].map(Rc::new);
        let launcher = FakeLauncher::new();
        let transports = servers
            .iter()
            .zip(&controls)
            .map(|(server, controls)| transport(server.settings("secret"), controls, launcher.path.clone()));
        let transports = transports.collect();
        let ([first, server], [mine, controls]) = (servers, controls);
        Self { world: World::of(transports, first, launcher, mine, watchdog), server, controls }
    }

    /// The last status that the service manager was told.
    fn status(&self) -> String {
        self.world.listen();
        let told = self.world.told.borrow();
        told.iter().rev().find_map(|line| line.strip_prefix("STATUS=")).unwrap_or_default().to_owned()
    }
}

fn service_manager() -> (UnixDatagram, Notifier) {
    let name = format!("spectrum2-test-{}", fastrand::u64(..));
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_nonblocking(true).unwrap();
    (manager, Notifier::connect(format!("@{name}").as_ref()).unwrap())
}

fn storage() -> Storage {
    let text = "[service]\njid=irc.example.org\npassword=secret\nport=5347\n[database]\ntype=none\n";
    let (config, _) = Config::parse(text, Path::new("irc.cfg"), &Overrides::default(), &NoSecrets).unwrap();
    Storage::open(&config).unwrap()
}

/// Runs a test as the daemon runs: all tasks on one thread.
async fn on_one_thread(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

fn message(text: &str) -> Frame {
    Frame::ConvMessage(ConversationMessage { message: text.to_owned(), ..Default::default() })
}

#[tokio::test]
async fn what_one_side_says_the_other_hears() {
    on_one_thread(async {
        let (world, mut stream, mut backend) = World::connected().await;
        stream.send("<message from='romeo@example.org' to='irc.example.org'>Hello</message>").await;
        assert_eq!(backend.frame().await, Some(message("Hello")));
        backend.send(&message("Good morrow")).await;
        stream.expect("<presence from='irc.example.org' to='romeo@example.org'>Good morrow</presence>").await;
        assert_eq!(world.heard(), ["stanza"]);
    })
    .await;
}

#[tokio::test]
async fn it_is_ready_after_the_handshake_and_not_before() {
    on_one_thread(async {
        let world = World::new().await;
        let address = world.server.settings("").address();
        let early = world.server.accept().await;
        assert_eq!(world.told(), [format!("STATUS=connecting to {address}")]);
        drop(early);
        let stream = world.server.accept().await;
        assert!(!world.was_told("READY=1"));
        drop(stream);
        let _stream = world.server.accept_component().await;
        world.until(|| world.was_told("READY=1")).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_is_ready_when_clients_can_connect() {
    on_one_thread(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!("[service]\njid=irc.example.org\nserver_mode=1\nport={port}\n");
        let read = |text: &str| {
            Config::parse(text, Path::new("irc.cfg"), &Overrides::default(), &NoSecrets).unwrap().0
        };
        let config = read(&text);
        let sockets = Sockets::open(&config.service, &mut crate::passed::Passed::default()).unwrap();
        let controls = Rc::new(Controls::new());
        let launcher = FakeLauncher::new();
        let renewed = Arc::new(read(&format!("{text}cert=/nowhere/chat.pem\n")));
        let transport = Transport::Served(Box::new(Parts {
            core: Relay(Rc::clone(&controls)),
            xmpp: Front::Server(client_links::Settings::from_config(&config, sockets).unwrap()),
            backends: Rc::new(BackendSource::Socket(launcher.path.clone())),
            storage: storage(),
            bus: None,
            read_again: Box::new(move || Ok(Arc::clone(&renewed))),
        }));
        let world = World::of(vec![transport], Server::new().await, launcher, controls, None);
        world.until(|| world.was_told("READY=1")).await;
        assert!(world.was_told(&format!("STATUS=listening on 127.0.0.1:{port}, 2 users online, 1 backend")));

        let mut client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client
            .write_all(
                b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'><message/>",
            )
            .await
            .unwrap();
        let mut heard = [0; 10];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"<message/>");
        assert_eq!(world.heard(), ["client opened: Plain", "client said something"]);

        // A certificate that cannot be read is the outcome of the reload, and nobody is thrown out.
        world.signal(Order::Reload).await;
        world.until(|| world.controls.heard.borrow().len() == 2).await;
        let outcome = world.heard().pop().unwrap();
        assert!(outcome.starts_with("service.cert: /nowhere/chat.pem cannot be read"), "{outcome}");
        assert!(outcome.ends_with("The former certificate stays in use."), "{outcome}");
        client.write_all(b"<presence/>").await.unwrap();
        client.read_exact(&mut heard).await.unwrap();

        world.signal(Order::Stop).await;
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("<system-shutdown"), "{rest}");
        world.end().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reload_is_told_to_the_service_manager() {
    on_one_thread(async {
        let (world, _stream, _backend) = World::connected().await;
        world.told();
        world.signal(Order::Reload).await;
        world.until(|| world.controls.heard.borrow().len() == 2).await;
        // The core is told what is wrong with the file; the transport is ready all the same.
        assert_eq!(world.heard(), ["reload", "irc.cfg:3: service.port: This is no number."]);
        let told: Vec<String> =
            world.told().into_iter().filter(|line| !line.starts_with("STATUS=")).collect();
        let [reloading, ready] = told.as_slice() else { panic!("{told:?}") };
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert_eq!(ready, "READY=1");
    })
    .await;
}

#[tokio::test]
async fn before_it_is_ready_a_reload_makes_it_no_more_so() {
    on_one_thread(async {
        let world = World::new().await;
        world.signal(Order::Reload).await;
        world.until(|| world.controls.heard.borrow().len() == 2).await;
        assert!(world.told().iter().all(|line| line.starts_with("STATUS=")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_status_follows_the_link() {
    on_one_thread(async {
        let (world, stream, _backend) = World::connected().await;
        let address = world.server.settings("").address();
        let last_told = |text: &str| world.told().last().is_some_and(|line| line.contains(text));
        let connected =
            format!("STATUS=connected to {address} as irc.example.org, 2 users online, 1 backend");
        world.until(|| last_told(&connected)).await;
        drop(stream);
        // Waiting for the next attempt, or in the middle of it already: the line is held back for a second.
        world.until(|| last_told("(the server closed the connection)")).await;
        assert_eq!(world.heard(), ["down"]);
        let _stream = world.server.accept_component().await;
        world.until(|| last_told(&connected)).await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_secret_at_the_start_is_not_permitted() {
    on_one_thread(async {
        let server = Server::new().await;
        let settings = server.settings("wrong");
        let address = settings.address();
        let world = World::with(server, settings, None);
        world.server.accept().await.refuse("not-authorized").await;
        world.until(|| world.daemon.is_finished()).await;
        let told = world.told();
        let failure = world.end().await.unwrap_err();
        assert_eq!(failure.exit(), Exit::NotPermitted);
        assert_eq!(
            failure.to_string(),
            format!(
                "Cannot connect to the XMPP server at {address} as irc.example.org: not-authorized. The secret is not \
                 the one that the server has for the component irc.example.org: compare it with service.password in \
                 irc.cfg."
            )
        );
        assert_eq!(told.last(), Some(&format!("STATUS={failure}")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_later_is_tried_again() {
    on_one_thread(async {
        let (world, stream, _backend) = World::connected().await;
        drop(stream);
        world.server.accept().await.refuse("not-authorized").await;
        assert_eq!(world.heard(), ["down"]);
        let _stream = world.server.accept_component().await;
        world.until(|| world.controls.heard.borrow().first().is_some_and(|line| line == "up")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_never_reached_is_unavailable() {
    on_one_thread(async {
        let start = Instant::now();
        let world = World::new().await;
        while !world.daemon.is_finished() {
            tokio::select! {
                stream = world.server.accept() => stream.refuse("host-unknown").await,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        assert!((45..=47).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let failure = world.end().await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert!(failure.to_string().contains("host-unknown"), "{failure}");
    })
    .await;
}

#[tokio::test]
async fn a_misconfiguration_ends_the_daemon_with_its_text() {
    on_one_thread(async {
        let (world, mut stream, _backend) = World::connected().await;
        stream.send("<iq type='misconfigured'/>").await;
        stream.expect("</stream:stream>").await;
        drop(stream);
        world.until(|| world.daemon.is_finished()).await;
        assert_eq!(world.told().last().unwrap(), "STATUS=There is no plugin prpl-irc.");
        assert_eq!(world.end().await.unwrap_err().exit(), Exit::Config);
    })
    .await;
}

#[tokio::test]
async fn a_stop_says_good_bye_on_both_sides() {
    on_one_thread(async {
        let (world, mut stream, mut backend) = World::connected().await;
        stream.send("<message>last words</message>").await;
        world.until(|| !world.controls.heard.borrow().is_empty()).await;
        world.told();
        world.signal(Order::Stop).await;
        stream.expect(&format!("{GREETING_ON_THE_WIRE}</stream:stream>")).await;
        assert_eq!(backend.frame().await, Some(message("last words")));
        assert_eq!(backend.frame().await, None);
        drop(stream);
        world.until(|| world.daemon.is_finished()).await;
        assert_eq!(world.told(), ["STOPPING=1", "STATUS=stopping"]);
        world.end().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_longer_because_nobody_reads() {
    on_one_thread(async {
        let (world, mut stream, _backend) = World::connected().await;
        world.controls.obedient.set(false);
        let body = "x".repeat(100_000);
        for _ in 0..50 {
            stream.send(&format!("<message>{body}</message>")).await;
        }
        world.until(|| world.controls.heard.borrow().len() >= 50).await;
        let start = Instant::now();
        world.signal(Order::Stop).await;
        world.end().await.unwrap();
        assert!(start.elapsed() <= STOP_TIME + Duration::from_millis(10), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_request_to_stop_is_obeyed_at_once() {
    on_one_thread(async {
        let (world, _stream, _backend) = World::connected().await;
        world.controls.obedient.set(false);
        let start = Instant::now();
        world.signal(Order::Stop).await;
        world.signal(Order::Reload).await;
        world.signal(Order::Stop).await;
        world.end().await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn the_core_hears_of_time_and_of_storage() {
    on_one_thread(async {
        let (world, mut stream, _backend) = World::connected().await;
        stream.send("<iq type='timer'/>").await;
        world.until(|| world.controls.heard.borrow().len() == 3).await;
        assert_eq!(world.heard(), ["order", "tick", "stored: Ok(Jids([]))"]);
        let (told, at) = world.controls.clock.get();
        let is_now = told + crate::run::now().since(at);
        assert!(is_now.abs_diff(crate::run::time_of_day()) < 2_000, "{is_now}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backends_wait_while_the_core_does_not_want_frames() {
    on_one_thread(async {
        let (world, mut stream, mut backend) = World::connected().await;
        world.controls.accepts_frames.set(false);
        // Makes the loop look.
        stream.send("<message/>").await;
        world.until(|| !world.controls.heard.borrow().is_empty()).await;
        let sent = fill(&mut backend).await;
        assert_eq!(world.controls.frames.get(), 0);
        world.controls.accepts_frames.set(true);
        stream.send("<message/>").await;
        world.until(|| world.controls.frames.get() == sent).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backends_wait_while_the_xmpp_server_does_not_read() {
    on_one_thread(async {
        let (world, mut stream, mut backend) = World::connected().await;
        let sent = fill(&mut backend).await;
        let taken = world.controls.frames.get();
        assert!(taken < sent, "nothing held the backend up");
        // The server's own stanzas are heard all the same.
        stream.send("<message/>").await;
        world.until(|| !world.controls.heard.borrow().is_empty()).await;
        let reply =
            format!("{}>{}</presence>", GREETING_ON_THE_WIRE.trim_end_matches("/>"), "x".repeat(1_000));
        stream.skip(sent * reply.len()).await;
        assert_eq!(world.controls.frames.get(), sent);
    })
    .await;
}

/// Sends messages until the daemon takes no more: the clock, which moves only when nothing else can, says when.
async fn fill(backend: &mut Backend) -> usize {
    let text = message(&"x".repeat(1_000));
    let mut sent = 0;
    while timeout(Duration::from_secs(1), backend.send(&text)).await.is_ok() {
        sent += 1;
        assert!(sent < 50_000, "nothing holds the backend up");
    }
    // The frame that was cut off.
    sent
}

#[tokio::test]
async fn the_watchdog_hears_of_a_daemon_that_works() {
    on_one_thread(async {
        let watchdog = Watchdog::new(Duration::from_millis(40), Instant::now());
        let world = World::with_watchdog(Some(watchdog)).await;
        let pings = Cell::new(0);
        world
            .until(|| {
                pings.set(pings.get() + world.told().iter().filter(|line| *line == "WATCHDOG=1").count());
                pings.get() >= 3
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_launcher_that_is_gone_is_told_to_the_core() {
    on_one_thread(async {
        let mut world = World::new().await;
        std::fs::rename(&world.launcher.path, world.launcher.path.with_extension("gone")).unwrap();
        world.launcher.path = world.launcher.path.with_extension("gone");
        let _stream = world.server.accept_component().await;
        world.until(|| world.controls.heard.borrow().len() == 2).await;
        assert!(world.heard()[1].starts_with("backend down: the backend launcher at "));
    })
    .await;
}

#[tokio::test]
async fn it_is_ready_when_all_transports_are() {
    on_one_thread(async {
        let two = Two::new().await;
        let _one = two.world.server.accept_component().await;
        let early = two.server.accept().await;
        two.world.until(|| two.status().starts_with("1 of 2 transports connected, 2 users online")).await;
        assert!(two.status().contains("; irc.example.net: connecting to "), "{}", two.status());
        assert!(!two.world.was_told("READY=1"));
        drop(early);
        let _other = two.server.accept_component().await;
        two.world.until(|| two.world.was_told("READY=1")).await;
        two.world.until(|| two.status() == "2 of 2 transports connected, 4 users online, 2 backends").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_the_server_refuses_does_not_end_the_others() {
    on_one_thread(async {
        let two = Two::new().await;
        two.server.accept().await.refuse("not-authorized").await;
        let mut stream = two.world.server.accept_component().await;
        two.world.until(|| two.world.was_told("READY=1")).await;
        two.world.until(|| two.status().starts_with("1 of 2 transports connected")).await;
        let status = two.status();
        let (_, trouble) = status.split_once("; irc.example.net: ").unwrap();
        assert!(trouble.contains("(not-authorized)"), "{trouble}");
        // The admin mends it.
        let _other = two.server.accept_component().await;
        two.world.until(|| two.status().starts_with("2 of 2 transports connected")).await;
        assert_eq!(two.controls.heard.borrow()[0], "up");
        // The other noticed nothing.
        assert!(!two.world.heard().contains(&"down".to_owned()));
        stream.send("<message/>").await;
        two.world.until(|| two.world.heard().contains(&"stanza".to_owned())).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_reached_in_time_does_not_keep_the_others_from_being_ready() {
    on_one_thread(async {
        let start = Instant::now();
        let two = Two::new().await;
        let _one = two.world.server.accept_component().await;
        // It accepts, and says nothing, again and again.
        let _silent = two.server.accept().await;
        while !two.world.was_told("READY=1") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(start.elapsed() <= START_TIME + Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(!two.world.daemon.is_finished());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn if_the_server_refuses_all_nothing_is_left() {
    on_one_thread(async {
        let two = Two::new().await;
        two.world.server.accept().await.refuse("not-authorized").await;
        two.server.accept().await.refuse("not-authorized").await;
        two.world.until(|| two.world.daemon.is_finished()).await;
        assert!(!two.world.was_told("READY=1"));
        let failure = two.world.end().await.unwrap_err();
        assert_eq!(failure.exit(), Exit::NotPermitted);
        let text = failure.to_string();
        assert!(
            text.contains("component irc.example.org:") && text.contains("component irc.example.net:"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn one_that_cannot_be_served_is_named_beside_those_that_are() {
    on_one_thread(async {
        let (server, launcher, controls) = (Server::new().await, FakeLauncher::new(), Rc::new(Controls::new()));
        let transports = vec![
            transport(server.settings("secret"), &controls, launcher.path.clone()),
            unserved("irc.example.net", || Box::pin(std::future::pending())),
        ];
        let watchdog = Watchdog::new(Duration::from_millis(40), Instant::now());
        let world = World::of(transports, server, launcher, controls, Some(watchdog));
        let _stream = world.server.accept_component().await;
        world.until(|| world.was_told("READY=1")).await;
        let status = "STATUS=1 of 2 transports connected, 2 users online, 1 backend; irc.example.net: not served (The \
                      database is damaged. Restore a backup), trying again within 1 s";
        world.until(|| world.was_told(status)).await;
        // It waits for its disk, and holds up nobody.
        world.told();
        world.until(|| world.was_told("WATCHDOG=1")).await;
        world.signal(Order::Stop).await;
        world.end().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_served_is_tried_again_with_a_growing_pause() {
    on_one_thread(async {
        let servers = [Server::new().await, Server::of("irc.example.net").await];
        let (launcher, controls) = (FakeLauncher::new(), [Controls::new(), Controls::new()].map(Rc::new));
        let start = Instant::now();
        let attempts: Rc<RefCell<Vec<u64>>> = Rc::default();
        let (tried, settings, mine) =
            (Rc::clone(&attempts), servers[1].settings("secret"), Rc::clone(&controls[1]));
        let path = launcher.path.clone();
        let again = move || -> Attempt<Relay> {
            tried.borrow_mut().push(start.elapsed().as_secs());
            if tried.borrow().len() < 11 {
                return Box::pin(async { Err(damaged()) });
            }
            let Transport::Served(parts) = transport(settings.clone(), &mine, path.clone()) else {
                unreachable!("it is served");
            };
            Box::pin(async { Ok(parts) })
        };
        let transports = vec![
            unserved("irc.example.net", again),
            transport(servers[0].settings("secret"), &controls[0], launcher.path.clone()),
        ];
        let [first, second] = servers;
        let world = World::of(transports, first, launcher, Rc::clone(&controls[0]), None);
        let _stream = world.server.accept_component().await;
        world.until(|| world.was_told("READY=1")).await;
        let _other = second.accept_component().await;
        assert_eq!(*attempts.borrow(), [1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]);
        let all = "STATUS=2 of 2 transports connected, 4 users online, 2 backends";
        world.until(|| world.was_told(all)).await;
        assert_eq!(controls[1].heard.borrow()[0], "up");
        // The other noticed nothing.
        assert_eq!(world.heard(), ["up", "backend up"]);
        world.signal(Order::Reload).await;
        world.until(|| controls[1].heard.borrow().contains(&"reload".to_owned())).await;
        world.signal(Order::Stop).await;
        world.end().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_tries_at_once_and_a_stop_waits_for_no_attempt() {
    on_one_thread(async {
        let (server, launcher, controls) =
            (Server::new().await, FakeLauncher::new(), Rc::new(Controls::new()));
        let attempts: Rc<Cell<u32>> = Rc::default();
        let tried = Rc::clone(&attempts);
        let again = move || -> Attempt<Relay> {
            tried.set(tried.get() + 1);
            if tried.get() < 10 {
                Box::pin(async { Err(damaged()) })
            } else {
                Box::pin(std::future::pending())
            }
        };
        let transports = vec![
            transport(server.settings("secret"), &controls, launcher.path.clone()),
            unserved("irc.example.net", again),
        ];
        let world = World::of(transports, server, launcher, controls, None);
        let _stream = world.server.accept_component().await;
        world.until(|| attempts.get() == 4).await;
        let now = Instant::now();
        world.signal(Order::Reload).await;
        world.until(|| attempts.get() == 5).await;
        assert!(now.elapsed() < Duration::from_secs(1), "{:?}", now.elapsed());
        world.signal(Order::Stop).await;
        world.end().await.unwrap();
    })
    .await;
}

fn damaged() -> Problem {
    let text = "The database is damaged. Restore a backup.".to_owned();
    Problem { text, message_id: message_id::DATABASE_UNUSABLE }
}

fn unserved(jid: &str, again: impl FnMut() -> Attempt<Relay> + 'static) -> Transport<Relay> {
    let (jid, again) = (jid.to_owned(), Box::new(again));
    Transport::Unserved(Unserved { jid, about: None, problem: damaged(), again })
}

#[tokio::test]
async fn signals_and_the_watchdog_are_for_all_transports() {
    on_one_thread(async {
        let watchdog = Watchdog::new(Duration::from_millis(40), Instant::now());
        let two = Two::with_watchdog(Some(watchdog)).await;
        let _streams = [two.world.server.accept_component().await, two.server.accept_component().await];
        two.world.until(|| two.world.was_told("READY=1")).await;
        let pings = || two.world.told.borrow().iter().filter(|line| *line == "WATCHDOG=1").count();
        two.world.until(|| two.world.was_told("WATCHDOG=1") && pings() >= 3).await;
        let heard = |controls: &Controls, what: &str| controls.heard.borrow().iter().any(|line| line == what);
        two.world.signal(Order::Reload).await;
        two.world.until(|| [&two.world.controls, &two.controls].iter().all(|one| heard(one, "reload"))).await;
        two.world.signal(Order::Stop).await;
        two.world.until(|| [&two.world.controls, &two.controls].iter().all(|one| heard(one, "stop"))).await;
        two.world.end().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_misconfiguration_ends_all_transports_and_each_says_good_bye() {
    on_one_thread(async {
        let two = Two::new().await;
        let mut stream = two.world.server.accept_component().await;
        let mut other = two.server.accept_component().await;
        two.world.until(|| two.world.was_told("READY=1")).await;
        stream.send("<iq type='misconfigured'/>").await;
        stream.expect("</stream:stream>").await;
        other.expect(&format!("{GREETING_ON_THE_WIRE}</stream:stream>")).await;
        drop((stream, other));
        assert_eq!(two.world.end().await.unwrap_err().exit(), Exit::Config);
    })
    .await;
}
