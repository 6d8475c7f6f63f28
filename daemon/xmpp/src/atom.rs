//! Names that cost nothing: element names, attribute names and namespaces.
//!
//! Nearly every name on an XMPP stream comes from a small known set. Those are kept as `&'static str`; only others are
//! allocated.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use crate::ns;

/// An element name, attribute name or namespace: a static string if it is a known one, else an owned one.
///
/// Write literals as they are (`Element::new("iq", ns::CLIENT)`); text that is known at run time only goes through
/// [`Atom::from_text`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(Cow<'static, str>);

impl Atom {
    /// The atom for `text`; allocates only if `text` is not one of the known names.
    pub fn from_text(text: &str) -> Self {
        match known(text) {
            Some(name) => Self(Cow::Borrowed(name)),
            None => Self(Cow::Owned(text.to_owned())),
        }
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    fn is_static(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl Deref for Atom {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Atom {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Atom {
    fn from(text: String) -> Self {
        known(&text).map_or(Self(Cow::Owned(text)), |name| Self(Cow::Borrowed(name)))
    }
}

impl From<&Self> for Atom {
    fn from(atom: &Self) -> Self {
        atom.clone()
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// What a stream is made of. An entry missing here costs an allocation, nothing else.
const KNOWN: &[&str] = &[
    // Namespaces.
    ns::CLIENT,
    ns::COMPONENT,
    ns::STREAM,
    ns::STREAMS,
    ns::STANZAS,
    ns::TLS,
    ns::SASL,
    ns::BIND,
    ns::SESSION,
    ns::ROSTER,
    ns::DATA,
    ns::LAST,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::MUC,
    ns::MUC_USER,
    ns::BOOKMARKS,
    ns::PRIVATE,
    ns::COMMANDS,
    ns::VCARD,
    ns::OOB,
    ns::XHTML_IM,
    ns::XHTML,
    ns::REGISTER,
    ns::AVATAR_DATA,
    ns::AVATAR_METADATA,
    ns::CHATSTATES,
    ns::VERSION,
    ns::GATEWAY,
    ns::CAPS,
    ns::ROSTERX,
    ns::VCARD_UPDATE,
    ns::NICK,
    ns::RECEIPTS,
    ns::PING,
    ns::TIME,
    ns::DELAY,
    ns::ATTENTION,
    ns::CARBONS,
    ns::FORWARD,
    ns::CORRECT,
    ns::MARKERS,
    ns::HINTS,
    ns::PRIVILEGE_1,
    ns::PRIVILEGE_2,
    ns::SID,
    ns::UPLOAD,
    ns::INVISIBLE,
    ns::XML,
    // Attributes.
    "action",
    "affiliation",
    "ask",
    "autojoin",
    "category",
    "code",
    "desc",
    "from",
    "hash",
    "href",
    "id",
    "jid",
    "label",
    "mechanism",
    "name",
    "node",
    "nick",
    "role",
    "sessionid",
    "stamp",
    "style",
    "subscription",
    "to",
    "type",
    "var",
    "ver",
    "version",
    "xml:lang",
    // Elements.
    "a",
    "active",
    "attention",
    "auth",
    "BINVAL",
    "bind",
    "body",
    "br",
    "c",
    "command",
    "composing",
    "conference",
    "delay",
    "displayed",
    "em",
    "error",
    "feature",
    "features",
    "field",
    "FN",
    "forwarded",
    "gone",
    "group",
    "handshake",
    "html",
    "identity",
    "img",
    "inactive",
    "instructions",
    "iq",
    "item",
    "markable",
    "message",
    "NICKNAME",
    "no-copy",
    "no-store",
    "option",
    "origin-id",
    "os",
    "p",
    "password",
    "paused",
    "perm",
    "PHOTO",
    "photo",
    "ping",
    "presence",
    "priority",
    "private",
    "privilege",
    "prompt",
    "query",
    "received",
    "registered",
    "remove",
    "replace",
    "request",
    "resource",
    "response",
    "sent",
    "session",
    "show",
    "span",
    "stanza-id",
    "starttls",
    "status",
    "storage",
    "store",
    "stream",
    "strong",
    "subject",
    "text",
    "thread",
    "title",
    "TYPE",
    "url",
    "username",
    "value",
    "vCard",
    "x",
    // Error conditions seen often.
    "bad-request",
    "feature-not-implemented",
    "forbidden",
    "item-not-found",
    "not-allowed",
    "recipient-unavailable",
    "remote-server-not-found",
    "service-unavailable",
];

/// Slots of the look-up table: a power of two, sparse enough that nearly every look-up is one comparison.
const SLOTS: usize = 1024;
const EMPTY: u8 = u8::MAX;

/// Open addressing with linear probing, filled in at compile time.
#[expect(
    clippy::indexing_slicing,
    reason = "computed at compile time, where a panic is an error of the build"
)]
static TABLE: [u8; SLOTS] = {
    assert!(KNOWN.len() < EMPTY as usize);
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < KNOWN.len() {
        let mut slot = slot_of(KNOWN[index].as_bytes());
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
};

/// Length, both ends and the middle tell the known names apart; long namespaces need not be read whole.
#[expect(
    clippy::indexing_slicing,
    reason = "`get` is not const; the indices are below `len`, which is not 0"
)]
const fn slot_of(text: &[u8]) -> usize {
    let len = text.len();
    if len == 0 {
        return 0;
    }
    let samples = [text[0], text[len - 1], text[len / 2], text[len * 3 / 4], text[len - 1 - len / 8]];
    let mut hash = len as u32;
    let mut at = 0;
    while at < samples.len() {
        hash = (hash ^ samples[at] as u32).wrapping_mul(0x0100_0193).rotate_left(5);
        at += 1;
    }
    ((hash ^ (hash >> 15)) as usize) % SLOTS
}

fn known(text: &str) -> Option<&'static str> {
    let mut slot = slot_of(text.as_bytes());
    loop {
        // An empty slot holds a number past the end of the list.
        let name = *KNOWN.get(usize::from(*TABLE.get(slot)?))?;
        if name == text {
            return Some(name);
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found_without_allocating() {
        for name in KNOWN {
            let atom = Atom::from_text(name);
            assert!(atom.is_static(), "{name}");
            assert_eq!(atom.as_str(), *name);
        }
    }

    #[test]
    fn unknown_names_are_kept() {
        for name in ["", "z", "jabber:clienT", "urn:example:ü"] {
            let atom = Atom::from_text(name);
            assert_eq!(atom.as_str(), name);
            assert!(!atom.is_static());
        }
    }

    #[test]
    fn probes_stay_short() {
        for (index, name) in KNOWN.iter().enumerate() {
            let home = slot_of(name.as_bytes());
            let place = TABLE.iter().position(|&at| usize::from(at) == index).unwrap();
            assert!((place + SLOTS - home) % SLOTS <= 4, "{name} is {place}, wanted {home}");
        }
    }

    #[test]
    fn size() {
        assert_eq!(size_of::<Atom>(), 24);
    }
}
