//! What the store should hold: the parent's picture of it, the operations it asks for, and the comparison with what a fresh process finds.

use std::collections::BTreeMap;

/// A sequence of numbers that a seed fixes.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end.max(1)
    }

    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).unwrap())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Not known while nobody has told it.
    pub uid: Option<u32>,
    pub marker: u64,
    pub flags: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    pub partition: String,
    pub uidvalidity: Option<u32>,
    pub noselect: bool,
    /// Of one user in the access control list.
    pub rights: u16,
    /// The highest UID when everything was last known: newer ones are above.
    pub floor: u32,
    pub messages: Vec<Message>,
    /// Expunged, the file still there: marker and flags.
    pub gone: Vec<(u64, u8)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub users: BTreeMap<String, User>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub partition: String,
    pub folders: BTreeMap<String, Folder>,
}

/// A mailbox: user id and folder.
pub type Place = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Append {
        to: Place,
        markers: Vec<u64>,
    },
    /// `once`: a message that came already is dropped.
    Deliver {
        marker: u64,
        to: Vec<Place>,
        once: bool,
    },
    /// A quota warning.
    Warn {
        to: Place,
        marker: u64,
    },
    Copy {
        from: Place,
        markers: Vec<u64>,
        to: Place,
    },
    Move {
        from: Place,
        markers: Vec<u64>,
        to: Place,
    },
    PutBack {
        to: Place,
        markers: Vec<u64>,
    },
    Replace {
        from: Place,
        old: u64,
        to: Place,
        marker: u64,
    },
    Flag {
        place: Place,
        markers: Vec<u64>,
        flags: u8,
    },
    Acl {
        place: Place,
        rights: u16,
    },
    Expunge {
        place: Place,
        markers: Vec<u64>,
    },
    /// Of these, those with \\Seen.
    Expire {
        place: Place,
        markers: Vec<u64>,
    },
    Maildrop {
        place: Place,
        seen: Vec<u64>,
        deleted: Vec<u64>,
    },
    Restore {
        place: Place,
    },
    Purge {
        place: Place,
    },
    Create {
        place: Place,
    },
    Delete {
        place: Place,
    },
    Rename {
        from: Place,
        to: String,
    },
    InboxRename {
        user: String,
        to: String,
    },
    UserCreate {
        user: String,
    },
    UserRename {
        user: String,
        to: String,
    },
    UserDelete {
        user: String,
    },
    Partition {
        user: String,
        folder: Option<String>,
        to: String,
    },
    Settle,
}

pub const KINDS: [&str; 24] = [
    "append",
    "putback",
    "deliver",
    "once",
    "warn",
    "copy",
    "move",
    "replace",
    "flag",
    "acl",
    "expunge",
    "expire",
    "maildrop",
    "restore",
    "purge",
    "create",
    "delete",
    "rename",
    "inbox",
    "ucreate",
    "urename",
    "udelete",
    "partition",
    "settle",
];
/// The bit of \Seen.
const SEEN: u8 = 8;
const USERS: [&str; 4] = ["anna", "bert", "carl@example.com", "dora"];
const NAMES: [&str; 5] = ["Work", "Lists", "Old mail", "Work2", "Trash"];
const PARTITIONS: [&str; 2] = ["primary", "second"];

impl Model {
    pub fn folder(&self, place: &Place) -> Option<&Folder> {
        self.users.get(&place.0)?.folders.get(&place.1)
    }

    fn folder_mut(&mut self, place: &Place) -> &mut Folder {
        self.users.get_mut(&place.0).unwrap().folders.get_mut(&place.1).unwrap()
    }

    fn places(&self, keep: impl Fn(&str, &Folder) -> bool) -> Vec<Place> {
        let mut found = Vec::new();
        for (user, row) in &self.users {
            for (name, folder) in row.folders.iter().filter(|(name, folder)| keep(name, folder)) {
                let _ = folder;
                found.push((user.clone(), name.clone()));
            }
        }
        found
    }

    fn some(chance: &mut Chance, folder: &Folder) -> Vec<u64> {
        let mut markers: Vec<u64> = folder.messages.iter().map(|message| message.marker).collect();
        let drop = chance.below(markers.len() as u64);
        for _ in 0..drop.min(markers.len() as u64 - 1) {
            let at = chance.below(markers.len() as u64);
            markers.remove(usize::try_from(at).unwrap());
        }
        markers.sort_unstable();
        markers.dedup();
        markers
    }

