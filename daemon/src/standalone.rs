//! Running without a service manager: the backend launcher as a child, and going to the background.

use std::cell::RefCell;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};

use spectrum2_config::Overrides;

use crate::backend_config::is_for_backends;
use crate::backend_link::name_after;
use crate::exit::Exit;
use crate::systemd::STANDARD_INPUT;

/// File name of the launcher, and where packages put it.
const LAUNCHER: &str = "spectrum2_backend_launcher";
const LAUNCHER_DIRECTORY: &str = "/usr/libexec";

/// How long the starting command waits for the transport to be ready. Nobody is served by a boot that hangs because the
/// XMPP server is down: the transport goes on trying, and the command says so.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks at whether the background process has died.
const LOOK: Duration = Duration::from_millis(100);

/// Option by which the background process knows itself. Not for people.
pub const DAEMONIZED: &str = "--daemonized";

/// The backend launcher as our child. It ends when this is dropped, because its control socket closes.
///
/// Contract: its standard input is a `SOCK_SEQPACKET` socket; each packet `connect` carries one end of a stream socket
/// (`SCM_RIGHTS`), for which it starts a backend.
#[derive(Debug)]
pub struct Launcher {
    control: OwnedFd,
    child: RefCell<Child>,
}

impl Launcher {
    /// Starts the launcher for the transport file `config`, with the options that go before it.
    ///
    /// # Errors
    /// The program cannot be started; the text names it.
    pub fn start(config: &Path, overrides: &Overrides) -> io::Result<Self> {
        let program = launcher_path();
        Self::start_program(&program, config, overrides).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "The backend launcher {} cannot be started: {error}. Install it there or beside the daemon.",
                    program.display()
                ),
            )
        })
    }

    fn start_program(program: &Path, config: &Path, overrides: &Overrides) -> io::Result<Self> {
        let config = std::path::absolute(config)?;
        let (control, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let jid = overrides.jid.iter().flat_map(|jid| ["-j", jid]);
        // The component secret is no more their business on the command line than it is in the file.
        let values = overrides.values.iter().filter(|(name, _)| is_for_backends("", name));
        let child = Command::new(program)
            .arg("--control")
            .args(jid)
            .args(values.map(|(name, value)| format!("--{name}={value}")))
            .arg(config)
            // What is ours to say to the service manager is not theirs.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            // Ctrl-C is for the daemon, which says good-bye first.
            .process_group(0)
            .stdin(theirs)
            .spawn()?;
        Ok(Self { control, child: RefCell::new(child) })
    }

    /// Asks for a backend of the transport `jid` and gives the connection to it. Never blocks.
    ///
    /// # Errors
    /// The launcher has ended, or it does not read what it is asked ([`ErrorKind::WouldBlock`]).
    pub fn connect(&self, jid: &str) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        name_after(&ours, jid);
        let rights = [theirs.as_raw_fd()];
        sendmsg::<()>(
            self.control.as_raw_fd(),
            &[IoSlice::new(b"connect")],
            &[ControlMessage::ScmRights(&rights)],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map_err(|error| self.explain(error.into()))?;
        Ok(ours)
    }

    fn explain(&self, error: io::Error) -> io::Error {
        let ended = self.child.try_borrow_mut().ok().and_then(|mut child| child.try_wait().ok().flatten());
        match (error.kind(), ended) {
            (kind, Some(status)) => io::Error::new(
                kind,
                format!("The backend launcher has ended ({status}). Restart the transport."),
            ),
            (ErrorKind::WouldBlock, None) => {
                io::Error::new(ErrorKind::WouldBlock, "The backend launcher does not keep up with requests.")
            }
            (_, None) => error,
        }
    }
}

/// Beside the daemon, as in a build tree, or where packages put it.
fn launcher_path() -> PathBuf {
    let installed = Path::new(LAUNCHER_DIRECTORY).join(LAUNCHER);
    let Ok(daemon) = env::current_exe() else { return installed };
    Some(daemon.with_file_name(LAUNCHER)).filter(|beside| beside.is_file()).unwrap_or(installed)
}

