//! Processes: pid files with a lock that lives as long as the process, who a process is, starting one detached.
//!
//! A pid file has two lines, the pid and `init` or `ready`. Its process holds a lock on it, so that a file left by a dead
//! process is told from a living one whatever the pid is used for now.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::lock;

/// What a service is doing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// No process.
    Stopped,
    /// A process that is not ready yet.
    Starting(i32),
    /// A process that serves.
    Ready(i32),
}

impl ServiceState {
    /// The pid, when there is a process.
    pub fn pid(self) -> Option<i32> {
        match self {
            ServiceState::Stopped => None,
            ServiceState::Starting(pid) | ServiceState::Ready(pid) => Some(pid),
        }
    }
}

/// What the service of this name is doing, by its pid file `proc_dir/<service>`.
///
/// # Errors
/// What the system said about the file, other than that it is missing.
pub fn service_state(proc_dir: &Path, service: &str) -> io::Result<ServiceState> {
    let path = proc_dir.join(service);
    let mut state = ServiceState::Stopped;
    for _ in 0..20 {
        state = read_state(&path)?;
        if state != ServiceState::Starting(0) {
            break;
        }
        // Claimed, and the pid not written yet: the process is between two system calls.
        pause(Duration::from_millis(5));
    }
    Ok(state)
}

fn read_state(path: &Path) -> io::Result<ServiceState> {
    if !lock::is_held(path)? {
        return Ok(ServiceState::Stopped);
    }
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ServiceState::Stopped),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.trim().parse::<i32>().ok()).filter(|pid| *pid > 1).unwrap_or(0);
    Ok(match lines.next() {
        Some("ready") if pid > 0 => ServiceState::Ready(pid),
        _ => ServiceState::Starting(pid),
    })
}

/// True when the service runs and serves.
pub fn is_ready(proc_dir: &Path, service: &str) -> bool {
    matches!(service_state(proc_dir, service), Ok(ServiceState::Ready(_)))
}

/// The pid file of this process. Dropping it removes the file, unless the process ends in other than good order: then it stays, without its lock, and
/// tells of that.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
    failed: bool,
}

impl PidFile {
    /// Claims the name for this process, state `init`. `Ok(None)`: another living process has it.
    ///
    /// # Errors
    /// What the system said.
    pub fn claim(path: &Path) -> io::Result<Option<PidFile>> {
        // Somebody who asks for the state holds the lock for a moment: a few tries.
        for _ in 0..20 {
            // Whoever owns the directory may have put a link there.
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    pause(Duration::from_millis(20));
                    continue;
                }
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            // The file may have been removed by its last owner between the two calls.
            let ours = file.metadata()?;
            let same = fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
            if same {
                super::user::give_to_owner(&file, path)?;
                file.set_len(0)?;
                let text = format!("{}\ninit\n", std::process::id());
                file.write_all_at(text.as_bytes(), 0)?;
                let path = path.to_path_buf();
                return Ok(Some(PidFile { path, file, failed: false }));
            }
        }
        Ok(None)
    }

    /// The process ends in other than good order.
    pub fn set_failed(&mut self) {
        self.failed = true;
    }

    /// Changes the second line to `ready`.
    ///
    /// # Errors
    /// What the system said.
    pub fn set_ready(&self) -> io::Result<()> {
        let text = format!("{}\nready\n", std::process::id());
        self.file.write_all_at(text.as_bytes(), 0)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if !self.failed && !std::thread::panicking() {
            // Still locked: nobody else can have claimed this file.
            drop(fs::remove_file(&self.path));
        }
        drop(self.file.unlock());
    }
}

/// A process by pid and start time, so that a pid used again is another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The pid.
    pub pid: i32,
    /// Start time in clock ticks since the system started (`/proc/<pid>/stat`, field 22).
    pub started: u64,
}

