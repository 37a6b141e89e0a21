//! Guessing passwords is made slow: after failures, the next try has to wait.
//!
//! A failure is charged to the address and to the account. The nth of an address is followed by a wait of base × 2^(n-1), 16 times the base at
//! most, and the tries of an address wait one behind the other. Tries for an account that failed elsewhere wait as long, but not behind each
//! other: whoever attacks an account from a thousand addresses makes its owner's login slow, never impossible. And who has logged in to the account from
//! the same address before is judged by what was tried from there for that account only: the owner at home, or a user of a web mail, does not notice
//! the attack. Failures are forgotten a quarter of an hour after the last.
//!
//! Memory is bounded: beyond [`ENTRIES`] the older half is forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::listener::site;
use crate::os::clock;

/// Most addresses and accounts with failures, and most places of success, that are remembered.
const ENTRIES: usize = 20_000;
/// After so many minutes without another failure they are forgotten.
const FORGOTTEN_MIN: u32 = 15;
/// The longest wait is the base times two to this power.
const GROWTH: u32 = 4;
/// The longest time that tries of an address stand behind each other.
const QUEUE: Duration = Duration::from_secs(60);
/// Failures of an address that the first login of another user makes good: many people behind one address mistype now and then.
const REDEEMED: u32 = 2;

/// What is remembered of a try. The keys are hashes with a key of this process: names are not kept.
#[derive(Debug)]
pub struct Throttle {
    keys: RandomState,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    failures: HashMap<u64, Failures>,
    /// Accounts at addresses, with the time of the last login.
    known: HashMap<u64, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
    /// The next try begins no earlier.
    next: Instant,
}

#[derive(Hash)]
enum Key<'a> {
    Address(IpAddr),
    Account(&'a str),
    Place(&'a str, IpAddr),
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle { keys: RandomState::new(), memory: Mutex::default() }
    }
}

impl Throttle {
    /// How long a try for `user` from `peer` has to wait; its turn is booked. `base`: the wait after one failure, zero for none at all. `None`: too
    /// many tries of this address wait already.
    pub fn turn(&self, base: Duration, peer: IpAddr, user: &str, now: Instant) -> Option<Duration> {
        let place = self.hash(&Key::Place(user, site(peer)));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |failures: Option<&Failures>| {
            failures.map_or(Duration::ZERO, |failures| failures.next.saturating_duration_since(now))
        };
        if memory.known.contains_key(&place) {
            let Some(failures) = memory.live(place, now) else {
                return Some(Duration::ZERO);
            };
            // Behind the tries that wait already.
            let turn = failures.next.saturating_duration_since(now);
            failures.next = now + turn + penalty(base, failures.count);
            return Some(turn);
        }
        let account = wait(memory.live(self.hash(&Key::Account(user)), now).as_deref());
        let Some(address) = memory.live(self.hash(&Key::Address(site(peer))), now) else {
            return Some(account);
        };
        let turn = address.next.saturating_duration_since(now);
        if turn > QUEUE.max(penalty(base, u32::MAX)) {
            return None;
        }
        address.next = now + turn + penalty(base, address.count);
        Some(account.max(turn))
    }

    /// A try failed.
    pub fn failed(&self, base: Duration, peer: IpAddr, user: Option<&str>, now: Instant) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let place = user.map(|user| self.hash(&Key::Place(user, site(peer))));
        let known = place.filter(|place| memory.known.contains_key(place));
        let keys = match (known, user) {
            (Some(place), _) => [Some(place), None],
            (None, user) => {
                [Some(self.hash(&Key::Address(site(peer)))), user.map(|user| self.hash(&Key::Account(user)))]
            }
        };
        for key in keys.into_iter().flatten() {
            let before = memory.live(key, now).copied().unwrap_or(Failures { count: 0, last: now, next: now });
            let count = before.count.saturating_add(1);
            let next = before.next.max(now + penalty(base, count));
            memory.failures.insert(key, Failures { count, last: now, next });
        }
        if memory.failures.len() > ENTRIES {
            halve(&mut memory.failures, |failures| failures.last);
        }
    }

    /// A try succeeded.
    pub fn succeeded(&self, peer: IpAddr, user: &str, now: Instant) {
        let place = self.hash(&Key::Place(user, site(peer)));
        let address = self.hash(&Key::Address(site(peer)));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.failures.remove(&place);
        if memory.known.insert(place, now).is_none()
            && let Some(failures) = memory.failures.get_mut(&address)
        {
            failures.count = failures.count.saturating_sub(REDEEMED);
            if failures.count == 0 {
                memory.failures.remove(&address);
            }
        }
        if memory.known.len() > ENTRIES {
            halve(&mut memory.known, |last| *last);
        }
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        self.keys.hash_one(key)
    }
}

