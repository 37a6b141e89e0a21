//! start-msg, stop-msg, refresh and stored with real processes. Every test ends what it started.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use msgstore::os::process::{Identity, Order, ServiceState, service_state, tell};

use super::configure::{configured, text, tool};
use super::imap::PATIENCE;

/// An instance whose services are stopped when the test ends, however it ends.
struct Running(tempfile::TempDir);

impl Running {
    fn new() -> Running {
        Running(configured())
    }

    fn base(&self) -> &Path {
        self.0.path()
    }

    fn state(&self) -> ServiceState {
        service_state(&self.base().join("data/proc"), "store").unwrap()
    }

    fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let out = tool(self.base(), words, "");
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.base().join("data/log/default")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for service in ["watcher", "sched", "pop", "imap", "store"] {
            if let Ok(state) = service_state(&self.base().join("data/proc"), service)
                && let Some(pid) = state.pid()
            {
                let _ = tell(pid, Order::Kill);
            }
        }
    }
}

fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < PATIENCE, "waited too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_store_starts_once_and_stops() {
    let it = Running::new();
    assert_eq!(it.run(&["stored", "-t", "-v"]), (Some(69), "not running\n".into(), String::new()));
    // Reading to the end of its output: the daemon must not keep the pipe.
    let (code, out, err) = it.run(&["start-msg", "store"]);
    assert_eq!(code, Some(0), "{err}");
    let ServiceState::Ready(pid) = it.state() else { panic!("{:?}", it.state()) };
    assert_eq!(out, format!("Starting store server .... {pid}\nchecking store server status ... ready\n"));
    assert_eq!(fs::read_to_string(it.base().join("data/proc/store")).unwrap(), format!("{pid}\nready\n"));
    assert_eq!(it.run(&["stored", "-t", "-v"]).1, "ready\n");
    let (code, out, _) = it.run(&["start-msg", "store"]);
    assert_eq!((code, out), (Some(0), format!("store server is already running, pid {pid}\n")));
    let (code, _, err) = it.run(&["stored"]);
    assert_eq!(code, Some(69));
    assert!(err.contains(&format!("pid {pid}")), "{err}");

    let (code, out, _) = it.run(&["stop-msg", "store"]);
    assert_eq!((code, out), (Some(0), format!("Stopping store server .... {pid}\n")));
    assert_eq!(it.state(), ServiceState::Stopped);
    assert!(!it.base().join("data/proc/store").exists());
    assert!(it.log().contains("General Notice: stored ends"), "{}", it.log());
    let (code, out, _) = it.run(&["stop-msg", "store"]);
    assert_eq!((code, out.as_str()), (Some(0), "store server is not running\n"));
}

#[test]
fn the_daemon_keeps_nothing_of_who_started_it() {
    let it = Running::new();
    // A descriptor that start-msg itself inherits without close-on-exec.
    let out = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("exec 7</etc/passwd; exec '{}' start-msg store", env!("CARGO_BIN_EXE_msgstore")))
        .env("CONFIGROOT", it.base().join("config"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let pid = it.state().pid().unwrap();
    let output = it.base().join("data/log/store.stderr");
    let link = |number: &str| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    assert_eq!(link("0"), Path::new("/dev/null"));
    assert_eq!((link("1"), link("2")), (output.clone(), output));
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap_or_default();
        assert_ne!(target, Path::new("/etc/passwd"));
    }
    // A session of its own: a hang-up of the terminal does not reach it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap();
    assert_eq!(session, pid.to_string());
    assert_eq!(it.run(&["stop-msg", "-f", "store"]).1, format!("Stopping store server .... {pid} killed\n"));
}

#[test]
fn a_killed_daemon_leaves_a_file_that_does_not_matter() {
    let it = Running::new();
    assert_eq!(it.run(&["start-msg", "store"]).0, Some(0));
    let pid = it.state().pid().unwrap();
    let process = Identity::of(pid).unwrap();
    tell(pid, Order::Kill).unwrap();
    until(|| !process.is_alive());
    assert!(it.base().join("data/proc/store").exists());
    assert_eq!(it.run(&["stored", "-t"]).0, Some(69));
    assert_eq!(it.run(&["start-msg", "store"]).0, Some(0));
    assert_ne!(it.state().pid().unwrap(), pid);
    assert_eq!(it.run(&["stop-msg"]).0, Some(0));
    assert_eq!(it.state(), ServiceState::Stopped);
}

#[test]
fn a_daemon_that_does_not_end_is_killed_in_time() {
    let it = Running::new();
    assert_eq!(it.run(&["start-msg", "store"]).0, Some(0));
    let pid = it.state().pid().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP).unwrap();
    let (code, out, err) = it.run(&["stop-msg", "--timeout", "1", "store"]);
    assert_eq!((code, out), (Some(0), format!("Stopping store server .... {pid} killed\n")));
    assert!(err.contains("within 1 seconds"), "{err}");
    assert_eq!(it.state(), ServiceState::Stopped);
}

