//! Log lines on standard error, with the priority that journald understands. Never given what people write.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;
const DEBUG: u8 = 7;

static LEVEL: AtomicU8 = AtomicU8::new(INFO);

/// Chooses what is logged: lines up to this priority of syslog(3).
pub fn set_level(priority: u8) {
    LEVEL.store(priority, Ordering::Relaxed);
}

/// Something does not work until somebody does something.
pub fn error(message: fmt::Arguments<'_>) {
    write(ERROR, message);
}

/// Something went wrong and was dealt with.
pub fn warning(message: fmt::Arguments<'_>) {
    write(WARNING, message);
}

/// What happens.
pub fn info(message: fmt::Arguments<'_>) {
    write(INFO, message);
}

/// Why it happens.
pub fn debug(message: fmt::Arguments<'_>) {
    write(DEBUG, message);
}

fn write(priority: u8, message: fmt::Arguments<'_>) {
    static JOURNAL: OnceLock<bool> = OnceLock::new();
    if priority > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    // systemd.exec(5): JOURNAL_STREAM is set when standard error goes to the journal.
    let journal = *JOURNAL.get_or_init(|| std::env::var_os("JOURNAL_STREAM").is_some());
    // A line break in a text from outside would start a new entry.
    let message = message.to_string().replace('\n', " ");
    let process = std::process::id();
    let line = if journal {
        format!("<{priority}>{message}\n")
    } else {
        format!("libpurple[{process}]: {message}\n")
    };
    // Nobody is left to tell when standard error is closed.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
