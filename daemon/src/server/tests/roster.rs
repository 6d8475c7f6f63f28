//! Rosters and subscriptions (RFC 6121 §2, §3).

use super::*;

fn item(query: &Element) -> Element {
    query.elements().next().expect("an item").clone()
}

fn push(stanza: &Element) -> bool {
    stanza.attr("type") == Some("set") && stanza.find("query", ns::ROSTER).is_some()
}

/// The item of the next roster push.
#[track_caller]
fn pushed(stage: &mut Stage, client: Client) -> Element {
    let push = stage.hears_of(client, push);
    item(push.find("query", ns::ROSTER).expect("a query"))
}

fn roster(stage: &mut Stage, client: Client) -> Element {
    stage.says(client, &format!("<iq type='get' id='roster'><query xmlns='{}' ver=''/></iq>", ns::ROSTER));
    stage.hears_of(client, iq("roster")).find("query", ns::ROSTER).expect("a query").clone()
}

#[test]
fn contacts_of_the_network_come_by_themselves() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo("orchard");
    stage.buddy(link.unwrap(), "nurse", "Nanny", StatusType::Online);
    stage.wait(2);
    let heard = stage.hears(client);
    assert!(
        !heard.iter().any(|stanza| stanza.attr("type") == Some("subscribe")),
        "nobody is asked: {heard:#?}"
    );
    let push = heard.iter().find(|stanza| push(stanza)).expect("a push").clone();
    let item = item(push.find("query", ns::ROSTER).unwrap());
    assert_eq!(
        (item.attr("jid"), item.attr("name"), item.attr("subscription")),
        (Some(NURSE), Some("Nanny"), Some("both"))
    );
    assert_eq!(item.child_text("group", ns::ROSTER).as_deref(), Some("Capulets"));
    let shown = heard.iter().rposition(presence_from("nurse@irc.example.org/bot", None));
    assert!(shown > heard.iter().position(|stanza| stanza == &push), "then her presence");
}

#[test]
fn stored_contacts_are_there_from_the_beginning() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    stage.wait(3);
    stage.piece(client, Piece::Close);
    stage.wait(100);
    assert_eq!(stage.database[&ROMEO_JID.parse::<BareJid>().unwrap()].contacts.len(), 1);
    let (client, _) = stage.romeo_bound("orchard");
    assert_eq!(item(&roster(&mut stage, client)).attr("jid"), Some(NURSE));
}

#[test]
fn versions_save_what_is_known() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    let version = roster(&mut stage, client).attr("ver").expect("a version").to_owned();
    stage
        .says(client, &format!("<iq type='get' id='2'><query xmlns='{}' ver='{version}'/></iq>", ns::ROSTER));
    assert!(stage.hears_of(client, iq("2")).elements().next().is_none());
    stage.buddy(link, "nurse", "Angelica", StatusType::Online);
    stage.wait(2);
    let newer =
        stage.hears_of(client, push).find("query", ns::ROSTER).and_then(|q| q.attr("ver").map(str::to_owned));
    assert_ne!(newer, Some(version.clone()));
    stage
        .says(client, &format!("<iq type='get' id='3'><query xmlns='{}' ver='{version}'/></iq>", ns::ROSTER));
    assert!(stage.hears_of(client, iq("3")).elements().next().is_some());
    stage.says(client, &format!("<iq type='get' id='4'><query xmlns='{}'/></iq>", ns::ROSTER));
    assert!(item_query(&stage.hears_of(client, iq("4"))).attr("ver").is_none(), "RFC 6121 §2.6.2");
}

fn item_query(iq: &Element) -> Element {
    iq.find("query", ns::ROSTER).expect("a query").clone()
}

#[test]
fn a_user_renames_a_contact() {
    let mut stage = Stage::with("more_resources=1");
    let (client, _) = stage.romeo_and_nurse();
    let (other, _) = stage.romeo("phone");
    stage.says(client, &format!("<iq type='set' id='1'><query xmlns='{}'><item jid='{NURSE}' name='Angelica'><group>House</group></item></query></iq>", ns::ROSTER));
    assert_eq!(pushed(&mut stage, other).attr("name"), Some("Angelica"));
    assert_eq!(pushed(&mut stage, client).attr("subscription"), Some("both"), "which a client cannot change");
    assert_eq!(stage.hears_of(client, iq("1")).attr("type"), Some("result"));
    let (_, buddy) = stage.frame(|frame| match frame {
        Frame::BuddyChanged(buddy) => Some(buddy.clone()),
        _ => None,
    });
    assert_eq!((buddy.alias.as_deref(), &buddy.groups[..]), (Some("Angelica"), &["House".to_owned()][..]));
}

#[test]
fn a_user_adds_a_contact() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo("orchard");
    stage.says(
        client,
        &format!(
            "<iq type='set' id='1'><query xmlns='{}'><item jid='peter@{DOMAIN}' name='Peter'/></query></iq>",
            ns::ROSTER
        ),
    );
    assert_eq!(pushed(&mut stage, client).attr("subscription"), Some("none"));
    stage.says(client, &format!("<presence type='subscribe' to='peter@{DOMAIN}'/>"));
    let heard = stage.hears(client);
    let items: Vec<Element> =
        heard.iter().filter(|stanza| push(stanza)).map(|push| item(&item_query(push))).collect();
    assert_eq!(items[0].attr("ask"), Some("subscribe"), "RFC 6121 §3.1.2");
    assert_eq!(items.last().and_then(|item| item.attr("subscription")), Some("both"), "no dance: {items:#?}");
    assert!(
        !heard.iter().any(|stanza| stanza.name() == "presence" && stanza.attr("type") == Some("subscribe"))
    );
    stage.frame(|frame| {
        matches!(frame, Frame::BuddyChanged(buddy) if buddy.buddy_name == "peter").then_some(())
    });
    stage.buddy(link.unwrap(), "peter", "Peter", StatusType::Away);
    stage.hears_of(client, presence_from("peter@irc.example.org/bot", None));
}

