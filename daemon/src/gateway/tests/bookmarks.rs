//! Rooms on the user's own list on the network.

use spectrum2_backend_protocol::RoomList;

use super::*;

const SERVER: &str = "example.org";

fn list(rooms: &[&str]) -> Frame {
    Frame::RoomBookmarks(RoomList {
        rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        names: rooms.iter().map(|room| format!("The room {room}")).collect(),
        user: Some("romeo@example.org".into()),
    })
}

fn grant(stage: &mut Stage) {
    grant_both(stage, &[ns::PUBSUB]);
}

/// The server lets us read and write what is in these namespaces.
fn grant_both(stage: &mut Stage, namespaces: &[&str]) {
    let both: String = namespaces.iter().map(|ns| format!("<namespace ns='{ns}' type='both'/>")).collect();
    stage.says(&format!(
        "<message from='{SERVER}' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'><perm access='iq'>{both}\
         </perm></privilege></message>"
    ));
}

/// Answers the request that is the only stanza, and returns it.
fn answer(stage: &mut Stage, payload: &str) -> Element {
    answer_with(stage, "result", payload)
}

/// Answers it with an error.
fn refuse(stage: &mut Stage, condition: &str) -> Element {
    let error =
        format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
    answer_with(stage, "error", &error)
}

fn answer_with(stage: &mut Stage, kind: &str, payload: &str) -> Element {
    let asked = stage.stanza(|stanza| stanza.name() == "iq");
    assert_eq!(asked.attr("to"), Some("romeo@example.org"));
    stage.says(&format!(
        "<iq type='result' id='{}' from='romeo@example.org' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='{kind}' id='x'>{payload}</iq></forwarded>\
         </privilege></iq>",
        asked.attr("id").unwrap()
    ));
    asked
}

/// The user's bookmarks, as the server has them.
fn have(items: &str) -> String {
    format!("<pubsub xmlns='{}'><items node='urn:xmpp:bookmarks:1'>{items}</items></pubsub>", ns::PUBSUB)
}

/// A bookmark as we write it, with something more.
fn item(room: &str, autojoin: bool, more: &str) -> String {
    format!(
        "<item id='{room}@{GATEWAY}'><conference xmlns='urn:xmpp:bookmarks:1' name='The room {room}' \
         autojoin='{autojoin}'><nick>romeo</nick>{more}</conference></item>"
    )
}

/// The invitations among what was sent.
fn invited(stage: &mut Stage) -> Vec<String> {
    let stanzas = std::mem::take(&mut stage.stanzas);
    let rooms = stanzas.iter().filter_map(|stanza| stanza.find("x", ns::CONFERENCE)?.attr("jid"));
    rooms.map(str::to_owned).collect()
}

#[test]
fn where_the_server_allows_it_they_are_written_once_and_what_is_there_stays() {
    let mut stage = Stage::new();
    grant(&mut stage);
    let link = stage.romeo_online();
    stage.network(link, list(&["#verona", "#mantua"]));
    let have = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'>\
                <item id='#mantua@irc.example.org'/></items></pubsub>";
    let asked = answer(&mut stage, have);
    assert_eq!(asked.attr("type"), Some("get"));
    let set = answer(&mut stage, "").to_xml();
    assert!(set.contains("<item id='#verona@irc.example.org'>"), "{set}");
    assert!(set.contains("name='The room #verona' autojoin='false'><nick>romeo</nick>"), "{set}");
    stage.silence();
    stage.network(link, list(&["#verona", "#mantua"]));
    stage.silence();
    stage.network(link, list(&["#mantua", "#padua"]));
    assert!(answer(&mut stage, have).to_xml().contains("<items node="));
    assert!(answer(&mut stage, "").to_xml().contains("#padua@irc.example.org"));
    stage.silence();
}

#[test]
fn what_was_written_goes_with_the_room_if_nobody_has_changed_it() {
    let mut stage = Stage::new();
    grant(&mut stage);
    let link = stage.romeo_online();
    stage.network(link, list(&["#verona", "#mantua", "#padua", "#venice"]));
    // One that he has himself.
    answer(&mut stage, &have(&item("#venice", false, "")));
    for _ in 0..3 {
        answer(&mut stage, "");
    }
    stage.network(link, list(&[]));
    stage.silence();
    stage.wait(60);
    stage.silence();
    stage.wait(70);
    let there = ["#verona", "#mantua", "#padua", "#venice"];
    let (verona, mantua) = (item(there[0], false, ""), item(there[1], true, ""));
    let (padua, venice) = (item(there[2], false, "<password>x</password>"), item(there[3], false, ""));
    answer(&mut stage, &have(&format!("{verona}{mantua}{padua}{venice}")));
    let gone = answer(&mut stage, "").to_xml();
    assert!(
        gone.contains("<retract node='urn:xmpp:bookmarks:1' notify='true'><item id='#verona@irc"),
        "{gone}"
    );
    stage.silence();
    // It is new when it is there again; and what he made his own is left alone.
    stage.network(link, list(&["#verona"]));
    answer(&mut stage, &have(&format!("{mantua}{padua}{venice}")));
    assert!(answer(&mut stage, "").to_xml().contains("<item id='#verona@irc"));
    stage.network(link, list(&[]));
    stage.wait(130);
    answer(&mut stage, &have(&format!("{verona}{mantua}{padua}{venice}")));
    assert!(answer(&mut stage, "").to_xml().contains("<item id='#verona@irc"));
    stage.silence();
}

