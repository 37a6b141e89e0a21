//! mboxutil, through the binary, on a running store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;

use super::instance::Instance;
use msgstore::store::{Access, Flags, Limits};

const MAIL: &str = "Subject: one\r\n\r\nhello\r\n";

impl Instance {
    fn names(&self) -> String {
        self.run("mboxutil", &["-l", "-s"]).ok()
    }

    fn listed_in(&self, file: &str, text: &str) -> String {
        let path = self.base().join(file);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn the_classic_columns() {
    let it = Instance::new();
    it.accounts(&["jdoe", "ann"]);
    for number in 0..12 {
        let text = format!("Subject: {number}\r\n\r\n{}", "x".repeat(9180));
        it.append("user/jdoe/INBOX", &text, Flags::NONE);
    }
    let (account, _) = it.mailbox("user/ann/INBOX");
    let limits = Limits { bytes: Some(5 << 20), ..Limits::default() };
    it.store().set_limits(account, &limits, 1).unwrap();
    let listed = it.run("mboxutil", &["-l"]).ok();
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/mboxutil/list.txt"));
    let golden = golden.unwrap().replace("2006/07/06 13:56", "2026/11/18 09:46");
    let mut lines = listed.lines();
    let head = lines.next().unwrap();
    assert_eq!(lines.next(), Some("     0       0 ----/--/-- --:-- primary          5120 user/ann/INBOX"));
    assert_eq!(format!("{head}\n{}\n", lines.next().unwrap()), golden);
    assert_eq!(lines.next(), None);
    let path = it.directory_of("user/ann/INBOX");
    let extended = it.run("mboxutil", &["-l", "-x", "-p", "user/ann*"]).ok();
    let wanted = format!(" user/ann/INBOX {} ann lrswipcda\n", path.display());
    assert!(extended.ends_with(&wanted), "{extended}");
}

#[test]
fn other_forms_of_the_listing() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.append("user/joe/Entw&APw-rfe", MAIL, Flags::NONE);
    assert_eq!(it.names(), "user/joe/INBOX\nuser/joe/Entw\u{fc}rfe\n");
    let json = it.run("mboxutil", &["-l", "--json"]).ok();
    let row: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!(row["v"], 1);
    assert_eq!(row["mailbox"], "user/joe/Entw\u{fc}rfe");
    assert_eq!(row["mutf7"], "user/joe/Entw&APw-rfe");
    assert_eq!((&row["messages"], &row["bytes"]), (&1.into(), &MAIL.len().into()));
    assert_eq!(row["last_message"], "2026-11-18T09:46:40Z");
    assert_eq!(row["acl"][0]["rights"], "lrswipcda");
    assert_eq!(row["special_use"], serde_json::json!(["\\Drafts"]));
    let table = it.run("mboxutil", &["-l", "--table"]).ok();
    assert!(table.contains("Kbytes") && table.contains("user/joe/INBOX"), "{table}");
}

#[test]
fn patterns_select_whole_names() {
    let it = Instance::new();
    it.accounts(&["usr4", "usr44", "usr45@siroe.com"]);
    it.append("user/usr44/Work/a", MAIL, Flags::NONE);
    let list = |words: &[&str]| {
        let mut all = vec!["-l", "-s"];
        all.extend(words);
        it.run("mboxutil", &all)
    };
    assert_eq!(list(&["-p", "user/usr44*"]).ok(), "user/usr44/INBOX\nuser/usr44/Work\nuser/usr44/Work/a\n");
    assert_eq!(list(&["-p", "user/usr44/%"]).ok(), "user/usr44/INBOX\nuser/usr44/Work\n");
    assert_eq!(list(&["-P", "user/[^@]*/INBOX"]).ok(), "user/usr4/INBOX\nuser/usr44/INBOX\n");
    assert!(list(&["-p", "user/nobody*"]).ended(66).1.contains("no mailbox matches user/nobody*"));
    assert!(list(&["-P", "user/("]).ended(64).1.contains("-P user/(: unmatched"));
}

#[test]
fn a_mailbox_is_created() {
    let it = Instance::new();
    it.entry("daphne");
    it.entry("eve@siroe.com");
    assert_eq!(
        it.run("mboxutil", &["-c", "user/daphne/INBOX", "--dry-run"]).ended(2).0,
        "would create the account and user/daphne/INBOX\n"
    );
    assert_eq!(it.names(), "");
    it.run("mboxutil", &["-c", "user/daphne/INBOX"]).ok();
    it.run("mboxutil", &["-c", "user/Daphne@example.org/Work/2004"]).ok();
    it.run("mboxutil", &["-c", "user/eve@siroe.com/Entw\u{fc}rfe"]).ok();
    assert_eq!(
        it.names(),
        "user/daphne/INBOX\nuser/daphne/Work\nuser/daphne/Work/2004\nuser/eve@siroe.com/INBOX\nuser/eve@siroe.com/Entw\u{fc}rfe\n"
    );
    for (name, code, text) in [
        ("user/daphne/INBOX", 73, "exists already"),
        ("user/daphne/Work", 73, "exists already"),
        ("user/nobody/INBOX", 67, "no such user: nobody"),
        ("user/daphne/../x", 64, "\"..\""),
        ("user/daphne/a\nb", 64, "'\\n'"),
        ("user/daphne/a*", 64, "'*'"),
        ("daphne", 64, "user/USERID/"),
        (&format!("user/daphne/{}", "x".repeat(300)), 64, "301 bytes"),
    ] {
        let (_, err) = it.run("mboxutil", &["-c", name]).ended(code);
        assert!(err.contains(text), "{name}: {err}");
    }
}

#[test]
fn a_file_is_worked_through_to_its_end() {
    let it = Instance::new();
    it.entry("ann");
    it.entry("joe");
    let file =
        it.listed_in("names", "# new people\nuser/ann/INBOX\n\nuser/nobody/INBOX\nuser/joe/../x\nuser/joe/INBOX\n");
    let (out, err) = it.run("mboxutil", &["-c", "-f", &file]).ended(1);
    assert_eq!(out, "");
    assert!(err.contains("line 4: user/nobody/INBOX: no such user"), "{err}");
    assert!(err.contains("line 5:") && err.ends_with("mboxutil: 2 of 4 mailboxes failed\n"), "{err}");
    assert_eq!(it.names(), "user/ann/INBOX\nuser/joe/INBOX\n");
    let file = it.listed_in("names", "user/ann/INBOX\n");
    it.run("mboxutil", &["-d", "-f", &file]).ok();
    assert_eq!(it.names(), "user/joe/INBOX\n");
    assert_eq!(it.run("mboxutil", &["-d", "-f", "/no/such/file"]).code, 66);
}

#[test]
fn mailboxes_are_deleted() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    it.append("user/joe/Work", MAIL, Flags::NONE);
    it.append("user/joe/Work/a", MAIL, Flags::NONE);
    it.append("user/joe/Old", MAIL, Flags::NONE);
    let (out, _) = it.run("mboxutil", &["-d", "user/joe/Work", "--dry-run"]).ended(2);
    assert_eq!(out, format!("would delete user/joe/Work: 1 folder, 1 message, {} bytes\n", MAIL.len()));
    it.run("mboxutil", &["-d", "user/joe/Work"]).ok();
    assert_eq!(it.names(), "user/ann/INBOX\nuser/joe/INBOX\nuser/joe/Old\nuser/joe/Work/a\n");
    assert_eq!(it.run("mboxutil", &["-d", "user/joe/Work"]).code, 66);
    it.run("mboxutil", &["-d", "-p", "user/joe/O*"]).ok();
    assert_eq!(it.names(), "user/ann/INBOX\nuser/joe/INBOX\nuser/joe/Work/a\n");
    let (out, _) = it.run("mboxutil", &["-d", "-p", "user/joe/*", "--dry-run", "--json"]).ended(2);
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&plan["action"], &plan["mailbox"]), (&"delete".into(), &"user/joe/INBOX".into()));
    assert_eq!((&plan["folders"], &plan["messages"]), (&2.into(), &1.into()));
    it.run("mboxutil", &["-d", "user/joe/INBOX"]).ok();
    assert_eq!(it.names(), "user/ann/INBOX\n");
    assert_eq!(it.run("mboxutil", &["-d", "user/joe/INBOX"]).code, 66);
    assert_eq!(it.run("mboxutil", &["-d", "-P", "user/joe/.*"]).code, 66);
}

