//! **Here**: one complete command (as [`super::frame`] cut it) to a typed [`Command`]: all of RFC 3501 and the extensions of the parent's card.
//! **Not here**: limits on sizes (`frame`), which commands are allowed when (`session`), what they do (`command`).
//! **Start**: [`parse`]; [`command`] holds the types, one file each for LIST, SEARCH, SORT with THREAD, FETCH and sequence sets.
//! **Rules**: no recursion without a ceiling; refusals are typed ([`Bad`]) and their texts are ours; text is UTF-8 where it becomes a
//! `String`, mailbox names are modified UTF-7.

mod acl;
pub mod append;
pub mod command;
pub mod condstore;
mod cursor;
pub mod fetch;
pub mod list;
mod quota;
pub mod search;
pub mod sequence;
pub mod sort;

pub use append::{AppendHead, AppendItem, InternalDate, Replaced, append_head, append_next};
pub use command::{Bad, Command, Flag, FlagOp, Request, Secret, StatusItem, What};
pub use condstore::{Modifiers, Opening, Resync};
pub use cursor::{Names, is_tag_byte};
pub use fetch::{Item, Partial, Section, Text};
pub use list::{Listing, Returns, Selection};
pub use search::{DateOp, Key, Returned, SystemFlag, Window};
pub use sequence::{Bound, SequenceSet};
pub use sort::{Algorithm, By, Criterion};

use cursor::{Cursor, Parsed};

/// What can be said about a command that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The tag to answer with; `*` when there was none.
    pub tag: String,
    /// What is wrong.
    pub bad: Bad,
}

/// Parses a command of a client that has enabled nothing. `bytes` is what [`super::frame::Event::Command`] carries.
///
/// # Errors
/// The tag and a typed reason, to be sent as `tag BAD reason`.
pub fn parse(bytes: &[u8]) -> Result<Request, Refused> {
    parse_with(bytes, Names::Utf7)
}

/// Parses a command of a client that writes mailbox names like that.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(bytes: &[u8], names: Names) -> Result<Request, Refused> {
    let mut cursor = Cursor::new(bytes, names);
    let tag = cursor.tag().map_err(|bad| Refused { tag: "*".to_owned(), bad })?;
    match command(&mut cursor) {
        Ok(command) => Ok(Request { tag, command }),
        Err(bad) => Err(Refused { tag, bad }),
    }
}

fn command(c: &mut Cursor<'_>) -> Parsed<Command> {
    if c.at_end() {
        return Err(Bad::Null);
    }
    c.space()?;
    let word = c.word()?;
    let command = match word.as_str() {
        "CAPABILITY" => c.bare("Capability", Command::Capability)?,
        "NOOP" => c.bare("Noop", Command::Noop)?,
        "LOGOUT" => c.bare("Logout", Command::Logout)?,
        "STARTTLS" => c.bare("Starttls", Command::StartTls)?,
        "CHECK" => c.bare("Check", Command::Check)?,
        "CLOSE" => c.bare("Close", Command::Close)?,
        "UNSELECT" => c.bare("Unselect", Command::Unselect)?,
        "EXPUNGE" => c.bare("Expunge", Command::Expunge)?,
        "IDLE" => c.bare("Idle", Command::Idle)?,
        "NAMESPACE" => c.bare("Namespace", Command::Namespace)?,
        "UNAUTHENTICATE" => c.bare("Unauthenticate", Command::Unauthenticate)?,
        "COMPRESS" => compress(c)?,
        "GETQUOTA" => c.within("Getquota", quota::get)?,
        "GETQUOTAROOT" => Command::GetQuotaRoot(one_mailbox(c, "Getquotaroot")?),
        "SETQUOTA" => c.within("Setquota", quota::set)?,
        "SETACL" => c.within("Setacl", acl::set)?,
        "DELETEACL" => c.within("Deleteacl", acl::delete)?,
        "GETACL" => Command::GetAcl(one_mailbox(c, "Getacl")?),
        "LISTRIGHTS" => c.within("Listrights", acl::list_rights)?,
        "MYRIGHTS" => Command::MyRights(one_mailbox(c, "Myrights")?),
        "AUTHENTICATE" => authenticate(c)?,
        "LOGIN" => login(c)?,
        "SELECT" => Command::Select(condstore::opening(c, "Select")?),
        "EXAMINE" => Command::Examine(condstore::opening(c, "Examine")?),
        "CREATE" => create(c)?,
        "DELETE" => Command::Delete(one_mailbox(c, "Delete")?),
        "SUBSCRIBE" => Command::Subscribe(one_mailbox(c, "Subscribe")?),
        "UNSUBSCRIBE" => Command::Unsubscribe(one_mailbox(c, "Unsubscribe")?),
        "RENAME" => rename(c)?,
        "LIST" => c.within("List", list::command)?,
        "LSUB" => lsub(c)?,
        "STATUS" => status(c)?,
        "APPEND" => return Err(append::without_message(c)),
        "REPLACE" => return Err(append::without_replacement(c)),
        "ID" => id(c)?,
        "ENABLE" => enable(c)?,
        "SEARCH" => c.within("Search", |c| search::command(c, false))?,
        "SORT" => c.within("Sort", |c| sort::sort(c, false))?,
        "THREAD" => c.within("Thread", |c| sort::thread(c, false))?,
        "FETCH" => c.within("Fetch", |c| fetch::command(c, false))?,
        "STORE" => c.within("Store", |c| store(c, false))?,
        "COPY" => c.within("Copy", |c| copy(c, false, false))?,
        "MOVE" => c.within("Move", |c| copy(c, false, true))?,
        "UID" => uid(c)?,
        _ => return Err(Bad::Unrecognized),
    };
    c.end()?;
    Ok(command)
}

