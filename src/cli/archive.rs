//! What imsbackup and imsrestore have in common: names of backup objects, groups, encodings.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::exit::{Exit, Failure};
use crate::config::Instance;
use crate::message::charset;
use crate::ops::backup::restore::RestoreError;
use crate::ops::backup::select::Groups;

/// The largest blocking factor: blocks of 16 MiB.
pub const FACTOR_MAX: u32 = 32_768;

/// The groups of `config/backup-groups.conf`; without the file there are the predefined ones.
pub fn groups(instance: &Instance) -> Result<Groups, Failure> {
    let path = instance.config_dir().join("backup-groups.conf");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Groups::default()),
        Err(error) => return Err(Failure::new(Exit::Config, format!("{}: {error}", path.display()))),
    };
    Groups::parse(&text)
        .map_err(|(line, what)| Failure::new(Exit::Config, format!("{}: line {line}: {what}", path.display())))
}

/// Words in the encoding of -e, as text.
pub fn decoded(words: &[OsString], encoding: Option<&str>) -> Result<Vec<String>, Failure> {
    // The manual's own name of the encoding of the protocol, which is ASCII.
    let label = encoding.filter(|label| !label.eq_ignore_ascii_case("IMAP_MODIFIED-UTF-7")).unwrap_or("utf-8");
    if charset::charset(label.as_bytes()).is_none() {
        return Err(Failure::new(Exit::Usage, format!("unknown encoding {label}")));
    }
    let one = |word: &OsString| {
        let text = charset::decode(label.as_bytes(), word.as_bytes());
        if text.contains('\u{fffd}') {
            return Err(Failure::new(Exit::Usage, format!("{}: not {label}", word.to_string_lossy())));
        }
        Ok(text)
    };
    words.iter().map(one).collect()
}

/// The lines of a file of -u or -m, read with the rights of the caller.
pub fn lines(path: &Path) -> Result<Vec<OsString>, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii());
    let wanted = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    Ok(wanted.map(|line| std::ffi::OsStr::from_bytes(line).to_owned()).collect())
}

/// How a tool ends that cannot read its input.
pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NoInput,
        io::ErrorKind::PermissionDenied => Exit::NoPerm,
        _ => Exit::IoErr,
    };
    Failure::new(exit, format!("{}: {error}", path.display()))
}

/// How a tool ends after an error of a restore.
pub fn restore_failure(error: RestoreError, shown: &str) -> Failure {
    match error {
        RestoreError::NotArchive(what) => Failure::new(Exit::DataErr, format!("{shown}: {what}")),
        RestoreError::Input(error) => Failure::new(Exit::IoErr, format!("{shown}: {error}")),
        RestoreError::Store(error) => super::instance::store_failure(error),
    }
}
