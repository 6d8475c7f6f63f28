//! What the types of the options do not say: values that contradict each other or cannot work.
//!
//! Everything here looks at values only; what needs the file system is in `files.rs`.

use std::net::{IpAddr, SocketAddr};

use crate::option::{Kind, OptionInfo};
use crate::problem::Severity;
use crate::table::{Config, Service};
use crate::value::{DatabaseKind, ProxyKind};

/// Something that is wrong with an option.
pub struct Finding {
    pub severity: Severity,
    /// The option to blame.
    pub key: &'static str,
    pub text: String,
}

impl Finding {
    pub fn error(key: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, key, text: text.into() }
    }

    pub fn warning(key: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, key, text: text.into() }
    }
}

/// Checks a configuration as a whole. `given` tells which options the file or the command line mentions.
pub fn check(config: &Config, given: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    addresses(config, &mut findings);
    metrics(config, &mut findings);
    if config.service.server_mode {
        server_mode(config, &mut findings);
    } else {
        gateway_mode(config, &mut findings);
    }
    frontend(config, &mut findings);
    registration(config, given, &mut findings);
    database(config, given, &mut findings);
    backend(config, &mut findings);
    findings
}

fn addresses(config: &Config, findings: &mut Vec<Finding>) {
    let jid = &config.service.jid;
    if jid.is_empty() {
        findings.push(Finding::error(
            "service.jid",
            "The transport has no JID. Set it to the name that the XMPP server knows, \
             for example jid=icq.example.org in section [service].",
        ));
    } else if let Err(cause) = domain(jid) {
        findings.push(Finding::error("service.jid", cause));
    }
    for vhost in &config.vhosts.vhost {
        if let Err(cause) = domain(vhost) {
            findings.push(Finding::error("vhosts.vhost", cause));
        }
    }
}

fn metrics(config: &Config, findings: &mut Vec<Finding>) {
    let listen = &config.metrics.listen;
    let text = match listen.parse::<SocketAddr>() {
        _ if listen.is_empty() => return,
        Ok(address) if address.ip().is_loopback() => return,
        Ok(_) => format!(
            "“{listen}” can be reached from other machines, and nobody is asked who he is. Write an address of the \
             loopback such as 127.0.0.1:9797, and let a web server with a password pass it on."
        ),
        Err(_) => {
            format!("“{listen}” is no address with a port. Write one of the loopback such as 127.0.0.1:9797.")
        }
    };
    findings.push(Finding::error("metrics.listen", text));
}

/// Checks what the further transports of a file have in common. With `-j` it says nothing: then one is served alone.
pub fn vhosts(config: &Config) -> Vec<Finding> {
    const OPTION: &str = "vhosts.vhost";
    let mut findings = Vec::new();
    let jids: Vec<&String> = [&config.service.jid].into_iter().chain(&config.vhosts.vhost).collect();
    for (index, vhost) in jids.iter().enumerate().skip(1) {
        if jids.iter().take(index).any(|jid| jid.eq_ignore_ascii_case(vhost)) {
            findings.push(Finding::warning(OPTION, format!("{vhost} is given a second time. Remove one.")));
        }
    }
    if config.further_jids().is_empty() {
        return findings;
    }
    let database = &config.database;
    let differs =
        [&database.database, &database.prefix].iter().any(|text| text.contains(&config.service.jid));
    if database.kind == DatabaseKind::Sqlite3 && !differs {
        findings.push(Finding::warning(
            "database.database",
            "All vhosts share this database, so who registers with one is registered with all. Put $jid into the path \
             to give each its own.",
        ));
    }
    findings
}

