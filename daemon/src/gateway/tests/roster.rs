//! Contacts and the user's roster.

use super::*;

/// The XMPP server says what it lets us do with rosters.
pub(super) fn grant(stage: &mut Stage, kind: &str) {
    stage.says(&format!(
        "<message from='example.org' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'>\
         <perm access='roster' type='{kind}'/></privilege></message>"
    ));
}

/// The XMPP server shows Romeo's roster, which has nobody of ours in it.
pub(super) fn shown(stage: &mut Stage, asked: &Element) {
    assert_eq!(asked.attr("to"), Some("romeo@example.org"));
    stage.says(&format!(
        "<iq type='result' from='romeo@example.org' to='{GATEWAY}' id='{}'><query xmlns='jabber:iq:roster'>\
         <item jid='juliet@example.org' subscription='both'/></query></iq>",
        asked.attr("id").unwrap()
    ));
}

/// The XMPP server lets us do this much with rosters, and Romeo has just logged in: he and what his server was asked.
fn logged_in_with_leave_to(kind: &str) -> (Stage, Link, Element) {
    let mut stage = Stage::new();
    grant(&mut stage, kind);
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let asked = stage.stanza(|s| s.find("query", ns::ROSTER).is_some());
    (stage, link, asked)
}

/// The XMPP server lets us read and write rosters, and has shown Romeo's.
pub(super) fn privileged() -> (Stage, Link) {
    let (mut stage, link, asked) = logged_in_with_leave_to("both");
    shown(&mut stage, &asked);
    stage.stanzas.clear();
    (stage, link)
}

pub(super) fn roster_set(stage: &mut Stage) -> Element {
    stage.stanza(|s| {
        s.name() == "iq" && s.attr("type") == Some("set") && s.find("query", ns::ROSTER).is_some()
    })
}

fn item(iq: &Element) -> &Element {
    iq.find("query", ns::ROSTER).and_then(|query| query.elements().next()).expect("an item")
}

#[test]
fn with_leave_contacts_are_put_into_the_roster() {
    let (mut stage, link) = privileged();
    stage.buddy(link, "nurse", "Angelica", StatusType::Online);
    stage.stanza(presence_from("nurse@irc.example.org/bot", None));
    stage.wait(2);
    let set = roster_set(&mut stage);
    let nurse = item(&set);
    assert_eq!((nurse.attr("jid"), nurse.attr("name")), (Some("nurse@irc.example.org"), Some("Angelica")));
    assert_eq!(nurse.attr("subscription"), Some("both"));
    assert_eq!(nurse.child_text("group", ns::ROSTER).as_deref(), Some("Capulets"));
    stage.says(&format!(
        "<iq type='result' from='romeo@example.org' to='{GATEWAY}' id='{}'/>",
        set.attr("id").unwrap()
    ));
    stage.stanza(presence_from("nurse@irc.example.org/bot", None));
    stage.wait(5);
    stage.silence();
    assert!(stage.database.values().next().unwrap().contacts[0].subscribed);

    stage.buddy(link, "nurse", "Angelica of Verona", StatusType::Online);
    stage.wait(2);
    let set = roster_set(&mut stage);
    assert_eq!(item(&set).attr("name"), Some("Angelica of Verona"));
    stage.network(
        link,
        Frame::BuddyRemoved(Buddy {
            user_name: "romeo@example.org".into(),
            buddy_name: "nurse".into(),
            ..Default::default()
        }),
    );
    let set = roster_set(&mut stage);
    assert_eq!(item(&set).attr("subscription"), Some("remove"));
}

#[test]
fn a_server_that_breaks_down_at_a_roster_set_leaves_it_to_the_user() {
    let (mut stage, link) = privileged();
    stage.buddy(link, "nurse", "Angelica", StatusType::Online);
    stage.wait(2);
    let set = roster_set(&mut stage);
    stage.says(&format!(
        "<iq type='error' from='romeo@example.org' to='{GATEWAY}' id='{}'><error type='wait'>\
         <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        set.attr("id").unwrap()
    ));
    stage.wait(60);
    stage.stanza(presence_from("nurse@irc.example.org", Some("subscribe")));
}

