//! The rows of one account brought up to date with its directories: after a shard was restored from a snapshot, or made anew.
//!
//! The directories say which messages there are; store.idx says what they are, what was expunged, and in its last checkpoint block what only the
//! mailbox database knows. Where the rows are older than that, they follow. UIDs never lie: the next one is above everything that is known to have
//! been given out, with room for what is not, every modification sequence is new, and a folder of which no store.idx can be read though there was
//! one gets another UIDVALIDITY.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, subscriptions};
use super::codec::Reader;
use super::error::{Kind, StoreError};
use super::flags::{Flags, Keywords, UidSet};
use super::folder::inherited_acl;
use super::ids::{AccountId, FolderId, MailboxId, Modseq, Uid};
use super::index_scan::{self, Scanned};
use super::name::FolderPath;
use super::record::{Account, Checkpointed, EntryPlace, Folder, Gone, Message, StateRun, push_run};
use super::schema::{self, CHUNK, kind};
use super::{Inner, Tx, body, check, index_file, layout, random, rows};

/// UIDs that are passed over: messages of which no trace is left may have had them.
const UID_GAP: Uid = 100_000;
/// Modification sequences that are passed over: more than an account can use up between two snapshots.
const MODSEQ_GAP: Modseq = 1 << 36;

/// From when the rows are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// Now, seconds since 1970.
    pub(super) now_s: i64,
    /// When the snapshot was taken from which the rows are; 0: there was none.
    pub(super) taken_s: i64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Accounts brought up to date.
    pub accounts: usize,
    /// Accounts whose directories are gone: they were deleted since.
    pub accounts_removed: usize,
    /// Folders that had no row.
    pub folders_added: usize,
    /// Folders whose directories are gone.
    pub folders_removed: usize,
    /// Folders that got another UIDVALIDITY.
    pub folders_renumbered: usize,
    /// Messages that had no row.
    pub messages_added: usize,
    /// Messages that were expunged, or whose files are gone.
    pub messages_removed: usize,
}

impl std::ops::AddAssign for Rebuilt {
    fn add_assign(&mut self, more: Rebuilt) {
        self.accounts += more.accounts;
        self.accounts_removed += more.accounts_removed;
        self.folders_added += more.folders_added;
        self.folders_removed += more.folders_removed;
        self.folders_renumbered += more.folders_renumbered;
        self.messages_added += more.messages_added;
        self.messages_removed += more.messages_removed;
    }
}

/// A folder's directory.
struct Found {
    partition: String,
    dir: PathBuf,
    header: Option<(u32, MailboxId)>,
    /// Files of its own lie there: it is more than the way to those below.
    own: bool,
}

/// The directories of an account, by the paths of their folders; and whether a partition is away, which may hold more.
fn on_disk(store: &Inner, userid: &str) -> Result<(BTreeMap<FolderPath, Found>, bool), StoreError> {
    let (mut found, mut away) = (BTreeMap::new(), false);
    for partition in store.partitions() {
        let Ok(root) = store.partition(&partition) else {
            away = true;
            continue;
        };
        let mut stack = vec![(root.join(layout::account_directory(userid)), Vec::<String>::new())];
        while let Some((dir, components)) = stack.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("read", &dir, error)),
            };
            let mut own = false;
            for entry in entries.filter_map(Result::ok) {
                let name = entry.file_name().to_string_lossy().into_owned();
                match layout::component_of(&name) {
                    Some(component) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                        stack.push((entry.path(), [&components[..], &[component]].concat()));
                    }
                    _ => own |= name == index_file::NAME || (name.len() == 2 && entry.path().is_dir()),
                }
            }
            let path = match components.is_empty() {
                true => FolderPath::inbox(),
                false => FolderPath::from_components(components.clone()),
            };
            // The directory of INBOX is the account's; this one only leads to folders below.
            if !components.is_empty() && path.is_inbox() {
                continue;
            }
            let folder = Found { partition: partition.clone(), header: index_scan::header(&dir), dir, own };
            match found.get(&path) {
                Some(Found { own: true, .. }) if !folder.own => {}
                Some(Found { header: Some(_), .. }) if folder.header.is_none() => {}
                _ => drop(found.insert(path, folder)),
            }
        }
    }
    Ok((found, away))
}

/// True if an account has a directory of this name.
pub(super) fn has_home(store: &Inner, userid: &str) -> bool {
    let home = layout::account_directory(userid);
    store.partitions().iter().any(|partition| store.partition(partition).is_ok_and(|root| root.join(&home).is_dir()))
}

