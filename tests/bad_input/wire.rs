//! Clients that do not speak IMAP, or do so against the server.

use std::io::Read;
use std::time::{Duration, Instant};

use super::{Noise, send_anyway};
use crate::imap::{Client, PATIENCE};
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// The tagged answer, or the farewell.
fn answer(client: &mut Client, tag: &str) -> String {
    loop {
        let line = client.line_in_time();
        if let Some(rest) = line.strip_prefix(&format!("{tag} ")) {
            return rest.to_owned();
        }
        if line.starts_with("* BYE") || line.starts_with("* BAD") || line.is_empty() || line.starts_with("(nothing") {
            return line;
        }
    }
}

#[test]
fn garbage_before_the_login() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let mut noise = Noise::new(7);
    for round in 0..50 {
        let client = imapd.connect();
        send_anyway(&client.stream, &noise.bytes(1 + round * 700));
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        // It may be reset because not everything was read; it must not stay open.
        if let Err(error) = (&client.stream).read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "round {round}");
        }
        assert!(rest.len() < 64 * 1024, "round {round}: {} bytes", rest.len());
    }
    for text in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n",
        "\r\n\r\n\r\n",
        "a\r\n",
        "a login\r\n",
        "a login {3}\r\n",
        "a login \"joe\" \"unended\r\n",
        "a authenticate plain =====\r\n",
        "\0\0\0\0\r\n",
    ] {
        let client = imapd.connect();
        send_anyway(&client.stream, text.as_bytes());
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = (&client.stream).read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains(" OK "), "{text:?}: {rest:?}");
    }
    // A line without an end takes no more than its limit.
    let mut client = imapd.connect();
    for _ in 0..100 {
        send_anyway(&client.stream, &[b'x'; 65_536]);
    }
    let last = answer(&mut client, "x");
    assert!(last.starts_with("* BYE") || last.starts_with("(nothing") || last.is_empty(), "{last}");
    imapd.still_runs();
    assert!(imapd.peak_mb() < 64, "{} MiB", imapd.peak_mb());
}

#[test]
fn literals_that_are_too_large_or_never_come() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    for size in ["4294967296", "18446744073709551616", "99999999999999999999", "-1", "0x10", ""] {
        for plus in ["", "+"] {
            for command in ["login", "append INBOX", "search subject", "create"] {
                let mut client = if command == "login" { imapd.connect() } else { imapd.login("joe") };
                client.send(format!("a {command} {{{size}{plus}}}\r\n"));
                let said = answer(&mut client, "a");
                assert!(
                    said.starts_with("BAD ") || said.starts_with("NO [TOOBIG]") || said.starts_with("* BYE"),
                    "{command} {{{size}{plus}}}: {said}"
                );
            }
        }
    }
    for bytes in [0, 10, 70_000, 700_000] {
        for command in ["append INBOX", "search subject"] {
            let client = imapd.login("joe");
            send_anyway(&client.stream, format!("a {command} {{1000000+}}\r\n").as_bytes());
            send_anyway(&client.stream, &vec![b'x'; bytes]);
        }
    }
    // A second message of a command that never ends: the first one must not be there either.
    let client = imapd.login("joe");
    send_anyway(&client.stream, b"a append INBOX {4+}\r\na:b\n {100+}\r\nhalf");
    drop(client);
    imapd.still_runs();
    let mut client = imapd.login("joe");
    assert_eq!(client.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 0)");
    let staging = it.base().join("data/store/partition/primary/.staging");
    let begun = Instant::now();
    while std::fs::read_dir(&staging).unwrap().count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "something stays in {}", staging.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn deep_and_many() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    client.append("INBOX", "", "Subject: x\r\n\r\ny\r\n");
    client.ask("select INBOX");
    let (open, close) = ("(".repeat(10_000), ")".repeat(10_000));
    for command in [
        format!("search {open}all{close}"),
        format!("search {open}"),
        format!("search {}all", "not ".repeat(10_000)),
        format!("search {}", "or ".repeat(10_000)),
        format!("search {}all all", "or all ".repeat(5_000)),
        format!("fetch 1 {open}flags{close}"),
        format!("fetch 1 {open}"),
        format!("fetch 1 body[{}]", "1.".repeat(10_000)),
        format!("fetch 1 body[header.fields {open}x{close}]"),
        format!("store 1 flags {open}x{close}"),
        format!("status INBOX {open}messages{close}"),
        format!("list \"\" {open}"),
        format!("id {open}"),
    ] {
        let said = client.ask(&command).pop().unwrap();
        assert!(said.starts_with("BAD "), "{}: {said}", &command[..20]);
    }
    // A long list is only long.
    let all: Vec<String> = (1..8000).map(|n| n.to_string()).collect();
    let said = client.ask(&format!("search uid {}", all.join(",")));
    assert_eq!(said, ["* SEARCH 1", "OK Completed"]);
    client.ask(&format!("list \"\" \"{}\"", "*%".repeat(2_000)));
    client.ask(&format!("list \"\" \"{}z\"", "*a".repeat(2_000)));
    let mut text = String::new();
    for number in 0..1000 {
        text.push_str(&format!("n{number} noop\r\n"));
    }
    client.send(text);
    for number in 0..1000 {
        assert_eq!(client.until(&format!("n{number}")), ["OK Completed"]);
    }
    imapd.still_runs();
}

#[test]
fn a_client_that_never_reads_costs_little() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    let big = format!("Subject: big\r\n\r\n{}", "0123456789abcdef\r\n".repeat(500_000));
    client.append("INBOX", "", &big);
    let mut text = "s select INBOX\r\n".to_owned();
    for number in 0..1000 {
        text.push_str(&format!("f{number} fetch 1 body.peek[]\r\n"));
    }
    let before = imapd.peak_mb();
    let deaf: Vec<Client> = (0..16).map(|_| imapd.login("joe")).collect();
    for client in &deaf {
        send_anyway(&client.stream, text.as_bytes());
    }
    std::thread::sleep(Duration::from_millis(500));
    // Others are served meanwhile.
    assert_eq!(client.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 1)");
    let after = imapd.peak_mb();
    assert!(after < 96, "{before} MiB, with 16 clients that do not read {after} MiB");
    drop(deaf);
    imapd.still_runs();
}

#[test]
fn a_slow_login_ends_in_time() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start_with(&it, &[("MINUTE_MS", "400")]);
    let mut client = imapd.connect();
    let begun = Instant::now();
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    // One byte at a time: what counts is the time since the greeting, not since the last byte.
    let said = loop {
        send_anyway(&client.stream, b"x");
        let line = client.line_in_time();
        if !line.starts_with("(nothing") {
            break line;
        }
        assert!(begun.elapsed() < PATIENCE, "still there");
    };
    assert_eq!(said, "* BYE Login timeout");
    imapd.still_runs();
}
