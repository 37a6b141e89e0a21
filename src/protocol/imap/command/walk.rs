//! The messages of a result one after the other, with what SORT and THREAD compare of them: a bounded number a step, by several threads.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::looking::SHARE_BYTES;
use crate::message::header;
use crate::message::keys::Keys;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, FolderId, IndexReader, Kind, Message, Source, Store, Uid};

/// Messages of a share when rows are enough, and when store.idx is read.
const SHARE_ROWS: u32 = 4000;
const SHARE_ENTRIES: u32 = 1000;
/// Shares of a step for each thread.
const SHARES: usize = 4;
/// What opening a message counts, octets: many small ones last as long as a large one.
const OPENING: u64 = 16 * 1024;

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
pub(super) struct Walk<G> {
    left: VecDeque<(Uid, Uid)>,
    /// Shares of which some are not at their end: store.idx is missing or damaged, and the messages themselves are read.
    open: Vec<Share<G>>,
    reading: Arc<Reading>,
    /// Messages passed so far.
    pub(super) passed: u64,
    /// A message could not be read: it counts as one without a header.
    pub(super) damaged: bool,
}

/// A piece of the way, and what is made of it so far.
struct Share<G> {
    left: VecDeque<(Uid, Uid)>,
    gathered: G,
    /// A message could not be read.
    damaged: bool,
}

/// Where the messages are, and what threads read with.
struct Reading {
    store: Store,
    place: (AccountId, FolderId),
    depth: Depth,
    indexes: Mutex<Vec<IndexReader>>,
}

impl<G: Gather> Walk<G> {
    /// Through the messages of the selected mailbox with these UIDs (sorted, disjoint).
    pub(super) fn new(session: &mut Session, left: VecDeque<(Uid, Uid)>, depth: Depth) -> Result<Self, Answer> {
        let store = session.store.clone();
        let selected = session.mailbox()?;
        let place = (selected.account, selected.folder);
        let reading = Arc::new(Reading { store, place, depth, indexes: Mutex::default() });
        Ok(Walk { left, open: Vec::new(), reading, passed: 0, damaged: false })
    }

    /// True when there are no more messages.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty() && self.open.is_empty()
    }

    /// Goes through the next messages. Gives what was made of them, a share each, in their order; nothing while a share is not at its end. Those
    /// that others have expunged meanwhile are passed over.
    pub(super) fn step(&mut self, session: &Session, make: impl Fn() -> G) -> Result<Vec<G>, Answer> {
        let hands = session.server.crew.call();
        let mut shares = std::mem::take(&mut self.open);
        if shares.is_empty() {
            let room = if self.reading.depth == Depth::Row { SHARE_ROWS } else { SHARE_ENTRIES };
            let count = (hands.count() + 1) * SHARES;
            let next = (0..count).map(|_| self.share(room)).take_while(|left| !left.is_empty());
            shares = next.map(|left| Share { left, gathered: make(), damaged: false }).collect();
        }
        let before: u64 = shares.iter().map(Share::extent).sum();
        let reading = Arc::clone(&self.reading);
        let shares = hands.each(shares, move |share| reading.read(share));
        // What helpers needed is let go.
        self.reading.indexes().truncate(1);
        let shares = shares.into_iter().collect::<Result<Vec<_>, Answer>>()?;
        let after: u64 = shares.iter().map(Share::extent).sum();
        self.passed += before - after;
        if after > 0 {
            self.open = shares;
            return Ok(Vec::new());
        }
        self.damaged |= shares.iter().any(|share| share.damaged);
        Ok(shares.into_iter().map(|share| share.gathered).collect())
    }

    /// The next UIDs, at most `room`.
    fn share(&mut self, mut room: u32) -> VecDeque<(Uid, Uid)> {
        let mut share = VecDeque::new();
        while room > 0
            && let Some((first, last)) = self.left.pop_front()
        {
            let end = first + (last - first).min(room - 1);
            if end < last {
                self.left.push_front((end + 1, last));
            }
            room -= end - first + 1;
            share.push_back((first, end));
        }
        share
    }
}

