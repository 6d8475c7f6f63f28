//! Any bytes as a stream of backend frames: never a panic, the same frames however it is cut, and every frame that is
//! read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spectrum2_backend_protocol::{Capabilities, Decoder, Frame};

/// Short, so that the fuzzer finds its way past it.
const LIMIT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, 3));
    for frame in whole {
        let mut written = Vec::new();
        frame.encode(&mut written);
        let content = written.get(4..).expect("a frame has a length prefix");
        assert_eq!(Frame::decode(content).as_ref(), Ok(&frame));
        assert!(!format!("{frame:?}").is_empty());
        if let Frame::BackendConfig(config) = frame {
            let capabilities = Capabilities::parse(&config.config);
            assert_eq!(Capabilities::parse(&capabilities.to_string()), capabilities);
        }
    }
});

fn decode(bytes: &[u8], chunk: usize) -> Vec<Frame> {
    let mut decoder = Decoder::new(LIMIT);
    let mut frames = Vec::new();
    for piece in bytes.chunks(chunk) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) if error.is_fatal() => return frames,
                Err(_) => {}
            }
        }
    }
    frames
}
