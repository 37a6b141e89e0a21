//! What an operation over several directories does, step by step: rename, delete, move to another partition. Every step may be repeated; who carries
//! it out, and who finishes it, is told in `intent.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::folder::inherited_acl;
use super::ids::{AccountId, FolderId};
use super::intent::{Failed, Intent, intent_key};
use super::lmdb::Rows;
use super::name::FolderPath;
use super::record::{Acl, Folder};
use super::schema::{self, SHARD, kind};
use super::special_use::SpecialUse;
use super::{Store, Tx, body, index_file, layout, lock, lookup, rows};

/// Where the files of deleted folders and accounts wait for purge, in each partition.
pub(super) const REMOVED: &str = ".removed";
/// A directory that moves, in the partition at `root`; absolute paths.
struct Step<'r> {
    root: &'r Path,
    from: PathBuf,
    to: PathBuf,
}

impl Store {
    /// Moves a folder with those below it, or with `None` the whole account, to another partition. Sessions go on; writers wait.
    ///
    /// # Errors
    /// The folder or partition does not exist, the account is locked, the disk fails or is full (then everything stays where it was).
    pub fn move_partition(
        &self,
        account: AccountId,
        folder: Option<FolderId>,
        partition: &str,
    ) -> Result<(), StoreError> {
        self.inner.partition(partition)?;
        self.carry_out(
            account,
            Intent::MovePartition { folder: folder.unwrap_or(FolderId::TOP), partition: partition.to_owned() },
        )
    }

    /// The partitions in which folders of the account lie.
    fn partitions_of(&self, folders: &[(FolderPath, Folder)], owner: &str) -> BTreeSet<String> {
        folders.iter().map(|(_, row)| row.partition.clone()).chain([owner.to_owned()]).collect()
    }

    pub(super) fn rename_folder_now(
        &self,
        account: AccountId,
        folder: FolderId,
        parent: FolderId,
        component: &str,
    ) -> Result<(), Failed> {
        let view = self.view(account)?;
        let Some(row) = view.folder(folder)? else {
            return Ok(());
        };
        if (row.parent, row.component.as_str()) != (parent, component) {
            let owner = view.account()?;
            let from = view.path(folder)?;
            let to = match parent {
                FolderId::TOP => FolderPath::parse(component).map_err(StoreError::from)?,
                id => view.path(id)?.child(component).map_err(StoreError::from)?,
            };
            // Once more, now that the lock of the account keeps it so.
            if view.resolve(&to)?.is_some() {
                return Err(StoreError::Exists { what: format!("mailbox {to}") }.into());
            }
            if to.starts_with(&from) {
                return Err(StoreError::Invalid { what: format!("mailbox {to} lies below {from}") }.into());
            }
            let below: Vec<_> = view.folders()?.into_iter().filter(|(path, _)| path.starts_with(&from)).collect();
            drop(view);
            let mut steps: Vec<Step<'_>> = Vec::new();
            for partition in self.partitions_of(&below, &row.partition) {
                let root = self.inner.partition(&partition)?;
                steps.push(Step {
                    root,
                    from: root.join(layout::folder_directory(&owner.userid, &from)),
                    to: root.join(layout::folder_directory(&owner.userid, &to)),
                });
            }
            move_directories(&steps)?;
            crate::crash_point!("rename.after-move");
            self.change_now(account, |tx| {
                let Some(mut row) = rows::folder(tx.txn, account, folder)? else {
                    return Ok(());
                };
                let roots = tx.quota_roots(account)?;
                let mut owner = rows::need_account(tx.txn, account)?;
                tx.txn.del(&schema::name(account, row.parent, &row.component))?;
                row.parent = parent;
                component.clone_into(&mut row.component);
                row.highest_modseq = Tx::next_modseq(&mut owner);
                rows::put(tx.txn, &schema::name(account, parent, component), folder.0.to_le_bytes().to_vec())?;
                tx.changed(account, &row)?;
                if tx.is_trash(account, parent)? {
                    for (_, inner) in below.iter().filter(|(_, inner)| !inner.special_use.is_empty()) {
                        tx.drop_use(account, &mut owner, inner.id)?;
                    }
                }
                tx.keep_quota_clock(account, &mut owner, true, None)?;
                rows::put_account(tx.txn, account, &owner)?;
                tx.hand_clocks_on(account, &roots)
            })
            .map_err(Failed::moved)?;
        }
        Ok(())
    }

