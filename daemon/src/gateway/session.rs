//! Logging a user in and out, and in again: the life of a legacy session.
//!
//! A user wants to be on line while one of his clients is (or always, as a "bouncer"). What breaks by itself is mended
//! by itself, with growing pauses; he is told once if that does not help. What only he can mend (a wrong password) is
//! told once and not tried again before he does something about it.

use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{
    Buddies, Buddy, ConnectionError, Disconnected, Frame, Login, Logout, Status, StatusType, UserSettings,
};
use spectrum2_log::message_id;
use spectrum2_xmpp::{Element, ns};
use tracing::{debug, info, warn};

use super::account::{OWN_SETTING, Refused};
use super::admin::{Notice, State};
use super::contact::Presence;
use super::context::Context;
use super::counters::Fault;
use super::event::{Link, Time};
use super::presence;
use super::timer::Timer;
use super::user::User;
use crate::storage;

/// The network must have answered a login by then.
const LOGIN: u64 = 180_000;
/// Pauses before the next attempts, in milliseconds; the last one stays.
const PAUSES: [u64; 7] = [1_000, 3_000, 10_000, 30_000, 60_000, 180_000, 600_000];
/// So many attempts fail in a row before the user is told.
const SILENT: u32 = 3;
/// A session that held this long was a good one: the next failure is the first.
const GOOD: u64 = 60_000;
/// So long after a login the network has told of all contacts that are on line.
const SETTLED: u64 = 20_000;
/// Losses of backends are counted within this time.
const CRASHES_WITHIN: u64 = 600_000;
/// From this loss on the user gets a backend process alone.
const SOLO_FROM: usize = 2;
/// Who breaks so many processes that served only him is locked out for a while.
const SOLO_CRASHES: usize = 2;
/// How long.
const QUARANTINE: u64 = 3_600_000;

/// Where the user stands with the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Session {
    /// Not logged in, and not wanting to be.
    #[default]
    Offline,
    /// Waiting for a backend process.
    Waiting,
    /// The backend is logging in.
    LoggingIn(Link),
    /// Logged in.
    Online(Link),
    /// Will be tried again at this time.
    Retrying(Time),
    /// The network refused for a reason that only the user can mend.
    Refused,
    /// Locked out until this time: his account breaks backends.
    Quarantined(Time),
}

/// What went wrong lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Why the last one failed.
    pub reason: String,
    /// When backends were lost, and whether they served only this user.
    crashes: Vec<(Time, bool)>,
    /// Since when the present session holds.
    since: Time,
}

impl Trouble {
    fn crashes(&mut self, now: Time) -> usize {
        self.crashes.retain(|(at, _)| now.since(*at) < CRASHES_WITHIN);
        self.crashes.len()
    }

    fn solo_crashes(&self) -> usize {
        self.crashes.iter().filter(|(_, solo)| *solo).count()
    }
}

impl Session {
    /// The same in a word, for those who watch.
    pub fn state(&self) -> State {
        match self {
            Self::Offline => State::Offline,
            Self::Waiting => State::Waiting,
            Self::LoggingIn(_) => State::Connecting,
            Self::Online(_) => State::Online,
            Self::Retrying(_) => State::Retrying,
            Self::Refused => State::Refused,
            Self::Quarantined(_) => State::Quarantined,
        }
    }

    /// When it ends by itself.
    pub fn until(&self) -> Option<Time> {
        match self {
            Self::Retrying(at) | Self::Quarantined(at) => Some(*at),
            _ => None,
        }
    }
}

impl User {
    /// The one way from one state to another: those who watch are told.
    pub(super) fn enter(&mut self, cx: &mut Context, session: Session) {
        let before = std::mem::replace(&mut self.session, session).state();
        let state = self.session.state();
        if state != before {
            self.since = Some(cx.now);
            let is_login = |state| matches!(state, State::Waiting | State::Connecting);
            if is_login(state) && !is_login(before) {
                self.login_since = cx.now;
            }
            if state == State::Online {
                cx.counters.login.observe(cx.now.since(self.login_since));
            }
            let reason = self.state_reason().to_owned();
            debug!(user = %self.jid, reason, "{} instead of {}", state.as_str(), before.as_str());
            cx.notice_admins(Notice::UserState { jid: self.jid.clone(), state, reason });
        }
    }

