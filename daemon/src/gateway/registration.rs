//! Registering with the gateway (XEP-0077): who may, the form, the change, the end.

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Frame, Logout};
use spectrum2_config::Secret;
use spectrum2_xmpp::roster::{self, Item, Subscription};
use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_result};
use spectrum2_xmpp::xep_0004::{Field, FieldType, Form, FormType};
use spectrum2_xmpp::xep_0077::{Query as Question, Submission, Values};
use spectrum2_xmpp::xep_0356::Privileges;
use spectrum2_xmpp::{Element, ns};
use tracing::info;

use super::account::Refused;
use super::admin::{Account, Answer, Asker, Refusal};
use super::contact::Contacts;
use super::context::{Context, Pending, Query, clip};
use super::event::Link;
use super::presence;
use super::room_kept::KeptRooms;
use super::roster::{Roster, roster_iq};
use super::user::User;
use crate::storage::{self, Registration};

/// Longest names and passwords that are stored (`users.uin` is varchar(4095), `users.password` varchar(255)).
const LONGEST_NAME: usize = 4_095;
const LONGEST_PASSWORD: usize = 255;

/// Who wants a registration made, changed or deleted, and waits for word of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registrar {
    /// The user himself, by this iq.
    Himself(Element),
    /// Nobody: it happened by itself.
    Nobody,
    /// An admin.
    Admin(Asker),
    /// An admin who wants nothing to be left of the user.
    Eraser(Asker),
}

impl User {
    /// The form is asked for (XEP-0077 §3.1.1).
    pub fn registration_form(&self, cx: &mut Context, iq: &Element) {
        if !self.may_register(cx, iq) {
            return;
        }
        let options = &cx.config.registration;
        let username = self.registration.as_ref().map(|r| r.legacy_name.clone()).unwrap_or_default();
        let question = Question {
            registered: self.registration.is_some(),
            instructions: options.instructions.clone(),
            username: username.clone(),
            needs_password: cx.needs_password(),
            form: Some(self.form(cx, username)),
        };
        cx.send(iq_result(iq).child(question.element()));
    }

    fn form(&self, cx: &Context, username: String) -> Form {
        let options = &cx.config.registration;
        let stored = self.registration.as_ref().map(|stored| stored.language.clone());
        let language =
            stored.filter(|language| !language.is_empty()).unwrap_or_else(|| options.language.clone());
        let mut form = Form::new(FormType::Form)
            .title("Registration")
            .instructions(&options.instructions)
            .field(Field::hidden("FORM_TYPE", ns::REGISTER))
            .field(
                Field::new(FieldType::TextSingle, "username")
                    .label(&options.username_label)
                    .required()
                    .value(username),
            );
        if cx.needs_password() {
            let field = Field::new(FieldType::TextPrivate, "password").label("Password");
            form = form.field(if cx.password_optional() { field } else { field.required() });
        }
        form = form.field(
            Field::new(FieldType::ListSingle, "language")
                .label("Language")
                .option(Some(&language), language.clone())
                .value(language.clone()),
        );
        if self.registration.is_some() {
            form = form.field(Field::boolean("unregister", false).label("Remove your registration"));
        }
        form
    }

    /// The form comes back.
    pub fn register(&mut self, cx: &mut Context, iq: &Element, query: &Element) {
        if cx.is_pending(&self.jid) {
            let text = "Your registration is being changed already; try again in a moment";
            cx.refuse(iq, ErrorType::Wait, Condition::ResourceConstraint, text);
            return;
        }
        let values = match Submission::read(query) {
            Submission::Register(values) => values,
            Submission::Remove => return self.unregister(cx, Registrar::Himself(iq.clone())),
            Submission::Cancel => return cx.send(iq_result(iq)),
        };
        if !self.may_register(cx, iq) {
            return;
        }
        if cx.config.registration.require_local_account {
            let text = "This gateway asks for a local account, which it cannot check; its administrator registers users";
            cx.refuse(iq, ErrorType::Cancel, Condition::NotAllowed, text);
            return;
        }
        match self.new_registration(cx, values) {
            Ok(registration) => self.check_name(cx, Registrar::Himself(iq.clone()), registration),
            Err(text) => cx.refuse(iq, ErrorType::Modify, Condition::NotAcceptable, text),
        }
    }

