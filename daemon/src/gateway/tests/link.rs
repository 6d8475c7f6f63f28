//! The link to the XMPP server is lost and comes back.

use super::backends::connected;
use super::roster::{grant, privileged, roster_set, shown};
use super::*;

fn from_nurse(text: &str) -> ConversationMessage {
    ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "nurse".into(),
        message: text.into(),
        ..Default::default()
    }
}

#[test]
fn a_backend_that_is_not_read_meanwhile_is_not_taken_for_dead() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.event(Event::XmppDown);
    for n in 0..2_000 {
        stage.network(link, Frame::ConvMessage(from_nurse(&n.to_string())));
    }
    assert!(!stage.gateway.accepts_frames());
    // So its answers are not read either.
    stage.answering = false;
    stage.wait(120);
    assert!(stage.closed.is_empty(), "{:?}", stage.closed);
}

#[test]
fn a_message_that_waited_for_the_link_says_when_it_was_sent() {
    let mut stage = Stage::new();
    stage.event(Event::Clock(1_000));
    let link = stage.romeo_online();
    stage.event(Event::XmppDown);
    stage.wait(59);
    stage.network(link, Frame::ConvMessage(from_nurse("good night")));
    stage.wait(3_600);
    stage.silence();
    stage.event(Event::XmppUp);
    let message = stage.stanza(message_from("nurse@irc.example.org/bot"));
    assert_eq!(message.find("delay", ns::DELAY).and_then(|d| d.attr("stamp")), Some("1970-01-01T00:01:00Z"));
}

#[test]
fn a_clock_that_is_set_later_counts_from_then_on() {
    let mut stage = Stage::new();
    // A machine without a battery: NTP comes after us.
    stage.event(Event::Clock(1_000));
    let link = stage.romeo_online();
    stage.event(Event::Clock(1_795_000_000_000));
    stage.event(Event::XmppDown);
    stage.network(link, Frame::ConvMessage(from_nurse("good night")));
    stage.event(Event::XmppUp);
    let message = stage.stanza(message_from("nurse@irc.example.org/bot"));
    let stamp = message.find("delay", ns::DELAY).and_then(|d| d.attr("stamp"));
    assert_eq!(stamp, Some("2026-11-18T11:06:40Z"));
}

#[test]
fn everybody_who_was_there_before_a_restart_is_asked_for_though_the_link_flaps() {
    let mut stage = Stage::unconnected("", OURS);
    for n in 0..100 {
        stage.registered(&format!("capulet{n}@example.org"), &format!("capulet{n}"));
        stage.online.insert(n + 1);
    }
    stage.event(Event::XmppUp);
    stage.wait(1);
    let probed = |stage: &Stage| -> BTreeSet<String> {
        let probes = stage.stanzas.iter().filter(|s| s.attr("type") == Some("probe"));
        probes.filter_map(|s| s.attr("to")).map(str::to_owned).collect()
    };
    assert!(probed(&stage).len() < 100, "not all at once");
    stage.event(Event::XmppDown);
    stage.wait(30);
    stage.event(Event::XmppUp);
    stage.wait(60);
    assert_eq!(probed(&stage).len(), 100);
}

#[test]
fn nobody_is_logged_out_while_the_link_is_down() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    stage.wait(1);
    stage.event(Event::XmppDown);
    stage.wait(300);
    assert_eq!(stage.gateway.status().online, 1);
}

#[test]
fn a_server_that_is_too_quick_to_say_that_nobody_is_there_is_not_believed() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    stage.says(&format!("<presence type='unavailable' from='romeo@example.org' to='{GATEWAY}'/>"));
    assert_eq!(stage.gateway.status().online, 1);
}

#[test]
fn a_wrong_password_stays_wrong() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let refused =
        Disconnected { user: "romeo@example.org".into(), error: 2, message: Some("Bad password".into()) };
    stage.network(link, Frame::Disconnected(refused));
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(1_000);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
}

#[test]
fn a_contact_that_left_meanwhile_is_shown_as_gone() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.event(Event::XmppDown);
    stage.buddy(link, "nurse", "Nurse", StatusType::None);
    stage.stanzas.clear();
    stage.event(Event::XmppUp);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(300);
    stage.stanza(presence_from("nurse@irc.example.org/bot", Some("unavailable")));
}

#[test]
fn roster_items_that_could_not_be_sent_are_sent_when_it_is_back() {
    let (mut stage, link) = privileged();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.event(Event::XmppDown);
    stage.stanzas.clear();
    stage.wait(5);
    stage.silence();
    stage.event(Event::XmppUp);
    grant(&mut stage, "both");
    let asked = stage.stanza(|s| s.attr("type") == Some("get") && s.find("query", ns::ROSTER).is_some());
    shown(&mut stage, &asked);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(60);
    let set = roster_set(&mut stage);
    let item = set.find("query", ns::ROSTER).and_then(|query| query.elements().next()).expect("an item");
    assert_eq!(item.attr("jid"), Some("nurse@irc.example.org"));
}

#[test]
fn roster_items_go_out_though_the_server_never_answers_again() {
    let (mut stage, link) = privileged();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.event(Event::XmppDown);
    stage.wait(5);
    stage.event(Event::XmppUp);
    grant(&mut stage, "both");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(60);
    roster_set(&mut stage);
}

#[test]
fn a_question_about_the_roster_that_got_lost_takes_no_privilege_away() {
    let mut stage = Stage::new();
    grant(&mut stage, "both");
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    connected(&mut stage, link, "romeo@example.org");
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    grant(&mut stage, "both");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.stanzas.clear();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.wait(60);
    assert!(!stage.stanzas.iter().any(presence_from("nurse@irc.example.org", Some("subscribe"))));
    roster_set(&mut stage);
}

#[test]
fn who_may_not_log_in_and_left_meanwhile_is_forgotten() {
    let mut stage = Stage::with("vip_only=1\n", OURS);
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    stage.wait(300);
    assert!(stage.gateway.users.is_empty());
}

#[test]
fn who_registered_after_it_was_lost_and_left_is_forgotten() {
    let mut stage = Stage::new();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    stage.says(&format!(
        "<iq type='set' id='1' from='romeo@example.org/phone' to='{GATEWAY}'><query xmlns='jabber:iq:register'>\
         <username>romeo</username><password>juliet</password></query></iq>"
    ));
    stage.says(&format!("<presence from='romeo@example.org' to='{GATEWAY}' type='unavailable'/>"));
    // What he was known by before is not there any more, and nobody will say so.
    stage.wait(300);
    assert!(stage.gateway.users.is_empty());
}
