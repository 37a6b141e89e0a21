//! Whole sessions: beside other sessions, under TLS, pipelined, large, and cut off.

use std::io::Read;

use msgstore::store::{FlagChange, FlagOp, Flags, FolderId, UidSet};

use crate::bad_input::send_anyway;
use crate::imap::Client;
use crate::instance::Instance;
use crate::instance::popd::{Popd, list, say};
use crate::tls::{Offer, SCRAM, certificate, scram};

const INBOX: &str = "user/joe/INBOX";

fn mail(number: u32) -> String {
    format!("Subject: number {number}\r\n\r\nbody {number}\r\n")
}

/// An instance with a user and so many messages, UIDs from 1.
fn with_mail(count: u32) -> Instance {
    let it = Instance::new();
    it.user("joe");
    (1..=count).for_each(|number| assert_eq!(it.append(INBOX, &mail(number), Flags::NONE), number));
    it.settle();
    it
}

fn flags(it: &Instance) -> Vec<(u32, Flags)> {
    let (account, folder) = it.mailbox(INBOX);
    let mut found = Vec::new();
    let store = it.store();
    let view = store.view(account).unwrap();
    view.states(folder, 0..=u32::MAX, &mut |run| found.extend((run.first..=run.last()).map(|uid| (uid, run.flags))))
        .unwrap();
    found
}

fn retrieved(client: &mut Client, number: u32) -> String {
    let lines = list(client, &format!("RETR {number}"));
    lines.into_iter().map(|line| line + "\r\n").collect()
}

#[test]
fn the_maildrop_stays_what_it_was_while_others_change_the_mailbox() {
    let it = with_mail(4);
    let popd = Popd::start(&it);
    let mut client = popd.login("joe");
    let ids = list(&mut client, "UIDL");
    let (account, _) = it.mailbox(INBOX);
    let store = it.store();
    // Another session expunges two, marks one as \Deleted, and mail arrives.
    store.remove(account, FolderId::INBOX, &UidSet::from_ranges([(1, 2)]), 2).unwrap();
    let deleted = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
    store.store_flags(account, FolderId::INBOX, &UidSet::one(3), &deleted, None).unwrap();
    it.append(INBOX, &mail(5), Flags::NONE);
    it.settle();
    let size = mail(1).len();
    assert_eq!(say(&mut client, "STAT"), format!("+OK 4 {}", 4 * size));
    assert_eq!(list(&mut client, "LIST"), (1..=4).map(|number| format!("{number} {size}")).collect::<Vec<_>>());
    assert_eq!(list(&mut client, "UIDL"), ids);
    (1..=4).for_each(|number| assert_eq!(retrieved(&mut client, number), mail(number)));
    assert_eq!(list(&mut client, "TOP 1 0"), ["Subject: number 1", ""]);
    // Purged, it is gone; everything else goes on.
    store.purge(account, FolderId::INBOX, i64::MAX).unwrap();
    for command in ["RETR 1", "TOP 2 0"] {
        assert_eq!(say(&mut client, command), "-ERR The message is gone");
    }
    assert_eq!(retrieved(&mut client, 4), mail(4));
    assert_eq!(say(&mut client, "DELE 1"), "+OK Marked as deleted");
    assert_eq!(say(&mut client, "DELE 4"), "+OK Marked as deleted");
    assert_eq!(say(&mut client, "QUIT"), "+OK Bye");
    assert_eq!(client.line(), "");
    // \Deleted is IMAP's: the message is there until it is expunged. What was retrieved is \Seen.
    assert_eq!(flags(&it), [(3, Flags::DELETED.with(Flags::SEEN)), (5, Flags::NONE)]);
    let mut client = popd.login("joe");
    let again = list(&mut client, "UIDL");
    assert_eq!(again[0], ids[2].replacen('3', "1", 1));
    assert!(again.len() == 2 && again[1].ends_with(".5"), "{again:?}");
}

