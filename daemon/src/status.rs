//! What `systemctl status` shows: one line that is true at any time it is read.

use std::time::Duration;

/// What the core says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Users that are logged in on the legacy network.
    pub online: usize,
    /// Users whose login is under way.
    pub connecting: usize,
    /// Users that are registered; 0 until storage has said.
    pub registered: u64,
    /// Backend processes that are connected.
    pub backends: usize,
    /// What keeps the transport from working as it should, in a few words.
    pub problem: Option<String>,
}

/// How the link to the XMPP server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmppState {
    /// Connecting; after a failure with its reason.
    Connecting(Option<String>),
    /// The handshake is done.
    Connected,
    /// Waiting before the next attempt.
    Waiting {
        /// Whether the handshake was ever done since the daemon started.
        connected_before: bool,
        /// What happened.
        reason: String,
        /// The whole time from the failure to the next attempt.
        delay: Duration,
    },
}

impl XmppState {
    /// The same in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting(_) => "connecting",
            Self::Connected => "connected",
            Self::Waiting { .. } => "waiting",
        }
    }
}

/// The line for a transport `jid` whose server is at `address`.
#[must_use]
pub fn line(xmpp: &XmppState, address: &str, jid: &str, core: &Status) -> String {
    let mut line = match xmpp {
        XmppState::Connecting(None) => format!("connecting to {address}"),
        XmppState::Connecting(Some(reason)) => format!("connecting to {address} again ({reason})"),
        XmppState::Connected => {
            let users = count(core.online, "user");
            let backends = count(core.backends, "backend");
            format!("connected to {address} as {jid}, {users} online, {backends}")
        }
        XmppState::Waiting { connected_before, reason, delay } => {
            // "within", not "in": the line stays as it is while time passes.
            let again = format!("trying again within {} s", delay.as_secs_f64().ceil());
            if *connected_before {
                format!("connection to {address} lost ({reason}), {again}")
            } else {
                format!("cannot connect to {address} ({reason}), {again}")
            }
        }
    };
    if *xmpp == XmppState::Connected && core.connecting > 0 {
        line.push_str(&format!(", {} logging in", count(core.connecting, "user")));
    }
    if let Some(problem) = &core.problem {
        line.push_str(&format!("; {problem}"));
    }
    line
}

fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(xmpp: &XmppState, core: &Status) -> String {
        line(xmpp, "127.0.0.1:5347", "irc.example.org", core)
    }

    #[test]
    fn a_connected_transport_counts_users_and_backends() {
        let core = Status { online: 12, backends: 1, ..Status::default() };
        assert_eq!(
            told(&XmppState::Connected, &core),
            "connected to 127.0.0.1:5347 as irc.example.org, 12 users online, 1 backend"
        );
        let problem = Some("no plugin".to_owned());
        let core = Status { online: 1, connecting: 2, backends: 3, problem, ..Status::default() };
        assert_eq!(
            told(&XmppState::Connected, &core),
            "connected to 127.0.0.1:5347 as irc.example.org, 1 user online, 3 backends, \
             2 users logging in; no plugin"
        );
    }

    #[test]
    fn a_lost_link_says_why_and_until_when() {
        let waiting = |connected_before| XmppState::Waiting {
            connected_before,
            reason: "connection reset".to_owned(),
            delay: Duration::from_millis(7_400),
        };
        assert_eq!(
            told(&waiting(true), &Status::default()),
            "connection to 127.0.0.1:5347 lost (connection reset), trying again within 8 s"
        );
        assert_eq!(
            told(&waiting(false), &Status::default()),
            "cannot connect to 127.0.0.1:5347 (connection reset), trying again within 8 s"
        );
    }

    #[test]
    fn users_are_not_called_online_while_the_link_is_down() {
        let core = Status { online: 12, ..Status::default() };
        assert_eq!(told(&XmppState::Connecting(None), &core), "connecting to 127.0.0.1:5347");
        assert_eq!(
            told(&XmppState::Connecting(Some("refused".to_owned())), &core),
            "connecting to 127.0.0.1:5347 again (refused)"
        );
    }
}
