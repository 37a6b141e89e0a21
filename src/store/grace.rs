//! The clock of the grace period: since when a quota root is full. It stands in the account's row, for a folder with a limit of its own beside that limit.

use super::error::StoreError;
use super::ids::{AccountId, FolderId};
use super::quota::{Root, is_warning_due, nearest, root_of, roots};
use super::record::{Account, Folder};
use super::{Store, Tx, rows};

impl Store {
    /// A delivery did not fit into a folder: the grace period begins, unless it runs. Returns whether the owner is to be warned.
    ///
    /// # Errors
    /// The folder does not exist, or the disk fails.
    pub fn note_refusal(&self, account: AccountId, folder: FolderId, now_s: i64) -> Result<bool, StoreError> {
        let view = self.view(account)?;
        let owner = view.account()?;
        let at = match view.folder(folder)? {
            Some(row) => nearest(&owner, &rows::path(view.rows(), account, &row)?),
            None => None,
        };
        let since =
            at.and_then(|at| owner.folder_limits.get(at)).map_or(owner.over_since_s, |limit| limit.over_since_s);
        let rules = self.inner.rules();
        let nearly_full = match view.folder(folder)? {
            Some(row) => root_of(view.rows(), account, &owner, &row)?.is_nearly_full(&rules),
            None => false,
        };
        if since != 0 || !nearly_full {
            // Every delivery to a full mailbox comes by here: it costs no commit.
            return Ok(is_warning_due(&self.inner.rules(), &owner, &view.quota_roots()?, now_s));
        }
        drop(view);
        self.change(account, |tx| tx.start_quota_clock(account, folder, now_s))
    }
}

impl Tx<'_, '_> {
    /// Starts the clocks of the grace period where the quota is used up now; without a time they do not start. They stop where something went away
    /// (`fell`; also a new limit is that) and it is not used up. To be called when the rows of folders are stored and before the account's.
    /// Returns whether the owner is to be warned, and whether the account's own quota is used up.
    pub(super) fn keep_quota_clock(
        &mut self,
        account: AccountId,
        owner: &mut Account,
        fell: bool,
        now_s: Option<i64>,
    ) -> Result<(bool, bool), StoreError> {
        let nothing = owner.folder_limits.is_empty() && owner.quota_bytes.is_none() && owner.quota_messages.is_none();
        if nothing {
            owner.over_since_s = 0;
            return Ok((false, false));
        }
        let rules = self.store.rules();
        let roots = roots(self.txn, account, owner)?;
        for (at, root) in roots.iter().enumerate() {
            let clock = match at.checked_sub(1) {
                None => &mut owner.over_since_s,
                Some(folder) => match owner.folder_limits.get_mut(folder) {
                    Some(limit) => &mut limit.over_since_s,
                    None => continue,
                },
            };
            match (root.is_used_up(&rules), *clock) {
                (false, _) if fell || !root.is_nearly_full(&rules) => *clock = 0,
                (true, 0) => *clock = now_s.map_or(0, |now_s| now_s.max(1)),
                _ => {}
            }
        }
        let due = now_s.is_some_and(|now_s| is_warning_due(&rules, owner, &roots, now_s));
        Ok((due, roots.first().is_some_and(|root| root.is_used_up(&rules))))
    }

    /// The roots as they are now, for [`Tx::hand_clocks_on`].
    pub(super) fn quota_roots(&self, account: AccountId) -> Result<Vec<Root>, StoreError> {
        roots(self.txn, account, &rows::need_account(self.txn, account)?)
    }

    /// Messages went and others came in their place: where that has made no room, the clock goes on as it ran `before`.
    pub(super) fn hand_clocks_on(&mut self, account: AccountId, before: &[Root]) -> Result<(), StoreError> {
        let mut owner = rows::need_account(self.txn, account)?;
        let rules = self.store.rules();
        let mut changed = false;
        for root in roots(self.txn, account, &owner)? {
            let Some(old) = before.iter().find(|old| old.folder == root.folder && old.over_since_s != 0) else {
                continue;
            };
            let fell = root.usage.bytes < old.usage.bytes || root.usage.messages < old.usage.messages;
            if !(root.is_used_up(&rules) || !fell && root.is_nearly_full(&rules)) {
                continue;
            }
            let clock = match &root.folder {
                None => Some(&mut owner.over_since_s),
                Some(path) => {
                    let limit = owner.folder_limits.iter_mut().find(|limit| limit.path == *path);
                    limit.map(|limit| &mut limit.over_since_s)
                }
            };
            if let Some(clock) = clock.filter(|clock| **clock != old.over_since_s) {
                *clock = old.over_since_s;
                changed = true;
            }
        }
        if changed { rows::put_account(self.txn, account, &owner) } else { Ok(()) }
    }

    /// True when messages that go from one folder of the account to another stay in the same root.
    pub(super) fn is_one_root(
        &self,
        account: AccountId,
        owner: &Account,
        from: Option<FolderId>,
        to: &Folder,
    ) -> Result<bool, StoreError> {
        let Some(from) = from else { return Ok(false) };
        if owner.folder_limits.is_empty() {
            return Ok(true);
        }
        let from = rows::need_folder(self.txn, account, from)?;
        let root = |row: &Folder| Ok::<_, StoreError>(nearest(owner, &rows::path(self.txn, account, row)?));
        Ok(root(&from)? == root(to)?)
    }

    /// Starts the clock of the root of a folder because a delivery did not fit into what is nearly full. One that is too large for a mailbox with room
    /// is no beginning: its owner has reached nothing.
    fn start_quota_clock(&mut self, account: AccountId, folder: FolderId, now_s: i64) -> Result<bool, StoreError> {
        let mut owner = rows::need_account(self.txn, account)?;
        let row = rows::need_folder(self.txn, account, folder)?;
        let rules = self.store.rules();
        let nearly_full = root_of(self.txn, account, &owner, &row)?.is_nearly_full(&rules);
        let at = nearest(&owner, &rows::path(self.txn, account, &row)?);
        let clock = match at.and_then(|at| owner.folder_limits.get_mut(at)) {
            Some(limit) => &mut limit.over_since_s,
            None => &mut owner.over_since_s,
        };
        if *clock == 0 && nearly_full {
            *clock = now_s.max(1);
            rows::put_account(self.txn, account, &owner)?;
        }
        let roots = roots(self.txn, account, &owner)?;
        Ok(is_warning_due(&rules, &owner, &roots, now_s))
    }
}
