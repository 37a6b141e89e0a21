//! **Here**: who exists, where they live, what they may: one schema of attributes, read from an LDIF file (`config/directory.ldif`) or from LDAP servers.
//! **Not here**: mail, ACLs, quota arithmetic; which parameters choose the directory (the caller passes values).
//! **Start**: [`Directory::open`], [`Directory::ldap`], [`Directory::lookup`], [`Directory::authenticate`]; `site.rs` is what both sorts have in common.
//! **Rules**: both give the same answers for the same entries; no answer is an error and never "nobody"; the file is read again when it changed; a broken
//! entry is skipped and named, a writer refuses the file; a wrong password and an unknown user cost the same time; every call blocks.
//! **Sources**: RFC 2849 (LDIF), RFC 4511 to 4515 (LDAP), RFC 2307 (password schemes), the product's schema reference for the attribute names.

pub mod access;
mod dn;
mod domain;
pub mod edit;
mod error;
mod file;
pub mod filter;
mod group;
pub mod ldap;
pub mod ldif;
pub mod logins;
pub mod password;
pub mod quota;
pub mod scram;
mod site;
mod user;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub use domain::Domain;
pub use edit::Change;
pub use error::{DirectoryError, ErrorKind};
pub use logins::Logins;
pub use user::{Status, User, canonical_userid, check_userid};

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
    /// The root of the tree of domains (`service.dcroot`): no part of the name of a domain.
    pub dc_root: Option<String>,
    /// The group of the service administrators, its distinguished name (`store.serviceadmingroupdn`).
    pub admin_group: Option<String>,
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
    /// Directory servers.
    Ldap(Arc<ldap::LdapDirectory>),
}

/// The same question to whichever directory it is.
macro_rules! ask {
    ($directory:expr, $known:ident => $question:expr) => {
        match $directory {
            Directory::Ldif($known) => $question,
            Directory::Ldap($known) => $question,
        }
    };
}

impl Directory {
    /// Opens the directory in an LDIF file. Nothing is read before the first question; a missing file is an error then.
    pub fn open(ldif_path: &Path, options: Options) -> Directory {
        Directory::Ldif(Arc::new(file::LdifFile::new(ldif_path.to_path_buf(), site::Site::new(options))))
    }

    /// Opens the directory that LDAP servers keep. Nothing is asked before the first question, and no thread is started; servers that cannot be
    /// reached are an error then.
    pub fn ldap(settings: ldap::Settings, options: Options) -> Directory {
        Directory::Ldap(Arc::new(ldap::LdapDirectory::new(settings, site::Site::new(options))))
    }

    /// Finds somebody by userid (`joe`, `joe@siroe.com`; the default domain may be written), else by address. For logins,
    /// tools and shared folders. Case does not count.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`]: the answer is not known.
    pub fn lookup(&self, name: &str) -> Result<Home, DirectoryError> {
        ask!(self, known => known.lookup(name))
    }

