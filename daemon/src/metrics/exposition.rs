//! The numbers as text: OpenMetrics 1.0, "Text Format".

use std::fmt::{Display, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Watched;
use crate::gateway::BACKEND_WORDS;
use crate::gateway::admin::State;
use crate::gateway::counters::{Fault, Histogram};
use crate::memory;
use crate::status::Snapshot;

/// What a family of numbers is.
#[derive(Clone, Copy)]
enum Kind {
    Info,
    Gauge,
    Counter,
    Histogram,
}

/// All numbers of this process, which was started then.
#[must_use]
pub fn exposition(transports: &[Watched], started: SystemTime) -> String {
    let mut text = Text(String::with_capacity(4096 * (transports.len() + 1)));
    process(&mut text, started);
    let snapshots: Vec<_> = transports
        .iter()
        .map(|transport| (transport.jid.as_str(), transport.snapshot.borrow().clone()))
        .collect();
    xmpp(&mut text, &snapshots);
    users(&mut text, &snapshots);
    messages(&mut text, &snapshots);
    backends(&mut text, &snapshots);
    storage(&mut text, &snapshots);
    text.0.push_str("# EOF\n");
    text.0
}

/// What the process takes; the names are those that every exporter has.
fn process(text: &mut Text, started: SystemTime) {
    text.family("spectrum2_build", Kind::Info, "", "Version of the daemon.");
    text.sample("spectrum2_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("process_start_time_seconds", Kind::Gauge, "seconds", "When the daemon started, since 1970.");
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.sample("process_start_time_seconds", &[], started.as_secs_f64());
    text.family(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "bytes",
        "Memory of the daemon, without backends.",
    );
    text.sample("process_resident_memory_bytes", &[], memory::own().resident * 1024);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let time = usage.user_time() + usage.system_time();
        text.family(
            "process_cpu_seconds",
            Kind::Counter,
            "seconds",
            "Processor time of the daemon, without backends.",
        );
        text.sample("process_cpu_seconds_total", &[], time.num_microseconds() as f64 / 1e6);
    }
}

fn xmpp(text: &mut Text, transports: &[(&str, Snapshot)]) {
    text.gauge(
        "spectrum2_xmpp_up",
        "1 while the XMPP server is connected, or in server mode while clients can connect.",
        transports,
        |snapshot| u64::from(snapshot.is_connected()),
    );
    text.family(
        "spectrum2_xmpp_state_since_seconds",
        Kind::Gauge,
        "seconds",
        "Since when spectrum2_xmpp_up is what it is, since 1970.",
    );
    for (jid, snapshot) in transports {
        let seconds = snapshot.xmpp_since as f64 / 1e6;
        text.sample("spectrum2_xmpp_state_since_seconds", &[("transport", jid)], seconds);
    }
    text.counter(
        "spectrum2_xmpp_connections",
        "How often the XMPP server was connected.",
        transports,
        |snapshot| snapshot.shell.connections,
    );
    text.gauge(
        "spectrum2_xmpp_output_bytes",
        "What the XMPP server has not taken yet.",
        transports,
        |snapshot| number(snapshot.shell.xmpp_bytes),
    );
    text.gauge("spectrum2_clients", "Connections of clients, in server mode.", transports, |snapshot| {
        number(snapshot.shell.clients)
    });
}

fn users(text: &mut Text, transports: &[(&str, Snapshot)]) {
    text.gauge("spectrum2_registered_users", "Users that are registered.", transports, |snapshot| {
        snapshot.core.registered
    });
    let name = "spectrum2_sessions";
    text.family(
        name,
        Kind::Gauge,
        "",
        "Users by where they stand with the network, but for those who are off line.",
    );
    // Of those who are off line the daemon remembers only some.
    for state in State::ALL.into_iter().filter(|state| *state != State::Offline) {
        for (jid, snapshot) in transports {
            let users = snapshot.core.sessions.get(&state).copied().unwrap_or(0);
            text.sample(name, &[("transport", jid), ("state", state.as_str())], users);
        }
    }
    text.histogram("spectrum2_login", "From the wish to log in to the login.", transports, |snapshot| {
        &snapshot.counters.login
    });
}

fn messages(text: &mut Text, transports: &[(&str, Snapshot)]) {
    text.family("spectrum2_messages", Kind::Counter, "", "Messages by the side that they went to.");
    for (jid, Snapshot { counters, .. }) in transports {
        for (direction, messages) in [("network", counters.from_xmpp), ("xmpp", counters.to_xmpp)] {
            text.sample("spectrum2_messages_total", &[("transport", jid), ("to", direction)], messages);
        }
    }
    text.gauge(
        "spectrum2_kept_messages",
        "Messages of XMPP users that the network has not taken yet.",
        transports,
        |snapshot| number(snapshot.core.kept),
    );
    text.histogram(
        "spectrum2_delivery",
        "From a message of an XMPP user to the word of the backend that the network's library has it.",
        transports,
        |snapshot| &snapshot.counters.delivery,
    );
    text.family(
        "spectrum2_errors",
        Kind::Counter,
        "",
        "What went wrong, by kind; each is listed in the manual.",
    );
    for fault in Fault::ALL {
        for (jid, Snapshot { counters, .. }) in transports {
            let times = counters.faults.get(&fault).copied().unwrap_or(0);
            text.sample("spectrum2_errors_total", &[("transport", jid), ("kind", fault.as_str())], times);
        }
    }
}

fn backends(text: &mut Text, transports: &[(&str, Snapshot)]) {
    text.family("spectrum2_backends", Kind::Gauge, "", "Backend processes by state.");
    for word in BACKEND_WORDS {
        for (jid, snapshot) in transports {
            let processes = snapshot.core.stages.get(word).copied().unwrap_or(0);
            text.sample("spectrum2_backends", &[("transport", jid), ("state", word)], processes);
        }
    }
    text.counter(
        "spectrum2_backend_crashes",
        "Backend processes that died with users.",
        transports,
        |snapshot| snapshot.counters.crashed_backends,
    );
    text.gauge(
        "spectrum2_backend_memory_bytes",
        "Memory of backend processes together, as they say; shared parts are in each.",
        transports,
        |snapshot| snapshot.core.backend_memory * 1024,
    );
    text.gauge(
        "spectrum2_backend_output_bytes",
        "What backends have not taken yet.",
        transports,
        |snapshot| number(snapshot.shell.backend_bytes),
    );
}

fn storage(text: &mut Text, transports: &[(&str, Snapshot)]) {
    text.gauge(
        "spectrum2_storage_waiting",
        "Requests that the database has not answered.",
        transports,
        |snapshot| number(snapshot.shell.storage_waiting),
    );
    text.histogram(
        "spectrum2_storage",
        "From a request to the database to its answer.",
        transports,
        |snapshot| &snapshot.shell.storage,
    );
}

fn number(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Text under way.
struct Text(String);

impl Text {
    /// Begins a family; its samples follow.
    fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let kind = match kind {
            Kind::Info => "info",
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        if !unit.is_empty() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {}", escaped(help)));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        match labels.join(",") {
            none if none.is_empty() => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    /// A gauge of each transport; its unit is the end of its name, if that is one.
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        transports: &[(&str, Snapshot)],
        value: impl Fn(&Snapshot) -> u64,
    ) {
        self.family(name, Kind::Gauge, if name.ends_with("_bytes") { "bytes" } else { "" }, help);
        for (jid, snapshot) in transports {
            self.sample(name, &[("transport", jid)], value(snapshot));
        }
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        transports: &[(&str, Snapshot)],
        value: impl Fn(&Snapshot) -> u64,
    ) {
        self.family(name, Kind::Counter, "", help);
        for (jid, snapshot) in transports {
            self.sample(&format!("{name}_total"), &[("transport", jid)], value(snapshot));
        }
    }

    /// A histogram of each transport, in seconds.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        transports: &[(&str, Snapshot)],
        histogram: impl Fn(&Snapshot) -> &Histogram,
    ) {
        let name = format!("{name}_seconds");
        self.family(&name, Kind::Histogram, "seconds", help);
        let seconds = |milliseconds: u64| milliseconds as f64 / 1e3;
        for (jid, snapshot) in transports {
            let histogram = histogram(snapshot);
            let transport = ("transport", *jid);
            for (bound, times) in histogram.cumulative() {
                // "Histogram": bounds are written as numbers with a point.
                let bound = format!("{:?}", seconds(bound));
                self.sample(&format!("{name}_bucket"), &[transport, ("le", &bound)], times);
            }
            self.sample(&format!("{name}_bucket"), &[transport, ("le", "+Inf")], histogram.count);
            self.sample(&format!("{name}_count"), &[transport], histogram.count);
            self.sample(&format!("{name}_sum"), &[transport], seconds(histogram.sum));
        }
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// "Escaping": what would end a text or a line.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_label() {
        let mut text = Text(String::new());
        text.sample("x", &[("transport", "a\"} 1\nb\\")], 2);
        assert_eq!(text.0, "x{transport=\"a\\\"} 1\\nb\\\\\"} 2\n");
    }
}
