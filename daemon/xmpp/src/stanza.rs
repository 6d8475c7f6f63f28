//! Messages, presences and iqs (RFC 6120 §8, RFC 6121): what is common to all of them, and stanza errors.

use std::fmt;

use jid::Jid;
use serde::{Deserialize, Serialize};

use crate::element::Element;
use crate::ns;

/// The three kinds of stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Something for somebody.
    Message,
    /// Availability and subscriptions.
    Presence,
    /// A question or its answer.
    Iq,
}

impl Kind {
    /// The kind of an element, if it is a stanza.
    pub fn of(element: &Element) -> Option<Self> {
        if element.ns() != ns::CLIENT {
            return None;
        }
        match element.name() {
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            "iq" => Some(Self::Iq),
            _ => None,
        }
    }
}

/// `type` of a message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageType {
    /// Outside of a conversation; also what an unknown type means.
    #[default]
    Normal,
    /// In a conversation of two.
    Chat,
    /// In a room.
    Groupchat,
    /// News, no answer expected.
    Headline,
    /// A message that could not be delivered.
    Error,
}

impl MessageType {
    /// The attribute's value; none for [`MessageType::Normal`], which is the default.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Normal => None,
            Self::Chat => Some("chat"),
            Self::Groupchat => Some("groupchat"),
            Self::Headline => Some("headline"),
            Self::Error => Some("error"),
        }
    }
}

/// `type` of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PresenceType {
    /// Available; [`Show`] says how.
    #[default]
    Available,
    /// Gone.
    Unavailable,
    /// Wants to see the other's presence.
    Subscribe,
    /// Lets the other see its presence.
    Subscribed,
    /// No longer wants to see the other's presence.
    Unsubscribe,
    /// No longer lets the other see its presence, or refuses to.
    Unsubscribed,
    /// Asks for the current presence.
    Probe,
    /// A presence that could not be delivered.
    Error,
}

impl PresenceType {
    /// The attribute's value; none for [`PresenceType::Available`].
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Unavailable => Some("unavailable"),
            Self::Subscribe => Some("subscribe"),
            Self::Subscribed => Some("subscribed"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Unsubscribed => Some("unsubscribed"),
            Self::Probe => Some("probe"),
            Self::Error => Some("error"),
        }
    }

    fn from_attr(value: Option<&str>) -> Option<Self> {
        Some(match value {
            None => Self::Available,
            Some("unavailable") => Self::Unavailable,
            Some("subscribe") => Self::Subscribe,
            Some("subscribed") => Self::Subscribed,
            Some("unsubscribe") => Self::Unsubscribe,
            Some("unsubscribed") => Self::Unsubscribed,
            Some("probe") => Self::Probe,
            Some("error") => Self::Error,
            Some(_) => return None,
        })
    }
}

/// How available somebody is (RFC 6121 §4.7.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Show {
    /// Available, nothing special; also what an unknown value means.
    #[default]
    Online,
    /// Interested in chatting.
    Chat,
    /// Away for a while.
    Away,
    /// Away for long.
    Xa,
    /// Busy, not to be disturbed.
    Dnd,
}

impl Show {
    /// Reads it from an available presence.
    pub fn read(presence: &Element) -> Self {
        match presence.child_text("show", ns::CLIENT).as_deref().map(str::trim) {
            Some("chat") => Self::Chat,
            Some("away") => Self::Away,
            Some("xa") => Self::Xa,
            Some("dnd") => Self::Dnd,
            _ => Self::Online,
        }
    }

    /// The text of `<show/>`; none for [`Show::Online`].
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Online => None,
            Self::Chat => Some("chat"),
            Self::Away => Some("away"),
            Self::Xa => Some("xa"),
            Self::Dnd => Some("dnd"),
        }
    }

    /// The `<show/>` child; none for [`Show::Online`].
    pub fn element(self) -> Option<Element> {
        self.as_str().map(|text| Element::new("show", ns::CLIENT).text(text))
    }
}

/// `<priority/>` of a presence; 0 if there is none or it is not one (RFC 6121 §4.7.2.3).
pub fn priority(presence: &Element) -> i8 {
    presence.child_text("priority", ns::CLIENT).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// A stanza whose addresses, id and type were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// What it is.
    pub kind: Kind,
    /// Who sent it; a client may leave it out.
    pub from: Option<Jid>,
    /// Whom it is for; a client may leave it out.
    pub to: Option<Jid>,
    /// All of it.
    pub element: Element,
}

