//! Logging in and out by presence, and what is shown to whom.

use super::*;

#[test]
fn presence_logs_in_and_shows_the_gateway() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!(
        "<presence from='{ROMEO}' to='{GATEWAY}'><show>away</show><status>asleep</status></presence>"
    ));
    let connecting = stage.stanza(presence_from(GATEWAY, Some("unavailable")));
    assert_eq!(connecting.child_text("status", ns::CLIENT).as_deref(), Some("Connecting"));
    let (link, login) = stage.login_of("romeo@example.org");
    assert_eq!((login.legacy_name.as_str(), login.password.as_str()), ("romeo", "juliet"));
    let (_, status) = stage.frame(|frame| match frame {
        Frame::StatusChanged(status) => Some(status.clone()),
        _ => None,
    });
    assert_eq!((status.status_type(), status.status_message.as_deref()), (StatusType::Away, Some("asleep")));
    stage.stanzas.clear();
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let shown = stage.stanza(presence_from(GATEWAY, None));
    assert_eq!(shown.attr("to"), Some(ROMEO));
    assert_eq!(shown.child_text("show", ns::CLIENT).as_deref(), Some("away"));
    assert!(shown.find("c", ns::CAPS).is_some());
    assert_eq!(stage.online.len(), 1);
}

#[test]
fn the_same_presence_again_says_nothing_new() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.stanzas.clear();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    assert!(stage.frames.is_empty(), "{:?}", stage.frames);
    stage.silence();
}

#[test]
fn the_network_sees_the_most_available_client() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!("<presence from='romeo@example.org/phone' to='{GATEWAY}'><priority>5</priority><show>dnd</show></presence>"));
    let (_, status) = stage.frame(|frame| match frame {
        Frame::StatusChanged(status) => Some(status.status_type()),
        _ => None,
    });
    assert_eq!(status, StatusType::Dnd);
    stage.says(&format!("<presence from='romeo@example.org/phone' to='{GATEWAY}' type='unavailable'/>"));
    let (_, status) = stage.frame(|frame| match frame {
        Frame::StatusChanged(status) => Some(status.status_type()),
        _ => None,
    });
    assert_eq!(status, StatusType::Online);
}

#[test]
fn a_new_client_is_shown_everybody_and_one_that_leaves_nobody() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Away);
    stage.stanzas.clear();
    stage.says(&format!("<presence from='romeo@example.org/phone' to='{GATEWAY}'/>"));
    let nurse = stage.stanza(presence_from("nurse@irc.example.org/bot", None));
    assert_eq!(nurse.attr("to"), Some("romeo@example.org/phone"));
    assert_eq!(nurse.child_text("show", ns::CLIENT).as_deref(), Some("away"));
    stage.stanzas.clear();
    stage.says(&format!("<presence from='romeo@example.org/phone' to='{GATEWAY}' type='unavailable'/>"));
    let nurse = stage.stanza(presence_from("nurse@irc.example.org/bot", Some("unavailable")));
    assert_eq!(nurse.attr("to"), Some("romeo@example.org/phone"));
    assert!(stage.frames.iter().all(|(_, frame)| !matches!(frame, Frame::Logout(_))));
}

#[test]
fn the_last_client_that_leaves_logs_out() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.stanzas.clear();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    stage.stanza(presence_from("nurse@irc.example.org/bot", Some("unavailable")));
    stage.stanza(presence_from(GATEWAY, Some("unavailable")));
    stage.silence();
    assert!(stage.online.is_empty());
}

#[test]
fn a_bouncer_stays() {
    let mut stage = Stage::with("[settings]\nstay_connected=1\n", OURS);
    stage.romeo_online();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    assert!(stage.frames.iter().all(|(_, frame)| !matches!(frame, Frame::Logout(_))));
    assert_eq!(stage.gateway.status().online, 1);
}

#[test]
fn an_error_from_a_client_is_its_end() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!(
        "<presence from='{ROMEO}' to='{GATEWAY}' type='error'><error type='cancel'/></presence>"
    ));
    assert_eq!(stage.gateway.status().online, 0);
}

#[test]
fn probes_are_answered_by_whom_they_ask() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Dnd);
    stage.stanzas.clear();
    stage.says("<presence from='romeo@example.org' to='nurse@irc.example.org' type='probe'/>");
    stage.stanza(presence_from("nurse@irc.example.org/bot", None));
    stage.says("<presence from='romeo@example.org' to='paris@irc.example.org' type='probe'/>");
    stage.stanza(presence_from("paris@irc.example.org", Some("unavailable")));
    stage.says(&format!("<presence from='juliet@example.org' to='{GATEWAY}' type='probe'/>"));
    stage.stanza(presence_from(GATEWAY, Some("unavailable")));
    stage.silence();
}

