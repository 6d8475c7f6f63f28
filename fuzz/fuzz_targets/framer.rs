//! Any bytes as a stream: no panic, bounded memory, and the same pieces whatever the size of the reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spectrum2_xmpp::framer::{Framer, Limits, Piece, StreamError};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";
const LIMITS: Limits = Limits { header: 300, stanza: 200, depth: 8, attributes: 8, elements: 20 };

fn pieces(stream: &[u8], size: usize) -> (Vec<Piece>, Option<StreamError>) {
    let mut framer = Framer::new(LIMITS);
    let mut pieces = Vec::new();
    for chunk in stream.chunks(size) {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => break,
                Err(error) => return (pieces, Some(error)),
            }
        }
        assert!(framer.pending() <= LIMITS.header.saturating_add(size));
    }
    (pieces, None)
}

fuzz_target!(|bytes: &[u8]| {
    pieces(bytes, usize::MAX);
    let stream = [HEADER, bytes].concat();
    let whole = pieces(&stream, usize::MAX);
    assert_eq!(pieces(&stream, 1), whole);
    assert_eq!(pieces(&stream, 7), whole);
});