    /// What would be stored for a submission, or what is wrong with it.
    fn new_registration(&self, cx: &Context, values: Values) -> Result<Registration, &'static str> {
        let username = values.username.ok_or("A name is needed")?;
        let username = username.trim();
        if username.is_empty() {
            return Err("A name is needed");
        }
        if username == self.jid.as_str() {
            return Err("This is your XMPP address; your name on the other network is needed");
        }
        let password = values.password.unwrap_or_default();
        if cx.needs_password() && !cx.password_optional() && password.is_empty() {
            return Err("A password is needed");
        }
        let legacy_name = cx.masked(username);
        storable(&legacy_name, &password)?;
        if cx.allowed_usernames.as_ref().is_some_and(|allowed| !allowed.is_match(&legacy_name)) {
            return Err("This name is not allowed here");
        }
        let stored = self.registration.as_ref();
        Ok(Registration {
            id: stored.map_or(0, |stored| stored.id),
            legacy_name,
            password: Secret::new(password),
            language: clip(values.language.or(stored.map(|s| s.language.clone())).unwrap_or_default(), 25),
            encoding: clip(values.encoding.or(stored.map(|s| s.encoding.clone())).unwrap_or_default(), 50),
            vip: stored.is_some_and(|stored| stored.vip),
        })
    }

    /// Registers the user for an admin, who knows what he does: only what cannot work is refused.
    pub fn register_by_admin(&mut self, cx: &mut Context, asker: Asker, account: Account) {
        let Account { legacy_name, password, language } = account;
        let invalid = |text: &str| Refusal::InvalidArguments(text.to_owned());
        let refusal = match storable(&legacy_name, password.expose()) {
            _ if self.registration.is_some() => Some(Refusal::UserExists(self.jid.clone())),
            _ if legacy_name.is_empty() => Some(invalid("A name on the other network is needed")),
            _ if self.jid.node().is_none() => Some(invalid("A domain cannot be a user")),
            Err(text) => Some(invalid(text)),
            Ok(()) => None,
        };
        if let Some(refusal) = refusal {
            return cx.answer(asker, Err(refusal));
        }
        info!(user = %self.jid, "an administrator registers the user");
        let registration =
            Registration { id: 0, legacy_name, password, language, encoding: String::new(), vip: false };
        self.check_name(cx, Registrar::Admin(asker), registration);
    }

    /// Without a password a name is a claim: the first one has it.
    fn check_name(&self, cx: &mut Context, registrar: Registrar, registration: Registration) {
        // Two answers of storage that cross would leave us with what the database has not.
        if cx.is_pending(&self.jid) {
            return self.not_now(cx, registrar);
        }
        if self.registration.is_none() && cx.is_full() {
            return self.no_room(cx, registrar);
        }
        if !registration.password.is_empty() {
            self.save_registration(cx, registrar, registration);
        } else {
            let request =
                storage::Request::LegacyNameTaken(registration.legacy_name.clone(), self.jid.clone());
            cx.ask(request, Pending::NameTaken(self.jid.clone(), registrar, Box::new(registration)));
        }
    }

    /// His registration is being changed already.
    fn not_now(&self, cx: &mut Context, registrar: Registrar) {
        let text = "The registration of this user is being changed already; try again in a moment";
        match registrar {
            Registrar::Himself(iq) => {
                cx.refuse(&iq, ErrorType::Wait, Condition::ResourceConstraint, text);
            }
            Registrar::Admin(asker) | Registrar::Eraser(asker) => {
                cx.answer(asker, Err(Refusal::Failed(text.to_owned())));
            }
            // He is being registered, which is what it is about.
            Registrar::Nobody => {}
        }
    }

    /// `service.max_users` is reached.
    fn no_room(&self, cx: &mut Context, registrar: Registrar) {
        let limit = cx.config.service.max_users;
        cx.tell_full(&self.jid);
        let text = "No more users can register here; ask the administrator of this gateway for a place";
        match registrar {
            // XEP-0077 §3.1.1 names no condition; RFC 6120 §8.3.3.18 fits.
            Registrar::Himself(iq) => {
                cx.refuse(&iq, ErrorType::Wait, Condition::ResourceConstraint, text);
            }
            Registrar::Admin(asker) | Registrar::Eraser(asker) => {
                let text =
                    format!("service.max_users={limit} is reached. Raise it and reload, or remove users");
                cx.answer(asker, Err(Refusal::Failed(text)));
            }
            Registrar::Nobody => cx.tell(&self.jid, text),
        }
    }

    /// Storage knows whether another user has the name.
    pub fn name_checked(
        &mut self,
        cx: &mut Context,
        registrar: Registrar,
        registration: Registration,
        taken: bool,
    ) {
        let text = "Somebody else registered this name";
        if !taken {
            return self.save_registration(cx, registrar, registration);
        }
        match registrar {
            Registrar::Himself(iq) => cx.refuse(&iq, ErrorType::Cancel, Condition::Conflict, text),
            Registrar::Nobody => {
                cx.tell(&self.jid, "Somebody else registered your name here; register under another one.");
            }
            Registrar::Admin(asker) | Registrar::Eraser(asker) => {
                cx.answer(asker, Err(Refusal::InvalidArguments(text.to_owned())));
            }
        }
        self.registration_settled(cx);
    }

    fn save_registration(&self, cx: &mut Context, registrar: Registrar, registration: Registration) {
        let request = storage::Request::SaveUser(self.jid.clone(), registration.clone());
        cx.ask(request, Pending::Register(self.jid.clone(), registrar, Box::new(registration)));
    }

    /// It is stored: now it counts, and only now the client is told so.
    pub fn registered(&mut self, cx: &mut Context, registrar: Registrar, registration: Registration) {
        cx.stored(registrar);
        let before = self.registration.replace(registration);
        match before {
            None => {
                info!(user = %self.jid, "registered");
                cx.registered += 1;
                self.ask_clients(cx);
                self.introduce(cx);
                cx.notify(&format!("registered: {}", self.jid));
                if self.wanted(cx) {
                    self.log_in(cx);
                }
                self.registration_settled(cx);
            }
            Some(before) => {
                let now = self.registration.as_ref();
                let renamed = now.is_some_and(|now| now.legacy_name != before.legacy_name);
                let changed = renamed || now.is_some_and(|now| now.password != before.password);
                if changed {
                    self.log_in_again(cx);
                }
                if renamed {
                    self.drop_kept_rooms(cx);
                }
            }
        }
    }

    /// XEP-0100 §4.1.1: the gateway comes into the user's roster, and learns his presence.
    fn introduce(&self, cx: &mut Context) {
        if cx.privileges_for(&self.jid).is_some_and(Privileges::roster_both) {
            let name = cx.config.identity.name.clone();
            let item = Item { name: Some(name), ..Item::new(cx.jid.clone(), Subscription::Both) };
            let iq = roster_iq(cx, "set", self.jid.as_str(), Some(&item));
            cx.query(&self.jid, Jid::from(self.jid.clone()), iq, Query::Introduction);
            let probe = presence::probe(cx, &self.jid);
            cx.send(probe);
        } else {
            cx.send(presence::typed(cx.jid.as_str(), self.jid.as_str(), "subscribe"));
        }
    }

    /// The gateway is in the user's roster; if the server did not let it in, the user is asked to.
    pub fn introduced(&self, cx: &mut Context, error: Option<Condition>) {
        if error.is_some() && self.registration.is_some() {
            cx.send(presence::typed(cx.jid.as_str(), self.jid.as_str(), "subscribe"));
        }
    }

    /// The first available presence of a stranger registers him, where the admin wants that.
    pub fn auto_register(&self, cx: &mut Context) {
        if let Some(node) = self.jid.node() {
            self.register_as(cx, node.as_str());
        }
    }

    /// The same for who joins a room first, under the nick that he wants there (Spectrum 2 does so); `false` if he cannot
    /// be registered. Else [`Self::registration_settled`] tells how it went.
    pub fn register_by_join(&self, cx: &mut Context, nick: &str) -> bool {
        // It may be under way already.
        cx.is_pending(&self.jid) || self.register_as(cx, nick)
    }

    fn register_as(&self, cx: &mut Context, name: &str) -> bool {
        if !cx.config.registration.auto_register || !cx.registration_open(&self.jid) {
            return false;
        }
        let legacy_name = cx.masked(name);
        if cx.allowed_usernames.as_ref().is_some_and(|allowed| !allowed.is_match(&legacy_name)) {
            return false;
        }
        let registration = Registration {
            id: 0,
            legacy_name,
            password: Secret::default(),
            language: String::new(),
            encoding: String::new(),
            vip: false,
        };
        let may = !cx.is_full();
        self.check_name(cx, Registrar::Nobody, registration);
        may
    }

    /// XEP-0077 §3.2.
    pub fn unregister(&mut self, cx: &mut Context, registrar: Registrar) {
        if cx.is_pending(&self.jid) {
            return self.not_now(cx, registrar);
        }
        match (&self.registration, registrar) {
            (Some(registration), registrar) => {
                let request = storage::Request::RemoveUser(registration.id);
                cx.ask(request, Pending::Unregister(self.jid.clone(), registrar));
            }
            (None, Registrar::Himself(iq)) => {
                cx.refuse(&iq, ErrorType::Auth, Condition::RegistrationRequired, "You are not registered");
            }
            (None, Registrar::Admin(asker) | Registrar::Eraser(asker)) => {
                cx.answer(asker, Err(Refusal::NoSuchUser(self.jid.clone())));
            }
            (None, Registrar::Nobody) => {}
        }
    }

    /// It is deleted. The session ends, and the roster is cleared of us.
    pub fn unregistered(&mut self, cx: &mut Context, registrar: Registrar) {
        if let Registrar::Himself(iq) = &registrar {
            cx.send(iq_result(iq));
        }
        info!(user = %self.jid, "unregistered");
        cx.unarchive(&self.jid);
        for contact in self.contacts.iter_mut() {
            contact.dirty = false;
        }
        self.rooms.kept = KeptRooms::default();
        // What follows must not write to a row that is gone.
        let registration = self.registration.take();
        if registration.is_some() {
            cx.registered = cx.registered.saturating_sub(1);
            cx.full_told = false;
        }
        let legacy_name = registration.map(|r| r.legacy_name).unwrap_or_default();
        let link = self.link();
        self.throw_out(cx, Refused::Credentials("Your account here was deleted".to_owned()));
        self.log_out_unregistered(cx, &legacy_name);
        if cx.privileges_for(&self.jid).is_some_and(Privileges::roster_both) {
            let iq = roster_iq(cx, "get", self.jid.as_str(), None);
            cx.query(&self.jid, Jid::from(self.jid.clone()), iq, Query::RosterToClear);
        } else {
            self.unsubscribe_all(cx);
        }
        cx.notify(&format!("unregistered: {}", self.jid));
        match registrar {
            Registrar::Admin(asker) => cx.answer(asker, Ok(Answer::Done)),
            Registrar::Eraser(asker) => {
                let outcome = cx.erase(&self.jid, legacy_name, link).map(|()| Answer::Done);
                cx.answer(asker, outcome);
            }
            Registrar::Himself(_) | Registrar::Nobody => {}
        }
    }

    /// Contacts and gateway leave by subscription stanzas.
    fn unsubscribe_all(&mut self, cx: &mut Context) {
        let nodes: Vec<String> = self.contacts.iter().map(|contact| contact.node.clone()).collect();
        let ours = nodes.iter().map(|node| cx.contact_bare(node)).chain([cx.jid.to_string()]);
        for jid in ours.collect::<Vec<_>>() {
            cx.send(presence::typed(jid.clone(), self.jid.as_str(), "unsubscribe"));
            cx.send(presence::typed(jid, self.jid.as_str(), "unsubscribed"));
        }
        self.forget_registration();
    }

    fn forget_registration(&mut self) {
        self.contacts = Contacts::default();
        self.roster = Roster::default();
        self.settings.clear();
    }

    /// The roster of a user who unregistered: each item of ours goes.
    pub fn clear_roster(&mut self, cx: &mut Context, query: Option<&Element>) {
        if self.registration.is_some() {
            // He came back meanwhile.
            return;
        }
        let Some(query) = query else {
            self.unsubscribe_all(cx);
            return;
        };
        for item in roster::read(query) {
            if item.jid.domain() == cx.jid.domain() {
                let item = Item::new(item.jid, Subscription::Remove);
                let iq = roster_iq(cx, "set", self.jid.as_str(), Some(&item));
                cx.send(iq);
            }
        }
        self.forget_registration();
    }

    /// Refuses the iq of somebody who may not register.
    fn may_register(&self, cx: &mut Context, iq: &Element) -> bool {
        let open = cx.registration_open(&self.jid);
        if !open && self.registration.is_none() {
            cx.refuse(
                iq,
                ErrorType::Auth,
                Condition::Forbidden,
                "Registration is not open to you; ask the administrator",
            );
        }
        open || self.registration.is_some()
    }
}