#[test]
fn who_was_online_before_a_restart_is_asked_for() {
    let mut stage = Stage::unconnected("", OURS);
    stage.registered("romeo@example.org", "romeo");
    stage.registered("juliet@example.org", "juliet");
    stage.online.insert(1);
    stage.event(Event::XmppUp);
    stage.wait(5);
    assert_eq!(stage.stanza(presence_from(GATEWAY, Some("probe"))).attr("to"), Some("romeo@example.org"));
    stage.silence();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.login_of("romeo@example.org");
}

#[test]
fn after_the_xmpp_server_came_back_everybody_is_shown_anew() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.event(Event::XmppDown);
    stage.stanzas.clear();
    let message = ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "nurse".into(),
        message: "while you were away".into(),
        ..Default::default()
    };
    stage.network(link, Frame::ConvMessage(message));
    stage.silence();
    stage.event(Event::XmppUp);
    stage.stanza(presence_from(GATEWAY, Some("probe")));
    stage.stanza(message_from("nurse@irc.example.org/bot"));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.stanza(presence_from("nurse@irc.example.org/bot", None));
    stage.stanza(presence_from(GATEWAY, None));
    stage.wait(200);
    assert_eq!(stage.gateway.status().online, 1);
}

#[test]
fn who_does_not_come_back_with_the_xmpp_server_is_logged_out() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.event(Event::XmppDown);
    stage.event(Event::XmppUp);
    stage.wait(200);
    assert_eq!(stage.gateway.status().online, 0);
}

#[test]
fn a_vip_gateway_tells_others_so() {
    let mut stage = Stage::with("vip_only=1\nvip_message=For paying guests only.\n", OURS);
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let message = stage.stanza(message_from(GATEWAY));
    assert_eq!(message.child_text("body", ns::CLIENT).as_deref(), Some("For paying guests only."));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
}

#[test]
fn what_is_not_for_us_is_refused() {
    let mut stage = Stage::new();
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='icq.example.org'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    let error = stage.only_stanza();
    assert_eq!((condition(&error), error.attr("from")), (Some("item-not-found"), Some(GATEWAY)));
}

#[test]
fn every_iq_is_answered_by_whom_it_asked() {
    let mut stage = Stage::new();
    for (to, payload, kind) in [
        (GATEWAY, "<ping xmlns='urn:xmpp:ping'/>", "result"),
        ("nurse@irc.example.org", "<ping xmlns='urn:xmpp:ping'/>", "result"),
        (GATEWAY, "<query xmlns='jabber:iq:version'/>", "result"),
        (GATEWAY, "<query xmlns='http://jabber.org/protocol/disco#info'/>", "result"),
        (GATEWAY, "<query xmlns='http://jabber.org/protocol/disco#items'/>", "result"),
        ("nurse@irc.example.org/bot", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "result"),
        (GATEWAY, "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>", "error"),
        (GATEWAY, "<query xmlns='jabber:iq:gateway'/>", "result"),
        ("nurse@irc.example.org", "<query xmlns='urn:example:unknown'/>", "error"),
        (GATEWAY, "<vCard xmlns='vcard-temp'/>", "result"),
        ("nurse@irc.example.org", "<vCard xmlns='vcard-temp'/>", "error"),
    ] {
        stage.says(&format!("<iq type='get' id='1' from='{ROMEO}' to='{to}'>{payload}</iq>"));
        let answer = stage.only_stanza();
        assert_eq!((answer.attr("type"), answer.attr("from")), (Some(kind), Some(to)), "{payload}");
        assert_eq!(answer.attr("to"), Some(ROMEO));
    }
}

#[test]
fn announced_caps_can_be_asked_for() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    let presence = stage.stanza(presence_from("nurse@irc.example.org/bot", None));
    let caps = presence.find("c", ns::CAPS).expect("XEP-0115");
    let node = format!("{}#{}", caps.attr("node").unwrap(), caps.attr("ver").unwrap());
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='nurse@irc.example.org/bot'><query xmlns='{}' node='{node}'/></iq>",
        ns::DISCO_INFO
    ));
    let answer = stage.stanza(iq("1"));
    assert_eq!(answer.find("query", ns::DISCO_INFO).and_then(|q| q.attr("node")), Some(node.as_str()));
}

#[test]
fn vcards_come_from_the_network_or_are_empty() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='nurse@irc.example.org'><vCard xmlns='vcard-temp'/></iq>"
    ));
    let (_, asked) = stage.frame(|frame| match frame {
        Frame::VCard(vcard) => Some(vcard.clone()),
        _ => None,
    });
    assert_eq!(asked.buddy_name, "nurse");
    let answer =
        VCard { fullname: Some("Angelica".into()), photo: Some(vec![0x89, b'P', b'N', b'G']), ..asked };
    stage.network(link, Frame::VCard(answer));
    let card = stage.stanza(iq("1"));
    let card = card.find("vCard", ns::VCARD).expect("a vCard");
    assert_eq!(card.child_text("FN", ns::VCARD).as_deref(), Some("Angelica"));
    assert!(card.find("PHOTO", ns::VCARD).is_some());

    stage.says(&format!(
        "<iq type='get' id='2' from='{ROMEO}' to='nurse@irc.example.org'><vCard xmlns='vcard-temp'/></iq>"
    ));
    stage.wait(60);
    assert_eq!(stage.stanza(iq("2")).attr("type"), Some("result"));
}

