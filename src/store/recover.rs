//! Recovery of the mailbox database: every environment is read through before anybody opens it; one that is damaged is replaced by its newest sound
//! snapshot, or by an empty one, and brought up to date with store.idx and the directories.
//!
//! Order: the names of the damaged environments are written down (`mboxlist/recovery`); the copies are laid beside; the damaged ones go to `removed`
//! (or away, when what lies there is younger than a week) and the copies take their places; the rows follow; the note goes. Killed anywhere,
//! the next start finds the note and does it all again. Meanwhile the lock of the mailbox database is held alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Kind, StoreError};
use super::ids::{AccountId, FolderId};
use super::lmdb::{Env, Group, Rows, pages};
use super::rebuild::{Rebuilt, Since, has_home};
use super::record::{Meta, UserRow};
use super::schema::{self, SHARD, kind};
use super::snapshot::{Snapshot, snapshots, sound_copy};
use super::{OPEN_LOCK, Quiet, Settings, Store, Tx, body, check, codec, layout, mboxlist, random, rows, shard_dir};
use crate::os::durable;

/// How often a lock is looked at again, and how long it waits in between.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// What lies in `removed` is not replaced before it is so old.
const WEEK_S: i64 = 7 * 86_400;
/// Accounts in one transaction.
const PAGE: usize = 50;
const NOTE: &str = "recovery";
const REMOVED: &str = "removed";
const COMMON: &str = "common";

/// What recovery goes by.
pub struct Recovery<'r> {
    /// The store.
    pub settings: &'r Settings,
    /// Where its snapshots are.
    pub snapshots: &'r Path,
    /// Shards, where nothing tells how many there were.
    pub shards: u32,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// False when the look at what may be sound has taken long enough: the rest is for later.
    pub go_on: &'r dyn Fn() -> bool,
}

/// An environment that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its name: `common`, `shard00` ...
    pub env: String,
    /// What is wrong.
    pub what: String,
    /// When the snapshot was taken that took its place, seconds since 1970; `None`: it was made anew.
    pub snapshot_s: Option<i64>,
    /// True if the damaged files are in `removed` now; else they are gone.
    pub kept: bool,
}

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The environments that were damaged.
    pub damaged: Vec<Damage>,
    /// What was brought up to date.
    pub rebuilt: Rebuilt,
    /// Another process had the store open: nothing was looked at.
    pub in_use: bool,
    /// Not everything was read: it took too long.
    pub incomplete: bool,
}

/// Takes the shared lock of the mailbox database, waiting while a start looks at it.
pub(super) fn share(open: &File, path: &Path) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        match open.try_lock_shared() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path, error)),
        }
    }
    Err(StoreError::Unavailable { what: "the mailbox database is being repaired".into() })
}

/// True after a recovery that did not come to its end.
pub(super) fn is_pending(root: &Path) -> bool {
    mboxlist(root).join(NOTE).exists()
}

/// Looks at every environment and recovers those that are damaged. Nothing is done where there is no store yet.
///
/// # Errors
/// The store is of another version, or a disk fails: it must not be served. What was begun is gone on with by the next call.
pub fn recover(by: &Recovery<'_>) -> Result<Recovered, StoreError> {
    let root = mboxlist(&by.settings.root);
    if !by.is_there() {
        return Ok(Recovered::default());
    }
    body::make_dir(&root)?;
    let held = root.join(OPEN_LOCK);
    if !held.exists() {
        durable::replace(&held, b"", 0o600).map_err(|error| StoreError::io("create", &held, error))?;
    }
    let lock = File::open(&held).map_err(|error| StoreError::io("open the mailbox database", &held, error))?;
    let pending = noted(&root);
    let mut tries = if pending.is_some() { TRIES } else { 1 };
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &held, error)),
            Err(TryLockError::WouldBlock) if tries > 1 => {
                tries -= 1;
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) if pending.is_some() => {
                let what = "the mailbox database is to be recovered, and another process has it open";
                return Err(StoreError::Unavailable { what: what.into() });
            }
            Err(TryLockError::WouldBlock) => return Ok(Recovered { in_use: true, ..Recovered::default() }),
        }
    }
    let mut done = Recovered::default();
    let names = by.names(&root);
    let mut known: Option<Meta> = None;
    for name in &names {
        let found = if pending.as_ref().is_some_and(|pending| pending.contains(name)) {
            Err(StoreError::corrupt("its recovery was interrupted", name.clone()))
        } else {
            look(&root.join(name).join("data.mdb"), by.go_on)
        };
        match found {
            Ok((meta, complete)) => {
                if known.as_ref().is_some_and(|known| known.store_id != meta.store_id) {
                    return Err(StoreError::corrupt("this shard is of another store", name.clone()));
                }
                done.incomplete |= !complete;
                known = Some(meta);
            }
            Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NotFound) => {
                let what = error.to_string();
                done.damaged.push(Damage { env: name.clone(), what, snapshot_s: None, kept: false });
            }
            Err(error) => return Err(error),
        }
    }
    if !done.damaged.is_empty() {
        by.replace(&root, &mut done)?;
        by.bring_up_to_date(&root, lock, known, u32::try_from(names.len() - 1).unwrap_or(1), &mut done)?;
    }
    Ok(done)
}