/// What is known of the messages of a folder, on the way to its new rows.
struct Work<'w> {
    account: AccountId,
    folder: FolderId,
    dir: &'w Path,
    since: Since,
    messages: BTreeMap<Uid, Message>,
    states: BTreeMap<Uid, (Flags, Keywords)>,
    gone: BTreeMap<Uid, Gone>,
    done: Rebuilt,
}

impl Tx<'_, '_> {
    /// Brings the rows of an account up to date with its directories. `None`: it has none.
    pub(super) fn rebuild_account(
        &mut self,
        account: AccountId,
        userid: &str,
        since: Since,
    ) -> Result<Option<Rebuilt>, StoreError> {
        let (mut disk, away) = on_disk(self.store, userid)?;
        if disk.is_empty() {
            return Ok(None);
        }
        let inbox = disk.get(&FolderPath::inbox());
        let row = rows::folder(self.txn, account, FolderId::INBOX)?;
        let scanned = inbox.map(|found| index_scan::scan(&found.dir, from(row.as_ref(), found))).unwrap_or_default();
        let block = scanned.checkpoint.filter(|block| block.owner.is_some());
        let known = rows::account(self.txn, account)?;
        let partition = inbox.map(|found| found.partition.clone());
        let mut owner = known.clone().or_else(|| Some(block.clone()?.owner?.0)).unwrap_or_else(|| Account {
            created_s: since.now_s,
            last_folder: FolderId::INBOX.0,
            ..Account::default()
        });
        owner.userid = userid.to_owned();
        owner.partition = partition.unwrap_or(owner.partition);
        owner.last_folder = owner.last_folder.max(FolderId::INBOX.0);
        if let Some((then, names)) =
            block.filter(|block| known.is_none() || block.written_s >= since.taken_s).and_then(|block| block.owner)
        {
            owner.highest_modseq = owner.highest_modseq.max(then.highest_modseq);
            owner.last_folder = owner.last_folder.max(then.last_folder);
            (owner.quota_bytes, owner.quota_messages) = (then.quota_bytes, then.quota_messages);
            self.set_subscriptions(account, &names)?;
        }
        self.remove_rows(&schema::key(account, kind::LOCK, FolderId::TOP, &[]), &|key| {
            schema::within_kind(key, account, kind::LOCK)
        })?;
        self.txn.del(&super::intent::intent_key(account))?;
        let mut done = Rebuilt { accounts: 1, ..Rebuilt::default() };
        let mut tree = self.match_folders(account, &mut disk, away, &mut done)?;
        owner.highest_modseq = owner.highest_modseq.saturating_add(MODSEQ_GAP);
        for (path, found) in disk {
            let known = tree.remove(&path);
            let row = self.rebuild_folder(account, &mut owner, &path, known, &found, since, &mut done)?;
            tree.insert(path, row);
        }
        self.put_tree(account, &mut owner, tree, since)?;
        rows::put_account(self.txn, account, &owner)?;
        Ok(Some(done))
    }

    fn set_subscriptions(&mut self, account: AccountId, names: &[String]) -> Result<(), StoreError> {
        for old in subscriptions(self.txn, account)?.iter().filter(|old| !names.contains(old)) {
            self.txn.del(&schema::key(account, kind::SUBSCRIPTION, FolderId::TOP, old.as_bytes()))?;
        }
        for name in names {
            rows::put(self.txn, &schema::key(account, kind::SUBSCRIPTION, FolderId::TOP, name.as_bytes()), vec![1])?;
        }
        Ok(())
    }

    /// The rows of the folders by the paths where they lie now: found by name, or by the mailbox id in store.idx where they were renamed. What is left of
    /// `disk` afterwards is to be looked into; folders without a directory lose their rows.
    fn match_folders(
        &mut self,
        account: AccountId,
        disk: &mut BTreeMap<FolderPath, Found>,
        away: bool,
        done: &mut Rebuilt,
    ) -> Result<BTreeMap<FolderPath, Folder>, StoreError> {
        let places: HashMap<MailboxId, FolderPath> =
            disk.iter().filter_map(|(path, found)| Some((found.header?.1, path.clone()))).collect();
        let rows = match rows::tree(self.txn, account) {
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            rows => rows?,
        };
        let mut tree = BTreeMap::new();
        for (path, row) in rows {
            let same = disk.get(&path).is_some_and(|found| {
                path.is_inbox()
                    || found.header.is_some_and(|(_, mailbox)| mailbox == row.mailbox_id)
                    || found.header.is_none() && (found.own || row.exists == 0 || row.noselect)
            });
            let elsewhere = places.get(&row.mailbox_id).filter(|other| **other != path && !path.is_inbox());
            let below = disk.keys().any(|other| *other != path && other.starts_with(&path));
            if row.noselect && (elsewhere.is_some() || !disk.get(&path).is_some_and(|found| found.own)) {
                // A name without a mailbox has nothing to look into.
                disk.remove(&path);
                if below {
                    tree.insert(path, row);
                } else {
                    done.folders_removed += 1;
                }
            } else if same {
                tree.insert(path, row);
            } else if let Some(place) = elsewhere {
                tree.insert(place.clone(), row);
            } else if away && !disk.contains_key(&path) {
                tree.insert(path, row);
            } else {
                done.folders_removed += 1;
                for kind in [kind::MESSAGE, kind::STATE, kind::EXPUNGED, kind::GONE, kind::DELIVERED] {
                    self.remove_rows(&schema::key(account, kind, row.id, &[]), &|key| {
                        schema::within(key, account, kind, row.id)
                    })?;
                }
                self.remove_redo(account, row.id)?;
            }
        }
        Ok(tree)
    }

