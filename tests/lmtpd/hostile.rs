//! Hostile and malformed input for lmtpd: each kind is sent, and what happens is written down. The table of what happened is docs/hostile-lmtp.md;
//! the test compares it (UPDATE_DOCS=1 writes it).

use std::fmt::Write as _;

use super::texts;
use crate::bad_input::Noise;
use crate::imap::PATIENCE;
use crate::instance::Instance;
use crate::instance::lmtpd::{Lmtpd, Wire};

/// What is tried, and the function that tries it: it returns what happened.
type Try = (&'static str, fn(&Lmtpd, &Instance) -> String);

const BEGIN: &str = "MAIL FROM:<a@b>\r\nRCPT TO:<joe>\r\n";

const TRIES: &[Try] = &[
    ("`LF . LF` in a message, and commands behind it", |lmtpd, it| smuggled(lmtpd, it, "\n.\n")),
    ("`LF . CRLF`", |lmtpd, it| smuggled(lmtpd, it, "\n.\r\n")),
    ("`CRLF . LF`", |lmtpd, it| smuggled(lmtpd, it, "\r\n.\n")),
    ("`CR . CR`", |lmtpd, it| smuggled(lmtpd, it, "\r.\r")),
    ("`CRLF . CR`", |lmtpd, it| smuggled(lmtpd, it, "\r\n.\r")),
    ("`CR LF . CR CR LF`", |lmtpd, it| smuggled(lmtpd, it, "\r\n.\r\r\n")),
    ("`LF CR . CRLF`", |lmtpd, it| smuggled(lmtpd, it, "\n\r.\r\n")),
    ("`NUL LF . CRLF`", |lmtpd, it| smuggled(lmtpd, it, "\0\n.\r\n")),
    ("a command line without an end (1 MB)", |lmtpd, _| {
        let mut client = lmtpd.connect();
        (0..16).for_each(|_| client.send([b'x'; 65_536]));
        answers(client, "\r\n", 1)
    }),
    ("a line of 1 MB in a message", |lmtpd, it| {
        let text = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(1 << 20));
        let answers = lmtpd.connect().deliver(&["joe"], &text);
        assert!(texts(it, "user/joe/INBOX").pop().unwrap().ends_with(&text));
        format!("`{}`, as it was sent", answers[0])
    }),
    ("a header of 2 MB", |lmtpd, _| {
        let text = "X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(40_000);
        format!("`{}`", lmtpd.connect().deliver(&["joe"], &text)[0])
    }),
    ("BDAT of more bytes than come, then silence and the end", |lmtpd, it| {
        let mut client = lmtpd.connect();
        client.send(format!("{BEGIN}BDAT 1000 LAST\r\nSubject: half\r\n"));
        assert_eq!((client.reply(), client.reply()), ("250 2.1.0 OK".into(), "250 2.1.5 OK".into()));
        drop(client);
        nothing_stays(it)
    }),
    ("BDAT of fewer bytes than come", |lmtpd, _| {
        let client = lmtpd.connect();
        answers(client, &format!("{BEGIN}BDAT 5 LAST\r\nabc\r\nQUITE a lot more\r\nNOOP\r\n"), 5)
    }),
    ("BDAT of 2^64 bytes and more, and commands behind it", |lmtpd, _| {
        let client = lmtpd.connect();
        ended(client, &format!("{BEGIN}BDAT 18446744073709551616 LAST\r\nQUIT\r\n"))
    }),
    ("BDAT of 2^63 bytes, and commands behind it", |lmtpd, it| {
        let mut client = lmtpd.connect();
        client.send(format!("{BEGIN}BDAT 9223372036854775808 LAST\r\nQUIT\r\nQUIT\r\n"));
        assert_eq!((client.reply(), client.reply()), ("250 2.1.0 OK".into(), "250 2.1.5 OK".into()));
        drop(client);
        format!("the commands are part of the message; {}", nothing_stays(it))
    }),
    ("BDAT of -1 bytes", |lmtpd, _| ended(lmtpd.connect(), &format!("{BEGIN}BDAT -1\r\nQUIT\r\n"))),
    ("BDAT without recipients, with commands in its chunk", |lmtpd, _| {
        answers(lmtpd.connect(), "MAIL FROM:<a@b>\r\nBDAT 16 LAST\r\nRCPT TO:<joe>\r\n\nNOOP\r\n", 3)
    }),
    ("DATA behind BDAT", |lmtpd, _| answers(lmtpd.connect(), &format!("{BEGIN}BDAT 3\r\na\r\nDATA\r\nRSET\r\n"), 5)),
    ("XCLIENT with values that are none", |lmtpd, _| {
        let bad = [
            "ADDR=1.2.3",
            "ADDR=[127.0.0.1]",
            "PORT=99999",
            "HELO=a+0D+0AQUIT",
            "NAME=a+2",
            "LOGIN=+FF",
            "X=1",
            "ADDR",
        ];
        let lines: String = bad.iter().map(|word| format!("XCLIENT {word}\r\n")).collect();
        answers(lmtpd.connect(), &lines, bad.len())
    }),
    ("XCLIENT in the middle of a transaction", |lmtpd, _| {
        answers(lmtpd.connect(), &format!("{BEGIN}XCLIENT ADDR=192.0.2.1\r\n"), 3)
    }),
    ("XCLIENT 1,000 times in one piece, each another client", |lmtpd, _| {
        let mut client = lmtpd.connect();
        for number in 0..1000 {
            client.send(format!("XCLIENT ADDR=192.0.{}.{} NAME=x\r\n", number / 250, number % 250));
        }
        (0..1000).for_each(|_| assert!(client.reply().starts_with("220 ")));
        assert_eq!(client.ask("NOOP"), "250 2.0.0 OK");
        "each `220`".to_owned()
    }),
    ("XCLIENT of a client that is not trusted", |lmtpd, _| {
        let mut client = lmtpd.dial_from("127.0.0.9").greeted();
        format!("`{}`", client.ask("XCLIENT ADDR=192.0.2.1"))
    }),
    ("SIZE of 10 GB", |lmtpd, _| answers(lmtpd.connect(), "MAIL FROM:<a@b> SIZE=10000000000\r\n", 1)),
    ("SIZE of 2^64 and more", |lmtpd, _| answers(lmtpd.connect(), "MAIL FROM:<a@b> SIZE=18446744073709551616\r\n", 1)),
    ("10,000 recipients in a transaction, in one piece", |lmtpd, it| {
        let before = it.uids("user/joe/INBOX").len();
        let mut client = lmtpd.connect();
        let mut counts = std::collections::BTreeMap::new();
        client.send("MAIL FROM:<a@b>\r\n");
        assert_eq!(client.reply(), "250 2.1.0 OK");
        for _ in 0..10 {
            client.send("RCPT TO:<joe>\r\n".repeat(1000));
            (0..1000).for_each(|_| *counts.entry(client.reply()).or_insert(0) += 1);
        }
        client.send("DATA\r\nSubject: many\r\n.\r\n");
        assert!(client.reply().starts_with("354 "));
        (0..1000).for_each(|_| assert_eq!(client.reply(), "250 2.1.5 Delivered <joe>"));
        assert_eq!(it.uids("user/joe/INBOX").len(), before + 1);
        let words: Vec<String> = counts.iter().map(|(reply, count)| format!("{count} times `{reply}`")).collect();
        format!("{}; then 1000 times `250 2.1.5 Delivered <joe>`, one copy", words.join(", "))
    }),
    ("10,000 recipients that do not exist", |lmtpd, _| {
        let mut client = lmtpd.connect();
        client.send("MAIL FROM:<a@b>\r\n");
        assert_eq!(client.reply(), "250 2.1.0 OK");
        for _ in 0..10 {
            client.send("RCPT TO:<nobody>\r\n".repeat(1000));
            (0..1000).for_each(|_| assert_eq!(client.reply(), "550 5.1.1 No such user"));
        }
        format!("each `550 5.1.1 No such user`; {}", answers(client, "DATA\r\n", 1))
    }),
    ("an address of 5,000 letters", |lmtpd, _| {
        answers(lmtpd.connect(), &format!("MAIL FROM:<{}@b>\r\n", "x".repeat(5_000)), 1)
    }),
    ("an address with a line end in it", |lmtpd, _| {
        answers(lmtpd.connect(), "MAIL FROM:<a\rX-Forged: yes@b>\r\nMAIL FROM:<\"a\\\rb\"@b>\r\n", 2)
    }),
    ("a folder name that leaves the mailbox", |lmtpd, it| {
        let before = it.uids("user/joe/INBOX").len();
        let answers = lmtpd.connect().deliver(&["joe+../jane", "joe+../../etc", "joe+=%2e%2e"], "Subject: away\r\n");
        assert_eq!(it.uids("user/joe/INBOX").len(), before + 1);
        assert!(answers.iter().all(|answer| answer.starts_with("250 2.1.5 Delivered <")), "{answers:?}");
        format!("{} times `250 2.1.5 Delivered`, to the INBOX", answers.len())
    }),
    ("an HTTP request with commands in it", |lmtpd, _| {
        ended(lmtpd.connect(), &format!("POST / HTTP/1.1\r\nHost: x\r\n\r\nLHLO c\r\n{BEGIN}DATA\r\n"))
    }),
    ("a TLS handshake in the clear", |lmtpd, _| {
        answers(lmtpd.connect(), "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\u{3}\r\nNOOP\r\n", 2)
    }),
    ("random bytes, a hundred kilobytes", |lmtpd, _| {
        let mut client = lmtpd.connect();
        let mut noise = Noise::new(9).bytes(100_000);
        noise.iter_mut().filter(|byte| **byte == 7).for_each(|byte| *byte = b'\n');
        client.send_anyway(noise);
        let lines = client.rest();
        assert!(lines.iter().all(|line| line.starts_with("500 ") || line.starts_with("421 ")), "{lines:?}");
        "fifty times 500; `421 4.7.0 Too many errors`, closed".to_owned()
    }),
    ("10,000 commands at once", |lmtpd, _| {
        let mut client = lmtpd.connect();
        for _ in 0..10 {
            client.send("NOOP\r\n".repeat(1000));
            (0..1000).for_each(|_| assert_eq!(client.reply(), "250 2.0.0 OK"));
        }
        "all are answered".to_owned()
    }),
    ("a client that goes in the middle of a message", |lmtpd, it| {
        let mut client = lmtpd.connect();
        client.send(format!("{BEGIN}DATA\r\n"));
        (0..3).for_each(|_| drop(client.reply()));
        client.send("Subject: half\r\n.");
        drop(client);
        nothing_stays(it)
    }),
];