/// Starts this program again in the background with the same `arguments`, waits until it is ready or has failed, and says
/// which. The background process reports as any service does, by sd_notify(3): there is no second protocol.
///
/// # Errors
/// The background process cannot be started.
pub fn daemonize(arguments: impl IntoIterator<Item = OsString>) -> io::Result<ExitCode> {
    // Of two sockets without a name: nobody else can report, or keep the queue full.
    let (reports, theirs) = UnixDatagram::pair()?;
    let log = background_log()?;
    let mut command = Command::new(env::current_exe()?);
    command
        .args(arguments)
        .arg(DAEMONIZED)
        .env("NOTIFY_SOCKET", STANDARD_INPUT)
        .env_remove("WATCHDOG_USEC")
        .env_remove("JOURNAL_STREAM")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(log.stderr);
    if let Some(stream) = log.journal_stream {
        command.env("JOURNAL_STREAM", stream);
    }
    let mut child = command.spawn()?;
    drop(command);
    follow(&mut child, &reports, READY_TIMEOUT)
}

/// Listens to the reports of the background process until it is ready, has ended, or the time is up.
fn follow(child: &mut Child, reports: &UnixDatagram, patience: Duration) -> io::Result<ExitCode> {
    let give_up = Instant::now() + patience;
    let mut status = String::new();
    reports.set_read_timeout(Some(LOOK))?;
    loop {
        // Looked at before listening, so that the last words of a process that ended are heard.
        let ended = child.try_wait()?;
        while let Some(report) = receive(reports)? {
            for field in report.lines() {
                if field == "READY=1" {
                    return Ok(Exit::Ok.into());
                }
                if let Some(line) = field.strip_prefix("STATUS=") {
                    line.clone_into(&mut status);
                }
            }
            if Instant::now() >= give_up {
                break;
            }
        }
        if let Some(how) = ended {
            say(&format!("The transport did not start: {}", last_words(&status, how)));
            return Ok(exit_code(how));
        }
        if Instant::now() >= give_up {
            say(&format!(
                "The transport runs but is not ready after {} s: {}. It goes on trying.",
                patience.as_secs(),
                if status.is_empty() { "it has not said why" } else { &status }
            ));
            return Ok(Exit::Ok.into());
        }
    }
}

