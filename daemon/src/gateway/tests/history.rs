//! What was said in rooms: archives, the past that a join shows, and staying connected.

use proptest::collection::vec;
use proptest::prelude::*;
use spectrum2_backend_protocol::RoomReason;
use spectrum2_xmpp::xep_0082;

use super::rooms::{ROOM, end, in_the_room, join, joined, occupant, room, said, subject};
use super::*;
use crate::gateway::Token;
use crate::gateway::admin::{Answer as Told, Request as Wish};

const RSM: &str = "http://jabber.org/protocol/rsm";

/// Asks the archive; gives the results and the answer.
fn query(stage: &mut Stage, who: &str, inside: &str) -> (Vec<Element>, Element) {
    stage.stanzas.clear();
    let mam = ns::MAM;
    stage.says(&format!(
        "<iq type='set' id='q' from='{who}' to='{ROOM}'><query xmlns='{mam}' queryid='f27'>{inside}</query></iq>"
    ));
    let answer = stage.stanzas.pop().expect("an answer");
    assert_eq!((answer.name(), answer.attr("id"), answer.attr("from")), ("iq", Some("q"), Some(ROOM)));
    let results = std::mem::take(&mut stage.stanzas);
    let results = results.into_iter().map(|message| {
        assert_eq!((message.attr("from"), message.attr("to")), (Some(ROOM), Some(who)));
        let result = message.find("result", ns::MAM).expect("a result").clone();
        assert_eq!(result.attr("queryid"), Some("f27"));
        result
    });
    (results.collect(), answer)
}

fn form(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| {
            let values: String = value.split(' ').map(|value| format!("<value>{value}</value>")).collect();
            format!("<field var='{var}'>{values}</field>")
        })
        .collect();
    format!(
        "<x xmlns='{}' type='submit'><field var='FORM_TYPE' type='hidden'><value>{}</value></field>{fields}</x>",
        ns::DATA,
        ns::MAM
    )
}

fn set(inside: &str) -> String {
    format!("<set xmlns='{RSM}'>{inside}</set>")
}

fn archived(result: &Element) -> &Element {
    result.find("forwarded", ns::FORWARD).and_then(|f| f.find("message", ns::CLIENT)).expect("a message")
}

fn text(message: &Element) -> String {
    message.child_text("body", ns::CLIENT).unwrap_or_default().into_owned()
}

fn texts(results: &[Element]) -> Vec<String> {
    results.iter().map(|result| text(archived(result))).collect()
}

fn ids(results: &[Element]) -> Vec<String> {
    results.iter().map(|result| result.attr("id").expect("an id").to_owned()).collect()
}

/// The facts of `<fin/>`: complete, first, index, last, count.
fn fin(answer: &Element) -> (bool, String, String, String, String) {
    let fin = answer.find("fin", ns::MAM).unwrap_or_else(|| panic!("no result: {}", answer.to_xml()));
    let set = fin.find("set", ns::RSM).expect("a set");
    let value = |name| set.child_text(name, ns::RSM).unwrap_or_default().into_owned();
    let index = set.find("first", ns::RSM).and_then(|first| first.attr("index")).unwrap_or_default();
    (fin.attr("complete") == Some("true"), value("first"), index.to_owned(), value("last"), value("count"))
}

fn hears(stage: &mut Stage, link: Link, who: &str, what: &str, stamp: &str) {
    stage.network(link, Frame::ConvMessage(said(who, what, stamp)));
}

/// What a client was sent of the room: texts of messages, and `#` for the subject.
fn shown(stage: &mut Stage, client: &str) -> Vec<String> {
    let to = format!("romeo@example.org/{client}");
    let stanzas = std::mem::take(&mut stage.stanzas);
    let messages =
        stanzas.iter().filter(|stanza| stanza.name() == "message" && stanza.attr("to") == Some(&to));
    messages
        .map(|message| if message.find_same("body").is_none() { "#".to_owned() } else { text(message) })
        .collect()
}

/// Romeo is in the room, where five things were said.
fn five(stage: &mut Stage) -> Link {
    let link = in_the_room(stage);
    for n in 1..=5 {
        stage.now = stage.now.after(1_000);
        hears(stage, link, if n % 2 == 0 { "nurse" } else { "tybalt" }, &n.to_string(), "");
    }
    link
}

fn leaves(stage: &mut Stage, client: &str) {
    stage
        .says(&format!("<presence type='unavailable' from='romeo@example.org/{client}' to='{ROOM}/Romeo'/>"));
}

/// Romeo stays connected, is in the room, and his client has gone.
fn away(stage: &mut Stage) -> Link {
    let link = in_the_room(stage);
    leaves(stage, "orchard");
    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.stanzas.clear();
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::LeaveRoom(_) | Frame::Logout(_))));
    link
}

#[test]
fn what_is_said_is_archived_once_under_the_id_that_all_were_told() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    join(&mut stage, "balcony", "Romeo", "");
    stage.stanzas.clear();
    hears(&mut stage, link, "tybalt", "Villains!", "");
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='m1'><body>Peace</body>\
         <x xmlns='{}'/><origin-id xmlns='{}' id='o1'/></message>",
        ns::MUC_USER,
        ns::SID
    ));
    let serial = stage.conversation().1.serial.unwrap();
    let (user_name, text) = ("romeo@example.org".to_owned(), None);
    stage.network(link, Frame::Result(MessageResult { user_name, serial, text, ..Default::default() }));
    let told: Vec<_> = stage
        .stanzas
        .iter()
        .filter(|stanza| stanza.attr("to") == Some(ROMEO))
        .map(|stanza| stanza.find("stanza-id", ns::SID).expect("an id").attr("id").unwrap().to_owned())
        .collect();
    let (results, answer) = query(&mut stage, ROMEO, "");
    assert_eq!(texts(&results), ["Villains!", "Peace"]);
    assert_eq!(ids(&results), told);
    assert_eq!(fin(&answer), (true, told[0].clone(), "0".into(), told[1].clone(), "2".into()));
    let own = archived(&results[1]);
    assert_eq!((own.attr("from"), own.attr("to")), (Some("#verona@irc.example.org/Romeo"), None));
    assert_eq!((own.attr("id"), own.attr("type")), (Some("m1"), Some("groupchat")));
    assert!(own.find("origin-id", ns::SID).is_some() && own.find("x", ns::MUC_USER).is_none());
    let stamp = results[0].find("forwarded", ns::FORWARD).unwrap().find("delay", ns::DELAY).unwrap();
    let stamp = xep_0082::to_unix_ms(stamp.attr("stamp").unwrap());
    assert_eq!(stamp, Some(stage.now.0));

    stage.network(link, subject("Brawls", "tybalt"));
    stage.network(link, subject("Brawls", "tybalt"));
    let (results, _) = query(&mut stage, ROMEO, "");
    assert_eq!(results.len(), 3);
    assert_eq!(archived(&results[2]).child_text("subject", ns::CLIENT).as_deref(), Some("Brawls"));
}

