//! Restoring a backup in one pass over its archive.
//!
//! Messages go into the store in batches. A link becomes a further name of the file of the message it leads to, if that is in the store; else its bytes
//! are read again from the archive, or from the spool, where those messages of a pipe are kept to which links may lead and which are not wanted.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use super::member::{self, About, AccountState, FolderState, Header, Manifest, MessageState, Place};
use super::select::{Groups, Object};
use super::tar::{Member, Next, Reader, Type};
use crate::store::{
    AccountId, CreateOptions, FlagChange, FlagOp, Flags, Folder, FolderId, FolderPath, Former, Guid, Kind, Returned,
    ReturnedBody, SpecialUse, Staged, Store, StoreError, Uid,
};

/// Most messages of a commit.
const BATCH_MESSAGES: usize = 100;
/// Bytes of messages from which on a batch is committed.
const BATCH_BYTES: u64 = 16 << 20;

/// How a backup is restored.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Messages that are there already are left alone.
    pub check: bool,
    /// Mailboxes that are there already are left alone: what was backed up goes beside them, under the name with this behind it.
    pub beside: Option<String>,
    /// Users who get the mail of others.
    pub rename: HashMap<String, String>,
    /// Nothing is written: the archive is compared with its manifest, and with the store.
    pub verify: bool,
}

/// Why a restore stopped. What was committed before stays.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no backup, or one of a later version.
    #[error("{0}")]
    NotArchive(String),
    /// The archive cannot be read.
    #[error("cannot read the archive: {0}")]
    Input(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What happens during a restore.
#[derive(Debug)]
pub enum Event<'e> {
    /// A folder is done.
    Folder {
        /// Its mailbox.
        mailbox: &'e str,
        /// Messages that were put back, or that are in the archive and not in the store.
        messages: u64,
        /// Messages that were there.
        kept: u64,
    },
    /// A message is in the store for good.
    Message {
        /// Its mailbox.
        mailbox: &'e str,
        /// Its UID in the archive.
        was: Uid,
        /// Its UID now.
        uid: Uid,
    },
    /// A message was there already.
    Kept {
        /// The name of its member.
        name: &'e str,
    },
    /// A member is not wanted.
    NotWanted {
        /// Its name.
        name: &'e str,
        /// Where its data begin in the archive.
        offset: u64,
    },
    /// Something is not restored.
    Left {
        /// What.
        what: &'e str,
        /// Why.
        why: &'e str,
    },
}

/// The sums of a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Folders that were wanted.
    pub folders: u64,
    /// Messages that were put back; when verifying: that the store does not have.
    pub messages: u64,
    /// Their bytes; links have none.
    pub bytes: u64,
    /// Messages that became a further name of a file.
    pub links: u64,
    /// Messages that were there already.
    pub kept: u64,
    /// Things that were left out, and damaged places.
    pub left: u64,
    /// Members that were wanted.
    pub wanted: u64,
}

/// Gives the account of a user, and whether it was made now; else why there is none.
pub type AccountOf<'a> = dyn FnMut(&str) -> Result<(AccountId, bool), String> + 'a;

/// What the restore asks for.
pub struct Asks<'a> {
    /// The account of a user, and whether it was made now. When verifying it makes none.
    pub account: &'a mut AccountOf<'a>,
    /// Something is wrong with the archive: go on?
    pub go_on: &'a mut dyn FnMut() -> bool,
    /// What happens.
    pub tell: &'a mut dyn FnMut(Event<'_>),
}

/// A message to which links may lead.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Where it is in the store.
    place: Option<(AccountId, FolderId, Uid)>,
    /// Where its bytes are in the archive or the spool, and how many.
    data: Option<(u64, u64)>,
}

type HeldKey = [u8; 16];

fn key_of(name: &str) -> HeldKey {
    let mut key = HeldKey::default();
    if let Some(first) = blake3::hash(name.as_bytes()).as_bytes().first_chunk() {
        key = *first;
    }
    key
}

enum Body {
    Staged(Box<Staged>),
    Stored((AccountId, FolderId, Uid)),
}

