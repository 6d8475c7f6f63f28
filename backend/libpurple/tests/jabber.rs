//! The backend program between a daemon, which these tests play, and a real XMPP server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong fails")]

mod support;

use spectrum2_backend_protocol::{
    Affiliation, ConversationMessage, Frame, Invitation, Role, RoomCommand, RoomListRequest, RoomReason,
    RoomWish, Status, VCard,
};
use support::{Daemon, Prosody, Scratch, Zygote, buddy, message, saved_settings};

const ROMEO: &str = "romeo@example.org";
const JULIET: &str = "juliet@example.org";
const ROMEO_THERE: &str = "romeo@example.net";
const JULIET_THERE: &str = "juliet@example.net";

/// A picture: eight by eight, one colour.
const PICTURE: &[u8] = include_bytes!("fixtures/picture.png");
const PICTURE_HASH: &str = "7037be900a5a24c0ba8217edb2451a26611d05b0";

struct Stage {
    server: Prosody,
    zygote: Zygote,
    scratch: Scratch,
}

fn stage(service: &str, security: &str, tls: bool) -> Option<Stage> {
    let server = Prosody::start(&["romeo", "juliet"], tls)?;
    let scratch = Scratch::new("jabber");
    let config = scratch.file("xmpp.cfg", &server.config(&scratch.0.join("state"), service, security));
    let zygote = Zygote::start(&config);
    assert_eq!(zygote.says(), "ready");
    Some(Stage { server, zygote, scratch })
}

fn plain() -> Option<Stage> {
    stage("enable_remove_buddy=1\n", "opportunistic_tls", false)
}

/// A process of its own for a user.
fn log_in(stage: &Stage, user: &str, name: &str) -> Daemon {
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(user, name, name.split('@').next().unwrap());
    daemon.expect_connected(user);
    daemon
}

/// Closes the connection of a process, whose end the zygote tells: it must not come instead of the next one's start.
fn ends(stage: &Stage, daemon: Daemon) {
    drop(daemon);
    let ended = stage.zygote.says();
    assert!(ended.starts_with("ended ") && ended.ends_with(" exit 0"), "{ended}");
}

fn expect_request(daemon: &mut Daemon, from: &str) {
    daemon.expect("AUTH_REQUEST", |frame| {
        matches!(frame, Frame::AuthRequest(buddy) if buddy.buddy_name == from).then_some(())
    });
}

/// Romeo and Juliet see each other.
fn befriend(romeo: &mut Daemon, juliet: &mut Daemon) {
    let mut wanted = buddy(ROMEO, JULIET_THERE);
    wanted.alias = Some("Juliet ♥".to_owned());
    wanted.groups = vec!["Capulets".to_owned()];
    romeo.send(&Frame::BuddyChanged(wanted));
    expect_request(juliet, ROMEO_THERE);
    // The name may be spelled otherwise.
    juliet.send(&Frame::BuddyChanged(buddy(JULIET, "Romeo@Example.net")));
    expect_request(romeo, JULIET_THERE);
    romeo.send(&Frame::BuddyChanged(buddy(ROMEO, JULIET_THERE)));
    let seen = romeo.expect_buddy(JULIET_THERE, |juliet| juliet.status == Some(0));
    assert_eq!(seen.alias.as_deref(), Some("Juliet ♥"));
    assert_eq!(seen.groups, ["Capulets"]);
    juliet.expect_buddy(ROMEO_THERE, |romeo| romeo.status == Some(0));
}

