//! What an account keeps on the server, and what the server answers in its place.

use spectrum2_xmpp::xep_0030::{Identity, Info};
use spectrum2_xmpp::xep_0115::Caps;

use super::*;

/// Asks, and gives the answer.
#[track_caller]
fn asks(stage: &mut Stage, client: Client, kind: &str, content: &str) -> Element {
    stage.says(client, &format!("<iq type='{kind}' id='q'>{content}</iq>"));
    stage.hears_of(client, iq("q"))
}

#[test]
fn private_storage_is_kept_for_the_next_time() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let get = |element: &str| format!("<query xmlns='{}'>{element}</query>", ns::PRIVATE);
    let bookmarks =
        "<storage xmlns='storage:bookmarks'><conference jid='%23verona@irc.example.org'/></storage>";
    let notes = "<notes xmlns='urn:example:notes'><note>Buy poison</note></notes>";
    let other = "<other xmlns='urn:example:other' x='1'/>";
    for element in [bookmarks, notes, other] {
        assert_eq!(asks(&mut stage, client, "set", &get(element)).attr("type"), Some("result"));
    }
    stage.piece(client, Piece::Close);
    stage.wait(100);
    let (client, link) = stage.romeo_bound("phone");
    assert!(link.is_some(), "he was forgotten meanwhile");
    let (_, user) = stage.database.first_key_value().expect("he is stored");
    assert!(
        user.settings.iter().any(|(var, value)| var == "storage" && value == bookmarks),
        "where Spectrum 2 has them"
    );
    let first = |answer: &Element| {
        answer.find("query", ns::PRIVATE).and_then(|query| query.elements().next()).cloned()
    };
    let got = first(&asks(&mut stage, client, "get", &get("<storage xmlns='storage:bookmarks'/>")));
    assert_eq!(got, Some(parse(bookmarks)));
    let got = first(&asks(&mut stage, client, "get", &get("<notes xmlns='urn:example:notes'/>")));
    assert_eq!(got, Some(parse(notes)));
    let got = first(&asks(&mut stage, client, "get", &get("<none xmlns='urn:example:none'/>")));
    assert_eq!(got, Some(parse("<none xmlns='urn:example:none'/>")));
    asks(&mut stage, client, "set", &get("<notes xmlns='urn:example:notes'/>"));
    let got = first(&asks(&mut stage, client, "get", &get("<notes xmlns='urn:example:notes'/>")));
    assert_eq!(got, Some(parse("<notes xmlns='urn:example:notes'/>")), "an empty element deletes");
}

#[test]
fn private_storage_has_an_end() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let query = |content: &str| format!("<query xmlns='{}'>{content}</query>", ns::PRIVATE);
    let large = format!("<x xmlns='urn:x'>{}</x>", "x".repeat(40_000));
    assert_eq!(asks(&mut stage, client, "set", &query(&large)).attr("type"), Some("result"));
    let more = large.replace("urn:x", "urn:y");
    assert_eq!(condition(&asks(&mut stage, client, "set", &query(&more))), Some("resource-constraint"));
    assert_eq!(condition(&asks(&mut stage, client, "set", &query(""))), Some("not-acceptable"));
    assert_eq!(condition(&asks(&mut stage, client, "set", &query("<x/>"))), Some("not-acceptable"));
}

#[test]
fn settings_of_the_server_are_not_for_backends() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let card = format!("<vCard xmlns='{}'><FN>Romeo</FN></vCard>", ns::VCARD);
    assert_eq!(asks(&mut stage, client, "set", &card).attr("type"), Some("result"));
    stage.frame(|frame| {
        matches!(frame, Frame::VCard(card) if card.fullname.as_deref() == Some("Romeo")).then_some(())
    });
    stage.piece(client, Piece::Close);
    let client = stage.connects(Cover::Encrypted);
    stage.opens(client);
    stage.authenticates(client, ROMEO, PASSWORD);
    let (_, login) = stage.login_of(ROMEO_JID);
    let settings = login.settings.expect("settings").value;
    assert!(!settings.keys().any(|name| name.starts_with("server:")), "{settings:?}");
}

