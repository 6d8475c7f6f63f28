//! A systemd that does what it is told to, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectServer, OwnedObjectPath, fdo, interface};

use super::bus::Bus;

/// What a start of a unit leads to.
#[derive(Clone, Debug, Default)]
pub enum Start {
    #[default]
    Succeeds,
    Fails {
        status: i32,
        text: &'static str,
    },
    NeverEnds {
        text: &'static str,
    },
}

#[derive(Clone, Debug)]
pub struct Unit {
    pub active: &'static str,
    pub sub: &'static str,
    pub result: &'static str,
    pub main_status: i32,
    pub status_text: String,
    pub memory: u64,
    pub needs_reload: bool,
    pub start: Start,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            active: "inactive",
            sub: "dead",
            result: "success",
            main_status: 0,
            status_text: String::new(),
            memory: u64::MAX,
            needs_reload: false,
            start: Start::Succeeds,
        }
    }
}

impl Unit {
    pub fn active() -> Self {
        Self { active: "active", sub: "running", memory: 20 << 20, ..Self::default() }
    }
}

#[derive(Default)]
struct State {
    units: HashMap<String, Unit>,
    orders: Vec<String>,
    jobs: u32,
    paths: Vec<String>,
}

type Shared = Arc<Mutex<State>>;

pub struct Systemd {
    state: Shared,
    _connection: Connection,
}

impl Systemd {
    pub async fn start(bus: &Bus) -> Self {
        let state = Shared::default();
        let connection = bus.connect().await;
        connection.object_server().at("/org/freedesktop/systemd1", Manager(state.clone())).await.unwrap();
        connection.request_name("org.freedesktop.systemd1").await.unwrap();
        Self { state, _connection: connection }
    }

    pub fn set(&self, name: &str, unit: Unit) {
        self.state.lock().unwrap().units.insert(name.to_owned(), unit);
    }

    /// What it was asked to do so far.
    pub fn orders(&self) -> Vec<String> {
        self.state.lock().unwrap().orders.clone()
    }
}

struct Manager(Shared);

impl Manager {
    /// Notes a job and ends it, unless it never ends.
    async fn job(&self, verb: &str, name: &str, emitter: SignalEmitter<'_>) -> OwnedObjectPath {
        let (id, result) = {
            let mut state = self.0.lock().unwrap();
            state.orders.push(format!("{verb} {name}"));
            state.jobs += 1;
            let id = state.jobs;
            let unit = state.units.entry(name.to_owned()).or_default();
            (id, carry_out(verb, unit))
        };
        let job = OwnedObjectPath::try_from(format!("/org/freedesktop/systemd1/job/{id}")).unwrap();
        // Those of the sockets and the launcher, which end with the daemon.
        for other in 1..=if verb == "stop" { 4 } else { 0 } {
            let path = format!("/org/freedesktop/systemd1/job/{id}{other}");
            let job = OwnedObjectPath::try_from(path).unwrap();
            Self::job_removed(&emitter, id, job, "spectrum2-backend@other.socket", "done").await.unwrap();
        }
        if let Some(result) = result {
            Self::job_removed(&emitter, id, job.clone(), name, result).await.unwrap();
        }
        job
    }
}

fn carry_out(verb: &str, unit: &mut Unit) -> Option<&'static str> {
    match (verb, unit.start.clone()) {
        ("stop", _) => {
            *unit = Unit { start: unit.start.clone(), ..Unit::default() };
            Some("done")
        }
        (_, Start::Succeeds) => {
            *unit = Unit::active();
            Some("done")
        }
        (_, Start::Fails { status, text }) => {
            unit.active = "failed";
            unit.result = "exit-code";
            unit.main_status = status;
            unit.status_text = text.to_owned();
            Some("failed")
        }
        (_, Start::NeverEnds { text }) => {
            unit.active = "activating";
            unit.sub = "start";
            unit.status_text = text.to_owned();
            None
        }
    }
}

