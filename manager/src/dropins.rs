//! What systemd must know from a transport file, as drop-ins of the transport's units.
//!
//! Guarantees that the transport file stays the only place where an option is written: who runs the transport and
//! where it may write follow from it. Only values that were checked for their use in a unit are written, and no
//! secret is among them. The same file always gives the same drop-ins, so anybody can tell whether systemd has seen
//! the file as it is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use spectrum2_config::{Config, DatabaseKind, Instance};
use spectrum2_log::log4j;

/// The user and the group of the shipped unit.
pub const DEFAULT_USER: &str = "spectrum";

/// Where systemd looks for what generators made.
pub const DIRECTORY: &str = "/run/systemd/generator";

/// Where admins put drop-ins.
pub const OF_ADMINS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// The state directory of the shipped unit; it may write there anyway.
const STATE_DIRECTORY: &str = "/var/lib/spectrum2";

/// Where systemd makes directories for log files.
const LOGS_DIRECTORY: &str = "/var/log";

/// The name of each drop-in. An admin's drop-in with a later name goes before it.
const FILE_NAME: &str = "50-transport-file.conf";

/// One drop-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    /// Path below the directory of the generator.
    pub path: PathBuf,
    /// The whole file.
    pub text: String,
}

/// The drop-ins of a transport, and what in its file cannot be one: each a sentence with the option's name.
#[must_use]
pub fn of(instance: &Instance, config: &Config) -> (Vec<DropIn>, Vec<String>) {
    let mut problems = Vec::new();
    let owner = Owner::of(config, &mut problems);
    let vhosts = vhosts(config);
    let mut service = owner.service_lines(config, &vhosts);
    for path in writable_paths(config, &vhosts, owner.is_default(), &mut problems) {
        service.push_str(&writable_lines(&path));
    }
    let socket = owner.socket_lines();
    let logs = Logs::of(config, &mut problems);
    service.push_str(&logs.daemon);

    let [service_path, socket_path, backend_path] = paths(instance);
    let drop_in = |path: PathBuf, section: &str, lines: &str| DropIn {
        path,
        text: format!("# Made by spectrum2-generator from {}.\n[{section}]\n{lines}", config.file.display()),
    };
    let mut drop_ins = Vec::new();
    if !service.is_empty() {
        drop_ins.push(drop_in(service_path, "Service", &service));
    }
    if !socket.is_empty() {
        drop_ins.push(drop_in(socket_path, "Socket", &socket));
    }
    if !logs.backends.is_empty() {
        drop_ins.push(drop_in(backend_path, "Service", &logs.backends));
    }
    (drop_ins, problems)
}

/// Whether what the generator made in `directory` is what the transport file calls for now. If not, systemd must run
/// its generators again before it starts the transport.
#[must_use]
pub fn are_current(instance: &Instance, config: &Config, directory: &Path) -> bool {
    let (wanted, _) = of(instance, config);
    paths(instance).iter().all(|path| {
        let wanted = wanted.iter().find(|drop_in| drop_in.path == *path).map(|drop_in| drop_in.text.as_str());
        fs::read_to_string(directory.join(path)).ok().as_deref() == wanted
    })
}

/// Whether one of these directories has drop-ins for the daemon that systemd has not loaded: of one that was made since the
/// last daemon-reload it does not know itself (`NeedDaemonReload`).
pub fn are_missing<'a>(
    instance: &Instance,
    loaded: &[PathBuf],
    directories: impl IntoIterator<Item = &'a Path>,
) -> bool {
    let units = [format!("spectrum2@{instance}.service.d"), "spectrum2@.service.d".to_owned()];
    let is_drop_in = |path: &PathBuf| {
        // A link to /dev/null, or an empty file, is one that takes another one away.
        let has_text = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0);
        has_text && path.extension().is_some_and(|extension| extension == "conf")
    };
    // One of the same name elsewhere goes before it.
    let is_loaded = |path: &PathBuf| loaded.iter().any(|loaded| loaded.file_name() == path.file_name());
    directories
        .into_iter()
        .flat_map(|directory| units.iter().map(|unit| directory.join(unit)).collect::<Vec<_>>())
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .any(|path| is_drop_in(&path) && !is_loaded(&path))
}

