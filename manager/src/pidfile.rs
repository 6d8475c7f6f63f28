//! Pid files: what is known of a transport where there is no systemd.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

/// The process that holds a pid file. The daemon locks its file for as long as it runs, so a file that nobody has
/// locked was left behind, whatever number is in it. Who owns the file may name processes of his own only: root would
/// signal any.
#[must_use]
pub fn holder(path: &Path) -> Option<Pid> {
    let file = File::open(path).ok()?;
    let owner = file.metadata().ok()?.uid();
    let mut text = String::new();
    let _ = (&file).take(64).read_to_string(&mut text);
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => None,
        Err((_, nix::Error::EWOULDBLOCK)) => {
            let pid: i32 = text.split_whitespace().next()?.parse().ok()?;
            let process = fs::metadata(format!("/proc/{pid}"));
            let is_owners = owner == 0 || process.is_ok_and(|process| process.uid() == owner);
            (pid > 0 && is_owners).then(|| Pid::from_raw(pid))
        }
        Err(_) => None,
    }
}

/// Whether the file is there but may not be looked at.
#[must_use]
pub fn is_out_of_reach(path: &Path) -> bool {
    File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use nix::unistd::geteuid;

    use super::*;

    /// Or the user of a transport could have root signal any process.
    #[test]
    fn a_file_names_processes_of_its_owner_only() {
        if !geteuid().is_root() {
            return;
        }
        let path = std::env::temp_dir().join(format!("spectrum2-test-{}.pid", std::process::id()));
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        let held = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        assert_eq!(holder(&path), Some(Pid::this()));
        chown(&path, Some(65_534), None).unwrap();
        assert_eq!(holder(&path), None);
        drop(held);
        fs::remove_file(path).unwrap();
    }
}
