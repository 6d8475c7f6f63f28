//! Compiles the C shim and tells cargo what to link.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/shim.c");
    println!("cargo::rerun-if-changed=src/shim.h");

    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "purple", "glib-2.0"]).output();
    let flags = match flags {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            println!(
                "cargo::error=libpurple was not found: {reason}. Install libpurple-dev (Debian) or libpurple-devel."
            );
            return;
        }
        Err(error) => {
            println!("cargo::error=pkg-config could not be started: {error}. Install pkg-config.");
            return;
        }
    };

    let mut shim = cc::Build::new();
    shim.file("src/shim.c").std("c11").warnings_into_errors(false);
    for flag in flags.split_whitespace() {
        if let Some(directory) = flag.strip_prefix("-I") {
            shim.include(directory);
        } else if let Some(directory) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={directory}");
        } else if let Some(library) = flag.strip_prefix("-l") {
            println!("cargo::rustc-link-lib={library}");
        }
    }
    shim.compile("spectrum2_purple_shim");
}
