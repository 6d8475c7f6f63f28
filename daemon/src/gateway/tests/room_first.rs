//! Clients that join a room before they showed themselves to the gateway, and what the network refuses inside of rooms.

use super::rooms::{ROOM, codes, end, in_the_room, join, joined, occupant};
use super::*;

fn connected() -> Frame {
    Frame::Connected(Connected { user: "romeo@example.org".into() })
}

fn leave(stage: &mut Stage, client: &str) {
    stage
        .says(&format!("<presence from='romeo@example.org/{client}' to='{ROOM}/Romeo' type='unavailable'/>"));
}

fn is_sent(stage: &Stage, fits: fn(&Frame) -> bool) -> bool {
    stage.frames.iter().any(|(_, frame)| fits(frame))
}

#[test]
fn a_join_logs_in_and_the_last_leave_logs_out() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    join(&mut stage, "orchard", "Romeo", "");
    let (link, _) = stage.login_of("romeo@example.org");
    assert!(!stage.stanzas.iter().any(|stanza| stanza.attr("type") == Some("error")));
    stage.network(link, connected());
    stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
    stage.network(link, joined("Romeo"));
    let own = stage.stanza(presence_from("#verona@irc.example.org/Romeo", None));
    assert_eq!(codes(&own), [110]);
    leave(&mut stage, "orchard");
    assert!(is_sent(&stage, |frame| matches!(frame, Frame::LeaveRoom(_))));
    assert!(is_sent(&stage, |frame| matches!(frame, Frame::Logout(_))), "nobody is there any more");
}

#[test]
fn who_shows_himself_later_stays_when_he_leaves() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    join(&mut stage, "orchard", "Romeo", "");
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, connected());
    stage.network(link, joined("Romeo"));
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    leave(&mut stage, "orchard");
    assert!(is_sent(&stage, |frame| matches!(frame, Frame::LeaveRoom(_))));
    assert!(!is_sent(&stage, |frame| matches!(frame, Frame::Logout(_))));
}

#[test]
fn a_login_that_fails_is_the_answer_to_the_join() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    for _ in 0..2 {
        join(&mut stage, "orchard", "Romeo", "");
        let (link, _) = stage.login_of("romeo@example.org");
        let refused =
            Disconnected { user: "romeo@example.org".into(), error: 2, message: Some("Bad password".into()) };
        stage.network(link, Frame::Disconnected(refused));
        let error = stage.stanza(presence_from("#verona@irc.example.org/Romeo", Some("error")));
        assert_eq!(condition(&error), Some("recipient-unavailable"));
        assert!(error.to_xml().contains("Bad password"));
        stage.stanzas.clear();
        stage.frames.clear();
    }
}

#[test]
fn who_may_not_log_in_is_told_at_once() {
    let mut stage = Stage::with("vip_only=1\n", OURS);
    stage.registered("romeo@example.org", "romeo");
    join(&mut stage, "orchard", "Romeo", "");
    let error = stage.stanza(presence_from("#verona@irc.example.org/Romeo", Some("error")));
    assert_eq!(condition(&error), Some("recipient-unavailable"));
}

#[test]
fn a_stranger_is_registered_by_the_nick_of_his_join_if_the_administrator_wants_it() {
    let mut stage = Stage::with(
        "[registration]\nauto_register=1\n",
        "[registration]\nneedPassword=0\n[features]\nmuc=1\n[extensions]\nname=ack\nname=rooms\n",
    );
    join(&mut stage, "orchard", "Montague", "");
    let (link, login) = stage.login_of("romeo@example.org");
    assert_eq!(login.legacy_name, "Montague");
    stage.network(link, connected());
    stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
}

#[test]
fn a_room_is_joined_under_one_address_only() {
    let mut stage = Stage::new();
    stage.romeo_online();
    for (node, refused) in [(r"#c\40irc.net", false), ("#c%irc.net", true)] {
        stage.says(&format!(
            "<presence from='{ROMEO}' to='{node}@{GATEWAY}/Romeo'><x xmlns='{}'/></presence>",
            ns::MUC
        ));
        assert_eq!(stage.stanzas.len(), usize::from(refused));
    }
    let error = stage.only_stanza();
    assert_eq!(condition(&error), Some("not-allowed"));
    assert!(error.to_xml().contains(r"#c\40irc.net@irc.example.org"));
    let (_, room) = stage.frame(|frame| match frame {
        Frame::JoinRoom(room) => Some(room.room.clone()),
        _ => None,
    });
    assert_eq!(room, "#c@irc.net");
}

