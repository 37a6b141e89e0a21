//! LOGIN (RFC 3501 section 6.2.3), and what every way of logging in ends with.

use std::borrow::Cow;

use crate::directory::{Authenticated, DirectoryError, Home, User, access, canonical_userid};
use crate::log::{self, Category};
use crate::ops::account;
use crate::protocol::imap::answer::{Answer, Answered, of_directory};
use crate::protocol::imap::parse::Secret;
use crate::protocol::imap::respond::Status;
use crate::protocol::imap::session::{Login, Server, Session};
use crate::store::Access;

/// Logs in with a password.
///
/// # Errors
/// NO: the login failed.
pub fn run(session: &mut Session, user: &str, password: &Secret, now_s: i64) -> Answered {
    admit(session, "plaintext", user, user, password, now_s)
}

/// Checks the password of `authcid` and lets `authzid` in: the same user, or anybody for a store administrator.
///
/// # Errors
/// NO: the login failed.
pub fn admit(
    session: &mut Session,
    mechanism: &str,
    authzid: &str,
    authcid: &str,
    password: &Secret,
    now_s: i64,
) -> Answered {
    let user = match identify(session, authzid, authcid, password) {
        Ok(user) => user,
        Err(error) => {
            log::notice(Category::Account, format!("badlogin: [{}] {mechanism} {authcid} {error}", session.peer));
            return Err(of_directory(&error));
        }
    };
    let account = account::of_user(&session.server.store, &user, now_s)?;
    // A store administrator who acts for the user is not the user.
    if authzid == authcid
        && let Err(error) = session.server.store.note_access(account, Access::Imap, now_s)
    {
        log::warning(Category::Store, format!("the last access of {} is not recorded: {error}", user.userid));
    }
    if authzid != authcid {
        log::notice(
            Category::Account,
            format!("proxy login: [{}] {mechanism} {authcid} as {}", session.peer, user.userid),
        );
    }
    session.login = Some(Login { userid: user.userid, account });
    Ok(Answer { status: Status::Ok, code: None, words: "User logged in".into() })
}

/// The login name with the domain that is assumed where it names none.
fn completed<'a>(server: &Server, name: &'a str) -> Cow<'a, str> {
    match &server.login_domain {
        Some(domain) if !name.contains('@') => format!("{name}@{domain}").into(),
        _ => name.into(),
    }
}

fn identify(session: &Session, authzid: &str, authcid: &str, password: &Secret) -> Result<User, DirectoryError> {
    let server = &session.server;
    let (authzid, authcid) = (&*completed(server, authzid), &*completed(server, authcid));
    let password = std::str::from_utf8(&password.0).map_err(|_| DirectoryError::BadCredentials)?;
    let Authenticated { user } = server.directory.authenticate(authcid, password)?;
    if user.allowed_services.as_ref().is_some_and(|filter| !access::allows(filter, "imap", session.peer.ip())) {
        return Err(DirectoryError::NotAllowed);
    }
    let domain = server.default_domain.as_deref();
    if canonical_userid(authzid, domain) == canonical_userid(authcid, domain)
        || authzid.eq_ignore_ascii_case(&user.userid)
    {
        return Ok(user);
    }
    if !server.admins.contains(&user.userid) {
        return Err(DirectoryError::BadCredentials);
    }
    match server.directory.lookup(authzid)? {
        Home::Here(other) => Ok(other),
        Home::At(host) => Err(DirectoryError::Elsewhere(host)),
        Home::Nowhere => Err(DirectoryError::BadCredentials),
    }
}
