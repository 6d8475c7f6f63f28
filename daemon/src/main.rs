//! `spectrum2`: the transports of one file, from the command line to the exit status.

use std::cell::RefCell;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use spectrum2::backend_link::BackendSource;
use spectrum2::bus::About;
use spectrum2::cli::{self, Command, Run};
use spectrum2::client_links::{self, Sockets};
use spectrum2::exit::Exit;
use spectrum2::gateway::{self, Gateway, Time};
use spectrum2::passed::Passed;
use spectrum2::pidfile::PidFile;
use spectrum2::privileges::{self, Identity};
use spectrum2::run::{self, Core, Front, Parts};
use spectrum2::server::Server;
use spectrum2::standalone::{self, Launcher};
use spectrum2::storage::{OpenError, Storage};
use spectrum2::supervisor::{self, Transport};
use spectrum2::systemd::Notifier;
use spectrum2::unserved::{self, Attempt, Unserved};
use spectrum2::{backend_config, certificate, logging, metrics, pidfile, xmpp_link};
use spectrum2_config::check::report_with;
use spectrum2_config::{Config, ExitKind, Instance, Overrides, Problem, help_text};
use spectrum2_log::journal::Journal;
use spectrum2_log::{Level, log4j, message_id};
use tracing::{error, info, warn};

fn main() -> ExitCode {
    match cli::parse(env::args_os()) {
        Ok(Command::Run(mut run)) => {
            // We change the directory later, and the launcher must find the file as well.
            run.config = std::path::absolute(&run.config).unwrap_or(run.config);
            start(&run)
        }
        Ok(Command::Check { files, quiet }) => check(&files, quiet),
        Ok(Command::BackendConfig { config, output, restart }) => {
            copy_for_backends(&config, &output, restart.as_deref())
        }
        Ok(Command::HelpOptions) => print(&help_text(), Exit::Ok.into()),
        Err(usage) => {
            let exit = if usage.use_stderr() { Exit::Usage } else { Exit::Ok };
            // Nobody reads it: there is nobody left to tell.
            let _ = usage.print();
            exit.into()
        }
    }
}

/// Runs the transports of a file, here or in the background.
fn start(arguments: &Run) -> ExitCode {
    // Read first, so that whoever typed the command sees what is wrong with the file.
    let file = match load(arguments) {
        Ok(file) => file,
        Err(failure) => return failure.report_on_stderr(),
    };
    if !arguments.foreground && !arguments.daemonized {
        return standalone::daemonize(env::args_os().skip(1)).unwrap_or_else(|cause| {
            let text = format!("The transport cannot go to the background: {cause}. Start it with -n.");
            Failure::new(text, Exit::Unavailable).report_on_stderr()
        });
    }
    logging::start(&file.first.config, &vhosts(&file.first.config, arguments));
    for warning in &file.warnings {
        warn!("{warning}");
    }
    let served = if file.first.config.service.server_mode {
        serve(file, arguments, Server::new)
    } else {
        serve(file, arguments, Gateway::new)
    };
    match served {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => failure.report(),
    }
}

/// A transport that is to be served.
struct Wanted {
    config: Config,
    /// What goes before the file. It makes one transport of the file differ from the others.
    overrides: Overrides,
}

/// What a transport file asks for.
struct TransportFile {
    /// The transport that `service.jid` or the command line names.
    first: Wanted,
    /// Those of `vhosts.vhost`, or their JIDs and what the file lacks for them.
    vhosts: Vec<Result<Wanted, (String, Failure)>>,
    warnings: Vec<Problem>,
}

/// Makes the core of a transport: from its options, the time on the core's clock and a seed.
type Make<C> = fn(Arc<Config>, Time, u64) -> Result<C, gateway::Error>;

