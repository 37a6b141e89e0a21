//! SEARCH (RFC 3501 section 6.4.4) with the result options of RFC 4731 (ESEARCH), 5182 (SEARCHRES) and 9394 (PARTIAL).

use chrono::NaiveDate;

use super::command::{Bad, Command, What};
use super::condstore;
use super::cursor::{Cursor, Parsed};
use super::sequence::{self, SequenceSet};

/// A search key. Several keys side by side are an [`Key::And`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Key {
    All,
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
    Not(Box<Key>),
    /// The flag is set (ANSWERED) or not (UNANSWERED).
    Flag(SystemFlag, bool),
    /// `\Recent`: RECENT is true, OLD is false; NEW is RECENT UNSEEN.
    Recent(bool),
    Keyword(String, bool),
    /// A header of that name contains the bytes (BCC, CC, FROM, SUBJECT, TO, HEADER); empty: the header exists.
    Header(String, Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
    /// Compared with the internal date, zone disregarded.
    Internal(DateOp, NaiveDate),
    /// Compared with the Date header, zone disregarded.
    Sent(DateOp, NaiveDate),
    Larger(u64),
    Smaller(u64),
    /// The internal date is at least so many seconds ago (RFC 5032).
    Older(u32),
    /// It is at most so many seconds ago.
    Younger(u32),
    Uid(SequenceSet),
    Sequence(SequenceSet),
    /// The mod-sequence is this or greater (RFC 7162 section 3.1.5).
    Modseq(u64),
    /// The object id of the content, or of the thread (RFC 8474 section 5.4).
    EmailId(String),
    ThreadId(String),
    /// Compared with the day, in UTC, on which the message came into the mailbox (RFC 8514 section 4.3).
    Saved(DateOp, NaiveDate),
}

impl Key {
    /// True when messages are named by their numbers.
    pub fn has_numbers(&self) -> bool {
        match self {
            Key::Sequence(set) => !set.is_saved(),
            Key::And(keys) => keys.iter().any(Key::has_numbers),
            Key::Or(one, other) => one.has_numbers() || other.has_numbers(),
            Key::Not(key) => key.has_numbers(),
            _ => false,
        }
    }

    /// True when MODSEQ occurs: the response then has the greatest mod-sequence found.
    pub fn has_modseq(&self) -> bool {
        self.any(&|key| matches!(key, Key::Modseq(_)))
    }

    /// Is one of the keys in it as `wanted`?
    pub fn any(&self, wanted: &dyn Fn(&Key) -> bool) -> bool {
        match self {
            Key::And(keys) => keys.iter().any(|key| key.any(wanted)),
            Key::Or(one, other) => one.any(wanted) || other.any(wanted),
            Key::Not(key) => key.any(wanted),
            key => wanted(key),
        }
    }
}

/// How a date is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DateOp {
    Before,
    On,
    Since,
}

/// A flag with keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SystemFlag {
    Answered,
    Flagged,
    Deleted,
    Seen,
    Draft,
}

/// Result options (RFC 4731 section 3.1, 5182 section 2.1, 9394 section 3.1): at least one is set, and not both ALL and PARTIAL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Returned {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    /// The result becomes `$`.
    pub save: bool,
    pub partial: Option<Window>,
}

impl Returned {
    /// ALL, which is what RETURN without options means.
    pub fn everything() -> Returned {
        Returned { all: true, ..Returned::default() }
    }

    /// True when there is something to be told: with SAVE alone there is not (RFC 5182 section 2.1).
    pub fn tells(&self) -> bool {
        self.min || self.max || self.all || self.count || self.partial.is_some()
    }
}

/// A piece of a result: positions from 1 on, of which either end may come first; counted from the end where `from_end` (`-1:-100`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Window {
    pub from_end: bool,
    pub first: u32,
    pub last: u32,
}

/// How deep parentheses, NOT and OR may be nested.
pub const DEPTH: u32 = 200;
/// How many keys a search may have.
pub const KEYS: u32 = 10_000;

pub(super) fn command(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let mut charset = None;
    let mut left = KEYS;
    let mut first = Vec::new();
    let mut word = key_word(c)?;
    let mut returned = None;
    if word == "RETURN" {
        c.space()?;
        returned = Some(result_options(c)?);
        c.space()?;
        word = key_word(c)?;
    }
    if word == "CHARSET" {
        c.space()?;
        charset = Some(c.astring_text()?);
    } else {
        first.push(key(c, word, DEPTH, &mut left)?);
    }
    Ok(Command::Search { uid, returned, charset, key: keys(c, first, left)? })
}

