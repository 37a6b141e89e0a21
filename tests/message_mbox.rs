//! mbox files: splitting, quoting, line ends, Content-Length.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::BufReader;

use msgstore::message::mbox::{Options, Quoter, Reader, from_line, needs_quote, parse_from_line};
use proptest::prelude::*;

const FROM: &str = "From a@b Thu Jan  1 00:00:01 1970\n";

fn read_with(file: &[u8], options: Options, buffer: usize) -> Vec<(String, String)> {
    let mut reader = Reader::new(BufReader::with_capacity(buffer, file), options);
    let mut out = Vec::new();
    while let Some(from) = reader.next_message().unwrap() {
        let mut body = Vec::new();
        while reader.read_chunk(&mut body).unwrap() {}
        out.push((String::from_utf8_lossy(&from.sender).into_owned(), String::from_utf8_lossy(&body).into_owned()));
    }
    assert_eq!(reader.offset(), file.len() as u64);
    out
}

fn read(file: &str) -> Vec<String> {
    read_with(file.as_bytes(), Options::default(), 7).into_iter().map(|(_, body)| body).collect()
}

#[test]
fn splits_at_dated_lines_only() {
    let file = format!("\n{FROM}A: 1\n\nx\nFrom here on\n>From me\n>>From you\n> From\n\n\n{FROM}B: 2\n\n{FROM}C: 3\n");
    assert_eq!(
        read(&file),
        ["A: 1\r\n\r\nx\r\nFrom here on\r\nFrom me\r\n>From you\r\n> From\r\n\r\n", "B: 2\r\n\r\n", "C: 3\r\n"]
    );
    let kept = read_with(file.as_bytes(), Options { unquote: false, content_length: true }, 7);
    assert!(kept[0].1.contains("\r\n>From me\r\n>>From you"));
}

#[test]
fn line_ends() {
    assert_eq!(
        read(&format!("{FROM}A: 1\r\n\nb\r\nc\n\r\n{FROM}D: 4\n\nlast")),
        ["A: 1\r\n\r\nb\r\nc\r\n", "D: 4\r\n\r\nlast"]
    );
    // A line longer than the pieces, CR LF cut between them.
    let long = "x".repeat(64 * 1024 - 1);
    let file = format!("{FROM}\n{long}\r\n{long}y\n");
    assert_eq!(read(&file), [format!("\r\n{long}\r\n{long}y\r\n")]);
}

#[test]
fn content_length_only_if_true() {
    let inner = format!("one\n{FROM}two\n");
    let right = format!("{FROM}Content-Length: {}\n\n{inner}\n{FROM}Z: 1\n\nend\n", inner.len());
    assert_eq!(read(&right).len(), 2);
    assert!(read(&right)[0].ends_with("1970\r\ntwo\r\n"));
    let wrong = right.replace(&format!("Length: {}", inner.len()), &format!("Length: {}", inner.len() - 2));
    assert_eq!(read(&wrong).len(), 3);
    assert_eq!(read_with(right.as_bytes(), Options { unquote: true, content_length: false }, 100).len(), 3);
    let to_the_end = format!("{FROM}Content-Length: {}\n\n{inner}", inner.len());
    assert_eq!(read(&to_the_end).len(), 1);
    let too_long = format!("{FROM}Content-Length: 9999999999\n\n{inner}");
    assert_eq!(read(&too_long).len(), 2);
}

#[test]
fn from_lines() {
    let sender = |line: &str| parse_from_line(line.as_bytes()).map(|f| String::from_utf8(f.sender).unwrap());
    assert_eq!(sender("From a@b Thu Jan  1 00:00:01 1970").as_deref(), Some("a@b"));
    assert_eq!(sender("From - Thu Jan  1 00:00 1970 +0100\r\n").as_deref(), Some("-"));
    assert_eq!(sender("From  Thu Jan  1 00:00:01 1970").as_deref(), Some(""));
    assert_eq!(sender("From \"a b\"@c Thu Jan  1 00:00:01 1970").as_deref(), Some("\"a b\"@c"));
    assert_eq!(sender("From u@[1] [ufa]  Sun Aug  5 09:51:15 2001").as_deref(), Some("u@[1] [ufa]"));
    assert_eq!(sender("From u Thu Jan  1 00:00:01 1970 remote from host").as_deref(), Some("u"));
    assert_eq!(sender("From what we knew Thu Jan  1 00:00:01 1970"), None);
    assert_eq!(sender("From Monday on"), None);
    assert_eq!(from_line(b"", 1), b"From MAILER-DAEMON Thu Jan  1 00:00:01 1970\n");
    assert!(parse_from_line(&from_line(b"a b\nc", 1)).is_some());
    assert!(needs_quote(b">>From x") && !needs_quote(b"> From x") && !needs_quote(b"From"));
}

#[test]
fn not_an_mbox() {
    assert!(Reader::new(&b"Subject: x\n"[..], Options::default()).next_message().is_err());
    assert!(Reader::new(&b""[..], Options::default()).next_message().unwrap().is_none());
}

proptest! {
    /// What the quoter writes, the reader gives back (only CR CR LF is not kept: an mbox has no form for it).
    #[test]
    fn round_trip(
        bodies in proptest::collection::vec("(From |>|F|Fro|m |a|\rq|\r\n|\r\n\r\n|From a@b Thu Jan  1 00:00:01 1970\r\n){0,12}", 1..4),
        cut in 1_usize..9,
        buffer in 1_usize..50,
    ) {
        let mut file = Vec::new();
        let mut want = Vec::new();
        for body in &bodies {
            let message = format!("Subject: x\r\n\r\n{body}");
            let mut quoter = Quoter::new();
            file.extend(from_line(b"a@b", 1));
            message.as_bytes().chunks(cut).for_each(|chunk| quoter.push(chunk, &mut file));
            quoter.finish(&mut file);
            want.push(message);
        }
        let got = read_with(&file, Options::default(), buffer);
        prop_assert_eq!(got.len(), want.len());
        for ((_, got), want) in got.iter().zip(&want) {
            let mut want = want.clone();
            if !want.ends_with("\r\n") {
                want.push_str("\r\n");
            }
            prop_assert_eq!(got, &want);
        }
    }

    #[test]
    fn never_panics(file in "(From a Thu Jan  1 00:00:01 1970\n|Content-Length: 1[0-9]\n|\n|\r|x|From ){0,30}", buffer in 1_usize..20) {
        let mut reader = Reader::new(BufReader::with_capacity(buffer, file.as_bytes()), Options::default());
        let mut out = Vec::new();
        while let Ok(Some(_)) = reader.next_message() {
            while reader.read_chunk(&mut out).unwrap() {}
        }
    }
}
