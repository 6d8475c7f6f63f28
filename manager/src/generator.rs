//! All transport files to all drop-ins; and the target of the enabled transports, wanted at boot.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use spectrum2_config::{Config, Instance};

use crate::dropins::{self, DropIn};

/// The target of all transports, as the package installs it.
const TARGET: &str = "/usr/lib/systemd/system/spectrum2.target";

/// No transport file is that large; boot does not wait for one that is.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Makes sure that the target is reached at boot while a transport is enabled: `enabled` is the directory with links to
/// those. `systemctl disable` of one of them takes the target's own link away as well (`Also=` of its unit), and no
/// other transport would start any more.
#[must_use]
pub fn want_target(enabled: &Path, output: &Path) -> Vec<String> {
    let names = fs::read_dir(enabled).into_iter().flatten().flatten().map(|entry| entry.file_name());
    if !names.into_iter().any(|name| name.as_encoded_bytes().starts_with(b"spectrum2@")) {
        return Vec::new();
    }
    let wants = output.join("multi-user.target.wants");
    let link = fs::create_dir_all(&wants).and_then(|()| symlink(TARGET, wants.join("spectrum2.target")));
    link.err().map(|error| format!("{} cannot be written: {error}.", wants.display())).into_iter().collect()
}

/// Writes the drop-ins of all transport files in a directory below `output`; gives what went wrong, a sentence each.
#[must_use]
pub fn generate(transports: &Path, output: &Path) -> Vec<String> {
    let files = match transport_files(transports) {
        Ok(files) => files,
        // Nothing is configured.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![format!("{}: {error}.", transports.display())],
    };
    let mut problems = Vec::new();
    for file in files {
        match drop_ins(&file) {
            Ok((drop_ins, findings)) => {
                problems.extend(findings.iter().map(|text| format!("{}: {text}", file.display())));
                problems.extend(drop_ins.iter().filter_map(|drop_in| write(output, drop_in).err()));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

/// The files that are transport files by their names, sorted.
///
/// # Errors
/// The directory cannot be read.
pub fn transport_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension() == Some("cfg".as_ref()))
        .collect();
    files.sort();
    Ok(files)
}

/// The drop-ins that a transport file asks for, with what in it cannot be one.
///
/// # Errors
/// The file cannot be read, or its name belongs to no unit.
pub fn drop_ins(file: &Path) -> Result<(Vec<DropIn>, Vec<String>), String> {
    let instance = Instance::of_file(file).map_err(|error| error.to_string())?;
    let text = read(file).map_err(|error| format!("{}: {error}.", file.display()))?;
    Ok(dropins::of(&instance, &Config::outline(&text, file)))
}

/// The text of a regular file: a named pipe would stop the boot.
fn read(file: &Path) -> io::Result<String> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() || metadata.len() > LARGEST_FILE {
        return Err(io::Error::other("it is no transport file"));
    }
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn write(output: &Path, drop_in: &DropIn) -> Result<(), String> {
    let path = output.join(&drop_in.path);
    let directory = path.parent().unwrap_or(output);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, &drop_in.text))
        .map_err(|error| format!("{} cannot be written: {error}.", path.display()))
}
