//! Folders for special uses, however they are made, as a client sees them.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;

use super::{Client, Daemon};
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// The lines of a LIST without their beginning.
fn listed(client: &mut Client, arguments: &str) -> Vec<String> {
    let mut lines = client.ask(&format!("list {arguments}"));
    assert_eq!(lines.pop().unwrap(), "OK Completed");
    lines.into_iter().map(|line| line.strip_prefix("* LIST ").unwrap().to_owned()).collect()
}

#[test]
fn every_tool_that_makes_a_folder_gives_it_its_use() {
    let it = Instance::new();
    it.user("joe");
    let mail = it.base().join("mail");
    fs::write(&mail, "Subject: one\n\nhello\n").unwrap();
    let mbox = it.base().join("mbox");
    fs::write(&mbox, "From joe@example.org Wed Nov 18 09:46:40 2026\nSubject: two\n\nhello\n").unwrap();
    it.run("mboxutil", &["-c", "user/joe/Entw\u{fc}rfe"]).ok();
    it.run("mboxutil", &["-c", "user/joe/Sent Messages/2004"]).ok();
    it.run("mboxutil", &["-c", "user/joe/Drafts"]).ok();
    let mut command = it.command("deliver", &["-m", "Bulk Mail", "-c", "-a", "joe", "joe"]);
    assert!(command.stdin(fs::File::open(&mail).unwrap()).status().unwrap().success());
    it.run("imsimport", &["-u", "joe", "-s", mbox.to_str().unwrap(), "-d", "Archives", "-v", "0"]).ok();
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    assert!(client.ask("create \"Deleted Messages\"")[0].starts_with("OK [MAILBOXID (F"));
    assert_eq!(
        listed(&mut client, "(special-use) \"\" *"),
        [
            "(\\Archive) \"/\" \"Archives\"",
            "(\\Junk) \"/\" \"Bulk Mail\"",
            "(\\Trash) \"/\" \"Deleted Messages\"",
            "(\\Drafts) \"/\" \"Entw&APw-rfe\"",
            "(\\Sent) \"/\" \"Sent Messages\"",
        ]
    );
    // What a tool renames or deletes.
    it.run("mboxutil", &["-r", "user/joe/Sent Messages", "user/joe/Out"]).ok();
    it.run("mboxutil", &["-d", "user/joe/Archives"]).ok();
    it.run("mboxutil", &["-c", "user/joe/Archive"]).ok();
    assert_eq!(
        listed(&mut client, "\"\" (A% O%) return (special-use)"),
        ["(\\Archive) \"/\" \"Archive\"", "(\\Sent) \"/\" \"Out\""]
    );
}

#[test]
fn patterns_and_names_that_are_too_long_or_strange() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    assert!(client.ask("create \"a\\\"b\\\\ c (USE (d\"")[0].starts_with("OK [MAILBOXID (F"));
    assert_eq!(listed(&mut client, "() \"a\\\"b\" (\"%\" \"%(d\")"), ["() \"/\" \"a\\\"b\\\\ c (USE (d\""]);
    assert_eq!(listed(&mut client, "() \"\" ({1+}\r\na {5+}\r\nin\\x*) return ()"), [""; 0]);
    assert_eq!(client.ask("list () \"\" * return ({8+}\r\nCHILDREN)"), ["BAD Invalid list option in List"]);
}

#[test]
fn long_patterns_end_nothing() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let half = "x".repeat(9000);
    assert_eq!(client.ask(&format!("list \"\" ({half} {half})")), ["NO [LIMIT] Patterns too long"]);
    assert_eq!(client.ask(&format!("list {half} {half}")), ["NO [LIMIT] Pattern too long"]);
    let many = vec!["%"; 65].join(" ");
    assert_eq!(client.ask(&format!("list \"\" ({many})")), ["BAD Too many arguments to List"]);
    let stars = "*a".repeat(8000);
    assert_eq!(client.ask(&format!("list () \"\" ({stars} INBOX)")).len(), 2);
    assert_eq!(client.ask("list (subscribed \"\" *"), ["BAD Invalid list option in List"]);
    assert_eq!(client.ask("noop"), ["OK Completed"]);
}

#[test]
fn a_large_account_is_listed_with_its_numbers() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    for number in 0..60 {
        let path = msgstore::store::FolderPath::parse(&format!("f{}/g{number:02}", number % 3)).unwrap();
        store.folder_create(account, &path, &Default::default(), 1_000).unwrap();
        store.subscribe(account, &format!("f{}/g{number:02}/missing", number % 3), true).unwrap();
    }
    let lines = client.ask("list \"\" * return (children status (messages recent))");
    let count = |begin: &str| lines.iter().filter(|line| line.starts_with(begin)).count();
    assert_eq!((count("* LIST "), count("* STATUS "), lines.len()), (64, 64, 129));
    // Each LIST response stands right before its STATUS.
    for pair in lines[..128].chunks(2) {
        let name = pair[0].rsplit("\"/\" ").next().unwrap();
        assert_eq!(pair[1], format!("* STATUS {name} (MESSAGES 0 RECENT 0)"));
    }
    let lines = client.ask("list (subscribed recursivematch) \"\" f1% return (status (messages))");
    assert_eq!(lines, ["* LIST () \"/\" \"f1\" (\"CHILDINFO\" (\"SUBSCRIBED\"))", "OK Completed"]);
    assert_eq!(client.ask("list (subscribed) \"\" *").len(), 61);
}
