//! What stands in messages and in mbox files.

use std::io::{BufRead, BufReader};

use msgstore::message::charset::{self, TextDecoder, Transfer, decode_words, fold};
use msgstore::message::mbox::{Options, Quoter, Reader, from_line};
use msgstore::message::part::{Kind, MAX_DEPTH, MAX_PARTS, Part};
use msgstore::message::scan::{Scanned, Scanner};
use msgstore::message::{address, date, envelope, header, keys};

use super::{choice, pieces};

fn scan<'a>(input: impl Iterator<Item = &'a [u8]>) -> Scanned {
    let mut scanner = Scanner::new();
    input.for_each(|piece| scanner.push(piece));
    scanner.finish()
}

/// What a client sees: balanced parentheses outside of strings, literals as long as they say, no control octets elsewhere.
fn well_formed(bytes: &[u8]) {
    let (mut at, mut depth) = (0, 0i64);
    while at < bytes.len() {
        match bytes[at] {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    assert!(!matches!(bytes[at], 0 | b'\r' | b'\n'), "{:?}", String::from_utf8_lossy(bytes));
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => {
                let end = at + bytes[at..].iter().position(|byte| *byte == b'}').unwrap();
                let size: usize = std::str::from_utf8(&bytes[at + 1..end]).unwrap().parse().unwrap();
                assert_eq!(&bytes[end..end + 3], b"}\r\n");
                at = end + 2 + size;
                assert!(at < bytes.len());
            }
            byte => assert!((b' '..0x7f).contains(&byte), "{:?}", String::from_utf8_lossy(bytes)),
        }
        assert!(depth >= 0);
        at += 1;
    }
    assert_eq!(depth, 0, "{:?}", String::from_utf8_lossy(bytes));
}

fn inside(part: &Part, bytes: &[u8], depth: usize) {
    let size = bytes.len() as u64;
    assert!(depth <= MAX_DEPTH + 2);
    assert!(part.header.start <= part.header.end && part.header.end <= size, "{part:?}");
    assert!(part.body.start <= part.body.end && part.body.end <= size, "{part:?}");
    let children = match &part.kind {
        Kind::Leaf => &[][..],
        Kind::Multipart(children) => &children[..],
        Kind::Message(message) => std::slice::from_ref(&**message),
    };
    for child in children {
        // A line end that belongs to the boundary of the outer part may be the one that ended the header of an empty inner one.
        assert!(part.body.start <= child.header.start && child.body.end <= part.body.end + 2, "{part:?}");
        inside(child, bytes, depth + 1);
    }
}

/// The scan of a message: however it is cut, the same comes out, and it can be sent.
pub fn mime(bytes: &[u8]) {
    let (seed, bytes) = choice(bytes);
    let scanned = scan(std::iter::once(bytes));
    assert_eq!(scanned, scan(pieces(bytes, seed)));
    assert_eq!(scanned.size, bytes.len() as u64);
    assert!(scanned.header_size <= scanned.size);
    for rendered in [&scanned.envelope, &scanned.body, &scanned.bodystructure] {
        well_formed(rendered);
    }
    inside(&scanned.parts, bytes, 0);
    assert!(scanned.parts.walk().len() <= MAX_PARTS + 1);
    assert_eq!(Part::decode(&scanned.parts.encode()).as_ref(), Some(&scanned.parts));
    let _ = Part::decode(bytes);
}

/// A header block: the fields are the block, and a choice and its opposite are all of it.
pub fn header(bytes: &[u8]) {
    let mut last = 0;
    for field in header::fields(bytes) {
        let start = field.raw.as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(last <= start && start + field.raw.len() <= bytes.len());
        last = start + field.raw.len();
        let unfolded = field.unfolded();
        assert!(!unfolded.contains(&b'\n'));
        let _ = header::is_cached(field.name);
    }
    let names = [b"subject", b"x-names"];
    let count = |block: &[u8]| header::fields(block).count();
    let (with, without) = (header::subset(bytes, &names, false), header::subset(bytes, &names, true));
    assert_eq!(count(&with) + count(&without), count(bytes));
    well_formed(&envelope::render(bytes));
}

/// Dates: what was read can be written and read again.
pub fn date(bytes: &[u8]) {
    for stamp in
        [date::parse_rfc5322(bytes), date::parse_internal(bytes), date::parse_from_line(bytes)].into_iter().flatten()
    {
        let text = date::format_internal(stamp);
        assert_eq!(text.len(), 26, "{text}");
        let again = date::parse_internal(text.as_bytes()).expect("it was written by us");
        if again.utc_s != 0 {
            assert_eq!(again, stamp, "{text}");
        }
        let _ = stamp.local_date();
        let _ = date::format_from_line(stamp.utc_s);
    }
    let _ = date::parse_search_date(bytes);
}