    /// An operation of this kind that can succeed now; `None` when there is none.
    pub fn propose(&self, kind: &str, chance: &mut Chance, marker: &mut u64) -> Option<Op> {
        let open = self.places(|_, folder| !folder.noselect);
        let full = self.places(|_, folder| !folder.messages.is_empty());
        let mut fresh = || {
            *marker += 1;
            *marker
        };
        let users: Vec<&String> = self.users.keys().collect();
        let free_user = |chance: &mut Chance| {
            let free: Vec<&str> = USERS.into_iter().filter(|name| !self.users.contains_key(*name)).collect();
            chance.pick(&free).map(|name| (*name).to_owned())
        };
        Some(match kind {
            "append" | "putback" => {
                let to = chance.pick(&open)?.clone();
                let count = if chance.below(4) == 0 { 9 } else { 1 + chance.below(3) };
                let markers = (0..count).map(|_| fresh()).collect();
                if kind == "append" { Op::Append { to, markers } } else { Op::PutBack { to, markers } }
            }
            "deliver" | "once" => {
                let mut to: Vec<Place> = (0..1 + chance.below(3)).filter_map(|_| chance.pick(&open).cloned()).collect();
                to.sort();
                to.dedup();
                Op::Deliver { marker: fresh(), to, once: kind == "once" }
            }
            "warn" => Op::Warn { to: chance.pick(&open)?.clone(), marker: fresh() },
            "copy" | "move" => {
                let from = chance.pick(&full)?.clone();
                // Between accounts a move may leave both, so that has no one outcome: only within one.
                let others: Vec<Place> =
                    open.into_iter().filter(|place| *place != from && (kind == "copy" || place.0 == from.0)).collect();
                let to = chance.pick(&others)?.clone();
                let markers = Self::some(chance, self.folder(&from)?);
                if kind == "copy" { Op::Copy { from, markers, to } } else { Op::Move { from, markers, to } }
            }
            "replace" => {
                let from = chance.pick(&full)?.clone();
                let markers: Vec<u64> = self.folder(&from)?.messages.iter().map(|message| message.marker).collect();
                let single: Vec<u64> = markers
                    .iter()
                    .copied()
                    .filter(|one| markers.iter().filter(|other| *other == one).count() == 1)
                    .collect();
                let old = *chance.pick(&single)?;
                let own: Vec<Place> = open.into_iter().filter(|place| place.0 == from.0).collect();
                let to = chance.pick(&own)?.clone();
                Op::Replace { from, old, to, marker: fresh() }
            }
            "flag" => {
                let place = chance.pick(&full)?.clone();
                let folder = self.folder(&place)?;
                let markers = Self::some(chance, folder);
                let mut flags = u8::try_from(chance.below(31)).unwrap() & !4;
                // Others than they have, or nothing would be written.
                let named = folder.messages.iter().filter(|message| markers.contains(&message.marker));
                if named.clone().all(|message| message.flags == flags) {
                    flags ^= 1;
                }
                Op::Flag { place, markers, flags }
            }
            "acl" => {
                let place = chance.pick(&open)?.clone();
                // Others than before, or nothing would be written.
                let rights = u16::try_from(chance.below(0x200)).unwrap();
                let same = self.folder(&place)?.rights == rights;
                Op::Acl { place, rights: if same { rights ^ 1 } else { rights } }
            }
            "expunge" => {
                let place = chance.pick(&full)?.clone();
                let markers = Self::some(chance, self.folder(&place)?);
                Op::Expunge { place, markers }
            }
            "expire" => {
                let seen = |folder: &Folder| folder.messages.iter().any(|message| message.flags & SEEN != 0);
                let place = chance.pick(&self.places(|_, folder| seen(folder)))?.clone();
                let mut markers: Vec<u64> =
                    self.folder(&place)?.messages.iter().map(|message| message.marker).collect();
                markers.sort_unstable();
                markers.dedup();
                Op::Expire { place, markers }
            }
            "maildrop" => {
                let place = chance.pick(&full)?.clone();
                let folder = self.folder(&place)?;
                let deleted = Self::some(chance, folder);
                // One that stays and was not seen before: else there is nothing but an expunge.
                let kept = |message: &&Message| !deleted.contains(&message.marker) && message.flags & SEEN == 0;
                folder.messages.iter().find(kept)?;
                let mut seen: Vec<u64> = folder.messages.iter().map(|message| message.marker).collect();
                seen.sort_unstable();
                seen.dedup();
                Op::Maildrop { place, seen, deleted }
            }
            "restore" | "purge" => {
                let gone = self.places(|_, folder| !folder.gone.is_empty() && !folder.noselect);
                let place = chance.pick(&gone)?.clone();
                if kind == "restore" { Op::Restore { place } } else { Op::Purge { place } }
            }
            "create" => {
                let user = (*chance.pick(&users)?).clone();
                let path = self.free_path(&user, chance, true)?;
                Op::Create { place: (user, path) }
            }
            "delete" => {
                let all = self.places(|name, _| name != "INBOX");
                let all: Vec<Place> = all
                    .into_iter()
                    .filter(|place| !self.folder(place).unwrap().noselect || !self.has_below(&place.0, &place.1))
                    .collect();
                Op::Delete { place: chance.pick(&all)?.clone() }
            }
            "rename" => {
                let from = chance.pick(&self.places(|name, _| name != "INBOX"))?.clone();
                let to = self.free_path(&from.0, chance, false)?;
                if to.starts_with(&format!("{}/", from.1)) {
                    return None;
                }
                Op::Rename { from, to }
            }
            "inbox" => {
                // An empty INBOX passes none of the points.
                let holds_mail = |user: &&&String| {
                    self.users[**user].folders.get("INBOX").is_some_and(|row| !row.messages.is_empty())
                };
                let full: Vec<_> = users.iter().filter(holds_mail).collect();
                let user = (**chance.pick(&full)?).clone();
                let to = self.free_path(&user, chance, false)?;
                Op::InboxRename { user, to }
            }
            "ucreate" => Op::UserCreate { user: free_user(chance)? },
            "urename" => Op::UserRename { user: (*chance.pick(&users)?).clone(), to: free_user(chance)? },
            "udelete" => {
                if users.len() < 3 {
                    return None;
                }
                Op::UserDelete { user: (*chance.pick(&users)?).clone() }
            }
            "partition" => {
                let (user, folder) = chance.pick(&self.places(|_, _| true))?.clone();
                let whole = chance.below(2) == 0;
                let row = self.users.get(&user)?;
                let now = if whole { &row.partition } else { &row.folders.get(&folder)?.partition };
                let to = PARTITIONS.into_iter().find(|name| name != now)?.to_owned();
                Op::Partition { user, folder: (!whole).then_some(folder), to }
            }
            _ => Op::Settle,
        })
    }

