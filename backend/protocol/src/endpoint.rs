//! The name of the daemon's end of a connection to a backend, in Linux's abstract namespace (unix(7)): it tells a backend
//! for which transport of a file it works. Nobody else has a use for it.

/// What all names begin with.
const PREFIX: &str = "spectrum2-backend/";
/// Linux takes no longer ones.
const LONGEST: usize = 107;

/// The name of an end of the transport `jid`; `number` is one that nobody can guess. None if that would be too long.
#[must_use]
pub fn name(jid: &str, number: u64) -> Option<String> {
    let name = format!("{PREFIX}{number:016x}/{jid}");
    (name.len() <= LONGEST && !jid.is_empty()).then_some(name)
}

/// The JID in a name.
#[must_use]
pub fn jid(name: &[u8]) -> Option<&str> {
    let (_, jid) = std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?.split_once('/')?;
    Some(jid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is() {
        let made = name("irc.example.org", 7).unwrap();
        assert_eq!(made, "spectrum2-backend/0000000000000007/irc.example.org");
        assert_eq!(jid(made.as_bytes()), Some("irc.example.org"));
        assert_eq!(name(&"a".repeat(200), 7), None);
        assert_eq!(name("", 7), None);
        for other in [&b""[..], b"/run/x.sock", b"spectrum2-backend/7", b"spectrum2-backend/7/\xff"] {
            assert_eq!(jid(other), None);
        }
    }
}
