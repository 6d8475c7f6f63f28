//! Real servers, and the part of the daemon, for tests of the backend program.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong fails")]

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, setsockopt, socketpair,
    sockopt,
};
use nix::sys::time::TimeVal;
use spectrum2_backend_protocol::{
    Buddy, ConversationMessage, Decoder, Extensions, Frame, Login, Logout, MAX_FRAME, Participant, Room,
    RoomEnd, RoomReason, UserSettings,
};

/// Nothing that is awaited takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("spectrum2-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is kept of the only account.
pub fn saved_settings(state: &Path) -> String {
    let accounts: Vec<_> = std::fs::read_dir(state.join("accounts")).unwrap().collect();
    assert_eq!(accounts.len(), 1);
    std::fs::read_to_string(accounts[0].as_ref().unwrap().path().join("settings")).unwrap()
}

/// A process that goes with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The path of a server, or a sentence that says what is skipped.
pub fn server(program: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .map(|directory| Path::new(directory).join(program))
        .into_iter()
        .find(|path| path.exists());
    if found.is_none() {
        println!("skipped: {program} is not installed");
    }
    found
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens.
pub fn await_port(port: u16, process: &mut Process) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = process.0.try_wait().unwrap() {
            panic!("the server ended with {status}");
        }
        assert!(start.elapsed() < PATIENCE, "nothing listens on port {port}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The program under test.
pub fn backend() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spectrum2_libpurple_backend"));
    command
        .env("GST_PLUGIN_SYSTEM_PATH_1_0", "/nonexistent")
        .env("GST_REGISTRY", "/nonexistent/registry")
        .env_remove("STATE_DIRECTORY")
        .env_remove("RUST_BACKTRACE");
    command
}

/// A zygote, and what the launcher does with it.
pub struct Zygote {
    pub process: Process,
    socket: OwnedFd,
}

impl Zygote {
    pub fn start(config: &Path) -> Self {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let patience = TimeVal::new(PATIENCE.as_secs().try_into().unwrap(), 0);
        setsockopt(&ours, sockopt::ReceiveTimeout, &patience).unwrap();
        let child = backend().arg("--zygote").arg(config).stdin(Stdio::from(theirs)).spawn().unwrap();
        Self { process: Process(child), socket: ours }
    }

    /// The next thing it says.
    pub fn says(&self) -> String {
        let mut bytes = [0; 4096];
        let length =
            recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()).expect("the zygote says nothing");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Has it fork a process, as the launcher does for a connection; also gives the process id.
    pub fn serve(&self) -> (Daemon, i32) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fds = [theirs.as_fd().as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(b"serve 1")], &rights, MsgFlags::empty(), None)
            .unwrap();
        drop(theirs);
        let said = self.says();
        let pid = said.strip_prefix("started ").unwrap_or_else(|| panic!("{said}")).parse().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        (Daemon::new(Box::new(ours)), pid)
    }
}

pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The daemon's end of a connection.
pub struct Daemon {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    /// What came, for the message of a test that fails.
    seen: Vec<Frame>,
    next: usize,
    serial: u64,
}

