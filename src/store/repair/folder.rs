//! The repair of one mailbox: rows against files, states, what was expunged, counters; then store.idx.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::append::Target;
use super::super::check::guid_of;
use super::super::error::StoreError;
use super::super::flags::{Flags, Keywords};
use super::super::ids::{AccountId, FolderId, Uid};
use super::super::index_file::{self, Entry, Found};
use super::super::record::{Account, Folder, Gone, Message, StateRun, push_run};
use super::super::schema::{self, CHUNK};
use super::super::{Store, Tx, layout, rows};
use super::lost;
use super::survey::{Files, MODSEQ_MAX, State, Survey};
use super::{How, Mended, left, mended};

/// What is to be done with a mailbox.
#[derive(Default)]
struct Plan {
    /// Message rows that are put: lost or wrong ones.
    put: BTreeMap<Uid, Message>,
    /// Messages that are there no more. True: the file waits for purge under the row, and comes back if it does.
    expunge: BTreeMap<Uid, bool>,
    /// Files that become messages under new UIDs, with the flags of the message they were.
    adopt: Vec<(PathBuf, State)>,
    /// Old places of files that were adopted: the next purge removes these names.
    retire: BTreeMap<Uid, Message>,
    /// Files that are set aside, and why.
    aside: Vec<(PathBuf, String)>,
    /// Rows of expunged messages that are put or, with `None`, removed.
    gone: BTreeMap<Uid, Option<Gone>>,
    /// Rows that cannot be read and are not needed.
    drop: Vec<Vec<u8>>,
    /// What was expunged is forgotten: the list contradicts itself.
    forget: bool,
    uidnext: Uid,
    told: Vec<Mended>,
}

impl Store {
    /// Repairs a mailbox. Its lock is held meanwhile; sessions go on reading.
    ///
    /// # Errors
    /// The mailbox does not exist or stays locked, or the disk fails.
    pub fn repair_folder(
        &self,
        account: AccountId,
        folder: FolderId,
        how: How,
        now_s: i64,
    ) -> Result<Vec<Mended>, StoreError> {
        let view = self.view(account)?;
        if view.folder(folder)?.is_none_or(|row| row.noselect) {
            return Ok(Vec::new());
        }
        let name = format!("user/{}/{}", view.account()?.userid, view.path(folder)?);
        let dir = view.folder_dir(folder)?;
        drop(view);
        let _lock = self.lock_folder(account, folder, "reconstruct")?;
        // Links that a power failure took are made again before anything is called missing.
        self.settle()?;
        let mut told = self.repair_modes(&name, &dir, how);
        told.extend(self.settled(|| self.repair_rows(account, folder, &name, how, now_s))?);
        told.extend(self.settled(|| self.repair_index(account, folder, &name, how))?);
        Ok(told)
    }

    /// One attempt to set the rows right; `None` when the mailbox changed meanwhile.
    fn repair_rows(
        &self,
        account: AccountId,
        folder: FolderId,
        name: &str,
        how: How,
        now_s: i64,
    ) -> Result<Option<Vec<Mended>>, StoreError> {
        let view = self.view(account)?;
        let survey = Survey::take(view.rows(), account, folder)?;
        let dir = view.folder_dir(folder)?;
        drop(view);
        let root = self.inner.partition(&survey.row.partition)?;
        let mut told = Vec::new();
        if !dir.is_dir() {
            super::super::body::make_durable_dir(&dir)?;
            told.push(mended(name, None, format!("its directory {} is made again", dir.display())));
        }
        let files = Files::take(&dir)?;
        let plan = plan(&survey, &files, &dir, name, how)?;
        let done = self.change(account, |tx| {
            if Survey::take(tx.txn, account, folder)? != survey {
                return Ok(None);
            }
            tx.carry_out_repair(account, &survey, &plan, &dir, now_s).map(Some)
        })?;
        let Some(changed) = done else { return Ok(None) };
        crate::crash_point!("repair.after-rows");
        if changed && plan.told.is_empty() {
            told.push(mended(name, None, "its counters and modification sequences are set right"));
        }
        told.extend(plan.told);
        for (path, why) in &plan.aside {
            match lost::set_aside(root, path, why, now_s) {
                Ok(to) => told.push(mended(name, None, format!("{why}: set aside as {}", to.display()))),
                Err(error) => told.push(left(name, None, error.to_string())),
            }
        }
        Ok(Some(told))
    }

