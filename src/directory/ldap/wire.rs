//! Connections to the servers: made, kept, and made again. A thread with a runtime of its own drives them, so that whoever asks just waits, on whatever
//! thread it is.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::settings::{Encryption, Settings};
use crate::log::{self, Category};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No server can be asked now: what is wrong.
    Unreachable(String),
    /// The server answered with something else than success: result code (RFC 4511 appendix A) and words.
    Code(u32, String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unreachable(reason) => f.write_str(reason),
            Failure::Code(code, words) => f.write_str(format!("result code {code} {words}").trim_end()),
        }
    }
}

impl From<LdapError> for Failure {
    fn from(error: LdapError) -> Failure {
        match error {
            LdapError::LdapResult { result } => Failure::of(&result),
            error => Failure::Unreachable(error.to_string()),
        }
    }
}

impl Failure {
    pub(super) fn of(result: &LdapResult) -> Failure {
        let refs = result.refs.join(" ");
        let words = [result.text.trim(), refs.as_str()].into_iter().filter(|text| !text.is_empty());
        Failure::Code(result.rc, words.collect::<Vec<_>>().join(" "))
    }

    /// Another server may answer the same question.
    fn is_of_the_server(&self) -> bool {
        match self {
            Failure::Unreachable(_) => true,
            Failure::Code(code, _) => DOES_NOT_SERVE.contains(code),
        }
    }
}

/// Result codes of a server that does not serve now, whatever it is asked: busy, unavailable, other.
const DOES_NOT_SERVE: [u32; 3] = [51, 52, 80];

/// A connection to one of the servers.
pub(super) struct Connection {
    pub(super) ldap: Ldap,
    /// Which of the servers it is.
    server: usize,
    since: Instant,
    used: Instant,
}

