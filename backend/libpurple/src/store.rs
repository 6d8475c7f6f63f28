//! What a plugin keeps in the settings of an account: tokens, device ids, keys. Losing them loses a pairing.
//!
//! Each account has a directory of its own below `accounts` in the transport's state directory, named by a hash of
//! protocol, legacy name and user. What this module guarantees:
//!
//! * One process at a time has an account: its directory is locked while it is in use.
//! * A file is replaced whole or not at all, and is on the disk when [`Store::save`] returns.
//! * What Spectrum 2 left in `accounts.xml` is taken over at the first login, and that file is never written.
//!
//! Files that plugins write themselves are another matter: libpurple's user directory is the transport's state
//! directory, in every process and as in Spectrum 2. Plugins name such files by account, or keep a database that takes
//! care of its locks, so they are found in whichever process an account lands; libpurple's own files, which each process
//! would write over, are not written at all ([`crate::purple::start`]).

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha1::{Digest, Sha1};

use crate::purple::{SettingValue, read_accounts_file};

/// First line of the file.
const HEADER: &str = "spectrum2 account settings 1";
/// Largest file that is read: a settings file or picture that is larger is none of ours.
const LARGEST: u64 = 16 * 1024 * 1024;
/// What Spectrum 2 put among a plugin's settings: settings of the gateway, and what is set at each login anyway.
const NOT_THE_PLUGINS: [&str; 9] = [
    "enable_transport",
    "send_headlines",
    "stay_connected",
    "bookmarks",
    "buddy_icon",
    "buddy_icon_timestamp",
    "custom_smileys",
    "direct_connect",
    "compat-verification",
];

/// What is kept of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Settings.
    pub settings: BTreeMap<String, SettingValue>,
    /// The user's profile in the plugin's own form; empty if none.
    pub profile: String,
}

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it, for a moment or for long.
    #[error("The account is still in use by another process of this transport")]
    InUse,
    /// The directory cannot be used.
    #[error("{path} cannot be used: {source}. Check service.working_dir and its rights")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The directory of one account, locked.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// What is on the disk.
    saved: Saved,
    _lock: Flock<File>,
}

impl Store {
    /// Opens and locks the directory of an account, and reads what is in it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made.
    pub fn open(state: &Path, protocol: &str, name: &str, user: &str) -> Result<Self, StoreError> {
        let key = Sha1::digest(format!("{protocol}\0{name}\0{user}"));
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = state.join("accounts").join(key);
        let failed = |source| StoreError::Directory { path: directory.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
        let lock = create(&directory.join("lock")).map_err(failed)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            nix::errno::Errno::EAGAIN => StoreError::InUse,
            error => failed(error.into()),
        })?;
        let saved = match read(&directory.join("settings")) {
            Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => import(state, protocol, name),
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { directory, saved, _lock: lock })
    }

    /// Deletes all that is kept of an account.
    ///
    /// # Errors
    /// A process has it, or the directory cannot be deleted.
    pub fn erase(state: &Path, protocol: &str, name: &str, user: &str) -> Result<(), StoreError> {
        let store = Self::open(state, protocol, name, user)?;
        std::fs::remove_dir_all(&store.directory)
            .map_err(|source| StoreError::Directory { path: store.directory.clone(), source })
    }

    /// What was kept.
    pub const fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Keeps this, unless it is on the disk already.
    ///
    /// # Errors
    /// The disk is full or broken; what was there before is still there.
    pub fn save(&mut self, saved: Saved) -> io::Result<()> {
        if saved != self.saved || !self.directory.join("settings").exists() {
            self.replace("settings", write(&saved).as_bytes())?;
            self.saved = saved;
        }
        Ok(())
    }

    /// The user's own picture.
    pub fn avatar(&self) -> Option<Vec<u8>> {
        read(&self.directory.join("avatar")).ok()
    }

    /// Keeps the user's own picture; none if it is empty.
    ///
    /// # Errors
    /// As for [`save`](Self::save).
    pub fn save_avatar(&self, picture: &[u8]) -> io::Result<()> {
        self.replace("avatar", picture)
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.directory.join(format!("{name}.new"));
        let mut file = create(&new)?;
        file.set_len(0)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&new, self.directory.join(name))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What Spectrum 2 kept of the account, if it did.
