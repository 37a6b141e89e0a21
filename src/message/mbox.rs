//! mbox files: a streaming reader, and the quoting of a writer (RFC 4155; the "mboxrd" quoting convention).
//!
//! A `From ` line starts a message only if a date follows the sender. The one blank line before it, or before the end
//! of the file, belongs to the file and not to the message.

use std::io::{self, BufRead};

use memchr::memchr;

use super::date::{self, Stamp};

/// Octets looked at to decide about a Content-Length, and so the most that is held in memory.
const LOOK_AHEAD: usize = 4 * 1024 * 1024;
/// Octets given out at a time, about.
const CHUNK: usize = 64 * 1024;
/// Longest `From ` line, behind its first word.
const MAX_FROM_LINE: usize = 1000;
/// Octets from which it is seen that a line is longer.
const FROM_LINE_AHEAD: usize = MAX_FROM_LINE + 6;
/// Most `>` before a `From ` that count as quoting.
const MAX_QUOTES: usize = 998;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Take one `>` from lines of the form `>From `, `>>From ` and so on.
    pub unquote: bool,
    /// Use Content-Length fields. One counts only if it leads exactly to a `From ` line or the end of the file (blank
    /// lines between do not matter), as far as that can be seen within 4 MiB behind a `From ` line in the body.
    pub content_length: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { unquote: true, content_length: true }
    }
}

/// What the `From ` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromLine {
    /// Envelope sender as written; may be empty, `-` or `MAILER-DAEMON`.
    pub sender: Vec<u8>,
    /// Date; UTC if the line names no zone.
    pub date: Stamp,
}

/// Reads a `From ` line (line end allowed). `None` if it is not one: no `From `, no date, or
/// several words before the date of which the first is no address.
#[must_use]
pub fn parse_from_line(line: &[u8]) -> Option<FromLine> {
    let rest = line.strip_prefix(b"From ").filter(|rest| rest.len() <= MAX_FROM_LINE)?;
    let rest = match memchr::memmem::find(rest, b" remote from ") {
        Some(at) => rest.get(..at)?,
        None => rest,
    };
    let starts = (0..rest.len()).filter(|at| *at == 0 || matches!(rest.get(at - 1), Some(b' ' | b'\t')));
    for at in starts {
        let (sender, after) = rest.split_at(at);
        if after.first().is_none_or(|b| !b.is_ascii_alphabetic()) {
            continue;
        }
        if let Some(date) = date::parse_from_line(after) {
            let sender = sender.trim_ascii();
            let mut words = sender.split(u8::is_ascii_whitespace);
            let is_address = words.next().is_some_and(|first| first.contains(&b'"') || first.contains(&b'@'));
            return (is_address || words.next().is_none()).then(|| FromLine { sender: sender.to_vec(), date });
        }
    }
    None
}

/// Whether a line needs one more `>` in an mbox file: `From `, `>From `, `>>From ` and so on, up to 998 of them.
#[must_use]
pub fn needs_quote(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|b| **b == b'>').count();
    quotes <= MAX_QUOTES && line.get(quotes..).is_some_and(|rest| rest.starts_with(b"From "))
}

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first `From ` line.
    Start,
    /// In a message, behind a line end.
    LineStart,
    /// In a message, inside of a line longer than the buffer.
    InLine,
    /// Behind a message.
    End,
}

/// A streaming reader; see the module text. Memory is bounded whatever the size of the messages.
pub struct Reader<R> {
    input: R,
    options: Options,
    buffer: Vec<u8>,
    at: usize,
    at_eof: bool,
    place: Place,
    in_header: bool,
    /// A blank line that is given out only if the message goes on.
    held: bool,
    last: u8,
    /// Content-Length of the header, until it is used up: octets of the body not read yet.
    length: Option<u64>,
    /// The Content-Length has been proven: no line is a separator until it is used up.
    proven: bool,
    /// Octets of the file given out or skipped.
    offset: u64,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of `input`.
    pub fn new(input: R, options: Options) -> Reader<R> {
        Reader {
            input,
            options,
            buffer: Vec::new(),
            at: 0,
            at_eof: false,
            place: Place::Start,
            in_header: false,
            held: false,
            last: b'\n',
            length: None,
            proven: false,
            offset: 0,
        }
    }

