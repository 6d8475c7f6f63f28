//! The file in which libpurple, under Spectrum 2, kept all accounts.

use libpurple_sys as sys;

use super::account::SettingValue;
use super::{c_text, copy, take};

/// An account of an `accounts.xml`.
#[derive(Debug, PartialEq, Eq)]
pub struct SavedAccount {
    /// Id of the plugin.
    pub protocol: String,
    /// Name on the network.
    pub name: String,
    /// The user's profile in the plugin's own form.
    pub profile: String,
    /// Settings of the account, not those of a user interface.
    pub settings: Vec<(String, SettingValue)>,
}

/// Reads the text of an `accounts.xml`; nothing if it is none.
pub fn read_accounts_file(text: &str) -> Vec<SavedAccount> {
    let text = c_text(text);
    let mut accounts = Vec::new();
    // SAFETY: the text and its length are ours; the tree is ours until it is freed, and nodes are used only before.
    unsafe {
        let root = sys::xmlnode_from_str(text.as_ptr(), text.as_bytes().len() as _);
        if root.is_null() {
            return accounts;
        }
        let mut node = sys::xmlnode_get_child(root, c"account".as_ptr());
        while !node.is_null() {
            accounts.push(SavedAccount {
                protocol: child(node, "protocol"),
                name: child(node, "name"),
                profile: child(node, "userinfo"),
                settings: settings(node),
            });
            node = sys::xmlnode_get_next_twin(node);
        }
        sys::xmlnode_free(root);
    }
    accounts
}

/// The text of a child element.
///
/// # Safety
/// `node` lives.
unsafe fn child(node: *mut sys::xmlnode, name: &str) -> String {
    // SAFETY: the caller's promise; null is checked; the text is ours.
    unsafe {
        let child = sys::xmlnode_get_child(node, c_text(name).as_ptr());
        if child.is_null() { String::new() } else { take(sys::xmlnode_get_data(child)) }
    }
}

/// # Safety
/// `account` lives.
unsafe fn settings(account: *mut sys::xmlnode) -> Vec<(String, SettingValue)> {
    let mut found = Vec::new();
    // SAFETY: the caller's promise; null ends the loops.
    unsafe {
        let mut group = sys::xmlnode_get_child(account, c"settings".as_ptr());
        while !group.is_null() {
            let of_interface = !sys::xmlnode_get_attrib(group, c"ui".as_ptr()).is_null();
            let mut node = sys::xmlnode_get_child(group, c"setting".as_ptr());
            while !of_interface && !node.is_null() {
                let name = copy(sys::xmlnode_get_attrib(node, c"name".as_ptr()));
                let kind = copy(sys::xmlnode_get_attrib(node, c"type".as_ptr()));
                let text = take(sys::xmlnode_get_data(node));
                let value = match kind.as_str() {
                    "int" => text.parse().ok().map(SettingValue::Integer),
                    "bool" => Some(SettingValue::Boolean(text != "0")),
                    _ => Some(SettingValue::Text(text)),
                };
                found.extend(value.map(|value| (name, value)));
                node = sys::xmlnode_get_next_twin(node);
            }
            group = sys::xmlnode_get_next_twin(group);
        }
    }
    found
}
