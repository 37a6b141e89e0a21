//! What each process or thread does: operations by chance, or reading with a critical eye.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use msgstore::store::{
    AccountId, Delivery, FlagChange, FlagOp, Flags, Folder, FolderId, FolderPath, Kind, Links, Message, NewMessage,
    Staged, Store, StoreError, Uid, UidSet,
};

use crate::crash::child::{NOW, content, item, marker_of, path, say, stage};

/// Chance from a seed: xorshift.
struct Chance(u64);

impl Chance {
    /// Another sequence for each worker and seed.
    fn new(number: u64) -> Chance {
        let mut chance = Chance(super::seed() ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Neighbouring seeds begin alike.
        for _ in 0..8 {
            chance.below(1);
        }
        chance
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end.max(1)
    }

    fn of<'v, T>(&mut self, many: &'v [T]) -> &'v T {
        &many[self.below(many.len())]
    }
}

/// Whose mail is worked on: one of these by chance.
pub type Users = &'static [&'static str];

/// Messages in a folder whose last name begins so may vanish with it; no other folder is ever deleted.
fn is_passing(path: &FolderPath) -> bool {
    path.last().starts_with("Tmp")
}

struct Place {
    account: AccountId,
    path: FolderPath,
    row: Folder,
}

struct Writer<'s> {
    store: &'s Store,
    users: Users,
    chance: Chance,
    next: u64,
}

/// Messages that a writer tries to add at least, and views that a reader takes at least, however long that is.
const LEAST: u64 = 12;

/// Writes until the time is over.
pub fn write(store: &Store, number: u64, until: Instant, users: Users) {
    let first = (number + 1) * 10_000_000;
    let mut writer = Writer { store, users, chance: Chance::new(number), next: first };
    while Instant::now() < until || writer.next < first + LEAST {
        let (what, done) = writer.step();
        match done {
            Ok(()) => say(&format!("OP\t{what}")),
            Err(error) => match error.kind() {
                // Somebody else was there first.
                Kind::NotFound | Kind::Exists | Kind::Expunged | Kind::Invalid => {}
                _ => say(&format!("BAD\t{what}: {error}")),
            },
        }
    }
}

