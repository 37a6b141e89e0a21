//! The rows of an account: its own, the tree of its mailboxes, keywords, subscriptions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::codec;
use super::super::error::{Kind, StoreError};
use super::super::folder::inherited_acl;
use super::super::ids::{AccountId, FolderId, MailboxId, Modseq, Uid};
use super::super::index_file;
use super::super::lmdb::Rows;
use super::super::name::FolderPath;
use super::super::record::{Account, Acl, AclEntry, Folder, Message, Rights, decode_runs};
use super::super::schema::{self, CHUNK, kind};
use super::super::special_use::SpecialUse;
use super::super::{Store, Tx, layout, random, rows};
use super::survey::MODSEQ_MAX;
use super::{Mended, left, mended};

/// The rows of an account that its tree is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tree {
    /// `None`: the row cannot be read.
    folders: BTreeMap<FolderId, Option<Folder>>,
    /// (above, component) -> the mailbox; `None`: the row cannot be read.
    names: BTreeMap<(FolderId, String), Option<FolderId>>,
    keywords: BTreeMap<u8, Option<String>>,
    used_keywords: u128,
    /// Subscriptions and locks that cannot be read.
    subscriptions: Vec<Vec<u8>>,
    locks: Vec<Vec<u8>>,
    /// Mailboxes that have rows of messages, with the highest UID.
    holding: BTreeMap<FolderId, Uid>,
    /// Generations that message rows of a mailbox name.
    generations: BTreeMap<FolderId, u32>,
    highest_modseq: Modseq,
    bytes: u64,
    messages: u64,
}

impl Tree {
    fn take<R: Rows + ?Sized>(read: &R, account: AccountId) -> Result<Tree, StoreError> {
        let mut tree = Tree::default();
        read.scan(&schema::key(account, 0, FolderId::TOP, &[]), &mut |key, stored| {
            if key.get(..8) != Some(&account.0.to_be_bytes()) {
                return Ok(ControlFlow::Break(()));
            }
            tree.add(key, codec::open(key, stored).ok());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tree)
    }

    fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let (folder, rest) = (schema::folder_of(key), schema::rest(key));
        let number = schema::tail_u32(rest).unwrap_or(0);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        match key.get(8).copied().unwrap_or(0) {
            kind::KEYWORD => {
                if let Some(bit) = rest.first() {
                    self.keywords.insert(*bit, value.and_then(text));
                }
            }
            kind::SUBSCRIPTION if value.is_none() => self.subscriptions.push(key.to_vec()),
            kind::LOCK if value.is_none() => self.locks.push(key.to_vec()),
            kind::NAME => {
                let id = value.and_then(|value| value.try_into().ok()).map(|id| FolderId(u32::from_le_bytes(id)));
                if let Some(component) = text(rest) {
                    self.names.insert((folder, component), id);
                }
            }
            kind::FOLDER => {
                let row = value.and_then(|value| Folder::decode(folder, value).ok());
                self.see(row.as_ref().map_or(0, |row| row.highest_modseq));
                self.folders.insert(folder, row);
            }
            kind::MESSAGE => {
                self.hold(folder, number);
                if let Some(row) = value.and_then(|value| Message::decode(number, value).ok()) {
                    let generation = self.generations.entry(folder).or_default();
                    *generation = row.entry.generation.max(*generation);
                    self.bytes = self.bytes.saturating_add(row.size);
                    self.messages += 1;
                }
            }
            kind::STATE => {
                let base = number.saturating_mul(CHUNK);
                let runs = value.and_then(|value| decode_runs(base, base.saturating_add(CHUNK - 1), value).ok());
                for run in runs.unwrap_or_default() {
                    self.used_keywords |= run.keywords.0;
                    self.see(run.modseq);
                    self.hold(folder, run.last());
                }
            }
            kind::EXPUNGED => self.see(rest.first_chunk().map_or(0, |at| Modseq::from_be_bytes(*at))),
            kind::GONE => self.hold(folder, number),
            _ => {}
        }
    }

    fn see(&mut self, modseq: Modseq) {
        if modseq <= MODSEQ_MAX {
            self.highest_modseq = self.highest_modseq.max(modseq);
        }
    }