#[test]
fn the_own_vcard() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let empty = asks(&mut stage, client, "get", &format!("<vCard xmlns='{}'/>", ns::VCARD));
    assert!(empty.find("vCard", ns::VCARD).is_some_and(|card| card.nodes().is_empty()));
    let card = format!("<vCard xmlns='{}'><FN>Romeo</FN></vCard>", ns::VCARD);
    asks(&mut stage, client, "set", &card);
    let answer = asks(&mut stage, client, "get", &format!("<vCard xmlns='{}'/>", ns::VCARD));
    assert_eq!(
        answer.find("vCard", ns::VCARD).and_then(|card| card.child_text("FN", ns::VCARD)).as_deref(),
        Some("Romeo")
    );
    let large = card.replace("Romeo", &"x".repeat(140_000));
    assert_eq!(condition(&asks(&mut stage, client, "set", &large)), Some("resource-constraint"));
}

#[test]
fn a_new_avatar_reaches_the_network() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    let card = format!(
        "<vCard xmlns='{}'><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw==</BINVAL></PHOTO></vCard>",
        ns::VCARD
    );
    asks(&mut stage, client, "set", &card);
    stage.frames.clear();
    stage.says(
        client,
        &format!("<presence><x xmlns='{}'><photo>abc</photo></x></presence>", ns::VCARD_UPDATE),
    );
    let (_, frame) = stage.frame(|frame| match frame {
        Frame::VCard(card) => Some(card.clone()),
        _ => None,
    });
    assert_eq!(frame.photo.as_deref(), Some(&b"\x89PNG"[..]));
}

#[test]
fn vcards_of_contacts_come_from_the_network() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo_and_nurse();
    stage.says(client, &format!("<iq type='get' id='v' to='{NURSE}'><vCard xmlns='{}'/></iq>", ns::VCARD));
    let (_, mut card) = stage.frame(|frame| match frame {
        Frame::VCard(card) => Some(card.clone()),
        _ => None,
    });
    card.fullname = Some("Angelica".into());
    stage.network(link, Frame::VCard(card));
    let answer = stage.hears_of(client, iq("v"));
    assert_eq!(answer.attr("from"), Some(NURSE));
    assert!(answer.to_xml().contains("Angelica"));
}

#[test]
fn the_server_describes_itself() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    stage.says(
        client,
        &format!("<iq type='get' id='d' to='{DOMAIN}'><query xmlns='{}'/></iq>", ns::DISCO_INFO),
    );
    let answer = stage.hears_of(client, iq("d"));
    let info = Info::read(answer.find("query", ns::DISCO_INFO).expect("a query")).expect("info");
    let identities: Vec<_> = info.identities.iter().map(|identity| identity.category.as_ref()).collect();
    assert_eq!(identities, ["server", "gateway", "conference"]);
    for feature in [ns::BLOCKING, ns::CARBONS, ns::MUC, ns::PING, ns::PRIVATE, ns::COMMANDS, ns::VCARD] {
        assert!(info.has(feature), "{feature}");
    }
    assert!(!info.has(ns::REGISTER));
    let mut features = info.features.clone();
    features.sort();
    features.dedup();
    assert_eq!(features.len(), info.features.len(), "XEP-0030 §3.1: each once");
    let account = asks(&mut stage, client, "get", &format!("<query xmlns='{}'/>", ns::DISCO_INFO));
    assert!(account.to_xml().contains("category='account'"), "{account:?}");
}

#[test]
fn small_requests() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    for content in [
        "<ping xmlns='urn:xmpp:ping'/>",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        "<query xmlns='jabber:iq:last'/>",
    ] {
        assert_eq!(asks(&mut stage, client, "get", content).attr("type"), Some("result"), "{content}");
    }
    stage.wait(10);
    stage.says(client, &format!("<iq type='get' id='l' to='{DOMAIN}'><query xmlns='{}'/></iq>", ns::LAST));
    assert!(stage.hears_of(client, iq("l")).to_xml().contains("seconds='10'"));
    stage.says(client, &format!("<iq type='get' id='t' to='{DOMAIN}'><time xmlns='{}'/></iq>", ns::TIME));
    let time = stage.hears_of(client, iq("t"));
    assert!(time.to_xml().contains("<tzo>+00:00</tzo><utc>2026-11-18T"), "{time:?}");
    for (to, content) in [
        (DOMAIN, "<ping xmlns='urn:xmpp:ping'/>"),
        (DOMAIN, "<query xmlns='jabber:iq:version'/>"),
        (NURSE, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ] {
        stage.says(client, &format!("<iq type='get' id='x' to='{to}'>{content}</iq>"));
        let answer = stage.hears_of(client, iq("x"));
        assert_eq!((answer.attr("type"), answer.attr("from")), (Some("result"), Some(to)), "{content}");
    }
    assert_eq!(
        condition(&asks(&mut stage, client, "get", "<odd xmlns='urn:x'/>")),
        Some("service-unavailable")
    );
    assert_eq!(
        condition(&asks(&mut stage, client, "set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")),
        Some("not-allowed")
    );
}

