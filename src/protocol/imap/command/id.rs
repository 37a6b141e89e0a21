//! ID (RFC 2971).

use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::respond;

/// Writes who we are.
pub fn run(out: &mut Vec<u8>) -> Answer {
    respond::text(out, concat!("* ID (\"name\" \"msgstore\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")\r\n"));
    Answer::completed()
}
