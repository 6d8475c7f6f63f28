//! What only the file system can tell about a transport file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
    /// Warns about files with secrets that everybody on the machine can read. Credentials of systemd are not
    /// among them: it guards those itself.
    #[must_use]
    pub fn exposed_secrets(&self) -> Vec<Problem> {
        const OTHERS_READ: u32 = 0o004;
        let service = &self.service;
        let group = [&service.group, &service.user].into_iter().find(|name| !name.is_empty());
        let group = group.map_or("spectrum", String::as_str);
        self.secret_files
            .iter()
            .filter(|file| fs::metadata(file).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0))
            .map(|file| Problem {
                severity: Severity::Warning,
                file: Some(file.clone()),
                line: None,
                key: None,
                text: format!(
                    "Everybody on this machine can read the secrets in this file. \
                     Run: chown root:{group} {file} && chmod 640 {file}",
                    file = file.display()
                ),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_may_have_another_encoding() {
        let text = b"# f\xfcr\njid=a\n name=f\xfcr\n  # sch\xf6n";
        assert_eq!(lines_of_another_encoding(text).collect::<Vec<_>>(), [3]);
    }
}
