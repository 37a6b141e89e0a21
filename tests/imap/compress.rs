//! COMPRESS=DEFLATE (RFC 4978) where a dialogue does not show it: what is small on the wire and large behind it, and a stream that is none.

#![allow(clippy::unwrap_used)]

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::{Client, Daemon};

fn compressed(daemon: &Daemon) -> Client {
    let mut client = daemon.login("joe");
    assert_eq!(client.ask("compress deflate"), ["OK DEFLATE is active"]);
    client
}

/// The resident memory of the daemon, KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn large_messages_go_through() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = compressed(&daemon);
    client.compress();
    let line = "Some text that stands there again and again.\r\n";
    let body: String = (0..40_000).map(|number| format!("{number} {line}")).collect();
    let message = format!("Subject: x\r\n\r\n{body}");
    assert!(client.append("INBOX", "", &message).starts_with("OK [APPENDUID "));
    client.ask("select INBOX");
    client.send("x fetch 1 body.peek[]\r\n");
    assert_eq!(client.line(), format!("* 1 FETCH (BODY[] {{{}}}", message.len()));
    assert_eq!(String::from_utf8(client.bytes(message.len())).unwrap(), message);
    assert_eq!(client.until("x"), [")", "OK Completed"]);
}

/// 300 MB that take 300 KB on the wire: they meet the limits that they would meet uncompressed, and are never in memory.
#[test]
fn a_bomb_meets_the_limits_of_commands() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = compressed(&daemon);
    client.compress();
    let before = resident(&daemon);
    let mut bomb = DeflateEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b'a'; 1024 * 1024];
    for _ in 0..300 {
        bomb.write_all(&zeros).unwrap();
    }
    bomb.flush().unwrap();
    let bytes = bomb.get_ref();
    assert!(bytes.len() < 1024 * 1024, "{} bytes", bytes.len());
    // The connection may end before all of it is sent.
    let _ = client.stream.write_all(bytes);
    assert_eq!(client.line(), "* BYE Too much input");
    let grown = resident(&daemon).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
}

/// A whole line, but longer than a line may be.
#[test]
fn a_long_line_is_refused_and_the_next_command_is_answered() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = compressed(&daemon);
    client.compress();
    client.send(format!("a noop {}\r\nb noop\r\n", "x".repeat(1024 * 1024)));
    assert_eq!(client.line(), "a BAD Command line too long");
    assert_eq!(client.line(), "b OK Completed");
}

#[test]
fn what_is_no_deflate_ends_the_connection() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = compressed(&daemon);
    client.stream.write_all(b"\xff\xff\xff a noop\r\n").unwrap();
    let mut left = Vec::new();
    std::io::Read::read_to_end(&mut &client.stream, &mut left).unwrap();
    assert_eq!(left, b"");
    assert_eq!(daemon.login("joe").ask("noop"), ["OK Completed"]);
}

/// What follows the command at once is compressed already, if the client is sure of the answer.
#[test]
fn commands_behind_the_command_are_compressed() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let mut behind = DeflateEncoder::new(Vec::new(), Compression::fast());
    behind.write_all(b"b noop\r\n").unwrap();
    behind.flush().unwrap();
    client.send([&b"a compress deflate\r\n"[..], behind.get_ref()].concat());
    assert_eq!(client.line(), "a OK DEFLATE is active");
    client.compress();
    assert_eq!(client.line(), "b OK Completed");
}
