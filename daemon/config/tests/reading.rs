//! What a transport file may say, and what the admin is told when it says something else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use proptest::prelude::*;
use spectrum2_config::{
    Change, Config, DatabaseKind, Kind, LogLevel, NoSecrets, OPTIONS, OptionInfo, Overrides, Place, Problems,
    ProxyKind, Severity,
};

const MINIMAL: &str = "[service]\njid=icq.example.org\npassword=secret\nport=5347\n";

fn parse(text: &str, overrides: &Overrides) -> Result<(Config, Vec<String>), Problems> {
    let (config, warnings) = Config::parse(text, Path::new("icq.cfg"), overrides, &NoSecrets)?;
    Ok((config, warnings.iter().map(ToString::to_string).collect()))
}

/// A minimal file with more lines at its end, which is still in `[service]`.
fn with(lines: &str) -> String {
    format!("{MINIMAL}{lines}")
}

/// The configuration, when there is nothing to complain about.
fn good(lines: &str) -> Config {
    let (config, warnings) = parse(&with(lines), &Overrides::default()).unwrap();
    assert_eq!(warnings, [""; 0]);
    config
}

fn warnings(lines: &str) -> Vec<String> {
    parse(&with(lines), &Overrides::default()).unwrap().1
}

fn problems(text: &str) -> Vec<String> {
    let problems = parse(text, &Overrides::default()).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

fn command_line(values: &[(&str, &str)]) -> Overrides {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Overrides { jid: None, values }
}

#[test]
fn the_table_has_no_option_twice_and_only_good_defaults() {
    for (index, option) in OPTIONS.iter().enumerate() {
        let others = OPTIONS.iter().skip(index + 1);
        let same = others
            .filter(|other| other.name == option.name || other.alias_name().as_deref() == Some(option.name));
        assert_eq!(same.count(), 0, "{}", option.name);
        assert_eq!(option.name, format!("{}.{}", option.section, option.key));
        assert!(option.meaning.ends_with(['.', ')']), "{}", option.name);
        assert!(!option.places.is_empty(), "{}", option.name);
        if let Kind::Integer { min, max } = option.kind {
            let default: i64 = option.default.parse().unwrap();
            assert!((min..=max).contains(&default), "{}", option.name);
        }
    }
    // Reads the default of every option, too.
    assert_eq!(Config::default().service.users_per_backend, 100);
}

#[test]
fn every_option_can_be_set() {
    let before = Config::default();
    let mut refused = Vec::new();
    for option in OPTIONS {
        let value = match option.kind {
            Kind::Integer { max, .. } => max.to_string(),
            Kind::Choice(words) => words.last().unwrap().to_string(),
            Kind::Boolean => if option.default == "0" { "yes" } else { "No" }.to_owned(),
            _ => "/somewhere.else".to_owned(),
        };
        let text = format!("[{}]\n{}={value}\n", option.section, option.key);
        match Config::parse(&text, Path::new("icq.cfg"), &minimal(), &NoSecrets) {
            Ok((after, _)) => {
                assert!(before.changes(&after).any(|changed| changed.name == option.name), "{}", option.name);
            }
            Err(problems) => {
                assert_eq!(problems.iter().filter(|problem| problem.severity == Severity::Error).count(), 1);
                refused.push(option.name);
            }
        }
    }
    // These need more than a value that fits their type: a known word, a domain, a proxy, files that exist.
    assert_eq!(
        refused,
        [
            "service.password_file",
            "service.frontend",
            "service.cert_password_file",
            "vhosts.vhost",
            "metrics.listen",
            "database.password_file",
            "database.encryption_key_file",
            "proxy.type"
        ]
    );
}

/// What a gateway needs, from the command line.
fn minimal() -> Overrides {
    let values = [("service.password", "secret"), ("service.port", "5347")];
    Overrides { jid: Some("icq.example.org".into()), ..command_line(&values) }
}

#[test]
fn defaults() {
    let config = good("");
    assert_eq!(config.service.server, "127.0.0.1");
    assert_eq!(config.service.users_per_backend, 100);
    assert_eq!(config.service.max_users, 10_000);
    assert_eq!(config.service.max_contacts, 5_000);
    assert_eq!(config.service.max_stanza_size, 262_144);
    assert_eq!(config.service.log_level, LogLevel::Info);
    assert!(config.service.verify_certs);
    assert_eq!(config.database.kind.as_str(), "sqlite3");
    assert_eq!(config.identity.name, "Spectrum 2 Transport");
    assert_eq!(config.libpurple.plugins_dir, Path::new("./plugins"));
}

#[test]
fn the_jid_stands_for_itself_everywhere() {
    let config = good(
        "pidfile=/run/$jid/$jid.pid\npassword_file=\n[identity]\nname=Bridge at $jid\n[purple]\nresource=$jid\n",
    );
    assert_eq!(config.service.pidfile, Path::new("/run/icq.example.org/icq.example.org.pid"));
    assert_eq!(config.identity.name, "Bridge at icq.example.org");
    assert_eq!(config.database.database, "/var/lib/spectrum2/icq.example.org/database.sql");
    assert_eq!(config.purple, [("resource".to_owned(), "$jid".to_owned())]);
}

#[test]
fn the_command_line_goes_before_the_file() {
    let overrides = command_line(&[
        ("service.jid", "aim.example.org"),
        ("service.port", "5348"),
        ("service.admin_jid", "escalus@example.org"),
        ("service.admin_jid", "prince@example.org"),
        ("purple.port", "5190"),
    ]);
    let text = with("admin_jid=romeo@example.org\n[purple]\nport=1\nencoding=cp1252\n");
    let (config, warnings) = parse(&text, &overrides).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.service.port, 5348);
    assert_eq!(config.service.jid, "aim.example.org");
    assert_eq!(config.service.working_dir, Path::new("/var/lib/spectrum2/aim.example.org"));
    assert_eq!(config.service.admin_jid, ["escalus@example.org", "prince@example.org"]);
    assert_eq!(
        config.purple,
        [("port".to_owned(), "5190".to_owned()), ("encoding".to_owned(), "cp1252".to_owned())]
    );
}

