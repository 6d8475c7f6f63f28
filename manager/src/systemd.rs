//! `org.freedesktop.systemd1`, as far as transports need it.
//!
//! Guarantees that a job is over when [`Systemd::run`] says so: its result is awaited, not its acceptance.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::{Pin, pin};

use futures_core::Stream;
use tokio::time::{Duration, Instant, interval, timeout_at};
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;

use zbus::{Connection, OwnedObjectPath, OwnedVariant, proxy};

use crate::bus;
use crate::outcome::Failure;
use crate::usage::Usage;

/// A row of `ListUnitsByPatterns`.
type ListedUnit =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    #[zbus(allow_interactive_auth)]
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[zbus(allow_interactive_auth)]
    fn enable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
        force: bool,
    ) -> zbus::Result<(bool, Vec<(String, String, String)>)>;
    #[zbus(allow_interactive_auth)]
    fn disable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
    ) -> zbus::Result<Vec<(String, String, String)>>;
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> zbus::Result<()>;
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<ListedUnit>>;
    fn get_unit_processes(&self, name: &str) -> zbus::Result<Vec<(String, u32, String)>>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// What to do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it if it runs, then start it.
    Restart,
    /// Let it read its configuration again.
    Reload,
}

/// How a job went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done.
    Done,
    /// systemd's word for what happened: `failed`, `timeout`, `canceled`, `dependency`, `assert`, …
    Result(String),
    /// We did not wait for the end.
    GoesOn,
    /// There is no job.
    Refused(Failure),
}

/// What systemd knows of a unit. Where it does not count something, `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `not-found`, `bad-setting`, …
    pub load: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    pub active: String,
    /// What the unit's type says beside that: `running`, `auto-restart`, …
    pub sub: String,
    /// `enabled`, `disabled`, `enabled-runtime`, …
    pub file_state: String,
    /// Whether a unit file or a drop-in is newer than what systemd loaded.
    pub needs_reload: bool,
    /// Drop-ins that systemd has loaded.
    pub drop_ins: Vec<PathBuf>,
    /// Why it failed: `exit-code`, `signal`, `watchdog`, `timeout`, … or `success`.
    pub result: String,
    /// The unit's own word.
    pub status_text: String,
    /// How the main process ended: 1 exited, 2 killed, 3 dumped; 0 not yet.
    pub main_code: i32,
    /// Exit status or number of the signal.
    pub main_status: i32,
    /// Process id of the main process; 0 is none.
    pub main_pid: u32,
    /// Since when it is active, in µs since 1970; 0 is never.
    pub active_since: u64,
    /// Bytes.
    pub memory: Option<u64>,
    /// Nanoseconds.
    pub cpu: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Number of this start, in hexadecimal; empty before the first.
    pub invocation: String,
}

