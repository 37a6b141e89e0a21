//! Flags and keywords: STORE.

use std::collections::HashMap;

use super::error::StoreError;
use super::flags::{Flags, Keywords, UidSet};
use super::ids::{AccountId, FolderId, Modseq, Uid};
use super::record::{Folder, StateRun, push_run};
use super::{Store, Tx, rows};

/// Up to which UID messages were \Recent for a session of this process, where that is not written yet.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    known: HashMap<(AccountId, FolderId), Uid>,
    /// How often something was forgotten because it is written.
    forgotten: u64,
}

/// What is done with the flags named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOp {
    /// Set these, keep the others.
    Add,
    /// Clear these, keep the others.
    Remove,
    /// Set exactly these.
    Replace,
}

/// A change of flags.
#[derive(Clone, Debug)]
pub struct FlagChange {
    /// How.
    pub op: FlagOp,
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<String>,
}

/// What a change of flags did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The new modification sequence of what changed; 0 when nothing did.
    pub modseq: Modseq,
    /// The folder's modification sequence before: nothing changed between the two but what this call did.
    pub since: Modseq,
    /// The messages whose flags are different now.
    pub changed: UidSet,
    /// What those were before: who knows the mailbox up to a modification sequence sees here what it has not seen yet.
    pub before: Vec<StateRun>,
    /// The messages left alone because they had changed since the modification sequence the caller named (RFC 7162 3.1.3).
    pub refused: UidSet,
}

impl Stored {
    /// The changed messages about which somebody who knows all up to `modseq` knows all now: not those that others had changed since.
    pub fn followed_from(&self, modseq: Modseq) -> UidSet {
        let unseen = self.before.iter().filter(|run| run.modseq > modseq);
        self.changed.difference(&UidSet::from_ranges(unseen.map(|run| (run.first, run.last()))))
    }
}

impl FlagChange {
    /// The flags after the change. Those outside of `allowed` stay, as do keywords where they are not allowed.
    fn apply(&self, run: &StateRun, keywords: Keywords, allowed: (Flags, bool)) -> (Flags, Keywords) {
        let flags = match self.op {
            FlagOp::Add => run.flags | self.flags,
            FlagOp::Remove => run.flags.without(self.flags),
            FlagOp::Replace => self.flags,
        };
        let keywords = match self.op {
            _ if !allowed.1 => run.keywords,
            FlagOp::Add => Keywords(run.keywords.0 | keywords.0),
            FlagOp::Remove => Keywords(run.keywords.0 & !keywords.0),
            FlagOp::Replace => keywords,
        };
        (run.flags.without(allowed.0) | flags.and(allowed.0), keywords)
    }

    /// True if the change is about none of the allowed flags, though it is about some. A replacement is about all.
    fn is_denied(&self, allowed: (Flags, bool)) -> bool {
        let named = self.op == FlagOp::Replace || self.flags != Flags::NONE || !self.keywords.is_empty();
        let flags = if self.op == FlagOp::Replace { allowed.0 } else { self.flags.and(allowed.0) };
        let keywords = allowed.1 && (self.op == FlagOp::Replace || !self.keywords.is_empty());
        named && flags == Flags::NONE && !keywords
    }
}

impl Store {
    /// Changes flags of messages; UIDs that do not exist are passed over, and so are flags that whoever acts may not change, unless there are no
    /// others (RFC 4314 section 4).
    ///
    /// # Errors
    /// Whoever acts may change none of the flags; the folder does not exist or is locked, there are too many keywords, or the disk fails.
    pub fn store_flags(
        &self,
        account: AccountId,
        folder: FolderId,
        uids: &UidSet,
        change: &FlagChange,
        unchanged_since: Option<Modseq>,
    ) -> Result<Stored, StoreError> {
        self.change(account, |tx| tx.store_flags(account, folder, uids, change, unchanged_since))
    }

    /// The first UID that is \Recent for the session that asks now, which knows the messages of `folder` as the row says: nobody else is told of these
    /// again (RFC 9051 2.3.2, RFC 3501 2.3.2). Kept in this process, written with the next change of the folder's state by a session that ends.
    ///
    /// # Errors
    /// The folder does not exist.
    pub fn claim_recent(&self, account: AccountId, folder: &Folder) -> Result<Uid, StoreError> {
        let mut row_says = None;
        loop {
            let forgotten = {
                let mut recent = super::lock(&self.inner.recent);
                let known = match row_says {
                    Some((first, forgotten)) if forgotten == recent.forgotten => {
                        Some(recent.known.entry((account, folder.id)).or_insert(first))
                    }
                    _ => recent.known.get_mut(&(account, folder.id)),
                };
                if let Some(known) = known {
                    let first = (*known).max(folder.recent_from);
                    // No further than the caller has seen, and never back: another session may have seen more.
                    *known = first.max(folder.uidnext);
                    return Ok(first);
                }
                recent.forgotten
            };
            // Read now, as what was claimed may have been written, and forgotten here, since the caller read its row; and without the lock, for
            // which those wait who have a snapshot.
            let row = self.view(account)?.folder(folder.id)?.ok_or_else(|| StoreError::missing("the mailbox"))?;
            row_says = Some((row.recent_from, forgotten));
        }
    }

