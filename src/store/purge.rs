//! Purge: the files of expunged messages go, and those of deleted folders and accounts.
//!
//! Three steps a batch: rows marked and committed, files removed, directories flushed and rows dropped. A purge that was killed is carried on by the
//! next one: marked rows are always due, and so is that of a file that could not be removed.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, Metadata};
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
/// Directories of them, at most.
const DIRS: usize = 8;
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

/// Files with several names that [`Links`] follows; the space of those beyond counts as kept.
const FOLLOWED_MOST: usize = 1 << 18;

/// What becomes free as names of files go, one after the other: of a file with several names nothing before the last of them.
#[derive(Debug, Default)]
pub struct Links {
    /// How many names a file still has, by device and inode.
    left: HashMap<(u64, u64), u64>,
}

impl Links {
    /// One more name of this file goes; gives the bytes that become free by that.
    fn without(&mut self, meta: &Metadata) -> u64 {
        let file = (meta.dev(), meta.ino());
        if meta.nlink() <= 1 {
            return meta.len();
        }
        if self.left.len() >= FOLLOWED_MOST && !self.left.contains_key(&file) {
            return 0;
        }
        let left = self.left.entry(file).or_insert(meta.nlink());
        *left = left.saturating_sub(1);
        if *left > 0 {
            return 0;
        }
        self.left.remove(&file);
        meta.len()
    }

    /// The same of a message file.
    fn without_message(&mut self, dir: &Path, uid: Uid) -> u64 {
        fs::symlink_metadata(dir.join(layout::message_file(uid))).map_or(0, |meta| self.without(&meta))
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
    /// What a purge of the folder would remove now: what was expunged before `before_s`. `links` is one for all that would be purged together.
    ///
    /// # Errors
    /// The folder does not exist, or a row is damaged.
    pub fn purge_due(&self, folder: FolderId, before_s: i64, links: &mut Links) -> Result<Purged, StoreError> {
        let dir = self.folder_dir(folder)?;
        let mut due = Purged::default();
        self.gone(folder, &mut |row| {
            if is_due(&row, before_s) {
                due += Purged {
                    messages: 1,
                    bytes: row.message.size,
                    freed_bytes: links.without_message(&dir, row.message.uid),
                };
            }
            ControlFlow::Continue(())
        })?;
        Ok(due)
    }

    /// The bytes that would become free if the files of these messages went.
    ///
    /// # Errors
    /// The folder does not exist.
    pub fn would_free(
        &self,
        folder: FolderId,
        uids: impl IntoIterator<Item = Uid>,
        links: &mut Links,
    ) -> Result<u64, StoreError> {
        let dir = self.folder_dir(folder)?;
        Ok(uids.into_iter().map(|uid| links.without_message(&dir, uid)).sum())
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
    /// The folder does not exist, or the disk fails; the next purge goes on. A file that cannot be removed keeps no other one.
    pub fn purge(&self, account: AccountId, folder: FolderId, before_s: i64) -> Result<Purged, StoreError> {
        let mut first = None;
        let purged = self.purge_what_can(account, folder, before_s, &mut |error| {
            first.get_or_insert(error);
        })?;
        first.map_or(Ok(purged), Err)
    }

    /// [`Store::purge`] that gives what was purged also when files could not be removed; `failed` gets each of those.
    ///
    /// # Errors
    /// The folder does not exist, or the disk fails.
    pub fn purge_what_can(
        &self,
        account: AccountId,
        folder: FolderId,
        before_s: i64,
        failed: &mut dyn FnMut(StoreError),
    ) -> Result<Purged, StoreError> {
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
        for batch in batches(&due) {
            self.change(account, |tx| tx.mark_purging(account, folder, batch, before_s))?;
            crate::crash_point!("purge.after-mark");
            let (done, failures) = self.change(account, |tx| tx.unlink_purged(account, folder, batch))?;
            purged += done;
            failures.into_iter().for_each(&mut *failed);
        }
        if let Some(modseq) = forgotten {
            self.forget_expunged(account, folder, modseq)?;
        }
        Ok(purged)
    }

    /// The files of deleted folders and accounts that were set aside in a partition before `before_s`, by path.
    ///
    /// # Errors
    /// The partition is not mounted, or cannot be read.
    pub fn removed(&self, partition: &str, before_s: i64, links: &mut Links) -> Result<Vec<Removed>, StoreError> {
        let dir = self.inner.partition(partition)?.join(REMOVED);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read", &dir, error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| StoreError::io("read", &dir, error))?;
            // A directory that got its place here by a rename keeps the time of its content, but not that of its own inode.
            if entry.metadata().is_ok_and(|meta| meta.ctime().max(meta.mtime()) < before_s) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        let measured = paths.into_iter().map(|path| {
            let mut holds = Purged::default();
            measure(&path, links, &mut holds);
            Removed { path, holds }
        });
        Ok(measured.collect())
    }

    /// Removes the files of a deleted folder or account for good. One that was killed is carried on by the next.
    ///
    /// # Errors
    /// What the system said of the first file that stays; the others go all the same.
    pub fn purge_removed(&self, removed: &Removed) -> Result<(), StoreError> {
        remove_tree(&removed.path)
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
    /// that is renamed, or deleted and created again, must not give its directory to another one in between, and an empty directory that goes must
    /// not be one in which a message gets its place. The row of a file that cannot be removed stays.
    fn unlink_purged(
        &mut self,
        account: AccountId,
        folder: FolderId,
        batch: &[Uid],
    ) -> Result<(Purged, Vec<StoreError>), StoreError> {
        super::lock::respect(self, account, folder)?;
        let row = rows::need_folder(self.txn, account, folder)?;
        let userid = rows::need_account(self.txn, account)?.userid;
        let dir = self.folder_dir(account, &userid, &row)?;
        let mut purged = Purged::default();
        let mut failures = Vec::new();
        let mut emptier: BTreeSet<PathBuf> = BTreeSet::new();
        for uid in batch {
            let Some(row) = rows::gone(self.txn, account, folder, *uid)?.filter(|row| row.purging) else {
                continue;
            };
            let file = dir.join(layout::message_file(*uid));
            let freed_bytes = Links::default().without_message(&dir, *uid);
            match fs::remove_file(&file) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    failures.push(StoreError::io("remove", &file, error));
                    continue;
                }
            }
            emptier.extend(file.parent().map(Path::to_owned));
            self.txn.del(&schema::gone(account, folder, *uid))?;
            purged += Purged { messages: 1, bytes: row.message.size, freed_bytes };
        }
        crate::crash_point!("purge.after-unlink");
        for nn in emptier {
            // One with files stays. Of one that has gone, now or before, nothing but that is to be flushed.
            if fs::remove_dir(&nn).is_err() && nn.exists() {
                self.extra.dirs.push(nn);
            } else {
                self.extra.dirs.retain(|other| *other != nn);
                self.extra.dirs.push(dir.clone());
            }
        }
        crate::crash_point!("purge.after-rmdir");
        Ok((purged, failures))
    }
}

/// The messages that are purged together: not too many, in not too many directories, each of which is flushed.
fn batches(mut due: &[Uid]) -> impl Iterator<Item = &[Uid]> {
    std::iter::from_fn(move || {
        let (mut dirs, mut count) = (BTreeSet::new(), 0);
        for uid in due.iter().take(BATCH) {
            dirs.insert(layout::message_file(*uid).parent().map(Path::to_owned));
            if dirs.len() > DIRS {
                break;
            }
            count += 1;
        }
        let (batch, rest) = due.split_at(count);
        due = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Counts the message files below a directory.
fn measure(dir: &Path, links: &mut Links, holds: &mut Purged) {
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            measure(&entry.path(), links, holds);
        } else if entry.path().extension().is_some_and(|ext| ext == "msg") {
            *holds += Purged { messages: 1, bytes: meta.len(), freed_bytes: links.without(&meta) };
        }
    }
}

/// Removes a directory with all that is in it, or what of that can be removed; gives the first error.
fn remove_tree(dir: &Path) -> Result<(), StoreError> {
    let error = match fs::remove_dir_all(dir) {
        Ok(()) => return Ok(()),
        // Somebody else was faster.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => StoreError::io("remove", dir, error),
    };
    let mut first = None;
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let gone = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => remove_tree(&path),
            false => fs::remove_file(&path).map_err(|error| StoreError::io("remove", &path, error)),
        };
        first = first.or(gone.err());
    }
    Err(first.unwrap_or(error))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::check::Depth;
    use super::super::{NewMessage, Settings, UidSet};
    use super::*;

