//! Log messages: to the journal with fields, or as lines on standard error.
//!
//! `service.log_level` says how much; the environment variable `SPECTRUM2_LOG` goes before it and can name modules, for
//! example `info,spectrum2::gateway=debug`. In the journal each message has the fields `SYSLOG_IDENTIFIER=spectrum2` and
//! `SPECTRUM2_TRANSPORT=` with the JID of the transport, so that
//! `journalctl SPECTRUM2_TRANSPORT=icq.example.org` shows one transport also when it runs outside its unit; fields of the
//! message itself follow suit (`user` is `SPECTRUM2_USER=`).

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use spectrum2_config::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that goes before `service.log_level`.
const VARIABLE: &str = "SPECTRUM2_LOG";

/// Sends everything that is logged from now on to where it belongs. A second call changes nothing.
pub fn start(transport: &str, level: LogLevel) {
    let (filter, complaint) = filter(level, std::env::var(VARIABLE).ok().as_deref());
    let journal = if stderr_is_journal() { tracing_journald::layer().ok() } else { None };
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match journal {
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
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
}

/// What is let through, and what is wrong with the variable.
fn filter(level: LogLevel, variable: Option<&str>) -> (EnvFilter, Option<String>) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let configured = EnvFilter::default().add_directive(level.into());
    match variable.filter(|text| !text.is_empty()).map(EnvFilter::try_new) {
        None => (configured, None),
        Some(Ok(filter)) => (filter, None),
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
        assert_eq!(filter(LogLevel::Warn, None).0.to_string(), "warn");
        assert_eq!(filter(LogLevel::Warn, Some("")).0.to_string(), "warn");
        assert_eq!(
            filter(LogLevel::Warn, Some("info,spectrum2::gateway=debug")).0.to_string(),
            "spectrum2::gateway=debug,info"
        );
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_ignored_with_a_word() {
        let (filter, complaint) = filter(LogLevel::Debug, Some("spectrum2=loud"));
        assert_eq!(filter.to_string(), "debug");
        assert!(complaint.unwrap().starts_with("SPECTRUM2_LOG is ignored: "));
    }
}
