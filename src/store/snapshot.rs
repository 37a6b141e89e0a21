//! Snapshots of the mailbox database: consistent copies of every environment, one after the other, each read through before it counts.
//!
//! ```text
//! snapshots/1795000000/manifest          written last, flushed
//!                     /shard00/data.mdb  compacted copy
//!                     /common/data.mdb
//! ```
//!
//! The name is the time, in seconds since 1970. A snapshot is made under a name that begins with `.new` and gets its own when it is flushed and
//! sound. One with far fewer rows than the one before does not push that out.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::lmdb::Env;
use super::{Shard, Store, body, check};
use crate::os::durable;

/// What a snapshot of less than a page of rows is compared by is chance.
const FEW: u64 = 100;
/// A snapshot that only stays because later ones have far fewer rows goes when it is as old as so many times the usual ones become.
const PATIENCE: i64 = 4;
const MANIFEST: &str = "manifest";
pub(super) const TEMPORARY: &str = ".new";

/// A finished snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its directory.
    pub path: PathBuf,
    /// When it was taken, seconds since 1970.
    pub taken_s: i64,
    /// Rows of each environment, by the name of its directory; empty when its manifest cannot be read.
    pub rows: Vec<(String, u64)>,
}

/// What taking a snapshot did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The snapshot.
    pub path: PathBuf,
    /// Rows of all environments.
    pub rows: u64,
    /// Environments with far fewer rows than in the snapshot before, which therefore stays: name, rows then, rows now.
    pub shrunk: Vec<(String, u64, u64)>,
    /// Older snapshots that were removed.
    pub removed: usize,
}

impl Snapshot {
    fn at(path: PathBuf) -> Option<Snapshot> {
        let taken_s = path.file_name()?.to_str()?.parse().ok()?;
        let text = fs::read_to_string(path.join(MANIFEST)).unwrap_or_default();
        let row = |line: &str| {
            let (name, count) = line.strip_prefix("rows.")?.split_once(" = ")?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        Some(Snapshot { path, taken_s, rows: text.lines().filter_map(row).collect() })
    }

    fn rows_of(&self, env: &str) -> Option<u64> {
        self.rows.iter().find(|(name, _)| name == env).map(|(_, rows)| *rows)
    }

    /// Reads every environment through.
    ///
    /// # Errors
    /// `Corrupt`: what is damaged first.
    pub fn verify(&self) -> Result<(), StoreError> {
        let damaged = |what: &str| StoreError::corrupt(what, self.path.display().to_string());
        if self.rows.is_empty() {
            return Err(damaged("its manifest is missing or damaged"));
        }
        for (name, rows) in &self.rows {
            if check::walk_rows(&self.path.join(name).join("data.mdb"), None)? != Some(*rows) {
                return Err(damaged(&format!("{name} has another number of rows than its manifest says")));
            }
        }
        Ok(())
    }
}

/// The snapshots below `root`, the newest first. A directory that is not there holds none.
pub fn snapshots(root: &Path) -> Vec<Snapshot> {
    let entries = fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<Snapshot> = entries.filter_map(|entry| Snapshot::at(entry.path())).collect();
    found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.taken_s));
    found
}

/// The environments that shrank: fewer than half of the rows that there were.
fn shrunk(before: &Snapshot, now: &Snapshot) -> Vec<(String, u64, u64)> {
    let pair = |(name, rows): &(String, u64)| Some((name.clone(), before.rows_of(name)?, *rows));
    now.rows.iter().filter_map(pair).filter(|(_, then, now)| *then >= FEW && *now < *then / 2).collect()
}

/// Which of the snapshots (the newest first) go when `keep` are kept: never the last one that had far more rows than the newest, unless it is
/// very old.
fn superfluous(found: &[Snapshot], keep: usize) -> Vec<&Snapshot> {
    let Some(newest) = found.first() else { return Vec::new() };
    let rich = found.iter().find(|older| !shrunk(older, newest).is_empty());
    // The age that the oldest of those kept has.
    let usual = found.get(keep.saturating_sub(1)).map_or(0, |oldest| newest.taken_s.saturating_sub(oldest.taken_s));
    let stays = |one: &Snapshot| {
        let age = newest.taken_s.saturating_sub(one.taken_s);
        rich.is_some_and(|rich| rich.taken_s == one.taken_s) && age <= usual.saturating_mul(PATIENCE)
    };
    found.iter().skip(keep).filter(|one| !stays(one)).collect()
}

