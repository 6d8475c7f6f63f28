//! Texts that are not UTF-8.
//!
//! COMPAT(Spectrum 2): neither its C++ backends nor its daemon looked at the encoding, and what somebody on IRC typed in
//! Latin-1 arrived somehow. Protocol Buffers as we read them refuse such a frame, which would lose the message.

use std::str;

/// Wire types of Protocol Buffers.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// Replaces each byte that is not UTF-8 by `_` in the texts of a message, so that no length changes. `is_text` tells by
/// its number whether a field is a text. `None` if the bytes are no message at all.
pub fn texts(payload: &[u8], is_text: impl Fn(u64) -> bool) -> Option<Vec<u8>> {
    let mut repaired = payload.to_vec();
    let mut at = 0;
    while at < repaired.len() {
        let key = varint(&repaired, &mut at)?;
        let length = match key & 7 {
            VARINT => {
                varint(&repaired, &mut at)?;
                0
            }
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH_DELIMITED => usize::try_from(varint(&repaired, &mut at)?).ok()?,
            _ => return None,
        };
        let end = at.checked_add(length)?;
        let value = repaired.get_mut(at..end)?;
        if key & 7 == LENGTH_DELIMITED && is_text(key >> 3) {
            repair(value);
        }
        at = end;
    }
    Some(repaired)
}

fn repair(text: &mut [u8]) {
    let mut from = 0;
    while let Some(rest) = text.get_mut(from..) {
        let Err(error) = str::from_utf8(rest) else {
            return;
        };
        let bad = error.valid_up_to();
        if let Some(byte) = rest.get_mut(bad) {
            *byte = b'_';
        }
        from += bad + 1;
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bad_bytes_are_replaced() {
        let mut text = "gr\u{fc}n, \u{1f339}, ".as_bytes().to_vec();
        text.extend(b"gr\xfcn \xe2\x82");
        repair(&mut text);
        assert_eq!(str::from_utf8(&text).unwrap(), "gr\u{fc}n, \u{1f339}, gr_n __");
    }

    #[test]
    fn bytes_that_are_no_message_stay_a_mistake() {
        assert_eq!(texts(&[0x0a, 5, b'a'], |_| true), None);
        assert_eq!(texts(&[0x0b], |_| true), None);
        assert_eq!(texts(&[0xff; 11], |_| true), None);
    }

    #[test]
    fn fields_that_are_no_text_are_left_alone() {
        let message = [0x0a, 1, 0xff, 0x32, 1, 0xff, 0x08, 0x80, 0x01];
        assert_eq!(
            texts(&message, |field| field == 1).unwrap(),
            [0x0a, 1, b'_', 0x32, 1, 0xff, 0x08, 0x80, 0x01]
        );
    }
}
