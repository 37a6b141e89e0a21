//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4) with the result options of RFC 4731, 5182 and 9394 and mod-sequences (RFC 7162), a bounded number of
//! messages a step.

use std::collections::VecDeque;
use std::sync::Arc;

use super::hits::{self, Hits};
use super::looking::Looking;
use super::matching::{Cost, compile};
use super::remaining::{Remaining, Seek};
use crate::message::charset;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::crew::Hands;
use crate::protocol::imap::parse::{Key, Returned};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::session::{Running, Session};
use crate::store::{Modseq, Uid, UidSet};

/// A SEARCH that is not over.
pub struct SearchRun {
    uid: bool,
    /// The tag and what to tell of the result; `None`: all, as RFC 3501 has it.
    form: Option<Form>,
    looking: Arc<Looking>,
    left: Remaining,
    pub(super) found: Hits,
    /// MODSEQ is among the keys: the response has the greatest one of what was found (RFC 7162 sections 3.1.5, 3.1.10).
    modseq: bool,
    pub(super) damaged: bool,
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
        (run.left.seek, run.left.wanted) = enough(returned);
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

/// Most texts of one search that are looked for in files: each decodes the whole message, and no step is shorter than one message.
const TEXTS: u32 = 1000;

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
        let store = session.store.clone();
        let selected = session.mailbox()?;
        if key.any(&|key| matches!(key, Key::Keyword(name, _) if selected.keyword_bit(name).is_none())) {
            // Another session may have made it a moment ago, and the messages are looked at as they are now.
            selected.learn_keywords(&store.view(selected.account)?)?;
        }
        let Some(test) = compile(key, selected, label, now_s) else {
            return Err(Answer::bad("Invalid sequence in Search"));
        };
        if test.readers() > TEXTS {
            return Err(Answer::no_with(Code::Limit, "Too many texts to look for"));
        }
        let left: VecDeque<(Uid, Uid)> = match test.uids() {
            Some(uids) => selected.numbers.uids_within(uids.ranges()).ranges().iter().copied().collect(),
            None => selected.numbers.ranges().collect(),
        };
        let looking = Arc::new(Looking::new(&store, session.mailbox()?, test, uid));
        let left = Remaining::new(left);
        Ok(SearchRun { uid, form: None, looking, left, found: Hits::default(), modseq, damaged: false })
    }

    /// The same for UIDs that are looked at again, those that are gone passed over: for all messages there is nothing to be searched.
    pub(super) fn first_of_two(mut self) -> SearchRun {
        if self.looking.finds_all() {
            self.found = hits::of_ranges(&self.left.take_all());
        }
        self
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
        self.left.looked
    }

    /// Looks at the next messages. False: there are more.
    pub(super) fn advance(&mut self, session: &mut Session) -> Result<bool, Answer> {
        let cost = self.looking.cost();
        // Where only an end is wanted, others would look at messages in vain.
        let helped = self.left.seek == Seek::Every && cost > Cost::Row;
        let hands = if helped { session.server.crew.call() } else { Hands::none() };
        let shares = self.left.shares(cost, self.looking.readers(), hands.count());
        let looking = Arc::clone(&self.looking);
        let (backward, wanted) = (self.left.seek == Seek::Last, self.left.wanted());
        let found = hands.each(shares, move |share| looking.look(share, backward, wanted));
        self.looking.rest();
        let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        for found in &found {
            found.hits.iter().for_each(|(number, modseq)| self.found.push(*number, *modseq));
            self.damaged |= found.damaged;
        }
        for found in found.into_iter().rev() {
            self.left.take_back(found);
        }
        Ok(self.left.is_empty())
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
            out.push(b' ');
            respond::number(out, u64::from(number));
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

    #[test]
    fn a_result_that_is_scattered_widely_is_not_saved() {
        let scattered = |count: u32| UidSet::from_ranges((1..=count).map(|n| (n * 2, n * 2)));
        let most = u32::try_from(hits::SAVED_RANGES).unwrap();
        assert_eq!(kept(scattered(most)).map(|uids| uids.len()), Some(hits::SAVED_RANGES));
        assert!(kept(scattered(most + 1)).is_none());
        assert!(kept(UidSet::from_ranges([(1, u32::MAX)])).is_some());
    }
}
