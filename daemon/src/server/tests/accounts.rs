//! Who is let in, who is not, and who guesses.

use super::*;
use crate::gateway::admin::{Request, Ticket};
use crate::server::limits::{BY_STRANGERS, PER_ACCOUNT, PER_ADDRESS, TURN};

fn failure(stage: &mut Stage, client: Client) -> (String, String) {
    let failure = stage.hears_of(client, |element| element.is("failure", ns::SASL));
    let condition =
        failure.elements().next().map(|condition| condition.name().to_owned()).unwrap_or_default();
    (condition, failure.child_text("text", ns::SASL).unwrap_or_default().into_owned())
}

fn tries(stage: &mut Stage, name: &str, password: &str) -> Client {
    tries_from(stage, "192.0.2.1", name, password)
}

fn tries_from(stage: &mut Stage, address: &str, name: &str, password: &str) -> Client {
    let client = stage.connects_from(Cover::Encrypted, address.parse().expect("an address"));
    stage.opens(client);
    stage.authenticates(client, name, password);
    client
}

#[test]
fn a_wrong_password_is_the_networks_word() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, ROMEO, "wrong");
    stage.refuses(ROMEO_JID, 2, "Incorrect password.");
    assert!(stage.takes(client).is_empty(), "the answer is held back");
    stage.wait(1);
    assert_eq!(failure(&mut stage, client), ("not-authorized".into(), "Incorrect password".into()));
    assert!(stage.database.is_empty(), "nothing is stored of whom the network never let in");
    // The stream is still good for another attempt.
    stage.authenticates(client, ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
    assert_eq!(stage.database.len(), 1);
}

#[test]
fn trouble_is_not_the_users_fault() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.refuses(ROMEO_JID, 0, "No route to host");
    assert_eq!(failure(&mut stage, client), ("temporary-auth-failure".into(), "No route to host".into()));
    // Nobody goes on trying behind his back.
    stage.frames.clear();
    stage.wait(600);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
}

#[test]
fn a_backend_that_dies_during_the_login() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, ROMEO, PASSWORD);
    let (link, _) = stage.login_of(ROMEO_JID);
    stage.event(Event::BackendDown(link, "killed".to_owned()));
    assert_eq!(failure(&mut stage, client).0, "temporary-auth-failure");
    assert_eq!(stage.population(), (0, 0));
}

#[test]
fn a_network_that_says_nothing() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.wait(59);
    assert!(stage.takes(client).is_empty());
    stage.wait(1);
    assert_eq!(failure(&mut stage, client).0, "temporary-auth-failure");
    stage.frame(|frame| matches!(frame, Frame::Logout(logout) if logout.user == ROMEO_JID).then_some(()));
}

#[test]
fn who_does_not_wait_is_forgotten() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, ROMEO, PASSWORD);
    let (link, _) = stage.login_of(ROMEO_JID);
    stage.loses(client);
    stage.frame(|frame| matches!(frame, Frame::Logout(logout) if logout.user == ROMEO_JID).then_some(()));
    // Too late.
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    assert!(stage.sent.is_empty() && stage.database.is_empty());
}

/// A bouncer stays on line without clients, but not with a password that the network has not seen.
#[test]
fn a_password_that_was_never_checked_lets_nobody_in() {
    let mut stage = Stage::with("[settings]\nstay_connected=1");
    let client = tries(&mut stage, ROMEO, "guessed");
    let (link, _) = stage.login_of(ROMEO_JID);
    stage.loses(client);
    stage.frame(|frame| matches!(frame, Frame::Logout(logout) if logout.user == ROMEO_JID).then_some(()));
    let client = tries(&mut stage, ROMEO, "guessed");
    assert!(stage.takes(client).is_empty(), "the network is asked first");
    assert_eq!(stage.login_of(ROMEO_JID).0, link);
}

#[test]
fn nor_does_it_after_an_hour_of_quarantine() {
    let mut stage = Stage::with("[settings]\nstay_connected=1");
    for _ in 0..4 {
        let client = tries(&mut stage, ROMEO, "guessed");
        let (link, _) = stage.login_of(ROMEO_JID);
        stage.event(Event::BackendDown(link, "killed".to_owned()));
        stage.wait(2);
        stage.loses(client);
    }
    let client = tries(&mut stage, ROMEO, "guessed");
    assert!(failure(&mut stage, client).1.starts_with("You are locked out"));
    stage.frames.clear();
    stage.wait(3_700);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
}

