//! An instance for tests of tools and services: made by `configure` in a directory of its own, with a running store daemon.
//!
//! ```ignore
//! let it = Instance::new();
//! it.user("joe");
//! it.run("mboxutil", &["-c", "user/joe/INBOX"]).ok();
//! it.append("user/joe/INBOX", "Subject: one\r\n\r\nhello\r\n", Flags::NONE);
//! assert_eq!(it.run("mboxutil", &["-l", "-s"]).ok(), "user/joe/INBOX\n");
//! ```
//!
//! Tools run with a cleared environment, `LC_ALL=C` and `TZ=UTC`. Dropped, the daemon is stopped and the store is checked; a test that
//! damages its store on purpose calls [`Instance::leave_unchecked`].

// A test module uses what it needs of this.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, dead_code)]

pub mod imapd;
pub mod lmtpd;
pub mod popd;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use msgstore::os::process::{Order, ServiceState, service_state, tell};
use msgstore::store::check::Depth;
use msgstore::store::{AccountId, Flags, FolderId, MailboxName, NewMessage, Store, Uid};

use crate::imap::PATIENCE;

const BINARY: &str = env!("CARGO_BIN_EXE_msgstore");

/// Waits until something has come; says what has not when it does not come.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The time that messages of [`Instance::append`] arrive at: 2026-11-18 09:46:40 UTC.
pub const ARRIVED_S: i64 = 1_794_995_200;

/// True when this process may mount file systems and make networks (CAP_SYS_ADMIN): root may, but not in every container.
pub fn has_rights_over_the_system() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> 21 & 1 == 1
}

/// Raises this process's limit of descriptors as far as it goes. Each database that a test opens keeps its three until the process ends.
pub fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(16_384).max(soft), hard).unwrap();
    });
}

/// The processor time that a process has used; it may have ended, but not be waited for. Unlike the time on the clock it is the same however
/// much else the machine has to do.
pub fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    let second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap().unwrap();
    Duration::from_millis(ticks * 1000 / u64::try_from(second).unwrap())
}

/// How a tool ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output of a tool that ended with 0 and said nothing on standard error.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The same tool's two outputs, when it ended with `code`.
    #[track_caller]
    pub fn ended(self, code: i32) -> (String, String) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        (self.out, self.err)
    }
}

/// An instance on disk, its partitions `primary` and `second`, its default domain example.org.
pub struct Instance {
    dir: tempfile::TempDir,
    stored: Option<Child>,
    checked: bool,
}

impl Instance {
    /// An instance whose store is ready.
    pub fn new() -> Instance {
        Instance::with(&[])
    }

    /// The same with settings, such as `("store.defaultmailboxquota", "1M")`.
    pub fn with(settings: &[(&str, &str)]) -> Instance {
        let mut it = Instance::stopped(settings);
        it.start();
        it
    }

    /// An instance whose store daemon was never started.
    pub fn stopped(settings: &[(&str, &str)]) -> Instance {
        raise_descriptors();
        let dir = tempfile::tempdir().unwrap();
        let it = Instance { dir, stored: None, checked: true };
        let second = format!("second={}", it.base().join("disk2").display());
        let mut words = vec!["--base", it.base().to_str().unwrap(), "--domain", "example.org", "--partition", &second];
        words.extend([
            "--set",
            "service.lmtp.enable=no",
            "--set",
            "local.sched.enable=no",
            "--set",
            "local.watcher.enable=no",
        ]);
        let sets: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for set in &sets {
            words.extend(["--set", set]);
        }
        it.run("configure", &words).ended(0);
        it
    }

