//! `spectrum2_manager`: from the command line to the exit status.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use spectrum2_manager::arguments::Arguments;
use spectrum2_manager::command;
use spectrum2_manager::outcome::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            let exit = if usage.use_stderr() { Exit::Usage } else { Exit::Ok };
            // Nobody reads it: there is nobody left to tell.
            let _ = usage.print();
            return exit.into();
        }
    };
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(Failure { exit, text }) => {
            let _ = writeln!(io::stderr(), "{text}");
            exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("The program cannot begin: {error}.")))?
        .block_on(command::run(arguments))
}
