//! The damage matrix: each kind of damage is made on a copy of one prepared store, is found by the checker, repaired, and the store then is what it was
//! before, but for what the damage itself took away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stderr)]

pub mod crash;
mod kinds;
mod picture;
mod random;
mod tool;

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use msgstore::store::check::Depth;
use msgstore::store::repair::{How, Mended};
use msgstore::store::{
    AccountId, AclChange, CreateOptions, FlagChange, FlagOp, Flags, FolderId, FolderPath, NewMessage, Rights, Settings,
    Store, Uid, UidSet, layout,
};

use picture::Picture;

pub const NOW: i64 = 1_795_000_000;

fn settings(root: &Path) -> Settings {
    Settings {
        root: root.join("store"),
        partitions: vec![
            ("primary".into(), root.join("store/partition/primary")),
            ("second".into(), root.join("second")),
        ],
        default_partition: "primary".into(),
        notify_dir: None,
    }
}

/// A copy of the prepared store.
pub struct Made {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub joe: AccountId,
    pub inbox: FolderId,
    pub work: FolderId,
    pub deep: FolderId,
    pub sent: FolderId,
}

fn path(name: &str) -> FolderPath {
    FolderPath::parse(name).unwrap()
}

fn append(store: &Store, account: AccountId, folder: FolderId, text: &str, flags: Flags, keywords: &[&str]) {
    let partition = store.view(account).unwrap().folder(folder).unwrap().unwrap().partition;
    let mut staging = store.stage(&partition).unwrap();
    staging.write_all(text.as_bytes()).unwrap();
    let staged = staging.finish().unwrap();
    let item = NewMessage {
        staged: &staged,
        flags,
        keywords: keywords.iter().map(|word| (*word).to_owned()).collect(),
        internal_date_s: NOW - 86_400,
        internal_zone_min: 60,
    };
    store.append(account, folder, &[item], NOW).unwrap();
}

/// Messages of the sample, lines ending in CRLF.
fn samples() -> Vec<String> {
    let text = include_str!("../../testdata/sample.mbox");
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("From ") {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push_str("\r\n");
        }
    }
    found
}

