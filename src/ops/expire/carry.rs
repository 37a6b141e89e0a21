//! A plan carried out, or told as it would be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Run;
use super::plan::{AccountPlan, FolderPlan};
use super::policy::{Judged, Verdict};
use super::pool::Weighed;
use super::rule::{Action, Fill, Reason, Rule};
use crate::ops::mailbox::show_name;
use crate::ops::quota::status;
use crate::store::{AccountId, Chosen, Flags, Folder, FolderId, FolderPath, Kind, Purged, StoreError, Uid, UidSet};

/// Messages that are expunged or moved in one transaction.
const BATCH: usize = 1000;

/// What a run did in one account, or would do.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The account.
    pub userid: String,
    /// Its mailboxes in which something was done.
    pub mailboxes: Vec<Done>,
    /// Mailboxes that were looked at.
    pub looked: u64,
    /// Rules that were refused, with their places.
    pub faults: Vec<String>,
    /// What should be known of rule files.
    pub warnings: Vec<String>,
    /// Mailboxes in which something could not be done, and why.
    pub failures: Vec<(String, String)>,
}

impl Outcome {
    /// With the number of messages that it names.
    pub(super) fn weighed(self) -> Weighed<Outcome> {
        let weight = self.mailboxes.iter().map(|done| done.taken.len() + done.reported.len()).sum();
        (self, weight)
    }
}

/// What was done in one mailbox.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Its name for a person.
    pub mailbox: String,
    /// Its partition.
    pub partition: String,
    /// Its UIDVALIDITY.
    pub uidvalidity: u32,
    /// The rules that apply to it.
    pub rules: Vec<Arc<Rule>>,
    /// Messages that were expunged or moved.
    pub taken: Vec<Verdict>,
    /// Messages that rules only name.
    pub reported: Vec<Verdict>,
    /// Messages that were purged.
    pub purged: Purged,
}

impl Done {
    /// The rule of a verdict.
    pub fn rule(&self, verdict: &Verdict) -> Option<&Rule> {
        self.rules.get(verdict.rule).map(Arc::as_ref)
    }
}

/// The messages that leave a folder in the same way: where to, and which flags they must still have.
type Way = (Option<FolderPath>, u8);

/// Does a message go because of how full its folder is?
fn by_fill(verdict: &Verdict) -> bool {
    matches!(verdict.reason, Reason::Count | Reason::Bytes | Reason::Both | Reason::All)
}