    /// Why the user is not on line although he wants to be; empty if nothing is wrong.
    pub fn state_reason(&self) -> &str {
        match self.session.state() {
            State::Retrying | State::Refused | State::Quarantined => &self.trouble.reason,
            State::Offline | State::Waiting | State::Connecting | State::Online => "",
        }
    }

    /// The backend that serves the user.
    pub fn link(&self) -> Option<Link> {
        match self.session {
            Session::LoggingIn(link) | Session::Online(link) => Some(link),
            _ => None,
        }
    }

    /// The backend that serves the user, if he is logged in.
    pub fn online(&self) -> Option<Link> {
        match self.session {
            Session::Online(link) => Some(link),
            _ => None,
        }
    }

    /// Somebody is there for whom to be on line.
    pub fn wanted(&self, cx: &Context) -> bool {
        !self.resources.is_empty() || self.attached || self.setting(cx, "stay_connected")
    }

    /// A login is under way or will be tried: what the user sends meanwhile is kept.
    pub fn expects_login(&self) -> bool {
        matches!(self.session, Session::Waiting | Session::LoggingIn(_) | Session::Retrying(_))
    }

    /// Starts a session if there is none and nothing speaks against it.
    pub fn log_in(&mut self, cx: &mut Context) {
        let Some(registration) = &self.registration else { return };
        match self.session {
            Session::Offline | Session::Refused => {}
            _ => return,
        }
        // Who logs in with a password wants to be on line.
        if cx.stopping || !(self.trying || self.setting(cx, "enable_transport")) || !self.has_password(cx) {
            return;
        }
        if cx.config.service.vip_only && !registration.vip {
            let text = cx.config.service.vip_message.clone();
            if !text.is_empty() {
                cx.tell(&self.jid, &text);
            }
            return;
        }
        if registration.id != 0 {
            cx.store(storage::Request::SetOnline(registration.id, true), "that a user is online");
        }
        self.roster_begin(cx);
        self.trouble.failures = 0;
        self.seek_backend(cx);
    }

    /// Gets in line for a backend.
    fn seek_backend(&mut self, cx: &mut Context) {
        self.enter(cx, Session::Waiting);
        if self.trouble.failures == 0 {
            self.say_state(cx, None);
        }
        let solo = self.trouble.crashes(cx.now) >= SOLO_FROM;
        if let Some(link) = cx.place(&self.jid, solo) {
            self.seated(cx, link);
        }
    }

    /// There is a backend: it is told to log in.
    pub fn seated(&mut self, cx: &mut Context, link: Link) {
        let Some(registration) = &self.registration else { return };
        let settings =
            self.settings.iter().filter(|(name, _)| !name.starts_with(OWN_SETTING)).cloned().collect();
        let login = Login {
            user: self.jid.to_string(),
            legacy_name: registration.legacy_name.clone(),
            password: registration.password.expose().to_owned(),
            extra_fields: Vec::new(),
            settings: Some(UserSettings { value: settings }),
        };
        self.enter(cx, Session::LoggingIn(link));
        self.login_ping = if self.left == Some(link) { cx.ping(link) } else { 0 };
        for contact in self.contacts.iter_mut() {
            contact.reported = false;
        }
        cx.frame(link, Frame::Login(login));
        cx.proven = true;
        if cx.capabilities.send_buddies_on_login == Some(true) {
            let buddies = self.contacts.iter().map(|contact| self.buddy(contact)).collect();
            cx.frame(link, Frame::Buddies(Buddies { buddies }));
        }
        self.shown = None;
        self.send_status(cx);
        cx.timers.set(Timer::Login(self.jid.clone()), cx.now.after(LOGIN));
    }

    /// Tells the network what the user shows, if it does not know yet.
    pub fn send_status(&mut self, cx: &mut Context) {
        let Some(link) = self.link() else { return };
        let shown = match self.best() {
            Some((_, resource)) => (resource.status, resource.text.clone()),
            // A client that has not said yet what it shows.
            None if self.attached && self.shown.is_none() => return,
            // A bouncer with nobody at home.
            None => (StatusType::Away, String::new()),
        };
        if self.shown.as_ref() == Some(&shown) {
            return;
        }
        let status = Status {
            user_name: self.jid.to_string(),
            status: shown.0.into(),
            status_message: Some(shown.1.clone()),
        };
        cx.frame(link, Frame::StatusChanged(status));
        self.shown = Some(shown);
        if self.online().is_some() {
            self.say_state(cx, None);
        }
    }

