//! Commands as they are typed, with a systemd and with transports that do what the test wants.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use support::bus::Bus;
use support::manager::Manager;
use support::systemd::{Start, Systemd, Unit};
use support::transport::Transport;

struct Stage {
    bus: Bus,
    systemd: Systemd,
    manager: Manager,
}

async fn stage() -> Stage {
    let bus = Bus::start();
    let systemd = Systemd::start(&bus).await;
    let manager = Manager::new(&bus.address);
    Stage { bus, systemd, manager }
}

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test]
async fn status_tells_one_state_from_another() {
    let Stage { bus, systemd, manager } = stage().await;
    for name in ["connected", "stopped", "waiting", "hung", "gone", "failed", "dying"] {
        manager.transport(name, "");
    }
    fs::write(manager.file("Bad-Name.cfg"), "").unwrap();
    for name in ["connected", "waiting", "hung", "gone"] {
        systemd.set(&format!("spectrum2@{name}.service"), Unit::active());
    }
    let failed = Unit {
        active: "failed",
        result: "exit-code",
        main_status: 78,
        status_text: "No port.".to_owned(),
        ..Unit::default()
    };
    let dying = Unit { active: "activating", sub: "auto-restart", result: "watchdog", ..Unit::default() };
    systemd.set("spectrum2@failed.service", failed);
    systemd.set("spectrum2@dying.service", dying);
    let _connected = Transport::connected("connected.example.org").serve(&bus, "connected").await;
    let waiting = Transport {
        xmpp_state: "waiting",
        xmpp_error: "refused",
        ..Transport::connected("waiting.example.org")
    };
    let _waiting = waiting.serve(&bus, "waiting").await;
    let hung = Transport { hangs: true, ..Transport::connected("hung.example.org") };
    let _hung = hung.serve(&bus, "hung").await;

    let begin = Instant::now();
    let run = manager.run("status --json").await;

    assert!(begin.elapsed() < Duration::from_secs(6), "the one that hangs held the others up");
    assert_eq!(run.exit, 3);
    let reports = run.json();
    let told = |name: &str| {
        let report = reports.as_array().unwrap().iter().find(|report| report["name"] == name).unwrap();
        format!("{}: {}", report["state"].as_str().unwrap(), report["detail"].as_str().unwrap())
    };
    assert_eq!(told("connected"), "running: connected");
    assert_eq!(told("stopped"), "stopped: ");
    assert_eq!(told("waiting"), "waiting: refused");
    assert_eq!(told("hung"), "hung: its process runs, but does not answer");
    assert_eq!(told("gone"), "hung: its process runs, but is not on the bus");
    assert_eq!(told("failed"), "failed: No port (wrong configuration, exit status 78)");
    assert_eq!(told("dying"), "failed: it hung, and the watchdog ended it; systemd starts it again soon");
    assert!(told("Bad-Name").starts_with("broken: "));
}

#[tokio::test]
async fn status_of_a_healthy_fleet_is_a_success() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    systemd.set("spectrum2@irc.service", Unit::active());
    systemd.set("spectrum2-backend@irc.service", Unit { memory: 10 << 20, ..Unit::active() });
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;

    let run = manager.run("status").await;

    assert_eq!(run.exit, 0, "{run:?}");
    assert_eq!(
        words(&run.out),
        [
            vec!["NAME", "JID", "STATE", "USERS", "BACKENDS", "MEMORY", "DETAIL"],
            vec!["irc", "irc.example.org", "running", "1/3", "1", "30", "MiB", "connected"],
        ]
    );
}