/// An administrator ends a session: nobody stays connected without one.
#[test]
fn an_administrator_throws_a_user_out() {
    let mut stage = Stage::with("more_resources=1");
    let (one, _) = stage.romeo("orchard");
    stage.event(Event::Admin(Ticket(1), Request::LogOutUser(ROMEO_JID.parse().unwrap())));
    assert_eq!(stage.closed(one), "not-authorized");
    assert_eq!(stage.population().0, 0);
    let client = tries(&mut stage, ROMEO, "guessed");
    assert_eq!(stage.login_of(ROMEO_JID).1.password, "guessed");
    assert!(stage.takes(client).is_empty());
}

/// Whoever logs in again and again without a resource has no more connections than one who has them all.
#[test]
fn those_who_bind_nothing_are_not_many() {
    let mut stage = Stage::with("more_resources=1");
    stage.romeo("orchard");
    let let_in = |stage: &mut Stage| {
        let client = tries(stage, ROMEO, PASSWORD);
        stage.hears(client).iter().any(|element| element.is("success", ns::SASL))
    };
    assert!((0..20).all(|_| let_in(&mut stage)));
    assert!(!let_in(&mut stage));
    stage.wait(60);
    assert!(let_in(&mut stage), "those who bound nothing are gone");
}

/// An account of one's own is no licence to guess at those of others.
#[test]
fn a_login_of_ones_own_does_not_make_up_for_guesses() {
    let mut stage = Stage::with("more_resources=1");
    stage.romeo("orchard");
    for n in 0..PER_ADDRESS {
        let client = tries(&mut stage, &format!("user{n}"), "guess");
        stage.refuses(&format!("user{n}@{DOMAIN}"), 2, "");
        stage.wait(16);
        assert_eq!(failure(&mut stage, client).0, "not-authorized");
        let client = tries(&mut stage, ROMEO, PASSWORD);
        stage.hears_of(client, |element| element.is("success", ns::SASL));
        stage.loses(client);
    }
    let client = tries(&mut stage, "juliet", "guess");
    assert_eq!(failure(&mut stage, client).0, "temporary-auth-failure");
}

/// Whom the network let in with one password is nobody who gave another.
#[test]
fn an_answer_that_is_late_is_not_for_the_next_password() {
    let mut stage = Stage::new();
    let right = tries(&mut stage, ROMEO, PASSWORD);
    let (link, _) = stage.login_of(ROMEO_JID);
    let wrong = tries(&mut stage, ROMEO, "guessed");
    // The backend says so before it hears that he does not wait any more.
    stage.answering = false;
    stage.loses(right);
    assert_eq!(stage.login_of(ROMEO_JID).1.password, "guessed");
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    assert!(stage.takes(wrong).is_empty(), "the network has said nothing of this password");
    stage.network(link, Frame::Pong);
    let refused = Disconnected { user: ROMEO_JID.into(), error: 2, message: None };
    stage.network(link, Frame::Disconnected(refused));
    stage.wait(1);
    assert_eq!(failure(&mut stage, wrong).0, "not-authorized");
}

/// Nor is the refusal of one password that of another.
#[test]
fn a_refusal_that_is_late_is_not_for_the_next_password() {
    let mut stage = Stage::new();
    let wrong = tries(&mut stage, ROMEO, "guessed");
    let (link, _) = stage.login_of(ROMEO_JID);
    let right = tries(&mut stage, ROMEO, PASSWORD);
    stage.answering = false;
    stage.loses(wrong);
    let refused = Disconnected { user: ROMEO_JID.into(), error: 2, message: None };
    stage.network(link, Frame::Disconnected(refused));
    assert!(stage.takes(right).is_empty());
    stage.network(link, Frame::Pong);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(right, |element| element.is("success", ns::SASL));
}

