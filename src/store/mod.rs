//! **Here**: the only owner of durable mail state: the sharded mailbox database, store.idx files, message files, and every change of them.
//! **Not here**: the user directory, configuration (settings come in as values), protocols, printing, the clock (time comes in as a value).
//! **Start**: [`Store::open`], then `schema.rs` (every row on one page), `append.rs` (a delivery), `view.rs` (reading), `check.rs` (the invariants).
//! **Rules**: a message file is durable before the row that names it commits, and its link is durable or has a redo row; a change is a closure
//! handed to the shard's group commit and ends in *commit, then announce*; two accounts are never changed in one transaction; read
//! transactions are short; a file in an `nn` directory is never replaced. Lock order: intent, account, folder.
//! **Sources**: docs/store-format.md.

mod account;
mod acl;
mod append;
mod bodies;
mod body;
pub mod check;
mod checkpoint;
mod codec;
mod copy;
mod domain;
mod duplicate;
mod error;
mod expunge;
mod flags;
mod folder;
mod grace;
mod ids;
mod index_file;
mod index_scan;
mod intent;
pub mod layout;
mod listing;
mod lmdb;
mod lock;
mod lookup;
mod maildrop;
mod name;
mod notify;
mod partition;
mod purge;
mod quota;
mod reader;
mod rebuild;
mod record;
mod recover;
mod redo;
mod relocate;
pub mod repair;
mod replace;
mod restore;
mod rows;
mod schema;
mod snapshot;
mod special_use;
#[cfg(feature = "failpoints")]
pub mod spoil;
mod state;
mod view;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use acl::{AclChange, AclChanged, Who, flags_of};
pub use append::{Appended, Delivery, NewMessage};
pub use bodies::Bodies;
pub use body::{Staged, Staging};
pub use copy::Copied;
pub use domain::domain_of;
pub use error::{Kind, StoreError};
pub use expunge::{Chosen, Expunged};
pub use flags::{Flags, Keywords, UidSet};
pub use folder::CreateOptions;
pub use ids::{AccountId, FolderId, Guid, MailboxId, Modseq, Uid};
pub use index_file::{Entry, IndexReader, Source};
pub use listing::{EachAccount, Found};
pub use lock::FolderLock;
pub use lookup::Shared;
pub use name::{FolderPath, MailboxName, NameError, check_userid};
pub use notify::{Notices, Subscription};
pub use partition::Configured;
pub use purge::{Links, Purged, Removed};
pub use quota::{Coming, Limits, Root as QuotaRoot, Rules as QuotaRules, RulesOf, Usage};
pub use reader::Readers;
pub use rebuild::Rebuilt;
pub use record::{
    Access, Account, Acl, AclEntry, DomainUsage, EntryPlace, Folder, FolderLimit, Gone, Message, Rights, StateRun,
};
pub use recover::{Damage, Recovered, Recovery, recover, remove_temporary};
pub use restore::{Former, Returned, ReturnedBody};
pub use snapshot::{Snapshot, Taken, snapshots};
pub use special_use::SpecialUse;
pub use state::{FlagChange, FlagOp, Stored};
pub use view::View;

pub use self::lmdb::Statistics;
use self::lmdb::{Batch, Env, Group, Rows, Write};
use record::{Meta, UserRow};
use schema::{SHARD, kind};

/// Where a store lies and how it behaves: values, read from the configuration by others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `store_root`: the directory of `mboxlist` and, by default, of the partitions.
    pub root: PathBuf,
    /// Partitions by nickname.
    pub partitions: Vec<(String, PathBuf)>,
    /// The partition of new accounts whose directory entry names none.
    pub default_partition: String,
    /// Directory of the daemons' notification sockets; without it nobody is told.
    pub notify_dir: Option<PathBuf>,
}

/// A store that is open. Cheap to clone; every function blocks.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// For whom it acts; `None`: for nobody whose rights count.
    who: Option<Arc<Who>>,
}

