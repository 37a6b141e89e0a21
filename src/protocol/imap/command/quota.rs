//! GETQUOTAROOT, GETQUOTA and SETQUOTA (RFC 9208 section 4.1). An account is a quota root, `user/USERID`, and so is each of its folders with limits of
//! its own, `user/USERID/FOLDER`; the resources are STORAGE and MESSAGE.

use crate::ops::quota::status;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, FolderPath, Kind, QuotaRoot, Rights};
use crate::text::quote;

/// What quota roots begin with.
const ROOT: &str = "user/";
/// STORAGE counts in these (RFC 9208 section 5.1).
const UNIT_BYTES: u64 = 1024;

/// Writes the quota root of a mailbox, and its quota.
///
/// # Errors
/// NO: there is no such mailbox.
pub fn root(session: &mut Session, name: &str, out: &mut Vec<u8>) -> Answered {
    // The owner learns of his quota whatever he may do in the mailbox.
    let (place, folder) = session.found(name, Rights::READ.with(Rights::ADMINISTER))?;
    let view = session.store.view(place.account)?;
    let (userid, root) = (view.account()?.userid, view.quota_root_of(folder.id)?);
    drop(view);
    respond::text(out, "* QUOTAROOT ");
    match session.shown(&place.name) {
        shown if shown.is_ascii() => quote::astring(out, shown.as_bytes()),
        shown => respond::mailbox(out, &shown),
    }
    out.push(b' ');
    quote::astring(out, name_of(&userid, &root).as_bytes());
    respond::text(out, "\r\n");
    // How full it is is the owner's business.
    if place.account == session.account()? || is_admin(session) {
        write(&userid, &root, out);
    }
    Ok(Answer::completed())
}

/// Writes the quota of a root.
///
/// # Errors
/// NO: there is no such root, or it is another user's.
pub fn get(session: &mut Session, root: &str, out: &mut Vec<u8>) -> Answered {
    let (account, userid, folder) = find(session, root)?;
    let root = existing(session, account, folder)?;
    write(userid, &root, out);
    Ok(Answer::completed())
}

/// Sets the limits of a root: those that are not named are taken away. A folder becomes a root by it, and ceases to be one without limits.
///
/// # Errors
/// NO: the user is no store administrator, there is no such root or no such resource.
pub fn set(session: &mut Session, root: &str, limits: &[(String, u64)], now_s: i64, out: &mut Vec<u8>) -> Answered {
    if !is_admin(session) {
        return Err(Answer::no_with(Code::NoPerm, "Permission denied"));
    }
    let (account, userid, folder) = find(session, root)?;
    let (mut bytes, mut messages) = (None, None);
    for (resource, limit) in limits {
        match resource.as_str() {
            "STORAGE" => bytes = Some(limit.saturating_mul(UNIT_BYTES)),
            "MESSAGE" => messages = Some(*limit),
            _ => return Err(Answer::no_with(Code::Cannot, format!("Resource {resource} is not supported"))),
        }
    }
    let path = folder.map(FolderPath::parse).transpose()?;
    session.store.set_root_limits(account, path.as_ref(), (bytes, messages), now_s).map_err(|error| {
        match error.kind() {
            Kind::NotFound => no_root(),
            _ => error.into(),
        }
    })?;
    status::follow(&session.server.quota.now(), &session.server.store, &session.server.directory, account);
    // Without limits a folder is no root any more, and there is nothing to write of it.
    if let Ok(root) = existing(session, account, folder) {
        write(userid, &root, out);
    }
    Ok(Answer::completed())
}

fn is_admin(session: &Session) -> bool {
    session.is_admin()
}

/// The account, the user and the folder of a root's name that the user may ask about: his own, for a store administrator any.
fn find<'r>(session: &Session, root: &'r str) -> Result<(AccountId, &'r str, Option<&'r str>), Answer> {
    let own = session.account()?;
    let name = root.strip_prefix(ROOT).unwrap_or_default();
    let (userid, folder) = name.split_once('/').map_or((name, None), |(userid, folder)| (userid, Some(folder)));
    if session.userid() == Some(userid) {
        return Ok((own, userid, folder));
    }
    if !is_admin(session) {
        return Err(Answer::no_with(Code::NoPerm, "Permission denied"));
    }
    let found = session.store.account_id(userid)?;
    Ok((found.ok_or_else(no_root)?, userid, folder))
}

fn existing(session: &Session, account: AccountId, folder: Option<&str>) -> Result<QuotaRoot, Answer> {
    let roots = session.store.view(account)?.quota_roots()?;
    roots.into_iter().find(|root| root.folder.as_deref() == folder).ok_or_else(no_root)
}

fn no_root() -> Answer {
    Answer::no_with(Code::NonExistent, "There is no such quota root")
}

fn name_of(userid: &str, root: &QuotaRoot) -> String {
    let name = format!("{ROOT}{userid}");
    root.folder.as_ref().map_or_else(|| name.clone(), |folder| format!("{name}/{folder}"))
}

/// `* QUOTA user/joe (STORAGE 10 512 MESSAGE 20 100)`; resources without a limit are not there, and without any there is no response: the list
/// cannot be empty (RFC 9208 section 4.2.1).
fn write(userid: &str, root: &QuotaRoot, out: &mut Vec<u8>) {
    let mut resources = Vec::new();
    if let Some(limit) = root.bytes {
        resources.push(format!("STORAGE {} {}", root.usage.bytes.div_ceil(UNIT_BYTES), limit / UNIT_BYTES));
    }
    if let Some(limit) = root.messages {
        resources.push(format!("MESSAGE {} {limit}", root.usage.messages));
    }
    if !resources.is_empty() {
        respond::text(out, "* QUOTA ");
        quote::astring(out, name_of(userid, root).as_bytes());
        respond::text(out, &format!(" ({})\r\n", resources.join(" ")));
    }
}
