//! SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2).

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::selected::Selected;
use crate::protocol::imap::session::Session;

/// Opens a mailbox. A mailbox that was open is closed first, whatever comes of the new one.
///
/// # Errors
/// NO: there is no such mailbox.
pub fn run(session: &mut Session, name: &str, read_only: bool, out: &mut Vec<u8>) -> Answered {
    session.leave();
    let account = session.account()?;
    let path = session.path(name)?;
    let store = &session.server.store;
    let found = store.view(account)?.resolve(&path)?;
    let Some(folder) = found.filter(|folder| !folder.noselect) else {
        return Err(Answer::no_with(Code::NonExistent, "Mailbox does not exist"));
    };
    let recent_from =
        if read_only { store.recent_from(account, &folder) } else { store.claim_recent(account, folder.id)? };
    let view = store.view(account)?;
    // The row again: the mailbox may have changed between the two snapshots.
    let Some(folder) = view.folder(folder.id)? else {
        return Err(Answer::no_with(Code::NonExistent, "Mailbox does not exist"));
    };
    let picture = session.server.pictures.of(&view, account, &folder)?;
    let selected = Selected::open(&view, (account, &folder), &picture, path.to_string(), read_only, recent_from)?;
    drop(view);
    selected.write_flags(out);
    respond::counted(out, selected.numbers.count(), "EXISTS");
    respond::counted(out, u32::try_from(selected.recent.len()).unwrap_or(u32::MAX), "RECENT");
    if let Some(number) = picture.unseen.and_then(|uid| selected.numbers.number(uid)) {
        respond::status(out, "*", Status::Ok, Some(&Code::Unseen(number)), "Ok");
    }
    respond::status(out, "*", Status::Ok, Some(&Code::UidValidity(folder.uidvalidity)), "Ok");
    respond::status(out, "*", Status::Ok, Some(&Code::UidNext(folder.uidnext)), "Ok");
    session.selected = Some(selected);
    session.counts.selected += 1;
    Ok(Answer::completed_with(if read_only { Code::ReadOnly } else { Code::ReadWrite }))
}
