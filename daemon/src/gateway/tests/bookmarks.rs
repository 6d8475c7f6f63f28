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
    stage.says(&format!(
        "<message from='{SERVER}' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'><perm access='iq'>\
         <namespace ns='http://jabber.org/protocol/pubsub' type='both'/></perm></privilege></message>"
    ));
}

/// Answers the request that is the only stanza, and returns it.
fn answer(stage: &mut Stage, payload: &str) -> Element {
    let asked = stage.stanza(|stanza| stanza.name() == "iq");
    assert_eq!(asked.attr("to"), Some("romeo@example.org"));
    stage.says(&format!(
        "<iq type='result' id='{}' from='romeo@example.org' to='{GATEWAY}'><privilege xmlns='urn:xmpp:privilege:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='result' id='x'>{payload}</iq></forwarded>\
         </privilege></iq>",
        asked.attr("id").unwrap()
    ));
    asked
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