/// Whether the database has room for it, and a network could have such a name.
fn storable(legacy_name: &str, password: &str) -> Result<(), &'static str> {
    if legacy_name.len() > LONGEST_NAME || password.len() > LONGEST_PASSWORD {
        return Err("The name or the password is too long");
    }
    if legacy_name.chars().any(char::is_control) {
        return Err("The name has characters that no name has");
    }
    Ok(())
}

impl Context {
    /// Answers whoever wanted a registration stored.
    fn stored(&mut self, registrar: Registrar) {
        match registrar {
            Registrar::Himself(iq) => self.send(iq_result(&iq)),
            Registrar::Nobody => {}
            Registrar::Admin(asker) | Registrar::Eraser(asker) => self.answer(asker, Ok(Answer::Done)),
        }
    }

    /// Tells whoever waits that storage failed.
    pub(super) fn not_stored(&mut self, registrar: Registrar) {
        let text = "The gateway cannot store it now; try again later";
        match registrar {
            Registrar::Himself(iq) => {
                self.refuse(&iq, ErrorType::Wait, Condition::InternalServerError, text);
            }
            Registrar::Nobody => {}
            Registrar::Admin(asker) | Registrar::Eraser(asker) => {
                self.answer(asker, Err(Refusal::Failed(text.to_owned())));
            }
        }
    }