impl<G> Share<G> {
    /// How many UIDs are left.
    fn extent(&self) -> u64 {
        self.left.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Everything up to this UID is done.
    fn pass(&mut self, uid: Uid) {
        while let Some((first, last)) = self.left.pop_front() {
            if last > uid {
                self.left.push_front((first.max(uid + 1), last));
                return;
            }
        }
    }
}

impl Reading {
    fn indexes(&self) -> MutexGuard<'_, Vec<IndexReader>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the messages of a share, or as many of them as a step may read where store.idx has not what is needed.
    fn read<G: Gather>(&self, mut share: Share<G>) -> Result<Share<G>, Answer> {
        if share.left.is_empty() {
            return Ok(share);
        }
        let (account, folder) = self.place;
        let mut messages: Vec<Message> = Vec::new();
        let view = self.store.view(account)?;
        self.store.still_reads(&view, account, folder)?;
        for (first, last) in &share.left {
            view.messages(folder, *first..=*last, &mut |message| {
                match self.depth {
                    // What needs no more is done with each as it is read.
                    Depth::Row => share.gathered.take(&message, &Keys::default(), &Headers::default()),
                    Depth::Keys | Depth::Headers => messages.push(message),
                }
                ControlFlow::Continue(())
            })?;
        }
        let row = if messages.is_empty() { None } else { view.folder(folder)? };
        drop(view);
        let Some(row) = row else {
            share.left.clear();
            share.gathered.finish();
            return Ok(share);
        };
        // One of before the file was written anew, or was there, finds nothing.
        let kept = self.indexes().pop().filter(|index| index.is_of(row.idx_generation));
        let mut index = kept.map_or_else(|| self.store.index(account, &row), Ok)?;
        let mut read_bytes = 0u64;
        for message in &messages {
            let read = index.with_keys(message, self.depth == Depth::Headers, |keys, block| {
                share.gathered.take(message, keys, &Headers::of(block));
            });
            match read {
                Ok(((), Source::Cache)) => continue,
                Ok(((), Source::Uncached)) => {}
                Ok(((), Source::Damaged)) => {
                    let text = IndexReader::complaint(&index.name(), message.uid);
                    crate::log::warning(crate::log::Category::Store, text);
                }
                Err(error) if error.kind() == Kind::Expunged => {}
                Err(error) => {
                    crate::log::error(crate::log::Category::Store, format!("sort: {error}"));
                    share.damaged = true;
                    share.gathered.take(message, &Keys::default(), &Headers::default());
                }
            }
            read_bytes = read_bytes.saturating_add(message.size).saturating_add(OPENING);
            if read_bytes > SHARE_BYTES {
                share.pass(message.uid);
                break;
            }
        }
        if let Err(error) = index.renew_damaged() {
            crate::log::error(crate::log::Category::Store, format!("store.idx: {error}"));
        }
        self.indexes().push(index);
        if read_bytes <= SHARE_BYTES {
            share.left.clear();
        }
        if share.left.is_empty() {
            share.gathered.finish();
        }
        Ok(share)
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

#[cfg(test)]
mod tests {
    // Files are removed on purpose.
    #![allow(clippy::disallowed_methods)]

    use super::*;
    use crate::store::{Flags, NewMessage, Settings, StoreError, Who};

    struct Subjects(Vec<(Uid, Vec<u8>)>, bool);

    impl Gather for Subjects {
        fn take(&mut self, message: &Message, keys: &Keys<'_>, _: &Headers<'_>) {
            self.0.push((message.uid, keys.subject.to_vec()));
        }

        fn finish(&mut self) {
            assert!(!self.1, "once");
            self.1 = true;
        }
    }

    fn share() -> Share<Subjects> {
        Share { left: [(1, 2), (3, 9)].into(), gathered: Subjects(Vec::new(), false), damaged: false }
    }

    /// A store with a user.
    fn opened(dir: &tempfile::TempDir) -> (Store, AccountId) {
        let settings = Settings {
            root: dir.path().to_owned(),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 1).unwrap();
        let store = Store::open(settings).unwrap();
        let joe = store.account_create("joe", None, 1).unwrap();
        (store, joe)
    }

    /// The command was allowed when it began.
    #[test]
    fn each_step_asks_for_the_right() {
        let dir = tempfile::tempdir().unwrap();
        let (store, joe) = opened(&dir);
        let place = (joe, FolderId::INBOX);
        for depth in [Depth::Row, Depth::Keys, Depth::Headers] {
            let reading = |store: Store| Reading { store, place, depth, indexes: Mutex::default() };
            assert!(reading(store.clone()).read(share()).is_ok());
            let refused = reading(store.acting_for(Who::stranger())).read(share()).err().unwrap();
            assert_eq!(refused, Answer::from(StoreError::Denied));
        }
    }

    #[test]
    fn what_must_be_read_from_messages_is_read_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let (store, joe) = opened(&dir);
        let append = |number: u32| {
            let mut staging = store.stage("primary").unwrap();
            let text = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(1 << 20));
            std::io::Write::write_all(&mut staging, text.as_bytes()).unwrap();
            let new = NewMessage {
                staged: &staging.finish().unwrap(),
                flags: Flags::NONE,
                keywords: Vec::new(),
                internal_date_s: 1,
                internal_zone_min: 0,
            };
            store.append(joe, FolderId::INBOX, &[new], 1).unwrap();
        };
        (1..=5).for_each(append);
        let all: Vec<(Uid, Vec<u8>)> = (1..=5).map(|uid: Uid| (uid, uid.to_string().into_bytes())).collect();
        let place = (joe, FolderId::INBOX);
        let reading = Reading { store: store.clone(), place, depth: Depth::Keys, indexes: Mutex::default() };
        let done = reading.read(share()).unwrap();
        assert_eq!((done.left.len(), &done.gathered.0, done.gathered.1), (0, &all, true), "from store.idx, at once");
        // The reader that is kept has the file that is removed; the next one has none, and is not kept.
        let index = store.view(joe).unwrap().folder_dir(FolderId::INBOX).unwrap().join("store.idx");
        std::fs::remove_file(&index).unwrap();
        reading.indexes().clear();
        let mut at = share();
        for (left, taken) in [(vec![(3, 9)], 2), (vec![(5, 9)], 4), (vec![], 5)] {
            assert!(!at.gathered.1);
            at = reading.read(at).unwrap();
            assert_eq!((Vec::from(at.left.clone()), &at.gathered.0[..]), (left, &all[..taken]));
        }
        assert!(at.gathered.1);
        assert!(index.exists());
        assert_eq!(reading.read(share()).unwrap().left.len(), 0, "the entries were made again");
    }
}
