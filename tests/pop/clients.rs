//! Real clients against popd: Python's poplib, curl, fetchmail and mpop. One that is not installed is skipped with a line on standard error; with
//! `CI=true` in the environment that is a failure.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use msgstore::store::Flags;

use crate::clients::{checked, finished, runs, script};
use crate::instance::Instance;
use crate::instance::popd::Popd;

const INBOX: &str = "user/joe/INBOX";

/// The messages: the second has lines of dots.
fn messages() -> Vec<String> {
    let head = |number: u32| format!("Subject: number {number}\r\nFrom: a@example.org\r\n\r\n");
    let mut all: Vec<String> = (1..=5).map(|number| format!("{}hello {number}\r\n", head(number))).collect();
    all[1] = head(2) + "\r\n.\r\n..\r\n.dots\r\n";
    all[3] = head(4) + &"A line of a longer message, many times.\r\n".repeat(10_000);
    all
}

fn with_mail() -> (Popd, Instance) {
    let it = Instance::with(&[("service.pop.enablesslport", "yes"), ("service.pop.sslport", "0")]);
    it.user("joe");
    for message in messages() {
        it.append(INBOX, &message, Flags::NONE);
    }
    (Popd::start(&it), it)
}

#[test]
fn poplib() {
    if !runs("python3", "--version") {
        return;
    }
    let (popd, _it) = with_mail();
    let mut command = Command::new("python3");
    command.arg("-B").arg(script("poplib_session.py")).arg(popd.port.to_string()).args(["joe", "secret"]);
    checked(command);
}

/// One call of curl on a URL below the server.
fn curl(scheme: &str, port: u16, path: &str, words: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "240", "--insecure", "--user", "joe:secret"]).args(words);
    command.arg(format!("{scheme}://127.0.0.1:{port}/{path}"));
    finished(command)
}

#[test]
fn curl_lists_retrieves_and_deletes() {
    if !runs("curl", "--version") {
        return;
    }
    let (popd, it) = with_mail();
    let texts = messages();
    let listing = curl("pop3", popd.port, "", &[]);
    let sizes: String = texts.iter().enumerate().map(|(at, text)| format!("{} {}\r\n", at + 1, text.len())).collect();
    assert_eq!(listing, sizes);
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(&curl("pop3", popd.port, &(at + 1).to_string(), &[]), text);
    }
    // With STLS, on the port with TLS, with SCRAM or PLAIN as it likes.
    assert_eq!(curl("pop3", popd.port, "2", &["--ssl-reqd"]), texts[1]);
    assert_eq!(curl("pop3s", popd.tls_port.unwrap(), "3", &[]), texts[2]);
    assert_eq!(curl("pop3", popd.port, "1", &["--login-options", "AUTH=PLAIN", "--sasl-ir"]), texts[0]);
    assert_eq!(curl("pop3", popd.port, "1", &["--login-options", "AUTH=LOGIN"]), texts[0]);
    assert!(curl("pop3", popd.port, "", &["--request", "UIDL"]).starts_with("1 "));
    assert_eq!(
        curl("pop3", popd.port, "", &["--request", "TOP 5 0"]),
        "Subject: number 5\r\nFrom: a@example.org\r\n\r\n"
    );
    curl("pop3", popd.port, "4", &["--request", "DELE", "--list-only"]);
    assert_eq!(it.uids(INBOX), [1, 2, 3, 5]);
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "240", "--user", "joe:wrong"]);
    command.arg(format!("pop3://127.0.0.1:{}/", popd.port));
    assert_eq!(command.output().unwrap().status.code(), Some(67), "curl: login denied");
}

