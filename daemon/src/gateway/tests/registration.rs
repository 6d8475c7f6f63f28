//! XEP-0077.

use super::*;
use crate::gateway::Token;

fn submit(stage: &mut Stage, from: &str, fields: &str) -> Element {
    stage.says(&format!(
        "<iq type='set' id='reg' from='{from}' to='{GATEWAY}'><query xmlns='jabber:iq:register'>{fields}</query></iq>"
    ));
    stage.stanza(iq("reg"))
}

#[test]
fn a_stranger_gets_a_form_and_registers() {
    let mut stage = Stage::with(
        "[registration]\nusername_mask=$username@irc.example.net\nnotify_jid=admin@example.org\n",
        OURS,
    );
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'/></iq>"
    ));
    let form = stage.only_stanza();
    assert_eq!((form.attr("type"), form.attr("from")), (Some("result"), Some(GATEWAY)));
    let query = form.find("query", ns::REGISTER).expect("the form");
    assert!(query.find_same("registered").is_none());
    assert!(query.find_same("password").is_some());
    assert!(query.find("x", ns::DATA).is_some());

    let answer = submit(&mut stage, ROMEO, "<username>romeo</username><password>juliet</password>");
    assert_eq!(answer.attr("type"), Some("result"));
    let stored = &stage.database[&"romeo@example.org".parse::<BareJid>().unwrap()].registration;
    assert_eq!(stored.legacy_name, "romeo@irc.example.net");
    assert_eq!(stored.password.expose(), "juliet");
    stage.stanza(presence_from(GATEWAY, Some("subscribe")));
    let notice = stage.stanza(message_from(GATEWAY));
    assert_eq!(notice.attr("to"), Some("admin@example.org"));
    assert_eq!(notice.child_text("body", ns::CLIENT).as_deref(), Some("registered: romeo@example.org"));
}

#[test]
fn what_cannot_be_a_registration_is_refused() {
    let mut stage = Stage::with("[registration]\nallowed_usernames=[a-z]+\n", OURS);
    for (fields, why) in [
        ("<username>romeo</username>", "no password"),
        ("<password>x</password>", "no name"),
        ("<username> </username><password>x</password>", "a blank name"),
        ("<username>romeo@example.org</username><password>x</password>", "his own JID"),
        ("<username>romeo1</username><password>x</password>", "a name that is not allowed"),
    ] {
        let answer = submit(&mut stage, ROMEO, fields);
        assert_eq!(condition(&answer), Some("not-acceptable"), "{why}");
    }
    assert!(stage.database.is_empty());
}

#[test]
fn only_allowed_servers_may_register_where_it_is_not_public() {
    let mut stage = Stage::with(
        "allowed_servers=example.org\n[registration]\nenable_public_registration=0\nauto_register=1\n",
        "[registration]\nneedPassword=0\n",
    );
    let fields = "<username>tybalt</username><password>x</password>";
    assert_eq!(condition(&submit(&mut stage, "tybalt@elsewhere.net/x", fields)), Some("forbidden"));
    stage.says(&format!("<presence from='tybalt@elsewhere.net/x' to='{GATEWAY}'/>"));
    assert!(stage.database.is_empty(), "nor does presence register him");
    assert_eq!(submit(&mut stage, ROMEO, fields).attr("type"), Some("result"));
}

#[test]
fn a_new_password_logs_in_again() {
    let mut stage = Stage::new();
    stage.romeo_online();
    let answer = submit(&mut stage, ROMEO, "<username>romeo</username><password>rosaline</password>");
    assert_eq!(answer.attr("type"), Some("result"));
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    assert_eq!(stage.login_of("romeo@example.org").1.password, "rosaline");
    assert!(stage.stanzas.iter().all(|s| s.attr("type") != Some("subscribe")), "he is no stranger");
}

#[test]
fn removal_ends_the_session_and_clears_the_roster() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.wait(3);
    stage.stanzas.clear();
    assert_eq!(submit(&mut stage, ROMEO, "<remove/>").attr("type"), Some("result"));
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    for jid in [GATEWAY, "nurse@irc.example.org"] {
        stage.stanza(presence_from(jid, Some("unsubscribe")));
        stage.stanza(presence_from(jid, Some("unsubscribed")));
    }
    stage.wait(10);
    assert!(stage.database.is_empty());
    assert_eq!(condition(&submit(&mut stage, ROMEO, "<remove/>")), Some("registration-required"));
}

