//! `create`: a new transport, from nothing to a connection.
//!
//! Guarantees that nothing is written before everything was asked and checked, that no file is overwritten, and that
//! the secret is in a file which only root and the transports can read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use nix::unistd::Group;
use serde_json::json;
use spectrum2_config::{
    Config, Instance, InstanceError, Overrides, Secret, SecretSource, System, check_domain,
};

use super::lifecycle::{Order, Outcome, carry_out, print};
use super::{Context, snippet};
use crate::arguments::{Create, XmppServer};
use crate::dropins::DEFAULT_USER;
use crate::fleet::{Fleet, Transport};
use crate::outcome::{Exit, Failure, io_failure};
use crate::terminal::Terminal;
use crate::units;

/// A transport that can be written.
pub struct Plan {
    instance: Instance,
    jid: String,
    port: u16,
    secret: Secret,
    xmpp_server: XmppServer,
    file: PathBuf,
    text: String,
    start: bool,
    dry_run: bool,
}

/// The file that `create` puts the secret into.
pub fn secret_file(transport_file: &Path) -> PathBuf {
    transport_file.with_extension("secret")
}

/// Asks for what is missing, and checks that a transport can be made of it.
pub fn plan(context: &Context, wanted: &Create) -> Result<Plan, Failure> {
    let terminal = context.terminal;
    name_what_is_missing(terminal, wanted)?;
    let jid = given_or_asked(wanted.jid.as_deref(), jid, |read| {
        terminal.ask("JID of the transport", None, "--jid", read)
    })?;
    let first_label = jid.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let instance = given_or_asked(wanted.name.as_deref(), instance, |read| {
        terminal.ask("Name for systemd", Some(&first_label), "--name", read)
    })?;
    let protocol = given_or_asked(wanted.protocol.as_deref(), protocol, |read| {
        terminal.ask("Protocol, for example prpl-irc", None, "--protocol", read)
    })?;
    let server =
        optional(terminal, wanted.server.as_deref(), "Host of the XMPP server", "127.0.0.1", |host| {
            Ok(host.to_owned())
        })?;
    let port = match wanted.port {
        Some(port) => port,
        None => optional(terminal, None, "Component port of the XMPP server", "5347", port)?,
    };
    let xmpp_server = match wanted.xmpp_server {
        Some(xmpp_server) => xmpp_server,
        None => terminal.ask("Kind of the XMPP server", Some("prosody"), "--xmpp-server", |kind| {
            XmppServer::from_str(kind, true)
                .map_err(|_| "Lines are known for the configuration of prosody and ejabberd.".to_owned())
        })?,
    };
    let secret = secret(wanted)?;

    let file = instance.file(&context.settings.config_directory);
    let text = transport_file(&file, &jid, &server, port, &protocol);
    check(context, &file, &text, &jid, &secret)?;
    let (start, dry_run) = (!wanted.no_start, wanted.dry_run);
    Ok(Plan { instance, jid, port, secret, xmpp_server, file, text, start, dry_run })
}

/// Where nobody can be asked: all at once.
fn name_what_is_missing(terminal: Terminal, wanted: &Create) -> Result<(), Failure> {
    let options = [
        (wanted.jid.is_none(), "--jid"),
        (wanted.name.is_none(), "--name"),
        (wanted.protocol.is_none(), "--protocol"),
        (wanted.xmpp_server.is_none(), "--xmpp-server (prosody or ejabberd)"),
    ];
    let missing: Vec<_> =
        options.into_iter().filter_map(|(is_missing, option)| is_missing.then_some(option)).collect();
    if terminal.can_ask() || missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!("Nobody is here to be asked. Give {}.", missing.join(", "))))
}

/// What was given, if it is right, else an answer.
fn given_or_asked<T, R: Fn(&str) -> Result<T, String>>(
    given: Option<&str>,
    read: R,
    ask: impl FnOnce(R) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match given {
        Some(given) => read(given).map_err(Failure::usage),
        None => ask(read),
    }
}

/// What was given, else an answer, else the default: nobody need be there for it.
fn optional<T>(
    terminal: Terminal,
    given: Option<&str>,
    question: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    match given {
        None if terminal.can_ask() => terminal.ask(question, Some(default), "", read),
        given => read(given.unwrap_or(default)).map_err(Failure::usage),
    }
}

fn jid(text: &str) -> Result<String, String> {
    check_domain(text).map(|()| text.to_owned())
}

fn instance(text: &str) -> Result<Instance, String> {
    text.parse().map_err(|error: InstanceError| error.to_string())
}

fn protocol(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("“{}” is no protocol. Write for example prpl-irc.", crate::table::plain(text))),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| *number != 0);
    number.ok_or_else(|| "The port is a number from 1 to 65535.".to_owned())
}

fn secret(wanted: &Create) -> Result<Secret, Failure> {
    const LENGTH: usize = 32;
    let Some(file) = &wanted.secret_file else { return generated_secret(LENGTH) };
    let secret = System::default()
        .file(file)
        .map_err(|error| io_failure(format_args!("{}", file.display()), &error))?;
    if secret.is_empty() {
        return Err(Failure::usage(format!("{} is empty.", file.display())));
    }
    Ok(secret)
}

/// Letters and digits, from the random numbers of the kernel.
fn generated_secret(length: usize) -> Result<Secret, Failure> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.";
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")
        .and_then(|mut random| io::Read::read_exact(&mut random, &mut bytes))
        .map_err(|error| io_failure("/dev/urandom", &error))?;
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 64)).copied().map_or('x', char::from);
    Ok(Secret::new(bytes.iter().map(letter).collect()))
}

