//! Rooms.

use spectrum2_backend_protocol::{
    Invitation, Participant, Room, RoomCommand, RoomEnd, RoomList, RoomReason, RoomWish,
};

use super::*;

pub(super) const ROOM: &str = "#verona@irc.example.org";

pub(super) fn join(stage: &mut Stage, client: &str, nick: &str, inside: &str) {
    stage.says(&format!(
        "<presence from='romeo@example.org/{client}' to='{ROOM}/{nick}'><x xmlns='{}'>{inside}</x></presence>",
        ns::MUC
    ));
}

pub(super) fn occupant(nick: &str, flag: i32) -> Frame {
    Frame::ParticipantChanged(Participant {
        user_name: "romeo@example.org".into(),
        room: "#verona".into(),
        nickname: nick.into(),
        flag,
        ..Default::default()
    })
}

pub(super) fn gone(nick: &str, reason: RoomReason, actor: &str, text: &str) -> Frame {
    Frame::ParticipantChanged(Participant {
        user_name: "romeo@example.org".into(),
        room: "#verona".into(),
        nickname: nick.into(),
        status: StatusType::None.into(),
        status_message: Some(text.into()),
        reason: Some(reason.into()),
        actor: Some(actor.into()),
        ..Default::default()
    })
}

pub(super) fn joined(nick: &str) -> Frame {
    Frame::RoomJoined(room(nick))
}

pub(super) fn room(nick: &str) -> Room {
    Room {
        user_name: "romeo@example.org".into(),
        nickname: nick.into(),
        room: "#verona".into(),
        password: None,
    }
}

pub(super) fn end(reason: RoomReason, text: &str, actor: &str) -> RoomEnd {
    RoomEnd {
        user_name: "romeo@example.org".into(),
        room: "#verona".into(),
        reason: reason.into(),
        text: Some(text.into()),
        actor: Some(actor.into()),
    }
}

pub(super) fn subject(text: &str, who: &str) -> Frame {
    Frame::RoomSubjectChanged(said(who, text, ""))
}

pub(super) fn said(who: &str, text: &str, stamp: &str) -> ConversationMessage {
    ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "#verona".into(),
        message: text.into(),
        nickname: Some(who.into()),
        timestamp: Some(stamp.into()),
        ..Default::default()
    }
}

/// Romeo is in the room with Tybalt, who is a moderator. Nothing of it is left on the stage.
pub(super) fn in_the_room(stage: &mut Stage) -> Link {
    let link = stage.romeo_online();
    join(stage, "orchard", "Romeo", "");
    stage.network(link, subject("The streets of Verona", "tybalt"));
    stage.network(link, occupant("tybalt", 1));
    stage.network(link, occupant("Romeo", 0));
    stage.network(link, joined("Romeo"));
    stage.stanzas.clear();
    stage.frames.clear();
    link
}

pub(super) fn codes(stanza: &Element) -> Vec<u16> {
    let x = stanza.find("x", ns::MUC_USER).expect("the extension of occupants");
    x.elements().filter(|c| c.name() == "status").map(|c| c.attr("code").unwrap().parse().unwrap()).collect()
}

pub(super) fn item(stanza: &Element) -> &Element {
    let x = stanza.find("x", ns::MUC_USER).expect("the extension of occupants");
    x.find("item", ns::MUC_USER).expect("an item")
}

pub(super) fn nick(stanza: &Element) -> &str {
    stanza.attr("from").and_then(|from| from.split_once('/')).map_or("", |(_, nick)| nick)
}