    fn has_below(&self, user: &str, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.users.get(user).is_some_and(|row| row.folders.keys().any(|name| name.starts_with(&prefix)))
    }

    /// A path that no folder has and whose folder above exists.
    fn free_path(&self, user: &str, chance: &mut Chance, revive: bool) -> Option<String> {
        let row = self.users.get(user)?;
        let mut above: Vec<String> =
            row.folders.keys().filter(|name| *name != "INBOX" && name.matches('/').count() < 2).cloned().collect();
        above.push(String::new());
        let above = chance.pick(&above)?.clone();
        let name = *chance.pick(&NAMES)?;
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        match row.folders.get(&path) {
            None => Some(path),
            Some(folder) if revive && folder.noselect => Some(path),
            Some(_) => None,
        }
    }

    fn parent_partition(&self, user: &str, path: &str) -> String {
        let row = self.users.get(user).unwrap();
        let above = path.rsplit_once('/').and_then(|(above, _)| row.folders.get(above));
        above.map_or_else(|| row.partition.clone(), |folder| folder.partition.clone())
    }

    /// A new folder has the list of the one above.
    fn parent_rights(&self, user: &str, path: &str) -> u16 {
        let above = path.rsplit_once('/').and_then(|(above, _)| self.users[user].folders.get(above));
        above.map_or(0, |folder| folder.rights)
    }

    /// The stores that may be found when `op` was under way: it is done whole; a delivery to several users is several operations, one a user.
    pub fn outcomes(&self, op: &Op) -> Vec<Model> {
        match op {
            Op::Deliver { marker, to, once } => (1..1usize << to.len())
                .map(|chosen| {
                    let some = to.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
                    let to = some.map(|(_, place)| place.clone()).collect();
                    self.after(&Op::Deliver { marker: *marker, to, once: *once })
                })
                .collect(),
            other => vec![self.after(other)],
        }
    }

