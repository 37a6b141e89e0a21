//! Accounts: the userid map in the common environment, the account's row and INBOX in its shard.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::error::StoreError;
use super::folder::CreateOptions;
use super::ids::{AccountId, FolderId};
use super::intent::Intent;
use super::lmdb::Rows;
use super::name::check_userid;
use super::record::{Access, Account, UserRow};
use super::schema::{self, SHARD, kind};
use super::{Store, Tx, codec, random, rows};

fn user_key(userid: &str) -> Vec<u8> {
    schema::key(SHARD, kind::USER, FolderId::TOP, userid.as_bytes())
}

impl Store {
    /// The account of a user id.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn account_id(&self, userid: &str) -> Result<Option<AccountId>, StoreError> {
        if userid.is_empty() || userid.len() > schema::REST_MAX {
            return Ok(None);
        }
        let Some(user) = self.inner.user(userid)? else {
            return Ok(None);
        };
        let Some(shard) = self.inner.shards.get(user.shard as usize) else {
            return Ok(None);
        };
        // The map may be ahead of the shard after a crash: the account's own row decides.
        let row = rows::account(&shard.env()?.read()?, user.account)?;
        if row.is_some() {
            super::lock(&self.inner.homes).insert(user.account, user.shard as usize);
        }
        Ok(row.filter(|row| row.userid == userid).map(|_| user.account))
    }

    /// Creates an account with its INBOX.
    ///
    /// # Errors
    /// `Exists`; the user id is not allowed; the partition does not exist; the disk fails.
    pub fn account_create(&self, userid: &str, partition: Option<&str>, now_s: i64) -> Result<AccountId, StoreError> {
        check_userid(userid)?;
        let exists = || StoreError::Exists { what: format!("user/{userid}/INBOX") };
        if self.account_id(userid)?.is_some() {
            return Err(exists());
        }
        let partition = partition.map_or_else(|| self.inner.default_partition(), str::to_owned);
        self.inner.partition(&partition)?;
        // The map first: it alone decides who has a name. A crash before the account's row is there leaves an entry that is taken over.
        let fresh = UserRow { account: AccountId(u64::from_be_bytes(random()?).max(1)), shard: self.next_shard()? };
        let claimed = self.inner.common.run(|txn, ()| {
            let key = user_key(userid);
            if let Some(bytes) = rows::value(txn, &key)? {
                let claimed = UserRow::decode(&bytes).map_err(|_| codec::damaged(&key))?;
                if !self.is_abandoned(&claimed, userid, false)? {
                    return Ok(claimed);
                }
            }
            rows::put(txn, &key, fresh.encode())?;
            Ok(fresh)
        })?;
        crate::crash_point!("account.after-map");
        let shard = self
            .inner
            .shards
            .get(claimed.shard as usize)
            .ok_or_else(|| StoreError::missing(format!("shard {}", claimed.shard)))?;
        let store = &*self.inner;
        let group = shard.group()?;
        let mut made = false;
        // In a write transaction of the map: a rename that is after the same name takes it before this or finds the account.
        self.inner.common.run(|map, ()| {
            if made {
                return Ok(());
            }
            let leads = rows::value(map, &user_key(userid))?.and_then(|bytes| UserRow::decode(&bytes).ok());
            if leads.is_none_or(|row| row.account != claimed.account) {
                return Err(exists());
            }
            group.run(|txn, extra| {
                let mut tx = Tx { txn, extra, store, who: None };
                if rows::account(tx.txn, claimed.account)?.is_some() {
                    return Err(exists());
                }
                let mut owner = Account {
                    userid: userid.to_owned(),
                    partition: partition.clone(),
                    created_s: now_s,
                    ..Account::default()
                };
                rows::put_account(tx.txn, claimed.account, &owner)?;
                tx.make_folder(claimed.account, &mut owner, None, "INBOX", &CreateOptions::default(), now_s)?;
                rows::put_account(tx.txn, claimed.account, &owner)?;
                crate::crash_point!("account.after-rows");
                Ok(())
            })?;
            made = true;
            Ok(())
        })?;
        super::lock(&self.inner.homes).insert(claimed.account, claimed.shard as usize);
        Ok(claimed.account)
    }

    /// True if a name in the userid map was claimed by a rename that died before it was written down: the account there has another name and nothing
    /// is under way in it. A name without an account was left by a creation: the next creation goes on with it, a rename takes it.
    fn is_abandoned(&self, claimed: &UserRow, userid: &str, renaming: bool) -> Result<bool, StoreError> {
        let Some(shard) = self.inner.shards.get(claimed.shard as usize) else { return Ok(false) };
        let read = shard.env()?.read()?;
        let Some(row) = rows::account(&read, claimed.account)? else { return Ok(renaming) };
        Ok(row.userid != userid && rows::value(&read, &super::intent::intent_key(claimed.account))?.is_none())
    }

    /// Claims a name in the userid map for an account that exists.
    pub(super) fn claim_name(&self, account: AccountId, userid: &str) -> Result<(), StoreError> {
        let shard = u32::try_from(self.inner.home_of(account)?).unwrap_or(0);
        self.inner.common.run(|txn, ()| {
            let key = user_key(userid);
            if let Some(bytes) = rows::value(txn, &key)? {
                let other = UserRow::decode(&bytes).map_err(|_| codec::damaged(&key))?;
                if other.account != account && !self.is_abandoned(&other, userid, true)? {
                    return Err(StoreError::Exists { what: format!("user/{userid}/INBOX") });
                }
            }
            rows::put(txn, &key, UserRow { account, shard }.encode())
        })
    }

    /// The shard of the next account, by chance.
    fn next_shard(&self) -> Result<u32, StoreError> {
        let chance = u32::from_be_bytes(random()?);
        Ok(chance % u32::try_from(self.inner.shards.len()).unwrap_or(1).max(1))
    }

    /// Every account, by user id. One whose row is damaged stands under the name that the userid map has for it.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn accounts(&self) -> Result<Vec<(String, AccountId)>, StoreError> {
        let mut found = BTreeMap::new();
        let mut homes = Vec::new();
        for (number, shard) in self.inner.shards.iter().enumerate() {
            rows::each_account(&shard.env()?.read()?, AccountId(1), &mut |id, row| {
                let userid = match row {
                    Some(row) => row.userid,
                    None => self.name_in_map(id)?.ok_or_else(|| codec::damaged(&schema::account(id)))?,
                };
                found.insert(userid, id);
                homes.push((id, number));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        super::lock(&self.inner.homes).extend(homes);
        Ok(found.into_iter().collect())
    }

    /// The name that leads to an account in the userid map.
    pub(super) fn name_in_map(&self, account: AccountId) -> Result<Option<String>, StoreError> {
        let mut name = None;
        self.inner.common_env.read()?.scan(&user_key(""), &mut |key, stored| {
            if !schema::within_kind(key, SHARD, kind::USER) {
                return Ok(ControlFlow::Break(()));
            }
            let row = codec::open(key, stored).ok().and_then(|bytes| UserRow::decode(bytes).ok());
            if row.is_some_and(|row| row.account == account) {
                name = String::from_utf8(schema::rest(key).to_vec()).ok();
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(name)
    }

    /// Gives an account another user id: its directory moves, its folders and messages stay what they are.
    ///
    /// # Errors
    /// `Exists` when the new id has an account; the id is not allowed; the disk fails.
    pub fn account_rename(&self, account: AccountId, userid: &str, now_s: i64) -> Result<(), StoreError> {
        let _ = now_s;
        check_userid(userid)?;
        if self.account_id(userid)?.is_some() {
            return Err(StoreError::Exists { what: format!("user/{userid}/INBOX") });
        }
        // The new name is claimed before anything moves; the account's own row does not answer to it yet.
        self.claim_name(account, userid)?;
        crate::crash_point!("account-rename.after-map");
        self.carry_out(account, Intent::RenameAccount { userid: userid.to_owned() })
    }

    /// Deletes an account with all its folders. Its files stay below `.removed` of the partition until purge.
    ///
    /// # Errors
    /// It does not exist or is locked, or the disk fails.
    pub fn account_delete(&self, account: AccountId, now_s: i64) -> Result<(), StoreError> {
        let _ = now_s;
        self.carry_out(account, Intent::DeleteAccount)
    }

    /// Remembers that an account is used now. Written at most once an hour: a login must not cost a commit each time.
    ///
    /// # Errors
    /// It does not exist, or the disk fails.
    pub fn note_access(&self, account: AccountId, by: Access, now_s: i64) -> Result<(), StoreError> {
        let recent = |row: &Account| (0..3600).contains(&now_s.saturating_sub(last(row, by)));
        if recent(&self.view(account)?.account()?) {
            return Ok(());
        }
        self.change(account, |tx| {
            let mut row = rows::need_account(tx.txn, account)?;
            if let Some(time) = row.last_access_s.get_mut(by as usize) {
                *time = now_s;
            }
            rows::put_account(tx.txn, account, &row)
        })
    }

    /// Remembers that an account is polled now, unless that is less than `least_s` seconds after the last time: then nothing is written, and the
    /// seconds that are left are returned. Of two polls at one time one is let through.
    ///
    /// # Errors
    /// It does not exist, or the disk fails.
    pub fn note_poll(
        &self,
        account: AccountId,
        by: Access,
        now_s: i64,
        least_s: i64,
    ) -> Result<Option<i64>, StoreError> {
        // A clock that was put back must not lock the user out.
        let left = |row: &Account| {
            let since_s = now_s.saturating_sub(last(row, by));
            (0..least_s).contains(&since_s).then(|| least_s - since_s)
        };
        if let Some(left_s) = left(&self.view(account)?.account()?) {
            return Ok(Some(left_s));
        }
        self.change(account, |tx| {
            let mut row = rows::need_account(tx.txn, account)?;
            if let Some(left_s) = left(&row) {
                return Ok(Some(left_s));
            }
            if let Some(time) = row.last_access_s.get_mut(by as usize) {
                *time = now_s;
            }
            rows::put_account(tx.txn, account, &row)?;
            Ok(None)
        })
    }

    /// Takes a name out of the userid map, if it leads to this account.
    pub(super) fn forget_name(&self, userid: &str, account: AccountId) -> Result<(), StoreError> {
        self.inner.common.run(|txn, ()| {
            let key = user_key(userid);
            let leads_here = rows::value(txn, &key)?
                .and_then(|bytes| UserRow::decode(&bytes).ok())
                .is_some_and(|row| row.account == account);
            if leads_here { txn.del(&key).map(|_| ()) } else { Ok(()) }
        })
    }
}

/// When an account was used last by one of the ways.
fn last(row: &Account, by: Access) -> i64 {
    row.last_access_s.get(by as usize).copied().unwrap_or(0)
}
