//! Writing a backup: the accounts that are meant, one folder after the other.
//!
//! A folder is a consistent moment: its row, its UIDs and its flags come from one snapshot. What does not change about a message is read afterwards, in
//! small steps; a message that is expunged meanwhile is in the archive all the same, as long as its file is there.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::member::{self, AccountState, FolderState, Header, Manifest, MessageState};
use super::select::{EVERYBODY, Groups, Object};
use super::tar::{Member, Writer};
use crate::store::{
    Account, AccountId, Folder, FolderId, FolderPath, Kind, Message, StateRun, Store, StoreError, Uid, View,
};

/// Messages whose rows are read with one snapshot.
const STEP: u32 = 256;
/// Most names in a list of the manifest.
const NAMED_MAX: usize = 100_000;

/// How a backup is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only messages that came into their folders from then on, seconds since 1970.
    pub since_s: Option<i64>,
    /// Every message in full, whatever other names its file has.
    pub ignore_links: bool,
    /// A file with fewer names is not remembered.
    pub least_names: u64,
}

/// Why a backup stopped.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Output(#[from] io::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What happens during a backup.
#[derive(Debug)]
pub enum Event<'e> {
    /// A folder is in the archive.
    Folder {
        /// Its mailbox.
        mailbox: &'e str,
        /// Its messages there.
        messages: u64,
        /// Their bytes, those of links left out.
        bytes: u64,
    },
    /// A message is in the archive.
    Message,
    /// Something could not be read and is not in the archive.
    Unreadable {
        /// What.
        what: &'e str,
        /// Why.
        why: &'e str,
    },
    /// A message was purged before its file was opened.
    Purged {
        /// What.
        what: &'e str,
    },
}

/// An account with the group by which it was chosen, and the objects that take it.
struct Chosen<'o> {
    id: AccountId,
    userid: String,
    group: String,
    objects: Vec<&'o Object>,
}

/// A backup that is being written.
pub struct Backup<'a, W> {
    store: &'a Store,
    options: &'a Options,
    out: Writer<W>,
    manifest: Manifest,
    /// The names of the members that have the files of several names, by device and inode.
    known: HashMap<(u64, u64), Box<str>>,
    tell: &'a mut dyn FnMut(Event<'_>),
}

/// Writes a backup of what `objects` mean. Returns the output, what the manifest says, and the objects that meant nothing.
///
/// # Errors
/// [`BackupError`]; what could not be read of single mailboxes is in the manifest.
pub fn backup<'a, W: Write>(
    store: &'a Store,
    groups: &Groups,
    objects: &[Object],
    options: &'a Options,
    header: &Header,
    out: Writer<W>,
    tell: &'a mut dyn FnMut(Event<'_>),
) -> Result<(W, Manifest), BackupError> {
    let mut backup = Backup { store, options, out, manifest: Manifest::default(), known: HashMap::new(), tell };
    backup.json(member::HEADER.to_owned(), header.time, "msgstore", header)?;
    for chosen in choose(store, groups, objects)? {
        match backup.account(&chosen, header.time) {
            Ok(()) => {}
            Err(BackupError::Store(error)) if error.kind() == Kind::NotFound => {}
            Err(BackupError::Store(error)) => backup.unreadable(&format!("user/{}", chosen.userid), &error.to_string()),
            Err(error) => return Err(error),
        }
    }
    backup.end(header.time)
}

/// The objects that mean no account.
///
/// # Errors
/// The accounts cannot be listed.
pub fn without_meaning<'o>(
    store: &Store,
    groups: &Groups,
    objects: &'o [Object],
) -> Result<Vec<&'o Object>, StoreError> {
    let chosen = choose(store, groups, objects)?;
    let used =
        |object: &&Object| chosen.iter().any(|one| one.objects.iter().any(|other| std::ptr::eq(*other, *object)));
    let everything = |object: &&Object| object.user.is_none() && object.group.is_none() && object.partition.is_none();
    Ok(objects.iter().filter(|object| !used(object) && !everything(object)).collect())
}

/// How many messages and bytes the objects mean.
///
/// # Errors
/// The accounts cannot be listed.
pub fn measure(store: &Store, groups: &Groups, objects: &[Object]) -> Result<u64, StoreError> {
    let usage = choose(store, groups, objects)?.into_iter().filter_map(|one| store.view(one.id).ok()?.account().ok());
    Ok(usage.map(|account| account.usage_messages).sum())
}

