//! The message scanner: structure, offsets, chunking.

#![allow(clippy::unwrap_used, reason = "tests")]

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use msgstore::message::part::Part;
use msgstore::message::scan::{Scanned, Scanner};
use proptest::prelude::*;

fn scan(message: &[u8]) -> Scanned {
    let mut scanner = Scanner::new();
    scanner.push(message);
    scanner.finish()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The octets of a part's body, by number.
fn body(message: &str, scanned: &Scanned, number: &[u32]) -> Option<String> {
    let part = scanned.parts.section(number)?;
    Some(message[part.body.start as usize..part.body.end as usize].to_owned())
}

fn header(message: &str, part: &Part) -> String {
    message[part.header.start as usize..part.header.end as usize].to_owned()
}

/// The tree of the example in RFC 3501 section 6.4.5.
fn rfc3501_tree() -> String {
    let inner_multipart = "--C\nContent-Type: image/gif\n\nGIF\n--C\nContent-Type: message/rfc822\n\nSubject: deepest\n\
        Content-Type: multipart/alternative; boundary=D\n\n--D\nContent-Type: text/plain\n\nplain\n--D\n\
        Content-Type: text/richtext\n\nrich\n--D--\n\n--C--\n";
    let nested = "Subject: nested\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\ninner one\n--B\n\
        Content-Type: application/octet-stream\n\ninner two\n--B--\n";
    format!(
        "Subject: top\nContent-Type: multipart/mixed; boundary=A\n\npreamble\n--A\n\none\n--A\n\
         Content-Type: application/octet-stream\n\ntwo\n--A\nContent-Type: message/rfc822\n\n{nested}\n--A\n\
         Content-Type: multipart/mixed; boundary=C\n\n{inner_multipart}\n--A--\nepilogue\n"
    )
    .replace('\n', "\r\n")
}

#[test]
fn part_numbers_of_rfc3501() {
    let message = rfc3501_tree();
    let scanned = scan(message.as_bytes());
    let b = |number: &[u32]| body(&message, &scanned, number).unwrap_or_else(|| "none".to_owned());
    assert_eq!(b(&[1]), "one");
    assert_eq!(b(&[2]), "two");
    assert_eq!(b(&[3, 1]), "inner one");
    assert_eq!(b(&[3, 2]), "inner two");
    assert_eq!(b(&[4, 1]), "GIF");
    assert_eq!(b(&[4, 2, 1]), "plain");
    assert_eq!(b(&[4, 2, 2]), "rich");
    for number in [&[0][..], &[5], &[1, 1], &[3, 3], &[4, 2, 3], &[4, 1, 1], &[1, 1, 1]] {
        assert_eq!(b(number), "none", "{number:?}");
    }
    let inside = scanned.parts.section(&[3]).and_then(Part::message).unwrap();
    assert!(header(&message, inside).starts_with("Subject: nested\r\n"));
    assert!(header(&message, inside).ends_with("\r\n\r\n"));
    let mime = header(&message, scanned.parts.section(&[4, 2, 2]).unwrap());
    assert_eq!(mime, "Content-Type: text/richtext\r\n\r\n");
    assert!(b(&[]).starts_with("preamble") && b(&[]).ends_with("epilogue\r\n"));
}

#[test]
fn single_part_is_part_one() {
    let message = "From: a@b\r\n\r\nhello\r\nworld\r\n";
    let scanned = scan(message.as_bytes());
    assert_eq!(body(message, &scanned, &[1]).as_deref(), Some("hello\r\nworld\r\n"));
    assert!(scanned.parts.section(&[1, 1]).is_none() && scanned.parts.section(&[2]).is_none());
    assert_eq!((scanned.size, scanned.header_size, scanned.lines), (27, 13, 4));
    let want = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 14 2 NIL NIL NIL NIL)";
    assert_eq!(text(&scanned.bodystructure), want);
}

#[test]
fn bodystructure_of_nested_message() {
    let message = "Content-Type: multipart/digest; boundary=\"x\"\n\n--x\n\nSubject: s\n\nhi\n--x--\n";
    let scanned = scan(message.as_bytes());
    let env = "(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL)";
    let want = format!(
        "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 14 {env} (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \
         \"7bit\" 2 0) 2) \"digest\")"
    );
    assert_eq!(text(&scanned.body), want);
    assert!(scanned.bare_lf);
}

