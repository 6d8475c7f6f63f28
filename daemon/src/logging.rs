//! Log messages: to the journal with fields, or as lines on standard error; and to the files of `logging.config`.
//!
//! `service.log_level` says how much; the environment variable `SPECTRUM2_LOG` goes before it and can name modules, for
//! example `info,spectrum2::gateway=debug`. In the journal each message has the fields `SYSLOG_IDENTIFIER=spectrum2`,
//! `SPECTRUM2_TRANSPORT=` with the JID of the transport and `SPECTRUM2_NETWORK=` with its protocol, so that
//! `journalctl SPECTRUM2_TRANSPORT=icq.example.org` shows one transport also when it runs outside its unit; fields of the
//! message itself follow suit (`user` is `SPECTRUM2_USER=`). The field `message_id` is the journal's own `MESSAGE_ID=`, by
//! which the catalog explains what an admin must act on.
//!
//! The files have levels of their own: what Spectrum 2's properties file says holds for them, whatever the journal gets.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use spectrum2_config::{Config, LogLevel};
use spectrum2_log::journal::Journal;
use spectrum2_log::log4j::{self, Variables};
use spectrum2_log::{Level, Record, message_id};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that goes before `service.log_level`.
const VARIABLE: &str = "SPECTRUM2_LOG";

/// Parts of the daemon whose level can be raised, with their modules.
const SUBSYSTEMS: [(&str, &str); 5] = [
    ("core", "spectrum2::gateway"),
    ("xmpp", "spectrum2::xmpp_link"),
    ("backends", "spectrum2::backend_link"),
    ("storage", "spectrum2::storage"),
    ("bus", "spectrum2::bus"),
];

/// COMPAT(Spectrum 2): the names of its loggers, which properties files name, for our modules; the longest path counts.
/// `Component.RAW` is not among them: stanzas are not logged.
const LOGGERS: [(&str, &str); 24] = [
    ("spectrum2", "Spectrum"),
    ("spectrum2::backend_link", "NetworkPluginServer"),
    ("spectrum2::bus", "AdminInterface"),
    ("spectrum2::gateway", "UserManager"),
    ("spectrum2::gateway::adhoc", "AdHocManager"),
    ("spectrum2::gateway::admin", "AdminInterface"),
    ("spectrum2::gateway::contact", "RosterManager"),
    ("spectrum2::gateway::disco", "DiscoInfoResponder"),
    ("spectrum2::gateway::frame", "NetworkPluginServer"),
    ("spectrum2::gateway::iq", "GatewayResponder"),
    ("spectrum2::gateway::message", "ConversationManager"),
    ("spectrum2::gateway::muc", "ConversationManager"),
    ("spectrum2::gateway::pool", "NetworkPluginServer"),
    ("spectrum2::gateway::registration", "UserRegistration"),
    ("spectrum2::gateway::room", "ConversationManager"),
    ("spectrum2::gateway::roster", "RosterManager"),
    ("spectrum2::gateway::session", "User"),
    ("spectrum2::gateway::subscription", "RosterManager"),
    ("spectrum2::gateway::user", "User"),
    ("spectrum2::gateway::vcard", "VCardResponder"),
    ("spectrum2::run", "Component"),
    ("spectrum2::storage", "SQLite3Backend"),
    ("spectrum2::storage::place", "SQLite3Backend"),
    ("spectrum2::xmpp_link", "Component"),
];
/// Levels that may be raised at a time.
const RAISED: usize = 16;

/// Which transport a message is about.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Its JID.
    pub jid: String,
    /// The protocol of its network.
    pub network: String,
}

tokio::task_local! {
    static TRANSPORT: Transport;
}

/// What is done for one transport of several in this process: its messages are known by it.
pub async fn of_transport<F: Future>(transport: Transport, work: F) -> F::Output {
    TRANSPORT.scope(transport, work).await
}

/// As [`of_transport`], for what is done at once.
pub fn at_once_of_transport<T>(transport: Transport, work: impl FnOnce() -> T) -> T {
    TRANSPORT.sync_scope(transport, work)
}

/// For a task of its own: its messages are known by the transport that starts it.
pub fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let transport = TRANSPORT.try_with(Clone::clone);
    async move {
        match transport {
            Ok(transport) => of_transport(transport, work).await,
            Err(_) => work.await,
        }
    }
}