fn choose<'o>(store: &Store, groups: &Groups, objects: &'o [Object]) -> Result<Vec<Chosen<'o>>, StoreError> {
    let mut all = Vec::new();
    store.each_account(&mut |userid, found| {
        // One whose row cannot be read is met again, and told, when it is written.
        let partition = found.as_ref().map(|(_, row)| row.partition.clone()).unwrap_or_default();
        let taking: Vec<&Object> =
            objects.iter().filter(|one| one.takes_user(groups, &partition, None, userid)).collect();
        if let (Some(first), Ok((id, _))) = (taking.first(), &found) {
            let named = first.group.as_deref().filter(|name| !EVERYBODY.contains(name));
            let group = named.unwrap_or(EVERYBODY[0]).to_owned();
            all.push(Chosen { id: *id, userid: userid.to_owned(), group, objects: taking });
        }
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// A folder as it was at one moment.
struct Moment {
    path: FolderPath,
    row: Folder,
    runs: Vec<StateRun>,
    keywords: Vec<String>,
    state: FolderState,
}

impl<W: Write> Backup<'_, W> {
    fn unreadable(&mut self, what: &str, why: &str) {
        if self.manifest.unreadable.len() < NAMED_MAX {
            self.manifest.unreadable.push(what.to_owned());
        }
        (self.tell)(Event::Unreadable { what, why });
    }

    fn json(&mut self, name: String, mtime_s: i64, owner: &str, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
        text.push(b'\n');
        let size = text.len() as u64;
        self.out.member(&Member { name, mtime_s, owner: owner.to_owned(), size, ..Member::default() })?;
        self.out.data(&mut text.as_slice(), size).map(drop)
    }

    fn account(&mut self, chosen: &Chosen<'_>, time_s: i64) -> Result<(), BackupError> {
        let view = self.store.view(chosen.id)?;
        let (owner, subscriptions) = (view.account()?, view.subscriptions()?);
        let folders: Vec<FolderId> = view
            .folders()?
            .into_iter()
            .filter(|(path, _)| chosen.objects.iter().any(|object| object.takes_folder(path)))
            .map(|(_, row)| row.id)
            .collect();
        drop(view);
        let dir = member::account_dir(&owner.partition, &chosen.group, &owner.userid);
        let state = AccountState {
            user: owner.userid.clone(),
            partition: owner.partition.clone(),
            created: owner.created_s,
            quota_bytes: owner.quota_bytes,
            quota_messages: owner.quota_messages,
            subscriptions,
        };
        self.json(member::account_member(&dir), time_s, &owner.userid, &state)?;
        self.manifest.accounts += 1;
        for id in folders {
            match self.moment(chosen.id, id, &owner) {
                Ok(Some(moment)) => self.folder(chosen.id, &dir, &owner, &moment, time_s)?,
                // It was deleted meanwhile.
                Ok(None) => {}
                Err(error) => self.unreadable(&format!("user/{} (folder {})", owner.userid, id.0), &error.to_string()),
            }
        }
        Ok(())
    }

    fn moment(&self, account: AccountId, id: FolderId, owner: &Account) -> Result<Option<Moment>, StoreError> {
        let view = self.store.view(account)?;
        let Some(row) = view.folder(id)? else { return Ok(None) };
        let Some((path, _)) = view.folders()?.into_iter().find(|(_, other)| other.id == id) else { return Ok(None) };
        let mut runs = Vec::new();
        view.states(id, 1..=Uid::MAX, &mut |run| runs.push(run))?;
        let keywords = view.keywords()?;
        let mut messages = runs.iter().map(|run| u64::from(run.count)).sum();
        if let Some(since_s) = self.options.since_s {
            messages = 0;
            view.messages(id, 1..=Uid::MAX, &mut |message| {
                messages += u64::from(message.saved_s >= since_s);
                ControlFlow::Continue(())
            })?;
        }
        let state = FolderState::of(&owner.userid, &path, &row, owner, messages);
        Ok(Some(Moment { path, row, runs, keywords, state }))
    }

    fn folder(
        &mut self,
        account: AccountId,
        dir: &str,
        owner: &Account,
        moment: &Moment,
        time_s: i64,
    ) -> Result<(), BackupError> {
        let dir = member::folder_dir(dir, &owner.userid, &moment.path);
        self.json(member::folder_member(&dir), time_s, &owner.userid, &moment.state)?;
        self.manifest.folders += 1;
        let (before, mut bytes) = (self.manifest.messages, 0);
        let mut bodies = self.store.bodies(account, moment.row.id);
        for run in &moment.runs {
            let mut first = run.first;
            loop {
                let last = run.last().min(first.saturating_add(STEP - 1));
                let rows = messages(&self.store.view(account)?, moment.row.id, first, last)?;
                for uid in first..=last {
                    let what = format!("{} {uid}", moment.state.mailbox);
                    let Some(message) = rows.get(&uid) else {
                        self.purged(what);
                        continue;
                    };
                    if self.options.since_s.is_some_and(|since_s| message.saved_s < since_s) {
                        continue;
                    }
                    match bodies.open(uid) {
                        Ok(file) => bytes += self.message(&dir, owner, moment, run, message, file)?,
                        Err(error) if error.kind() == Kind::Expunged => self.purged(what),
                        Err(error) => self.unreadable(&what, &error.to_string()),
                    }
                }
                if last == run.last() {
                    break;
                }
                first = last + 1;
            }
        }
        let messages = self.manifest.messages - before;
        (self.tell)(Event::Folder { mailbox: &moment.state.mailbox, messages, bytes });
        Ok(())
    }

    fn purged(&mut self, what: String) {
        (self.tell)(Event::Purged { what: &what });
        if self.manifest.purged.len() < NAMED_MAX {
            self.manifest.purged.push(what);
        }
    }

    /// Writes a message; returns the bytes of its data.
    fn message(
        &mut self,
        dir: &str,
        owner: &Account,
        moment: &Moment,
        run: &StateRun,
        message: &Message,
        mut file: std::fs::File,
    ) -> io::Result<u64> {
        let what = || format!("{} {}", moment.state.mailbox, message.uid);
        let meta = match file.metadata() {
            Ok(meta) => meta,
            Err(error) => {
                self.unreadable(&what(), &error.to_string());
                return Ok(0);
            }
        };
        let name = member::message_member(dir, message.uid);
        let keywords = run.keywords.bits().filter_map(|bit| moment.keywords.get(bit).cloned()).collect();
        let shared = !self.options.ignore_links && meta.nlink() >= self.options.least_names.max(2);
        let names = if shared { meta.nlink() } else { 1 };
        let state = MessageState::of(message, run.flags, keywords, run.modseq, names);
        let inode = (meta.dev(), meta.ino());
        self.manifest.messages += 1;
        (self.tell)(Event::Message);
        if let Some(first) = self.known.get(&inode).filter(|_| shared) {
            self.manifest.links += 1;
            self.out.member(&state.member(name, &owner.userid, 0, Some(first.to_string())))?;
            return Ok(0);
        }
        if shared {
            self.known.insert(inode, name.clone().into());
        }
        self.out.member(&state.member(name, &owner.userid, meta.len(), None))?;
        let came = self.out.data(&mut Read::by_ref(&mut file), meta.len())?;
        if came < meta.len() {
            self.unreadable(&what(), &format!("only {came} of {} bytes could be read", meta.len()));
        }
        Ok(meta.len())
    }

    fn end(mut self, time_s: i64) -> Result<(W, Manifest), BackupError> {
        self.manifest.blake3 = self.out.digest();
        self.manifest.bytes = self.out.written();
        let manifest = std::mem::take(&mut self.manifest);
        self.json(member::MANIFEST.to_owned(), time_s, "msgstore", &manifest)?;
        Ok((self.out.finish()?, manifest))
    }
}

/// The rows of messages, also of those that were expunged since and wait for purge.
fn messages(view: &View<'_>, folder: FolderId, first: Uid, last: Uid) -> Result<HashMap<Uid, Message>, StoreError> {
    let mut rows = HashMap::new();
    view.messages(folder, first..=last, &mut |message| {
        rows.insert(message.uid, message);
        ControlFlow::Continue(())
    })?;
    if rows.len() < (last - first) as usize + 1 {
        view.gone(folder, &mut |gone| {
            if (first..=last).contains(&gone.message.uid) {
                rows.insert(gone.message.uid, gone.message);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(rows)
}
