//! Damage on purpose, for tests: compiled with the feature `failpoints` only.

use std::ops::ControlFlow;

use super::lmdb::Rows;
use super::schema::{self, SHARD, kind};
use super::{Account, AccountId, Folder, FolderId, Message, Store, StoreError, Uid, Usage, rows};

/// A row that is damaged.
#[derive(Clone, Copy, Debug)]
pub enum Row<'n> {
    /// The account's own.
    Account,
    /// A mailbox.
    Folder(FolderId),
    /// The name of a mailbox below another.
    Name(FolderId, &'n str),
    /// A message.
    Message(FolderId, Uid),
    /// The states of the chunk with this UID.
    State(FolderId, Uid),
    /// An expunged message.
    Gone(FolderId, Uid),
    /// What is remembered as expunged.
    Expunged(FolderId),
    /// A keyword by its number.
    Keyword(u8),
    /// A subscription.
    Subscription(&'n str),
    /// Everything of a mailbox but its names.
    All(FolderId),
    /// Everything of the account, and its name in the userid map.
    Everything,
}

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

    /// Flips a bit in the value of a row, or removes the row.
    ///
    /// # Errors
    /// The row does not exist, or the disk fails.
    pub fn spoil_row(&self, account: AccountId, row: Row<'_>, remove: bool) -> Result<(), StoreError> {
        if let Row::Everything = row {
            let userid = self.view(account)?.account()?.userid;
            self.forget_name(&userid, account)?;
        }
        self.change(account, |tx| {
            let mut keys: Vec<Vec<u8>> = Vec::new();
            tx.txn.scan(&schema::key(account, 0, FolderId::TOP, &[]), &mut |key, _| {
                if key.get(..8) != Some(&account.0.to_be_bytes()) {
                    return Ok(ControlFlow::Break(()));
                }
                if is_meant(account, row, key) {
                    keys.push(key.to_vec());
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if keys.is_empty() {
                return Err(StoreError::missing(format!("{row:?}")));
            }
            for key in keys {
                let mut value = tx.txn.get(&key)?.unwrap_or_default().to_vec();
                let at = value.len() / 2;
                if let Some(byte) = value.get_mut(at) {
                    *byte ^= 4;
                }
                if remove { tx.txn.del(&key).map(drop)? } else { tx.txn.put(&key, &value)? }
            }
            Ok(())
        })
    }

    /// Changes the row of a mailbox, an account, or a message to what cannot be so.
    ///
    /// # Errors
    /// It does not exist, or the disk fails.
    pub fn spoil_fields(
        &self,
        account: AccountId,
        folder: FolderId,
        change: &(dyn Fn(&mut Account, &mut Folder) + Sync),
    ) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            let mut row = rows::need_folder(tx.txn, account, folder)?;
            change(&mut owner, &mut row);
            rows::put_folder(tx.txn, account, &row)?;
            rows::put_account(tx.txn, account, &owner)
        })
    }

    /// Changes the row of a message.
    ///
    /// # Errors
    /// It does not exist, or the disk fails.
    pub fn spoil_message(
        &self,
        account: AccountId,
        folder: FolderId,
        uid: Uid,
        change: &(dyn Fn(&mut Message) + Sync),
    ) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut row = rows::message(tx.txn, account, folder, uid)?.ok_or(StoreError::Expunged { uid })?;
            change(&mut row);
            rows::put_message(tx.txn, account, folder, &row)
        })
    }

    /// Takes the name of an account out of the userid map.
    ///
    /// # Errors
    /// The disk fails.
    pub fn spoil_map(&self, userid: &str, account: AccountId) -> Result<(), StoreError> {
        self.forget_name(userid, account)
    }
}

fn is_meant(account: AccountId, row: Row<'_>, key: &[u8]) -> bool {
    debug_assert_ne!(account, SHARD);
    let within = |kind, folder| schema::within(key, account, kind, folder);
    match row {
        Row::Account => within(kind::ACCOUNT, FolderId::TOP),
        Row::Folder(folder) => within(kind::FOLDER, folder),
        Row::Name(above, name) => key == schema::name(account, above, name),
        Row::Message(folder, uid) => key == schema::message(account, folder, uid),
        Row::State(folder, uid) => key == schema::state(account, folder, uid),
        Row::Gone(folder, uid) => key == schema::gone(account, folder, uid),
        Row::Expunged(folder) => within(kind::EXPUNGED, folder),
        Row::Keyword(number) => key == schema::key(account, kind::KEYWORD, FolderId::TOP, &[number]),
        Row::Subscription(name) => key == schema::key(account, kind::SUBSCRIPTION, FolderId::TOP, name.as_bytes()),
        Row::All(folder) => schema::folder_of(key) == folder && key.get(8).is_some_and(|kind| *kind >= kind::FOLDER),
        Row::Everything => true,
    }
}
