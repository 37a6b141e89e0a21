//! REPLACE (RFC 8508): a message takes the place of another one, in one change.

use super::append::{Appended, NewMessage};
use super::error::StoreError;
use super::flags::UidSet;
use super::ids::{AccountId, FolderId, Uid};
use super::{Store, rows};

impl Store {
    /// Appends a message to the folder `to` and expunges message `uid` of the folder `from`, both or neither. The room of the old one is there for the
    /// new one.
    ///
    /// # Errors
    /// As [`Store::append`]; `Expunged` when there is no such message any more.
    pub fn replace(
        &self,
        account: AccountId,
        (from, uid): (FolderId, Uid),
        to: FolderId,
        item: &NewMessage<'_>,
        now_s: i64,
    ) -> Result<Appended, StoreError> {
        item.staged.sync()?;
        crate::crash_point!("replace.after-sync");
        self.change(account, |tx| {
            if rows::message(tx.txn, account, from, uid)?.is_none() {
                return Err(StoreError::Expunged { uid });
            }
            let roots = tx.quota_roots(account)?;
            tx.remove(account, from, &UidSet::one(uid), now_s)?;
            crate::crash_point!("replace.after-remove");
            let appended = tx.append(account, to, std::slice::from_ref(item), false, now_s)?;
            tx.hand_clocks_on(account, &roots)?;
            Ok(appended)
        })
    }
}
