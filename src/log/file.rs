//! The files of a log: the current one has the name of the service; rotated ones are `service.sequenceNum.timeStamp`.
//! Several processes may write one log: every line is one write in append mode, rotation happens under a lock file, and
//! a process that finds another file under the name opens that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Category, Level, Settings, line};
use crate::os::lock::LockFile;
use crate::os::user;

/// The current file of a log.
pub(super) struct LogFile {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    file: File,
    id: (u64, u64),
    created_s: i64,
}

/// A rotated file.
struct Old {
    path: PathBuf,
    sequence: u64,
    rotated_s: i64,
    bytes: u64,
}

impl LogFile {
    pub(super) fn new(settings: Settings) -> LogFile {
        LogFile { settings, open: None }
    }

    fn path(&self) -> PathBuf {
        self.settings.dir.join(&self.settings.service)
    }

    /// Appends one line, after a rotation when it is due. `origin` signs the first line of a new file.
    pub(super) fn write(&mut self, line: &[u8], now_s: i64, origin: &str) -> io::Result<()> {
        let bytes = self.current(now_s, origin)?;
        let length = line.len() as u64;
        if self.is_due(bytes.saturating_add(length), now_s) {
            // A rotation that fails is tried again with the next line; this one goes into the file that is too big.
            drop(self.rotate(length, now_s));
            self.current(now_s, origin)?;
        }
        match &mut self.open {
            Some(open) => {
                let written = open.file.write_all(line);
                if written.is_err() {
                    self.open = None;
                }
                written
            }
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Makes sure that the open file is the one under the name; returns its size.
    fn current(&mut self, now_s: i64, origin: &str) -> io::Result<u64> {
        let path = self.path();
        if let (Some(open), Ok(meta)) = (&self.open, fs::metadata(&path))
            && open.id == (meta.dev(), meta.ino())
        {
            return Ok(meta.len());
        }
        self.open = None;
        let mut file = match append(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.settings.dir)?;
                append(&path)?
            }
            other => other?,
        };
        let mut meta = file.metadata()?;
        let mut created_s = now_s;
        if meta.len() == 0 {
            let text = format!("Log created ({now_s})");
            let first = line(now_s, origin, Category::General, Level::Notice, &text);
            file.write_all(first.as_bytes())?;
            meta = file.metadata()?;
        } else if let Some(written) = created(&path) {
            created_s = written;
        }
        self.open = Some(Open { file, id: (meta.dev(), meta.ino()), created_s });
        Ok(meta.len())
    }

    fn is_due(&self, bytes: u64, now_s: i64) -> bool {
        let settings = &self.settings;
        let old = self
            .open
            .as_ref()
            .is_some_and(|open| settings.rollover_s > 0 && now_s.saturating_sub(open.created_s) >= settings.rollover_s);
        old || (settings.max_file_bytes > 0 && bytes > settings.max_file_bytes)
    }

    /// Gives the current file its name among the rotated ones and removes what is too old or too much. Does nothing when
    /// another process is about to.
    fn rotate(&mut self, more: u64, now_s: i64) -> io::Result<()> {
        let Some(_lock) = LockFile::try_acquire(&self.lock_path())? else {
            return Ok(());
        };
        let path = self.path();
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let same = self.open.as_ref().is_some_and(|open| open.id == (meta.dev(), meta.ino()));
        if !same || !self.is_due(meta.len().saturating_add(more), now_s) {
            return Ok(());
        }
        let next = self.rotated()?.last().map_or(1, |old| old.sequence.saturating_add(1));
        let name = format!("{}.{next}.{now_s}", self.settings.service);
        fs::rename(&path, self.settings.dir.join(name))?;
        self.open = None;
        self.clean(now_s)
    }

