//! One-to-one messages, both ways.
//!
//! A message that was accepted from an XMPP user is kept until the network's library has taken it. If that fails, or
//! the backend dies with it twice, or the login it waited for does not come about, its sender gets an error.

use jid::{BareJid, Jid};
use serde::{Deserialize, Serialize};
use spectrum2_backend_protocol::{Buddy, ConversationMessage, Frame, MessageResult};
use spectrum2_xmpp::stanza::{Condition, ErrorType};
use spectrum2_xmpp::xep_0085::ChatState;
use spectrum2_xmpp::{Element, Node, ns, xep_0066, xep_0071, xep_0082};

use super::contact::fold;
use super::context::{Context, LABEL, clip};
use super::event::{Link, Time};
use super::timer::Timer;
use super::user::User;

/// Messages of one user that may wait for the network.
const KEPT: usize = 500;
/// And their size, in bytes.
const KEPT_BYTES: usize = 1 << 20;
/// Longest text of one stanza, in bytes: written out it stays below what XMPP servers take. Longer ones are sent in parts.
const TEXT: usize = 32 * 1024;
/// Parts of one message.
const PARTS: usize = 32;
/// How often a message is given to a backend before its sender is told that it did not work.
const TRIES: u8 = 2;
/// How long a message may wait.
const WAIT: u64 = 600_000;
/// How long a backend may have one without a word: prpl-irc sends slowly on purpose.
const WORDLESS: u64 = 3_600_000;

/// A message that the network has not taken yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What the backend gets; its `serial` names it.
    message: ConversationMessage,
    /// The head of the stanza, for an error; in a room all of it, which comes back from there.
    head: Element,
    /// Bytes of both, roughly.
    size: usize,
    /// How often a backend has had it.
    tries: u8,
    /// A backend has it now.
    sent: bool,
    /// When it came.
    at: Time,
}

impl User {
    /// A message to a contact.
    pub fn message(&mut self, cx: &mut Context, node: &str, stanza: &Element) {
        // What we sent in the user's name (XEP-0356 §5) is routed to us as if it were his.
        if stanza.attr("id").is_some_and(|id| cx.is_own_id(id)) {
            return;
        }
        if self.room_message(cx, node, stanza) || self.direct_invitation(cx, stanza) {
            return;
        }
        let name = self.contacts.legacy_name(node);
        // Who writes to a person means the person, not somebody in a room.
        self.rooms.private.remove(&fold(&name));
        let chat_state = ChatState::read(stanza);
        let body = body(stanza);
        let attention = stanza.find("attention", ns::ATTENTION).is_some();
        if body.is_none() && !attention {
            if let (Some(state), Some(link)) = (chat_state, self.online()) {
                self.send_chat_state(cx, link, name, state);
            }
            return;
        }
        cx.counters.from_xmpp += 1;
        if attention {
            // XEP-0224 §3.1: usually without a body.
            match self.online() {
                Some(link) => {
                    let message = self.conversation(name, body.unwrap_or_default());
                    cx.frame(link, Frame::Attention(message));
                }
                None => self.refuse_message(cx, stanza),
            }
            return;
        }
        let mut message = self.conversation(name, body.unwrap_or_default());
        message.xhtml = xep_0071::read(stanza);
        if stanza.find("request", ns::RECEIPTS).is_some() {
            message.id = stanza.attr("id").map(str::to_owned);
        }
        self.deliver(cx, message, stanza);
    }

