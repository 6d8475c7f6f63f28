//! The certificate with which clients are met in server mode.
//!
//! Guarantees that one which is loaded has a key that belongs to it, that every way in which the files can be wrong is
//! said with its next step, and that what makes clients refuse it (another name, the end of its time) is noticed here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use p12_keystore::Pkcs12Archive;
use spectrum2_config::check::Remarks;
use spectrum2_config::{Config, Problem, Service, Severity};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::{default_provider, sign::any_supported_type};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use x509_parser::asn1_rs::{Any, Oid, oid};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

/// Days before its end from which on a certificate is complained about.
const WARNING_DAYS: i64 = 30;
/// In seconds.
const DAY: i64 = 24 * 60 * 60;
/// No certificate with its chain is that large; a log or a device that was named by mistake is.
const LARGEST: u64 = 1 << 20;
/// What a client asks for when it begins with TLS (XEP-0368 §2).
const ALPN: &[u8] = b"xmpp-client";
/// RFC 4985: a service of a domain, in RFC 6120 §13.7.1.2 `_xmpp-client`.
const SRV_NAME: Oid<'static> = oid!(1.3.6.1.5.5.7.8.7);
/// RFC 6120 §13.7.1.4: an XMPP address.
const XMPP_ADDRESS: Oid<'static> = oid!(1.3.6.1.5.5.7.8.5);

type Chain = Vec<CertificateDer<'static>>;

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {text}")]
pub struct Error {
    /// The option to blame, as section and key.
    pub key: &'static str,
    /// Cause and next step, in sentences.
    pub text: String,
    /// The file is there, but may not be read.
    pub denied: bool,
}

impl Error {
    fn new(key: &'static str, text: String) -> Self {
        Self { key, text, denied: false }
    }
}

/// A certificate with its key, ready for handshakes.
#[derive(Clone)]
pub struct Certificate {
    /// For streams that begin in clear.
    pub starttls: TlsAcceptor,
    /// For connections that are encrypted from their first byte (XEP-0368).
    pub direct: TlsAcceptor,
    /// What it says.
    pub facts: Facts,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The file that it is from.
    pub file: String,
    /// Whose it is, for example `CN=chat.example.org`.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The names that it is good for.
    pub hosts: Vec<String>,
    /// From when and until when, in seconds since 1970.
    pub valid: (i64, i64),
    /// The first and the last day as people write them.
    pub days: (String, String),
    /// How many certificates are sent, itself included.
    pub chain: usize,
}

impl Certificate {
    /// Reads the files that the options name; nothing if they name none.
    ///
    /// # Errors
    /// A file cannot be read or used, or no certificate belongs to the key.
    pub fn load(service: &Service) -> Result<Option<Self>, Error> {
        if service.cert.as_os_str().is_empty() {
            return Ok(None);
        }
        let (certificates, key) = read(service)?;
        let refusal =
            |key, error: &dyn std::fmt::Display| Error::new(key, format!("It cannot be used: {error}."));
        let signer = any_supported_type(&key).map_err(|error| refusal(key_option(service), &error))?;
        let public_key = signer.public_key();
        let chain = arrange(certificates, public_key.as_ref().map(AsRef::as_ref)).ok_or_else(|| {
            let text = format!(
                "No certificate in {} belongs to the key. Name a key and a certificate that were made together.",
                service.cert.display()
            );
            Error::new(key_option(service), text)
        })?;
        let facts = Facts::read(&service.cert, &chain)?;
        let starttls = configure(chain, key).map_err(|error| refusal("service.cert", &error))?;
        let mut direct = starttls.clone();
        direct.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Some(Self { starttls: Arc::new(starttls).into(), direct: Arc::new(direct).into(), facts }))
    }
}

/// The option whose file has the key.
fn key_option(service: &Service) -> &'static str {
    if service.cert_key.as_os_str().is_empty() { "service.cert" } else { "service.cert_key" }
}

