//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4) with the result options of RFC 4731 and mod-sequences (RFC 7162), a bounded number of messages a step.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::matching::{Candidate, Cost, Test, compile};
use crate::message::charset;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Key, Returned};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::selected::Selected;
use crate::protocol::imap::session::{Running, Session};
use crate::store::{Bodies, Flags, IndexReader, Keywords, Kind, Message, Modseq, Store, Uid};

/// Messages a step looks at when rows are enough, when store.idx is read, and when their files must be read.
const BATCH_ROWS: u32 = 10_000;
const BATCH_ENTRIES: u32 = 1000;
const BATCH_BODIES: u32 = 32;

/// A SEARCH that is not over.
pub struct SearchRun {
    uid: bool,
    /// The tag and what to tell of the result; `None`: all, as RFC 3501 has it.
    form: Option<(String, Returned)>,
    test: Test,
    left: VecDeque<(Uid, Uid)>,
    index: Option<IndexReader>,
    seek: Seek,
    found: Hits,
    /// MODSEQ is among the keys: the response has the greatest one of what was found (RFC 7162 sections 3.1.5, 3.1.10).
    modseq: bool,
    damaged: bool,
}

/// Which matches are looked for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seek {
    Every,
    /// The lowest, and afterwards the highest?
    First {
        then_last: bool,
    },
    Last,
}

/// The numbers or UIDs of the matches.
#[derive(Debug, Default)]
struct Hits {
    min: Option<u32>,
    max: Option<u32>,
    count: u32,
    modseq: Modseq,
    ranges: Vec<(u32, u32)>,
}

impl Hits {
    /// Notes a match: in ascending order, or the highest one alone.
    fn push(&mut self, number: u32, modseq: Modseq) {
        self.modseq = self.modseq.max(modseq);
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
        self.count = self.count.saturating_add(1);
        match self.ranges.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
            _ => self.ranges.push((number, number)),
        }
    }
}

/// Prepares a SEARCH. `form` has the tag and the options of RETURN.
///
/// # Errors
/// NO: the character set is not known; BAD: a number beyond the last message.
pub(in crate::protocol::imap) fn start(
    session: &mut Session,
    uid: bool,
    form: Option<(String, Returned)>,
    charset: Option<&str>,
    key: Key,
) -> Result<Running, Answer> {
    let label = charset.unwrap_or_default();
    if !label.is_empty() && !label.eq_ignore_ascii_case("US-ASCII") && charset::charset(label.as_bytes()).is_none() {
        let known = vec!["US-ASCII".to_owned(), "UTF-8".to_owned()];
        return Err(Answer::no_with(Code::BadCharset(known), "Character set is not supported"));
    }
    let modseq = key.has_modseq();
    let selected = session.mailbox()?;
    let Some(test) = compile(key, selected, label) else {
        return Err(Answer::bad("Invalid sequence in Search"));
    };
    let left = match test.uids() {
        Some(uids) => selected.numbers.uids_within(uids.ranges()).ranges().iter().copied().collect(),
        None => selected.numbers.ranges().collect(),
    };
    // Where only an end is wanted, the search ends there.
    let seek = match &form {
        Some((_, Returned { all: false, count: false, min: true, max })) => Seek::First { then_last: *max },
        Some((_, Returned { all: false, count: false, min: false, max: true })) => Seek::Last,
        _ => Seek::Every,
    };
    let (index, found) = (None, Hits::default());
    Ok(Running::Search(Box::new(SearchRun { uid, form, test, left, index, seek, found, modseq, damaged: false })))
}

