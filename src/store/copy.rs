//! COPY and MOVE: hard links, never bytes (unless the partition is another).

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::error::StoreError;
use super::flags::{Flags, UidSet};
use super::ids::{AccountId, FolderId, Uid};
use super::index_file::{Entry, IndexReader};
use super::record::Message;
use super::{Store, Tx, layout, rows};

/// What a copy gave (RFC 9051 7.1, COPYUID).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uidvalidity: u32,
    /// (source UID, target UID), ascending.
    pub pairs: Vec<(Uid, Uid)>,
}

/// A message to be copied.
pub(super) struct Source {
    pub(super) message: Message,
    pub(super) path: PathBuf,
    pub(super) flags: Flags,
    pub(super) keywords: Vec<String>,
    pub(super) entry: Entry,
}

impl Store {
    /// Copies messages into a folder: all or none. UIDs that do not exist are passed over.
    ///
    /// # Errors
    /// A folder does not exist or is locked, the quota is used up, the disk fails.
    pub fn copy(
        &self,
        from: (AccountId, FolderId),
        uids: &UidSet,
        to: (AccountId, FolderId),
        now_s: i64,
    ) -> Result<Copied, StoreError> {
        let sources = self.sources(from, uids)?;
        if sources.is_empty() {
            return Ok(Copied::default());
        }
        self.change(to.0, |tx| tx.append_copies(to.0, to.1, &sources, now_s, true))
    }

    /// Moves messages into a folder. Within an account that is one transaction; between accounts the copies are committed before the sources
    /// are expunged, so that a crash may leave both but never none.
    ///
    /// # Errors
    /// As [`Store::copy`].
    pub fn move_messages(
        &self,
        from: (AccountId, FolderId),
        uids: &UidSet,
        to: (AccountId, FolderId),
        now_s: i64,
    ) -> Result<Copied, StoreError> {
        if from.0 != to.0 {
            let copied = self.copy(from, uids, to, now_s)?;
            let moved: UidSet = copied.pairs.iter().map(|pair| pair.0).collect();
            self.change(from.0, |tx| tx.remove(from.0, from.1, &moved, now_s))?;
            return Ok(copied);
        }
        let sources = self.sources(from, uids)?;
        if sources.is_empty() {
            return Ok(Copied::default());
        }
        self.change(to.0, |tx| {
            // Only what is still there is moved: somebody may have expunged it since it was read.
            let moved: UidSet = sources.iter().map(|source| source.message.uid).collect();
            if !tx.all_present(from, &moved)? {
                return Err(StoreError::Expunged { uid: moved.iter().next().unwrap_or(0) });
            }
            let copied = tx.append_copies(to.0, to.1, &sources, now_s, false)?;
            tx.remove(from.0, from.1, &moved, now_s)?;
            crate::crash_point!("move.after-rows");
            Ok(copied)
        })
    }

    pub(super) fn sources(&self, from: (AccountId, FolderId), uids: &UidSet) -> Result<Vec<Source>, StoreError> {
        let view = self.view(from.0)?;
        let folder = view.folder(from.1)?.ok_or_else(|| StoreError::missing("the mailbox"))?;
        let dir = view.folder_dir(from.1)?;
        let names = view.keywords()?;
        let mut found: Vec<(Message, Flags, Vec<String>)> = Vec::new();
        for (first, last) in uids.ranges() {
            let mut runs = Vec::new();
            view.states(from.1, *first..=*last, &mut |run| runs.push(run))?;
            let mut runs = runs.into_iter().peekable();
            view.messages(from.1, *first..=*last, &mut |message| {
                while runs.next_if(|run| run.last() < message.uid).is_some() {}
                let run = runs.peek().filter(|run| run.first <= message.uid);
                let keywords = run.map(|run| run.keywords.bits().filter_map(|bit| names.get(bit).cloned()).collect());
                found.push((message, run.map_or(Flags::NONE, |run| run.flags), keywords.unwrap_or_default()));
                ControlFlow::Continue(())
            })?;
        }
        drop(view);
        let mut index = IndexReader::open(&dir, folder.idx_generation);
        let mut sources = Vec::with_capacity(found.len());
        for (message, flags, keywords) in found {
            let path = dir.join(layout::message_file(message.uid));
            let entry = match index.entry(&message) {
                Ok((entry, _)) => entry,
                Err(_) if !path.exists() => return Err(StoreError::Expunged { uid: message.uid }),
                Err(error) => return Err(error),
            };
            sources.push(Source { message, path, flags, keywords, entry });
        }
        Ok(sources)
    }
}

impl Tx<'_, '_> {
    /// True if all these messages exist.
    pub(super) fn all_present(
        &self,
        (account, folder): (AccountId, FolderId),
        uids: &UidSet,
    ) -> Result<bool, StoreError> {
        for uid in uids.iter() {
            if rows::message(self.txn, account, folder, uid)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
