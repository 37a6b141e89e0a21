//! Damage to the mailbox database in every form ends in a running store with the same mail in it.
//!
//! `RECOVER_ACCOUNTS=10000 cargo test --features failpoints --test main -- recover::many --nocapture` prints the time for so many accounts.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use msgstore::store::{
    FlagChange, FlagOp, Flags, FolderPath, Recovery, Settings, Store, Uid, UidSet, recover, snapshots,
};

use crate::imap::PATIENCE;
use crate::instance::Instance;

/// Points of a recovery, driven here.
pub const POINTS: &[&str] = &[
    "recover.noted",
    "recover.copied",
    "recover.set-aside",
    "recover.replaced",
    "recover.opened",
    "recover.page",
    "recover.rebuilt",
];
/// Points of a snapshot, driven here.
pub const SNAPSHOT_POINTS: &[&str] =
    &["checkpoint.after-rows", "snapshot.after-copy", "snapshot.before-rename", "snapshot.before-removal"];

/// What a mailbox holds: its UIDVALIDITY, its list, and of each message the UID, the size, the content, the flags and keywords.
type Mailbox = (u32, String, Vec<(Uid, u64, String, u8, Vec<String>)>);

fn picture(store: &Store) -> BTreeMap<String, Mailbox> {
    let mut seen = BTreeMap::new();
    for (userid, account) in store.accounts().unwrap() {
        let view = store.view(account).unwrap();
        let names = view.keywords().unwrap();
        for (path, row) in view.folders().unwrap() {
            let mut states = BTreeMap::new();
            view.states(row.id, 0..=Uid::MAX, &mut |run| {
                let words: Vec<String> = run.keywords.bits().map(|bit| names[bit].clone()).collect();
                states.extend((run.first..=run.last()).map(|uid| (uid, (run.flags.0, words.clone()))));
            })
            .unwrap();
            let mut messages = Vec::new();
            view.messages(row.id, 0..=Uid::MAX, &mut |message| {
                let (flags, words) = states[&message.uid].clone();
                messages.push((message.uid, message.size, message.guid.to_string(), flags, words));
                ControlFlow::Continue(())
            })
            .unwrap();
            seen.insert(format!("user/{userid}/{path}"), (row.uidvalidity, row.acl.to_string(), messages));
        }
        seen.insert(format!("user/{userid}: {:?}", view.subscriptions().unwrap()), Mailbox::default());
    }
    seen
}

fn snapshot_dir(it: &Instance) -> PathBuf {
    it.base().join("data/store/dbdata/snapshots")
}

fn mboxlist(it: &Instance) -> PathBuf {
    it.base().join("data/store/mboxlist")
}

/// Waits for the first snapshot of a store daemon, which writes checkpoint blocks into store.idx before.
pub fn wait_for_snapshot(it: &Instance) {
    let begun = Instant::now();
    while snapshots(&snapshot_dir(it)).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "no snapshot is taken");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn flag(it: &Instance, mailbox: &str, uid: Uid, keyword: &str) {
    let (account, folder) = it.mailbox(mailbox);
    let change = FlagChange { op: FlagOp::Add, flags: Flags::FLAGGED, keywords: vec![keyword.into()] };
    it.store().store_flags(account, folder, &UidSet::one(uid), &change, None).unwrap();
}

fn log(it: &Instance) -> String {
    std::fs::read_to_string(it.base().join("data/log/default")).unwrap()
}

/// A store with a snapshot, and changes after it: mail, flags, an expunge, a purge, folders and accounts made, renamed and deleted.
fn lived() -> Instance {
    let mut it = Instance::stopped(&[("local.store.shards", "2")]);
    // The accounts lie in both shards, whatever chance says.
    it.start();
    let users: Vec<String> = (0..6).map(|number| format!("user{number}")).collect();
    for user in &users {
        it.append(&format!("user/{user}/INBOX"), &format!("Subject: {user}\r\n\r\none\r\n"), Flags::SEEN);
        it.append(&format!("user/{user}/INBOX"), &format!("Subject: {user}\r\n\r\ntwo\r\n"), Flags::NONE);
        it.append(&format!("user/{user}/Work/2004"), "Subject: old\r\n\r\nthree\r\n", Flags::ANSWERED);
        it.mailbox(&format!("user/{user}/Gone"));
    }
    wait_for_snapshot(&it);
    // One that has all that: the first may have been taken in between.
    it.stop();
    std::fs::remove_dir_all(snapshot_dir(&it)).unwrap();
    it.start();
    wait_for_snapshot(&it);
    let store = it.store();
    let path = |name: &str| FolderPath::parse(name).unwrap();
    for user in &users {
        it.append(&format!("user/{user}/INBOX"), "Subject: after\r\n\r\nfour\r\n", Flags::NONE);
        it.append(&format!("user/{user}/New"), "Subject: after\r\n\r\nfive\r\n", Flags::NONE);
        flag(&it, &format!("user/{user}/INBOX"), 2, "urgent");
        let (account, inbox) = it.mailbox(&format!("user/{user}/INBOX"));
        store.remove(account, inbox, &UidSet::one(1), 1_794_995_300).unwrap();
        store.folder_rename(account, &path("Work/2004"), &path("Old/2004"), 1_794_995_300).unwrap();
        store.folder_delete(account, &path("Gone"), 1_794_995_300).unwrap();
        store.subscribe(account, "Old/2004", true).unwrap();
    }
    it.append("user/late/INBOX", "Subject: late\r\n\r\nsix\r\n", Flags::DRAFT);
    let id = |user: &str| store.account_id(user).unwrap().unwrap();
    // Before: what belongs to nobody any more is swept much later.
    it.settle();
    store.account_delete(id("user0"), 1_794_995_300).unwrap();
    store.account_rename(id("user1"), "renamed", 1_794_995_300).unwrap();
    drop(store);
    it.stop();
    it
}

