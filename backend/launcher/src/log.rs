//! Log lines on standard error, as journald wants them: a priority in front when the journal reads them.
//!
//! Never given the contents of a frame.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

/// Priorities of syslog(3).
#[derive(Debug, Clone, Copy)]
pub enum Priority {
    /// Something does not work until somebody does something.
    Error = 3,
    /// Something went wrong and was dealt with.
    Warning = 4,
    /// What happens.
    Info = 6,
}

/// Writes one line.
pub fn write(priority: Priority, message: fmt::Arguments<'_>) {
    static JOURNAL: OnceLock<bool> = OnceLock::new();
    // systemd.exec(5): JOURNAL_STREAM is set when standard error goes to the journal.
    let journal = *JOURNAL.get_or_init(|| std::env::var_os("JOURNAL_STREAM").is_some());
    // A line break in a text from outside would start a new entry.
    let message = message.to_string().replace('\n', " ");
    let line =
        if journal { format!("<{}>{message}\n", priority as u8) } else { format!("launcher: {message}\n") };
    // Nobody is left to tell when standard error is closed.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Logs what needs an administrator.
macro_rules! error {
    ($($message:tt)*) => { $crate::log::write($crate::log::Priority::Error, format_args!($($message)*)) };
}

/// Logs what went wrong and was dealt with.
macro_rules! warning {
    ($($message:tt)*) => { $crate::log::write($crate::log::Priority::Warning, format_args!($($message)*)) };
}

/// Logs what happens.
macro_rules! info {
    ($($message:tt)*) => { $crate::log::write($crate::log::Priority::Info, format_args!($($message)*)) };
}

pub(crate) use {error, info, warning};