#[test]
fn only_quit_deletes() {
    let it = with_mail(3);
    let popd = Popd::start(&it);
    let mut client = popd.login("joe");
    retrieved(&mut client, 1);
    assert_eq!(say(&mut client, "DELE 1"), "+OK Marked as deleted");
    drop(client);
    // A service that ends is no QUIT either.
    let mut client = popd.login("joe");
    assert_eq!(say(&mut client, "DELE 2"), "+OK Marked as deleted");
    popd.stop();
    assert_eq!(client.line(), "-ERR [SYS/TEMP] Server shutting down");
    assert_eq!(flags(&it), [(1, Flags::NONE), (2, Flags::NONE), (3, Flags::NONE)]);
    let popd = Popd::start(&it);
    // Two sessions delete the same message, and each another one.
    let (mut one, mut two) = (popd.login("joe"), popd.login("joe"));
    for (client, numbers) in [(&mut one, [1, 2]), (&mut two, [2, 3])] {
        numbers.into_iter().for_each(|number| {
            assert_eq!(say(client, &format!("DELE {number}")), "+OK Marked as deleted");
        });
    }
    assert_eq!([say(&mut one, "QUIT"), say(&mut two, "QUIT")], ["+OK Bye", "+OK Bye"]);
    assert_eq!(it.uids(INBOX), [] as [u32; 0]);
    let close = |text: &str| {
        let log = std::fs::read_to_string(it.base().join("data/log/pop")).unwrap();
        log.lines().any(|line| {
            line.contains(" popd[") && line.contains("Account Notice: close [127.0.0.1] [joe] ") && line.ends_with(text)
        })
    };
    popd.stop();
    assert!(close(" 1 0") && close(" 0 2") && close(" 0 1"));
}

#[test]
fn a_mailbox_that_is_locked_keeps_its_messages() {
    let it = with_mail(1);
    let popd = Popd::start(&it);
    let mut client = popd.login("joe");
    assert_eq!(say(&mut client, "DELE 1"), "+OK Marked as deleted");
    let (account, folder) = it.mailbox(INBOX);
    let store = it.store();
    let held = store.lock_folder(account, folder, "test").unwrap();
    let answer = say(&mut client, "QUIT");
    drop(held);
    assert_eq!(answer, "-ERR [IN-USE] The mailbox is locked, no message is deleted");
    assert_eq!(client.line(), "");
    assert_eq!(it.uids(INBOX), [1]);
}

#[test]
fn everything_in_one_piece() {
    let it = with_mail(300);
    let popd = Popd::start(&it);
    let mut client = popd.connect();
    let mut script = String::from("CAPA\r\nUSER joe\r\nPASS secret\r\nSTAT\r\nBOGUS\r\n");
    (1..=300).for_each(|number| script += &format!("RETR {number}\r\nDELE {number}\r\n"));
    script += &format!("{}\r\nSTAT\r\nRSET\r\nDELE 300\r\nQUIT\r\nSTAT\r\n", "x".repeat(20_000));
    client.send(script);
    while client.line() != "." {}
    assert_eq!(client.line(), "+OK Send PASS");
    assert!(client.line().starts_with("+OK User logged in, 300 messages"));
    let bytes: usize = (1..=300).map(|number| mail(number).len()).sum();
    assert_eq!(client.line(), format!("+OK 300 {bytes}"));
    assert_eq!(client.line(), "-ERR Unrecognized command");
    for number in 1..=300 {
        assert_eq!(client.line(), format!("+OK {} octets", mail(number).len()));
        let mut text = String::new();
        loop {
            let line = client.line();
            if line == "." {
                break;
            }
            text += &(line + "\r\n");
        }
        assert_eq!(text, mail(number));
        assert_eq!(client.line(), "+OK Marked as deleted");
    }
    assert_eq!(client.line(), "-ERR Line too long");
    assert_eq!(client.line(), "+OK 0 0");
    assert_eq!([client.line(), client.line(), client.line()], ["+OK Completed", "+OK Marked as deleted", "+OK Bye"]);
    assert_eq!(client.line(), "");
    assert_eq!(it.uids(INBOX), (1..300).collect::<Vec<_>>());
}

#[test]
fn stls_changes_what_may_be_said_and_forgets_what_was_said() {
    let it = Instance::with(&[("service.pop.enablesslport", "yes"), ("service.pop.sslport", "0")]);
    it.user("joe");
    it.run("configutil", &["-o", "service.pop.plaintextmincipher", "-v", "128"]).ok();
    let popd = Popd::start(&it);
    let offered = |lines: &[String]| {
        ["STLS", "USER", "SASL SCRAM-SHA-256 SCRAM-SHA-1"].map(|word| lines.iter().any(|line| line == word))
    };
    let mut client = popd.connect();
    assert_eq!(offered(&list(&mut client, "CAPA")), [true, false, true]);
    // Whoever sits in between adds a login of his own: it is not listened to.
    client.send("STLS\r\nUSER mallory\r\nPASS secret\r\n");
    assert_eq!(client.line(), "+OK Begin TLS negotiation now");
    let trust = certificate(&it);
    let mut inside = Offer::of(&trust).secure(client.stream).unwrap();
    inside.send("PASS secret\r\nSTLS\r\nCAPA\r\n");
    assert_eq!([inside.line(), inside.line()], ["-ERR Send USER first", "-ERR TLS is active already"]);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != ".") {
        lines.push(inside.line());
    }
    assert_eq!(offered(&lines), [false, true, false]);
    assert!(lines.iter().any(|line| line == "SASL PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-1"), "{lines:?}");
    inside.send("USER joe\r\nPASS secret\r\nSTLS\r\nQUIT\r\n");
    let said = [(); 4].map(|()| inside.line());
    assert_eq!(
        said,
        ["+OK Send PASS", "+OK User logged in, 0 messages, 0 octets", "-ERR Already logged in", "+OK Bye"]
    );
    // The port with TLS from the first byte on.
    let stream = std::net::TcpStream::connect(("127.0.0.1", popd.tls_port.unwrap())).unwrap();
    let mut client = Offer::of(&trust).secure(stream).unwrap();
    assert!(client.line().starts_with("+OK "));
    client.send("USER joe\r\nPASS secret\r\n");
    assert_eq!([client.line(), client.line()], ["+OK Send PASS", "+OK User logged in, 0 messages, 0 octets"]);
}

