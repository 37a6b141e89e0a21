//! RETR and TOP: a message on its way to the client, in pieces.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::respond::Stuffer;
use crate::ops::maildrop::{Item, Opened};

/// What one step reads of a message, at most.
pub(super) const PIECE_BYTES: usize = 128 * 1024;

/// A message that is being sent.
#[derive(Debug)]
pub(super) struct Body {
    /// Its number.
    pub(super) number: u32,
    file: File,
    at: u64,
    size: u64,
    /// Bytes of the header that are still to come, and the lines behind it (TOP); `None`: all of the message.
    part: Option<(u64, u64)>,
    stuffer: Stuffer,
    buffer: Vec<u8>,
}

impl Body {
    /// All of a message, or its header and so many lines.
    pub(super) fn new(item: Item, opened: Opened, lines: Option<u64>) -> Body {
        Body {
            number: item.number,
            file: opened.file,
            at: 0,
            size: item.size,
            part: lines.map(|lines| (opened.header_bytes, lines)),
            stuffer: Stuffer::default(),
            buffer: Vec::new(),
        }
    }

    /// True when the client gets all of the message.
    pub(super) fn is_whole(&self) -> bool {
        self.part.is_none()
    }

    /// Reads the next bytes; the first time this happens before the client is told that they come.
    ///
    /// # Errors
    /// What read(2) said, also that the file is shorter than it was.
    pub(super) fn read(&mut self) -> std::io::Result<()> {
        let count = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(PIECE_BYTES);
        self.buffer.resize(count, 0);
        self.file.read_exact_at(&mut self.buffer, self.at)?;
        self.at += count as u64;
        Ok(())
    }

    /// Writes what was read; true: that was all.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> bool {
        let (wanted, ended) = match &mut self.part {
            None => (self.buffer.len(), false),
            Some((header, lines)) => head(&self.buffer, header, lines),
        };
        self.stuffer.push(self.buffer.get(..wanted).unwrap_or_default(), out);
        let ended = ended || self.at >= self.size;
        if ended {
            std::mem::take(&mut self.stuffer).finish(out);
        }
        ended
    }
}

/// How many of the bytes belong to the header and the lines behind it; true when the lines are used up.
fn head(bytes: &[u8], header: &mut u64, lines: &mut u64) -> (usize, bool) {
    let in_header = usize::try_from(*header).unwrap_or(usize::MAX).min(bytes.len());
    *header -= in_header as u64;
    if *header > 0 {
        return (in_header, false);
    }
    if *lines == 0 {
        return (in_header, true);
    }
    let behind = bytes.get(in_header..).unwrap_or_default();
    for end in memchr::memchr_iter(b'\n', behind) {
        *lines -= 1;
        if *lines == 0 {
            return (in_header + end + 1, true);
        }
    }
    (bytes.len(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_and_some_lines() {
        let mail = b"a: b\r\nc: d\r\n\r\none\r\ntwo\r\nthree";
        for size in 1..mail.len() + 1 {
            for (lines, wanted) in [(0, 14), (1, 19), (2, 24), (3, mail.len()), (u64::MAX, mail.len())] {
                let (mut header, mut left, mut got) = (14, lines, 0);
                for piece in mail.chunks(size) {
                    let (count, ended) = head(piece, &mut header, &mut left);
                    got += count;
                    if ended {
                        break;
                    }
                }
                assert_eq!(got, wanted, "{lines} lines in pieces of {size}");
            }
        }
    }
}
