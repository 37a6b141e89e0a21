//! Hostile, malformed and slow input to popd, and what happened, in docs/hostile-pop.md; the test compares it (UPDATE_DOCS=1 writes it). It is
//! the page of `bad_input::hostile` for another service.

use std::fmt::Write as _;
use std::net::{Shutdown, TcpStream};

use crate::bad_input::{Noise, send_anyway};
use crate::imap::Client;
use crate::instance::Instance;
use crate::instance::popd::{Popd, list, say};

/// What is tried, and the function that tries it: it returns what happened.
type Try = (&'static str, fn(&Popd, &Instance) -> String);

/// In the clear, with the usual times.
const TRIES: &[Try] = &[
    ("twenty lines that are no commands, before the login", |popd, _| {
        let client = &mut popd.connect();
        client.send("\u{1}\u{fc}?\r\n".repeat(20));
        (0..20).for_each(|_| assert_eq!(client.line(), "-ERR Unrecognized command"));
        format!("each is answered -ERR; {}", end(client))
    }),
    ("an HTTP request", |popd, _| sent(popd, b"GET / HTTP/1.1\r\nHost: mail.example.org\r\n\r\n", 3)),
    ("a TLS handshake on the port without TLS", |popd, _| {
        sent(popd, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n", 1)
    }),
    ("a line without an end, before the login (6 MB)", |popd, _| {
        let client = popd.connect();
        (0..100).for_each(|_| send_anyway(&client.stream, &[b'x'; 65_536]));
        closed(client)
    }),
    ("a line of 20,000 bytes", |popd, _| sent(popd, format!("USER {}\r\n", "x".repeat(20_000)).as_bytes(), 1)),
    ("a user name of 12,000 bytes, and a password of as many", |popd, _| {
        let long = "x".repeat(12_000);
        sent(popd, format!("USER {long}\r\nPASS {long}\r\n").as_bytes(), 2)
    }),
    ("NUL bytes in a name, and bytes that are not UTF-8", |popd, _| sent(popd, b"USER a\0b\r\nUSER \xff\r\n", 2)),
    ("message numbers 0, -1, 2^32 and one of 40 digits", |popd, _| {
        let client = &mut popd.login("joe");
        let numbers = ["0", "-1", "4294967296", "1234567890123456789012345678901234567890"];
        numbers.map(|number| format!("`{}`", say(client, &format!("RETR {number}")))).join(", ")
    }),
    ("TOP with 2^64 lines, and with one less", |popd, _| {
        let client = &mut popd.login("joe");
        let more = say(client, "TOP 1 18446744073709551616");
        format!("`{more}`; {} lines", list(client, "TOP 1 18446744073709551615").len())
    }),
    ("commands with LF and no CR", |popd, _| sent(popd, b"CAPA x\nSTAT\n", 2)),
    ("AUTH with what is not base64", |popd, _| sent(popd, b"AUTH PLAIN ====\r\n", 1)),
    ("a response to a challenge of 20,000 bytes, and a command behind it", |popd, _| {
        let client = &mut popd.connect();
        client.send(format!("AUTH PLAIN\r\n{}\r\nSTAT\r\n", "x".repeat(20_000)));
        [(); 3].map(|()| format!("`{}`", client.line())).join(", ")
    }),
    ("10,000 commands at once", |popd, _| {
        let client = &mut popd.login("joe");
        let mut writer = client.stream.try_clone().unwrap();
        // The answers are read meanwhile: else both sides would wait for the other to read.
        let all = "NOOP\r\nSTAT\r\n".repeat(5_000);
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, all.as_bytes()).unwrap());
        (0..5_000).for_each(|_| {
            assert_eq!(client.line(), "+OK Completed");
            assert!(client.line().starts_with("+OK 2 "));
        });
        sending.join().unwrap();
        "all are answered, in their order".to_owned()
    }),
    ("a message whose lines look like the end of the answer", |popd, _| {
        let client = &mut popd.login("joe");
        client.send("RETR 2\r\nNOOP\r\n");
        let mut lines = 0;
        // Some of its lines end in LF alone.
        while client.line_in_time() != "." {
            lines += 1;
        }
        assert_eq!(client.line(), "+OK Completed");
        format!("{lines} lines, then the end")
    }),
    ("a client that closes its side behind a command", |popd, _| {
        let client = &mut popd.login("joe");
        client.send("STAT\r\n");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert!(client.line().starts_with("+OK 2 "));
        end(client)
    }),
    ("a client that marks messages as deleted and goes without QUIT", |popd, it| {
        let client = &mut popd.login("joe");
        client.send("DELE 1\r\nDELE 2\r\n");
        assert_eq!([client.line(), client.line()], ["+OK Marked as deleted"; 2]);
        client.stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(say(&mut popd.login("joe"), "QUIT"), "+OK Bye");
        format!("{} messages are there", it.uids("user/joe/INBOX").len())
    }),
    ("a client that asks for 100 MB and reads nothing", |popd, _| {
        let deaf = &mut popd.login("joe");
        let before = popd.peak_mb();
        deaf.send("RETR 1\r\n".repeat(200));
        assert!(list(&mut popd.login("joe"), "RETR 1").len() > 10_000);
        let more = popd.peak_mb() - before;
        assert!(more < 32, "{more} MiB more");
        "others are served; it costs its buffer only, less than 32 MiB".to_owned()
    }),
    ("random bytes on the port with TLS", |popd, _| {
        let client = Client::to(("127.0.0.1", popd.tls_port.unwrap()));
        send_anyway(&client.stream, &Noise::new(7).bytes(100_000));
        closed(client)
    }),
    ("POP without TLS on the port with TLS", |popd, _| {
        let client = Client::to(("127.0.0.1", popd.tls_port.unwrap()));
        send_anyway(&client.stream, b"USER joe\r\nPASS secret\r\n");
        closed(client)
    }),
    ("random bytes behind STLS", |popd, _| {
        let mut client = popd.connect();
        assert_eq!(say(&mut client, "STLS"), "+OK Begin TLS negotiation now");
        send_anyway(&client.stream, &Noise::new(8).bytes(100_000));
        closed(client)
    }),
];

