//! Starting libpurple, and keeping it from doing what a shared server must not do.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::ptr;

use libpurple_sys as sys;
use sys::gboolean;

use super::{c_text, callback, dialog, event_loop, guard, resolver};

/// The name under which this user interface is known to libpurple; also in old account files.
pub(super) const UI: &std::ffi::CStr = c"spectrum";

/// Why libpurple did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The installed library is not the one we were built for.
    #[error("The installed libpurple does not fit: {0}. Install libpurple 2.14")]
    Version(String),
    /// It refused.
    #[error("libpurple could not be initialised; run with logging.level=debug to see why")]
    Refused,
}

/// Starts libpurple. Everything below `directory` is the plugins' own; libpurple's own files are not written at all.
///
/// # Errors
/// The library does not fit or refuses.
pub fn start(directory: &Path, plugins: &Path, authorities: &Path, debug: bool) -> Result<(), StartError> {
    // SAFETY: called once, before anything else of libpurple, by the only thread that will ever call it. All tables are
    // leaked, so that libpurple can keep them.
    unsafe {
        let mismatch = sys::purple_version_check(sys::PURPLE_MAJOR_VERSION, sys::PURPLE_MINOR_VERSION, 0);
        if !mismatch.is_null() {
            return Err(StartError::Version(super::copy(mismatch)));
        }
        set_user_directory(directory);
        sys::purple_debug_set_enabled(0);
        install_log(debug);
        let mut ops: Box<sys::PurpleCoreUiOps> = Box::new(std::mem::zeroed());
        ops.ui_init = Some(ui_init);
        ops.get_ui_info = Some(ui_info);
        sys::purple_core_set_ui_ops(Box::leak(ops));
        event_loop::install();
        keep_files_away();
        // Spectrum 2's defaults are relative: below a directory in which the program itself may write, so that a plugin
        // that was taken over could leave code there for the next start.
        if plugins.is_absolute() {
            sys::purple_plugins_add_search_path(path_text(plugins).as_ptr());
        }
        if sys::purple_core_init(UI.as_ptr()) == 0 {
            return Err(StartError::Refused);
        }
        if authorities.is_absolute() {
            sys::purple_certificate_add_ca_search_path(path_text(authorities).as_ptr());
        }
        sys::purple_set_blist(sys::purple_blist_new());
        sys::purple_prefs_load();
        for name in ["/purple/logging/log_ims", "/purple/logging/log_chats", "/purple/logging/log_system"] {
            sys::purple_prefs_set_bool(c_text(name).as_ptr(), 0);
        }
        sys::purple_prefs_set_bool(c"/purple/away/away_when_idle".as_ptr(), 0);
        sys::purple_prefs_set_string(c"/purple/away/idle_reporting".as_ptr(), c"none".as_ptr());
        // The users' own clients answer for them, or nobody does.
        sys::purple_prefs_set_string(c"/purple/away/auto_reply".as_ptr(), c"never".as_ptr());
        // Icons stay in memory: files named by content, which each process deletes when it needs them no more, cannot
        // be shared.
        sys::purple_buddy_icons_set_caching(0);
    }
    callback::connect_signals();
    Ok(())
}

/// Names the directory in which plugins keep files.
fn set_user_directory(directory: &Path) {
    // SAFETY: libpurple copies the text.
    unsafe { sys::purple_util_set_user_dir(path_text(directory).as_ptr()) };
}

/// Makes libpurple verify every certificate at every connection.
///
/// Its store of certificates that were accepted once is emptied for good: Spectrum 2 accepted any by default, and what it
/// wrote down then must not count now.
pub fn forget_saved_certificates() {
    unsafe extern "C" fn never(_: *const c_char) -> gboolean {
        0
    }
    unsafe extern "C" fn nothing(_: *const c_char) -> *mut sys::PurpleCertificate {
        ptr::null_mut()
    }
    unsafe extern "C" fn ignore(_: *const c_char, _: *mut sys::PurpleCertificate) -> gboolean {
        1
    }
    // SAFETY: the pool is a static of libpurple; all its functions are replaced together, and match their types.
    unsafe {
        let pool = sys::purple_certificate_find_pool(c"x509".as_ptr(), c"tls_peers".as_ptr());
        if let Some(pool) = pool.as_mut() {
            pool.cert_in_pool = Some(never);
            pool.get_cert = Some(nothing);
            pool.put_cert = Some(ignore);
        }
    }
}

