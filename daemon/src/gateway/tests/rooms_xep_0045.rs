//! Rooms: what XEP-0045 asks of a service beside joining, speaking and leaving.

use super::rooms::{ROOM, codes, end, in_the_room, join, joined, nick, occupant, subject};
use super::*;
use spectrum2_backend_protocol::{RoomCommand, RoomReason};

/// What our own backend announces for a network where names of rooms are like those of people.
const ANY_NAME: &str = "[registration]\nneedPassword=1\nneedRegistration=1\n[features]\nmuc=1\n[rooms]\nprefixes=\n\
                        [extensions]\nname=ack\nname=problem\nname=rooms\n";
const BALCONY: &str = "romeo@example.org/balcony";

fn show(stanza: &Element) -> Option<String> {
    stanza.child_text("show", ns::CLIENT).map(|show| show.into_owned())
}

/// A request to the room, from somebody.
fn asks(stage: &mut Stage, from: &str, kind: &str, items: &str) {
    stage.says(&format!(
        "<iq type='{kind}' id='i' from='{from}' to='{ROOM}'><query xmlns='{}'>{items}</query></iq>",
        ns::MUC_ADMIN
    ));
}

/// The commands that the network has got.
fn commands(stage: &mut Stage) -> Vec<RoomCommand> {
    let commands = stage.frames.iter().filter_map(|(_, frame)| match frame {
        Frame::RoomCommand(command) => Some(command.clone()),
        _ => None,
    });
    let commands = commands.collect();
    stage.frames.clear();
    commands
}

fn result(serial: u64, error: Option<i32>) -> Frame {
    let text = error.map(|_| "You're not channel operator".to_owned());
    Frame::Result(MessageResult {
        user_name: "romeo@example.org".into(),
        serial,
        error,
        text,
        ..MessageResult::default()
    })
}

#[test]
fn what_a_client_shows_in_a_room_all_clients_see() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    join(&mut stage, "balcony", "Romeo", "<history maxchars='0'/>");
    stage.stanzas.clear();
    let away = format!(
        "<presence from='{ROMEO}' to='{ROOM}/Romeo'><show>away</show><status>Dead</status></presence>"
    );
    stage.says(&away);
    assert_eq!(stage.stanzas.len(), 2);
    for (stanza, to) in stage.stanzas.iter().zip([BALCONY, ROMEO]) {
        assert_eq!((nick(stanza), stanza.attr("to"), codes(stanza)), ("Romeo", Some(to), vec![110]));
        assert_eq!(show(stanza).as_deref(), Some("away"));
        assert_eq!(stanza.child_text("status", ns::CLIENT).as_deref(), Some("Dead"));
    }
    stage.stanzas.clear();
    stage.says(&away);
    stage.silence();
    assert!(stage.frames.is_empty(), "it is no wish for another nick");
    // A client that comes later sees the same, and all see that it is over.
    join(&mut stage, "crypt", "Romeo", "<history maxstanzas='0'/>");
    assert_eq!(show(&stage.stanza(presence_from(&format!("{ROOM}/Romeo"), None))).as_deref(), Some("away"));
    stage.stanzas.clear();
    stage.says(&format!("<presence from='{ROMEO}' to='{ROOM}/Romeo'/>"));
    assert_eq!(stage.stanzas.iter().filter(|stanza| show(stanza).is_none()).count(), 3);
}

#[test]
fn parting_words_are_shown() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    stage.says(&format!(
        "<presence type='unavailable' from='{ROMEO}' to='{ROOM}/Romeo'><status>Thus I die</status></presence>"
    ));
    let left = stage.only_stanza();
    assert_eq!((left.attr("type"), codes(&left)), (Some("unavailable"), vec![110]));
    assert_eq!(left.child_text("status", ns::CLIENT).as_deref(), Some("Thus I die"));
}

#[test]
fn a_failed_join_says_that_it_was_one() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.says(&format!("<presence from='{ROMEO}' to='{ROOM}' id='j'><x xmlns='{}'/></presence>", ns::MUC));
    let nameless = stage.only_stanza();
    assert_eq!((condition(&nameless), nameless.attr("id")), (Some("jid-malformed"), Some("j")));
    let named =
        format!("<presence from='{ROMEO}' to='{ROOM}/Romeo' id='k'><x xmlns='{}'/></presence>", ns::MUC);
    stage.says(&named);
    stage.network(link, Frame::RoomRefused(end(RoomReason::Banned, "exiled", "")));
    let banned = stage.only_stanza();
    assert_eq!((condition(&banned), banned.attr("id")), (Some("forbidden"), Some("k")));
    for error in [nameless, banned] {
        assert_eq!(error.attr("type"), Some("error"));
        assert!(error.find("x", ns::MUC).is_some(), "{}", error.to_xml());
    }
}

