//! Messages into folders: one way for delivery, APPEND and import.
//!
//! Order: the staging file is flushed; in one write transaction uids are taken, links made, store.idx appended, rows put, with a redo row for
//! each link; commit; announce. A crash before the commit leaves a link that no row names; the next delivery finds the place taken, records the
//! file as expunged (so purge or undelete decide about it) and takes the next uid.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::body::{self, Linked, Staged, Staging};
use super::codec::Writer;
use super::error::StoreError;
use super::flags::{Flags, Keywords};
use super::ids::{AccountId, FolderId, Modseq, Uid};
use super::index_file::{self, Entry};
use super::intent::UNFINISHED;
use super::quota::Coming;
use super::record::{Account, EntryPlace, Folder, Gone, Message, Rights, StateRun, push_run};
use super::{Store, Tx, layout, lock, quota, rows, schema};

/// From this many messages on, one flush of the partition's file system replaces a flush of each file.
const BULK: usize = 8;

/// A message to be appended.
pub struct NewMessage<'s> {
    /// Its bytes.
    pub staged: &'s Staged,
    /// Its system flags.
    pub flags: Flags,
    /// Its keywords.
    pub keywords: Vec<String>,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// Zone of INTERNALDATE, minutes east of UTC.
    pub internal_zone_min: i16,
}

/// What an append gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// UIDVALIDITY of the folder.
    pub uidvalidity: u32,
    /// The messages' UIDs, in the order in which they were given.
    pub uids: Vec<Uid>,
    /// Their modification sequence.
    pub modseq: Modseq,
    /// The owner is to be warned: the quota is nearly used up, and the last warning was long ago.
    pub warning_due: bool,
    /// The quota is used up now.
    pub used_up: bool,
}

/// One place a message is delivered to.
pub struct Delivery {
    /// The account.
    pub account: AccountId,
    /// Its folder.
    pub folder: FolderId,
    /// True to deliver though the quota is used up.
    pub ignore_quota: bool,
    /// A message that came to the folder within so many seconds is not put there again; 0: it is. It is the same when Message-ID and body are.
    pub once_s: u32,
}

/// What several messages have in common while they go into one folder.
pub(super) struct Target<'d> {
    pub(super) account: AccountId,
    pub(super) row: Folder,
    pub(super) owner: Account,
    pub(super) modseq: Modseq,
    pub(super) dir: &'d Path,
    pub(super) index: Vec<u8>,
    pub(super) now_s: i64,
}

impl Store {
    /// Opens a staging file in a partition; the message's bytes are then written to it.
    ///
    /// # Errors
    /// The partition does not exist or is not available, or the file cannot be made.
    pub fn stage(&self, partition: &str) -> Result<Staging, StoreError> {
        let root = self.inner.partition(partition)?;
        self.inner.room(root)?;
        Staging::new(partition, root, &self.inner.process)
    }