#[test]
fn the_jid_option_goes_before_everything() {
    let overrides = Overrides { jid: Some("aim.example.org".into()), values: Vec::new() };
    let (config, _) = parse(MINIMAL, &overrides).unwrap();
    assert_eq!(config.service.jid, "aim.example.org");
    assert_eq!(config.service.pidfile, Path::new("/var/run/spectrum2/aim.example.org.pid"));
    let (config, _) = parse("[service]\npassword=secret\nport=5347\n", &overrides).unwrap();
    assert_eq!(config.service.jid, "aim.example.org");
}

#[test]
fn the_command_line_must_be_right() {
    let overrides =
        command_line(&[("service.server_m", "1"), ("service.port", "x"), ("service.port", "5347")]);
    let problems = parse(MINIMAL, &overrides).unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines[..3],
        [
            "command line: service.server_m: There is no such option. Did you mean service.server?",
            "command line: service.port: “x” is not a whole number. Write digits only, from 0 to 65535.",
            "command line: service.port: It is given a second time, first on the command line. Remove one of the two.",
        ]
    );
}

#[test]
fn all_problems_of_a_file_are_reported_at_once() {
    let text = "\
[service]
jid = icq@example.org
port = 99999
server_mode = maybe
prot = 5347
junk
[Database]
type = sqlite3
[database]
type = oracle
";
    assert_eq!(
        problems(text),
        [
            "icq.cfg:2: service.jid: “icq@example.org” has an @; a transport is a whole domain. Write a name such as icq.example.org.",
            "icq.cfg:3: service.port: 99999 is out of range. Write a number from 0 to 65535.",
            "icq.cfg:4: service.server_mode: “maybe” is neither yes nor no. Write 1 or 0.",
            "icq.cfg:5: service.prot: There is no such option. Did you mean service.port?",
            "icq.cfg:6: This is neither “key = value” nor a [section]. Correct it, or put “#” in front.",
            "icq.cfg:8: Database.type: There is no such option. Did you mean database.type?",
            "icq.cfg:10: database.type: “oracle” is not known. Write one of: none, sqlite3, mysql, pqxx.",
            "icq.cfg: service.password: There is no component secret. Set it to the one that the XMPP server has for this component; service.password_file or the systemd credential component-password hide it better.",
        ]
    );
}

#[test]
fn an_empty_file_lacks_three_things() {
    let problems = parse("", &Overrides::default()).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["service.jid", "service.password", "service.port"]);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
    assert_eq!(problems.exit_kind().code(), 78);
}

#[test]
fn a_key_given_twice_names_both_lines() {
    assert_eq!(
        problems(&with("[identity]\nname=a\n[service]\nport=5348\n")),
        ["icq.cfg:8: service.port: It is given a second time, first in line 4. Remove one of the two."]
    );
    assert_eq!(
        problems(&with("[purple]\nport=1\nport=2\n")),
        ["icq.cfg:7: purple.port: It is given a second time, first in line 6. Remove one of the two."]
    );
}