#[test]
fn folders_and_users_are_renamed() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    it.append("user/joe/memos", MAIL, Flags::NONE);
    it.append("user/joe/memos/a", MAIL, Flags::NONE);
    let rename = |from: &str, to: &str| it.run("mboxutil", &["-r", from, to]);
    let (out, _) = it.run("mboxutil", &["-r", "user/joe/memos", "user/joe/April/memos", "--dry-run"]).ended(2);
    assert!(out.starts_with("would rename user/joe/memos to user/joe/April/memos: 2 folders, 2 messages, "), "{out}");
    rename("user/joe/memos", "user/joe/April/memos").ok();
    assert_eq!(it.uids("user/joe/April/memos/a"), [1]);
    assert_eq!(rename("user/joe/memos", "user/joe/x").code, 66);
    assert_eq!(rename("user/joe/April", "user/joe/April").code, 64);
    assert_eq!(rename("user/joe/April", "user/joe/April/below").code, 64);
    assert_eq!(rename("user/joe/April", "user/ann/April").code, 64);
    assert_eq!(rename("user/joe/INBOX", "user/ann/INBOX").code, 73);
    assert_eq!(rename("user/joe/April", "user/joe/INBOX").code, 73);
    rename("user/joe/INBOX", "user/joseph/INBOX").ok();
    assert_eq!(
        it.names(),
        "user/ann/INBOX\nuser/joseph/INBOX\nuser/joseph/April\nuser/joseph/April/memos\nuser/joseph/April/memos/a\n"
    );
    assert!(it.directory_of("user/joseph/April").is_dir());
    let file = it.listed_in("names", "user/joseph/April user/joseph/May June\nuser/ann/x\tuser/ann/y\nuser/ann\n");
    let (_, err) = it.run("mboxutil", &["-r", "-f", &file]).ended(1);
    assert!(err.contains("line 2: ") && err.contains("line 3: ") && err.contains("2 of 3"), "{err}");
    assert_eq!(it.uids("user/joseph/May June/memos/a"), [1]);
}