impl Stanza {
    /// Checks what RFC 6120 §8 demands of every stanza.
    ///
    /// # Errors
    /// If it is not a stanza, an address is not a JID, an iq has no id, an unknown type or not exactly one child where
    /// it must, or a presence has an unknown type. An unknown type of *message* is no error (RFC 6121 §5.2.2).
    pub fn read(element: Element) -> Result<Self, Malformed> {
        match check(&element) {
            Ok((kind, from, to)) => Ok(Self { kind, from, to, element }),
            Err(fault) => Err(Malformed { fault, element: Box::new(element) }),
        }
    }

    /// The `id` attribute.
    pub fn id(&self) -> Option<&str> {
        self.element.attr("id")
    }

    /// The `type` attribute, as it is.
    pub fn stanza_type(&self) -> Option<&str> {
        self.element.attr("type")
    }

    /// The type of a message.
    pub fn message_type(&self) -> MessageType {
        match self.stanza_type() {
            Some("chat") => MessageType::Chat,
            Some("groupchat") => MessageType::Groupchat,
            Some("headline") => MessageType::Headline,
            Some("error") => MessageType::Error,
            // RFC 6121 §5.2.2: an unknown type is treated as normal.
            _ => MessageType::Normal,
        }
    }

    /// The type of a presence.
    pub fn presence_type(&self) -> PresenceType {
        PresenceType::from_attr(self.stanza_type()).unwrap_or_default()
    }

    /// Whether this is an error stanza.
    pub fn is_error(&self) -> bool {
        self.stanza_type() == Some("error")
    }

    /// The one child of an iq that asks or, if it has any, answers.
    pub fn payload(&self) -> Option<&Element> {
        self.element.elements().next()
    }

    /// The `<body/>` of a message.
    pub fn body(&self) -> Option<String> {
        self.element.child_text("body", ns::CLIENT).map(Into::into)
    }
}

fn check(element: &Element) -> Result<(Kind, Option<Jid>, Option<Jid>), Fault> {
    let kind = Kind::of(element).ok_or(Fault::NotAStanza)?;
    let jid = |name, fault| element.attr(name).map(Jid::new).transpose().map_err(|_| fault);
    let from = jid("from", Fault::From)?;
    let to = jid("to", Fault::To)?;
    match kind {
        Kind::Message => {}
        Kind::Presence => {
            PresenceType::from_attr(element.attr("type")).ok_or(Fault::PresenceType)?;
        }
        Kind::Iq => {
            // RFC 6120 §8.2.3.
            element.attr("id").ok_or(Fault::NoId)?;
            match element.attr("type") {
                Some("get" | "set") if element.elements().count() == 1 => {}
                Some("get" | "set") => return Err(Fault::Payload),
                Some("result") if element.elements().count() <= 1 => {}
                Some("result") => return Err(Fault::Payload),
                Some("error") => {}
                _ => return Err(Fault::IqType),
            }
        }
    }
    Ok((kind, from, to))
}

/// What is wrong with a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Some other element.
    #[error("The element is not a message, presence or iq")]
    NotAStanza,
    /// A `from` that is no JID.
    #[error("The attribute 'from' is not a valid JID")]
    From,
    /// A `to` that is no JID.
    #[error("The attribute 'to' is not a valid JID")]
    To,
    /// An iq without `id`.
    #[error("The iq has no id")]
    NoId,
    /// An iq of unknown type.
    #[error("The iq's type is not get, set, result or error")]
    IqType,
    /// An iq with the wrong number of children.
    #[error("The iq does not have exactly one child")]
    Payload,
    /// A presence of unknown type.
    #[error("The presence's type is not known")]
    PresenceType,
}

/// A stanza that [`Stanza::read`] refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Malformed {
    /// What is wrong with it.
    pub fault: Fault,
    /// The whole of it.
    pub element: Box<Element>,
}

impl Malformed {
    /// The answer to the sender, if there may be one.
    pub fn reply(&self) -> Option<Element> {
        let condition = match self.fault {
            Fault::From | Fault::To => Condition::JidMalformed,
            _ => Condition::BadRequest,
        };
        error_reply(&self.element, condition.default_type(), condition, Some(&self.fault.to_string()))
    }
}

