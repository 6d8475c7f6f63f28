//! How a command ends: exit status, and a sentence for whoever typed it.

use std::fmt;
use std::process::ExitCode;

/// How the program ends; the worse of two is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use]
pub enum Exit {
    /// All is well.
    Ok,
    /// A transport is stopped, or it runs but has no XMPP server. Spectrum 2 had the same number.
    NotRunning,
    /// What was asked for failed.
    Failed,
    /// A transport file is wrong (`EX_CONFIG`).
    Config,
    /// Something that is needed is not there: the bus, systemd, the transport (`EX_UNAVAILABLE`).
    Unavailable,
    /// It takes more rights, as of systemctl(1).
    NotPermitted,
    /// The command line is wrong (`EX_USAGE`).
    Usage,
}

impl Exit {
    /// The exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::NotRunning => 3,
            Self::NotPermitted => 4,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// What kind it is.
    pub exit: Exit,
    /// Cause, place and next step.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    /// [`Exit::Failed`].
    pub fn failed(text: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, text: text.into() }
    }

    /// [`Exit::Unavailable`].
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, text: text.into() }
    }

    /// [`Exit::Usage`].
    pub fn usage(text: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, text: text.into() }
    }

    /// The same about one of several transports.
    #[must_use]
    pub fn about(self, transport: impl fmt::Display) -> Self {
        Self { text: format!("{transport}: {}", self.text), ..self }
    }
}

/// What a file operation failed with.
#[must_use]
pub fn io_failure(what: impl fmt::Display, error: &std::io::Error) -> Failure {
    let exit = match error.kind() {
        std::io::ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    let next = if exit == Exit::NotPermitted { " Run the command as root." } else { "" };
    Failure { exit, text: format!("{what}: {error}.{next}") }
}
