//! XEP-0114: Jabber Component Protocol, our end, as a state machine.
//!
//! Send what [`Component::start`] returns, then hand in each [`Piece`] and do what the [`Step`] says. A link that was lost
//! takes a new one.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::element::Element;
use crate::framer::{Limits, Piece, StreamError};
use crate::ns;
use crate::parse::XmlError;
use crate::write;

/// The component's end of one stream.
pub struct Component {
    domain: String,
    secret: Zeroizing<String>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The server's stream header has not come.
    Opening,
    /// The handshake has not been answered.
    Handshake,
    Up,
    Over,
}

/// What a piece of the stream means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this to the server.
    Send(String),
    /// The server has accepted us: stanzas may flow.
    Up,
    /// A stanza, or some other child of the stream, after [`Step::Up`].
    Stanza(Element),
    /// A stanza that could not be read; the stream goes on. See [`Piece::BadStanza`].
    BadStanza {
        /// Its start tag.
        head: Option<Element>,
        /// What is wrong with it.
        cause: XmlError,
    },
    /// A stanza that was too large and was skipped; the stream goes on. See [`Piece::TooLarge`].
    TooLarge {
        /// Its start tag.
        head: Option<Element>,
    },
    /// The stream is over because of an error.
    Failed(Failure),
    /// The server has closed the stream in good order. Send [`CLOSE`], then end the connection.
    Closed,
}

/// Why the server ended or cannot have the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The XMPP server refused the component stream: {condition}{}", text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub struct Failure {
    /// The name of the stream error's condition (RFC 6120 §4.9.3), such as `not-authorized`.
    pub condition: String,
    /// The server's own words.
    pub text: Option<String>,
    /// Whether trying again is of no use before somebody changes a configuration: a wrong secret or an unknown host.
    pub fatal: bool,
}

/// Ends our side of the stream.
pub const CLOSE: &str = "</stream:stream>";

impl Component {
    /// What the server may send.
    pub const LIMITS: Limits = Limits::COMPONENT;

    /// A component for `domain`, which shares `secret` with its server.
    pub fn new(domain: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { domain: domain.into(), secret: Zeroizing::new(secret.into()), state: State::Opening }
    }

    /// What to send first.
    pub fn start(&self) -> String {
        // XEP-0114 §3: no version, so the server sends no features.
        let mut header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{}' xmlns:stream='{}' to='",
            ns::COMPONENT,
            ns::STREAM
        );
        write::escape_attribute(&self.domain, &mut header);
        header.push_str("'>");
        header
    }

    /// Whether stanzas may be sent.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// A component that already is up, on a stream handed over by an earlier process.
    pub fn resumed(domain: impl Into<String>) -> Self {
        Self { state: State::Up, ..Self::new(domain, String::new()) }
    }

    /// Takes the next piece of the server's stream.
    pub fn feed(&mut self, piece: Piece) -> Step {
        let step = match (self.state, piece) {
            (State::Opening, Piece::Open(header)) => self.handshake(&header),
            (_, Piece::Stanza(error)) if error.is("error", ns::STREAM) => Step::Failed(Failure::read(&error)),
            (State::Handshake, Piece::Stanza(answer)) if answer.is("handshake", ns::CLIENT) => {
                self.state = State::Up;
                Step::Up
            }
            (State::Up, Piece::Stanza(element)) => Step::Stanza(element),
            (State::Up, Piece::BadStanza { head, cause }) => Step::BadStanza { head, cause },
            (State::Up, Piece::TooLarge { head }) => Step::TooLarge { head },
            (State::Handshake | State::Up | State::Over, Piece::Close) => Step::Closed,
            // Nothing but the above can come before the handshake is answered.
            _ => Step::Failed(Failure::local(
                "unsupported-stanza-type",
                "The server does not speak XEP-0114 here.",
            )),
        };
        if matches!(step, Step::Failed(_) | Step::Closed) {
            self.state = State::Over;
        }
        step
    }

    fn handshake(&mut self, header: &Element) -> Step {
        let Some(id) = header.attr("id") else {
            return Step::Failed(Failure::local("bad-format", "The server's stream header has no id."));
        };
        self.state = State::Handshake;
        // XEP-0114 §3: SHA-1 of stream id and secret, in lower-case hexadecimal.
        let digest = Sha1::new().chain_update(id).chain_update(self.secret.as_bytes()).finalize();
        Step::Send(format!("<handshake>{}</handshake>", crate::hex(&digest)))
    }
}