    /// The network let the user in.
    pub fn connected(&mut self, cx: &mut Context, link: Link) {
        if self.session != Session::LoggingIn(link) {
            return;
        }
        // Others may have taken the last place meanwhile.
        if self.trying && self.has_no_place(cx) {
            return self.not_admitted(cx, Refused::full());
        }
        info!(user = %self.jid, backend = link.0, "logged in");
        self.enter(cx, Session::Online(link));
        self.trouble.since = cx.now;
        cx.timers.cancel(&Timer::Login(self.jid.clone()));
        self.say_state(cx, None);
        self.admitted(cx);
        self.roster_ready(cx);
        for frame in std::mem::take(&mut self.unsent) {
            cx.frame(link, frame);
        }
        self.rooms_connected(cx);
        self.send_kept(cx);
        self.check_avatar(cx);
        cx.timers.set(Timer::Settle(self.jid.clone()), cx.now.after(SETTLED));
    }

    /// Contacts that were on line before a short break and were not mentioned since are gone.
    pub fn settle(&mut self, cx: &mut Context) {
        for contact in self.contacts.iter_mut().filter(|contact| !contact.reported) {
            let was_visible = contact.is_visible();
            contact.presence = Presence::default();
            if was_visible {
                let stanza = presence::of_contact(cx, contact, self.jid.as_str());
                cx.send(stanza);
            }
        }
    }

    /// The network ended the session, or refused it.
    pub fn disconnected(&mut self, cx: &mut Context, link: Link, frame: &Disconnected) {
        if self.link() != Some(link) {
            return;
        }
        let text = one_line(frame.message.as_deref().unwrap_or_default());
        info!(user = %self.jid, backend = link.0, error = frame.error, reason = %text, "the network ended the session");
        if self.trying {
            return self.not_admitted(cx, Refused::of(frame, &text));
        }
        // COMPAT(Spectrum 2 backends): they keep the account until they are told, and the next login may go elsewhere.
        cx.frame(link, self.logout_frame());
        self.leave_backend(cx);
        self.put_back(cx);
        if frame.is_temporary() {
            self.retry_later(cx, &text);
        } else {
            self.refused(cx, frame.connection_error(), frame.error, &text);
        }
    }

    /// The backend process is gone; whether it served only this user, or nothing where that does not count.
    pub fn backend_lost(&mut self, cx: &mut Context, link: Link, solo: Option<bool>) {
        if self.link() != Some(link) {
            return;
        }
        cx.timers.cancel(&Timer::Login(self.jid.clone()));
        self.trouble.crashes(cx.now);
        self.trouble.crashes.extend(solo.map(|solo| (cx.now, solo)));
        if self.trying && self.trouble.solo_crashes() < SOLO_CRASHES {
            self.enter(cx, Session::Offline);
            let text = "The process that served you ended unexpectedly; try again";
            return self.not_admitted(cx, Refused::Trouble(text.to_owned()));
        }
        self.put_back(cx);
        if self.trouble.solo_crashes() >= SOLO_CRASHES {
            self.quarantine(cx);
        } else {
            self.retry_later(cx, "the process that served you ended unexpectedly");
        }
    }

    /// The network did not answer the login.
    pub fn login_timed_out(&mut self, cx: &mut Context) {
        let Session::LoggingIn(link) = self.session else { return };
        if self.trying {
            return self
                .not_admitted(cx, Refused::Trouble("The network did not answer the login".to_owned()));
        }
        cx.frame(link, self.logout_frame());
        self.leave_backend(cx);
        self.put_back(cx);
        self.retry_later(cx, "the network did not answer the login");
    }

    /// Tries again, after a pause that grows.
    fn retry_later(&mut self, cx: &mut Context, reason: &str) {
        if !self.wanted(cx) {
            self.log_out(cx);
            return;
        }
        let was_online = self.session.state() == State::Online;
        cx.counters.fault(if was_online { Fault::Session } else { Fault::Login });
        if cx.now.since(self.trouble.since) >= GOOD && self.trouble.since != Time::default() {
            self.trouble.failures = 0;
        }
        self.trouble.since = Time::default();
        let attempt = usize::try_from(self.trouble.failures).unwrap_or(usize::MAX);
        let pause = PAUSES.get(attempt).or(PAUSES.last()).copied().unwrap_or(GOOD);
        let pause = cx.jitter(pause);
        let at = cx.now.after(pause);
        self.trouble.failures += 1;
        reason.clone_into(&mut self.trouble.reason);
        self.enter(cx, Session::Retrying(at));
        cx.timers.set(Timer::Retry(self.jid.clone()), at);
        if self.trouble.failures == SILENT {
            let text = format!(
                "The connection to the network cannot be kept: {}. It is tried again by itself; you need do nothing.",
                or_unknown(reason)
            );
            self.tell_error(cx, ConnectionError::NetworkError.into(), &text);
        }
        if self.trouble.failures >= SILENT {
            // Until here contacts keep their last presence: a short break is not worth a flood.
            self.contacts_offline(cx);
            self.rooms_over(cx, or_unknown(reason));
            self.say_state(cx, Some(&format!("Trying again: {}", or_unknown(reason))));
        }
    }