    /// Offset in the file of the octet to be read next.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes over the rest of the current message to the next one. `None` at the end of the file.
    ///
    /// # Errors
    /// Those of the input; `InvalidData` if the file does not start with a `From ` line (blank lines before it are
    /// skipped; an empty file is fine).
    pub fn next_message(&mut self) -> io::Result<Option<FromLine>> {
        let mut skipped = Vec::new();
        while self.place != Place::Start && self.read_chunk(&mut skipped)? {
            skipped.clear();
        }
        let line = loop {
            let end = self.line_end(FROM_LINE_AHEAD)?;
            let line = self.ahead(end);
            match parse_from_line(line) {
                Some(from) => break Some((from, end)),
                None if line.is_empty() => break None,
                None if line.trim_ascii().is_empty() => self.advance(end),
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, "no From line with a date")),
            }
        };
        let Some((from, end)) = line else { return Ok(None) };
        self.advance(end);
        self.place = Place::LineStart;
        (self.in_header, self.held, self.proven, self.length, self.last) = (true, false, false, None, b'\n');
        Ok(Some(from))
    }

    /// Appends the next piece of the current message to `out` (about 64 KiB), every line ended by CRLF (a last line
    /// without line end stays so). False, with nothing appended, at the end of the message.
    ///
    /// # Errors
    /// Those of the input.
    pub fn read_chunk(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let before = out.len();
        while out.len() - before < CHUNK && matches!(self.place, Place::LineStart | Place::InLine) {
            self.step(out)?;
        }
        Ok(out.len() > before)
    }

    /// One line, or one piece of a long line.
    fn step(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let end = self.line_end(CHUNK)?;
        if end == 0 {
            self.place = Place::End;
            return Ok(());
        }
        let at_start = self.place == Place::LineStart;
        if at_start && self.ahead(end).starts_with(b"From ") && self.is_separator(end)? {
            self.place = Place::End;
            return Ok(());
        }
        let piece = self.buffer.get(self.at..self.at + end).unwrap_or_default();
        let whole = piece.ends_with(b"\n");
        let blank = at_start && matches!(piece, b"\n" | b"\r\n");
        if std::mem::take(&mut self.held) {
            out.extend_from_slice(b"\r\n");
        }
        if blank && !self.in_header {
            self.held = true;
        } else {
            let unquote = self.options.unquote && at_start && piece.starts_with(b">") && needs_quote(piece);
            let text = piece.get(usize::from(unquote)..).unwrap_or_default();
            let bare = whole && if piece.len() == 1 { self.last != b'\r' } else { !piece.ends_with(b"\r\n") };
            if bare {
                out.extend_from_slice(text.get(..text.len().saturating_sub(1)).unwrap_or_default());
                out.extend_from_slice(b"\r\n");
            } else {
                out.extend_from_slice(text);
            }
        }
        self.last = piece.last().copied().unwrap_or(b'\n');
        if self.in_header && at_start {
            if blank {
                self.in_header = false;
            } else if self.options.content_length && self.length.is_none() {
                self.length = content_length(piece);
            }
        } else if !self.in_header {
            self.length = self.length.and_then(|length| length.checked_sub(end as u64)).filter(|length| *length > 0);
            self.proven = self.proven && self.length.is_some();
        }
        self.place = if whole { Place::LineStart } else { Place::InLine };
        self.advance(end);
        Ok(())
    }

    /// Whether the line ahead that starts with `From ` ends the message.
    fn is_separator(&mut self, end: usize) -> io::Result<bool> {
        if self.proven || parse_from_line(self.ahead(end)).is_none() {
            return Ok(false);
        }
        let Some(length) = self.length.take().filter(|_| !self.in_header) else { return Ok(true) };
        self.proven = self.leads_to_separator(length)?;
        self.length = Some(length).filter(|_| self.proven);
        Ok(!self.proven)
    }

    /// Whether a `From ` line or the end of the file stands `length` octets ahead, blank lines passed over.
    fn leads_to_separator(&mut self, length: u64) -> io::Result<bool> {
        let Some(mut at) = usize::try_from(length).ok().filter(|length| *length <= LOOK_AHEAD) else {
            return Ok(false);
        };
        self.fill(at + FROM_LINE_AHEAD)?;
        let body = self.buffer.get(self.at..).and_then(|ahead| ahead.get(..at));
        let Some(at_line_start) = body.map(|body| body.ends_with(b"\n")) else {
            return Ok(false);
        };
        let mut blank = false;
        while let Some(b'\n' | b'\r') = self.buffer.get(self.at + at) {
            blank = true;
            at += 1;
            if at > LOOK_AHEAD {
                return Ok(false);
            }
            self.fill(at + FROM_LINE_AHEAD)?;
        }
        let ahead = self.buffer.get(self.at..).unwrap_or_default();
        let Some(rest) = ahead.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(true) };
        let line = memchr(b'\n', rest).map_or(rest, |lf| rest.get(..lf).unwrap_or(rest));
        Ok((at_line_start || blank) && parse_from_line(line).is_some())
    }

    fn ahead(&self, len: usize) -> &[u8] {
        self.buffer.get(self.at..self.at + len).unwrap_or_default()
    }

    fn advance(&mut self, len: usize) {
        self.at += len;
        self.offset += len as u64;
    }

    /// Length of the line ahead with its LF, `limit` octets at most, however many are there already; 0 at the end of the file.
    fn line_end(&mut self, limit: usize) -> io::Result<usize> {
        let mut seen = 0;
        loop {
            let ahead = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(lf) = memchr(b'\n', ahead.get(seen..).unwrap_or_default()) {
                return Ok((seen + lf + 1).min(limit));
            }
            seen = ahead.len();
            if self.at_eof || seen >= limit {
                return Ok(seen.min(limit));
            }
            self.fill(seen + 1)?;
        }
    }

    /// Has at least `wanted` octets ahead in the buffer, or all that are left.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.at == self.buffer.len() || self.at > CHUNK.max(self.buffer.len() / 2) {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        while self.buffer.len() - self.at < wanted && !self.at_eof {
            let bytes = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let got = bytes.len();
            self.buffer.extend_from_slice(bytes);
            self.input.consume(got);
            self.at_eof = got == 0;
        }
        Ok(())
    }
}