#[test]
fn contacts_are_added_seen_changed_and_removed() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    befriend(&mut romeo, &mut juliet);

    juliet.send(&Frame::StatusChanged(Status {
        user_name: JULIET.to_owned(),
        status: 4,
        status_message: Some("asleep <3 & dreaming".to_owned()),
    }));
    let seen = romeo.expect_buddy(JULIET_THERE, |juliet| juliet.status == Some(4));
    assert_eq!(seen.status_message.as_deref(), Some("asleep <3 & dreaming"));

    let mut wanted = buddy(ROMEO, JULIET_THERE);
    wanted.alias = Some("Julia".to_owned());
    wanted.groups = vec!["Verona".to_owned(), "Love".to_owned()];
    romeo.send(&Frame::BuddyChanged(wanted));
    romeo.expect_buddy(JULIET_THERE, |juliet| {
        juliet.alias.as_deref() == Some("Julia") && juliet.groups == ["Love", "Verona"]
    });

    // What the network keeps is there at the next login, told once.
    romeo.logout(ROMEO);
    juliet.expect_buddy(ROMEO_THERE, |romeo| romeo.status == Some(5));
    romeo.login(ROMEO, ROMEO_THERE, "romeo");
    let seen = romeo.expect_buddy(JULIET_THERE, |_| true);
    assert_eq!((seen.alias.as_deref(), seen.groups.len()), (Some("Julia"), 2));
    juliet.expect_buddy(ROMEO_THERE, |romeo| romeo.status == Some(0));

    romeo.send(&Frame::BuddyRemoved(buddy(ROMEO, JULIET_THERE)));
    juliet.expect_buddy(ROMEO_THERE, |romeo| romeo.status == Some(5));
    romeo.logout(ROMEO);
    romeo.login(ROMEO, ROMEO_THERE, "romeo");
    romeo.expect_connected(ROMEO);
}

#[test]
fn a_stranger_is_refused() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.send(&Frame::BuddyChanged(buddy(ROMEO, JULIET_THERE)));
    expect_request(&mut juliet, ROMEO_THERE);
    juliet.send(&Frame::BuddyRemoved(buddy(JULIET, ROMEO_THERE)));
    let seen = romeo.expect_buddy(JULIET_THERE, |_| true);
    assert_eq!(seen.status, Some(5));
}

#[test]
fn messages_typing_and_attention_go_both_ways() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    befriend(&mut romeo, &mut juliet);

    let serial = romeo.write(ROMEO, JULIET_THERE, "Lady, by yonder\nblessed moon <b>I</b> swear & ☂🌹");
    assert_eq!(romeo.expect_result(serial), None);
    let heard = juliet.expect_message(ROMEO_THERE);
    assert_eq!(heard.message, "Lady, by yonder\nblessed moon <b>I</b> swear & ☂🌹");
    assert_eq!(heard.xhtml.as_deref(), Some(""));
    assert_eq!(heard.carbon, Some(false));

    let formatted = "O, <em>swear not</em> by the moon";
    juliet.send(&Frame::ConvMessage(ConversationMessage {
        xhtml: Some(formatted.to_owned()),
        ..message(JULIET, ROMEO_THERE, "O, swear not by the moon")
    }));
    let heard = romeo.expect_message(JULIET_THERE);
    assert_eq!(heard.message, "O, swear not by the moon");
    let xhtml = heard.xhtml.unwrap();
    assert!(xhtml.contains("swear not</") && !xhtml.contains("<body") && !xhtml.contains("<html"), "{xhtml}");

    let long = "What shall I swear by? ☂ ".repeat(200);
    romeo.write(ROMEO, JULIET_THERE, long.trim());
    assert_eq!(juliet.expect_message(ROMEO_THERE).message, long.trim());

    juliet.send(&Frame::BuddyTyping(buddy(JULIET, ROMEO_THERE)));
    romeo.expect("BUDDY_TYPING", |frame| {
        matches!(frame, Frame::BuddyTyping(buddy) if buddy.buddy_name == JULIET_THERE).then_some(())
    });
    juliet.send(&Frame::BuddyStoppedTyping(buddy(JULIET, ROMEO_THERE)));
    romeo.expect("BUDDY_STOPPED_TYPING", |frame| {
        matches!(frame, Frame::BuddyStoppedTyping(buddy) if buddy.buddy_name == JULIET_THERE).then_some(())
    });

    // Nobody of this name is there: the network says so, not he.
    romeo.write(ROMEO, "nobody@example.net", "hello?");
    let notice = romeo.expect_message("xmpp");
    assert!(
        notice.message.starts_with("nobody@example.net: The message was not delivered: "),
        "{}",
        notice.message
    );
}

