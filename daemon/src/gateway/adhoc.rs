//! Ad-hoc commands of the gateway (XEP-0050): the users' settings, and for admins what XEP-0133 has.
//!
//! Each is one form, filled in and done. Guarantees that executions are bounded, end by themselves after ten minutes,
//! and belong to the client that began them; and that a command is shown only to those who may run it.

use std::collections::{BTreeMap, VecDeque};

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_config::Secret;
use spectrum2_xmpp::stanza::{Condition, ErrorType, error_reply, iq_result};
use spectrum2_xmpp::xep_0004::{Field, FieldType, Form, FormType};
use spectrum2_xmpp::xep_0030::{self, Identity, Info, Item};
use spectrum2_xmpp::xep_0050::{self, Action, Fault, Response, Status};
use spectrum2_xmpp::{Element, ns};

use super::Gateway;
use super::admin::{Account, Answer, Asker, Request, State};
use super::context::Context;
use super::event::Time;
use super::timer::Timer;
use super::user::User;

/// How long a form may be looked at.
const PATIENCE: u64 = 600_000;
/// Executions of one user; his oldest makes room.
const EACH: usize = 5;
/// Executions of all users.
const ALL: usize = 1_000;
/// Users in one command.
const USERS: usize = 20;
/// Users in one answer: more would not fit into a stanza everywhere.
const LONGEST_LIST: usize = 1_000;
/// What XEP-0133 §4.18 lets the admin choose from.
const LENGTHS: [&str; 7] = ["25", "50", "75", "100", "150", "200", "none"];
/// Spectrum 2's number for a boolean in `users_settings`.
const BOOLEAN: i32 = 4;
/// Settings of users, with labels.
const SETTINGS: [(&str, &str); 3] = [
    ("enable_transport", "Enable transport"),
    ("send_headlines", "Allow sending messages as headlines"),
    ("stay_connected", "Stay connected to legacy network when offline on XMPP"),
];

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Command {
    Settings,
    AddUser,
    DeleteUser,
    EndUserSession,
    RegisteredNumber,
    OnlineNumber,
    RegisteredList,
    OnlineList,
}

/// All commands with nodes and names.
const COMMANDS: [(Command, &str, &str); 8] = [
    (Command::Settings, "settings", "Transport settings"),
    (Command::AddUser, "http://jabber.org/protocol/admin#add-user", "Add User"),
    (Command::DeleteUser, "http://jabber.org/protocol/admin#delete-user", "Delete User"),
    (Command::EndUserSession, "http://jabber.org/protocol/admin#end-user-session", "End User Session"),
    (
        Command::RegisteredNumber,
        "http://jabber.org/protocol/admin#get-registered-users-num",
        "Get Number of Registered Users",
    ),
    (
        Command::OnlineNumber,
        "http://jabber.org/protocol/admin#get-online-users-num",
        "Get Number of Online Users",
    ),
    (
        Command::RegisteredList,
        "http://jabber.org/protocol/admin#get-registered-users-list",
        "Get List of Registered Users",
    ),
    (
        Command::OnlineList,
        "http://jabber.org/protocol/admin#get-online-users-list",
        "Get List of Online Users",
    ),
];

impl Command {
    fn of_node(node: &str) -> Option<Self> {
        COMMANDS.iter().find(|(_, known, _)| *known == node).map(|(command, ..)| *command)
    }

    fn may_be_run_by(self, cx: &Context, user: &User) -> bool {
        match self {
            Self::Settings => user.registration.is_some(),
            _ => cx.is_admin(&user.jid),
        }
    }
}

/// Whether a node has to do with commands.
pub fn is_node(node: &str) -> bool {
    node == ns::COMMANDS || Command::of_node(node).is_some()
}

/// Executions whose form is out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Commands {
    open: BTreeMap<String, Execution>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Execution {
    who: Jid,
    node: String,
    since: Time,
}

/// A command of an admin that is being carried out, request by request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    iq: Element,
    command: Command,
    session: String,
    requests: VecDeque<Request>,
    problems: Vec<String>,
    /// Of a list.
    longest: usize,
}

/// A request to execute a command, as far as it is in order.
struct Step {
    session: String,
    /// What was filled in; none at the beginning.
    form: Option<Form>,
}

