//! SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2, RFC 9051 sections 6.3.2 and 6.3.3) with the parameters CONDSTORE and QRESYNC (RFC 7162).

use super::create::mailbox_id;
use super::fetch;
use super::oldname;
use super::resync::missed;
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::Opening;
use crate::protocol::imap::place::nonexistent;
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::selected::Selected;
use crate::protocol::imap::session::{Session, Started};
use crate::store::Rights;

/// Who has none of these changes nothing: all flags are shared by all users.
const WRITES: Rights = Rights::INSERT.with(Rights::DELETE).with(Rights::SEEN).with(Rights::WRITE);

/// Opens a mailbox. A mailbox that was open is closed first, whatever comes of the new one.
///
/// # Errors
/// NO: there is no such mailbox, or it may not be read; BAD: QRESYNC is not enabled.
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
    let place = session.place(&opening.mailbox)?.ok_or_else(nonexistent)?;
    let (store, account) = (&session.store, place.account);
    let view = store.view(account)?;
    let Some(folder) = view.resolve(&place.path)?.filter(|folder| !folder.noselect) else {
        return Err(nonexistent());
    };
    session.check(account, &folder, Rights::READ, Code::NonExistent)?;
    let rights = store.rights(account, &folder);
    // \Recent is the owner's: what others read stays new to him.
    let claims = !read_only && account == session.account()?;
    let recent_from = if claims { store.claim_recent(account, &folder)? } else { store.recent_from(account, &folder) };
    let picture = session.server.pictures.of(&view, account, &folder)?;
    let name = (place.name.clone(), rights);
    let mut selected = Selected::open(&view, (account, &folder), &picture, name, (read_only, claims), recent_from)?;
    selected.rev2 = session.enabled.rev2;
    // The owner learns how full it is at each SELECT (2004Q2 guide, Specifying a Quota Threshold).
    let rules = store.quota_rules();
    let nearly_full = match account == session.account()? {
        true => Some(view.quota_root_of(folder.id)?).filter(|root| root.is_to_be_told(&rules)),
        false => None,
    };
    let mut listed = Vec::new();
    if selected.rev2 {
        // RFC 9051 section 6.3.2.
        let old = session.differs(&opening.mailbox, &place);
        oldname::write(session, (&view, &place), Some(&folder), old.as_deref(), &mut listed)?;
    }
    // From the same snapshot as HIGHESTMODSEQ: what changes later has a greater mod-sequence.
    let missed = match &opening.resync {
        Some(resync) => missed(&view, &folder, &selected.numbers, resync)?,
        None => Default::default(),
    };
    drop(view);
    selected.write_flags(out);
    respond::counted(out, selected.numbers.count(), "EXISTS");
    selected.write_recent(out);
    // RFC 9051 appendix E, 11.
    let unseen = picture.unseen.filter(|_| !selected.rev2).and_then(|uid| selected.numbers.number(uid));
    let unseen = unseen.map(Code::Unseen);
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
    out.append(&mut listed);
    if let Some(percent) = nearly_full.and_then(|root| root.percent()) {
        let words = format!("Mailbox is at {percent}% of quota");
        respond::status(out, "*", Status::No, Some(&Code::Alert), &words);
        log::notice(Category::Account, format!("user {}: {words}", session.userid().unwrap_or_default()));
    }
    if account != session.account()?
        && let Err(error) = session.store.note_reader(account, folder.id, clock::now_s())
    {
        // It is read all the same.
        log::warning(Category::Store, format!("the readers of {}: {error}", place.name));
    }
    session.selected = Some(selected);
    session.counts.selected += 1;
    // RFC 4314 section 5.2.
    let writes = !read_only && rights.has_any(WRITES);
    let answer = Answer::completed_with(if writes { Code::ReadWrite } else { Code::ReadOnly });
    let (vanished, changed) = missed;
    respond::vanished(out, true, vanished.ranges());
    if changed.is_empty() {
        return Ok(Started::Answer(answer));
    }
    fetch::states(session, &changed, answer).map(Started::Running)
}
