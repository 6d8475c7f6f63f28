//! What is wrong with a transport file.
//!
//! Guarantees that a problem names its place, its cause and the next step, and no secret.

use std::fmt;
use std::path::PathBuf;

/// Whether a transport can run with a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but perhaps not as intended.
    Warning,
}

/// One thing that is wrong with a transport file or with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file; `None` for the command line.
    pub file: Option<PathBuf>,
    /// The line in it, counted from 1, when one line is to blame.
    pub line: Option<usize>,
    /// The option, as section and key, when one is to blame.
    pub key: Option<String>,
    /// Cause and next step.
    pub text: String,
}

impl Problem {
    /// Sorts by place: the command line, then the lines of the file, then the file as a whole.
    pub(crate) fn order(&self) -> (bool, bool, Option<usize>) {
        (self.file.is_some(), self.line.is_none(), self.line)
    }
}

impl fmt::Display for Problem {
    /// `/etc/spectrum2/transports/icq.cfg:12: service.prot: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("command line")?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// How a program that met problems ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// All is well, or there are only warnings.
    Ok,
    /// A file may not be read by this user.
    NotPermitted,
    /// The configuration is wrong.
    Configuration,
}

impl ExitKind {
    /// The exit status, as `sysexits.h` has it; the units do not restart on 77 and 78.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NotPermitted => 77,
            Self::Configuration => 78,
        }
    }
}

/// All that is wrong with one transport file, in the order of its lines. At least one is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    pub(crate) list: Vec<Problem>,
    pub(crate) exit: ExitKind,
}

impl Problems {
    /// The problems, errors and warnings.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How a program that cannot go on without the file ends.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        self.exit
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let end_of_line = if index == 0 { "" } else { "\n" };
            write!(f, "{end_of_line}{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_compiler_message() {
        let mut problem = Problem {
            severity: Severity::Error,
            file: Some("/etc/spectrum2/transports/icq.cfg".into()),
            line: Some(12),
            key: Some("service.prot".into()),
            text: "There is no such option.".into(),
        };
        assert_eq!(
            problem.to_string(),
            "/etc/spectrum2/transports/icq.cfg:12: service.prot: There is no such option."
        );
        problem.line = None;
        problem.file = None;
        assert_eq!(problem.to_string(), "command line: service.prot: There is no such option.");
    }
}
