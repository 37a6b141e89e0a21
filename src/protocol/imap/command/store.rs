//! STORE (RFC 3501 section 6.4.6).

use super::copy::gone;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Flag, FlagOp, SequenceSet};
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;
use crate::store::{self, FlagChange, Flags, Modseq, UidSet};

/// The arguments of STORE.
#[allow(missing_docs)]
pub struct Arguments {
    pub uid: bool,
    pub set: SequenceSet,
    pub op: FlagOp,
    pub silent: bool,
    pub flags: Vec<Flag>,
}

/// Splits flags of a command into system flags and keywords.
pub fn split(flags: &[Flag]) -> (Flags, Vec<String>) {
    let mut system = Flags::NONE;
    let mut keywords: Vec<String> = Vec::new();
    for flag in flags {
        system = system.with(match flag {
            Flag::Answered => Flags::ANSWERED,
            Flag::Flagged => Flags::FLAGGED,
            Flag::Deleted => Flags::DELETED,
            Flag::Seen => Flags::SEEN,
            Flag::Draft => Flags::DRAFT,
            Flag::Keyword(name) => {
                if !keywords.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    keywords.push(name.clone());
                }
                Flags::NONE
            }
        });
    }
    (system, keywords)
}

/// Changes flags. Returns which changes the client knows of afterwards, and the answer: NO when numbers named messages that others have expunged
/// meanwhile, unless the client wanted no FLAGS (RFC 2180 section 4.2.2).
///
/// # Errors
/// NO: the mailbox is read-only, too many keywords; BAD: no such message.
pub fn run(
    session: &mut Session,
    arguments: &Arguments,
    out: &mut Vec<u8>,
) -> Result<(Option<(Modseq, UidSet)>, Answer), Answer> {
    let store = session.server.store.clone();
    let selected = session.writable()?;
    let Some(uids) = selected.uids(&arguments.set, arguments.uid) else {
        return Err(Answer::bad("Invalid sequence in Store"));
    };
    if uids.is_empty() {
        return Ok((None, Answer::completed()));
    }
    let (flags, keywords) = split(&arguments.flags);
    let op = match arguments.op {
        FlagOp::Replace => store::FlagOp::Replace,
        FlagOp::Add => store::FlagOp::Add,
        FlagOp::Remove => store::FlagOp::Remove,
    };
    let stored =
        store.store_flags(selected.account, selected.folder, &uids, &FlagChange { op, flags, keywords }, None)?;
    let mut answer = Answer::completed();
    if !arguments.silent {
        let view = store.view(selected.account)?;
        selected.reload_keywords(&view, out)?;
        let mut runs = Vec::new();
        for (first, last) in uids.ranges() {
            view.states(selected.folder, *first..=*last, &mut |run| runs.push(run))?;
        }
        drop(view);
        let there: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        if !arguments.uid && there < uids.len() as u64 {
            answer = gone();
        }
        for run in runs {
            for uid in run.first..=run.last() {
                let Some(number) = selected.numbers.number(uid) else { continue };
                let list = selected.flag_list(uid, run.flags, run.keywords);
                let tail = if arguments.uid { format!(" UID {uid}") } else { String::new() };
                respond::text(out, &format!("* {number} FETCH (FLAGS ({list}){tail})\r\n"));
            }
        }
    }
    Ok(((stored.modseq != 0).then_some((stored.modseq, stored.changed)), answer))
}
