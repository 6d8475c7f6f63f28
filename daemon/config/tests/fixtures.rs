//! Transport files that ran under Spectrum 2 load and mean the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use spectrum2_config::{Config, DatabaseKind, NoSecrets, Overrides};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The file `NAME.cfg`, without a warning.
fn load(name: &str) -> Config {
    let path = directory().join(format!("{name}.cfg"));
    let text = fs::read_to_string(&path).unwrap();
    let (config, warnings) = Config::parse(&text, &path, &Overrides::default(), &NoSecrets).unwrap();
    assert_eq!(warnings, [], "{name}");
    config
}

#[test]
fn every_file_loads_without_a_warning() {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), 23);
    for name in names {
        let config = load(&name);
        let service = &config.service;
        let secret = if name == "irc-6-bad-secret" { "wrong secret" } else { "secret" };
        assert_eq!(service.password.expose(), secret, "{name}");
        assert_eq!((service.server.as_str(), service.port), ("127.0.0.1", 22348), "{name}");
        assert_eq!(service.users_per_backend, 10, "{name}");
        assert_eq!(service.backend_host, "127.0.0.1", "{name}");
        assert!((22400..22700).contains(&service.backend_port), "{name}");
        assert!(!service.server_mode && service.reuse_old_backends && service.verify_certs, "{name}");
        assert_eq!(config.identity.category, "gateway", "{name}");
        assert!(config.unknown.is_empty(), "{name}");

        let jid = &service.jid;
        assert_eq!(service.working_dir, Path::new("/var/lib/spectrum2").join(jid), "{name}");
        assert_eq!(service.pidfile, Path::new("/var/run/spectrum2").join(format!("{jid}.pid")), "{name}");
        assert_eq!(service.portfile, Path::new("/var/run/spectrum2").join(format!("{jid}.port")), "{name}");
        assert!(name.starts_with("database") || config.database.kind == DatabaseKind::Sqlite3, "{name}");
    }
}

#[test]
fn a_minimal_gateway() {
    let config = load("jabber-0-minimal");
    assert_eq!(config.service.jid, "jabber.example.org");
    assert_eq!(config.service.backend, "/usr/bin/spectrum2_libpurple_backend");
    assert_eq!(config.service.protocol, "prpl-jabber");
    assert_eq!(config.identity.name, "Jabber transport");
    assert_eq!(config.identity.kind, "xmpp");
    assert_eq!(config.database.database, "/var/lib/spectrum2/jabber.example.org/database.sql");
    assert_eq!(config.logging.config, Path::new("/etc/spectrum2/logging.cfg"));
    assert_eq!(config.logging.backend_config, Path::new("/etc/spectrum2/backend-logging.cfg"));
    assert_eq!(
        config.purple,
        [
            ("connect_server".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), "22222".to_owned()),
            ("connection_security".to_owned(), "opportunistic_tls".to_owned()),
            ("auth_plain_in_clear".to_owned(), "true".to_owned()),
        ]
    );
}

#[test]
fn registration_texts_and_masks() {
    let config = load("jabber-1-first-login");
    assert_eq!(config.registration.notify_jid, ["prince@example.org"]);
    assert_eq!(config.registration.instructions, "Enter your example.net address and password.");
    assert_eq!(config.registration.username_label, "Address");

    let config = load("jabber-6-roster-exchange");
    assert!(!config.service.jid_escaping);
    assert_eq!(config.registration.username_mask, "$username@example.net");
    assert_eq!(config.registration.allowed_usernames, r"[a-z]+@example\.net");
}

#[test]
fn switches_and_repeated_keys() {
    assert!(load("jabber-3-roster").service.enable_remove_buddy);
    assert!(load("jabber-5-remote-roster").service.enable_remove_buddy);
    let settings = load("jabber-7-bouncer-headlines").settings;
    assert!(settings.send_headlines && settings.stay_connected);
    let admins = load("irc-4-startup-idle-admin").service.admin_jid;
    assert_eq!(admins, ["prince@example.org", "escalus@example.org"]);
}

#[test]
fn libpurple_options_stay_text() {
    let purple = load("irc-1-chat").purple;
    assert_eq!(purple[1], ("ratelimit-interval".to_owned(), "00".to_owned()));
}

#[test]
fn irc_servers() {
    let fixed = load("communi-1-fixed-server").service;
    assert_eq!(fixed.irc_server, ["irc.example.net:22667"]);
    assert_eq!(fixed.irc_away_timeout, 5);
    let free = load("communi-2-free-server").service;
    assert!(free.irc_server.is_empty());
    assert_eq!(free.irc_away_timeout, 60);
    assert_eq!(free.irc_identify, "NickServ identify $password");
}

#[test]
fn databases() {
    assert_eq!(load("database-sqlite").database.prefix, "");
    assert_eq!(load("database-sqlite-icq").database.prefix, "icq_");

    let mysql = load("database-mysql-key").database;
    assert_eq!((mysql.kind, mysql.server.as_str(), mysql.port), (DatabaseKind::Mysql, "127.0.0.1", 22306));
    assert_eq!((mysql.user.as_str(), mysql.password.expose()), ("spectrum", "verona"));
    assert_eq!((mysql.database.as_str(), mysql.encryption_key.expose()), ("spectrum_key", "hanzzik"));
    assert!(load("database-mysql").database.encryption_key.is_empty());

    let pgsql = load("database-pgsql").database;
    assert_eq!((pgsql.kind, pgsql.port, pgsql.database.as_str()), (DatabaseKind::Pqxx, 22432, "spectrum"));
    assert_eq!(load("database-pgsql-key").database.encryption_key.expose(), "hanzzik");
}
