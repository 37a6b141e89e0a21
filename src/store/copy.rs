//! COPY and MOVE: hard links, never bytes (unless the partition is another).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StoreError;
use super::expunge::{Chosen, marked};
use super::flags::{Flags, Keywords, UidSet};
use super::ids::{AccountId, FolderId, Uid};
use super::index_file::{Entry, IndexReader};
use super::record::{Message, Rights};
use super::{Store, Tx, layout, rows};

/// What a copy gave (RFC 9051 7.1, COPYUID).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uidvalidity: u32,
    /// (source UID, target UID), ascending.
    pub pairs: Vec<(Uid, Uid)>,
}

/// Flags and keywords of messages of the same account as the target, as they are inside the transaction: somebody may have changed them since
/// the messages were read.
pub(super) type States = HashMap<Uid, (Flags, Keywords)>;

/// How often a copy begins again because its messages went elsewhere meanwhile.
const TRIES: u32 = 20;
/// How long it waits in between: a rename moves directories first, then changes the rows.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// The directory of a folder, held open: whatever is renamed meanwhile, names below [`FolderPlace::path`] stay names in this directory.
pub(super) struct FolderPlace {
    handle: File,
}

impl FolderPlace {
    /// A path that leads to the directory itself and not to what has its name now.
    pub(super) fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.handle.as_raw_fd().to_string())
    }
}

/// A message to be copied.
pub(super) struct Source {
    /// Keeps `path` valid.
    pub(super) place: Arc<FolderPlace>,
    pub(super) message: Message,
    pub(super) path: PathBuf,
    pub(super) flags: Flags,
    pub(super) keywords: Vec<String>,
    pub(super) entry: Entry<'static>,
}

