//! **Here**: the LMDB binding, walled in: environments opened once a process, short read transactions, group commit, growth of the map.
//! **Not here**: what rows mean (`store/schema.rs`, `store/record`).
//! **Start**: [`Env::open`], [`Env::read`], then `commit.rs`.
//! **Rules**: an environment is opened once a process and never closed (a second open would wipe the reader table: closing any descriptor
//! drops the process's POSIX locks); `MDB_NOTLS` always; transactions are passed down as arguments, never opened by callees; a write
//! transaction begins and ends on one thread; cursors never leave this room; `NOSYNC`, `WRITEMAP`, `NOLOCK` stay off.
//! **Sources**: lmdb.h of LMDB 0.9.24.

#![allow(unsafe_code)]

mod commit;
mod gate;
pub(crate) mod pages;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lmdb::{
    Cursor, Environment, EnvironmentFlags, InactiveTransaction, RoTransaction, RwTransaction, Transaction, WriteFlags,
};

pub(crate) use commit::{Batch, Group};

use super::error::StoreError;
use gate::{Gate, Pass};

/// Reader slots of an environment; the first opener fixes the number, so every opener names the same.
const READERS: u32 = 2048;
/// Address space reserved for an environment at first. The tests are one process that opens a thousand environments, which must fit into 128 TiB.
pub(crate) const MAP_BYTES: usize = if cfg!(feature = "failpoints") { 4 << 30 } else { 64 << 30 };
/// How long a change of the map's size waits for this process's transactions to end: they are short.
const GROW_PATIENCE: Duration = Duration::from_secs(30);
/// Idle read transactions kept for renewal.
const POOL: usize = 64;

/// Pages that may be missing at the end of a sound data file.
const SLACK_PAGES: u64 = 64;

const FIRST: u32 = 0;
const NEXT: u32 = 8;
const SET_RANGE: u32 = 17;

/// One LMDB environment with its one database.
pub(crate) struct Env {
    raw: Environment,
    db: lmdb::Database,
    path: PathBuf,
    /// Device and inode of the data file.
    inode: (u64, u64),
    /// Transactions share it; a change of the map's size takes it alone.
    gate: Gate,
    idle: Mutex<Vec<Idle>>,
}

struct Idle(InactiveTransaction<'static>);

/// Figures of an environment; sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Statistics {
    pub rows: u64,
    pub depth: u64,
    pub page_bytes: u64,
    pub branch_pages: u64,
    pub leaf_pages: u64,
    pub overflow_pages: u64,
    pub last_page: u64,
    pub map_bytes: u64,
    pub last_txn: u64,
    pub reader_slots: u64,
    pub readers: u64,
}

// SAFETY: the environment is opened with MDB_NOTLS, so a reset read transaction is bound to a slot, not to a thread.
unsafe impl Send for Idle {}

/// Called with a key and its value; breaks to end the scan.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'v;

/// Rows that can be read, in a read or in a write transaction.
pub(crate) trait Rows {
    /// The value stored under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StoreError>;
    /// Calls `visit` with every row from `from` on, in key order, until it breaks.
    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// A snapshot of an environment.
pub(crate) struct Read<'e> {
    txn: Option<RoTransaction<'static>>,
    env: &'e Env,
    _gate: Pass<'e>,
}

/// A write transaction (or a savepoint in one).
pub(crate) struct Write<'t> {
    txn: RwTransaction<'t>,
    db: lmdb::Database,
}

impl StoreError {
    fn from_lmdb(error: lmdb::Error) -> StoreError {
        match error {
            lmdb::Error::MapFull => StoreError::MapFull,
            other => StoreError::database(Path::new("shard"), other),
        }
    }

