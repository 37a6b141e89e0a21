//! Readers whose folder goes elsewhere meanwhile.

use msgstore::store::{Flags, FolderPath, Kind, Message};

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
