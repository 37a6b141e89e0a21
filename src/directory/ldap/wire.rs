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

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No server can be asked now: what is wrong.
    Unreachable(String),
    /// The server answered with something else than success: result code (RFC 4511 appendix A) and words.
    Code(u32, String),
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
}

/// A connection that waits for its next question.
struct Idle {
    ldap: Ldap,
    since: Instant,
}

/// What all questions share.
struct Shared {
    settings: Settings,
    urls: Vec<String>,
    idle: Mutex<Vec<Idle>>,
    /// The server that answered last: the others are tried after it.
    preferred: AtomicUsize,
    /// When it began to be preferred although it is not the first.
    away_since: Mutex<Option<Instant>>,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
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

    /// Has `question` answered on a connection that is bound as who asks. Where a connection that was kept turns out to be dead, it is asked again on a
    /// new one: a question must be such that it can be asked twice.
    pub(super) fn ask<T, A>(&self, question: impl Fn(Ldap) -> A + Send + 'static) -> Result<T, Failure>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Failure>> + Send,
    {
        let shared = Arc::clone(&self.shared);
        self.run(async move {
            let limit = shared.settings.search_timeout;
            if let Some(kept) = shared.take() {
                match timeout(limit, question(kept.ldap.clone())).await {
                    Ok(Err(Failure::Unreachable(_))) => shared.forget(),
                    Ok(answer) => {
                        shared.give(kept);
                        return answer;
                    }
                    Err(_) => return Err(too_late(limit)),
                }
            }
            let fresh = Idle { ldap: shared.connect().await?, since: Instant::now() };
            let answer = timeout(limit, question(fresh.ldap.clone())).await.map_err(|_| too_late(limit))?;
            if !matches!(answer, Err(Failure::Unreachable(_))) {
                shared.give(fresh);
            }
            answer
        })
    }

    /// A connection for a dialogue of several questions; it is not given back.
    pub(super) fn connection(&self) -> Result<Ldap, Failure> {
        let shared = Arc::clone(&self.shared);
        self.run(async move { shared.connect().await })
    }

    /// Has a question answered on that connection.
    pub(super) fn ask_on<T, A>(&self, answer: A) -> Result<T, Failure>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let limit = self.shared.settings.search_timeout;
        self.run(async move { timeout(limit, answer).await.map_err(|_| too_late(limit))? })
    }

    /// Is this the password of the entry? Asked by a bind on a connection of its own.
    pub(super) fn bind(&self, dn: &str, password: &str) -> Result<LdapResult, Failure> {
        let (shared, dn, password) = (Arc::clone(&self.shared), dn.to_owned(), password.to_owned());
        self.run(async move {
            let limit = shared.settings.search_timeout;
            let mut ldap = shared.dial_any().await?;
            let answer = timeout(limit, ldap.simple_bind(&dn, &password)).await.map_err(|_| too_late(limit))?;
            let _ = timeout(limit, ldap.unbind()).await;
            Ok(answer?)
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
    fn take(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh = self.settings.pool_refresh;
        idle.retain_mut(|kept| !kept.ldap.is_closed() && refresh.is_none_or(|limit| kept.since.elapsed() < limit));
        idle.pop()
    }

    fn give(&self, kept: Idle) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.settings.pool_size {
            idle.push(kept);
        }
    }

    /// One of the kept connections is dead: so are the others, most likely.
    fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A new connection, bound as who asks.
    async fn connect(&self) -> Result<Ldap, Failure> {
        let mut ldap = self.dial_any().await?;
        let Settings { bind_dn, bind_password, connect_timeout, .. } = &self.settings;
        if !bind_dn.is_empty() {
            let bound = timeout(*connect_timeout, ldap.simple_bind(bind_dn, bind_password)).await;
            let result = bound.map_err(|_| too_late(*connect_timeout))??;
            if result.rc != 0 {
                let (code, words) = (result.rc, result.text.trim());
                let text =
                    format!("the server does not let {bind_dn} in (local.ugldapbinddn, result code {code}) {words}");
                return Err(Failure::Unreachable(text.trim_end().to_owned()));
            }
        }
        Ok(ldap)
    }

    /// A new connection to the first server that takes one. Bound to nobody.
    async fn dial_any(&self) -> Result<Ldap, Failure> {
        let count = self.urls.len();
        let first = self.first();
        let mut reasons = Vec::new();
        for offset in 0..count {
            let at = (first + offset) % count;
            let Some(url) = self.urls.get(at) else { continue };
            match self.dial(url).await {
                Ok(ldap) => {
                    self.prefer(at);
                    return Ok(ldap);
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
        self.tls.get_or_init(|| tls(&self.settings).map(Arc::new)).clone()
    }
}

/// How soon the first server is tried again after another one took its place, where no other time is set.
const RETURN: Duration = Duration::from_secs(60);

fn tls(settings: &Settings) -> Result<ClientConfig, String> {
    let file = settings.ca_file.display();
    let failed = |error: &dyn std::fmt::Display| {
        format!("the certificates in {file} (local.ugldapcafile) cannot be read: {error}")
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&settings.ca_file).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"there is none"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
