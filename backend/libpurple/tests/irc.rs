//! The backend program between a daemon, which these tests play, and a real IRC server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong fails")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use spectrum2_backend_protocol::{
    Affiliation, Frame, Role, Room, RoomCommand, RoomListRequest, RoomReason, RoomWish,
};
use support::{Daemon, Irc, Ngircd, Process, Scratch, Zygote, backend, buddy, message, saved_settings};

const ROMEO: &str = "romeo@example.org";
const JULIET: &str = "juliet@example.org";

struct Stage {
    irc: Ngircd,
    zygote: Zygote,
    scratch: Scratch,
}

/// A server and a zygote that is ready; nothing where there is no server.
fn stage(purple: &str) -> Option<Stage> {
    let irc = Ngircd::start(None)?;
    let scratch = Scratch::new("irc");
    let config = scratch.file("irc.cfg", &irc.config(&scratch.0.join("state"), purple));
    let zygote = Zygote::start(&config);
    assert_eq!(zygote.says(), "ready");
    Some(Stage { irc, zygote, scratch })
}

#[test]
fn romeo_and_the_nurse_talk() {
    let Some(stage) = stage("ratelimit-interval=0\n") else { return };
    let mut nurse = Irc::connect(stage.irc.port, "nurse");
    let (mut daemon, _) = stage.zygote.serve();
    let config = daemon.greet();
    assert!(config.contains("needRegistration=0") && config.contains("name=ack"), "{config}");

    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);

    let serial = daemon.write(ROMEO, "nurse", "good morrow, Grüße – ☂ 🌹");
    assert_eq!(nurse.expect_message(), "good morrow, Grüße – ☂ 🌹");
    assert_eq!(daemon.expect_result(serial), None);

    daemon.write(ROMEO, "nurse", "a & b < c\nsecond line");
    assert_eq!(nurse.expect_message(), "a & b < c");
    assert_eq!(nurse.expect_message(), "second line");
    daemon.write(ROMEO, "nurse", "/me bows");
    assert_eq!(nurse.expect_message(), "\u{1}ACTION bows\u{1}");

    nurse.send("PRIVMSG romeo :Ah, sir! Käthe <b>sagt</b> \u{1d}naïve\u{1d}");
    let heard = daemon.expect_message("nurse");
    assert_eq!(heard.message, "Ah, sir! Käthe <b>sagt</b> naïve");
    assert_eq!(heard.xhtml.as_deref(), Some(""));
    assert_eq!(heard.timestamp.as_deref(), Some(""));

    daemon.logout(ROMEO);
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);
    let connected = daemon.seen().iter().filter(|frame| matches!(frame, Frame::Connected(_))).count();
    assert_eq!(connected, 2, "the repeated LOGIN is not a second session");
}

#[test]
fn long_messages_arrive_whole() {
    let Some(stage) = stage("ratelimit-interval=0\n") else { return };
    let mut nurse = Irc::connect(stage.irc.port, "nurse");
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);

    let text = "Schlüssel☂ und Rosen🌹 ".repeat(200);
    let text = text.trim();
    assert!(text.len() > 4096);
    let serial = daemon.write(ROMEO, "nurse", text);
    let mut heard = nurse.expect_message();
    while heard.len() < text.len() {
        heard = format!("{heard} {}", nurse.expect_message());
    }
    assert_eq!(heard, text);
    assert_eq!(daemon.expect_result(serial), None);
}

