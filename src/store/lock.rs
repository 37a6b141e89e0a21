//! Locks of folders and accounts: a row that names its holder. Writers look at it inside their transaction; a lock whose process is gone is void.

use std::time::Duration;

use super::codec::{Reader, Writer};
use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::schema::{self, kind};
use super::{Store, Tx, rows};
use crate::os::process::Identity;

/// How often a writer looks again before it gives up on a locked folder.
pub(super) const TRIES: u32 = 100;
/// How long it waits in between.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::super::{Appended, Delivery, Flags, NewMessage, Settings, Uid};
    use super::*;

    /// The lock of another process on an INBOX.
    fn hold(store: &Store, account: AccountId, who: Identity) {
        let row = Writer::new(1).u32(who.pid.cast_unsigned()).u64(who.started).string("a test").finish();
        store.change_now(account, |tx| rows::put(tx.txn, &key(account, FolderId::INBOX), row.clone())).unwrap();
    }

    fn give_back(store: &Store, account: AccountId) {
        store.change_now(account, |tx| release(tx, account, FolderId::INBOX)).unwrap();
    }

    fn count(store: &Store, account: AccountId) -> usize {
        let mut found = 0;
        let view = store.view(account).unwrap();
        view.states(FolderId::INBOX, 0..=Uid::MAX, &mut |run| found += run.count as usize).unwrap();
        found
    }

    #[test]
    fn locked_recipients_wait_together_and_not_one_behind_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().to_owned(),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 2).unwrap();
        let store = Store::open(settings).unwrap();
        let accounts = ["ann", "bob", "eve", "joe"].map(|user| store.account_create(user, None, 1_000).unwrap());
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let who = Identity::of(other.id().cast_signed()).unwrap();
        let (free, locked) = (accounts[0], &accounts[1..]);
        locked.iter().for_each(|account| hold(&store, *account, who));
        let mut staging = store.stage("primary").unwrap();
        staging.write_all(b"Subject: x\r\n\r\n").unwrap();
        let staged = staging.finish().unwrap();
        let item = NewMessage {
            staged: &staged,
            flags: Flags::NONE,
            keywords: Vec::new(),
            internal_date_s: 1_000,
            internal_zone_min: 0,
        };
        let to = accounts.map(|account| Delivery { account, folder: FolderId::INBOX, ignore_quota: false, once_s: 0 });
        let done: Vec<Result<Option<Appended>, StoreError>> = std::thread::scope(|scope| {
            scope.spawn(|| {
                // The last one first: each has its message before the one in front of it is free.
                let mut before = free;
                for account in locked.iter().rev() {
                    while count(&store, before) == 0 {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    give_back(&store, *account);
                    before = *account;
                }
            });
            store.deliver(&item, &to, 1_000)
        });
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(done.iter().all(|one| matches!(one, Ok(Some(_)))), "{done:?}");
    }
}