#[test]
fn whom_the_user_blocks_he_does_not_hear_nor_reach() {
    let mut stage = Stage::with("more_resources=1");
    let (client, link) = stage.romeo_and_nurse();
    let (other, _) = stage.romeo("phone");
    asks(&mut stage, other, "get", "<blocklist xmlns='urn:xmpp:blocking'/>");
    asks(
        &mut stage,
        client,
        "set",
        &format!("<block xmlns='{}'><item jid='{NURSE}'/></block>", ns::BLOCKING),
    );
    let heard = stage.hears(other);
    assert!(
        heard.iter().any(|stanza| stanza.find("block", ns::BLOCKING).is_some()),
        "who knows the list is told: {heard:#?}"
    );
    assert!(heard.iter().any(presence_from(NURSE, Some("unavailable"))));
    stage.sent.clear();
    stage.writes(link, "nurse", "Romeo?");
    stage.buddy(link, "nurse", "Nanny", StatusType::Away);
    assert!(stage.sent.is_empty(), "{:?}", stage.sent);
    stage.says(client, &format!("<message id='m' to='{NURSE}' type='chat'><body>x</body></message>"));
    let error = stage.hears_of(client, |stanza| stanza.attr("id") == Some("m"));
    assert_eq!(condition(&error), Some("not-acceptable"));
    assert!(error.to_xml().contains("urn:xmpp:blocking:errors"));
    // It is kept.
    stage.piece(client, Piece::Close);
    stage.piece(other, Piece::Close);
    stage.wait(100);
    let (client, link) = stage.romeo("orchard");
    let list = asks(&mut stage, client, "get", "<blocklist xmlns='urn:xmpp:blocking'/>");
    assert!(list.to_xml().contains(NURSE));
    stage.buddy(link.unwrap(), "nurse", "Nanny", StatusType::Online);
    stage.wait(3);
    stage.sent.clear();
    asks(&mut stage, client, "set", "<unblock xmlns='urn:xmpp:blocking'/>");
    stage.hears_of(client, presence_from("nurse@irc.example.org/bot", None));
    stage.writes(link.unwrap(), "nurse", "Romeo!");
    stage.hears_of(client, with_body("Romeo!"));
}

#[test]
fn block_lists_have_an_end() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let items: String = (0..500).map(|n| format!("<item jid='c{n}@{DOMAIN}'/>")).collect();
    let block = |items: &str| format!("<block xmlns='{}'>{items}</block>", ns::BLOCKING);
    assert_eq!(asks(&mut stage, client, "set", &block(&items)).attr("type"), Some("result"));
    assert_eq!(
        asks(&mut stage, client, "set", &block(&items)).attr("type"),
        Some("result"),
        "known ones take no room"
    );
    assert_eq!(
        condition(&asks(&mut stage, client, "set", &block("<item jid='x@y'/>"))),
        Some("resource-constraint")
    );
    assert_eq!(condition(&asks(&mut stage, client, "set", &block(""))), Some("bad-request"));
}

