//! The store among processes, and at the limits of its keys. (The environments themselves: `src/store/lmdb/tests.rs`.)

#![allow(clippy::unwrap_used)]

use msgstore::store::{FolderPath, Kind, NameError, Store};

use crate::store::{Fixture, NOW};

#[test]
fn names_beyond_the_limits_of_keys_are_refused_in_words() {
    let it = Fixture::new();
    let joe = it.account("joe");
    let error = it.store.subscribe(joe, &"s".repeat(600), true).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("1 to 498 bytes"), "{error}");
    it.store.subscribe(joe, &"s".repeat(498), true).unwrap();
    assert_eq!(it.store.view(joe).unwrap().subscriptions().unwrap(), ["s".repeat(498)]);

    let long = FolderPath::parse(&format!("Work/{}", "x".repeat(300)));
    assert!(matches!(long, Err(NameError::TooLong(301))), "{long:?}");
    // The longest that a directory can have is well inside of a key, and a whole tree of them is too.
    let longest = "x".repeat(254);
    it.folder(joe, &format!("{longest}/{longest}/{longest}"));
    let userid = "u".repeat(600);
    let error = it.store.account_create(&userid, None, NOW).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert_eq!(it.store.account_id(&userid).unwrap(), None);
}

#[test]
fn two_stores_in_one_process_share_their_environments() {
    let it = Fixture::new();
    let joe = it.account("joe");
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(it.dir.path(), other.path().join("link")).unwrap();
    let mut settings = it.store.settings().clone();
    settings.root = other.path().join("link/store");
    let second = Store::open(settings).unwrap();
    // A second environment over the same files would have dropped the locks of the first when it was closed.
    it.fill(joe, msgstore::store::FolderId::INBOX, 2);
    assert_eq!(second.account_id("joe").unwrap(), Some(joe));
    let view = second.view(joe).unwrap();
    assert_eq!(view.folder(msgstore::store::FolderId::INBOX).unwrap().unwrap().exists, 2);
    drop(view);
    drop(second);
    it.fill(joe, msgstore::store::FolderId::INBOX, 1);
}