#[test]
fn who_left_before_storage_answered_is_not_logged_in() {
    let mut stage = Stage::new();
    stage.slow = true;
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.loses(client);
    stage.slow = false;
    for event in std::mem::take(&mut stage.late) {
        stage.event(event);
    }
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
    // Who comes then is.
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
}

#[test]
fn storage_that_fails_lets_nobody_in() {
    let mut stage = Stage::new();
    stage.broken = true;
    let client = tries(&mut stage, ROMEO, PASSWORD);
    assert_eq!(failure(&mut stage, client).0, "temporary-auth-failure");
}

#[test]
fn who_is_on_line_must_be_known_by_the_same_password() {
    let mut stage = Stage::with("more_resources=1");
    stage.romeo("orchard");
    let other = tries(&mut stage, ROMEO, "guessed");
    stage.wait(1);
    assert_eq!(failure(&mut stage, other).0, "not-authorized");
    let other = tries(&mut stage, ROMEO, PASSWORD);
    stage.hears_of(other, |element| element.is("success", ns::SASL));
    assert!(
        !stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))),
        "the network is not asked again"
    );
}

#[test]
fn one_login_of_an_account_at_a_time() {
    let mut stage = Stage::with("more_resources=1");
    let first = tries(&mut stage, ROMEO, "wrong");
    let second = tries(&mut stage, ROMEO, PASSWORD);
    let third = tries(&mut stage, ROMEO, PASSWORD);
    stage.refuses(ROMEO_JID, 2, "");
    let (link, login) = stage.login_of(ROMEO_JID);
    assert_eq!(login.password, PASSWORD, "who gave another password has his turn");
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    stage.hears_of(second, |element| element.is("success", ns::SASL));
    stage.hears_of(third, |element| element.is("success", ns::SASL));
    stage.wait(1);
    assert_eq!(failure(&mut stage, first).0, "not-authorized");
}

#[test]
fn who_guesses_is_slowed_down_and_shut_out() {
    let mut stage = Stage::new();
    for n in 0..PER_ACCOUNT {
        let client = tries(&mut stage, ROMEO, &format!("guess {n}"));
        stage.refuses(ROMEO_JID, 2, "");
        stage.wait(16);
        assert_eq!(failure(&mut stage, client).0, "not-authorized");
    }
    stage.frames.clear();
    let client = tries(&mut stage, ROMEO, PASSWORD);
    assert_eq!(failure(&mut stage, client).0, "temporary-auth-failure");
    assert!(stage.frames.is_empty(), "the network is not asked");
    for n in 0..PER_ADDRESS - PER_ACCOUNT {
        let client = tries(&mut stage, &format!("user{n}"), "guess");
        stage.refuses(&format!("user{n}@{DOMAIN}"), 2, "");
        stage.wait(16);
        failure(&mut stage, client);
    }
    let client = tries(&mut stage, "juliet", PASSWORD);
    assert_eq!(failure(&mut stage, client).0, "temporary-auth-failure");
    // Nobody else suffers from it: neither others, nor the one whose password was guessed at.
    for (name, jid) in [("juliet", format!("juliet@{DOMAIN}")), (ROMEO, ROMEO_JID.to_owned())] {
        let elsewhere = tries_from(&mut stage, "198.51.100.1", name, PASSWORD);
        stage.lets_in(&jid);
        stage.hears_of(elsewhere, |element| element.is("success", ns::SASL));
    }
}

#[test]
fn an_account_under_siege_is_open_to_its_user() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
    stage.loses(client);
    // Nobody is on line; guesses come from everywhere.
    for n in 0..BY_STRANGERS {
        let client = tries_from(&mut stage, &format!("198.51.100.{n}"), ROMEO, "guess");
        stage.refuses(ROMEO_JID, 2, "");
        stage.wait(16);
        assert_eq!(failure(&mut stage, client).0, "not-authorized");
    }
    let client = tries_from(&mut stage, "198.51.100.50", ROMEO, "guess");
    stage.refuses(ROMEO_JID, 2, "");
    stage.frames.clear();
    stage.loses(client);
    let client = tries_from(&mut stage, "198.51.100.51", ROMEO, "guess");
    let (condition, text) = failure(&mut stage, client);
    assert_eq!(condition, "temporary-auth-failure");
    assert!(text.contains("in a minute"), "{text}");
    assert!(stage.frames.is_empty(), "the network is spared");
    // From where he was before he comes in at once.
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
    stage.loses(client);
    // From elsewhere he has to wait for a turn.
    stage.wait(TURN / 1_000);
    let client = tries_from(&mut stage, "203.0.113.1", ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
}

