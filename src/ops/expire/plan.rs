//! What a run will do in one account: its mailboxes, the rules that apply to each, the messages they take. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Run;
use super::policy::{Judge, Judged, applicable};
use super::rule::{Facts, Fill, Origin, Rule};
use super::source::{Loaded, local};
use crate::message::header::is_cached;
use crate::ops::mailbox::show_name;
use crate::store::{AccountId, Folder, FolderPath, Kind, Message, Store, StoreError, Uid};

/// Longest header that is looked at, in bytes.
const HEADER_MOST: u64 = 16 << 20;

/// Looks at the mailboxes of an account that is being renamed or moved, and the pause between two.
const TRIES: u32 = 100;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// A folder and where it lies; no directory: the partition is not there.
type Here = (FolderPath, Folder, Option<PathBuf>);
/// With the rules in its directory, where those count.
type Ruled = (Here, Option<Loaded>);

/// What is planned for one mailbox.
#[derive(Clone, Debug)]
pub(super) struct FolderPlan {
    pub(super) path: FolderPath,
    pub(super) row: Folder,
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) judged: Judged,
}

/// What is planned for one account.
#[derive(Clone, Debug)]
pub(super) struct AccountPlan {
    pub(super) userid: String,
    pub(super) id: AccountId,
    /// Mailboxes that are in reach of the run, also those from which nothing goes.
    pub(super) folders: Vec<FolderPlan>,
    pub(super) faults: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// Mailboxes that could not be looked at, and why.
    pub(super) failures: Vec<(String, String)>,
}

impl AccountPlan {
    /// How many messages are to go.
    pub(super) fn taken(&self) -> u64 {
        self.folders.iter().map(|folder| folder.judged.taken.len() as u64).sum()
    }
}

impl Run<'_> {
    /// Plans one account.
    pub(super) fn plan(&self, userid: &str, id: AccountId) -> AccountPlan {
        let mut plan = AccountPlan {
            userid: userid.to_owned(),
            id,
            folders: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
        };
        match self.plan_folders(&mut plan) {
            Ok(()) => {}
            // Deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => plan.failures.push((format!("user/{userid}"), error.to_string())),
        }
        plan
    }

    fn plan_folders(&self, plan: &mut AccountPlan) -> Result<(), StoreError> {
        let expires = self.settings.expire;
        let (userid, folders) = self.folders_with_rules(plan.id, expires)?;
        plan.userid = userid;
        let expires = expires && !self.rules.excludes(&plan.userid);
        // The rules in the directory of each folder; those of INBOX's are the account's.
        let mut found: BTreeMap<FolderPath, Loaded> = BTreeMap::new();
        for ((path, row, dir), loaded) in folders {
            if let Some(loaded) = loaded.filter(|_| expires) {
                plan.faults.extend(loaded.faults.iter().map(ToString::to_string));
                plan.warnings.extend(loaded.warnings.iter().cloned());
                found.insert(path.clone(), loaded);
            }
            let elsewhere = self.settings.partition.as_ref().is_some_and(|wanted| *wanted != row.partition);
            if row.noselect || elsewhere {
                continue;
            }
            let mailbox = show_name(&plan.userid, &path);
            if dir.is_none() {
                let text = format!("partition {} is not mounted, or not one of this store", row.partition);
                plan.failures.push((mailbox, text));
                continue;
            }
            let rules = if expires { self.rules_of(&plan.userid, &path, &row, &found) } else { Vec::new() };
            if rules.len() > self.settings.rules_max {
                let text = format!(
                    "{} rules apply, more than {} (-m): nothing expires there",
                    rules.len(),
                    self.settings.rules_max
                );
                plan.failures.push((mailbox, text));
                plan.folders.push(FolderPlan { path, row, rules: Vec::new(), judged: Judged::default() });
                continue;
            }
            let mut failed = None;
            let judged = self.judge(plan.id, &row, &rules, &mut failed);
            let judged = judged.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                Judged::default()
            });
            if let Some(error) = failed.filter(|error| !matches!(error.kind(), Kind::NotFound | Kind::Expunged)) {
                plan.failures.push((mailbox, error.to_string()));
            }
            plan.folders.push(FolderPlan { path, row, rules, judged });
        }
        Ok(())
    }

    /// The folders of an account, and the rules in their directories, none of which was moved while they were read.
    fn folders_with_rules(&self, id: AccountId, expires: bool) -> Result<(String, Vec<Ruled>), StoreError> {
        let local_rules = |dir: &Option<PathBuf>| dir.as_deref().map_or_else(unreachable_rules, local);
        for _ in 0..TRIES {
            let before = self.folders_now(id)?;
            let wanted = expires && self.rules.local;
            let read: Vec<Option<Loaded>> =
                before.1.iter().map(|(_, _, dir)| wanted.then(|| local_rules(dir))).collect();
            let after = self.folders_now(id)?;
            let place = |(path, row, dir): &Here| (path.clone(), row.id, dir.clone());
            let same = before.0 == after.0 && before.1.iter().map(place).eq(after.1.iter().map(place));
            if same && !before.2 && !after.2 {
                return Ok((before.0, before.1.into_iter().zip(read).collect()));
            }
            std::thread::sleep(PAUSE);
        }
        Err(StoreError::InUse { what: "a mailbox".into(), by: None })
    }

    /// The userid and the folders of an account with their directories, and whether directories are being moved.
    fn folders_now(&self, id: AccountId) -> Result<(String, Vec<Here>, bool), StoreError> {
        let view = self.store.view(id)?;
        let folders = view.folders()?.into_iter().map(|(path, row)| {
            let dir = view.folder_dir(row.id).ok();
            (path, row, dir)
        });
        Ok((view.account()?.userid, folders.collect(), view.is_moving()?))
    }

    /// The rules that apply to a mailbox: global ones, those of the partition, of the account, of the folders above it, its own.
    fn rules_of(
        &self,
        userid: &str,
        path: &FolderPath,
        row: &Folder,
        found: &BTreeMap<FolderPath, Loaded>,
    ) -> Vec<Arc<Rule>> {
        for (rule, matched) in self.rules.global.rules.iter().zip(self.matched) {
            if !matched.load(Ordering::Relaxed) && rule.applies(userid, path) {
                matched.store(true, Ordering::Relaxed);
            }
        }
        let inbox = FolderPath::inbox();
        let mut layers: Vec<&Loaded> = vec![&self.rules.global];
        layers.extend(self.rules.partitions.get(&row.partition));
        layers.extend(found.get(&inbox));
        // By name: those above come before those below.
        layers.extend(
            found.iter().filter(|(above, _)| **above != inbox && path.starts_with(above)).map(|(_, loaded)| loaded),
        );
        applicable(layers.into_iter().flat_map(|loaded| &loaded.rules), userid, path)
    }

    /// Reads a folder, as far as its rules need it, and judges its messages. A header that cannot be read is told in `failed`.
    pub(super) fn judge(
        &self,
        account: AccountId,
        row: &Folder,
        rules: &[Arc<Rule>],
        failed: &mut Option<StoreError>,
    ) -> Result<Judged, StoreError> {
        // The counters of the same snapshot as the messages.
        let view = self.store.view(account)?;
        let row = &view.folder(row.id)?.ok_or_else(|| StoreError::NotFound { what: "the mailbox".into() })?;
        let fill = Fill { messages: u64::from(row.exists), bytes: row.bytes };
        let (seen, deleted) = (u64::from(row.exists.saturating_sub(row.unseen)), u64::from(row.deleted));
        if !rules.iter().any(|rule| rule.may_take(fill, seen, deleted)) {
            return Ok(Judged::default());
        }
        let with_headers = rules.iter().any(|rule| rule.needs_header());
        let mut messages: Vec<Facts> = Vec::with_capacity(row.exists as usize);
        // Whole rows only where store.idx is to be read.
        let mut rows: Vec<Message> = Vec::new();
        let mut runs = Vec::new();
        view.states(row.id, 0..=Uid::MAX, &mut |run| runs.push(run))?;
        let mut runs = runs.into_iter().peekable();
        view.messages(row.id, 0..=Uid::MAX, &mut |message| {
            while runs.next_if(|run| run.last() < message.uid).is_some() {}
            let run = runs.peek().filter(|run| run.first <= message.uid);
            if let Some(run) = run {
                messages.push(Facts {
                    uid: message.uid,
                    flags: run.flags,
                    size: message.size,
                    internal_s: message.internal_date_s,
                    saved_s: message.saved_s,
                });
                if with_headers {
                    rows.push(message);
                }
            }
            ControlFlow::Continue(())
        })?;
        drop(view);
        let mut headers = Headers::new(self.store, account, row, rules);
        let mut read = |at: usize| {
            let row: &Message = rows.get(at)?;
            headers.read(row).map_err(|error| failed.get_or_insert(error)).ok()
        };
        let judged = Judge { rules, messages: &messages, now_s: self.settings.now_s, read: &mut read }.judge();
        Ok(Judged { fill, ..judged })
    }
}