impl Writer<'_> {
    fn account(&mut self) -> Result<AccountId, StoreError> {
        let user = *self.chance.of(self.users);
        Ok(self.store.account_id(user)?.unwrap())
    }

    fn place(&mut self) -> Result<Place, StoreError> {
        let account = self.account()?;
        let mut folders = self.store.view(account)?.folders()?;
        folders.retain(|(_, row)| !row.noselect);
        let (path, row) = folders.swap_remove(self.chance.below(folders.len()));
        Ok(Place { account, path, row })
    }

    fn uids(&mut self, place: &Place, most: usize) -> Result<UidSet, StoreError> {
        let mut uids: Vec<Uid> = Vec::new();
        let view = self.store.view(place.account)?;
        view.states(place.row.id, 0..=Uid::MAX, &mut |run| uids.extend(run.first..=run.last()))?;
        let count = 1 + self.chance.below(most);
        Ok((0..count).filter(|_| !uids.is_empty()).map(|_| *self.chance.of(&uids)).collect())
    }

    /// The markers of messages that are about to be taken away; those that cannot be read are left out of the set.
    fn marked(&self, place: &Place, uids: &UidSet) -> (UidSet, Vec<u64>) {
        let mut markers = Vec::new();
        let readable = uids.iter().filter(|uid| {
            let mut text = String::new();
            let read = self.store.open_body(place.account, place.row.id, *uid).ok();
            let marker = read.and_then(|mut file| file.read_to_string(&mut text).ok()).and_then(|_| marker_of(&text));
            markers.extend(marker);
            marker.is_some()
        });
        let readable = readable.collect();
        (readable, markers)
    }

    fn added(&mut self, place: &Place, markers: &[u64]) {
        for marker in markers {
            say(&format!("ADDED\t{marker}"));
            if is_passing(&place.path) {
                say(&format!("TAKEN\t{marker}"));
            }
        }
    }

    fn markers(&mut self, count: usize) -> Vec<u64> {
        let first = self.next;
        self.next += count as u64;
        (first..self.next).collect()
    }

    fn step(&mut self) -> (&'static str, Result<(), StoreError>) {
        match self.chance.below(100) {
            0..22 => ("append", self.append(1)),
            22..27 => ("append many", self.append(12)),
            27..36 => ("deliver", self.deliver()),
            36..54 => ("flags", self.flags()),
            54..62 => ("copy", self.copy(false)),
            62..70 => ("move", self.copy(true)),
            70..76 => ("remove", self.remove()),
            76..79 => ("expunge", self.expunge()),
            79..82 => ("purge", self.place().and_then(|at| self.store.purge(at.account, at.row.id, NOW + 1)).map(drop)),
            82..84 => {
                ("restore", self.place().and_then(|at| self.store.restore(at.account, at.row.id, 0, NOW)).map(drop))
            }
            84..89 => ("create", self.create()),
            89..95 => ("rename", self.rename()),
            95..97 => ("delete", self.delete()),
            97..98 => ("inbox", self.rename_inbox()),
            98..99 => ("partition", self.partition()),
            _ => ("subscribe", self.account().and_then(|joe| self.store.subscribe(joe, "A", true))),
        }
    }

    fn append(&mut self, most: usize) -> Result<(), StoreError> {
        let at = self.place()?;
        let count = 1 + self.chance.below(most);
        let markers = self.markers(count);
        let staged: Vec<Staged> = markers.iter().map(|marker| stage(self.store, *marker)).collect();
        let items: Vec<NewMessage<'_>> = staged.iter().map(item).collect();
        self.store.append(at.account, at.row.id, &items, NOW)?;
        self.added(&at, &markers);
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), StoreError> {
        let marker = self.markers(1);
        let staged = stage(self.store, marker[0]);
        let to: Vec<Delivery> = ["joe", "ann"]
            .iter()
            .filter(|user| self.users.contains(user))
            .map(|user| Delivery {
                account: self.store.account_id(user).unwrap().unwrap(),
                folder: FolderId::INBOX,
                ignore_quota: false,
                once_s: 0,
            })
            .collect();
        for done in self.store.deliver(&item(&staged), &to, NOW) {
            done?;
            say(&format!("ADDED\t{}", marker[0]));
        }
        Ok(())
    }

    fn flags(&mut self) -> Result<(), StoreError> {
        let at = self.place()?;
        let uids = self.uids(&at, 6)?;
        let flags = *self.chance.of(&[Flags::SEEN, Flags::DELETED, Flags::NONE, Flags::SEEN | Flags::DELETED]);
        let op = *self.chance.of(&[FlagOp::Add, FlagOp::Remove, FlagOp::Replace]);
        let keywords = vec![(*self.chance.of(&["$Junk", "work", "later"])).to_owned()];
        self.store.store_flags(at.account, at.row.id, &uids, &FlagChange { op, flags, keywords }, None).map(drop)
    }

    fn copy(&mut self, moving: bool) -> Result<(), StoreError> {
        let (from, to) = (self.place()?, self.place()?);
        let uids = self.uids(&from, 5)?;
        let (source, target) = ((from.account, from.row.id), (to.account, to.row.id));
        if !moving {
            return self.store.copy(source, &uids, target, NOW).map(drop);
        }
        let (uids, markers) = self.marked(&from, &uids);
        if is_passing(&to.path) {
            markers.iter().for_each(|marker| say(&format!("TAKEN\t{marker}")));
        }
        self.store.move_messages(source, &uids, target, NOW).map(drop)
    }

    fn remove(&mut self) -> Result<(), StoreError> {
        let at = self.place()?;
        let uids = self.uids(&at, 2)?;
        let (uids, markers) = self.marked(&at, &uids);
        self.store.remove(at.account, at.row.id, &uids, NOW)?;
        markers.iter().for_each(|marker| say(&format!("TAKEN\t{marker}")));
        Ok(())
    }

    fn expunge(&mut self) -> Result<(), StoreError> {
        let at = self.place()?;
        let uids = self.uids(&at, 4)?;
        let (uids, markers) = self.marked(&at, &uids);
        let by_uid: Vec<(Uid, u64)> = uids.iter().zip(markers).collect();
        let done = self.store.expunge(at.account, at.row.id, Some(&uids), NOW)?;
        for (_, marker) in by_uid.iter().filter(|(uid, _)| done.uids.contains(*uid)) {
            say(&format!("TAKEN\t{marker}"));
        }
        Ok(())
    }

    fn name(&mut self, passing: bool) -> FolderPath {
        let names: &[&str] = if passing {
            &["Tmp1", "Tmp2", "A/Tmp", "D/Tmp3"]
        } else {
            &["A", "B", "C", "C/Sub", "D", "D/E/F", "A/Sub"]
        };
        path(names[self.chance.below(names.len())])
    }

    fn create(&mut self) -> Result<(), StoreError> {
        let account = self.account()?;
        let passing = self.chance.below(2) == 0;
        let name = self.name(passing);
        self.store.folder_create(account, &name, &Default::default(), NOW).map(drop)
    }

    fn rename(&mut self) -> Result<(), StoreError> {
        let at = self.place()?;
        if at.path.is_inbox() {
            return Ok(());
        }
        let to = self.name(is_passing(&at.path));
        self.store.folder_rename(at.account, &at.path, &to, NOW)
    }

    fn delete(&mut self) -> Result<(), StoreError> {
        let at = self.place()?;
        if is_passing(&at.path) { self.store.folder_delete(at.account, &at.path, NOW) } else { Ok(()) }
    }

    fn rename_inbox(&mut self) -> Result<(), StoreError> {
        let account = self.account()?;
        let to = self.name(false);
        self.store.folder_rename(account, &FolderPath::inbox(), &to, NOW)
    }

    fn partition(&mut self) -> Result<(), StoreError> {
        let at = self.place()?;
        let folder = (self.chance.below(3) != 0).then_some(at.row.id);
        let to = *self.chance.of(&["primary", "second"]);
        self.store.move_partition(at.account, folder, to)
    }
}

