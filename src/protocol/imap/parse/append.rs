//! APPEND up to its message (RFC 3501 section 6.3.11, several messages RFC 3502).

use chrono::{FixedOffset, NaiveDate, TimeZone};

use super::Refused;
use super::command::{Bad, Flag, What};
use super::cursor::{Cursor, Parsed};
use super::search::month_number;

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

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
        date = Some(date_time(&text).ok_or_else(|| c.invalid(What::DateTime))?);
        c.space()?;
    }
    if c.at_end() { Ok((flags, date)) } else { Err(c.invalid(What::Syntax)) }
}

/// ` 1-Jul-1996 02:44:25 -0700`, 26 bytes.
fn date_time(text: &str) -> Option<InternalDate> {
    if text.len() != 26 || !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = text.get(from..to)?;
        let digits = if from == 0 { digits.trim_start_matches(' ') } else { digits };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    };
    let at = |position: usize| text.as_bytes().get(position).copied();
    let marks = [(2, b'-'), (6, b'-'), (11, b' '), (14, b':'), (17, b':'), (20, b' ')];
    if marks.iter().any(|(position, mark)| at(*position) != Some(*mark)) {
        return None;
    }
    let year = i32::try_from(number(7, 11)?).ok()?;
    let day = NaiveDate::from_ymd_opt(year, month_number(text.get(3..6)?)?, number(0, 2)?)?;
    // A leap second is the second before it.
    let seconds = number(18, 20).filter(|seconds| *seconds <= 60)?.min(59);
    let time = day.and_hms_opt(number(12, 14)?, number(15, 17)?, seconds)?;
    let minutes = i32::try_from(number(22, 24)? * 60 + number(24, 26).filter(|m| *m < 60)?).ok()?;
    let minutes = match at(21) {
        Some(b'+') => minutes,
        Some(b'-') => -minutes,
        _ => return None,
    };
    let zone = FixedOffset::east_opt(minutes * 60)?;
    let moment = zone.from_local_datetime(&time).single()?;
    Some(InternalDate { epoch_s: moment.timestamp(), zone_min: i16::try_from(minutes).ok()? })
}
