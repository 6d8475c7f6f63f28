//! A transport on a bus of its own, under the policy that is shipped, seen by its clients.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use spectrum2_xmpp::Element;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::{IntrospectableProxy, PropertiesProxy};
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, Variant, connection};

const NAME: &str = "im.spectrum.Transport1.irc_5f1";
const PATH: &str = "/im/spectrum/Transport1";
const INTERFACE: &str = "im.spectrum.Transport1";
const PATIENCE: Duration = Duration::from_secs(20);

/// A launcher that starts nothing and ends with the daemon: users wait.
const LAUNCHER: &str = "#!/bin/sh\nexec cat >/dev/null\n";

/// What the system bus of a distribution says, and the shipped policy; polkit is played by root.
fn bus_config(socket: &Path) -> String {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/im.spectrum.Transport1.conf");
    format!(
        r#"<busconfig>
  <type>system</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy user="root"><allow own="org.freedesktop.PolicyKit1"/></policy>
  <include>{policy}</include>
</busconfig>"#,
        socket.display()
    )
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Puts a program there. By another process, because whoever is forked by another test while we have the file open to
/// write could keep it from being executed.
fn install(program: &Path, to: &Path) {
    let status = Command::new("install").args(["-m", "755"]).arg(program).arg(to).status().unwrap();
    assert!(status.success(), "{} cannot be installed", program.display());
}

/// A directory for everything, with a bus in it.
struct Place {
    directory: PathBuf,
    bus: Option<Process>,
}

impl Place {
    fn without_bus() -> Self {
        let directory = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        install(Path::new(env!("CARGO_BIN_EXE_spectrum2")), &directory.join("spectrum2"));
        fs::write(directory.join("launcher"), LAUNCHER).unwrap();
        install(&directory.join("launcher"), &directory.join("spectrum2_backend_launcher"));
        Self { directory, bus: None }
    }

    /// Only root can play all who are on the bus, and the policy knows the daemon's user only where it is installed.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let mut place = Self::without_bus();
        fs::write(place.path("bus.conf"), bus_config(&place.path("bus"))).unwrap();
        place.start_bus();
        Some(place)
    }

    fn start_bus(&mut self) {
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", self.path("bus.conf").display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(File::create(self.path("bus.log")).unwrap())
            .spawn()
            .unwrap();
        // It says its address once it listens.
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        self.bus = Some(Process(bus));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.path("bus").display())
    }

    fn write_config(&self, port: u16, more: &str) {
        let directory = self.directory.display();
        let text = format!(
            "[service]\njid=irc.example.org\npassword=m0ntague\nserver=127.0.0.1\nport={port}\nprotocol=prpl-irc\n\
             backend=/bin/true\nworking_dir={directory}/lib\npidfile={directory}/irc.pid\n{more}\n\
             [database]\ntype=sqlite3\ndatabase={directory}/lib/database.sql\n"
        );
        fs::write(self.path("irc_1.cfg"), text).unwrap();
        fs::set_permissions(self.path("irc_1.cfg"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn start(&self) -> Process {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(self.path("spectrum2"))
            .arg("-n")
            .arg(self.path("irc_1.cfg"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("SPECTRUM2_LOG")
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Process(child.unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    async fn client(&self) -> Connection {
        connection::Builder::address(self.address().as_str()).build().await.unwrap()
    }

    /// Another client, as root or as somebody who is nobody. The bus is asked on a thread of its own, so that those who
    /// are played here can answer.
    async fn busctl(&self, nobody: bool, arguments: &[&str]) -> Output {
        let mut command = match nobody {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "busctl"]);
                command
            }
            false => Command::new("busctl"),
        };
        command.arg(format!("--address={}", self.address())).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Nobody calls a method, and is told this.
    async fn nobody_calls(&self, arguments: &[&str]) -> String {
        let call = [&["call", NAME, PATH, INTERFACE][..], arguments].concat();
        let output = self.busctl(true, &call).await;
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The XMPP server, which has accepted the component.
struct Server {
    listener: TcpListener,
    stream: TcpStream,
    heard: String,
}

impl Server {
    async fn read_until(&mut self, end: &str) {
        let mut buffer = [0; 4096];
        while !self.heard.contains(end) {
            let length = timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap().unwrap();
            assert!(length > 0, "the component left after {}", self.heard);
            self.heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        self.heard.clear();
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn accept(listener: TcpListener) -> Self {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut server = Self { listener, stream, heard: String::new() };
        // XEP-0114 §3.
        server.read_until("jabber:component:accept").await;
        server
            .send(
                "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
                 xmlns='jabber:component:accept' from='irc.example.org' id='3BF96D32'>",
            )
            .await;
        server.read_until("</handshake>").await;
        server.send("<handshake/>").await;
        server
    }
}

/// A running transport, and root as a client.
struct World {
    place: Place,
    daemon: Process,
    server: Server,
    root: Connection,
}

impl World {
    async fn new() -> Option<Self> {
        let place = Place::new()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        place.write_config(listener.local_addr().unwrap().port(), "");
        let root = place.client().await;
        let mut names =
            zbus::fdo::DBusProxy::new(&root).await.unwrap().receive_name_owner_changed().await.unwrap();
        let daemon = place.start();
        let server = Server::accept(listener).await;
        let wanted = async {
            while let Some(change) = names.next().await {
                if change.args().unwrap().name() == NAME {
                    return;
                }
            }
        };
        timeout(PATIENCE, wanted).await.unwrap();
        Some(Self { place, daemon, server, root })
    }

    async fn call<B>(&self, member: &str, body: &B) -> Result<zbus::Message, (String, String)>
    where
        B: serde::ser::Serialize + zbus::DynamicType,
    {
        let called = self.root.call_method(Some(NAME), PATH, Some(INTERFACE), member, body);
        timeout(PATIENCE, called).await.unwrap().map_err(|error| match error {
            zbus::Error::MethodError(name, text, _) => (name.to_string(), text.unwrap_or_default()),
            other => panic!("{member}: {other}"),
        })
    }

    async fn properties(&self) -> HashMap<String, OwnedVariant> {
        let proxy = PropertiesProxy::new(&self.root, NAME, PATH).await.unwrap();
        proxy.get_all(INTERFACE.try_into().unwrap()).await.unwrap()
    }

    async fn property(&self, name: &str) -> String {
        let all = self.properties().await;
        <&str>::try_from(&all[name]).unwrap().to_owned()
    }

    async fn signals(&self, interface: &'static str, member: &'static str) -> MessageStream {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface(interface)
            .member(member)
            .path(PATH)
            .build()
            .unwrap();
        MessageStream::for_match_rule(rule, &self.root, None).await.unwrap()
    }
}

async fn next(signals: &mut MessageStream) -> zbus::Message {
    timeout(PATIENCE, signals.next()).await.unwrap().unwrap().unwrap()
}

/// Waits until the properties that changed include this one with this value.
async fn wait_for(changes: &mut MessageStream, property: &str, value: &str) {
    loop {
        let message = next(changes).await;
        let body = message.body();
        let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) =
            body.deserialize().unwrap();
        if changed.get(property).is_some_and(|new| <&str>::try_from(new).is_ok_and(|new| new == value)) {
            return;
        }
    }
}

#[tokio::test]
async fn properties_are_true_and_tell_when_they_change() {
    let Some(mut world) = World::new().await else { return };
    let mut changes = world.signals("org.freedesktop.DBus.Properties", "PropertiesChanged").await;
    if world.property("XmppState").await != "connected" {
        wait_for(&mut changes, "XmppState", "connected").await;
    }
    assert_eq!(world.property("Name").await, "irc_1");
    assert_eq!(world.property("Jid").await, "irc.example.org");
    assert_eq!(world.property("Protocol").await, "prpl-irc");
    assert_eq!(world.property("Mode").await, "gateway");
    assert_eq!(world.property("Version").await, env!("CARGO_PKG_VERSION"));
    assert!(world.property("ConfigFile").await.ends_with("/irc_1.cfg"));
    assert!(world.property("Status").await.starts_with("connected to 127.0.0.1:"));
    assert_eq!(world.property("XmppError").await, "");
    let before = u64::try_from(&world.properties().await["XmppSince"]).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(now.as_micros() - u128::from(before) < PATIENCE.as_micros());

    world.server.send("</stream:stream>").await;
    world.server.stream.shutdown().await.unwrap();
    // Nobody answers there any more.
    world.server.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    wait_for(&mut changes, "XmppState", "waiting").await;
    let all = world.properties().await;
    assert_ne!(<&str>::try_from(&all["XmppError"]).unwrap(), "");
    assert_eq!(all["LastError"], all["XmppError"]);
    assert!(u64::try_from(&all["XmppSince"]).unwrap() > before);
}

#[tokio::test]
async fn users_are_managed_over_the_bus() {
    let Some(mut world) = World::new().await else { return };
    let mut states = world.signals(INTERFACE, "UserStateChanged").await;
    let options = HashMap::from([("Language", Variant::from("it"))]);
    let registration = ("romeo@example.org", "romeo", "wherefore", options);
    world.call("RegisterUser", &registration).await.unwrap();
    let refused = world.call("RegisterUser", &registration).await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.UserExists");
    let odd = HashMap::from([("Colour", Variant::from("red"))]);
    let refused = world.call("RegisterUser", &("nurse@example.org", "nurse", "x", odd)).await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.InvalidArguments");

    world.server.send("<presence from='romeo@example.org/orchard' to='irc.example.org'/>").await;
    let message = next(&mut states).await;
    let change: (String, String, String) = message.body().deserialize().unwrap();
    assert_eq!(change, ("romeo@example.org".into(), "waiting".into(), String::new()));

    type Row = (String, String, String, String, u64, u64);
    let reply = world.call("ListUsers", &1_u64).await.unwrap();
    let users: Vec<Row> = reply.body().deserialize().unwrap();
    assert_eq!((users.len(), users[0].0.as_str(), users[0].2.as_str()), (1, "romeo@example.org", "waiting"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(now.as_micros().abs_diff(u128::from(users[0].4)) < PATIENCE.as_micros());
    let refused = world.call("ListUsers", &2_u64).await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.InvalidArguments");

    let reply = world.call("GetUser", &"romeo@example.org").await.unwrap();
    let user: HashMap<String, OwnedVariant> = reply.body().deserialize().unwrap();
    assert_eq!(<&str>::try_from(&user["LegacyName"]).unwrap(), "romeo");
    assert_eq!(<&str>::try_from(&user["Language"]).unwrap(), "it");
    let refused = world.call("GetUser", &"tybalt@example.org").await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.NoSuchUser");
    let refused = world.call("GetUser", &"romeo@example.org/orchard").await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.InvalidArguments");

    let reply = world.call("ExportUser", &"romeo@example.org").await.unwrap();
    let json: String = reply.body().deserialize().unwrap();
    let export: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(export["legacy_name"], "romeo");
    assert!(!json.contains("wherefore"));

    let reply = world.call("Command", &"status").await.unwrap();
    let text: String = reply.body().deserialize().unwrap();
    assert!(text.starts_with("Running (0 users connected using "), "{text}");

    world.call("LogoutUser", &"romeo@example.org").await.unwrap();
    let message = next(&mut states).await;
    let change: (String, String, String) = message.body().deserialize().unwrap();
    assert_eq!(change.1, "offline");
    world.call("UnregisterUser", &"romeo@example.org").await.unwrap();
    let refused = world.call("UnregisterUser", &"romeo@example.org").await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.NoSuchUser");
    assert!(!world.place.log().contains("wherefore"), "a password in the log");
}

/// Methods, signals and properties with their types, one a line.
fn members(xml: &str) -> BTreeSet<String> {
    let start = xml.find("<interface name=\"im.spectrum.Transport1\">").unwrap();
    let end = start + xml[start..].find("</interface>").unwrap() + "</interface>".len();
    let mut text = xml[start..end].to_owned();
    while let Some(comment) = text.find("<!--") {
        let end = comment + text[comment..].find("-->").unwrap() + 3;
        text.replace_range(comment..end, "");
    }
    let interface = Element::parse(&text).unwrap();
    let describe = |member: &Element| {
        let attribute = |element: &Element, name: &str| element.attr(name).unwrap_or_default().to_owned();
        let mut line = [member.name(), member.attr("name").unwrap()].join(" ");
        for name in ["type", "access"] {
            line += &format!(" {}", attribute(member, name));
        }
        for child in member.elements() {
            for name in ["name", "type", "direction", "value"] {
                line += &format!(" {}", attribute(child, name));
            }
        }
        line
    };
    interface.elements().map(describe).collect()
}

#[tokio::test]
async fn the_interface_is_the_one_that_is_shipped() {
    let Some(world) = World::new().await else { return };
    let proxy = IntrospectableProxy::builder(&world.root).destination(NAME).path(PATH).build().await.unwrap();
    let xml = proxy.introspect().await.unwrap();
    let shipped = include_str!("../../systemd/im.spectrum.Transport1.xml");
    let (real, shipped) = (members(&xml), members(shipped));
    assert_eq!(real.difference(&shipped).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the file");
    assert_eq!(shipped.difference(&real).collect::<Vec<_>>(), Vec::<&String>::new(), "only in the file");
    let policy = include_str!("../../systemd/im.spectrum.Transport1.conf");
    for method in real.iter().filter_map(|line| line.strip_prefix("method ")) {
        let name = method.split(' ').next().unwrap();
        assert!(policy.contains(&format!("send_member=\"{name}\"")), "{name} is in no policy");
    }
}

/// What polkit is asked, and what it answers.
#[derive(Clone, Default)]
struct Polkit {
    asked: Arc<Mutex<Vec<(String, u32)>>>,
    allowed: &'static [&'static str],
}

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    #[expect(clippy::needless_pass_by_value, reason = "the interface macro gives values")]
    #[zbus(out_args("result"))]
    fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action_id: String,
        _details: HashMap<String, String>,
        flags: u32,
        _cancellation_id: String,
    ) -> ((bool, bool, HashMap<String, String>),) {
        assert_eq!(subject.0, "system-bus-name");
        assert!(<&str>::try_from(&subject.1["name"]).unwrap().starts_with(':'));
        let allowed = self.allowed.contains(&action_id.as_str());
        self.asked.lock().unwrap().push((action_id, flags));
        ((allowed, !allowed && flags == 0, HashMap::new()),)
    }
}

#[tokio::test]
async fn nobody_may_read_what_is_harmless_and_nothing_else() {
    let Some(world) = World::new().await else { return };
    let place = &world.place;
    let read = place.busctl(true, &["get-property", NAME, PATH, INTERFACE, "Jid"]).await;
    assert_eq!(String::from_utf8(read.stdout).unwrap(), "s \"irc.example.org\"\n");
    assert!(place.busctl(true, &["introspect", NAME, PATH]).await.status.success());
    for call in [
        &["ListUsers", "t", "0"][..],
        &["GetUser", "s", "romeo@example.org"],
        &["RegisterUser", "sssa{sv}", "romeo@example.org", "romeo", "x", "0"],
        &["EraseUser", "s", "romeo@example.org"],
        &["ListBackends"],
        &["Reload"],
        &["Command", "s", "status"],
        &["SetLogLevel", "sssu", "", "", "debug", "60"],
    ] {
        let told = place.nobody_calls(call).await;
        assert!(told.contains("Without polkit only root"), "{call:?}: {told}");
    }
    let denied = place
        .busctl(
            true,
            &[
                "call",
                NAME,
                PATH,
                "org.freedesktop.DBus.Properties",
                "Set",
                "ssv",
                INTERFACE,
                "Jid",
                "s",
                "x",
            ],
        )
        .await;
    assert!(String::from_utf8(denied.stderr).unwrap().contains("Access denied"));
    let root = place.busctl(false, &["call", NAME, PATH, INTERFACE, "ListUsers", "t", "0"]).await;
    assert_eq!(String::from_utf8(root.stdout).unwrap(), "a(sssstt) 0\n");
    let squat = place
        .busctl(
            true,
            &[
                "call",
                "org.freedesktop.DBus",
                "/",
                "org.freedesktop.DBus",
                "RequestName",
                "su",
                "im.spectrum.Transport1.xmpp",
                "0",
            ],
        )
        .await;
    assert!(!squat.status.success(), "nobody is a transport");
}

#[tokio::test]
async fn polkit_decides_about_others() {
    let Some(world) = World::new().await else { return };
    let polkit = Polkit { allowed: &["im.spectrum.transport1.inspect"], ..Polkit::default() };
    let asked = Arc::clone(&polkit.asked);
    let _authority = connection::Builder::address(world.place.address().as_str())
        .serve_at("/org/freedesktop/PolicyKit1/Authority", polkit)
        .name("org.freedesktop.PolicyKit1")
        .build()
        .await
        .unwrap();
    let place = &world.place;
    assert_eq!(place.nobody_calls(&["ListUsers", "t", "0"]).await, "a(sssstt) 0\n");
    assert!(place.nobody_calls(&["Command", "s", "status"]).await.starts_with("s \"Running"));
    for (call, action) in [
        (&["UnregisterUser", "s", "romeo@example.org"][..], "im.spectrum.transport1.manage-users"),
        (&["Command", "s", "unregister romeo@example.org"], "im.spectrum.transport1.manage-users"),
        (&["Reload"], "im.spectrum.transport1.manage-transport"),
        (&["Command", "s", " reload"], "im.spectrum.transport1.manage-transport"),
    ] {
        let told = place.nobody_calls(call).await;
        assert!(told.contains(action), "{call:?}: {told}");
    }
    let flags: BTreeSet<u32> = asked.lock().unwrap().iter().map(|(_, flags)| *flags).collect();
    assert_eq!(flags, BTreeSet::from([1]), "busctl lets polkit ask the user");
    asked.lock().unwrap().clear();
    let silent = place
        .busctl(true, &["--allow-interactive-authorization=no", "call", NAME, PATH, INTERFACE, "Reload"])
        .await;
    assert!(String::from_utf8(silent.stderr).unwrap().contains("authenticate, or do it as root"));
    assert_eq!(*asked.lock().unwrap(), [("im.spectrum.transport1.manage-transport".to_owned(), 0)]);
    asked.lock().unwrap().clear();
    world.call("ListUsers", &0_u64).await.unwrap();
    assert!(asked.lock().unwrap().is_empty(), "root needs no polkit");
}

#[tokio::test]
async fn a_reload_names_what_waits_and_a_broken_file_changes_nothing() {
    let Some(world) = World::new().await else { return };
    let port = world.server.listener.local_addr().unwrap().port();
    world.place.write_config(port, "log_level=debug\nmax_stanza_size=20000");
    let reply = world.call("Reload", &()).await.unwrap();
    let waiting: Vec<String> = reply.body().deserialize().unwrap();
    // The daemon has the level now; the backends have not.
    assert_eq!(waiting, ["service.max_stanza_size", "service.log_level"]);
    world.place.write_config(port, "users_per_backend=several");
    let refused = world.call("Reload", &()).await.unwrap_err();
    assert_eq!(refused.0, "im.spectrum.Transport1.Error.Failed");
    assert!(refused.1.contains("irc_1.cfg:10: service.users_per_backend"), "{}", refused.1);
    assert!(world.place.log().contains("stays as it was"));
}

#[tokio::test]
async fn what_is_logged_can_be_raised_for_a_while() {
    let Some(world) = World::new().await else { return };
    for (arguments, good) in [
        (("core", "romeo@example.org", "debug", 1_u32), true),
        (("", "", "trace", 60), true),
        (("kitchen", "", "debug", 60), false),
        (("core", "", "loud", 60), false),
        (("core", "", "debug", 0), false),
        (("core", "", "debug", 90_000), false),
    ] {
        let called = world.call("SetLogLevel", &arguments).await;
        match called {
            Ok(_) => assert!(good, "{arguments:?}"),
            Err((name, text)) => {
                assert!(!good && name.ends_with(".InvalidArguments"), "{arguments:?}: {name} {text}");
            }
        }
    }
}

/// Stops the transport, and says how long it took.
fn stop(mut daemon: Process) -> Duration {
    let asked = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.0.wait().unwrap().code(), Some(0));
    asked.elapsed()
}

#[tokio::test]
async fn a_bus_that_hangs_holds_nothing_up() {
    let Some(mut world) = World::new().await else { return };
    let bus = world.place.bus.as_ref().unwrap();
    bus.signal(Signal::SIGSTOP);
    for _ in 0..3 {
        world.server.send("<iq type='get' from='a@example.org/b' to='irc.example.org' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        world.server.read_until("type='result'").await;
    }
    assert!(stop(world.daemon) < Duration::from_secs(3));
    bus.signal(Signal::SIGCONT);
}

#[tokio::test]
async fn a_bus_that_comes_back_finds_the_transport_again() {
    let Some(mut world) = World::new().await else { return };
    world.place.bus = None;
    world.place.start_bus();
    let root = world.place.client().await;
    let mut names =
        zbus::fdo::DBusProxy::new(&root).await.unwrap().receive_name_owner_changed().await.unwrap();
    let back = async { while names.next().await.unwrap().args().unwrap().name() != NAME {} };
    timeout(PATIENCE, back).await.unwrap();
    world.root = root;
    assert_eq!(world.property("Name").await, "irc_1");
    assert!(world.place.log().contains("The bus is gone"));
}

#[tokio::test]
async fn without_a_bus_the_transport_works_as_well() {
    let place = Place::without_bus();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    place.write_config(listener.local_addr().unwrap().port(), "");
    let daemon = place.start();
    let mut server = Server::accept(listener).await;
    server.send("<iq type='get' from='a@example.org/b' to='irc.example.org' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    server.read_until("type='result'").await;
    stop(daemon);
    let log = place.log();
    assert_eq!(log.matches("Not on the bus as im.spectrum.Transport1.irc_5f1").count(), 1, "{log}");
}
