//! Giving up root, and what follows from it: owners of directories, limits of the process.
//!
//! Guarantees: after [`Identity::assume`] the process runs as the configured user with that user's groups only, neither
//! it nor a program it starts can become root again, and a crash does not write passwords into a core file. This is
//! done in one function, which tries to get back and fails if it can.

use std::ffi::CString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{
    self, Gid, Group, Uid, User, getegid, geteuid, getresgid, getresuid, initgroups, setresgid, setresuid,
};

use crate::exit::Exit;

/// Why the process cannot become who it should be. The text names option, cause and next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `service.user` or `service.group` cannot be.
    #[error("{0}")]
    Configuration(String),
    /// The system does not allow it.
    #[error("{0}")]
    NotPermitted(String),
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Configuration(_) => Self::Config,
            Error::NotPermitted(_) => Self::NotPermitted,
        }
    }
}

/// The user and group that `service.user` and `service.group` name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: String,
    uid: Uid,
    gid: Gid,
    /// `service.group` is set, so its members may look into our directories.
    has_group: bool,
}

impl Identity {
    /// Looks both names up; `None` if no user is configured. Without a group it is the user's own.
    ///
    /// # Errors
    /// A name is unknown, or there is a group without a user.
    pub fn find(user: &str, group: &str) -> Result<Option<Self>, Error> {
        if user.is_empty() {
            return if group.is_empty() {
                Ok(None)
            } else {
                Err(Error::Configuration(format!(
                    "service.group={group} needs service.user. Add service.user."
                )))
            };
        }
        let entry = known(User::from_name(user), "service.user", user, "useradd --system")?;
        let gid = if group.is_empty() {
            entry.gid
        } else {
            known(Group::from_name(group), "service.group", group, "groupadd --system")?.gid
        };
        Ok(Some(Self { user: entry.name, uid: entry.uid, gid, has_group: !group.is_empty() }))
    }

    /// Whether the process already runs as this user.
    #[must_use]
    pub fn is_current(&self) -> bool {
        geteuid() == self.uid
    }

    /// Becomes this user for good.
    ///
    /// # Errors
    /// The process is somebody else and not root, or the system refuses; the process must end then.
    pub fn assume(&self) -> Result<(), Error> {
        if self.is_current() {
            return Ok(());
        }
        if !geteuid().is_root() {
            return Err(Error::NotPermitted(format!(
                "service.user={} cannot be assumed: this process runs as uid {}. Start it as root or as {0}.",
                self.user,
                geteuid()
            )));
        }
        let refused = |call: &str, error: Errno| {
            Error::NotPermitted(format!(
                "Root cannot become service.user={} ({call}: {error}). Allow CAP_SETUID and CAP_SETGID, or start as \
                 that user.",
                self.user
            ))
        };
        // The order matters: without root no group can be changed any more.
        let name = CString::new(self.user.as_str())
            .map_err(|_| Error::Configuration("service.user contains a null character.".to_owned()))?;
        initgroups(&name, self.gid).map_err(|error| refused("initgroups", error))?;
        setresgid(self.gid, self.gid, self.gid).map_err(|error| refused("setresgid", error))?;
        setresuid(self.uid, self.uid, self.uid).map_err(|error| refused("setresuid", error))?;
        if self.can_go_back() {
            return Err(Error::NotPermitted(format!(
                "Root was given up for service.user={}, but it can be regained. Take CAP_SETUID and CAP_SETGID from \
                 the process.",
                self.user
            )));
        }
        Ok(())
    }

    /// Whether the directory above belongs to this user, and not to root.
    fn owns_parent(&self, path: &Path) -> bool {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        !self.uid.is_root() && fs::metadata(above).is_ok_and(|data| data.uid() == self.uid.as_raw())
    }

    /// Does something as this user, with his rights only, and is root again.
    fn act<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (gid, uid) = (getegid(), geteuid());
        unistd::setegid(self.gid)?;
        let result = unistd::seteuid(self.uid).map_err(io::Error::from).and_then(|()| {
            let result = act();
            unistd::seteuid(uid)?;
            result
        });
        unistd::setegid(gid)?;
        result
    }

    /// Tries every way back to root. `service.user=root` is no way back: that is what was asked for.
    fn can_go_back(&self) -> bool {
        if self.uid.is_root() {
            return false;
        }
        let is_all_ours = getresuid().is_ok_and(|now| [now.real, now.effective, now.saved] == [self.uid; 3])
            && getresgid().is_ok_and(|now| [now.real, now.effective, now.saved] == [self.gid; 3]);
        let root = Uid::from_raw(0);
        !is_all_ours
            || unistd::setuid(root).is_ok()
            || unistd::seteuid(root).is_ok()
            || setresuid(root, root, root).is_ok()
            || (self.gid.as_raw() != 0 && unistd::setegid(Gid::from_raw(0)).is_ok())
    }
}