#[test]
fn archives_are_turned_page_by_page() {
    let mut stage = Stage::new();
    five(&mut stage);
    let all = ids(&query(&mut stage, ROMEO, "").0);
    let mut page = |inside: &str| {
        let (results, answer) = query(&mut stage, ROMEO, &set(inside));
        let (complete, first, index, last, count) = fin(&answer);
        let shown = ids(&results);
        assert_eq!(
            (shown.first().cloned().unwrap_or_default(), shown.last().cloned().unwrap_or_default()),
            (first, last)
        );
        assert_eq!(count, "5");
        (texts(&results).concat(), index, complete)
    };
    let part = |texts: &str, index: &str, complete| (texts.to_owned(), index.to_owned(), complete);
    assert_eq!(page("<max>2</max>"), part("12", "0", false));
    assert_eq!(page(&format!("<max>2</max><after>{}</after>", all[1])), part("34", "2", false));
    assert_eq!(page(&format!("<max>2</max><after>{}</after>", all[3])), part("5", "4", true));
    assert_eq!(page(&format!("<max>2</max><after>{}</after>", all[2])), part("45", "3", true));
    assert_eq!(page(&format!("<max>2</max><after>{}</after>", all[4])), part("", "", true));
    assert_eq!(page("<max>2</max><before/>"), part("45", "3", false));
    assert_eq!(page(&format!("<max>2</max><before>{}</before>", all[3])), part("23", "1", false));
    assert_eq!(page(&format!("<max>2</max><before>{}</before>", all[2])), part("12", "0", true));
    assert_eq!(page("<max>2</max><index>3</index>"), part("45", "3", true));
    assert_eq!(page("<max>0</max>"), part("", "", false));
    assert_eq!(page("<max>999999</max>"), part("12345", "0", true));
    for unknown in ["<after>1</after>", "<before>zz</before>", "<after>-1</after>"] {
        let (_, answer) = query(&mut stage, ROMEO, &set(unknown));
        assert_eq!(condition(&answer), Some("item-not-found"), "{unknown}");
    }
}

#[test]
fn archives_are_searched() {
    let mut stage = Stage::new();
    let link = five(&mut stage);
    let (results, _) = query(&mut stage, ROMEO, "");
    let all = ids(&results);
    let stamps: Vec<String> = results
        .iter()
        .map(|r| r.find("forwarded", ns::FORWARD).unwrap().find("delay", ns::DELAY).unwrap())
        .map(|delay| delay.attr("stamp").unwrap().to_owned())
        .collect();
    let some = format!("{} {}", all[4], all[1]);
    for (fields, expected) in [
        (vec![("start", stamps[2].as_str())], "345"),
        (vec![("end", &stamps[2])], "123"),
        (vec![("start", &stamps[1]), ("end", &stamps[3])], "234"),
        (vec![("with", ROOM)], "12345"),
        (vec![("with", "#verona@irc.example.org/nurse")], "24"),
        (vec![("with", "#verona@irc.example.org/nurse"), ("start", &stamps[2])], "4"),
        (vec![("with", "nurse@example.org")], ""),
        (vec![("after-id", &all[3])], "5"),
        (vec![("after-id", &all[0]), ("before-id", &all[3])], "23"),
        (vec![("ids", &some)], "25"),
        (vec![("start", "2099-01-01T00:00:00Z")], ""),
    ] {
        let (results, answer) = query(&mut stage, ROMEO, &form(&fields));
        assert_eq!(texts(&results).concat(), expected, "{fields:?}");
        assert_eq!(fin(&answer).4, expected.len().to_string());
        assert!(fin(&answer).0);
    }
    for (fields, expected) in [
        ([("after-id", "1")], "item-not-found"),
        ([("before-id", "x")], "item-not-found"),
        ([("ids", "1")], "item-not-found"),
        ([("start", "today")], "bad-request"),
        ([("{http://example.com/}search", "x")], "feature-not-implemented"),
    ] {
        let (_, answer) = query(&mut stage, ROMEO, &form(&fields));
        assert_eq!(condition(&answer), Some(expected), "{fields:?}");
    }
    let (flipped, answer) = query(&mut stage, ROMEO, &format!("{}<flip-page/>", set("<max>3</max>")));
    assert_eq!(texts(&flipped).concat(), "321");
    assert_eq!((fin(&answer).1, fin(&answer).3), (all[0].clone(), all[2].clone()));

    let mut get = |payload: &str| {
        stage.stanzas.clear();
        stage.says(&format!(
            "<iq type='get' id='g' from='{ROMEO}' to='{ROOM}'><{payload} xmlns='{}'/></iq>",
            ns::MAM
        ));
        stage.only_stanza().to_xml()
    };
    let metadata = get("metadata");
    for (end, id, stamp) in [("start", &all[0], &stamps[0]), ("end", &all[4], &stamps[4])] {
        assert!(metadata.contains(&format!("<{end} id='{id}' timestamp='{stamp}'/>")), "{metadata}");
    }
    for field in ["with", "start", "end", "before-id", "after-id", "ids"] {
        assert!(get("query").contains(&format!("var='{field}'")));
    }
    hears(&mut stage, link, "nurse", "6", "");
    assert_eq!(texts(&query(&mut stage, ROMEO, &form(&[("after-id", &all[4])])).0), ["6"]);
}