#[test]
fn a_name_goes_to_the_network_as_it_was_typed() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, "Romeo%example.net", PASSWORD);
    let (link, login) = stage.login_of(ROMEO_JID);
    assert_eq!(login.legacy_name, "Romeo@example.net");
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    stage.hears_of(client, |element| element.is("success", ns::SASL));
    stage.opens(client);
    stage.says(client, &format!("<iq type='set' id='b'><bind xmlns='{}'/></iq>", ns::BIND));
    let bound = stage.hears_of(client, iq("b"));
    let jid = bound.find("bind", ns::BIND).and_then(|bind| bind.child_text("jid", ns::BIND)).expect("a JID");
    assert!(jid.starts_with(ROMEO_JID), "{jid}");
    // COMPAT: the bare JID, with an escaped name. Where preparing it changes more, the JID has it.
    for (typed, legacy_name) in [
        ("Paris\\40Example.Net@irc.example.org", "Paris@Example.Net"),
        ("Stra\u{df}e", "strasse"),
        ("A\\2FB", "a/b"),
    ] {
        tries(&mut stage, typed, PASSWORD);
        let (_, login) = stage.frame(|frame| match frame {
            Frame::Login(login) => Some(login.clone()),
            _ => None,
        });
        assert_eq!(login.legacy_name, legacy_name);
    }
}

#[test]
fn a_jid_belongs_to_the_spelling_that_was_let_in_first() {
    let mut stage = Stage::new();
    let client = tries(&mut stage, "Romeo%example.net", PASSWORD);
    let link = stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
    // On line, the password says whether it is he.
    let other = tries(&mut stage, ROMEO, "another");
    stage.wait(1);
    assert_eq!(failure(&mut stage, other).0, "not-authorized");
    let phone = tries(&mut stage, "ROMEO%example.net", PASSWORD);
    stage.hears_of(phone, |element| element.is("success", ns::SASL));
    stage.loses(client);
    stage.loses(phone);
    // Off line, the network is asked for the name that it knows.
    let other = tries(&mut stage, ROMEO, PASSWORD);
    assert_eq!(stage.login_of(ROMEO_JID).1.legacy_name, "Romeo@example.net");
    stage.loses(other);
    stage.event(Event::BackendDown(link, "killed".to_owned()));
    // And so it is when he was forgotten and storage knows him.
    stage.wait(3_600);
    stage.frames.clear();
    tries(&mut stage, ROMEO, PASSWORD);
    assert_eq!(stage.login_of(ROMEO_JID).1.legacy_name, "Romeo@example.net");
}

#[test]
fn two_spellings_at_once_have_their_turns() {
    let mut stage = Stage::with("more_resources=1");
    let wrong = tries(&mut stage, "ROMEO%example.net", PASSWORD);
    let right = tries(&mut stage, "Romeo%example.net", PASSWORD);
    let folded = tries(&mut stage, ROMEO, PASSWORD);
    stage.refuses(ROMEO_JID, 2, "No such user");
    let (link, login) = stage.login_of(ROMEO_JID);
    assert_eq!(login.legacy_name, "Romeo@example.net");
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    for client in [right, folded] {
        stage.hears_of(client, |element| element.is("success", ns::SASL));
    }
    stage.wait(1);
    assert_eq!(failure(&mut stage, wrong).0, "not-authorized");
}

#[test]
fn those_who_guess_do_not_keep_out_who_is_on_line() {
    let mut stage = Stage::with("more_resources=1");
    stage.romeo("orchard");
    for n in 0..PER_ACCOUNT {
        let client = stage.connects_from(Cover::Encrypted, format!("198.51.100.{n}").parse().unwrap());
        stage.opens(client);
        stage.authenticates(client, ROMEO, "guess");
        stage.wait(16);
        assert_eq!(failure(&mut stage, client).0, "not-authorized");
    }
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
}

