//! Where secrets come from besides the transport file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// A password is short; whoever names a log file or a device by mistake shall get an error at once.
const LARGEST: u64 = 64 * 1024;

/// Something that can be asked for secrets. [`System`] is the real one.
pub trait SecretSource {
    /// The systemd credential of that name, `None` when the unit passes none.
    ///
    /// # Errors
    /// The credential is there but cannot be read.
    fn credential(&self, name: &str) -> io::Result<Option<Secret>>;

    /// The file of the credential of that name, `None` when the unit passes none: for what is no text.
    fn credential_file(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    /// The content of a file without the newline at its end.
    ///
    /// # Errors
    /// The file cannot be read, is no text, or is larger than 64 KiB.
    fn file(&self, path: &Path) -> io::Result<Secret>;
}

/// The credentials that systemd passes to the unit, and the files of the machine.
#[derive(Clone, Debug, Default)]
pub struct System {
    credentials: Option<PathBuf>,
}

impl System {
    /// Credentials from `$CREDENTIALS_DIRECTORY`, when there is one.
    #[must_use]
    pub fn from_env() -> Self {
        Self { credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    /// Credentials from that directory.
    #[must_use]
    pub const fn with_credentials(directory: PathBuf) -> Self {
        Self { credentials: Some(directory) }
    }
}

impl SecretSource for System {
    fn credential(&self, name: &str) -> io::Result<Option<Secret>> {
        let Some(directory) = &self.credentials else { return Ok(None) };
        match self.file(&directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    fn credential_file(&self, name: &str) -> Option<PathBuf> {
        let file = self.credentials.as_ref()?.join(name);
        file.exists().then_some(file)
    }

    fn file(&self, path: &Path) -> io::Result<Secret> {
        let mut text = String::new();
        File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 KiB"));
        }
        let length = text.trim_end_matches(['\n', '\r']).len();
        text.truncate(length);
        Ok(Secret::new(text))
    }
}

/// A machine without any secret, for tests and fuzzing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl SecretSource for NoSecrets {
    fn credential(&self, _: &str) -> io::Result<Option<Secret>> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_needs_credentials() {
        assert_eq!(System::default().credential("component-password").unwrap(), None);
        let system = System::with_credentials("/nonexistent".into());
        assert_eq!(system.credential("component-password").unwrap(), None);
    }
}