/// The keys up to the end of the line, behind those that were read already: at least one.
pub(super) fn keys(c: &mut Cursor<'_>, mut keys: Vec<Key>, mut left: u32) -> Parsed<Key> {
    while keys.is_empty() || !c.at_end() {
        if keys.len() as u32 > KEYS {
            return Err(Bad::TooMany(c.command()));
        }
        c.space()?;
        if c.at_end() && !keys.is_empty() {
            break;
        }
        keys.push(next(c, DEPTH, &mut left)?);
    }
    Ok(all_of(keys))
}

/// `(MIN COUNT)`; nothing in it is ALL.
pub(super) fn result_options(c: &mut Cursor<'_>) -> Parsed<Returned> {
    let mut returned = Returned::default();
    c.list(|c| {
        match c.atom(What::SearchOption)?.to_ascii_uppercase().as_str() {
            "MIN" => returned.min = true,
            "MAX" => returned.max = true,
            "ALL" => returned.all = true,
            "COUNT" => returned.count = true,
            "SAVE" => returned.save = true,
            // RFC 9394 section 3.1: one PARTIAL, and none beside ALL.
            "PARTIAL" if returned.partial.is_none() => {
                c.space()?;
                returned.partial = Some(window(c)?);
            }
            _ => return Err(c.invalid(What::SearchOption)),
        }
        Ok(())
    })?;
    if returned == Returned::default() {
        returned.all = true;
    }
    if returned.all && returned.partial.is_some() {
        return Err(c.invalid(What::SearchOption));
    }
    Ok(returned)
}

/// `23500:24000` or `-1:-100` (RFC 9394 section 4, `partial-range`).
pub(super) fn window(c: &mut Cursor<'_>) -> Parsed<Window> {
    let end = |c: &mut Cursor<'_>| {
        let from_end = c.eat(b'-');
        match c.number() {
            Ok(number) if number != 0 => Ok((from_end, number)),
            Err(Bad::Missing(command)) => Err(Bad::Missing(command)),
            _ => Err(c.invalid(What::Window)),
        }
    };
    let (from_end, first) = end(c)?;
    if !c.eat(b':') {
        return Err(c.invalid(What::Window));
    }
    match end(c)? {
        (same, last) if same == from_end => Ok(Window { from_end, first, last }),
        _ => Err(c.invalid(What::Window)),
    }
}

fn all_of(mut keys: Vec<Key>) -> Key {
    match keys.pop() {
        Some(only) if keys.is_empty() => only,
        Some(last) => {
            keys.push(last);
            Key::And(keys)
        }
        None => Key::All,
    }
}

fn key_word(c: &mut Cursor<'_>) -> Parsed<String> {
    let word = c.run(|byte| byte.is_ascii_alphabetic());
    if word.is_empty() && c.at_end() {
        return Err(Bad::Missing(c.command()));
    }
    Ok(String::from_utf8_lossy(word).to_ascii_uppercase())
}

fn next(c: &mut Cursor<'_>, depth: u32, left: &mut u32) -> Parsed<Key> {
    let word = key_word(c)?;
    key(c, word, depth, left)
}

fn key(c: &mut Cursor<'_>, word: String, depth: u32, left: &mut u32) -> Parsed<Key> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(Bad::Deep(c.command()));
    };
    *left = left.checked_sub(1).ok_or(Bad::TooMany(c.command()))?;
    if word.is_empty() {
        return match c.peek() {
            Some(b'(') => {
                let keys = c.list(|c| next(c, deeper, left))?;
                if keys.is_empty() {
                    return Err(c.invalid(What::SearchKey));
                }
                Ok(all_of(keys))
            }
            Some(b'0'..=b'9' | b'*' | b'$') => Ok(Key::Sequence(sequence::set(c)?)),
            _ => Err(c.invalid(What::SearchKey)),
        };
    }
    match word.as_str() {
        "NOT" => {
            c.space()?;
            Ok(Key::Not(Box::new(next(c, deeper, left)?)))
        }
        "OR" => {
            c.space()?;
            let one = next(c, deeper, left)?;
            c.space()?;
            Ok(Key::Or(Box::new(one), Box::new(next(c, deeper, left)?)))
        }
        word => match flag_key(word) {
            Some(key) => Ok(key),
            None => with_argument(c, word),
        },
    }
}

