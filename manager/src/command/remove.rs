//! `remove`.

use std::fs;
use std::path::Path;

use super::Context;
use super::create::secret_file;
use super::lifecycle::{Order, Outcome, carry_out, print};
use crate::fleet::Transport;
use crate::outcome::{Exit, Failure, io_failure};
use crate::units;

/// Stops a transport for good and removes its file. What its users stored stays.
pub async fn run(context: &Context, name: &str) -> Result<Exit, Failure> {
    let machine = context.machine().await?;
    let fleet = context.fleet(&machine).await?;
    let transport = fleet.find(name)?.clone();
    if let (Some(systemd), Ok(instance)) = (&machine.systemd, transport.instance()) {
        let stopped =
            carry_out(context, &machine, systemd, Order::Stop, std::slice::from_ref(&transport)).await?;
        if stopped.iter().any(|outcome| outcome.exit() != Exit::Ok) {
            return Ok(print(context, &stopped));
        }
        systemd.set_enabled(&[units::daemon(instance)], false).await?;
    }
    remove_files(&transport)?;
    let exit = print(context, &[Outcome::done(&transport, "removed", "")]);
    if let Some(config) = &transport.config
        && config.service.working_dir.exists()
    {
        context.terminal.note(&format!(
            "The data of its users is still in {}. Remove the directory if nobody needs it.",
            config.service.working_dir.display()
        ));
    }
    Ok(exit)
}

/// Removes the transport file, and the file with its secret if `create` made that.
fn remove_files(transport: &Transport) -> Result<(), Failure> {
    let remove = |file: &Path| {
        fs::remove_file(file).map_err(|error| io_failure(format_args!("{}", file.display()), &error))
    };
    remove(&transport.file)?;
    let own_secret = secret_file(&transport.file);
    match &transport.config {
        Some(config) if config.service.password_file == own_secret && own_secret.exists() => {
            remove(&own_secret)
        }
        _ => Ok(()),
    }
}