    fn database(path: &Path, error: lmdb::Error) -> StoreError {
        let no_space = matches!(error, lmdb::Error::Other(code) if code == libc::ENOSPC || code == libc::EDQUOT);
        StoreError::Database { place: path.display().to_string(), what: error.to_string(), no_space }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn registry() -> &'static Mutex<HashMap<(u64, u64), &'static Env>> {
    static REGISTRY: OnceLock<Mutex<HashMap<(u64, u64), &'static Env>>> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default)
}

impl Env {
    /// Opens the environment in the directory `path`, or returns the one this process has open already.
    /// With `create` the files may be made; without it their absence is an error.
    pub(crate) fn open(path: &Path, create: bool) -> Result<&'static Env, StoreError> {
        Env::open_with(path, create, MAP_BYTES)
    }

    /// The same with `map_bytes` of address space, where it is not open yet.
    fn open_with(path: &Path, create: bool, map_bytes: usize) -> Result<&'static Env, StoreError> {
        let data = path.join("data.mdb");
        let mut known = lock(registry());
        match std::fs::metadata(&data) {
            Ok(meta) => {
                if let Some(env) = known.get(&(meta.dev(), meta.ino())) {
                    return Ok(env);
                }
                check_size(&data, meta.len())?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable {
                    what: format!("the mailbox database {} is not there", data.display()),
                });
            }
            Err(error) => return Err(StoreError::io("open the mailbox database", &data, error)),
        }
        let raw = Environment::new()
            .set_flags(EnvironmentFlags::NO_TLS)
            .set_max_readers(READERS)
            .set_map_size(map_bytes)
            .open_with_permissions(path, 0o600)
            .map_err(|error| StoreError::database(path, error))?;
        let db = if create { raw.create_db(None, lmdb::DatabaseFlags::empty()) } else { raw.open_db(None) }
            .map_err(|error| StoreError::database(path, error))?;
        let meta =
            std::fs::metadata(&data).map_err(|error| StoreError::io("open the mailbox database", &data, error))?;
        // Never closed: see the rules of this room.
        let env: &'static Env = Box::leak(Box::new(Env {
            raw,
            db,
            path: path.to_owned(),
            inode: (meta.dev(), meta.ino()),
            gate: Gate::default(),
            idle: Mutex::default(),
        }));
        known.insert((meta.dev(), meta.ino()), env);
        drop(known);
        env.reap_readers()?;
        Ok(env)
    }

    /// The directory of the environment.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fail(&self, error: lmdb::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }

    /// Begins a read transaction. It pins its snapshot: keep it short.
    pub(crate) fn read(&'static self) -> Result<Read<'static>, StoreError> {
        for _ in 0..8 {
            let gate = self.gate.enter();
            let idle = lock(&self.idle).pop();
            let begun = match idle {
                Some(Idle(idle)) => idle.renew(),
                None => self.raw.begin_ro_txn(),
            };
            match begun {
                Ok(txn) => {
                    return Ok(Read { txn: Some(txn), env: self, _gate: gate });
                }
                Err(lmdb::Error::MapResized) => {
                    drop(gate);
                    self.grow(0)?;
                }
                Err(lmdb::Error::ReadersFull) => {
                    drop(gate);
                    self.reap_readers()?;
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
        Err(StoreError::Unavailable { what: format!("no reader slot of {} came free", self.path.display()) })
    }

    /// Enlarges the map to `bytes`; 0 takes over the size another process has set.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), StoreError> {
        let alone = self.gate.alone(GROW_PATIENCE);
        let _alone = alone.ok_or_else(|| StoreError::Unavailable {
            what: format!("{} has to grow while it is being read", self.path.display()),
        })?;
        // Reset transactions keep pointers into the old map only until they are renewed, but they are cheap: let them go.
        lock(&self.idle).clear();
        self.raw.set_map_size(bytes).map_err(|error| self.fail(error))
    }

    /// True while this thread holds a transaction of it.
    fn is_being_read(&self) -> bool {
        self.gate.is_mine()
    }

    /// The size of the map in bytes.
    pub(crate) fn map_bytes(&self) -> Result<usize, StoreError> {
        // LMDB looks into the map, which is not there for a moment while its size changes.
        let _gate = self.gate.enter();
        Ok(self.raw.info().map_err(|error| self.fail(error))?.map_size())
    }

    /// The id of the last committed transaction: a memory read.
    pub(crate) fn last_txn(&self) -> Result<u64, StoreError> {
        let _gate = self.gate.enter();
        Ok(self.raw.info().map_err(|error| self.fail(error))?.last_txnid() as u64)
    }

    /// Its figures at the moment.
    pub(crate) fn statistics(&self) -> Result<Statistics, StoreError> {
        let _gate = self.gate.enter();
        let stat = self.raw.stat().map_err(|error| self.fail(error))?;
        let info = self.raw.info().map_err(|error| self.fail(error))?;
        Ok(Statistics {
            rows: stat.entries() as u64,
            depth: u64::from(stat.depth()),
            page_bytes: u64::from(stat.page_size()),
            branch_pages: stat.branch_pages() as u64,
            leaf_pages: stat.leaf_pages() as u64,
            overflow_pages: stat.overflow_pages() as u64,
            last_page: info.last_pgno() as u64,
            map_bytes: info.map_size() as u64,
            last_txn: info.last_txnid() as u64,
            reader_slots: u64::from(info.max_readers()),
            readers: u64::from(info.num_readers()),
        })
    }

    /// Frees the reader slots of dead processes; returns how many there were.
    pub(crate) fn reap_readers(&self) -> Result<u32, StoreError> {
        let mut dead: libc::c_int = 0;
        // SAFETY: the environment lives as long as the process; `dead` is a valid pointer for the call.
        let code = unsafe { lmdb_sys::mdb_reader_check(self.raw.env(), &mut dead) };
        if code != 0 {
            return Err(self.fail(lmdb::Error::from_err_code(code)));
        }
        Ok(u32::try_from(dead).unwrap_or(0))
    }

    /// A consistent copy of the environment at `target` (a directory that exists and is empty), compacted where that can be done. The copy is not flushed.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<(), StoreError> {
        use std::os::unix::ffi::OsStrExt;
        let _gate = self.gate.enter();
        let name = std::ffi::CString::new(target.as_os_str().as_bytes())
            .map_err(|_| StoreError::Invalid { what: "a path with a NUL byte".into() })?;
        // SAFETY: the environment lives as long as the process; `name` is a NUL-terminated string that outlives the call.
        let copy = |flags| unsafe { lmdb_sys::mdb_env_copy2(self.raw.env(), name.as_ptr(), flags) };
        let mut code = copy(lmdb_sys::MDB_CP_COMPACT);
        if code == lmdb_sys::MDB_INCOMPATIBLE {
            // A page that leaked keeps LMDB from compacting; it is no damage.
            drop(std::fs::remove_file(target.join("data.mdb")));
            code = copy(0);
        }
        if code == 0 { Ok(()) } else { Err(self.fail(lmdb::Error::from_err_code(code))) }
    }

    /// Begins the write transaction of this environment: waits for the other processes' writers. The guard keeps the map's size.
    fn write(&'static self) -> Result<(Pass<'static>, Write<'static>), StoreError> {
        let there =
            std::fs::metadata(self.path.join("data.mdb")).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode);
        if !there {
            let what =
                format!("{} is not the file any more that this process has open: restart it", self.path.display());
            return Err(StoreError::Unavailable { what });
        }
        for _ in 0..8 {
            let gate = self.gate.enter();
            match self.raw.begin_rw_txn() {
                Ok(txn) => return Ok((gate, Write { txn, db: self.db })),
                Err(lmdb::Error::MapResized) => {
                    drop(gate);
                    self.grow(0)?;
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
        Err(StoreError::Unavailable { what: format!("{} keeps growing", self.path.display()) })
    }
}

/// LMDB itself does not look: a truncated file would end in SIGBUS at the first read behind its end.
fn check_size(data: &Path, bytes: u64) -> Result<(), StoreError> {
    use std::os::unix::fs::FileExt;
    if bytes == 0 {
        return Ok(());
    }
    let short = |bytes: u64| StoreError::Corrupt {
        what: format!("the file is cut off at {bytes} bytes"),
        place: data.display().to_string(),
    };
    let file = std::fs::File::open(data).map_err(|error| StoreError::io("open the mailbox database", data, error))?;
    let mut last = 0u64;
    for page in 0..2u64 {
        // Page header 16 bytes, then MDB_meta: magic, version, address, mapsize, two MDB_db of 48 bytes, last page number.
        let mut head = [0u8; 16 + 4 + 4 + 8 + 8 + 96 + 8];
        if file.read_exact_at(&mut head, page * 4096).is_err() {
            return Err(short(bytes));
        }
        let number = |at: usize| head.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
        last = last.max(number(16 + 4 + 4 + 8 + 8 + 96));
    }
    // Pages that were taken and given back in one transaction are never written: a few may be missing at the end of a sound file.
    if bytes.saturating_add(SLACK_PAGES * 4096) < last.saturating_add(1).saturating_mul(4096) {
        Err(short(bytes))
    } else {
        Ok(())
    }
}

impl Drop for Read<'_> {
    fn drop(&mut self) {
        if let Some(txn) = self.txn.take() {
            let idle = Idle(txn.reset());
            let mut pool = lock(&self.env.idle);
            if pool.len() < POOL {
                pool.push(idle);
            }
        }
    }
}

fn scan_cursor<'t, C: Cursor<'t>>(
    cursor: &C,
    path: &dyn Fn(lmdb::Error) -> StoreError,
    from: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let mut at = if from.is_empty() { cursor.get(None, None, FIRST) } else { cursor.get(Some(from), None, SET_RANGE) };
    loop {
        match at {
            Ok((Some(key), value)) => {
                if visit(key, value)?.is_break() {
                    return Ok(());
                }
            }
            Ok((None, _)) | Err(lmdb::Error::NotFound) => return Ok(()),
            Err(error) => return Err(path(error)),
        }
        at = cursor.get(None, None, NEXT);
    }
}

impl Rows for Read<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        let Some(txn) = &self.txn else {
            return Ok(None);
        };
        match txn.get(self.env.db, &key) {
            Ok(value) => Ok(Some(value)),
            Err(lmdb::Error::NotFound) => Ok(None),
            Err(error) => Err(self.env.fail(error)),
        }
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let Some(txn) = &self.txn else { return Ok(()) };
        let cursor = txn.open_ro_cursor(self.env.db).map_err(|error| self.env.fail(error))?;
        scan_cursor(&cursor, &|error| self.env.fail(error), from, visit)
    }
}

