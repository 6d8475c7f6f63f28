//! What an account keeps on the server: private XML (XEP-0049) with bookmarks (XEP-0048), and its own vCard (XEP-0054).
//!
//! It is kept among the user's settings: in the database, if there is one. Backends do not get it.

use spectrum2_xmpp::stanza::{Condition, ErrorType, iq_result};
use spectrum2_xmpp::{Element, ns, xep_0049};

use super::Server;
use super::context::refusal;

/// Where Spectrum 2 keeps the bookmarks.
pub const BOOKMARKS: &str = "storage";
/// All other private XML.
const PRIVATE: &str = "server:private";
const VCARD: &str = "server:vcard";
/// Longest text of all private XML of one user, and of his bookmarks, in bytes.
pub const LONGEST_PRIVATE: usize = 64 << 10;
/// Longest text of a vCard.
const LONGEST_VCARD: usize = 128 << 10;

impl Server {
    /// Private storage.
    pub(super) fn private(&mut self, account: &str, number: u64, iq: &Element, query: &Element, get: bool) {
        let Some(content) = xep_0049::content(query) else {
            let answer = refusal(
                iq,
                ErrorType::Modify,
                Condition::NotAcceptable,
                "Exactly one element is stored at a time",
            );
            return self.reply(account, number, answer);
        };
        let answer = if get {
            let stored = self.stored_private(account, content.name(), content.ns());
            let stored =
                stored.unwrap_or_else(|| Element::new(content.name().to_owned(), content.ns().to_owned()));
            Some(iq_result(iq).child(xep_0049::query(stored)))
        } else if self.store_private(account, content) {
            Some(iq_result(iq))
        } else {
            refusal(iq, ErrorType::Wait, Condition::ResourceConstraint, "There is no room for it")
        };
        self.reply(account, number, answer);
    }

    fn stored_private(&self, account: &str, name: &str, space: &str) -> Option<Element> {
        if space == ns::BOOKMARKS {
            return self.stored(account, BOOKMARKS);
        }
        let all = self.stored(account, PRIVATE)?;
        all.find(name, space).cloned()
    }

    fn store_private(&mut self, account: &str, content: &Element) -> bool {
        if content.ns() == ns::BOOKMARKS {
            return self.store(account, BOOKMARKS, content, LONGEST_PRIVATE);
        }
        let mut all = self.stored(account, PRIVATE).unwrap_or_else(|| Element::new("query", ns::PRIVATE));
        all.remove_children(content.name(), content.ns());
        // XEP-0049 §2.2: an empty element deletes.
        if content.nodes().is_empty() && content.attributes().next().is_none() {
            return self.store(account, PRIVATE, &all, LONGEST_PRIVATE);
        }
        self.store(account, PRIVATE, &all.child(content.clone()), LONGEST_PRIVATE)
    }

    /// The user's own vCard. The network is told of a new one.
    pub(super) fn own_vcard(&mut self, account: &str, number: u64, iq: &Element, card: &Element, get: bool) {
        let Some(user) = self.accounts.get(account).map(|known| known.jid.clone()) else { return };
        let answer = if get {
            Some(iq_result(iq).child(self.stored_vcard(account)))
        } else if self.store(account, VCARD, card, LONGEST_VCARD) {
            self.tell_gateway(&user, iq);
            Some(iq_result(iq))
        } else {
            refusal(iq, ErrorType::Modify, Condition::ResourceConstraint, "There is no room for such a vCard")
        };
        self.reply(account, number, answer);
    }

    /// XEP-0054 §3.1: an empty one if there is none.
    pub(super) fn stored_vcard(&self, account: &str) -> Element {
        self.stored(account, VCARD).unwrap_or_else(|| Element::new("vCard", ns::VCARD))
    }

    pub(super) fn stored(&self, account: &str, name: &str) -> Option<Element> {
        let user = &self.accounts.get(account)?.jid;
        Element::parse(self.gateway.setting(user, name)?).ok()
    }

    pub(super) fn store(&mut self, account: &str, name: &str, content: &Element, longest: usize) -> bool {
        let text = content.to_xml();
        let Some(user) = self.accounts.get(account).map(|known| known.jid.clone()) else { return false };
        text.len() <= longest && self.keep(&user, name, text)
    }
}
