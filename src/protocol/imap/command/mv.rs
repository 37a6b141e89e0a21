//! MOVE and UID MOVE (RFC 6851). The EXPUNGE responses are the news at the end of the command.

use std::sync::Arc;

use super::copy::{admit, copyuid, failed, gone};
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::SequenceSet;
use crate::protocol::imap::respond::{self, Status};
use crate::protocol::imap::session::Session;
use crate::store::{Rights, StoreError, domain_of};

/// Moves messages. Into the selected mailbox itself they go as by COPY, and what they were is expunged (RFC 6851 section 3.3).
///
/// # Errors
/// As COPY; NO when the selected mailbox is read-only, or messages may not be deleted there.
pub fn run(
    session: &mut Session,
    uid: bool,
    set: &SequenceSet,
    mailbox: &str,
    now_s: i64,
    out: &mut Vec<u8>,
) -> Answered {
    let (account, folder) = session.target(mailbox)?;
    let tells_uids = session.store.rights(account, &folder).contains(Rights::READ);
    let to = (account, folder.id);
    let (store, server) = (session.store.clone(), Arc::clone(&session.server));
    let selected = session.writable()?;
    let Some(uids) = selected.uids(set, uid) else {
        return Err(Answer::bad("Invalid sequence in Move"));
    };
    if uids.is_empty() {
        return Ok(Answer::completed());
    }
    let from = (selected.account, selected.folder);
    // Within a domain nothing grows.
    let domain =
        |account| -> Result<String, StoreError> { Ok(domain_of(&store.view(account)?.account()?.userid).to_owned()) };
    if account != from.0 && domain(account)? != domain(from.0)? {
        admit(&store, &server, from, &uids, account)?;
    }
    let moved = store.move_messages(from, &uids, to, now_s).map_err(|error| failed(&store, to, error))?;
    session.tell_modseq(!moved.pairs.is_empty());
    match copyuid(&moved) {
        Some(_) if !tells_uids => {}
        Some(code) => respond::status(out, "*", Status::Ok, Some(&code), "Ok"),
        None if uid => {}
        None => return Err(gone()),
    }
    Ok(Answer::completed())
}
