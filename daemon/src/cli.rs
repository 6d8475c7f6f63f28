//! The command line: Spectrum 2's, and `check`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use spectrum2_config::instance::CONFIG_DIRECTORY;
use spectrum2_config::{Instance, Overrides};

const AFTER_HELP: &str = "\
FILE is a transport file, or the name of one in /etc/spectrum2/transports without '.cfg'.
Every option of the file can be given as --SECTION.KEY=VALUE, which goes before the file;
a list is given by repeating it. See --help-options for all of them.

Exit status: 0 asked to stop, 64 wrong usage, 69 something needed is not there,
70 a fault of this program, 77 not permitted, 78 wrong configuration.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a transport.
    Run(Run),
    /// Read these transport files and say what is wrong with them.
    Check {
        /// The files.
        files: Vec<PathBuf>,
        /// Say nothing about files that can be used.
        quiet: bool,
    },
    /// Leave a copy of a transport file without the secrets that are not for backends.
    BackendConfig {
        /// The transport file.
        config: PathBuf,
        /// The copy.
        output: PathBuf,
        /// Unit of systemd to restart if the copy there said something else to backends.
        restart: Option<String>,
    },
    /// Print all options of a transport file.
    HelpOptions,
}

/// A transport to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The transport file.
    pub config: PathBuf,
    /// Options that go before the file.
    pub overrides: Overrides,
    /// Stay in the foreground.
    pub foreground: bool,
    /// This is the background process that [`crate::standalone::daemonize`] started.
    pub daemonized: bool,
    /// Where the service manager's launcher listens; without it the launcher is started as a child.
    pub backend_socket: Option<PathBuf>,
}

#[derive(Debug, Parser)]
#[command(
    name = "spectrum2",
    version,
    about = "XMPP transport to a legacy network",
    after_help = AFTER_HELP,
    override_usage = "spectrum2 [-n] [-j JID] [--SECTION.KEY=VALUE]... FILE\n       spectrum2 check FILE...",
    args_conflicts_with_subcommands = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Words>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Words {
    /// Read transport files and say what is wrong with them
    Check {
        /// Transport files, or names of instances
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Say nothing about files that can be used
        #[arg(short, long)]
        quiet: bool,
        /// Print this help
        #[arg(short, long, action = ArgAction::Help)]
        help: Option<bool>,
    },
    // For the unit of the launcher.
    /// Leave a copy of a transport file without the secrets that are not for backends
    #[command(hide = true)]
    BackendConfig {
        /// Transport file
        #[arg(value_name = "FILE")]
        config: PathBuf,
        /// The copy
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Restart this unit, if it runs, when the copy there said something else to backends
        #[arg(long, value_name = "UNIT")]
        restart: Option<String>,
        /// Print this help
        #[arg(short, long, action = ArgAction::Help)]
        help: Option<bool>,
    },
}

#[derive(Debug, Args)]
struct RunArguments {
    // A list, so that a second file gets an answer that makes sense.
    /// Transport file
    #[arg(value_name = "FILE", conflicts_with = "config")]
    files: Vec<PathBuf>,
    /// Transport file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// JID of the transport, in place of service.jid
    #[arg(short, long, value_name = "JID", value_parser = NonEmptyStringValueParser::new())]
    jid: Option<String>,
    /// Stay in the foreground; no pid file is written
    #[arg(short, long)]
    no_daemonize: bool,
    // COMPAT(Spectrum 2): start scripts pass it; it did nothing there either.
    /// Accepted for old scripts
    #[arg(short = 'd', long, hide_short_help = true)]
    no_debug: bool,
    /// Take backends from the launcher that listens at this socket
    #[arg(long, value_name = "PATH", hide = true)]
    backend_socket: Option<PathBuf>,
    /// This process was started in the background
    #[arg(long, hide = true)]
    daemonized: bool,
    /// Print all options of a transport file
    #[arg(long)]
    help_options: bool,
    /// Print this help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(short, long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Reads the command line; the first of `arguments` is the name of the program.
///
/// # Errors
/// The command line is wrong, or asks for help or version: clap's error says which, and prints itself.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let (values, rest) = split_overrides(arguments)?;
    let matches = Arguments::command().try_get_matches_from(rest)?;
    let Arguments { command, run } = Arguments::from_arg_matches(&matches)?;
    match command {
        Some(Words::Check { files, quiet, .. }) => {
            let files = files.iter().map(|file| find_config(file)).collect();
            return Ok(Command::Check { files, quiet });
        }
        Some(Words::BackendConfig { config, output, restart, .. }) => {
            return Ok(Command::BackendConfig { config, output, restart });
        }
        None if run.help_options => return Ok(Command::HelpOptions),
        None => {}
    }
    let mut files = run.files.into_iter().chain(run.config);
    let (Some(file), None) = (files.next(), files.next()) else {
        return Err(usage("Exactly one transport file must be named, for example: spectrum2 -n irc.cfg"));
    };
    Ok(Command::Run(Run {
        config: find_config(&file),
        overrides: Overrides { jid: run.jid, values },
        foreground: run.no_daemonize,
        daemonized: run.daemonized,
        backend_socket: run.backend_socket,
    }))
}