#[tokio::test]
async fn vhosts_are_shown_under_their_transport() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "[vhosts]\nvhost=a.example.net\nvhost=b.example.net\nvhost=c.example.net\n");
    systemd.set("spectrum2@irc.service", Unit::active());
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;
    let _a = Transport::connected("a.example.net").serve(&bus, "a_2eexample_2enet").await;
    let refused = Transport {
        xmpp_state: "waiting",
        xmpp_error: "not-authorized",
        ..Transport::connected("b.example.net")
    };
    let _b = refused.serve(&bus, "b_2eexample_2enet").await;

    let run = manager.run("status").await;
    assert_eq!(run.exit, 3, "one is not connected: {run:?}");
    assert_eq!(
        words(&run.out)[1..],
        [
            vec!["irc", "irc.example.org", "running", "1/3", "1", "20", "MiB", "connected"],
            vec!["a.example.net", "running", "1/3", "1", "connected"],
            vec!["b.example.net", "waiting", "1/3", "1", "not-authorized"],
            "c.example.net failed the process does not serve it; its log says why".split(' ').collect(),
        ]
    );
    let report = manager.run("status irc --json").await.json()[0].clone();
    let vhosts: Vec<_> = report["vhosts"].as_array().unwrap().iter().map(|vhost| &vhost["state"]).collect();
    assert_eq!(vhosts, ["running", "waiting", "failed"]);
    let detailed = manager.run("status a.example.net").await.out;
    assert!(detailed.contains("vhost:      b.example.net waiting, not-authorized\n"), "{detailed}");
}

#[tokio::test]
async fn what_is_asked_of_a_vhost_the_vhost_answers() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "[vhosts]\nvhost=chat.example.net\n");
    systemd.set("spectrum2@irc.service", Unit::active());
    let chat = Transport::connected("chat.example.net").serve(&bus, "chat_2eexample_2enet").await;

    // The transport itself is not there, so nobody else can have answered.
    let users = manager.run("users Chat.Example.Net").await;
    assert!(users.exit == 0 && users.out.contains("juliet@example.org"), "{users:?}");
    assert_eq!(manager.run("chat.example.net online_users_count").await.out, "12\n");
    assert_eq!(manager.run("user show chat.example.net romeo@example.org").await.exit, 0);
    assert_eq!(manager.run("users irc").await.exit, 69);

    // It has no process of its own, though.
    let stop = manager.run("stop chat.example.net").await;
    assert_eq!(stop.out, "irc: stopped\n");
    assert!(stop.err.contains("chat.example.net is a vhost of irc"), "{}", stop.err);
    chat.close().await.unwrap();
}

#[tokio::test]
async fn a_large_fleet_is_no_burden_for_the_bus() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    for number in 0..200 {
        manager.transport(&format!("irc{number}"), "");
    }
    let reports = manager.run("status --json").await.json();
    let reports = reports.as_array().unwrap();
    assert_eq!(reports.len(), 200);
    assert!(reports.iter().all(|report| report["state"] == "stopped"), "{reports:?}");
}

#[tokio::test]
async fn status_of_one_transport_names_the_logins_that_are_not_well() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "[vhosts]\nvhost=chat.example.net\n");
    systemd.set("spectrum2@irc.service", Unit::active());
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;
    let _chat = Transport::connected("chat.example.net").serve(&bus, "chat_2eexample_2enet").await;

    let run = manager.run("status chat.example.net").await;

    assert_eq!(run.exit, 0, "{run:?}");
    assert!(run.out.contains("juliet@example.org"), "{}", run.out);
    assert!(run.out.contains("Wrong password"), "{}", run.out);
    assert!(!run.out.contains("romeo"), "{}", run.out);
}

#[tokio::test]
async fn the_lines_of_spectrum_2_are_still_to_be_had() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "[vhosts]\nvhost=chat.example.net\n");
    manager.transport("xmpp", "");
    systemd.set("spectrum2@irc.service", Unit::active());

    assert_eq!(manager.run("list").await.out, "irc.example.org\nxmpp.example.org\n");
    let short = manager.run("status --short").await;
    let (irc, xmpp) = (manager.file("irc.cfg"), manager.file("xmpp.cfg"));
    assert_eq!(
        short.out,
        format!(
            "\"{irc}\": chat.example.net Running\n\"{irc}\": irc.example.org Running\n\
             \"{xmpp}\": xmpp.example.org Stopped\n",
            irc = irc.display(),
            xmpp = xmpp.display()
        )
    );
    assert_eq!(short.exit, 3);
}

#[tokio::test]
async fn a_transport_whose_file_is_gone_is_still_seen() {
    let Stage { bus, systemd, manager } = stage().await;
    systemd.set("spectrum2@irc.service", Unit::active());
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;

    let run = manager.run("list").await;
    assert_eq!(run.out, "irc.example.org\n");
    assert_eq!(manager.run("stop irc.example.org").await.exit, 0);
    assert_eq!(systemd.orders(), ["stop spectrum2@irc.service"]);
}

