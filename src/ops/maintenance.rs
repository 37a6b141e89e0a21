//! The work of the store daemon: recovery before anything else may start, and what is due while it runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::store;
use crate::config::{Conf, ConfigError, Instance};
use crate::log::{self, Category};
use crate::store::{Store, StoreError};

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

/// The maintenance loop: the open store and when each kind of work was done last.
pub struct Maintenance {
    store: Store,
    settled_s: i64,
    reaped_s: i64,
    /// How long deliveries are remembered, in seconds.
    remembered_s: i64,
}

/// Opens and recovers the store: links of deliveries before an unclean stop are made again, operations of dead processes are
/// finished. Nothing else starts before this has succeeded.
///
/// # Errors
/// [`MaintenanceError`]: the store must not be served.
pub fn startup(instance: &Instance, now_s: i64) -> Result<Maintenance, MaintenanceError> {
    let conf = instance.conf()?;
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
    Ok(Maintenance { store, settled_s: now_s, reaped_s: now_s, remembered_s: remembered_s(&conf) })
}

impl Maintenance {
    /// The open store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Does what is due; called about once a second. Failures are logged and tried again when the work is due next.
    pub fn tick(&mut self, now_s: i64) {
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

    /// Takes over a changed configuration. New partitions are known to the store already; another place of one takes effect with a restart.
    pub fn reload(&mut self, conf: &Conf) {
        self.remembered_s = remembered_s(conf);
        let configured = conf.partitions();
        for moved in self.store.settings().partitions.iter().filter(|known| !configured.contains(known)) {
            let text = format!("partition {} has another place now, or none: restart the services", moved.0);
            log::warning(Category::Store, text);
        }
    }

    /// Leaves nothing for the next start that can be done now.
    pub fn finish(&mut self) {
        report("settling deliveries", self.store.settle().map(drop));
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
        let mut maintenance = startup(&instance, 1_000).unwrap();
        maintenance.store().account_create("joe", None, 1_000).unwrap();
        maintenance.tick(1_100);
        maintenance.finish();
        assert!(maintenance.store().account_id("joe").unwrap().is_some());
    }
}