#[test]
fn scram_lets_in_who_knows_the_password() {
    let it = Instance::with(&[("service.pop.plaintextmincipher", "-1"), ("store.admins", "boss")]);
    it.accounts(&["joe", "boss"]);
    it.append(INBOX, &mail(1), Flags::NONE);
    let popd = Popd::start(&it);
    let login = |authzid: &str, user: &str, password: &str, mechanism: usize| {
        let mut client = popd.connect();
        scram(
            &SCRAM[mechanism],
            &mut |line| say(&mut client, &line.replace("a authenticate", "AUTH")),
            authzid,
            user,
            password,
        )
    };
    let no = "-ERR [AUTH] Login failed: authentication failure";
    let (joe, boss) = ("+OK User logged in, 1 messages, ", "+OK User logged in, 0 messages, ");
    for (authzid, user, password, expected) in [
        ("", "joe", "secret", joe),
        ("joe", "boss", "secret", joe),
        ("", "boss", "secret", boss),
        ("", "joe", "secreu", no),
        ("boss", "joe", "secret", no),
    ] {
        for mechanism in 0..SCRAM.len() {
            let answer = login(authzid, user, password, mechanism);
            assert!(answer.starts_with(expected), "{user} for {authzid:?}: {answer}");
        }
    }
    // A service that the account may not use.
    let file = it.base().join("config/directory.ldif");
    let text = std::fs::read_to_string(&file).unwrap().replacen(
        "uid: joe\n",
        "uid: joe\nmailAllowedServiceAccess: +imap:*\n",
        1,
    );
    msgstore::os::durable::replace(&file, text.as_bytes(), 0o600).unwrap();
    assert_eq!(login("", "joe", "secret", 0), "-ERR [SYS/PERM] Service not allowed");
}

#[test]
fn a_large_message_streams_and_a_large_maildrop_is_small() {
    let it = Instance::new();
    it.user("joe");
    let line = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQ\r\n";
    let text = format!("Subject: large\r\n\r\n{}", line.repeat(500_000));
    it.append(INBOX, &text, Flags::NONE);
    let (account, folder) = it.mailbox(INBOX);
    let store = it.store();
    it.append(INBOX, &mail(2), Flags::NONE);
    it.settle();
    for _ in 0..13 {
        let rest = UidSet::from_ranges([(2, u32::MAX)]);
        store.copy((account, folder), &rest, (account, folder), 1).unwrap();
    }
    store.remove(account, folder, &UidSet::one(100), 1).unwrap();
    let popd = Popd::start(&it);
    let mut deaf = popd.login("joe");
    let mut client = popd.login("joe");
    let before = popd.peak_mb();
    // One that reads nothing, and one that reads all.
    deaf.send("RETR 1\r\n".repeat(20));
    assert_eq!(say(&mut client, "RETR 1"), format!("+OK {} octets", text.len()));
    assert!(client.bytes(text.len() + 3) == format!("{text}.\r\n").into_bytes());
    let ids = list(&mut client, "UIDL");
    assert_eq!(ids.len(), 8192);
    assert!(ids[8191].starts_with("8192 ") && ids[8191].ends_with(".8193"), "{}", ids[8191]);
    let sizes = list(&mut client, "LIST");
    assert_eq!((sizes.len(), sizes[8191].clone()), (8192, format!("8192 {}", mail(2).len())));
    let more = popd.peak_mb() - before;
    assert!(more < 16, "{more} MiB more");
}

