//! What a backend says about itself: the INI text of a BACKEND_CONFIG frame.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Names of what Spectrum 2 did not have.
///
/// A backend announces them in its BACKEND_CONFIG text, section `[extensions]`, one `name=` line for each; a daemon of
/// Spectrum 2 ignores unknown keys. The daemon answers with an EXTENSIONS frame that names those it will use. Until then
/// nothing of them is sent.
pub mod extension {
    /// Every message that carries a `serial` is answered with one RESULT.
    pub const ACK: &str = "ack";
    /// The backend deletes what it keeps of a user when ERASE says so.
    pub const ERASE: &str = "erase";
    /// The backend tells by PROBLEM why it cannot work.
    pub const PROBLEM: &str = "problem";
    /// The backend says what became of each join (ROOM_JOINED, ROOM_REFUSED, ROOM_LEFT), takes invitations, commands of
    /// moderators and wishes for another nick, and lists rooms when LIST_ROOMS asks. A room's message of the user is not
    /// sent back: its RESULT says that the room has it. Subjects and invitations that carry a `serial` are answered by
    /// a RESULT as well.
    pub const ROOMS: &str = "rooms";
}

/// Most extensions, and most extra fields, that are kept of one backend.
const MAX_NAMES: usize = 64;

/// What a backend needs and can do. `None`: it did not say.
///
/// The text may come in several frames (Python backends send one setting each): parse each, then [`merge`](Self::merge).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// `registration.needPassword`: users must give a password when they register. Default yes.
    pub need_password: Option<bool>,
    /// `registration.passwordOptional`, ours: where a password is asked for, it may be left empty. Default no.
    pub password_optional: Option<bool>,
    /// `registration.needRegistration`: users must register before they log in. Default yes once any backend reported.
    pub need_registration: Option<bool>,
    /// `registration.extraField`, repeated.
    pub extra_fields: Vec<String>,
    /// `features.receipts`: contacts' clients acknowledge messages (XEP-0184).
    pub receipts: Option<bool>,
    /// `features.muc`: the network has rooms.
    pub muc: Option<bool>,
    /// `features.rawxml`: the backend wants stanzas as they are.
    pub rawxml: Option<bool>,
    /// `features.disable_jid_escaping`: contacts use the `%` form.
    pub disable_jid_escaping: Option<bool>,
    /// `features.send_buddies_on_login`: the backend wants BUDDIES after LOGIN.
    pub send_buddies_on_login: Option<bool>,
    /// `rooms.prefixes`, ours: what has none of these as its first character is no room's name. Empty: any name may be one.
    pub room_prefixes: Option<String>,
    /// `rooms.caseless`, ours: rooms' names are the same in capitals and in small letters.
    pub caseless_rooms: Option<bool>,
    /// Names in `[extensions]`, see [`extension`]. They hold for one connection.
    pub extensions: BTreeSet<String>,
}

impl Capabilities {
    /// Reads a BACKEND_CONFIG text. What it does not understand it leaves out, as Spectrum 2 does with unknown keys.
    pub fn parse(text: &str) -> Self {
        let mut capabilities = Self::default();
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.trim();
            } else if let Some((key, value)) = line.split_once('=') {
                capabilities.set(section, key.trim(), value.trim());
            }
        }
        capabilities
    }

    /// Takes over what a later text says: the first explicit value of a key wins, so that one backend cannot turn off
    /// under users what another one promised. Extensions are collected.
    pub fn merge(&mut self, later: &Self) {
        let Self {
            need_password,
            password_optional,
            need_registration,
            extra_fields,
            receipts,
            muc,
            rawxml,
            disable_jid_escaping,
            send_buddies_on_login,
            room_prefixes,
            caseless_rooms,
            extensions,
        } = self;
        *need_password = need_password.or(later.need_password);
        *password_optional = password_optional.or(later.password_optional);
        *need_registration = need_registration.or(later.need_registration);
        *receipts = receipts.or(later.receipts);
        *muc = muc.or(later.muc);
        *rawxml = rawxml.or(later.rawxml);
        *disable_jid_escaping = disable_jid_escaping.or(later.disable_jid_escaping);
        *send_buddies_on_login = send_buddies_on_login.or(later.send_buddies_on_login);
        *caseless_rooms = caseless_rooms.or(later.caseless_rooms);
        if room_prefixes.is_none() {
            room_prefixes.clone_from(&later.room_prefixes);
        }
        if extra_fields.is_empty() {
            extra_fields.clone_from(&later.extra_fields);
        }
        let room = MAX_NAMES.saturating_sub(extensions.len());
        extensions.extend(later.extensions.iter().take(room).cloned());
    }

    /// Whether the backend announced an [`extension`].
    pub fn has_extension(&self, name: &str) -> bool {
        self.extensions.contains(name)
    }

    fn set(&mut self, section: &str, key: &str, value: &str) {
        let flag = match (section, key) {
            ("registration", "needPassword") => &mut self.need_password,
            ("registration", "passwordOptional") => &mut self.password_optional,
            ("registration", "needRegistration") => &mut self.need_registration,
            ("features", "receipts") => &mut self.receipts,
            ("features", "muc") => &mut self.muc,
            ("features", "rawxml") => &mut self.rawxml,
            ("features", "disable_jid_escaping") => &mut self.disable_jid_escaping,
            ("features", "send_buddies_on_login") => &mut self.send_buddies_on_login,
            ("rooms", "caseless") => &mut self.caseless_rooms,
            ("rooms", "prefixes") => {
                self.room_prefixes.get_or_insert_with(|| value.to_owned());
                return;
            }
            ("registration", "extraField") if self.extra_fields.len() < MAX_NAMES => {
                self.extra_fields.push(value.to_owned());
                return;
            }
            ("extensions", "name") if self.extensions.len() < MAX_NAMES => {
                self.extensions.insert(value.to_owned());
                return;
            }
            _ => return,
        };
        if flag.is_none() {
            *flag = boolean(value);
        }
    }
}