#[test]
fn a_join_is_shown_in_the_order_of_the_xep() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo", "<password>rose</password>");
    let (_, asked) = stage.frame(|frame| match frame {
        Frame::JoinRoom(room) => Some(room.clone()),
        _ => None,
    });
    assert_eq!((asked.room.as_str(), asked.nickname.as_str()), ("#verona", "Romeo"));
    assert_eq!(asked.password.as_deref(), Some("rose"));
    stage.silence();

    stage.network(link, occupant("tybalt", 1));
    stage.network(link, occupant("Romeo", 0));
    stage.network(link, occupant("nurse", 0));
    stage.silence();
    stage.network(link, joined("Romeo"));
    stage.network(link, Frame::ConvMessage(said("tybalt", "before", "20261121T222412")));
    stage.network(link, Frame::ConvMessage(said("nurse", "Peace!", "20261121T222413")));
    assert_eq!(stage.stanzas.len(), 3, "history is held back until all of it is there");
    stage.network(link, subject("The streets of Verona", "tybalt"));
    stage.network(link, Frame::ConvMessage(said("nurse", "live", "")));

    let nicks: Vec<_> = stage.stanzas.iter().map(|stanza| (stanza.name(), nick(stanza))).collect();
    assert_eq!(
        nicks,
        [
            ("presence", "nurse"),
            ("presence", "tybalt"),
            ("presence", "Romeo"),
            ("message", "tybalt"),
            ("message", "nurse"),
            ("message", "tybalt"),
            ("message", "nurse"),
        ]
    );
    let s = &stage.stanzas;
    assert!(s.iter().all(|stanza| stanza.attr("to") == Some(ROMEO)));
    assert_eq!(codes(&s[2]), [110]);
    assert_eq!(
        (item(&s[1]).attr("role"), item(&s[1]).attr("affiliation")),
        (Some("moderator"), Some("admin"))
    );
    assert_eq!(s[3].find("delay", ns::DELAY).and_then(|d| d.attr("stamp")), Some("2026-11-21T22:24:12Z"));
    assert_eq!(s[5].child_text("subject", ns::CLIENT).as_deref(), Some("The streets of Verona"));
    assert!(s[5].find_same("body").is_none());
    assert!(s[6].find("delay", ns::DELAY).is_none());
    let ids = |s: &Element| {
        s.find("stanza-id", ns::SID).map(|id| (id.attr("by").map(str::to_owned), id.attr("id").is_some()))
    };
    assert_eq!(ids(&s[6]), Some((Some(ROOM.to_owned()), true)));
    assert_eq!(s[6].find("occupant-id", ns::OCCUPANT_ID), s[0].find("occupant-id", ns::OCCUPANT_ID));
}

#[test]
fn a_room_without_subject_has_an_empty_one() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo", "");
    stage.network(link, joined("Romeo"));
    stage.stanzas.clear();
    stage.wait(5);
    let empty = stage.only_stanza();
    assert_eq!(empty.child_text("subject", ns::CLIENT).as_deref(), Some(""));
    assert_eq!(empty.attr("from"), Some(ROOM));
}

#[test]
fn a_refusal_has_the_words_of_the_network() {
    for (reason, condition, kind) in [
        (RoomReason::Password, "not-authorized", "auth"),
        (RoomReason::Banned, "forbidden", "auth"),
        (RoomReason::MembersOnly, "registration-required", "auth"),
        (RoomReason::Full, "service-unavailable", "wait"),
        (RoomReason::NickTaken, "conflict", "cancel"),
        (RoomReason::NotFound, "item-not-found", "cancel"),
    ] {
        let mut stage = Stage::new();
        let link = stage.romeo_online();
        join(&mut stage, "orchard", "Romeo", "");
        stage.network(link, Frame::RoomRefused(end(reason, "Cannot join channel (+k)", "")));
        let error = stage.only_stanza();
        assert_eq!(error.attr("from"), Some("#verona@irc.example.org/Romeo"));
        assert_eq!(super::condition(&error), Some(condition));
        assert_eq!(error.find_same("error").and_then(|e| e.attr("type")), Some(kind));
        assert!(error.to_xml().contains("Cannot join channel (+k)"));
        join(&mut stage, "orchard", "Romeo", "");
        stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
    }
}

#[test]
fn a_network_that_does_not_answer_is_given_up() {
    let mut stage = Stage::new();
    stage.romeo_online();
    join(&mut stage, "orchard", "Romeo", "");
    stage.wait(61);
    assert_eq!(stage.only_stanza().attr("type"), Some("error"));
    stage.frame(|frame| matches!(frame, Frame::LeaveRoom(_)).then_some(()));
}

#[test]
fn the_network_may_give_another_nick() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo_M", "");
    stage.network(link, occupant("romeo", 0));
    stage.network(link, joined("romeo"));
    let own = stage.only_stanza();
    assert_eq!((nick(&own), codes(&own)), ("romeo", vec![110, 210]));
}

#[test]
fn two_clients_are_one_occupant() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    join(&mut stage, "balcony", "Montague", "<history maxstanzas='0'/>");
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::JoinRoom(_))));
    let shown: Vec<_> = stage.stanzas.iter().map(|s| (s.name().to_owned(), nick(s).to_owned())).collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0].1, "tybalt");
    assert_eq!(codes(&stage.stanzas[1]), [110, 210], "it is told the nick that the user has");
    assert!(stage.stanzas[2].find_same("subject").is_some());
    stage.stanzas.clear();

    stage.network(link, Frame::ConvMessage(said("tybalt", "Villains!", "")));
    let to: Vec<_> = stage.stanzas.iter().filter_map(|stanza| stanza.attr("to")).collect();
    assert_eq!(to, ["romeo@example.org/balcony", "romeo@example.org/orchard"]);
    stage.stanzas.clear();

    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{ROOM}/Romeo'/>"));
    let left = stage.only_stanza();
    assert_eq!((left.attr("type"), codes(&left)), (Some("unavailable"), vec![110]));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::LeaveRoom(_))));
    stage.says(&format!("<presence type='unavailable' from='romeo@example.org/balcony' to='{ROOM}/Romeo'/>"));
    stage.frame(|frame| matches!(frame, Frame::LeaveRoom(_)).then_some(()));
}

