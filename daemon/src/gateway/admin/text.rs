//! Spectrum 2's admin interface: lines of words in, text out.
//!
//! Scripts (the Munin plugin, the old web pages) read the answers, so names, order of columns, misspellings and errors
//! are those of Spectrum 2. COMPAT(Spectrum 2): all of this module.

use std::fmt::Write;

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_config::{Config, Secret};

use super::{Account, Answer, Asker, Memory, Outcome, Reader, Refusal, Request, Right};
use crate::gateway::Gateway;
use crate::gateway::pool::Stage;
use crate::gateway::session::Session;

/// Categories, in the order in which `help` shows them.
const CATEGORIES: [&str; 5] = ["General", "Users", "Messages", "Backends", "Memory"];

/// A name that can be typed.
struct Word {
    name: &'static str,
    category: &'static str,
    about: &'static str,
    kind: Kind,
}

/// What stands behind a name.
enum Kind {
    /// A value.
    Variable(fn(&Gateway) -> String),
    /// Something to be done.
    Command {
        label: &'static str,
        /// Anybody may do it to himself, as the old web pages let users; here only admins ask at all.
        for_users: bool,
        /// The first argument is the user that it is about, and not declared.
        user_context: bool,
        arguments: &'static [Argument],
    },
}

/// An argument of a command.
struct Argument {
    name: &'static str,
    /// Some can be configured.
    label: fn(&Config) -> &str,
    example: &'static str,
    kind: &'static str,
}

const fn variable(
    name: &'static str,
    category: &'static str,
    about: &'static str,
    value: fn(&Gateway) -> String,
) -> Word {
    Word { name, category, about, kind: Kind::Variable(value) }
}

const fn command(
    name: &'static str,
    category: &'static str,
    about: &'static str,
    label: &'static str,
    arguments: &'static [Argument],
) -> Word {
    let kind = Kind::Command { label, for_users: false, user_context: false, arguments };
    Word { name, category, about, kind }
}

/// All names, sorted.
static WORDS: [Word; 21] = [
    command(
        "args",
        "General",
        "Arguments of a command",
        "Command's arguments",
        &[Argument { name: "command", label: |_| "Command", example: "register", kind: "string" }],
    ),
    variable(
        "average_memory_per_user",
        "Memory",
        "Memory in KB that backends took for each user",
        |gateway| gateway.average_memory().to_string(),
    ),
    variable("backends_count", "Backends", "Backends that are connected", |gateway| {
        gateway.open_backends().to_string()
    }),
    command("commands", "General", "All commands, for programs", "Available commands", &[]),
    variable("crashed_backends", "Backends", "Process ids of backends that crashed", |gateway| {
        gateway.cx.crashed.iter().fold(String::new(), |text, pid| text + &pid.to_string() + "\n")
    }),
    variable("crashed_backends_count", "Backends", "Backends that crashed", |gateway| {
        gateway.cx.counters.crashed_backends.to_string()
    }),
    command(
        "has_online_user",
        "Users",
        "Whether a user is online: 1 or 0",
        "Has online user",
        &[Argument { name: "username", label: |_| "Username", example: "user@domain.tld", kind: "string" }],
    ),
    command("help", "General", "This text", "Help", &[]),
    variable("messages_from_xmpp", "Messages", "Messages that XMPP users sent", |gateway| {
        gateway.cx.counters.from_xmpp.to_string()
    }),
    variable("messages_to_xmpp", "Messages", "Messages that XMPP users were sent", |gateway| {
        gateway.cx.counters.to_xmpp.to_string()
    }),
    command("online_users", "Users", "Users who are online", "Online users", &[]),
    variable("online_users_count", "Users", "How many users are online", |gateway| {
        gateway.status().online.to_string()
    }),
    Word {
        name: "register",
        category: "Users",
        about: "Registers a user",
        kind: Kind::Command {
            label: "Register",
            for_users: true,
            user_context: false,
            arguments: &[
                Argument { name: "username", label: |_| "Jabber ID", example: "", kind: "string" },
                Argument {
                    name: "legacy_username",
                    label: |config| &config.registration.username_label,
                    example: "",
                    kind: "string",
                },
                Argument {
                    name: "legacy_password",
                    label: |config| &config.registration.password_label,
                    example: "",
                    kind: "password",
                },
            ],
        },
    },
    command("reload", "General", "Reads the transport file again", "Reload Spectrum 2 configuration", &[]),
    variable("res_memory", "Memory", "Resident memory of daemon and backends in KB", |gateway| {
        gateway.memory().resident.to_string()
    }),
    variable("shr_memory", "Memory", "Shared memory of daemon and backends in KB", |gateway| {
        gateway.memory().shared.to_string()
    }),
    variable("status", "General", "Whether the transport runs, and for how many", |gateway| {
        let (users, backends) = (gateway.status().online, gateway.open_backends());
        format!("Running ({users} users connected using {backends} backends)")
    }),
    Word {
        name: "unregister",
        category: "Users",
        about: "Unregisters a user",
        kind: Kind::Command { label: "Unregister", for_users: true, user_context: true, arguments: &[] },
    },
    variable("uptime", "General", "Seconds since the start", |gateway| {
        (gateway.cx.now.since(gateway.cx.started) / 1_000).to_string()
    }),
    variable("used_memory", "Memory", "Resident memory that is not shared, in KB", |gateway| {
        let Memory { resident, shared } = gateway.memory();
        resident.saturating_sub(shared).to_string()
    }),
    command("variables", "General", "All variables, for programs", "Available variables", &[]),
];

