//! Special uses of folders (RFC 6154): given at creation, one folder each, kept by rename, gone with deletion.

use super::{Fixture, NOW};
use msgstore::store::{AccountId, CreateOptions, FolderPath, Kind, SpecialUse, StoreError};

fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

/// The folders that have a use, with it.
fn uses(f: &Fixture, account: AccountId) -> Vec<String> {
    let folders = f.store.view(account).unwrap().folders().unwrap();
    let special = folders.iter().filter(|(_, row)| !row.special_use.is_empty());
    special.map(|(path, row)| format!("{path} {}", row.special_use)).collect()
}

fn create(f: &Fixture, account: AccountId, name: &str, special_use: SpecialUse) -> Result<(), StoreError> {
    let options = CreateOptions { special_use: Some(special_use), partition: None };
    f.store.folder_create(account, &path(name), &options, NOW).map(drop)
}

#[test]
fn a_name_at_the_top_gives_a_use_that_is_free() {
    let f = Fixture::new();
    let (joe, ann) = (f.account("joe"), f.account("ann"));
    for name in ["INBOX/Sent", "Work/Trash", "Sent/2004", "Sent Items", "drafts", "Draft", "Spam", "Archives"] {
        f.folder(joe, name);
    }
    assert_eq!(uses(&f, joe), ["Archives \\Archive", "Sent \\Sent", "Spam \\Junk", "drafts \\Drafts"]);
    // Another account's are its own.
    f.folder(ann, "Sent Items");
    assert_eq!(uses(&f, ann), ["Sent Items \\Sent"]);
}

#[test]
fn what_is_asked_for_is_given_or_nothing_is_made() {
    let f = Fixture::new();
    let joe = f.account("joe");
    create(&f, joe, "a/b/c", SpecialUse::SENT.with(SpecialUse::IMPORTANT)).unwrap();
    create(&f, joe, "Sent", SpecialUse::default()).unwrap();
    create(&f, joe, "Trash", SpecialUse::JUNK).unwrap();
    assert_eq!(uses(&f, joe), ["Trash \\Junk", "a/b/c \\Sent \\Important"]);
    for (wanted, what) in [
        (SpecialUse::SENT, "\\Sent belongs to another mailbox"),
        (SpecialUse::DRAFTS.with(SpecialUse::JUNK), "\\Junk belongs to another mailbox"),
        (SpecialUse::ALL, "\\All is not supported"),
        (SpecialUse::FLAGGED.with(SpecialUse::SENT), "\\Flagged is not supported"),
    ] {
        let error = create(&f, joe, "new/one", wanted).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::SpecialUse, what));
    }
    let view = f.store.view(joe).unwrap();
    assert!(view.resolve(&path("new")).unwrap().is_none(), "nothing of a refused creation is left");
    drop(view);
    // A folder is there already: that comes before what was asked for.
    assert_eq!(create(&f, joe, "Trash", SpecialUse::SENT).unwrap_err().kind(), Kind::Exists);
}

#[test]
fn a_use_stays_under_another_name_and_ends_in_the_trash() {
    let f = Fixture::new();
    let joe = f.account("joe");
    for name in ["Sent/2004", "Archive", "Drafts", "Deleted Items", "Old"] {
        f.folder(joe, name);
    }
    let rename = |from: &str, to: &str| f.store.folder_rename(joe, &path(from), &path(to), NOW).unwrap();
    rename("Sent", "Old/Sent");
    rename("Drafts", "Old/Sent/2004/Unfinished");
    rename("Old", "Spam");
    // A rename gives none.
    let held = ["Archive \\Archive", "Deleted Items \\Trash", "Spam/Sent \\Sent", "Spam/Sent/2004/Unfinished \\Drafts"];
    assert_eq!(uses(&f, joe), held);
    f.folder(joe, "Sent");
    assert_eq!(uses(&f, joe), held);
    rename("Deleted Items", "Bin");
    rename("Archive", "Bin/x/Archive");
    rename("Spam", "Bin/x/Spam");
    assert_eq!(uses(&f, joe), ["Bin \\Trash"]);
    f.folder(joe, "Drafts");
    f.store.folder_rename(joe, &path("INBOX"), &path("Archive"), NOW).unwrap();
    assert_eq!(uses(&f, joe), ["Archive \\Archive", "Bin \\Trash", "Drafts \\Drafts"]);
}

#[test]
fn a_use_goes_with_its_folder() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.folder(joe, "Junk/2004");
    f.folder(joe, "Sent");
    f.store.folder_delete(joe, &path("Junk"), NOW).unwrap();
    f.store.folder_delete(joe, &path("Sent"), NOW).unwrap();
    assert_eq!(uses(&f, joe), [""; 0]);
    create(&f, joe, "Mine", SpecialUse::SENT).unwrap();
    // The name without a mailbox is one again.
    f.folder(joe, "Junk");
    f.folder(joe, "Sent");
    assert_eq!(uses(&f, joe), ["Junk \\Junk", "Mine \\Sent"]);
}

#[test]
fn of_many_at_once_one_gets_it() {
    let f = Fixture::new();
    let joe = f.account("joe");
    std::thread::scope(|scope| {
        for name in ["Sent", "Sent Items", "Sent Messages", "sent-mail"] {
            let f = &f;
            scope.spawn(move || f.folder(joe, name));
        }
    });
    assert_eq!(f.store.view(joe).unwrap().folders().unwrap().len(), 5);
    assert_eq!(uses(&f, joe).len(), 1);
}