/// Clients know by the id what an answer is to.
#[test]
fn a_join_and_a_wish_for_a_nick_are_answered_by_their_ids() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.says(&format!(
        "<presence from='{ROMEO}' to='{ROOM}/Romeo' id='j'><x xmlns='{}'/></presence>",
        ns::MUC
    ));
    stage.network(link, occupant("tybalt", 0));
    stage.network(link, joined("Romeo"));
    let ids: Vec<_> = stage.stanzas.iter().map(|stanza| (nick(stanza), stanza.attr("id"))).collect();
    assert_eq!(ids, [("tybalt", None), ("Romeo", Some("j"))]);
    stage.stanzas.clear();
    stage.says(&format!("<presence from='{ROMEO}' to='{ROOM}/tybalt' id='n'/>"));
    stage.network(link, Frame::RoomRefused(end(RoomReason::NickTaken, "in use", "")));
    let refused = stage.stanza(|stanza| stanza.attr("type") == Some("error"));
    assert_eq!((nick(&refused), refused.attr("id")), ("tybalt", Some("n")));
}

/// A whole room must not read what was meant for one in it, because a client does not know that it is not there any more.
#[test]
fn what_is_for_a_room_goes_nowhere_else() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.frames.clear();
    let marked = format!("<x xmlns='{}'/>", ns::MUC_USER);
    for (to, mark) in [
        ("#verona@irc.example.org/tybalt", ""),
        ("#verona@irc.example.org/tybalt", marked.as_str()),
        ("#verona@irc.example.org", ""),
        ("verona%chat.example.net@irc.example.org/tybalt", marked.as_str()),
    ] {
        stage.says(&format!(
            "<message from='{ROMEO}' to='{to}' type='chat' id='1'><body>psst</body>{mark}</message>"
        ));
        assert_eq!(condition(&stage.only_stanza()), Some("not-acceptable"), "{to}");
        assert!(stage.frames.is_empty(), "{to}");
    }
    stage.says(&format!(
        "<iq type='get' from='{ROMEO}' to='{ROOM}/tybalt' id='v'><vCard xmlns='{}'/></iq>",
        ns::VCARD
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("not-acceptable"));
    assert!(stage.frames.is_empty());
    stage.says(&format!(
        "<message from='{ROMEO}' to='nurse@{GATEWAY}/bot' type='chat' id='1'><body>psst</body></message>"
    ));
    assert_eq!(stage.conversation().1.buddy_name, "nurse");
}

#[test]
fn an_occupant_of_nothing_is_told_so() {
    let mut stage = Stage::with("", ANY_NAME);
    stage.romeo_online();
    stage.frames.clear();
    let presence = |to: &str| format!("<presence from='{ROMEO}' to='{to}'><show>away</show></presence>");
    stage.says(&presence("verona@irc.example.org/Romeo"));
    assert_eq!(condition(&stage.only_stanza()), Some("not-acceptable"));
    for to in ["nurse@irc.example.org/bot", "nurse@irc.example.org"] {
        stage.says(&presence(to));
        stage.silence();
    }
    assert!(stage.frames.is_empty());
}

