//! deliver: as a process.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::Write;
use std::process::Stdio;

use msgstore::store::{Acl, AclEntry, Flags, FolderPath, Rights};

use crate::instance::{Instance, Ran};

const TEXT: &str = "From a@b Mon Nov 23 10:00:00 2026\nSubject: one\n\nhello\r\n";
const STORED: &str = "Subject: one\r\n\r\nhello\r\n";

fn texts(it: &Instance, mailbox: &str) -> Vec<String> {
    let dir = it.directory_of(mailbox);
    let text = |uid: &u32| std::fs::read_to_string(dir.join(msgstore::store::layout::message_file(*uid))).unwrap();
    it.uids(mailbox).iter().map(text).collect()
}

fn deliver(it: &Instance, words: &[&str]) -> Ran {
    it.run_with("deliver", words, TEXT)
}

fn acl(it: &Instance, mailbox: &str, identifier: &str, rights: &str) {
    let (account, folder) = it.mailbox(mailbox);
    let entry = AclEntry { identifier: identifier.into(), rights: Rights::parse(rights).unwrap() };
    it.store().set_acl(account, folder, &Acl(vec![entry])).unwrap();
}

fn exists(it: &Instance, user: &str, folder: &str) -> bool {
    let store = it.store();
    let account = store.account_id(user).unwrap().unwrap();
    store.view(account).unwrap().resolve(&FolderPath::parse(folder).unwrap()).unwrap().is_some()
}

#[test]
fn users_share_one_file_and_accounts_are_made() {
    let it = Instance::new();
    it.user("joe");
    it.user("jane");
    assert_eq!(deliver(&it, &["-d", "-r", "a@b", "joe", "jane@example.org", "joe"]).ok(), "");
    let text = format!("Return-Path: <a@b>\r\n{STORED}");
    assert_eq!((texts(&it, "user/joe/INBOX"), texts(&it, "user/jane/INBOX")), (vec![text.clone()], vec![text]));
    deliver(&it, &["-f", "<>", "-g", "\\Seen", "-g", "$Work", "joe"]).ok();
    assert_eq!(texts(&it, "user/joe/INBOX")[1], format!("Return-Path: <>\r\n{STORED}"));
    let (account, folder) = it.mailbox("user/joe/INBOX");
    let store = it.store();
    let view = store.view(account).unwrap();
    let mut last = None;
    view.states(folder, 2..=2, &mut |run| last = Some((run.flags, run.keywords.bits().count()))).unwrap();
    assert_eq!((last, view.keywords().unwrap()), (Some((Flags::SEEN, 1)), vec!["$Work".to_owned()]));
}

#[test]
fn a_folder_takes_mail_of_those_who_may_post() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    acl(&it, "user/joe/Open", "anyone", "p");
    acl(&it, "user/joe/Work", "jane", "lrp");
    for (words, mailbox) in [
        (&["-m", "Open", "joe"][..], "user/joe/Open"),
        (&["-m", "Work", "joe"], "user/joe/INBOX"),
        (&["-m", "Work", "-a", "jane", "joe"], "user/joe/Work"),
        (&["-m", "Work", "-F", "joe"], "user/joe/Work"),
        (&["-m", "user/joe/Work", "-a", "jane@example.org"], "user/joe/Work"),
        (&["-m", "Missing", "-F", "joe"], "user/joe/INBOX"),
        (&["-m", "New/Below", "-c", "-a", "joe", "joe"], "user/joe/New/Below"),
    ] {
        let before = if exists(&it, "joe", &mailbox[9..]) { it.uids(mailbox).len() } else { 0 };
        deliver(&it, words).ok();
        assert_eq!(it.uids(mailbox).len(), before + 1, "{words:?}");
    }
    // A folder that would not take the message is not made.
    deliver(&it, &["-m", "Other", "-c", "joe"]).ok();
    assert!(!exists(&it, "joe", "Other") && !exists(&it, "joe", "Missing"));
    assert_eq!(deliver(&it, &["-m", "user/joe/Work"]).code, 77);
    assert_eq!(deliver(&it, &["-m", "user/joe/Missing", "-F"]).code, 66);
    assert_eq!(deliver(&it, &["-m", "user/nobody/Work", "-F"]).code, 67);
}

