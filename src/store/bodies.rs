//! Files of many messages of one folder, one after the other.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use super::copy::FolderPlace;
use super::error::StoreError;
use super::ids::{AccountId, FolderId, Uid};
use super::{Store, layout};

/// The first files are opened by their paths: the directory is worth being held for more than that.
const SINGLE: u32 = 4;

/// Opens message files of one folder. Rows are read for the first few; then the folder's directory is held open, and names in it are enough, wherever
/// it goes meanwhile: a UID is never given again, and a file in it is never replaced.
pub struct Bodies {
    store: Store,
    account: AccountId,
    folder: FolderId,
    opened: u32,
    place: Option<FolderPlace>,
}

impl Store {
    /// The message files of a folder, to be opened one after the other. Holds a descriptor of the directory: keep it for the
    /// length of a step, or for a session that does little else.
    pub fn bodies(&self, account: AccountId, folder: FolderId) -> Bodies {
        Bodies { store: self.clone(), account, folder, opened: 0, place: None }
    }
}

impl Bodies {
    /// The message's file, to be read at offsets. As [`Store::open_body`].
    ///
    /// # Errors
    /// `Expunged` when the message is gone; what open(2) said.
    pub fn open(&mut self, uid: Uid) -> Result<File, StoreError> {
        self.opened = self.opened.saturating_add(1);
        if self.place.is_none() && self.opened > SINGLE {
            // A folder that changes all the time is asked for anew with each message.
            self.opened = 0;
            self.place = self.store.folder_place(self.account, self.folder).ok();
        }
        if let Some(place) = &self.place {
            let path = place.path().join(layout::message_file(uid));
            if let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
                return Ok(file);
            }
        }
        // On another partition by now, or gone: the rows say which.
        self.store.open_body(self.account, self.folder, uid)
    }
}
