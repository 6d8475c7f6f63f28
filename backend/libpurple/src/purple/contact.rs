//! Contacts: libpurple's buddies.
//!
//! libpurple has one entry for each group that a contact is in; here a contact is one thing with several groups.

use libpurple_sys as sys;
use sha1::{Digest, Sha1};

use super::account::Account;
use super::{c_text, copy, take_slist, text};

/// The group of contacts that are in none.
const DEFAULT_GROUP: &str = "Buddies";

/// libpurple's idea of availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// Online.
    Available,
    /// Away.
    Away,
    /// Away for long.
    ExtendedAway,
    /// Not to be disturbed.
    Unavailable,
    /// Online, unseen.
    Invisible,
    /// Not online.
    Offline,
}

impl Primitive {
    pub(super) const fn number(self) -> sys::PurpleStatusPrimitive::Type {
        use sys::PurpleStatusPrimitive as primitive;
        match self {
            Self::Available => primitive::PURPLE_STATUS_AVAILABLE,
            Self::Away => primitive::PURPLE_STATUS_AWAY,
            Self::ExtendedAway => primitive::PURPLE_STATUS_EXTENDED_AWAY,
            Self::Unavailable => primitive::PURPLE_STATUS_UNAVAILABLE,
            Self::Invisible => primitive::PURPLE_STATUS_INVISIBLE,
            Self::Offline => primitive::PURPLE_STATUS_OFFLINE,
        }
    }

    /// Whatever is not known means that the contact is there.
    const fn from_number(number: sys::PurpleStatusPrimitive::Type) -> Self {
        use sys::PurpleStatusPrimitive as primitive;
        match number {
            primitive::PURPLE_STATUS_AWAY => Self::Away,
            primitive::PURPLE_STATUS_EXTENDED_AWAY => Self::ExtendedAway,
            primitive::PURPLE_STATUS_UNAVAILABLE => Self::Unavailable,
            primitive::PURPLE_STATUS_OFFLINE => Self::Offline,
            _ => Self::Available,
        }
    }
}

/// A contact as libpurple has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Name on the network.
    pub name: String,
    /// Name to show; empty if none.
    pub alias: String,
    /// Groups, at least one.
    pub groups: Vec<String>,
    /// Availability.
    pub presence: Primitive,
    /// What the contact says about it, as plain text.
    pub status_text: String,
    /// SHA-1 of the picture in hexadecimal; empty if none.
    pub icon_hash: String,
    /// Whether the user blocked the contact.
    pub blocked: bool,
}

impl Account {
    /// All entries for a contact, alive until control returns to libpurple.
    fn entries(&self, name: &str) -> Vec<*mut sys::PurpleBuddy> {
        // SAFETY: the account lives; the list is ours, the entries are libpurple's.
        unsafe { take_slist(sys::purple_find_buddies(self.raw(), c_text(name).as_ptr())) }
    }

    /// The contact with this name, if it is on the list.
    pub fn contact(&self, name: &str) -> Option<Contact> {
        let entries = self.entries(name);
        let buddy = *entries.first()?;
        // SAFETY: the entries live; all texts are copied at once.
        unsafe {
            let shown = copy(sys::purple_buddy_get_contact_alias(buddy));
            let own = copy(sys::purple_buddy_get_name(buddy));
            let mut groups: Vec<_> = entries.iter().map(|entry| group_of(*entry)).collect();
            groups.sort();
            groups.dedup();
            let status = sys::purple_presence_get_active_status(sys::purple_buddy_get_presence(buddy));
            let primitive = sys::purple_status_type_get_primitive(sys::purple_status_get_type(status));
            let message = copy(sys::purple_status_get_attr_string(status, c"message".as_ptr()));
            Some(Contact {
                alias: if shown == own { String::new() } else { shown },
                groups,
                presence: Primitive::from_number(primitive),
                // Most plugins give HTML; prpl-jabber gives what the contact wrote.
                status_text: if self.protocol().id() == "prpl-jabber" {
                    message
                } else {
                    text::strip(&message)
                },
                icon_hash: icon_data(buddy).map(hash).unwrap_or_default(),
                blocked: sys::purple_privacy_check(self.raw(), c_text(&own).as_ptr()) == 0,
                name: own,
            })
        }
    }

    /// The picture of a contact.
    pub fn contact_icon(&self, name: &str) -> Option<Vec<u8>> {
        let buddy = *self.entries(name).first()?;
        // SAFETY: the entry lives, and the data is copied at once.
        unsafe { icon_data(buddy) }.map(<[u8]>::to_vec)
    }

    /// The user's own picture.
    pub fn own_icon(&self) -> Option<Vec<u8>> {
        // SAFETY: the account lives; the image is counted, and released after its data is copied.
        unsafe {
            let image = sys::purple_buddy_icons_find_account_icon(self.raw());
            if image.is_null() {
                return None;
            }
            let (data, size) = (sys::purple_imgstore_get_data(image), sys::purple_imgstore_get_size(image));
            let picture = bytes(data.cast(), size).map(<[u8]>::to_vec);
            sys::purple_imgstore_unref(image);
            picture
        }
    }

