//! The system bus: connecting, and what its errors mean to a person.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use zbus::{Connection, connection, fdo};

use crate::outcome::{Exit, Failure};

/// What a transport answers to who has not the right.
const NOT_PERMITTED: &str = "im.spectrum.Transport1.Error.NotPermitted";

/// What a call ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody has the name that was called.
    Absent,
    /// No answer came in time.
    Silent,
    /// More rights are needed.
    Denied,
    /// Anything else.
    Other,
}

/// Connects to the system bus; no call on it takes longer than `patience`.
///
/// # Errors
/// There is no bus, or it does not answer.
pub async fn connect(patience: Duration) -> zbus::Result<Connection> {
    let connection = connection::Builder::system().method_timeout(patience).build();
    timeout(patience, connection)
        .await
        .unwrap_or_else(|_| Err(zbus::Error::Failure("The system bus does not answer".to_owned())))
}

/// Whether systemd is this machine's service manager, sd_booted(3).
#[must_use]
pub fn is_booted_with_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What kind of error it is.
#[must_use]
pub fn trouble(error: &zbus::Error) -> Trouble {
    match error {
        zbus::Error::FDO(error) => match error.as_ref() {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => Trouble::Absent,
            fdo::Error::NoReply(_) | fdo::Error::Timeout(_) | fdo::Error::TimedOut(_) => Trouble::Silent,
            fdo::Error::AccessDenied(_)
            | fdo::Error::AuthFailed(_)
            | fdo::Error::InteractiveAuthorizationRequired(_) => Trouble::Denied,
            fdo::Error::ZBus(error) => trouble(error),
            _ => Trouble::Other,
        },
        zbus::Error::InputOutput(error) if error.kind() == ErrorKind::TimedOut => Trouble::Silent,
        zbus::Error::MethodError(name, ..) if name.as_str() == NOT_PERMITTED => Trouble::Denied,
        _ => Trouble::Other,
    }
}

/// The error as an end of the command, about `who` was called.
#[must_use]
pub fn failure(error: &zbus::Error, who: &str) -> Failure {
    match trouble(error) {
        Trouble::Absent => Failure::unavailable(format!(
            "{who} is not on the bus. Look at spectrum2_manager status, and start it if it is stopped."
        )),
        Trouble::Silent => {
            Failure::unavailable(format!("{who} does not answer. Try again with a longer --timeout."))
        }
        Trouble::Denied => {
            let text = match own_words(error) {
                Some(words) => format!("You may not do that, says {who}: {}.", words.trim_end_matches('.')),
                None => format!("You may not do that, says {who}. Run the command as root."),
            };
            Failure { exit: Exit::NotPermitted, text }
        }
        Trouble::Other => Failure::failed(sentence(error)),
    }
}

/// Why a transport lets somebody not do something, and what would help. The bus itself has no such words: it quotes its
/// rules.
fn own_words(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::MethodError(name, text, _) if name.as_str() == NOT_PERMITTED => text.as_deref(),
        _ => None,
    }
}

/// What the other side said, without the name of the error.
fn sentence(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, text, _) => text.clone().unwrap_or_else(|| name.to_string()),
        zbus::Error::FDO(error) => match error.as_ref() {
            fdo::Error::ZBus(error) => sentence(error),
            error => zbus::DBusError::description(error).map_or_else(|| error.to_string(), str::to_owned),
        },
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_the_right_exit_status() {
        let ends = |error: fdo::Error| failure(&zbus::Error::FDO(Box::new(error)), "irc").exit;
        assert_eq!(ends(fdo::Error::ServiceUnknown("x".into())), Exit::Unavailable);
        assert_eq!(ends(fdo::Error::NoReply("x".into())), Exit::Unavailable);
        assert_eq!(ends(fdo::Error::AccessDenied("x".into())), Exit::NotPermitted);
        assert_eq!(ends(fdo::Error::Failed("x".into())), Exit::Failed);
    }

    #[test]
    fn the_other_side_is_heard_in_its_own_words() {
        let error = zbus::Error::FDO(Box::new(fdo::Error::Failed("The database is full.".into())));
        assert_eq!(failure(&error, "irc").text, "The database is full.");
    }
}