/// The life of a process.
fn serve<C: Core + 'static>(file: TransportFile, arguments: &Run, make: Make<C>) -> Result<(), Failure> {
    let TransportFile { first, vhosts, .. } = file;
    let jid = &first.config.service.jid;
    info!("Spectrum 2 {} serves {jid} as {}.", env!("CARGO_PKG_VERSION"), first.config.file.display());
    umask(Mode::from_bits_truncate(0o077));
    let others: Vec<&Config> = vhosts.iter().flatten().map(|vhost| &vhost.config).collect();
    let mut passed = Passed::take();
    let for_metrics = passed.named(metrics::NAME);
    let (pid_files, sockets) = become_who_we_are(&first.config, &others, arguments, &mut passed)?;
    // Held until the end: the locks go with them.
    let pid_files = Rc::new(RefCell::new(pid_files));
    logging::open_files();
    let backends = match &arguments.backend_socket {
        Some(socket) => BackendSource::Socket(socket.clone()),
        // As the user that we have become: a plugin that is taken over is no more than that.
        None => BackendSource::Launcher(
            Launcher::start(&first.config.file, &arguments.overrides)
                .map_err(|error| Failure::new(error.to_string(), Exit::Unavailable))?,
        ),
    };
    let backends = Rc::new(backends);
    let metrics = metrics::Sockets::open(&first.config, for_metrics);
    let about_first = about(&first.config, &first.overrides);
    let parts = |wanted: Wanted, sockets: Option<Sockets>| {
        let about = about(&wanted.config, &wanted.overrides);
        let overrides = wanted.overrides.clone();
        let opened = logging::at_once_of_transport(log_of(&about), || Storage::open(&wanted.config));
        let parts = opened
            .map_err(Failure::from)
            .and_then(|storage| parts(wanted, storage, sockets, Rc::clone(&backends), make));
        parts.map_err(|failure| Box::new(Missing { about, overrides, failure }))
    };
    let mut transports = vec![parts(first, sockets)];
    transports.extend(vhosts.into_iter().map(|vhost| match vhost {
        Ok(vhost) => parts(vhost, None),
        Err((jid, failure)) => {
            let overrides = of_vhost(&jid, arguments);
            let about = About { name: jid.clone(), jid, ..about_first.clone() };
            Err(Box::new(Missing { about, overrides, failure }))
        }
    }));
    if transports.iter().all(Result::is_err)
        && let Some(Err(missing)) = transports.pop()
    {
        return Err(missing.failure);
    }
    let transports = transports.into_iter().map(|parts| match parts {
        Ok(parts) => Transport::Served(Box::new(parts)),
        Err(missing) => {
            let Missing { about, overrides, failure } = *missing;
            let again = Again {
                overrides,
                arguments: arguments.clone(),
                pid_files: Rc::clone(&pid_files),
                backends: Rc::clone(&backends),
                make,
            };
            Transport::Unserved(Unserved {
                jid: about.jid.clone(),
                about: Some(about),
                problem: failure.into(),
                again: Box::new(move || again.attempt()),
            })
        }
    });
    supervisor::run(transports.collect(), metrics).map_err(Failure::from)
}

/// A transport of the file that cannot be served now.
struct Missing {
    about: About,
    overrides: Overrides,
    failure: Failure,
}

/// Whose messages are whose in the log.
fn log_of(about: &About) -> logging::Transport {
    logging::Transport { jid: about.jid.clone(), network: about.protocol.clone() }
}

/// What a transport needs that could not be served at the start.
struct Again<C> {
    overrides: Overrides,
    arguments: Run,
    pid_files: Rc<RefCell<Vec<PidFile>>>,
    backends: Rc<BackendSource>,
    make: Make<C>,
}

impl<C: Core + 'static> Again<C> {
    /// Begins anew with the transport file, which may have been mended.
    fn attempt(&self) -> Attempt<C> {
        let (overrides, arguments) = (self.overrides.clone(), self.arguments.clone());
        let held: Vec<PathBuf> = self.pid_files.borrow().iter().map(|file| file.path().to_owned()).collect();
        let (pid_files, backends, make) = (Rc::clone(&self.pid_files), Rc::clone(&self.backends), self.make);
        // A disk may be slow, and another process may hold the database.
        let opened = tokio::task::spawn_blocking(logging::inheriting(move || {
            let (config, _) = load_one(&arguments.config, &overrides)?;
            let service = &config.service;
            let pid_file = if arguments.backend_socket.is_none() && !held.contains(&service.pidfile) {
                take_pid_file(&service.pidfile, &service.jid, &arguments, None)?
            } else {
                None
            };
            let storage = Storage::open(&config)?;
            Ok::<_, Failure>((Wanted { config, overrides }, storage, pid_file))
        }));
        Box::pin(async move {
            let opened = match opened.await {
                Ok(opened) => opened,
                // Nobody aborts it, so it panicked.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            let parts = opened.and_then(|(wanted, storage, pid_file)| {
                pid_files.borrow_mut().extend(pid_file);
                parts(wanted, storage, None, backends, make)
            });
            parts.map(Box::new).map_err(unserved::Problem::from)
        })
    }
}

