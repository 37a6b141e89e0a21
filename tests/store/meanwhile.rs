//! Readers whose folder goes elsewhere meanwhile.

use msgstore::store::{Flags, FolderId, FolderPath, Kind, Message, UidSet};

use super::{Fixture, NOW};

/// An entry that store.idx does not have is made from the message. Its folder may have another name by then, and another folder its old one: UIDs are
/// the same there.
#[test]
fn entries_follow_their_folder() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let path = |name: &str| FolderPath::parse(name).unwrap();
    let (first, second) = (f.folder(joe, "A"), f.folder(joe, "C"));
    f.append(joe, first, "Subject: right\r\n\r\n", Flags::NONE);
    f.append(joe, second, "Subject: wrong\r\n\r\n", Flags::NONE);
    let view = f.store.view(joe).unwrap();
    // Nothing is known of where its entry lies, as after a failed write of store.idx.
    let row = Message { entry: Default::default(), ..view.message(first, 1).unwrap().unwrap() };
    let mut index = f.store.index(joe, &view.folder(first).unwrap().unwrap()).unwrap();
    drop(view);
    f.store.folder_rename(joe, &path("A"), &path("B"), NOW).unwrap();
    f.store.folder_rename(joe, &path("C"), &path("A"), NOW).unwrap();
    assert_eq!(index.with_headers(&row, <[u8]>::to_vec).unwrap(), b"Subject: right\r\n");
    let (entry, _) = index.entry(&row).unwrap();
    assert!(String::from_utf8_lossy(entry.envelope()).contains("\"right\""));
}

/// A message of a folder that was deleted is gone: nothing about it is damaged.
#[test]
fn a_deleted_folder_has_no_messages() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let folder = f.folder(joe, "A");
    f.fill(joe, folder, 1);
    let view = f.store.view(joe).unwrap();
    let row = Message { entry: Default::default(), ..view.message(folder, 1).unwrap().unwrap() };
    let mut index = f.store.index(joe, &view.folder(folder).unwrap().unwrap()).unwrap();
    drop(view);
    f.store.folder_delete(joe, &FolderPath::parse("A").unwrap(), NOW).unwrap();
    assert_eq!(index.entry(&row).unwrap_err().kind(), Kind::Expunged);
    assert_eq!(f.store.open_body(joe, folder, 1).unwrap_err().kind(), Kind::Expunged);
    assert_eq!(f.store.bodies(joe, folder).open(1).unwrap_err().kind(), Kind::Expunged);
}

/// A purge takes one of the messages that somebody brings back: the others come back all the same.
#[test]
fn a_purge_is_faster_with_one_of_the_messages_that_are_brought_back() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, FolderId::INBOX, 2);
    f.store.settle().unwrap();
    f.store.remove(joe, FolderId::INBOX, &UidSet::one(1), NOW).unwrap();
    f.store.remove(joe, FolderId::INBOX, &UidSet::one(2), NOW + 10).unwrap();
    // Who reads the second file waits until somebody writes to it.
    let file = f.file(joe, FolderId::INBOX, 2);
    let kept = file.with_extension("kept");
    std::fs::rename(&file, &kept).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    std::thread::scope(|scope| {
        let restored = scope.spawn(|| f.store.restore(joe, FolderId::INBOX, NOW, NOW + 20).unwrap());
        let writer = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        assert_eq!(f.store.purge(joe, FolderId::INBOX, NOW + 1).unwrap().messages, 1);
        std::fs::rename(&kept, &file).unwrap();
        drop(writer);
        assert_eq!(restored.join().unwrap(), 1);
    });
    assert_eq!(f.uids(joe, FolderId::INBOX), [3]);
    assert_eq!(f.store.view(joe).unwrap().message(FolderId::INBOX, 3).unwrap().unwrap().size, 22);
}
