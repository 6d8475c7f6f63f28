//! `backends`.

use super::Context;
use crate::bus;
use crate::outcome::{Exit, Failure};
use crate::table::{Table, Tone};
use crate::words::bytes;

/// Shows the backend processes of a transport.
pub async fn run(context: &Context, name: &str) -> Result<Exit, Failure> {
    let (transport, daemon) = context.daemon(name).await?;
    let backends = daemon.backends().await.map_err(|error| bus::failure(&error, &transport.name))?;
    if context.terminal.json {
        context.terminal.print_json(&backends);
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ID", "PID", "USERS", "MEMORY", "STATE", "SERVES"]);
    for backend in &backends {
        let unless_zero = |number: u64, text: String| if number == 0 { String::new() } else { text };
        let cells = [
            backend.id.to_string(),
            unless_zero(backend.pid.into(), backend.pid.to_string()),
            backend.users.to_string(),
            unless_zero(backend.memory, bytes(backend.memory)),
            backend.state.clone(),
            backend.jids.join(" "),
        ];
        table.row(cells.map(|text| (text, Tone::Plain)));
    }
    context.terminal.print_table(&table);
    Ok(Exit::Ok)
}