/// All that there can be for a transport.
fn paths(instance: &Instance) -> [PathBuf; 3] {
    [
        format!("spectrum2@{instance}.service.d"),
        format!("spectrum2-backend@{instance}.socket.d"),
        format!("spectrum2-backend@{instance}.service.d"),
    ]
    .map(|directory| Path::new(&directory).join(FILE_NAME))
}

/// The other transports of the file, each with its own paths. None if the file is gone meanwhile.
fn vhosts(config: &Config) -> Vec<Config> {
    if config.further_jids().is_empty() {
        return Vec::new();
    }
    let bytes = fs::read(&config.file).unwrap_or_default();
    config.outlines_of_vhosts(&String::from_utf8_lossy(&bytes))
}

/// Who runs a transport.
struct Owner<'a> {
    user: &'a str,
    group: &'a str,
}

impl<'a> Owner<'a> {
    fn of(config: &'a Config, problems: &mut Vec<String>) -> Self {
        let mut checked = |option: &str, name: &'a str| {
            if name.is_empty() || is_account_name(name) {
                return name;
            }
            problems.push(format!("{option}: “{name}” is no name that systemd takes, so it is ignored."));
            ""
        };
        let user = checked("service.user", &config.service.user);
        let group = checked("service.group", &config.service.group);
        Self { user: if user.is_empty() { DEFAULT_USER } else { user }, group }
    }

    fn is_default(&self) -> bool {
        self.user == DEFAULT_USER
    }

    fn service_lines(&self, config: &Config, vhosts: &[Config]) -> String {
        let mut lines = String::new();
        if !self.is_default() {
            let _ = writeln!(lines, "User={}", self.user);
        }
        let has_other_group = !self.group.is_empty() && self.group != self.user;
        if has_other_group {
            let _ = writeln!(lines, "Group={}", self.group);
        }
        if !self.is_default() || has_other_group {
            // Transport files and their directory are open to this group alone.
            let _ = writeln!(lines, "SupplementaryGroups={DEFAULT_USER}");
        }
        if !self.is_default() {
            // A state directory is given to the unit's user with all that is in it, and the whole of
            // /var/lib/spectrum2 is not this one's: the other transports are in there.
            lines.push_str("StateDirectory=\n");
            let parts = state_parts(config, vhosts);
            for part in &parts {
                let _ = writeln!(lines, "StateDirectory={}", quoted(&Path::new("spectrum2").join(part)));
            }
            if !parts.is_empty() {
                // The mode of the unit went with its directory.
                lines.push_str("StateDirectoryMode=0700\n");
            }
        }
        lines
    }

    fn socket_lines(&self) -> String {
        if self.is_default() { String::new() } else { format!("SocketUser={}\n", self.user) }
    }
}

/// Where daemon and backends may write log files: those that the properties files of Spectrum 2 name.
#[derive(Default)]
struct Logs {
    daemon: String,
    backends: String,
}

impl Logs {
    fn of(config: &Config, problems: &mut Vec<String>) -> Self {
        // Each transport of the file has log files of its own.
        let all = [vec![&*config.service.jid], config.further_jids()].concat();
        let mut directories = |option: &str, file: &Path| -> Vec<PathBuf> {
            // Relative ones are in the directory in which the programs run, and theirs anyway. That a properties file
            // cannot be read is said by those who need it.
            let named: BTreeSet<PathBuf> =
                all.iter().flat_map(|jid| log4j::directories(file, jid).unwrap_or_default()).collect();
            let (good, odd): (Vec<_>, Vec<_>) =
                named.into_iter().filter(|path| path.is_absolute()).partition(|path| is_plain_path(path));
            problems.extend(odd.iter().map(|path| {
                format!("{option}: “{}” is no directory that log files can be written to.", path.display())
            }));
            good
        };
        let daemon = directories("logging.config", &config.logging.config);
        let backends = directories("logging.backend_config", &config.logging.backend_config);
        let mut logs = Self::default();
        for path in &daemon {
            // Others must get through to the backends' directory in it. Files in it are closed to them.
            logs.daemon.push_str(&log_lines(path, "0751"));
        }
        for path in &backends {
            if let Some(shared) = daemon.iter().find(|daemon| daemon.starts_with(path)) {
                problems.push(format!(
                    "logging.backend_config: The daemon writes to {} and backends are another user, so they need a \
                     directory of their own, such as {}/backends.",
                    shared.display(),
                    shared.display()
                ));
            } else {
                logs.backends.push_str(&log_lines(path, "0750"));
            }
        }
        logs
    }
}

