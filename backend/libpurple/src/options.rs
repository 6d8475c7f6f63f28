//! `[purple]`: text to the types that a plugin declares.

use crate::log;
use crate::purple::{OptionKind, ProtocolOption, SettingValue};

/// Names that belong to libpurple itself rather than to a protocol.
const OURS: [&str; 3] = ["plugins_dir", "cacerts_dir", "libpurple_dll_path"];

/// The settings that the text gives, of those that the plugin declares.
///
/// What does not fit is logged and left out: one wrong line must not keep everybody off the network.
pub fn read(text: &[(String, String)], declared: &[ProtocolOption]) -> Vec<(String, SettingValue)> {
    let mut settings = Vec::new();
    for (name, value) in text.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
        let Some(option) = declared.iter().find(|option| option.name == *name) else {
            // COMPAT(Spectrum 2): an API key of facebook means that its other login is to be used.
            if !matches!(name.as_str(), "fb_api_key" | "fb_api_secret") {
                log::warning(format_args!("purple.{name}: The protocol has no such option. Remove it."));
            }
            continue;
        };
        match convert(value, option.kind) {
            Some(value) => settings.push((name.clone(), value)),
            None => log::warning(format_args!(
                "purple.{name}: The protocol wants {}. Correct the value; it is ignored until then.",
                describe(option.kind)
            )),
        }
    }
    if text.iter().any(|(name, _)| name == "fb_api_key" || name == "fb_api_secret") {
        settings.push(("auth_fb".to_owned(), SettingValue::Boolean(true)));
    }
    settings
}

/// The text as a value of this type, if it can be one.
pub fn convert(text: &str, kind: OptionKind) -> Option<SettingValue> {
    let text = text.trim();
    match kind {
        OptionKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(SettingValue::Boolean(true)),
            "0" | "false" | "no" | "off" => Some(SettingValue::Boolean(false)),
            _ => None,
        },
        OptionKind::Integer => text.parse().ok().map(SettingValue::Integer),
        OptionKind::Text => Some(SettingValue::Text(text.to_owned())),
        OptionKind::Other => None,
    }
}

const fn describe(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::Boolean => "true or false",
        OptionKind::Integer => "a whole number",
        OptionKind::Text => "a text",
        OptionKind::Other => "something that a file cannot give",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Vec<ProtocolOption> {
        [("port", OptionKind::Integer), ("ssl", OptionKind::Boolean), ("encoding", OptionKind::Text)]
            .map(|(name, kind)| ProtocolOption { name: name.to_owned(), kind })
            .to_vec()
    }

    fn read_one(name: &str, value: &str) -> Vec<(String, SettingValue)> {
        read(&[(name.to_owned(), value.to_owned())], &declared())
    }

    #[test]
    fn the_declared_type_decides() {
        assert_eq!(read_one("port", "6697"), [("port".to_owned(), SettingValue::Integer(6697))]);
        assert_eq!(read_one("port", "00"), [("port".to_owned(), SettingValue::Integer(0))]);
        assert_eq!(read_one("port", "1"), [("port".to_owned(), SettingValue::Integer(1))]);
        assert_eq!(read_one("ssl", "True"), [("ssl".to_owned(), SettingValue::Boolean(true))]);
        assert_eq!(
            read_one("encoding", "true"),
            [("encoding".to_owned(), SettingValue::Text("true".to_owned()))]
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(read_one("port", "many"), []);
        assert_eq!(read_one("port", "99999999999"), []);
        assert_eq!(read_one("ssl", "maybe"), []);
        assert_eq!(read_one("colour", "red"), []);
    }
}