#[test]
fn a_message_comes_back_with_its_id_when_the_room_has_it() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    join(&mut stage, "balcony", "Romeo", "");
    stage.stanzas.clear();
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='m1'><body>Peace</body>\
         <origin-id xmlns='{}' id='o1'/></message>",
        ns::SID
    ));
    stage.silence();
    let (_, message) = stage.conversation();
    assert_eq!((message.buddy_name.as_str(), message.message.as_str()), ("#verona", "Peace"));
    let serial = message.serial.unwrap();
    stage.network(
        link,
        Frame::Result(MessageResult {
            user_name: "romeo@example.org".into(),
            serial,
            error: None,
            text: None,
            denied: None,
            names: Vec::new(),
        }),
    );
    assert_eq!(stage.stanzas.len(), 2);
    let echo = stage.stanza(|s| s.attr("to") == Some(ROMEO));
    assert_eq!((echo.attr("from"), echo.attr("id")), (Some("#verona@irc.example.org/Romeo"), Some("m1")));
    assert!(echo.find("origin-id", ns::SID).is_some() && echo.find("stanza-id", ns::SID).is_some());
    stage.stanzas.clear();

    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='m2'><body>x</body></message>"
    ));
    let serial = stage.conversation().1.serial.unwrap();
    let result = MessageResult {
        user_name: "romeo@example.org".into(),
        serial,
        error: Some(16),
        text: Some("Cannot send to channel".into()),
        denied: Some(true),
        names: Vec::new(),
    };
    stage.network(link, Frame::Result(result));
    let refused = stage.only_stanza();
    assert_eq!(
        (refused.attr("type"), refused.attr("id"), refused.attr("from")),
        (Some("error"), Some("m2"), Some(ROOM))
    );
    assert!(refused.to_xml().contains("Cannot send to channel"));
    assert_eq!(condition(&refused), Some("forbidden"));
}

#[test]
fn who_is_not_in_the_room_may_not_speak_there() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    for to in [ROOM, "#mantua@irc.example.org", "#verona@irc.example.org/tybalt"] {
        stage.says(&format!(
            "<message from='romeo@example.org/other' to='{to}' type='groupchat' id='1'><body>x</body></message>"
        ));
        assert_eq!(condition(&stage.only_stanza()), Some("not-acceptable"));
    }
    assert!(stage.frames.is_empty());
}

#[test]
fn private_messages_go_both_ways() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}/tybalt' type='chat' id='1'><body>psst</body></message>"
    ));
    assert_eq!(stage.conversation().1.buddy_name, "#verona/tybalt");
    // IRC has private messages, but not in rooms.
    let answer = ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "tybalt".into(),
        message: "psst yourself".into(),
        ..Default::default()
    };
    stage.network(link, Frame::ConvMessage(answer.clone()));
    let heard = stage.only_stanza();
    assert_eq!(
        (heard.attr("from"), heard.attr("type")),
        (Some("#verona@irc.example.org/tybalt"), Some("chat"))
    );
    assert!(heard.find("x", ns::MUC_USER).is_some());

    let private = ConversationMessage { pm: Some(true), ..said("tybalt", "one word?", "") };
    stage.network(link, Frame::ConvMessage(private));
    assert_eq!(stage.only_stanza().attr("from"), Some("#verona@irc.example.org/tybalt"));

    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}/paris' type='chat' id='1'><body>psst</body></message>"
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("item-not-found"));
    // He goes on under another nick.
    for (old, new) in [("tybalt", "ty_cat"), ("ty_cat", "tybalt")] {
        let Frame::ParticipantChanged(frame) = occupant(old, 0) else { unreachable!() };
        let frame = Participant { newname: Some(new.into()), ..frame };
        stage.network(link, Frame::ParticipantChanged(frame));
        stage.stanzas.clear();
        stage.network(
            link,
            Frame::ConvMessage(ConversationMessage { buddy_name: new.into(), ..answer.clone() }),
        );
        assert_eq!(stage.only_stanza().attr("from"), Some(format!("{ROOM}/{new}").as_str()));
    }
    stage.says(&format!(
        "<message from='{ROMEO}' to='tybalt@{GATEWAY}' type='chat' id='2'><body>you</body></message>"
    ));
    stage.network(link, Frame::ConvMessage(answer));
    assert_eq!(stage.stanza(|s| s.name() == "message").attr("from"), Some("tybalt@irc.example.org/bot"));
}