impl Rows for Write<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        match self.txn.get(self.db, &key) {
            Ok(value) => Ok(Some(value)),
            Err(lmdb::Error::NotFound) => Ok(None),
            Err(error) => Err(StoreError::from_lmdb(error)),
        }
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let cursor = self.txn.open_ro_cursor(self.db).map_err(StoreError::from_lmdb)?;
        scan_cursor(&cursor, &StoreError::from_lmdb, from, visit)
    }
}

impl Write<'_> {
    /// Stores a row.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.txn.put(self.db, &key, &value, WriteFlags::empty()).map_err(StoreError::from_lmdb)
    }

    /// Removes a row; true if there was one.
    pub(crate) fn del(&mut self, key: &[u8]) -> Result<bool, StoreError> {
        match self.txn.del(self.db, &key, None) {
            Ok(()) => Ok(true),
            Err(lmdb::Error::NotFound) => Ok(false),
            Err(error) => Err(StoreError::from_lmdb(error)),
        }
    }

    fn nested(&mut self) -> Result<Write<'_>, StoreError> {
        let db = self.db;
        Ok(Write { txn: self.txn.begin_nested_txn().map_err(StoreError::from_lmdb)?, db })
    }

    fn commit(self) -> Result<(), StoreError> {
        self.txn.commit().map_err(StoreError::from_lmdb)
    }
}
