//! Streams recorded between Spectrum 2 and Prosody, read again. `fixtures/*.jsonl` has one element of a stream a line.

use spectrum2_xmpp::framer::{Framer, Limits, Piece};
use spectrum2_xmpp::stanza::{Kind, Stanza};
use spectrum2_xmpp::xep_0030::Info;
use spectrum2_xmpp::xep_0115::Caps;
use spectrum2_xmpp::{Element, ns};

const RECORDINGS: [&str; 4] = [
    include_str!("fixtures/irc-1-chat.jsonl"),
    include_str!("fixtures/irc-6-bad-secret.jsonl"),
    include_str!("fixtures/jabber-0-minimal.jsonl"),
    include_str!("fixtures/jabber-5-remote-roster.jsonl"),
];

/// The streams that `direction` sent in a recording: the texts of each in order.
fn streams(recording: &str, direction: &str) -> Vec<Vec<String>> {
    let mut streams = Vec::new();
    for line in recording.lines().filter(|line| line.contains(&format!("\"dir\":\"{direction}\""))) {
        let text = xml_of(line);
        if text.contains("<stream:stream") {
            streams.push(Vec::new());
        }
        streams.last_mut().expect("a stream begins with its header").push(text);
    }
    streams
}

/// The value of `"xml"`. The recordings use no escapes but these.
fn xml_of(line: &str) -> String {
    let (_, value) = line.split_once("\"xml\":\"").expect("every line has a text");
    let mut text = String::new();
    let mut chars = value.chars();
    loop {
        match chars.next().expect("the text ends") {
            '"' => return text,
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some(c @ ('"' | '\\')) => text.push(c),
                other => panic!("unknown escape {other:?} in {line}"),
            },
            c => text.push(c),
        }
    }
}

fn pieces(stream: &str, size: usize) -> Vec<Piece> {
    let mut framer = Framer::new(Limits::COMPONENT);
    let mut pieces = Vec::new();
    for chunk in stream.as_bytes().chunks(size) {
        framer.push(chunk);
        while let Some(piece) = framer.next().expect("a recorded stream is a stream") {
            pieces.push(piece);
        }
    }
    assert_eq!(framer.pending(), 0, "nothing is left over");
    pieces
}

fn all_streams() -> impl Iterator<Item = Vec<String>> {
    RECORDINGS.iter().flat_map(|recording| ["s2c", "c2s"].into_iter().flat_map(|way| streams(recording, way)))
}

fn all_elements() -> impl Iterator<Item = Element> {
    all_streams().flat_map(|stream| pieces(&stream.concat(), usize::MAX)).filter_map(|piece| match piece {
        Piece::Stanza(element) => Some(element),
        Piece::Open(_) | Piece::Close => None,
        Piece::BadStanza { .. } | Piece::TooLarge { .. } => panic!("{piece:?}"),
    })
}

#[test]
fn every_line_is_one_piece() {
    for stream in all_streams() {
        let lines = stream.iter().filter(|line| !line.trim().is_empty()).count();
        assert_eq!(pieces(&stream.concat(), usize::MAX).len(), lines);
    }
}

#[test]
fn the_size_of_reads_does_not_matter() {
    for stream in all_streams() {
        let stream = stream.concat();
        let whole = pieces(&stream, usize::MAX);
        for size in [1, 7, 1460] {
            assert_eq!(pieces(&stream, size), whole, "in pieces of {size}");
        }
    }
}

#[test]
fn what_is_written_reads_the_same() {
    let header =
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";
    for element in all_elements() {
        assert_eq!(Element::parse(&element.to_xml()).as_ref(), Ok(&element));
        let mut wire = header.to_owned();
        element.write(&mut wire, ns::COMPONENT);
        assert_eq!(pieces(&wire, usize::MAX)[1..], [Piece::Stanza(element)], "{wire}");
    }
}

#[test]
fn every_stanza_is_well_formed() {
    let mut count = 0;
    for element in all_elements().filter(|element| Kind::of(element).is_some()) {
        let stanza = Stanza::read(element).expect("recorded stanzas are well-formed");
        assert!(stanza.from.is_some() && stanza.to.is_some());
        count += 1;
    }
    assert_eq!(count, 270, "all were looked at");
}

#[test]
fn a_client_is_what_its_caps_say() {
    let caps = all_elements().find_map(|element| Caps::read(&element)).expect("somebody has caps");
    let info = all_elements()
        .filter(|element| element.attr("type") == Some("result"))
        .filter_map(|iq| iq.find("query", ns::DISCO_INFO).and_then(Info::read))
        .find(|info| info.node.as_deref() == Some(&caps.query_node()))
        .expect("somebody was asked");
    assert!(caps.matches(&info));
}