struct Inner {
    settings: Settings,
    /// Partitions that came after the store was opened.
    added: partition::Added,
    /// Which rules of quota hold.
    quota: quota::Source,
    common: Group<Quiet>,
    common_env: &'static Env,
    shards: Vec<Shard>,
    store_id: [u8; 16],
    /// Held shared while the process lives: nobody swaps an environment under it.
    _open: std::fs::File,
    /// `PID.random`: the first part of this process's staging names.
    process: String,
    notices: Notices,
    /// First UID not yet shown as \Recent by this process.
    recent: Mutex<state::Claimed>,
    /// Which account is where: accounts never change their shard while a process runs.
    homes: Mutex<HashMap<AccountId, usize>>,
    /// Accounts in which a thread of this process carries an operation out: their lock is respected by its other threads too.
    running: Mutex<HashMap<AccountId, u64>>,
}

/// One shard, opened when it is first needed: most tools touch one account.
struct Shard {
    dir: PathBuf,
    store_id: [u8; 16],
    notices: Notices,
    open: OnceLock<(&'static Env, Group<Announce>)>,
}

impl Shard {
    fn open(&self) -> Result<&(&'static Env, Group<Announce>), StoreError> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let env = Env::open(&self.dir, false)?;
        if read_meta(env)?.store_id != self.store_id {
            return Err(StoreError::corrupt("this shard is of another store", env.path().display().to_string()));
        }
        Ok(self.open.get_or_init(|| (env, Group::new(env, Announce { notices: self.notices.clone() }))))
    }

    fn env(&self) -> Result<&'static Env, StoreError> {
        self.open().map(|open| open.0)
    }

    fn group(&self) -> Result<&Group<Announce>, StoreError> {
        self.open().map(|open| &open.1)
    }
}

/// The batch of the common environment: nothing surrounds its jobs.
struct Quiet;

impl Batch for Quiet {
    type Extra = ();
    fn mark(&self, (): &()) -> (usize, usize) {
        (0, 0)
    }
    fn rewind(&self, (): &mut (), _: (usize, usize)) {}
    fn before_commit(&self, (): &()) -> Result<(), StoreError> {
        Ok(())
    }
    fn committed(&self, (): &()) {}
}

/// The batch of a shard: directories are flushed before the commit, changed folders announced after it.
struct Announce {
    notices: Notices,
}

/// What the jobs of a batch leave for its end.
#[derive(Default)]
pub(crate) struct Extra {
    /// Directories whose new names must be durable before the commit.
    dirs: Vec<PathBuf>,
    /// Folders that changed, with their new modseq.
    changes: Vec<notify::Change>,
}

impl Batch for Announce {
    type Extra = Extra;
    fn mark(&self, extra: &Extra) -> (usize, usize) {
        (extra.dirs.len(), extra.changes.len())
    }
    fn rewind(&self, extra: &mut Extra, mark: (usize, usize)) {
        extra.dirs.truncate(mark.0);
        extra.changes.truncate(mark.1);
    }
    fn before_commit(&self, extra: &Extra) -> Result<(), StoreError> {
        let dirs: std::collections::BTreeSet<&PathBuf> = extra.dirs.iter().collect();
        redo::sync_dirs(dirs.into_iter().map(PathBuf::as_path))
    }
    fn committed(&self, extra: &Extra) {
        self.notices.announce(&extra.changes);
    }
}

/// A write transaction of a shard, with what is left for the end of the batch.
pub(crate) struct Tx<'a, 't> {
    pub(crate) txn: &'a mut Write<'t>,
    pub(crate) extra: &'a mut Extra,
    store: &'a Inner,
    /// Whose rights count; `None`: nobody's.
    who: Option<&'a Who>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    use std::io::Read;
    let mut bytes = [0; N];
    let path = Path::new("/dev/urandom");
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| StoreError::io("read", path, error))?;
    Ok(bytes)
}

fn mboxlist(root: &Path) -> PathBuf {
    root.join("mboxlist")
}

fn shard_dir(root: &Path, number: u32) -> PathBuf {
    mboxlist(root).join(format!("shard{number:02}"))
}

