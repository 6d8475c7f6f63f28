//! `start`, `stop`, `restart`, `reload`, `enable`, `disable`: orders to systemd, with their results.

use serde::Serialize;
use tokio::time::Instant;

use super::{Context, at_once, standalone};
use crate::bus::{self, Trouble};
use crate::cause;
use crate::daemon::Daemon;
use crate::fleet::{Fleet, Transport};
use crate::machine::Machine;
use crate::outcome::{Exit, Failure};
use crate::state::{is_stale, report};
use crate::systemd::{JobEnd, Systemd, Verb};
use crate::units;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// Stop, then start.
    Restart,
    /// Read the file again.
    Reload,
}

impl Order {
    const fn verb(self) -> Verb {
        match self {
            Self::Start => Verb::Start,
            Self::Stop => Verb::Stop,
            Self::Restart => Verb::Restart,
            Self::Reload => Verb::Reload,
        }
    }

    /// Doing it, and having done it.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("starting", "started"),
            Self::Stop => ("stopping", "stopped"),
            Self::Restart => ("restarting", "restarted"),
            Self::Reload => ("reloading", "reloaded"),
        }
    }
}

/// How it went with one transport.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    name: String,
    result: String,
    detail: String,
    journal: Vec<String>,
    #[serde(skip)]
    exit: Exit,
}

impl Outcome {
    /// It went well.
    pub fn done(transport: &Transport, result: &str, detail: impl Into<String>) -> Self {
        Self {
            name: transport.name.clone(),
            result: result.to_owned(),
            detail: detail.into(),
            journal: Vec::new(),
            exit: Exit::Ok,
        }
    }

    /// It did not.
    pub fn failure(transport: &Transport, failure: Failure) -> Self {
        Self { exit: failure.exit, ..Self::done(transport, "failed", failure.text) }
    }

