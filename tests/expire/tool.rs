//! The options of imexpire and purge, the places of rules, what is told, and bad input.

use std::fs;
use std::path::PathBuf;

use msgstore::config::catalogue;
use msgstore::store::Flags;

use super::letter;
use crate::instance::Instance;

const OLD: &str = "Old.folderpattern: user/*\nOld.messagedays: 10\n";

fn set(it: &Instance, name: &str, value: &str) {
    it.run("configutil", &["-o", name, "-v", value]).ended(0);
}

/// An instance with two users, one of them on the other partition, each with an old and a new message in two mailboxes.
fn site() -> Instance {
    let it = Instance::new();
    it.accounts(&["ann", "joe"]);
    it.run("mboxutil", &["-r", "user/joe/INBOX", "user/joe/INBOX", "second"]).ok();
    for mailbox in ["user/ann/INBOX", "user/ann/Work", "user/joe/INBOX", "user/joe/Work"] {
        it.put(mailbox, &[letter("old").old(20), letter("new")]);
    }
    it
}

fn left(it: &Instance) -> Vec<usize> {
    ["user/ann/INBOX", "user/ann/Work", "user/joe/INBOX", "user/joe/Work"]
        .map(|mailbox| it.uids(mailbox).len())
        .to_vec()
}

/// The message files of a mailbox.
fn files(it: &Instance, mailbox: &str) -> usize {
    let nn = it.directory_of(mailbox).join("00");
    fs::read_dir(nn).map_or(0, Iterator::count)
}

#[test]
fn a_trial_run_tells_what_the_run_does() {
    let it = site();
    it.rules(OLD);
    let (out, err) = it.run("imexpire", &["-n"]).ended(2);
    assert_eq!(err, "");
    let source = format!("Old ({}/config/store.expirerule:1)", it.base().display());
    let line = |mailbox: &str| format!("{mailbox}: would expire 1 message, 39 bytes: {source}\n");
    let mailboxes = ["user/ann/INBOX", "user/ann/Work", "user/joe/INBOX", "user/joe/Work"].map(line).concat();
    let sums = format!(
        "{source}: 4 messages, 156 bytes in 4 mailboxes\nwould expire 4 messages, 156 bytes in 4 mailboxes, purge 0 messages, 0 bytes, 0 bytes free; 4 mailboxes looked at\n"
    );
    assert_eq!(out, mailboxes + &sums);
    assert_eq!(left(&it), [2, 2, 2, 2]);
    assert!(it.expire_log().is_empty());
    it.run("imexpire", &[]).ok();
    assert_eq!(left(&it), [1, 1, 1, 1]);
    let log = it.expire_log();
    let wanted = "Store Notice: expired 4 messages, 156 bytes in 4 mailboxes, purged 0 messages, 0 bytes, 0 bytes free; 4 mailboxes looked at, ";
    assert!(log.len() == 1 && log[0].starts_with(wanted), "{log:?}");
    // Nothing is unrecoverable in one step.
    assert_eq!(it.run("mboxutil", &["-R", "-t", "1", "user/joe/Work"]).ok(), "user/joe/Work: 1 message restored\n");
    assert_eq!(it.uids("user/joe/Work"), [2, 3]);
    it.run("imexpire", &["-n"]).ended(2);
}

#[test]
fn json_and_tables() {
    let it = site();
    it.rules(&format!("{OLD}Seen.folderpattern: user/ann/*\nSeen.action: report\nSeen.seen: and\n"));
    it.put("user/ann/INBOX", &[letter("seen").flags(Flags::SEEN)]);
    let (out, _) = it.run("imexpire", &["-n", "-u", "ann", "--json", "--explain"]).ended(2);
    let rows: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["action"].as_str().unwrap(),
                row["mailbox"].as_str().unwrap(),
                row["uid"].as_u64().unwrap(),
                row["criterion"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("discard", "user/ann/INBOX", 1, "messagedays: 10"),
            ("report", "user/ann/INBOX", 3, "seen: and"),
            ("discard", "user/ann/Work", 1, "messagedays: 10"),
        ]
    );
    assert!(rows[0]["v"] == 1 && rows[0]["dry_run"] == true && rows[0]["rule"] == "Old" && rows[0]["bytes"] == 39);
    let (out, _) = it.run("imexpire", &["-n", "--table"]).ended(2);
    assert!(out.contains("\u{2502} user/joe/Work") && out.contains("discard") && out.lines().count() > 5, "{out}");
    // What is reported is named in a run as well, and stays.
    let uidvalidity = rows[1]["uidvalidity"].as_u64().unwrap();
    let (out, err) = it.run("imexpire", &["-e", "-v", "2"]).ended(0);
    assert_eq!(out, format!("user/ann/INBOX {uidvalidity} 3\n"));
    assert!(err.contains("user/ann/INBOX: expired 1 message, 39 bytes: Old ("), "{err}");
    assert_eq!(it.uids("user/ann/INBOX"), [2, 3]);
}