impl Source {
    /// That the message went away, when that is why it could not be linked.
    pub(super) fn gone_or(&self, error: StoreError) -> StoreError {
        let gone =
            std::fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if gone && self.place.path().exists() { StoreError::Expunged { uid: self.message.uid } } else { error }
    }
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
        self.with_sources(from, uids, |sources| {
            self.change(to.0, |tx| {
                let states = if from.0 == to.0 { tx.states_of(from, sources)? } else { States::new() };
                tx.append_copies(to.0, to.1, sources, &states, now_s, None)
            })
        })
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
            // Before anything is copied: afterwards it would be too late to refuse.
            let row = self.view(from.0)?.folder(from.1)?.ok_or_else(|| StoreError::missing("the mailbox"))?;
            if !self.rights(from.0, &row).contains(Rights::DELETE) {
                return Err(StoreError::Denied);
            }
            let copied = self.copy(from, uids, to, now_s)?;
            let moved: UidSet = copied.pairs.iter().map(|pair| pair.0).collect();
            // What was allowed when it began is carried out.
            self.unrestricted().change(from.0, |tx| tx.remove(from.0, from.1, &moved, now_s))?;
            return Ok(copied);
        }
        self.move_within(from, uids, to, None, now_s)
    }

    /// Moves those of these messages within an account that have the flags for which they were chosen, if the folder is still what it was then.
    ///
    /// # Errors
    /// As [`Store::copy`].
    pub fn move_chosen(
        &self,
        account: AccountId,
        (from, to): (FolderId, FolderId),
        uids: &UidSet,
        chosen: &Chosen,
        now_s: i64,
    ) -> Result<Copied, StoreError> {
        let mut tries = 0;
        loop {
            let marked = marked(self.view(account)?.rows(), account, from, uids, chosen.flags)?;
            match self.move_within((account, from), &marked, (account, to), Some(chosen), now_s) {
                // A mark was taken back meanwhile.
                Err(StoreError::Expunged { .. }) if tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }

    fn move_within(
        &self,
        from: (AccountId, FolderId),
        uids: &UidSet,
        to: (AccountId, FolderId),
        chosen: Option<&Chosen>,
        now_s: i64,
    ) -> Result<Copied, StoreError> {
        self.with_sources(from, uids, |sources| {
            self.change(to.0, |tx| {
                // Only what is still there is moved: somebody may have expunged it since it was read.
                let moved: UidSet = sources.iter().map(|source| source.message.uid).collect();
                let gone = || StoreError::Expunged { uid: moved.iter().next().unwrap_or(0) };
                if !tx.all_present(from, &moved)? {
                    return Err(gone());
                }
                if let Some(chosen) = chosen {
                    if !tx.is_still(from.0, from.1, chosen)? {
                        return Ok(Copied::default());
                    }
                    if marked(tx.txn, from.0, from.1, &moved, chosen.flags)? != moved {
                        return Err(gone());
                    }
                }
                let states = tx.states_of(from, sources)?;
                let roots = tx.quota_roots(from.0)?;
                let copied = tx.append_copies(to.0, to.1, sources, &states, now_s, Some(from.1))?;
                tx.remove(from.0, from.1, &moved, now_s)?;
                tx.hand_clocks_on(from.0, &roots)?;
                crate::crash_point!("move.after-rows");
                Ok(copied)
            })
        })
    }

    /// Reads the messages and copies them; when some went away in between, once more with what is there then.
    fn with_sources(
        &self,
        from: (AccountId, FolderId),
        uids: &UidSet,
        copy: impl Fn(&[Source]) -> Result<Copied, StoreError>,
    ) -> Result<Copied, StoreError> {
        let mut tries = 0;
        loop {
            let done = self.sources(from, uids).and_then(|sources| match sources.as_slice() {
                [] => Ok(Copied::default()),
                sources => copy(sources),
            });
            match done {
                Err(StoreError::Expunged { .. }) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Opens the directory of a folder. What was opened is the folder's: nothing in the account changed while it was done, so its path did not go
    /// to another one.
    pub(super) fn folder_place(&self, account: AccountId, folder: FolderId) -> Result<FolderPlace, StoreError> {
        let mut tries = 0;
        let mut missed = None;
        loop {
            let seen = || self.view(account)?.whereabouts(folder);
            let before = seen()?;
            let opened = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_PATH)
                .open(&before.dir);
            match opened {
                Ok(handle) if seen()? == before => return Ok(FolderPlace { handle }),
                Ok(_) => {}
                // Directories move before the rows say so, and their flushing takes as long as the disk likes.
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound
                        && (before.moving || missed.as_ref() != Some(&before)) =>
                {
                    missed = Some(before);
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(StoreError::io("open the directory", &before.dir, error)),
            }
            tries += 1;
            if tries > 50 * TRIES {
                return Err(StoreError::InUse { what: "the mailbox".into(), by: None });
            }
        }
    }

    pub(super) fn sources(&self, from: (AccountId, FolderId), uids: &UidSet) -> Result<Vec<Source>, StoreError> {
        let place = Arc::new(self.folder_place(from.0, from.1)?);
        let dir = place.path();
        let view = self.view(from.0)?;
        let folder = view.folder(from.1)?.ok_or_else(|| StoreError::missing("the mailbox"))?;
        if !self.rights(from.0, &folder).contains(Rights::READ) {
            return Err(StoreError::Denied);
        }
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
                Ok((entry, _)) => entry.renewed().into_owned(),
                Err(_) if !path.exists() => return Err(StoreError::Expunged { uid: message.uid }),
                Err(error) => return Err(error),
            };
            sources.push(Source { place: place.clone(), message, path, flags, keywords, entry });
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

impl Tx<'_, '_> {
    /// The states of the sources as they are now.
    pub(super) fn states_of(&self, from: (AccountId, FolderId), sources: &[Source]) -> Result<States, StoreError> {
        let wanted: UidSet = sources.iter().map(|source| source.message.uid).collect();
        let mut states = States::new();
        for (first, last) in wanted.ranges() {
            rows::states(self.txn, from.0, from.1, *first..=*last, &mut |run| {
                states.extend((run.first..=run.last()).map(|uid| (uid, (run.flags, run.keywords))));
            })?;
        }
        Ok(states)
    }
}
