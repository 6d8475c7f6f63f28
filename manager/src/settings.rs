//! `spectrum_manager.cfg`.
//!
//! Of its options only the directory of the transport files is left; the others belonged to the web interface, and who
//! has them is told what to use instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spectrum2_config::Config;
use spectrum2_config::instance::CONFIG_DIRECTORY;

use crate::outcome::{Failure, io_failure};

/// Where the file is.
pub const DEFAULT_FILE: &str = "/etc/spectrum2/spectrum_manager.cfg";

const DIRECTORY_OPTION: &str = "service.config_directory";

/// COMPAT(Spectrum 2): options of the web interface that a transport file does not have.
const WEB_OPTIONS: [&str; 5] =
    ["service.admin_username", "service.bind", "service.data_dir", "service.base_location", "servers.server"];

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

    /// The grammar is that of transport files, so to their reader some options of the manager are unknown ones, and the
    /// others are set to something.
    fn parse(text: &str, file: &Path) -> (Self, Vec<String>) {
        let mut settings = Self { config_directory: CONFIG_DIRECTORY.into() };
        let mut warnings = Vec::new();
        let config = Config::outline(text, file);
        let without_any = Config::outline("", file);
        let mut of_web: Vec<&str> = without_any.changes(&config).map(|option| option.name).collect();
        for entry in &config.unknown {
            if entry.name == DIRECTORY_OPTION {
                settings.config_directory = entry.value.expose().into();
            } else if WEB_OPTIONS.contains(&entry.name.as_str()) {
                of_web.push(&entry.name);
            } else {
                let line = entry.line.unwrap_or_default();
                warnings.push(format!(
                    "{}:{line}: {}: There is no such option. Correct or remove it.",
                    file.display(),
                    entry.name
                ));
            }
        }
        if !of_web.is_empty() {
            of_web.sort_unstable();
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

    #[test]
    fn only_the_default_file_may_be_missing() {
        assert!(Settings::load(Path::new("/nonexistent/m.cfg")).is_err());
    }
}
