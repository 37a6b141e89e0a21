//! NAMESPACE (RFC 2342): the user's own folders, and those of others. Public folders are those of the public user, so that there is no third list.

use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::respond;

/// Writes the namespaces.
pub fn run(out: &mut Vec<u8>) -> Answer {
    respond::text(out, "* NAMESPACE ((\"\" \"/\")) ((\"Shared Folders/User/\" \"/\")) NIL\r\n");
    Answer::completed()
}
