//! Messages, both ways, between several clients, and their copies (RFC 6121 §8, XEP-0280).

use super::*;

const CARBONS: &str = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";

fn bodies(heard: &[Element]) -> Vec<String> {
    heard
        .iter()
        .filter_map(|stanza| stanza.child_text("body", ns::CLIENT).map(|body| body.into_owned()))
        .collect()
}

#[test]
fn there_and_back() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, &format!("<message to='{NURSE}' from='juliet@elsewhere.org/x' type='chat' id='1'><body>Peace</body></message>"));
    let (_, message) = stage.frame(|frame| match frame {
        Frame::ConvMessage(message) => Some(message.clone()),
        _ => None,
    });
    assert_eq!(
        (message.user_name.as_str(), message.buddy_name.as_str(), message.message.as_str()),
        (ROMEO_JID, "nurse", "Peace")
    );
    stage.writes(link, "nurse", "Good morrow");
    let heard = stage.hears_of(client, with_body("Good morrow"));
    assert_eq!(heard.attr("from"), Some("nurse@irc.example.org/bot"));
    assert_eq!(heard.attr("to"), Some(ROMEO_JID));
}

#[test]
fn another_user_of_the_server_is_a_contact_like_any_other() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    stage.says(
        client,
        "<message to='juliet%example.net@irc.example.org' type='chat'><body>Hark</body></message>",
    );
    let (_, message) = stage.frame(|frame| match frame {
        Frame::ConvMessage(message) => Some(message.clone()),
        _ => None,
    });
    assert_eq!(message.buddy_name, "juliet@example.net");
}

#[test]
fn all_clients_hear_and_copies_go_to_the_others() {
    let mut stage = Stage::with("more_resources=1");
    let (one, link) = stage.romeo_and_nurse();
    let (two, _) = stage.romeo("phone");
    let (shy, _) = stage.romeo("shy");
    for client in [one, two, shy] {
        stage.says(client, CARBONS);
    }
    stage.says(shy, "<presence><priority>-1</priority></presence>");
    stage.sent.clear();
    stage.writes(link, "nurse", "Good morrow");
    assert_eq!(bodies(&stage.hears(one)), ["Good morrow"]);
    assert_eq!(bodies(&stage.hears(two)), ["Good morrow"]);
    let copy = stage.hears_of(shy, |stanza| stanza.find("received", ns::CARBONS).is_some());
    assert_eq!(copy.attr("from"), Some(ROMEO_JID), "XEP-0280 §11: from the account itself");
    stage.says(one, &format!("<message to='{NURSE}' type='chat'><body>Peace</body></message>"));
    assert!(stage.hears(one).is_empty());
    for other in [two, shy] {
        let copy = stage.hears_of(other, |stanza| stanza.find("sent", ns::CARBONS).is_some());
        assert!(copy.to_xml().contains("Peace"));
    }
    stage.says(
        one,
        &format!(
            "<message to='{NURSE}' type='chat'><body>x</body><private xmlns='{}'/></message>",
            ns::CARBONS
        ),
    );
    assert!(stage.hears(two).is_empty());
}

#[test]
fn what_the_user_writes_elsewhere_on_the_network_is_copied() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, CARBONS);
    stage.sent.clear();
    let message = ConversationMessage {
        user_name: ROMEO_JID.into(),
        buddy_name: "nurse".into(),
        message: "From my other client".into(),
        carbon: Some(true),
        ..Default::default()
    };
    stage.network(link, Frame::ConvMessage(message));
    let copy = stage.hears_of(client, |stanza| stanza.find("sent", ns::CARBONS).is_some());
    assert_eq!(copy.attr("from"), Some(ROMEO_JID));
    assert!(copy.to_xml().contains("From my other client"));
}

#[test]
fn what_comes_before_the_first_presence_waits_for_it() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_bound("orchard");
    let link = link.expect("he was not on line");
    stage.event(Event::Clock(1_000_000_000_000));
    stage.writes(link, "nurse", "While you were away");
    assert!(bodies(&stage.hears(client)).is_empty());
    stage.says(client, "<presence/>");
    let message = stage.hears_of(client, with_body("While you were away"));
    let stamp = message.find("delay", ns::DELAY).and_then(|delay| delay.attr("stamp"));
    assert_eq!(stamp, Some("2001-09-09T01:46:40Z"), "by the clock as it was set last");
    stage.says(client, "<presence><show>away</show></presence>");
    assert!(bodies(&stage.hears(client)).is_empty(), "but once");
}

