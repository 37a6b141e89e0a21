//! The maildrop of a POP session: INBOX as it was when the session began.
//!
//! The numbers and sizes of the messages are fixed, whatever other sessions do meanwhile (RFC 1939 section 4). A message takes four bytes of memory and
//! two bits; UIDs are kept as runs. Nothing changes in the store before [`Maildrop::close`].

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;

use crate::store::{AccountId, Bodies, FolderId, Message, Rights, Store, StoreError, Uid, UidSet};

/// INBOX as it was at one moment, and what the session has marked since.
pub struct Maildrop {
    account: AccountId,
    /// Opens the message files; a session usually wants many.
    bodies: Bodies,
    uidvalidity: u32,
    /// The first UID of each run, and how many messages lie before it.
    runs: Vec<(Uid, u32)>,
    /// Sizes in bytes; those that do not fit are in `large`, and stand here as the largest number.
    sizes: Vec<u32>,
    large: BTreeMap<u32, u64>,
    /// Numbers of messages, from 1.
    deleted: Marks,
    retrieved: Marks,
    left: Totals,
}

/// How many messages, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub count: u32,
    /// Bytes.
    pub bytes: u64,
}

/// A message of the maildrop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number in this session, from 1.
    pub number: u32,
    /// Its UID in INBOX.
    pub uid: Uid,
    /// Bytes of its file.
    pub size: u64,
}

/// A message that is open to be read.
#[derive(Debug)]
pub struct Opened {
    /// Its file; it stays readable when the message is purged meanwhile.
    pub file: File,
    /// Bytes up to and including the blank line behind the header, where that was asked for; else 0.
    pub header_bytes: u64,
}

impl Maildrop {
    /// Whose INBOX it is.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Takes a picture of INBOX. What the user may read counts now, and not once more in this session.
    ///
    /// # Errors
    /// Who acts may not read it; the account is gone, or a row is damaged.
    pub fn open(store: &Store, account: AccountId) -> Result<Maildrop, StoreError> {
        let view = store.view(account)?;
        let folder = view.folder(FolderId::INBOX)?.ok_or_else(|| StoreError::NotFound { what: "INBOX".into() })?;
        if !store.rights(account, &folder).contains(Rights::READ) {
            return Err(StoreError::Denied);
        }
        let mut maildrop = Maildrop {
            account,
            bodies: store.bodies(account, FolderId::INBOX),
            uidvalidity: folder.uidvalidity,
            runs: Vec::new(),
            sizes: Vec::with_capacity((folder.exists as usize).min(1 << 20)),
            large: BTreeMap::new(),
            deleted: Marks::default(),
            retrieved: Marks::default(),
            left: Totals::default(),
        };
        let mut next = None;
        view.messages(FolderId::INBOX, 1..=Uid::MAX, &mut |message| {
            maildrop.push(&message, &mut next);
            ControlFlow::Continue(())
        })?;
        Ok(maildrop)
    }

    fn push(&mut self, message: &Message, next: &mut Option<Uid>) {
        let before = self.left.count;
        if *next != Some(message.uid) {
            self.runs.push((message.uid, before));
        }
        *next = message.uid.checked_add(1);
        let size = u32::try_from(message.size).unwrap_or(u32::MAX);
        if size == u32::MAX {
            self.large.insert(before, message.size);
        }
        self.sizes.push(size);
        self.left.count += 1;
        self.left.bytes += message.size;
    }

    /// The messages that are not marked as deleted.
    pub fn left(&self) -> Totals {
        self.left
    }

    /// The highest number there is, deleted or not.
    pub fn last(&self) -> u32 {
        u32::try_from(self.sizes.len()).unwrap_or(u32::MAX)
    }

    /// The message of a number. `None`: there is none, or it is marked as deleted.
    pub fn item(&self, number: u32) -> Option<Item> {
        let index = number.checked_sub(1)?;
        let size = match *self.sizes.get(index as usize)? {
            u32::MAX => self.large.get(&index).copied().unwrap_or(u64::from(u32::MAX)),
            size => u64::from(size),
        };
        let run = self.runs.partition_point(|(_, before)| *before <= index).checked_sub(1)?;
        let (first, before) = self.runs.get(run)?;
        let uid = first + (index - before);
        (!self.deleted.contains(number)).then_some(Item { number, uid, size })
    }

    /// The unique id of a message (RFC 1939 section 7): no other message of the account ever has it, as long as that exists.
    pub fn unique_id(&self, item: Item) -> String {
        format!("{}.{}", self.uidvalidity, item.uid)
    }

    /// Marks a message as deleted.
    pub fn delete(&mut self, item: Item) {
        self.deleted.insert(item.number);
        self.left.count -= 1;
        self.left.bytes -= item.size;
    }

