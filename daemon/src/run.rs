//! The loop of one transport: everything that happens goes into the core as an event, and what the core wants done is
//! done. All loops of a process run on one thread; [`crate::supervisor`] is above them.
//!
//! One loop, one owner of all state. Guarantees:
//!
//! * The loop never waits for a peer. What peers send waits in queues of fixed length; while XMPP output, storage or the
//!   core itself is behind, backends are not read, and a slow backend is the core's to know about ([`Event::BackendBusy`]).
//! * A stop takes at most [`STOP_TIME`], whatever peers do.
//! * The supervisor hears that the transport is alive only while the loop and storage are.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use spectrum2_config::Config;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backend_link::{Arrival, BackendInput, BackendLinks, BackendSource};
use crate::bus::{self, About, Bus, Question};
use crate::certificate::Certificate;
use crate::client;
use crate::client_links::{self, ClientInput, ClientLinks, News};
use crate::exit::Exit;
use crate::gateway::admin::{Outcome, Refusal, Request as AdminRequest, Ticket};
use crate::gateway::{Action, Counters, Event, Time, Token};
use crate::logging;
use crate::memory;
use crate::status::{self, ShellFigures, Snapshot, Status, XmppState};
use crate::storage::{Reply, Request, Storage};
use crate::supervisor::{Order, Reporter};
use crate::xmpp_link::{self, LinkError, Report, XmppLink, XmppStream};
use spectrum2_log::message_id;

/// From SIGTERM to the end. The service manager's patience is much longer; that of an admin is not.
pub const STOP_TIME: Duration = Duration::from_millis(1500);
/// What of [`STOP_TIME`] the core may use; the rest is for writing out what it said.
const LAST_WORDS: Duration = Duration::from_millis(700);
/// Names the question to storage with which the transport proves that it is alive. The core counts up from one.
const PROOF: Token = Token(u64::MAX);
/// The core hears of the time of day again when it is so many milliseconds off.
const OFF: u64 = 500;
/// Requests of admins that may be under way.
const TICKETS: usize = 256;

/// The core, as the loop sees it.
pub trait Core {
    /// Takes what happened and appends what is to be done.
    fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>);
    /// When [`Event::Tick`] is wanted.
    fn deadline(&self) -> Option<Time>;
    /// Whether frames of backends may come; those that were read already still do.
    fn accepts_frames(&self) -> bool;
    /// What to tell the admin.
    fn status(&self) -> Status;
    /// Running totals.
    fn counters(&self) -> Counters;
}

/// Reads the transport file again; or says what is wrong with it.
pub type ReadAgain = Box<dyn Fn() -> Result<Arc<Config>, String>>;

/// The XMPP side of a transport.
pub enum Front {
    /// We are a component of an XMPP server.
    Component(xmpp_link::Settings),
    /// We are the XMPP server.
    Server(client_links::Settings),
}

impl Front {
    /// `service.jid`.
    #[must_use]
    pub fn jid(&self) -> &str {
        match self {
            Self::Component(settings) => &settings.jid,
            Self::Server(settings) => &settings.jid,
        }
    }

    /// Where the XMPP server is, or where clients connect, as people write it.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Component(settings) => settings.address(),
            Self::Server(settings) => settings.sockets.to_string(),
        }
    }
}

/// What a transport is made of.
pub struct Parts<C> {
    /// The state machine.
    pub core: C,
    /// Where XMPP is, and who we are there.
    pub xmpp: Front,
    /// Where backends come from; the transports of a process share it.
    pub backends: Rc<BackendSource>,
    /// The database.
    pub storage: Storage,
    /// Who we are on the bus; `None` if we are not to be there.
    pub bus: Option<About>,
    /// Reads the transport file again; or says what is wrong with it.
    pub read_again: ReadAgain,
}