#[test]
fn what_nobody_takes_goes_back_or_waits() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, "<presence><priority>-1</priority></presence>");
    stage.writes(link, "nurse", "Are you there?");
    for n in 0..300 {
        stage.writes(link, "nurse", &format!("Message {n}"));
    }
    assert!(bodies(&stage.hears(client)).is_empty());
    stage.says(client, "<presence/>");
    let heard = bodies(&stage.hears(client));
    assert_eq!(heard.len(), 200, "so many wait, the first of them");
    assert_eq!(heard[0], "Are you there?");
}

#[test]
fn who_stays_connected_finds_what_he_was_written() {
    let mut stage = Stage::with("[settings]\nstay_connected=1");
    let (client, link) = stage.romeo_and_nurse();
    stage.piece(client, Piece::Close);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Logout(_))));
    assert_eq!(stage.population(), (0, 0));
    stage.writes(link, "nurse", "While you were away");
    stage.buddy(link, "peter", "Peter", StatusType::Online);
    let (client, login) = stage.romeo_bound("orchard");
    assert!(login.is_none(), "he is on line");
    stage.says(client, &format!("<iq type='get' id='r'><query xmlns='{}'/></iq>", ns::ROSTER));
    let roster = stage.hears_of(client, iq("r")).to_xml();
    assert!(roster.contains("nurse@"), "{roster}");
    stage.says(client, "<presence/>");
    stage.hears_of(client, with_body("While you were away"));
    let stranger = stage.connects(Cover::Encrypted);
    stage.opens(stranger);
    stage.authenticates(stranger, ROMEO, "guess");
    stage.wait(1);
    stage.hears_of(stranger, |element| element.is("failure", ns::SASL));
}

#[test]
fn own_resources_can_be_written_to() {
    let mut stage = Stage::with("more_resources=1");
    let (one, _) = stage.romeo("orchard");
    let (two, _) = stage.romeo("phone");
    stage.sent.clear();
    stage.says(one, &format!("<message to='{ROMEO_JID}/phone' type='chat'><body>Note</body></message>"));
    assert_eq!(bodies(&stage.hears(two)), ["Note"]);
    assert!(bodies(&stage.hears(one)).is_empty());
    stage.says(
        one,
        &format!("<message to='{ROMEO_JID}/gone' type='groupchat' id='g'><body>Note</body></message>"),
    );
    assert_eq!(condition(&stage.hears_of(one, |s| s.attr("id") == Some("g"))), Some("service-unavailable"));
    stage.says(
        one,
        &format!("<iq to='{ROMEO_JID}/phone' type='get' id='p'><ping xmlns='{}'/></iq>", ns::PING),
    );
    let ping = stage.hears_of(two, iq("p"));
    assert_eq!(ping.attr("from"), Some(&*format!("{ROMEO_JID}/orchard")));
    stage.says(two, &format!("<iq to='{ROMEO_JID}/orchard' type='result' id='p'/>"));
    assert_eq!(stage.hears_of(one, iq("p")).attr("type"), Some("result"));
}

#[test]
fn other_servers_cannot_be_reached() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    for (id, xml) in [
        ("1", "<message to='juliet@example.com' id='1'><body>x</body></message>"),
        ("2", "<iq to='example.com' id='2' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"),
        ("3", "<presence to='juliet@example.com' id='3' type='subscribe'/>"),
    ] {
        stage.says(client, xml);
        let answer = stage.hears_of(client, |stanza| stanza.attr("id") == Some(id));
        assert_eq!(condition(&answer), Some("remote-server-not-found"));
    }
}

