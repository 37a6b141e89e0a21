//! Checkpoint blocks in store.idx: what only the mailbox database knows of a folder, written beside its messages, so that it survives the loss of a
//! shard. And tombstones: the UIDs of an expunge, so that a lost shard does not bring them back.
//!
//! | bytes | header (16), then the content |
//! | --- | --- |
//! | 0..4 | `MCP1` checkpoint, `MTB1` tombstone |
//! | 4..8 | length of the content |
//! | 8..12 | CRC-32 of the content |
//! | 12..16 | CRC-32 of the bytes before |
//!
//! Builds that know no blocks pass them over: rows name places, and nobody reads the file in order but a rebuild.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::codec::{Malformed, Reader, Writer};
use super::error::StoreError;
use super::flags::{Flags, Keywords, UidSet};
use super::ids::{AccountId, FolderId, Uid};
use super::lmdb::Rows;
use super::record::{Account, Checkpointed, Folder, StateRun};
use super::schema::{self, kind};
use super::{Store, Tx, index_file, lock, rows};

pub(super) const CHECKPOINT: &[u8; 4] = b"MCP1";
pub(super) const TOMBSTONE: &[u8; 4] = b"MTB1";
/// Bytes of a block's header.
pub(super) const HEADER: usize = 16;
/// Accounts in one transaction.
const PAGE: usize = 100;
/// From this many files on, their file systems are flushed instead of each.
const MANY: usize = 16;

/// What a checkpoint block says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// When it was written, seconds since 1970.
    pub(super) written_s: i64,
    /// The folder's row then.
    pub(super) row: Folder,
    /// Names of the account's keywords, by their numbers.
    pub(super) keywords: Vec<String>,
    /// The states of the messages: those that existed.
    pub(super) states: Vec<StateRun>,
    /// Expunged messages whose files wait for purge.
    pub(super) gone: Vec<(Uid, Uid)>,
    /// With INBOX: the account and its subscriptions.
    pub(super) owner: Option<(Account, Vec<String>)>,
}

/// A block around its content.
pub(super) fn block(magic: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// The content of a block, if it is sound.
pub(super) fn content(bytes: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let content = bytes.get(HEADER..)?;
    let sound = number(12)? == crc32fast::hash(bytes.get(..12)?) && number(8)? == crc32fast::hash(content);
    (sound && usize::try_from(number(4)?).ok()? == content.len()).then_some(content)
}

/// The content of an expunge.
pub(super) fn tombstone(uids: &UidSet) -> Vec<u8> {
    let mut w = Writer::new(1);
    for (first, last) in uids.ranges() {
        w.u32(*first).u32(*last - *first);
    }
    block(TOMBSTONE, &w.finish())
}

pub(super) fn read_tombstone(content: &[u8]) -> Result<Vec<(Uid, Uid)>, Malformed> {
    let mut r = Reader::new(content, 1)?;
    let mut ranges = Vec::new();
    while !r.is_empty() {
        let first = r.u32()?;
        ranges.push((first, first.checked_add(r.u32()?).ok_or(Malformed)?));
    }
    Ok(ranges)
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let row = self.row.encode();
        let mut w = Writer::new(1);
        w.i64(self.written_s).u32(self.row.id.0).u64(row.len() as u64).raw(&row).u64(self.keywords.len() as u64);
        for name in &self.keywords {
            w.string(name);
        }
        w.u64(self.states.len() as u64);
        let mut at = 0;
        for run in &self.states {
            w.u32(run.first - at).u32(run.count).u8(run.flags.0).varint(run.keywords.0).u64(run.modseq);
            at = run.first + run.count;
        }
        w.u64(self.gone.len() as u64);
        for (first, last) in &self.gone {
            w.u32(*first).u32(last - first);
        }
        if let Some((owner, subscriptions)) = &self.owner {
            let owner = owner.encode();
            w.u64(owner.len() as u64).raw(&owner);
            for name in subscriptions {
                w.string(name);
            }
        }
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        let size = |r: &mut Reader<'_>| usize::try_from(r.u64()?).map_err(|_| Malformed);
        let written_s = r.i64()?;
        let id = FolderId(r.u32()?);
        let len = size(&mut r)?;
        let mut found = Checkpoint { written_s, row: Folder::decode(id, r.raw(len)?)?, ..Checkpoint::default() };
        for _ in 0..r.u64()? {
            found.keywords.push(r.string()?);
        }
        let mut at: Uid = 0;
        for _ in 0..r.u64()? {
            let first = at.checked_add(r.u32()?).ok_or(Malformed)?;
            let (count, flags) = (r.u32()?, Flags(r.u8()?));
            let (keywords, modseq) = (Keywords(r.varint()?), r.u64()?);
            at = first.checked_add(count).filter(|_| count > 0).ok_or(Malformed)?;
            found.states.push(StateRun { first, count, flags, keywords, modseq });
        }
        for _ in 0..r.u64()? {
            let first = r.u32()?;
            found.gone.push((first, first.checked_add(r.u32()?).ok_or(Malformed)?));
        }
        if !r.is_empty() {
            let len = size(&mut r)?;
            let owner = Account::decode(r.raw(len)?)?;
            let mut subscriptions = Vec::new();
            while !r.is_empty() {
                subscriptions.push(r.string()?);
            }
            found.owner = Some((owner, subscriptions));
        }
        Ok(found)
    }
}

