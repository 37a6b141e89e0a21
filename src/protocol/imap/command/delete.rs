//! DELETE (RFC 3501 section 6.3.4).

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::Session;

/// Deletes a mailbox; one with inferior names stays as a name that cannot be selected.
///
/// # Errors
/// NO: there is no such mailbox, or it is INBOX, or a name that only holds others.
pub fn run(session: &mut Session, name: &str, now_s: i64, out: &mut Vec<u8>) -> Answered {
    let account = session.account()?;
    let path = session.path(name)?;
    if path.is_inbox() {
        return Err(Answer::no_with(Code::Cannot, "INBOX cannot be deleted"));
    }
    let view = session.server.store.view(account)?;
    let Some(folder) = view.resolve(&path)? else {
        return Err(Answer::no_with(Code::NonExistent, "Mailbox does not exist"));
    };
    if folder.noselect {
        let below = view.folders()?.into_iter().any(|(other, _)| other != path && other.starts_with(&path));
        if below {
            return Err(Answer::no_with(Code::Cannot, "Mailbox has inferior hierarchical names"));
        }
    }
    drop(view);
    session.server.store.folder_delete(account, &path, now_s)?;
    session.tell_normal(name, &path, out);
    if session.selected.as_ref().is_some_and(|selected| selected.account == account && selected.folder == folder.id) {
        session.selected = None;
    }
    Ok(Answer::completed())
}
