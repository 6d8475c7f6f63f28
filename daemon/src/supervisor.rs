//! The process: all transports of one file, one [`Shell`] each, and what they share — the thread, signals, the service
//! manager and its watchdog.
//!
//! Guarantees:
//!
//! * What befalls the link of one transport does not end the others. A fault of the program or of the configuration,
//!   which is the same for all, ends all.
//! * The service manager hears that the process is ready when it is known of each transport what came of its first
//!   attempt to connect, and at least one is connected. If after [`START_TIME`] none is, or if the XMPP server refuses
//!   all, the process ends.
//! * The service manager hears that the process is alive only while the loop and the storage of each transport are.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use crate::bus::Bus;
use crate::logging;
use crate::metrics::{self, Watched};
use crate::run::{Core, Failure, Parts, Shell};
use crate::status::{self, Snapshot};
use crate::systemd::{Notifier, Watchdog};
use crate::unserved::Unserved;

/// How long the first connection may take. The unit's `TimeoutStartSec=` is longer.
const START_TIME: Duration = Duration::from_secs(45);
/// Least time between two snapshots of a transport.
const SPACING: Duration = Duration::from_secs(1);
/// Orders that wait for a transport, and signals that wait for us.
const ORDERS: usize = 4;

/// What a transport is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End; a second time: at once.
    Stop,
    /// Read the transport file again.
    Reload,
    /// Say [`Reporter::proven`] when storage has answered a question.
    Prove,
}

/// One transport of the file.
pub enum Transport<C> {
    /// It can be served.
    Served(Box<Parts<C>>),
    /// It cannot, for now.
    Unserved(Unserved<C>),
}

/// Runs these transports, of which there is at least one that can be served, until they are told to stop.
///
/// # Errors
/// [`Failure`] says why they ended otherwise. It is not logged yet, but the service manager knows it as status.
pub fn run<C: Core + 'static>(
    transports: Vec<Transport<C>>,
    metrics: metrics::Sockets,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let notifier = Notifier::from_env();
    let watchdog = Watchdog::from_env(Instant::now());
    let result = LocalSet::new().block_on(&runtime, async {
        let signals = watch_signals()?;
        let supervisor = Supervisor::new(transports, notifier, watchdog);
        let _metrics = metrics::Server::start(metrics, supervisor.watched());
        supervisor.run(signals).await
    });
    // A name may still be in resolution, or the database be waiting for its disk: neither may hold up the end.
    runtime.shutdown_background();
    result
}