/// RFC 6532 section 3.7: message/global is a message as message/rfc822 is (RFC 9051 section 9, media-message).
#[test]
fn a_global_message_has_an_envelope_and_parts() {
    let inner = "Subject: gr\u{fc}n\nContent-Type: multipart/mixed; boundary=y\n\n--y\n\none\n--y\nContent-Type: text/html\n\ntwo\n--y--\n";
    let message = format!(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: Message/Global\n\n{inner}\n--x\n\nlast\n--x--\n"
    );
    let scanned = scan(message.as_bytes());
    let plain = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"";
    let shown = text(&scanned.body);
    assert!(shown.starts_with("((\"Message\" \"Global\" NIL NIL NIL \"7bit\" "), "{shown}");
    assert!(shown.contains(&format!("({plain} 3 0)(\"text\" \"html\" ")), "{shown}");
    assert_eq!(body(&message, &scanned, &[1, 2]).as_deref(), Some("two"));
    assert_eq!(body(&message, &scanned, &[2]).as_deref(), Some("last"));
    let inside = scanned.parts.section(&[1]).and_then(Part::message).unwrap();
    assert!(header(&message, inside).starts_with("Subject: gr"));
}

#[test]
fn broken_multiparts() {
    let empty = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)";
    let none = scan(b"Content-Type: multipart/mixed; boundary=q\n\nnothing here\n");
    assert_eq!(text(&none.body), format!("({empty} \"mixed\")"));
    let no_boundary = scan(b"Content-Type: multipart/mixed\n\nfive\n");
    assert_eq!(text(&no_boundary.body), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 1)");
    let open_end = scan(b"Content-Type: multipart/mixed; boundary=q\n\n--q\n\nabc\n");
    assert_eq!(
        text(&open_end.body),
        "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1) \"mixed\")"
    );
    let cut_header = scan(b"Content-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: text/html\n--q--");
    assert_eq!(
        text(&cut_header.body),
        "((\"text\" \"html\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0) \"mixed\")"
    );
    let empty_message = scan(b"");
    assert_eq!(text(&empty_message.body), empty);
    assert_eq!((empty_message.size, empty_message.header_size), (0, 0));
}

#[test]
fn outer_boundary_ends_inner_and_longest_wins() {
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b1\n\n\
        --b1\n\nx\n--b1\n\ny\n--b\n\nz\n--b--\n";
    let scanned = scan(message.as_bytes());
    assert_eq!(body(message, &scanned, &[1, 1]).as_deref(), Some("x"));
    assert_eq!(body(message, &scanned, &[1, 2]).as_deref(), Some("y"));
    assert_eq!(body(message, &scanned, &[2]).as_deref(), Some("z"));
}

#[test]
fn values_of_the_top_header() {
    let scanned = scan(
        b"Received: x\nSubject: a\n b\nDate: Thu, 1 Jan 1970 00:00:05 +0000\nMessage-ID:  <1@x> \nX-Other: no\n\n\0\xff\n",
    );
    assert_eq!(
        text(&scanned.cached_headers),
        "Subject: a\r\n b\r\nDate: Thu, 1 Jan 1970 00:00:05 +0000\r\nMessage-ID:  <1@x> \r\n"
    );
    assert_eq!(scanned.sent_date_s, Some(5));
    assert_eq!(scanned.message_id.as_deref(), Some("<1@x>"));
    assert!(scanned.has_nul && scanned.has_8bit);
}

#[test]
fn limits_hold() {
    // Nesting: every level is a multipart whose only part is the next one.
    let mut deep = String::new();
    for level in 0..500 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}x\n\n--b{level}x\n"));
    }
    let scanned = scan(deep.as_bytes());
    assert!(scanned.parts.walk().len() <= 102);
    assert!(text(&scanned.bodystructure).contains("octet-stream"));
    // Number of parts.
    let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", "--b\n\nx\n".repeat(12_000));
    let scanned = scan(many.as_bytes());
    assert_eq!(scanned.parts.children().len(), 9_999);
    assert_eq!(Part::decode(&scanned.parts.encode()), Some(scanned.parts));
    // One header of several megabytes, and a line without end.
    let long = format!("Subject: {}\nTo: a@b\n\nbody\n", "x".repeat(3_000_000));
    let scanned = scan(long.as_bytes());
    assert!(scanned.envelope.len() < 300_000 && scanned.cached_headers.len() < 300_000);
    assert_eq!(scanned.parts.lines, 1);
}

/// Sixteen megabytes of each kind of hostile input, in pieces: what is kept stays small.
#[test]
fn large_input_is_kept_small() {
    let start = b"Content-Type: multipart/mixed; boundary=b\n\n";
    let kinds: [&[u8]; 6] = [
        b"x",
        b"--\n",
        b"--b\n\n",
        b"--b\nContent-Type: text/plain; a=bbbbbbbbbbbbbbbbbbbbbbbbb\n\n",
        b"\n",
        b"--b\nX: y\n",
    ];
    for kind in kinds {
        let piece = kind.repeat(64 * 1024 / kind.len());
        let mut scanner = Scanner::new();
        scanner.push(start);
        for _ in 0..256 {
            scanner.push(&piece);
        }
        let scanned = scanner.finish();
        assert_eq!(scanned.size, (start.len() + 256 * piece.len()) as u64);
        assert!(scanned.bodystructure.len() < 8 << 20 && scanned.parts.encode().len() < 1 << 20);
    }
}

