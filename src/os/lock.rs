//! Lock files: flock through the standard library. The kernel lets go of a lock when its process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An exclusive lock on a file; dropping it lets go. The file stays.
#[derive(Debug)]
pub struct LockFile {
    file: File,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Said to the kernel, and not left to the end of the descriptor: a child that another thread is just starting has a copy of it until it
        // executes its program, and the lock would last as long.
        drop(self.file.unlock());
    }
}

impl LockFile {
    /// Locks a file that is open, if nobody else has locked it; `None` when somebody has.
    ///
    /// # Errors
    /// What `flock(2)` said.
    pub fn of(file: File) -> io::Result<Option<LockFile>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(LockFile { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes the lock, waiting for it. The file is created (mode 0600) when it is missing.
    ///
    /// # Errors
    /// What `open(2)` or `flock(2)` said.
    pub fn acquire(path: &Path) -> io::Result<LockFile> {
        let file = open(path)?;
        file.lock()?;
        Ok(LockFile { file })
    }

    /// Takes the lock if nobody has it; `None` when somebody has.
    ///
    /// # Errors
    /// What `open(2)` or `flock(2)` said.
    pub fn try_acquire(path: &Path) -> io::Result<Option<LockFile>> {
        LockFile::of(open(path)?)
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Takes a lock that others may share, waiting for whoever has it alone. The file is created when it is missing; the lock ends with the value.
///
/// # Errors
/// What `open(2)` or `flock(2)` said.
pub fn share(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    file.lock_shared()?;
    Ok(file)
}

/// True when a process holds the lock of this file now. A missing file is not held.
///
/// # Errors
/// What `open(2)` or `flock(2)` said.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        // At once, for the reason that is in `LockFile`.
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Whoever owns the directory may have put a link there.
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = options.create(true).open(path)?;
            super::user::give_to_owner(&file, path)?;
            Ok(file)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        assert!(!is_held(&path).unwrap());
        let held = LockFile::try_acquire(&path).unwrap().unwrap();
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        assert!(is_held(&path).unwrap());
        drop(held);
        assert!(!is_held(&path).unwrap());
        LockFile::acquire(&path).unwrap();
    }

    #[test]
    fn a_lock_ends_with_its_value_though_a_copy_of_the_descriptor_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let held = LockFile::acquire(&path).unwrap();
        // What a child has that is being started.
        let copy = held.file().try_clone().unwrap();
        drop(held);
        assert!(!is_held(&path).unwrap());
        drop(copy);
    }
}
