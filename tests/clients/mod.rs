//! Real clients against a running server: curl, mutt, mbsync, imapfilter, Python's imaplib and the imapclient package. What a client does and what is
//! checked is in the scripts beside this file; each runs against any server, `SCRIPT PORT USER PASSWORD [DIR]`.
//!
//! A client that is not installed is skipped with a line on standard error; with `CI=true` in the environment that is a failure.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use msgstore::os::process::{Order, tell};

use crate::instance::Instance;

/// The greatest time a client may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// An instance with an IMAP daemon and the user `joe`.
struct Server {
    // Before the instance: dropped first.
    imapd: Daemon,
    it: Instance,
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = tell(i32::try_from(self.0.id()).unwrap(), Order::Stop);
        let begun = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                let _ = self.0.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Server {
    fn start() -> Server {
        Server::with(&[])
    }

    fn with(further: &[(&str, &str)]) -> Server {
        let settings =
            [("service.imap.port", "0"), ("service.listenaddr", "127.0.0.1"), ("service.authfailpause", "0")];
        let it = Instance::with(&[&settings, further].concat());
        it.user("joe");
        let imapd = Daemon(it.command("imapd", &[]).stdin(Stdio::null()).spawn().unwrap());
        Server { imapd, it }
    }

    /// The port of the daemon, waited for.
    fn port(&mut self) -> u16 {
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.it.base().join("data/proc/imap.port")).unwrap_or_default();
            if let Ok(port) = text.trim().parse() {
                return port;
            }
            assert!(self.imapd.0.try_wait().unwrap().is_none(), "imapd has ended");
            assert!(begun.elapsed() < PATIENCE, "imapd is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Whether a needed thing is there; if not, says so, or fails under CI.
fn there(what: &str, found: bool) -> bool {
    if !found {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what} is needed under CI");
        eprintln!("SKIPPED: a test with a real client: {what} is not here");
    }
    found
}

fn runs(program: &str, argument: &str) -> bool {
    let asked =
        Command::new(program).arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    there(program, asked.is_ok_and(|status| status.success()))
}

/// Runs a client to its end; gives what it printed.
fn finished(mut command: Command) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    command.stdin(Stdio::null());
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let (out, err) = (read(out), read(err));
    assert!(status.is_some_and(|status| status.success()), "{command:?}: {status:?}\n{out}{err}");
    out
}

/// Runs one of the scripts with a Python; it must have checked something.
fn session(python: &Path, name: &str, with_dir: bool) {
    let mut server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg("-B").arg(script(name)).arg(server.port().to_string()).args(["joe", "secret"]);
    if with_dir {
        command.arg(home.path());
    }
    checked(command);
}

/// Runs a script that must have checked something.
fn checked(command: Command) {
    let said = finished(command);
    let count = said
        .trim()
        .lines()
        .last()
        .and_then(|line| line.strip_suffix(" checks"))
        .and_then(|count| count.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count >= 10), "{said}");
}

#[test]
fn imaplib() {
    if runs("python3", "--version") {
        session(Path::new("python3"), "imaplib_session.py", false);
    }
}

#[test]
fn mutt() {
    if runs("python3", "--version") && runs("mutt", "-v") {
        session(Path::new("python3"), "mutt_session.py", true);
    }
}

#[test]
fn mbsync() {
    if runs("python3", "--version") && runs("mbsync", "--version") {
        session(Path::new("python3"), "mbsync_session.py", true);
    }
}

#[test]
fn clients_that_insist_on_encryption() {
    if !runs("python3", "--version") {
        return;
    }
    let (server, port, home) = with_encryption();
    let programs = [("curl", "--version"), ("openssl", "version"), ("mutt", "-v"), ("mbsync", "--version")];
    let clients: Vec<&str> =
        programs.into_iter().filter(|(program, word)| runs(program, word)).map(|(program, _)| program).collect();
    let mut command = Command::new("python3");
    command.arg("-B").arg(script("tls_session.py")).arg(port.to_string()).args(["joe", "secret"]).arg(home.path());
    command.env("CLIENTS", clients.join(" "));
    checked(command);
    drop(server);
}

/// A server with both ports, the number of the plain one, and a directory for a client with `trusted.pem` and `tlsport`, the number of the other.
fn with_encryption() -> (Server, u16, tempfile::TempDir) {
    let mut server = Server::with(&[("service.imap.enablesslport", "yes"), ("service.imap.sslport", "0")]);
    let port = server.port();
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(server.it.base().join("config/server.crt"), home.path().join("trusted.pem")).unwrap();
    // The ports are written one after the other.
    let begun = Instant::now();
    while std::fs::copy(server.it.base().join("data/proc/imaps.port"), home.path().join("tlsport")).is_err() {
        assert!(begun.elapsed() < PATIENCE, "there is no port with TLS");
        std::thread::sleep(Duration::from_millis(5));
    }
    (server, port, home)
}