#[test]
fn kicks_bans_and_departures_are_shown() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage.network(link, occupant("paris", 0));
    stage.stanzas.clear();
    stage.network(link, gone("paris", RoomReason::Kicked, "tybalt", "County!"));
    let kicked = stage.only_stanza();
    assert_eq!(
        (nick(&kicked), kicked.attr("type"), codes(&kicked)),
        ("paris", Some("unavailable"), vec![307])
    );
    assert_eq!(item(&kicked).find("actor", ns::MUC_USER).and_then(|a| a.attr("nick")), Some("tybalt"));
    assert_eq!(item(&kicked).child_text("reason", ns::MUC_USER).as_deref(), Some("County!"));

    stage.network(link, Frame::RoomLeft(end(RoomReason::Banned, "exiled", "Prince")));
    let banned = stage.only_stanza();
    assert_eq!((nick(&banned), codes(&banned)), ("Romeo", vec![301, 110]));
    assert_eq!(item(&banned).attr("affiliation"), Some("outcast"));
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='1'><body>x</body></message>"
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("not-acceptable"));
}

#[test]
fn nicks_change() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let renamed = |old: &str, new: &str| {
        Frame::ParticipantChanged(Participant {
            user_name: "romeo@example.org".into(),
            room: "#verona".into(),
            nickname: old.into(),
            newname: Some(new.into()),
            ..Default::default()
        })
    };
    stage.network(link, renamed("tybalt", "ty_cat"));
    let (goes, comes) = (stage.stanzas.remove(0), stage.only_stanza());
    assert_eq!((nick(&goes), codes(&goes), item(&goes).attr("nick")), ("tybalt", vec![303], Some("ty_cat")));
    assert_eq!((nick(&comes), item(&comes).attr("role")), ("ty_cat", Some("moderator")));

    stage.says(&format!("<presence from='{ROMEO}' to='{ROOM}/Montague'/>"));
    let (_, wish) = stage.frame(|frame| match frame {
        Frame::RoomNicknameChanged(room) => Some(room.nickname.clone()),
        _ => None,
    });
    assert_eq!(wish, "Montague");
    stage.network(link, renamed("Romeo", "Montague"));
    let (goes, comes) = (stage.stanzas.remove(0), stage.only_stanza());
    assert_eq!((nick(&goes), codes(&goes)), ("Romeo", vec![303, 110]));
    assert_eq!((nick(&comes), codes(&comes)), ("Montague", vec![110]));

    stage.says(&format!("<presence from='{ROMEO}' to='{ROOM}/ty_cat'/>"));
    stage.network(link, Frame::RoomRefused(end(RoomReason::NickTaken, "Nickname already in use", "")));
    let refused = stage.only_stanza();
    assert_eq!((nick(&refused), condition(&refused)), ("ty_cat", Some("conflict")));
}

#[test]
fn no_ghosts_stay() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    stage.says(&format!(
        "<message type='error' from='{ROMEO}' to='{ROOM}/tybalt'><error type='cancel'>\
         <recipient-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ));
    stage.frame(|frame| matches!(frame, Frame::LeaveRoom(_)).then_some(()));
    join(&mut stage, "orchard", "Romeo", "");
    stage.frames.clear();
    stage.says(&format!("<presence from='romeo@example.org/balcony' to='{GATEWAY}'/>"));
    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.frame(|frame| matches!(frame, Frame::LeaveRoom(_)).then_some(()));
}

#[test]
fn a_short_break_is_not_seen() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let broken = Disconnected { user: "romeo@example.org".into(), error: 0, message: Some("lost".into()) };
    stage.network(link, Frame::Disconnected(broken));
    stage.wait(3);
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
    stage.network(link, occupant("nurse", 0));
    stage.network(link, occupant("Romeo", 0));
    stage.network(link, joined("Romeo"));
    let room: Vec<_> = stage
        .stanzas
        .iter()
        .filter(|s| s.attr("from").is_some_and(|from| from.starts_with(ROOM)))
        .map(|s| (nick(s), s.attr("type")))
        .collect();
    assert_eq!(room, [("nurse", None), ("tybalt", Some("unavailable"))]);
}

#[test]
fn the_end_of_the_session_is_the_end_of_the_stay() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let refused =
        Disconnected { user: "romeo@example.org".into(), error: 2, message: Some("K-lined".into()) };
    stage.network(link, Frame::Disconnected(refused));
    let left = stage.stanza(presence_from("#verona@irc.example.org/Romeo", Some("unavailable")));
    assert_eq!(codes(&left), [333, 110]);
    assert!(left.to_xml().contains("K-lined"));
}

#[test]
fn joins_wait_for_the_login() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    join(&mut stage, "orchard", "Romeo", "");
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::JoinRoom(_))));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
}

