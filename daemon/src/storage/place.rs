//! Where a database is: opening its file with the right mode, and saying what is wrong there and what to do.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use tracing::warn;

use super::{Error, OpenError};

/// How long another process may hold the file locked before a request fails. Spectrum 2 waits 1.5 s; ours waits on a
/// thread of its own, so it can afford more.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens (or creates) the file as ourselves first: the system's own error says more than SQLite's, and the mode is right
/// from the beginning.
pub(super) fn claim_file(path: &Path) -> Result<(), OpenError> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            file_error(
                &format!("The directory {} of the database cannot be created", directory.display()),
                &error,
            )
        })?;
    }
    // SQLite's own modes for -wal and -shm follow those of the file.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            let owner = fs::metadata(path).map_or_else(
                |_| String::new(),
                |data| format!(" (of uid {}, mode {:o})", data.uid(), data.mode() & 0o7777),
            );
            file_error(&format!("The database {}{owner} cannot be opened", path.display()), &error)
        })?;
    if let Ok(data) = file.metadata()
        && data.mode() & 0o007 != 0
    {
        warn!(
            "The database {0} holds passwords and may be read by everybody on this machine: chmod o= {0}",
            path.display()
        );
    }
    Ok(())
}

fn file_error(what: &str, error: &io::Error) -> OpenError {
    let uid = nix::unistd::geteuid();
    match error.kind() {
        ErrorKind::PermissionDenied => OpenError::NotPermitted(format!(
            "{what}: permission denied for uid {uid}. Give it to that user with chown, or set database.database to a \
             place where that user may write."
        )),
        ErrorKind::ReadOnlyFilesystem => OpenError::NotPermitted(format!(
            "{what}: the file system is read-only here. Set database.database to a place that may be written, or allow \
             it with ReadWritePaths= in the unit."
        )),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            OpenError::Unavailable(format!("{what}: the disk is full. Free some space."))
        }
        _ => OpenError::Configuration(format!("{what}: {error}. Look at database.database.")),
    }
}

/// Which database, for error texts.
pub(super) enum Place {
    File(PathBuf),
    Memory,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "The database {}", path.display()),
            Self::Memory => f.write_str("The database in memory"),
        }
    }
}

impl Place {
    pub fn error(&self, error: &rusqlite::Error) -> Error {
        Error(format!("{self} {}", self.explain(error)))
    }

    pub fn open_error(&self, error: &rusqlite::Error) -> OpenError {
        let text = format!("{self} {}", self.explain(error));
        if matches!(error, rusqlite::Error::SqlInputError { .. }) {
            return OpenError::Configuration(text);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                OpenError::NotPermitted(text)
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Configuration(text),
            _ => OpenError::Unavailable(text),
        }
    }

    /// The rest of a sentence that starts with the name: what is wrong, then what to do.
    fn explain(&self, error: &rusqlite::Error) -> String {
        let file = match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory => String::new(),
        };
        if let rusqlite::Error::SqlInputError { msg, .. } = error {
            return format!(
                "does not have Spectrum 2's tables ({msg}). Set database.database to another path, or restore a backup."
            );
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => format!(
                "is locked by another process for more than {} s. 'fuser {file}' names it; try again when it has ended.",
                BUSY_TIMEOUT.as_secs()
            ),
            Some(ErrorCode::DiskFull) => "cannot grow: the disk is full. Free some space.".to_owned(),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => format!(
                "may not be written ({error}). The file and its directory must be writable for uid {}.",
                nix::unistd::geteuid()
            ),
            Some(ErrorCode::CannotOpen) => format!(
                "cannot be opened ({error}). The directory must be writable for uid {}: SQLite keeps files beside it.",
                nix::unistd::geteuid()
            ),
            Some(ErrorCode::DatabaseCorrupt) => format!(
                "is damaged ({error}). Restore a backup, or save what can be read: sqlite3 {file} .recover > saved.sql"
            ),
            Some(ErrorCode::NotADatabase) => {
                "is not an SQLite file. Set database.database to another path, or move that file away."
                    .to_owned()
            }
            Some(ErrorCode::SystemIoFailure) => {
                format!("cannot be read or written ({error}). The kernel's log says more about the disk.")
            }
            _ if matches!(error, rusqlite::Error::QueryReturnedNoRows) => {
                "has no such user any more; nothing was stored.".to_owned()
            }
            _ => format!("refused: {error}."),
        }
    }
}
