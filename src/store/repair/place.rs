//! Directories: of an account that lies where the hash rule does not put it, of a mailbox that lies in another partition, and of mailboxes that the
//! database does not know.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::error::{Kind, StoreError};
use super::super::folder::CreateOptions;
use super::super::ids::{AccountId, FolderId, Uid};
use super::super::index_file;
use super::super::name::MailboxName;
use super::super::record::Folder;
use super::super::{Store, body, layout, rows};
use super::{How, Mended, mended};
use crate::os::durable;

/// A directory with messages of a mailbox that the database does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Nickname of its partition.
    pub partition: String,
    /// The directory.
    pub path: PathBuf,
    /// The mailbox that belongs there.
    pub mailbox: MailboxName,
}

/// No message ever came to it.
fn is_untouched(row: &Folder) -> bool {
    (row.exists, row.uidnext) == (0, 1)
}

fn holds_messages(dir: &Path) -> bool {
    super::super::check::message_files(dir).is_ok_and(|files| !files.is_empty())
}

impl Store {
    /// Finds the directories of an account's mailboxes that are not where they belong: in another hash directory, or in another partition.
    pub(super) fn repair_places(&self, account: AccountId) -> Result<Vec<Mended>, StoreError> {
        let mut told = Vec::new();
        let view = self.view(account)?;
        let userid = view.account()?.userid;
        let folders = view.folders()?;
        drop(view);
        for (path, row) in folders.iter().filter(|(_, row)| !row.noselect) {
            let place = format!("user/{userid}/{path}");
            let inside = layout::folder_directory(&userid, path);
            let Ok(root) = self.inner.partition(&row.partition) else { continue };
            if root.join(&inside).is_dir() {
                continue;
            }
            if let Some(moved) = self.rehash(&userid, root)? {
                told.push(mended(&place, None, moved));
                if root.join(&inside).is_dir() {
                    continue;
                }
            }
            for nickname in self.inner.partitions().into_iter().filter(|nickname| *nickname != row.partition) {
                let Ok(other) = self.inner.partition(&nickname) else { continue };
                let dir = other.join(&inside);
                let ours = match index_file::header_of(&dir) {
                    Some((_, mailbox)) => mailbox == row.mailbox_id,
                    None => holds_messages(&dir),
                };
                if ours {
                    self.set_partition(account, row.id, &nickname)?;
                    told.push(mended(
                        &place,
                        None,
                        format!("it lies in partition {nickname}, not in {}", row.partition),
                    ));
                    break;
                }
            }
        }
        Ok(told)
    }