#[test]
fn nobody_reads_the_archive_of_another() {
    let mut stage = Stage::new();
    five(&mut stage);
    stage.registered("juliet@example.org", "juliet");
    for stranger in ["juliet@example.org/balcony", "tybalt@example.org/x"] {
        let (results, answer) = query(&mut stage, stranger, "");
        assert!(results.is_empty(), "{stranger}");
        match condition(&answer) {
            None => assert_eq!(fin(&answer).4, "0"),
            refusal => assert_eq!(refusal, Some("registration-required")),
        }
    }
    let id = ids(&query(&mut stage, ROMEO, "").0).remove(0);
    let (_, answer) = query(&mut stage, "juliet@example.org/balcony", &form(&[("ids", &id)]));
    assert_eq!(condition(&answer), Some("item-not-found"), "not even that there is such a message");
}

#[test]
fn an_archive_says_that_it_is_one_unless_it_is_off() {
    let features = |stage: &mut Stage| {
        stage.stanzas.clear();
        stage.says(&format!(
            "<iq type='get' id='d' from='{ROMEO}' to='{ROOM}'><query xmlns='{}'/></iq>",
            ns::DISCO_INFO
        ));
        stage.only_stanza().to_xml()
    };
    let mut stage = Stage::new();
    five(&mut stage);
    let info = features(&mut stage);
    assert!(info.contains("var='urn:xmpp:mam:2'") && info.contains("var='urn:xmpp:mam:2#extended'"));

    for off in ["archive_size=0\n", "[database]\ntype=none\n"] {
        let mut stage = Stage::with(off, OURS);
        five(&mut stage);
        assert!(!features(&mut stage).contains("urn:xmpp:mam"));
        assert_eq!(condition(&query(&mut stage, ROMEO, "").1), Some("service-unavailable"));
        stage.wait(10);
        let owner: BareJid = "romeo@example.org".parse().unwrap();
        assert_eq!(stage.in_archives(Request::ArchivedRooms(owner)), Answer::Rooms(vec![]));
    }
}

#[test]
fn switched_off_it_forgets_what_it_has() {
    let mut stage = Stage::new();
    five(&mut stage);
    stage.wait(2);
    stage.file = Ok(config("archive_size=0\n"));
    stage.event(Event::Admin(Ticket(1), Wish::Reload));
    stage.wait(3_700);
    let owner: BareJid = "romeo@example.org".parse().unwrap();
    assert_eq!(stage.in_archives(Request::ArchivedRooms(owner)), Answer::Rooms(vec![]));
}

#[test]
fn an_archive_has_its_limits() {
    let mut stage = Stage::with("archive_size=3\narchive_days=2\n", OURS);
    let link = five(&mut stage);
    let (results, answer) = query(&mut stage, ROMEO, "");
    assert_eq!((texts(&results).concat(), fin(&answer).4), ("345".to_owned(), "3".to_owned()));
    stage.wait(86_400);
    hears(&mut stage, link, "nurse", "6", "");
    stage.wait(90_000);
    assert_eq!(texts(&query(&mut stage, ROMEO, "").0).concat(), "6");
    stage.wait(90_000);
    assert!(query(&mut stage, ROMEO, "").0.is_empty());
}

#[test]
fn a_join_shows_the_end_of_the_archive_as_far_as_it_is_wanted() {
    let mut stage = Stage::new();
    let link = five(&mut stage);
    let rejoin = |stage: &mut Stage, history: &str| {
        leaves(stage, "orchard");
        stage.stanzas.clear();
        join(stage, "orchard", "Romeo", history);
        stage.network(link, occupant("Romeo", 0));
        stage.network(link, subject("Streets", ""));
        stage.network(link, joined("Romeo"));
        assert!(
            stage.stanzas.iter().rev().take_while(|s| s.name() == "message").count() + 1
                == stage.stanzas.len()
        );
        shown(stage, "orchard").concat()
    };
    let now = stage.now.0;
    assert_eq!(rejoin(&mut stage, ""), "12345#");
    assert_eq!(rejoin(&mut stage, "<history maxstanzas='2'/>"), "45#");
    assert_eq!(rejoin(&mut stage, "<history maxstanzas='0'/>"), "#");
    assert_eq!(rejoin(&mut stage, "<history maxchars='0'/>"), "#");
    assert_eq!(rejoin(&mut stage, "<history maxchars='100000'/>"), "12345#");
    assert_eq!(rejoin(&mut stage, "<history seconds='0'/>"), "#");
    assert_eq!(rejoin(&mut stage, "<history seconds='2'/>"), "345#");
    assert_eq!(rejoin(&mut stage, "<history seconds='2' maxstanzas='1'/>"), "5#");
    let since = xep_0082::from_unix_ms(now - 1_000);
    assert_eq!(rejoin(&mut stage, &format!("<history since='{since}'/>")), "45#");
    assert_eq!(rejoin(&mut stage, &format!("<history since='{since}' maxstanzas='x'/>")), "45#");

    leaves(&mut stage, "orchard");
    stage.stanzas.clear();
    join(&mut stage, "orchard", "Romeo", "<history maxstanzas='1'/>");
    stage.network(link, joined("Romeo"));
    stage.wait(5);
    let last = stage.stanza(|stanza| text(stanza) == "5");
    let size = last.to_xml().chars().count();
    let delay = last.find("delay", ns::DELAY).expect("it says when");
    assert_eq!(
        (delay.attr("from"), delay.attr("stamp").and_then(xep_0082::to_unix_ms)),
        (Some(ROOM), Some(now))
    );
    let written = size - ns::CLIENT.len() - " xmlns=''".len();
    assert_eq!(rejoin(&mut stage, &format!("<history maxchars='{}'/>", size * 2)), "45#");
    assert_eq!(rejoin(&mut stage, &format!("<history maxchars='{}'/>", written - 1)), "#");
}

#[test]
fn a_second_client_is_shown_the_past_too() {
    let mut stage = Stage::new();
    five(&mut stage);
    stage.stanzas.clear();
    join(&mut stage, "balcony", "Romeo", "<history maxstanzas='2'/>");
    let kinds: Vec<_> = stage.stanzas.iter().map(Element::name).collect();
    assert_eq!(kinds, ["presence", "presence", "message", "message", "message"]);
    assert_eq!(shown(&mut stage, "balcony").concat(), "45#");
}