    /// Permissions and owners of a mailbox's files: told, and with `force` set right where this process may.
    fn repair_modes(&self, name: &str, dir: &Path, how: How) -> Vec<Mended> {
        use std::os::unix::fs::PermissionsExt;
        let me = nix::unistd::geteuid().as_raw();
        let mut told = Vec::new();
        let mut look = |path: &Path, wanted: u32| {
            let Ok(meta) = fs::symlink_metadata(path) else { return };
            if meta.uid() != me {
                told.push(left(
                    name,
                    None,
                    format!("{} belongs to uid {}, not to {me}: chown it", path.display(), meta.uid()),
                ));
            } else if meta.mode() & 0o777 != wanted && (if wanted == 0o700 { meta.is_dir() } else { meta.is_file() }) {
                let what = format!("{} has mode {:04o} instead of {wanted:04o}", path.display(), meta.mode() & 0o7777);
                let set = how.force && fs::set_permissions(path, fs::Permissions::from_mode(wanted)).is_ok();
                // A file that is readable does no harm as it is.
                let harmful = meta.mode() & 0o400 == 0 || meta.mode() & 0o077 != 0;
                match set {
                    true => told.push(mended(name, None, format!("{what}: set"))),
                    false if harmful => told.push(left(name, None, format!("{what}: reconstruct -f sets it"))),
                    false => {}
                }
            }
        };
        look(dir, 0o700);
        look(&dir.join(index_file::NAME), 0o600);
        for number in 0..100 {
            let nn = dir.join(format!("{number:02}"));
            look(&nn, 0o700);
            for entry in fs::read_dir(&nn).into_iter().flatten().filter_map(Result::ok) {
                if entry.path().extension().is_some_and(|extension| extension == "msg") {
                    look(&entry.path(), 0o600);
                }
            }
        }
        told
    }
}

/// What a place of a message holds.
enum Held {
    Nothing,
    /// A file of that many bytes.
    Bytes(u64),
    /// Nothing that could be a message, and why.
    Useless(&'static str),
    /// It cannot be read by this process, but is there.
    Closed(std::io::Error),
}

fn held(path: Option<&PathBuf>) -> Held {
    let Some(path) = path else { return Held::Nothing };
    match fs::symlink_metadata(path) {
        Err(_) => Held::Nothing,
        Ok(meta) if !meta.is_file() => Held::Useless("it is no file"),
        Ok(meta) if meta.len() == 0 => Held::Useless("its file is empty"),
        Ok(meta) => match fs::File::open(path).and_then(|file| {
            let mut first = [0];
            std::os::unix::fs::FileExt::read_at(&file, &mut first, 0)
        }) {
            Ok(_) => Held::Bytes(meta.len()),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Held::Useless("its file cannot be read"),
            Err(error) => Held::Closed(error),
        },
    }
}

fn plan(survey: &Survey, files: &Files, dir: &Path, name: &str, how: How) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    let states = survey.states();
    let known: BTreeSet<Uid> = survey.messages.keys().chain(&survey.unread).chain(states.keys()).copied().collect();
    let mut old = OldEntries { dir, found: None };
    for uid in &known {
        let (uid, path) = (*uid, files.by_uid.get(uid));
        let row = survey.messages.get(&uid);
        let mut tell = |what: String| plan.told.push(mended(name, Some(uid), what));
        match (held(path), row, path) {
            (Held::Closed(error), _, Some(path)) => {
                plan.told.push(left(name, Some(uid), format!("{} cannot be read: {error}", path.display())));
            }
            (Held::Bytes(len), Some(row), Some(path)) => {
                if len == row.size && (!how.reads_content() || guid_of(path)? == row.guid) {
                    if how.force {
                        let seen = Message { entry: row.entry, ..described(row.clone(), path)? };
                        if seen != *row {
                            tell("what was recorded of it is read from its file again".into());
                            plan.put.insert(uid, seen);
                        }
                    }
                    continue;
                }
                if len != row.size && guid_of(path)? == row.guid {
                    tell(format!("its size was recorded as {} bytes, it is {len}", row.size));
                    plan.put.insert(uid, Message { entry: row.entry, ..described(row.clone(), path)? });
                    continue;
                }
                tell("its file was changed: the message is expunged, what the file holds now has a new uid".into());
                plan.adopt.push((path.clone(), states.get(&uid).copied().unwrap_or_default()));
                plan.retire.insert(uid, row.clone());
                plan.expunge.insert(uid, false);
            }
            (Held::Bytes(_), None, Some(path)) => {
                tell("its row was lost, it is made again from its file".into());
                plan.put.insert(uid, old.message(uid, path)?);
            }
            (Held::Useless(why), _, Some(path)) => {
                tell(format!("{why}: the message is expunged"));
                plan.aside.push((path.clone(), format!("message {uid}: {why}")));
                plan.expunge.insert(uid, false);
            }
            (_, row, _) => {
                tell(match row {
                    Some(_) => {
                        "its file is missing: the message is expunged; it comes back with mboxutil -R if its file does"
                            .into()
                    }
                    None => "its row and its file are lost: the message is expunged".into(),
                });
                plan.expunge.insert(uid, row.is_some());
            }
        }
    }
    plan_strays(&mut plan, survey, files, &known, name, how);
    plan_expunged(&mut plan, survey, files, name, how);
    let uids = known.iter().chain(survey.gone.keys()).chain(plan.put.keys());
    plan.uidnext = uids.map(|uid| uid.saturating_add(1)).chain([survey.row.uidnext, 1]).max().unwrap_or(1);
    if plan.uidnext != survey.row.uidnext {
        plan.told.push(mended(name, None, format!("uidnext was {}, it is {}", survey.row.uidnext, plan.uidnext)));
    }
    let stateless = survey.messages.keys().chain(&survey.unread).filter(|uid| !states.contains_key(uid));
    let stateless = stateless.filter(|uid| !plan.expunge.contains_key(uid)).count();
    if stateless > 0 {
        plan.told.push(mended(name, None, format!("the flags of {stateless} messages are lost")));
    }
    if !survey.unread_deliveries.is_empty() {
        plan.told.push(mended(name, None, "deliveries that were remembered cannot be read and are forgotten"));
        plan.drop.extend(survey.unread_deliveries.iter().cloned());
    }
    Ok(plan)
}