    fn hold(&mut self, folder: FolderId, uid: Uid) {
        let highest = self.holding.entry(folder).or_default();
        *highest = uid.max(*highest);
    }

    /// The place in the tree that the names give a mailbox.
    fn named(&self, id: FolderId) -> Option<(FolderId, String)> {
        self.names.iter().find(|(_, to)| **to == Some(id)).map(|(place, _)| place.clone())
    }

    /// The path of a mailbox, by its own row and, where that is lost, by the names.
    fn path(&self, id: FolderId) -> Option<FolderPath> {
        let (mut parts, mut at) = (Vec::new(), id);
        while at != FolderId::TOP {
            let (above, component) = match self.folders.get(&at) {
                Some(Some(row)) => (row.parent, row.component.clone()),
                _ => self.named(at)?,
            };
            parts.push(component);
            at = above;
            if parts.len() > super::super::name::LEVELS {
                return None;
            }
        }
        parts.reverse();
        Some(FolderPath::from_components(parts))
    }
}

impl Store {
    /// Makes the row of an account again that cannot be read.
    pub(super) fn repair_account_row(&self, account: AccountId, now_s: i64) -> Result<Vec<Mended>, StoreError> {
        match self.view(account)?.account() {
            Err(error) if error.kind() == Kind::Corrupt => {}
            other => return other.map(|_| Vec::new()),
        }
        let Some(userid) = self.name_in_map(account)? else {
            let what = "its row cannot be read, and nothing tells whose it is";
            return Ok(vec![left(&format!("account {account}"), None, what)]);
        };
        let inside = layout::account_directory(&userid);
        let lies = |nickname: &String| self.inner.partition(nickname).is_ok_and(|root| root.join(&inside).is_dir());
        let partition =
            self.inner.partitions().into_iter().find(lies).unwrap_or_else(|| self.inner.default_partition());
        self.change(account, |tx| {
            let tree = Tree::take(tx.txn, account)?;
            let inbox = tree.folders.get(&FolderId::INBOX).cloned().flatten();
            let row = Account {
                userid: userid.clone(),
                partition: inbox.as_ref().map_or_else(|| partition.clone(), |row| row.partition.clone()),
                created_s: inbox.map_or(now_s, |row| row.created_s),
                usage_bytes: tree.bytes,
                usage_messages: tree.messages,
                highest_modseq: tree.highest_modseq,
                last_folder: tree.folders.keys().chain(tree.holding.keys()).map(|id| id.0).max().unwrap_or(0),
                ..Account::default()
            };
            rows::put_account(tx.txn, account, &row)
        })?;
        // The damaged row was in no sum of its domain.
        self.count_domains(true)?;
        let what =
            "its row was lost, it is made again; limits come back with iminitquota, the times of its last use do not";
        Ok(vec![mended(&format!("user/{userid}"), None, what)])
    }

    /// Sets the rows of an account right among themselves: names, mailboxes, keywords, subscriptions, locks.
    pub(super) fn repair_tree(&self, account: AccountId, now_s: i64) -> Result<Vec<Mended>, StoreError> {
        let view = self.view(account)?;
        let owner = view.account()?;
        let tree = Tree::take(view.rows(), account)?;
        drop(view);
        if !Work::new(owner, tree).looks_damaged() {
            return Ok(Vec::new());
        }
        self.change(account, |tx| {
            let owner = rows::need_account(tx.txn, account)?;
            let tree = Tree::take(tx.txn, account)?;
            let mut work = Work::new(owner, tree);
            tx.mend_tree(account, &mut work, now_s)?;
            crate::crash_point!("repair.after-tree");
            Ok(work.told)
        })
    }
}

/// A tree that is being set right.
struct Work {
    owner: Account,
    tree: Tree,
    told: Vec<Mended>,
}

impl Work {
    fn new(owner: Account, tree: Tree) -> Work {
        Work { owner, tree, told: Vec::new() }
    }

    fn place(&self, id: FolderId) -> String {
        match self.tree.path(id) {
            Some(path) if id != FolderId::TOP => format!("user/{}/{path}", self.owner.userid),
            None => format!("user/{}, mailbox number {}", self.owner.userid, id.0),
            Some(_) => format!("user/{}", self.owner.userid),
        }
    }

