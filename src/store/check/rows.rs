//! The rows of an account among themselves: the tree of its mailboxes, what is remembered as expunged, its keywords.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::codec::{self, Malformed, Reader};
use super::super::error::StoreError;
use super::super::ids::{FolderId, Modseq, Uid};
use super::super::lmdb::Rows;
use super::super::name::{FolderPath, LEVELS};
use super::super::reader;
use super::super::record::{Account, DomainUsage, Folder, Gone, Message, Meta, decode_runs};
use super::super::redo;
use super::super::schema::{self, CHUNK, SHARD, kind};
use super::super::view::View;
use super::{Finding, Store, finding, unreadable};

/// What one look at all rows of an account gives.
#[derive(Default)]
pub(super) struct Looked {
    owner: Account,
    /// The mailboxes whose rows can be read.
    folders: BTreeMap<FolderId, Folder>,
    /// The names that lead to a mailbox: the one above and the component.
    names: BTreeMap<FolderId, Vec<(FolderId, String)>>,
    keywords: BTreeSet<u8>,
    /// Keywords that messages have, with their mailboxes.
    used: BTreeSet<(u32, FolderId)>,
    /// The UIDs that exist.
    uids: BTreeMap<FolderId, Vec<(Uid, Uid)>>,
    expunged: Vec<(FolderId, Modseq, Uid, Uid)>,
    gone: Vec<(FolderId, Uid)>,
    /// Mailboxes that have rows of messages, of whatever kind.
    holding: BTreeSet<FolderId>,
    /// Rows that cannot be read: their mailbox (or none) and what is wrong.
    damaged: Vec<(FolderId, StoreError)>,
}

