//! Hands that a long command may have beside its worker: so many that the processors are busy, shared by all sessions of a server.
//!
//! Nobody waits for a hand that does not come: jobs are taken by who is there, and at the end only those that were begun are waited for. So a machine
//! that has no processor to spare is as fast as without.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// The hands of a server. Their threads are begun when they are needed first, and end with it.
#[derive(Debug)]
pub struct Crew {
    hall: Arc<Hall>,
}

/// Where hands wait for work.
#[derive(Debug, Default)]
struct Hall {
    state: Mutex<State>,
    called: Condvar,
}

type Invitation = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    /// Hands that are promised to nobody.
    free: usize,
    invitations: VecDeque<Invitation>,
    /// Threads that wait.
    waiting: usize,
    over: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("free", &self.free).finish_non_exhaustive()
    }
}

/// One that is promised. Dropped, it is free again.
struct Hand(Arc<Hall>);

/// Hands that may help with one step of a command.
pub struct Hands(Vec<Hand>);

/// Jobs that several threads take from.
struct Round<J, T, W> {
    state: Mutex<Jobs<J, T>>,
    done: Condvar,
    work: W,
}

struct Jobs<J, T> {
    left: std::iter::Enumerate<std::vec::IntoIter<J>>,
    running: usize,
    results: Vec<(usize, std::thread::Result<T>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    /// With the workers themselves no more than there are processors, and no more than `limit`.
    pub fn new(limit: usize) -> Crew {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Crew::of(processors.min(limit).saturating_sub(1))
    }

    fn of(free: usize) -> Crew {
        Crew { hall: Arc::new(Hall { state: Mutex::new(State { free, ..State::default() }), ..Hall::default() }) }
    }

    /// Half of those that are free, so that the next session finds some; none where there are none.
    pub fn call(&self) -> Hands {
        let mut state = lock(&self.hall.state);
        let count = state.free.div_ceil(2);
        state.free -= count;
        Hands((0..count).map(|_| Hand(Arc::clone(&self.hall))).collect())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        lock(&self.hall.state).over = true;
        self.hall.called.notify_all();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        lock(&self.0.state).free += 1;
    }
}

impl Hall {
    /// Gives a thread work, a new one if none waits. Where the system has no thread the work is left undone.
    fn invite(self: &Arc<Hall>, invitation: Invitation) {
        let mut state = lock(&self.state);
        if state.waiting > state.invitations.len() {
            state.invitations.push_back(invitation);
            drop(state);
            return self.called.notify_one();
        }
        drop(state);
        let hall = Arc::clone(self);
        let begun = Builder::new().name("imap crew".to_owned()).spawn(move || {
            invitation();
            hall.serve();
        });
        drop(begun);
    }

    /// Does what comes until the crew is dismissed.
    fn serve(&self) {
        loop {
            let mut state = lock(&self.state);
            let invitation = loop {
                match state.invitations.pop_front() {
                    Some(invitation) => break invitation,
                    None if state.over => return,
                    None => {}
                }
                state.waiting += 1;
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
            };
            drop(state);
            invitation();
        }
    }
}

impl Hands {
    /// Nobody helps.
    pub fn none() -> Hands {
        Hands(Vec::new())
    }

    /// How many may help.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Does all jobs, on this thread and on those of the hands; gives what they gave, in their order. A panic of one goes on here.
    pub fn each<J, T, W>(self, jobs: Vec<J>, work: W) -> Vec<T>
    where
        J: Send + 'static,
        T: Send + 'static,
        W: Fn(J) -> T + Send + Sync + 'static,
    {
        let others = jobs.len().saturating_sub(1);
        let jobs = Jobs { left: jobs.into_iter().enumerate(), running: 0, results: Vec::new() };
        let round = Arc::new(Round { state: Mutex::new(jobs), done: Condvar::new(), work });
        for hand in self.0.into_iter().take(others) {
            let (hall, round) = (Arc::clone(&hand.0), Arc::clone(&round));
            hall.invite(Box::new(move || {
                round.run();
                drop(hand);
            }));
        }
        round.run();
        let mut results = round.finish();
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result.unwrap_or_else(|payload| resume_unwind(payload))).collect()
    }
}

impl<J, T, W: Fn(J) -> T> Round<J, T, W> {
    /// Takes jobs until there are none.
    fn run(&self) {
        loop {
            let mut state = lock(&self.state);
            let Some((at, job)) = state.left.next() else { return };
            state.running += 1;
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(|| (self.work)(job)));
            let mut state = lock(&self.state);
            state.running -= 1;
            state.results.push((at, result));
            if state.running == 0 {
                self.done.notify_all();
            }
        }
    }

    /// Waits for what others have begun.
    fn finish(&self) -> Vec<(usize, std::thread::Result<T>)> {
        let mut state = lock(&self.state);
        while state.running > 0 {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut state.results)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn free(crew: &Crew) -> usize {
        lock(&crew.hall.state).free
    }

    /// Waits until so many are free: one that came late gives itself back late.
    fn wait_for(crew: &Crew, count: usize) {
        let begun = std::time::Instant::now();
        while free(crew) != count {
            assert!(begun.elapsed().as_secs() < 240, "{} are free", free(crew));
            std::thread::yield_now();
        }
    }

    #[test]
    fn hands_are_shared_and_given_back() {
        let crew = Crew::of(7);
        let (first, second) = (crew.call(), crew.call());
        assert_eq!((first.count(), second.count()), (4, 2));
        let third = crew.call();
        assert_eq!((third.count(), crew.call().count()), (1, 0));
        drop((first, second));
        assert_eq!(third.each(vec![1], |job| job), [1]);
        wait_for(&crew, 7);
        assert_eq!(Crew::new(1).call().count(), 0, "one thread is one thread");
    }

    #[test]
    fn jobs_are_done_by_several_and_told_in_their_order() {
        let crew = Crew::of(1);
        let many: Vec<u32> = (0..1000).collect();
        for _ in 0..3 {
            // Each waits for the other: one thread alone would never come to an end.
            let both = Barrier::new(2);
            let done = crew.call().each(vec![1, 2], move |job| {
                both.wait();
                job * 10
            });
            assert_eq!(done, [10, 20]);
            wait_for(&crew, 1);
            assert_eq!(crew.call().each(many.clone(), |job| job), many);
            wait_for(&crew, 1);
        }
        assert_eq!(Hands::none().each(many.clone(), |job| job), many);
        assert_eq!(Hands::none().each(Vec::<u32>::new(), |job| job), Vec::<u32>::new());
    }

    #[test]
    fn nobody_waits_for_a_hand_that_does_not_come() {
        let crew = Crew::of(1);
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let hand = crew.call().0.remove(0);
        // The only thread is busy with something else, and the next round is promised it all the same.
        crew.hall.invite(Box::new(move || held.recv().unwrap_or_default()));
        lock(&crew.hall.state).waiting = 1;
        assert_eq!(Hands(vec![hand]).each(vec![1, 2, 3], |job| job), [1, 2, 3]);
        lock(&crew.hall.state).waiting = 0;
        assert_eq!(free(&crew), 0, "its invitation still stands");
        drop(let_go);
        wait_for(&crew, 1);
    }

    #[test]
    fn a_bug_of_a_hand_is_one_of_the_command() {
        let crew = Crew::of(1);
        let hands = crew.call();
        let ended = catch_unwind(AssertUnwindSafe(|| hands.each(vec![1, 2, 3, 4], |job| assert_ne!(job, 3, "a bug"))));
        assert!(ended.is_err());
        wait_for(&crew, 1);
    }
}