    /// How the program ends.
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

/// Gives the order about the transports that were named. Without names it is all; a restart or reload is then for those
/// that run, as with Spectrum 2.
pub async fn run(context: &Context, order: Order, names: &[String]) -> Result<Exit, Failure> {
    let machine = context.machine().await?;
    let fleet = context.fleet(&machine).await?;
    let mut selected = selected(context, &fleet, names)?;
    for (name, transport) in names.iter().filter_map(|name| Some((name, fleet.find(name).ok()?))) {
        if transport.vhost(name).is_some() {
            let note = format!(
                "{name} is a vhost of {}: the order is for all that its process serves.",
                transport.name
            );
            context.terminal.note(&note);
        }
    }
    let Some(systemd) = &machine.systemd else {
        return standalone::run(context, order, &selected, names.is_empty()).await;
    };
    if names.is_empty() && matches!(order, Order::Restart | Order::Reload) {
        let active = systemd.running_units(units::DAEMONS).await?;
        selected.retain(|transport| {
            transport.instance.as_ref().is_ok_and(|instance| active.contains(&units::daemon(instance)))
        });
    }
    let outcomes = carry_out(context, &machine, systemd, order, &selected).await?;
    Ok(print(context, &outcomes))
}

/// Starts or does not start transports at boot.
pub async fn set_enabled(context: &Context, names: &[String], enabled: bool) -> Result<Exit, Failure> {
    let machine = context.machine().await?;
    let fleet = context.fleet(&machine).await?;
    let selected = selected(context, &fleet, names)?;
    let systemd = machine.systemd()?;
    let word = if enabled { "enabled" } else { "disabled" };
    let mut outcomes = Vec::new();
    let mut units = Vec::new();
    for transport in &selected {
        match transport.instance() {
            Ok(instance) => {
                units.push(units::daemon(instance));
                outcomes.push(Outcome::done(transport, word, ""));
            }
            Err(failure) => outcomes.push(Outcome::failure(transport, failure)),
        }
    }
    if !units.is_empty() {
        systemd.set_enabled(&units, enabled).await?;
    }
    Ok(print(context, &outcomes))
}

fn selected(context: &Context, fleet: &Fleet, names: &[String]) -> Result<Vec<Transport>, Failure> {
    let selected: Vec<Transport> = fleet.select(names)?.into_iter().cloned().collect();
    if selected.is_empty() {
        let note = fleet.hidden.as_deref();
        context
            .terminal
            .note(note.unwrap_or("There are no transports: spectrum2_manager create sets one up."));
    }
    Ok(selected)
}

/// Does it to all at once, and says of each how it went.
///
/// # Errors
/// systemd cannot be asked.
pub async fn carry_out(
    context: &Context,
    machine: &Machine,
    systemd: &Systemd,
    order: Order,
    transports: &[Transport],
) -> Result<Vec<Outcome>, Failure> {
    let deadline = context.deadline();
    let mut outcomes = Vec::new();
    let mut ready = Vec::new();
    for transport in transports {
        match transport.instance() {
            Ok(_) => ready.push(transport),
            Err(failure) => outcomes.push(Outcome::failure(transport, failure)),
        }
    }
    if order == Order::Reload {
        let reloads = ready.into_iter().map(|transport| {
            let (machine, systemd, transport) = (machine.clone(), systemd.clone(), transport.clone());
            async move { reload(&machine, &systemd, &transport, deadline).await }
        });
        outcomes.extend(at_once(reloads).await);
        return Ok(outcomes);
    }
    if order != Order::Stop && needs_daemon_reload(systemd, &ready).await? {
        systemd.reload().await?;
    }
    let ends = run_jobs(context, systemd, order, &ready, deadline).await?;
    for (transport, end) in ready.into_iter().zip(ends) {
        outcomes.push(judge(machine, systemd, order, transport, end).await);
    }
    Ok(outcomes)
}

async fn run_jobs(
    context: &Context,
    systemd: &Systemd,
    order: Order,
    transports: &[&Transport],
    deadline: Instant,
) -> Result<Vec<JobEnd>, Failure> {
    let units: Vec<String> =
        transports.iter().filter_map(|transport| transport.instance().ok()).map(units::daemon).collect();
    let names: Vec<&str> = transports.iter().map(|transport| transport.name.as_str()).collect();
    let (doing, _) = order.words();
    let begin = Instant::now();
    let progress = |done: usize| {
        context.terminal.progress(&format!(
            "{doing} {}: {done} of {}, {} s",
            names.join(", "),
            names.len(),
            begin.elapsed().as_secs()
        ));
    };
    let ends = systemd.run(order.verb(), &units, deadline, progress).await;
    context.terminal.end_progress();
    ends
}

/// Whether systemd works with something older than what it would find now.
async fn needs_daemon_reload(systemd: &Systemd, transports: &[&Transport]) -> Result<bool, Failure> {
    for transport in transports {
        let instance = transport.instance()?;
        if is_stale(transport, instance, &systemd.unit(&units::daemon(instance)).await?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the end of a job means, with the cause if it is not the one that was wanted.
async fn judge(
    machine: &Machine,
    systemd: &Systemd,
    order: Order,
    transport: &Transport,
    end: JobEnd,
) -> Outcome {
    let Ok(instance) = transport.instance() else { return Outcome::done(transport, "failed", "") };
    let name = units::daemon(instance);
    let (doing, done) = order.words();
    let result = match end {
        JobEnd::Refused(failure) => return Outcome::failure(transport, failure),
        JobEnd::Done => {
            if order == Order::Stop {
                systemd.forget_failure(&name).await;
            }
            return Outcome::done(transport, done, "");
        }
        JobEnd::GoesOn => "",
        JobEnd::Result(ref result) => result.as_str(),
    };
    let unit = systemd.unit(&name).await.unwrap_or_default();
    if result.is_empty() {
        // What the transport tells systemd comes later than what it answers.
        let told = report(machine, transport).await.detail;
        let why = if told.is_empty() { unit.status_text } else { told };
        let detail = format!("it is not ready yet: {why}");
        return Outcome { exit: Exit::NotRunning, ..Outcome::done(transport, doing, detail) };
    }
    let detail = match (cause::of(&unit), result) {
        (cause, _) if !cause.is_empty() => cause,
        (_, "assert") => format!("{} is missing", transport.file.display()),
        (_, "dependency") => "something that it needs did not start, see the journal".to_owned(),
        (_, "canceled") => "somebody gave another order meanwhile".to_owned(),
        (_, "timeout") => "it took too long".to_owned(),
        (_, other) => format!("systemd says: {other}"),
    };
    let journal = cause::journal(&name, &unit).await;
    Outcome { exit: Exit::Failed, journal, ..Outcome::done(transport, "failed", detail) }
}

/// Asks the transport itself, which can tell what takes a restart; systemd only if the bus has no way to it.
async fn reload(machine: &Machine, systemd: &Systemd, transport: &Transport, deadline: Instant) -> Outcome {
    let instance = match transport.instance() {
        Ok(instance) => instance,
        Err(failure) => return Outcome::failure(transport, failure),
    };
    let mut daemons = Vec::new();
    for vhost in [None].into_iter().chain(transport.vhosts().into_iter().map(Some)) {
        match machine.daemon(transport, vhost).await {
            Ok(daemon) => daemons.push(daemon),
            Err(failure) => return Outcome::failure(transport, failure),
        }
    }
    match reload_all(&daemons).await {
        Ok(options) if options.is_empty() => Outcome::done(transport, "reloaded", ""),
        Ok(options) => {
            let detail = format!("takes a restart: {}", options.join(", "));
            Outcome::done(transport, "reloaded", detail)
        }
        Err(error) if bus::trouble(&error) == Trouble::Absent => {
            let units = [units::daemon(instance)];
            match systemd.unit(&units[0]).await {
                Ok(unit) if !unit.is_active() => return not_running(transport),
                Ok(_) => {}
                Err(failure) => return Outcome::failure(transport, failure),
            }
            match systemd.run(Verb::Reload, &units, deadline, |_| ()).await {
                Ok(ends) => match ends.into_iter().next() {
                    Some(end) => judge(machine, systemd, Order::Reload, transport, end).await,
                    None => Outcome::done(transport, "failed", ""),
                },
                Err(failure) => Outcome::failure(transport, failure),
            }
        }
        Err(error) => Outcome::failure(transport, bus::failure(&error, &transport.name)),
    }
}

fn not_running(transport: &Transport) -> Outcome {
    let detail = "it does not run; it reads its file when it starts";
    Outcome { exit: Exit::NotRunning, ..Outcome::done(transport, "not reloaded", detail) }
}

/// Has the transport and its vhosts read the file again; gives the options that take a restart. A vhost that is not
/// served has nothing to reload.
async fn reload_all(daemons: &[Daemon]) -> zbus::Result<Vec<String>> {
    let mut options = Vec::new();
    for (index, daemon) in daemons.iter().enumerate() {
        match daemon.in_time(daemon.calls.reload()).await {
            Ok(more) => options.extend(more),
            Err(error) if index > 0 && bus::trouble(&error) == Trouble::Absent => {}
            Err(error) => return Err(error),
        }
    }
    options.sort();
    options.dedup();
    Ok(options)
}

/// One line for each transport; what the journal has below it.
pub fn print(context: &Context, outcomes: &[Outcome]) -> Exit {
    let terminal = context.terminal;
    if terminal.json {
        terminal.print_json(&outcomes);
    }
    for Outcome { name, result, detail, journal, exit } in outcomes.iter().filter(|_| !terminal.json) {
        let colon = if detail.is_empty() { "" } else { ": " };
        let line = format!("{name}: {result}{colon}{}", crate::table::plain(detail));
        if *exit == Exit::Ok {
            terminal.print(&format!("{line}\n"));
        } else {
            terminal.note(&line);
            journal.iter().for_each(|line| terminal.note(&format!("  {line}")));
        }
    }
    outcomes.iter().map(Outcome::exit).max().unwrap_or(Exit::Ok)
}
