//! `spectrum2-generator`: drop-ins for transports whose files ask for more than the shipped units give,
//! systemd.generator(7).
//!
//! Guarantees that boot goes on: a broken file costs only its own drop-ins and a line in the kernel log, and the exit
//! status is 0. `systemctl start spectrum2@NAME` works without it for every transport that leaves the defaults
//! alone. Which transports start at boot, `systemctl enable spectrum2@NAME` says alone.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use spectrum2_config::instance::CONFIG_DIRECTORY;
use spectrum2_manager::generator::{generate, want_target};

/// Where `systemctl enable spectrum2@NAME` makes its links.
const ENABLED: &str = "/etc/systemd/system/spectrum2.target.wants";

fn main() {
    // systemd passes three directories; what belongs to units of /etc and /usr goes to the first one.
    let Some(output) = env::args_os().nth(1).map(PathBuf::from) else {
        complain("It is started by systemd, with the directory for its drop-ins.");
        return;
    };
    let mut problems = want_target(Path::new(ENABLED), &output);
    problems.extend(generate(Path::new(CONFIG_DIRECTORY), &output));
    problems.iter().for_each(|problem| complain(problem));
}

/// Into the kernel log: the journal does not run yet.
fn complain(problem: &str) {
    const WARNING: &str = "<4>";
    let line = format!("spectrum2-generator[{}]: {problem}\n", process::id());
    let logged = OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(format!("{WARNING}{line}").as_bytes()));
    if logged.is_err() {
        // In a container there is no kernel log, and on a closed stderr nobody is left to tell.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}