#[test]
fn lines_go_in_step_and_are_acknowledged_when_they_went() {
    let Some(stage) = stage("ratelimit-interval=1\nratelimit-burst=3\n") else { return };
    let mut nurse = Irc::connect(stage.irc.port, "nurse");
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);

    // Measured by the results: ngircd lets new connections wait.
    let start = Instant::now();
    let burst = daemon.write(ROMEO, "nurse", "1\n2\n3");
    let later = daemon.write(ROMEO, "nurse", "4\n5");
    assert_eq!(daemon.expect_result(burst), None);
    assert!(start.elapsed() < Duration::from_millis(900), "the first lines wait: {:?}", start.elapsed());
    assert_eq!(daemon.expect_result(later), None);
    assert!(start.elapsed() > Duration::from_millis(1900), "the last lines do not: {:?}", start.elapsed());
    for line in ["1", "2", "3", "4", "5"] {
        assert_eq!(nurse.expect_message(), line);
    }

    let waiting = daemon.write(ROMEO, "nurse", "6\n7\n8\n9");
    daemon.logout(ROMEO);
    assert_eq!(daemon.expect_result(waiting).unwrap().0, 0, "what was not sent is said to be lost");
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let Some(stage) = stage("") else { return };
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);

    let serial = daemon.write(ROMEO, "a b", "hello?");
    let (_, text) = daemon.expect_result(serial).unwrap();
    assert!(text.contains("“a b” is not a nick"), "{text}");

    // The server says so later; nobody else said it.
    let serial = daemon.write(ROMEO, "nobody", "hello?");
    assert_eq!(daemon.expect_result(serial), None);
    let notice = daemon.expect_message("irc");
    assert_eq!(notice.message, "nobody: User is not logged in");
}

#[test]
fn files_are_refused_and_the_user_knows() {
    let Some(stage) = stage("") else { return };
    let mut nurse = Irc::connect(stage.irc.port, "nurse");
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);
    nurse.send("PRIVMSG romeo :\u{1}DCC SEND letter.txt 2130706433 1 12\u{1}");
    let notice = daemon.expect_message("irc").message;
    assert_eq!(notice, "nurse: The file “letter.txt” was offered and refused: files cannot be received");
    nurse.send("PRIVMSG romeo :no matter");
    assert_eq!(daemon.expect_message("nurse").message, "no matter");
}

#[test]
fn contacts_are_added_and_seen() {
    let Some(stage) = stage("") else { return };
    let (mut daemon, _) = stage.zygote.serve();
    let _nurse = Irc::connect(stage.irc.port, "nurse");
    daemon.greet();
    // By name, so that a look-up is part of it.
    daemon.login(ROMEO, "romeo@localhost", "");
    daemon.expect_connected(ROMEO);
    daemon.send(&Frame::BuddyChanged(buddy(ROMEO, "nurse")));
    let nurse = daemon.expect_buddy("nurse", |_| true);
    assert_eq!(nurse.groups, ["Buddies"]);
}

#[test]
fn the_network_says_why_a_login_fails() {
    let Some(irc) = Ngircd::start(Some("capulet")) else { return };
    let scratch = Scratch::new("irc");
    let config = scratch.file("irc.cfg", &irc.config(&scratch.0.join("state"), ""));
    let zygote = Zygote::start(&config);
    assert_eq!(zygote.says(), "ready");
    let (mut daemon, _) = zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "wrong");
    let (_, text) = daemon.expect_disconnected(ROMEO);
    assert!(!text.is_empty());

    // The same process takes the next try.
    daemon.login(ROMEO, "romeo@127.0.0.1", "capulet");
    daemon.expect_connected(ROMEO);
}

#[test]
fn fifty_users_share_a_process() {
    let Some(stage) = stage("") else { return };
    let mut nurse = Irc::connect(stage.irc.port, "nurse");
    let (mut daemon, pid) = stage.zygote.serve();
    daemon.greet();
    let users: Vec<_> = (0..50).map(|number| format!("servant{number}@example.org")).collect();
    for user in &users {
        daemon.login(user, &user.replace("example.org", "127.0.0.1"), "");
    }
    let mut waiting: std::collections::BTreeSet<_> = users.iter().map(String::as_str).collect();
    while !waiting.is_empty() {
        let (user, connected) = daemon.expect("CONNECTED", |frame| match frame {
            Frame::Connected(connected) => Some((connected.user.clone(), true)),
            // ngircd lets ten wait at its door; on a busy machine it turns others away, and they try again.
            Frame::Disconnected(lost) if lost.error == 0 => Some((lost.user.clone(), false)),
            _ => None,
        });
        if connected {
            assert!(waiting.remove(user.as_str()), "{user} is connected twice");
        } else {
            daemon.login(&user, &user.replace("example.org", "127.0.0.1"), "");
        }
    }
    for user in &users {
        daemon.write(user, "nurse", &format!("from {user}"));
    }
    let mut heard: Vec<_> = users.iter().map(|_| nurse.expect_message()).collect();
    let mut sent: Vec<_> = users.iter().map(|user| format!("from {user}")).collect();
    heard.sort();
    sent.sort();
    assert_eq!(heard, sent);

    // Nobody writes, nothing is done.
    let before = processor_time(pid);
    std::thread::park_timeout(Duration::from_secs(1));
    assert!(processor_time(pid) - before <= 2, "the process is busy with nothing");
}

