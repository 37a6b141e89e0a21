//! Cuts what a client sends into complete commands (RFC 3501 section 2.2.1, literals 4.3, RFC 7888) before anything is parsed.
//!
//! [`Framer::step`] is fed with bytes and answers with one [`Event`] at a time. A command is handed out as one buffer in which each
//! literal stands behind its `{n}CRLF`. The message of APPEND is the exception: its bytes come as [`Event::Chunk`], so that the session can
//! stream them into a file.

/// Ceilings of what one client may make us hold or swallow, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One line, without its end.
    pub line_bytes: usize,
    /// One command: all its lines and literals except the messages of APPEND.
    pub command_bytes: usize,
    /// What is read and thrown away of a refused command before the connection is given up.
    pub swallow_bytes: u64,
}

impl Limits {
    /// For a client that has logged in.
    pub const SESSION: Limits =
        Limits { line_bytes: 64 * 1024, command_bytes: 1024 * 1024, swallow_bytes: 256 * 1024 * 1024 };
    /// For a client that has not said who it is.
    pub const GREETED: Limits = Limits { line_bytes: 8 * 1024, command_bytes: 16 * 1024, swallow_bytes: 64 * 1024 };
}

/// An announced literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Length in bytes.
    pub size: u64,
    /// True when the client waits for a continuation before it sends the bytes (`{n}`), false for `{n+}`.
    pub waits: bool,
    /// True for `~{n}`: the bytes may hold NUL (RFC 3516).
    pub binary: bool,
}

/// Why a command was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line longer than [`Limits::line_bytes`].
    #[error("Command line too long")]
    Line,
    /// A literal that would take the command over [`Limits::command_bytes`].
    #[error("Literal too long")]
    Literal,
    /// The session called [`Framer::refuse`]: it knows the answer itself.
    #[error("Refused")]
    Session,
}

/// What a step found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// All input is used up and nothing is complete: read more.
    More,
    /// The client waits for `+ `: send a continuation request.
    Continue,
    /// A complete command, without the end of its last line.
    Command(Vec<u8>),
    /// A line that was asked for by [`Framer::expect_line`], without its end.
    Line(Vec<u8>),
    /// APPEND came to a message literal. `head` is everything before the `{`; for the second and later messages (RFC 3502) it is what followed the
    /// message before. Answer with [`Framer::accept`] or [`Framer::refuse`] before the next step.
    Message {
        /// The bytes of the command up to the literal.
        head: Vec<u8>,
        /// What is announced.
        literal: Literal,
    },
    /// Bytes of an accepted message.
    Chunk(&'a [u8]),
    /// The accepted message is complete.
    MessageEnd,
    /// The APPEND command is complete; `rest` stood behind the last message and is empty when the command is well formed.
    AppendEnd {
        /// Bytes that do not belong there.
        rest: Vec<u8>,
    },
    /// A refused command is over: now its tagged answer can be sent.
    Refused {
        /// The tag of the command, `*` when it had none.
        tag: String,
        /// Who refused it.
        why: Refusal,
    },
    /// The client sends more than will be swallowed: say BYE and close.
    Fatal,
}

#[derive(Debug)]
enum State {
    /// Lines of a command gather in `buffer`, the present one from `line_start`.
    Line,
    /// Bytes of a small literal gather in `buffer`.
    Literal { left: u64 },
    /// A message literal was announced and the session has not decided.
    Undecided { literal: Literal },
    /// Message bytes pass through.
    Message { left: u64 },
    /// A refused command runs out: `skip` literal bytes, then lines; `tail` holds the end of the present line.
    Swallow { why: Refusal, skip: u64, tail: Vec<u8> },
}

/// The cutter of one connection.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    buffer: Vec<u8>,
    line_start: usize,
    swallowed: u64,
    /// The next line is not a command: no literals, handed out as it is.
    raw_line: bool,
    /// We are behind an accepted message of an APPEND.
    appending: bool,
    tag: String,
}

const TAIL_BYTES: usize = 32;

impl Framer {
    /// A cutter at the start of a connection.
    pub fn new(limits: Limits) -> Framer {
        Framer {
            limits,
            state: State::Line,
            buffer: Vec::new(),
            line_start: 0,
            swallowed: 0,
            raw_line: false,
            appending: false,
            tag: String::new(),
        }
    }

    /// Other limits from now on (after login).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next line is an answer to a continuation request of ours (AUTHENTICATE, IDLE) and comes as [`Event::Line`].
    pub fn expect_line(&mut self) {
        self.raw_line = true;
    }

