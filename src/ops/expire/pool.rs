//! Work on many accounts by several threads: lanes (the partitions) with a bounded number of threads each, results in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

/// Results that may wait for whoever takes them.
const WAITING: usize = 64;

/// How many threads work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// In one lane.
    pub(super) per_lane: usize,
    /// In all.
    pub(super) at_most: usize,
}

struct Lane<W> {
    queue: VecDeque<(usize, W)>,
    active: usize,
}

/// Does `work` on every item of every lane; `visit` gets the results in the order of their numbers, on this thread. Items are numbered from 0 without
/// gaps. When `stop` is set nothing more is begun.
pub(super) fn run<W: Send, T: Send>(
    lanes: Vec<VecDeque<(usize, W)>>,
    threads: Threads,
    stop: &AtomicBool,
    work: &(dyn Fn(W) -> T + Sync),
    visit: &mut dyn FnMut(T),
) {
    let count = threads.at_most.min(lanes.len().saturating_mul(threads.per_lane)).max(1);
    let lanes: Mutex<Vec<Lane<W>>> = Mutex::new(lanes.into_iter().map(|queue| Lane { queue, active: 0 }).collect());
    let (sender, receiver) = sync_channel::<(usize, T)>(WAITING);
    std::thread::scope(|scope| {
        for _ in 0..count {
            let (sender, lanes) = (sender.clone(), &lanes);
            scope.spawn(move || {
                let mut mine = None;
                while !stop.load(Ordering::Relaxed) {
                    // A lane without a free place is drained by those who work in it.
                    let Some((lane, (number, item))) = next(lanes, &mut mine, threads.per_lane) else { return };
                    let done = work(item);
                    if let Some(lane) = lanes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(lane) {
                        lane.active -= 1;
                    }
                    if sender.send((number, done)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early: BTreeMap<usize, T> = BTreeMap::new();
        let mut wanted = 0;
        for (number, done) in receiver {
            early.insert(number, done);
            while let Some(done) = early.remove(&wanted) {
                visit(done);
                wanted += 1;
            }
        }
        // What was done before a stop is told, with gaps.
        early.into_values().for_each(visit);
    });
}

/// The next item: of the lane where the thread was before, else of any that has a free place.
fn next<W>(lanes: &Mutex<Vec<Lane<W>>>, mine: &mut Option<usize>, per_lane: usize) -> Option<(usize, (usize, W))> {
    let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
    let order: Vec<usize> = mine.iter().copied().chain(0..lanes.len()).collect();
    for at in order {
        let Some(lane) = lanes.get_mut(at).filter(|lane| lane.active < per_lane) else { continue };
        if let Some(item) = lane.queue.pop_front() {
            lane.active += 1;
            *mine = Some(at);
            return Some((at, item));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn results_come_in_order_and_lanes_keep_their_bound() {
        for (per_lane, at_most) in [(1, 50), (3, 50), (2, 3), (1, 1)] {
            let lanes: Vec<VecDeque<(usize, usize)>> =
                (0..3).map(|lane| (0..40).map(|at| (at * 3 + lane, lane)).collect()).collect();
            let busy: [AtomicUsize; 3] = Default::default();
            let all = AtomicUsize::new(0);
            let work = |lane: usize| {
                assert!(busy[lane].fetch_add(1, Ordering::SeqCst) < per_lane);
                assert!(all.fetch_add(1, Ordering::SeqCst) < at_most);
                std::thread::yield_now();
                all.fetch_sub(1, Ordering::SeqCst);
                busy[lane].fetch_sub(1, Ordering::SeqCst);
                lane
            };
            let mut seen = Vec::new();
            run(lanes, Threads { per_lane, at_most }, &AtomicBool::new(false), &work, &mut |lane| seen.push(lane));
            assert_eq!(seen, (0..120).map(|at| at % 3).collect::<Vec<_>>());
        }
        let stop = AtomicBool::new(true);
        let lanes = vec![VecDeque::from([(0, ())])];
        run(lanes, Threads { per_lane: 1, at_most: 1 }, &stop, &|()| (), &mut |()| panic!("nothing is begun"));
    }
}
