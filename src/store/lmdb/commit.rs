//! Group commit without a timer: whoever comes first leads; what queues while a commit is being flushed is the next leader's batch.
//!
//! A write closure may run on another caller's thread and may run more than once (the map had to grow, a batch is repeated), so it takes what it
//! needs by reference and has no effect outside the transaction that a second run would not find and accept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Env, MAP_BYTES, Write, lock};
use crate::store::error::StoreError;

/// What surrounds the jobs of one batch; the state `X` is what the jobs leave for it (directories to flush, folders to announce).
pub(crate) trait Batch: Sync {
    /// What the jobs of a batch gather.
    type Extra: Default;
    /// Marks where a job begins, so that the traces of a failed one can be taken back.
    fn mark(&self, extra: &Self::Extra) -> (usize, usize);
    /// Takes back what was gathered since `mark`.
    fn rewind(&self, extra: &mut Self::Extra, mark: (usize, usize));
    /// Runs after the jobs, before the commit: everything that the commit will name becomes durable here.
    fn before_commit(&self, extra: &Self::Extra) -> Result<(), StoreError>;
    /// Runs after the commit, before the callers are answered.
    fn committed(&self, extra: &Self::Extra);
}

/// The queue of write jobs of one environment in this process.
pub(crate) struct Group<B: Batch> {
    env: &'static Env,
    batch: B,
    queue: Mutex<Queue<B::Extra>>,
}

struct Queue<X> {
    waiting: Vec<JobRef<X>>,
    leading: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waiting,
    Lead,
    Done,
}

struct Seat {
    turn: Mutex<Turn>,
    called: Condvar,
}

trait Job<X> {
    /// Runs in the transaction; false: it failed and its savepoint is to be rolled back.
    fn run(&mut self, txn: &mut Write<'_>, extra: &mut X) -> Verdict;
    fn fail(&mut self, error: &StoreError);
}

enum Verdict {
    Good,
    Failed,
    /// The whole batch must be repeated with a larger map.
    MapFull,
}

struct JobRef<X> {
    job: *mut (dyn Job<X> + 'static),
    seat: *const Seat,
}

// SAFETY: a JobRef points to a closure and a seat on the stack of a caller that waits in `Group::run` until its seat says Done; the closure is Send
// (demanded there), and exactly one thread, the leader, uses it in the meantime.
unsafe impl<X> Send for JobRef<X> {}

struct Slot<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
}

impl<X, T, F: FnMut(&mut Write<'_>, &mut X) -> Result<T, StoreError>> Job<X> for Slot<T, F> {
    fn run(&mut self, txn: &mut Write<'_>, extra: &mut X) -> Verdict {
        let work = &mut self.work;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(txn, extra)))
            .unwrap_or_else(|_| Err(StoreError::Internal { what: "a write job panicked".into() }));
        let verdict = match &outcome {
            Ok(_) => Verdict::Good,
            Err(StoreError::MapFull) => Verdict::MapFull,
            Err(_) => Verdict::Failed,
        };
        self.result = Some(outcome);
        verdict
    }

    fn fail(&mut self, error: &StoreError) {
        // A job's own error says more than the batch's.
        if !matches!(self.result, Some(Err(_))) || matches!(self.result, Some(Err(StoreError::MapFull))) {
            self.result = Some(Err(error.again()));
        }
    }
}

impl<B: Batch> Group<B> {
    /// The queue of `env`.
    pub(crate) fn new(env: &'static Env, batch: B) -> Group<B> {
        Group { env, batch, queue: Mutex::new(Queue { waiting: Vec::new(), leading: false }) }
    }

