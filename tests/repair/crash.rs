//! A repair that is killed at every named point is carried on by the next one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use msgstore::store::check::Depth;
use msgstore::store::repair::How;
use msgstore::store::spoil::Row;
use msgstore::store::{FolderId, Store};

use super::picture::Picture;
use super::{Made, NOW, repair_all, settings};

/// The points that a repair passes.
pub const POINTS: &[&str] = &[
    "repair.after-tree",
    "repair.after-move",
    "repair.after-link",
    "repair.after-rows",
    "repair.before-removal",
    "repair.after-rename",
    "repair.after-claim",
    "renew.after-rows",
];

/// What the children run: nothing, unless a parent has given this process a store.
#[test]
fn child() {
    let Ok(root) = std::env::var("REPAIR_DIR") else { return };
    let store = Store::open(settings(std::path::Path::new(&root))).unwrap();
    repair_all(&store, How { content: true, ..How::default() });
}

/// Damage of many kinds, so that every point is passed.
fn damage(made: &Made) {
    let store = &made.store;
    store.spoil_row(made.joe, Row::Keyword(1), false).unwrap();
    fs::write(made.dir_of(made.work).join("store.idx"), "").unwrap();
    let deep = made.dir_of(made.deep).join("store.idx");
    let mut bytes = fs::read(&deep).unwrap();
    bytes[300] ^= 1;
    fs::write(&deep, bytes).unwrap();
    let edited = made.file(made.inbox, 2);
    fs::write(&edited, format!("X-Edited: yes\r\n{}", fs::read_to_string(&edited).unwrap())).unwrap();
    fs::write(made.file(made.inbox, 4), "").unwrap();
    store.spoil_row(made.joe, Row::All(made.sent), true).unwrap();
    store.spoil_row(made.joe, Row::Name(FolderId::TOP, "Sent"), true).unwrap();
    store.repair_usage(made.joe, NOW).unwrap();
    let ann = store.account_id("ann@example.net").unwrap().unwrap();
    let home = store.view(ann).unwrap().folder_dir(FolderId::INBOX).unwrap();
    let elsewhere = made.dir.path().join("store/partition/primary/=user/11/22");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::rename(&home, elsewhere.join(home.file_name().unwrap())).unwrap();
}

/// Which contents each mailbox holds, and how often.
fn contents(store: &Store) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for (name, mailbox) in Picture::of(store).mailboxes {
        for message in mailbox.messages.into_values() {
            *found.entry((name.clone(), message.guid)).or_default() += 1;
        }
    }
    found
}

#[test]
fn a_repair_that_is_killed_is_carried_on() {
    // What comes out of a repair that nobody kills.
    let whole = Made::new();
    damage(&whole);
    whole.repair(How { content: true, ..How::default() });
    let expected = contents(&whole.store);
    for point in POINTS.iter().chain(&["store.before-commit:2", "store.after-commit:3"]) {
        let made = Made::new();
        damage(&made);
        let root = made.dir.path().to_str().unwrap();
        let mut child = crate::crash::again("repair::crash::child", &[("REPAIR_DIR", root), ("CRASH_POINT", point)]);
        let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.signal(), Some(9), "{point} is not passed");
        made.repair(How { content: true, ..How::default() });
        let left = made.store.check(Depth { content: true }).unwrap();
        assert!(left.is_empty(), "{point}: {left:#?}");
        let found = contents(&made.store);
        let missing: Vec<_> = expected.iter().filter(|(key, count)| found.get(*key) != Some(*count)).collect();
        let more: Vec<_> = found.keys().filter(|key| !expected.contains_key(*key)).collect();
        assert!(missing.is_empty() && more.is_empty(), "{point}: missing {missing:?}, more {more:?}");
    }
}
