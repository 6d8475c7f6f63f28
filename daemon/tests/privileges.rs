//! What root does for the user that the daemon becomes. In a process of its own: who the process is holds for all threads.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::unistd::{User, getegid, geteuid};
use spectrum2::privileges::{Identity, create_directory};

/// Where its user may put a link in its place, root makes nothing: the link could lead anywhere.
#[test]
fn root_makes_nothing_where_the_user_may_write() {
    if !geteuid().is_root() {
        return;
    }
    let nobody = Identity::find("nobody", "").unwrap().unwrap();
    let uid = User::from_name("nobody").unwrap().unwrap().uid.as_raw();
    let top = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
    create_directory(&top.join("own/a/b"), Some(&nobody)).unwrap();
    let owner = |path: &str| fs::metadata(top.join(path)).unwrap().uid();
    assert!(["", "own", "own/a", "own/a/b"].iter().all(|path| owner(path) == uid));
    // Root could, and so could whoever swaps the directory for a link to one of root's.
    fs::set_permissions(top.join("own"), Permissions::from_mode(0o500)).unwrap();
    assert!(create_directory(&top.join("own/c"), Some(&nobody)).is_err());
    assert!(geteuid().is_root() && getegid().as_raw() == 0);
    fs::remove_dir_all(top).unwrap();
}
