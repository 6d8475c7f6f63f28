//! Transport files in, drop-ins out: each directory of `generator/` is a case. `transports` goes in, `expected` is what
//! comes out, all of it, with `TRANSPORTS` for the path that goes in; `problems` is what is said, if anything is.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use spectrum2_manager::generator::{generate, want_target};

mod support;
use support::Directory;

fn check(case: &str) {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generator").join(case);
    let transports = case.join("transports");
    let output = Directory::new();

    let problems = generate(&transports, output.path());

    let placeholder = |text: String| text.replace(transports.to_str().unwrap(), "TRANSPORTS");
    let made: BTreeMap<_, _> =
        tree(output.path()).into_iter().map(|(path, text)| (path, placeholder(text))).collect();
    assert_eq!(made, tree(&case.join("expected")));
    let expected = fs::read_to_string(case.join("problems")).unwrap_or_default();
    let said: String = problems.into_iter().map(|problem| placeholder(problem) + "\n").collect();
    assert_eq!(said, expected);
}

/// All files below a directory, with their texts.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn what_the_units_give_anyway_needs_nothing() {
    check("defaults");
}

#[test]
fn another_user_runs_the_daemon_and_owns_its_socket() {
    check("own_user");
    check("own_user_database");
    check("other_group");
}

#[test]
fn places_outside_of_the_defaults_become_writable() {
    check("other_places");
    check("own_user_elsewhere");
    check("vhosts");
}

#[test]
fn a_broken_file_costs_nobody_else() {
    check("broken_among_others");
}

#[test]
fn while_one_transport_is_enabled_the_target_is_reached() {
    let directory = Directory::new();
    let (enabled, output) = (directory.path().join("spectrum2.target.wants"), directory.path().join("out"));
    let link = output.join("multi-user.target.wants/spectrum2.target");
    assert!(want_target(&enabled, &output).is_empty());
    assert!(link.symlink_metadata().is_err());

    fs::create_dir(&enabled).unwrap();
    fs::write(enabled.join("spectrum2@irc.service"), "").unwrap();
    assert!(want_target(&enabled, &output).is_empty());
    assert_eq!(fs::read_link(link).unwrap(), Path::new("/usr/lib/systemd/system/spectrum2.target"));
}

#[test]
fn a_machine_without_transports_is_no_fault() {
    let output = Directory::new();
    assert!(generate(&output.path().join("none"), output.path()).is_empty());
}

#[test]
fn boot_goes_on_whatever_happens() {
    let status = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_spectrum2-generator")).args(arguments).status().unwrap()
    };
    assert!(status(&["/nonexistent/normal", "/nonexistent/early", "/nonexistent/late"]).success());
    assert!(status(&[]).success());
}