/// The text of a BACKEND_CONFIG frame.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |f: &mut fmt::Formatter<'_>, key: &str, value: Option<bool>| match value {
            Some(value) => writeln!(f, "{key}={}", u8::from(value)),
            None => Ok(()),
        };
        writeln!(f, "[registration]")?;
        flag(f, "needPassword", self.need_password)?;
        flag(f, "passwordOptional", self.password_optional)?;
        flag(f, "needRegistration", self.need_registration)?;
        for field in &self.extra_fields {
            writeln!(f, "extraField={field}")?;
        }
        writeln!(f, "[features]")?;
        flag(f, "receipts", self.receipts)?;
        flag(f, "muc", self.muc)?;
        flag(f, "rawxml", self.rawxml)?;
        flag(f, "disable_jid_escaping", self.disable_jid_escaping)?;
        flag(f, "send_buddies_on_login", self.send_buddies_on_login)?;
        if self.caseless_rooms.is_some() || self.room_prefixes.is_some() {
            writeln!(f, "[rooms]")?;
        }
        flag(f, "caseless", self.caseless_rooms)?;
        if let Some(prefixes) = &self.room_prefixes {
            writeln!(f, "prefixes={prefixes}")?;
        }
        if !self.extensions.is_empty() {
            writeln!(f, "[extensions]")?;
        }
        for name in &self.extensions {
            writeln!(f, "name={name}")?;
        }
        Ok(())
    }
}

/// Spectrum 2's booleans; the empty text is true. Anything else: not said.
fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["1", "true", "yes", "on", ""]) {
        Some(true)
    } else if is(&["0", "false", "no", "off"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_spectrum_2_is_understood() {
        let text = "[registration]\nneedPassword=1\nneedRegistration=0\n[features]\nmuc=1\nrawxml=0\ndisable_jid_escaping=1\n";
        let capabilities = Capabilities::parse(text);
        assert_eq!(
            capabilities,
            Capabilities {
                need_password: Some(true),
                need_registration: Some(false),
                muc: Some(true),
                rawxml: Some(false),
                disable_jid_escaping: Some(true),
                ..Capabilities::default()
            }
        );
        assert_eq!(capabilities.to_string(), text);
    }

    #[test]
    fn python_backends_send_one_setting_at_a_time_with_blanks() {
        let mut capabilities = Capabilities::parse("[features]\nsend_buddies_on_login = Yes\n");
        capabilities.merge(&Capabilities::parse("[features]\nreceipts = true"));
        assert_eq!(capabilities.send_buddies_on_login, Some(true));
        assert_eq!(capabilities.receipts, Some(true));
        assert_eq!(capabilities.muc, None);
    }

    #[test]
    fn the_first_explicit_value_wins() {
        let mut capabilities = Capabilities::parse("[features]\nmuc=0");
        capabilities.merge(&Capabilities::parse("[features]\nmuc=1\nrawxml=off"));
        assert_eq!(capabilities.muc, Some(false));
        assert_eq!(capabilities.rawxml, Some(false));
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        assert_eq!(
            Capabilities::parse("muc=1\n[features\n[features]\nmuc=maybe\nnew=1\n]["),
            Capabilities::default()
        );
    }

    #[test]
    fn how_rooms_are_named_survives_the_round_trip() {
        let text = "[registration]\n[features]\n[rooms]\ncaseless=1\nprefixes=#&\n";
        let mut capabilities = Capabilities::parse(text);
        assert_eq!(capabilities.to_string(), text);
        capabilities.merge(&Capabilities::parse("[rooms]\nprefixes=\ncaseless=0"));
        assert_eq!(
            (capabilities.room_prefixes.as_deref(), capabilities.caseless_rooms),
            (Some("#&"), Some(true))
        );
    }

    #[test]
    fn extensions_survive_the_round_trip() {
        let mut capabilities = Capabilities::default();
        capabilities.extensions.insert(extension::ACK.to_owned());
        capabilities.extensions.insert(extension::PROBLEM.to_owned());
        let text = capabilities.to_string();
        assert!(text.ends_with("[extensions]\nname=ack\nname=problem\n"), "{text}");
        assert_eq!(Capabilities::parse(&text), capabilities);
        assert!(capabilities.has_extension("ack"));
    }
}