#[test]
fn a_message_that_the_network_did_not_take_comes_back() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, &format!("<message to='{NURSE}' type='chat' id='7'><body>Peace</body></message>"));
    let (_, message) = stage.frame(|frame| match frame {
        Frame::ConvMessage(message) => Some(message.clone()),
        _ => None,
    });
    let result = spectrum2_backend_protocol::MessageResult {
        user_name: ROMEO_JID.into(),
        serial: message.serial.expect("the backend acknowledges"),
        error: Some(1),
        text: Some("Too long".into()),
        ..Default::default()
    };
    stage.network(link, Frame::Result(result));
    let error = stage.hears_of(client, |stanza| stanza.attr("id") == Some("7"));
    assert_eq!(error.attr("type"), Some("error"));
    assert_eq!(error.attr("to"), Some(&*format!("{ROMEO_JID}/orchard")), "to the client that sent it");
}

#[test]
fn nobody_looks_at_the_client() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, "<inactive xmlns='urn:xmpp:csi:0'/>");
    for status in [StatusType::Away, StatusType::Online, StatusType::Dnd] {
        stage.buddy(link, "nurse", "Nanny", status);
    }
    let typing = Buddy { user_name: ROMEO_JID.into(), buddy_name: "nurse".into(), ..Default::default() };
    stage.network(link, Frame::BuddyTyping(typing.clone()));
    assert!(stage.hears(client).is_empty(), "it sleeps");
    stage.writes(link, "nurse", "Wake up");
    let heard = stage.hears(client);
    assert_eq!(heard.iter().map(Element::name).collect::<Vec<_>>(), ["presence", "message", "message"]);
    assert_eq!(heard[0].child_text("show", ns::CLIENT).as_deref(), Some("dnd"), "the latest");
    assert_eq!(bodies(&heard), ["Wake up"]);
    stage.buddy(link, "nurse", "Nanny", StatusType::Online);
    stage.says(client, "<active xmlns='urn:xmpp:csi:0'/>");
    stage.hears_of(client, presence_from("nurse@irc.example.org/bot", None));
    stage.buddy(link, "nurse", "Nanny", StatusType::Away);
    assert_eq!(stage.hears(client).len(), 1);
}

/// RFC 6121 §8.5, by type: to the account, to a client that is there, and to one that is not.
#[test]
fn messages_to_ones_own_account_go_where_their_type_says() {
    let mut stage = Stage::with("more_resources=1");
    let (sender, _) = stage.romeo("orchard");
    let (other, _) = stage.romeo("phone");
    let (silent, _) = stage.romeo_bound("tablet");
    stage.says(silent, "<presence><priority>-5</priority></presence>");
    stage.sent.clear();
    let has = |stage: &mut Stage, client| stage.hears(client).iter().any(with_body("Hark"));
    for (kind, to, by_all, by_silent, error) in [
        ("", "", true, false, None),
        ("chat", "", true, false, None),
        ("headline", "", true, false, None),
        ("groupchat", "", false, false, Some("service-unavailable")),
        ("error", "", false, false, None),
        ("", "/tablet", false, true, None),
        ("chat", "/tablet", false, true, None),
        ("headline", "/tablet", false, true, None),
        ("groupchat", "/tablet", false, true, None),
        ("error", "/tablet", false, true, None),
        ("", "/gone", false, false, Some("service-unavailable")),
        ("odd", "/gone", false, false, Some("service-unavailable")),
        ("chat", "/gone", true, false, None),
        ("headline", "/gone", false, false, None),
        ("groupchat", "/gone", false, false, Some("service-unavailable")),
        ("error", "/gone", false, false, None),
    ] {
        let case = format!("{kind:?} to {to:?}");
        let kind = if kind.is_empty() { String::new() } else { format!("type='{kind}'") };
        stage.says(
            sender,
            &format!("<message {kind} id='m' to='{ROMEO_JID}{to}'><body>Hark</body></message>"),
        );
        let heard = stage.hears(sender);
        let refusal = heard.iter().find(|stanza| stanza.find_same("error").is_some());
        assert_eq!(refusal.and_then(condition), error, "{case}");
        let echoed =
            heard.iter().any(|stanza| stanza.attr("type") != Some("error") && with_body("Hark")(stanza));
        assert_eq!(echoed, by_all, "{case}");
        assert_eq!((has(&mut stage, other), has(&mut stage, silent)), (by_all, by_silent), "{case}");
    }
}
