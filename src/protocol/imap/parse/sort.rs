//! SORT and THREAD (RFC 5256 section 3) with the result options of SEARCH (RFC 5267 section 3, ESORT) and the criteria of RFC 5957.

use super::command::{Bad, Command, What};
use super::cursor::{Cursor, Parsed};
use super::search;

/// A sort criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// REVERSE stood before it.
    pub reverse: bool,
    /// What is compared.
    pub by: By,
}

/// What SORT compares (RFC 5256 section 3; DISPLAYFROM and DISPLAYTO: RFC 5957).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum By {
    Arrival,
    Cc,
    Date,
    DisplayFrom,
    DisplayTo,
    From,
    Size,
    Subject,
    To,
}

/// How THREAD groups messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Algorithm {
    OrderedSubject,
    References,
}

/// Criteria of one SORT: each message keeps a key for each.
pub const CRITERIA: usize = 20;

/// `SORT [RETURN (...)] (criteria) charset keys`.
pub(super) fn sort(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let mut returned = None;
    if c.peek() != Some(b'(') {
        if !c.atom(What::Sort)?.eq_ignore_ascii_case("RETURN") {
            return Err(c.invalid(What::Sort));
        }
        c.space()?;
        returned = Some(search::result_options(c)?);
        c.space()?;
    }
    let criteria = c.list(criterion)?;
    if criteria.is_empty() {
        return Err(c.invalid(What::Sort));
    }
    if criteria.len() > CRITERIA {
        return Err(Bad::TooMany(c.command()));
    }
    c.space()?;
    let charset = c.astring_text()?;
    Ok(Command::Sort { uid, returned, criteria, charset, key: search::keys(c, Vec::new(), search::KEYS)? })
}

fn criterion(c: &mut Cursor<'_>) -> Parsed<Criterion> {
    let mut word = c.atom(What::Sort)?.to_ascii_uppercase();
    let reverse = word == "REVERSE";
    if reverse {
        c.space()?;
        word = c.atom(What::Sort)?.to_ascii_uppercase();
    }
    let by = match word.as_str() {
        "ARRIVAL" => By::Arrival,
        "CC" => By::Cc,
        "DATE" => By::Date,
        "DISPLAYFROM" => By::DisplayFrom,
        "DISPLAYTO" => By::DisplayTo,
        "FROM" => By::From,
        "SIZE" => By::Size,
        "SUBJECT" => By::Subject,
        "TO" => By::To,
        _ => return Err(c.invalid(What::Sort)),
    };
    Ok(Criterion { reverse, by })
}

/// `THREAD algorithm charset keys`.
pub(super) fn thread(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let algorithm = match c.atom(What::Thread)?.to_ascii_uppercase().as_str() {
        "ORDEREDSUBJECT" => Algorithm::OrderedSubject,
        "REFERENCES" => Algorithm::References,
        _ => return Err(c.invalid(What::Thread)),
    };
    c.space()?;
    let charset = c.astring_text()?;
    Ok(Command::Thread { uid, algorithm, charset, key: search::keys(c, Vec::new(), search::KEYS)? })
}