    /// The rotated files, the oldest first.
    fn rotated(&self) -> io::Result<Vec<Old>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.settings.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let parts = name
                .to_str()
                .and_then(|name| name.strip_prefix(&self.settings.service))
                .and_then(|rest| rest.strip_prefix('.'))
                .and_then(|rest| rest.split_once('.'))
                .and_then(|(sequence, time)| Some((sequence.parse().ok()?, time.parse().ok()?)));
            if let Some((sequence, rotated_s)) = parts {
                found.push(Old {
                    path: entry.path(),
                    sequence,
                    rotated_s,
                    bytes: entry.metadata().map_or(0, |meta| meta.len()),
                });
            }
        }
        found.sort_by_key(|old| old.sequence);
        Ok(found)
    }

    /// Removes the oldest rotated files until at most `keep` are left.
    pub(super) fn keep_rotated(&self, keep: usize, dry_run: bool) -> io::Result<usize> {
        if !self.settings.dir.is_dir() {
            return Ok(0);
        }
        let Some(_lock) = LockFile::try_acquire(&self.lock_path())? else {
            return Ok(0);
        };
        let old = self.rotated()?;
        let gone = old.iter().take(old.len().saturating_sub(keep));
        Ok(gone.filter(|file| dry_run || fs::remove_file(&file.path).is_ok()).count())
    }

    fn lock_path(&self) -> PathBuf {
        self.settings.dir.join(format!(".{}.lock", self.settings.service))
    }

    fn clean(&self, now_s: i64) -> io::Result<()> {
        let settings = &self.settings;
        let old = self.rotated()?;
        let mut total: u64 = old.iter().map(|old| old.bytes).sum();
        let mut count = old.len();
        // The next current file counts as one file of full size.
        let room = settings.max_total_bytes.saturating_sub(settings.max_file_bytes);
        let room = room.max(settings.max_file_bytes.min(settings.max_total_bytes));
        for file in old {
            let expired = settings.expire_s > 0 && now_s.saturating_sub(file.rotated_s) >= settings.expire_s;
            let many = settings.max_files > 0 && count >= settings.max_files;
            let big = settings.max_total_bytes > 0 && total > room;
            if expired || many || big || self.is_full() {
                drop(fs::remove_file(&file.path));
                total = total.saturating_sub(file.bytes);
                count -= 1;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.settings.min_free_bytes > 0
            && nix::sys::statvfs::statvfs(&self.settings.dir)
                .is_ok_and(|fs| fs.blocks_available().saturating_mul(fs.fragment_size()) < self.settings.min_free_bytes)
    }
}

/// Opens the current file. As root (the watcher stays it) no link is followed that the owner of the directory may have put there, and a new file is
/// the owner's.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    if !user::is_root() {
        return options.open(path);
    }
    let file = options.custom_flags(libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if found.len() == 0 {
        user::give_to_owner(&file, path)?;
    }
    Ok(file)
}

/// When a file was begun, from its first line.
fn created(path: &Path) -> Option<i64> {
    let mut head = [0u8; 512];
    let length = File::open(path).ok()?.read(&mut head).ok()?;
    let text = String::from_utf8_lossy(head.get(..length)?).into_owned();
    let (_, rest) = text.lines().next()?.split_once("Log created (")?;
    rest.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn lines(dir: &Path, of: &str) -> usize {
        names(dir)
            .iter()
            .map(|name| fs::read_to_string(dir.join(name)).unwrap())
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.starts_with(of))
            .count()
    }

    #[test]
    fn files_rotate_by_size_and_age_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("imap", "imapd", dir.path().join("log"));
        settings.max_file_bytes = 200;
        settings.max_total_bytes = 10_000;
        settings.max_files = 3;
        settings.min_free_bytes = 0;
        let mut log = LogFile::new(settings.clone());
        for _ in 0..40 {
            log.write(b"x: a line of thirty characters\n", 1_000, "h p[1]").unwrap();
        }
        let kept = names(&settings.dir);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert_eq!(kept[0], "imap");
        assert!(kept[1].ends_with(".1000"), "{kept:?}");
        // Age: the day after, the next line begins a new file; a week later the old ones are gone.
        log.write(b"next day\n", 1_000 + 86_400, "h p[1]").unwrap();
        assert!(names(&settings.dir).iter().any(|name| name.ends_with(".87400")));
        log.write(b"much later\n", 1_000 + 900_000, "h p[1]").unwrap();
        let kept = names(&settings.dir);
        assert!(!kept.iter().any(|name| name.ends_with(".1000")), "{kept:?}");
        let text = fs::read_to_string(settings.dir.join("imap")).unwrap();
        assert!(text.contains("General Notice: Log created (901000)\n"), "{text}");
    }

    #[test]
    fn several_writers_lose_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("default", "t", dir.path());
        settings.max_file_bytes = 2_000;
        settings.max_total_bytes = 0;
        settings.max_files = 0;
        settings.min_free_bytes = 0;
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let settings = settings.clone();
                scope.spawn(move || {
                    let mut log = LogFile::new(settings);
                    for count in 0..500 {
                        let line = format!("w{writer} {count}\n");
                        log.write(line.as_bytes(), 1_000, "h p[1]").unwrap();
                    }
                });
            }
        });
        assert_eq!(lines(dir.path(), "w"), 2_000);
        // One that waits in the middle of a rotation lets the others go on in a file that is too big.
        assert!(names(dir.path()).len() > 1);
    }

    #[test]
    fn a_line_is_written_even_when_the_rotation_fails() {
        let dir = tempfile::tempdir().unwrap();
        // A directory stands where the lock file should be.
        fs::create_dir(dir.path().join(".imap.lock")).unwrap();
        let mut settings = Settings::new("imap", "imapd", dir.path());
        settings.max_file_bytes = 100;
        let mut log = LogFile::new(settings);
        for _ in 0..20 {
            log.write(b"x: a line of thirty characters\n", 1_000, "h p[1]").unwrap();
        }
        let text = fs::read_to_string(dir.path().join("imap")).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("x:")).count(), 20);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        drop(File::create(&file).unwrap());
        let mut log = LogFile::new(Settings::new("imap", "imapd", file.join("log")));
        assert!(log.write(b"x\n", 1, "h p[1]").is_err());
        fs::remove_file(&file).unwrap();
        log.write(b"x\n", 1, "h p[1]").unwrap();
        assert_eq!(lines(&file.join("log"), "x"), 1);
    }
}
