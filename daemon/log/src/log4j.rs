//! log4j properties files, as Spectrum 2 gives them to log4cxx: the same loggers, levels and files.
//!
//! What is not understood is a warning that names the key; the rest holds. A file has one warning per cause, and what
//! cannot be written is said once, until it can.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::appender::{LogFile, MOST_BACKUPS, Roll};
use crate::date::Format;
use crate::filter::{self, Filter};
use crate::layout::{DEFAULT, Layout};
use crate::properties::Properties;
use crate::{Level, Record};

/// No such file is that large.
const LARGEST: u64 = 1024 * 1024;

/// What Spectrum 2 puts in place of `${jid}`, `${id}` and `${pid}`.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// JID of the transport.
    pub jid: String,
    /// Number of the backend process; empty for the daemon.
    pub id: String,
    /// Process id.
    pub pid: String,
}

/// Which messages are let through: those of this level and above; `None` is log4j's OFF.
type Threshold = Option<Level>;

/// What a properties file says.
#[derive(Debug)]
pub struct Settings {
    appenders: BTreeMap<String, Appender>,
    root: Logger,
    loggers: BTreeMap<String, Logger>,
    threshold: Threshold,
}

#[derive(Debug, Default)]
struct Logger {
    /// Without one, that of the logger above holds.
    level: Option<Threshold>,
    appenders: Vec<String>,
    /// Whether messages do not go to the loggers above as well.
    is_apart: bool,
}

#[derive(Debug)]
struct Appender {
    kind: Kind,
    layout: Layout,
    threshold: Threshold,
    filters: Vec<Filter>,
}

#[derive(Debug)]
enum Kind {
    Console {
        stderr: bool,
    },
    /// Transports of one process may share it.
    File(Arc<Mutex<Target>>),
    Nowhere,
}

#[derive(Debug)]
struct Target {
    file: LogFile,
    /// Whether what is in it when it is opened stays.
    keep: bool,
    /// Lines that wait for it to be opened.
    held: Option<Vec<String>>,
    /// Whether it was said that it cannot be written.
    failed: bool,
}

/// Who panicked with the lock has written half a line at worst.
fn locked(target: &Mutex<Target>) -> MutexGuard<'_, Target> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines that wait for their file to be opened; the start of a daemon says fewer.
const HELD: usize = 100;

/// Reads the properties file `path`; gives with it what is wrong with it, a sentence each.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path, variables: &Variables) -> io::Result<(Settings, Vec<String>)> {
    Ok(parse(&text_of(path)?, variables))
}