#[test]
fn profiles_and_pictures_go_both_ways() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    befriend(&mut romeo, &mut juliet);
    juliet.send(&Frame::VCard(VCard {
        user_name: JULIET.to_owned(),
        buddy_name: String::new(),
        id: 0,
        fullname: None,
        nickname: Some("Jule".to_owned()),
        photo: Some(PICTURE.to_vec()),
    }));
    romeo.expect_buddy(JULIET_THERE, |juliet| juliet.icon_hash.as_deref() == Some(PICTURE_HASH));
    let request = VCard {
        user_name: ROMEO.to_owned(),
        buddy_name: JULIET_THERE.to_owned(),
        id: 7,
        fullname: None,
        nickname: None,
        photo: None,
    };
    romeo.send(&Frame::VCard(request));
    let profile = romeo.expect("VCARD", |frame| match frame {
        Frame::VCard(profile) => Some(profile.clone()),
        _ => None,
    });
    assert_eq!((profile.id, profile.buddy_name.as_str()), (7, JULIET_THERE));
    assert_eq!(profile.photo.as_deref(), Some(PICTURE));

    // Picture and profile are kept for the next login, in whichever process.
    juliet.logout(JULIET);
    romeo.expect_buddy(JULIET_THERE, |juliet| juliet.status == Some(5));
    ends(&stage, juliet);
    let _juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.expect_buddy(JULIET_THERE, |juliet| {
        juliet.status == Some(0) && juliet.icon_hash.as_deref() == Some(PICTURE_HASH)
    });
}

#[test]
fn what_spectrum_2_kept_of_an_account_is_taken_over() {
    let Some(stage) = plain() else { return };
    let pairing = "<settings><setting name='token' type='string'>a &amp; b</setting>";
    let accounts = include_str!("fixtures/accounts.xml").replace("<settings>", pairing);
    stage.scratch.file("state/accounts.xml", &accounts);
    for _ in 0..2 {
        let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
        romeo.logout(ROMEO);
        romeo.send(&Frame::Ping);
        romeo.expect("PONG", |frame| matches!(frame, Frame::Pong).then_some(()));
        let saved = saved_settings(&stage.scratch.0.join("state"));
        assert!(saved.contains("\ntext\ttoken\ta & b\n"), "{saved}");
        assert!(saved.contains("\nprofile\t\t<vCard"), "{saved}");
        assert!(!saved.contains("stay_connected") && !saved.contains("connect_server"), "{saved}");
        ends(&stage, romeo);
    }
    assert_eq!(std::fs::read_to_string(stage.scratch.0.join("state/accounts.xml")).unwrap(), accounts);
}

#[test]
fn a_wrong_password_is_said_to_be_wrong() {
    let Some(stage) = plain() else { return };
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, ROMEO_THERE, "wrong");
    let (error, text) = daemon.expect_disconnected(ROMEO);
    assert_eq!(error, 2, "{text}");
    assert!(!text.is_empty());
    daemon.login(ROMEO, ROMEO_THERE, "romeo");
    daemon.expect_connected(ROMEO);
}

#[test]
fn a_certificate_that_nobody_signed_is_refused() {
    let Some(stage) = stage("", "require_tls", true) else { return };
    let (mut daemon, _) = stage.zygote.serve();
    daemon.greet();
    daemon.login(ROMEO, ROMEO_THERE, "romeo");
    let (error, text) = daemon.expect_disconnected(ROMEO);
    assert!((8..=15).contains(&error), "{error}: {text}");
    assert!(!text.is_empty());
    assert!(!stage.scratch.0.join("state/certificates/x509/tls_peers/example.net").exists());
}