impl Looked {
    /// Reads all rows of the account of the view.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub(super) fn at(view: &View<'_>, owner: &Account) -> Result<Looked, StoreError> {
        let mut looked = Looked { owner: owner.clone(), ..Looked::default() };
        let id = view.account;
        view.read.scan(&schema::key(id, 0, FolderId::TOP, &[]), &mut |key, stored| {
            if key.get(..8) != Some(&id.0.to_be_bytes()) {
                return Ok(ControlFlow::Break(()));
            }
            let read = codec::open(key, stored)
                .and_then(|value| looked.take(key, value).map_err(|Malformed| codec::damaged(key)));
            if let Err(error) = read {
                looked.damaged.push((schema::folder_of(key), error));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(looked)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let (folder, rest) = (schema::folder_of(key), schema::rest(key));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed);
        let uid = schema::tail_u32(rest).unwrap_or(0);
        let kind = key.get(8).copied().unwrap_or(0);
        if (kind::MESSAGE..=kind::GONE).contains(&kind) {
            self.holding.insert(folder);
        }
        match kind {
            // It was read before.
            kind::ACCOUNT => {}
            kind::KEYWORD => {
                self.keywords.extend(rest.first());
                text(value)?;
            }
            kind::SUBSCRIPTION => drop(text(rest)?),
            kind::LOCK => {
                Reader::new(value, 1)?;
            }
            kind::NAME => {
                let id = FolderId(u32::from_le_bytes(value.try_into().map_err(|_| Malformed)?));
                self.names.entry(id).or_default().push((folder, text(rest)?));
            }
            kind::FOLDER => drop(self.folders.insert(folder, Folder::decode(folder, value)?)),
            kind::MESSAGE => {
                Message::decode(uid, value)?;
            }
            kind::STATE => {
                let base = uid.saturating_mul(CHUNK);
                for run in decode_runs(base, base.saturating_add(CHUNK - 1), value)? {
                    let ranges = self.uids.entry(folder).or_default();
                    match ranges.last_mut() {
                        Some(last) if last.1.checked_add(1) == Some(run.first) => last.1 = run.last(),
                        _ => ranges.push((run.first, run.last())),
                    }
                    for bit in run.keywords.bits() {
                        self.used.insert((u32::try_from(bit).unwrap_or(u32::MAX), folder));
                    }
                }
            }
            kind::EXPUNGED => {
                let modseq = rest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                let last = u32::from_le_bytes(value.try_into().map_err(|_| Malformed)?);
                self.expunged.push((folder, modseq, uid, last));
            }
            kind::GONE => {
                Gone::decode(uid, value)?;
                self.gone.push((folder, uid));
            }
            kind::READER if rest.len() == 8 => {
                reader::decode(value).ok_or(Malformed)?;
            }
            kind::DELIVERED if rest.len() == 16 => {
                Reader::new(value, 1)?.i64()?;
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// Bytes and number of the messages of all mailboxes; `None` where a row cannot be read.
    pub(super) fn usage(&self) -> Option<(u64, u64)> {
        let add = |(bytes, messages): (u64, u64), row: &Folder| {
            (bytes.saturating_add(row.bytes), messages.saturating_add(u64::from(row.exists)))
        };
        self.damaged.is_empty().then(|| self.folders.values().fold((0, 0), add))
    }

    /// The path of a mailbox, by the names; `None`: they do not lead to it.
    fn path(&self, id: FolderId) -> Option<FolderPath> {
        let mut parts = Vec::new();
        let mut at = id;
        while at != FolderId::TOP {
            let (above, component) = self.names.get(&at)?.first()?;
            parts.push(component.clone());
            at = *above;
            if parts.len() > LEVELS {
                return None;
            }
        }
        parts.reverse();
        Some(FolderPath::from_components(parts))
    }

    fn place(&self, id: FolderId) -> String {
        let userid = &self.owner.userid;
        match self.path(id) {
            Some(path) if id != FolderId::TOP => format!("user/{userid}/{path}"),
            None => format!("user/{userid}, mailbox number {}", id.0),
            Some(_) => format!("user/{userid}"),
        }
    }

    /// The mailboxes that can be looked at, by their paths: also where some of the tree cannot be walked.
    pub(super) fn reachable(&self) -> Vec<(FolderPath, Folder)> {
        let mut found: Vec<_> =
            self.folders.values().filter_map(|row| Some((self.path(row.id)?, row.clone()))).collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }

    /// What does not hold, in the whole account or in a mailbox and those below it.
    pub(super) fn findings(&self, only: Option<&FolderPath>) -> Vec<Finding> {
        let wanted = |folder: FolderId| {
            let path = self.path(folder).filter(|_| folder != FolderId::TOP);
            only.is_none_or(|only| path.is_some_and(|path| path.starts_with(only)))
        };
        let damaged = self.damaged.iter().filter(|(folder, _)| wanted(*folder));
        let mut findings: Vec<Finding> =
            damaged.map(|(folder, error)| unreadable(self.place(*folder), error)).collect();
        let mut add = |invariant, folder, uid, what: String| {
            if wanted(folder) {
                findings.push(Finding { uid, ..finding(invariant, self.place(folder), what) });
            }
        };
        self.check_tree(&mut add);
        self.check_expunged(&mut add);
        let there = |bit: u32| u8::try_from(bit).is_ok_and(|number| self.keywords.contains(&number));
        for (bit, folder) in self.used.iter().filter(|(bit, _)| !there(*bit)) {
            add("I16", *folder, None, format!("messages have keyword number {bit}, which has no name"));
        }
        if self.keywords.iter().zip(0..).any(|(number, expected)| *number != expected) {
            add("I16", FolderId::TOP, None, "keywords are not numbered one after the other".into());
        }
        findings
    }

    fn check_tree(&self, add: &mut dyn FnMut(&'static str, FolderId, Option<Uid>, String)) {
        // Of a mailbox whose row is damaged that is told already.
        let unread: BTreeSet<FolderId> = self.damaged.iter().map(|(folder, _)| *folder).collect();
        for (id, names) in &self.names {
            let row = self.folders.get(id);
            for (above, component) in names {
                match row {
                    None if unread.contains(id) => {}
                    None => add("I14", *id, None, format!("the name {component} leads to no mailbox")),
                    Some(row) if row.parent != *above || row.component != *component => {
                        let what = format!("the name {component} leads to a mailbox that is called {}", row.component);
                        add("I14", *id, None, what);
                    }
                    Some(_) => {}
                }
            }
        }
        let mut mailbox_ids = BTreeSet::new();
        for (id, row) in &self.folders {
            if !self.names.contains_key(id) {
                if !unread.contains(&row.parent) {
                    add("I14", *id, None, format!("no name leads to the mailbox {}", row.component));
                }
            } else if self.path(*id).is_none() {
                add("I14", *id, None, "it lies below a mailbox that is not there, or below itself".into());
            }
            if id.0 > self.owner.last_folder {
                let what = format!("its number is above the last one of the account, {}", self.owner.last_folder);
                add("I14", *id, None, what);
            }
            if !mailbox_ids.insert(row.mailbox_id) {
                add("I14", *id, None, "another mailbox has the same mailbox id".into());
            }
            if row.uidvalidity == 0 {
                add("I14", *id, None, "it has no UIDVALIDITY".into());
            }
            if row.noselect && self.holding.contains(id) {
                add("I14", *id, None, "it is a name without a mailbox, and has messages".into());
            }
        }
        if !self.folders.contains_key(&FolderId::INBOX) && !unread.contains(&FolderId::INBOX) {
            add("I14", FolderId::TOP, None, "there is no INBOX".into());
        }
        for id in self.holding.iter().filter(|id| !self.folders.contains_key(id) && !unread.contains(id)) {
            add("I14", *id, None, "there are messages of a mailbox that does not exist".into());
        }
    }

    fn check_expunged(&self, add: &mut dyn FnMut(&'static str, FolderId, Option<Uid>, String)) {
        let exists = |folder: &FolderId, first: Uid, last: Uid| {
            let ranges = self.uids.get(folder).map(Vec::as_slice).unwrap_or_default();
            ranges.get(ranges.partition_point(|range| range.1 < first)).is_some_and(|range| range.0 <= last)
        };
        for (folder, modseq, first, last) in &self.expunged {
            let Some(row) = self.folders.get(folder) else { continue };
            if first > last || *last >= row.uidnext {
                let what = format!("{first} to {last} are remembered as expunged; uidnext is {}", row.uidnext);
                add("I15", *folder, Some(*first), what);
            } else if exists(folder, *first, *last) {
                add(
                    "I15",
                    *folder,
                    Some(*first),
                    format!("{first} to {last} are remembered as expunged, and some exist"),
                );
            }
            if *modseq > row.highest_modseq {
                let what = format!("it was expunged at modseq {modseq}, above the folder's {}", row.highest_modseq);
                add("I7", *folder, Some(*first), what);
            }
        }
        for (folder, uid) in &self.gone {
            let Some(row) = self.folders.get(folder) else { continue };
            if exists(folder, *uid, *uid) {
                add("I15", *folder, Some(*uid), "it exists, and waits for purge".into());
            } else if *uid >= row.uidnext {
                add("I15", *folder, Some(*uid), format!("it waits for purge; uidnext is {}", row.uidnext));
            }
        }
    }
}

/// The rows of the shards themselves (links to be made durable, usage of domains) that cannot be read; those of
/// operations under way are found with these.
///
/// # Errors
/// The mailbox database cannot be read.
pub(super) fn of_shards(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for shard in &store.inner.shards {
        shard.env()?.read()?.scan(&schema::key(SHARD, 0, FolderId::TOP, &[]), &mut |key, stored| {
            if key.get(..8) != Some(&SHARD.0.to_be_bytes()) {
                return Ok(ControlFlow::Break(()));
            }
            let read = codec::open(key, stored)
                .and_then(|value| of_shard(key, value).map_err(|Malformed| codec::damaged(key)));
            if let Err(error) = read
                && !schema::within_kind(key, SHARD, kind::INTENT)
            {
                findings.push(unreadable("a shard".into(), &error));
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(findings)
}

/// True if the row can be read, whichever kind it is.
pub(super) fn readable(key: &[u8], stored: &[u8]) -> Result<(), StoreError> {
    let value = codec::open(key, stored)?;
    let read = if key.get(..8) == Some(&SHARD.0.to_be_bytes()) {
        of_shard(key, value)
    } else if key.get(8) == Some(&kind::ACCOUNT) {
        Account::decode(value).map(drop)
    } else {
        Looked::default().take(key, value)
    };
    read.map_err(|Malformed| codec::damaged(key))
}

fn of_shard(key: &[u8], value: &[u8]) -> Result<(), Malformed> {
    match key.get(8).copied() {
        Some(kind::REDO) => redo::read_redo(key, value).map(|_| ()).ok_or(Malformed),
        Some(kind::META) => Meta::decode(value).map(|_| ()),
        Some(kind::LOOKUP) => match std::str::from_utf8(value) {
            Ok(_) if schema::lookup_place(key).is_some() => Ok(()),
            _ => Err(Malformed),
        },
        Some(kind::DOMAIN) => DomainUsage::decode(value).map(|_| ()),
        _ => Ok(()),
    }
}
