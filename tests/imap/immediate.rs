//! `local.imap.immediateflagupdate`: when a client that says nothing hears of flags that another one changes.

use std::io::Read;
use std::time::{Duration, Instant};

use msgstore::store::Flags;

use super::{Client, Daemon, PATIENCE};
use crate::bad_input::send_anyway;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

const ON: [(&str, &str); 1] = [("local.imap.immediateflagupdate", "yes")];

/// Three messages, and two clients that have selected them.
fn two(daemon: &Daemon) -> (Client, Client) {
    let mut one = daemon.login("joe");
    for _ in 0..3 {
        assert!(one.append("INBOX", "", "Subject: x\r\n\r\n").starts_with("OK "));
    }
    let mut other = daemon.login("joe");
    one.ask("select INBOX");
    other.ask("select INBOX");
    (one, other)
}

/// Nothing has come for a while. Too short a while lets a fault pass now and then, and fails nothing that is right.
fn silent(client: &mut Client) {
    client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut byte = [0; 1];
    let came = (&client.stream).read(&mut byte);
    assert!(came.is_err(), "{came:?} {byte:?}");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// Both settings, for the table of `tests/parameters.rs`.
pub fn both() {
    without_it_a_change_is_told_at_the_next_command();
    with_it_a_change_is_told_at_once_and_an_expunge_is_not();
}

#[test]
fn without_it_a_change_is_told_at_the_next_command() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (mut one, mut other) = two(&daemon);
    one.ask(r"store 2 +flags.silent (\Deleted)");
    silent(&mut other);
    assert_eq!(other.ask("noop"), [r"* 2 FETCH (FLAGS (\Deleted))", "OK Completed"]);
}

#[test]
fn with_it_a_change_is_told_at_once_and_an_expunge_is_not() {
    let daemon = Daemon::start(&["joe"], &ON);
    let (mut one, mut other) = two(&daemon);
    one.ask(r"store 1:2 +flags.silent (\Deleted)");
    assert_eq!(other.line(), r"* 1 FETCH (FLAGS (\Deleted))");
    assert_eq!(other.line(), r"* 2 FETCH (FLAGS (\Deleted))");
    one.ask(r"store 1 -flags.silent (\Deleted)");
    assert_eq!(other.line(), "* 1 FETCH (FLAGS ())");
    // What one has done itself it knows.
    assert_eq!(one.ask("noop"), ["OK Completed"]);
    // New messages are told, too; an expunge waits, so that the numbers are what they were (RFC 3501 section 7.4.1).
    one.ask("expunge");
    one.append("INBOX", "", "Subject: y\r\n\r\n");
    assert_eq!(other.line(), "* 4 EXISTS");
    assert!(other.line().ends_with(" RECENT"));
    one.ask(r"store 2 +flags.silent ($Forwarded)");
    assert!(other.line().starts_with("* FLAGS ("));
    assert!(other.line().starts_with("* OK [PERMANENTFLAGS ("));
    assert_eq!(other.line(), r"* 3 FETCH (FLAGS ($Forwarded))");
    assert_eq!(other.ask("noop"), ["* 2 EXPUNGE", "OK Completed"]);
    assert_eq!(other.ask("fetch 2 uid"), ["* 2 FETCH (UID 3)", "OK Completed"]);
    // Another mailbox, then none: what happens in the first is nobody's business.
    assert!(other.ask("create x")[0].starts_with("OK "));
    assert!(one.ask("copy 1 x")[0].starts_with("OK "));
    other.ask("select x");
    one.ask(r"store 1 +flags.silent (\Flagged)");
    let mut third = daemon.login("joe");
    third.ask("select x");
    third.ask(r"store 1 +flags.silent (\Seen)");
    let told = other.line();
    assert!(told.starts_with("* 1 FETCH (FLAGS (") && told.contains("\\Seen") && !told.contains("\\Flagged"), "{told}");
    assert_eq!(other.ask("unselect"), ["OK Completed"]);
    third.ask(r"store 1 -flags.silent (\Seen)");
    silent(&mut other);
}

