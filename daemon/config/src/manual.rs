//! The options as `spectrum2.conf(5)` shows them.

use crate::help::placeholder;
use crate::option::{Change, Kind, OptionInfo, Place};
use crate::table::{OPTIONS, SECTIONS};

/// The options in man(7) markup: a subsection for each section of the file, to stand below a `.SH`.
#[must_use]
pub fn options() -> String {
    let mut page = String::new();
    for (section, about) in SECTIONS {
        page.push_str(&format!(".SS [{section}]\n{}\n", escape(about)));
        for option in OPTIONS.iter().filter(|option| option.section == *section) {
            page.push_str(&entry(option));
        }
    }
    page
}

fn entry(option: &OptionInfo) -> String {
    let key = escape(option.key);
    let value = escape(&placeholder(option.kind));
    format!(".TP\n\\fB{key}\\fR=\\fI{value}\\fR\n{}\n", escape(&description(option)))
}

fn description(option: &OptionInfo) -> String {
    let mut sentences = vec![option.meaning.to_owned()];
    match option.kind {
        Kind::Integer { min, max } => sentences.push(format!("A number from {min} to {max}.")),
        Kind::List => sentences.push("Repeat the key for each value.".to_owned()),
        _ => {}
    }
    if !option.default.is_empty() {
        sentences.push(format!("Default: {}.", option.default.trim_end_matches('.')));
    }
    if let Some(alias) = option.alias {
        sentences.push(format!("Also accepted as {alias}."));
    }
    sentences.push(applies(option.places));
    match (option.change, option.places.contains(&Place::Backend)) {
        (Change::Reload, false) => sentences.push("A reload changes it.".to_owned()),
        (Change::Reload, true) => {
            sentences.push("A reload changes it, but for the backends, which take a restart.".to_owned());
        }
        (Change::Restart, _) => {}
    }
    sentences.join(" ")
}

fn applies(places: &[Place]) -> String {
    let names: Vec<&str> = places
        .iter()
        .map(|place| match place {
            Place::Gateway => "gateway mode",
            Place::Server => "server mode",
            Place::Backend => "the backends",
            Place::Manager => "spectrum2_manager",
        })
        .collect();
    format!("For {}.", names.join(", "))
}

/// Keeps roff from taking signs of the text for its own.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    // A dot or an apostrophe at the start of a line begins a request.
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_every_option() {
        let page = options();
        for option in OPTIONS {
            assert!(page.contains(&format!("\n\\fB{}\\fR=", option.key)), "{}", option.name);
        }
    }

    #[test]
    fn has_only_the_requests_that_are_meant() {
        for line in options().lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(line.starts_with(".SS [") || line == ".TP", "{line}");
        }
        assert_eq!(escape(".a-b\\"), "\\&.a\\-b\\e");
    }
}