/// Files that belong to no message.
fn plan_strays(plan: &mut Plan, survey: &Survey, files: &Files, known: &BTreeSet<Uid>, name: &str, how: How) {
    for path in &files.others {
        plan.aside.push((path.clone(), format!("{} is no message file", path.display())));
    }
    for (uid, path) in &files.by_uid {
        // One that is not given out yet: the next delivery finds the place taken and goes on.
        if known.contains(uid) || survey.gone.contains_key(uid) || *uid >= survey.row.uidnext {
            continue;
        }
        match held(Some(path)) {
            Held::Bytes(_) if how.force => {
                let what = "its file belongs to no message: it becomes one under a new uid";
                plan.told.push(mended(name, Some(*uid), what));
                plan.adopt.push((path.clone(), State::default()));
                plan.retire.insert(*uid, Message { uid: *uid, ..Message::default() });
            }
            Held::Nothing => {}
            _ => plan.aside.push((path.clone(), format!("the file {} belongs to no message", path.display()))),
        }
    }
}

/// What was expunged, and what is remembered of it.
fn plan_expunged(plan: &mut Plan, survey: &Survey, files: &Files, name: &str, how: How) {
    let lives = |uid: &Uid| {
        (survey.messages.contains_key(uid) || plan.put.contains_key(uid)) && !plan.expunge.contains_key(uid)
    };
    for (uid, row) in &survey.gone {
        let fixed = match row {
            _ if lives(uid) => Some(None),
            None if files.by_uid.contains_key(uid) => Some(Some(stub(*uid, files.by_uid.get(uid)))),
            None => Some(None),
            Some(row) if how.forget_expunged && !row.purging => Some(Some(Gone { purging: true, ..row.clone() })),
            Some(_) => None,
        };
        if let Some(fixed) = fixed {
            let what = match (&fixed, row) {
                (_, Some(_)) if how.forget_expunged => "it was expunged, the next purge removes it",
                (Some(_), _) => "it was expunged, its row was lost: it waits for purge",
                (None, _) => "the row about its expunge was wrong",
            };
            plan.told.push(mended(name, Some(*uid), what));
            plan.gone.insert(*uid, fixed);
        }
    }
    let wrong = survey.expunged.values().any(|run| {
        run.is_none_or(|(modseq, first, last)| {
            let exists = survey.messages.range(first..=last.max(first)).any(|(uid, _)| !plan.expunge.contains_key(uid));
            first > last || last >= survey.row.uidnext || exists || modseq > survey.row.highest_modseq
        })
    });
    if wrong {
        plan.forget = true;
        plan.told.push(mended(name, None, "the list of expunged uids was wrong: it is begun anew"));
    }
}

/// What can be said of an expunged message whose row was lost.
fn stub(uid: Uid, path: Option<&PathBuf>) -> Gone {
    let meta = path.and_then(|path| fs::symlink_metadata(path).ok());
    let (size, time) = meta.map_or((0, 0), |meta| (meta.len(), meta.mtime()));
    Gone {
        message: Message { uid, size, internal_date_s: time, saved_s: time, ..Message::default() },
        expunged_s: 0,
        flags: Flags::NONE,
        keywords: Keywords::default(),
        purging: false,
    }
}