impl Failure {
    /// Reads a `<stream:error/>`.
    pub fn read(error: &Element) -> Self {
        let condition = error.elements().find(|child| child.ns() == ns::STREAMS && child.name() != "text");
        let condition = condition.map_or("undefined-condition", Element::name).to_owned();
        let text = error.child_text("text", ns::STREAMS).map(String::from).filter(|text| !text.is_empty());
        // `conflict` is left out: the server may not have noticed yet that our last connection is gone.
        let fatal = matches!(
            condition.as_str(),
            "not-authorized" | "host-unknown" | "host-gone" | "improper-addressing"
        );
        Self { condition, text, fatal }
    }

    fn local(condition: &str, text: &str) -> Self {
        Self { condition: condition.to_owned(), text: Some(text.to_owned()), fatal: false }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::local(error.condition(), &error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framer::Framer;

    fn steps(component: &mut Component, framer: &mut Framer, text: &str) -> Vec<Step> {
        framer.push(text.as_bytes());
        let mut steps = Vec::new();
        while let Some(piece) = framer.next().unwrap() {
            steps.push(component.feed(piece));
        }
        steps
    }

    fn opened() -> (Component, Framer) {
        let mut component = Component::new("irc.example.org", "secret");
        let mut framer = Framer::new(Component::LIMITS);
        let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
            xmlns:stream='http://etherx.jabber.org/streams' id='930c2195-f64c-437b-b1e7-a3bb13eab88c'>";
        // As recorded between Spectrum 2 and Prosody.
        let answer = Step::Send("<handshake>73ae5089585e516191b89cdb1ff617784e1ca551</handshake>".to_owned());
        assert_eq!(steps(&mut component, &mut framer, header), [answer]);
        (component, framer)
    }

    #[test]
    fn it_opens_a_stream_to_its_own_domain() {
        assert_eq!(
            Component::new("irc.example.org", "secret").start(),
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' to='irc.example.org'>"
        );
    }

    #[test]
    fn the_handshake_succeeds_and_stanzas_flow() {
        let (mut component, mut framer) = opened();
        let text = "<handshake/> <presence from='a@b'/><iq x:y='1'/></stream:stream>";
        let steps = steps(&mut component, &mut framer, text);
        assert_eq!(steps[0], Step::Up);
        assert!(matches!(&steps[1], Step::Stanza(stanza) if stanza.is("presence", ns::CLIENT)));
        assert!(matches!(&steps[2], Step::BadStanza { cause: XmlError::UnboundPrefix, .. }));
        assert_eq!(steps[3], Step::Closed);
        assert!(!component.is_up());
    }

    #[test]
    fn a_wrong_secret_is_fatal() {
        let (mut component, mut framer) = opened();
        let text = "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
            <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Given token does not match calculated token</text>\
            </stream:error></stream:stream>";
        let failure = Failure {
            condition: "not-authorized".to_owned(),
            text: Some("Given token does not match calculated token".to_owned()),
            fatal: true,
        };
        assert_eq!(
            failure.to_string(),
            "The XMPP server refused the component stream: not-authorized (Given token does not match calculated token)"
        );
        assert_eq!(steps(&mut component, &mut framer, text), [Step::Failed(failure), Step::Closed]);
    }

    #[test]
    fn a_conflict_is_worth_another_try() {
        let (mut component, mut framer) = opened();
        let text = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        let steps = steps(&mut component, &mut framer, text);
        assert!(matches!(&steps[..], [Step::Failed(Failure { fatal: false, text: None, .. })]));
    }

    #[test]
    fn a_stanza_before_the_handshake_is_a_failure() {
        let (mut component, mut framer) = opened();
        assert!(matches!(&steps(&mut component, &mut framer, "<presence/>")[..], [Step::Failed(_)]));
    }

    #[test]
    fn a_header_without_an_id_is_a_failure() {
        let mut component = Component::new("irc.example.org", "secret");
        let mut framer = Framer::new(Component::LIMITS);
        let header = "<s:stream xmlns='jabber:component:accept' xmlns:s='http://etherx.jabber.org/streams'>";
        assert!(matches!(&steps(&mut component, &mut framer, header)[..], [Step::Failed(_)]));
    }
}
