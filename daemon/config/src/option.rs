//! What an option is, and the macro that turns the table of options into typed fields and into data.
//!
//! Guarantees that every option has a field, a default that fits it, a meaning for people, and one way to be
//! set: all of them come from one line of the table, so none can be forgotten.

use std::fmt;

use crate::table::Config;

/// One option of a transport file: all that the parser, the help, the manual and `check` know about it.
#[derive(Clone, Copy)]
pub struct OptionInfo {
    /// Section, for example `service`.
    pub section: &'static str,
    /// Key within the section, for example `port`.
    pub key: &'static str,
    /// Section and key, for example `service.port`.
    pub name: &'static str,
    /// Another key of the same section under which the value is accepted.
    pub alias: Option<&'static str>,
    /// What values it takes.
    pub kind: Kind,
    /// The value when the file says nothing; `$jid` stands for the JID of the transport.
    pub default: &'static str,
    /// What it does, in sentences.
    pub meaning: &'static str,
    /// Who obeys it.
    pub places: &'static [Place],
    /// What it takes to change it in a running transport.
    pub change: Change,
    /// COMPAT(Spectrum 2): it had no type for this option there, so it took `0`, `1`, `true` and `false` for
    /// booleans and every other text for a string.
    pub(crate) untyped: bool,
    /// Sets the field, or says what is wrong with the text.
    pub(crate) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Whether the field has the same value in both.
    pub(crate) same: fn(&Config, &Config) -> bool,
    /// Gives the field of the first the value that the second has.
    pub(crate) copy: fn(&mut Config, &Config),
}

impl OptionInfo {
    /// The other accepted spelling, with its section.
    #[must_use]
    pub fn alias_name(&self) -> Option<String> {
        self.alias.map(|alias| format!("{}.{alias}", self.section))
    }
}

impl fmt::Debug for OptionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OptionInfo({})", self.name)
    }
}

/// The values that an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text; empty means not given.
    Text,
    /// A file or directory; empty means not given.
    Path,
    /// A text that is never shown.
    Secret,
    /// A whole number.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Texts, one for each time that the key is repeated.
    List,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Path => f.write_str("path"),
            Self::Secret => f.write_str("secret"),
            Self::Integer { min, max } => write!(f, "number from {min} to {max}"),
            Self::Boolean => f.write_str("boolean"),
            Self::Choice(words) => f.write_str(&words.join(", ")),
            Self::List => f.write_str("list; repeat the key for each value"),
        }
    }
}

/// Who obeys an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The daemon as a component of an XMPP server.
    Gateway,
    /// The daemon as a server for XMPP clients (`service.server_mode=1`).
    Server,
    /// The backend processes and what starts them.
    Backend,
    /// `spectrum2_manager`.
    Manager,
}

/// What it takes to change an option of a running transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Reading the file again is enough.
    Reload,
    /// It is read once, at the start.
    Restart,
}

/// Declares the sections and their options; see `table.rs` for what a line looks like.
macro_rules! options {
    ($(
        $(#[doc = $about:literal])+
        $section:literal as $part:ident : $Section:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field:ident $(($key:literal))? $(or $alias:literal)? : $Type:ty = $default:literal
                    $(in $min:literal ..= $max:literal)?
                    , [$($place:ident)*] $change:ident $($untyped:ident)? ;
            )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section {
                $(
                    $(#[doc = $meaning])+
                    pub $field: $Type,
                )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self {
                        $($field: Value::read($default, options!(@kind $Type $(, $min, $max)?))
                            .expect("the defaults of the table fit their types"),)+
                    }
                }
            }
        )+

        /// A transport file, read and checked: one field for each section, one field of it for each option.
        #[derive(Clone, Default, PartialEq, Eq)]
        pub struct Config {
            $(
                $(#[doc = $about])+
                pub $part: $Section,
            )+
            /// `[purple]`: options of the libpurple protocol, in the order of the file, as text: only the
            /// protocol knows their types. Those in [`Config::libpurple`] are not among them.
            pub purple: Vec<(String, String)>,
            /// Options that nobody knows, in the order of the file; each also got a warning.
            pub unknown: Vec<Entry>,
            /// The file that this was read from.
            pub file: PathBuf,
            /// The files that secrets came from, other than systemd credentials.
            pub secret_files: Vec<PathBuf>,
        }

        impl fmt::Debug for Config {
            /// Shows no value of `[purple]`: it may be an API key.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let purple: Vec<_> = self.purple.iter().map(|(key, _)| key).collect();
                f.debug_struct("Config")
                    $(.field(stringify!($part), &self.$part))+
                    .field("purple", &purple)
                    .field("unknown", &self.unknown)
                    .field("file", &self.file)
                    .finish_non_exhaustive()
            }
        }

        /// All options, in the order in which people read about them.
        pub static OPTIONS: &[OptionInfo] = &[$($(
            OptionInfo {
                section: $section,
                key: options!(@name $field $($key)?),
                name: concat!($section, ".", options!(@name $field $($key)?)),
                alias: options!(@alias $($alias)?),
                kind: options!(@kind $Type $(, $min, $max)?),
                default: $default,
                meaning: concat!($($meaning),+).trim_ascii(),
                places: &[$(Place::$place),*],
                change: Change::$change,
                untyped: options!(@untyped $($untyped)?),
                set: |config, text| config.$part.$field.put(text, options!(@kind $Type $(, $min, $max)?)),
                same: |one, other| one.$part.$field == other.$part.$field,
                copy: |one, other| one.$part.$field.clone_from(&other.$part.$field),
            },
        )+)+];

        /// The sections with what they are about, in the order of [`OPTIONS`].
        pub static SECTIONS: &[(&str, &str)] =
            &[$(($section, concat!($($about),+).trim_ascii())),+];
    };

    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@kind $Type:ty) => { <$Type as Value>::KIND };
    (@kind $Type:ty, $min:literal, $max:literal) => { Kind::Integer { min: $min, max: $max } };
    (@untyped) => { false };
    (@untyped untyped) => { true };
}

pub(crate) use options;