    /// Appends messages to a folder: all or none.
    ///
    /// # Errors
    /// The folder does not exist, is locked, the quota is used up, there are too many keywords, or the disk fails.
    pub fn append(
        &self,
        account: AccountId,
        folder: FolderId,
        items: &[NewMessage<'_>],
        now_s: i64,
    ) -> Result<Appended, StoreError> {
        self.append_items(account, folder, items, false, now_s)
    }

    /// Like [`Store::append`], though the quota is used up: an administrator brings messages in.
    ///
    /// # Errors
    /// As [`Store::append`], but for the quota.
    pub fn append_over_quota(
        &self,
        account: AccountId,
        folder: FolderId,
        items: &[NewMessage<'_>],
        now_s: i64,
    ) -> Result<Appended, StoreError> {
        self.append_items(account, folder, items, true, now_s)
    }

    fn append_items(
        &self,
        account: AccountId,
        folder: FolderId,
        items: &[NewMessage<'_>],
        ignore_quota: bool,
        now_s: i64,
    ) -> Result<Appended, StoreError> {
        self.flush(items.iter().map(|item| item.staged))?;
        crate::crash_point!("append.after-sync");
        self.change(account, |tx| tx.append(account, folder, items, ignore_quota, now_s))
    }

    /// Delivers one message to several places; each succeeds or fails alone. Recipients of one shard share one commit. `Ok(None)`: the message came
    /// to this place already ([`Delivery::once_s`]).
    pub fn deliver(
        &self,
        item: &NewMessage<'_>,
        to: &[Delivery],
        now_s: i64,
    ) -> Vec<Result<Option<Appended>, StoreError>> {
        let mut results: Vec<Option<Result<Option<Appended>, StoreError>>> = to.iter().map(|_| None).collect();
        let identity = if to.iter().any(|one| one.once_s > 0) { item.staged.identity() } else { Ok(None) };
        let identity = match item.staged.sync().and(identity) {
            Ok(identity) => identity,
            Err(error) => return to.iter().map(|_| Err(error.again())).collect(),
        };
        crate::crash_point!("append.after-sync");
        let mut shards: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
        for (at, delivery) in to.iter().enumerate() {
            match self.inner.home_of(delivery.account) {
                Ok(shard) => shards.entry(shard).or_default().push(at),
                Err(error) => {
                    if let Some(result) = results.get_mut(at) {
                        *result = Some(Err(error));
                    }
                }
            }
        }
        let work = &|places: &[usize]| -> Vec<Result<Option<Appended>, StoreError>> {
            let there = || places.iter().filter_map(|at| to.get(*at));
            let Some(first) = there().next() else {
                return Vec::new();
            };
            let done = self.change(first.account, |tx| {
                let done: Vec<_> = there().map(|one| tx.deliver(one, item, identity, now_s)).collect();
                // Some failures of a recipient come before any row was written; after others the rows of all of them are not to be kept.
                match done.iter().find_map(|one| one.as_ref().err().filter(|error| !came_first(error))) {
                    Some(error) => Err(error.again()),
                    None => Ok(done),
                }
            });
            let alone = |one: &Delivery| self.change_now(one.account, |tx| tx.deliver(one, item, identity, now_s));
            match done {
                Ok(done) => done,
                Err(error) if places.len() == 1 => vec![Err(error)],
                Err(_) => there().map(alone).collect(),
            }
        };
        let groups: Vec<Vec<usize>> = shards.into_values().collect();
        for (places, outcomes) in groups.iter().zip(at_once(&groups, work)) {
            for (at, outcome) in places.iter().zip(outcomes) {
                if let Some(result) = results.get_mut(*at) {
                    *result = Some(outcome);
                }
            }
        }
        let mut waiting: Vec<_> = results.iter_mut().zip(to).filter(|(result, _)| is_locked(result)).collect();
        // Somebody holds the folder: these recipients wait, all at the same time, and the others are done.
        for tries_left in (0..lock::TRIES).rev() {
            waiting.retain_mut(|(result, one)| {
                if matches!(result, Some(Err(StoreError::InUse { by, .. })) if by.as_deref() == Some(UNFINISHED)) {
                    // What fails there is told by the next try.
                    drop(self.finish_intent(one.account));
                }
                **result = Some(self.change_now(one.account, |tx| tx.deliver(one, item, identity, now_s)));
                is_locked(result)
            });
            if waiting.is_empty() {
                break;
            }
            if tries_left > 0 {
                std::thread::sleep(lock::PAUSE);
            }
        }
        let unfinished = || Err(StoreError::Internal { what: "a delivery was not finished".into() });
        results.into_iter().map(|result| result.unwrap_or_else(unfinished)).collect()
    }

    /// Makes the bytes of staged messages durable: each by itself, or many with one flush of the file system.
    pub(super) fn flush<'s>(&self, staged: impl Iterator<Item = &'s Staged> + Clone) -> Result<(), StoreError> {
        if staged.clone().count() < BULK {
            let mut staged = staged;
            return staged.try_for_each(Staged::sync);
        }
        let mut partitions: Vec<&str> = staged.clone().map(Staged::partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        for partition in partitions {
            let path = self.inner.partition(partition)?;
            crate::os::durable::sync_file_system(path).map_err(|error| StoreError::io("flush", path, error))?;
        }
        Ok(())
    }
}

/// What `work` gives for each group, the groups at the same time.
fn at_once<T: Send>(groups: &[Vec<usize>], work: &(impl Fn(&[usize]) -> Vec<T> + Sync)) -> Vec<Vec<T>> {
    if let [only] = groups {
        return vec![work(only)];
    }
    std::thread::scope(|scope| {
        let begin = |places| std::thread::Builder::new().spawn_scoped(scope, move || work(places));
        let running: Vec<_> = groups.iter().map(|places| (places, begin(places))).collect();
        running
            .into_iter()
            .map(|(places, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_default(),
                // The system has no thread to spare.
                Err(_) => work(places),
            })
            .collect()
    })
}

fn is_locked<T>(result: &Option<Result<T, StoreError>>) -> bool {
    matches!(result, Some(Err(StoreError::InUse { .. })))
}

/// An append that failed by this has written nothing.
fn came_first(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::InUse { .. }
            | StoreError::OverQuota { .. }
            | StoreError::Denied
            | StoreError::NoPartition { .. }
            | StoreError::Limit { what: MESSAGES_EVER, .. }
    )
}

/// What there are too many of where a mailbox has no UID left.
pub(super) const MESSAGES_EVER: &str = "messages were ever in this mailbox";

impl Tx<'_, '_> {
    pub(super) fn append(
        &mut self,
        account: AccountId,
        folder: FolderId,
        items: &[NewMessage<'_>],
        ignore_quota: bool,
        now_s: i64,
    ) -> Result<Appended, StoreError> {
        self.store.room(&self.store.settings.root)?;
        let row = self.open_folder(account, folder)?;
        self.demand(account, &row, Rights::INSERT)?;
        let mut owner = rows::need_account(self.txn, account)?;
        if !ignore_quota {
            let coming = Coming::of(items.iter().map(|item| item.staged.size()));
            quota::admit(self.txn, &self.store.rules(), (account, &owner), &row, coming, now_s)?;
        }
        if row
            .uidnext
            .checked_add(u32::try_from(items.len()).unwrap_or(u32::MAX))
            .is_none_or(|end| end > Uid::MAX - 1024)
        {
            return Err(StoreError::Limit { what: MESSAGES_EVER, limit: u64::from(Uid::MAX) });
        }
        let dir = self.folder_dir(account, &owner.userid, &row)?;
        let modseq = Tx::next_modseq(&mut owner);
        let mut target = Target { account, row, owner, modseq, dir: &dir, index: Vec::new(), now_s };
        let mut uids = Vec::with_capacity(items.len());
        for item in items {
            uids.push(self.append_one(&mut target, item)?);
        }
        crate::crash_point!("append.after-link");
        self.write_index(&mut target)?;
        let Target { mut row, mut owner, .. } = target;
        row.highest_modseq = modseq;
        row.last_append_s = now_s;
        self.changed(account, &row)?;
        let (warning_due, used_up) = self.keep_quota_clock(account, &mut owner, false, Some(now_s))?;
        rows::put_account(self.txn, account, &owner)?;
        for item in items {
            item.staged.keep();
        }
        crate::crash_point!("append.after-rows");
        Ok(Appended { uidvalidity: row.uidvalidity, uids, modseq, warning_due, used_up })
    }

    fn append_one(&mut self, target: &mut Target<'_>, item: &NewMessage<'_>) -> Result<Uid, StoreError> {
        let (account, folder) = (target.account, target.row.id);
        // Flags that whoever acts may not set are left out (RFC 4314 section 4).
        let (flags, with_keywords) = super::acl::flags_of(self.rights(account, &target.row));
        let keywords = if with_keywords { &item.keywords[..] } else { &[] };
        let keywords = self.keyword_bits(account, keywords)?;
        let uid = self.link(target, item.staged.path())?;
        let redo = Writer::new(1).string(item.staged.partition()).string(item.staged.name()).finish();
        rows::put(self.txn, &schema::redo(account, folder, uid), redo)?;
        let scanned = &item.staged.scanned;
        let message = Message {
            uid,
            size: scanned.size,
            header_size: scanned.header_size,
            internal_date_s: item.internal_date_s,
            internal_zone_min: item.internal_zone_min,
            saved_s: target.now_s,
            sent_s: scanned.sent_date_s,
            guid: item.staged.guid,
            entry: EntryPlace::default(),
        };
        self.add(target, message, &Entry::of(scanned), item.flags.and(flags), keywords)
    }

    /// Links `from` under the next free uid of the folder. A file that lies there already was left by a process that died before its commit.
    pub(super) fn link(&mut self, target: &mut Target<'_>, from: &Path) -> Result<Uid, StoreError> {
        loop {
            let uid = target.row.uidnext.max(1);
            target.row.uidnext = uid + 1;
            match body::link(from, target.dir, uid)? {
                Linked::Here => return Ok(uid),
                Linked::Taken => self.record_stray(target, uid)?,
            }
        }
    }

    /// Records a file without a row as an expunged message: purge removes it in time, until then it can be brought back.
    pub(super) fn record_stray(&mut self, target: &Target<'_>, uid: Uid) -> Result<(), StoreError> {
        let path = target.dir.join(layout::message_file(uid));
        let meta = std::fs::symlink_metadata(&path).map_err(|error| StoreError::io("examine", &path, error))?;
        let message = Message {
            uid,
            size: meta.len(),
            internal_date_s: meta.mtime(),
            saved_s: meta.mtime(),
            ..Message::default()
        };
        let gone = Gone {
            message,
            expunged_s: target.now_s,
            flags: Flags::NONE,
            keywords: Keywords::default(),
            purging: false,
        };
        rows::put(self.txn, &schema::gone(target.account, target.row.id, uid), gone.encode())
    }

    /// Puts the rows of a message whose file lies at its place.
    pub(super) fn add(
        &mut self,
        target: &mut Target<'_>,
        mut message: Message,
        entry: &Entry<'_>,
        flags: Flags,
        keywords: Keywords,
    ) -> Result<Uid, StoreError> {
        let (account, folder, uid) = (target.account, target.row.id, message.uid);
        let len = entry.encoded_len();
        let offset = target.row.idx_len + target.index.len() as u64;
        entry.encode(&message, &mut target.index);
        message.entry =
            EntryPlace { generation: target.row.idx_generation, offset, len: u32::try_from(len).unwrap_or(0) };
        rows::put_message(self.txn, account, folder, &message)?;
        let mut runs = rows::chunk(self.txn, account, folder, uid)?;
        push_run(&mut runs, StateRun { first: uid, count: 1, flags, keywords, modseq: target.modseq });
        rows::put_chunk(self.txn, account, folder, uid, &runs)?;
        rows::count(&mut target.row, flags, 1, true);
        target.row.bytes += message.size;
        target.owner.usage_bytes += message.size;
        target.owner.usage_messages += 1;
        Ok(uid)
    }

    /// Appends the gathered entries to store.idx. That may fail (a full disk, a file that was put in its place): the rows then name entries
    /// that are not there, and readers fall back to the messages.
    pub(super) fn write_index(&mut self, target: &mut Target<'_>) -> Result<(), StoreError> {
        let written = index_file::append(
            target.dir,
            target.row.idx_generation,
            target.row.mailbox_id,
            target.row.idx_len,
            &target.index,
        );
        if written.is_ok() {
            target.row.idx_len += target.index.len() as u64;
        }
        target.index.clear();
        crate::crash_point!("append.after-index");
        Ok(())
    }

    /// Links messages of another folder (or account) of the store into `to`; gives pairs of (source, target) uids. The quota must have
    /// room for them, unless they are moved there from a folder of the same quota root.
    pub(super) fn append_copies(
        &mut self,
        account: AccountId,
        to: FolderId,
        sources: &[super::copy::Source],
        states: &super::copy::States,
        now_s: i64,
        moved_from: Option<FolderId>,
    ) -> Result<super::Copied, StoreError> {
        self.store.room(&self.store.settings.root)?;
        let row = self.open_folder(account, to)?;
        self.demand(account, &row, Rights::INSERT)?;
        // As for APPEND (RFC 4314 section 4).
        let (allowed, with_keywords) = super::acl::flags_of(self.rights(account, &row));
        let owner = rows::need_account(self.txn, account)?;
        if !self.is_one_root(account, &owner, moved_from, &row)? {
            let coming = Coming::of(sources.iter().map(|source| source.message.size));
            quota::admit(self.txn, &self.store.rules(), (account, &owner), &row, coming, now_s)?;
        }
        let dir = self.folder_dir(account, &owner.userid, &row)?;
        let mut target = Target { account, row, owner, modseq: 0, dir: &dir, index: Vec::new(), now_s };
        target.modseq = Tx::next_modseq(&mut target.owner);
        let mut pairs = Vec::with_capacity(sources.len());
        for source in sources {
            let (flags, keywords) = match states.get(&source.message.uid) {
                Some(now) => *now,
                None if !with_keywords => (source.flags, Keywords::default()),
                None => (source.flags, self.keyword_bits(account, &source.keywords)?),
            };
            let (flags, keywords) = (flags.and(allowed), if with_keywords { keywords } else { Keywords::default() });
            let uid = self.link(&mut target, &source.path).map_err(|error| source.gone_or(error))?;
            let place = dir.join(layout::message_file(uid));
            if let Some(nn) = place.parent().filter(|nn| self.extra.dirs.last().map(|last| last.as_path()) != Some(nn))
            {
                self.extra.dirs.push(dir.clone());
                self.extra.dirs.push(nn.to_owned());
            }
            let message = Message { uid, saved_s: now_s, entry: EntryPlace::default(), ..source.message.clone() };
            self.add(&mut target, message, &source.entry, flags, keywords)?;
            pairs.push((source.message.uid, uid));
        }
        crate::crash_point!("copy.after-link");
        self.write_index(&mut target)?;
        let Target { mut row, mut owner, modseq, .. } = target;
        row.highest_modseq = modseq;
        row.last_append_s = now_s;
        self.changed(account, &row)?;
        self.keep_quota_clock(account, &mut owner, false, Some(now_s))?;
        rows::put_account(self.txn, account, &owner)?;
        Ok(super::Copied { uidvalidity: row.uidvalidity, pairs })
    }
}
