//! How a transport does.
//!
//! Guarantees that "running" means that users can reach it: the transport itself says that it is connected. What systemd
//! alone believes is not enough, and a process that does not answer is shown as hung.

use std::path::Path;

use serde::Serialize;
use spectrum2_config::{ExitKind, Instance, Overrides, check};

use crate::bus::{Trouble, trouble};
use crate::cause;
use crate::daemon::{Facts, User};
use crate::dropins;
use crate::fleet::Transport;
use crate::machine::Machine;
use crate::outcome::Exit;
use crate::pidfile;
use crate::systemd::{Systemd, Unit};
use crate::table::Tone;
use crate::units;
use crate::usage::Usage;
use crate::words::{now, since};

/// The state in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is connected.
    Running,
    /// It runs, and nobody here can say whether it is connected.
    Unknown,
    /// It begins.
    Starting,
    /// It runs, but is not connected; it goes on trying.
    Waiting,
    /// It ends.
    Stopping,
    /// Nobody started it.
    Stopped,
    /// It ended by itself.
    Failed,
    /// It runs and does not answer.
    Hung,
    /// It can have no unit.
    Broken,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::Broken => "broken",
        }
    }

    /// Its colour.
    #[must_use]
    pub const fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Good,
            Self::Stopped => Tone::Plain,
            Self::Starting | Self::Waiting | Self::Stopping | Self::Unknown => Tone::Waiting,
            Self::Failed | Self::Hung | Self::Broken => Tone::Bad,
        }
    }

    /// Whether there is a process.
    #[must_use]
    pub const fn has_process(self) -> bool {
        !matches!(self, Self::Stopped | Self::Failed | Self::Broken)
    }

    /// Whether all is well, as far as can be told.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Running | Self::Unknown => Exit::Ok,
            _ => Exit::NotRunning,
        }
    }
}

/// A further transport of the same process.
#[derive(Clone, Debug, Serialize)]
pub struct Vhost {
    /// Its JID.
    pub jid: String,
    /// The state in a word.
    pub state: State,
    /// What there is to say about the state.
    pub detail: String,
    /// What it says.
    pub transport: Option<Facts>,
}

/// Everything that is known about a transport.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Its JID; empty if nobody told it.
    pub jid: String,
    /// Further transports that the same process serves.
    pub vhosts: Vec<Vhost>,
    /// Its file.
    pub file: String,
    /// The state in a word.
    pub state: State,
    /// What there is to say about the state.
    pub detail: String,
    /// `enabled`, `disabled`, … as systemd has it.
    pub enabled: String,
    /// Whether systemd works with older unit files, or with drop-ins that do not follow from the transport file any more.
    pub is_stale: bool,
    /// Process id of the daemon; 0 is none.
    pub pid: u32,
    /// Since when the process runs, in µs since 1970; 0 is unknown.
    pub since: u64,
    /// Bytes of daemon and backends.
    pub memory: Option<u64>,
    /// Nanoseconds of daemon and backends.
    pub cpu: Option<u64>,
    /// Processes and threads of daemon and backends.
    pub tasks: Option<u64>,
    /// What the transport says.
    pub transport: Option<Facts>,
    /// Users whose login is neither done nor undone; only where one transport is looked at.
    pub troubled_users: Vec<User>,
}

impl Vhost {
    /// One that does as the process does.
    fn like(state: State, jid: &str) -> Self {
        Self { jid: jid.to_owned(), state, detail: String::new(), transport: None }
    }
}

impl Report {
    /// Whether all is well, as far as can be told.
    pub fn exit(&self) -> Exit {
        self.vhosts
            .iter()
            .map(|vhost| vhost.state)
            .chain([self.state])
            .map(State::exit)
            .max()
            .unwrap_or(Exit::Ok)
    }

    fn new(transport: &Transport, state: State, detail: String) -> Self {
        Self {
            name: transport.name.clone(),
            jid: transport.jid.clone(),
            vhosts: transport.vhosts().into_iter().map(|jid| Vhost::like(state, jid)).collect(),
            file: transport.file.display().to_string(),
            state,
            detail,
            enabled: String::new(),
            is_stale: false,
            pid: 0,
            since: 0,
            memory: None,
            cpu: None,
            tasks: None,
            transport: None,
            troubled_users: Vec::new(),
        }
    }

    fn with_facts(mut self, facts: zbus::Result<Facts>) -> Self {
        if let Ok(facts) = facts {
            if self.jid.is_empty() {
                self.jid.clone_from(&facts.jid);
            }
            self.transport = Some(facts);
        }
        self
    }
}

