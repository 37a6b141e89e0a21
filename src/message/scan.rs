//! The scanner: one pass over a message as it arrives, with flat memory, giving everything the index keeps.
//!
//! Lines end in CRLF or LF. Per header block [`MAX_HEADER`] octets are looked at, all retained values together are
//! bounded by [`MAX_RETAINED`]; parts beyond the limits of number, depth or retained octets are not opened, their
//! octets belong to the part before.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::mime::{MAX_BOUNDARY, Mime};
use super::part::{Kind, MAX_DEPTH, MAX_PARTS, MAX_WORD, Part};
use super::{date, envelope, header};

/// Most octets of one header block that are read.
pub const MAX_HEADER: usize = 256 * 1024;
/// Most octets of rendered values of all parts; beyond it no further part is opened.
pub const MAX_RETAINED: usize = 4 * 1024 * 1024;
/// Octets of a line that are kept when it arrives in pieces.
const LINE_PREFIX: usize = MAX_BOUNDARY + 16;
/// Most octets kept of a Message-ID.
const MAX_MESSAGE_ID: usize = 1000;

/// What a scan gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Octets of the message.
    pub size: u64,
    /// Octets up to and including the blank line; the whole message if there is none.
    pub header_size: u64,
    /// Line ends in the whole message.
    pub lines: u64,
    /// A NUL octet occurs.
    pub has_nul: bool,
    /// A line ends in LF without CR.
    pub bare_lf: bool,
    /// An octet above 127 occurs.
    pub has_8bit: bool,
    /// Rendered ENVELOPE, parentheses included.
    pub envelope: Vec<u8>,
    /// Rendered BODY (no extension data), parentheses included.
    pub body: Vec<u8>,
    /// Rendered BODYSTRUCTURE, parentheses included.
    pub bodystructure: Vec<u8>,
    /// Fields of the top header that are in [`header::CACHED_HEADERS`], in order, CRLF-ended, no blank line.
    pub cached_headers: Vec<u8>,
    /// The Date field in seconds since 1970, UTC.
    pub sent_date_s: Option<i64>,
    /// The tree of parts.
    pub parts: Part,
    /// The first Message-ID, with its angle brackets, trimmed.
    pub message_id: Option<String>,
}

/// A part under construction.
struct Node {
    words: Words,
    /// Rendered values before and behind the octet count.
    lead: Vec<u8>,
    tail: Vec<u8>,
    /// Rendered ENVELOPE of a message (the top, or the inside of a message/rfc822 or message/global).
    envelope: Vec<u8>,
    shape: Shape,
    is_message: bool,
    in_digest: bool,
    children: Vec<usize>,
    header: Range<u64>,
    body: Range<u64>,
    lines_before: u64,
    lines: u64,
    header_open: bool,
}

/// Words of the MIME fields, lower case.
#[derive(Clone, Default)]
struct Words {
    media: String,
    subtype: String,
    encoding: String,
    charset: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Leaf,
    Multipart,
    Message,
}

/// An open part: a node, and the boundary if it is a multipart that has not been closed.
struct Open {
    node: usize,
    boundary: Option<Vec<u8>>,
}

/// A push scanner; see the module text.
pub struct Scanner {
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// Shortest boundary that is open, octets; `usize::MAX` without one.
    shortest_boundary: usize,
    retained: usize,
    /// Header block being read, and where its current line starts in it.
    header: Vec<u8>,
    header_line: usize,
    in_header: bool,
    /// Start of a line that has not ended yet, its full length, and its last octet.
    pending: Vec<u8>,
    pending_len: u64,
    last: u8,
    /// Offset of the start of the current line.
    line_start: u64,
    /// Length of the line end before it (0 at the start).
    last_eol: u64,
    lines: u64,
    has_nul: bool,
    bare_lf: bool,
    has_8bit: bool,
    top: Top,
}

/// Values of the top header.
#[derive(Default)]
struct Top {
    cached: Vec<u8>,
    sent_s: Option<i64>,
    message_id: Option<String>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a message.
    #[must_use]
    pub fn new() -> Scanner {
        let mut scanner = Scanner {
            nodes: Vec::new(),
            open: Vec::new(),
            shortest_boundary: usize::MAX,
            retained: 0,
            header: Vec::new(),
            header_line: 0,
            in_header: true,
            pending: Vec::new(),
            pending_len: 0,
            last: 0,
            line_start: 0,
            last_eol: 0,
            lines: 0,
            has_nul: false,
            bare_lf: false,
            has_8bit: false,
            top: Top::default(),
        };
        scanner.open_part(None, 0, 0);
        scanner
    }

