//! A store that acts for a user refuses inside the transaction what his rights do not allow, whatever was looked at before.

use msgstore::store::{
    AccountId, Acl, AclChange, AclEntry, FlagChange, FlagOp, Flags, FolderId, FolderPath, Kind, Rights, Store,
    StoreError, UidSet, Who,
};

use super::{Fixture, NOW, message};

fn who(account: AccountId, userid: &str) -> Who {
    Who { account, userid: userid.into(), default_domain: "example.org".into(), stranger: false, ..Who::stranger() }
}

fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

/// Every change that a session makes, with the letters it needs where it is made. Each can be done again and again.
type Change = fn(&Fixture, &Store, (AccountId, FolderId), (AccountId, FolderId)) -> Result<(), StoreError>;
const CHANGES: &[(&str, &str, Change)] = &[
    ("append", "i", |fixture, store, at, _| {
        let staged = fixture.stage("a: 1\r\n\r\n");
        store.append(at.0, at.1, &[message(&staged, Flags::NONE)], NOW).map(drop)
    }),
    ("copy into", "i", |_, store, at, own| store.copy(own, &UidSet::one(1), at, NOW).map(drop)),
    ("copy from", "r", |_, store, at, own| store.copy(at, &UidSet::one(1), own, NOW).map(drop)),
    ("move from", "rd", |fixture, store, at, own| {
        let uid = fixture.append(at.0, at.1, "a: 2\r\n\r\n", Flags::NONE);
        store.move_messages(at, &UidSet::one(uid), own, NOW).map(drop)
    }),
    ("replace", "id", |fixture, store, at, _| {
        let uid = fixture.append(at.0, at.1, "a: 2\r\n\r\n", Flags::NONE);
        let staged = fixture.stage("a: 3\r\n\r\n");
        store.replace(at.0, (at.1, uid), at.1, &message(&staged, Flags::NONE), NOW).map(drop)
    }),
    ("expunge", "d", |_, store, at, _| store.expunge(at.0, at.1, None, NOW).map(drop)),
    ("seen", "s", |_, store, at, _| flag(store, at, Flags::SEEN)),
    ("flagged", "w", |_, store, at, _| flag(store, at, Flags::FLAGGED)),
    ("deleted", "d", |_, store, at, _| {
        flag(store, at, Flags::DELETED)?;
        let change = FlagChange { op: FlagOp::Remove, flags: Flags::DELETED, keywords: Vec::new() };
        store.store_flags(at.0, at.1, &UidSet::one(1), &change, None).map(drop)
    }),
    ("create", "c", |fixture, store, at, _| {
        store.folder_create(at.0, &path("Work/made"), &Default::default(), NOW)?;
        fixture.store.folder_delete(at.0, &path("Work/made"), NOW)
    }),
    ("delete", "c", |fixture, store, at, _| {
        fixture.folder(at.0, "Work/gone");
        let done = store.folder_delete(at.0, &path("Work/gone"), NOW);
        done.inspect_err(|_| fixture.store.folder_delete(at.0, &path("Work/gone"), NOW).unwrap())
    }),
    ("rename", "c", |fixture, store, at, _| {
        fixture.folder(at.0, "Work/old");
        let done = store.folder_rename(at.0, &path("Work/old"), &path("Work/new"), NOW);
        let left = if done.is_ok() { "Work/new" } else { "Work/old" };
        fixture.store.folder_delete(at.0, &path(left), NOW).unwrap();
        done
    }),
    ("administer", "a", |_, store, at, _| {
        store.change_acl(at.0, at.1, "bob", AclChange::Add(Rights::LOOKUP))?;
        store.change_acl(at.0, at.1, "bob", AclChange::Replace(Rights::NONE)).map(drop)
    }),
];

fn flag(store: &Store, at: (AccountId, FolderId), flags: Flags) -> Result<(), StoreError> {
    let change = FlagChange { op: FlagOp::Add, flags, keywords: Vec::new() };
    store.store_flags(at.0, at.1, &UidSet::one(1), &change, None).map(drop)
}

