//! Which program `service.backend` names, and how it is started.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::words;

/// Our libpurple backend, and the name that Spectrum 2 had for its own first.
const LIBPURPLE: [&str; 2] = ["spectrum2_libpurple_backend", "libpurple_backend"];

/// Where packages put our libpurple backend.
const INSTALLED: &str = "/usr/libexec/spectrum2_libpurple_backend";

/// How long a program may take to tell its version: on a machine that just booted, libpurple comes from a cold disk.
const VERSION: Duration = Duration::from_secs(5);

/// A program and how it is started.
#[derive(Debug, PartialEq, Eq)]
pub enum Program {
    /// Our libpurple backend: forks warm processes.
    Zygote(PathBuf),
    /// Anything else: one process for each connection, with the arguments of Spectrum 2.
    Foreign(Vec<String>),
}

impl Program {
    /// Finds the program that `service.backend` means. A program that is not there is [`Program::Foreign`]; starting it
    /// says what is wrong.
    ///
    /// # Errors
    /// The command is not well quoted.
    pub fn find(command: &str) -> Result<Self, &'static str> {
        let mut words = words::split(command)?;
        if let [program, arguments @ ..] = words.as_mut_slice()
            && let Some(path) = find_libpurple(Path::new(program))
        {
            if arguments.is_empty() && has_zygote(&path) {
                return Ok(Self::Zygote(path));
            }
            *program = path.to_string_lossy().into_owned();
        }
        Ok(Self::Foreign(words))
    }
}

/// The libpurple backend that is meant: that of the given path, which may be Spectrum 2's own, or else ours.
fn find_libpurple(named: &Path) -> Option<PathBuf> {
    let name = named.file_name()?.to_str()?;
    if !LIBPURPLE.contains(&name) {
        return None;
    }
    let beside = std::env::current_exe().ok().map(|launcher| launcher.with_file_name(LIBPURPLE[0]));
    let candidates = [named.is_absolute().then(|| named.to_owned()), beside, Some(PathBuf::from(INSTALLED))];
    candidates.into_iter().flatten().find(|path| path.is_file())
}

/// Whether the program can be a zygote: it says so when asked for its version. Spectrum 2's does not.
fn has_zygote(program: &Path) -> bool {
    version(program).is_ok_and(|text| text.contains("zygote"))
}

/// What a program prints when asked for its version; an empty text if it takes too long.
fn version(program: &Path) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let text = child.stdout.take().map(read_in_time).unwrap_or_default();
    child.kill()?;
    child.wait()?;
    Ok(text)
}

fn read_in_time(mut output: impl Read + AsFd) -> String {
    const LONGEST: usize = 4096;
    let end = Instant::now() + VERSION;
    let mut text = Vec::new();
    while text.len() < LONGEST {
        let rest =
            PollTimeout::try_from(end.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], rest);
        let mut piece = [0; 512];
        match ready
            .map_err(io::Error::from)
            .and_then(|ready| if ready == 0 { Ok(0) } else { output.read(&mut piece) })
        {
            Ok(0) | Err(_) => break,
            Ok(length) => text.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_are_foreign_and_keep_their_words() {
        assert_eq!(
            Program::find("/usr/bin/python3 '/opt/my backend.py'"),
            Ok(Program::Foreign(vec!["/usr/bin/python3".into(), "/opt/my backend.py".into()]))
        );
    }

    #[test]
    fn a_command_with_an_open_quote_is_refused() {
        assert!(Program::find("'/usr/bin/python3").is_err());
    }

    #[test]
    fn a_program_says_by_its_version_whether_it_can_fork() {
        assert!(version(Path::new("/bin/echo")).unwrap().starts_with("echo "));
        assert!(!has_zygote(Path::new("/bin/false")));
        assert!(version(Path::new("/nonexistent")).is_err());
    }
}
