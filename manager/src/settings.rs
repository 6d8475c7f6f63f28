//! `spectrum_manager.cfg`.
//!
//! Of its options only the directory of the transport files is left; the others belonged to the web interface, and who
//! has them is told what to use instead.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spectrum2_config::entries;
use spectrum2_config::instance::CONFIG_DIRECTORY;

use crate::outcome::{Failure, io_failure};

/// Where the file is.
pub const DEFAULT_FILE: &str = "/etc/spectrum2/spectrum_manager.cfg";

const DIRECTORY_OPTION: &str = "service.config_directory";

/// COMPAT(Spectrum 2): all the other options that its manager knew; they were those of the web interface.
const WEB_OPTIONS: [&str; 16] = [
    "service.admin_username",
    "service.admin_password",
    "service.bind",
    "service.port",
    "service.cert",
    "service.data_dir",
    "service.base_location",
    "servers.server",
    "database.type",
    "database.database",
    "database.server",
    "database.user",
    "database.password",
    "database.port",
    "database.prefix",
    "logging.config",
];

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Directory of the transport files.
    pub config_directory: PathBuf,
}

impl Settings {
    /// Reads the file; gives warnings, too. The default file may be missing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(file: &Path) -> Result<(Self, Vec<String>), Failure> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file == Path::new(DEFAULT_FILE) => {
                String::new()
            }
            Err(error) => {
                return Err(io_failure(format_args!("{} cannot be read", file.display()), &error));
            }
        };
        Ok(Self::parse(&text, file))
    }

    fn parse(text: &str, file: &Path) -> (Self, Vec<String>) {
        let mut settings = Self { config_directory: CONFIG_DIRECTORY.into() };
        let (entries, wrong) = entries(text);
        let warning = |line: usize, text: &str| format!("{}:{line}: {text}", file.display());
        let mut warnings: Vec<String> = wrong.into_iter().map(|(line, text)| warning(line, text)).collect();
        let mut of_web = BTreeSet::new();
        for entry in &entries {
            if entry.name == DIRECTORY_OPTION {
                settings.config_directory = entry.value.expose().into();
            } else if WEB_OPTIONS.contains(&entry.name.as_str()) {
                of_web.insert(entry.name.as_str());
            } else {
                let text = format!("{}: There is no such option. Correct or remove it.", entry.name);
                warnings.push(warning(entry.line.unwrap_or_default(), &text));
            }
        }
        if !of_web.is_empty() {
            let of_web: Vec<&str> = of_web.into_iter().collect();
            warnings.push(format!(
                "{}: {} do nothing: the web interface is not part of this version. Use spectrum2_manager status, users \
                 and user, and remove them.",
                file.display(),
                of_web.join(", ")
            ));
        }
        (settings, warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_spectrum_2_shipped_is_read_with_one_word_on_the_web_interface() {
        let text = "[service]\nadmin_username=admin\nadmin_password=test\nport=8080\n# cert=\nbind=localhost\n\
                    config_directory = /srv/transports/\ndata_dir=/x\nbase_location=/\n[servers]\nserver=a\n\
                    [database]\ntype=none\n[logging]\nconfig=/x\n";
        let (settings, warnings) = Settings::parse(text, Path::new("m.cfg"));
        assert_eq!(settings.config_directory, Path::new("/srv/transports/"));
        let options = "database.type, logging.config, servers.server, service.admin_password, service.admin_username, \
                       service.base_location, service.bind, service.data_dir, service.port";
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(warning.starts_with(&format!("m.cfg: {options} do nothing: ")), "{warning}");
        assert!(warning.contains("spectrum2_manager status"), "{warning}");
        assert!(!warning.contains("test"), "a password");
    }

    #[test]
    fn a_file_without_options_of_the_web_interface_is_read_without_a_word() {
        let (_, warnings) = Settings::parse("[service]\nconfig_directory=/srv\n", Path::new("m.cfg"));
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn what_nobody_knows_is_named_and_no_more() {
        let (settings, warnings) = Settings::parse("[service]\nconfig_dir=/x\n", Path::new("m.cfg"));
        assert_eq!(settings.config_directory, Path::new(CONFIG_DIRECTORY));
        assert_eq!(warnings, ["m.cfg:2: service.config_dir: There is no such option. Correct or remove it."]);
    }

    /// Also where it says what would be so anyway: an admin who reads the file must not take it for something that works.
    #[test]
    fn every_key_has_an_effect_or_a_word() {
        for option in WEB_OPTIONS {
            for value in ["", "0", "sqlite3", "localhost", "verona"] {
                let (section, key) = option.split_once('.').unwrap();
                let (_, warnings) =
                    Settings::parse(&format!("[{section}]\n{key}={value}\n"), Path::new("m.cfg"));
                let [warning] = warnings.as_slice() else { panic!("{option}={value}: {warnings:?}") };
                assert!(warning.starts_with(&format!("m.cfg: {option} do nothing: ")), "{warning}");
            }
        }
        for (line, words) in [
            ("[purple]\nx=1\n", "m.cfg:2: purple.x: There is no such option."),
            ("[service]\njid=a.example\n", "m.cfg:2: service.jid: There is no such option."),
            ("[service]\nadmin\n", "m.cfg:2: This is neither "),
            ("[service\n", "m.cfg:1: A section header ends with "),
        ] {
            let (_, warnings) = Settings::parse(line, Path::new("m.cfg"));
            assert!(warnings.len() == 1 && warnings[0].starts_with(words), "{line}: {warnings:?}");
        }
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        assert!(Settings::load(Path::new("/nonexistent/m.cfg")).is_err());
    }
}
