//! RFC 6120 §6: SASL negotiation, the server's end, and the PLAIN mechanism (RFC 4616).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::element::Element;
use crate::ns;

/// The name of the one mechanism.
pub const PLAIN: &str = "PLAIN";
/// RFC 4616 §2: each part of a message has 1 to 255 octets. A legacy name with its network may be longer.
const LONGEST_NAME: usize = 1_023;
const LONGEST_PASSWORD: usize = 1_023;

/// What a client gives with PLAIN. Wiped when it is dropped; its `Debug` hides the password.
#[derive(PartialEq, Eq)]
pub struct Plain {
    /// As whom it wants to act; empty if as itself.
    pub authzid: String,
    /// Who it is.
    pub authcid: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plain({:?}, {:?})", self.authzid, self.authcid)
    }
}

/// Why a negotiation failed (RFC 6120 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the standard's
pub enum Failure {
    Aborted,
    EncryptionRequired,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    NotAuthorized,
    TemporaryAuthFailure,
}

impl Failure {
    /// The name of the condition's element.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// The `<failure/>`; the text is for people.
    pub fn element(self, text: &str) -> Element {
        let failure = Element::new("failure", ns::SASL).child(Element::new(self.as_str(), ns::SASL));
        match text {
            "" => failure,
            text => failure.child(Element::new("text", ns::SASL).with("xml:lang", "en").text(text)),
        }
    }
}

impl Plain {
    /// Reads the content of an `<auth/>` or `<response/>`.
    ///
    /// # Errors
    /// It is not base64, not UTF-8, not three parts, or one of them is missing or too long.
    pub fn read(text: &str) -> Result<Self, Failure> {
        // RFC 6120 §6.4.2: a single = is an empty response.
        let text = if text == "=" { "" } else { text };
        let longest = (2 * LONGEST_NAME + LONGEST_PASSWORD + 2).div_ceil(3) * 4;
        if text.len() > longest {
            return Err(Failure::MalformedRequest);
        }
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| Failure::IncorrectEncoding)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| Failure::MalformedRequest)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(authcid), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Failure::MalformedRequest);
        };
        let fits = authzid.len() <= LONGEST_NAME && (1..=LONGEST_NAME).contains(&authcid.len());
        if !fits || !(1..=LONGEST_PASSWORD).contains(&password.len()) {
            return Err(Failure::MalformedRequest);
        }
        Ok(Self {
            authzid: authzid.to_owned(),
            authcid: authcid.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        })
    }
}

/// The list of mechanisms in the stream features.
pub fn mechanisms() -> Element {
    Element::new("mechanisms", ns::SASL).child(Element::new("mechanism", ns::SASL).text(PLAIN))
}

/// Asks for the response that did not come with the request (RFC 4616 has no challenge of its own).
pub fn challenge() -> Element {
    Element::new("challenge", ns::SASL)
}

/// The client is who it says it is.
pub fn success() -> Element {
    Element::new("success", ns::SASL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(plain: &[u8]) -> Result<Plain, Failure> {
        Plain::read(&STANDARD.encode(plain))
    }

    #[test]
    fn three_parts() {
        let plain = read("\0juliet\0r0m30 ü".as_bytes()).unwrap();
        assert_eq!((plain.authzid.as_str(), plain.authcid.as_str()), ("", "juliet"));
        assert_eq!(plain.password.as_str(), "r0m30 ü");
        assert_eq!(format!("{plain:?}"), "Plain(\"\", \"juliet\")");
        assert_eq!(read(b"a@b\0a\0p").unwrap().authzid, "a@b");
    }

    #[test]
    fn what_is_no_plain() {
        for odd in ["", "juliet", "\0juliet", "\0juliet\0", "\0\0secret", "\0a\0b\0c"] {
            assert_eq!(read(odd.as_bytes()), Err(Failure::MalformedRequest), "{odd:?}");
        }
        assert_eq!(read(b"\0juliet\0\xff"), Err(Failure::MalformedRequest));
        assert_eq!(read(format!("\0{}\0x", "a".repeat(1_024)).as_bytes()), Err(Failure::MalformedRequest));
        assert_eq!(Plain::read(&"A".repeat(100_000)), Err(Failure::MalformedRequest));
        assert_eq!(Plain::read("=="), Err(Failure::IncorrectEncoding));
        assert_eq!(Plain::read("="), Err(Failure::MalformedRequest));
        assert_eq!(Plain::read("AGp1\nbGll"), Err(Failure::IncorrectEncoding));
    }

    #[test]
    fn the_wire_forms() {
        assert_eq!(
            Failure::NotAuthorized.element("Wrong password").to_xml(),
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/>\
             <text xml:lang='en'>Wrong password</text></failure>"
        );
        assert_eq!(
            mechanisms().to_xml(),
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
        );
    }
}
