//! ENABLE (RFC 5161).

use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;

/// Writes the list of what was enabled: those of `names` that can be and were not yet.
pub fn run(session: &mut Session, names: &[String], out: &mut Vec<u8>) -> Answer {
    respond::text(out, "* ENABLED");
    if names.iter().any(|name| name == "UTF8=ACCEPT") && !std::mem::replace(&mut session.utf8, true) {
        respond::text(out, " UTF8=ACCEPT");
    }
    respond::text(out, "\r\n");
    Answer::completed()
}