#[test]
fn stopping_says_good_bye_and_remembers_who_was_there() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.stanzas.clear();
    stage.event(Event::Stop);
    stage.stanza(presence_from("nurse@irc.example.org/bot", Some("unavailable")));
    stage.stanza(presence_from(GATEWAY, Some("unavailable")));
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    stage.frame(|frame| matches!(frame, Frame::Exit).then_some(()));
    assert!(stage.stopped && stage.closed.contains(&link));
    assert_eq!(stage.online.len(), 1, "he is asked for after the next start");
    assert_eq!(
        stage.database.values().next().map(|user| user.contacts.len()),
        Some(1),
        "contacts are stored"
    );
}

#[test]
fn the_end_waits_neither_for_the_dead_nor_for_the_hung() {
    for way in ["gone", "silent", "asked again"] {
        let mut stage = Stage::new();
        let link = stage.romeo_online();
        stage.answering = false;
        stage.event(Event::Stop);
        assert!(!stage.stopped);
        match way {
            "gone" => stage.event(Event::BackendDown(link, "it crashed".to_owned())),
            "silent" => stage.wait(1),
            _ => stage.event(Event::Stop),
        }
        assert!(stage.stopped, "{way}");
    }
}

#[test]
fn a_login_is_announced_once() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.stanza(presence_from(GATEWAY, Some("unavailable")));
    assert!(!stage.stanzas.iter().any(presence_from(GATEWAY, Some("unavailable"))), "once");
}

#[test]
fn a_bouncer_is_logged_in_after_a_restart_though_nobody_is_there() {
    let mut stage = Stage::unconnected("[settings]\nstay_connected=1\n", OURS);
    stage.registered("romeo@example.org", "romeo");
    stage.online.insert(1);
    stage.event(Event::XmppUp);
    stage.wait(5);
    stage.says(&format!("<presence from='romeo@example.org' to='{GATEWAY}' type='unavailable'/>"));
    stage.wait(60);
    stage.login_of("romeo@example.org");
}

#[test]
fn presence_without_a_resource_is_answered_without_one() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='romeo@example.org' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.no_roster_rights();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.wait(120);
    stage.stanza(presence_from("nurse@irc.example.org", Some("subscribe")));
    assert!(stage.stanzas.iter().all(|s| s.attr("to").is_some_and(|to| to.parse::<jid::Jid>().is_ok())));
}

#[test]
fn an_avatar_that_was_shown_before_the_login_is_fetched_after_it() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!(
        "<presence from='{ROMEO}' to='{GATEWAY}'><x xmlns='vcard-temp:x:update'><photo>abc</photo></x></presence>"
    ));
    let fetches = |s: &Element| s.name() == "iq" && s.find("vCard", ns::VCARD).is_some();
    assert!(!stage.stanzas.iter().any(fetches), "nobody is there yet to whom it could be shown");
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.wait(60);
    assert_eq!(stage.stanza(fetches).attr("to"), Some("romeo@example.org"));
}

#[test]
fn a_missing_subscription_ends_no_session_but_is_asked_for() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!(
        "<presence type='error' from='romeo@example.org' to='{GATEWAY}'><error type='auth'>\
         <subscription-required xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    ));
    assert_eq!(stage.gateway.status().online, 1);
    stage.stanza(presence_from(GATEWAY, Some("subscribe")));
}

#[test]
fn strangers_do_not_keep_users_out() {
    let mut stage = Stage::with("max_users=10\n", OURS);
    stage.registered("romeo@example.org", "romeo");
    for n in 0..1_010 {
        stage.says(&format!("<presence from='montague{n}@elsewhere.net/x' to='{GATEWAY}'/>"));
    }
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.login_of("romeo@example.org");
}

#[test]
fn who_may_not_log_in_and_left_is_forgotten() {
    let mut stage = Stage::with("vip_only=1\n", OURS);
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(120);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    stage.wait(120);
    assert!(stage.gateway.users.is_empty());
}

#[test]
fn a_vcard_is_answered_though_its_asker_makes_room_for_others() {
    let mut stage = Stage::with("max_users=1\n", OURS);
    stage.romeo_online();
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='nurse@irc.example.org'><vCard xmlns='vcard-temp'/></iq>"
    ));
    stage.says(&format!(
        "<iq type='set' id='2' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'><remove/></query></iq>"
    ));
    for n in 0..2_000 {
        stage.says(&format!("<presence from='montague{n}@elsewhere.net/x' to='{GATEWAY}'/>"));
    }
    stage.wait(60);
    stage.stanza(iq("1"));
}
