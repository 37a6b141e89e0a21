//! The life of a service process: claimed pid file, signals, readiness; and from the other side: started, stopped, refreshed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::config::{Conf, Instance};
use crate::os::process::{self, Order, PidFile, ServiceState};
use crate::os::{self, user};

/// One service: a process that `start-msg` starts.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// The name for the commands, and of the pid file.
    pub name: &'static str,
    /// The program, `lib/<tool>`.
    pub tool: &'static str,
    /// The arguments it is started with.
    pub arguments: &'static [&'static str],
    /// The settings any of which switches the service on; none: always on.
    pub enabled_by: &'static [&'static str],
}

/// The services in the order in which they start.
pub static SERVICES: &[Service] = &[
    Service { name: "watcher", tool: "watcher", arguments: &[], enabled_by: &["local.watcher.enable"] },
    Service { name: "store", tool: "stored", arguments: &["-d"], enabled_by: &[] },
    Service {
        name: "imap",
        tool: "imapd",
        arguments: &[],
        enabled_by: &["service.imap.enable", "service.imap.enablesslport"],
    },
    Service {
        name: "pop",
        tool: "popd",
        arguments: &[],
        enabled_by: &["service.pop.enable", "service.pop.enablesslport"],
    },
    Service { name: "lmtp", tool: "lmtpd", arguments: &[], enabled_by: &["service.lmtp.enable"] },
    Service { name: "sched", tool: "imsched", arguments: &[], enabled_by: &["local.sched.enable"] },
];

impl Service {
    /// The service of this name.
    pub fn find(name: &str) -> Option<&'static Service> {
        SERVICES.iter().find(|service| service.name == name)
    }

    /// True when the configuration switches it on.
    pub fn is_enabled(&self, conf: &Conf) -> bool {
        self.enabled_by.is_empty() || self.enabled_by.iter().any(|name| conf.bool(name))
    }

    /// What it is doing now.
    ///
    /// # Errors
    /// [`ProcessError::State`].
    pub fn state(&self, instance: &Instance) -> Result<ServiceState, ProcessError> {
        process::service_state(&instance.proc_dir(), self.name)
            .map_err(|source| ProcessError::State { service: self.name.to_owned(), source })
    }

    /// Where its standard output and error go.
    pub fn output(&self, instance: &Instance) -> PathBuf {
        instance.log_dir().join(format!("{}.stderr", self.name))
    }
}

/// What can go wrong with a service process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Its pid file cannot be read or written.
    #[error("the pid file of {service}: {source}")]
    State {
        /// The service.
        service: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is this service.
    #[error("{service} is running already, pid {pid}")]
    Running {
        /// The service.
        service: String,
        /// Its pid.
        pid: i32,
    },
    /// The program cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the {service} server ended before it was ready ({status}){output}")]
    Ended {
        /// The service.
        service: String,
        /// How it ended.
        status: String,
        /// The last lines that it wrote, each on a line of its own.
        output: String,
    },
    /// It lives, but was not ready in time.
    #[error("the {service} server (pid {pid}) is not ready after {seconds} seconds and goes on starting{output}")]
    Slow {
        /// The service.
        service: String,
        /// Its pid.
        pid: i32,
        /// The time waited.
        seconds: u64,
        /// The last lines that it wrote.
        output: String,
    },
    /// A signal was refused.
    #[error("cannot signal the {service} server, pid {pid}: {source}")]
    Signal {
        /// The service.
        service: String,
        /// Its pid.
        pid: i32,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes this process the service: its pid file says `init` until [`PidFile::set_ready`], and goes when the value is dropped.
///
/// # Errors
/// [`ProcessError::Running`], [`ProcessError::State`].
pub fn claim(instance: &Instance, service: &str) -> Result<PidFile, ProcessError> {
    let failed = |source| ProcessError::State { service: service.to_owned(), source };
    match PidFile::claim(&instance.proc_dir().join(service)).map_err(failed)? {
        Some(file) => {
            drop(fs::remove_file(mark(instance, service)));
            Ok(file)
        }
        None => Err(ProcessError::Running {
            service: service.to_owned(),
            pid: process::service_state(&instance.proc_dir(), service).ok().and_then(ServiceState::pid).unwrap_or(0),
        }),
    }
}

/// Tells a supervisor, where `NOTIFY_SOCKET` names one, what this process does: `READY=1`, `STOPPING=1`. Source: sd_notify(3).
/// A supervisor that cannot be reached is no reason to fail.
pub fn notify_supervisor(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::SocketAddr;
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(&path)),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        drop(socket.send_to_addr(state.as_bytes(), &address));
    }
}