    /// The pause is over.
    pub fn retry(&mut self, cx: &mut Context) {
        match self.session {
            Session::Retrying(_) if self.wanted(cx) => self.seek_backend(cx),
            Session::Retrying(_) => self.log_out(cx),
            _ => {}
        }
    }

    /// Only the user can mend it: he is told, once.
    fn refused(&mut self, cx: &mut Context, error: Option<ConnectionError>, number: i32, text: &str) {
        cx.counters.fault(Fault::LoginRefused);
        self.contacts_offline(cx);
        let reason = or_unknown(text);
        let is_certificate =
            error.is_some_and(|error| i32::from(error) >= ConnectionError::CertNotProvided.into());
        let message_id =
            if is_certificate { message_id::CERTIFICATE_REFUSED } else { message_id::LOGIN_REFUSED };
        warn!(user = %self.jid, error = number, reason = %reason, message_id, "the network refuses the login");
        reason.clone_into(&mut self.trouble.reason);
        self.enter(cx, Session::Refused);
        let advice = match error {
            Some(ConnectionError::AuthenticationFailed | ConnectionError::InvalidUsername)
                if cx.config.service.server_mode =>
            {
                "Log in again with the right password."
            }
            Some(ConnectionError::AuthenticationFailed | ConnectionError::InvalidUsername) => {
                "Register with the gateway again to correct your name and password there."
            }
            Some(ConnectionError::NameInUse) => "End the other session, then go offline and online again.",
            Some(error) if i32::from(error) >= ConnectionError::CertNotProvided.into() => {
                "The certificate of the network's server cannot be trusted; ask the administrator of this gateway."
            }
            _ => "Go offline and online again to try once more.",
        };
        self.tell_error(cx, number, &format!("The network refused the login: {reason}. {advice}"));
        self.say_state(cx, Some(&format!("Refused: {reason}")));
        self.throw_out(cx, Refused::Credentials(reason.to_owned()));
        self.bounce_kept(cx, reason);
        self.end_session(cx);
    }

    /// The account breaks whatever process serves it.
    fn quarantine(&mut self, cx: &mut Context) {
        cx.counters.fault(Fault::Quarantine);
        warn!(user = %self.jid, message_id = message_id::USER_LOCKED_OUT, "the account broke several backends that served only this user: locked out for an hour");
        self.contacts_offline(cx);
        let reason = "your account made the gateway's connection to the network crash again and again";
        reason.clone_into(&mut self.trouble.reason);
        self.enter(cx, Session::Quarantined(cx.now.after(QUARANTINE)));
        self.throw_out(cx, Refused::locked_out());
        let text = format!(
            "You are logged out for an hour: {reason}. The administrator of this gateway finds the details in its log."
        );
        self.tell_error(cx, ConnectionError::OtherError.into(), &text);
        self.say_state(cx, Some("Locked out for an hour"));
        self.bounce_kept(cx, reason);
        self.end_session(cx);
        cx.timers.set(Timer::Retry(self.jid.clone()), cx.now.after(QUARANTINE));
    }

    /// The lock-out is over.
    pub fn quarantine_over(&mut self, cx: &mut Context) {
        if !matches!(self.session, Session::Quarantined(until) if until <= cx.now) {
            return;
        }
        self.trouble = Trouble::default();
        self.enter(cx, Session::Offline);
        if self.wanted(cx) {
            self.log_in(cx);
        } else {
            self.forget_later(cx);
        }
    }

