//! Commands that last while something changes: rights, settings, the service itself; and logins that fail by no fault of the client.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use msgstore::os::process::{Order, tell};

use super::acl::grant;
use super::{Client, Daemon, PATIENCE};
use crate::instance::processor_time;

/// Fills a mailbox: 64 messages, doubled so often.
fn fill(client: &mut Client, mailbox: &str, doublings: u32) {
    for number in 0..64 {
        client.append(
            mailbox,
            "",
            &format!("Subject: Re: n{number}\r\nMessage-ID: <{number}@x>\r\n\r\nhello {}\r\n", number % 3),
        );
    }
    client.ask(&format!("select {mailbox}"));
    for _ in 0..doublings {
        assert!(client.ask(&format!("copy 1:* {mailbox}")).last().unwrap().starts_with("OK [COPYUID"));
    }
}

/// As many texts as a search may have: no machine is done with them in some thousand messages within the patience of a test.
fn texts() -> String {
    (0..1000).map(|number| format!(" not body x{number}")).collect()
}

/// Waits until the daemon has worked for a while.
fn wait_for_work(daemon: &Daemon) {
    let begun = processor_time(daemon.child.id());
    while processor_time(daemon.child.id()) < begun + Duration::from_millis(100) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn searches_that_last_end_when_the_right_is_taken() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    joe.ask("create Work");
    fill(&mut joe, "Work", 10);
    let texts = texts();
    for command in ["search", "uid search return (count)", "sort (subject) utf-8", "thread references utf-8"] {
        grant(&daemon, "Work", "lr");
        let mut ann = daemon.login("ann");
        ann.ask("select \"Shared Folders/User/joe/Work\"");
        ann.send(format!("z {command}{texts}\r\n"));
        wait_for_work(&daemon);
        grant(&daemon, "Work", "l");
        let answer = ann.until("z");
        assert!(answer.last().unwrap().starts_with("NO [NOPERM]"), "{command}: {answer:?}");
        assert!(!answer.iter().any(|line| line.starts_with("* SORT") || line.starts_with("* THREAD")), "{answer:?}");
    }
}

#[test]
fn a_search_that_lasts_does_not_keep_the_service_from_its_end() {
    let mut daemon = Daemon::start(&["joe"], &[]);
    let mut joe = daemon.login("joe");
    fill(&mut joe, "INBOX", 10);
    joe.send(format!("z sort (subject) utf-8{}\r\n", texts()));
    wait_for_work(&daemon);
    daemon.terminate();
    let mut lines = Vec::new();
    loop {
        match joe.line_in_time() {
            line if line.is_empty() => break,
            line => lines.push(line),
        }
    }
    assert!(!lines.iter().any(|line| line.starts_with("* SORT") || line.starts_with("z OK")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("* BYE")), "{lines:?}");
    let begun = Instant::now();
    let status = loop {
        match daemon.child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
        assert!(begun.elapsed() < PATIENCE, "imapd does not end");
    };
    assert!(status.success(), "{status}");
}

/// MOVE to another account is two commits. Whether it may remove what it moves is decided before the first: a right that goes in between leaves no
/// message in both places.
#[test]
fn a_move_to_another_account_is_allowed_or_not() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let (mut joe, mut ann) = (daemon.login("joe"), daemon.login("ann"));
    joe.ask("create Work");
    let (mut moved, mut refused) = (0, 0);
    for turn in 0..60 {
        joe.append("Work", "", &format!("a: {turn}\r\n\r\n"));
        grant(&daemon, "Work", "lrd");
        ann.ask("select \"Shared Folders/User/joe/Work\"");
        ann.send("m move * INBOX\r\n");
        if turn % 2 == 0 {
            std::thread::sleep(Duration::from_micros(turn * 50));
        }
        grant(&daemon, "Work", "lr");
        let answer = ann.until("m");
        let count = |client: &mut Client, mailbox: &str| {
            let line = client.ask(&format!("status {mailbox} (messages)")).remove(0);
            super::model::between(&line, "(MESSAGES ", ')').unwrap().parse::<u64>().unwrap()
        };
        match answer.last().unwrap() {
            done if done.starts_with("OK") => moved += 1,
            done => {
                assert!(done.starts_with("NO [NOPERM]"), "{answer:?}");
                refused += 1;
            }
        }
        assert_eq!((count(&mut joe, "Work"), count(&mut ann, "INBOX")), (refused, moved), "turn {turn}: {answer:?}");
    }
    assert!(moved > 0);
}

/// A refresh makes a new server of the settings. What belongs to the process goes on in it: what is known of mailboxes, and who helps.
#[test]
fn sessions_before_and_after_a_refresh_see_the_same() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut before = daemon.login("joe");
    fill(&mut before, "INBOX", 6);
    let commands = [
        "sort (reverse subject) utf-8 all",
        "thread references utf-8 all",
        "search body \"hello 1\"",
        "sort (from date) utf-8 subject n6",
    ];
    before.ask("noop");
    let expected: Vec<_> = commands.iter().map(|command| before.ask(command)).collect();
    assert!(expected[0][0].split(' ').count() == 2 + 4096, "{:?}", expected[0]);
    let set = |value: &str| {
        let arguments = ["configutil", "-o", "service.imap.banner", "-v", value];
        assert!(crate::configure::tool(daemon.dir.path(), &arguments, "").status.success());
    };
    for turn in 0..3 {
        let banner = format!("turn {turn}");
        set(&banner);
        tell(i32::try_from(daemon.child.id()).unwrap(), Order::Refresh).unwrap();
        let begun = Instant::now();
        while Client::new(daemon.port).line() != format!("* OK {banner}") {
            assert!(begun.elapsed() < PATIENCE, "the settings are not read again");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut after = daemon.login("joe");
        let exists = format!("* {} EXISTS", 4096 + turn);
        assert!(after.ask("select INBOX").contains(&exists), "turn {turn}");
        for (command, expected) in commands.iter().zip(&expected) {
            let within = command.replace("utf-8 all", "utf-8 1:4096");
            // The old session is told of new messages, too.
            assert!(after.ask(&within)[0] == expected[0], "turn {turn}: {command}");
            assert!(before.ask(&within)[0] == expected[0], "turn {turn}: {command}");
        }
        // The picture of the mailbox is brought up to date by whoever selects it.
        after.append("INBOX", "", &format!("Subject: later {turn}\r\n\r\n"));
    }
}

/// Where nobody could look at the password it was no guess: no pause, and the connection stays.
#[test]
fn a_login_that_fails_by_our_fault_is_no_guess() {
    let daemon = Daemon::start(&["joe"], &[("service.authfailpause", "600")]);
    let file = daemon.dir.path().join("config/directory.ldif");
    let kept = file.with_extension("kept");
    let mut client = daemon.connect();
    std::fs::rename(&file, &kept).unwrap();
    for _ in 0..12 {
        let answer = client.ask("login joe secret");
        assert!(answer[0].starts_with("NO [UNAVAILABLE]"), "{answer:?}");
    }
    std::fs::rename(&kept, &file).unwrap();
    assert_eq!(client.ask("login joe secret"), ["OK User logged in"]);
    // From elsewhere, too.
    daemon.login("joe");
}
