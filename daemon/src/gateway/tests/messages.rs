//! One-to-one messages.

use super::*;

fn to_nurse(stage: &mut Stage, id: &str, content: &str) {
    stage.says(&format!(
        "<message from='{ROMEO}' to='nurse@irc.example.org' type='chat' id='{id}'>{content}</message>"
    ));
}

fn result(serial: u64, error: Option<(i32, &str)>) -> Frame {
    Frame::Result(MessageResult {
        user_name: "romeo@example.org".into(),
        serial,
        error: error.map(|(number, _)| number),
        text: error.map(|(_, text)| text.into()),
        denied: None,
        names: Vec::new(),
    })
}

fn from_nurse(text: &str) -> ConversationMessage {
    ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "nurse".into(),
        message: text.into(),
        ..Default::default()
    }
}

#[test]
fn a_message_goes_to_the_network() {
    let mut stage = Stage::new();
    stage.romeo_online();
    let text = "Guten Tag, Amme — 你好 🙂 &amp; &lt;b&gt;".to_owned() + &"ä".repeat(2_000);
    to_nurse(&mut stage, "1", &format!("<body>{text}</body><request xmlns='urn:xmpp:receipts'/>"));
    let (_, message) = stage.conversation();
    assert_eq!(message.buddy_name, "nurse");
    assert_eq!(message.message, text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"));
    assert_eq!(message.id.as_deref(), Some("1"));
    assert!(message.serial.is_some());
    stage.silence();
}

#[test]
fn the_network_does_not_take_a_message_and_its_sender_learns_why() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    to_nurse(&mut stage, "1", "<body>one</body>");
    to_nurse(&mut stage, "2", "<body>two</body>");
    let serials = [stage.conversation().1.serial.unwrap(), stage.conversation().1.serial.unwrap()];
    stage.network(link, result(serials[1], Some((1, "No such nick"))));
    stage.network(link, result(serials[0], None));
    let error = stage.only_stanza();
    assert_eq!(
        (error.attr("id"), error.attr("type"), error.attr("to")),
        (Some("2"), Some("error"), Some(ROMEO))
    );
    assert_eq!(error.attr("from"), Some("nurse@irc.example.org"));
    assert!(error.to_xml().contains("No such nick"));
}

#[test]
fn what_is_said_during_the_login_is_sent_after_it() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    to_nurse(&mut stage, "1", "<body>are you there?</body>");
    to_nurse(&mut stage, "2", "<body>hello?</body>");
    let (link, _) = stage.login_of("romeo@example.org");
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::ConvMessage(_))));
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    assert_eq!(stage.conversation().1.message, "are you there?");
    assert_eq!(stage.conversation().1.message, "hello?");
}

#[test]
fn without_a_login_the_sender_gets_an_error() {
    let mut stage = Stage::new();
    to_nurse(&mut stage, "1", "<body>hello</body>");
    assert_eq!(condition(&stage.only_stanza()), Some("registration-required"));
    stage.registered("juliet@example.org", "juliet");
    stage.says(
        "<message from='juliet@example.org/x' to='nurse@irc.example.org' id='2'><body>hello</body></message>",
    );
    assert_eq!(condition(&stage.only_stanza()), Some("recipient-unavailable"));
}

#[test]
fn a_login_that_fails_gives_messages_back() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    to_nurse(&mut stage, "1", "<body>are you there?</body>");
    let (link, _) = stage.login_of("romeo@example.org");
    stage.stanzas.clear();
    let refused =
        Disconnected { user: "romeo@example.org".into(), error: 2, message: Some("Bad password.".into()) };
    stage.network(link, Frame::Disconnected(refused));
    let told = stage.stanza(message_from(GATEWAY));
    assert!(told.child_text("body", ns::CLIENT).unwrap().contains("Bad password"));
    assert_eq!(told.find("spectrumerror", ns::SPECTRUM_ERROR).and_then(|e| e.attr("error")), Some("2"));
    let back = stage.stanza(message_from("nurse@irc.example.org"));
    assert_eq!((back.attr("id"), condition(&back)), (Some("1"), Some("recipient-unavailable")));
}

#[test]
fn too_many_messages_are_refused_not_kept() {
    let mut stage = Stage::new();
    stage.romeo_online();
    for n in 0..510 {
        to_nurse(&mut stage, &n.to_string(), "<body>x</body>");
    }
    let refused = stage.stanzas.iter().filter(|s| condition(s) == Some("resource-constraint")).count();
    let sent = stage.frames.iter().filter(|(_, frame)| matches!(frame, Frame::ConvMessage(_))).count();
    assert_eq!((sent, refused), (500, 10));
}

