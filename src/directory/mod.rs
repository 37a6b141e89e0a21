//! **Here**: who exists, where they live, what they may: one schema of attributes, read from an LDIF file (`config/directory.ldif`).
//! **Not here**: mail, ACLs, quota arithmetic; which parameters choose the directory (the caller passes values).
//! **Start**: [`Directory::open`], [`Directory::lookup`], [`Directory::authenticate`].
//! **Rules**: the file is read again when it changed; a broken entry is skipped and named with its line, a writer refuses the file;
//! a wrong password and an unknown user cost the same time.
//! **Sources**: RFC 2849 (LDIF), RFC 2307 (password schemes), the product's schema reference for the attribute names.

pub mod access;
pub mod edit;
mod file;
pub mod filter;
pub mod ldif;
pub mod logins;
pub mod password;
pub mod quota;
pub mod scram;
mod user;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use logins::Logins;
pub use user::{Status, User, canonical_userid, check_userid, place};

use crate::log::{self, Category};

/// Why the directory did not answer with a user.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory cannot be read now; nothing is known about anybody.
    #[error("the user directory {} cannot be read: {source}", path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has a fault and is not written.
    #[error("{}:{line}: {text}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line of the fault, counted from 1.
        line: usize,
        /// What is wrong.
        text: String,
    },
    /// Writing failed.
    #[error("the user directory {} cannot be written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An entry of this name is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// No entry of this name.
    #[error("no such user: {0}")]
    NoUser(String),
    /// Unknown user or wrong password: which of the two is not told.
    #[error("authentication failure")]
    BadCredentials,
    /// The password was right, the account's status does not let its user in.
    #[error("account disabled ({})", .0.name())]
    Blocked(Status),
    /// The password was right, the account's service filter does not let its user use this service from there.
    #[error("service not allowed")]
    NotAllowed,
    /// The password was right, the mailbox is on another host.
    #[error("the mailbox is on host {0}")]
    Elsewhere(String),
}

/// The kinds of [`DirectoryError`], for exit codes and wire answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such entry.
    NotFound,
    /// The entry exists.
    Exists,
    /// Not let in.
    Denied,
    /// The file is malformed.
    Invalid,
    /// Try again later.
    Unavailable,
    /// Input/output error.
    Io,
}

impl DirectoryError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            DirectoryError::Unavailable { .. } => ErrorKind::Unavailable,
            DirectoryError::Malformed { .. } => ErrorKind::Invalid,
            DirectoryError::Io { .. } => ErrorKind::Io,
            DirectoryError::Exists(_) => ErrorKind::Exists,
            DirectoryError::NoUser(_) => ErrorKind::NotFound,
            DirectoryError::BadCredentials
            | DirectoryError::Blocked(_)
            | DirectoryError::NotAllowed
            | DirectoryError::Elsewhere(_) => ErrorKind::Denied,
        }
    }
}

/// Where somebody's mailbox is.
#[allow(clippy::large_enum_variant)] // short-lived, one at a time
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// On this host.
    Here(User),
    /// On the named host.
    At(String),
    /// Nobody of that name.
    Nowhere,
}

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The user as the directory holds it.
    pub user: User,
}

/// What a directory is told about its surroundings.
#[derive(Debug, Default)]
pub struct Options {
    /// Users of this domain have plain userids, all others `uid@domain`; without it every userid is plain.
    pub default_domain: Option<String>,
    /// The name of this mail host; a user whose `mailHost` is another lives elsewhere. `None`: the system's host name.
    pub host: Option<String>,
    /// How long a password that was right is remembered.
    pub logins: Logins,
    /// A secret of the instance, by which SCRAM answers for somebody who does not exist as it does for others. `None`: one of this process.
    pub secret: Option<scram::Bytes32>,
}

/// A user directory. Cheap to clone; clones share what was read.
#[derive(Clone, Debug)]
pub enum Directory {
    /// An LDIF file.
    Ldif(Arc<file::LdifFile>),
}

impl Directory {
    /// Opens the directory in an LDIF file. Nothing is read before the first question; a missing file is an error then.
    pub fn open(ldif_path: &Path, options: Options) -> Directory {
        Directory::Ldif(Arc::new(file::LdifFile::new(ldif_path.to_path_buf(), options)))
    }

    /// Finds somebody by userid (`joe`, `joe@siroe.com`; the default domain may be written), else by address. For logins,
    /// tools and shared folders. Case does not count.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]: the answer is not known.
    pub fn lookup(&self, name: &str) -> Result<Home, DirectoryError> {
        let Directory::Ldif(file) = self;
        let known = file.read()?;
        Ok(file.home(known.by_login(name)))
    }