fn watch_signals() -> io::Result<mpsc::Receiver<Order>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (sender, receiver) = mpsc::channel(ORDERS);
    tokio::task::spawn_local(async move {
        loop {
            let order = tokio::select! {
                _ = terminate.recv() => Order::Stop,
                _ = interrupt.recv() => Order::Stop,
                _ = hang_up.recv() => Order::Reload,
            };
            if sender.send(order).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// What all transports of the process have in common.
struct Service {
    notifier: RefCell<Notifier>,
    /// The service manager was told that the process is ready.
    ready: Cell<bool>,
    /// A transport has something new to show.
    news: Notify,
}

/// A transport's way to those who watch it.
pub struct Reporter {
    service: Rc<Service>,
    snapshot: watch::Sender<Snapshot>,
    /// When the next snapshot may be shown; in the past or `None` if at once.
    free_at: Option<Instant>,
    /// Something was held back.
    stale: bool,
    proven: Rc<Cell<bool>>,
}

impl Reporter {
    /// What is shown, for others who watch.
    #[must_use]
    pub fn snapshot(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.subscribe()
    }

    /// Shows how things stand, or holds it back until [`Reporter::due`] if something was just shown. `snapshot` is made
    /// only when it can be shown.
    pub fn show(&mut self, now: Instant, snapshot: impl FnOnce() -> Snapshot) {
        self.stale = self.free_at.is_some_and(|free_at| now < free_at);
        if !self.stale {
            self.free_at = Some(now + SPACING);
            let new = snapshot();
            let changed = self.snapshot.send_if_modified(|old| {
                let changed = *old != new;
                *old = new;
                changed
            });
            if changed {
                self.service.news.notify_one();
            }
        }
    }

    /// Something changed that nobody should have to wait for: the next [`Reporter::show`] holds nothing back.
    pub fn hurry(&mut self) {
        self.free_at = None;
    }

    /// When to call [`Reporter::show`] again, if something was held back.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.free_at.filter(|_| self.stale)
    }

    /// The file is being read again.
    pub fn reloading(&self) {
        if self.service.ready.get() {
            self.service.notifier.borrow().reloading();
        }
    }

    /// It was read, and what it says is in force.
    pub fn reloaded(&self) {
        if self.service.ready.get() {
            self.service.notifier.borrow().ready();
        }
    }

    /// The loop and storage are alive: the answer to [`Order::Prove`].
    pub fn proven(&self) {
        self.proven.set(true);
        self.service.news.notify_one();
    }
}

/// A transport, seen from above.
struct Member {
    jid: String,
    address: String,
    snapshot: watch::Receiver<Snapshot>,
    /// Closed when the transport has ended.
    orders: mpsc::Sender<Order>,
    proven: Rc<Cell<bool>>,
    /// A refusal that was logged.
    logged: String,
}

struct Supervisor {
    members: Vec<Member>,
    shells: JoinSet<Result<(), Failure>>,
    service: Rc<Service>,
    watchdog: Option<Watchdog>,
    /// When to give up hope of a first connection.
    give_up_at: Option<Instant>,
    stopping: bool,
    failure: Option<Failure>,
}

impl Supervisor {
    fn new<C: Core + 'static>(
        transports: Vec<Transport<C>>,
        notifier: Notifier,
        watchdog: Option<Watchdog>,
    ) -> Self {
        let service = Rc::new(Service {
            notifier: RefCell::new(notifier),
            ready: Cell::new(false),
            news: Notify::new(),
        });
        let mut supervisor = Self {
            members: Vec::new(),
            shells: JoinSet::new(),
            service,
            watchdog,
            give_up_at: Some(Instant::now() + START_TIME),
            stopping: false,
            failure: None,
        };
        for transport in transports {
            supervisor.add(transport);
        }
        supervisor
    }

    fn add<C: Core + 'static>(&mut self, transport: Transport<C>) {
        let (orders, mut taken) = mpsc::channel(ORDERS);
        let proven = Rc::new(Cell::new(true));
        let (sender, snapshot) = watch::channel(Snapshot::default());
        let mut reporter = Reporter {
            service: Rc::clone(&self.service),
            snapshot: sender,
            free_at: None,
            stale: false,
            proven: Rc::clone(&proven),
        };
        let (jid, address, on_bus) = match &transport {
            Transport::Served(parts) => (parts.xmpp.jid(), parts.xmpp.address(), &parts.bus),
            Transport::Unserved(unserved) => (&*unserved.jid, String::new(), &unserved.about),
        };
        let (jid, on_bus) = (jid.to_owned(), on_bus.clone());
        let network = on_bus.as_ref().map(|about| about.protocol.clone()).unwrap_or_default();
        let life = async move {
            let mut bus = Bus::start(on_bus, reporter.snapshot());
            match transport {
                Transport::Served(parts) => Shell::new(*parts, bus, reporter).run(taken).await,
                Transport::Unserved(mut unserved) => {
                    match unserved.until_served(&mut bus, &mut reporter, &mut taken).await {
                        Some(parts) => Shell::new(*parts, bus, reporter).run(taken).await,
                        None => Ok(()),
                    }
                }
            }
        };
        let about = logging::Transport { jid: jid.clone(), network };
        self.shells.spawn_local(logging::of_transport(about, life));
        self.members.push(Member { jid, address, snapshot, orders, proven, logged: String::new() });
    }

    /// What can be seen of each transport.
    fn watched(&self) -> Vec<Watched> {
        let watched =
            |member: &Member| Watched { jid: member.jid.clone(), snapshot: member.snapshot.clone() };
        self.members.iter().map(watched).collect()
    }

    async fn run(mut self, mut signals: mpsc::Receiver<Order>) -> Result<(), Failure> {
        while !self.shells.is_empty() {
            let wake = self.wake_time();
            tokio::select! {
                Some(order) = signals.recv() => self.on_signal(order).await,
                Some(ended) = self.shells.join_next() => self.on_end(ended).await,
                () = self.service.news.notified() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            self.prove().await;
            if !self.stopping {
                self.look().await;
            }
        }
        self.failure.map_or(Ok(()), Err)
    }

    fn wake_time(&self) -> Option<Instant> {
        let watchdog = self.watchdog.as_ref().map(Watchdog::due);
        let status = self.service.notifier.borrow().status_due().filter(|_| !self.stopping);
        [watchdog, status, self.give_up_at].into_iter().flatten().min()
    }

    async fn on_signal(&mut self, order: Order) {
        match order {
            Order::Stop if self.stopping => {
                tracing::warn!("Asked to stop a second time: ending at once.");
                self.order(Order::Stop).await;
            }
            Order::Stop => {
                tracing::info!("Stopping.");
                self.service.notifier.borrow().stopping();
                self.service.notifier.borrow_mut().status_now("stopping");
                self.stop().await;
            }
            Order::Reload => {
                logging::reopen_files();
                self.order(order).await;
            }
            Order::Prove => self.order(order).await,
        }
    }

    /// A transport has ended, by itself or because it was told to.
    async fn on_end(&mut self, ended: Result<Result<(), Failure>, JoinError>) {
        match ended {
            Ok(Ok(())) if self.stopping => {}
            Ok(Ok(())) => self.stop().await,
            Ok(Err(failure)) => self.fail(failure).await,
            // Nobody aborts it, so it panicked: the process ends as if there were no task.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn order(&mut self, order: Order) {
        for member in &self.members {
            // A transport takes its orders without waiting for anybody. Who has ended needs none.
            let _ = member.orders.send(order).await;
        }
    }

    async fn stop(&mut self) {
        self.stopping = true;
        self.give_up_at = None;
        self.order(Order::Stop).await;
    }

    /// Ends all. The first reason counts.
    async fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.service.notifier.borrow_mut().status_now(&failure.to_string());
            self.failure = Some(failure);
        }
        if !self.stopping {
            self.stop().await;
        }
    }

    /// Tells the service manager that the process is alive, if it is, and when it is time to.
    async fn prove(&mut self) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let now = Instant::now();
        let is_proven = self.members.iter().all(|member| member.proven.get() || member.orders.is_closed());
        let is_due = (is_proven && watchdog.answered(now)) || (watchdog.due() <= now && watchdog.tick(now));
        if is_due {
            self.service.notifier.borrow().alive();
            self.members.iter().for_each(|member| member.proven.set(false));
            self.order(Order::Prove).await;
        }
    }

    /// Looks at how the transports do, and tells.
    async fn look(&mut self) {
        let now = Instant::now();
        self.service.notifier.borrow_mut().status(now, || {
            let snapshots: Vec<_> = self.members.iter().map(|member| member.snapshot.borrow()).collect();
            let jids = self.members.iter().map(|member| member.jid.as_str());
            status::summary(&jids.zip(snapshots.iter().map(|snapshot| &**snapshot)).collect::<Vec<_>>())
        });
        if self.service.ready.get() {
            self.log_refusals();
            return;
        }
        let snapshots = || self.members.iter().map(|member| member.snapshot.borrow());
        let is_connected = snapshots().any(|snapshot| snapshot.is_connected());
        let is_settled = snapshots().all(|snapshot| snapshot.is_settled());
        let is_refused = snapshots().all(|snapshot| !snapshot.refusal.is_empty());
        let is_late = self.give_up_at.is_some_and(|at| at <= now);
        if is_connected && (is_settled || is_late) {
            self.give_up_at = None;
            self.service.ready.set(true);
            self.service.notifier.borrow().ready();
            self.log_refusals();
        } else if is_refused {
            let refusals: Vec<_> =
                snapshots().map(|snapshot| snapshot.refusal.trim_end().to_owned()).collect();
            self.fail(Failure::Refused(refusals.join("\n"))).await;
        } else if is_late {
            let failure = self.unreached();
            self.fail(failure).await;
        }
    }

    /// One that the server refuses goes on trying when another works.
    fn log_refusals(&mut self) {
        for member in &mut self.members {
            let snapshot = member.snapshot.borrow();
            let refusal = &snapshot.refusal;
            if !refusal.is_empty() && *refusal != member.logged {
                tracing::error!(
                    message_id = snapshot.refusal_id,
                    "{} {} is tried again; the other transports of this file go on.",
                    refusal.trim_end(),
                    member.jid
                );
            }
            member.logged.clone_from(refusal);
        }
    }

    /// None was connected in time: the reason of the first that is not refused.
    fn unreached(&self) -> Failure {
        let waiting = self.members.iter().find(|member| member.snapshot.borrow().refusal.is_empty());
        let Some(member) = waiting else {
            return Failure::Unavailable("No transport can be served.".to_owned());
        };
        let snapshot = member.snapshot.borrow();
        let last = if snapshot.xmpp_error.is_empty() { "no answer yet" } else { &snapshot.xmpp_error };
        Failure::Unavailable(format!(
            "The XMPP server at {} was not reached within {} s of the start: {last}. Is it running, and does it accept \
             components there? (service.server, service.port)",
            member.address,
            START_TIME.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests;