#[test]
fn a_backend_of_spectrum_2_does_not_acknowledge() {
    let mut stage = Stage::with("", THEIRS);
    stage.romeo_online();
    for n in 0..1_000 {
        to_nurse(&mut stage, &n.to_string(), "<body>x</body>");
    }
    assert_eq!(stage.conversation().1.serial, None);
    stage.silence();
}

#[test]
fn a_busy_backend_takes_no_more() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.event(Event::BackendBusy(link));
    to_nurse(&mut stage, "1", "<body>x</body>");
    assert_eq!(condition(&stage.only_stanza()), Some("resource-constraint"));
    stage.event(Event::BackendReady(link));
    to_nurse(&mut stage, "2", "<body>y</body>");
    assert_eq!(stage.conversation().1.message, "y");
}

#[test]
fn chat_states_attention_and_subjects() {
    let mut stage = Stage::new();
    stage.romeo_online();
    for (state, expected) in [("composing", 18), ("paused", 20), ("active", 19)] {
        to_nurse(&mut stage, "1", &format!("<{state} xmlns='{}'/>", ns::CHATSTATES));
        assert_eq!(stage.frames.pop().map(|(_, frame)| frame.number()), Some(expected));
    }
    to_nurse(&mut stage, "1", &format!("<gone xmlns='{}'/>", ns::CHATSTATES));
    assert!(stage.frames.is_empty());
    to_nurse(&mut stage, "1", &format!("<attention xmlns='{}'/>", ns::ATTENTION));
    stage.frame(|frame| matches!(frame, Frame::Attention(_)).then_some(()));
    to_nurse(&mut stage, "1", "<subject>Tonight</subject><body>at the orchard</body>");
    assert_eq!(stage.conversation().1.message, "Tonight\nat the orchard");
    stage.silence();
}

#[test]
fn formatted_text_goes_whole() {
    let mut stage = Stage::new();
    stage.romeo_online();
    to_nurse(
        &mut stage,
        "1",
        "<body>a b c</body><html xmlns='http://jabber.org/protocol/xhtml-im'>\
         <body xmlns='http://www.w3.org/1999/xhtml'>a <em>b</em> <strong>c</strong></body></html>",
    );
    assert_eq!(stage.conversation().1.xhtml.as_deref(), Some("a <em>b</em> <strong>c</strong>"));
}

#[test]
fn a_message_comes_from_the_network() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let message = ConversationMessage {
        xhtml: Some("<b>a & b<script>x</script>".into()),
        timestamp: Some("20261121T101112".into()),
        ..from_nurse("a & b \u{1}")
    };
    stage.network(link, Frame::ConvMessage(message));
    let stanza = stage.only_stanza();
    assert_eq!(stanza.attr("from"), Some("nurse@irc.example.org/bot"));
    assert_eq!((stanza.attr("to"), stanza.attr("type")), (Some("romeo@example.org"), Some("chat")));
    assert!(stanza.attr("id").is_some());
    assert_eq!(
        stanza.child_text("body", ns::CLIENT).as_deref(),
        Some("a & b "),
        "what XML forbids is left out"
    );
    assert!(stanza.find("html", ns::XHTML_IM).is_some());
    assert_eq!(stanza.find("delay", ns::DELAY).and_then(|d| d.attr("stamp")), Some("2026-11-21T10:11:12Z"));
}

#[test]
fn what_backends_said_before_the_end_still_arrives() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.answering = false;
    stage.stanzas.clear();
    stage.event(Event::Stop);
    assert!(stage.frames.iter().all(|(_, frame)| !matches!(frame, Frame::Logout(_))));
    stage.network(link, Frame::ConvMessage(from_nurse("Anon, good nurse!")));
    stage.stanza(message_from("nurse@irc.example.org/bot"));
    assert!(!stage.stopped);
    stage.event(Event::Frame(link, Frame::Pong));
    assert!(stage.stopped && stage.closed.contains(&link));
}

/// A ping is under way when the end begins: its answer says nothing of what comes behind it.
#[test]
fn the_answer_to_an_earlier_ping_is_not_the_last_word() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.answering = false;
    stage.wait(20);
    stage.event(Event::Stop);
    stage.event(Event::Frame(link, Frame::Pong));
    assert!(!stage.stopped);
    stage.stanzas.clear();
    stage.network(link, Frame::ConvMessage(from_nurse("Anon, good nurse!")));
    stage.stanza(message_from("nurse@irc.example.org/bot"));
    stage.event(Event::Frame(link, Frame::Pong));
    assert!(stage.stopped && stage.closed.contains(&link));
}

