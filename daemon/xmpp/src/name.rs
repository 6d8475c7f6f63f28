//! Which characters and names XML 1.0 allows (§2.2, §2.3 and Namespaces in XML §4).

/// XML 1.0 §2.2 `Char`.
pub(crate) fn is_char(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// A byte that is a forbidden control character by itself.
pub(crate) fn is_control(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')
}

/// Whether the bytes at `at` are U+FFFE or U+FFFF, the two forbidden characters that are not controls.
pub(crate) fn is_noncharacter(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at + 3), Some([0xEF, 0xBF, 0xBE | 0xBF]))
}

/// Whether `text` holds only characters that XML allows.
pub(crate) fn all_chars(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.iter().any(|&byte| is_control(byte))
        && memchr::memchr_iter(0xEF, bytes).all(|at| !is_noncharacter(bytes, at))
}

/// XML 1.0 §2.3 `NameStartChar`, without the colon.
pub(crate) fn is_name_start(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '_'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// XML 1.0 §2.3 `NameChar`, without the colon.
pub(crate) fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Namespaces in XML §4 `NCName`: a name without a colon.
pub(crate) fn is_local(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}
