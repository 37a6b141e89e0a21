//! Answers that are remembered for a while, also that there is nobody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Answers by what was asked, up to a number of bytes.
#[derive(Debug)]
pub(super) struct Cache<T> {
    capacity_bytes: usize,
    lifetime: Duration,
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    answers: HashMap<String, (Instant, usize, T)>,
    size_bytes: usize,
}

impl<T: Clone> Cache<T> {
    /// Zero bytes, or no time: nothing is kept.
    pub(super) fn new(capacity_bytes: usize, lifetime: Duration) -> Cache<T> {
        let kept = Kept { answers: HashMap::new(), size_bytes: 0 };
        Cache { capacity_bytes, lifetime, kept: Mutex::new(kept) }
    }

    pub(super) fn get(&self, question: &str) -> Option<T> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, _, answer) = kept.answers.get(question)?;
        (since.elapsed() < self.lifetime).then(|| answer.clone())
    }

    /// `size_bytes`: about how much memory the answer takes.
    pub(super) fn keep(&self, question: &str, answer: T, size_bytes: usize) {
        let size_bytes = size_bytes + question.len() + OVERHEAD_BYTES;
        if self.lifetime.is_zero() || size_bytes > self.capacity_bytes {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { answers, size_bytes: total } = &mut *kept;
        if *total + size_bytes > self.capacity_bytes {
            answers.retain(|_, (since, ..)| since.elapsed() < self.lifetime);
            *total = answers.values().map(|(_, size, _)| size).sum();
        }
        if *total + size_bytes > self.capacity_bytes {
            answers.clear();
            *total = 0;
        }
        *total += size_bytes;
        if let Some((_, old, _)) = answers.insert(question.to_owned(), (Instant::now(), size_bytes, answer)) {
            *total -= old;
        }
    }

    /// One answer does not count any more.
    pub(super) fn forget(&self, question: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, size, _)) = kept.answers.remove(question) {
            kept.size_bytes -= size;
        }
    }

    /// After a change of the directory nothing that was remembered counts.
    pub(super) fn clear(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers.clear();
        kept.size_bytes = 0;
    }
}

/// What the table itself takes for an answer, about.
const OVERHEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_within_bounds() {
        let cache = Cache::new(1000, Duration::from_secs(3600));
        for n in 0..100 {
            cache.keep(&n.to_string(), n, 100);
            assert_eq!(cache.get(&n.to_string()), Some(n));
            assert!(cache.kept.lock().unwrap().size_bytes <= 1000);
        }
        cache.keep("99", 7, 100);
        assert_eq!(cache.get("99"), Some(7));
        let sum: usize = cache.kept.lock().unwrap().answers.values().map(|(_, size, _)| size).sum();
        assert_eq!(sum, cache.kept.lock().unwrap().size_bytes);
        cache.forget("99");
        assert_eq!(cache.get("99"), None);
        let sum: usize = cache.kept.lock().unwrap().answers.values().map(|(_, size, _)| size).sum();
        assert_eq!(sum, cache.kept.lock().unwrap().size_bytes);
        cache.keep("large", 1, 1000);
        assert_eq!(cache.get("large"), None);
        cache.clear();
        assert_eq!(cache.get("99"), None);
        for (bytes, seconds) in [(0, 3600), (1000, 0)] {
            let cache = Cache::new(bytes, Duration::from_secs(seconds));
            cache.keep("a", 1, 1);
            assert_eq!(cache.get("a"), None);
        }
    }
}
