//! Looking at messages for a search: what one thread does of a step.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::matching::{Candidate, Cost, Test};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::selected::{Numbers, Selected};
use crate::store::{
    AccountId, Bodies, Flags, FolderId, IndexReader, Keywords, Kind, Message, Modseq, Store, Uid, UidSet,
};

/// Octets of message files after which the rest of a share is given back: a step of large messages must not last.
pub(super) const SHARE_BYTES: u64 = 2 << 20;

/// What is looked for, and where: all that a thread needs.
pub(super) struct Looking {
    store: Store,
    place: (AccountId, FolderId),
    numbers: Numbers,
    recent: UidSet,
    test: Test,
    /// How many texts must be looked for in files.
    readers: u32,
    /// UIDs are wanted, not numbers.
    uid: bool,
    /// As many as threads have been at work at one time.
    tools: Mutex<Vec<Tools>>,
}

/// What a thread reads with.
#[derive(Default)]
struct Tools {
    index: Option<IndexReader>,
    bodies: Option<Bodies>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// Numbers or UIDs, with their mod-sequences, in the order in which they were looked at.
    pub(super) hits: Vec<(u32, Modseq)>,
    /// Some of the messages could not be read.
    pub(super) damaged: bool,
    /// As many were found as are wanted.
    pub(super) enough: bool,
    /// UIDs that were not looked at.
    pub(super) rest: VecDeque<(Uid, Uid)>,
    /// What was asked for.
    pub(super) backward: bool,
    pub(super) wanted: Option<u32>,
    /// Octets of the files that were opened.
    pub(super) read_bytes: u64,
}

/// Messages to look at together, in the order in which it is to be done.
struct Batch {
    states: Vec<(Uid, Flags, Keywords, Modseq)>,
    messages: Vec<Message>,
}

impl Looking {
    /// For a search in the selected mailbox, as its session sees it.
    pub(super) fn new(store: &Store, selected: &Selected, test: Test, uid: bool) -> Looking {
        Looking {
            store: store.clone(),
            place: (selected.account, selected.folder),
            numbers: selected.numbers.clone(),
            recent: selected.recent.clone(),
            readers: test.readers(),
            test,
            uid,
            tools: Mutex::default(),
        }
    }

    /// The most that must be read of a message.
    pub(super) fn cost(&self) -> Cost {
        self.test.cost()
    }

    /// Every message matches.
    pub(super) fn finds_all(&self) -> bool {
        matches!(self.test, Test::Always)
    }

    /// How many texts must be looked for in files.
    pub(super) fn readers(&self) -> u32 {
        self.readers
    }

    fn tools(&self) -> MutexGuard<'_, Vec<Tools>> {
        self.tools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Between two steps no directory stays open, and what helpers needed is let go.
    pub(super) fn rest(&self) {
        let mut tools = self.tools();
        tools.truncate(1);
        tools.iter_mut().for_each(|one| one.bodies = None);
    }

    /// Looks at a share of the messages: ranges in the order in which they are to be looked at, `backward`: the highest message first. `wanted`: matches
    /// behind which nothing more is.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn look(
        &self,
        mut share: VecDeque<(Uid, Uid)>,
        backward: bool,
        wanted: Option<u32>,
    ) -> Result<Found, Answer> {
        let mut tools = self.tools().pop().unwrap_or_default();
        let mut found = Found { backward, wanted, ..Found::default() };
        while let Some((first, last)) = share.pop_front() {
            let batch = self.read(&mut tools.index, (first, last), backward)?;
            if let Some(end) = self.look_at(&mut tools, batch, &mut found) {
                let behind = if backward { (first, end.wrapping_sub(1)) } else { (end.wrapping_add(1), last) };
                let more = if backward { end > first } else { end < last };
                found.rest.extend(more.then_some(behind));
                found.rest.append(&mut share);
            }
        }
        self.tools().push(tools);
        Ok(found)
    }

    /// Reads what the test needs to know of the messages.
    fn read(
        &self,
        index: &mut Option<IndexReader>,
        (first, last): (Uid, Uid),
        backward: bool,
    ) -> Result<Batch, Answer> {
        let ((account, folder), cost) = (self.place, self.test.cost());
        let mut batch = Batch { states: Vec::new(), messages: Vec::new() };
        let view = self.store.view(account)?;
        self.store.still_reads(&view, account, folder)?;
        view.states(folder, first..=last, &mut |run| {
            batch.states.extend((run.first..=run.last()).map(|uid| (uid, run.flags, run.keywords, run.modseq)));
        })?;
        if cost > Cost::State {
            view.messages(folder, first..=last, &mut |message| {
                batch.messages.push(message);
                ControlFlow::Continue(())
            })?;
        }
        let row = if cost > Cost::Row { view.folder(folder)? } else { None };
        drop(view);
        // One of before the file was written anew, or was there, finds nothing.
        if let Some(row) = row.filter(|row| index.as_ref().is_none_or(|index| !index.is_of(row.idx_generation))) {
            *index = Some(self.store.index(account, &row)?);
        }
        if backward {
            batch.states.reverse();
            batch.messages.reverse();
        }
        Ok(batch)
    }

    /// Looks at messages. Gives the UID of the one behind which this share ends before its end.
    fn look_at(&self, tools: &mut Tools, batch: Batch, found: &mut Found) -> Option<Uid> {
        let Tools { index, bodies } = tools;
        let bodies = bodies.get_or_insert_with(|| self.store.bodies(self.place.0, self.place.1));
        let (backward, wanted) = (found.backward, found.wanted);
        let mut messages = batch.messages.into_iter().peekable();
        for (uid, flags, keywords, modseq) in batch.states {
            let passed = |message: &Message| if backward { message.uid > uid } else { message.uid < uid };
            while messages.next_if(passed).is_some() {}
            let message = messages.next_if(|message| message.uid == uid);
            let Some(number) = (if self.uid { Some(uid) } else { self.numbers.number(uid) }) else {
                continue;
            };
            let size = message.as_ref().map_or(0, |message| message.size);
            let state = (uid, flags, keywords, self.recent.contains(uid));
            let mut candidate = Candidate::new(bodies, state, message, index.as_mut()).with_modseq(modseq);
            let matches = self.test.matches(&mut candidate);
            if candidate.has_read() {
                // Each text reads and decodes it anew.
                found.read_bytes = found.read_bytes.saturating_add(size.saturating_mul(u64::from(self.readers.max(1))));
            }
            match matches {
                Ok(true) => {
                    found.hits.push((number, modseq));
                    found.enough = wanted.is_some_and(|wanted| found.hits.len() >= wanted as usize);
                }
                Ok(false) => {}
                Err(error) if error.kind() == Kind::Expunged => {}
                Err(error) => {
                    crate::log::error(crate::log::Category::Store, format!("search: {error}"));
                    found.damaged = true;
                }
            }
            if found.enough || found.read_bytes > SHARE_BYTES {
                return Some(uid);
            }
        }
        None
    }
}
