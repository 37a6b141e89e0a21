//! reconstruct and imcheck through the binary, on a running store.

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use msgstore::store::Flags;

const MAIL: &str = "Subject: one\r\nMessage-ID: <one@example.org>\r\n\r\nhello\r\n";

fn damaged() -> Instance {
    let it = Instance::new();
    it.accounts(&["dulcinea", "joe"]);
    for _ in 0..4 {
        it.append("user/joe/INBOX", MAIL, Flags::SEEN);
        it.append("user/joe/Work", MAIL, Flags::NONE);
    }
    it.append("user/dulcinea/INBOX", MAIL, Flags::NONE);
    it.settle();
    crate::recover::wait_for_snapshot(&it);
    fs::remove_file(it.directory_of("user/joe/INBOX").join("00/2.msg")).unwrap();
    fs::write(it.directory_of("user/joe/Work").join("store.idx"), "").unwrap();
    it
}

#[test]
fn damage_is_told_repaired_and_then_gone() {
    let it = damaged();
    let (checked, _) = it.run("reconstruct", &["-n", "-r"]).ended(2);
    assert!(checked.contains("user/joe/INBOX: message 2: its file ") && checked.contains("[I4]"), "{checked}");
    // What is asked for is repaired, the rest stays.
    let out = it.run("reconstruct", &["user/joe/INBOX"]).ok();
    assert!(out.contains("is missing [I1]\nrepaired: user/joe/INBOX: message 2: its file is missing"), "{out}");
    assert!(out.ends_with("1 found, 1 repaired, 0 left\n"), "{out}");
    assert_eq!(it.uids("user/joe/INBOX"), [1, 3, 4]);
    it.run("reconstruct", &["-n", "user/joe/Work"]).ended(2);
    let out = it.run("reconstruct", &["-r", "user/joe/", "--json"]).ok();
    let rows: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().any(|row| row["place"] == "user/joe/Work" && row["invariant"] == "I4"), "{out}");
    let last = rows.last().unwrap();
    assert!(last["repaired"].as_str().unwrap().starts_with("store.idx is written anew"), "{out}");
    assert_eq!(it.run("reconstruct", &["-r"]).ok(), "");
    assert_eq!(it.run("reconstruct", &["-n", "-r", "--content"]).ok(), "");
}

#[test]
fn partitions_and_force() {
    let it = damaged();
    it.run("mboxutil", &["-r", "user/joe/Work", "user/joe/Work", "second"]).ok();
    fs::write(it.directory_of("user/joe/Work").join("store.idx"), "").unwrap();
    let out = it.run("reconstruct", &["-r", "-p", "second"]).ok();
    assert!(out.contains("repaired: user/joe/Work: ") && !out.contains("INBOX"), "{out}");
    let out = it.run("reconstruct", &["-p", "primary", "user/joe/INBOX", "user/joe/Work"]).ok();
    assert!(out.contains("repaired: user/joe/INBOX: ") && !out.contains("Work"), "{out}");
    let out = it.run("reconstruct", &["-f", "-r", "user/joe"]).ok();
    assert_eq!(out.matches("store.idx is written anew: as asked for").count(), 2, "{out}");
    let out = it.run("reconstruct", &["-f", "-i", "user/dulcinea/INBOX", "--threads", "1"]).ok();
    assert_eq!(
        out,
        "repaired: user/dulcinea/INBOX: store.idx is written anew: as asked for\n0 found, 1 repaired, 0 left\n"
    );
}

#[test]
fn what_was_expunged_can_be_brought_back_until_it_is_forgotten() {
    let it = damaged();
    it.run("reconstruct", &["-r"]).ok();
    let (account, inbox) = it.mailbox("user/joe/INBOX");
    it.store().remove(account, inbox, &msgstore::store::UidSet::one(1), crate::instance::ARRIVED_S).unwrap();
    it.run("reconstruct", &["-f", "user/joe/INBOX"]).ok();
    it.run("mboxutil", &["-R", "user/joe/INBOX"]).ended(0);
    assert_eq!(it.uids("user/joe/INBOX"), [3, 4, 5]);
    it.store().remove(account, inbox, &msgstore::store::UidSet::one(5), crate::instance::ARRIVED_S).unwrap();
    let out = it.run("reconstruct", &["-f", "-e", "user/joe/INBOX"]).ok();
    assert!(out.contains("message 5: it was expunged, the next purge removes it"), "{out}");
    it.run("mboxutil", &["-R", "user/joe/INBOX"]).ended(0);
    assert_eq!(it.uids("user/joe/INBOX"), [3, 4]);
}

