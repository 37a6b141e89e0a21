//! STATUS (RFC 3501 section 6.3.10 and extensions; DELETED and DELETED-STORAGE: RFC 9208 section 4.1.5).

use std::ops::ControlFlow;

use super::create::mailbox_id;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::StatusItem;
use crate::protocol::imap::place::nonexistent;
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::server::Server;
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, Flags, Folder, Rights, StoreError, Uid, UidSet, View};

/// Writes the numbers of a mailbox without selecting it.
///
/// # Errors
/// NO: there is no such mailbox, or it may not be read.
pub fn run(session: &mut Session, name: &str, items: &[StatusItem], out: &mut Vec<u8>) -> Answered {
    let (place, folder) = session.found(name, Rights::READ)?;
    let view = session.store.view(place.account)?;
    // The row again, from the snapshot that is told.
    let folder = view.folder(folder.id)?.filter(|folder| !folder.noselect).ok_or_else(nonexistent)?;
    session.check(place.account, &folder, Rights::READ, Code::NonExistent)?;
    let values = values(&session.server, &view, place.account, &folder, items)?;
    drop(view);
    respond::mailbox_status(out, &session.shown(&place.name), &values);
    Ok(Answer::completed())
}

/// What is known of a folder, as it is written, in the order in which they were asked for.
pub(super) fn values(
    server: &Server,
    view: &View<'_>,
    account: AccountId,
    folder: &Folder,
    items: &[StatusItem],
) -> Result<Vec<(StatusItem, String)>, StoreError> {
    let recent_from = server.store.recent_from(account, folder);
    let value = |item| value(view, folder, (recent_from, server.message_bytes), item);
    items.iter().map(|item| Ok((*item, value(*item)?))).collect()
}

fn value(
    view: &View<'_>,
    folder: &Folder,
    (recent_from, message_bytes): (Uid, u64),
    item: StatusItem,
) -> Result<String, StoreError> {
    Ok(match item {
        StatusItem::Messages => folder.exists.to_string(),
        StatusItem::UidNext => folder.uidnext.to_string(),
        StatusItem::UidValidity => folder.uidvalidity.to_string(),
        StatusItem::Unseen => folder.unseen.to_string(),
        StatusItem::HighestModseq => folder.highest_modseq.to_string(),
        StatusItem::Size => folder.bytes.to_string(),
        StatusItem::MailboxId => format!("({})", mailbox_id(folder)),
        StatusItem::AppendLimit => message_bytes.to_string(),
        StatusItem::Deleted => deleted(view, folder)?.len().to_string(),
        StatusItem::DeletedStorage => deleted_bytes(view, folder)?.to_string(),
        StatusItem::Recent => {
            let mut recent = 0u64;
            view.states(folder.id, recent_from.max(1)..=Uid::MAX, &mut |run| {
                recent = recent.saturating_add(run.count.into())
            })?;
            recent.to_string()
        }
    })
}

/// The messages with `\Deleted`.
fn deleted(view: &View<'_>, folder: &Folder) -> Result<UidSet, StoreError> {
    let mut deleted = UidSet::new();
    view.states(folder.id, 0..=Uid::MAX, &mut |run| {
        if run.flags.contains(Flags::DELETED) {
            deleted.insert_range(run.first, run.last());
        }
    })?;
    Ok(deleted)
}

/// What an EXPUNGE would free, bytes.
fn deleted_bytes(view: &View<'_>, folder: &Folder) -> Result<u64, StoreError> {
    let mut bytes = 0u64;
    for (first, last) in deleted(view, folder)?.ranges() {
        view.messages(folder.id, *first..=*last, &mut |message| {
            bytes = bytes.saturating_add(message.size);
            ControlFlow::Continue(())
        })?;
    }
    Ok(bytes)
}