/// Whether the text can be the domain of a JID. It is no proof: that needs tables of Unicode which only those who
/// speak XMPP have. But it can stand in for `$jid` in a path.
pub fn domain(jid: &str) -> Result<(), String> {
    let cause = if jid.contains('@') {
        "has an @; a transport is a whole domain"
    } else if jid.contains('/') {
        "has a resource; a transport is a whole domain"
    // RFC 7622 §3.2: at most 1023 octets, no empty label.
    } else if jid.len() > 1023 {
        "is too long"
    } else if jid.split('.').any(str::is_empty) {
        "has an empty part between dots"
    } else if jid.chars().any(|c| c.is_whitespace() || c.is_control() || r#""&'<>\:,;"#.contains(c)) {
        "has a character that no domain has"
    } else {
        return Ok(());
    };
    Err(format!("“{jid}” {cause}. Write a name such as icq.example.org."))
}

fn gateway_mode(config: &Config, findings: &mut Vec<Finding>) {
    let service = &config.service;
    if service.password.is_empty() {
        findings.push(Finding::error(
            "service.password",
            "There is no component secret. Set it to the one that the XMPP server has for this component; \
             service.password_file or the systemd credential component-password hide it better.",
        ));
    }
    if service.server.is_empty() {
        findings.push(Finding::error(
            "service.server",
            "There is no XMPP server to connect to. Set it to a host name or IP address, or remove the line for 127.0.0.1.",
        ));
    }
    match service.port {
        0 => findings.push(Finding::error(
            "service.port",
            "There is no port to connect to. Set it to the component port of the XMPP server, which is 5347 with most of them.",
        )),
        5222 => findings.push(Finding::warning(
            "service.port",
            "5222 is the port for clients on most XMPP servers. Set it to the component port, which is mostly 5347, \
             unless yours is different.",
        )),
        _ => {}
    }
}

fn server_mode(config: &Config, findings: &mut Vec<Finding>) {
    let service = &config.service;
    if service.server.parse::<IpAddr>().is_err() {
        findings.push(Finding::error(
            "service.server",
            format!(
                "“{}” is not an IP address to listen on. Write 0.0.0.0 for all addresses, or one of this machine.",
                service.server
            ),
        ));
    }
    if service.port == 0 && service.tls_port == 0 {
        findings.push(Finding::error(
            "service.port",
            "There is no port to listen on. Set it to the port for clients, which is 5222 normally.",
        ));
    }
    if !config.vhosts.vhost.is_empty() {
        findings.push(Finding::warning(
            "vhosts.vhost",
            "It has no effect in server mode: each domain needs a port of its own. Give each a file of its own.",
        ));
    }
    if service.port == service.tls_port && service.port != 0 {
        findings.push(Finding::error(
            "service.tls_port",
            "It is the same as service.port. Set it to another one, normally 5223, or remove it.",
        ));
    }
    if service.cert.as_os_str().is_empty() {
        without_certificate(service, findings);
    } else if service.allow_plain_text {
        findings.push(Finding::warning(
            "service.allow_plain_text",
            "It has no effect together with service.cert: clients must encrypt. Remove it.",
        ));
    }
}

