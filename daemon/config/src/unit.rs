//! Credentials that the unit of a transport gets from systemd, seen from outside of the unit: which there are, not what
//! is in them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::instance::Instance;
use crate::secret::Secret;
use crate::secrets;
use crate::source::{SecretSource, System};

/// Where units and drop-ins are; which of them goes before which does not matter here.
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// Settings whose value begins with the name of a credential.
const SETTINGS: [&str; 4] =
    ["LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted"];

/// A [`SecretSource`] for who asks what would be if the unit was started: what the unit would get is taken as given.
#[derive(Clone, Debug, Default)]
pub struct UnitCredentials {
    names: BTreeSet<String>,
    system: System,
}

impl UnitCredentials {
    /// Those of the unit of this transport file; none if it is the file of no unit.
    pub fn of_file(file: &Path) -> Self {
        let units = UNITS.map(PathBuf::from);
        Instance::of_file(file).map(|instance| Self::of(&instance, &units)).unwrap_or_default()
    }

    fn of(instance: &Instance, units: &[PathBuf]) -> Self {
        let mut names = BTreeSet::new();
        for directory in units {
            for unit in [format!("spectrum2@{instance}.service"), "spectrum2@.service".to_owned()] {
                let drop_ins =
                    fs::read_dir(directory.join(format!("{unit}.d"))).into_iter().flatten().flatten();
                let drop_ins = drop_ins
                    .map(|entry| entry.path())
                    .filter(|path| path.extension().is_some_and(|extension| extension == "conf"));
                for file in drop_ins.chain([directory.join(&unit)]) {
                    names.extend(names_in(&fs::read_to_string(file).unwrap_or_default()));
                }
            }
        }
        names.retain(|name| secrets::is_credential(name));
        Self { names, system: System::from_env() }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// The credentials that a unit file or a drop-in names.
fn names_in(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let values = lines.filter(|(key, _)| SETTINGS.contains(&key.trim()));
    values.map(|(_, value)| value.split(':').next().unwrap_or_default().trim().to_owned())
}

impl SecretSource for UnitCredentials {
    fn credential(&self, name: &str) -> io::Result<Option<Secret>> {
        match self.system.credential(name) {
            Ok(None) if self.names.contains(name) => Ok(Some(Secret::new("of the unit".to_owned()))),
            other => other,
        }
    }

    fn credential_file(&self, name: &str) -> Option<PathBuf> {
        self.system.credential_file(name)
    }

    fn file(&self, path: &Path) -> io::Result<Secret> {
        self.system.file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_in_every_drop_in() {
        let units = std::env::temp_dir().join(format!("spectrum2-units-{}", std::process::id()));
        for (file, text) in [
            (
                "spectrum2@irc.service.d/secrets.conf",
                "[Service]\nLoadCredential=component-password:/root/x\n",
            ),
            ("spectrum2@irc.service.d/notes.txt", "LoadCredential=encryption-key:/root/x\n"),
            ("spectrum2@icq.service.d/secrets.conf", "LoadCredential=cert-password:/root/x\n"),
            (
                "spectrum2@.service.d/all.conf",
                "#SetCredential=encryption-key:x\nSetCredentialEncrypted = database-password: x\n",
            ),
            ("spectrum2@.service", "LoadCredential=something-else\n"),
        ] {
            let file = units.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let instance = Instance::of_file(Path::new("/etc/spectrum2/transports/irc.cfg")).unwrap();
        let found = UnitCredentials::of(&instance, &[PathBuf::from("/nonexistent"), units.clone()]);
        fs::remove_dir_all(units).unwrap();
        assert_eq!(found.names().collect::<Vec<_>>(), ["component-password", "database-password"]);
        assert!(found.credential("component-password").unwrap().is_some());
        assert!(found.credential("encryption-key").unwrap().is_none());
    }
}
