//! Entries to a checked configuration.
//!
//! Guarantees that one pass finds all problems of a file, each with its line, and that nothing but the given
//! [`SecretSource`] is read.

use std::collections::HashMap;
use std::path::Path;

use crate::checks::Finding;
use crate::option::{Kind, OptionInfo};
use crate::problem::{ExitKind, Problem, Problems, Severity};
use crate::secret::Secret;
use crate::source::SecretSource;
use crate::suggestion;
use crate::syntax::{self, Entry, Syntax};
use crate::table::{Config, OPTIONS, RETIRED};
use crate::value::DatabaseKind;
use crate::{checks, secrets};

/// What the command line says about a transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `-j JID`: takes the place of `service.jid`.
    pub jid: Option<String>,
    /// `--section.key=value`: take the place of what the file says; a list may be given several times.
    pub values: Vec<(String, String)>,
}

/// A configuration with all that was noticed about it.
pub struct Reading {
    pub config: Config,
    pub problems: Vec<Problem>,
    /// Where Spectrum 2 would have understood something else.
    pub differences: Vec<Problem>,
    /// Where each option was given.
    places: HashMap<String, Place>,
    /// Options whose values were refused.
    unusable: Vec<&'static str>,
}

/// Where an option was given.
struct Place {
    /// The line; `None` is the command line.
    line: Option<usize>,
    /// The name that was used: that of the option or its other spelling.
    name: String,
}

/// One `name = value`, from the command line or from a file.
struct Statement {
    line: Option<usize>,
    name: String,
    value: String,
    spectrum2: Option<String>,
}

/// Reads a transport file and checks it.
pub fn read(text: &str, path: &Path, overrides: &Overrides, source: &dyn SecretSource) -> Reading {
    let config = Config { file: path.to_owned(), ..Config::default() };
    let mut reading = Reading {
        config,
        problems: Vec::new(),
        differences: Vec::new(),
        places: HashMap::new(),
        unusable: Vec::new(),
    };

    let syntax = syntax::read(text);
    for error in &syntax.errors {
        reading.note(error.severity, Some(error.number), None, error.text.to_owned());
    }
    let statements = statements(syntax, overrides);
    let jid = jid(&statements, overrides);
    reading.set_derived_defaults(&jid);
    for statement in statements {
        reading.apply(statement, &jid);
    }
    if overrides.jid.is_some() {
        reading.places.insert("service.jid".to_owned(), Place { line: None, name: "service.jid".to_owned() });
    }
    reading.config.service.jid = jid;
    reading.set_database_of_server();
    secrets::fill(&mut reading, source);
    let findings = checks::check(&reading.config, &|name| reading.places.contains_key(name));
    reading.add(findings);
    if overrides.jid.is_none() {
        let findings = checks::vhosts(&reading.config);
        reading.add(findings);
    }
    reading
}

/// All statements that count: those of the command line, and those of the file that they leave alone.
fn statements(syntax: Syntax, overrides: &Overrides) -> Vec<Statement> {
    let mut statements: Vec<Statement> = overrides
        .values
        .iter()
        .map(|(name, value)| Statement {
            line: None,
            name: name.clone(),
            value: value.trim().to_owned(),
            spectrum2: None,
        })
        .collect();
    let overridden: Vec<String> = statements.iter().map(|statement| canonical(&statement.name)).collect();
    statements.extend(
        syntax.lines.into_iter().filter(|line| !overridden.contains(&canonical(&line.name))).map(|line| {
            Statement {
                line: Some(line.number),
                name: line.name,
                value: line.value,
                spectrum2: line.spectrum2,
            }
        }),
    );
    statements
}

/// The JID of the transport, which also takes the place of `$jid` in all other options.
fn jid(statements: &[Statement], overrides: &Overrides) -> String {
    let given = statements.iter().find(|statement| statement.name == "service.jid");
    overrides.jid.as_ref().or(given.map(|statement| &statement.value)).cloned().unwrap_or_default()
}

/// The option with that name or other spelling.
fn find(name: &str) -> Option<&'static OptionInfo> {
    OPTIONS.iter().find(|option| option.name == name || option.alias_name().as_deref() == Some(name))
}

/// The key of a libpurple option. COMPAT(Spectrum 2): it ignores the letter case of this section.
fn purple_key(name: &str) -> Option<&str> {
    let (section, key) = name.split_once('.')?;
    section.eq_ignore_ascii_case("purple").then_some(key)
}

/// One name for all spellings of an option.
fn canonical(name: &str) -> String {
    match (find(name), purple_key(name)) {
        (Some(option), _) => option.name.to_owned(),
        (None, Some(key)) => format!("purple.{key}"),
        (None, None) => name.to_owned(),
    }
}

impl Reading {
    /// Puts the problem where the option was given.
    pub fn add(&mut self, findings: Vec<Finding>) {
        for Finding { severity, key, text } in findings {
            // What follows from a value that cannot be used says nothing more.
            if severity == Severity::Error && self.unusable.contains(&key) {
                continue;
            }
            match self.places.get(key) {
                Some(place) => self.note(severity, place.line, Some(place.name.clone()), text),
                None => self.problems.push(Problem {
                    severity,
                    file: Some(self.config.file.clone()),
                    line: None,
                    key: Some(key.to_owned()),
                    text,
                }),
            }
        }
    }

