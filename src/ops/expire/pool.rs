//! Work on many accounts by several threads: lanes (the partitions) with a bounded number of threads each, results in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How far the work may be ahead of the first result that is not there yet: as many results are kept at most, however long one item takes.
const AHEAD: usize = 256;
/// How much the results that are kept may weigh before only the one that is waited for is worked on.
const WEIGHT_MOST: usize = 10_000;

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

/// What the threads share.
struct Lanes<W> {
    lanes: Vec<Lane<W>>,
    /// The number of the first result that is not there yet.
    wanted: usize,
    /// What the results weigh that nobody has visited yet.
    kept: usize,
    /// A thread has panicked: nobody may wait for what it does not do any more.
    over: bool,
}

struct Shared<W> {
    lanes: Mutex<Lanes<W>>,
    /// `wanted` or `kept` is another, or it is over.
    moved: Condvar,
}

/// What a thread is to do next.
enum Next<W> {
    /// An item of a lane, with its number.
    Item(usize, usize, W),
    /// To wait: what is left is too far ahead.
    Wait,
    /// Nothing is left for it.
    Nothing,
}

/// A result, and what it weighs.
pub(super) type Weighed<T> = (T, usize);

/// Does `work` on every item of every lane; `visit` gets the results in the order of their numbers, on this thread. Items are numbered from 0 without
/// gaps, and rise in each lane. When `stop` is set nothing more is begun.
pub(super) fn run<W: Send, T: Send>(
    lanes: Vec<VecDeque<(usize, W)>>,
    threads: Threads,
    stop: &AtomicBool,
    work: &(dyn Fn(W) -> Weighed<T> + Sync),
    visit: &mut dyn FnMut(T),
) {
    let count = threads.at_most.min(lanes.len().saturating_mul(threads.per_lane)).max(1);
    let lanes = lanes.into_iter().map(|queue| Lane { queue, active: 0 }).collect();
    let shared = Shared { lanes: Mutex::new(Lanes { lanes, wanted: 0, kept: 0, over: false }), moved: Condvar::new() };
    let (sender, receiver) = channel::<(usize, Weighed<T>)>();
    std::thread::scope(|scope| {
        for _ in 0..count {
            let (sender, shared) = (sender.clone(), &shared);
            scope.spawn(move || {
                let _over = OverOnPanic(shared);
                let mut mine = None;
                while let Some((lane, number, item)) = shared.take(&mut mine, threads.per_lane, stop) {
                    let done = work(item);
                    shared.lock().finish(lane, done.1);
                    if sender.send((number, done)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let _over = OverOnPanic(&shared);
        let mut early: BTreeMap<usize, Weighed<T>> = BTreeMap::new();
        let mut wanted = 0;
        for (number, done) in receiver {
            early.insert(number, done);
            let mut visited = 0;
            while let Some((done, weight)) = early.remove(&wanted) {
                visit(done);
                visited += weight;
                wanted += 1;
            }
            // Also when they are the same: after a stop nobody may wait for what is not begun.
            shared.lock().visited(wanted, visited);
            shared.moved.notify_all();
        }
        // What was done before a stop is told, with gaps.
        early.into_values().for_each(|(done, _)| visit(done));
    });
}

impl<W> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Lanes<W>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item for a thread, waited for; `None`: it may end. A lane without a free place is drained by those who work in it.
    fn take(&self, mine: &mut Option<usize>, per_lane: usize, stop: &AtomicBool) -> Option<(usize, usize, W)> {
        let mut lanes = self.lock();
        while !lanes.over && !stop.load(Ordering::Relaxed) {
            match lanes.next(mine, per_lane) {
                Next::Item(lane, number, item) => return Some((lane, number, item)),
                Next::Nothing => return None,
                Next::Wait => lanes = self.moved.wait(lanes).unwrap_or_else(PoisonError::into_inner),
            }
        }
        None
    }
}

impl<W> Lanes<W> {
    fn finish(&mut self, lane: usize, weight: usize) {
        self.kept += weight;
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.active -= 1;
        }
    }

    fn visited(&mut self, wanted: usize, weight: usize) {
        self.wanted = wanted;
        self.kept -= weight;
    }

    /// May an item be begun, as much as is kept?
    fn may_begin(&self, number: usize) -> bool {
        number == self.wanted || number < self.wanted.saturating_add(AHEAD) && self.kept < WEIGHT_MOST
    }

    /// The next item: of the lane where the thread was before, else of any that has a free place.
    fn next(&mut self, mine: &mut Option<usize>, per_lane: usize) -> Next<W> {
        let order: Vec<usize> = mine.iter().copied().chain(0..self.lanes.len()).collect();
        let mut far = false;
        for at in order {
            let lane = self.lanes.get(at).filter(|lane| lane.active < per_lane);
            let Some((number, _)) = lane.and_then(|lane| lane.queue.front()) else { continue };
            if !self.may_begin(*number) {
                far = true;
            } else if let Some(lane) = self.lanes.get_mut(at)
                && let Some((number, item)) = lane.queue.pop_front()
            {
                lane.active += 1;
                *mine = Some(at);
                return Next::Item(at, number, item);
            }
        }
        if far { Next::Wait } else { Next::Nothing }
    }
}

/// Ends the waiting of all threads when the one that holds it panics.
struct OverOnPanic<'s, W>(&'s Shared<W>);

impl<W> Drop for OverOnPanic<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().over = true;
            self.0.moved.notify_all();
        }
    }
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
                (lane, 1)
            };
            let mut seen = Vec::new();
            run(lanes, Threads { per_lane, at_most }, &AtomicBool::new(false), &work, &mut |lane| seen.push(lane));
            assert_eq!(seen, (0..120).map(|at| at % 3).collect::<Vec<_>>());
        }
        let stop = AtomicBool::new(true);
        let lanes = vec![VecDeque::from([(0, ())])];
        run(lanes, Threads { per_lane: 1, at_most: 1 }, &stop, &|()| ((), 1), &mut |()| panic!("nothing is begun"));
    }
    #[test]
    fn nobody_runs_far_ahead_of_a_slow_item() {
        let lanes: Vec<VecDeque<(usize, usize)>> =
            vec![VecDeque::from([(0, 0)]), (1..4 * AHEAD).map(|at| (at, at)).collect()];
        let (begun, visited) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |at: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            assert!(at < visited.load(Ordering::SeqCst) + AHEAD);
            while at == 0 && begun.load(Ordering::SeqCst) < AHEAD {
                std::thread::yield_now();
            }
            if at == 0 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            (at, 1)
        };
        let mut seen = Vec::new();
        run(lanes, Threads { per_lane: 1, at_most: 9 }, &AtomicBool::new(false), &work, &mut |at| {
            visited.fetch_add(1, Ordering::SeqCst);
            seen.push(at);
        });
        assert_eq!(seen, (0..4 * AHEAD).collect::<Vec<_>>());
        // One thread for both lanes, and what comes first at the end of the other one.
        let lanes: Vec<VecDeque<(usize, usize)>> =
            vec![(1..2 * AHEAD).map(|at| (at, at)).collect(), VecDeque::from([(0, 0)])];
        let mut count = 0;
        run(lanes, Threads { per_lane: 1, at_most: 1 }, &AtomicBool::new(false), &|at| (at, 1), &mut |at| {
            assert_eq!(at, count);
            count += 1;
        });
        assert_eq!(count, 2 * AHEAD);
    }

    #[test]
    fn heavy_results_are_not_collected() {
        let lanes: Vec<VecDeque<(usize, usize)>> =
            vec![VecDeque::from([(0, 0)]), (1..100).map(|at| (at, at)).collect()];
        let begun = AtomicUsize::new(0);
        let work = |at: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            while at == 0 && begun.load(Ordering::SeqCst) < 5 {
                std::thread::yield_now();
            }
            if at == 0 {
                std::thread::sleep(std::time::Duration::from_millis(20));
                assert_eq!(begun.load(Ordering::SeqCst), 5);
            }
            (at, WEIGHT_MOST / 4)
        };
        let mut seen = Vec::new();
        run(lanes, Threads { per_lane: 1, at_most: 9 }, &AtomicBool::new(false), &work, &mut |at| seen.push(at));
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_and_a_stop_leave_nobody_waiting() {
        let lanes = || vec![VecDeque::from([(0, 0)]), (1..4 * AHEAD).map(|at| (at, at)).collect()];
        let begun = AtomicUsize::new(0);
        let slow = |at: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            while at == 0 && begun.load(Ordering::SeqCst) < AHEAD {
                std::thread::yield_now();
            }
            ((), 1)
        };
        let threads = Threads { per_lane: 1, at_most: 9 };
        let panics = |at: usize| {
            let done = slow(at);
            assert_ne!(at, 0, "the test wants this panic");
            done
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(lanes(), threads, &AtomicBool::new(false), &panics, &mut |()| {});
        }));
        assert!(ended.is_err());
        begun.store(0, Ordering::SeqCst);
        let stop = AtomicBool::new(false);
        let mut count = 0;
        run(lanes(), threads, &stop, &slow, &mut |()| {
            stop.store(true, Ordering::Relaxed);
            count += 1;
        });
        assert!((1..=2 * AHEAD).contains(&count), "{count}");
    }
}