#[test]
fn folders_and_accounts_move_to_partitions() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.append("user/joe/INBOX", MAIL, Flags::NONE);
    it.append("user/joe/Work/a", MAIL, Flags::NONE);
    let moved = |name: &str, words: &[&str]| it.run("mboxutil", &[&["-r", name, name][..], words].concat());
    moved("user/joe/Work", &["second"]).ok();
    assert!(it.directory_of("user/joe/Work/a").starts_with(it.base().join("disk2")));
    assert!(!it.directory_of("user/joe/INBOX").starts_with(it.base().join("disk2")));
    assert!(moved("user/joe/Work", &["second"]).ended(64).1.contains("already"));
    assert_eq!(moved("user/joe/Work", &["third"]).code, 66);
    assert_eq!(moved("user/joe/INBOX", &["second", "--dry-run"]).ended(2).0.lines().count(), 1);
    moved("user/joe/INBOX", &["second"]).ok();
    assert!(it.directory_of("user/joe/INBOX").starts_with(it.base().join("disk2")));
    it.run("mboxutil", &["-r", "user/joe/Work", "user/joe/Play", "primary"]).ok();
    assert!(it.directory_of("user/joe/Play/a").starts_with(it.base().join("data/store/partition/primary")));
}

#[test]
fn a_mailbox_is_locked_while_a_command_runs() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.append("user/joe/legal", MAIL, Flags::NONE);
    let program = env!("CARGO_BIN_EXE_msgstore");
    // The store must refuse somebody else's change while the command runs: a reading is let through.
    let script = format!("{program} mboxutil -l -s -p user/joe/legal; echo \"$@\"; exit 7");
    let (out, err) = it.run("mboxutil", &["-k", "user/joe/legal", "/bin/sh", "-c", &script, "-", "-d", "--x"]).ended(7);
    assert_eq!((out.as_str(), err.as_str()), ("user/joe/legal\n-d --x\n", ""));
    let script = format!("{program} mboxutil -e -p user/joe/legal; exit $?");
    it.append("user/joe/legal", MAIL, Flags::DELETED);
    let begun = std::time::Instant::now();
    let (_, err) = it.run("mboxutil", &["-k", "user/joe/legal", "/bin/sh", "-c", &script]).ended(1);
    assert!(err.contains("mboxutil -k") && begun.elapsed().as_secs() >= 5, "{err}");
    assert_eq!(it.uids("user/joe/legal").len(), 2);
    it.run("mboxutil", &["-e"]).ok();
    assert_eq!(it.uids("user/joe/legal").len(), 1);
    assert_eq!(it.run("mboxutil", &["-k", "user/joe/legal", "/bin/sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(it.run("mboxutil", &["-k", "user/joe/legal", "/no/such/program"]).code, 127);
    assert_eq!(it.run("mboxutil", &["-k", "user/joe/none", "/bin/true"]).code, 66);
    assert_eq!(it.run("mboxutil", &["-k", "user/joe/legal"]).code, 64);
}

#[test]
fn the_mailboxes_of_a_file_are_locked_all_or_none() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    it.append("user/joe/legal", MAIL, Flags::DELETED);
    let file = it.listed_in("names", "# both\nuser/joe/INBOX\n\nuser/joe/legal\nuser/joe/legal\nuser/ann/INBOX\n");
    assert_eq!(it.run("mboxutil", &["-k", "-f", &file, "/bin/echo", "-f"]).ok(), "-f\n");
    // Each of them is locked: a lock for itself is refused while the command runs.
    let program = env!("CARGO_BIN_EXE_msgstore");
    let (account, folder) = it.mailbox("user/joe/legal");
    let script = format!("{program} mboxutil -e -p user/joe/legal; {program} mboxutil -l -s -p 'user/*/INBOX'");
    let (out, err) = it.run("mboxutil", &["-k", "-f", &file, "/bin/sh", "-c", &script]).ended(0);
    assert_eq!(out, "user/ann/INBOX\nuser/joe/INBOX\n");
    assert!(err.contains("user/joe/legal: ") && err.contains("in use (mboxutil -k"), "{err}");
    assert_eq!(it.store().view(account).unwrap().folder(folder).unwrap().unwrap().exists, 1);
    // One that is missing, or no name at all: nothing is run, and nothing stays locked.
    for (line, code, said) in [("user/joe/none", 66, "no such mailbox"), ("joe", 64, "user/USERID/")] {
        let file = it.listed_in("names", &format!("user/joe/legal\n{line}\n"));
        let (out, err) = it.run("mboxutil", &["-k", "-f", &file, "/bin/echo", "run"]).ended(code);
        assert!(out.is_empty() && err.contains(said), "{err}");
    }
    it.run("mboxutil", &["-e"]).ok();
    assert_eq!(it.uids("user/joe/legal"), Vec::<u32>::new());
    assert_eq!(it.run("mboxutil", &["-k", "-f", &file]).code, 64);
    // Behind the mailbox -f is the command's own.
    assert_eq!(it.run("mboxutil", &["-k", "user/joe/legal", "/bin/echo", "-f", "x"]).ok(), "-f x\n");
}

#[test]
fn what_is_expunged_can_be_brought_back() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    for flags in [Flags::DELETED, Flags::NONE, Flags::DELETED] {
        it.append("user/joe/INBOX", MAIL, flags);
    }
    it.append("user/ann/INBOX", MAIL, Flags::DELETED);
    let (out, _) = it.run("mboxutil", &["-e", "-p", "user/joe/*", "--dry-run"]).ended(2);
    assert_eq!(out, format!("would expunge user/joe/INBOX: 1 folder, 2 messages, {} bytes\n", 2 * MAIL.len()));
    assert_eq!(it.uids("user/joe/INBOX"), [1, 2, 3]);
    it.run("mboxutil", &["-e", "-p", "user/joe/*"]).ok();
    assert_eq!((it.uids("user/joe/INBOX"), it.uids("user/ann/INBOX")), (vec![2], vec![1]));
    it.run("mboxutil", &["-e", "--dry-run", "-p", "user/joe/*"]).ok();
    assert_eq!(it.run("mboxutil", &["-e", "-P", "user/nobody/.*"]).code, 66);
    it.run("mboxutil", &["-R", "-t", "1", "user/joe/INBOX", "--dry-run"]).ended(2);
    assert_eq!(it.run("mboxutil", &["-R", "-t", "1", "user/joe/INBOX"]).ok(), "user/joe/INBOX: 2 messages restored\n");
    assert_eq!(it.uids("user/joe/INBOX").len(), 3);
    assert_eq!(it.run("mboxutil", &["-R", "user/joe/INBOX"]).ok(), "user/joe/INBOX: 0 messages restored\n");
    it.run("mboxutil", &["-R", "user/joe/INBOX", "--dry-run"]).ok();
}

