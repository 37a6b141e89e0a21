//! Purge: the files of expunged messages go, and those of deleted folders and accounts.
//!
//! Three steps a batch: rows marked and committed, files removed, directories flushed and rows dropped. A purge that was killed is carried on by the
//! next one: marked rows are always due.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::ids::{AccountId, FolderId, Modseq, Uid};
use super::lmdb::Rows;
use super::record::Gone;
use super::relocate::REMOVED;
use super::{Store, Tx, View, layout, rows, schema};

/// Messages purged in one transaction: a few milliseconds of the shard's writer.
const BATCH: usize = 200;
/// As many runs of expunged UIDs a folder remembers after it has forgotten some.
const RUNS_KEPT: usize = RUNS_MOST / 2;
/// As many it may have before it forgets any.
const RUNS_MOST: usize = if cfg!(test) { 20 } else { 10_000 };

/// What a purge removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// Their sizes in bytes.
    pub bytes: u64,
    /// Bytes of those whose file had no other name: space that is free now. A copy in another folder keeps the file.
    pub freed_bytes: u64,
}

impl std::ops::AddAssign for Purged {
    fn add_assign(&mut self, more: Purged) {
        self.messages += more.messages;
        self.bytes += more.bytes;
        self.freed_bytes += more.freed_bytes;
    }
}

/// The files of a deleted folder or account, set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// `PARTITION/.removed/ID`.
    pub path: PathBuf,
    /// What is in it.
    pub holds: Purged,
}

/// Is it time for the file of this message?
fn is_due(row: &Gone, before_s: i64) -> bool {
    row.purging || row.expunged_s < before_s
}

impl View<'_> {
    /// What a purge of the folder would remove now: what was expunged before `before_s`.
    ///
    /// # Errors
    /// The folder does not exist, or a row is damaged.
    pub fn purge_due(&self, folder: FolderId, before_s: i64) -> Result<Purged, StoreError> {
        let dir = self.folder_dir(folder)?;
        let mut due = Purged::default();
        self.gone(folder, &mut |row| {
            if is_due(&row, before_s) {
                due += Purged {
                    messages: 1,
                    bytes: row.message.size,
                    freed_bytes: sole_bytes(&dir.join(layout::message_file(row.message.uid))),
                };
            }
            ControlFlow::Continue(())
        })?;
        Ok(due)
    }

    /// The modification sequence up to which the folder should forget what was expunged: half of its runs, when it remembers too many.
    fn too_old(&self, account: AccountId, folder: FolderId) -> Result<Option<Modseq>, StoreError> {
        let mut modseqs: Vec<Modseq> = Vec::new();
        self.rows().scan(&schema::expunged(account, folder, 0, 0), &mut |key, _| {
            if !schema::within(key, account, schema::kind::EXPUNGED, folder) {
                return Ok(ControlFlow::Break(()));
            }
            modseqs.extend(schema::rest(key).first_chunk().map(|at| Modseq::from_be_bytes(*at)));
            Ok(ControlFlow::Continue(()))
        })?;
        let last = modseqs.len().checked_sub(RUNS_KEPT + 1).filter(|_| modseqs.len() > RUNS_MOST);
        Ok(last.and_then(|at| modseqs.get(at).copied()))
    }
}

impl Store {
    /// Purges what was expunged before `before_s`: rows are marked, then files removed, then the rows dropped. A folder that remembers very many
    /// expunged UIDs forgets the older half of them.
    ///
    /// # Errors
    /// The folder does not exist, or the disk fails; the next purge goes on.
    pub fn purge(&self, account: AccountId, folder: FolderId, before_s: i64) -> Result<Purged, StoreError> {
        let view = self.view(account)?;
        let mut due: Vec<Uid> = Vec::new();
        view.gone(folder, &mut |row| {
            if is_due(&row, before_s) {
                due.push(row.message.uid);
            }
            ControlFlow::Continue(())
        })?;
        let forgotten = view.too_old(account, folder)?;
        drop(view);
        let mut purged = Purged::default();
        for batch in due.chunks(BATCH) {
            self.change(account, |tx| tx.mark_purging(account, folder, batch, before_s))?;
            crate::crash_point!("purge.after-mark");
            purged += self.change(account, |tx| tx.unlink_purged(account, folder, batch))?;
        }
        if let Some(modseq) = forgotten {
            self.forget_expunged(account, folder, modseq)?;
        }
        Ok(purged)
    }