#[test]
fn a_client_that_came_before_the_registration_is_asked_what_it_can_do() {
    let mut stage = Stage::new();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.says(&format!(
        "<iq type='set' id='reg' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'>\
         <username>romeo</username><password>secret</password></query></iq>"
    ));
    let asked = stage.stanza(|s| s.find("query", ns::DISCO_INFO).is_some());
    assert_eq!(asked.attr("to"), Some(ROMEO));
}

#[test]
fn a_rename_in_the_roster_goes_to_the_network() {
    let (mut stage, link) = privileged();
    stage.buddy(link, "nurse", "Angelica", StatusType::Online);
    stage.frames.clear();
    stage.says(&format!(
        "<iq type='set' id='push' from='romeo@example.org' to='{GATEWAY}'><query xmlns='jabber:iq:roster'>\
         <item jid='nurse@irc.example.org' name='Nanny' subscription='both'><group>House</group></item></query></iq>"
    ));
    assert_eq!(stage.stanza(iq("push")).attr("type"), Some("result"));
    let (_, buddy) = stage.frame(|frame| match frame {
        Frame::BuddyChanged(buddy) => Some(buddy.clone()),
        _ => None,
    });
    assert_eq!((buddy.alias.as_deref(), buddy.groups), (Some("Nanny"), vec!["House".to_owned()]));
    // Nobody but the server may push.
    stage.says(&format!(
        "<iq type='set' id='push' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:roster'>\
         <item jid='nurse@irc.example.org' name='Witch'/></query></iq>"
    ));
    assert_eq!(stage.stanza(iq("push")).attr("type"), Some("error"));
}

#[test]
fn a_client_that_can_is_offered_all_at_once() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let asked = stage.stanza(|s| s.find("query", ns::DISCO_INFO).is_some());
    stage.says(&format!(
        "<iq type='result' from='{ROMEO}' to='{GATEWAY}' id='{}'><query xmlns='{}'><identity category='client' type='pc'/>\
         <feature var='http://jabber.org/protocol/rosterx'/></query></iq>",
        asked.attr("id").unwrap(), ns::DISCO_INFO
    ));
    stage.no_roster_rights();
    stage.stanzas.clear();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.buddy(link, "peter", "Peter", StatusType::None);
    stage.wait(3);
    let exchange = stage.stanza(|s| s.find("x", ns::ROSTERX).is_some());
    assert_eq!(exchange.attr("to"), Some(ROMEO));
    let items: Vec<_> =
        exchange.find("x", ns::ROSTERX).unwrap().elements().filter_map(|i| i.attr("jid")).collect();
    assert_eq!(items, ["nurse@irc.example.org", "peter@irc.example.org"]);
    stage.wait(60);
    assert!(!stage.stanzas.iter().any(|s| s.find("x", ns::ROSTERX).is_some()), "once is enough");
}

#[test]
fn others_are_asked_for_subscriptions_slowly_and_never_twice() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    for n in 0..20 {
        stage.buddy(link, &format!("friend{n}"), "", StatusType::None);
    }
    let requests =
        |stage: &Stage| stage.stanzas.iter().filter(|s| s.attr("type") == Some("subscribe")).count();
    stage.wait(2);
    assert!(requests(&stage) < 10, "{}", requests(&stage));
    stage.wait(60);
    assert_eq!(requests(&stage), 20);

    stage.says("<presence type='subscribed' from='romeo@example.org' to='friend1@irc.example.org'/>");
    stage.says("<presence type='unsubscribed' from='romeo@example.org' to='friend2@irc.example.org'/>");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    stage.wait(120);
    stage.stanzas.clear();
    stage.frames.clear();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.no_roster_rights();
    for n in [1, 2, 3] {
        stage.buddy(link, &format!("friend{n}"), "", StatusType::Online);
    }
    stage.wait(60);
    let asked: Vec<_> = stage
        .stanzas
        .iter()
        .filter(|s| s.attr("type") == Some("subscribe"))
        .filter_map(|s| s.attr("from"))
        .collect();
    assert_eq!(asked, ["friend3@irc.example.org"]);
    assert!(
        !stage.stanzas.iter().any(|s| s.attr("from") == Some("friend2@irc.example.org/bot")),
        "nor shown if refused"
    );
}