/// A command whose answer takes time, and so how the outcome is put in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// `register`.
    Register,
    /// `unregister` of this user.
    Unregister(BareJid),
    /// `reload`.
    Reload,
}

impl Question {
    /// The answer in words.
    pub fn answer(&self, outcome: &Outcome) -> String {
        match (self, outcome) {
            (Self::Register, Ok(_)) => "User registered".to_owned(),
            (Self::Register, Err(Refusal::UserExists(_))) => "Error: User is already registered".to_owned(),
            (Self::Unregister(jid), Ok(_)) => format!("User '{jid}' unregistered."),
            (Self::Reload, Ok(Answer::Reloaded(waiting))) if !waiting.is_empty() => {
                format!("Config reloaded; restart the transport for {}", waiting.join(", "))
            }
            (Self::Reload, Ok(_)) => "Config reloaded".to_owned(),
            (_, Err(refusal)) => format!("Error: {refusal}."),
        }
    }
}

/// What it takes to run a line.
pub fn right(line: &str) -> Right {
    match line.split_ascii_whitespace().next() {
        Some("register" | "unregister") => Right::ManageUsers,
        Some("reload") => Right::ManageTransport,
        _ => Right::Inspect,
    }
}

impl Gateway {
    /// Carries out a line of the admin interface, and answers it.
    pub(in crate::gateway) fn text_command(&mut self, reader: Reader, line: &str) {
        match self.command_line(line) {
            Line::Answer(text) => self.cx.say(reader, text),
            Line::Ask(question, request) => self.admin(Asker::Text(question, reader), request),
        }
    }

