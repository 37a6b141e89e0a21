//! Folders: create, delete, rename, subscribe.

use super::error::StoreError;
use super::ids::{AccountId, FolderId, MailboxId};
use super::intent::Intent;
use super::name::FolderPath;
use super::record::{Account, Acl, AclEntry, Folder, Rights};
use super::schema::{self, kind};
use super::special_use::SpecialUse;
use super::{Store, Tx, body, index_file, lookup, random, rows};

/// How a folder is created.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Its special uses (RFC 6154); `None`: the one that its name suggests, if no other folder has it.
    pub special_use: Option<SpecialUse>,
    /// Its partition; else that of the folder above, else the account's.
    pub partition: Option<String>,
}

impl Store {
    /// Creates a folder, with those above it that are missing.
    ///
    /// # Errors
    /// `Exists` when it is there already; `SpecialUse` when a use that was asked for cannot be given; a partition does not exist; the disk fails.
    pub fn folder_create(
        &self,
        account: AccountId,
        path: &FolderPath,
        options: &CreateOptions,
        now_s: i64,
    ) -> Result<Folder, StoreError> {
        // A partition that is new gets its mark now: inside the shard's transaction the common environment is never written.
        if let Some(partition) = &options.partition {
            self.inner.partition(partition)?;
        }
        self.change(account, |tx| tx.create_path(account, path, options, now_s))
    }

    /// Deletes a folder as IMAP does (RFC 9051 6.3.5): its messages go; the name stays without a mailbox while folders lie below it.
    ///
    /// # Errors
    /// It does not exist, is INBOX, or is a name without a mailbox and has folders below it.
    pub fn folder_delete(&self, account: AccountId, path: &FolderPath, now_s: i64) -> Result<(), StoreError> {
        let _ = now_s;
        let view = self.view(account)?;
        let row = view.resolve(path)?.ok_or_else(|| StoreError::missing(format!("mailbox {path}")))?;
        if path.is_inbox() {
            return Err(StoreError::Invalid { what: "INBOX cannot be deleted".into() });
        }
        let below = view.folders()?.iter().any(|(other, _)| other != path && other.starts_with(path));
        drop(view);
        if below && row.noselect {
            return Err(StoreError::Invalid { what: format!("mailbox {path} has mailboxes below it") });
        }
        self.carry_out(account, Intent::DeleteFolder { folder: row.id, keep_name: below })
    }

    /// Deletes a folder with everything below it.
    ///
    /// # Errors
    /// It does not exist or is INBOX (that is the account: [`Store::account_delete`]).
    pub fn folder_delete_tree(&self, account: AccountId, path: &FolderPath, now_s: i64) -> Result<(), StoreError> {
        if path.is_inbox() {
            return Err(StoreError::Invalid { what: "INBOX cannot be deleted".into() });
        }
        let mut doomed: Vec<FolderPath> = self
            .view(account)?
            .folders()?
            .into_iter()
            .map(|(other, _)| other)
            .filter(|other| other.starts_with(path))
            .collect();
        if doomed.is_empty() {
            return Err(StoreError::missing(format!("mailbox {path}")));
        }
        doomed.sort_by_key(|other| std::cmp::Reverse(other.components().len()));
        doomed.iter().try_for_each(|other| self.folder_delete(account, other, now_s))
    }