#[test]
fn without_passwords_a_name_belongs_to_the_first() {
    let mut stage = Stage::with("", "[registration]\nneedPassword=0\n");
    assert_eq!(submit(&mut stage, ROMEO, "<username>nick</username>").attr("type"), Some("result"));
    assert_eq!(
        submit(&mut stage, ROMEO, "<username>nick</username>").attr("type"),
        Some("result"),
        "his own again"
    );
    assert_eq!(
        condition(&submit(&mut stage, "tybalt@example.org/x", "<username>nick</username>")),
        Some("conflict")
    );
}

#[test]
fn presence_registers_where_the_admin_says_so() {
    let mut stage = Stage::with("[registration]\nauto_register=1\n", "[registration]\nneedPassword=0\n");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    assert_eq!(
        stage.database[&"romeo@example.org".parse::<BareJid>().unwrap()].registration.legacy_name,
        "romeo"
    );
}

#[test]
fn where_a_password_may_be_left_out_the_form_says_so() {
    let mut stage = Stage::with("", "[registration]\nneedPassword=1\npasswordOptional=1\n");
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'/></iq>"
    ));
    let form = stage.only_stanza();
    let query = form.find("query", ns::REGISTER).expect("the form");
    assert!(query.find_same("password").is_some());
    let fields = query.find("x", ns::DATA).expect("a data form");
    let password =
        fields.elements().find(|field| field.attr("var") == Some("password")).expect("a field for it");
    assert!(password.find_same("required").is_none());
    assert_eq!(submit(&mut stage, ROMEO, "<username>romeo</username>").attr("type"), Some("result"));
    let taken = submit(&mut stage, "tybalt@example.org/x", "<username>romeo</username>");
    assert_eq!(condition(&taken), Some("conflict"), "without a password a name is only a claim");
}

#[test]
fn registering_alone_logs_nobody_in() {
    let mut stage = Stage::new();
    let answer = submit(&mut stage, ROMEO, "<username>romeo</username><password>juliet</password>");
    assert_eq!(answer.attr("type"), Some("result"));
    stage.says(&format!("<presence type='unsubscribed' from='romeo@example.org' to='{GATEWAY}'/>"));
    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(86_400);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
    assert_eq!(stage.gateway.status().connecting, 0);
}

#[test]
fn who_registers_while_he_is_there_is_logged_in() {
    let mut stage = Stage::new();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    submit(&mut stage, ROMEO, "<username>romeo</username><password>juliet</password>");
    assert_eq!(stage.login_of("romeo@example.org").1.password, "juliet");
}

#[test]
fn who_registers_anew_before_his_roster_is_cleared_stays_registered() {
    let mut stage = Stage::new();
    stage.romeo_online();
    roster::grant(&mut stage, "both");
    submit(&mut stage, ROMEO, "<remove/>");
    let asked = stage.stanza(|s| s.attr("type") == Some("get") && s.find("query", ns::ROSTER).is_some());
    submit(&mut stage, ROMEO, "<username>romeo</username><password>rosaline</password>");
    let (link, _) = stage.login_of("romeo@example.org");
    backends::connected(&mut stage, link, "romeo@example.org");
    roster::shown(&mut stage, &asked);
    assert_eq!(stage.gateway.status().online, 1);
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'/></iq>"
    ));
    let form = stage.stanza(iq("1"));
    assert!(form.find("query", ns::REGISTER).is_some_and(|query| query.find_same("registered").is_some()));
}

#[test]
fn the_presence_that_registers_is_shown_to_the_network() {
    let mut stage = Stage::with("[registration]\nauto_register=1\n", "[registration]\nneedPassword=0\n");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'><show>dnd</show></presence>"));
    let (link, _) = stage.login_of("romeo@example.org");
    backends::connected(&mut stage, link, "romeo@example.org");
    let (_, status) = stage.frame(|frame| match frame {
        Frame::StatusChanged(status) => Some(status.status_type()),
        _ => None,
    });
    assert_eq!(status, StatusType::Dnd);
}

#[test]
fn presence_registers_even_where_the_network_knows_passwords() {
    let mut stage = Stage::with(
        "[registration]\nauto_register=1\n",
        "[registration]\nneedPassword=1\nneedRegistration=0\n",
    );
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    assert_eq!(stage.login_of("romeo@example.org").1.password, "");
}

