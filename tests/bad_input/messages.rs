//! Messages that are too large, too deep, or hardly messages. APPEND keeps every byte.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::imap::Client;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// The size of the large message: 100 MB, or what `LARGE_MESSAGE_MB` says.
pub fn large_bytes() -> u64 {
    std::env::var("LARGE_MESSAGE_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(100) * 1_000_000
}

/// A message of many lines, made on the fly; its lines end in CRLF.
pub struct Large {
    left: u64,
    at: usize,
}

const HEAD: &[u8] = b"From: joe@example.org\r\nSubject: large\r\n\r\n";
/// Where the body of [`Large`] begins.
pub const BODY_AT: u64 = HEAD.len() as u64;
const LINE: &[u8] = b"The quick brown fox jumps over the lazy dog, 0123456789 ABCDEFGHIJKLMNO\r\n";

impl Large {
    /// One of `size` bytes, cut where they are used up.
    pub fn new(size: u64) -> Large {
        Large { left: size, at: 0 }
    }
}

impl Read for Large {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let source = match self.at.checked_sub(HEAD.len()) {
            None => &HEAD[self.at..],
            Some(body) => &LINE[body % LINE.len()..],
        };
        let count = source.len().min(into.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        into[..count].copy_from_slice(&source[..count]);
        self.at += count;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Reads a literal of that many bytes and compares it with what it should be.
pub fn compare(client: &mut Client, mut expected: impl Read, size: u64) {
    let mut left = size;
    let mut wanted = vec![0; 1 << 20];
    while left > 0 {
        let count = usize::try_from(left.min(1 << 20)).unwrap();
        let found = client.bytes(count);
        expected.read_exact(&mut wanted[..count]).unwrap();
        assert!(found == wanted[..count], "differs in the last {left} bytes");
        left -= count as u64;
    }
}

#[test]
fn a_large_message_streams_both_ways() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    let before = imapd.peak_mb();
    let size = large_bytes();
    let begun = Instant::now();
    client.send(format!("a append INBOX {{{size}+}}\r\n"));
    let mut source = std::io::BufReader::with_capacity(1 << 20, Large::new(size));
    std::io::copy(&mut source, &mut client.stream).unwrap();
    client.send("\r\n");
    let said = client.until("a").pop().unwrap();
    assert!(said.starts_with("OK [APPENDUID "), "{said}");
    let appended = (begun.elapsed(), imapd.peak_mb());
    client.ask("select INBOX");
    assert_eq!(client.ask("fetch 1 rfc822.size")[0], format!("* 1 FETCH (RFC822.SIZE {size})"));
    client.send("f fetch 1 body.peek[]\r\n");
    assert_eq!(client.line(), format!("* 1 FETCH (BODY[] {{{size}}}"));
    compare(&mut client, std::io::BufReader::with_capacity(1 << 20, Large::new(size)), size);
    assert_eq!(client.line(), ")");
    assert_eq!(client.until("f"), ["OK Completed"]);
    let fetched = (begun.elapsed(), imapd.peak_mb());
    client.send("g fetch 1 (body.peek[text]<50000000.10> envelope bodystructure)\r\n");
    assert!(client.until("g").last().unwrap().starts_with("OK"));
    let found = client.ask("search text \"no such words\"");
    assert!(found.last().unwrap().starts_with("OK"), "{found:?}");
    let searched = (begun.elapsed(), imapd.peak_mb());
    eprintln!("{size} bytes: at first {before} MiB; appended {appended:?}, fetched {fetched:?}, searched {searched:?}");
    assert!(searched.1 < 64, "{} MiB", searched.1);
    imapd.still_runs();
}

/// Messages that are odd, each with a name.
fn odd_messages() -> Vec<(&'static str, Vec<u8>)> {
    let part = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n";
    let mut nested = String::from("Subject: nested\r\n");
    for level in 0..5_000 {
        nested.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"));
    }
    let mut attached = String::from("Subject: attached\r\n");
    for _ in 0..5_000 {
        attached.push_str("Content-Type: message/rfc822\r\n\r\n");
    }
    vec![
        ("bare LF", b"Subject: lf\nTo: x\n\none\ntwo\r\nthree\n".to_vec()),
        ("bare CR", b"Subject: cr\rTo: x\r\r\n\r\none\rtwo".to_vec()),
        ("no header", b"\r\nonly a body\r\n".to_vec()),
        ("no header, no empty line", b"only words".to_vec()),
        ("one byte", b"x".to_vec()),
        ("8-bit everywhere", (128..=255).chain(1..=127).collect()),
        (
            "header of 1 MB",
            format!("Subject: big\r\n{}\r\nbody\r\n", "X-Long: 0123456789\r\n".repeat(50_000)).into_bytes(),
        ),
        ("header line of 1 MB", format!("Subject: {}\r\n\r\nbody\r\n", "s".repeat(1_000_000)).into_bytes()),
        ("folded 100,000 times", format!("Subject: a{}\r\n\r\nbody\r\n", "\r\n b".repeat(100_000)).into_bytes()),
        ("40,000 addresses", format!("To: {}z@z\r\n\r\nbody\r\n", "a <a@b>,\r\n ".repeat(40_000)).into_bytes()),
        ("nested groups", format!("To: {}\r\n\r\nbody\r\n", "g:(((".repeat(20_000)).into_bytes()),
        (
            "20,000 parts",
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", part.repeat(20_000)).into_bytes(),
        ),
        ("5,000 nested parts", nested.into_bytes()),
        ("5,000 nested messages", attached.into_bytes()),
        ("line of 10 MB", format!("Subject: long\r\n\r\n{}\r\n", "l".repeat(10_000_000)).into_bytes()),
        ("parameters", format!("Content-Type: text/plain{}\r\n\r\nx", "; a*0*=%41".repeat(20_000)).into_bytes()),
        ("bad transfer encoding", b"Content-Transfer-Encoding: base64\r\n\r\n====%%%%\r\n=".to_vec()),
        ("encoded words", format!("Subject: {}\r\n\r\nx", "=?utf-8?q?=ff=?= ".repeat(20_000)).into_bytes()),
    ]
}

#[test]
fn odd_messages_come_back_byte_for_byte() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    client.ask("select INBOX");
    for (number, (name, text)) in odd_messages().into_iter().enumerate() {
        let before = imapd.worked();
        let number = number + 1;
        client.send(format!("a append INBOX {{{}+}}\r\n", text.len()));
        client.send(&text);
        client.send("\r\n");
        let said = client.until("a").pop().unwrap();
        assert!(said.starts_with("OK [APPENDUID "), "{name}: {said}");
        client.send(format!("f fetch {number} body.peek[]\r\n"));
        assert_eq!(client.line(), format!("* {number} FETCH (BODY[] {{{}}}", text.len()), "{name}");
        assert!(client.bytes(text.len()) == text, "{name} comes back changed");
        assert_eq!(client.line(), ")");
        assert_eq!(client.until("f"), ["OK Completed"]);
        for items in [
            "envelope",
            "bodystructure",
            "body.peek[1.1.1.1.mime]",
            "body.peek[header.fields (subject to)]",
            "body.peek[text]<0.10>",
            "body.peek[20000]",
        ] {
            client.send(format!("i fetch {number} ({items})\r\n"));
            let said = answer(&mut client, "i");
            assert!(said.starts_with("OK "), "{name}: {items}: {said}");
        }
        for key in
            ["subject zzz", "to zzz", "body zzz", "text zzz", "header x-none \"\"", "larger 1", "sentsince 1-jan-2020"]
        {
            let said = client.ask(&format!("search {number} {key}")).pop().unwrap();
            assert!(said.starts_with("OK "), "{name}: {key}: {said}");
        }
        let took = imapd.worked() - before;
        assert!(took < Duration::from_secs(15), "{name}: {took:?}");
        eprintln!("{name}: {took:?}, at most {} MiB so far", imapd.peak_mb());
    }
    imapd.still_runs();
}

/// Skips all until the tagged line; literals are counted out.
fn answer(client: &mut Client, tag: &str) -> String {
    let literal = regex::Regex::new(r"\{(\d+)\}$").unwrap();
    loop {
        let line = client.line();
        if let Some(rest) = line.strip_prefix(&format!("{tag} ")) {
            return rest.to_owned();
        }
        if let Some(count) = literal.captures(&line) {
            client.bytes(count[1].parse().unwrap());
        }
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    assert!(client.append("INBOX", "", "").starts_with("NO "));
    assert!(client.append("INBOX", "", "a:b\r\n\r\na\0b").starts_with("NO [CANNOT] "));
    // The NUL comes late.
    let mut late = vec![b'x'; 3_000_000];
    late.push(0);
    client.send(format!("l append INBOX {{{}+}}\r\n", late.len()));
    client.stream.write_all(&late).unwrap();
    client.send("\r\n");
    assert!(client.until("l").pop().unwrap().starts_with("NO [CANNOT] "));
    // None of several, when one of them is bad.
    client.send("m append INBOX {4+}\r\na:b\n {3+}\r\na\0b {4+}\r\na:b\n\r\n");
    assert!(client.until("m").pop().unwrap().starts_with("NO [CANNOT] "));
    assert_eq!(client.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 0)");
    imapd.still_runs();
}
