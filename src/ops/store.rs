//! The store of an instance: its settings from the configuration.

use super::quota::watch::Watch;
use crate::config::{Conf, Instance};
use crate::store::{Settings, Store, StoreError};

/// The store's settings as the configuration has them.
pub fn settings(instance: &Instance, conf: &Conf) -> Settings {
    Settings {
        root: instance.store_root(),
        partitions: conf.partitions(),
        default_partition: conf.default_partition(),
        notify_dir: Some(instance.proc_dir()),
    }
}

/// Creates what of the instance's store is not there yet: the mailbox database and the partitions.
///
/// # Errors
/// Directories or files cannot be made, or what is there is of another store.
pub fn create(instance: &Instance, conf: &Conf) -> Result<(), StoreError> {
    let shards = u32::try_from(conf.int("local.store.shards")).unwrap_or(1);
    Store::create(&settings(instance, conf), shards)
}

/// Opens the instance's store.
///
/// # Errors
/// It does not exist, is damaged, or is of another format.
pub fn open(instance: &Instance, conf: &Conf) -> Result<Store, StoreError> {
    let store = Store::open(settings(instance, conf))?;
    // A partition works as soon as it is configured, also for services that run.
    let (instance, watch) = (instance.clone(), Watch::new(instance, conf));
    store.follow_quota(Box::new(move || watch.now().rules));
    store.follow_partitions(Box::new(move || {
        instance.conf().ok().map(|conf| (conf.partitions(), conf.default_partition()))
    }));
    Ok(store)
}
