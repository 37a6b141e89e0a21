//! Sequence sets (RFC 3501 section 9, `sequence-set`).

use super::command::What;
use super::cursor::{Cursor, Parsed};

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A message number or UID, never 0.
    Number(u32),
    /// `*`: the largest in use.
    Last,
    /// `$`, on both sides of the only range: what SEARCH has saved (RFC 5182 section 2.1).
    Saved,
}

/// Ranges as the client wrote them, in any order, overlapping or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet(pub Vec<(Bound, Bound)>);

impl SequenceSet {
    /// Sorted disjoint ranges with `*` = `last`. With `last` 0 (an empty mailbox) `*` stands for nothing.
    pub fn resolve(&self, last: u32) -> Vec<(u32, u32)> {
        let value = |bound: Bound| match bound {
            Bound::Number(number) => number,
            Bound::Last => last,
            Bound::Saved => 0,
        };
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|(a, b)| (value(*a), value(*b)))
            .filter(|(a, b)| *a != 0 && *b != 0)
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match merged.last_mut() {
                Some(before) if from <= before.1.saturating_add(1) => before.1 = before.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    /// The largest number that is written out; 0 when there is only `*`.
    pub fn largest(&self) -> u32 {
        let number = |bound: &Bound| match bound {
            Bound::Number(number) => *number,
            Bound::Last | Bound::Saved => 0,
        };
        self.0.iter().map(|(a, b)| number(a).max(number(b))).max().unwrap_or(0)
    }

    /// How many numbers are named; one that is named twice counts twice, `*` not at all.
    pub fn count(&self) -> u64 {
        let width = |range: &(Bound, Bound)| match range {
            (Bound::Number(a), Bound::Number(b)) => u64::from(a.abs_diff(*b)) + 1,
            _ => 0,
        };
        self.0.iter().map(width).sum()
    }

    /// The numbers in the order in which they were written; `*` is left out.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let range = |range: &(Bound, Bound)| match range {
            (Bound::Number(a), Bound::Number(b)) => Some((*a).min(*b)..=(*a).max(*b)),
            _ => None,
        };
        self.0.iter().filter_map(range).flatten()
    }

    /// True when it is `$`.
    pub fn is_saved(&self) -> bool {
        self.0.iter().any(|(from, _)| *from == Bound::Saved)
    }

    /// True when `*` occurs.
    pub fn has_last(&self) -> bool {
        self.0.iter().any(|(a, b)| *a == Bound::Last || *b == Bound::Last)
    }
}

pub(super) fn set(c: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    // RFC 5182 section 5: `$` stands alone.
    if c.eat(b'$') {
        return Ok(SequenceSet(vec![(Bound::Saved, Bound::Saved)]));
    }
    let mut ranges = Vec::new();
    loop {
        let from = bound(c)?;
        let to = if c.eat(b':') { bound(c)? } else { from };
        ranges.push((from, to));
        if !c.eat(b',') {
            return Ok(SequenceSet(ranges));
        }
    }
}

pub(super) fn bound(c: &mut Cursor<'_>) -> Parsed<Bound> {
    if c.eat(b'*') {
        return Ok(Bound::Last);
    }
    match c.number() {
        Ok(0) => Err(c.invalid(What::Sequence)),
        Ok(number) => Ok(Bound::Number(number)),
        Err(super::Bad::Missing(command)) => Err(super::Bad::Missing(command)),
        Err(_) => Err(c.invalid(What::Sequence)),
    }
}
