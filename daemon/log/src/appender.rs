//! Where lines go: log4j's appenders.
//!
//! A file that cannot be written is tried again with the next line, so that it goes on when there is room again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::date::{Format, Zone};

/// Owner and group of the process may read, nobody else: messages name users.
const MODE: u32 = 0o640;
/// As its log files.
const DIRECTORY_MODE: u32 = 0o750;

/// Most old files that are kept, however many are asked for: each is renamed at every roll.
pub const MOST_BACKUPS: u32 = 1000;

/// When the file is put aside for a new one.
#[derive(Clone, Debug)]
pub enum Roll {
    /// Never.
    Never,
    /// When it is so large; so many old ones are kept.
    Size { max: u64, backups: u32 },
    /// When its date, written so, is over.
    Date { pattern: Format },
}

/// A log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    roll: Roll,
    file: Option<File>,
    size: u64,
    /// The date of what is in it, as its name will have it.
    period: String,
    zone: Zone,
}

impl LogFile {
    pub fn new(path: PathBuf, roll: Roll) -> Self {
        Self { path, roll, file: None, size: 0, period: String::new(), zone: Zone::local() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file; `keep` says whether what is in it stays.
    pub fn open(&mut self, keep: bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        // Lines of several processes do not overwrite each other.
        options.append(true).create(true).mode(MODE);
        let file = match (options.open(&self.path), self.path.parent()) {
            (Err(error), Some(directory)) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
                options.open(&self.path)?
            }
            (result, _) => result?,
        };
        if !keep {
            file.set_len(0)?;
        }
        let data = file.metadata()?;
        if data.size() == 0 && data.permissions().mode() & 0o777 != MODE {
            // The umask took something away. A file that was there before may be somebody else's.
            let _ = file.set_permissions(fs::Permissions::from_mode(MODE));
        }
        self.size = data.size();
        // What is in it may be from yesterday.
        let written = if self.size > 0 { data.modified()? } else { SystemTime::now() };
        self.period = self.period_of(written);
        self.file = Some(file);
        Ok(())
    }

    /// Opens the file of that name again: somebody else may have put the old one aside.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        self.open(true)
    }

