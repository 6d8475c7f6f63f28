//! Exit statuses (sysexits.h). The unit does not restart on those that a restart cannot mend.

use std::process::{ExitCode, Termination};

use crate::storage::OpenError;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[must_use]
pub enum Exit {
    /// It was asked to stop, or has done what it was asked for.
    Ok = 0,
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// Something that is needed is not there now (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A fault of this program (`EX_SOFTWARE`).
    Software = 70,
    /// The system does not allow it (`EX_NOPERM`).
    NotPermitted = 77,
    /// The configuration cannot work (`EX_CONFIG`).
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

impl From<&OpenError> for Exit {
    fn from(error: &OpenError) -> Self {
        match error {
            OpenError::Configuration(_) => Self::Config,
            OpenError::NotPermitted(_) => Self::NotPermitted,
            OpenError::Unavailable(_) => Self::Unavailable,
        }
    }
}
