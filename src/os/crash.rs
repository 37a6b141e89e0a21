//! Named crash points: with the feature `failpoints` a process kills itself (SIGKILL) at the point that the environment
//! variable `CRASH_POINT=name` or `CRASH_POINT=name:nth` names. Without the feature they are no code at all.

/// Kills the process when the environment names this point; used through [`crash_point!`](crate::crash_point).
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("CRASH_POINT").ok()?;
        let (point, nth) = text.rsplit_once(':').map_or((text.as_str(), 1), |(p, n)| (p, n.parse().unwrap_or(1)));
        Some((point.to_owned(), nth))
    });
    if let Some((point, nth)) = wanted
        && point == name
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
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
