//! After a commit: who watches the folders that changed is called, in this process at once, in the daemons by a datagram, and in case both were
//! lost by a look at the shards' transaction ids.

use std::collections::HashMap;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ids::{AccountId, FolderId, Modseq};
use super::lmdb::Env;
use super::{Store, lock, rows};

/// The daemons that have a socket.
const SERVICES: &[&str] = &["imap"];
/// Changes named in one datagram; more are announced as "look at everything".
const CHANGES_MAX: usize = 64;
/// How often the shards are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A folder that changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) account: AccountId,
    pub(crate) folder: FolderId,
    pub(crate) modseq: Modseq,
}

type Callback = Box<dyn Fn() + Send + Sync>;

struct Watched {
    /// The folder's modseq when somebody was called last.
    modseq: Modseq,
    callbacks: HashMap<u64, Callback>,
}

struct Shared {
    watched: Mutex<HashMap<(AccountId, FolderId), Watched>>,
    next: AtomicU64,
    dir: Option<PathBuf>,
    socket: Option<UnixDatagram>,
    own: Mutex<Option<PathBuf>>,
    stop: AtomicBool,
}

/// The watches of a process.
#[derive(Clone)]
pub struct Notices {
    shared: Arc<Shared>,
}

/// A watch; dropped, it ends.
pub struct Subscription {
    shared: Arc<Shared>,
    place: (AccountId, FolderId),
    number: u64,
}

fn socket_path(dir: &Path, service: &str) -> PathBuf {
    dir.join(format!("{service}.notify"))
}

impl Notices {
    pub(crate) fn new(dir: Option<PathBuf>) -> Notices {
        let socket = dir.as_ref().and_then(|_| UnixDatagram::unbound().ok());
        let socket = socket.filter(|socket| socket.set_nonblocking(true).is_ok());
        let shared = Shared {
            watched: Mutex::default(),
            next: AtomicU64::new(0),
            dir,
            socket,
            own: Mutex::new(None),
            stop: AtomicBool::new(false),
        };
        Notices { shared: Arc::new(shared) }
    }

    /// Calls `callback` after changes of a folder, whoever makes them. It may be called without a change, from any thread, and must be quick. `known`:
    /// the mod-sequence up to which the caller knows the folder; what came between that and this call it has to look for once itself.
    pub fn subscribe(&self, account: AccountId, folder: FolderId, known: Modseq, callback: Callback) -> Subscription {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut watched = lock(&self.shared.watched);
        let entry =
            watched.entry((account, folder)).or_insert_with(|| Watched { modseq: known, callbacks: HashMap::new() });
        entry.callbacks.insert(number, callback);
        Subscription { shared: self.shared.clone(), place: (account, folder), number }
    }

    /// Tells everybody of changes that were committed.
    pub(crate) fn announce(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.shared.call(changes);
        let (Some(dir), Some(socket)) = (&self.shared.dir, &self.shared.socket) else {
            return;
        };
        let mut datagram = Vec::new();
        if changes.len() <= CHANGES_MAX {
            for change in changes {
                datagram.extend_from_slice(&change.account.0.to_be_bytes());
                datagram.extend_from_slice(&change.folder.0.to_be_bytes());
                datagram.extend_from_slice(&change.modseq.to_be_bytes());
            }
        }
        let own = lock(&self.shared.own).clone();
        for service in SERVICES {
            let path = socket_path(dir, service);
            if own.as_ref() != Some(&path) {
                // Nobody there, or a full queue: the daemon looks for itself.
                drop(socket.send_to(&datagram, &path));
            }
        }
    }
}

impl Shared {
    fn call(&self, changes: &[Change]) {
        let mut watched = lock(&self.watched);
        if watched.is_empty() {
            return;
        }
        for change in changes {
            if let Some(entry) = watched.get_mut(&(change.account, change.folder)) {
                entry.modseq = entry.modseq.max(change.modseq);
                entry.callbacks.values().for_each(|callback| callback());
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watched = lock(&self.shared.watched);
        if let Some(entry) = watched.get_mut(&self.place) {
            entry.callbacks.remove(&self.number);
            if entry.callbacks.is_empty() {
                watched.remove(&self.place);
            }
        }
    }
}

impl Store {
    /// Starts listening for changes of other processes as `service` (`imap`): two threads that live as long as the process. Without a
    /// notification directory only the shards are looked at.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start_notices(&self, service: &str) -> std::io::Result<()> {
        let shared = self.inner.notices.shared.clone();
        if let Some(dir) = &shared.dir {
            let path = socket_path(dir, service);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = UnixDatagram::bind(&path)?;
            *lock(&shared.own) = Some(path);
            let shared = shared.clone();
            let store = self.clone();
            std::thread::Builder::new().name("notices".into()).spawn(move || {
                let mut buffer = [0; CHANGES_MAX * 20];
                while !shared.stop.load(Ordering::Relaxed) {
                    let Ok(len) = socket.recv(&mut buffer) else {
                        continue;
                    };
                    if len == 0 {
                        store.look(None);
                        continue;
                    }
                    let changes: Vec<Change> =
                        buffer.get(..len).unwrap_or_default().chunks_exact(20).filter_map(read_change).collect();
                    shared.call(&changes);
                }
            })?;
        }
        let store = self.clone();
        std::thread::Builder::new().name("look".into()).spawn(move || {
            let mut known: Vec<u64> = vec![0; store.inner.shards.len()];
            while !store.inner.notices.shared.stop.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                for (number, (shard, last)) in store.inner.shards.iter().zip(known.iter_mut()).enumerate() {
                    let now = shard.env().and_then(Env::last_txn).unwrap_or(*last);
                    if std::mem::replace(last, now) != now {
                        store.look(Some(number));
                    }
                }
            }
        })?;
        Ok(())
    }

    /// Compares the watched folders with their rows and calls who missed something.
    fn look(&self, shard: Option<usize>) {
        let places: Vec<((AccountId, FolderId), Modseq)> =
            lock(&self.inner.notices.shared.watched).iter().map(|(place, watched)| (*place, watched.modseq)).collect();
        let mut changes = Vec::new();
        for (place, modseq) in places {
            let home = self.inner.home_of(place.0);
            let Ok(home) = home else { continue };
            if shard.is_some_and(|shard| shard != home) {
                continue;
            }
            let Some(env) = self.inner.shards.get(home).and_then(|shard| shard.env().ok()) else {
                continue;
            };
            let row = env.read().and_then(|read| rows::folder(&read, place.0, place.1));
            match row {
                Ok(Some(row)) if row.highest_modseq > modseq => {
                    changes.push(Change { account: place.0, folder: place.1, modseq: row.highest_modseq })
                }
                // Once: the number of a folder is not given again.
                Ok(None) if modseq != Modseq::MAX => {
                    changes.push(Change { account: place.0, folder: place.1, modseq: Modseq::MAX });
                }
                _ => {}
            }
        }
        self.inner.notices.shared.call(&changes);
    }
}

fn read_change(bytes: &[u8]) -> Option<Change> {
    let account = AccountId(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?));
    let folder = FolderId(u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?));
    Some(Change { account, folder, modseq: u64::from_be_bytes(bytes.get(12..20)?.try_into().ok()?) })
}