    /// The store after `op`.
    pub fn after(&self, op: &Op) -> Model {
        let mut model = self.clone();
        match op {
            Op::Append { to, markers } | Op::PutBack { to, markers } => {
                let new = markers.iter().map(|marker| Message { uid: None, marker: *marker, flags: 0 });
                model.folder_mut(to).messages.extend(new);
            }
            Op::Warn { to, marker } => {
                model.folder_mut(to).messages.push(Message { uid: None, marker: *marker, flags: 0 });
            }
            Op::Deliver { marker, to, .. } => {
                for place in to {
                    model.folder_mut(place).messages.push(Message { uid: None, marker: *marker, flags: 0 });
                }
            }
            Op::Copy { from, markers, to } => model.bring(self, from, markers, to),
            Op::Move { from, markers, to } => {
                model.bring(self, from, markers, to);
                model.take(from, markers);
            }
            Op::Replace { from, old, to, marker } => {
                model.take(from, &[*old]);
                model.folder_mut(to).messages.push(Message { uid: None, marker: *marker, flags: 0 });
            }
            Op::Flag { place, markers, flags } => {
                for message in &mut model.folder_mut(place).messages {
                    if markers.contains(&message.marker) {
                        message.flags = *flags;
                    }
                }
            }
            Op::Acl { place, rights } => model.folder_mut(place).rights = *rights,
            Op::Expunge { place, markers } => model.take(place, markers),
            Op::Expire { place, markers } => {
                let folder = model.folder_mut(place);
                let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut folder.messages)
                    .into_iter()
                    .partition(|message| message.flags & SEEN != 0 && markers.contains(&message.marker));
                folder.messages = kept;
                folder.gone.extend(gone.into_iter().map(|message| (message.marker, message.flags)));
            }
            Op::Maildrop { place, seen, deleted } => {
                model.take(place, deleted);
                for message in &mut model.folder_mut(place).messages {
                    message.flags |= if seen.contains(&message.marker) { SEEN } else { 0 };
                }
            }
            Op::Restore { place } => {
                let folder = model.folder_mut(place);
                let back = std::mem::take(&mut folder.gone);
                folder.messages.extend(back.into_iter().map(|(marker, flags)| Message {
                    uid: None,
                    marker,
                    flags: flags & !4,
                }));
            }
            Op::Purge { place } => model.folder_mut(place).gone.clear(),
            Op::Create { place: (user, path) } => {
                let partition = model.parent_partition(user, path);
                let rights = model.parent_rights(user, path);
                let folders = &mut model.users.get_mut(user).unwrap().folders;
                match folders.get_mut(path) {
                    Some(folder) => {
                        folder.noselect = false;
                        folder.uidvalidity = None;
                        folder.rights = rights;
                    }
                    None => drop(folders.insert(path.clone(), Folder { partition, rights, ..Folder::default() })),
                }
            }
            Op::Delete { place } => {
                if model.has_below(&place.0, &place.1) {
                    let rights = model.parent_rights(&place.0, &place.1);
                    let folder = model.folder_mut(place);
                    folder.noselect = true;
                    folder.rights = rights;
                    folder.messages.clear();
                    folder.gone.clear();
                } else {
                    model.users.get_mut(&place.0).unwrap().folders.remove(&place.1);
                }
            }
            Op::Rename { from, to } => {
                let folders = &mut model.users.get_mut(&from.0).unwrap().folders;
                let prefix = format!("{}/", from.1);
                *folders = std::mem::take(folders)
                    .into_iter()
                    .map(|(name, folder)| match name.strip_prefix(&prefix) {
                        Some(rest) => (format!("{to}/{rest}"), folder),
                        None if name == from.1 => (to.clone(), folder),
                        None => (name, folder),
                    })
                    .collect();
            }
            Op::InboxRename { user, to } => {
                let partition = model.parent_partition(user, to);
                let rights = model.parent_rights(user, to);
                let folders = &mut model.users.get_mut(user).unwrap().folders;
                folders.insert(to.clone(), Folder { partition, rights, ..Folder::default() });
                let inbox = (user.clone(), "INBOX".to_owned());
                let markers: Vec<u64> = self.folder(&inbox).unwrap().messages.iter().map(|m| m.marker).collect();
                model.bring(self, &inbox, &markers, &(user.clone(), to.clone()));
                model.take(&inbox, &markers);
            }
            Op::UserCreate { user } => {
                let inbox = Folder { partition: "primary".into(), ..Folder::default() };
                let row = User { partition: "primary".into(), folders: [("INBOX".to_owned(), inbox)].into() };
                model.users.insert(user.clone(), row);
            }
            Op::UserRename { user, to } => {
                let row = model.users.remove(user).unwrap();
                model.users.insert(to.clone(), row);
            }
            Op::UserDelete { user } => drop(model.users.remove(user)),
            Op::Partition { user, folder, to } => {
                let row = model.users.get_mut(user).unwrap();
                let prefix = folder.as_ref().map(|folder| format!("{folder}/"));
                for (name, one) in &mut row.folders {
                    let inside = match (&prefix, folder) {
                        (Some(prefix), Some(folder)) => name == folder || name.starts_with(prefix),
                        _ => true,
                    };
                    if inside {
                        one.partition.clone_from(to);
                    }
                }
                if folder.is_none() {
                    row.partition.clone_from(to);
                }
            }
            Op::Settle => {}
        }
        model
    }

    fn bring(&mut self, before: &Model, from: &Place, markers: &[u64], to: &Place) {
        let source = before.folder(from).unwrap();
        let new: Vec<Message> = source
            .messages
            .iter()
            .filter(|message| markers.contains(&message.marker))
            .map(|message| Message { uid: None, ..message.clone() })
            .collect();
        self.folder_mut(to).messages.extend(new);
    }

    fn take(&mut self, from: &Place, markers: &[u64]) {
        let folder = self.folder_mut(from);
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut folder.messages).into_iter().partition(|message| markers.contains(&message.marker));
        folder.messages = kept;
        folder.gone.extend(gone.into_iter().map(|message| (message.marker, message.flags)));
    }

    /// Takes the UIDs over that the child told with its acknowledgement: (user, folder, marker, uid).
    pub fn learn(&mut self, told: &[(Place, u64, u32)]) {
        for (place, marker, uid) in told {
            let folder = self.folder_mut(place);
            let message = folder.messages.iter_mut().find(|m| m.marker == *marker && m.uid.is_none());
            message.unwrap_or_else(|| panic!("{place:?} acknowledged {marker} that was not asked for")).uid =
                Some(*uid);
        }
    }

    /// Why `found` (where everything is known) is not this; `None` when it is.
    pub fn differs(&self, found: &Model) -> Option<String> {
        if self.users.keys().ne(found.users.keys()) {
            return Some(format!("users {:?}, found {:?}", self.users.keys(), found.users.keys()));
        }
        for (user, row) in &self.users {
            let there = &found.users[user];
            if row.partition != there.partition || row.folders.keys().ne(there.folders.keys()) {
                return Some(format!(
                    "{user}: partition {}, folders {:?}, found {} {:?}",
                    row.partition,
                    row.folders.keys(),
                    there.partition,
                    there.folders.keys()
                ));
            }
            for (name, folder) in &row.folders {
                if let Some(why) = folder.differs(&there.folders[name]) {
                    return Some(format!("{user}/{name}: {why}"));
                }
            }
        }
        None
    }
}

impl Folder {
    fn differs(&self, found: &Folder) -> Option<String> {
        if (self.noselect, self.rights, &self.partition) != (found.noselect, found.rights, &found.partition) {
            return Some(format!("{self:?}, found {found:?}"));
        }
        if self.uidvalidity.is_some_and(|known| Some(known) != found.uidvalidity) {
            return Some(format!("uidvalidity {:?}, found {:?}", self.uidvalidity, found.uidvalidity));
        }
        let highest = self.floor;
        let mut left = found.messages.clone();
        for message in self.messages.iter().filter(|message| message.uid.is_some()) {
            let Some(at) = left.iter().position(|other| other == message) else {
                return Some(format!("{message:?} is not there: {:?}", found.messages));
            };
            left.remove(at);
        }
        for message in self.messages.iter().filter(|message| message.uid.is_none()) {
            let same = |other: &Message| (other.marker, other.flags) == (message.marker, message.flags);
            let Some(at) = left.iter().position(|other| same(other) && other.uid > Some(highest)) else {
                return Some(format!("{message:?} is not there above {highest}: {:?}", found.messages));
            };
            left.remove(at);
        }
        (!left.is_empty()).then(|| format!("{left:?} should not be there"))
    }
}
