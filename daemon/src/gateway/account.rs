//! Users of server mode: whom the network lets in with name and password is one, without registration.
//!
//! A login is *tried*; what comes of it is a [`Verdict`], one for each [`Gateway::admit`] that no [`Gateway::release`]
//! took back. The password is in memory only, and no longer than somebody is or wants to be logged in with it. Nothing
//! is stored of somebody whom the network never let in.

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{ConnectionError, Disconnected};
use spectrum2_config::Secret;

use super::admin::State;
use super::context::{Context, Pending};
use super::event::Time;
use super::roster::Roster;
use super::session::Session;
use super::user::{Early, User};
use super::{EARLY, Gateway};
use crate::storage::{Registration, Request};

/// Settings whose names begin so are the server's own; backends do not get them.
pub const OWN_SETTING: &str = "server:";

/// Somebody wants to be let in as a user.
#[derive(Debug, Serialize, Deserialize)]
pub struct Admission {
    legacy_name: String,
    password: Secret,
}

/// What came of a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose.
    pub user: BareJid,
    /// Whether he is let in.
    pub outcome: Result<(), Refused>,
}

/// Why somebody is not let in; the text is for him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// The network does not take this name and password, or this transport not this user.
    Credentials(String),
    /// Something else is wrong; later the same may work.
    Trouble(String),
}

impl Refused {
    /// What the network's answer means.
    pub(super) fn of(frame: &Disconnected, text: &str) -> Self {
        let text = text.to_owned();
        match frame.connection_error() {
            Some(
                ConnectionError::AuthenticationFailed
                | ConnectionError::AuthenticationImpossible
                | ConnectionError::InvalidUsername,
            ) => Self::Credentials(text),
            _ => Self::Trouble(text),
        }
    }

    /// `service.max_users` is reached.
    pub(super) fn full() -> Self {
        Self::Trouble(
            "There is no place for further users here; ask the administrator of this server".to_owned(),
        )
    }

    pub(super) fn locked_out() -> Self {
        Self::Trouble(
            "You are locked out for an hour: your account made backends crash again and again".to_owned(),
        )
    }
}

impl Gateway {
    /// Tries to log a user in.
    pub fn admit(&mut self, now: Time, user: &BareJid, legacy_name: String, password: Secret) {
        self.cx.now = now;
        if !self.users.contains_key(user) && !self.make_user(user) {
            let refused = Refused::Trouble("There are as many users as can be served".to_owned());
            return self.cx.verdict(user, Err(refused));
        }
        let Some(known) = self.users.get_mut(user) else { return };
        let admission = Admission { legacy_name, password };
        match &mut known.early {
            Some(early) if early.len() < EARLY => early.push_back(Early::Admission(admission)),
            Some(_) => self.cx.verdict(user, Err(Refused::Trouble("The server is busy".to_owned()))),
            None => known.admit(&mut self.cx, admission),
        }
    }

    /// No client of the user is connected any more, or waits to be let in.
    pub fn release(&mut self, now: Time, user: &BareJid) {
        self.cx.now = now;
        self.with(user, |user, cx| match &mut user.early {
            // Storage has not answered: nobody waits for what would come then.
            Some(early) => early.retain(|early| !matches!(early, Early::Admission(_))),
            None => user.release(cx),
        });
    }

    /// What came of logins since it was asked last.
    pub fn verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.cx.verdicts)
    }

    /// How the user stands with the network.
    pub fn standing(&self, user: &BareJid) -> State {
        self.users.get(user).map_or(State::Offline, |user| user.session.state())
    }

    /// The backend that serves the user.
    #[cfg(test)]
    pub fn backend_of(&self, user: &BareJid) -> Option<super::Link> {
        self.users.get(user).and_then(|user| user.link())
    }

    /// Whether this is the password with which the user is logged in.
    pub fn is_password(&self, user: &BareJid, password: &Secret) -> bool {
        let known = self.users.get(user).and_then(|user| user.registration.as_ref());
        known.is_some_and(|registration| same_secret(&registration.password, password))
    }

    /// Contacts that belong into the roster of a user: local part, name, groups.
    pub fn contacts(&self, user: &BareJid) -> Vec<(String, String, Vec<String>)> {
        let contacts = self.users.get(user).into_iter().flat_map(|user| user.contacts.iter());
        contacts
            .filter(|contact| (contact.stored.subscribed || contact.reported) && !contact.is_denied())
            .map(|contact| {
                (contact.node.clone(), contact.stored.alias.clone(), contact.stored.groups.clone())
            })
            .collect()
    }

    /// What is kept of a user under this name.
    pub fn setting(&self, user: &BareJid, name: &str) -> Option<&str> {
        let settings = &self.users.get(user)?.settings;
        settings.iter().find(|(var, _)| var == name).map(|(_, value)| value.as_str())
    }

    /// Keeps something of a user. `false`: there is nowhere to keep it.
    pub fn keep(&mut self, now: Time, user: &BareJid, name: &str, value: String) -> bool {
        self.cx.now = now;
        let Some(user) = self.users.get_mut(user) else { return false };
        // Spectrum 2's number for what is none of its own settings.
        user.set_setting(&mut self.cx, name, 0, value);
        user.settings.iter().any(|(var, _)| var == name)
    }

    /// The configuration as it is now.
    pub fn config(&self) -> &spectrum2_config::Config {
        &self.cx.config
    }
}

impl Context {
    pub(super) fn verdict(&mut self, user: &BareJid, outcome: Result<(), Refused>) {
        self.verdicts.push(Verdict { user: user.clone(), outcome });
    }
}