    /// True between commands: nothing of the next one has been seen.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Line) && self.buffer.is_empty() && !self.appending
    }

    /// Takes the announced message: its bytes follow as [`Event::Chunk`]. The caller sends the continuation when the literal waits for one.
    pub fn accept(&mut self) {
        if let State::Undecided { literal } = self.state {
            self.state = State::Message { left: literal.size };
            self.appending = true;
        }
    }

    /// Does not take the announced message: the rest of the command is thrown away, then [`Event::Refused`] comes.
    pub fn refuse(&mut self) {
        if let State::Undecided { literal } = self.state {
            self.swallow(Refusal::Session, literal);
        } else if matches!(self.state, State::Message { .. }) {
            self.abandon();
        }
    }

    /// Gives up an accepted message in the middle (the file system is full): what is left of the command is thrown away.
    pub fn abandon(&mut self) {
        if let State::Message { left } = self.state {
            self.drop_buffer();
            self.appending = false;
            self.state = State::Swallow { why: Refusal::Session, skip: left, tail: Vec::new() };
        }
    }

    /// Takes bytes from the front of `input`; returns how many were used and what was found. Call again with the rest until [`Event::More`].
    pub fn step<'a>(&mut self, input: &'a [u8]) -> (usize, Event<'a>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match &mut self.state {
                State::Undecided { .. } => return (used, Event::More),
                State::Message { left: 0 } => {
                    self.state = State::Line;
                    return (used, Event::MessageEnd);
                }
                State::Message { left } => {
                    if rest.is_empty() {
                        return (used, Event::More);
                    }
                    let take = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= take as u64;
                    return (used + take, Event::Chunk(rest.get(..take).unwrap_or_default()));
                }
                State::Literal { left: 0 } => {
                    self.line_start = self.buffer.len();
                    self.state = State::Line;
                }
                State::Literal { left } => {
                    if rest.is_empty() {
                        return (used, Event::More);
                    }
                    let take = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= take as u64;
                    self.buffer.extend_from_slice(rest.get(..take).unwrap_or_default());
                    used += take;
                }
                State::Line => {
                    if rest.is_empty() {
                        return (used, Event::More);
                    }
                    let (took, event) = self.line(rest);
                    used += took;
                    if let Some(event) = event {
                        return (used, event);
                    }
                }
                State::Swallow { .. } => {
                    let (took, event) = self.swallow_step(rest);
                    used += took;
                    if let Some(event) = event {
                        return (used, event);
                    }
                    if used == input.len() && self.needs_input() {
                        return (used, Event::More);
                    }
                }
            }
        }
    }

    fn needs_input(&self) -> bool {
        matches!(self.state, State::Swallow { .. })
    }

    fn line(&mut self, rest: &[u8]) -> (usize, Option<Event<'static>>) {
        let (piece, took, ended) = match memchr::memchr(b'\n', rest) {
            Some(at) => (rest.get(..at).unwrap_or_default(), at + 1, true),
            None => (rest, rest.len(), false),
        };
        let in_line = (self.limits.line_bytes + 1).saturating_sub(self.buffer.len() - self.line_start);
        let in_command = (self.limits.command_bytes + 1).saturating_sub(self.buffer.len());
        let room = in_line.min(in_command);
        if piece.len() > room {
            let fits = piece.get(..room).unwrap_or_default();
            self.buffer.extend_from_slice(fits);
            return (fits.len(), self.refuse_line());
        }
        self.buffer.extend_from_slice(piece);
        if !ended {
            return (took, None);
        }
        if self.buffer.len() > self.line_start && self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        if std::mem::take(&mut self.raw_line) {
            return (took, Some(Event::Line(self.take_buffer())));
        }
        let line = self.buffer.get(self.line_start..).unwrap_or_default();
        let event = match literal_at_end(line) {
            Some((announced, at)) => self.announced(announced, self.line_start + at),
            None if self.appending => {
                self.appending = false;
                Some(Event::AppendEnd { rest: self.take_buffer() })
            }
            None => Some(Event::Command(self.take_buffer())),
        };
        (took, event)
    }

    /// A line ended in a literal that starts at `at` of the buffer.
    fn announced(&mut self, announced: Announced, at: usize) -> Option<Event<'static>> {
        let Announced::Literal(literal) = announced else {
            // A number beyond 64 bits. Nothing that waits has been sent, anything else cannot be skipped.
            let waits = matches!(announced, Announced::Absurd { waits: true });
            let tag = if self.appending { std::mem::take(&mut self.tag) } else { self.tag() };
            self.drop_buffer();
            self.appending = false;
            return Some(if waits { Event::Refused { tag, why: Refusal::Literal } } else { Event::Fatal });
        };
        let before = self.buffer.get(..at).unwrap_or_default();
        if self.appending || is_message_of_append(before) {
            if !self.appending {
                self.tag = self.tag();
            }
            let head = before.to_vec();
            self.drop_buffer();
            self.state = State::Undecided { literal };
            return Some(Event::Message { head, literal });
        }
        // With the line end that stands before it.
        let total = (self.buffer.len() as u64 + 2).saturating_add(literal.size);
        if total > self.limits.command_bytes as u64 {
            self.tag = self.tag();
            self.swallow(Refusal::Literal, literal);
            return None;
        }
        self.buffer.extend_from_slice(b"\r\n");
        self.state = State::Literal { left: literal.size };
        literal.waits.then_some(Event::Continue)
    }

    /// The present line is too long: what is there of it is dropped, the rest of it is swallowed.
    fn refuse_line(&mut self) -> Option<Event<'static>> {
        if !self.appending {
            self.tag = self.tag();
        }
        let dropped = (self.buffer.len() - self.line_start) as u64;
        let from = self.buffer.len().saturating_sub(TAIL_BYTES).max(self.line_start);
        let tail = self.buffer.get(from..).unwrap_or_default().to_vec();
        self.drop_buffer();
        self.raw_line = false;
        self.appending = false;
        self.swallowed = dropped;
        self.state = State::Swallow { why: Refusal::Line, skip: 0, tail };
        None
    }

    /// Goes over to throwing the command away after an announced literal.
    fn swallow(&mut self, why: Refusal, literal: Literal) {
        self.drop_buffer();
        self.appending = false;
        self.state = State::Swallow {
            why,
            // A client that waits does not send: u64::MAX marks the end of the command.
            skip: if literal.waits { u64::MAX } else { literal.size },
            tail: Vec::new(),
        };
    }

    fn swallow_step(&mut self, rest: &[u8]) -> (usize, Option<Event<'static>>) {
        let State::Swallow { why, skip, tail } = &mut self.state else {
            return (0, None);
        };
        let why = *why;
        if *skip == u64::MAX {
            return (0, Some(self.swallow_end(why)));
        }
        if *skip > 0 {
            if self.swallowed.saturating_add(*skip) > self.limits.swallow_bytes {
                return (0, Some(Event::Fatal));
            }
            let take = rest.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
            *skip -= take as u64;
            self.swallowed += take as u64;
            return (take, None);
        }
        let (piece, took, ended) = match memchr::memchr(b'\n', rest) {
            Some(at) => (rest.get(..at).unwrap_or_default(), at + 1, true),
            None => (rest, rest.len(), false),
        };
        self.swallowed += took as u64;
        if self.swallowed > self.limits.swallow_bytes {
            return (took, Some(Event::Fatal));
        }
        let keep = piece.len().saturating_sub(TAIL_BYTES);
        tail.extend_from_slice(piece.get(keep..).unwrap_or_default());
        let surplus = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..surplus);
        if !ended {
            return (took, None);
        }
        if tail.last() == Some(&b'\r') {
            tail.pop();
        }
        match literal_at_end(tail) {
            Some((Announced::Literal(literal), _)) if !literal.waits => {
                tail.clear();
                *skip = literal.size;
                (took, None)
            }
            Some((Announced::Absurd { waits: false }, _)) => (took, Some(Event::Fatal)),
            _ => (took, Some(self.swallow_end(why))),
        }
    }

    fn swallow_end(&mut self, why: Refusal) -> Event<'static> {
        self.state = State::Line;
        self.swallowed = 0;
        Event::Refused { tag: std::mem::take(&mut self.tag), why }
    }

    fn tag(&self) -> String {
        let word = self.buffer.split(|byte| *byte == b' ').next();
        match word.and_then(|word| std::str::from_utf8(word).ok()) {
            Some(tag)
                if !tag.is_empty()
                    && tag.len() <= 64
                    && tag.len() < self.buffer.len()
                    && tag.bytes().all(super::parse::is_tag_byte) =>
            {
                tag.to_owned()
            }
            _ => "*".to_owned(),
        }
    }

    fn take_buffer(&mut self) -> Vec<u8> {
        self.line_start = 0;
        std::mem::take(&mut self.buffer)
    }

    fn drop_buffer(&mut self) {
        self.line_start = 0;
        self.buffer = Vec::new();
    }
}

