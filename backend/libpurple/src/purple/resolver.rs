//! Name look-ups for libpurple without its forks: handed to [`crate::dns`], answered on the main loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::net::SocketAddr;
use std::ptr;

use libpurple_sys as sys;
use sys::gboolean;

use super::{c_text, copy, guard};
use crate::dns;

/// A question for a name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The addresses of a host, with this port.
    Host(String, u16),
    /// The SRV records of a name.
    Service(String),
    /// The TXT records of a name.
    Text(String),
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Lower comes first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// Host of the service.
    pub target: String,
}

/// The answer, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupResult {
    /// To [`Lookup::Host`].
    Addresses(Vec<SocketAddr>),
    /// To [`Lookup::Service`].
    Services(Vec<ServiceRecord>),
    /// To [`Lookup::Text`].
    Texts(Vec<String>),
    /// There is none, and why.
    Failed(String),
}

enum Waiting {
    Host(
        *mut sys::PurpleDnsQueryData,
        sys::PurpleDnsQueryResolvedCallback,
        sys::PurpleDnsQueryFailedCallback,
    ),
    Record(
        *mut sys::PurpleSrvTxtQueryData,
        sys::PurpleSrvTxtQueryResolvedCallback,
        sys::PurpleSrvTxtQueryFailedCallback,
    ),
}

thread_local! {
    /// Look-ups that libpurple still wants, by the number given to the threads.
    static WAITING: RefCell<HashMap<u64, Waiting>> = RefCell::default();
}

/// Gives libpurple the answer to a look-up, unless it has lost interest.
pub fn answer(number: u64, result: &LookupResult) {
    let Some(waiting) = WAITING.with_borrow_mut(|waiting| waiting.remove(&number)) else { return };
    // SAFETY: libpurple tells through `destroy` before a query goes, so this one lives. Lists and what is in them are
    // GLib's and belong to the callback afterwards.
    unsafe {
        match (waiting, result) {
            (Waiting::Host(query, Some(resolved), _), LookupResult::Addresses(addresses)) => {
                let mut hosts = ptr::null_mut();
                for address in addresses {
                    let (bytes, length) = socket_address(address);
                    // Built back to front, so the length goes on top of its address.
                    hosts = sys::g_slist_append(hosts, length as *mut c_void);
                    hosts = sys::g_slist_append(hosts, bytes);
                }
                resolved(query, hosts);
            }
            (Waiting::Host(query, _, Some(failed)), LookupResult::Failed(reason)) => {
                failed(query, c_text(reason).as_ptr());
            }
            (Waiting::Record(query, Some(resolved), _), LookupResult::Services(records)) => {
                let mut list = ptr::null_mut();
                for record in records {
                    list = sys::g_list_append(list, service_record(record).cast());
                }
                resolved(query, list);
            }
            (Waiting::Record(query, Some(resolved), _), LookupResult::Texts(texts)) => {
                let mut list = ptr::null_mut();
                for text in texts {
                    let record = sys::g_malloc0(size_of::<sys::PurpleTxtResponse>() as _)
                        .cast::<sys::PurpleTxtResponse>();
                    (*record).content = sys::g_strdup(c_text(text).as_ptr());
                    list = sys::g_list_append(list, record.cast());
                }
                resolved(query, list);
            }
            (Waiting::Record(query, _, Some(failed)), LookupResult::Failed(reason)) => {
                failed(query, c_text(reason).as_ptr());
            }
            _ => {}
        }
    }
}

/// A socket address in memory of GLib's, and its length.
fn socket_address(address: &SocketAddr) -> (*mut c_void, usize) {
    // SAFETY: the memory is new, zeroed, and as long as the structure that is written to it.
    unsafe {
        match address {
            SocketAddr::V4(address) => {
                let length = size_of::<libc::sockaddr_in>();
                let raw = sys::g_malloc0(length as _).cast::<libc::sockaddr_in>();
                (*raw).sin_family = libc::AF_INET as _;
                (*raw).sin_port = address.port().to_be();
                (*raw).sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                (raw.cast(), length)
            }
            SocketAddr::V6(address) => {
                let length = size_of::<libc::sockaddr_in6>();
                let raw = sys::g_malloc0(length as _).cast::<libc::sockaddr_in6>();
                (*raw).sin6_family = libc::AF_INET6 as _;
                (*raw).sin6_port = address.port().to_be();
                (*raw).sin6_addr.s6_addr = address.ip().octets();
                (*raw).sin6_scope_id = address.scope_id();
                (raw.cast(), length)
            }
        }
    }
}