/// Looks at a transport from all sides.
pub async fn report(machine: &Machine, transport: &Transport) -> Report {
    let instance = match &transport.instance {
        Ok(instance) => instance,
        Err(problem) => return Report::new(transport, State::Broken, problem.clone()),
    };
    let daemon = machine.try_daemon(instance.as_str()).await;
    let facts = async {
        match &daemon {
            Some(daemon) => daemon.facts().await,
            None => Err(zbus::Error::Unsupported),
        }
    };
    let Some(systemd) = &machine.systemd else {
        let report = without_systemd(transport, facts.await);
        return with_vhosts(machine, report, false).await;
    };
    let (daemon_unit, launcher_unit) = (units::daemon(instance), units::launcher(instance));
    let unit = match systemd.unit(&daemon_unit).await {
        Ok(unit) => unit,
        Err(failure) => return Report::new(transport, State::Unknown, failure.text),
    };
    let is_stale = is_stale(transport, instance, &unit);
    if !unit.is_active() && unit.active != "activating" {
        let (state, detail) = ended(&unit, transport);
        let report = Report::new(transport, state, detail);
        return Report { enabled: unit.file_state, is_stale, ..report };
    }
    let facts = facts.await;
    let (state, detail) = alive(&unit, &facts);
    let report = Report { is_stale, ..Report::new(transport, state, detail) }.with_facts(facts);
    let report = with_vhosts(machine, report, unit.active == "activating").await;
    measured(report, systemd, (&daemon_unit, &unit), &launcher_unit).await
}

/// Whether systemd must be told of a change before it starts the transport again.
pub fn is_stale(transport: &Transport, instance: &Instance, unit: &Unit) -> bool {
    let are_other = |config| !dropins::are_current(instance, config, Path::new(dropins::DIRECTORY));
    unit.needs_reload
        || transport.config.as_ref().is_some_and(are_other)
        || dropins::are_missing(instance, &unit.drop_ins, dropins::OF_ADMINS.map(Path::new))
}

/// A unit that is neither up nor on its way.
fn ended(unit: &Unit, transport: &Transport) -> (State, String) {
    match unit.active.as_str() {
        "deactivating" => (State::Stopping, String::new()),
        "failed" => (State::Failed, cause::of(unit)),
        _ if unit.load == "loaded" => (State::Stopped, hindrance(transport)),
        _ => (State::Broken, cause::of(unit)),
    }
}

/// Why a start would fail, as far as the transport file tells; empty if nothing is wrong with it, or we may not read it.
fn hindrance(transport: &Transport) -> String {
    if transport.config.is_none() {
        return transport.problem.clone().unwrap_or_default();
    }
    let (report, kind) = check::report(&transport.file, &Overrides::default());
    if kind != ExitKind::Configuration {
        return String::new();
    }
    let error = report.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    format!("it cannot start: {error}")
}

/// A unit that is up or on its way: what the transport says goes before what systemd believes.
fn alive(unit: &Unit, facts: &zbus::Result<Facts>) -> (State, String) {
    let is_starting = unit.active == "activating";
    if is_starting && unit.sub.starts_with("auto-restart") {
        return (State::Failed, format!("{}; systemd starts it again soon", cause::of(unit)));
    }
    match facts {
        Ok(facts) => said(facts, is_starting),
        Err(_) if is_starting => (State::Starting, unit.status_text.clone()),
        Err(error) => match trouble(error) {
            Trouble::Denied => {
                (State::Unknown, format!("you may not ask it; systemd shows: {}", unit.status_text))
            }
            Trouble::Absent => (State::Hung, "its process runs, but is not on the bus".to_owned()),
            Trouble::Silent => (State::Hung, "its process runs, but does not answer".to_owned()),
            Trouble::Other => (State::Unknown, error.to_string()),
        },
    }
}

/// Asks the further transports of a process that answers. They have names of their own on the bus.
async fn with_vhosts(machine: &Machine, mut report: Report, is_starting: bool) -> Report {
    if report.transport.is_none() {
        return report;
    }
    for vhost in &mut report.vhosts {
        let Some(daemon) = machine.try_daemon(&vhost.jid).await else { continue };
        match daemon.facts().await {
            Ok(facts) => {
                (vhost.state, vhost.detail) = said(&facts, is_starting);
                vhost.transport = Some(facts);
            }
            Err(_) if is_starting => vhost.state = State::Starting,
            Err(error) if trouble(&error) == Trouble::Absent => {
                vhost.state = State::Failed;
                vhost.detail = "the process does not serve it; its log says why".to_owned();
            }
            Err(error) => (vhost.state, vhost.detail) = (State::Unknown, error.to_string()),
        }
    }
    report
}