/// Storage takes its time: what is said meanwhile comes behind what was read, once, and nothing before the occupants.
#[test]
fn what_is_said_while_the_archive_is_read_is_in_order() {
    let mut stage = Stage::new();
    let link = five(&mut stage);
    stage.stanzas.clear();
    let mut waiting: Vec<(Token, Request)> = Vec::new();
    let mut sent: Vec<Element> = Vec::new();
    let mut event = |stage: &mut Stage, event: Event, waiting: &mut Vec<(Token, Request)>| {
        let mut actions = Vec::new();
        stage.gateway.handle(stage.now, event, &mut actions);
        for action in actions {
            match action {
                Action::Store(token, request) => waiting.push((token, request)),
                Action::Stanza(stanza) => sent.push(stanza),
                _ => {}
            }
        }
    };
    let xml = format!(
        "<presence xmlns='{}' from='romeo@example.org/balcony' to='{ROOM}/Romeo'><x xmlns='{}'/></presence>",
        ns::CLIENT,
        ns::MUC
    );
    event(&mut stage, Event::Stanza(Element::parse(&xml).unwrap()), &mut waiting);
    for text in ["6", "7"] {
        event(&mut stage, Event::Frame(link, Frame::ConvMessage(said("nurse", text, ""))), &mut waiting);
    }
    for (token, request) in std::mem::take(&mut waiting) {
        let answer = stage.store(request);
        event(&mut stage, Event::Stored(token, Ok(answer)), &mut waiting);
    }
    event(&mut stage, Event::Frame(link, Frame::ConvMessage(said("nurse", "8", ""))), &mut waiting);
    stage.stanzas = sent;
    let first = stage.stanzas.iter().find(|s| s.attr("to") == Some("romeo@example.org/balcony")).unwrap();
    assert_eq!(first.name(), "presence");
    assert_eq!(shown(&mut stage, "balcony").concat(), "1234567#8");
}

#[test]
fn storage_that_fails_keeps_nobody_out() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let mut actions = Vec::new();
    let xml = format!(
        "<presence xmlns='{}' from='{ROMEO}' to='{ROOM}/Romeo'><x xmlns='{}'/></presence>",
        ns::CLIENT,
        ns::MUC
    );
    stage.gateway.handle(stage.now, Event::Stanza(Element::parse(&xml).unwrap()), &mut actions);
    let Some(Action::Store(token, _)) = actions.iter().find(|action| matches!(action, Action::Store(..)))
    else {
        panic!("the archive is not asked: {actions:?}");
    };
    stage.network(link, joined("Romeo"));
    stage.network(link, subject("Streets", ""));
    hears(&mut stage, link, "nurse", "live", "");
    assert_eq!(shown(&mut stage, "orchard").concat(), "");
    stage.event(Event::Stored(*token, Err(crate::storage::Error("the disk is full".into()))));
    assert_eq!(shown(&mut stage, "orchard").concat(), "#live");
}

#[test]
fn what_the_network_repeats_is_recognised() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    // The network's clock is three minutes ahead.
    let stamp = |stage: &Stage, back: u64| {
        let text = xep_0082::from_unix((stage.now.0 - back) / 1_000 + 180);
        text.replace(['-', ':', 'Z'], "")
    };
    for text in ["one", "two", "two"] {
        stage.now = stage.now.after(1_000);
        hears(&mut stage, link, "tybalt", text, "");
    }
    stage.stanzas.clear();
    let before = query(&mut stage, ROMEO, "").0;

    // A broken connection: the room is entered again, and tells its history again.
    let broken = Disconnected { user: "romeo@example.org".into(), error: 0, message: Some("lost".into()) };
    stage.network(link, Frame::Disconnected(broken));
    stage.wait(3);
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.network(link, joined("Romeo"));
    stage.stanzas.clear();
    for text in ["one", "two", "two", "missed", "two"] {
        let at = stamp(&stage, 4_000);
        hears(&mut stage, link, "tybalt", text, &at);
    }
    assert_eq!(shown(&mut stage, "orchard"), ["missed", "two"], "what was not heard, and only that");
    let after = query(&mut stage, ROMEO, "").0;
    assert_eq!(texts(&after), ["one", "two", "two", "missed", "two"]);
    assert_eq!(ids(&after)[..3], ids(&before)[..]);

    // A later join, of which the core remembers nothing.
    leaves(&mut stage, "orchard");
    join(&mut stage, "orchard", "Romeo", "");
    stage.network(link, joined("Romeo"));
    for text in ["two", "missed", "two", "new"] {
        let at = stamp(&stage, 1_000);
        hears(&mut stage, link, "tybalt", text, &at);
    }
    // From before the archive begins: shown, but not put behind its end.
    hears(&mut stage, link, "nurse", "long ago", "19700101T000000");
    stage.stanzas.clear();
    stage.network(link, subject("Streets", ""));
    let history = shown(&mut stage, "orchard");
    assert_eq!(history.last().map(String::as_str), Some("#"));
    assert_eq!(history.iter().filter(|text| *text == "two").count(), 3);
    assert_eq!(history.iter().filter(|text| *text == "long ago").count(), 1);
    let last = query(&mut stage, ROMEO, "").0;
    assert_eq!(texts(&last), ["one", "two", "two", "missed", "two", "new"]);
    assert_eq!(ids(&last)[..5], ids(&after)[..]);
}

/// Networks tell seconds, we know more: what was said within one second stays in its order.
#[test]
fn the_order_within_a_second_is_kept() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage.now = Time(5_300);
    hears(&mut stage, link, "tybalt", "one", "");
    stage.now = Time(5_400);
    hears(&mut stage, link, "tybalt", "two", "");
    leaves(&mut stage, "orchard");
    stage.now = Time(5_900);
    let rejoin = |stage: &mut Stage, history: &str| {
        join(stage, "orchard", "Romeo", history);
        stage.network(link, joined("Romeo"));
        for text in ["one", "two", "missed"] {
            hears(stage, link, "tybalt", text, "19700101T000005");
        }
        stage.stanzas.clear();
        stage.network(link, subject("Streets", ""));
        let shown = shown(stage, "orchard");
        leaves(stage, "orchard");
        shown
    };
    assert_eq!(rejoin(&mut stage, ""), ["one", "two", "missed", "#"]);
    assert_eq!(rejoin(&mut stage, "<history since='1970-01-01T00:00:05.4Z'/>"), ["two", "missed", "#"]);
    assert_eq!(texts(&query(&mut stage, ROMEO, "").0), ["one", "two", "missed"]);
}

