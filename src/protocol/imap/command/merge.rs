//! Sorted runs of messages, and their merge: what lets SORT put any number of messages in order in steps of bounded length.

use std::cmp::Ordering;

use crate::store::Uid;

/// Keys that were sorted together. A key is a string of octets; where two are the same, the UID decides.
#[derive(Default)]
pub(super) struct Run {
    items: Vec<Item>,
    /// The octets of the keys behind their beginnings.
    rest: Vec<u8>,
    /// The items before have been given.
    at: usize,
}

/// A message of a run.
#[derive(Clone, Copy)]
struct Item {
    /// The first octets of its key as a number. A shorter key is filled up with zeros: of two keys of one sort none is the beginning of the other.
    head: u64,
    /// Where the others lie.
    from: u32,
    to: u32,
    uid: Uid,
}

impl Run {
    /// Adds a message.
    pub(super) fn push(&mut self, key: &[u8], uid: Uid) {
        let (head, rest) = key.split_at(key.len().min(8));
        let mut first = [0; 8];
        first.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let from = place(self.rest.len());
        self.rest.extend_from_slice(rest);
        self.items.push(Item { head: u64::from_be_bytes(first), from, to: place(self.rest.len()), uid });
    }

    /// Puts the messages in order.
    pub(super) fn sort(&mut self) {
        let rest = &self.rest;
        self.items.sort_unstable_by(|one, other| order((one, rest), (other, rest)));
    }

    fn first(&self) -> Option<(&Item, &[u8])> {
        Some((self.items.get(self.at)?, &self.rest))
    }
}

/// The octets of a key behind its beginning.
fn behind<'r>(item: &Item, rest: &'r [u8]) -> &'r [u8] {
    rest.get(item.from as usize..item.to as usize).unwrap_or_default()
}

fn order((one, one_rest): (&Item, &[u8]), (other, other_rest): (&Item, &[u8])) -> Ordering {
    one.head
        .cmp(&other.head)
        .then_with(|| match (behind(one, one_rest), behind(other, other_rest)) {
            // Numbers have nothing behind, and to compare nothing costs as much as to compare something.
            ([], []) => Ordering::Equal,
            (one, other) => one.cmp(other),
        })
        .then_with(|| one.uid.cmp(&other.uid))
}

/// The merge of sorted runs.
pub(super) struct Merge {
    runs: Vec<Run>,
    /// A heap of the runs that are not at their end, the one with the lowest key first.
    heap: Vec<usize>,
}

impl Merge {
    pub(super) fn new(runs: Vec<Run>) -> Merge {
        let heap: Vec<usize> =
            (0..runs.len()).filter(|run| runs.get(*run).is_some_and(|run| run.first().is_some())).collect();
        let mut merge = Merge { runs, heap };
        (0..merge.heap.len() / 2).rev().for_each(|at| merge.sink(at));
        merge
    }

    /// Does the run at one place of the heap come before that at another?
    fn is_before(&self, one: usize, other: usize) -> bool {
        let first = |at: usize| self.runs.get(*self.heap.get(at)?)?.first();
        match (first(one), first(other)) {
            (Some(one), Some(other)) => order(one, other) == Ordering::Less,
            (one, _) => one.is_some(),
        }
    }

    /// Lets the run at a place of the heap go down to where it belongs.
    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [at * 2 + 1, at * 2 + 2] {
                if child < self.heap.len() && self.is_before(child, least) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

impl Iterator for Merge {
    type Item = Uid;

    fn next(&mut self) -> Option<Uid> {
        let run = self.runs.get_mut(*self.heap.first()?)?;
        let uid = run.items.get(run.at)?.uid;
        run.at += 1;
        if run.at == run.items.len() {
            *run = Run::default();
            self.heap.swap_remove(0);
        }
        self.sink(0);
        Some(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_if_all_were_sorted_at_once(runs in proptest::collection::vec(
            proptest::collection::vec("[ab]{0,12}", 0..20), 0..9)) {
            let mut all: Vec<(Vec<u8>, Uid)> = Vec::new();
            let mut uid = 0;
            let runs = runs.into_iter().map(|keys| {
                let mut run = Run::default();
                for key in keys {
                    uid += 1;
                    let key = [key.as_bytes(), b"\0"].concat();
                    run.push(&key, uid);
                    all.push((key, uid));
                }
                run.sort();
                run
            });
            let merged: Vec<Uid> = Merge::new(runs.collect()).collect();
            all.sort();
            prop_assert_eq!(merged, all.into_iter().map(|(_, uid)| uid).collect::<Vec<_>>());
        }
    }
}
