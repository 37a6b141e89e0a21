//! Partitions: the directory behind a nickname, its mark, and those that are configured while the store is open.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::lmdb::{Env, Group};
use super::schema::{SHARD, kind};
use super::{FolderId, Inner, Quiet, Store, StoreError, body, rows, schema};

/// The partitions by nickname and the nickname of the default one, as they are configured at the moment; `None` when that cannot be read.
pub type Configured = Box<dyn Fn() -> Option<(Vec<(String, PathBuf)>, String)> + Send + Sync>;

/// The file that marks the directory of a partition.
const MARK: &str = ".partition";

/// What is learnt about partitions after the store was opened.
#[derive(Default)]
pub(super) struct Added {
    configured: OnceLock<Configured>,
    /// Kept as long as the process lives: they are as few as partitions are.
    found: Mutex<Vec<(String, &'static Path)>>,
}

impl Store {
    /// How the store learns of partitions that are added while it is open. It is asked for a name that is not among its settings, for the
    /// default partition of a new account, and before work on all partitions. A partition that is known stays where it is: another place
    /// takes effect when the store is opened again. Only the first call counts.
    pub fn follow_partitions(&self, configured: Configured) {
        // A second source for one store would be a mistake without harm.
        drop(self.inner.added.configured.set(configured));
    }

    /// Nickname and directory of every partition that is configured now; no directory where it is not mounted, or not one of this store.
    pub fn partitions(&self) -> Vec<(String, Option<PathBuf>)> {
        let nicknames = self.inner.partitions();
        nicknames
            .into_iter()
            .map(|nickname| {
                let path = self.inner.partition(&nickname).ok().map(Path::to_owned);
                (nickname, path)
            })
            .collect()
    }
}

impl Inner {
    /// The directory of a partition. Its `.partition` file must be there: an unmounted disk must not look like an empty store.
    pub(crate) fn partition(&self, nickname: &str) -> Result<&Path, StoreError> {
        let path = match self.known_partition(nickname) {
            Some(path) => path,
            None => {
                self.learn_partitions();
                self.known_partition(nickname)
                    .ok_or_else(|| StoreError::NoPartition { nickname: nickname.to_owned() })?
            }
        };
        if !self.settings.partitions.iter().any(|(name, _)| name == nickname) {
            // Nobody has looked at it when the store was opened: it may be the directory of another partition.
            adopt(self.common_env, &self.common, self.store_id, nickname, path)?;
            return Ok(path);
        }
        let missing = match std::fs::symlink_metadata(path.join(MARK)) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(_) => false,
        };
        if missing && adopt(self.common_env, &self.common, self.store_id, nickname, path).is_ok() {
            return Ok(path);
        }
        Err(StoreError::Unavailable {
            what: format!("partition {nickname}: {} is not there or is not a partition of this store", path.display()),
        })
    }

    /// The nicknames of all partitions, those added since the store was opened included.
    pub(super) fn partitions(&self) -> Vec<String> {
        self.learn_partitions();
        let settings = self.settings.partitions.iter().map(|(name, _)| name.clone());
        settings.chain(super::lock(&self.added.found).iter().map(|(name, _)| name.clone())).collect()
    }

    /// The partition of a new account whose owner names none.
    pub(super) fn default_partition(&self) -> String {
        let configured = self.added.configured.get().and_then(|configured| configured());
        configured.map_or_else(|| self.settings.default_partition.clone(), |(_, default)| default)
    }

    fn known_partition(&self, nickname: &str) -> Option<&Path> {
        if let Some((_, path)) = self.settings.partitions.iter().find(|(name, _)| name == nickname) {
            return Some(path);
        }
        super::lock(&self.added.found).iter().find(|(name, _)| name == nickname).map(|(_, path)| *path)
    }

    /// Looks which partitions are configured by now.
    fn learn_partitions(&self) {
        let Some((partitions, _)) = self.added.configured.get().and_then(|configured| configured()) else {
            return;
        };
        for (nickname, path) in partitions {
            if self.settings.partitions.iter().any(|(name, _)| *name == nickname) {
                continue;
            }
            let mut found = super::lock(&self.added.found);
            if !found.iter().any(|(name, _)| *name == nickname) {
                found.push((nickname, Box::leak(path.into_boxed_path())));
            }
        }
    }
}

/// Makes a directory a partition of this store, unless it was one already and has lost its mark: then it is not mounted.
pub(super) fn adopt(
    common: &'static Env,
    group: &Group<Quiet>,
    store_id: [u8; 16],
    nickname: &str,
    path: &Path,
) -> Result<(), StoreError> {
    let key = schema::key(SHARD, kind::PARTITION, FolderId::TOP, nickname.as_bytes());
    let known = rows::value(&common.read()?, &key)?.is_some();
    let store: String = store_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mark = format!("store = \"{store}\"\npartition = \"{nickname}\"\n");
    let file = path.join(MARK);
    match std::fs::read_to_string(&file) {
        Ok(found) if found == mark => return Ok(()),
        Ok(_) => {
            return Err(StoreError::Unavailable {
                what: format!("{} belongs to another store or partition", path.display()),
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !known => {}
        Err(error) => return Err(StoreError::io("read", &file, error)),
    }
    body::make_dir(&path.join(body::STAGING))?;
    crate::os::durable::replace(&file, mark.as_bytes(), 0o600)
        .map_err(|error| StoreError::io("write", &file, error))?;
    group.run(|txn, ()| rows::put(txn, &key, path.as_os_str().as_encoded_bytes().to_vec()))
}
