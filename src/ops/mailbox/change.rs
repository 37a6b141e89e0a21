//! Changes of mailboxes: planned first, then shown or carried out.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::directory::{Directory, DirectoryError, Home, canonical_userid};
use crate::ops::account::{self, AccountError};
use crate::ops::quota::{status, watch};
use crate::store::{
    AccountId, Flags, Folder, FolderId, FolderLock, FolderPath, MailboxName, NameError, Store, StoreError, Uid, UidSet,
    check_userid,
};

/// Messages that are expunged in one transaction.
const BATCH: usize = 5000;

/// Why a mailbox was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// A name breaks the rules.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No such user in the directory.
    #[error("no such user: {0}")]
    NoUser(String),
    /// No such mailbox.
    #[error("no such mailbox: {0}")]
    NoMailbox(String),
    /// No such partition.
    #[error("Unknown/invalid partition: {0}")]
    NoPartition(String),
    /// The mailbox is there already.
    #[error("the mailbox exists already: {0}")]
    Exists(String),
    /// What is asked for is not possible.
    #[error("{0}")]
    Impossible(String),
    /// The user's mailbox is on another host.
    #[error("the mailbox of {userid} is on host {host}")]
    Elsewhere {
        /// The user.
        userid: String,
        /// The host.
        host: String,
    },
    /// The directory did not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory has entries that cannot be read: nothing can be said about who is not in it.
    #[error("the user directory has faults, so that its users cannot be told from others: {}", .0.join("; "))]
    DirectoryFaults(Vec<String>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AccountError> for MailboxError {
    fn from(error: AccountError) -> MailboxError {
        match error {
            AccountError::NoUser(name) => MailboxError::NoUser(name),
            AccountError::Elsewhere { userid, host } => MailboxError::Elsewhere { userid, host },
            AccountError::Directory(error) => MailboxError::Directory(error),
            AccountError::Store(error) => MailboxError::Store(error),
        }
    }
}

/// What is to be done with a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create it, with the account when that is missing.
    Create {
        /// The account is made too.
        account: bool,
    },
    /// Delete the account with all its folders.
    DeleteAccount,
    /// Delete the folder; those below it stay.
    DeleteFolder,
    /// Rename the folder with those below it, or (from INBOX to another INBOX) the user; then move it to a partition.
    Rename {
        /// The new name; the old one when it only moves.
        to: MailboxName,
        /// The partition to move to.
        partition: Option<String>,
    },
    /// Expunge messages marked as deleted.
    Expunge,
    /// Bring back expunged messages.
    Restore {
        /// Those expunged since then, seconds since 1970.
        since_s: i64,
    },
}

/// A change of one mailbox and what it touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The change.
    pub action: Action,
    /// Folders that it touches.
    pub folders: u64,
    /// Messages that it touches.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Plan {
    /// False when carrying it out would leave everything as it is.
    pub fn changes(&self) -> bool {
        match self.action {
            Action::Expunge | Action::Restore { .. } => self.messages > 0,
            _ => true,
        }
    }
}

/// The mailboxes of an instance, to be changed.
pub struct Mailboxes<'a> {
    /// The store.
    pub store: &'a Store,
    /// Who exists.
    pub directory: &'a Directory,
    /// The domain whose users are written without it.
    pub default_domain: Option<&'a str>,
    /// What is configured about quota: the status of an owner follows the usage.
    pub quota: &'a watch::Settings,
    /// The time, seconds since 1970.
    pub now_s: i64,
}

