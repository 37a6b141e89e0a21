//! Reading: one short snapshot of an account's shard.

use std::fs::{File, OpenOptions};
use std::ops::{ControlFlow, RangeInclusive};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::error::{Kind, StoreError};
use super::flags::UidSet;
use super::ids::{AccountId, FolderId, Modseq, Uid};
use super::index_file::IndexReader;
use super::lmdb::{Read, Rows};
use super::name::FolderPath;
use super::record::{Account, Folder, Gone, Message, StateRun};
use super::schema::{self, kind};
use super::{Store, layout, rows};

/// How often a message is looked for again while its directory is on its way to another place.
const PATIENCE: u32 = 2000;
/// How long is waited in between.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// Where a folder lies, and what tells whether it was moved since. Two looks that give the same saw no move in between.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// Its directory, as the rows say.
    pub(super) dir: PathBuf,
    /// Every change of the account raises it.
    modseq: Modseq,
    /// An operation that moves directories is under way in the account.
    pub(super) moving: bool,
}

/// A snapshot of one account. It pins pages of the mailbox database: never keep it across a write to the network.
pub struct View<'s> {
    pub(super) read: Read<'static>,
    pub(super) account: AccountId,
    store: &'s Store,
}

impl Store {
    /// A snapshot of an account.
    ///
    /// # Errors
    /// The account does not exist, or the mailbox database cannot be read.
    pub fn view(&self, account: AccountId) -> Result<View<'_>, StoreError> {
        Ok(View { read: self.shard_of(account)?.env()?.read()?, account, store: self })
    }

    /// The message's file, to be read at offsets.
    ///
    /// # Errors
    /// `Expunged` when the message is gone; what open(2) said.
    pub fn open_body(&self, account: AccountId, folder: FolderId, uid: Uid) -> Result<File, StoreError> {
        let mut missed = None;
        let mut patience = PATIENCE;
        // A folder that was deleted took its messages with it.
        let gone = |error: StoreError| match error.kind() {
            Kind::NotFound => StoreError::Expunged { uid },
            _ => error,
        };
        loop {
            let view = self.view(account).map_err(gone)?;
            let dir = view.folder_dir(folder).map_err(gone)?;
            let path = dir.join(layout::message_file(uid));
            let known = view.message(folder, uid)?.is_some();
            let whereabouts = (patience < PATIENCE).then(|| view.whereabouts(folder)).transpose().map_err(gone)?;
            drop(view);
            match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
                Ok(file) => {
                    // Another folder may have come to the path meanwhile.
                    let there = self.view(account).and_then(|view| view.folder_dir(folder)).map_err(gone)? == dir;
                    if there {
                        return Ok(file);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if !known {
                        return Err(StoreError::Expunged { uid });
                    }
                    // Directories move before the rows say so; renames that came to their end meanwhile show in the modification sequence.
                    let resting = whereabouts.as_ref().is_some_and(|now| !now.moving && missed.as_ref() == Some(now));
                    if resting || patience == 0 {
                        return Err(StoreError::io("open the message", &path, error));
                    }
                    patience -= 1;
                    missed = whereabouts;
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(StoreError::io("open the message", &path, error)),
            }
        }
    }

    /// A reader of the folder's store.idx.
    ///
    /// # Errors
    /// The folder's place cannot be found out.
    pub fn index(&self, account: AccountId, folder: &Folder) -> Result<IndexReader, StoreError> {
        let view = self.view(account)?;
        let dir = view.folder_dir(folder.id)?;
        let name = format!("user/{}/{}", view.account()?.userid, view.path(folder.id)?);
        drop(view);
        let (store, id) = (self.clone(), folder.id);
        let reopen = Box::new(move |uid| store.open_body(account, id, uid));
        let store = self.clone();
        let renew = Box::new(move |uids: &[Uid]| store.renew_entries(account, id, uids));
        Ok(IndexReader::open(&dir, folder.idx_generation).of_folder(name, reopen, renew))
    }
}