#[test]
fn orphans_are_accounts_that_the_directory_does_not_know() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    assert_eq!(it.run("mboxutil", &["-o"]).ok(), "");
    it.run("user", &["delete", "ann", "--yes"]).ended(0);
    assert_eq!(it.run("mboxutil", &["-o"]).ok(), "user/ann/INBOX\n");
    let file = it.base().join("orphanfile");
    let path = file.to_str().unwrap();
    assert_eq!(it.run("mboxutil", &["-o", "-w", path]).ok(), "");
    it.run("mboxutil", &["-d", "-f", path]).ok();
    assert_eq!(it.names(), "user/joe/INBOX\n");
    assert_eq!(it.run("mboxutil", &["-o", "-w", "/no/such/place/x"]).code, 73);
    // With -t only those nobody used for so long; a login counts, and so does the creation.
    it.user("eve");
    it.run("user", &["delete", "eve", "--yes"]).ended(0);
    assert_eq!(it.run("mboxutil", &["-o", "-t", "60"]).ok(), "");
    let store = it.store();
    let old = store.account_create("old", None, 1_000_000_000).unwrap();
    assert_eq!(it.run("mboxutil", &["-o", "-t", "60"]).ok(), "user/old/INBOX\n");
    store.note_access(old, Access::Imap, msgstore::os::clock::now_s()).unwrap();
    assert_eq!(it.run("mboxutil", &["-o", "-t", "60"]).ok(), "");
    // An entry that cannot be read must not make an orphan of its user.
    let ldif = it.base().join("config/directory.ldif");
    let text = fs::read_to_string(&ldif).unwrap().replacen("dn:", "dn", 1);
    fs::write(&ldif, text).unwrap();
    let (out, err) = it.run("mboxutil", &["-o"]).ended(65);
    assert!(out.is_empty() && err.contains("directory.ldif:"), "{err}");
}

