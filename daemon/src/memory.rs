//! What memory the daemon takes.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use crate::gateway::admin::Memory;

/// The daemon's own memory; nothing where the system does not say.
#[must_use]
pub fn own() -> Memory {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|bytes| u64::try_from(bytes).ok());
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    read(&pages, page.unwrap_or(4096) / 1024)
}

/// Reads statm as proc(5) has it: sizes in pages, the second resident, the third shared.
fn read(pages: &str, page: u64) -> Memory {
    let mut numbers = pages.split_ascii_whitespace().skip(1).map(|number| number.parse().unwrap_or(0) * page);
    Memory { resident: numbers.next().unwrap_or(0), shared: numbers.next().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_kib() {
        assert_eq!(read("2000 300 100 50 0 200 0\n", 4), Memory { resident: 1200, shared: 400 });
        assert_eq!(read("", 4), Memory::default());
        assert!(own().resident > 0);
    }
}