fn configure(chain: Chain, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    // Named, not taken from the process: with two providers in one program, rustls would not know which to take.
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

/// All certificates and the key, from whatever kind of file they are in.
fn read(service: &Service) -> Result<(Chain, PrivateKeyDer<'static>), Error> {
    let bytes = read_file("service.cert", &service.cert)?;
    let has_key_file = !service.cert_key.as_os_str().is_empty();
    if !is_pem(&bytes) {
        if has_key_file {
            let text = format!(
                "{} is no PEM file, and a PKCS#12 file has its key in it. Remove service.cert_key, or name a PEM file \
                 in service.cert.",
                service.cert.display()
            );
            return Err(Error::new("service.cert_key", text));
        }
        return pkcs12(&service.cert, &bytes, service.cert_password.expose());
    }
    let chain = pem_chain(&service.cert, &bytes)?;
    let key = if has_key_file {
        pem_key("service.cert_key", &service.cert_key, &read_file("service.cert_key", &service.cert_key)?)?
    } else {
        pem_key("service.cert", &service.cert, &bytes)?
    };
    Ok((chain, key))
}

fn read_file(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(unreadable(key, path, &error)),
        Ok(_) if bytes.len() as u64 > LARGEST => {
            Err(Error::new(key, format!("{} is larger than 1 MiB. Name a certificate.", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}

fn unreadable(key: &'static str, path: &Path, error: &io::Error) -> Error {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let next = if denied {
        "The user that the transport runs as must be able to read it: see “Certificates” in spectrum2-server-mode(7) \
         for what to do with files of certbot and others that are for root alone."
    } else {
        "Create it, or correct the name."
    };
    Error { key, text: format!("{} cannot be read: {error}. {next}", path.display()), denied }
}

fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, "-----BEGIN ")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn pem_chain(path: &Path, bytes: &[u8]) -> Result<Chain, Error> {
    let chain: Chain = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>().map_err(|_| {
        Error::new("service.cert", format!("{} is a damaged PEM file. Write it anew.", path.display()))
    })?;
    if chain.is_empty() {
        let text = format!(
            "There is no certificate in {}. Put it in, followed by those of its authorities.",
            path.display()
        );
        return Err(Error::new("service.cert", text));
    }
    Ok(chain)
}

fn pem_key(option: &'static str, path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    // RFC 7468 §11 and RFC 1421 §4.6.1.1, which OpenSSL still writes for some kinds of keys.
    if contains(bytes, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(bytes, "Proc-Type: 4,ENCRYPTED") {
        let text = format!(
            "The key in {} is encrypted with a passphrase. Decrypt it (“openssl pkey -in KEY -out NEW”), or make a \
             PKCS#12 file and give its password in service.cert_password.",
            path.display()
        );
        return Err(Error::new(option, text));
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        let next = match option {
            "service.cert" => "Name the file that has it in service.cert_key.",
            _ => "Name the file that has it.",
        };
        Error::new(option, format!("There is no private key in {}. {next}", path.display()))
    })
}

fn pkcs12(path: &Path, bytes: &[u8], password: &str) -> Result<(Chain, PrivateKeyDer<'static>), Error> {
    // A DER sequence (X.690 §8.9): everything else is some other kind of file.
    if bytes.first() != Some(&0x30) {
        let text = format!("{} is neither a PEM nor a PKCS#12 file. Name a certificate.", path.display());
        return Err(Error::new("service.cert", text));
    }
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        p12_keystore::error::Error::MacError(_) => {
            let text = format!("It is not the password of {}. Correct it.", path.display());
            Error::new("service.cert_password", text)
        }
        error => {
            let text = format!(
                "{} cannot be read as PKCS#12: {error}. Check service.cert_password, or write the file anew.",
                path.display()
            );
            Error::new("service.cert", text)
        }
    })?;
    let Some(key) = archive.keys.first() else {
        let text = format!("There is no private key in {}. Export it with the certificate.", path.display());
        return Err(Error::new("service.cert", text));
    };
    let key = PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into();
    let chain = archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
    Ok((chain, key))
}

/// The certificate of the key, then that of its authority, and so on: files have them in any order, TLS has not. None
/// if no certificate belongs to the key.
fn arrange(mut certificates: Chain, public_key: Option<&[u8]>) -> Option<Chain> {
    let own = certificates.iter().position(|der| {
        parse(der).is_some_and(|certificate| Some(certificate.public_key().raw) == public_key)
    })?;
    let mut chain = vec![certificates.remove(own)];
    loop {
        let last = chain.last().and_then(|der| parse(der));
        let issuer = last.filter(|last| last.issuer().as_raw() != last.subject().as_raw()).and_then(|last| {
            certificates.iter().position(|der| {
                parse(der).is_some_and(|other| other.subject().as_raw() == last.issuer().as_raw())
            })
        });
        match issuer {
            Some(issuer) => chain.push(certificates.remove(issuer)),
            None => return Some(chain),
        }
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

impl Facts {
    fn read(path: &Path, chain: &Chain) -> Result<Self, Error> {
        let certificate = chain.first().and_then(parse).ok_or_else(|| {
            Error::new(
                "service.cert",
                format!("{} has a damaged certificate. Write it anew.", path.display()),
            )
        })?;
        let validity = certificate.validity();
        let day = |time: x509_parser::time::ASN1Time| time.to_datetime().date().to_string();
        Ok(Self {
            file: path.display().to_string(),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            hosts: hosts(&certificate),
            valid: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            days: (day(validity.not_before), day(validity.not_after)),
            chain: chain.len(),
        })
    }

    /// What will make clients refuse it, in sentences with their next step. `now` is in seconds since 1970.
    #[must_use]
    pub fn concerns(&self, jid: &str, now: i64) -> Vec<String> {
        let mut concerns = Vec::new();
        let Self { file, valid: (begin, end), days: (first_day, last_day), .. } = self;
        if !self.hosts.iter().any(|host| is_for(host, jid)) {
            let names = if self.hosts.is_empty() { "no name".to_owned() } else { self.hosts.join(", ") };
            concerns.push(format!(
                "The certificate in {file} is for {names}, not for {jid}: clients warn their users, or refuse it. Get \
                 one for {jid}."
            ));
        }
        let renew = "Renew it, then reload the transport.";
        let days = (end - now).div_euclid(DAY);
        if now < *begin {
            concerns.push(format!(
                "The certificate in {file} is not valid before {first_day}: clients refuse it until then. Check the \
                 clock of this machine."
            ));
        } else if now > *end {
            concerns.push(format!(
                "The certificate in {file} has expired on {last_day}: clients refuse it. {renew}"
            ));
        } else if days < WARNING_DAYS {
            let in_days = match days {
                0 => "within a day".to_owned(),
                1 => "in 1 day".to_owned(),
                days => format!("in {days} days"),
            };
            concerns.push(format!("The certificate in {file} expires {in_days}, on {last_day}. {renew}"));
        }
        concerns
    }
}

/// The names of a certificate (RFC 6120 §13.7.1.2).
fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let mut hosts: Vec<String> = Vec::new();
    for name in names {
        let host = match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::OtherName(kind, value) if *kind == SRV_NAME => {
                text_in(value).and_then(|name| name.strip_prefix("_xmpp-client.").map(str::to_owned))
            }
            GeneralName::OtherName(kind, value) if *kind == XMPP_ADDRESS => text_in(value).map(str::to_owned),
            _ => None,
        };
        hosts.extend(host.filter(|host| !hosts.contains(host)));
    }
    if hosts.is_empty() {
        // RFC 6125 §6.4.4: the last resort.
        hosts.extend(
            certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned),
        );
    }
    hosts
}