    /// Starts the store daemon and waits until it is ready.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with further variables of the environment.
    pub fn start_with(&mut self, environment: &[(&str, &str)]) {
        let mut command = self.command("stored", &[]);
        let child =
            command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        self.stored = Some(child);
        while !matches!(service_state(&self.base().join("data/proc"), "store").unwrap(), ServiceState::Ready(_)) {
            assert!(begun.elapsed() < PATIENCE, "stored does not get ready");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops the store daemon in good order.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.stored.take() {
            tell(i32::try_from(child.id()).unwrap(), Order::Stop).unwrap();
            let status = child.wait().unwrap();
            assert!(status.success() || std::thread::panicking(), "stored ended with {status}");
        }
    }

    /// msg_svr_base.
    pub fn base(&self) -> &Path {
        self.dir.path()
    }

    /// A tool's call, in this instance and with no other environment, by the name that it has in `sbin` or `lib`.
    pub fn command(&self, tool: &str, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg(tool).args(words).env_clear();
        command.env("CONFIGROOT", self.base().join("config")).env("LC_ALL", "C").env("TZ", "UTC");
        command
    }

    /// Runs a tool without input.
    pub fn run(&self, tool: &str, words: &[&str]) -> Ran {
        self.run_with(tool, words, "")
    }

    /// The most memory of its own that a tool had while it wrote its lines, and the most with the pages of the mapped database, KiB; the lines.
    pub fn memory(&self, tool: &str, words: &[&str]) -> (u64, u64, usize) {
        let mut child = self.command(tool, words).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (mut own, mut all, mut lines) = (0, 0, 0);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let field = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
            };
            own = field("RssAnon:").max(own);
            all = field("VmHWM:").max(all);
            match out.read(&mut buffer).unwrap() {
                0 => break,
                read => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count(),
            }
        }
        // 2: a trial run that would change something.
        assert!(matches!(child.wait().unwrap().code(), Some(0 | 2)));
        (own, all, lines)
    }

    /// Runs a tool with `input` on standard input.
    pub fn run_with(&self, tool: &str, words: &[&str], input: &str) -> Ran {
        let mut command = self.command(tool, words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A tool that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        Ran {
            code: out.status.code().unwrap_or(-1),
            out: String::from_utf8(out.stdout).unwrap(),
            err: String::from_utf8(out.stderr).unwrap(),
        }
    }

    /// Adds an entry to the directory file by hand: its user has no account in the store yet.
    pub fn entry(&self, userid: &str) {
        let (uid, domain) = userid.split_once('@').unwrap_or((userid, "example.org"));
        let dn = format!("uid={uid},ou=People,dc={}", domain.replace('.', ",dc="));
        let text = format!("\ndn: {dn}\nobjectClass: inetMailUser\nuid: {uid}\nmail: {uid}@{domain}\n");
        let path = self.base().join("config/directory.ldif");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Adds a user with the password "secret" to the directory, which makes the account in the store.
    pub fn user(&self, userid: &str) {
        self.run_with("user", &["add", userid], "secret\n").ended(0);
    }

    /// Adds users with accounts in the store.
    pub fn accounts(&self, userids: &[&str]) {
        let store = self.store();
        for userid in userids {
            self.user(userid);
            if store.account_id(userid).unwrap().is_none() {
                store.account_create(userid, None, ARRIVED_S).unwrap();
            }
        }
    }

    /// The store, opened by the test itself.
    pub fn store(&self) -> Store {
        let instance = msgstore::config::Instance::at(self.base());
        msgstore::ops::store::open(&instance, &instance.conf().unwrap()).unwrap()
    }

    /// Where a mailbox such as `user/joe/INBOX` is, made when it is missing.
    pub fn mailbox(&self, name: &str) -> (AccountId, FolderId) {
        let store = self.store();
        let name = MailboxName::parse(name).unwrap();
        let account = match store.account_id(&name.owner).unwrap() {
            Some(account) => account,
            None => store.account_create(&name.owner, None, ARRIVED_S).unwrap(),
        };
        let found = store.view(account).unwrap().resolve(&name.folder).unwrap();
        let folder = found
            .unwrap_or_else(|| store.folder_create(account, &name.folder, &Default::default(), ARRIVED_S).unwrap());
        (account, folder.id)
    }

    /// Appends a message to a mailbox.
    pub fn append(&self, mailbox: &str, text: &str, flags: Flags) -> Uid {
        let (account, folder) = self.mailbox(mailbox);
        let store = self.store();
        let partition = store.view(account).unwrap().folder(folder).unwrap().unwrap().partition;
        let mut staging = store.stage(&partition).unwrap();
        staging.write_all(text.as_bytes()).unwrap();
        let staged = staging.finish().unwrap();
        let item = NewMessage {
            staged: &staged,
            flags,
            keywords: Vec::new(),
            internal_date_s: ARRIVED_S,
            internal_zone_min: 0,
        };
        store.append(account, folder, &[item], ARRIVED_S).unwrap().uids[0]
    }

    /// The UIDs in a mailbox.
    pub fn uids(&self, mailbox: &str) -> Vec<Uid> {
        let (account, folder) = self.mailbox(mailbox);
        let store = self.store();
        let mut uids = Vec::new();
        let view = store.view(account).unwrap();
        view.states(folder, 0..=Uid::MAX, &mut |run| uids.extend(run.first..=run.last())).unwrap();
        uids
    }

    /// The directory of a mailbox.
    pub fn directory_of(&self, mailbox: &str) -> PathBuf {
        let (account, folder) = self.mailbox(mailbox);
        let store = self.store();
        store.view(account).unwrap().folder_dir(folder).unwrap()
    }

    /// Waits until the links of all messages are settled. Before that the store daemon makes a message file again that somebody took away.
    pub fn settle(&self) {
        let store = self.store();
        let staged = |root: &PathBuf| std::fs::read_dir(root.join(".staging")).unwrap().count();
        let begun = Instant::now();
        loop {
            store.settle().unwrap();
            if store.settings().partitions.iter().map(|(_, root)| staged(root)).sum::<usize>() == 0 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "messages stay unsettled");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The store is damaged on purpose: it is not checked at the end.
    pub fn leave_unchecked(&mut self) {
        self.checked = false;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut child) = self.stored.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            return;
        }
        let ran = self.stored.is_some();
        self.stop();
        if self.checked && ran {
            let findings = self.store().check(Depth { content: true }).unwrap();
            assert!(findings.is_empty(), "{findings:#?}");
        }
    }
}