impl View<'_> {
    /// The rows of the snapshot.
    pub(super) fn rows(&self) -> &Read<'static> {
        &self.read
    }

    /// Where a folder lies now.
    pub(super) fn whereabouts(&self, folder: FolderId) -> Result<Whereabouts, StoreError> {
        Ok(Whereabouts {
            dir: self.folder_dir(folder)?,
            modseq: self.account()?.highest_modseq,
            moving: self.is_moving()?,
        })
    }

    /// True while an operation that moves directories of the account is under way.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn is_moving(&self) -> Result<bool, StoreError> {
        Ok(rows::value(&self.read, &super::intent::intent_key(self.account))?.is_some())
    }

    /// The account's row.
    ///
    /// # Errors
    /// It does not exist or is damaged.
    pub fn account(&self) -> Result<Account, StoreError> {
        rows::need_account(&self.read, self.account)
    }

    /// A folder's row.
    ///
    /// # Errors
    /// It is damaged.
    pub fn folder(&self, id: FolderId) -> Result<Option<Folder>, StoreError> {
        rows::folder(&self.read, self.account, id)
    }

    /// The quota root that a folder counts for.
    ///
    /// # Errors
    /// The folder does not exist, or a row is damaged.
    pub fn quota_root_of(&self, folder: FolderId) -> Result<super::QuotaRoot, StoreError> {
        let row = rows::need_folder(&self.read, self.account, folder)?;
        super::quota::root_of(&self.read, self.account, &self.account()?, &row)
    }

    /// The quota roots of the account: its own first, then its folders with limits.
    ///
    /// # Errors
    /// The account does not exist, or a row is damaged.
    pub fn quota_roots(&self) -> Result<Vec<super::QuotaRoot>, StoreError> {
        super::quota::roots(&self.read, self.account, &self.account()?)
    }

    /// The quota roots as they would be with other limits than those of the account's row; no clock runs.
    ///
    /// # Errors
    /// The account does not exist, or a row is damaged.
    pub fn quota_roots_under(&self, limits: &super::Limits) -> Result<Vec<super::QuotaRoot>, StoreError> {
        let owner = super::record::Account {
            quota_bytes: limits.bytes,
            quota_messages: limits.messages,
            folder_limits: limits.folders.clone(),
            over_since_s: 0,
            ..self.account()?
        };
        super::quota::roots(&self.read, self.account, &owner)
    }

    /// The folder at a path.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn resolve(&self, path: &FolderPath) -> Result<Option<Folder>, StoreError> {
        rows::resolve(&self.read, self.account, path)
    }

    /// Every folder, depth first, by name, INBOX first.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn folders(&self) -> Result<Vec<(FolderPath, Folder)>, StoreError> {
        rows::tree(&self.read, self.account)
    }

    /// The path of a folder.
    ///
    /// # Errors
    /// It does not exist, or a row is damaged.
    pub fn path(&self, id: FolderId) -> Result<FolderPath, StoreError> {
        rows::path(&self.read, self.account, &rows::need_folder(&self.read, self.account, id)?)
    }

    /// The directory of a folder.
    ///
    /// # Errors
    /// The folder does not exist, or its partition is not available.
    pub fn folder_dir(&self, id: FolderId) -> Result<PathBuf, StoreError> {
        let row = rows::need_folder(&self.read, self.account, id)?;
        let path = rows::path(&self.read, self.account, &row)?;
        let userid = self.account()?.userid;
        Ok(self.store.inner.partition(&row.partition)?.join(layout::folder_directory(&userid, &path)))
    }

    /// The states of the existing messages with UIDs in `uids`, ascending: also the list of the UIDs that exist.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn states(
        &self,
        folder: FolderId,
        uids: RangeInclusive<Uid>,
        visit: &mut dyn FnMut(StateRun),
    ) -> Result<(), StoreError> {
        rows::states(&self.read, self.account, folder, uids, visit)
    }

    /// The messages with UIDs in `uids`, ascending, until `visit` breaks.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn messages(
        &self,
        folder: FolderId,
        uids: RangeInclusive<Uid>,
        visit: &mut dyn FnMut(Message) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        rows::messages(&self.read, self.account, folder, uids, &mut |row| Ok(visit(row)))
    }

    /// One message.
    ///
    /// # Errors
    /// Its row is damaged.
    pub fn message(&self, folder: FolderId, uid: Uid) -> Result<Option<Message>, StoreError> {
        rows::message(&self.read, self.account, folder, uid)
    }

    /// Expunged messages whose files wait for purge.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn gone(&self, folder: FolderId, visit: &mut dyn FnMut(Gone) -> ControlFlow<()>) -> Result<(), StoreError> {
        rows::all_gone(&self.read, self.account, folder, &mut |row| Ok(visit(row)))
    }

    /// UIDs expunged since `modseq`; `None` when that is longer ago than the folder remembers.
    ///
    /// # Errors
    /// The folder does not exist, or a row is damaged.
    pub fn expunged_since(&self, folder: FolderId, modseq: Modseq) -> Result<Option<UidSet>, StoreError> {
        if modseq < rows::need_folder(&self.read, self.account, folder)?.expunge_horizon {
            return Ok(None);
        }
        rows::expunged(&self.read, self.account, folder, modseq).map(Some)
    }

    /// The account's keywords; the index is the bit.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn keywords(&self) -> Result<Vec<String>, StoreError> {
        rows::keywords(&self.read, self.account)
    }

    /// Are there folders below this one?
    ///
    /// # Errors
    /// A row is damaged.
    pub fn has_children(&self, id: FolderId) -> Result<bool, StoreError> {
        Ok(!rows::children(&self.read, self.account, id)?.is_empty())
    }

    /// Is there a folder directly below this one that satisfies `wanted`?
    ///
    /// # Errors
    /// A row is damaged.
    pub fn any_child(&self, id: FolderId, wanted: &dyn Fn(&Folder) -> bool) -> Result<bool, StoreError> {
        for (_, child) in rows::children(&self.read, self.account, id)? {
            if self.folder(child)?.is_some_and(|child| wanted(&child)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the account subscribed to this name?
    ///
    /// # Errors
    /// What the database says.
    pub fn is_subscribed(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.read.get(&schema::key(self.account, kind::SUBSCRIPTION, FolderId::TOP, name.as_bytes()))?.is_some())
    }

    /// The names the account has subscribed to.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn subscriptions(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        self.read.scan(&schema::key(self.account, kind::SUBSCRIPTION, FolderId::TOP, &[]), &mut |key, _| {
            if !schema::within_kind(key, self.account, kind::SUBSCRIPTION) {
                return Ok(ControlFlow::Break(()));
            }
            found.push(String::from_utf8_lossy(schema::rest(key)).into_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}
