//! FETCH (RFC 3501 section 6.4.5) with the modifiers of RFC 7162 and 9394 and the items of RFC 3516, 8474, 8514 and 8970.

use super::command::{Bad, Command, What};
use super::condstore;
use super::cursor::{Cursor, Parsed};
use super::sequence;

/// A data item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Item {
    Envelope,
    Flags,
    InternalDate,
    Rfc822,
    Rfc822Header,
    Rfc822Size,
    Rfc822Text,
    /// `BODY` without a section: BODYSTRUCTURE without extension data.
    Body,
    BodyStructure,
    Uid,
    /// The mod-sequence (RFC 7162 section 3.1.4.2).
    Modseq,
    /// RFC 8474 section 5.1.
    EmailId,
    /// RFC 8474 section 5.2.
    ThreadId,
    /// RFC 8514 section 4.2.
    SaveDate,
    /// `BODY[...]` or `BODY.PEEK[...]`.
    Section {
        peek: bool,
        section: Section,
        partial: Option<Partial>,
    },
    /// `BINARY[...]` or `BINARY.PEEK[...]`: a part without its transfer encoding (RFC 3516 section 4.2).
    Binary {
        peek: bool,
        part: Vec<u32>,
        partial: Option<Partial>,
    },
    /// `BINARY.SIZE[...]`.
    BinarySize(Vec<u32>),
    /// RFC 8970; LAZY makes no difference: a preview costs little.
    Preview,
}

/// What stands in the brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Part numbers, none of them 0; empty for the message itself.
    pub part: Vec<u32>,
    /// What of that part.
    pub text: Text,
}

/// The last word of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Text {
    /// All of the part (with no part number: of the message).
    Whole,
    Header,
    /// Names as the client wrote them.
    HeaderFields(Vec<String>),
    HeaderFieldsNot(Vec<String>),
    Text,
    Mime,
}

/// `<offset.length>`, in bytes; the length is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Partial {
    pub offset: u64,
    pub length: u64,
}

/// Items of one FETCH: what a message needs of each is in memory at once.
const ITEMS: usize = 200;
/// Part numbers deeper than this name no part of any message that we parse.
const PART_DEPTH: usize = 100;

pub(super) fn command(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let set = sequence::set(c)?;
    c.space()?;
    let items = if c.peek() == Some(b'(') {
        let items = c.list(item)?;
        if items.is_empty() {
            return Err(Bad::Missing(c.command()));
        }
        if items.len() > ITEMS {
            return Err(Bad::TooMany(c.command()));
        }
        items
    } else {
        macro_or_item(c)?
    };
    let modifiers = condstore::fetch_modifiers(c, uid)?;
    Ok(Command::Fetch { uid, set, items, modifiers })
}

fn macro_or_item(c: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    use Item::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let word = name(c)?;
    Ok(match word.as_str() {
        "ALL" => vec![Flags, InternalDate, Rfc822Size, Envelope],
        "FAST" => vec![Flags, InternalDate, Rfc822Size],
        "FULL" => vec![Flags, InternalDate, Rfc822Size, Envelope, Body],
        _ => vec![named(c, &word)?],
    })
}