    /// Ends the session because nobody is there any more, or the user is not registered any more.
    pub fn log_out(&mut self, cx: &mut Context) {
        if let Some(link) = self.link() {
            cx.frame(link, self.logout_frame());
        }
        self.leave_backend(cx);
        self.contacts_offline(cx);
        if !matches!(self.session, Session::Quarantined(_)) {
            self.enter(cx, Session::Offline);
        }
        self.say_state(cx, None);
        self.bounce_kept(cx, "you are not logged in to the network");
        self.end_session(cx);
        if let Session::Quarantined(until) = self.session {
            cx.timers.set(Timer::Retry(self.jid.clone()), until);
        }
    }

    /// Ends the session of a user whose registration has just been deleted.
    pub fn log_out_unregistered(&mut self, cx: &mut Context, legacy_name: &str) {
        if let Some(link) = self.link() {
            let legacy_name = legacy_name.to_owned();
            cx.frame(link, Frame::Logout(Logout { user: self.jid.to_string(), legacy_name }));
        }
        self.leave_backend(cx);
        self.contacts_offline(cx);
        self.enter(cx, Session::Offline);
        self.say_state(cx, None);
        self.bounce_kept(cx, "you are not registered any more");
        self.end_session(cx);
    }

    /// Logs in at once, whatever is waited for, unless that is under way or done.
    pub fn log_in_now(&mut self, cx: &mut Context) {
        match self.session {
            Session::Retrying(_) => {
                cx.timers.cancel(&Timer::Retry(self.jid.clone()));
                self.trouble.failures = 0;
                self.seek_backend(cx);
            }
            Session::Quarantined(_) => {
                cx.timers.cancel(&Timer::Retry(self.jid.clone()));
                self.trouble = Trouble::default();
                self.enter(cx, Session::Offline);
                self.log_in(cx);
            }
            _ => self.log_in(cx),
        }
    }

    /// Logs in again with what has changed in the registration.
    pub fn log_in_again(&mut self, cx: &mut Context) {
        if let Some(link) = self.link() {
            cx.frame(link, self.logout_frame());
        }
        self.leave_backend(cx);
        self.put_back(cx);
        self.contacts_offline(cx);
        self.enter(cx, Session::Offline);
        self.trouble = Trouble::default();
        self.end_session(cx);
        if self.wanted(cx) {
            self.log_in(cx);
        }
        if self.session == Session::Offline {
            self.say_state(cx, None);
            self.bounce_kept(cx, "you are not logged in to the network");
        }
    }

    /// What every end of a session has in common.
    fn end_session(&mut self, cx: &mut Context) {
        let reason = match self.session {
            Session::Refused | Session::Quarantined(_) => or_unknown(&self.trouble.reason).to_owned(),
            _ => "You are not logged in to the network any more".to_owned(),
        };
        self.rooms_over(cx, &reason);
        for timer in [Timer::Login, Timer::Retry, Timer::Rooms, Timer::Roster, Timer::Settle] {
            cx.timers.cancel(&timer(self.jid.clone()));
        }
        self.save_now(cx);
        self.contacts.forget_session();
        self.auth_requests.clear();
        self.unsent.clear();
        self.shown = None;
        // After an end of the daemon the users come back: their flag stays (Spectrum 2 does so).
        if let Some(registration) = self.registration.as_ref().filter(|r| r.id != 0 && !cx.stopping) {
            cx.store(storage::Request::SetOnline(registration.id, false), "that a user is offline");
        }
        self.forget_later(cx);
    }

    fn leave_backend(&mut self, cx: &mut Context) {
        let (limits, now) = (cx.limits(), cx.now);
        self.left = self.link().or(self.left);
        cx.pool.leave(&self.jid, self.link(), limits, now);
        cx.timers.cancel(&Timer::Login(self.jid.clone()));
    }

    fn logout_frame(&self) -> Frame {
        let legacy_name = self.registration.as_ref().map(|r| r.legacy_name.clone()).unwrap_or_default();
        Frame::Logout(Logout { user: self.jid.to_string(), legacy_name })
    }

    /// Shows all contacts as offline.
    fn contacts_offline(&mut self, cx: &mut Context) {
        for contact in self.contacts.iter_mut() {
            let was_visible = contact.is_visible();
            contact.presence = Presence::default();
            if was_visible {
                let stanza = presence::of_contact(cx, contact, self.jid.as_str());
                cx.send(stanza);
            }
        }
    }

