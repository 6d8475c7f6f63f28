//! Logging in (RFC 6120 §6): SASL PLAIN, checked by a real login to the network.
//!
//! One login of an account is under way at a time; who gives the same name and password meanwhile shares its outcome,
//! others wait for their turn. Passwords are kept no longer than that takes, but for that of the session itself.
//!
//! A JID knows no capitals (RFC 6122 §2.2), some networks do. So what the client gives as SASL user name goes to the
//! network as it was typed, and the JID is made of it. A JID belongs to the spelling that the network let in first
//! (`User::admit`): with others the network is asked for that one.

use std::collections::VecDeque;
use std::net::IpAddr;

use jid::{BareJid, NodePart};
use serde::{Deserialize, Serialize};
use spectrum2_config::Secret;
use spectrum2_xmpp::roster::{Item, Subscription};
use spectrum2_xmpp::sasl::{self, Failure, Plain};
use spectrum2_xmpp::stream::Condition;
use spectrum2_xmpp::{Element, xep_0106};
use tracing::{info, warn};

use super::account::Account;
use super::bind::RESOURCES;
use super::context::ToGateway;
use super::roster::Roster;
use super::stream::Stage;
use super::timer::Timer;
use super::{Server, limits};
use crate::client::{Action, Client, Cover, LOGIN_TIME};
use crate::gateway::{Refused, Verdict, same_secret};

/// Failed logins on one connection (RFC 6120 §6.4.5: two to five).
const FAILURES: u8 = 5;
/// Clients that may wait for one login, and behind it.
const WAITING: usize = 10;
/// Who has logged in must bind a resource within this time.
const BIND_TIME: u64 = 60_000;

/// Who somebody says he is on the network, and how he proves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Credentials {
    legacy_name: String,
    password: Secret,
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.legacy_name == other.legacy_name && same_secret(&self.password, &other.password)
    }
}

/// A login under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct Login {
    user: BareJid,
    credentials: Credentials,
    /// Who gave these.
    clients: Vec<Client>,
    /// Who gave others.
    next: VecDeque<(Client, Credentials)>,
}

impl Server {
    /// An element of the SASL negotiation.
    pub(super) fn sasl(&mut self, client: Client, element: &Element) {
        let Some(stream) = self.streams.get_mut(&client) else { return };
        let text = element.content();
        match (element.name(), &stream.stage) {
            ("auth", Stage::Unknown) if stream.cover == Cover::StartTls => {
                self.fail(client, Failure::EncryptionRequired, "Start TLS first");
            }
            ("auth", Stage::Unknown) if element.attr("mechanism") != Some(sasl::PLAIN) => {
                self.fail(client, Failure::InvalidMechanism, "");
            }
            ("auth", Stage::Unknown) if text.trim().is_empty() => {
                stream.stage = Stage::Challenged;
                self.cx.send(client, sasl::challenge());
            }
            ("auth", Stage::Unknown) | ("response", Stage::Challenged) => match Plain::read(text.trim()) {
                Ok(plain) => self.try_login(client, &plain),
                Err(failure) => self.fail(client, failure, ""),
            },
            // RFC 6120 §6.4.4.
            ("abort", Stage::Unknown | Stage::Challenged) => self.fail(client, Failure::Aborted, ""),
            // Nobody gets round a pause.
            ("abort", Stage::Refused(_)) => stream.stage = Stage::Refused(Failure::Aborted.element("")),
            ("abort", Stage::LoggingIn(account)) => {
                let account = account.clone();
                self.cx.timers.cancel(&Timer::Login(client));
                self.fail(client, Failure::Aborted, "");
                self.login_abandoned(client, &account);
            }
            _ => self.close(client, Condition::PolicyViolation, "This is not the time for it"),
        }
    }

