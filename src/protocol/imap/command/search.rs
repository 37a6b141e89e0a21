//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4) with the result options of RFC 4731, 5182 and 9394 and mod-sequences (RFC 7162), a bounded number of
//! messages a step.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::hits::{self, Hits};
use super::matching::{Candidate, Cost, Test, compile};
use crate::message::charset;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Key, Returned};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::selected::Selected;
use crate::protocol::imap::session::{Running, Session};
use crate::store::{Bodies, Flags, IndexReader, Keywords, Kind, Message, Modseq, Store, Uid, UidSet};

/// Messages a step looks at when rows are enough, when store.idx is read, and when their files must be read.
const BATCH_ROWS: u32 = 10_000;
const BATCH_ENTRIES: u32 = 1000;
const BATCH_BODIES: u32 = 32;

/// A SEARCH that is not over.
pub struct SearchRun {
    uid: bool,
    /// The tag and what to tell of the result; `None`: all, as RFC 3501 has it.
    form: Option<Form>,
    test: Test,
    left: VecDeque<(Uid, Uid)>,
    index: Option<IndexReader>,
    seek: Seek,
    /// Matches after which this direction is done with.
    wanted: u32,
    pub(super) found: Hits,
    /// MODSEQ is among the keys: the response has the greatest one of what was found (RFC 7162 sections 3.1.5, 3.1.10).
    modseq: bool,
    pub(super) damaged: bool,
    /// Messages looked at, of so many.
    pub(super) looked: (u64, u64),
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

/// Prepares a SEARCH. `form` has the tag and the options of RETURN.
///
/// # Errors
/// NO: the character set is not known; BAD: a number beyond the last message.
pub(in crate::protocol::imap) fn start(
    session: &mut Session,
    uid: bool,
    form: Option<Form>,
    charset: Option<&str>,
    key: Key,
    now_s: i64,
) -> Result<Running, Answer> {
    let run = SearchRun::new(session, uid, charset, key, now_s);
    let mut run = begun(session, form.as_ref(), run)?;
    if let Some((_, returned)) = &form {
        (run.seek, run.wanted) = enough(returned);
    }
    Ok(Running::Search(Box::new(SearchRun { form, ..run })))
}

/// Where only an end or a piece is wanted, the search ends behind it: the direction, and how many matches that are.
fn enough(returned: &Returned) -> (Seek, u32) {
    match *returned {
        Returned { all: false, count: false, partial: None, min: true, max, .. } => (Seek::First { then_last: max }, 1),
        Returned { all: false, count: false, partial: None, max: true, .. } => (Seek::Last, 1),
        Returned { count: false, partial: Some(window), min, max, .. } => {
            let last = window.first.max(window.last);
            match window.from_end {
                false if !max => (Seek::First { then_last: false }, last),
                true if !min => (Seek::Last, last),
                _ => (Seek::Every, 0),
            }
        }
        _ => (Seek::Every, 0),
    }
}

/// Messages to look at together, in the order in which it is to be done.
struct Batch {
    states: Vec<(Uid, Flags, Keywords, Modseq)>,
    messages: Vec<Message>,
}

impl SearchRun {
    /// A search for UIDs or numbers, of which all are wanted.
    ///
    /// # Errors
    /// As [`start`].
    pub(super) fn new(
        session: &mut Session,
        uid: bool,
        charset: Option<&str>,
        key: Key,
        now_s: i64,
    ) -> Result<SearchRun, Answer> {
        let label = charset.unwrap_or_default();
        if !label.is_empty() && !label.eq_ignore_ascii_case("US-ASCII") && charset::charset(label.as_bytes()).is_none()
        {
            let known = vec!["US-ASCII".to_owned(), "UTF-8".to_owned()];
            return Err(Answer::no_with(Code::BadCharset(known), "Character set is not supported"));
        }
        let modseq = key.has_modseq();
        let store = session.server.store.clone();
        let selected = session.mailbox()?;
        if key.any(&|key| matches!(key, Key::Keyword(name, _) if selected.keyword_bit(name).is_none())) {
            // Another session may have made it a moment ago, and the messages are looked at as they are now.
            selected.learn_keywords(&store.view(selected.account)?)?;
        }
        let Some(test) = compile(key, selected, label, now_s) else {
            return Err(Answer::bad("Invalid sequence in Search"));
        };
        let left: VecDeque<(Uid, Uid)> = match test.uids() {
            Some(uids) => selected.numbers.uids_within(uids.ranges()).ranges().iter().copied().collect(),
            None => selected.numbers.ranges().collect(),
        };
        let all = left.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
        Ok(SearchRun {
            uid,
            form: None,
            test,
            left,
            index: None,
            seek: Seek::Every,
            wanted: 0,
            found: Hits::default(),
            modseq,
            damaged: false,
            looked: (0, all),
        })
    }