fn content_length(line: &[u8]) -> Option<u64> {
    let colon = memchr(b':', line)?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    if !name.trim_ascii_end().eq_ignore_ascii_case(b"content-length") {
        return None;
    }
    crate::text::number::decimal(value.trim_ascii())
}

/// The writer's side: turns a message into the lines of an mbox file, each `From ` quoted by one `>`, CRLF written as
/// LF. The `From ` line comes from [`from_line`].
#[derive(Debug, Default)]
pub struct Quoter {
    /// Start of a line, not written yet: it may still turn out to need a `>`.
    start: Vec<u8>,
    in_line: bool,
    cr: bool,
}

impl Quoter {
    /// A quoter at the start of a message.
    #[must_use]
    pub fn new() -> Quoter {
        Quoter::default()
    }

    /// Takes the next octets of the message, cut anywhere, and appends those of the file.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let len = memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
            let (piece, after) = rest.split_at(len);
            rest = after;
            self.piece(piece, out);
        }
    }

    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.in_line {
            return self.text(piece, out);
        }
        self.start.extend_from_slice(piece);
        let quotes = self.start.iter().take_while(|b| **b == b'>').count();
        let behind = self.start.get(quotes..).unwrap_or_default();
        if quotes <= MAX_QUOTES && behind.len() < 5 && b"From ".starts_with(behind) {
            return;
        }
        let start = std::mem::take(&mut self.start);
        if needs_quote(&start) {
            out.push(b'>');
        }
        self.text(&start, out);
    }

    /// Octets of a line whose start has been decided.
    fn text(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let ends = piece.ends_with(b"\n");
        let mut text = if ends { piece.get(..piece.len() - 1).unwrap_or_default() } else { piece };
        if std::mem::take(&mut self.cr) && !(ends && text.is_empty()) {
            out.push(b'\r');
        }
        if let Some(without) = text.strip_suffix(b"\r") {
            self.cr = !ends;
            text = without;
        }
        out.extend_from_slice(text);
        if ends {
            out.push(b'\n');
        }
        self.in_line = !ends;
    }

    /// The end of the message: a line end if the last line has none, and the blank line between messages.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let start = std::mem::take(&mut self.start);
        let open = self.in_line || !start.is_empty();
        self.text(&start, out);
        if std::mem::take(&mut self.cr) {
            out.push(b'\r');
        }
        out.extend_from_slice(if open { b"\n\n" } else { b"\n" });
    }
}

/// A `From ` line with its LF: sender (`MAILER-DAEMON` for the empty one; blanks become hyphens) and date in UTC.
#[must_use]
pub fn from_line(sender: &[u8], utc_s: i64) -> Vec<u8> {
    let mut out = b"From ".to_vec();
    let sender = sender.trim_ascii();
    let sender = if sender.is_empty() { b"MAILER-DAEMON" } else { sender };
    let room = sender.get(..MAX_FROM_LINE - 100).unwrap_or(sender);
    out.extend(room.iter().map(|b| if b.is_ascii_whitespace() || b.is_ascii_control() { b'-' } else { *b }));
    out.push(b' ');
    out.extend_from_slice(date::format_from_line(utc_s).as_bytes());
    out.push(b'\n');
    out
}