#[test]
fn the_user_adds_and_removes_a_contact() {
    let mut stage = Stage::with("enable_remove_buddy=1\n", OURS);
    let link = stage.romeo_online();
    stage.says("<presence type='subscribe' from='romeo@example.org' to='peter@irc.example.org'/>");
    let (_, buddy) = stage.frame(|frame| match frame {
        Frame::BuddyChanged(buddy) => Some(buddy.clone()),
        _ => None,
    });
    assert_eq!((buddy.buddy_name.as_str(), buddy.blocked), ("peter", None));
    stage.stanza(presence_from("peter@irc.example.org", Some("subscribed")));
    stage.stanza(presence_from("peter@irc.example.org", Some("subscribe")));
    stage.buddy(link, "peter", "", StatusType::Online);
    stage.stanza(presence_from("peter@irc.example.org/bot", None));
    stage.wait(10);
    assert_eq!(stage.database.values().next().unwrap().contacts.len(), 1);

    stage.says("<presence type='unsubscribe' from='romeo@example.org' to='peter@irc.example.org'/>");
    stage.says("<presence type='unsubscribed' from='romeo@example.org' to='peter@irc.example.org'/>");
    stage.frame(|frame| matches!(frame, Frame::BuddyRemoved(_)).then_some(()));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::BuddyRemoved(_))), "once");
    assert!(stage.database.values().next().unwrap().contacts.is_empty());
}

#[test]
fn a_removed_contact_that_the_network_keeps_does_not_come_back() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "paris", "", StatusType::Online);
    stage.says("<presence type='unsubscribe' from='romeo@example.org' to='paris@irc.example.org'/>");
    stage.says("<presence type='unsubscribed' from='romeo@example.org' to='paris@irc.example.org'/>");
    stage.wait(5);
    stage.stanzas.clear();
    stage.buddy(link, "paris", "Count Paris", StatusType::Away);
    stage.wait(60);
    stage.silence();
}

#[test]
fn strangers_ask_and_are_answered() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let ask = |name: &str| Buddy {
        user_name: "romeo@example.org".into(),
        buddy_name: name.into(),
        alias: Some("Count".into()),
        ..Default::default()
    };
    stage.network(link, Frame::AuthRequest(ask("Paris")));
    stage.network(link, Frame::AuthRequest(ask("Tybalt")));
    let request = stage.stanza(presence_from("paris@irc.example.org", Some("subscribe")));
    assert_eq!(request.child_text("nick", ns::NICK).as_deref(), Some("Count"));
    stage.says("<presence type='subscribed' from='romeo@example.org' to='paris@irc.example.org'/>");
    stage.says("<presence type='unsubscribed' from='romeo@example.org' to='tybalt@irc.example.org'/>");
    let (_, granted) = stage.frame(|frame| match frame {
        Frame::BuddyChanged(buddy) => Some(buddy.buddy_name.clone()),
        _ => None,
    });
    let (_, denied) = stage.frame(|frame| match frame {
        Frame::BuddyRemoved(buddy) => Some(buddy.buddy_name.clone()),
        _ => None,
    });
    assert_eq!((granted.as_str(), denied.as_str()), ("Paris", "Tybalt"), "in the network's own spelling");
}

#[test]
fn contacts_are_limited() {
    let mut stage = Stage::with("max_contacts=3\n", OURS);
    let link = stage.romeo_online();
    for n in 0..5 {
        stage.buddy(link, &format!("friend{n}"), "", StatusType::Online);
    }
    assert_eq!(stage.stanzas.iter().filter(|s| s.name() == "presence").count(), 3);
}

#[test]
fn the_users_own_name_is_no_contact() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "Romeo", "", StatusType::Online);
    stage.silence();
}

