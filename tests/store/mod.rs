//! The store, without processes: every test ends with the checker.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod acl;
mod duplicates;
mod full_disk;
mod large;
mod meanwhile;
mod messages;
mod quota;
mod relocation;
mod uses;

use std::io::Write;
use std::path::PathBuf;

use msgstore::store::check::Depth;
use msgstore::store::{AccountId, Flags, FolderId, FolderPath, NewMessage, Settings, Staged, Store, Uid};

/// A time in November 2026.
pub const NOW: i64 = 1_795_000_000;

/// A store in a directory of its own; dropped, it is checked.
pub struct Fixture {
    pub store: Store,
    pub dir: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::at(tempfile::tempdir().unwrap())
    }

    pub fn at(dir: tempfile::TempDir) -> Fixture {
        crate::instance::raise_descriptors();
        let settings = Settings {
            root: dir.path().join("store"),
            partitions: vec![
                ("primary".into(), dir.path().join("store/partition/primary")),
                ("second".into(), dir.path().join("second")),
            ],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 2).unwrap();
        let store = Store::open(settings).unwrap();
        Fixture { store, dir }
    }

    pub fn account(&self, userid: &str) -> AccountId {
        self.store.account_create(userid, None, NOW).unwrap()
    }

    pub fn folder(&self, account: AccountId, path: &str) -> FolderId {
        self.store.folder_create(account, &FolderPath::parse(path).unwrap(), &Default::default(), NOW).unwrap().id
    }

    pub fn stage(&self, text: &str) -> Staged {
        let mut staging = self.store.stage("primary").unwrap();
        staging.write_all(text.as_bytes()).unwrap();
        staging.finish().unwrap()
    }

    pub fn append(&self, account: AccountId, folder: FolderId, text: &str, flags: Flags) -> Uid {
        let staged = self.stage(text);
        let item = message(&staged, flags);
        self.store.append(account, folder, &[item], NOW).unwrap().uids[0]
    }

    pub fn fill(&self, account: AccountId, folder: FolderId, count: u32) {
        for number in 0..count {
            self.append(account, folder, &format!("Subject: {number}\r\n\r\nbody {number}\r\n"), Flags::NONE);
        }
    }

    pub fn uids(&self, account: AccountId, folder: FolderId) -> Vec<Uid> {
        let mut uids = Vec::new();
        let view = self.store.view(account).unwrap();
        view.states(folder, 0..=Uid::MAX, &mut |run| uids.extend(run.first..=run.last())).unwrap();
        uids
    }

    pub fn file(&self, account: AccountId, folder: FolderId, uid: Uid) -> PathBuf {
        let dir = self.store.view(account).unwrap().folder_dir(folder).unwrap();
        dir.join(msgstore::store::layout::message_file(uid))
    }

    pub fn check(&self) {
        let findings = self.store.check(Depth { content: true }).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

pub fn message(staged: &Staged, flags: Flags) -> NewMessage<'_> {
    NewMessage { staged, flags, keywords: Vec::new(), internal_date_s: NOW, internal_zone_min: 0 }
}
