//! Cuts what a client sends into lines before anything is parsed.

/// Longest line, without its end, in bytes. A command has 253 at most (RFC 2449 section 4); the response to a challenge of SASL may be long.
pub const LINE_BYTES: usize = 12 * 1024;
/// What is read and thrown away of a longer one before the connection is given up.
pub const SWALLOW_BYTES: usize = 64 * 1024;

/// What a step found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// All input is used up and no line is complete: read more.
    More,
    /// A line without its end.
    Line(Vec<u8>),
    /// The end of a line that was too long, which is thrown away.
    TooLong,
    /// A line without an end: nothing that follows can be understood.
    Fatal,
}

/// The state between two reads.
#[derive(Debug, Default)]
pub struct Framer {
    line: Vec<u8>,
    /// Bytes of a line that is too long; 0: it is not.
    dropped: usize,
}

impl Framer {
    /// Takes bytes; returns how many were used, and what they ended in.
    pub fn step(&mut self, input: &[u8]) -> (usize, Event) {
        let Some(end) = memchr::memchr(b'\n', input) else {
            self.take(input);
            let event = if self.dropped > SWALLOW_BYTES { Event::Fatal } else { Event::More };
            return (input.len(), event);
        };
        self.take(input.get(..end).unwrap_or_default());
        let mut line = std::mem::take(&mut self.line);
        let event = if std::mem::take(&mut self.dropped) > 0 {
            Event::TooLong
        } else {
            line.pop_if(|last| *last == b'\r');
            Event::Line(line)
        };
        (end + 1, event)
    }

    fn take(&mut self, bytes: &[u8]) {
        // One more than a line has: the CR before the end.
        if self.dropped == 0 && self.line.len() + bytes.len() <= LINE_BYTES + 1 {
            self.line.extend_from_slice(bytes);
        } else {
            self.dropped += self.line.len() + bytes.len();
            self.line = Vec::new();
        }
    }

    /// True between two lines.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && self.dropped == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of bytes that arrive in pieces of `size`.
    fn cut(bytes: &[u8], size: usize) -> Vec<String> {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let (used, event) = framer.step(piece);
                piece = &piece[used..];
                match event {
                    Event::More => assert!(piece.is_empty()),
                    Event::Line(line) => found.push(String::from_utf8(line).unwrap()),
                    other => found.push(format!("{other:?}")),
                }
            }
        }
        found
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come() {
        for size in 1..20 {
            assert_eq!(cut(b"USER joe\r\n\r\nNOOP\nx\ry\r\n\r\r\n", size), ["USER joe", "", "NOOP", "x\ry", "\r"]);
        }
    }

    #[test]
    fn a_long_line_is_thrown_away_and_the_next_is_read() {
        let full = "x".repeat(LINE_BYTES);
        for size in [1, 7, 100_000] {
            assert_eq!(cut(format!("{full}\r\nNOOP\r\n").as_bytes(), size), [full.as_str(), "NOOP"]);
            assert_eq!(cut(format!("{full}yz\r\nNOOP\r\n").as_bytes(), size), ["TooLong", "NOOP"]);
        }
        let mut framer = Framer::default();
        assert_eq!(framer.step(&vec![b'x'; SWALLOW_BYTES]), (SWALLOW_BYTES, Event::More));
        assert!(!framer.is_idle());
        assert_eq!(framer.step(b"xx"), (2, Event::Fatal));
    }
}
