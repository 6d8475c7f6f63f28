//! Log messages: to the journal with fields, or as lines on standard error.
//!
//! `service.log_level` says how much; the environment variable `SPECTRUM2_LOG` goes before it and can name modules, for
//! example `info,spectrum2::gateway=debug`. In the journal each message has the fields `SYSLOG_IDENTIFIER=spectrum2` and
//! `SPECTRUM2_TRANSPORT=` with the JID of the transport, so that
//! `journalctl SPECTRUM2_TRANSPORT=icq.example.org` shows one transport also when it runs outside its unit; fields of the
//! message itself follow suit (`user` is `SPECTRUM2_USER=`).

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use spectrum2_config::LogLevel;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

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
/// Levels that may be raised at a time.
const RAISED: usize = 16;

/// What is let through; none before [`start`].
static LEVELS: OnceLock<reload::Handle<Levels, Registry>> = OnceLock::new();

/// Sends everything that is logged from now on to where it belongs. A second call changes nothing.
pub fn start(transport: &str, level: LogLevel) {
    let (targets, complaint) = targets(level, std::env::var(VARIABLE).ok().as_deref());
    let (levels, handle) = reload::Layer::new(Levels { configured: targets, raised: Vec::new() });
    let journal = if stderr_is_journal() { tracing_journald::layer().ok() } else { None };
    let registry = tracing_subscriber::registry().with(levels);
    let started = match journal {
        Some(journal) => registry
            .with(
                journal
                    .with_syslog_identifier("spectrum2".to_owned())
                    .with_field_prefix(Some("SPECTRUM2".to_owned()))
                    .with_custom_fields([("SPECTRUM2_TRANSPORT", transport)]),
            )
            .try_init(),
        None => {
            let lines = tracing_subscriber::fmt::layer()
                .compact()
                .with_writer(io::stderr)
                .with_ansi(io::stderr().is_terminal());
            if has_service_manager() {
                registry.with(lines.without_time().with_target(false)).try_init()
            } else {
                registry.with(lines.with_target(false)).try_init()
            }
        }
    };
    if started.is_ok() {
        let _ = LEVELS.set(handle);
    }
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
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
    if let Some(levels) = LEVELS.get() {
        // Fails only when nothing is logged any more.
        let _ = levels.modify(change);
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
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_configured(metadata) {
            Interest::always()
        } else if self.raised.iter().any(|raised| raised.covers(metadata)) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.is_configured(metadata) || self.raised.iter().any(|raised| raised.covers(metadata))
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        self.is_configured(metadata)
            || self.raised.iter().any(|raised| {
                raised.covers(metadata) && raised.user.as_ref().is_none_or(|user| is_about(event, user))
            })
    }
}

/// Whether the message has a field `user` with this value.
fn is_about(event: &Event<'_>, user: &str) -> bool {
    struct Finder<'a> {
        user: &'a str,
        found: bool,
    }
    impl Visit for Finder<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            // `%value` comes as Debug that writes Display.
            self.found |= field.name() == "user" && format!("{value:?}") == self.user;
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.found |= field.name() == "user" && value == self.user;
        }
    }
    let mut finder = Finder { user, found: false };
    event.record(&mut finder);
    finder.found
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

/// Whether standard error is a stream of the journal, as systemd.exec(5) tells to find out: the variable alone is also
/// inherited by those whose standard error was redirected since.
fn stderr_is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|stderr: OwnedFd| std::fs::File::from(stderr).metadata())
        .is_ok_and(|data| named == format!("{}:{}", data.dev(), data.ino()))
}

/// Whether somebody who takes our lines puts the time before them.
fn has_service_manager() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
}

#[cfg(test)]
mod tests {
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

    /// Keeps the names of what was let through.
    #[derive(Clone, Default)]
    struct Book(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Book {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Words<'a>(&'a mut String);
            impl Visit for Words<'_> {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    if field.name() == "message" {
                        *self.0 = format!("{value:?}");
                    }
                }
            }
            let mut words = String::new();
            event.record(&mut Words(&mut words));
            self.0.lock().unwrap().push(words);
        }
    }

    #[test]
    fn a_raised_level_lets_through_what_it_names_and_nothing_else() {
        let raised = |module, user: Option<&str>| Raised {
            id: 0,
            module,
            user: user.map(str::to_owned),
            level: tracing::Level::DEBUG,
        };
        for (raised, heard) in [
            (None, &["info"][..]),
            (Some(raised("", None)), &["info", "romeo", "juliet", "storage"]),
            (Some(raised("spectrum2::gateway", None)), &["info", "romeo", "juliet"]),
            (Some(raised("", Some("romeo@example.org"))), &["info", "romeo"]),
            (Some(raised("spectrum2::storage", Some("romeo@example.org"))), &["info"]),
        ] {
            let book = Book::default();
            let (configured, _) = targets(LogLevel::Info, None);
            let levels = Levels { configured, raised: raised.into_iter().collect() };
            let log = tracing_subscriber::registry().with(levels).with(book.clone());
            tracing::subscriber::with_default(log, || {
                let (romeo, juliet) = ("romeo@example.org", "juliet@example.org");
                tracing::info!(target: "spectrum2::run", "info");
                tracing::debug!(target: "spectrum2::gateway::user", user = %romeo, "romeo");
                tracing::debug!(target: "spectrum2::gateway::user", user = juliet, "juliet");
                tracing::debug!(target: "spectrum2::storage", "storage");
                tracing::trace!(target: "spectrum2::gateway", user = romeo, "too much");
            });
            assert_eq!(*book.0.lock().unwrap(), heard);
        }
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_ignored_with_a_word() {
        let (filter, complaint) = targets(LogLevel::Debug, Some("spectrum2=loud"));
        assert_eq!(filter.to_string(), "debug");
        assert!(complaint.unwrap().starts_with("SPECTRUM2_LOG is ignored: "));
    }
}