#[test]
fn strangers_do_not_join() {
    let mut stage = Stage::new();
    join(&mut stage, "orchard", "Romeo", "");
    assert_eq!(condition(&stage.only_stanza()), Some("registration-required"));
}

#[test]
fn a_backend_of_spectrum_2_joins_by_the_own_entry_and_echoes() {
    let mut stage = Stage::with("", THEIRS);
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo_M", "");
    stage.network(link, occupant("Romeo_M", 0));
    let own = stage.only_stanza();
    assert_eq!((nick(&own), codes(&own)), ("Romeo_M", vec![110]));
    stage.network(link, Frame::RoomNicknameChanged(room("romeo")));
    let (goes, comes) = (stage.stanzas.remove(0), stage.only_stanza());
    assert_eq!((codes(&goes), nick(&comes), codes(&comes)), (vec![303, 110], "romeo", vec![110]));
    stage.network(link, subject("Verona", "Spectrum 2"));
    assert_eq!(stage.only_stanza().attr("from"), Some(ROOM));

    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='m1'><body>Peace</body></message>"
    ));
    stage.conversation();
    stage.network(link, Frame::ConvMessage(said("romeo", "Peace", "")));
    let echo = stage.only_stanza();
    assert_eq!((nick(&echo), echo.attr("id")), ("romeo", Some("m1")));
}

#[test]
fn a_refusal_of_spectrum_2_is_a_flag() {
    let mut stage = Stage::with("", THEIRS);
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo", "");
    let refused = Frame::ParticipantChanged(Participant {
        user_name: "romeo@example.org".into(),
        room: "#verona".into(),
        nickname: "Romeo".into(),
        flag: 2,
        status: StatusType::None.into(),
        status_message: Some("taken".into()),
        ..Default::default()
    });
    stage.network(link, refused);
    assert_eq!(condition(&stage.only_stanza()), Some("conflict"));
}

#[test]
fn pings_to_oneself_tell_whether_one_is_there() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    let mut ping = |from: &str, nick: &str| {
        stage.says(&format!(
            "<iq type='get' id='p' from='{from}' to='{ROOM}/{nick}'><ping xmlns='{}'/></iq>",
            ns::PING
        ));
        let answer = stage.only_stanza();
        (answer.attr("type").unwrap().to_owned(), condition(&answer).map(str::to_owned))
    };
    assert_eq!(ping(ROMEO, "Romeo"), ("result".into(), None));
    assert_eq!(ping("romeo@example.org/other", "Romeo"), ("error".into(), Some("not-acceptable".into())));
    assert_eq!(ping(ROMEO, "tybalt"), ("error".into(), Some("service-unavailable".into())));
    assert_eq!(ping(ROMEO, "nobody"), ("error".into(), Some("item-not-found".into())));
}

#[test]
fn rooms_are_listed_page_by_page_when_somebody_asks() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let ask = |stage: &mut Stage, set: &str| {
        stage.says(&format!(
            "<iq type='get' id='l' from='{ROMEO}' to='{GATEWAY}'><query xmlns='{}'>{set}</query></iq>",
            ns::DISCO_ITEMS
        ));
    };
    ask(&mut stage, "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max></set>");
    stage.silence();
    stage.frame(|frame| matches!(frame, Frame::ListRooms(_)).then_some(()));
    let list = RoomList {
        rooms: vec!["#Verona".into(), "#mantua".into(), "#padua".into()],
        names: vec!["Streets".into()],
        user: Some("romeo@example.org".into()),
    };
    stage.network(link, Frame::RoomList(list));
    let answer = stage.only_stanza();
    let query = answer.find("query", ns::DISCO_ITEMS).unwrap();
    let rooms: Vec<_> = query
        .elements()
        .filter(|c| c.name() == "item")
        .map(|c| (c.attr("jid").unwrap(), c.attr("name").unwrap()))
        .collect();
    assert_eq!(rooms, [("#mantua@irc.example.org", "#mantua"), ("#padua@irc.example.org", "#padua")]);
    assert_eq!(
        query.find("set", ns::RSM).and_then(|set| set.child_text("count", ns::RSM)).as_deref(),
        Some("3")
    );
    ask(
        &mut stage,
        "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max><after>#padua@irc.example.org</after></set>",
    );
    assert!(stage.only_stanza().to_xml().contains("name='Streets'"), "from what is known for a while");

    join(&mut stage, "orchard", "Romeo", "");
    let (_, name) = stage.frame(|frame| match frame {
        Frame::JoinRoom(room) => Some(room.room.clone()),
        _ => None,
    });
    assert_eq!(name, "#Verona", "in the network's own spelling");
}