    /// Gives a message to the backend, or keeps it for a login that is under way.
    pub fn deliver(&mut self, cx: &mut Context, mut message: ConversationMessage, stanza: &Element) {
        let backend = self.online().and_then(|link| cx.pool.get(link).map(|backend| (link, backend)));
        let (link, acknowledges) = match backend {
            Some((_, backend)) if backend.busy => {
                cx.refuse(
                    stanza,
                    ErrorType::Wait,
                    Condition::ResourceConstraint,
                    "The network takes no more messages now",
                );
                return;
            }
            Some((link, backend)) => (Some(link), backend.acknowledges),
            None if self.expects_login() => (None, true),
            None => {
                self.refuse_message(cx, stanza);
                return;
            }
        };
        if self.kept.len() >= KEPT || self.kept.iter().map(|kept| kept.size).sum::<usize>() >= KEPT_BYTES {
            cx.refuse(
                stanza,
                ErrorType::Wait,
                Condition::ResourceConstraint,
                "Too many messages wait for the network",
            );
            return;
        }
        if acknowledges {
            self.last_serial += 1;
            message.serial = Some(self.last_serial);
            let head = if is_groupchat(stanza) { stanza.clone() } else { head(stanza) };
            let xhtml = message.xhtml.as_ref().map_or(0, String::len);
            self.kept.push_back(Kept {
                size: message.message.len() + xhtml + head.to_xml().len(),
                message: message.clone(),
                head,
                tries: u8::from(link.is_some()),
                sent: link.is_some(),
                at: cx.now,
            });
            cx.timers.set_once(Timer::Expire(self.jid.clone()), cx.now.after(WAIT));
        }
        if let Some(link) = link {
            cx.frame(link, Frame::ConvMessage(message));
        }
    }

    fn refuse_message(&self, cx: &mut Context, stanza: &Element) {
        let (kind, condition, text) = match self.registration {
            None => (ErrorType::Auth, Condition::RegistrationRequired, "Register with the gateway first"),
            // RFC 6120 §8.3.3.13.
            Some(_) => {
                (ErrorType::Wait, Condition::RecipientUnavailable, "You are not logged in to the network")
            }
        };
        cx.refuse(stanza, kind, condition, text);
    }

    /// The network's library has taken a message, or has not.
    pub fn message_result(&mut self, cx: &mut Context, result: &MessageResult) {
        if self.command_result(cx, result) {
            return;
        }
        let Some(n) = self.kept.iter().position(|kept| kept.message.serial == Some(result.serial)) else {
            return;
        };
        let Some(kept) = self.kept.remove(n) else { return };
        if result.error.is_none() {
            cx.counters.delivery.observe(cx.now.since(kept.at));
        }
        if result.error.is_none() && is_groupchat(&kept.head) && self.has_room_extension(cx) {
            self.reflect(cx, kept.head);
            return;
        }
        if result.error.is_some() {
            let text = result
                .text
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or("The network did not take the message");
            // XEP-0045 §7.4: who may not speak in a room is told so.
            let (kind, condition) = if result.denied == Some(true) {
                (ErrorType::Auth, Condition::Forbidden)
            } else {
                (ErrorType::Cancel, Condition::ServiceUnavailable)
            };
            cx.refuse(&kept.head, kind, condition, text);
        }
    }

    /// The backend is gone: what it did not acknowledge is for the next one, but not for ever.
    pub fn put_back(&mut self, cx: &mut Context) {
        self.rooms_broken(cx);
        for kept in &mut self.kept {
            kept.sent = false;
        }
        // The user is in no room before he is let in again.
        let hopeless = |kept: &Kept| kept.tries >= TRIES || is_groupchat(&kept.head);
        self.bounce(cx, hopeless, "The connection to the network broke while the message was being sent");
    }

    /// The login has come about: what waited for it is sent, in order.
    pub fn send_kept(&mut self, cx: &mut Context) {
        let Some(link) = self.online() else { return };
        let acknowledges = cx.pool.get(link).is_some_and(|backend| backend.acknowledges);
        for kept in self.kept.iter_mut().filter(|kept| !kept.sent) {
            kept.sent = true;
            kept.tries += 1;
            cx.frame(link, Frame::ConvMessage(kept.message.clone()));
        }
        if !acknowledges {
            self.kept.clear();
        }
    }

    /// There will be no login: the senders are told.
    pub fn bounce_kept(&mut self, cx: &mut Context, reason: &str) {
        self.bounce(cx, |_| true, &format!("The message was not sent: {reason}"));
    }

