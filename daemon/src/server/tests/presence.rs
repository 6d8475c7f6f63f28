//! What clients and contacts see of each other (RFC 6121 §4).

use super::*;

fn statuses(stage: &Stage) -> Vec<i32> {
    let frames = stage.frames.iter();
    frames
        .filter_map(|(_, frame)| match frame {
            Frame::StatusChanged(status) => Some(status.status),
            _ => None,
        })
        .collect()
}

#[test]
fn the_first_presence_shows_everybody() {
    let mut stage = Stage::with("more_resources=1");
    let (one, _) = stage.romeo_and_nurse();
    stage.says(one, "<presence><show>dnd</show></presence>");
    assert_eq!(stage.hears(one)[0].attr("from"), Some(&*format!("{ROMEO_JID}/orchard")), "its own, too");
    let (two, _) = stage.romeo_bound("phone");
    assert!(stage.hears(two).is_empty(), "nothing before it shows itself");
    stage.says(two, "<presence/>");
    let heard = stage.hears(two);
    assert!(heard.iter().any(presence_from(&format!("{ROMEO_JID}/orchard"), None)), "{heard:#?}");
    assert!(heard.iter().any(presence_from("nurse@irc.example.org/bot", None)), "{heard:#?}");
    assert!(stage.hears(one).iter().any(presence_from(&format!("{ROMEO_JID}/phone"), None)));
}

#[test]
fn the_network_sees_the_most_available() {
    let mut stage = Stage::with("more_resources=1");
    let (one, _) = stage.romeo_and_nurse();
    stage.says(one, "<presence><show>away</show></presence>");
    let (two, _) = stage.romeo_bound("phone");
    stage.says(two, "<presence><show>dnd</show><priority>5</priority></presence>");
    assert_eq!(statuses(&stage), [i32::from(StatusType::Away), StatusType::Dnd.into()]);
    stage.frames.clear();
    stage.loses(two);
    assert_eq!(statuses(&stage), [i32::from(StatusType::Away)]);
    stage.hears_of(one, presence_from(&format!("{ROMEO_JID}/phone"), Some("unavailable")));
}

#[test]
fn a_new_place_replaces_the_old_without_a_new_login() {
    let mut stage = Stage::new();
    let (old, link) = stage.romeo_and_nurse();
    let (new, _) = stage.romeo_in();
    stage.binds(new, "orchard");
    assert_eq!(stage.closed(old), "conflict");
    stage.says(new, "<presence/>");
    stage.hears_of(new, presence_from("nurse@irc.example.org/bot", None));
    stage.writes(link, "nurse", "Still there?");
    stage.hears_of(new, with_body("Still there?"));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Logout(_) | Frame::Login(_))));
    assert_eq!(stage.population(), (1, 1));
}

#[test]
fn what_is_shown_to_one_only_is_taken_back_at_the_end() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    stage.says(
        client,
        &format!("<presence to='%23verona@{DOMAIN}/romeo'><x xmlns='{}'/></presence>", ns::MUC),
    );
    let (_, room) = stage.frame(|frame| match frame {
        Frame::JoinRoom(room) => Some(room.clone()),
        _ => None,
    });
    assert_eq!(room.nickname, "romeo");
    stage.loses(client);
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
}

#[test]
fn a_client_that_only_hides_stays_logged_in() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, "<presence type='unavailable'/>");
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Logout(_))));
    stage.writes(link, "nurse", "Where are you?");
    assert!(!stage.hears(client).iter().any(|stanza| stanza.name() == "message"));
    stage.says(client, "<presence/>");
    stage.hears_of(client, with_body("Where are you?"));
}

#[test]
fn presence_without_sense() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    stage.says(client, "<presence type='subscribe' id='1'/>");
    assert_eq!(condition(&stage.hears_of(client, |s| s.attr("id") == Some("1"))), Some("bad-request"));
    stage.says(client, "<presence type='odd' id='2'/>");
    assert_eq!(condition(&stage.hears_of(client, |s| s.attr("id") == Some("2"))), Some("bad-request"));
    for n in 0..500 {
        stage.says(client, &format!("<presence to='c{n}@{DOMAIN}'/>"));
    }
    stage.says(client, &format!("<presence id='3' to='one-more@{DOMAIN}'/>"));
    assert_eq!(
        condition(&stage.hears_of(client, |s| s.attr("id") == Some("3"))),
        Some("resource-constraint")
    );
}

#[test]
fn ones_own_clients_can_be_asked_for() {
    let mut stage = Stage::with("more_resources=1");
    let (one, _) = stage.romeo("orchard");
    let (two, _) = stage.romeo("phone");
    stage.romeo_bound("hidden");
    stage.sent.clear();
    stage.says(one, &format!("<presence type='probe' to='{ROMEO_JID}'/>"));
    let heard = stage.hears(one);
    let resources: Vec<_> =
        heard.iter().filter_map(|presence| presence.attr("from")?.split('/').nth(1)).collect();
    assert_eq!(resources, ["orchard", "phone"]);
    stage.says(one, &format!("<presence type='subscribe' to='{ROMEO_JID}'/>"));
    stage.says(one, &format!("<presence to='{ROMEO_JID}'><show>xa</show></presence>"));
    let heard = stage.hears(two);
    assert_eq!(heard.iter().map(|presence| presence.attr("type")).collect::<Vec<_>>(), [None]);
}
