//! Flags, keywords and sets of UIDs.

use super::ids::Uid;

/// The system flags of a message that are stored (RFC 9051 2.3.2); \Recent is the session's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// \Answered
    pub const ANSWERED: Flags = Flags(1);
    /// \Flagged
    pub const FLAGGED: Flags = Flags(2);
    /// \Deleted
    pub const DELETED: Flags = Flags(4);
    /// \Seen
    pub const SEEN: Flags = Flags(8);
    /// \Draft
    pub const DRAFT: Flags = Flags(16);

    /// True if all of `other` are set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// What both have.
    pub fn and(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }

    /// These without `other`.
    pub fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.with(other)
    }
}

/// Keywords of a message: bit i is the i-th keyword of the account's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keywords(pub u128);

impl Keywords {
    /// As many different keywords an account may use.
    pub const LIMIT: usize = 128;

    /// The numbers of the bits that are set.
    pub fn bits(self) -> impl Iterator<Item = usize> {
        (0..Self::LIMIT).filter(move |bit| self.0 >> bit & 1 == 1)
    }
}

/// A set of UIDs as sorted, disjoint, non-adjacent ranges (both ends included).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet {
    ranges: Vec<(Uid, Uid)>,
}

impl UidSet {
    /// The empty set.
    pub fn new() -> UidSet {
        UidSet::default()
    }

    /// The set of all UIDs in the ranges, in whatever order they come; a range may be given backwards.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Uid, Uid)>) -> UidSet {
        let mut sorted: Vec<(Uid, Uid)> = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        sorted.sort_unstable();
        let mut set = UidSet::new();
        for (first, last) in sorted {
            set.push_range(first, last);
        }
        set
    }

    /// The set of one UID.
    pub fn one(uid: Uid) -> UidSet {
        UidSet { ranges: vec![(uid, uid)] }
    }

    fn push_range(&mut self, first: Uid, last: Uid) {
        match self.ranges.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// Adds a UID.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid, uid);
    }

    /// Adds the UIDs from `first` to `last`.
    pub fn insert_range(&mut self, first: Uid, last: Uid) {
        if self.ranges.last().is_none_or(|end| first >= end.0) {
            self.push_range(first, last);
        } else {
            let mut ranges = std::mem::take(&mut self.ranges);
            ranges.push((first, last));
            *self = UidSet::from_ranges(ranges);
        }
    }

    /// True if `uid` is in the set.
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < uid);
        self.ranges.get(at).is_some_and(|range| range.0 <= uid)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[(Uid, Uid)] {
        &self.ranges
    }

    /// The UIDs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|range| range.0..=range.1)
    }

    /// The UIDs that are in both.
    pub fn intersection(&self, other: &UidSet) -> UidSet {
        let mut common = UidSet::new();
        let mut others = other.ranges.iter().peekable();
        for (first, last) in &self.ranges {
            while others.next_if(|range| range.1 < *first).is_some() {}
            // The last of these may reach into the next range, too: it is looked at, not taken.
            while let Some((from, to)) = others.peek() {
                if *from > *last {
                    break;
                }
                common.push_range(*first.max(from), *last.min(to));
                if *to > *last {
                    break;
                }
                others.next();
            }
        }
        common
    }

    /// The UIDs that are in this set alone.
    pub fn difference(&self, other: &UidSet) -> UidSet {
        let mut rest = UidSet::new();
        for (first, last) in &self.ranges {
            // In 64 bits: the UID behind the last one may not exist.
            let (mut next, end) = (u64::from(*first), u64::from(*last) + 1);
            let start = other.ranges.partition_point(|range| range.1 < *first);
            for (from, to) in other.ranges.iter().skip(start).take_while(|range| range.0 <= *last) {
                rest.push_between(next, u64::from(*from));
                next = u64::from(*to) + 1;
            }
            rest.push_between(next, end);
        }
        rest
    }

    /// Adds the UIDs from `from` up to, not including, `to`, behind all others.
    fn push_between(&mut self, from: u64, to: u64) {
        if let (Ok(first), Ok(last)) = (Uid::try_from(from), Uid::try_from(to.saturating_sub(1)))
            && from < to
        {
            self.push_range(first, last);
        }
    }

    /// How many UIDs.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|range| (range.1 - range.0) as usize + 1).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> UidSet {
        let mut set = UidSet::new();
        for uid in uids {
            set.insert(uid);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn sets_meet_and_part(
            ours in proptest::collection::btree_set(0u32..40, 0..30),
            theirs in proptest::collection::btree_set(0u32..40, 0..30),
        ) {
            // At the upper end of the numbers, too.
            for base in [1, Uid::MAX - 39] {
                let set = |uids: &std::collections::BTreeSet<u32>| uids.iter().map(|uid| base + uid).collect::<UidSet>();
                let (one, other) = (set(&ours), set(&theirs));
                proptest::prop_assert_eq!(one.intersection(&other), set(&(&ours & &theirs)));
                proptest::prop_assert_eq!(one.difference(&other), set(&(&ours - &theirs)));
            }
        }
    }

    #[test]
    fn sets_merge_and_answer() {
        let mut set = UidSet::from_ranges([(5, 3), (9, 9), (4, 6), (10, 12)]);
        assert_eq!(set.ranges(), &[(3, 6), (9, 12)]);
        assert_eq!(set.len(), 8);
        set.insert(7);
        set.insert(8);
        assert_eq!(set.ranges(), &[(3, 12)]);
        assert!(set.contains(3) && set.contains(12) && !set.contains(2) && !set.contains(13));
        set.insert(1);
        assert_eq!(set.iter().collect::<Vec<_>>(), vec![1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(UidSet::from_iter([2, 2, 1, 3]).ranges(), &[(1, 3)]);
    }
}
