//! STORE (RFC 3501 section 6.4.6), also conditional (RFC 7162 section 3.1.3).

use super::copy::gone;
use super::enable::Enabled;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Flag, FlagOp, SequenceSet};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::selected::Selected;
use crate::protocol::imap::session::Session;
use crate::store::{self, FlagChange, Flags, Modseq, StateRun, Stored, UidSet};

/// The arguments of STORE.
#[allow(missing_docs)]
pub struct Arguments {
    pub uid: bool,
    pub set: SequenceSet,
    pub op: FlagOp,
    pub silent: bool,
    pub flags: Vec<Flag>,
    pub unchanged_since: Option<Modseq>,
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
/// meanwhile, unless the client wanted no FLAGS (RFC 2180 section 4.2.2) and set no condition.
///
/// # Errors
/// NO: the mailbox is read-only, none of the flags may be changed, too many keywords; BAD: no such message.
pub fn run(
    session: &mut Session,
    arguments: &Arguments,
    out: &mut Vec<u8>,
) -> Result<(Option<(Modseq, UidSet)>, Answer), Answer> {
    let (store, enabled) = (session.store.clone(), session.enabled);
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
    let change = FlagChange { op, flags, keywords };
    let stored = store.store_flags(selected.account, selected.folder, &uids, &change, arguments.unchanged_since)?;
    // What others changed meanwhile the client does not know yet: of those messages it is told everything at the end.
    let followed = stored.followed_from(selected.seen_modseq());
    let mut answer = Answer::completed();
    if !arguments.silent || enabled.condstore {
        let view = store.view(selected.account)?;
        selected.reload_keywords(&view, out)?;
        let mut runs = Vec::new();
        for (first, last) in uids.ranges() {
            view.states(selected.folder, *first..=*last, &mut |run| runs.push(run))?;
        }
        drop(view);
        let there: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        if !arguments.uid && (!arguments.silent || arguments.unchanged_since.is_some()) && there < uids.len() as u64 {
            answer = gone();
        }
        let told = Told { arguments, enabled, stored: &stored, followed: &followed };
        runs.iter().for_each(|run| told.write(selected, run, out));
    }
    if !stored.refused.is_empty() {
        answer = Answer { code: Some(modified(selected, &stored.refused, arguments.uid)), ..answer };
        if answer.status == Status::Ok {
            answer.words = "Some of the messages have changed".into();
        }
    }
    selected.changed_by_itself(stored.since, stored.modseq);
    let known = if arguments.silent { followed } else { stored.changed };
    Ok(((stored.modseq != 0).then_some((stored.modseq, known)), answer))
}

/// The messages that a conditional STORE left alone, by UIDs or by numbers.
fn modified(selected: &Selected, refused: &UidSet, uid: bool) -> Code {
    if uid {
        return Code::Modified(refused.ranges().to_vec());
    }
    let numbers: UidSet = refused.iter().filter_map(|uid| selected.numbers.number(uid)).collect();
    Code::Modified(numbers.ranges().to_vec())
}

/// What the FETCH responses of a STORE say.
struct Told<'a> {
    arguments: &'a Arguments,
    enabled: Enabled,
    stored: &'a Stored,
    followed: &'a UidSet,
}

impl Told<'_> {
    fn write(&self, selected: &Selected, run: &StateRun, out: &mut Vec<u8>) {
        let ours = run.modseq == self.stored.modseq;
        for uid in run.first..=run.last() {
            let Some(number) = selected.numbers.number(uid) else { continue };
            let mut items = Vec::new();
            if !self.arguments.silent {
                items.push(format!("FLAGS ({})", selected.flag_list(uid, run.flags, run.keywords)));
            } else if self.stored.refused.contains(uid) || (ours && !self.followed.contains(uid)) {
                // A refused message is not told of; one that others changed, too, is told of with its flags.
                continue;
            } else if !ours && (self.arguments.unchanged_since.is_none() || run.modseq > selected.seen_modseq()) {
                // Not changed by this command. Where it is conditional the client hears so (RFC 7162 section 3.1.3).
                continue;
            }
            if self.arguments.uid || self.enabled.tells_uid() {
                items.push(format!("UID {uid}"));
            }
            if self.enabled.condstore {
                items.push(format!("MODSEQ ({})", run.modseq));
            }
            respond::text(out, &format!("* {number} FETCH ({})\r\n", items.join(" ")));
        }
    }
}
