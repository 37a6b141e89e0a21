//! A plan carried out, or told as it would be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Run;
use super::plan::{AccountPlan, FolderPlan};
use super::policy::Verdict;
use super::rule::{Action, Reason, Rule};
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
            match self.still_too_full(id, &row, &rules, taken) {
                Ok(still) => taken = still,
                Err(error) => {
                    fail(error);
                    taken = Vec::new();
                }
            }
            let gone = self.take(id, row.id, &rules, &taken, &chosen, &mut fail);
            taken.retain(|verdict| gone.contains(verdict.facts.uid));
        }
        let mut purged = Purged::default();
        if self.settings.purge {
            match self.purge_folder(id, row.id, &taken) {
                Ok(done) => purged = done,
                Err(error) => fail(error),
            }
        }
        let Folder { partition, uidvalidity, .. } = row;
        Done { mailbox, partition, uidvalidity, rules, taken, reported: judged.reported, purged }
    }

    /// What is to go from a folder that had to be made smaller, if somebody has made it smaller since: it is judged again.
    fn still_too_full(
        &self,
        id: AccountId,
        row: &Folder,
        rules: &[Arc<Rule>],
        taken: Vec<Verdict>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let crowded =
            |verdict: &Verdict| matches!(verdict.reason, Reason::Count | Reason::Bytes | Reason::Both | Reason::All);
        if !taken.iter().any(crowded) {
            return Ok(taken);
        }
        let now =
            self.store.view(id)?.folder(row.id)?.ok_or_else(|| StoreError::NotFound { what: "the mailbox".into() })?;
        if now.exists >= row.exists && now.bytes >= row.bytes {
            return Ok(taken);
        }
        let mut failed = None;
        let judged = self.judge(id, &now, rules, &mut failed)?;
        match failed {
            Some(error) => Err(error),
            None => Ok(judged.taken),
        }
    }

    /// Expunges and moves; returns the messages that really went.
    fn take(
        &self,
        id: AccountId,
        folder: FolderId,
        rules: &[Arc<Rule>],
        taken: &[Verdict],
        chosen: &Chosen,
        fail: &mut dyn FnMut(StoreError),
    ) -> UidSet {
        let mut ways: BTreeMap<Way, Vec<Uid>> = BTreeMap::new();
        for verdict in taken {
            let Some(rule) = rules.get(verdict.rule) else { continue };
            let to = match &rule.action {
                Action::FileInto(to) => Some(to.clone()),
                _ => None,
            };
            ways.entry((to, rule.required(verdict.reason).0)).or_default().push(verdict.facts.uid);
        }
        let mut gone: Vec<(Uid, Uid)> = Vec::new();
        for ((to, flags), uids) in ways {
            let chosen = Chosen { flags: Flags(flags), ..chosen.clone() };
            for batch in uids.chunks(BATCH) {
                let batch: UidSet = batch.iter().copied().collect();
                match self.take_batch(id, folder, &batch, to.as_ref(), &chosen) {
                    Ok(went) => gone.extend(went.ranges()),
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
        match self.store.folder_create(id, to, &Default::default(), self.settings.now_s) {
            Ok(row) => Ok(row.id),
            // Somebody else was faster.
            Err(error) if error.kind() == Kind::Exists => {
                let row = self.store.view(id)?.resolve(to)?;
                row.map(|row| row.id).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    fn purge_folder(&self, id: AccountId, folder: FolderId, taken: &[Verdict]) -> Result<Purged, StoreError> {
        let before_s = self.settings.purge_before_s((self.settings.clock)());
        if !self.settings.dry_run {
            return self.store.purge(id, folder, before_s);
        }
        let before_s = self.settings.purge_before_s(self.settings.now_s);
        let mut due = self.store.view(id)?.purge_due(folder, before_s)?;
        if before_s > self.settings.now_s {
            // What goes now is purged in the same run. Whether its space becomes free depends on copies, which is not looked at here.
            due.messages += taken.len() as u64;
            due.bytes += taken.iter().map(|verdict| verdict.facts.size).sum::<u64>();
        }
        Ok(due)
    }
}