#[test]
fn partitions_users_and_threads() {
    let it = site();
    it.rules(OLD);
    it.run("imexpire", &["-e", "-p", "second"]).ok();
    assert_eq!(left(&it), [2, 2, 1, 1]);
    it.run("imexpire", &["-u", "Ann@Example.org", "-t", "1", "-r", "3"]).ok();
    assert_eq!(left(&it), [1, 1, 1, 1]);
    for (words, code, said) in [
        (&["-p", "third"][..], 66, "Unknown/invalid partition: third"),
        (&["-u", "nobody"], 67, "no such user in the store: nobody"),
        (&["-c", "-e"], 64, "cannot be used with"),
        (&["-c", "-f", "/dev/null"], 64, "-c expires nothing"),
        (&["-m", "0"], 64, "invalid value"),
        (&["-v", "4"], 64, "invalid value"),
        (&["-f", "/nowhere"], 66, "cannot read /nowhere"),
        (&["-i", "-p", "second"], 64, "-f"),
        (&["-i", "-f", "/dev/null"], 64, "-i needs the place of the rules"),
        (&["-x", "user/joe"], 64, "-i"),
        (&["joe"], 64, "unexpected argument"),
    ] {
        let (out, err) = it.run("imexpire", words).ended(code);
        assert!(out.is_empty() && err.contains(said), "{words:?}: {err}");
    }
}

#[test]
fn many_threads_do_the_same() {
    let it = Instance::new();
    let users: Vec<String> = (0..24).map(|at| format!("u{at:02}")).collect();
    it.accounts(&users.iter().map(String::as_str).collect::<Vec<_>>());
    it.rules(OLD);
    for user in &users {
        it.put(&format!("user/{user}/INBOX"), &[letter("a").old(11), letter("b").old(9)]);
    }
    let alone = it.run("imexpire", &["-n"]).ended(2).0;
    let many = it.run("imexpire", &["-n", "-r", "8"]).ended(2).0;
    assert_eq!(alone, many);
    it.run("imexpire", &["-r", "8"]).ok();
    assert!(users.iter().all(|user| it.uids(&format!("user/{user}/INBOX")) == [2]));
}

#[test]
fn where_rules_come_from() {
    let it = site();
    let days = |days: u32| format!("messagedays: {days}\n");
    let put = |path: PathBuf, text: &str| fs::write(path, text).unwrap();
    let ann = it.directory_of("user/ann/INBOX");
    let second = it.base().join("disk2");
    // A folder, with those below it; the older name of the file.
    it.put("user/ann/Work/deep", &[letter("old").old(20)]);
    put(it.directory_of("user/ann/Work").join("store.expire"), &days(15));
    it.run("imexpire", &["-e"]).ok();
    assert_eq!((left(&it), it.uids("user/ann/Work/deep").len()), (vec![2, 1, 2, 2], 0));
    // A user; the file of the folder says less.
    put(ann.join("store.expirerule"), &days(19));
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(left(&it), [1, 1, 2, 2]);
    // A partition; a rule with a name and a pattern.
    put(second.join("store.expirerule"), "P.folderpattern: user/joe/Work\nP.messagedays: 15\n");
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(left(&it), [1, 1, 2, 1]);
    // A file that is given is the only one.
    let file = it.base().join("only");
    put(file.clone(), "O.folderpattern: user/%/INBOX\nO.messagedays: 20\n");
    it.run("imexpire", &["-e", "-f", file.to_str().unwrap()]).ok();
    assert_eq!(left(&it), [1, 1, 1, 1]);
    // An exclusive rule: the local one counts before the global one.
    it.rules("G.exclusive: yes\nG.messagedays: 0\n");
    put(ann.join("store.expirerule"), "exclusive: 1\nmessagedays: 30\n");
    it.run("imexpire", &["-e"]).ok();
    // Below Work the file there is loaded after that of the user, but is not exclusive.
    assert_eq!(left(&it), [1, 1, 0, 0]);
    // Two files in one place.
    put(ann.join("store.expire"), &days(0));
    let (_, err) = it.run("imexpire", &["-e"]).ended(0);
    assert!(err.contains("store.expirerule counts, ") && err.contains("store.expire does not"), "{err}");
    // A rule file goes where its folder goes.
    fs::remove_file(it.base().join("config/store.expirerule")).unwrap();
    it.run("mboxutil", &["-r", "user/ann/INBOX", "user/ann/INBOX", "second"]).ok();
    assert!(it.directory_of("user/ann/INBOX").starts_with(&second));
    assert_eq!(
        fs::read_to_string(it.directory_of("user/ann/INBOX").join("store.expirerule")).unwrap(),
        "exclusive: 1\nmessagedays: 30\n"
    );
}