fn text_of(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The directories of the log files that the properties file `path` names for the transport `jid`: for those who make
/// them, or let somebody write there. Where a number that is not known yet is in the name, the directory above it.
///
/// # Errors
/// The file cannot be read.
pub fn directories(path: &Path, jid: &str) -> io::Result<Vec<PathBuf>> {
    let text = text_of(path)?;
    let properties = Properties::read(&text);
    let variable = |name: &str| match name {
        "jid" => Some(jid.to_owned()),
        "id" | "pid" => Some(format!("${{{name}}}")),
        _ => None,
    };
    let mut directories: Vec<PathBuf> = Vec::new();
    for key in properties.keys().filter(|key| is_file_key(key)) {
        let value = properties.get(key).unwrap_or_default();
        let file = PathBuf::from(properties.expand(value, &variable).trim());
        let known = |path: &&Path| !path.to_string_lossy().contains("${");
        let Some(directory) = file.parent().and_then(|parent| parent.ancestors().find(known)) else {
            continue;
        };
        if !directory.as_os_str().is_empty() && !directories.iter().any(|known| known == directory) {
            directories.push(directory.to_owned());
        }
    }
    Ok(directories)
}

fn is_file_key(key: &str) -> bool {
    key.starts_with("log4j.appender.") && key.to_ascii_lowercase().ends_with(".file")
}

/// As [`read`], for the text of a file.
#[must_use]
pub fn parse(text: &str, variables: &Variables) -> (Settings, Vec<String>) {
    Reader::new(text, variables).read()
}

struct Reader<'a> {
    properties: Properties,
    variables: &'a Variables,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(text: &str, variables: &'a Variables) -> Self {
        Self { properties: Properties::read(text), variables, problems: Vec::new() }
    }

    fn read(mut self) -> (Settings, Vec<String>) {
        let keys: Vec<String> = self.properties.keys().map(str::to_owned).collect();
        let mut settings = Settings {
            appenders: BTreeMap::new(),
            // COMPAT(log4cxx): the root's level is DEBUG until something else is said.
            root: Logger { level: Some(Some(Level::Debug)), ..Logger::default() },
            loggers: BTreeMap::new(),
            threshold: Some(Level::Trace),
        };
        for key in &keys {
            let Some(rest) = key.strip_prefix("log4j.") else {
                // Others are for values to refer to.
                continue;
            };
            let (kind, name) = rest.split_once('.').unwrap_or((rest, ""));
            match kind {
                "rootLogger" | "rootCategory" if name.is_empty() => {
                    let root = self.logger(key);
                    settings.root = Logger {
                        level: root.level.or(settings.root.level),
                        appenders: root.appenders,
                        is_apart: true,
                    };
                }
                "logger" | "category" if !name.is_empty() => {
                    let is_apart = settings.loggers.get(name).is_some_and(|logger| logger.is_apart);
                    let logger = Logger { is_apart, ..self.logger(key) };
                    settings.loggers.insert(name.to_owned(), logger);
                }
                "additivity" if !name.is_empty() => {
                    let is_apart = !self.is_true(key, true);
                    settings.loggers.entry(name.to_owned()).or_default().is_apart = is_apart;
                }
                "appender" if !name.is_empty() => {
                    // The parts of an appender are read with it.
                    if !name.contains('.') {
                        let appender = self.appender(name, &keys);
                        settings.appenders.insert(name.to_owned(), appender);
                    }
                }
                "threshold" if name.is_empty() => {
                    settings.threshold = self.threshold(key).unwrap_or(Some(Level::Trace));
                }
                // log4cxx's own chatter and how it is reset.
                "debug" | "configDebug" | "reset" | "loggerFactory" if name.is_empty() => {}
                _ => self.problems.push(format!("{key} is not known, so it is ignored.")),
            }
        }
        self.find_loose_ends(&settings, &keys);
        (settings, self.problems)
    }

    fn find_loose_ends(&mut self, settings: &Settings, keys: &[String]) {
        let loggers = settings.loggers.iter().map(|(name, logger)| (format!("log4j.logger.{name}"), logger));
        for (key, logger) in loggers.chain([("log4j.rootLogger".to_owned(), &settings.root)]) {
            for name in logger.appenders.iter().filter(|name| !settings.appenders.contains_key(*name)) {
                self.problems.push(format!("{key}: There is no appender {name}. Add log4j.appender.{name}."));
            }
        }
        for key in keys {
            if let Some(name) = key.strip_prefix("log4j.appender.").and_then(|rest| rest.split_once('.'))
                && !settings.appenders.contains_key(name.0)
            {
                self.problems
                    .push(format!("{key} has no effect. Add log4j.appender.{} with its class.", name.0));
            }
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        let variable = |name: &str| match name {
            "jid" => Some(self.variables.jid.clone()),
            "id" => Some(self.variables.id.clone()),
            "pid" => Some(self.variables.pid.clone()),
            // COMPAT(log4cxx): the environment comes after what Spectrum 2 sets, and before the file's own.
            _ => std::env::var(name).ok(),
        };
        self.properties.get(key).map(|value| self.properties.expand(value, &variable).trim().to_owned())
    }

    /// `LEVEL, APPENDER, …`; the level may be left out.
    fn logger(&mut self, key: &str) -> Logger {
        let text = self.text(key).unwrap_or_default();
        let mut words = text.split(',').map(str::trim);
        let first = words.next().unwrap_or_default();
        let level = match first.to_ascii_uppercase().as_str() {
            "" | "INHERITED" | "NULL" => None,
            _ => self.level(key, first),
        };
        let appenders = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Logger { level, appenders, is_apart: false }
    }

    fn threshold(&mut self, key: &str) -> Option<Threshold> {
        let text = self.text(key)?;
        self.level(key, &text)
    }

    fn level(&mut self, key: &str, word: &str) -> Option<Threshold> {
        // A class may stand behind the level: DEBUG#org.apache.log4j.Level.
        let name = word.split('#').next().unwrap_or_default().trim();
        Some(match name.to_ascii_uppercase().as_str() {
            "ALL" | "TRACE" => Some(Level::Trace),
            "DEBUG" => Some(Level::Debug),
            "INFO" => Some(Level::Info),
            "WARN" | "WARNING" => Some(Level::Warn),
            "ERROR" => Some(Level::Error),
            // Nothing of ours is above an error.
            "FATAL" | "OFF" => None,
            _ => {
                self.problems.push(format!(
                    "{key}: “{word}” is no level, so DEBUG is taken. Write TRACE, DEBUG, INFO, WARN, ERROR or OFF."
                ));
                Some(Level::Debug)
            }
        })
    }

    fn is_true(&mut self, key: &str, default: bool) -> bool {
        match self.text(key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("") => default,
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            Some(other) => {
                self.problems
                    .push(format!("{key}: “{other}” is neither true nor false, so {default} is taken."));
                default
            }
        }
    }

    fn appender(&mut self, name: &str, keys: &[String]) -> Appender {
        let class_key = format!("log4j.appender.{name}");
        let class = self.text(&class_key).unwrap_or_default();
        // COMPAT(log4cxx): case and package of a class do not matter.
        let class = class.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let prefix = format!("{class_key}.");
        // Names of options have no case either.
        let options: BTreeMap<String, String> = keys
            .iter()
            .filter_map(|key| {
                let option = key.strip_prefix(&prefix)?.to_ascii_lowercase();
                Some((option, key.clone()))
            })
            .collect();
        let mut used = vec!["threshold", "layout", "layout.conversionpattern"];
        let is_file =
            matches!(class.as_str(), "fileappender" | "rollingfileappender" | "dailyrollingfileappender");
        let kind = match class.as_str() {
            "consoleappender" => {
                used.push("target");
                let target = self.option(&options, "target").unwrap_or_default().to_ascii_lowercase();
                Kind::Console { stderr: target.ends_with("err") }
            }
            "nullappender" => Kind::Nowhere,
            _ if is_file => {
                used.extend(["file", "append"]);
                let roll = self.roll(&class, &options, &mut used);
                match self.option(&options, "file").filter(|file| !file.is_empty()) {
                    Some(file) => Kind::File(Arc::new(Mutex::new(Target {
                        file: LogFile::new(PathBuf::from(file), roll),
                        keep: options.get("append").is_none_or(|key| self.is_true(key, true)),
                        held: Some(Vec::new()),
                        failed: false,
                    }))),
                    None => {
                        self.problems.push(format!("{class_key} has no file. Add {class_key}.File."));
                        Kind::Nowhere
                    }
                }
            }
            _ => {
                self.problems.push(format!(
                    "{class_key}: There is no appender of this kind. Write org.apache.log4j.RollingFileAppender, \
                     DailyRollingFileAppender, FileAppender or ConsoleAppender."
                ));
                return Appender {
                    kind: Kind::Nowhere,
                    layout: Layout::read(DEFAULT).0,
                    threshold: None,
                    filters: Vec::new(),
                };
            }
        };
        // Every line is written at once, in UTF-8, and all of log4cxx's ways to say so are fine.
        used.extend(["immediateflush", "bufferedio", "buffersize", "encoding"]);
        let filters = self.filters(&options);
        for (option, key) in &options {
            if !used.contains(&option.as_str()) && !option.starts_with("filter.") {
                self.problems.push(format!("{key} is not known, so it is ignored."));
            }
        }
        let layout = self.layout(&options);
        let threshold = match options.get("threshold") {
            Some(key) => self.threshold(key).unwrap_or(Some(Level::Trace)),
            None => Some(Level::Trace),
        };
        Appender { kind, layout, threshold, filters }
    }

    /// `filter.NAME` with its options, in the order of the names, as log4j has it.
    fn filters(&mut self, options: &BTreeMap<String, String>) -> Vec<Filter> {
        let named = |option: &String| {
            option.strip_prefix("filter.").map(|name| name.split('.').next().map(str::to_owned))
        };
        let mut names: Vec<String> = options.keys().filter_map(named).flatten().collect();
        // Sorted already.
        names.dedup();
        names.iter().filter_map(|name| self.filter(options, name)).collect()
    }

    fn filter(&mut self, options: &BTreeMap<String, String>, name: &str) -> Option<Filter> {
        let prefix = format!("filter.{name}");
        let below = format!("{prefix}.");
        let class = self.option(options, &prefix).unwrap_or_default();
        let class = class.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let known: &[&str] = match class.as_str() {
            "levelrangefilter" => &["levelmin", "levelmax", "acceptonmatch"],
            "levelmatchfilter" => &["leveltomatch", "acceptonmatch"],
            "stringmatchfilter" => &["stringtomatch", "acceptonmatch"],
            "denyallfilter" => &[],
            _ => {
                let of_it = |option: &String| *option == prefix || option.starts_with(&below);
                let key = options.iter().find(|(option, _)| of_it(option)).map_or(&prefix, |(_, key)| key);
                self.problems.push(format!(
                    "{key}: There is no filter of this kind, so it is ignored. Write \
                     org.apache.log4j.varia.LevelRangeFilter, LevelMatchFilter, StringMatchFilter or DenyAllFilter."
                ));
                return None;
            }
        };
        for (option, key) in options {
            if option.strip_prefix(&below).is_some_and(|option| !known.contains(&option)) {
                self.problems.push(format!("{key} is not known, so it is ignored."));
            }
        }
        let key = |option: &str| options.get(&format!("{below}{option}"));
        // COMPAT(log4cxx): log4j has another default for LevelRangeFilter.
        let accept = key("acceptonmatch").is_none_or(|key| self.is_true(key, true));
        Some(match class.as_str() {
            "levelrangefilter" => Filter::Range {
                min: key("levelmin").map_or(Level::Trace, |key| self.bound(key)),
                max: key("levelmax").map_or(Level::Error, |key| self.bound(key)),
                accept,
            },
            "levelmatchfilter" => Filter::Match {
                level: key("leveltomatch").and_then(|key| self.threshold(key)).flatten(),
                accept,
            },
            "stringmatchfilter" => Filter::Text {
                text: key("stringtomatch").and_then(|key| self.text(key)).unwrap_or_default(),
                accept,
            },
            _ => Filter::DenyAll,
        })
    }

    /// An end of a range. Nothing of ours is above an error.
    fn bound(&mut self, key: &str) -> Level {
        self.threshold(key).flatten().unwrap_or(Level::Error)
    }

    fn option(&self, options: &BTreeMap<String, String>, name: &str) -> Option<String> {
        options.get(name).and_then(|key| self.text(key))
    }

    fn roll(
        &mut self,
        class: &str,
        options: &BTreeMap<String, String>,
        used: &mut Vec<&'static str>,
    ) -> Roll {
        match class {
            "rollingfileappender" => {
                used.extend(["maxfilesize", "maximumfilesize", "maxbackupindex"]);
                let key = options.get("maxfilesize").or_else(|| options.get("maximumfilesize"));
                let max = key.and_then(|key| self.size(key)).unwrap_or(10 * 1024 * 1024);
                let backups = options.get("maxbackupindex").and_then(|key| self.number(key)).unwrap_or(1);
                Roll::Size { max, backups }
            }
            "dailyrollingfileappender" => {
                used.push("datepattern");
                let pattern = self.option(options, "datepattern").filter(|pattern| !pattern.is_empty());
                Roll::Date { pattern: Format::read(pattern.as_deref().unwrap_or("'.'yyyy-MM-dd")) }
            }
            _ => Roll::Never,
        }
    }

    /// `10000KB`.
    fn size(&mut self, key: &str) -> Option<u64> {
        let text = self.text(key)?.to_ascii_uppercase();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..).unwrap_or_default() {
            "" | "B" => Some(1),
            "K" | "KB" => Some(1024),
            "M" | "MB" => Some(1024 * 1024),
            "G" | "GB" => Some(1024 * 1024 * 1024),
            _ => None,
        };
        let size =
            digits.trim().parse::<u64>().ok().zip(unit).map(|(count, unit)| count.saturating_mul(unit));
        if size.is_none_or(|size| size == 0) {
            self.problems
                .push(format!("{key}: “{text}” is no size, so 10MB is taken. Write for example 10000KB."));
            return None;
        }
        size
    }

    fn number(&mut self, key: &str) -> Option<u32> {
        let text = self.text(key)?;
        match text.parse::<u32>() {
            Ok(number) if number <= MOST_BACKUPS => Some(number),
            Ok(_) => {
                self.problems
                    .push(format!("{key}: {text} old files are too many, so {MOST_BACKUPS} are kept."));
                Some(MOST_BACKUPS)
            }
            Err(_) => {
                self.problems.push(format!("{key}: “{text}” is no number, so 1 is taken."));
                None
            }
        }
    }

    fn layout(&mut self, options: &BTreeMap<String, String>) -> Layout {
        let class = self.option(options, "layout").unwrap_or_default();
        let class = class.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let pattern = match class.as_str() {
            "simplelayout" => "%p - %m%n".to_owned(),
            "ttcclayout" => "%r [%t] %p %c %x - %m%n".to_owned(),
            _ => {
                if !matches!(class.as_str(), "" | "patternlayout") {
                    self.problems.push(format!(
                        "{}: There is no layout of this kind, so “{DEFAULT}” is taken. Write \
                         org.apache.log4j.PatternLayout.",
                        options.get("layout").map_or("layout", String::as_str)
                    ));
                }
                let pattern = self.option(options, "layout.conversionpattern");
                pattern.filter(|pattern| !pattern.is_empty()).unwrap_or_else(|| DEFAULT.to_owned())
            }
        };
        let (layout, problems) = Layout::read(&pattern);
        let key = options.get("layout.conversionpattern").map_or("ConversionPattern", String::as_str);
        self.problems.extend(problems.into_iter().map(|problem| format!("{key}: {problem}")));
        layout
    }
}

