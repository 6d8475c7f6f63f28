//! The transports of this machine, as their files tell.
//!
//! Guarantees that a broken file hides no other one, nor itself: it is there with its name and what is wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spectrum2_config::{Config, Instance};

use crate::generator::transport_files;
use crate::outcome::{Exit, Failure, io_failure};

/// A transport.
#[derive(Clone, Debug)]
pub struct Transport {
    /// The stem of the file.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The name for systemd, or why it can have none.
    pub instance: Result<Instance, String>,
    /// What the file says, if it can be read.
    pub config: Option<Config>,
    /// JID of the transport; empty when nobody told it.
    pub jid: String,
    /// Why there is no [`Transport::config`], or why the JID cannot be used.
    pub problem: Option<String>,
}

impl Transport {
    fn of_file(file: PathBuf) -> Self {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let instance = Instance::of_file(&file).map_err(|error| error.to_string());
        let (config, problem) = match fs::read(&file) {
            Ok(bytes) => (Some(Config::outline(&String::from_utf8_lossy(&bytes), &file)), None),
            Err(error) => (None, Some(format!("The file cannot be read: {error}."))),
        };
        let jid = config.as_ref().map(|config| config.service.jid.clone()).unwrap_or_default();
        Self { name, file, instance, config, jid, problem }
    }

    /// A transport of which only the name is known, because its file is missing or out of sight.
    #[must_use]
    pub fn of_name(instance: Instance, directory: &Path) -> Self {
        Self {
            name: instance.to_string(),
            file: instance.file(directory),
            jid: String::new(),
            instance: Ok(instance),
            config: None,
            problem: None,
        }
    }

    /// The name for systemd.
    ///
    /// # Errors
    /// The file is not named so that it can have one.
    pub fn instance(&self) -> Result<&Instance, Failure> {
        self.instance.as_ref().map_err(|text| Failure { exit: Exit::Config, text: text.clone() })
    }

    /// JIDs of the further transports that the same process serves.
    #[must_use]
    pub fn vhosts(&self) -> Vec<&str> {
        self.config.as_ref().map(Config::further_jids).unwrap_or_default()
    }

    /// Which of them has this name, if it is not the transport itself.
    #[must_use]
    pub fn vhost(&self, name: &str) -> Option<&str> {
        let is_itself = self.name == name || self.jid.eq_ignore_ascii_case(name);
        self.vhosts().into_iter().find(|vhost| !is_itself && vhost.eq_ignore_ascii_case(name))
    }

    fn is_called(&self, name: &str) -> bool {
        let is = |jid: &str| !jid.is_empty() && jid.eq_ignore_ascii_case(name);
        self.name == name || is(&self.jid) || self.vhosts().into_iter().any(is)
    }
}

/// All transports, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The transports.
    pub transports: Vec<Transport>,
    /// Why the directory of the files cannot be looked into, if so.
    pub hidden: Option<String>,
}

impl Fleet {
    /// Reads all files of the directory. One that only its group may look into gives no transports but a note.
    ///
    /// # Errors
    /// The directory cannot be read for another reason.
    pub fn load(directory: &Path) -> Result<Self, Failure> {
        match transport_files(directory) {
            Ok(files) => {
                Ok(Self { transports: files.into_iter().map(Transport::of_file).collect(), hidden: None })
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Self {
                transports: Vec::new(),
                hidden: Some(format!(
                    "You may not look into {}, so only transports are shown that systemd has loaded.",
                    directory.display()
                )),
            }),
            Err(error) => Err(io_failure(format_args!("{}", directory.display()), &error)),
        }
    }

    /// Adds transports that are known from elsewhere.
    pub fn add(&mut self, transport: Transport) {
        if !self.transports.iter().any(|known| known.name == transport.name) {
            self.transports.push(transport);
            self.transports.sort_by(|one, other| one.name.cmp(&other.name));
        }
    }