#[test]
fn the_global_file_and_settings() {
    let it = site();
    set(&it, "store.expirerule.old.messagedays", "20");
    set(&it, "store.expirerule.old.folderpattern", "user/joe/*");
    let (_, err) = it.run("configutil", &["-o", "store.expirerule.old.match", "-v", "some"]).ended(64);
    assert!(err.contains("any, all"), "{err}");
    let (out, _) = it.run("imexpire", &["-n", "--explain"]).ended(2);
    assert!(
        out.starts_with(
            "user/joe/INBOX: would expire uid 1, 39 bytes: old (store.expirerule.old.folderpattern): messagedays: 20\n"
        ),
        "{out}"
    );
    // The file of the store counts when there is none in the configuration, and settings do not count beside a file.
    let other = it.base().join("data/store/store.expirerule");
    fs::write(&other, "O.folderpattern: user/ann/INBOX\nO.messagedays: 20\n").unwrap();
    let (_, err) = it.run("imexpire", &["-e"]).ended(0);
    assert!(err.contains("store.expirerule counts, and not the rules of configutil: old"), "{err}");
    assert_eq!(left(&it), [1, 2, 2, 2]);
    it.rules("N.folderpattern: user/ann/Work\nN.messagedays: 20\n");
    let (_, err) = it.run("imexpire", &["-e"]).ended(0);
    assert!(
        err.contains("config/store.expirerule counts, ") && err.contains("data/store/store.expirerule does not"),
        "{err}"
    );
    assert_eq!(left(&it), [1, 1, 2, 2]);
}

#[test]
fn the_strictest_policy_counts() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.rules("X.folderpattern: user/*\nX.messagedays: 10\nY.folderpattern: user/joe/*\nY.messagedays: 5\n");
    it.put("user/joe/INBOX", &[letter("a").old(11), letter("b").old(6), letter("c").old(4)]);
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(it.uids("user/joe/INBOX"), [3]);
    // Of several exclusive ones the last.
    it.rules("X.exclusive: on\nX.messagedays: 0\nY.exclusive: true\nY.messagedays: 9\nZ.messagedays: 0\n");
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(it.uids("user/joe/INBOX"), [3]);
}

#[test]
fn users_who_are_excluded() {
    let it = site();
    it.rules(OLD);
    let list = it.base().join("config/expire_exclude_list");
    fs::write(&list, "# by contract\n\n  Joe@example.org \n").unwrap();
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(left(&it), [1, 1, 2, 2]);
    // What they have expunged themselves is purged all the same.
    let (account, folder) = it.mailbox("user/joe/INBOX");
    it.store().remove(account, folder, &msgstore::store::UidSet::one(1), 1).unwrap();
    it.run("imexpire", &[]).ok();
    assert_eq!(files(&it, "user/joe/INBOX"), 1);
    // Who is excluded is not known: nothing expires.
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    let (_, err) = it.run("imexpire", &["-e"]).ended(74);
    assert!(err.contains("expire_exclude_list") && err.contains("nothing expires"), "{err}");
    assert_eq!(left(&it), [1, 1, 1, 2]);
}

#[test]
fn bad_rules_are_named_and_others_run() {
    let it = site();
    it.rules("Bad.folderpattern: joe/*\nBad.messagedays: 0\nOld.folderpattern: user/ann/*\nOld.messagedays: 10\nNone.folderpattern: user/nobody/*\nNone.messagedays: 1\n");
    fs::write(it.directory_of("user/joe/Work").join("store.expirerule"), "messagedays 5\n").unwrap();
    let (out, err) = it.run("imexpire", &["-e"]).ended(1);
    let base = it.base().display().to_string();
    assert_eq!(out, "");
    assert!(err.contains(&format!("imexpire: {base}/config/store.expirerule:1: folderpattern: \"joe/*\" does not begin with user/; the rule does not count\n")), "{err}");
    assert!(
        err.contains("=+Work/store.expirerule:1: ATTRIBUTE: VALUE is expected; no rule of this file removes anything"),
        "{err}"
    );
    assert!(
        err.contains(&format!(
            "warning: None ({base}/config/store.expirerule:5): there is no mailbox that it is for\n"
        )),
        "{err}"
    );
    assert_eq!(left(&it), [1, 1, 2, 2]);
    // A file that cannot be read protects what it is for.
    it.rules(OLD);
    fs::write(it.directory_of("user/joe/Work").join("store.expirerule"), b"\xff").unwrap();
    let (_, err) = it.run("imexpire", &["-e"]).ended(1);
    assert!(err.contains("it is not UTF-8 text; nothing is removed where it counts"), "{err}");
    assert_eq!(left(&it), [1, 1, 1, 2]);
}