/// The next report, or `None` if there is none for a while.
fn receive(reports: &UnixDatagram) -> io::Result<Option<String>> {
    let mut buffer = [0; 4096];
    match reports.recv(&mut buffer) {
        Ok(length) => {
            Ok(Some(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

fn last_words(status: &str, how: ExitStatus) -> String {
    if status.is_empty() {
        format!("{how}, without a word. Start it with -n to see more.")
    } else {
        status.to_owned()
    }
}

fn exit_code(how: ExitStatus) -> ExitCode {
    match how.code().and_then(|code| u8::try_from(code).ok()) {
        // Whoever has not become ready has not started, however politely it ended.
        Some(0) | None => Exit::Software.into(),
        Some(code) => ExitCode::from(code),
    }
}

/// A line for the person at the terminal, who may be gone.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Where the background process, the launcher and the backends write what they have to say.
struct Log {
    stderr: Stdio,
    /// Value of `JOURNAL_STREAM`, if it is the journal.
    journal_stream: Option<String>,
}

/// The file that standard error was redirected to; else the journal; else nowhere. Never the terminal: it would be held
/// open, and whoever logs out of it would wait.
fn background_log() -> io::Result<Log> {
    let current: OwnedFd = io::stderr().as_fd().try_clone_to_owned()?;
    let current = File::from(current);
    if current.metadata()?.is_file() {
        return Ok(Log { stderr: current.into(), journal_stream: None });
    }
    match journal_stream() {
        Ok(stream) => {
            let data = stream.metadata()?;
            let journal_stream = Some(format!("{}:{}", data.dev(), data.ino()));
            Ok(Log { stderr: stream.into(), journal_stream })
        }
        Err(_) => {
            say(
                "There is no journal on this machine, so the log is lost. Redirect standard error to a file to keep it, or use -n.",
            );
            Ok(Log { stderr: Stdio::null(), journal_stream: None })
        }
    }
}

/// A stream into the journal, as sd_journal_stream_fd(3) opens it.
fn journal_stream() -> io::Result<File> {
    let mut stream = UnixStream::connect("/run/systemd/journal/stdout")?;
    // Identifier, unit, priority of lines that name none (6: info), whether lines may name one, and no copies to
    // syslog, kernel log and console.
    stream.write_all(b"spectrum2\n\n6\n1\n0\n0\n0\n")?;
    stream.shutdown(std::net::Shutdown::Read)?;
    Ok(File::from(OwnedFd::from(stream)))
}

/// Leaves the session of the terminal. Called by the background process at its very start.
///
/// # Errors
/// The process leads a group already, which cannot be when [`daemonize`] started it.
pub fn leave_terminal() -> io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    /// A launcher whose backends say how the launcher was started, and end.
    const FAKE_LAUNCHER: &str = r#"#!/usr/bin/python3
import os, socket, sys
control = socket.socket(fileno=0)
while True:
    request, backend, _, _ = socket.recv_fds(control, 64, 1)
    if not request:
        break
    os.write(backend[0], request + b" " + " ".join(sys.argv[1:]).encode())
    os.close(backend[0])
"#;

    fn follow_script(script: &str, said: &[&str]) -> ExitCode {
        let (reports, theirs) = UnixDatagram::pair().unwrap();
        for report in said {
            theirs.send(report.as_bytes()).unwrap();
        }
        let mut child = Command::new("sh").args(["-c", script]).stdin(OwnedFd::from(theirs)).spawn().unwrap();
        let code = follow(&mut child, &reports, Duration::from_millis(300)).unwrap();
        let _ = child.kill();
        let _ = child.wait();
        code
    }

    fn same(code: ExitCode, number: u8) -> bool {
        format!("{code:?}") == format!("{:?}", ExitCode::from(number))
    }

    #[test]
    fn the_starting_command_ends_when_the_transport_is_ready() {
        assert!(same(follow_script("exec sleep 60", &["STATUS=connecting", "READY=1\nSTATUS=connected"]), 0));
    }

    #[test]
    fn the_starting_command_ends_as_a_transport_that_failed() {
        assert!(same(follow_script("exit 78", &["STATUS=bad option"]), 78));
        assert!(same(follow_script("exit 0", &[]), 70));
        assert!(same(follow_script("kill -9 $$", &[]), 70));
    }

    #[test]
    fn a_transport_that_goes_on_trying_has_started() {
        assert!(same(follow_script("exec sleep 60", &["STATUS=cannot connect"]), 0));
    }

    #[test]
    fn each_request_to_the_launcher_is_a_connection_to_a_new_backend() {
        let program = env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::write(&program, FAKE_LAUNCHER).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let overrides = Overrides {
            jid: Some("icq.example.org".to_owned()),
            values: vec![
                ("service.password".to_owned(), "secret".to_owned()),
                ("purple.port".to_owned(), "6667".to_owned()),
            ],
        };
        let launcher = Launcher::start_program(&program, Path::new("/etc/icq.cfg"), &overrides).unwrap();
        for _ in 0..2 {
            let mut said = String::new();
            launcher.connect("icq.example.org").unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, "connect --control -j icq.example.org --purple.port=6667 /etc/icq.cfg");
        }
        // The launcher sees that nobody asks any more.
        let Launcher { control, child } = launcher;
        drop(control);
        assert!(child.into_inner().wait().unwrap().success());
        fs::remove_file(program).unwrap();
    }

    #[test]
    fn a_launcher_that_is_not_there_is_named() {
        let error = Launcher::start_program(
            Path::new("/nonexistent/launcher"),
            Path::new("x.cfg"),
            &Overrides::default(),
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_launcher_that_ended_is_an_error_that_says_so() {
        let launcher =
            Launcher::start_program(Path::new("/bin/false"), Path::new("x.cfg"), &Overrides::default())
                .unwrap();
        launcher.child.borrow_mut().wait().unwrap();
        let error = launcher.connect("x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "The backend launcher has ended (exit status: 1). Restart the transport."
        );
    }
}
