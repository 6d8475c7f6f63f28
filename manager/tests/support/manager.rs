//! `spectrum2_manager` itself, with transport files of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Directory;

/// What a run has left.
#[derive(Debug)]
pub struct Run {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub struct Manager {
    pub directory: Directory,
    address: String,
}

impl Manager {
    /// Talks to the bus at that address.
    pub fn new(address: &str) -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.path().join("transports")).unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        let config =
            format!("[service]\nconfig_directory={}\n", directory.path().join("transports").display());
        fs::write(directory.path().join("manager.cfg"), config).unwrap();
        let manager = Self { directory, address: address.to_owned() };
        manager.program("journalctl", "echo 'journal of the start'; echo \"$@\" > \"${0%/*}/../journalctl\"");
        manager
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("transports").join(name)
    }

    /// A transport that leaves the defaults alone, with `more` in its file.
    pub fn transport(&self, name: &str, more: &str) {
        let text = format!(
            "[service]\njid={name}.example.org\nserver=127.0.0.1\nport=5347\npassword=verona\nbackend=/bin/true\n\
             protocol=prpl-irc\n{more}"
        );
        let file = self.file(&format!("{name}.cfg"));
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A program that is found before those of the machine.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.directory.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub async fn run(&self, line: &str) -> Run {
        self.run_with_input(line, "").await
    }

    pub async fn run_with_input(&self, line: &str, input: &str) -> Run {
        let path =
            format!("{}:{}", self.directory.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut process = Command::new(env!("CARGO_BIN_EXE_spectrum2_manager"))
            .arg("-c")
            .arg(self.directory.path().join("manager.cfg"))
            .args(line.split_whitespace())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = process.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Run { exit: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}