    /// Takes the marks of deleted messages away.
    pub fn reset(&mut self) {
        self.deleted = Marks::default();
        let count = self.last();
        let bytes = (1..=count).filter_map(|number| self.item(number)).map(|item| item.size).sum();
        self.left = Totals { count, bytes };
    }

    /// Notes that the client has all of a message.
    pub fn retrieved(&mut self, number: u32) {
        self.retrieved.insert(number);
    }

    /// Opens a message. One that was expunged meanwhile can be read until it is purged.
    ///
    /// # Errors
    /// `Expunged` when it is gone; what open(2) said.
    pub fn read(&mut self, store: &Store, item: Item, with_header: bool) -> Result<Opened, StoreError> {
        let file = self.bodies.open(item.uid)?;
        let mut header_bytes = 0;
        if with_header {
            let view = store.view(self.account)?;
            header_bytes = match view.message(FolderId::INBOX, item.uid)? {
                Some(message) => message.header_size,
                None => expunged_header(&view, item.uid)?,
            };
        }
        Ok(Opened { file, header_bytes })
    }

    /// Ends the session: retrieved messages become \Seen, deleted ones are expunged, in one transaction. Returns how many were deleted.
    ///
    /// # Errors
    /// What the store says; nothing has changed then.
    pub fn close(&mut self, store: &Store, now_s: i64) -> Result<usize, StoreError> {
        let deleted = self.marked(&self.deleted);
        let seen = self.marked(&self.retrieved);
        if deleted.is_empty() && seen.is_empty() {
            return Ok(0);
        }
        let expunged = store.close_maildrop(self.account, FolderId::INBOX, &seen, &deleted, now_s)?;
        Ok(expunged.uids.len())
    }

    /// The UIDs of the marked messages.
    fn marked(&self, marks: &Marks) -> UidSet {
        let mut uids = UidSet::new();
        for (at, (first, before)) in self.runs.iter().enumerate() {
            let end = self.runs.get(at + 1).map_or(self.last(), |(_, before)| *before);
            (*before..end)
                .filter(|index| marks.contains(index + 1))
                .for_each(|index| uids.insert(first + (index - before)));
        }
        uids
    }
}

/// The header of a message that was expunged and is not purged yet.
fn expunged_header(view: &crate::store::View<'_>, uid: Uid) -> Result<u64, StoreError> {
    let mut found = None;
    view.gone(FolderId::INBOX, &mut |gone| {
        if gone.message.uid != uid {
            return ControlFlow::Continue(());
        }
        found = Some(gone.message.header_size);
        ControlFlow::Break(())
    })?;
    found.ok_or(StoreError::Expunged { uid })
}

/// A set of numbers, a bit each.
#[derive(Debug, Default)]
struct Marks(Vec<u64>);

impl Marks {
    fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (number % 64);
        }
    }

    fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;

    #[test]
    fn numbers_sizes_and_marks() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().join("store"),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 1).unwrap();
        let store = Store::open(settings).unwrap();
        let account = store.account_create("joe", None, 1).unwrap();
        let mut maildrop = Maildrop::open(&store, account).unwrap();
        assert_eq!((maildrop.last(), maildrop.left(), maildrop.item(1)), (0, Totals::default(), None));
        let mut next = None;
        let huge = 1 << 40;
        for (uid, size) in [(3, 10), (4, 20), (9, huge), (u32::MAX, u64::from(u32::MAX))] {
            maildrop.push(&Message { uid, size, ..Message::default() }, &mut next);
        }
        assert_eq!(maildrop.runs, [(3, 0), (9, 2), (u32::MAX, 3)]);
        let all = Totals { count: 4, bytes: 30 + huge + u64::from(u32::MAX) };
        assert_eq!((maildrop.last(), maildrop.left()), (4, all));
        let item = |maildrop: &Maildrop, number| maildrop.item(number).map(|item| (item.uid, item.size));
        let found = [0, 1, 2, 3, 4, 5, u32::MAX].map(|number| item(&maildrop, number));
        let last = Some((u32::MAX, u64::from(u32::MAX)));
        assert_eq!(found, [None, Some((3, 10)), Some((4, 20)), Some((9, huge)), last, None, None]);
        for number in [2, 3] {
            let item = maildrop.item(number).unwrap();
            maildrop.delete(item);
            maildrop.retrieved(number + 1);
        }
        assert_eq!((item(&maildrop, 2), item(&maildrop, 3)), (None, None));
        assert_eq!(maildrop.left(), Totals { count: 2, bytes: 10 + u64::from(u32::MAX) });
        assert_eq!(maildrop.marked(&maildrop.deleted).ranges(), [(4, 4), (9, 9)]);
        assert_eq!(maildrop.marked(&maildrop.retrieved).ranges(), [(9, 9), (u32::MAX, u32::MAX)]);
        maildrop.reset();
        assert_eq!((maildrop.left(), item(&maildrop, 3)), (all, Some((9, huge))));
        assert!(maildrop.marked(&maildrop.deleted).is_empty());
    }
}