#[test]
fn a_certificate_that_nobody_signed_is_accepted_if_the_administrator_says_so() {
    let Some(stage) = stage("verify_certs=0\n", "require_tls", true) else { return };
    let mut daemon = log_in(&stage, ROMEO, ROMEO_THERE);
    daemon.logout(ROMEO);
}

const ROOM: &str = "verona@rooms.example.net";

#[test]
fn a_room_is_joined_spoken_in_and_left() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.join(ROMEO, ROOM, "Romeo", "");
    assert_eq!(romeo.expect_joined(ROOM), "Romeo");
    // The room is open to others when its creator is heard. What he says does not come back, it is acknowledged.
    let serial = romeo.write(ROMEO, ROOM, "Alas <3");
    assert_eq!(romeo.expect_result(serial), None);
    juliet.join(JULIET, ROOM, "Juliet", "");
    assert_eq!(juliet.expect_joined(ROOM), "Juliet");
    let owner = juliet.seen().iter().find_map(|frame| match frame {
        Frame::ParticipantChanged(who) if who.nickname == "Romeo" => Some(who.clone()),
        _ => None,
    });
    let owner = owner.expect("who was there before is named before");
    assert_eq!((owner.occupant_role(), owner.occupant_affiliation()), (Role::Moderator, Affiliation::Owner));
    let history = juliet.expect_message(ROOM);
    assert_eq!((history.message.as_str(), history.nickname.as_deref()), ("Alas <3", Some("Romeo")));
    assert!(history.timestamp.is_some_and(|stamp| !stamp.is_empty()), "it is history, however young");

    romeo.expect_occupant("Juliet", |who| who.status == 0);
    juliet.write(JULIET, ROOM, "Is it e'en so?");
    let heard = romeo.expect_message(ROOM);
    assert_eq!((heard.message.as_str(), heard.nickname.as_deref()), ("Is it e'en so?", Some("Juliet")));
    juliet.write(JULIET, &format!("{ROOM}/Romeo"), "hark");
    let private = romeo.expect_message(ROOM);
    assert_eq!((private.message.as_str(), private.pm), ("hark", Some(true)));

    // Her picture is known to who is in the room with her.
    juliet.send(&Frame::VCard(VCard {
        user_name: JULIET.to_owned(),
        photo: Some(PICTURE.to_vec()),
        ..VCard::default()
    }));
    romeo.expect_occupant("Juliet", |who| who.icon_hash.as_deref() == Some(PICTURE_HASH));
    let wanted = VCard {
        user_name: ROMEO.to_owned(),
        buddy_name: format!("{ROOM}/Juliet"),
        id: 7,
        ..VCard::default()
    };
    romeo.send(&Frame::VCard(wanted));
    let card = romeo.expect("VCARD", |frame| match frame {
        Frame::VCard(card) if card.id == 7 => Some(card.clone()),
        _ => None,
    });
    assert_eq!(card.photo.as_deref(), Some(PICTURE));

    juliet.leave(JULIET, ROOM);
    romeo.expect_occupant("Juliet", |who| who.status == 5);
    juliet.join(JULIET, ROOM, "Capulet", "");
    assert_eq!(juliet.expect_joined(ROOM), "Capulet", "at once again, under another nick");
}

/// What stands in a stanza of ours is anybody's choice.
#[test]
fn a_nick_with_an_apostrophe_breaks_no_stream() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.join(ROMEO, ROOM, "Romeo", "");
    romeo.expect_joined(ROOM);
    let serial = romeo.write(ROMEO, ROOM, "Alas");
    romeo.expect_result(serial);
    let nick = r#"Capulet's "Juliet" <&>"#;
    juliet.join(JULIET, ROOM, nick, "");
    juliet.expect_joined(ROOM);
    romeo.expect_occupant(nick, |who| who.status == 0);
    let wanted = VCard {
        user_name: ROMEO.to_owned(),
        buddy_name: format!("{ROOM}/{nick}"),
        id: 7,
        ..VCard::default()
    };
    romeo.send(&Frame::VCard(wanted));
    romeo.expect("VCARD", |frame| matches!(frame, Frame::VCard(card) if card.id == 7).then_some(()));
    let serial = romeo.write(ROMEO, ROOM, "He is still there");
    assert_eq!(romeo.expect_result(serial), None);
}

