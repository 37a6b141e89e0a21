//! What can go wrong in the store: closed kinds, paths and ids as fields.

use std::path::{Path, PathBuf};

/// The kind of an error: what a caller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    NotFound,
    Exists,
    Denied,
    OverQuota,
    InUse,
    Invalid,
    TooLarge,
    Corrupt,
    Unavailable,
    Limit,
    Expunged,
    SpecialUse,
    NoSpace,
    Io,
    Internal,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StoreError {
    #[error("{what} does not exist")]
    NotFound { what: String },
    #[error("Unknown/invalid partition: {nickname}")]
    NoPartition { nickname: String },
    #[error("permission denied")]
    Denied,
    #[error("{what} already exists")]
    Exists { what: String },
    #[error("{what} is in use{}", by.as_deref().map(|by| format!(" ({by})")).unwrap_or_default())]
    InUse { what: String, by: Option<String> },
    #[error("{what}")]
    Invalid { what: String },
    #[error("over quota: {what}")]
    OverQuota {
        what: String,
        /// The grace period of the mailbox runs.
        runs: bool,
        /// It has ended: mail for the mailbox goes back.
        bounce: bool,
    },
    #[error("too many {what} (the limit is {limit})")]
    Limit { what: &'static str, limit: u64 },
    #[error("{uses} {}", if *held { "belongs to another mailbox" } else { "is not supported" })]
    SpecialUse { uses: super::special_use::SpecialUse, held: bool },
    #[error("message {uid} has been expunged")]
    Expunged { uid: u32 },
    #[error("{place}: {what}")]
    Corrupt { what: String, place: String },
    #[error("{what}")]
    Unavailable { what: String },
    #[error("cannot {action} {}: {error}", path.display())]
    Io { action: &'static str, path: PathBuf, error: std::io::Error },
    #[error("mailbox database {place}: {what}")]
    Database { place: String, what: String, no_space: bool },
    #[error("the map of the mailbox database is full")]
    MapFull,
    #[error("{what}")]
    Internal { what: String },
}

impl From<super::name::NameError> for StoreError {
    fn from(error: super::name::NameError) -> StoreError {
        StoreError::Invalid { what: error.to_string() }
    }
}

impl StoreError {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            StoreError::NotFound { .. } => Kind::NotFound,
            StoreError::Denied => Kind::Denied,
            StoreError::Exists { .. } => Kind::Exists,
            StoreError::InUse { .. } => Kind::InUse,
            StoreError::Invalid { .. } => Kind::Invalid,
            StoreError::OverQuota { .. } => Kind::OverQuota,
            StoreError::Limit { .. } => Kind::Limit,
            StoreError::Expunged { .. } => Kind::Expunged,
            StoreError::SpecialUse { .. } => Kind::SpecialUse,
            StoreError::Corrupt { .. } => Kind::Corrupt,
            StoreError::Unavailable { .. } | StoreError::NoPartition { .. } => Kind::Unavailable,
            StoreError::Io { error, .. } if is_full(error) => Kind::NoSpace,
            StoreError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => Kind::Denied,
            StoreError::Io { .. } => Kind::Io,
            StoreError::Database { no_space: true, .. } => Kind::NoSpace,
            StoreError::Database { .. } => Kind::Io,
            StoreError::MapFull | StoreError::Internal { .. } => Kind::Internal,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, error: std::io::Error) -> StoreError {
        StoreError::Io { action, path: path.to_owned(), error }
    }

    pub(crate) fn missing(what: impl Into<String>) -> StoreError {
        StoreError::NotFound { what: what.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>, place: impl Into<String>) -> StoreError {
        StoreError::Corrupt { what: what.into(), place: place.into() }
    }

    /// The same error once more, for each caller of a failed batch.
    pub(crate) fn again(&self) -> StoreError {
        match self {
            StoreError::Io { action, path, error } => StoreError::Io {
                action,
                path: path.clone(),
                error: error.raw_os_error().map_or_else(
                    || std::io::Error::new(error.kind(), error.to_string()),
                    std::io::Error::from_raw_os_error,
                ),
            },
            StoreError::Database { place, what, no_space } => {
                StoreError::Database { place: place.clone(), what: what.clone(), no_space: *no_space }
            }
            StoreError::Unavailable { what } => StoreError::Unavailable { what: what.clone() },
            StoreError::Corrupt { what, place } => StoreError::Corrupt { what: what.clone(), place: place.clone() },
            other => StoreError::Internal { what: format!("the group commit failed: {other}") },
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}