    pub fn write(&mut self, line: &str, time: SystemTime) -> io::Result<()> {
        if self.file.is_none() {
            self.open(true)?;
        }
        let rolled = if self.is_full(time) { self.roll(time) } else { Ok(()) };
        // A file that cannot be put aside is written on: nothing is lost.
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            self.size += line.len() as u64;
        }
        rolled
    }

    fn is_full(&self, time: SystemTime) -> bool {
        match self.roll {
            Roll::Never => false,
            Roll::Size { max, .. } => self.size >= max,
            Roll::Date { .. } => self.period != self.period_of(time),
        }
    }

    fn period_of(&self, time: SystemTime) -> String {
        match &self.roll {
            Roll::Date { pattern } => pattern.write(time, &self.zone),
            Roll::Never | Roll::Size { .. } => String::new(),
        }
    }

    fn roll(&mut self, now: SystemTime) -> io::Result<()> {
        match self.roll {
            Roll::Never => return Ok(()),
            Roll::Size { backups: 0, .. } => {}
            Roll::Size { backups, .. } => {
                for number in (1..backups).rev() {
                    match fs::rename(
                        self.aside(&format!(".{number}")),
                        self.aside(&format!(".{}", number + 1)),
                    ) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                }
                fs::rename(&self.path, self.aside(".1"))?;
            }
            Roll::Date { .. } => {
                let aside = self.aside(&self.period);
                if aside.exists() {
                    // Another process has put it aside, or the clock was put back: what is there stays.
                    self.reopen()?;
                    self.period = self.period_of(now);
                    return Ok(());
                }
                fs::rename(&self.path, aside)?;
            }
        }
        self.file = None;
        self.open(false)
    }

    /// The file's path with something behind it.
    fn aside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Directory;

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let directory = Directory::new();
        let path = directory.path("a.log");
        let mut log = LogFile::new(path.clone(), Roll::Size { max: 11, backups: 2 });
        for line in ["line one\n", "line two\n", "line three\n", "line four\n", "5\n", "line six\n"] {
            log.write(line, SystemTime::now()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line six\n");
        assert_eq!(fs::read_to_string(directory.path("a.log.1")).unwrap(), "line four\n5\n");
        assert_eq!(fs::read_to_string(directory.path("a.log.2")).unwrap(), "line three\n");
        assert_eq!(directory.names(), ["a.log", "a.log.1", "a.log.2"]);
    }

    #[test]
    fn without_backups_it_begins_anew() {
        let directory = Directory::new();
        let mut log = LogFile::new(directory.path("a.log"), Roll::Size { max: 4, backups: 0 });
        for line in ["one\n", "two\n"] {
            log.write(line, SystemTime::now()).unwrap();
        }
        assert_eq!(fs::read_to_string(directory.path("a.log")).unwrap(), "two\n");
        assert_eq!(directory.names(), ["a.log"]);
    }

    /// What is put aside under a date that comes again would be overwritten by the rest of that day.
    #[test]
    fn a_clock_that_is_put_back_loses_nothing() {
        let directory = Directory::new();
        let pattern = Format::read("'.'yyyy-MM-dd");
        let mut log = LogFile::new(directory.path("a.log"), Roll::Date { pattern });
        log.zone = Zone::named("UTC");
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 24 * 3600);
        let (before, after) = (midnight - Duration::from_secs(60), midnight + Duration::from_secs(60));
        for (line, time) in [("1\n", before), ("2\n", after), ("3\n", before), ("4\n", after), ("5\n", after)]
        {
            log.write(line, time).unwrap();
            // What is in the file is of the time that it says, and not of that of this test.
            log.period = log.period_of(time);
        }
        let all: String =
            directory.names().iter().map(|name| fs::read_to_string(directory.path(name)).unwrap()).collect();
        let mut lines: Vec<_> = all.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["1", "2", "3", "4", "5"]);
    }

    #[test]
    fn two_processes_put_one_file_aside_once() {
        let directory = Directory::new();
        let mut logs = [(); 2].map(|()| {
            let pattern = Format::read("'.'yyyy-MM-dd");
            LogFile::new(directory.path("a.log"), Roll::Date { pattern })
        });
        let now = SystemTime::now();
        for log in &mut logs {
            log.write("old\n", now).unwrap();
        }
        let tomorrow = now + Duration::from_secs(24 * 3600);
        for log in &mut logs {
            log.write("new\n", tomorrow).unwrap();
        }
        let names = directory.names();
        let text = |name: &String| fs::read_to_string(directory.path(name)).unwrap();
        assert_eq!(names.iter().map(text).collect::<Vec<_>>(), ["new\nnew\n", "old\nold\n"]);
    }

    #[test]
    fn a_new_day_has_a_new_file_also_after_a_restart() {
        let directory = Directory::new();
        let daily =
            || LogFile::new(directory.path("a.log"), Roll::Date { pattern: Format::read("'.'yyyy-MM-dd") });
        let now = SystemTime::now();
        let yesterday = now - Duration::from_secs(36 * 3600);
        daily().write("old\n", now).unwrap();
        File::options().append(true).open(directory.path("a.log")).unwrap().set_modified(yesterday).unwrap();
        let mut log = daily();
        log.write("new\n", now).unwrap();
        log.write("newer\n", now).unwrap();
        let old = format!("a.log{}", Format::read("'.'yyyy-MM-dd").write(yesterday, &Zone::local()));
        assert_eq!(directory.names(), ["a.log".to_owned(), old.clone()]);
        assert_eq!(fs::read_to_string(directory.path(&old)).unwrap(), "old\n");
        assert_eq!(fs::read_to_string(directory.path("a.log")).unwrap(), "new\nnewer\n");
    }

    #[test]
    fn a_file_that_could_not_be_written_goes_on_later() {
        let directory = Directory::new();
        let mut log = LogFile::new(directory.path("missing/a.log"), Roll::Never);
        fs::write(directory.path("missing"), "no directory").unwrap();
        assert!(log.write("lost\n", SystemTime::now()).is_err());
        fs::remove_file(directory.path("missing")).unwrap();
        log.write("found\n", SystemTime::now()).unwrap();
        let data = fs::metadata(directory.path("missing/a.log")).unwrap();
        assert_eq!(data.permissions().mode() & 0o777, 0o640);

        fs::rename(directory.path("missing/a.log"), directory.path("aside")).unwrap();
        log.reopen().unwrap();
        log.write("again\n", SystemTime::now()).unwrap();
        assert_eq!(fs::read_to_string(directory.path("missing/a.log")).unwrap(), "again\n");
    }
}
