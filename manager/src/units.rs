//! The units of a transport.

use spectrum2_config::Instance;

/// All daemons.
pub const DAEMONS: &str = "spectrum2@*.service";

/// All launchers.
pub const LAUNCHERS: &str = "spectrum2-backend@*.service";

/// The unit of the daemon.
#[must_use]
pub fn daemon(instance: &Instance) -> String {
    format!("spectrum2@{instance}.service")
}

/// The unit of the launcher with its backends.
#[must_use]
pub fn launcher(instance: &Instance) -> String {
    format!("spectrum2-backend@{instance}.service")
}

/// The transport of a daemon's unit.
#[must_use]
pub fn transport_of(unit: &str) -> Option<Instance> {
    unit.strip_prefix("spectrum2@")?.strip_suffix(".service")?.parse().ok()
}