#[test]
fn a_stream_takes_five_failures() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::Encrypted);
    stage.opens(client);
    for _ in 0..4 {
        stage.says(client, &format!("<auth xmlns='{}' mechanism='ANONYMOUS'/>", ns::SASL));
    }
    assert_eq!(stage.hears(client).len(), 4);
    stage.says(client, &format!("<auth xmlns='{}' mechanism='ANONYMOUS'/>", ns::SASL));
    assert_eq!(stage.closed(client), "policy-violation");
}

#[test]
fn names_that_are_none() {
    let mut stage = Stage::new();
    for name in ["ro meo", "a@b@c", "romeo@elsewhere.org"] {
        let client = tries(&mut stage, name, PASSWORD);
        stage.wait(16);
        assert_eq!(failure(&mut stage, client).0, "not-authorized", "{name}");
    }
    // COMPAT: the bare JID in place of the local part.
    let client = tries(&mut stage, ROMEO_JID, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
}

#[test]
fn only_vips_where_the_admin_wants_it() {
    let mut stage = Stage::with("vip_only=1\nvip_message=Ask the Prince first");
    let client = tries(&mut stage, ROMEO, PASSWORD);
    stage.wait(1);
    assert_eq!(failure(&mut stage, client), ("not-authorized".into(), "Ask the Prince first".into()));
}

#[test]
fn a_refusal_later_throws_everybody_out() {
    let mut stage = Stage::with("more_resources=1");
    let (one, link) = stage.romeo("orchard");
    let (two, _) = stage.romeo("phone");
    let frame =
        Disconnected { user: ROMEO_JID.into(), error: 2, message: Some("The password was changed".into()) };
    stage.network(link.unwrap(), Frame::Disconnected(frame));
    let last_words = stage.sent[&one].clone();
    assert!(
        last_words
            .iter()
            .any(|said| matches!(said, client::Action::Send(message) if message.name() == "message")),
        "he hears why"
    );
    assert_eq!(stage.closed(one), "not-authorized");
    assert_eq!(stage.closed(two), "not-authorized");
    assert_eq!(stage.population().0, 0);
    // With the new one he is let in.
    let client = tries(&mut stage, ROMEO, "new");
    let (_, login) = stage.login_of(ROMEO_JID);
    assert_eq!(login.password, "new");
    stage.loses(client);
}

#[test]
fn a_passing_trouble_keeps_the_clients() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo("orchard");
    let frame = Disconnected { user: ROMEO_JID.into(), error: 0, message: None };
    stage.network(link.unwrap(), Frame::Disconnected(frame));
    stage.wait(5);
    let (link, login) = stage.login_of(ROMEO_JID);
    assert_eq!(login.password, PASSWORD);
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    assert!(!stage.takes(client).iter().any(|said| matches!(said, client::Action::Close(_))));
    assert_eq!(stage.population(), (1, 1));
}