/// A row with everything that its file tells.
fn described(row: Message, path: &Path) -> Result<Message, StoreError> {
    let scanned = index_file::scan_file(path)?;
    Ok(Message {
        size: scanned.size,
        header_size: scanned.header_size,
        sent_s: scanned.sent_date_s,
        guid: guid_of(path)?,
        ..row
    })
}

/// What store.idx has of messages whose rows were lost; read when it is first needed.
struct OldEntries<'d> {
    dir: &'d Path,
    found: Option<Vec<Found>>,
}

impl OldEntries<'_> {
    fn message(&mut self, uid: Uid, path: &Path) -> Result<Message, StoreError> {
        let meta = fs::symlink_metadata(path).map_err(|error| StoreError::io("examine", path, error))?;
        let time = meta.mtime();
        let row = Message { uid, internal_date_s: time, saved_s: time, ..Message::default() };
        let row = described(row, path)?;
        let found = self.found.get_or_insert_with(|| index_file::entries(self.dir));
        let entry = found.iter().rev().find(|found| found.uid == uid && found.guid == row.guid);
        Ok(Message { internal_date_s: entry.map_or(time, |entry| entry.internal_date_s), ..row })
    }
}

impl Tx<'_, '_> {
    /// Carries a plan out; false: there was nothing to do.
    fn carry_out_repair(
        &mut self,
        account: AccountId,
        survey: &Survey,
        plan: &Plan,
        dir: &Path,
        now_s: i64,
    ) -> Result<bool, StoreError> {
        let folder = survey.row.id;
        let mut owner = rows::need_account(self.txn, account)?;
        let mut row = Folder { uidnext: plan.uidnext, ..survey.row.clone() };
        let modseq = Tx::modseq_above(&mut owner, survey.highest());
        for key in &plan.drop {
            self.txn.del(key)?;
        }
        let mut states = survey.states();
        for (uid, waits) in &plan.expunge {
            let state = states.remove(uid).unwrap_or_default();
            self.txn.del(&schema::message(account, folder, *uid))?;
            if let Some(message) = survey.messages.get(uid).filter(|_| *waits) {
                let gone = Gone {
                    message: message.clone(),
                    expunged_s: now_s,
                    flags: state.0,
                    keywords: state.1,
                    purging: false,
                };
                rows::put(self.txn, &schema::gone(account, folder, *uid), gone.encode())?;
            }
            if !plan.forget {
                rows::put(self.txn, &schema::expunged(account, folder, modseq, *uid), uid.to_le_bytes().to_vec())?;
            }
        }
        for (uid, message) in &plan.retire {
            let gone = Gone {
                message: message.clone(),
                expunged_s: now_s,
                flags: Flags::NONE,
                keywords: Keywords::default(),
                purging: true,
            };
            rows::put(self.txn, &schema::gone(account, folder, *uid), gone.encode())?;
        }
        for (uid, message) in &plan.put {
            rows::put_message(self.txn, account, folder, message)?;
            states.entry(*uid).or_insert((Flags::NONE, Keywords::default(), modseq));
        }
        for (uid, gone) in &plan.gone {
            let key = schema::gone(account, folder, *uid);
            match gone {
                Some(gone) => rows::put(self.txn, &key, gone.encode())?,
                None => drop(self.txn.del(&key)?),
            }
        }
        if plan.forget {
            for key in survey.expunged.keys() {
                self.txn.del(key)?;
            }
            row.expunge_horizon = modseq;
        }
        let mut changed =
            !(plan.expunge.is_empty() && plan.put.is_empty() && plan.gone.is_empty() && plan.adopt.is_empty());
        changed |= plan.forget || !plan.drop.is_empty();
        let messages = survey.messages.values().filter(|message| !plan.expunge.contains_key(&message.uid));
        // Those that are put come last: they count.
        let messages: BTreeMap<Uid, u64> =
            messages.chain(plan.put.values()).map(|message| (message.uid, message.size)).collect();
        changed |= self.put_states(account, survey, &messages, &states, modseq)?;
        (row.exists, row.unseen, row.deleted, row.bytes) = (0, 0, 0, messages.values().sum());
        for uid in messages.keys() {
            let flags = states.get(uid).map_or(Flags::NONE, |state| state.0);
            rows::count(&mut row, flags, 1, true);
        }
        row.highest_modseq = row.highest_modseq.max(survey.highest());
        if survey.row.highest_modseq > MODSEQ_MAX {
            row.highest_modseq = modseq;
        }
        if !changed && row == survey.row && plan.adopt.is_empty() {
            return Ok(false);
        }
        row.highest_modseq = modseq;
        row.expunge_horizon = row.expunge_horizon.min(modseq);
        owner.usage_bytes = owner.usage_bytes.saturating_sub(survey.row.bytes).saturating_add(row.bytes);
        owner.usage_messages =
            owner.usage_messages.saturating_sub(u64::from(survey.row.exists)).saturating_add(u64::from(row.exists));
        if !plan.adopt.is_empty() {
            self.adopt(account, &mut row, &mut owner, &plan.adopt, dir, now_s)?;
        }
        self.changed(account, &row)?;
        self.keep_quota_clock(account, &mut owner, true, Some(now_s))?;
        rows::put_account(self.txn, account, &owner)?;
        Ok(true)
    }