    fn command_line(&self, line: &str) -> Line {
        // Cut as in `right`: a line must not do what was not asked for.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (verb, words) = match words.as_slice() {
            [verb @ ("get" | "set"), rest @ ..] => (Some(*verb), rest),
            rest => (None, rest),
        };
        let Some((name, arguments)) = words.split_first() else {
            return error("Unknown variable or command");
        };
        let Some(word) = WORDS.iter().find(|word| word.name == *name) else {
            return error("Unknown variable or command");
        };
        match (&word.kind, verb) {
            (Kind::Variable(_), Some("set")) if arguments.is_empty() => error("Value is missing."),
            (_, Some("set")) => error("This variable cannot be set."),
            (Kind::Variable(value), _) => Line::Answer(value(self)),
            (Kind::Command { .. }, Some(_)) => error("This variable cannot be get."),
            (Kind::Command { arguments: declared, user_context, .. }, None) => {
                let needed = declared.len() + usize::from(*user_context);
                match arguments.len() {
                    0 if *user_context => error("No username given."),
                    given if given < needed => error("Argument is missing."),
                    given if given > needed => error("Too many arguments."),
                    _ => self.execute(word.name, arguments),
                }
            }
        }
    }

    /// Carries out a command that has all its arguments.
    fn execute(&self, name: &str, arguments: &[&str]) -> Line {
        match (name, arguments) {
            ("args", [command]) => args(&self.cx.config, command),
            ("commands", []) => Line::Answer(commands()),
            ("has_online_user", [user]) => {
                let user = BareJid::new(user).ok().and_then(|jid| self.users.get(&jid));
                Line::Answer(u8::from(user.and_then(|user| user.online()).is_some()).to_string())
            }
            ("help", []) => Line::Answer(help()),
            ("online_users", []) => Line::Answer(self.online_users()),
            ("register", [user, legacy_name, password]) => match BareJid::new(user) {
                Ok(jid) => {
                    let account = Account {
                        legacy_name: (*legacy_name).to_owned(),
                        password: Secret::new((*password).to_owned()),
                        language: String::new(),
                    };
                    Line::Ask(Question::Register, Request::RegisterUser(jid, account))
                }
                Err(_) => error("The username is not a bare JID."),
            },
            ("reload", []) => Line::Ask(Question::Reload, Request::Reload),
            ("unregister", [user]) => match BareJid::new(user) {
                Ok(jid) => Line::Ask(Question::Unregister(jid.clone()), Request::UnregisterUser(jid)),
                Err(_) => error("The username is not a bare JID."),
            },
            ("variables", []) => Line::Answer(self.variables()),
            _ => error("Unknown variable or command"),
        }
    }

    fn online_users(&self) -> String {
        let mut lines: Vec<String> = self
            .users
            .values()
            .filter(|user| matches!(user.session, Session::Online(_)))
            .filter_map(|user| user.line())
            .map(|line| format!("{} UIN: {}\n", line.jid, line.legacy_name))
            .collect();
        lines.sort();
        lines.concat()
    }

    fn variables(&self) -> String {
        let mut text = String::new();
        for word in &WORDS {
            if let Kind::Variable(value) = &word.kind {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "{} - \"{}\" Value: \"{}\" Read-only: true Category: {} AccesMode: Admin Context: Global",
                    word.name,
                    word.about,
                    value(self),
                    word.category
                );
            }
        }
        text
    }

    fn open_backends(&self) -> usize {
        self.cx.pool.iter().filter(|(_, backend)| backend.stage != Stage::Opening).count()
    }

    /// Of daemon and backends.
    fn memory(&self) -> Memory {
        self.cx.pool.iter().fold(self.cx.memory, |sum, (_, backend)| Memory {
            resident: sum.resident + backend.memory.resident,
            shared: sum.shared + backend.memory.shared,
        })
    }

    /// By how much backends grew since their start, for each user who is online.
    fn average_memory(&self) -> u64 {
        let grown = |(_, backend): (_, &super::super::pool::Backend)| {
            backend.memory.resident.saturating_sub(backend.initial_memory)
        };
        let users = u64::try_from(self.status().online).unwrap_or(u64::MAX);
        self.cx.pool.iter().map(grown).sum::<u64>().checked_div(users).unwrap_or(0)
    }
}

/// What a line leads to.
enum Line {
    /// The answer is known.
    Answer(String),
    /// It takes a request.
    Ask(Question, Request),
}

fn error(text: &str) -> Line {
    Line::Answer(format!("Error: {text}"))
}

fn help() -> String {
    let mut text = String::new();
    for category in CATEGORIES {
        let _ = writeln!(text, "{category}:");
        for word in WORDS.iter().filter(|word| word.category == category) {
            let kind = match word.kind {
                Kind::Variable(_) => "VAR",
                Kind::Command { .. } => "CMD",
            };
            let _ = writeln!(text, "   {kind}   {} - {}", word.name, word.about);
        }
    }
    text
}

fn commands() -> String {
    let mut text = String::new();
    for word in &WORDS {
        if let Kind::Command { label, for_users, user_context, .. } = &word.kind {
            let _ = writeln!(
                text,
                "{} - \"{}\" Category: {} AccesMode: {} Context: {} Label: \"{label}\"",
                word.name,
                word.about,
                word.category,
                if *for_users { "User" } else { "Admin" },
                if *user_context { "User" } else { "Global" },
            );
        }
    }
    text
}

fn args(config: &Config, command: &str) -> Line {
    let kind = WORDS.iter().find(|word| word.name == command).map(|word| &word.kind);
    let Some(Kind::Command { arguments, .. }) = kind else {
        return error("This is not a command.");
    };
    let mut text = String::new();
    for Argument { name, label, example, kind } in *arguments {
        // Quotes are what the label is told by.
        let label = label(config).replace('"', "'");
        let _ = writeln!(text, "{name} - \"{label}\" Example: \"{example}\" Type: \"{kind}\"");
    }
    Line::Answer(text)
}