#[test]
fn lists_take_one_value_a_line() {
    let config = good("irc_server=irc.example.net\nirc_server=irc.example.org:+6697\nadmin_jid=\n");
    assert_eq!(config.service.irc_server, ["irc.example.net", "irc.example.org:+6697"]);
    assert!(config.service.admin_jid.is_empty());
    assert_eq!(
        warnings("admin_jid=a@example.org, b@example.org\n"),
        ["icq.cfg:5: service.admin_jid: This is one value, not several. Repeat the key for each value."]
    );
}

#[test]
fn an_empty_boolean_is_on_but_odd() {
    let (config, warnings) = parse(&with("vip_only=\n"), &Overrides::default()).unwrap();
    assert!(config.service.vip_only);
    assert_eq!(
        warnings,
        [
            "icq.cfg:5: service.vip_only: An empty value switches the option on. Write 1 or 0 to make that plain."
        ]
    );
}

#[test]
fn all_booleans_know_all_spellings() {
    let config = good("irc_send_pass=Yes\n[settings]\nstay_connected=ON\n[registration]\nneedPassword=off\n");
    assert!(config.service.irc_send_pass && config.settings.stay_connected);
    assert!(!config.registration.need_password);
}

#[test]
fn unknown_options_are_kept_but_their_values_are_not_shown() {
    let text = with("pasword=verona\n[future]\nkey=verona\n");
    let (config, warnings) = parse(&text, &Overrides::default()).unwrap();
    assert_eq!(
        warnings,
        [
            "icq.cfg:5: service.pasword: There is no such option. Did you mean service.password?",
            "icq.cfg:7: future.key: There is no such option. Correct or remove it.",
        ]
    );
    assert_eq!(config.unknown[1].name, "future.key");
    assert_eq!(config.unknown[1].value.expose(), "verona");
    assert_eq!(config.unknown[1].line, Some(7));
    assert!(!format!("{config:?}").contains("verona"));
}

#[test]
fn secrets_are_in_no_debug_output_and_in_no_problem() {
    let config = good(
        "[database]\npassword=verona\nencryption_key=verona\n[proxy]\npassword=verona\n[purple]\nfb_api_secret=verona\n",
    );
    assert!(!format!("{config:?}").contains("verona"));
    let problems = problems(&with("password=verona\n= verona\n; verona\n[verona\n"));
    assert_eq!(problems.len(), 4);
    assert!(!problems.concat().contains("verona"));
}

#[test]
fn libpurple_options_are_free_text_in_the_order_of_the_file() {
    let config = good("[purple]\nz=1\nplugins_dir=/opt/plugins\n[Purple]\na=true\n");
    assert_eq!(config.purple, [("z".to_owned(), "1".to_owned()), ("a".to_owned(), "true".to_owned())]);
    assert_eq!(config.libpurple.plugins_dir, Path::new("/opt/plugins"));
}

#[test]
fn a_proxy_has_two_spellings() {
    for (host, user) in [("host", "username"), ("server", "user")] {
        let config =
            good(&format!("[proxy]\ntype=http\n{host}=proxy.example.org\n{user}=romeo\nport=3128\n"));
        assert_eq!(config.proxy.kind, ProxyKind::Http);
        assert_eq!((config.proxy.host.as_str(), config.proxy.port), ("proxy.example.org", 3128));
        assert_eq!(config.proxy.username, "romeo");
    }
    for lines in ["[proxy]\ntype=socks5\nserver=a\nhost=b\n", "[proxy]\ntype=socks5\nhost=b\nserver=a\n"] {
        let (config, warnings) = parse(&with(lines), &Overrides::default()).unwrap();
        assert_eq!(config.proxy.host, "b");
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("proxy.server: It is ignored, because proxy.host is given"),
            "{warnings:?}"
        );
    }
    assert_eq!(
        problems(&with("[proxy]\ntype=socks5\n")),
        ["icq.cfg:6: proxy.type: There is a proxy type but no proxy. Set proxy.host."]
    );
}

#[test]
fn retired_options_say_why() {
    assert_eq!(
        warnings("eventloop=libev\n"),
        [
            "icq.cfg:5: service.eventloop: This option has no effect: libpurple always runs on the loop of GLib. Remove it."
        ]
    );
    assert_eq!(
        problems(&with("frontend=slack\n")),
        ["icq.cfg:5: service.frontend: The Slack front end is not supported. Remove the option."]
    );
}

#[test]
fn a_gateway_on_the_port_for_clients_is_odd() {
    let text = MINIMAL.replace("5347", "5222");
    let (_, warnings) = parse(&text, &Overrides::default()).unwrap();
    assert!(warnings[0].starts_with("icq.cfg:4: service.port: 5222 is the port for clients"), "{warnings:?}");
}

