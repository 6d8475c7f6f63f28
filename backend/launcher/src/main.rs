//! `spectrum2_backend_launcher`: starts one backend process for each connection of the daemon, and hands it the connection.
//!
//! Connections come from systemd's socket `spectrum2-backend@NAME.socket` or, with `--control`, from the daemon whose child
//! this then is. Backends are forked from a warm libpurple process ([`zygote`]) or are programs written for Spectrum 2
//! ([`foreign`]). One thread, one poll(2); nothing of what it carries is looked at.

mod backends;
mod bridge;
mod child;
mod foreign;
mod launcher;
mod log;
mod peer;
mod program;
mod settings;
mod source;
mod system;
mod words;
mod zygote;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use nix::sys::prctl::set_child_subreaper;
use spectrum2_config::Overrides;

use crate::backends::Backends;
use crate::foreign::Foreign;
use crate::launcher::{Launcher, take_signals};
use crate::log::{error, warning};
use crate::program::Program;
use crate::settings::{Failure, Settings};
use crate::source::Source;
use crate::zygote::Zygote;

const USAGE: &str = "Usage: spectrum2_backend_launcher [--control] [-j JID] [--SECTION.KEY=VALUE]… CONFIG";

/// Exit status for a wrong command line, from sysexits.h.
const EX_USAGE: u8 = 64;
/// Exit status for a system that refuses us something, from sysexits.h.
const EX_OSERR: u8 = 71;

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1);
    match Invocation::parse(arguments) {
        Ok(Invocation::Version) => {
            println!("spectrum2_backend_launcher {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Invocation::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Invocation::Run(options)) => match run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure { text, status }) => {
                text.lines().for_each(|line| error!("{line}"));
                ExitCode::from(status)
            }
        },
        Err(text) => {
            error!("{text}. {USAGE}");
            ExitCode::from(EX_USAGE)
        }
    }
}

fn run(options: Options) -> Result<(), Failure> {
    let Options { control, overrides, passed_on, config } = options;
    let settings = Settings::load(&config, &overrides, passed_on)?;
    log::start(&settings.jid, &settings.protocol);
    show_name(&settings.name);
    let source = if control { Source::from_standard_input() } else { Source::from_systemd() };
    let source = source.map_err(|text| Failure {
        text: format!(
            "No connections can come: {text}. Start spectrum2-backend@{}.socket instead",
            settings.name
        ),
        status: EX_USAGE,
    })?;
    let program = Program::find(&settings.backend).map_err(|cause| Failure {
        text: format!("{}: service.backend: {cause}. Correct the command.", settings.file.display()),
        status: spectrum2_config::ExitKind::Configuration.code(),
    })?;

    let refused = |error: nix::errno::Errno| Failure {
        text: format!("The kernel refuses what is needed: {error}"),
        status: EX_OSERR,
    };
    let signals = take_signals().map_err(refused)?;
    if let Err(error) = set_child_subreaper(true) {
        warning!("Backends whose zygote died cannot be waited for: {error}");
    }
    let purpose = purpose(&settings);
    let backends: Box<dyn Backends> = match program {
        Program::Zygote(path) => Box::new(Zygote::new(settings, path, Instant::now())),
        Program::Foreign(words) => Box::new(Foreign::new(settings, words)),
    };
    Launcher::new(source, signals, backends, purpose).run().map_err(refused)
}

/// Shows in `ps` and `top` whose launcher this is, beside the command line, which names the transport file.
fn show_name(transport: &str) {
    let name: String = format!("launcher {transport}").chars().filter(char::is_ascii).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(name) {
        // Fails for a text that is too long.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// What the backends are for: `irc (prpl-irc)`.
fn purpose(settings: &Settings) -> String {
    let Settings { name, protocol, .. } = settings;
    if protocol.is_empty() { name.clone() } else { format!("{name} ({protocol})") }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Invocation {
    Run(Options),
    Help,
    Version,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    control: bool,
    overrides: Overrides,
    /// The overrides as they were typed, for backends.
    passed_on: Vec<String>,
    config: PathBuf,
}

impl Invocation {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--control" => options.control = true,
                "-h" | "--help" => return Ok(Self::Help),
                "--version" => return Ok(Self::Version),
                "-j" | "--jid" => {
                    let jid = arguments.next().ok_or_else(|| format!("{argument} needs a JID"))?;
                    options.passed_on.extend(["-j".to_owned(), jid.clone()]);
                    options.overrides.jid = Some(jid);
                }
                _ => options.take(argument)?,
            }
        }
        if options.config.as_os_str().is_empty() {
            return Err("No transport file is named".to_owned());
        }
        Ok(Self::Run(options))
    }
}

impl Options {
    /// An override, or the transport file.
    fn take(&mut self, argument: String) -> Result<(), String> {
        if let Some(option) = argument.strip_prefix("--") {
            let (key, value) = option.split_once('=').filter(|(key, _)| key.contains('.')).unzip();
            let (Some(key), Some(value)) = (key, value) else {
                return Err(format!("{argument} is not known"));
            };
            self.overrides.values.push((key.to_owned(), value.to_owned()));
            self.passed_on.push(argument);
        } else if argument.starts_with('-') || !self.config.as_os_str().is_empty() {
            return Err(format!("{argument} is not known"));
        } else {
            self.config = PathBuf::from(argument);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, String> {
        Invocation::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_file_comes_last_and_overrides_are_passed_on() {
        let Ok(Invocation::Run(options)) = parse("--control -j b.example.org --service.backend=x irc.cfg")
        else {
            panic!("it is a complete command line");
        };
        assert!(options.control);
        assert_eq!(options.config, PathBuf::from("irc.cfg"));
        assert_eq!(options.overrides.jid.as_deref(), Some("b.example.org"));
        assert_eq!(options.passed_on, ["-j", "b.example.org", "--service.backend=x"]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(parse("").unwrap_err(), "No transport file is named");
        assert_eq!(parse("--contrl irc.cfg").unwrap_err(), "--contrl is not known");
        assert_eq!(parse("irc.cfg icq.cfg").unwrap_err(), "icq.cfg is not known");
        assert_eq!(parse("irc.cfg -j").unwrap_err(), "-j needs a JID");
    }
}
