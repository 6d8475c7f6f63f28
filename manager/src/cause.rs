//! Why a unit failed, in words.
//!
//! Guarantees the order of trust: what the transport said itself, then what its exit status means, then what systemd
//! calls it; the journal is shown, not interpreted.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::systemd::Unit;

/// How many lines of the journal are shown.
const LINES: &str = "10";

/// The journal is asked no longer than this.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(5);

/// Why the unit is not running, in a few words; empty if nothing is known against it.
#[must_use]
pub fn of(unit: &Unit) -> String {
    if unit.load == "not-found" {
        return "systemd has no such unit; install the units of the transport daemon".to_owned();
    }
    if !matches!(unit.load.as_str(), "loaded" | "") {
        return format!("systemd cannot use its unit file: {}", unit.load);
    }
    let how = how_it_ended(unit);
    // Who is killed has no last word: what it said before is no cause.
    let has_spoken = matches!(unit.result.as_str(), "exit-code" | "protocol" | "timeout");
    match unit.status_text.trim_end_matches('.') {
        status if has_spoken && !status.is_empty() => format!("{status} ({how})"),
        _ => how,
    }
}

/// The end of the main process.
fn how_it_ended(unit: &Unit) -> String {
    match (unit.result.as_str(), unit.main_code, unit.main_status) {
        ("success" | "", ..) => String::new(),
        ("exit-code", _, status) => exit_status(status),
        ("signal" | "core-dump", _, signal) => format!("it was ended by signal {signal}"),
        ("watchdog", ..) => "it hung, and the watchdog ended it".to_owned(),
        ("timeout", ..) => "it did not start or stop in time".to_owned(),
        ("oom-kill", ..) => "the machine ran out of memory".to_owned(),
        ("start-limit-hit", ..) => "it failed too often; systemd does not try any more".to_owned(),
        ("resources", ..) => "systemd lacks something to start it, see the journal".to_owned(),
        ("protocol", ..) => "it ended before it was ready".to_owned(),
        (other, ..) => other.to_owned(),
    }
}

/// What an exit status means: ours are those of sysexits.h, from 200 on they are systemd's, systemd.exec(5).
fn exit_status(status: i32) -> String {
    let meaning = match status {
        64 => "wrong command line",
        69 => "something that it needs is not there",
        70 => "a fault of the program",
        77 => "not permitted",
        78 => "wrong configuration",
        200 => "its working directory is not there",
        203 => "its program cannot be executed",
        216 => "its group is not there",
        217 => "its user is not there",
        226 => "its sandbox cannot be set up",
        238 => "its state directory cannot be set up",
        243 => "its credentials cannot be read (LoadCredential= in its drop-ins)",
        _ => return format!("exit status {status}"),
    };
    format!("{meaning}, exit status {status}")
}

/// The last lines that this start of a unit wrote; none where there is no journal, or no right to read it.
pub async fn journal(name: &str, unit: &Unit) -> Vec<String> {
    if unit.invocation.is_empty() {
        return Vec::new();
    }
    let mut command = Command::new("journalctl");
    command
        .args(["--quiet", "--no-pager", "--output=cat", "--lines", LINES])
        .args([format!("_SYSTEMD_INVOCATION_ID={}", unit.invocation), "+".to_owned()])
        .args([format!("INVOCATION_ID={}", unit.invocation), format!("UNIT={name}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match timeout(JOURNAL_PATIENCE, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).lines().map(crate::table::plain).collect(),
        // The cause is known without it.
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(result: &str, status: i32, text: &str) -> Unit {
        Unit {
            load: "loaded".to_owned(),
            active: "failed".to_owned(),
            result: result.to_owned(),
            main_code: 1,
            main_status: status,
            status_text: text.to_owned(),
            ..Unit::default()
        }
    }

    #[test]
    fn the_transport_itself_is_heard_first() {
        assert_eq!(
            of(&failed("exit-code", 78, "irc.cfg:3: service.port: There is no port.")),
            "irc.cfg:3: service.port: There is no port (wrong configuration, exit status 78)"
        );
        assert_eq!(of(&failed("exit-code", 217, "")), "its user is not there, exit status 217");
        assert_eq!(of(&failed("exit-code", 42, "")), "exit status 42");
        assert_eq!(of(&failed("watchdog", 6, "connected")), "it hung, and the watchdog ended it");
        assert_eq!(of(&failed("signal", 9, "connected")), "it was ended by signal 9");
    }

    #[test]
    fn nothing_is_said_against_who_ended_well() {
        assert_eq!(of(&failed("success", 0, "connected")), "");
    }

    #[test]
    fn a_machine_without_the_units_is_told_so() {
        let unit = Unit { load: "not-found".to_owned(), ..Unit::default() };
        assert!(of(&unit).contains("install the units"));
    }
}