/// Why the daemon ended without being asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The XMPP server refused us, and asking again cannot help.
    #[error("{0}")]
    Refused(String),
    /// The XMPP server was never reached. Starting again later may help.
    #[error("{0}")]
    Unavailable(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Misconfigured(String),
    /// The storage thread is gone.
    #[error("The storage thread ended unexpectedly. What it said before is in the log; please report it.")]
    Storage,
    /// The system refuses what every program may do.
    #[error("The event loop cannot be started: {0}. Check the limits of open files and of memory.")]
    Runtime(#[from] io::Error),
}

impl Failure {
    /// The exit status that tells the service manager whether to start us again.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Refused(_) => Exit::NotPermitted,
            Self::Misconfigured(_) => Exit::Config,
            Self::Unavailable(_) | Self::Runtime(_) => Exit::Unavailable,
            Self::Storage => Exit::Software,
        }
    }
}

/// The current time of the core's clock.
#[must_use]
pub fn now() -> Time {
    // CLOCK_BOOTTIME has existed since Linux 2.6.39; reading it cannot fail.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    Time(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The time of day, in milliseconds since 1970.
#[must_use]
pub fn time_of_day() -> u64 {
    let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(day.as_millis()).unwrap_or(u64::MAX)
}

/// What the loop wakes up for.
enum Happening {
    Order(Order),
    Xmpp(Report),
    Client(client_links::Arrival),
    Backend(Arrival),
    Stored(Option<Reply>),
    Question(Question),
    Timer,
}

/// One transport with all that belongs to it.
pub struct Shell<C> {
    core: C,
    now: Time,
    /// Milliseconds from 1970 to the zero of the core's clock, as the core knows it.
    day: u64,
    actions: Vec<Action>,
    /// As a component.
    link: Option<XmppLink>,
    /// As a server.
    clients: Option<ClientLinks>,
    client_input: ClientInput,
    /// While the XMPP stream stands.
    xmpp: Option<XmppStream>,
    xmpp_state: XmppState,
    xmpp_since: SystemTime,
    connected_before: bool,
    /// Why the server refuses us, if asking again cannot help.
    refusal: String,
    backends: BackendLinks,
    backend_input: BackendInput,
    storage: Storage,
    /// Requests that storage had no room for, oldest first.
    unasked: VecDeque<(Token, Request)>,
    /// When the requests were made that wait for their answers, which come in the same order.
    asked: VecDeque<Instant>,
    figures: ShellFigures,
    bus: Bus,
    /// Who waits for the outcome of a request of an admin; `None` is whoever sent SIGHUP.
    tickets: HashMap<Ticket, Option<oneshot::Sender<Outcome>>>,
    last_ticket: u64,
    read_again: ReadAgain,
    /// Answers to what the core asked of us, for when its other actions are done.
    echoes: VecDeque<Event>,
    reporter: Reporter,
    address: String,
    jid: String,
    /// Since the request to stop: when the core's time for it is over, and when all is.
    stopping: Option<(Instant, Instant)>,
    end: Option<Result<(), Failure>>,
}

impl<C: Core> Shell<C> {
    /// Begins to connect. To be called inside a [`tokio::task::LocalSet`].
    #[must_use]
    pub fn new(parts: Parts<C>, bus: Bus, reporter: Reporter) -> Self {
        let (jid, address) = (parts.xmpp.jid().to_owned(), parts.xmpp.address());
        let (backends, backend_input) = BackendLinks::new(parts.backends, &jid);
        let (mut link, mut clients, mut client_input, mut end) = (None, None, ClientInput::none(), None);
        let xmpp_state = match parts.xmpp {
            Front::Component(settings) => {
                link = Some(XmppLink::start(settings));
                XmppState::Connecting(None)
            }
            Front::Server(settings) => {
                match ClientLinks::start(settings) {
                    Ok((links, input)) => (clients, client_input) = (Some(links), input),
                    Err(error) => end = Some(Err(Failure::Runtime(error))),
                }
                XmppState::Listening
            }
        };
        Self {
            core: parts.core,
            now: now(),
            day: 0,
            actions: Vec::new(),
            address,
            jid,
            link,
            clients,
            client_input,
            xmpp: None,
            xmpp_state,
            xmpp_since: SystemTime::now(),
            connected_before: false,
            refusal: String::new(),
            backends,
            backend_input,
            storage: parts.storage,
            unasked: VecDeque::new(),
            asked: VecDeque::new(),
            figures: ShellFigures::default(),
            bus,
            tickets: HashMap::new(),
            last_ticket: 0,
            read_again: parts.read_again,
            echoes: VecDeque::new(),
            reporter,
            stopping: None,
            end,
        }
    }

    /// Runs the transport until it is told to stop.
    ///
    /// # Errors
    /// [`Failure`] says why it ended otherwise. It is not logged yet.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), Failure> {
        self.tell_status();
        if self.clients.is_some() {
            tracing::info!("Clients of {} can connect to {}.", self.jid, self.address);
        }
        let result = loop {
            if let Some(result) = self.end.take() {
                break result;
            }
            let happening = self.next(&mut orders).await;
            self.now = now();
            self.check_clock();
            match happening {
                Happening::Order(order) => self.on_order(order),
                Happening::Xmpp(report) => self.on_xmpp(report),
                Happening::Client(arrival) => self.on_client(arrival),
                Happening::Backend(arrival) => self.on_backend(arrival),
                Happening::Stored(reply) => self.on_stored(reply),
                Happening::Question(Question { request, reply }) => self.ask_core(request, Some(reply)),
                Happening::Timer => {}
            }
            self.on_time();
            if self.end.is_none() {
                self.tell_status();
            }
            // All that this batch caused is in the outboxes now; here the tasks that write them get their turn, also
            // when the next batch is already waiting.
            tokio::task::yield_now().await;
        };
        self.finish(orders).await;
        result
    }

    async fn next(&mut self, orders: &mut mpsc::Receiver<Order>) -> Happening {
        let storage_is_behind = !self.unasked.is_empty();
        let xmpp = self.xmpp.as_ref();
        let backends_paused =
            storage_is_behind || xmpp.is_some_and(XmppStream::is_slow) || !self.core.accepts_frames();
        let xmpp_paused = storage_is_behind || xmpp.is_some_and(XmppStream::is_stuck);
        let wake = self.wake_time();
        tokio::select! {
            Some(order) = orders.recv() => Happening::Order(order),
            report = next_report(self.link.as_mut(), xmpp_paused) => Happening::Xmpp(report),
            arrival = self.client_input.next(storage_is_behind) => Happening::Client(arrival),
            arrival = self.backend_input.next(backends_paused) => Happening::Backend(arrival),
            reply = self.storage.reply() => Happening::Stored(reply),
            question = self.bus.question(), if !storage_is_behind => Happening::Question(question),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Happening::Timer,
        }
    }

    fn wake_time(&self) -> Option<Instant> {
        let core = self.core.deadline().map(|at| Instant::now() + Duration::from_millis(at.since(now())));
        let stop = self.stopping.map(|(core_until, _)| core_until);
        [core, stop, self.reporter.due()].into_iter().flatten().min()
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Reload => self.ask_core(AdminRequest::Reload, None),
            // Any question would do; this one changes nothing.
            Order::Prove => self.ask(PROOF, Request::RemoveContacts(0, Vec::new())),
            Order::Stop if self.stopping.is_some() => {
                self.end_with(Ok(()));
                self.stopping = Some((Instant::now(), Instant::now()));
            }
            Order::Stop => {
                let now = Instant::now();
                self.stopping = Some((now + LAST_WORDS, now + STOP_TIME));
                if let Some(clients) = &mut self.clients {
                    clients.stop_listening();
                }
                self.event(Event::Stop);
            }
        }
    }

    fn on_xmpp(&mut self, report: Report) {
        match report {
            Report::Connecting => {
                let reason = match &self.xmpp_state {
                    XmppState::Waiting { reason, .. } => Some(reason.clone()),
                    _ => None,
                };
                self.enter(XmppState::Connecting(reason));
            }
            Report::Up(stream) => {
                tracing::info!("Connected to {} as {}.", self.address, self.jid);
                self.xmpp = Some(stream);
                self.enter(XmppState::Connected);
                self.connected_before = true;
                self.figures.connections += 1;
                self.refusal.clear();
                self.event(Event::XmppUp);
            }
            Report::Stanzas(stanzas) => {
                for stanza in stanzas {
                    self.event(Event::Stanza(stanza));
                }
            }
            Report::Drained => {}
            Report::Lost { error, hint, delay } => self.on_xmpp_lost(&error, &hint, delay),
        }
    }

    fn on_xmpp_lost(&mut self, error: &LinkError, hint: &str, delay: Duration) {
        let (address, jid) = (self.address.clone(), self.jid.clone());
        let again = format!("Trying again within {} s.", delay.as_secs_f64().ceil());
        let refusal = format!("Cannot connect to the XMPP server at {address} as {jid}: {error}. {hint}");
        let connected_before = self.connected_before;
        self.enter(XmppState::Waiting { connected_before, reason: error.to_string(), delay });
        self.refusal.clear();
        if self.xmpp.take().is_some() {
            tracing::warn!(
                message_id = message_id::COMPONENT_LOST,
                "The connection to the XMPP server at {address} as {jid} is lost: {error}. {again}"
            );
            self.event(Event::XmppDown);
        } else if error.is_final() && !self.connected_before {
            // Logged by the supervisor, who decides what that means for the process.
            self.refusal = refusal;
        } else {
            let refused = error.is_final();
            let message_id = if refused { message_id::COMPONENT_REFUSED } else { message_id::COMPONENT_LOST };
            tracing::warn!(message_id, "{} {again}", refusal.trim_end());
        }
    }

    fn on_client(&mut self, arrival: client_links::Arrival) {
        let client_links::Arrival { client, stream, news } = arrival;
        // Asked for each, because the core may end the stream or the connection in between.
        let is_current =
            |shell: &Self| shell.clients.as_ref().is_some_and(|clients| clients.is_current(client, stream));
        let tell = |shell: &mut Self, event| shell.event(Event::Client(client, event));
        if !is_current(self) {
            return;
        }
        match news {
            News::Opened(address, cover) => tell(self, client::Event::Opened { address, cover }),
            News::Encrypted => tell(self, client::Event::Encrypted),
            News::Pieces(pieces) => {
                for piece in pieces {
                    if is_current(self) {
                        tell(self, client::Event::Piece(piece));
                    }
                }
            }
            News::Closed(reason) => {
                tracing::debug!(client = client.0, "A client is gone: {reason}.");
                if let Some(clients) = &mut self.clients {
                    clients.forget(client);
                }
                tell(self, client::Event::Closed(reason));
            }
        }
    }

    fn on_backend(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Up(link) if self.backends.is_open(link) => self.event(Event::BackendUp(link)),
            Arrival::Up(_) => {}
            Arrival::Frames(link, frames) => {
                for frame in frames {
                    // Asked for each, because the core may close the link in between.
                    if self.backends.is_open(link) {
                        self.event(Event::Frame(link, frame));
                    }
                }
            }
            Arrival::Down(link, reason) => {
                if self.backends.forget(link) {
                    self.event(Event::BackendDown(link, reason));
                }
            }
            Arrival::Drained => {
                self.backends.drained();
                self.backend_news();
            }
        }
    }

    fn on_stored(&mut self, reply: Option<Reply>) {
        // There is room again.
        while let Some((token, request)) = self.unasked.pop_front() {
            if let Err(request) = self.storage.ask(token, request) {
                self.unasked.push_front(request);
                break;
            }
        }
        if let Some(asked) = self.asked.pop_front() {
            let time = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.figures.storage.observe(time);
        }
        match reply {
            Some((PROOF, _)) => self.reporter.proven(),
            Some((token, answer)) => self.event(Event::Stored(token, answer)),
            None => self.end_with(Err(Failure::Storage)),
        }
    }

    /// Tells the core of a clock that was set: by NTP after a boot without one, or by somebody.
    fn check_clock(&mut self) {
        let time = time_of_day();
        let day = time.saturating_sub(self.now.0);
        if day.abs_diff(self.day) >= OFF {
            self.day = day;
            self.event(Event::Clock(time));
        }
    }

    /// Does whatever is due.
    fn on_time(&mut self) {
        let now = Instant::now();
        if self.core.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.event(Event::Tick);
        }
        if self.stopping.is_some_and(|(core_until, _)| core_until <= now) {
            self.end_with(Ok(()));
        }
    }

    fn tell_status(&mut self) {
        if self.stopping.is_none() {
            let Self { core, xmpp_state, xmpp_since, address, jid, refusal, reporter, .. } = self;
            let since = bus::microseconds(*xmpp_since);
            let shell = || ShellFigures {
                xmpp_bytes: self.xmpp.as_ref().map_or(0, XmppStream::waiting_bytes),
                backend_bytes: self.backends.waiting_bytes(),
                clients: self.clients.as_ref().map_or(0, ClientLinks::count),
                storage_waiting: self.asked.len(),
                ..self.figures.clone()
            };
            reporter.show(Instant::now(), || Snapshot {
                refusal: refusal.clone(),
                refusal_id: message_id::COMPONENT_REFUSED,
                shell: shell(),
                ..snapshot(xmpp_state, since, address, jid, core)
            });
        }
    }

    fn enter(&mut self, state: XmppState) {
        if state.word() != self.xmpp_state.word() {
            self.xmpp_since = SystemTime::now();
            self.reporter.hurry();
        }
        self.xmpp_state = state;
    }

    /// Gives the request of an admin to the core. `reply` takes the outcome.
    fn ask_core(&mut self, request: AdminRequest, reply: Option<oneshot::Sender<Outcome>>) {
        if self.tickets.len() >= TICKETS {
            let refusal = Refusal::Failed("Too many requests wait for their answers".to_owned());
            // Who is gone needs no answer.
            let _ = reply.map(|reply| reply.send(Err(refusal)));
            return;
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert(ticket, reply);
        self.event(Event::Admin(ticket, request));
    }

    /// Reads the transport file, for the core to take over what may change.
    fn reload(&mut self) {
        self.reporter.reloading();
        let config = (self.read_again)().and_then(|config| {
            self.renew_certificate(&config)?;
            Ok(config)
        });
        if let Ok(config) = &config {
            logging::set_level(config.service.log_level);
        }
        self.echoes.push_back(Event::Reload(config));
    }

    /// Takes over what the files of the certificate hold now; or says what is wrong with them.
    fn renew_certificate(&self, config: &Config) -> Result<(), String> {
        let Some(clients) = &self.clients else { return Ok(()) };
        let certificate = Certificate::load(&config.service)
            .map_err(|error| format!("{error} The former certificate stays in use."))?;
        clients.replace_certificate(certificate);
        Ok(())
    }

    /// Gives one event to the core and does what it wants.
    fn event(&mut self, event: Event) {
        if self.end.is_some() {
            return;
        }
        self.core.handle(self.now, event, &mut self.actions);
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.act(action);
        }
        self.actions = actions;
        self.backend_news();
        while let Some(echo) = self.echoes.pop_front() {
            let reloaded = matches!(echo, Event::Reload(_));
            self.event(echo);
            if reloaded {
                self.reporter.reloaded();
            }
        }
    }

    fn backend_news(&mut self) {
        while let Some(event) = self.backends.news() {
            self.event(event);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Stanza(stanza) => match &mut self.xmpp {
                Some(stream) => stream.send(&stanza),
                None => tracing::debug!("A stanza was dropped: the XMPP stream does not stand."),
            },
            Action::Client(client, action) => {
                if let Some(clients) = &mut self.clients {
                    clients.act(client, action);
                }
            }
            Action::OpenBackend(link) => self.backends.open(link),
            Action::Frame(link, frame) => self.backends.send(link, &frame),
            Action::CloseBackend(link) => self.backends.close(link),
            Action::Store(token, request) => self.ask(token, request),
            Action::Admin(ticket, outcome) => {
                if let Some(Some(reply)) = self.tickets.remove(&ticket) {
                    // Who is gone needs no answer.
                    let _ = reply.send(outcome);
                }
            }
            Action::Notice(notice) => self.bus.tell(notice),
            Action::Reload => self.reload(),
            Action::Measure => self.echoes.push_back(Event::Measured(memory::own())),
            Action::Misconfigured(text) => self.end_with(Err(Failure::Misconfigured(text))),
            Action::Stopped => self.end_with(Ok(())),
        }
    }

    fn ask(&mut self, token: Token, request: Request) {
        self.asked.push_back(Instant::now());
        // Behind those that wait already: requests keep their order.
        if !self.unasked.is_empty() {
            self.unasked.push_back((token, request));
        } else if let Err(request) = self.storage.ask(token, request) {
            self.unasked.push_back(request);
        }
    }

    /// The first reason counts.
    fn end_with(&mut self, result: Result<(), Failure>) {
        self.end.get_or_insert(result);
    }

    /// Writes everything out and closes all, as far as time allows.
    async fn finish(self, mut orders: mpsc::Receiver<Order>) {
        let (_, until) = self.stopping.unwrap_or_else(|| {
            let now = Instant::now();
            (now, now + STOP_TIME)
        });
        let Self { link, xmpp, clients, client_input, mut backends, storage, unasked, .. } = self;
        let link = async {
            if let Some(link) = link {
                link.finish(xmpp).await;
            }
        };
        let clients = async {
            if let Some(clients) = clients {
                clients.finish(client_input).await;
            }
        };
        let everything = async {
            tokio::join!(link, clients, backends.finish(), finish_storage(storage, unasked));
        };
        let second_order = async { while orders.recv().await.is_some_and(|order| order != Order::Stop) {} };
        tokio::select! {
            result = timeout_at(until, everything) => if result.is_err() {
                tracing::warn!("Not everything could be written out in time.");
            },
            () = second_order => {}
        }
    }
}

