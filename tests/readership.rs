//! readership beside imapd: readers, who may look up, rights (2004Q2 Administration Guide, "To Monitor and Maintain Shared Folder Data").

#![allow(clippy::unwrap_used, clippy::panic)]

use super::instance::Instance;
use super::instance::imapd::Imapd;

fn ok(client: &mut super::imap::Client, command: &str) {
    let last = client.ask(command).pop().unwrap();
    assert!(last.starts_with("OK"), "{command}: {last}");
}

#[test]
pub fn readers_are_those_who_selected_a_folder_of_somebody_else() {
    let it = Instance::new();
    it.accounts(&["joe", "ann", "bob"]);
    for (folder, who, rights) in
        [("user/joe/Golf", "anyone", "lr"), ("user/joe/INBOX", "ann", "lrs"), ("user/ann/INBOX", "bob", "l")]
    {
        it.mailbox(folder);
        it.run("readership", &["-s", folder, who, rights]).ok();
    }
    assert_eq!(it.run("readership", &[]).ok(), "");
    let imapd = Imapd::start(&it);
    for (user, folder, may) in [
        ("ann", "Shared Folders/User/joe/Golf", true),
        ("ann", "Shared Folders/User/joe", true),
        ("ann", "INBOX", true),
        ("bob", "Shared Folders/User/joe/Golf", true),
        ("bob", "Shared Folders/User/ann", false),
        ("joe", "Golf", true),
    ] {
        let mut client = imapd.login(user);
        let last = client.ask(&format!("examine \"{folder}\"")).pop().unwrap();
        assert_eq!(last.starts_with("OK"), may, "{user} {folder}: {last}");
        ok(&mut client, "logout");
    }
    assert_eq!(it.run("readership", &["-d", "1"]).ok(), "1 user/joe\n2 user/joe/Golf\n");
    let who = it.run("readership", &["--who"]).ok();
    let lines: Vec<&str> = who.lines().map(|line| line.get(..6).unwrap()).collect();
    assert_eq!(lines, ["1 user", "  ann ", "2 user", "  ann ", "  bob "], "{who}");
    let json = it.run("readership", &["--json", "--who"]).ok();
    let row: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (row["folder"].as_str(), row["readers"].as_u64(), row["who"][1]["user"].as_str()),
        (Some("user/joe/Golf"), Some(2), Some("bob"))
    );
    // Nobody is forgotten who was there lately; who is forgotten is noted anew.
    it.run("readership", &["-p", "1"]).ok();
    assert_eq!(it.run("readership", &[]).ok().lines().count(), 2);
    let (store, joe) = (it.store(), it.store().account_id("joe").unwrap().unwrap());
    assert_eq!(store.forget_readers(joe, i64::MAX).unwrap(), 3);
    assert_eq!(it.run("readership", &[]).ok(), "");
    ok(&mut imapd.login("ann"), "select \"Shared Folders/User/joe/Golf\"");
    assert_eq!(it.run("readership", &[]).ok(), "1 user/joe/Golf\n");
    // The folder goes, and its readers with it; public folders are listed without readers, too.
    it.run("configutil", &["-o", "store.publicsharedfolders.user", "-v", "joe"]).ok();
    assert_eq!(it.run("readership", &[]).ok(), "0 user/joe\n1 user/joe/Golf\n");
    it.run("mboxutil", &["-d", "user/joe/Golf"]).ended(0);
    assert_eq!(it.run("readership", &[]).ok(), "0 user/joe\n");
    imapd.stop();
}

#[test]
fn lists_are_changed_and_explained() {
    let it = Instance::new();
    it.accounts(&["joe", "ann", "public"]);
    for folder in ["user/public/golf", "user/joe/Work"] {
        it.mailbox(folder);
    }
    let set = |words: &[&str]| it.run("readership", &[&["-s"], words].concat());
    set(&["User/public/golf", "Anyone@Example", "lwr"]).ok();
    set(&["user/public/golf", "-ANN@example.org", "w"]).ok();
    set(&["user/public/golf/", "group=Golfers", "lrp"]).ok();
    set(&["user/joe/INBOX", "ann", "l"]).ok();
    assert_eq!(
        it.run("readership", &["-l"]).ok(),
        "ann: user/joe\nanyone@example: user/public/golf\ngroup=golfers: user/public/golf\n"
    );
    assert_eq!(it.run("readership", &["-l", "User/joe/INBOX"]).ok(), "ann: user/joe\n");
    let json = it.run("readership", &["-l", "user/joe/INBOX", "--json"]).ok();
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row, serde_json::json!({ "identifier": "ann", "folders": ["user/joe"] }));
    let told = it.run("readership", &["--explain", "user/public/golf", "ann"]).ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "user/public/golf: ann has lr",
            "l yes: granted to anyone@example",
            "r yes: granted to anyone@example",
            "s no: no entry",
            "w no: granted to anyone@example, denied by -ann"
        ]
    );
    let owner = it.run("readership", &["--explain", "user/public/golf", "public"]).ok();
    assert!(owner.contains("a yes: granted to public, kept as the owner\n"), "{owner}");
    // What IMAP says is the same list.
    let imapd = Imapd::start(&it);
    let told = imapd.login("public").ask("getacl golf").join("\n");
    assert!(told.contains("\"anyone@example\" lrw \"-ann\" w \"group=golfers\" lrp"), "{told}");
    let told = imapd.login("ann").ask("list \"\" \"Shared Folders/User/public/*\"").join("\n");
    assert!(told.contains("\"Shared Folders/User/public/golf\""), "{told}");
    imapd.stop();
    set(&["user/public/golf", "group=golfers", ""]).ok();
    assert_eq!(it.run("readership", &["-l", "user/public/golf"]).ok(), "anyone@example: user/public/golf\n");
    let log = std::fs::read_to_string(it.base().join("data/log/default")).unwrap();
    assert!(log.contains("acl: readership at user/public/golf: group=golfers nothing (was lrp)"), "{log}");
}

#[test]
fn what_is_wrong_is_said() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for (words, code, said) in [
        (&["-s", "user/joe/INBOX", "ann", "lrz"][..], 64, "lrz are no rights"),
        (&["-s", "user/joe/INBOX", "anyone@", "lr"], 64, "names no domain or group"),
        (&["-s", "user/joe/None", "ann", "lr"], 66, "mailbox user/joe/None does not exist"),
        (&["-s", "user/nobody/INBOX", "ann", "lr"], 66, "mailbox user/nobody/INBOX does not exist"),
        (&["-s", "joe", "ann", "lr"], 64, "joe: "),
        (&["-s", "user/joe/INBOX", "ann"], 64, ""),
        (&["-d", "0"], 64, ""),
        (&["-d", "3", "-l"], 64, ""),
        (&["-l", "--who"], 64, ""),
        (&["-l", "user/joe/None"], 66, "does not exist"),
        (&["--explain", "user/joe/INBOX", "nobody"], 67, "no such user: nobody"),
    ] {
        let (_, err) = it.run("readership", words).ended(code);
        assert!(err.contains(said), "{words:?}: {err}");
    }
}
