//! XEP-0198: Stream Management.

use crate::element::Element;
use crate::ns;
use crate::stanza::Condition;

/// What a client says about its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nonza {
    /// §3: count stanzas from here on.
    Enable {
        /// Keep the session when the stream breaks.
        resume: bool,
        /// For at most so many seconds.
        max: Option<u32>,
    },
    /// §5: this stream goes on with an earlier session.
    Resume {
        /// How many of our stanzas the client has handled.
        h: u32,
        /// The session's id.
        previd: String,
    },
    /// §4: how many of our stanzas the client has handled.
    Answer(u32),
    /// §4: the client asks how many of its stanzas we have handled.
    Request,
}

impl Nonza {
    /// Reads one. None if this is none, or lacks a number that it must have.
    pub fn read(element: &Element) -> Option<Self> {
        if element.ns() != ns::SM {
            return None;
        }
        let h = || element.attr("h")?.parse().ok();
        Some(match element.name() {
            "enable" => Self::Enable {
                resume: matches!(element.attr("resume"), Some("true" | "1")),
                max: element.attr("max").and_then(|max| max.parse().ok()),
            },
            "resume" => Self::Resume { h: h()?, previd: element.attr("previd")?.to_owned() },
            "a" => Self::Answer(h()?),
            "r" => Self::Request,
            _ => return None,
        })
    }
}

/// The stream feature.
pub fn feature() -> Element {
    Element::new("sm", ns::SM)
}

/// Stanzas are counted from here on; `resumable` is the id under which, and the seconds for which, the session is kept.
pub fn enabled(resumable: Option<(&str, u64)>) -> Element {
    let enabled = Element::new("enabled", ns::SM);
    match resumable {
        Some((id, max)) => enabled.with("id", id).with("max", max.to_string()).with("resume", "true"),
        None => enabled,
    }
}

/// The session goes on; so many stanzas of the client were handled.
pub fn resumed(previd: &str, h: u32) -> Element {
    Element::new("resumed", ns::SM).with("previd", previd).with("h", h.to_string())
}

/// It cannot be done. A client whose session is gone learns what was handled in it, if that is still known.
pub fn failed(condition: Condition, h: Option<u32>) -> Element {
    Element::new("failed", ns::SM)
        .with_opt("h", h.map(|h| h.to_string()))
        .child(Element::new(condition.as_str(), ns::STANZAS))
}

/// So many stanzas of the client were handled.
pub fn answer(h: u32) -> Element {
    Element::new("a", ns::SM).with("h", h.to_string())
}

/// How many did the client handle?
pub fn request() -> Element {
    Element::new("r", ns::SM)
}

/// What a client that acknowledges more than was sent is told, as a child of a stream error (§4).
pub fn count_too_high(h: u32, sent: u32) -> Element {
    Element::new("handled-count-too-high", ns::SM)
        .with("h", h.to_string())
        .with("send-count", sent.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Option<Nonza> {
        Nonza::read(&Element::parse(&xml.replacen(' ', " xmlns='urn:xmpp:sm:3' ", 1)).unwrap())
    }

    #[test]
    fn what_clients_say() {
        assert_eq!(
            read("<enable resume='true' max='60'/>"),
            Some(Nonza::Enable { resume: true, max: Some(60) })
        );
        assert_eq!(read("<enable />"), Some(Nonza::Enable { resume: false, max: None }));
        assert_eq!(read("<resume h='7' previd='x'/>"), Some(Nonza::Resume { h: 7, previd: "x".to_owned() }));
        assert_eq!(read("<a h='4294967295'/>"), Some(Nonza::Answer(u32::MAX)));
        assert_eq!(read("<r />"), Some(Nonza::Request));
        for odd in ["<a />", "<a h='-1'/>", "<a h='4294967296'/>", "<resume h='1'/>", "<odd />"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(Nonza::read(&Element::new("r", ns::CLIENT)), None);
    }

    #[test]
    fn what_the_server_says() {
        assert_eq!(
            enabled(Some(("some-id", 300))).to_xml(),
            "<enabled xmlns='urn:xmpp:sm:3' id='some-id' max='300' resume='true'/>"
        );
        assert_eq!(
            failed(Condition::ItemNotFound, Some(3)).to_xml(),
            "<failed xmlns='urn:xmpp:sm:3' h='3'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        );
    }
}
