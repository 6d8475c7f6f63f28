//! Completions for shells: what clap knows of the command line, and the transports of this machine.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;

const PROGRAM: &str = "spectrum2_manager";

/// Commands whose arguments are transports.
const OF_TRANSPORTS: &str =
    "status start stop restart reload enable disable check remove users user backends log log-level";

/// The script for a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    match shell {
        Shell::Bash => text + &bash(),
        Shell::Zsh => zsh(&text),
        Shell::Fish => text + &fish(),
        _ => text,
    }
}

fn bash() -> String {
    let commands = OF_TRANSPORTS.replace(' ', "|");
    format!(
        r#"
_{PROGRAM}_transports() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} word
    _{PROGRAM} "$@"
    case $current in -*) return 0 ;; esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
            {commands})
                COMPREPLY+=( $(compgen -W "$({PROGRAM} list 2>/dev/null)" -- "$current") )
                return 0
                ;;
        esac
    done
}}
complete -F _{PROGRAM}_transports -o bashdefault -o default {PROGRAM}
"#
    )
}

fn zsh(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let is_transport = ["':name --", "'::name --", "'*::names --", "':transport --"];
        match is_transport.iter().any(|argument| line.trim_start().starts_with(argument)) {
            true => line.replace(":_default'", &format!(":_{PROGRAM}_transports'")),
            false => line.to_owned(),
        }
    });
    let (first, rest) =
        lines.fold((String::new(), String::new()), |(first, rest), line| match first.is_empty() {
            true => (line + "\n", rest),
            false => (first, rest + &line + "\n"),
        });
    // The first line is for compinit(1).
    format!(
        "{first}\n_{PROGRAM}_transports() {{\n    compadd -- ${{(f)\"$({PROGRAM} list 2>/dev/null)\"}}\n}}\n{rest}"
    )
}

fn fish() -> String {
    format!(
        "complete -c {PROGRAM} -n \"__fish_seen_subcommand_from {OF_TRANSPORTS}\" -f -a \"({PROGRAM} list 2>/dev/null)\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn bash_completes_commands_options_and_transports() {
        let completed = |words: &[&str]| {
            let script = script(Shell::Bash);
            let words = words.join(" ");
            let asked = format!(
                "{script}\n{PROGRAM}() {{ printf 'irc.example.org\\nicq.example.org\\n'; }}\n\
                 COMP_WORDS=({PROGRAM} {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))\n\
                 _{PROGRAM}_transports {PROGRAM} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
                 printf '%s\\n' \"${{COMPREPLY[@]}}\""
            );
            let ran = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
            let text = String::from_utf8(ran.stdout).unwrap();
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(completed(&["sta"]), ["status", "start"]);
        assert_eq!(completed(&["status", "ic"]), ["icq.example.org"]);
        assert_eq!(completed(&["--json", "user", "show", "i"]), ["irc.example.org", "icq.example.org"]);
        assert!(completed(&["status", "--j"]).contains(&"--json".to_owned()));
        assert_eq!(completed(&["create", "ir"]), [] as [&str; 0]);
    }

    #[test]
    fn the_other_shells_ask_for_the_transports_too() {
        let zsh = script(Shell::Zsh);
        assert!(zsh.starts_with("#compdef spectrum2_manager\n"), "{zsh}");
        assert_eq!(zsh.matches(":_spectrum2_manager_transports'").count(), 20, "{zsh}");
        assert!(zsh.contains("spectrum2_manager list"));
        assert!(script(Shell::Fish).contains("__fish_seen_subcommand_from status start"));
        assert!(script(Shell::Elvish).contains("spectrum2_manager"));
    }
}