impl Daemon {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, decoder: Decoder::new(MAX_FRAME), seen: Vec::new(), next: 0, serial: 0 }
    }

    /// Accepts a backend that connects by itself.
    pub fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(Box::new(stream))
    }

    pub fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The first words of our daemon.
    pub fn greet(&mut self) -> String {
        self.send(&Frame::Ping);
        let config = self.expect("BACKEND_CONFIG", |frame| match frame {
            Frame::BackendConfig(config) => Some(config.config.clone()),
            _ => None,
        });
        self.expect("PONG", |frame| matches!(frame, Frame::Pong).then_some(()));
        self.expect("STATS", |frame| matches!(frame, Frame::Stats(_)).then_some(()));
        let names = ["ack", "problem", "rooms"].map(str::to_owned).to_vec();
        self.send(&Frame::Extensions(Extensions { names }));
        config
    }

    /// Waits for a frame that fits; looks at each frame once.
    pub fn expect<T>(&mut self, what: &str, fits: impl Fn(&Frame) -> Option<T>) -> T {
        loop {
            while let Some(frame) = self.seen.get(self.next) {
                self.next += 1;
                if let Some(found) = fits(frame) {
                    return found;
                }
            }
            self.read(what);
        }
    }

    /// Waits for the end of the connection.
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("the connection does not end");
    }

    fn read(&mut self, what: &str) {
        let mut bytes = [0; 65536];
        let length = match self.stream.read(&mut bytes) {
            Ok(length) if length > 0 => length,
            other => panic!("{what} did not come but {other:?}, after {:#?}", self.seen),
        };
        self.decoder.push(&bytes[..length]);
        while let Some(frame) = self.decoder.next().unwrap() {
            self.seen.push(frame);
        }
    }

    /// All frames that came so far.
    pub fn seen(&self) -> &[Frame] {
        &self.seen
    }

    pub fn login(&mut self, user: &str, name: &str, password: &str) {
        self.send(&Frame::Login(Login {
            user: user.to_owned(),
            legacy_name: name.to_owned(),
            password: password.to_owned(),
            extra_fields: Vec::new(),
            settings: Some(UserSettings::default()),
        }));
    }

    pub fn logout(&mut self, user: &str) {
        self.send(&Frame::Logout(Logout { user: user.to_owned(), legacy_name: String::new() }));
    }

    pub fn expect_connected(&mut self, user: &str) {
        self.expect("CONNECTED", |frame| {
            matches!(frame, Frame::Connected(connected) if connected.user == user).then_some(())
        });
    }

    pub fn expect_disconnected(&mut self, user: &str) -> (i32, String) {
        self.expect("DISCONNECTED", |frame| match frame {
            Frame::Disconnected(end) if end.user == user => {
                Some((end.error, end.message.clone().unwrap_or_default()))
            }
            _ => None,
        })
    }

    /// Sends a message and returns its serial.
    pub fn write(&mut self, user: &str, to: &str, text: &str) -> u64 {
        self.serial += 1;
        self.send(&Frame::ConvMessage(ConversationMessage {
            serial: Some(self.serial),
            ..message(user, to, text)
        }));
        self.serial
    }

    /// Waits for what became of a message: error and text.
    pub fn expect_result(&mut self, serial: u64) -> Option<(i32, String)> {
        self.expect("RESULT", |frame| match frame {
            Frame::Result(result) if result.serial == serial => {
                Some(result.error.map(|error| (error, result.text.clone().unwrap_or_default())))
            }
            _ => None,
        })
    }

    pub fn expect_message(&mut self, from: &str) -> ConversationMessage {
        self.expect("CONV_MESSAGE", |frame| match frame {
            Frame::ConvMessage(message) if message.buddy_name == from => Some(message.clone()),
            _ => None,
        })
    }

    pub fn join(&mut self, user: &str, room: &str, nick: &str, password: &str) {
        self.send(&Frame::JoinRoom(Room {
            user_name: user.to_owned(),
            nickname: nick.to_owned(),
            room: room.to_owned(),
            password: Some(password.to_owned()),
        }));
    }

    pub fn leave(&mut self, user: &str, room: &str) {
        let (user_name, room) = (user.to_owned(), room.to_owned());
        self.send(&Frame::LeaveRoom(Room { user_name, nickname: String::new(), room, password: None }));
    }

    /// Waits until the user is in a room, and gives the nick there.
    pub fn expect_joined(&mut self, room: &str) -> String {
        self.expect("ROOM_JOINED", |frame| match frame {
            Frame::RoomJoined(joined) if joined.room == room => Some(joined.nickname.clone()),
            Frame::RoomRefused(end) => panic!("{:?}: {:?}", end.room_reason(), end.text),
            _ => None,
        })
    }

    pub fn expect_refused(&mut self, room: &str) -> (RoomReason, String) {
        self.expect("ROOM_REFUSED", |frame| match frame {
            Frame::RoomRefused(end) if end.room == room => {
                Some((end.room_reason(), end.text.clone().unwrap_or_default()))
            }
            _ => None,
        })
    }

    pub fn expect_left(&mut self, room: &str) -> RoomEnd {
        self.expect("ROOM_LEFT", |frame| match frame {
            Frame::RoomLeft(end) if end.room == room => Some(end.clone()),
            _ => None,
        })
    }

    /// Waits until the daemon is told this of an occupant.
    pub fn expect_occupant(&mut self, nick: &str, fits: impl Fn(&Participant) -> bool) -> Participant {
        self.expect("PARTICIPANT_CHANGED", |frame| match frame {
            Frame::ParticipantChanged(who) if who.nickname == nick && fits(who) => Some(who.clone()),
            _ => None,
        })
    }

    /// Waits for a contact that looks so.
    pub fn expect_buddy(&mut self, name: &str, fits: impl Fn(&Buddy) -> bool) -> Buddy {
        self.expect("BUDDY_CHANGED", |frame| match frame {
            Frame::BuddyChanged(buddy) if buddy.buddy_name == name && fits(buddy) => Some(buddy.clone()),
            _ => None,
        })
    }
}

