//! Questions that libpurple asks: kept by number until they are answered or withdrawn.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr;

use libpurple_sys as sys;

use super::event::{Dialog, Event, push};
use super::{account, c_text, copy, guard};

/// Number of a question, never used again within the process; libpurple keeps it as an opaque pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId(usize);

/// Answer to a question. One that does not fit cancels it.
#[derive(Debug)]
pub enum Answer<'a> {
    /// To [`Dialog::Input`].
    Text(&'a str),
    /// To [`Dialog::Action`] and [`Dialog::Choice`]: the place in the list of labels.
    Index(usize),
    /// To an authorisation request.
    Authorize(bool),
    /// To anything.
    Cancel,
}

/// What to call for an answer.
enum Pending {
    Input {
        ok: sys::GCallback,
        cancel: sys::GCallback,
        data: *mut c_void,
    },
    Action {
        callbacks: Vec<sys::PurpleRequestActionCb>,
        data: *mut c_void,
    },
    Choice {
        ok: sys::GCallback,
        cancel: sys::GCallback,
        values: Vec<c_int>,
        data: *mut c_void,
    },
    Form {
        cancel: sys::GCallback,
        fields: *mut sys::PurpleRequestFields,
        data: *mut c_void,
    },
    Authorization {
        allow: sys::PurpleAccountRequestAuthorizationCb,
        deny: sys::PurpleAccountRequestAuthorizationCb,
        data: *mut c_void,
    },
}

#[derive(Default)]
struct Table {
    last: usize,
    pending: HashMap<DialogId, Pending>,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

fn keep(pending: Pending) -> DialogId {
    TABLE.with_borrow_mut(|table| {
        table.last += 1;
        let id = DialogId(table.last);
        table.pending.insert(id, pending);
        id
    })
}

fn forget(handle: *mut c_void) {
    let pending = TABLE.with_borrow_mut(|table| table.pending.remove(&DialogId(handle as usize)));
    if let Some(Pending::Form { fields, .. }) = pending {
        // SAFETY: a form belongs to the user interface, which is us, and nobody else frees it.
        unsafe { sys::purple_request_fields_destroy(fields) };
    }
}

impl DialogId {
    /// Whether nobody answered it yet and libpurple did not withdraw it.
    pub fn is_open(self) -> bool {
        TABLE.with_borrow(|table| table.pending.contains_key(&self))
    }

    /// Answers the question, if it is still open.
    pub fn answer(self, answer: &Answer<'_>) {
        let Some(pending) = TABLE.with_borrow_mut(|table| table.pending.remove(&self)) else { return };
        type Untyped = unsafe extern "C" fn();
        type TextCallback = unsafe extern "C" fn(*mut c_void, *const c_char);
        type NumberCallback = unsafe extern "C" fn(*mut c_void, c_int);
        type FormCallback = unsafe extern "C" fn(*mut c_void, *mut sys::PurpleRequestFields);
        use sys::PurpleRequestType as kind;
        // SAFETY: libpurple withdraws a question before its data goes, so the data lives. libpurple declares callbacks
        // without parameters and documents those that they have, which are the types here.
        unsafe {
            let kind = match pending {
                Pending::Input { ok, cancel, data } => {
                    let (callback, text) = match answer {
                        Answer::Text(text) => (ok, c_text(text)),
                        _ => (cancel, c_text("")),
                    };
                    if let Some(callback) = callback {
                        transmute::<Untyped, TextCallback>(callback)(data, text.as_ptr());
                    }
                    kind::PURPLE_REQUEST_INPUT
                }
                Pending::Action { callbacks, data } => {
                    // A dialog of buttons has no cancel; by libpurple's custom the second button declines.
                    let second = callbacks.len().saturating_sub(1).min(1);
                    let index = if let Answer::Index(index) = answer { *index } else { second };
                    if let Some(Some(callback)) = callbacks.get(index) {
                        callback(data, c_int::try_from(index).unwrap_or(0));
                    }
                    kind::PURPLE_REQUEST_ACTION
                }
                Pending::Choice { ok, cancel, values, data } => {
                    let value = if let Answer::Index(index) = answer { values.get(*index) } else { None };
                    if let Some(callback) = if value.is_some() { ok } else { cancel } {
                        transmute::<Untyped, NumberCallback>(callback)(data, value.copied().unwrap_or(0));
                    }
                    kind::PURPLE_REQUEST_CHOICE
                }
                Pending::Form { cancel, fields, data } => {
                    if let Some(callback) = cancel {
                        transmute::<Untyped, FormCallback>(callback)(data, fields);
                    }
                    sys::purple_request_fields_destroy(fields);
                    kind::PURPLE_REQUEST_FIELDS
                }
                Pending::Authorization { allow, deny, data } => {
                    let callback = if matches!(answer, Answer::Authorize(true)) { allow } else { deny };
                    if let Some(callback) = callback {
                        callback(data);
                    }
                    return;
                }
            };
            sys::purple_request_close(kind, self.0 as *mut c_void);
        }
    }
}

/// Queues a question. A question that is about no account is still asked: certificates are.
fn ask(account: *mut sys::PurpleAccount, pending: Pending, dialog: Dialog) -> *mut c_void {
    let id = keep(pending);
    push(Event::Dialog(account::id_of(account), id, dialog));
    id.0 as *mut c_void
}

/// Queues an authorisation request.
pub(super) unsafe extern "C" fn request_authorize(
    account: *mut sys::PurpleAccount,
    who: *const c_char,
    _id: *const c_char,
    _alias: *const c_char,
    _message: *const c_char,
    _on_list: sys::gboolean,
    allow: sys::PurpleAccountRequestAuthorizationCb,
    deny: sys::PurpleAccountRequestAuthorizationCb,
    data: *mut c_void,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        let Some(owner) = account::id_of(account) else { return ptr::null_mut() };
        let id = keep(Pending::Authorization { allow, deny, data });
        // SAFETY: libpurple passes a text or null.
        push(Event::Authorize(owner, unsafe { copy(who) }, id));
        id.0 as *mut c_void
    })
}

