//! Parts in the encoding `binary` (RFC 3516 section 4.3): a message with such parts becomes one without NUL, which no other literal could carry.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::part::{Kind, Part};

/// Bytes read at a time; whole lines of base64.
const READ_BYTES: usize = LINE_BYTES * 1024;
/// Bytes that make one line of 76 characters (RFC 2045 section 6.8).
const LINE_BYTES: usize = 57;
/// The header of one part that is rewritten, at most.
const MAX_HEADER: u64 = 1024 * 1024;

/// Writes the message in `file`, of `size` bytes and with the parts `root`, with every binary part in base64. Multiparts that were binary
/// because of them are 8bit.
///
/// # Errors
/// What reading and writing said; `InvalidData` for a header that is too large.
pub fn encode(file: &File, size: u64, root: &Part, out: &mut impl Write) -> io::Result<()> {
    let mut at = 0;
    for part in root.walk() {
        if !part.encoding.eq_ignore_ascii_case("binary") || part.header.start < at {
            continue;
        }
        copy(file, at, part.header.start, out)?;
        let leaf = matches!(part.kind, Kind::Leaf);
        header(file, part, if leaf { "base64" } else { "8bit" }, out)?;
        at = part.header.end;
        if leaf {
            copy(file, at, part.body.start, out)?;
            body(file, part, part.body.end == size, out)?;
            at = part.body.end;
        }
    }
    copy(file, at, size, out)
}

fn copy(file: &File, from: u64, to: u64, out: &mut impl Write) -> io::Result<()> {
    let mut at = from;
    let mut room = vec![0; READ_BYTES];
    while at < to {
        let count = room.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        let bytes = room.get_mut(..count).unwrap_or_default();
        file.read_exact_at(bytes, at)?;
        out.write_all(bytes)?;
        at += count as u64;
    }
    Ok(())
}

/// The header of a part with another Content-Transfer-Encoding.
fn header(file: &File, part: &Part, encoding: &str, out: &mut impl Write) -> io::Result<()> {
    let count = part.header.end.saturating_sub(part.header.start);
    if count > MAX_HEADER {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the header of a binary part is too large"));
    }
    let mut block = vec![0; usize::try_from(count).unwrap_or(0)];
    file.read_exact_at(&mut block, part.header.start)?;
    let mut skipping = false;
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            skipping = is_encoding(line);
            if skipping {
                write!(out, "Content-Transfer-Encoding: {encoding}\r\n")?;
            }
        }
        if !skipping {
            out.write_all(line)?;
        }
    }
    Ok(())
}

fn is_encoding(line: &[u8]) -> bool {
    const NAME: &[u8] = b"content-transfer-encoding";
    line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
        && line.get(NAME.len()..).unwrap_or_default().trim_ascii_start().starts_with(b":")
}

/// The body in base64; the line end before a boundary belongs to that.
fn body(file: &File, part: &Part, last: bool, out: &mut impl Write) -> io::Result<()> {
    let mut at = part.body.start;
    let mut room = vec![0; READ_BYTES];
    while at < part.body.end {
        let count = room.len().min(usize::try_from(part.body.end - at).unwrap_or(usize::MAX));
        let bytes = room.get_mut(..count).unwrap_or_default();
        file.read_exact_at(bytes, at)?;
        for line in bytes.chunks(LINE_BYTES) {
            if at > part.body.start {
                out.write_all(b"\r\n")?;
            }
            out.write_all(STANDARD.encode(line).as_bytes())?;
            at += line.len() as u64;
        }
    }
    if last { out.write_all(b"\r\n") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::scan::Scanner;

    fn encoded(message: &[u8]) -> String {
        let mut scanner = Scanner::new();
        scanner.push(message);
        let scanned = scanner.finish();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(message).unwrap();
        let mut out = Vec::new();
        encode(&file, scanned.size, &scanned.parts, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_single_part() {
        assert_eq!(
            encoded(b"Subject: x\r\ncontent-transfer-encoding:\r\n BINARY\r\nX: y\r\n\r\na\0b"),
            "Subject: x\r\nContent-Transfer-Encoding: base64\r\nX: y\r\n\r\nYQBi\r\n"
        );
        assert_eq!(encoded(b"A: b\r\n\r\ntext\r\n"), "A: b\r\n\r\ntext\r\n");
    }

    #[test]
    fn one_of_several_parts() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Transfer-Encoding: binary\r\nContent-Type: image/png\r\n\r\n\0\r\n\xff\r\n--b--\r\n";
        assert_eq!(
            encoded(message),
            "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n\r\nAA0K/w==\r\n--b--\r\n"
        );
    }

    #[test]
    fn long_bodies_have_lines_of_76() {
        let mut message = b"Content-Transfer-Encoding: binary\r\n\r\n".to_vec();
        message.extend((0..READ_BYTES + 100).map(|at| u8::try_from(at % 251).unwrap()));
        let text = encoded(&message);
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(body.lines().rev().skip(1).all(|line| line.len() == 76));
        let decoded = STANDARD.decode(body.replace("\r\n", "")).unwrap();
        assert_eq!(decoded, message[37..]);
    }
}