fn uid(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Uid");
    c.space()?;
    match c.word()?.as_str() {
        "SEARCH" => c.within("UID Search", |c| search::command(c, true)),
        "SORT" => c.within("UID Sort", |c| sort::sort(c, true)),
        "THREAD" => c.within("UID Thread", |c| sort::thread(c, true)),
        "FETCH" => c.within("UID Fetch", |c| fetch::command(c, true)),
        "STORE" => c.within("UID Store", |c| store(c, true)),
        "COPY" => c.within("UID Copy", |c| copy(c, true, false)),
        "MOVE" => c.within("UID Move", |c| copy(c, true, true)),
        "EXPUNGE" => c.within("UID Expunge", |c| {
            c.space()?;
            Ok(Command::UidExpunge(sequence::set(c)?))
        }),
        "REPLACE" => Err(append::without_replacement(c)),
        _ => Err(Bad::UnrecognizedUid),
    }
}

fn authenticate(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Authenticate");
    c.space()?;
    let mechanism = c.atom(What::Mechanism)?.to_ascii_uppercase();
    let initial = if c.at_end() {
        None
    } else {
        c.space()?;
        Some(Secret(c.rest().to_vec()))
    };
    Ok(Command::Authenticate { mechanism, initial })
}

/// RFC 4978 section 3.
fn compress(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Compress");
    c.space()?;
    Ok(Command::Compress(c.atom(What::Mechanism)?.to_ascii_uppercase()))
}

fn login(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Login");
    c.space()?;
    let user = c.astring_text()?;
    c.space()?;
    let password = Secret(c.astring()?.into_owned());
    Ok(Command::Login { user, password })
}

fn one_mailbox(c: &mut Cursor<'_>, name: &'static str) -> Parsed<String> {
    c.name(name);
    c.space()?;
    c.mailbox()
}

fn rename(c: &mut Cursor<'_>) -> Parsed<Command> {
    let from = one_mailbox(c, "Rename")?;
    c.space()?;
    let to = c.mailbox()?;
    Ok(Command::Rename { from, to })
}

