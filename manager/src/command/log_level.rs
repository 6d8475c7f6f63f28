//! `log-level`.

use serde_json::json;

use super::Context;
use crate::bus;
use crate::outcome::{Exit, Failure};

/// Lets a transport log more for some time, about a subsystem and a user; an empty text is all of them.
pub async fn run(
    context: &Context,
    name: &str,
    level: &str,
    (subsystem, user): (&str, &str),
    seconds: u32,
) -> Result<Exit, Failure> {
    let (transport, daemon) = context.daemon(name).await?;
    daemon
        .in_time(daemon.calls.set_log_level(subsystem, user, level, seconds))
        .await
        .map_err(|error| bus::failure(&error, &transport.name))?;
    if context.terminal.json {
        context
            .terminal
            .print_json(&json!({ "transport": transport.name, "level": level, "seconds": seconds }));
    } else {
        context.terminal.print(&format!("{}: logs from {level} on for {seconds} s\n", transport.name));
    }
    Ok(Exit::Ok)
}
