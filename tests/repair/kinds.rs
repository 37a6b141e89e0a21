//! The kinds of damage.

use std::fs;
use std::path::Path;

use msgstore::store::repair::How;
use msgstore::store::spoil::Row;
use msgstore::store::{Flags, FolderId, SpecialUse, UidSet, Usage};

use super::picture::Picture;
use super::{Made, NOW, mend};

/// Nothing was lost.
fn nothing(_: &mut Picture, _: &Made) {}

fn kind(name: &str, damage: impl FnOnce(&Made)) {
    mend(name, How::default(), damage, nothing);
}

fn index(made: &Made, change: impl FnOnce(&mut Vec<u8>)) {
    let path = made.dir_of(made.work).join("store.idx");
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn of_store_idx() {
    kind("missing", |made| fs::remove_file(made.dir_of(made.work).join("store.idx")).unwrap());
    kind("empty", |made| index(made, Vec::clear));
    kind("truncated", |made| index(made, |bytes| bytes.truncate(bytes.len() / 2)));
    kind("one bad entry", |made| index(made, |bytes| bytes[1_000] ^= 1));
    kind("many bad entries", |made| {
        index(made, |bytes| bytes.iter_mut().skip(128).step_by(300).for_each(|byte| *byte ^= 8))
    });
    kind("a bad header", |made| index(made, |bytes| bytes[20] ^= 1));
    kind("another version", |made| {
        index(made, |bytes| {
            bytes[8] = 7;
            let sum = crc32fast::hash(&bytes[..124]);
            bytes[124..128].copy_from_slice(&sum.to_le_bytes());
        });
    });
    kind("of another mailbox", |made| {
        let other = made.dir_of(made.inbox).join("store.idx");
        fs::copy(other, made.dir_of(made.work).join("store.idx")).unwrap();
    });
}

#[test]
fn of_message_files() {
    mend(
        "missing",
        How::default(),
        |made| fs::remove_file(made.file(made.inbox, 2)).unwrap(),
        |picture, _| {
            picture.mailbox("INBOX").messages.remove(&2);
        },
    );
    mend(
        "a whole nn directory",
        How::default(),
        |made| fs::remove_dir_all(made.dir_of(made.work).join("01")).unwrap(),
        |picture, _| {
            picture.mailbox("Work").messages.retain(|uid, _| !(100..200).contains(uid));
        },
    );
    mend(
        "empty",
        How::default(),
        |made| fs::write(made.file(made.inbox, 2), "").unwrap(),
        |picture, made| {
            picture.mailbox("INBOX").messages.remove(&2);
            assert!(in_lost(made, "2.msg"));
        },
    );
    let truncate = |made: &Made| {
        let path = made.file(made.inbox, 2);
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 20]).unwrap();
    };
    // What is left of it, or was made of it, has the next UID and the flags.
    let renumbered = |picture: &mut Picture, made: &Made| {
        let after = Picture::of(&made.store);
        let new = after.mailboxes["user/joe/INBOX"].messages[&9].clone();
        let inbox = picture.mailbox("INBOX");
        let old = inbox.messages.remove(&2).unwrap();
        assert_eq!((old.flags, &old.keywords), (new.flags, &new.keywords));
        assert_ne!(old.guid, new.guid);
        inbox.messages.insert(9, new);
    };
    mend("truncated", How::default(), truncate, renumbered);
    let edit = |made: &Made| {
        let path = made.file(made.inbox, 2);
        let bytes = fs::read_to_string(&path).unwrap();
        fs::write(path, bytes.replace("X-Number: 1", "X-Number: 7")).unwrap();
    };
    mend("edited", How::default(), edit, renumbered);
    let directory = |made: &Made| {
        fs::remove_file(made.file(made.inbox, 2)).unwrap();
        fs::create_dir(made.file(made.inbox, 2)).unwrap();
    };
    mend("a directory", How::default(), directory, |picture, _| {
        picture.mailbox("INBOX").messages.remove(&2);
    });
    mend(
        "no message file",
        How::default(),
        |made| fs::write(made.dir_of(made.inbox).join("00/letter"), "x").unwrap(),
        |_, made| {
            assert!(in_lost(made, "letter"));
        },
    );
}