/// Stanzas come and then time passes, in milliseconds, before storage does anything; gives what it is to do.
fn while_storage_is_slow(stage: &mut Stage, stanzas: &[&str], milliseconds: u64) -> Vec<(Token, Request)> {
    let stanza = |xml: &&str| Element::parse(&xml.replacen(' ', &format!(" xmlns='{}' ", ns::CLIENT), 1));
    let mut actions = Vec::new();
    for stanza in stanzas.iter().map(stanza) {
        stage.gateway.handle(stage.now, Event::Stanza(stanza.expect("well-formed XML")), &mut actions);
    }
    stage.now = stage.now.after(milliseconds);
    stage.gateway.handle(stage.now, Event::Tick, &mut actions);
    let mut requests = Vec::new();
    for action in actions {
        match action {
            Action::Store(token, request) => requests.push((token, request)),
            Action::Stanza(stanza) => stage.stanzas.push(stanza),
            _ => {}
        }
    }
    requests
}

/// Storage does what it was asked to, in order, and only then the answers arrive.
fn storage_catches_up(stage: &mut Stage, requests: Vec<(Token, Request)>) {
    let answers: Vec<_> =
        requests.into_iter().map(|(token, request)| (token, stage.store(request))).collect();
    for (token, answer) in answers {
        stage.event(Event::Stored(token, Ok(answer)));
    }
}

#[test]
fn nobody_is_forgotten_while_his_registration_is_being_stored() {
    let mut stage = Stage::new();
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'/></iq>"
    ));
    // He would be forgotten after a minute.
    stage.now = stage.now.after(59_990);
    let submitted = format!(
        "<iq type='set' id='reg' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'>\
         <username>romeo</username><password>juliet</password></query></iq>"
    );
    let requests = while_storage_is_slow(&mut stage, &[&submitted], 20);
    storage_catches_up(&mut stage, requests);
    assert_eq!(stage.stanza(iq("reg")).attr("type"), Some("result"));
}

#[test]
fn nothing_is_written_of_who_is_being_deleted() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    let removal = format!(
        "<iq type='set' id='1' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'><remove/></query></iq>"
    );
    // Changed contacts are written after two seconds. Whoever gets the number of his row would inherit them.
    let requests = while_storage_is_slow(&mut stage, &[&removal], 3_000);
    assert!(matches!(requests.as_slice(), [(_, Request::RemoveUser(_))]), "{requests:?}");
}

#[test]
fn not_even_what_he_changes_himself_is_written_of_who_is_being_deleted() {
    let mut stage = Stage::with("enable_remove_buddy=1\n", OURS);
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.wait(3);
    let set = |payload: &str| format!("<iq type='set' id='1' from='{ROMEO}' to='{GATEWAY}'>{payload}</iq>");
    let removal = set("<query xmlns='jabber:iq:register'><remove/></query>");
    let bookmarks = set(
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference/></storage></query>",
    );
    let unsubscribe = "<presence type='unsubscribe' from='romeo@example.org' to='nurse@irc.example.org'/>";
    let requests = while_storage_is_slow(&mut stage, &[&removal, &bookmarks, unsubscribe], 1);
    assert!(matches!(requests.as_slice(), [(_, Request::RemoveUser(_))]), "{requests:?}");
}

#[test]
fn who_changes_his_mind_faster_than_storage_is_told_the_truth() {
    let mut stage = Stage::new();
    stage.romeo_online();
    let set = |id: &str, content: &str| {
        format!(
            "<iq type='set' id='{id}' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'>{content}</query></iq>"
        )
    };
    let stanzas = [
        set("1", "<remove/>"),
        set("2", "<username>romeo</username><password>rosaline</password>"),
        set("3", "<remove/>"),
    ];
    let requests = while_storage_is_slow(&mut stage, &stanzas.each_ref().map(String::as_str), 1);
    storage_catches_up(&mut stage, requests);
    for id in ["1", "2", "3"] {
        stage.stanza(iq(id));
    }
    stage.says(&format!(
        "<iq type='get' id='4' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'/></iq>"
    ));
    let form = stage.stanza(iq("4"));
    let registered = form.find("query", ns::REGISTER).is_some_and(|q| q.find_same("registered").is_some());
    assert_eq!(registered, !stage.database.is_empty());
}

#[test]
fn a_new_password_of_who_switched_the_transport_off_ends_his_session_visibly() {
    let mut stage = Stage::new();
    stage.romeo_online();
    let user = stage.gateway.users.values_mut().next().expect("Romeo");
    user.settings.push(("enable_transport".into(), "0".into()));
    submit(&mut stage, ROMEO, "<username>romeo</username><password>rosaline</password>");
    stage.stanza(presence_from(GATEWAY, Some("unavailable")));
    assert_eq!(stage.gateway.status().online, 0);
}
