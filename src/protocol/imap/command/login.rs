//! LOGIN (RFC 3501 section 6.2.3), and what every way of logging in ends with.

use std::borrow::Cow;

use crate::directory::scram::Keys;
use crate::directory::{Authenticated, DirectoryError, Home, User, access, canonical_userid};
use crate::log::{self, Category};
use crate::ops::account;
use crate::protocol::imap::answer::{Answer, Answered, of_directory};
use crate::protocol::imap::parse::Secret;
use crate::protocol::imap::respond::Status;
use crate::protocol::imap::server::Server;
use crate::protocol::imap::session::Session;
use crate::store::Access;

/// How a client shows that it is who it says.
pub enum Proof<'a> {
    /// By this password, which is still to be checked.
    Password(&'a Secret),
    /// The mechanism has shown that it knows the password of these keys.
    Keys(&'a Keys),
}

/// Logs in with a password.
///
/// # Errors
/// NO: the login failed.
pub fn run(session: &mut Session, user: &str, password: &Secret, now_s: i64) -> Answered {
    admit(session, "plaintext", user, user, &Proof::Password(password), now_s)
}

/// Checks that the client is `authcid` and lets `authzid` in: the same user, or anybody for a store administrator.
///
/// # Errors
/// NO: the login failed.
pub fn admit(
    session: &mut Session,
    mechanism: &str,
    authzid: &str,
    authcid: &str,
    proof: &Proof<'_>,
    now_s: i64,
) -> Answered {
    let Identity { user, by_proxy } = match identify(session, authzid, authcid, proof) {
        Ok(identity) => identity,
        Err(error) => return Err(refused(session, mechanism, authcid, &error)),
    };
    let account = account::of_user(&session.server.store, &user, now_s)?;
    // A store administrator who acts for the user is not the user.
    if !by_proxy && let Err(error) = session.server.store.note_access(account, Access::Imap, now_s) {
        log::warning(Category::Store, format!("the last access of {} is not recorded: {error}", user.userid));
    }
    if by_proxy {
        log::notice(
            Category::Account,
            format!("proxy login: [{}] {mechanism} {authcid} as {}", session.peer, user.userid),
        );
    }
    session.cleartext = matches!(proof, Proof::Password(_)) && session.is_open();
    session.enter(user, account);
    Ok(Answer { status: Status::Ok, code: None, words: "User logged in".into() })
}

/// A login name as tries are counted by it: one account is one name, however it is written.
pub fn claimed(session: &Session, user: &str) -> String {
    canonical_userid(&session.server.completed(user), session.server.default_domain.as_deref())
}

/// Logs a failed login; returns the answer to it.
pub(super) fn refused(session: &Session, mechanism: &str, authcid: &str, error: &DirectoryError) -> Answer {
    log::notice(Category::Account, format!("badlogin: [{}] {mechanism} {authcid} {error}", session.peer));
    of_directory(error)
}

impl Server {
    /// The login name with the domain that is assumed where it names none.
    pub(super) fn completed<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.login_domain {
            Some(domain) if !name.contains('@') => format!("{name}@{domain}").into(),
            _ => name.into(),
        }
    }
}

/// Whose mail it is.
struct Identity {
    user: User,
    /// A store administrator acts for the user.
    by_proxy: bool,
}

fn identify(session: &Session, authzid: &str, authcid: &str, proof: &Proof<'_>) -> Result<Identity, DirectoryError> {
    let server = &session.server;
    let (authzid, authcid) = (&*server.completed(authzid), &*server.completed(authcid));
    let Authenticated { user } = match proof {
        Proof::Password(password) => {
            let password = std::str::from_utf8(&password.0).map_err(|_| DirectoryError::BadCredentials)?;
            server.directory.authenticate(authcid, password)?
        }
        Proof::Keys(keys) => server.directory.admit(authcid, keys)?,
    };
    if user.allowed_services.as_ref().is_some_and(|filter| !access::allows(filter, "imap", session.peer.ip())) {
        return Err(DirectoryError::NotAllowed);
    }
    let domain = server.default_domain.as_deref();
    if canonical_userid(authzid, domain) == canonical_userid(authcid, domain)
        || authzid.eq_ignore_ascii_case(&user.userid)
    {
        return Ok(Identity { user, by_proxy: false });
    }
    if !server.admins.contains(&user.userid) {
        return Err(DirectoryError::BadCredentials);
    }
    match server.directory.lookup(authzid)? {
        Home::Here(other) => Ok(Identity { by_proxy: other.userid != user.userid, user: other }),
        Home::At(host) => Err(DirectoryError::Elsewhere(host)),
        Home::Nowhere => Err(DirectoryError::BadCredentials),
    }
}
