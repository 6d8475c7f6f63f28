//! The command line. Also the source of help and completions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::settings::DEFAULT_FILE;

const AFTER_HELP: &str = "\
NAME is the stem of a file in /etc/spectrum2/transports; the JID of the transport or of one of its vhosts will do
as well. 'spectrum2_manager NAME COMMAND...' asks a running transport; 'NAME help' lists its commands.

Exit status: 0 all is well, 1 it failed, 3 a transport is stopped or not connected, 4 not permitted, 64 wrong usage,
69 systemd, the bus or the transport is not there, 78 a transport file is wrong.";

/// What the command line says.
#[derive(Debug, Parser)]
#[command(name = "spectrum2_manager", version, about = "Manages Spectrum 2 transports", after_help = AFTER_HELP)]
pub struct Arguments {
    /// Settings of the manager
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up waiting after so many seconds; what was begun goes on
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=86400))]
    timeout: u32,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// How long to wait at most.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}

/// Transports by name or JID; none stands for all.
#[derive(Debug, Args)]
pub struct Names {
    /// Transports, all if none is named
    #[arg(value_name = "NAME|JID")]
    pub names: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the JIDs of all transports
    List,
    /// Say how transports do; of a single one everything
    Status {
        /// Transports, all if none is named
        #[arg(value_name = "NAME|JID")]
        names: Vec<String>,
        /// The lines of Spectrum 2: "FILE": JID Running
        #[arg(long)]
        short: bool,
    },
    /// Start transports and wait until they are connected
    Start(Names),
    /// Stop transports
    Stop(Names),
    /// Restart transports; without names those that run
    Restart(Names),
    /// Let running transports read their files again
    Reload(Names),
    /// Start transports at boot
    Enable(Names),
    /// Do not start transports at boot
    Disable(Names),
    /// Say what is wrong with transport files
    Check {
        /// Transports or files, all transports if none is named
        #[arg(value_name = "NAME|FILE")]
        names: Vec<String>,
    },
    /// Set up a new transport, and say what the XMPP server needs
    Create(Box<Create>),
    /// Stop a transport and remove its file
    Remove {
        /// Transport
        #[arg(value_name = "NAME|JID")]
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// List the users of a transport and their logins
    Users {
        /// Transport
        #[arg(value_name = "NAME|JID")]
        name: String,
    },
    /// Look at or change one user
    #[command(subcommand)]
    User(User),
    /// List the backend processes of a transport
    Backends {
        /// Transport
        #[arg(value_name = "NAME|JID")]
        name: String,
    },
    /// Show the journal of transports and their backends
    Log {
        /// Transport, all if none is named
        #[arg(value_name = "NAME|JID")]
        name: Option<String>,
        /// Go on with new messages
        #[arg(short, long)]
        follow: bool,
        /// Show so many messages
        #[arg(short = 'n', long, value_name = "NUMBER")]
        lines: Option<u32>,
    },
    /// Let a running transport log more for some time
    LogLevel {
        /// Transport
        #[arg(value_name = "NAME|JID")]
        name: String,
        /// From which level on: error, warn, info, debug or trace
        level: String,
        /// Part of the daemon: core, xmpp, backends, storage or bus [default: all]
        #[arg(long, default_value = "", hide_default_value = true)]
        subsystem: String,
        /// Bare JID of the user that it is about [default: all]
        #[arg(long, default_value = "", hide_default_value = true)]
        user: String,
        /// For how long
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        seconds: u32,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// Shell
        shell: Shell,
    },
    // COMPAT(Spectrum 2): the web interface.
    #[command(hide = true, disable_help_flag = true)]
    /// Not part of this version
    Server {
        /// Ignored
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
    // COMPAT(Spectrum 2): JID COMMAND WORDS...
    /// Ask a running transport
    #[command(external_subcommand)]
    Ask(Vec<String>),
}

/// A transport to set up. What is not given is asked for on a terminal.
#[derive(Debug, Args)]
pub struct Create {
    /// Name: a-z, 0-9, “_” and “.”
    #[arg(long)]
    pub name: Option<String>,
    /// JID of the transport, for example irc.example.org
    #[arg(long)]
    pub jid: Option<String>,
    /// Host of the XMPP server [default: 127.0.0.1]
    #[arg(long, value_name = "HOST")]
    pub server: Option<String>,
    /// Component port of the XMPP server [default: 5347]
    #[arg(long)]
    pub port: Option<u16>,
    /// File with the secret that the XMPP server knows already; it is copied
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub secret_file: Option<PathBuf>,
    /// Make up a secret
    #[arg(long)]
    pub generate: bool,
    /// Protocol of the legacy network, for example prpl-irc
    #[arg(long)]
    pub protocol: Option<String>,
    /// Kind of the XMPP server, for the lines that its configuration needs
    #[arg(long, value_name = "KIND")]
    pub xmpp_server: Option<XmppServer>,
    /// Write the files only
    #[arg(long)]
    pub no_start: bool,
    /// Say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// An XMPP server whose configuration we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum XmppServer {
    /// Prosody
    Prosody,
    /// ejabberd
    Ejabberd,
}

/// What to do with a user.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Show everything but secrets
    Show(Who),
    /// Register a user; the password of the account is asked for, or read from standard input
    Register {
        /// The user
        #[command(flatten)]
        who: Who,
        /// Name of the account on the legacy network
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// The account has no password, as on IRC
        #[arg(long)]
        no_password: bool,
    },
    /// Remove the registration
    Unregister(Who),
    /// Log in to the legacy network
    Login(Who),
    /// Log out of the legacy network
    Logout(Who),
    /// Print all that is stored about a user, as JSON
    Export(Who),
    /// Remove the registration and all that is stored
    Erase {
        /// The user
        #[command(flatten)]
        who: Who,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// A user of a transport.
#[derive(Debug, Args)]
pub struct Who {
    /// Transport
    #[arg(value_name = "NAME|JID")]
    pub transport: String,
    /// Bare JID of the user
    #[arg(value_name = "USER")]
    pub user: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> Command {
        Arguments::try_parse_from(line.split_whitespace()).unwrap().command
    }

    #[test]
    fn the_declarations_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_spectrum_2_understood_is_understood() {
        for line in ["m list", "m status", "m start", "m stop", "m restart", "m -c /etc/x.cfg status"] {
            assert!(!matches!(parsed(line), Command::Ask(_)), "{line}");
        }
        let Command::Ask(words) = parsed("m irc.example.org register a@b.c name -x") else { panic!() };
        assert_eq!(words, ["irc.example.org", "register", "a@b.c", "name", "-x"]);
    }

    #[test]
    fn options_stand_on_either_side() {
        let arguments = Arguments::try_parse_from(["m", "status", "--json", "--timeout", "5"]).unwrap();
        assert!(arguments.json);
        assert_eq!(arguments.timeout(), Duration::from_secs(5));
        assert!(Arguments::try_parse_from(["m", "--timeout", "0", "list"]).is_err());
    }
}