/// The signals of a service without a runtime of its own: SIGTERM and SIGINT end it, SIGHUP refreshes it.
#[derive(Debug)]
pub struct Signals {
    pipe: UnixStream,
    stop: Arc<AtomicBool>,
    refresh: Arc<AtomicBool>,
}

/// What [`Signals::wait`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The time is over.
    Time,
    /// End in good order.
    Stop,
    /// Read the configuration again.
    Refresh,
}

impl Signals {
    /// Takes the signals over from now on.
    ///
    /// # Errors
    /// What the system said.
    pub fn take() -> io::Result<Signals> {
        let (pipe, write) = UnixStream::pair()?;
        let stop = Arc::new(AtomicBool::new(false));
        let refresh = Arc::new(AtomicBool::new(false));
        // The flags first: whoever is woken by the pipe finds them set.
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        signal_hook::flag::register(SIGHUP, Arc::clone(&refresh))?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Signals { pipe, stop, refresh })
    }

    /// True when the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Waits for a signal, at most `time`.
    ///
    /// # Errors
    /// What the system said.
    pub fn wait(&mut self, time: Duration) -> io::Result<Wake> {
        if let Some(wake) = self.seen() {
            return Ok(wake);
        }
        self.pipe.set_read_timeout(Some(time))?;
        let mut bytes = [0u8; 64];
        match self.pipe.read(&mut bytes) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(self.seen().unwrap_or(Wake::Time))
    }

    fn seen(&self) -> Option<Wake> {
        if self.is_stopping() {
            return Some(Wake::Stop);
        }
        self.refresh.swap(false, Ordering::SeqCst).then_some(Wake::Refresh)
    }
}

/// A service that was started and may not be ready yet.
#[derive(Debug)]
pub struct Starting {
    service: &'static Service,
    child: Child,
    output: PathBuf,
}

/// Starts a service detached from this process and its terminal, with `more` arguments than it always has. Its program is `lib/<tool>` of the
/// instance, else this program with the name of the tool.
///
/// # Errors
/// [`ProcessError::Running`], [`ProcessError::Spawn`], [`ProcessError::State`].
pub fn start(instance: &Instance, service: &'static Service, more: &[&'static str]) -> Result<Starting, ProcessError> {
    if let Some(pid) = service.state(instance)?.pid() {
        return Err(ProcessError::Running { service: service.name.to_owned(), pid });
    }
    let link = instance.base().join("lib").join(service.tool);
    let mut arguments = [service.arguments, more].concat();
    let program = if link.exists() {
        link
    } else {
        arguments.insert(0, service.tool);
        std::env::current_exe().unwrap_or(link)
    };
    let failed = |source| ProcessError::Spawn { program: program.clone(), source };
    let output = service.output(instance);
    let file = open_output(&output).map_err(failed)?;
    let environment = [("CONFIGROOT", instance.config_dir())];
    let child = process::spawn_detached(&program, &arguments, &environment, instance.base(), file).map_err(failed)?;
    Ok(Starting { service, child, output })
}

/// The file for what a service prints: begun anew at each start, of the owner of its directory. Where it cannot be made, for want
/// of room say, nothing is kept.
fn open_output(path: &Path) -> io::Result<File> {
    let open = || {
        // Whoever owns the directory may have put a link there.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.nlink() != 1 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        file.set_len(0)?;
        user::give_to_owner(&file, path)?;
        Ok(file)
    };
    open().or_else(|_: io::Error| OpenOptions::new().write(true).open("/dev/null"))
}

