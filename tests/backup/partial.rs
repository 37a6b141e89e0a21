//! Parts: groups, users, folders, times; beside what is there, and to other users.

use super::{file, furnish, picture, run_bytes, text, wipe};
use crate::instance::Instance;
use msgstore::store::{FlagChange, FlagOp, Flags, UidSet};

fn listed(it: &Instance, archive: &str) -> Vec<String> {
    let out = it.run("imsrestore", &["-t", "-f", archive]).ok();
    out.lines()
        .filter(|line| line.contains(".folder.json"))
        .map(|line| line.split_once(" /").map(|(_, name)| format!("/{name}")).unwrap())
        .collect()
}

#[test]
fn groups_users_and_mailboxes_are_chosen() {
    let it = Instance::new();
    furnish(&it);
    let archive = file(&it, "archive");
    std::fs::write(it.base().join("config/backup-groups.conf"), "groupA=[a-l].*\ngroupB=[m,-z].*\n").unwrap();
    let chosen = |words: &[&str]| {
        it.run("imsbackup", &[&["-f", &archive], words].concat()).ok();
        listed(&it, &archive)
    };
    let all = chosen(&["/"]);
    assert_eq!(all.len(), 9, "{all:?}");
    assert_eq!(chosen(&[]), all);
    assert_eq!(chosen(&["/primary"]), all);
    assert_eq!(chosen(&["/primary/user"]), all);
    assert!(chosen(&["/second"]).is_empty());
    let group = chosen(&["/primary/groupA"]);
    assert!(group.len() == 8 && group.iter().all(|name| name.starts_with("/primary/groupA/")), "{group:?}");
    for name in ["/primary/user/mary", "/primary/mary", "mary", "user/mary/INBOX", "/primary/ALL/mary"] {
        assert_eq!(chosen(&[name]), ["/primary/user/mary/INBOX/.folder.json"], "{name}");
    }
    let work = "/primary/user/amy/Work/Entw\u{fc}rfe/.folder.json";
    for name in ["user/amy/Work/Entw\u{fc}rfe", "/primary/user/amy/Work/Entw&APw-rfe"] {
        assert_eq!(chosen(&[name]), [work], "{name}");
    }
    let names = file(&it, "names");
    std::fs::write(&names, "# two\nmary\n/primary/user/amy/Work\n").unwrap();
    assert_eq!(chosen(&["-u", &names]).len(), 3);
    let code = |words: &[&str]| it.run("imsbackup", &[&["-f", &archive], words].concat()).code;
    assert_eq!(code(&["nobody"]), 67);
    assert_eq!(code(&["/primary/groupX"]), 67);
    assert_eq!(code(&["/nowhere"]), 66);
    assert_eq!(code(&["-l", "/"]), 64);
    assert_eq!(code(&["-x", "/"]), 64);
    assert_eq!(code(&["-d", "20040501:13100", "/"]), 64);
    assert_eq!(it.run("imsbackup", &["/"]).code, 64);
    assert_eq!(it.run("imsbackup", &["-f", "/no/such/dir/x", "/"]).code, 73);
    std::fs::write(it.base().join("config/backup-groups.conf"), "x\n").unwrap();
    assert!(it.run("imsbackup", &["-f", &archive, "/"]).ended(78).1.contains("line 1"));
}