#[test]
fn misuse_and_obsolete_letters_are_told() {
    let mut it = Instance::new();
    for (words, text) in [
        (&["-a"][..], "imquotacheck\n"),
        (&["-q", "siroe.com"], "imquotacheck -d siroe.com\n"),
        (&["-u", "joe"], "imquotacheck -u joe\n"),
        (&[], "required"),
        (&["-l", "-d"], "cannot be used"),
        (&["-l", "user/joe/INBOX"], "take no mailbox"),
        (&["-c"], "MAILBOX"),
        (&["-r", "user/joe/x"], "OLD NEW"),
        (&["-c", "user/joe/x", "-p", "x"], "-p and -P"),
        (&["-l", "--dry-run"], "--dry-run goes with"),
        (&["-d", "x", "-t", "4"], "-t goes with -R and -o"),
        (&["-l", "-f", "x"], "-f goes with"),
        (&["-d", "user/joe/x", "--json"], "--json goes with"),
    ] {
        let (out, err) = it.run("mboxutil", words).ended(64);
        assert!(out.is_empty() && err.contains(text), "{words:?}: {err}");
    }
    it.stop();
    let (_, err) = it.run("mboxutil", &["-l"]).ended(69);
    assert!(err.contains("start-msg store"), "{err}");
    it.start();
}
