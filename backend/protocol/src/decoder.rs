//! Cuts a byte stream into frames.

use crate::frame::{Frame, FrameError};

const PREFIX: usize = 4;

/// Cuts a byte stream, in pieces of any size, into frames.
///
/// Push what was read, then call [`next`](Self::next) until it returns `Ok(None)`: what is buffered then never exceeds
/// the limit by more than the last push.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that were decoded already.
    consumed: usize,
}

impl Decoder {
    /// A decoder that accepts frames up to `limit` bytes, usually [`MAX_FRAME`](crate::MAX_FRAME).
    pub const fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), consumed: 0 }
    }

    /// Appends bytes that were read from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// If [`FrameError::is_fatal`], the stream is lost and every further call says the same. Otherwise one frame is
    /// lost, and the next call goes on behind it.
    #[allow(clippy::should_implement_trait, reason = "an iterator that ends and then goes on would mislead")]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let waiting = self.buffer.get(self.consumed..).unwrap_or_default();
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX>() else {
            self.release();
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        let Some(wrapper) = rest.get(..length) else {
            return Ok(None);
        };
        self.consumed += PREFIX + length;
        Frame::decode(wrapper).map(Some)
    }

    /// Bytes that are buffered and not decoded yet: to hand a connection over, push them into the next decoder.
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.consumed..).unwrap_or_default()
    }

    /// Gives back the memory that one long frame took, once nothing of it is left.
    fn release(&mut self) {
        const KEEP: usize = 64 * 1024;
        if self.consumed == self.buffer.len() && self.buffer.capacity() > KEEP {
            self.buffer = Vec::new();
            self.consumed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connected, MAX_FRAME, RoomList};

    fn bytes_of(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        bytes
    }

    #[test]
    fn frames_may_arrive_byte_by_byte() {
        let frames =
            [Frame::Ping, Frame::Connected(Connected { user: "romeo@example.org".into() }), Frame::Pong];
        let mut decoder = Decoder::new(MAX_FRAME);
        let mut seen = Vec::new();
        for byte in bytes_of(&frames) {
            decoder.push(&[byte]);
            while let Some(frame) = decoder.next().unwrap() {
                seen.push(frame);
            }
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn a_frame_that_does_not_parse_costs_only_itself() {
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&[0, 0, 0, 2, 0xff, 0xff]);
        decoder.push(&bytes_of(&[Frame::Unknown(99), Frame::Ping]));
        let error = decoder.next().unwrap_err();
        assert!(!error.is_fatal(), "{error}");
        assert_eq!(decoder.next(), Ok(Some(Frame::Unknown(99))));
        assert_eq!(decoder.next(), Ok(Some(Frame::Ping)));
        assert_eq!(decoder.next(), Ok(None));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_buffered() {
        let mut decoder = Decoder::new(100);
        decoder.push(b"GET / HTTP/1.1\r\n");
        for _ in 0..2 {
            assert!(decoder.next().unwrap_err().is_fatal());
        }
    }

    #[test]
    fn an_empty_frame_is_a_frame() {
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&[0, 0, 0, 0]);
        assert_eq!(decoder.next(), Ok(Some(Frame::Unknown(0))));
    }

    #[test]
    fn memory_of_a_long_frame_is_given_back() {
        let long = Frame::RoomList(RoomList { rooms: vec!["#verona".into(); 50_000], ..RoomList::default() });
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&bytes_of(&[long]));
        assert!(decoder.next().unwrap().is_some());
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(decoder.buffer.capacity(), 0);
    }
}
