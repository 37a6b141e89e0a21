//! Folders and accounts: create, rename, delete, move to another partition.

use super::{Fixture, NOW};
use msgstore::store::{FlagChange, FlagOp, Flags, FolderId, FolderPath, Kind, Links, UidSet};

fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

fn names(f: &Fixture, account: msgstore::store::AccountId) -> Vec<String> {
    f.store.view(account).unwrap().folders().unwrap().iter().map(|(path, _)| path.to_string()).collect()
}

#[test]
fn folders_are_created_with_those_above() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.folder(joe, "Work/2004/May");
    f.folder(joe, "Archive");
    f.folder(joe, "inbox/Sub");
    assert_eq!(names(&f, joe), ["INBOX", "INBOX/Sub", "Archive", "Work", "Work/2004", "Work/2004/May"]);
    let again = f.store.folder_create(joe, &path("Work"), &Default::default(), NOW);
    assert_eq!(again.unwrap_err().kind(), Kind::Exists);
    assert_eq!(f.store.account_create("joe", None, NOW).unwrap_err().kind(), Kind::Exists);
    assert_eq!(f.store.accounts().unwrap().len(), 1);
}

#[test]
fn a_rename_takes_everything_below_along() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let may = f.folder(joe, "Work/2004/May");
    f.fill(joe, may, 3);
    f.store.folder_rename(joe, &path("Work"), &path("Old/Jobs"), NOW).unwrap();
    assert_eq!(names(&f, joe), ["INBOX", "Old", "Old/Jobs", "Old/Jobs/2004", "Old/Jobs/2004/May"]);
    assert!(f.store.open_body(joe, may, 3).is_ok());
    assert_eq!(f.store.folder_rename(joe, &path("Old"), &path("Old/x"), NOW).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(f.store.folder_rename(joe, &path("Old"), &path("INBOX"), NOW).unwrap_err().kind(), Kind::Exists);
    assert_eq!(f.store.folder_rename(joe, &path("nope"), &path("x"), NOW).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn renaming_inbox_moves_its_messages() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, FolderId::INBOX, 4);
    f.store.folder_rename(joe, &path("INBOX"), &path("Saved"), NOW).unwrap();
    assert_eq!(f.uids(joe, FolderId::INBOX), [0u32; 0]);
    let saved = f.store.view(joe).unwrap().resolve(&path("Saved")).unwrap().unwrap();
    assert_eq!(saved.exists, 4);
    f.fill(joe, FolderId::INBOX, 1);
    assert_eq!(f.uids(joe, FolderId::INBOX), [5]);
}

#[test]
fn delete_keeps_the_name_while_folders_lie_below() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let work = f.folder(joe, "Work");
    f.folder(joe, "Work/2004");
    f.fill(joe, work, 2);
    let before = f.store.view(joe).unwrap().folder(work).unwrap().unwrap().uidvalidity;
    f.store.folder_delete(joe, &path("Work"), NOW).unwrap();
    let row = f.store.view(joe).unwrap().folder(work).unwrap().unwrap();
    assert!(row.noselect && row.exists == 0);
    assert_eq!(f.store.folder_delete(joe, &path("Work"), NOW).unwrap_err().kind(), Kind::Invalid);
    f.folder(joe, "Work");
    let row = f.store.view(joe).unwrap().folder(work).unwrap().unwrap();
    assert!(!row.noselect && row.uidvalidity > before);
    f.fill(joe, work, 1);
    f.store.folder_delete_tree(joe, &path("Work"), NOW).unwrap();
    assert_eq!(names(&f, joe), ["INBOX"]);
    assert_eq!(f.store.view(joe).unwrap().account().unwrap().usage_messages, 0);
    let removed_before = |before_s| f.store.removed("primary", before_s, &mut Links::default()).unwrap();
    assert_eq!(removed_before(0), []);
    let removed = removed_before(i64::MAX);
    assert_eq!(removed.len(), 3);
    assert_eq!(removed.iter().map(|tree| tree.holds.messages).sum::<u64>(), 3);
    removed.iter().for_each(|tree| f.store.purge_removed(tree).unwrap());
    assert_eq!(removed_before(i64::MAX), []);
}

#[test]
fn what_was_deleted_in_a_partition_that_is_not_there_is_missed() {
    let f = Fixture::new();
    f.account("joe");
    let root = f.store.partitions().into_iter().find(|(nickname, _)| nickname == "second").unwrap().1.unwrap();
    let elsewhere = root.with_extension("elsewhere");
    std::fs::rename(&root, &elsewhere).unwrap();
    let error = f.store.removed("second", i64::MAX, &mut Links::default()).unwrap_err();
    std::fs::rename(&elsewhere, &root).unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(f.store.removed("second", i64::MAX, &mut Links::default()).unwrap(), []);
}