/// Processor time of a process in hundredths of a second.
fn processor_time(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_account_belongs_to_one_user() {
    let Some(stage) = stage("") else { return };
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);
    daemon.login(JULIET, "romeo@127.0.0.1", "");
    let (error, text) = daemon.expect_disconnected(JULIET);
    assert_eq!(error, 1);
    assert!(text.contains("in use by another user"), "{text}");
}

#[test]
fn an_account_is_never_in_two_processes() {
    let Some(stage) = stage("") else { return };
    let (mut first, _) = stage.zygote.serve();
    let (mut second, _) = stage.zygote.serve();
    first.greet();
    second.greet();
    first.login(ROMEO, "romeo@127.0.0.1", "");
    first.expect_connected(ROMEO);

    // It waits for the first to let go.
    second.login(ROMEO, "romeo@127.0.0.1", "");
    first.logout(ROMEO);
    second.expect_connected(ROMEO);

    first.login(ROMEO, "romeo@127.0.0.1", "");
    let (error, _) = first.expect_disconnected(ROMEO);
    assert_eq!(error, 0, "it may be free later");
}

#[test]
fn a_crash_takes_only_its_own_users() {
    let Some(stage) = stage("") else { return };
    let mut nurse = Irc::connect(stage.irc.port, "nurse");
    let (mut first, pid) = stage.zygote.serve();
    let (mut second, _) = stage.zygote.serve();
    for (daemon, user, name) in
        [(&mut first, ROMEO, "romeo@127.0.0.1"), (&mut second, JULIET, "juliet@127.0.0.1")]
    {
        daemon.greet();
        daemon.login(user, name, "");
        daemon.expect_connected(user);
    }
    kill(Pid::from_raw(pid), Signal::SIGSEGV).unwrap();
    assert_eq!(stage.zygote.says(), format!("ended {pid} signal 11 (SIGSEGV)"));
    first.expect_end();

    second.write(JULIET, "nurse", "still here");
    assert_eq!(nurse.expect_message(), "still here");

    // And its user is back at once in another process: the lock went with the process.
    let (mut third, _) = stage.zygote.serve();
    third.greet();
    third.login(ROMEO, "romeo2@127.0.0.1", "");
    third.expect_connected(ROMEO);
}

#[test]
fn children_end_with_their_daemon_and_the_zygote_with_its_launcher() {
    let Some(mut stage) = stage("") else { return };
    let (mut daemon, pid) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);
    let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(title.starts_with("spectrum2 backend irc: 1 user\0"), "{title}");
    drop(daemon);
    assert_eq!(stage.zygote.says(), format!("ended {pid} exit 0"));

    assert!(saved_settings(&stage.scratch.0.join("state")).starts_with("spectrum2 account settings 1\n"));
    for name in ["accounts.xml", "prefs.xml", "blist.xml"] {
        assert!(!stage.scratch.0.join("state").join(name).exists(), "{name} is not written");
    }

    let Zygote { process, .. } = &mut stage.zygote;
    let pid = Pid::from_raw(process.0.id().try_into().unwrap());
    drop(std::mem::replace(&mut stage.zygote, Zygote::start(&stage.scratch.0.join("irc.cfg"))));
    assert!(kill(pid, None).is_err(), "the zygote is gone");
}

#[test]
fn a_process_that_is_asked_to_stop_says_what_it_did_not_send() {
    let Some(stage) = stage("ratelimit-burst=1\n") else { return };
    let (mut daemon, pid) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);
    let serial = daemon.write(ROMEO, "nurse", "one\ntwo\nthree");
    daemon.send(&Frame::Ping);
    daemon.expect("PONG", |frame| matches!(frame, Frame::Pong).then_some(()));
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_eq!(daemon.expect_result(serial).unwrap().0, 0);
    daemon.expect_end();
    assert_eq!(stage.zygote.says(), format!("ended {pid} exit 0"));
}