#[test]
fn failures_have_the_codes_of_sysexits() {
    let mut it = Instance::new();
    it.accounts(&["joe"]);
    it.run_with("user", &["add", "full", "--quota", "10"], "secret\n").ok();
    let (_, err) = deliver(&it, &["nobody"]).ended(67);
    assert_eq!(err, "deliver: nobody: no such user: nobody\n");
    let (_, err) = deliver(&it, &["nobody", "full", "joe"]).ended(75);
    assert_eq!(err.lines().count(), 2, "{err}");
    assert_eq!(it.uids("user/joe/INBOX").len(), 1);
    deliver(&it, &["-q", "full"]).ok();
    for (message, code) in [("", 65), ("From a Mon Nov 23 10:00:00 2026\n", 65), ("a\0b", 65), ("x", 0)] {
        assert_eq!(it.run_with("deliver", &["-r", "", "joe"], message).code, code, "{message:?}");
    }
    for words in [&[][..], &["-m", "Work"], &["-l", "joe"], &["-g", "\\Recent", "joe"], &["-r", "a\nb", "joe"], &["-Z"]]
    {
        assert_eq!(deliver(&it, words).code, 64, "{words:?}");
    }
    it.stop();
    let (_, err) = deliver(&it, &["joe"]).ended(75);
    assert!(err.contains("start-msg store"), "{err}");
    it.start();
    std::fs::rename(it.base().join("config/directory.ldif"), it.base().join("config/away")).unwrap();
    assert_eq!(deliver(&it, &["joe"]).code, 75);
}

fn lmtp(it: &Instance, crash: Option<&str>, wire: &str) -> (Option<i32>, String) {
    let mut command = it.command("deliver", &["-l"]);
    if let Some(point) = crash {
        command.env("CRASH_POINT", point);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(wire.as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn lmtp_is_spoken_on_standard_input_and_output() {
    let it = Instance::new();
    it.user("joe");
    let wire = "LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\nSubject: one\r\n.\r\nQUIT\r\n";
    let (code, said) = lmtp(&it, None, wire);
    assert!(code == Some(0) && said.contains("250 2.1.5 Delivered <joe@example.org>\r\n221 "), "{said}");
    assert_eq!(texts(&it, "user/joe/INBOX"), ["Return-Path: <a@b>\r\nSubject: one\r\n"]);
    let (code, _) = lmtp(&it, None, "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<joe>\r\nDATA\r\nx");
    assert_eq!(code, Some(75));
}

#[cfg(feature = "failpoints")]
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let mut it = Instance::new();
    it.accounts(&["joe", "jane"]);
    let mut expected = 0;
    for (point, delivered) in [
        ("deliver.after-stage", false),
        ("append.after-sync", false),
        ("append.after-link", false),
        ("append.after-rows", false),
        ("deliver.after-commit", true),
    ] {
        let mut command = it.command("deliver", &["joe"]);
        command.env("CRASH_POINT", point).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(TEXT.as_bytes());
        assert_eq!(child.wait().unwrap().code(), None, "{point}");
        expected += usize::from(delivered);
        assert_eq!(it.uids("user/joe/INBOX").len(), expected, "{point}");
        deliver(&it, &["joe"]).ok();
        expected += 1;
    }
    // A session that dies: every 250 stands for a message.
    let one = "MAIL FROM:<a@b>\r\nRCPT TO:<jane>\r\nDATA\r\nSubject: x\r\n.\r\n";
    let (code, said) = lmtp(&it, Some("append.after-link:3"), &format!("LHLO c\r\n{}", one.repeat(5)));
    assert_eq!((code, said.matches("Delivered").count()), (None, 2), "{said}");
    assert_eq!(it.uids("user/jane/INBOX").len(), 2);
    it.stop();
    it.start();
    assert_eq!(it.uids("user/joe/INBOX").len(), expected);
    assert!(texts(&it, "user/joe/INBOX").iter().all(|text| text == STORED));
}
