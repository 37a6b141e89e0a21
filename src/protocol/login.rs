//! Who a client is and whose mail it gets: what a login comes to in every protocol that has one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use crate::directory::scram::Keys;
use crate::directory::{Authenticated, Directory, DirectoryError, Home, User, access, canonical_userid};

/// How a client shows that it is who it says.
pub enum Proof<'a> {
    /// By this password, which is still to be checked.
    Password(&'a [u8]),
    /// The mechanism has shown that it knows the password of these keys.
    Keys(&'a Keys),
}

/// Whose mail it is.
pub struct Identity {
    /// The user.
    pub user: User,
    /// A store administrator acts for the user.
    pub by_proxy: bool,
}

/// The users that may log in, as a server knows them.
#[derive(Clone, Copy)]
pub struct Users<'a> {
    /// The user directory.
    pub directory: &'a Directory,
    /// Who may act for others (`store.admins`).
    pub admins: &'a HashSet<String>,
    /// The domain whose users have plain userids.
    pub default_domain: Option<&'a str>,
    /// The domain of a login name that names none (`service.defaultdomain`).
    pub login_domain: Option<&'a str>,
    /// The characters that may stand between user and domain in a login name (`service.loginseparator`).
    pub separators: &'a str,
}

impl Users<'_> {
    /// The login name as `user@domain`: the first separator in it ends the user; where it names no domain, the one that is assumed is added.
    pub fn completed<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if let Some((user, rest)) = name.find(|c| self.separators.contains(c)).and_then(|at| name.split_at_checked(at))
            && let Some(domain) = rest.strip_prefix(|c| c != '@')
        {
            return format!("{user}@{domain}").into();
        }
        match self.login_domain {
            Some(domain) if !name.contains('@') => format!("{name}@{domain}").into(),
            _ => name.into(),
        }
    }

    /// A login name as tries are counted by it: one account is one name, however it is written.
    pub fn claimed(&self, name: &str) -> String {
        canonical_userid(&self.completed(name), self.default_domain)
    }

    /// A store administrator: named in `store.admins`, or a member of the group of service administrators.
    pub fn is_admin(&self, user: &User) -> bool {
        self.admins.contains(&user.userid) || user.service_admin
    }

    /// True for an administrator of the domain that somebody is in who is none of the whole store.
    fn administers(&self, user: &User, other: &Home) -> Result<bool, DirectoryError> {
        match other {
            Home::Here(other) if user.domain.is_some() && other.domain == user.domain && !self.is_admin(other) => {
                self.directory.administers_domain(user)
            }
            _ => Ok(false),
        }
    }

    /// Checks that the client is `authcid` and may use `service`; returns `authzid`: the same user, or anybody for a store administrator,
    /// and for an administrator of a domain the users of that domain.
    ///
    /// # Errors
    /// The login failed, or the directory did not answer.
    pub fn identify(
        &self,
        (service, peer): (&str, IpAddr),
        authzid: &str,
        authcid: &str,
        proof: &Proof<'_>,
    ) -> Result<Identity, DirectoryError> {
        let (authzid, authcid) = (&*self.completed(authzid), &*self.completed(authcid));
        let Authenticated { user } = match proof {
            Proof::Password(password) => {
                let password = std::str::from_utf8(password).map_err(|_| DirectoryError::BadCredentials)?;
                self.directory.authenticate(authcid, password)?
            }
            Proof::Keys(keys) => self.directory.admit(authcid, keys)?,
        };
        if user.allowed_services.as_ref().is_some_and(|filter| !access::allows(filter, service, peer)) {
            return Err(DirectoryError::NotAllowed);
        }
        if canonical_userid(authzid, self.default_domain) == canonical_userid(authcid, self.default_domain)
            || authzid.eq_ignore_ascii_case(&user.userid)
        {
            return Ok(Identity { user, by_proxy: false });
        }
        let other = self.directory.lookup(authzid)?;
        if !self.is_admin(&user) && !self.administers(&user, &other)? {
            return Err(DirectoryError::BadCredentials);
        }
        match other {
            Home::Here(other) => Ok(Identity { by_proxy: other.userid != user.userid, user: other }),
            Home::At(host) => Err(DirectoryError::Elsewhere(host)),
            Home::Nowhere => Err(DirectoryError::BadCredentials),
        }
    }
}