impl Mailboxes<'_> {
    /// The account of an owner as a person writes it: the user id, also in capitals or with the default domain.
    fn account(&self, owner: &str) -> Result<Option<(String, AccountId)>, MailboxError> {
        let canonical = canonical_userid(owner, self.default_domain);
        for userid in [owner, &canonical] {
            if let Some(id) = self.store.account_id(userid)? {
                return Ok(Some((userid.to_owned(), id)));
            }
        }
        Ok(None)
    }

    /// A mailbox that exists: its name as it is stored, its account and its row.
    ///
    /// # Errors
    /// [`MailboxError::NoMailbox`]; the store cannot be read.
    pub fn find(&self, name: &MailboxName) -> Result<(MailboxName, AccountId, Folder), MailboxError> {
        let missing = || MailboxError::NoMailbox(super::show_name(&name.owner, &name.folder));
        let (owner, id) = self.account(&name.owner)?.ok_or_else(missing)?;
        let row = self.store.view(id)?.resolve(&name.folder)?.filter(|row| !row.noselect).ok_or_else(missing)?;
        Ok((MailboxName { owner, folder: name.folder.clone() }, id, row))
    }

    /// Plans the creation of a mailbox.
    ///
    /// # Errors
    /// It exists; the directory does not know its owner or does not answer.
    pub fn plan_create(&self, name: &MailboxName) -> Result<Plan, MailboxError> {
        let (owner, account) = match self.account(&name.owner)? {
            Some((owner, id)) => {
                let found = self.store.view(id)?.resolve(&name.folder)?;
                if found.is_some_and(|row| !row.noselect) {
                    return Err(MailboxError::Exists(super::show_name(&owner, &name.folder)));
                }
                (owner, false)
            }
            None => match self.directory.lookup(&name.owner)? {
                Home::Here(user) => (user.userid, true),
                Home::At(host) => return Err(MailboxError::Elsewhere { userid: name.owner.clone(), host }),
                Home::Nowhere => return Err(MailboxError::NoUser(name.owner.clone())),
            },
        };
        let mailbox = MailboxName { owner, folder: name.folder.clone() };
        Ok(Plan { mailbox, action: Action::Create { account }, folders: 1, messages: 0, bytes: 0 })
    }

    /// Plans the deletion of a mailbox: of a whole account when it is an INBOX.
    ///
    /// # Errors
    /// It does not exist; the store cannot be read.
    pub fn plan_delete(&self, name: &MailboxName) -> Result<Plan, MailboxError> {
        let (mailbox, id, row) = self.find(name)?;
        if !name.folder.is_inbox() {
            let (messages, bytes) = (u64::from(row.exists), row.bytes);
            return Ok(Plan { mailbox, action: Action::DeleteFolder, folders: 1, messages, bytes });
        }
        self.whole_account(mailbox, id, Action::DeleteAccount)
    }

    fn whole_account(&self, mailbox: MailboxName, id: AccountId, action: Action) -> Result<Plan, MailboxError> {
        let view = self.store.view(id)?;
        let owner = view.account()?;
        let folders = view.folders()?.iter().filter(|(_, row)| !row.noselect).count() as u64;
        Ok(Plan { mailbox, action, folders, messages: owner.usage_messages, bytes: owner.usage_bytes })
    }

    /// Plans a rename, a move to another partition, or both.
    ///
    /// # Errors
    /// `from` does not exist, `to` does; the two are of different kinds or accounts; no such partition.
    pub fn plan_rename(
        &self,
        from: &MailboxName,
        to: &MailboxName,
        partition: Option<&str>,
    ) -> Result<Plan, MailboxError> {
        if let Some(wanted) = partition
            && !self.store.settings().partitions.iter().any(|(nickname, _)| nickname == wanted)
        {
            return Err(MailboxError::NoPartition(wanted.to_owned()));
        }
        let (mailbox, id, row) = self.find(from)?;
        let to_owner = match self.account(&to.owner)? {
            Some((owner, _)) => owner,
            None => canonical_userid(&to.owner, self.default_domain),
        };
        let to = MailboxName { owner: to_owner, folder: to.folder.clone() };
        let impossible = |text: &str| Err(MailboxError::Impossible(text.to_owned()));
        if to == mailbox {
            let Some(partition) = partition else {
                return impossible("the old and the new name are the same, and no partition is named");
            };
            return self.plan_move(mailbox, id, &row, partition);
        }
        let whole = from.folder.is_inbox() && to.folder.is_inbox();
        if to.owner != mailbox.owner && !whole {
            return impossible("a folder stays in its account; only INBOX to INBOX renames a user");
        }
        let exists = || MailboxError::Exists(super::show_name(&to.owner, &to.folder));
        let action = Action::Rename { to: to.clone(), partition: partition.map(str::to_owned) };
        if whole {
            check_userid(&to.owner)?;
            if self.store.account_id(&to.owner)?.is_some() {
                return Err(exists());
            }
            return self.whole_account(mailbox, id, action);
        }
        if self.store.view(id)?.resolve(&to.folder)?.is_some() {
            return Err(exists());
        }
        if from.folder.is_inbox() {
            if partition.is_some() {
                return impossible("INBOX is renamed first, then its new folder is moved");
            }
            let (messages, bytes) = (u64::from(row.exists), row.bytes);
            return Ok(Plan { mailbox, action, folders: 1, messages, bytes });
        }
        if to.folder.starts_with(&from.folder) {
            return impossible("the new name lies below the old one");
        }
        self.subtree(mailbox, id, action)
    }

    fn plan_move(
        &self,
        mailbox: MailboxName,
        id: AccountId,
        row: &Folder,
        partition: &str,
    ) -> Result<Plan, MailboxError> {
        let action = Action::Rename { to: mailbox.clone(), partition: Some(partition.to_owned()) };
        let plan = if mailbox.folder.is_inbox() {
            self.whole_account(mailbox, id, action)?
        } else {
            self.subtree(mailbox, id, action)?
        };
        let view = self.store.view(id)?;
        let below = |path: &FolderPath| plan.mailbox.folder.is_inbox() || path.starts_with(&plan.mailbox.folder);
        let elsewhere = view.folders()?.iter().any(|(path, row)| below(path) && row.partition != partition);
        if row.partition == partition && !elsewhere {
            return Err(MailboxError::Impossible(format!("it is in partition {partition} already")));
        }
        Ok(plan)
    }

    fn subtree(&self, mailbox: MailboxName, id: AccountId, action: Action) -> Result<Plan, MailboxError> {
        let mut plan = Plan { mailbox, action, folders: 0, messages: 0, bytes: 0 };
        for (path, row) in self.store.view(id)?.folders()? {
            if path.starts_with(&plan.mailbox.folder) && !row.noselect {
                plan.folders += 1;
                plan.messages += u64::from(row.exists);
                plan.bytes += row.bytes;
            }
        }
        Ok(plan)
    }

    /// Plans the expunge of what is marked as deleted in a mailbox.
    ///
    /// # Errors
    /// It does not exist; the store cannot be read.
    pub fn plan_expunge(&self, name: &MailboxName) -> Result<Plan, MailboxError> {
        let (mailbox, id, row) = self.find(name)?;
        let mut plan = Plan { mailbox, action: Action::Expunge, folders: 1, messages: 0, bytes: 0 };
        if row.deleted == 0 {
            return Ok(plan);
        }
        let marked = self.marked(id, row.id)?;
        let view = self.store.view(id)?;
        for (first, last) in marked.ranges() {
            view.messages(row.id, *first..=*last, &mut |message| {
                plan.messages += 1;
                plan.bytes += message.size;
                ControlFlow::Continue(())
            })?;
        }
        Ok(plan)
    }

    /// The messages marked as deleted.
    fn marked(&self, id: AccountId, folder: FolderId) -> Result<UidSet, MailboxError> {
        let mut ranges = Vec::new();
        self.store.view(id)?.states(folder, 0..=Uid::MAX, &mut |run| {
            if run.flags.contains(Flags::DELETED) {
                ranges.push((run.first, run.last()));
            }
        })?;
        Ok(UidSet::from_ranges(ranges))
    }

    /// Plans to bring back what was expunged from a mailbox in the last `hours`, or at any time, and was not purged yet.
    ///
    /// # Errors
    /// It does not exist; the store cannot be read.
    pub fn plan_restore(&self, name: &MailboxName, hours: Option<u32>) -> Result<Plan, MailboxError> {
        let (mailbox, id, row) = self.find(name)?;
        let since_s = hours.map_or(0, |hours| self.now_s.saturating_sub(i64::from(hours) * 3600).max(0));
        let mut plan = Plan { mailbox, action: Action::Restore { since_s }, folders: 1, messages: 0, bytes: 0 };
        self.store.view(id)?.gone(row.id, &mut |gone| {
            if gone.expunged_s >= since_s && !gone.purging {
                plan.messages += 1;
                plan.bytes += gone.message.size;
            }
            ControlFlow::Continue(())
        })?;
        Ok(plan)
    }

    /// Carries a plan out. Returns how many messages it really touched.
    ///
    /// # Errors
    /// Somebody was faster, the mailbox is locked, the disk fails.
    pub fn carry_out(&self, plan: &Plan) -> Result<u64, MailboxError> {
        let done = self.carry_out_alone(plan)?;
        if matches!(
            plan.action,
            Action::DeleteFolder | Action::Rename { .. } | Action::Expunge | Action::Restore { .. }
        ) && let Some(account) = self.store.account_id(&plan.mailbox.owner)?
        {
            status::follow(self.quota, self.store, self.directory, account);
        }
        Ok(done)
    }

    fn carry_out_alone(&self, plan: &Plan) -> Result<u64, MailboxError> {
        let name = &plan.mailbox;
        match &plan.action {
            Action::Create { .. } => {
                let id = match self.store.account_id(&name.owner)? {
                    Some(id) => id,
                    None => account::ensure(self.store, self.directory, &name.owner, self.now_s)?.1,
                };
                if !name.folder.is_inbox() {
                    self.store.folder_create(id, &name.folder, &Default::default(), self.now_s)?;
                }
            }
            Action::DeleteAccount => self.store.account_delete(self.find(name)?.1, self.now_s)?,
            Action::DeleteFolder => self.store.folder_delete(self.find(name)?.1, &name.folder, self.now_s)?,
            Action::Rename { to, partition } => self.rename(name, to, partition.as_deref())?,
            Action::Expunge => return self.expunge(name),
            Action::Restore { since_s } => {
                let (_, id, row) = self.find(name)?;
                return Ok(u64::from(self.store.restore(id, row.id, *since_s, self.now_s)?));
            }
        }
        Ok(plan.messages)
    }

    fn rename(&self, from: &MailboxName, to: &MailboxName, partition: Option<&str>) -> Result<(), MailboxError> {
        let (_, id, _) = self.find(from)?;
        if to.owner != from.owner {
            self.store.account_rename(id, &to.owner, self.now_s)?;
        } else if to.folder != from.folder {
            self.store.folder_rename(id, &from.folder, &to.folder, self.now_s)?;
        }
        if let Some(partition) = partition {
            let (_, id, row) = self.find(to)?;
            self.store.move_partition(id, Some(row.id).filter(|_| !to.folder.is_inbox()), partition)?;
        }
        Ok(())
    }

    fn expunge(&self, name: &MailboxName) -> Result<u64, MailboxError> {
        let (_, id, row) = self.find(name)?;
        let marked: Vec<Uid> = self.marked(id, row.id)?.iter().collect();
        let mut expunged = 0;
        for batch in marked.chunks(BATCH) {
            let only = UidSet::from_ranges(batch.iter().map(|uid| (*uid, *uid)));
            expunged += self.store.expunge(id, row.id, Some(&only), self.now_s)?.uids.len() as u64;
        }
        Ok(expunged)
    }

    /// Locks mailboxes against everybody else until the locks are dropped.
    ///
    /// # Errors
    /// One does not exist or stays locked; then none is locked.
    pub fn lock(&self, names: &[MailboxName], purpose: &str) -> Result<Vec<FolderLock>, MailboxError> {
        // In one order, so that two of these cannot wait for each other; each once.
        let names: BTreeSet<&MailboxName> = names.iter().collect();
        names
            .into_iter()
            .map(|name| {
                let (_, id, row) = self.find(name)?;
                Ok(self.store.lock_folder(id, row.id, purpose)?)
            })
            .collect()
    }

    /// The user ids of the accounts that have no entry in the directory of this host, sorted; with `unused_since_s`, those of them that nobody
    /// has used since then (nor were they made since).
    ///
    /// # Errors
    /// The directory does not answer, or has entries that it cannot read: then nobody may be called an orphan.
    pub fn orphans(&self, unused_since_s: Option<i64>) -> Result<Vec<String>, MailboxError> {
        let mut known = BTreeSet::new();
        let faults = self.directory.for_each_user(&mut |user| {
            known.insert(user.userid);
            ControlFlow::Continue(())
        })?;
        if !faults.is_empty() {
            return Err(MailboxError::DirectoryFaults(faults));
        }
        let mut orphans = Vec::new();
        for (userid, account) in self.store.accounts()? {
            if known.contains(&userid) {
                continue;
            }
            let unused = match unused_since_s {
                None => true,
                Some(since_s) => {
                    let row = self.store.view(account)?.account()?;
                    row.last_access_s.into_iter().chain([row.created_s]).all(|used_s| used_s < since_s)
                }
            };
            // Entries that came while the list was read, or that a server let fall from it, are there when they are asked for.
            let is_here = || match self.directory.lookup(&userid)? {
                Home::Here(user) => Ok::<_, DirectoryError>(user.userid == userid),
                Home::At(_) | Home::Nowhere => Ok(false),
            };
            if unused && !is_here()? {
                orphans.push(userid);
            }
        }
        Ok(orphans)
    }
}