#[test]
fn both_kinds_of_bookmarks_are_the_same() {
    let mut stage = Stage::with("more_resources=1");
    let (old, _) = stage.romeo("orchard");
    let (new, _) = stage.romeo("phone");
    let get = format!("<pubsub xmlns='{}'><items node='{}'/></pubsub>", ns::PUBSUB, ns::BOOKMARKS_PEP);
    let items = |answer: &Element| -> Vec<String> {
        let items = answer.find("pubsub", ns::PUBSUB).and_then(|pubsub| pubsub.find("items", ns::PUBSUB));
        let items = items.expect("items").elements().map(|item| item.attr("id").expect("an id").to_owned());
        items.collect()
    };
    assert!(items(&asks(&mut stage, new, "get", &get)).is_empty());
    let bookmarks = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
                     <conference jid='one@irc.example.org' name='One'/><url url='x'/></storage></query>";
    asks(&mut stage, old, "set", bookmarks);
    assert_eq!(items(&asks(&mut stage, new, "get", &get)), ["one@irc.example.org"]);
    let (third, _) = stage.romeo("tablet");
    let publish = format!(
        "<pubsub xmlns='{}'><publish node='{}'><item id='two@irc.example.org'><conference xmlns='{}' autojoin='true'>\
         <nick>r</nick></conference></item></publish></pubsub>",
        ns::PUBSUB,
        ns::BOOKMARKS_PEP,
        ns::BOOKMARKS_PEP
    );
    assert_eq!(asks(&mut stage, third, "set", &publish).attr("type"), Some("result"));
    assert!(stage.hears(old).is_empty(), "it never asked");
    let stored = asks(
        &mut stage,
        old,
        "get",
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    );
    let xml = stored.to_xml();
    assert!(xml.contains("one@") && xml.contains("two@") && xml.contains("url='x'"), "{xml}");
    let retract = |id: &str| {
        format!(
            "<pubsub xmlns='{}'><retract node='{}'><item id='{id}'/></retract></pubsub>",
            ns::PUBSUB,
            ns::BOOKMARKS_PEP
        )
    };
    assert_eq!(asks(&mut stage, new, "set", &retract("one@irc.example.org")).attr("type"), Some("result"));
    let event = stage.hears_of(third, |stanza| stanza.find("event", ns::PUBSUB_EVENT).is_some());
    assert!(
        event.to_xml().contains("<retract id='one@irc.example.org'/>"),
        "who publishes is told of changes"
    );
    assert_eq!(
        condition(&asks(&mut stage, new, "set", &retract("one@irc.example.org"))),
        Some("item-not-found")
    );
    assert_eq!(items(&asks(&mut stage, new, "get", &get)), ["two@irc.example.org"]);
    for (kind, request, expected) in [
        ("get", get.replace(ns::BOOKMARKS_PEP, "urn:x"), "item-not-found"),
        ("set", publish.replacen(ns::BOOKMARKS_PEP, "urn:x", 1), "feature-not-implemented"),
        ("set", publish.replace("two@irc.example.org", ""), "bad-request"),
        ("set", format!("<pubsub xmlns='{}'/>", ns::PUBSUB), "bad-request"),
        ("set", publish.replace("<nick>r", &format!("<nick>{}", "r".repeat(70_000))), "resource-constraint"),
    ] {
        assert_eq!(condition(&asks(&mut stage, new, kind, &request)), Some(expected));
    }
}

/// A client that shows these capabilities.
fn shows_caps(stage: &mut Stage, client: Client, caps: &Caps) {
    stage.says(client, &format!("<presence>{}</presence>", caps.element().to_xml()));
}

/// What a client can do.
fn info(feature: &'static str) -> Info {
    Info::default().identity(Identity::new("client", "phone")).feature(feature)
}

fn publishes_bookmark(stage: &mut Stage, client: Client, room: &str) {
    let publish = format!(
        "<pubsub xmlns='{}'><publish node='{}'><item id='{room}'><conference xmlns='{}'/></item></publish></pubsub>",
        ns::PUBSUB,
        ns::BOOKMARKS_PEP,
        ns::BOOKMARKS_PEP
    );
    assert_eq!(asks(stage, client, "set", &publish).attr("type"), Some("result"));
}

fn is_event(stanza: &Element) -> bool {
    stanza.find("event", ns::PUBSUB_EVENT).is_some()
}