    /// Stores the states of exactly the messages there are, where they are not stored so; true when any was changed.
    fn put_states(
        &mut self,
        account: AccountId,
        survey: &Survey,
        messages: &BTreeMap<Uid, u64>,
        states: &BTreeMap<Uid, State>,
        modseq: u64,
    ) -> Result<bool, StoreError> {
        let mut wanted: BTreeMap<Uid, Vec<StateRun>> = survey.chunks.keys().map(|base| (*base, Vec::new())).collect();
        for uid in messages.keys() {
            let new = (Flags::NONE, Keywords::default(), modseq);
            let (flags, keywords, at) = states.get(uid).copied().filter(|state| state.2 <= MODSEQ_MAX).unwrap_or(new);
            let runs = wanted.entry(uid / CHUNK * CHUNK).or_default();
            push_run(runs, StateRun { first: *uid, count: 1, flags, keywords, modseq: at });
        }
        let mut changed = false;
        for (base, runs) in wanted {
            let stored = survey.chunks.get(&base).and_then(Option::as_ref).map_or(&[][..], Vec::as_slice);
            let unread = survey.chunks.get(&base).is_some_and(Option::is_none);
            if unread || !same(stored, &runs) {
                rows::put_chunk(self.txn, account, survey.row.id, base, &runs)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Takes files in as new messages.
    fn adopt(
        &mut self,
        account: AccountId,
        row: &mut Folder,
        owner: &mut Account,
        files: &[(PathBuf, State)],
        dir: &Path,
        now_s: i64,
    ) -> Result<(), StoreError> {
        let modseq = row.highest_modseq;
        let mut target =
            Target { account, row: row.clone(), owner: owner.clone(), modseq, dir, index: Vec::new(), now_s };
        for (path, (flags, keywords, _)) in files {
            let meta = fs::symlink_metadata(path).map_err(|error| StoreError::io("examine", path, error))?;
            let scanned = index_file::scan_file(path)?;
            let guid = guid_of(path)?;
            let uid = self.link(&mut target, path)?;
            if let Some(nn) = dir.join(layout::message_file(uid)).parent() {
                self.extra.dirs.extend([dir.to_owned(), nn.to_owned()]);
            }
            let message = Message {
                uid,
                size: scanned.size,
                header_size: scanned.header_size,
                internal_date_s: meta.mtime(),
                saved_s: now_s,
                sent_s: scanned.sent_date_s,
                guid,
                ..Message::default()
            };
            self.add(&mut target, message, &Entry::of(&scanned), *flags, *keywords)?;
        }
        crate::crash_point!("repair.after-link");
        self.write_index(&mut target)?;
        (*row, *owner) = (target.row, target.owner);
        Ok(())
    }
}

/// The same states, however they are cut into runs.
fn same(one: &[StateRun], other: &[StateRun]) -> bool {
    let joined = |runs: &[StateRun]| {
        let mut joined = Vec::new();
        runs.iter().for_each(|run| push_run(&mut joined, *run));
        joined
    };
    joined(one) == joined(other)
}

/// The messages that lie in a directory, by UID, as far as files and store.idx tell; empty files and what cannot be read are no messages.
pub(super) fn messages_in(dir: &Path, now_s: i64) -> Result<Vec<Message>, StoreError> {
    let mut old = OldEntries { dir, found: None };
    let mut messages = Vec::new();
    for (uid, path) in Files::take(dir)?.by_uid {
        if (1..super::place::UID_MAX).contains(&uid) && matches!(held(Some(&path)), Held::Bytes(_)) {
            messages.push(Message { saved_s: now_s, ..old.message(uid, &path)? });
        }
    }
    Ok(messages)
}
