//! Who reads the folders of others, and since when not any more (the original's `peruser` database): a row for each reader of a folder, written when
//! he selects it, at most once an hour.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::lmdb::Rows;
use super::name::MailboxName;
use super::schema::{self, kind};
use super::{Store, codec, rows};

/// A row is not written again within this time, seconds.
const PAUSE_S: i64 = 3600;

/// The readers of a folder: accounts, and when each selected it last, seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readers {
    /// The folder.
    pub mailbox: MailboxName,
    /// Somebody else than the owner may look it up.
    pub shared: bool,
    /// Its readers; the owner is none.
    pub readers: Vec<(AccountId, i64)>,
}

/// When a reader selected a folder, from the value of its row.
pub(super) fn decode(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_le_bytes)
}

/// The readers in an account, by folder. A row that cannot be read is passed over.
fn of_account<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
) -> Result<BTreeMap<FolderId, Vec<(AccountId, i64)>>, StoreError> {
    let mut found: BTreeMap<FolderId, Vec<(AccountId, i64)>> = BTreeMap::new();
    rows.scan(&schema::key(account, kind::READER, FolderId::TOP, &[]), &mut |key, stored| {
        if !schema::within_kind(key, account, kind::READER) {
            return Ok(ControlFlow::Break(()));
        }
        let reader = schema::rest(key).first_chunk().map(|bytes| AccountId(u64::from_be_bytes(*bytes)));
        let at = codec::open(key, stored).ok().and_then(decode);
        if let (Some(reader), Some(at)) = (reader, at) {
            found.entry(schema::folder_of(key)).or_default().push((reader, at));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

impl Store {
    /// Remembers that the user who acts selects a folder now, unless it is his own or that was noted within the last hour.
    ///
    /// # Errors
    /// The account does not exist, or the disk fails.
    pub fn note_reader(&self, account: AccountId, folder: FolderId, now_s: i64) -> Result<(), StoreError> {
        let Some(who) = self.who.as_ref().filter(|who| who.account != account && !who.stranger) else { return Ok(()) };
        let key = schema::reader(account, folder, who.account);
        let noted = self.view(account)?.reader(folder, who.account)?;
        if noted.is_some_and(|at| (0..PAUSE_S).contains(&now_s.saturating_sub(at))) {
            return Ok(());
        }
        self.change(account, |tx| match rows::folder(tx.txn, account, folder)? {
            Some(_) => rows::put(tx.txn, &key, now_s.to_le_bytes().to_vec()),
            // It was deleted meanwhile.
            None => Ok(()),
        })
    }

    /// The folders that somebody else may look up or reads, with their readers, account by account. An account that cannot be read is passed over.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn each_shared(&self, visit: &mut dyn FnMut(Readers) -> ControlFlow<()>) -> Result<(), StoreError> {
        for (owner, account) in self.accounts()? {
            let Ok(view) = self.view(account) else { continue };
            let mut readers = of_account(&view.read, account)?;
            let Ok(folders) = view.folders() else { continue };
            for (path, folder) in folders {
                let readers = readers.remove(&folder.id).unwrap_or_default();
                let shared = super::lookup::is_shared(&owner, &folder.acl);
                if shared || !readers.is_empty() {
                    let mailbox = MailboxName { owner: owner.clone(), folder: path };
                    if visit(Readers { mailbox, shared, readers }).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets the readers of an account's folders who have selected them before `before_s` only; returns how many that were.
    ///
    /// # Errors
    /// The account does not exist, or the disk fails.
    pub fn forget_readers(&self, account: AccountId, before_s: i64) -> Result<usize, StoreError> {
        let old = |(_, at): &&(AccountId, i64)| *at < before_s;
        let known = of_account(&self.view(account)?.read, account)?;
        if !known.values().flatten().any(|reader| old(&reader)) {
            return Ok(0);
        }
        self.change(account, |tx| {
            let mut gone = 0;
            // As they are now: one of them may have come back meanwhile.
            for (folder, readers) in of_account(tx.txn, account)? {
                for (reader, _) in readers.iter().filter(old) {
                    tx.txn.del(&schema::reader(account, folder, *reader))?;
                    gone += 1;
                }
            }
            Ok(gone)
        })
    }
}

impl super::View<'_> {
    /// When a reader selected a folder last.
    fn reader(&self, folder: FolderId, reader: AccountId) -> Result<Option<i64>, StoreError> {
        let key = schema::reader(self.account, folder, reader);
        // A row that cannot be read is written anew.
        Ok(self.read.get(&key)?.and_then(|stored| codec::open(&key, stored).ok()).and_then(decode))
    }
}