/// Makes the store that all copies are taken of.
fn prepare(root: &Path) {
    Store::create(&settings(root), 2).unwrap();
    let store = Store::open(settings(root)).unwrap();
    let samples = samples();
    for userid in ["joe", "ann@example.net"] {
        let account = store.account_create(userid, None, NOW - 1_000_000).unwrap();
        let make = |name: &str, partition: Option<&str>| {
            let options = CreateOptions { partition: partition.map(str::to_owned), ..CreateOptions::default() };
            store.folder_create(account, &path(name), &options, NOW - 500_000).unwrap().id
        };
        let (work, deep, sent) = (make("Work", None), make("Work/Deep", Some("second")), make("Sent", None));
        for (number, text) in samples.iter().cycle().take(8).enumerate() {
            let text = format!("X-Number: {number}\r\n{text}");
            let flags = if number % 2 == 0 { Flags::SEEN } else { Flags::FLAGGED };
            append(
                &store,
                account,
                FolderId::INBOX,
                &text,
                flags,
                if number % 3 == 0 { &["$Work", "Later"] } else { &[] },
            );
        }
        let many: Vec<_> = (0..205)
            .map(|number| {
                let mut staging = store.stage("primary").unwrap();
                write!(staging, "Subject: work {number}\r\nMessage-ID: <{number}@{userid}>\r\n\r\nbody {number}\r\n")
                    .unwrap();
                staging.finish().unwrap()
            })
            .collect();
        let items: Vec<_> = many
            .iter()
            .map(|staged| NewMessage {
                staged,
                flags: Flags::ANSWERED,
                keywords: Vec::new(),
                internal_date_s: NOW - 172_800,
                internal_zone_min: 0,
            })
            .collect();
        store.append(account, work, &items, NOW).unwrap();
        for number in 0..3 {
            append(&store, account, deep, &format!("Subject: deep {number}\r\n\r\nx\r\n"), Flags::NONE, &["Later"]);
            append(&store, account, sent, &format!("Subject: sent {number}\r\n\r\nx\r\n"), Flags::SEEN, &[]);
        }
        store.remove(account, FolderId::INBOX, &[3, 7].into_iter().collect::<UidSet>(), NOW).unwrap();
        store.subscribe(account, "Work", true).unwrap();
        store.subscribe(account, "Sent", true).unwrap();
        store.change_acl(account, work, "ann@example.net", AclChange::Replace(Rights::parse("lrs").unwrap())).unwrap();
        let flag = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
        store.store_flags(account, work, &UidSet::from_ranges([(100, 110)]), &flag, None).unwrap();
    }
    store.settle().unwrap();
    assert_eq!(store.check(Depth { content: true }).unwrap(), []);
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else if entry.file_name() != "lock.mdb" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Made {
    pub fn new() -> Made {
        crate::instance::raise_descriptors();
        static PREPARED: OnceLock<tempfile::TempDir> = OnceLock::new();
        let prepared = PREPARED.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            prepare(dir.path());
            dir
        });
        let dir = tempfile::tempdir().unwrap();
        copy_tree(prepared.path(), dir.path());
        let store = Store::open(settings(dir.path())).unwrap();
        let joe = store.account_id("joe").unwrap().unwrap();
        let of = |name: &str| store.view(joe).unwrap().resolve(&path(name)).unwrap().unwrap().id;
        let (work, deep, sent) = (of("Work"), of("Work/Deep"), of("Sent"));
        Made { dir, store, joe, inbox: FolderId::INBOX, work, deep, sent }
    }

    pub fn dir_of(&self, folder: FolderId) -> PathBuf {
        self.store.view(self.joe).unwrap().folder_dir(folder).unwrap()
    }

    pub fn file(&self, folder: FolderId, uid: Uid) -> PathBuf {
        self.dir_of(folder).join(layout::message_file(uid))
    }

    /// Repairs everything, as `reconstruct -r` and then `reconstruct -m` do.
    pub fn repair(&self, how: How) -> Vec<Mended> {
        repair_all(&self.store, how)
    }
}

fn repair_all(store: &Store, how: How) -> Vec<Mended> {
    let mut done = Vec::new();
    for (_, account) in store.accounts().unwrap() {
        done.extend(store.repair(account, None, how, NOW).unwrap());
    }
    for unknown in store.unknown_directories(None).unwrap() {
        done.extend(store.take_in(&unknown, NOW).unwrap());
    }
    store.count_domains(true).unwrap();
    done
}

/// Damages a copy, repairs it, and compares: `took` says what the damage itself took away.
#[track_caller]
fn mend(name: &str, how: How, damage: impl FnOnce(&Made), took: impl FnOnce(&mut Picture, &Made)) {
    let made = Made::new();
    let mut expected = Picture::of(&made.store);
    damage(&made);
    let depth = Depth { content: true };
    let found = made.store.check(depth).unwrap();
    assert!(!found.is_empty(), "{name}: nothing is found");
    let done = made.repair(How { content: true, ..how });
    assert!(!done.is_empty(), "{name}: nothing is said, {found:#?}");
    assert!(done.iter().all(|done| !done.left), "{name}: {done:#?}");
    let left = made.store.check(depth).unwrap();
    assert!(left.is_empty(), "{name}: left wrong {left:#?}\nfound {found:#?}\ndone {done:#?}");
    took(&mut expected, &made);
    let after = Picture::of(&made.store);
    assert_eq!(after.difference(&expected), "", "{name}: {done:#?}");
    // What is right is left alone.
    let again = made.repair(How { content: true, ..How::default() });
    assert!(again.is_empty(), "{name}: {again:#?}");
}
