//! ENABLE (RFC 5161). No extension of this server needs to be enabled, so none is.

use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::respond;

/// Writes the list of what was enabled: those of `names` that can be.
pub fn run(_names: &[String], out: &mut Vec<u8>) -> Answer {
    respond::text(out, "* ENABLED\r\n");
    Answer::completed()
}