/// The process is killed while QUIT is carried out: all or nothing, and everything when the client was told.
#[test]
fn quit_deletes_all_or_nothing() {
    for (point, done) in [
        ("flags.after-rows:1", false),
        ("expunge.after-rows:1", false),
        ("store.before-commit:2", false),
        ("store.after-commit:2", true),
    ] {
        let it = with_mail(6);
        let popd = Popd::start_with(&it, &[("CRASH_POINT", point)]);
        // The login is the first commit: it notes the last access.
        let mut client = popd.login("joe");
        retrieved(&mut client, 5);
        for number in [1, 2, 4, 6] {
            assert_eq!(say(&mut client, &format!("DELE {number}")), "+OK Marked as deleted");
        }
        send_anyway(&client.stream, b"QUIT\r\n");
        let mut said = Vec::new();
        // The end of the connection may be an error: what came before it counts.
        let _ = client.stream.read_to_end(&mut said);
        assert_eq!(String::from_utf8_lossy(&said), "", "{point}");
        assert!(popd.was_killed(), "{point} was not passed");
        let expected = if done {
            vec![(3, Flags::NONE), (5, Flags::SEEN)]
        } else {
            (1..=6).map(|uid| (uid, Flags::NONE)).collect()
        };
        assert_eq!(flags(&it), expected, "{point}");
    }
    // Told is done: the process is killed right behind the answer.
    let it = with_mail(3);
    let popd = Popd::start(&it);
    let mut client = popd.login("joe");
    client.send("DELE 1\r\nDELE 3\r\nQUIT\r\n");
    assert_eq!([client.line(), client.line(), client.line()].last().unwrap(), "+OK Bye");
    popd.kill();
    assert_eq!(it.uids(INBOX), [2]);
}

#[test]
fn a_bug_ends_one_session_and_has_a_number() {
    let it = with_mail(1);
    // Two logins, then the command that has the bug.
    let mut popd = Popd::start_with(&it, &[("PANIC_POINT", "pop.worker:3")]);
    let (mut first, mut second) = (popd.login("joe"), popd.login("joe"));
    let told = say(&mut first, "RETR 1");
    assert_eq!(told, format!("-ERR [SYS/TEMP] Internal error, incident {}.1", popd.pid()));
    assert_eq!(retrieved(&mut second, 1), mail(1));
    popd.still_runs();
    let log = std::fs::read_to_string(it.base().join("data/log/pop")).unwrap();
    assert!(
        log.lines().any(|line| line.contains("incident 1: ") && line.ends_with("in a bug: the point pop.worker")),
        "{log}"
    );
}

#[test]
fn a_message_file_that_is_not_what_it_was_is_told() {
    let mut it = with_mail(3);
    let file = it.directory_of(INBOX).join("00/2.msg");
    std::fs::write(&file, "cut off").unwrap();
    std::fs::remove_file(it.directory_of(INBOX).join("00/3.msg")).unwrap();
    let popd = Popd::start(&it);
    let mut client = popd.login("joe");
    for (number, incident) in [(2, 1), (3, 2)] {
        let told = say(&mut client, &format!("RETR {number}"));
        assert!(told.starts_with("-ERR [SYS/") && told.ends_with(&format!(".{incident}")), "{told}");
    }
    assert_eq!(retrieved(&mut client, 1), mail(1));
    drop(client);
    drop(popd);
    it.leave_unchecked();
}

/// Rights that a user took from himself by IMAP hold here as well.
#[test]
fn rights_count() {
    use msgstore::store::{Acl, AclEntry, FolderId, Rights};
    let it = with_mail(2);
    let popd = Popd::start(&it);
    let store = it.store();
    let joe = store.account_id("joe").unwrap().unwrap();
    let allow = |rights: &str| {
        let entry = AclEntry { identifier: "joe".into(), rights: Rights::parse(rights).unwrap() };
        store.set_acl(joe, FolderId::INBOX, &Acl(vec![entry])).unwrap();
    };
    allow("lrswi");
    let mut client = popd.login("joe");
    retrieved(&mut client, 2);
    assert_eq!(say(&mut client, "DELE 1"), "+OK Marked as deleted");
    assert_eq!(say(&mut client, "QUIT"), "-ERR [SYS/PERM] Permission denied");
    assert_eq!(flags(&it), [(1, Flags::NONE), (2, Flags::NONE)], "all or nothing");
    allow("lrd");
    let mut client = popd.login("joe");
    retrieved(&mut client, 2);
    assert_eq!(say(&mut client, "DELE 1"), "+OK Marked as deleted");
    assert_eq!(say(&mut client, "QUIT"), "+OK Bye");
    assert_eq!(flags(&it), [(2, Flags::NONE)]);
    allow("la");
    let mut client = popd.connect();
    assert!(say(&mut client, "USER joe").starts_with("+OK"));
    assert_eq!(say(&mut client, "PASS secret"), "-ERR [SYS/PERM] Permission denied");
}
