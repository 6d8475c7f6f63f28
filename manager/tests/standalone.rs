//! A machine without systemd and without a bus: a container, a chroot.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong fails")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use support::manager::Manager;

/// A process that holds a pid file as a daemon does.
fn daemon(pidfile: &Path) -> Child {
    let ready = pidfile.with_extension("ready");
    fs::write(pidfile, "").unwrap();
    let rendezvous = Command::new("mkfifo").arg(&ready).status().unwrap();
    assert!(rendezvous.success());
    let script = format!("echo locked > {}; exec sleep 60", ready.display());
    let child = Command::new("flock")
        .args(["--no-fork".as_ref(), pidfile])
        .args(["sh", "-c", &script])
        .spawn()
        .unwrap();
    // Blocks until the lock is taken.
    assert_eq!(fs::read_to_string(&ready).unwrap(), "locked\n");
    fs::write(pidfile, format!("{}\n", child.id())).unwrap();
    child
}

fn manager() -> Option<Manager> {
    // There the bus that is missing would be a fault of the machine, and is reported as one.
    let booted = Path::new("/run/systemd/system").is_dir();
    (!booted).then(|| Manager::new("unix:path=/nonexistent/bus"))
}

#[tokio::test]
async fn pid_files_tell_what_runs() {
    let Some(manager) = manager() else { return };
    let pidfile = manager.directory.path().join("irc.pid");
    manager.transport("irc", &format!("pidfile={}\n", pidfile.display()));
    // Left behind by a crash: a number, but no lock.
    let stale = manager.directory.path().join("xmpp.pid");
    fs::write(&stale, "1\n").unwrap();
    manager.transport("xmpp", &format!("pidfile={}\n", stale.display()));
    let mut irc = daemon(&pidfile);

    let run = manager.run("status --json").await;
    assert_eq!(run.exit, 3);
    assert!(run.err.starts_with("systemd does not run here"), "{}", run.err);
    let reports = run.json();
    assert_eq!((&reports[0]["state"], &reports[0]["pid"]), (&"unknown".into(), &irc.id().into()));
    assert_eq!(reports[1]["state"], "stopped");

    // As init would: nobody else waits for the child.
    let reaper = tokio::task::spawn_blocking(move || irc.wait());
    let stop = manager.run("stop").await;
    assert_eq!((stop.exit, stop.out.as_str()), (0, "irc: stopped\nxmpp: not running\n"), "{stop:?}");
    reaper.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_start_is_in_the_foreground() {
    let Some(manager) = manager() else { return };
    manager.transport("irc", "");
    manager.transport("xmpp", "");
    manager.program("spectrum2", "printf '%s\\n' \"$*\"");

    assert_eq!(manager.run("start").await.exit, 64);
    let run = manager.run("start irc").await;
    assert_eq!((run.exit, run.out), (0, format!("-n {}\n", manager.file("irc.cfg").display())));
}

#[tokio::test]
async fn what_takes_systemd_or_a_bus_says_so() {
    let Some(manager) = manager() else { return };
    manager.transport("irc", "");
    assert_eq!(manager.run("enable irc").await.exit, 69);
    assert_eq!(manager.run("users irc").await.exit, 69);
    assert_eq!(manager.run("list").await.out, "irc.example.org\n");
}
