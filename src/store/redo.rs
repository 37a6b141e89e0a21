//! Links that are not durable yet: the redo rows, their settling, and what is done with them after a crash.
//!
//! A delivery answers when the staging file (with its name) and the commit with the redo row are durable. The link in the `nn` directory is made
//! before, but flushed here, later and for many at once; then the redo rows go, then the staging names. After a power loss a link may be missing:
//! [`Store::settle`] makes it again from the staging file before anybody is served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::codec::Reader;
use super::error::StoreError;
use super::ids::{AccountId, FolderId, Uid};
use super::lmdb::Rows;
use super::schema::{self, SHARD, kind};
use super::{Store, Tx, body, layout, rows};
use crate::os::lock::LockFile;

/// From this many directories on, the file system is flushed instead of each.
const MANY: usize = 16;
/// Rows settled in one transaction.
const BATCH: usize = 2000;
/// A staging file without a lock and without rows is left alone for so long: its owner may be about to lock it.
const YOUNG: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Redo {
    key: Vec<u8>,
    account: AccountId,
    folder: FolderId,
    uid: Uid,
    partition: String,
    staging: String,
}

/// What a settling did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Links that are durable now.
    pub links: usize,
    /// Links that were missing and were made again.
    pub relinked: usize,
    /// Staging files nobody owned, removed.
    pub swept: usize,
}

/// Flushes directories: each, or their whole file system when they are many.
pub(super) fn sync_dirs<'d>(dirs: impl ExactSizeIterator<Item = &'d Path>) -> Result<(), StoreError> {
    if dirs.len() < MANY {
        for dir in dirs {
            crate::os::durable::sync_dir(dir).map_err(|error| StoreError::io("flush", dir, error))?;
        }
        return Ok(());
    }
    let mut devices: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for dir in dirs {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(dir).map_err(|error| StoreError::io("examine", dir, error))?;
        devices.entry(meta.dev()).or_insert_with(|| dir.to_owned());
    }
    for dir in devices.values() {
        crate::os::durable::sync_file_system(dir).map_err(|error| StoreError::io("flush", dir, error))?;
    }
    Ok(())
}

/// A staging file: partition and name.
type StagingPlace = (String, String);

/// How far a settling has come.
#[derive(Default)]
struct Progress {
    done: Settled,
    /// Staging names of rows that were removed.
    names: BTreeSet<StagingPlace>,
    /// What went wrong first; the other rows are settled all the same.
    failed: Option<StoreError>,
}

impl Progress {
    fn fail(&mut self, error: StoreError) {
        self.failed.get_or_insert(error);
    }
}