/// Answers disco#info about commands (XEP-0050 §2.2, §2.3).
pub fn info(cx: &mut Context, user: &User, iq: &Element, query: &Element) {
    let node = query.attr("node").unwrap_or_default();
    let identity = match COMMANDS.iter().find(|(_, known, _)| *known == node) {
        None => Identity::new("automation", "command-list"),
        Some((command, _, name)) if command.may_be_run_by(cx, user) => {
            Identity::new("automation", "command-node").name(*name)
        }
        Some(_) => return cx.refuse(iq, ErrorType::Auth, Condition::Forbidden, ""),
    };
    let info = Info::default().identity(identity).features(&[ns::COMMANDS, ns::DATA]);
    cx.send(iq_result(iq).child(info.node(Some(node)).element()));
}

/// Answers disco#items about commands: those that the asker may run (XEP-0050 §2.2).
pub fn items(cx: &mut Context, user: &User, iq: &Element, query: &Element) {
    let node = query.attr("node");
    let mut items = Vec::new();
    if node == Some(ns::COMMANDS) {
        for (command, node, name) in COMMANDS {
            if command.may_be_run_by(cx, user) {
                let (node, name) = (Some(node.to_owned()), Some(name.to_owned()));
                items.push(Item { jid: cx.jid.to_string(), node, name });
            }
        }
    }
    cx.send(iq_result(iq).child(xep_0030::items(node, items)));
}

impl Context {
    /// Forgets executions that nobody goes on with.
    pub(super) fn expire_commands(&mut self) {
        let now = self.now;
        self.commands.open.retain(|_, execution| now.since(execution.since) < PATIENCE);
        if let Some(oldest) = self.commands.open.values().map(|execution| execution.since).min() {
            self.timers.set(Timer::Commands, oldest.after(PATIENCE));
        }
    }

    /// Sees to the order of an execution; `None` if the request is answered already.
    fn step(&mut self, from: &Jid, iq: &Element, request: xep_0050::Request) -> Option<Step> {
        let Some(session) = request.session else {
            if request.action == Action::Execute {
                return Some(Step { session: self.id(), form: None });
            }
            self.refuse_command(iq, Fault::BadAction, "Nothing is begun yet");
            return None;
        };
        match self.commands.open.get(&session) {
            Some(known) if known.who == *from && known.node == request.node => {}
            // XEP-0050 §4.5 tells one that is over from one that never was.
            None if self.is_own_id(&session) => {
                self.refuse_command(iq, Fault::SessionExpired, "This is over; begin anew");
                return None;
            }
            _ => {
                self.refuse_command(iq, Fault::BadSessionId, "There is no such session of yours; begin anew");
                return None;
            }
        }
        // XEP-0004 §3.1: a form may also be given up by itself.
        let gives_up = request.form.as_ref().is_some_and(|form| form.form_type == FormType::Cancel);
        match (request.action, request.form) {
            (Action::Prev, _) => {
                self.refuse_command(iq, Fault::BadAction, "This is the first form");
                None
            }
            (action, _) if action == Action::Cancel || gives_up => {
                self.commands.open.remove(&session);
                self.respond(iq, &session, Status::Canceled, None, None);
                None
            }
            (_, Some(form)) if form.form_type == FormType::Submit => Some(Step { session, form: Some(form) }),
            (_, Some(_)) => {
                self.refuse_command(iq, Fault::BadPayload, "The form is not one that was filled in");
                None
            }
            (_, None) => {
                self.refuse_command(iq, Fault::BadPayload, "The form is missing");
                None
            }
        }
    }

    /// Sends a form and remembers to whom.
    fn ask_by_form(&mut self, from: &Jid, iq: &Element, session: &str, form: Form) {
        let node = node_of(iq);
        let open = &mut self.commands.open;
        let mut own: Vec<(Time, String)> = open
            .iter()
            .filter(|(_, execution)| execution.who.to_bare() == from.to_bare())
            .map(|(id, execution)| (execution.since, id.clone()))
            .collect();
        own.sort();
        if own.len() >= EACH
            && let Some((_, oldest)) = own.first()
        {
            open.remove(oldest);
        }
        if open.len() >= ALL {
            self.refuse(
                iq,
                ErrorType::Wait,
                Condition::ResourceConstraint,
                "Too many commands are under way",
            );
            return;
        }
        open.insert(session.to_owned(), Execution { who: from.clone(), node, since: self.now });
        self.timers.set_once(Timer::Commands, self.now.after(PATIENCE));
        self.respond(iq, session, Status::Executing, Some(form), None);
    }