#[test]
fn a_partition_that_is_not_mounted() {
    let it = site();
    it.rules(OLD);
    it.settle();
    fs::rename(it.base().join("disk2"), it.base().join("elsewhere")).unwrap();
    fs::create_dir(it.base().join("disk2")).unwrap();
    let (_, err) = it.run("imexpire", &[]).ended(1);
    assert!(err.contains("user/joe/Work: partition second is not mounted, or not one of this store"), "{err}");
    assert!(err.contains("imexpire: the files of deleted mailboxes in partition second: "), "{err}");
    it.run("imexpire", &["-p", "second"]).ended(69);
    fs::remove_dir(it.base().join("disk2")).unwrap();
    fs::rename(it.base().join("elsewhere"), it.base().join("disk2")).unwrap();
    assert_eq!(left(&it), [1, 1, 2, 2]);
}

#[test]
fn too_many_rules_and_a_locked_mailbox() {
    let it = site();
    it.rules(OLD);
    fs::write(it.directory_of("user/ann/Work").join("store.expirerule"), "A.messagedays: 30\nB.messagedays: 30\n")
        .unwrap();
    let (_, err) = it.run("imexpire", &["-e", "-m", "2"]).ended(1);
    assert!(
        err.contains("user/ann/Work: 3 rules apply, more than 2 (-m): nothing expires there")
            && err.contains("1 mailbox failed"),
        "{err}"
    );
    assert_eq!(left(&it), [1, 2, 1, 1]);
    // Another process has it locked: the others are done.
    it.put("user/ann/INBOX", &[letter("old").old(20)]);
    let held = {
        let (account, folder) = it.mailbox("user/ann/Work");
        it.store().lock_folder(account, folder, "a test").unwrap()
    };
    let (_, err) = it.run("imexpire", &["-e"]).ended(1);
    assert!(err.contains("user/ann/Work: the mailbox is in use (a test"), "{err}");
    assert_eq!(left(&it), [1, 2, 1, 1]);
    drop(held);
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(left(&it), [1, 1, 1, 1]);
}

#[test]
pub fn a_bound_stops_before_anything_goes() {
    let it = site();
    it.rules(OLD);
    let (_, err) = it.run("imexpire", &["--max-percent", "49"]).ended(1);
    assert!(err.contains("4 of 8 messages would expire, more than 49%: nothing has expired or been purged"), "{err}");
    assert_eq!(left(&it), [2, 2, 2, 2]);
    set(&it, "local.store.expire.maxpercent", "10");
    it.run("imexpire", &[]).ended(1);
    let (out, err) = it.run("imexpire", &["-n"]).ended(1);
    assert!(out.contains("would expire 4 messages") && err.contains("nothing would expire"), "{out}{err}");
    assert_eq!(left(&it), [2, 2, 2, 2]);
    it.run("imexpire", &["--max-percent", "50"]).ok();
    assert_eq!(left(&it), [1, 1, 1, 1]);
}

#[test]
pub fn how_much_is_told() {
    let it = site();
    it.rules(OLD);
    set(&it, "local.store.expire.loglevel", "3");
    let (out, err) = it.run("imexpire", &["-e", "-u", "ann", "-v"]).ended(0);
    let lines: Vec<&str> = err.lines().collect();
    assert!(
        out.is_empty()
            && lines.len() == 2
            && lines[1].starts_with("imexpire: expired 2 messages, 78 bytes in 2 mailboxes"),
        "{err}"
    );
    let log = it.expire_log();
    assert_eq!(log.len(), 5, "{log:?}");
    assert!(
        log[0].starts_with("Store Notice: user/ann/INBOX: expired uid 1, 39 bytes: Old (")
            && log[0].ends_with("): messagedays: 10"),
        "{log:?}"
    );
    assert!(log[1].starts_with("Store Notice: user/ann/INBOX: expired 1 message, 39 bytes: Old ("), "{log:?}");
    set(&it, "local.store.expire.loglevel", "2");
    let (_, err) = it.run("imexpire", &["-e", "-d", "-v3"]).ended(0);
    assert!(
        err.contains("debug: rule Old (") && err.contains("user/joe/INBOX: expired uid 1, 39 bytes: Old ("),
        "{err}"
    );
    assert_eq!(it.expire_log().len(), 5 + 3);
    set(&it, "local.store.expire.loglevel", "1");
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(it.expire_log().len(), 5 + 3 + 1);
}

