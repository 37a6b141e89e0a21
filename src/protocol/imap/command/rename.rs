//! RENAME (RFC 3501 section 6.3.5). Renaming INBOX moves its messages and leaves it empty.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::Session;

/// Renames a mailbox with everything below it.
///
/// # Errors
/// NO: the old one is not there, or the new one is, or lies inside of the old one.
pub fn run(session: &mut Session, from: &str, to: &str, now_s: i64, out: &mut Vec<u8>) -> Answered {
    let account = session.account()?;
    let (old, from, to) = (from, session.path(from)?, session.new_path(to)?);
    if to.is_inbox() {
        return Err(Answer::no_with(Code::AlreadyExists, "Mailbox already exists"));
    }
    if to.components().first().is_some_and(|first| first == super::create::SHARED) {
        return Err(Answer::no_with(Code::Cannot, "Mailboxes of other users cannot be created here"));
    }
    if to != from && to.starts_with(&from) && !from.is_inbox() {
        return Err(Answer::no_with(Code::Cannot, "A mailbox cannot be moved into itself"));
    }
    session.server.store.folder_rename(account, &from, &to, now_s)?;
    session.tell_renamed(old, (&from, &to), out);
    Ok(Answer::completed())
}