    /// Finds the recipient of mail: by address (`mail`, `mailAlternateAddress`, `mailEquivalentAddress`), else by userid.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn recipient(&self, address: &str) -> Result<Home, DirectoryError> {
        let Directory::Ldif(file) = self;
        let known = file.read()?;
        let found = known.by_address(address).or_else(|| known.by_userid(address));
        Ok(file.home(found))
    }

    /// Checks a login name (as [`Directory::lookup`]) and a password. Slow by design (tens of milliseconds, 19 MiB): call it on a
    /// worker thread, few at a time.
    ///
    /// # Errors
    /// [`DirectoryError::BadCredentials`], after the time that a wrong password costs; with the right password
    /// [`DirectoryError::Blocked`] and [`DirectoryError::Elsewhere`]; [`DirectoryError::Unavailable`].
    pub fn authenticate(&self, login: &str, password: &str) -> Result<Authenticated, DirectoryError> {
        let Directory::Ldif(file) = self;
        let known = file.read()?;
        let found = known.by_login(login);
        if password::check_length(password).is_err() {
            // No stored value is compared with such a one, so none costs its time.
            password::spend("");
            return Err(DirectoryError::BadCredentials);
        }
        let mut slow = false;
        for stored in found.map_or(&[][..], |record| &record.passwords) {
            let costly = password::is_slow(stored);
            if costly && file.logins.knows(password, stored) {
                return file.admit(found);
            }
            let verified = password::verify(password, stored);
            slow |= costly && verified.is_ok();
            match verified {
                Ok(true) => {
                    if costly {
                        file.logins.keep(password, stored);
                    }
                    return file.admit(found);
                }
                Ok(false) => {}
                Err(error) => log::error(Category::Account, format!("password of {login} cannot be checked: {error}")),
            }
        }
        if !slow {
            password::spend(password);
        }
        Err(DirectoryError::BadCredentials)
    }

    /// The keys by which a login name (as [`Directory::lookup`]) is checked in SCRAM. Somebody who does not exist, or has no keys, gets some that
    /// fit no password.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn scram_keys(&self, login: &str, hash: scram::Hash) -> Result<scram::Keys, DirectoryError> {
        let Directory::Ldif(file) = self;
        file.scram_keys(login, hash)
    }

    /// True when SCRAM can be offered: everybody who has a password can log in by it. As of the last question; this asks nothing and waits
    /// for nothing.
    pub fn scram_for_all(&self, hash: scram::Hash) -> bool {
        let Directory::Ldif(file) = self;
        file.scram_for_all(hash)
    }

    /// Lets somebody in (login names as in [`Directory::lookup`]) who has proved to know the password of these keys.
    ///
    /// # Errors
    /// As [`Directory::authenticate`]; [`DirectoryError::BadCredentials`] also where the keys are not those of the user any more.
    pub fn admit(&self, login: &str, keys: &scram::Keys) -> Result<Authenticated, DirectoryError> {
        let Directory::Ldif(file) = self;
        let known = file.read()?;
        let own = |record: &&user::Record| record.scram_keys(keys.hash, &file.secret).as_ref() == Some(keys);
        let found = known.by_login(login).filter(own);
        file.admit(found)
    }

    /// The entry of a userid, wherever the mailbox is: for tools that change entries.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn entry(&self, userid: &str) -> Result<Option<User>, DirectoryError> {
        let Directory::Ldif(file) = self;
        let known = file.read()?;
        Ok(known.by_userid(userid).map(|record| record.user.clone()))
    }

    /// True when somebody has this address.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn has_address(&self, address: &str) -> Result<bool, DirectoryError> {
        let Directory::Ldif(file) = self;
        Ok(file.read()?.by_address(address).is_some())
    }

    /// Every user whose mailbox is on this host, sorted by userid.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let Directory::Ldif(file) = self;
        let known = file.read()?;
        let mut users: Vec<User> =
            known.records().filter(|record| file.is_here(record)).map(|record| record.user.clone()).collect();
        users.sort_by(|a, b| a.userid.cmp(&b.userid));
        Ok(users)
    }

    /// What is wrong with the directory now, one text each (`path:line: what`); the entries named are not served.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn problems(&self) -> Result<Vec<String>, DirectoryError> {
        let Directory::Ldif(file) = self;
        Ok(file.read()?.problems.clone())
    }
}

#[cfg(test)]
mod tests;