/// Removes what is temporary in the mailbox database of a stopped store, without looking at what it holds: lock files, and what interrupted
/// snapshots and recoveries left beside their work. Gives the number of files and directories.
///
/// # Errors
/// `Unavailable`: a process has the store open. Something cannot be removed.
pub fn remove_temporary(settings: &Settings, snapshots: &Path) -> Result<usize, StoreError> {
    let root = mboxlist(&settings.root);
    let held = root.join(OPEN_LOCK);
    let lock = File::open(&held).map_err(|error| StoreError::io("open the mailbox database", &held, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Unavailable { what: "a process has the store open".into() });
        }
        Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &held, error)),
    }
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut doomed: Vec<PathBuf> =
        entries(&root).map(|dir| dir.join("lock.mdb")).filter(|path| path.is_file()).collect();
    doomed.extend(entries(&root).filter(|path| path.extension().is_some_and(|extension| extension == "new")));
    let begun = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(super::snapshot::TEMPORARY))
    };
    doomed.extend(entries(snapshots).filter(|path| begun(path)));
    for path in &doomed {
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        gone.map_err(|error| StoreError::io("remove", path, error))?;
    }
    Ok(doomed.len())
}

/// The environments that an interrupted recovery was about; `None`: there was none.
fn noted(root: &Path) -> Option<BTreeSet<String>> {
    let text = fs::read_to_string(root.join(NOTE)).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

/// Reads an environment through; gives what it says of itself, and whether all of it was read.
fn look(data: &Path, go_on: &dyn Fn() -> bool) -> Result<(Meta, bool), StoreError> {
    if !data.exists() {
        return Err(StoreError::missing(data.display().to_string()));
    }
    let meta = meta_of(data)?;
    if meta.format != schema::FORMAT {
        let what = format!("{}: format {} is not the one this version knows", data.display(), meta.format);
        return Err(StoreError::Unavailable { what });
    }
    let rows = check::walk_rows(data, Some(go_on))?;
    Ok((meta, rows.is_some()))
}

fn meta_of(data: &Path) -> Result<Meta, StoreError> {
    let wanted = schema::key(SHARD, kind::META, FolderId::TOP, &[]);
    let mut meta = None;
    pages::walk(data, &mut |key, stored| {
        if key == wanted {
            meta = Meta::decode(codec::open(key, stored)?).ok();
        }
        // It is the first row.
        Ok(ControlFlow::Break(()))
    })?;
    meta.ok_or_else(|| StoreError::corrupt("this is no mailbox database of msgstore", data.display().to_string()))
}

impl Recovery<'_> {
    /// True if there is a store: an environment, or a partition that has the mark of one.
    fn is_there(&self) -> bool {
        let root = mboxlist(&self.settings.root);
        let env = |name: &str| root.join(name).is_dir();
        // A creation that did not come to its end has no userid map yet, and goes on.
        let marked = self.settings.partitions.iter().any(|(_, path)| path.join(".partition").exists());
        marked || (env(COMMON) && env("shard00") && root.join(COMMON).join("data.mdb").exists() && self.was_served())
    }

    /// True if the store has been opened once: its creation is over.
    fn was_served(&self) -> bool {
        meta_of(&mboxlist(&self.settings.root).join(COMMON).join("data.mdb")).is_ok()
    }

    /// The environments that there must be, the userid map first.
    fn names(&self, root: &Path) -> Vec<String> {
        let mut count = 0;
        let listed = |dir: &Path| -> u32 {
            let names = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
            let number = |name: String| name.strip_prefix("shard")?.parse::<u32>().ok().map(|number| number + 1);
            names.filter_map(|entry| number(entry.file_name().to_string_lossy().into_owned())).max().unwrap_or(0)
        };
        for dir in [root.join(COMMON)].into_iter().chain((0..listed(root)).map(|n| shard_dir(&self.settings.root, n))) {
            if let Ok(meta) = meta_of(&dir.join("data.mdb")) {
                count = meta.shards;
                break;
            }
        }
        if count == 0 {
            count = listed(root).max(snapshots(self.snapshots).first().map_or(0, |one| listed(&one.path)));
        }
        let count = if count == 0 { self.shards.max(1) } else { count };
        std::iter::once(COMMON.to_owned()).chain((0..count).map(|number| format!("shard{number:02}"))).collect()
    }

    /// Lays the snapshots in the places of the damaged environments.
    fn replace(&self, root: &Path, done: &mut Recovered) -> Result<(), StoreError> {
        let note: String = done.damaged.iter().map(|one| format!("{}\n", one.env)).collect();
        let path = root.join(NOTE);
        durable::replace(&path, note.as_bytes(), 0o600).map_err(|error| StoreError::io("write", &path, error))?;
        crate::crash_point!("recover.noted");
        let found = snapshots(self.snapshots);
        for damage in &mut done.damaged {
            let dir = root.join(&damage.env);
            let fresh = root.join(format!("{}.new", damage.env));
            drop(fs::remove_dir_all(&fresh));
            body::make_dir(&fresh)?;
            if let Some((copy, taken_s)) = newest(&found, &damage.env) {
                body::copy(&copy, &fresh.join("data.mdb"))?;
                damage.snapshot_s = Some(taken_s);
            }
            let flush = |dir: &Path| durable::sync_dir(dir).map_err(|error| StoreError::io("flush", dir, error));
            flush(&fresh)?;
            crate::crash_point!("recover.copied");
            damage.kept = set_aside(root, &dir, &damage.env, self.now_s)?;
            crate::crash_point!("recover.set-aside");
            fs::rename(&fresh, &dir).map_err(|error| StoreError::io("rename", &fresh, error))?;
            flush(root)?;
            crate::crash_point!("recover.replaced");
        }
        Ok(())
    }

    /// Opens the store, brings it up to date, and removes the note.
    fn bring_up_to_date(
        &self,
        root: &Path,
        lock: File,
        known: Option<Meta>,
        shards: u32,
        done: &mut Recovered,
    ) -> Result<(), StoreError> {
        let restored = done.damaged.iter().filter(|one| one.snapshot_s.is_some());
        let meta = known.map_or_else(
            || {
                let mut metas = restored.filter_map(|one| meta_of(&root.join(&one.env).join("data.mdb")).ok());
                metas.next().map_or_else(|| self.anew(shards), Ok)
            },
            Ok,
        )?;
        let key = schema::key(SHARD, kind::META, FolderId::TOP, &[]);
        for damage in &done.damaged {
            let env = Env::open(&root.join(&damage.env), true)?;
            Group::new(env, Quiet).run(|txn, ()| {
                let own = rows::value(txn, &key)?.and_then(|bytes| Meta::decode(&bytes).ok());
                let fresh = Meta { last_uidvalidity: 0, domains: damage.env != COMMON, ..meta.clone() };
                let own = own.unwrap_or(fresh);
                rows::put(txn, &key, Meta { epoch: meta.epoch.max(own.epoch) + 1, ..own }.encode())
            })?;
        }
        crate::crash_point!("recover.opened");
        let store = Store::open_held(self.settings.clone(), lock)?;
        store.mark_partitions();
        let common = done.damaged.iter().find(|one| one.env == COMMON).map(|one| one.snapshot_s.unwrap_or(0));
        if common.is_some() {
            store.name_all()?;
        }
        let mut lost = Vec::new();
        for damage in done.damaged.iter().filter(|one| one.env != COMMON) {
            let number = damage.env.strip_prefix("shard").and_then(|number| number.parse().ok()).unwrap_or(0);
            lost.push(number);
            let since = Since { now_s: self.now_s, taken_s: damage.snapshot_s.unwrap_or(0) };
            done.rebuilt += store.rebuild_shard(number, since, common.is_some())?;
        }
        if common.is_some()
            && let Some(first) = lost.first()
        {
            done.rebuilt += store.adopt_homes(*first, Since { now_s: self.now_s, taken_s: 0 })?;
        }
        store.count_domains(false)?;
        // A folder that was made again may have another list than its rows say.
        store.rebuild_lookups(true)?;
        crate::crash_point!("recover.rebuilt");
        let note = root.join(NOTE);
        fs::remove_file(&note).map_err(|error| StoreError::io("remove", &note, error))?;
        durable::sync_dir(root).map_err(|error| StoreError::io("flush", root, error))
    }

    /// What a store without any environment was: its identity stands on the marks of its partitions.
    fn anew(&self, shards: u32) -> Result<Meta, StoreError> {
        let id = |(_, path): &(String, PathBuf)| {
            let text = fs::read_to_string(path.join(".partition")).ok()?;
            let hex = text.lines().find_map(|line| line.strip_prefix("store = \""))?.strip_suffix('"')?.to_owned();
            u128::from_str_radix(&hex, 16).ok().map(u128::to_be_bytes)
        };
        let store_id = self.settings.partitions.iter().find_map(id).map_or_else(random, Ok)?;
        Ok(Meta { format: schema::FORMAT, store_id, shards, domains: true, ..Meta::default() })
    }
}