#[test]
fn strangers_and_escaped_names_have_addresses() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let message = ConversationMessage { buddy_name: "Paris@example.net".into(), ..from_nurse("hello") };
    stage.network(link, Frame::ConvMessage(message));
    assert_eq!(stage.only_stanza().attr("from"), Some(r"paris\40example.net@irc.example.org/bot"));
    stage.says(&format!(
        r"<message from='{ROMEO}' to='paris\40example.net@irc.example.org'><body>hello</body></message>"
    ));
    assert_eq!(stage.conversation().1.buddy_name, "paris@example.net");
}

#[test]
fn a_known_name_keeps_its_letter_case() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "Nurse", "", StatusType::Online);
    to_nurse(&mut stage, "1", "<body>x</body>");
    assert_eq!(stage.conversation().1.buddy_name, "Nurse");
}

#[test]
fn pictures_take_the_place_of_the_text_or_stand_alone() {
    let xhtml = "see <img src='https://example.org/1.png' alt=''/> there";
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.network(
        link,
        Frame::ConvMessage(ConversationMessage { xhtml: Some(xhtml.into()), ..from_nurse("see there") }),
    );
    let stanza = stage.only_stanza();
    assert_eq!(stanza.child_text("body", ns::CLIENT).as_deref(), Some("https://example.org/1.png"));
    assert!(stanza.find("x", ns::OOB).is_some());

    let mut stage = Stage::with("oob_split=1\n", OURS);
    let link = stage.romeo_online();
    stage.network(
        link,
        Frame::ConvMessage(ConversationMessage { xhtml: Some(xhtml.into()), ..from_nurse("see there") }),
    );
    let bodies: Vec<_> = stage.stanzas.iter().filter_map(|s| s.child_text("body", ns::CLIENT)).collect();
    assert_eq!(bodies, ["see", "https://example.org/1.png", "there"]);
}

#[test]
fn typing_receipts_and_attention_come_from_the_network() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let buddy = |name: &str| Buddy {
        user_name: "romeo@example.org".into(),
        buddy_name: name.into(),
        ..Default::default()
    };
    stage.network(link, Frame::BuddyStoppedTyping(buddy("nurse")));
    stage.silence();
    stage.buddy(link, "nurse", "", StatusType::Online);
    stage.stanzas.clear();
    stage.network(link, Frame::BuddyTyping(buddy("nurse")));
    assert!(stage.only_stanza().find("composing", ns::CHATSTATES).is_some());
    stage
        .network(link, Frame::ConvMessageAck(ConversationMessage { id: Some("7".into()), ..from_nurse("") }));
    assert_eq!(stage.only_stanza().find("received", ns::RECEIPTS).and_then(|r| r.attr("id")), Some("7"));
    stage.network(link, Frame::Attention(from_nurse("")));
    assert!(stage.only_stanza().find("attention", ns::ATTENTION).is_some());
}

#[test]
fn own_messages_from_elsewhere_need_the_servers_leave() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let mine = ConversationMessage { carbon: Some(true), ..from_nurse("from my phone") };
    stage.network(link, Frame::ConvMessage(mine.clone()));
    stage.silence();
    stage.says(&format!(
        "<message from='example.org' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'>\
         <perm access='message' type='outgoing'/></privilege></message>"
    ));
    stage.network(link, Frame::ConvMessage(mine));
    let wrapped = stage.only_stanza();
    assert_eq!(wrapped.attr("to"), Some("example.org"));
    let privilege = wrapped.find("privilege", ns::PRIVILEGE_2).expect("XEP-0356");
    let inner = privilege.elements().next().and_then(|f| f.elements().next()).expect("the message");
    assert_eq!(
        (inner.attr("from"), inner.attr("to")),
        (Some("romeo@example.org"), Some("nurse@irc.example.org"))
    );
    // The server routes it to us, as it would have routed one that he sent himself.
    let back = inner.to_xml();
    stage.event(Event::Stanza(Element::parse(&back).unwrap()));
    assert!(
        !stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::ConvMessage(_))),
        "it is not sent again"
    );
}

#[test]
fn what_was_kept_survives_a_new_password() {
    let mut stage = Stage::new();
    stage.romeo_online();
    to_nurse(&mut stage, "1", "<body>are you there?</body>");
    stage.conversation();
    stage.says(&format!(
        "<iq type='set' id='reg' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'>\
         <username>romeo</username><password>rosaline</password></query></iq>"
    ));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    assert_eq!(stage.conversation().1.message, "are you there?");
}

