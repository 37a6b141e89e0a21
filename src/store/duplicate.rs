//! What was delivered already: where that is wanted, a message that comes to a folder twice within some time is put there once.
//!
//! Two rows remember a delivery, put in its own transaction: `DELIVERED` in the account, by folder and identity, and `DELIVERED_AT` in the
//! shard, by time, through which both are forgotten: some by each delivery that remembers one, the rest by stored.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::ControlFlow;

use super::append::{Appended, Delivery, NewMessage};
use super::body::Staged;
use super::codec::{Reader, Writer};
use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::lmdb::Rows;
use super::record::Rights;
use super::schema::{self, SHARD, kind};
use super::{Store, Tx, rows};

/// Old deliveries that one delivery forgets: more than it adds, so that they do not pile up.
const FORGOTTEN_EACH: usize = 4;
/// Those that stored forgets in one transaction.
const FORGOTTEN_BATCH: usize = 1000;

/// A message by its Message-ID and what follows its header: trace fields that are put before it on each way do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity([u8; 16]);

/// A remembered delivery, by its row in the shard.
struct Remembered {
    key: Vec<u8>,
    account: AccountId,
    folder: FolderId,
    identity: Identity,
    at_s: i64,
}

impl Staged {
    /// What it is compared by; `None` for a message without a Message-ID, which is never taken for another.
    pub(super) fn identity(&self) -> Result<Option<Identity>, StoreError> {
        let Some(id) = self.scanned.message_id.as_ref().filter(|id| !id.is_empty()) else { return Ok(None) };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(id.len() as u64).to_be_bytes()).update(id.as_bytes());
        File::open(self.path())
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(self.scanned.header_size))?;
                hasher.update_reader(file).map(drop)
            })
            .map_err(|error| StoreError::io("read", self.path(), error))?;
        Ok(hasher.finalize().as_bytes().first_chunk().copied().map(Identity))
    }
}

impl Store {
    /// To which places a message came already ([`Delivery::once_s`]): for who has to know before [`Store::deliver`], which looks itself.
    /// Where that cannot be read it did not; the delivery tells what is wrong.
    pub fn came_already(&self, staged: &Staged, to: &[Delivery], now_s: i64) -> Vec<bool> {
        let identity = if to.iter().any(|one| one.once_s > 0) { staged.identity() } else { Ok(None) };
        let Ok(Some(identity)) = identity else { return vec![false; to.len()] };
        let came = |one: &Delivery| -> Result<bool, StoreError> {
            came_within(&self.shard_of(one.account)?.env()?.read()?, one, identity, now_s)
        };
        to.iter().map(|one| came(one).unwrap_or(false)).collect()
    }

    /// Forgets the deliveries before `before_s` (seconds since 1970); returns how many.
    ///
    /// # Errors
    /// The mailbox database cannot be read or written.
    pub fn forget_delivered(&self, before_s: i64) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for shard in &self.inner.shards {
            // Nothing is written where nothing is old.
            while !remembered(&shard.env()?.read()?, before_s, 1)?.is_empty() {
                let store = &*self.inner;
                forgotten += shard.group()?.run(|txn, extra| {
                    Tx { txn, extra, store, who: None }.forget_delivered(before_s, FORGOTTEN_BATCH)
                })?;
            }
        }
        Ok(forgotten)
    }
}

impl Tx<'_, '_> {
    /// Appends a message to a folder; `Ok(None)`: it came already, and nothing was done. `identity`: what it is compared by.
    pub(super) fn deliver(
        &mut self,
        to: &Delivery,
        item: &NewMessage<'_>,
        identity: Option<Identity>,
        now_s: i64,
    ) -> Result<Option<Appended>, StoreError> {
        let identity = identity.filter(|_| to.once_s > 0);
        if let Some(identity) = identity {
            let row = self.open_folder(to.account, to.folder)?;
            self.demand(to.account, &row, Rights::INSERT)?;
            if came_within(self.txn, to, identity, now_s)? {
                return Ok(None);
            }
        }
        let items = std::slice::from_ref(item);
        let appended = self.append(to.account, to.folder, items, to.ignore_quota, now_s)?;
        if let Some(identity) = identity {
            let record = Writer::new(1).i64(now_s).finish();
            rows::put(self.txn, &schema::delivered(to.account, to.folder, &identity.0), record)?;
            let by_time = schema::delivered_at(now_s, to.account, to.folder, &identity.0);
            rows::put(self.txn, &by_time, Writer::new(1).finish())?;
            self.forget_delivered(now_s.saturating_sub(i64::from(to.once_s)), FORGOTTEN_EACH)?;
            crate::crash_point!("deliver.after-identity");
        }
        Ok(Some(appended))
    }

    fn forget_delivered(&mut self, before_s: i64, most: usize) -> Result<usize, StoreError> {
        let old = remembered(self.txn, before_s, most)?;
        for one in &old {
            self.txn.del(&one.key)?;
            // The same message may have come again since, after its time: that is remembered by another row.
            let newest = delivered(self.txn, one.account, one.folder, one.identity)?;
            // One that cannot be read is of no use.
            if newest.is_none_or(|at_s| at_s <= one.at_s) {
                self.txn.del(&schema::delivered(one.account, one.folder, &one.identity.0))?;
            }
        }
        Ok(old.len())
    }
}

/// Whether a message came to a place within its time. A clock that was put back by far does not make everything a duplicate.
fn came_within<R: Rows + ?Sized>(rows: &R, to: &Delivery, identity: Identity, now_s: i64) -> Result<bool, StoreError> {
    let came = delivered(rows, to.account, to.folder, identity)?;
    Ok(came.is_some_and(|at_s| now_s.abs_diff(at_s) < u64::from(to.once_s)))
}

/// When a message was delivered to a folder last, as far as that is remembered.
fn delivered<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    identity: Identity,
) -> Result<Option<i64>, StoreError> {
    match rows::value(rows, &schema::delivered(account, folder, &identity.0)) {
        // A row that cannot be read remembers nothing: it keeps no mail away.
        Err(StoreError::Corrupt { .. }) => Ok(None),
        found => Ok(found?.and_then(|bytes| Reader::new(&bytes, 1).and_then(|mut r| r.i64()).ok())),
    }
}

/// The oldest deliveries before a time, at most so many.
fn remembered<R: Rows + ?Sized>(rows: &R, before_s: i64, most: usize) -> Result<Vec<Remembered>, StoreError> {
    let mut found = Vec::new();
    let from = schema::key(SHARD, kind::DELIVERED_AT, FolderId::TOP, &[]);
    rows.scan(&from, &mut |key, _| {
        if !schema::within_kind(key, SHARD, kind::DELIVERED_AT) || found.len() >= most {
            return Ok(ControlFlow::Break(()));
        }
        match read(key) {
            Some(one) if one.at_s >= before_s => return Ok(ControlFlow::Break(())),
            one => found.extend(one),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn read(key: &[u8]) -> Option<Remembered> {
    let (time, rest) = schema::rest(key).split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let (folder, rest) = rest.split_first_chunk()?;
    Some(Remembered {
        key: key.to_vec(),
        account: AccountId(u64::from_be_bytes(*account)),
        folder: FolderId(u32::from_be_bytes(*folder)),
        identity: Identity(rest.try_into().ok()?),
        at_s: schema::time_of(*time),
    })
}
