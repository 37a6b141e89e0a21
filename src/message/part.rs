//! The tree of parts of a message: where each part's header and body lie in the file.

use std::ops::Range;

/// One part; the root is the message itself. Offsets count from the first octet of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Header with its blank line.
    pub header: Range<u64>,
    /// Body, without the line end that belongs to the boundary behind it.
    pub body: Range<u64>,
    /// Line ends in the body.
    pub lines: u64,
    /// Media type, lower case (`text`).
    pub media: String,
    /// Media subtype, lower case (`plain`).
    pub subtype: String,
    /// Content-Transfer-Encoding, lower case; empty if not given.
    pub encoding: String,
    /// `charset` parameter, lower case; empty if not given.
    pub charset: String,
    /// What is inside.
    pub kind: Kind,
}

/// What a part contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing that is a part.
    Leaf,
    /// A multipart: its parts, at least one.
    Multipart(Vec<Part>),
    /// A message/rfc822 or message/global: the message in it.
    Message(Box<Part>),
}

/// Longest word kept in `media`, `subtype`, `encoding` and `charset`, octets.
pub const MAX_WORD: usize = 100;
/// Most parts of one message.
pub const MAX_PARTS: usize = 10_000;
/// Deepest nesting of parts.
pub const MAX_DEPTH: usize = 100;

const VERSION: u8 = 1;

impl Part {
    /// A text/plain part without octets.
    pub(super) fn empty() -> Part {
        let empty = String::new;
        let (media, subtype) = ("text".to_owned(), "plain".to_owned());
        Part {
            header: 0..0,
            body: 0..0,
            lines: 0,
            media,
            subtype,
            encoding: empty(),
            charset: empty(),
            kind: Kind::Leaf,
        }
    }

    /// The part with a number of RFC 3501 section 6.4.5; the empty number is the message itself.
    ///
    /// Number 1 of a message that is no multipart is that message: its `header` is the MIME header of the part and
    /// its `body` the text. Behind a message/rfc822 part, numbers count in the message inside.
    #[must_use]
    pub fn section(&self, number: &[u32]) -> Option<&Part> {
        let mut found = self;
        let mut is_message = true;
        for n in number {
            let context = match &found.kind {
                _ if is_message => found,
                Kind::Message(inner) => {
                    is_message = true;
                    inner
                }
                Kind::Multipart(_) => found,
                Kind::Leaf => return None,
            };
            found = match &context.kind {
                Kind::Multipart(parts) => parts.get(usize::try_from(n.checked_sub(1)?).ok()?)?,
                _ if is_message && *n == 1 => context,
                _ => return None,
            };
            is_message = false;
        }
        Some(found)
    }

    /// The message inside a message/rfc822 part (for `n.HEADER` and `n.TEXT`).
    #[must_use]
    pub fn message(&self) -> Option<&Part> {
        match &self.kind {
            Kind::Message(inner) => Some(inner),
            _ => None,
        }
    }

    /// The parts directly inside: of a multipart, or the one message of a message/rfc822.
    #[must_use]
    pub fn children(&self) -> &[Part] {
        match &self.kind {
            Kind::Leaf => &[],
            Kind::Multipart(parts) => parts,
            Kind::Message(inner) => std::slice::from_ref(inner),
        }
    }

    /// This part and all parts below it, in file order.
    #[must_use]
    pub fn walk(&self) -> Vec<&Part> {
        let mut out = Vec::new();
        let mut rest = vec![self];
        while let Some(part) = rest.pop() {
            out.push(part);
            rest.extend(part.children().iter().rev());
        }
        out
    }

    /// Whether the media type is `text`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.media == "text"
    }

    /// Compact form for a cache file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        put_number(out, self.header.start);
        put_number(out, self.header.end.saturating_sub(self.header.start));
        put_number(out, self.body.start.saturating_sub(self.header.end));
        put_number(out, self.body.end.saturating_sub(self.body.start));
        put_number(out, self.lines);
        for word in [&self.media, &self.subtype, &self.encoding, &self.charset] {
            put_word(out, word);
        }
        match &self.kind {
            Kind::Leaf => out.push(0),
            Kind::Message(inner) => {
                out.push(1);
                inner.encode_into(out);
            }
            Kind::Multipart(parts) => {
                out.push(2);
                put_number(out, parts.len() as u64);
                for part in parts {
                    part.encode_into(out);
                }
            }
        }
    }

    /// Reads [`Part::encode`]'s form; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Part> {
        let mut reader = Decoder { rest: bytes.strip_prefix(&[VERSION])?, parts: 0 };
        let part = reader.part(0)?;
        reader.rest.is_empty().then_some(part)
    }
}

fn put_number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_word(out: &mut Vec<u8>, word: &str) {
    let mut end = word.len().min(MAX_WORD);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    put_number(out, end as u64);
    out.extend_from_slice(&word.as_bytes()[..end]);
}

struct Decoder<'a> {
    rest: &'a [u8],
    parts: usize,
}

impl Decoder<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&b, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(b & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if b < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn word(&mut self) -> Option<String> {
        let len = usize::try_from(self.number()?).ok().filter(|len| *len <= MAX_WORD)?;
        let (word, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(std::str::from_utf8(word).ok()?.to_owned())
    }

    fn part(&mut self, depth: usize) -> Option<Part> {
        self.parts += 1;
        if depth > 2 * MAX_DEPTH || self.parts > 2 * MAX_PARTS {
            return None;
        }
        let start = self.number()?;
        let header_end = start.checked_add(self.number()?)?;
        let body_start = header_end.checked_add(self.number()?)?;
        let body_end = body_start.checked_add(self.number()?)?;
        let lines = self.number()?;
        let (media, subtype, encoding, charset) = (self.word()?, self.word()?, self.word()?, self.word()?);
        let (&tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        let kind = match tag {
            0 => Kind::Leaf,
            1 => Kind::Message(Box::new(self.part(depth + 1)?)),
            2 => {
                let count = self.number()?;
                if count == 0 || count > 2 * MAX_PARTS as u64 {
                    return None;
                }
                let mut parts = Vec::new();
                for _ in 0..count {
                    parts.push(self.part(depth + 1)?);
                }
                Kind::Multipart(parts)
            }
            _ => return None,
        };
        let (header, body) = (start..header_end, body_start..body_end);
        Some(Part { header, body, lines, media, subtype, encoding, charset, kind })
    }
}