#[test]
fn nothing_starts_beside_a_store_that_is_not_ready() {
    let it = Running::new();
    let proc_dir = it.base().join("data/proc");
    // This process stands for a store daemon that is still recovering.
    let claimed = msgstore::os::process::PidFile::claim(&proc_dir.join("store")).unwrap().unwrap();
    assert_eq!(it.run(&["stored", "-t", "-v"]), (Some(69), "init\n".into(), String::new()));
    let (code, out, err) = it.run(&["start-msg", "--timeout", "1"]);
    assert_eq!(code, Some(69), "{err}");
    let watcher = "Connecting to watcher ...\nLaunching watcher ...\n";
    assert_eq!(out, format!("{watcher}store server is already running, pid {}\n", std::process::id()));
    assert!(err.contains("not ready after 1 seconds"), "{err}");
    drop(claimed);
}

#[test]
fn two_starts_at_once_make_one_daemon() {
    let it = Running::new();
    let start = || {
        Command::new(it.base().join("sbin/start-msg"))
            .arg("store")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut both = [start(), start()];
    let codes: Vec<Option<i32>> = both.iter_mut().map(|child| child.wait().unwrap().code()).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let ServiceState::Ready(pid) = it.state() else { panic!("{:?}", it.state()) };
    let daemons = fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command.starts_with(it.base().join("lib/stored").to_str().unwrap().as_bytes())
    });
    assert_eq!(daemons.map(|entry| entry.file_name()).collect::<Vec<_>>(), [pid.to_string().as_str()]);
    assert_eq!(it.run(&["stop-msg", "store"]).0, Some(0));
}

#[test]
fn refresh_reads_the_configuration_again() {
    let it = Running::new();
    let (code, _, err) = it.run(&["refresh", "store"]);
    assert_eq!(code, Some(69), "{err}");
    assert_eq!(it.run(&["start-msg", "store"]).0, Some(0));
    assert!(!it.log().contains("again"));
    assert_eq!(it.run(&["refresh", "store"]).0, Some(0));
    until(|| it.log().contains("stored has read the configuration again"));
    // Nolog: not even this is logged. A second change, which goes elsewhere, shows that the first is past. (Both read at once would prove less.)
    let set = |name: &str, value: &str| assert_eq!(it.run(&["configutil", "-o", name, "-v", value]).0, Some(0));
    set("logfile.default.loglevel", "Nolog");
    assert_eq!(it.run(&["refresh", "store"]).0, Some(0));
    std::thread::sleep(Duration::from_millis(300));
    set("logfile.default.loglevel", "Notice");
    set("logfile.default.logdir", "data/log/elsewhere");
    assert_eq!(it.run(&["refresh", "store"]).0, Some(0));
    let elsewhere = || fs::read_to_string(it.base().join("data/log/elsewhere/default")).unwrap_or_default();
    until(|| elsewhere().contains("stored has read the configuration again"));
    assert_eq!(it.log().matches("again").count(), 1, "{}", it.log());
    assert_eq!(it.run(&["stop-msg", "store"]).0, Some(0));
    assert!(elsewhere().contains("stored ends") && !it.log().contains("stored ends"), "{}", it.log());
}

#[test]
fn a_store_that_cannot_start_is_told_and_nothing_else_starts() {
    let it = Running::new();
    fs::remove_dir_all(it.base().join("data/store/mboxlist")).unwrap();
    fs::write(it.base().join("data/store/mboxlist"), "in the way").unwrap();
    let (code, out, err) = it.run(&["start-msg"]);
    assert_eq!(code, Some(69), "{out}{err}");
    assert!(out.ends_with("checking store server status ... not ready\n"), "{out}");
    assert!(!out.contains("imap"), "{out}");
    assert!(err.contains("stored: ") && err.contains("mboxlist"), "{err}");
    assert_eq!(it.run(&["start-msg", "imap"]).0, Some(69));
}

#[test]
fn services_are_named_and_must_be_enabled() {
    let it = Running::new();
    for command in ["start-msg", "stop-msg", "refresh"] {
        let (code, _, err) = it.run(&[command, "http"]);
        assert_eq!(code, Some(64), "{command}");
        assert!(err.contains("unknown service: http"), "{err}");
    }
    assert_eq!(it.run(&["configutil", "-o", "service.imap.enable", "-v", "no"]).0, Some(0));
    for command in ["start-msg", "stop-msg", "refresh"] {
        let (code, _, err) = it.run(&[command, "imap"]);
        assert_eq!(code, Some(78), "{command}");
        assert!(err.contains("service.imap.enable"), "{err}");
    }
    // A missing group is told with the documented words.
    let conf = it.base().join("config/msg.conf");
    let text_now = fs::read_to_string(&conf).unwrap();
    let without: String =
        text_now.lines().filter(|line| !line.contains("local.servergid")).map(|line| format!("{line}\n")).collect();
    let changed = format!("{without}\"local.servergid\" = \"no-such-group-x\"\n");
    msgstore::os::durable::replace(&conf, changed.as_bytes(), 0o600).unwrap();
    let (code, _, err) = it.run(&["start-msg", "store"]);
    assert_eq!(code, Some(69));
    assert!(err.contains("Fatal error: Cannot find group in name service"), "{err}");
}

