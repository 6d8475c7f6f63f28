//! Where log messages go: the journal, with fields and message ids, and the files that Spectrum 2 writes.
//!
//! Spectrum 2 is told by log4j properties files (`logging.config`, `logging.backend_config`) what to log and where;
//! [`log4j`] reads the same files and writes the same log files. [`journal`] speaks the journal's own protocol, and
//! [`message_id`] is the one table of what an admin must act on.
//!
//! Nothing here panics or ends the process: what is not understood is a warning, and a file that cannot be written is
//! said once and tried again.

mod appender;
mod date;
mod filter;
pub mod journal;
mod layout;
pub mod log4j;
pub mod message_id;
mod properties;

use std::fmt;
use std::time::SystemTime;

/// How important a message is, as log4j has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Step by step.
    Trace,
    /// Why it happens.
    Debug,
    /// What happens.
    Info,
    /// Something went wrong and was dealt with.
    Warn,
    /// Something does not work until somebody does something.
    Error,
}

impl Level {
    /// Priority of syslog(3).
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug | Self::Trace => 7,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was logged.
    pub time: SystemTime,
    /// How important it is.
    pub level: Level,
    /// The name of its logger, with dots between the parts.
    pub logger: String,
    /// The text, on one line.
    pub message: String,
    /// What it is about: names and values.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// A message that is logged now. Text from outside cannot begin a line of its own.
    #[must_use]
    pub fn now(level: Level, logger: &str, message: &str) -> Self {
        Self {
            time: SystemTime::now(),
            level,
            logger: logger.to_owned(),
            message: one_line(message),
            fields: Vec::new(),
        }
    }
}

impl Record {
    /// A line for people: the message, with the time before it where nobody else puts it there.
    #[must_use]
    pub fn as_line(&self, has_time: bool) -> String {
        let pattern = if has_time { "%d %m%n" } else { "%m%n" };
        layout::Layout::read(pattern).0.write(self)
    }
}

/// The text with blanks in place of line breaks and other control characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod testing {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// An empty directory, removed at the end.
    pub struct Directory(PathBuf);

    impl Directory {
        pub fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("spectrum2-log-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        pub fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