fn read_meta(env: &'static Env) -> Result<Meta, StoreError> {
    let row = rows::value(&env.read()?, &schema::key(SHARD, kind::META, FolderId::TOP, &[]))?;
    let damaged = |what: &str| StoreError::corrupt(what, env.path().display().to_string());
    let meta = Meta::decode(&row.ok_or_else(|| damaged("this is no mailbox database of msgstore"))?)
        .map_err(|_| damaged("its first row is damaged"))?;
    if meta.format != schema::FORMAT {
        return Err(damaged(&format!("format {} is not the one this version knows ({})", meta.format, schema::FORMAT)));
    }
    Ok(meta)
}

impl Store {
    /// Creates what of a store is not there yet: the mailbox database with `shards` shards, and its partitions. What is there stays as it is.
    ///
    /// # Errors
    /// Directories or files cannot be made; what is there is not of this store.
    pub fn create(settings: &Settings, shards: u32) -> Result<(), StoreError> {
        let common_dir = mboxlist(&settings.root).join("common");
        body::make_dir(&common_dir)?;
        let held = mboxlist(&settings.root).join(OPEN_LOCK);
        if !held.exists() {
            crate::os::durable::replace(&held, b"", 0o600).map_err(|error| StoreError::io("create", &held, error))?;
        }
        let common = Env::open(&common_dir, true)?;
        let key = schema::key(SHARD, kind::META, FolderId::TOP, &[]);
        let found = rows::value(&common.read()?, &key)?;
        let meta = match found {
            Some(_) => read_meta(common)?,
            None => begun_meta(settings)?.map_or_else(
                || Ok(Meta { format: schema::FORMAT, store_id: random()?, shards: shards.max(1), ..Meta::default() }),
                Ok::<Meta, StoreError>,
            )?,
        };
        for number in 0..meta.shards {
            let dir = shard_dir(&settings.root, number);
            body::make_dir(&dir)?;
            let env = Env::open(&dir, true)?;
            let known = rows::value(&env.read()?, &key)?.is_some();
            if !known {
                Group::new(env, Quiet).run(|txn, ()| {
                    rows::put(txn, &key, Meta { domains: true, lookups: true, ..meta.clone() }.encode())
                })?;
            }
        }
        if found_none(common, &key)? {
            Group::new(common, Quiet).run(|txn, ()| rows::put(txn, &key, meta.encode()))?;
        }
        let flushed = crate::os::durable::sync_dir(&mboxlist(&settings.root))
            .and_then(|()| crate::os::durable::sync_dir(&settings.root));
        flushed.map_err(|error| StoreError::io("flush", &settings.root, error))?;
        let group = Group::new(common, Quiet);
        for (nickname, path) in &settings.partitions {
            partition::adopt(common, &group, meta.store_id, nickname, path)?;
        }
        Ok(())
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// It does not exist, is damaged, or is of another format.
    pub fn open(settings: Settings) -> Result<Store, StoreError> {
        let held = mboxlist(&settings.root).join(OPEN_LOCK);
        let open =
            std::fs::File::open(&held).map_err(|error| StoreError::io("open the mailbox database", &held, error))?;
        recover::share(&open, &held)?;
        if recover::is_pending(&settings.root) {
            let what =
                "the recovery of the mailbox database was interrupted: start the store daemon, which goes on with it";
            return Err(StoreError::Unavailable { what: what.into() });
        }
        Store::open_held(settings, open)
    }

    /// The same with the lock of the mailbox database taken.
    fn open_held(settings: Settings, open: std::fs::File) -> Result<Store, StoreError> {
        let common_env = Env::open(&mboxlist(&settings.root).join("common"), false)?;
        let meta = read_meta(common_env)?;
        let notices = Notices::new(settings.notify_dir.clone());
        let shard = |number| Shard {
            dir: shard_dir(&settings.root, number),
            store_id: meta.store_id,
            notices: notices.clone(),
            open: OnceLock::new(),
        };
        let shards = (0..meta.shards).map(shard).collect();
        let tag: [u8; 4] = random()?;
        let process = format!("{}.{:08x}", std::process::id(), u32::from_le_bytes(tag));
        let common = Group::new(common_env, Quiet);
        let inner = Inner {
            settings,
            added: partition::Added::default(),
            quota: quota::Source::default(),
            common,
            common_env,
            shards,
            store_id: meta.store_id,
            _open: open,
            process,
            notices,
            recent: Mutex::default(),
            homes: Mutex::default(),
            running: Mutex::default(),
        };
        Ok(Store { inner: Arc::new(inner), who: None })
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Frees the reader slots of dead processes in every environment; returns how many there were.
    ///
    /// # Errors
    /// The mailbox database cannot be used.
    pub fn reap_readers(&self) -> Result<u32, StoreError> {
        let mut dead = self.inner.common_env.reap_readers()?;
        for shard in &self.inner.shards {
            dead += shard.env()?.reap_readers()?;
        }
        Ok(dead)
    }

    /// The figures of every environment, by its name: `common`, `shard00` ...
    ///
    /// # Errors
    /// The mailbox database cannot be used.
    pub fn statistics(&self) -> Result<Vec<(String, Statistics)>, StoreError> {
        let envs = std::iter::once(Ok(self.inner.common_env)).chain(self.inner.shards.iter().map(Shard::env));
        envs.map(|env| {
            let env = env?;
            let name = env.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, env.statistics()?))
        })
        .collect()
    }

