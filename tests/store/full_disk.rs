//! A disk that fills up: clear errors, nothing half done, and a way back by expunge and purge.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::{Fixture, NOW, message};
use msgstore::store::{Flags, FolderId, Kind, UidSet};

/// A small file system; unmounted when dropped.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    // Who reads the output of the tests is told what was not tested.
    #[allow(clippy::print_stderr)]
    fn new(size: &str) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk { dir });
        }
        let possible = crate::instance::has_rights_over_the_system();
        assert!(!(possible && std::env::var_os("CI").is_some()), "no small file system");
        eprintln!("SKIPPED: a small file system cannot be mounted here (this test wants root)");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.dir.path()).status().ok();
    }
}

fn try_append(f: &Fixture, account: msgstore::store::AccountId, text: &[u8]) -> Result<(), Kind> {
    let mut staging = f.store.stage("primary").map_err(|error| error.kind())?;
    staging
        .write_all(text)
        .map_err(|error| if error.raw_os_error() == Some(libc::ENOSPC) { Kind::NoSpace } else { Kind::Io })?;
    let staged = staging.finish().map_err(|error| error.kind())?;
    f.store
        .append(account, FolderId::INBOX, &[message(&staged, Flags::NONE)], NOW)
        .map(drop)
        .map_err(|error| error.kind())
}

fn fill_up(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![1u8; 64 * 1024];
    while file.write_all(&block).is_ok() {}
    let mut file = std::fs::File::create(path.with_extension("rest")).unwrap();
    while file.write_all(&[1u8; 512]).is_ok() {}
}

#[test]
fn a_full_disk_refuses_clearly_and_recovers() {
    let Some(disk) = SmallDisk::new("24m") else { return };
    let f = Fixture::at(tempfile::tempdir_in(disk.dir.path()).unwrap());
    let joe = f.account("joe");
    let mut text = b"Subject: big\r\n\r\n".to_vec();
    text.resize(300_000, b'x');
    let mut taken = 0;
    let refused = loop {
        match try_append(&f, joe, &text) {
            Ok(()) => taken += 1,
            Err(kind) => break kind,
        }
        assert!(taken < 100, "the disk never fills");
    };
    assert_eq!(refused, Kind::NoSpace);
    assert!(taken > 5);
    f.check();
    // One that does not fit is refused while it is written; nothing of it stays.
    let filler = disk.dir.path().join("filler");
    fill_up(&filler);
    assert_eq!(try_append(&f, joe, b"Subject: small\r\n\r\n"), Err(Kind::NoSpace));
    assert_eq!(
        f.store
            .folder_create(joe, &msgstore::store::FolderPath::parse("New").unwrap(), &Default::default(), NOW)
            .map(|row| row.exists)
            .unwrap_or(0),
        0
    );
    f.check();
    assert_eq!(f.uids(joe, FolderId::INBOX).len(), taken);
    std::fs::remove_file(&filler).unwrap();
    f.store.settle().unwrap();
    f.store.remove(joe, FolderId::INBOX, &UidSet::from_ranges([(1, 20)]), NOW).unwrap();
    f.store.purge(joe, FolderId::INBOX, NOW + 1).unwrap();
    assert_eq!(try_append(&f, joe, &text), Ok(()));
    f.check();
    drop(f);
}
