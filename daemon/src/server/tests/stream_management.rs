//! Stream management (XEP-0198): what is acknowledged, what is sent again, and where the rest goes.

use super::*;

fn is(name: &'static str) -> impl Fn(&Element) -> bool {
    move |element| element.is(name, ns::SM)
}

fn says_to(stage: &mut Stage, client: Client, xml: &str) {
    stage.says(client, &xml.replacen(' ', &format!(" xmlns='{}' ", ns::SM), 1));
}

/// Romeo's client enables stream management; gives the id of its session.
fn enables(stage: &mut Stage, client: Client) -> String {
    says_to(stage, client, "<enable resume='true'/>");
    let enabled = stage.hears_of(client, is("enabled"));
    assert_eq!(enabled.attr("resume"), Some("true"));
    enabled.attr("id").expect("an id").to_owned()
}

/// A new connection of Romeo goes on with an earlier session.
fn resumes(stage: &mut Stage, id: &str, h: u32) -> Client {
    let (client, _) = stage.romeo_in();
    says_to(stage, client, &format!("<resume previd='{id}' h='{h}'/>"));
    client
}

fn bodies(stage: &mut Stage, client: Client) -> Vec<String> {
    let heard = stage.hears(client);
    heard
        .iter()
        .filter_map(|stanza| stanza.child_text("body", ns::CLIENT).map(|body| body.into_owned()))
        .collect()
}

#[test]
fn both_sides_count() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    enables(&mut stage, client);
    stage.says(client, &format!("<message to='{NURSE}'><body>x</body></message>"));
    stage.says(client, "<iq type='get' id='1'/>");
    stage.hears_of(client, iq("1"));
    says_to(&mut stage, client, "<r />");
    assert_eq!(
        stage.hears_of(client, is("a")).attr("h"),
        Some("2"),
        "a stanza that was refused was handled, too"
    );
    says_to(&mut stage, client, "<a h='1'/>");
    stage.writes(link, "nurse", "one");
    stage.hears_of(client, is("r"));
    says_to(&mut stage, client, "<a h='2'/>");
    says_to(&mut stage, client, "<a h='3'/>");
    let sent = stage.takes(client);
    let Some(client::Action::Close(Some(error))) = sent.last() else { panic!("not closed: {sent:?}") };
    let told = error.find("handled-count-too-high", ns::SM).expect("why");
    assert_eq!((told.attr("h"), told.attr("send-count")), (Some("3"), Some("2")));
}

#[test]
fn a_session_outlives_its_connection() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    let id = enables(&mut stage, client);
    stage.says(client, &format!("<message to='{NURSE}'><body>x</body></message>"));
    stage.writes(link, "nurse", "one");
    stage.writes(link, "nurse", "two");
    stage.loses(client);
    stage.writes(link, "nurse", "three");
    stage.wait(200);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Logout(_))), "he is still there");
    let client = resumes(&mut stage, &id, 1);
    let resumed = stage.hears_of(client, |_| true);
    assert_eq!(resumed.name(), "resumed", "first of all");
    assert_eq!((resumed.attr("previd"), resumed.attr("h")), (Some(id.as_str()), Some("1")));
    assert_eq!(bodies(&mut stage, client), ["two", "three"], "what was acknowledged does not come again");
    stage.writes(link, "nurse", "four");
    assert_eq!(bodies(&mut stage, client), ["four"]);
    assert_eq!(stage.population(), (1, 1));
}

#[test]
fn who_comes_too_late_learns_what_came_through() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    let id = enables(&mut stage, client);
    stage.says(client, &format!("<message to='{NURSE}'><body>x</body></message>"));
    stage.loses(client);
    stage.wait(301);
    let client = resumes(&mut stage, &id, 0);
    let failed = stage.hears_of(client, is("failed"));
    assert!(failed.find("item-not-found", ns::STANZAS).is_some());
    assert_eq!(failed.attr("h"), Some("1"));
    says_to(&mut stage, client, "<resume previd='other' h='0'/>");
    assert_eq!(stage.hears_of(client, is("failed")).attr("h"), None);
    // And who says good bye, at once.
    stage.binds(client, "orchard");
    enables(&mut stage, client);
    stage.says(client, "<presence/>");
    stage.takes(client);
    stage.piece(client, Piece::Close);
    let sent = stage.takes(client);
    let [client::Action::Send(last), client::Action::Close(None)] = &sent[sent.len() - 2..] else {
        panic!("{sent:?}")
    };
    assert_eq!((last.name(), last.attr("h")), ("a", Some("1")));
}