    /// Shows the user, or one of his clients, how the gateway stands; `text` replaces the usual one.
    pub fn say_state(&self, cx: &mut Context, text: Option<&str>) {
        if cx.stopping && self.online().is_none() && text.is_none() && self.resources.is_empty() {
            return;
        }
        let targets: Vec<String> = match self.resources.len() {
            0 => vec![self.jid.to_string()],
            _ => self.resources.keys().map(|resource| presence::full(&self.jid, resource)).collect(),
        };
        for to in targets {
            let stanza = self.state_stanza(cx, &to, text);
            cx.send(stanza);
        }
    }

    /// The gateway's presence for this JID.
    pub fn state_stanza(&self, cx: &Context, to: &str, text: Option<&str>) -> Element {
        match (&self.session, self.best()) {
            (Session::Online(_), Some((_, best))) => {
                let status = if presence::is_visible(best.status) { best.status } else { StatusType::Online };
                presence::of_gateway(cx, to, status, text.unwrap_or(&best.text))
            }
            (Session::Online(_), None) => {
                presence::of_gateway(cx, to, StatusType::Online, text.unwrap_or_default())
            }
            (Session::Waiting | Session::LoggingIn(_), _) => {
                presence::of_gateway(cx, to, StatusType::None, text.unwrap_or("Connecting"))
            }
            _ => presence::of_gateway(cx, to, StatusType::None, text.unwrap_or_default()),
        }
    }

    /// Tells the user what went wrong, in words and for programs.
    fn tell_error(&self, cx: &mut Context, number: i32, text: &str) {
        let message = cx.notice(self.jid.as_str(), text);
        // COMPAT(Spectrum 2): clients look at the number; the name is wrong there from 10 on.
        let name = error_name(number);
        let error =
            Element::new("spectrumerror", ns::SPECTRUM_ERROR).with("error", number.to_string()).text(name);
        cx.send(message.child(error));
    }

    /// A contact as the backend protocol has it.
    pub fn buddy(&self, contact: &super::contact::Contact) -> Buddy {
        Buddy {
            user_name: self.jid.to_string(),
            buddy_name: contact.stored.legacy_name.clone(),
            alias: Some(contact.stored.alias.clone()),
            groups: contact.stored.groups.clone(),
            status: Some(StatusType::None.into()),
            status_message: None,
            icon_hash: (!contact.stored.icon_hash.is_empty()).then(|| contact.stored.icon_hash.clone()),
            blocked: None,
        }
    }
}

/// What a network says, as a part of a sentence of ours.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_end_matches('.')).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "the network gave no reason" } else { text }
}

/// Spectrum 2's names of the errors, as clients know them.
fn error_name(number: i32) -> &'static str {
    use ConnectionError as E;
    match E::try_from(number) {
        Ok(E::NetworkError) => "CONNECTION_ERROR_NETWORK_ERROR",
        Ok(E::InvalidUsername) => "CONNECTION_ERROR_INVALID_USERNAME",
        Ok(E::AuthenticationFailed) => "CONNECTION_ERROR_AUTHENTICATION_FAILED",
        Ok(E::AuthenticationImpossible) => "CONNECTION_ERROR_AUTHENTICATION_IMPOSSIBLE",
        Ok(E::NoSslSupport) => "CONNECTION_ERROR_NO_SSL_SUPPORT",
        Ok(E::EncryptionError) => "CONNECTION_ERROR_ENCRYPTION_ERROR",
        Ok(E::NameInUse) => "CONNECTION_ERROR_NAME_IN_USE",
        Ok(E::InvalidSettings) => "CONNECTION_ERROR_INVALID_SETTINGS",
        Ok(E::CertNotProvided) => "CONNECTION_ERROR_CERT_NOT_PROVIDED",
        Ok(E::CertUntrusted) => "CONNECTION_ERROR_CERT_UNTRUSTED",
        Ok(E::CertExpired) => "CONNECTION_ERROR_CERT_EXPIRED",
        Ok(E::CertNotActivated) => "CONNECTION_ERROR_CERT_NOT_ACTIVATED",
        Ok(E::CertHostnameMismatch) => "CONNECTION_ERROR_CERT_HOSTNAME_MISMATCH",
        Ok(E::CertFingerprintMismatch) => "CONNECTION_ERROR_CERT_FINGERPRINT_MISMATCH",
        Ok(E::CertSelfSigned) => "CONNECTION_ERROR_CERT_SELF_SIGNED",
        Ok(E::CertOtherError) => "CONNECTION_ERROR_CERT_OTHER_ERROR",
        Ok(E::OtherError) | Err(_) => "CONNECTION_ERROR_OTHER_ERROR",
    }
}