/// A file of that name is in `lost/`, and in its list.
fn in_lost(made: &Made, name: &str) -> bool {
    let lost = made.dir.path().join("store/partition/primary/lost");
    let list = fs::read_to_string(lost.join("list")).unwrap();
    let place = list.lines().find(|line| line.contains(name)).unwrap().split('\t').nth(1).unwrap();
    Path::new(place).starts_with(&lost) && Path::new(place).exists()
}

#[test]
fn a_file_of_no_message_is_set_aside_or_taken_in() {
    let stray = |made: &Made| {
        fs::copy(made.file(made.inbox, 1), made.dir.path().join("x")).unwrap();
        // Its row and its state are gone as if it never was there.
        let uids = UidSet::one(1);
        made.store.remove(made.joe, made.inbox, &uids, NOW).unwrap();
        made.store.spoil_row(made.joe, Row::Gone(made.inbox, 1), true).unwrap();
    };
    mend("set aside", How::default(), stray, |picture, made| {
        picture.mailbox("INBOX").messages.remove(&1);
        assert!(in_lost(made, "1.msg"));
    });
    // By force every file is read, so everything of it is read again, too.
    mend("taken in", How { force: true, ..How::default() }, stray, |picture, made| {
        let after = Picture::of(&made.store);
        let inbox = picture.mailbox("INBOX");
        let old = inbox.messages.remove(&1).unwrap();
        let new = after.mailboxes["user/joe/INBOX"].messages[&9].clone();
        assert_eq!(old.guid, new.guid);
        inbox.messages.insert(9, new);
    });
}