#[test]
fn a_server_listens_on_an_address() {
    let text = "[service]\njid=example.org\nserver_mode=1\nserver=0.0.0.0\nport=5222\ncert=/etc/cert.p12\n";
    assert!(parse(text, &Overrides::default()).unwrap().1.is_empty());
    assert_eq!(
        problems(&text.replace("0.0.0.0", "example.org")),
        [
            "icq.cfg:4: service.server: “example.org” is not an IP address to listen on. Write 0.0.0.0 for all addresses, or one of this machine."
        ]
    );
}

#[test]
fn a_server_without_a_certificate_stays_on_the_loopback() {
    let text = "[service]\njid=example.org\nserver_mode=1\nserver=127.0.0.1\nport=5222\n";
    for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(parse(&text.replace("127.0.0.1", loopback), &Overrides::default()).unwrap().1.is_empty());
    }
    let public = text.replace("127.0.0.1", "0.0.0.0");
    let refusal = problems(&public).join("\n");
    assert!(refusal.starts_with("icq.cfg: service.cert: There is no certificate"), "{refusal}");
    let (_, warnings) = parse(&(public + "allow_plain_text=1\n"), &Overrides::default()).unwrap();
    assert!(warnings[0].contains("service.allow_plain_text: Clients send"), "{warnings:?}");
    let without = format!("{text}tls_port=5223\ncert_key=/etc/key.pem\n");
    let keys: Vec<String> =
        problems(&without).iter().map(|problem| problem.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(keys, ["service.tls_port", "service.cert_key"]);
}

#[test]
fn a_server_needs_a_port_and_two_that_differ() {
    let text = "[service]\njid=example.org\nserver_mode=1\nserver=0.0.0.0\ncert=/etc/cert.p12\n";
    assert!(problems(text)[0].contains("service.port: There is no port to listen on"));
    assert!(parse(&format!("{text}tls_port=5223\n"), &Overrides::default()).unwrap().1.is_empty());
    let same = problems(&format!("{text}port=5222\ntls_port=5222\n"));
    assert!(same[0].contains("service.tls_port: It is the same as service.port"), "{same:?}");
}

#[test]
fn a_server_is_for_one_domain() {
    let text = "[service]\njid=example.org\nserver_mode=1\nport=5222\n[vhosts]\nvhost=example.net\n";
    let (config, warnings) = parse(text, &Overrides::default()).unwrap();
    assert!(warnings[0].contains("vhosts.vhost: It has no effect in server mode"), "{warnings:?}");
    assert!(config.further_jids().is_empty());
}

#[test]
fn a_server_stores_nothing_unless_it_is_asked_to() {
    let text = "[service]\njid=example.org\nserver_mode=1\nport=5222\n";
    let (config, _) = parse(text, &Overrides::default()).unwrap();
    assert_eq!(config.database.kind, DatabaseKind::None);
    let (config, _) = parse(&format!("{text}[database]\nprefix=a\n"), &Overrides::default()).unwrap();
    assert_eq!(config.database.kind, DatabaseKind::Sqlite3);
}

