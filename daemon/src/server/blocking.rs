//! Blocking (XEP-0191): who is blocked does not reach the user, nor he them.

use std::collections::BTreeSet;

use jid::BareJid;
use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_result};
use spectrum2_xmpp::xep_0191::{self, Request};
use spectrum2_xmpp::{Element, ns};

use super::Server;
use super::account::Account;
use super::context::{Context, refusal};
use crate::gateway::presence_typed;

/// JIDs that one account may block.
const BLOCKED: usize = 500;
/// Where they are kept: one in a line.
const SETTING: &str = "server:blocked";

impl Server {
    /// A client asks for the block list, or changes it.
    pub(super) fn block(&mut self, account: &str, number: u64, iq: &Element, payload: &Element, get: bool) {
        let Some(known) = self.accounts.get_mut(account) else { return };
        let answer = match Request::read(payload, get) {
            None => refusal(iq, ErrorType::Modify, Condition::BadRequest, ""),
            Some(Request::List) => {
                if let Some(session) = known.session(number) {
                    session.knows_blocked = true;
                }
                let list = xep_0191::list("blocklist", known.blocked.iter().map(String::as_str));
                Some(iq_result(iq).child(list))
            }
            Some(Request::Block(jids)) => {
                let new: BTreeSet<String> = jids.iter().map(ToString::to_string).collect();
                let new: Vec<String> = new.difference(&known.blocked).cloned().collect();
                if known.blocked.len() + new.len() > BLOCKED {
                    refusal(iq, ErrorType::Wait, Condition::ResourceConstraint, "The block list is full")
                } else {
                    known.blocked.extend(new.iter().cloned());
                    self.blocked_changed(account, "block", &new);
                    Some(iq_result(iq))
                }
            }
            Some(Request::Unblock(jids)) => {
                let gone: Vec<String> = match jids.is_empty() {
                    true => known.blocked.iter().cloned().collect(),
                    false => jids
                        .iter()
                        .map(ToString::to_string)
                        .filter(|jid| known.blocked.contains(jid))
                        .collect(),
                };
                known.blocked.retain(|jid| !gone.contains(jid));
                self.blocked_changed(account, "unblock", &gone);
                if let Some(known) = self.accounts.get(account) {
                    known.look_again(&mut self.cx, &gone);
                }
                Some(iq_result(iq))
            }
        };
        self.reply(account, number, answer);
    }

    fn blocked_changed(&mut self, account: &str, change: &'static str, jids: &[String]) {
        let Some(known) = self.accounts.get_mut(account).filter(|_| !jids.is_empty()) else { return };
        known.push_blocked(&mut self.cx, change, jids);
        if change == "block" {
            known.hide(&mut self.cx, jids);
        }
        let lines: Vec<&str> = known.blocked.iter().map(String::as_str).collect();
        let (user, text) = (known.jid.clone(), lines.join("\n"));
        self.keep(&user, SETTING, text);
    }

    /// Whom a user blocks, as it was stored.
    pub(super) fn stored_blocked(&self, user: &BareJid) -> BTreeSet<String> {
        let stored = self.gateway.setting(user, SETTING).unwrap_or_default();
        stored.lines().take(BLOCKED).map(str::to_owned).collect()
    }
}

impl Account {
    /// §3.3: clients that know the list are told.
    fn push_blocked(&mut self, cx: &mut Context, change: &'static str, jids: &[String]) {
        let payload = xep_0191::list(change, jids.iter().map(String::as_str));
        for session in self.sessions.iter_mut().filter(|session| session.knows_blocked) {
            let push = Element::new("iq", ns::CLIENT)
                .with("type", "set")
                .with("to", format!("{}/{}", self.jid, session.resource))
                .with("id", cx.id())
                .child(payload.clone());
            session.send(cx, push);
        }
    }

    /// The user sees no more of whom he blocks.
    fn hide(&mut self, cx: &mut Context, jids: &[String]) {
        for jid in jids {
            let gone = presence_typed(jid.as_str(), self.jid.as_str(), "unavailable");
            self.show_all(cx, &gone);
        }
    }

    /// Whom he blocks no more is asked for his presence.
    fn look_again(&self, cx: &mut Context, jids: &[String]) {
        for jid in jids.iter().filter(|jid| jid.contains('@')) {
            cx.pass(presence_typed(self.jid.as_str(), jid.as_str(), "probe"));
        }
    }
}
