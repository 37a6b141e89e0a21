//! The work of the store daemon: what is done before anything else may start, and what is due while it runs.

use std::io;
use std::path::PathBuf;

use crate::config::{Conf, ConfigError, Instance};
use crate::log::{self, Category};
use crate::os::durable;

/// Why the store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A directory of the store is missing or cannot be used.
    #[error("the directory {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The state of the maintenance loop.
#[derive(Debug)]
pub struct Maintenance {
    directories: Vec<PathBuf>,
    checked_s: i64,
}

/// How often the directories are looked at while the daemon runs, in seconds.
const CHECK_EVERY_S: i64 = 60;

/// Prepares the store: its directories can be written. Nothing else starts before this has succeeded.
///
/// # Errors
/// [`MaintenanceError`]: the store must not be served.
pub fn startup(instance: &Instance, now_s: i64) -> Result<Maintenance, MaintenanceError> {
    let maintenance = Maintenance {
        directories: directories(instance, &instance.conf()?),
        checked_s: now_s,
    };
    for path in &maintenance.directories {
        durable::sync_dir(path).map_err(|source| MaintenanceError::Directory {
            path: path.clone(),
            source,
        })?;
    }
    Ok(maintenance)
}

impl Maintenance {
    /// Does what is due; called about once a second. Failures are logged and tried again.
    pub fn tick(&mut self, now_s: i64) {
        if now_s.saturating_sub(self.checked_s) < CHECK_EVERY_S {
            return;
        }
        self.checked_s = now_s;
        for path in &self.directories {
            if let Err(error) = durable::sync_dir(path) {
                let text = format!("the directory {} cannot be used: {error}", path.display());
                log::critical(Category::Store, text);
            }
        }
    }

    /// Takes over a changed configuration.
    pub fn reload(&mut self, instance: &Instance, conf: &Conf) {
        self.directories = directories(instance, conf);
    }
}

fn directories(instance: &Instance, conf: &Conf) -> Vec<PathBuf> {
    let partitions = conf.partitions().into_iter().map(|(_, path)| path);
    std::iter::once(instance.store_root())
        .chain(partitions)
        .collect()
}
