//! The end of a POP session: what it retrieved and what it deleted, in one transaction.

use super::error::StoreError;
use super::expunge::Expunged;
use super::flags::{Flags, UidSet};
use super::ids::{AccountId, FolderId};
use super::record::Rights;
use super::state::{FlagChange, FlagOp};
use super::{Store, rows};

impl Store {
    /// Gives the messages `seen` the flag \Seen and expunges those of `deleted`: all of it is durable, or none. UIDs that do not exist any more
    /// are passed over.
    ///
    /// # Errors
    /// The folder does not exist or is locked, or the disk fails: nothing has changed then.
    pub fn close_maildrop(
        &self,
        account: AccountId,
        folder: FolderId,
        seen: &UidSet,
        deleted: &UidSet,
        now_s: i64,
    ) -> Result<Expunged, StoreError> {
        let kept = seen.difference(deleted);
        let change = FlagChange { op: FlagOp::Add, flags: Flags::SEEN, keywords: Vec::new() };
        if deleted.is_empty() && !self.has_unseen(account, folder, &kept)? {
            // A client that leaves its mail here and looks every minute costs no commit.
            return Ok(Expunged::default());
        }
        self.change(account, |tx| {
            let row = rows::need_folder(tx.txn, account, folder)?;
            // Who may not mark messages as seen may remove them all the same.
            if !kept.is_empty() && tx.rights(account, &row).contains(Rights::SEEN) {
                tx.store_flags(account, folder, &kept, &change, None)?;
            }
            if deleted.is_empty() { Ok(Expunged::default()) } else { tx.remove(account, folder, deleted, now_s) }
        })
    }

    fn has_unseen(&self, account: AccountId, folder: FolderId, uids: &UidSet) -> Result<bool, StoreError> {
        let view = self.view(account)?;
        let mut unseen = false;
        for (first, last) in uids.ranges() {
            view.states(folder, *first..=*last, &mut |run| unseen |= !run.flags.contains(Flags::SEEN))?;
        }
        Ok(unseen)
    }
}