/// What the sender should do about an error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorType {
    /// Authenticate, then try again.
    Auth,
    /// Do not try again.
    Cancel,
    /// Go on, it was only a warning.
    Continue,
    /// Change the request, then try again.
    Modify,
    /// Wait, then try again.
    Wait,
}

impl ErrorType {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    fn from_attr(value: &str) -> Option<Self> {
        [Self::Auth, Self::Cancel, Self::Continue, Self::Modify, Self::Wait]
            .into_iter()
            .find(|kind| kind.as_str() == value)
    }
}

/// Why a stanza was refused (RFC 6120 §8.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the standard's
pub enum Condition {
    BadRequest,
    Conflict,
    FeatureNotImplemented,
    Forbidden,
    Gone,
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    NotAuthorized,
    PolicyViolation,
    RecipientUnavailable,
    Redirect,
    RegistrationRequired,
    RemoteServerNotFound,
    RemoteServerTimeout,
    ResourceConstraint,
    ServiceUnavailable,
    SubscriptionRequired,
    UndefinedCondition,
    UnexpectedRequest,
}

impl Condition {
    /// All conditions.
    pub const ALL: [Self; 22] = [
        Self::BadRequest,
        Self::Conflict,
        Self::FeatureNotImplemented,
        Self::Forbidden,
        Self::Gone,
        Self::InternalServerError,
        Self::ItemNotFound,
        Self::JidMalformed,
        Self::NotAcceptable,
        Self::NotAllowed,
        Self::NotAuthorized,
        Self::PolicyViolation,
        Self::RecipientUnavailable,
        Self::Redirect,
        Self::RegistrationRequired,
        Self::RemoteServerNotFound,
        Self::RemoteServerTimeout,
        Self::ResourceConstraint,
        Self::ServiceUnavailable,
        Self::SubscriptionRequired,
        Self::UndefinedCondition,
        Self::UnexpectedRequest,
    ];

    /// The name of the condition's element.
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The error type that RFC 6120 §8.3.3 gives it, or recommends.
    pub fn default_type(self) -> ErrorType {
        self.facts().1
    }