/// A program that keeps every message it is given on standard input in a file of its own.
fn keeper(home: &Path) -> std::path::PathBuf {
    let program = home.join("keep");
    std::fs::create_dir(home.join("mail")).unwrap();
    let text = format!("#!/bin/sh\nexec cat >\"$(mktemp '{}/XXXXXX')\"\n", home.join("mail").display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    program
}

/// What was kept: bodies without the ends of lines, which the clients change, sorted.
fn kept(home: &Path) -> Vec<String> {
    let files = std::fs::read_dir(home.join("mail")).unwrap();
    let body = |path| {
        let text = std::fs::read_to_string(path).unwrap().replace("\r\n", "\n");
        text.split_once("\n\n").unwrap().1.trim_end().to_owned()
    };
    let mut all: Vec<String> = files.map(|entry| body(entry.unwrap().path())).collect();
    all.sort();
    all
}

fn bodies(numbers: &[usize]) -> Vec<String> {
    let body = |number: &usize| {
        let text = messages()[number - 1].replace("\r\n", "\n");
        text.split_once("\n\n").unwrap().1.trim_end().to_owned()
    };
    let mut all: Vec<String> = numbers.iter().map(body).collect();
    all.sort();
    all
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// fetchmail keeps the mail on the server and knows by UIDL what it has; then it takes all and deletes.
#[test]
fn fetchmail() {
    if !runs("fetchmail", "--version") {
        return;
    }
    let (popd, it) = with_mail();
    let home = tempfile::tempdir().unwrap();
    let keep = keeper(home.path());
    let fetch = |options: &str, ssl: &str, port: u16| {
        let poll = format!("poll 127.0.0.1 service {port} protocol pop3 uidl timeout 240\n");
        let user = format!("user joe password secret {options} mda \"{}\" {ssl}\n", keep.display());
        private(&home.path().join("rc"), &(poll + &user));
        let mut command = Command::new("fetchmail");
        command.args(["--fetchmailrc", "rc", "--idfile", "ids", "--pidfile", "pid", "--nosyslog", "--nodetach"]);
        command.current_dir(home.path()).env("FETCHMAILHOME", home.path()).env("HOME", home.path());
        command.output().unwrap()
    };
    let plain = "sslproto ''";
    let done = fetch("keep", plain, popd.port);
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert_eq!(kept(home.path()), bodies(&[1, 2, 3, 4, 5]));
    // Nothing new: the unique ids are those of before.
    let text = "Subject: number 6\r\nFrom: a@example.org\r\n\r\nhello 6\r\n";
    assert_eq!(fetch("keep", plain, popd.port).status.code(), Some(1));
    it.append(INBOX, text, Flags::NONE);
    assert_eq!(fetch("keep", plain, popd.port).status.code(), Some(0));
    let mut all = bodies(&[1, 2, 3, 4, 5]);
    all.push("hello 6".to_owned());
    all.sort();
    assert_eq!(kept(home.path()), all);
    assert_eq!(it.uids(INBOX), [1, 2, 3, 4, 5, 6]);
    // All of it once more, under TLS, and then it is gone.
    std::fs::remove_dir_all(home.path().join("mail")).unwrap();
    std::fs::create_dir(home.path().join("mail")).unwrap();
    let done = fetch("fetchall nokeep", "ssl no sslcertck", popd.tls_port.unwrap());
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(kept(home.path()), all);
    assert_eq!(it.uids(INBOX), [] as [u32; 0]);
}

/// mpop pipelines; it keeps what it has as a list of unique ids, and deletes the rest at the end.
#[test]
fn mpop() {
    if !runs("mpop", "--version") {
        return;
    }
    let (popd, it) = with_mail();
    let home = tempfile::tempdir().unwrap();
    let keep = keeper(home.path());
    let trust = it.base().join("config/server.crt");
    let fetch = |keep_mail: &str, auth: &str| {
        let host =
            format!("account default\nhost localhost\nport {}\ntimeout 240\nuser joe\npassword secret\n", popd.port);
        let tls = format!("auth {auth}\ntls on\ntls_starttls on\ntls_trust_file {}\n", trust.display());
        let rest = format!("pipelining on\nkeep {keep_mail}\nuidls_file {}/ids\n", home.path().display());
        private(&home.path().join("rc"), &format!("{host}{tls}{rest}delivery mda {}\n", keep.display()));
        let mut command = Command::new("mpop");
        command.arg("--file").arg(home.path().join("rc")).arg("--quiet").env("HOME", home.path());
        finished(command)
    };
    fetch("on", "plain");
    assert_eq!(kept(home.path()), bodies(&[1, 2, 3, 4, 5]));
    fetch("on", "user");
    assert_eq!(kept(home.path()).len(), 5);
    it.append(INBOX, "Subject: number 6\r\nFrom: a@example.org\r\n\r\nhello 6\r\n", Flags::NONE);
    fetch("off", "plain");
    assert_eq!(kept(home.path()).len(), 6);
    assert_eq!(it.uids(INBOX), [] as [u32; 0]);
}
