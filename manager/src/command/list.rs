//! `list`.

use serde_json::json;

use super::Context;
use crate::outcome::{Exit, Failure};
use crate::table::{Table, Tone};

/// Shows all transports: one JID a line as Spectrum 2 did, since scripts read it; a table on a terminal.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let terminal = context.terminal;
    let machine = context.machine().await?;
    let fleet = context.fleet(&machine).await?;
    if let Some(note) = &fleet.hidden {
        terminal.note(note);
    }
    if terminal.json {
        let list: Vec<_> = fleet
            .transports
            .iter()
            .map(|transport| {
                json!({
                    "name": transport.name,
                    "jid": transport.jid,
                    "vhosts": transport.vhosts(),
                    "file": transport.file,
                    "problem": transport.problem.as_ref().or(transport.instance.as_ref().err()),
                })
            })
            .collect();
        terminal.print_json(&list);
    } else if terminal.is_watched {
        let mut table = Table::new(&["NAME", "JID", "FILE"]);
        for transport in &fleet.transports {
            let file = transport.file.display().to_string();
            table.row([&transport.name, &transport.jid, &file].map(|text| (text.clone(), Tone::Plain)));
            for vhost in transport.vhosts() {
                table.row(["", vhost, ""].map(|text| (text.to_owned(), Tone::Plain)));
            }
        }
        terminal.print_table(&table);
    } else {
        // COMPAT(Spectrum 2): no vhosts.
        for transport in fleet.transports.iter().filter(|transport| !transport.jid.is_empty()) {
            terminal.print(&format!("{}\n", transport.jid));
        }
    }
    Ok(Exit::Ok)
}