#[test]
fn a_room_says_what_it_is() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    stage.says(&format!(
        "<iq type='get' id='d' from='{ROMEO}' to='{ROOM}'><query xmlns='{}'/></iq>",
        ns::DISCO_INFO
    ));
    let info = stage.only_stanza().to_xml();
    for part in [
        "category='conference'",
        ns::MUC_STABLE_ID,
        ns::OCCUPANT_ID,
        ns::MUC_SELF_PING,
        "The streets of Verona",
    ] {
        assert!(info.contains(part), "{part} is not in {info}");
    }
    stage.says(&format!(
        "<iq type='get' id='d' from='{ROMEO}' to='{GATEWAY}'><query xmlns='{}'/></iq>",
        ns::DISCO_INFO
    ));
    let info = stage.only_stanza().to_xml();
    assert!(info.contains("category='conference'") && info.contains("'http://jabber.org/protocol/muc'"));
}

#[test]
fn a_nick_on_irc_is_no_room() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    for (name, room) in
        [("friar", false), ("friar%irc.example.net", false), ("#mantua", true), ("+mantua", true)]
    {
        stage.says(&format!(
            "<iq type='get' id='d' from='{ROMEO}' to='{name}@{GATEWAY}'><query xmlns='{}'/></iq>",
            ns::DISCO_INFO
        ));
        let info = stage.only_stanza().to_xml();
        assert_eq!(info.contains("category='conference'"), room, "{info}");
    }
}

#[test]
fn invitations_go_both_ways() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let invitation = Invitation {
        user_name: "romeo@example.org".into(),
        room: "#mantua".into(),
        contact: "friar".into(),
        text: Some("Come!".into()),
        password: None,
        serial: None,
    };
    stage.network(link, Frame::RoomInvite(invitation));
    let invited = stage.only_stanza();
    assert_eq!(invited.attr("from"), Some("#mantua@irc.example.org"));
    let direct = invited.find("x", ns::CONFERENCE).unwrap();
    assert_eq!((direct.attr("jid"), direct.attr("reason")), (Some("#mantua@irc.example.org"), Some("Come!")));
    assert!(invited.to_xml().contains("<invite from='friar@irc.example.org'>"));

    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}'><x xmlns='{}'><invite to='nurse@{GATEWAY}'><reason>Come</reason></invite></x></message>",
        ns::MUC_USER
    ));
    stage.says(&format!(
        "<message from='{ROMEO}' to='nurse@{GATEWAY}'><x xmlns='{}' jid='{ROOM}'/></message>",
        ns::CONFERENCE
    ));
    for text in [Some("Come".to_owned()), None] {
        let (_, sent) = stage.frame(|frame| match frame {
            Frame::RoomInvite(invitation) => Some(invitation.clone()),
            _ => None,
        });
        assert_eq!((sent.room.as_str(), sent.contact.as_str(), sent.text), ("#verona", "nurse", text));
    }
    stage.silence();
}

#[test]
fn moderators_act_and_learn_what_came_of_it() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    for (error, kind) in [(None, "result"), (Some(16), "error")] {
        stage.says(&format!(
            "<iq type='set' id='k' from='{ROMEO}' to='{ROOM}'><query xmlns='{}'><item nick='tybalt' role='none'><reason>out</reason></item></query></iq>",
            ns::MUC_ADMIN
        ));
        let (_, command) = stage.frame(|frame| match frame {
            Frame::RoomCommand(command) => Some(command.clone()),
            _ => None,
        });
        assert_eq!(
            (command.nickname.as_str(), command.role, command.text.as_deref()),
            ("tybalt", Some(0), Some("out"))
        );
        let text = error.map(|_| "You're not channel operator".to_owned());
        stage.network(
            link,
            Frame::Result(MessageResult {
                user_name: "romeo@example.org".into(),
                serial: command.serial,
                error,
                text,
                denied: None,
                names: Vec::new(),
            }),
        );
        assert_eq!(stage.only_stanza().attr("type"), Some(kind));
    }
}

/// Romeo throws Tybalt out of the room.
fn kicks_tybalt(stage: &mut Stage) {
    stage.says(&format!(
        "<iq type='set' id='k' from='{ROMEO}' to='{ROOM}'><query xmlns='{}'><item nick='tybalt' role='none'/></query></iq>",
        ns::MUC_ADMIN
    ));
    stage.frame(|frame| matches!(frame, Frame::RoomCommand(_)).then_some(()));
}

fn asks_for_rooms(stage: &mut Stage) {
    let items = ns::DISCO_ITEMS;
    stage.says(&format!("<iq type='get' id='l' from='{ROMEO}' to='{GATEWAY}'><query xmlns='{items}'/></iq>"));
    stage.frame(|frame| matches!(frame, Frame::ListRooms(_)).then_some(()));
}