    /// Takes the next octets of the message; they may be cut anywhere.
    pub fn push(&mut self, chunk: &[u8]) {
        self.has_nul = self.has_nul || memchr(0, chunk).is_some();
        self.has_8bit = self.has_8bit || !chunk.is_ascii();
        let mut from = 0;
        for at in memchr_iter(b'\n', chunk) {
            let line = chunk.get(from..=at).unwrap_or_default();
            from = at + 1;
            if self.pending_len == 0 {
                self.line(line);
            } else {
                self.line_with_pending(line);
            }
        }
        let rest = chunk.get(from..).unwrap_or_default();
        if !rest.is_empty() {
            self.keep_pending(rest);
        }
    }

    /// True when a NUL has come.
    #[must_use]
    pub fn has_nul(&self) -> bool {
        self.has_nul
    }

    fn keep_pending(&mut self, piece: &[u8]) {
        if self.in_header {
            self.keep_header(piece);
        }
        let room = LINE_PREFIX.saturating_sub(self.pending.len());
        self.pending.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.pending_len += piece.len() as u64;
        if let Some(&last) = piece.last() {
            self.last = last;
        }
    }

    fn keep_header(&mut self, piece: &[u8]) {
        let room = MAX_HEADER.saturating_sub(self.header.len());
        self.header.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// A whole line in one piece, with its LF.
    fn line(&mut self, line: &[u8]) {
        let cr = line.len() >= 2 && line.get(line.len() - 2) == Some(&b'\r');
        let eol = if cr { 2 } else { 1 };
        if self.in_header {
            self.keep_header(line);
            self.header_line(line, line.len() as u64, eol);
        } else if line.len() > self.shortest_boundary && line.starts_with(b"--") {
            self.boundary_line(line, line.len() as u64, eol);
        }
        self.end_line(line.len() as u64, eol);
    }

    /// The last piece of a line that began in an earlier chunk.
    fn line_with_pending(&mut self, piece: &[u8]) {
        let before_lf = match piece.len() {
            0 | 1 => self.last,
            len => piece.get(len - 2).copied().unwrap_or_default(),
        };
        let eol = if before_lf == b'\r' { 2 } else { 1 };
        self.keep_pending(piece);
        let line = std::mem::take(&mut self.pending);
        let len = self.pending_len;
        if self.in_header {
            self.header_line(&line, len, eol);
        } else if line.starts_with(b"--") {
            self.boundary_line(&line, len, eol);
        }
        self.pending = line;
        self.pending.clear();
        self.pending_len = 0;
        self.end_line(len, eol);
    }

    fn end_line(&mut self, len: u64, eol: u64) {
        self.bare_lf = self.bare_lf || eol == 1;
        self.line_start += len;
        self.last_eol = eol;
        self.lines += 1;
        if self.in_header {
            self.header_line = self.header.len();
        }
    }

    /// A line inside a header block, already appended to `header`; `eol` is 0 at the end of the message.
    fn header_line(&mut self, line: &[u8], len: u64, eol: u64) {
        if len == eol {
            self.end_header(self.line_start + len, self.lines + 1);
        } else if line.starts_with(b"--")
            && let Some((index, closing)) = self.find_boundary(line)
        {
            self.header.truncate(self.header_line);
            self.take_boundary(index, closing, len, eol);
        }
    }

    /// A line of a body that starts with two hyphens.
    fn boundary_line(&mut self, line: &[u8], len: u64, eol: u64) {
        if let Some((index, closing)) = self.find_boundary(line) {
            self.take_boundary(index, closing, len, eol);
        }
    }

    /// The open multipart whose boundary the line begins with: the longest boundary, of equal ones the innermost.
    fn find_boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        if self.shortest_boundary == usize::MAX {
            return None;
        }
        let text = line.get(2..)?;
        let mut best: Option<(usize, usize)> = None;
        for (index, open) in self.open.iter().enumerate().rev() {
            let Some(boundary) = &open.boundary else { continue };
            if text.starts_with(boundary) && best.is_none_or(|(_, len)| boundary.len() > len) {
                best = Some((index, boundary.len()));
            }
        }
        let (index, len) = best?;
        let closing = text.get(len..).is_some_and(|after| after.starts_with(b"--"));
        (closing || self.may_open()).then_some((index, closing))
    }

    fn may_open(&self) -> bool {
        self.nodes.len() < MAX_PARTS && self.retained < MAX_RETAINED
    }

    /// Acts on a boundary line that starts at `line_start`: ends what is open inside the multipart at `index`.
    fn take_boundary(&mut self, index: usize, closing: bool, len: u64, eol: u64) {
        let end = self.line_start.saturating_sub(self.last_eol);
        let lines = self.lines.saturating_sub(u64::from(self.last_eol > 0));
        self.close_from(index + 1, end, lines);
        self.in_header = false;
        let Some(open) = self.open.get_mut(index) else { return };
        if closing {
            open.boundary = None;
            self.measure_boundaries();
            return;
        }
        self.measure_boundaries();
        let parent = self.open.get(index).map(|open| open.node);
        self.open_part(parent, self.line_start + len, self.lines + u64::from(eol > 0));
    }