#[test]
fn the_examples_of_partial_restore() {
    let it = Instance::new();
    it.accounts(&["a", "b", "c"]);
    it.append("user/a/INBOX", &text(1), Flags::NONE);
    let from = it.mailbox("user/a/INBOX");
    for to in ["user/b/INBOX", "user/c/INBOX"] {
        it.store().copy(from, &UidSet::one(1), it.mailbox(to), 5).unwrap();
    }
    it.settle();
    let archive = file(&it, "archive");
    let whole = picture(&it, &["a", "b", "c"]);
    // 1: B and C are backed up, deleted and restored: they share a new file.
    it.run("imsbackup", &["-f", &archive, "b", "c"]).ok();
    wipe(&it, &["b", "c"]);
    it.run("imsrestore", &["-f", &archive]).ok();
    let (folders, shared) = picture(&it, &["a", "b", "c"]);
    assert_eq!(shared, [["user/b/INBOX 1", "user/c/INBOX 1"]]);
    assert!(folders == whole.0);
    // 2: A alone comes back from a full backup.
    it.run("imsbackup", &["-f", &archive, "/"]).ok();
    wipe(&it, &["a"]);
    it.run("imsrestore", &["-f", &archive, "/primary/user/a"]).ok();
    assert!(picture(&it, &["a", "b", "c"]).0 == whole.0);
    // 3: B, whose message is a link to one of A: in one run, from a file, a pipe, and a file that is not sought in.
    it.run("imsbackup", &["-f", &archive, "/"]).ok();
    for way in ["-f", "-f-", "-s"] {
        wipe(&it, &["a", "c"]);
        match way {
            "-f-" => {
                let bytes = std::fs::read(&archive).unwrap();
                let (code, said) = run_bytes(&it, "imsrestore", &["-f-", "/primary/user/c"], &bytes);
                assert_eq!(code, 0, "{said}");
            }
            "-s" => drop(it.run("imsrestore", &["-s", "-f", &archive, "/primary/c"]).ok()),
            _ => drop(it.run("imsrestore", &["-f", &archive, "c"]).ok()),
        }
        assert!(it.store().account_id("a").unwrap().is_none());
        let (folders, _) = picture(&it, &["c"]);
        assert!(folders.iter().all(|(name, one)| *one == whole.0[name]), "{way}");
        it.run("imsrestore", &["-f", &archive]).ok();
    }
    // Every message in full.
    let out = it.run("imsbackup", &["-v", "-i", "-f", &archive, "/"]).ok();
    assert!(out.contains("3 messages (0 links)"), "{out}");
}

#[test]
fn what_is_there_stays_and_flags_are_merged() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    for number in 0..4 {
        it.append(
            "user/joe/INBOX",
            &text(number),
            if number == 0 { Flags::SEEN | Flags::DELETED } else { Flags::NONE },
        );
    }
    let (joe, inbox) = it.mailbox("user/joe/INBOX");
    let store = it.store();
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive, "joe"]).ok();
    let change = |op, flags| FlagChange { op, flags, keywords: Vec::new() };
    store.store_flags(joe, inbox, &UidSet::one(1), &change(FlagOp::Replace, Flags::FLAGGED), None).unwrap();
    let trash = it.mailbox("user/joe/Trash").1;
    store.move_messages((joe, inbox), &UidSet::one(4), (joe, trash), 9).unwrap();
    it.append("user/joe/INBOX", &text(99), Flags::NONE);
    let out = it.run("imsrestore", &["-f", &archive]).ok();
    assert!(out.contains("user/joe/INBOX: 1 messages restored, 3 there"), "{out}");
    let (folders, _) = picture(&it, &["joe"]);
    let messages = &folders["user/joe/INBOX"].4;
    // What was moved away comes back under a new UID.
    assert_eq!(messages.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
    assert_eq!(messages[&1].flags, Flags::SEEN | Flags::FLAGGED);
    assert_eq!(messages[&6].text, text(3).into_bytes());
    // Without looking, then beside, then to somebody else.
    let out = it.run("imsrestore", &["-i", "-f", &archive]).ok();
    assert!(out.contains("4 messages restored"), "{out}");
    let out = it.run("imsrestore", &["-n", "-f", &archive]).ok();
    assert!(out.contains("user/joe/INBOX.") && out.contains("4 messages restored, 0 there"), "{out}");
    assert_eq!(it.uids("user/joe/INBOX").len(), 9);
    let map = file(&it, "map");
    std::fs::write(&map, "joe=ann\n").unwrap();
    it.run("imsrestore", &["-m", &map, "-f", &archive]).ok();
    let (folders, _) = picture(&it, &["ann"]);
    assert_eq!(folders["user/ann/INBOX"].2, "ann lrswipcda");
    assert_eq!(folders["user/ann/INBOX"].4.len(), 4);
}

#[test]
fn only_what_came_since_a_time() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.append("user/joe/INBOX", &text(1), Flags::NONE);
    let (joe, inbox) = it.mailbox("user/joe/INBOX");
    let other = it.mailbox("user/joe/Later");
    // 2027-01-15 08:00:00 UTC
    it.store().copy((joe, inbox), &UidSet::one(1), other, 1_800_000_000).unwrap();
    let archive = file(&it, "archive");
    let count = |since: &str| {
        it.run("imsbackup", &["-d", since, "-f", &archive, "/"]).ok();
        it.run("imsrestore", &["--verify", "-f", &archive]).ok();
        it.run("imsrestore", &["-t", "-f", &archive]).ok().lines().filter(|line| line.contains(".eml")).count()
    };
    assert_eq!(count("20270115:080000"), 1);
    assert_eq!(count("20270115:080001"), 0);
    assert_eq!(count("19990501"), 2);
}