impl Starting {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pid and whether it ended in good order, when it has ended.
    pub fn ended(&mut self) -> Option<(i32, bool)> {
        let status = self.child.try_wait().ok().flatten()?;
        Some((i32::try_from(self.child.id()).unwrap_or(0), status.success()))
    }

    /// Waits until the service is ready, at most `time`.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] and [`ProcessError::Slow`] with what the service wrote; [`ProcessError::State`].
    pub fn wait(mut self, instance: &Instance, time: Duration) -> Result<(), ProcessError> {
        let begun = Instant::now();
        let pid = i32::try_from(self.child.id()).unwrap_or(0);
        loop {
            if self.service.state(instance)? == ServiceState::Ready(pid) {
                return Ok(());
            }
            let service = self.service.name.to_owned();
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProcessError::Ended {
                    service,
                    status: status.to_string(),
                    output: last_lines(&self.output),
                });
            }
            if begun.elapsed() >= time {
                return Err(ProcessError::Slow {
                    service,
                    pid,
                    seconds: time.as_secs(),
                    output: last_lines(&self.output),
                });
            }
            process::pause(Duration::from_millis(20));
        }
    }
}

/// Waits until a service that somebody else has started is ready, at most `time`.
///
/// # Errors
/// As [`Starting::wait`].
pub fn wait_ready(instance: &Instance, service: &Service, time: Duration) -> Result<(), ProcessError> {
    let begun = Instant::now();
    let output = || last_lines(&service.output(instance));
    let name = service.name.to_owned();
    loop {
        match service.state(instance)? {
            ServiceState::Ready(_) => return Ok(()),
            ServiceState::Stopped => {
                return Err(ProcessError::Ended { service: name, status: "unknown".to_owned(), output: output() });
            }
            ServiceState::Starting(pid) if begun.elapsed() >= time => {
                return Err(ProcessError::Slow { service: name, pid, seconds: time.as_secs(), output: output() });
            }
            ServiceState::Starting(_) => process::pause(Duration::from_millis(20)),
        }
    }
}

/// The last lines of what a service wrote, for people.
fn last_lines(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(text.len().saturating_sub(4096)..).unwrap_or(&[])).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skip = lines.len().saturating_sub(5);
    lines.into_iter().skip(skip).fold(String::new(), |all, line| format!("{all}\n  {line}"))
}

/// How a service was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// There was none.
    NotRunning,
    /// It ended by itself.
    Ended(i32),
    /// It was killed, because it was asked for or because it did not end in time.
    Killed(i32),
}

/// Stops a service and waits until it is gone: SIGTERM, after `patience` SIGKILL. A patience of zero kills at once.
///
/// # Errors
/// [`ProcessError::Signal`], [`ProcessError::State`]; [`ProcessError::Running`] when even a killed process stays.
pub fn stop(instance: &Instance, service: &Service, patience: Duration) -> Result<Stopped, ProcessError> {
    // Where the mark cannot be written, the service may not be signalled either. One that does not run may be about to be started again.
    drop(os::durable::replace(&mark(instance, service.name), b"", 0o600));
    let Some(pid) = service.state(instance)?.pid() else {
        return Ok(Stopped::NotRunning);
    };
    let ended = end(instance, service, pid, patience);
    if ended.is_err() {
        // It goes on, and is watched.
        drop(fs::remove_file(mark(instance, service.name)));
    }
    ended
}

fn end(instance: &Instance, service: &Service, pid: i32, patience: Duration) -> Result<Stopped, ProcessError> {
    if !patience.is_zero() {
        tell(service, pid, Order::Stop)?;
        if gone(instance, service, pid, patience)? {
            return Ok(Stopped::Ended(pid));
        }
    }
    tell(service, pid, Order::Kill)?;
    if gone(instance, service, pid, Duration::from_secs(10))? {
        return Ok(Stopped::Killed(pid));
    }
    Err(ProcessError::Running { service: service.name.to_owned(), pid })
}