#[test]
fn nothing_is_written_over_what_the_server_did_not_tell() {
    let mut stage = Stage::new();
    grant(&mut stage);
    let link = stage.romeo_online();
    stage.network(link, list(&["#verona"]));
    refuse(&mut stage, "internal-server-error");
    stage.silence();
    stage.network(link, list(&["#verona"]));
    refuse(&mut stage, "item-not-found");
    assert!(answer(&mut stage, "").to_xml().contains("<publish "), "there are none yet");
}

#[test]
fn where_there_is_private_storage_only_they_are_written_there() {
    let mut stage = Stage::new();
    grant_both(&mut stage, &[ns::PUBSUB, ns::PRIVATE]);
    let link = stage.romeo_online();
    stage.network(link, list(&["#verona", "#mantua"]));
    assert!(refuse(&mut stage, "service-unavailable").to_xml().contains(ns::PUBSUB));
    let own = "<url xmlns='storage:bookmarks' url='https://example.org'/>\
               <conference xmlns='storage:bookmarks' jid='#mantua@irc.example.org' autojoin='true'/>";
    let stored = |inside: &str| {
        format!(
            "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>{inside}</storage></query>"
        )
    };
    let asked = answer(&mut stage, &stored(own));
    assert_eq!(asked.attr("type"), Some("get"));
    assert!(asked.to_xml().contains("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/>"));
    let set = answer(&mut stage, "").to_xml();
    let verona =
        "<conference name='The room #verona' jid='#verona@irc.example.org'><nick>romeo</nick></conference>";
    assert!(set.contains(verona), "{set}");
    assert!(set.contains("<url ") && set.contains("jid='#mantua@irc.example.org' autojoin='true'"), "{set}");
    stage.silence();

    stage.network(link, list(&[]));
    stage.wait(130);
    let verona = verona.replace("<conference ", "<conference xmlns='storage:bookmarks' ");
    answer(&mut stage, &stored(&format!("{own}{verona}")));
    let set = answer(&mut stage, "").to_xml();
    assert!(!set.contains("#verona") && set.contains("#mantua") && set.contains("<url "), "{set}");
    stage.silence();
}

#[test]
fn a_privilege_that_comes_late_is_used() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.event(Event::XmppDown);
    stage.network(link, list(&["#verona"]));
    stage.event(Event::XmppUp);
    stage.stanzas.clear();
    grant(&mut stage);
    answer(&mut stage, "");
}

#[test]
fn elsewhere_the_user_is_invited_once() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.network(link, list(&["#verona", "#mantua"]));
    assert_eq!(invited(&mut stage), ["#verona@irc.example.org", "#mantua@irc.example.org"]);
    stage.network(link, list(&["#verona", "#mantua"]));
    assert!(invited(&mut stage).is_empty());
    stage.network(link, list(&["#mantua"]));
    stage.network(link, list(&["#mantua", "#verona"]));
    assert_eq!(invited(&mut stage).len(), 0, "what was seen once is not told again while it is remembered");

    // At the next login neither.
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='unavailable'/>"));
    stage.frames.clear();
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.stanzas.clear();
    stage.network(link, list(&["#verona", "#mantua"]));
    assert!(invited(&mut stage).is_empty());
}

#[test]
fn a_long_list_does_not_flood() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let names: Vec<String> = (0..600).map(|n| format!("#room{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.network(link, list(&names));
    assert_eq!(invited(&mut stage).len(), 10);
    stage.network(link, list(&names));
    assert_eq!(invited(&mut stage).len(), 10);
}

#[test]
fn who_asks_the_gateway_for_bookmarks_is_shown_them() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.network(link, list(&["#verona"]));
    stage.stanzas.clear();
    stage.says(&format!(
        "<iq type='get' id='b' from='{ROMEO}' to='{GATEWAY}'><query xmlns='jabber:iq:private'>\
         <storage xmlns='storage:bookmarks'/></query></iq>"
    ));
    let storage = stage.only_stanza().to_xml();
    assert!(storage.contains("jid='#verona@irc.example.org'"), "{storage}");
}

#[test]
fn a_list_for_everybody_is_seen_by_everybody() {
    let mut stage = Stage::with("", THEIRS);
    let link = stage.romeo_online();
    let rooms = RoomList { rooms: vec!["#verona".into()], names: vec!["Verona".into()], user: None };
    stage.network(link, Frame::RoomList(rooms.clone()));
    stage.network(
        link,
        Frame::RoomList(RoomList {
            rooms: vec!["#own".into()],
            names: vec![],
            user: Some("romeo@example.org".into()),
        }),
    );
    for (who, rooms) in [(ROMEO, vec!["#own", "#verona"]), ("nurse@example.org/x", vec!["#verona"])] {
        stage.says(&format!(
            "<iq type='get' id='l' from='{who}' to='{GATEWAY}'><query xmlns='{}'/></iq>",
            ns::DISCO_ITEMS
        ));
        let query = stage.only_stanza();
        let items = query.find("query", ns::DISCO_ITEMS).unwrap();
        let jids: Vec<_> = items.elements().filter_map(|item| item.attr("jid")).collect();
        let expected: Vec<_> = rooms.iter().map(|room| format!("{room}@irc.example.org")).collect();
        assert_eq!(jids, expected, "{who}");
    }
}
