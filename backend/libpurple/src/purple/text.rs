//! libpurple's conversions between its HTML, plain text and XHTML.

use std::ptr;

use libpurple_sys as sys;

use super::{c_text, take};

/// Plain text as libpurple's HTML.
pub fn escape(plain: &str) -> String {
    // SAFETY: a text of ours and its length -1, "up to the end"; the result is ours.
    unsafe { take(sys::purple_markup_escape_text(c_text(plain).as_ptr(), -1)) }
}

/// Plain text for a stanza of ours, also between the quotes of an attribute: [`escape`] leaves `'` as it is.
pub fn for_stanza(plain: &str) -> String {
    escape(plain).replace('\'', "&apos;")
}

/// libpurple's HTML without its markup.
pub fn strip(html: &str) -> String {
    // SAFETY: a text of ours; the result is ours.
    unsafe { take(sys::purple_markup_strip_html(c_text(html).as_ptr())) }
}

/// libpurple's HTML as XHTML and as plain text.
pub fn convert(html: &str) -> (String, String) {
    let (mut xhtml, mut plain) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: a text of ours, and two places for results, which are ours then.
    unsafe {
        sys::purple_markup_html_to_xhtml(c_text(html).as_ptr(), &raw mut xhtml, &raw mut plain);
        (take(xhtml), take(plain))
    }
}