#[test]
fn stored_contacts_are_known_after_a_restart() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    let contact = StoredContact {
        legacy_name: "Nurse".into(),
        alias: "Angelica".into(),
        groups: vec!["Capulets".into()],
        subscribed: true,
        flags: 2,
        icon_hash: "abc".into(),
    };
    stage.database.values_mut().next().unwrap().contacts.push(contact);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.no_roster_rights();
    stage.stanzas.clear();
    let only_status = Buddy {
        user_name: "romeo@example.org".into(),
        buddy_name: "nurse".into(),
        status: Some(StatusType::Online.into()),
        ..Default::default()
    };
    stage.network(link, Frame::BuddyChanged(only_status));
    let shown = stage.only_stanza();
    let photo = shown.find("x", ns::VCARD_UPDATE).and_then(|x| x.child_text("photo", ns::VCARD_UPDATE));
    assert_eq!(photo.as_deref(), Some("abc"), "what is not said is unchanged");
    stage.wait(30);
    stage.silence();
}

#[test]
fn a_server_that_lets_us_only_read_is_not_written_to_for_ever() {
    let (mut stage, link, asked) = logged_in_with_leave_to("get");
    shown(&mut stage, &asked);
    stage.no_roster_rights();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.wait(60);
    assert!(!stage.stanzas.iter().any(|s| s.attr("type") == Some("set")), "to read is not to write");
    stage.stanza(presence_from("nurse@irc.example.org", Some("subscribe")));
}

#[test]
fn a_server_that_takes_no_items_is_not_asked_again() {
    let (mut stage, link) = privileged();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.no_roster_rights();
    stage.wait(2);
    let set = roster_set(&mut stage);
    stage.says(&format!(
        "<iq type='error' from='romeo@example.org' to='{GATEWAY}' id='{}'><error type='auth'>\
         <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        set.attr("id").unwrap()
    ));
    stage.wait(60);
    assert!(!stage.stanzas.iter().any(|s| s.attr("type") == Some("set")));
    stage.stanza(presence_from("nurse@irc.example.org", Some("subscribe")));
}

#[test]
fn privileges_of_strange_servers_do_not_fill_memory() {
    let mut stage = Stage::new();
    for n in 0..2_000 {
        stage.says(&format!(
            "<message from='verona{n}.example' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'>\
             <perm access='roster' type='both'/></privilege></message>"
        ));
    }
    assert_eq!(stage.gateway.cx.privileges.len(), crate::gateway::DOMAINS);
}

#[test]
fn roster_pushes_do_not_fill_memory() {
    let mut stage = Stage::with("max_contacts=10\n", OURS);
    stage.romeo_online();
    for n in 0..1_000 {
        stage.says(&format!(
            "<iq type='set' id='{n}' from='romeo@example.org' to='{GATEWAY}'><query xmlns='jabber:iq:roster'>\
             <item jid='montague{n}@irc.example.org' subscription='both'/></query></iq>"
        ));
        assert_eq!(stage.only_stanza().attr("type"), Some("result"));
    }
    let added = stage.frames.iter().filter(|(_, frame)| matches!(frame, Frame::BuddyChanged(_))).count();
    assert_eq!(added, 10);
    let mut written = Vec::new();
    ciborium::into_writer(&stage.gateway, &mut written).expect("the core is plain data");
    assert!(written.len() < 20_000, "{} bytes", written.len());
}

#[test]
fn a_contact_that_a_client_puts_into_the_roster_goes_to_the_network() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!(
        "<iq type='set' id='push' from='romeo@example.org' to='{GATEWAY}'><query xmlns='jabber:iq:roster'>\
         <item jid='paris@irc.example.org' subscription='both'/></query></iq>"
    ));
    let (_, added) = stage.frame(|frame| match frame {
        Frame::BuddyChanged(buddy) => Some(buddy.buddy_name.clone()),
        _ => None,
    });
    assert_eq!(added, "paris");
}

#[test]
fn a_group_that_the_network_names_twice_is_one_group() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let buddy = Buddy {
        user_name: "romeo@example.org".into(),
        buddy_name: "nurse".into(),
        groups: vec!["House".into(), "Capulets".into(), "House".into()],
        status: Some(StatusType::None.into()),
        ..Default::default()
    };
    stage.network(link, Frame::BuddyChanged(buddy));
    stage.wait(5);
    assert_eq!(stage.database.values().next().unwrap().contacts[0].groups, ["Capulets", "House"]);
}

