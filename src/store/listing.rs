//! The accounts one after another, by user id, without holding all of them.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::lmdb::Rows;
use super::record::{Account, UserRow};
use super::schema::{self, SHARD, kind};
use super::{Store, codec, rows};

/// Accounts that are read with one snapshot.
const PAGE: usize = 128;

/// An account with its row.
pub type Found = Result<(AccountId, Account), StoreError>;

/// Called with a user id and its account, or with why that cannot be read; breaks to end the listing.
pub type EachAccount<'v> = dyn FnMut(&str, Found) -> ControlFlow<()> + 'v;

impl Store {
    /// Visits every account, by user id. No snapshot is open while `visit` runs, so that it may take its time; an account that is made, renamed or
    /// deleted meanwhile may be missed. One whose row is damaged is visited with the error.
    ///
    /// # Errors
    /// The userid map cannot be read.
    pub fn each_account(&self, visit: &mut EachAccount<'_>) -> Result<(), StoreError> {
        let mut from = schema::key(SHARD, kind::USER, FolderId::TOP, &[]);
        loop {
            let names = self.names_from(&from)?;
            let full = names.len() == PAGE;
            if let Some((last, _)) = names.last() {
                from = schema::key(SHARD, kind::USER, FolderId::TOP, last.as_bytes());
                from.push(0);
            }
            for (userid, found) in self.accounts_of(names) {
                if visit(&userid, found).is_break() {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// A page of the userid map.
    fn names_from(&self, from: &[u8]) -> Result<Vec<(String, UserRow)>, StoreError> {
        let mut names = Vec::with_capacity(PAGE);
        self.inner.common_env.read()?.scan(from, &mut |key, stored| {
            if names.len() == PAGE || !schema::within_kind(key, SHARD, kind::USER) {
                return Ok(ControlFlow::Break(()));
            }
            let name = String::from_utf8(schema::rest(key).to_vec()).map_err(|_| codec::damaged(key))?;
            let row = UserRow::decode(codec::open(key, stored)?).map_err(|_| codec::damaged(key))?;
            names.push((name, row));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    /// The accounts of a page. A name without an account, or with one that has another name, is one that a creation or a rename has claimed.
    fn accounts_of(&self, names: Vec<(String, UserRow)>) -> Vec<(String, Found)> {
        let mut reads: Vec<_> = self.inner.shards.iter().map(|_| None).collect();
        let mut found = Vec::with_capacity(names.len());
        for (userid, UserRow { account, shard }) in names {
            let number = shard as usize;
            let (Some(shard), Some(slot)) = (self.inner.shards.get(number), reads.get_mut(number)) else { continue };
            let row = match slot {
                Some(read) => rows::account(read, account),
                None => {
                    shard.env().and_then(|env| env.read()).and_then(|read| rows::account(slot.insert(read), account))
                }
            };
            match row {
                Ok(Some(row)) if row.userid == userid => found.push((userid, Ok((account, row)))),
                Ok(_) => {}
                Err(error) => found.push((userid, Err(error))),
            }
        }
        found
    }
}
