//! From the first byte to a bound resource (RFC 6120 §4 to §7).

use super::*;

fn names(features: &Element) -> Vec<&str> {
    features.elements().map(Element::name).collect()
}

#[test]
fn tls_comes_first_where_there_is_a_certificate() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::StartTls);
    let features = stage.opens(client);
    assert_eq!(names(&features), ["starttls"], "no mechanism before TLS");
    stage.says(client, &format!("<starttls xmlns='{}'/>", ns::TLS));
    let sent = stage.takes(client);
    assert!(
        matches!(&sent[..], [client::Action::Send(proceed), client::Action::StartTls] if proceed.is("proceed", ns::TLS))
    );
    stage.event(Event::Client(client, client::Event::Encrypted));
    assert_eq!(names(&stage.opens(client)), ["mechanisms"]);
}

#[test]
fn a_password_in_clear_is_refused_unheard() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::StartTls);
    stage.opens(client);
    stage.authenticates(client, ROMEO, PASSWORD);
    let failure = stage.hears_of(client, |element| element.name() == "failure");
    assert!(failure.find("encryption-required", ns::SASL).is_some());
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))));
}

#[test]
fn the_whole_way_in() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::Plain);
    assert_eq!(names(&stage.opens(client)), ["mechanisms"]);
    stage.authenticates(client, ROMEO, PASSWORD);
    assert!(stage.takes(client).is_empty(), "the network has not answered");
    let (link, login) = stage.login_of(ROMEO_JID);
    assert_eq!((login.legacy_name.as_str(), login.password.as_str()), ("romeo@example.net", PASSWORD));
    stage.network(link, Frame::Connected(Connected { user: ROMEO_JID.into() }));
    let sent = stage.takes(client);
    assert!(
        matches!(&sent[..], [client::Action::Send(success), client::Action::Restart] if success.name() == "success")
    );
    let features = stage.opens(client);
    assert_eq!(names(&features), ["bind", "session", "sm", "csi", "ver"]);
    stage.says(
        client,
        &format!("<iq type='set' id='1'><bind xmlns='{}'><resource>orchard</resource></bind></iq>", ns::BIND),
    );
    let bound = stage.hears_of(client, iq("1"));
    let jid = bound
        .find("bind", ns::BIND)
        .and_then(|bind| bind.child_text("jid", ns::BIND))
        .expect("a JID")
        .into_owned();
    assert_eq!(jid, format!("{ROMEO_JID}/orchard"), "the client's wish is honoured");
    stage.says(client, &format!("<iq type='set' id='2'><session xmlns='{}'/></iq>", ns::SESSION));
    assert_eq!(stage.hears_of(client, iq("2")).attr("type"), Some("result"));
}

#[test]
fn any_protocol_is_part_of_the_name() {
    let mut stage = Stage::with("protocol=any");
    let client = stage.connects(Cover::Encrypted);
    stage.opens(client);
    stage.authenticates(client, "prpl-jabber.romeo%example.net", PASSWORD);
    let (_, login) = stage.login_of("prpl-jabber.romeo%example.net@irc.example.org");
    assert_eq!(login.legacy_name, "prpl-jabber.romeo@example.net");
}

#[test]
fn a_response_may_come_after_the_challenge() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::Encrypted);
    stage.opens(client);
    stage.says(client, &format!("<auth xmlns='{}' mechanism='PLAIN'/>", ns::SASL));
    stage.hears_of(client, |element| element.is("challenge", ns::SASL));
    let plain = STANDARD.encode(format!("{ROMEO_JID}\0{ROMEO}\0{PASSWORD}"));
    stage.says(client, &format!("<response xmlns='{}'>{plain}</response>", ns::SASL));
    stage.lets_in(ROMEO_JID);
    stage.hears_of(client, |element| element.is("success", ns::SASL));
}

#[test]
fn a_negotiation_can_be_aborted_at_any_point() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::Encrypted);
    stage.opens(client);
    stage.says(client, &format!("<auth xmlns='{}' mechanism='PLAIN'/>", ns::SASL));
    stage.says(client, &format!("<abort xmlns='{}'/>", ns::SASL));
    assert!(stage.hears_of(client, |e| e.name() == "failure").find("aborted", ns::SASL).is_some());
    stage.authenticates(client, ROMEO, PASSWORD);
    stage.login_of(ROMEO_JID);
    stage.says(client, &format!("<abort xmlns='{}'/>", ns::SASL));
    assert!(stage.hears_of(client, |e| e.name() == "failure").find("aborted", ns::SASL).is_some());
    // The network is told, too.
    stage.frame(|frame| matches!(frame, Frame::Logout(logout) if logout.user == ROMEO_JID).then_some(()));
    // Before anything was begun.
    stage.says(client, &format!("<abort xmlns='{}'/>", ns::SASL));
    assert!(stage.hears_of(client, |e| e.name() == "failure").find("aborted", ns::SASL).is_some());
    // While the answer to a wrong password is held back, which it still is.
    stage.authenticates(client, ROMEO, "wrong");
    stage.refuses(ROMEO_JID, 2, "");
    stage.says(client, &format!("<abort xmlns='{}'/>", ns::SASL));
    assert!(stage.takes(client).is_empty());
    stage.wait(1);
    assert!(stage.hears_of(client, |e| e.name() == "failure").find("aborted", ns::SASL).is_some());
}

