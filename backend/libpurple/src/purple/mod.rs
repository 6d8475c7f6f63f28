//! libpurple as safe Rust: the only module of this program that may use `unsafe`.
//!
//! What it guarantees to the rest:
//!
//! * **Nothing crosses a callback.** Every function that libpurple calls goes through [`guard`], which stops a panic; null
//!   texts become empty ones, and a null object makes the callback do nothing.
//! * **No callback runs our code.** A callback copies what it is told into an [`Event`] and returns. The program takes
//!   events from [`next_event`] at the top of its own loop, so libpurple never finds us in the middle of something, and
//!   no state of ours is borrowed while libpurple runs.
//! * **No pointer escapes.** Accounts are owned [`Account`] values that know a number; contacts and rooms are named by
//!   text and looked up at each use; dialogs are numbers in a table that libpurple itself clears.
//!
//! All of it belongs to one thread, the one that runs GLib's default main context; no type here is `Send`.

#![allow(unsafe_code)]

mod account;
mod accounts_file;
mod callback;
mod contact;
mod core;
mod dialog;
mod ear;
mod event;
pub mod event_loop;
pub mod os;
mod protocol;
mod resolver;
mod room;
pub mod text;

pub use self::core::{forget_saved_certificates, start};
pub use account::{Account, AccountId, Proxy, ProxyKind, SettingValue};
pub use accounts_file::read_accounts_file;
pub use contact::{Contact, Primitive};
pub use dialog::{Answer, DialogId};
pub use ear::{BOOKMARKS_ID, CARD_ID};
pub use event::{
    Card, Denial, Departure, Dialog, Event, IdPrefix, Leaver, Message, MessageKind, Participant, Typing,
    next_event, on_event,
};
pub use protocol::{OptionKind, Protocol, ProtocolOption, protocols};
pub use resolver::{
    Lookup, LookupResult, ServiceRecord, answer as resolver_answer, ask_name_server as resolver_ask,
};
pub use room::take_invitations;

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of a callback. A panic ends here: unwinding into C would end the process and all its users with it.
fn guard<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// A copy of a C text; empty for null. Bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `text` is null or points to a text that ends with a zero byte and stays unchanged during the call.
unsafe fn copy(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null; the rest is the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Takes a text that libpurple allocated, and frees it.
///
/// # Safety
/// As for [`copy`]; the text was allocated by GLib and nobody else frees it.
unsafe fn take(text: *mut c_char) -> String {
    // SAFETY: the caller's promise; `g_free` accepts null.
    unsafe {
        let copied = copy(text);
        libpurple_sys::g_free(text.cast());
        copied
    }
}

/// A text for C. What follows a zero byte, which no network can send, is cut off.
fn c_text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(text.get(..end).unwrap_or_default()).unwrap_or_default()
}

/// Visits the data pointers of a `GList`.
///
/// # Safety
/// `list` is null or a list that does not change during the visit.
unsafe fn list<T>(mut list: *const libpurple_sys::GList) -> Vec<*mut T> {
    let mut items = Vec::new();
    while !list.is_null() {
        // SAFETY: not null, and the caller promised a list.
        unsafe {
            items.push((*list).data.cast());
            list = (*list).next;
        }
    }
    items
}

/// Visits the data pointers of a `GSList` and frees the list.
///
/// # Safety
/// `list` is null or a list that the caller owns.
unsafe fn take_slist<T>(list: *mut libpurple_sys::GSList) -> Vec<*mut T> {
    let mut items = Vec::new();
    let mut node = list;
    while !node.is_null() {
        // SAFETY: not null, and the caller promised a list.
        unsafe {
            items.push((*node).data.cast());
            node = (*node).next;
        }
    }
    // SAFETY: the caller owns the list; the data is not freed with it.
    unsafe { libpurple_sys::g_slist_free(list) };
    items
}