#[test]
fn local_rule_files_are_installed() {
    let it = site();
    let file = it.base().join("new rules");
    let path = file.to_str().unwrap();
    fs::write(&file, "messagedays: 15\n").unwrap();
    let out = it.run("imexpire", &["-i", "-x", "user/joe/Work", "-f", path]).ok();
    let placed = it.directory_of("user/joe/Work").join("store.expirerule");
    assert_eq!(out, format!("installed {}\n", placed.display()));
    assert_eq!(fs::read_to_string(&placed).unwrap(), "messagedays: 15\n");
    it.run("imexpire", &["-i", "-p", "primary", "-f", path]).ok();
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(left(&it), [1, 1, 2, 1]);
    for (text, place, code, said) in [
        ("messageday: 3\n", ["-x", "user/joe/Work"], 65, ":1: unknown attribute messageday"),
        ("# nothing\n", ["-x", "user/joe/Work"], 65, "there is no rule in it"),
        ("messagedays: 3\n", ["-x", "user/joe/Nowhere"], 66, "no such mailbox: user/joe/Nowhere"),
        ("messagedays: 3\n", ["-x", "user/nobody"], 67, "no such user"),
        ("messagedays: 3\n", ["-p", "third"], 66, "Unknown/invalid partition: third"),
    ] {
        fs::write(&file, text).unwrap();
        let (_, err) = it.run("imexpire", &["-i", place[0], place[1], "-f", path]).ended(code);
        assert!(err.contains(said), "{err}");
        assert_eq!(fs::read_to_string(&placed).unwrap(), "messagedays: 15\n");
    }
    // Not while a run may be carrying the old one out.
    let running = msgstore::ops::expire::install::Running::begin(&it.base().join("data/proc")).unwrap();
    let (_, err) = it.run("imexpire", &["-i", "-x", "user/joe/Work", "-f", path]).ended(75);
    assert!(err.contains("may be carrying the rules in place out"), "{err}");
    drop(running);
    it.run("imexpire", &["-i", "-x", "user/joe/Work", "-f", path]).ok();
}

#[test]
pub fn purge_takes_what_is_old_enough() {
    let it = site();
    it.rules(OLD);
    it.settle();
    // A copy keeps its file alive; the space of the other one becomes free.
    let (account, folder) = it.mailbox("user/ann/INBOX");
    let store = it.store();
    store
        .copy((account, folder), &msgstore::store::UidSet::one(1), (account, it.mailbox("user/ann/Keep").1), 1)
        .unwrap();
    store
        .store_flags(
            account,
            it.mailbox("user/ann/Keep").1,
            &msgstore::store::UidSet::one(1),
            &msgstore::store::FlagChange { op: msgstore::store::FlagOp::Add, flags: Flags::SEEN, keywords: Vec::new() },
            None,
        )
        .unwrap();
    fs::write(it.directory_of("user/ann/Keep").join("store.expirerule"), "exclusive: 1\n").unwrap();
    it.run("imexpire", &[]).ok();
    assert_eq!((left(&it), files(&it, "user/ann/INBOX")), (vec![1, 1, 1, 1], 2), "24 hours have not passed");
    set(&it, "store.cleanupage", "0");
    let (out, _) = it.run("imexpire", &["-c", "-n"]).ended(2);
    assert!(out.contains("user/ann/INBOX: would purge 1 message, 39 bytes, 0 bytes free\n"), "{out}");
    assert!(out.contains("user/ann/Work: would purge 1 message, 39 bytes, 39 bytes free\n"), "{out}");
    let (out, err) = it.run("imexpire", &["-c", "-v"]).ended(0);
    assert!(
        out.is_empty()
            && err.contains("expired 0 messages, 0 bytes in 0 mailboxes, purged 4 messages, 156 bytes, 117 bytes free"),
        "{err}"
    );
    assert_eq!((files(&it, "user/ann/INBOX"), files(&it, "user/joe/Work")), (1, 1));
    assert_eq!(it.uids("user/ann/Keep"), [1]);
    assert_eq!(it.run("mboxutil", &["-R", "user/joe/Work"]).ok(), "user/joe/Work: 0 messages restored\n");
    // Expired and purged in one run, as the trial run says.
    it.put("user/joe/INBOX", &[letter("old").old(20)]);
    let (out, _) = it.run("imexpire", &["-n"]).ended(2);
    assert!(out.contains("user/joe/INBOX: would purge 1 message, 39 bytes, "), "{out}");
    it.run("imexpire", &[]).ok();
    assert_eq!(files(&it, "user/joe/INBOX"), 1);
    // With -e it stays.
    it.put("user/joe/INBOX", &[letter("old").old(20)]);
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(files(&it, "user/joe/INBOX"), 2);
}