impl Settings {
    /// Whether some messages go to the console.
    #[must_use]
    pub fn has_console(&self) -> bool {
        let mut named = self.loggers.values().chain([&self.root]).flat_map(|logger| &logger.appenders);
        named.any(|name| {
            self.appenders.get(name).is_some_and(|appender| matches!(appender.kind, Kind::Console { .. }))
        })
    }

    /// Leaves the console to somebody else.
    #[must_use]
    pub fn without_console(mut self) -> Self {
        for appender in self.appenders.values_mut() {
            if matches!(appender.kind, Kind::Console { .. }) {
                appender.kind = Kind::Nowhere;
            }
        }
        self
    }

    /// Files of the same names are the same files: written by one hand, they can be put aside.
    pub fn share_files_of(&mut self, others: &Self) {
        let file = |appender: &Appender| match &appender.kind {
            Kind::File(target) => Some(Arc::clone(target)),
            Kind::Console { .. } | Kind::Nowhere => None,
        };
        for appender in self.appenders.values_mut() {
            let Some(ours) = file(appender) else { continue };
            let is_same = |theirs: &Arc<Mutex<Target>>| {
                !Arc::ptr_eq(&ours, theirs) && locked(theirs).file.path() == locked(&ours).file.path()
            };
            if let Some(theirs) = others.appenders.values().filter_map(file).find(is_same) {
                appender.kind = Kind::File(theirs);
            }
        }
    }

