//! Pid files: what is known of a transport where there is no systemd.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

/// The process that holds a pid file. The daemon locks its file for as long as it runs, so a file that nobody has
/// locked was left behind, whatever number is in it.
#[must_use]
pub fn holder(path: &Path) -> Option<Pid> {
    let file = File::open(path).ok()?;
    let mut text = String::new();
    let _ = (&file).take(64).read_to_string(&mut text);
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => None,
        Err((_, nix::Error::EWOULDBLOCK)) => {
            let pid: i32 = text.split_whitespace().next()?.parse().ok()?;
            (pid > 0).then(|| Pid::from_raw(pid))
        }
        Err(_) => None,
    }
}

/// Whether the file is there but may not be looked at.
#[must_use]
pub fn is_out_of_reach(path: &Path) -> bool {
    File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}
