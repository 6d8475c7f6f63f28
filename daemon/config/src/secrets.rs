//! Which secret comes from where.
//!
//! Guarantees the order: a systemd credential, then the file that an option names, then the option itself.

use std::path::PathBuf;

use crate::checks::Finding;
use crate::problem::Severity;
use crate::reading::Reading;
use crate::secret::Secret;
use crate::source::SecretSource;
use crate::table::Config;

/// A secret that need not stand in the transport file.
struct Place {
    /// The option that holds the secret itself.
    option: &'static str,
    /// The option that names a file.
    file_option: &'static str,
    /// The name of the systemd credential.
    credential: &'static str,
    secret: fn(&mut Config) -> &mut Secret,
    file: fn(&Config) -> &PathBuf,
}

const PLACES: [Place; 4] = [
    Place {
        option: "service.password",
        file_option: "service.password_file",
        credential: "component-password",
        secret: |config| &mut config.service.password,
        file: |config| &config.service.password_file,
    },
    Place {
        option: "service.cert_password",
        file_option: "service.cert_password_file",
        credential: "cert-password",
        secret: |config| &mut config.service.cert_password,
        file: |config| &config.service.cert_password_file,
    },
    Place {
        option: "database.password",
        file_option: "database.password_file",
        credential: "database-password",
        secret: |config| &mut config.database.password,
        file: |config| &config.database.password_file,
    },
    Place {
        option: "database.encryption_key",
        file_option: "database.encryption_key_file",
        credential: "encryption-key",
        secret: |config| &mut config.database.encryption_key,
        file: |config| &config.database.encryption_key_file,
    },
];

/// Whether a transport looks for a systemd credential of that name.
pub fn is_credential(name: &str) -> bool {
    ["cert", "cert-key"].contains(&name) || PLACES.iter().any(|place| place.credential == name)
}

/// Puts the secrets in that stand outside of the transport file.
pub fn fill(reading: &mut Reading, source: &dyn SecretSource) {
    // Certificates are read by who needs them; what is found here is where they are.
    let service = &mut reading.config.service;
    for (path, credential) in [(&mut service.cert, "cert"), (&mut service.cert_key, "cert-key")] {
        if let Some(file) = source.credential_file(credential) {
            *path = file;
        }
    }
    for place in PLACES {
        match source.credential(place.credential) {
            Ok(Some(secret)) => {
                *(place.secret)(&mut reading.config) = secret;
                continue;
            }
            Ok(None) => {}
            Err(error) => reading.add(vec![Finding {
                severity: Severity::Error,
                key: place.option,
                text: format!(
                    "The systemd credential {} cannot be read: {error}. Check LoadCredential= of the unit.",
                    place.credential
                ),
            }]),
        }
        let file = (place.file)(&reading.config).clone();
        if file.as_os_str().is_empty() {
            continue;
        }
        match source.file(&file) {
            Ok(secret) => {
                *(place.secret)(&mut reading.config) = secret;
                reading.config.secret_files.push(file);
            }
            Err(error) => reading.add(vec![Finding {
                severity: Severity::Error,
                key: place.file_option,
                text: format!(
                    "{} cannot be read: {error}. Create it so that the transport can read it, or remove the option.",
                    file.display()
                ),
            }]),
        }
    }
}
