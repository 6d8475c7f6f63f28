//! A text that must not be seen: passwords and keys.
//!
//! Guarantees that a secret is not printed by accident (no `Display`, a `Debug` that hides the text) and that
//! the memory of the value is wiped when it is dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A password or key.
///
/// It can be serialised, in clear text: the daemon hands its state, with the legacy passwords of the users that
/// are online, to the process that replaces it through a memory file which only these two can open. Never
/// serialise it to a disk or into a log.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the text, so that no second copy stays behind.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Every call is a place where the secret may leave its shelter.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether no secret is given at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_print_its_text() {
        assert_eq!(format!("{:?}", Some(Secret::new("verona".into()))), "Some(Secret(…))");
    }

    #[test]
    fn is_empty_until_given() {
        assert!(Secret::default().is_empty());
        assert!(!Secret::new(" ".into()).is_empty());
    }
}