#[test]
fn the_last_of_several_names_frees_the_space() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let inbox = (joe, FolderId::INBOX);
    let works = ["A", "B"].map(|name| (joe, f.folder(joe, name)));
    f.fill(joe, FolderId::INBOX, 1);
    f.store.settle().unwrap();
    for work in works {
        f.store.copy(inbox, &UidSet::one(1), work, NOW).unwrap();
    }
    let bytes = f.store.view(joe).unwrap().message(FolderId::INBOX, 1).unwrap().unwrap().size;
    f.store.remove(joe, works[0].1, &UidSet::one(1), NOW).unwrap();
    f.store.remove(joe, works[1].1, &UidSet::one(1), NOW).unwrap();
    let mut links = Links::default();
    let mut due = |folder| {
        let due = f.store.view(joe).unwrap().purge_due(folder, NOW + 1, &mut links).unwrap();
        (due.messages, due.freed_bytes)
    };
    assert_eq!(works.map(|work| due(work.1)), [(1, 0), (1, 0)]);
    f.store.remove(joe, FolderId::INBOX, &UidSet::one(1), NOW).unwrap();
    let mut links = Links::default();
    let mut due = |folder| f.store.view(joe).unwrap().purge_due(folder, NOW + 1, &mut links).unwrap();
    let planned = [works[0].1, works[1].1, FolderId::INBOX].map(&mut due);
    let done = [works[0].1, works[1].1, FolderId::INBOX].map(|folder| f.store.purge(joe, folder, NOW + 1).unwrap());
    assert_eq!(planned, done);
    assert_eq!(done.map(|purged| purged.freed_bytes), [0, 0, bytes]);
    // A tree that holds two names of one file.
    f.fill(joe, works[0].1, 1);
    f.store.settle().unwrap();
    f.store.copy(works[0], &UidSet::one(2), works[0], NOW).unwrap();
    f.store.folder_delete(joe, &path("A"), NOW).unwrap();
    let removed = f.store.removed("primary", i64::MAX, &mut Links::default()).unwrap();
    assert_eq!((removed[0].holds.messages, removed[0].holds.freed_bytes * 2), (2, removed[0].holds.bytes));
}

#[test]
fn a_user_gets_another_name() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.account("ann");
    f.fill(joe, FolderId::INBOX, 2);
    assert_eq!(f.store.account_rename(joe, "ann", NOW).unwrap_err().kind(), Kind::Exists);
    f.store.account_rename(joe, "joseph@siroe.com", NOW).unwrap();
    assert_eq!(f.store.account_id("joe").unwrap(), None);
    assert_eq!(f.store.account_id("joseph@siroe.com").unwrap(), Some(joe));
    assert!(f.store.open_body(joe, FolderId::INBOX, 2).is_ok());
    assert_eq!(
        f.store.view(joe).unwrap().folder(FolderId::INBOX).unwrap().unwrap().acl.to_string(),
        "joseph@siroe.com lrswipcda"
    );
    let again = f.account("joe");
    assert_ne!(again, joe);
}

#[test]
fn a_deleted_account_leaves_its_name_free() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.folder(joe, "a/b");
    f.fill(joe, FolderId::INBOX, 2);
    f.store.account_delete(joe, NOW).unwrap();
    assert_eq!(f.store.account_id("joe").unwrap(), None);
    assert_eq!(f.store.accounts().unwrap().len(), 0);
    let joe = f.account("joe");
    assert_eq!(f.append(joe, FolderId::INBOX, "Subject: x\r\n\r\n", Flags::NONE), 1);
}

#[test]
fn folders_and_accounts_move_between_partitions() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let work = f.folder(joe, "Work");
    let sub = f.folder(joe, "Work/2004");
    let stay = f.folder(joe, "Stay");
    for folder in [FolderId::INBOX, work, sub, stay] {
        f.fill(joe, folder, 3);
    }
    let deleted = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
    f.store.store_flags(joe, work, &UidSet::one(2), &deleted, None).unwrap();
    f.store.expunge(joe, work, None, NOW).unwrap();
    f.store.move_partition(joe, Some(work), "second").unwrap();
    assert!(f.file(joe, sub, 1).starts_with(f.dir.path().join("second")));
    assert!(f.file(joe, sub, 1).exists() && f.file(joe, work, 2).exists());
    assert!(f.file(joe, stay, 1).starts_with(f.dir.path().join("store")));
    f.fill(joe, sub, 1);
    f.check();
    f.store.folder_rename(joe, &path("Work"), &path("Jobs"), NOW).unwrap();
    f.check();
    f.store.move_partition(joe, None, "second").unwrap();
    assert!(!f.dir.path().join("store/partition/primary/=user/04/73/=joe").exists());
    f.check();
    f.store.move_partition(joe, None, "primary").unwrap();
    assert_eq!(f.store.move_partition(joe, None, "nope").unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn an_unmounted_partition_is_no_empty_store() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, FolderId::INBOX, 1);
    let root = f.dir.path().join("store/partition/primary");
    let away = f.dir.path().join("away");
    std::fs::rename(&root, &away).unwrap();
    std::fs::create_dir(&root).unwrap();
    assert_eq!(f.store.stage("primary").err().unwrap().kind(), Kind::Unavailable);
    assert_eq!(f.store.open_body(joe, FolderId::INBOX, 1).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
}

#[test]
fn what_an_uncommitted_creation_left_does_not_stop_a_rename() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let work = f.folder(joe, "Work");
    f.fill(joe, work, 2);
    let left = f.file(joe, FolderId::INBOX, 1).parent().unwrap().parent().unwrap().join("=+New/00/1.msg");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "Subject: nobody's\r\n\r\n").unwrap();
    f.store.folder_rename(joe, &path("Work"), &path("New"), NOW).unwrap();
    assert_eq!(f.uids(joe, work), [1, 2]);
    let aside = std::fs::read_dir(f.dir.path().join("store/partition/primary/.removed")).unwrap();
    let kept: Vec<_> = aside.map(|entry| entry.unwrap().path().join("00/1.msg")).collect();
    assert_eq!(std::fs::read_to_string(&kept[0]).unwrap(), "Subject: nobody's\r\n\r\n");
}