    /// Somebody says who he is.
    fn try_login(&mut self, client: Client, plain: &Plain) {
        let Some(address) = self.streams.get(&client).map(|stream| stream.address) else { return };
        let typed = self.local(&plain.authcid);
        let Some(user) = self.user(typed) else {
            // Counted for the address.
            let pause = self.count_failure(address, "");
            return self.fail_later(client, Failure::NotAuthorized, "This is not the name of a user", pause);
        };
        // RFC 6120 §6.3.8: nobody may act as somebody else.
        if !plain.authzid.is_empty() && BareJid::new(&plain.authzid).ok().as_ref() != Some(&user) {
            return self.fail(client, Failure::InvalidAuthzid, "");
        }
        let account = user.node().map(|node| node.to_string()).unwrap_or_default();
        let password = Secret::new(plain.password.to_string());
        // Who is on line can prove it without troubling the network, and is not kept out by those who guess.
        let proven = self.accounts.get(&account).is_some_and(|known| known.is_used() && !known.admin)
            && self.gateway.is_password(&user, &password);
        let allowed = if proven { Ok(()) } else { self.cx.attempts.begin(address, &account, self.cx.now) };
        if let Err(too_many) = allowed {
            info!(%address, user = %user, reason = ?too_many, "too many failed logins: not tried");
            return self.fail(client, Failure::TemporaryAuthFailure, too_many.text());
        }
        if let Some(right) = self.admin_password(&user) {
            let outcome = match same_secret(&right, &password) {
                true => Ok(()),
                false => Err(Refused::Credentials(String::new())),
            };
            return self.answer(client, &user, &outcome);
        }
        let credentials = Credentials { legacy_name: as_typed(typed, &account), password };
        let login = self.logins.entry(account.clone()).or_insert_with(|| {
            self.cx.gateway.push_back(credentials.admit(&user));
            Login { user, credentials: credentials.clone(), clients: Vec::new(), next: VecDeque::new() }
        });
        if login.clients.len() + login.next.len() >= WAITING {
            let text = "Too many others log in with this name; try again";
            return self.fail(client, Failure::TemporaryAuthFailure, text);
        }
        if login.credentials == credentials {
            login.clients.push(client);
        } else {
            login.next.push_back((client, credentials));
        }
        self.set_stage(client, Stage::LoggingIn(account));
        let patience = u64::try_from(LOGIN_TIME.as_millis()).unwrap_or(u64::MAX);
        self.cx.timers.set(Timer::Login(client), self.cx.now.after(patience));
    }