#[test]
fn past_max_users_nobody_new_is_let_in() {
    let mut stage = Stage::with("max_users=1");
    // Both are tried, and the first whom the network lets in has the place.
    let nurse = tries(&mut stage, "nurse", PASSWORD);
    let romeo = tries(&mut stage, ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
    stage.hears_of(romeo, |element| element.is("success", ns::SASL));
    stage.lets_in("nurse@irc.example.org");
    let full = "There is no place for further users here; ask the administrator of this server";
    assert_eq!(failure(&mut stage, nurse), ("temporary-auth-failure".into(), full.into()));
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    assert_eq!(stage.database.len(), 1);
    // Now that it is known, the network is not even asked.
    stage.frames.clear();
    let nurse = tries(&mut stage, "nurse", PASSWORD);
    assert_eq!(failure(&mut stage, nurse), ("temporary-auth-failure".into(), full.into()));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
    // Who has a place keeps it.
    stage.loses(romeo);
    stage.wait(600);
    tries(&mut stage, ROMEO, PASSWORD);
    stage.lets_in(ROMEO_JID);
}

#[test]
fn an_admin_needs_no_network() {
    let admin = format!("escalus@{DOMAIN}");
    let mut stage = Stage::with(&format!("admin_jid={admin}\nadmin_password=prince"));
    let client = tries(&mut stage, "escalus", "wrong");
    stage.wait(1);
    assert_eq!(failure(&mut stage, client).0, "not-authorized");
    stage.authenticates(client, "escalus", "prince");
    stage.hears_of(client, |element| element.is("success", ns::SASL));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
    stage.opens(client);
    stage.binds(client, "palace");
    stage.says(client, &format!("<iq type='get' id='r'><query xmlns='{}'/></iq>", ns::ROSTER));
    let roster = stage.hears_of(client, iq("r"));
    let item = roster.elements().next().and_then(|query| query.elements().next()).expect("an item").clone();
    assert_eq!((item.attr("jid"), item.attr("name")), (Some(DOMAIN), Some("Admin")));
    stage.says(client, "<presence/>");
    stage.hears_of(client, presence_from(DOMAIN, None));
    stage.says(client, &format!("<message to='{DOMAIN}' type='chat'><body>uptime</body></message>"));
    stage.hears_of(client, |stanza| stanza.name() == "message" && stanza.attr("from") == Some(DOMAIN));
    stage.says(
        client,
        &format!(
            "<iq type='set' id='c' to='{DOMAIN}'><command xmlns='{}' node='{}#get-online-users-num'/></iq>",
            ns::COMMANDS,
            ns::ADMIN
        ),
    );
    assert_eq!(stage.hears_of(client, iq("c")).attr("type"), Some("result"));
    stage.says(client, &format!("<message id='m' to='{NURSE}'><body>x</body></message>"));
    assert_eq!(condition(&stage.hears_of(client, |s| s.attr("id") == Some("m"))), Some("item-not-found"));
}

#[test]
fn who_is_no_admin_commands_nothing() {
    let mut stage = Stage::with(&format!("admin_jid=escalus@{DOMAIN}\nadmin_password=prince"));
    let (client, _) = stage.romeo("orchard");
    stage.says(client, &format!("<message id='m' to='{DOMAIN}' type='chat'><body>status</body></message>"));
    assert_eq!(stage.hears_of(client, |s| s.attr("id") == Some("m")).attr("type"), Some("error"));
    stage
        .says(client, &format!("<iq type='get' id='1' to='{DOMAIN}'><query xmlns='{}'/></iq>", ns::REGISTER));
    assert_eq!(condition(&stage.hears_of(client, iq("1"))), Some("service-unavailable"), "nobody registers");
}

#[test]
fn the_last_client_logs_out_and_the_password_goes() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    stage.piece(client, Piece::Close);
    stage.frame(|frame| matches!(frame, Frame::Logout(logout) if logout.user == ROMEO_JID).then_some(()));
    assert_eq!(stage.population(), (0, 0));
    let state = {
        let mut bytes = Vec::new();
        ciborium::into_writer(&stage.server, &mut bytes).expect("it can be written down");
        bytes
    };
    assert!(!state.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
    // What is remembered of him is no way in.
    let client = tries(&mut stage, ROMEO, "");
    assert_eq!(failure(&mut stage, client).0, "malformed-request");
    let client = tries(&mut stage, ROMEO, "other");
    assert_eq!(stage.login_of(ROMEO_JID).1.password, "other");
    stage.loses(client);
}

#[test]
fn the_state_can_be_written_down() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    let mut bytes = Vec::new();
    ciborium::into_writer(&stage.server, &mut bytes).expect("it can be written down");
    let server: Server = ciborium::from_reader(&bytes[..]).expect("and read");
    assert_eq!(server.accounts.len(), 1);
    assert!(server.streams.contains_key(&client));
}

#[test]
fn the_end_is_said_to_everybody() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let stranger = stage.connects(Cover::Encrypted);
    stage.event(Event::Stop);
    assert_eq!(stage.closed(client), "system-shutdown");
    assert_eq!(stage.closed(stranger), "system-shutdown");
    assert!(stage.stopped);
    let late = stage.connects(Cover::Encrypted);
    assert_eq!(stage.closed(late), "system-shutdown");
}