#[test]
fn a_user_removes_a_contact() {
    let mut stage = Stage::with("enable_remove_buddy=1");
    let (client, _) = stage.romeo_and_nurse();
    stage.says(client, &format!("<iq type='set' id='1'><query xmlns='{}'><item jid='{NURSE}' subscription='remove'/></query></iq>", ns::ROSTER));
    assert_eq!(pushed(&mut stage, client).attr("subscription"), Some("remove"));
    stage.frame(|frame| {
        matches!(frame, Frame::BuddyRemoved(buddy) if buddy.buddy_name == "nurse").then_some(())
    });
    stage.says(client, &format!("<iq type='set' id='2'><query xmlns='{}'><item jid='{NURSE}' subscription='remove'/></query></iq>", ns::ROSTER));
    assert_eq!(condition(&stage.hears_of(client, iq("2"))), Some("item-not-found"));
}

#[test]
fn the_network_removes_a_contact() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    let buddy = Buddy { user_name: ROMEO_JID.into(), buddy_name: "nurse".into(), ..Default::default() };
    stage.network(link, Frame::BuddyRemoved(buddy));
    assert_eq!(pushed(&mut stage, client).attr("subscription"), Some("remove"));
    assert!(roster(&mut stage, client).elements().next().is_none());
}

#[test]
fn a_stranger_asks_until_he_is_answered() {
    let mut stage = Stage::with("more_resources=1");
    let (client, link) = stage.romeo("orchard");
    let paris = Buddy { user_name: ROMEO_JID.into(), buddy_name: "paris".into(), ..Default::default() };
    stage.network(link.unwrap(), Frame::AuthRequest(paris));
    let from = format!("paris@{DOMAIN}");
    stage.hears_of(client, presence_from(&from, Some("subscribe")));
    let (other, _) = stage.romeo_bound("phone");
    stage.says(other, "<presence/>");
    stage.hears_of(other, presence_from(&from, Some("subscribe")));
    stage.says(other, &format!("<presence type='unsubscribed' to='{from}'/>"));
    stage.frame(|frame| {
        matches!(frame, Frame::BuddyRemoved(buddy) if buddy.buddy_name == "paris").then_some(())
    });
    let (third, _) = stage.romeo_bound("third");
    stage.says(third, "<presence/>");
    assert!(!stage.hears(third).iter().any(presence_from(&from, Some("subscribe"))));
}

#[test]
fn a_granted_request_is_in_the_roster() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo("orchard");
    let paris = Buddy { user_name: ROMEO_JID.into(), buddy_name: "paris".into(), ..Default::default() };
    stage.network(link.unwrap(), Frame::AuthRequest(paris));
    stage.says(client, &format!("<presence type='subscribed' to='paris@{DOMAIN}'/>"));
    assert_eq!(pushed(&mut stage, client).attr("subscription"), Some("from"));
    stage.frame(|frame| {
        matches!(frame, Frame::BuddyChanged(buddy) if buddy.buddy_name == "paris").then_some(())
    });
}

#[test]
fn what_is_no_roster_item() {
    let mut stage = Stage::with("max_contacts=2");
    let (client, _) = stage.romeo("orchard");
    let long = "x".repeat(2_000);
    for (content, expected) in [
        (String::new(), "bad-request"),
        ("<item/>".to_owned(), "bad-request"),
        (format!("<item jid='{NURSE}'/><item jid='{NURSE}'/>"), "bad-request"),
        ("<item jid='juliet@example.com'/>".to_owned(), "not-allowed"),
        (format!("<item jid='{NURSE}' name='{long}'/>"), "not-acceptable"),
        (format!("<item jid='{NURSE}'><group>{long}</group></item>"), "not-acceptable"),
        (format!("<item jid='{NURSE}'><group/></item>"), "not-acceptable"),
        (format!("<item jid='{NURSE}'><group>a</group><group>a</group></item>"), "bad-request"),
    ] {
        stage.says(
            client,
            &format!("<iq type='set' id='1'><query xmlns='{}'>{content}</query></iq>", ns::ROSTER),
        );
        assert_eq!(condition(&stage.hears_of(client, iq("1"))), Some(expected), "{content}");
    }
    for (name, expected) in [("one", None), ("two", None), ("three", Some("resource-constraint"))] {
        stage.says(
            client,
            &format!(
                "<iq type='set' id='{name}'><query xmlns='{}'><item jid='{name}@{DOMAIN}'/></query></iq>",
                ns::ROSTER
            ),
        );
        assert_eq!(condition(&stage.hears_of(client, iq(name))), expected);
    }
    stage.says(client, &format!("<presence id='s' type='subscribe' to='four@{DOMAIN}'/>"));
    assert_eq!(
        condition(&stage.hears_of(client, |s| s.attr("id") == Some("s"))),
        Some("resource-constraint")
    );
}

/// A name elsewhere is not that of a contact here.
#[test]
fn who_is_of_another_domain_is_not_removed_here() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    let item = "<item jid='nurse@elsewhere.org' subscription='remove'/>";
    stage.says(client, &format!("<iq type='set' id='1'><query xmlns='{}'>{item}</query></iq>", ns::ROSTER));
    assert_eq!(condition(&stage.hears_of(client, iq("1"))), Some("item-not-found"));
    assert_eq!(roster(&mut stage, client).elements().count(), 1);
}