    /// Messages that waited too long go back.
    pub fn bounce_old(&mut self, cx: &mut Context) {
        let now = cx.now;
        let old = |kept: &Kept| now.since(kept.at) >= if kept.sent { WORDLESS } else { WAIT };
        self.bounce(cx, old, "The network did not take the message in time");
        if let Some(first) = self.kept.front() {
            cx.timers.set(Timer::Expire(self.jid.clone()), first.at.after(WAIT).max(now.after(WAIT / 10)));
        }
    }

    fn bounce(&mut self, cx: &mut Context, which: impl Fn(&Kept) -> bool, text: &str) {
        self.kept.retain(|kept| {
            if which(kept) {
                cx.refuse(&kept.head, ErrorType::Wait, Condition::RecipientUnavailable, text);
            }
            !which(kept)
        });
    }

    fn conversation(&self, buddy_name: String, message: String) -> ConversationMessage {
        conversation(&self.jid, buddy_name, message)
    }

    /// XEP-0085: what the user does, as far as networks know it.
    fn send_chat_state(&self, cx: &mut Context, link: Link, name: String, state: ChatState) {
        let buddy = Buddy { user_name: self.jid.to_string(), buddy_name: name, ..Default::default() };
        let frame = match state {
            ChatState::Composing => Frame::BuddyTyping(buddy),
            ChatState::Paused => Frame::BuddyTyped(buddy),
            ChatState::Active => Frame::BuddyStoppedTyping(buddy),
            // Networks do not know them.
            ChatState::Inactive | ChatState::Gone => return,
        };
        cx.frame(link, frame);
    }

    /// A message from the network.
    pub fn network_message(&mut self, cx: &mut Context, message: &ConversationMessage) {
        if self.network_room_message(cx, message) {
            return;
        }
        cx.counters.to_xmpp += 1;
        let Some(node) = self.node_for(cx, &message.buddy_name) else {
            // A name without an address of its own; what it says is not lost.
            let name = clip(message.buddy_name.clone(), LABEL);
            let text = clip(message.message.clone(), TEXT);
            return cx.tell(&self.jid, &format!("{name} on the other network says: {text}"));
        };
        // No server keeps a headline for somebody who is away (XEP-0160 §3).
        let headline = message.headline == Some(true)
            && !self.resources.is_empty()
            && self.setting(cx, "send_headlines");
        let content = Content::read(cx, message);
        for (text, xhtml, urls) in content.parts(cx) {
            let id = cx.id();
            let mut stanza = Element::new("message", ns::CLIENT)
                .with("type", if headline { "headline" } else { "chat" })
                .with("id", id)
                .child(Element::new("body", ns::CLIENT).text(text));
            if let Some(xhtml) = xhtml {
                stanza.push(xhtml);
            }
            stanza = stanza.children_from(urls);
            if let Some(stamp) = message.timestamp.as_deref().and_then(xep_0082::from_legacy) {
                stanza.push(
                    Element::new("delay", ns::DELAY).with("from", cx.jid.as_str()).with("stamp", stamp),
                );
            }
            if message.carbon == Some(true) {
                self.send_carbon(cx, &node, stanza);
            } else {
                // XEP-0085 §5.1: a message with content says `active`.
                let stanza = stanza.child(ChatState::Active.element());
                let stanza = stanza.with("from", cx.contact_full(&node)).with("to", self.jid.as_str());
                cx.send(stanza);
            }
        }
    }

    /// The user's own message, sent from another client of the network. With leave to speak in his name (XEP-0356
    /// §5.3) his server treats it as sent by him: archive and carbons included. Without it there is no way.
    fn send_carbon(&self, cx: &mut Context, node: &str, stanza: Element) {
        let Some(privileges) = cx.privileges_for(&self.jid).filter(|privileges| privileges.message_outgoing)
        else {
            return;
        };
        let privileges = *privileges;
        let inner = stanza.with("from", self.jid.as_str()).with("to", cx.contact_bare(node));
        let id = cx.id();
        let server = Jid::from(BareJid::from_parts(None, self.jid.domain()));
        let message = privileges.message_from_user(&cx.jid, &server, inner).with("id", id);
        cx.send(message);
    }