/// For a thread of its own: its messages are known by the transport that starts it.
pub fn inheriting<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let transport = TRANSPORT.try_with(Clone::clone);
    move || match transport {
        Ok(transport) => at_once_of_transport(transport, work),
        Err(_) => work(),
    }
}

/// The log of this process; none before [`start`].
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// Sends everything that is logged from now on to where it belongs; files wait for [`open_files`]. `others` are the JIDs of
/// the transports that this process serves beside that of `config`. A second call changes nothing.
pub fn start(config: &Config, others: &[&str]) {
    let (configured, complaint) = targets(config.service.log_level, std::env::var(VARIABLE).ok().as_deref());
    let journal = Journal::of_stderr("spectrum2", &[]);
    let (files, mut problems) =
        Files::read(&config.logging.config, &config.service.jid, others, journal.is_some());
    let lines = journal.is_none() && !files.as_ref().is_some_and(|files| files.has_console);
    let log = Arc::new(Log {
        levels: RwLock::new(Levels { configured, raised: Vec::new() }),
        first: Transport { jid: config.service.jid.clone(), network: config.service.protocol.clone() },
        journal,
        lines: lines.then(|| Mutex::new(Lines::to_stderr())),
        files,
    });
    if tracing_subscriber::registry().with(Sinks(Arc::clone(&log))).try_init().is_ok() {
        let _ = LOG.set(log);
    }
    problems.extend(complaint);
    for problem in problems {
        tracing::warn!("{problem}");
    }
}

/// The log files that Spectrum 2's properties file names.
struct Files {
    /// Of each transport of the process, by its JID; the first has what belongs to no other. Where they are the same files,
    /// they share them.
    logs: Vec<(String, Mutex<log4j::Log>)>,
    /// Whether something of it goes to the console.
    has_console: bool,
}

impl Files {
    /// What the properties file says for these transports, and what is wrong with it. The journal has the console's place.
    fn read(config: &Path, jid: &str, others: &[&str], has_journal: bool) -> (Option<Self>, Vec<String>) {
        if config.as_os_str().is_empty() {
            return (None, Vec::new());
        }
        match Self::try_read(config, jid, others, has_journal) {
            Ok((files, problems)) => (Some(files), problems),
            // That it is missing is said when the transport file is read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, Vec::new()),
            Err(error) => {
                let text = format!(
                    "logging.config {} cannot be read: {error}. Nothing is logged to files; correct the name or its \
                     rights.",
                    config.display()
                );
                (None, vec![text])
            }
        }
    }

    fn try_read(
        config: &Path,
        jid: &str,
        others: &[&str],
        has_journal: bool,
    ) -> io::Result<(Self, Vec<String>)> {
        let pid = std::process::id().to_string();
        let of = |jid: &str| {
            let (settings, problems) =
                log4j::read(config, &Variables { jid: jid.to_owned(), id: String::new(), pid: pid.clone() })?;
            let settings = if has_journal { settings.without_console() } else { settings };
            io::Result::Ok((settings, problems))
        };
        let (first, problems) = of(jid)?;
        let mut all = vec![(jid.to_owned(), first)];
        for other in others {
            let (mut settings, _) = of(other)?;
            all.iter().for_each(|(_, earlier)| settings.share_files_of(earlier));
            all.push(((*other).to_owned(), settings));
        }
        let has_console = all.iter().any(|(_, settings)| settings.has_console());
        let logs = all.into_iter().map(|(jid, settings)| (jid, Mutex::new(settings.into_log()))).collect();
        let name = config.display();
        let problems = problems.into_iter().map(|problem| format!("logging.config {name}: {problem}"));
        Ok((Self { logs, has_console }, problems.collect()))
    }

    /// The files of the transport that the work under way is for.
    fn current(&self) -> Option<MutexGuard<'_, log4j::Log>> {
        let of_current =
            |(jid, _): &&(String, _)| TRANSPORT.try_with(|transport| transport.jid == *jid).unwrap_or(false);
        self.logs.iter().find(of_current).or(self.logs.first()).map(|(_, log)| locked(log))
    }
}

/// Opens the log files, as whoever this process is now.
pub fn open_files() {
    with_files(log4j::Log::open_files);
}