/// What a transport is made of; `sockets` are for clients, in server mode.
fn parts<C: Core>(
    wanted: Wanted,
    storage: Storage,
    sockets: Option<Sockets>,
    backends: Rc<BackendSource>,
    make: Make<C>,
) -> Result<Parts<C>, Failure> {
    let Wanted { config, overrides } = wanted;
    let xmpp = match sockets {
        // As the user that we have become: what is read now can be read again when it was renewed.
        Some(sockets) => Front::Server(client_links::Settings::from_config(&config, sockets)?),
        None => Front::Component(xmpp_link::Settings::from_config(&config)),
    };
    let bus = Some(about(&config, &overrides));
    let file = config.file.clone();
    let read_again = Box::new(move || read_again(&file, &overrides));
    let core = make(Arc::new(config), run::now(), fastrand::u64(..))
        .map_err(|error| Failure::new(error.to_string(), Exit::Config))?;
    Ok(Parts { core, xmpp, backends, storage, bus, read_again })
}

/// Who we are on the bus.
fn about(config: &Config, overrides: &Overrides) -> About {
    let jid = config.service.jid.clone();
    let instance = Instance::of_file(&config.file).ok().filter(|_| overrides.jid.is_none());
    About {
        // Transports that share a file differ in their JIDs.
        name: instance.map_or_else(|| jid.clone(), |instance| instance.to_string()),
        jid,
        protocol: config.service.protocol.clone(),
        mode: if config.service.server_mode { "server" } else { "gateway" },
        config_file: config.file.display().to_string(),
    }
}

/// Reads the transport file for a reload.
fn read_again(file: &Path, overrides: &Overrides) -> Result<Arc<Config>, String> {
    let (config, warnings) = Config::load(file, overrides).map_err(|problems| problems.to_string())?;
    for warning in warnings {
        warn!("{warning}");
    }
    if let Some(text) = exposed(&config) {
        return Err(text);
    }
    Ok(Arc::new(config))
}

/// Takes what only the user that started us may take, then gives up what is not needed any more.
fn become_who_we_are(
    config: &Config,
    vhosts: &[&Config],
    arguments: &Run,
    passed: &mut Passed,
) -> Result<(Vec<PidFile>, Option<Sockets>), Failure> {
    let service = &config.service;
    let identity = Identity::find(&service.user, &service.group)?;
    if arguments.daemonized {
        standalone::leave_terminal()
            .map_err(|error| Failure::new(format!("setsid: {error}."), Exit::Software))?;
    }
    // One for each transport, as if each had a process: who serves a JID is found, and nobody serves it twice.
    let mut pid_files = Vec::new();
    let mut paths = Vec::new();
    for service in vhosts.iter().chain([&config]).map(|config| &config.service) {
        let path = &service.pidfile;
        if arguments.backend_socket.is_none() && !paths.contains(&path) {
            pid_files.extend(take_pid_file(path, &service.jid, arguments, identity.as_ref())?);
            paths.push(path);
        }
    }
    // Low ports are for root.
    let sockets = if service.server_mode { Some(Sockets::open(service, passed)?) } else { None };
    for vhost in vhosts {
        // Without it there is no database, and opening that one says what to do.
        if let Err(error) = privileges::create_directory(&vhost.service.working_dir, identity.as_ref()) {
            warn!("{error}");
        }
    }
    privileges::create_directory(&service.working_dir, identity.as_ref())?;
    make_log_directories(config, arguments, identity.as_ref());
    match &identity {
        // The unit has chosen the user, and systemd gives us no right to choose another.
        Some(identity) if arguments.backend_socket.is_some() && !identity.is_current() => warn!(
            "service.user={} is ignored: the unit runs this transport as uid {}. Set User= in a drop-in.",
            service.user,
            geteuid()
        ),
        Some(identity) => identity.assume()?,
        None if geteuid().is_root() => {
            warn!("This transport runs as root, and so do its backends. Name another user in service.user.");
        }
        None => {}
    }
    privileges::lock_down()?;
    privileges::enter_directory(&service.working_dir, identity.as_ref())?;
    Ok((pid_files, sockets))
}

/// Makes the directories of the log files. It is no reason not to start that one cannot be made: the file in it is named
/// when it is opened.
fn make_log_directories(config: &Config, arguments: &Run, identity: Option<&Identity>) {
    let (service, logging) = (&config.service, &config.logging);
    let mut properties = vec![&logging.config];
    if arguments.backend_socket.is_none() {
        // Under systemd backends are somebody else, and their unit makes theirs.
        properties.push(&logging.backend_config);
    }
    for file in properties.into_iter().filter(|file| !file.as_os_str().is_empty()) {
        // That a properties file cannot be read is said by whoever needs it.
        let jids = [vec![&*service.jid], vhosts(config, arguments)].concat();
        for directory in jids.iter().flat_map(|jid| log4j::directories(file, jid).unwrap_or_default()) {
            if let Err(error) = privileges::create_directory(&service.working_dir.join(directory), identity) {
                warn!("{error}");
            }
        }
    }
}