    /// A contact is writing, has written, stopped.
    pub fn network_chat_state(&mut self, cx: &mut Context, buddy: &Buddy, state: ChatState) {
        // Networks say "stopped" of everybody at sign-on: strangers do not write.
        let Some(contact) = self.contacts.by_name(&buddy.buddy_name) else { return };
        if self.resources.is_empty() {
            // He stays connected, and will not care for it when he is back.
            return;
        }
        let message = Element::new("message", ns::CLIENT)
            .with("from", cx.contact_full(&contact.node))
            .with("to", self.jid.as_str())
            .with("type", "chat")
            .child(state.element());
        cx.send(message);
    }

    /// A contact's client has received a message (XEP-0184).
    pub fn network_receipt(&mut self, cx: &mut Context, message: &ConversationMessage) {
        let Some(received) = message.id.clone().filter(|id| !id.is_empty()) else { return };
        let Some(node) = self.node_for(cx, &message.buddy_name) else { return };
        let id = cx.id();
        let stanza = Element::new("message", ns::CLIENT)
            .with("from", cx.contact_full(&node))
            .with("to", self.jid.as_str())
            .with("type", "chat")
            .with("id", id)
            .child(Element::new("received", ns::RECEIPTS).with("id", received));
        cx.send(stanza);
    }

    /// A contact wants attention (XEP-0224).
    pub fn network_attention(&mut self, cx: &mut Context, message: &ConversationMessage) {
        let Some(node) = self.node_for(cx, &message.buddy_name) else { return };
        let id = cx.id();
        let mut stanza = Element::new("message", ns::CLIENT)
            .with("from", cx.contact_full(&node))
            .with("to", self.jid.as_str())
            // No server keeps a headline for somebody who is away (XEP-0160 §3).
            .with("type", if self.resources.is_empty() { "chat" } else { "headline" })
            .with("id", id);
        if !message.message.is_empty() {
            stanza.push(Element::new("body", ns::CLIENT).text(message.message.clone()));
        }
        stanza.push(Element::new("attention", ns::ATTENTION));
        cx.send(stanza);
    }

    /// Local part of the JID for a name on the network.
    pub fn node_for(&self, cx: &Context, name: &str) -> Option<String> {
        self.contacts.node(name, cx.escaping())
    }
}

/// The text of a message. A subject goes before it (networks have none for people), an address of a file (XEP-0066
/// §2) in place of a missing one.
pub fn body(stanza: &Element) -> Option<String> {
    let body = stanza.find_same("body").map(Element::content).filter(|body| !body.is_empty());
    let subject = stanza.find_same("subject").map(Element::content).filter(|subject| !subject.is_empty());
    let url = || stanza.find("x", ns::OOB)?.find_same("url").map(|url| url.content().into_owned());
    match (subject, body) {
        (Some(subject), Some(body)) => Some(format!("{subject}\n{body}")),
        (Some(text), None) | (None, Some(text)) => Some(text.into_owned()),
        (None, None) => url(),
    }
}

/// A message for the network.
pub fn conversation(user: &BareJid, buddy_name: String, message: String) -> ConversationMessage {
    ConversationMessage { user_name: user.to_string(), buddy_name, message, ..Default::default() }
}

fn is_groupchat(stanza: &Element) -> bool {
    stanza.attr("type") == Some("groupchat")
}

/// The stanza without what it carries, for an error.
fn head(stanza: &Element) -> Element {
    ["from", "to", "id", "type"]
        .into_iter()
        .fold(Element::new("message", ns::CLIENT), |head, name| head.with_opt(name, stanza.attr(name)))
}

/// What a message from the network carries.
pub struct Content {
    text: String,
    xhtml: Option<Element>,
    images: Vec<String>,
    attachments: Vec<Element>,
}

/// Text, formatted text and addresses of files of one stanza.
pub type Part = (String, Option<Element>, Vec<Element>);