pub fn message(user: &str, to: &str, text: &str) -> ConversationMessage {
    ConversationMessage {
        user_name: user.to_owned(),
        buddy_name: to.to_owned(),
        message: text.to_owned(),
        ..ConversationMessage::default()
    }
}

pub fn buddy(user: &str, name: &str) -> Buddy {
    Buddy {
        user_name: user.to_owned(),
        buddy_name: name.to_owned(),
        alias: None,
        groups: Vec::new(),
        status: Some(5),
        status_message: None,
        icon_hash: None,
        blocked: None,
    }
}

/// An IRC server.
pub struct Ngircd {
    process: Process,
    pub port: u16,
    _scratch: Scratch,
}

impl Ngircd {
    pub fn start(password: Option<&str>) -> Option<Self> {
        let program = server("ngircd")?;
        let (scratch, port) = (Scratch::new("ngircd"), free_port());
        let password = password.map_or_else(String::new, |password| format!("Password = {password}\n"));
        let config = scratch.file(
            "ngircd.conf",
            &format!(
                "[Global]\nName = irc.example.net\nInfo = Verona\nListen = 127.0.0.1\nPorts = {port}\nMotdPhrase = Welcome\n{password}\
                 [Limits]\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\nMaxNickLength = 30\n[Options]\nDNS = no\nIdent = no\nPAM = no\n"
            ),
        );
        let child = Command::new(program)
            .arg("-n")
            .arg("-f")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut process = Process(child.unwrap());
        await_port(port, &mut process);
        Some(Self { process, port, _scratch: scratch })
    }

    pub fn config(&self, state: &Path, purple: &str) -> String {
        format!(
            "[service]\njid=irc.example.org\npassword=secret\nserver=127.0.0.1\nport=5347\nprotocol=prpl-irc\n\
             working_dir={}\n[database]\ntype=none\n[purple]\nport={}\n{purple}",
            state.display(),
            self.port
        )
    }
}

/// Somebody on IRC, with a bare socket.
pub struct Irc {
    reader: BufReader<TcpStream>,
}

impl Irc {
    pub fn connect(port: u16, nick: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut irc = Self { reader: BufReader::new(stream) };
        irc.send(&format!("NICK {nick}"));
        irc.send(&format!("USER {nick} 0 * :{nick}"));
        irc.expect(" 001 ");
        irc
    }