/// Removes the files of all that was deleted.
fn purge_removed(store: &Store) -> Result<(), StoreError> {
    for (partition, _) in store.partitions() {
        for tree in store.removed(&partition, 0, &mut Links::default())? {
            store.purge_removed(&tree)?;
        }
    }
    Ok(())
}

/// What stored does all the time.
pub fn settle(store: &Store, until: Instant) {
    while Instant::now() < until {
        let done = store
            .settle()
            .and_then(|_| store.sweep_staging(std::time::SystemTime::now()))
            .and_then(|_| purge_removed(store))
            .and_then(|_| store.reap_readers())
            .and_then(|_| store.finish_intents());
        if let Err(error) = done {
            say(&format!("BAD\tsettle: {error}"));
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Reads until the time is over.
pub fn read(store: &Store, number: u64, until: Instant, users: Users) {
    let mut chance = Chance::new(number);
    let mut views = 0;
    while Instant::now() < until || views < LEAST {
        views += 1;
        let user = *chance.of(users);
        let account = store.account_id(user).unwrap().unwrap();
        match look(store, account, &mut chance) {
            Ok(None) => say("SEEN\t1"),
            Ok(Some(wrong)) => say(&format!("BAD\tuser/{user}: {wrong}")),
            Err(error) => say(&format!("BAD\treading user/{user}: {error}")),
        }
    }
}

/// One view, and some of the messages it names.
fn look(store: &Store, account: AccountId, chance: &mut Chance) -> Result<Option<String>, StoreError> {
    let view = store.view(account)?;
    let owner = view.account()?;
    let folders = view.folders()?;
    let (mut messages, mut bytes) = (0, 0);
    let mut some: Vec<(Folder, Message)> = Vec::new();
    for (path, row) in &folders {
        let (mut uids, mut unseen, mut deleted) = (Vec::new(), 0, 0);
        view.states(row.id, 0..=Uid::MAX, &mut |run| {
            uids.extend(run.first..=run.last());
            unseen += if run.flags.contains(Flags::SEEN) { 0 } else { run.count };
            deleted += if run.flags.contains(Flags::DELETED) { run.count } else { 0 };
        })?;
        let (mut named, mut size) = (Vec::new(), 0);
        view.messages(row.id, 0..=Uid::MAX, &mut |message| {
            named.push(message.uid);
            size += message.size;
            if chance.below(40) == 0 {
                some.push((row.clone(), message));
            }
            ControlFlow::Continue(())
        })?;
        let counted = (uids.len(), unseen, deleted, size);
        let stored = (row.exists as usize, row.unseen, row.deleted, row.bytes);
        if counted != stored {
            return Ok(Some(format!("{path} says {stored:?}, its messages {counted:?}")));
        }
        if uids != named || !uids.is_sorted_by(|a, b| a < b) || uids.last().is_some_and(|last| *last >= row.uidnext) {
            return Ok(Some(format!("{path}: states {uids:?}, rows {named:?}, uidnext {}", row.uidnext)));
        }
        if row.highest_modseq > owner.highest_modseq {
            return Ok(Some(format!("{path} is ahead of its account")));
        }
        if let Some(gone) = view.expunged_since(row.id, row.expunge_horizon)?
            && let Some(uid) = uids.iter().find(|uid| gone.contains(**uid))
        {
            return Ok(Some(format!("{path}: {uid} is there and expunged")));
        }
        messages += u64::from(row.exists);
        bytes += row.bytes;
    }
    if (messages, bytes) != (owner.usage_messages, owner.usage_bytes) {
        return Ok(Some(format!("usage {owner:?} but {messages} messages, {bytes} bytes")));
    }
    drop(view);
    some.truncate(6);
    for (row, message) in some {
        if let Some(wrong) = body(store, account, &row, &message)? {
            return Ok(Some(wrong));
        }
    }
    Ok(None)
}

/// One message's text and entry, or why they need not be there.
fn body(store: &Store, account: AccountId, row: &Folder, message: &Message) -> Result<Option<String>, StoreError> {
    let uid = message.uid;
    let still_there = || -> Result<bool, StoreError> {
        let view = store.view(account)?;
        Ok(view.folder(row.id)?.is_some() && view.message(row.id, uid)?.is_some())
    };
    let mut text = String::new();
    match store.open_body(account, row.id, uid) {
        Ok(mut file) => drop(file.read_to_string(&mut text).unwrap()),
        Err(_) if !still_there()? => return Ok(None),
        Err(error) => return Ok(Some(format!("message {uid} of folder {} cannot be read: {error}", row.id.0))),
    }
    let marker = marker_of(&text);
    if marker.is_none_or(|marker| content(marker) != text) || text.len() as u64 != message.size {
        return Ok(Some(format!("message {uid} of folder {} holds {text:?}", row.id.0)));
    }
    let entry = match store.index(account, row).and_then(|mut index| Ok(index.entry(message)?.0.into_owned())) {
        Ok(entry) => entry,
        Err(_) if !still_there()? => return Ok(None),
        Err(error) => return Ok(Some(format!("the entry of message {uid} cannot be read: {error}"))),
    };
    let subject = format!("number {}\"", marker.unwrap());
    let envelope = String::from_utf8_lossy(entry.envelope());
    Ok((!envelope.contains(&subject)).then(|| format!("message {uid} is {marker:?}, its entry says {envelope}")))
}