#[test]
fn each_change_is_refused_without_its_rights_and_leaves_nothing() {
    let fixture = Fixture::new();
    let (joe, ann) = (fixture.account("joe"), fixture.account("ann"));
    let at = (joe, fixture.folder(joe, "Work"));
    let own = (ann, FolderId::INBOX);
    fixture.append(at.0, at.1, "a: 0\r\n\r\n", Flags::NONE);
    fixture.append(own.0, own.1, "a: 0\r\n\r\n", Flags::NONE);
    let acting = fixture.store.acting_for(who(ann, "ann"));
    let list = |rights: &str| {
        let entry = |identifier: &str, rights| AclEntry { identifier: identifier.into(), rights };
        let acl = Acl(vec![entry("joe", Rights::ALL), entry("ann", Rights::parse(rights).unwrap())]);
        fixture.store.set_acl(at.0, at.1, &acl).unwrap();
    };
    let letters = Rights::LETTERS.chars();
    let sets = letters.clone().map(String::from).chain(letters.map(|letter| Rights::LETTERS.replace(letter, "")));
    for rights in sets {
        list(&rights);
        for (name, needed, change) in CHANGES {
            let messages = |(account, _): (AccountId, FolderId)| {
                let row = fixture.store.view(account).unwrap().account().unwrap();
                (row.usage_messages, row.usage_bytes)
            };
            let (before, folders) = (messages(own), fixture.store.view(joe).unwrap().folders().unwrap().len());
            let done = change(&fixture, &acting, at, own);
            let allowed = needed.chars().all(|letter| rights.contains(letter));
            match &done {
                Ok(()) => assert!(allowed, "{name} with {rights}"),
                Err(error) => {
                    assert!(!allowed && error.kind() == Kind::Denied, "{name} with {rights}: {error}");
                    assert_eq!(messages(own), before, "{name} with {rights}");
                    assert_eq!(
                        fixture.store.view(joe).unwrap().folders().unwrap().len(),
                        folders,
                        "{name} with {rights}"
                    );
                }
            }
        }
    }
    // What an administrator does with tools is nobody's business in a session.
    list("lrswipcda");
    assert_eq!(acting.account_rename(joe, "jim", NOW).unwrap_err().kind(), Kind::Denied);
    assert_eq!(acting.account_delete(joe, NOW).unwrap_err().kind(), Kind::Denied);
    let top = acting.folder_create(joe, &path("Top"), &Default::default(), NOW);
    assert_eq!(top.unwrap_err().kind(), Kind::Denied);
    assert_eq!(acting.folder_rename(joe, &path("Work"), &path("Top"), NOW).unwrap_err().kind(), Kind::Denied);
}

#[test]
fn a_new_folder_has_the_list_of_the_one_above() {
    let fixture = Fixture::new();
    let joe = fixture.account("joe");
    let work = fixture.folder(joe, "Work");
    let acl = |name: &str| fixture.store.view(joe).unwrap().resolve(&path(name)).unwrap().unwrap().acl.to_string();
    let changed = fixture.store.change_acl(joe, work, "ann", AclChange::Add(Rights::READ)).unwrap();
    assert_eq!(
        (changed.mailbox.to_string(), changed.before, changed.after),
        ("user/joe/Work".into(), Rights::NONE, Rights::READ)
    );
    let made = fixture.folder(joe, "Work/a/b");
    assert_eq!(acl("Work/a/b"), "joe lrswipcda ann r");
    fixture.store.change_acl(joe, made, "ann", AclChange::Add(Rights::SEEN)).unwrap();
    // A rename takes the list along; a mailbox that is made again where one was deleted does not have the old one.
    fixture.store.folder_rename(joe, &path("Work/a"), &path("Moved"), NOW).unwrap();
    assert_eq!((acl("Moved"), acl("Moved/b")), ("joe lrswipcda ann r".into(), "joe lrswipcda ann rs".into()));
    fixture.store.folder_delete(joe, &path("Moved"), NOW).unwrap();
    fixture.folder(joe, "Moved");
    assert_eq!((acl("Moved"), acl("Moved/b")), ("joe lrswipcda".into(), "joe lrswipcda ann rs".into()));
}

#[test]
fn a_list_has_an_end() {
    let fixture = Fixture::new();
    let joe = fixture.account("joe");
    let add = |number: u32| {
        fixture.store.change_acl(joe, FolderId::INBOX, &format!("user{number}"), AclChange::Add(Rights::READ))
    };
    (1..256).for_each(|number| drop(add(number).unwrap()));
    assert_eq!(add(256).unwrap_err().kind(), Kind::Limit);
    assert!(add(255).is_ok());
}

/// Rights are taken away and given back while another thread appends: nothing is ever appended between the commit that takes them and the one that
/// gives them back.
#[test]
fn nothing_gets_in_after_the_right_is_gone() {
    let fixture = Fixture::new();
    let (joe, ann) = (fixture.account("joe"), fixture.account("ann"));
    let work = fixture.folder(joe, "Work");
    let acting = fixture.store.acting_for(who(ann, "ann"));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let (mut taken, mut refused) = (0u32, 0u32);
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let staged = fixture.stage("a: 1\r\n\r\n");
                match acting.append(joe, work, &[message(&staged, Flags::NONE)], NOW) {
                    Ok(_) => taken += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), Kind::Denied);
                        refused += 1;
                    }
                }
            }
            (taken, refused)
        });
        let count = || fixture.store.view(joe).unwrap().folder(work).unwrap().unwrap().exists;
        for _ in 0..20 {
            fixture.store.change_acl(joe, work, "ann", AclChange::Add(Rights::INSERT)).unwrap();
            let before = count();
            while count() == before {
                std::thread::yield_now();
            }
            fixture.store.change_acl(joe, work, "ann", AclChange::Remove(Rights::INSERT)).unwrap();
            let after = count();
            std::thread::sleep(std::time::Duration::from_millis(5));
            assert_eq!(count(), after);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let (taken, _) = appending.join().unwrap();
        assert_eq!(taken, count());
    });
}
