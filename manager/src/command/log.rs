//! `log`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::Context;
use crate::outcome::{Exit, Failure};
use crate::units;

/// Becomes journalctl(1), for the daemon and the backends of a transport, or of all.
pub async fn run(
    context: &Context,
    name: Option<&str>,
    follow: bool,
    lines: Option<u32>,
) -> Result<Exit, Failure> {
    let units = match name {
        Some(name) => {
            let machine = context.machine().await?;
            let fleet = context.fleet(&machine).await?;
            let instance = fleet.find(name)?.instance()?;
            [units::daemon(instance), units::launcher(instance)]
        }
        None => [units::DAEMONS.to_owned(), units::LAUNCHERS.to_owned()],
    };
    let mut command = Command::new("journalctl");
    for unit in units {
        command.arg("--unit").arg(unit);
    }
    if follow {
        command.arg("--follow");
    }
    if let Some(lines) = lines {
        command.arg("--lines").arg(lines.to_string());
    }
    if context.terminal.json {
        command.arg("--output=json");
    }
    Err(Failure::unavailable(format!(
        "journalctl cannot be started: {}. Without systemd look at the logs that logging.config names.",
        command.exec()
    )))
}