#[test]
fn a_refused_join_says_why() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.join(ROMEO, ROOM, "Romeo", "");
    romeo.expect_joined(ROOM);
    let serial = romeo.write(ROMEO, ROOM, "Alas");
    romeo.expect_result(serial);
    juliet.join(JULIET, ROOM, "Romeo", "");
    assert_eq!(juliet.expect_refused(ROOM).0, RoomReason::NickTaken);
    juliet.join(JULIET, "verona@nowhere.example.net", "Juliet", "");
    assert_eq!(juliet.expect_refused("verona@nowhere.example.net").0, RoomReason::NotAllowed);

    juliet.join(JULIET, ROOM, "Juliet", "");
    juliet.expect_joined(ROOM);
    romeo.expect_occupant("Juliet", |who| who.status == 0);
    let command = |affiliation: Option<i32>, role: Option<i32>| {
        Frame::RoomCommand(RoomCommand {
            user_name: ROMEO.to_owned(),
            room: ROOM.to_owned(),
            nickname: if role.is_some() { "Juliet".to_owned() } else { JULIET_THERE.to_owned() },
            serial: 77,
            role,
            affiliation,
            text: Some("soft!".to_owned()),
            what: None,
        })
    };
    romeo.send(&command(None, Some(0)));
    let kicked = juliet.expect_left(ROOM);
    assert_eq!((kicked.room_reason(), kicked.text.as_deref()), (RoomReason::Kicked, Some("soft!")));
    assert_eq!(romeo.expect_result(77), None);
    juliet.join(JULIET, ROOM, "Juliet", "");
    juliet.expect_joined(ROOM);
    romeo.send(&command(Some(0), None));
    assert_eq!(juliet.expect_left(ROOM).room_reason(), RoomReason::Banned);
    assert_eq!(romeo.expect_result(77), None);
    juliet.join(JULIET, ROOM, "Juliet", "");
    assert_eq!(juliet.expect_refused(ROOM).0, RoomReason::Banned);
}

#[test]
fn outcasts_are_listed_and_a_room_is_destroyed() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.join(ROMEO, ROOM, "Romeo", "");
    romeo.expect_joined(ROOM);
    let serial = romeo.write(ROMEO, ROOM, "Alas");
    romeo.expect_result(serial);
    let command = |user: &str, serial: u64, what: RoomWish| {
        Frame::RoomCommand(RoomCommand {
            user_name: user.to_owned(),
            room: ROOM.to_owned(),
            serial,
            text: Some("Banished".to_owned()),
            what: Some(what.into()),
            ..RoomCommand::default()
        })
    };
    romeo.send(&Frame::RoomCommand(RoomCommand {
        user_name: ROMEO.to_owned(),
        room: ROOM.to_owned(),
        nickname: "paris@elsewhere.example.net".to_owned(),
        serial: 70,
        affiliation: Some(0),
        ..RoomCommand::default()
    }));
    assert_eq!(romeo.expect_result(70), None);
    romeo.send(&command(ROMEO, 71, RoomWish::Outcasts));
    let banned = romeo.expect("RESULT", |frame| match frame {
        Frame::Result(result) if result.serial == 71 => Some((result.error, result.names.clone())),
        _ => None,
    });
    assert_eq!(banned, (None, vec!["paris@elsewhere.example.net".to_owned()]));

    juliet.join(JULIET, ROOM, "Juliet", "");
    juliet.expect_joined(ROOM);
    juliet.send(&command(JULIET, 72, RoomWish::Destroy));
    assert!(juliet.expect_result(72).is_some(), "it is not hers");
    romeo.send(&command(ROMEO, 73, RoomWish::Destroy));
    for person in [&mut juliet, &mut romeo] {
        let left = person.expect_left(ROOM);
        assert_eq!((left.room_reason(), left.text.as_deref()), (RoomReason::Destroyed, Some("Banished")));
    }
    assert_eq!(romeo.expect_result(73), None);
}

