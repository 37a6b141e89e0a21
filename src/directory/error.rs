//! Why a directory did not answer with a user.

use std::path::PathBuf;

use super::Status;

/// Why the directory did not answer with a user.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory cannot be asked now; nothing is known about anybody.
    #[error("the user directory {directory} cannot be read: {reason}")]
    Unavailable {
        /// The file, or the servers.
        directory: String,
        /// What went wrong.
        reason: String,
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
    /// The server did not take a change.
    #[error("the user directory {directory} refuses to change {dn}: {reason}")]
    Refused {
        /// The servers.
        directory: String,
        /// The entry.
        dn: String,
        /// What the server said.
        reason: String,
    },
    /// An entry of this name is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// No entry of this name.
    #[error("no such user: {0}")]
    NoUser(String),
    /// The directory has no entry of this domain.
    #[error("the directory has no entry of the domain {0}")]
    NoDomain(String),
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
    /// Not let in, or not permitted.
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
            DirectoryError::NoUser(_) | DirectoryError::NoDomain(_) => ErrorKind::NotFound,
            DirectoryError::BadCredentials
            | DirectoryError::Blocked(_)
            | DirectoryError::NotAllowed
            | DirectoryError::Refused { .. }
            | DirectoryError::Elsewhere(_) => ErrorKind::Denied,
        }
    }
}