    fn measure_boundaries(&mut self) {
        let lengths = self.open.iter().filter_map(|open| open.boundary.as_ref().map(Vec::len));
        self.shortest_boundary = lengths.min().unwrap_or(usize::MAX);
    }

    /// Adds a part whose header starts at `at`, and makes it the innermost open one.
    fn open_part(&mut self, parent: Option<usize>, at: u64, lines: u64) {
        let node = self.add_node(parent, at, lines);
        self.open.push(Open { node, boundary: None });
        self.in_header = true;
        self.header.clear();
        self.header_line = 0;
    }

    fn add_node(&mut self, parent: Option<usize>, at: u64, lines: u64) -> usize {
        let node = self.nodes.len();
        let mut in_digest = false;
        let mut is_message = parent.is_none();
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
            in_digest = parent.shape == Shape::Multipart && parent.words.subtype == "digest";
            is_message = parent.shape == Shape::Message;
            parent.children.push(node);
        }
        self.nodes.push(Node {
            words: Words::default(),
            lead: Vec::new(),
            tail: Vec::new(),
            envelope: Vec::new(),
            shape: Shape::Leaf,
            is_message,
            in_digest,
            children: Vec::new(),
            header: at..at,
            body: at..at,
            lines_before: lines,
            lines: 0,
            header_open: true,
        });
        node
    }

    /// The blank line behind the header of the innermost part has been read; the body starts at `at`.
    fn end_header(&mut self, at: u64, lines: u64) {
        let boundary = self.read_header(at, lines);
        self.in_header = false;
        let Some(open) = self.open.last_mut() else { return };
        open.boundary = boundary;
        let index = open.node;
        self.measure_boundaries();
        if self.nodes.get(index).is_some_and(|node| node.shape == Shape::Message) {
            self.open_part(Some(index), at, lines);
        }
    }

    /// Reads the collected header into the innermost part, whose body starts at `at`. Gives its boundary.
    fn read_header(&mut self, at: u64, lines: u64) -> Option<Vec<u8>> {
        let index = self.open.last()?.node;
        let may_nest = self.may_open() && self.open.len() < MAX_DEPTH;
        let block = std::mem::take(&mut self.header);
        let mut mime = Mime::read(&block);
        let node = self.nodes.get_mut(index)?;
        if node.in_digest && mime.media.is_none() {
            mime.media = Some((b"message".to_vec(), b"rfc822".to_vec()));
        }
        let mut boundary = None;
        if mime.is_multipart() {
            boundary = mime.boundary().map(<[u8]>::to_vec);
            if boundary.is_none() {
                mime.make_plain_text();
            }
            node.shape = Shape::Multipart;
        } else if mime.is_message() {
            node.shape = Shape::Message;
        }
        if node.shape != Shape::Leaf && !may_nest {
            mime.make_opaque();
            boundary = None;
        }
        if !mime.is_multipart() && !mime.is_message() {
            node.shape = Shape::Leaf;
        }
        node.words = Words::of(&mime);
        (node.lead, node.tail) = match node.shape {
            Shape::Multipart => (mime.multipart_lead(), mime.multipart_tail()),
            _ => (mime.leaf_lead(), mime.leaf_tail()),
        };
        if node.is_message {
            node.envelope = envelope::render(&block);
        }
        node.header.end = at;
        node.body = at..at;
        node.lines_before = lines;
        node.header_open = false;
        self.retained += node.lead.len() + node.tail.len() + node.envelope.len() + 64;
        if index == 0 {
            self.top = Top::read(&block);
        }
        self.header = block;
        self.header.clear();
        boundary
    }

    /// Closes the open parts from `first` inwards; their bodies end at `end`.
    fn close_from(&mut self, first: usize, end: u64, lines: u64) {
        while self.open.len() > first {
            let Some(index) = self.open.last().map(|open| open.node) else { return };
            let Some(node) = self.nodes.get(index) else { return };
            if node.header_open {
                let at = end.max(node.header.start);
                self.read_header(at, lines);
            }
            self.open.pop();
            let Some(node) = self.nodes.get_mut(index) else { return };
            node.body.end = end.max(node.body.start);
            node.lines = lines.saturating_sub(node.lines_before);
            if node.shape != Shape::Leaf && node.children.is_empty() {
                self.add_empty_part(index);
            }
        }
    }

    /// Gives a multipart without parts one empty text/plain part (and a message without octets its message).
    fn add_empty_part(&mut self, parent: usize) {
        let Some((end, lines)) = self.nodes.get(parent).map(|node| (node.body.end, node.lines_before)) else { return };
        let index = self.add_node(Some(parent), end, lines);
        let Some(node) = self.nodes.get_mut(index) else { return };
        let mime = Mime::default();
        node.words = Words::of(&mime);
        (node.lead, node.tail) = (mime.leaf_lead(), mime.leaf_tail());
        node.header_open = false;
        if node.is_message {
            node.envelope = envelope::render(b"");
        }
    }

    /// The end of the message.
    #[must_use]
    pub fn finish(mut self) -> Scanned {
        if self.pending_len > 0 {
            let line = std::mem::take(&mut self.pending);
            let len = self.pending_len;
            if self.in_header {
                self.header_line(&line, len, 0);
            } else if line.starts_with(b"--") {
                self.boundary_line(&line, len, 0);
            }
            self.line_start += len;
        }
        let (size, lines) = (self.line_start, self.lines);
        self.close_from(0, size, lines);
        let mut body = Vec::new();
        let mut bodystructure = Vec::new();
        self.render(0, false, &mut body);
        self.render(0, true, &mut bodystructure);
        let parts = self.part(0);
        Scanned {
            size,
            header_size: parts.header.end,
            lines,
            has_nul: self.has_nul,
            bare_lf: self.bare_lf,
            has_8bit: self.has_8bit,
            envelope: self.nodes.first_mut().map(|node| std::mem::take(&mut node.envelope)).unwrap_or_default(),
            body,
            bodystructure,
            cached_headers: self.top.cached,
            sent_date_s: self.top.sent_s,
            parts,
            message_id: self.top.message_id,
        }
    }

    /// Appends the BODY, or with `extended` the BODYSTRUCTURE, of a node.
    fn render(&self, index: usize, extended: bool, out: &mut Vec<u8>) {
        let Some(node) = self.nodes.get(index) else { return };
        out.push(b'(');
        if node.shape == Shape::Multipart {
            for &child in &node.children {
                self.render(child, extended, out);
            }
            out.push(b' ');
            out.extend_from_slice(&node.lead);
        } else {
            out.extend_from_slice(&node.lead);
            push_number(out, node.body.end - node.body.start);
            if node.shape == Shape::Message {
                for &child in node.children.iter().take(1) {
                    out.push(b' ');
                    out.extend_from_slice(self.nodes.get(child).map_or(b"", |child| &child.envelope));
                    out.push(b' ');
                    self.render(child, extended, out);
                }
            }
            if node.shape == Shape::Message || node.words.media == "text" {
                push_number(out, node.lines);
            }
        }
        if extended {
            out.extend_from_slice(&node.tail);
        }
        out.push(b')');
    }

    fn part(&self, index: usize) -> Part {
        let Some(node) = self.nodes.get(index) else { return Part::empty() };
        let kind = match node.shape {
            Shape::Leaf => Kind::Leaf,
            Shape::Multipart => Kind::Multipart(node.children.iter().map(|&child| self.part(child)).collect()),
            Shape::Message => {
                Kind::Message(Box::new(node.children.first().map_or_else(Part::empty, |&c| self.part(c))))
            }
        };
        let Words { media, subtype, encoding, charset } = node.words.clone();
        let (header, body) = (node.header.clone(), node.body.clone());
        Part { header, body, lines: node.lines, media, subtype, encoding, charset, kind }
    }
}