/// Puts a sequence into a message and a second transaction behind it, then the true end: one message, with all of it as text.
fn smuggled(lmtpd: &Lmtpd, it: &Instance, end: &str) -> String {
    let before = (it.uids("user/joe/INBOX").len(), it.uids("user/jane/INBOX").len());
    let mut client = lmtpd.connect();
    client.send(format!("{BEGIN}DATA\r\n"));
    (0..3).for_each(|_| drop(client.reply()));
    client.send(format!(
        "Subject: x\r\n\r\ntext{end}MAIL FROM:<forged@b>\r\nRCPT TO:<jane>\r\nDATA\r\nSubject: forged\r\n\r\n.\r\n"
    ));
    let answer = client.reply();
    assert_eq!(client.ask("NOOP"), "250 2.0.0 OK");
    assert_eq!(it.uids("user/jane/INBOX").len(), before.1, "smuggled");
    let came = it.uids("user/joe/INBOX").len() - before.0;
    if came == 1 {
        assert!(texts(it, "user/joe/INBOX").pop().unwrap().contains("RCPT TO:<jane>\r\n"));
    }
    let mut said = String::new();
    write!(said, "`{answer}`, {}", if came == 1 { "one message with all of it as text" } else { "no message" })
        .unwrap();
    said
}

/// Sends bytes; the replies, and whether commands are still understood.
fn answers(mut client: Wire, bytes: &str, count: usize) -> String {
    client.send(bytes);
    let replies: Vec<String> = (0..count).map(|_| format!("`{}`", client.reply())).collect();
    assert_eq!(client.ask("NOOP"), "250 2.0.0 OK");
    replies.join(", ")
}