impl User {
    /// Somebody wants to be let in as this user.
    pub(super) fn admit(&mut self, cx: &mut Context, admission: Admission) {
        match self.session {
            Session::Quarantined(_) => return cx.verdict(&self.jid, Err(Refused::locked_out())),
            Session::Offline | Session::Refused => {}
            // Whoever wanted that login has given it up: there is one at a time.
            _ if self.trying => self.log_out(cx),
            // The network took that password before.
            Session::Online(_) | Session::Waiting | Session::LoggingIn(_) | Session::Retrying(_) => {
                let known = self.registration.as_ref().map(|registration| &registration.password);
                let outcome = match known {
                    Some(known) if same_secret(known, &admission.password) => {
                        self.attached = true;
                        Ok(())
                    }
                    _ => Err(Refused::Credentials("This is not the password of the account".to_owned())),
                };
                return cx.verdict(&self.jid, outcome);
            }
        }
        if self.has_no_place(cx) {
            return self.not_admitted(cx, Refused::full());
        }
        let Admission { legacy_name, password } = admission;
        let registration = self.registration.get_or_insert_with(Registration::default);
        // What is stored is of whom the network let in under that name. Where it tells names apart by their case, nobody
        // else gets at that by another spelling of it; where it does not, either does.
        let is_known =
            registration.id != 0 && registration.legacy_name.to_lowercase() == legacy_name.to_lowercase();
        if !is_known {
            registration.legacy_name = legacy_name;
        }
        registration.password = password;
        // What the server has of his roster is as new as this session.
        self.roster = Roster::default();
        self.enter(cx, Session::Offline);
        (self.attached, self.trying) = (true, true);
        self.log_in(cx);
        if self.session == Session::Offline && self.trying {
            let text = match cx.config.service.vip_message.as_str() {
                "" => "You may not log in here",
                text => text,
            };
            let refused = Refused::Credentials(text.to_owned());
            self.not_admitted(cx, refused);
        }
    }

    /// He would be one user more than `service.max_users`.
    pub(super) fn has_no_place(&self, cx: &mut Context) -> bool {
        let is_known = self.registration.as_ref().is_some_and(|registration| registration.id != 0);
        let has_none = !is_known && !cx.is_being_kept(&self.jid) && cx.is_full();
        if has_none {
            cx.tell_full(&self.jid);
        }
        has_none
    }

    /// The network let him in.
    pub(super) fn admitted(&mut self, cx: &mut Context) {
        if !std::mem::take(&mut self.trying) {
            return;
        }
        cx.verdict(&self.jid, Ok(()));
        if let Some(registration) = self.registration.as_ref().filter(|registration| registration.id == 0) {
            // Passwords are not stored.
            let stored = Registration { password: Secret::default(), ..registration.clone() };
            cx.ask(Request::SaveUser(self.jid.clone(), stored), Pending::Admitted(self.jid.clone()));
        }
    }

    /// He has a row in storage.
    pub(super) fn kept(&mut self, cx: &mut Context, id: i64) {
        let Some(registration) = &mut self.registration else { return };
        registration.id = id;
        cx.registered += 1;
        if self.session != Session::Offline {
            cx.store(Request::SetOnline(id, true), "that a user is online");
        }
        for (name, value) in self.settings.clone() {
            self.set_setting(cx, &name, 0, value);
        }
        self.save_now(cx);
    }

    /// He is not let in.
    pub(super) fn not_admitted(&mut self, cx: &mut Context, refused: Refused) {
        (self.attached, self.trying) = (false, false);
        cx.verdict(&self.jid, Err(refused));
        if self.session == Session::Offline {
            self.forget_later(cx);
        } else {
            self.log_out(cx);
        }
        self.drop_password(cx);
    }

    /// His session ended, or never began, and will not begin again by itself: whoever is connected as him is not welcome.
    pub(super) fn throw_out(&mut self, cx: &mut Context, refused: Refused) {
        if self.attached {
            if std::mem::take(&mut self.trying) {
                // Nobody was let in, and the network has not taken the password.
                self.attached = false;
                self.registration.iter_mut().for_each(|known| known.password = Secret::default());
            }
            cx.verdict(&self.jid, Err(refused));
        }
    }

    /// No client is connected any more. A bouncer goes on, but not with a password that the network has not taken yet: who
    /// gave it would be let in when he gives it again.
    pub(super) fn release(&mut self, cx: &mut Context) {
        self.attached = false;
        let unchecked = std::mem::take(&mut self.trying);
        if unchecked || !self.wanted(cx) || self.session == Session::Offline {
            self.leave(cx);
        }
        self.drop_password(cx);
    }

    /// Nobody needs the password any more; of whom the network never let in nothing is kept.
    fn drop_password(&mut self, cx: &Context) {
        if self.session != Session::Offline {
            return;
        }
        match &mut self.registration {
            Some(registration) if registration.id != 0 || cx.is_pending(&self.jid) => {
                registration.password = Secret::default();
            }
            registration => *registration = None,
        }
    }

    /// A user of server mode is not logged in without a client that gave his password.
    pub(super) fn has_password(&self, cx: &Context) -> bool {
        let given = self.registration.as_ref().is_some_and(|registration| !registration.password.is_empty());
        !cx.config.service.server_mode || self.attached || given
    }
}

/// Compares in a time that says nothing about where two passwords of one length differ.
pub fn same_secret(one: &Secret, other: &Secret) -> bool {
    let (one, other) = (one.expose().as_bytes(), other.expose().as_bytes());
    let differing = one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}