    fn respond(
        &mut self,
        iq: &Element,
        session: &str,
        status: Status,
        form: Option<Form>,
        note: Option<(bool, String)>,
    ) {
        let response = Response { node: node_of(iq), session: session.to_owned(), status, form, note };
        self.send(iq_result(iq).child(response.element()));
    }

    /// The end of an execution.
    fn complete(&mut self, iq: &Element, session: &str, form: Option<Form>, note: Option<(bool, String)>) {
        self.commands.open.remove(session);
        self.respond(iq, session, Status::Completed, form, note);
    }

    /// XEP-0050 §4.5: a general condition and one of its own.
    fn refuse_command(&mut self, iq: &Element, fault: Fault, text: &str) {
        let (kind, condition) = fault.condition();
        let reply = error_reply(iq, kind, condition, Some(text));
        let Some(mut reply) = reply else { return };
        if let Some(error) = reply.find_mut("error", ns::CLIENT) {
            error.push(fault.element());
        }
        self.send(reply);
    }
}

fn node_of(iq: &Element) -> String {
    let node = iq.find("command", ns::COMMANDS).and_then(|command| command.attr("node"));
    node.unwrap_or_default().to_owned()
}

impl User {
    /// The user's settings.
    pub fn command(&mut self, cx: &mut Context, iq: &Element, command: &Element) {
        let Some(from) = iq.attr("from").and_then(|from| from.parse::<Jid>().ok()) else { return };
        if self.registration.is_none() {
            let text = "Register with the gateway first";
            cx.refuse(iq, ErrorType::Auth, Condition::RegistrationRequired, text);
            return;
        }
        let Ok(request) = xep_0050::Request::read(command) else { return };
        let Some(step) = cx.step(&from, iq, request) else { return };
        match step.form {
            None => {
                let form = self.settings_form(cx);
                cx.ask_by_form(&from, iq, &step.session, form);
            }
            Some(form) => self.settings_filled_in(cx, iq, &step.session, &form),
        }
    }

    fn settings_form(&self, cx: &Context) -> Form {
        SETTINGS.iter().fold(Form::new(FormType::Form).title("Transport settings"), |form, (name, label)| {
            form.field(Field::boolean(*name, self.setting(cx, name)).label(*label))
        })
    }

    fn settings_filled_in(&mut self, cx: &mut Context, iq: &Element, session: &str, form: &Form) {
        let filled_in = |name: &&str| form.value(name).is_some_and(|value| !value.trim().is_empty());
        let names = || SETTINGS.iter().map(|(name, _)| *name).filter(filled_in);
        if names().any(|name| form.boolean(name).is_none()) {
            cx.refuse_command(iq, Fault::BadPayload, "A setting is neither on nor off");
            return;
        }
        let values: Vec<(&str, bool)> =
            names().filter_map(|name| Some((name, form.boolean(name)?))).collect();
        for (name, value) in values {
            if value != self.setting(cx, name) {
                self.set_setting(cx, name, BOOLEAN, String::from(if value { "1" } else { "0" }));
            }
        }
        self.keep_rooms(cx);
        cx.complete(iq, session, None, Some((false, "Your settings are stored.".to_owned())));
    }
}

