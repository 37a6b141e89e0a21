//! Named crash points: with the feature `failpoints` a process kills itself (SIGKILL) at the point that the environment
//! variable `CRASH_POINT=name` or `CRASH_POINT=name:nth` names, and panics at the one that `PANIC_POINT` names. Without the feature they are no code at all.

#[cfg(feature = "failpoints")]
use std::sync::OnceLock;
#[cfg(feature = "failpoints")]
use std::sync::atomic::{AtomicU64, Ordering};

/// Kills the process when the environment names this point; used through [`crash_point!`](crate::crash_point).
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    static WANTED: OnceLock<Wanted> = OnceLock::new();
    if WANTED.get_or_init(|| Wanted::read("CRASH_POINT")).now(name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Panics when the environment names this point; used through [`panic_point!`](crate::panic_point).
#[cfg(feature = "failpoints")]
#[allow(clippy::panic)]
pub fn stumble(name: &str) {
    static WANTED: OnceLock<Wanted> = OnceLock::new();
    if WANTED.get_or_init(|| Wanted::read("PANIC_POINT")).now(name) {
        panic!("the point {name}");
    }
}

/// A point, which time of it, and the times so far.
#[cfg(feature = "failpoints")]
struct Wanted(Option<(String, u64)>, AtomicU64);

#[cfg(feature = "failpoints")]
impl Wanted {
    fn read(variable: &str) -> Wanted {
        let wanted = std::env::var(variable).ok().map(|text| {
            let (point, nth) = text.rsplit_once(':').map_or((text.as_str(), 1), |(p, n)| (p, n.parse().unwrap_or(1)));
            (point.to_owned(), nth)
        });
        Wanted(wanted, AtomicU64::new(0))
    }

    fn now(&self, name: &str) -> bool {
        let Some((point, nth)) = &self.0 else { return false };
        point == name && self.1.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    }
}

/// `crash_point!("deliver.after-link")`: a place at which the crash test may end the process.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::os::crash::hit($name);
    };
}

/// `panic_point!("imap.worker")`: a place at which a test may have a bug.
#[macro_export]
macro_rules! panic_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::os::crash::stumble($name);
    };
}
