//! THREAD and UID THREAD (RFC 5256 section 3): the search, then the messages one by one, then the threads in pieces.

use super::search::SearchRun;
use super::sort::sent_s;
use super::walk::{Headers, Walk};
use crate::message::threading::{self, ByReferences, BySubject, Letter, Threads};
use crate::message::{charset, subject};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Algorithm, Key};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::{Running, Session};
use crate::store::Message;

/// What one step writes, about.
const PIECE_BYTES: usize = 128 * 1024;
/// Octets of a field that are looked at.
const FIELD_BYTES: usize = 64 * 1024;
/// Octets of a folded subject that are compared, as SORT does.
const TEXT_BYTES: usize = 1024;

/// A THREAD that is not over.
pub struct ThreadRun {
    uid: bool,
    algorithm: Algorithm,
    part: Part,
    damaged: bool,
}

enum Part {
    Search(Box<SearchRun>),
    Messages { walk: Walk, by: Box<By>, searched: u64 },
    Write(Threads),
}

enum By {
    Subject(BySubject),
    References(ByReferences),
}

/// Prepares a THREAD.
///
/// # Errors
/// As SEARCH.
pub(in crate::protocol::imap) fn start(
    session: &mut Session,
    uid: bool,
    algorithm: Algorithm,
    (charset, key): (&str, Key),
    now_s: i64,
) -> Result<Running, Answer> {
    let part = Part::Search(Box::new(SearchRun::new(session, true, Some(charset), key, now_s)?));
    Ok(Running::Thread(Box::new(ThreadRun { uid, algorithm, part, damaged: false })))
}

impl ThreadRun {
    /// Goes on, and answers at the end. `None`: there is more.
    pub(in crate::protocol::imap) fn step(
        &mut self,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answer>, Answer> {
        match &mut self.part {
            Part::Search(search) => {
                if search.advance(session)? {
                    self.damaged = search.damaged;
                    search.found.settle();
                    let walk = Walk::new(search.found.ranges.iter().copied(), true);
                    let by = Box::new(match self.algorithm {
                        Algorithm::OrderedSubject => By::Subject(BySubject::default()),
                        Algorithm::References => By::References(ByReferences::default()),
                    });
                    self.part = Part::Messages { walk, by, searched: search.progress().1 };
                }
            }
            Part::Messages { walk, by, .. } => {
                let mut letters = Vec::new();
                let last = walk.step(session, &mut |message, headers| letters.push(letter(message, headers)))?;
                let numbers = &session.mailbox()?.numbers;
                for mut letter in letters {
                    if !self.uid {
                        let Some(number) = numbers.number(letter.number) else { continue };
                        letter.number = number;
                    }
                    match by.as_mut() {
                        By::Subject(by) => by.push(letter),
                        By::References(by) => by.push(letter),
                    }
                }
                if last {
                    self.damaged |= walk.damaged;
                    let threads = match std::mem::replace(by.as_mut(), By::Subject(BySubject::default())) {
                        By::Subject(by) => by.finish(),
                        By::References(by) => by.finish(),
                    };
                    // RFC 5256 section 4: `"THREAD" [SP 1*thread-list]`.
                    respond::text(out, if threads.is_empty() { "* THREAD" } else { "* THREAD " });
                    self.part = Part::Write(threads);
                }
            }
            Part::Write(threads) => {
                if !threads.write(out, PIECE_BYTES) {
                    respond::text(out, "\r\n");
                    return Ok(Some(match self.damaged {
                        true => Answer::no_with(Code::Corruption, "Some of the messages could not be read"),
                        false => Answer::completed(),
                    }));
                }
            }
        }
        Ok(None)
    }

    /// How much is done, and of how much. `None`: the response is being written, and nothing may come between.
    pub(in crate::protocol::imap) fn progress(&self) -> Option<(u64, u64)> {
        match &self.part {
            Part::Search(search) => Some((search.progress().0, search.progress().1 * 2)),
            Part::Messages { walk, searched, .. } => Some((searched + walk.passed, searched * 2)),
            Part::Write(_) => None,
        }
    }
}

fn letter(message: &Message, headers: &Headers<'_>) -> Letter {
    let cut = |value: Option<&[u8]>| {
        value.map(|value| value.get(..FIELD_BYTES).unwrap_or(value)).unwrap_or_default().to_vec()
    };
    let ids = |value: Option<&[u8]>| threading::message_ids(&cut(value));
    let base = headers.subject.map(subject::base).unwrap_or_default();
    let mut subject = charset::fold(&base.text);
    if subject.len() > TEXT_BYTES {
        subject.truncate(subject.floor_char_boundary(TEXT_BYTES));
    }
    let mut references = ids(headers.references);
    if references.is_empty() {
        // Without References the first id of In-Reply-To is the parent.
        references.extend(ids(headers.in_reply_to).into_iter().next());
    }
    Letter {
        number: message.uid,
        sent_s: sent_s(message),
        subject,
        is_reply: base.is_reply,
        id: ids(headers.message_id).into_iter().next(),
        references,
    }
}