    fn set_partition(&self, account: AccountId, folder: FolderId, partition: &str) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut row = rows::need_folder(tx.txn, account, folder)?;
            row.partition = partition.to_owned();
            if folder == FolderId::INBOX {
                let mut owner = rows::need_account(tx.txn, account)?;
                owner.partition = partition.to_owned();
                rows::put_account(tx.txn, account, &owner)?;
            }
            tx.changed(account, &row)
        })
    }

    /// Moves the directory of an account to where the hash rule puts it, if it lies in another hash directory and nothing is at the right place.
    fn rehash(&self, userid: &str, root: &Path) -> Result<Option<String>, StoreError> {
        let right = root.join(layout::account_directory(userid));
        if right.exists() {
            return Ok(None);
        }
        let below = |dir: &Path| -> Vec<PathBuf> {
            fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
        };
        let name = layout::directory_name(userid);
        let wrong = below(&root.join("=user"))
            .iter()
            .flat_map(|first| below(first))
            .map(|second| second.join(&name))
            .find(|dir| dir.is_dir());
        let Some(wrong) = wrong else { return Ok(None) };
        let above = right.parent().unwrap_or(root);
        body::make_durable_dir(above)?;
        fs::rename(&wrong, &right).map_err(|error| StoreError::io("move", &wrong, error))?;
        crate::crash_point!("repair.after-move");
        for dir in [Some(above), wrong.parent()].into_iter().flatten() {
            durable::sync_dir(dir).map_err(|error| StoreError::io("flush", dir, error))?;
        }
        Ok(Some(format!("its account lay in {}, it is moved to {}", wrong.display(), right.display())))
    }

    /// The directories with messages of mailboxes that the database does not know, in one partition or in all; by account, and those above first.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn unknown_directories(&self, partition: Option<&str>) -> Result<Vec<Unknown>, StoreError> {
        let mut found = Vec::new();
        for nickname in self.inner.partitions() {
            if partition.is_some_and(|wanted| wanted != nickname) {
                continue;
            }
            let Ok(root) = self.inner.partition(&nickname) else { continue };
            let mut stack = vec![root.join("=user")];
            while let Some(dir) = stack.pop() {
                let place = layout::place_of(&dir);
                for entry in fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok) {
                    let below = place.is_none() || entry.file_name().to_string_lossy().starts_with('=');
                    if below && entry.path().is_dir() {
                        stack.push(entry.path());
                    }
                }
                let Some(place) = place else { continue };
                let here = root.join(layout::folder_directory(&place.mailbox.owner, &place.mailbox.folder)) == dir;
                if here && holds_messages(&dir) && !self.lies_at(&place.mailbox, &nickname)? {
                    found.push(Unknown { partition: nickname.clone(), path: dir, mailbox: place.mailbox });
                }
            }
        }
        // The mailboxes above come first: they are made where they lie, not where one below them does.
        found.sort_by_key(|unknown| {
            let MailboxName { owner, folder } = &unknown.mailbox;
            (owner.clone(), !folder.is_inbox(), folder.components().len(), unknown.path.clone())
        });
        Ok(found)
    }

    /// True when the database has this mailbox in this partition, or something damaged that may be it.
    fn lies_at(&self, mailbox: &MailboxName, partition: &str) -> Result<bool, StoreError> {
        let look = || -> Result<bool, StoreError> {
            let Some(account) = self.account_id(&mailbox.owner)? else { return Ok(false) };
            let row = self.view(account)?.resolve(&mailbox.folder)?;
            // One that was made for its directory by an attempt that came no further is as good as unknown.
            Ok(row.is_some_and(|row| !row.noselect && row.partition == partition && !is_untouched(&row)))
        };
        match look() {
            Err(error) if error.kind() == Kind::Corrupt => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            other => other,
        }
    }

    /// Makes a directory of messages a mailbox again: its account and the mailboxes above it are made where they are missing. The messages keep
    /// their UIDs, their dates where store.idx has them; UIDVALIDITY is new, because nothing tells the old one. Where the database has
    /// this mailbox in another partition, nothing is done.
    ///
    /// # Errors
    /// The account cannot be made or is locked, or the disk fails.
    pub fn take_in(&self, unknown: &Unknown, now_s: i64) -> Result<Vec<Mended>, StoreError> {
        let MailboxName { owner, folder } = &unknown.mailbox;
        let place = format!("user/{owner}/{folder}");
        let mut told = Vec::new();
        let mut fresh = false;
        let account = match self.account_id(owner)? {
            Some(account) => account,
            None => {
                fresh = folder.is_inbox();
                let made = self.account_create(owner, Some(&unknown.partition), now_s)?;
                told.push(mended(&format!("user/{owner}"), None, "the account is made again"));
                // What the lost one left about who may look its folders up leads nowhere.
                self.rebuild_lookups(true)?;
                made
            }
        };
        let known = self.view(account)?.resolve(folder)?.filter(|row| !row.noselect);
        let row = match known {
            Some(row) if fresh => row,
            Some(row) if row.partition == unknown.partition && is_untouched(&row) => row,
            Some(row) if row.partition == unknown.partition => return Ok(told),
            // An INBOX that was made for another directory of this account, and has nothing.
            Some(row) if folder.is_inbox() && is_untouched(&row) => {
                self.set_partition(account, row.id, &unknown.partition)?;
                row
            }
            Some(row) => {
                let what =
                    format!("the mailbox lies in partition {}: {} is left", row.partition, unknown.path.display());
                told.push(super::left(&place, None, what));
                return Ok(told);
            }
            None => {
                let options = CreateOptions { partition: Some(unknown.partition.clone()), ..CreateOptions::default() };
                self.folder_create(account, folder, &options, now_s)?
            }
        };
        let taken = self.claim_files(account, row.id, &unknown.path, now_s)?;
        told.push(mended(&place, None, format!("entry added: {taken} messages of {}", unknown.path.display())));
        told.extend(self.repair_folder(account, row.id, How { fresh_index: true, ..How::default() }, now_s)?);
        Ok(told)
    }

    /// Makes the files of a directory the messages of a mailbox that has none, under the UIDs of their names. Returns how many.
    fn claim_files(&self, account: AccountId, folder: FolderId, dir: &Path, now_s: i64) -> Result<usize, StoreError> {
        let messages = super::folder::messages_in(dir, now_s)?;
        let mailbox = index_file::header_of(dir).map(|(_, mailbox)| mailbox);
        self.change(account, |tx| {
            let mut row: Folder = rows::need_folder(tx.txn, account, folder)?;
            if !is_untouched(&row) {
                return Ok(0);
            }
            let mut owner = rows::need_account(tx.txn, account)?;
            let modseq = super::Tx::next_modseq(&mut owner);
            for message in &messages {
                rows::put_message(tx.txn, account, folder, message)?;
                let mut runs = rows::chunk(tx.txn, account, folder, message.uid)?;
                let state = super::super::StateRun {
                    first: message.uid,
                    count: 1,
                    flags: super::super::Flags::NONE,
                    keywords: super::super::Keywords::default(),
                    modseq,
                };
                super::super::record::push_run(&mut runs, state);
                rows::put_chunk(tx.txn, account, folder, message.uid, &runs)?;
                rows::count(&mut row, super::super::Flags::NONE, 1, true);
                row.bytes += message.size;
                owner.usage_bytes += message.size;
                owner.usage_messages += 1;
                row.uidnext = row.uidnext.max(message.uid.saturating_add(1));
                row.last_append_s = row.last_append_s.max(message.internal_date_s);
            }
            // The id of the mailbox goes with its directory, unless it was copied.
            let others = rows::tree(tx.txn, account)?;
            if let Some(mailbox) = mailbox.filter(|id| others.iter().all(|(_, other)| other.mailbox_id != *id)) {
                row.mailbox_id = mailbox;
            }
            row.highest_modseq = modseq;
            tx.changed(account, &row)?;
            tx.keep_quota_clock(account, &mut owner, false, Some(now_s))?;
            rows::put_account(tx.txn, account, &owner)?;
            crate::crash_point!("repair.after-claim");
            Ok(messages.len())
        })
    }
}

/// No message is above it.
pub(super) const UID_MAX: Uid = Uid::MAX - 1024;