#[tokio::test]
async fn without_names_all_are_meant() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    manager.transport("xmpp", "");

    let run = manager.run("start").await;
    assert_eq!((run.exit, run.out.as_str()), (0, "irc: started\nxmpp: started\n"), "{run:?}");
    assert_eq!(systemd.orders(), ["start spectrum2@irc.service", "start spectrum2@xmpp.service"]);
}

#[tokio::test]
async fn a_restart_of_all_starts_nothing_that_was_stopped() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    manager.transport("xmpp", "");
    systemd.set("spectrum2@irc.service", Unit::active());

    assert_eq!(manager.run("restart").await.out, "irc: restarted\n");
    assert_eq!(manager.run("restart xmpp.example.org").await.out, "xmpp: restarted\n");
    assert_eq!(systemd.orders(), ["restart spectrum2@irc.service", "restart spectrum2@xmpp.service"]);
}

#[tokio::test]
async fn a_file_that_systemd_has_not_seen_is_made_known_first() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "user=irc\n");
    manager.transport("xmpp", "");
    systemd.set("spectrum2@xmpp.service", Unit { needs_reload: true, ..Unit::default() });

    assert_eq!(manager.run("start irc").await.exit, 0);
    assert_eq!(manager.run("start xmpp").await.exit, 0);
    assert_eq!(
        systemd.orders(),
        ["daemon-reload", "start spectrum2@irc.service", "daemon-reload", "start spectrum2@xmpp.service"]
    );
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    manager.transport("xmpp", "");
    let start = Start::Fails { status: 78, text: "irc.cfg:3: service.port: There is no port." };
    systemd.set("spectrum2@irc.service", Unit { start, ..Unit::default() });

    let run = manager.run("start").await;

    assert_eq!(run.exit, 1);
    assert_eq!(run.out, "xmpp: started\n");
    assert_eq!(
        run.err,
        "irc: failed: irc.cfg:3: service.port: There is no port (wrong configuration, exit status 78)\n  \
         journal of the start\n"
    );
    let asked = fs::read_to_string(manager.directory.path().join("journalctl")).unwrap();
    assert!(asked.contains(&format!("_SYSTEMD_INVOCATION_ID={}", "ab".repeat(16))), "{asked}");
}

#[tokio::test]
async fn nobody_waits_longer_than_was_said() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    let start = Start::NeverEnds { text: "cannot connect to 127.0.0.1:5347 (refused)" };
    systemd.set("spectrum2@irc.service", Unit { start, ..Unit::default() });

    let run = manager.run("start irc --timeout 1").await;

    assert_eq!(run.exit, 3);
    assert_eq!(run.err, "irc: starting: it is not ready yet: cannot connect to 127.0.0.1:5347 (refused)\n");
}

#[tokio::test]
async fn a_reload_names_what_takes_a_restart() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    systemd.set("spectrum2@irc.service", Unit::active());
    let irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;
    manager.transport("irc", "[vhosts]\nvhost=chat.example.net\n");
    let chat = Transport { is_strict: true, ..Transport::connected("chat.example.net") };
    let chat = chat.serve(&bus, "chat_2eexample_2enet").await;
    assert_eq!(manager.run("reload").await.exit, 4, "the vhost was not asked");
    chat.close().await.unwrap();

    assert_eq!(manager.run("reload").await.out, "irc: reloaded: takes a restart: service.port\n");
    assert!(systemd.orders().is_empty());

    // A transport that is not on the bus is reloaded by its signal.
    irc.close().await.unwrap();
    assert_eq!(manager.run("reload").await.out, "irc: reloaded\n");
    assert_eq!(systemd.orders(), ["reload spectrum2@irc.service"]);
}

#[tokio::test]
async fn a_reload_is_for_those_that_run() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    manager.transport("xmpp", "");
    systemd.set("spectrum2@irc.service", Unit { active: "failed", ..Unit::default() });

    let all = manager.run("reload").await;
    assert_eq!((all.exit, all.out.as_str(), all.err.as_str()), (0, "", ""));
    let stopped = manager.run("reload xmpp").await;
    assert_eq!(stopped.exit, 3);
    assert_eq!(stopped.err, "xmpp: not reloaded: it does not run; it reads its file when it starts\n");
    assert!(systemd.orders().is_empty());
}