/// The rules in a directory that is not there now: what they protect is not known.
fn unreachable_rules() -> Loaded {
    let origin = Origin { place: "a partition that is not mounted".to_owned(), line: 0 };
    Loaded { rules: vec![Arc::new(Rule::exempting(String::new(), origin, None))], ..Loaded::default() }
}

/// Reads headers of one folder: from store.idx where that has all the fields the rules ask for, else from the message files.
struct Headers<'s> {
    store: &'s Store,
    account: AccountId,
    row: &'s Folder,
    /// store.idx has every field that is asked for.
    cached: bool,
    index: Option<crate::store::IndexReader>,
    bodies: crate::store::Bodies,
}

impl<'s> Headers<'s> {
    fn new(store: &'s Store, account: AccountId, row: &'s Folder, rules: &[Arc<Rule>]) -> Headers<'s> {
        let names: BTreeSet<&str> = rules.iter().flat_map(|rule| rule.header_names()).collect();
        let cached = names.iter().all(|name| is_cached(name.as_bytes()));
        Headers { store, account, row, cached, index: None, bodies: store.bodies(account, row.id) }
    }

    fn read(&mut self, message: &Message) -> Result<Vec<u8>, StoreError> {
        if !self.cached {
            let file = self.bodies.open(message.uid)?;
            let mut lines = Vec::new();
            file.take(message.header_size.min(HEADER_MOST)).read_to_end(&mut lines).map_err(|error| {
                StoreError::Unavailable { what: format!("cannot read message {}: {error}", message.uid) }
            })?;
            return Ok(lines);
        }
        if self.index.is_none() {
            self.index = Some(self.store.index(self.account, self.row)?);
        }
        match &mut self.index {
            Some(index) => index.with_headers(message, <[u8]>::to_vec),
            None => Ok(Vec::new()),
        }
    }
}