/// The request is void.
pub(super) unsafe extern "C" fn close_account_request(handle: *mut c_void) {
    guard((), || forget(handle));
}

unsafe extern "C" fn request_input(
    title: *const c_char,
    primary: *const c_char,
    secondary: *const c_char,
    value: *const c_char,
    _multiline: sys::gboolean,
    _masked: sys::gboolean,
    _hint: *mut c_char,
    _ok_text: *const c_char,
    ok: sys::GCallback,
    _cancel_text: *const c_char,
    cancel: sys::GCallback,
    account: *mut sys::PurpleAccount,
    _who: *const c_char,
    _conversation: *mut sys::PurpleConversation,
    data: *mut c_void,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: libpurple passes texts or null.
        let (title, primary, secondary, value) =
            unsafe { (copy(title), copy(primary), copy(secondary), copy(value)) };
        ask(account, Pending::Input { ok, cancel, data }, Dialog::Input { title, primary, secondary, value })
    })
}

unsafe extern "C" fn request_action(
    title: *const c_char,
    primary: *const c_char,
    secondary: *const c_char,
    _default: c_int,
    account: *mut sys::PurpleAccount,
    _who: *const c_char,
    data: *mut c_void,
    count: usize,
    labels: *const *const c_char,
    callbacks: *const sys::PurpleRequestActionCb,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: libpurple passes texts or null, and the shim two arrays of `count`.
        let (title, primary, secondary, labels, callbacks) = unsafe {
            (
                copy(title),
                copy(primary),
                copy(secondary),
                (0..count).map(|place| copy(*labels.add(place))).collect(),
                (0..count).map(|place| *callbacks.add(place)).collect(),
            )
        };
        ask(
            account,
            Pending::Action { callbacks, data },
            Dialog::Action { title, primary, secondary, labels },
        )
    })
}

unsafe extern "C" fn request_choice(
    title: *const c_char,
    primary: *const c_char,
    secondary: *const c_char,
    _default: c_int,
    ok: sys::GCallback,
    cancel: sys::GCallback,
    account: *mut sys::PurpleAccount,
    _who: *const c_char,
    data: *mut c_void,
    count: usize,
    labels: *const *const c_char,
    values: *const c_int,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: libpurple passes texts or null, and the shim two arrays of `count`.
        let (title, primary, secondary, labels, values) = unsafe {
            (
                copy(title),
                copy(primary),
                copy(secondary),
                (0..count).map(|place| copy(*labels.add(place))).collect(),
                (0..count).map(|place| *values.add(place)).collect(),
            )
        };
        let pending = Pending::Choice { ok, cancel, values, data };
        ask(account, pending, Dialog::Choice { title, primary, secondary, labels })
    })
}

unsafe extern "C" fn request_fields(
    title: *const c_char,
    primary: *const c_char,
    secondary: *const c_char,
    fields: *mut sys::PurpleRequestFields,
    _ok_text: *const c_char,
    _ok: sys::GCallback,
    _cancel_text: *const c_char,
    cancel: sys::GCallback,
    account: *mut sys::PurpleAccount,
    _who: *const c_char,
    _conversation: *mut sys::PurpleConversation,
    data: *mut c_void,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: libpurple passes texts or null.
        let (title, primary, secondary) = unsafe { (copy(title), copy(primary), copy(secondary)) };
        ask(account, Pending::Form { cancel, fields, data }, Dialog::Form { title, primary, secondary })
    })
}

unsafe extern "C" fn close_request(_: sys::PurpleRequestType::Type, handle: *mut c_void) {
    guard((), || forget(handle));
}

/// Makes libpurple ask here.
pub(super) fn install() {
    // SAFETY: all fields are optional functions, for which zero means none; libpurple keeps the table, which is leaked.
    unsafe {
        let mut ops: Box<sys::PurpleRequestUiOps> = Box::new(std::mem::zeroed());
        sys::spectrum_request_ops_init(&raw mut *ops, Some(request_action), Some(request_choice));
        ops.request_input = Some(request_input);
        ops.request_fields = Some(request_fields);
        ops.close_request = Some(close_request);
        sys::purple_request_set_ui_ops(Box::leak(ops));
    }
}