/// With minutes of a second.
const SLOW: &[Try] = &[
    ("silence", |popd, _| end(&mut popd.connect())),
    ("one byte after the other, without an end", |popd, _| {
        let mut client = popd.connect();
        let writer = client.stream.try_clone().unwrap();
        std::thread::spawn(move || {
            for _ in 0..2_000 {
                send_anyway(&writer, b"x");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        format!("`{}`", client.line_in_time())
    }),
    ("a challenge of AUTH that is never answered", |popd, _| {
        let mut client = popd.connect();
        assert_eq!(say(&mut client, "AUTH PLAIN"), "+ ");
        end(&mut client)
    }),
    ("silence on the port with TLS", |popd, _| {
        closed_stream(TcpStream::connect(("127.0.0.1", popd.tls_port.unwrap())).unwrap())
    }),
    ("silence behind STLS", |popd, _| {
        let mut client = popd.connect();
        assert_eq!(say(&mut client, "STLS"), "+OK Begin TLS negotiation now");
        closed(client)
    }),
];

/// The answers to bytes, and that the connection goes on.
fn sent(popd: &Popd, bytes: &[u8], lines: usize) -> String {
    let mut client = popd.connect();
    send_anyway(&client.stream, bytes);
    let said: Vec<String> = (0..lines).map(|_| format!("`{}`", client.line())).collect();
    assert_eq!(say(&mut client, "STAT"), "-ERR Please login first");
    said.join(", ")
}

/// What comes until the end of the connection.
fn end(client: &mut Client) -> String {
    let mut lines = String::new();
    loop {
        match client.line_in_time().as_str() {
            "" => return format!("{lines}closed"),
            nothing if nothing.starts_with("(nothing") => return format!("{lines}{nothing}"),
            line => write!(lines, "`{line}`, ").unwrap(),
        }
    }
}

/// The connection is closed, perhaps with a reset: what was not read meets that.
fn closed(client: Client) -> String {
    closed_stream(client.stream)
}

fn closed_stream(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(crate::imap::PATIENCE)).unwrap();
    let mut said = Vec::new();
    if let Err(error) = std::io::Read::read_to_end(&mut stream, &mut said) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert!(!said.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&said));
    "closed".to_owned()
}

const HEAD: &str = "\
# Hostile, malformed and slow input to popd

What was sent to a running popd, and what happened. The table is the result of `tests/pop/hostile.rs`, which compares it; `UPDATE_DOCS=1 cargo test
--features failpoints hostile` writes it anew. After each row the same process answers a new client, at the end it never had more than
96 MiB of memory, and the checker finds nothing in the store. The same for imapd is in [hostile-input.md](hostile-input.md).

| sent | what happened |
| --- | --- |
";

#[test]
fn hostile_malformed_and_slow_input() {
    let it = Instance::with(&[("service.pop.enablesslport", "yes"), ("service.pop.sslport", "0")]);
    it.user("joe");
    let text = format!("Subject: big\r\n\r\n{}", "0123456789012345678901234567890123456789\r\n".repeat(12_500));
    it.append("user/joe/INBOX", &text, msgstore::store::Flags::NONE);
    let dots = "Subject: dots\r\n\r\n.\r\n..\r\n.\n.\r\n+OK\n.\r\n-ERR\n.\r\n.";
    it.append("user/joe/INBOX", dots, msgstore::store::Flags::NONE);
    let mut page = HEAD.to_owned();
    for (tries, minute) in [(TRIES, "60000"), (SLOW, "1000")] {
        let mut popd = Popd::start_with(&it, &[("MINUTE_MS", minute)]);
        for (what, run) in tries {
            let happened = run(&popd, &it);
            writeln!(page, "| {what} | {} |", happened.replace('|', "\\|")).unwrap();
            if minute == "60000" {
                popd.still_runs();
            }
        }
        assert!(popd.peak_mb() < 96, "{} MiB", popd.peak_mb());
        popd.stop();
    }
    crate::bad_input::compare_page("hostile-pop.md", &page);
}
