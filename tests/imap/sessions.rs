//! Sessions as a client sees them: large answers, other processes, the end of the daemon.

use std::io::Write;
use std::time::{Duration, Instant};

use msgstore::store::{Flags, FolderId, NewMessage};

use super::{Daemon, PATIENCE};

fn message(number: usize, bytes: usize) -> String {
    let mut text = format!("From: joe@example.org\r\nSubject: number {number}\r\n\r\n");
    while text.len() < bytes {
        text.push_str(&format!("line {} of message {number}\r\n", text.len()));
    }
    text
}

#[test]
fn a_large_answer_comes_whole() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let big = message(1, 3_000_000);
    assert!(client.append("INBOX", "", &big).starts_with("OK [APPENDUID "));
    for number in 2..=300 {
        let text = message(number, 300);
        client.send(format!("a{number} append INBOX {{{}+}}\r\n{text}\r\n", text.len()));
    }
    for number in 2..=300 {
        assert!(client.until(&format!("a{number}"))[0].starts_with("OK [APPENDUID "));
    }
    client.ask("select INBOX");
    client.send("f fetch 1:* body[]\r\n");
    for number in 1..=300 {
        let head = client.line();
        let size: usize = head
            .strip_prefix(&format!("* {number} FETCH (BODY[] {{"))
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or_else(|| panic!("{head}"))
            .parse()
            .unwrap();
        let expected = if number == 1 { big.clone() } else { message(number, 300) };
        assert_eq!(client.bytes(size), expected.as_bytes(), "message {number}");
        assert_eq!(client.line(), " FLAGS (\\Seen \\Recent))");
    }
    assert_eq!(client.until("f"), ["OK Completed"]);
    assert_eq!(client.ask("search unseen"), ["* SEARCH", "OK Completed"]);
    assert_eq!(client.ask("search text \"number 299\""), ["* SEARCH 299", "OK Completed"]);
    let found = client.ask("search body \"line 2999964 of\"").remove(0);
    assert!(found == "* SEARCH 1" || found == "* SEARCH", "{found}");
}

#[test]
fn a_client_that_does_not_read_blocks_nobody() {
    let daemon = Daemon::start(&["joe"], &[("service.imap.maxthreads", "1")]);
    let mut slow = daemon.login("joe");
    let big = message(1, 8_000_000);
    slow.append("INBOX", "", &big);
    slow.ask("select INBOX");
    slow.send("f fetch 1:* body.peek[]\r\n");
    // The answer has begun.
    assert_eq!(slow.stream.peek(&mut [0]).unwrap(), 1);
    let mut other = daemon.login("joe");
    assert_eq!(other.ask("status INBOX (messages)"), ["* STATUS \"INBOX\" (MESSAGES 1)", "OK Completed"]);
    slow.line();
    assert_eq!(slow.bytes(big.len()), big.as_bytes());
    assert_eq!(slow.line(), ")");
    assert_eq!(slow.until("f"), ["OK Completed"]);
}

#[test]
fn another_process_wakes_an_idling_client() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.ask("select INBOX");
    client.send("i idle\r\n");
    assert_eq!(client.line(), "+ idling");
    // This test is the other process.
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    let mut staging = store.stage("primary").unwrap();
    staging.write_all(message(1, 100).as_bytes()).unwrap();
    let staged = staging.finish().unwrap();
    let item = NewMessage {
        staged: &staged,
        flags: Flags::FLAGGED,
        keywords: Vec::new(),
        internal_date_s: 1_795_000_000,
        internal_zone_min: 60,
    };
    store.append(account, FolderId::INBOX, &[item], 1_795_000_000).unwrap();
    // Nothing else would wake it for half an hour.
    assert_eq!([client.line(), client.line()], ["* 1 EXISTS", "* 1 RECENT"]);
    client.send("DONE\r\n");
    assert_eq!(client.until("i"), ["OK Completed"]);
    assert_eq!(
        client.ask("fetch 1 (flags internaldate)"),
        ["* 1 FETCH (FLAGS (\\Flagged \\Recent) INTERNALDATE \"18-Nov-2026 12:06:40 +0100\")", "OK Completed"]
    );
}

#[test]
fn a_deleted_mailbox_ends_its_sessions() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (mut one, mut other) = (daemon.login("joe"), daemon.login("joe"));
    one.ask("create Short");
    one.ask("select Short");
    assert_eq!(other.ask("delete Short"), ["OK Completed"]);
    assert_eq!(one.ask("noop"), ["OK Completed"]);
    assert_eq!(one.line(), "* BYE Mailbox has been deleted");
    assert_eq!(one.line(), "");
}

#[test]
fn the_end_of_the_daemon_is_told_and_logged() {
    let mut daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.ask("select INBOX");
    let mut idling = daemon.login("joe");
    idling.send("i idle\r\n");
    idling.line();
    let mut stranger = daemon.connect();
    daemon.terminate();
    for client in [&mut client, &mut idling, &mut stranger] {
        assert_eq!(client.line(), "* BYE Server shutting down");
        assert_eq!(client.line(), "");
    }
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
    assert!(!daemon.dir.path().join("data/proc/imap.port").exists());
    let log = daemon.log();
    let close = regex::Regex::new(
        r"Account Notice: close \[127\.0\.0\.1\] \[joe\] \d{4}/\d+/\d+ \d+:\d\d:\d\d \d:\d\d:\d\d \d+ \d+ 1\n",
    )
    .unwrap();
    assert!(close.is_match(&log), "{log}");
    assert!(log.contains("close [127.0.0.1] [unauthenticated] "), "{log}");
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.send(
        "a create A\r\nb select A\r\nc append A {6+}\r\na: 1\r\n\r\nd fetch 1 rfc822\r\ne idle\r\nDONE\r\nf logout\r\n",
    );
    assert!(client.until("a")[0].starts_with("OK [MAILBOXID (F"));
    assert_eq!(client.until("b").last().unwrap(), "OK [READ-WRITE] Completed");
    let appended = client.until("c");
    assert_eq!(appended[..2], ["* 1 EXISTS", "* 1 RECENT"]);
    assert_eq!(client.until("d"), ["* 1 FETCH (RFC822 {6}", "a: 1", " FLAGS (\\Seen \\Recent))", "OK Completed"]);
    assert_eq!(client.until("e"), ["+ idling", "OK Completed"]);
    assert_eq!(client.until("f"), ["* BYE LOGOUT received", "OK Completed"]);
    assert_eq!(client.line(), "");
}

#[test]
fn a_hangup_signal_reads_the_configuration_again() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut old = daemon.login("joe");
    let done = crate::configure::tool(
        daemon.dir.path(),
        &["configutil", "-o", "service.imap.banner", "-v", "%p here, %% and all"],
        "",
    );
    assert!(done.status.success());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    let begun = Instant::now();
    while super::Client::new(daemon.port).line() != "* OK IMAP4 here, % and all" {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(old.ask("noop"), ["OK Completed"]);
}

/// A client that vanishes in the middle of a message leaves nothing behind.
#[test]
fn a_message_cut_off_is_forgotten() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.send(format!("a append INBOX {{2000000+}}\r\n{}", "x".repeat(1_500_000)));
    drop(client);
    let staging = daemon.dir.path().join("data/store/partition/primary/.staging");
    let begun = Instant::now();
    while !daemon.log().contains("close [127.0.0.1] [joe]") || std::fs::read_dir(&staging).unwrap().next().is_some() {
        assert!(begun.elapsed() < PATIENCE, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut client = daemon.login("joe");
    assert_eq!(client.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 0)");
}
