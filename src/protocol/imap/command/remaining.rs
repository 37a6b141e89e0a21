//! Which messages a search has still to look at, and how many of them in a step.

use std::collections::VecDeque;

use super::looking::Found;
use super::matching::Cost;
use crate::store::Uid;

/// Messages that are looked at together when rows are enough, when store.idx is read, and when their files must be read.
const SHARE_ROWS: u32 = 10_000;
const SHARE_ENTRIES: u32 = 1000;
const SHARE_BODIES: u32 = 32;
/// Shares of a step for each of several threads.
const SHARES: usize = 8;

/// Which matches are looked for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    Every,
    /// The lowest, and afterwards the highest?
    First {
        then_last: bool,
    },
    Last,
}

/// See the top of the file.
pub(super) struct Remaining {
    ranges: VecDeque<(Uid, Uid)>,
    pub(super) seek: Seek,
    /// Matches after which this direction is done with.
    pub(super) wanted: u32,
    /// Messages looked at, of so many.
    pub(super) looked: (u64, u64),
}

impl Remaining {
    /// All messages with these UIDs (sorted, disjoint).
    pub(super) fn new(ranges: VecDeque<(Uid, Uid)>) -> Remaining {
        let all = ranges.iter().copied().map(extent).sum();
        Remaining { ranges, seek: Seek::Every, wanted: 0, looked: (0, all) }
    }

    /// Takes everything that is left, without looking.
    pub(super) fn take_all(&mut self) -> Vec<(Uid, Uid)> {
        self.looked.0 = self.looked.1;
        self.ranges.drain(..).collect()
    }

    /// True when there is nothing left.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Matches behind which nothing more is wanted in this direction; `None`: all are.
    pub(super) fn wanted(&self) -> Option<u32> {
        (self.seek != Seek::Every).then_some(self.wanted)
    }

    /// What a step looks at. For several threads it is cut small, and there is more of it: who is kept from its processor must not keep the others long.
    /// `texts`: how many must be looked for in files.
    pub(super) fn shares(&mut self, cost: Cost, texts: u32, helpers: usize) -> Vec<VecDeque<(Uid, Uid)>> {
        let (room, count) = match (cost, helpers) {
            (Cost::State | Cost::Row, _) => (SHARE_ROWS, 1),
            (Cost::Entry, 0) => (SHARE_ENTRIES * 2, 1),
            (Cost::Entry, helpers) => (SHARE_ENTRIES, (helpers + 1) * SHARES),
            // A search with many texts looks at fewer messages, so that others get their turn of the worker.
            (Cost::File, 0) => ((SHARE_BODIES * 2 / texts.max(1)).max(1), 1),
            (Cost::File, helpers) => {
                let texts = texts.max(1);
                let each = (SHARES / (texts / SHARE_BODIES + 1) as usize).max(1);
                ((SHARE_BODIES / texts).max(1), (helpers + 1) * each)
            }
        };
        (0..count).map(|_| self.share(room)).take_while(|share| !share.is_empty()).collect()
    }

    /// The next UIDs, at most `room`, in the order in which they are to be looked at.
    fn share(&mut self, mut room: u32) -> VecDeque<(Uid, Uid)> {
        let mut share = VecDeque::new();
        while room > 0
            && let Some((first, last)) = self.take(room)
        {
            room -= (last - first).saturating_add(1);
            self.looked.0 += extent((first, last));
            share.push_back((first, last));
        }
        share
    }

    /// The next UIDs, at most `room`: the lowest that are left, or the highest.
    fn take(&mut self, room: u32) -> Option<(Uid, Uid)> {
        let backward = self.seek == Seek::Last;
        let (first, last) = if backward { self.ranges.pop_back()? } else { self.ranges.pop_front()? };
        let more = (last - first).min(room - 1);
        if more == last - first {
            return Some((first, last));
        }
        if backward {
            self.ranges.push_back((first, last - more - 1));
            Some((last - more, last))
        } else {
            self.ranges.push_front((first + more + 1, last));
            Some((first, first + more))
        }
    }

    /// What a share left over is to be looked at next; where enough was found in this direction, it is the other one's turn, or the end.
    pub(super) fn take_back(&mut self, found: Found) {
        for range in found.rest.into_iter().rev() {
            self.looked.0 -= extent(range);
            if self.seek == Seek::Last { self.ranges.push_back(range) } else { self.ranges.push_front(range) }
        }
        let hits = u32::try_from(found.hits.len()).unwrap_or(u32::MAX);
        self.wanted = self.wanted.saturating_sub(hits);
        if !found.enough {
            return;
        }
        if self.seek == (Seek::First { then_last: true }) {
            (self.seek, self.wanted) = (Seek::Last, 1);
        } else {
            self.ranges.clear();
        }
    }
}

fn extent((first, last): (Uid, Uid)) -> u64 {
    u64::from(last - first) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seek: Seek, left: &[(Uid, Uid)]) -> Remaining {
        Remaining { ranges: left.iter().copied().collect(), seek, wanted: 1, looked: (0, 0) }
    }

    #[test]
    fn messages_are_taken_from_the_end_that_is_wanted() {
        let mut forward = run(Seek::Every, &[(1, 5), (8, 9)]);
        let taken: Vec<_> = std::iter::from_fn(|| forward.take(3)).collect();
        assert_eq!(taken, [(1, 3), (4, 5), (8, 9)]);
        let mut backward = run(Seek::Last, &[(1, 5), (Uid::MAX - 1, Uid::MAX)]);
        let taken: Vec<_> = std::iter::from_fn(|| backward.take(3)).collect();
        assert_eq!(taken, [(Uid::MAX - 1, Uid::MAX), (3, 5), (1, 2)]);
    }

    #[test]
    fn the_search_turns_round_at_the_first_match() {
        let enough =
            |rest: &[(Uid, Uid)]| Found { enough: true, rest: rest.iter().copied().collect(), ..Found::default() };
        let left = |run: &Remaining| run.ranges.iter().copied().collect::<Vec<_>>();
        let mut both = run(Seek::First { then_last: true }, &[(1, 5), (8, 9)]);
        assert_eq!(both.share(6), [(1, 5), (8, 8)]);
        both.take_back(enough(&[(3, 5), (8, 8)]));
        assert_eq!((both.seek, left(&both), both.looked.0), (Seek::Last, vec![(3, 5), (8, 8), (9, 9)], 2));
        assert_eq!(both.share(3), [(9, 9), (8, 8), (5, 5)]);
        both.take_back(Found { rest: [(8, 8), (5, 5)].into(), ..Found::default() });
        assert_eq!(left(&both), [(3, 4), (5, 5), (8, 8)], "not looked at yet");
        both.take_back(enough(&[]));
        assert_eq!(both.take(5), None);
        let mut first = run(Seek::First { then_last: false }, &[(1, 5), (8, 9)]);
        first.take_back(enough(&[]));
        assert_eq!(first.take(5), None);
    }
}