#[test]
fn purge_takes_deleted_mailboxes_and_old_logs() {
    let it = site();
    it.settle();
    it.run("mboxutil", &["-d", "user/ann/Work"]).ok();
    it.run("mboxutil", &["-d", "user/joe/INBOX"]).ok();
    let trees = || {
        ["data/store/partition/primary", "disk2"]
            .map(|root| fs::read_dir(it.base().join(root).join(".removed")).unwrap().count())
    };
    it.run("purge", &[]).ok();
    assert_eq!(trees(), [1, 1]);
    set(&it, "store.cleanupage", "0");
    // A file is as old as its last change, and this is the same second or the one before.
    let before = msgstore::os::clock::now_s();
    while msgstore::os::clock::now_s() <= before {
        std::thread::yield_now();
    }
    let (out, _) = it.run("purge", &["-n", "-p", "second"]).ended(2);
    assert!(
        out.contains("disk2/.removed/") && out.contains(": would purge 4 messages, 156 bytes, 156 bytes free\n"),
        "{out}"
    );
    it.run("purge", &["-p", "second"]).ok();
    assert_eq!(trees(), [1, 0]);
    let logs = it.base().join("data/log");
    for number in 1..=7 {
        fs::write(logs.join(format!("imap.{number}.{}", before + number)), "x\n").unwrap();
    }
    let rotated = || {
        fs::read_dir(&logs)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("imap."))
            .count()
    };
    let (out, _) = it.run("purge", &["-num=5", "-n"]).ended(2);
    assert!(out.contains("would remove 2 rotated files of the log imap\n"), "{out}");
    assert_eq!(rotated(), 7);
    it.run("purge", &["-num=5"]).ok();
    assert_eq!((rotated(), trees()), (5, [0, 0]));
    assert!(logs.join("imap.7.".to_owned() + &(before + 7).to_string()).exists());
    it.run("purge", &["-day=3"]).ended(64);
}

#[test]
pub fn a_scheduled_run_may_be_bound_to_the_purge() {
    let it = site();
    it.rules(OLD);
    set(&it, "local.store.expire.cleanonly", "yes");
    let (_, err) = it.run("imexpire", &[]).ended(0);
    assert!(err.contains("local.store.expire.cleanonly is set: nothing expires"), "{err}");
    assert_eq!(left(&it), [2, 2, 2, 2]);
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(left(&it), [1, 1, 1, 1]);
}

#[test]
fn a_scheduled_run_leaves_the_purge_to_its_own_schedule() {
    let it = site();
    it.rules(OLD);
    set(&it, "store.cleanupage", "0");
    let scheduled = |words: &[&str]| {
        let out = it.command("imexpire", words).env("SCHED_TASK", "expire").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        files(&it, "user/ann/INBOX")
    };
    it.settle();
    set(&it, "local.schedule.purge", "0 4 * * * lib/purge -num=5");
    assert_eq!(scheduled(&[]), 2);
    assert_eq!(left(&it), [1, 1, 1, 1], "it has expired");
    // Where that cannot run, or is switched off, nobody else would do it.
    set(&it, "local.schedule.purge.enable", "no");
    assert_eq!(scheduled(&["-e"]), 2);
    assert_eq!(scheduled(&[]), 1);
    set(&it, "local.schedule.purge.enable", "yes");
    // Who types it means it, and -c is a purge whoever calls it.
    it.put("user/ann/INBOX", &[letter("old").old(20)]);
    it.settle();
    assert_eq!(scheduled(&[]), 2);
    assert_eq!(scheduled(&["-c"]), 1);
    it.put("user/ann/INBOX", &[letter("old").old(20)]);
    it.run("imexpire", &[]).ok();
    assert_eq!(files(&it, "user/ann/INBOX"), 1);
}

