//! The disks of the partitions: how full they are, and the locks of those that are full.

use std::path::{Path, PathBuf};

use super::published::Published;
use crate::config::{Conf, Instance};
use crate::counter::{Counters, Object, Value};
use crate::log::{self, Category};
use crate::ops::alarm::notice::Notice;
use crate::ops::disklock::{Marks, Settings, look_again_s};
use crate::os::disk::{self, Space};
use crate::store::Store;

/// What the disk of the mailbox database is called.
const DATABASE: &str = "mboxlist";

/// A disk as it was found last.
struct Disk {
    name: String,
    path: PathBuf,
    space: Space,
    locked: bool,
}

pub(super) struct Disks {
    store: Store,
    root: PathBuf,
    settings: Settings,
    marks: Marks,
    found: Vec<Disk>,
    due_s: i64,
    published: Published,
    base: String,
}

impl Disks {
    pub(super) fn new(instance: &Instance, conf: &Conf, store: &Store) -> Disks {
        Disks {
            store: store.clone(),
            root: instance.store_root(),
            settings: Settings::of(conf),
            marks: Marks::at(&instance.proc_dir()),
            found: Vec::new(),
            due_s: i64::MIN,
            published: Published::object(instance, Object::DiskUsage),
            base: instance.base().display().to_string(),
        }
    }

    pub(super) fn reload(&mut self, conf: &Conf) {
        self.settings = Settings::of(conf);
        self.look_now();
    }

    /// The next turn looks, whatever the time.
    pub(super) fn look_now(&mut self) {
        self.due_s = i64::MIN;
    }

    pub(super) fn is_due(&self, now_s: i64) -> bool {
        now_s >= self.due_s
    }

    /// Looks at all of them, locks and unlocks partitions; returns what an administrator has to be told.
    pub(super) fn look(&mut self, now_s: i64) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut found = Vec::new();
        let partitions = self.store.partitions();
        let mut places: Vec<(String, PathBuf)> =
            partitions.into_iter().filter_map(|(name, path)| Some((name, path?))).collect();
        let database = space(DATABASE, &self.root);
        for (name, path) in places.drain(..) {
            let Some(space) = space(&name, &path) else { continue };
            // Without room for the rows there is none for the messages, wherever these lie.
            let full = self.settings.is_full(space) || database.is_some_and(|space| self.settings.is_full(space));
            notices.extend(self.mark(&name, space, full));
            found.push(Disk { locked: self.marks.is_locked(&name), name, path, space });
        }
        if let Some(space) = database.filter(|_| !found.iter().any(|disk| disk.name == DATABASE)) {
            found.push(Disk { name: DATABASE.to_owned(), path: self.root.clone(), space, locked: false });
        }
        let soonest = found.iter().map(|disk| look_again_s(disk.space)).min().unwrap_or(60);
        self.due_s = now_s.saturating_add(soonest);
        self.found = found;
        self.published.publish(self.counters(now_s), now_s);
        notices
    }

    /// Hundredths that are left, by name.
    pub(super) fn percentages(&self) -> impl Iterator<Item = (String, u64)> {
        self.found.iter().map(|disk| (disk.name.clone(), disk.space.percent_available()))
    }

    fn mark(&self, name: &str, space: Space, full: bool) -> Option<Notice> {
        let used = space.percent_used();
        let done = if full { self.marks.lock(name) } else { self.marks.unlock(name) };
        match done {
            Ok(false) => None,
            Ok(true) if full => {
                let threshold = self.settings.threshold;
                let words = format!(
                    "partition {name} is locked, its disk or that of the mailbox database is full: {used}% used, over \
                     threshold of {threshold}; deliveries wait"
                );
                log::critical(Category::Store, words);
                Some(Notice {
                    description: "percentage mail partition diskspace used".to_owned(),
                    instance: name.to_owned(),
                    value: used.to_string(),
                    summary: format!(
                        "Server instance: {}\nInstance: {name}\nCurrent measured value: {used}\n\
                         Alarm condition is when over threshold of {threshold}\n\
                         The partition is locked: mail for it waits until there is space again.\n",
                        self.base
                    ),
                })
            }
            Ok(true) => {
                log::notice(Category::Store, format!("partition {name} is unlocked: {used}% of its disk is used"));
                None
            }
            Err(error) => {
                let verb = if full { "locked" } else { "unlocked" };
                log::error(Category::Store, format!("partition {name} cannot be {verb}: {error}"));
                None
            }
        }
    }

    fn counters(&self, now_s: i64) -> Counters {
        let mut all = Vec::new();
        for Disk { name, path, space, locked } in &self.found {
            let mut add = |counter: &str, value| all.push((format!("{name}.diskusage.{counter}"), value));
            add("availSpace", Value::Bytes(space.available_bytes));
            add("lastStatTime", Value::Time(now_s));
            add("locked", Value::Number(u64::from(*locked)));
            add("mailPartitionPath", Value::Text(path.display().to_string()));
            add("percentAvail", Value::Number(space.percent_available()));
            add("totalSpace", Value::Bytes(space.total_bytes));
        }
        all
    }
}

fn space(name: &str, path: &Path) -> Option<Space> {
    let space = disk::space(path);
    if let Err(error) = &space {
        log::error(Category::Store, format!("the disk of {name}, {}: {error}", path.display()));
    }
    space.ok()
}
