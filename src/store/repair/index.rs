//! store.idx: entries that are wrong are appended again, or the whole file is written anew as the next generation.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::error::{Kind, StoreError};
use super::super::ids::{AccountId, FolderId, Uid};
use super::super::index_file::{self, Entry, IndexReader};
use super::super::record::{Checkpointed, EntryPlace, Folder, Message};
use super::super::{Store, layout, rows};
use super::{How, Mended, mended};

/// Up to so many wrong entries are appended; from there on the file is written anew.
const FEW: usize = 64;

impl Store {
    /// Makes the entries in store.idx of these messages again, from the messages: what a service does that has met a wrong one. A message that cannot
    /// be read is passed over. Returns how many were made.
    ///
    /// # Errors
    /// The mailbox does not exist or stays locked, or the disk fails.
    pub fn renew_entries(&self, account: AccountId, folder: FolderId, uids: &[Uid]) -> Result<usize, StoreError> {
        let view = self.view(account)?;
        let dir = view.folder_dir(folder)?;
        let mut made: Vec<(Message, Entry<'static>)> = Vec::new();
        for uid in uids {
            made.extend(view.message(folder, *uid)?.map(|message| (message, Entry::default())));
        }
        drop(view);
        made.retain_mut(|(message, entry)| {
            let scanned = index_file::scan_file(&dir.join(layout::message_file(message.uid)));
            scanned.is_ok_and(|scanned| {
                *entry = Entry::of(&scanned);
                scanned.size == message.size
            })
        });
        if made.is_empty() {
            return Ok(0);
        }
        // Who reads does not wait for who has the mailbox locked.
        let done = self.change_now(account, |tx| {
            let mut row = tx.open_folder(account, folder)?;
            let userid = rows::need_account(tx.txn, account)?.userid;
            // Another place, another message: nothing of what was read is certain.
            if tx.folder_dir(account, &userid, &row)? != dir {
                return Ok(0);
            }
            let mut bytes = Vec::new();
            let mut count = 0;
            for (message, entry) in &made {
                if rows::message(tx.txn, account, folder, message.uid)?.as_ref() != Some(message) {
                    continue;
                }
                let place = EntryPlace {
                    generation: row.idx_generation,
                    offset: row.idx_len + bytes.len() as u64,
                    len: u32::try_from(entry.encoded_len()).unwrap_or(0),
                };
                entry.encode(message, &mut bytes);
                rows::put_message(tx.txn, account, folder, &Message { entry: place, ..message.clone() })?;
                count += 1;
            }
            index_file::append(&dir, row.idx_generation, row.mailbox_id, row.idx_len, &bytes)
                .map_err(|error| StoreError::io("write", &dir.join(index_file::NAME), error))?;
            row.idx_len += bytes.len() as u64;
            rows::put_folder(tx.txn, account, &row)?;
            crate::crash_point!("renew.after-rows");
            Ok(count)
        });
        match done {
            Err(StoreError::InUse { .. }) => Ok(0),
            other => other,
        }
    }

    /// One attempt to set store.idx right; `None` when the mailbox changed meanwhile.
    pub(super) fn repair_index(
        &self,
        account: AccountId,
        folder: FolderId,
        name: &str,
        how: How,
    ) -> Result<Option<Vec<Mended>>, StoreError> {
        let view = self.view(account)?;
        let row = rows::need_folder(view.rows(), account, folder)?;
        let dir = view.folder_dir(folder)?;
        let mut messages: Vec<Message> = Vec::new();
        view.messages(folder, 0..=Uid::MAX, &mut |message| {
            messages.push(message);
            ControlFlow::Continue(())
        })?;
        drop(view);
        let mut index = IndexReader::open(&dir, row.idx_generation);
        let wrong: Vec<Uid> = messages
            .iter()
            .filter(|message| message.entry.offset != 0)
            .filter(|message| !index.cached(message).is_some_and(|entry| entry.has_its_keys()))
            .map(|message| message.uid)
            .collect();
        let used = messages.iter().any(|message| message.entry.offset != 0);
        let foreign = used && !index_file::is_of(&dir, row.idx_generation, row.mailbox_id);
        if !foreign && wrong.is_empty() && !how.force && !how.fresh_index {
            return Ok(Some(Vec::new()));
        }
        if !foreign && wrong.len() <= FEW && !how.force && !how.fresh_index {
            self.renew_entries(account, folder, &wrong)?;
            let told = wrong.into_iter().map(|uid| mended(name, Some(uid), "its entry in store.idx is made again"));
            return Ok(Some(told.collect()));
        }
        self.write_anew(account, &row, &messages, &dir, how).map(|done| {
            let why = match (foreign, wrong.len()) {
                (true, _) => "it was missing, or not that of this mailbox".to_owned(),
                (_, 0) => "as asked for".to_owned(),
                (_, count) => format!("{count} entries were wrong"),
            };
            done.then(|| vec![mended(name, None, format!("store.idx is written anew: {why}"))])
        })
    }

    /// Writes store.idx as its next generation; false when the mailbox changed meanwhile.
    fn write_anew(
        &self,
        account: AccountId,
        row: &Folder,
        messages: &[Message],
        dir: &Path,
        how: How,
    ) -> Result<bool, StoreError> {
        let fresh = Fresh::write(row, messages, dir, how.force || how.fresh_index)?;
        let path = dir.join(index_file::NAME);
        let mut renamed = false;
        let done = self.change(account, |tx| {
            if rows::need_folder(tx.txn, account, row.id)? != *row {
                return Ok(false);
            }
            for message in messages {
                let entry = fresh.places.get(&message.uid).copied().unwrap_or_default();
                rows::put_message(tx.txn, account, row.id, &Message { entry, ..message.clone() })?;
            }
            let now = Folder {
                idx_generation: fresh.generation,
                idx_len: fresh.len,
                checkpoint: Checkpointed::default(),
                ..row.clone()
            };
            rows::put_folder(tx.txn, account, &now)?;
            // Rows of the old generation find nothing in the new file: readers take the messages.
            if !renamed {
                fs::rename(&fresh.path, &path).map_err(|error| StoreError::io("rename", &fresh.path, error))?;
                renamed = true;
            }
            crate::crash_point!("repair.after-rename");
            Ok(true)
        });
        if !renamed {
            // It is only in the way: the next attempt writes it anew.
            drop(fs::remove_file(&fresh.path));
        }
        done
    }
}

/// A store.idx that is ready to take its place.
struct Fresh {
    path: PathBuf,
    generation: u32,
    len: u64,
    places: BTreeMap<Uid, EntryPlace>,
}

impl Fresh {
    fn write(row: &Folder, messages: &[Message], dir: &Path, scan: bool) -> Result<Fresh, StoreError> {
        let path = dir.join("store.idx.new");
        let fail = |error| StoreError::io("write", &path, error);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(fail)?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        let generation = row.idx_generation.wrapping_add(1).max(1);
        out.write_all(&index_file::file_header(generation, row.mailbox_id)).map_err(fail)?;
        let mut len = index_file::HEADER;
        let mut old = IndexReader::open(dir, row.idx_generation);
        let mut places = BTreeMap::new();
        let mut bytes = Vec::new();
        for message in messages {
            let kept = if scan { None } else { old.cached(message).map(Entry::renewed) };
            let entry = match kept.filter(Entry::has_its_keys) {
                Some(entry) => entry,
                None => match index_file::scan_file(&dir.join(layout::message_file(message.uid))) {
                    Ok(scanned) => Entry::of(&scanned),
                    // The row then names no entry.
                    Err(error) if matches!(error.kind(), Kind::Io | Kind::Denied) => continue,
                    Err(error) => return Err(error),
                },
            };
            bytes.clear();
            entry.encode(message, &mut bytes);
            out.write_all(&bytes).map_err(fail)?;
            let size = u32::try_from(bytes.len()).unwrap_or(0);
            places.insert(message.uid, EntryPlace { generation, offset: len, len: size });
            len += bytes.len() as u64;
        }
        out.flush().map_err(fail)?;
        Ok(Fresh { path, generation, len, places })
    }
}
