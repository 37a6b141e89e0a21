//! The life of a service with clients: its sockets, its settings, its end. What a protocol adds is a [`Protocol`]; one connection is `line`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::line::Line;
use super::listener::{Listener, Socket, Words};
use super::process::{self, ProcessError, Signals, Wake};
use super::settings::{Parameters, Terms};
use super::sockets::{self, Address, Door, Entrance, SocketFile};
use super::throttle::Throttle;
use super::tls::{Tls, TlsError};
use super::watch::published::Published;
use super::workers::{Workers, bug};
use crate::config::{Conf, ConfigError, Instance};
use crate::counter::service::Counts;
use crate::directory::Directory;
use crate::log::{self, Category};
use crate::ops::instance::{become_server, log_settings, open_directory};
use crate::ops::quota::watch::Watch;
use crate::os::user::UserError;
use crate::os::{clock, durable, memory};
use crate::store::{Store, StoreError};

/// The time between two looks at the signals.
const TICK: Duration = Duration::from_secs(1);
/// How long sessions may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// What is fixed about a service.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The service: of its pid file, its log, its parameters `service.NAME.*`, and the access filters.
    pub service: &'static str,
    /// The process, in log lines.
    pub daemon: &'static str,
    /// The ALPN name (RFC 7301); empty: there is none.
    pub alpn: &'static str,
    /// The files below `data/proc` that tell the ports: the plain one, and the one with TLS.
    pub port_files: [&'static str; 2],
    /// What is said to a client that is not let in.
    pub words: Words,
    /// The least idle time, minutes.
    pub idle_min: u32,
}

impl Names {
    /// Clients log in; else they bring mail.
    fn has_logins(&self) -> bool {
        self.service != "lmtp"
    }
}

/// What a protocol's sessions are made of.
pub struct Material<'a> {
    /// The parameters of the service.
    pub parameters: Parameters<'a>,
    /// The store.
    pub store: Store,
    /// The user directory.
    pub directory: Directory,
    /// There is TLS, and `service.NAME.sslusessl` is on.
    pub starttls: bool,
    /// What is configured about quota, at any moment.
    pub quota: Arc<Watch>,
}

/// A protocol: what its sessions share, made anew by each refresh for the sessions that begin later.
pub trait Protocol: Sized + Send + Sync + 'static {
    /// What is fixed.
    const NAMES: Names;

    /// Where clients come to. As given: the plain port, left out only where the service is switched off and the one with TLS is not, and
    /// the one with TLS.
    fn addresses(parameters: Parameters<'_>) -> Vec<Address> {
        sockets::ports(parameters, Self::NAMES.port_files)
    }

    /// From the configuration; `before`: what was in use until now.
    fn from(material: Material<'_>, before: Option<&Self>) -> Self;

    /// Serves a client until it goes, is sent away, or the service ends. `entrance`: what the door gives, encryption before the first word (RFC 8314) for one.
    fn serve(self: Arc<Self>, line: Line, entrance: Entrance) -> impl Future<Output = ()> + Send;
}