/// A message that waits for its commit.
struct Waiting {
    body: Body,
    state: MessageState,
    name: String,
    /// The member that links lead to.
    held: Option<HeldKey>,
}

/// The folder in work.
struct Current {
    dir: String,
    /// `None`: it is not wanted, or cannot be had.
    target: Option<Target>,
}

struct Target {
    account: AccountId,
    /// `None`: when verifying, it does not exist.
    folder: Option<FolderId>,
    partition: String,
    mailbox: String,
    former: Former,
    /// UIDs below were given out before.
    uidnext: Uid,
    same_uids: bool,
    there: HashMap<(Guid, i64), Vec<Uid>>,
    expected: Option<u64>,
    seen: u64,
    messages: u64,
    kept: u64,
}

/// A restore that is under way.
pub struct Restore<'a> {
    store: &'a Store,
    options: &'a Options,
    groups: &'a Groups,
    objects: &'a [Object],
    reader: Reader,
    spool: Option<File>,
    spooled: u64,
    held: HashMap<HeldKey, Held>,
    batch: Vec<Waiting>,
    batch_bytes: u64,
    current: Option<Current>,
    users: HashMap<String, Option<(AccountId, bool)>>,
    subscriptions: HashMap<String, Vec<String>>,
    totals: Totals,
    now_s: i64,
    asks: Asks<'a>,
}

/// Restores what `objects` mean, everything without any. A reader of a pipe needs a `spool`.
///
/// # Errors
/// [`RestoreError`]; what is wrong with single members is told, counted, and passed over.
pub fn restore<'a>(
    store: &'a Store,
    options: &'a Options,
    (groups, objects): (&'a Groups, &'a [Object]),
    (reader, spool): (Reader, Option<File>),
    now_s: i64,
    asks: Asks<'a>,
) -> Result<Totals, RestoreError> {
    let mut restore = Restore {
        store,
        options,
        groups,
        objects,
        reader,
        spool,
        spooled: 0,
        held: HashMap::new(),
        batch: Vec::new(),
        batch_bytes: 0,
        current: None,
        users: HashMap::new(),
        subscriptions: HashMap::new(),
        totals: Totals::default(),
        now_s,
        asks,
    };
    restore.run()?;
    Ok(restore.totals)
}

/// The header of an archive, which is its first member.
///
/// # Errors
/// It is no backup, or cannot be read.
pub fn header(reader: &mut Reader) -> Result<Header, RestoreError> {
    let foreign = || RestoreError::NotArchive("not an archive of imsbackup".to_owned());
    match reader.advance()? {
        Next::Member(member) if member.name == member::HEADER => read_header(reader, &member),
        _ => Err(foreign()),
    }
}

fn read_header(reader: &mut Reader, member: &Member) -> Result<Header, RestoreError> {
    let header: Header = json(reader, member).map_err(RestoreError::NotArchive)?;
    if header.format > member::VERSION {
        let what = format!("the archive has format {}, this release reads up to {}", header.format, member::VERSION);
        return Err(RestoreError::NotArchive(what));
    }
    Ok(header)
}

/// Visits the members of an archive behind its header. Returns whether it is complete.
///
/// # Errors
/// It is no backup, or cannot be read.
pub fn list(reader: &mut Reader, visit: &mut dyn FnMut(&Next)) -> Result<bool, RestoreError> {
    header(reader)?;
    let mut last = false;
    loop {
        let next = reader.advance()?;
        match &next {
            Next::End(_) => return Ok(last),
            Next::Member(member) => last = member.name == member::MANIFEST,
            Next::Damage { .. } => {}
        }
        visit(&next);
    }
}

fn json<T: serde::de::DeserializeOwned>(reader: &mut Reader, member: &Member) -> Result<T, String> {
    if member.size > member::JSON_MAX {
        return Err(format!("{}: too long", member.name));
    }
    let mut text = vec![0; usize::try_from(member.size).unwrap_or(0)];
    reader.read_exact(&mut text).map_err(|error| format!("{}: {error}", member.name))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", member.name))
}