impl Content {
    /// Reads it, as far as the configuration lets it through.
    pub fn read(cx: &Context, message: &ConversationMessage) -> Self {
        let xhtml = message
            .xhtml
            .as_deref()
            .filter(|xhtml| cx.config.service.enable_xhtml && !xhtml.is_empty() && xhtml.len() <= TEXT)
            .and_then(xep_0071::sanitise);
        let mut images = Vec::new();
        if let Some(xhtml) = &xhtml {
            find_images(xhtml, &mut images);
        }
        let attachments: Vec<_> = message
            .attachments
            .iter()
            .take(PARTS)
            .map(|attachment| oob(&attachment.url, attachment.description.as_deref()))
            .collect();
        let mut text = message.message.clone();
        if let Some(attachment) = message.attachments.first().filter(|_| text.is_empty()) {
            text.clone_from(&attachment.url);
        }
        Self { text, xhtml, images, attachments }
    }

    /// Pictures as Spectrum 2's options have them: each in a message of its own, in place of the text, or beside it.
    pub fn parts(self, cx: &Context) -> Vec<Part> {
        if self.text.len() > TEXT {
            return self.cut();
        }
        let Some(first) = self.images.first().cloned() else {
            return vec![(self.text, self.xhtml, self.attachments)];
        };
        if cx.config.service.oob_split {
            return self.split();
        }
        if cx.config.service.oob_replace_body {
            let urls = std::iter::once(oob(&first, None)).chain(self.attachments).collect();
            return vec![(first, self.xhtml, urls)];
        }
        let urls = self.images.iter().map(|url| oob(url, None)).chain(self.attachments).collect();
        vec![(self.text, self.xhtml, urls)]
    }

    /// Plain text in pieces.
    fn cut(self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = self.text.as_str();
        while !rest.is_empty() && parts.len() < PARTS {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(TEXT));
            parts.push((piece.to_owned(), None, Vec::new()));
            rest = behind;
        }
        if let Some((text, _, urls)) = parts.last_mut() {
            if !rest.is_empty() {
                text.push('…');
            }
            urls.extend(self.attachments);
        }
        parts
    }

    /// Text and pictures in turn. Pictures inside other elements stay there.
    fn split(self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut text = Element::new("body", ns::XHTML);
        let html = self.xhtml.unwrap_or_else(|| html_of(Element::new("body", ns::XHTML)));
        for node in html.elements().flat_map(Element::nodes) {
            match node {
                Node::Element(image) if image.is("img", ns::XHTML) => {
                    push_text(&mut parts, std::mem::replace(&mut text, Element::new("body", ns::XHTML)));
                    let url = image.attr("src").unwrap_or_default().to_owned();
                    let xhtml = html_of(Element::new("body", ns::XHTML).child(image.clone()));
                    let urls = vec![oob(&url, None)];
                    parts.push((url, Some(xhtml), urls));
                }
                Node::Element(element) => text.push(element.clone()),
                Node::Text(content) => text.push_text(content.clone()),
            }
        }
        push_text(&mut parts, text);
        if let Some((.., urls)) = parts.last_mut() {
            urls.extend(self.attachments);
        }
        parts
    }
}

fn push_text(parts: &mut Vec<Part>, body: Element) {
    let text = xep_0071::plain_text(&body.to_xml());
    if !text.is_empty() {
        parts.push((text, Some(html_of(body)), Vec::new()));
    }
}

/// XEP-0071 §4.
fn html_of(body: Element) -> Element {
    Element::new("html", ns::XHTML_IM).child(body)
}

fn find_images(xhtml: &Element, images: &mut Vec<String>) {
    for element in xhtml.elements() {
        match element.attr("src") {
            Some(src) if element.name() == "img" => images.push(src.to_owned()),
            _ => find_images(element, images),
        }
    }
}

/// XEP-0066 §2.
fn oob(url: &str, description: Option<&str>) -> Element {
    let mut oob = xep_0066::element(url);
    if let Some(description) = description.filter(|description| !description.is_empty()) {
        oob.push(Element::new("desc", ns::OOB).text(description));
    }
    oob
}