    /// The configuration with its warnings, if there is no error.
    pub fn finish(mut self) -> Result<(Config, Vec<Problem>), Problems> {
        self.problems.sort_by_key(Problem::order);
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(Problems { list: self.problems, exit: ExitKind::Configuration });
        }
        Ok((self.config, self.problems))
    }

    fn note(&mut self, severity: Severity, line: Option<usize>, key: Option<String>, text: String) {
        self.problems.push(self.problem(severity, line, key, text));
    }

    fn problem(&self, severity: Severity, line: Option<usize>, key: Option<String>, text: String) -> Problem {
        // Without line and without key, it is about the file as a whole.
        let from_file = line.is_some() || key.is_none();
        Problem { severity, file: from_file.then(|| self.config.file.clone()), line, key, text }
    }

    fn set_derived_defaults(&mut self, jid: &str) {
        for option in OPTIONS.iter().filter(|option| option.default.contains("$jid")) {
            (option.set)(&mut self.config, &option.default.replace("$jid", jid))
                .expect("only texts and paths have $jid in their defaults");
        }
    }

    /// A server for clients keeps nothing that the legacy network does not keep, so it needs no database unless one is
    /// asked for.
    fn set_database_of_server(&mut self) {
        let asked_for = self.places.keys().any(|name| name.starts_with("database."));
        if self.config.service.server_mode && !asked_for {
            self.config.database.kind = DatabaseKind::None;
        }
    }

    fn apply(&mut self, statement: Statement, jid: &str) {
        let retired = RETIRED.iter().find(|(name, _)| *name == statement.name);
        if let Some(option) = find(&statement.name) {
            self.apply_option(option, &statement, jid);
        } else if let Some((_, reason)) = retired {
            let text = format!("This option has no effect: {reason}. Remove it.");
            self.note(Severity::Warning, statement.line, Some(statement.name), text);
        } else if let Some(key) = purple_key(&statement.name) {
            let key = key.to_owned();
            self.apply_purple(key, statement);
        } else {
            self.apply_unknown(statement);
        }
    }

    fn apply_option(&mut self, option: &'static OptionInfo, statement: &Statement, jid: &str) {
        if option.kind != Kind::List && !self.is_first(option, statement) {
            return;
        }
        let place = Place { line: statement.line, name: statement.name.clone() };
        self.places.entry(option.name.to_owned()).or_insert(place);

        let value = statement.value.replace("$jid", jid);
        if let Err(text) = (option.set)(&mut self.config, &value) {
            self.unusable.push(option.name);
            self.note(Severity::Error, statement.line, Some(statement.name.clone()), text);
        }
        if option.kind == Kind::Secret && statement.line.is_some() && !value.is_empty() {
            self.add_secret_file();
        }
        if let Some(text) = checks::about_value(option, &value) {
            self.note(Severity::Warning, statement.line, Some(statement.name.clone()), text);
        }
        if let Some(text) = checks::difference(option, &statement.value, statement.spectrum2.as_deref()) {
            let name = Some(statement.name.clone());
            self.differences.push(self.problem(Severity::Warning, statement.line, name, text));
        }
    }

    /// Whether the option has no value yet that goes before this one.
    fn is_first(&mut self, option: &OptionInfo, statement: &Statement) -> bool {
        let Some(first) = self.places.get(option.name) else { return true };
        let there = first.describe();
        if first.name == statement.name {
            let text = format!("It is given a second time, first {there}. Remove one of the two.");
            self.note(Severity::Error, statement.line, Some(statement.name.clone()), text);
            return false;
        }
        // COMPAT(Spectrum 2): it read the other spelling only, so that one wins wherever it stands.
        let wins = statement.name == option.name;
        let (line, name) =
            if wins { (first.line, first.name.clone()) } else { (statement.line, statement.name.clone()) };
        let text = format!("It is ignored, because {} is given as well. Remove one of the two.", option.name);
        self.note(Severity::Warning, line, Some(name), text);
        if wins {
            self.places.remove(option.name);
        }
        wins
    }

    fn apply_purple(&mut self, key: String, statement: Statement) {
        let name = format!("purple.{key}");
        if let Some(first) = self.places.get(&name) {
            let text =
                format!("It is given a second time, first {}. Remove one of the two.", first.describe());
            self.note(Severity::Error, statement.line, Some(statement.name), text);
            return;
        }
        if let Some(text) = checks::difference_in_comment(&statement.value, statement.spectrum2.as_deref()) {
            let name = Some(statement.name.clone());
            self.differences.push(self.problem(Severity::Warning, statement.line, name, text));
        }
        self.places.insert(name, Place { line: statement.line, name: statement.name });
        self.config.purple.push((key, statement.value));
    }

    fn apply_unknown(&mut self, statement: Statement) {
        let next = suggestion::closest(&statement.name).map_or_else(
            || "Correct or remove it.".to_owned(),
            |option| format!("Did you mean {}?", option.name),
        );
        let text = format!("There is no such option. {next}");
        // A file may be older or newer than this program; who types a command can be asked to type it right.
        let severity = if statement.line.is_some() { Severity::Warning } else { Severity::Error };
        self.note(severity, statement.line, Some(statement.name.clone()), text);
        let value = Secret::new(statement.value);
        self.config.unknown.push(Entry { name: statement.name, value, line: statement.line });
    }

    fn add_secret_file(&mut self) {
        if !self.config.secret_files.contains(&self.config.file) {
            self.config.secret_files.push(self.config.file.clone());
        }
    }
}

impl Place {
    fn describe(&self) -> String {
        self.line.map_or_else(|| "on the command line".to_owned(), |line| format!("in line {line}"))
    }
}