    /// The local part of an authentication identity, which is that, or (COMPAT: some clients) the bare JID.
    fn local<'a>(&self, authcid: &'a str) -> &'a str {
        match authcid.rsplit_once('@') {
            Some((local, host)) if host.eq_ignore_ascii_case(self.cx.domain()) => local,
            _ => authcid,
        }
    }

    /// The user with this local part.
    fn user(&self, local: &str) -> Option<BareJid> {
        let node = NodePart::new(local).ok()?;
        Some(BareJid::from_parts(Some(&node), self.cx.jid.domain()))
    }

    /// What an admin's password must be; `None` for who is no admin, or where admins log in to the network.
    fn admin_password(&self, user: &BareJid) -> Option<Secret> {
        let service = &self.gateway.config().service;
        let is_admin = service.admin_jid.iter().any(|jid| BareJid::new(jid).as_ref() == Ok(user));
        (is_admin && !service.admin_password.is_empty()).then(|| service.admin_password.clone())
    }

    /// Whether a login of this user is under way.
    pub(super) fn is_awaited(&self, user: &BareJid) -> bool {
        user.node().is_some_and(|node| self.logins.contains_key(node.as_str()))
    }

    /// The gateway says what came of a login.
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        let Verdict { user, outcome } = verdict;
        let account = user.node().map(|node| node.to_string()).unwrap_or_default();
        let Some(login) = self.logins.remove(&account) else { return };
        for client in login.clients {
            self.answer(client, &user, &outcome);
        }
        let mut next = login.next;
        if outcome.is_ok() {
            // The network took another password than theirs; or they spelt the name in another way.
            let refused = Err(Refused::Credentials("This is not the password of the account".to_owned()));
            for (client, credentials) in next {
                let same = same_secret(&credentials.password, &login.credentials.password);
                self.answer(client, &user, if same { &outcome } else { &refused });
            }
        } else if let Some((client, credentials)) = next.pop_front() {
            self.next_login(account, user, client, credentials, next);
        }
    }

    fn next_login(
        &mut self,
        account: String,
        user: BareJid,
        client: Client,
        credentials: Credentials,
        others: VecDeque<(Client, Credentials)>,
    ) {
        let (same, next): (VecDeque<_>, VecDeque<_>) =
            others.into_iter().partition(|(_, other)| *other == credentials);
        let clients = std::iter::once(client).chain(same.into_iter().map(|(client, _)| client)).collect();
        self.cx.gateway.push_back(credentials.admit(&user));
        self.logins.insert(account, Login { user, credentials, clients, next });
    }

    /// A client that waited for the network is gone, or would not wait any longer.
    pub(super) fn login_abandoned(&mut self, client: Client, account: &str) {
        let Some(login) = self.logins.get_mut(account) else { return };
        login.clients.retain(|waiting| *waiting != client);
        login.next.retain(|(waiting, _)| *waiting != client);
        if !login.clients.is_empty() {
            return;
        }
        let Some(login) = self.logins.remove(account) else { return };
        // Whoever is logged in stays so.
        if !self.accounts.get(account).is_some_and(|known| known.is_used()) {
            self.cx.gateway.push_back(ToGateway::Release(login.user.clone()));
        }
        let mut next = login.next;
        if let Some((client, credentials)) = next.pop_front() {
            self.next_login(account.to_owned(), login.user, client, credentials, next);
        }
    }

    /// The network takes its time.
    pub(super) fn login_late(&mut self, client: Client) {
        let Some(Stage::LoggingIn(account)) = self.streams.get(&client).map(|stream| stream.stage.clone())
        else {
            return;
        };
        let problem = self.gateway.status().problem;
        let text = problem.unwrap_or_else(|| "The network did not answer the login in time".to_owned());
        self.fail(client, Failure::TemporaryAuthFailure, &text);
        self.login_abandoned(client, &account);
    }

    /// Tells a client what came of its login.
    fn answer(&mut self, client: Client, user: &BareJid, outcome: &Result<(), Refused>) {
        self.cx.timers.cancel(&Timer::Login(client));
        let Some(address) = self.streams.get(&client).map(|stream| stream.address) else { return };
        let account = user.node().map(|node| node.to_string()).unwrap_or_default();
        match outcome {
            Ok(()) => {
                self.cx.attempts.succeeded(address, &account, self.cx.now);
                self.let_in(client, user, account);
            }
            Err(Refused::Credentials(text)) => {
                warn!(user = %user, %address, "a login was refused");
                let pause = self.count_failure(address, &account);
                self.fail_later(client, Failure::NotAuthorized, text, pause);
            }
            Err(Refused::Trouble(text)) => self.fail(client, Failure::TemporaryAuthFailure, text),
        }
    }

    /// Counts a failed login; gives how long its answer is to be held back.
    fn count_failure(&mut self, address: IpAddr, account: &str) -> u64 {
        self.cx.timers.set_once(Timer::Attempts, self.cx.now.after(limits::WINDOW));
        self.cx.attempts.failed(address, account, self.cx.now)
    }

    fn let_in(&mut self, client: Client, user: &BareJid, account: String) {
        if self.accounts.get(&account).is_some_and(|known| known.guests.len() >= RESOURCES) {
            let text = "Too many of your connections have no resource yet; try again";
            return self.fail(client, Failure::TemporaryAuthFailure, text);
        }
        info!(user = %user, "a client has logged in");
        let admin = self.admin_password(user).is_some();
        if !self.accounts.contains_key(&account) {
            let made = Box::new(self.new_account(user, admin));
            self.accounts.insert(account.clone(), made);
        }
        if let Some(known) = self.accounts.get_mut(&account) {
            known.guests.insert(client);
            known.admin = admin;
            self.cx.timers.cancel(&Timer::Held(account.clone()));
        }
        self.set_stage(client, Stage::Known(account));
        self.cx.timers.set(Timer::Bind(client), self.cx.now.after(BIND_TIME));
        self.cx.send(client, sasl::success());
        self.cx.client(client, Action::Restart);
    }

    pub(super) fn new_account(&mut self, user: &BareJid, admin: bool) -> Account {
        let life = self.cx.id();
        let domain = self.cx.jid.clone();
        if admin {
            // Where the admin commands are.
            let item = Item { name: Some("Admin".to_owned()), ..Item::new(domain, Subscription::Both) };
            return Account::new(user.clone(), true, Roster::new(life, [item]));
        }
        let items = self.gateway.contacts(user).into_iter().filter_map(|(node, name, groups)| {
            let node = NodePart::new(&node).ok()?;
            let jid = BareJid::from_parts(Some(&node), domain.domain());
            let name = Some(name).filter(|name| !name.is_empty());
            Some(Item { name, groups, ..Item::new(jid, Subscription::Both) })
        });
        let mut account = Account::new(user.clone(), false, Roster::new(life, items));
        account.blocked = self.stored_blocked(user);
        account
    }

    /// The network, or an admin, has ended the session of somebody who was let in.
    pub(super) fn thrown_out(&mut self, verdict: Verdict) {
        let account = verdict.user.node().map(|node| node.to_string()).unwrap_or_default();
        let Err(Refused::Credentials(text) | Refused::Trouble(text)) = verdict.outcome else {
            // Nobody waits for it any more.
            return self.release_unused(&verdict.user, &account);
        };
        let Some(known) = self.accounts.get(&account) else { return };
        let sessions: Vec<_> =
            known.sessions.iter().map(|session| (session.number, session.client)).collect();
        let guests: Vec<Client> = known.guests.iter().copied().collect();
        for client in guests {
            self.close(client, Condition::NotAuthorized, &text);
        }
        for (number, client) in sessions {
            match client {
                Some(client) => self.close(client, Condition::NotAuthorized, &text),
                None => self.end_session(&account, number),
            }
        }
    }

    /// Somebody was let in for whom nobody is there.
    fn release_unused(&mut self, user: &BareJid, account: &str) {
        if !self.accounts.get(account).is_some_and(|known| known.is_used()) {
            self.cx.gateway.push_back(ToGateway::Release(user.clone()));
        }
    }

    fn set_stage(&mut self, client: Client, stage: Stage) {
        if let Some(stream) = self.streams.get_mut(&client) {
            stream.stage = stage;
        }
    }

    /// RFC 6120 §6.4.5. The client may try again on the same stream, but not for ever.
    fn fail(&mut self, client: Client, failure: Failure, text: &str) {
        self.fail_with(client, failure.element(text));
    }

    fn fail_with(&mut self, client: Client, failure: Element) {
        let Some(stream) = self.streams.get_mut(&client) else { return };
        stream.stage = Stage::Unknown;
        stream.failures += 1;
        let too_many = stream.failures >= FAILURES;
        self.cx.send(client, failure);
        if too_many {
            self.close(client, Condition::PolicyViolation, "Too many failed logins");
        }
    }

    /// Who guesses has to wait for the answer.
    fn fail_later(&mut self, client: Client, failure: Failure, text: &str, pause: u64) {
        if pause == 0 {
            return self.fail(client, failure, text);
        }
        self.set_stage(client, Stage::Refused(failure.element(text)));
        self.cx.timers.set(Timer::Answer(client), self.cx.now.after(pause));
    }

    /// It has waited.
    pub(super) fn answer_late(&mut self, client: Client) {
        let stage = self.streams.get(&client).map(|stream| stream.stage.clone());
        if let Some(Stage::Refused(failure)) = stage {
            self.fail_with(client, failure);
        }
    }
}

impl Credentials {
    fn admit(&self, user: &BareJid) -> ToGateway {
        ToGateway::Admit(user.clone(), self.legacy_name.clone(), self.password.clone())
    }
}

/// The legacy name that somebody typed. Where preparing it for a JID changed more than its case, it is what the JID says.
fn as_typed(typed: &str, node: &str) -> String {
    let (typed, folded) = (xep_0106::node_to_legacy_name(typed), xep_0106::node_to_legacy_name(node));
    if typed.to_lowercase() == folded { typed } else { folded }
}