    /// The first UID that nobody has claimed as \Recent: for who looks without claiming (EXAMINE, STATUS).
    pub fn recent_from(&self, account: AccountId, folder: &Folder) -> Uid {
        let recent = super::lock(&self.inner.recent);
        recent.known.get(&(account, folder.id)).map_or(folder.recent_from, |known| folder.recent_from.max(*known))
    }

    /// Writes what [`Store::claim_recent`] gave out for this folder, unless it is written already.
    ///
    /// # Errors
    /// The disk fails.
    pub fn settle_recent(&self, account: AccountId, folder: FolderId) -> Result<(), StoreError> {
        let claimed = super::lock(&self.inner.recent).known.get(&(account, folder)).copied();
        let Some(claimed) = claimed else {
            return Ok(());
        };
        let row = self.view(account)?.folder(folder)?;
        if row.is_some_and(|row| row.recent_from < claimed) {
            self.change(account, |tx| {
                let Some(mut row) = rows::folder(tx.txn, account, folder)? else {
                    return Ok(());
                };
                row.recent_from = row.recent_from.max(claimed);
                rows::put_folder(tx.txn, account, &row)
            })?;
        }
        // Not before it is written: a session that asks meanwhile would be told of the same messages.
        let mut recent = super::lock(&self.inner.recent);
        if recent.known.get(&(account, folder)) == Some(&claimed) {
            recent.known.remove(&(account, folder));
            recent.forgotten += 1;
        }
        Ok(())
    }
}

impl Tx<'_, '_> {
    pub(super) fn store_flags(
        &mut self,
        account: AccountId,
        folder: FolderId,
        uids: &UidSet,
        change: &FlagChange,
        unchanged_since: Option<Modseq>,
    ) -> Result<Stored, StoreError> {
        let mut row = self.open_folder(account, folder)?;
        let mut owner = rows::need_account(self.txn, account)?;
        let allowed = super::acl::flags_of(self.rights(account, &row));
        if change.is_denied(allowed) {
            return Err(StoreError::Denied);
        }
        let keywords = match change.op {
            _ if !allowed.1 => Keywords::default(),
            FlagOp::Remove => rows::known_bits(self.txn, account, &change.keywords)?,
            _ => self.keyword_bits(account, &change.keywords)?,
        };
        let modseq = owner.highest_modseq + 1;
        let mut stored = Stored { modseq, since: row.highest_modseq, ..Stored::default() };
        for (base, runs) in rows::chunks_of(self.txn, account, folder, uids)? {
            let mut after = Vec::with_capacity(runs.len());
            let mut touched = false;
            for run in runs {
                for (first, last, inside) in split(&run, uids) {
                    let piece = StateRun { first, count: last - first + 1, ..run };
                    let (flags, bits) = change.apply(&run, keywords, allowed);
                    let same = (flags, bits) == (run.flags, run.keywords);
                    if !inside || same {
                        push_run(&mut after, piece);
                    } else if unchanged_since.is_some_and(|since| run.modseq > since) {
                        stored.refused.insert_range(first, last);
                        push_run(&mut after, piece);
                    } else {
                        stored.changed.insert_range(first, last);
                        push_run(&mut stored.before, piece);
                        rows::count(&mut row, run.flags, piece.count, false);
                        rows::count(&mut row, flags, piece.count, true);
                        push_run(&mut after, StateRun { flags, keywords: bits, modseq, ..piece });
                        touched = true;
                    }
                    if inside && same && unchanged_since.is_some_and(|since| run.modseq > since) {
                        stored.refused.insert_range(first, last);
                    }
                }
            }
            if touched {
                rows::put_chunk(self.txn, account, folder, base, &after)?;
            }
        }
        if stored.changed.is_empty() {
            stored.modseq = 0;
            return Ok(stored);
        }
        owner.highest_modseq = modseq;
        row.highest_modseq = modseq;
        rows::put_account(self.txn, account, &owner)?;
        self.changed(account, &row)?;
        crate::crash_point!("flags.after-rows");
        Ok(stored)
    }
}

/// Cuts a run into pieces (first, last, whether in the set).
fn split(run: &StateRun, uids: &UidSet) -> Vec<(Uid, Uid, bool)> {
    let mut pieces = Vec::new();
    let mut at = run.first;
    let end = run.last();
    let start = uids.ranges().partition_point(|range| range.1 < at);
    for (first, last) in uids.ranges().iter().skip(start).take_while(|range| range.0 <= end) {
        let (first, last) = ((*first).max(at), (*last).min(end));
        if at < first {
            pieces.push((at, first - 1, false));
        }
        pieces.push((first, last, true));
        let Some(next) = last.checked_add(1) else { return pieces };
        at = next;
    }
    if at <= end {
        pieces.push((at, end, false));
    }
    pieces
}