#[test]
fn who_announces_that_he_wants_to_be_told_of_bookmarks_is() {
    let mut stage = Stage::with("more_resources=1");
    let (old, _) = stage.romeo("orchard");
    let (new, _) = stage.romeo("phone");
    let wants = info("urn:xmpp:bookmarks:1+notify");
    let caps = Caps::of("https://client.example.org", &wants);
    shows_caps(&mut stage, new, &caps);
    let request =
        stage.hears_of(new, |stanza| stanza.attr("id").is_some_and(|id| id.starts_with("client-info-")));
    let query = request.find("query", ns::DISCO_INFO).expect("a question");
    assert_eq!(query.attr("node"), Some(caps.query_node().as_str()));
    let id = request.attr("id").expect("an id").to_owned();
    let answer = wants.clone().node(Some(caps.query_node())).element().to_xml();
    publishes_bookmark(&mut stage, old, "early@irc.example.org");
    assert!(!stage.hears(new).iter().any(is_event), "it has not said so yet");
    stage.says(new, &format!("<iq type='result' id='{id}' to='{DOMAIN}'>{answer}</iq>"));
    publishes_bookmark(&mut stage, old, "one@irc.example.org");
    assert!(stage.hears_of(new, is_event).to_xml().contains("one@irc.example.org"));
    // Another one of the same kind is not asked.
    let (third, _) = stage.romeo("tablet");
    shows_caps(&mut stage, third, &caps);
    let asked = |stanza: &Element| stanza.attr("id").is_some_and(|id| id.starts_with("client-info-"));
    assert!(!stage.hears(third).iter().any(asked));
    publishes_bookmark(&mut stage, old, "two@irc.example.org");
    stage.hears_of(third, is_event);
    // Nor is anybody told who shows no presence, or says that he can do something else.
    stage.says(third, "<presence type='unavailable'/>");
    let other = info("urn:x");
    let others = Caps::of("https://client.example.org", &other);
    shows_caps(&mut stage, new, &others);
    let request = stage.hears_of(new, asked);
    let id = request.attr("id").expect("an id");
    stage.says(new, &format!("<iq type='result' id='{id}' to='{DOMAIN}'>{}</iq>", other.element().to_xml()));
    stage.sent.clear();
    publishes_bookmark(&mut stage, old, "three@irc.example.org");
    assert!(!stage.hears(new).iter().any(is_event) && !stage.hears(third).iter().any(is_event));
}

#[test]
fn a_client_speaks_for_no_other_kind() {
    let mut stage = Stage::with("more_resources=1");
    let (liar, _) = stage.romeo("orchard");
    let caps = Caps::of("https://client.example.org", &info("urn:x"));
    let asked = |stanza: &Element| stanza.attr("id").is_some_and(|id| id.starts_with("client-info-"));
    shows_caps(&mut stage, liar, &caps);
    let request = stage.hears_of(liar, asked);
    let id = request.attr("id").expect("an id");
    let answer = info("urn:xmpp:bookmarks:1+notify").element().to_xml();
    stage.says(liar, &format!("<iq type='result' id='{id}' to='{DOMAIN}'>{answer}</iq>"));
    shows_caps(&mut stage, liar, &caps);
    assert!(!stage.hears(liar).iter().any(asked), "once is enough");
    let (other, _) = stage.romeo("phone");
    shows_caps(&mut stage, other, &caps);
    stage.hears_of(other, asked);
}

#[test]
fn what_pep_cannot_do_is_refused_clearly() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo_and_nurse();
    let pubsub = |request: &str| format!("<pubsub xmlns='{}'>{request}</pubsub>", ns::PUBSUB);
    let own_nick = "<publish node='http://jabber.org/protocol/nick'><item><nick \
                    xmlns='http://jabber.org/protocol/nick'>Ro</nick></item></publish>";
    let own_avatar = "<publish node='urn:xmpp:avatar:data'><item id='1'><data \
                      xmlns='urn:xmpp:avatar:data'>qANQR1DBwU4DX7jmYZnn</data></item></publish>";
    for (kind, request, expected) in [
        ("set", own_nick, "feature-not-implemented"),
        ("set", own_avatar, "feature-not-implemented"),
        ("get", "<items node='urn:xmpp:avatar:metadata'/>", "item-not-found"),
        ("set", "<subscribe node='urn:xmpp:avatar:metadata' jid='x@y'/>", "feature-not-implemented"),
        ("set", "<create node='x'/>", "feature-not-implemented"),
        ("set", "<odd/>", "bad-request"),
    ] {
        let answer = asks(&mut stage, client, kind, &pubsub(request));
        assert_eq!(condition(&answer), Some(expected), "{request}");
    }
    let answer = asks(&mut stage, client, "set", &pubsub("<create node='x'/>"));
    assert!(answer.to_xml().contains("feature='create-nodes'"), "{answer:?}");
    let owner =
        format!("<pubsub xmlns='{}'><configure node='{}'/></pubsub>", ns::PUBSUB_OWNER, ns::BOOKMARKS_PEP);
    let answer = asks(&mut stage, client, "get", &owner);
    assert!(answer.to_xml().contains("feature='config-node'"), "{answer:?}");
    // The same of a contact.
    for node in ["urn:xmpp:avatar:metadata", "urn:xmpp:avatar:data", "http://jabber.org/protocol/nick"] {
        let request = pubsub(&format!("<items node='{node}'/>"));
        stage.says(client, &format!("<iq type='get' id='c' to='{NURSE}'>{request}</iq>"));
        let answer = stage.hears_of(client, iq("c"));
        assert_eq!(condition(&answer), Some("service-unavailable"), "{answer:?}");
    }
}

