//! Hostile, malformed and slow input: each kind is sent to a running imapd, and what happens is written down. The table of what happened is
//! docs/hostile-input.md; the test compares it (UPDATE_DOCS=1 writes it).

// The page is written as the other generated ones are.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use super::{Noise, send_anyway};
use crate::imap::Client;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// What is tried, and the function that tries it: it returns what happened.
type Try = (&'static str, fn(&Imapd, &Instance) -> String);

/// In the clear, with the usual times.
const TRIES: &[Try] = &[
    ("twenty lines that are no commands, before the login", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("\u{1}\u{fc}?\r\n".repeat(20));
        (0..19).for_each(|_| assert!(client.line().contains(" BAD ")));
        format!("each is answered BAD; {}", end(client))
    }),
    ("an HTTP request", |imapd, _| sent(imapd, b"GET / HTTP/1.1\r\nHost: mail.example.org\r\n\r\n")),
    ("a TLS handshake on the port without TLS", |imapd, _| {
        sent(imapd, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n")
    }),
    ("a line without an end, before the login (6 MB)", |imapd, _| {
        let client = imapd.connect();
        (0..100).for_each(|_| send_anyway(&client.stream, &[b'x'; 65_536]));
        closed(client)
    }),
    ("a line of 70,000 bytes in a session", |imapd, _| {
        answers(imapd, &format!("a search subject {}\r\n", "x".repeat(70_000)))
    }),
    ("NUL bytes in a command", |imapd, _| answers(imapd, "a select \0\0\r\n")),
    ("a literal of 4 GiB, announced before the login", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("a login {4294967296}\r\n");
        told(client, "a")
    }),
    ("the same without waiting for the answer (LITERAL+)", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("a login {4294967296+}\r\n");
        end(client)
    }),
    ("a literal of 2^64 bytes and more", |imapd, _| answers(imapd, "a create {18446744073709551617}\r\n")),
    ("a literal of -1 bytes", |imapd, _| answers(imapd, "a create {-1}\r\n")),
    ("a message of 10 GB, announced", |imapd, _| answers(imapd, "a append INBOX {9999999999}\r\n")),
    ("a literal that is longer than it says", |imapd, _| answers(imapd, "a create {3+}\r\nabcdef\r\n")),
    ("a literal that is shorter than it says, and commands behind it", |imapd, _| {
        answers(imapd, "a create {20+}\r\nx\r\nb noop\r\nc noop\r\nd noop\r\n")
    }),
    ("a message that stops in the middle, and the client goes", |imapd, it| {
        let client = imapd.login("joe");
        send_anyway(&client.stream, b"a append INBOX {1000+}\r\nSubject: half\r\n");
        drop(client);
        nothing_stays(imapd, it)
    }),
    ("two messages in one APPEND, of which the second stops in the middle", |imapd, it| {
        let client = imapd.login("joe");
        send_anyway(&client.stream, b"a append INBOX {6+}\r\na: b\r\n {100+}\r\nhalf");
        drop(client);
        nothing_stays(imapd, it)
    }),
    ("10,000 parentheses in SEARCH", |imapd, _| answers(imapd, &format!("a search {}all\r\n", "(".repeat(10_000)))),
    ("10,000 NOTs in SEARCH", |imapd, _| answers(imapd, &format!("a search {}all\r\n", "not ".repeat(10_000)))),
    ("a part number of 5,000 levels in FETCH", |imapd, _| {
        answers(imapd, &format!("a fetch 1 body[{}text]\r\n", "1.".repeat(5_000)))
    }),
    ("message numbers 0 and 2^32", |imapd, _| {
        format!("{}; {}", answers(imapd, "a fetch 0 flags\r\n"), answers(imapd, "a fetch 4294967296 flags\r\n"))
    }),
    ("a pattern of 2,000 wildcards in LIST", |imapd, _| {
        answers(imapd, &format!("a list \"\" \"{}z\"\r\n", "*a".repeat(2_000)))
    }),
    ("a mailbox name that is not modified UTF-7", |imapd, _| answers(imapd, "a create \"&ZeV\"\r\n")),
    ("IDLE that ends with another word", |imapd, _| {
        let client = &mut imapd.login("joe");
        client.send("a idle\r\n");
        assert_eq!(client.line(), "+ idling");
        client.send("a noop\r\n");
        told(client, "a")
    }),
    ("AUTHENTICATE with what is not base64", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("a authenticate plain ====\r\n");
        told(client, "a")
    }),
    ("AUTHENTICATE with a response of 12,000 bytes", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("a authenticate plain\r\n");
        assert_eq!(client.line(), "+ ");
        client.send(format!("{}\r\n", "x".repeat(12_000)));
        told(client, "a")
    }),
    ("10,000 commands at once", |imapd, _| {
        let client = &mut imapd.login("joe");
        let mut writer = client.stream.try_clone().unwrap();
        // The answers are read meanwhile: else both sides would wait for the other to read.
        let all: String = (0..10_000).map(|number| format!("n{number} noop\r\n")).collect();
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, all.as_bytes()).unwrap());
        (0..10_000).for_each(|number| assert_eq!(client.line(), format!("n{number} OK Completed")));
        sending.join().unwrap();
        "all are answered, in their order".to_owned()
    }),
    ("a client that closes its side behind a command", |imapd, _| {
        let client = &mut imapd.login("joe");
        client.send("a status INBOX (messages)\r\n");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.line(), "* STATUS \"INBOX\" (MESSAGES 1)");
        end(client)
    }),
    ("a client that asks for 100 MB and reads nothing", |imapd, _| {
        let deaf = &mut imapd.login("joe");
        let before = imapd.peak_mb();
        deaf.send(format!("s select INBOX\r\n{}", "f fetch 1 body.peek[]\r\n".repeat(200)));
        let client = &mut imapd.login("joe");
        client.ask("select INBOX");
        assert!(client.ask("fetch 1 body.peek[]").len() > 10_000);
        let more = imapd.peak_mb() - before;
        assert!(more < 32, "{more} MiB more");
        "others are served; it costs its buffer only, less than 32 MiB".to_owned()
    }),
    ("random bytes on the port with TLS", |_, it| {
        let client = secure_port(it);
        send_anyway(&client.stream, &Noise::new(4).bytes(2_000));
        closed(client)
    }),
    ("IMAP without TLS on the port with TLS", |_, it| {
        let client = secure_port(it);
        send_anyway(&client.stream, b"a login joe secret\r\n");
        closed(client)
    }),
    ("random bytes behind STARTTLS", |imapd, _| {
        let mut client = imapd.connect();
        assert_eq!(client.ask("starttls"), ["OK Begin TLS negotiation now"]);
        send_anyway(&client.stream, &Noise::new(5).bytes(2_000));
        closed(client)
    }),
    ("a login in one piece with STARTTLS, then an end", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("a starttls\r\nb login joe secret\r\n");
        assert_eq!(client.line(), "a OK Begin TLS negotiation now");
        client.stream.shutdown(Shutdown::Write).unwrap();
        format!("the login is not listened to; {}", end(client))
    }),
];

