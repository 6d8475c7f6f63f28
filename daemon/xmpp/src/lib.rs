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

pub mod bind;
pub mod component;
pub mod framer;
pub mod ns;
pub mod roster;
pub mod sasl;
pub mod stanza;
pub mod stream;
pub mod xep_0004;
pub mod xep_0030;
pub mod xep_0049;
pub mod xep_0050;
pub mod xep_0054;
pub mod xep_0059;
pub mod xep_0066;
pub mod xep_0071;
pub mod xep_0077;
pub mod xep_0082;
pub mod xep_0085;
pub mod xep_0092;
pub mod xep_0100;
pub mod xep_0106;
pub mod xep_0115;
pub mod xep_0144;
pub mod xep_0153;
pub mod xep_0172;
pub mod xep_0184;
pub mod xep_0191;
pub mod xep_0198;
pub mod xep_0199;
pub mod xep_0203;
pub mod xep_0224;
pub mod xep_0280;
pub mod xep_0313;
pub mod xep_0352;
pub mod xep_0356;
pub mod xep_0402;

pub use atom::Atom;
pub use element::{Element, Node};
pub use jid;
pub use parse::XmlError;
pub use xep_0106::{legacy_name_to_node, node_to_legacy_name};

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
        text
    })
}
