//! The launcher as a process, with real backend processes behind it; the tests are the daemon.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::unistd::Pid;
use spectrum2_backend_protocol::{
    Capabilities, Connected, ConversationMessage, Decoder, Extensions, Frame, Login, MAX_FRAME,
    MessageResult, Problem,
};

/// Nothing here takes longer unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

const ROMEO: &str = "romeo@example.org";

/// A directory of its own for each test, with a transport file in it.
struct Transport {
    directory: PathBuf,
}

impl Transport {
    fn new(test: &str, backend: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("launcher-{test}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let transport = Self { directory };
        transport.write(backend, "");
        transport
    }

    fn write(&self, backend: &str, comment: &str) {
        let text = format!(
            "# {comment}\n[service]\njid=irc.example.org\nserver=127.0.0.1\nport=5347\nprotocol=prpl-irc\n\
             working_dir={}\nbackend={backend}\n[database]\ntype=none\n",
            self.directory.display()
        );
        fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.directory.join("irc.cfg")
    }

    /// The fake zygote under the name of the real one.
    fn zygote(test: &str, comment: &str) -> Self {
        let transport = Self::new(test, "");
        let program = transport.directory.join("spectrum2_libpurple_backend");
        symlink(script("fake_zygote.py"), &program).unwrap();
        transport.write(&program.to_string_lossy(), comment);
        transport
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn echo_backend() -> String {
    script("echo_backend.py").to_string_lossy().into_owned()
}

/// The launcher's log, line by line.
struct Log(Receiver<String>);

impl Log {
    fn of(child: &mut Child) -> Self {
        let (sender, receiver) = sync_channel(1000);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Waits for a line with this text.
    fn expect(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.0.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("the log does not say {text:?} but:\n{}", seen.join("\n"));
    }
}

/// The launcher as the daemon's child.
struct Launcher {
    child: Child,
    control: Option<OwnedFd>,
    log: Log,
}

impl Launcher {
    fn start(transport: &Transport) -> Self {
        Self::start_with(transport, &[])
    }

    fn start_with(transport: &Transport, arguments: &[&str]) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_spectrum2_backend_launcher")), transport, arguments)
    }

    fn start_program(program: &Path, transport: &Transport, arguments: &[&str]) -> Self {
        let (control, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let mut child = Command::new(program)
            .arg("--control")
            .args(arguments)
            .arg(transport.file())
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::from(theirs))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(&mut child);
        Self { child, control: Some(control), log }
    }

    fn connect(&self) -> Backend {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let numbers = [theirs.as_raw_fd()];
        let control = self.control.as_ref().unwrap().as_raw_fd();
        let rights = [ControlMessage::ScmRights(&numbers)];
        sendmsg::<()>(control, &[IoSlice::new(b"connect")], &rights, MsgFlags::empty(), None).unwrap();
        Backend::new(ours)
    }

    /// The daemon goes away.
    fn close(mut self) -> ExitStatus {
        drop(self.control.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // A failed test leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's end of one connection.
struct Backend {
    connection: UnixStream,
    decoder: Decoder,
}

impl Backend {
    fn new(connection: UnixStream) -> Self {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { connection, decoder: Decoder::new(MAX_FRAME) }
    }

    fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.connection.write_all(&bytes).unwrap();
    }

    /// The next frame; `None` when the connection is closed.
    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            let mut piece = [0; 4096];
            match self.connection.read(&mut piece).expect("something comes in time") {
                0 => return None,
                length => self.decoder.push(&piece[..length]),
            }
        }
    }

    fn expect<T>(&mut self, wanted: impl Fn(Frame) -> Option<T>) -> T {
        loop {
            let frame = self.next().expect("the connection is open");
            if let Some(found) = wanted(frame) {
                return found;
            }
        }
    }

    fn expect_end(&mut self) {
        while self.next().is_some() {}
    }

    fn greet(&mut self) -> Capabilities {
        self.send(&Frame::Ping);
        let config = self.expect(|frame| match frame {
            Frame::BackendConfig(config) => Some(config),
            _ => None,
        });
        self.expect(|frame| (frame == Frame::Pong).then_some(()));
        Capabilities::parse(&config.config)
    }

    fn login(&mut self) {
        self.send(&Frame::Login(Login {
            user: ROMEO.into(),
            legacy_name: "romeo".into(),
            ..Login::default()
        }));
        let connected = Frame::Connected(Connected { user: ROMEO.into() });
        self.expect(|frame| (frame == connected).then_some(()));
    }

    fn say(&mut self, text: &str) {
        self.send(&Frame::ConvMessage(ConversationMessage {
            user_name: ROMEO.into(),
            buddy_name: "nurse".into(),
            message: text.into(),
            ..ConversationMessage::default()
        }));
    }

    fn hear(&mut self) -> String {
        self.expect(|frame| match frame {
            Frame::ConvMessage(message) => Some(message.message),
            _ => None,
        })
    }

    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    fn problem(&mut self) -> Problem {
        self.expect(|frame| match frame {
            Frame::Problem(problem) => Some(problem),
            _ => None,
        })
    }
}

#[test]
fn a_backend_of_spectrum_2_talks_to_the_daemon() {
    let transport = Transport::new("talk", &echo_backend());
    let launcher = Launcher::start(&transport);
    let mut backend = launcher.connect();
    assert_eq!(backend.greet().muc, Some(true));
    backend.login();
    assert_eq!(backend.ask("Grüße – ☂ 🌹"), "Grüße – ☂ 🌹");
    let long = "wherefore art thou ".repeat(50_000);
    assert_eq!(backend.ask(&long), long);
    backend.send(&Frame::Exit);
    backend.expect_end();
    launcher.log.expect("ended: exit 0");
    assert!(launcher.close().success());
}

#[test]
fn arguments_are_those_of_spectrum_2() {
    let transport = Transport::new("arguments", &format!("{} 'two words' BACKEND_ID", echo_backend()));
    let launcher = Launcher::start_with(&transport, &["-j", "two.example.org"]);
    let mut first = launcher.connect();
    let mut second = launcher.connect();
    let (first, second) = (first.ask("!args"), second.ask("!args"));
    let port = first.split(' ').skip_while(|&word| word != "--port").nth(1).unwrap();
    let expected = format!(
        "{} two words 0 --host 127.0.0.1 --port {port} --service.backend_id=1 -j two.example.org {}",
        echo_backend(),
        transport.file().display()
    );
    assert_eq!(first, expected);
    assert!(second.contains(" two words 1 ") && second.contains(" --service.backend_id=2 "), "{second}");
}

#[test]
fn the_number_of_a_backend_that_ended_is_used_again() {
    let transport = Transport::new("numbers", &echo_backend());
    let launcher = Launcher::start(&transport);
    let mut first = launcher.connect();
    let mut second = launcher.connect();
    assert!(first.ask("!args").contains("--service.backend_id=1 "));
    assert!(second.ask("!args").contains("--service.backend_id=2 "));
    drop(first);
    launcher.log.expect("ended: exit 0");
    assert!(launcher.connect().ask("!args").contains("--service.backend_id=1 "));
    assert_eq!(second.ask("still here?"), "still here?");
}

#[test]
fn a_backend_that_is_killed_costs_its_own_connection_only() {
    let transport = Transport::new("killed", &echo_backend());
    let launcher = Launcher::start(&transport);
    let mut victim = launcher.connect();
    let mut other = launcher.connect();
    let pid: i32 = victim.ask("!pid").parse().unwrap();
    assert_eq!(other.ask("here?"), "here?");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    victim.expect_end();
    launcher.log.expect("signal 9 (SIGKILL)");
    assert_eq!(other.ask("still here?"), "still here?");
}

#[test]
fn a_deaf_backend_ends_when_the_daemon_has_gone() {
    let transport = Transport::new("deaf", &echo_backend());
    let launcher = Launcher::start(&transport);
    let mut backend = launcher.connect();
    assert_eq!(backend.ask("here?"), "here?");
    backend.say("!hang");
    drop(backend);
    // Python does not notice the end of its connection while it sleeps, but it obeys SIGTERM.
    launcher.log.expect("signal 15 (SIGTERM)");
}

#[test]
fn a_missing_program_is_named_to_the_daemon_and_in_the_log() {
    let transport = Transport::new("missing", "/nonexistent/backend --verbose");
    let launcher = Launcher::start(&transport);
    let expected = "Cannot start the backend \"/nonexistent/backend\" (service.backend of irc): there is no such file. \
                    Install it, or correct the option.";
    let mut backend = launcher.connect();
    assert_eq!(backend.problem(), Problem { text: expected.into(), fatal: Some(true) });
    backend.expect_end();
    launcher.log.expect(expected);

    // Once it is installed, the next connection is served.
    let launcher = Launcher::start(&{
        transport.write(&echo_backend(), "");
        transport
    });
    assert_eq!(launcher.connect().ask("here?"), "here?");
}

#[test]
fn a_program_that_may_not_be_executed_is_named() {
    let transport = Transport::new("forbidden", "/etc/passwd");
    let launcher = Launcher::start(&transport);
    let problem = launcher.connect().problem().text;
    assert!(problem.contains("\"/etc/passwd\"") && problem.contains("it may not be executed"), "{problem}");
}

#[test]
fn a_program_that_ends_before_it_connects_closes_the_connection() {
    let transport = Transport::new("false", "/bin/false");
    let launcher = Launcher::start(&transport);
    launcher.connect().expect_end();
    launcher.log.expect("ended before it connected: exit 1");
}

#[test]
fn a_messages_serial_comes_back() {
    let transport = Transport::new("serial", &echo_backend());
    let launcher = Launcher::start(&transport);
    let mut backend = launcher.connect();
    assert!(backend.greet().has_extension("ack"));
    backend.send(&Frame::Extensions(Extensions { names: vec!["ack".into()] }));
    for (text, serial, error) in [("hello", 7, None), ("!error no such nick", u64::MAX, Some("no such nick"))]
    {
        backend.send(&Frame::ConvMessage(ConversationMessage {
            user_name: ROMEO.into(),
            message: text.into(),
            serial: Some(serial),
            ..ConversationMessage::default()
        }));
        let result: MessageResult = backend.expect(|frame| match frame {
            Frame::Result(result) => Some(result),
            _ => None,
        });
        assert_eq!((result.serial, result.text.as_deref()), (serial, error));
        assert_eq!(result.error.is_some(), error.is_some());
    }
}

#[test]
fn when_the_daemon_is_gone_everything_ends() {
    let transport = Transport::new("gone", &echo_backend());
    let launcher = Launcher::start(&transport);
    let mut backend = launcher.connect();
    let pid: i32 = backend.ask("!pid").parse().unwrap();
    assert!(launcher.close().success());
    assert!(kill(Pid::from_raw(pid), None).is_err(), "the backend runs on");
    backend.expect_end();
}

#[test]
fn libpurple_backends_are_forked_from_the_zygote() {
    let transport = Transport::zygote("zygote", "");
    let launcher = Launcher::start(&transport);
    let mut first = launcher.connect();
    let mut second = launcher.connect();
    first.greet();
    first.login();
    assert_eq!(first.ask("Grüße"), "Grüße");
    assert_ne!(first.ask("!pid"), second.ask("!pid"));
    launcher.log.expect("asked to serve 1");
    launcher.log.expect("asked to serve 2");
    launcher.log.expect("started, 2 running");

    first.say("!crash");
    first.expect_end();
    launcher.log.expect("ended: signal 11 (SIGSEGV); 1 running");
    assert_eq!(second.ask("still here?"), "still here?");
    // Its number is free again.
    let mut third = launcher.connect();
    launcher.log.expect("asked to serve 1");
    third.send(&Frame::Exit);
    third.expect_end();
    launcher.log.expect("ended, 1 running");
    second.send(&Frame::Exit);
    second.expect_end();
    launcher.log.expect("ended, 0 running");
    assert!(launcher.close().success());
}

#[test]
fn a_zygote_that_dies_is_replaced_and_its_children_go_on() {
    let transport = Transport::zygote("zygote-dies", "");
    let launcher = Launcher::start(&transport);
    let mut first = launcher.connect();
    assert_eq!(first.ask("!kill-zygote"), "!kill-zygote");
    launcher.log.expect("The zygote");
    // This connection waits for the next zygote.
    let mut second = launcher.connect();
    assert_eq!(second.ask("here?"), "here?");
    assert_eq!(first.ask("still here?"), "still here?");
    // The first child is the launcher's own now.
    first.say("!exit 3");
    first.expect_end();
    launcher.log.expect("ended: exit 3; 1 running");
    drop(second);
    assert!(launcher.close().success());
}

#[test]
fn a_zygote_with_a_problem_says_so_and_serves() {
    let transport = Transport::zygote("zygote-unwell", "unwell");
    let launcher = Launcher::start(&transport);
    launcher.log.expect("The backend cannot work: The plugin prpl-gone is missing");
    assert_eq!(launcher.connect().ask("here?"), "here?");
}

#[test]
fn a_zygote_that_never_lives_is_reported_to_the_daemon() {
    let transport = Transport::zygote("zygote-stillborn", "stillborn");
    let launcher = Launcher::start(&transport);
    let problem = launcher.connect().problem();
    assert!(problem.text.contains("ended: exit 1"), "{problem:?}");
    // It may have been killed for lack of memory: the daemon is to try again.
    assert_eq!(problem.fatal, Some(false));
}

/// COMPAT(Spectrum 2): files name its libpurple backend where it used to be, under one of two names.
#[test]
fn the_libpurple_backend_beside_the_launcher_is_found() {
    for name in ["spectrum2_libpurple_backend", "libpurple_backend"] {
        let transport = Transport::new(&format!("beside-{name}"), &format!("/nonexistent/{name}"));
        let program = transport.directory.join("spectrum2_backend_launcher");
        fs::copy(env!("CARGO_BIN_EXE_spectrum2_backend_launcher"), &program).unwrap();
        symlink(script("fake_zygote.py"), transport.directory.join("spectrum2_libpurple_backend")).unwrap();
        let launcher = Launcher::start_program(&program, &transport, &[]);
        assert_eq!(launcher.connect().ask("here?"), "here?", "{name}");
        launcher.log.expect("started, 1 running");
    }
}

#[test]
fn more_connections_than_can_wait_are_refused() {
    let transport = Transport::zygote("overflow", "stillborn");
    let launcher = Launcher::start(&transport);
    let waiting: Vec<_> = (0..1000).map(|_| launcher.connect()).collect();
    let problem = launcher.connect().problem();
    assert!(problem.text.contains("1000 connections wait"), "{problem:?}");
    drop(waiting);
}

/// As systemd does it: the socket as descriptor 3, and somebody who wants to know.
#[test]
fn systemd_passes_the_socket_and_is_told_the_status() {
    let transport = Transport::zygote("systemd", "");
    let path = transport.directory.join("backend.sock");
    let notifications = UnixDatagram::bind(transport.directory.join("notify")).unwrap();
    notifications.set_read_timeout(Some(PATIENCE)).unwrap();
    let expect_notification = |wanted: &str| {
        let mut seen = String::new();
        while !seen.contains(wanted) {
            let mut piece = [0; 4096];
            let length =
                notifications.recv(&mut piece).unwrap_or_else(|_| panic!("{wanted:?} is not in {seen:?}"));
            seen += &String::from_utf8_lossy(&piece[..length]);
            seen += "\n";
        }
        seen
    };

    let listener = UnixListener::bind(&path).unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$1" 3<&0 </dev/null"#])
        .arg(env!("CARGO_BIN_EXE_spectrum2_backend_launcher"))
        .arg(transport.file())
        .env("NOTIFY_SOCKET", transport.directory.join("notify"))
        .env("JOURNAL_STREAM", "1:1")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Log::of(&mut child);
    expect_notification("READY=1");
    let mut first = Backend::new(UnixStream::connect(&path).unwrap());
    assert_eq!(first.ask("here?"), "here?");
    expect_notification("STATUS=1 backend for irc (prpl-irc)");
    let _second = UnixStream::connect(&path).unwrap();
    expect_notification("STATUS=2 backends for irc (prpl-irc)");
    first.say("!crash");
    let line = log.expect("SIGSEGV");
    assert!(line.starts_with("<4>Backend process "), "{line}");

    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_a_socket_it_says_where_to_get_one() {
    let transport = Transport::new("no-socket", &echo_backend());
    let output = Command::new(env!("CARGO_BIN_EXE_spectrum2_backend_launcher"))
        .arg(transport.file())
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("0 sockets were passed") && log.contains("spectrum2-backend@irc.socket"), "{log}");
}

#[test]
fn what_is_wrong_with_the_file_is_said_with_place() {
    let transport = Transport::new("bad-file", "'/usr/bin/python3");
    let status = Launcher::start(&transport);
    let line = status.log.expect("service.backend");
    assert!(line.contains("irc.cfg") && line.contains("a quote is not closed"), "{line}");
    assert_eq!(status.close().code(), Some(78));
}
