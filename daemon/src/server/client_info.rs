//! What clients can do (XEP-0030, XEP-0115): the server asks each kind of client once, to know what it wants to be told.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use spectrum2_xmpp::xep_0030::{self, Info};
use spectrum2_xmpp::xep_0115::Caps;
use spectrum2_xmpp::{Element, ns};

use super::Server;
use super::account::Account;
use super::context::Context;

/// Our requests have ids that begin so.
const ASKED: &str = "client-info-";
/// Kinds of clients that are remembered. Past it all are forgotten, and asked again.
const KINDS: usize = 1_000;
/// Longest name of a kind, in bytes.
const LONGEST: usize = 1_023;
/// XEP-0163 §4.3: the client wants to be told of bookmarks.
const BOOKMARKS_NOTIFY: &str = "urn:xmpp:bookmarks:1+notify";

/// By `node#ver`: whether such clients want to be told of bookmarks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kinds(HashMap<String, bool>);

impl Kinds {
    fn get(&self, kind: &str) -> Option<bool> {
        self.0.get(kind).copied()
    }

    fn learn(&mut self, kind: String, wants_bookmarks: bool) {
        if self.0.len() >= KINDS {
            self.0.clear();
        }
        self.0.insert(kind, wants_bookmarks);
    }
}

/// What a client was asked about, without an answer that is good for all of its kind.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Of the request; empty if it was answered.
    id: String,
    caps: Caps,
}

impl Account {
    /// A client has shown what it can do, or something else; if it is of an unknown kind, it is asked.
    pub fn look_at_client(&mut self, cx: &mut Context, number: u64, presence: &Element) {
        let jid = self.jid.to_string();
        let Some(session) = self.session(number) else { return };
        let Some(caps) = Caps::read(presence).filter(|caps| caps.query_node().len() <= LONGEST) else {
            return;
        };
        if let Some(wants) = cx.kinds.get(&caps.query_node()) {
            (session.wants_bookmarks, session.asked) = (wants, None);
            return;
        }
        if session.asked.as_ref().is_some_and(|asked| asked.caps == caps) {
            return;
        }
        let id = format!("{ASKED}{}", cx.number());
        let request = Element::new("iq", ns::CLIENT)
            .with("type", "get")
            .with("from", cx.domain().to_owned())
            .with("to", format!("{jid}/{}", session.resource))
            .with("id", id.clone())
            .child(xep_0030::info_query(Some(&caps.query_node())));
        session.asked = Some(Box::new(Asked { id, caps }));
        session.send(cx, request);
    }
}

impl Server {
    /// A client answers.
    pub(super) fn client_described(&mut self, account: &str, number: u64, iq: &Element) {
        let session = self.accounts.get_mut(account).and_then(|known| known.session(number));
        let Some(session) = session else { return };
        // It may have changed meanwhile, and been asked again.
        let Some(asked) = session.asked.as_mut().filter(|asked| iq.attr("id") == Some(&asked.id)) else {
            return;
        };
        asked.id.clear();
        let info = iq.find("query", ns::DISCO_INFO).and_then(Info::read).unwrap_or_default();
        session.wants_bookmarks = info.has(BOOKMARKS_NOTIFY);
        // XEP-0115 §5.4: who announces a hash that is not his own does not speak for others, but is not asked again.
        if asked.caps.matches(&info) {
            self.cx.kinds.learn(asked.caps.query_node(), session.wants_bookmarks);
            session.asked = None;
        }
    }
}

/// Whether a client's answer is to such a request.
pub fn is_about_client(iq: &Element) -> bool {
    iq.attr("id").is_some_and(|id| id.starts_with(ASKED))
}
