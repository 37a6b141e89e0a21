//! A message on its way into its staging file.

use std::io::Write;

use super::answer::failed;
use crate::ops::delivery::{self, Lines};
use crate::store::{Staged, Staging};

/// Takes the bytes of a message as they come. After a failure they are still counted, and go nowhere.
pub(super) struct Receiving {
    staging: Result<Staging, String>,
    lines: Lines,
    text: Vec<u8>,
    head_bytes: u64,
    size: u64,
    limit: u64,
}

impl Receiving {
    /// A message of at most `limit` bytes; `head` goes before it. `staging`: its file, or the answer to the whole message.
    pub(super) fn new(staging: Result<Staging, String>, head: Vec<u8>, limit: u64) -> Receiving {
        let head_bytes = head.len() as u64;
        Receiving { staging, lines: Lines::new(false), text: head, head_bytes, size: 0, limit }
    }

    /// Why it cannot be taken; known before it ends.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.staging.as_ref().err().map(String::as_str)
    }

    /// Bytes of what goes before it.
    pub(super) fn head_bytes(&self) -> u64 {
        self.head_bytes
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len() as u64);
        let Ok(staging) = &mut self.staging else { return };
        if self.size > self.limit {
            self.staging = Err("552 5.3.4 Message too large".to_owned());
            self.text = Vec::new();
            return;
        }
        self.lines.push(bytes, &mut self.text);
        let written = staging.write_all(&self.text);
        self.text.clear();
        if let Err(error) = written {
            self.staging = Err(failed("a message", &delivery::written(error)));
        }
    }

    /// The end. `Err`: the answer for every recipient.
    pub(super) fn finish(mut self) -> Result<Staged, String> {
        // An empty message has not written what goes before it.
        if self.size == 0 && self.staging.is_ok() {
            self.staging = Err("554 5.6.0 The message is empty".to_owned());
        }
        delivery::finish(self.staging?).map_err(|error| failed("a message", &error))
    }
}
