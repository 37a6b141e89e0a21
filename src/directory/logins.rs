//! Passwords that were right lately, so that a client that connects often does not cost a slow hash each time. Nothing is kept from which a
//! password could be read without the random key of this process; a changed password is another entry and noticed at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::scram::{Bytes32, random};

/// The memory of a directory: how many, and for how long.
#[derive(Debug)]
pub struct Logins {
    key: Bytes32,
    capacity: usize,
    lifetime: Duration,
    seen: Mutex<HashMap<Bytes32, Instant>>,
}

impl Default for Logins {
    /// Remembers nothing.
    fn default() -> Logins {
        Logins::new(0, Duration::ZERO)
    }
}

impl Logins {
    /// Keeps at most `capacity` logins, each for `lifetime`; zero of either keeps none.
    pub fn new(capacity: usize, lifetime: Duration) -> Logins {
        Logins { key: random(), capacity, lifetime, seen: Mutex::default() }
    }

    /// Was this password right for this stored value, a short time ago?
    pub(super) fn knows(&self, password: &str, stored: &str) -> bool {
        let entry = self.entry(password, stored);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&entry).is_some_and(|since| since.elapsed() < self.lifetime)
    }

    /// It was right just now.
    pub(super) fn keep(&self, password: &str, stored: &str) {
        if self.capacity == 0 || self.lifetime.is_zero() {
            return;
        }
        let entry = self.entry(password, stored);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= self.capacity {
            seen.retain(|_, since| since.elapsed() < self.lifetime);
        }
        if seen.len() >= self.capacity {
            // All in use: half of them, whichever, cost a hash once more.
            let mut half = false;
            seen.retain(|_, _| {
                half = !half;
                half && self.capacity > 1
            });
        }
        seen.insert(entry, Instant::now());
    }

    fn entry(&self, password: &str, stored: &str) -> Bytes32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(stored.len() as u64).to_le_bytes());
        hasher.update(stored.as_bytes());
        hasher.update(password.as_bytes());
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_password_is_known_for_its_time_only() {
        let logins = Logins::new(10, Duration::from_secs(3600));
        assert!(!logins.knows("secret", "hash"));
        logins.keep("secret", "hash");
        assert!(logins.knows("secret", "hash"));
        for (password, stored) in [("secreu", "hash"), ("secret", "hash2"), ("hsecret", "has"), ("", "hash")] {
            assert!(!logins.knows(password, stored));
        }
        for (capacity, lifetime) in [(0, 3600), (10, 0)] {
            let logins = Logins::new(capacity, Duration::from_secs(lifetime));
            logins.keep("secret", "hash");
            assert!(!logins.knows("secret", "hash"));
        }
    }

    #[test]
    fn there_are_never_more_than_the_capacity() {
        for capacity in [1, 2, 7] {
            let logins = Logins::new(capacity, Duration::from_secs(3600));
            for n in 0..50 {
                logins.keep(&n.to_string(), "hash");
                assert!(logins.knows(&n.to_string(), "hash"));
                assert!(logins.seen.lock().unwrap().len() <= capacity);
            }
        }
    }
}
