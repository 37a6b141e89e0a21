//! CLOSE (RFC 3501 section 6.4.2): expunges without telling, then leaves the mailbox. UNSELECT (RFC 3691) only leaves it.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::session::Session;
use crate::store::StoreError;

/// Closes the selected mailbox.
///
/// # Errors
/// NO: the messages could not be expunged; the mailbox stays selected.
pub fn run(session: &mut Session, now_s: i64) -> Answered {
    if session.is_deleted()? {
        // Whatever has the name now is not what was selected.
        session.selected = None;
        return Ok(Answer::completed());
    }
    if let Some(selected) = session.selected.as_ref().filter(|selected| !selected.read_only) {
        match session.store.expunge(selected.account, selected.folder, None, now_s) {
            // Who may not expunge leaves the mailbox as it is (RFC 4314 section 4).
            Ok(_) | Err(StoreError::Denied) => {}
            Err(error) => return Err(error.into()),
        }
    }
    session.leave();
    Ok(Answer::completed())
}
