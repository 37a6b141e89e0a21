//! NAMESPACE (RFC 2342): the user's own folders. Folders of others are not served, so there is no second and no third list.

use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::respond;

/// Writes the namespaces.
pub fn run(out: &mut Vec<u8>) -> Answer {
    respond::text(out, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    Answer::completed()
}
