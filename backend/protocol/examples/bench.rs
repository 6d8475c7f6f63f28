//! What one message costs: `cargo run --release -p spectrum2-backend-protocol --example bench`.

use std::hint::black_box;
use std::time::Instant;

use spectrum2_backend_protocol::{ConversationMessage, Decoder, Frame, FrameError, MAX_FRAME};

const FRAMES: u32 = 1_000_000;

fn main() -> Result<(), FrameError> {
    let frame = Frame::ConvMessage(ConversationMessage {
        user_name: "romeo@example.org".into(),
        buddy_name: "juliet@example.net".into(),
        message: "But, soft! what light through yonder window breaks? ".repeat(2),
        xhtml: Some(String::new()),
        ..ConversationMessage::default()
    });

    let mut bytes = Vec::new();
    let start = Instant::now();
    for _ in 0..FRAMES {
        bytes.clear();
        black_box(&frame).encode(&mut bytes);
    }
    report("encode", start, bytes.len());

    let mut decoder = Decoder::new(MAX_FRAME);
    let start = Instant::now();
    for _ in 0..FRAMES {
        decoder.push(black_box(&bytes));
        black_box(decoder.next()?);
    }
    report("decode", start, bytes.len());
    Ok(())
}

fn report(what: &str, start: Instant, length: usize) {
    let each = start.elapsed().as_secs_f64() / f64::from(FRAMES);
    println!("{what}: {:.0} ns a frame of {length} bytes, {:.2} million a second", each * 1e9, 1e-6 / each);
}