#[test]
fn the_database_takes_unknown_directories_in() {
    let it = damaged();
    it.run("reconstruct", &["-r"]).ok();
    let from = it.directory_of("user/joe/Work");
    let copy = from.with_file_name("=+old");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(copy.join("00")).unwrap();
    for name in ["store.idx", "00/1.msg", "00/3.msg"] {
        fs::copy(from.join(name), copy.join(name)).unwrap();
    }
    // No component is written so: it stays as it is.
    let (out, _) = it.run("reconstruct", &["-r"]).ended(0);
    assert_eq!(out, "");
    fs::rename(&copy, from.with_file_name("=old")).unwrap();
    let (out, err) = it.run("reconstruct", &["-r"]).ended(1);
    assert!(out.contains("no known mailbox [I5]") && err.contains("reconstruct -m"), "{out}{err}");
    let (out, _) = it.run("reconstruct", &["-n", "-m"]).ended(2);
    assert!(out.starts_with("user/joe/old: entry would be added for "), "{out}");
    let out = it.run("reconstruct", &["-m"]).ok();
    assert!(out.starts_with("repaired: user/joe/old: entry added: 2 messages of "), "{out}");
    assert_eq!(it.uids("user/joe/old"), [1, 3]);
    assert_eq!(it.run("reconstruct", &["-p", "primary", "-u", "joe", "-m"]).ok(), "");
}

#[test]
fn orphans_are_listed_in_the_documented_form() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for mailbox in ["user/annie/INBOX", "user/oliver/INBOX"] {
        it.mailbox(mailbox);
    }
    let (first, last) =
        ("reconstruct: Start checking for orphaned mailboxes\n", "reconstruct: Done checking for orphaned mailboxes\n");
    let commands = "mboxutil -d user/annie/INBOX\nmboxutil -d user/oliver/INBOX\n";
    let found = "reconstruct: Found 2 orphaned mailbox(es)\n";
    assert_eq!(it.run("reconstruct", &["-o"]).ok(), format!("{first}{commands}{found}{last}"));
    let file = it.base().join("orphans.cmd");
    let out = it.run("reconstruct", &["-o", "-d", file.to_str().unwrap()]).ok();
    assert_eq!(out, format!("{first}{found}{last}"));
    assert_eq!(fs::read_to_string(file).unwrap(), commands);
    it.run("reconstruct", &["-o", "-d", "/none/orphans.cmd"]).ended(73);
}

#[test]
fn a_session_sees_a_repair_as_expunges() {
    let it = damaged();
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    let selected = client.ask("select inbox");
    assert!(selected.iter().any(|line| line == "* 4 EXISTS"), "{selected:?}");
    it.run("reconstruct", &["-r", "user/joe"]).ended(0);
    let answer = client.ask("noop");
    assert!(answer.iter().any(|line| line == "* 2 EXPUNGE"), "{answer:?}");
    let answer = client.ask("uid fetch 1:* (flags envelope)");
    assert_eq!(answer.iter().filter(|line| line.contains(" FETCH ")).count(), 3, "{answer:?}");
    imapd.stop();
}

#[test]
fn imcheck_prints_the_documented_form() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.append("user/joe/INBOX", MAIL, Flags::SEEN);
    it.append("user/joe/INBOX", MAIL, Flags::FLAGGED);
    let (account, inbox) = it.mailbox("user/joe/INBOX");
    let validity = it.store().view(account).unwrap().folder(inbox).unwrap().unwrap().uidvalidity;
    let dir = it.directory_of("user/joe/INBOX");
    let dir = dir.display();
    let size = MAIL.len();
    let head = size - "hello\r\n".len();
    let out = it.run("imcheck", &["-m", "user/joe/INBOX"]).ok();
    let lines: Vec<&str> = out.lines().collect();
    let offset = lines.iter().find_map(|line| line.strip_prefix("Cache Offset: ")).unwrap();
    assert_eq!(offset, "128");
    let expected = format!(
        "--------------------------------------------------------------
Name: user/joe
Version: 1
Exists: 2
Flags: 0
Largest Msg: {size} bytes
Last Append: 20261118094640
Last UID: 2
Oldest Msg: 20261118094640
Oldest Uid: 1
Quota Used: {}
UID Validity: {validity}
Cache Offset: 128
Start Offset: 128
ACL: joe       lrswipcda
Userflags:
Subscribed: 0
Partition: primary
Path: {dir}
Msg Path: {dir}

 MsgNo    Uid  Internal Date      Sent Date     Size HSize CacheOff  Last Updated      Save Date MT  SFlags UFlags   Original-Uid   Message-id
-----------------------------------------------------------------------
",
        2 * size
    );
    assert!(out.starts_with(&expected), "{out}\n{expected}");
    let fields: Vec<Vec<&str>> =
        lines[lines.len() - 2..].iter().map(|line| line.split_whitespace().collect()).collect();
    let (size, head, original) = (size.to_string(), head.to_string(), format!("{validity}-1"));
    let row = [
        "1",
        "1",
        "20261118094640",
        "-",
        &size,
        &head,
        "128",
        "-",
        "20261118094640",
        "0",
        "1010000",
        "000000",
        &original,
        "<one@example.org>",
    ];
    assert_eq!(fields[0], row);
    assert_eq!(fields[1][10], "1000100");
    assert_eq!(it.run("imcheck", &["-m", "/user/joe/INBOX"]).ok(), out);
    assert_eq!(it.run("imcheck", &["-p", "primary"]).ok(), out);
    assert_eq!(it.run("imcheck", &["-p", "second"]).ok(), "");
    assert_eq!(it.run_with("imcheck", &["-f", "-"], "user/joe/INBOX\n").ok(), out);
    let one = it.run("imcheck", &["-m", "user/joe/INBOX", "-c", "2"]).ok();
    assert!(one.contains("\nCache: store.idx\n") && one.contains("  Message-ID: <one@example.org>\n"), "{one}");
    assert_eq!(
        it.run("imcheck", &["-d", "quota.db"]).ok(),
        format!("user/joe {} 2 unlimited unlimited\n", 2 * MAIL.len())
    );
    assert!(it.run("imcheck", &["-d", "folder.db"]).ok().starts_with(&format!("user/joe/INBOX primary {validity} ")));
    assert!(it.run("imcheck", &["-s"]).ok().contains("shard00:\n  rows "));
    for (words, code, text) in [
        (&["-m", "user/nobody/INBOX"][..], 66, "no such mailbox: user/nobody/INBOX"),
        (&["-m", "user/joe/INBOX", "-c", "9"], 66, "message 9 of 2 messages"),
        (&["-d", "lright.db"], 64, "there is no database lright.db"),
        (&["-p", "/var/mail"], 66, "Unknown/invalid partition"),
        (&["-D", "-m", "user/joe/INBOX"], 64, "imsbackup"),
        (&["-f", "/none"], 66, "cannot read /none"),
        (&[], 64, "required"),
    ] {
        let (_, err) = it.run("imcheck", words).ended(code);
        assert!(err.contains(text), "{words:?}: {err}");
    }
}

