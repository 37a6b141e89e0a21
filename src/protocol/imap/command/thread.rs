//! THREAD and UID THREAD (RFC 5256 section 3): the search, then the messages one by one, then the threads in pieces.

use super::search::SearchRun;
use super::sort::sent_s;
use super::walk::{Depth, Gather, Headers, Walk};
use crate::message::keys::Keys;
use crate::message::threading::{ByReferences, BySubject, Letter, MessageId, Threads};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Algorithm, Key};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::{Running, Session};
use crate::store::{Message, Uid};

/// What one step writes, about.
const PIECE_BYTES: usize = 128 * 1024;
/// A THREAD that is not over.
pub struct ThreadRun {
    uid: bool,
    algorithm: Algorithm,
    part: Part,
    damaged: bool,
}

enum Part {
    Search(Box<SearchRun>),
    Messages { walk: Walk<Letters>, by: Box<By>, searched: u64 },
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
    let part = Part::Search(Box::new(SearchRun::new(session, true, Some(charset), key, now_s)?.first_of_two()));
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
                    let (left, searched) = (search.found.ranges.iter().copied().collect(), search.progress().1);
                    let walk = Walk::new(session, left, Depth::Keys)?;
                    let by = Box::new(match self.algorithm {
                        Algorithm::OrderedSubject => By::Subject(BySubject::default()),
                        Algorithm::References => By::References(ByReferences::default()),
                    });
                    self.part = Part::Messages { walk, by, searched };
                }
            }
            Part::Messages { walk, by, .. } => {
                let shares = walk.step(session, Letters::default)?;
                let numbers = &session.mailbox()?.numbers;
                for share in &shares {
                    for (letter, uid) in share.letters() {
                        let Some(number) = (if self.uid { Some(uid) } else { numbers.number(uid) }) else { continue };
                        let letter = Letter { number, ..letter };
                        match by.as_mut() {
                            By::Subject(by) => by.push(&letter),
                            By::References(by) => by.push(&letter),
                        }
                    }
                }
                if walk.is_over() {
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

/// The messages of a share, with their texts and references one behind the other.
#[derive(Default)]
struct Letters {
    parts: Vec<Parts>,
    subjects: Vec<u8>,
    references: Vec<MessageId>,
}

/// A message of them: where it ends in those, and the rest.
struct Parts {
    uid: Uid,
    sent_s: i64,
    is_reply: bool,
    id: Option<MessageId>,
    subjects_end: usize,
    references_end: usize,
}

impl Gather for Letters {
    fn take(&mut self, message: &Message, keys: &Keys<'_>, _: &Headers<'_>) {
        self.subjects.extend_from_slice(keys.subject);
        self.references.extend(keys.references());
        self.parts.push(Parts {
            uid: message.uid,
            sent_s: sent_s(message),
            is_reply: keys.is_reply,
            id: keys.id,
            subjects_end: self.subjects.len(),
            references_end: self.references.len(),
        });
    }
}

impl Letters {
    fn letters(&self) -> impl Iterator<Item = (Letter<'_>, Uid)> {
        let (mut subjects, mut references) = (0, 0);
        self.parts.iter().map(move |parts| {
            let subject = self.subjects.get(subjects..parts.subjects_end).unwrap_or_default();
            let ids = self.references.get(references..parts.references_end).unwrap_or_default();
            (subjects, references) = (parts.subjects_end, parts.references_end);
            let Parts { uid, sent_s, is_reply, id, .. } = *parts;
            (Letter { number: 0, sent_s, subject, is_reply, id, references: ids }, uid)
        })
    }
}
