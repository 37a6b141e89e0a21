//! DELETE (RFC 3501 section 6.3.4).

use crate::ops::quota::status;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::place::nonexistent;
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::Session;
use crate::store::Rights;

/// Deletes a mailbox; one with inferior names stays as a name that cannot be selected.
///
/// # Errors
/// NO: there is no such mailbox, it may not be deleted, it is INBOX, or a name that only holds others.
pub fn run(session: &mut Session, name: &str, now_s: i64, out: &mut Vec<u8>) -> Answered {
    let place = session.place(name)?.ok_or_else(nonexistent)?;
    let folder = session.look(&place, true)?.ok_or_else(nonexistent)?;
    session.check(place.account, &folder, Rights::CREATE, Code::NonExistent)?;
    let (account, path) = (place.account, &place.path);
    if path.is_inbox() {
        return Err(Answer::no_with(Code::Cannot, "INBOX cannot be deleted"));
    }
    if folder.noselect {
        let below = session
            .store
            .view(account)?
            .folders()?
            .into_iter()
            .any(|(other, _)| other != *path && other.starts_with(path));
        if below {
            return Err(Answer::no_with(Code::HasChildren, "Mailbox has inferior hierarchical names"));
        }
    }
    session.store.folder_delete(account, path, now_s)?;
    // There may be room again in the mailbox.
    status::follow(&session.server.quota.now(), &session.server.store, &session.server.directory, account);
    session.tell_normal(name, &place, out);
    if session.selected.as_ref().is_some_and(|selected| selected.account == account && selected.folder == folder.id) {
        session.selected = None;
    }
    Ok(Answer::completed())
}
