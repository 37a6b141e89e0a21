//! STATUS (RFC 3501 section 6.3.10).

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::StatusItem;
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, Folder, Store, StoreError, Uid, View};

/// Writes the numbers of a mailbox without selecting it.
///
/// # Errors
/// NO: there is no such mailbox.
pub fn run(session: &mut Session, name: &str, items: &[StatusItem], out: &mut Vec<u8>) -> Answered {
    let account = session.account()?;
    let path = session.path(name)?;
    let view = session.server.store.view(account)?;
    let found = view.resolve(&path)?;
    let Some(folder) = found.filter(|folder| !folder.noselect) else {
        return Err(Answer::no_with(Code::NonExistent, "Mailbox does not exist"));
    };
    let values = values(&session.server.store, &view, account, &folder, items)?;
    drop(view);
    respond::mailbox_status(out, &path.to_string(), &values);
    Ok(Answer::completed())
}

/// The numbers of a folder, in the order in which they were asked for.
pub(super) fn values(
    store: &Store,
    view: &View<'_>,
    account: AccountId,
    folder: &Folder,
    items: &[StatusItem],
) -> Result<Vec<(StatusItem, u32)>, StoreError> {
    let recent_from = store.recent_from(account, folder);
    items.iter().map(|item| Ok((*item, value(view, folder, recent_from, *item)?))).collect()
}

fn value(view: &View<'_>, folder: &Folder, recent_from: Uid, item: StatusItem) -> Result<u32, StoreError> {
    Ok(match item {
        StatusItem::Messages => folder.exists,
        StatusItem::UidNext => folder.uidnext,
        StatusItem::UidValidity => folder.uidvalidity,
        StatusItem::Unseen => folder.unseen,
        StatusItem::Recent => {
            let mut recent = 0u32;
            view.states(folder.id, recent_from.max(1)..=Uid::MAX, &mut |run| {
                recent = recent.saturating_add(run.count)
            })?;
            recent
        }
    })
}