impl Gateway {
    /// A command for which the asker's registration does not matter: it is for admins, or cannot be run by anybody.
    /// `false` if it is none of those.
    pub(super) fn admin_command(&mut self, from: &Jid, iq: &Element) -> bool {
        let Some(command) = iq.find("command", ns::COMMANDS) else { return false };
        let known = Command::of_node(command.attr("node").unwrap_or_default());
        match (xep_0050::Request::read(command), known) {
            // XEP-0050 §4.1: a command is executed by a set.
            _ if iq.attr("type") != Some("set") => {
                self.cx.refuse(iq, ErrorType::Cancel, Condition::NotAllowed, "");
            }
            (Err(fault), _) => self.cx.refuse_command(iq, fault, "There is no such action"),
            (Ok(_), None) => {
                self.cx.refuse(iq, ErrorType::Cancel, Condition::ItemNotFound, "There is no such command");
            }
            (Ok(_), Some(Command::Settings)) => return false,
            (Ok(_), Some(_)) if !self.cx.is_admin(&from.to_bare()) => {
                let text = "Only administrators of the gateway may do this";
                self.cx.refuse(iq, ErrorType::Auth, Condition::Forbidden, text);
            }
            (Ok(request), Some(command)) => {
                if let Some(step) = self.cx.step(from, iq, request) {
                    self.admin_step(from, iq, command, step);
                }
            }
        }
        true
    }

    fn admin_step(&mut self, from: &Jid, iq: &Element, command: Command, step: Step) {
        let Step { session, form } = step;
        match (command, form) {
            (Command::RegisteredNumber, _) => {
                let number = self.cx.registered.to_string();
                let form = result_form()
                    .field(Field::new(FieldType::TextSingle, "registeredusersnum").value(number));
                self.cx.complete(iq, &session, Some(form), None);
            }
            (Command::OnlineNumber, _) => {
                let number = self.status().online.to_string();
                let form =
                    result_form().field(Field::new(FieldType::TextSingle, "onlineusersnum").value(number));
                self.cx.complete(iq, &session, Some(form), None);
            }
            (command, None) => {
                let form = question(command);
                self.cx.ask_by_form(from, iq, &session, form);
            }
            (command, Some(form)) => {
                let requests = match requests(command, &form) {
                    Ok(requests) => requests,
                    Err(text) => return self.cx.refuse_command(iq, Fault::BadPayload, text),
                };
                self.cx.commands.open.remove(&session);
                let longest = form.value("max_items").and_then(|length| length.trim().parse().ok());
                let job = Job {
                    iq: without_form(iq),
                    command,
                    session,
                    requests: requests.into(),
                    problems: Vec::new(),
                    longest: longest.unwrap_or(LONGEST_LIST).min(LONGEST_LIST),
                };
                self.go_on(job);
            }
        }
    }

    /// Goes on with the commands of which a part was done.
    pub(super) fn go_on_with_jobs(&mut self) {
        while let Some((mut job, outcome)) = self.cx.jobs.pop_front() {
            match outcome {
                Ok(Answer::Users(lines)) => {
                    let field = match job.command {
                        Command::OnlineList => "onlineuserjids",
                        _ => "registereduserjids",
                    };
                    let mut listed: Vec<String> = lines
                        .iter()
                        .filter(|line| job.command != Command::OnlineList || line.state == State::Online)
                        .map(|line| line.jid.to_string())
                        .collect();
                    let all = listed.len();
                    listed.truncate(job.longest);
                    let note = (listed.len() < all)
                        .then(|| (false, format!("These are {} of {all} users.", listed.len())));
                    let field = Field { values: listed, ..Field::new(FieldType::JidMulti, field) };
                    self.cx.complete(&job.iq, &job.session, Some(result_form().field(field)), note);
                    continue;
                }
                Ok(_) => {}
                Err(refusal) => job.problems.push(format!("{refusal}.")),
            }
            self.go_on(job);
        }
    }

    fn go_on(&mut self, mut job: Job) {
        if let Some(request) = job.requests.pop_front() {
            return self.admin(Asker::AdHoc(Box::new(job)), request);
        }
        let note = match job.problems.as_slice() {
            [] => (false, "Done.".to_owned()),
            problems => (true, problems.join("\n")),
        };
        self.cx.complete(&job.iq, &job.session, None, Some(note));
    }
}

/// As much of a request as its answer takes: what was filled in may be a password.
fn without_form(iq: &Element) -> Element {
    let mut request = Element::new("iq", ns::CLIENT);
    for name in ["type", "from", "to", "id"] {
        if let Some(value) = iq.attr(name) {
            request.set_attr(name, value);
        }
    }
    request.child(Element::new("command", ns::COMMANDS).with("node", node_of(iq)))
}

fn result_form() -> Form {
    Form::new(FormType::Result).field(Field::hidden("FORM_TYPE", ns::ADMIN))
}