    fn tell(&mut self, id: FolderId, what: impl Into<String>) {
        let place = self.place(id);
        self.told.push(mended(&place, None, what));
    }

    /// Mailboxes that have a name or messages and no row that can be read.
    fn lost(&self) -> BTreeSet<FolderId> {
        let known = |id: &FolderId| self.tree.folders.get(id).is_some_and(Option::is_some);
        let named = self.tree.names.values().flatten();
        let all = named.chain(self.tree.folders.keys()).chain(self.tree.holding.keys()).chain([&FolderId::INBOX]);
        all.filter(|id| **id != FolderId::TOP && !known(id)).copied().collect()
    }

    /// A name that cannot be read, and the one mailbox that has none and no row, belong together.
    fn pair_names(&mut self) {
        let nameless: Vec<FolderId> =
            self.lost().into_iter().filter(|id| *id != FolderId::INBOX && self.tree.named(*id).is_none()).collect();
        let taken = |(above, component): &(FolderId, String)| {
            let mut rows = self.tree.folders.values().flatten();
            rows.any(|row| row.parent == *above && row.component == *component)
        };
        let unread = self.tree.names.iter().filter(|(place, id)| id.is_none() && !taken(place));
        let unread: Vec<(FolderId, String)> = unread.map(|(place, _)| place.clone()).collect();
        if let ([id], [place]) = (&nameless[..], &unread[..]) {
            self.tree.names.insert(place.clone(), Some(*id));
        }
    }

    fn looks_damaged(&self) -> bool {
        let tree = &self.tree;
        let rows = || tree.folders.values().flatten();
        let distinct = rows().map(|row| row.mailbox_id).collect::<BTreeSet<_>>().len();
        let mut held = SpecialUse::default();
        let twice = rows().any(|row| {
            let twice = !row.special_use.and(held).is_empty();
            held = held.with(row.special_use);
            twice
        });
        let misnamed = || {
            tree.names.iter().any(|((above, component), id)| {
                id.and_then(|id| tree.folders.get(&id)?.as_ref())
                    .is_none_or(|row| row.parent != *above || row.component != *component)
            })
        };
        let numbered = tree.keywords.keys().copied().eq(0..u8::try_from(tree.keywords.len()).unwrap_or(u8::MAX));
        !self.lost().is_empty()
            || misnamed()
            || rows().any(|row| {
                tree.named(row.id).is_none()
                    || row.acl.fault().is_some()
                    || row.uidvalidity == 0
                    || row.id.0 > self.owner.last_folder
                    || row.highest_modseq > self.owner.highest_modseq
                    || (row.noselect && (tree.holding.contains_key(&row.id) || row.exists != 0 || row.bytes != 0))
            })
            || distinct != rows().count()
            || twice
            || !numbered
            || tree.keywords.values().any(Option::is_none)
            || tree.used_keywords & !mask(tree.keywords.len()) != 0
            || !tree.subscriptions.is_empty()
            || !tree.locks.is_empty()
            || self.owner.highest_modseq > MODSEQ_MAX
    }
}

/// The bits of the first keywords.
fn mask(count: usize) -> u128 {
    u32::try_from(count).ok().and_then(|count| 1u128.checked_shl(count)).map_or(u128::MAX, |bit| bit - 1)
}

impl Tx<'_, '_> {
    fn mend_tree(&mut self, account: AccountId, work: &mut Work, now_s: i64) -> Result<(), StoreError> {
        if work.owner.highest_modseq > MODSEQ_MAX || work.owner.highest_modseq < work.tree.highest_modseq {
            work.owner.highest_modseq = work.tree.highest_modseq;
            work.tell(FolderId::TOP, "its modification sequence is that of its mailboxes again");
        }
        let last = work.tree.folders.keys().chain(work.tree.holding.keys()).map(|id| id.0).max().unwrap_or(0);
        if last > work.owner.last_folder {
            work.owner.last_folder = last;
            work.tell(FolderId::TOP, "the number of its last mailbox is right again");
        }
        for key in work.tree.locks.clone() {
            self.txn.del(&key)?;
            work.tell(schema::folder_of(&key), "a lock that cannot be read is removed");
        }
        for key in work.tree.subscriptions.clone() {
            rows::put(self.txn, &key, vec![1])?;
            work.tell(FolderId::TOP, "a subscription is made readable again");
        }
        self.mend_keywords(account, work)?;
        work.pair_names();
        for id in work.lost() {
            self.make_row_again(account, work, id, now_s)?;
        }
        self.mend_names(account, work)?;
        self.mend_rows(account, work, now_s)?;
        rows::put_account(self.txn, account, &work.owner)
    }