/// A directory that systemd makes for the unit's user, where it makes such; elsewhere the right to write.
fn log_lines(path: &Path, mode: &str) -> String {
    match path.strip_prefix(LOGS_DIRECTORY) {
        // The common part is several users'.
        Ok(own) if !own.as_os_str().is_empty() && own != Path::new("spectrum2") => {
            format!("LogsDirectory={}\nLogsDirectoryMode={mode}\n", quoted(own))
        }
        _ => writable_lines(path),
    }
}

/// The directories outside of the unit's own ones to which the transport writes.
fn writable_paths(
    config: &Config,
    vhosts: &[Config],
    owns_state: bool,
    problems: &mut Vec<String>,
) -> Vec<PathBuf> {
    let mut wanted = Vec::new();
    for transport in [config].into_iter().chain(vhosts) {
        wanted.push(("service.working_dir", transport.service.working_dir.clone()));
        wanted.push(("service.pidfile", parent(&transport.service.pidfile)));
        wanted.extend(database_directory(transport).map(|directory| ("database.database", directory)));
    }

    let mut paths: Vec<PathBuf> = Vec::new();
    for (option, path) in wanted {
        if is_default_place(&path, owns_state) || paths.iter().any(|known| path.starts_with(known)) {
            continue;
        }
        if is_plain_path(&path) {
            paths.push(path);
        } else {
            problems.push(format!(
                "{option}: “{}” is no complete path to a directory of its own, so the unit cannot be given the right to \
                 write there.",
                path.display()
            ));
        }
    }
    paths
}

/// Whether the shipped unit, or [`Owner::service_lines`], cares for the place.
fn is_default_place(path: &Path, owns_state: bool) -> bool {
    // The common part itself is never given to one of several users.
    let is_common = path == Path::new(STATE_DIRECTORY);
    let is_run = ["/run/spectrum2", "/var/run/spectrum2"].iter().any(|run| path == Path::new(run));
    is_run
        || is_common
        || below_state_directory(path).is_some()
        || (path.starts_with(STATE_DIRECTORY) && owns_state)
}

/// The directories below `/var/lib/spectrum2` to which the transport writes; none is within another.
fn state_parts(config: &Config, vhosts: &[Config]) -> Vec<PathBuf> {
    let places = [config].into_iter().chain(vhosts).flat_map(|transport| {
        [Some(transport.service.working_dir.clone()), database_directory(transport)].into_iter().flatten()
    });
    let places: Vec<_> = places.collect();
    let mut parts: Vec<PathBuf> = Vec::new();
    for place in &places {
        let part =
            below_state_directory(place).filter(|part| !parts.iter().any(|known| part.starts_with(known)));
        parts.extend(part.map(Path::to_owned));
    }
    parts
}

