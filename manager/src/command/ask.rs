//! COMPAT(Spectrum 2): `NAME|JID COMMAND WORDS…`.

use serde_json::json;

use super::{Context, lifecycle};
use crate::bus;
use crate::outcome::{Exit, Failure};

/// Passes the words to the transport and prints its answer, word for word: scripts parse it.
pub async fn run(context: &Context, words: &[String]) -> Result<Exit, Failure> {
    use lifecycle::Order;
    let (name, command) = match words {
        [word] => {
            return Err(Failure::usage(format!(
                "There is no command “{word}”. If it is a transport, name a command after it; see --help."
            )));
        }
        [name, command @ ..] => (name, command),
        [] => return Err(Failure::usage("Name a command; see --help.")),
    };
    if let [verb] = command {
        let order = match verb.as_str() {
            "start" => Some(Order::Start),
            "stop" => Some(Order::Stop),
            "restart" => Some(Order::Restart),
            _ => None,
        };
        if let Some(order) = order {
            return lifecycle::run(context, order, std::slice::from_ref(name)).await;
        }
    }
    let (transport, daemon) = context.daemon(name).await?;
    let answer = daemon
        .in_time(daemon.calls.command(&command.join(" ")))
        .await
        .map_err(|error| bus::failure(&error, &transport.name))?;
    if context.terminal.json {
        context.terminal.print_json(&json!({ "transport": transport.name, "answer": answer }));
    } else {
        context.terminal.print(&format!("{answer}\n"));
    }
    // Spectrum 2 always ended with 0.
    Ok(if answer.starts_with("Error:") { Exit::Failed } else { Exit::Ok })
}