fn import(state: &Path, protocol: &str, name: &str) -> Saved {
    let Ok(bytes) = read(&state.join("accounts.xml")) else { return Saved::default() };
    let accounts = read_accounts_file(&String::from_utf8_lossy(&bytes));
    let Some(account) = accounts.into_iter().find(|account| {
        // libpurple adds a resource to the names of prpl-jabber accounts.
        let bare = account.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest == "/");
        account.protocol == protocol && bare
    }) else {
        return Saved::default();
    };
    let ours = |name: &str| NOT_THE_PLUGINS.contains(&name);
    let settings = account.settings.into_iter().filter(|(name, _)| !ours(name)).collect();
    Saved { settings, profile: account.profile }
}

/// One line each: type, name, value.
fn write(saved: &Saved) -> String {
    let mut text = format!("{HEADER}\n");
    for (name, value) in &saved.settings {
        let (kind, value) = match value {
            SettingValue::Boolean(value) => ("boolean", u8::from(*value).to_string()),
            SettingValue::Integer(value) => ("integer", value.to_string()),
            SettingValue::Text(value) => ("text", escape(value)),
        };
        text += &format!("{kind}\t{}\t{value}\n", escape(name));
    }
    if !saved.profile.is_empty() {
        text += &format!("profile\t\t{}\n", escape(&saved.profile));
    }
    text
}

/// Lines that make no sense are left out.
fn parse(text: &str) -> Saved {
    let mut saved = Saved::default();
    for line in text.lines().skip(1) {
        let mut parts = line.splitn(3, '\t');
        let (Some(kind), Some(name), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let value = unescape(value);
        let value = match kind {
            "boolean" => SettingValue::Boolean(value != "0"),
            "integer" => match value.parse() {
                Ok(value) => SettingValue::Integer(value),
                Err(_) => continue,
            },
            "text" => SettingValue::Text(value),
            "profile" => {
                saved.profile = value;
                continue;
            }
            _ => continue,
        };
        saved.settings.insert(unescape(name), value);
    }
    saved
}

/// A text without the characters that divide lines and columns.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let meant = match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        plain.push(meant);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("spectrum2-store-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn open(state: &Path) -> Result<Store, StoreError> {
        Store::open(state, "prpl-jabber", "romeo@example.net", "romeo@example.org")
    }

    #[test]
    fn what_is_saved_is_there_again() {
        let state = directory("again");
        let saved = Saved {
            settings: BTreeMap::from([
                ("token".to_owned(), SettingValue::Text("a\\b\tc\nd € =".to_owned())),
                ("device id".to_owned(), SettingValue::Integer(-7)),
                ("paired".to_owned(), SettingValue::Boolean(true)),
            ]),
            profile: "<vCard>\n</vCard>".to_owned(),
        };
        open(&state).unwrap().save(saved.clone()).unwrap();
        assert_eq!(*open(&state).unwrap().saved(), saved);
        std::fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn only_one_process_has_an_account() {
        let state = directory("lock");
        let first = open(&state).unwrap();
        assert!(matches!(open(&state), Err(StoreError::InUse)));
        drop(first);
        assert!(open(&state).is_ok());
        std::fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn what_is_erased_is_gone_unless_it_is_in_use() {
        let state = directory("erase");
        let erase = || Store::erase(&state, "prpl-jabber", "romeo@example.net", "romeo@example.org");
        let mut store = open(&state).unwrap();
        store.save(Saved { profile: "<vCard/>".to_owned(), ..Saved::default() }).unwrap();
        store.save_avatar(b"GIF89a").unwrap();
        assert!(matches!(erase(), Err(StoreError::InUse)));
        drop(store);
        erase().unwrap();
        assert_eq!(std::fs::read_dir(state.join("accounts")).unwrap().count(), 0);
        assert_eq!(*open(&state).unwrap().saved(), Saved::default());
        std::fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn nonsense_is_left_out() {
        let saved = parse("header\ninteger\tport\tmany\nodd\nfuture\tx\ty\ntext\tkept\tyes\\");
        assert_eq!(saved.settings.len(), 1);
        assert_eq!(saved.settings["kept"], SettingValue::Text("yes".to_owned()));
    }
}
