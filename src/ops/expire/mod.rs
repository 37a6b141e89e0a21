//! **Here**: automatic removal: rules and where they come from, what they take from a mailbox, a run over the store with the purge behind it.
//! **Not here**: options, printing, the log (`cli::imexpire`); how messages are expunged and purged (`store`); when a run begins.
//! **Start**: [`source`] for rules as they are written, `rule.rs` for what one takes, `policy.rs` for how they come together, then [`Run::run`].
//! **Rules**: a trial run and a real one make the same plan. Messages are judged in one snapshot a folder, expunged in batches, and only if they
//! still have the flags that they were taken for, and their folder its name and place. A rule that cannot be read removes nothing, and an exclusive one still keeps others away.
//! **Sources**: 2004Q2 guide, "To Set the Automatic Message Removal (Expire and Purge) Feature"; decisions in docs/expiry.md.

mod build;
mod carry;
mod header;
pub mod install;
mod plan;
mod policy;
mod pool;
mod rule;
pub mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use build::Fault;
pub use carry::{Done, Outcome};
pub use policy::Verdict;
pub use rule::{Action, Facts, Origin, Reason, Rule};

use crate::directory::Directory;
use crate::ops::quota::watch;
use crate::store::{AccountId, Links, Removed, Store, StoreError};
use plan::AccountPlan;
use pool::Threads;
use source::Loaded;

/// Seconds of an hour.
const HOUR_S: i64 = 3600;

/// Every rule that does not belong to one account.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// For the whole store.
    pub global: Loaded,
    /// By partition.
    pub partitions: BTreeMap<String, Loaded>,
    /// Files in the directories of accounts and folders count too.
    pub local: bool,
    /// User ids whose mailboxes no rule touches.
    pub excluded: BTreeSet<String>,
}

impl Rules {
    /// Adds the rule files in the directories of the partitions, and lets those of accounts and folders count.
    pub fn with_local(mut self, store: &Store) -> Rules {
        for (nickname, dir) in store.partitions() {
            if let Some(dir) = dir {
                self.partitions.insert(nickname, source::local(&dir));
            }
        }
        self.local = true;
        self
    }

    fn excludes(&self, userid: &str) -> bool {
        self.excluded.contains(userid)
    }
}

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Expire.
    pub expire: bool,
    /// Purge.
    pub purge: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Only in this partition.
    pub partition: Option<String>,
    /// Only this account.
    pub user: Option<String>,
    /// Most rules that may apply to a mailbox.
    pub rules_max: usize,
    /// Most threads.
    pub threads_max: usize,
    /// Most threads of a partition.
    pub threads_per_partition: usize,
    /// Hours that an expunged message stays.
    pub cleanup_age_h: i64,
    /// Most messages, in percent, that may expire; else nothing does.
    pub max_percent: Option<u8>,
    /// The time from which ages are counted, seconds since 1970.
    pub now_s: i64,
    /// The time of the moment, seconds since 1970: a run may take hours, and what it expunges then is expunged then.
    pub clock: fn() -> i64,
}

impl Settings {
    /// What was expunged before is purged, at a time.
    fn purge_before_s(&self, now_s: i64) -> i64 {
        now_s.saturating_sub(self.cleanup_age_h.saturating_mul(HOUR_S)).saturating_add(1)
    }
}

/// A run over the store.
pub struct Run<'a> {
    /// The store.
    pub store: &'a Store,
    /// The rules.
    pub rules: &'a Rules,
    /// What is to be done.
    pub settings: &'a Settings,
    /// The status of owners follows their usage, as is configured, in that directory.
    pub quota: (&'a watch::Settings, &'a Directory),
    /// Set by somebody who wants no more.
    pub stop: &'a AtomicBool,
    /// One for each global rule: set when there is a mailbox that it is for.
    pub matched: &'a [AtomicBool],
    /// Names of files that would go in a trial run, those that would have gone before included.
    pub links: Mutex<Links>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did what it could.
    Done,
    /// More messages would have expired than were allowed, of so many: none has.
    TooMany {
        /// Messages that would have expired.
        messages: u64,
        /// Messages in the mailboxes that were looked at.
        of: u64,
    },
}

/// An account in the order of the run.
type Item<W> = (usize, W);

