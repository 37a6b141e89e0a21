//! The work of the store daemon: recovery before anything else may start, and what is due while it runs.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::store;
use crate::config::{Conf, ConfigError, Instance};
use crate::log::{self, Category};
use crate::store::{Kind, Recovered, Recovery, Store, StoreError, Taken, recover, snapshots};

/// Why the store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened or recovered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often deliveries are settled, in seconds.
const SETTLE_EVERY_S: i64 = 5;
/// How often what dead processes left is looked for, in seconds.
const REAP_EVERY_S: i64 = 60;

/// How often checkpoint blocks are written, in seconds.
const CHECKPOINT_EVERY_S: i64 = 3600;
/// How soon a snapshot that failed is tried again, in seconds.
const RETRY_S: i64 = 600;
/// The files in `config` that are touched as signs of life, and how often, in seconds: checkpoints, clean-up of logs, states of users.
pub const SIGNS: [(&str, i64); 3] = [("stored.ckp", 60), ("stored.lcu", 300), ("stored.per", CHECKPOINT_EVERY_S)];

/// When and where snapshots are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// Their directory.
    pub path: PathBuf,
    /// Seconds between two of them.
    pub every_s: i64,
    /// How many are kept.
    pub keep: usize,
}

/// What the configuration says about snapshots.
pub fn snapshot_plan(instance: &Instance, conf: &Conf) -> SnapshotPlan {
    SnapshotPlan {
        path: instance.store_root().join(conf.string("local.store.snapshotpath")),
        every_s: conf.int("local.store.snapshotinterval").saturating_mul(60),
        keep: usize::try_from(conf.int("local.store.snapshotdirs")).unwrap_or(2),
    }
}

/// What the work beside the loop gave: the checkpoint blocks, and the snapshot, if one was due.
type Copied = (Result<usize, StoreError>, Option<Result<Taken, StoreError>>);

/// The maintenance loop: the open store and when each kind of work was done last.
pub struct Maintenance {
    store: Store,
    instance: Instance,
    plan: SnapshotPlan,
    /// The thread that copies, if one is under way.
    copying: Option<JoinHandle<Copied>>,
    checkpointed_s: i64,
    snapshot_tried_s: Option<i64>,
    /// A snapshot is due whatever the interval says.
    snapshot_now: bool,
    signs_s: [i64; SIGNS.len()],
    signs_failed: bool,
    settled_s: i64,
    reaped_s: i64,
    /// How long deliveries are remembered, in seconds.
    remembered_s: i64,
}

/// Opens and recovers the store: damaged environments of the mailbox database are replaced and brought up to date, links of deliveries before an unclean stop are made again, operations of dead processes are
/// finished. Nothing else starts before this has succeeded. When `go_on` says no, the look at the database ends; the next snapshot has the rest.
///
/// # Errors
/// [`MaintenanceError`]: the store must not be served.
pub fn startup(instance: &Instance, now_s: i64, go_on: &dyn Fn() -> bool) -> Result<Maintenance, MaintenanceError> {
    let conf = instance.conf()?;
    let plan = snapshot_plan(instance, &conf);
    let settings = store::settings(instance, &conf);
    let shards = u32::try_from(conf.int("local.store.shards")).unwrap_or(1);
    let recovered = recover(&Recovery { settings: &settings, snapshots: &plan.path, shards, now_s, go_on })?;
    tell(&recovered);
    store::create(instance, &conf)?;
    let store = store::open(instance, &conf)?;
    store.reap_readers()?;
    let settled = store.settle()?;
    let finished = store.finish_intents()?;
    store.sweep_staging(at(now_s))?;
    if store.count_domains(false)? > 0 {
        log::notice(Category::Store, "usage of domains counted: the store was made by an older release");
    }
    if store.rebuild_lookups(false)? > 0 {
        log::notice(Category::Store, "lookup rights of shared folders listed: the store was made by an older release");
    }
    if settled.relinked > 0 || finished > 0 {
        let text = format!(
            "recovered after an unclean stop: {} messages linked again, {finished} operations finished",
            settled.relinked
        );
        log::notice(Category::Store, text);
    }
    Ok(Maintenance {
        store,
        instance: instance.clone(),
        plan,
        copying: None,
        checkpointed_s: now_s,
        snapshot_tried_s: None,
        snapshot_now: recovered.incomplete || recovered.in_use || !recovered.damaged.is_empty(),
        signs_s: [0; SIGNS.len()],
        signs_failed: false,
        settled_s: now_s,
        reaped_s: now_s,
        remembered_s: remembered_s(&conf),
    })
}

/// Removes what is temporary in the database of a stopped store, without looking at it. Gives the number of files and directories.
///
/// # Errors
/// A process has the store open, or something cannot be removed.
pub fn remove_temporary(instance: &Instance, conf: &Conf) -> Result<usize, MaintenanceError> {
    let plan = snapshot_plan(instance, conf);
    Ok(crate::store::remove_temporary(&store::settings(instance, conf), &plan.path)?)
}

