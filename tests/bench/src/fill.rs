//! Makes many accounts with empty folders in an instance: `fill CONFIG_DIRECTORY ACCOUNTS FOLDERS`. For measuring lists only.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use msgstore::config::Instance;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let base = Path::new(&words[1]).parent().unwrap();
    assert!(
        base.metadata().unwrap().uid() == 0,
        "this instance belongs to a service account; the benchmark's does not"
    );
    let instance = Instance::at(base);
    let store = msgstore::ops::store::open(&instance, &instance.conf().unwrap()).unwrap();
    msgstore_bench::fill(&store, words[2].parse().unwrap(), words[3].parse().unwrap());
}
