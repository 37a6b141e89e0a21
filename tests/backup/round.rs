//! What was backed up comes back as it was.

use std::os::unix::process::ExitStatusExt;

use super::{file, furnish, picture, run_bytes, text, wipe};
use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use msgstore::store::{Flags, Uid};

const USERS: [&str; 3] = ["amy", "bob", "mary"];

#[test]
fn a_wiped_store_comes_back_from_a_file_and_from_a_pipe() {
    let it = Instance::new();
    furnish(&it);
    let before = picture(&it, &USERS);
    assert_eq!(before.1.len(), 5);
    assert!(before.1.iter().all(|names| names.len() == 4), "{:?}", before.1);
    let archive = file(&it, "archive");
    let out = it.run("imsbackup", &["-v", "-f", &archive, "/"]).ok();
    assert!(out.contains("user/amy/INBOX: 126 messages") && out.contains("(15 links)"), "{out}");
    it.run("imsrestore", &["--verify", "-f", &archive]).ok();
    for piped in [false, true] {
        wipe(&it, &USERS);
        if piped {
            let (code, said) = run_bytes(&it, "imsrestore", &["-f-"], &std::fs::read(&archive).unwrap());
            assert_eq!(code, 0, "{said}");
        } else {
            let out = it.run("imsrestore", &["-f", &archive]).ok();
            assert!(out.contains("(15 links)") && out.ends_with(" 0 there\n"), "{out}");
        }
        let after = picture(&it, &USERS);
        assert!(after == before, "{:#?}\n{:#?}", names(&after.0), names(&before.0));
        // Once more: nothing is there twice.
        let out = it.run("imsrestore", &["-f", &archive, "-v0"]).ok();
        assert_eq!(out, "");
        assert!(picture(&it, &USERS) == before);
        it.settle();
    }
    it.run("imsrestore", &["--verify", "-f", &archive]).ok();
}

fn names(folders: &std::collections::BTreeMap<String, super::Picture>) -> Vec<String> {
    let one = |(name, (uidvalidity, uidnext, acl, uses, messages)): (&String, &super::Picture)| {
        format!("{name}: {uidvalidity} {uidnext} {acl} {uses} {:?}", messages.keys().collect::<Vec<_>>())
    };
    folders.iter().map(one).collect()
}

#[test]
fn clients_see_the_same() {
    let it = Instance::new();
    furnish(&it);
    let told = |it: &Instance| {
        let imapd = Imapd::start(it);
        let mut lines = Vec::new();
        for user in USERS {
            let mut client = imapd.login(user);
            lines.extend(client.ask("LIST (SUBSCRIBED) \"\" * RETURN (SPECIAL-USE)"));
            lines.extend(client.ask("LIST \"\" *"));
            let mut selected = client.ask("SELECT INBOX");
            selected.retain(|line| line.contains("UIDVALIDITY") || line.contains("UIDNEXT") || line.contains("EXISTS"));
            lines.extend(selected);
            lines.extend(client.ask("FETCH 1:* (UID INTERNALDATE FLAGS RFC822.SIZE BODY.PEEK[])"));
            lines.extend(client.ask("GETACL INBOX"));
            assert!(lines.last().unwrap().starts_with("OK"), "{lines:?}");
        }
        imapd.stop();
        lines.into_iter().map(|line| line.replace(" \\Recent", "").replace("\\Recent", "")).collect::<Vec<_>>()
    };
    let before = told(&it);
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive]).ok();
    wipe(&it, &USERS);
    it.run("imsrestore", &["-f", &archive]).ok();
    assert!(before.len() > 130, "{before:?}");
    assert_eq!(told(&it), before);
}

#[test]
fn a_killed_restore_is_completed_by_the_next() {
    let it = Instance::new();
    furnish(&it);
    let before = picture(&it, &USERS);
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive]).ok();
    for point in ["restore.after-sync", "restore.after-link", "restore.after-rows", "restore.after-batch"] {
        for passing in 1..=3 {
            wipe(&it, &USERS);
            let mut command = it.command("imsrestore", &["-f", &archive]);
            let ended = command.env("CRASH_POINT", format!("{point}:{passing}")).output().unwrap();
            assert_eq!(ended.status.signal(), Some(9), "{point} {passing}: {ended:?}");
            it.run("imsrestore", &["-f", &archive]).ok();
            let after = picture(&it, &USERS);
            let texts = |one: &super::Picture| {
                let mut texts: Vec<_> = one.4.values().cloned().map(|told| told.text).collect();
                texts.sort();
                texts
            };
            for (name, was) in &before.0 {
                let is = after.0.get(name).unwrap_or_else(|| panic!("{point} {passing}: {name} is missing"));
                assert!(texts(is) == texts(was), "{point} {passing}: {name}");
            }
        }
    }
}

#[test]
fn deliveries_go_on_during_a_backup() {
    let it = Instance::new();
    furnish(&it);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1000;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                it.append("user/mary/INBOX", &text(number), Flags::NONE);
                number += 1;
            }
        });
        for _ in 0..5 {
            let archive = file(&it, "archive");
            it.run("imsbackup", &["-f", &archive]).ok();
            // Everything that was there at the moment of the folder is in it, and nothing came later.
            let (out, _) = it.run("imsrestore", &["--verify", "-f", &archive]).ended(0);
            assert!(out.contains("user/mary/INBOX: 0 messages missing"), "{out}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let last = *it.uids("user/mary/INBOX").last().unwrap();
    assert!(last > 5, "{last}");
    assert!(last < Uid::MAX);
}