/// What all questions share.
struct Shared {
    settings: Settings,
    urls: Vec<String>,
    idle: Mutex<Vec<Connection>>,
    /// The server that answered last: the others are tried after it.
    preferred: AtomicUsize,
    /// When it began to be preferred although it is not the first.
    away_since: Mutex<Option<Instant>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// The thread, as long as anybody holds it.
struct Driver {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

/// The way to the servers.
pub(super) struct Wire {
    shared: Arc<Shared>,
    driver: Mutex<Option<Driver>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("urls", &self.shared.urls).finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(settings: Settings) -> Wire {
        let shared = Shared {
            urls: settings.urls(),
            settings,
            idle: Mutex::default(),
            preferred: AtomicUsize::new(0),
            away_since: Mutex::default(),
            tls: OnceLock::new(),
        };
        Wire { shared: Arc::new(shared), driver: Mutex::new(None) }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The servers, for messages.
    pub(super) fn name(&self) -> String {
        self.shared.urls.join(" ")
    }

    /// Has `question` answered on a connection that is bound as who asks. Where a connection that was kept turns out to be dead, or a server does not
    /// serve, it is asked again on a new one: a question must be such that it can be asked twice.
    pub(super) fn ask<T, A>(&self, question: impl Fn(Ldap) -> A + Send + 'static) -> Result<T, Failure>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Failure>> + Send,
    {
        let shared = Arc::clone(&self.shared);
        self.run(async move {
            if let Some(kept) = shared.take() {
                // A connection that something between here and there has forgotten does not end, it is silent.
                match timeout(shared.settings.search_timeout / 2, question(kept.ldap.clone())).await {
                    Ok(Err(failure)) if failure.is_of_the_server() => shared.forget(),
                    Ok(answer) => {
                        shared.give(kept);
                        return answer;
                    }
                    Err(_) => shared.forget(),
                }
            }
            shared.ask_anew(true, question).await
        })
    }

    /// Has a change made, on a new connection, and never twice: after a failure it may have been made.
    pub(super) fn change<T, A>(&self, change: impl FnOnce(Ldap) -> A + Send + 'static) -> Result<T, Failure>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Failure>> + Send,
    {
        let shared = Arc::clone(&self.shared);
        self.run(async move {
            let Connection { ldap, server, .. } = shared.reach(true, None).await?;
            let answer = shared.in_time(change(ldap)).await;
            shared.judge(server, &answer);
            answer
        })
    }

    /// A connection for a dialogue of several questions; it is not given back.
    pub(super) fn connection(&self) -> Result<Connection, Failure> {
        let shared = Arc::clone(&self.shared);
        self.run(async move { shared.reach(true, None).await })
    }

    /// Has a question answered on that connection.
    pub(super) fn ask_on<T, A>(&self, connection: &Connection, answer: A) -> Result<T, Failure>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let (shared, server) = (Arc::clone(&self.shared), connection.server);
        self.run(async move {
            let answer = shared.in_time(answer).await;
            shared.judge(server, &answer);
            answer
        })
    }

    /// Is this the password of the entry? Asked by a bind on a connection of its own.
    pub(super) fn bind(&self, dn: &str, password: &str) -> Result<LdapResult, Failure> {
        // Without a name or a password it would be a bind as nobody, which succeeds (RFC 4513 section 5.1).
        if dn.is_empty() || password.is_empty() {
            return Err(Failure::Unreachable("a bind needs a name and a password".to_owned()));
        }
        let (shared, dn, password) = (Arc::clone(&self.shared), dn.to_owned(), password.to_owned());
        self.run(async move {
            let question = |mut ldap: Ldap| {
                let (dn, password) = (dn.clone(), password.clone());
                async move {
                    let result = ldap.simple_bind(&dn, &password).await?;
                    let _ = ldap.unbind().await;
                    if DOES_NOT_SERVE.contains(&result.rc) { Err(Failure::of(&result)) } else { Ok(result) }
                }
            };
            shared.ask_anew(false, question).await
        })
    }

    /// Runs something on the thread of the connections and waits for it.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (say, heard) = mpsc::channel();
        let handle = self.handle().map_err(|error| Failure::Unreachable(error.to_string()))?;
        handle.spawn(async move {
            // Nobody waits any more when this process ends.
            let _ = say.send(work.await);
        });
        heard.recv().unwrap_or_else(|_| Err(Failure::Unreachable("the answer cannot be read".to_owned())))
    }

    /// The runtime; its thread is started when it is first needed, so that a process can become another user before.
    fn handle(&self) -> std::io::Result<Handle> {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.as_ref() {
            return Ok(driver.handle.clone());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("ldap".to_owned()).spawn(move || {
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        *driver = Some(Driver { handle: handle.clone(), _end: end });
        Ok(handle)
    }
}

fn too_late(limit: Duration) -> Failure {
    Failure::Unreachable(format!("no answer within {} seconds", limit.as_secs_f32()))
}

impl Shared {
    /// A kept connection to the server that is asked now.
    fn take(&self) -> Option<Connection> {
        let server = self.first();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh = self.settings.pool_refresh;
        idle.retain_mut(|kept| {
            let is_young = refresh.is_none_or(|limit| kept.since.elapsed() < limit) && kept.used.elapsed() < UNUSED;
            is_young && kept.server == server && !kept.ldap.is_closed()
        });
        idle.pop()
    }

    fn give(&self, kept: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.settings.pool_size {
            idle.push(Connection { used: Instant::now(), ..kept });
        }
    }

    /// True when the server did serve, whatever its answer is; one that did not is not asked for a while.
    fn judge<T>(&self, server: usize, answer: &Result<T, Failure>) -> bool {
        match answer {
            Err(failure) if failure.is_of_the_server() => {
                self.avoid(server, failure);
                false
            }
            _ => true,
        }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let limit = self.settings.search_timeout;
        timeout(limit, answer).await.unwrap_or_else(|_| Err(too_late(limit)))
    }

    /// Asks on a new connection, and where that server turns out not to serve, once more on another one. Only connections that are bound are kept.
    async fn ask_anew<T, A>(&self, bound: bool, question: impl Fn(Ldap) -> A) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, Failure>>,
    {
        let fresh = self.reach(bound, None).await?;
        let (server, answer) = (fresh.server, self.in_time(question(fresh.ldap.clone())).await);
        if self.judge(server, &answer) {
            if bound {
                self.give(fresh);
            }
            return answer;
        }
        if self.urls.len() < 2 {
            return answer;
        }
        let other = self.reach(bound, Some(server)).await?;
        let answer = self.in_time(question(other.ldap.clone())).await;
        if self.judge(other.server, &answer) && bound {
            self.give(other);
        }
        answer
    }

    /// One of the kept connections is dead: so are the others, most likely.
    fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Binds a new connection as who asks.
    async fn let_in(&self, mut ldap: Ldap) -> Result<Ldap, String> {
        let Settings { bind_dn, bind_password, connect_timeout: limit, .. } = &self.settings;
        if bind_dn.is_empty() {
            return Ok(ldap);
        }
        let bound = timeout(*limit, ldap.simple_bind(bind_dn, bind_password)).await;
        let result = bound
            .map_err(|_| format!("no answer within {} seconds", limit.as_secs_f32()))?
            .map_err(|error| error.to_string())?;
        if result.rc != 0 {
            let (code, words) = (result.rc, result.text.trim());
            let text = format!("the server does not let {bind_dn} in (local.ugldapbinddn, result code {code}) {words}");
            return Err(text.trim_end().to_owned());
        }
        Ok(ldap)
    }

    /// A new connection to the first server that takes one, without that which has `failed` just now; where it is to be `bound`, to the first that lets in
    /// who asks.
    async fn reach(&self, bound: bool, failed: Option<usize>) -> Result<Connection, Failure> {
        if bound && !self.settings.bind_dn.is_empty() && self.settings.bind_password.is_empty() {
            // A bind without a password is one as nobody, which servers may accept (RFC 4513 section 5.1.2).
            return Err(Failure::Unreachable("local.ugldapbindcred is not set".to_owned()));
        }
        let count = self.urls.len();
        let first = self.first();
        let mut reasons = Vec::new();
        for offset in 0..count {
            let at = (first + offset) % count;
            let Some(url) = self.urls.get(at).filter(|_| failed != Some(at)) else { continue };
            let made = match self.dial(url).await {
                Ok(ldap) if bound => self.let_in(ldap).await,
                made => made,
            };
            match made {
                Ok(ldap) => {
                    self.prefer(at);
                    let now = Instant::now();
                    return Ok(Connection { ldap, server: at, since: now, used: now });
                }
                Err(reason) => reasons.push(if count == 1 { reason } else { format!("{url}: {reason}") }),
            }
        }
        Err(Failure::Unreachable(if count == 0 { "no server is named".to_owned() } else { reasons.join("; ") }))
    }

    /// The server to begin with: the one that answered last; after a while the first of the list again.
    fn first(&self) -> usize {
        let mut away_since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.settings.pool_refresh.unwrap_or(RETURN);
        if away_since.is_some_and(|since| since.elapsed() >= limit) {
            *away_since = None;
            self.preferred.store(0, Ordering::Relaxed);
        }
        self.preferred.load(Ordering::Relaxed)
    }

    fn prefer(&self, at: usize) {
        let mut away_since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        if self.preferred.swap(at, Ordering::Relaxed) != at || at == 0 {
            *away_since = (at != 0).then(Instant::now);
        }
    }

    /// This server does not serve: the next one is asked, until it is the first one's turn again.
    fn avoid(&self, server: usize, failure: &Failure) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|kept| kept.server != server);
        let next = (server + 1) % self.urls.len().max(1);
        let mut away_since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = self.preferred.compare_exchange(server, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if next != server && moved {
            *away_since = (next != 0).then(Instant::now);
            let url = self.urls.get(server).map_or("", String::as_str);
            log::error(Category::Ldap, format!("{url} does not serve, another server is asked: {failure}"));
        }
    }

    async fn dial(&self, url: &str) -> Result<Ldap, String> {
        let limit = self.settings.connect_timeout;
        let mut settings = LdapConnSettings::new().set_conn_timeout(limit);
        if self.settings.encryption != Encryption::None {
            settings = settings.set_config(self.tls()?).set_starttls(self.settings.encryption == Encryption::StartTls);
        }
        let (connection, ldap) = LdapConnAsync::with_settings(settings, url).await.map_err(|error| match error {
            LdapError::Timeout { .. } => format!("no connection within {} seconds", limit.as_secs_f32()),
            LdapError::Io { source } => source.to_string(),
            error => error.to_string(),
        })?;
        // What goes wrong there is told to whoever asks on it.
        tokio::spawn(async move { drop(connection.drive().await) });
        Ok(ldap)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        // What is wrong with the file may be mended while this process runs.
        let config = Arc::new(tls(&self.settings)?);
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }
}

/// How soon the first server is tried again after another one took its place, where no other time is set.
const RETURN: Duration = Duration::from_secs(60);

/// A connection that was not used for so long is not used again: something on the way may have forgotten it.
const UNUSED: Duration = Duration::from_secs(300);

fn tls(settings: &Settings) -> Result<ClientConfig, String> {
    let file = settings.ca_file.display();
    let failed = |error: &dyn std::fmt::Display| {
        format!("the certificates in {file} (local.ugldapcafile) cannot be read: {error}")
    };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&settings.ca_file).map_err(|error| failed(&error))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    // One of many that is not understood forbids no other.
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(failed(&"there is none that is understood"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