#[test]
fn an_instance_runs_and_is_clean() {
    let mut it = Instance::new();
    it.run("stored", &["-t"]).ok();
    it.accounts(&["joe"]);
    assert_eq!(it.append("user/joe/Work/2004", "Subject: one\r\n\r\nhello\r\n", Flags::SEEN), 1);
    assert_eq!(it.uids("user/joe/Work/2004"), [1]);
    assert!(it.directory_of("user/joe/INBOX").ends_with("=user/04/73/=joe"));
    it.stop();
    assert_eq!(it.run("stored", &["-t"]).code, 69);
    it.start();
}

/// Ends a daemon in good order; one that does not end is a failure.
/// Starts a daemon with further variables of the environment, and waits until it is ready. Settings that nobody has made are made before.
fn launch(it: &Instance, daemon: &str, settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Child {
    let conf = msgstore::config::Instance::at(it.base()).conf().unwrap();
    for (name, value) in settings.iter().filter(|(name, _)| !conf.explicit(name)) {
        it.run("configutil", &["-o", name, "-v", value]).ok();
    }
    let (proc, service) = (it.base().join("data/proc"), daemon.trim_end_matches('d'));
    let mut command = it.command(daemon, &[]);
    let mut child = command.envs(environment.iter().copied()).stdin(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let begun = Instant::now();
    while service_state(&proc, service).unwrap() != ServiceState::Ready(pid) {
        assert_eq!(child.try_wait().unwrap(), None, "{daemon} ended");
        assert!(begun.elapsed() < PATIENCE, "{daemon} does not get ready");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// The port that a daemon tells in a file below `data/proc`.
fn port_in(it: &Instance, file: &str) -> Option<u16> {
    let text = std::fs::read_to_string(it.base().join("data/proc").join(file)).ok()?;
    Some(text.trim().parse().unwrap())
}

/// The most memory that a process ever had, in MiB.
fn peak_mb(child: &Child) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
}

fn end(child: &mut Child, name: &str) {
    if child.try_wait().unwrap().is_some() {
        return;
    }
    tell(child.id().try_into().unwrap(), Order::Stop).unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(std::thread::panicking(), "{name} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