    /// INBOX keeps its name, its messages go: into a folder that is created in the same transaction, which removes the intent, too.
    pub(super) fn rename_inbox_now(&self, account: AccountId, to: &str, now_s: i64) -> Result<(), StoreError> {
        let to = FolderPath::parse(to)?;
        let sources = self.sources((account, FolderId::INBOX), &super::UidSet::from_ranges([(1, super::Uid::MAX)]))?;
        let moved: super::UidSet = sources.iter().map(|source| source.message.uid).collect();
        self.change_now(account, |tx| {
            tx.txn.del(&intent_key(account))?;
            lock::release(tx, account, FolderId::TOP)?;
            let made = tx.create_path(account, &to, &super::CreateOptions::default(), now_s)?;
            if !sources.is_empty() {
                tx.append_copies(
                    account,
                    made.id,
                    &sources,
                    &tx.states_of((account, FolderId::INBOX), &sources)?,
                    now_s,
                    Some(FolderId::INBOX),
                )?;
                tx.remove(account, FolderId::INBOX, &moved, now_s)?;
            }
            crate::crash_point!("inbox-rename.after-rows");
            Ok(())
        })
    }

    pub(super) fn rename_account_now(&self, account: AccountId, userid: &str) -> Result<(), Failed> {
        let view = self.view(account)?;
        let owner = view.account()?;
        let old = owner.userid.clone();
        if old != userid {
            let folders = view.folders()?;
            drop(view);
            // Once more, now that the intent protects the claim: without it another may have taken the name over.
            self.claim_name(account, userid)?;
            let mut steps: Vec<Step<'_>> = Vec::new();
            for partition in self.partitions_of(&folders, &owner.partition) {
                let root = self.inner.partition(&partition)?;
                steps.push(Step {
                    root,
                    from: root.join(layout::account_directory(&old)),
                    to: root.join(layout::account_directory(userid)),
                });
            }
            move_directories(&steps)?;
            crate::crash_point!("account-rename.after-move");
            self.change_now(account, |tx| {
                let mut owner = rows::need_account(tx.txn, account)?;
                for (_, mut row) in rows::tree(tx.txn, account)? {
                    row.highest_modseq = Tx::next_modseq(&mut owner);
                    let before = row.acl.clone();
                    rename_in_acl(&mut row.acl, &old, userid);
                    lookup::follow(tx.txn, (account, row.id), Some((&old, &before)), Some((userid, &row.acl)))?;
                    tx.changed(account, &row)?;
                }
                userid.clone_into(&mut owner.userid);
                rows::put_account(tx.txn, account, &owner)
            })
            .map_err(Failed::moved)?;
        }
        crate::crash_point!("account-rename.after-rows");
        self.forget_other_names(account, userid).map_err(Failed::moved)
    }

