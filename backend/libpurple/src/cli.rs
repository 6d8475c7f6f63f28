//! The command line: ours, and that of Spectrum 2's backends.

use std::ffi::OsString;
use std::path::PathBuf;

use spectrum2_config::Overrides;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Mode {
    /// `--zygote CONFIG`: initialise once, then fork a process for each connection that arrives on standard input.
    Zygote(Options),
    /// `--host HOST --port PORT CONFIG`: connect to a daemon, as the backends of Spectrum 2 do.
    Connect(String, u16, Options),
    /// `--version`.
    Version,
    /// `--help`.
    Help,
}

/// The transport file and what goes before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The transport file.
    pub config: PathBuf,
    /// What the command line sets.
    pub overrides: Overrides,
}

/// Text of `--help`.
pub const USAGE: &str = "\
Usage: spectrum2_libpurple_backend --host HOST --port PORT [-j JID] [--section.key=value] CONFIG
       spectrum2_libpurple_backend --zygote CONFIG [-j JID] [--section.key=value]

Logs users of a Spectrum 2 transport in to legacy networks through libpurple. Started by the transport.
";

/// Reads the arguments, without the program's name.
///
/// # Errors
/// One sentence: what is missing or wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Mode, String> {
    let mut arguments = arguments.into_iter();
    let (mut zygote, mut host, mut port) = (false, String::new(), None);
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name.to_owned(), Some(value.to_owned())),
            _ => (text, None),
        };
        let mut needed = |value: Option<String>| {
            let next = || arguments.next().map(|next| next.to_string_lossy().into_owned());
            value.or_else(next).ok_or_else(|| format!("{name} needs a value. See --help."))
        };
        match name.as_str() {
            "--version" | "-v" => return Ok(Mode::Version),
            "--help" => return Ok(Mode::Help),
            "--zygote" => zygote = true,
            "--host" | "-h" => host = needed(value)?,
            "--port" | "-p" => {
                let text = needed(value)?;
                port = Some(
                    text.parse().map_err(|_| format!("--port needs a number up to 65535, not {text}."))?,
                );
            }
            "--jid" | "-j" => options.overrides.jid = Some(needed(value)?),
            "--config" => options.config = needed(value)?.into(),
            name => match (name.strip_prefix("--"), value) {
                (Some(key), Some(value)) if key.contains('.') => {
                    options.overrides.values.push((key.to_owned(), value));
                }
                // COMPAT(Spectrum 2): its backends ignore options that they do not know; daemons pass their own on.
                (Some(_), _) => {}
                _ if name.starts_with('-') => {}
                _ => options.config = PathBuf::from(argument),
            },
        }
    }
    if options.config.as_os_str().is_empty() {
        return Err("The transport file is missing. See --help.".to_owned());
    }
    if zygote {
        return Ok(Mode::Zygote(options));
    }
    // COMPAT(Spectrum 2): its daemons always pass both; these are its defaults.
    let host = if host.is_empty() { "127.0.0.1".to_owned() } else { host };
    Ok(Mode::Connect(host, port.unwrap_or(10000), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Mode, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_arguments_of_spectrum_2_are_understood() {
        let line = "--host 127.0.0.1 --port 22411 --service.backend_id=2 -j icq.example.org -n --odd x.cfg";
        let Ok(Mode::Connect(host, port, options)) = read(line) else { panic!("{:?}", read(line)) };
        assert_eq!((host.as_str(), port), ("127.0.0.1", 22411));
        assert_eq!(options.config, PathBuf::from("x.cfg"));
        assert_eq!(options.overrides.jid.as_deref(), Some("icq.example.org"));
        assert_eq!(options.overrides.values, [("service.backend_id".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_zygote_needs_only_the_file() {
        assert!(
            matches!(read("--zygote irc.cfg"), Ok(Mode::Zygote(options)) if options.config.ends_with("irc.cfg"))
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(read("--host x").unwrap_err(), "The transport file is missing. See --help.");
        assert_eq!(read("a.cfg --port").unwrap_err(), "--port needs a value. See --help.");
        assert_eq!(read("--port=99999 a.cfg").unwrap_err(), "--port needs a number up to 65535, not 99999.");
    }
}