    /// Puts the rows of all folders and their names.
    fn put_tree(
        &mut self,
        account: AccountId,
        owner: &mut Account,
        tree: BTreeMap<FolderPath, Folder>,
        since: Since,
    ) -> Result<(), StoreError> {
        for kind in [kind::NAME, kind::FOLDER] {
            self.remove_rows(&schema::key(account, kind, FolderId::TOP, &[]), &|key| {
                schema::within_kind(key, account, kind)
            })?;
        }
        (owner.usage_bytes, owner.usage_messages) = (0, 0);
        let mut tree = tree;
        if let Entry::Vacant(place) = tree.entry(FolderPath::inbox()) {
            let row = self.fresh(owner, None, "INBOX", FolderId::INBOX, since)?;
            let dir = self.store.partition(&row.partition)?.join(layout::account_directory(&owner.userid));
            body::make_durable_dir(&dir)?;
            place.insert(row);
        }
        let ids: HashMap<FolderPath, FolderId> = tree.iter().map(|(path, row)| (path.clone(), row.id)).collect();
        let mut held = super::SpecialUse::default();
        for (path, mut row) in tree {
            row.parent = match path.parent() {
                Some(above) => *ids.get(&above).ok_or_else(|| StoreError::missing(format!("mailbox {above}")))?,
                None => FolderId::TOP,
            };
            row.component = path.last().to_owned();
            row.special_use = row.special_use.without(held);
            held = held.with(row.special_use);
            owner.usage_bytes = owner.usage_bytes.saturating_add(row.bytes);
            owner.usage_messages = owner.usage_messages.saturating_add(u64::from(row.exists));
            let name = schema::name(account, row.parent, &row.component);
            rows::put(self.txn, &name, row.id.0.to_le_bytes().to_vec())?;
            self.changed(account, &row)?;
        }
        Ok(())
    }

    fn fresh(
        &mut self,
        owner: &Account,
        mailbox: Option<MailboxId>,
        component: &str,
        id: FolderId,
        since: Since,
    ) -> Result<Folder, StoreError> {
        Ok(Folder {
            id,
            component: component.to_owned(),
            mailbox_id: mailbox.map_or_else(|| random().map(MailboxId), Ok)?,
            partition: owner.partition.clone(),
            uidvalidity: self.next_uidvalidity(since.now_s)?,
            uidnext: 1,
            recent_from: 1,
            highest_modseq: owner.highest_modseq,
            expunge_horizon: owner.highest_modseq,
            created_s: since.now_s,
            idx_generation: 1,
            idx_len: index_file::HEADER,
            acl: inherited_acl(owner, None),
            ..Folder::default()
        })
    }

