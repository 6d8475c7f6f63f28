//! What `systemctl status` shows: one line that is true at any time it is read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::gateway::Counters;
use crate::gateway::admin::State;
use crate::gateway::counters::Histogram;

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
    /// How many users there are in each state; of those who are off line not all are known.
    pub sessions: BTreeMap<State, usize>,
    /// How many backend processes there are in each state.
    pub stages: BTreeMap<&'static str, usize>,
    /// Resident memory of backend processes together, in KiB, as they say.
    pub backend_memory: u64,
    /// Messages that the network has not taken yet.
    pub kept: usize,
}

/// How a transport does at a moment, for all who watch: the service manager, the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `connecting`, `connected` or `waiting`; in server mode `listening`.
    pub xmpp_state: &'static str,
    /// Since when, in microseconds since 1970.
    pub xmpp_since: u64,
    /// Why the XMPP server was last lost or not reached; empty while connected.
    pub xmpp_error: String,
    /// Why the XMPP server refuses the transport, if asking again cannot help, or why the transport cannot even ask;
    /// else empty.
    pub refusal: String,
    /// The entry of the journal's catalog that explains the refusal.
    pub refusal_id: &'static str,
    /// The whole in a line.
    pub status: String,
    /// What keeps the transport from working as it should; empty if nothing does.
    pub last_error: String,
    /// Users that are logged in on the legacy network.
    pub online_users: u32,
    /// Users that are registered.
    pub registered_users: u32,
    /// Backend processes that serve users.
    pub backends: u32,
    /// Running totals.
    pub counters: Counters,
    /// What the core says about itself.
    pub core: Status,
    /// What is around the core.
    pub shell: ShellFigures,
}

/// Numbers of what is around the core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellFigures {
    /// How often the link to the XMPP server came about.
    pub connections: u64,
    /// Bytes that the XMPP server has not taken yet.
    pub xmpp_bytes: usize,
    /// Bytes that backends have not taken yet.
    pub backend_bytes: usize,
    /// Connections of clients, in server mode.
    pub clients: usize,
    /// Requests that storage has not answered yet.
    pub storage_waiting: usize,
    /// From a request to storage to its answer.
    pub storage: Histogram,
}

impl Snapshot {
    /// Whether XMPP users can be served: the link to the XMPP server stands, or clients can connect.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        [XmppState::Connected.word(), XmppState::Listening.word()].contains(&self.xmpp_state)
    }

    /// Whether it is known what came of the first attempt to connect.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_connected() || !self.xmpp_error.is_empty()
    }
}

/// How the XMPP side stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmppState {
    /// Connecting; after a failure with its reason.
    Connecting(Option<String>),
    /// The handshake is done.
    Connected,
    /// We are the server, and clients can connect.
    Listening,
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
    /// The word for [`XmppState::Waiting`].
    pub const WAITING: &str = "waiting";

    /// The same in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting(_) => "connecting",
            Self::Connected => "connected",
            Self::Listening => "listening",
            Self::Waiting { .. } => Self::WAITING,
        }
    }
}

/// The line for a transport `jid` whose server is at `address`.
#[must_use]
pub fn line(xmpp: &XmppState, address: &str, jid: &str, core: &Status) -> String {
    let mut line = match xmpp {
        XmppState::Connecting(None) => format!("connecting to {address}"),
        XmppState::Connecting(Some(reason)) => format!("connecting to {address} again ({reason})"),
        XmppState::Connected => format!("connected to {address} as {jid}, {}", in_numbers(core)),
        XmppState::Listening => format!("listening on {address}, {}", in_numbers(core)),
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
    if matches!(xmpp, XmppState::Connected | XmppState::Listening) && core.connecting > 0 {
        line.push_str(&format!(", {} logging in", count(core.connecting, "user")));
    }
    if let Some(problem) = &core.problem {
        line.push_str(&format!("; {problem}"));
    }
    line
}

fn in_numbers(core: &Status) -> String {
    format!("{} online, {}", count(core.online, "user"), count(core.backends, "backend"))
}

/// The line for a process with these transports, each with its JID. For one it is that one's own; for several a sum, and
/// whoever is in trouble by name.
#[must_use]
pub fn summary(transports: &[(&str, &Snapshot)]) -> String {
    if let [(_, only)] = transports {
        return only.status.clone();
    }
    // Nobody is called on line while the link of his transport is down.
    let connected: Vec<_> = transports.iter().filter(|(_, snapshot)| snapshot.is_connected()).collect();
    let sum = |number: fn(&Snapshot) -> u32| {
        connected.iter().map(|(_, snapshot)| usize::try_from(number(snapshot)).unwrap_or(usize::MAX)).sum()
    };
    let mut line = format!(
        "{} of {} connected, {} online, {}",
        connected.len(),
        count(transports.len(), "transport"),
        count(sum(|snapshot| snapshot.online_users), "user"),
        count(sum(|snapshot| snapshot.backends), "backend")
    );
    let mut troubles = transports.iter().filter_map(|(jid, snapshot)| {
        let text = if snapshot.is_connected() { &snapshot.last_error } else { &snapshot.status };
        (!text.is_empty()).then_some((jid, text))
    });
    if let Some((jid, text)) = troubles.next() {
        line.push_str(&format!("; {jid}: {text}"));
        match troubles.count() {
            0 => {}
            more => line.push_str(&format!("; and {more} more in trouble")),
        }
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
    fn a_server_says_where_clients_connect() {
        let core = Status { online: 12, backends: 1, connecting: 1, ..Status::default() };
        assert_eq!(
            line(&XmppState::Listening, "[::]:5222", "chat.example.org", &core),
            "listening on [::]:5222, 12 users online, 1 backend, 1 user logging in"
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

    #[test]
    fn several_transports_are_summed_and_who_is_in_trouble_is_named() {
        let snapshot = |xmpp_state, status: &str, last_error: &str| Snapshot {
            xmpp_state,
            status: status.to_owned(),
            last_error: last_error.to_owned(),
            online_users: 2,
            backends: 1,
            ..Snapshot::default()
        };
        let well = snapshot("connected", "connected to 127.0.0.1:5347 as a.example, 2 users online", "");
        let lost = snapshot("waiting", "cannot connect to 127.0.0.1:5347", "refused");
        let odd = snapshot("connected", "connected", "no plugin");
        assert_eq!(summary(&[("a.example", &well)]), well.status);
        assert_eq!(
            summary(&[("a.example", &well), ("b.example", &well)]),
            "2 of 2 transports connected, 4 users online, 2 backends"
        );
        assert_eq!(
            summary(&[("a.example", &well), ("b.example", &lost), ("c.example", &odd)]),
            "2 of 3 transports connected, 4 users online, 2 backends; \
             b.example: cannot connect to 127.0.0.1:5347; and 1 more in trouble"
        );
        assert!(summary(&[("a.example", &well), ("c.example", &odd)]).ends_with("; c.example: no plugin"));
    }
}
