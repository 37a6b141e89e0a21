//! The one place where an error of a room below becomes words on the wire.

use std::borrow::Cow;

use super::respond::{self, Code};
use crate::directory::{self, DirectoryError};
use crate::log::{self, Category};
use crate::store::{Kind, StoreError};

/// `-ERR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In brackets.
    pub code: Option<Code>,
    /// The text.
    pub words: Cow<'static, str>,
}

impl Refusal {
    /// `-ERR words`.
    pub fn new(words: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { code: None, words: words.into() }
    }

    /// `-ERR [code] words`.
    pub fn with(code: Code, words: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { code: Some(code), words: words.into() }
    }

    /// A failure that is ours: fixed words and a number, everything else in the log line with that number.
    pub fn internal(code: Code, error: &dyn std::fmt::Display) -> Refusal {
        Refusal::with(code, format!("System error, incident {}", log::incident(Category::Store, error)))
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        respond::err(out, self.code, &self.words);
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error.kind() {
            _ if matches!(error, StoreError::Denied) => Refusal::with(Code::SysPerm, "Permission denied"),
            Kind::Expunged => Refusal::new("The message is gone"),
            Kind::InUse => Refusal::with(Code::InUse, "The mailbox is locked"),
            Kind::NotFound => Refusal::with(Code::SysPerm, "The mailbox does not exist"),
            Kind::Corrupt => Refusal::internal(Code::SysPerm, &error),
            _ => Refusal::internal(Code::SysTemp, &error),
        }
    }
}

/// The answer to a failed login.
pub fn of_directory(error: &DirectoryError) -> Refusal {
    match (error.kind(), error) {
        (directory::ErrorKind::Unavailable, _) => Refusal::internal(Code::SysTemp, error),
        (_, DirectoryError::NotAllowed) => Refusal::with(Code::SysPerm, "Service not allowed"),
        (_, DirectoryError::Blocked(_)) => Refusal::with(Code::SysPerm, "Account disabled"),
        (_, DirectoryError::Elsewhere(_)) => Refusal::with(Code::SysPerm, "Mailbox is on another host"),
        // RFC 3206 section 5: the name, the password or the proof is wrong.
        _ => Refusal::with(Code::Auth, "Login failed: authentication failure"),
    }
}