/// The address is one of this machine's that no other machine reaches.
fn is_loopback(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn without_certificate(service: &Service, findings: &mut Vec<Finding>) {
    if service.tls_port != 0 {
        findings.push(Finding::error(
            "service.tls_port",
            "There can be no TLS without a certificate. Set service.cert as well.",
        ));
    }
    if !service.cert_key.as_os_str().is_empty() {
        findings.push(Finding::error(
            "service.cert_key",
            "There is a key but no certificate. Set service.cert as well.",
        ));
    }
    if service.allow_plain_text {
        findings.push(Finding::warning(
            "service.allow_plain_text",
            "Clients send their passwords in clear text, and anybody on the way can read them. Set service.cert instead.",
        ));
    } else if !is_loopback(&service.server) {
        findings.push(Finding::error(
            "service.cert",
            "There is no certificate, and clients would send their passwords in clear text over the network. Set it to \
             a PEM or PKCS#12 file; or listen on 127.0.0.1; or write service.allow_plain_text=1, if something else \
             protects the way.",
        ));
    }
}

fn frontend(config: &Config, findings: &mut Vec<Finding>) {
    let text = match config.service.frontend.as_str() {
        "xmpp" => return,
        "slack" => "The Slack front end is not supported. Remove the option.".to_owned(),
        other => format!("There is no front end “{other}”. Remove the option, or write xmpp."),
    };
    findings.push(Finding::error("service.frontend", text));
}

fn registration(config: &Config, given: &dyn Fn(&str) -> bool, findings: &mut Vec<Finding>) {
    let registration = &config.registration;
    if let Some(cause) = broken_pattern(&registration.allowed_usernames) {
        findings.push(Finding::error(
            "registration.allowed_usernames",
            format!("The regular expression {cause}. Correct it, or put a backslash in front of signs that stand for themselves."),
        ));
    }
    let mask = &registration.username_mask;
    if !mask.is_empty() && !mask.contains("$username") {
        findings.push(Finding::warning(
            "registration.username_mask",
            "It does not contain $username, so all users get the same account name. Put $username where the name belongs.",
        ));
    }
    if registration.enable_public_registration && given("service.allowed_servers") {
        findings.push(Finding::warning(
            "service.allowed_servers",
            "It has no effect while everybody may register. Set registration.enable_public_registration=0 as well.",
        ));
    }
}

/// Why a pattern cannot be a regular expression. What looks right here may still be refused when it is compiled.
fn broken_pattern(pattern: &str) -> Option<&'static str> {
    let mut depth = 0_usize;
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return Some("ends with a single backslash"),
            ']' if in_class => in_class = false,
            '[' if !in_class => {
                in_class = true;
                // A bracket that comes first in its class stands for itself.
                let rest = chars.as_str().strip_prefix('^').unwrap_or(chars.as_str());
                chars = rest.strip_prefix(']').unwrap_or(rest).chars();
            }
            '(' if !in_class => depth += 1,
            ')' if !in_class => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Some("has a closing parenthesis too many"),
            },
            _ => {}
        }
    }
    if in_class {
        Some("lacks a closing bracket")
    } else if depth > 0 {
        Some("lacks a closing parenthesis")
    } else if pattern.starts_with(['*', '+', '?']) {
        Some("begins with a repetition of nothing")
    } else {
        None
    }
}

fn database(config: &Config, given: &dyn Fn(&str) -> bool, findings: &mut Vec<Finding>) {
    let database = &config.database;
    if database.kind != DatabaseKind::None
        && database.database.is_empty()
        && database.connectionstring.is_empty()
    {
        findings.push(Finding::error(
            "database.database",
            "The database has no name. Set it, or remove the line for the default.",
        ));
    }
    if database.kind != DatabaseKind::Mysql && given("database.vip_statement") {
        findings.push(Finding::warning(
            "database.vip_statement",
            "It has an effect with database.type=mysql only. Remove it.",
        ));
    }
    if database.kind != DatabaseKind::Pqxx && given("database.connectionstring") {
        findings.push(Finding::warning(
            "database.connectionstring",
            "It has an effect with database.type=pqxx only. Remove it.",
        ));
    }
}

