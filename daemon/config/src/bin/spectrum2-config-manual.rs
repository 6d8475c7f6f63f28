//! `spectrum2-config-manual < man/spectrum2.conf.5.in`: the manual page of the transport file, with the table of options in
//! the place of the line `@OPTIONS@`. Part of the build, not installed.

use std::io::{self, Write};

use spectrum2_config::manual;

fn main() -> io::Result<()> {
    let template = io::read_to_string(io::stdin())?;
    let (before, after) = template.split_once("@OPTIONS@\n").ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "The page on standard input has no line @OPTIONS@.")
    })?;
    write!(io::stdout(), "{before}{}{after}", manual::options())
}
