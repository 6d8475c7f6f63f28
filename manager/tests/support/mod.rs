//! What several tests use.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong fails")]
#![allow(clippy::needless_pass_by_value, reason = "a method on the bus takes what it is sent")]

pub mod bus;
pub mod manager;
pub mod systemd;
pub mod transport;

use std::fs;
use std::path::{Path, PathBuf};

/// An empty directory that is removed at the end.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        let name = format!("spectrum2-manager-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
