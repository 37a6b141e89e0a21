//! The messages of a result one after the other, with what SORT and THREAD compare of them: a bounded number a step, by several threads.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::header;
use crate::message::keys::Keys;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, FolderId, IndexReader, Kind, Message, Store, Uid};

/// Messages of a share when rows are enough, and when store.idx is read.
const SHARE_ROWS: u32 = 4000;
const SHARE_ENTRIES: u32 = 1000;
/// Shares of a step for each thread.
const SHARES: usize = 4;

/// What is read of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// Its row.
    Row,
    /// What is kept to be compared.
    Keys,
    /// Its header lines, too.
    Headers,
}

/// What is made of the messages of a share.
pub(super) trait Gather: Send + 'static {
    /// Takes the next message. Without a header: one that could not be read.
    fn take(&mut self, message: &Message, keys: &Keys<'_>, headers: &Headers<'_>);

    /// There are no more.
    fn finish(&mut self) {}
}

/// A way through messages that is not at its end.
pub(super) struct Walk {
    left: VecDeque<(Uid, Uid)>,
    reading: Arc<Reading>,
    /// Messages passed so far.
    pub(super) passed: u64,
    /// A message could not be read: it counts as one without a header.
    pub(super) damaged: bool,
}

/// Where the messages are, and what threads read with.
struct Reading {
    store: Store,
    place: (AccountId, FolderId),
    depth: Depth,
    indexes: Mutex<Vec<IndexReader>>,
}

impl Walk {
    /// Through the messages of the selected mailbox with these UIDs (sorted, disjoint).
    pub(super) fn new(session: &mut Session, left: VecDeque<(Uid, Uid)>, depth: Depth) -> Result<Walk, Answer> {
        let store = session.store.clone();
        let selected = session.mailbox()?;
        let place = (selected.account, selected.folder);
        let reading = Arc::new(Reading { store, place, depth, indexes: Mutex::default() });
        Ok(Walk { left, reading, passed: 0, damaged: false })
    }

    /// True when there are no more messages.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Goes through the next messages. Gives what was made of them, a share each, in their order. Those that others have expunged meanwhile are passed over.
    pub(super) fn step<G: Gather>(
        &mut self,
        session: &Session,
        make: impl Fn() -> G + Send + Sync + 'static,
    ) -> Result<Vec<G>, Answer> {
        let hands = session.server.crew.call();
        let room = if self.reading.depth == Depth::Row { SHARE_ROWS } else { SHARE_ENTRIES };
        let count = (hands.count() + 1) * SHARES;
        let shares: Vec<_> = (0..count).map(|_| self.share(room)).take_while(|share| !share.is_empty()).collect();
        let reading = Arc::clone(&self.reading);
        let done = hands.each(shares, move |share| reading.read(&share, make()));
        // What helpers needed is let go.
        self.reading.indexes().truncate(1);
        let mut gathered = Vec::with_capacity(done.len());
        for share in done {
            let (one, damaged) = share?;
            self.damaged |= damaged;
            gathered.push(one);
        }
        Ok(gathered)
    }

    /// The next UIDs, at most `room`.
    fn share(&mut self, mut room: u32) -> Vec<(Uid, Uid)> {
        let mut share = Vec::new();
        while room > 0
            && let Some((first, last)) = self.left.pop_front()
        {
            let end = first + (last - first).min(room - 1);
            if end < last {
                self.left.push_front((end + 1, last));
            }
            let count = end - first + 1;
            room -= count;
            self.passed += u64::from(count);
            share.push((first, end));
        }
        share
    }
}

impl Reading {
    fn indexes(&self) -> MutexGuard<'_, Vec<IndexReader>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True: a message could not be read.
    fn read<G: Gather>(&self, share: &[(Uid, Uid)], mut gathered: G) -> Result<(G, bool), Answer> {
        let (account, folder) = self.place;
        let mut messages: Vec<Message> = Vec::new();
        let view = self.store.view(account)?;
        self.store.still_reads(&view, account, folder)?;
        for (first, last) in share {
            view.messages(folder, *first..=*last, &mut |message| {
                match self.depth {
                    // What needs no more is done with each as it is read.
                    Depth::Row => gathered.take(&message, &Keys::default(), &Headers::default()),
                    Depth::Keys | Depth::Headers => messages.push(message),
                }
                ControlFlow::Continue(())
            })?;
        }
        let mut index = if self.depth == Depth::Row { None } else { self.indexes().pop() };
        let row = if index.is_none() && !messages.is_empty() { view.folder(folder)? } else { None };
        drop(view);
        if let Some(row) = row {
            index = Some(self.store.index(account, &row)?);
        }
        let mut damaged = false;
        for message in &messages {
            let Some(index) = index.as_mut() else { break };
            let read = index.with_keys(message, self.depth == Depth::Headers, |keys, block| {
                gathered.take(message, keys, &Headers::of(block));
            });
            match read {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Expunged => {}
                Err(error) => {
                    crate::log::error(crate::log::Category::Store, format!("sort: {error}"));
                    damaged = true;
                    gathered.take(message, &Keys::default(), &Headers::default());
                }
            }
        }
        self.indexes().extend(index);
        gathered.finish();
        Ok((gathered, damaged))
    }
}

/// The raw values of the address fields that sorting is about: of each the first one.
#[derive(Default)]
#[allow(missing_docs)]
pub(super) struct Headers<'a> {
    pub(super) cc: Option<&'a [u8]>,
    pub(super) from: Option<&'a [u8]>,
    pub(super) to: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    fn of(block: &'a [u8]) -> Headers<'a> {
        let mut found = Headers::default();
        for field in header::fields(block) {
            let slot = match field.name.len() {
                2 if field.is("cc") => &mut found.cc,
                2 if field.is("to") => &mut found.to,
                4 if field.is("from") => &mut found.from,
                _ => continue,
            };
            slot.get_or_insert(field.value);
        }
        found
    }
}