impl Memory {
    /// The failures of a key that are not forgotten.
    fn live(&mut self, key: u64, now: Instant) -> Option<&mut Failures> {
        let old = |failures: &Failures| now.saturating_duration_since(failures.last) > clock::minute() * FORGOTTEN_MIN;
        if self.failures.get(&key).is_some_and(old) {
            self.failures.remove(&key);
        }
        self.failures.get_mut(&key)
    }
}

/// The wait after so many failures.
fn penalty(base: Duration, count: u32) -> Duration {
    if count == 0 { Duration::ZERO } else { base * 2u32.pow((count - 1).min(GROWTH)) }
}

/// Forgets the older half.
fn halve<T>(map: &mut HashMap<u64, T>, last: impl Fn(&T) -> Instant) {
    let mut times: Vec<Instant> = map.values().map(&last).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    map.retain(|_, value| last(value) > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(2);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_waits_of_an_address_grow_and_stand_behind_each_other() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let turn = |user: &str| throttle.turn(BASE, address(1), user, now);
        assert_eq!(turn("joe"), Some(seconds(0)));
        for (user, wait) in [("a", 2), ("b", 4), ("c", 8), ("d", 16), ("e", 32), ("f", 32), ("g", 32)] {
            throttle.failed(BASE, address(1), Some(user), now);
            // A turn would be booked: this only looks.
            let failures = throttle.memory.lock().unwrap().failures[&throttle.hash(&Key::Address(address(1)))];
            assert_eq!(failures.next - now, seconds(wait), "{user}");
        }
        // The second would wait longer than the queue is.
        assert_eq!([turn("x"), turn("y")], [Some(seconds(32)), None]);
        assert_eq!(throttle.turn(BASE, address(2), "x", now), Some(seconds(0)));
        // A quarter of an hour later all is forgotten.
        assert_eq!(throttle.turn(BASE, address(1), "x", now + seconds(901)), Some(seconds(0)));
    }

    #[test]
    fn an_attack_from_everywhere_does_not_lock_the_owner_out() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.succeeded(address(1), "joe", now);
        for last in 10..250 {
            throttle.failed(BASE, address(last), Some("joe"), now);
        }
        let turn = |last, user| throttle.turn(BASE, address(last), user, now);
        // At home nothing is noticed; elsewhere it is slow, and no slower the second time; others are not concerned.
        assert_eq!([turn(1, "joe"), turn(1, "joe")], [Some(seconds(0)); 2]);
        assert_eq!([turn(2, "joe"), turn(2, "joe")], [Some(seconds(32)); 2]);
        assert_eq!(turn(2, "ann"), Some(seconds(0)));
        // What fails at home is charged there, and ends with the next login.
        throttle.failed(BASE, address(1), Some("joe"), now);
        throttle.failed(BASE, address(1), Some("joe"), now);
        assert_eq!([turn(1, "joe"), turn(1, "ann")], [Some(seconds(4)), Some(seconds(0))]);
        assert_eq!(turn(1, "joe"), Some(seconds(8)));
        throttle.succeeded(address(1), "joe", now);
        assert_eq!(turn(1, "joe"), Some(seconds(0)));
    }

    #[test]
    fn many_people_behind_one_address_make_good_what_some_mistype() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..100 {
            throttle.failed(BASE, address(1), Some(&format!("mistyped{number}")), now);
            for right in 0..2 {
                throttle.succeeded(address(1), &format!("user{number}-{right}"), now);
            }
        }
        assert_eq!(throttle.turn(BASE, address(1), "new", now), Some(seconds(0)));
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..50_000u64 {
            let user = number.to_string();
            throttle.failed(BASE, address(1), Some(&user), now + Duration::from_millis(number));
            throttle.succeeded(address(2), &user, now + Duration::from_millis(number));
        }
        let memory = throttle.memory.lock().unwrap();
        assert!((1..=ENTRIES).contains(&memory.failures.len()) && (1..=ENTRIES).contains(&memory.known.len()));
    }
}
