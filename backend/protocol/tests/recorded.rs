//! Conversations recorded between the real Spectrum 2 and its real backends, read and written by us.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use spectrum2_backend_protocol::{Decoder, Frame, MAX_FRAME};

/// One direction of one connection: everything that one side sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Direction {
    connection: String,
    from_daemon: bool,
}

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read_to_string(path).unwrap()
}

/// The text between `start` and the next quote, comma or brace.
fn field<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(start)?;
    rest.split(['"', ',', '}']).next()
}

fn recording(session: &str) -> BTreeMap<Direction, Vec<u8>> {
    let mut streams: BTreeMap<Direction, Vec<u8>> = BTreeMap::new();
    for line in fixture(&format!("{session}.jsonl")).lines() {
        let direction = Direction {
            connection: field(line, r#""conn":"#).unwrap_or("1").to_owned(),
            from_daemon: field(line, r#""dir":""#).unwrap() == "d2b",
        };
        let hex = field(line, r#""hex":""#).unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        streams.entry(direction).or_default().extend(bytes);
    }
    streams
}

fn decode(stream: &[u8], chunk: usize) -> Vec<Frame> {
    let mut decoder = Decoder::new(MAX_FRAME);
    let mut frames = Vec::new();
    for piece in stream.chunks(chunk) {
        decoder.push(piece);
        while let Some(frame) = decoder.next().unwrap() {
            frames.push(frame);
        }
    }
    assert!(decoder.pending().is_empty(), "the recording ends inside a frame");
    frames
}

/// `SESSION: ←NAME n, →NAME n, …`, as the recordings were counted when they were made.
fn sessions() -> Vec<(String, BTreeMap<String, usize>)> {
    let counts = fixture("counts.txt");
    let lines = counts.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (session, counts) = line.split_once(": ").unwrap();
            let counts = counts.split(", ").map(|count| count.rsplit_once(' ').unwrap());
            (session.to_owned(), counts.map(|(name, n)| (name.to_owned(), n.parse().unwrap())).collect())
        })
        .collect()
}

#[test]
fn every_frame_of_both_directions_is_understood() {
    for (session, expected) in sessions() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (direction, stream) in recording(&session) {
            let arrow = if direction.from_daemon { '→' } else { '←' };
            for frame in decode(&stream, usize::MAX) {
                *counts.entry(format!("{arrow}{}", frame.name())).or_default() += 1;
            }
        }
        assert_eq!(counts, expected, "{session}");
    }
}

#[test]
fn chunks_of_any_size_give_the_same_frames() {
    for (session, _) in sessions() {
        for (direction, stream) in recording(&session) {
            let whole = decode(&stream, usize::MAX);
            for chunk in [1, 2, 3, 5, 7, 64, 1000] {
                assert_eq!(decode(&stream, chunk), whole, "{session} {direction:?} in pieces of {chunk}");
            }
        }
    }
}

#[test]
fn what_we_write_is_what_spectrum_2_wrote() {
    for (session, _) in sessions() {
        for (direction, stream) in recording(&session) {
            let mut from = 0;
            for frame in decode(&stream, usize::MAX) {
                let mut ours = Vec::new();
                frame.encode(&mut ours);
                let theirs = &stream[from..from + ours.len()];
                from += ours.len();
                match frame {
                    // The entries of a map come in no order.
                    Frame::Login(_) => assert_eq!(Frame::decode(&theirs[4..]), Frame::decode(&ours[4..])),
                    _ => assert_eq!(ours, theirs, "{session} {direction:?}: {frame:?}"),
                }
            }
            assert_eq!(from, stream.len(), "{session} {direction:?}");
        }
    }
}

#[test]
fn absent_and_empty_are_kept_apart() {
    let frames = recording("irc-1-chat").into_values().flat_map(|stream| decode(&stream, usize::MAX));
    let messages: Vec<_> = frames
        .filter_map(|frame| match frame {
            Frame::ConvMessage(message) => Some(message),
            _ => None,
        })
        .collect();
    assert!(messages.iter().any(|message| message.xhtml.as_deref() == Some("")));
    assert!(messages.iter().all(|message| message.serial.is_none()));
}