/// Parameters as RFC 4466 section 2.2 has them; USE is that of RFC 6154.
fn create(c: &mut Cursor<'_>) -> Parsed<Command> {
    let mailbox = one_mailbox(c, "Create")?;
    let mut uses = None;
    if c.has_more() {
        c.space()?;
        c.list(|c| {
            if !c.atom(What::Parameter)?.eq_ignore_ascii_case("USE") || uses.is_some() {
                return Err(c.invalid(What::Parameter));
            }
            c.space()?;
            uses = Some(c.list(special_use)?);
            Ok(())
        })?;
        if uses.is_none() {
            return Err(c.invalid(What::Parameter));
        }
    }
    Ok(Command::Create { mailbox, uses })
}

/// `\Sent` or any other word behind a backslash.
fn special_use(c: &mut Cursor<'_>) -> Parsed<String> {
    if !c.eat(b'\\') {
        return Err(c.invalid(What::SpecialUse));
    }
    Ok(format!("\\{}", c.atom(What::SpecialUse)?))
}

fn lsub(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Lsub");
    c.space()?;
    let reference = c.astring_text()?;
    c.space()?;
    let pattern = c.list_mailbox()?;
    Ok(Command::Lsub { reference, pattern })
}

fn status(c: &mut Cursor<'_>) -> Parsed<Command> {
    let mailbox = one_mailbox(c, "Status")?;
    c.space()?;
    let items = status_items(c)?;
    Ok(Command::Status { mailbox, items })
}

/// The list of data items of STATUS and of LIST RETURN (STATUS ...).
fn status_items(c: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let items = c.list(|c| {
        Ok(match c.atom(What::StatusItem)?.to_ascii_uppercase().as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "HIGHESTMODSEQ" => StatusItem::HighestModseq,
            "SIZE" => StatusItem::Size,
            "MAILBOXID" => StatusItem::MailboxId,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            "DELETED" => StatusItem::Deleted,
            "DELETED-STORAGE" => StatusItem::DeletedStorage,
            _ => return Err(c.invalid(What::StatusItem)),
        })
    })?;
    if items.is_empty() {
        return Err(c.invalid(What::StatusItem));
    }
    Ok(items)
}

/// RFC 2971: at most 30 pairs.
const ID_PAIRS: usize = 30;

fn id(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Id");
    c.space()?;
    let mut pairs = Vec::new();
    if c.nil() {
        return Ok(Command::Id(pairs));
    }
    c.byte(b'(')?;
    while !c.eat(b')') {
        if !pairs.is_empty() {
            c.space()?;
        }
        if pairs.len() == ID_PAIRS {
            return Err(Bad::TooMany("Id"));
        }
        let field = c.string_text()?;
        c.space()?;
        let value = if c.nil() { None } else { Some(c.string_text()?) };
        pairs.push((field, value));
    }
    Ok(Command::Id(pairs))
}

fn enable(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.name("Enable");
    let mut names = Vec::new();
    while names.is_empty() || !c.at_end() {
        c.space()?;
        names.push(c.atom(What::Capability)?.to_ascii_uppercase());
    }
    Ok(Command::Enable(names))
}

fn store(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let set = sequence::set(c)?;
    c.space()?;
    let unchanged_since = condstore::unchanged_since(c)?;
    let op = match c.peek() {
        Some(b'+') => FlagOp::Add,
        Some(b'-') => FlagOp::Remove,
        _ => FlagOp::Replace,
    };
    if op != FlagOp::Replace {
        c.skip();
    }
    let silent = match c.atom(What::StoreItem)?.to_ascii_uppercase().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(c.invalid(What::StoreItem)),
    };
    c.space()?;
    let flags = if c.peek() == Some(b'(') {
        c.list(Cursor::flag)?
    } else {
        let mut flags = vec![c.flag()?];
        while !c.at_end() {
            c.space()?;
            flags.push(c.flag()?);
        }
        flags
    };
    Ok(Command::Store { uid, set, op, silent, flags, unchanged_since })
}

fn copy(c: &mut Cursor<'_>, uid: bool, moves: bool) -> Parsed<Command> {
    c.space()?;
    let set = sequence::set(c)?;
    c.space()?;
    let mailbox = c.mailbox()?;
    Ok(if moves { Command::Move { uid, set, mailbox } } else { Command::Copy { uid, set, mailbox } })
}

#[cfg(test)]
mod tests;
