//! What all sessions of a server share: store, directory, and who may log in how.

use std::collections::HashSet;
use std::sync::Arc;

use crate::directory::Directory;
use crate::ops::quota::watch::Watch;
use crate::protocol::login::Users;
use crate::protocol::sasl::Privacy;
use crate::store::Store;

/// The server.
pub struct Server {
    /// The mail store.
    pub store: Store,
    /// The user directory.
    pub directory: Directory,
    /// Who may act for others (`store.admins`).
    pub admins: HashSet<String>,
    /// The domain whose users have plain userids.
    pub default_domain: Option<String>,
    /// The domain of a login name that names none (`service.defaultdomain`).
    pub login_domain: Option<String>,
    /// The characters between user and domain in a login name (`service.loginseparator`).
    pub separators: String,
    /// What is configured about quota, at any moment.
    pub quota: Arc<Watch>,
    /// What encryption a login wants.
    pub privacy: Privacy,
    /// True when STLS is to be had.
    pub stls: bool,
    /// The greeting, expanded.
    pub banner: String,
    /// Least time between two logins of a user, seconds; 0: none (`service.pop.popminpoll`).
    pub min_poll_s: u32,
    /// Days that messages are promised to stay; `None`: for ever (`service.pop.expiretime`).
    pub expire_days: Option<u32>,
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