    fn shard_of(&self, account: AccountId) -> Result<&Shard, StoreError> {
        let number = self.inner.home_of(account)?;
        self.inner.shards.get(number).ok_or_else(|| StoreError::missing(format!("account {account}")))
    }

    /// Runs `work` in a write transaction of the account's shard; returns when that is durable. Waits (bounded) while a folder is locked.
    fn change<T: Send>(
        &self,
        account: AccountId,
        work: impl FnMut(&mut Tx<'_, '_>) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        self.patiently(account, work)
    }

    /// The same without waiting.
    fn change_now<T: Send>(
        &self,
        account: AccountId,
        mut work: impl FnMut(&mut Tx<'_, '_>) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let (store, who) = (&*self.inner, self.who.as_deref());
        self.shard_of(account)?.group()?.run(|txn, extra| work(&mut Tx { txn, extra, store, who }))
    }

    /// Wake-ups of sessions that watch folders.
    pub fn notices(&self) -> &Notices {
        &self.inner.notices
    }
}

/// The identity under which a creation that did not come to its end has begun a store: the common environment gets its row last.
fn begun_meta(settings: &Settings) -> Result<Option<Meta>, StoreError> {
    let first = shard_dir(&settings.root, 0);
    if !first.join("data.mdb").exists() {
        return Ok(None);
    }
    let env = Env::open(&first, true)?;
    if found_none(env, &schema::key(SHARD, kind::META, FolderId::TOP, &[]))? {
        return Ok(None);
    }
    read_meta(env).map(|meta| Some(Meta { last_uidvalidity: 0, ..meta }))
}

fn found_none(env: &'static Env, key: &[u8]) -> Result<bool, StoreError> {
    Ok(env.read()?.get(key)?.is_none())
}

impl Inner {
    /// The number of the shard that holds an account.
    fn home_of(&self, account: AccountId) -> Result<usize, StoreError> {
        if let Some(known) = lock(&self.homes).get(&account) {
            return Ok(*known);
        }
        let number = self.find_home(account)?;
        lock(&self.homes).insert(account, number);
        Ok(number)
    }

