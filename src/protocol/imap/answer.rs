//! The tagged end of a command, and the one place where an error of a room below becomes words on the wire.

use std::borrow::Cow;
use std::io::ErrorKind;

use super::respond::{self, Code, Status};
use crate::directory::{self, DirectoryError};
use crate::log::{self, Category};
use crate::store::{Kind, NameError, StoreError};

/// A tagged response without its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// OK, NO or BAD.
    pub status: Status,
    /// In brackets.
    pub code: Option<Code>,
    /// The text.
    pub words: Cow<'static, str>,
}

/// `Err` is an answer, too: NO or BAD.
pub type Answered = Result<Answer, Answer>;

impl Answer {
    /// `OK Completed`.
    pub fn completed() -> Answer {
        Answer::new(Status::Ok, None, "Completed")
    }

    /// `OK [code] Completed`.
    pub fn completed_with(code: Code) -> Answer {
        Answer::new(Status::Ok, Some(code), "Completed")
    }

    /// `NO words`.
    pub fn no(words: impl Into<Cow<'static, str>>) -> Answer {
        Answer::new(Status::No, None, words)
    }

    /// `NO [code] words`.
    pub fn no_with(code: Code, words: impl Into<Cow<'static, str>>) -> Answer {
        Answer::new(Status::No, Some(code), words)
    }

    /// `BAD words`.
    pub fn bad(words: impl Into<Cow<'static, str>>) -> Answer {
        Answer::new(Status::Bad, None, words)
    }

    fn new(status: Status, code: Option<Code>, words: impl Into<Cow<'static, str>>) -> Answer {
        Answer { status, code, words: words.into() }
    }

    /// Writes it under a tag.
    pub fn write(&self, tag: &str, out: &mut Vec<u8>) {
        respond::status(out, tag, self.status, self.code.as_ref(), &self.words);
    }

    /// A failure that is ours: fixed words and a number, everything else in the log line with that number.
    pub fn internal(code: Code, error: &dyn std::fmt::Display) -> Answer {
        Answer::incident("System error", code, error)
    }

    /// Bytes of a message could not be written.
    pub fn unwritten(error: &std::io::Error) -> Answer {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Answer::no_space(error),
            _ => Answer::internal(Code::Unavailable, error),
        }
    }

    fn no_space(error: &dyn std::fmt::Display) -> Answer {
        Answer::incident("The disk of the mail store is full", Code::Unavailable, error)
    }

    fn incident(words: &str, code: Code, error: &dyn std::fmt::Display) -> Answer {
        Answer::no_with(code, format!("{words}, incident {}", log::incident(Category::Store, error)))
    }
}

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Answer {
        match error.kind() {
            Kind::NotFound => Answer::no_with(Code::NonExistent, "Mailbox does not exist"),
            Kind::Exists => Answer::no_with(Code::AlreadyExists, "Mailbox already exists"),
            Kind::Denied => Answer::no_with(Code::NoPerm, "Permission denied"),
            Kind::OverQuota => Answer::no_with(Code::OverQuota, "Over quota"),
            Kind::InUse => Answer::no_with(Code::InUse, "Mailbox is locked"),
            Kind::Invalid => Answer::no_with(Code::Cannot, error.to_string()),
            Kind::TooLarge => Answer::no_with(Code::TooBig, "Message too large"),
            Kind::Limit => Answer::no_with(Code::Limit, error.to_string()),
            Kind::SpecialUse => Answer::no_with(Code::UseAttr, error.to_string()),
            Kind::Expunged => Answer::no_with(Code::ExpungeIssued, "Some of the messages no longer exist"),
            Kind::Corrupt => Answer::internal(Code::Corruption, &error),
            Kind::NoSpace => Answer::no_space(&error),
            Kind::Unavailable if matches!(error, StoreError::NoPartition { .. }) => {
                Answer::incident("Unknown/invalid partition", Code::Unavailable, &error)
            }
            Kind::Unavailable => Answer::internal(Code::Unavailable, &error),
            Kind::Io | Kind::Internal => Answer::internal(Code::ServerBug, &error),
        }
    }
}

impl From<NameError> for Answer {
    fn from(error: NameError) -> Answer {
        Answer::no_with(Code::Cannot, format!("Invalid mailbox name: {error}"))
    }
}

/// The answer to a failed login.
pub fn of_directory(error: &DirectoryError) -> Answer {
    match error.kind() {
        directory::ErrorKind::Unavailable => Answer::internal(Code::Unavailable, error),
        _ => match error {
            DirectoryError::NotAllowed => Answer::no_with(Code::AuthorizationFailed, "Service not allowed"),
            DirectoryError::Blocked(_) => Answer::no_with(Code::AuthorizationFailed, "Account disabled"),
            DirectoryError::Elsewhere(_) => Answer::no_with(Code::AuthorizationFailed, "Mailbox is on another host"),
            _ => Answer::no_with(Code::AuthenticationFailed, "Login failed: authentication failure"),
        },
    }
}
