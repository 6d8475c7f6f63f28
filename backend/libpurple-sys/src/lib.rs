//! Raw bindings to libpurple 2.14 and to the few functions of GLib that its user needs.
//!
//! `bindings.rs` is the output of bindgen, committed, so that a build needs neither libclang nor 94 seconds to compile
//! bindgen; `regenerate.sh` makes it anew and a test compares the two where the tools are installed. Three rules shaped it:
//!
//! * Enumerations are modules of constants, never Rust enums: the numbers come from plugins, and a Rust enum with a
//!   value of no variant is undefined behaviour.
//! * Nothing in it reads a `va_list`, whose layout depends on the architecture. `shim.c` stands before the two UI
//!   operations that have one and hands on plain arrays: see [`spectrum_request_ops_init`].
//! * Only what a user interface calls is in it, not what a protocol plugin needs.
//!
//! Everything here is unsafe, is to be called from one thread only (the one that runs GLib's default main context), and
//! means what libpurple's own documentation says.

#![allow(unsafe_code, non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]
#![allow(clippy::all, clippy::nursery, clippy::pedantic, clippy::restriction, unused_qualifications)]

include!("bindings.rs");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_found_at_run_time_is_the_one_described_here() {
        // SAFETY: takes three numbers; returns null or a static text.
        let mismatch =
            unsafe { purple_version_check(PURPLE_MAJOR_VERSION as _, PURPLE_MINOR_VERSION as _, 0) };
        assert!(mismatch.is_null());
    }

    #[test]
    fn the_bindings_are_what_regenerate_makes() {
        let Some(directory) = std::env::var_os("CARGO_MANIFEST_DIR") else { return };
        let committed = std::path::Path::new(&directory).join("src/bindings.rs");
        let fresh = std::env::temp_dir().join(format!("spectrum2-bindings-{}.rs", std::process::id()));
        let run = std::process::Command::new("sh")
            .arg("regenerate.sh")
            .arg(&fresh)
            .current_dir(&directory)
            .output();
        if !run.is_ok_and(|run| run.status.success()) {
            println!("skipped: bindgen or the headers of libpurple are not installed here");
            return;
        }
        let (made, kept) = (std::fs::read_to_string(&fresh), std::fs::read_to_string(&committed));
        let _ = std::fs::remove_file(&fresh);
        assert!(made.unwrap() == kept.unwrap(), "src/bindings.rs differs; run regenerate.sh");
    }
}