    /// Renames a folder with everything below it; folders missing above the new name are created. Renaming INBOX moves its messages into a new
    /// folder and leaves INBOX empty (RFC 9051 6.3.6). Special uses stay with their folders, whatever the new name is, until they come to lie below
    /// the folder for \Trash: that is how clients delete folders.
    ///
    /// # Errors
    /// `from` does not exist, `to` does, or lies below `from`.
    pub fn folder_rename(
        &self,
        account: AccountId,
        from: &FolderPath,
        to: &FolderPath,
        now_s: i64,
    ) -> Result<(), StoreError> {
        let view = self.view(account)?;
        let row = view.resolve(from)?.ok_or_else(|| StoreError::missing(format!("mailbox {from}")))?;
        if view.resolve(to)?.is_some() {
            return Err(StoreError::Exists { what: format!("mailbox {to}") });
        }
        drop(view);
        if from.is_inbox() {
            return self.carry_out(account, Intent::RenameInbox { to: to.to_string(), now_s });
        }
        if to.starts_with(from) {
            return Err(StoreError::Invalid { what: format!("mailbox {to} lies below {from}") });
        }
        let view = self.view(account)?;
        let missing = match to.parent() {
            Some(above) => view.resolve(&above)?.is_none().then_some(above),
            None => None,
        };
        drop(view);
        if let Some(above) = missing {
            match self.folder_create(account, &above, &CreateOptions::default(), now_s) {
                Ok(_) | Err(StoreError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let view = self.view(account)?;
        let parent = match to.parent() {
            Some(above) => view.resolve(&above)?.ok_or_else(|| StoreError::missing(format!("mailbox {above}")))?.id,
            None => FolderId::TOP,
        };
        drop(view);
        self.carry_out(account, Intent::RenameFolder { folder: row.id, parent, component: to.last().to_owned() })
    }

    /// Subscribes to a name or ends that; the name need not exist (RFC 9051 6.3.7).
    ///
    /// # Errors
    /// The name is too long for a key, or the disk fails.
    pub fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<(), StoreError> {
        if name.is_empty() || name.len() > schema::REST_MAX {
            return Err(StoreError::Invalid {
                what: format!("a name to subscribe to has 1 to {} bytes", schema::REST_MAX),
            });
        }
        let key = schema::key(account, kind::SUBSCRIPTION, FolderId::TOP, name.as_bytes());
        self.change(account, |tx| if on { rows::put(tx.txn, &key, vec![1]) } else { tx.txn.del(&key).map(|_| ()) })
    }
}

impl Tx<'_, '_> {
    /// Creates a folder with those above it that are missing.
    pub(super) fn create_path(
        &mut self,
        account: AccountId,
        path: &FolderPath,
        options: &CreateOptions,
        now_s: i64,
    ) -> Result<Folder, StoreError> {
        super::lock::respect(self, account, FolderId::TOP)?;
        let mut owner = rows::need_account(self.txn, account)?;
        let mut above: Option<Folder> = None;
        // What is asked for is asked for the last one.
        let options_above = CreateOptions { special_use: None, ..options.clone() };
        for (number, component) in path.components().iter().enumerate() {
            let parent = above.as_ref().map_or(FolderId::TOP, |row| row.id);
            let last = number + 1 == path.components().len();
            let options = if last { options } else { &options_above };
            let row = match rows::child(self.txn, account, parent, component)? {
                Some(id) => {
                    let row = rows::need_folder(self.txn, account, id)?;
                    if last && !row.noselect {
                        return Err(StoreError::Exists { what: format!("user/{}/{path}", owner.userid) });
                    }
                    if last {
                        self.demand_create(account, above.as_ref())?;
                        self.revive(account, &mut owner, above.as_ref(), row, options, now_s)?
                    } else {
                        row
                    }
                }
                None => {
                    // Below one that was made just now it is allowed as it was there: it has the same list.
                    self.demand_create(account, above.as_ref())?;
                    self.make_folder(account, &mut owner, above.as_ref(), component, options, now_s)?
                }
            };
            above = Some(row);
        }
        rows::put_account(self.txn, account, &owner)?;
        crate::crash_point!("create.after-rows");
        above.ok_or_else(|| StoreError::Invalid { what: "a mailbox name is empty".into() })
    }

    /// Makes the row and the directory of a folder.
    pub(super) fn make_folder(
        &mut self,
        account: AccountId,
        owner: &mut Account,
        above: Option<&Folder>,
        component: &str,
        options: &CreateOptions,
        now_s: i64,
    ) -> Result<Folder, StoreError> {
        owner.last_folder = owner
            .last_folder
            .checked_add(1)
            .ok_or(StoreError::Limit { what: "folders", limit: u64::from(u32::MAX) })?;
        let inherited = above.map_or_else(|| owner.partition.clone(), |row| row.partition.clone());
        let row = Folder {
            id: FolderId(owner.last_folder),
            parent: above.map_or(FolderId::TOP, |row| row.id),
            component: component.to_owned(),
            mailbox_id: MailboxId(random()?),
            partition: options.partition.clone().unwrap_or(inherited),
            uidvalidity: self.next_uidvalidity(now_s)?,
            uidnext: 1,
            highest_modseq: Tx::next_modseq(owner),
            recent_from: 1,
            special_use: self.use_of_new(account, above.is_none(), component, options)?,
            created_s: now_s,
            idx_generation: 1,
            idx_len: index_file::HEADER,
            acl: inherited_acl(owner, above),
            ..Folder::default()
        };
        rows::put(self.txn, &schema::name(account, row.parent, component), row.id.0.to_le_bytes().to_vec())?;
        lookup::follow(self.txn, (account, row.id), None, Some((&owner.userid, &row.acl)))?;
        self.changed(account, &row)?;
        let dir = self.folder_dir(account, &owner.userid, &row)?;
        let root = self.store.partition(&row.partition)?;
        self.make_durable_dir(root, &dir)?;
        Ok(row)
    }

    /// Makes a name without a mailbox a mailbox again, with a new UIDVALIDITY and the list of a new one.
    fn revive(
        &mut self,
        account: AccountId,
        owner: &mut Account,
        above: Option<&Folder>,
        mut row: Folder,
        options: &CreateOptions,
        now_s: i64,
    ) -> Result<Folder, StoreError> {
        row.noselect = false;
        // DELETE has taken the old list with the mailbox (RFC 4314 section 4).
        let acl = inherited_acl(owner, above);
        lookup::follow(self.txn, (account, row.id), Some((&owner.userid, &row.acl)), Some((&owner.userid, &acl)))?;
        row.acl = acl;
        row.special_use = self.use_of_new(account, row.parent == FolderId::TOP, &row.component, options)?;
        row.uidvalidity = self.next_uidvalidity(now_s)?;
        row.mailbox_id = MailboxId(random()?);
        row.highest_modseq = Tx::next_modseq(owner);
        let dir = self.folder_dir(account, &owner.userid, &row)?;
        let root = self.store.partition(&row.partition)?;
        self.make_durable_dir(root, &dir)?;
        self.changed(account, &row)?;
        Ok(row)
    }

    /// Makes a directory below the partition's and what is missing above it; every name down to it is flushed before the commit: that it is there
    /// already may be the work of an attempt that did not come so far.
    fn make_durable_dir(&mut self, root: &std::path::Path, dir: &std::path::Path) -> Result<(), StoreError> {
        let above = dir.ancestors().skip(1).take_while(|above| above.starts_with(root));
        self.extra.dirs.extend(above.map(std::path::Path::to_owned));
        body::make_dir(dir)
    }
}

/// The access control list of a new folder: that of the one above, at the top everything for the owner.
pub(super) fn inherited_acl(owner: &Account, above: Option<&Folder>) -> Acl {
    above.map_or_else(
        || Acl(vec![AclEntry { identifier: owner.userid.clone(), rights: Rights::ALL }]),
        |row| row.acl.clone(),
    )
}