impl Store {
    /// The next page of a shard's redo rows, from a key on.
    fn redo_rows(&self, shard: &super::Shard, from: &[u8], progress: &mut Progress) -> Result<Vec<Redo>, StoreError> {
        let mut found = Vec::new();
        shard.env()?.read()?.scan(from, &mut |key, stored| {
            if !schema::within_kind(key, SHARD, kind::REDO) || found.len() >= BATCH {
                return Ok(ControlFlow::Break(()));
            }
            match super::codec::open(key, stored) {
                Ok(value) => found.extend(read_redo(key, value)),
                Err(error) => progress.fail(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Makes the links of finished deliveries durable, then removes their redo rows and staging names. Links that are missing (the power failed
    /// before they were flushed) are made again. Deliveries that are under way are left alone. One row that has to stay keeps no other one.
    ///
    /// # Errors
    /// The disk fails; nothing is removed that was not flushed.
    pub fn settle(&self) -> Result<Settled, StoreError> {
        let mut progress = Progress::default();
        for shard in &self.inner.shards {
            let mut from = schema::key(SHARD, kind::REDO, FolderId::TOP, &[]);
            loop {
                let rows = self.redo_rows(shard, &from, &mut progress)?;
                let Some(last) = rows.last().filter(|_| rows.len() >= BATCH).map(|redo| redo.key.clone()) else {
                    self.settle_rows(shard, rows, &mut progress)?;
                    break;
                };
                self.settle_rows(shard, rows, &mut progress)?;
                from = last;
                from.push(0);
            }
        }
        self.remove_names(&progress.names)?;
        progress.failed.map_or(Ok(progress.done), Err)
    }

    /// Removes staging names that no row needs any more. Their locks were free: no row can come.
    fn remove_names(&self, names: &BTreeSet<StagingPlace>) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let mut needed = BTreeSet::new();
        for shard in &self.inner.shards {
            shard.env()?.read()?.scan(&schema::key(SHARD, kind::REDO, FolderId::TOP, &[]), &mut |key, stored| {
                if !schema::within_kind(key, SHARD, kind::REDO) {
                    return Ok(ControlFlow::Break(()));
                }
                needed.extend(
                    read_redo(key, super::codec::open(key, stored)?).map(|redo| (redo.partition, redo.staging)),
                );
                Ok(ControlFlow::Continue(()))
            })?;
        }
        for (partition, staging) in names.difference(&needed) {
            if let Ok(root) = self.inner.partition(partition) {
                drop(fs::remove_file(root.join(body::STAGING).join(staging)));
            }
        }
        Ok(())
    }

    /// True if the delivery that made a staging file is over: nobody has it locked.
    fn is_over(&self, (partition, staging): &StagingPlace) -> Result<bool, StoreError> {
        let path = self.inner.partition(partition)?.join(body::STAGING).join(staging);
        match File::open(&path) {
            Ok(file) => {
                let free = LockFile::of(file).map_err(|error| StoreError::io("lock", &path, error))?;
                Ok(free.is_some())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(StoreError::io("open", &path, error)),
        }
    }

    /// Flushes the links of these rows, makes those again that are missing, and removes the rows. Rows stay while their delivery is under way, their
    /// account is being renamed or moved, or their partition is not there.
    fn settle_rows(&self, shard: &super::Shard, rows: Vec<Redo>, progress: &mut Progress) -> Result<(), StoreError> {
        let mut over: BTreeMap<StagingPlace, bool> = BTreeMap::new();
        let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
        let mut due: Vec<(Redo, Option<PathBuf>)> = Vec::with_capacity(rows.len());
        for redo in rows {
            let name = (redo.partition.clone(), redo.staging.clone());
            let over = *over.entry(name).or_insert_with_key(|name| match self.is_over(name) {
                Ok(over) => over,
                Err(error) => {
                    progress.fail(error);
                    false
                }
            });
            if !over {
                continue;
            }
            // A row whose place cannot be told now stays.
            if let Ok(place) = self.place(&redo, &mut progress.done) {
                if let Some(dir) = &place {
                    dirs.extend(layout_dirs(dir, redo.uid));
                }
                due.push((redo, place));
            }
        }
        let unflushed = flush(&dirs, progress);
        crate::crash_point!("settle.after-sync");
        due.retain(|(redo, place)| {
            place.as_ref().is_none_or(|dir| layout_dirs(dir, redo.uid).iter().all(|dir| !unflushed.contains(dir)))
        });
        if due.is_empty() {
            return Ok(());
        }
        let store = &*self.inner;
        let gone = shard.group()?.run(|txn, extra| {
            let mut tx = Tx { txn, extra, store, who: None };
            let mut gone = Vec::new();
            for (at, (redo, place)) in due.iter().enumerate() {
                // What was flushed must be the directory that the message lies in, not one that got its name meanwhile.
                let same = match place {
                    None => true,
                    Some(_) if super::lock::respect(&mut tx, redo.account, redo.folder).is_err() => false,
                    Some(_) => match self.dir_of(tx.txn, redo) {
                        Ok(None) => true,
                        Ok(now) => now == *place,
                        Err(_) => false,
                    },
                };
                if same {
                    tx.txn.del(&redo.key)?;
                    gone.push(at);
                }
            }
            Ok(gone)
        })?;
        progress.done.links += gone.len();
        let names = gone.into_iter().filter_map(|at| due.get(at));
        progress.names.extend(names.map(|(redo, _)| (redo.partition.clone(), redo.staging.clone())));
        crate::crash_point!("settle.after-rows");
        Ok(())
    }

    /// The directory of the folder in which the row's message lies, after its link was looked at (and made again, were it missing); `None` when the
    /// message is gone.
    fn place(&self, redo: &Redo, done: &mut Settled) -> Result<Option<PathBuf>, StoreError> {
        let shard = match self.shard_of(redo.account) {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let Some(dir) = self.dir_of(&shard.env()?.read()?, redo)? else { return Ok(None) };
        if dir.join(layout::message_file(redo.uid)).exists() {
            return Ok(Some(dir));
        }
        let from = self.inner.partition(&redo.partition)?.join(body::STAGING).join(&redo.staging);
        // In a write transaction: no rename or move of the account can be under way then.
        let linked = self.change_now(redo.account, |tx| {
            super::lock::respect(tx, redo.account, redo.folder)?;
            let Some(dir) = self.dir_of(tx.txn, redo)? else { return Ok(None) };
            if !dir.join(layout::message_file(redo.uid)).exists() {
                body::link(&from, &dir, redo.uid)?;
            }
            Ok(Some(dir))
        })?;
        done.relinked += usize::from(linked.is_some());
        Ok(linked)
    }

    /// The directory of the row's folder; `None` when the message (even as an expunged one) or its folder is gone.
    fn dir_of<R: Rows>(&self, rows: &R, redo: &Redo) -> Result<Option<PathBuf>, StoreError> {
        let Some(owner) = rows::account(rows, redo.account)? else { return Ok(None) };
        let Some(row) = rows::folder(rows, redo.account, redo.folder)? else { return Ok(None) };
        let there = rows::message(rows, redo.account, redo.folder, redo.uid)?.is_some()
            || rows::gone(rows, redo.account, redo.folder, redo.uid)?.is_some_and(|gone| !gone.purging);
        let path = rows::path(rows, redo.account, &row)?;
        let dir = self.inner.partition(&row.partition)?.join(layout::folder_directory(&owner.userid, &path));
        Ok(there.then_some(dir))
    }

    /// Removes staging files that no row names and no process holds: deliveries that died before their commit.
    ///
    /// # Errors
    /// A partition cannot be read.
    pub fn sweep_staging(&self, now: SystemTime) -> Result<usize, StoreError> {
        let mut swept = 0;
        for nickname in self.inner.partitions() {
            let Ok(root) = self.inner.partition(&nickname) else {
                continue;
            };
            let dir = root.join(body::STAGING);
            let entries = fs::read_dir(&dir).map_err(|error| StoreError::io("read", &dir, error))?;
            let old = entries.filter_map(Result::ok).filter(|entry| {
                let age = entry
                    .metadata()
                    .and_then(|meta| meta.modified())
                    .ok()
                    .and_then(|modified| now.duration_since(modified).ok());
                age.is_some_and(|age| age > YOUNG)
            });
            let old: Vec<PathBuf> = old.map(|entry| entry.path()).collect();
            if old.is_empty() {
                continue;
            }
            for path in old {
                let Ok(Some(_free)) = File::open(&path).and_then(LockFile::of) else {
                    continue;
                };
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Looked at after the lock was free: no row can come any more.
                if !self.is_named(&nickname, &name)? && fs::remove_file(&path).is_ok() {
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    fn is_named(&self, partition: &str, staging: &str) -> Result<bool, StoreError> {
        let mut named = false;
        for shard in &self.inner.shards {
            shard.env()?.read()?.scan(&schema::key(SHARD, kind::REDO, FolderId::TOP, &[]), &mut |key, stored| {
                if !schema::within_kind(key, SHARD, kind::REDO) {
                    return Ok(ControlFlow::Break(()));
                }
                named |= read_redo(key, super::codec::open(key, stored)?)
                    .is_some_and(|redo| redo.partition == partition && redo.staging == staging);
                Ok(if named { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        Ok(named)
    }

    /// Redo rows of one account vanish with what they name (its folders were moved and flushed, or deleted).
    pub(super) fn drop_redo(tx: &mut super::Tx<'_, '_>, account: AccountId) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        tx.txn.scan(&schema::key(SHARD, kind::REDO, FolderId::TOP, &[]), &mut |key, _| {
            if !schema::within_kind(key, SHARD, kind::REDO) {
                return Ok(ControlFlow::Break(()));
            }
            if schema::rest(key).get(..8) == Some(&account.0.to_be_bytes()) {
                keys.push(key.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        keys.iter().try_for_each(|key| tx.txn.del(key).map(|_| ()))
    }
}

/// The directories whose names a link of a message needs: its `nn` directory, and the folder's, which has that.
fn layout_dirs(dir: &Path, uid: Uid) -> [PathBuf; 2] {
    let nn = dir.join(layout::message_file(uid)).parent().unwrap_or(dir).to_owned();
    [nn, dir.to_owned()]
}

/// Flushes directories, or their file systems when they are many; gives those that could not be. One that is not there was renamed: its rows wait.
fn flush(dirs: &BTreeSet<PathBuf>, progress: &mut Progress) -> BTreeSet<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let mut unflushed = BTreeSet::new();
    let mut devices: BTreeMap<u64, bool> = BTreeMap::new();
    for dir in dirs {
        let flushed = if dirs.len() < MANY {
            crate::os::durable::sync_dir(dir).map(|()| true)
        } else {
            fs::metadata(dir).and_then(|meta| match devices.get(&meta.dev()) {
                Some(good) => Ok(*good),
                None => {
                    let flushed = crate::os::durable::sync_file_system(dir);
                    devices.insert(meta.dev(), flushed.is_ok());
                    flushed.map(|()| true)
                }
            })
        };
        match flushed {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => progress.fail(StoreError::io("flush", dir, error)),
        }
        unflushed.insert(dir.clone());
    }
    unflushed
}

/// The row of a link that is not durable yet; `None`: it cannot be read.
pub(super) fn read_redo(key: &[u8], value: &[u8]) -> Option<Redo> {
    let rest = schema::rest(key);
    let mut r = Reader::new(value, 1).ok()?;
    Some(Redo {
        key: key.to_vec(),
        account: AccountId(u64::from_be_bytes(rest.get(..8)?.try_into().ok()?)),
        folder: schema::folder_of(key),
        uid: schema::tail_u32(key)?,
        partition: r.string().ok()?,
        staging: r.string().ok()?,
    })
}