impl Run<'_> {
    /// Carries a plan out, or tells what that would do.
    pub(super) fn carry_out(&self, plan: AccountPlan) -> Outcome {
        let AccountPlan { userid, id, folders, faults, warnings, failures } = plan;
        let looked = folders.len() as u64;
        let mut outcome = Outcome { userid, looked, faults, warnings, failures, ..Outcome::default() };
        for folder in folders {
            let done = self.carry_out_folder(&outcome.userid, id, folder, &mut outcome.failures);
            if !done.taken.is_empty() || !done.reported.is_empty() || done.purged.messages > 0 {
                outcome.mailboxes.push(done);
            }
        }
        if !self.settings.dry_run && outcome.mailboxes.iter().any(|done| !done.taken.is_empty()) {
            let (settings, directory) = self.quota;
            status::follow(settings, self.store, directory, id);
        }
        outcome
    }

    fn carry_out_folder(
        &self,
        userid: &str,
        id: AccountId,
        plan: FolderPlan,
        failures: &mut Vec<(String, String)>,
    ) -> Done {
        let mailbox = show_name(userid, &plan.path);
        let mut fail = |error: StoreError| match error.kind() {
            // Deleted meanwhile.
            Kind::NotFound => {}
            _ => failures.push((mailbox.clone(), error.to_string())),
        };
        let FolderPlan { path, row, rules, judged } = plan;
        let mut taken = judged.taken;
        if !self.settings.dry_run && !taken.is_empty() {
            let partition = row.partition.clone();
            let chosen = Chosen { userid: userid.to_owned(), path, partition, flags: Flags::NONE };
            let judged = Judged { taken, reported: Vec::new(), fill: judged.fill };
            let still = self.still_too_full(id, &row, &rules, judged).unwrap_or_else(|error| {
                fail(error);
                Judged::default()
            });
            let gone = self.take(id, row.id, &rules, &still, &chosen, &mut fail);
            taken = still.taken;
            taken.retain(|verdict| gone.contains(verdict.facts.uid));
        }
        let mut purged = Purged::default();
        if self.settings.purge {
            match self.purge_folder(id, row.id, &rules, &taken) {
                Ok((done, failed)) => {
                    purged = done;
                    failures.extend(failed.map(|text| (mailbox.clone(), text)));
                }
                Err(error) => fail(error),
            }
        }
        let Folder { partition, uidvalidity, .. } = row;
        Done { mailbox, partition, uidvalidity, rules, taken, reported: judged.reported, purged }
    }

    /// What is to go from a folder that had to be made smaller, if somebody has made it smaller since: what goes by a second judgement as well.
    fn still_too_full(
        &self,
        id: AccountId,
        row: &Folder,
        rules: &[Arc<Rule>],
        judged: Judged,
    ) -> Result<Judged, StoreError> {
        if !judged.taken.iter().any(by_fill) || self.is_as_full(id, row.id, judged.fill)? {
            return Ok(judged);
        }
        let planned: UidSet = judged.taken.iter().map(|verdict| verdict.facts.uid).collect();
        let mut failed = None;
        let mut judged = self.judge(id, row, rules, &mut failed)?;
        judged.taken.retain(|verdict| planned.contains(verdict.facts.uid));
        match failed {
            Some(error) => Err(error),
            None => Ok(judged),
        }
    }

    /// Is as much in the folder as there was?
    fn is_as_full(&self, id: AccountId, folder: FolderId, was: Fill) -> Result<bool, StoreError> {
        let now = self.store.view(id)?.folder(folder)?;
        let now = now.ok_or_else(|| StoreError::NotFound { what: "the mailbox".into() })?;
        Ok(u64::from(now.exists) >= was.messages && now.bytes >= was.bytes)
    }

    /// Expunges and moves; returns the messages that really went. When somebody else makes the folder smaller meanwhile, the rest of what was to go
    /// because it is too full is left to the next run.
    fn take(
        &self,
        id: AccountId,
        folder: FolderId,
        rules: &[Arc<Rule>],
        judged: &Judged,
        chosen: &Chosen,
        fail: &mut dyn FnMut(StoreError),
    ) -> UidSet {
        let mut ways: BTreeMap<Way, Vec<&Verdict>> = BTreeMap::new();
        for verdict in &judged.taken {
            let Some(rule) = rules.get(verdict.rule) else { continue };
            let to = match &rule.action {
                Action::FileInto(to) => Some(to.clone()),
                _ => None,
            };
            ways.entry((to, rule.required(verdict.reason).0)).or_default().push(verdict);
        }
        let mut gone: Vec<(Uid, Uid)> = Vec::new();
        let mut left = judged.fill;
        for ((to, flags), verdicts) in ways {
            let chosen = Chosen { flags: Flags(flags), ..chosen.clone() };
            for batch in verdicts.chunks(BATCH) {
                let taken = batch.iter().any(|verdict| by_fill(verdict)).then(|| self.is_as_full(id, folder, left));
                let as_full = match taken.transpose() {
                    Ok(as_full) => as_full.unwrap_or(true),
                    Err(error) => {
                        fail(error);
                        break;
                    }
                };
                let uids: UidSet = batch
                    .iter()
                    .filter(|verdict| as_full || !by_fill(verdict))
                    .map(|verdict| verdict.facts.uid)
                    .collect();
                match self.take_batch(id, folder, &uids, to.as_ref(), &chosen) {
                    Ok(went) => {
                        for verdict in batch.iter().filter(|verdict| went.contains(verdict.facts.uid)) {
                            left.messages = left.messages.saturating_sub(1);
                            left.bytes = left.bytes.saturating_sub(verdict.facts.size);
                        }
                        gone.extend(went.ranges());
                    }
                    Err(error) => {
                        fail(error);
                        break;
                    }
                }
            }
        }
        UidSet::from_ranges(gone)
    }

    fn take_batch(
        &self,
        id: AccountId,
        folder: FolderId,
        batch: &UidSet,
        to: Option<&FolderPath>,
        chosen: &Chosen,
    ) -> Result<UidSet, StoreError> {
        let now_s = (self.settings.clock)();
        let Some(to) = to else {
            return Ok(self.store.remove_chosen(id, folder, batch, chosen, now_s)?.uids);
        };
        let target = self.target(id, to)?;
        let moved = self.store.move_chosen(id, (folder, target), batch, chosen, now_s)?;
        Ok(moved.pairs.into_iter().map(|(from, _)| from).collect())
    }

    /// The folder that messages are moved to, made when it is missing.
    fn target(&self, id: AccountId, to: &FolderPath) -> Result<FolderId, StoreError> {
        if let Some(row) = self.store.view(id)?.resolve(to)?.filter(|row| !row.noselect) {
            return Ok(row.id);
        }
        match self.store.folder_create(id, to, &Default::default(), (self.settings.clock)()) {
            Ok(row) => Ok(row.id),
            // Somebody else was faster.
            Err(error) if error.kind() == Kind::Exists => {
                let row = self.store.view(id)?.resolve(to)?;
                row.map(|row| row.id).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Purges a folder; gives what went, and what is to be said of files that could not be removed.
    fn purge_folder(
        &self,
        id: AccountId,
        folder: FolderId,
        rules: &[Arc<Rule>],
        taken: &[Verdict],
    ) -> Result<(Purged, Option<String>), StoreError> {
        if self.settings.dry_run {
            return Ok((self.would_purge(id, folder, rules, taken)?, None));
        }
        let before_s = self.settings.purge_before_s((self.settings.clock)());
        let (mut first, mut more) = (None, 0);
        let purged = self.store.purge_what_can(id, folder, before_s, &mut |error| match &first {
            None => first = Some(error.to_string()),
            Some(_) => more += 1,
        })?;
        let failed = first.map(|text| match more {
            0 => text,
            more => format!("{text}; so it is with {more} more of its files"),
        });
        Ok((purged, failed))
    }

    fn would_purge(
        &self,
        id: AccountId,
        folder: FolderId,
        rules: &[Arc<Rule>],
        taken: &[Verdict],
    ) -> Result<Purged, StoreError> {
        let before_s = self.settings.purge_before_s(self.settings.now_s);
        let view = self.store.view(id)?;
        let mut links = self.links();
        let mut due = view.purge_due(folder, before_s, &mut links)?;
        if before_s > self.settings.now_s {
            // What goes now is purged in the same run; the file of a message that is moved has another name then.
            let is_moved =
                |verdict: &&Verdict| rules.get(verdict.rule).is_some_and(|rule| rule.action != Action::Discard);
            let lost = taken.iter().filter(|verdict| !is_moved(verdict)).map(|verdict| verdict.facts.uid);
            due += Purged {
                messages: taken.len() as u64,
                bytes: taken.iter().map(|verdict| verdict.facts.size).sum(),
                freed_bytes: view.would_free(folder, lost, &mut links)?,
            };
        }
        Ok(due)
    }
}