/// Why a service ended in other than good order.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account of the services cannot be used.
    #[error(transparent)]
    User(#[from] UserError),
    /// Its pid file, or another daemon.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] StoreError),
    /// There is nothing to listen on.
    #[error("neither a port nor a socket is set to listen on")]
    Nowhere,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A port for TLS is wanted, and there is no TLS.
    #[error("service.{service}.enablesslport is on, and {error}")]
    Tls {
        /// The service.
        service: &'static str,
        /// Why.
        error: Box<TlsError>,
    },
    /// The system.
    #[error("the service cannot go on: {0}")]
    System(#[from] io::Error),
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration and the certificate again, for the sessions that begin later. The ports in
/// use are written to files below `data/proc`.
///
/// # Errors
/// [`NetworkError`], which is in the log as well from the point on where there is one.
pub fn run<P: Protocol>(instance: &Instance) -> Result<(), NetworkError> {
    memory::return_large_blocks();
    let names = P::NAMES;
    let conf = instance.conf()?;
    // Ports below 1024 are root's: the sockets come before the change of the account.
    let doors = sockets::open(&P::addresses(Parameters::new(&conf, names.service)), &conf)?;
    become_server(&conf)?;
    log::init(log_settings(instance, &conf, names.service, names.daemon));
    let signals = Signals::take()?;
    let mut pid_file = process::claim(instance, names.service)?;
    // One that a killed process left behind tells of a port that is not there.
    for name in names.port_files {
        drop(std::fs::remove_file(instance.proc_dir().join(name)));
    }
    let sockets: Vec<SocketFile> = doors.iter().filter_map(|door| door.socket_file.clone()).collect();
    let mut temporary: Vec<PathBuf> = Vec::new();
    let result = (|| {
        let store = crate::ops::store::open(instance, &conf)?;
        store.start_notices(names.service)?;
        let mut places = Vec::new();
        for door in &doors {
            match (door.address()?, door.port_file) {
                (Some(address), Some(name)) => {
                    let file = instance.proc_dir().join(name);
                    temporary.push(file.clone());
                    durable::replace(&file, format!("{}\n", address.port()).as_bytes(), 0o600)?;
                    places.push(if door.entrance.tls { format!("{address} (TLS)") } else { address.to_string() });
                }
                (address, _) => {
                    places.push(address.map_or_else(|| door.name.clone(), |one: SocketAddr| one.to_string()))
                }
            }
        }
        let ready = || -> io::Result<()> {
            pid_file.set_ready()?;
            process::notify_supervisor("READY=1");
            log::notice(Category::General, format!("{} is ready on {}", names.daemon, places.join(" and ")));
            Ok(())
        };
        serve::<P>(instance, &conf, doors, store, signals, ready)
    })();
    process::notify_supervisor("STOPPING=1");
    sockets.iter().for_each(SocketFile::remove);
    for file in &temporary {
        // It may not be there yet, or not be ours to remove.
        drop(std::fs::remove_file(file));
    }
    match &result {
        Ok(()) => log::notice(Category::General, format!("{} ends", names.daemon)),
        Err(error) => {
            pid_file.set_failed();
            log::critical(Category::General, format!("{} ends: {error}", names.daemon));
        }
    }
    result
}

/// What sessions that begin now are told.
struct Service<P> {
    protocol: Arc<P>,
    terms: Arc<Terms>,
}

type Current<P> = Arc<RwLock<Arc<Service<P>>>>;

/// Makes what sessions are told, from the configuration.
struct Maker {
    instance: Instance,
    store: Store,
    throttle: Arc<Throttle>,
    /// There is a port with TLS.
    with_tls: bool,
}

impl Maker {
    fn make<P: Protocol>(&self, conf: &Conf, tls: Option<Tls>, before: Option<&P>) -> Service<P> {
        let parameters = Parameters::new(conf, P::NAMES.service);
        let directory = open_directory(&self.instance, conf);
        // Whether SCRAM can be offered is known once the directory was read.
        if let Err(error) = directory.prepare() {
            log::error(Category::Ldap, error.to_string());
        }
        let starttls = tls.is_some() && parameters.bool("sslusessl");
        let terms = parameters.terms(tls, Arc::clone(&self.throttle), P::NAMES.idle_min);
        let quota = Watch::new(&self.instance, conf);
        let material = Material { parameters, store: self.store.clone(), directory, starttls, quota };
        Service { protocol: Arc::new(P::from(material, before)), terms: Arc::new(terms) }
    }

    fn first<P: Protocol>(&self, conf: &Conf) -> Result<Service<P>, NetworkError> {
        let failed = |error| NetworkError::Tls { service: P::NAMES.service, error: Box::new(error) };
        let first = match tls(conf, P::NAMES.alpn, None) {
            Ok(None) if self.with_tls => return Err(failed(TlsError::Off)),
            Err(error) if self.with_tls => return Err(failed(error)),
            first => first.ok().flatten(),
        };
        Ok(self.make(conf, first, None))
    }

    fn refresh<P: Protocol>(&self, current: &Current<P>) {
        let conf = match self.instance.conf() {
            Ok(conf) => conf,
            Err(error) => {
                let why = format!("the configuration is wrong, the old one stays in use: {error}");
                log::error(Category::General, why);
                return;
            }
        };
        let names = P::NAMES;
        log::init(log_settings(&self.instance, &conf, names.service, names.daemon));
        let before = Arc::clone(&current.read().unwrap_or_else(PoisonError::into_inner));
        let old = before.terms.tls.clone();
        let mut new = tls(&conf, names.alpn, old.as_ref()).unwrap_or_else(|_| old.clone());
        if self.with_tls && new.is_none() {
            let why = "the port with TLS is open until the service is started anew: TLS stays";
            log::warning(Category::Network, why);
            new = old;
        }
        // Made before the lock is taken: connections that begin meanwhile do not wait for the disk.
        let new = Arc::new(self.make(&conf, new, Some(&*before.protocol)));
        *current.write().unwrap_or_else(PoisonError::into_inner) = new;
        log::notice(Category::General, format!("{} has read the configuration again", names.daemon));
    }
}

/// Refreshes on a thread of its own, whenever it is told to: it asks the directory, whose servers may take their time, and signals do not wait for that.
/// The thread ends with the process.
fn refreshing<P: Protocol>(maker: Maker, current: Current<P>) -> io::Result<SyncSender<()>> {
    let (ask, asked) = sync_channel(1);
    let work = move || asked.into_iter().for_each(|()| maker.refresh(&current));
    std::thread::Builder::new().name("refresh".to_owned()).spawn(work)?;
    Ok(ask)
}

fn serve<P: Protocol>(
    instance: &Instance,
    conf: &Conf,
    doors: Vec<Door>,
    store: Store,
    mut signals: Signals,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), NetworkError> {
    let names = P::NAMES;
    let parameters = Parameters::new(conf, names.service);
    let (limit, sessions) = (parameters.count("maxthreads"), parameters.count("maxsessions"));
    raise_descriptors(sessions);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(Workers::threads(limit) + 1)
        .thread_name(names.service)
        .enable_all()
        .build()?;
    let (stop, stopped) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let with_tls = doors.iter().any(|door| door.entrance.tls);
    let figures = Arc::new(Counts::new(names.has_logins(), clock::now_s()));
    let mut published = Published::of(instance, names.service);
    let maker = Maker { instance: instance.clone(), store, throttle: Arc::new(Throttle::default()), with_tls };
    let guests = Guests {
        listener: Listener::new(names.words, sessions, Arc::clone(&figures)),
        current: Arc::new(RwLock::new(Arc::new(maker.first::<P>(conf)?))),
        workers: Workers::new(limit),
        stopped,
        alive,
    };
    let current = Arc::clone(&guests.current);
    let mut accepting = tokio::task::JoinSet::new();
    for door in doors {
        accepting.spawn_on(guests.clone().receive(door), runtime.handle());
    }
    drop(guests);
    let refresh = refreshing(maker, current)?;
    ready()?;
    published.publish(figures.counters(), clock::now_s());
    let result = loop {
        if let Some(ended) = accepting.try_join_next() {
            break Err(NetworkError::System(ended.unwrap_or_else(io::Error::other)));
        }
        match signals.wait(TICK)? {
            Wake::Stop => break Ok(()),
            Wake::Time => {}
            // One that waits already will read what is configured by then.
            Wake::Refresh => drop(refresh.try_send(())),
        }
        published.publish(figures.counters(), clock::now_s());
    };
    accepting.abort_all();
    // The last sender goes with the last session.
    stop.send_replace(true);
    drop(accepting);
    runtime.block_on(async {
        drop(tokio::time::timeout(DRAIN, ended.recv()).await);
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    published.publish(figures.counters(), clock::now_s());
    result
}

/// What the connections of a socket get.
struct Guests<P> {
    listener: Listener,
    current: Current<P>,
    workers: Workers,
    stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl<P> Clone for Guests<P> {
    fn clone(&self) -> Guests<P> {
        Guests {
            listener: self.listener.clone(),
            current: Arc::clone(&self.current),
            workers: self.workers.clone(),
            stopped: self.stopped.clone(),
            alive: self.alive.clone(),
        }
    }
}

impl<P: Protocol> Guests<P> {
    /// Lets clients in until the socket fails; returns why.
    async fn receive(self, door: Door) -> io::Error {
        // Words in the clear say nothing to a client that begins with TLS.
        let (entrance, speaks) = (door.entrance, !door.entrance.tls);
        let socket: Socket = match door.socket() {
            Ok(socket) => socket,
            Err(error) => return error,
        };
        loop {
            let caller = match self.listener.next(&socket, speaks).await {
                Ok(caller) => caller,
                Err(error) => return error,
            };
            let service = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
            let guests = self.clone();
            let session = tokio::spawn(async move {
                let Guests { listener, workers, stopped, alive, .. } = guests;
                let mut stopping = stopped.clone();
                let guest = tokio::select! {
                    guest = listener.admit(caller, &service.terms.rules, speaks) => guest,
                    _ = stopping.wait_for(|stop| *stop) => None,
                };
                if let Some(guest) = guest {
                    let line = Line::new(guest, Arc::clone(&service.terms), workers, stopped);
                    Arc::clone(&service.protocol).serve(line, entrance).await;
                }
                drop(alive);
            });
            tokio::spawn(async move {
                // A bug ends its own session and no other.
                if let Err(error) = session.await
                    && error.is_panic()
                {
                    let words = format!("a connection ended in a bug: {}", bug(&*error.into_panic()));
                    log::incident(Category::General, &words);
                }
            });
        }
    }
}

/// TLS as the configuration has it; the log tells when there is none for a fault. `Ok(None)`: it is switched off, or was never set up. `old`: what
/// there is now, which is better than nothing.
fn tls(conf: &Conf, alpn: &str, old: Option<&Tls>) -> Result<Option<Tls>, TlsError> {
    let result = Tls::of(conf, alpn);
    match &result {
        Err(error) if old.is_some() => {
            log::error(Category::Network, format!("the old certificate stays in use: {error}"));
        }
        Err(error) => log::error(Category::Network, format!("no TLS: {error}")),
        Ok(None) => log::notice(Category::Network, "no TLS: it is switched off, or there is no certificate"),
        Ok(Some(_)) => {}
    }
    result
}

/// Descriptors beside those of the sessions, and those of one session.
const DESCRIPTORS: usize = 851;
const DESCRIPTORS_EACH: usize = 3;

/// Raises the limit of descriptors as far as it goes; says in the documented words when that is not enough.
fn raise_descriptors(sessions: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = sessions.saturating_mul(DESCRIPTORS_EACH).saturating_add(DESCRIPTORS);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let raised = hard.min(wanted as u64).max(soft);
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() { raised } else { soft };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit >= wanted {
        return;
    }
    let possible = (limit.saturating_sub(DESCRIPTORS).saturating_add(DESCRIPTORS_EACH - 1) / DESCRIPTORS_EACH).max(1);
    log::critical(
        Category::General,
        format!(
            "Not enough file descriptors to support {sessions} sessions per process; Recommend ulimit -n {wanted} or {possible} sessions per process."
        ),
    );
}