    /// The row of a folder as its directory says, with the rows of its messages.
    #[allow(clippy::too_many_arguments)]
    fn rebuild_folder(
        &mut self,
        account: AccountId,
        owner: &mut Account,
        path: &FolderPath,
        known: Option<Folder>,
        found: &Found,
        since: Since,
        done: &mut Rebuilt,
    ) -> Result<Folder, StoreError> {
        let mut scanned = index_scan::scan(&found.dir, from(known.as_ref(), found));
        let block = scanned.checkpoint.take().filter(|block| {
            found.header.is_some_and(|(_, mailbox)| mailbox == block.row.mailbox_id)
                && known.as_ref().is_none_or(|row| {
                    (block.row.highest_modseq, block.written_s) >= (row.highest_modseq, since.taken_s)
                })
        });
        let mut row = match (&known, &block) {
            (Some(row), Some(block)) => Folder { id: row.id, ..block.row.clone() },
            (Some(row), None) => row.clone(),
            (None, _) => {
                done.folders_added += 1;
                let id = if path.is_inbox() { FolderId::INBOX } else { FolderId(owner.last_folder.saturating_add(1)) };
                owner.last_folder = owner.last_folder.max(id.0);
                match &block {
                    Some(block) => Folder { id, ..block.row.clone() },
                    None => self.fresh(owner, found.header.map(|header| header.1), path.last(), id, since)?,
                }
            }
        };
        if known.as_ref().is_some_and(|row| row.idx_len > index_file::HEADER && found.header.is_none()) {
            row.uidvalidity = self.next_uidvalidity(since.now_s)?;
            done.folders_renumbered += 1;
        }
        row.noselect = false;
        row.partition.clone_from(&found.partition);
        if let Some((generation, mailbox)) = found.header {
            (row.idx_generation, row.mailbox_id) = (generation, mailbox);
        }
        let mut work = Work {
            account,
            folder: row.id,
            dir: &found.dir,
            since,
            messages: BTreeMap::new(),
            states: BTreeMap::new(),
            gone: BTreeMap::new(),
            done: Rebuilt::default(),
        };
        self.read_rows(&mut work)?;
        if let Some(block) = &block {
            self.take_states(&mut work, block)?;
        }
        let top = self.judge(&mut work, &scanned, block.as_ref())?;
        let known_next = known.as_ref().map_or(1, |row| row.uidnext).max(row.uidnext);
        row.uidnext = known_next.max(top.saturating_add(1)).saturating_add(UID_GAP);
        row.recent_from = row.recent_from.min(row.uidnext);
        row.idx_len = if found.header.is_some() { scanned.end } else { index_file::HEADER };
        row.checkpoint = Checkpointed::default();
        (row.highest_modseq, row.expunge_horizon) = (owner.highest_modseq, owner.highest_modseq);
        self.put_messages(&mut row, &mut work)?;
        *done += work.done;
        Ok(row)
    }

