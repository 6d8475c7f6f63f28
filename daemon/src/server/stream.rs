//! A connection from its first byte to a bound resource: what may be said when (RFC 6120 §4 to §7).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use spectrum2_config::Secret;
use spectrum2_xmpp::framer::Piece;
use spectrum2_xmpp::stanza::{Condition as StanzaCondition, ErrorType, error_reply};
use spectrum2_xmpp::stream::{self, Condition};
use spectrum2_xmpp::{Element, Node, bind, ns, sasl, xep_0198, xep_0352};
use tracing::debug;

use super::Server;
use super::timer::Timer;
use crate::client::{self, Action, Client, Cover};

/// One connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    /// Where it comes from.
    pub address: IpAddr,
    pub cover: Cover,
    pub stage: Stage,
    /// Failed logins on it.
    pub failures: u8,
}

/// How far a connection has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Its header has not come.
    Opening,
    /// It was told the features, and has to make itself known.
    Unknown,
    /// The TLS handshake is being done.
    Securing,
    /// It named the mechanism, and its response has not come.
    Challenged,
    /// It waits for the network, as this account.
    LoggingIn(String),
    /// It was refused, and this answer is held back.
    Refused(Element),
    /// It logged in to this account, and the header of its new stream has not come.
    Known(String),
    /// It has to bind a resource.
    Binding(String),
    /// It is this session of the account.
    Bound(String, u64),
}

impl Server {
    /// Something happened to a connection.
    pub(super) fn client(&mut self, client: Client, event: client::Event) {
        match event {
            client::Event::Opened { .. } if self.stopping => {
                self.cx.client(client, Action::Close(Some(Condition::SystemShutdown.error(""))));
            }
            client::Event::Opened { address, cover } => {
                self.streams.insert(client, Stream { address, cover, stage: Stage::Opening, failures: 0 });
            }
            client::Event::Encrypted => {
                if let Some(stream) = self.streams.get_mut(&client) {
                    (stream.cover, stream.stage) = (Cover::Encrypted, Stage::Opening);
                }
            }
            client::Event::Piece(piece) => self.piece(client, piece),
            client::Event::Closed(reason) => {
                debug!(?client, reason, "a connection is gone");
                self.gone(client, false);
            }
        }
    }

    fn piece(&mut self, client: Client, piece: Piece) {
        let Some(stream) = self.streams.get(&client) else { return };
        match (piece, &stream.stage) {
            // RFC 6120 §4.9.1.1: it ends the stream, though not as one that is closed in good order.
            (Piece::Stanza(element), _) if element.is("error", ns::STREAM) => {
                debug!(?client, ?element, "a client ends its stream with an error");
                self.gone(client, false);
                self.cx.client(client, Action::Close(None));
            }
            (Piece::Open(header), Stage::Opening | Stage::Known(_)) => self.open(client, &header),
            (Piece::Open(_), _) => self.close(client, Condition::BadFormat, "The stream is open already"),
            (Piece::Close, stage) => {
                if let Stage::Bound(account, number) = stage {
                    let (account, number) = (account.clone(), *number);
                    self.last_answer(client, &account, number);
                }
                self.gone(client, true);
                self.cx.client(client, Action::Close(None));
            }
            (Piece::Stanza(element), Stage::Bound(account, number)) => {
                let (account, number) = (account.clone(), *number);
                self.element(client, &account, number, element);
            }
            (Piece::BadStanza { head, cause }, Stage::Bound(account, number)) => {
                let (account, number) = (account.clone(), *number);
                let text = cause.to_string();
                self.bad_stanza(client, &account, number, head, StanzaCondition::BadRequest, &text);
            }
            (Piece::TooLarge { head }, Stage::Bound(account, number)) => {
                let (account, number) = (account.clone(), *number);
                let text = "The stanza is larger than service.max_stanza_size";
                self.bad_stanza(client, &account, number, head, StanzaCondition::PolicyViolation, text);
            }
            (Piece::Stanza(element), Stage::Binding(account)) => {
                let account = account.clone();
                self.before_binding(client, &account, &element);
            }
            (
                Piece::Stanza(element),
                Stage::Unknown | Stage::Challenged | Stage::LoggingIn(_) | Stage::Refused(_),
            ) => {
                self.before_login(client, &element);
                wipe(element);
            }
            (Piece::Stanza(_), _) => self.close(client, Condition::NotAuthorized, "Open a stream first"),
            (Piece::BadStanza { .. } | Piece::TooLarge { .. }, _) => {
                self.close(client, Condition::PolicyViolation, "Log in first");
            }
        }
    }