/// Opens the log files again by their names, after somebody has put them aside.
pub fn reopen_files() {
    with_files(log4j::Log::reopen);
}

fn with_files(change: impl Fn(&mut log4j::Log) -> Vec<String>) {
    let Some(log) = LOG.get() else { return };
    let Some(files) = &log.files else { return };
    for (_, file) in &files.logs {
        let problems = change(&mut locked(file));
        problems.iter().for_each(|problem| log.complain(problem));
    }
}

/// Follows a change of `service.log_level`; the environment still goes before it.
pub fn set_level(level: LogLevel) {
    let (targets, _) = targets(level, std::env::var(VARIABLE).ok().as_deref());
    modify(|levels| levels.configured = targets);
}

/// Lets more through, until the result is dropped: of one of [`SUBSYSTEMS`] or all (empty), about one user or all (empty).
///
/// # Errors
/// There is no such subsystem or level, or too many are raised already.
pub fn raise(subsystem: &str, user: &str, level: &str) -> Result<RaisedLevel, RaiseError> {
    let module = match subsystem {
        "" => "",
        _ => SUBSYSTEMS.iter().find(|(name, _)| *name == subsystem).ok_or(RaiseError::Subsystem)?.1,
    };
    let level = level.parse().map_err(|_| RaiseError::Level)?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let raised = Raised { id, module, user: (!user.is_empty()).then(|| user.to_owned()), level };
    let mut full = false;
    modify(|levels| {
        full = levels.raised.len() >= RAISED;
        if !full {
            levels.raised.push(raised);
        }
    });
    if full { Err(RaiseError::TooMany) } else { Ok(RaisedLevel(id)) }
}

/// Numbers the raised levels.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Why a level cannot be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaiseError {
    /// There is no such subsystem.
    #[error("The subsystems are core, xmpp, backends, storage and bus; an empty text means all")]
    Subsystem,
    /// There is no such level.
    #[error("The levels are error, warn, info, debug and trace")]
    Level,
    /// There are too many.
    #[error("Too many levels are raised already; wait until their time is over")]
    TooMany,
}

/// A level that is raised until this is dropped.
#[derive(Debug)]
pub struct RaisedLevel(u64);

impl Drop for RaisedLevel {
    fn drop(&mut self) {
        modify(|levels| levels.raised.retain(|raised| raised.id != self.0));
    }
}

