//! Contacts and the user's roster.

use super::*;

/// The XMPP server lets us read and write rosters.
fn privileged() -> (Stage, Link) {
    let mut stage = Stage::new();
    stage.says(&format!(
        "<message from='example.org' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'>\
         <perm access='roster' type='both'/></privilege></message>"
    ));
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let get = stage.stanza(|s| s.find("query", ns::ROSTER).is_some());
    assert_eq!(get.attr("to"), Some("romeo@example.org"));
    stage.says(&format!(
        "<iq type='result' from='romeo@example.org' to='{GATEWAY}' id='{}'><query xmlns='jabber:iq:roster'>\
         <item jid='juliet@example.org' subscription='both'/></query></iq>",
        get.attr("id").unwrap()
    ));
    stage.stanzas.clear();
    (stage, link)
}

fn roster_set(stage: &mut Stage) -> Element {
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