/// Makes the process and all its children unable to gain rights (set-user-id programs), and keeps passwords out of core files.
///
/// # Errors
/// The kernel refuses, which it does only where another sandbox forbids the calls.
pub fn lock_down() -> Result<(), Error> {
    let refused = |what: &str, error: Errno| {
        Error::NotPermitted(format!(
            "{what} was refused: {error}. Allow it in the sandbox around this process."
        ))
    };
    prctl::set_no_new_privs().map_err(|error| refused("no_new_privs", error))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| refused("Forbidding core files", error))
}

/// Creates a directory with the parents that are missing. New ones belong to `owner` (if we are root) and are closed to
/// others, but open to read for the group if one is configured. Those that exist are left as they are.
///
/// # Errors
/// A directory cannot be created; the text names it.
pub fn create_directory(path: &Path, owner: Option<&Identity>) -> Result<(), Error> {
    let mode = if owner.is_some_and(|owner| owner.has_group) { 0o750 } else { 0o700 };
    let missing: Vec<&Path> =
        path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
    for directory in missing.into_iter().rev() {
        let failed = |error: io::Error| {
            Error::NotPermitted(format!(
                "The directory {} cannot be created: {error}. Create it, writable for {}.",
                directory.display(),
                owner.map_or_else(|| format!("uid {}", geteuid()), |owner| owner.user.clone())
            ))
        };
        let make = || match DirBuilder::new().mode(mode).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // The umask may have taken something away.
            result => result
                .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(mode)).map(|()| true)),
        };
        match owner.filter(|_| geteuid().is_root()) {
            // Whoever owns the directory above can put a link in the place of what root has just made.
            Some(owner) if owner.owns_parent(directory) => owner.act(make).map(drop).map_err(failed)?,
            Some(owner) => {
                if make().map_err(failed)? {
                    chown(directory, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).map_err(failed)?;
                }
            }
            None => make().map(drop).map_err(failed)?,
        }
    }
    Ok(())
}

/// Makes `path`, created if it is missing, the working directory.
///
/// # Errors
/// It cannot be created or entered.
pub fn enter_directory(path: &Path, owner: Option<&Identity>) -> Result<(), Error> {
    create_directory(path, owner)?;
    std::env::set_current_dir(path).map_err(|error| {
        Error::NotPermitted(format!(
            "service.working_dir {} cannot be entered: {error}. It must be open to uid {} and gid {}.",
            PathBuf::from(path).display(),
            geteuid(),
            getegid()
        ))
    })
}

fn known<T>(found: nix::Result<Option<T>>, option: &str, name: &str, create: &str) -> Result<T, Error> {
    match found {
        Ok(Some(entry)) => Ok(entry),
        Ok(None) => Err(Error::Configuration(format!(
            "{option}={name} does not exist on this machine. Create it with '{create} {name}', or name another."
        ))),
        Err(error) => Err(Error::NotPermitted(format!(
            "{option}={name} cannot be looked up: {error}. 'getent passwd' and 'getent group' show what is known."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_configured_is_nobody() {
        assert_eq!(Identity::find("", "").unwrap(), None);
    }

    #[test]
    fn names_that_do_not_exist_say_what_to_do() {
        let error = Identity::find("no-such-capulet", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "service.user=no-such-capulet does not exist on this machine. Create it with 'useradd --system \
             no-such-capulet', or name another."
        );
        assert_eq!(Exit::from(&error), Exit::Config);
        assert!(Identity::find("root", "no-such-house").unwrap_err().to_string().contains("service.group"));
    }

    #[test]
    fn a_group_needs_a_user() {
        let error = Identity::find("", "root").unwrap_err();
        assert_eq!(error.to_string(), "service.group=root needs service.user. Add service.user.");
    }

    #[test]
    fn a_user_without_group_gets_its_own() {
        let nobody = Identity::find("nobody", "").unwrap().unwrap();
        assert_eq!(nobody.gid, User::from_name("nobody").unwrap().unwrap().gid);
    }

    #[test]
    fn new_directories_are_closed_and_old_ones_left_alone() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let top = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::create_dir(&top).unwrap();
        let before = mode(&top);
        create_directory(&top.join("a/b"), None).unwrap();
        create_directory(&top.join("a/b"), None).unwrap();
        assert_eq!((mode(&top), mode(&top.join("a")), mode(&top.join("a/b"))), (before, 0o700, 0o700));
        fs::remove_dir_all(top).unwrap();
    }
}
