//! What people and scripts see: results on standard output, everything else on standard error.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};
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
            match without_echo(&stdin, &mut stdin.lock())? {
                Some(password) => password,
                None => {
                    // It ends us, as it would have without all this.
                    let _ = raise(Signal::SIGINT);
                    return Err(Failure::failed("Interrupted."));
                }
            }
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

/// Reads a line that is not shown; `None` if somebody typed what interrupts a program instead.
///
/// The terminal sends no signals meanwhile, or they would end us before it shows again what is typed: the keys that do
/// it end the line.
fn without_echo(terminal: impl AsFd, input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    use SpecialCharacterIndices::{VEOL, VEOL2, VINTR, VQUIT, VSUSP};
    let failed =
        |error: nix::Error| Failure::failed(format!("The terminal does not hide what is typed: {error}."));
    let before = tcgetattr(&terminal).map_err(failed)?;
    let key = |index: SpecialCharacterIndices| before.control_chars.get(index as usize).copied().unwrap_or(0);
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    for (index, of) in [(VEOL, VINTR), (VEOL2, VQUIT)] {
        if let Some(place) = hidden.control_chars.get_mut(index as usize) {
            *place = key(of);
        }
    }
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden).map_err(failed)?;
    let ends = [key(VINTR), key(VQUIT), key(VSUSP)];
    let line = until(input, &ends);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &before).map_err(failed)?;
    let line = line?;
    let interrupted = line.iter().any(|byte| *byte != 0 && ends.contains(byte));
    if interrupted {
        return Ok(None);
    }
    String::from_utf8(line).map(Some).map_err(|_| Failure::usage("What was typed is no UTF-8."))
}

/// Reads up to the end of a line, or one of these.
fn until(input: &mut impl BufRead, ends: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    loop {
        let typed = match input.fill_buf() {
            Ok(typed) => typed,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(&error)),
        };
        let length = typed.len();
        line.extend_from_slice(typed);
        input.consume(length);
        match line.last() {
            None => return Err(Failure::usage("Standard input has ended.")),
            Some(last) if length == 0 || *last == b'\n' || ends.contains(last) => return Ok(line),
            Some(_) => {}
        }
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::failed(format!("Standard input cannot be read: {error}."))
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Failure::usage("Standard input has ended.")),
        Ok(_) => Ok(line),
        Err(error) => Err(unreadable(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::io::BufReader;
    use std::thread;

    use nix::pty::openpty;

    /// What comes of it when somebody types this as soon as nothing is shown; afterwards the terminal is as before.
    fn typed(text: &'static [u8]) -> Option<String> {
        let pty = openpty(None, None).unwrap();
        let (terminal, mut person) = (File::from(pty.slave), File::from(pty.master));
        let before = tcgetattr(&terminal).unwrap();
        assert!(before.local_flags.contains(LocalFlags::ECHO | LocalFlags::ISIG));
        let person = thread::spawn(move || {
            while tcgetattr(&person).unwrap().local_flags.contains(LocalFlags::ECHO) {
                thread::yield_now();
            }
            person.write_all(text).unwrap();
            person
        });
        let mut input = BufReader::new(terminal.try_clone().unwrap());
        let line = without_echo(&terminal, &mut input).unwrap();
        assert_eq!(tcgetattr(&terminal).unwrap(), before);
        drop(person.join().unwrap());
        line
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(typed(b"m0ntague\n").as_deref(), Some("m0ntague\n"));
    }

    #[test]
    fn who_interrupts_a_question_for_a_password_sees_again_what_he_types() {
        assert_eq!(typed(b"m0nt\x03"), None);
        assert_eq!(typed(b"\x1c"), None);
        assert_eq!(typed(b"m0nt\x1a\n"), None);
    }
}