    fn facts(self) -> (&'static str, ErrorType) {
        use ErrorType::{Auth, Cancel, Modify, Wait};
        match self {
            Self::BadRequest => ("bad-request", Modify),
            Self::Conflict => ("conflict", Cancel),
            Self::FeatureNotImplemented => ("feature-not-implemented", Cancel),
            Self::Forbidden => ("forbidden", Auth),
            Self::Gone => ("gone", Cancel),
            Self::InternalServerError => ("internal-server-error", Cancel),
            Self::ItemNotFound => ("item-not-found", Cancel),
            Self::JidMalformed => ("jid-malformed", Modify),
            Self::NotAcceptable => ("not-acceptable", Modify),
            Self::NotAllowed => ("not-allowed", Cancel),
            Self::NotAuthorized => ("not-authorized", Auth),
            Self::PolicyViolation => ("policy-violation", Modify),
            Self::RecipientUnavailable => ("recipient-unavailable", Wait),
            Self::Redirect => ("redirect", Modify),
            Self::RegistrationRequired => ("registration-required", Auth),
            Self::RemoteServerNotFound => ("remote-server-not-found", Cancel),
            Self::RemoteServerTimeout => ("remote-server-timeout", Wait),
            Self::ResourceConstraint => ("resource-constraint", Wait),
            Self::ServiceUnavailable => ("service-unavailable", Cancel),
            Self::SubscriptionRequired => ("subscription-required", Auth),
            Self::UndefinedCondition => ("undefined-condition", Cancel),
            Self::UnexpectedRequest => ("unexpected-request", Wait),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error that an error stanza carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StanzaError {
    /// What the sender should do.
    pub error_type: ErrorType,
    /// Why.
    pub condition: Condition,
    /// Words for people.
    pub text: Option<String>,
}

impl StanzaError {
    /// An error of the condition's usual type, without text.
    pub fn new(condition: Condition) -> Self {
        Self { error_type: condition.default_type(), condition, text: None }
    }

    /// Reads the error of an error stanza. What is missing or unknown becomes `undefined-condition` and `cancel`.
    /// None if the stanza is not of type `error`.
    pub fn read(stanza: &Element) -> Option<Self> {
        if stanza.attr("type") != Some("error") {
            return None;
        }
        let Some(error) = stanza.find("error", ns::CLIENT) else {
            return Some(Self::new(Condition::UndefinedCondition));
        };
        let condition = error
            .elements()
            .filter(|child| child.ns() == ns::STANZAS)
            .find_map(|child| Condition::ALL.into_iter().find(|known| known.as_str() == child.name()))
            .unwrap_or(Condition::UndefinedCondition);
        let error_type =
            error.attr("type").and_then(ErrorType::from_attr).unwrap_or(condition.default_type());
        let text = error.child_text("text", ns::STANZAS).map(String::from).filter(|text| !text.is_empty());
        Some(Self { error_type, condition, text })
    }

    /// The `<error/>` child of an error stanza.
    pub fn element(&self) -> Element {
        let error = Element::new("error", ns::CLIENT)
            .with("type", self.error_type.as_str())
            .child(Element::new(self.condition.as_str(), ns::STANZAS));
        match &self.text {
            Some(text) => error.child(Element::new("text", ns::STANZAS).text(text.as_str())),
            None => error,
        }
    }
}

/// The error that answers `stanza`, addressed back to its sender; nothing of its content is repeated.
///
/// None for what must not be answered: errors and results (RFC 6120 §8.3.1), and what is no stanza.
pub fn error_reply(
    stanza: &Element,
    error_type: ErrorType,
    condition: Condition,
    text: Option<&str>,
) -> Option<Element> {
    let kind = Kind::of(stanza)?;
    match (kind, stanza.attr("type")) {
        (_, Some("error")) | (Kind::Iq, Some("result")) => return None,
        _ => {}
    }
    let error = StanzaError { error_type, condition, text: text.map(str::to_owned) };
    Some(returned(stanza, "error").child(error.element()))
}

/// The error that answers `stanza`, of the condition's usual type and without text. None as in [`error_reply`].
pub fn refuse(stanza: &Element, condition: Condition) -> Option<Element> {
    error_reply(stanza, condition.default_type(), condition, None)
}

/// The empty result that answers an iq, from the JID that was asked (RFC 6120 §8.2.3).
pub fn iq_result(iq: &Element) -> Element {
    returned(iq, "result")
}

/// An empty stanza of the same kind and id, with `from` and `to` swapped.
fn returned(stanza: &Element, type_: &'static str) -> Element {
    let name = match Kind::of(stanza) {
        Some(Kind::Message) => "message",
        Some(Kind::Presence) => "presence",
        Some(Kind::Iq) | None => "iq",
    };
    Element::new(name, ns::CLIENT)
        .with("type", type_)
        .with_opt("id", stanza.attr("id"))
        .with_opt("from", stanza.attr("to"))
        .with_opt("to", stanza.attr("from"))
}

/// An available presence.
pub fn presence(from: &Jid, to: &Jid) -> Element {
    addressed("presence", from, to)
}

/// A presence of any type.
pub fn presence_of(from: &Jid, to: &Jid, type_: PresenceType) -> Element {
    presence(from, to).with_opt("type", type_.as_str())
}

/// A message without content.
pub fn message(from: &Jid, to: &Jid, type_: MessageType) -> Element {
    addressed("message", from, to).with_opt("type", type_.as_str())
}

/// An iq that asks for something.
pub fn iq_get(from: &Jid, to: &Jid, id: impl Into<String>) -> Element {
    addressed("iq", from, to).with("type", "get").with("id", id)
}

/// An iq that changes something.
pub fn iq_set(from: &Jid, to: &Jid, id: impl Into<String>) -> Element {
    addressed("iq", from, to).with("type", "set").with("id", id)
}

fn addressed(name: &'static str, from: &Jid, to: &Jid) -> Element {
    Element::new(name, ns::CLIENT).with("from", from.as_str()).with("to", to.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(xml: &str) -> Element {
        let at = xml.find([' ', '/', '>']).unwrap();
        Element::parse(&format!("{} xmlns='jabber:client'{}", &xml[..at], &xml[at..])).unwrap()
    }

    fn fault(xml: &str) -> Fault {
        Stanza::read(element(xml)).expect_err(xml).fault
    }

    #[test]
    fn well_formed_stanzas() {
        let stanza = Stanza::read(element("<message from='a@b/c' to='d' type='strange' id='1'/>")).unwrap();
        assert_eq!(stanza.kind, Kind::Message);
        assert_eq!(stanza.from, Some(Jid::new("a@b/c").unwrap()));
        assert_eq!(stanza.to, Some(Jid::new("d").unwrap()));
        assert_eq!(stanza.id(), Some("1"));
        assert_eq!(stanza.message_type(), MessageType::Normal, "RFC 6121 §5.2.2");
        let probe = Stanza::read(element("<presence type='probe'/>")).unwrap();
        assert_eq!(probe.presence_type(), PresenceType::Probe);
        assert!(Stanza::read(element("<iq type='result' id=''/>")).is_ok());
    }

    #[test]
    fn odd_values_in_a_presence_are_no_fault() {
        let presence = element("<presence><show>sleepy</show><priority>9999</priority></presence>");
        assert_eq!(Show::read(&presence), Show::Online);
        assert_eq!(priority(&presence), 0);
        let presence = element("<presence><show> dnd\n</show><priority>-1</priority></presence>");
        assert_eq!(Show::read(&presence), Show::Dnd);
        assert_eq!(priority(&presence), -1);
    }

    #[test]
    fn malformed_stanzas() {
        assert_eq!(fault("<foo/>"), Fault::NotAStanza);
        assert_eq!(fault("<message from='a b@c'/>"), Fault::From);
        assert_eq!(fault("<message to='@'/>"), Fault::To);
        assert_eq!(fault("<iq type='get'><x/></iq>"), Fault::NoId);
        assert_eq!(fault("<iq id='1'><x/></iq>"), Fault::IqType);
        assert_eq!(fault("<iq id='1' type='get'/>"), Fault::Payload);
        assert_eq!(fault("<iq id='1' type='set'><x/><x/></iq>"), Fault::Payload);
        assert_eq!(fault("<presence type='strange'/>"), Fault::PresenceType);
    }

    #[test]
    fn a_malformed_stanza_is_answered() {
        let malformed = Stanza::read(element("<iq id='1' from='a@b/c' to='d' type='get'/>")).unwrap_err();
        assert_eq!(
            malformed.reply().unwrap().to_xml(),
            "<iq xmlns='jabber:client' type='error' id='1' from='d' to='a@b/c'><error type='modify'>\
             <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>The iq does not have exactly one child</text>\
             </error></iq>"
        );
    }

    #[test]
    fn errors_and_results_are_not_answered() {
        for xml in [
            "<iq type='result' id='1'/>",
            "<iq type='error' id='1'/>",
            "<message type='error'/>",
            "<presence type='error'/>",
        ] {
            assert_eq!(refuse(&element(xml), Condition::ItemNotFound), None, "{xml}");
        }
        assert!(refuse(&element("<message type='chat'/>"), Condition::ItemNotFound).is_some());
    }

    #[test]
    fn an_error_is_read_as_it_was_written() {
        let request = element("<iq type='get' id='1' from='a@b' to='c'><x/></iq>");
        for condition in Condition::ALL {
            let reply = error_reply(&request, ErrorType::Wait, condition, Some("Because.")).unwrap();
            let error = StanzaError::read(&reply).unwrap();
            assert_eq!(
                error,
                StanzaError { error_type: ErrorType::Wait, condition, text: Some("Because.".to_owned()) }
            );
        }
        assert_eq!(
            StanzaError::read(&element(
                "<message type='error'><error><odd xmlns='urn:x'/></error></message>"
            )),
            Some(StanzaError::new(Condition::UndefinedCondition))
        );
        assert_eq!(
            StanzaError::read(&element("<message type='error'/>")),
            Some(StanzaError::new(Condition::UndefinedCondition))
        );
        assert_eq!(StanzaError::read(&request), None);
    }

    #[test]
    fn answers_come_from_the_jid_that_was_asked() {
        let request =
            element("<iq type='get' id='1' from='romeo@example.org/balcony' to='nurse@gw'><x/></iq>");
        assert_eq!(
            iq_result(&request).to_xml(),
            "<iq xmlns='jabber:client' type='result' id='1' from='nurse@gw' to='romeo@example.org/balcony'/>"
        );
    }
}
