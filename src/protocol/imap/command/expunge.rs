//! EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1). The untagged responses are the news at the end of the command.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::SequenceSet;
use crate::protocol::imap::session::Session;

/// Expunges the deleted messages, with `only` those of them that it names.
///
/// # Errors
/// NO: the mailbox is read-only, messages may not be expunged, or what the store says.
pub fn run(session: &mut Session, only: Option<&SequenceSet>, now_s: i64) -> Answered {
    let store = session.store.clone();
    let selected = session.writable()?;
    let uids = only.and_then(|set| selected.uids(set, true));
    let expunged = store.expunge(selected.account, selected.folder, uids.as_ref(), now_s)?;
    session.tell_modseq(!expunged.uids.is_empty());
    Ok(Answer::completed())
}
