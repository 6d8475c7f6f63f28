//! What only the file system can tell about a transport file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::{Group, User, getegid, geteuid, getgroups};

use crate::checks::Finding;
use crate::problem::{ExitKind, Problem, Problems, Severity};
use crate::table::Config;

/// No transport file is that large; a log or a device that was named by mistake is.
const LARGEST: u64 = 1024 * 1024;

/// Reads a transport file.
///
/// # Errors
/// It cannot be read, is larger than 1 MiB, or has a line that is not UTF-8 and no comment.
pub fn read(path: &Path) -> Result<String, Problems> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > LARGEST {
        let text = "The file is larger than 1 MiB. Name a transport file.".to_owned();
        return Err(Problems { list: vec![about_file(path, None, text)], exit: ExitKind::Configuration });
    }
    let list: Vec<Problem> = lines_of_another_encoding(&bytes)
        .map(|line| {
            let text = "The line is not UTF-8. Save the file in this encoding.".to_owned();
            about_file(path, Some(line), text)
        })
        .collect();
    if !list.is_empty() {
        return Err(Problems { list, exit: ExitKind::Configuration });
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The lines that are neither UTF-8 nor comments: in those, no harm is done.
fn lines_of_another_encoding(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| std::str::from_utf8(line).is_err() && !line.trim_ascii_start().starts_with(b"#"))
        .map(|(index, _)| index + 1)
}

fn unreadable(path: &Path, error: &io::Error) -> Problems {
    let (exit, next) = match error.kind() {
        io::ErrorKind::NotFound => (ExitKind::Configuration, "Create it, or correct the name."),
        io::ErrorKind::PermissionDenied => {
            (ExitKind::NotPermitted, "Give the user of the transport the right to read it.")
        }
        _ => (ExitKind::Configuration, "Name a transport file."),
    };
    let text = format!("The file cannot be read: {error}. {next}");
    Problems { list: vec![about_file(path, None, text)], exit }
}

fn about_file(path: &Path, line: Option<usize>, text: String) -> Problem {
    Problem { severity: Severity::Error, file: Some(path.to_owned()), line, key: None, text }
}

/// Checks that the files exist which options name.
pub fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let service = &config.service;
    for (key, file) in [("service.cert", &service.cert), ("service.cert_key", &service.cert_key)] {
        if service.server_mode && missing(file) {
            findings.push(Finding::error(
                key,
                format!("{} does not exist. Create it, or correct the name.", file.display()),
            ));
        }
    }
    let logging = &config.logging;
    for (key, file) in
        [("logging.config", &logging.config), ("logging.backend_config", &logging.backend_config)]
    {
        if missing(file) {
            // COMPAT(Spectrum 2): it goes on, too.
            let text = format!("{} does not exist, so it is ignored. Create or remove it.", file.display());
            findings.push(Finding::warning(key, text));
        }
    }
    let backend = config.service.backend.split_whitespace().next().unwrap_or_default();
    // Our own one is found wherever it is installed.
    let ours =
        matches!(backend.rsplit('/').next(), Some("spectrum2_libpurple_backend" | "libpurple_backend"));
    if !ours && !backend.contains(['"', '\'', '\\']) && missing(Path::new(backend)) {
        findings.push(Finding::warning(
            "service.backend",
            format!("{backend} does not exist, so nobody will be able to log in. Install the backend, or correct the name."),
        ));
    }
    findings
}

fn missing(path: &Path) -> bool {
    !path.as_os_str().is_empty()
        && fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

impl Config {
    /// The files with secrets that everybody on the machine can read or change, each with what mends it. Credentials of
    /// systemd are not among them: it guards those itself.
    #[must_use]
    pub fn exposed_secrets(&self) -> Vec<Problem> {
        let exposed = self.secret_files.iter().filter_map(|file| Some((file, exposure(file)?)));
        exposed
            .map(|(file, exposure)| Problem {
                severity: Severity::Error,
                file: Some(file.clone()),
                line: None,
                key: None,
                text: format!(
                    "Everybody on this machine can {exposure}, and secrets are in it, so the transport does not start. \
                     Run: {}",
                    self.closing(file)
                ),
            })
            .collect()
    }

    /// The command that leaves a file to root and to those who must read it.
    fn closing(&self, file: &Path) -> String {
        let file = shell_word(file);
        match self.readers() {
            Some(group) => format!("chown root:{group} {file} && chmod 640 {file}"),
            None => format!("chmod 600 {file}"),
        }
    }

    /// The group that must read the file; none if it is only for its owner, or for root.
    fn readers(&self) -> Option<String> {
        let service = &self.service;
        if !service.group.is_empty() {
            return Some(service.group.clone());
        }
        if !service.user.is_empty() {
            let user = User::from_name(&service.user).ok().flatten();
            let group = user.and_then(|user| Group::from_gid(user.gid).ok().flatten());
            return Some(group.map_or_else(|| service.user.clone(), |group| group.name));
        }
        // Whom the unit runs as. Somebody else's own daemon has no part in that group.
        let ours = Group::from_name(UNITS_GROUP).ok().flatten()?;
        let is_in = geteuid().is_root()
            || getegid() == ours.gid
            || getgroups().is_ok_and(|all| all.contains(&ours.gid));
        is_in.then_some(ours.name)
    }
}

/// The group of the units that packages install.
const UNITS_GROUP: &str = "spectrum";

/// What everybody can do with the file, the directories above it considered.
fn exposure(file: &Path) -> Option<&'static str> {
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o002;
    const OTHERS_PASS: u32 = 0o001;
    let mode = |path: &Path| fs::metadata(path).map(|data| data.permissions().mode()).unwrap_or_default();
    // Where it really is: a link in an open directory may lead to a closed one.
    let file = fs::canonicalize(file).ok()?;
    let is_open = file.ancestors().skip(1).all(|directory| mode(directory) & OTHERS_PASS != 0);
    match mode(&file) {
        _ if !is_open => None,
        mode if mode & OTHERS_READ != 0 => Some("read this file"),
        mode if mode & OTHERS_WRITE != 0 => Some("change this file"),
        _ => None,
    }
}

/// A path as one word for a shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%,:=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_one_word() {
        assert_eq!(
            shell_word(Path::new("/etc/spectrum2/transports/irc.cfg")),
            "/etc/spectrum2/transports/irc.cfg"
        );
        assert_eq!(shell_word(Path::new("/srv/it's here; rm")), "'/srv/it'\\''s here; rm'");
    }

    #[test]
    fn only_comments_may_have_another_encoding() {
        let text = b"# f\xfcr\njid=a\n name=f\xfcr\n  # sch\xf6n";
        assert_eq!(lines_of_another_encoding(text).collect::<Vec<_>>(), [3]);
    }
}