/// What the link to the XMPP server has to say; nothing, if we are the server.
async fn next_report(link: Option<&mut XmppLink>, paused: bool) -> Report {
    match link {
        Some(link) => link.next(paused).await,
        None => std::future::pending().await,
    }
}

/// How things stand.
fn snapshot<C: Core>(xmpp: &XmppState, since: u64, address: &str, jid: &str, core: &C) -> Snapshot {
    let status = core.status();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let xmpp_error = match xmpp {
        XmppState::Connected | XmppState::Listening => "",
        XmppState::Connecting(reason) => reason.as_deref().unwrap_or_default(),
        XmppState::Waiting { reason, .. } => reason,
    };
    Snapshot {
        xmpp_state: xmpp.word(),
        xmpp_since: since,
        xmpp_error: xmpp_error.to_owned(),
        refusal: String::new(),
        refusal_id: "",
        status: status::line(xmpp, address, jid, &status),
        last_error: if xmpp_error.is_empty() {
            status.problem.clone().unwrap_or_default()
        } else {
            xmpp_error.to_owned()
        },
        online_users: count(status.online),
        registered_users: u32::try_from(status.registered).unwrap_or(u32::MAX),
        backends: count(status.backends),
        counters: core.counters(),
        core: status,
        shell: ShellFigures::default(),
    }
}

async fn finish_storage(mut storage: Storage, unasked: VecDeque<(Token, Request)>) {
    let runtime = Handle::current();
    // On a thread of its own, because it waits for the disk, and that must not hold up the others.
    let finished = tokio::task::spawn_blocking(move || {
        for request in unasked {
            let mut refused = Some(request);
            while let Some((token, request)) = refused {
                refused = storage.ask(token, request).err();
                // Room comes with an answer; without one, none ever will.
                if refused.is_some() && runtime.block_on(storage.reply()).is_none() {
                    return;
                }
            }
        }
        // Its end is when everything is stored.
        drop(storage);
    });
    if finished.await.is_err() {
        tracing::error!("Storage could not be closed.");
    }
}
