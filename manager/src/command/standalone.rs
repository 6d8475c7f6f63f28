//! Orders on a machine without systemd, by pid file and signal.
//!
//! Guarantees that nothing is left in the background that nobody looks after: a start is in the foreground.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Duration, Instant, sleep_until};

use super::Context;
use super::lifecycle::{Order, Outcome, print};
use crate::fleet::Transport;
use crate::outcome::{Exit, Failure};
use crate::pidfile::holder;

/// Gives the order about these transports. Of all transports, those are meant that run.
pub async fn run(
    context: &Context,
    order: Order,
    transports: &[Transport],
    all: bool,
) -> Result<Exit, Failure> {
    context.terminal.note("systemd does not run here, so pid files and signals must do.");
    if order == Order::Start {
        return start(context, transports);
    }
    let mut outcomes = Vec::new();
    for transport in transports {
        let pid = transport.config.as_ref().and_then(|config| holder(&config.service.pidfile));
        outcomes.push(match (order, pid) {
            (_, None) if all || order == Order::Stop => Outcome::done(transport, "not running", ""),
            (Order::Reload, None) => Outcome::failure(transport, Failure::failed("it does not run")),
            (Order::Reload, Some(pid)) => signalled(transport, pid, Signal::SIGHUP, "reloaded"),
            (_, Some(pid)) => stop(transport, pid, context.deadline()).await,
            (_, None) => Outcome::done(transport, "not running", ""),
        });
    }
    let exit = print(context, &outcomes);
    if order == Order::Restart && exit == Exit::Ok { start(context, transports) } else { Ok(exit) }
}

/// Becomes the transport.
fn start(context: &Context, transports: &[Transport]) -> Result<Exit, Failure> {
    let [transport] = transports else {
        return Err(Failure::usage(
            "Without systemd a transport is started in the foreground, so name exactly one.",
        ));
    };
    if let Some(pid) = transport.config.as_ref().and_then(|config| holder(&config.service.pidfile)) {
        return Ok(print(context, &[Outcome::done(transport, "started", format!("already, process {pid}"))]));
    }
    context.terminal.note(&format!("Starting {} in the foreground; Ctrl-C stops it.", transport.name));
    let error = Command::new("spectrum2").arg("-n").arg(&transport.file).exec();
    Err(Failure::unavailable(format!("spectrum2 cannot be started: {error}. Install the transport daemon.")))
}

fn signalled(transport: &Transport, pid: Pid, signal: Signal, done: &str) -> Outcome {
    match kill(pid, signal) {
        Ok(()) => Outcome::done(transport, done, ""),
        Err(error) => {
            let exit = if error == nix::Error::EPERM { Exit::NotPermitted } else { Exit::Failed };
            let text = format!("process {pid} cannot be signalled: {error}. Run the command as root.");
            Outcome::failure(transport, Failure { exit, text })
        }
    }
}

/// Ends the process and waits until it has given its pid file back.
async fn stop(transport: &Transport, pid: Pid, deadline: Instant) -> Outcome {
    const PAUSE: Duration = Duration::from_millis(50);
    let outcome = signalled(transport, pid, Signal::SIGTERM, "stopped");
    if outcome.exit() != Exit::Ok {
        return outcome;
    }
    let Some(config) = &transport.config else { return outcome };
    // The end of a process that is not our child is no event that can be awaited without a pidfd.
    while holder(&config.service.pidfile) == Some(pid) {
        if Instant::now() >= deadline {
            return Outcome::failure(
                transport,
                Failure::failed(format!("process {pid} was asked to stop and has not done so")),
            );
        }
        sleep_until(Instant::now() + PAUSE).await;
    }
    outcome
}
