//! Transport files of Spectrum 2: one table of options, and everything that follows from it.
//!
//! Guarantees that the typed fields, the parser, the defaults, the help, the manual and `check` know the same
//! options, because all of them come from `table.rs`; and that reading a file finds all its problems at once,
//! each with place, cause and next step, and never panics.
//!
//! ```
//! use std::path::Path;
//! use spectrum2_config::{Config, NoSecrets, Overrides};
//!
//! let text = "[service]\njid=irc.example.org\npassword=secret\nport=5347\nprot=1\n";
//! let (config, warnings) =
//!     Config::parse(text, Path::new("irc.cfg"), &Overrides::default(), &NoSecrets).unwrap();
//! assert_eq!(config.service.port, 5347);
//! assert_eq!(
//!     warnings[0].to_string(),
//!     "irc.cfg:5: service.prot: There is no such option. Did you mean service.port?"
//! );
//! ```

pub mod check;
mod checks;
mod files;
mod help;
pub mod instance;
pub mod manual;
mod option;
mod problem;
mod reading;
mod secret;
mod secrets;
mod source;
mod suggestion;
mod syntax;
mod table;
mod unit;
mod value;

use std::path::Path;

pub use help::help_text;
pub use instance::{Instance, InstanceError};
pub use option::{Change, Kind, OptionInfo, Place};
pub use problem::{ExitKind, Problem, Problems, Severity};
pub use reading::Overrides;
pub use secret::Secret;
pub use source::{NoSecrets, SecretSource, System};
pub use syntax::Entry;
pub use table::{
    Backend, Config, Database, Features, GatewayResponder, Identity, Libpurple, Logging, Metrics, OPTIONS,
    Proxy, Registration, SECTIONS, Service, Settings, Vhosts,
};
pub use value::{DatabaseKind, LogLevel, ProxyKind};

/// The lines of a file that has the grammar of transport files and options of its own, and what is wrong with other
/// lines: number and words.
#[must_use]
pub fn entries(text: &str) -> (Vec<Entry>, Vec<(usize, &'static str)>) {
    let syntax = syntax::read(text);
    let entry = |line: syntax::Line| Entry {
        name: line.name,
        value: Secret::new(line.value),
        line: Some(line.number),
    };
    let wrong = syntax.errors.into_iter().map(|problem| (problem.number, problem.text));
    (syntax.lines.into_iter().map(entry).collect(), wrong.collect())
}

/// Whether this can be the JID of a transport, which is a domain.
///
/// # Errors
/// Why not, and how one looks.
pub fn check_domain(jid: &str) -> Result<(), String> {
    checks::domain(jid)
}

impl Config {
    /// Reads a transport file with its secrets and checks it; also gives the warnings.
    ///
    /// # Errors
    /// All that is wrong with the file, when an error is among it.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<(Self, Vec<Problem>), Problems> {
        load(path, overrides, &System::from_env())?.finish()
    }

    /// As [`Config::load`], for a text that stands for the file `path`; looks for nothing but secrets.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        text: &str,
        path: &Path,
        overrides: &Overrides,
        secrets: &dyn SecretSource,
    ) -> Result<(Self, Vec<Problem>), Problems> {
        reading::read(text, path, overrides, secrets).finish()
    }

    /// What the text of a transport file says, however wrong it is, with defaults for the rest: for programs that
    /// must know a transport which cannot run. Secrets that stand elsewhere are not looked for.
    #[must_use]
    pub fn outline(text: &str, path: &Path) -> Self {
        reading::read(text, path, &Overrides::default(), &NoSecrets).config
    }

    /// The same for each transport of [`Config::further_jids`].
    #[must_use]
    pub fn outlines_of_vhosts(&self, text: &str) -> Vec<Self> {
        let jids = self.further_jids().into_iter();
        jids.map(|jid| {
            let overrides = Overrides { jid: Some(jid.to_owned()), ..Overrides::default() };
            reading::read(text, &self.file, &overrides, &NoSecrets).config
        })
        .collect()
    }

    /// JIDs of the transports that the same process serves besides `service.jid`, each once. None in server mode: each
    /// domain needs a port of its own there.
    #[must_use]
    pub fn further_jids(&self) -> Vec<&str> {
        let mut jids: Vec<&str> = Vec::new();
        if self.service.server_mode {
            return jids;
        }
        for jid in self.vhosts.vhost.iter().map(String::as_str).filter(|jid| !jid.is_empty()) {
            let is_known = |known: &str| known.eq_ignore_ascii_case(jid);
            if !is_known(&self.service.jid) && !jids.iter().copied().any(is_known) {
                jids.push(jid);
            }
        }
        jids
    }

    /// The options whose values differ from those of `other`, for a reload.
    pub fn changes<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'static OptionInfo> + 'a {
        OPTIONS.iter().filter(|option| !(option.same)(self, other))
    }

    /// This configuration with those options of `new` that may change while the transport runs; also gives the names
    /// of those that differ and need a restart. Backends read their options once, so what they obey is named, too.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> (Self, Vec<&'static str>) {
        let mut reloaded = self.clone();
        let mut waiting = Vec::new();
        for option in self.changes(new) {
            if option.change == Change::Reload {
                (option.copy)(&mut reloaded, new);
            }
            if option.change == Change::Restart || option.places.contains(&Place::Backend) {
                waiting.push(option.name);
            }
        }
        if self.purple != new.purple {
            waiting.push("purple.*");
        }
        (reloaded, waiting)
    }
}

/// Reads a file and checks it together with the files that it names.
fn load(
    path: &Path,
    overrides: &Overrides,
    secrets: &dyn SecretSource,
) -> Result<reading::Reading, Problems> {
    let text = files::read(path)?;
    let mut reading = reading::read(&text, path, overrides, secrets);
    let findings = files::check(&reading.config);
    reading.add(findings);
    Ok(reading)
}