#[test]
fn the_header_says_who_is_who() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::Encrypted);
    stage.piece(client, Piece::Open(header().with("from", format!("{ROMEO_JID}/orchard"))));
    let sent = stage.takes(client);
    let Some(client::Action::Header(ours)) = sent.first() else { panic!("{sent:?}") };
    assert_eq!((ours.attr("from"), ours.attr("to")), (Some(DOMAIN), Some(ROMEO_JID)));
    assert_eq!((ours.attr("version"), ours.attr("xml:lang")), (Some("1.0"), Some("en")));
    // RFC 6120 §4.7.3: each stream has an id of its own; §4.7.2: who says no name is told none.
    let other = stage.connects(Cover::Encrypted);
    stage.piece(other, Piece::Open(header()));
    let sent = stage.takes(other);
    let Some(client::Action::Header(others)) = sent.first() else { panic!("{sent:?}") };
    assert_eq!(others.attr("to"), None);
    assert_ne!(others.attr("id"), ours.attr("id"));
}

#[test]
fn nobody_acts_for_another() {
    let mut stage = Stage::new();
    let client = stage.connects(Cover::Encrypted);
    stage.opens(client);
    let plain = STANDARD.encode(format!("juliet@{DOMAIN}\0{ROMEO}\0{PASSWORD}"));
    stage.says(client, &format!("<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>", ns::SASL));
    assert!(stage.hears_of(client, |e| e.name() == "failure").find("invalid-authzid", ns::SASL).is_some());
    stage.says(client, &format!("<auth xmlns='{}' mechanism='SCRAM-SHA-1'>AAAA</auth>", ns::SASL));
    assert!(stage.hears_of(client, |e| e.name() == "failure").find("invalid-mechanism", ns::SASL).is_some());
}

#[test]
fn headers_that_are_no_good() {
    let odd = [
        (header().with("to", "elsewhere.example.org"), "host-unknown"),
        (header().with("version", "0.9"), "unsupported-version"),
        (Element::new("stream", ns::STREAM).with("to", DOMAIN), "unsupported-version"),
    ];
    for (header, expected) in odd {
        let mut stage = Stage::new();
        let client = stage.connects(Cover::Encrypted);
        stage.piece(client, Piece::Open(header));
        assert!(matches!(stage.sent[&client][0], client::Action::Header(_)), "RFC 6120 §4.9.1.2");
        assert_eq!(stage.closed(client), expected);
    }
}

#[test]
fn what_may_not_be_said_yet() {
    let cases: [(&str, &str); 4] = [
        ("<message to='nurse@irc.example.org'><body>x</body></message>", "not-authorized"),
        ("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>", "not-authorized"),
        ("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AAAA</response>", "policy-violation"),
        ("<r xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
    ];
    for (xml, expected) in cases {
        let mut stage = Stage::new();
        let client = stage.connects(Cover::Encrypted);
        stage.opens(client);
        stage.says(client, xml);
        assert_eq!(stage.closed(client), expected, "{xml}");
    }
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_in();
    stage.says(client, "<presence/>");
    assert_eq!(stage.closed(client), "not-authorized", "before binding");
    let (client, _) = stage.romeo("orchard");
    stage.says(client, "<odd/>");
    assert_eq!(stage.closed(client), "unsupported-stanza-type");
}

#[test]
fn stanzas_that_cannot_be_read_are_answered() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let head = parse("<iq type='set' id='7' to='nurse@irc.example.org'/>");
    stage.piece(client, Piece::TooLarge { head: Some(head) });
    assert_eq!(condition(&stage.hears_of(client, iq("7"))), Some("policy-violation"));
    stage.says(client, "<iq type='get' id='8'/>");
    assert_eq!(condition(&stage.hears_of(client, iq("8"))), Some("bad-request"));
    let stranger = stage.connects(Cover::Encrypted);
    stage.opens(stranger);
    stage.piece(stranger, Piece::TooLarge { head: None });
    assert_eq!(stage.closed(stranger), "policy-violation");
}

#[test]
fn who_binds_nothing_is_sent_away() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_in();
    stage.wait(61);
    assert_eq!(stage.closed(client), "policy-violation");
    assert_eq!(stage.population(), (0, 0));
}

#[test]
fn resources_are_chosen_and_refused() {
    let mut stage = Stage::with("more_resources=1");
    let (client, _) = stage.romeo_in();
    stage.says(
        client,
        &format!(
            "<iq type='set' id='1'><bind xmlns='{}'><resource>{}</resource></bind></iq>",
            ns::BIND,
            "x".repeat(1_024)
        ),
    );
    assert_eq!(condition(&stage.hears_of(client, iq("1"))), Some("bad-request"));
    stage.says(client, &format!("<iq type='set' id='2'><bind xmlns='{}'/></iq>", ns::BIND));
    assert_eq!(stage.hears_of(client, iq("2")).attr("type"), Some("result"));
    for n in 1..20 {
        stage.romeo(&format!("r{n}"));
    }
    let (last, _) = stage.romeo_in();
    stage.says(
        last,
        &format!(
            "<iq type='set' id='3'><bind xmlns='{}'><resource>one more</resource></bind></iq>",
            ns::BIND
        ),
    );
    assert_eq!(condition(&stage.hears_of(last, iq("3"))), Some("resource-constraint"));
}
