//! The IMAP daemon: its socket, its settings, its end. One connection is `connection.rs`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::connection::{self, Service};
use super::listener::{Listener, Rules};
use super::process::{self, ProcessError, Signals, Wake};
use super::throttle::Throttle;
use super::tls::{Tls, TlsError};
use super::workers::{Workers, bug};
use crate::config::{Conf, ConfigError, Instance};
use crate::directory::filter::Filters;
use crate::log::{self, Category};
use crate::ops::instance::{become_server, host_name, log_settings, open_directory};
use crate::os::user::UserError;
use crate::os::{clock, durable, memory};
use crate::protocol::imap::answer::incident;
use crate::protocol::imap::server::{Privacy, Server};
use crate::store::{Store, StoreError};
use crate::text::network::Network;

/// The name of the service, of its pid file and its log.
pub const SERVICE: &str = "imap";

/// The time between two looks at the signals.
const TICK: Duration = Duration::from_secs(1);
/// How long sessions may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);
/// Largest message that APPEND takes.
const MESSAGE_BYTES: u64 = 1 << 30;
/// Longest idle time, minutes: ten years.
const MINUTES: u32 = 10 * 366 * 24 * 60;

/// Why the daemon ended in other than good order.
#[derive(Debug, thiserror::Error)]
pub enum ImapdError {
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
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A port for TLS is wanted, and there is no TLS.
    #[error("service.imap.enablesslport is on, and {0}")]
    Tls(TlsError),
    /// The system.
    #[error("the IMAP daemon cannot go on: {0}")]
    System(#[from] io::Error),
}

/// The files below `data/proc` that tell the ports: the plain one, and the one with TLS.
const PORT_FILES: [&str; 2] = ["imap.port", "imaps.port"];

/// A socket, and what is spoken first on it.
struct Door {
    socket: std::net::TcpListener,
    /// TLS comes before the first word.
    tls: bool,
    /// The file below `data/proc` that tells the port.
    port_file: &'static str,
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration and the certificate again, for the sessions that begin later. The ports in
/// use are written to `data/proc/imap.port` and `data/proc/imaps.port`.
///
/// # Errors
/// [`ImapdError`], which is in the log as well from the point on where there is one.
pub fn run(instance: &Instance) -> Result<(), ImapdError> {
    memory::return_large_blocks();
    let conf = instance.conf()?;
    // Ports below 1024 are root's: the sockets come before the change of the account.
    let doors = doors(&conf)?;
    become_server(&conf)?;
    log::init(log_settings(instance, &conf, SERVICE, "imapd"));
    let signals = Signals::take()?;
    let pid_file = process::claim(instance, SERVICE)?;
    // One that a killed process left behind tells of a port that is not there.
    for name in PORT_FILES {
        drop(std::fs::remove_file(instance.proc_dir().join(name)));
    }
    let port_files: Vec<PathBuf> = doors.iter().map(|door| instance.proc_dir().join(door.port_file)).collect();
    let result = (|| {
        let store = crate::ops::store::open(instance, &conf)?;
        store.start_notices(SERVICE)?;
        let mut places = Vec::new();
        for (door, file) in doors.iter().zip(&port_files) {
            let address = door.socket.local_addr()?;
            durable::replace(file, format!("{}\n", address.port()).as_bytes(), 0o600)?;
            places.push(if door.tls { format!("{address} (TLS)") } else { address.to_string() });
        }
        let ready = || -> io::Result<()> {
            pid_file.set_ready()?;
            process::notify_supervisor("READY=1");
            log::notice(Category::General, format!("imapd is ready on {}", places.join(" and ")));
            Ok(())
        };
        serve(instance, &conf, doors, store, signals, ready)
    })();
    process::notify_supervisor("STOPPING=1");
    for file in &port_files {
        // It may not be there yet.
        drop(std::fs::remove_file(file));
    }
    match &result {
        Ok(()) => log::notice(Category::General, "imapd ends"),
        Err(error) => log::critical(Category::General, format!("imapd ends: {error}")),
    }
    result
}

/// Opens the sockets. The port without TLS is left out only where the service is switched off and the one with TLS is not.
fn doors(conf: &Conf) -> Result<Vec<Door>, ImapdError> {
    let mut doors = Vec::new();
    let tls = conf.bool("service.imap.enablesslport");
    if conf.bool("service.imap.enable") || !tls {
        doors.push(Door { socket: listen(conf, "service.imap.port")?, tls: false, port_file: PORT_FILES[0] });
    }
    if tls {
        doors.push(Door { socket: listen(conf, "service.imap.sslport")?, tls: true, port_file: PORT_FILES[1] });
    }
    Ok(doors)
}

fn listen(conf: &Conf, port: &str) -> Result<std::net::TcpListener, ImapdError> {
    let port = conf.int(port);
    let host = conf.string("service.listenaddr");
    let host = if host.is_empty() { "[::]".to_owned() } else { host };
    let bind = |host: &str| std::net::TcpListener::bind(format!("{host}:{port}"));
    let socket = match bind(&host) {
        // A host without IPv6.
        Err(error) if host == "[::]" && error.kind() != io::ErrorKind::AddrInUse => bind("0.0.0.0"),
        other => other,
    };
    let socket = socket.map_err(|source| ImapdError::Listen { address: format!("{host}:{port}"), source })?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn serve(
    instance: &Instance,
    conf: &Conf,
    doors: Vec<Door>,
    store: Store,
    mut signals: Signals,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), ImapdError> {
    let number = |conf: &Conf, name: &str| usize::try_from(conf.int(name)).unwrap_or(1).max(1);
    let limit = number(conf, "service.imap.maxthreads");
    let sessions = number(conf, "service.imap.maxsessions");
    raise_descriptors(sessions);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(Workers::threads(limit) + 1)
        .thread_name("imap")
        .enable_all()
        .build()?;
    let workers = Workers::new(limit);
    let listener = Listener::new(sessions);
    let (stop, stopped) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let with_tls = doors.iter().any(|door| door.tls);
    let first = match tls(conf, None) {
        Ok(None) if with_tls => return Err(ImapdError::Tls(TlsError::Off)),
        Err(error) if with_tls => return Err(ImapdError::Tls(error)),
        first => first.ok().flatten(),
    };
    let throttle = Arc::new(Throttle::default());
    let settings = |conf: &Conf, tls| settings(instance, conf, store.clone(), tls, Arc::clone(&throttle));
    let service = Arc::new(RwLock::new(Arc::new(settings(conf, first))));
    let mut accepting = tokio::task::JoinSet::new();
    for door in doors {
        let guests = Guests {
            listener: listener.clone(),
            service: Arc::clone(&service),
            workers: workers.clone(),
            stopped: stopped.clone(),
            alive: alive.clone(),
        };
        accepting.spawn_on(guests.receive(door), runtime.handle());
    }
    drop((alive, stopped));
    ready()?;
    let result = loop {
        if let Some(ended) = accepting.try_join_next() {
            break Err(ImapdError::System(ended.unwrap_or_else(io::Error::other)));
        }
        match signals.wait(TICK)? {
            Wake::Stop => break Ok(()),
            Wake::Time => {}
            Wake::Refresh => match instance.conf() {
                Ok(conf) => {
                    log::init(log_settings(instance, &conf, SERVICE, "imapd"));
                    let old = service.read().unwrap_or_else(PoisonError::into_inner).tls.clone();
                    let mut new = tls(&conf, old.as_ref()).unwrap_or_else(|_| old.clone());
                    if with_tls && new.is_none() {
                        let why = "the port with TLS is open until the service is started anew: TLS stays";
                        log::warning(Category::Network, why);
                        new = old;
                    }
                    // Made before the lock is taken: connections that begin meanwhile do not wait for the disk.
                    let new = Arc::new(settings(&conf, new));
                    *service.write().unwrap_or_else(PoisonError::into_inner) = new;
                    log::notice(Category::General, "imapd has read the configuration again");
                }
                Err(error) => {
                    log::error(
                        Category::General,
                        format!("the configuration is wrong, the old one stays in use: {error}"),
                    );
                }
            },
        }
    };
    accepting.abort_all();
    // The last sender goes with the last session.
    stop.send_replace(true);
    drop(accepting);
    runtime.block_on(async {
        drop(tokio::time::timeout(DRAIN, ended.recv()).await);
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// What the connections of a socket get.
struct Guests {
    listener: Listener,
    service: Arc<RwLock<Arc<Service>>>,
    workers: Workers,
    stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl Guests {
    /// Lets clients in until the socket fails; returns why.
    async fn receive(self, door: Door) -> io::Error {
        let socket = match TcpListener::from_std(door.socket) {
            Ok(socket) => socket,
            Err(error) => return error,
        };
        // Words in the clear say nothing to a client that begins with TLS.
        let speaks = !door.tls;
        loop {
            let caller = match self.listener.next(&socket, speaks).await {
                Ok(caller) => caller,
                Err(error) => return error,
            };
            let service = Arc::clone(&self.service.read().unwrap_or_else(PoisonError::into_inner));
            let (workers, stopped, alive) = (self.workers.clone(), self.stopped.clone(), self.alive.clone());
            let listener = self.listener.clone();
            let session = tokio::spawn(async move {
                let mut stopping = stopped.clone();
                let guest = tokio::select! {
                    guest = listener.admit(caller, &service.rules, speaks) => guest,
                    _ = stopping.wait_for(|stop| *stop) => None,
                };
                if let Some(guest) = guest {
                    connection::serve(guest, door.tls, service, workers, stopped).await;
                }
                drop(alive);
            });
            tokio::spawn(async move {
                // A bug ends its own session and no other.
                if let Err(error) = session.await
                    && error.is_panic()
                {
                    incident(format_args!("a connection ended in a bug: {}", bug(&*error.into_panic())));
                }
            });
        }
    }
}

/// TLS as the configuration has it; the log tells when there is none for a fault. `Ok(None)`: it is switched off, or was never set up. `old`: what
/// there is now, which is better than nothing.
fn tls(conf: &Conf, old: Option<&Tls>) -> Result<Option<Tls>, TlsError> {
    let result = Tls::of(conf, "imap");
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

/// What the configuration says to sessions that begin now.
fn settings(instance: &Instance, conf: &Conf, store: Store, tls: Option<Tls>, throttle: Arc<Throttle>) -> Service {
    let seconds = |name: &str| Duration::from_secs(u64::try_from(conf.int(name)).unwrap_or(0));
    let domain = |name: &str| Some(conf.string(name)).filter(|domain| !domain.is_empty());
    let privacy = Privacy {
        required: conf.bool("service.imap.requiretls"),
        password_bits: u16::try_from(conf.int("service.imap.plaintextmincipher")).ok(),
    };
    let directory = open_directory(instance, conf);
    // Whether SCRAM can be offered is known once the directory was read.
    if let Err(error) = directory.problems() {
        log::error(Category::Ldap, error.to_string());
    }
    let server = Server {
        store,
        pictures: Default::default(),
        directory,
        admins: conf.list("store.admins").into_iter().collect(),
        restrict_anyone: conf.bool("store.privatesharedfolders.restrictanyone"),
        default_domain: domain("local.defdomain"),
        login_domain: domain("service.defaultdomain"),
        privacy,
        starttls: tls.is_some() && conf.bool("service.imap.sslusessl"),
        hidden: hidden(conf),
        banner: banner(&conf.string("service.imap.banner"), &host_name(conf)),
        message_bytes: MESSAGE_BYTES,
    };
    Service {
        server: Arc::new(server),
        tls,
        // RFC 3501 section 5.4: no less than 30 minutes.
        idle: clock::minute()
            * u32::try_from(conf.int("service.imap.idletimeout")).unwrap_or(MINUTES).clamp(30, MINUTES),
        fail_pause: seconds("service.authfailpause"),
        login_pause: seconds("service.plaintextloginpause"),
        throttle,
        rules: rules(conf),
        command_rate: u32::try_from(conf.int("service.imap.maxcommandrate")).unwrap_or(0),
    }
}

/// Who may connect. What cannot be used of it is in the log.
fn rules(conf: &Conf) -> Rules {
    let wrong = |name: &str, word: &str, why: &str| log::error(Category::Network, format!("{name}: {word}: {why}"));
    let filters =
        Filters::new(&conf.string("service.imap.domainallowed"), &conf.string("service.imap.domainnotallowed"));
    for word in filters.unknown() {
        wrong("service.imap.domainallowed, domainnotallowed", word, "names are not looked up; this matches nobody");
    }
    let mut proxies = Vec::new();
    for word in conf.list("service.proxyprotocol.networks") {
        match Network::parse(&word) {
            Some(network) => proxies.push(network),
            None => wrong("service.proxyprotocol.networks", &word, "no address and no network"),
        }
    }
    // 0: no bound.
    let count = |name: &str| usize::try_from(conf.int(name)).ok().filter(|count| *count > 0).unwrap_or(usize::MAX);
    let (sessions, strangers) =
        (count("service.imap.maxsessionsperaddress"), count("service.imap.maxunauthenticatedperaddress"));
    Rules { sessions, strangers, filters, proxies }
}

fn hidden(conf: &Conf) -> HashSet<String> {
    let prefix = "service.imap.capability.";
    let off = conf.settings(prefix).into_iter().filter(|setting| crate::config::boolean(&setting.value) == Some(false));
    off.filter_map(|setting| setting.name.get(prefix.len()..).map(str::to_ascii_uppercase)).collect()
}

/// Expands the template of the greeting. Source: 6.3 Administration Guide, service.imap.banner.
fn banner(template: &str, host: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = String::new();
    let mut rest = template.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(if c.is_ascii_control() { ' ' } else { c });
            continue;
        }
        match rest.next() {
            Some('h') => text.push_str(host),
            Some('p') => text.push_str("IMAP4"),
            Some('P') => text.push_str("msgstore"),
            Some('v' | 'V') => text.push_str(version),
            Some(other) => text.push(other),
            None => text.push('%'),
        }
    }
    // The grammar wants a word (RFC 3501 resp-text).
    if text.trim().is_empty() { "IMAP4".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::banner;

    #[test]
    fn the_greeting_is_expanded() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(banner("%h %p service (%P %V)", "mail1"), format!("mail1 IMAP4 service (msgstore {version})"));
        assert_eq!(banner("100%% \r\nready%", "h"), "100%   ready%");
        assert_eq!(banner("", "h"), "IMAP4");
    }
}
