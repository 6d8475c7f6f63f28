//! A copy of a transport file for the user that runs backends.
//!
//! Backends need the file, but a plugin that is taken over must learn neither the component secret nor how to get at the
//! users' database. Lines keep their numbers, so what a backend says about a line is true of the original, too.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use spectrum2_config::{Config, Kind, OPTIONS, Place};

/// Words in the names of unknown options that may hold a secret, such as a misspelt `pasword`.
const SUSPICIOUS: [&str; 5] = ["pass", "pasw", "secret", "key", "token"];

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[error("{what} {} cannot be {verb}: {cause}. It is to be done by root, before the backends of the transport start.", .path.display())]
pub struct Error {
    what: &'static str,
    verb: &'static str,
    path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

/// Writes the copy, readable for the group that its directory gives it. Readers see the old copy or the whole new one.
/// Gives whether there was an old one which said something else to backends.
///
/// # Errors
/// The file cannot be read, or the copy cannot be written.
pub fn write(config: &Path, output: &Path) -> Result<bool, Error> {
    let text = fs::read(config).map_err(|cause| Error {
        what: "The transport file",
        verb: "read",
        path: config.to_owned(),
        cause,
    })?;
    let copy = without_secrets(&String::from_utf8_lossy(&text));
    let before = fs::read_to_string(output).ok();
    replace(output, &copy).map_err(|cause| Error {
        what: "The copy for backends",
        verb: "written",
        path: output.to_owned(),
        cause,
    })?;
    Ok(before.is_some_and(|before| differ_for_backends(&before, &copy)))
}

/// Whether a backend that has read one of these copies should read the other.
fn differ_for_backends(one: &str, other: &str) -> bool {
    let (one, other) = (Config::outline(one, Path::new("")), Config::outline(other, Path::new("")));
    let unknown = |config: &Config| -> Vec<_> {
        config.unknown.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    };
    one.purple != other.purple
        || unknown(&one) != unknown(&other)
        || one.changes(&other).any(|option| option.places.contains(&Place::Backend))
}

fn replace(output: &Path, text: &str) -> io::Result<()> {
    let mut draft = output.as_os_str().to_owned();
    draft.push(format!(".{}", process::id()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o640)))
        .and_then(|()| fs::rename(&draft, output));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Empties lines that hold what backends need not know, and comments: an old password is often kept in one.
fn without_secrets(text: &str) -> String {
    let mut section = String::new();
    let mut copy = String::with_capacity(text.len());
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            name.trim().clone_into(&mut section);
            copy.push_str(&format!("[{section}]"));
        } else if let Some((key, _)) = line.split_once('=')
            && is_for_backends(&section, key.trim())
        {
            copy.push_str(line);
        }
        copy.push('\n');
    }
    copy
}

/// Whether backends need this option of the section, or of `section.key` if `section` is empty.
pub(crate) fn is_for_backends(section: &str, key: &str) -> bool {
    // A line before any section can name it itself.
    let (section, key) =
        if section.is_empty() { key.split_once('.').unwrap_or(("", key)) } else { (section, key) };
    if key.starts_with(['#', ';']) {
        return false;
    }
    // What [purple] holds is for libpurple and nobody else, also an API key.
    if section == "purple" {
        return true;
    }
    let known = OPTIONS
        .iter()
        .find(|option| option.section == section && (option.key == key || option.alias == Some(key)));
    match known {
        Some(option) => option.kind != Kind::Secret || option.places.contains(&Place::Backend),
        None => {
            let name = key.to_ascii_lowercase();
            !SUSPICIOUS.iter().any(|word| name.contains(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_backends_do_not_read_is_no_news_to_them() {
        let differ = |one: &str, other: &str| {
            let of = |text: &str| format!("[service]\njid=irc.example.org\n{text}");
            differ_for_backends(&of(one), &of(other))
        };
        assert!(!differ("", "users_per_backend=1\n"));
        assert!(!differ("[registration]\nlanguage=en\n", "[registration]\nlanguage=de\n"));
        assert!(differ("verify_certs=1\n", "verify_certs=0\n"));
        assert!(differ("[purple]\nport=6667\n", "[purple]\nport=6668\n"));
        assert!(differ("", "[telegram]\nserver=example.net\n"));
        assert!(differ("protocol=prpl-irc\n", "protocol=prpl-jabber\n"));
    }

    #[test]
    fn only_what_backends_need_is_left_and_lines_keep_their_place() {
        let original = "\u{feff}\
            service.password = early\n\
            [service] # all of it\n\
            jid = icq.example.org # ours\n\
            password=secret\n\
            # password=old-secret\n\
            \tpasword = typo\n\
            users_per_backend=1\n\
            [ database ]\n\
            type = mysql\n\
            password = db\n\
            connectionstring=password=db\n\
            encryption_key=hanzzik\n\
            [proxy]\n\
            password=for-backends\n\
            [purple]\n\
            api_key=for-libpurple\n\
            [telegram]\n\
            server=example.net\n";
        assert_eq!(
            without_secrets(original),
            "\n\
            [service]\n\
            jid = icq.example.org # ours\n\
            \n\
            \n\
            \n\
            users_per_backend=1\n\
            [database]\n\
            type = mysql\n\
            \n\
            \n\
            \n\
            [proxy]\n\
            password=for-backends\n\
            [purple]\n\
            api_key=for-libpurple\n\
            [telegram]\n\
            server=example.net\n"
        );
    }

    #[test]
    fn no_secret_of_the_daemon_is_forgotten() {
        for option in OPTIONS.iter().filter(|option| option.kind == Kind::Secret) {
            let file = format!("[{}]\n{}=hidden\n", option.section, option.key);
            let shown = without_secrets(&file).contains("hidden");
            assert_eq!(shown, option.places.contains(&Place::Backend), "{}", option.name);
        }
    }

    #[test]
    fn the_copy_is_for_its_group() {
        let directory = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let (config, output) = (directory.join("icq.cfg"), directory.join("copy.cfg"));
        fs::write(&config, "[service]\njid=a.b\npassword=x\n").unwrap();
        for _ in 0..2 {
            write(&config, &output).unwrap();
            assert_eq!(fs::read_to_string(&output).unwrap(), "[service]\njid=a.b\n\n");
            assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o640);
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        let error = write(&directory.join("irc.cfg"), &output).unwrap_err();
        assert!(
            error.to_string().starts_with("The transport file ") && error.to_string().contains("irc.cfg")
        );
        fs::remove_dir_all(directory).unwrap();
    }
}
