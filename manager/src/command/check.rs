//! `check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use spectrum2_config::check::{Remarks, report_with};
use spectrum2_config::{Config, ExitKind, Overrides};

use super::Context;
use crate::fleet::Fleet;
use crate::outcome::{Exit, Failure};

/// Says what is wrong with transport files, each by itself and all together.
pub fn run(context: &Context, names: &[String]) -> Result<Exit, Failure> {
    let fleet = Fleet::load(&context.settings.config_directory)?;
    if let (Some(note), true) = (&fleet.hidden, names.is_empty()) {
        return Err(Failure { exit: Exit::NotPermitted, text: note.clone() });
    }
    let mut worst = Exit::Ok;
    let mut results = Vec::new();
    for file in files(&fleet, names)? {
        let (text, kind) = report(&file);
        let name = fleet.transports.iter().find(|transport| transport.file == file);
        let name_problem = name.and_then(|transport| transport.instance.as_ref().err());
        let exit = match kind {
            ExitKind::NotPermitted => Exit::NotPermitted,
            ExitKind::Ok if name_problem.is_none() => Exit::Ok,
            _ => Exit::Config,
        };
        worst = worst.max(exit);
        let text = name_problem.map(|problem| format!("error: {problem}\n")).unwrap_or_default() + &text;
        results.push((file, text, exit));
    }
    let clashes = if names.is_empty() { clashes(&fleet) } else { Vec::new() };
    if !clashes.is_empty() {
        worst = worst.max(Exit::Config);
    }
    print(context, &results, &clashes);
    Ok(worst)
}

/// What the daemon says, since it alone reads certificates; if it cannot be asked, what the file itself tells.
fn report(file: &Path) -> (String, ExitKind) {
    let asked = Command::new("spectrum2")
        .args(["check", "--"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .ok()
        .and_then(|output| {
            let known = [ExitKind::Ok, ExitKind::Configuration, ExitKind::NotPermitted];
            let kind = known.into_iter().find(|kind| output.status.code() == Some(kind.code().into()))?;
            Some((String::from_utf8_lossy(&output.stdout).into_owned(), kind))
        });
    asked.unwrap_or_else(|| report_with(file, &Overrides::default(), &remarks))
}

/// What is left open without the daemon.
fn remarks(config: &Config) -> Remarks {
    let has_certificate = config.service.server_mode && !config.service.cert.as_os_str().is_empty();
    let text = "certificate: not looked at, since `spectrum2 check` does not run here\n";
    Remarks { summary: if has_certificate { text.to_owned() } else { String::new() }, ..Remarks::default() }
}

/// The files that were named; what has a slash or an ending is a file, the rest a transport.
fn files(fleet: &Fleet, names: &[String]) -> Result<Vec<PathBuf>, Failure> {
    if names.is_empty() {
        return Ok(fleet.transports.iter().map(|transport| transport.file.clone()).collect());
    }
    let file = |name: &String| {
        let is_path = name.contains('/') || Path::new(name).extension() == Some("cfg".as_ref());
        if is_path {
            Ok(PathBuf::from(name))
        } else {
            fleet.find(name).map(|transport| transport.file.clone())
        }
    };
    names.iter().map(file).collect()
}

/// What only shows when all files are looked at: transports that have one JID, and so one database.
fn clashes(fleet: &Fleet) -> Vec<String> {
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for transport in &fleet.transports {
        for jid in
            transport.vhosts().into_iter().chain([transport.jid.as_str()]).filter(|jid| !jid.is_empty())
        {
            owners.entry(jid).or_default().push(&transport.name);
        }
    }
    owners
        .into_iter()
        .filter(|(_, names)| names.len() > 1)
        .map(|(jid, names)| format!("{} have the same JID {jid}. Give each its own.", names.join(", ")))
        .collect()
}

fn print(context: &Context, results: &[(PathBuf, String, Exit)], clashes: &[String]) {
    let terminal = context.terminal;
    if terminal.json {
        let files: Vec<_> = results
            .iter()
            .map(|(file, text, exit)| {
                json!({ "file": file, "ok": *exit == Exit::Ok, "report": text.lines().collect::<Vec<_>>() })
            })
            .collect();
        terminal.print_json(&json!({ "files": files, "problems": clashes }));
        return;
    }
    let has_several = results.len() > 1;
    for (file, text, _) in results {
        if has_several {
            terminal.print(&format!("{}\n", file.display()));
        }
        for line in text.lines() {
            terminal.print(&format!("{}{line}\n", if has_several { "  " } else { "" }));
        }
    }
    for clash in clashes {
        terminal.print(&format!("error: {clash}\n"));
    }
}
