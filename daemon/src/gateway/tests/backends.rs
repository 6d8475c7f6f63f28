//! The life of backends, and what it means for users.

use spectrum2_backend_protocol::{RoomList, Stats};

use super::*;

const LOST: &str = "connection closed";

/// The network lets the user in.
pub(super) fn connected(stage: &mut Stage, link: Link, user: &str) {
    stage.network(link, Frame::Connected(Connected { user: user.into() }));
}

fn join(stage: &mut Stage, name: &str) -> Link {
    stage.registered(&format!("{name}@example.org"), name);
    stage.says(&format!("<presence from='{name}@example.org/x' to='{GATEWAY}'/>"));
    let user = format!("{name}@example.org");
    let (link, _) = stage.login_of(&user);
    connected(stage, link, &user);
    link
}

#[test]
fn a_backend_waits_before_anybody_comes() {
    let mut stage = Stage::with("users_per_backend=1\n", OURS);
    assert_eq!(stage.opened.len(), 1);
    let first = join(&mut stage, "romeo");
    let second = join(&mut stage, "juliet");
    assert_ne!(first, second);
    stage.wait(5);
    assert_eq!(stage.opened.len(), 3, "and another one is ready for the next");
}

#[test]
fn a_dead_backend_takes_only_its_own_users_and_they_come_back() {
    let mut stage = Stage::with("users_per_backend=1\n", OURS);
    let romeo = join(&mut stage, "romeo");
    let juliet = join(&mut stage, "juliet");
    stage.buddy(romeo, "nurse", "", StatusType::Online);
    stage.wait(3);
    stage.stanzas.clear();
    stage.frames.clear();
    stage.says(
        "<message from='romeo@example.org/x' to='nurse@irc.example.org' id='1'><body>sent?</body></message>",
    );
    assert_eq!(stage.conversation().0, romeo);
    stage.event(Event::BackendDown(romeo, LOST.into()));
    stage.says(
        "<message from='romeo@example.org/x' to='nurse@irc.example.org' id='2'><body>kept</body></message>",
    );
    stage.wait(5);
    let (again, _) = stage.login_of("romeo@example.org");
    assert!(again != romeo && again != juliet);
    connected(&mut stage, again, "romeo@example.org");
    assert_eq!(stage.conversation().1.message, "sent?");
    assert_eq!(stage.conversation().1.message, "kept");
    assert!(!stage.frames.iter().any(|(link, _)| *link == juliet));
    assert!(!stage.stanzas.iter().any(|s| s.name() == "message"), "nobody is told");
    assert!(
        !stage.stanzas.iter().any(|s| s.attr("from") == Some("nurse@irc.example.org/bot")),
        "contacts do not flicker"
    );
    stage.wait(30);
    stage.stanza(presence_from("nurse@irc.example.org/bot", Some("unavailable")));
}

#[test]
fn a_message_that_breaks_two_backends_goes_back_to_its_sender() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.says(&format!(
        "<message from='{ROMEO}' to='nurse@irc.example.org' id='evil'><body>boom</body></message>"
    ));
    stage.event(Event::BackendDown(link, LOST.into()));
    stage.wait(5);
    let (link, _) = stage.login_of("romeo@example.org");
    connected(&mut stage, link, "romeo@example.org");
    assert_eq!(stage.frames.iter().filter(|(_, frame)| matches!(frame, Frame::ConvMessage(_))).count(), 2);
    stage.event(Event::BackendDown(link, LOST.into()));
    let back = stage.stanza(message_from("nurse@irc.example.org"));
    assert_eq!((back.attr("id"), back.attr("type")), (Some("evil"), Some("error")));
}

#[test]
fn an_account_that_breaks_backends_ends_up_alone_then_outside() {
    let mut stage = Stage::new();
    join(&mut stage, "juliet");
    stage.registered("tybalt@example.org", "tybalt");
    stage.says(&format!("<presence from='tybalt@example.org/x' to='{GATEWAY}'/>"));
    let mut shared_deaths = 0;
    let mut deaths = 0;
    while deaths < 20 {
        let logins: Vec<_> = stage
            .frames
            .drain(..)
            .filter_map(|(link, frame)| match frame {
                Frame::Login(login) => Some((link, login.user)),
                _ => None,
            })
            .collect();
        let Some((link, _)) = logins.iter().find(|(_, user)| user.starts_with("tybalt")).cloned() else {
            break;
        };
        for (link, user) in logins.into_iter().filter(|(_, user)| user.starts_with("juliet")) {
            connected(&mut stage, link, &user);
        }
        deaths += 1;
        stage.event(Event::BackendDown(link, LOST.into()));
        shared_deaths += u32::from(stage.gateway.status().online == 0);
        stage.wait(40);
    }
    assert!((2..=6).contains(&deaths), "{deaths}");
    assert!(shared_deaths <= 2, "Juliet is hurt {shared_deaths} times");
    for (link, user) in stage.frames.clone().into_iter().filter_map(|(link, frame)| match frame {
        Frame::Login(login) => Some((link, login.user)),
        _ => None,
    }) {
        connected(&mut stage, link, &user);
    }
    assert_eq!(stage.gateway.status().online, 1, "Juliet is there, Tybalt is not");
}