fn transport_file(file: &Path, jid: &str, server: &str, port: u16, protocol: &str) -> String {
    format!(
        "# Transport {jid}. All options: spectrum2 --help-options\n\
         [service]\n\
         jid = {jid}\n\
         server = {server}\n\
         port = {port}\n\
         password_file = {}\n\
         protocol = {protocol}\n",
        secret_file(file).display()
    )
}

/// Whether the transport could run, and would be in nobody's way.
fn check(context: &Context, file: &Path, text: &str, jid: &str, secret: &Secret) -> Result<(), Failure> {
    let config_failure = |text: String| Failure { exit: Exit::Config, text };
    if let Some(broken) = text.lines().find(|line| line.contains(char::is_control)) {
        return Err(Failure::usage(format!("“{}” has a control character.", crate::table::plain(broken))));
    }
    let source = OneSecret(secret.clone());
    Config::parse(text, file, &Overrides::default(), &source)
        .map_err(|problems| config_failure(problems.to_string()))?;
    let secret_file = secret_file(file);
    if let Some(there) = [file, &secret_file].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Failure::failed(format!(
            "{} exists already. Choose another --name, or remove the transport first.",
            there.display()
        )));
    }
    let fleet = match context.settings.config_directory.exists() {
        true => Fleet::load(&context.settings.config_directory)?,
        false => Fleet::default(),
    };
    match fleet.find(jid) {
        Ok(other) => Err(Failure::failed(format!("{} is the JID of {} already.", jid, other.name))),
        Err(_) => Ok(()),
    }
}

/// The secret of a file that is not there yet.
struct OneSecret(Secret);

impl SecretSource for OneSecret {
    fn credential(&self, _: &str) -> io::Result<Option<Secret>> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Ok(self.0.clone())
    }
}

/// Writes it, says what the XMPP server needs, starts it, and waits for the handshake.
pub async fn run(context: &Context, plan: &Plan) -> Result<Exit, Failure> {
    let terminal = context.terminal;
    let lines = snippet::of(plan.xmpp_server, &plan.jid, plan.port, plan.secret.expose());
    if plan.dry_run {
        let would = if plan.start { "Would write, enable and start" } else { "Would write" };
        terminal.note(&format!("{would} {}:", plan.file.display()));
        terminal.print(&plan.text);
        return Ok(Exit::Ok);
    }
    write(context, plan)?;
    if !terminal.json {
        terminal.note(&format!(
            "Wrote {}. {}\n",
            plan.file.display(),
            snippet::instructions(plan.xmpp_server)
        ));
        terminal.print(&format!("{lines}\n"));
    }
    let started = if plan.start { start(context, plan).await } else { Ok(Vec::new()) };
    if terminal.json {
        terminal.print_json(&json!({
            "name": plan.instance.as_str(),
            "file": plan.file,
            "secret_file": secret_file(&plan.file),
            "xmpp_server_configuration": lines,
            "start": started.as_deref().unwrap_or_default().first(),
        }));
    }
    Ok(worst(&started?))
}

fn write(context: &Context, plan: &Plan) -> Result<(), Failure> {
    let directory = &context.settings.config_directory;
    let group = Group::from_name(DEFAULT_USER).ok().flatten();
    if group.is_none() {
        context.terminal.note(&format!(
            "There is no group {DEFAULT_USER}, so only root can read the new files. Install the transport daemon."
        ));
    }
    if !directory.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(|error| io_failure(format_args!("{}", directory.display()), &error))?;
    }
    let secret = secret_file(&plan.file);
    write_file(&secret, &format!("{}\n", plan.secret.expose()), group.as_ref())?;
    write_file(&plan.file, &plan.text, group.as_ref()).inspect_err(|_| {
        // A secret without a transport would be in the way of the next attempt.
        let _ = fs::remove_file(&secret);
    })
}

/// Writes a new file that only its owner may change and only the group may read.
fn write_file(path: &Path, text: &str, group: Option<&Group>) -> Result<(), Failure> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        if let Some(group) = group {
            fchown(&file, None, Some(group.gid.as_raw()))?;
        }
        // After the change of the group, and whatever the umask is.
        file.set_permissions(Permissions::from_mode(if group.is_some() { 0o640 } else { 0o600 }))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(path);
        }
        io_failure(format_args!("{} cannot be written", path.display()), &error)
    })
}

fn worst(outcomes: &[Outcome]) -> Exit {
    outcomes.iter().map(Outcome::exit).max().unwrap_or(Exit::Ok)
}

/// How the start went; nothing where somebody must start it by hand.
async fn start(context: &Context, plan: &Plan) -> Result<Vec<Outcome>, Failure> {
    let machine = context.machine().await?;
    let name = plan.instance.as_str();
    let Some(systemd) = &machine.systemd else {
        context.terminal.note(&format!(
            "systemd does not run here. Start the transport with: spectrum2 -n {}",
            plan.file.display()
        ));
        return Ok(Vec::new());
    };
    systemd.set_enabled(&[units::daemon(&plan.instance)], true).await?;
    let fleet = Fleet::load(&context.settings.config_directory)?;
    let transport: Transport = fleet.find(name)?.clone();
    context.terminal.note(&format!("Starting {name}; it is ready when the XMPP server knows it."));
    let outcomes =
        carry_out(context, &machine, systemd, Order::Start, std::slice::from_ref(&transport)).await?;
    let exit = if context.terminal.json { worst(&outcomes) } else { print(context, &outcomes) };
    match exit {
        Exit::Ok => {}
        Exit::NotRunning => context.terminal.note(&format!(
            "It goes on trying. Add the lines above to the XMPP server, then: spectrum2_manager status {name}"
        )),
        _ => context
            .terminal
            .note(&format!("Its files stay. Once the cause is mended: spectrum2_manager restart {name}")),
    }
    Ok(outcomes)
}
