//! What all sessions of a server share: store, directory, and who may log in how.

use std::collections::HashSet;
use std::sync::Arc;

use super::crew::Crew;
use super::pictures::Pictures;
use crate::directory::Directory;
use crate::ops::quota::watch::Watch;
use crate::protocol::sasl::Privacy;
use crate::store::Store;

/// The server.
pub struct Server {
    /// The mail store.
    pub store: Store,
    /// What the last sessions found in large mailboxes.
    pub pictures: Arc<Pictures>,
    /// Who helps with long searches.
    pub crew: Arc<Crew>,
    /// The user directory.
    pub directory: Directory,
    /// Who may act for others (`store.admins`).
    pub admins: HashSet<String>,
    /// Only store administrators give rights to everybody (`store.privatesharedfolders.restrictanyone`).
    pub restrict_anyone: bool,
    /// LIST tells of others' folders (`local.store.sharedfolders`).
    pub lists_shared: bool,
    /// The domain whose users have plain userids.
    pub default_domain: Option<String>,
    /// The domain of a login name that names none (`service.defaultdomain`).
    pub login_domain: Option<String>,
    /// The characters between user and domain in a login name (`service.loginseparator`).
    pub separators: String,
    /// What encryption a login wants.
    pub privacy: Privacy,
    /// True when STARTTLS is to be had.
    pub starttls: bool,
    /// Capabilities that are not to be named, upper case.
    pub hidden: HashSet<String>,
    /// The greeting, expanded.
    pub banner: String,
    /// Largest message that APPEND takes, bytes.
    pub message_bytes: u64,
    /// What is configured about quota, at any moment.
    pub quota: Arc<Watch>,
    /// Changes of flags are told between commands (`local.imap.immediateflagupdate`).
    pub immediate: bool,
}