#[test]
fn a_long_list_of_rooms_comes_in_part() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    asks_for_rooms(&mut stage);
    let rooms = (0..2_000).map(|n| format!("#room{n:04}")).collect();
    let list = RoomList { rooms, names: vec![], user: Some("romeo@example.org".into()) };
    stage.network(link, Frame::RoomList(list));
    let answer = stage.only_stanza();
    let query = answer.find("query", ns::DISCO_ITEMS).unwrap();
    assert_eq!(query.elements().filter(|child| child.name() == "item").count(), 500);
    let set = query.find("set", ns::RSM).expect("it says that this is not all");
    assert_eq!(set.child_text("count", ns::RSM).as_deref(), Some("2000"));
}

#[test]
fn a_message_that_servers_may_not_take_back_is_refused() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    // Short as it comes, and long as it is written for clients.
    let namespace = "n".repeat(200);
    let more = "<p:a/>".repeat(2_000);
    stage.says(&format!(
        "<message type='groupchat' id='m' from='{ROMEO}' to='{ROOM}'><body>hi</body><e xmlns:p='{namespace}'>{more}</e></message>"
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("policy-violation"));
    assert!(stage.frames.is_empty());
}

#[test]
fn what_the_network_never_answers_is_answered_all_the_same() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    kicks_tybalt(&mut stage);
    stage.wait(30);
    asks_for_rooms(&mut stage);
    stage.wait(29);
    stage.silence();
    stage.wait(1);
    assert_eq!(condition(&stage.stanza(iq("k"))), Some("remote-server-timeout"));
    stage.silence();
    stage.wait(30);
    assert_eq!(stage.only_stanza().attr("type"), Some("result"), "with the rooms that are known");
    // The next one is asked for again.
    asks_for_rooms(&mut stage);
}

#[test]
fn who_logs_out_hears_that_his_command_is_off() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    kicks_tybalt(&mut stage);
    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
    assert_eq!(condition(&stage.stanza(iq("k"))), Some("recipient-unavailable"));
}

#[test]
fn a_list_of_rooms_is_asked_for_again_after_a_break() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    asks_for_rooms(&mut stage);
    stage.event(Event::BackendDown(link, "killed".into()));
    assert_eq!(stage.stanza(iq("l")).attr("type"), Some("result"));
    stage.wait(1);
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    asks_for_rooms(&mut stage);
}

#[test]
fn a_big_room_is_bounded() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo", "");
    for n in 0..10_100 {
        stage.network(link, occupant(&format!("n{n}"), 0));
    }
    stage.network(link, joined("n0"));
    assert_eq!(stage.stanzas.len(), 10_000);
}

/// What a person is called on the network may be no part of a JID: the XMPP server would throw away what is said under it.
#[test]
fn names_that_no_jid_can_have_silence_nobody() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let odd = "Tybalt\u{200e}\u{e000}";
    let Frame::ParticipantChanged(frame) = occupant("tybalt", 1) else { unreachable!() };
    stage.network(link, Frame::ParticipantChanged(Participant { alias: Some(odd.into()), ..frame }));
    stage.network(link, Frame::ConvMessage(said("tybalt", "What, drawn, and talk of peace?", "")));
    stage.network(
        link,
        Frame::ConvMessage(ConversationMessage { pm: Some(true), ..said(odd, "Turn thee", "") }),
    );
    stage.network(link, subject("A public place", odd));
    let heard: Vec<_> = stage.stanzas.iter().filter(|stanza| stanza.name() == "message").collect();
    assert_eq!(heard.len(), 3);
    for stanza in &stage.stanzas {
        let from = stanza.attr("from").expect("somebody");
        assert!(from.parse::<jid::Jid>().is_ok_and(|jid| jid.as_str() == from), "{from:?}");
    }
}

/// The whole stanza comes back from the room, so the whole of it counts.
#[test]
fn what_waits_for_the_room_is_bounded_in_bytes() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    let ballast = "x".repeat(100 << 10);
    for n in 0..20 {
        stage.says(&format!(
            "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='{n}'><body>hark</body>\
             <x xmlns='urn:example:x'>{ballast}</x></message>"
        ));
    }
    let refused = stage.stanzas.iter().filter(|stanza| condition(stanza) == Some("resource-constraint"));
    assert!(refused.count() >= 8, "a mebibyte may wait");
}

/// A request of Romeo's client to the room, and the command that comes of it.
fn wishes(stage: &mut Stage, kind: &str, query: &str) -> RoomCommand {
    stage.says(&format!("<iq type='{kind}' id='w' from='{ROMEO}' to='{ROOM}'>{query}</iq>"));
    stage.silence();
    stage
        .frame(|frame| match frame {
            Frame::RoomCommand(command) => Some(command.clone()),
            _ => None,
        })
        .1
}