/// Where SQLite puts the database, and its journal beside it. A relative place is below working_dir.
fn database_directory(config: &Config) -> Option<PathBuf> {
    let is_file = config.database.kind == DatabaseKind::Sqlite3;
    is_file.then(|| config.service.working_dir.join(parent(Path::new(&config.database.database))))
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// The part below `/var/lib/spectrum2`, if the path is a directory in there.
fn below_state_directory(path: &Path) -> Option<&Path> {
    let below = path.strip_prefix(STATE_DIRECTORY).ok()?;
    (is_plain_path(path) && below.components().next().is_some()).then_some(below)
}

/// Complete, without `..`, neither the root nor a directory right below it that belongs to the system, and without
/// the signs that systemd understands in some lists of paths and not in others, or that begin a line.
fn is_plain_path(path: &Path) -> bool {
    let system = ["/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/sbin", "/sys", "/usr"];
    path.is_absolute()
        && path
            .to_str()
            .is_some_and(|text| !text.contains(['"', '\'', '\\', ':']) && !text.contains(char::is_control))
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !system.iter().any(|directory| path == Path::new(directory))
}

fn writable_lines(path: &Path) -> String {
    let hidden = ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
    let path = quoted(path);
    if hidden {
        // What ProtectHome=yes hides, ReadWritePaths= does not bring back.
        format!("ProtectHome=tmpfs\nBindPaths=-{path}\n")
    } else {
        // "-": when it is missing, the transport itself says so, and better than systemd.
        format!("ReadWritePaths=-{path}\n")
    }
}

/// A path as one word of a unit file, systemd.syntax(7).
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%%");
    if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text }
}

