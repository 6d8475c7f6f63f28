//! What the launcher needs of a transport file.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use spectrum2_config::{Config, ExitKind, Overrides, Secret, SecretSource};

/// What the launcher needs of a transport file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the transport: the stem of its file.
    pub name: String,
    /// JID of the transport.
    pub jid: String,
    /// The file, as an absolute path.
    pub file: PathBuf,
    /// `service.backend`.
    pub backend: String,
    /// `service.protocol`, or what else tells transports apart.
    pub protocol: String,
    /// Where backends start: `service.working_dir` if we may enter it, else our own state directory.
    pub directory: PathBuf,
    /// Arguments that change what the file says, passed on as they are.
    pub overrides: Vec<String>,
}

/// Why there are no settings, and the exit status that follows from it.
#[derive(Debug)]
pub struct Failure {
    /// One problem a line.
    pub text: String,
    /// As in sysexits.h.
    pub status: u8,
}

impl Settings {
    /// Reads a transport file. Secrets in it, or missing from it, are no concern of ours.
    ///
    /// # Errors
    /// The file cannot be read, or has errors.
    pub fn load(file: &Path, overrides: &Overrides, arguments: Vec<String>) -> Result<Self, Failure> {
        let unreadable = |error| unreadable(file, &error);
        let file = std::path::absolute(file).map_err(unreadable)?;
        let bytes = fs::read(&file).map_err(unreadable)?;
        let text = String::from_utf8_lossy(&bytes);
        let (config, _) = Config::parse(&text, &file, overrides, &OthersSecrets).map_err(|problems| {
            Failure { text: problems.to_string(), status: problems.exit_kind().code() }
        })?;
        Ok(Self {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            jid: config.service.jid,
            backend: config.service.backend,
            protocol: config.service.protocol,
            directory: directory(config.service.working_dir),
            overrides: arguments,
            file,
        })
    }
}

/// Stands in for every secret: the daemon's secrets are not for the user that runs backends, and their absence is
/// nothing to complain about here.
struct OthersSecrets;

impl SecretSource for OthersSecrets {
    fn credential(&self, _: &str) -> io::Result<Option<Secret>> {
        Ok(Some(Secret::new("not for us".to_owned())))
    }

    fn credential_file(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(name))
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Ok(Secret::new("not for us".to_owned()))
    }
}

fn directory(working_dir: PathBuf) -> PathBuf {
    // systemd.exec(5): StateDirectory= is announced in this variable.
    let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let mut candidates = [Some(working_dir), state].into_iter().flatten();
    candidates.find(|path| access(path, AccessFlags::X_OK).is_ok()).unwrap_or_else(|| PathBuf::from("/"))
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let (exit, next) = match error.kind() {
        ErrorKind::PermissionDenied => {
            (ExitKind::NotPermitted, "Give the user of the launcher the right to read it.")
        }
        _ => (ExitKind::Configuration, "Create it, or correct the name."),
    };
    Failure {
        text: format!("{}: The file cannot be read: {error}. {next}", file.display()),
        status: exit.code(),
    }
}
