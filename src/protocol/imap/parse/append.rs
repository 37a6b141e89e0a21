//! APPEND up to its message (RFC 3501 section 6.3.11, several messages RFC 3502), and REPLACE, which is one with a message before it (RFC 8508).

use super::Refused;
use super::command::{Bad, Flag, What};
use super::cursor::{Cursor, Names, Parsed};
use super::sequence::{self, Bound};
use crate::message::date::{self, Stamp};

/// What stands before the first message of an APPEND or REPLACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendHead {
    /// Where to.
    pub mailbox: String,
    /// The first message.
    pub item: AppendItem,
    /// The message that goes (RFC 8508); `None` for APPEND.
    pub replaced: Option<Replaced>,
}

/// What is said of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendItem {
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its INTERNALDATE.
    pub date: Option<InternalDate>,
    /// It stands in `UTF8 (...)` (RFC 6855 section 4): a parenthesis follows it.
    pub utf8: bool,
}

/// A message of the selected mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// `bound` is a UID.
    pub uid: bool,
    /// Which one.
    pub bound: Bound,
}

/// A date-time with its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalDate {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub epoch_s: i64,
    /// Minutes east of UTC.
    pub zone_min: i16,
}

/// Parses the head of [`super::super::frame::Event::Message`].
///
/// # Errors
/// The tag and a typed reason, to be sent as `tag BAD reason` when the refused command is over.
pub fn append_head(head: &[u8], names: Names) -> Result<(String, AppendHead), Refused> {
    let mut c = Cursor::new(head, names);
    let tag = c.tag().map_err(|bad| Refused { tag: "*".to_owned(), bad })?;
    let parsed = (|| {
        c.space()?;
        let mut word = c.word()?;
        let uid = word == "UID";
        if uid {
            c.space()?;
            word = c.word()?;
        }
        let replaced = if word == "REPLACE" { Some(replaced(&mut c, uid)?) } else { None };
        if replaced.is_none() {
            c.name("Append");
        }
        c.space()?;
        let mailbox = c.mailbox()?;
        let item = message_head(&mut c)?;
        Ok(AppendHead { mailbox, item, replaced })
    })();
    match parsed {
        Ok(head) => Ok((tag, head)),
        Err(bad) => Err(Refused { tag, bad }),
    }
}

/// The message of `[UID] REPLACE` (RFC 8508 section 4: `seq-number`).
fn replaced(c: &mut Cursor<'_>, uid: bool) -> Parsed<Replaced> {
    c.name(if uid { "UID Replace" } else { "Replace" });
    c.space()?;
    Ok(Replaced { uid, bound: sequence::bound(c)? })
}

/// Parses what stands before the second and later messages. `closing`: the message before stood in `UTF8 (...)`.
///
/// # Errors
/// A typed reason.
pub fn append_next(head: &[u8], closing: bool) -> Result<AppendItem, Bad> {
    let mut c = Cursor::new(head, Names::Utf7);
    c.name("Append");
    if closing {
        c.byte(b')')?;
    }
    message_head(&mut c)
}

/// An APPEND that ended without a message literal.
pub(super) fn without_message(c: &mut Cursor<'_>) -> Bad {
    c.name("Append");
    let parsed = (|| {
        c.space()?;
        c.mailbox()
    })();
    match parsed {
        Err(bad) => bad,
        Ok(_) => Bad::Missing("Append"),
    }
}

/// A REPLACE that ended without a message literal.
pub(super) fn without_replacement(c: &mut Cursor<'_>) -> Bad {
    c.name("Replace");
    let parsed = (|| {
        c.space()?;
        sequence::bound(c)?;
        c.space()?;
        c.mailbox()
    })();
    match parsed {
        Err(bad) => bad,
        Ok(_) => Bad::Missing("Replace"),
    }
}

fn message_head(c: &mut Cursor<'_>) -> Parsed<AppendItem> {
    c.space()?;
    let mut item = AppendItem::default();
    if c.peek() == Some(b'(') {
        item.flags = c.list(Cursor::flag)?;
        c.space()?;
    }
    if c.peek() == Some(b'"') {
        let text = c.string_text()?;
        let stamp = date::parse_internal(text.as_bytes());
        item.date = Some(stamp.and_then(internal_date).ok_or_else(|| c.invalid(What::DateTime))?);
        c.space()?;
    }
    if !c.at_end() {
        // RFC 6855 section 4: `UTF8 (` before the literal, `)` behind it.
        item.utf8 = c.atom(What::Syntax)?.eq_ignore_ascii_case("UTF8");
        c.space()?;
        c.byte(b'(')?;
        if !item.utf8 {
            return Err(c.invalid(What::Syntax));
        }
    }
    if c.at_end() { Ok(item) } else { Err(c.invalid(What::Syntax)) }
}

fn internal_date(stamp: Stamp) -> Option<InternalDate> {
    Some(InternalDate { epoch_s: stamp.utc_s, zone_min: i16::try_from(stamp.offset_min).ok()? })
}
