//! Expunge: rows move to `GONE`, files stay until purge, so that messages can be brought back.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::flags::{Flags, Keywords, UidSet};
use super::ids::{AccountId, FolderId, Modseq, Uid};
use super::lmdb::Rows;
use super::name::FolderPath;
use super::record::{Gone, Rights, StateRun, push_run};
use super::{Store, Tx, layout, rows, schema};

/// How often a restore begins again because a purge was faster with some of its messages.
const RESTORE_TRIES: u32 = 20;

/// What an expunge removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expunged {
    /// The messages.
    pub uids: UidSet,
    /// The modification sequence of their removal; 0 when there was none.
    pub modseq: Modseq,
}

/// What somebody knew of a folder when messages of it were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The user id of the account.
    pub userid: String,
    /// The path of the folder.
    pub path: FolderPath,
    /// The partition it lies on.
    pub partition: String,
    /// Flags that the messages must still have.
    pub flags: Flags,
}

/// Those of these messages that have all of `flags`.
pub(super) fn marked<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    uids: &UidSet,
    flags: Flags,
) -> Result<UidSet, StoreError> {
    if flags == Flags::NONE {
        return Ok(uids.clone());
    }
    let mut marked = Vec::new();
    for (first, last) in uids.ranges() {
        rows::states(rows, account, folder, *first..=*last, &mut |run| {
            if run.flags.contains(flags) {
                marked.push((run.first, run.last()));
            }
        })?;
    }
    Ok(UidSet::from_ranges(marked))
}

impl Tx<'_, '_> {
    /// True while a folder has the name and the place that it had when messages of it were chosen.
    pub(super) fn is_still(&self, account: AccountId, folder: FolderId, chosen: &Chosen) -> Result<bool, StoreError> {
        let Some(row) = rows::folder(self.txn, account, folder)? else { return Ok(false) };
        Ok(row.partition == chosen.partition
            && rows::need_account(self.txn, account)?.userid == chosen.userid
            && rows::path(self.txn, account, &row)? == chosen.path)
    }
}

impl Store {
    /// Expunges the messages with \Deleted; with `only`, those among these UIDs (RFC 4315 2.1).
    ///
    /// # Errors
    /// The folder does not exist or is locked, or the disk fails.
    pub fn expunge(
        &self,
        account: AccountId,
        folder: FolderId,
        only: Option<&UidSet>,
        now_s: i64,
    ) -> Result<Expunged, StoreError> {
        self.change(account, |tx| {
            let mut marked = Vec::new();
            let mut see = |run: StateRun| {
                if run.flags.contains(Flags::DELETED) {
                    marked.push((run.first, run.last()));
                }
            };
            match only {
                None => rows::states(tx.txn, account, folder, 0..=Uid::MAX, &mut see)?,
                Some(only) => {
                    for (first, last) in only.ranges() {
                        rows::states(tx.txn, account, folder, *first..=*last, &mut see)?;
                    }
                }
            }
            tx.remove(account, folder, &UidSet::from_ranges(marked), now_s)
        })
    }

    /// Expunges these messages, whether \Deleted or not.
    ///
    /// # Errors
    /// As [`Store::expunge`].
    pub fn remove(
        &self,
        account: AccountId,
        folder: FolderId,
        uids: &UidSet,
        now_s: i64,
    ) -> Result<Expunged, StoreError> {
        self.change(account, |tx| tx.remove(account, folder, uids, now_s))
    }

    /// Expunges those of these messages that have all of `flags` now, if the folder is still what it was when somebody chose them: a mark that was
    /// taken back since, or another name of the folder, keeps a message.
    ///
    /// # Errors
    /// As [`Store::expunge`].
    pub fn remove_chosen(
        &self,
        account: AccountId,
        folder: FolderId,
        uids: &UidSet,
        chosen: &Chosen,
        now_s: i64,
    ) -> Result<Expunged, StoreError> {
        self.change(account, |tx| {
            if !tx.is_still(account, folder, chosen)? {
                return Ok(Expunged::default());
            }
            let marked = marked(tx.txn, account, folder, uids, chosen.flags)?;
            tx.remove(account, folder, &marked, now_s)
        })
    }

    /// Forgets which messages were expunged up to `modseq`, so that the list does not grow for ever; who asks from before that is told of all
    /// UIDs that are not there. Returns how many runs of UIDs were forgotten.
    ///
    /// # Errors
    /// The folder does not exist or is locked, or the disk fails.
    pub fn forget_expunged(&self, account: AccountId, folder: FolderId, modseq: Modseq) -> Result<u32, StoreError> {
        self.change(account, |tx| {
            let mut row = tx.open_folder(account, folder)?;
            let horizon = modseq.min(row.highest_modseq);
            let forgotten = tx.remove_rows(&schema::expunged(account, folder, 0, 0), &|key| {
                let at = schema::rest(key).first_chunk().map(|at| Modseq::from_be_bytes(*at));
                schema::within(key, account, schema::kind::EXPUNGED, folder) && at.is_some_and(|at| at <= horizon)
            })?;
            row.expunge_horizon = row.expunge_horizon.max(horizon);
            rows::put_folder(tx.txn, account, &row)?;
            Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
        })
    }