#[test]
fn a_store_is_brought_to_rest_only_while_nothing_runs() {
    let it = Running::new();
    assert_eq!(it.run(&["stored", "-r", "-v"]), (Some(0), "the store is at rest\n".into(), String::new()));
    assert_eq!(it.run(&["start-msg", "store"]).0, Some(0));
    let (code, _, err) = it.run(&["stored", "-r"]);
    assert_eq!(code, Some(69));
    assert!(err.contains("store is running already"), "{err}");
    assert_eq!(it.run(&["stored", "-r", "-t"]).0, Some(64));
}

#[test]
fn a_supervisor_is_told() {
    let it = Running::new();
    let socket = it.base().join("notify");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = Command::new(it.base().join("lib/stored"))
        .env_remove("CONFIGROOT")
        .env("NOTIFY_SOCKET", &socket)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut bytes = [0u8; 64];
    let length = supervisor.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"READY=1");
    let pid = i32::try_from(child.id()).unwrap();
    assert_eq!(it.state(), ServiceState::Ready(pid));
    tell(pid, Order::Stop).unwrap();
    let length = supervisor.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn services_run_as_the_account_of_the_instance() {
    // Only root can become somebody else.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let base = dir.path().to_str().unwrap().to_owned();
    let it = Running(dir);
    let (code, _, err) = it.run(&["configure", "--base", &base, "--user", "nobody:nogroup"]);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = it.run(&["start-msg", "store"]);
    assert_eq!(code, Some(0), "{err}");
    let pid = it.state().pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let numbers = |name: &str| -> Vec<String> {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let nobody = msgstore::os::user::resolve("nobody", Some("nogroup")).unwrap();
    assert_eq!(numbers("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(numbers("Gid:"), vec![nobody.gid.to_string(); 4]);
    assert_eq!(numbers("Groups:"), [nobody.gid.to_string()]);
    // Accounts are added by root, and the directory still belongs to the account that reads it.
    let out = tool(it.base(), &["user", "add", "joe"], "secret\n");
    assert!(out.status.success(), "{}", text(&out.stderr));
    // The first line of the log is written when the service is ready, which is told before.
    until(|| it.base().join("data/log/default").exists());
    for name in ["config/directory.ldif", "data/log/default", "data/proc/store"] {
        let meta = fs::metadata(it.base().join(name)).unwrap();
        assert_eq!(meta.uid(), nobody.uid, "{name}");
    }
    assert_eq!(it.run(&["stop-msg"]).0, Some(0));
}

/// Every file and directory below `dir`, the directory itself as well.
fn everything(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![dir.to_path_buf()];
    let mut at = 0;
    while let Some(path) = all.get(at).cloned() {
        at += 1;
        if path.is_dir() && !path.is_symlink() {
            all.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all
}

#[test]
fn what_the_services_make_is_for_their_account_alone() {
    let it = Running::new();
    let set = |name: &str, value: &str| assert_eq!(it.run(&["configutil", "-o", name, "-v", value]).0, Some(0));
    for name in ["service.imap.port", "service.imap.sslport", "service.pop.port"] {
        set(name, "0");
    }
    set("service.imap.enablesslport", "yes");
    // Whoever calls the tools may have no mask at all.
    let open = |words: &[&str], input: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_msgstore")]).args(words);
        command.env("CONFIGROOT", it.base().join("config")).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}");
    };
    open(&["start-msg"], "");
    open(&["user", "add", "joe"], "secret\n");
    let directory = it.base().join("config/directory.ldif");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o640)).unwrap();
    open(&["user", "passwd", "joe"], "better\n");
    open(&["deliver", "-c", "-m", "Work", "joe"], "Subject: x\r\n\r\n");
    open(&["mboxutil", "-c", "user/joe/Play"], "");
    open(&["configutil", "-o", "service.imap.banner", "-v", "hello"], "");
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let mut wrong: Vec<String> = Vec::new();
    for path in everything(&it.base().join("data")) {
        if !path.is_symlink() && mode(&path) & 0o077 != 0 {
            wrong.push(format!("{} {:o}", path.display(), mode(&path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What somebody decided is kept.
    assert_eq!(mode(&directory), 0o640);
    assert_eq!(mode(&it.base().join("config/msg.conf")) & 0o022, 0);
    assert_eq!(mode(&it.base().join("config/server.key")), 0o600);
    assert_eq!(it.run(&["stop-msg"]).0, Some(0));
}
