//! Partitions that take no deliveries, since their disk is full (`local.store.checkdiskusage`). stored decides; each process that delivers looks
//! for the mark, a file `NICKNAME.full` below `data/proc`.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Conf;
use crate::os::disk::Space;
use crate::os::durable;

const MINUTE_S: i64 = 60;

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Partitions are watched.
    pub is_on: bool,
    /// Hundredths of a disk in use from which on its partition is locked.
    pub threshold: u64,
}

impl Settings {
    /// `local.store.checkdiskusage`, `local.store.diskusagethreshold`.
    pub fn of(conf: &Conf) -> Settings {
        let threshold = u64::try_from(conf.int("local.store.diskusagethreshold")).unwrap_or(99);
        Settings { is_on: conf.bool("local.store.checkdiskusage"), threshold }
    }

    /// True when a partition with this space is to be locked.
    pub fn is_full(&self, space: Space) -> bool {
        self.is_on && space.percent_used() >= self.threshold
    }
}

/// The time until the next look, seconds: from 100 minutes for an empty disk to one for a full one (6.3 reference).
pub fn look_again_s(space: Space) -> i64 {
    (100 - i64::try_from(space.percent_used()).unwrap_or(99)).max(1) * MINUTE_S
}

/// The marks of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    dir: PathBuf,
}

impl Marks {
    /// Those below `proc_dir`, `data/proc`.
    pub fn at(proc_dir: &Path) -> Marks {
        Marks { dir: proc_dir.to_owned() }
    }

    /// True when the partition takes no deliveries.
    pub fn is_locked(&self, nickname: &str) -> bool {
        self.file(nickname).symlink_metadata().is_ok()
    }

    /// Locks a partition; true: it was not locked.
    ///
    /// # Errors
    /// What the system said.
    pub fn lock(&self, nickname: &str) -> io::Result<bool> {
        if self.is_locked(nickname) {
            return Ok(false);
        }
        durable::replace(&self.file(nickname), b"", 0o600).map(|()| true)
    }

    /// Unlocks a partition; true: it was locked.
    ///
    /// # Errors
    /// What the system said.
    pub fn unlock(&self, nickname: &str) -> io::Result<bool> {
        match std::fs::remove_file(self.file(nickname)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn file(&self, nickname: &str) -> PathBuf {
        self.dir.join(format!("{nickname}.full"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuller_disk_is_looked_at_more_often() {
        let used = |percent: u64| Space { total_bytes: 100, available_bytes: 100 - percent };
        assert_eq!([0, 50, 99, 100].map(|percent| look_again_s(used(percent)) / 60), [100, 50, 1, 1]);
        let settings = Settings { is_on: true, threshold: 99 };
        assert_eq!([98, 99, 100].map(|percent| settings.is_full(used(percent))), [false, true, true]);
        assert!(!Settings { is_on: false, threshold: 1 }.is_full(used(100)));
    }

    #[test]
    fn marks_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::at(dir.path());
        assert_eq!((marks.lock("a").unwrap(), marks.lock("a").unwrap()), (true, false));
        assert!(marks.is_locked("a") && !marks.is_locked("b"));
        assert_eq!((marks.unlock("a").unwrap(), marks.unlock("a").unwrap()), (true, false));
    }
}