    pub fn send(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// Waits for a line that contains this.
    pub fn expect(&mut self, part: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The text of the next message.
    pub fn expect_message(&mut self) -> String {
        let line = self.expect(" PRIVMSG ");
        line.splitn(4, ' ').nth(3).unwrap().trim_start_matches(':').to_owned()
    }

    fn line(&mut self) -> String {
        loop {
            let mut line = Vec::new();
            let length = self.reader.read_until(b'\n', &mut line).expect("nothing came from the IRC server");
            assert!(length > 0, "the IRC server closed the connection");
            let line = String::from_utf8(line).expect("a character was cut").trim_end().to_owned();
            match line.strip_prefix("PING ") {
                Some(rest) => self.send(&format!("PONG {rest}")),
                None => return line,
            }
        }
    }
}

/// An XMPP server, as a legacy network.
pub struct Prosody {
    process: Process,
    port: u16,
    scratch: Scratch,
}

impl Prosody {
    /// Writes a bookmark into somebody's private storage (XEP-0049), as Prosody keeps it.
    pub fn has_bookmark(&self, user: &str, room: &str, name: &str) {
        let directory = self.scratch.0.join("data/example%2enet/private");
        std::fs::create_dir_all(&directory).unwrap();
        let conference = format!(
            "{{ name = \"conference\", attr = {{ jid = \"{room}\", name = \"{name}\", xmlns = \"storage:bookmarks\" }} }}"
        );
        let storage = format!(
            "return {{ [\"storage:storage:bookmarks\"] = {{ name = \"storage\", \
             attr = {{ xmlns = \"storage:bookmarks\" }}, {conference} }} }};\n"
        );
        std::fs::write(directory.join(format!("{user}.dat")), storage).unwrap();
    }

    /// Starts it with accounts at `example.net`, whose passwords are their names. With `tls`, it has a certificate that
    /// nobody signed.
    pub fn start(names: &[&str], tls: bool) -> Option<Self> {
        let program = server("prosody")?;
        let (scratch, port) = (Scratch::new("prosody"), free_port());
        let accounts = scratch.0.join("data/example%2enet/accounts");
        std::fs::create_dir_all(&accounts).unwrap();
        for name in names {
            let account = format!("return {{ [\"password\"] = \"{name}\" }};\n");
            std::fs::write(accounts.join(format!("{name}.dat")), account).unwrap();
        }
        let place = scratch.0.display();
        let (module, certificate) = if tls {
            make_certificate(&scratch)?;
            (
                "\"tls\";",
                format!("ssl = {{ key = \"{place}/key.pem\"; certificate = \"{place}/cert.pem\" }}\n"),
            )
        } else {
            ("", String::new())
        };
        let config = scratch.file(
            "prosody.cfg.lua",
            &format!(
                "run_as_root = true\ndaemonize = false\npidfile = \"{place}/pid\"\ndata_path = \"{place}/data\"\n\
                 log = {{ error = \"{place}/log\" }}\ninterfaces = {{ \"127.0.0.1\" }}\nc2s_ports = {{ {port} }}\n\
                 modules_enabled = {{ \"roster\"; \"saslauth\"; \"disco\"; \"vcard_legacy\"; \"private\"; \"pep\"; \"ping\"; {module} }}\n\
                 modules_disabled = {{ \"s2s\" }}\nauthentication = \"internal_plain\"\nc2s_require_encryption = false\n\
                 allow_unencrypted_plain_auth = true\n{certificate}VirtualHost \"example.net\"\n\
                 Component \"rooms.example.net\" \"muc\"\n    muc_room_default_public = true\n"
            ),
        );
        let child = Command::new(program)
            .arg("-F")
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut process = Process(child.unwrap());
        await_port(port, &mut process);
        Some(Self { process, port, scratch })
    }

    pub fn config(&self, state: &Path, service: &str, security: &str) -> String {
        format!(
            "[service]\njid=xmpp.example.org\npassword=secret\nserver=127.0.0.1\nport=5347\nprotocol=prpl-jabber\n\
             working_dir={}\n{service}[database]\ntype=none\n[purple]\nport={}\nconnect_server=127.0.0.1\n\
             connection_security={security}\nauth_plain_in_clear=true\n",
            state.display(),
            self.port
        )
    }
}

/// Puts a self-signed certificate into a directory.
fn make_certificate(scratch: &Scratch) -> Option<()> {
    let program = server("openssl")?;
    let status = Command::new(program)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.net"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(&scratch.0)
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success()).then_some(())
}
