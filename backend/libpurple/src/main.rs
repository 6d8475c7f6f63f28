//! The libpurple backend of Spectrum 2: logs users of a transport in to legacy networks.
//!
//! The program reads its transport file, starts libpurple, and then either forks a process for each connection that the
//! launcher hands over ([`zygote`]) or connects to a daemon itself, as the backends of Spectrum 2 do. Each such process
//! serves one daemon and up to `service.users_per_backend` users ([`mod@serve`]), one [`session`] each.
//!
//! Everything runs on one thread, on GLib's main loop, except name look-ups ([`dns`]). All contact with libpurple is in
//! [`purple`], the one module with `unsafe`.

#![deny(unsafe_code)]

mod bookmarks;
mod cli;
mod confirm;
mod contact;
mod dns;
mod html;
mod irc;
mod link;
mod log;
mod message;
mod options;
mod pace;
mod purple;
mod request;
mod room;
mod serve;
mod session;
mod settings;
mod status;
mod store;
mod vcard;
mod zygote;

use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use cli::{Mode, Options};
use nix::sys::socket::{UnixAddr, getpeername};
use settings::Settings;
use spectrum2_backend_protocol::endpoint;
use spectrum2_log::message_id::BACKEND_USELESS;

/// sysexits(3): wrong command line.
const USAGE: u8 = 64;
/// sysexits(3): something needed is not there.
const UNAVAILABLE: u8 = 69;
/// sysexits(3): wrong configuration.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    purple::os::let_crashes_kill();
    // Asked for before the process shows its title in their place.
    let arguments: Vec<_> = std::env::args_os().collect();
    let result = match cli::parse(arguments.iter().skip(1).cloned()) {
        Ok(Mode::Version) => {
            // The launcher looks for the word.
            println!("spectrum2_libpurple_backend {} (zygote)", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(Mode::Help) => {
            print!("{}", cli::USAGE);
            Ok(())
        }
        Ok(Mode::Zygote(options)) => start_zygote(&options),
        Ok(Mode::Connect(host, port, options)) => connect(&host, port, &options, &arguments),
        Err(text) => Err((USAGE, text)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, text)) => {
            text.lines().for_each(|line| log::error(format_args!("{line}")));
            ExitCode::from(status)
        }
    }
}

type Failure = (u8, String);

/// Initialises once, serves in forked children.
fn start_zygote(options: &Options) -> Result<(), Failure> {
    let unavailable = |error: zygote::ZygoteError| (UNAVAILABLE, error.to_string());
    let deaths = zygote::Deaths::watch().map_err(unavailable)?;
    let (mut settings, problem) = prepare(options)?;
    let name = name_of(&options.config);
    match zygote::run(&deaths, &name, problem.as_deref()).map_err(unavailable)? {
        Some((socket, number)) => {
            if let Some(jid) = transport_of(&socket, &settings) {
                settings.jid = jid;
                log::start(&settings.jid, &settings.protocol, settings.debug);
            }
            log::open_files(&settings.logging, &settings.jid, &number);
            serve(settings, options, socket, problem)
        }
        None => Ok(()),
    }
}

/// The transport that a connection is for, if it is another one than the first of the file.
fn transport_of(connection: &OwnedFd, settings: &Settings) -> Option<String> {
    let daemon: UnixAddr = getpeername(connection.as_raw_fd()).ok()?;
    let jid = endpoint::jid(daemon.as_abstract()?)?;
    settings.other_jids.iter().find(|other| *other == jid).cloned()
}

/// Connects to a daemon, as the backends of Spectrum 2 do.
fn connect(
    host: &str,
    port: u16,
    options: &Options,
    arguments: &[std::ffi::OsString],
) -> Result<(), Failure> {
    restart_without_gstreamer(arguments)?;
    let (settings, problem) = prepare(options)?;
    log::open_files(&settings.logging, &settings.jid, &settings.backend_id);
    let socket = TcpStream::connect((host, port))
        .and_then(|socket| socket.set_nodelay(true).map(|()| socket))
        .map_err(|error| (UNAVAILABLE, format!("The daemon at {host}:{port} cannot be reached: {error}.")))?;
    serve(settings, options, socket.into(), problem)
}

/// Reads the transport file and starts libpurple. Also gives the reason why no login can work, if there is one.
fn prepare(options: &Options) -> Result<(Settings, Option<String>), Failure> {
    let settings = Settings::load(options).map_err(|text| (CONFIGURATION, text))?;
    log::start(&settings.jid, &settings.protocol, settings.debug);
    let debug = log::look_at(&settings.logging, &settings.jid) || settings.debug;
    std::fs::create_dir_all(&settings.state).map_err(|error| {
        let place = settings.state.display();
        (
            CONFIGURATION,
            format!("{place} cannot be made: {error}. Correct service.working_dir or its rights."),
        )
    })?;
    purple::start(&settings.state, &settings.plugins, &settings.authorities, debug)
        .map_err(|error| (UNAVAILABLE, error.to_string()))?;
    purple::forget_saved_certificates();
    if !settings.verify_certs {
        log::warning(format_args!("Certificates are not verified, as service.verify_certs=0 says"));
    }
    let problem = serve::missing_plugin(&settings.protocol);
    if let Some(text) = &problem {
        log::error_with_id(BACKEND_USELESS, format_args!("{}: {text}", options.config.display()));
    }
    Ok((settings, problem))
}

fn serve(
    settings: Settings,
    options: &Options,
    socket: OwnedFd,
    problem: Option<String>,
) -> Result<(), Failure> {
    let name = name_of(&options.config);
    serve::run(settings, name, socket, problem)
        .map_err(|error| (UNAVAILABLE, format!("The connection to the daemon cannot be used: {error}.")))
}

/// What the transport is called: the stem of its file.
fn name_of(config: &Path) -> String {
    config.file_stem().map_or_else(|| "transport".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// libpurple looks for a video sink through GStreamer, which loads all of Mesa: 64 MB and up to half a second. The
/// launcher sets the environment against that; here the program starts itself again with it.
fn restart_without_gstreamer(arguments: &[std::ffi::OsString]) -> Result<(), Failure> {
    const PLUGINS: &str = "GST_PLUGIN_SYSTEM_PATH_1_0";
    if std::env::var_os(PLUGINS).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe()
        .map_err(|error| (UNAVAILABLE, format!("The program does not find itself in /proc: {error}.")))?;
    let error = Command::new(program)
        .args(arguments.iter().skip(1))
        .env(PLUGINS, "/nonexistent")
        .env("GST_REGISTRY", "/nonexistent/registry")
        // A backtrace loads debug information into memory for good.
        .env_remove("RUST_BACKTRACE")
        // Dialogs are recognised by their English titles.
        .env_remove("LC_ALL")
        .env("LC_MESSAGES", "C")
        .exec();
    Err((UNAVAILABLE, format!("The program cannot start itself again: {error}.")))
}
