//! hashdir, through the binary.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::process::Command;

use super::instance::Instance;
use msgstore::store::Flags;

/// Runs hashdir where there is no instance.
fn hashdir(words: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_msgstore"))
        .arg("hashdir")
        .args(words)
        .env_clear()
        .current_dir("/")
        .output()
        .unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn the_vectors() {
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/hashdir/vectors.txt"));
    for line in golden.unwrap().lines() {
        let (account, place) = line.split_once(' ').unwrap();
        assert_eq!(hashdir(&[account]), (Some(0), format!("{place}\n"), String::new()));
    }
}

#[test]
fn the_name_of_the_directory_is_appended() {
    assert_eq!(hashdir(&["-a", "mack1"]).1, "53/53/=mack1\n");
    assert_eq!(hashdir(&["-a", "jdoe@siroe.com"]).1, "51/b1/=jdoe@siroe%dcom\n");
}

#[test]
fn names_are_read_from_standard_input() {
    let it = Instance::stopped(&[]);
    let (out, err) = it.run_with("hashdir", &["-i", "-a"], "mack1\n\nbad/name\njoe").ended(1);
    assert_eq!(out, "53/53/=mack1\n04/73/=joe\n");
    assert!(err.contains("'/'") && !err.contains("account:"), "{err}");
}

#[test]
fn misuse_is_told() {
    for words in [&[][..], &["a", "b"], &["-i", "joe"], &["--check", "-a"], &["a/b"], &[""]] {
        let (code, out, err) = hashdir(words);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{words:?}");
        assert!(!err.is_empty(), "{words:?}");
    }
    assert_eq!(hashdir(&["--check"]).0, Some(78));
}

#[test]
fn a_path_leads_back() {
    assert_eq!(hashdir(&["--reverse", "/p/=user/53/53/=mack1/=projx/01/100.msg"]).1, "user/mack1/projx\t100\n");
    assert_eq!(hashdir(&["--reverse", "/p/=user/53/53/=mack1"]).1, "user/mack1/INBOX\n");
    assert_eq!(hashdir(&["--reverse", "/p/=user/53/53/=mack1/=Entw&APw-rfe"]).0, Some(66));
    assert_eq!(hashdir(&["--reverse", "/p/=user/53/53/=mack1/=+Entw&+A+Pw-rfe"]).1, "user/mack1/Entw\u{fc}rfe\n");
    let (code, out, err) = hashdir(&["--reverse", "/p/=user/53/54/=mack1/00/1.msg"]);
    assert_eq!((code, out.as_str()), (Some(1), "user/mack1/INBOX\t1\n"));
    assert!(err.contains("/p/=user/53/53/=mack1"), "{err}");
    assert_eq!(hashdir(&["--reverse", "/etc/passwd"]).0, Some(66));
}

#[test]
fn a_tree_is_checked() {
    let mut it = Instance::new();
    it.run("hashdir", &["--check"]).ok();
    it.append("user/joe/Work/2004", "Subject: x\r\n\r\n", Flags::NONE);
    assert_eq!(it.run("hashdir", &["--check"]).ok(), "");
    it.settle();
    it.leave_unchecked();
    let users = it.base().join("data/store/partition/primary/=user");
    fs::create_dir_all(users.join("04/74")).unwrap();
    fs::rename(users.join("04/73/=joe"), users.join("04/74/=joe")).unwrap();
    let (out, _) = it.run("hashdir", &["--check"]).ended(2);
    let users = users.display();
    assert_eq!(out, format!("{users}/04/74/=joe: belongs at {users}/04/73/=joe\n"));
}
