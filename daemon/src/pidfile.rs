//! `service.pidfile`: the process id for scripts, and the lock that keeps a transport from running twice.
//!
//! Guarantees: readers see a whole file or none; two processes cannot both have it, whoever died in between; a file
//! left behind by a crash is no obstacle, because what counts is the lock and not the number in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use nix::fcntl::{Flock, FlockArg};

/// Why the pid file cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds it.
    #[error(
        "This transport already runs as process {pid}, says {path}. Stop that one first, or give this one another \
         service.pidfile."
    )]
    Taken {
        /// What the file says; `?` if nothing that can be read.
        pid: String,
        /// The file.
        path: String,
    },
    /// The file cannot be written.
    #[error(
        "service.pidfile {path} cannot be written: {cause}. Its directory must be writable for the user that starts the transport."
    )]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// A pid file of this process; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Open for its lock. Closed on exec, so children do not hold it.
    file: Flock<File>,
}

impl PidFile {
    /// Takes the file for this process.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, Error> {
        Self::take_as(path, process::id())
    }

    fn take_as(path: &Path, pid: u32) -> Result<Self, Error> {
        let io = |cause| Error::Io { path: path.display().to_string(), cause };
        let draft = draft_path(path);
        let result = write_locked(&draft, pid)
            .map_err(io)
            .and_then(|file| put_in_place(&draft, path).map(|()| Self { path: path.to_owned(), file }));
        if result.is_err() {
            let _ = fs::remove_file(&draft);
        }
        result
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at the path is still the one that we hold.
    fn is_in_place(&self) -> bool {
        is_same(&self.file, &self.path)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The user that the daemon became may not be allowed to; without the lock a file that stays is stale.
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{:x}", process::id(), fastrand::u32(..)));
    PathBuf::from(name)
}

/// The whole file under another name, locked before anybody can see it.
fn write_locked(draft: &Path, pid: u32) -> io::Result<Flock<File>> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(draft)?;
    // Not a secret, and read by scripts of other users; the umask does not matter.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    writeln!(file, "{pid}")?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

/// Moves the draft to `path`: where nothing is, or over a file whose lock we got, so nobody alive has it.
fn put_in_place(draft: &Path, path: &Path) -> Result<(), Error> {
    let io = |cause| Error::Io { path: path.display().to_string(), cause };
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::hard_link(draft, path) {
                Ok(()) => return fs::remove_file(draft).map_err(io),
                // Somebody was quicker: look who.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io(error)),
            },
            Err(error) => return Err(io(error)),
            Ok(old) => match Flock::lock(old, FlockArg::LockExclusiveNonblock) {
                Ok(old) if is_same(&old, path) => return fs::rename(draft, path).map_err(io),
                // It was replaced between opening and locking: look again.
                Ok(_) => {}
                Err((old, _)) => {
                    return Err(Error::Taken { pid: read_pid(old), path: path.display().to_string() });
                }
            },
        }
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn read_pid(file: File) -> String {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    text.split_whitespace().next().filter(|pid| pid.parse::<u32>().is_ok()).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            fs::read_dir(&self.0).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn holds_the_pid_and_goes_at_the_end() {
        let directory = Directory::new();
        let path = directory.0.join("icq.pid");
        let pid_file = PidFile::take_as(&path, 4711).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711\n");
        assert_eq!(directory.names(), ["icq.pid"]);
        drop(pid_file);
        assert!(directory.names().is_empty());
    }

    #[test]
    fn a_second_start_is_told_who_runs() {
        let directory = Directory::new();
        let path = directory.0.join("icq.pid");
        let first = PidFile::take_as(&path, 4711).unwrap();
        let error = PidFile::take_as(&path, 4712).unwrap_err();
        assert!(matches!(&error, Error::Taken { pid, .. } if pid == "4711"), "{error}");
        assert!(error.to_string().contains("icq.pid"));
        assert_eq!(directory.names(), ["icq.pid"]);
        drop(first);
        PidFile::take_as(&path, 4712).unwrap();
    }

    #[test]
    fn a_file_that_nobody_holds_is_stale_whatever_it_says() {
        let directory = Directory::new();
        let path = directory.0.join("icq.pid");
        for left_behind in ["1\n", "", "not a number", "4711 4712\n"] {
            fs::write(&path, left_behind).unwrap();
            let pid_file = PidFile::take_as(&path, 4713).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "4713\n");
            drop(pid_file);
        }
    }

    #[test]
    fn of_many_starts_at_once_one_wins() {
        let directory = Directory::new();
        let path = directory.0.join("icq.pid");
        for round in 0..20 {
            if round % 2 == 0 {
                fs::write(&path, "stale\n").unwrap();
            }
            let path = &path;
            let taken: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> =
                    (0..8).map(|pid| scope.spawn(move || PidFile::take_as(path, pid))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(taken.iter().filter(|result| result.is_ok()).count(), 1);
        }
    }

    #[test]
    fn a_file_that_is_no_longer_ours_is_left() {
        let directory = Directory::new();
        let path = directory.0.join("icq.pid");
        let pid_file = PidFile::take_as(&path, 4711).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "4712\n").unwrap();
        drop(pid_file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4712\n");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = PidFile::take(Path::new("/nonexistent/icq.pid")).unwrap_err();
        assert!(error.to_string().starts_with("service.pidfile /nonexistent/icq.pid cannot be written: "));
    }
}