fn recovered(it: &mut Instance, wanted: &BTreeMap<String, Mailbox>, what: &str) {
    let begun = Instant::now();
    it.start();
    eprintln!("{what}: ready after {} ms", begun.elapsed().as_millis());
    let found = picture(&it.store());
    for (name, mailbox) in wanted {
        assert_eq!(found.get(name), Some(mailbox), "{what}: {name}");
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{what}");
    it.stop();
    let findings = it.store().check(msgstore::store::check::Depth { content: true }).unwrap();
    assert!(findings.is_empty(), "{what}: {findings:#?}");
}

/// What is done to an environment's directory.
type Harm = fn(&Path);

fn overwrite(file: &Path, bytes: &[u8], from_page: u64) {
    let data = std::fs::File::options().write(true).open(file).unwrap();
    let pages = data.metadata().unwrap().len() / 4096;
    for page in from_page..pages {
        data.write_all_at(bytes, page * 4096).unwrap();
    }
}

const HARMS: &[(&str, Harm)] = &[
    ("a file that is cut off", |dir| {
        let file = std::fs::File::options().write(true).open(dir.join("data.mdb")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }),
    ("an empty file", |dir| std::fs::write(dir.join("data.mdb"), b"").unwrap()),
    ("pages of zeroes", |dir| overwrite(&dir.join("data.mdb"), &[0; 4096], 2)),
    ("first pages of zeroes", |dir| overwrite(&dir.join("data.mdb"), &[0; 4096], 0)),
    ("garbage", |dir| overwrite(&dir.join("data.mdb"), &[0xa5; 4096], 0)),
    ("bytes turned over in rows", |dir| {
        let path = dir.join("data.mdb");
        let mut bytes = std::fs::read(&path).unwrap();
        for page in bytes.chunks_mut(4096).skip(2) {
            page[4000] ^= 0x55;
        }
        std::fs::write(&path, bytes).unwrap();
    }),
    ("a missing file", |dir| std::fs::remove_file(dir.join("data.mdb")).unwrap()),
    ("a missing directory", |dir| std::fs::remove_dir_all(dir).unwrap()),
    ("another version", |dir| {
        let data = std::fs::File::options().write(true).open(dir.join("data.mdb")).unwrap();
        for page in [0, 4096] {
            data.write_all_at(&9u32.to_le_bytes(), page + 20).unwrap();
        }
    }),
    ("a lock file of garbage", |dir| {
        // In a copy: this process has the old files open, and its own lock is not to be spoilt.
        std::fs::copy(dir.join("data.mdb"), dir.join("copy.mdb")).unwrap();
        std::fs::rename(dir.join("copy.mdb"), dir.join("data.mdb")).unwrap();
        std::fs::remove_file(dir.join("lock.mdb")).unwrap();
        std::fs::write(dir.join("lock.mdb"), [0xa5; 8192]).unwrap();
    }),
];

#[test]
fn every_damage_ends_in_a_running_store() {
    let mut it = lived();
    let wanted = picture(&it.store());
    for env in ["shard00", "shard01", "common"] {
        for (what, harm) in HARMS {
            harm(&mboxlist(&it).join(env));
            recovered(&mut it, &wanted, &format!("{env}: {what}"));
        }
    }
    for env in ["shard00", "shard01", "common"] {
        std::fs::remove_dir_all(mboxlist(&it).join(env)).unwrap();
    }
    recovered(&mut it, &wanted, "everything is missing");
    let log = log(&it);
    let line = "Recovering database from snapshot. Run reconstruct -m soon after startup to resync redundant data";
    assert!(log.contains(&format!("Store Warning: {line}")), "{log}");
    assert!(mboxlist(&it).join("removed/shard00/data.mdb").exists());
    it.leave_unchecked();
}

#[test]
fn without_a_snapshot_the_mailboxes_are_enough() {
    let mut it = lived();
    let wanted = picture(&it.store());
    for env in [&["shard00"][..], &["common"], &["common", "shard00", "shard01"]] {
        drop(std::fs::remove_dir_all(snapshot_dir(&it)));
        for env in env {
            std::fs::remove_dir_all(mboxlist(&it).join(env)).unwrap();
        }
        recovered(&mut it, &wanted, &format!("no snapshot, {env:?}"));
    }
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let mut it = lived();
    let wanted = picture(&it.store());
    let good = snapshots(&snapshot_dir(&it)).remove(0);
    let later = snapshot_dir(&it).join((good.taken_s + 5).to_string());
    assert!(std::process::Command::new("cp").arg("-r").args([&good.path, &later]).status().unwrap().success());
    overwrite(&later.join("shard00/data.mdb"), &[0; 4096], 2);
    assert!(snapshots(&snapshot_dir(&it))[0].verify().is_err());
    std::fs::remove_file(mboxlist(&it).join("shard00/data.mdb")).unwrap();
    recovered(&mut it, &wanted, "the newest snapshot is damaged");
    assert!(log(&it).contains(&format!("shard00: snapshot {} takes its place", good.taken_s)));
}

#[test]
fn a_recovery_that_is_killed_is_done_again() {
    let mut it = lived();
    let wanted = picture(&it.store());
    for point in POINTS {
        for env in ["common", "shard00"] {
            overwrite(&mboxlist(&it).join(env).join("data.mdb"), &[0; 4096], 2);
        }
        let mut command = it.command("stored", &[]);
        command.env("CRASH_POINT", point);
        let ended = command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{point}: {ended}");
        // Nobody uses a store that is half recovered.
        let instance = msgstore::config::Instance::at(it.base());
        let refused = msgstore::ops::store::open(&instance, &instance.conf().unwrap()).err().unwrap().to_string();
        assert!(refused.contains("recovery of the mailbox database was interrupted"), "{refused}");
        recovered(&mut it, &wanted, &format!("killed at {point}"));
    }
}

#[test]
fn mail_comes_back_that_nothing_but_its_file_tells_of() {
    let mut it = Instance::stopped(&[("local.store.shards", "1")]);
    it.start();
    it.append("user/joe/INBOX", "Subject: one\r\n\r\none\r\n", Flags::SEEN);
    it.settle();
    it.stop();
    let before = it.store().view(it.mailbox("user/joe/INBOX").0).unwrap().folders().unwrap().remove(0).1;
    // Neither snapshot nor store.idx, and a message put there by hand.
    drop(std::fs::remove_dir_all(snapshot_dir(&it)));
    let dir = it.directory_of("user/joe/INBOX");
    std::fs::remove_file(dir.join("store.idx")).unwrap();
    std::fs::copy(dir.join("00/1.msg"), dir.join("00/7.msg")).unwrap();
    std::fs::remove_dir_all(mboxlist(&it).join("shard00")).unwrap();
    it.start();
    assert_eq!(it.uids("user/joe/INBOX"), [1, 7]);
    let row = it.store().view(it.mailbox("user/joe/INBOX").0).unwrap().folders().unwrap().remove(0).1;
    assert!(row.uidvalidity != before.uidvalidity && row.uidnext > 100_000);
    assert!(it.append("user/joe/INBOX", "Subject: two\r\n\r\ntwo\r\n", Flags::NONE) > 100_000);
}

#[test]
fn a_snapshot_that_is_killed_leaves_the_older_ones() {
    let mut it = Instance::stopped(&[("local.store.snapshotinterval", "1"), ("local.store.snapshotdirs", "2")]);
    it.start();
    it.append("user/joe/INBOX", "Subject: one\r\n\r\none\r\n", Flags::SEEN);
    it.stop();
    let root = snapshot_dir(&it);
    for (number, point) in SNAPSHOT_POINTS.iter().enumerate() {
        flag(&it, "user/joe/INBOX", 1, &format!("word{number}"));
        drop(std::fs::remove_dir_all(&root));
        let store = it.store();
        store.take_snapshot(&root, 2, 1_000).unwrap();
        store.take_snapshot(&root, 2, 2_000).unwrap();
        drop(store);
        let mut command = it.command("stored", &[]);
        command.env("CRASH_POINT", point);
        let ended = command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{point}: {ended}");
        let found = snapshots(&root);
        assert!(found.len() >= 2, "{point}: {found:?}");
        found.iter().for_each(|one| one.verify().unwrap());
        let findings = it.store().check(msgstore::store::check::Depth { content: true }).unwrap();
        assert!(findings.is_empty(), "{point}: {findings:#?}");
    }
}

#[test]
fn snapshots_come_and_go() {
    let mut it = Instance::stopped(&[("local.store.snapshotpath", "copies"), ("local.store.snapshotdirs", "2")]);
    it.start();
    it.accounts(&["joe"]);
    let begun = Instant::now();
    while !it.base().join("config/stored.per").exists() {
        assert!(begun.elapsed() < PATIENCE, "no sign of life");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    it.stop();
    let root = it.base().join("data/store/copies");
    std::fs::create_dir_all(root.join(".new99/common")).unwrap();
    let store = it.store();
    for time in [10, 20, 30] {
        let taken = store.take_snapshot(&root, 2, time + 2_000_000_000).unwrap();
        assert!(taken.rows > 0 && taken.shrunk.is_empty(), "{taken:?}");
    }
    let found = snapshots(&root);
    assert_eq!(found.iter().map(|one| one.taken_s).collect::<Vec<_>>(), [2_000_000_030, 2_000_000_020]);
    found.iter().for_each(|one| one.verify().unwrap());
    assert!(!root.join(".new99").exists());
    drop(store);
    let out = it.run("stored", &["-t", "-v", "-v"]).ended(69).0;
    assert!(out.contains("snapshot 2000000030: 0d 00:00:00 ago, good\n") && out.contains("stored.ckp: 0d "), "{out}");
    std::fs::write(root.join("2000000030/common/data.mdb"), b"x").unwrap();
    std::fs::create_dir_all(root.join(".new5")).unwrap();
    let out = it.run("stored", &["-t", "-v", "-v"]).ended(69).0;
    assert!(out.contains("snapshot 2000000030: 0d 00:00:00 ago, damaged: "), "{out}");
    let out = it.run("stored", &["-R", "-v"]).ok();
    assert!(out.ends_with(" temporary files removed\n") && !root.join(".new5").exists(), "{out}");
    assert!(!mboxlist(&it).join("common/lock.mdb").exists());
}

/// The time to recovery of many accounts: `RECOVER_ACCOUNTS`, else a few.
#[test]
fn many_accounts_are_recovered() {
    let count: usize = std::env::var("RECOVER_ACCOUNTS").map_or(200, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        root: dir.path().join("store"),
        partitions: vec![("primary".into(), dir.path().join("primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, 4).unwrap();
    let copies = dir.path().join("copies");
    {
        let store = Store::open(settings.clone()).unwrap();
        let mut staging = store.stage("primary").unwrap();
        std::io::Write::write_all(&mut staging, b"Subject: x\r\n\r\nx\r\n").unwrap();
        let staged = staging.finish().unwrap();
        for number in 0..count {
            let account = store.account_create(&format!("user{number}"), None, 1_000).unwrap();
            let new = || crate::store::message(&staged, Flags::SEEN);
            store.append(account, msgstore::store::FolderId::INBOX, &[new(), new(), new()], 1_000).unwrap();
        }
        drop(staged);
        store.settle().unwrap();
        let begun = Instant::now();
        let blocks = store.checkpoint(1_500).unwrap();
        eprintln!("{count} accounts: {blocks} checkpoint blocks in {} ms", begun.elapsed().as_millis());
        assert_eq!((blocks, store.checkpoint(1_500).unwrap()), (count, 0));
        let begun = Instant::now();
        let taken = store.take_snapshot(&copies, 3, 2_000).unwrap();
        eprintln!("{count} accounts: snapshot of {} rows in {} ms", taken.rows, begun.elapsed().as_millis());
    }
    for (what, lost, with) in [
        ("one shard", &["shard00"][..], true),
        ("everything", &["common", "shard00", "shard01", "shard02", "shard03"], true),
        ("everything, no snapshot", &["common", "shard00", "shard01", "shard02", "shard03"], false),
    ] {
        for env in lost {
            std::fs::remove_dir_all(settings.root.join("mboxlist").join(env)).unwrap();
        }
        let nowhere = dir.path().join("nowhere");
        let snapshots = if with { &copies } else { &nowhere };
        let by = Recovery { settings: &settings, snapshots, shards: 4, now_s: 3_000, go_on: &|| true };
        let begun = Instant::now();
        let done = recover(&by).unwrap();
        eprintln!("{count} accounts: {what} lost, recovered in {} ms", begun.elapsed().as_millis());
        assert_eq!(done.damaged.len(), lost.len(), "{done:?}");
        let store = Store::open(settings.clone()).unwrap();
        assert_eq!(store.accounts().unwrap().len(), count);
        let findings = store.check(msgstore::store::check::Depth::default()).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
