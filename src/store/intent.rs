//! Operations over several directories are written down before they begin: the intent, with a lock on the account. They are carried out in steps that
//! may be repeated (`relocate.rs`) and finished by whoever meets them when their process died.
//!
//! Order: intent and lock commit; directories move; rows change in one transaction; what is left over goes; intent and lock are removed. Until the
//! rows change a failure is undone by dropping the intent, as long as nothing has moved; afterwards it is always finished.

use std::ops::ControlFlow;

use super::codec::{Malformed, Reader, Writer};
use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::lmdb::Rows;
use super::schema::{self, SHARD, kind};
use super::{Store, lock, rows};
use crate::os::process::Identity;

/// The purpose that tells a waiting writer that nobody else will finish.
pub(super) const UNFINISHED: &str = "an operation that was not finished";

/// An operation that is under way in an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// A folder goes; with `keep_name` its name stays.
    DeleteFolder { folder: FolderId, keep_name: bool },
    /// A folder, with those below it, gets another place in the tree.
    RenameFolder { folder: FolderId, parent: FolderId, component: String },
    /// The account gets another user id.
    RenameAccount { userid: String },
    /// The account goes.
    DeleteAccount,
    /// A folder with those below it (or, at the top, the account) goes to another partition.
    MovePartition { folder: FolderId, partition: String },
    /// What is in INBOX goes to a new folder (RFC 9051 6.3.6).
    RenameInbox { to: String, now_s: i64 },
}

/// The account of an operation that was not finished, and what it is.
pub(super) type Unfinished = (AccountId, Result<String, StoreError>);

pub(super) fn intent_key(account: AccountId) -> Vec<u8> {
    schema::key(SHARD, kind::INTENT, FolderId::TOP, &account.0.to_be_bytes())
}

impl Intent {
    fn encode(&self, owner: Identity) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.u32(owner.pid.cast_unsigned()).u64(owner.started);
        match self {
            Intent::DeleteFolder { folder, keep_name } => w.u8(1).u32(folder.0).u8(u8::from(*keep_name)),
            Intent::RenameFolder { folder, parent, component } => w.u8(2).u32(folder.0).u32(parent.0).string(component),
            Intent::RenameAccount { userid } => w.u8(3).string(userid),
            Intent::DeleteAccount => w.u8(4),
            Intent::MovePartition { folder, partition } => w.u8(5).u32(folder.0).string(partition),
            Intent::RenameInbox { to, now_s } => w.u8(6).string(to).i64(*now_s),
        };
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<(Identity, Intent), Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        let owner = Identity { pid: r.u32()?.cast_signed(), started: r.u64()? };
        let intent = match r.u8()? {
            1 => Intent::DeleteFolder { folder: FolderId(r.u32()?), keep_name: r.u8()? != 0 },
            2 => {
                Intent::RenameFolder { folder: FolderId(r.u32()?), parent: FolderId(r.u32()?), component: r.string()? }
            }
            3 => Intent::RenameAccount { userid: r.string()? },
            4 => Intent::DeleteAccount,
            5 => Intent::MovePartition { folder: FolderId(r.u32()?), partition: r.string()? },
            6 => Intent::RenameInbox { to: r.string()?, now_s: r.i64()? },
            _ => return Err(Malformed),
        };
        Ok((owner, intent))
    }

    fn purpose(&self) -> &'static str {
        match self {
            Intent::DeleteFolder { .. } | Intent::DeleteAccount => "delete",
            Intent::RenameFolder { .. } | Intent::RenameAccount { .. } | Intent::RenameInbox { .. } => "rename",
            Intent::MovePartition { .. } => "move to another partition",
        }
    }
}

impl Store {
    /// Writes the intent down and carries it out.
    pub(super) fn carry_out(&self, account: AccountId, intent: Intent) -> Result<(), StoreError> {
        let mut mine = Running { store: self, account, number: None };
        self.patiently(account, |tx| {
            // What a batch that failed has left behind of this very operation is not another's.
            mine.leave();
            lock::take(tx, account, FolderId::TOP, intent.purpose())?;
            rows::need_account(tx.txn, account)?;
            tx.demand_intent(account, &intent)?;
            rows::put(tx.txn, &intent_key(account), intent.encode(Identity::me()))?;
            mine.enter();
            Ok(())
        })?;
        crate::crash_point!("intent.written");
        self.finish(account, &intent)
    }

