//! The journal's own protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): messages with fields.
//!
//! Never blocks for long and never fails loudly: journald may be restarted at any time.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use crate::{Level, one_line};

const SOCKET: &str = "/run/systemd/journal/socket";

/// What is left of a value when the message is too large for a datagram.
const SHORT: usize = 4096;

/// The prefix of our own fields.
const PREFIX: &str = "SPECTRUM2_";

/// A way to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    /// What every message has, as it is sent.
    every: Vec<u8>,
}

impl Journal {
    /// The journal, when standard error goes there. Every message will have `identifier` as its syslog identifier, and
    /// these fields.
    #[must_use]
    pub fn of_stderr(identifier: &str, fields: &[(&str, &str)]) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok().filter(|_| stderr_is_journal())?;
        let mut every = Vec::new();
        push(&mut every, "SYSLOG_IDENTIFIER", identifier);
        for (name, value) in fields {
            push_own(&mut every, name, value);
        }
        Some(Self { socket, every })
    }

    /// Sends a message.
    pub fn send(&self, level: Level, message: &str, message_id: Option<&str>, fields: &[(String, String)]) {
        let sent = self.send_cut(level, message, message_id, fields, usize::MAX);
        // unix(7): it does not fit into the socket's buffer.
        if sent.is_err_and(|error| error.raw_os_error() == Some(90)) {
            let _ = self.send_cut(level, message, message_id, fields, SHORT);
        }
    }

    fn send_cut(
        &self,
        level: Level,
        message: &str,
        message_id: Option<&str>,
        fields: &[(String, String)],
        longest: usize,
    ) -> io::Result<usize> {
        let cut = |text: &str| one_line(text.get(..text.floor_char_boundary(longest)).unwrap_or(text));
        let mut datagram = self.every.clone();
        push(&mut datagram, "PRIORITY", &level.priority().to_string());
        push(&mut datagram, "MESSAGE", &cut(message));
        if let Some(id) = message_id {
            push(&mut datagram, "MESSAGE_ID", id);
        }
        for (name, value) in fields {
            push_own(&mut datagram, name, &cut(value));
        }
        self.socket.send_to(&datagram, SOCKET)
    }
}

/// A field of ours, in the journal's spelling. An empty one says nothing.
fn push_own(datagram: &mut Vec<u8>, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    // systemd.journal-fields(7): at most 64 characters.
    let name: String = PREFIX.chars().chain(upper).take(64).collect();
    push(datagram, &name, value);
}

/// Values have no line breaks: [`one_line`].
fn push(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(format!("{name}={}\n", one_line(value)).as_bytes());
}

/// Whether standard error is a stream of the journal, as systemd.exec(5) tells to find out: the variable alone is also
/// inherited by those whose standard error was redirected since.
#[must_use]
pub fn stderr_is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    !io::stderr().is_terminal()
        && io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .and_then(|stderr: OwnedFd| File::from(stderr).metadata())
            .is_ok_and(|data| named == format!("{}:{}", data.dev(), data.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_journal_and_values_have_one_line() {
        let mut datagram = Vec::new();
        push_own(&mut datagram, "user", "romeo@example.org\nPRIORITY=0");
        push_own(&mut datagram, "pause.s", "1");
        push_own(&mut datagram, "empty", "");
        assert_eq!(
            String::from_utf8(datagram).unwrap(),
            "SPECTRUM2_USER=romeo@example.org PRIORITY=0\nSPECTRUM2_PAUSE_S=1\n"
        );
    }
}
