use super::*;

use std::path::PathBuf;

use spectrum2_config::Secret;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/certificates").join(name)
}

fn service(cert: &str, key: Option<&str>, password: &str) -> Service {
    Service {
        jid: "chat.example.org".to_owned(),
        server_mode: true,
        cert: fixture(cert),
        cert_key: key.map(fixture).unwrap_or_default(),
        cert_password: Secret::new(password.to_owned()),
        ..Service::default()
    }
}

fn facts(cert: &str, key: Option<&str>, password: &str) -> Facts {
    match Certificate::load(&service(cert, key, password)) {
        Ok(certificate) => certificate.expect("a certificate was named").facts,
        Err(error) => panic!("{cert}: {error}"),
    }
}

fn refusal(cert: &str, key: Option<&str>, password: &str) -> String {
    match Certificate::load(&service(cert, key, password)) {
        Ok(_) => panic!("{cert} was taken"),
        Err(error) => error.to_string().replace(env!("CARGO_MANIFEST_DIR"), ""),
    }
}

#[test]
fn every_kind_of_pkcs12_file_is_read() {
    for (file, password) in [
        ("default.p12", "verona"),
        ("legacy-rc2.p12", "verona"),
        ("legacy-3des.p12", "verona"),
        ("sha1-aes128.p12", "verona"),
        ("no-mac.p12", "verona"),
        ("open.p12", ""),
        ("open-no-mac.p12", ""),
        ("open-no-mac.p12", "of no use"),
        ("empty-password.p12", ""),
        ("unicode-password.p12", "Veróna€"),
    ] {
        let facts = facts(file, None, password);
        assert_eq!(facts.subject, "CN=chat.example.org", "{file}");
        assert_eq!(facts.issuer, "CN=Verona authority", "{file}");
        assert_eq!(facts.chain, 2, "{file}");
    }
    assert_eq!(facts("rsa-legacy.p12", None, "verona").hosts, ["old.example.org"]);
}

#[test]
fn pem_files_in_any_order_and_with_any_kind_of_key_are_read() {
    for (cert, key) in [
        ("chain.pem", Some("key.pem")),
        ("chain.pem", Some("key-sec1.pem")),
        ("all-in-disorder.pem", None),
        ("chain.pem", Some("all-in-disorder.pem")),
    ] {
        let facts = facts(cert, key, "");
        assert_eq!((facts.subject.as_str(), facts.chain), ("CN=chat.example.org", 2), "{cert} {key:?}");
    }
    assert_eq!(facts("rsa.pem", Some("rsa-pkcs1.pem"), "").subject, "CN=old.example.org");
}

#[test]
fn what_is_wrong_is_said_with_its_option_and_a_next_step() {
    let dir = "/tests/fixtures/certificates";
    assert_eq!(
        refusal("default.p12", None, "mantua"),
        format!("service.cert_password: It is not the password of {dir}/default.p12. Correct it.")
    );
    let garbled = refusal("no-mac.p12", None, "mantua");
    assert!(
        garbled.contains("cannot be read as PKCS#12") && garbled.contains("Check service.cert_password"),
        "{garbled}"
    );
    assert_eq!(
        refusal("no-key.p12", None, "verona"),
        format!("service.cert: There is no private key in {dir}/no-key.p12. Export it with the certificate.")
    );
    for encrypted in ["key-encrypted.pem", "key-encrypted-old.pem"] {
        let text = refusal("chain.pem", Some(encrypted), "verona");
        assert!(text.starts_with("service.cert_key: The key in") && text.contains("is encrypted"), "{text}");
    }
    assert_eq!(
        refusal("chain.pem", None, ""),
        format!(
            "service.cert: There is no private key in {dir}/chain.pem. Name the file that has it in service.cert_key."
        )
    );
    assert!(refusal("key.pem", None, "").contains("There is no certificate in"));
    assert_eq!(
        refusal("chain.pem", Some("rsa-pkcs1.pem"), ""),
        format!(
            "service.cert_key: No certificate in {dir}/chain.pem belongs to the key. Name a key and a certificate that \
             were made together."
        )
    );
    assert!(refusal("default.p12", Some("key.pem"), "verona").contains("Remove service.cert_key"));
    assert!(refusal("make.sh", None, "").contains("is neither a PEM nor a PKCS#12 file"));
    assert!(refusal("nothing.pem", None, "").contains("cannot be read: No such file or directory"));
    let denied = unreadable("service.cert", Path::new("/etc/k"), &io::ErrorKind::PermissionDenied.into());
    assert!(denied.denied && denied.text.contains("spectrum2-server-mode(7)"), "{denied}");
}

#[test]
fn a_transport_without_the_option_has_no_certificate() {
    assert!(Certificate::load(&Service::default()).is_ok_and(|certificate| certificate.is_none()));
}

#[test]
fn names_are_compared_as_clients_do() {
    let facts = facts("default.p12", None, "verona");
    let now = facts.valid.0;
    for good in [
        "chat.example.org",
        "Chat.Example.ORG",
        "any.example.net",
        "münchen.example",
        "srv.example",
        "addr.example",
    ] {
        assert_eq!(facts.concerns(good, now), Vec::<String>::new(), "{good}");
    }
    for bad in ["example.org", "example.net", "a.b.example.net", "x.chat.example.org", "example"] {
        let concerns = facts.concerns(bad, now).join(" ");
        assert!(concerns.contains(&format!("not for {bad}")), "{bad}: {concerns}");
    }
}

#[test]
fn the_end_is_told_thirty_days_before_and_the_beginning_too() {
    let facts = facts("default.p12", None, "verona");
    let (begin, end) = facts.valid;
    let told = |now| facts.concerns("chat.example.org", now).join(" ");
    assert_eq!(told(end - 30 * DAY), "");
    assert!(told(end - 30 * DAY + 1).contains(&format!("expires in 29 days, on {}", facts.days.1)));
    assert!(told(end - DAY).contains("expires in 1 day,"));
    assert!(told(end - 1).contains("expires within a day,"));
    assert!(told(end + 1).contains("has expired on"));
    assert!(told(begin - 1).contains("is not valid before"));
}
