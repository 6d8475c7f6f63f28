//! Secrets outside of the transport file, and what `spectrum2 check` says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use spectrum2_config::check::report;
use spectrum2_config::{Config, ExitKind, Overrides, Problems, Secret, System};

/// A directory of its own for each test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        // Where everybody gets through.
        let path = std::env::temp_dir().join(format!("spectrum2-config-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn parse(text: &str, system: &System) -> Result<Config, Problems> {
    Config::parse(text, Path::new("icq.cfg"), &Overrides::default(), system).map(|(config, _)| config)
}

/// Option, credential, and what a configuration has of it.
type Place = (&'static str, &'static str, fn(&Config) -> &Secret);

/// All secrets that need not stand in the transport file.
const SECRETS: [Place; 4] = [
    ("service.password", "component-password", |config| &config.service.password),
    ("service.cert_password", "cert-password", |config| &config.service.cert_password),
    ("database.password", "database-password", |config| &config.database.password),
    ("database.encryption_key", "encryption-key", |config| &config.database.encryption_key),
];

/// A transport file with `option` in its place.
fn with(option: &str, value: &str) -> String {
    let (section, key) = option.split_once('.').unwrap();
    let component = if option == "service.password" { "" } else { "password=secret\n" };
    format!("[service]\njid=icq.example.org\nport=5347\n{component}[{section}]\n{key}={value}\n")
}

#[test]
fn every_secret_comes_from_the_credential_then_the_file_then_the_option() {
    for (option, credential, read) in SECRETS {
        let directory = Directory::new(credential);
        let file = directory.write("secret", 0o600, "from the file\n");
        let elsewhere = Directory::new(&format!("{credential}-systemd"));
        elsewhere.write(credential, 0o400, "from systemd\n");
        let key = option.split_once('.').unwrap().1;
        let both = format!("{}{key}_file={}\n", with(option, "from the option"), file.display());
        let secret = |text: &str, system| read(&parse(text, &system).unwrap()).expose().to_owned();
        let systemd = System::with_credentials(elsewhere.0.clone());
        assert_eq!(secret(&with(option, "from the option"), System::default()), "from the option");
        assert_eq!(secret(&both, System::default()), "from the file");
        assert_eq!(secret(&both, systemd.clone()), "from systemd");
        assert_eq!(secret(&with(option, ""), systemd), "from systemd");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_named_with_its_place() {
    for (option, credential, _) in SECRETS {
        let directory = Directory::new(&format!("{credential}-unreadable"));
        fs::create_dir(directory.0.join(credential)).unwrap();
        let told = |text: &str, system: &System| parse(text, system).unwrap_err().to_string();
        let systemd = told(&with(option, "verona"), &System::with_credentials(directory.0.clone()));
        let cause = format!("{option}: The systemd credential {credential} cannot be read: ");
        assert!(systemd.contains(&cause) && systemd.contains("LoadCredential="), "{systemd}");
        let missing = told(&with(&format!("{option}_file"), "/nonexistent/secret"), &System::default());
        let cause = format!("{option}_file: /nonexistent/secret cannot be read: ");
        assert!(missing.contains(&cause), "{missing}");
        assert!(!systemd.contains("verona"), "{systemd}");
    }
}

#[test]
fn a_missing_secret_file_is_an_error_at_its_line() {
    let text =
        "[service]\njid=icq.example.org\nport=5347\npassword=secret\npassword_file=/nonexistent/secret\n";
    let problems = parse(text, &System::default()).unwrap_err();
    let problem = problems.iter().next().unwrap().to_string();
    assert!(
        problem.starts_with("icq.cfg:5: service.password_file: /nonexistent/secret cannot be read: "),
        "{problem}"
    );
}

#[test]
fn an_endless_secret_file_is_refused() {
    let text = "[service]\njid=icq.example.org\nport=5347\npassword_file=/dev/zero\n";
    assert!(parse(text, &System::default()).unwrap_err().to_string().contains("larger than 64 KiB"));
}

#[test]
fn a_secret_that_everybody_can_read_or_change_is_an_error() {
    let directory = Directory::new("exposed");
    let secret = directory.write("secret", 0o644, "secret\n");
    let text = |secret: &str| format!("[service]\njid=icq.example.org\nport=5347\ngroup=bridges\n{secret}\n");
    let exposed_in = |file: &Path| Config::load(file, &Overrides::default()).unwrap().0.exposed_secrets();

    let file = directory.write("public.cfg", 0o644, text("password=secret"));
    let exposed = exposed_in(&file);
    let name = file.display();
    assert_eq!(
        exposed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!(
            "{name}: Everybody on this machine can read this file, and secrets are in it, so the transport does not \
             start. Run: chown root:bridges {name} && chmod 640 {name}"
        )]
    );
    let (report, exit) = report(&file, &Overrides::default());
    assert!(report.contains("error: ") && report.contains("Run: chown root:bridges"), "{report}");
    assert_eq!(exit, ExitKind::NotPermitted);

    let file = directory.write("private.cfg", 0o640, text("password=secret"));
    assert_eq!(exposed_in(&file), []);
    // Without a secret it may be public.
    let file = directory.write("elsewhere.cfg", 0o644, text(&format!("password_file={}", secret.display())));
    let exposed = exposed_in(&file);
    assert_eq!(exposed.len(), 1);
    assert_eq!(exposed[0].file.as_deref(), Some(secret.as_path()));

    let file = directory.write("writable.cfg", 0o602, text("password=secret"));
    assert!(exposed_in(&file)[0].to_string().contains("can change this file"));
}

#[test]
fn a_directory_that_lets_nobody_through_keeps_what_is_in_it() {
    let directory = Directory::new("closed");
    let file =
        directory.write("public.cfg", 0o644, "[service]\njid=icq.example.org\nport=5347\npassword=secret\n");
    let exposed = || Config::load(&file, &Overrides::default()).unwrap().0.exposed_secrets().len();
    let pass = |mode| fs::set_permissions(file.parent().unwrap(), Permissions::from_mode(mode)).unwrap();
    pass(0o750);
    assert_eq!(exposed(), 0);
    pass(0o711);
    assert_eq!(exposed(), 1);
    // It counts where the file is, not where a link to it is.
    pass(0o700);
    let open = Directory::new("open");
    let link = open.0.join("link.cfg");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(Config::load(&link, &Overrides::default()).unwrap().0.exposed_secrets(), []);
}

#[test]
fn who_must_read_the_file_follows_from_who_runs() {
    let directory = Directory::new("readers");
    let fix = |user: &str| {
        let text = format!("[service]\njid=icq.example.org\nport=5347\npassword=secret\nuser={user}\n");
        let file = directory.write("icq.cfg", 0o644, text);
        Config::load(&file, &Overrides::default()).unwrap().0.exposed_secrets()[0].to_string()
    };
    // Its own group, which is not called so everywhere.
    let group = nix::unistd::User::from_name("nobody").unwrap().unwrap().gid;
    let group = nix::unistd::Group::from_gid(group).unwrap().unwrap().name;
    assert!(fix("nobody").contains(&format!("chown root:{group} ")), "{}", fix("nobody"));
}

#[test]
fn check_sums_a_good_file_up() {
    let directory = Directory::new("good");
    let backend = directory.write("backend", 0o755, "");
    let text = format!(
        "[service]\njid=icq.example.org\nport=5347\npassword=secret\nbackend={}\nprotocol=prpl-icq\n",
        backend.display()
    );
    let file = directory.write("icq.cfg", 0o600, text);
    let (report, exit) = report(&file, &Overrides::default());
    assert_eq!(
        report,
        format!(
            "transport: icq.example.org\n\
             mode:      gateway mode, component of 127.0.0.1:5347\n\
             backend:   {}, 100 users in one process\n\
             protocol:  prpl-icq\n\
             database:  sqlite3, /var/lib/spectrum2/icq.example.org/database.sql\n\
             ok\n",
            backend.display()
        )
    );
    assert_eq!(exit, ExitKind::Ok);
}

#[test]
fn check_finds_what_spectrum_2_understood_differently() {
    let directory = Directory::new("differences");
    let text = "[service]\njid=icq.example.org\nport=5347\npassword=se#cret\nbackend=/nonexistent/backend -x\n\
                irc_away_timeout=1\nirc_send_pass=yes\nvip_message=#1 \n[logging]\nconfig=/nonexistent/log\n";
    let file = directory.write("icq.cfg", 0o600, text);
    let (report, exit) = report(&file, &Overrides::default());
    let name = file.display();
    for line in [
        format!("warning: {name}:4: service.password: Spectrum 2 read only what stands in front of the “#”."),
        format!(
            "warning: {name}:5: service.backend: /nonexistent/backend does not exist, so nobody will be able to log in. Install the backend, or correct the name."
        ),
        format!(
            "warning: {name}:6: service.irc_away_timeout: Spectrum 2 took it for a boolean and used its default."
        ),
        format!(
            "warning: {name}:7: service.irc_send_pass: Spectrum 2 knew only 0, 1, true and false here, and used its default instead of “yes”."
        ),
        format!(
            "warning: {name}:8: service.vip_message: Spectrum 2 took every “#” for the start of a comment, so it read “”, not “#1”."
        ),
        format!(
            "warning: {name}:10: logging.config: /nonexistent/log does not exist, so it is ignored. Create or remove it."
        ),
        "ok, 6 warnings".to_owned(),
    ] {
        assert!(report.lines().any(|reported| reported == line), "{line}\nis not in:\n{report}");
    }
    assert_eq!(exit, ExitKind::Ok);
    let (_, warnings) = Config::load(&file, &Overrides::default()).unwrap();
    assert_eq!(warnings.len(), 2, "a start warns about missing files only");
}

#[test]
fn check_counts_errors() {
    let directory = Directory::new("errors");
    let file = directory.write("icq.cfg", 0o600, "[service]\njid=icq.example.org\nport=x\nprot=1\n");
    let (report, exit) = report(&file, &Overrides::default());
    assert!(report.ends_with("\n2 errors, 1 warning\n"), "{report}");
    assert_eq!(exit.code(), 78);
}

#[test]
fn files_that_cannot_be_transport_files() {
    let directory = Directory::new("unreadable");
    let load = |path: &Path| Config::load(path, &Overrides::default()).unwrap_err();

    let problems = load(&directory.0.join("none.cfg"));
    assert!(problems.to_string().contains("none.cfg: The file cannot be read: No such file"), "{problems}");
    assert_eq!(problems.exit_kind(), ExitKind::Configuration);

    assert!(load(Path::new("/dev/zero")).to_string().contains("larger than 1 MiB"));
    assert!(load(&directory.0).to_string().contains("Name a transport file."));

    let file = directory.write("latin1.cfg", 0o600, b"[identity]\n# f\xfcr\nname=f\xfcr\n");
    let problems = load(&file);
    assert_eq!(problems.iter().count(), 1);
    assert!(
        problems
            .to_string()
            .ends_with("latin1.cfg:3: The line is not UTF-8. Save the file in this encoding.")
    );
}

#[test]
fn check_looks_at_the_file_once_for_each_vhost() {
    let directory = Directory::new("vhosts");
    directory.write("secret-icq.example.org", 0o600, "capulet");
    let place = directory.0.display();
    let file = directory.write(
        "icq.cfg",
        0o600,
        format!(
            "[service]\njid=icq.example.org\nport=5347\npassword_file={place}/secret-$jid\nbackend=/bin/true\n\
             [vhosts]\nvhost=icq.example.net\nvhost=ICQ.example.org\nvhost=icq.example.net\n\
             [database]\ndatabase=/var/lib/icq.sql\n"
        ),
    );
    let (text, exit) = report(&file, &Overrides::default());
    assert_eq!(exit, ExitKind::Configuration, "{text}");
    for problem in [
        format!("icq.cfg:4: service.password_file: For icq.example.net: {place}/secret-icq.example.net"),
        "icq.cfg:7: vhosts.vhost: ICQ.example.org is given a second time".to_owned(),
        "vhosts.vhost: icq.example.net is given a second time".to_owned(),
        "icq.cfg:11: database.database: All vhosts share this database".to_owned(),
    ] {
        assert!(text.contains(&problem), "{problem}\n{text}");
    }
    // The one that is served alone needs its own secret only.
    let alone = Overrides { jid: Some("icq.example.org".to_owned()), ..Overrides::default() };
    let (text, exit) = report(&file, &alone);
    assert_eq!(exit, ExitKind::Ok, "{text}");
    assert!(!text.contains("vhost"), "{text}");
}
