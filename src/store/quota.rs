//! Quota: how much an account may hold, how much it holds, and since when that is too much.
//!
//! A *root* is what a limit is about: the account without its folders that have limits of their own, and each of those folders with what lies below
//! it. Usage of the account stands in its row, of a folder in the folder's row; both change in the transaction that brings or removes the message.
//! What may be done with it is in [`Rules`], which come in from outside.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::lmdb::Rows;
use super::name::FolderPath;
use super::record::{Account, Folder, FolderLimit, Message};
use super::schema::{self, kind};
use super::{Inner, Store, Tx, codec, rows};

/// How limits are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Refuse what does not fit (`store.quotaenforcement`).
    pub enforce: bool,
    /// Take the one message that carries a mailbox over its quota (`local.store.quotaoverdraft`).
    pub overdraft: bool,
    /// How long a mailbox may be over its quota before mail for it is refused for good, seconds (`store.quotagraceperiod`).
    pub grace_s: i64,
    /// From which share of the quota on its owner is warned, percent (`store.quotawarn`); 100: never.
    pub warn_percent: u32,
    /// The least time between two warnings, seconds (`store.quotaexceededmsginterval`); `None`: no warnings are delivered.
    pub warn_every_s: Option<i64>,
    /// Bytes of users whose entry asks for the default (`store.defaultmailboxquota`).
    pub default_bytes: Option<u64>,
    /// Messages of users whose entry asks for the default (`store.defaultmessagequota`).
    pub default_messages: Option<u64>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            enforce: true,
            overdraft: false,
            grace_s: 120 * 3600,
            warn_percent: 90,
            warn_every_s: None,
            default_bytes: None,
            default_messages: None,
        }
    }
}

/// Where the rules of the moment come from.
pub type RulesOf = Box<dyn Fn() -> Rules + Send + Sync>;

/// What an account may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; `None`: no limit.
    pub bytes: Option<u64>,
    /// Messages; `None`: no limit.
    pub messages: Option<u64>,
    /// Folders with limits of their own, sorted by path; `over_since_s` is 0.
    pub folders: Vec<FolderLimit>,
}

/// Bytes and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all messages.
    pub bytes: u64,
    /// How many messages.
    pub messages: u64,
}

impl Usage {
    /// The sum of two.
    #[must_use]
    pub fn and(self, other: Usage) -> Usage {
        Usage { bytes: self.bytes.saturating_add(other.bytes), messages: self.messages.saturating_add(other.messages) }
    }

    /// What is left without a part.
    #[must_use]
    pub fn without(self, part: Usage) -> Usage {
        Usage { bytes: self.bytes.saturating_sub(part.bytes), messages: self.messages.saturating_sub(part.messages) }
    }

    pub(super) fn of_folder(row: &Folder) -> Usage {
        Usage { bytes: row.bytes, messages: u64::from(row.exists) }
    }

    /// True if it is more than a limit.
    pub fn exceeds(self, bytes: Option<u64>, messages: Option<u64>) -> bool {
        bytes.is_some_and(|limit| self.bytes > limit) || messages.is_some_and(|limit| self.messages > limit)
    }

    /// True if a limit is reached.
    pub fn reaches(self, bytes: Option<u64>, messages: Option<u64>) -> bool {
        bytes.is_some_and(|limit| self.bytes >= limit) || messages.is_some_and(|limit| self.messages >= limit)
    }

    /// How full it is: whole percent of the limit that is nearest, rounded down. `None` without limits; of a limit of 0 nothing is 100 percent.
    pub fn percent(self, bytes: Option<u64>, messages: Option<u64>) -> Option<u64> {
        let share = |used: u64, limit: u64| match limit {
            0 => 100 + used.min(1),
            limit => u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX),
        };
        let bytes = bytes.map(|limit| share(self.bytes, limit));
        bytes.max(messages.map(|limit| share(self.messages, limit)))
    }
}

/// Messages that are to come into one folder together: all of them or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coming {
    /// All of them.
    pub all: Usage,
    /// Those before the last one: with overdraft they have to fit, the last one carries the root over its quota.
    pub before_last: Usage,
}

impl Coming {
    /// Messages of these sizes, in their order.
    pub fn of(sizes: impl IntoIterator<Item = u64>) -> Coming {
        sizes.into_iter().fold(Coming::default(), Coming::then)
    }

    /// With one more message, of so many bytes.
    #[must_use]
    pub fn then(self, bytes: u64) -> Coming {
        Coming { all: self.all.and(Usage { bytes, messages: 1 }), before_last: self.all }
    }
}

impl Account {
    /// Bytes and messages in all folders.
    pub fn usage(&self) -> Usage {
        Usage { bytes: self.usage_bytes, messages: self.usage_messages }
    }

