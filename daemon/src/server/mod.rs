//! Server mode (`service.server_mode=1`): the transport as a stand-alone XMPP server for one domain.
//!
//! [`Server`] is a core like the gateway: event in, actions out, no I/O. It plays the XMPP server for a
//! [`Gateway`] that it wraps: clients are on one side, the gateway on the other, and behind that the network. Users log
//! in as `legacy_name%network@JID` with their password there; the check is a real login. Users and contacts share the
//! domain, and the direction of a stanza tells which is meant.
//!
//! Guarantees: an account is who logged in with its password; what a client says is from its own bound JID, whatever it
//! claims; every request has its one answer; a message that was taken from the network reaches a client, waits for one,
//! or goes back. All that a peer can grow has a bound.

mod account;
mod bind;
mod blocking;
mod bookmarks;
mod client_info;
mod context;
mod csi;
mod iq;
mod limits;
mod login;
mod message;
mod presence;
mod roster;
mod session;
mod storage;
mod stream;
mod stream_management;
mod timer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_config::Config;
use spectrum2_xmpp::stream::Condition;
use spectrum2_xmpp::{Element, ns};
use tracing::debug;

use crate::client::{self, Client};
use crate::gateway::{Action, Counters, Error, Event, Gateway, Time};
use crate::status::Status;
use account::Account;
use context::{Context, ToGateway};
use login::Login;
use stream::Stream;
use timer::Timer;

/// The state machine between clients and the gateway.
#[derive(Serialize, Deserialize)]
pub struct Server {
    gateway: Gateway,
    cx: Context,
    streams: HashMap<Client, Stream>,
    /// By local part. Boxed, because a table has room for twice as many as it holds.
    accounts: HashMap<String, Box<Account>>,
    /// Logins under way, by local part.
    logins: HashMap<String, Login>,
    /// When it was made.
    since: Time,
    started: bool,
    stopping: bool,
    stopped: bool,
}

impl Server {
    /// A server that knows nobody yet. `seed` makes its ids differ from those of earlier lives.
    ///
    /// # Errors
    /// If the configuration has no usable JID or pattern.
    pub fn new(config: Arc<Config>, now: Time, seed: u64) -> Result<Self, Error> {
        let jid: BareJid = config.service.jid.parse().map_err(|_| Error::Jid(config.service.jid.clone()))?;
        let gateway = Gateway::new(config, now, seed)?;
        Ok(Self {
            gateway,
            cx: Context::new(jid, now, seed),
            streams: HashMap::new(),
            accounts: HashMap::new(),
            logins: HashMap::new(),
            since: now,
            started: false,
            stopping: false,
            stopped: false,
        })
    }

    /// When [`Event::Tick`] is wanted.
    pub fn deadline(&self) -> Option<Time> {
        [self.gateway.deadline(), self.cx.timers.next()].into_iter().flatten().min()
    }

