//! Texts to typed values.
//!
//! Guarantees that a text which is refused comes with a sentence that says what would be accepted.

use std::path::PathBuf;

use crate::option::Kind;
use crate::secret::Secret;

/// A type that an option can have.
pub trait Value: Sized {
    /// What the type accepts, unless the table narrows it down.
    const KIND: Kind;

    /// Reads the text.
    ///
    /// # Errors
    /// A sentence about what is wrong and what to write instead.
    fn read(text: &str, kind: Kind) -> Result<Self, String>;

    /// Takes the text for the value; a list adds it.
    ///
    /// # Errors
    /// As [`Value::read`].
    fn put(&mut self, text: &str, kind: Kind) -> Result<(), String> {
        *self = Self::read(text, kind)?;
        Ok(())
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn read(text: &str, _: Kind) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Path;

    fn read(text: &str, _: Kind) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl Value for Secret {
    const KIND: Kind = Kind::Secret;

    fn read(text: &str, _: Kind) -> Result<Self, String> {
        Ok(Self::new(text.to_owned()))
    }
}

impl Value for Vec<String> {
    const KIND: Kind = Kind::List;

    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        let mut list = Self::new();
        list.put(text, kind)?;
        Ok(list)
    }

    fn put(&mut self, text: &str, _: Kind) -> Result<(), String> {
        if !text.is_empty() {
            self.push(text.to_owned());
        }
        Ok(())
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Boolean;

    fn read(text: &str, _: Kind) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            // COMPAT(Spectrum 2): an empty value switches the option on. The reader warns about it.
            "1" | "true" | "yes" | "on" | "" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(format!("“{text}” is neither yes nor no. Write 1 or 0.")),
        }
    }
}

impl Value for u32 {
    const KIND: Kind = Kind::Integer { min: 0, max: Self::MAX as i64 };

    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        integer(text, kind)
    }
}

impl Value for u16 {
    const KIND: Kind = Kind::Integer { min: 0, max: Self::MAX as i64 };

    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        integer(text, kind)
    }
}

fn integer<T: TryFrom<i64>>(text: &str, kind: Kind) -> Result<T, String> {
    let (min, max) = match kind {
        Kind::Integer { min, max } => (min, max),
        _ => (i64::MIN, i64::MAX),
    };
    let number: i64 = text
        .parse()
        .map_err(|_| format!("“{text}” is not a whole number. Write digits only, from {min} to {max}."))?;
    Some(number)
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{number} is out of range. Write a number from {min} to {max}."))
}

/// Declares an option type that takes one of a few words, in any letter case.
macro_rules! choice {
    ($(#[$meta:meta])* $Name:ident { $($(#[doc = $about:literal])+ $Variant:ident = $word:literal $(| $other:literal)? ,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name { $($(#[doc = $about])+ $Variant,)+ }

        impl $Name {
            /// The word for it in a transport file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $word,)+ }
            }
        }

        impl Value for $Name {
            const KIND: Kind = Kind::Choice(&[$($word),+]);

            fn read(text: &str, _: Kind) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($word $(| $other)? => Ok(Self::$Variant),)+
                    _ => Err(format!("“{text}” is not known. Write one of: {}.", [$($word),+].join(", "))),
                }
            }
        }
    };
}

choice! {
    /// Where users, contacts and settings are stored.
    DatabaseKind {
        /// Nowhere: nothing survives, and nobody can register.
        None = "none",
        /// A file; needs no server.
        Sqlite3 = "sqlite3",
        /// A MySQL or MariaDB server.
        Mysql = "mysql",
        /// A PostgreSQL server.
        Pqxx = "pqxx",
    }
}

choice! {
    /// How backends reach the legacy network.
    ProxyKind {
        /// Directly.
        None = "none" | "",
        /// Through an HTTP proxy.
        Http = "http",
        /// Through a SOCKS 4 proxy.
        Socks4 = "socks4",
        /// Through a SOCKS 5 proxy.
        Socks5 = "socks5",
    }
}

choice! {
    /// The least important messages that are logged.
    LogLevel {
        /// What failed.
        Error = "error",
        /// Also what looks wrong.
        Warn = "warn" | "warning",
        /// Also what happened.
        Info = "info",
        /// Also why it happened.
        Debug = "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_have_eight_spellings_in_any_letter_case() {
        for yes in ["1", "true", "yes", "on", "TRUE", "Yes", "oN"] {
            assert_eq!(bool::read(yes, bool::KIND), Ok(true), "{yes}");
        }
        for no in ["0", "false", "no", "off", "False", "NO", "oFF"] {
            assert_eq!(bool::read(no, bool::KIND), Ok(false), "{no}");
        }
        assert_eq!(
            bool::read("maybe", bool::KIND),
            Err("“maybe” is neither yes nor no. Write 1 or 0.".into())
        );
    }

    #[test]
    fn numbers_are_checked_against_their_range() {
        let kind = Kind::Integer { min: 1, max: 1000 };
        assert_eq!(u32::read("+7", kind), Ok(7));
        assert_eq!(u32::read("0", kind), Err("0 is out of range. Write a number from 1 to 1000.".into()));
        assert_eq!(
            u32::read("1001", kind),
            Err("1001 is out of range. Write a number from 1 to 1000.".into())
        );
        assert_eq!(
            u32::read("50x", kind),
            Err("“50x” is not a whole number. Write digits only, from 1 to 1000.".into())
        );
        assert!(u16::read("99999999999999999999", u16::KIND).is_err());
    }

    #[test]
    fn choices_name_their_words() {
        assert_eq!(DatabaseKind::read("SQLite3", DatabaseKind::KIND), Ok(DatabaseKind::Sqlite3));
        assert_eq!(ProxyKind::read("", ProxyKind::KIND), Ok(ProxyKind::None));
        assert_eq!(
            DatabaseKind::read("postgres", DatabaseKind::KIND),
            Err("“postgres” is not known. Write one of: none, sqlite3, mysql, pqxx.".into())
        );
    }
}