    /// The transports with these names or JIDs in this order, each once; all if there are no names.
    ///
    /// # Errors
    /// A name belongs to no transport, or to several.
    pub fn select(&self, names: &[String]) -> Result<Vec<&Transport>, Failure> {
        if names.is_empty() {
            return Ok(self.transports.iter().collect());
        }
        let mut selected: Vec<&Transport> = Vec::new();
        for name in names {
            let transport = self.find(name)?;
            if !selected.iter().any(|known| known.name == transport.name) {
                selected.push(transport);
            }
        }
        Ok(selected)
    }

    /// The transport with this name or JID.
    ///
    /// # Errors
    /// There is none, or several have it.
    pub fn find(&self, name: &str) -> Result<&Transport, Failure> {
        if let Some(transport) = self.transports.iter().find(|transport| transport.name == name) {
            return Ok(transport);
        }
        let found: Vec<&Transport> =
            self.transports.iter().filter(|transport| transport.is_called(name)).collect();
        match found.as_slice() {
            [transport] => Ok(transport),
            [] => Err(Failure::usage(format!("There is no transport “{name}”. {}", self.known()))),
            several => Err(Failure::usage(format!(
                "Several transports have the JID {name}: {}. Give each its own.",
                join(several.iter().map(|transport| transport.name.as_str()))
            ))),
        }
    }

    fn known(&self) -> String {
        const SHOWN: usize = 10;
        let names = self.transports.iter().map(|transport| transport.name.as_str());
        match self.transports.len() {
            0 => "There are none yet: spectrum2_manager create sets one up.".to_owned(),
            count if count <= SHOWN => format!("There are: {}.", join(names)),
            _ => "spectrum2_manager list shows all.".to_owned(),
        }
    }
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(files: &[(&str, &str)]) -> Fleet {
        let transport = |(name, text): &(&str, &str)| {
            let file = PathBuf::from(format!("{name}.cfg"));
            let config = Config::outline(text, &file);
            Transport { jid: config.service.jid.clone(), config: Some(config), ..Transport::of_file(file) }
        };
        Fleet { transports: files.iter().map(transport).collect(), hidden: None }
    }

    fn names(selected: Result<Vec<&Transport>, Failure>) -> Vec<&str> {
        selected.unwrap().into_iter().map(|transport| transport.name.as_str()).collect()
    }

    #[test]
    fn names_jids_and_vhosts_are_all_the_same() {
        let fleet = fleet(&[
            ("icq", "[service]\njid=icq.example.org\n[vhosts]\nvhost=icq.example.net\n"),
            ("irc", "[service]\njid=irc.example.org\n"),
        ]);
        let select = |wanted: &[&str]| {
            names(fleet.select(&wanted.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()))
        };
        assert_eq!(select(&[]), ["icq", "irc"]);
        assert_eq!(select(&["irc", "icq.example.net", "IRC.example.org"]), ["irc", "icq"]);
        let vhost = |name: &str| fleet.find(name).unwrap().vhost(name);
        assert_eq!(vhost("ICQ.example.net"), Some("icq.example.net"));
        assert_eq!((vhost("icq"), vhost("icq.example.org")), (None, None));
    }

    #[test]
    fn who_is_not_there_is_told_from_who_is_there_twice() {
        let twice =
            fleet(&[("a", "[service]\njid=x.example.org\n"), ("b", "[service]\njid=x.example.org\n")]);
        assert_eq!(
            twice.find("x.example.org").unwrap_err().text,
            "Several transports have the JID x.example.org: a, b. Give each its own."
        );
        assert_eq!(twice.find("c").unwrap_err().text, "There is no transport “c”. There are: a, b.");
        assert!(fleet(&[]).find("c").unwrap_err().text.contains("create"));
    }

    #[test]
    fn a_broken_file_is_there_with_what_it_says() {
        let fleet = fleet(&[("irc", "junk\n[service]\njid=irc.example.org\nport=many\n")]);
        assert_eq!(fleet.find("irc.example.org").unwrap().name, "irc");
    }
}