#[test]
fn quarantine_comes_after_two_deaths_in_a_process_of_his_own_and_is_told_once() {
    let mut stage = Stage::new();
    let mut link = stage.romeo_online();
    for _ in 0..3 {
        stage.event(Event::BackendDown(link, LOST.into()));
        stage.wait(40);
        link = stage.login_of("romeo@example.org").0;
    }
    stage.stanzas.clear();
    stage.event(Event::BackendDown(link, LOST.into()));
    let told = stage.stanza(message_from(GATEWAY));
    assert!(told.child_text("body", ns::CLIENT).unwrap().contains("for an hour"));
    stage.wait(3_000);
    assert!(!stage.frames.iter().any(|(_, f)| matches!(f, Frame::Login(_))));
    stage.says(&format!("<presence from='romeo@example.org/phone' to='{GATEWAY}'/>"));
    assert!(
        !stage.frames.iter().any(|(_, f)| matches!(f, Frame::Login(_))),
        "a new client does not change it"
    );
    stage.wait(1_000);
    stage.login_of("romeo@example.org");
}

#[test]
fn a_network_that_is_away_is_tried_again_with_growing_pauses() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let lost = || {
        Frame::Disconnected(Disconnected {
            user: "romeo@example.org".into(),
            error: 0,
            message: Some("Connection reset".into()),
        })
    };
    let mut pauses = Vec::new();
    stage.network(link, lost());
    for _ in 0..6 {
        let before = stage.now;
        while !stage.frames.iter().any(|(_, f)| matches!(f, Frame::Login(_))) {
            stage.wait(1);
        }
        let (link, _) = stage.login_of("romeo@example.org");
        pauses.push(stage.now.since(before) / 1_000);
        stage.network(link, lost());
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!(pauses[0] <= 2 && pauses[5] > 60, "{pauses:?}");
    let told = stage.stanzas.iter().filter(|s| s.name() == "message").count();
    assert_eq!(told, 1, "once");
}

#[test]
fn what_only_the_user_can_mend_is_not_tried_again() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let refused =
        Disconnected { user: "romeo@example.org".into(), error: 2, message: Some("Bad password".into()) };
    stage.network(link, Frame::Disconnected(refused));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'><show>away</show></presence>"));
    stage.wait(1_000);
    assert!(!stage.frames.iter().any(|(_, f)| matches!(f, Frame::Login(_))));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.login_of("romeo@example.org");
}

#[test]
fn a_network_that_never_answers_is_given_up_for_a_while() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.login_of("romeo@example.org");
    stage.wait(200);
    stage.frame(|f| matches!(f, Frame::Logout(_)).then_some(()));
    stage.login_of("romeo@example.org");
}

#[test]
fn a_silent_backend_is_taken_for_dead() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.wait(300);
    assert!(!stage.closed.contains(&link));
    stage.answering = false;
    stage.wait(55);
    assert!(!stage.closed.contains(&link));
    stage.answering = true;
    stage.wait(30);
    assert!(!stage.closed.contains(&link));
    stage.answering = false;
    stage.wait(80);
    assert!(stage.closed.contains(&link));
    stage.answering = true;
    stage.wait(60);
    stage.login_of("romeo@example.org");
}

#[test]
fn a_backend_speaks_only_for_its_own_users() {
    let mut stage = Stage::with("users_per_backend=1\n", OURS);
    join(&mut stage, "romeo");
    let juliet = join(&mut stage, "juliet");
    stage.stanzas.clear();
    stage.network(
        juliet,
        Frame::ConvMessage(ConversationMessage {
            user_name: "romeo@example.org".into(),
            buddy_name: "nurse".into(),
            message: "send me your password".into(),
            ..Default::default()
        }),
    );
    stage.silence();
}

#[test]
fn a_missing_plugin_is_said() {
    let mut stage = Stage::new();
    let link = stage.opened[0];
    let text = "The protocol prpl-foo is not there";
    stage.network(
        link,
        Frame::Problem(spectrum2_backend_protocol::Problem { text: text.into(), fatal: Some(true) }),
    );
    assert_eq!(stage.misconfigured.as_deref(), Some(text));
    assert_eq!(stage.gateway.status().problem.as_deref(), Some(text));
}

#[test]
fn a_backend_that_cannot_be_had_is_said_and_tried_again() {
    let mut stage = Stage::unconnected("", OURS);
    stage.event(Event::XmppUp);
    let mut actions = Vec::new();
    stage.gateway.handle(stage.now, Event::BackendDown(stage.opened[0], LOST.into()), &mut actions);
    // A warm one that ends is no trouble.
    assert_eq!(stage.gateway.status().problem, None);
    let mut fresh = Stage::unconnected("", OURS);
    let mut actions = Vec::new();
    fresh.gateway.handle(fresh.now, Event::Tick, &mut actions);
    let Some(Action::OpenBackend(link)) = actions.pop() else {
        panic!("a backend is asked for at the start")
    };
    fresh.gateway.handle(
        fresh.now,
        Event::BackendDown(link, "No such file or directory".into()),
        &mut actions,
    );
    assert!(fresh.gateway.status().problem.unwrap().contains("No such file"));
    fresh.wait(5);
    assert_eq!(fresh.opened.len(), 1);
    assert_eq!(fresh.gateway.status().problem, None);
}