    /// A log whose console works at once, and whose files begin with [`Log::open_files`].
    #[must_use]
    pub const fn into_log(self) -> Log {
        Log(self)
    }

    fn used_appenders(&self) -> Vec<String> {
        self.loggers
            .values()
            .chain([&self.root])
            .flat_map(|logger| logger.appenders.iter().cloned())
            .collect()
    }

    /// Whether a message of this logger goes anywhere.
    #[must_use]
    pub fn wants(&self, logger: &str, level: Level) -> bool {
        let threshold =
            self.line_of(logger).find_map(|logger| logger.level).unwrap_or(self.root.level.flatten());
        let passes = |threshold: Threshold| threshold.is_some_and(|least| level >= least);
        passes(threshold) && passes(self.threshold)
    }

    /// The logger, those above it, and the root.
    fn line_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Logger> {
        let names = std::iter::successors(Some(name), |name| name.rsplit_once('.').map(|(above, _)| above));
        names.filter_map(|name| self.loggers.get(name)).chain([&self.root])
    }

    fn appenders_of(&self, logger: &str) -> Vec<String> {
        let mut names = Vec::new();
        for logger in self.line_of(logger) {
            names.extend(logger.appenders.iter().cloned());
            if logger.is_apart {
                break;
            }
        }
        names
    }
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!(
        "The log file {} cannot be written: {error}. Make it and its directory writable for the user of this process.",
        path.display()
    )
}

