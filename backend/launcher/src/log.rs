//! Log messages: to the journal with fields, or as lines on standard error.
//!
//! Never given the contents of a frame.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

pub use spectrum2_log::Level;
use spectrum2_log::journal::Journal;
use spectrum2_log::one_line;

static JOURNAL: OnceLock<Option<Journal>> = OnceLock::new();

/// Says whose backends these are in all messages to the journal that follow. A second call changes nothing.
pub fn start(transport: &str, network: &str) {
    let fields = [("transport", transport), ("network", network)];
    let _ = JOURNAL.set(Journal::of_stderr("spectrum2_backend_launcher", &fields));
}

/// Writes one message.
pub fn write(level: Level, message_id: Option<&str>, message: fmt::Arguments<'_>) {
    let journal = JOURNAL.get_or_init(|| Journal::of_stderr("spectrum2_backend_launcher", &[]));
    match journal {
        Some(journal) => journal.send(level, &message.to_string(), message_id, &[]),
        None => {
            let message = one_line(&message.to_string());
            // sd-daemon(3): with a priority, for whoever passes it on to the journal.
            let line = match std::env::var_os("JOURNAL_STREAM") {
                Some(_) => format!("<{}>{message}\n", level.priority()),
                None => format!("launcher: {message}\n"),
            };
            // Nobody is left to tell when standard error is closed.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }
}

/// Logs what needs an administrator, with `id:` and its message id if the catalog explains it.
macro_rules! error {
    (id: $id:expr, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::Error, Some($id), format_args!($($message)*))
    };
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Error, None, format_args!($($message)*)) };
}

/// Logs what went wrong and was dealt with.
macro_rules! warning {
    (id: $id:expr, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::Warn, Some($id), format_args!($($message)*))
    };
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Warn, None, format_args!($($message)*)) };
}

/// Logs what happens.
macro_rules! info {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Info, None, format_args!($($message)*)) };
}

pub(crate) use {error, info, warning};
