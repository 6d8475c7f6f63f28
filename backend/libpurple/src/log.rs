//! Log messages: to the journal with fields, or as lines on standard error; and to the files of `logging.backend_config`.
//! Never given what people write.
//!
//! The files have levels of their own. They are opened by each process for itself, with its own number in their names.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spectrum2_log::journal::Journal;
use spectrum2_log::log4j::{self, Log, Variables};
use spectrum2_log::{Level, Record, message_id, one_line};

/// COMPAT(Spectrum 2): the logger of its backend's own messages.
const OURS: &str = "backend";
/// And that of libpurple's.
const LIBRARY: &str = "libpurple";

static SINKS: Mutex<Sinks> = Mutex::new(Sinks { debug: false, files: None });
/// None before it is needed. The zygote's is its children's, too: journald sees who sends.
static JOURNAL: Mutex<Option<Option<Journal>>> = Mutex::new(None);

struct Sinks {
    /// Whether what helps to find errors goes to the journal as well.
    debug: bool,
    files: Option<Log>,
}

fn journal() -> MutexGuard<'static, Option<Option<Journal>>> {
    JOURNAL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sinks() -> MutexGuard<'static, Sinks> {
    SINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says whose backend this is in all messages to the journal that follow, and whether debugging messages go there.
pub fn start(transport: &str, network: &str, debug: bool) {
    let fields = [("transport", transport), ("network", network)];
    *journal() = Some(Journal::of_stderr("spectrum2_libpurple_backend", &fields));
    sinks().debug = debug;
}

/// What the properties file `config` of Spectrum 2 says, if one is named: looked at before any process serves. Tells what
/// is wrong with it, and gives whether libpurple's messages go to a file.
pub fn look_at(config: &Path, jid: &str) -> bool {
    if config.as_os_str().is_empty() {
        return false;
    }
    match log4j::read(config, &variables(jid, "")) {
        Ok((settings, problems)) => {
            for problem in problems {
                warning(format_args!("logging.backend_config {}: {problem}", config.display()));
            }
            settings.wants(LIBRARY, Level::Info)
        }
        Err(error) => {
            warning(format_args!(
                "logging.backend_config {} cannot be read: {error}. Nothing is logged to files; the user of the \
                 backends must be able to read it.",
                config.display()
            ));
            false
        }
    }
}

/// Opens the files that the properties file `config` names for the backend process with this number.
pub fn open_files(config: &Path, jid: &str, id: &str) {
    // What is wrong with it was said before.
    let Ok((settings, _)) = log4j::read(config, &variables(jid, id)) else { return };
    // Standard error is where Spectrum 2's console is.
    let mut files = settings.without_console().into_log();
    let problems = files.open_files();
    sinks().files = Some(files);
    problems.iter().for_each(|problem| complain(problem));
}

fn variables(jid: &str, id: &str) -> Variables {
    Variables { jid: jid.to_owned(), id: id.to_owned(), pid: std::process::id().to_string() }
}

/// Something does not work until somebody does something.
pub fn error(message: fmt::Arguments<'_>) {
    write(Level::Error, None, message);
}

/// As [`error`], with the message id by which the journal's catalog explains it.
pub fn error_with_id(message_id: &str, message: fmt::Arguments<'_>) {
    write(Level::Error, Some(message_id), message);
}

/// Something went wrong and was dealt with.
pub fn warning(message: fmt::Arguments<'_>) {
    write(Level::Warn, None, message);
}

/// What happens.
pub fn info(message: fmt::Arguments<'_>) {
    write(Level::Info, None, message);
}

/// Why it happens.
pub fn debug(message: fmt::Arguments<'_>) {
    write(Level::Debug, None, message);
}

/// What libpurple and its plugins say of themselves.
pub fn library(message: fmt::Arguments<'_>) {
    let message = message.to_string();
    show(Level::Debug, None, &format!("{LIBRARY}: {message}"));
    // COMPAT(Spectrum 2): in its files they are of this level.
    to_files(Level::Info, LIBRARY, &message);
}

fn write(level: Level, message_id: Option<&str>, message: fmt::Arguments<'_>) {
    let message = message.to_string();
    show(level, message_id, &message);
    to_files(level, OURS, &message);
}

/// To the journal or to standard error.
fn show(level: Level, message_id: Option<&str>, message: &str) {
    if level < Level::Info && !sinks().debug {
        return;
    }
    match journal().get_or_insert_with(|| Journal::of_stderr("spectrum2_libpurple_backend", &[])) {
        Some(journal) => {
            let process = ("backend".to_owned(), std::process::id().to_string());
            journal.send(level, message, message_id, &[process]);
        }
        None => {
            let message = one_line(message);
            // sd-daemon(3): with a priority, for whoever passes it on to the journal.
            let line = match std::env::var_os("JOURNAL_STREAM") {
                Some(_) => format!("<{}>{message}\n", level.priority()),
                None => format!("libpurple[{}]: {message}\n", std::process::id()),
            };
            // Nobody is left to tell when standard error is closed.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }
}

fn to_files(level: Level, logger: &str, message: &str) {
    let problems = match &mut sinks().files {
        Some(files) => files.write(&Record::now(level, logger, message)),
        None => return,
    };
    problems.iter().for_each(|problem| complain(problem));
}

/// About a log file, and so not to the log files.
fn complain(problem: &str) {
    show(Level::Error, Some(message_id::LOG_FILE_UNWRITABLE), problem);
}