#[test]
fn with_it_a_command_half_sent_is_not_interrupted_and_a_flood_waits() {
    let daemon = Daemon::start(&["joe"], &ON);
    let (mut one, mut other) = two(&daemon);
    other.send("a append INBOX {17}\r\n");
    assert_eq!(other.line(), "+ go ahead");
    one.ask(r"store 3 +flags.silent (\Answered)");
    silent(&mut other);
    other.send("Subject: half\r\n\r\n\r\n");
    assert_eq!(other.line(), r"* 3 FETCH (FLAGS (\Answered))");
    assert_eq!(other.line(), "* 4 EXISTS");
    assert!(other.line().ends_with(" RECENT"));
    assert!(other.line().starts_with("a OK [APPENDUID "));
    // More than the network is sure to hold for a client that does not read is left to its next command.
    let message = "(\\Seen) {14+}\r\nSubject: z\r\n\r\n";
    other.send(format!("b append INBOX {}\r\n", vec![message; 600].join(" ")));
    assert!(other.until("b").last().unwrap().starts_with("OK [APPENDUID "));
    one.ask("noop");
    one.ask(r"store 1:* +flags.silent (\Flagged)");
    silent(&mut other);
    let told = other.ask("noop");
    assert_eq!(told.iter().filter(|line| line.contains("FETCH (FLAGS (") && line.contains("\\Flagged")).count(), 604);
    one.ask(r"store 604 -flags.silent (\Flagged)");
    assert!(other.line().starts_with("* 604 FETCH (FLAGS (\\Seen"));
}

#[test]
fn with_it_a_mailbox_that_is_deleted_ends_the_session_at_the_next_command() {
    let daemon = Daemon::start(&["joe"], &ON);
    let (mut one, mut other) = two(&daemon);
    assert!(one.ask("create x")[0].starts_with("OK "));
    other.ask("select x");
    assert_eq!(one.ask("delete x"), ["OK Completed"]);
    silent(&mut other);
    assert_eq!(other.ask("fetch 1 flags").last().unwrap(), "NO [NONEXISTENT] Mailbox does not exist");
    assert_eq!(other.line(), "* BYE Mailbox has been deleted");
}

/// Minutes of a tenth of a second, of which 30 may pass in silence: a client that is told of a message more often than that is sent away nevertheless.
#[test]
fn with_it_what_others_do_does_not_keep_a_silent_client() {
    let it = Instance::with(&[ON[0], ("service.imap.idletimeout", "30")]);
    it.accounts(&["joe"]);
    it.append("user/joe/INBOX", "Subject: x\r\n\r\n", Flags::NONE);
    let imapd = Imapd::start_with(&it, &[("MINUTE_MS", "100")]);
    let first = Instant::now();
    loop {
        assert!(first.elapsed() < PATIENCE, "no login is fast enough, or the client stays");
        let mut client = imapd.dial();
        // All at once: there is one short minute for the login.
        send_anyway(&client.stream, b"l login joe secret\r\ns select inbox\r\n");
        let mut line = client.line_in_time();
        while line.starts_with(['*', 'l']) && !line.starts_with("* BYE") {
            line = client.line_in_time();
        }
        if !line.starts_with("s OK") {
            continue;
        }
        let reader = std::thread::spawn(move || {
            let mut line = client.line_in_time();
            while line.starts_with("* ") && !line.starts_with("* BYE") {
                line = client.line_in_time();
            }
            line
        });
        while !reader.is_finished() && first.elapsed() < PATIENCE {
            it.append("user/joe/INBOX", "Subject: x\r\n\r\n", Flags::NONE);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(reader.is_finished(), "the client stays");
        assert_eq!(reader.join().unwrap(), "* BYE Autologout; idle for too long");
        return;
    }
}