#[tokio::test]
async fn a_transport_that_cannot_start_says_so_before_anybody_tries() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    manager.transport("irc", "port=many\n");
    let run = manager.run("status irc").await;
    assert_eq!(run.exit, 3);
    assert!(run.out.contains("stopped, it cannot start: "), "{}", run.out);
    assert!(run.out.contains("service.port"), "{}", run.out);
}

#[tokio::test]
async fn a_transport_that_hangs_is_shown_with_all_that_is_known_without_it() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "user=irc\n");
    systemd.set("spectrum2@irc.service", Unit::active());
    let hung = Transport { hangs: true, ..Transport::connected("irc.example.org") };
    let _irc = hung.serve(&bus, "irc").await;

    let begin = Instant::now();
    let run = manager.run("status irc").await;

    assert!(begin.elapsed() < Duration::from_secs(6), "it was asked twice");
    assert_eq!(run.exit, 3);
    assert!(run.out.contains("hung, its process runs, but does not answer"), "{}", run.out);
    assert!(run.out.contains("stale:      its units have changed"), "{}", run.out);
}

#[tokio::test]
async fn transports_are_enabled_by_their_units() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    assert_eq!(manager.run("enable irc.example.org").await.out, "irc: enabled\n");
    assert_eq!(manager.run("disable irc").await.out, "irc: disabled\n");
    assert_eq!(
        systemd.orders(),
        ["enable spectrum2@irc.service", "daemon-reload", "disable spectrum2@irc.service", "daemon-reload"]
    );
}

#[tokio::test]
async fn users_are_looked_at_and_changed() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    systemd.set("spectrum2@irc.service", Unit::active());
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;

    let users = manager.run("users irc").await;
    let states: Vec<_> = words(&users.out).iter().skip(1).map(|line| (line[0], line[2])).collect();
    assert_eq!(
        states,
        [
            ("juliet@example.org", "retrying"),
            ("nurse@example.org", "refused"),
            ("romeo@example.org", "online")
        ]
    );

    let show = manager.run("--json user show irc.example.org romeo@example.org").await.json();
    assert_eq!(show["Vip"], true);
    assert_eq!(show["Settings"]["stay_connected"], "1");

    let nobody = manager.run("user show irc tybalt@example.org").await;
    assert_eq!((nobody.exit, nobody.err.as_str()), (1, "tybalt@example.org is not registered.\n"));

    let registered =
        manager.run_with_input("user register irc romeo@example.org montague", "rosaline\n").await;
    assert_eq!(
        (registered.exit, registered.out.as_str()),
        (0, "irc: romeo@example.org registered\n"),
        "{registered:?}"
    );
    assert_eq!(manager.run("user logout irc romeo@example.org").await.exit, 0);
    assert_eq!(manager.run("user export irc a@b").await.out, "{\"jid\":\"a@b\"}\n");
    assert_eq!(manager.run("user erase irc romeo@example.org").await.exit, 64, "nobody said yes");

    let backends = manager.run("backends irc").await;
    assert_eq!(words(&backends.out)[1], ["1", "4712", "1", "2", "MiB", "ready", "romeo@example.org"]);
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "");
    systemd.set("spectrum2@irc.service", Unit::active());
    let strict = Transport { is_strict: true, ..Transport::connected("irc.example.org") };
    let _irc = strict.serve(&bus, "irc").await;

    let run = manager.run_with_input("user register irc romeo@example.org montague", "rosaline\n").await;
    assert_eq!(run.exit, 4);
    assert_eq!(run.err, "You may not do that, says irc: This takes an administrator: do it as root.\n");
}