#[test]
fn a_missing_plugin_is_told_to_the_launcher_and_to_the_daemon() {
    let scratch = Scratch::new("missing");
    let config = scratch.file(
        "icq.cfg",
        &format!(
            "[service]\njid=icq.example.org\npassword=x\nprotocol=prpl-icq\nport=5347\nworking_dir={}\n[database]\ntype=none\n",
            scratch.0.join("state").display()
        ),
    );
    let zygote = Zygote::start(&config);
    let said = zygote.says();
    assert!(said.starts_with("problem service.protocol: libpurple has no plugin \"prpl-icq\". "), "{said}");
    let (mut daemon, _) = zygote.serve();
    daemon.greet();
    let text = daemon.expect("PROBLEM", |frame| match frame {
        Frame::Problem(problem) => Some(problem.text.clone()),
        _ => None,
    });
    assert!(said.ends_with(&text), "{text}");
    daemon.login(ROMEO, "1234", "");
    assert_eq!(daemon.expect_disconnected(ROMEO).0, 1);
}

/// Starts a backend as Spectrum 2's daemon does.
fn spectrum2(irc: &Ngircd, scratch: &Scratch) -> (Daemon, Process) {
    let config = scratch.file("irc.cfg", &irc.config(&scratch.0.join("state"), "ratelimit-interval=00\n"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let child = backend()
        .args(["--host", "127.0.0.1", "--port", &port, "--service.backend_id=1", "-n"])
        .arg(config)
        .env_remove("GST_PLUGIN_SYSTEM_PATH_1_0")
        .spawn()
        .unwrap();
    let process = Process(child);
    (Daemon::accept(&listener), process)
}

#[test]
fn the_daemon_of_spectrum_2_can_drive_it() {
    let Some(irc) = Ngircd::start(None) else { return };
    let scratch = Scratch::new("spectrum2");
    let mut nurse = Irc::connect(irc.port, "nurse");
    let (mut daemon, mut process) = spectrum2(&irc, &scratch);

    // What its daemon sent in a recorded session, in the same order, with the name of our server.
    let mut decoder = spectrum2_backend_protocol::Decoder::new(1 << 20);
    for line in
        include_str!("fixtures/irc-1-chat.jsonl").lines().filter(|line| line.contains("\"dir\":\"d2b\""))
    {
        let hex = line.split("\"hex\":\"").nth(1).unwrap().split('"').next().unwrap();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap())
            .collect();
        decoder.push(&bytes);
    }
    let mut ended = false;
    while let Some(mut frame) = decoder.next().unwrap() {
        match &mut frame {
            Frame::Login(login) => login.legacy_name = "romeo@127.0.0.1".to_owned(),
            Frame::Exit => ended = true,
            _ => {}
        }
        daemon.send(&frame);
        match &frame {
            Frame::Login(_) => daemon.expect_connected(ROMEO),
            Frame::ConvMessage(message) if message.message == "good morrow" => {
                assert_eq!(nurse.expect_message(), "good morrow");
                nurse.send("PRIVMSG romeo :Ah, sir!");
                assert_eq!(daemon.expect_message("nurse").message, "Ah, sir!");
            }
            Frame::VCard(_) => {
                daemon.expect("VCARD", |frame| match frame {
                    Frame::VCard(vcard) if vcard.buddy_name == "nurse" => Some(()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    assert!(ended);
    for text in ["Grüße – ☂ 🌹", "line one", "line two", "\u{1}ACTION bows deeply\u{1}", "a & b < c"]
    {
        assert_eq!(nurse.expect_message(), text);
    }
    assert!(nurse.expect_message().starts_with("yyyyy"));
    assert!(process.0.wait().unwrap().success());
    assert!(
        daemon.seen().iter().all(|frame| !matches!(frame, Frame::Result(_) | Frame::Problem(_))),
        "nothing that it does not know"
    );
}

#[test]
fn a_message_without_a_session_is_refused_or_ignored_but_harmless() {
    let Some(stage) = stage("") else { return };
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.send(&Frame::ConvMessage(message("nobody@example.org", "nurse", "hello")));
    daemon.login(ROMEO, "", "");
    assert_eq!(daemon.expect_disconnected(ROMEO).0, 1);
    daemon.login(ROMEO, "romeo\r\nQUIT@127.0.0.1", "");
    assert_eq!(daemon.expect_disconnected(ROMEO).0, 1);
    daemon.send_bytes(&[0, 0, 0, 2, 0xff, 0xff]);
    daemon.send(&Frame::Ping);
    daemon.expect("PONG", |frame| matches!(frame, Frame::Pong).then_some(()));
}

fn in_room(stage: &Stage) -> Daemon {
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, "romeo@127.0.0.1", "");
    daemon.expect_connected(ROMEO);
    daemon
}

#[test]
fn a_channel_is_joined_spoken_in_and_left() {
    let Some(stage) = stage("") else { return };
    let mut tybalt = Irc::connect(stage.irc.port, "tybalt");
    tybalt.send("JOIN #verona");
    tybalt.send("TOPIC #verona :Streets of Verona – ☀");
    tybalt.expect(" TOPIC ");
    let mut daemon = in_room(&stage);
    daemon.join(ROMEO, "#Verona", "Montague", "");
    let tybalts = daemon.expect_occupant("tybalt", |who| who.room == "#Verona");
    assert_eq!(
        (tybalts.occupant_role(), tybalts.occupant_affiliation()),
        (Role::Moderator, Affiliation::Admin)
    );
    let topic = daemon.expect("ROOM_SUBJECT_CHANGED", |frame| match frame {
        Frame::RoomSubjectChanged(topic) if topic.buddy_name == "#Verona" => Some(topic.message.clone()),
        _ => None,
    });
    assert_eq!(topic, "Streets of Verona – ☀");
    assert_eq!(daemon.expect_joined("#Verona"), "romeo", "on IRC there is one nick");

    let serial = daemon.write(ROMEO, "#Verona", "Peace &\nquiet");
    assert_eq!(tybalt.expect_message(), "Peace &");
    assert_eq!(tybalt.expect_message(), "quiet");
    assert_eq!(daemon.expect_result(serial), None);
    tybalt.send("PRIVMSG #verona :What, drawn?");
    let heard = daemon.expect_message("#Verona");
    assert_eq!((heard.message.as_str(), heard.nickname.as_deref()), ("What, drawn?", Some("tybalt")));
    daemon.write(ROMEO, "#Verona/tybalt", "psst");
    assert_eq!(tybalt.expect_message(), "psst");

    tybalt.send("NICK ty_cat");
    daemon.expect_occupant("tybalt", |who| who.newname.as_deref() == Some("ty_cat"));
    tybalt.send("MODE #verona +v romeo");
    daemon.expect_occupant("romeo", |who| who.occupant_affiliation() == Affiliation::Member);
    daemon.send(&Frame::RoomNicknameChanged(Room {
        user_name: ROMEO.to_owned(),
        nickname: "ty_cat".to_owned(),
        room: "#Verona".to_owned(),
        password: None,
    }));
    assert_eq!(daemon.expect_refused("#Verona").0, RoomReason::NickTaken);
    daemon.send(&Frame::RoomNicknameChanged(Room {
        user_name: ROMEO.to_owned(),
        nickname: "montague".to_owned(),
        room: "#Verona".to_owned(),
        password: None,
    }));
    daemon.expect_occupant("romeo", |who| who.newname.as_deref() == Some("montague"));

    tybalt.send("KICK #verona montague :a villain :)");
    let kicked = daemon.expect_left("#Verona");
    assert_eq!((kicked.room_reason(), kicked.actor.as_deref()), (RoomReason::Kicked, Some("ty_cat")));
    assert_eq!(kicked.text.as_deref(), Some("a villain :)"));
    daemon.join(ROMEO, "#Verona", "romeo", "");
    daemon.expect_joined("#Verona");
    tybalt.expect(" JOIN ");
    daemon.leave(ROMEO, "#Verona");
    tybalt.expect(" PART ");
    let echoes = daemon.seen().iter().filter(
        |frame| matches!(frame, Frame::ConvMessage(message) if message.nickname.as_deref() == Some("romeo")),
    );
    assert_eq!(echoes.count(), 0, "what is acknowledged does not come back");
}

#[test]
fn what_a_channel_refuses_is_refused() {
    let Some(stage) = stage("") else { return };
    let mut tybalt = Irc::connect(stage.irc.port, "tybalt");
    tybalt.send("JOIN #verona");
    tybalt.expect(" 366 ");
    tybalt.send("MODE #verona +m");
    tybalt.expect(" MODE ");
    let mut daemon = in_room(&stage);
    daemon.join(ROMEO, "#verona", "romeo", "");
    daemon.expect_joined("#verona");

    let refused = daemon.write(ROMEO, "#verona", "one\ntwo");
    let (_, text) = daemon.expect_result(refused).expect("he has no voice");
    assert!(text.contains("Cannot send"), "{text}");
    tybalt.send("MODE #verona +v romeo");
    daemon.expect_occupant("romeo", |who| who.occupant_affiliation() == Affiliation::Member);
    let taken = daemon.write(ROMEO, "#verona", "four");
    assert_eq!(daemon.expect_result(taken), None);
    assert_eq!(tybalt.expect_message(), "four");

    let command = |serial: u64, who: &str| {
        Frame::RoomCommand(RoomCommand {
            user_name: ROMEO.to_owned(),
            room: "#verona".to_owned(),
            nickname: who.to_owned(),
            serial,
            role: Some(0),
            affiliation: None,
            text: None,
            what: None,
        })
    };
    daemon.send(&command(900, "tybalt"));
    let (_, text) = daemon.expect_result(900).expect("he is no operator");
    assert!(!text.is_empty());
    let mut topic = message(ROMEO, "#verona", "Peace");
    topic.serial = Some(901);
    tybalt.send("MODE #verona +t");
    tybalt.expect(" MODE ");
    daemon.send(&Frame::RoomSubjectChanged(topic.clone()));
    assert!(daemon.expect_result(901).is_some());

    tybalt.send("MODE #verona +o romeo");
    daemon.expect_occupant("romeo", |who| who.occupant_role() == Role::Moderator);
    topic.serial = Some(902);
    daemon.send(&Frame::RoomSubjectChanged(topic));
    assert_eq!(daemon.expect_result(902), None);
    let notices = daemon.seen().iter().filter(|frame| matches!(frame, Frame::ConvMessage(_))).count();
    assert_eq!(notices, 0, "what is told by a result is not told again");
    daemon.send(&command(903, "nobody"));
    assert!(daemon.expect_result(903).is_some());
    daemon.send(&command(904, "tybalt"));
    assert_eq!(daemon.expect_result(904), None);
    tybalt.expect(" KICK ");
}

#[test]
fn bans_hit_nobody_else_are_listed_and_lifted() {
    let Some(stage) = stage("") else { return };
    let mut tybalt = Irc::connect(stage.irc.port, "tybalt");
    let mut daemon = in_room(&stage);
    daemon.join(ROMEO, "#verona", "romeo", "");
    daemon.expect_joined("#verona");
    tybalt.send("JOIN #verona");
    tybalt.expect(" 366 ");
    daemon.expect_occupant("tybalt", |_| true);

    let command = |serial: u64, who: &str, affiliation: Option<Affiliation>, what: Option<RoomWish>| {
        Frame::RoomCommand(RoomCommand {
            user_name: ROMEO.to_owned(),
            room: "#verona".to_owned(),
            nickname: who.to_owned(),
            serial,
            affiliation: affiliation.map(i32::from),
            text: Some("Hence".to_owned()),
            what: what.map(i32::from),
            ..RoomCommand::default()
        })
    };
    let names = |daemon: &mut Daemon, serial: u64| {
        daemon.expect("RESULT", |frame| match frame {
            Frame::Result(result) if result.serial == serial => Some((result.error, result.names.clone())),
            _ => None,
        })
    };
    daemon.send(&command(900, "tybalt", Some(Affiliation::Outcast), None));
    assert_eq!(daemon.expect_result(900), None);
    tybalt.expect(" KICK ");
    daemon.send(&command(901, "", None, Some(RoomWish::Outcasts)));
    let (error, banned) = names(&mut daemon, 901);
    assert_eq!((error, banned.len()), (None, 1));
    // Both come from this machine, so it is not the host alone.
    let mask = banned[0].as_str();
    assert!(mask.starts_with("*!") && mask.contains("tybalt@") && !mask.ends_with("@*"), "{mask}");
    tybalt.send("JOIN #verona");
    tybalt.expect(" 474 ");

    daemon.send(&command(902, mask, Some(Affiliation::None), None));
    assert_eq!(daemon.expect_result(902), None);
    daemon.send(&command(903, "", None, Some(RoomWish::Outcasts)));
    assert_eq!(names(&mut daemon, 903), (None, vec![]));
    tybalt.send("JOIN #verona");
    tybalt.expect(" 366 ");
    daemon.send(&command(904, "Paris!*@*", Some(Affiliation::Outcast), None));
    assert_eq!(daemon.expect_result(904), None);
    daemon.send(&command(905, "", None, Some(RoomWish::Destroy)));
    let (_, text) = daemon.expect_result(905).expect("channels are not destroyed");
    assert!(text.contains("destroyed"), "{text}");
    let notices = daemon.seen().iter().filter(|frame| matches!(frame, Frame::ConvMessage(_))).count();
    assert_eq!(notices, 0, "what is told by a result is not told again");
    daemon.send(&command(906, "nobody", Some(Affiliation::Outcast), None));
    assert_eq!(daemon.expect_result(906), None, "who is not there is banned all the same");
    daemon.send(&command(907, "", None, Some(RoomWish::Outcasts)));
    assert_eq!(names(&mut daemon, 907).1.len(), 2);
}

#[test]
fn a_refused_join_has_the_words_of_the_server() {
    let Some(stage) = stage("") else { return };
    let mut tybalt = Irc::connect(stage.irc.port, "tybalt");
    for (channel, mode) in
        [("#key", "+k rose"), ("#invited", "+i"), ("#banned", "+b romeo!*@*"), ("#full", "+l 1")]
    {
        tybalt.send(&format!("JOIN {channel}"));
        tybalt.send(&format!("MODE {channel} {mode}"));
        tybalt.expect(" MODE ");
    }
    let mut daemon = in_room(&stage);
    for (channel, reason) in [
        ("#key", RoomReason::Password),
        ("#invited", RoomReason::MembersOnly),
        ("#banned", RoomReason::Banned),
        ("#full", RoomReason::Full),
        ("nohash", RoomReason::NotFound),
    ] {
        daemon.join(ROMEO, channel, "romeo", "");
        let (why, text) = daemon.expect_refused(channel);
        assert_eq!(why, reason, "{channel}: {text}");
        assert!(!text.is_empty());
    }
    daemon.join(ROMEO, "#key", "romeo", "rose");
    daemon.expect_joined("#key");
    let notices = daemon.seen().iter().filter(|frame| matches!(frame, Frame::ConvMessage(_))).count();
    assert_eq!(notices, 0, "what is told by a refusal is not told again");

    tybalt.send("INVITE romeo #invited");
    let invited = daemon.expect("ROOM_INVITE", |frame| match frame {
        Frame::RoomInvite(invitation) => Some((invitation.room.clone(), invitation.contact.clone())),
        _ => None,
    });
    assert_eq!(invited, ("#invited".to_owned(), "tybalt".to_owned()));
    daemon.send(&Frame::ListRooms(RoomListRequest { user_name: ROMEO.to_owned() }));
    let list = daemon.expect("ROOM_LIST", |frame| match frame {
        Frame::RoomList(list) => Some(list.rooms.clone()),
        _ => None,
    });
    assert!(list.contains(&"#full".to_owned()), "{list:?}");
}

#[test]
fn three_hundred_nicks_are_named_before_the_join_is_done() {
    let Some(stage) = stage("") else { return };
    let mut crowd: Vec<Irc> = (0..300).map(|n| Irc::connect(stage.irc.port, &format!("guest{n}"))).collect();
    for guest in &mut crowd {
        guest.send("JOIN #feast");
        guest.expect(" 366 ");
    }
    let mut daemon = in_room(&stage);
    daemon.join(ROMEO, "#feast", "romeo", "");
    daemon.expect_joined("#feast");
    let named = daemon.seen().iter().filter(|frame| matches!(frame, Frame::ParticipantChanged(_))).count();
    assert_eq!(named, 301);
}
