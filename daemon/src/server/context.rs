//! What all parts of the server share: time, the ways out, timers, and numbers that nobody else has.

use std::collections::VecDeque;

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_config::Secret;
use spectrum2_xmpp::stanza::{Condition, ErrorType, error_reply};
use spectrum2_xmpp::{Element, xep_0082};

use super::client_info::Kinds;
use super::limits::Attempts;
use super::stream_management::Ended;
use super::timer::Timer;
use crate::client::{self, Client};
use crate::gateway::timer::Timers;
use crate::gateway::{Action, Time};

/// Something for the gateway, in the order in which it happened.
#[derive(Debug)]
pub enum ToGateway {
    /// A stanza of a user, or an answer.
    Stanza(Element),
    /// Somebody wants to log in: user, legacy name, password.
    Admit(BareJid, String, Secret),
    /// No client of this user is connected any more.
    Release(BareJid),
}

/// What all parts of the server share.
#[derive(Serialize, Deserialize)]
pub struct Context {
    /// The domain that we serve.
    pub jid: BareJid,
    pub now: Time,
    #[serde(skip)]
    pub out: Vec<Action>,
    /// Empty between events.
    #[serde(skip)]
    pub gateway: VecDeque<ToGateway>,
    /// Sessions (account, number) whose queue is full. Empty between events.
    #[serde(skip)]
    pub overfull: Vec<(String, u64)>,
    pub timers: Timers<Timer>,
    pub attempts: Attempts,
    pub ended: Ended,
    /// What is known of clients.
    pub kinds: Kinds,
    /// Milliseconds from 1970 to the zero of our clock.
    pub day: u64,
    last_number: u64,
    random: u64,
}

impl Context {
    pub fn new(jid: BareJid, now: Time, seed: u64) -> Self {
        Self {
            jid,
            now,
            out: Vec::new(),
            gateway: VecDeque::new(),
            overfull: Vec::new(),
            timers: Timers::default(),
            attempts: Attempts::default(),
            ended: Ended::default(),
            kinds: Kinds::default(),
            day: 0,
            last_number: 0,
            random: seed | 1,
        }
    }

    /// A number that was not given before.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// An id, different from those of other lives. It is no secret: who uses one has logged in before.
    pub fn id(&mut self) -> String {
        // splitmix64 (Steele et al. 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let number = self.number();
        format!("{mixed:016x}{number:x}")
    }

    /// Has the shell do something with a connection.
    pub fn client(&mut self, client: Client, action: client::Action) {
        self.out.push(Action::Client(client, action));
    }

    /// Sends an element on a connection.
    pub fn send(&mut self, client: Client, element: Element) {
        self.client(client, client::Action::Send(element));
    }

    /// Gives a stanza to the gateway.
    pub fn pass(&mut self, stanza: Element) {
        self.gateway.push_back(ToGateway::Stanza(stanza));
    }

    /// Answers a stanza of the gateway with an error, if it may be answered.
    pub fn return_to_gateway(&mut self, stanza: &Element, condition: Condition, text: &str) {
        let text = (!text.is_empty()).then_some(text);
        if let Some(reply) = error_reply(stanza, condition.default_type(), condition, text) {
            self.pass(reply);
        }
    }

    /// The time of day, as stamps have it (XEP-0082).
    pub fn stamp(&self) -> String {
        xep_0082::from_unix((self.day + self.now.0) / 1_000)
    }

    /// The domain as text.
    pub fn domain(&self) -> &str {
        self.jid.as_str()
    }
}

/// An error for a client's stanza.
pub fn refusal(stanza: &Element, kind: ErrorType, condition: Condition, text: &str) -> Option<Element> {
    error_reply(stanza, kind, condition, (!text.is_empty()).then_some(text))
}

/// Roughly how much memory an element takes, in bytes.
pub fn weight(element: &Element) -> usize {
    let attributes: usize = element.attributes().map(|(_, value)| 40 + value.len()).sum();
    let text: usize = element.content().len();
    let children: usize = element.elements().map(weight).sum();
    100 + attributes + text + children
}
