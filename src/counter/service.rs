//! What a service with clients counts. Times come in as values.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::{Counters, Value};

/// The counters of a process. Each is one atomic number.
#[derive(Debug, Default)]
pub struct Counts {
    /// The service has logins.
    logins: bool,
    started_s: i64,
    last_s: AtomicI64,
    all: AtomicU64,
    open: AtomicU64,
    most: AtomicU64,
    failed: AtomicU64,
    good_logins: AtomicU64,
    bad_logins: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    messages: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counts {
    /// Those of a service that starts; `logins`: its clients log in, else they bring mail.
    pub fn new(logins: bool, started_s: i64) -> Counts {
        Counts { logins, started_s, ..Counts::default() }
    }

    /// A client is let in.
    pub fn opened(&self, now_s: i64) {
        add(&self.all, 1);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        self.last_s.store(now_s, Ordering::Relaxed);
    }

    /// A client that was let in has gone.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A client is sent away, or cannot be taken.
    pub fn failed(&self) {
        add(&self.failed, 1);
    }

    /// Somebody has logged in.
    pub fn logged_in(&self) {
        add(&self.good_logins, 1);
    }

    /// A login failed.
    pub fn login_failed(&self) {
        add(&self.bad_logins, 1);
    }

    /// Bytes came from a client.
    pub fn received(&self, count: u64) {
        add(&self.bytes_in, count);
    }

    /// Bytes went to a client.
    pub fn sent(&self, count: u64) {
        add(&self.bytes_out, count);
    }

    /// Mail came: messages, and recipients that have got it and that have not.
    pub fn mail(&self, messages: u64, delivered: u64, refused: u64) {
        add(&self.messages, messages);
        add(&self.delivered, delivered);
        add(&self.refused, refused);
    }

    /// As they are published.
    pub fn counters(&self) -> Counters {
        let number = |counter: &AtomicU64| Value::Number(get(counter));
        let mut all = vec![
            ("currentStartTime", Value::Time(self.started_s)),
            ("lastConnectionTime", Value::Time(self.last_s.load(Ordering::Relaxed))),
            ("maxConnections", number(&self.most)),
            ("numConnections", number(&self.all)),
            ("numCurrentConnections", Value::Open(get(&self.open))),
            ("numFailedConnections", number(&self.failed)),
        ];
        if self.logins {
            all.push(("numFailedLogins", number(&self.bad_logins)));
            all.push(("numGoodLogins", number(&self.good_logins)));
        } else {
            all.push(("numMessages", number(&self.messages)));
            all.push(("numDelivered", number(&self.delivered)));
            all.push(("numRefused", number(&self.refused)));
        }
        all.push(("numBytesIn", Value::Bytes(get(&self.bytes_in))));
        all.push(("numBytesOut", Value::Bytes(get(&self.bytes_out))));
        all.into_iter().map(|(name, value)| (format!("global.{name}"), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted() {
        let counts = Counts::new(true, 100);
        counts.opened(101);
        counts.opened(102);
        counts.closed();
        counts.failed();
        counts.logged_in();
        let all = counts.counters();
        let of = |name: &str| all.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!(of("global.lastConnectionTime"), Value::Time(102));
        assert_eq!((of("global.maxConnections"), of("global.numConnections")), (Value::Number(2), Value::Number(2)));
        assert_eq!(of("global.numCurrentConnections"), Value::Open(1));
        assert_eq!(
            (of("global.numFailedConnections"), of("global.numGoodLogins")),
            (Value::Number(1), Value::Number(1))
        );
    }
}