fn result_of(command: &RoomCommand, names: &[&str]) -> Frame {
    Frame::Result(MessageResult {
        user_name: "romeo@example.org".into(),
        serial: command.serial,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..MessageResult::default()
    })
}

#[test]
fn who_is_banned_the_network_tells_and_each_can_be_let_in_again() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let query = |item: &str| format!("<query xmlns='{}'><item affiliation={item}/></query>", ns::MUC_ADMIN);
    let command = wishes(&mut stage, "get", &query("'outcast'"));
    assert_eq!(command.wish(), RoomWish::Outcasts);
    stage.network(link, result_of(&command, &["*!*@mantua.example.org", "Paris!*@*"]));
    let answer = stage.only_stanza();
    let query_of = answer.find("query", ns::MUC_ADMIN).expect("a list");
    let jids: Vec<_> = query_of.elements().filter_map(|item| item.attr("jid")).collect();
    assert_eq!(jids.len(), 2);
    assert!(query_of.elements().all(|item| item.attr("affiliation") == Some("outcast")));
    for (jid, mask) in jids.iter().zip(["*!*@mantua.example.org", "Paris!*@*"]) {
        assert_eq!(jid.parse::<jid::Jid>().map(|jid| jid.to_string().to_lowercase()), Ok(jid.to_lowercase()));
        let command = wishes(&mut stage, "set", &query(&format!("'none' jid='{jid}'")));
        assert_eq!(command.nickname.to_lowercase(), mask.to_lowercase());
        stage.network(link, result_of(&command, &[]));
        assert_eq!(stage.only_stanza().attr("type"), Some("result"));
    }
}

#[test]
fn a_room_is_destroyed_by_the_network_or_not_at_all() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let owner = ns::MUC_OWNER;
    let destroy = format!("<query xmlns='{owner}'><destroy><reason>Plague</reason></destroy></query>");
    let command = wishes(&mut stage, "set", &destroy);
    assert_eq!((command.wish(), command.text.as_deref()), (RoomWish::Destroy, Some("Plague")));
    stage.network(link, Frame::RoomLeft(end(RoomReason::Destroyed, "Plague", "")));
    let left = stage.only_stanza();
    assert_eq!((left.attr("type"), codes(&left)), (Some("unavailable"), vec![110]));
    assert!(left.to_xml().contains("<destroy><reason>Plague</reason></destroy>"));
    stage.network(link, result_of(&command, &[]));
    assert_eq!(stage.only_stanza().attr("type"), Some("result"));
    // Who is not there, and what else owners want.
    stage.says(&format!("<iq type='set' id='w' from='{ROMEO}' to='{ROOM}'>{destroy}</iq>"));
    assert_eq!(condition(&stage.only_stanza()), Some("forbidden"));
    stage.says(&format!("<iq type='get' id='w' from='{ROMEO}' to='{ROOM}'><query xmlns='{owner}'/></iq>"));
    assert_eq!(condition(&stage.only_stanza()), Some("not-allowed"));
}

/// What clients say without words: nobody misses it, or its sender is told.
#[test]
fn what_networks_do_not_know_is_not_said() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    for (inside, answer) in [
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", None),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>", None),
        ("<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>+</reaction></reactions>", Some(())),
        (
            "<apply-to xmlns='urn:xmpp:fasten:0' id='x'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>\
             <body>An excuse</body>",
            Some(()),
        ),
    ] {
        stage
            .says(&format!("<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='w'>{inside}</message>"));
        assert!(stage.frames.is_empty(), "{inside}");
        match answer {
            None => stage.silence(),
            Some(()) => {
                assert_eq!(condition(&stage.only_stanza()), Some("feature-not-implemented"), "{inside}");
            }
        }
    }
    // A declined invitation, from a client that is not in the room.
    stage.says(&format!(
        "<message from='romeo@example.org/study' to='{ROOM}'><x xmlns='{}'><decline to='tybalt@{GATEWAY}'/></x></message>",
        ns::MUC_USER
    ));
    stage.silence();
    assert!(stage.frames.is_empty());
    // A correction (XEP-0308) is a line like any other, and its sender sees it come back as the correction that it is.
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='c'><body>Peace</body>\
         <replace id='b' xmlns='urn:xmpp:message-correct:0'/></message>"
    ));
    let serial = stage.conversation().1.serial.expect("a number");
    stage.network(link, result_of(&RoomCommand { serial, ..RoomCommand::default() }, &[]));
    let back = stage.only_stanza();
    assert_eq!((back.attr("id"), back.find("replace", ns::CORRECT).is_some()), (Some("c"), true));
}
