//! The types a parsed command is made of.

use super::condstore::{Modifiers, Opening};
use super::fetch::Item;
use super::list::Listing;
use super::search::{Key, Returned};
use super::sequence::SequenceSet;
use super::sort::{Algorithm, Criterion};
use crate::store::AclChange;

/// A command with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the answer begins with.
    pub tag: String,
    /// What is wanted.
    pub command: Command,
}

/// Bytes that do not print: passwords and the tokens that hold them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Every command (RFC 3501 section 6 and extensions). Mailbox names are as on the wire: modified UTF-7, INBOX in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Capability,
    Noop,
    Logout,
    StartTls,
    /// `initial` is the base64 text of RFC 4959, not yet decoded.
    Authenticate {
        mechanism: String,
        initial: Option<Secret>,
    },
    Login {
        user: String,
        password: Secret,
    },
    Select(Opening),
    Examine(Opening),
    /// `uses` are the attributes of USE (RFC 6154) as they were sent; `None` without USE.
    Create {
        mailbox: String,
        uses: Option<Vec<String>>,
    },
    Delete(String),
    Rename {
        from: String,
        to: String,
    },
    Subscribe(String),
    Unsubscribe(String),
    List(Listing),
    Lsub {
        reference: String,
        pattern: String,
    },
    Status {
        mailbox: String,
        items: Vec<StatusItem>,
    },
    Check,
    Close,
    Unselect,
    Expunge,
    UidExpunge(SequenceSet),
    Search {
        uid: bool,
        /// What of the result is to be told (RFC 4731); `None`: all, in the form of RFC 3501.
        returned: Option<Returned>,
        charset: Option<String>,
        key: Key,
    },
    Sort {
        uid: bool,
        /// As of SEARCH (RFC 5267).
        returned: Option<Returned>,
        criteria: Vec<Criterion>,
        charset: String,
        key: Key,
    },
    Thread {
        uid: bool,
        algorithm: Algorithm,
        charset: String,
        key: Key,
    },
    Fetch {
        uid: bool,
        set: SequenceSet,
        items: Vec<Item>,
        modifiers: Modifiers,
    },
    Store {
        uid: bool,
        set: SequenceSet,
        op: FlagOp,
        silent: bool,
        flags: Vec<Flag>,
        /// Messages with a greater mod-sequence are left alone (RFC 7162 section 3.1.3).
        unchanged_since: Option<u64>,
    },
    Copy {
        uid: bool,
        set: SequenceSet,
        mailbox: String,
    },
    Move {
        uid: bool,
        set: SequenceSet,
        mailbox: String,
    },
    Idle,
    /// The algorithm in upper case (RFC 4978).
    Compress(String),
    /// RFC 8437.
    Unauthenticate,
    /// The quota root (RFC 9208 section 4.1.2).
    GetQuota(String),
    /// The mailbox (RFC 9208 section 4.1.3).
    GetQuotaRoot(String),
    /// Resources in upper case and their limits (RFC 9208 section 4.1.4).
    SetQuota {
        root: String,
        limits: Vec<(String, u64)>,
    },
    /// RFC 4314 section 3.1.
    SetAcl {
        mailbox: String,
        identifier: String,
        change: AclChange,
    },
    /// RFC 4314 section 3.2.
    DeleteAcl {
        mailbox: String,
        identifier: String,
    },
    /// The mailbox (RFC 4314 section 3.3).
    GetAcl(String),
    /// RFC 4314 section 3.4.
    ListRights {
        mailbox: String,
        identifier: String,
    },
    /// The mailbox (RFC 4314 section 3.5).
    MyRights(String),
    Namespace,
    /// Fields and values of RFC 2971; empty for NIL.
    Id(Vec<(String, Option<String>)>),
    /// Capability names in upper case.
    Enable(Vec<String>),
}

/// A data item of STATUS (RFC 3501 section 6.3.10 and extensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    /// RFC 7162 section 3.1.7.
    HighestModseq,
    /// RFC 8438.
    Size,
    /// RFC 8474 section 4.3.
    MailboxId,
    /// RFC 7889 section 3.
    AppendLimit,
    /// RFC 9208 section 4.1.5.
    Deleted,
    /// Likewise.
    DeletedStorage,
}

/// What STORE does with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FlagOp {
    Replace,
    Add,
    Remove,
}

/// A flag that a client may set; `\Recent` is not one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Flag {
    Answered,
    Flagged,
    Deleted,
    Seen,
    Draft,
    Keyword(String),
}

/// A part of the grammar, as a [`Bad`] text names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum What {
    Atom,
    String,
    Utf8,
    Mailbox,
    Number,
    Sequence,
    Flag,
    SystemFlag,
    Date,
    DateTime,
    Mechanism,
    Capability,
    Parameter,
    SpecialUse,
    Resource,
    Identifier,
    Rights,
    ListOption,
    SearchOption,
    StatusItem,
    StoreItem,
    FetchItem,
    Section,
    Partial,
    SearchKey,
    ModSequence,
    ObjectId,
    Modifier,
    Window,
    Sort,
    Thread,
    Charset,
    Syntax,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            What::Atom => "word",
            What::String => "string",
            What::Utf8 => "text that is not UTF-8",
            What::Mailbox => "mailbox name",
            What::Number => "number",
            What::Sequence => "sequence",
            What::Flag => "flag",
            What::SystemFlag => "system flag",
            What::Date => "date",
            What::DateTime => "date-time",
            What::Mechanism => "mechanism",
            What::Capability => "capability name",
            What::Parameter => "parameter",
            What::SpecialUse => "special use",
            What::Resource => "resource",
            What::Identifier => "identifier",
            What::Rights => "access rights",
            What::ListOption => "list option",
            What::SearchOption => "return option",
            What::StatusItem => "status item",
            What::StoreItem => "store item",
            What::FetchItem => "attribute",
            What::Section => "body section",
            What::Partial => "body partial",
            What::SearchKey => "criteria",
            What::ModSequence => "mod-sequence",
            What::ObjectId => "object id",
            What::Modifier => "modifier",
            What::Window => "partial range",
            What::Sort => "sort criterion",
            What::Thread => "thread algorithm",
            What::Charset => "character set",
            What::Syntax => "syntax",
        })
    }
}

/// Why a command is not one. The text is what the client sees after `BAD`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// The line does not begin with a tag.
    #[error("Invalid tag")]
    Tag,
    /// A tag and nothing else.
    #[error("Null command")]
    Null,
    /// No command of that name.
    #[error("Unrecognized command")]
    Unrecognized,
    /// No such word after UID.
    #[error("Unrecognized UID subcommand")]
    UnrecognizedUid,
    /// The line ended too early.
    #[error("Missing required argument to {0}")]
    Missing(&'static str),
    /// The line ended too late.
    #[error("Unexpected extra arguments to {0}")]
    Extra(&'static str),
    /// Something that the grammar does not have there.
    #[error("Invalid {what} in {command}")]
    Invalid {
        /// What was expected.
        what: What,
        /// Where.
        command: &'static str,
    },
    /// Parentheses or NOTs too deep.
    #[error("Nesting too deep in {0}")]
    Deep(&'static str),
    /// RECURSIVEMATCH without an option that selects anything (RFC 5258 section 3.1).
    #[error("RECURSIVEMATCH needs another selection option in {0}")]
    Recursive(&'static str),
    /// More elements than we take.
    #[error("Too many arguments to {0}")]
    TooMany(&'static str),
}
