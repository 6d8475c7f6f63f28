//! `spectrum2 check FILE`: what is wrong with a transport file, and what transport it would be.

use std::path::Path;

use crate::problem::{ExitKind, Problem, Severity};
use crate::reading::Overrides;
use crate::table::Config;
use crate::unit::UnitCredentials;
use crate::value::DatabaseKind;

/// Checks a transport file more closely than a start does: also reports secrets that everybody can read and
/// lines that Spectrum 2 understood differently. Gives the report, which ends with a newline, and how the
/// program ends; warnings alone are no failure.
#[must_use]
pub fn report(path: &Path, overrides: &Overrides) -> (String, ExitKind) {
    report_with(path, overrides, &|_| Remarks::default())
}

/// What somebody who knows more has to say about a transport.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Further lines for the summary, each with its newline.
    pub summary: String,
}

/// As [`report`], with what `look` says about a file that can be read.
#[must_use]
pub fn report_with(
    path: &Path,
    overrides: &Overrides,
    look: &dyn Fn(&Config) -> Remarks,
) -> (String, ExitKind) {
    let unit = UnitCredentials::of_file(path);
    let reading = match crate::load(path, overrides, &unit) {
        Ok(reading) => reading,
        Err(problems) => return (list(&problems.list) + &verdict(&problems.list), problems.exit_kind()),
    };
    let mut problems = reading.problems;
    problems.extend(reading.differences);
    let exposed = reading.config.exposed_secrets();
    problems.extend(exposed.clone());
    let vhosts = if overrides.jid.is_none() { reading.config.further_jids() } else { Vec::new() };
    for jid in &vhosts {
        let more = of_vhost(path, overrides, jid, &unit);
        let more = more.into_iter().filter(|problem| !problems.contains(problem));
        let more = more.map(|problem| Problem { text: format!("For {jid}: {}", problem.text), ..problem });
        problems.extend(more.collect::<Vec<_>>());
    }
    // What is missing or not allowed was said already.
    let had_errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    let remarks = if had_errors { Remarks::default() } else { look(&reading.config) };
    problems.extend(remarks.problems);
    problems.sort_by_key(Problem::order);

    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let summary = match failed {
        true => String::new(),
        false => summary(&reading.config, &vhosts) + &credentials(&unit) + &remarks.summary,
    };
    let is_exposure = |problem: &&Problem| problem.severity != Severity::Error || exposed.contains(problem);
    let exit = match failed {
        false => ExitKind::Ok,
        true if problems.iter().all(|problem| is_exposure(&problem)) => ExitKind::NotPermitted,
        true => ExitKind::Configuration,
    };
    (list(&problems) + &summary + &verdict(&problems), exit)
}

/// What is wrong for one of the further transports of a file.
fn of_vhost(path: &Path, overrides: &Overrides, jid: &str, unit: &UnitCredentials) -> Vec<Problem> {
    let overrides = Overrides { jid: Some(jid.to_owned()), ..overrides.clone() };
    match crate::load(path, &overrides, unit) {
        Ok(reading) => reading.problems,
        Err(problems) => problems.list,
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            format!("{severity}: {problem}\n")
        })
        .collect()
}

/// The transport in a few lines.
fn summary(config: &Config, vhosts: &[&str]) -> String {
    let service = &config.service;
    let mode = if service.server_mode {
        format!("server mode, listens on {}", address(&service.server, service.port))
    } else {
        format!("gateway mode, component of {}", address(&service.server, service.port))
    };
    let protocol = if service.protocol.is_empty() { "not set" } else { &service.protocol };
    let vhosts = match vhosts.join(", ") {
        none if none.is_empty() => none,
        vhosts => format!("vhosts:    {vhosts}\n"),
    };
    format!(
        "transport: {}\n{vhosts}\
         mode:      {mode}\n\
         backend:   {}, {} users in one process\n\
         protocol:  {protocol}\n\
         database:  {}\n",
        service.jid,
        service.backend,
        service.users_per_backend,
        database(config)
    )
}

/// Secrets that only the unit has.
fn credentials(unit: &UnitCredentials) -> String {
    match unit.names().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        names => format!("secrets:   {names} from the unit\n"),
    }
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn database(config: &Config) -> String {
    let database = &config.database;
    let kind = database.kind.as_str();
    match database.kind {
        DatabaseKind::None => kind.to_owned(),
        DatabaseKind::Sqlite3 => format!("{kind}, {}", database.database),
        DatabaseKind::Pqxx if !database.connectionstring.is_empty() => {
            format!("{kind}, with database.connectionstring")
        }
        DatabaseKind::Mysql | DatabaseKind::Pqxx => {
            format!("{kind}, {} on {}", database.database, database.server)
        }
    }
}

fn verdict(problems: &[Problem]) -> String {
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "ok\n".to_owned(),
        (0, warnings) => format!("ok, {}\n", plural(warnings, "warning")),
        (errors, 0) => format!("{}\n", plural(errors, "error")),
        (errors, warnings) => format!("{}, {}\n", plural(errors, "error"), plural(warnings, "warning")),
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_words() {
        assert_eq!(plural(1, "error"), "1 error");
        assert_eq!(plural(2, "error"), "2 errors");
    }

    #[test]
    fn brackets_an_ipv6_address() {
        assert_eq!(address("::1", 5347), "[::1]:5347");
        assert_eq!(address("xmpp.example.org", 5347), "xmpp.example.org:5347");
    }
}