#[test]
fn flags_restrict_and_suffice() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let seen = |subject| letter(subject).flags(Flags::SEEN);
    for (number, (rule, letters, stay)) in [
        ("seen: and\nmessagedays: 5", vec![seen("a").old(5), letter("b").old(5), seen("c").old(4)], vec![2, 3]),
        ("seen: and", vec![seen("a"), letter("b")], vec![2]),
        ("seen: or\nmessagedays: 5", vec![seen("a"), letter("b").old(5), letter("c")], vec![3]),
        (
            "seen: or\nmatch: all\nmessagedays: 5\nSubject: b",
            vec![seen("a"), letter("b").old(5), letter("b"), letter("c").old(5)],
            vec![3, 4],
        ),
        // The oldest of those that were seen go until two are left.
        (
            "seen: and\nmessagecount: 2",
            vec![letter("a").old(9), seen("b").old(7), seen("c").old(8), seen("d").old(1)],
            vec![1, 4],
        ),
        ("match: all\nseen: and\nmessagecount: 2", vec![letter("a").old(9), seen("b"), seen("c"), seen("d")], vec![1]),
        (
            "foldersize: 10K",
            vec![letter("a").old(3).large(4000), letter("b").old(5).large(4000), letter("c").large(4000)],
            vec![1, 3],
        ),
        (
            "match: all\nfoldersize: 10K\nmessagecount: 3",
            vec![letter("a").large(9000), letter("b").large(9000)],
            vec![1, 2],
        ),
        ("messagesize: 5K", vec![letter("a").large(6000), letter("b").large(4000)], vec![2]),
        ("regexp: 1\nSubject: ^re: [0-9]+$", vec![letter("Re: 12"), letter("re: x")], vec![2]),
        ("Subject: a?c*", vec![letter("ABC and so on"), letter("an abc")], vec![2]),
        ("X-None:", vec![letter("a"), letter("b").header("x-none: 1")], vec![1]),
        ("savedays: 5", vec![letter("a").old(5), letter("b").old(4)], vec![2]),
    ]
    .into_iter()
    .enumerate()
    {
        let mailbox = format!("user/joe/F{number}");
        it.put(&mailbox, &letters);
        fs::write(it.directory_of(&mailbox).join("store.expirerule"), rule).unwrap();
        let (_, err) = it.run("imexpire", &["-e"]).ended(0);
        assert_eq!(err, "", "{rule}");
        assert_eq!(it.uids(&mailbox), stay, "{rule}");
    }
}

/// The UIDs that would be expunged in joe's INBOX under these settings alone.
fn would_expire(it: &Instance, settings: &[(&str, &str)]) -> Vec<u64> {
    for (name, value) in settings {
        assert_eq!(it.run("configutil", &["-o", name, "-v", value]).ok(), "", "{name}");
    }
    let out = it.run("imexpire", &["-n", "--json", "--explain"]).out;
    for (name, _) in settings {
        it.run("configutil", &["-o", name, "-d"]).ok();
    }
    let rows = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter(|row| row["action"] == "discard").map(|row| row["uid"].as_u64().unwrap()).collect()
}

#[test]
pub fn every_attribute_can_be_a_setting() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.put(
        "user/joe/INBOX",
        &[
            letter("one").old(20),
            letter("two").old(5).flags(Flags::SEEN),
            letter("three").old(1).flags(Flags::DELETED).large(9000),
            letter("four"),
        ],
    );
    let days = |value| ("store.expirerule.r.messagedays", value);
    let large = ("store.expirerule.r.messagesize", "5000");
    for (settings, uids) in [
        (vec![days("10")], vec![1]),
        (vec![("store.expirerule.r.messagecount", "3")], vec![1]),
        (vec![("store.expirerule.r.foldersize", "500")], vec![1, 2, 3]),
        (vec![("store.expirerule.r.foldersizebytes", "500")], vec![1, 2, 3]),
        (vec![large], vec![3]),
        (vec![large, ("store.expirerule.r.messagesizedays", "2")], vec![]),
        (vec![("store.expirerule.r.seen", "or")], vec![2]),
        (vec![("store.expirerule.r.deleted", "or")], vec![3]),
        (vec![("store.expirerule.r.Subject", "FOUR")], vec![4]),
        (vec![("store.expirerule.r.savedays", "10")], vec![1]),
        (vec![days("0"), ("store.expirerule.r.folderpattern", "user/ann/*")], vec![]),
        (vec![days("10"), ("store.expirerule.r.folderpattern", "user/j[o]e/.*")], vec![]),
        (
            vec![days("10"), ("store.expirerule.r.folderpattern", "user/j[o]e/.*"), ("store.expirerule.r.regexp", "1")],
            vec![1],
        ),
        (vec![days("10"), ("store.expirerule.a.messagedays", "0")], vec![1, 2, 3, 4]),
        (vec![days("10"), ("store.expirerule.a.messagedays", "0"), ("store.expirerule.r.exclusive", "yes")], vec![1]),
        (vec![days("10"), ("store.expirerule.r.action", "report")], vec![]),
        (vec![days("4"), large], vec![1, 2, 3]),
        (vec![days("4"), large, ("store.expirerule.r.match", "all")], vec![]),
    ] {
        assert_eq!(would_expire(&it, &settings), uids, "{settings:?}");
    }
}