impl Unit {
    /// Whether it runs, as far as systemd can tell.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// Whether it may have processes.
    #[must_use]
    pub fn has_processes(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// systemd on the bus.
#[derive(Clone, Debug)]
pub struct Systemd {
    connection: Connection,
    manager: ManagerProxy<'static>,
}

impl Systemd {
    /// systemd, if it has its name on this bus.
    pub async fn find(connection: &Connection) -> zbus::Result<Option<Self>> {
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        let name = "org.freedesktop.systemd1".try_into()?;
        if !bus.name_has_owner(name).await? {
            return Ok(None);
        }
        let manager = ManagerProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        Ok(Some(Self { connection: connection.clone(), manager }))
    }

    /// Names of the loaded units that match and are not inactive.
    ///
    /// # Errors
    /// systemd does not say.
    pub async fn known_units(&self, pattern: &str) -> Result<Vec<String>, Failure> {
        self.units(pattern, &["active", "reloading", "activating", "deactivating", "failed"]).await
    }

    /// Names of the units that match and run, or are on their way.
    ///
    /// # Errors
    /// systemd does not say.
    pub async fn running_units(&self, pattern: &str) -> Result<Vec<String>, Failure> {
        self.units(pattern, &["active", "reloading", "activating"]).await
    }

    async fn units(&self, pattern: &str, states: &[&str]) -> Result<Vec<String>, Failure> {
        let units = self.manager.list_units_by_patterns(states, &[pattern]).await.map_err(fail)?;
        Ok(units.into_iter().map(|unit| unit.0).collect())
    }

    /// What systemd knows of a unit.
    ///
    /// # Errors
    /// systemd does not say.
    pub async fn unit(&self, name: &str) -> Result<Unit, Failure> {
        let path = self.manager.load_unit(name).await.map_err(fail)?;
        let properties = PropertiesProxy::builder(&self.connection)
            .destination("org.freedesktop.systemd1")
            .path(path)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(fail)?;
        let mut known = HashMap::new();
        for kind in ["org.freedesktop.systemd1.Unit", "org.freedesktop.systemd1.Service"] {
            let interface = InterfaceName::try_from(kind).map_err(fail)?;
            known.extend(properties.get_all(interface).await.map_err(|error| fail(error.into()))?);
        }
        Ok(unit_of(&known))
    }

    /// What a unit uses, also where systemd does not count: then what its processes use now.
    pub async fn usage(&self, name: &str, unit: &Unit) -> Usage {
        let Unit { memory, cpu, tasks, .. } = *unit;
        let counted = Usage { memory, cpu, tasks };
        if counted.is_complete() || !unit.has_processes() {
            return counted;
        }
        let processes = self.manager.get_unit_processes(name).await.unwrap_or_default();
        counted.or(Usage::of(processes.iter().map(|(_, pid, _)| *pid)))
    }

    /// Does that with all units at once and waits until it is done, at most until `deadline`. `progress` is called once a second with
    /// the number of units that are done.
    ///
    /// # Errors
    /// systemd cannot be asked at all.
    pub async fn run(
        &self,
        verb: Verb,
        units: &[String],
        deadline: Instant,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<JobEnd>, Failure> {
        // Before the first job, or its end might be missed.
        self.manager.subscribe().await.map_err(fail)?;
        let mut removed = self.manager.receive_job_removed().await.map_err(fail)?;

        // The ends of jobs are read while others are still asked for: a stop of many units ends more jobs than the
        // connection keeps for us, and until they are read it reads no answers either.
        let mut ended: HashMap<OwnedObjectPath, JobEnd> = HashMap::new();
        let mut asking = pin!(async {
            let mut asked = Vec::with_capacity(units.len());
            for unit in units {
                asked.push(self.enqueue(verb, unit).await);
            }
            asked
        });
        let asked = loop {
            tokio::select! {
                asked = &mut asking => break asked,
                end = next_end(&mut removed) => ended.extend([end?]),
            }
        };
        let mut ends = Vec::with_capacity(units.len());
        let mut jobs = HashMap::new();
        for (index, asked) in asked.into_iter().enumerate() {
            ends.push(match asked {
                Ok(job) => ended.remove(&job).unwrap_or_else(|| {
                    jobs.insert(job, index);
                    JobEnd::GoesOn
                }),
                Err(error) => JobEnd::Refused(fail(error)),
            });
        }
        let mut tick = interval(Duration::from_secs(1));
        while !jobs.is_empty() {
            tokio::select! {
                _ = tick.tick() => progress(units.len() - jobs.len()),
                next = timeout_at(deadline, next_end(&mut removed)) => {
                    let Ok(next) = next else { break };
                    let (job, end) = next?;
                    if let Some(place) = jobs.remove(&job).and_then(|index| ends.get_mut(index)) {
                        *place = end;
                    }
                }
            }
        }
        Ok(ends)
    }

    async fn enqueue(&self, verb: Verb, unit: &str) -> zbus::Result<OwnedObjectPath> {
        const MODE: &str = "replace";
        match verb {
            Verb::Start => self.manager.start_unit(unit, MODE).await,
            Verb::Stop => self.manager.stop_unit(unit, MODE).await,
            Verb::Restart => self.manager.restart_unit(unit, MODE).await,
            Verb::Reload => self.manager.reload_unit(unit, MODE).await,
        }
    }

    /// Makes systemd forget that a unit failed, if it did: somebody may be asked for a password for it.
    pub async fn forget_failure(&self, name: &str) {
        if self.unit(name).await.is_ok_and(|unit| unit.active == "failed") {
            // It is gone, or was never there: that is what we want.
            let _ = self.manager.reset_failed_unit(name).await;
        }
    }

    /// Starts units at boot, or no longer.
    ///
    /// # Errors
    /// systemd does not do it.
    pub async fn set_enabled(&self, units: &[String], enabled: bool) -> Result<(), Failure> {
        let files: Vec<&str> = units.iter().map(String::as_str).collect();
        if enabled {
            self.manager.enable_unit_files(&files, false, false).await.map_err(fail)?;
        } else {
            self.manager.disable_unit_files(&files, false).await.map_err(fail)?;
        }
        self.reload().await
    }

    /// `systemctl daemon-reload`.
    ///
    /// # Errors
    /// systemd does not do it.
    pub async fn reload(&self) -> Result<(), Failure> {
        self.manager.reload().await.map_err(fail)
    }
}

/// The next job that is over, ours or not.
async fn next_end(removed: &mut JobRemovedStream) -> Result<(OwnedObjectPath, JobEnd), Failure> {
    let Some(signal) = poll_fn(|context| Pin::new(&mut *removed).poll_next(context)).await else {
        return Err(Failure::unavailable("The system bus has closed the connection."));
    };
    let args = signal.args().map_err(fail)?;
    let end = match args.result().as_str() {
        "done" | "skipped" => JobEnd::Done,
        other => JobEnd::Result(other.to_owned()),
    };
    Ok((args.job().clone(), end))
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn fail(error: zbus::Error) -> Failure {
    bus::failure(&error, "systemd")
}

fn unit_of(known: &HashMap<String, OwnedVariant>) -> Unit {
    let text = |name: &str| {
        known.get(name).and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default().to_owned()
    };
    let number = |name: &str| known.get(name).and_then(|value| u64::try_from(value).ok());
    let signed = |name: &str| known.get(name).and_then(|value| i32::try_from(value).ok()).unwrap_or_default();
    // What it does not count has the largest number there is.
    let counted = |name: &str| number(name).filter(|number| *number != u64::MAX);
    Unit {
        load: text("LoadState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        file_state: text("UnitFileState"),
        needs_reload: known.get("NeedDaemonReload").and_then(|value| bool::try_from(value).ok())
            == Some(true),
        drop_ins: paths(known.get("DropInPaths")),
        result: text("Result"),
        status_text: text("StatusText"),
        main_code: signed("ExecMainCode"),
        main_status: signed("ExecMainStatus"),
        main_pid: known.get("MainPID").and_then(|value| u32::try_from(value).ok()).unwrap_or_default(),
        active_since: number("ActiveEnterTimestamp").unwrap_or_default(),
        memory: counted("MemoryCurrent"),
        cpu: counted("CPUUsageNSec"),
        tasks: counted("TasksCurrent"),
        invocation: hexadecimal(known.get("InvocationID")),
    }
}

fn paths(list: Option<&OwnedVariant>) -> Vec<PathBuf> {
    let paths = list.and_then(|list| Vec::<String>::try_from(list.clone()).ok()).unwrap_or_default();
    paths.into_iter().map(PathBuf::from).collect()
}

fn hexadecimal(bytes: Option<&OwnedVariant>) -> String {
    let bytes = bytes.and_then(|bytes| Vec::<u8>::try_from(bytes.clone()).ok()).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
