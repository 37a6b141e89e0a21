//! Message files: staged, flushed once, linked to where they belong, read.
//!
//! A staging file `.staging/PID.START.N` of a partition is written and flushed (with that its name is durable too); the commit that names the
//! message also holds a redo row with the staging name, so the links in the `nn` directories need no flush before the answer. `redo.rs` settles later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::StoreError;
use super::ids::{Guid, Uid};
use super::layout;
use crate::message::scan::{Scanned, Scanner};
use crate::os::lock::LockFile;

/// The directory of staging files in a partition.
pub(crate) const STAGING: &str = ".staging";
/// Bytes gathered before a write.
const BUFFER: usize = 256 * 1024;

/// A message on its way into the store: bytes are written to it, [`Staging::finish`] makes it ready. Dropped before, it leaves nothing.
pub struct Staging {
    file: LockFile,
    place: StagingName,
    scanner: Scanner,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

/// A message ready to be appended: written, parsed, named by its content.
#[derive(Debug)]
pub struct Staged {
    /// The lock keeps `redo.rs` from taking the staging file away.
    file: LockFile,
    place: StagingName,
    /// What the scanner found.
    pub scanned: Scanned,
    /// By its content.
    pub guid: Guid,
    synced: AtomicBool,
}

#[derive(Debug)]
struct StagingName {
    path: PathBuf,
    name: String,
    partition: String,
    /// True while the file would be left over if we went away.
    unused: AtomicBool,
}

impl Drop for StagingName {
    fn drop(&mut self) {
        if self.unused.load(Ordering::Relaxed) {
            // What cannot be removed now is swept later: no row names it.
            drop(fs::remove_file(&self.path));
        }
    }
}

impl Staging {
    /// A new staging file in the partition at `root`.
    pub(crate) fn new(partition: &str, root: &Path, process: &str) -> Result<Staging, StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let dir = root.join(STAGING);
        let name = format!("{process}.{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(&name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| StoreError::io("create the staging file", &path, error))?;
        let file = LockFile::of(file)
            .and_then(|locked| locked.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock)))
            .map_err(|error| StoreError::io("lock the staging file", &path, error))?;
        Ok(Staging {
            file,
            place: StagingName { path, name, partition: partition.to_owned(), unused: AtomicBool::new(true) },
            scanner: Scanner::new(),
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
        })
    }

    /// On the file system of a staged message, so that one file can be linked to both partitions.
    ///
    /// # Errors
    /// What stat(2) said.
    pub(crate) fn is_beside(&self, staged: &Staged) -> io::Result<bool> {
        Ok(self.file.file().metadata()?.dev() == staged.file.file().metadata()?.dev())
    }

    fn drain(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.file().write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the message. Its bytes are flushed by [`Staged::sync`], which every way into the store calls.
    ///
    /// # Errors
    /// The last write failed, the message is empty, or it holds a NUL byte, which no IMAP literal may carry (RFC 9051 4.3).
    pub fn finish(mut self) -> Result<Staged, StoreError> {
        self.drain().map_err(|error| StoreError::io("write", &self.place.path, error))?;
        let scanned = self.scanner.finish();
        if scanned.size == 0 {
            return Err(StoreError::Invalid { what: "the message is empty".into() });
        }
        if scanned.has_nul {
            return Err(StoreError::Invalid { what: "the message contains NUL bytes".into() });
        }
        let mut guid = Guid::default();
        if let Some(first) = self.hasher.finalize().as_bytes().first_chunk::<16>() {
            guid = Guid(*first);
        }
        Ok(Staged { file: self.file, place: self.place, scanned, guid, synced: AtomicBool::new(false) })
    }
}