    /// Takes what happened and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        self.cx.now = now;
        self.start();
        match event {
            Event::Client(client, event) => self.client(client, event),
            // We are the XMPP server.
            Event::XmppUp | Event::XmppDown | Event::Stanza(_) => {}
            Event::Clock(milliseconds) => {
                self.cx.day = milliseconds.saturating_sub(now.0);
                self.feed(Event::Clock(milliseconds));
            }
            event => self.feed(event),
        }
        self.settle();
        while let Some(timer) = self.cx.timers.pop(now) {
            self.timer(timer);
            self.settle();
        }
        if self.gateway.is_stopping() && !self.stopping {
            self.stop();
            self.settle();
        }
        out.append(&mut self.cx.out);
        if std::mem::take(&mut self.stopped) {
            out.push(Action::Stopped);
        }
    }

    /// The gateway's link to its XMPP server stands from the beginning, and it may change rosters (XEP-0356).
    fn start(&mut self) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.feed(Event::XmppUp);
        let permission = |access: &'static str, kind: &'static str| {
            Element::new("perm", ns::PRIVILEGE_2).with("access", access).with("type", kind)
        };
        let pubsub = Element::new("namespace", ns::PRIVILEGE_2).with("ns", ns::PUBSUB).with("type", "both");
        let privilege = Element::new("privilege", ns::PRIVILEGE_2)
            .child(permission("roster", "both"))
            .child(permission("message", "outgoing"))
            .child(Element::new("perm", ns::PRIVILEGE_2).with("access", "iq").child(pubsub));
        let message = Element::new("message", ns::CLIENT)
            .with("from", self.cx.domain())
            .with("to", self.cx.domain())
            .child(privilege);
        self.feed(Event::Stanza(message));
    }

    /// Lets the gateway have all that is for it, and does what follows, until nothing does.
    fn settle(&mut self) {
        loop {
            if let Some(next) = self.cx.gateway.pop_front() {
                match next {
                    ToGateway::Stanza(stanza) => self.feed(Event::Stanza(stanza)),
                    ToGateway::Admit(user, legacy_name, password) => {
                        self.gateway.admit(self.cx.now, &user, legacy_name, password);
                        self.feed(Event::Tick);
                    }
                    ToGateway::Release(user) => {
                        self.gateway.release(self.cx.now, &user);
                        self.feed(Event::Tick);
                    }
                }
            } else if let Some((account, number)) = self.cx.overfull.pop() {
                self.end_overfull(&account, number);
            } else {
                return;
            }
        }
    }

    /// Gives one event to the gateway and does what it wants.
    fn feed(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.gateway.handle(self.cx.now, event, &mut actions);
        // Whoever is let in has an account before anything comes for him.
        let (on_logins, ends): (Vec<_>, Vec<_>) =
            self.gateway.verdicts().into_iter().partition(|verdict| self.is_awaited(&verdict.user));
        for verdict in on_logins {
            self.verdict(verdict);
        }
        for action in actions {
            match action {
                Action::Stanza(stanza) => self.route(stanza),
                Action::Stopped => self.stopped = true,
                action => self.cx.out.push(action),
            }
        }
        // But whoever is thrown out has heard why.
        for verdict in ends {
            self.thrown_out(verdict);
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Login(client) => self.login_late(client),
            Timer::Answer(client) => self.answer_late(client),
            Timer::Bind(client) => {
                self.close(client, Condition::PolicyViolation, "No resource was bound in time");
            }
            Timer::Resume(account, number) => self.end_session(&account, number),
            Timer::Held(account) => {
                if let Some(known) = self.accounts.get_mut(&account) {
                    known.return_held(&mut self.cx);
                    self.forget(&account);
                }
            }
            Timer::Attempts => {
                if self.cx.attempts.sweep(self.cx.now) {
                    self.cx.timers.set(Timer::Attempts, self.cx.now.after(limits::WINDOW));
                }
            }
        }
    }

    /// Keeps something of a user. `false`: there is nowhere to keep it.
    fn keep(&mut self, user: &BareJid, name: &str, value: String) -> bool {
        let kept = self.gateway.keep(self.cx.now, user, name, value);
        self.feed(Event::Tick);
        kept
    }

    /// Everybody is told that the server ends; what the gateway had to say was said before.
    fn stop(&mut self) {
        self.settle();
        self.stopping = true;
        let mut clients: Vec<Client> = self.streams.drain().map(|(client, _)| client).collect();
        clients.sort_unstable();
        for client in clients {
            let error = Condition::SystemShutdown.error("");
            self.cx.client(client, client::Action::Close(Some(error)));
        }
        self.accounts.clear();
        self.logins.clear();
    }

    /// Lets go of an account that nobody uses.
    fn forget(&mut self, account: &str) {
        if self.accounts.get(account).is_some_and(|account| !account.is_used() && !account.is_owed()) {
            self.accounts.remove(account);
        }
    }

    /// The last client of an account may just have gone.
    fn check_use(&mut self, account: &str) {
        let Some(known) = self.accounts.get(account).filter(|account| !account.is_used()) else { return };
        known.left(&mut self.cx);
        if !known.admin {
            self.cx.gateway.push_back(ToGateway::Release(known.jid.clone()));
        }
        debug!(user = %known.jid, "the last client is gone");
        self.forget(account);
    }
}

impl crate::run::Core for Server {
    fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        Self::handle(self, now, event, out);
    }

    fn deadline(&self) -> Option<Time> {
        Self::deadline(self)
    }

    fn accepts_frames(&self) -> bool {
        self.gateway.accepts_frames()
    }

    fn status(&self) -> Status {
        self.gateway.status()
    }

    fn counters(&self) -> Counters {
        self.gateway.counters()
    }
}