    /// Runs `work` in a write transaction and returns when that is committed and durable. An error of `work` leaves no trace.
    pub(crate) fn run<T: Send>(
        &self,
        work: impl FnMut(&mut Write<'_>, &mut B::Extra) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        debug_assert!(
            !self.env.is_being_read(),
            "a thread that holds a snapshot changes what it is of: growth would wait for it"
        );
        let mut slot = Slot { work, result: None };
        let seat = Seat { turn: Mutex::new(Turn::Waiting), called: Condvar::new() };
        let job: *mut (dyn Job<B::Extra> + '_) = &mut slot;
        // SAFETY: only the lifetime of the pointer's trait object changes. The pointer is used by leaders only until the seat is Done, and this
        // function does not return before.
        let job: *mut (dyn Job<B::Extra> + 'static) = unsafe { std::mem::transmute(job) };
        let lead = {
            let mut queue = lock(&self.queue);
            queue.waiting.push(JobRef { job, seat: &seat });
            !std::mem::replace(&mut queue.leading, true)
        };
        let mut turn = if lead { Turn::Lead } else { seat.wait() };
        while turn == Turn::Lead {
            self.lead();
            turn = seat.wait();
        }
        slot.result.unwrap_or_else(|| Err(StoreError::Internal { what: "a write job was not run".into() }))
    }

    /// What surrounds the jobs.
    #[cfg(test)]
    pub(super) fn batch(&self) -> &B {
        &self.batch
    }

    /// How many jobs wait for a leader.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).waiting.len()
    }

    /// Takes everything that waits through one transaction, then hands the lead on.
    fn lead(&self) {
        let jobs = std::mem::take(&mut lock(&self.queue).waiting);
        if let Err(error) = self.take_through(&jobs) {
            for job in &jobs {
                // SAFETY: see JobRef; the seat is not Done yet.
                unsafe { &mut *job.job }.fail(&error);
            }
        }
        for job in &jobs {
            // SAFETY: see JobRef; after this call the pointers of this job are not used again.
            unsafe { &*job.seat }.call(Turn::Done);
        }
        let mut queue = lock(&self.queue);
        match queue.waiting.first() {
            // SAFETY: see JobRef: this caller waits, its job is still in the queue.
            Some(next) => unsafe { &*next.seat }.call(Turn::Lead),
            None => queue.leading = false,
        }
    }

    fn take_through(&self, jobs: &[JobRef<B::Extra>]) -> Result<(), StoreError> {
        for _ in 0..8 {
            match self.attempt(jobs) {
                Err(StoreError::MapFull) => {
                    self.env.reap_readers()?;
                    self.env.grow(self.env.map_bytes()?.max(MAP_BYTES / 64).saturating_mul(2))?;
                }
                other => return other,
            }
        }
        Err(StoreError::Unavailable { what: format!("{} is full", self.env.path().display()) })
    }

    fn attempt(&self, jobs: &[JobRef<B::Extra>]) -> Result<(), StoreError> {
        let mut extra = B::Extra::default();
        let _unstopped = Unstopped::new();
        let (_gate, mut txn) = self.env.write()?;
        let mut good = 0usize;
        if let [alone] = jobs {
            // Nobody else's rows are to be kept from its failure, so it needs no savepoint, which costs LMDB 3 MiB of lists.
            // SAFETY: see JobRef.
            match unsafe { &mut *alone.job }.run(&mut txn, &mut extra) {
                Verdict::Good => return self.commit(txn, &extra),
                Verdict::Failed => return Ok(()),
                Verdict::MapFull => return Err(StoreError::MapFull),
            }
        }
        for job in jobs {
            let mark = self.batch.mark(&extra);
            let mut step = txn.nested()?;
            // SAFETY: see JobRef; jobs run one after the other on this thread.
            let verdict = unsafe { &mut *job.job }.run(&mut step, &mut extra);
            match verdict {
                Verdict::Good => {
                    step.commit()?;
                    good += 1;
                }
                Verdict::Failed => {
                    drop(step);
                    self.batch.rewind(&mut extra, mark);
                }
                Verdict::MapFull => return Err(StoreError::MapFull),
            }
        }
        if good == 0 {
            return Ok(());
        }
        self.commit(txn, &extra)
    }

    fn commit(&self, txn: Write<'_>, extra: &B::Extra) -> Result<(), StoreError> {
        self.batch.before_commit(extra)?;
        crate::crash_point!("store.before-commit");
        txn.commit()?;
        crate::crash_point!("store.after-commit");
        self.batch.committed(extra);
        Ok(())
    }
}

/// Holds back Ctrl-Z and its kin on this thread: a process stopped inside a write transaction would block every other writer.
struct Unstopped(nix::sys::signal::SigSet);

impl Unstopped {
    fn new() -> Unstopped {
        use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
        let stops: SigSet = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU].into_iter().collect();
        let mut before = SigSet::empty();
        // It cannot fail for a valid mask; were it to, the transaction is as safe, only the terminal could stop it.
        let _ = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stops), Some(&mut before));
        Unstopped(before)
    }
}

impl Drop for Unstopped {
    fn drop(&mut self) {
        let _ = nix::sys::signal::pthread_sigmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&self.0), None);
    }
}

impl Seat {
    fn wait(&self) -> Turn {
        let mut turn = lock(&self.turn);
        loop {
            match *turn {
                Turn::Waiting => turn = self.called.wait(turn).unwrap_or_else(PoisonError::into_inner),
                Turn::Lead => {
                    *turn = Turn::Waiting;
                    return Turn::Lead;
                }
                Turn::Done => return Turn::Done,
            }
        }
    }

    fn call(&self, next: Turn) {
        // Notified under the lock: the seat may be gone as soon as its owner can see Done.
        let mut turn = lock(&self.turn);
        *turn = next;
        self.called.notify_one();
    }
}