fn modify(change: impl FnOnce(&mut Levels)) {
    if let Some(log) = LOG.get() {
        change(&mut log.levels.write().unwrap_or_else(PoisonError::into_inner));
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Who panicked with the lock has logged half a message at worst.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where messages go.
struct Log {
    levels: RwLock<Levels>,
    /// Whose the messages are that belong to no other.
    first: Transport,
    journal: Option<Journal>,
    lines: Option<Mutex<Lines>>,
    files: Option<Files>,
}

impl Log {
    fn levels<T>(&self, look: impl FnOnce(&Levels) -> T) -> T {
        look(&self.levels.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_for_files(&self, metadata: &Metadata<'_>) -> bool {
        // Levels are the same for all transports.
        let files = self.files.as_ref().and_then(Files::current);
        files.is_some_and(|files| files.wants(logger_of(metadata.target()), level_of(metadata)))
    }

    /// To the journal or to standard error.
    fn show(&self, level: Level, text: &Text, module: &str) {
        if let Some(journal) = &self.journal {
            let mut fields = text.fields.clone();
            let transport = TRANSPORT.try_with(Clone::clone).unwrap_or_else(|_| self.first.clone());
            for (name, value) in [
                ("transport", &transport.jid),
                ("network", &transport.network),
                ("module", &module.to_owned()),
            ] {
                fields.push((name.to_owned(), value.clone()));
            }
            journal.send(level, &text.line(), text.message_id.as_deref(), &fields);
        }
        if let Some(lines) = &self.lines {
            locked(lines).write(level, &text.line());
        }
    }

    /// About a log file, and so not to the log files.
    fn complain(&self, problem: &str) {
        let text = Text {
            message: problem.to_owned(),
            message_id: Some(message_id::LOG_FILE_UNWRITABLE.to_owned()),
            fields: Vec::new(),
        };
        self.show(Level::Error, &text, module_path!());
    }
}

/// The log as part of what `tracing` calls.
#[derive(Clone)]
struct Sinks(Arc<Log>);

impl<S: Subscriber> Layer<S> for Sinks {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = self.0.levels(|levels| levels.interest(metadata));
        if interest.is_always() || !self.0.is_for_files(metadata) { interest } else { Interest::always() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.levels(|levels| levels.may_show(metadata)) || self.0.is_for_files(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let text = Text::of(event);
        let level = level_of(metadata);
        if self.0.levels(|levels| levels.show(metadata, &text)) {
            self.0.show(level, &text, metadata.target());
        }
        if let Some(mut files) = self.0.files.as_ref().and_then(Files::current) {
            let mut record = Record::now(level, logger_of(metadata.target()), &text.line());
            record.fields = text.fields;
            let problems = files.write(&record);
            drop(files);
            problems.iter().for_each(|problem| self.0.complain(problem));
        }
    }
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The logger that Spectrum 2 would use.
fn logger_of(target: &str) -> &'static str {
    let is_in = |module: &str| {
        target
            .strip_prefix(module)
            .is_some_and(|below| below.is_empty() || below.starts_with("::") || below.starts_with('_'))
    };
    let found = LOGGERS.iter().filter(|(module, _)| is_in(module)).max_by_key(|(module, _)| module.len());
    found.map_or("Spectrum", |(_, logger)| logger)
}

/// The words of a message.
#[derive(Default)]
struct Text {
    message: String,
    message_id: Option<String>,
    fields: Vec<(String, String)>,
}

impl Text {
    fn of(event: &Event<'_>) -> Self {
        let mut text = Self::default();
        event.record(&mut text);
        text
    }

    /// The message with what it is about.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            let quote = if value.is_empty() || value.contains(char::is_whitespace) { "\"" } else { "" };
            let blank = if line.is_empty() { "" } else { " " };
            let _ = write!(line, "{blank}{name}={quote}{value}{quote}");
        }
        line
    }

    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "message_id" => self.message_id = Some(value),
            name => self.fields.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // `%value` comes as Debug that writes Display.
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
}

/// Lines for people.
struct Lines {
    to: Box<dyn io::Write + Send>,
    has_time: bool,
    has_colour: bool,
}

impl Lines {
    fn to_stderr() -> Self {
        // A service manager that takes our lines puts the time before them.
        let has_time = std::env::var_os("INVOCATION_ID").is_none();
        Self { to: Box::new(io::stderr()), has_time, has_colour: io::stderr().is_terminal() }
    }

    fn write(&mut self, level: Level, text: &str) {
        let mut record = Record::now(level, "", text);
        if self.has_colour {
            let colour = match level {
                Level::Error => "31",
                Level::Warn => "33",
                Level::Info => "32",
                Level::Debug | Level::Trace => "34",
            };
            record.message = format!("\x1b[{colour}m{level:>5}\x1b[0m {}", record.message);
        } else {
            record.message = format!("{:>5} {}", level.to_string(), record.message);
        }
        let line = record.as_line(self.has_time);
        // Nobody is left to tell when it is closed.
        let _ = self.to.write_all(line.as_bytes());
    }
}

/// What is let through.
struct Levels {
    configured: Targets,
    raised: Vec<Raised>,
}

/// What is let through besides.
struct Raised {
    id: u64,
    /// Module and those below it.
    module: &'static str,
    /// Value of the field `user`.
    user: Option<String>,
    level: tracing::Level,
}

impl Raised {
    fn covers(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with(self.module)
    }
}

impl Levels {
    fn is_configured(&self, metadata: &Metadata<'_>) -> bool {
        self.configured.would_enable(metadata.target(), metadata.level())
    }

    fn interest(&self, metadata: &Metadata<'_>) -> Interest {
        if self.is_configured(metadata) {
            Interest::always()
        } else if self.raised.iter().any(|raised| raised.covers(metadata)) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn may_show(&self, metadata: &Metadata<'_>) -> bool {
        self.is_configured(metadata) || self.raised.iter().any(|raised| raised.covers(metadata))
    }

    fn show(&self, metadata: &Metadata<'_>, text: &Text) -> bool {
        let is_about =
            |user: &String| text.fields.iter().any(|(name, value)| name == "user" && value == user);
        self.is_configured(metadata)
            || self
                .raised
                .iter()
                .any(|raised| raised.covers(metadata) && raised.user.as_ref().is_none_or(is_about))
    }
}

/// What is configured, and what is wrong with the variable.
fn targets(level: LogLevel, variable: Option<&str>) -> (Targets, Option<String>) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let configured = Targets::new().with_default(level);
    match variable.filter(|text| !text.is_empty()).map(str::parse) {
        None => (configured, None),
        Some(Ok(targets)) => (targets, None),
        Some(Err(error)) => {
            (configured, Some(format!("{VARIABLE} is ignored: {error}. Write for example {VARIABLE}=debug.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_configured_level_holds_until_the_variable_says_otherwise() {
        assert_eq!(targets(LogLevel::Warn, None).0.to_string(), "warn");
        assert_eq!(targets(LogLevel::Warn, Some("")).0.to_string(), "warn");
        assert_eq!(
            targets(LogLevel::Warn, Some("info,spectrum2::gateway=debug")).0.to_string(),
            "spectrum2::gateway=debug,info"
        );
    }

    /// Keeps the lines.
    #[derive(Clone, Default)]
    struct Book(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Book {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Book {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| line.trim_start().to_owned()).collect()
        }
    }

    fn log(book: &Book, raised: Option<Raised>, files: Option<Files>) -> Arc<Log> {
        Arc::new(Log {
            levels: RwLock::new(Levels {
                configured: targets(LogLevel::Info, None).0,
                raised: raised.into_iter().collect(),
            }),
            first: Transport::default(),
            journal: None,
            lines: Some(Mutex::new(Lines { to: Box::new(book.clone()), has_time: false, has_colour: false })),
            files,
        })
    }

    #[test]
    fn a_raised_level_lets_through_what_it_names_and_nothing_else() {
        let raised = |module, user: Option<&str>| Raised {
            id: 0,
            module,
            user: user.map(str::to_owned),
            level: tracing::Level::DEBUG,
        };
        let (romeo, juliet) = ("DEBUG romeo user=romeo@example.org", "DEBUG juliet user=juliet@example.org");
        for (raised, heard) in [
            (None, &["INFO info"][..]),
            (Some(raised("", None)), &["INFO info", romeo, juliet, "DEBUG storage"]),
            (Some(raised("spectrum2::gateway", None)), &["INFO info", romeo, juliet]),
            (Some(raised("", Some("romeo@example.org"))), &["INFO info", romeo]),
            (Some(raised("spectrum2::storage", Some("romeo@example.org"))), &["INFO info"]),
        ] {
            let book = Book::default();
            let log = tracing_subscriber::registry().with(Sinks(log(&book, raised, None)));
            tracing::subscriber::with_default(log, || {
                let (romeo, juliet) = ("romeo@example.org", "juliet@example.org");
                tracing::info!(target: "spectrum2::run", "info");
                tracing::debug!(target: "spectrum2::gateway::user", user = %romeo, "romeo");
                tracing::debug!(target: "spectrum2::gateway::user", user = juliet, "juliet");
                tracing::debug!(target: "spectrum2::storage", "storage");
                tracing::trace!(target: "spectrum2::gateway", user = romeo, "too much");
            });
            assert_eq!(book.lines(), heard);
        }
    }

    #[test]
    fn files_have_levels_and_loggers_of_their_own() {
        let directory = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let properties = directory.join("logging.cfg");
        let text = format!(
            "log4j.rootLogger=DEBUG, R\nlog4j.appender.R=org.apache.log4j.FileAppender\n\
             log4j.appender.R.File={}/${{jid}}.log\n\
             log4j.appender.R.layout.ConversionPattern=%-5p %c: %m [%X{{user}}]%n\n\
             log4j.category.SQLite3Backend=OFF\nlog4j.nonsense=1\n",
            directory.display()
        );
        fs::write(&properties, text).unwrap();
        let (files, problems) = Files::read(&properties, "irc.example.org", &[], false);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("log4j.nonsense is not known"), "{problems:?}");
        let files = files.unwrap();
        assert!(!files.has_console);

        let book = Book::default();
        let sinks = log(&book, None, Some(files));
        open(&sinks);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Sinks(sinks)), || {
            let id = message_id::USER_LOCKED_OUT;
            tracing::debug!(target: "spectrum2::gateway::user", user = "romeo@example.org", "logged in");
            tracing::info!(target: "spectrum2::storage::sqlite", "opened");
            tracing::warn!(target: "spectrum2::run", message_id = id, reason = "it rains", "lost");
            tracing::trace!(target: "spectrum2::run", "tick");
        });
        assert_eq!(book.lines(), ["INFO opened", "WARN lost reason=\"it rains\""]);
        assert_eq!(
            fs::read_to_string(directory.join("irc.example.org.log")).unwrap(),
            "DEBUG User: logged in user=romeo@example.org [romeo@example.org]\n\
             WARN  Component: lost reason=\"it rains\" []\n"
        );
        fs::remove_dir_all(directory).unwrap();
    }

    /// Opens the log files; no file has something against it.
    fn open(log: &Log) {
        for (_, file) in &log.files.as_ref().unwrap().logs {
            assert_eq!(locked(file).open_files(), [] as [&str; 0]);
        }
    }

    #[tokio::test]
    async fn each_transport_of_a_process_has_its_files_and_what_is_named_once_they_share() {
        let directory = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let properties = directory.join("logging.cfg");
        let appender = |name: &str, file: &str, more: &str| {
            let key = format!("log4j.appender.{name}");
            let place = directory.display();
            format!(
                "{key}=org.apache.log4j.RollingFileAppender\n{key}.File={place}/{file}\n\
                 {key}.layout.ConversionPattern=${{jid}}: %m%n\n{more}"
            )
        };
        // Two handles to a file that is put aside would write to two files.
        let all = appender("ALL", "all.log", "log4j.appender.ALL.MaxFileSize=40\n");
        let text = format!("log4j.rootLogger=INFO, OWN, ALL\n{}{all}", appender("OWN", "${jid}.log", ""));
        fs::write(&properties, text).unwrap();
        let (files, problems) = Files::read(&properties, "a.example", &["b.example"], true);
        assert!(problems.is_empty(), "{problems:?}");

        let sinks = log(&Book::default(), None, files);
        open(&sinks);
        let of = |jid: &str| Transport { jid: jid.to_owned(), network: String::new() };
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(Sinks(sinks)));
        tracing::info!("everybody's");
        of_transport(of("b.example"), async {
            tracing::info!("b's own");
            tokio::spawn(inherited(async { tracing::info!("of a task") })).await.unwrap();
        })
        .await;
        // A thread has the log of the process; here it would have none.
        let threads = at_once_of_transport(of("a.example"), || inheriting(|| tracing::info!("of a thread")));
        at_once_of_transport(of("b.example"), threads);
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("a.example.log"), "a.example: everybody's\na.example: of a thread\n");
        assert_eq!(read("b.example.log"), "b.example: b's own\nb.example: of a task\n");
        assert_eq!(read("all.log.1"), "a.example: everybody's\nb.example: b's own\n");
        assert_eq!(read("all.log"), "b.example: of a task\na.example: of a thread\n");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn every_module_has_the_logger_of_spectrum_2_nearest_to_it() {
        for (module, logger) in [
            ("spectrum2", "Spectrum"),
            ("spectrum2::gateway", "UserManager"),
            ("spectrum2::gateway::room_iq", "ConversationManager"),
            ("spectrum2::gateway::admin::text", "AdminInterface"),
            ("spectrum2::storage::worker", "SQLite3Backend"),
            ("zbus::connection", "Spectrum"),
        ] {
            assert_eq!(logger_of(module), logger, "{module}");
        }
    }

    #[test]
    fn a_properties_file_that_cannot_be_read_is_no_reason_not_to_start() {
        let (log, problems) = Files::read(Path::new("/"), "irc.example.org", &[], false);
        assert!(log.is_none());
        assert!(problems[0].starts_with("logging.config / cannot be read"), "{problems:?}");
        assert!(Files::read(Path::new("/nonexistent/logging.cfg"), "a.b", &[], false).1.is_empty());
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_ignored_with_a_word() {
        let (filter, complaint) = targets(LogLevel::Debug, Some("spectrum2=loud"));
        assert_eq!(filter.to_string(), "debug");
        assert!(complaint.unwrap().starts_with("SPECTRUM2_LOG is ignored: "));
    }
}
