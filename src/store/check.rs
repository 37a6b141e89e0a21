//! The checker: the invariants of the store, for tests, `reconstruct -n` and stored. It reads only.
//!
//! | name | what holds |
//! | --- | --- |
//! | I1 | every message row has its file, of the recorded size |
//! | I2 | every `nn/N.msg` is in a message row, is expunged and waits for purge, or has a uid not given out yet |
//! | I3 | counters and usage equal the sums over the rows |
//! | I4 | every store.idx entry that a row points to names that uid and content, with sound checksums, which the checkpoint block has, too |
//! | I5 | every folder has its directory, and every directory with messages its folder |
//! | I6 | who may look a folder up, by the rows for that, is who its access control list says |
//! | I7 | no modseq is above its folder's, no folder's above its account's |
//! | I8 | every account's directory is where the hash rule puts it |
//! | I9 | no operation of a dead process is unfinished |
//! | I10 | message rows and states name the same uids, below uidnext |
//! | I11 | every row can be read |
//! | I12 | a special use belongs to one folder of its account |
//! | I13 | the entries of an access control list have an identifier each, with rights that there are |
//! | I14 | every mailbox has one name, every name its mailbox; there is an INBOX; numbers and ids of mailboxes are used once; no message is without mailbox |
//! | I15 | what is remembered as expunged, or waits for purge, does not exist and has a uid that was given out |
//! | I16 | keywords of messages have names |

mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::error::{Kind, StoreError};
use super::ids::{AccountId, FolderId, Guid, Uid};
use super::index_file::{self, IndexReader};
use super::name::FolderPath;
use super::record::{Folder, Message, StateRun};
use super::special_use::SpecialUse;
use super::{Flags, Store, layout};
use rows::Looked;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The invariant, such as `I1`.
    pub invariant: &'static str,
    /// The mailbox or directory it is about.
    pub place: String,
    /// The message, if it is about one.
    pub uid: Option<Uid>,
    /// What was found.
    pub what: String,
    /// True when no mail is touched by it: an entry of store.idx that is read from the message instead.
    pub harmless: bool,
}

impl Finding {
    /// What holds in a sound store and does not here: the sentence of its invariant.
    pub fn meaning(&self) -> &'static str {
        match self.invariant {
            "I1" => "every message has its file, with the recorded size and content",
            "I2" => "every message file belongs to a message, or waits for purge",
            "I3" => "counters and usage equal the sums over the messages",
            "I4" => {
                "store.idx is that of the mailbox, and every entry is sound; a bad one is read from the message instead"
            }
            "I5" => "every mailbox has its directory, and every directory with messages its mailbox",
            "I6" => "who is told of a shared folder is who its access control list says",
            "I7" => "no modification sequence is above that of its mailbox or account",
            "I8" => "every account lies where the hash rule puts it",
            "I9" => "no operation of a dead process is unfinished",
            "I10" => "the rows and the states of a mailbox name the same messages",
            "I12" => "no two mailboxes of an account are for the same special use",
            "I13" => "an access control list has one entry for an identifier, with rights that there are",
            "I14" => "every mailbox has one name and every name its mailbox, and there is an INBOX",
            "I15" => "what was expunged does not exist any more",
            "I16" => "keywords of messages have names",
            _ => "every row of the mailbox database can be read",
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(uid) = self.uid {
            write!(f, "message {uid}: ")?;
        }
        write!(f, "{} [{}]", self.what, self.invariant)
    }
}

/// How thorough a check is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth {
    /// Read every message and compare it with its recorded content.
    pub content: bool,
}

/// The GUID of a message file.
pub(super) fn guid_of(path: &Path) -> Result<Guid, StoreError> {
    let mut hasher = blake3::Hasher::new();
    fs::File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|_| ()))
        .map_err(|error| StoreError::io("read", path, error))?;
    Ok(hasher.finalize().as_bytes().first_chunk::<16>().map_or_else(Guid::default, |first| Guid(*first)))
}

