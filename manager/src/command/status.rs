//! `status`.

use super::{Context, at_once};
use crate::bus;
use crate::daemon::{Facts, User};
use crate::fleet::Transport;
use crate::machine::Machine;
use crate::outcome::{Exit, Failure};
use crate::state::{Report, State, Vhost, report};
use crate::table::{Table, Tone, plain};
use crate::words::{bytes, count, now, since, until};

/// Shows how transports do; of a single one that was named everything.
pub async fn run(context: &Context, names: &[String], short: bool) -> Result<Exit, Failure> {
    let terminal = context.terminal;
    let machine = context.machine().await?;
    if machine.systemd.is_none() {
        terminal.note("systemd does not run here; pid files tell what runs.");
    }
    let fleet = context.fleet(&machine).await?;
    if let Some(note) = &fleet.hidden {
        terminal.note(note);
    }
    let selected: Vec<Transport> = fleet.select(names)?.into_iter().cloned().collect();
    let mut reports = reports(&machine, selected).await;
    let is_detailed = names.len() == 1 && reports.len() == 1 && !short;
    if let Some(report) = reports.first_mut().filter(|report| is_detailed && report.transport.is_some()) {
        report.troubled_users = troubled_users(context, &machine, fleet.find(&report.name)?).await;
    }

    if terminal.json {
        terminal.print_json(&reports);
    } else if short {
        reports.iter().for_each(|report| print_short(context, report));
    } else if let (true, Some(report)) = (is_detailed, reports.first()) {
        print_details(context, report);
    } else if reports.is_empty() {
        terminal.note("There are no transports yet: spectrum2_manager create sets one up.");
    } else {
        terminal.print_table(&table(&reports));
    }
    Ok(reports.iter().map(Report::exit).max().unwrap_or(Exit::Ok))
}

/// Asks all at once.
async fn reports(machine: &Machine, transports: Vec<Transport>) -> Vec<Report> {
    let asking = transports.into_iter().map(|transport| {
        let machine = machine.clone();
        async move { report(&machine, &transport).await }
    });
    at_once(asking).await
}

/// Who is neither online nor offline, if the transport tells.
async fn troubled_users(context: &Context, machine: &Machine, transport: &Transport) -> Vec<User> {
    let mut users = Vec::new();
    for vhost in [None].into_iter().chain(transport.vhosts().into_iter().map(Some)) {
        let Ok(daemon) = machine.daemon(transport, vhost).await else { continue };
        match daemon.troubled_users().await {
            Ok(more) => users.extend(more),
            // Said already.
            Err(error) if vhost.is_some() && bus::trouble(&error) == bus::Trouble::Absent => {}
            Err(error) => {
                let failure = bus::failure(&error, vhost.unwrap_or(&transport.name));
                context.terminal.note(&format!("The logins of users are not shown: {failure}"));
            }
        }
    }
    users
}

/// COMPAT(Spectrum 2): `"FILE": JID Running`, and a line for each vhost.
fn print_short(context: &Context, report: &Report) {
    let vhosts = report.vhosts.iter().map(|vhost| (&vhost.jid, vhost.state));
    for (jid, state) in vhosts.chain([(&report.jid, report.state)]) {
        let state = if state.has_process() { "Running" } else { "Stopped" };
        context.terminal.print(&format!("\"{}\": {jid} {state}\n", report.file));
    }
}

fn table(reports: &[Report]) -> Table {
    let mut table = Table::new(&["NAME", "JID", "STATE", "USERS", "BACKENDS", "MEMORY", "DETAIL"]);
    for report in reports {
        let memory = report.memory.map(bytes).unwrap_or_default();
        let (facts, detail) = (report.transport.as_ref(), &report.detail);
        table.row(row(&report.name, &report.jid, report.state, facts, memory, detail));
        // What the process uses stands above.
        for Vhost { jid, state, detail, transport } in &report.vhosts {
            table.row(row("", jid, *state, transport.as_ref(), String::new(), detail));
        }
    }
    table
}

fn row(
    name: &str,
    jid: &str,
    state: State,
    facts: Option<&Facts>,
    memory: String,
    detail: &str,
) -> [(String, Tone); 7] {
    let users = facts.map(|facts| format!("{}/{}", facts.online_users, facts.registered_users));
    let backends = facts.map(|facts| facts.backends.to_string());
    [
        (name.to_owned(), Tone::Plain),
        (jid.to_owned(), Tone::Plain),
        (state.word().to_owned(), state.tone()),
        (users.unwrap_or_default(), Tone::Plain),
        (backends.unwrap_or_default(), Tone::Plain),
        (memory, Tone::Plain),
        (detail.to_owned(), Tone::Plain),
    ]
}

fn print_details(context: &Context, report: &Report) {
    let terminal = context.terminal;
    let state = terminal.painted(report.state.word(), report.state.tone());
    let detail =
        if report.detail.is_empty() { String::new() } else { format!(", {}", plain(&report.detail)) };
    terminal.print(&format!("{} {}\n  state:      {state}{detail}\n", report.name, report.jid));
    for (label, text) in facts(report) {
        if !text.is_empty() {
            terminal.print(&format!("  {:<11} {}\n", format!("{label}:"), plain(&text)));
        }
    }
    if report.state == State::Hung {
        terminal.print(&format!("  next:       spectrum2_manager restart {}\n", report.name));
    }
    if report.state == State::Failed {
        terminal.print(&format!("  next:       spectrum2_manager log {}\n", report.name));
    }
    if report.is_stale && report.state.has_process() {
        let restart = format!("spectrum2_manager restart {}", report.name);
        terminal.print(&format!("  stale:      its units have changed since it was started: {restart}\n"));
    }
    if !report.troubled_users.is_empty() {
        terminal.print(&format!("  not online: {}\n\n", count(report.troubled_users.len(), "user")));
        terminal.print_table(&super::users::table(&report.troubled_users));
    }
}

/// Label and text of what is shown below the state.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(facts) = &report.transport {
        lines.push(("says", facts.status.clone()));
        lines
            .push(("users", format!("{} online, {} registered", facts.online_users, facts.registered_users)));
        lines.push(("backends", facts.backends.to_string()));
        lines.push(("protocol", facts.protocol.clone()));
        lines.push(("mode", facts.mode.clone()));
        lines.push(("version", facts.version.clone()));
        lines.push(("last error", facts.last_error.clone()));
    }
    if report.pid != 0 {
        let time = since(report.since, now());
        let time = if time.is_empty() { time } else { format!(", for {time}") };
        lines.push(("process", format!("{}{time}", report.pid)));
    }
    let used = [
        report.memory.map(bytes),
        report.cpu.map(|cpu| format!("{:.1} s of CPU", cpu as f64 / 1e9)),
        report.tasks.map(|tasks| count(usize::try_from(tasks).unwrap_or(usize::MAX), "task")),
    ];
    lines.push(("uses", used.into_iter().flatten().collect::<Vec<_>>().join(", ")));
    for Vhost { jid, state, detail, .. } in &report.vhosts {
        lines.push(("vhost", format!("{jid} {}, {detail}", state.word()).trim_end_matches(", ").to_owned()));
    }
    lines.push(("file", report.file.clone()));
    lines.push(("at boot", report.enabled.clone()));
    lines
}

/// When a user is tried again, for tables.
pub fn retry(user: &User) -> String {
    until(user.retry_at, now())
}
