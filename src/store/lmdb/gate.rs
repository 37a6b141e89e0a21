//! The gate of an environment: transactions share it, a change of the map's size has it alone.
//!
//! It is no `RwLock`: with that, a thread that holds a transaction and begins another would wait behind a thread that waits for the first to end,
//! for ever. Here a thread that is inside of any gate of the process is let in past those who wait to be alone; nobody holds a gate alone for
//! longer than one system call takes.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock;

thread_local! {
    /// The gates this thread is inside of (their addresses), once for each time.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct State {
    inside: usize,
    waiting: usize,
    alone: bool,
}

/// See the top of the file.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// A share of a gate. It stays on its thread.
pub(super) struct Pass<'g> {
    gate: &'g Gate,
    _thread: PhantomData<*const ()>,
}

/// A gate held alone.
pub(super) struct Alone<'g> {
    gate: &'g Gate,
}

impl Gate {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// True while this thread is inside.
    pub(super) fn is_mine(&self) -> bool {
        INSIDE.with_borrow(|inside| inside.contains(&self.address()))
    }

    /// Waits until nobody is alone inside, nor waits to be (unless this thread is inside of a gate), and enters.
    pub(super) fn enter(&self) -> Pass<'_> {
        let first = INSIDE.with_borrow(Vec::is_empty);
        let mut state = lock(&self.state);
        while state.alone || (first && state.waiting > 0) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
        drop(state);
        INSIDE.with_borrow_mut(|inside| inside.push(self.address()));
        Pass { gate: self, _thread: PhantomData }
    }

    /// Waits until nobody is inside; `None` when that takes longer than `patience`, or would take for ever because this thread is inside.
    pub(super) fn alone(&self, patience: Duration) -> Option<Alone<'_>> {
        if self.is_mine() {
            return None;
        }
        let begun = Instant::now();
        let mut state = lock(&self.state);
        state.waiting += 1;
        while state.alone || state.inside > 0 {
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                state.waiting -= 1;
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        state.alone = true;
        Some(Alone { gate: self })
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let address = self.gate.address();
        INSIDE.with_borrow_mut(|inside| {
            if let Some(at) = inside.iter().rposition(|one| *one == address) {
                inside.swap_remove(at);
            }
        });
        let mut state = lock(&self.gate.state);
        state.inside -= 1;
        if state.inside == 0 && state.waiting > 0 {
            self.gate.changed.notify_all();
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        lock(&self.gate.state).alone = false;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(120);

    fn waits(gate: &Gate) {
        let begun = Instant::now();
        while lock(&gate.state).waiting == 0 {
            assert!(begun.elapsed() < LONG);
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_is_inside_is_let_in_past_one_who_waits_to_be_alone() {
        let (gate, other) = (Gate::default(), Gate::default());
        let (said, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            let first = gate.enter();
            scope.spawn(|| {
                let alone = gate.alone(LONG);
                said.send(alone.is_some()).unwrap();
            });
            waits(&gate);
            // Again, and from inside of one gate into another: neither waits. (Were they to, the other would give up, which is seen below.)
            let second = gate.enter();
            drop(other.enter());
            assert!(heard.recv_timeout(SOON).is_err(), "alone though two are inside");
            // A thread that is outside waits its turn.
            let (late, came) = mpsc::channel();
            let gate = &gate;
            scope.spawn(move || {
                drop(gate.enter());
                late.send(()).unwrap();
            });
            assert!(came.recv_timeout(SOON).is_err(), "entered though one waits to be alone");
            drop(second);
            assert!(heard.recv_timeout(SOON).is_err(), "alone though one is inside");
            drop(first);
            assert_eq!(heard.recv_timeout(LONG), Ok(true));
            came.recv_timeout(LONG).unwrap();
        });
        assert!(!gate.is_mine());
    }

    #[test]
    fn who_waits_in_vain_gives_up_and_is_forgotten() {
        let gate = Gate::default();
        let pass = gate.enter();
        assert!(gate.alone(LONG).is_none(), "it would wait for itself");
        std::thread::scope(|scope| {
            assert!(scope.spawn(|| gate.alone(SOON).is_none()).join().unwrap());
            // Nobody waits any more: an outsider enters at once.
            scope.spawn(|| drop(gate.enter())).join().unwrap();
        });
        drop(pass);
        assert!(gate.alone(SOON).is_some());
    }
}