#[test]
fn logins_are_spaced_where_the_admin_wants_it() {
    let mut stage = Stage::with("login_delay=10\n", OURS);
    for name in ["romeo", "juliet", "nurse"] {
        stage.registered(&format!("{name}@example.org"), name);
        stage.says(&format!("<presence from='{name}@example.org/x' to='{GATEWAY}'/>"));
    }
    let logins = |stage: &Stage| stage.frames.iter().filter(|(_, f)| matches!(f, Frame::Login(_))).count();
    assert_eq!(logins(&stage), 1);
    stage.wait(11);
    assert_eq!(logins(&stage), 2);
    stage.wait(11);
    assert_eq!(logins(&stage), 3);
}

#[test]
fn all_of_it_can_be_written_down() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "", StatusType::Online);
    let mut written = Vec::new();
    ciborium::into_writer(&stage.gateway, &mut written).expect("the core is plain data");
    let again: Gateway = ciborium::from_reader(written.as_slice()).expect("and can be read back");
    assert_eq!(again.status(), stage.gateway.status());
}

#[test]
fn a_launcher_that_restarts_now_and_then_locks_nobody_out() {
    let mut stage = Stage::new();
    let mut link = stage.romeo_online();
    for _ in 0..2 {
        stage.event(Event::BackendDown(link, "the launcher restarted".into()));
        stage.wait(30);
        link = stage.login_of("romeo@example.org").0;
        connected(&mut stage, link, "romeo@example.org");
        stage.wait(300);
    }
    assert_eq!(stage.gateway.status().online, 1);
    assert!(!stage.stanzas.iter().any(message_from(GATEWAY)), "there is nothing to be told");
}

#[test]
fn a_lock_out_ends_though_all_clients_left_and_came_back_meanwhile() {
    let mut stage = Stage::new();
    let mut link = stage.romeo_online();
    for _ in 0..3 {
        stage.event(Event::BackendDown(link, LOST.into()));
        stage.wait(40);
        link = stage.login_of("romeo@example.org").0;
    }
    stage.event(Event::BackendDown(link, LOST.into()));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(3_000);
    assert!(!stage.frames.iter().any(|(_, f)| matches!(f, Frame::Login(_))));
    stage.wait(1_000);
    stage.login_of("romeo@example.org");
}

#[test]
fn a_backend_that_has_talked_to_a_network_cannot_end_the_daemon() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let problem =
        spectrum2_backend_protocol::Problem { text: "The daemon must end".into(), fatal: Some(true) };
    stage.network(link, Frame::Problem(problem));
    assert_eq!(stage.misconfigured, None);
    assert_eq!(
        stage.gateway.status().problem.as_deref(),
        Some("The daemon must end"),
        "but the admin sees it"
    );
}

#[test]
fn a_backend_of_spectrum_2_is_told_to_let_go_of_a_session_that_ended() {
    let mut stage = Stage::with("", THEIRS);
    let link = stage.romeo_online();
    let lost = Disconnected { user: "romeo@example.org".into(), error: 0, message: None };
    stage.network(link, Frame::Disconnected(lost));
    let (told, ()) = stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    assert_eq!(told, link);
}

#[test]
fn the_backend_that_uses_most_memory_takes_no_more_users() {
    for (options, retires) in
        [("users_per_backend=2\nmemory_collector_time=60\n", true), ("users_per_backend=2\n", false)]
    {
        let mut stage = Stage::with(options, OURS);
        let large = join(&mut stage, "romeo");
        assert_eq!(join(&mut stage, "juliet"), large);
        let small = join(&mut stage, "nurse");
        assert_ne!(small, large);
        for (link, res) in [(large, 90_000), (small, 9_000)] {
            let stats = Stats { id: "7".into(), res, shared: 0, init_res: 5_000 };
            stage.network(link, Frame::Stats(stats));
        }
        stage.says(&format!("<presence from='juliet@example.org/x' to='{GATEWAY}' type='unavailable'/>"));
        stage.wait(55);
        assert_eq!(stage.gateway.cx.pool.get(large).unwrap().word(), "ready");
        stage.wait(30);
        let word = if retires { "retired" } else { "ready" };
        assert_eq!(stage.gateway.cx.pool.get(large).unwrap().word(), word);
        assert_eq!(stage.gateway.cx.pool.get(small).unwrap().word(), "ready");
    }
}

#[test]
fn the_list_of_rooms_has_a_limit() {
    let mut stage = Stage::with("max_room_list_size=2\n", OURS);
    let link = stage.romeo_online();
    let rooms: Vec<String> = (0..5).map(|n| format!("#room{n}")).collect();
    stage.network(link, Frame::RoomList(RoomList { names: rooms.clone(), rooms, user: None }));
    assert_eq!(stage.gateway.cx.rooms.len(), 2);
}
