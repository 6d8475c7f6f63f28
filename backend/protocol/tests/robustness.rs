//! What a peer sends can be anything; what we send can be read by us.

use proptest::prelude::*;
use spectrum2_backend_protocol::{
    Attachment, Buddy, Capabilities, ConversationMessage, Decoder, Disconnected, Frame, Login, MAX_FRAME,
    MessageResult, Room, UserSettings,
};

fn drain(decoder: &mut Decoder) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return frames,
            Err(error) if error.is_fatal() => return frames,
            Err(_) => {}
        }
    }
}

fn framed(wrapper: &[u8]) -> Vec<u8> {
    let length = u32::try_from(wrapper.len()).expect("test frames are short");
    [&length.to_be_bytes(), wrapper].concat()
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), chunk in 1_usize..100) {
        let mut decoder = Decoder::new(1000);
        for piece in bytes.chunks(chunk) {
            decoder.push(piece);
            drain(&mut decoder);
        }
    }

    #[test]
    fn any_payload_of_any_type_is_survived(number in 0_u8..60, payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let length = u8::try_from(payload.len()).unwrap();
        let wrapper = [&[0x08, number, 0x12, length], payload.as_slice()].concat();
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&framed(&wrapper));
        decoder.push(&framed(&[0x08, 9]));
        prop_assert_eq!(drain(&mut decoder).pop(), Some(Frame::Ping));
    }

    #[test]
    fn any_message_comes_back_as_it_was(
        message in ".*", xhtml in proptest::option::of(".*"), pm in proptest::option::of(any::<bool>()),
        serial in proptest::option::of(any::<u64>()), urls in prop::collection::vec(".*", 0..3),
    ) {
        let attachments = urls.into_iter().map(|url| Attachment { url, ..Attachment::default() }).collect();
        let sent = Frame::ConvMessage(ConversationMessage {
            user_name: "bärbel@example.org".into(), buddy_name: "nurse".into(), message, xhtml, pm, serial, attachments,
            ..ConversationMessage::default()
        });
        let mut bytes = Vec::new();
        sent.encode(&mut bytes);
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&bytes);
        prop_assert_eq!(drain(&mut decoder), [sent]);
    }

    #[test]
    fn any_text_is_survived_as_capabilities(text in "[\\[\\]=a-zA-Z01\n ]*") {
        let read = Capabilities::parse(&text);
        prop_assert_eq!(Capabilities::parse(&read.to_string()), read);
    }
}

#[test]
fn secrets_and_bodies_are_not_in_the_debug_form() {
    let settings = UserSettings { value: [("token".to_owned(), "hanzzik".to_owned())].into() };
    let login = Login {
        user: "romeo@example.org".into(),
        legacy_name: "romeo".into(),
        password: "hanzzik".into(),
        extra_fields: vec!["hanzzik".into()],
        settings: Some(settings),
    };
    let attachment =
        Attachment { url: "hanzzik".into(), description: Some("hanzzik".into()), ..Default::default() };
    let message = ConversationMessage {
        user_name: "romeo@example.org".into(),
        message: "hanzzik".into(),
        xhtml: Some("hanzzik".into()),
        attachments: vec![attachment],
        ..Default::default()
    };
    let room = Room {
        user_name: "romeo@example.org".into(),
        password: Some("hanzzik".into()),
        ..Default::default()
    };
    let frames = [
        Frame::Login(login),
        Frame::ConvMessage(message),
        Frame::JoinRoom(room),
        Frame::RawXml(b"<message>hanzzik</message>".to_vec()),
    ];
    for frame in frames {
        let shown = format!("{frame:?}");
        assert!(!shown.contains("hanzzik"), "{shown}");
        assert!(!shown.contains("104, 97"), "{shown}");
        assert!(shown.contains("romeo@example.org") || matches!(frame, Frame::RawXml(_)), "{shown}");
    }
}

#[test]
fn required_fields_are_written_even_when_empty() {
    let mut bytes = Vec::new();
    Frame::LeaveRoom(Room::default()).encode(&mut bytes);
    assert_eq!(bytes, framed(&[0x08, 12, 0x12, 6, 0x0a, 0, 0x12, 0, 0x1a, 0]));
}

#[test]
fn an_unknown_status_is_no_reason_to_lose_the_contact() {
    let mut bytes = Vec::new();
    let buddy = Buddy { buddy_name: "nurse".into(), status: Some(42), ..Buddy::default() };
    Frame::BuddyChanged(buddy).encode(&mut bytes);
    let Ok(Frame::BuddyChanged(buddy)) = Frame::decode(&bytes[4..]) else {
        panic!("BUDDY_CHANGED expected");
    };
    assert_eq!((buddy.status, buddy.status_type()), (Some(42), None));
}

#[test]
fn only_network_trouble_is_worth_another_try() {
    let temporary = |error| Disconnected { error, ..Disconnected::default() }.is_temporary();
    assert!(temporary(0) && temporary(16));
    assert!(!temporary(2) && !temporary(17) && !temporary(-1));
}

#[test]
fn a_result_without_error_means_accepted() {
    let mut bytes = Vec::new();
    let accepted = MessageResult {
        user_name: "romeo@example.org".into(),
        serial: 7,
        error: None,
        text: None,
        denied: None,
        names: vec!["*!*@mantua.example.org".into()],
    };
    Frame::Result(accepted.clone()).encode(&mut bytes);
    assert_eq!(Frame::decode(&bytes[4..]), Ok(Frame::Result(accepted)));
}

#[test]
fn a_message_in_latin_1_is_not_lost() {
    let mut bytes = Vec::new();
    let sent =
        ConversationMessage { user_name: "romeo".into(), message: "Gr?n".into(), ..Default::default() };
    Frame::ConvMessage(sent).encode(&mut bytes);
    let bad = bytes.iter().position(|&byte| byte == b'?').unwrap();
    bytes[bad] = 0xfc;
    let Ok(Frame::ConvMessage(received)) = Frame::decode(&bytes[4..]) else {
        panic!("CONV_MESSAGE expected");
    };
    assert_eq!(received.message, "Gr_n");
    assert_eq!(received.user_name, "romeo");
}
