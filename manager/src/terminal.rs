//! What people and scripts see: results on standard output, everything else on standard error.

use std::io::{self, BufRead, IsTerminal, Write};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::outcome::Failure;
use crate::table::{Table, Tone};

/// The streams of this process.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether results are JSON.
    pub json: bool,
    /// Whether somebody watches standard output.
    pub is_watched: bool,
    colour: bool,
    has_progress: bool,
}

impl Terminal {
    /// Finds out what the streams are.
    #[must_use]
    pub fn new(json: bool) -> Self {
        // https://no-color.org: set and not empty.
        let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let is_watched = io::stdout().is_terminal();
        Self {
            json,
            is_watched,
            colour: is_watched && wants_colour,
            has_progress: io::stderr().is_terminal(),
        }
    }

    /// A result; ends with a newline if it has any text. Nobody reading it any more (`| head`) is no fault.
    pub fn print(&self, text: &str) {
        let _ = io::stdout().write_all(text.as_bytes());
    }

    /// A result as JSON.
    pub fn print_json(&self, value: &impl Serialize) {
        // Our own types have text keys only, so that this cannot fail.
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.print(&format!("{text}\n"));
    }

    /// A result as a table.
    pub fn print_table(&self, table: &Table) {
        self.print(&table.render(self.colour));
    }

    /// A word in its colour.
    #[must_use]
    pub fn painted(&self, text: &str, tone: Tone) -> String {
        tone.paint(text, self.colour)
    }

    /// Something that a person should know besides the result.
    pub fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Shows what is being waited for, in place of what was shown before.
    pub fn progress(&self, text: &str) {
        if self.has_progress {
            let _ = write!(io::stderr(), "\r\x1b[K{}", crate::table::plain(text));
            let _ = io::stderr().flush();
        }
    }

    /// Removes the line of [`Terminal::progress`].
    pub fn end_progress(&self) {
        self.progress("");
    }

    /// Whether somebody is there to answer.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks until `read` takes the answer; an empty one is the default, if there is one.
    ///
    /// # Errors
    /// Nobody is there to answer: then `option` says how to give it.
    pub fn ask<T>(
        &self,
        question: &str,
        default: Option<&str>,
        option: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        if !self.can_ask() {
            return Err(Failure::usage(format!("{question} is missing. Give it as {option}.")));
        }
        loop {
            let hint = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let _ = write!(io::stderr(), "{question}{hint}: ");
            let line = read_line()?;
            let answer = match (line.trim(), default) {
                ("", None) => continue,
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match read(answer) {
                Ok(answer) => return Ok(answer),
                Err(problem) => self.note(&problem),
            }
        }
    }

    /// Asks for a yes.
    ///
    /// # Errors
    /// The answer is another one, or nobody is there to give it.
    pub fn confirm(&self, question: &str) -> Result<(), Failure> {
        if !self.can_ask() {
            return Err(Failure::usage(format!("{question} Nobody is here to say so. Give --yes.")));
        }
        let says_yes =
            self.ask(&format!("{question} Type “yes”"), None, "--yes", |answer| Ok(answer == "yes"))?;
        if says_yes { Ok(()) } else { Err(Failure::failed("Nothing was changed.")) }
    }

    /// Reads a password: without echo from a terminal, else the first line of standard input.
    ///
    /// # Errors
    /// There is none.
    pub fn password(&self, question: &str) -> Result<String, Failure> {
        let stdin = io::stdin();
        let password = if stdin.is_terminal() {
            let _ = write!(io::stderr(), "{question}: ");
            without_echo(&stdin)?
        } else {
            read_line()?
        };
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            Err(Failure::usage(format!("{question} is empty; see --help.")))
        } else {
            Ok(password)
        }
    }
}

/// Reads a line that is not shown.
fn without_echo(stdin: &io::Stdin) -> Result<String, Failure> {
    let failed =
        |error: nix::Error| Failure::failed(format!("The terminal does not hide what is typed: {error}."));
    let before = tcgetattr(stdin).map_err(failed)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    tcsetattr(stdin, SetArg::TCSAFLUSH, &hidden).map_err(failed)?;
    let line = read_line();
    tcsetattr(stdin, SetArg::TCSAFLUSH, &before).map_err(failed)?;
    line
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Failure::usage("Standard input has ended.")),
        Ok(_) => Ok(line),
        Err(error) => Err(Failure::failed(format!("Standard input cannot be read: {error}."))),
    }
}
