//! SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2) with the parameters CONDSTORE and QRESYNC (RFC 7162).

use super::create::mailbox_id;
use super::fetch;
use super::resync::missed;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::Opening;
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::selected::Selected;
use crate::protocol::imap::session::{Session, Started};

/// Opens a mailbox. A mailbox that was open is closed first, whatever comes of the new one.
///
/// # Errors
/// NO: there is no such mailbox; BAD: QRESYNC is not enabled.
pub(in crate::protocol::imap) fn run(
    session: &mut Session,
    opening: &Opening,
    read_only: bool,
    out: &mut Vec<u8>,
) -> Result<Started, Answer> {
    if opening.resync.is_some() && !session.enabled.qresync {
        return Err(Answer::bad("QRESYNC is not enabled"));
    }
    if session.selected.is_some() {
        // What follows is about another mailbox (RFC 7162 section 3.2.11).
        respond::status(out, "*", Status::Ok, Some(&Code::Closed), "Previous mailbox closed");
    }
    session.leave();
    let account = session.account()?;
    let path = session.path(&opening.mailbox)?;
    let store = &session.server.store;
    let view = store.view(account)?;
    let found = view.resolve(&path)?;
    let Some(folder) = found.filter(|folder| !folder.noselect) else {
        return Err(Answer::no_with(Code::NonExistent, "Mailbox does not exist"));
    };
    let recent_from =
        if read_only { store.recent_from(account, &folder) } else { store.claim_recent(account, &folder)? };
    let picture = session.server.pictures.of(&view, account, &folder)?;
    let selected = Selected::open(&view, (account, &folder), &picture, path.to_string(), read_only, recent_from)?;
    // From the same snapshot as HIGHESTMODSEQ: what changes later has a greater mod-sequence.
    let missed = match &opening.resync {
        Some(resync) => missed(&view, &folder, &selected.numbers, resync)?,
        None => Default::default(),
    };
    drop(view);
    selected.write_flags(out);
    respond::counted(out, selected.numbers.count(), "EXISTS");
    respond::counted(out, u32::try_from(selected.recent.len()).unwrap_or(u32::MAX), "RECENT");
    let unseen = picture.unseen.and_then(|uid| selected.numbers.number(uid)).map(Code::Unseen);
    let told = [
        Code::UidValidity(folder.uidvalidity),
        Code::UidNext(folder.uidnext),
        // RFC 7162 section 3.1.2.1.
        Code::HighestModseq(folder.highest_modseq),
        // RFC 8474 section 4.2.
        Code::MailboxId(mailbox_id(&folder)),
    ];
    for code in unseen.into_iter().chain(told) {
        respond::status(out, "*", Status::Ok, Some(&code), "Ok");
    }
    session.selected = Some(selected);
    session.counts.selected += 1;
    let answer = Answer::completed_with(if read_only { Code::ReadOnly } else { Code::ReadWrite });
    let (vanished, changed) = missed;
    respond::vanished(out, true, vanished.ranges());
    if changed.is_empty() {
        return Ok(Started::Answer(answer));
    }
    fetch::states(session, &changed, answer).map(Started::Running)
}