    /// Takes every name but `userid` that leads to the account out of the userid map.
    fn forget_other_names(&self, account: AccountId, userid: &str) -> Result<(), StoreError> {
        let mut names = Vec::new();
        self.inner.common_env.read()?.scan(
            &schema::key(SHARD, kind::USER, FolderId::TOP, &[]),
            &mut |key, stored| {
                if !schema::within_kind(key, SHARD, kind::USER) {
                    return Ok(ControlFlow::Break(()));
                }
                let row = super::record::UserRow::decode(super::codec::open(key, stored)?)
                    .map_err(|_| super::codec::damaged(key))?;
                let name = String::from_utf8_lossy(schema::rest(key)).into_owned();
                if row.account == account && name != userid {
                    names.push(name);
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        names.iter().try_for_each(|name| self.forget_name(name, account))
    }

    pub(super) fn delete_folder_now(
        &self,
        account: AccountId,
        folder: FolderId,
        keep_name: bool,
    ) -> Result<(), Failed> {
        let view = self.view(account)?;
        let Some(row) = view.folder(folder)? else {
            return Ok(());
        };
        let dir = view.folder_dir(folder)?;
        drop(view);
        let root = self.inner.partition(&row.partition)?;
        // Some files may have gone before the failure: only finishing brings order.
        set_aside(root, &dir, &row.mailbox_id.to_string()).map_err(Failed::moved)?;
        crate::crash_point!("delete.after-move");
        self.change_now(account, |tx| {
            let Some(mut row) = rows::folder(tx.txn, account, folder)? else {
                return Ok(());
            };
            let mut owner = rows::need_account(tx.txn, account)?;
            owner.usage_bytes = owner.usage_bytes.saturating_sub(row.bytes);
            owner.usage_messages = owner.usage_messages.saturating_sub(u64::from(row.exists));
            for kind in [kind::MESSAGE, kind::STATE, kind::EXPUNGED, kind::GONE, kind::DELIVERED, kind::READER] {
                tx.remove_rows(&schema::key(account, kind, folder, &[]), &|key| {
                    schema::within(key, account, kind, folder)
                })?;
            }
            tx.remove_redo(account, folder)?;
            row.highest_modseq = Tx::next_modseq(&mut owner);
            if keep_name {
                let above = rows::folder(tx.txn, account, row.parent)?;
                let acl = inherited_acl(&owner, above.as_ref());
                lookup::follow(
                    tx.txn,
                    (account, folder),
                    Some((&owner.userid, &row.acl)),
                    Some((&owner.userid, &acl)),
                )?;
                let kept = Folder {
                    noselect: true,
                    exists: 0,
                    unseen: 0,
                    deleted: 0,
                    bytes: 0,
                    // UIDs go on: a session that still has the old mailbox names none of the new one's messages.
                    recent_from: row.uidnext,
                    idx_generation: row.idx_generation + 1,
                    idx_len: index_file::HEADER,
                    checkpoint: super::record::Checkpointed::default(),
                    special_use: SpecialUse::default(),
                    // The old list goes with the mailbox (RFC 4314 section 4): nobody could change it.
                    acl,
                    ..row
                };
                tx.changed(account, &kept)?;
            } else {
                lookup::follow(tx.txn, (account, folder), Some((&owner.userid, &row.acl)), None)?;
                tx.txn.del(&schema::name(account, row.parent, &row.component))?;
                tx.txn.del(&schema::folder(account, folder))?;
                tx.extra.changes.push(super::notify::Change { account, folder, modseq: row.highest_modseq });
            }
            tx.keep_quota_clock(account, &mut owner, true, None)?;
            rows::put_account(tx.txn, account, &owner)
        })
        .map_err(Failed::moved)
    }

    /// The whole account: its rows are all gone afterwards, so the intent is removed with them.
    pub(super) fn delete_account_now(&self, account: AccountId) -> Result<(), StoreError> {
        let view = self.view(account)?;
        let owner = view.account()?;
        let folders = view.folders()?;
        drop(view);
        for partition in self.partitions_of(&folders, &owner.partition) {
            let root = self.inner.partition(&partition)?;
            set_aside_tree(root, &root.join(layout::account_directory(&owner.userid)), &account.to_string())?;
        }
        crate::crash_point!("account-delete.after-move");
        // Also names that a rename claimed and did not come to use: the id must not come to life again under one of them.
        self.forget_other_names(account, "")?;
        self.change_now(account, |tx| {
            Store::drop_redo(tx, account)?;
            super::domain::follow(tx.txn, account, None)?;
            lookup::forget(tx.txn, account)?;
            tx.remove_rows(&schema::key(account, 0, FolderId::TOP, &[]), &|key| {
                key.get(..8) == Some(&account.0.to_be_bytes())
            })?;
            tx.txn.del(&intent_key(account))?;
            for (_, row) in &folders {
                tx.extra.changes.push(super::notify::Change {
                    account,
                    folder: row.id,
                    modseq: row.highest_modseq + 1,
                });
            }
            Ok(())
        })?;
        super::lock(&self.inner.homes).remove(&account);
        Ok(())
    }

    pub(super) fn move_partition_now(
        &self,
        account: AccountId,
        folder: FolderId,
        partition: &str,
    ) -> Result<(), Failed> {
        let view = self.view(account)?;
        let owner = view.account()?;
        let folders = view.folders()?;
        drop(view);
        let top = folders.iter().find(|(_, row)| row.id == folder).map(|(path, _)| path.clone());
        let inside =
            |path: &FolderPath| folder == FolderId::TOP || top.as_ref().is_some_and(|top| path.starts_with(top));
        let going: Vec<_> = folders.iter().filter(|(path, row)| inside(path) && row.partition != partition).collect();
        let target = self.inner.partition(partition)?;
        let copied = going.iter().try_for_each(|(path, row)| {
            let from = self.inner.partition(&row.partition)?.join(layout::folder_directory(&owner.userid, path));
            self.copy_folder(account, row, &from, &target.join(layout::folder_directory(&owner.userid, path)))
        });
        let flushed = copied.and_then(|()| {
            crate::os::durable::sync_file_system(target).map_err(|error| StoreError::io("flush", target, error))
        });
        if let Err(error) = flushed {
            for (path, _) in going.iter().rev() {
                remove_own_parts(&target.join(layout::folder_directory(&owner.userid, path)))?;
            }
            return Err(error.into());
        }
        crate::crash_point!("partition.after-copy");
        self.change_now(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            for (_, row) in &going {
                let mut row = rows::need_folder(tx.txn, account, row.id)?;
                partition.clone_into(&mut row.partition);
                row.highest_modseq = Tx::next_modseq(&mut owner);
                tx.changed(account, &row)?;
                tx.remove_redo(account, row.id)?;
            }
            if folder == FolderId::TOP {
                partition.clone_into(&mut owner.partition);
            }
            rows::put_account(tx.txn, account, &owner)
        })?;
        crate::crash_point!("partition.after-rows");
        self.remove_left_over(&owner.userid, &folders, partition, &inside).map_err(Failed::moved)
    }

    /// Links (on the same file system) or copies the files of a folder that have rows to their new place.
    fn copy_folder(&self, account: AccountId, row: &Folder, from: &Path, to: &Path) -> Result<(), StoreError> {
        body::make_dir(to)?;
        let view = self.view(account)?;
        let mut uids = Vec::new();
        view.states(row.id, 0..=u32::MAX, &mut |run| uids.extend(run.first..=run.last()))?;
        view.gone(row.id, &mut |gone| {
            uids.push(gone.message.uid);
            ControlFlow::Continue(())
        })?;
        drop(view);
        for uid in uids {
            let source = from.join(layout::message_file(uid));
            let place = to.join(layout::message_file(uid));
            if matches!(body::link(&source, to, uid), Ok(body::Linked::Here)) {
                continue;
            }
            if !source.exists() {
                // Damage that was there before; the checker tells of it.
                continue;
            }
            body::make_dir(place.parent().unwrap_or(to))?;
            body::copy(&source, &place)?;
        }
        let index = from.join(index_file::NAME);
        if index.exists() {
            body::copy(&index, &to.join(index_file::NAME))?;
        }
        for name in layout::RULE_FILES {
            let rules = from.join(name);
            if rules.exists() {
                body::copy(&rules, &to.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes what lies in the old partitions of folders that have moved.
    fn remove_left_over(
        &self,
        userid: &str,
        folders: &[(FolderPath, Folder)],
        partition: &str,
        inside: &dyn Fn(&FolderPath) -> bool,
    ) -> Result<(), StoreError> {
        // All others: when this is carried on after a crash, the rows no longer say where the folders were.
        for other in self.inner.partitions().iter().filter(|other| *other != partition) {
            let Ok(root) = self.inner.partition(other) else { continue };
            for (path, _) in folders.iter().rev().filter(|(path, _)| inside(path)) {
                remove_own_parts(&root.join(layout::folder_directory(userid, path)))?;
            }
        }
        Ok(())
    }
}

fn rename_in_acl(acl: &mut Acl, old: &str, new: &str) {
    for entry in &mut acl.0 {
        let (minus, name) =
            entry.identifier.strip_prefix('-').map_or(("", entry.identifier.as_str()), |name| ("-", name));
        if name == old {
            entry.identifier = format!("{minus}{new}");
        }
    }
}

/// Moves directories, each unless that was done before, and flushes both sides.
fn move_directories(steps: &[Step<'_>]) -> Result<(), Failed> {
    let mut moved = false;
    for Step { root, from, to } in steps {
        let step = (|| {
            if from.exists() {
                if let Some(above) = to.parent() {
                    body::make_durable_dir(above)?;
                }
                // Nothing of that name is in the database: what lies there was left by a creation that was not committed. Empty, it goes; what is
                // in it is set aside.
                if to.exists() && remove_empty(to).is_err() {
                    set_aside_tree(root, to, &format!("left-over-{}", super::MailboxId(super::random()?)))?;
                }
                fs::rename(from, to).map_err(|error| StoreError::io("rename the directory", from, error))?;
            } else if !to.exists() {
                return Ok(());
            }
            // Moved now, or before a crash: from here on it can only be finished. Who moved it then may have died before it was flushed.
            moved = true;
            for side in [from.parent(), to.parent()].into_iter().flatten().filter(|side| side.exists()) {
                crate::os::durable::sync_dir(side).map_err(|error| StoreError::io("flush", side, error))?;
            }
            Ok(())
        })();
        step.map_err(|error| Failed { error, moved })?;
    }
    Ok(())
}

/// Removes a directory in which there are only directories, at every level.
fn remove_empty(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// What in a folder's directory is the folder's own: `nn` directories and store.* files, not the folders below.
fn own_parts(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", dir, error)),
    };
    let own = entries.filter_map(Result::ok).filter(|entry| !entry.file_name().to_string_lossy().starts_with('='));
    Ok(own.map(|entry| entry.path()).collect())
}

/// Removes a folder's own files, and its directory unless folders lie below it.
fn remove_own_parts(dir: &Path) -> Result<(), StoreError> {
    for part in own_parts(dir)? {
        let gone = if part.is_dir() { fs::remove_dir_all(&part) } else { fs::remove_file(&part) };
        gone.map_err(|error| StoreError::io("remove", &part, error))?;
    }
    drop(fs::remove_dir(dir));
    Ok(())
}

/// Moves a folder's own files to `.removed/NAME`, and its directory away if nothing lies below it.
fn set_aside(root: &Path, dir: &Path, name: &str) -> Result<(), StoreError> {
    let target = root.join(REMOVED).join(name);
    body::make_durable_dir(&target)?;
    for part in own_parts(dir)? {
        let to = target.join(part.file_name().unwrap_or_default());
        fs::rename(&part, &to).map_err(|error| StoreError::io("set aside", &part, error))?;
    }
    crate::os::durable::sync_dir(&target).map_err(|error| StoreError::io("flush", &target, error))?;
    drop(fs::remove_dir(dir));
    flush_aside(root, dir)
}

/// Moves a whole directory to `.removed/NAME`.
fn set_aside_tree(root: &Path, dir: &Path, name: &str) -> Result<(), StoreError> {
    let target = root.join(REMOVED).join(name);
    body::make_durable_dir(&root.join(REMOVED))?;
    if dir.exists() {
        fs::rename(dir, &target).map_err(|error| StoreError::io("set aside", dir, error))?;
    }
    flush_aside(root, dir)
}

fn flush_aside(root: &Path, dir: &Path) -> Result<(), StoreError> {
    let removed = root.join(REMOVED);
    for side in [Some(removed.as_path()), Some(dir), dir.parent()].into_iter().flatten().filter(|side| side.exists()) {
        crate::os::durable::sync_dir(side).map_err(|error| StoreError::io("flush", side, error))?;
    }
    Ok(())
}
