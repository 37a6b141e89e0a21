//! Partitions that are added while the services run, and names that are no partition.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::io::Write;

use crate::instance::Instance;
use crate::instance::imapd::Imapd;

impl Instance {
    /// Sets the path of a partition to a directory that is not there yet.
    #[track_caller]
    fn add_partition(&self, nickname: &str) {
        let name = format!("store.partition.{nickname}.path");
        let path = self.base().join("volumes").join(nickname);
        assert_eq!(self.run("configutil", &["-o", &name, "-v", path.to_str().unwrap()]).ok(), "");
    }

    /// An entry with `mailMessageStore`, made by hand: the account is made at the first login or delivery.
    fn entry_in(&self, userid: &str, partition: &str) {
        self.entry(userid);
        let path = self.base().join("config/directory.ldif");
        let hash = msgstore::directory::password::create("secret").unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "userPassword: {hash}\nmailMessageStore: {partition}").unwrap();
    }

    #[track_caller]
    fn lies_in(&self, mailbox: &str, nickname: &str) {
        let dir = self.directory_of(mailbox);
        assert!(dir.starts_with(self.base().join("volumes").join(nickname)), "{}", dir.display());
    }
}

#[test]
fn a_new_partition_works_at_once() {
    let it = Instance::new();
    for user in ["joe", "ann"] {
        it.user(user);
    }
    let imapd = Imapd::start(&it);
    let mut joe = imapd.login("joe");
    assert!(joe.append("INBOX", "", "Subject: before\r\n\r\n").starts_with("OK "));
    assert!(joe.ask("select inbox").last().unwrap().starts_with("OK "));

    // An account moves there; the session that has it open goes on, and a new one finds everything.
    it.add_partition("third");
    it.run("mboxutil", &["-r", "user/joe", "user/joe", "third"]).ok();
    it.lies_in("user/joe/INBOX", "third");
    let fetched = joe.ask("fetch 1 body[header]").join("\n");
    assert!(fetched.contains("Subject: before"), "{fetched}");
    assert!(joe.append("INBOX", "", "Subject: after\r\n\r\n").starts_with("OK "));
    assert!(joe.ask("create Work")[0].starts_with("OK [MAILBOXID (F"));
    let mut again = imapd.login("joe");
    assert!(again.ask("select inbox").iter().any(|line| line == "* 2 EXISTS"));
    assert!(again.append("Work", "", "Subject: below\r\n\r\n").starts_with("OK "));
    assert!(again.ask("copy 1:2 Work").last().unwrap().starts_with("OK "));
    assert_eq!(it.uids("user/joe/Work"), [1, 2, 3]);
    it.lies_in("user/joe/Work", "third");

    // The first use of another one is a login, of a user whose entry names it.
    it.add_partition("fourth");
    it.entry_in("bob", "fourth");
    assert!(imapd.login("bob").append("INBOX", "", "Subject: x\r\n\r\n").starts_with("OK "));
    it.lies_in("user/bob/INBOX", "fourth");
    it.run_with("deliver", &["bob"], "Subject: two\n\nx\n").ended(0);
    assert_eq!(it.uids("user/bob/INBOX"), [1, 2]);

    // And of the next one a creation by a tool, or by a login of somebody whose entry names none.
    it.add_partition("fifth");
    it.run_with("user", &["add", "--partition", "fifth", "cid"], "secret\n").ended(0);
    it.lies_in("user/cid/INBOX", "fifth");
    it.run("configutil", &["-o", "store.defaultpartition", "-v", "fifth"]).ok();
    it.entry("dan");
    it.run("mboxutil", &["-c", "user/dan/INBOX"]).ok();
    it.lies_in("user/dan/INBOX", "fifth");
    it.entry_in("eve", "fifth");
    let ldif = it.base().join("config/directory.ldif");
    fs::write(&ldif, fs::read_to_string(&ldif).unwrap().replace("mailMessageStore: fifth\n", "")).unwrap();
    imapd.login("eve");
    it.lies_in("user/eve/INBOX", "fifth");
    assert_eq!(it.run("reconstruct", &["-n", "-r"]).ok(), "");
    imapd.stop();
}

#[test]
fn what_is_no_partition_is_told() {
    let it = Instance::new();
    it.user("joe");
    let text = "Unknown/invalid partition: nowhere";
    let (_, err) = it.run("mboxutil", &["-r", "user/joe", "user/joe", "nowhere"]).ended(66);
    assert!(err.contains(text) && err.contains("configutil -p store.partition"), "{err}");
    let (_, err) = it.run_with("user", &["add", "--partition", "nowhere", "ann"], "secret\n").ended(66);
    assert!(err.contains(text), "{err}");
    assert_eq!(it.run("user", &["show", "ann"]).code, 67);
    let (_, err) = it.run("reconstruct", &["-n", "-r", "-p", "nowhere"]).ended(66);
    assert!(err.contains(text), "{err}");
    let (_, err) = it.run("configutil", &["-o", "store.defaultpartition", "-v", "nowhere"]).ended(0);
    assert!(err.contains("Unknown/invalid partition: store.defaultpartition names nowhere"), "{err}");
    it.entry("dan");
    let (_, err) = it.run("mboxutil", &["-c", "user/dan/INBOX"]).ended(69);
    assert!(err.contains(text), "{err}");
    it.run("configutil", &["-o", "store.defaultpartition", "-d"]).ok();
    it.entry_in("bob", "nowhere");
    let (_, err) = it.run("mboxutil", &["-c", "user/bob/INBOX"]).ended(69);
    assert!(err.contains(text), "{err}");
    let (_, err) = it.run_with("deliver", &["bob"], "Subject: x\n\nx\n").ended(75);
    assert!(err.contains(text), "{err}");
    let imapd = Imapd::start(&it);
    let answer = imapd.connect().ask("login bob secret").remove(0);
    assert!(answer.starts_with("NO [UNAVAILABLE] Unknown/invalid partition, incident "), "{answer}");
    // As soon as there is one of that name, all is well.
    it.add_partition("nowhere");
    assert_eq!(imapd.connect().ask("login bob secret"), ["OK User logged in"]);
    imapd.stop();
    assert_eq!(it.run("mboxutil", &["-l", "-s"]).ok(), "user/bob/INBOX\nuser/joe/INBOX\n");
}

