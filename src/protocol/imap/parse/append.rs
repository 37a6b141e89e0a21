//! APPEND up to its message (RFC 3501 section 6.3.11, several messages RFC 3502).

use super::Refused;
use super::command::{Bad, Flag, What};
use super::cursor::{Cursor, Parsed};
use crate::message::date::{self, Stamp};

/// What stands before the first message of an APPEND.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendHead {
    /// Where to.
    pub mailbox: String,
    /// Of the first message.
    pub flags: Vec<Flag>,
    /// Of the first message.
    pub date: Option<InternalDate>,
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
pub fn append_head(head: &[u8]) -> Result<(String, AppendHead), Refused> {
    let mut c = Cursor::new(head);
    let tag = c.tag().map_err(|bad| Refused { tag: "*".to_owned(), bad })?;
    let parsed = (|| {
        c.space()?;
        c.word()?;
        c.name("Append");
        c.space()?;
        let mailbox = c.mailbox()?;
        let (flags, date) = message_head(&mut c)?;
        Ok(AppendHead { mailbox, flags, date })
    })();
    match parsed {
        Ok(head) => Ok((tag, head)),
        Err(bad) => Err(Refused { tag, bad }),
    }
}

/// Parses what stands before the second and later messages.
///
/// # Errors
/// A typed reason.
pub fn append_next(head: &[u8]) -> Result<(Vec<Flag>, Option<InternalDate>), Bad> {
    let mut c = Cursor::new(head);
    c.name("Append");
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

fn message_head(c: &mut Cursor<'_>) -> Parsed<(Vec<Flag>, Option<InternalDate>)> {
    c.space()?;
    let mut flags = Vec::new();
    if c.peek() == Some(b'(') {
        flags = c.list(Cursor::flag)?;
        c.space()?;
    }
    let mut date = None;
    if c.peek() == Some(b'"') {
        let text = c.string_text()?;
        let stamp = date::parse_internal(text.as_bytes());
        date = Some(stamp.and_then(internal_date).ok_or_else(|| c.invalid(What::DateTime))?);
        c.space()?;
    }
    if c.at_end() { Ok((flags, date)) } else { Err(c.invalid(What::Syntax)) }
}

fn internal_date(stamp: Stamp) -> Option<InternalDate> {
    Some(InternalDate { epoch_s: stamp.utc_s, zone_min: i16::try_from(stamp.offset_min).ok()? })
}
