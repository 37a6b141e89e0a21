//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4), a bounded number of messages a step.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::matching::{Candidate, Cost, Test, compile};
use crate::message::charset;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::Key;
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::{Running, Session};
use crate::store::{IndexReader, Kind, Message, StateRun, Uid};

/// Messages a step looks at when rows are enough, when store.idx is read, and when their files must be read.
const BATCH_ROWS: u32 = 10_000;
const BATCH_ENTRIES: u32 = 1000;
const BATCH_BODIES: u32 = 32;

/// A SEARCH that is not over.
pub struct SearchRun {
    uid: bool,
    test: Test,
    left: VecDeque<(Uid, Uid)>,
    index: Option<IndexReader>,
    found: Vec<u32>,
    damaged: bool,
}

/// Prepares a SEARCH.
///
/// # Errors
/// NO: the character set is not known; BAD: a number beyond the last message.
pub(in crate::protocol::imap) fn start(
    session: &mut Session,
    uid: bool,
    charset: Option<&str>,
    key: Key,
) -> Result<Running, Answer> {
    let label = charset.unwrap_or_default();
    if !label.is_empty() && !label.eq_ignore_ascii_case("US-ASCII") && charset::charset(label.as_bytes()).is_none() {
        let known = vec!["US-ASCII".to_owned(), "UTF-8".to_owned()];
        return Err(Answer::no_with(Code::BadCharset(known), "Character set is not supported"));
    }
    let selected = session.mailbox()?;
    let Some(test) = compile(key, selected, label) else {
        return Err(Answer::bad("Invalid sequence in Search"));
    };
    let left = match test.uids() {
        Some(uids) => selected.numbers.uids_within(uids.ranges()).ranges().iter().copied().collect(),
        None => selected.numbers.ranges().collect(),
    };
    Ok(Running::Search(Box::new(SearchRun { uid, test, left, index: None, found: Vec::new(), damaged: false })))
}

impl SearchRun {
    /// Looks at the next messages. `None`: there are more.
    pub(in crate::protocol::imap) fn step(
        &mut self,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answer>, Answer> {
        let store = session.server.store.clone();
        let selected = session.mailbox()?;
        let mut bodies = store.bodies(selected.account, selected.folder);
        let cost = self.test.cost();
        // A search with many texts looks at fewer messages, so that others get their turn of the worker.
        let mut room = match cost {
            Cost::State | Cost::Row => BATCH_ROWS,
            Cost::Entry => BATCH_ENTRIES,
            Cost::File => (BATCH_BODIES / self.test.readers().max(1)).max(1),
        };
        while room > 0 {
            let Some((first, last)) = self.left.pop_front() else {
                self.write(out);
                return Ok(Some(self.end()));
            };
            let take = (last - first).saturating_add(1).min(room);
            room -= take;
            let end = first + (take - 1);
            if end < last {
                self.left.push_front((end + 1, last));
            }
            let mut runs: Vec<StateRun> = Vec::new();
            let mut messages: Vec<Message> = Vec::new();
            let view = store.view(selected.account)?;
            view.states(selected.folder, first..=end, &mut |run| runs.push(run))?;
            if cost > Cost::State {
                view.messages(selected.folder, first..=end, &mut |message| {
                    messages.push(message);
                    ControlFlow::Continue(())
                })?;
            }
            let folder = if cost > Cost::Row && self.index.is_none() { view.folder(selected.folder)? } else { None };
            drop(view);
            if let Some(folder) = folder {
                self.index = Some(store.index(selected.account, &folder)?);
            }
            let mut messages = messages.into_iter().peekable();
            for run in runs {
                for uid in run.first..=run.last() {
                    while messages.next_if(|message| message.uid < uid).is_some() {}
                    let message = messages.next_if(|message| message.uid == uid);
                    let state = (uid, run.flags, run.keywords, selected.recent.contains(uid));
                    let mut candidate = Candidate::new(&mut bodies, state, message, self.index.as_mut());
                    match self.test.matches(&mut candidate) {
                        Ok(true) => self.found.extend(if self.uid { Some(uid) } else { selected.numbers.number(uid) }),
                        Ok(false) => {}
                        Err(error) if error.kind() == Kind::Expunged => {}
                        Err(error) => {
                            crate::log::error(crate::log::Category::Store, format!("search: {error}"));
                            self.damaged = true;
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    fn end(&self) -> Answer {
        if self.damaged {
            Answer::no_with(Code::Corruption, "Some of the messages could not be read")
        } else {
            Answer::completed()
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        respond::text(out, "* SEARCH");
        for number in &self.found {
            respond::text(out, &format!(" {number}"));
        }
        respond::text(out, "\r\n");
    }
}
