//! What processes use, from proc(5): for machines where systemd does not count.
//!
//! Guarantees that what is not known is not shown as nothing.

use std::fs;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

/// What a unit or its processes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub memory: Option<u64>,
    /// Nanoseconds.
    pub cpu: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

impl Usage {
    /// What these processes use now. Memory that they share counts for each of them, and the time of those that ended
    /// only if their parent is among them.
    pub fn of(pids: impl IntoIterator<Item = u32>) -> Self {
        pids.into_iter().map(Self::of_process).fold(Self::default(), Self::plus)
    }

    fn of_process(pid: u32) -> Self {
        let directory = Path::new("/proc").join(pid.to_string());
        let file = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let status = file("status");
        let number = |label: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(label))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Self {
            memory: number("VmRSS:").map(|kibibytes| kibibytes.saturating_mul(1024)),
            cpu: cpu_time(&file("stat")),
            tasks: number("Threads:"),
        }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.memory.is_some() && self.cpu.is_some() && self.tasks.is_some()
    }

    /// This, with what is missing from elsewhere.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            cpu: self.cpu.or(other.cpu),
            tasks: self.tasks.or(other.tasks),
        }
    }

    /// Both together; what only one of them knows counts alone.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| {
            [one, other].into_iter().flatten().reduce(u64::saturating_add)
        };
        Self {
            memory: sum(self.memory, other.memory),
            cpu: sum(self.cpu, other.cpu),
            tasks: sum(self.tasks, other.tasks),
        }
    }
}

/// The nanoseconds that a process and the children which it has waited for took, from its `stat`.
fn cpu_time(stat: &str) -> Option<u64> {
    // The second field, the name, may hold anything; fields 14 to 17 are user and system time of process and children.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).map(|field| field.parse().unwrap_or(0)).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
    Some(ticks.saturating_mul(1_000_000_000) / u64::try_from(per_second).ok().filter(|ticks| *ticks > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_know_what_we_use_ourselves() {
        let usage = Usage::of([std::process::id()]);
        assert!(usage.is_complete(), "{usage:?}");
        assert!(usage.memory.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        assert_eq!(Usage::of([u32::MAX]), Usage::default());
        assert_eq!(Usage::of([]), Usage::default());
        let one = Usage { memory: Some(1), ..Usage::default() };
        assert_eq!(one.plus(Usage::default()), one);
        assert_eq!(one.or(Usage { memory: Some(2), tasks: Some(3), cpu: None }).tasks, Some(3));
    }

    #[test]
    fn the_time_of_a_process_is_read_past_its_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 1 0 0 100 50 30 20 20 0 1 0 5 0 0";
        let second = cpu_time(stat).unwrap() / 2;
        assert_eq!(second, 1_000_000_000);
    }
}