/// What there is to tell of a store daemon and its work.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The signs of life: the file and when it was touched, seconds since 1970; `None`: never.
    pub signs: Vec<(&'static str, Option<i64>)>,
    /// The snapshots, the newest first: when they were taken, and what is wrong with one that is damaged.
    pub snapshots: Vec<(i64, Option<String>)>,
    /// Damaged environments that were kept.
    pub removed: Vec<String>,
    /// A recovery was interrupted.
    pub interrupted: bool,
}

/// Looks at the traces of the store daemon's work, and reads every snapshot through. The store is not opened.
pub fn health(instance: &Instance, conf: &Conf) -> Health {
    use std::os::unix::fs::MetadataExt;
    let touched = |name: &str| std::fs::metadata(instance.config_dir().join(name)).ok().map(|meta| meta.mtime());
    let found = snapshots(&snapshot_plan(instance, conf).path);
    let mboxlist = instance.store_root().join("mboxlist");
    let removed = std::fs::read_dir(mboxlist.join("removed")).into_iter().flatten().filter_map(Result::ok);
    let mut removed: Vec<String> = removed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    removed.sort();
    Health {
        signs: SIGNS.iter().map(|(name, _)| (*name, touched(name))).collect(),
        snapshots: found.iter().map(|one| (one.taken_s, one.verify().err().map(|error| error.to_string()))).collect(),
        removed,
        interrupted: mboxlist.join("recovery").exists(),
    }
}

/// Writes what the recovery found to the log, at the level and in the words that the manual names.
fn tell(recovered: &Recovered) {
    if recovered.in_use {
        log::warning(
            Category::Store,
            "another process has the store open: the mailbox database was not looked through",
        );
    } else if recovered.incomplete {
        log::warning(Category::Store, "the mailbox database is large: the rest of it is read with the next snapshot");
    }
    for damage in &recovered.damaged {
        let kept = if damage.kept { "the damaged files are in mboxlist/removed" } else { "no damaged files were kept" };
        log::warning(Category::Store, format!("mailbox database {} is damaged: {}; {kept}", damage.env, damage.what));
        let text = match damage.snapshot_s {
            Some(taken_s) => format!("mailbox database {}: snapshot {taken_s} takes its place", damage.env),
            None => format!(
                "mailbox database {}: there is no sound snapshot, it is made anew from the mailboxes",
                damage.env
            ),
        };
        log::warning(Category::Store, text);
    }
    if recovered.damaged.is_empty() {
        return;
    }
    log::warning(
        Category::Store,
        "Recovering database from snapshot. Run reconstruct -m soon after startup to resync redundant data",
    );
    let done = recovered.rebuilt;
    let text = format!(
        "mailbox database recovered: {} accounts brought up to date, {} removed; folders: {} added, {} removed, {} with new \
         UIDVALIDITY; messages: {} added, {} removed",
        done.accounts,
        done.accounts_removed,
        done.folders_added,
        done.folders_removed,
        done.folders_renumbered,
        done.messages_added,
        done.messages_removed
    );
    log::warning(Category::Store, text);
}

impl Maintenance {
    /// The open store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Does what is due; called about once a second. Failures are logged and tried again when the work is due next.
    pub fn tick(&mut self, now_s: i64) {
        self.show_signs(now_s);
        self.copy(now_s);
        if due(&mut self.settled_s, now_s, SETTLE_EVERY_S) {
            report("settling deliveries", self.store.settle().map(drop));
        }
        if due(&mut self.reaped_s, now_s, REAP_EVERY_S) {
            report("freeing readers", self.store.reap_readers().map(drop));
            let finished = self.store.finish_intents();
            if let Ok(count @ 1..) = finished {
                let text = format!("{count} operations of dead processes finished");
                log::notice(Category::Store, text);
            }
            report("finishing operations", finished.map(drop));
            let swept = self.store.sweep_staging(at(now_s));
            report("removing staging files", swept.map(drop));
            let forgotten = self.store.forget_delivered(now_s.saturating_sub(self.remembered_s));
            report("forgetting old deliveries", forgotten.map(drop));
        }
    }

    /// Touches the files that tell that the daemon works.
    fn show_signs(&mut self, now_s: i64) {
        for ((name, every_s), last_s) in SIGNS.iter().zip(&mut self.signs_s) {
            if !due(last_s, now_s, *every_s) {
                continue;
            }
            let path = self.instance.config_dir().join(name);
            let file = std::fs::File::options().write(true).create(true).truncate(false).open(&path);
            let touched = file.and_then(|file| file.set_modified(at(now_s)));
            if let Err(error) = touched
                && !std::mem::replace(&mut self.signs_failed, true)
            {
                log::warning(Category::General, format!("cannot touch {}: {error}", path.display()));
            }
        }
    }