#[test]
fn what_an_irc_bouncer_plays_back_is_recognised() {
    let mut stage = Stage::new();
    let link = five(&mut stage);
    leaves(&mut stage, "orchard");
    join(&mut stage, "orchard", "Romeo", "<history maxstanzas='0'/>");
    stage.network(link, subject("Streets", ""));
    stage.network(link, joined("Romeo"));
    stage.stanzas.clear();
    hears(&mut stage, link, "***", "Buffer Playback...", "");
    hears(&mut stage, link, "nurse", "[12:00:04] 4", "");
    hears(&mut stage, link, "tybalt", "[12:00:05] 5", "");
    hears(&mut stage, link, "tybalt", "[12:00:06] 6", "");
    hears(&mut stage, link, "***", "Playback Complete.", "");
    hears(&mut stage, link, "tybalt", "5", "");
    let expected = ["Buffer Playback...", "[12:00:06] 6", "Playback Complete.", "5"];
    assert_eq!(shown(&mut stage, "orchard"), expected);
}

#[test]
fn who_stays_connected_misses_nothing() {
    for archive in ["", "archive_size=0\n"] {
        let mut stage = Stage::with(&format!("{archive}[settings]\nstay_connected=1\n"), OURS);
        let link = away(&mut stage);
        for n in 0..30 {
            stage.now = stage.now.after(1_000);
            hears(&mut stage, link, "tybalt", &format!("{n} "), "");
        }
        stage.silence();
        stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
        stage.stanzas.clear();
        join(&mut stage, "orchard", "Romeo", "");
        assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::JoinRoom(_))));
        assert!(stage.stanzas.iter().all(|s| text(s).is_empty() || s.find("delay", ns::DELAY).is_some()));
        let heard = shown(&mut stage, "orchard");
        let expected: String = (0..30).map(|n| format!("{n} ")).collect();
        assert_eq!(
            heard.concat(),
            format!("{expected}#"),
            "{archive:?}: more than is usual, for it was missed"
        );

        // He comes back for good, and has heard it.
        hears(&mut stage, link, "tybalt", "live", "");
        assert_eq!(shown(&mut stage, "orchard"), ["live"]);
        leaves(&mut stage, "orchard");
        join(&mut stage, "orchard", "Romeo", "<history maxstanzas='0'/>");
        assert_eq!(shown(&mut stage, "orchard"), ["#"]);
    }
}

#[test]
fn what_is_missed_is_bounded_and_asked_for() {
    let mut stage = Stage::with("archive_size=0\n[settings]\nstay_connected=1\n", OURS);
    let link = away(&mut stage);
    for n in 0..150 {
        hears(&mut stage, link, "tybalt", &n.to_string(), "");
    }
    join(&mut stage, "orchard", "Romeo", "");
    let heard = shown(&mut stage, "orchard");
    assert_eq!((heard.len(), heard[0].as_str()), (101, "50"));
}

#[test]
fn private_words_for_who_is_away_go_to_his_server() {
    let mut stage = Stage::with("[settings]\nstay_connected=1\nsend_headlines=1\n", OURS);
    let link = away(&mut stage);
    let private = ConversationMessage { pm: Some(true), ..said("tybalt", "one word?", "") };
    stage.network(link, Frame::ConvMessage(private));
    let heard = stage.only_stanza();
    assert_eq!(
        (heard.attr("from"), heard.attr("to"), heard.attr("type")),
        (Some("#verona@irc.example.org/tybalt"), Some("romeo@example.org"), Some("chat"))
    );
    let mut chat = ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "nurse".into(),
        message: "Angelica".into(),
        headline: Some(true),
        ..Default::default()
    };
    stage.network(link, Frame::ConvMessage(chat.clone()));
    let heard = stage.only_stanza();
    assert_eq!(
        (heard.attr("to"), heard.attr("type")),
        (Some("romeo@example.org"), Some("chat")),
        "kept, not dropped"
    );
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.stanzas.clear();
    chat.headline = None;
    let buddy = Buddy { user_name: chat.user_name, buddy_name: chat.buddy_name, ..Default::default() };
    stage.network(link, Frame::BuddyTyping(buddy));
    stage.silence();
}

#[test]
fn who_closes_a_room_leaves_it_although_he_stays_connected() {
    let mut stage = Stage::with("[settings]\nstay_connected=1\n", OURS);
    in_the_room(&mut stage);
    leaves(&mut stage, "orchard");
    stage.wait(5);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::LeaveRoom(_))));
    join(&mut stage, "orchard", "Romeo", "");
    stage.wait(20);
    assert!(
        !stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::LeaveRoom(_))),
        "he thought better of it"
    );
    leaves(&mut stage, "orchard");
    stage.wait(15);
    stage.frame(|frame| matches!(frame, Frame::LeaveRoom(_)).then_some(()));

    // Gone, and back at once, but not in the room yet.
    let mut stage = Stage::with("[settings]\nstay_connected=1\n", OURS);
    away(&mut stage);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(20);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::LeaveRoom(_))));

    let mut stage = Stage::with("[settings]\nstay_connected=1\n", OURS);
    let link = away(&mut stage);
    let broken = Disconnected { user: "romeo@example.org".into(), error: 0, message: Some("lost".into()) };
    stage.network(link, Frame::Disconnected(broken));
    stage.wait(3);
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
    stage.network(link, Frame::RoomLeft(end(RoomReason::Kicked, "", "")));
}

/// What storage has of Romeo's rooms.
fn kept(stage: &mut Stage) -> Option<String> {
    stage.wait(3);
    let romeo = stage.database.get(&"romeo@example.org".parse::<BareJid>().unwrap()).expect("he is stored");
    romeo.settings.iter().find(|(name, _)| name == "server:rooms").map(|(_, value)| value.clone())
}