    /// Brings back expunged messages whose files are still there, expunged at or after `since_s`, under new UIDs. Returns how many.
    ///
    /// # Errors
    /// The folder does not exist or is locked, or the disk fails.
    pub fn restore(&self, account: AccountId, folder: FolderId, since_s: i64, now_s: i64) -> Result<u32, StoreError> {
        let mut tries = 0;
        loop {
            match self.restore_once(account, folder, since_s, now_s) {
                // A purge has marked some of them since they were read: the others come back.
                Err(StoreError::Expunged { .. }) if tries < RESTORE_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    fn restore_once(&self, account: AccountId, folder: FolderId, since_s: i64, now_s: i64) -> Result<u32, StoreError> {
        let place = std::sync::Arc::new(self.folder_place(account, folder)?);
        let dir = place.path();
        let view = self.view(account)?;
        let names = view.keywords()?;
        let mut gone = Vec::new();
        view.gone(folder, &mut |row| {
            if row.expunged_s >= since_s && !row.purging {
                gone.push(row);
            }
            ControlFlow::Continue(())
        })?;
        drop(view);
        let mut sources = Vec::new();
        for row in gone {
            let path = dir.join(layout::message_file(row.message.uid));
            // A purge may take it away meanwhile.
            let (Ok(scanned), Ok(guid)) = (super::index_file::scan_file(&path), super::check::guid_of(&path)) else {
                continue;
            };
            let keywords = row.keywords.bits().filter_map(|bit| names.get(bit).cloned()).collect();
            let mut message = row.message;
            message.size = scanned.size;
            message.header_size = scanned.header_size;
            message.sent_s = scanned.sent_date_s;
            message.guid = guid;
            sources.push(super::copy::Source {
                place: place.clone(),
                message,
                path,
                flags: row.flags.without(Flags::DELETED),
                keywords,
                entry: super::Entry::of(&scanned),
            });
        }
        if sources.is_empty() {
            return Ok(0);
        }
        self.change(account, |tx| {
            for source in &sources {
                let key = schema::gone(account, folder, source.message.uid);
                // The old file stays beside the new link until purge: its row is marked so that it is not brought back twice.
                let row = rows::gone(tx.txn, account, folder, source.message.uid)?.filter(|row| !row.purging);
                let mut row = row.ok_or(StoreError::Expunged { uid: source.message.uid })?;
                row.expunged_s = i64::MIN;
                rows::put(tx.txn, &key, row.encode())?;
            }
            let copied = tx.append_copies(account, folder, &sources, &super::copy::States::new(), now_s, None)?;
            Ok(u32::try_from(copied.pairs.len()).unwrap_or(u32::MAX))
        })
    }
}

impl Tx<'_, '_> {
    /// Expunges those of `uids` that exist.
    pub(super) fn remove(
        &mut self,
        account: AccountId,
        folder: FolderId,
        uids: &UidSet,
        now_s: i64,
    ) -> Result<Expunged, StoreError> {
        let mut row = self.open_folder(account, folder)?;
        self.demand(account, &row, Rights::DELETE)?;
        let mut owner = rows::need_account(self.txn, account)?;
        let modseq = owner.highest_modseq + 1;
        let mut removed = UidSet::new();
        for (base, runs) in rows::chunks_of(self.txn, account, folder, uids)? {
            let mut kept = Vec::with_capacity(runs.len());
            for run in runs {
                for uid in run.first..=run.last() {
                    if !uids.contains(uid) {
                        push_run(&mut kept, StateRun { first: uid, count: 1, ..run });
                        continue;
                    }
                    removed.insert(uid);
                    rows::count(&mut row, run.flags, 1, false);
                    self.retire(
                        account,
                        folder,
                        uid,
                        run.flags,
                        run.keywords,
                        now_s,
                        &mut row.bytes,
                        &mut owner.usage_bytes,
                    )?;
                    owner.usage_messages = owner.usage_messages.saturating_sub(1);
                }
            }
            rows::put_chunk(self.txn, account, folder, base, &kept)?;
        }
        if removed.is_empty() {
            return Ok(Expunged::default());
        }
        for (first, last) in removed.ranges() {
            rows::put(self.txn, &schema::expunged(account, folder, modseq, *first), last.to_le_bytes().to_vec())?;
        }
        owner.highest_modseq = modseq;
        row.highest_modseq = modseq;
        self.write_tombstone(&owner, account, &mut row, &removed);
        self.changed(account, &row)?;
        self.keep_quota_clock(account, &mut owner, true, Some(now_s))?;
        rows::put_account(self.txn, account, &owner)?;
        crate::crash_point!("expunge.after-rows");
        Ok(Expunged { uids: removed, modseq })
    }

    /// Moves the row of one message to `GONE`.
    #[allow(clippy::too_many_arguments)]
    fn retire(
        &mut self,
        account: AccountId,
        folder: FolderId,
        uid: Uid,
        flags: Flags,
        keywords: Keywords,
        now_s: i64,
        folder_bytes: &mut u64,
        usage: &mut u64,
    ) -> Result<(), StoreError> {
        let Some(message) = rows::message(self.txn, account, folder, uid)? else {
            return Ok(());
        };
        *folder_bytes = folder_bytes.saturating_sub(message.size);
        *usage = usage.saturating_sub(message.size);
        let gone = Gone { message, expunged_s: now_s, flags, keywords, purging: false };
        rows::put(self.txn, &schema::gone(account, folder, uid), gone.encode())?;
        self.txn.del(&schema::message(account, folder, uid))?;
        Ok(())
    }
}