#[test]
fn imapd_makes_a_wrong_entry_again_and_says_so() {
    let it = damaged();
    it.run("reconstruct", &["-r"]).ended(0);
    let imapd = Imapd::start(&it);
    let path = it.directory_of("user/joe/INBOX").join("store.idx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[300] ^= 1;
    fs::write(&path, bytes).unwrap();
    it.run("reconstruct", &["-n", "user/joe/INBOX"]).ended(2);
    let mut client = imapd.login("joe");
    client.ask("select inbox");
    let answer = client.ask("fetch 1:* envelope");
    assert_eq!(answer.iter().filter(|line| line.contains("<one@example.org>")).count(), 3, "{answer:?}");
    assert_eq!(it.run("reconstruct", &["-n", "user/joe/INBOX"]).ok(), "");
    imapd.stop();
    let log = it.base().join("data/log");
    let mut said = String::new();
    for entry in fs::read_dir(log).unwrap() {
        said += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
    }
    assert!(said.contains("Invalid cache data for msg 1 in mailbox user/joe/INBOX. Needs reconstruct"), "{said}");
}

#[test]
fn a_damaged_row_stops_the_mail_of_its_account_only() {
    use msgstore::store::FolderId;
    use msgstore::store::spoil::Row;
    let it = damaged();
    it.run("reconstruct", &["-r"]).ended(0);
    let lmtpd = crate::instance::lmtpd::Lmtpd::start(&it);
    let imapd = Imapd::start(&it);
    let (joe, _) = it.mailbox("user/joe/INBOX");
    it.store().spoil_row(joe, Row::Folder(FolderId::INBOX), false).unwrap();
    let to = ["joe@example.org", "dulcinea@example.org"];
    let mut wire = lmtpd.connect();
    assert_eq!(wire.ask("MAIL FROM:<sender@example.net>"), "250 2.1.0 OK");
    let mut there = Vec::new();
    for to in to {
        there.push(wire.ask(&format!("RCPT TO:<{to}>")).starts_with("250"));
    }
    assert!(wire.ask("DATA").starts_with("354 "));
    wire.send(format!("{MAIL}.\r\n"));
    let answers: Vec<String> = there.iter().filter(|there| **there).map(|_| wire.reply()).collect();
    assert!(answers.last().unwrap().starts_with("250 "), "{answers:?}");
    assert!(!there[0] || answers[0].starts_with('4'), "{answers:?}");
    let mut client = imapd.login("dulcinea");
    assert!(client.ask("select inbox").iter().any(|line| line == "* 2 EXISTS"));
    let out = it.run("reconstruct", &["-r"]).ok();
    assert!(out.contains("user/joe/INBOX: its row was lost, it is made again"), "{out}");
    assert_eq!(it.uids("user/joe/INBOX"), [1, 3, 4]);
    assert!(wire.deliver(&to, MAIL).iter().all(|answer| answer.starts_with("250 ")));
    imapd.stop();
    lmtpd.stop();
}