fn service_record(record: &ServiceRecord) -> *mut sys::PurpleSrvResponse {
    // SAFETY: the memory is new and zeroed; the name is cut so that its last byte stays zero.
    unsafe {
        let raw = sys::g_malloc0(size_of::<sys::PurpleSrvResponse>() as _).cast::<sys::PurpleSrvResponse>();
        let room = (*raw).hostname.len() - 1;
        let name = record.target.as_bytes();
        let length = name.len().min(room);
        ptr::copy_nonoverlapping(name.as_ptr().cast(), (&raw mut (*raw).hostname).cast::<c_char>(), length);
        (*raw).port = c_int::from(record.port);
        (*raw).weight = c_int::from(record.weight);
        (*raw).pref = c_int::from(record.priority);
        raw
    }
}

unsafe extern "C" fn resolve_host(
    query: *mut sys::PurpleDnsQueryData,
    resolved: sys::PurpleDnsQueryResolvedCallback,
    failed: sys::PurpleDnsQueryFailedCallback,
) -> gboolean {
    guard((), || {
        // SAFETY: libpurple passes a live query.
        let (host, port) =
            unsafe { (copy(sys::purple_dnsquery_get_host(query)), sys::purple_dnsquery_get_port(query)) };
        start(Lookup::Host(host, port), Waiting::Host(query, resolved, failed));
    });
    1
}

unsafe extern "C" fn host_destroyed(query: *mut sys::PurpleDnsQueryData) {
    guard((), || forget(|waiting| matches!(waiting, Waiting::Host(other, ..) if *other == query)));
}

unsafe extern "C" fn resolve_record(
    query: *mut sys::PurpleSrvTxtQueryData,
    resolved: sys::PurpleSrvTxtQueryResolvedCallback,
    failed: sys::PurpleSrvTxtQueryFailedCallback,
) -> gboolean {
    guard((), || {
        // SAFETY: libpurple passes a live query.
        let (name, kind) = unsafe {
            (copy(sys::purple_srv_txt_query_get_query(query)), sys::purple_srv_txt_query_get_type(query))
        };
        let lookup = if kind == c_int::from(dns::SRV) { Lookup::Service(name) } else { Lookup::Text(name) };
        start(lookup, Waiting::Record(query, resolved, failed));
    });
    1
}

unsafe extern "C" fn record_destroyed(query: *mut sys::PurpleSrvTxtQueryData) {
    guard((), || forget(|waiting| matches!(waiting, Waiting::Record(other, ..) if *other == query)));
}

fn start(lookup: Lookup, waiting: Waiting) {
    let number = dns::submit(lookup);
    WAITING.with_borrow_mut(|all| all.insert(number, waiting));
}

fn forget(is_it: impl Fn(&Waiting) -> bool) {
    WAITING.with_borrow_mut(|all| all.retain(|_, waiting| !is_it(waiting)));
}

/// Asks a name server and returns its raw answer. May be called from any thread.
pub fn ask_name_server(name: &str, kind: u16) -> Option<Vec<u8>> {
    unsafe extern "C" {
        fn res_query(
            name: *const c_char,
            class: c_int,
            kind: c_int,
            answer: *mut c_uchar,
            room: c_int,
        ) -> c_int;
    }
    const INTERNET: c_int = 1;
    let mut answer = vec![0; 64 * 1024 - 1];
    let room = c_int::try_from(answer.len()).ok()?;
    // SAFETY: glibc keeps the resolver's state per thread; the room is that of the buffer.
    let length =
        unsafe { res_query(c_text(name).as_ptr(), INTERNET, c_int::from(kind), answer.as_mut_ptr(), room) };
    answer.truncate(usize::try_from(length).ok()?);
    Some(answer)
}

/// Makes libpurple look up names here.
pub(super) fn install() {
    // SAFETY: all fields are optional functions, for which zero means none; libpurple keeps the tables, which are leaked.
    unsafe {
        let mut hosts: Box<sys::PurpleDnsQueryUiOps> = Box::new(std::mem::zeroed());
        hosts.resolve_host = Some(resolve_host);
        hosts.destroy = Some(host_destroyed);
        sys::purple_dnsquery_set_ui_ops(Box::leak(hosts));
        let mut records: Box<sys::PurpleSrvTxtQueryUiOps> = Box::new(std::mem::zeroed());
        records.resolve = Some(resolve_record);
        records.destroy = Some(record_destroyed);
        sys::purple_srv_txt_query_set_ui_ops(Box::leak(records));
    }
}