    fn mend_keywords(&mut self, account: AccountId, work: &mut Work) -> Result<(), StoreError> {
        let used = usize::try_from(u128::BITS - work.tree.used_keywords.leading_zeros()).unwrap_or(0);
        let known = work.tree.keywords.keys().last().map_or(0, |last| usize::from(*last) + 1);
        for bit in 0..used.max(known) {
            let Ok(number) = u8::try_from(bit) else { break };
            if matches!(work.tree.keywords.get(&number), Some(Some(_))) {
                continue;
            }
            let name = format!("Recovered-{bit}");
            let key = schema::key(account, kind::KEYWORD, FolderId::TOP, &[number]);
            rows::put(self.txn, &key, name.clone().into_bytes())?;
            work.tell(FolderId::TOP, format!("the name of keyword number {bit} was lost, it is {name} now"));
            work.tree.keywords.insert(number, Some(name));
        }
        Ok(())
    }

    /// The row of a mailbox of which a name, a row that cannot be read, or messages are left.
    fn make_row_again(
        &mut self,
        account: AccountId,
        work: &mut Work,
        id: FolderId,
        now_s: i64,
    ) -> Result<(), StoreError> {
        let named = work.tree.named(id);
        let (parent, component) = match named {
            Some(place) => place,
            None if id == FolderId::INBOX => (FolderId::TOP, "INBOX".to_owned()),
            None => (FolderId::TOP, format!("Recovered-{}", id.0)),
        };
        work.tree.names.insert((parent, component.clone()), Some(id));
        rows::put(self.txn, &schema::name(account, parent, &component), id.0.to_le_bytes().to_vec())?;
        let path = work.tree.path(id);
        let inside = path.map(|path| layout::folder_directory(&work.owner.userid, &path));
        let partitions = self.store.partitions();
        let lies = |nickname: &&String| {
            let root = self.store.partition(nickname).ok();
            root.zip(inside.as_ref()).is_some_and(|(root, inside)| root.join(inside).is_dir())
        };
        let partition = partitions.iter().find(lies).unwrap_or(&work.owner.partition).clone();
        let dir = self.store.partition(&partition).ok().zip(inside).map(|(root, inside)| root.join(inside));
        let header = dir.as_ref().and_then(|dir| index_file::header_of(dir));
        let taken: Vec<MailboxId> = work.tree.folders.values().flatten().map(|row| row.mailbox_id).collect();
        let len = dir.and_then(|dir| std::fs::metadata(dir.join(index_file::NAME)).ok()).map_or(0, |meta| meta.len());
        let above = work.tree.folders.get(&parent).and_then(Option::as_ref);
        let row = Folder {
            id,
            parent,
            component,
            mailbox_id: match header.map(|(_, mailbox)| mailbox).filter(|mailbox| !taken.contains(mailbox)) {
                Some(mailbox) => mailbox,
                None => MailboxId(random()?),
            },
            partition,
            uidvalidity: self.next_uidvalidity(now_s)?,
            uidnext: work.tree.holding.get(&id).map_or(1, |uid| uid.saturating_add(1)),
            highest_modseq: Tx::next_modseq(&mut work.owner),
            recent_from: 1,
            created_s: now_s,
            idx_generation: header
                .map(|(generation, _)| generation)
                .into_iter()
                .chain(work.tree.generations.get(&id).copied())
                .max()
                .unwrap_or(1)
                .max(1),
            idx_len: len.max(index_file::HEADER),
            acl: inherited_acl(&work.owner, above),
            ..Folder::default()
        };
        self.changed(account, &row)?;
        work.tree.folders.insert(id, Some(row));
        let what = "its row was lost, it is made again: it has a new UIDVALIDITY, because the old one is not known, and the access control list of a new mailbox";
        work.tell(id, what);
        Ok(())
    }

