//! Damage on purpose, for tests: compiled with the feature `failpoints` only.

use super::{AccountId, FolderId, Store, StoreError, Usage, rows, schema};

impl Store {
    /// Records another usage of a folder than its messages have, and the sum of it with the account.
    ///
    /// # Errors
    /// The folder does not exist, or the disk fails.
    pub fn spoil_usage(&self, account: AccountId, folder: FolderId, usage: Usage) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            let mut row = rows::need_folder(tx.txn, account, folder)?;
            let exists = u32::try_from(usage.messages).unwrap_or(u32::MAX);
            owner.usage_bytes = owner.usage_bytes.saturating_sub(row.bytes).saturating_add(usage.bytes);
            owner.usage_messages =
                owner.usage_messages.saturating_sub(u64::from(row.exists)).saturating_add(usage.messages);
            (row.bytes, row.exists) = (usage.bytes, exists);
            rows::put_folder(tx.txn, account, &row)?;
            rows::put_account(tx.txn, account, &owner)
        })
    }

    /// Leaves rows of a domain that cannot be read.
    ///
    /// # Errors
    /// The disk fails.
    pub fn spoil_domain(&self, domain: &str) -> Result<(), StoreError> {
        for shard in &self.inner.shards {
            shard.group()?.run(|txn, _| rows::put(txn, &schema::domain(domain), vec![0xff]))?;
        }
        Ok(())
    }

    /// Records another usage of an account than its folders have.
    ///
    /// # Errors
    /// The account does not exist, or the disk fails.
    pub fn spoil_account_usage(&self, account: AccountId, usage: Usage) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            (owner.usage_bytes, owner.usage_messages) = (usage.bytes, usage.messages);
            rows::put_account(tx.txn, account, &owner)
        })
    }
}