#[test]
fn a_message_without_a_word_from_the_network_goes_back_in_time() {
    let mut stage = Stage::new();
    stage.romeo_online();
    to_nurse(&mut stage, "1", "<body>are you there?</body>");
    stage.wait(86_400);
    let back = stage.stanza(message_from("nurse@irc.example.org"));
    assert_eq!(
        (back.attr("id"), back.attr("type"), back.attr("to")),
        (Some("1"), Some("error"), Some(ROMEO))
    );
}

#[test]
fn long_messages_are_refused_before_memory_is_full() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let lost = Disconnected { user: "romeo@example.org".into(), error: 0, message: None };
    stage.network(link, Frame::Disconnected(lost));
    let body = format!("<body>{}</body>", "x".repeat(200_000));
    for n in 0..20 {
        to_nurse(&mut stage, &n.to_string(), &body);
    }
    let refused = stage.stanzas.iter().filter(|s| condition(s) == Some("resource-constraint")).count();
    assert!((10..20).contains(&refused), "{refused}");
}

#[test]
fn what_is_for_a_room_is_not_told_to_one_person() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!(
        "<message type='groupchat' id='1' from='{ROMEO}' to='#verona%irc.net@irc.example.org'><body>hi</body></message>"
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("not-acceptable"));
    assert!(stage.frames.is_empty(), "{:?}", stage.frames);
}

#[test]
fn a_long_text_comes_in_parts_and_whole() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let text = "ä".repeat(50_000);
    stage.network(link, Frame::ConvMessage(from_nurse(&text)));
    let parts: Vec<_> = stage.stanzas.iter().filter_map(|s| s.child_text("body", ns::CLIENT)).collect();
    assert!(parts.len() > 1);
    assert_eq!(parts.concat(), text);
}

#[test]
fn no_text_makes_a_stanza_that_servers_do_not_take() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.network(link, Frame::ConvMessage(from_nurse(&"x".repeat(4 << 20))));
    let longest = stage.stanzas.iter().map(|s| s.to_xml().len()).max();
    assert!(longest.is_some_and(|longest| longest < 64 << 10), "{longest:?}");
}

#[test]
fn a_name_that_looks_like_a_contacts_is_not_taken_for_it() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "juliet", "Juliet", StatusType::Online);
    stage.stanzas.clear();
    // A fullwidth letter, which XMPP folds to the plain one.
    let name = "\u{ff4a}uliet";
    let message = ConversationMessage { buddy_name: name.into(), ..from_nurse("send me your password") };
    stage.network(link, Frame::ConvMessage(message));
    let told = stage.only_stanza();
    assert_eq!(told.attr("from"), Some(GATEWAY));
    let text = told.child_text("body", ns::CLIENT).unwrap();
    assert!(text.contains(name) && text.contains("send me your password"), "{text}");
}

#[test]
fn what_xml_forbids_is_left_out_wherever_a_network_says_it() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let odd = "a\u{1}\u{b}\u{fffe}\u{0}]]>b".to_owned();
    let buddy = |name: &str| Buddy {
        user_name: "romeo@example.org".into(),
        buddy_name: name.into(),
        alias: Some(odd.clone()),
        groups: vec![odd.clone()],
        status: Some(StatusType::Online.into()),
        status_message: Some(odd.clone()),
        icon_hash: Some(odd.clone()),
        blocked: None,
    };
    let attachment = spectrum2_backend_protocol::Attachment {
        url: odd.clone(),
        mime_type: None,
        description: Some(odd.clone()),
    };
    let message = ConversationMessage {
        xhtml: Some(format!("<b>{odd}</b>")),
        id: Some(odd.clone()),
        attachments: vec![attachment],
        ..from_nurse(&odd)
    };
    let refused = Disconnected { user: "romeo@example.org".into(), error: 2, message: Some(odd.clone()) };
    // The stage reads again whatever is sent.
    for frame in [
        Frame::BuddyChanged(buddy("nurse")),
        Frame::AuthRequest(buddy("paris")),
        Frame::ConvMessage(message.clone()),
        Frame::ConvMessageAck(message.clone()),
        Frame::Attention(message),
        Frame::Disconnected(refused),
    ] {
        stage.stanzas.clear();
        let name = frame.name();
        stage.network(link, frame);
        assert!(!stage.stanzas.is_empty(), "{name} is shown");
        stage.wait(10);
    }
}