impl Store {
    /// Takes a snapshot below `root`, which is made when it is missing, and removes the oldest beyond `keep`. Leftovers of one that was
    /// interrupted go first.
    ///
    /// # Errors
    /// It cannot be written, or the copy is not sound: the snapshots that there are stay.
    pub fn take_snapshot(&self, root: &Path, keep: usize, now_s: i64) -> Result<Taken, StoreError> {
        body::make_dir(root)?;
        sweep(root)?;
        let temporary = root.join(format!("{TEMPORARY}{}", std::process::id()));
        let taken = self.write_snapshot(root, &temporary, now_s);
        if taken.is_err() {
            drop(fs::remove_dir_all(&temporary));
        }
        let path = taken?;
        let found = snapshots(root);
        let (now, before) = (found.iter().find(|one| one.path == path), found.iter().find(|one| one.path != path));
        let mut done = Taken { path: path.clone(), ..Taken::default() };
        if let Some(now) = now {
            done.rows = now.rows.iter().map(|(_, rows)| *rows).sum();
            done.shrunk = before.map_or_else(Vec::new, |before| shrunk(before, now));
        }
        for old in superfluous(&found, keep.max(1)) {
            crate::crash_point!("snapshot.before-removal");
            fs::remove_dir_all(&old.path)
                .map_err(|error| StoreError::io("remove the old snapshot", &old.path, error))?;
            done.removed += 1;
        }
        Ok(done)
    }

    fn write_snapshot(&self, root: &Path, temporary: &Path, now_s: i64) -> Result<PathBuf, StoreError> {
        body::make_dir(temporary)?;
        let store: String = self.inner.store_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut manifest = format!("store = {store}\n");
        // The userid map last: it may name accounts that are not there yet, but no account is without its name.
        for env in self.inner.shards.iter().map(Shard::env).chain([Ok(self.inner.common_env)]) {
            let env = env?;
            let name = env.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            let rows = copy_env(env, &temporary.join(&name))?;
            manifest.push_str(&format!("rows.{name} = {rows}\n"));
            crate::crash_point!("snapshot.after-copy");
        }
        let file = temporary.join(MANIFEST);
        durable::replace(&file, manifest.as_bytes(), 0o600).map_err(|error| StoreError::io("write", &file, error))?;
        let taken = (now_s..).map(|time| root.join(time.to_string())).find(|path| !path.exists());
        let path = taken.unwrap_or_else(|| root.join(now_s.to_string()));
        crate::crash_point!("snapshot.before-rename");
        fs::rename(temporary, &path).map_err(|error| StoreError::io("rename", temporary, error))?;
        durable::sync_dir(root).map_err(|error| StoreError::io("flush", root, error))?;
        Ok(path)
    }
}

/// A flushed copy of an environment that was read through; gives the number of its rows.
fn copy_env(env: &'static Env, dir: &Path) -> Result<u64, StoreError> {
    body::make_dir(dir)?;
    env.copy_to(dir)?;
    let file = dir.join("data.mdb");
    let flushed = fs::File::open(&file).and_then(|file| file.sync_all()).and_then(|()| durable::sync_dir(dir));
    flushed.map_err(|error| StoreError::io("flush", &file, error))?;
    check::walk_rows(&file, None)?.ok_or_else(|| StoreError::Internal { what: "a walk that nobody ended ended".into() })
}

/// Removes what interrupted snapshots left.
fn sweep(root: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(root).map_err(|error| StoreError::io("read", root, error))?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_dir_all(entry.path()).map_err(|error| StoreError::io("remove", &entry.path(), error))?;
        }
    }
    Ok(())
}

/// The data file of an environment in a snapshot, if that reads through.
pub(super) fn sound_copy(snapshot: &Snapshot, env: &str) -> Option<PathBuf> {
    let data = snapshot.path.join(env).join("data.mdb");
    let rows = snapshot.rows_of(env)?;
    (check::walk_rows(&data, None).ok()? == Some(rows)).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[u64]) -> Vec<Snapshot> {
        let one = |(at, rows): (usize, &u64)| Snapshot {
            path: PathBuf::from(at.to_string()),
            taken_s: 1_000_000 - i64::try_from(at).unwrap() * 100,
            rows: vec![("shard00".into(), *rows)],
        };
        rows.iter().enumerate().map(one).collect()
    }

    fn go(rows: &[u64], keep: usize) -> Vec<String> {
        superfluous(&of(rows), keep).iter().map(|one| one.path.display().to_string()).collect()
    }

    #[test]
    fn the_oldest_goes_unless_the_newest_has_lost_much() {
        assert_eq!(go(&[1000, 990, 980, 970], 3), ["3"]);
        assert_eq!(go(&[400, 410, 420, 970], 3), [""; 0]);
        assert_eq!(go(&[400, 410, 420, 970, 980], 3), ["4"]);
        // The rich one is the fifth: 500 s old, where those kept become 200 s old; the tenth is too old.
        assert_eq!(go(&[400, 410, 420, 400, 400, 970], 3), ["3", "4"]);
        assert_eq!(go(&[40, 41, 42, 40, 40, 40, 40, 40, 40, 970], 3).len(), 7);
        // Small numbers say nothing.
        assert_eq!(go(&[1, 99, 98, 97], 3), ["3"]);
    }
}
