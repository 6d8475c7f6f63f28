//! The daemon as a process: command line, exit statuses, pid file, background, user.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

/// A launcher that starts nothing and ends with the daemon.
const LAUNCHER: &str = "#!/bin/sh\nexec cat >/dev/null\n";

/// Puts a program there. By another process, because whoever is forked by another test while we have the file open to
/// write could keep it from being executed.
fn install(program: &Path, to: &Path) {
    let status = Command::new("install").args(["-m", "755"]).arg(program).arg(to).status().unwrap();
    assert!(status.success(), "{} cannot be installed", program.display());
}

/// An installation of its own: the daemon with a launcher beside it, and a transport file.
struct Place {
    directory: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        // Others must get through to what they own.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let place = Self { directory };
        install(Path::new(env!("CARGO_BIN_EXE_spectrum2")), &place.path("spectrum2"));
        fs::write(place.path("launcher"), LAUNCHER).unwrap();
        install(&place.path("launcher"), &place.path("spectrum2_backend_launcher"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a transport file that works, with further lines of `[service]`.
    fn transport(&self, port: u16, more: &str) -> PathBuf {
        let file = self.path("irc.cfg");
        let directory = self.directory.display();
        let text = format!(
            "[service]\njid=irc.example.org\npassword=m0ntague\nserver=127.0.0.1\nport={port}\nprotocol=prpl-irc\n\
             backend=/bin/true\npidfile={directory}/run/irc.pid\nworking_dir={directory}/lib\n{more}\n\
             [database]\ntype=sqlite3\ndatabase={directory}/lib/database.sql\n"
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// Runs the daemon until it ends or is in the background. Its log goes to the file `log`.
    fn spectrum2(&self, arguments: &[&str]) -> Output {
        let stdout = File::create(self.path("stdout")).unwrap();
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let status = Command::new(self.path("spectrum2"))
            .args(arguments)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("SPECTRUM2_LOG")
            // Not the bus of the machine that the test runs on.
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
            .stdout(stdout)
            .stderr(log)
            .status()
            .unwrap();
        Output {
            status,
            stdout: fs::read(self.path("stdout")).unwrap(),
            stderr: fs::read(self.path("log")).unwrap(),
        }
    }

    /// Waits until the log of a transport in the background has this in it.
    #[allow(
        clippy::disallowed_methods,
        reason = "nobody else is on this thread, and a file announces nothing"
    )]
    fn until_log_says(&self, words: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        let log = || fs::read_to_string(self.path("log")).unwrap();
        while !log().contains(words) {
            assert!(Instant::now() < end, "no {words:?} in {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn start(&self, config: &Path) -> Output {
        self.spectrum2(&[config.to_str().unwrap()])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// An XMPP server that accepts some components and then listens until they leave.
struct Server {
    port: u16,
    heard: JoinHandle<Vec<String>>,
}

impl Server {
    fn start() -> Self {
        Self::for_components(1)
    }

    fn for_components(number: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let component = |mut link: TcpStream| {
            let mut heard = String::new();
            // XEP-0114 §3.
            read_until(&mut link, &mut heard, "jabber:component:accept");
            link.write_all(
                b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
                  xmlns='jabber:component:accept' from='irc.example.org' id='3BF96D32'>",
            )
            .unwrap();
            read_until(&mut link, &mut heard, "</handshake>");
            link.write_all(b"<handshake/>").unwrap();
            let _ = link.read_to_string(&mut heard);
            heard
        };
        let heard = thread::spawn(move || {
            let links = listener.incoming().take(number).map(Result::unwrap);
            let links: Vec<_> = links.map(|link| thread::spawn(move || component(link))).collect();
            links.into_iter().map(|link| link.join().unwrap()).collect()
        });
        Self { port, heard }
    }
}

fn read_until(link: &mut TcpStream, heard: &mut String, end: &str) {
    let mut buffer = [0; 1024];
    while !heard.contains(end) {
        let length = link.read(&mut buffer).unwrap();
        assert!(length > 0, "the component left after {heard}");
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
}

/// A transport in the background, ended with the test.
struct Background {
    pid: Pid,
    pid_file: PathBuf,
}

impl Background {
    fn of(pid_file: PathBuf) -> Self {
        let pid = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        Self { pid: Pid::from_raw(pid), pid_file }
    }

    /// Lines of `/proc/PID/FILE` that begin so.
    fn says(&self, file: &str, beginning: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(beginning));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// Asks it to stop and waits until it lets go of its pid file.
    fn stop(&self) {
        let file = File::open(&self.pid_file).unwrap();
        kill(self.pid, Signal::SIGTERM).unwrap();
        drop(Flock::lock(file, FlockArg::LockExclusive).unwrap());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn version_and_help_are_no_errors() {
    let place = Place::new();
    for version in ["-v", "--version"] {
        let output = place.spectrum2(&[version]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), format!("spectrum2 {}\n", env!("CARGO_PKG_VERSION")));
    }
    for help in ["-h", "--help"] {
        let output = place.spectrum2(&[help]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("--help-options"));
    }
    let output = place.spectrum2(&["--help-options"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("service.users_per_backend"));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let place = Place::new();
    for wrong in [
        &[][..],
        &["--no-such-option", "x.cfg"],
        &["a.cfg", "b.cfg"],
        &["--service.port", "1", "x.cfg"],
        &["check"],
    ] {
        assert_eq!(place.spectrum2(wrong).status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn every_mistake_in_the_file_is_told_with_its_line() {
    let place = Place::new();
    let file = place.path("bad.cfg");
    fs::write(&file, "[service]\njid=irc.example.org\nport=many\npassword=secret\nserver_mode=perhaps\n")
        .unwrap();
    for arguments in [&["-n"][..], &[], &["check"]] {
        let output = place.spectrum2(&[arguments, &[file.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        for place in ["bad.cfg:3: service.port: ", "bad.cfg:5: service.server_mode: "] {
            assert!(said.contains(place), "{said}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let place = Place::new();
    let output = place.spectrum2(&["-n", "no_such_instance"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("/etc/spectrum2/transports/no_such_instance.cfg"));
}

#[test]
fn check_describes_a_good_file() {
    let place = Place::new();
    let file = place.transport(5347, "");
    let output = place.spectrum2(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("irc.example.org"));
    assert!(!text(&output.stdout).contains("m0ntague"));
}

#[test]
fn in_the_background_it_is_ready_when_the_command_returns() {
    let place = Place::new();
    let server = Server::start();
    let config = place.transport(server.port, "");
    let output = place.start(&config);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Connected to"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("is not ready"), "{}", text(&output.stderr));
    let transport = Background::of(place.path("run/irc.pid"));
    assert_eq!(fs::metadata(place.path("lib/database.sql")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(transport.says("status", "NoNewPrivs"), "NoNewPrivs: 1");
    assert_eq!(transport.says("limits", "Max core file size"), "Max core file size 0 0 bytes");

    let second = place.start(&config);
    assert_eq!(second.status.code(), Some(69));
    let already = format!("irc.example.org: This transport already runs as process {}, says ", transport.pid);
    assert!(text(&second.stderr).contains(&already), "{}", text(&second.stderr));

    transport.stop();
    assert!(!place.path("run/irc.pid").exists());
    assert!(server.heard.join().unwrap().concat().ends_with("</stream:stream>"));
}

#[test]
fn one_process_serves_all_vhosts_of_a_file() {
    let place = Place::new();
    let server = Server::for_components(2);
    let config = place.transport(server.port, "[vhosts]\nvhost=irc.example.net");
    let (config, directory) = (config.to_str().unwrap(), place.directory.display());
    let pid_file = format!("--service.pidfile={directory}/run/$jid.pid");
    let database = format!("--database.database={directory}/lib/$jid.sql");
    let output = place.spectrum2(&[&pid_file, &database, config]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let transport = Background::of(place.path("run/irc.example.org.pid"));
    assert_eq!(transport.pid, Background::of(place.path("run/irc.example.net.pid")).pid);
    for jid in ["irc.example.org", "irc.example.net"] {
        assert!(place.path(&format!("lib/{jid}.sql")).exists());
    }

    // Nobody else serves one of them.
    let again = place.spectrum2(&["-n", "-j", "irc.example.net", &pid_file, &database, config]);
    assert_eq!(again.status.code(), Some(69), "{}", text(&again.stderr));

    transport.stop();
    let heard = server.heard.join().unwrap();
    for jid in ["irc.example.org", "irc.example.net"] {
        let stream = heard.iter().find(|stream| stream.contains(&format!("to='{jid}'"))).unwrap();
        assert!(stream.ends_with("</stream:stream>"), "{stream}");
        assert!(!place.path(&format!("run/{jid}.pid")).exists());
    }
}

#[test]
fn without_systemd_metrics_are_at_the_socket_that_the_file_names() {
    let place = Place::new();
    let server = Server::start();
    let socket = place.path("metrics.sock");
    let option = format!("[metrics]\nsocket={}", socket.display());
    let output = place.start(&place.transport(server.port, &option));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let transport = Background::of(place.path("run/irc.pid"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);

    let mut connection = UnixStream::connect(&socket).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("spectrum2_xmpp_up{transport=\"irc.example.org\"} 1\n"), "{answer}");
    assert!(answer.ends_with("\n# EOF\n"), "{answer}");

    transport.stop();
    assert!(!socket.exists());
}

#[test]
fn a_transport_with_vhosts_can_be_served_alone() {
    let place = Place::new();
    let server = Server::start();
    let config = place.transport(server.port, "[vhosts]\nvhost=irc.example.net");
    let pid_file = format!("--service.pidfile={}/run/$jid.pid", place.directory.display());
    let output = place.spectrum2(&["-j", "irc.example.net", &pid_file, config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    Background::of(place.path("run/irc.example.net.pid")).stop();
    assert!(!place.path("run/irc.example.org.pid").exists());
    let heard = server.heard.join().unwrap();
    assert!(heard.len() == 1 && heard[0].contains("to='irc.example.net'"), "{heard:?}");
}

#[test]
fn a_vhost_whose_database_is_broken_is_left_out_until_it_is_mended() {
    let place = Place::new();
    let server = Server::for_components(2);
    let config = place.transport(server.port, "[vhosts]\nvhost=irc.example.net");
    fs::create_dir_all(place.path("lib/irc.example.net.sql")).unwrap();
    let database = format!("--database.database={}/lib/$jid.sql", place.directory.display());
    let output = place.spectrum2(&[&database, config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    place.until_log_says("irc.example.net is tried again; the other transports of this file go on.");
    place.until_log_says("The database ");

    let transport = Background::of(place.path("run/irc.pid"));
    fs::remove_dir(place.path("lib/irc.example.net.sql")).unwrap();
    kill(transport.pid, Signal::SIGHUP).unwrap();
    place.until_log_says("irc.example.net is served now.");
    place.until_log_says(" as irc.example.net.");
    transport.stop();
    let heard = server.heard.join().unwrap();
    assert!(
        heard[0].contains("to='irc.example.org'") && heard[1].contains("to='irc.example.net'"),
        "{heard:?}"
    );
}

#[test]
fn a_vhost_whose_secret_is_missing_is_served_when_it_is_there() {
    let place = Place::new();
    let server = Server::for_components(2);
    let more =
        format!("password_file={}/$jid.secret\n[vhosts]\nvhost=irc.example.net", place.directory.display());
    let config = place.transport(server.port, &more);
    let options = [
        ("database.database", "lib/$jid.sql"),
        ("service.pidfile", "run/$jid.pid"),
        ("service.working_dir", "lib/$jid"),
    ];
    let options = options.map(|(name, path)| format!("--{name}={}/{path}", place.directory.display()));
    let secret = |jid: &str| {
        let file = place.path(&format!("{jid}.secret"));
        fs::write(&file, "m0ntague").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("irc.example.org");
    let output = place.spectrum2(&[&options[0], &options[1], &options[2], config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    place.until_log_says("irc.example.net.secret cannot be read");

    secret("irc.example.net");
    // It is tried again without being asked.
    place.until_log_says(" as irc.example.net.");
    let transport = Background::of(place.path("run/irc.example.net.pid"));
    transport.stop();
    assert!(!place.path("run/irc.example.org.pid").exists());
    assert_eq!(server.heard.join().unwrap().len(), 2);
}

#[test]
fn a_credential_that_cannot_be_read_is_named() {
    let place = Place::new();
    let credentials = place.path("credentials");
    fs::create_dir_all(credentials.join("database-password")).unwrap();
    let file = place.transport(5347, "");
    let started = Command::new(place.path("spectrum2"))
        .arg("-n")
        .arg(file)
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .env_remove("NOTIFY_SOCKET")
        .output()
        .unwrap();
    assert_eq!(started.status.code(), Some(78));
    let told = text(&started.stderr);
    let cause = "database.password: The systemd credential database-password cannot be read: Is a directory";
    assert!(told.contains(cause), "{told}");
}

#[test]
fn after_a_crash_it_starts_again() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.path("run/irc.pid"), "1\n").unwrap();
    let server = Server::start();
    let output = place.start(&place.transport(server.port, ""));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    Background::of(place.path("run/irc.pid")).stop();
}

#[test]
fn in_the_background_a_failure_is_told_by_the_command() {
    let place = Place::new();
    let config = place.transport(5347, "");
    fs::create_dir_all(place.path("lib/database.sql")).unwrap();
    let output = place.start(&config);
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("The transport did not start: The database "), "{said}");
    assert!(!place.path("run/irc.pid").exists());
}

#[test]
fn root_is_given_up() {
    // Only root has something to give up.
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let server = Server::start();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let config = place.transport(server.port, "user=nobody");
    chown(&config, Some(nobody.uid.as_raw()), None).unwrap();
    let output = place.start(&config);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let transport = Background::of(place.path("run/irc.pid"));
    let (uid, gid) = (nobody.uid, nobody.gid);
    assert_eq!(transport.says("status", "Uid:"), format!("Uid: {uid} {uid} {uid} {uid}"));
    assert_eq!(transport.says("status", "Gid:"), format!("Gid: {gid} {gid} {gid} {gid}"));
    assert_eq!(transport.says("status", "CapEff:"), "CapEff: 0000000000000000");
    assert_eq!(fs::metadata(place.path("lib")).unwrap().uid(), uid.as_raw());
    transport.stop();
    assert!(!place.path("run/irc.pid").exists());
}

#[test]
fn log_files_of_spectrum_2_belong_to_whom_the_transport_becomes() {
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let server = Server::start();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let properties = |name: &str, file: &str| {
        let text = format!(
            "log4j.rootLogger=INFO, R\nlog4j.appender.R=org.apache.log4j.RollingFileAppender\n\
             log4j.appender.R.File={}/{file}\n",
            place.path("log.d/${jid}").display()
        );
        fs::write(place.path(name), text).unwrap();
        place.path(name)
    };
    let more = format!(
        "user=nobody\ngroup=daemon\n[logging]\nconfig={}\nbackend_config={}",
        properties("logging.cfg", "spectrum2.log").display(),
        properties("backend-logging.cfg", "backends/backend-${id}.log").display()
    );
    let output = place.start(&place.transport(server.port, &more));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let transport = Background::of(place.path("run/irc.pid"));

    let log = place.path("log.d/irc.example.org/spectrum2.log");
    let said = fs::read_to_string(&log).unwrap();
    // What was said before the file could be opened, and after.
    assert!(said.contains(" INFO  Spectrum: Spectrum 2 "), "{said}");
    assert!(said.contains(" INFO  Component: Connected to "), "{said}");
    for (path, mode) in [
        ("log.d", 0o750),
        ("log.d/irc.example.org", 0o750),
        ("log.d/irc.example.org/backends", 0o750),
        ("log.d/irc.example.org/spectrum2.log", 0o640),
        ("run", 0o750),
        ("lib", 0o750),
    ] {
        let data = fs::metadata(place.path(path)).unwrap();
        assert_eq!((data.uid(), data.permissions().mode() & 0o7777), (nobody.uid.as_raw(), mode), "{path}");
    }
    transport.stop();
}

#[test]
fn a_database_of_somebody_else_is_not_permitted() {
    // Root may open everything.
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let config = place.transport(5347, "user=nobody");
    let nobody = User::from_name("nobody").unwrap().unwrap();
    fs::create_dir(place.path("lib")).unwrap();
    chown(place.path("lib"), Some(nobody.uid.as_raw()), None).unwrap();
    fs::write(place.path("lib/database.sql"), "").unwrap();
    fs::set_permissions(place.path("lib/database.sql"), fs::Permissions::from_mode(0o600)).unwrap();
    let output = place.spectrum2(&["-n", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(77));
    let why = format!(
        "database.sql (of uid 0, mode 600) cannot be opened: permission denied for uid {}.",
        nobody.uid
    );
    assert!(text(&output.stderr).contains(&why), "{}", text(&output.stderr));
}

#[test]
fn a_secret_that_everybody_can_read_is_refused_with_the_command_that_mends_it() {
    let place = Place::new();
    let config = place.transport(5347, "group=daemon\nuser=nobody");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let name = config.to_str().unwrap();
    for arguments in [&["-n", name][..], &[name], &["check", name]] {
        let output = place.spectrum2(arguments);
        assert_eq!(output.status.code(), Some(77), "{arguments:?}");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let fix = format!("Run: chown root:daemon {name} && chmod 640 {name}\n");
        assert!(said.contains(&fix), "{said}");
        assert!(!said.contains("m0ntague"), "{said}");
    }
    assert!(!place.path("run/irc.pid").exists());
}

#[test]
fn only_the_groups_of_the_user_are_left() {
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let server = Server::start();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let config = place.transport(server.port, "user=nobody\ngroup=daemon");
    chown(&config, Some(nobody.uid.as_raw()), None).unwrap();
    // As somebody may start it who is in many groups.
    let output = Command::new("setpriv")
        .args(["--groups", "0,4,24,27"])
        .arg(place.path("spectrum2"))
        .arg(&config)
        .env_remove("NOTIFY_SOCKET")
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
        .stdout(File::create(place.path("stdout")).unwrap())
        .stderr(File::create(place.path("log")).unwrap())
        .status()
        .unwrap();
    assert_eq!(output.code(), Some(0), "{}", fs::read_to_string(place.path("log")).unwrap());
    let transport = Background::of(place.path("run/irc.pid"));
    let daemon = nix::unistd::Group::from_name("daemon").unwrap().unwrap().gid;
    assert_eq!(transport.says("status", "Groups:"), format!("Groups: {daemon}"));
    // Whoever has none of these and may not gain any is no root, and will not be.
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(transport.says("status", set), format!("{set} 0000000000000000"));
    }
    assert_eq!(transport.says("status", "NoNewPrivs:"), "NoNewPrivs: 1");
    let uid = nobody.uid;
    assert_eq!(transport.says("status", "Uid:"), format!("Uid: {uid} {uid} {uid} {uid}"));
    assert_eq!(transport.says("status", "Gid:"), format!("Gid: {daemon} {daemon} {daemon} {daemon}"));
    transport.stop();
}

#[test]
fn a_user_who_does_not_exist_is_named() {
    let place = Place::new();
    let output = place.spectrum2(&["-n", place.transport(5347, "user=no-such-montague").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("service.user=no-such-montague does not exist"));
}

#[test]
fn backends_get_a_file_without_secrets() {
    let place = Place::new();
    let config = place.transport(5347, "");
    let copy = place.path("copy.cfg");
    let output =
        place.spectrum2(&["backend-config", config.to_str().unwrap(), "--output", copy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let copy = fs::read_to_string(copy).unwrap();
    assert!(copy.contains("protocol=prpl-irc") && !copy.contains("m0ntague"), "{copy}");
}