impl Staging {
    /// As [`Staging::finish`], for a message that may hold NUL: it came as a literal that allows them (RFC 3516 section 4.3). Where it does, its
    /// binary parts are put into base64, in a staging file that `again` opens.
    ///
    /// # Errors
    /// As [`Staging::finish`], also for a NUL outside of a binary part.
    pub fn finish_binary(mut self, again: impl FnOnce() -> Result<Staging, StoreError>) -> Result<Staged, StoreError> {
        if !self.scanner.has_nul() {
            return self.finish();
        }
        self.drain().map_err(|error| StoreError::io("write", &self.place.path, error))?;
        let scanned = std::mem::take(&mut self.scanner).finish();
        let mut encoded = again()?;
        crate::message::binary::encode(self.file.file(), scanned.size, &scanned.parts, &mut encoded).map_err(
            |error| match error.kind() {
                io::ErrorKind::InvalidData => StoreError::Invalid { what: error.to_string() },
                _ => StoreError::io("write", &encoded.place.path, error),
            },
        )?;
        encoded.finish()
    }
}

impl Write for Staging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scanner.push(bytes);
        if self.buffer.len() + bytes.len() > BUFFER {
            self.drain()?;
        }
        if bytes.len() >= BUFFER {
            self.hasher.update(bytes);
            self.file.file().write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()
    }
}

impl Staged {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.scanned.size
    }

    /// Nickname of the partition it lies in.
    pub fn partition(&self) -> &str {
        &self.place.partition
    }

    /// The name of the staging file.
    pub(crate) fn name(&self) -> &str {
        &self.place.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.place.path
    }

    /// Flushes the bytes and the name, once.
    ///
    /// # Errors
    /// What fsync(2) said. It is never tried again on the same file: the kernel may have dropped the pages.
    pub fn sync(&self) -> Result<(), StoreError> {
        if !self.synced.load(Ordering::Acquire) {
            self.file.file().sync_all().map_err(|error| StoreError::io("flush", &self.place.path, error))?;
            self.synced.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// A commit names the staging file: it stays until `redo.rs` settles it.
    pub(crate) fn keep(&self) {
        self.place.unused.store(false, Ordering::Relaxed);
    }
}

/// What became of an attempt to give a message its place.
pub(crate) enum Linked {
    /// It lies there now.
    Here,
    /// Another file lies there: it is never replaced.
    Taken,
}

/// Links `from` as message `uid` of the folder in `dir`. A file that is already there and is the same inode is our own earlier attempt.
/// Where a link is impossible (another file system, too many links, protected), the bytes are copied and flushed.
pub(crate) fn link(from: &Path, dir: &Path, uid: Uid) -> Result<Linked, StoreError> {
    let to = dir.join(layout::message_file(uid));
    let mut made = false;
    loop {
        match fs::hard_link(from, &to) {
            Ok(()) => return Ok(Linked::Here),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let here = fs::symlink_metadata(&to).map_err(|error| StoreError::io("examine", &to, error))?;
                let ours = fs::symlink_metadata(from).map_err(|error| StoreError::io("examine", from, error))?;
                return Ok(if (here.dev(), here.ino()) == (ours.dev(), ours.ino()) {
                    Linked::Here
                } else {
                    Linked::Taken
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !made => {
                if !from.exists() {
                    return Err(StoreError::io("link", from, error));
                }
                made = true;
                let nn = to.parent().unwrap_or(dir);
                make_dir(nn)?;
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::EMLINK | libc::EPERM)) => {
                copy(from, &to)?;
                return Ok(Linked::Here);
            }
            Err(error) => return Err(StoreError::io("link a message to", &to, error)),
        }
    }
}

/// Makes a directory with what is missing above it, and flushes every new name.
pub(crate) fn make_durable_dir(dir: &Path) -> Result<(), StoreError> {
    let mut above = Vec::new();
    let mut at = dir;
    while !at.exists() {
        let Some(parent) = at.parent() else { break };
        above.push(parent);
        at = parent;
    }
    make_dir(dir)?;
    above.into_iter().try_for_each(|parent| {
        crate::os::durable::sync_dir(parent).map_err(|error| StoreError::io("flush", parent, error))
    })
}

/// Makes a directory (and those above it) unless it is there.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| StoreError::io("create the directory", dir, error))
}

/// Copies a message file; the copy is flushed before it gets its name.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".copy");
    let temporary = to.with_file_name(name);
    let copied = (|| {
        let mut source = File::open(from)?;
        let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()?;
        fs::rename(&temporary, to)
    })();
    copied.map_err(|error| {
        drop(fs::remove_file(&temporary));
        StoreError::io("copy a message to", to, error)
    })
}