#[test]
fn a_list_is_changed_in_one_request() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let items = "<item nick='tybalt' affiliation='member'/><item nick='paris' affiliation='outcast'/>";
    asks(&mut stage, ROMEO, "set", items);
    stage.silence();
    let asked = commands(&mut stage);
    let nicks: Vec<_> = asked.iter().map(|command| command.nickname.as_str()).collect();
    assert_eq!(nicks, ["tybalt", "paris"]);
    stage.network(link, result(asked[0].serial, None));
    stage.silence();
    stage.network(link, result(asked[1].serial, None));
    let done = stage.only_stanza();
    assert_eq!((done.attr("type"), done.attr("id")), (Some("result"), Some("i")));

    // What fails first is the answer to all, and the only one.
    asks(&mut stage, ROMEO, "set", items);
    let asked = commands(&mut stage);
    stage.network(link, result(asked[0].serial, Some(16)));
    assert_eq!(stage.only_stanza().attr("type"), Some("error"));
    stage.network(link, result(asked[1].serial, None));
    stage.silence();

    // Nothing is done of what is not understood as a whole, nor of what is too much.
    asks(&mut stage, ROMEO, "set", &format!("{items}<item affiliation='member'/>"));
    assert_eq!(condition(&stage.only_stanza()), Some("bad-request"));
    asks(&mut stage, ROMEO, "set", &items.repeat(26));
    assert_eq!(condition(&stage.only_stanza()), Some("resource-constraint"));
    asks(&mut stage, "romeo@example.org/other", "set", items);
    assert_eq!(condition(&stage.only_stanza()), Some("forbidden"));
    assert!(commands(&mut stage).is_empty());

    // A network that answers a part only, and a broken connection, are told once.
    asks(&mut stage, ROMEO, "set", &format!("{items}{items}"));
    let asked = commands(&mut stage);
    stage.network(link, result(asked[0].serial, None));
    stage.wait(61);
    let late = stage.stanzas.iter().filter(|stanza| stanza.attr("id") == Some("i"));
    assert_eq!(late.map(condition).collect::<Vec<_>>(), [Some("remote-server-timeout")]);
    stage.stanzas.clear();
    stage.frames.clear();
    asks(&mut stage, ROMEO, "set", items);
    stage.event(Event::BackendDown(link, "killed".into()));
    let told = stage.stanzas.iter().filter(|stanza| stanza.attr("id") == Some("i")).count();
    assert_eq!(told, 1);
}

#[test]
fn lists_are_of_a_role_or_of_an_affiliation() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    for (wanted, nicks) in [
        ("role='moderator'", &["tybalt"][..]),
        ("role='participant'", &["Romeo"]),
        ("role='visitor'", &[]),
        ("affiliation='admin'", &["tybalt"]),
        ("affiliation='owner'", &[]),
        ("affiliation='member'", &["Romeo"]),
    ] {
        asks(&mut stage, ROMEO, "get", &format!("<item {wanted}/>"));
        let answer = stage.only_stanza();
        let query = answer.find("query", ns::MUC_ADMIN).expect("a list");
        let listed: Vec<_> = query.elements().filter_map(|item| item.attr("nick")).collect();
        assert_eq!(listed, nicks, "{wanted}");
        assert!(query.elements().all(|item| item.attr("jid").is_some() && item.attr("role").is_some()));
    }
    for odd in ["", "<item/>", "<item role='king'/>"] {
        asks(&mut stage, ROMEO, "get", odd);
        assert_eq!(condition(&stage.only_stanza()), Some("bad-request"), "{odd}");
    }
}

/// What of XEP-0045 the network has nothing for.
#[test]
fn requests_that_no_network_knows_are_refused_in_words() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}'><x xmlns='{}' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/muc#request</value></field></x></message>",
        ns::DATA
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("feature-not-implemented"));
    for (kind, namespace, refused) in [
        // XEP-0045 §7.10.
        ("get", ns::REGISTER, "service-unavailable"),
        ("get", ns::MUC_OWNER, "not-allowed"),
    ] {
        stage.says(&format!(
            "<iq type='{kind}' id='q' from='{ROMEO}' to='{ROOM}'><query xmlns='{namespace}'/></iq>"
        ));
        assert_eq!(condition(&stage.only_stanza()), Some(refused), "{namespace}");
    }
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}/tybalt' type='groupchat' id='1'><body>x</body></message>"
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("bad-request"));
}

#[test]
fn a_subject_is_taken_away_and_an_occupant_invited() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage.says(&format!("<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='s'><subject/></message>"));
    let (_, taken) = stage.frame(|frame| match frame {
        Frame::RoomSubjectChanged(message) => Some(message.message.clone()),
        _ => None,
    });
    assert_eq!(taken, "");
    stage.network(link, subject("", "Romeo"));
    let shown = stage.only_stanza();
    assert_eq!((nick(&shown), shown.child_text("subject", ns::CLIENT).as_deref()), ("Romeo", Some("")));
    assert!(shown.find_same("body").is_none());
    // XEP-0045 §8.1: beside a body or a thread it is no change of the subject.
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='t'><subject>Love</subject><body>Ay me</body></message>"
    ));
    assert_eq!(stage.conversation().1.message, "Love\nAy me");

    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}/tybalt' id='v'><x xmlns='{}' jid='{ROOM}'/></message>",
        ns::CONFERENCE
    ));
    let (_, invited) = stage.frame(|frame| match frame {
        Frame::RoomInvite(invitation) => Some(invitation.contact.clone()),
        _ => None,
    });
    assert_eq!(invited, "tybalt");
}