#[test]
fn of_directories() {
    let moved = |made: &Made| {
        let from = made.dir_of(made.sent);
        let root = made.dir.path().join("store/partition/primary");
        let to = made.dir.path().join("second").join(from.strip_prefix(root).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(from, to).unwrap();
    };
    mend("in another partition", How::default(), moved, |picture, _| {
        picture.mailbox("Sent").partition = "second".into()
    });
}

#[test]
fn an_account_in_another_hash_directory_is_moved() {
    kind("account", |made| {
        let users = made.dir.path().join("store/partition/primary/=user");
        fs::create_dir_all(users.join("11/22")).unwrap();
        fs::rename(made.dir_of(made.inbox), users.join("11/22/=joe")).unwrap();
    });
}

#[test]
fn of_rows_of_messages() {
    for remove in [false, true] {
        let row = move |row| move |made: &Made| made.store.spoil_row(made.joe, row, remove).unwrap();
        // INTERNALDATE is that of store.idx.
        kind("message", row(Row::Message(FolderId::INBOX, 4)));
        let flags = |picture: &mut Picture, _: &Made| {
            for message in picture.mailbox("INBOX").messages.values_mut() {
                (message.flags, message.keywords) = (0, Vec::new());
            }
        };
        mend("state", How::default(), row(Row::State(FolderId::INBOX, 1)), flags);
    }
    kind("expunged", |made| made.store.spoil_row(made.joe, Row::Expunged(FolderId::INBOX), false).unwrap());
    mend(
        "gone",
        How::default(),
        |made| made.store.spoil_row(made.joe, Row::Gone(FolderId::INBOX, 3), false).unwrap(),
        |_, made| {
            // It can be brought back still.
            let mut gone = Vec::new();
            let view = made.store.view(made.joe).unwrap();
            view.gone(made.inbox, &mut |row| {
                gone.push(row.message.uid);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(gone, [3, 7]);
        },
    );
    kind("size", |made| made.store.spoil_message(made.joe, made.inbox, 4, &|row| row.size += 3).unwrap());
    mend(
        "row and file",
        How::default(),
        |made| {
            made.store.spoil_row(made.joe, Row::Message(FolderId::INBOX, 4), false).unwrap();
            fs::remove_file(made.file(made.inbox, 4)).unwrap();
        },
        |picture, _| {
            picture.mailbox("INBOX").messages.remove(&4);
        },
    );
}

#[test]
fn of_counters() {
    kind("counters", |made| {
        made.store
            .spoil_fields(made.joe, made.work, &|_, row| (row.exists, row.unseen, row.deleted) = (1, 2, 3))
            .unwrap()
    });
    kind("bytes", |made| made.store.spoil_fields(made.joe, made.work, &|_, row| row.bytes += 1).unwrap());
    kind("usage", |made| made.store.spoil_account_usage(made.joe, Usage { bytes: 3, messages: 4 }).unwrap());
    kind("uidnext", |made| made.store.spoil_fields(made.joe, made.work, &|_, row| row.uidnext = 17).unwrap());
    kind("modseq of a mailbox", |made| {
        made.store.spoil_fields(made.joe, made.work, &|_, row| row.highest_modseq = 1).unwrap()
    });
    kind("modseq of the account", |made| {
        made.store.spoil_fields(made.joe, made.work, &|owner, _| owner.highest_modseq = 1).unwrap()
    });
    kind("last mailbox", |made| {
        made.store.spoil_fields(made.joe, made.work, &|owner, _| owner.last_folder = 1).unwrap()
    });
}

/// What a mailbox keeps whose row was lost: everything but its UIDVALIDITY, its list and its use.
fn row_lost(name: &'static str) -> impl FnOnce(&mut Picture, &Made) {
    move |picture, made| {
        let after = Picture::of(&made.store);
        let new = &after.mailboxes[&format!("user/joe/{name}")];
        let old = picture.mailbox(name);
        assert_ne!(old.uidvalidity, new.uidvalidity);
        old.uidvalidity = new.uidvalidity;
        old.acl = new.acl.clone();
        old.special_use = new.special_use.clone();
    }
}

#[test]
fn of_the_tree() {
    let spoil = |row, remove| move |made: &Made| made.store.spoil_row(made.joe, row, remove).unwrap();
    for remove in [false, true] {
        kind("name", spoil(Row::Name(FolderId::TOP, "Work"), remove));
        let made = Made::new();
        mend("folder", How::default(), spoil(Row::Folder(made.work), remove), row_lost("Work"));
        mend(
            "folder in another partition",
            How::default(),
            spoil(Row::Folder(made.deep), remove),
            row_lost("Work/Deep"),
        );
        mend("INBOX", How::default(), spoil(Row::Folder(FolderId::INBOX), remove), row_lost("INBOX"));
    }
    kind("userid map", |made| made.store.spoil_map("joe", made.joe).unwrap());
    kind("account", |made| made.store.spoil_row(made.joe, Row::Account, false).unwrap());
    kind("subscription", |made| made.store.spoil_row(made.joe, Row::Subscription("Work"), false).unwrap());
    for remove in [false, true] {
        mend("keyword", How::default(), spoil(Row::Keyword(0), remove), |picture, _| {
            let mailboxes = picture.mailboxes.iter_mut().filter(|(name, _)| name.starts_with("user/joe/"));
            for message in mailboxes.flat_map(|(_, mailbox)| mailbox.messages.values_mut()) {
                for word in message.keywords.iter_mut().filter(|word| *word == "$Work") {
                    *word = "Recovered-0".into();
                }
            }
        });
    }
}

#[test]
fn of_what_rows_say() {
    let fields =
        |made: &Made, change: &(dyn Fn(&mut msgstore::store::Account, &mut msgstore::store::Folder) + Sync)| {
            made.store.spoil_fields(made.joe, made.work, change).unwrap();
        };
    kind("a use twice", |made| {
        // The one that was made first keeps it.
        made.store.spoil_fields(made.joe, made.deep, &|_, row| row.special_use = SpecialUse::JUNK).unwrap();
        made.store.spoil_fields(made.joe, made.deep, &|_, row| row.special_use = SpecialUse::default()).unwrap();
        made.store.spoil_fields(made.joe, made.deep, &|_, row| row.acl.0.extend(row.acl.0.clone())).unwrap();
    });
    mend(
        "two mailboxes for one use",
        How::default(),
        |made| fields(made, &|_, row| row.special_use = SpecialUse::SENT),
        |picture, _| {
            picture.mailbox("Work").special_use = "\\Sent".into();
            picture.mailbox("Sent").special_use = String::new();
        },
    );
    mend(
        "no UIDVALIDITY",
        How::default(),
        |made| fields(made, &|_, row| row.uidvalidity = 0),
        |picture, made| {
            picture.mailbox("Work").uidvalidity = Picture::of(&made.store).mailbox("Work").uidvalidity;
        },
    );
    let twin = |made: &Made| {
        let id = made.store.view(made.joe).unwrap().folder(made.inbox).unwrap().unwrap().mailbox_id;
        made.store.spoil_fields(made.joe, made.work, &move |_, row| row.mailbox_id = id).unwrap();
    };
    mend("a mailbox id twice", How::default(), twin, |picture, made| {
        picture.mailbox("Work").mailbox_id = Picture::of(&made.store).mailbox("Work").mailbox_id.clone();
    });
    kind("a name with messages", |made| fields(made, &|_, row| row.noselect = true));
}

#[test]
fn mailboxes_that_the_database_does_not_know_are_taken_in() {
    let forget = |made: &Made| {
        made.store.spoil_row(made.joe, Row::All(made.sent), true).unwrap();
        made.store.spoil_row(made.joe, Row::Name(FolderId::TOP, "Sent"), true).unwrap();
        made.store.repair_usage(made.joe, NOW).unwrap();
    };
    mend("a mailbox", How::default(), forget, |picture, made| {
        let after = Picture::of(&made.store);
        let (old, new) = (picture.mailbox("Sent"), &after.mailboxes["user/joe/Sent"]);
        old.uidvalidity = new.uidvalidity;
        old.messages.values_mut().for_each(|message| message.flags = Flags::NONE.0);
    });
    let forget = |made: &Made| {
        made.store.spoil_row(made.joe, Row::Everything, true).unwrap();
    };
    mend("an account", How::default(), forget, |picture, made| {
        let after = Picture::of(&made.store);
        picture.subscriptions.insert("joe".into(), Vec::new());
        for name in ["INBOX", "Work", "Work/Deep", "Sent"] {
            let new = &after.mailboxes[&format!("user/joe/{name}")];
            let old = picture.mailbox(name);
            (old.uidvalidity, old.acl) = (new.uidvalidity, "joe lrswipcda".into());
            // Nothing says any more what was expunged.
            let expunged = new.messages.iter().filter(|(uid, _)| name == "INBOX" && [3, 7].contains(*uid));
            old.messages.extend(expunged.map(|(uid, message)| (*uid, message.clone())));
            old.messages
                .values_mut()
                .for_each(|message| (message.flags, message.keywords) = (Flags::NONE.0, Vec::new()));
        }
    });
}

#[test]
fn force_reads_everything_again_and_loses_nothing() {
    let made = Made::new();
    let before = Picture::of(&made.store);
    let done = made.repair(How { force: true, fresh_index: true, ..How::default() });
    assert_eq!(Picture::of(&made.store).difference(&before), "");
    assert_eq!(done.len(), 8, "{done:#?}");
    assert!(done.iter().all(|done| done.what.starts_with("store.idx is written anew")), "{done:#?}");
    assert_eq!(made.store.check(msgstore::store::check::Depth { content: true }).unwrap(), []);
}