    /// Has a backend delete what backends keep of a user.
    fn erase(&mut self, user: &BareJid, legacy_name: String, served: Option<Link>) -> Result<(), Refusal> {
        let Some(link) = self.pool.eraser(served) else {
            let text =
                "The registration is deleted, but no backend is there that can delete what backends keep";
            return Err(Refusal::Failed(text.to_owned()));
        };
        self.frame(link, Frame::Erase(Logout { user: user.to_string(), legacy_name }));
        Ok(())
    }

    /// Whether users give a password when they register, as the backend says.
    pub(super) fn needs_password(&self) -> bool {
        self.capabilities.need_password.unwrap_or(true)
    }

    /// Whether the password may be left out all the same (IRC networks let anybody in).
    fn password_optional(&self) -> bool {
        // Nor is anybody refused before the first backend has said what its network wants.
        self.capabilities.password_optional == Some(true) || self.capabilities.need_password.is_none()
    }

    /// Whether users of this domain may register.
    pub(super) fn registration_open(&self, user: &BareJid) -> bool {
        let allowed = &self.config.service.allowed_servers;
        self.config.registration.enable_public_registration
            || allowed.iter().any(|domain| domain.eq_ignore_ascii_case(user.domain().as_str()))
    }

    /// `registration.username_mask` with the name in its place.
    fn masked(&self, username: &str) -> String {
        let mask = &self.config.registration.username_mask;
        if mask.is_empty() { username.to_owned() } else { mask.replace("$username", username) }
    }

    /// Tells those whom `registration.notify_jid` names.
    fn notify(&mut self, text: &str) {
        let config = self.config.clone();
        for jid in &config.registration.notify_jid {
            let message = self.notice(jid, text);
            self.send(message);
        }
    }
}