    /// The limits in its row.
    pub fn limits(&self) -> Limits {
        let folders = self.folder_limits.iter().map(|limit| FolderLimit { over_since_s: 0, ..limit.clone() });
        Limits { bytes: self.quota_bytes, messages: self.quota_messages, folders: folders.collect() }
    }
}

impl Store {
    /// How the store learns which rules hold at the moment. Without it those of [`Rules::default`] hold. Only the first call counts.
    pub fn follow_quota(&self, rules: RulesOf) {
        // A second source for one store would be a mistake without harm.
        drop(self.inner.quota.set(rules));
    }

    /// The rules that hold now.
    pub fn quota_rules(&self) -> Rules {
        self.inner.rules()
    }

    /// Sets the limits of an account; the grace period of what is over its new limit begins now.
    ///
    /// # Errors
    /// The account does not exist, or the disk fails.
    pub fn set_limits(&self, account: AccountId, limits: &Limits, now_s: i64) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            owner.quota_bytes = limits.bytes;
            owner.quota_messages = limits.messages;
            let known = std::mem::take(&mut owner.folder_limits);
            let since = |path: &str| known.iter().find(|old| old.path == path).map_or(0, |old| old.over_since_s);
            owner.folder_limits = limits
                .folders
                .iter()
                .map(|limit| FolderLimit { over_since_s: since(&limit.path), ..limit.clone() })
                .collect();
            tx.keep_quota_clock(account, &mut owner, true, Some(now_s))?;
            rows::put_account(tx.txn, account, &owner)
        })
    }

    /// Sets the limits of one root in one step, whatever the others become meanwhile: those of the account, or with a path those of that folder, which
    /// ceases to be a root without any. The grace period of what is over its new limit begins now.
    ///
    /// # Errors
    /// `NotFound`: there is no such folder, or it holds no messages; the account does not exist, or the disk fails.
    pub fn set_root_limits(
        &self,
        account: AccountId,
        folder: Option<&FolderPath>,
        (bytes, messages): (Option<u64>, Option<u64>),
        now_s: i64,
    ) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            match folder {
                None => (owner.quota_bytes, owner.quota_messages) = (bytes, messages),
                Some(path) => {
                    if rows::resolve(tx.txn, account, path)?.is_none_or(|row| row.noselect) {
                        return Err(StoreError::missing("the mailbox"));
                    }
                    let (path, limits) = (path.to_string(), &mut owner.folder_limits);
                    let over_since_s =
                        limits.iter().find(|old| old.path == path).map_or(0, |old: &FolderLimit| old.over_since_s);
                    limits.retain(|old| old.path != path);
                    if bytes.is_some() || messages.is_some() {
                        limits.push(FolderLimit { path, bytes, messages, over_since_s });
                        limits.sort_by(|a, b| a.path.cmp(&b.path));
                    }
                }
            }
            tx.keep_quota_clock(account, &mut owner, true, Some(now_s))?;
            rows::put_account(tx.txn, account, &owner)
        })
    }

    /// Checks that there is room for messages in a folder now; what counts is the check of the change itself. `leaving` is a message of `size` bytes in a
    /// folder that goes when they come: its room is there for them.
    ///
    /// # Errors
    /// `OverQuota`; a folder does not exist, or a row is damaged.
    pub fn room_for(
        &self,
        account: AccountId,
        folder: FolderId,
        coming: Coming,
        leaving: Option<(FolderId, u64)>,
    ) -> Result<(), StoreError> {
        let rules = self.inner.rules();
        let read = self.shard_of(account)?.env()?.read()?;
        let owner = rows::need_account(&read, account)?;
        let row = rows::need_folder(&read, account, folder)?;
        let mut root = root_of(&read, account, &owner, &row)?;
        if let Some((from, bytes)) = leaving {
            let from = rows::need_folder(&read, account, from)?;
            if root_of(&read, account, &owner, &from)?.folder == root.folder {
                root.usage = root.usage.without(Usage { bytes, messages: 1 });
            }
        }
        // Whether the grace period has ended is the matter of deliveries.
        root.admit(&rules, &owner.userid, coming, 0)
    }

    /// Puts a quota warning into a folder, whatever the quota, unless another was delivered meanwhile: of several deliveries that see that one is due,
    /// one delivers it. Returns whether it was this one.
    ///
    /// # Errors
    /// As [`Store::append`], but for the quota.
    pub fn append_warning(
        &self,
        account: AccountId,
        folder: FolderId,
        item: &super::NewMessage<'_>,
        now_s: i64,
    ) -> Result<bool, StoreError> {
        item.staged.sync()?;
        crate::crash_point!("warning.after-sync");
        self.change(account, |tx| {
            let owner = rows::need_account(tx.txn, account)?;
            let rules = tx.store.rules();
            if !is_warning_due(&rules, &owner, &roots(tx.txn, account, &owner)?, now_s) {
                return Ok(false);
            }
            tx.append(account, folder, std::slice::from_ref(item), true, now_s)?;
            let mut owner = rows::need_account(tx.txn, account)?;
            owner.warned_s = now_s.max(1);
            rows::put_account(tx.txn, account, &owner)?;
            crate::crash_point!("warning.after-rows");
            Ok(true)
        })
    }

    /// Remembers a notice of `imquotacheck -n`.
    ///
    /// # Errors
    /// The account does not exist, or the disk fails.
    pub fn note_quota_notice(&self, account: AccountId, percent: u32, now_s: i64) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            (owner.noticed_s, owner.noticed_percent) = (now_s, percent);
            rows::put_account(tx.txn, account, &owner)
        })
    }

    /// The usage of an account as its message rows have it, whatever is recorded: one look at each message.
    ///
    /// # Errors
    /// The account does not exist, or a row is damaged.
    pub fn recount(&self, account: AccountId) -> Result<Usage, StoreError> {
        let read = self.shard_of(account)?.env()?.read()?;
        rows::need_account(&read, account)?;
        messages_of(&read, account, None)
    }

    /// Sets the recorded usage of an account and the sizes of its folders to what the message rows have, in one transaction. Returns what was recorded
    /// and what is right.
    ///
    /// # Errors
    /// The account does not exist, a row is damaged, or the disk fails.
    pub fn repair_usage(&self, account: AccountId, now_s: i64) -> Result<(Usage, Usage), StoreError> {
        self.change(account, |tx| {
            let mut owner = rows::need_account(tx.txn, account)?;
            let recorded = owner.usage();
            let mut found = Usage::default();
            for (_, mut row) in rows::tree(tx.txn, account)? {
                let usage = messages_of(tx.txn, account, Some(row.id))?;
                found = found.and(usage);
                if usage != Usage::of_folder(&row) {
                    row.bytes = usage.bytes;
                    row.exists = u32::try_from(usage.messages).unwrap_or(u32::MAX);
                    row.highest_modseq = Tx::next_modseq(&mut owner);
                    tx.changed(account, &row)?;
                }
            }
            (owner.usage_bytes, owner.usage_messages) = (found.bytes, found.messages);
            tx.keep_quota_clock(account, &mut owner, true, Some(now_s))?;
            rows::put_account(tx.txn, account, &owner)?;
            Ok((recorded, found))
        })
    }
}