fn backend(config: &Config, findings: &mut Vec<Finding>) {
    let service = &config.service;
    if service.backend.is_empty() {
        findings.push(Finding::error(
            "service.backend",
            "There is no backend program. Set it, or remove the line for /usr/bin/spectrum2_libpurple_backend.",
        ));
    }
    if service.backend_host.parse::<IpAddr>().is_err() {
        findings.push(Finding::warning(
            "service.backend_host",
            format!(
                "“{}” is not an IP address, and backends that were written for Spectrum 2 take nothing else. \
                 Write 127.0.0.1.",
                service.backend_host
            ),
        ));
    }
    if config.registration.require_local_account {
        findings.push(Finding::warning(
            "registration.require_local_account",
            "Local accounts are not checked any more, so that only admins can register users. Remove it to let \
             users register themselves.",
        ));
    }
    if service.idle_reconnect_time != 0 {
        findings.push(Finding::warning(
            "service.idle_reconnect_time",
            "It has no effect: quiet users stay in their backend process, for a move would end their sessions. Remove it.",
        ));
    }
    if !service.verify_certs {
        findings.push(Finding::warning(
            "service.verify_certs",
            "Certificates of the legacy network are not checked, so anybody on the way can read passwords and \
             messages. Remove the line unless the network leaves no choice.",
        ));
    }
    if service.web_directory.as_os_str().is_empty() != service.web_url.is_empty() {
        findings.push(Finding::warning(
            if service.web_url.is_empty() { "service.web_directory" } else { "service.web_url" },
            "It has no effect alone. Set both service.web_directory and service.web_url.",
        ));
    }
    let proxy = &config.proxy;
    if proxy.kind != ProxyKind::None && proxy.host.is_empty() {
        // Going on without the proxy would show to the network what the admin wanted to hide.
        findings.push(Finding::error("proxy.type", "There is a proxy type but no proxy. Set proxy.host."));
    }
    if proxy.kind == ProxyKind::None && !proxy.host.is_empty() {
        findings.push(Finding::warning(
            "proxy.host",
            "It has no effect without proxy.type. Set that to http, socks4 or socks5.",
        ));
    }
}

/// What is odd about a value that fits its type.
pub fn about_value(option: &OptionInfo, value: &str) -> Option<String> {
    match option.kind {
        Kind::Boolean if value.is_empty() => {
            Some("An empty value switches the option on. Write 1 or 0 to make that plain.".to_owned())
        }
        Kind::List if value.contains([',', ' ', '\t']) => {
            Some("This is one value, not several. Repeat the key for each value.".to_owned())
        }
        _ => None,
    }
}

/// Where Spectrum 2 understood something else.
pub fn difference(option: &OptionInfo, value: &str, spectrum2: Option<&str>) -> Option<String> {
    if option.kind == Kind::Secret && spectrum2.is_some() {
        return Some("Spectrum 2 read only what stands in front of the “#”.".to_owned());
    }
    if let Some(text) = difference_in_comment(value, spectrum2) {
        return Some(text);
    }
    let is_word = matches!(value, "0" | "1" | "true" | "false");
    match option.kind {
        Kind::List => None,
        Kind::Boolean if option.untyped && !is_word => Some(format!(
            "Spectrum 2 knew only 0, 1, true and false here, and used its default instead of “{value}”."
        )),
        Kind::Boolean => None,
        _ if option.untyped && is_word => {
            Some("Spectrum 2 took it for a boolean and used its default.".to_owned())
        }
        _ if option.untyped && value.contains("$jid") => Some("Spectrum 2 left $jid alone here.".to_owned()),
        _ if option.name == "service.memory_collector_time" && value != "0" => {
            Some("Spectrum 2 counted milliseconds here; these are seconds, as documented.".to_owned())
        }
        _ => None,
    }
}

/// Where Spectrum 2 saw a comment inside of the value.
pub fn difference_in_comment(value: &str, spectrum2: Option<&str>) -> Option<String> {
    let other = spectrum2?;
    Some(format!(
        "Spectrum 2 took every “#” for the start of a comment, so it read “{other}”, not “{value}”."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_is_a_domain() {
        for good in
            ["icq.example.org", "localhost", "münchen.example", "xn--mnchen-3ya.example", "a_b.example"]
        {
            assert_eq!(domain(good), Ok(()), "{good}");
        }
        let long = "a.".repeat(600) + "a";
        for bad in ["romeo@example.org", "example.org/balcony", "..", "a..b", ".a", "a b", "a\tb", &long] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_are_looked_at_only() {
        for good in ["", r"[a-z]+@example\.net", r"\(\[", "(a|b)*", "[]a]", "[^]a(]", "[(]"] {
            assert_eq!(broken_pattern(good), None, "{good}");
        }
        for bad in ["(a", "a)", "[a-z", "a\\", "*a"] {
            assert!(broken_pattern(bad).is_some(), "{bad}");
        }
    }
}
