//! A local rule file put into its place, and the mark of a run that is under way.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::os::durable;
use crate::os::lock::{LockFile, share};
use crate::store::layout::RULE_FILES;

/// The lock that runs share, below `data/proc`.
const LOCK: &str = "imexpire.lock";

/// Held while rules are carried out.
pub struct Running {
    _lock: File,
}

impl Running {
    /// Says that a run begins; waits while a rule file is being installed.
    ///
    /// # Errors
    /// What the system said about the lock file.
    pub fn begin(proc_dir: &Path) -> io::Result<Running> {
        share(&proc_dir.join(LOCK)).map(|lock| Running { _lock: lock })
    }
}

/// Puts a rule file into a directory; `None` when a run is under way that may be carrying its rules out.
///
/// # Errors
/// What the system said; the old file is then still there.
pub fn install(proc_dir: &Path, dir: &Path, text: &str) -> io::Result<Option<PathBuf>> {
    let Some(_alone) = LockFile::try_acquire(&proc_dir.join(LOCK))? else {
        return Ok(None);
    };
    let path = dir.join(RULE_FILES[0]);
    durable::replace(&path, text.as_bytes(), 0o600)?;
    Ok(Some(path))
}