impl Run<'_> {
    /// The accounts that the run is about.
    ///
    /// # Errors
    /// The list of accounts cannot be read.
    pub fn accounts(&self) -> Result<Vec<(String, AccountId)>, StoreError> {
        let mut accounts = self.store.accounts()?;
        if let Some(user) = &self.settings.user {
            accounts.retain(|(userid, _)| userid == user);
        }
        Ok(accounts)
    }

    /// Expires and purges in these accounts; `visit` gets what was done in each, in their order.
    pub fn run(&self, accounts: Vec<(String, AccountId)>, visit: &mut dyn FnMut(Outcome)) -> Ended {
        let lanes = self.lanes(accounts);
        let Some(percent) = self.settings.max_percent.filter(|_| self.settings.expire) else {
            let work = |(userid, id): (String, AccountId)| self.carry_out(self.plan(&userid, id)).weighed();
            pool::run(lanes, self.threads(), self.stop, &work, visit);
            return Ended::Done;
        };
        // Every account is planned twice: the plans of all of them would not fit into memory.
        let (mut messages, mut of) = (0, 0);
        let count = |(userid, id): (String, AccountId)| {
            let plan = self.plan(&userid, id);
            ((plan.taken(), plan.folders.iter().map(|folder| u64::from(folder.row.exists)).sum::<u64>()), 1)
        };
        pool::run(lanes.clone(), self.threads(), self.stop, &count, &mut |(taken, exist)| {
            messages += taken;
            of += exist;
        });
        let allowed = u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX);
        let too_many = messages > allowed;
        if too_many && !self.settings.dry_run {
            return Ended::TooMany { messages, of };
        }
        let left = AtomicU64::new(if self.settings.dry_run { u64::MAX } else { allowed });
        let work = |(userid, id): (String, AccountId)| self.carry_out(within(self.plan(&userid, id), &left)).weighed();
        pool::run(lanes, self.threads(), self.stop, &work, visit);
        if too_many { Ended::TooMany { messages, of } } else { Ended::Done }
    }

    /// Removes the files of folders and accounts that were deleted long enough ago; `visit` gets each, with why it could not be removed. Returns the
    /// partitions that cannot be read, and why.
    pub fn purge_removed(&self, visit: &mut dyn FnMut(&Removed, Option<StoreError>)) -> Vec<(String, StoreError)> {
        let mut failures = Vec::new();
        // Nobody can tell any more whose they were.
        if !self.settings.purge || self.settings.user.is_some() {
            return failures;
        }
        let before_s = self.settings.purge_before_s((self.settings.clock)());
        for (nickname, _) in self.store.partitions() {
            if self.settings.partition.as_ref().is_some_and(|wanted| *wanted != nickname) {
                continue;
            }
            match self.store.removed(&nickname, before_s, &mut self.links()) {
                Ok(found) => found.iter().for_each(|removed| {
                    let failed = if self.settings.dry_run { None } else { self.store.purge_removed(removed).err() };
                    visit(removed, failed);
                }),
                Err(error) => failures.push((nickname, error)),
            }
        }
        failures
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> Threads {
        Threads { per_lane: self.settings.threads_per_partition.max(1), at_most: self.settings.threads_max.max(1) }
    }

    /// The accounts by the partition of their INBOX.
    fn lanes(&self, accounts: Vec<(String, AccountId)>) -> Vec<VecDeque<Item<(String, AccountId)>>> {
        let mut lanes: BTreeMap<String, VecDeque<Item<(String, AccountId)>>> = BTreeMap::new();
        for (number, (userid, id)) in accounts.into_iter().enumerate() {
            // What cannot be read now is told when it is looked at.
            let partition = self.store.view(id).and_then(|view| view.account()).map(|row| row.partition);
            lanes.entry(partition.unwrap_or_default()).or_default().push_back((number, (userid, id)));
        }
        lanes.into_values().collect()
    }
}

/// A plan as far as so many messages may still go: of an account from which more would go, because it has changed since all was counted, nothing does.
fn within(mut plan: AccountPlan, left: &AtomicU64) -> AccountPlan {
    let taken = plan.taken();
    let may = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(taken));
    if let Err(left) = may {
        plan.folders.iter_mut().for_each(|folder| folder.judged.taken.clear());
        let text = format!(
            "{taken} messages would expire, more than the {left} that the bound leaves: there were fewer when they were counted"
        );
        plan.failures.push((format!("user/{}", plan.userid), text));
    }
    plan
}