    fn find_home(&self, account: AccountId) -> Result<usize, StoreError> {
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.env()?.read()?.get(&schema::account(account))?.is_some() {
                return Ok(number);
            }
        }
        Err(StoreError::missing(format!("account {account}")))
    }

    fn user(&self, userid: &str) -> Result<Option<UserRow>, StoreError> {
        let key = schema::key(SHARD, kind::USER, FolderId::TOP, userid.as_bytes());
        let row = rows::value(&self.common_env.read()?, &key)?;
        row.map(|bytes| UserRow::decode(&bytes).map_err(|_| codec::damaged(&key))).transpose()
    }

    /// An error when the file system of `path` is so full that nothing new may come in.
    fn room(&self, path: &Path) -> Result<(), StoreError> {
        let free = nix::sys::statvfs::statvfs(path)
            .map(|stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
            .map_err(|error| StoreError::io("examine the file system of", path, error.into()))?;
        if free < LOW_WATER_BYTES {
            return Err(StoreError::io("write to", path, std::io::Error::from_raw_os_error(libc::ENOSPC)));
        }
        Ok(())
    }
}

/// With less free space than this, nothing new is taken in: what is left is for expunge and purge, which need pages too.
const LOW_WATER_BYTES: u64 = 8 << 20;

const OPEN_LOCK: &str = "open.lock";

impl Tx<'_, '_> {
    /// The directory of a folder of an account.
    fn folder_dir(&self, account: AccountId, userid: &str, row: &Folder) -> Result<PathBuf, StoreError> {
        let path = rows::path(self.txn, account, row)?;
        Ok(self.store.partition(&row.partition)?.join(layout::folder_directory(userid, &path)))
    }

    /// A folder that takes part in a change: it exists, can hold messages and nobody else has it locked.
    fn open_folder(&mut self, account: AccountId, id: FolderId) -> Result<Folder, StoreError> {
        lock::respect(self, account, id)?;
        let row = rows::need_folder(self.txn, account, id)?;
        if row.noselect { Err(StoreError::missing("the mailbox")) } else { Ok(row) }
    }

    /// The next modification sequence of an account.
    fn next_modseq(row: &mut Account) -> Modseq {
        row.highest_modseq += 1;
        row.highest_modseq
    }

    /// A folder changed: its row is stored and, after the commit, announced.
    fn changed(&mut self, account: AccountId, row: &Folder) -> Result<(), StoreError> {
        rows::put_folder(self.txn, account, row)?;
        self.extra.changes.push(notify::Change { account, folder: row.id, modseq: row.highest_modseq });
        Ok(())
    }

    /// The next UIDVALIDITY of the shard: the time, or one more than the last (RFC 9051 2.3.1.1: it must rise).
    fn next_uidvalidity(&mut self, now_s: i64) -> Result<u32, StoreError> {
        let key = schema::key(SHARD, kind::META, FolderId::TOP, &[]);
        let row = rows::value(self.txn, &key)?.unwrap_or_default();
        let mut meta = Meta::decode(&row).map_err(|_| codec::damaged(&key))?;
        meta.last_uidvalidity = u32::try_from(now_s).unwrap_or(1).max(meta.last_uidvalidity.saturating_add(1)).max(1);
        rows::put(self.txn, &key, meta.encode())?;
        Ok(meta.last_uidvalidity)
    }

    /// Removes the redo rows of a folder.
    fn remove_redo(&mut self, account: AccountId, folder: FolderId) -> Result<(), StoreError> {
        // From the account's own first row on: other accounts have folders of the same number.
        let from = schema::key(SHARD, kind::REDO, folder, &account.0.to_be_bytes());
        self.remove_rows(&from, &|key| {
            schema::within(key, SHARD, kind::REDO, folder)
                && schema::rest(key).get(..8) == Some(&account.0.to_be_bytes())
        })?;
        Ok(())
    }

    /// Removes every row from `from` on for which `within` holds; returns how many.
    fn remove_rows(&mut self, from: &[u8], within: &dyn Fn(&[u8]) -> bool) -> Result<usize, StoreError> {
        let mut keys = Vec::new();
        self.txn.scan(from, &mut |key, _| {
            if !within(key) {
                return Ok(ControlFlow::Break(()));
            }
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in &keys {
            self.txn.del(key)?;
        }
        Ok(keys.len())
    }
}