#[tokio::test]
async fn the_commands_of_spectrum_2_are_passed_on_word_for_word() {
    let Stage { bus, systemd, manager } = stage().await;
    manager.transport("irc", "[vhosts]\nvhost=chat.example.net\n");
    systemd.set("spectrum2@irc.service", Unit::active());
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;
    let _chat = Transport::connected("chat.example.net").serve(&bus, "chat_2eexample_2enet").await;

    for name in ["irc", "irc.example.org", "chat.example.net"] {
        let run = manager.run(&format!("{name} online_users_count")).await;
        assert_eq!((run.exit, run.out.as_str()), (0, "12\n"));
    }
    let wrong = manager.run("irc no such thing").await;
    assert_eq!((wrong.exit, wrong.out.as_str()), (1, "Error: Unknown variable or command: no such thing\n"));
    assert_eq!(manager.run("irc.example.org stop").await.out, "irc: stopped\n");
    assert_eq!(manager.run("irc.example.org").await.exit, 64);
    assert_eq!(manager.run("xmpp.example.org status").await.exit, 64);
}

#[tokio::test]
async fn who_hangs_is_not_waited_for() {
    let Stage { bus, systemd: _systemd, manager } = stage().await;
    manager.transport("irc", "");
    let hung = Transport { hangs: true, ..Transport::connected("irc.example.org") };
    let _irc = hung.serve(&bus, "irc").await;
    let run = manager.run("--timeout 1 irc online_users_count").await;
    assert_eq!(run.exit, 69);
    assert!(run.err.starts_with("irc does not answer."), "{}", run.err);
}

#[tokio::test]
async fn more_is_logged_for_a_while() {
    let Stage { bus, systemd: _systemd, manager } = stage().await;
    manager.transport("irc", "");
    let _irc = Transport::connected("irc.example.org").serve(&bus, "irc").await;
    let run = manager.run("log-level irc debug --subsystem xmpp").await;
    assert_eq!((run.exit, run.out.as_str()), (0, "irc: logs from debug on for 600 s\n"), "{run:?}");
}

#[tokio::test]
async fn who_is_stopped_cannot_be_asked() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    manager.transport("irc", "");
    let run = manager.run("irc online_users_count").await;
    assert_eq!((run.exit, run.out.as_str()), (69, ""));
    assert!(run.err.starts_with("irc is not on the bus."), "{}", run.err);
}

#[tokio::test]
async fn a_transport_is_created_and_removed() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    let create = "create --name irc --jid irc.example.org --protocol prpl-irc --xmpp-server prosody";

    let dry = manager.run(&format!("{create} --dry-run")).await;
    assert_eq!(dry.exit, 0, "{dry:?}");
    assert!(dry.out.contains("\njid = irc.example.org\n"), "{}", dry.out);
    assert!(!manager.file("irc.cfg").exists());

    let run = manager.run(&format!("{create} --generate")).await;
    assert_eq!(run.exit, 0, "{run:?}");
    let secret = fs::read_to_string(manager.file("irc.secret")).unwrap();
    assert_eq!(secret.trim_end().len(), 32);
    assert!(run.out.contains(&format!("component_secret = \"{}\"", secret.trim_end())), "{}", run.out);
    assert!(!fs::read_to_string(manager.file("irc.cfg")).unwrap().contains(secret.trim_end()));
    for file in ["irc.cfg", "irc.secret"] {
        let mode = fs::metadata(manager.file(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o117, 0, "{file} is {mode:o}");
    }
    assert_eq!(
        systemd.orders(),
        ["enable spectrum2@irc.service", "daemon-reload", "start spectrum2@irc.service"]
    );

    let again = manager.run(&create.replace("--name irc", "--name other")).await;
    assert_eq!((again.exit, again.err.as_str()), (1, "irc.example.org is the JID of irc already.\n"));
    assert_eq!(manager.run("remove irc").await.exit, 64, "nobody said yes");
    let removed = manager.run("remove irc.example.org --yes").await;
    assert_eq!((removed.exit, removed.out.as_str()), (0, "irc: removed\n"), "{removed:?}");
    assert!(!manager.file("irc.cfg").exists() && !manager.file("irc.secret").exists());
}

#[tokio::test]
async fn a_large_fleet_is_stopped_at_once() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    for number in 0..100 {
        manager.transport(&format!("t{number}"), "");
        systemd.set(&format!("spectrum2@t{number}.service"), Unit::active());
    }
    // More jobs end than anybody keeps in mind who does not listen meanwhile.
    let run = manager.run("--timeout 20 stop").await;
    assert_eq!((run.exit, run.out.matches(": stopped\n").count()), (0, 100), "{run:?}");
}