/// Messages to look at together, in the order in which it is to be done.
struct Batch {
    states: Vec<(Uid, Flags, Keywords, Modseq)>,
    messages: Vec<Message>,
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
        // A search with many texts looks at fewer messages, so that others get their turn of the worker.
        let mut room = match self.test.cost() {
            Cost::State | Cost::Row => BATCH_ROWS,
            Cost::Entry => BATCH_ENTRIES,
            Cost::File => (BATCH_BODIES / self.test.readers().max(1)).max(1),
        };
        while room > 0 {
            let Some((first, last)) = self.take(room) else {
                self.write(out);
                return Ok(Some(self.end()));
            };
            room -= (last - first).saturating_add(1);
            let batch = self.read(&store, selected, (first, last))?;
            if let Some(hit) = self.look(&mut bodies, selected, batch) {
                self.go_on_from(hit, last);
            }
        }
        Ok(None)
    }

    /// The next UIDs, at most `room`: the lowest that are left, or the highest.
    fn take(&mut self, room: u32) -> Option<(Uid, Uid)> {
        let backward = self.seek == Seek::Last;
        let (first, last) = if backward { self.left.pop_back()? } else { self.left.pop_front()? };
        let more = (last - first).min(room - 1);
        if more == last - first {
            return Some((first, last));
        }
        if backward {
            self.left.push_back((first, last - more - 1));
            Some((last - more, last))
        } else {
            self.left.push_front((first + more + 1, last));
            Some((first, first + more))
        }
    }

    /// After the match at `hit` that ended the search in this direction; the messages behind it up to `last` were not looked at.
    fn go_on_from(&mut self, hit: Uid, last: Uid) {
        if self.seek != (Seek::First { then_last: true }) {
            self.left.clear();
            return;
        }
        self.seek = Seek::Last;
        if hit < last {
            self.left.push_front((hit + 1, last));
        }
    }

    /// Reads what the test needs to know of the messages.
    fn read(&mut self, store: &Store, selected: &Selected, (first, last): (Uid, Uid)) -> Result<Batch, Answer> {
        let cost = self.test.cost();
        let mut batch = Batch { states: Vec::new(), messages: Vec::new() };
        let view = store.view(selected.account)?;
        view.states(selected.folder, first..=last, &mut |run| {
            batch.states.extend((run.first..=run.last()).map(|uid| (uid, run.flags, run.keywords, run.modseq)));
        })?;
        if cost > Cost::State {
            view.messages(selected.folder, first..=last, &mut |message| {
                batch.messages.push(message);
                ControlFlow::Continue(())
            })?;
        }
        let folder = if cost > Cost::Row && self.index.is_none() { view.folder(selected.folder)? } else { None };
        drop(view);
        if let Some(folder) = folder {
            self.index = Some(store.index(selected.account, &folder)?);
        }
        if self.seek == Seek::Last {
            batch.states.reverse();
            batch.messages.reverse();
        }
        Ok(batch)
    }

    /// Looks at messages. Gives the UID of a match behind which nothing more is wanted in this direction.
    fn look(&mut self, bodies: &mut Bodies, selected: &Selected, batch: Batch) -> Option<Uid> {
        let backward = self.seek == Seek::Last;
        let mut messages = batch.messages.into_iter().peekable();
        for (uid, flags, keywords, modseq) in batch.states {
            let passed = |message: &Message| if backward { message.uid > uid } else { message.uid < uid };
            while messages.next_if(passed).is_some() {}
            let message = messages.next_if(|message| message.uid == uid);
            let Some(number) = (if self.uid { Some(uid) } else { selected.numbers.number(uid) }) else {
                continue;
            };
            let state = (uid, flags, keywords, selected.recent.contains(uid));
            let mut candidate = Candidate::new(bodies, state, message, self.index.as_mut()).with_modseq(modseq);
            match self.test.matches(&mut candidate) {
                Ok(true) => {
                    self.found.push(number, modseq);
                    if self.seek != Seek::Every {
                        return Some(uid);
                    }
                }
                Ok(false) => {}
                Err(error) if error.kind() == Kind::Expunged => {}
                Err(error) => {
                    crate::log::error(crate::log::Category::Store, format!("search: {error}"));
                    self.damaged = true;
                }
            }
        }
        None
    }

    fn end(&self) -> Answer {
        if self.damaged {
            Answer::no_with(Code::Corruption, "Some of the messages could not be read")
        } else {
            Answer::completed()
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let modseq = (self.modseq && self.found.count > 0).then_some(self.found.modseq);
        if let Some((tag, returned)) = &self.form {
            let told = respond::Found {
                min: self.found.min.filter(|_| returned.min),
                max: self.found.max.filter(|_| returned.max),
                count: returned.count.then_some(self.found.count),
                all: returned.all.then_some(self.found.ranges.as_slice()),
                modseq,
            };
            return respond::esearch(out, tag, self.uid, &told);
        }
        respond::text(out, "* SEARCH");
        for number in self.found.ranges.iter().flat_map(|(from, to)| *from..=*to) {
            respond::text(out, &format!(" {number}"));
        }
        if let Some(modseq) = modseq {
            respond::text(out, &format!(" (MODSEQ {modseq})"));
        }
        respond::text(out, "\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seek: Seek, left: &[(Uid, Uid)]) -> SearchRun {
        SearchRun {
            uid: true,
            form: None,
            test: Test::Always,
            left: left.iter().copied().collect(),
            index: None,
            seek,
            found: Hits::default(),
            modseq: false,
            damaged: false,
        }
    }

    #[test]
    fn messages_are_taken_from_the_end_that_is_wanted() {
        let mut forward = run(Seek::Every, &[(1, 5), (8, 9)]);
        let taken: Vec<_> = std::iter::from_fn(|| forward.take(3)).collect();
        assert_eq!(taken, [(1, 3), (4, 5), (8, 9)]);
        let mut backward = run(Seek::Last, &[(1, 5), (Uid::MAX - 1, Uid::MAX)]);
        let taken: Vec<_> = std::iter::from_fn(|| backward.take(3)).collect();
        assert_eq!(taken, [(Uid::MAX - 1, Uid::MAX), (3, 5), (1, 2)]);
    }

    #[test]
    fn the_search_turns_round_at_the_first_match() {
        let mut both = run(Seek::First { then_last: true }, &[(1, 5), (8, 9)]);
        let (_, last) = both.take(5).unwrap();
        both.go_on_from(2, last);
        assert_eq!((both.seek, both.left.iter().copied().collect::<Vec<_>>()), (Seek::Last, vec![(3, 5), (8, 9)]));
        both.go_on_from(8, 9);
        assert_eq!(both.take(5), None);
        let mut first = run(Seek::First { then_last: false }, &[(1, 5), (8, 9)]);
        first.go_on_from(2, 5);
        assert_eq!(first.take(5), None);
    }

    #[test]
    fn hits_become_ranges() {
        let mut hits = Hits::default();
        [(1, 5), (2, 9), (3, 4), (7, 8)].into_iter().for_each(|(number, modseq)| hits.push(number, modseq));
        assert_eq!((hits.min, hits.max, hits.count, hits.modseq), (Some(1), Some(7), 4, 9));
        assert_eq!(hits.ranges, [(1, 3), (7, 7)]);
    }
}