/// What systemd takes as a name or number in `User=`, in its strict mode.
fn is_account_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    name.len() <= 31 && name.chars().all(is_part) && !name.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_systemd_has_not_seen_is_noticed() {
        let directory = std::env::temp_dir().join(format!("spectrum2-dropins-{:x}", fastrand::u64(..)));
        let config = |text: &str| {
            Config::outline(&format!("[service]\njid=irc.example.org\n{text}"), Path::new("irc.cfg"))
        };
        let instance = "irc".parse().unwrap();
        let before = config("user=irc\n");
        assert!(are_current(&instance, &config(""), &directory));
        assert!(!are_current(&instance, &before, &directory));

        for drop_in in of(&instance, &before).0 {
            let path = directory.join(drop_in.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, drop_in.text).unwrap();
        }
        assert!(are_current(&instance, &before, &directory));
        assert!(!are_current(&instance, &config("user=icq\n"), &directory));
        assert!(!are_current(&instance, &config(""), &directory));
        fs::remove_dir_all(directory).unwrap();
    }

    fn made_of(text: &str) -> (Vec<DropIn>, Vec<String>) {
        let text = format!("[service]\njid=irc.example.org\n{text}");
        of(&"irc".parse().unwrap(), &Config::outline(&text, Path::new("/etc/spectrum2/transports/irc.cfg")))
    }

    #[test]
    fn the_defaults_need_no_drop_in() {
        assert_eq!(made_of(""), (vec![], vec![]));
        assert_eq!(made_of("user=spectrum\ngroup=spectrum\n"), (vec![], vec![]));
    }

    #[test]
    fn odd_names_and_paths_are_refused_by_name() {
        let (drop_ins, problems) = made_of("user=a b\nworking_dir=../x\npidfile=/x.pid\n");
        assert_eq!(drop_ins, []);
        for (problem, option) in
            problems.iter().zip(["service.user", "service.working_dir", "service.pidfile"])
        {
            assert!(problem.starts_with(option), "{problem}");
        }
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn no_character_of_a_path_means_anything_to_systemd() {
        assert_eq!(quoted(Path::new("/srv/100% $x")), "\"/srv/100%% $x\"");
        for path in ["/srv/a:b", "/srv/a\"b", "/srv/a'b", "/srv/a\\b", "/srv/../etc", "srv", "/etc"] {
            assert!(!is_plain_path(Path::new(path)), "{path}");
        }
    }

    /// A properties file can write a line break as `\n`.
    #[test]
    fn a_path_begins_no_line_of_a_unit() {
        let (drop_ins, problems) = logging_to("/srv/log\\nUser=root\\n#/x.log", "");
        assert!(drop_ins.iter().all(|drop_in| !drop_in.text.contains("\nUser=")), "{drop_ins:?}");
        assert_eq!(problems.len(), 1);
    }

    /// Drop-ins of a transport whose daemon and backends log to these files.
    fn logging_to(daemon: &str, backends: &str) -> (Vec<DropIn>, Vec<String>) {
        let directory = std::env::temp_dir().join(format!("spectrum2-logging-{:x}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let properties = |name: &str, file: &str| {
            let path = directory.join(name);
            fs::write(&path, format!("log4j.appender.R.File={file}\n")).unwrap();
            format!("{}\n", path.display())
        };
        let made = made_of(&format!(
            "[logging]\nconfig={}backend_config={}",
            properties("logging.cfg", daemon),
            properties("backend-logging.cfg", backends)
        ));
        fs::remove_dir_all(directory).unwrap();
        made
    }

    #[test]
    fn log_files_of_spectrum_2_can_be_written_by_whoever_writes_them() {
        let (drop_ins, problems) = logging_to(
            "/var/log/spectrum2/${jid}/spectrum2.log",
            "/var/log/spectrum2/${jid}/backends/backend-${id}.log",
        );
        assert_eq!(problems, [] as [&str; 0]);
        let [daemon, backends] = drop_ins.as_slice() else { panic!("{drop_ins:?}") };
        assert_eq!(daemon.path, Path::new("spectrum2@irc.service.d/50-transport-file.conf"));
        assert!(
            daemon
                .text
                .ends_with("[Service]\nLogsDirectory=spectrum2/irc.example.org\nLogsDirectoryMode=0751\n"),
            "{daemon:?}"
        );
        assert_eq!(backends.path, Path::new("spectrum2-backend@irc.service.d/50-transport-file.conf"));
        assert!(
            backends
                .text
                .ends_with("LogsDirectory=spectrum2/irc.example.org/backends\nLogsDirectoryMode=0750\n"),
            "{backends:?}"
        );
    }

    #[test]
    fn log_files_elsewhere_need_a_directory_for_each_user() {
        let (drop_ins, problems) = logging_to("/var/log/spectrum2/${jid}.log", "/srv/log/${id}/backend.log");
        assert_eq!(problems, [] as [&str; 0]);
        assert!(
            drop_ins[0].text.ends_with("[Service]\nReadWritePaths=-/var/log/spectrum2\n"),
            "{drop_ins:?}"
        );
        assert!(drop_ins[1].text.ends_with("[Service]\nReadWritePaths=-/srv/log\n"), "{drop_ins:?}");

        let (drop_ins, problems) = logging_to("/srv/log/spectrum2.log", "/srv/log/backend-${id}.log");
        assert_eq!(drop_ins.len(), 1, "{drop_ins:?}");
        assert!(problems[0].contains("a directory of their own, such as /srv/log/backends"), "{problems:?}");
        assert!(
            logging_to("/etc/x.log", "/srv/b/x.log").1[0]
                .starts_with("logging.config: “/etc” is no directory")
        );
    }

    #[test]
    fn drop_ins_that_systemd_does_not_know_are_seen() {
        let directory = std::env::temp_dir().join(format!("spectrum2-units-{:x}", fastrand::u64(..)));
        let own = directory.join("spectrum2@irc.service.d");
        fs::create_dir_all(&own).unwrap();
        let instance: Instance = "irc".parse().unwrap();
        let sees = |loaded: &[&str]| {
            let loaded: Vec<PathBuf> = loaded.iter().map(PathBuf::from).collect();
            are_missing(&instance, &loaded, [Path::new("/nonexistent"), &*directory])
        };
        assert!(!sees(&[]));
        fs::write(own.join("notes.txt"), "[Service]\n").unwrap();
        fs::write(own.join("empty.conf"), "").unwrap();
        std::os::unix::fs::symlink("/dev/null", own.join("masked.conf")).unwrap();
        assert!(!sees(&[]));
        fs::write(own.join("secrets.conf"), "[Service]\n").unwrap();
        assert!(sees(&[]));
        assert!(!sees(&["/run/systemd/system/spectrum2@irc.service.d/secrets.conf"]));
        fs::create_dir_all(directory.join("spectrum2@.service.d")).unwrap();
        fs::write(directory.join("spectrum2@.service.d/all.conf"), "[Service]\n").unwrap();
        assert!(sees(&["/run/systemd/system/spectrum2@irc.service.d/secrets.conf"]));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn secrets_stay_in_the_file() {
        let (drop_ins, problems) = made_of("user=icq\npassword=verona\nport=none\n");
        assert!(!format!("{drop_ins:?}{problems:?}").contains("verona"));
    }
}