fn path_text(path: &Path) -> CString {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

unsafe extern "C" fn ui_init() {
    guard((), || {
        callback::install();
        dialog::install();
        resolver::install();
    });
}

unsafe extern "C" fn ui_info() -> *mut sys::GHashTable {
    use std::sync::OnceLock;
    /// The table, as an address: it is made once and never changes.
    static TABLE: OnceLock<usize> = OnceLock::new();
    let address = TABLE.get_or_init(|| {
        // SAFETY: GLib copies nothing: all texts are static.
        unsafe {
            let table = sys::g_hash_table_new_full(Some(sys::g_str_hash), Some(sys::g_str_equal), None, None);
            for (key, value) in [
                (c"name", c"Spectrum"),
                (c"version", c"3.0"),
                (c"website", c"https://spectrum.im"),
                (c"dev_website", c"https://spectrum.im"),
                (c"client_type", c"pc"),
            ] {
                sys::g_hash_table_insert(
                    table,
                    key.as_ptr().cast_mut().cast(),
                    value.as_ptr().cast_mut().cast(),
                );
            }
            table as usize
        }
    });
    *address as *mut sys::GHashTable
}

/// Replaces libpurple's reading and writing of accounts, preferences and contacts: each process would write over what the
/// others wrote. Account settings are kept by [`crate::store`].
fn keep_files_away() {
    unsafe extern "C" fn nothing() {}
    unsafe extern "C" fn loaded() -> gboolean {
        1
    }
    // SAFETY: all fields are optional functions, for which zero means none; libpurple keeps the table, which is leaked.
    unsafe {
        let mut prefs: Box<sys::PurplePrefsUiOps> = Box::new(std::mem::zeroed());
        prefs.load = Some(loaded);
        prefs.save = Some(nothing);
        prefs.schedule_save = Some(nothing);
        sys::purple_prefs_set_ui_ops(Box::leak(prefs));
    }
}

/// Sends GLib's complaints to our log and libpurple's chatter nowhere, except when debugging.
fn install_log(debug: bool) {
    unsafe extern "C" fn complain(
        domain: *const c_char,
        _: sys::GLogLevelFlags::Type,
        message: *const c_char,
        _: *mut c_void,
    ) {
        guard((), || {
            // SAFETY: GLib passes texts or null.
            let (domain, message) = unsafe { (super::copy(domain), super::copy(message)) };
            crate::log::debug(format_args!("{domain}: {message}"));
        });
    }
    unsafe extern "C" fn print(_: sys::PurpleDebugLevel::Type, category: *const c_char, text: *const c_char) {
        guard((), || {
            // SAFETY: libpurple passes texts or null.
            let (category, text) = unsafe { (super::copy(category), super::copy(text)) };
            crate::log::library(format_args!("{category}: {}", text.trim_end()));
        });
    }
    unsafe extern "C" fn wanted(level: sys::PurpleDebugLevel::Type, category: *const c_char) -> gboolean {
        guard(false, || {
            // SAFETY: libpurple passes a text or null.
            let category = unsafe { super::copy(category) };
            // Plugins print what goes over the wire, with passwords and messages, at the lower levels; the core does not.
            let core = [
                "account",
                "certificate",
                "connection",
                "dnsquery",
                "dnssrv",
                "nss",
                "plugins",
                "proxy",
                "prefs",
            ];
            level >= sys::PurpleDebugLevel::PURPLE_DEBUG_WARNING || core.contains(&category.as_str())
        })
        .into()
    }
    // SAFETY: the functions match their types; the table is leaked.
    unsafe {
        sys::g_log_set_default_handler(Some(complain), ptr::null_mut());
        if debug {
            let mut ops: Box<sys::PurpleDebugUiOps> = Box::new(std::mem::zeroed());
            ops.print = Some(print);
            ops.is_enabled = Some(wanted);
            sys::purple_debug_set_ui_ops(Box::leak(ops));
        }
    }
}