pub(super) fn subscriptions<R: Rows + ?Sized>(rows: &R, account: AccountId) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    rows.scan(&schema::key(account, kind::SUBSCRIPTION, FolderId::TOP, &[]), &mut |key, _| {
        if !schema::within_kind(key, account, kind::SUBSCRIPTION) {
            return Ok(ControlFlow::Break(()));
        }
        names.extend(String::from_utf8(schema::rest(key).to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

/// What of a folder changes without its modification sequence: its name, list and place, and, with INBOX, the account's subscriptions and limits.
fn sum<R: Rows + ?Sized>(rows: &R, account: AccountId, owner: &Account, row: &Folder) -> Result<u32, StoreError> {
    let mut hasher = crc32fast::Hasher::new();
    let plain = Folder { checkpoint: Checkpointed::default(), idx_len: 0, recent_from: 0, ..row.clone() };
    hasher.update(&plain.encode());
    if row.id == FolderId::INBOX {
        for name in subscriptions(rows, account)? {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(owner.userid.as_bytes());
        hasher.update(format!("{:?} {:?}", owner.quota_bytes, owner.quota_messages).as_bytes());
    }
    Ok(hasher.finalize())
}

/// The folders of an account that changed since their last block. What cannot be read is for the checker to tell.
fn changed<R: Rows + ?Sized>(rows: &R, account: AccountId) -> Result<Vec<(FolderId, u32)>, StoreError> {
    let Some(owner) = rows::account(rows, account)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (_, row) in rows::tree(rows, account)? {
        let sum = sum(rows, account, &owner, &row)?;
        if !row.noselect && (row.checkpoint.modseq, row.checkpoint.sum) != (row.highest_modseq, sum) {
            found.push((row.id, sum));
        }
    }
    Ok(found)
}

impl Store {
    /// Writes a checkpoint block into store.idx of every folder that changed since its last one, and flushes these files. Gives their number.
    /// Accounts in which an operation is under way wait for the next time.
    ///
    /// # Errors
    /// The mailbox database cannot be read, or a disk fails: the folders keep their last block.
    pub fn checkpoint(&self, now_s: i64) -> Result<usize, StoreError> {
        let mut count = 0;
        for shard in &self.inner.shards {
            let mut from = AccountId(1);
            loop {
                let mut page = Vec::new();
                let read = shard.env()?.read()?;
                rows::each_account(&read, from, &mut |id, row| {
                    if row.is_some() && changed(&read, id).is_ok_and(|folders| !folders.is_empty()) {
                        page.push(id);
                    }
                    from = AccountId(id.0.saturating_add(1));
                    Ok(if page.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                })?;
                drop(read);
                if page.is_empty() {
                    break;
                }
                let store = &*self.inner;
                let written = shard.group()?.run(|txn, extra| {
                    let mut tx = Tx { txn, extra, store, who: None };
                    let mut written = Vec::new();
                    for id in &page {
                        written.extend(tx.checkpoint_account(*id, now_s)?);
                    }
                    Ok(written)
                })?;
                crate::crash_point!("checkpoint.after-rows");
                count += written.len();
                flush(&written)?;
                if page.len() < PAGE {
                    break;
                }
            }
        }
        Ok(count)
    }
}

/// Makes blocks durable.
fn flush(files: &[PathBuf]) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::io("flush", &path, error)
    };
    let mut devices = BTreeSet::new();
    for path in files {
        // A folder that was renamed or deleted meanwhile has its next block later.
        let Ok(file) = File::open(path) else { continue };
        if files.len() < MANY {
            file.sync_data().map_err(fail(path))?;
        } else if file.metadata().is_ok_and(|meta| devices.insert(meta.dev())) {
            crate::os::durable::sync_file_system(path).map_err(fail(path))?;
        }
    }
    Ok(())
}

impl Tx<'_, '_> {
    /// Writes the blocks of an account; gives the files.
    fn checkpoint_account(&mut self, account: AccountId, now_s: i64) -> Result<Vec<PathBuf>, StoreError> {
        if lock::respect(self, account, FolderId::TOP).is_err() {
            return Ok(Vec::new());
        }
        let Ok(folders) = changed(self.txn, account) else { return Ok(Vec::new()) };
        let owner = rows::need_account(self.txn, account)?;
        let mut written = Vec::new();
        for (id, sum) in folders {
            if lock::respect(self, account, id).is_err() {
                continue;
            }
            let row = rows::need_folder(self.txn, account, id)?;
            let Ok(dir) = self.folder_dir(account, &owner.userid, &row) else { continue };
            written.extend(self.checkpoint_folder(account, &owner, row, sum, &dir, now_s)?);
        }
        Ok(written)
    }

    /// Writes the block of a folder behind its last entry, or over its last block, if nothing came after that.
    pub(super) fn checkpoint_folder(
        &mut self,
        account: AccountId,
        owner: &Account,
        mut row: Folder,
        sum: u32,
        dir: &Path,
        now_s: i64,
    ) -> Result<Option<PathBuf>, StoreError> {
        let mut states = Vec::new();
        rows::states(self.txn, account, row.id, 0..=Uid::MAX, &mut |run| super::record::push_run(&mut states, run))?;
        let mut gone = UidSet::new();
        rows::all_gone(self.txn, account, row.id, &mut |one| {
            gone.insert(one.message.uid);
            Ok(ControlFlow::Continue(()))
        })?;
        let owner = match row.id {
            FolderId::INBOX => Some((owner.clone(), subscriptions(self.txn, account)?)),
            _ => None,
        };
        let last = row.checkpoint;
        let at = if last.end == row.idx_len && last.begin >= index_file::HEADER { last.begin } else { row.idx_len };
        let content = Checkpoint {
            written_s: now_s,
            row: Folder { checkpoint: Checkpointed::default(), ..row.clone() },
            keywords: rows::keywords(self.txn, account)?,
            states,
            gone: gone.ranges().to_vec(),
            owner,
        };
        let bytes = block(CHECKPOINT, &content.encode());
        // It may fail as an entry may: then the folder has its next block later.
        if index_file::append(dir, row.idx_generation, row.mailbox_id, at, &bytes).is_err() {
            return Ok(None);
        }
        row.idx_len = at + bytes.len() as u64;
        row.checkpoint = Checkpointed { modseq: row.highest_modseq, sum, begin: at, end: row.idx_len };
        rows::put_folder(self.txn, account, &row)?;
        Ok(Some(dir.join(index_file::NAME)))
    }

    /// Writes the UIDs of an expunge behind the last entry of store.idx; nothing is lost where that fails but what a lost shard would ask for.
    pub(super) fn write_tombstone(&mut self, owner: &Account, account: AccountId, row: &mut Folder, uids: &UidSet) {
        let Ok(dir) = self.folder_dir(account, &owner.userid, row) else { return };
        let bytes = tombstone(uids);
        if index_file::append(&dir, row.idx_generation, row.mailbox_id, row.idx_len, &bytes).is_ok() {
            row.idx_len += bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back() {
        let runs = [(3, 2, 8), (7, 1, 0)];
        let states = runs.map(|(first, count, flags)| StateRun {
            first,
            count,
            flags: Flags(flags),
            keywords: Keywords(2),
            modseq: 9,
        });
        let wanted = Checkpoint {
            written_s: 5,
            row: Folder { id: FolderId(4), component: "Work".into(), uidnext: 9, ..Folder::default() },
            keywords: vec!["one".into(), "two".into()],
            states: states.to_vec(),
            gone: vec![(5, 6)],
            owner: Some((Account { userid: "joe".into(), ..Account::default() }, vec!["Work".into()])),
        };
        let bytes = wanted.encode();
        assert_eq!(Checkpoint::decode(&bytes).unwrap(), wanted);
        for cut in 0..bytes.len() - 6 {
            drop(Checkpoint::decode(&bytes[..cut]));
        }
        let set = UidSet::from_ranges([(1, 3), (9, 9)]);
        assert_eq!(read_tombstone(&tombstone(&set)[HEADER..]).unwrap(), [(1, 3), (9, 9)]);
    }
}
