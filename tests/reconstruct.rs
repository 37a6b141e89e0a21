//! reconstruct -n, through the binary, on a running store; `tests/repair` has the repair.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;

use super::instance::Instance;
use msgstore::store::{Flags, Usage};

const MAIL: &str = "Subject: one\r\n\r\nhello\r\n";

#[test]
fn a_sound_store_is_silent() {
    let it = Instance::new();
    it.accounts(&["dulcinea"]);
    it.append("user/dulcinea/legal/a", MAIL, Flags::NONE);
    for words in [
        &["-n", "user/dulcinea/INBOX"][..],
        &["-n", "-r"],
        &["-n", "-r", "-p", "primary"],
        &["-n", "-r", "user/dulcinea/"],
        &["-n", "user/Dulcinea@example.org/INBOX"],
        &["-n", "user/dulcinea/legal", "user/dulcinea/legal/a", "--content"],
    ] {
        assert_eq!(it.run("reconstruct", words).ok(), "", "{words:?}");
    }
}

#[test]
fn damage_is_told_by_name() {
    let mut it = Instance::new();
    it.accounts(&["dulcinea", "joe"]);
    it.append("user/dulcinea/INBOX", MAIL, Flags::NONE);
    it.append("user/dulcinea/Entw&APw-rfe", MAIL, Flags::NONE);
    it.append("user/dulcinea/Entw&APw-rfe/a", MAIL, Flags::NONE);
    it.append("user/dulcinea/Entw&APw-rfe/a", MAIL, Flags::NONE);
    it.run("mboxutil", &["-r", "user/joe/INBOX", "user/joe/INBOX", "second"]).ok();
    it.append("user/joe/INBOX", MAIL, Flags::NONE);
    it.settle();
    it.leave_unchecked();
    let drafts = it.directory_of("user/dulcinea/Entw&APw-rfe");
    let missing = drafts.join("00/1.msg");
    fs::remove_file(&missing).unwrap();
    let changed = it.directory_of("user/dulcinea/Entw&APw-rfe/a").join("00/2.msg");
    fs::remove_file(&changed).unwrap();
    fs::write(&changed, MAIL.replace("hello", "HELLO")).unwrap();
    let loose = it.directory_of("user/joe/INBOX").join("00/letter");
    fs::write(&loose, "x").unwrap();

    let one = format!("user/dulcinea/Entw\u{fc}rfe: message 1: its file {} is missing [I1]\n", missing.display());
    let two = "user/dulcinea/Entw\u{fc}rfe/a: message 2: its file holds another content than was recorded [I1]\n";
    let three = format!("user/joe/INBOX: {} is no message file [I2]\n", loose.display());
    let first = "[I1] does not hold: every message has its file, with the recorded size and content\n";
    let second = "[I2] does not hold: every message file belongs to a message, or waits for purge\n";
    let run = |words: &[&str]| it.run("reconstruct", &[&["-n"][..], words].concat()).ended(2).0;
    assert_eq!(run(&["user/dulcinea/Entw\u{fc}rfe"]), format!("{one}{first}"));
    assert_eq!(run(&["user/dulcinea/Entw\u{fc}rfe/", "--content"]), format!("{one}{two}{first}"));
    assert_eq!(run(&["-r", "user/dulcinea"]), format!("{one}{first}"));
    assert_eq!(run(&["-r", "--content"]), format!("{one}{two}{three}{first}{second}"));
    assert_eq!(run(&["-r", "-p", "second"]), format!("{three}{second}"));
    assert_eq!(it.run("reconstruct", &["-n", "user/dulcinea/INBOX"]).ok(), "");
    let json = run(&["-r", "user/joe/INBOX", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&row["place"], &row["invariant"]), (&"user/joe/INBOX".into(), &"I2".into()));
    assert_eq!((&row["uid"], &row["harmless"]), (&serde_json::Value::Null, &false.into()));
}

/// What is about an account and no mailbox of it is told with the partitions where it has mailboxes.
#[test]
fn usage_is_told_with_the_partition_of_a_mailbox() {
    let mut it = Instance::new();
    it.accounts(&["dulcinea", "joe"]);
    it.run("mboxutil", &["-r", "user/joe/INBOX", "user/joe/INBOX", "second"]).ok();
    it.append("user/joe/INBOX", MAIL, Flags::NONE);
    it.leave_unchecked();
    let (account, _) = it.mailbox("user/joe/INBOX");
    it.store().spoil_account_usage(account, Usage { bytes: 7, messages: 2 }).unwrap();
    let (out, _) = it.run("reconstruct", &["-n", "-r", "-p", "second"]).ended(2);
    assert!(out.starts_with("user/joe: usage is recorded as 7 bytes in 2 messages"), "{out}");
    assert_eq!(it.run("reconstruct", &["-n", "-r", "-p", "primary"]).ok(), "");
}

#[test]
fn an_account_in_the_wrong_place_is_found() {
    let mut it = Instance::new();
    it.append("user/joe/INBOX", MAIL, Flags::NONE);
    it.settle();
    it.leave_unchecked();
    let users = it.base().join("data/store/partition/primary/=user");
    fs::create_dir_all(users.join("04/74")).unwrap();
    fs::rename(users.join("04/73/=joe"), users.join("04/74/=joe")).unwrap();
    let (out, _) = it.run("reconstruct", &["-n", "-r"]).ended(2);
    assert!(out.contains("user/joe/INBOX: its directory ") && out.contains("/04/74/=joe: "), "{out}");
    assert!(out.contains("[I1] does not hold") && out.contains("[I5] does not") && out.contains("[I8] does"), "{out}");
}

#[test]
fn misuse_is_told() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for (words, code, text) in [
        (&["-q", "-r"][..], 64, "cannot be used with"),
        (&["-n", "-f", "-r"], 64, "cannot be used with"),
        (&["-m", "-r"], 64, "cannot be used with"),
        (&["-m", "-f"], 64, "cannot be used with"),
        (&["-o", "-r"], 64, "cannot be used with"),
        (&["-u", "joe", "-m"], 64, "required"),
        (&["-d", "orphans.cmd"], 64, "required"),
        (&["-l"], 64, "there is no lright.db"),
        (&["-n"], 64, "-n needs a mailbox, or -r"),
        (&["-f"], 64, "a mailbox, -r, -m, -q or -o is needed"),
        (&["-n", "-p", "primary", "user/joe/INBOX"], 64, "-p goes with -r"),
        (&["-n", "-r", "-p", "/var/mail"], 66, "Unknown/invalid partition: /var/mail"),
        (&["-m", "-p", "/var/mail"], 66, "Unknown/invalid partition: /var/mail"),
        (&["-n", "user/joe/../x"], 64, "\"..\""),
        (&["-n", "user/nobody/INBOX"], 66, "no such mailbox: user/nobody/INBOX"),
        (&["user/nobody/INBOX"], 66, "no such mailbox: user/nobody/INBOX"),
        (&["-n", "user/joe/INBOX", "user/joe/none"], 1, "no such mailbox: user/joe/none"),
        (&["user/joe/INBOX", "user/joe/none"], 1, "no such mailbox: user/joe/none"),
        (&["-n", "-r", "-i", "-e"], 0, "-i and -e have no effect with -n"),
    ] {
        let (out, err) = it.run("reconstruct", words).ended(code);
        assert!(out.is_empty() && err.contains(text), "{words:?}: {err}");
    }
}
