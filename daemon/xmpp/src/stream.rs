//! RFC 6120 §4: XML streams: the header, features and stream errors, as a server says them.

use crate::element::Element;
use crate::ns;

/// Why a stream ends (RFC 6120 §4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard's
pub enum Condition {
    BadFormat,
    Conflict,
    HostUnknown,
    ImproperAddressing,
    InvalidNamespace,
    NotAuthorized,
    PolicyViolation,
    ResourceConstraint,
    SystemShutdown,
    UndefinedCondition,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

impl Condition {
    /// The name of the condition's element.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::Conflict => "conflict",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InvalidNamespace => "invalid-namespace",
            Self::NotAuthorized => "not-authorized",
            Self::PolicyViolation => "policy-violation",
            Self::ResourceConstraint => "resource-constraint",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
            Self::UnsupportedVersion => "unsupported-version",
        }
    }

    /// The `<stream:error/>`; the text is for people and may be empty.
    pub fn error(self, text: &str) -> Element {
        let error = Element::new("error", ns::STREAM).child(Element::new(self.as_str(), ns::STREAMS));
        match text {
            "" => error,
            text => error.child(Element::new("text", ns::STREAMS).with("xml:lang", "en").text(text)),
        }
    }
}

/// The header of the server's stream (§4.7).
pub fn header(from: &str, id: &str) -> Element {
    Element::new("stream", ns::STREAM)
        .with("from", from)
        .with("id", id)
        .with("version", "1.0")
        .with("xml:lang", "en")
}

/// `<stream:features/>`.
pub fn features(features: impl IntoIterator<Item = Element>) -> Element {
    Element::new("features", ns::STREAM).children_from(features)
}

/// The feature STARTTLS (§5.4.1), which must come first.
pub fn starttls_required() -> Element {
    Element::new("starttls", ns::TLS).child(Element::new("required", ns::TLS))
}

/// Whether a peer's `version` is one that this protocol can be spoken with (§4.7.5).
pub fn is_supported(version: Option<&str>) -> bool {
    let major = version.and_then(|version| version.split('.').next());
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(is_supported(Some("1.0")));
        assert!(is_supported(Some("2.11")));
        for old in [None, Some("0.9"), Some(""), Some("one")] {
            assert!(!is_supported(old), "{old:?}");
        }
    }

    #[test]
    fn the_wire_forms() {
        assert_eq!(
            Condition::Conflict.error("Replaced").to_xml(),
            "<error xmlns='http://etherx.jabber.org/streams'>\
             <conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>Replaced</text></error>"
        );
        assert_eq!(
            features([starttls_required()]).to_xml(),
            "<features xmlns='http://etherx.jabber.org/streams'>\
             <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></features>"
        );
    }
}