#[test]
fn options_that_have_no_effect_alone() {
    let lines = "allowed_servers=example.org\nweb_url=https://example.org/\n[proxy]\nhost=a\n[database]\nvip_statement=SELECT 1\n";
    let keys: Vec<String> =
        warnings(lines).iter().map(|warning| warning.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(keys, ["service.allowed_servers", "service.web_url", "proxy.host", "database.vip_statement"]);
}

#[test]
fn quiet_users_are_not_moved() {
    let warned = warnings("idle_reconnect_time=3600\n");
    assert!(
        warned[0].contains("service.idle_reconnect_time: It has no effect: quiet users stay"),
        "{warned:?}"
    );
    assert!(warnings("idle_reconnect_time=0\n").is_empty());
}

#[test]
fn unchecked_certificates_and_host_names_for_backends_are_warned_about() {
    let warnings = warnings("verify_certs=0\nbackend_host=localhost\n");
    assert!(warnings[0].contains("service.verify_certs: Certificates"), "{warnings:?}");
    assert!(warnings[1].contains("service.backend_host: “localhost” is not an IP address"), "{warnings:?}");
}

#[test]
fn broken_patterns_are_found_early() {
    assert_eq!(
        problems(&with("[registration]\nallowed_usernames=[a-z\n")),
        ["icq.cfg:6: registration.allowed_usernames: The regular expression lacks a closing bracket. \
          Correct it, or put a backslash in front of signs that stand for themselves."]
    );
}

#[test]
fn a_reload_knows_what_changed() {
    let (before, after) = (good("vip_only=0\n"), good("vip_only=1\n[identity]\nname=a\n"));
    let names: Vec<_> = before.changes(&after).map(|option| option.name).collect();
    assert_eq!(names, ["service.vip_only", "identity.name"]);
}

#[test]
fn a_reload_takes_over_what_can_change_and_names_the_rest() {
    let before = good("vip_only=0\nlog_level=info\n");
    let after = good("vip_only=1\nbackend_port=7\n[identity]\nname=a\n[purple]\nport=6697\n");
    let (reloaded, waiting) = before.reloaded(&after);
    assert!(reloaded.service.vip_only);
    assert_eq!((reloaded.service.backend_port, reloaded.identity.name.as_str()), (0, "a"));
    assert_eq!(waiting, ["service.backend_port", "purple.*"]);
    assert_eq!(before.reloaded(&before), (before.clone(), Vec::new()));
}

/// A value that an option does not have by itself.
fn other_value(option: &OptionInfo) -> String {
    match option.kind {
        Kind::Boolean => if option.default == "1" { "0" } else { "1" }.to_owned(),
        Kind::Integer { min, max } => {
            if option.default == max.to_string() {
                min.to_string()
            } else {
                max.to_string()
            }
        }
        Kind::Choice(words) => {
            (*words.iter().find(|word| **word != option.default).expect("a choice of two")).to_owned()
        }
        Kind::Path => "/srv/verona".to_owned(),
        Kind::Text | Kind::Secret | Kind::List => "verona".to_owned(),
    }
}

/// Of the whole table: a reload takes over what changed, or names it; what backends read once both, if need be.
#[test]
fn a_reload_passes_over_no_option() {
    let before = Config::outline(MINIMAL, Path::new("icq.cfg"));
    for option in OPTIONS {
        let text = format!("{MINIMAL}[{}]\n{} = {}\n", option.section, option.key, other_value(option));
        // service.jid and the like stand there already.
        let text = match option.name {
            "service.jid" | "service.password" | "service.port" => {
                MINIMAL
                    .lines()
                    .filter(|line| !line.starts_with(option.key))
                    .fold(String::new(), |text, line| text + line + "\n")
                    + &format!("{} = {}\n", option.key, other_value(option))
            }
            _ => text,
        };
        let after = Config::outline(&text, Path::new("icq.cfg"));
        assert!(before.changes(&after).any(|changed| changed.name == option.name), "{text}");
        let (reloaded, waiting) = before.reloaded(&after);
        let is_applied = !reloaded.changes(&after).any(|left| left.name == option.name);
        let is_named = waiting.contains(&option.name);
        assert_eq!(is_applied, option.change == Change::Reload, "{}", option.name);
        let by_backends = option.places.contains(&Place::Backend);
        assert_eq!(is_named, !is_applied || by_backends, "{}", option.name);
        // And nothing is named or taken over that did not change: paths with $jid follow service.jid.
        for name in waiting {
            assert!(before.changes(&after).any(|changed| changed.name == name), "{name}");
        }
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(?s).{0,300}") {
        let _ = parse(&text, &Overrides::default());
    }

    #[test]
    fn no_file_of_likely_words_makes_it_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "[service]", "[purple]", "[]", "[", "]", "jid", "port", "proxy.server", "proxy.host", "host",
                "server_mode", "password", "=", " ", "#", ";", "\n", "$jid", "1", "-1", "yes", "a.b", ".", "ä",
            ]),
            0..60,
        )
    ) {
        let _ = parse(&words.concat(), &Overrides::default());
    }

    #[test]
    fn any_text_survives(value in "[^\r\n]{0,60}") {
        let value = value.trim();
        let commented = value.char_indices().any(|(at, c)| c == '#' && value[..at].ends_with(char::is_whitespace));
        prop_assume!(!commented && !value.contains("$jid"));
        let (config, _) = parse(&with(&format!("[identity]\nname={value}\n")), &Overrides::default()).unwrap();
        prop_assert_eq!(config.identity.name, value);
    }
}

#[test]
fn metrics_are_for_this_machine_only() {
    let listen = |value: &str| problems(&format!("{}[metrics]\nlisten={value}\n", with("")));
    for address in ["127.0.0.1:9797", "[::1]:9797", ""] {
        assert_eq!(good(&format!("[metrics]\nlisten={address}\n")).metrics.listen, address);
    }
    assert!(
        listen("0.0.0.0:9797")[0]
            .contains("metrics.listen: “0.0.0.0:9797” can be reached from other machines")
    );
    assert!(listen("9797")[0].contains("metrics.listen: “9797” is no address with a port"));
}