enum Announced {
    Literal(Literal),
    /// More digits than a length can have.
    Absurd {
        waits: bool,
    },
}

/// The literal a line ends in, and where its `{` or `~` stands.
fn literal_at_end(line: &[u8]) -> Option<(Announced, usize)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, waits) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let open = inner.len().checked_sub(digits + 1)?;
    if digits == 0 || inner.get(open) != Some(&b'{') {
        // A line so long that only its end is known may have lost the brace: a number that fills the tail is no length.
        return (digits + 1 >= TAIL_BYTES - 2 && open == 0).then_some((Announced::Absurd { waits }, 0));
    }
    let binary = open > 0 && line.get(open - 1) == Some(&b'~');
    let at = if binary { open - 1 } else { open };
    let number = std::str::from_utf8(inner.get(open + 1..)?).ok()?;
    let announced = match number.parse::<u64>() {
        Ok(size) if size < u64::MAX / 2 => Announced::Literal(Literal { size, waits, binary }),
        _ => Announced::Absurd { waits },
    };
    Some((announced, at))
}

/// True when a literal after `before` is the message of an APPEND, or of a REPLACE (RFC 8508), and not its mailbox name.
fn is_message_of_append(before: &[u8]) -> bool {
    let mut words = before.split(|byte| *byte == b' ').skip(1);
    let mut next = || words.next().unwrap_or_default();
    let mut word = next();
    let uid = word.eq_ignore_ascii_case(b"UID");
    if uid {
        word = next();
    }
    if word.eq_ignore_ascii_case(b"REPLACE") {
        // The message that goes.
        if next().is_empty() {
            return false;
        }
    } else if uid || !word.eq_ignore_ascii_case(b"APPEND") {
        return false;
    }
    words.any(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
