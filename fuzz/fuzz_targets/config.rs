//! Any text as a transport file: never a panic, and an answer that agrees with itself.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use spectrum2_config::{Config, NoSecrets, Overrides, Severity};

fuzz_target!(|text: &str| {
    read(text, &Overrides::default());
    // What a gateway needs at least, so that the rest of the text can be right.
    let values = [("service.password", "secret"), ("service.port", "5347")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    read(text, &Overrides { jid: Some("icq.example.org".to_owned()), values });
});

fn read(text: &str, overrides: &Overrides) {
    let is_error = |severity| severity == Severity::Error;
    match Config::parse(text, Path::new("fuzz.cfg"), overrides, &NoSecrets) {
        Ok((config, warnings)) => {
            assert!(!warnings.iter().any(|warning| is_error(warning.severity)));
            assert!(!config.service.jid.is_empty());
            assert!(!config.service.jid.contains('/'));
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| is_error(problem.severity)));
            assert!(problems.to_string().lines().count() >= problems.iter().count());
        }
    }
}