    /// RFC 6120 §4.7: the header, and our answer to it.
    fn open(&mut self, client: Client, header: &Element) {
        let id = self.cx.id();
        // §4.7.2: it is told whom we take it for, if it said so.
        let from = header.attr("from").and_then(|from| from.parse::<jid::Jid>().ok());
        let from = from.map(|from| from.to_bare().to_string());
        let ours = stream::header(self.cx.domain(), &id).with_opt("to", from);
        // §4.9.1.2: an error comes after our own header, too.
        self.cx.client(client, Action::Header(ours));
        let to = header.attr("to").map(|to| to.parse::<jid::BareJid>());
        // §4.9.3.6. Some clients leave it out; there is only one domain.
        if to.is_some_and(|to| to.as_ref() != Ok(&self.cx.jid)) {
            return self.close(client, Condition::HostUnknown, "");
        }
        if !stream::is_supported(header.attr("version")) {
            return self.close(client, Condition::UnsupportedVersion, "");
        }
        let Some(stream) = self.streams.get_mut(&client) else { return };
        let features = match (&stream.stage, stream.cover) {
            (Stage::Known(account), _) => {
                stream.stage = Stage::Binding(account.clone());
                let versions = Element::new("ver", ns::ROSTERVER);
                let session = bind::session_feature();
                stream::features([
                    bind::feature(),
                    session,
                    xep_0198::feature(),
                    xep_0352::feature(),
                    versions,
                ])
            }
            (_, Cover::StartTls) => {
                stream.stage = Stage::Unknown;
                stream::features([stream::starttls_required()])
            }
            (_, Cover::Encrypted | Cover::Plain) => {
                stream.stage = Stage::Unknown;
                stream::features([sasl::mechanisms()])
            }
        };
        self.cx.send(client, features);
    }

    /// What somebody says who has not logged in.
    fn before_login(&mut self, client: Client, element: &Element) {
        let Some(stream) = self.streams.get_mut(&client) else { return };
        match (element.ns(), element.name(), &stream.stage, stream.cover) {
            (ns::TLS, "starttls", Stage::Unknown, Cover::StartTls) => {
                stream.stage = Stage::Securing;
                self.cx.send(client, Element::new("proceed", ns::TLS));
                self.cx.client(client, Action::StartTls);
            }
            (ns::TLS, "starttls", ..) => {
                // RFC 6120 §5.4.2.2: then the stream ends.
                self.cx.send(client, Element::new("failure", ns::TLS));
                self.cx.client(client, Action::Close(None));
                self.gone(client, true);
            }
            (ns::SASL, ..) => self.sasl(client, element),
            // RFC 6120 §4.9.3.12.
            _ => self.close(client, Condition::NotAuthorized, "Log in first"),
        }
    }

    /// What somebody says who has logged in, but has no resource.
    fn before_binding(&mut self, client: Client, account: &str, element: &Element) {
        if element.ns() == ns::SM {
            return self.resume(client, account, element);
        }
        let payload = element.elements().next();
        match (element.is_stanza(), element.attr("type"), payload.and_then(bind::wish)) {
            (true, Some("set"), Some(wish)) if element.name() == "iq" => {
                self.bind(client, account, element, wish);
            }
            // RFC 6120 §7.1.
            _ => self.close(client, Condition::NotAuthorized, "Bind a resource first"),
        }
    }

    /// A stanza that could not be read: it is answered as far as its head allows, and counts as handled.
    fn bad_stanza(
        &mut self,
        client: Client,
        account: &str,
        number: u64,
        head: Option<Element>,
        condition: StanzaCondition,
        text: &str,
    ) {
        let head = head.filter(Element::is_stanza);
        let Some(session) = self.accounts.get_mut(account).and_then(|account| account.session(number)) else {
            return self.close(client, Condition::NotAuthorized, "");
        };
        if let Some(management) = session.management.as_mut().filter(|_| head.is_some()) {
            management.handled = management.handled.wrapping_add(1);
        }
        let kind =
            if condition == StanzaCondition::BadRequest { ErrorType::Modify } else { ErrorType::Cancel };
        let answer = head.and_then(|mut head| {
            head.remove_attr("from");
            error_reply(&head, kind, condition, Some(text))
        });
        if let Some(answer) = answer {
            session.send(&mut self.cx, answer);
        }
    }

    /// Ends a connection with a stream error. A session on it is over.
    pub(super) fn close(&mut self, client: Client, condition: Condition, text: &str) {
        self.close_with(client, condition.error(text));
    }

    pub(super) fn close_with(&mut self, client: Client, error: Element) {
        self.cx.client(client, Action::Close(Some(error)));
        self.gone(client, true);
    }

    /// A connection is no more; `for_good` if its session must not be resumed.
    pub(super) fn gone(&mut self, client: Client, for_good: bool) {
        let Some(stream) = self.streams.remove(&client) else { return };
        for timer in [Timer::Login, Timer::Answer, Timer::Bind] {
            self.cx.timers.cancel(&timer(client));
        }
        match stream.stage {
            Stage::LoggingIn(account) => self.login_abandoned(client, &account),
            Stage::Known(account) | Stage::Binding(account) => {
                if let Some(known) = self.accounts.get_mut(&account) {
                    known.guests.remove(&client);
                }
                self.check_use(&account);
            }
            Stage::Bound(account, number) => self.lost(&account, number, for_good),
            Stage::Opening | Stage::Unknown | Stage::Securing | Stage::Challenged | Stage::Refused(_) => {}
        }
    }
}

/// What somebody said who was logging in may hold a password.
fn wipe(mut element: Element) {
    for node in element.take_nodes() {
        if let Node::Text(text) = node {
            drop(Secret::new(text));
        }
    }
}
