//! What CONDSTORE and QRESYNC add to SELECT, FETCH, STORE and SEARCH (RFC 7162 section 7).

use super::command::What;
use super::cursor::{Cursor, Parsed};
use super::search::{self, Window};
use super::sequence::{self, SequenceSet};

/// The arguments of SELECT and EXAMINE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The mailbox.
    pub mailbox: String,
    /// CONDSTORE: mod-sequences are wanted from now on (section 3.1.8).
    pub condstore: bool,
    /// QRESYNC: what the client remembers (section 3.2.5).
    pub resync: Option<Resync>,
}

/// What a client remembers of a mailbox from an earlier session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// Its UIDVALIDITY, never 0.
    pub uidvalidity: u32,
    /// Its HIGHESTMODSEQ.
    pub modseq: u64,
    /// The UIDs it wants to hear of; `None`: of all. Never with `*`.
    pub known: Option<SequenceSet>,
    /// Sequence numbers and their UIDs, pair by pair, ascending, none beyond 2^32 - 1; as many of the one as of the other.
    pub matched: Option<(SequenceSet, SequenceSet)>,
}

/// The modifiers of FETCH (RFC 4466 section 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// CHANGEDSINCE: only messages with a greater mod-sequence (section 3.1.4.1).
    pub changed_since: Option<u64>,
    /// VANISHED: also tell which were expunged since (section 3.2.6); only in UID FETCH and with CHANGEDSINCE.
    pub vanished: bool,
    /// PARTIAL: only these messages of the set (RFC 9394 section 3.4).
    pub partial: Option<Window>,
}

/// SELECT and EXAMINE with parameters as RFC 4466 section 2.1 has them.
pub(super) fn opening(c: &mut Cursor<'_>, name: &'static str) -> Parsed<Opening> {
    let mut opening = Opening { mailbox: super::one_mailbox(c, name)?, ..Opening::default() };
    if c.has_more() {
        c.space()?;
        let parameters = c.list(|c| {
            match c.atom(What::Parameter)?.to_ascii_uppercase().as_str() {
                "CONDSTORE" => opening.condstore = true,
                "QRESYNC" if opening.resync.is_none() => {
                    c.space()?;
                    opening.resync = Some(resync(c)?);
                }
                _ => return Err(c.invalid(What::Parameter)),
            }
            Ok(())
        })?;
        if parameters.is_empty() {
            return Err(c.invalid(What::Parameter));
        }
    }
    Ok(opening)
}

/// `(67890007 90060115194045000 41:211,214:541 (1,10 41,52))`.
fn resync(c: &mut Cursor<'_>) -> Parsed<Resync> {
    c.byte(b'(')?;
    let uidvalidity = c.number()?;
    if uidvalidity == 0 {
        return Err(c.invalid(What::Number));
    }
    c.space()?;
    let mut resync = Resync { uidvalidity, modseq: mod_sequence(c)?, known: None, matched: None };
    if c.eat(b' ') && c.peek() != Some(b'(') {
        resync.known = Some(numbers_alone(c)?);
        if !c.eat(b' ') {
            c.byte(b')')?;
            return Ok(resync);
        }
    }
    if c.eat(b'(') {
        let numbers = numbers_alone(c)?;
        c.space()?;
        let uids = numbers_alone(c)?;
        if numbers.count() != uids.count() {
            return Err(c.invalid(What::Sequence));
        }
        c.byte(b')')?;
        resync.matched = Some((numbers, uids));
    }
    c.byte(b')')?;
    Ok(resync)
}

/// A set in which `*` is not allowed (section 7, `known-uids`).
fn numbers_alone(c: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    let set = sequence::set(c)?;
    if set.has_last() { Err(c.invalid(What::Sequence)) } else { Ok(set) }
}

/// 63 bits (section 7, `mod-sequence-valzer`); 0 is before everything and taken wherever one is expected.
pub(super) fn mod_sequence(c: &mut Cursor<'_>) -> Parsed<u64> {
    c.number63(What::ModSequence)
}

/// `(CHANGEDSINCE 12345 VANISHED)` behind the items of FETCH, if there is more.
pub(super) fn fetch_modifiers(c: &mut Cursor<'_>, uid: bool) -> Parsed<Modifiers> {
    let mut modifiers = Modifiers::default();
    if !c.has_more() {
        return Ok(modifiers);
    }
    c.space()?;
    let given = c.list(|c| {
        match c.atom(What::Modifier)?.to_ascii_uppercase().as_str() {
            "CHANGEDSINCE" if modifiers.changed_since.is_none() => {
                c.space()?;
                modifiers.changed_since = Some(mod_sequence(c)?);
            }
            "VANISHED" if uid => modifiers.vanished = true,
            "PARTIAL" if modifiers.partial.is_none() => {
                c.space()?;
                modifiers.partial = Some(search::window(c)?);
            }
            _ => return Err(c.invalid(What::Modifier)),
        }
        Ok(())
    })?;
    if given.is_empty() || (modifiers.vanished && modifiers.changed_since.is_none()) {
        return Err(c.invalid(What::Modifier));
    }
    Ok(modifiers)
}

/// `(UNCHANGEDSINCE 12345) ` before the item of STORE, if it is there.
pub(super) fn unchanged_since(c: &mut Cursor<'_>) -> Parsed<Option<u64>> {
    if c.peek() != Some(b'(') {
        return Ok(None);
    }
    let mut since = None;
    c.list(|c| {
        if !c.atom(What::Modifier)?.eq_ignore_ascii_case("UNCHANGEDSINCE") || since.is_some() {
            return Err(c.invalid(What::Modifier));
        }
        c.space()?;
        since = Some(mod_sequence(c)?);
        Ok(())
    })?;
    if since.is_none() {
        return Err(c.invalid(What::Modifier));
    }
    c.space()?;
    Ok(since)
}

/// What follows MODSEQ in SEARCH (section 3.1.5): `620162338` or `"/flags/\\\\Draft" all 620162338`. There is one mod-sequence a message,
/// whatever changes, so the entry is read and does not count.
pub(super) fn search_modseq(c: &mut Cursor<'_>) -> Parsed<u64> {
    c.space()?;
    if c.peek() == Some(b'"') {
        let entry = c.string_text()?.to_ascii_lowercase();
        if entry.strip_prefix("/flags/").is_none_or(str::is_empty) {
            return Err(c.invalid(What::SearchKey));
        }
        c.space()?;
        if !matches!(c.atom(What::SearchKey)?.to_ascii_lowercase().as_str(), "priv" | "shared" | "all") {
            return Err(c.invalid(What::SearchKey));
        }
        c.space()?;
    }
    mod_sequence(c)
}
