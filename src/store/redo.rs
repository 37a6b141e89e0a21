//! Links that are not durable yet: the redo rows, their settling, and what is done with them after a crash.
//!
//! A delivery answers when the staging file (with its name) and the commit with the redo row are durable. The link in the `nn` directory is made
//! before, but flushed here, later and for many at once; then the redo rows go, then the staging names. After a power loss a link may be missing:
//! [`Store::settle`] makes it again from the staging file before anybody is served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::codec::Reader;
use super::error::StoreError;
use super::ids::{AccountId, FolderId, Uid};
use super::lmdb::Rows;
use super::schema::{self, SHARD, kind};
use super::{Store, body, layout, rows};

/// From this many directories on, the file system is flushed instead of each.
const MANY: usize = 16;
/// Rows settled in one transaction.
const BATCH: usize = 2000;
/// A staging file without a lock and without rows is left alone for so long: its owner may be about to lock it.
const YOUNG: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Redo {
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

impl Store {
    fn redo_rows(&self) -> Result<Vec<Vec<Redo>>, StoreError> {
        let mut all = Vec::new();
        for shard in &self.inner.shards {
            let mut found = Vec::new();
            shard.env()?.read()?.scan(&schema::key(SHARD, kind::REDO, FolderId::TOP, &[]), &mut |key, stored| {
                if !schema::within_kind(key, SHARD, kind::REDO) || found.len() >= BATCH {
                    return Ok(ControlFlow::Break(()));
                }
                found.extend(read_redo(key, super::codec::open(key, stored)?));
                Ok(ControlFlow::Continue(()))
            })?;
            all.push(found);
        }
        Ok(all)
    }

    /// Makes the links of finished deliveries durable, then removes their redo rows and staging names. Links that are missing (the power failed
    /// before they were flushed) are made again. Deliveries that are under way are left alone.
    ///
    /// # Errors
    /// The disk fails; nothing is removed that was not flushed.
    pub fn settle(&self) -> Result<Settled, StoreError> {
        let mut done = Settled::default();
        loop {
            // First the names, then their locks, then the rows again: a name whose lock is free gets no new rows.
            let names: BTreeSet<(String, String)> =
                self.redo_rows()?.into_iter().flatten().map(|redo| (redo.partition, redo.staging)).collect();
            let mut free: BTreeMap<(String, String), Option<File>> = BTreeMap::new();
            for (partition, staging) in names {
                let path = self.inner.partition(&partition)?.join(body::STAGING).join(&staging);
                match File::open(&path) {
                    Ok(file) => match file.try_lock() {
                        Ok(()) => drop(free.insert((partition, staging), Some(file))),
                        Err(TryLockError::WouldBlock) => {}
                        Err(TryLockError::Error(error)) => {
                            return Err(StoreError::io("lock", &path, error));
                        }
                    },
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        drop(free.insert((partition, staging), None))
                    }
                    Err(error) => return Err(StoreError::io("open", &path, error)),
                }
            }
            if free.is_empty() {
                return Ok(done);
            }
            let rows = self.redo_rows()?;
            let full = rows.iter().any(|rows| rows.len() >= BATCH);
            let due: Vec<Vec<Redo>> = rows
                .into_iter()
                .map(|rows| {
                    rows.into_iter()
                        .filter(|redo| free.contains_key(&(redo.partition.clone(), redo.staging.clone())))
                        .collect()
                })
                .collect();
            let before = done.links;
            let kept = self.settle_rows(due, &mut done)?;
            if !full {
                for (partition, staging) in free.keys().filter(|name| !kept.contains(name)) {
                    let path = self.inner.partition(partition)?.join(body::STAGING).join(staging);
                    drop(fs::remove_file(path));
                }
            }
            if done.links == before || !full {
                return Ok(done);
            }
        }
    }

    /// Flushes the links of these rows, makes those again that are missing, and removes the rows. Returns the staging names of rows that have
    /// to stay: their account is being renamed or moved, or its partition is not there.
    fn settle_rows(&self, due: Vec<Vec<Redo>>, done: &mut Settled) -> Result<BTreeSet<(String, String)>, StoreError> {
        let mut kept = BTreeSet::new();
        let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
        let mut settled: Vec<Vec<Redo>> = Vec::new();
        for rows in due {
            let mut go = Vec::with_capacity(rows.len());
            for redo in rows {
                match self.place(&redo, done) {
                    Ok(Some(dir)) => {
                        dirs.insert(dir.join(layout::message_file(redo.uid)).parent().unwrap_or(&dir).to_owned());
                        dirs.insert(dir);
                        go.push(redo);
                    }
                    // The folder or the message is gone: nothing needs the link.
                    Ok(None) => go.push(redo),
                    Err(_) => drop(kept.insert((redo.partition, redo.staging))),
                }
            }
            settled.push(go);
        }
        sync_dirs(dirs.iter().map(PathBuf::as_path).collect::<Vec<_>>().into_iter())?;
        crate::crash_point!("settle.after-sync");
        for (shard, redos) in self.inner.shards.iter().zip(&settled).filter(|(_, redos)| !redos.is_empty()) {
            shard.group()?.run(|txn, _| redos.iter().try_for_each(|redo| txn.del(&redo.key).map(drop)))?;
            done.links += redos.len();
        }
        crate::crash_point!("settle.after-rows");
        Ok(kept)
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
        for (nickname, _) in &self.inner.settings.partitions {
            let Ok(root) = self.inner.partition(nickname) else {
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
                let Ok(file) = File::open(&path) else {
                    continue;
                };
                if file.try_lock().is_err() {
                    continue;
                }
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Looked at after the lock was free: no row can come any more.
                if !self.is_named(nickname, &name)? && fs::remove_file(&path).is_ok() {
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

fn read_redo(key: &[u8], value: &[u8]) -> Option<Redo> {
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