/// The pid file keeps a transport from running twice. (Under systemd the unit does.) In the foreground it is no reason not
/// to start that the file cannot be written: Spectrum 2 writes none there.
fn take_pid_file(
    path: &Path,
    jid: &str,
    arguments: &Run,
    identity: Option<&Identity>,
) -> Result<Option<PidFile>, Failure> {
    let directory =
        path.parent().map_or(Ok(()), |directory| privileges::create_directory(directory, identity));
    match (directory.map_err(Failure::from), PidFile::take(path)) {
        (_, Ok(file)) => Ok(Some(file)),
        (_, Err(error @ pidfile::Error::Taken { .. })) => {
            let failure = Failure::from(error);
            Err(Failure { text: format!("{jid}: {}", failure.text), ..failure })
        }
        (Err(failure), Err(_)) if arguments.daemonized => Err(failure),
        (Ok(()), Err(error)) if arguments.daemonized => Err(error.into()),
        (_, Err(error)) => {
            warn!("{error} Without it nothing keeps this transport from being started twice.");
            Ok(None)
        }
    }
}

fn load(arguments: &Run) -> Result<TransportFile, Failure> {
    let path = &arguments.config;
    let (config, mut warnings) = load_one(path, &arguments.overrides)?;
    let vhosts = vhosts(&config, arguments).into_iter().map(|jid| {
        let overrides = of_vhost(jid, arguments);
        let (config, more) = load_one(path, &overrides).map_err(|failure| (jid.to_owned(), failure))?;
        warnings.extend(more.into_iter().filter(|warning| !warnings.contains(warning)).collect::<Vec<_>>());
        Ok(Wanted { config, overrides })
    });
    let vhosts = vhosts.collect();
    let overrides = arguments.overrides.clone();
    Ok(TransportFile { vhosts, first: Wanted { config, overrides }, warnings })
}

/// JIDs of the transports that are served beside that of `config`.
fn vhosts<'a>(config: &'a Config, arguments: &Run) -> Vec<&'a str> {
    // COMPAT(Spectrum 2): its manager starts one process for each, all with -j.
    if arguments.overrides.jid.is_none() { config.further_jids() } else { Vec::new() }
}

/// The options of the command line for one of those.
fn of_vhost(jid: &str, arguments: &Run) -> Overrides {
    Overrides { jid: Some(jid.to_owned()), ..arguments.overrides.clone() }
}

fn load_one(path: &Path, overrides: &Overrides) -> Result<(Config, Vec<Problem>), Failure> {
    let (config, warnings) = Config::load(path, overrides).map_err(|problems| {
        let exit = match problems.exit_kind() {
            ExitKind::NotPermitted => Exit::NotPermitted,
            ExitKind::Ok | ExitKind::Configuration => Exit::Config,
        };
        Failure::new(problems.to_string(), exit)
    })?;
    match exposed(&config) {
        Some(text) => Err(Failure::new(text, Exit::NotPermitted).explained_by(message_id::SECRET_EXPOSED)),
        None => Ok((config, warnings)),
    }
}

/// Secrets that everybody on the machine can read, a line each, with what mends it.
fn exposed(config: &Config) -> Option<String> {
    let exposed = config.exposed_secrets();
    let lines: Vec<_> = exposed.iter().map(ToString::to_string).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn check(files: &[PathBuf], quiet: bool) -> ExitCode {
    let mut worst = ExitKind::Ok;
    for file in files {
        let (text, exit) = report_with(file, &Overrides::default(), &certificate::remarks);
        if exit.code() > worst.code() {
            worst = exit;
        }
        if !quiet || exit != ExitKind::Ok {
            print(&text, ExitCode::SUCCESS);
        }
    }
    ExitCode::from(worst.code())
}

fn copy_for_backends(config: &Path, output: &Path, restart: Option<&str>) -> ExitCode {
    match backend_config::write(config, output) {
        Ok(has_changed) => match restart.filter(|_| has_changed) {
            Some(unit) => restart_unit(unit),
            None => Exit::Ok.into(),
        },
        Err(error) => {
            let exit = match error.cause.kind() {
                io::ErrorKind::NotFound => Exit::Config,
                _ => Exit::NotPermitted,
            };
            Failure::new(error.to_string(), exit).report_on_stderr()
        }
    }
}

/// Restarts a unit that runs.
fn restart_unit(unit: &str) -> ExitCode {
    match process::Command::new("systemctl").args(["try-restart", unit]).status() {
        Ok(status) if status.success() => Exit::Ok.into(),
        Ok(_) => Exit::Unavailable.into(),
        Err(error) => Failure::new(format!("systemctl cannot be started: {error}."), Exit::Unavailable)
            .report_on_stderr(),
    }
}

/// A pipe that nobody reads any more (`| head`) is no fault.
fn print(text: &str, exit: ExitCode) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    exit
}