/// With minutes of a second.
const SLOW: &[Try] = &[
    ("silence", |imapd, _| end(&mut imapd.connect())),
    ("one byte after the other, without an end", |imapd, _| {
        let client = &mut imapd.connect();
        client.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        loop {
            send_anyway(&client.stream, b"x");
            let line = client.line_in_time();
            if !line.starts_with("(nothing") {
                return format!("`{line}`");
            }
        }
    }),
    ("half a literal, then silence", |imapd, _| {
        let client = &mut imapd.connect();
        client.send("a login {10+}\r\njo");
        end(client)
    }),
    ("a challenge of AUTHENTICATE that is never answered", |imapd, _| {
        end(&mut quick(imapd, "authenticate plain", "+ "))
    }),
    ("silence on the port with TLS", |_, it| closed(secure_port(it))),
    ("silence behind STARTTLS", |imapd, _| end(&mut quick(imapd, "starttls", "a OK Begin TLS negotiation now"))),
];

/// A client that has had an answer to its command: not each is as fast as the time to log in is short.
fn quick(imapd: &Imapd, command: &str, answer: &str) -> Client {
    let begun = std::time::Instant::now();
    loop {
        assert!(begun.elapsed() < crate::imap::PATIENCE, "no client is fast enough");
        let mut client = imapd.connect();
        send_anyway(&client.stream, format!("a {command}\r\n").as_bytes());
        if client.line_in_time() == answer {
            return client;
        }
    }
}