    /// Finishes the operation that a dead process left in an account.
    ///
    /// # Errors
    /// The disk fails; the intent stays.
    pub(super) fn finish_intent(&self, account: AccountId) -> Result<(), StoreError> {
        let key = intent_key(account);
        let mut mine = Running { store: self, account, number: None };
        let intent = self.change_now(account, |tx| {
            mine.leave();
            let Some(bytes) = rows::value(tx.txn, &key)? else {
                return Ok(None);
            };
            let (owner, intent) = Intent::decode(&bytes).map_err(|_| super::codec::damaged(&key))?;
            let busy = if owner == Identity::me() {
                super::lock(&tx.store.running).contains_key(&account)
            } else {
                owner.is_alive()
            };
            if busy {
                return Ok(None);
            }
            // Taken over inside the transaction: two finders cannot both.
            let me = Identity::me();
            rows::put(tx.txn, &key, intent.encode(me))?;
            rows::put(
                tx.txn,
                &schema::key(account, kind::LOCK, FolderId::TOP, &[]),
                Writer::new(1).u32(me.pid.cast_unsigned()).u64(me.started).string(intent.purpose()).finish(),
            )?;
            mine.enter();
            Ok(Some(intent))
        })?;
        intent.map_or(Ok(()), |intent| self.finish(account, &intent))
    }

    /// Finishes every operation whose process died. Returns how many.
    ///
    /// # Errors
    /// The disk fails.
    pub fn finish_intents(&self) -> Result<usize, StoreError> {
        let unfinished = self.unfinished()?;
        let count = unfinished.len();
        // One that cannot be read or finished does not keep the others from it.
        let finish = |(account, what): (_, Result<_, _>)| what.and_then(|_| self.finish_intent(account)).err();
        let failed = unfinished.into_iter().filter_map(finish).last();
        failed.map_or(Ok(count), Err)
    }

    /// The accounts in which a dead process left an operation, and what it was, or why its row cannot be read.
    pub(super) fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        let mut unfinished = Vec::new();
        for shard in &self.inner.shards {
            shard.env()?.read()?.scan(&schema::key(SHARD, kind::INTENT, FolderId::TOP, &[]), &mut |key, stored| {
                if !schema::within_kind(key, SHARD, kind::INTENT) {
                    return Ok(ControlFlow::Break(()));
                }
                let account = AccountId(schema::rest(key).first_chunk().map_or(0, |id| u64::from_be_bytes(*id)));
                let read = super::codec::open(key, stored)
                    .and_then(|value| Intent::decode(value).map_err(|_| super::codec::damaged(key)));
                match read {
                    Ok((owner, _)) if owner.is_alive() => {}
                    Ok((_, intent)) => {
                        let what = format!("an operation ({}) was not finished", intent.purpose());
                        unfinished.push((account, Ok(what)));
                    }
                    Err(error) => unfinished.push((account, Err(error))),
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(unfinished)
    }

    fn finish(&self, account: AccountId, intent: &Intent) -> Result<(), StoreError> {
        // What was allowed when it began is carried out, by whomever.
        self.unrestricted().finish_all(account, intent)
    }

    fn finish_all(&self, account: AccountId, intent: &Intent) -> Result<(), StoreError> {
        let done = match intent {
            Intent::DeleteFolder { folder, keep_name } => self.delete_folder_now(account, *folder, *keep_name),
            Intent::RenameFolder { folder, parent, component } => {
                self.rename_folder_now(account, *folder, *parent, component)
            }
            Intent::RenameAccount { userid } => self.rename_account_now(account, userid),
            Intent::DeleteAccount => return self.delete_account_now(account),
            Intent::MovePartition { folder, partition } => self.move_partition_now(account, *folder, partition),
            Intent::RenameInbox { to, now_s } => match self.rename_inbox_now(account, to, *now_s) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error.into()),
            },
        };
        let outcome = match done {
            Ok(()) => Ok(()),
            Err(Failed { error, moved: false }) => Err(error),
            // Something has moved: the intent stays, the next one who meets it goes on.
            Err(Failed { error, moved: true }) => return Err(error),
        };
        crate::crash_point!("intent.before-removal");
        self.change_now(account, |tx| {
            tx.txn.del(&intent_key(account))?;
            lock::release(tx, account, FolderId::TOP)
        })?;
        outcome
    }
}

/// The mark that a thread of this process carries an operation out in an account; given back when dropped, however the operation ended.
struct Running<'s> {
    store: &'s Store,
    account: AccountId,
    /// Of this operation among all of the process: the next one may begin before this one's mark is dropped.
    number: Option<u64>,
}

impl Running<'_> {
    fn enter(&mut self) {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        super::lock(&self.store.inner.running).insert(self.account, number);
        self.number = Some(number);
    }

    fn leave(&mut self) {
        let mut running = super::lock(&self.store.inner.running);
        if let Some(mine) = self.number.take()
            && running.get(&self.account) == Some(&mine)
        {
            running.remove(&self.account);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// An operation failed; whether something has moved already, so that it must be finished and cannot be undone.
pub(super) struct Failed {
    pub(super) error: StoreError,
    pub(super) moved: bool,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed { error, moved: false }
    }
}

impl Failed {
    pub(super) fn moved(error: StoreError) -> Failed {
        Failed { error, moved: true }
    }
}
