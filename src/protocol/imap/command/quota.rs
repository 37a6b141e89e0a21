//! GETQUOTAROOT, GETQUOTA and SETQUOTA (RFC 9208 section 4.1). Each account is one quota root, `user/USERID`, with the resources STORAGE and MESSAGE.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::Session;
use crate::store::{Account, AccountId, Rights};
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
    let (place, _) = session.found(name, Rights::READ.with(Rights::ADMINISTER))?;
    let account = session.store.view(place.account)?.account()?;
    respond::text(out, "* QUOTAROOT ");
    respond::mailbox(out, &session.shown(&place.name));
    out.push(b' ');
    quote::string(out, format!("{ROOT}{}", account.userid).as_bytes());
    respond::text(out, "\r\n");
    // How full it is is the owner's business.
    if place.account == session.account()? || is_admin(session) {
        write(&account, out);
    }
    Ok(Answer::completed())
}

/// Writes the quota of a root.
///
/// # Errors
/// NO: there is no such root, or it is another user's.
pub fn get(session: &mut Session, root: &str, out: &mut Vec<u8>) -> Answered {
    let account = find(session, root)?;
    write(&session.store.view(account)?.account()?, out);
    Ok(Answer::completed())
}

/// Sets the limits of a root: those that are not named are taken away.
///
/// # Errors
/// NO: the user is no store administrator, there is no such root or no such resource.
pub fn set(session: &mut Session, root: &str, limits: &[(String, u64)], out: &mut Vec<u8>) -> Answered {
    if !is_admin(session) {
        return Err(Answer::no_with(Code::NoPerm, "Permission denied"));
    }
    let account = find(session, root)?;
    let (mut bytes, mut messages) = (None, None);
    for (resource, limit) in limits {
        match resource.as_str() {
            "STORAGE" => bytes = Some(limit.saturating_mul(UNIT_BYTES)),
            "MESSAGE" => messages = Some(*limit),
            _ => return Err(Answer::no_with(Code::Cannot, format!("Resource {resource} is not supported"))),
        }
    }
    session.store.set_quota(account, bytes, messages)?;
    write(&session.store.view(account)?.account()?, out);
    Ok(Answer::completed())
}

fn is_admin(session: &Session) -> bool {
    session.is_admin()
}

/// The account of a root that the user may ask about: his own, for a store administrator any.
fn find(session: &Session, root: &str) -> Result<AccountId, Answer> {
    let own = session.account()?;
    let userid = root.strip_prefix(ROOT).unwrap_or_default();
    if session.userid() == Some(userid) {
        return Ok(own);
    }
    if !is_admin(session) {
        return Err(Answer::no_with(Code::NoPerm, "Permission denied"));
    }
    let found = session.store.account_id(userid)?;
    found.ok_or_else(|| Answer::no_with(Code::NonExistent, "There is no such quota root"))
}

/// `* QUOTA "user/joe" (STORAGE 10 512 MESSAGE 20 100)`; resources without a limit are not there, and without any there is no response: the list
/// cannot be empty (RFC 9208 section 4.2.1).
fn write(account: &Account, out: &mut Vec<u8>) {
    let mut resources = Vec::new();
    if let Some(limit) = account.quota_bytes {
        resources.push(format!("STORAGE {} {}", account.usage_bytes.div_ceil(UNIT_BYTES), limit / UNIT_BYTES));
    }
    if let Some(limit) = account.quota_messages {
        resources.push(format!("MESSAGE {} {limit}", account.usage_messages));
    }
    if !resources.is_empty() {
        respond::text(out, "* QUOTA ");
        quote::string(out, format!("{ROOT}{}", account.userid).as_bytes());
        respond::text(out, &format!(" ({})\r\n", resources.join(" ")));
    }
}