impl Restore<'_> {
    fn run(&mut self) -> Result<(), RestoreError> {
        let (mut first, mut complete) = (true, false);
        loop {
            let started = self.reader.offset();
            match self.reader.advance()? {
                Next::End(_) => break,
                Next::Damage { offset, bytes } => {
                    if first && started == 0 {
                        return Err(RestoreError::NotArchive("not an archive of imsbackup".to_owned()));
                    }
                    self.left("the archive", &format!("{bytes} bytes from byte {offset} on are damaged"));
                    if !(self.asks.go_on)() {
                        break;
                    }
                }
                Next::Member(member) => {
                    let about = member::about(&member.name);
                    if first && about != About::Header {
                        return Err(RestoreError::NotArchive("not an archive of imsbackup".to_owned()));
                    }
                    complete = about == About::Manifest;
                    self.member(&member, about)?;
                }
            }
            first = false;
        }
        if first {
            return Err(RestoreError::NotArchive("not an archive of imsbackup: it is empty".to_owned()));
        }
        self.close_folder()?;
        if !complete {
            self.left("the archive", "it is cut off: its manifest is missing");
        }
        Ok(())
    }

    fn left(&mut self, what: &str, why: &str) {
        self.totals.left += 1;
        (self.asks.tell)(Event::Left { what, why });
    }

    fn member(&mut self, member: &Member, about: About) -> Result<(), RestoreError> {
        match about {
            About::Header => read_header(&mut self.reader, member).map(drop)?,
            About::Manifest => self.manifest(member),
            About::Account => match json::<AccountState>(&mut self.reader, member) {
                Ok(state) => {
                    self.subscriptions.insert(state.user, state.subscriptions);
                }
                Err(why) => self.left(&member.name, &why),
            },
            About::Folder => {
                self.close_folder()?;
                let dir = member.name.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
                let Some(place) = member::place(&dir) else {
                    self.left(&member.name, "it is no name of a mailbox");
                    return Ok(());
                };
                match json::<FolderState>(&mut self.reader, member) {
                    Ok(state) => self.open_folder(dir, &place, Some(state))?,
                    Err(why) => self.left(&member.name, &why),
                }
            }
            About::Message(place) => {
                let dir = member.name.rsplit_once('/').map_or("", |(dir, _)| dir);
                if self.current.as_ref().is_none_or(|current| current.dir != dir) {
                    // Its folder's member was lost.
                    self.close_folder()?;
                    self.open_folder(dir.to_owned(), &place, None)?;
                }
                self.message(member)?;
            }
            About::Nothing => self.left(&member.name, "it is no member of a backup"),
        }
        Ok(())
    }

    fn manifest(&mut self, member: &Member) {
        let (bytes, digest) = self.reader.before();
        match json::<Manifest>(&mut self.reader, member) {
            Err(why) => self.left(&member.name, &why),
            Ok(manifest) => {
                if digest.is_some_and(|digest| digest != manifest.blake3) || bytes != manifest.bytes {
                    self.left("the archive", "it is not what the manifest says");
                }
                for what in manifest.unreadable {
                    self.left(&what, "it could not be read when the backup was made");
                }
            }
        }
    }

    fn takes(&self, place: &Place) -> bool {
        let takes = |object: &Object| {
            object.takes_user(self.groups, &place.partition, Some(&place.group), &place.mailbox.owner)
                && object.takes_folder(&place.mailbox.folder)
        };
        self.objects.is_empty() || self.objects.iter().any(takes)
    }

    fn open_folder(&mut self, dir: String, place: &Place, state: Option<FolderState>) -> Result<(), RestoreError> {
        let mut target = None;
        let noselect = state.as_ref().is_some_and(|state| state.noselect);
        if self.takes(place) {
            self.totals.wanted += 1;
            if !noselect {
                target = match self.target(place, state) {
                    Err(error) if matches!(error.kind(), Kind::NoSpace | Kind::Io | Kind::Unavailable) => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        self.left(&place.mailbox.to_string(), &error.to_string());
                        None
                    }
                    Ok(target) => target,
                };
            }
        }
        self.current = Some(Current { dir, target });
        Ok(())
    }

    /// The folder that a folder of the archive goes to.
    fn target(&mut self, place: &Place, state: Option<FolderState>) -> Result<Option<Target>, StoreError> {
        let was = &place.mailbox.owner;
        let user = self.options.rename.get(was).unwrap_or(was).clone();
        let Some((account, made)) = self.user(was, &user) else { return Ok(None) };
        let mut path = place.mailbox.folder.clone();
        let mut row = self.row(account, &path)?;
        let mut former = state.as_ref().map(FolderState::former).unwrap_or_default();
        for entry in &mut former.acl.0 {
            if entry.identifier == *was {
                entry.identifier.clone_from(&user);
            }
        }
        if let Some(suffix) = &self.options.beside
            && row.as_ref().is_some_and(|row| row.uidnext > 1)
        {
            path = FolderPath::parse(&format!("{path}{suffix}"))
                .map_err(|error| StoreError::Invalid { what: error.to_string() })?;
            row = self.row(account, &path)?;
            former.uidvalidity = 0;
        }
        let mailbox = format!("user/{user}/{path}");
        let mut subscribed = Vec::new();
        if row.is_none() && !self.options.verify {
            row = Some(self.create(account, &path, state.as_ref())?);
            subscribed.push(path.to_string());
        }
        if let Some(virgin) = row.as_ref().filter(|row| row.uidnext <= 1 && !self.options.verify)
            && state.is_some()
            && former.uidvalidity > 0
        {
            let id = virgin.id;
            match self.store.folder_take_over(account, id, &former) {
                Err(StoreError::Invalid { what }) => {
                    self.left(&format!("the access control list of {mailbox}"), &what);
                    former.acl = virgin.acl.clone();
                    self.store.folder_take_over(account, id, &former)?;
                }
                other => drop(other?),
            }
            row = self.row(account, &path)?;
        }
        let names = self.subscriptions.get(was).cloned().unwrap_or_default();
        for name in names.iter().filter(|name| made || subscribed.contains(name)) {
            if !self.options.verify && !self.store.view(account)?.is_subscribed(name)? {
                self.store.subscribe(account, name, true)?;
            }
        }
        self.totals.folders += 1;
        let mut there: HashMap<(Guid, i64), Vec<Uid>> = HashMap::new();
        if let Some(row) = row.as_ref().filter(|row| row.exists > 0 && (self.options.check || self.options.verify)) {
            self.store.view(account)?.messages(row.id, 1..=Uid::MAX, &mut |message| {
                there.entry((message.guid, message.internal_date_s)).or_default().push(message.uid);
                ControlFlow::Continue(())
            })?;
        }
        let partition = row.as_ref().map(|row| row.partition.clone()).unwrap_or_default();
        Ok(Some(Target {
            account,
            folder: row.as_ref().map(|row| row.id),
            partition,
            mailbox,
            same_uids: row.as_ref().is_some_and(|row| row.uidvalidity == former.uidvalidity),
            uidnext: row.as_ref().map_or(1, |row| row.uidnext),
            former,
            there,
            expected: state.map(|state| state.messages),
            seen: 0,
            messages: 0,
            kept: 0,
        }))
    }

    fn row(&self, account: AccountId, path: &FolderPath) -> Result<Option<Folder>, StoreError> {
        Ok(self.store.view(account)?.resolve(path)?.filter(|row| !row.noselect))
    }

    fn create(&self, account: AccountId, path: &FolderPath, state: Option<&FolderState>) -> Result<Folder, StoreError> {
        let there = |name: &String| self.store.partitions().iter().any(|(known, path)| known == name && path.is_some());
        let mut options = CreateOptions {
            special_use: Some(state.map(FolderState::uses).unwrap_or_default()),
            partition: state.map(|state| state.partition.clone()).filter(there),
        };
        match self.store.folder_create(account, path, &options, self.now_s) {
            // Another folder has it by now.
            Err(error) if error.kind() == Kind::SpecialUse => {
                options.special_use = Some(SpecialUse::default());
                self.store.folder_create(account, path, &options, self.now_s)
            }
            other => other,
        }
    }

    /// The account for the mail of a user; that there is none is told once.
    fn user(&mut self, was: &str, user: &str) -> Option<(AccountId, bool)> {
        if let Some(known) = self.users.get(was) {
            return *known;
        }
        let found = match (self.asks.account)(user) {
            Ok(found) => Some(found),
            Err(why) => {
                self.left(&format!("user/{user}"), &why);
                None
            }
        };
        self.users.insert(was.to_owned(), found);
        found
    }

    fn message(&mut self, member: &Member) -> Result<(), RestoreError> {
        let Some(state) = MessageState::read(member) else {
            self.left(&member.name, "its UID or its date is missing");
            return Ok(());
        };
        let held = (member.kind == Type::File && state.names > 1).then(|| key_of(&member.name));
        if let Some(held) = held.filter(|_| self.reader.is_seekable()) {
            self.held.insert(held, Held { place: None, data: Some((member.offset, member.size)) });
        }
        let Some(target) = self.current.as_mut().and_then(|current| current.target.as_mut()) else {
            (self.asks.tell)(Event::NotWanted { name: &member.name, offset: member.offset });
            return match held.filter(|_| !self.reader.is_seekable()) {
                Some(held) => self.spool(held, member),
                None => Ok(()),
            };
        };
        target.seen += 1;
        if self.options.verify {
            return self.verify(member, &state);
        }
        if let Some(guid) = state.guid
            && let Some(uid) = target.find(&state, guid)
        {
            let place = (target.account, target.folder.unwrap_or(FolderId::TOP), uid);
            if let Some(held) = held {
                self.held.entry(held).or_default().place = Some(place);
            }
            return self.keep(place, &member.name, &state);
        }
        match member.kind {
            Type::File => {
                let staged = self.stage(member.size, None);
                self.take(staged, state, &member.name, held)
            }
            Type::Link => self.link(member, state),
            Type::Other(_) => {
                self.left(&member.name, "it is no message");
                Ok(())
            }
        }
    }

    /// Puts what was staged into the batch, or tells why not.
    fn take(
        &mut self,
        staged: Result<Staged, StoreError>,
        state: MessageState,
        name: &str,
        held: Option<HeldKey>,
    ) -> Result<(), RestoreError> {
        let staged = match staged {
            Ok(staged) => staged,
            Err(StoreError::Invalid { what }) => {
                self.left(name, &what);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if state.guid.is_some_and(|guid| guid != staged.guid) {
            self.left(name, "its content is not what was backed up");
            return Ok(());
        }
        if state.guid.is_none()
            && let Some(target) = self.current.as_mut().and_then(|current| current.target.as_mut())
            && let Some(uid) = target.find(&state, staged.guid)
        {
            let place = (target.account, target.folder.unwrap_or(FolderId::TOP), uid);
            return self.keep(place, name, &state);
        }
        self.batch_bytes += staged.size();
        self.batch.push(Waiting { body: Body::Staged(Box::new(staged)), state, name: name.to_owned(), held });
        if self.batch.len() >= BATCH_MESSAGES || self.batch_bytes >= BATCH_BYTES { self.commit() } else { Ok(()) }
    }

    fn link(&mut self, member: &Member, state: MessageState) -> Result<(), RestoreError> {
        let key = key_of(&member.link);
        if self.batch.iter().any(|one| one.held == Some(key)) {
            self.commit()?;
        }
        let held = self.held.get(&key).copied().unwrap_or_default();
        if let Some(place) = held.place {
            self.batch.push(Waiting { body: Body::Stored(place), state, name: member.name.clone(), held: Some(key) });
            return if self.batch.len() >= BATCH_MESSAGES { self.commit() } else { Ok(()) };
        }
        self.by_bytes(key, &member.name, state)
    }

    /// A link whose message is not in the store: the bytes once more.
    fn by_bytes(&mut self, key: HeldKey, name: &str, state: MessageState) -> Result<(), RestoreError> {
        let Some((offset, size)) = self.held.get(&key).and_then(|held| held.data) else {
            self.left(name, "it is a link, and what it leads to is not in the archive or is damaged");
            return Ok(());
        };
        let staged = self.stage(size, Some(offset));
        self.take(staged, state, name, Some(key))
    }

    /// Stages the data of the member, or those at an offset of the archive or the spool.
    fn stage(&mut self, size: u64, offset: Option<u64>) -> Result<Staged, StoreError> {
        let partition = self.current.as_ref().and_then(|current| current.target.as_ref()).map(|one| &one.partition);
        let partition = partition.cloned().unwrap_or_default();
        let mut staging = self.store.stage(&partition)?;
        let mut buffer = vec![0; 64 * 1024];
        let (mut left, mut at) = (size, offset.unwrap_or(0));
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let part = buffer.get_mut(..most).unwrap_or_default();
            let read = match (&offset, &self.spool) {
                (None, _) => self.reader.read(part),
                (Some(_), Some(spool)) if !self.reader.is_seekable() => spool.read_at(part, at),
                (Some(_), _) => self.reader.input().read_at(part, at),
            };
            let count = match read {
                Ok(0) => return Err(StoreError::Invalid { what: "the archive ends within it".into() }),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::Invalid { what: format!("its bytes cannot be read: {error}") }),
            };
            staging.write_all(part.get(..count).unwrap_or_default()).map_err(|error| StoreError::Io {
                action: "write to partition",
                path: partition.clone().into(),
                error,
            })?;
            left -= count as u64;
            at += count as u64;
        }
        staging.finish()
    }

    /// Keeps the bytes of a message that is not wanted: links to it may be.
    fn spool(&mut self, held: HeldKey, member: &Member) -> Result<(), RestoreError> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let begin = self.spooled;
        match io::copy(&mut Read::by_ref(&mut self.reader).take(member.size), spool) {
            Ok(count) => {
                self.spooled += count;
                if count == member.size {
                    self.held.insert(held, Held { place: None, data: Some((begin, count)) });
                }
                Ok(())
            }
            // The end of the archive is met, and told, with the next member.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A message is there already: flags of the archive that it lacks are set, but for \Deleted.
    fn keep(
        &mut self,
        (account, folder, uid): (AccountId, FolderId, Uid),
        name: &str,
        state: &MessageState,
    ) -> Result<(), RestoreError> {
        self.totals.kept += 1;
        if let Some(target) = self.current.as_mut().and_then(|current| current.target.as_mut()) {
            target.kept += 1;
        }
        (self.asks.tell)(Event::Kept { name });
        let flags = state.flags.without(Flags::DELETED);
        let view = self.store.view(account)?;
        let known = view.keywords()?;
        let mut due = false;
        view.states(folder, uid..=uid, &mut |run| {
            let has = |word: &String| {
                run.keywords.bits().any(|bit| known.get(bit).is_some_and(|known| known.eq_ignore_ascii_case(word)))
            };
            due = !run.flags.contains(flags) || !state.keywords.iter().all(has);
        })?;
        drop(view);
        if due {
            let change = FlagChange { op: FlagOp::Add, flags, keywords: state.keywords.clone() };
            if let Err(error) = self.store.store_flags(account, folder, &crate::store::UidSet::one(uid), &change, None)
            {
                if error.kind() != Kind::Limit {
                    return Err(error.into());
                }
                self.left(name, "its keywords: the account has as many as it may");
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RestoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        match self.put_back(&batch) {
            Ok(()) => return Ok(()),
            Err(error) if matches!(error.kind(), Kind::Expunged | Kind::NotFound | Kind::Limit | Kind::Io) => {}
            Err(error) => return Err(error.into()),
        }
        // One of them is why: one by one.
        for mut one in batch {
            let single = std::slice::from_ref(&one);
            let Err(error) = self.put_back(single) else { continue };
            match (error.kind(), &one.body, one.held) {
                (Kind::Limit, _, _) if !one.state.keywords.is_empty() => {
                    self.left(&one.name, &format!("its keywords: {error}"));
                    one.state.keywords.clear();
                    self.put_back(std::slice::from_ref(&one))?;
                }
                (Kind::Expunged | Kind::NotFound | Kind::Io, Body::Stored(_), Some(key)) => {
                    self.held.entry(key).or_default().place = None;
                    self.by_bytes(key, &one.name, one.state)?;
                    self.commit()?;
                }
                _ => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn put_back(&mut self, batch: &[Waiting]) -> Result<(), StoreError> {
        let Some(target) = self.current.as_mut().and_then(|current| current.target.as_mut()) else { return Ok(()) };
        let Some(folder) = target.folder.filter(|_| !batch.is_empty()) else { return Ok(()) };
        let item = |one| {
            let Waiting { body, state, .. }: &Waiting = one;
            Returned {
                body: match body {
                    Body::Staged(staged) => ReturnedBody::Staged(staged),
                    Body::Stored((account, folder, uid)) => ReturnedBody::Stored(*account, *folder, *uid),
                },
                uid: state.uid,
                flags: state.flags,
                keywords: state.keywords.clone(),
                internal_date_s: state.internal_date_s,
                internal_zone_min: state.internal_zone_min,
                saved_s: state.saved_s,
            }
        };
        let items: Vec<Returned<'_>> = batch.iter().map(item).collect();
        let uids = self.store.put_back(target.account, folder, &target.former, &items, self.now_s)?;
        crate::crash_point!("restore.after-batch");
        for (one, uid) in batch.iter().zip(uids) {
            target.messages += 1;
            self.totals.messages += 1;
            match &one.body {
                Body::Staged(staged) => {
                    self.totals.bytes += staged.size();
                    if let Some(key) = one.held {
                        self.held.entry(key).or_default().place = Some((target.account, folder, uid));
                    }
                }
                Body::Stored(_) => self.totals.links += 1,
            }
            (self.asks.tell)(Event::Message { mailbox: &target.mailbox, was: one.state.uid, uid });
        }
        Ok(())
    }

    /// Compares a message with the store.
    fn verify(&mut self, member: &Member, state: &MessageState) -> Result<(), RestoreError> {
        if member.kind == Type::File {
            let mut hasher = blake3::Hasher::new();
            let copied = io::copy(&mut Read::by_ref(&mut self.reader).take(member.size), &mut hasher);
            let digest = hasher.finalize();
            let found = digest.as_bytes().first_chunk().map(|first| Guid(*first));
            if copied.is_err() || (state.guid.is_some() && found != state.guid) {
                self.left(&member.name, "its content is not what was backed up");
            }
        }
        let Some(target) = self.current.as_mut().and_then(|current| current.target.as_mut()) else { return Ok(()) };
        match state.guid.and_then(|guid| target.find(state, guid)) {
            Some(_) => {
                target.kept += 1;
                self.totals.kept += 1;
            }
            None => {
                target.messages += 1;
                self.totals.messages += 1;
            }
        }
        Ok(())
    }

    fn close_folder(&mut self) -> Result<(), RestoreError> {
        self.commit()?;
        let Some(Target { account, folder, mailbox, former, expected, seen, messages, kept, .. }) =
            self.current.take().and_then(|current| current.target)
        else {
            return Ok(());
        };
        if let Some(folder) = folder.filter(|_| !self.options.verify) {
            self.store.raise_uidnext(account, folder, &former, self.now_s)?;
        }
        (self.asks.tell)(Event::Folder { mailbox: &mailbox, messages, kept });
        if let Some(missing) = expected.and_then(|expected| expected.checked_sub(seen)).filter(|missing| *missing > 0) {
            self.left(&mailbox, &format!("{missing} messages are missing in the archive"));
        }
        Ok(())
    }
}

impl Target {
    /// A message of the folder with this content and date, which then counts no more. One whose UID was never given out here is not there.
    fn find(&mut self, state: &MessageState, guid: Guid) -> Option<Uid> {
        if self.same_uids && state.uid >= self.uidnext {
            return None;
        }
        let uids = self.there.get_mut(&(guid, state.internal_date_s))?;
        let at = uids.iter().position(|uid| self.same_uids && *uid == state.uid).unwrap_or(0);
        (!uids.is_empty()).then(|| uids.remove(at))
    }
}