/// The newest sound copy of an environment, and when it was taken.
fn newest(found: &[Snapshot], env: &str) -> Option<(PathBuf, i64)> {
    found.iter().find_map(|snapshot| Some((sound_copy(snapshot, env)?, snapshot.taken_s)))
}

/// Moves a damaged environment to `removed`, unless a younger one than a week lies there; then it goes. True if it was kept.
fn set_aside(root: &Path, dir: &Path, env: &str, now_s: i64) -> Result<bool, StoreError> {
    if !dir.exists() {
        return Ok(false);
    }
    let removed = root.join(REMOVED);
    body::make_dir(&removed)?;
    let kept = removed.join(env);
    let since = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|meta| now_s.saturating_sub(meta.ctime()))
    };
    let fail = |error| StoreError::io("set aside", dir, error);
    if since(&kept).is_some_and(|age| age < WEEK_S) {
        fs::remove_dir_all(dir).map_err(fail)?;
        return Ok(false);
    }
    if kept.exists() {
        fs::remove_dir_all(&kept).map_err(fail)?;
    }
    fs::rename(dir, &kept).map_err(fail)?;
    durable::sync_dir(&removed).map_err(fail)?;
    Ok(true)
}

impl Store {
    /// The names in the userid map.
    fn names(&self) -> Result<BTreeMap<String, UserRow>, StoreError> {
        let mut names = BTreeMap::new();
        let from = schema::key(SHARD, kind::USER, FolderId::TOP, &[]);
        self.inner.common_env.read()?.scan(&from, &mut |key, stored| {
            if !schema::within_kind(key, SHARD, kind::USER) {
                return Ok(ControlFlow::Break(()));
            }
            let row = UserRow::decode(codec::open(key, stored)?).map_err(|_| codec::damaged(key))?;
            names.extend(String::from_utf8(schema::rest(key).to_vec()).map(|name| (name, row)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    /// Writes the partitions down that a restored userid map does not know.
    fn mark_partitions(&self) {
        for nickname in self.inner.partitions() {
            // One that is not mounted is told of when it is used.
            drop(self.inner.partition(&nickname));
        }
    }

    /// The accounts of a shard by their user ids.
    fn accounts_in(&self, shard: usize) -> Result<Vec<(AccountId, String)>, StoreError> {
        let mut found = Vec::new();
        let Some(shard) = self.inner.shards.get(shard) else { return Ok(found) };
        rows::each_account(&shard.env()?.read()?, AccountId(1), &mut |id, row| {
            found.extend(row.map(|row| (id, row.userid)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Claims the name of every account of every shard in the userid map.
    fn name_all(&self) -> Result<(), StoreError> {
        for shard in 0..self.inner.shards.len() {
            let accounts = self.accounts_in(shard)?;
            self.name(shard, &accounts)?;
        }
        Ok(())
    }

    fn name(&self, shard: usize, accounts: &[(AccountId, String)]) -> Result<(), StoreError> {
        let shard = u32::try_from(shard).unwrap_or(0);
        self.inner.common.run(|txn, ()| {
            accounts.iter().try_for_each(|(account, userid)| {
                let key = schema::key(SHARD, kind::USER, FolderId::TOP, userid.as_bytes());
                rows::put(txn, &key, UserRow { account: *account, shard }.encode())
            })
        })
    }

    /// Brings a restored shard up to date: its accounts, and those that the userid map says are in it. `common`: that map was restored, too, so it
    /// does not tell which accounts were deleted or renamed.
    fn rebuild_shard(&self, shard: usize, since: Since, common: bool) -> Result<Rebuilt, StoreError> {
        let names = self.names()?;
        let known = self.accounts_in(shard)?;
        let mut named: BTreeMap<AccountId, String> = BTreeMap::new();
        for (name, row) in &names {
            if row.shard as usize == shard {
                // Of two names, one of which a rename has claimed, the one with a directory.
                if !named.contains_key(&row.account) || has_home(&self.inner, name) {
                    named.insert(row.account, name.clone());
                }
            }
        }
        let mut wanted: BTreeMap<AccountId, Option<String>> = BTreeMap::new();
        for (account, userid) in known {
            let free = names.get(&userid).is_none_or(|row| row.account == account);
            let own = (free && (common || has_home(&self.inner, &userid))).then_some(userid);
            wanted.insert(account, named.remove(&account).or(own));
        }
        wanted.extend(named.into_iter().map(|(account, name)| (account, Some(name))));
        let wanted: Vec<(AccountId, Option<String>)> = wanted.into_iter().collect();
        self.rebuild_accounts(shard, &wanted, since)
    }

    fn rebuild_accounts(
        &self,
        shard: usize,
        wanted: &[(AccountId, Option<String>)],
        since: Since,
    ) -> Result<Rebuilt, StoreError> {
        let mut done = Rebuilt::default();
        let home = self.inner.shards.get(shard).ok_or_else(|| StoreError::missing(format!("shard {shard}")))?;
        let store = &*self.inner;
        for page in wanted.chunks(PAGE) {
            super::lock(&store.homes).extend(page.iter().map(|(account, _)| (*account, shard)));
            let (rebuilt, found) = home.group()?.run(|txn, extra| {
                let mut tx = Tx { txn, extra, store, who: None };
                let (mut rebuilt, mut found) = (Rebuilt::default(), Vec::new());
                for (account, userid) in page {
                    let done = match userid {
                        Some(userid) => tx.rebuild_account(*account, userid, since)?,
                        None => None,
                    };
                    match done {
                        Some(done) => {
                            rebuilt += done;
                            found.extend(userid.clone().map(|userid| (*account, userid)));
                        }
                        None => rebuilt.accounts_removed += tx.forget_account(*account)?,
                    }
                }
                Ok((rebuilt, found))
            })?;
            crate::crash_point!("recover.page");
            done += rebuilt;
            self.name(shard, &found)?;
        }
        Ok(done)
    }

    /// Makes accounts of directories whose user ids have none in any shard.
    fn adopt_homes(&self, shard: usize, since: Since) -> Result<Rebuilt, StoreError> {
        let names = self.names()?;
        let mut homes = BTreeSet::new();
        for nickname in self.inner.partitions() {
            let Ok(root) = self.inner.partition(&nickname) else { continue };
            let mut level = vec![root.join("=user")];
            for _ in 0..3 {
                let below = level.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok));
                level = below.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect();
            }
            let place = |dir: &PathBuf| Some((layout::place_of(dir)?.mailbox.owner, dir.clone()));
            let right =
                level.iter().filter_map(place).filter(|(owner, dir)| dir.ends_with(layout::account_directory(owner)));
            homes.extend(right.map(|(owner, _)| owner));
        }
        let mut wanted = Vec::new();
        for userid in homes {
            let there = names.get(&userid).is_some_and(|row| {
                let shard = self.inner.shards.get(row.shard as usize);
                shard.is_some_and(|shard| {
                    shard.env().and_then(|env| rows::account(&env.read()?, row.account)).is_ok_and(|row| row.is_some())
                })
            });
            if !there {
                let fresh = AccountId(u64::from_be_bytes(random()?).max(1));
                wanted.push((names.get(&userid).map_or(fresh, |row| row.account), Some(userid)));
            }
        }
        self.rebuild_accounts(shard, &wanted, since)
    }
}

impl Tx<'_, '_> {
    /// Removes the rows of an account that was deleted after the snapshot; 1 if there were any.
    fn forget_account(&mut self, account: AccountId) -> Result<usize, StoreError> {
        Store::drop_redo(self, account)?;
        self.txn.del(&super::intent::intent_key(account))?;
        super::domain::follow(self.txn, account, None)?;
        let gone = self.remove_rows(&schema::key(account, 0, FolderId::TOP, &[]), &|key| {
            key.get(..8) == Some(&account.0.to_be_bytes())
        })?;
        Ok(usize::from(gone > 0))
    }
}
