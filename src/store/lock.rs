//! Locks of folders and accounts: a row that names its holder. Writers look at it inside their transaction; a lock whose process is gone is void.

use std::time::Duration;

use super::codec::{Reader, Writer};
use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::schema::{self, kind};
use super::{Store, Tx, rows};
use crate::os::process::Identity;

/// How often a writer looks again before it gives up on a locked folder.
const TRIES: u32 = 100;
/// How long it waits in between.
const PAUSE: Duration = Duration::from_millis(100);

/// A lock on a folder (or, at [`FolderId::TOP`], on an account). Dropped, it is given back.
pub struct FolderLock {
    store: Store,
    account: AccountId,
    folder: FolderId,
}

fn key(account: AccountId, folder: FolderId) -> Vec<u8> {
    schema::key(account, kind::LOCK, folder, &[])
}

fn holder(tx: &Tx<'_, '_>, account: AccountId, folder: FolderId) -> Result<Option<(Identity, String)>, StoreError> {
    let Some(bytes) = rows::value(tx.txn, &key(account, folder))? else {
        return Ok(None);
    };
    let read = || -> Result<(Identity, String), super::codec::Malformed> {
        let mut r = Reader::new(&bytes, 1)?;
        Ok((Identity { pid: r.u32()?.cast_signed(), started: r.u64()? }, r.string()?))
    };
    // A row that cannot be read protects nothing that could be named.
    Ok(read().ok())
}

/// An error while somebody else holds the folder or its account. A folder's lock is this process's; an account's belongs to the one operation that
/// is carried out, so that no other thread of the process writes where directories are being moved.
pub(super) fn respect(tx: &mut Tx<'_, '_>, account: AccountId, folder: FolderId) -> Result<(), StoreError> {
    for place in [FolderId::TOP, folder] {
        if let Some((who, purpose)) = holder(tx, account, place)?
            && (place == FolderId::TOP || who != Identity::me())
        {
            let busy = if who == Identity::me() {
                super::lock(&tx.store.running).contains_key(&account)
            } else {
                who.is_alive()
            };
            if busy {
                return Err(StoreError::InUse {
                    what: "the mailbox".into(),
                    by: Some(format!("{purpose}, process {}", who.pid)),
                });
            }
            if rows::value(tx.txn, &super::intent::intent_key(account))?.is_some() {
                return Err(StoreError::InUse {
                    what: "the mailbox".into(),
                    by: Some(super::intent::UNFINISHED.into()),
                });
            }
            tx.txn.del(&key(account, place))?;
        }
    }
    Ok(())
}

/// Takes the lock inside a transaction.
pub(super) fn take(tx: &mut Tx<'_, '_>, account: AccountId, folder: FolderId, purpose: &str) -> Result<(), StoreError> {
    respect(tx, account, folder)?;
    if folder == FolderId::TOP {
        for (_, row) in rows::tree(tx.txn, account)? {
            respect(tx, account, row.id)?;
        }
    }
    let me = Identity::me();
    rows::put(
        tx.txn,
        &key(account, folder),
        Writer::new(1).u32(me.pid.cast_unsigned()).u64(me.started).string(purpose).finish(),
    )
}

/// Gives the lock back inside a transaction.
pub(super) fn release(tx: &mut Tx<'_, '_>, account: AccountId, folder: FolderId) -> Result<(), StoreError> {
    tx.txn.del(&key(account, folder)).map(|_| ())
}

impl Store {
    /// Locks a folder against every other process until the lock is dropped or this process ends. Waits for a while when it is locked.
    ///
    /// # Errors
    /// `InUse` when it stays locked; the folder does not exist; the disk fails.
    pub fn lock_folder(&self, account: AccountId, folder: FolderId, purpose: &str) -> Result<FolderLock, StoreError> {
        self.patiently(account, |tx| {
            rows::need_folder(tx.txn, account, folder)?;
            take(tx, account, folder, purpose)
        })?;
        Ok(FolderLock { store: self.clone(), account, folder })
    }

    /// As `change`, but waits while a folder is locked, and finishes what a dead process left unfinished in the account.
    pub(super) fn patiently<T: Send>(
        &self,
        account: AccountId,
        mut work: impl FnMut(&mut Tx<'_, '_>) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            match self.change_now(account, &mut work) {
                Err(StoreError::InUse { by, .. }) if by.as_deref() == Some(super::intent::UNFINISHED) => {
                    self.finish_intent(account)?
                }
                Err(StoreError::InUse { by: Some(_), .. }) => std::thread::sleep(PAUSE),
                other => return other,
            }
        }
        self.change_now(account, &mut work)
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        let (account, folder) = (self.account, self.folder);
        // Not given back now, it is void as soon as this process ends.
        drop(self.store.change_now(account, |tx| release(tx, account, folder)));
    }
}