    /// Adds a contact here and on the network.
    pub fn add_contact(&self, name: &str, alias: &str, groups: &[String]) {
        let groups = if groups.is_empty() { &[DEFAULT_GROUP.to_owned()][..] } else { groups };
        for name_of_group in groups {
            self.add_entry(name, alias, name_of_group);
        }
    }

    fn add_entry(&self, name: &str, alias: &str, group: &str) {
        let group = find_or_create_group(group);
        let (name, alias) = (c_text(name), c_text(alias));
        // SAFETY: the account and the group live; libpurple owns the new entry; an empty alias is none.
        unsafe {
            let shown = if alias.is_empty() { std::ptr::null() } else { alias.as_ptr() };
            let buddy = sys::purple_buddy_new(self.raw(), name.as_ptr(), shown);
            sys::purple_blist_add_buddy(buddy, std::ptr::null_mut(), group, std::ptr::null_mut());
            sys::purple_account_add_buddy(self.raw(), buddy);
        }
    }

    /// Gives a contact another name to show, here and on the network.
    pub fn rename_contact(&self, name: &str, alias: &str) {
        for buddy in self.entries(name) {
            // SAFETY: the entry lives: renaming one removes none.
            unsafe {
                sys::purple_blist_alias_buddy(buddy, c_text(alias).as_ptr());
                sys::serv_alias_buddy(buddy);
            }
        }
    }

    /// Puts a contact into exactly these groups, here and on the network.
    pub fn regroup_contact(&self, name: &str, groups: &[String]) {
        let entries = self.entries(name);
        // SAFETY: the entries live.
        let present: Vec<_> = entries.iter().map(|entry| unsafe { group_of(*entry) }).collect();
        let mut missing: Vec<_> = groups.iter().filter(|group| !present.contains(group)).collect();
        let surplus = entries.iter().zip(&present).filter(|(_, group)| !groups.contains(group));
        for (entry, _) in surplus {
            // SAFETY: moving or removing one entry leaves the others alone.
            unsafe {
                if let Some(group) = missing.pop() {
                    let contact = sys::purple_buddy_get_contact(*entry);
                    sys::purple_blist_add_contact(contact, find_or_create_group(group), std::ptr::null_mut());
                } else {
                    self.remove_entry(*entry);
                }
            }
        }
        // The network takes the name of the newest entry for that of the contact.
        let alias = self.contact(name).map(|contact| contact.alias).unwrap_or_default();
        for group in missing {
            self.add_entry(name, &alias, group);
        }
    }

    /// Removes a contact here and on the network.
    pub fn remove_contact(&self, name: &str) {
        for entry in self.entries(name) {
            // SAFETY: the entries live; removing one leaves the others alone.
            unsafe { self.remove_entry(entry) };
        }
    }

    /// Removes one entry.
    ///
    /// # Safety
    /// `entry` lives, and is not used afterwards.
    unsafe fn remove_entry(&self, entry: *mut sys::PurpleBuddy) {
        // SAFETY: the caller's promise.
        unsafe {
            sys::purple_account_remove_buddy(self.raw(), entry, sys::purple_buddy_get_group(entry));
            sys::purple_blist_remove_buddy(entry);
        }
    }

    /// Blocks a contact, or ends that.
    pub fn block(&self, name: &str, blocked: bool) {
        let name = c_text(name);
        // SAFETY: the account lives; libpurple copies the text. The two numbers: tell the network too; keep the list.
        unsafe {
            if blocked {
                sys::purple_privacy_deny(self.raw(), name.as_ptr(), 0, 0);
            } else {
                sys::purple_privacy_allow(self.raw(), name.as_ptr(), 0, 0);
            }
        }
    }
}

fn find_or_create_group(name: &str) -> *mut sys::PurpleGroup {
    let name = c_text(name);
    // SAFETY: libpurple copies the text; groups are never removed while the process runs.
    unsafe {
        let found = sys::purple_find_group(name.as_ptr());
        if !found.is_null() {
            return found;
        }
        let group = sys::purple_group_new(name.as_ptr());
        sys::purple_blist_add_group(group, std::ptr::null_mut());
        group
    }
}

/// # Safety
/// `buddy` lives.
unsafe fn group_of(buddy: *mut sys::PurpleBuddy) -> String {
    // SAFETY: the caller's promise; null groups are checked.
    unsafe {
        let group = sys::purple_buddy_get_group(buddy);
        if group.is_null() { DEFAULT_GROUP.to_owned() } else { copy(sys::purple_group_get_name(group)) }
    }
}

/// # Safety
/// `buddy` lives, and the result is used only until control returns to libpurple.
unsafe fn icon_data<'a>(buddy: *mut sys::PurpleBuddy) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise; null is checked.
    unsafe {
        let icon = sys::purple_buddy_get_icon(buddy);
        if icon.is_null() {
            return None;
        }
        let mut size = 0;
        let data = sys::purple_buddy_icon_get_data(icon, &raw mut size);
        bytes(data.cast(), size)
    }
}

/// # Safety
/// `data` is null or points to `size` bytes that live as long as the result is used.
unsafe fn bytes<'a>(data: *const u8, size: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise; null and zero are checked.
    (!data.is_null() && size > 0).then(|| unsafe { std::slice::from_raw_parts(data, size) })
}

fn hash(picture: &[u8]) -> String {
    Sha1::digest(picture).iter().map(|byte| format!("{byte:02x}")).collect()
}