fn push_number(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(format!(" {n}").as_bytes());
}

impl Words {
    fn of(mime: &Mime) -> Words {
        let word = |bytes: &[u8]| {
            let text: String = String::from_utf8_lossy(bytes).to_lowercase();
            text.chars()
                .scan(0, |len, c| {
                    *len += c.len_utf8();
                    (*len <= MAX_WORD).then_some(c)
                })
                .collect()
        };
        let (media, subtype) = mime.media.as_ref().map_or((&b"text"[..], &b"plain"[..]), |(m, s)| (m, s));
        Words {
            media: word(media),
            subtype: word(subtype),
            encoding: word(mime.encoding.as_deref().unwrap_or_default()),
            charset: word(mime.param("charset").unwrap_or_default()),
        }
    }
}

impl Top {
    fn read(block: &[u8]) -> Top {
        let mut top = Top::default();
        for field in header::fields(block) {
            if header::is_cached(field.name) {
                header::append_crlf(&mut top.cached, field.raw);
            }
            if top.sent_s.is_none() && field.is("date") {
                top.sent_s = date::parse_rfc5322(&field.unfolded()).map(|date| date.utc_s);
            }
            if top.message_id.is_none() && field.is("message-id") {
                let value = field.unfolded();
                let value = value.get(..MAX_MESSAGE_ID).unwrap_or(&value);
                top.message_id = Some(String::from_utf8_lossy(value).into_owned()).filter(|id| !id.is_empty());
            }
        }
        top
    }
}