#[test]
fn every_attribute_is_in_the_catalogue() {
    for name in [
        "folderpattern",
        "regexp",
        "exclusive",
        "messagedays",
        "messagecount",
        "foldersize",
        "foldersizebytes",
        "messagesize",
        "messagesizedays",
        "seen",
        "deleted",
        "action",
        "savedays",
        "match",
    ] {
        let row = catalogue::find(&format!("store.expirerule.r.{name}")).unwrap();
        assert_eq!(row.name, format!("store.expirerule.<rulename>.{name}"));
    }
}

#[test]
fn the_pattern_under_a_misspelt_name_is_missed() {
    let it = site();
    it.rules("Trsh.folderpattern: user/%/Trash\nTrash.messagedays: 2\n");
    it.run("imexpire", &["-e"]).ended(1);
    assert_eq!(left(&it), [2, 2, 2, 2]);
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_other() {
    let it = site();
    it.settle();
    it.put("user/ann/Work", &[letter("third")]);
    it.settle();
    let (account, folder) = it.mailbox("user/ann/Work");
    let uids = msgstore::store::UidSet::from_ranges(vec![(1, 3)]);
    it.store().remove(account, folder, &uids, 1).unwrap();
    let in_the_way = [1, 2].map(|uid| it.directory_of("user/ann/Work").join(format!("00/{uid}.msg")));
    for file in &in_the_way {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    }
    let (out, err) = it.run("purge", &["-v"]).ended(1);
    let left = files(&it, "user/ann/Work");
    assert_eq!(left, 2, "{out}{err}");
    let named = format!("purge: user/ann/Work: cannot remove {}: ", in_the_way[0].display());
    assert!(err.contains(&named) && err.contains("; so it is with 1 more of its files\n"), "{err}");
    assert!(err.contains("purged 1 message, 41 bytes, 41 bytes free") && err.contains("1 mailbox failed"), "{err}");
    // The next purge tries again.
    for file in &in_the_way {
        fs::remove_dir(file).unwrap();
    }
    fs::write(&in_the_way[1], "x").unwrap();
    let (_, err) = it.run("purge", &["-v"]).ended(0);
    assert!(err.contains("purged 2 messages, 78 bytes, 1 byte free"), "{err}");
    assert!(!in_the_way[0].parent().unwrap().exists());
}

#[test]
fn a_trial_run_frees_what_the_run_frees() {
    let it = site();
    it.rules(&format!("{OLD}File.folderpattern: user/ann/*\nFile.Subject: new\nFile.action: fileinto:Filed\n"));
    it.settle();
    let (account, work) = it.mailbox("user/ann/Work");
    let store = it.store();
    // One file with three names that all go, another one of which one name stays.
    let first = msgstore::store::UidSet::one(1);
    let copy = |uids: &msgstore::store::UidSet, to: &str| {
        store.copy((account, work), uids, (account, it.mailbox(to).1), 1).unwrap();
    };
    copy(&first, "user/ann/Copies");
    copy(&first, "user/ann/INBOX");
    copy(&msgstore::store::UidSet::one(2), "user/ann/Copies");
    let (_, copies) = it.mailbox("user/ann/Copies");
    store.remove(account, copies, &first, 1).unwrap();
    store.remove(account, work, &first, 1).unwrap();
    // What is set aside counts with the others.
    copy(&msgstore::store::UidSet::one(2), "user/ann/Deleted");
    it.run("mboxutil", &["-d", "user/ann/Deleted"]).ok();
    set(&it, "store.cleanupage", "0");
    let now = msgstore::os::clock::now_s();
    while msgstore::os::clock::now_s() <= now {
        std::thread::yield_now();
    }
    let purges = |out: &str| -> Vec<(String, u64, u64)> {
        let rows = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let purges = rows.filter(|row| row["action"] == "purge");
        purges
            .map(|row| {
                let number = |name: &str| row[name].as_u64().unwrap();
                (row["mailbox"].as_str().unwrap().to_owned(), number("messages"), number("freed_bytes"))
            })
            .collect()
    };
    let would = purges(&it.run("imexpire", &["-n", "--json"]).ended(2).0);
    let did = purges(&it.run("imexpire", &["--json"]).ok());
    assert_eq!(would, did);
    assert!(would.iter().any(|(_, messages, freed)| *messages > 0 && *freed == 0), "{would:?}");
    assert!(would.iter().map(|(_, _, freed)| freed).sum::<u64>() >= 39 * 4, "{would:?}");
}