type ListedUnit =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn start_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        self.job("start", name, emitter).await
    }

    async fn stop_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        self.job("stop", name, emitter).await
    }

    async fn restart_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        self.job("restart", name, emitter).await
    }

    async fn reload_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        self.job("reload", name, emitter).await
    }

    fn reset_failed_unit(&self, name: &str) -> fdo::Result<()> {
        Err(fdo::Error::Failed(format!("Unit {name} not loaded.")))
    }

    fn enable_unit_files(
        &self,
        files: Vec<String>,
        _runtime: bool,
        _force: bool,
    ) -> (bool, Vec<(String, String, String)>) {
        self.0.lock().unwrap().orders.push(format!("enable {}", files.join(" ")));
        (true, Vec::new())
    }

    fn disable_unit_files(&self, files: Vec<String>, _runtime: bool) -> Vec<(String, String, String)> {
        self.0.lock().unwrap().orders.push(format!("disable {}", files.join(" ")));
        Vec::new()
    }

    fn reload(&self) {
        self.0.lock().unwrap().orders.push("daemon-reload".to_owned());
    }

    fn subscribe(&self) {}

    async fn load_unit(
        &self,
        name: &str,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> fdo::Result<OwnedObjectPath> {
        let index = {
            let mut state = self.0.lock().unwrap();
            state.paths.push(name.to_owned());
            state.paths.len()
        };
        let path = format!("/org/freedesktop/systemd1/unit/u{index}");
        server.at(path.as_str(), UnitObject(self.0.clone(), name.to_owned())).await?;
        server.at(path.as_str(), ServiceObject(self.0.clone(), name.to_owned())).await?;
        Ok(OwnedObjectPath::try_from(path).unwrap())
    }

    fn list_units_by_patterns(&self, states: Vec<String>, patterns: Vec<String>) -> Vec<ListedUnit> {
        let (head, tail) = patterns[0].split_once('*').unwrap();
        let state = self.0.lock().unwrap();
        let root = OwnedObjectPath::try_from("/").unwrap();
        let row = |(name, unit): (&String, &Unit)| {
            let text = String::new;
            (
                name.clone(),
                text(),
                "loaded".to_owned(),
                unit.active.to_owned(),
                unit.sub.to_owned(),
                text(),
                root.clone(),
                0,
                text(),
                root.clone(),
            )
        };
        let matches = |(name, unit): &(&String, &Unit)| {
            name.starts_with(head) && name.ends_with(tail) && states.iter().any(|state| state == unit.active)
        };
        state.units.iter().filter(matches).map(row).collect()
    }

    fn get_unit_processes(&self, _name: &str) -> Vec<(String, u32, String)> {
        vec![(String::new(), std::process::id(), String::new())]
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

fn look(state: &Shared, name: &str) -> Unit {
    state.lock().unwrap().units.get(name).cloned().unwrap_or_default()
}

struct UnitObject(Shared, String);

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitObject {
    #[zbus(property)]
    fn load_state(&self) -> &str {
        "loaded"
    }
    #[zbus(property)]
    fn active_state(&self) -> &str {
        look(&self.0, &self.1).active
    }
    #[zbus(property)]
    fn sub_state(&self) -> &str {
        look(&self.0, &self.1).sub
    }
    #[zbus(property)]
    fn unit_file_state(&self) -> &str {
        "enabled"
    }
    #[zbus(property)]
    fn need_daemon_reload(&self) -> bool {
        look(&self.0, &self.1).needs_reload
    }
    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        vec![0xab; 16]
    }
}

struct ServiceObject(Shared, String);

#[interface(name = "org.freedesktop.systemd1.Service")]
impl ServiceObject {
    #[zbus(property)]
    fn result(&self) -> &str {
        look(&self.0, &self.1).result
    }
    #[zbus(property)]
    fn status_text(&self) -> String {
        look(&self.0, &self.1).status_text
    }
    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        look(&self.0, &self.1).main_status
    }
    #[zbus(property)]
    fn memory_current(&self) -> u64 {
        look(&self.0, &self.1).memory
    }
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        4711
    }
}