impl Identity {
    /// The process that has this pid now; `None` when there is none, or only the remains of one (zombie).
    pub fn of(pid: i32) -> Option<Identity> {
        let mut text = String::new();
        File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut text).ok()?;
        // The name of the program stands in parentheses and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Identity { pid, started })
    }

    /// This process.
    pub fn me() -> Identity {
        static ME: std::sync::OnceLock<Identity> = std::sync::OnceLock::new();
        let pid = std::process::id().cast_signed();
        *ME.get_or_init(|| Identity::of(pid).unwrap_or(Identity { pid, started: 0 }))
    }

    /// True while this very process lives.
    pub fn is_alive(&self) -> bool {
        Identity::of(self.pid) == Some(*self)
    }
}

/// What can be told a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End in good order (SIGTERM).
    Stop,
    /// End at once (SIGKILL).
    Kill,
    /// Read the configuration again (SIGHUP).
    Refresh,
}

/// Tells a process something. A process that is gone is no error.
///
/// # Errors
/// What `kill(2)` said; `InvalidInput` for a pid below 2.
pub fn tell(pid: i32, order: Order) -> io::Result<()> {
    told(pid, order, signal::kill)
}

/// The same to all processes of a process group, which has the pid of the one that began it.
///
/// # Errors
/// As [`tell`].
pub fn tell_group(pid: i32, order: Order) -> io::Result<()> {
    told(pid, order, signal::killpg)
}

fn told(pid: i32, order: Order, tell: impl Fn(Pid, Signal) -> nix::Result<()>) -> io::Result<()> {
    if pid < 2 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let signal = match order {
        Order::Stop => Signal::SIGTERM,
        Order::Kill => Signal::SIGKILL,
        Order::Refresh => Signal::SIGHUP,
    };
    match tell(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(io::Error::from(errno)),
    }
}

/// True while the process group of this number has a process that has not ended.
pub fn group_lives(group: i32) -> bool {
    group > 1 && !matches!(signal::killpg(Pid::from_raw(group), None), Err(nix::errno::Errno::ESRCH))
}

/// Waits.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Starts a program in a session of its own, with nothing of this process but `output` as standard output and error: standard
/// input is `/dev/null`, every other descriptor is closed. `environment` is added.
///
/// # Errors
/// What `fork(2)` or `execve(2)` said.
#[allow(unsafe_code)]
pub fn spawn_detached(
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &Path)],
    directory: &Path,
    output: File,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(environment.iter().copied())
        // Its supervisor is not ours.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let prepare = || {
        nix::unistd::setsid().map_err(io::Error::from)?;
        // SAFETY: close_range takes three numbers and touches no memory; descriptors from 3 on are marked to close when
        // the program starts, the standard library's own among them.
        let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if marked != 0 {
            mark_one_by_one();
        }
        Ok(())
    };
    // SAFETY: between fork and exec `prepare` only makes system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// For kernels before 5.11: marks the first descriptors.
#[allow(unsafe_code)]
fn mark_one_by_one() {
    for descriptor in 3..4096 {
        // SAFETY: fcntl with F_SETFD takes numbers only; a descriptor that is not open is an error that does no harm.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_tells_the_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let state = || service_state(dir.path(), "store").unwrap();
        assert_eq!(state(), ServiceState::Stopped);
        let me = i32::try_from(std::process::id()).unwrap();
        let claimed = PidFile::claim(&path).unwrap().unwrap();
        assert_eq!(state(), ServiceState::Starting(me));
        claimed.set_ready().unwrap();
        assert_eq!(state(), ServiceState::Ready(me));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{me}\nready\n"));
        assert!(PidFile::claim(&path).unwrap().is_none());
        drop(claimed);
        assert!(!path.exists());
        assert_eq!(state(), ServiceState::Stopped);
    }

    #[test]
    fn a_file_left_behind_is_not_a_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        super::super::durable::replace(&path, b"1\nready\n", 0o644).unwrap();
        assert!(!is_ready(dir.path(), "store"));
        assert!(PidFile::claim(&path).unwrap().is_some());
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive() && me.started > 0);
        assert!(!Identity { started: me.started + 1, ..me }.is_alive());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(id.is_alive());
        tell(id.pid, Order::Kill).unwrap();
        child.wait().unwrap();
        assert!(!id.is_alive());
        tell(id.pid, Order::Refresh).unwrap();
        assert!(tell(1, Order::Refresh).is_err());
    }
}