/// The text in `[0] EXPLICIT`, which is how other names are written (RFC 5280 §4.2.1.6).
fn text_in(value: &[u8]) -> Option<&str> {
    let (_, outer) = Any::from_der(value).ok()?;
    let (_, inner) = Any::from_der(outer.data).ok()?;
    std::str::from_utf8(inner.data).ok()
}

/// Whether a name of a certificate is that of the domain.
fn is_for(host: &str, jid: &str) -> bool {
    // RFC 5890: certificates have names of other scripts in ASCII.
    let ascii = |name: &str| idna::domain_to_ascii(name).ok();
    // RFC 6125 §6.4.3: the star stands for one label, the first.
    let (host, jid) = match (host.strip_prefix("*."), jid.split_once('.')) {
        (Some(parent), Some((_, rest))) => (parent, rest),
        _ => (host, jid),
    };
    ascii(host).is_some_and(|host| ascii(jid) == Some(host))
}

/// The time of day, in seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// For `check`: what is to be said about the certificate of a transport.
#[must_use]
pub fn remarks(config: &Config) -> Remarks {
    if !config.service.server_mode {
        return Remarks::default();
    }
    let problem = |severity, key: &str, text| Problem {
        severity,
        file: Some(config.file.clone()),
        line: None,
        key: Some(key.to_owned()),
        text,
    };
    match Certificate::load(&config.service) {
        Ok(None) => Remarks { problems: Vec::new(), summary: "encryption: none\n".to_owned() },
        Ok(Some(Certificate { facts, .. })) => Remarks {
            problems: facts
                .concerns(&config.service.jid, now())
                .into_iter()
                .map(|text| problem(Severity::Warning, "service.cert", text))
                .collect(),
            summary: format!(
                "certificate: {}, for {}, from {}, until {}, {} in its chain\n",
                facts.subject,
                facts.hosts.join(", "),
                if facts.issuer == facts.subject { "itself" } else { &facts.issuer },
                facts.days.1,
                facts.chain
            ),
        },
        Err(error) => Remarks {
            problems: vec![problem(Severity::Error, error.key, error.text)],
            summary: String::new(),
        },
    }
}

#[cfg(test)]
mod tests;
