//! CREATE (RFC 3501 section 6.3.3). Missing superior names are created, too; a trailing separator is dropped.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::Session;
use crate::store::CreateOptions;

/// Names below this one belong to other users' folders.
pub(super) const SHARED: &str = "Shared Folders";

/// Creates a mailbox.
///
/// # Errors
/// NO: the name is taken or not allowed.
pub fn run(session: &mut Session, name: &str, now_s: i64) -> Answered {
    let account = session.account()?;
    let path = session.new_path(name)?;
    if path.is_inbox() {
        return Err(Answer::no_with(Code::AlreadyExists, "Mailbox already exists"));
    }
    if path.components().first().is_some_and(|first| first == SHARED) {
        return Err(Answer::no_with(Code::Cannot, "Mailboxes of other users cannot be created here"));
    }
    session.server.store.folder_create(account, &path, &CreateOptions::default(), now_s)?;
    Ok(Answer::completed())
}