#[test]
fn a_connection_that_is_only_thought_dead_is_replaced() {
    let mut stage = Stage::new();
    let (old, link) = stage.romeo_and_nurse();
    let id = enables(&mut stage, old);
    stage.writes(link, "nurse", "one");
    stage.takes(old);
    let new = resumes(&mut stage, &id, 0);
    assert_eq!(stage.closed(old), "conflict");
    stage.hears_of(new, is("resumed"));
    assert_eq!(bodies(&mut stage, new), ["one"]);
    // What the old one still says does not count.
    stage.says(old, &format!("<message to='{NURSE}'><body>late</body></message>"));
    stage.loses(old);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::ConvMessage(_))));
    assert_eq!(stage.population(), (1, 1));
}

#[test]
fn nobody_resumes_what_is_not_his() {
    let mut stage = Stage::with("more_resources=1");
    let (client, _) = stage.romeo_and_nurse();
    let id = enables(&mut stage, client);
    stage.loses(client);
    let stranger = stage.connects(Cover::Encrypted);
    stage.opens(stranger);
    stage.authenticates(stranger, "tybalt", PASSWORD);
    stage.lets_in(&format!("tybalt@{DOMAIN}"));
    stage.opens_again(stranger);
    says_to(&mut stage, stranger, &format!("<resume previd='{id}' h='0'/>"));
    assert!(stage.hears_of(stranger, is("failed")).find("item-not-found", ns::STANZAS).is_some());
    stage.binds(stranger, "street");
    let (client, _) = stage.romeo_in();
    says_to(&mut stage, client, "<resume previd='other' h='0'/>");
    stage.hears_of(client, is("failed"));
    says_to(&mut stage, client, "<enable />");
    assert!(stage.hears_of(client, is("failed")).find("unexpected-request", ns::STANZAS).is_some());
    says_to(&mut stage, client, &format!("<resume previd='{id}' h='0'/>"));
    stage.hears_of(client, is("resumed"));
}

#[test]
fn what_nobody_comes_back_for_waits_for_the_next_client() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    enables(&mut stage, client);
    stage.writes(link, "nurse", "one");
    stage.loses(client);
    stage.writes(link, "nurse", "two");
    stage.wait(301);
    stage.frame(|frame| matches!(frame, Frame::Logout(logout) if logout.user == ROMEO_JID).then_some(()));
    assert_eq!(stage.population(), (0, 1), "the account waits with them");
    let (client, _) = stage.romeo_bound("phone");
    stage.says(client, "<presence/>");
    assert_eq!(bodies(&mut stage, client), ["one", "two"]);
    assert_eq!(stage.population(), (1, 1));
}

#[test]
fn and_in_the_end_is_given_up() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    enables(&mut stage, client);
    stage.writes(link, "nurse", "one");
    stage.loses(client);
    stage.wait(301 + 24 * 3_600);
    assert_eq!(stage.population(), (0, 0));
}

#[test]
fn another_client_gets_what_the_lost_one_did_not() {
    let mut stage = Stage::with("more_resources=1");
    let (one, link) = stage.romeo_and_nurse();
    enables(&mut stage, one);
    stage.writes(link, "nurse", "for the one");
    let (two, _) = stage.romeo("phone");
    enables(&mut stage, two);
    stage.writes(link, "nurse", "for both");
    stage.writes(link, "nurse", "taken");
    let sent = stage.hears(two).iter().filter(|element| element.is_stanza()).count();
    says_to(&mut stage, two, &format!("<a h='{sent}'/>"));
    stage.loses(one);
    stage.wait(301);
    assert_eq!(bodies(&mut stage, two), ["for the one"], "what it had already does not come twice");
}

#[test]
fn the_last_of_two_that_die_keeps_what_neither_got() {
    let mut stage = Stage::with("more_resources=1");
    let (one, link) = stage.romeo_and_nurse();
    let (two, _) = stage.romeo("phone");
    enables(&mut stage, one);
    enables(&mut stage, two);
    stage.writes(link, "nurse", "for both");
    stage.loses(one);
    stage.loses(two);
    stage.wait(301);
    let (three, _) = stage.romeo_bound("tablet");
    stage.says(three, "<presence/>");
    assert_eq!(bodies(&mut stage, three), ["for both"]);
}

/// A client of Romeo that gets copies, and no messages that are for all.
fn copied(stage: &mut Stage, resource: &str) -> Client {
    let (client, _) = stage.romeo_bound(resource);
    stage.says(client, &format!("<iq type='set' id='c'><enable xmlns='{}'/></iq>", ns::CARBONS));
    stage.says(client, "<presence><priority>-1</priority></presence>");
    stage.takes(client);
    client
}

fn copies(stage: &mut Stage, client: Client) -> usize {
    stage.hears(client).iter().filter(|stanza| stanza.find("received", ns::CARBONS).is_some()).count()
}