#[tokio::test]
async fn what_cannot_be_a_transport_is_not_created() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    let create = |more: &str| format!("create --protocol prpl-irc --xmpp-server ejabberd {more}");
    let bad_name = manager.run(&create("--name IRC --jid irc.example.org")).await;
    assert_eq!(bad_name.exit, 64, "{bad_name:?}");
    let bad_jid = manager.run(&create("--name irc --jid romeo@example.org")).await;
    assert_eq!(bad_jid.exit, 64, "{bad_jid:?}");
    assert!(bad_jid.err.contains("has an @"), "{bad_jid:?}");
    let no_jid = manager.run(&create("--name irc")).await;
    assert_eq!(no_jid.err, "Nobody is here to be asked. Give --jid.\n");
    let nothing = manager.run("create").await;
    assert_eq!(
        nothing.err,
        "Nobody is here to be asked. Give --jid, --name, --protocol, --xmpp-server (prosody or ejabberd).\n"
    );
    assert_eq!(fs::read_dir(manager.file("")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_creation_whose_start_fails_says_what_to_do() {
    let Stage { bus: _bus, systemd, manager } = stage().await;
    let start = Start::NeverEnds { text: "cannot connect to 127.0.0.1:5347 (not-authorized)" };
    systemd.set("spectrum2@irc.service", Unit { start, ..Unit::default() });
    let run = manager
        .run("create --timeout 1 --name irc --jid irc.example.org --protocol prpl-irc --xmpp-server ejabberd")
        .await;
    assert_eq!(run.exit, 3);
    assert!(run.err.contains("(not-authorized)"), "{}", run.err);
    assert!(run.err.ends_with("spectrum2_manager status irc\n"), "{}", run.err);
}

#[tokio::test]
async fn files_are_checked_each_and_together() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    manager.transport("irc", "");
    assert_eq!(manager.run("check").await.exit, 0);
    manager.transport("broken", "port=many\n");
    manager.transport("twin", "[vhosts]\nvhost=irc.example.org\n");

    let run = manager.run("check").await;
    assert_eq!(run.exit, 78);
    assert!(run.out.contains("error: irc, twin have the same JID irc.example.org."), "{}", run.out);
    assert_eq!(manager.run("check irc").await.exit, 0);
    assert_eq!(manager.run(&format!("check {}", manager.file("broken.cfg").display())).await.exit, 78);
}

#[tokio::test]
async fn certificates_are_left_to_the_daemon() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    manager.transport("chat", "server_mode=1\ncert=/etc/passwd\n");
    manager.program("spectrum2", "echo \"error: $*: expired\"; exit 78");
    let run = manager.run("check chat").await;
    assert_eq!(run.exit, 78);
    assert_eq!(run.out, format!("error: check -- {}: expired\n", manager.file("chat.cfg").display()));
    // It may be broken, or not be there.
    manager.program("spectrum2", "exit 127");
    let run = manager.run("check chat").await;
    assert_eq!(run.exit, 0, "{}", run.out);
    assert!(run.out.contains("certificate: not looked at, since"), "{}", run.out);
}

#[tokio::test]
async fn what_is_gone_says_what_to_use() {
    let manager = Manager::new("unix:path=/nonexistent/bus");
    let server = manager.run("server -x --port 8080").await;
    assert_eq!(server.exit, 69);
    assert!(server.err.contains("not part of this version"), "{}", server.err);
    assert!(manager.run("completions bash").await.out.contains("_spectrum2_manager"));
}

#[tokio::test]
async fn the_journal_of_daemon_and_backends_is_shown() {
    let Stage { bus: _bus, systemd: _systemd, manager } = stage().await;
    manager.transport("irc", "");
    let asked = || fs::read_to_string(manager.directory.path().join("journalctl")).unwrap();
    manager.run("log irc.example.org --follow -n 5").await;
    assert_eq!(
        asked(),
        "--unit spectrum2@irc.service --unit spectrum2-backend@irc.service --follow --lines 5\n"
    );
    manager.run("log").await;
    assert_eq!(asked(), "--unit spectrum2@*.service --unit spectrum2-backend@*.service\n");
}