impl Inner {
    pub(super) fn rules(&self) -> Rules {
        self.quota.get().map_or_else(Rules::default, |rules| rules())
    }
}

/// The source of the rules, once there is one.
pub(super) type Source = OnceLock<RulesOf>;

/// The sums over the message rows of an account, or of one of its folders.
fn messages_of<R: Rows + ?Sized>(rows: &R, account: AccountId, folder: Option<FolderId>) -> Result<Usage, StoreError> {
    let mut found = Usage::default();
    let from = schema::message(account, folder.unwrap_or(FolderId::TOP), 0);
    rows.scan(&from, &mut |key, stored| {
        let inside = match folder {
            None => schema::within_kind(key, account, kind::MESSAGE),
            Some(folder) => schema::within(key, account, kind::MESSAGE, folder),
        };
        if !inside {
            return Ok(ControlFlow::Break(()));
        }
        let uid = schema::tail_u32(key).unwrap_or(0);
        let row = Message::decode(uid, codec::open(key, stored)?).map_err(|_| codec::damaged(key))?;
        found = found.and(Usage { bytes: row.size, messages: 1 });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// A root as it is used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The folder with a limit of its own; `None`: the account.
    pub folder: Option<String>,
    /// What counts in it.
    pub usage: Usage,
    /// Limit of bytes.
    pub bytes: Option<u64>,
    /// Limit of messages.
    pub messages: Option<u64>,
    /// Since when it is used up; 0: it is not.
    pub over_since_s: i64,
}

/// The roots of an account, its own first, then the folders in the order of its row.
pub(super) fn roots<R: Rows + ?Sized>(rows: &R, account: AccountId, owner: &Account) -> Result<Vec<Root>, StoreError> {
    let mut own = Root {
        folder: None,
        usage: owner.usage(),
        bytes: owner.quota_bytes,
        messages: owner.quota_messages,
        over_since_s: owner.over_since_s,
    };
    if owner.folder_limits.is_empty() {
        return Ok(vec![own]);
    }
    let mut found: Vec<Root> = owner.folder_limits.iter().map(of_limit).collect();
    for (path, row) in rows::tree(rows, account)? {
        if let Some(root) = nearest(owner, &path).and_then(|at| found.get_mut(at)) {
            root.usage = root.usage.and(Usage::of_folder(&row));
            own.usage = own.usage.without(Usage::of_folder(&row));
        }
    }
    found.insert(0, own);
    Ok(found)
}

fn of_limit(limit: &FolderLimit) -> Root {
    Root {
        folder: Some(limit.path.clone()),
        usage: Usage::default(),
        bytes: limit.bytes,
        messages: limit.messages,
        over_since_s: limit.over_since_s,
    }
}

/// Which of the account's folder limits counts for a folder: that of the nearest folder at or above it.
pub(super) fn nearest(owner: &Account, path: &FolderPath) -> Option<usize> {
    let path = path.to_string();
    let above = |limit: &&(usize, &FolderLimit)| {
        path.strip_prefix(&limit.1.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let limits: Vec<(usize, &FolderLimit)> = owner.folder_limits.iter().enumerate().collect();
    limits.iter().filter(above).max_by_key(|(_, limit)| limit.path.len()).map(|(at, _)| *at)
}

/// Checks that there is room for messages in a folder.
///
/// # Errors
/// `OverQuota`, with what whoever delivers has to know; a row is damaged.
pub(super) fn admit<R: Rows + ?Sized>(
    rows: &R,
    rules: &Rules,
    (account, owner): (AccountId, &Account),
    folder: &Folder,
    coming: Coming,
    now_s: i64,
) -> Result<(), StoreError> {
    if !rules.enforce {
        return Ok(());
    }
    root_of(rows, account, owner, folder)?.admit(rules, &owner.userid, coming, now_s)
}

/// The root that a folder counts for.
pub(super) fn root_of<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    owner: &Account,
    folder: &Folder,
) -> Result<Root, StoreError> {
    let at = match owner.folder_limits.is_empty() {
        true => 0,
        false => nearest(owner, &rows::path(rows, account, folder)?).map_or(0, |at| at + 1),
    };
    let root = roots(rows, account, owner)?.into_iter().nth(at);
    root.ok_or_else(|| StoreError::Internal { what: "a quota root is missing".into() })
}

impl Root {
    /// Checks that there is room for messages.
    fn admit(&self, rules: &Rules, userid: &str, coming: Coming, now_s: i64) -> Result<(), StoreError> {
        // With overdraft the message that carries it over the quota comes in, and none behind that.
        let overdraft = rules.overdraft && self.has_room_at_all();
        let more = if overdraft { coming.before_last } else { coming.all };
        if !rules.enforce || !self.usage.and(more).exceeds(self.bytes, self.messages) {
            return Ok(());
        }
        let name = format!("user/{userid}");
        let since_s = if self.over_since_s == 0 { now_s } else { self.over_since_s };
        Err(StoreError::OverQuota {
            what: self.folder.as_ref().map_or_else(|| name.clone(), |path| format!("{name}/{path}")),
            runs: self.over_since_s != 0,
            bounce: now_s.saturating_sub(since_s) >= rules.grace_s,
        })
    }

    /// False with a limit of 0: then nothing may be here, overdraft or not.
    fn has_room_at_all(&self) -> bool {
        self.bytes != Some(0) && self.messages != Some(0)
    }

    /// True where the clock of the grace period runs: the quota is reached; with overdraft, exceeded.
    pub fn is_used_up(&self, rules: &Rules) -> bool {
        if rules.overdraft && self.has_room_at_all() {
            self.usage.exceeds(self.bytes, self.messages)
        } else {
            self.usage.reaches(self.bytes, self.messages)
        }
    }

    /// True from the warning threshold on, also where nobody is warned: what does not fit there is refused because the root is full.
    pub(super) fn is_nearly_full(&self, rules: &Rules) -> bool {
        self.is_used_up(rules) || self.percent() >= Some(u64::from(rules.warn_percent))
    }

    /// True from where on its owner is warned: with overdraft above the quota, else from the threshold on.
    pub fn is_to_be_told(&self, rules: &Rules) -> bool {
        match rules.overdraft {
            true => self.usage.exceeds(self.bytes, self.messages),
            false => rules.warn_percent < 100 && self.percent() >= Some(u64::from(rules.warn_percent)),
        }
    }

    /// Whole percent of the limit that is nearest; `None` without limits.
    pub fn percent(&self) -> Option<u64> {
        self.usage.percent(self.bytes, self.messages)
    }
}

/// True when a warning is to be delivered: one of the roots is full enough, and the last warning is long enough ago.
pub(super) fn is_warning_due(rules: &Rules, owner: &Account, roots: &[Root], now_s: i64) -> bool {
    let Some(every_s) = rules.warn_every_s else { return false };
    // A clock that was put back does not keep a warning away for years.
    let rests = owner.warned_s != 0 && (0..every_s).contains(&now_s.saturating_sub(owner.warned_s));
    !rests && roots.iter().any(|root| root.is_to_be_told(rules))
}