/// What a transport says about itself.
fn said(facts: &Facts, is_starting: bool) -> (State, String) {
    let reason = if facts.xmpp_error.is_empty() { &facts.status } else { &facts.xmpp_error };
    if facts.is_connected() {
        let time = since(facts.xmpp_since, now());
        let detail = if time.is_empty() { "connected".to_owned() } else { format!("connected for {time}") };
        (State::Running, detail)
    } else if is_starting && facts.xmpp_error.is_empty() {
        (State::Starting, reason.clone())
    } else {
        (State::Waiting, reason.clone())
    }
}

/// Adds what systemd counts, of daemon and backends together.
async fn measured(
    report: Report,
    systemd: &Systemd,
    (daemon_name, daemon): (&str, &Unit),
    launcher_name: &str,
) -> Report {
    let launcher = systemd.unit(launcher_name).await.unwrap_or_default();
    let of_daemon = systemd.usage(daemon_name, daemon).await;
    let Usage { memory, cpu, tasks } = of_daemon.plus(systemd.usage(launcher_name, &launcher).await);
    Report {
        enabled: daemon.file_state.clone(),
        pid: daemon.main_pid,
        since: daemon.active_since,
        memory,
        cpu,
        tasks,
        ..report
    }
}

/// Without systemd: a transport that is on a bus speaks for itself, of others there is the pid file.
fn without_systemd(transport: &Transport, facts: zbus::Result<Facts>) -> Report {
    if let Ok(told) = &facts {
        let (state, detail) = said(told, false);
        return Report::new(transport, state, detail).with_facts(facts);
    }
    let Some(config) = &transport.config else {
        return Report::new(transport, State::Broken, transport.problem.clone().unwrap_or_default());
    };
    let path = &config.service.pidfile;
    if let Some(pid) = pidfile::holder(path) {
        let detail = format!("process {pid}; without a bus its connection cannot be seen");
        let report = Report::new(transport, State::Unknown, detail);
        return Report { pid: pid.as_raw().unsigned_abs(), ..report };
    }
    if pidfile::is_out_of_reach(path) {
        return Report::new(transport, State::Unknown, format!("you may not read {}", path.display()));
    }
    Report::new(transport, State::Stopped, format!("nobody holds {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn unit(active: &str, sub: &str) -> Unit {
        Unit { load: "loaded".to_owned(), active: active.to_owned(), sub: sub.to_owned(), ..Unit::default() }
    }

    fn facts(state: &str, error: &str) -> zbus::Result<Facts> {
        Ok(Facts {
            xmpp_state: state.to_owned(),
            xmpp_error: error.to_owned(),
            status: "connecting to 127.0.0.1:5347".to_owned(),
            ..Facts::default()
        })
    }

    fn silence() -> zbus::Result<Facts> {
        Err(zbus::Error::InputOutput(Arc::new(std::io::ErrorKind::TimedOut.into())))
    }

    #[test]
    fn running_means_that_the_transport_is_connected() {
        let up = unit("active", "running");
        assert_eq!(alive(&up, &facts("connected", "")).0, State::Running);
        assert_eq!(alive(&up, &facts("waiting", "refused")), (State::Waiting, "refused".to_owned()));
        assert_eq!(alive(&up, &silence()).0, State::Hung);
    }

    #[test]
    fn a_start_that_cannot_be_done_now_waits() {
        let begins = unit("activating", "start");
        assert_eq!(
            alive(&begins, &facts("connecting", "")),
            (State::Starting, "connecting to 127.0.0.1:5347".to_owned())
        );
        assert_eq!(alive(&begins, &facts("waiting", "refused")).0, State::Waiting);
        assert_eq!(alive(&begins, &silence()).0, State::Starting);
    }

    #[test]
    fn a_transport_that_dies_again_and_again_has_failed() {
        let dying =
            Unit { result: "exit-code".to_owned(), main_status: 70, ..unit("activating", "auto-restart") };
        let (state, detail) = alive(&dying, &silence());
        assert_eq!(state, State::Failed);
        assert_eq!(detail, "a fault of the program, exit status 70; systemd starts it again soon");
    }
}