/// The same where the connection ends.
fn ended(mut client: Wire, bytes: &str) -> String {
    client.send(bytes);
    let lines: Vec<String> = client.rest().iter().map(|line| format!("`{line}`")).collect();
    format!("{}, closed", lines.join(", "))
}

/// Waits until no staging file is left but those of messages.
fn nothing_stays(it: &Instance) -> String {
    let messages = it.uids("user/joe/INBOX").len();
    let staging = it.base().join("data/store/partition/primary/.staging");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(&staging).unwrap().count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "something stays in {}", staging.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(it.uids("user/joe/INBOX").len(), messages);
    "no message, no file that stays".to_owned()
}

const HEAD: &str = "# Hostile and malformed input for lmtpd

What was sent to a running lmtpd, and what happened. The table is the result of `tests/lmtpd/hostile.rs`, which compares it; `UPDATE_DOCS=1 cargo test
--features failpoints hostile` writes it anew. After each row the same process answers a new client, at the end it never had more than
96 MiB of memory, and the checker finds nothing in the store.

| sent | what happened |
| --- | --- |
";

#[test]
fn hostile_and_malformed_input() {
    let it = Instance::new();
    it.accounts(&["joe", "jane"]);
    super::set(&it, "service.lmtp.xclientnetworks", "127.0.0.1");
    let mut lmtpd = Lmtpd::start(&it);
    let mut page = HEAD.to_owned();
    for (what, run) in TRIES {
        let happened = run(&lmtpd, &it);
        writeln!(page, "| {what} | {} |", happened.replace('|', "\\|")).unwrap();
        lmtpd.still_runs();
    }
    assert!(lmtpd.peak_mb() < 96, "{} MiB", lmtpd.peak_mb());
    lmtpd.stop();
    crate::bad_input::compare_page("hostile-lmtp.md", &page);
}