/// Reads a data file of the mailbox database page by page and row by row: every page is where the tree says, the keys are in order, every row can be
/// read. Gives the number of rows; `None` when `go_on` said no. Nobody may write to the file meanwhile.
///
/// # Errors
/// `Corrupt`: what is damaged first. The file cannot be read.
pub(super) fn walk_rows(data: &Path, go_on: Option<&dyn Fn() -> bool>) -> Result<Option<u64>, StoreError> {
    let mut count = 0u32;
    super::lmdb::pages::walk(data, &mut |key, stored| {
        rows::readable(key, stored)?;
        count = count.wrapping_add(1);
        let stop = count.is_multiple_of(1024) && go_on.is_some_and(|go_on| !go_on());
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

impl Store {
    /// Checks the whole store.
    ///
    /// # Errors
    /// The mailbox database or a partition cannot be read.
    pub fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for (userid, account) in self.accounts()? {
            findings.extend(self.check_entry(&userid, account, depth)?);
        }
        findings.extend(self.check_directories()?);
        Ok(findings)
    }

    /// Checks the account that the list of accounts names, and that its name leads to it. An account that was deleted meanwhile is clean.
    ///
    /// # Errors
    /// The mailbox database or a partition cannot be read.
    pub fn check_entry(&self, userid: &str, account: AccountId, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        let checked = self.check_account(account, None, depth).and_then(|mut findings| {
            if self.account_id(userid)? != Some(account) && self.view(account)?.account()?.userid == userid {
                findings.push(finding("I5", format!("user/{userid}"), "the userid map does not lead to this account"));
            }
            Ok(findings)
        });
        match checked {
            Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
            Err(error) if error.kind() == Kind::Corrupt => Ok(vec![unreadable(format!("user/{userid}"), &error)]),
            other => other,
        }
    }

    /// Checks an account, or one of its folders with those below it.
    ///
    /// # Errors
    /// The mailbox database or a partition cannot be read.
    pub fn check_account(
        &self,
        account: AccountId,
        only: Option<&FolderPath>,
        depth: Depth,
    ) -> Result<Vec<Finding>, StoreError> {
        let view = self.view(account)?;
        let owner = view.account()?;
        let name = |path: &FolderPath| format!("user/{}/{path}", owner.userid);
        let mut findings = Vec::new();
        let looked = Looked::at(&view, &owner)?;
        findings.extend(looked.findings(only));
        let mut held = SpecialUse::default();
        let folders = match view.folders() {
            // By the names where the tree cannot be walked: why it cannot is found already.
            Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NotFound) => looked.reachable(),
            folders => folders?,
        };
        for (path, row) in folders {
            let twice = row.special_use.and(held);
            held = held.with(row.special_use);
            if !twice.is_empty() && only.is_none_or(|only| path.starts_with(only)) {
                findings.push(finding("I12", name(&path), format!("{twice} belongs to another mailbox, too")));
            }
            if let Some(fault) = row.acl.fault().filter(|_| only.is_none_or(|only| path.starts_with(only))) {
                findings.push(finding("I13", name(&path), fault));
            }
            if row.highest_modseq > owner.highest_modseq && only.is_none_or(|only| path.starts_with(only)) {
                findings.push(finding(
                    "I7",
                    name(&path),
                    format!("modseq {} is above the account's {}", row.highest_modseq, owner.highest_modseq),
                ));
            }
            if only.is_none_or(|only| path.starts_with(only)) {
                match self.check_folder(account, &row, &name(&path), depth, &mut findings) {
                    Err(error) if error.kind() == Kind::Corrupt => {
                        let found = unreadable(name(&path), &error);
                        if !findings.contains(&found) {
                            findings.push(found);
                        }
                    }
                    // It was deleted meanwhile, or lies below one that is not there.
                    Err(error) if error.kind() == Kind::NotFound => {}
                    other => other?,
                }
            }
        }
        let usage = looked.usage().filter(|_| only.is_none());
        if let Some((bytes, messages)) = usage.filter(|usage| *usage != (owner.usage_bytes, owner.usage_messages)) {
            let what = format!(
                "usage is recorded as {} bytes in {} messages, the folders hold {bytes} in {messages}",
                owner.usage_bytes, owner.usage_messages
            );
            findings.push(finding("I3", format!("user/{}", owner.userid), what));
        }
        Ok(findings)
    }

    fn check_folder(
        &self,
        account: AccountId,
        row: &Folder,
        name: &str,
        depth: Depth,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let view = self.view(account)?;
        // Everything in one snapshot: the folder may be in use.
        let Some(row) = view.folder(row.id)? else {
            return Ok(());
        };
        let mut add = |invariant, uid, what: String| {
            findings.push(Finding { invariant, place: name.to_owned(), uid, what, harmless: invariant == "I4" })
        };
        if row.noselect {
            if (row.exists, row.unseen, row.deleted, row.bytes) != (0, 0, 0, 0) {
                add("I3", None, "a name without a mailbox counts messages".into());
            }
            return Ok(());
        }
        let dir = view.folder_dir(row.id)?;
        if !dir.is_dir() {
            add("I5", None, format!("its directory {} is missing", dir.display()));
        }
        let mut rows: BTreeMap<Uid, Message> = BTreeMap::new();
        view.messages(row.id, 0..=Uid::MAX, &mut |message| {
            rows.insert(message.uid, message);
            ControlFlow::Continue(())
        })?;
        let mut runs: Vec<StateRun> = Vec::new();
        view.states(row.id, 0..=Uid::MAX, &mut |run| runs.push(run))?;
        let mut gone = BTreeSet::new();
        view.gone(row.id, &mut |message| {
            gone.insert(message.message.uid);
            ControlFlow::Continue(())
        })?;
        drop(view);
        check_states(&row, &rows, &runs, &mut add);
        self.check_files(account, &row, &dir, &rows, &gone, depth, &mut add)?;
        check_entries(&row, &dir, &rows, &mut add);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn check_files(
        &self,
        account: AccountId,
        row: &Folder,
        dir: &Path,
        rows: &BTreeMap<Uid, Message>,
        gone: &BTreeSet<Uid>,
        depth: Depth,
        add: &mut dyn FnMut(&'static str, Option<Uid>, String),
    ) -> Result<(), StoreError> {
        for message in rows.values() {
            let path = dir.join(layout::message_file(message.uid));
            match fs::symlink_metadata(&path) {
                Ok(meta) if !meta.is_file() => add("I1", Some(message.uid), format!("{} is no file", path.display())),
                Ok(meta) if meta.len() == message.size => {
                    if depth.content && guid_of(&path)? != message.guid {
                        add("I1", Some(message.uid), "its file holds another content than was recorded".into());
                    }
                }
                Ok(meta) => add(
                    "I1",
                    Some(message.uid),
                    format!("its file has {} bytes, {} are recorded", meta.len(), message.size),
                ),
                Err(_) if self.still_there(account, row.id, message.uid)? => {
                    add("I1", Some(message.uid), format!("its file {} is missing", path.display()))
                }
                Err(_) => {}
            }
        }
        for (uid, path) in message_files(dir)? {
            let Some(uid) = uid else {
                add("I2", None, format!("{} is no message file", path.display()));
                continue;
            };
            if rows.contains_key(&uid) || gone.contains(&uid) || uid >= row.uidnext {
                continue;
            }
            // It may have come, or have been purged, since the snapshot.
            let view = self.view(account)?;
            let known = view.message(row.id, uid)?.is_some();
            let mut waits = false;
            view.gone(row.id, &mut |message| {
                waits |= message.message.uid == uid;
                ControlFlow::Continue(())
            })?;
            if !known && !waits && path.exists() {
                add("I2", Some(uid), format!("the file {} belongs to no message", path.display()));
            }
        }
        Ok(())
    }

    fn still_there(&self, account: AccountId, folder: FolderId, uid: Uid) -> Result<bool, StoreError> {
        let view = self.view(account)?;
        Ok(view.message(folder, uid)?.is_some() && !view.folder_dir(folder)?.join(layout::message_file(uid)).exists())
    }

    /// Checks what is about no account in particular: directories without folders, accounts in the wrong place, unfinished operations.
    ///
    /// # Errors
    /// The mailbox database or a partition cannot be read.
    pub fn check_directories(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        let mut known: BTreeSet<PathBuf> = BTreeSet::new();
        for (_, account) in self.accounts()? {
            // What cannot be read is found with its account.
            let Ok(view) = self.view(account) else {
                continue;
            };
            for (_, row) in view.folders().unwrap_or_default() {
                known.extend(view.folder_dir(row.id));
            }
        }
        for nickname in self.inner.partitions() {
            let root = self.inner.partition(&nickname)?;
            let mut stack = vec![root.join("=user")];
            while let Some(dir) = stack.pop() {
                let Ok(entries) = fs::read_dir(&dir) else {
                    continue;
                };
                let mut holds_mail = false;
                for entry in entries.filter_map(Result::ok) {
                    let file = entry.file_name();
                    let below = file.to_string_lossy().starts_with('=') || layout::place_of(&dir).is_none();
                    if entry.path().is_dir() && below {
                        stack.push(entry.path());
                    } else {
                        holds_mail |= entry.path().is_dir();
                    }
                }
                let Some(place) = layout::place_of(&dir) else {
                    continue;
                };
                let home = root.join(layout::account_directory(&place.mailbox.owner));
                if !dir.starts_with(&home) {
                    findings.push(finding(
                        "I8",
                        dir.display().to_string(),
                        "this directory is not where the hash rule puts its account",
                    ));
                } else if holds_mail
                    && !known.contains(&dir)
                    && self.is_unknown(&place.mailbox.owner, &place.mailbox.folder)?
                {
                    findings.push(finding(
                        "I5",
                        dir.display().to_string(),
                        "this directory holds messages of no known mailbox",
                    ));
                }
            }
        }
        for checked in [self.check_domains(), self.check_lookups()] {
            match checked {
                // The row is among those that cannot be read.
                Err(error) if error.kind() == Kind::Corrupt => {}
                other => findings.extend(other?),
            }
        }
        findings.extend(rows::of_shards(self)?);
        findings.extend(self.unfinished()?.into_iter().map(|(account, what)| {
            let place = format!("account {account}");
            what.map_or_else(|error| unreadable(place.clone(), &error), |what| finding("I9", place.clone(), what))
        }));
        Ok(findings)
    }

    fn is_unknown(&self, owner: &str, folder: &FolderPath) -> Result<bool, StoreError> {
        let account = match self.account_id(owner) {
            Ok(Some(account)) => account,
            Ok(None) => return Ok(true),
            Err(error) if error.kind() == Kind::Corrupt => return Ok(false),
            Err(error) => return Err(error),
        };
        match self.view(account).and_then(|view| view.resolve(folder)) {
            Err(error) if error.kind() == Kind::Corrupt => Ok(false),
            other => Ok(other?.is_none()),
        }
    }
}

fn finding(invariant: &'static str, place: String, what: impl Into<String>) -> Finding {
    Finding { invariant, place, uid: None, what: what.into(), harmless: false }
}

fn unreadable(place: String, error: &StoreError) -> Finding {
    finding("I11", place, error.to_string())
}

fn check_states(
    row: &Folder,
    rows: &BTreeMap<Uid, Message>,
    runs: &[StateRun],
    add: &mut dyn FnMut(&'static str, Option<Uid>, String),
) {
    let (mut exists, mut unseen, mut deleted) = (0u32, 0u32, 0u32);
    let mut without_state: BTreeSet<Uid> = rows.keys().copied().collect();
    for run in runs {
        exists = exists.saturating_add(run.count);
        unseen = unseen.saturating_add(if run.flags.contains(Flags::SEEN) { 0 } else { run.count });
        deleted = deleted.saturating_add(if run.flags.contains(Flags::DELETED) { run.count } else { 0 });
        if run.modseq > row.highest_modseq {
            add("I7", Some(run.first), format!("modseq {} is above the folder's {}", run.modseq, row.highest_modseq));
        }
        if run.last() >= row.uidnext {
            add("I10", Some(run.last()), format!("its uid is not below uidnext {}", row.uidnext));
        }
        for uid in (run.first..=run.last()).filter(|uid| !without_state.remove(uid)) {
            add("I10", Some(uid), "it has a state and no message row".into());
        }
    }
    for uid in without_state {
        add("I10", Some(uid), "its message row has no state".into());
    }
    if (exists, unseen, deleted) != (row.exists, row.unseen, row.deleted) {
        add(
            "I3",
            None,
            format!(
                "counters say {} messages, {} unseen, {} deleted; there are {exists}, {unseen}, {deleted}",
                row.exists, row.unseen, row.deleted
            ),
        );
    }
    let bytes = rows.values().fold(0u64, |bytes, message| bytes.saturating_add(message.size));
    if bytes != row.bytes {
        add("I3", None, format!("{} bytes are recorded, the messages have {bytes}", row.bytes));
    }
}

fn check_entries(
    row: &Folder,
    dir: &Path,
    rows: &BTreeMap<Uid, Message>,
    add: &mut dyn FnMut(&'static str, Option<Uid>, String),
) {
    let used = rows.values().any(|message| message.entry.offset != 0);
    if used && !index_file::is_of(dir, row.idx_generation, row.mailbox_id) {
        add("I4", None, "its store.idx is missing, or not the one of this mailbox".into());
    } else if row.checkpoint.begin != 0 && !super::index_scan::has_checkpoint(dir, row.checkpoint.begin) {
        add("I4", None, "its checkpoint block in store.idx is missing or damaged".into());
    }
    let mut index = IndexReader::open(dir, row.idx_generation);
    for message in rows.values().filter(|message| message.entry.offset != 0) {
        match index.cached(message) {
            None => add("I4", Some(message.uid), "its entry in store.idx is missing or damaged".into()),
            Some(entry) if !entry.has_its_keys() => {
                add("I4", Some(message.uid), "its entry in store.idx would be sorted in another place".into())
            }
            Some(_) => {}
        }
    }
}

/// The files in the `nn` directories of a folder, with the uid that each place belongs to; `None` for what is no message file.
pub(super) fn message_files(dir: &Path) -> Result<Vec<(Option<Uid>, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(found);
    };
    for nn in entries.filter_map(Result::ok) {
        let name = nn.file_name().to_string_lossy().into_owned();
        if name.len() != 2 || !name.bytes().all(|c| c.is_ascii_digit()) {
            continue;
        }
        let files = fs::read_dir(nn.path()).map_err(|error| StoreError::io("read", &nn.path(), error))?;
        for file in files.filter_map(Result::ok) {
            let number =
                file.file_name().to_string_lossy().strip_suffix(".msg").and_then(|number| number.parse::<Uid>().ok());
            let uid = number.filter(|uid| layout::message_file(*uid) == Path::new(&name).join(file.file_name()));
            found.push((uid, file.path()));
        }
    }
    Ok(found)
}