#[test]
fn who_has_a_copy_has_the_message() {
    let mut stage = Stage::with("more_resources=1");
    let (one, link) = stage.romeo_and_nurse();
    enables(&mut stage, one);
    let two = copied(&mut stage, "phone");
    stage.writes(link, "nurse", "Hark");
    assert_eq!(copies(&mut stage, two), 1);
    stage.loses(one);
    stage.wait(301);
    let (three, _) = stage.romeo_bound("tablet");
    stage.says(three, "<presence/>");
    assert!(bodies(&mut stage, three).is_empty(), "it was read already");
    assert_eq!(copies(&mut stage, two), 0, "and is not copied again");
}

#[test]
fn a_copy_that_nobody_took_becomes_the_message_again() {
    let mut stage = Stage::with("more_resources=1");
    let (one, link) = stage.romeo_and_nurse();
    enables(&mut stage, one);
    let two = copied(&mut stage, "phone");
    enables(&mut stage, two);
    stage.writes(link, "nurse", "Hark");
    assert_eq!(copies(&mut stage, two), 1);
    stage.loses(one);
    stage.wait(301);
    assert_eq!(copies(&mut stage, two), 0);
    stage.loses(two);
    stage.wait(301);
    let (three, _) = stage.romeo_bound("tablet");
    stage.says(three, "<presence/>");
    let message = stage.hears_of(three, |stanza| stanza.name() == "message");
    assert_eq!(message.child_text("body", ns::CLIENT).as_deref(), Some("Hark"));
    assert!(message.attr("from").is_some_and(|from| from.starts_with(NURSE)), "{message:?}");
}

#[test]
fn what_only_looks_like_a_copy_is_a_message() {
    let mut stage = Stage::with("more_resources=1");
    let (one, _) = stage.romeo("orchard");
    let (two, _) = stage.romeo("phone");
    enables(&mut stage, two);
    stage.says(
        one,
        &format!(
            "<message to='{ROMEO_JID}/phone'><received xmlns='{}'><forwarded xmlns='{}'>\
             <message xmlns='{}' from='{NURSE}'><body>forged</body></message></forwarded></received></message>",
            ns::CARBONS,
            ns::FORWARD,
            ns::CLIENT
        ),
    );
    stage.loses(two);
    stage.wait(301);
    assert!(!stage.hears(one).iter().any(|stanza| stanza.attr("from") == Some(NURSE)));
}

#[test]
fn a_client_that_acknowledges_nothing_is_ended() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    let id = enables(&mut stage, client);
    stage.loses(client);
    for n in 0..=1_000 {
        stage.writes(link, "nurse", &format!("{n}"));
    }
    assert_eq!(stage.population(), (0, 1), "its session is over");
    let client = resumes(&mut stage, &id, 0);
    stage.hears_of(client, is("failed"));
    stage.binds(client, "orchard");
    stage.says(client, "<presence/>");
    assert_eq!(bodies(&mut stage, client).len(), 200, "of its messages as many as can wait");
}

#[test]
fn who_ends_the_stream_with_an_error_may_come_back() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    let id = enables(&mut stage, client);
    stage.says(
        client,
        &format!("<error xmlns='{}'><connection-timeout xmlns='{}'/></error>", ns::STREAM, ns::STREAMS),
    );
    assert_eq!(stage.closed(client), "", "nobody answers an error with one");
    let client = resumes(&mut stage, &id, 0);
    stage.hears_of(client, is("resumed"));
    let stranger = stage.connects(Cover::Encrypted);
    stage.opens(stranger);
    stage.says(stranger, &format!("<error xmlns='{}'/>", ns::STREAM));
    assert_eq!(stage.closed(stranger), "");
}

#[test]
fn who_closes_the_stream_does_not_come_back() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    enables(&mut stage, client);
    stage.piece(client, Piece::Close);
    assert_eq!(stage.closed(client), "");
    assert_eq!(stage.population(), (0, 0));
}

#[test]
fn a_new_binding_takes_the_place_of_a_session_that_waits() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    enables(&mut stage, client);
    stage.loses(client);
    stage.writes(link, "nurse", "one");
    let (client, _) = stage.romeo_bound("orchard");
    stage.says(client, "<presence/>");
    assert_eq!(bodies(&mut stage, client), ["one"]);
    assert_eq!(stage.population(), (1, 1));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Logout(_))));
}

#[test]
fn what_an_inactive_client_did_not_see_comes_when_it_is_back() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    let id = enables(&mut stage, client);
    stage.says(client, "<inactive xmlns='urn:xmpp:csi:0'/>");
    stage.buddy(link, "nurse", "Nanny", StatusType::Away);
    stage.loses(client);
    let client = resumes(&mut stage, &id, 0);
    let heard = stage.hears(client);
    assert!(
        heard.iter().any(presence_from("nurse@irc.example.org/bot", None)),
        "what was held back comes: {heard:#?}"
    );
}
