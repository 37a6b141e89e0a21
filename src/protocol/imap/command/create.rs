//! CREATE (RFC 3501 section 6.3.3) with USE (RFC 6154) and MAILBOXID (RFC 8474 section 4.1). Missing superior names are created, too; a trailing separator is dropped.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::Session;
use crate::store::{CreateOptions, Folder, SpecialUse};

/// Creates a mailbox. Without USE its name decides what it is for; with USE nothing but that, be it empty.
///
/// # Errors
/// NO: the name is taken or not allowed; the user may not create anything there; a use is not known, not to be had or another mailbox's.
pub fn run(session: &mut Session, name: &str, uses: Option<&[String]>, now_s: i64, out: &mut Vec<u8>) -> Answered {
    let place = session.new_place(name)?;
    session.check_creation(&place)?;
    if place.path.is_inbox() {
        return Err(Answer::no_with(Code::AlreadyExists, "Mailbox already exists"));
    }
    let special_use = uses.map(special_use).transpose()?;
    let options = CreateOptions { special_use, partition: None };
    let created = session.store.folder_create(place.account, &place.path, &options, now_s)?;
    session.tell_normal(name, &place, out);
    Ok(Answer::completed_with(Code::MailboxId(mailbox_id(&created))))
}

/// The object id of a mailbox: it begins with a letter, so that it is no number to anybody (RFC 8474 section 3).
pub(super) fn mailbox_id(folder: &Folder) -> String {
    format!("F{}", folder.mailbox_id)
}

fn special_use(attributes: &[String]) -> Result<SpecialUse, Answer> {
    attributes.iter().try_fold(SpecialUse::default(), |uses, attribute| match SpecialUse::parse(attribute) {
        Some(one) => Ok(uses.with(one)),
        None => Err(Answer::no_with(Code::UseAttr, format!("{attribute} is not supported"))),
    })
}