    /// Writes checkpoint blocks and takes a snapshot when they are due, on a thread of their own: deliveries are settled meanwhile.
    fn copy(&mut self, now_s: i64) {
        if let Some(thread) = self.copying.take_if(|thread| thread.is_finished()) {
            self.copied(thread.join().ok());
        }
        if self.copying.is_some() {
            return;
        }
        let newest = snapshots(&self.plan.path).first().map(|one| one.taken_s);
        let old = newest.is_none_or(|taken_s| !(0..self.plan.every_s).contains(&now_s.saturating_sub(taken_s)));
        let tried = self.snapshot_tried_s.is_some_and(|tried_s| (0..RETRY_S).contains(&now_s.saturating_sub(tried_s)));
        // One that failed is tried again later; one that succeeded is not old.
        let snapshot = (old || self.snapshot_now) && !(tried && self.plan.every_s > RETRY_S);
        if !due(&mut self.checkpointed_s, now_s, CHECKPOINT_EVERY_S) && !snapshot {
            return;
        }
        if snapshot {
            self.snapshot_tried_s = Some(now_s);
        }
        let (store, plan) = (self.store.clone(), self.plan.clone());
        let work = move || {
            let checkpoint = store.checkpoint(now_s);
            (checkpoint, snapshot.then(|| store.take_snapshot(&plan.path, plan.keep, now_s)))
        };
        match std::thread::Builder::new().name("snapshot".into()).spawn(work) {
            Ok(thread) => self.copying = Some(thread),
            Err(error) => log::critical(Category::Store, format!("taking a snapshot: {error}")),
        }
    }

    fn copied(&mut self, done: Option<Copied>) {
        let Some((checkpoint, snapshot)) = done else {
            log::critical(Category::Store, "taking a snapshot: the thread panicked");
            return;
        };
        report("writing checkpoints", checkpoint.map(drop));
        match snapshot {
            None => {}
            Some(Ok(taken)) => {
                self.snapshot_now = false;
                self.snapshot_tried_s = None;
                for (env, then, now) in &taken.shrunk {
                    let text = format!("snapshot: {env} has {now} rows and had {then}: the snapshot before stays");
                    log::warning(Category::Store, text);
                }
                log::notice(Category::Store, format!("snapshot {} taken: {} rows", taken.path.display(), taken.rows));
            }
            Some(Err(error)) if error.kind() == Kind::Corrupt => {
                let text = format!(
                    "the mailbox database is damaged: {error}; stop and start the services: the start recovers it"
                );
                log::critical(Category::Store, text);
            }
            Some(Err(error)) => log::critical(Category::Store, format!("taking a snapshot: {error}")),
        }
    }

    /// Takes over a changed configuration. New partitions are known to the store already; another place of one takes effect with a restart.
    pub fn reload(&mut self, conf: &Conf) {
        self.remembered_s = remembered_s(conf);
        self.plan = snapshot_plan(&self.instance, conf);
        let configured = conf.partitions();
        for moved in self.store.settings().partitions.iter().filter(|known| !configured.contains(known)) {
            let text = format!("partition {} has another place now, or none: restart the services", moved.0);
            log::warning(Category::Store, text);
        }
    }

    /// Leaves nothing for the next start that can be done now.
    pub fn finish(&mut self, now_s: i64) {
        report("settling deliveries", self.store.settle().map(drop));
        // One that is under way is left: it is not a snapshot before its end, and the next start removes what it wrote.
        report("writing checkpoints", self.store.checkpoint(now_s).map(drop));
    }
}

fn remembered_s(conf: &Conf) -> i64 {
    conf.int("local.delivery.duplicatewindow")
}

/// True once every `every_s` seconds; a clock that was set back does not stop the work.
fn due(last_s: &mut i64, now_s: i64, every_s: i64) -> bool {
    let passed = now_s.saturating_sub(*last_s);
    let due = passed >= every_s || passed < 0;
    if due {
        *last_s = now_s;
    }
    due
}

fn at(now_s: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(now_s).unwrap_or(0))
}

fn report(what: &str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        log::critical(Category::Store, format!("{what}: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_due_at_intervals_even_when_the_clock_is_set_back() {
        let mut last = 100;
        assert!(!due(&mut last, 104, 5));
        assert!(due(&mut last, 105, 5));
        assert!(!due(&mut last, 106, 5));
        assert!(due(&mut last, 50, 5));
        assert!(due(&mut last, 55, 5));
    }

    #[test]
    fn a_store_is_recovered_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        instance.create_files(&[]).unwrap();
        for name in [instance.store_root(), instance.proc_dir()] {
            std::fs::create_dir_all(name).unwrap();
        }
        let mut maintenance = startup(&instance, 1_000, &|| true).unwrap();
        maintenance.store().account_create("joe", None, 1_000).unwrap();
        maintenance.tick(1_100);
        maintenance.finish(1_200);
        assert!(maintenance.store().account_id("joe").unwrap().is_some());
    }
}
