//! The bus name of a transport.

use std::fmt::Write;

/// What the names of all transports begin with; also the interface.
pub const INTERFACE: &str = "im.spectrum.Transport1";
/// The object of every transport.
pub const PATH: &str = "/im/spectrum/Transport1";
/// Longest name that a bus takes (D-Bus specification, "Valid Names").
const LONGEST: usize = 255;

/// The bus name of the transport with this name; none if it is too long to have one.
#[must_use]
pub fn of(transport: &str) -> Option<String> {
    let name = format!("{INTERFACE}.{}", label(transport));
    (name.len() <= LONGEST).then_some(name)
}

/// The text as one element of a bus name, escaped as sd_bus_path_encode(3) does.
#[must_use]
pub fn label(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && index > 0) {
            label.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(label, "_{byte:02x}");
        }
    }
    if label.is_empty() { "_".to_owned() } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_systemd() {
        for (text, escaped) in [
            ("irc", "irc"),
            ("irc.example.org", "irc_2eexample_2eorg"),
            ("a_b", "a_5fb"),
            ("0day", "_30day"),
            ("d0", "d0"),
            ("bär", "b_c3_a4r"),
            ("", "_"),
        ] {
            assert_eq!(label(text), escaped);
        }
    }

    #[test]
    fn a_name_that_no_bus_takes_is_none() {
        assert_eq!(of("irc").as_deref(), Some("im.spectrum.Transport1.irc"));
        assert!(of(&"_".repeat(78)).is_none());
        assert!(of(&"a".repeat(232)).is_some());
    }
}