#[test]
fn what_a_room_refuses_is_refused() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.join(ROMEO, ROOM, "Romeo", "");
    romeo.expect_joined(ROOM);
    let serial = romeo.write(ROMEO, ROOM, "Alas");
    romeo.expect_result(serial);
    juliet.join(JULIET, ROOM, "Juliet", "");
    juliet.expect_joined(ROOM);

    juliet.send(&Frame::RoomCommand(RoomCommand {
        user_name: JULIET.to_owned(),
        room: ROOM.to_owned(),
        nickname: "Romeo".to_owned(),
        serial: 78,
        role: Some(0),
        affiliation: None,
        text: None,
        what: None,
    }));
    assert!(juliet.expect_result(78).is_some(), "she may not kick him");
    let topic = |user: &str, serial: u64| {
        let mut topic = message(user, ROOM, "Peace & quiet");
        topic.serial = Some(serial);
        Frame::RoomSubjectChanged(topic)
    };
    juliet.send(&topic(JULIET, 79));
    assert!(juliet.expect_result(79).is_some(), "nor change the subject");
    romeo.send(&topic(ROMEO, 80));
    assert_eq!(romeo.expect_result(80), None);
    let seen = juliet.expect("ROOM_SUBJECT_CHANGED", |frame| match frame {
        Frame::RoomSubjectChanged(topic) if !topic.message.is_empty() => Some(topic.message.clone()),
        _ => None,
    });
    assert_eq!(seen, "Peace & quiet");
}

#[test]
fn somebody_is_invited_to_a_room() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let mut juliet = log_in(&stage, JULIET, JULIET_THERE);
    romeo.join(ROMEO, ROOM, "Romeo", "");
    romeo.expect_joined(ROOM);
    romeo.send(&Frame::RoomInvite(Invitation {
        user_name: ROMEO.to_owned(),
        room: ROOM.to_owned(),
        contact: JULIET_THERE.to_owned(),
        text: Some("Come!".to_owned()),
        password: None,
        serial: None,
    }));
    let invited = juliet.expect("ROOM_INVITE", |frame| match frame {
        Frame::RoomInvite(invitation) => Some(invitation.clone()),
        _ => None,
    });
    assert_eq!((invited.room.as_str(), invited.contact.as_str()), (ROOM, "verona@rooms.example.net/Romeo"));
}

#[test]
fn bookmarks_of_the_network_are_told() {
    let Some(stage) = plain() else { return };
    // The server keeps what an earlier client wrote.
    stage.server.has_bookmark("romeo", "verona@rooms.example.net", "Streets & squares");
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    let told = romeo.expect("ROOM_BOOKMARKS", |frame| match frame {
        Frame::RoomBookmarks(list) => Some((list.rooms.clone(), list.names.clone())),
        _ => None,
    });
    assert_eq!(told, (vec!["verona@rooms.example.net".to_owned()], vec!["Streets & squares".to_owned()]));
}

#[test]
fn rooms_of_the_network_are_listed() {
    let Some(stage) = plain() else { return };
    let mut romeo = log_in(&stage, ROMEO, ROMEO_THERE);
    romeo.join(ROMEO, "verona@rooms.example.net", "Romeo", "");
    romeo.expect_joined("verona@rooms.example.net");
    // The room is open to others when its creator is heard.
    let serial = romeo.write(ROMEO, ROOM, "Alas");
    assert_eq!(romeo.expect_result(serial), None);
    romeo.send(&Frame::ListRooms(RoomListRequest { user_name: ROMEO.to_owned() }));
    let list = romeo.expect("ROOM_LIST", |frame| match frame {
        Frame::RoomList(list) => Some(list.rooms.clone()),
        _ => None,
    });
    assert_eq!(list, ["verona@rooms.example.net"]);
}
