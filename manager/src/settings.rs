//! `spectrum_manager.cfg`.
//!
//! Of its options only the directory of the transport files is left; the others belonged to the web interface.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spectrum2_config::Config;
use spectrum2_config::instance::CONFIG_DIRECTORY;

use crate::outcome::{Failure, io_failure};

/// Where the file is.
pub const DEFAULT_FILE: &str = "/etc/spectrum2/spectrum_manager.cfg";

const DIRECTORY_OPTION: &str = "service.config_directory";

/// COMPAT(Spectrum 2): options of the web interface that a transport file does not have. They do nothing.
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

    /// The grammar is that of transport files, so to their reader the options of the manager are unknown ones.
    fn parse(text: &str, file: &Path) -> (Self, Vec<String>) {
        let mut settings = Self { config_directory: CONFIG_DIRECTORY.into() };
        let mut warnings = Vec::new();
        for entry in Config::outline(text, file).unknown {
            if entry.name == DIRECTORY_OPTION {
                settings.config_directory = entry.value.expose().into();
            } else if !WEB_OPTIONS.contains(&entry.name.as_str()) {
                let line = entry.line.unwrap_or_default();
                warnings.push(format!(
                    "{}:{line}: {}: There is no such option. Correct or remove it.",
                    file.display(),
                    entry.name
                ));
            }
        }
        (settings, warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_spectrum_2_shipped_is_read_without_a_word() {
        let text = "[service]\nadmin_username=admin\nadmin_password=test\nport=8080\n# cert=\nbind=localhost\n\
                    config_directory = /srv/transports/\ndata_dir=/x\nbase_location=/\n[servers]\nserver=a\n\
                    [database]\ntype=none\n[logging]\nconfig=/x\n";
        let (settings, warnings) = Settings::parse(text, Path::new("m.cfg"));
        assert_eq!(settings.config_directory, Path::new("/srv/transports/"));
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