/// The daemon starts again; nobody is at home at Romeo's.
fn restarted(stage: Stage, options: &str) -> Stage {
    let mut later = Stage::unconnected(options, OURS);
    (later.database, later.online, later.archives) = (stage.database, stage.online, stage.archives);
    later.now = stage.now.after(5_000);
    later.event(Event::XmppUp);
    later.wait(5);
    later.says(&format!("<presence from='romeo@example.org' to='{GATEWAY}' type='unavailable'/>"));
    later.wait(5);
    later
}

fn logs_in(stage: &mut Stage) -> (Link, Login) {
    let (link, login) = stage.login_of("romeo@example.org");
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    (link, login)
}

fn asks_to_join(stage: &mut Stage) -> (Link, spectrum2_backend_protocol::Room) {
    stage.frame(|frame| match frame {
        Frame::JoinRoom(room) => Some(room.clone()),
        _ => None,
    })
}

#[test]
fn who_stays_connected_is_in_his_rooms_after_a_restart() {
    let options = "[settings]\nstay_connected=1\n";
    for stopped in [true, false] {
        let mut stage = Stage::with(options, OURS);
        let link = away(&mut stage);
        for n in 0..30 {
            stage.now = stage.now.after(1_000);
            hears(&mut stage, link, "tybalt", &format!("{n} "), "");
        }
        stage.wait(3);
        if stopped {
            stage.event(Event::Stop);
        }
        let mut stage = restarted(stage, options);
        let (link, login) = logs_in(&mut stage);
        let told = login.settings.unwrap_or_default().value;
        assert!(told.iter().all(|(name, _)| !name.starts_with("server:")), "{told:?}");
        let (_, room) = asks_to_join(&mut stage);
        assert_eq!((room.room.as_str(), room.nickname.as_str()), ("#verona", "Romeo"));
        for frame in [subject("The streets", "tybalt"), occupant("tybalt", 1), occupant("Romeo", 0)] {
            stage.network(link, frame);
        }
        stage.network(link, joined("Romeo"));
        for n in 30..40 {
            stage.now = stage.now.after(1_000);
            hears(&mut stage, link, "tybalt", &format!("{n} "), "");
        }
        stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
        stage.stanzas.clear();
        join(&mut stage, "orchard", "Romeo", "");
        let expected: String = (0..40).map(|n| format!("{n} ")).collect();
        assert_eq!(shown(&mut stage, "orchard").concat(), format!("{expected}#"), "stopped: {stopped}");
    }
}

#[test]
fn a_room_is_remembered_with_its_password_which_nobody_is_shown() {
    let options = "[settings]\nstay_connected=1\n";
    let mut stage = Stage::with(options, OURS);
    let link = stage.romeo_online();
    join(&mut stage, "orchard", "Romeo", "<password>balcony</password>");
    assert_eq!(kept(&mut stage), None, "he is not in it yet");
    stage.network(link, joined("Romeo"));
    assert!(kept(&mut stage).unwrap().contains("balcony"));
    stage.network(link, Frame::RoomNicknameChanged(room("Montague")));
    assert!(kept(&mut stage).unwrap().contains("Montague"));

    let mut stage = restarted(stage, options);
    logs_in(&mut stage);
    let (_, wanted) = asks_to_join(&mut stage);
    assert_eq!((wanted.nickname.as_str(), wanted.password.as_deref()), ("Montague", Some("balcony")));
    stage.event(Event::Admin(Ticket(1), Wish::ExportUser("romeo@example.org".parse().unwrap())));
    stage.event(Event::Admin(Ticket(2), Wish::GetUser("romeo@example.org".parse().unwrap())));
    assert_eq!(stage.answers.len(), 2);
    let told = format!("{:?}", stage.answers);
    assert!(!told.contains("balcony"), "{told}");
    let Some((_, Ok(Told::Export(export)))) = stage.answers.first() else { panic!("no export: {told}") };
    assert!(export.settings.iter().any(|(name, rooms)| name == "server:rooms" && rooms.contains("#verona")));
}

#[test]
fn a_room_that_is_left_for_good_is_forgotten() {
    let on = "[settings]\nstay_connected=1\n";
    let erased = Some(String::new());

    let mut stage = Stage::new();
    in_the_room(&mut stage);
    assert_eq!(kept(&mut stage), None, "he does not stay connected");

    let mut stage = Stage::with(on, OURS);
    in_the_room(&mut stage);
    assert!(kept(&mut stage).unwrap().contains("verona"));
    leaves(&mut stage, "orchard");
    stage.wait(15);
    assert_eq!(kept(&mut stage), erased);

    let mut stage = Stage::with(on, OURS);
    let link = away(&mut stage);
    assert!(kept(&mut stage).unwrap().contains("verona"));
    stage.network(link, Frame::RoomLeft(end(RoomReason::Kicked, "", "")));
    assert_eq!(kept(&mut stage), erased);

    // The room is not there any more after the restart.
    for (reason, there) in [(RoomReason::Password, false), (RoomReason::Full, true)] {
        let mut stage = Stage::with(on, OURS);
        away(&mut stage);
        stage.wait(3);
        let mut stage = restarted(stage, on);
        let (link, _) = logs_in(&mut stage);
        asks_to_join(&mut stage);
        stage.network(link, Frame::RoomRefused(end(reason, "no", "")));
        assert_eq!(kept(&mut stage) != erased, there, "{reason:?}");
    }

    // He, or the admin, switches it off.
    let mut stage = Stage::with(on, OURS);
    in_the_room(&mut stage);
    assert!(kept(&mut stage).unwrap().contains("verona"));
    stage.fill_in(ROMEO, "settings", &[("stay_connected", "0"), ("enable_transport", "1")]);
    assert_eq!(kept(&mut stage), erased);

    let mut stage = Stage::with(on, OURS);
    away(&mut stage);
    stage.wait(3);
    let mut stage = restarted(stage, "");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    logs_in(&mut stage);
    assert_eq!(kept(&mut stage), erased);
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::JoinRoom(_))));

    // The row goes with the user, and does not come back with him.
    let mut stage = Stage::with(on, OURS);
    in_the_room(&mut stage);
    stage.event(Event::Admin(Ticket(1), Wish::UnregisterUser("romeo@example.org".parse().unwrap())));
    stage.registered("romeo@example.org", "romeo");
    assert_eq!(kept(&mut stage), None);
}