/// `section.key` and value.
type Values = Vec<(String, String)>;

/// Takes `--section.key=value` out: clap knows only options that are declared, and here every name can be one.
fn split_overrides(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Values, Vec<OsString>), clap::Error> {
    let (mut values, mut rest) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter();
    for argument in arguments.by_ref() {
        if argument == "--" {
            rest.push(argument);
            break;
        }
        match as_override(&argument) {
            Some((name, Some(value))) => values.push((name.to_owned(), value.to_owned())),
            Some((name, None)) => return Err(usage(&format!("Write --{name}=VALUE, in one word"))),
            None => rest.push(argument),
        }
    }
    rest.extend(arguments);
    Ok((values, rest))
}

/// `section.key` and the value, if there is one.
fn as_override(argument: &OsStr) -> Option<(&str, Option<&str>)> {
    let option = argument.to_str()?.strip_prefix("--")?;
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let (section, key) = name.split_once('.')?;
    (!section.is_empty() && !key.is_empty()).then_some((name, value))
}

fn usage(text: &str) -> clap::Error {
    Arguments::command().error(ErrorKind::WrongNumberOfValues, text)
}

/// The file itself, or, if there is none and this is the name of an instance, the file of that instance.
fn find_config(file: &Path) -> PathBuf {
    match file.to_str().map(str::parse::<Instance>) {
        Some(Ok(instance)) if file.extension() != Some("cfg".as_ref()) && !file.exists() => {
            instance.file(Path::new(CONFIG_DIRECTORY))
        }
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        parse(std::iter::once("spectrum2").chain(line.split_whitespace()).map(OsString::from))
    }

    fn run(line: &str) -> Run {
        match parsed(line) {
            Ok(Command::Run(run)) => run,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> ErrorKind {
        parsed(line).unwrap_err().kind()
    }

    #[test]
    fn the_declarations_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_spectrum_2_is_started_with_still_starts() {
        let manager = run("-j icq.example.org /etc/icq.cfg");
        assert_eq!(manager.config, Path::new("/etc/icq.cfg"));
        assert_eq!(manager.overrides.jid.as_deref(), Some("icq.example.org"));
        assert!(!manager.foreground);
        assert!(run("-n -d ./icq.cfg").foreground);
        assert!(run("--no-daemonize --no-debug --config ./icq.cfg").foreground);
        assert_eq!(run("--config=./icq.cfg --jid=a.b").config, Path::new("./icq.cfg"));
    }

    #[test]
    fn every_option_of_the_file_can_be_given() {
        let run = run("--service.port=5347 -n ./x.cfg --purple.x-y=a=b --service.admin_jid= -j a.b");
        let Overrides { jid, values } = run.overrides;
        assert_eq!(jid.as_deref(), Some("a.b"));
        let pairs: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("service.port", "5347"), ("purple.x-y", "a=b"), ("service.admin_jid", "")]);
    }

    #[test]
    fn after_two_dashes_nothing_is_an_option() {
        assert_eq!(run("-n -- --a.b=c").config, Path::new("--a.b=c"));
    }

    #[test]
    fn an_instance_can_be_named() {
        assert_eq!(
            run("no_such.instance1").config,
            Path::new("/etc/spectrum2/transports/no_such.instance1.cfg")
        );
        for path in ["./no_such", "no_such.cfg", "No_Such", ".hidden"] {
            assert_eq!(run(path).config, Path::new(path));
        }
    }

    #[test]
    fn check_takes_several_files() {
        assert_eq!(
            parsed("check ./a.cfg irc").unwrap(),
            Command::Check {
                files: vec!["./a.cfg".into(), "/etc/spectrum2/transports/irc.cfg".into()],
                quiet: false
            }
        );
        assert_eq!(refused("check"), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn help_and_version_have_short_forms() {
        assert_eq!(refused("-h"), ErrorKind::DisplayHelp);
        assert_eq!(refused("-v"), ErrorKind::DisplayVersion);
        assert_eq!(parsed("--help-options").unwrap(), Command::HelpOptions);
    }

    #[test]
    fn mistakes_are_refused() {
        assert_eq!(refused("-x ./a.cfg"), ErrorKind::UnknownArgument);
        for wrong in ["", "./a.cfg ./b.cfg", "--service.port ./a.cfg"] {
            assert_eq!(refused(wrong), ErrorKind::WrongNumberOfValues, "{wrong}");
        }
        assert_eq!(refused("./a.cfg --config ./b.cfg"), ErrorKind::ArgumentConflict);
    }
}