    fn read_rows(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let (account, folder) = (work.account, work.folder);
        let all = 0..=Uid::MAX;
        rows::messages(self.txn, account, folder, all.clone(), &mut |message| {
            work.messages.insert(message.uid, message);
            Ok(ControlFlow::Continue(()))
        })?;
        rows::states(self.txn, account, folder, all, &mut |run| {
            work.states.extend((run.first..=run.last()).map(|uid| (uid, (run.flags, run.keywords))));
        })?;
        rows::all_gone(self.txn, account, folder, &mut |gone| {
            work.gone.insert(gone.message.uid, gone);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The states of a block that is newer than the rows.
    fn take_states(&mut self, work: &mut Work<'_>, block: &Checkpoint) -> Result<(), StoreError> {
        for run in &block.states {
            let names: Vec<String> = run.keywords.bits().filter_map(|bit| block.keywords.get(bit).cloned()).collect();
            let keywords = rows::keyword_bits(self.txn, work.account, &names)?;
            work.states.extend((run.first..=run.last()).map(|uid| (uid, (run.flags, keywords))));
        }
        Ok(())
    }

    /// Decides of each message whether it is there, was expunged, or is gone; gives the highest UID that was seen.
    fn judge(&mut self, work: &mut Work<'_>, scanned: &Scanned, block: Option<&Checkpoint>) -> Result<Uid, StoreError> {
        let mut top = scanned.messages.keys().next_back().copied().unwrap_or(0);
        let mut expunged = scanned.expunged.clone();
        if let Some(block) = block {
            let mut alive = UidSet::new();
            for run in &block.states {
                alive.insert_range(run.first, run.last());
            }
            for (first, last) in &block.gone {
                expunged.insert_range(*first, *last);
            }
            let before =
                UidSet::from_ranges(block.row.uidnext.checked_sub(1).filter(|last| *last > 0).map(|last| (1, last)));
            for (first, last) in before.difference(&alive).ranges() {
                expunged.insert_range(*first, *last);
            }
        }
        top = top.max(scanned.expunged.ranges().last().map_or(0, |range| range.1));
        let files: BTreeMap<Uid, PathBuf> = check::message_files(work.dir)?
            .into_iter()
            .filter_map(|(uid, path)| uid.filter(|uid| *uid > 0).map(|uid| (uid, path)))
            .collect();
        top = top.max(files.keys().next_back().copied().unwrap_or(0));
        for uid in work.messages.keys().copied().collect::<Vec<_>>() {
            if !files.contains_key(&uid) && !self.will_be_linked(work, uid)? {
                work.messages.remove(&uid);
                work.done.messages_removed += 1;
            }
        }
        work.gone.retain(|uid, _| files.contains_key(uid));
        for (uid, path) in &files {
            if work.gone.contains_key(uid) {
                continue;
            }
            let is_known = work.messages.contains_key(uid);
            let message = match work.messages.remove(uid) {
                Some(message) => message,
                None => describe(*uid, path, scanned)?,
            };
            if expunged.contains(*uid) {
                let (flags, keywords) = work.states.get(uid).copied().unwrap_or_default();
                let gone = Gone { message, expunged_s: work.since.now_s, flags, keywords, purging: false };
                work.gone.insert(*uid, gone);
                work.done.messages_removed += usize::from(is_known);
            } else {
                work.messages.insert(*uid, message);
                work.done.messages_added += usize::from(!is_known);
            }
        }
        // Entries that are not there are read from the messages.
        for message in work.messages.values_mut() {
            let EntryPlace { generation, offset, len } = message.entry;
            let there = scanned.header.is_some_and(|(now, _)| now == generation);
            if !there || offset.saturating_add(u64::from(len)) > scanned.end {
                message.entry = EntryPlace::default();
            }
        }
        Ok(top)
    }

    /// True if a link that is missing can be made again from its staging file.
    fn will_be_linked(&self, work: &Work<'_>, uid: Uid) -> Result<bool, StoreError> {
        let Some(value) = rows::value(self.txn, &schema::redo(work.account, work.folder, uid))? else {
            return Ok(false);
        };
        let place = || {
            Some((Reader::new(&value, 1).ok()?, ())).and_then(|(mut r, ())| Some((r.string().ok()?, r.string().ok()?)))
        };
        Ok(place().is_some_and(|(partition, staging)| {
            self.store.partition(&partition).is_ok_and(|root| root.join(body::STAGING).join(staging).exists())
        }))
    }

    /// Puts the rows of the messages in place of those that there were, and counts.
    fn put_messages(&mut self, row: &mut Folder, work: &mut Work<'_>) -> Result<(), StoreError> {
        let (account, folder) = (work.account, work.folder);
        for kind in [kind::MESSAGE, kind::STATE, kind::EXPUNGED, kind::GONE] {
            self.remove_rows(&schema::key(account, kind, folder, &[]), &|key| {
                schema::within(key, account, kind, folder)
            })?;
        }
        (row.exists, row.unseen, row.deleted, row.bytes) = (0, 0, 0, 0);
        let mut chunk: (Uid, Vec<StateRun>) = (0, Vec::new());
        for (uid, message) in &work.messages {
            rows::put_message(self.txn, account, folder, message)?;
            let (flags, keywords) = work.states.get(uid).copied().unwrap_or_default();
            rows::count(row, flags, 1, true);
            row.bytes = row.bytes.saturating_add(message.size);
            if uid / CHUNK != chunk.0 / CHUNK {
                rows::put_chunk(self.txn, account, folder, chunk.0, &chunk.1)?;
                chunk = (*uid, Vec::new());
            }
            push_run(&mut chunk.1, StateRun { first: *uid, count: 1, flags, keywords, modseq: row.highest_modseq });
        }
        rows::put_chunk(self.txn, account, folder, chunk.0, &chunk.1)?;
        for (uid, gone) in &work.gone {
            rows::put(self.txn, &schema::gone(account, folder, *uid), gone.encode())?;
        }
        Ok(())
    }
}

/// The byte of store.idx from which the row knows nothing: its last block may have been written over by the next one.
fn from(row: Option<&Folder>, found: &Found) -> u64 {
    match row.filter(|row| found.header == Some((row.idx_generation, row.mailbox_id))) {
        Some(row) if row.checkpoint.end == row.idx_len => row.checkpoint.begin,
        Some(row) => row.idx_len,
        None => 0,
    }
}

/// What a message is: by its entry in store.idx, else by its file.
fn describe(uid: Uid, path: &Path, scanned: &Scanned) -> Result<Message, StoreError> {
    let meta = fs::symlink_metadata(path).map_err(|error| StoreError::io("examine", path, error))?;
    if let Some(entry) = scanned.messages.get(&uid).filter(|entry| entry.size == meta.len()) {
        return Ok(Message { saved_s: meta.mtime(), ..entry.clone() });
    }
    let read = index_file::scan_file(path)?;
    Ok(Message {
        uid,
        size: meta.len(),
        header_size: read.header_size,
        internal_date_s: meta.mtime(),
        saved_s: meta.mtime(),
        sent_s: read.sent_date_s,
        guid: check::guid_of(path)?,
        ..Message::default()
    })
}
