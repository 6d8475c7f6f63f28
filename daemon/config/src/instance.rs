//! Instances: one transport file, one name, one set of systemd units.
//!
//! Guarantees that a name can stand in a unit name, a path and a socket address without any escaping, so that
//! `%i` of the units, the stem of the file and the name of the socket are always the same text.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Directory of the transport files.
pub const CONFIG_DIRECTORY: &str = "/etc/spectrum2/transports";

/// Directory of the sockets at which the daemons ask for backends.
pub const BACKEND_DIRECTORY: &str = "/run/spectrum2-backend";

/// Longest name, in bytes: leaves room in a unit name (255) and in the path of a socket (107).
pub const LONGEST_NAME: usize = 64;

/// The name of a transport under systemd, as in `spectrum2@NAME.service`: lower-case letters, digits, `_` and
/// `.`, no dot at the start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(String);

/// Why a text is no [`Instance`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// There is no text.
    #[error("The name of a transport is empty. Use the name of its file without .cfg.")]
    Empty,
    /// It has more than [`LONGEST_NAME`] bytes.
    #[error("The name of a transport is longer than 64 characters. Give its file a shorter name.")]
    TooLong,
    /// The file would be hidden.
    #[error("“{0}” begins with a dot. Give the transport file a name without.")]
    Hidden(String),
    /// systemd or D-Bus would have to escape it.
    #[error("“{name}” has a “{character}”. Name the transport file with a-z, 0-9, “_” and “.” only.")]
    Character {
        /// The text.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The path does not end in `.cfg`, or is not UTF-8.
    #[error("{} is not the name of a transport file. Name it NAME.cfg.", .0.display())]
    NoTransportFile(PathBuf),
}

impl Instance {
    /// The name that belongs to a transport file, which is its stem.
    ///
    /// # Errors
    /// The file is not called `NAME.cfg` with a valid name. It can be loaded nevertheless.
    pub fn of_file(file: &Path) -> Result<Self, InstanceError> {
        file.file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".cfg"))
            .ok_or_else(|| InstanceError::NoTransportFile(file.to_owned()))?
            .parse()
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The transport file in that directory, which is normally [`CONFIG_DIRECTORY`].
    #[must_use]
    pub fn file(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.cfg", self.0))
    }

    /// The socket at which the daemon asks for backends.
    #[must_use]
    pub fn backend_socket(&self) -> PathBuf {
        Path::new(BACKEND_DIRECTORY).join(format!("{}.sock", self.0))
    }
}

impl FromStr for Instance {
    type Err = InstanceError;

    fn from_str(name: &str) -> Result<Self, InstanceError> {
        if name.is_empty() {
            return Err(InstanceError::Empty);
        }
        if name.len() > LONGEST_NAME {
            return Err(InstanceError::TooLong);
        }
        if name.starts_with('.') {
            return Err(InstanceError::Hidden(name.to_owned()));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
        match name.chars().find(|c| !allowed(*c)) {
            Some(character) => Err(InstanceError::Character { name: name.to_owned(), character }),
            None => Ok(Self(name.to_owned())),
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_file_and_socket_belong_together() {
        let instance = Instance::of_file(Path::new("/etc/spectrum2/transports/icq.cfg")).unwrap();
        assert_eq!(instance.as_str(), "icq");
        assert_eq!(
            instance.file(Path::new(CONFIG_DIRECTORY)),
            Path::new("/etc/spectrum2/transports/icq.cfg")
        );
        assert_eq!(instance.backend_socket(), Path::new("/run/spectrum2-backend/icq.sock"));
    }

    #[test]
    fn names_need_no_escaping() {
        for good in ["icq", "irc.example.org", "a_1", "0", &"a".repeat(64)] {
            assert_eq!(good.parse::<Instance>().map(|instance| instance.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", ".icq", "ICQ", "a-b", "a/b", "a@b", "a b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<Instance>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_cfg_files_are_transport_files() {
        for bad in ["icq", "/etc/spectrum2/logging.conf", ".cfg", "/", "ICQ.cfg", "icq.cfg~"] {
            assert!(Instance::of_file(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
