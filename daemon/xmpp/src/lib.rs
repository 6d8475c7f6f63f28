//! XML streams and stanzas for Spectrum 2: everything of XMPP that is a format, nothing that is a decision.
//!
//! No I/O, no clock, no runtime. Bytes go into a [`framer::Framer`], which yields [`Element`]s; [`Element::write`] makes
//! text of them again. One XEP is one module, types first.
//!
//! Stanzas are in [`ns::CLIENT`] in memory, whichever stream they came from or go to: the framer reads the component
//! namespace as that of clients, and the writer leaves it out. So the same code serves a component and a client stream,
//! and a forwarded stanza (XEP-0297) has the namespace it must have.

mod atom;
mod element;
mod name;
mod parse;
mod write;

pub mod component;
pub mod framer;
pub mod ns;
pub mod stanza;

pub use atom::Atom;
pub use element::{Element, Node};
pub use jid;
pub use parse::XmlError;

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
        text
    })
}