#[test]
fn configure_takes_no_wrong_nickname_and_no_relative_path() {
    let it = Instance::stopped(&[]);
    let other = it.base().join("other");
    for (option, value, said) in [
        ("--partition", "Third=/third", "Unknown/invalid partition: Third"),
        ("--partition", "a/b=/third", "Unknown/invalid partition: a/b"),
        ("--partition", "a.b=/third", "Unknown/invalid partition: a.b"),
        ("--set", "store.partition.third.path=third", "an absolute path"),
        ("--set", "store.defaultpartition=Third", "lower-case letters and digits"),
    ] {
        let (_, err) = it.run("configure", &["--base", other.to_str().unwrap(), option, value]).ended(64);
        assert!(err.contains(said), "{err}");
        assert!(!other.join("config/msg.conf").exists());
    }
}

#[test]
fn a_partition_that_moves_is_told_in_the_log() {
    let it = Instance::new();
    it.user("joe");
    it.run("mboxutil", &["-r", "user/joe", "user/joe", "second"]).ok();
    it.add_partition("third");
    it.add_partition("second");
    it.run("refresh", &["store"]).ended(0);
    let log = it.base().join("data/log/default");
    let begun = std::time::Instant::now();
    let lines = loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.contains("read the configuration again") {
            break text;
        }
        assert!(begun.elapsed().as_secs() < 30, "stored does not read the configuration again: {text}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let told: Vec<&str> = lines.lines().filter(|line| line.contains("has another place now")).collect();
    assert!(told.len() == 1 && told[0].contains("partition second has another place now"), "{lines}");
    // The files are where they were, so a tool that looks elsewhere finds no partition, and makes none.
    let (_, err) = it.run_with("deliver", &["joe"], "Subject: x\n\nx\n").ended(75);
    assert!(err.contains("is not there or is not a partition of this store"), "{err}");
    let second = it.base().join("disk2");
    it.run("configutil", &["-o", "store.partition.second.path", "-v", second.to_str().unwrap()]).ok();
    it.run_with("deliver", &["joe"], "Subject: x\n\nx\n").ended(0);
    assert_eq!(it.uids("user/joe/INBOX"), [1]);
}

#[test]
fn one_directory_is_never_two_partitions() {
    let it = Instance::new();
    it.user("joe");
    let imapd = Imapd::start(&it);
    // Written by hand: configutil would have refused it.
    let conf = it.base().join("config/msg.conf");
    let twin = format!("\"store.partition.twin.path\" = \"{}\"\n", it.base().join("disk2").display());
    let text = fs::read_to_string(&conf).unwrap();
    msgstore::os::durable::replace(&conf, format!("{text}{twin}").as_bytes(), 0o600).unwrap();
    it.entry_in("eve", "twin");
    let answer = imapd.connect().ask("login eve secret").remove(0);
    assert!(answer.starts_with("NO [UNAVAILABLE]"), "{answer}");
    imapd.stop();
    msgstore::os::durable::replace(&conf, text.as_bytes(), 0o600).unwrap();
    assert_eq!(it.run("mboxutil", &["-l", "-s"]).ok(), "user/joe/INBOX\n");
}

/// A file cannot be linked from one file system to another: there is one copy for all recipients of the far partition, not one for each.
#[test]
fn recipients_on_another_file_system_share_one_copy() {
    use std::os::unix::fs::MetadataExt;
    // Before the instance, which looks at its partitions when it goes.
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    let it = Instance::new();
    let device = |path: &std::path::Path| fs::metadata(path).unwrap().dev();
    let Some(memory) = memory.as_ref().filter(|memory| device(memory.path()) != device(it.base())) else {
        assert!(std::env::var_os("CI").is_none(), "/dev/shm is no file system of its own");
        println!("SKIPPED: /dev/shm is no file system of its own");
        return;
    };
    let far = memory.path().join("far");
    it.run("configutil", &["-o", "store.partition.far.path", "-v", far.to_str().unwrap()]).ok();
    it.user("joe");
    it.user("jane");
    for user in ["ann", "bob", "eve"] {
        it.entry_in(user, "far");
    }
    it.run_with("deliver", &["joe", "ann", "jane", "bob", "eve"], "Subject: to all\n\nx\n").ended(0);
    let file = |user: &str| {
        let mut open = vec![it.directory_of(&format!("user/{user}/INBOX"))];
        while let Some(dir) = open.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|suffix| suffix == "msg") {
                    let found = fs::metadata(&path).unwrap();
                    return (found.dev(), found.ino(), fs::read_to_string(path).unwrap());
                }
            }
        }
        panic!("{user} has no message");
    };
    let [joe, jane, ann, bob, eve] = ["joe", "jane", "ann", "bob", "eve"].map(file);
    assert_eq!((&joe, &ann), (&jane, &bob));
    assert_eq!(ann, eve);
    assert!(joe.0 != ann.0 && joe.2 == ann.2 && joe.2.contains("Subject: to all"), "{joe:?} {ann:?}");
}