fn flag_key(word: &str) -> Option<Key> {
    use SystemFlag::{Answered, Deleted, Draft, Flagged, Seen};
    Some(match word {
        // Every message has a save date (RFC 8514 section 4.3).
        "ALL" | "SAVEDATESUPPORTED" => Key::All,
        "ANSWERED" => Key::Flag(Answered, true),
        "UNANSWERED" => Key::Flag(Answered, false),
        "DELETED" => Key::Flag(Deleted, true),
        "UNDELETED" => Key::Flag(Deleted, false),
        "DRAFT" => Key::Flag(Draft, true),
        "UNDRAFT" => Key::Flag(Draft, false),
        "FLAGGED" => Key::Flag(Flagged, true),
        "UNFLAGGED" => Key::Flag(Flagged, false),
        "SEEN" => Key::Flag(Seen, true),
        "UNSEEN" => Key::Flag(Seen, false),
        "RECENT" => Key::Recent(true),
        "OLD" => Key::Recent(false),
        "NEW" => Key::And(vec![Key::Recent(true), Key::Flag(Seen, false)]),
        _ => return None,
    })
}

fn with_argument(c: &mut Cursor<'_>, word: &str) -> Parsed<Key> {
    let bytes = |c: &mut Cursor<'_>| -> Parsed<Vec<u8>> {
        c.space()?;
        Ok(c.astring()?.into_owned())
    };
    Ok(match word {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Key::Header(word.to_owned(), bytes(c)?),
        "HEADER" => {
            c.space()?;
            let name = c.astring_text()?;
            Key::Header(name, bytes(c)?)
        }
        "BODY" => Key::Body(bytes(c)?),
        "TEXT" => Key::Text(bytes(c)?),
        "KEYWORD" | "UNKEYWORD" => {
            c.space()?;
            Key::Keyword(c.atom(What::Flag)?.to_owned(), word == "KEYWORD")
        }
        "BEFORE" => Key::Internal(DateOp::Before, date(c)?),
        "ON" => Key::Internal(DateOp::On, date(c)?),
        "SINCE" => Key::Internal(DateOp::Since, date(c)?),
        "SENTBEFORE" => Key::Sent(DateOp::Before, date(c)?),
        "SENTON" => Key::Sent(DateOp::On, date(c)?),
        "SENTSINCE" => Key::Sent(DateOp::Since, date(c)?),
        "SAVEDBEFORE" => Key::Saved(DateOp::Before, date(c)?),
        "SAVEDON" => Key::Saved(DateOp::On, date(c)?),
        "SAVEDSINCE" => Key::Saved(DateOp::Since, date(c)?),
        "EMAILID" => Key::EmailId(object_id(c)?),
        "THREADID" => Key::ThreadId(object_id(c)?),
        "LARGER" | "SMALLER" => {
            c.space()?;
            // 63 bits (RFC 9051 section 9, `number64`).
            let number = c.number63(What::Number)?;
            if word == "LARGER" { Key::Larger(number) } else { Key::Smaller(number) }
        }
        "MODSEQ" => Key::Modseq(condstore::search_modseq(c)?),
        "OLDER" | "YOUNGER" => {
            c.space()?;
            match c.number()? {
                // RFC 5032 section 4: nz-number.
                0 => return Err(c.invalid(What::Number)),
                seconds if word == "OLDER" => Key::Older(seconds),
                seconds => Key::Younger(seconds),
            }
        }
        "UID" => {
            c.space()?;
            Key::Uid(sequence::set(c)?)
        }
        _ => return Err(c.invalid(What::SearchKey)),
    })
}

/// Up to 255 letters, digits, `_` and `-` (RFC 8474 section 7).
fn object_id(c: &mut Cursor<'_>) -> Parsed<String> {
    c.space()?;
    let id = c.atom(What::ObjectId)?;
    let valid = id.len() <= 255 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if valid { Ok(id.to_owned()) } else { Err(c.invalid(What::ObjectId)) }
}

/// `1-Feb-1994`, quoted or not.
fn date(c: &mut Cursor<'_>) -> Parsed<NaiveDate> {
    c.space()?;
    let quoted = c.eat(b'"');
    let text = c.run(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if text.is_empty() && c.at_end() {
        return Err(Bad::Missing(c.command()));
    }
    let date = crate::message::date::parse_search_date(text);
    match date {
        Some(date) if !quoted || c.eat(b'"') => Ok(date),
        _ => Err(c.invalid(What::Date)),
    }
}
