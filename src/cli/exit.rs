//! Exit codes: one table for all tools, after sysexits(3).

use std::process::ExitCode;

/// How a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done: clean, or everything found was repaired.
    Ok,
    /// Finished, but something is left wrong.
    Incomplete,
    /// A check-only or dry run found something that it would change.
    WouldChange,
    /// Unknown option, missing argument, options that exclude each other.
    Usage,
    /// An input file, message or archive is malformed.
    DataErr,
    /// No such mailbox, partition or input file.
    NoInput,
    /// No such user.
    NoUser,
    /// A service that is needed is not running or not reachable.
    Unavailable,
    /// A bug or a damaged store.
    Software,
    /// An output cannot be created.
    CantCreate,
    /// Input/output error.
    IoErr,
    /// Temporary failure: try again.
    TempFail,
    /// Not permitted.
    NoPerm,
    /// The configuration is wrong.
    Config,
    /// Another program's exit code, passed on.
    Other(u8),
}

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Incomplete => 1,
            Exit::WouldChange => 2,
            Exit::Usage => 64,
            Exit::DataErr => 65,
            Exit::NoInput => 66,
            Exit::NoUser => 67,
            Exit::Unavailable => 69,
            Exit::Software => 70,
            Exit::CantCreate => 73,
            Exit::IoErr => 74,
            Exit::TempFail => 75,
            Exit::NoPerm => 77,
            Exit::Config => 78,
            Exit::Other(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error that knows how its tool must end; attach it with [`anyhow::Error::context`] lines around it.
/// `message` is the first line a person reads, `hint` a line that can be typed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the tool ends.
    pub exit: Exit,
    /// What could not be done, to which thing.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }

    /// The same with a line that tells what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}