    /// Looks at the next messages, and answers after the last one. `None`: there are more.
    pub(in crate::protocol::imap) fn step(
        &mut self,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answer>, Answer> {
        let done = self.advance(session);
        if !advanced(session, self.form.as_ref(), done, self.damaged)? {
            return Ok(None);
        }
        self.found.settle();
        if let Some((_, returned)) = self.form.as_ref().filter(|form| saves(form) && !self.damaged) {
            save(session, self.uid, self.found.saved(returned))?;
        }
        self.write(out);
        Ok(Some(self.end()))
    }

    /// The greatest mod-sequence of what was found, where the search was about them.
    pub(super) fn modseq(&self) -> Option<Modseq> {
        (self.modseq && self.found.count > 0).then_some(self.found.modseq)
    }

    /// How many messages were looked at, and of how many: what INPROGRESS tells.
    pub(in crate::protocol::imap) fn progress(&self) -> (u64, u64) {
        self.looked
    }

    /// Looks at the next messages. False: there are more.
    pub(super) fn advance(&mut self, session: &mut Session) -> Result<bool, Answer> {
        let store = session.store.clone();
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
                return Ok(true);
            };
            room -= (last - first).saturating_add(1);
            self.looked.0 += u64::from(last - first) + 1;
            let batch = self.read(&store, selected, (first, last))?;
            if let Some(hit) = self.look(&mut bodies, selected, batch) {
                self.go_on_from(hit, last);
            }
        }
        Ok(false)
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
        (self.seek, self.wanted) = (Seek::Last, 1);
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
                    self.wanted = self.wanted.saturating_sub(1);
                    if self.seek != Seek::Every && self.wanted == 0 {
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
        let modseq = self.modseq();
        if let Some((tag, returned)) = &self.form {
            let piece = returned.partial.map(|window| self.found.within(window)).unwrap_or_default();
            if returned.tells() {
                respond::esearch(out, tag, self.uid, &self.found.told(returned, &piece, modseq));
            }
            return;
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

/// The tag of a command, and what RETURN asks for.
pub(in crate::protocol::imap) type Form = (String, Returned);

/// Does RETURN have SAVE?
pub(super) fn saves(form: &Form) -> bool {
    form.1.save
}

/// A search has begun, or not: one that ends in NO leaves nothing behind (RFC 5182 section 2.1).
///
/// # Errors
/// That of `run`.
pub(super) fn begun(
    session: &mut Session,
    form: Option<&Form>,
    run: Result<SearchRun, Answer>,
) -> Result<SearchRun, Answer> {
    if form.is_some_and(saves) && matches!(&run, Err(Answer { status: Status::No, .. })) {
        session.mailbox()?.saved = UidSet::new();
    }
    run
}

/// A search has gone on: one that failed, or could not read everything, leaves nothing behind. False: there is more.
///
/// # Errors
/// That of `done`.
pub(super) fn advanced(
    session: &mut Session,
    form: Option<&Form>,
    done: Result<bool, Answer>,
    damaged: bool,
) -> Result<bool, Answer> {
    if form.is_some_and(saves) && (done.is_err() || damaged) {
        session.mailbox()?.saved = UidSet::new();
    }
    done
}

/// Makes a result, UIDs or numbers, what `$` stands for (RFC 5182 section 2.1).
///
/// # Errors
/// NO [NOTSAVED]: it is scattered too widely to be kept. `$` is empty then.
pub(super) fn save(session: &mut Session, uid: bool, mut ranges: Vec<(u32, u32)>) -> Result<(), Answer> {
    let selected = session.mailbox()?;
    ranges.sort_unstable();
    let uids = if uid { UidSet::from_ranges(ranges) } else { selected.numbers.uids_of_numbers(&ranges) };
    let kept = kept(uids);
    let answer = Answer::no_with(Code::NotSaved, "Search result is too scattered to be saved");
    let saved = kept.is_some();
    selected.saved = kept.unwrap_or_default();
    if saved { Ok(()) } else { Err(answer) }
}

/// The UIDs, unless they are more ranges than a session may hold.
fn kept(uids: UidSet) -> Option<UidSet> {
    (uids.ranges().len() <= hits::SAVED_RANGES).then_some(uids)
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
            wanted: 1,
            found: Hits::default(),
            modseq: false,
            damaged: false,
            looked: (0, 0),
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
    fn a_result_that_is_scattered_widely_is_not_saved() {
        let scattered = |count: u32| UidSet::from_ranges((1..=count).map(|n| (n * 2, n * 2)));
        let most = u32::try_from(hits::SAVED_RANGES).unwrap();
        assert_eq!(kept(scattered(most)).map(|uids| uids.len()), Some(hits::SAVED_RANGES));
        assert!(kept(scattered(most + 1)).is_none());
        assert!(kept(UidSet::from_ranges([(1, u32::MAX)])).is_some());
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
}
