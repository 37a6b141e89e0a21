//! STATUS (RFC 3501 section 6.3.10).

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::StatusItem;
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::Session;
use crate::store::{Folder, StoreError, Uid, View};

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
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let recent_from = session.server.store.recent_from(account, &folder);
        values.push((*item, value(&view, &folder, recent_from, *item)?));
    }
    drop(view);
    respond::mailbox_status(out, &path.to_string(), &values);
    Ok(Answer::completed())
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
