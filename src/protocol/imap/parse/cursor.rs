//! The lexical level: atoms, strings, literals, lists (RFC 3501 section 9).

use std::borrow::Cow;

use super::command::{Bad, Flag, What};
use crate::text::utf7;

/// Result of a piece of grammar.
pub(super) type Parsed<T> = Result<T, Bad>;

/// A place in a command.
pub(super) struct Cursor<'a> {
    left: &'a [u8],
    /// The command's name for refusals.
    command: &'static str,
    names: Names,
}

/// How a client writes mailbox names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// In modified UTF-7 (RFC 3501 section 5.1.3).
    #[default]
    Utf7,
    /// In UTF-8: it has enabled that (RFC 6855 section 3).
    Utf8,
}

const TAG_BYTES: usize = 1024;
/// A keyword stands in the FLAGS line of every SELECT for good.
const KEYWORD_BYTES: usize = 255;

/// True for the bytes a tag is made of (`ASTRING-CHAR` without `+`).
pub fn is_tag_byte(byte: u8) -> bool {
    is_astring_byte(byte) && byte != b'+'
}

fn is_atom_byte(byte: u8) -> bool {
    (0x21..0x7f).contains(&byte) && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

fn is_astring_byte(byte: u8) -> bool {
    is_atom_byte(byte) || byte == b']'
}

fn is_list_byte(byte: u8) -> bool {
    is_astring_byte(byte) || matches!(byte, b'%' | b'*')
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], names: Names) -> Cursor<'a> {
        Cursor { left: bytes, command: "command", names }
    }

    /// Names the command for refusals.
    pub(super) fn name(&mut self, command: &'static str) {
        self.command = command;
    }

    /// Parses inside of the command called `command`.
    pub(super) fn within<T>(&mut self, command: &'static str, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.command = command;
        inner(self)
    }

    /// A command without arguments.
    pub(super) fn bare<T>(&mut self, command: &'static str, value: T) -> Parsed<T> {
        self.command = command;
        Ok(value)
    }

    pub(super) fn command(&self) -> &'static str {
        self.command
    }

    /// The refusal of a `what` here; an ended line is a missing argument.
    pub(super) fn invalid(&self, what: What) -> Bad {
        Bad::Invalid { what, command: self.command }
    }

    fn expected(&self, what: What) -> Bad {
        if self.left.is_empty() { Bad::Missing(self.command) } else { self.invalid(what) }
    }

    pub(super) fn at_end(&self) -> bool {
        self.left.is_empty()
    }

    /// True when an optional argument follows: something that is more than blanks at the end.
    pub(super) fn has_more(&self) -> bool {
        self.left.iter().any(|byte| *byte != b' ')
    }

    /// Nothing may follow; blanks at the end are forgiven.
    pub(super) fn end(&mut self) -> Parsed<()> {
        if self.left.iter().all(|byte| *byte == b' ') {
            self.left = &[];
            Ok(())
        } else {
            Err(Bad::Extra(self.command))
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.left.first().copied()
    }

    /// True when these bytes come next.
    pub(super) fn starts_with(&self, bytes: &[u8]) -> bool {
        self.left.starts_with(bytes)
    }

    pub(super) fn skip(&mut self) {
        self.left = self.left.get(1..).unwrap_or_default();
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.skip();
        }
        found
    }

    pub(super) fn byte(&mut self, byte: u8) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(self.expected(What::Syntax)) }
    }

    /// One SP between arguments.
    pub(super) fn space(&mut self) -> Parsed<()> {
        self.byte(b' ')
    }

    /// Everything up to the end.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, left) = self.left.split_at(count.min(self.left.len()));
        self.left = left;
        taken
    }

    /// The longest run of bytes that satisfy `test`; may be empty.
    pub(super) fn run(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.left.iter().take_while(|byte| test(**byte)).count();
        self.take(count)
    }

    /// Runs of ASCII are text.
    fn ascii(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(super) fn tag(&mut self) -> Parsed<String> {
        let tag = self.run(is_tag_byte);
        let ended = matches!(self.peek(), None | Some(b' '));
        if tag.is_empty() || tag.len() > TAG_BYTES || !ended {
            return Err(Bad::Tag);
        }
        Ok(Self::ascii(tag).to_owned())
    }

    /// The name of a command, in upper case.
    pub(super) fn word(&mut self) -> Parsed<String> {
        let word = self.run(|byte| byte.is_ascii_alphanumeric());
        if word.is_empty() && self.at_end() {
            return Err(if self.command == "command" { Bad::Null } else { Bad::Missing(self.command) });
        }
        if !matches!(self.peek(), None | Some(b' ')) {
            return Err(Bad::Unrecognized);
        }
        Ok(Self::ascii(word).to_ascii_uppercase())
    }

    pub(super) fn atom(&mut self, what: What) -> Parsed<&'a str> {
        let atom = self.run(is_atom_byte);
        if atom.is_empty() {
            return Err(self.expected(what));
        }
        Ok(Self::ascii(atom))
    }

    /// NIL in any case, when it stands alone.
    pub(super) fn nil(&mut self) -> bool {
        let Some(word) = self.left.get(..3) else {
            return false;
        };
        let ended = !self.left.get(3).copied().is_some_and(is_astring_byte);
        if word.eq_ignore_ascii_case(b"NIL") && ended {
            self.take(3);
            return true;
        }
        false
    }

    /// A quoted string or a literal.
    pub(super) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => self.literal(),
            _ => Err(self.expected(What::String)),
        }
    }

    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.skip();
        let plain = self.run(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.skip();
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.skip();
                    match self.peek() {
                        Some(byte @ (b'"' | b'\\')) => text.push(byte),
                        _ => return Err(self.invalid(What::String)),
                    }
                    self.skip();
                }
                Some(byte) if !matches!(byte, b'\r' | b'\n' | 0) => {
                    text.push(byte);
                    self.skip();
                }
                _ => return Err(self.invalid(What::String)),
            }
        }
    }

    fn literal(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.eat(b'~');
        self.byte(b'{')?;
        let size = Self::ascii(self.run(|byte| byte.is_ascii_digit())).parse::<usize>();
        self.eat(b'+');
        let head = self.take(3);
        match size {
            Ok(size) if head == b"}\r\n" && size <= self.left.len() => {
                let bytes = self.take(size);
                if bytes.contains(&0) {
                    return Err(self.invalid(What::String));
                }
                Ok(Cow::Borrowed(bytes))
            }
            _ => Err(self.invalid(What::String)),
        }
    }

    pub(super) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{' | b'~') if self.peek() != Some(b'~') || self.left.get(1) == Some(&b'{') => self.string(),
            _ => {
                let atom = self.run(is_astring_byte);
                if atom.is_empty() {
                    return Err(self.expected(What::String));
                }
                Ok(Cow::Borrowed(atom))
            }
        }
    }

    fn text(&self, bytes: Cow<'_, [u8]>) -> Parsed<String> {
        String::from_utf8(bytes.into_owned()).map_err(|_| self.invalid(What::Utf8))
    }

    pub(super) fn astring_text(&mut self) -> Parsed<String> {
        let bytes = self.astring()?;
        self.text(bytes)
    }

    pub(super) fn string_text(&mut self) -> Parsed<String> {
        let bytes = self.string()?;
        self.text(bytes)
    }

    /// A mailbox name: modified UTF-7 (RFC 3501 section 5.1.3), one line, no control characters.
    pub(super) fn mailbox(&mut self) -> Parsed<String> {
        let name = self.astring_text()?;
        if self.names == Names::Utf8 {
            return self.inner_name(&name);
        }
        if utf7::decode(name.as_bytes()).is_none() {
            return Err(self.invalid(What::Mailbox));
        }
        Ok(name)
    }

    /// A name that came in UTF-8, as it is within: in modified UTF-7.
    fn inner_name(&self, name: &str) -> Parsed<String> {
        // Net-Unicode (RFC 5198) has no control characters.
        if name.chars().any(char::is_control) {
            return Err(self.invalid(What::Mailbox));
        }
        Ok(utf7::encode(name))
    }

    /// A mailbox name with wildcards, as the client writes names; may be empty.
    pub(super) fn list_mailbox(&mut self) -> Parsed<String> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string_text();
        }
        let pattern = self.run(is_list_byte);
        if pattern.is_empty() {
            return Err(self.expected(What::Mailbox));
        }
        Ok(Self::ascii(pattern).to_owned())
    }

    pub(super) fn number(&mut self) -> Parsed<u32> {
        let digits = self.run(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.expected(What::Number));
        }
        Self::ascii(digits).parse().map_err(|_| self.invalid(What::Number))
    }

    /// A number of 63 bits; a refusal calls it `what`.
    pub(super) fn number63(&mut self, what: What) -> Parsed<u64> {
        let digits = self.run(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.expected(what));
        }
        let number = Self::ascii(digits).parse().ok().filter(|number| i64::try_from(*number).is_ok());
        number.ok_or_else(|| self.invalid(what))
    }

    /// A parenthesised list, possibly empty, elements divided by one SP.
    pub(super) fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.byte(b'(')?;
        let mut elements = Vec::new();
        while !self.eat(b')') {
            if !elements.is_empty() {
                self.space()?;
            }
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// A flag for STORE or APPEND.
    pub(super) fn flag(&mut self) -> Parsed<Flag> {
        if !self.eat(b'\\') {
            let keyword = self.atom(What::Flag)?;
            if keyword.len() > KEYWORD_BYTES {
                return Err(self.invalid(What::Flag));
            }
            return Ok(Flag::Keyword(keyword.to_owned()));
        }
        match self.atom(What::SystemFlag)?.to_ascii_lowercase().as_str() {
            "answered" => Ok(Flag::Answered),
            "flagged" => Ok(Flag::Flagged),
            "deleted" => Ok(Flag::Deleted),
            "seen" => Ok(Flag::Seen),
            "draft" => Ok(Flag::Draft),
            _ => Err(self.invalid(What::SystemFlag)),
        }
    }
}
