//! RENAME (RFC 3501 section 6.3.5). Renaming INBOX moves its messages and leaves it empty.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::place::{denied, nonexistent};
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::Session;
use crate::store::Rights;

/// Renames a mailbox with everything below it.
///
/// # Errors
/// NO: the old one is not there or may not be renamed, nothing may be created where it goes, or the new one is there, or lies inside of the old one.
pub fn run(session: &mut Session, from: &str, to: &str, now_s: i64, out: &mut Vec<u8>) -> Answered {
    let old = from;
    let place = session.place(from)?.ok_or_else(nonexistent)?;
    let folder = session.look(&place, true)?.ok_or_else(nonexistent)?;
    session.check(place.account, &folder, Rights::CREATE, Code::NonExistent)?;
    let moves = Rights::READ.with(Rights::DELETE);
    if place.path.is_inbox() && !session.store.rights(place.account, &folder).contains(moves) {
        // Its messages move, the mailbox stays.
        return Err(denied());
    }
    let new = session.new_place(to)?;
    session.check_creation(&new)?;
    if new.account != place.account {
        return Err(Answer::no_with(Code::Cannot, "A mailbox stays with its owner"));
    }
    let (account, from, to) = (place.account, &place.path, &new.path);
    if to.is_inbox() {
        return Err(Answer::no_with(Code::AlreadyExists, "Mailbox already exists"));
    }
    if to != from && to.starts_with(from) && !from.is_inbox() {
        return Err(Answer::no_with(Code::Cannot, "A mailbox cannot be moved into itself"));
    }
    session.store.folder_rename(account, from, to, now_s)?;
    session.tell_renamed(old, (&place, &new), out);
    Ok(Answer::completed())
}
