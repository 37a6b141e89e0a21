//! Where a message has been: its `Received` and `Delivered-To` lines, by which one that goes round between mail systems is told.

use std::io::{self, Read, Seek, SeekFrom};

use crate::message::{header, scan};
use crate::store::{Staged, StoreError};
use crate::text::domain;

/// How often a message may have been somewhere; 0: as often as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `Received` lines.
    pub received: usize,
    /// `Delivered-To` lines with the address of the recipient.
    pub delivered_to: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { received: 100, delivered_to: 5 }
    }
}

/// A message goes round (RFC 5321 section 6.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Looping {
    /// By its `Received` lines.
    #[error("mail loop: {0} Received lines")]
    Received(usize),
    /// By its `Delivered-To` lines.
    #[error("mail loop: delivered to {address} {times} times")]
    DeliveredTo {
        /// The recipient.
        address: String,
        /// How often it was delivered to them.
        times: usize,
    },
}

/// The trace of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    received: usize,
    /// The addresses, as [`compared`] has them.
    delivered_to: Vec<String>,
}

impl Trace {
    /// That of a staged message; `head_bytes`: what this delivery has put before it, which is no trace.
    ///
    /// # Errors
    /// The staging file cannot be read.
    pub fn of(staged: &Staged, head_bytes: u64) -> Result<Trace, StoreError> {
        let mut header = Vec::new();
        let length = staged.scanned.header_size.saturating_sub(head_bytes).min(scan::MAX_HEADER as u64);
        let read = std::fs::File::open(staged.path()).and_then(|mut file| -> io::Result<_> {
            file.seek(SeekFrom::Start(head_bytes))?;
            file.take(length).read_to_end(&mut header)
        });
        read.map_err(|error| StoreError::io("read", staged.path(), error))?;
        Ok(Trace::read(&header))
    }

    fn read(header: &[u8]) -> Trace {
        let mut trace = Trace::default();
        for field in header::fields(header) {
            if field.is("Received") {
                trace.received += 1;
            } else if field.is("Delivered-To") {
                let value = field.unfolded();
                trace.delivered_to.push(compared(String::from_utf8_lossy(&value).trim().trim_matches(['<', '>'])));
            }
        }
        trace
    }

    /// Looks whether the message goes round on its way to `address`.
    ///
    /// # Errors
    /// [`Looping`].
    pub fn check(&self, bounds: Bounds, address: &str) -> Result<(), Looping> {
        let exceeds = |count: usize, bound: usize| bound > 0 && count > bound;
        if exceeds(self.received, bounds.received) {
            return Err(Looping::Received(self.received));
        }
        let wanted = compared(address);
        let times = self.delivered_to.iter().filter(|known| **known == wanted).count();
        if exceeds(times, bounds.delivered_to) {
            return Err(Looping::DeliveredTo { address: address.to_owned(), times });
        }
        Ok(())
    }
}

/// An address in small letters, its domain in ASCII.
fn compared(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{}", local.to_lowercase(), domain::ascii(domain)),
        None => address.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_bounds_may_be_off() {
        let header = b"received: by a\r\n\tid 1\r\nDelivered-To: <Joe@Example.org>\r\nX-Received: no\r\n\
                       Delivered-To: joe@example.org\r\nRECEIVED: by b\r\n\r\nReceived: of the body\r\n";
        let trace = Trace::read(header);
        assert_eq!((trace.received, trace.delivered_to.len()), (2, 2));
        let check = |received, delivered_to, address| trace.check(Bounds { received, delivered_to }, address);
        assert_eq!(check(2, 2, "joe@example.org"), Ok(()));
        assert_eq!(check(0, 0, "joe@example.org"), Ok(()));
        assert_eq!(check(1, 0, "joe@example.org"), Err(Looping::Received(2)));
        let address = "JOE@example.org".to_owned();
        assert_eq!(check(0, 1, &address), Err(Looping::DeliveredTo { address: address.clone(), times: 2 }));
        assert_eq!(check(0, 1, "jane@example.org"), Ok(()));
        // A domain has two forms.
        let trace = Trace::read("Delivered-To: joe@b\u{fc}cher.example\r\n\r\n".as_bytes());
        let other = Trace::read(b"Delivered-To: joe@XN--bcher-kva.example\r\n\r\n");
        assert_eq!(trace, other);
    }
}