/// An address list, and the ENVELOPE that is made of it.
pub fn address(bytes: &[u8]) {
    let found = address::parse_list(bytes);
    assert!(found.len() <= bytes.len() + 1);
    let value: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
    well_formed(&envelope::render(&[b"From: ", &value[..], b"\r\nTo: ", &value, b"\r\n\r\n"].concat()));
}

/// Charsets and transfer encodings: however the octets are cut, the same text comes out.
pub fn charset_of_text(bytes: &[u8]) {
    let (seed, bytes) = choice(bytes);
    let cut = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (label, body) = bytes.split_at(cut);
    let text = |input: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut out) = (TextDecoder::new(label), String::new());
        input.for_each(|piece| decoder.push(piece, &mut out));
        decoder.finish(&mut out);
        out
    };
    let whole = text(&mut std::iter::once(body));
    let in_pieces = text(&mut pieces(body, seed));
    // A charset that is guessed is guessed from a piece.
    let guessed = charset::charset(label).is_none_or(|known| matches!(known.name(), "UTF-8" | "windows-1252"));
    if !guessed || std::str::from_utf8(body).is_ok() {
        assert_eq!(whole, in_pieces);
    }
    for name in ["base64", "quoted-printable", "8bit"] {
        let octets = |input: &mut dyn Iterator<Item = &[u8]>| {
            let (mut decoder, mut out) = (Transfer::new(name), Vec::new());
            input.for_each(|piece| decoder.push(piece, &mut out));
            decoder.finish(&mut out);
            out
        };
        assert_eq!(octets(&mut std::iter::once(body)), octets(&mut pieces(body, seed)), "{name}");
    }
    let _ = fold(&whole);
    let _ = fold(&decode_words(bytes));
}

/// The messages of an mbox file.
fn messages(input: impl BufRead, options: Options) -> Result<Vec<Vec<u8>>, std::io::ErrorKind> {
    let mut reader = Reader::new(input, options);
    let mut found = Vec::new();
    while reader.next_message().map_err(|error| error.kind())?.is_some() {
        let mut message = Vec::new();
        while reader.read_chunk(&mut message).map_err(|error| error.kind())? {}
        found.push(message);
    }
    Ok(found)
}

/// An mbox file, read in large and small pieces; and any message, written into one and read again.
pub fn mbox(bytes: &[u8]) {
    let (seed, bytes) = choice(bytes);
    let options = Options { unquote: seed & 1 == 1, content_length: seed & 2 == 2 };
    assert_eq!(
        messages(bytes, options),
        messages(BufReader::with_capacity(1 + usize::from(seed >> 2), bytes), options)
    );
    let mut file = from_line(b"joe@example.org", 1_072_951_872);
    // A blank line ends the header; where there is none, the one between messages would be taken for it.
    let message = [b"x: y\r\n\r\n", bytes].concat();
    let mut quoter = Quoter::new();
    pieces(&message, seed).for_each(|piece| quoter.push(piece, &mut file));
    quoter.finish(&mut file);
    file.extend(from_line(b"", 0));
    file.extend_from_slice(b"x: y\n\n");
    let read = messages(&file[..], Options { unquote: true, content_length: false }).unwrap();
    assert_eq!(read.len(), 2, "{:?}", String::from_utf8_lossy(&file));
    // Every line ends in CRLF there, and the last one has an end. In the file CRLF is LF, so of two CR before one LF both are gone.
    let mut wanted = Vec::new();
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        wanted.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        wanted.extend_from_slice(b"\r\n");
    }
    assert_eq!(String::from_utf8_lossy(&read[0]), String::from_utf8_lossy(&wanted));
}

/// What SORT and THREAD compare, as store.idx has it: from any octets on disk, and made of any header lines.
pub fn sorting_keys(bytes: &[u8]) {
    if let Some(read) = keys::Keys::decode(bytes) {
        assert!(read.subject.len() + read.references().count() * 8 <= bytes.len());
    }
    let made = keys::of(bytes);
    let read = keys::Keys::decode(&made).unwrap();
    assert!(
        std::str::from_utf8(read.subject).is_ok() && read.subject.len() <= 1024 && read.references().count() <= 200
    );
    assert!((0..made.len()).all(|cut| keys::Keys::decode(&made[..cut]).is_none()));
}