#[test]
fn bookmarks_are_published_only_where_they_are_what_the_client_takes_them_for() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let publish = |options: &[(&str, &str)]| {
        let fields: String = options
            .iter()
            .map(|(var, value)| format!("<field var='pubsub#{var}'><value>{value}</value></field>"))
            .collect();
        format!(
            "<pubsub xmlns='{}'><publish node='{}'><item id='one@irc.example.org'><conference xmlns='{}'/></item>\
             </publish><publish-options><x xmlns='{}' type='submit'>{fields}</x></publish-options></pubsub>",
            ns::PUBSUB,
            ns::BOOKMARKS_PEP,
            ns::BOOKMARKS_PEP,
            ns::DATA
        )
    };
    // XEP-0402 §3.1.
    let usual = [
        ("persist_items", "true"),
        ("max_items", "max"),
        ("send_last_published_item", "never"),
        ("access_model", "whitelist"),
    ];
    assert_eq!(asks(&mut stage, client, "set", &publish(&usual)).attr("type"), Some("result"));
    for odd in [("access_model", "open"), ("persist_items", "false")] {
        let answer = asks(&mut stage, client, "set", &publish(&[odd]));
        assert_eq!(condition(&answer), Some("conflict"));
        assert!(answer.to_xml().contains("precondition-not-met"), "{answer:?}");
    }
}

#[test]
fn rooms_on_the_list_of_the_network_become_bookmarks() {
    let mut stage = Stage::new();
    let (client, link) = stage.romeo("orchard");
    let list = spectrum2_backend_protocol::RoomList {
        user: Some(ROMEO_JID.into()),
        rooms: vec!["#verona".into()],
        names: vec!["Verona".into()],
    };
    stage.network(link.unwrap(), Frame::RoomBookmarks(list));
    assert!(
        stage.hears(client).iter().all(|stanza| stanza.name() != "message"),
        "nobody needs to be invited"
    );
    let answer = asks(
        &mut stage,
        client,
        "get",
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    );
    assert!(answer.to_xml().contains("name='Verona'"), "{answer:?}");
}

#[test]
fn the_archive_of_an_account_is_empty() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    let query = |inside: &str| format!("<query xmlns='{}' queryid='f27'>{inside}</query>", ns::MAM);
    let page = |inside: &str| query(&format!("<set xmlns='{}'>{inside}</set>", ns::RSM));
    let fin =
        |answer: &Element| answer.find("fin", ns::MAM).and_then(|fin| fin.attr("complete")) == Some("true");
    for all in ["", "<max>10</max>", "<max>10</max><before/>"] {
        assert!(fin(&asks(&mut stage, client, "set", &page(all))), "{all}");
    }
    let answer = asks(&mut stage, client, "set", &page("<after>28482-98726-73623</after>"));
    assert_eq!(condition(&answer), Some("item-not-found"));
    let answer = asks(&mut stage, client, "set", &query("<x xmlns='jabber:x:data' type='submit'/>"));
    assert_eq!(condition(&answer), Some("bad-request"));
    let answer = asks(&mut stage, client, "get", &query(""));
    assert!(answer.find("query", ns::MAM).is_some_and(|form| form.find("x", ns::DATA).is_some()));
    let answer = asks(&mut stage, client, "get", &format!("<metadata xmlns='{}'/>", ns::MAM));
    assert_eq!(answer.find("metadata", ns::MAM).map(|metadata| metadata.elements().count()), Some(0));
}

/// Ids of requests are the client's own affair.
#[test]
fn an_answer_comes_whatever_the_id() {
    let mut stage = Stage::new();
    let (client, _) = stage.romeo("orchard");
    stage.says(
        client,
        &format!("<iq type='set' id='v'><vCard xmlns='{}'><FN>Romeo</FN></vCard></iq>", ns::VCARD),
    );
    assert_eq!(stage.hears(client).len(), 1, "the gateway's answer is not for the client");
    for id in ["server-1", "s1"] {
        stage.says(
            client,
            &format!("<iq type='get' id='{id}' to='{DOMAIN}'><ping xmlns='{}'/></iq>", ns::PING),
        );
        assert_eq!(stage.hears_of(client, iq(id)).attr("type"), Some("result"));
    }
}