/// Lines that make structure likely.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(""),
        Just("--a"),
        Just("--b"),
        Just("--a--"),
        Just("--b--"),
        Just("--ab"),
        Just("Content-Type: multipart/mixed; boundary=a"),
        Just("Content-Type: multipart/digest; boundary=b"),
        Just("Content-Type: multipart/mixed; boundary=ab"),
        Just("Content-Type: message/rfc822"),
        Just("Content-Type: text/html; charset=\u{e9}"),
        Just("Subject: x"),
        Just(" folded"),
        Just("To: a, b <c@d>"),
        Just("text"),
        Just("\r"),
    ];
    let end = prop_oneof![Just("\r\n"), Just("\r\n"), Just("\n")];
    let start = Just("Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_owned());
    (start, proptest::collection::vec((line, end), 0..40), any::<bool>()).prop_map(|(start, list, cut)| {
        let mut out = start;
        for (line, end) in list {
            out.push_str(line);
            out.push_str(end);
        }
        if cut {
            out.pop();
        }
        out.into_bytes()
    })
}

/// Whether an independent parser reads all of a FETCH response with the three renderings.
fn is_valid_response(scanned: &Scanned) -> Result<(), String> {
    let mut line = b"* 1 FETCH (ENVELOPE ".to_vec();
    line.extend_from_slice(&scanned.envelope);
    line.extend_from_slice(b" BODY ");
    line.extend_from_slice(&scanned.body);
    line.extend_from_slice(b" BODYSTRUCTURE ");
    line.extend_from_slice(&scanned.bodystructure);
    line.extend_from_slice(b")\r\n");
    match ResponseCodec::default().decode(&line) {
        Ok((b"", _)) => Ok(()),
        other => Err(format!("{other:?} for {}", text(&line))),
    }
}

#[test]
fn renderings_are_valid_responses() {
    for message in [
        rfc3501_tree(),
        String::new(),
        "Subject: \"\\\u{e9}\nFrom: \"a\\\"b\" <@r:x@y>, g:a,b;\nContent-Type: a/b; x=\"\\\"\"; y=\u{e9}\nContent-Language: a,b\n\n".to_owned(),
        "Content-Type: multipart/mixed; boundary=q\nContent-Disposition: inline; a=b\nContent-Location: x\n\n".to_owned(),
    ] {
        assert_eq!(is_valid_response(&scan(message.as_bytes())), Ok(()));
    }
}

proptest! {
    #[test]
    fn renderings_of_anything_are_valid(message in lines(), junk in proptest::collection::vec(any::<u8>(), 0..60)) {
        let whole = [b"Subject: ", &junk[..], b"\nTo: ", &junk, b"\nContent-Disposition: a; b=", &junk, b"\n", &message].concat();
        prop_assert_eq!(is_valid_response(&scan(&whole)), Ok(()));
        prop_assert_eq!(is_valid_response(&scan(&message)), Ok(()));
    }

    #[test]
    fn chunking_changes_nothing(message in lines(), cuts in proptest::collection::vec(0_usize..1000, 0..8)) {
        let whole = scan(&message);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % (message.len() + 1)).collect();
        cuts.sort_unstable();
        let mut scanner = Scanner::new();
        let mut from = 0;
        for cut in cuts {
            scanner.push(&message[from..cut]);
            from = cut;
        }
        scanner.push(&message[from..]);
        prop_assert_eq!(&scanner.finish(), &whole);
        let mut bytewise = Scanner::new();
        message.iter().for_each(|b| bytewise.push(&[*b]));
        prop_assert_eq!(&bytewise.finish(), &whole);
    }

    #[test]
    fn ranges_are_sound(message in lines()) {
        let scanned = scan(&message);
        prop_assert_eq!(scanned.size, message.len() as u64);
        prop_assert_eq!(scanned.lines, message.iter().filter(|b| **b == b'\n').count() as u64);
        for part in scanned.parts.walk() {
            prop_assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
            prop_assert!(part.body.start <= part.body.end && part.body.end <= scanned.size);
            let inside = &message[part.body.start as usize..part.body.end as usize];
            prop_assert_eq!(part.lines, inside.iter().filter(|b| **b == b'\n').count() as u64);
        }
        prop_assert_eq!(Part::decode(&scanned.parts.encode()), Some(scanned.parts));
    }

    #[test]
    fn decode_survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Part::decode(&bytes);
        let mut with_version = vec![1];
        with_version.extend(bytes);
        let _ = Part::decode(&with_version);
    }

    #[test]
    fn scan_survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = scan(&bytes);
    }
}