fn name(c: &mut Cursor<'_>) -> Parsed<String> {
    let word = c.run(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    if word.is_empty() && c.at_end() {
        return Err(Bad::Missing(c.command()));
    }
    Ok(String::from_utf8_lossy(word).to_ascii_uppercase())
}

fn item(c: &mut Cursor<'_>) -> Parsed<Item> {
    let word = name(c)?;
    named(c, &word)
}

fn named(c: &mut Cursor<'_>, word: &str) -> Parsed<Item> {
    Ok(match word {
        "ENVELOPE" => Item::Envelope,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "RFC822" => Item::Rfc822,
        "RFC822.HEADER" => Item::Rfc822Header,
        "RFC822.SIZE" => Item::Rfc822Size,
        "RFC822.TEXT" => Item::Rfc822Text,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "UID" => Item::Uid,
        "MODSEQ" => Item::Modseq,
        "EMAILID" => Item::EmailId,
        "THREADID" => Item::ThreadId,
        "SAVEDATE" => Item::SaveDate,
        "BODY" if c.peek() != Some(b'[') => Item::Body,
        "BODY" | "BODY.PEEK" => {
            let section = section(c)?;
            Item::Section { peek: word != "BODY", section, partial: partial(c)? }
        }
        "BINARY" | "BINARY.PEEK" => {
            let part = binary_section(c)?;
            Item::Binary { peek: word != "BINARY", part, partial: partial(c)? }
        }
        "BINARY.SIZE" => Item::BinarySize(binary_section(c)?),
        "PREVIEW" => preview(c)?,
        _ => return Err(c.invalid(What::FetchItem)),
    })
}

fn section(c: &mut Cursor<'_>) -> Parsed<Section> {
    if !c.eat(b'[') {
        return Err(c.invalid(What::Section));
    }
    let (part, dot) = part_number(c)?;
    let text = if part.is_empty() || dot { section_text(c, &part)? } else { Text::Whole };
    if !c.eat(b']') {
        return Err(c.invalid(What::Section));
    }
    Ok(Section { part, text })
}

/// `[1.2]` or `[]` (RFC 3516 section 7, `section-binary`).
fn binary_section(c: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    if !c.eat(b'[') {
        return Err(c.invalid(What::Section));
    }
    let (part, dot) = part_number(c)?;
    if dot || !c.eat(b']') {
        return Err(c.invalid(What::Section));
    }
    Ok(part)
}

/// `PREVIEW` and perhaps ` (LAZY)` (RFC 8970 section 6).
fn preview(c: &mut Cursor<'_>) -> Parsed<Item> {
    if c.starts_with(b" (") {
        c.space()?;
        let modifiers = c.list(|c| {
            let word = c.atom(What::FetchItem)?;
            if word.eq_ignore_ascii_case("LAZY") { Ok(()) } else { Err(c.invalid(What::FetchItem)) }
        })?;
        if modifiers.is_empty() {
            return Err(c.invalid(What::FetchItem));
        }
    }
    Ok(Item::Preview)
}

/// Part numbers divided by dots; true when a dot follows the last.
fn part_number(c: &mut Cursor<'_>) -> Parsed<(Vec<u32>, bool)> {
    let mut part = Vec::new();
    let mut dot = false;
    while c.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        match c.number() {
            Ok(number) if number != 0 && part.len() < PART_DEPTH => part.push(number),
            _ => return Err(c.invalid(What::Section)),
        }
        dot = c.eat(b'.');
        if !dot {
            break;
        }
    }
    Ok((part, dot))
}

fn section_text(c: &mut Cursor<'_>, part: &[u32]) -> Parsed<Text> {
    let word = c.run(|byte| byte.is_ascii_alphabetic() || byte == b'.');
    Ok(match word.to_ascii_uppercase().as_slice() {
        b"" if part.is_empty() => Text::Whole,
        b"HEADER" => Text::Header,
        b"TEXT" => Text::Text,
        b"MIME" if !part.is_empty() => Text::Mime,
        b"HEADER.FIELDS" => Text::HeaderFields(fields(c)?),
        b"HEADER.FIELDS.NOT" => Text::HeaderFieldsNot(fields(c)?),
        _ => return Err(c.invalid(What::Section)),
    })
}

fn fields(c: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    c.space()?;
    let fields = c.list(Cursor::astring_text)?;
    if fields.is_empty() {
        return Err(c.invalid(What::Section));
    }
    Ok(fields)
}

fn partial(c: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !c.eat(b'<') {
        return Ok(None);
    }
    let invalid = |c: &Cursor<'_>| c.invalid(What::Partial);
    // 63 bits (RFC 9051 section 9, `number64`).
    let offset = c.number63(What::Partial).map_err(|_| invalid(c))?;
    if !c.eat(b'.') {
        return Err(invalid(c));
    }
    let length = c.number63(What::Partial).map_err(|_| invalid(c))?;
    if length == 0 || !c.eat(b'>') {
        return Err(invalid(c));
    }
    Ok(Some(Partial { offset, length }))
}