    #[test]
    fn sparse_messages_are_purged_in_few_directories_at_once() {
        let sizes = |due: &[Uid]| batches(due).map(<[Uid]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&(1..=450).collect::<Vec<_>>()), [200, 200, 50]);
        let sparse: Vec<Uid> = (0..20).map(|at| at * 100 + 1).collect();
        assert_eq!(sizes(&sparse), [8, 8, 4]);
        assert_eq!(batches(&sparse).flatten().copied().collect::<Vec<_>>(), sparse);
    }

    #[test]
    fn what_cannot_be_removed_of_a_tree_keeps_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let names = ["=a", "=b", "=c"];
        for name in names {
            fs::create_dir_all(tree.join(name).join("00")).unwrap();
            fs::File::create(tree.join(name).join("00/1.msg")).unwrap();
        }
        // root may everything: the test is somebody else then.
        let other = nix::unistd::geteuid().is_root().then_some(nix::unistd::Uid::from_raw(65_534));
        if let Some(other) = other {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
            let below = names.iter().flat_map(|name| [tree.join(name), tree.join(name).join("00")]);
            below.chain([tree.clone()]).for_each(|dir| nix::unistd::chown(&dir, Some(other), None).unwrap());
        }
        let mode = |mode| fs::set_permissions(tree.join("=b/00"), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o500);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                other.map(nix::unistd::setfsuid);
                let error = remove_tree(&tree).unwrap_err().to_string();
                assert!(error.contains("=b/00"), "{error}");
            });
        });
        assert_eq!(names.map(|name| tree.join(name).exists()), [false, true, false]);
        mode(0o700);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && remove_tree(&tree).is_ok());
    }

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