/// One of the sessions of tests/long/clients, with the messages of the project.
#[test]
fn imapfilter() {
    if !(runs("python3", "--version") && runs("imapfilter", "-V")) {
        return;
    }
    let (server, port, home) = with_encryption();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg("-B").arg(root.join("tests/long/clients/imapfilter_session.py")).arg(port.to_string());
    command.args(["joe", "secret"]).arg(home.path());
    let modules = std::env::join_paths([root.join("tests/clients"), root.join("tests/bench")]).unwrap();
    command.env("PYTHONPATH", modules).env("MSGSTORE_BASE", server.it.base());
    command.env("CORPUS", root.join("testdata/sample.mbox"));
    checked(command);
}

/// A Python that has the imapclient package: the first in the path, that of the distribution, or one made with pip and kept in the build directory.
fn python_with_imapclient() -> Option<PathBuf> {
    let has = |python: &Path| {
        let asked = Command::new(python).args(["-c", "import imapclient"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("imapclient");
    let python = kept.join("bin/python");
    for candidate in [Path::new("python3"), Path::new("/usr/bin/python3"), &python] {
        if has(candidate) {
            return Some(candidate.to_owned());
        }
    }
    let made =
        Command::new("python3").args(["-m", "venv"]).arg(&kept).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if made.is_ok_and(|status| status.success()) {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--timeout", "60", "--retries", "5", "imapclient==3.0.1"]);
        let _ = pip.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    has(&python).then_some(python)
}

#[test]
fn imapclient() {
    if !runs("python3", "--version") {
        return;
    }
    let python = python_with_imapclient();
    if there("imapclient (pip install imapclient)", python.is_some()) {
        session(&python.unwrap(), "imapclient_session.py", false);
    }
}

/// One call of curl on a URL below the server.
fn curl(port: u16, path: &str, words: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "240", "--user", "joe:secret"]).args(words);
    command.arg(format!("imap://127.0.0.1:{port}/{path}"));
    finished(command).replace("\r\n", "\n")
}

#[test]
fn curl_lists_fetches_appends_searches() {
    if !runs("curl", "--version") {
        return;
    }
    let mut server = Server::start();
    let port = server.port();
    let dir = tempfile::tempdir().unwrap();
    let text = |n: u32| format!("Subject: number {n}\nFrom: a@example.org\n\nhello {n}\n");
    for n in 1..=3 {
        let file = dir.path().join(n.to_string());
        std::fs::write(&file, text(n).replace('\n', "\r\n")).unwrap();
        assert_eq!(curl(port, "INBOX", &["--upload-file", file.to_str().unwrap()]), "");
    }
    assert_eq!(curl(port, "", &["--request", "CREATE Sub/Folder"]), "");
    let list = curl(port, "", &[]);
    for name in ["INBOX", "Sub", "Sub/Folder"] {
        let line = list.lines().find(|line| line.ends_with(&format!("\"/\" \"{name}\"")));
        assert!(line.is_some_and(|line| line.starts_with("* LIST (")), "{name}: {list}");
    }
    assert_eq!(curl(port, "INBOX;MAILINDEX=2", &[]), text(2));
    assert_eq!(curl(port, "INBOX;UID=3", &[]), text(3));
    assert_eq!(curl(port, "INBOX;UID=3/;SECTION=TEXT", &[]), "hello 3\n");
    assert_eq!(curl(port, "INBOX?SUBJECT%20%22number%202%22", &[]), "* SEARCH 2\n");
    assert_eq!(curl(port, "INBOX?NEW", &[]).trim_end(), "* SEARCH");
    let stored = curl(port, "INBOX", &["--request", "STORE 1 +Flags \\Deleted"]);
    assert!(stored.starts_with("* 1 FETCH (FLAGS (") && stored.contains("\\Deleted"), "{stored}");
    assert_eq!(curl(port, "INBOX", &["--request", "EXPUNGE"]), "* 1 EXPUNGE\n");
    let status = curl(port, "", &["--request", "STATUS INBOX (MESSAGES)"]);
    assert_eq!(status, "* STATUS \"INBOX\" (MESSAGES 2)\n");
    // Two transfers over one connection, and a wrong password.
    let url = format!("imap://127.0.0.1:{port}/INBOX;UID=2");
    assert_eq!(curl(port, "INBOX;UID=3", &[&url]), text(2) + &text(3));
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "240", "--user", "joe:wrong"]).arg(format!("imap://127.0.0.1:{port}/"));
    assert_eq!(command.output().unwrap().status.code(), Some(67), "curl: login denied");
}
