//! LOGIN (RFC 3501 section 6.2.3), and what every way of logging in ends with.

use crate::directory::DirectoryError;
use crate::log::{self, Category};
use crate::ops::account;
use crate::protocol::imap::answer::{Answer, Answered, of_directory};
use crate::protocol::imap::parse::Secret;
use crate::protocol::imap::respond::Status;
use crate::protocol::imap::server::Server;
use crate::protocol::imap::session::Session;
use crate::protocol::login::{Identity, Proof, Users};
use crate::store::Access;

/// Logs in with a password.
///
/// # Errors
/// NO: the login failed.
pub fn run(session: &mut Session, user: &str, password: &Secret, now_s: i64) -> Answered {
    admit(session, "plaintext", user, user, &Proof::Password(&password.0), now_s)
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
    let service = ("imap", session.peer.ip());
    let Identity { user, by_proxy } = match session.server.users().identify(service, authzid, authcid, proof) {
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
    session.server.users().claimed(user)
}

/// Logs a failed login; returns the answer to it.
pub(super) fn refused(session: &Session, mechanism: &str, authcid: &str, error: &DirectoryError) -> Answer {
    log::notice(Category::Account, format!("badlogin: [{}] {mechanism} {authcid} {error}", session.peer));
    of_directory(error)
}

impl Server {
    /// Who may log in.
    pub fn users(&self) -> Users<'_> {
        Users {
            directory: &self.directory,
            admins: &self.admins,
            default_domain: self.default_domain.as_deref(),
            login_domain: self.login_domain.as_deref(),
            separators: &self.separators,
        }
    }
}