/// Why the transport cannot go on: one problem a line, and the exit status that says what kind it is.
struct Failure {
    text: String,
    exit: Exit,
    message_id: &'static str,
}

impl Failure {
    const fn new(text: String, exit: Exit) -> Self {
        let message_id = match exit {
            Exit::NotPermitted => message_id::NOT_PERMITTED,
            Exit::Unavailable => message_id::BACKEND_UNAVAILABLE,
            Exit::Ok | Exit::Usage | Exit::Software | Exit::Config => message_id::CONFIGURATION_WRONG,
        };
        Self { text, exit, message_id }
    }

    /// With another explanation in the journal's catalog than the one that fits most failures of its kind.
    fn explained_by(self, message_id: &'static str) -> Self {
        Self { message_id, ..self }
    }

    /// Into the log.
    fn report(self) -> ExitCode {
        for line in self.text.lines() {
            error!(message_id = self.message_id, "{line}");
        }
        self.tell_service_manager()
    }

    /// To the person who typed the command; nothing is logged yet.
    fn report_on_stderr(self) -> ExitCode {
        match Journal::of_stderr("spectrum2", &[]) {
            Some(journal) => {
                self.text
                    .lines()
                    .for_each(|line| journal.send(Level::Error, line, Some(self.message_id), &[]));
            }
            None => drop(writeln!(io::stderr(), "{}", self.text)),
        }
        self.tell_service_manager()
    }

    fn tell_service_manager(&self) -> ExitCode {
        // The first line is the first problem; systemctl shows one line.
        Notifier::from_env().status_now(self.text.lines().next().unwrap_or_default());
        self.exit.into()
    }
}

impl From<Failure> for unserved::Problem {
    fn from(Failure { text, message_id, .. }: Failure) -> Self {
        Self { text, message_id }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(error.to_string(), Exit::from(&error)).explained_by(message_id::DATABASE_UNUSABLE)
    }
}

impl From<privileges::Error> for Failure {
    fn from(error: privileges::Error) -> Self {
        Self::new(error.to_string(), Exit::from(&error))
    }
}

impl From<pidfile::Error> for Failure {
    fn from(error: pidfile::Error) -> Self {
        let exit = match error {
            pidfile::Error::Taken { .. } => Exit::Unavailable,
            _ => Exit::NotPermitted,
        };
        let message_id = match error {
            pidfile::Error::Taken { .. } => message_id::RUNS_ALREADY,
            _ => message_id::NOT_PERMITTED,
        };
        Self::new(error.to_string(), exit).explained_by(message_id)
    }
}

impl From<client_links::OpenError> for Failure {
    fn from(error: client_links::OpenError) -> Self {
        let exit = match error {
            client_links::OpenError::Denied { .. } => Exit::NotPermitted,
            _ => Exit::Unavailable,
        };
        Self::new(error.to_string(), exit)
    }
}

impl From<certificate::Error> for Failure {
    fn from(error: certificate::Error) -> Self {
        let exit = if error.denied { Exit::NotPermitted } else { Exit::Config };
        Self::new(error.to_string(), exit).explained_by(message_id::CERTIFICATE_UNUSABLE)
    }
}

impl From<run::Failure> for Failure {
    fn from(error: run::Failure) -> Self {
        let message_id = match error {
            run::Failure::Refused(_) => message_id::COMPONENT_REFUSED,
            run::Failure::Unavailable(_) => message_id::COMPONENT_LOST,
            run::Failure::Misconfigured(_) => message_id::BACKEND_USELESS,
            run::Failure::Storage => message_id::DATABASE_FAILED,
            _ => message_id::NOT_PERMITTED,
        };
        Self::new(error.to_string(), error.exit()).explained_by(message_id)
    }
}