#[test]
fn a_break_that_lasts_ends_no_stay_of_who_is_away() {
    let mut stage = Stage::with("[settings]\nstay_connected=1\n", OURS);
    let mut link = away(&mut stage);
    for _ in 0..4 {
        let broken =
            Disconnected { user: "romeo@example.org".into(), error: 0, message: Some("lost".into()) };
        stage.network(link, Frame::Disconnected(broken));
        while !stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Login(_))) {
            stage.wait(1);
        }
        link = stage.login_of("romeo@example.org").0;
    }
    stage.frames.clear();
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let (_, room) = asks_to_join(&mut stage);
    assert_eq!(room.room, "#verona");
}

#[test]
fn who_comes_and_goes_while_his_rooms_are_joined_again_stays_in_them() {
    let on = "[settings]\nstay_connected=1\n";
    let mut stage = Stage::with(on, OURS);
    away(&mut stage);
    stage.wait(3);
    let mut stage = restarted(stage, on);
    let (link, _) = logs_in(&mut stage);
    asks_to_join(&mut stage);
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    join(&mut stage, "orchard", "Romeo", "");
    leaves(&mut stage, "orchard");
    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.wait(20);
    stage.network(link, joined("Romeo"));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::LeaveRoom(_))));

    // A client that was not told of the restart closes the room.
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    leaves(&mut stage, "orchard");
    stage.wait(20);
    stage.frame(|frame| matches!(frame, Frame::LeaveRoom(_)).then_some(()));
    assert_eq!(kept(&mut stage), Some(String::new()));
}

#[test]
fn what_was_archived_goes_with_its_owner() {
    let mut stage = Stage::new();
    let link = five(&mut stage);
    stage.event(Event::Admin(Ticket(1), Wish::ExportUser("romeo@example.org".parse().unwrap())));
    let Some((_, Ok(Told::Export(export)))) = stage.answers.pop() else { panic!("no export") };
    assert_eq!((export.archives[0].room.as_str(), export.archives[0].messages), (ROOM, 5));

    hears(&mut stage, link, "tybalt", "not written yet", "");
    stage.event(Event::Admin(Ticket(2), Wish::UnregisterUser("romeo@example.org".parse().unwrap())));
    assert_eq!(stage.answers.pop(), Some((Ticket(2), Ok(Told::Done))));
    stage.registered("romeo@example.org", "romeo");
    stage.wait(120);
    let (results, answer) = query(&mut stage, ROMEO, "");
    assert!(results.is_empty(), "{}", answer.to_xml());
}

#[test]
fn ids_go_on_although_the_clock_is_put_back() {
    let mut stage = Stage::new();
    stage.event(Event::Clock(1_795_000_000_000));
    let link = in_the_room(&mut stage);
    hears(&mut stage, link, "tybalt", "before", "");
    stage.event(Event::Clock(1_000_000_000_000));
    hears(&mut stage, link, "nurse", "after", "");
    let (results, _) = query(&mut stage, ROMEO, "");
    assert_eq!(texts(&results), ["before", "after"]);
    let forwarded = results[1].elements().next().expect("the message");
    let stamp = forwarded.find("delay", ns::DELAY).and_then(|delay| delay.attr("stamp"));
    assert!(stamp.is_some_and(|stamp| stamp.starts_with("2001-09-09T")), "{stamp:?}");
}

#[test]
fn ids_go_on_after_a_restart_although_the_clock_was_put_back() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    let mut lines = crate::storage::Lines::default();
    let line = crate::storage::NewLine { id: i64::MAX / 2, stamp: 1_000, nick: "tybalt" };
    // All of the stanza, as it was written once.
    let text = format!("<message xmlns='{}' from='{ROOM}/tybalt'><body>before</body></message>", ns::CLIENT);
    lines.push(&"romeo@example.org".parse().unwrap(), "#verona", line, |out| out.push_str(&text));
    stage.in_archives(Request::Archive(lines, 100));
    let mut later = Stage::unconnected("", OURS);
    std::mem::swap(&mut later.archives, &mut stage.archives);
    later.event(Event::XmppUp);
    let link = in_the_room(&mut later);
    hears(&mut later, link, "nurse", "after", "");
    assert_eq!(texts(&query(&mut later, ROMEO, "").0), ["before", "after"]);
}

#[test]
fn backends_wait_for_storage_that_is_behind() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let mut unwritten = Vec::new();
    let mut said_so_far = 0;
    while stage.gateway.accepts_frames() {
        let frame = Frame::ConvMessage(said("tybalt", "Hate the word", ""));
        let mut actions = Vec::new();
        stage.gateway.handle(stage.now, Event::Frame(link, frame), &mut actions);
        unwritten.extend(actions.into_iter().filter_map(|action| match action {
            Action::Store(token, request) => Some((token, request)),
            _ => None,
        }));
        said_so_far += 1;
        assert!(said_so_far <= 6_000, "what waits for storage is bounded");
    }
    for (token, request) in unwritten {
        let answer = stage.store(request);
        stage.event(Event::Stored(token, Ok(answer)));
    }
    assert!(stage.gateway.accepts_frames());
    stage.wait(2);
    assert_eq!(fin(&query(&mut stage, ROMEO, &set("<max>0</max>")).1).4, said_so_far.to_string());
}

#[test]
fn a_client_has_so_many_queries_under_way() {
    let mut stage = Stage::new();
    five(&mut stage);
    let xml = format!(
        "<iq xmlns='{}' type='set' id='q' from='{ROMEO}' to='{ROOM}'><query xmlns='{}'/></iq>",
        ns::CLIENT,
        ns::MAM
    );
    let mut refused = 0;
    for _ in 0..12 {
        let mut actions = Vec::new();
        stage.gateway.handle(stage.now, Event::Stanza(Element::parse(&xml).unwrap()), &mut actions);
        refused += actions.iter().filter(|action| matches!(action, Action::Stanza(_))).count();
    }
    assert_eq!(refused, 2);
}

#[test]
fn a_contact_has_no_archive() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Nurse", StatusType::Online);
    stage.stanzas.clear();
    for (to, expected) in [("nurse@irc.example.org", "service-unavailable"), (GATEWAY, "service-unavailable")]
    {
        stage.says(&format!(
            "<iq type='set' id='q' from='{ROMEO}' to='{to}'><query xmlns='{}'/></iq>",
            ns::MAM
        ));
        assert_eq!(condition(&stage.only_stanza()), Some(expected), "{to}");
    }
}

