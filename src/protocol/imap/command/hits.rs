//! What a search has found: gathered as ranges, cut to what RETURN wants of it (RFC 4731, 5182, 9394).

use crate::protocol::imap::parse::{Returned, Window};
use crate::protocol::imap::respond;
use crate::store::Modseq;

/// Ranges of a result that is kept as `$`: no session holds more.
pub(super) const SAVED_RANGES: usize = 50_000;

/// The numbers or UIDs of the matches.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) min: Option<u32>,
    pub(super) max: Option<u32>,
    pub(super) count: u32,
    /// The greatest mod-sequence among them.
    pub(super) modseq: Modseq,
    /// In the order in which they came.
    pub(super) ranges: Vec<(u32, u32)>,
}

impl Hits {
    /// Notes a match. They come in pieces that are in ascending or in descending order.
    pub(super) fn push(&mut self, number: u32, modseq: Modseq) {
        self.modseq = self.modseq.max(modseq);
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
        self.count = self.count.saturating_add(1);
        match self.ranges.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
            Some(last) if number.checked_add(1) == Some(last.0) => last.0 = number,
            _ => self.ranges.push((number, number)),
        }
    }

    /// Puts the ranges into ascending order, and neighbours together.
    pub(super) fn settle(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, before| {
            let joined = before.1.checked_add(1) == Some(next.0);
            if joined {
                before.1 = next.1;
            }
            joined
        });
    }

    /// The piece of the result that a window shows, ascending.
    pub(super) fn within(&self, window: Window) -> Vec<(u32, u32)> {
        let (from, to) = positions(window, self.count);
        let mut before = 0;
        let mut piece = Vec::new();
        for (first, last) in &self.ranges {
            let (start, end) = (before, before + u64::from(last - first) + 1);
            before = end;
            let (low, high) = (from.max(start), to.min(end));
            if low < high {
                let at = |position: u64| first + u32::try_from(position - start).unwrap_or(0);
                piece.push((at(low), at(high - 1)));
            }
        }
        piece
    }

    /// What becomes `$` (RFC 5182 section 2.1, RFC 9394 section 3.2): MIN, MAX and PARTIAL save what they tell; with ALL or COUNT, or with
    /// nothing beside SAVE, it is everything.
    pub(super) fn saved(&self, returned: &Returned) -> Vec<(u32, u32)> {
        let Returned { min, max, all, count, partial, .. } = *returned;
        if all || count || !(min || max || partial.is_some()) {
            return self.ranges.clone();
        }
        let mut kept = partial.map(|window| self.within(window)).unwrap_or_default();
        let ends = [self.min.filter(|_| min), self.max.filter(|_| max)];
        kept.extend(ends.into_iter().flatten().map(|number| (number, number)));
        kept
    }

    /// What is told by ESEARCH.
    pub(super) fn told<'a>(
        &'a self,
        returned: &Returned,
        piece: &'a [(u32, u32)],
        modseq: Option<Modseq>,
    ) -> respond::Found<'a> {
        respond::Found {
            min: self.min.filter(|_| returned.min),
            max: self.max.filter(|_| returned.max),
            count: returned.count.then_some(self.count),
            all: returned.all.then_some(self.ranges.as_slice()),
            partial: returned.partial.map(|window| (window, piece)),
            modseq,
        }
    }
}

/// Hits that are known already: sorted disjoint ranges.
pub(super) fn of_ranges(ranges: &[(u32, u32)]) -> Hits {
    Hits {
        min: ranges.first().map(|range| range.0),
        max: ranges.last().map(|range| range.1),
        count: ranges.iter().fold(0, |count, (first, last)| count.saturating_add((last - first).saturating_add(1))),
        ranges: ranges.to_vec(),
        modseq: 0,
    }
}

/// The positions of a window in a result of `count`, from 0, the end not included.
pub(super) fn positions(window: Window, count: u32) -> (u64, u64) {
    let (low, high) = (u64::from(window.first.min(window.last)), u64::from(window.first.max(window.last)));
    let count = u64::from(count);
    let (from, to) = match window.from_end {
        false => (low - 1, high.min(count)),
        true => (count.saturating_sub(high), count.saturating_sub(low - 1)),
    };
    (from.min(to), to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hits(numbers: &[u32]) -> Hits {
        let mut hits = Hits::default();
        numbers.iter().for_each(|number| hits.push(*number, u64::from(*number)));
        hits.settle();
        hits
    }

    #[test]
    fn hits_become_ranges() {
        let up = hits(&[1, 2, 3, 7]);
        assert_eq!((up.min, up.max, up.count), (Some(1), Some(7), 4));
        assert_eq!(up.ranges, [(1, 3), (7, 7)]);
        assert_eq!(hits(&[7, 3, 2, 1]).ranges, [(1, 3), (7, 7)]);
        assert_eq!(hits(&[1, 2, 7, 3, 4, 5, 6]).ranges, [(1, 7)]);
    }

    #[test]
    fn what_is_saved_depends_on_what_is_told() {
        let found = hits(&[2, 3, 5, 9]);
        let saved = |change: fn(&mut Returned)| {
            let mut returned = Returned { save: true, ..Returned::default() };
            change(&mut returned);
            found.saved(&returned)
        };
        let all = [(2, 3), (5, 5), (9, 9)];
        assert_eq!(saved(|_| {}), all);
        assert_eq!(saved(|r| r.min = true), [(2, 2)]);
        assert_eq!(saved(|r| r.max = true), [(9, 9)]);
        assert_eq!(saved(|r| (r.min, r.max) = (true, true)), [(2, 2), (9, 9)]);
        assert_eq!(saved(|r| (r.min, r.count) = (true, true)), all);
        assert_eq!(saved(|r| (r.min, r.all) = (true, true)), all);
        let window = Some(Window { from_end: true, first: 2, last: 3 });
        assert_eq!(found.saved(&Returned { partial: window, ..Returned::default() }), [(3, 3), (5, 5)]);
        assert_eq!(found.saved(&Returned { partial: window, max: true, ..Returned::default() }).len(), 3);
        assert_eq!(found.saved(&Returned { partial: window, count: true, ..Returned::default() }), all);
    }

    proptest! {
        #[test]
        fn windows_are_slices(numbers in proptest::collection::btree_set(1u32..40, 0..20), first in 1u32..25, last in 1u32..25, from_end: bool) {
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let mut expected = numbers.clone();
            if from_end {
                expected.reverse();
            }
            let (low, high) = (first.min(last) as usize, first.max(last) as usize);
            let mut expected: Vec<u32> = expected.into_iter().skip(low - 1).take(high - low + 1).collect();
            expected.sort_unstable();
            let piece = hits(&numbers).within(Window { from_end, first, last });
            let told: Vec<u32> = piece.into_iter().flat_map(|(from, to)| from..=to).collect();
            prop_assert_eq!(told, expected);
        }
    }
}