/// Where [`stop`] notes that it ends a service. The next process of the service takes it away.
fn mark(instance: &Instance, service: &str) -> PathBuf {
    instance.proc_dir().join(format!("{service}.stopped"))
}

/// True when somebody wanted the service to end, and nobody has started it since.
pub fn was_stopped(instance: &Instance, service: &Service) -> bool {
    mark(instance, service.name).exists()
}

/// True when this process of a service, which is gone, ended neither in good order nor because somebody wanted it to.
///
/// # Errors
/// [`ProcessError::State`].
pub fn died(instance: &Instance, service: &Service, pid: i32) -> Result<bool, ProcessError> {
    let path = instance.proc_dir().join(service.name);
    let left = match fs::read_to_string(&path) {
        Ok(text) => text.lines().next().is_some_and(|line| line.trim() == pid.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(ProcessError::State { service: service.name.to_owned(), source }),
    };
    Ok(left && !was_stopped(instance, service))
}

fn gone(instance: &Instance, service: &Service, pid: i32, time: Duration) -> Result<bool, ProcessError> {
    let begun = Instant::now();
    // Another pid is another process: somebody has started the service anew.
    while service.state(instance)?.pid() == Some(pid) {
        if begun.elapsed() >= time {
            return Ok(false);
        }
        process::pause(Duration::from_millis(20));
    }
    Ok(true)
}

/// Tells a running service to read its configuration again; returns its pid, `None` when it does not run.
///
/// # Errors
/// [`ProcessError::Signal`], [`ProcessError::State`].
pub fn refresh(instance: &Instance, service: &Service) -> Result<Option<i32>, ProcessError> {
    let pid = service.state(instance)?.pid();
    if let Some(pid) = pid {
        tell(service, pid, Order::Refresh)?;
    }
    Ok(pid)
}

fn tell(service: &Service, pid: i32, order: Order) -> Result<(), ProcessError> {
    process::tell(pid, order).map_err(|source| ProcessError::Signal { service: service.name.to_owned(), pid, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_on_when_one_of_its_settings_is() {
        let conf = Conf::of_defaults(Path::new("/base"));
        assert!(Service::find("store").unwrap().is_enabled(&conf));
        assert!(Service::find("imap").unwrap().is_enabled(&conf));
        assert_eq!(Service::find("http"), None);
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        crate::os::durable::replace(&path, b"1\n2\n3\n\n4\n5\n6", 0o600).unwrap();
        assert_eq!(last_lines(&path), "\n  2\n  3\n  4\n  5\n  6");
        assert_eq!(last_lines(&dir.path().join("y")), "");
    }

    #[test]
    fn what_a_service_prints_goes_into_a_file_of_its_own() {
        use std::io::Write;
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("imap.stderr"), dir.path().join("other"));
        let kept = |path: &Path| fs::read(path).unwrap_or_default();
        let print = |path: &Path| open_output(path).unwrap().write_all(b"new").unwrap();
        crate::os::durable::replace(&other, b"a long text of somebody else", 0o644).unwrap();
        // A link of either kind leads to what is not ours: nothing is kept, and nothing is touched.
        std::os::unix::fs::symlink(&other, &path).unwrap();
        print(&path);
        fs::remove_file(&path).unwrap();
        fs::hard_link(&other, &path).unwrap();
        print(&path);
        assert_eq!(kept(&other), b"a long text of somebody else");
        fs::remove_file(&path).unwrap();
        // It begins anew each time, for nobody but the owner of its directory.
        let account = user::is_root().then_some(65_534);
        std::os::unix::fs::chown(dir.path(), account, account).unwrap();
        crate::os::durable::replace(&path, b"what was printed before", 0o600).unwrap();
        print(&path);
        assert_eq!(kept(&path), b"new");
        fs::remove_file(&path).unwrap();
        print(&path);
        let (file, owner) = (fs::metadata(&path).unwrap(), fs::metadata(dir.path()).unwrap());
        assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (0o600, owner.uid(), owner.gid()));
        // There is no room for one: the service starts all the same.
        print(&dir.path().join("nowhere/imap.stderr"));
    }
}