/// The lines up to the end of the connection.
fn end(client: &mut Client) -> String {
    let mut lines = String::new();
    loop {
        let line = client.line_in_time();
        match line.as_str() {
            "" => return format!("{lines}closed"),
            nothing if nothing.starts_with("(nothing") => return format!("{lines}{nothing}"),
            line => write!(lines, "`{line}`, ").unwrap(),
        }
    }
}

/// The connection ends; a last word may be lost, since not all was read.
fn closed(mut client: Client) -> String {
    loop {
        let line = client.line_in_time();
        if line.starts_with("(nothing") {
            assert!(line.contains("reset"), "{line}");
            return "closed".to_owned();
        }
        assert!(!line.contains(" OK "), "{line}");
        if line.is_empty() {
            return "closed".to_owned();
        }
    }
}

/// Sends lines before the login; the answers, and whether commands are still understood.
fn sent(imapd: &Imapd, bytes: &[u8]) -> String {
    let mut client = imapd.connect();
    send_anyway(&client.stream, bytes);
    send_anyway(&client.stream, b"last noop\r\n");
    let lines = client.until("last");
    assert_eq!(lines.last().unwrap(), "OK Completed");
    lines[..lines.len() - 1].iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ")
}

/// The answer to command `a`; the next command is understood.
fn told(client: &mut Client, tag: &str) -> String {
    let answer = client.until(tag).pop().unwrap();
    assert_eq!(client.ask("noop"), ["OK Completed"]);
    format!("`{answer}`")
}

/// The same in a session with a mailbox.
fn answers(imapd: &Imapd, text: &str) -> String {
    let client = &mut imapd.login("joe");
    client.ask("select INBOX");
    client.send(text);
    told(client, "a")
}

fn secure_port(it: &Instance) -> Client {
    let port = std::fs::read_to_string(it.base().join("data/proc/imaps.port")).unwrap();
    Client::new(port.trim().parse().unwrap())
}

fn nothing_stays(imapd: &Imapd, it: &Instance) -> String {
    let staging = it.base().join("data/store/partition/primary/.staging");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(&staging).unwrap().count() > 0 {
        assert!(begun.elapsed() < crate::imap::PATIENCE, "something stays in {}", staging.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = imapd.login("joe").ask("status INBOX (messages)").remove(0);
    assert_eq!(status, "* STATUS \"INBOX\" (MESSAGES 1)");
    "no message, no file that stays".to_owned()
}

const HEAD: &str = "# Hostile, malformed and slow input

What was sent to a running imapd, and what happened. The table is the result of `tests/bad_input/hostile.rs`, which compares it; `UPDATE_DOCS=1 cargo test
--features failpoints hostile` writes it anew. After each row the same process answers a new client, at the end it never had more than
96 MiB of memory, and the checker finds nothing in the store. What readers of bytes do with input that nobody thought of is the business of the
[fuzzer](testing.md#the-fuzzer-testsfuzz).

| sent | what happened |
| --- | --- |
";

#[test]
fn hostile_malformed_and_slow_input() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for (name, value) in [("service.imap.enablesslport", "yes"), ("service.imap.sslport", "0")] {
        it.run("configutil", &["-o", name, "-v", value]).ok();
    }
    let text = format!("Subject: big\r\n\r\n{}", "0123456789012345678901234567890123456789\r\n".repeat(12_500));
    it.append("user/joe/INBOX", &text, msgstore::store::Flags::NONE);
    let mut page = HEAD.to_owned();
    for (tries, minute) in [(TRIES, "60000"), (SLOW, "1000")] {
        let mut imapd = Imapd::start_with(&it, &[("MINUTE_MS", minute)]);
        for (what, run) in tries {
            let happened = run(&imapd, &it);
            writeln!(page, "| {what} | {} |", happened.replace('|', "\\|")).unwrap();
            if minute == "60000" {
                imapd.still_runs();
            }
        }
        assert!(imapd.peak_mb() < 96, "{} MiB", imapd.peak_mb());
        imapd.stop();
    }
    super::compare_page("hostile-input.md", &page);
}
