//! Repair of accounts and mailboxes while the environments of the mailbox database are sound: what `reconstruct` does. Environments that are
//! damaged are recovered elsewhere.
//!
//! Every change is a closure through the group commit. It is made from a survey that was taken outside; inside the transaction the survey is taken
//! again, and where it is another one the repair begins anew. Nothing that could be brought back is removed: expunged messages keep their files until
//! purge, files of no message and files that hold nothing go to `lost/` of their partition, which has a list.

mod account;
mod folder;
mod index;
mod lost;
mod place;
mod survey;

use super::check::Depth;
use super::error::{Kind, StoreError};
use super::ids::{AccountId, Uid};
use super::name::FolderPath;
use super::{Store, Tx};

pub use place::Unknown;

/// How often a repair begins anew because the mailbox changed meanwhile.
const TRIES: u32 = 20;

/// How a repair is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Without looking for damage first: every message is read, store.idx is written anew, files of no message are taken in under new UIDs.
    pub force: bool,
    /// store.idx is written anew, whatever is in it.
    pub fresh_index: bool,
    /// What was expunged cannot be brought back afterwards: the next purge removes it.
    pub forget_expunged: bool,
    /// Read every message and compare it with its recorded content.
    pub content: bool,
}

impl How {
    fn reads_content(self) -> bool {
        self.content || self.force
    }
}

/// Something that was repaired, or that was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// The mailbox or directory it is about.
    pub place: String,
    /// The message, if it is about one.
    pub uid: Option<Uid>,
    /// What was done, or why nothing was.
    pub what: String,
    /// True where it is left wrong.
    pub left: bool,
}

impl std::fmt::Display for Mended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(uid) = self.uid {
            write!(f, "message {uid}: ")?;
        }
        f.write_str(&self.what)
    }
}

fn mended(place: &str, uid: Option<Uid>, what: impl Into<String>) -> Mended {
    Mended { place: place.to_owned(), uid, what: what.into(), left: false }
}

fn left(place: &str, uid: Option<Uid>, what: impl Into<String>) -> Mended {
    Mended { left: true, ..mended(place, uid, what) }
}

impl Store {
    /// Repairs an account, or one of its mailboxes, with those below it where `below` says so. Only what the checker finds damaged is
    /// touched, unless `how` forces it. What was done is returned; what is still wrong is for the checker to tell.
    ///
    /// # Errors
    /// The account does not exist or stays locked, or the disk fails.
    pub fn repair(
        &self,
        account: AccountId,
        only: Option<(&FolderPath, bool)>,
        how: How,
        now_s: i64,
    ) -> Result<Vec<Mended>, StoreError> {
        let mut done = self.repair_database(account, now_s)?;
        let userid = self.view(account)?.account()?.userid;
        let wanted =
            |path: &FolderPath| only.is_none_or(|(only, below)| path == only || (below && path.starts_with(only)));
        let folders: Vec<_> = self.view(account)?.folders()?.into_iter().filter(|(path, _)| wanted(path)).collect();
        for (path, row) in folders {
            let place = format!("user/{userid}/{path}");
            let is_damaged = || -> Result<bool, StoreError> {
                let found = self.check_account(account, Some(&path), Depth { content: how.content })?;
                Ok(found.iter().any(|found| found.place == place))
            };
            if how.force || is_damaged()? {
                match self.repair_folder(account, row.id, how, now_s) {
                    // Deleted meanwhile.
                    Err(error) if error.kind() == Kind::NotFound => {}
                    other => done.extend(other?),
                }
            }
        }
        let counted = self.check_account(account, None, Depth::default())?;
        if counted.iter().any(|found| found.invariant == "I3") {
            let (recorded, found) = self.repair_usage(account, now_s)?;
            let what = format!(
                "usage was recorded as {} bytes in {} messages, it is {} in {}",
                recorded.bytes, recorded.messages, found.bytes, found.messages
            );
            done.push(mended(&format!("user/{userid}"), None, what));
        }
        Ok(done)
    }

    /// Repairs the rows of an account among themselves, and finds its directories where they are not in their place: what the mailbox database
    /// has of it, without a look at messages. What dead processes left unfinished is finished.
    ///
    /// # Errors
    /// The account does not exist, its row is lost and nothing tells whose it was, or the disk fails.
    pub fn repair_database(&self, account: AccountId, now_s: i64) -> Result<Vec<Mended>, StoreError> {
        self.finish_intent(account)?;
        let mut done = self.repair_account_row(account, now_s)?;
        done.extend(self.repair_tree(account, now_s)?);
        done.extend(self.repair_places(account)?);
        let userid = self.view(account)?.account()?.userid;
        let told = self.repair_lookups(account)?;
        if told > 0 {
            let what = format!("{told} rows about who may look its folders up follow the access control lists again");
            done.push(mended(&format!("user/{userid}"), None, what));
        }
        if self.account_id(&userid)? != Some(account) {
            self.claim_name(account, &userid)?;
            done.push(mended(&format!("user/{userid}"), None, "the userid map leads to it again"));
        }
        Ok(done)
    }

    /// Runs a repair until nothing came between its survey and its transaction.
    fn settled<T>(&self, mut attempt: impl FnMut() -> Result<Option<T>, StoreError>) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
        }
        Err(StoreError::InUse { what: "the mailbox".into(), by: None })
    }
}

impl Tx<'_, '_> {
    /// The modification sequence of a repair: above everything there is. One that no counter can have reached counts as none.
    fn modseq_above(owner: &mut super::Account, highest: super::Modseq) -> super::Modseq {
        owner.highest_modseq = owner.highest_modseq.max(highest);
        Tx::next_modseq(owner)
    }
}