/// Open log files.
#[derive(Debug)]
pub struct Log(Settings);

impl Log {
    /// Whether a message of this logger goes anywhere.
    #[must_use]
    pub fn wants(&self, logger: &str, level: Level) -> bool {
        self.0.wants(logger, level)
    }

    /// Writes a message; gives which file cannot be written, once.
    pub fn write(&mut self, record: &Record) -> Vec<String> {
        if !self.wants(&record.logger, record.level) {
            return Vec::new();
        }
        let names = self.0.appenders_of(&record.logger);
        names.iter().filter_map(|name| self.0.appenders.get_mut(name)?.write(record)).collect()
    }

    /// Opens the files, as whoever this process is now, and writes what was said before. Gives which cannot be opened.
    pub fn open_files(&mut self) -> Vec<String> {
        let used = self.0.used_appenders();
        let appenders = self.0.appenders.iter_mut().filter(|(name, _)| used.contains(name));
        appenders
            .filter_map(|(_, appender)| {
                let Kind::File(target) = &mut appender.kind else { return None };
                let Target { file, keep, held, failed } = &mut *locked(target);
                let lines = held.take()?;
                let opened = file.open(*keep);
                let now = SystemTime::now();
                let result =
                    lines.iter().fold(opened, |result, line| result.and_then(|()| file.write(line, now)));
                *failed = result.is_err();
                result.err().map(|error| unwritable(file.path(), &error))
            })
            .collect()
    }