/// The form of an admin's command (XEP-0133 §4).
fn question(command: Command) -> Form {
    let form = Form::new(FormType::Form).field(Field::hidden("FORM_TYPE", ns::ADMIN));
    match command {
        Command::AddUser => form
            .title("Register a user with the transport")
            .field(Field::new(FieldType::JidSingle, "accountjid").label("XMPP address").required())
            // Ours: XEP-0133 knows of no second account.
            .field(
                Field::new(FieldType::TextSingle, "legacy_name")
                    .label("Name on the other network")
                    .required(),
            )
            .field(Field::new(FieldType::TextPrivate, "password").label("Password on the other network"))
            .field(Field::new(FieldType::TextPrivate, "password-verify").label("The same password again")),
        Command::DeleteUser => form
            .title("Unregister users from the transport")
            .field(Field::new(FieldType::JidMulti, "accountjids").label("XMPP addresses").required()),
        Command::EndUserSession => form
            .title("Log users out of the other network")
            .field(Field::new(FieldType::JidMulti, "accountjids").label("XMPP addresses").required()),
        Command::RegisteredList | Command::OnlineList => {
            let field = Field::new(FieldType::ListSingle, "max_items").label("Longest list").value("25");
            form.title("List users")
                .field(LENGTHS.iter().fold(field, |field, length| field.option(None, *length)))
        }
        Command::Settings | Command::RegisteredNumber | Command::OnlineNumber => form,
    }
}

/// What an admin's form asks for, or what is wrong with it.
fn requests(command: Command, form: &Form) -> Result<Vec<Request>, &'static str> {
    // XEP-0068 §3: without it the form is taken for ours.
    if form.value("FORM_TYPE").is_some_and(|form_type| form_type != ns::ADMIN) {
        return Err("The form belongs to something else");
    }
    match command {
        Command::AddUser => {
            let jid = form.value("accountjid").and_then(|jid| BareJid::new(jid.trim()).ok());
            let jid = jid.ok_or("The XMPP address is not one")?;
            let legacy_name = form.value("legacy_name").map(str::trim).filter(|name| !name.is_empty());
            let legacy_name = legacy_name.ok_or("The name on the other network is missing")?.to_owned();
            let password = form.value("password").unwrap_or_default();
            if form.value("password-verify").is_some_and(|again| again != password) {
                return Err("The passwords differ");
            }
            let password = Secret::new(password.to_owned());
            Ok(vec![Request::RegisterUser(jid, Account { legacy_name, password, language: String::new() })])
        }
        Command::DeleteUser => Ok(users(form)?.into_iter().map(Request::UnregisterUser).collect()),
        Command::EndUserSession => Ok(users(form)?.into_iter().map(Request::LogOutUser).collect()),
        Command::RegisteredList | Command::OnlineList
            if form.value("max_items").is_some_and(|length| !is_length(length.trim())) =>
        {
            Err("The longest list is neither a number nor none")
        }
        Command::RegisteredList => Ok(vec![Request::ListUsers { online: false }]),
        Command::OnlineList => Ok(vec![Request::ListUsers { online: true }]),
        Command::Settings | Command::RegisteredNumber | Command::OnlineNumber => Ok(Vec::new()),
    }
}

/// Any number will do, not only those that can be chosen.
fn is_length(text: &str) -> bool {
    text.is_empty() || text == "none" || text.parse::<usize>().is_ok()
}

fn users(form: &Form) -> Result<Vec<BareJid>, &'static str> {
    let field = form.fields.iter().find(|field| field.var == "accountjids");
    let values = field.map(|field| field.values.as_slice()).unwrap_or_default();
    if values.is_empty() {
        return Err("The XMPP addresses are missing");
    }
    if values.len() > USERS {
        return Err("These are more than 20 users");
    }
    // XEP-0133 §4.4 also lets full JIDs be given; a session here is that of all clients.
    let mut users = Vec::with_capacity(values.len());
    for jid in values {
        let jid = Jid::new(jid.trim()).map_err(|_| "An XMPP address is not one")?.to_bare();
        if !users.contains(&jid) {
            users.push(jid);
        }
    }
    Ok(users)
}