#[test]
fn who_lies_about_capabilities_speaks_only_for_himself() {
    const CAPS: &str =
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://client.example' ver='AAAA'/>";
    let mut stage = Stage::new();
    stage.registered("tybalt@elsewhere.net", "tybalt");
    stage.says(&format!("<presence from='tybalt@elsewhere.net/x' to='{GATEWAY}'>{CAPS}</presence>"));
    let asked = stage.stanza(|s| s.find("query", ns::DISCO_INFO).is_some());
    stage.says(&format!(
        "<iq type='result' from='tybalt@elsewhere.net/x' to='{GATEWAY}' id='{}'><query xmlns='{}'>\
         <feature var='http://jabber.org/protocol/rosterx'/></query></iq>",
        asked.attr("id").unwrap(),
        ns::DISCO_INFO
    ));
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'>{CAPS}</presence>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.no_roster_rights();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.wait(60);
    assert!(!stage.stanzas.iter().any(|s| s.find("x", ns::ROSTERX).is_some()));
    stage.stanza(presence_from("nurse@irc.example.org", Some("subscribe")));
}

#[test]
fn a_contact_is_offered_once_and_not_in_each_session() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    let mut offers = 0;
    for _ in 0..3 {
        stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
        let asked = stage.stanza(|s| s.find("query", ns::DISCO_INFO).is_some());
        stage.says(&format!(
            "<iq type='result' from='{ROMEO}' to='{GATEWAY}' id='{}'><query xmlns='{}'>\
             <feature var='http://jabber.org/protocol/rosterx'/></query></iq>",
            asked.attr("id").unwrap(),
            ns::DISCO_INFO
        ));
        stage.no_roster_rights();
        let (link, _) = stage.login_of("romeo@example.org");
        stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
        stage.buddy(link, "nurse", "Nurse", StatusType::Online);
        stage.wait(10);
        offers += stage.stanzas.iter().filter(|s| s.find("x", ns::ROSTERX).is_some()).count();
        // He closes the question of his client, goes, and is forgotten here.
        stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
        stage.wait(120);
        stage.stanzas.clear();
        stage.frames.clear();
    }
    assert_eq!(offers, 1);
}

#[test]
fn a_strangers_answer_waits_for_the_next_login() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let paris =
        Buddy { user_name: "romeo@example.org".into(), buddy_name: "Paris".into(), ..Default::default() };
    stage.network(link, Frame::AuthRequest(paris));
    let lost = Disconnected { user: "romeo@example.org".into(), error: 0, message: None };
    stage.network(link, Frame::Disconnected(lost));
    stage.says("<presence type='subscribed' from='romeo@example.org' to='paris@irc.example.org'/>");
    stage.wait(5);
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let (_, granted) = stage.frame(|frame| match frame {
        Frame::BuddyChanged(buddy) => Some(buddy.buddy_name.clone()),
        _ => None,
    });
    assert_eq!(granted, "Paris");
}

#[test]
fn a_removal_is_stored_before_the_user_is_forgotten() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    let nurse = StoredContact {
        legacy_name: "nurse".into(),
        alias: String::new(),
        groups: vec![],
        subscribed: true,
        flags: 2,
        icon_hash: String::new(),
    };
    stage.database.values_mut().next().unwrap().contacts.push(nurse);
    stage.says(&format!(
        "<iq type='get' id='1' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:register'/></iq>"
    ));
    // A minute after he was read he is forgotten; what he does shortly before counts.
    stage.wait(59);
    stage.says("<presence type='unsubscribe' from='romeo@example.org' to='nurse@irc.example.org'/>");
    stage.wait(10);
    assert!(stage.gateway.users.is_empty());
    let nurse = &stage.database.values().next().unwrap().contacts[0];
    assert_eq!((nurse.subscribed, nurse.flags & 4), (false, 4), "never to be asked for again");
}

#[test]
fn who_has_nothing_to_do_with_us_and_denies_is_not_answered() {
    let mut stage = Stage::new();
    stage.says("<presence type='unsubscribed' from='paris@example.org' to='nurse@irc.example.org'/>");
    stage.silence();
}