    /// Opens all files again by their names: somebody else has put them aside.
    pub fn reopen(&mut self) -> Vec<String> {
        let used = self.0.used_appenders();
        let appenders = self.0.appenders.iter_mut().filter(|(name, _)| used.contains(name));
        appenders
            .filter_map(|(_, appender)| {
                let Kind::File(target) = &mut appender.kind else { return None };
                let Target { file, held: None, .. } = &mut *locked(target) else { return None };
                file.reopen().err().map(|error| unwritable(file.path(), &error))
            })
            .collect()
    }
}

impl Appender {
    fn write(&mut self, record: &Record) -> Option<String> {
        let is_below = self.threshold.is_none_or(|least| record.level < least);
        if is_below || !filter::pass(&self.filters, record) {
            return None;
        }
        let line = self.layout.write(record);
        match &mut self.kind {
            Kind::Nowhere => None,
            Kind::Console { stderr } => {
                // Nobody is left to tell when it is closed.
                let _ = match stderr {
                    true => io::stderr().lock().write_all(line.as_bytes()),
                    false => io::stdout().lock().write_all(line.as_bytes()),
                };
                None
            }
            Kind::File(target) => locked(target).write(line, record.time),
        }
    }
}

impl Target {
    fn write(&mut self, line: String, time: SystemTime) -> Option<String> {
        if let Some(held) = &mut self.held {
            if held.len() < HELD {
                held.push(line);
            }
            return None;
        }
        match self.file.write(&line, time) {
            Ok(()) => {
                self.failed = false;
                None
            }
            Err(_) if self.failed => None,
            Err(error) => {
                self.failed = true;
                Some(unwritable(self.file.path(), &error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    /// As Spectrum 2 installs it, with another place.
    fn shipped(place: &Directory) -> String {
        format!(
            "log4j.rootLogger=debug, R\n\n\
             log4j.appender.R=org.apache.log4j.RollingFileAppender\n\
             log4j.appender.R.File={}/${{jid}}/backend-${{id}}.log\n\
             log4j.appender.R.MaxFileSize=10000KB\n\
             log4j.appender.R.MaxBackupIndex=1\n\
             log4j.appender.R.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.R.layout.ConversionPattern=${{pid}}: %-5p %c: %m%n\n\
             # another comment\n\
             log4j.category.Component.XML = OFF\n",
            place.path("log").display()
        )
    }

    fn variables() -> Variables {
        Variables { jid: "irc.example.org".to_owned(), id: "2".to_owned(), pid: "4711".to_owned() }
    }

    fn say(log: &mut Log, level: Level, logger: &str) -> Vec<String> {
        log.write(&Record::now(level, logger, &format!("{logger} says\n{level}")))
    }

    #[test]
    fn the_shipped_file_gives_the_same_file() {
        let place = Directory::new();
        let text = shipped(&place);
        fs::write(place.path("backend-logging.cfg"), &text).unwrap();
        let (settings, problems) = read(&place.path("backend-logging.cfg"), &variables()).unwrap();
        assert_eq!(problems, [] as [&str; 0]);
        assert_eq!(
            directories(&place.path("backend-logging.cfg"), "irc.example.org").unwrap(),
            [place.path("log/irc.example.org")]
        );
        let mut log = settings.into_log();
        let problems = log.open_files();
        assert_eq!(problems, [] as [&str; 0]);
        for (level, logger) in [
            (Level::Info, "backend"),
            (Level::Trace, "backend"),
            (Level::Error, "Component.XML"),
            (Level::Error, "Component.XML.below"),
            (Level::Warn, "Component"),
        ] {
            assert_eq!(say(&mut log, level, logger), [] as [&str; 0]);
        }
        assert_eq!(
            fs::read_to_string(place.path("log/irc.example.org/backend-2.log")).unwrap(),
            "4711: INFO  backend: backend says INFO\n4711: WARN  Component: Component says WARN\n"
        );
    }

    #[test]
    fn directories_stop_where_a_number_begins() {
        let place = Directory::new();
        let file = place.path("a.cfg");
        let text = "log4j.appender.R.File=/srv/${jid}/${id}/x.log\nlog4j.appender.S.file = relative.log\n\
                    base=/srv/log\nlog4j.appender.T.File=${base}/t.log\nlog4j.appender.U.File=/srv/log/u.log\n";
        fs::write(&file, text).unwrap();
        assert_eq!(
            directories(&file, "a.b").unwrap(),
            [PathBuf::from("/srv/a.b"), PathBuf::from("/srv/log")]
        );
    }

    #[test]
    fn loggers_have_levels_appenders_and_what_is_above_them() {
        let place = Directory::new();
        let appender = |name: &str| {
            let path = place.path(name);
            format!(
                "log4j.appender.{name}=FileAppender\nlog4j.appender.{name}.File={}\n\
                 log4j.appender.{name}.layout=org.apache.log4j.SimpleLayout\n",
                path.display()
            )
        };
        let text = format!(
            "{}{}{}\
             log4j.rootCategory=WARN, all\n\
             log4j.logger.User=INFO\n\
             log4j.logger.Component=DEBUG, link\n\
             log4j.additivity.Component=false\n\
             log4j.category.Component.Noise=INHERITED, noise\n\
             log4j.appender.noise.Threshold=ERROR\n",
            appender("all"),
            appender("link"),
            appender("noise")
        );
        let (settings, problems) = parse(&text, &variables());
        assert_eq!(problems, [] as [&str; 0]);
        let mut log = settings.into_log();
        // What is said before is in the file, too.
        say(&mut log, Level::Info, "Spectrum");
        say(&mut log, Level::Warn, "Early");
        assert!(!place.path("all").exists());
        log.open_files();
        say(&mut log, Level::Info, "Spectrum");
        say(&mut log, Level::Warn, "Spectrum");
        say(&mut log, Level::Info, "User");
        say(&mut log, Level::Debug, "Component");
        say(&mut log, Level::Debug, "Component.Noise");
        say(&mut log, Level::Error, "Component.Noise");
        let lines = |name: &str| fs::read_to_string(place.path(name)).unwrap();
        assert_eq!(
            lines("all"),
            "WARN - Early says WARN\nWARN - Spectrum says WARN\nINFO - User says INFO\n"
        );
        assert_eq!(lines("noise"), "ERROR - Component.Noise says ERROR\n");
        assert_eq!(
            lines("link"),
            "DEBUG - Component says DEBUG\nDEBUG - Component.Noise says DEBUG\n\
             ERROR - Component.Noise says ERROR\n"
        );
    }

    #[test]
    fn filters_decide_after_the_threshold() {
        let place = Directory::new();
        let text = format!(
            "log4j.rootLogger=TRACE, quiet, errors\n\
             log4j.appender.quiet=FileAppender\nlog4j.appender.quiet.File={}\n\
             log4j.appender.quiet.layout=org.apache.log4j.SimpleLayout\n\
             log4j.appender.quiet.filter.2=org.apache.log4j.varia.LevelRangeFilter\n\
             log4j.appender.quiet.filter.2.LevelMin=INFO\n\
             log4j.appender.quiet.filter.2.levelMax=WARN\n\
             log4j.appender.quiet.filter.1=org.apache.log4j.filter.StringMatchFilter\n\
             log4j.appender.quiet.filter.1.StringToMatch=Noise\n\
             log4j.appender.quiet.filter.1.AcceptOnMatch=false\n\
             log4j.appender.errors=FileAppender\nlog4j.appender.errors.File={}\n\
             log4j.appender.errors.layout=org.apache.log4j.SimpleLayout\n\
             log4j.appender.errors.filter.a=org.apache.log4j.varia.LevelMatchFilter\n\
             log4j.appender.errors.filter.a.LevelToMatch=ERROR\n\
             log4j.appender.errors.filter.b=org.apache.log4j.varia.DenyAllFilter\n",
            place.path("quiet").display(),
            place.path("errors").display()
        );
        let (settings, problems) = parse(&text, &variables());
        assert_eq!(problems, [] as [&str; 0]);
        let mut log = settings.into_log();
        log.open_files();
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            say(&mut log, level, "User");
        }
        say(&mut log, Level::Info, "Noise");
        let lines = |name: &str| fs::read_to_string(place.path(name)).unwrap();
        assert_eq!(lines("quiet"), "INFO - User says INFO\nWARN - User says WARN\n");
        assert_eq!(lines("errors"), "ERROR - User says ERROR\n");
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_holds() {
        let (settings, problems) = parse(
            "log4j.rootLogger=loud, C, nobody\n\
             log4j.appender.C=org.apache.log4j.ConsoleAppender\n\
             log4j.appender.C.layout=org.apache.log4j.HTMLLayout\n\
             log4j.appender.C.Colour=red\n\
             log4j.appender.C.filter.1=org.apache.log4j.varia.MoodFilter\n\
             log4j.appender.C.filter.1.Mood=merry\n\
             log4j.appender.C.filter.2=org.apache.log4j.varia.LevelRangeFilter\n\
             log4j.appender.C.filter.2.LevelMinimum=INFO\n\
             log4j.appender.M=org.apache.log4j.SMTPAppender\n\
             log4j.appender.M.To=juliet@example.org\n\
             log4j.appender.R=org.apache.log4j.RollingFileAppender\n\
             log4j.appender.R.MaxFileSize=many\n\
             log4j.appender.R.MaxBackupIndex=99999999\n\
             log4j.appender.X.File=/tmp/x\n\
             log4j.additivity.User=perhaps\n\
             log4j.renderer.a=b\n\
             threshold=ERROR\n",
            &variables(),
        );
        for word in [
            "“loud” is no level",
            "There is no appender nobody",
            "layout: There is no layout of this kind",
            "log4j.appender.C.Colour is not known",
            "log4j.appender.C.filter.1: There is no filter of this kind",
            "log4j.appender.C.filter.2.LevelMinimum is not known",
            "log4j.appender.M: There is no appender of this kind",
            "“MANY” is no size",
            "99999999 old files are too many",
            "Add log4j.appender.R.File",
            "log4j.appender.X.File has no effect",
            "“perhaps” is neither true nor false",
            "log4j.renderer.a is not known",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:#?}");
        }
        assert_eq!(problems.len(), 13, "{problems:#?}");
        assert!(settings.has_console() && !settings.without_console().has_console());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_said_once() {
        let place = Directory::new();
        fs::write(place.path("log"), "no directory").unwrap();
        let (settings, _) = parse(&shipped(&place), &variables());
        let mut log = settings.into_log();
        let problems = log.open_files();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("log/irc.example.org/backend-2.log cannot be written"), "{problems:?}");
        assert_eq!(say(&mut log, Level::Info, "backend"), [] as [&str; 0]);
        // Once it works it may fail anew.
        fs::remove_file(place.path("log")).unwrap();
        assert_eq!(say(&mut log, Level::Info, "backend"), [] as [&str; 0]);
        fs::remove_dir_all(place.path("log")).unwrap();
        fs::write(place.path("log"), "no directory").unwrap();
        assert_eq!(log.reopen().len(), 1);
    }

    #[test]
    fn global_threshold_and_off() {
        let (settings, _) =
            parse("log4j.threshold=ERROR\nlog4j.rootLogger=ALL\nlog4j.logger.a=OFF\n", &variables());
        assert!(settings.wants("b", Level::Error) && !settings.wants("b", Level::Warn));
        assert!(!settings.wants("a.b", Level::Error));
    }
}
