//! COPY (RFC 3501 section 6.4.7) with COPYUID (RFC 4315).

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::ops::quota::domain::DomainLimit;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::SequenceSet;
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::server::Server;
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, Copied, FolderId, Kind, Rights, Store, StoreError, UidSet, Usage};

/// Copies messages; all of them or none. Those that others have expunged meanwhile are passed over.
///
/// # Errors
/// NO: no such mailbox, no right to insert, over quota, a message is gone; BAD: no such message.
pub fn run(session: &mut Session, uid: bool, set: &SequenceSet, mailbox: &str, now_s: i64) -> Answered {
    let (account, folder) = session.target(mailbox)?;
    let tells_uids = session.store.rights(account, &folder).contains(Rights::READ);
    let to = (account, folder.id);
    let (store, server) = (session.store.clone(), Arc::clone(&session.server));
    let selected = session.mailbox()?;
    let Some(uids) = selected.uids(set, uid) else {
        return Err(Answer::bad("Invalid sequence in Copy"));
    };
    let copied = match uids.is_empty() {
        true => return Ok(Answer::completed()),
        false => admit(&store, &server, (selected.account, selected.folder), &uids, account)
            .and_then(|()| store.copy((selected.account, selected.folder), &uids, to, now_s))
            .map_err(|error| failed(&store, to, error))?,
    };
    match copyuid(&copied) {
        // RFC 4315 section 3: who may not select the mailbox is not told of its UIDs.
        Some(_) if !tells_uids => Ok(Answer::completed()),
        Some(code) => Ok(Answer::completed_with(code)),
        None if uid => Ok(Answer::completed()),
        None => Err(gone()),
    }
}

/// Checks that the domain of the target's owner has room for copies.
pub(super) fn admit(
    store: &Store,
    server: &Server,
    from: (AccountId, FolderId),
    uids: &UidSet,
    to: AccountId,
) -> Result<(), StoreError> {
    let mut more = Usage::default();
    let view = store.view(from.0)?;
    for (first, last) in uids.ranges() {
        view.messages(from.1, *first..=*last, &mut |message| {
            more = more.and(Usage { bytes: message.size, messages: 1 });
            ControlFlow::Continue(())
        })?;
    }
    drop(view);
    DomainLimit::admit_to(store, &server.directory, to, more)
}

/// Why nothing was copied. Where the target was deleted since the command began it is as if it had never been there.
pub(super) fn failed(store: &Store, (account, to): (AccountId, FolderId), error: StoreError) -> Answer {
    let is_there =
        || store.view(account).and_then(|view| view.folder(to)).map(|folder| folder.is_some_and(|it| !it.noselect));
    match error.kind() {
        Kind::NotFound if !is_there().unwrap_or(true) => Answer::no_with(Code::TryCreate, "Mailbox does not exist"),
        _ => error.into(),
    }
}

/// Messages were named by their numbers, and some of them are not there any more.
pub(super) fn gone() -> Answer {
    Answer::no_with(Code::ExpungeIssued, "Some of the messages no longer exist")
}

/// The COPYUID code; `None` when nothing was copied.
pub(super) fn copyuid(copied: &Copied) -> Option<Code> {
    if copied.pairs.is_empty() {
        return None;
    }
    Some(Code::CopyUid {
        uidvalidity: copied.uidvalidity,
        from: runs(copied.pairs.iter().map(|pair| pair.0)),
        to: runs(copied.pairs.iter().map(|pair| pair.1)),
    })
}

/// Ranges in the order given: COPYUID pairs the two sets by position.
pub(super) fn runs(uids: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for uid in uids {
        match runs.last_mut() {
            Some(run) if run.1.checked_add(1) == Some(uid) => run.1 = uid,
            _ => runs.push((uid, uid)),
        }
    }
    runs
}