    /// Every mailbox has one name, and every name its mailbox. The rows of the mailboxes decide.
    fn mend_names(&mut self, account: AccountId, work: &mut Work) -> Result<(), StoreError> {
        let wrong: Vec<(FolderId, String)> = work
            .tree
            .names
            .iter()
            .filter(|((above, component), id)| {
                id.and_then(|id| work.tree.folders.get(&id)?.as_ref())
                    .is_none_or(|row| row.parent != *above || row.component != *component)
            })
            .map(|(place, _)| place.clone())
            .collect();
        for (above, component) in wrong {
            self.txn.del(&schema::name(account, above, &component))?;
            work.tree.names.remove(&(above, component.clone()));
            work.tell(above, format!("the name {component} led to no mailbox of that name"));
        }
        let nameless: Vec<Folder> =
            work.tree.folders.values().flatten().filter(|row| work.tree.named(row.id).is_none()).cloned().collect();
        for row in nameless {
            let place = (row.parent, row.component.clone());
            if work.tree.names.contains_key(&place) {
                let what = format!("another mailbox has the name {}, too", row.component);
                let at = work.place(row.id);
                work.told.push(left(&at, None, what));
                continue;
            }
            let key = schema::name(account, row.parent, &row.component);
            rows::put(self.txn, &key, row.id.0.to_le_bytes().to_vec())?;
            work.tree.names.insert(place, Some(row.id));
            work.tell(row.id, "its name leads to it again");
        }
        Ok(())
    }

    /// What a row says that cannot be so.
    fn mend_rows(&mut self, account: AccountId, work: &mut Work, now_s: i64) -> Result<(), StoreError> {
        let mut held = SpecialUse::default();
        let mut ids = BTreeSet::new();
        for id in work.tree.folders.keys().copied().collect::<Vec<_>>() {
            let Some(Some(old)) = work.tree.folders.get(&id).cloned() else { continue };
            let mut row = old.clone();
            let mut told: Vec<String> = Vec::new();
            let twice = row.special_use.and(held);
            if !twice.is_empty() {
                row.special_use = row.special_use.without(twice);
                told.push(format!("{twice} belongs to another mailbox: it is taken away"));
            }
            held = held.with(row.special_use);
            if let Some(fault) = row.acl.fault() {
                row.acl = sound(&row.acl);
                told.push(format!("its access control list is set right: {fault}"));
            }
            if row.uidvalidity == 0 {
                row.uidvalidity = self.next_uidvalidity(now_s)?;
                told.push("it had no UIDVALIDITY: it has a new one".into());
            }
            if !ids.insert(row.mailbox_id) {
                row.mailbox_id = MailboxId(random()?);
                ids.insert(row.mailbox_id);
                told.push("another mailbox has its mailbox id: it has a new one".into());
            }
            if row.noselect && work.tree.holding.contains_key(&id) {
                row.noselect = false;
                told.push("it has messages: it is a mailbox again".into());
            } else if row.noselect && (row.exists, row.unseen, row.deleted, row.bytes) != (0, 0, 0, 0) {
                (row.exists, row.unseen, row.deleted, row.bytes) = (0, 0, 0, 0);
                told.push("a name without a mailbox counts no messages any more".into());
            }
            if row != old {
                row.highest_modseq = Tx::next_modseq(&mut work.owner);
                self.changed(account, &row)?;
                work.tree.folders.insert(id, Some(row));
                told.into_iter().for_each(|what| work.tell(id, what));
            }
        }
        Ok(())
    }
}

/// The list with one entry for an identifier, the rights of all its entries together, and without what cannot be.
fn sound(acl: &Acl) -> Acl {
    let mut entries: Vec<AclEntry> = Vec::new();
    for AclEntry { identifier, rights } in &acl.0 {
        let rights = Rights(rights.0 & Rights::ALL.0);
        match entries.iter_mut().find(|known| known.identifier.eq_ignore_ascii_case(identifier)) {
            Some(known) => known.rights = known.rights.with(rights),
            None => entries.push(AclEntry { identifier: identifier.clone(), rights }),
        }
    }
    entries.retain(|entry| Acl(vec![entry.clone()]).fault().is_none());
    Acl(entries)
}