    /// The files of deleted folders and accounts that were set aside before `before_s`, in one partition or in all, by path.
    ///
    /// # Errors
    /// A partition cannot be read.
    pub fn removed(&self, partition: Option<&str>, before_s: i64) -> Result<Vec<Removed>, StoreError> {
        let mut found = Vec::new();
        for nickname in self.inner.partitions() {
            if partition.is_some_and(|wanted| wanted != nickname) {
                continue;
            }
            let Ok(root) = self.inner.partition(&nickname) else {
                continue;
            };
            let dir = root.join(REMOVED);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("read", &dir, error)),
            };
            for entry in entries.filter_map(Result::ok) {
                // A directory that got its place here by a rename keeps the time of its content, but not that of its own inode.
                if entry.metadata().is_ok_and(|meta| meta.ctime().max(meta.mtime()) < before_s) {
                    let mut holds = Purged::default();
                    measure(&entry.path(), &mut holds);
                    found.push(Removed { path: entry.path(), holds });
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// Removes the files of a deleted folder or account for good. One that was killed is carried on by the next.
    ///
    /// # Errors
    /// What the system said.
    pub fn purge_removed(&self, removed: &Removed) -> Result<(), StoreError> {
        match fs::remove_dir_all(&removed.path) {
            // Somebody else was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| StoreError::io("remove", &removed.path, error)),
        }
    }
}

impl Tx<'_, '_> {
    /// Marks rows that are still due, after which their messages cannot be brought back.
    fn mark_purging(
        &mut self,
        account: AccountId,
        folder: FolderId,
        batch: &[Uid],
        before_s: i64,
    ) -> Result<(), StoreError> {
        super::lock::respect(self, account, folder)?;
        for uid in batch {
            let Some(mut row) = rows::gone(self.txn, account, folder, *uid)?.filter(|row| is_due(row, before_s)) else {
                continue;
            };
            row.purging = true;
            rows::put(self.txn, &schema::gone(account, folder, *uid), row.encode())?;
            self.txn.del(&schema::redo(account, folder, *uid))?;
        }
        Ok(())
    }

    /// Removes the files of messages marked for purge, then, when that is durable (before the commit), their rows. In a write transaction: a folder
    /// that is renamed, or deleted and created again, must not give its directory to another one in between.
    fn unlink_purged(&mut self, account: AccountId, folder: FolderId, batch: &[Uid]) -> Result<Purged, StoreError> {
        super::lock::respect(self, account, folder)?;
        let row = rows::need_folder(self.txn, account, folder)?;
        let userid = rows::need_account(self.txn, account)?.userid;
        let dir = self.folder_dir(account, &userid, &row)?;
        let mut purged = Purged::default();
        for uid in batch {
            let Some(row) = rows::gone(self.txn, account, folder, *uid)?.filter(|row| row.purging) else {
                continue;
            };
            let file = dir.join(layout::message_file(*uid));
            let freed_bytes = sole_bytes(&file);
            match fs::remove_file(&file) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("remove", &file, error)),
            }
            let nn = file.parent().filter(|nn| nn.exists());
            if let Some(nn) = nn.filter(|nn| self.extra.dirs.last().map(PathBuf::as_path) != Some(nn)) {
                self.extra.dirs.push(nn.to_owned());
            }
            self.txn.del(&schema::gone(account, folder, *uid))?;
            purged += Purged { messages: 1, bytes: row.message.size, freed_bytes };
        }
        crate::crash_point!("purge.after-unlink");
        Ok(purged)
    }
}

/// The bytes that become free when this name goes: none while the file has another one.
fn sole_bytes(file: &Path) -> u64 {
    fs::symlink_metadata(file).map_or(0, |meta| if meta.nlink() == 1 { meta.len() } else { 0 })
}

/// Counts the message files below a directory.
fn measure(dir: &Path, holds: &mut Purged) {
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            measure(&entry.path(), holds);
        } else if entry.path().extension().is_some_and(|ext| ext == "msg") {
            let freed_bytes = if meta.nlink() == 1 { meta.len() } else { 0 };
            *holds += Purged { messages: 1, bytes: meta.len(), freed_bytes };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::check::Depth;
    use super::super::{NewMessage, Settings, UidSet};
    use super::*;

    #[test]
    fn a_purge_forgets_the_older_half_of_very_many_expunges() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().to_owned(),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 1).unwrap();
        let store = Store::open(settings).unwrap();
        let joe = store.account_create("joe", None, 1_000).unwrap();
        let mut staging = store.stage("primary").unwrap();
        staging.write_all(b"Subject: x\r\n\r\n").unwrap();
        let staged = staging.finish().unwrap();
        let item = || NewMessage {
            staged: &staged,
            flags: super::super::Flags::NONE,
            keywords: Vec::new(),
            internal_date_s: 1_000,
            internal_zone_min: 0,
        };
        let expunge = |uid| {
            store.append(joe, FolderId::INBOX, &[item()], 1_000).unwrap();
            store.remove(joe, FolderId::INBOX, &UidSet::one(uid), 2_000).unwrap().modseq
        };
        let modseqs: Vec<Modseq> = (1..=20).map(expunge).collect();
        assert_eq!(store.purge(joe, FolderId::INBOX, 2_000).unwrap(), Purged::default());
        let since = |modseq| store.view(joe).unwrap().expunged_since(FolderId::INBOX, modseq).unwrap();
        assert_eq!(since(0).map(|uids| uids.len()), Some(20), "so many are remembered");
        expunge(21);
        let purged = store.purge(joe, FolderId::INBOX, 2_001).unwrap();
        assert_eq!((purged.messages, purged.bytes), (21, 21 * 14));
        assert_eq!(since(0), None);
        assert_eq!(since(modseqs[10]).map(|uids| uids.len()), Some(10));
        assert_eq!(since(modseqs[9]), None);
        assert_eq!(store.check(Depth { content: true }).unwrap(), []);
    }
}