    /// Finds the recipient of mail: by address (`mail`, `mailAlternateAddress`, `mailEquivalentAddress`), else by userid.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn recipient(&self, address: &str) -> Result<Home, DirectoryError> {
        ask!(self, known => known.recipient(address))
    }

    /// Fails while the directory is being written, as of `now_s` (seconds since 1970): who is not found now may be there in a moment.
    ///
    /// # Errors
    /// [`DirectoryError::Unavailable`].
    pub fn settled(&self, now_s: i64) -> Result<(), DirectoryError> {
        match self {
            Directory::Ldif(file) => file.settled(now_s),
            Directory::Ldap(_) => Ok(()),
        }
    }

    /// Checks a login name (as [`Directory::lookup`]) and a password. Slow by design (tens of milliseconds, 19 MiB): call it on a
    /// worker thread, few at a time.
    ///
    /// # Errors
    /// [`DirectoryError::BadCredentials`], after the time that a wrong password costs; with the right password
    /// [`DirectoryError::Blocked`] and [`DirectoryError::Elsewhere`]; [`DirectoryError::Unavailable`].
    pub fn authenticate(&self, login: &str, password: &str) -> Result<Authenticated, DirectoryError> {
        ask!(self, known => known.authenticate(login, password))
    }

    /// The keys by which a login name (as [`Directory::lookup`]) is checked in SCRAM. Somebody who does not exist, or has no keys, gets some that
    /// fit no password.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn scram_keys(&self, login: &str, hash: scram::Hash) -> Result<scram::Keys, DirectoryError> {
        ask!(self, known => known.scram_keys(login, hash))
    }

    /// True when SCRAM can be offered: everybody who has a password can log in by it. As of the last question (LDIF) or the last
    /// [`Directory::prepare`] (LDAP); this asks nothing and waits for nothing.
    pub fn scram_for_all(&self, hash: scram::Hash) -> bool {
        ask!(self, known => known.site().scram_for_all(hash))
    }

    /// Lets somebody in (login names as in [`Directory::lookup`]) who has proved to know the password of these keys.
    ///
    /// # Errors
    /// As [`Directory::authenticate`]; [`DirectoryError::BadCredentials`] also where the keys are not those of the user any more.
    pub fn admit(&self, login: &str, keys: &scram::Keys) -> Result<Authenticated, DirectoryError> {
        ask!(self, known => known.admit(login, keys))
    }

    /// The entry of a userid, wherever the mailbox is: for tools that change entries.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn entry(&self, userid: &str) -> Result<Option<User>, DirectoryError> {
        ask!(self, known => known.entry(userid))
    }

    /// True when somebody has this address.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn has_address(&self, address: &str) -> Result<bool, DirectoryError> {
        ask!(self, known => known.has_address(address))
    }

    /// The entry of a domain, by one of its names (any case). `None`: there is none; users may be in that domain all the same.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn domain(&self, name: &str) -> Result<Option<Domain>, DirectoryError> {
        ask!(self, known => known.domain(name))
    }

    /// True when a user administers the mail of the users of its domain: its `mailAdminRole` is `storeadmin`, or it is a member of a group of this domain whose
    /// is.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn administers_domain(&self, user: &User) -> Result<bool, DirectoryError> {
        ask!(self, known => known.administers_domain(user))
    }

    /// Every user whose mailbox is on this host, sorted by userid. All are in memory at once; see [`Directory::for_each_user`].
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let mut users = Vec::new();
        self.for_each_user(&mut |user| {
            users.push(user);
            ControlFlow::Continue(())
        })?;
        users.sort_by(|a, b| a.userid.cmp(&b.userid));
        Ok(users)
    }

    /// Shows every user whose mailbox is on this host, one after the other: sorted by userid from a file, in their own order and a page at a time from
    /// servers. Returns what is wrong with the entries that were looked at, as [`Directory::problems`]. `visit` may ask the directory.
    ///
    /// # Errors
    /// As [`Directory::lookup`], also when some users were shown already: then others are missing.
    pub fn for_each_user(&self, visit: &mut dyn FnMut(User) -> ControlFlow<()>) -> Result<Vec<String>, DirectoryError> {
        ask!(self, known => known.for_each_user(visit))
    }

    /// The first value of any attribute, by userid, of every user who has one: for attributes that no user is read with.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn values_of(&self, attribute: &str) -> Result<HashMap<String, String>, DirectoryError> {
        ask!(self, known => known.values_of(attribute))
    }

    /// What is wrong with the directory now, one text each (`place: what`); the entries named are not served. From servers every entry is read for that.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn problems(&self) -> Result<Vec<String>, DirectoryError> {
        ask!(self, known => known.problems())
    }

    /// Finds out whether SCRAM can be offered, and whether the directory answers at all: for a service that starts.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn prepare(&self) -> Result<(), DirectoryError> {
        match self {
            Directory::Ldif(file) => file.problems().map(drop),
            Directory::Ldap(servers) => servers.prepare(),
        }
    }

    /// Adds the entry of a user. `attributes` are names and values in the order in which they are written, without `uid`; `mail` is the primary address, or
    /// empty. Where the entry goes follows from userid and address.
    ///
    /// # Errors
    /// [`DirectoryError::Exists`] when an entry of this name is there; [`DirectoryError::Malformed`] when the file has a fault (it is then refused as a
    /// whole); [`DirectoryError::Refused`] by a server; [`DirectoryError::Io`], [`DirectoryError::Unavailable`].
    pub fn add_user(&self, userid: &str, mail: &str, attributes: &[(&str, &str)]) -> Result<(), DirectoryError> {
        match self {
            Directory::Ldif(file) => {
                let (dn, uid) = user::place(userid, mail, file.site().default_domain.as_deref());
                let mut all = attributes.to_vec();
                let classes = all.iter().take_while(|(name, _)| name.eq_ignore_ascii_case("objectClass")).count();
                all.insert(classes, ("uid", &uid));
                edit::add(file.path(), &dn, &all)
            }
            Directory::Ldap(servers) => servers.add_user(userid, mail, attributes),
        }
    }

    /// Sets attributes of an entry, all in one step: the old values of each are replaced.
    ///
    /// # Errors
    /// [`DirectoryError::NoUser`] when there is no such entry; else as [`Directory::add_user`].
    pub fn replace(&self, dn: &str, changes: &[Change<'_>]) -> Result<(), DirectoryError> {
        match self {
            Directory::Ldif(file) => edit::replace(file.path(), dn, changes),
            Directory::Ldap(servers) => servers.replace(dn, changes),
        }
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// As [`Directory::replace`].
    pub fn delete(&self, dn: &str) -> Result<(), DirectoryError> {
        match self {
            Directory::Ldif(file) => edit::delete(file.path(), dn),
            Directory::Ldap(servers) => servers.delete(dn),
        }
    }

    /// Writes `mailUserStatus` of a user, by userid, wherever the mailbox is, unless it is another than `from` by now. Returns whether it was written.
    /// `inetUserStatus` stays, and the stricter of the two counts.
    ///
    /// # Errors
    /// [`DirectoryError::NoUser`]; else as [`Directory::replace`].
    pub fn change_status(&self, userid: &str, from: Status, to: Status) -> Result<bool, DirectoryError> {
        let user = self.entry(userid)?.ok_or_else(|| DirectoryError::NoUser(userid.to_owned()))?;
        self.exchange_status(&user.dn, "mailUserStatus", from, to)
    }

    /// Writes `mailDomainStatus` of a domain, by one of its names, as [`Directory::change_status`].
    ///
    /// # Errors
    /// [`DirectoryError::NoDomain`]; else as [`Directory::replace`].
    pub fn change_domain_status(&self, name: &str, from: Status, to: Status) -> Result<bool, DirectoryError> {
        let domain = self.domain(name)?.ok_or_else(|| DirectoryError::NoDomain(name.to_owned()))?;
        self.exchange_status(&domain.dn, "mailDomainStatus", from, to)
    }

    fn exchange_status(&self, dn: &str, attribute: &str, from: Status, to: Status) -> Result<bool, DirectoryError> {
        match self {
            Directory::Ldif(file) => {
                let is_from = |entry: &ldif::Entry| user::status_of(entry, attribute) == from;
                edit::replace_if(file.path(), dn, is_from, (attribute, to.name()))
            }
            Directory::Ldap(servers) => servers.exchange_status(dn, attribute, from, to),
        }
    }

    /// Drops what is remembered of a name: the next question about it is answered by what is true then.
    pub fn forget(&self, name: &str) {
        if let Directory::Ldap(servers) = self {
            servers.forget(name);
        }
    }
}

#[cfg(test)]
mod tests;