#[test]
fn channels_are_joined_without_the_extension_as_ever() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!("<presence from='{ROMEO}' to='{ROOM}/Romeo'/>"));
    stage.frame(|frame| matches!(frame, Frame::JoinRoom(_)).then_some(()));
}

#[test]
fn a_client_whose_stanzas_come_back_has_left() {
    for condition in ["recipient-unavailable", "service-unavailable", "gone"] {
        let mut stage = Stage::new();
        in_the_room(&mut stage);
        stage.says(&format!(
            "<message type='error' from='{ROMEO}' to='{ROOM}/tybalt' id='x'><error type='cancel'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ));
        assert!(is_sent(&stage, |frame| matches!(frame, Frame::LeaveRoom(_))), "{condition}");
    }
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    stage.says(&format!(
        "<message type='error' from='{ROMEO}' to='{ROOM}/tybalt' id='x'><error type='modify'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ));
    assert!(!is_sent(&stage, |frame| matches!(frame, Frame::LeaveRoom(_))), "it only did not like this one");
}

#[test]
fn a_subject_and_an_invitation_that_the_network_refuses_are_refused() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let refuse = |stage: &mut Stage, serial| {
        stage.network(
            link,
            Frame::Result(MessageResult {
                user_name: "romeo@example.org".into(),
                serial,
                error: Some(16),
                text: Some("You're not channel operator".into()),
                denied: Some(true),
                names: Vec::new(),
            }),
        );
        let error = stage.only_stanza();
        assert_eq!((condition(&error), error.attr("from")), (Some("forbidden"), Some(ROOM)));
        assert!(error.to_xml().contains("not channel operator"));
    };
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='t'><subject>Peace</subject></message>"
    ));
    let (_, serial) = stage.frame(|frame| match frame {
        Frame::RoomSubjectChanged(message) => message.serial,
        _ => None,
    });
    refuse(&mut stage, serial);
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' id='i'><x xmlns='{}'><invite to='nurse@{GATEWAY}'/></x></message>",
        ns::MUC_USER
    ));
    let (_, serial) = stage.frame(|frame| match frame {
        Frame::RoomInvite(invitation) => invitation.serial,
        _ => None,
    });
    refuse(&mut stage, serial);
}

#[test]
fn what_was_said_cannot_be_taken_back() {
    let mut stage = Stage::new();
    in_the_room(&mut stage);
    stage.says(&format!(
        "<message from='{ROMEO}' to='{ROOM}' type='groupchat' id='r'><retract id='x' xmlns='{}'/>\
         <body>I tried to take back a message</body></message>",
        ns::RETRACT
    ));
    assert_eq!(condition(&stage.only_stanza()), Some("feature-not-implemented"));
    assert!(stage.frames.is_empty(), "nor is the excuse of the client said there");
}

#[test]
fn occupants_have_avatars_where_the_network_shows_them() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    let hash = "7037be900a5a24c0ba8217edb2451a26611d05b0";
    let Frame::ParticipantChanged(nurse) = occupant("nurse", 0) else { return };
    let shown = spectrum2_backend_protocol::Participant { icon_hash: Some(hash.into()), ..nurse };
    stage.network(link, Frame::ParticipantChanged(shown));
    let x = stage.only_stanza();
    assert_eq!(
        x.find("x", ns::VCARD_UPDATE).and_then(|x| x.child_text("photo", ns::VCARD_UPDATE)).as_deref(),
        Some(hash)
    );
    stage.says(&format!(
        "<iq type='get' id='v' from='{ROMEO}' to='{ROOM}/nurse'><vCard xmlns='vcard-temp'/></iq>"
    ));
    let (_, asked) = stage.frame(|frame| match frame {
        Frame::VCard(card) => Some(card.clone()),
        _ => None,
    });
    assert_eq!(asked.buddy_name, "#verona/nurse");
    for nobody in [ROOM.to_owned(), format!("{ROOM}/paris")] {
        stage.says(&format!(
            "<iq type='get' id='v' from='{ROMEO}' to='{nobody}'><vCard xmlns='vcard-temp'/></iq>"
        ));
        assert_eq!(condition(&stage.only_stanza()), Some("item-not-found"));
    }
}

#[test]
fn a_room_that_is_destroyed_says_so() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage
        .network(link, Frame::RoomLeft(end(spectrum2_backend_protocol::RoomReason::Destroyed, "Closed", "")));
    let left = stage.only_stanza();
    assert_eq!(left.attr("type"), Some("unavailable"));
    assert!(left.to_xml().contains("<destroy><reason>Closed</reason></destroy>"), "{}", left.to_xml());
    assert_eq!(codes(&left), [110]);
}