/// Something happens around a room.
#[derive(Clone, Copy, Debug)]
enum Step {
    Joins(usize),
    Leaves(usize),
    Speaks,
    /// Storage answers at once, or not before it is asked to.
    Slow(bool),
    Answers,
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize).prop_map(Step::Joins),
        2 => (0..3_usize).prop_map(Step::Leaves),
        8 => Just(Step::Speaks),
        2 => any::<bool>().prop_map(Step::Slow),
        2 => Just(Step::Answers),
        1 => (0..2_000_u64).prop_map(Step::Passes),
    ]
}

/// Romeo's clients come and go, somebody counts, and storage is slow.
struct Count {
    stage: Stage,
    link: Link,
    slow: bool,
    requests: std::collections::VecDeque<(Token, Request)>,
    /// What each client has heard since it joined; none if it is not there.
    heard: [Option<Vec<u32>>; 3],
    last: u32,
}

impl Count {
    fn event(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.stage.gateway.handle(self.stage.now, event, &mut actions);
        for action in actions {
            match action {
                Action::Store(token, request) => self.requests.push_back((token, request)),
                Action::Stanza(stanza) if stanza.name() == "message" => self.hears(&stanza),
                _ => {}
            }
        }
        while !self.slow && self.answers() {}
    }

    fn answers(&mut self) -> bool {
        let Some((token, request)) = self.requests.pop_front() else { return false };
        let answer = self.stage.store(request);
        self.event(Event::Stored(token, Ok(answer)));
        true
    }

    fn hears(&mut self, message: &Element) {
        let client = message.attr("to").and_then(|to| to.strip_prefix("romeo@example.org/c"));
        let client: usize = client.expect("a client").parse().expect("its number");
        let heard = self.heard[client].as_mut().expect("who is not there is told nothing");
        if let Ok(number) = text(message).parse() {
            heard.push(number);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Joins(client) => {
                self.heard[client] = Some(Vec::new());
                let x = format!("<x xmlns='{}'/>", ns::MUC);
                self.presence(client, "", &x);
            }
            Step::Leaves(client) => {
                self.presence(client, "type='unavailable'", "");
                self.heard[client] = None;
            }
            Step::Speaks => {
                self.last += 1;
                let frame = Frame::ConvMessage(said("tybalt", &self.last.to_string(), ""));
                self.event(Event::Frame(self.link, frame));
            }
            Step::Slow(slow) => {
                self.slow = slow;
                self.event(Event::Tick);
            }
            Step::Answers => {
                self.answers();
            }
            Step::Passes(milliseconds) => {
                self.stage.now = self.stage.now.after(milliseconds);
                self.event(Event::Tick);
            }
        }
    }

    fn presence(&mut self, client: usize, kind: &str, inside: &str) {
        let (to, namespace) = (format!("{ROOM}/Romeo"), ns::CLIENT);
        let from = format!("romeo@example.org/c{client}");
        let xml = format!("<presence xmlns='{namespace}' {kind} from='{from}' to='{to}'>{inside}</presence>");
        self.event(Event::Stanza(Element::parse(&xml).expect("well-formed XML")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: crate::testing::seed(), ..ProptestConfig::default() })]

    #[test]
    fn whoever_joins_hears_everything_once_and_in_order(steps in vec(step(), 1..80), archive in any::<bool>()) {
        let size = if archive { "" } else { "archive_size=0\n" };
        let mut stage = Stage::with(&format!("{size}[settings]\nstay_connected=1\n"), OURS);
        let link = away(&mut stage);
        let requests = std::collections::VecDeque::new();
        let mut count = Count { stage, link, slow: false, requests, heard: [const { None }; 3], last: 0 };
        for step in steps {
            count.step(step);
        }
        count.step(Step::Slow(false));
        count.step(Step::Speaks);
        let last = count.last;
        for heard in count.heard.iter().flatten() {
            prop_assert_eq!(heard.last(), Some(&last));
            prop_assert!(heard.windows(2).all(|two| two[1] == two[0] + 1), "{:?}", heard);
            // Without an archive there is no past for somebody who joins beside others.
            prop_assert!(!archive || heard.len() >= last.min(20) as usize, "{:?} of {}", heard, last);
        }
        if archive {
            let all = set("<max>200</max>");
            let (results, _) = query(&mut count.stage, ROMEO, &all);
            let archived: Vec<u32> = texts(&results).iter().filter_map(|text| text.parse().ok()).collect();
            prop_assert_eq!(archived, (1..=last).collect::<Vec<_>>());
        }
    }
}

/// What a line of the archive says already is not written, and is there again when it is read.
#[test]
fn a_message_comes_out_of_the_archive_as_it_was_shown() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage.stanzas.clear();
    hears(&mut stage, link, "tybalt", "Peace? <I> hate & 'hate' the word", "");
    hears(&mut stage, link, "", "The server speaks", "");
    stage.network(link, subject("A public place", "tybalt"));
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='own' xml:lang='it'><body>Pace</body>\
         <origin-id xmlns='{}' id='o'/></message>",
        ns::SID
    ));
    let serial = stage.conversation().1.serial.expect("a number");
    let user_name = "romeo@example.org".to_owned();
    stage.network(link, Frame::Result(MessageResult { user_name, serial, ..Default::default() }));
    let mut shown = std::mem::take(&mut stage.stanzas);
    shown.iter_mut().for_each(|message| drop(message.remove_attr("to")));
    let parts = |message: &Element| {
        let mut attributes: Vec<_> =
            message.attributes().map(|(name, value)| format!("{name}={value}")).collect();
        let mut children: Vec<_> = message.elements().map(Element::to_xml).collect();
        attributes.sort();
        children.sort();
        (attributes, children)
    };
    let (results, _) = query(&mut stage, ROMEO, "");
    let read: Vec<_> = results.iter().map(|result| parts(archived(result))).collect();
    assert_eq!(read.len(), 4);
    assert_eq!(read, shown.iter().map(parts).collect::<Vec<_>>());
}
