//! install.sh: installing, removing, and the demonstration, with the binary of the tests instead of a build.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use msgstore::cli::generate;
use msgstore::os::durable;

fn install_in(dir: &Path, words: &[&str]) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"))
        .args(words)
        .current_dir(dir)
        .env("MSGSTORE_BINARY", env!("CARGO_BIN_EXE_msgstore"))
        .env_remove("CONFIGROOT")
        .output()
        .unwrap()
}

fn install(dir: &Path, words: &[&str]) -> String {
    let out = install_in(dir, words);
    assert_eq!(out.status.code(), Some(0), "{words:?} {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Every file and link below `dir`, with its content or target.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for path in fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_symlink() {
                found.push((path.clone(), fs::read_link(&path).unwrap().to_str().unwrap().into()));
            } else if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_installed_can_be_called_and_is_removed_again() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("a prefix");
    let words = ["--prefix", "a prefix"];
    assert!(install(dir.path(), &["--prefix", "a prefix", "--dry-run"]).contains("would install"));
    assert!(tree(dir.path()).is_empty());
    install(dir.path(), &words);
    let first = tree(&prefix);
    for link in generate::links() {
        let out = Command::new(prefix.join(&link)).arg("--version").output().unwrap();
        let name = link.rsplit('/').next().unwrap();
        let wanted = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(out.stdout).unwrap(), wanted, "{link}");
    }
    for file in ["share/man/man8/start-msg.8", "share/bash-completion/completions/msgstore"] {
        assert_eq!(fs::metadata(prefix.join(file)).unwrap().permissions().mode() & 0o777, 0o644, "{file}");
    }
    // Again, with a file of an older version: everything is as before, and that file goes.
    let manifest = prefix.join("share/msgstore/manifest");
    let mut list = fs::read_to_string(&manifest).unwrap();
    list.push_str("sbin/former\n../outside\n");
    durable::replace(&manifest, list.as_bytes(), 0o644).unwrap();
    durable::replace(&prefix.join("sbin/former"), b"x", 0o755).unwrap();
    durable::replace(&dir.path().join("outside"), b"not ours", 0o644).unwrap();
    install(dir.path(), &words);
    assert_eq!(tree(&prefix), first);

    let own = prefix.join("sbin/own");
    durable::replace(&own, b"of the administrator", 0o755).unwrap();
    install(dir.path(), &["--uninstall", "--prefix", "a prefix", "--dry-run"]);
    assert_eq!(tree(&prefix).len(), first.len() + 1);
    install(dir.path(), &["--uninstall", "--prefix", "a prefix"]);
    assert_eq!(tree(&prefix), [(own, b"of the administrator".to_vec())]);
    assert!(dir.path().join("outside").is_file());
    assert!(install(dir.path(), &["--uninstall", "--prefix", "a prefix"]).contains("nothing is installed"));
}

#[test]
fn install_writes_below_destdir_and_replaces_no_foreign_file() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), &["--prefix", "/opt/x", "--destdir", "pack"]);
    let linked = fs::read_link(dir.path().join("pack/opt/x/sbin/start-msg")).unwrap();
    assert_eq!(linked, Path::new("../bin/msgstore"));

    let prefix = dir.path().join("p");
    fs::create_dir_all(prefix.join("sbin")).unwrap();
    durable::replace(&prefix.join("sbin/start-msg"), b"foreign", 0o755).unwrap();
    let before = tree(&prefix);
    let out = install_in(dir.path(), &["--prefix", "p"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8(out.stderr).unwrap().contains("p/sbin/start-msg"));
    assert_eq!(tree(&prefix), before);
}

#[test]
fn install_refuses_what_it_does_not_understand() {
    let dir = tempfile::tempdir().unwrap();
    for words in
        [&["--prefix"][..], &["--destdir", ""], &["--what"], &["--demo", "--uninstall"], &["--demo", "--prefix", "x"]]
    {
        let out = install_in(dir.path(), words);
        assert_eq!(out.status.code(), Some(64), "{words:?}");
        assert!(!out.stderr.is_empty());
    }
    // Nothing is made in a directory that holds something else.
    durable::replace(&dir.path().join("letter"), b"x", 0o600).unwrap();
    assert_eq!(install_in(dir.path(), &["--demo", "."]).status.code(), Some(1));
    assert_eq!(tree(dir.path()).len(), 1);
}

/// Stops the services of a demonstration when the test ends, however it ends.
struct Demonstration(PathBuf);

impl Drop for Demonstration {
    fn drop(&mut self) {
        drop(Command::new(self.0.join("sbin/stop-msg")).arg("-f").output());
    }
}

fn status_of_inbox(port: &str, user: &str, password: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(super::imap::PATIENCE)).unwrap();
    write!(stream, "a LOGIN {user} {password}\r\nb STATUS INBOX (MESSAGES)\r\nc LOGOUT\r\n").unwrap();
    let lines: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    assert!(lines.iter().any(|line| line.starts_with("a OK")), "{lines:?}");
    lines.into_iter().find(|line| line.starts_with("* STATUS")).unwrap()
}

#[test]
fn the_demonstration_starts_tells_and_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("my demo");
    let _stop = Demonstration(base.clone());
    let first = install(dir.path(), &["--demo", "my demo"]);
    let passwords = fs::read_to_string(base.join("passwords")).unwrap();
    assert_eq!(fs::metadata(base.join("passwords")).unwrap().permissions().mode() & 0o777, 0o600);
    let users: Vec<(&str, &str)> = passwords.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(users.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["daphne", "joe"]);
    for (name, password) in &users {
        assert!(password.len() >= 16);
        assert!(first.contains(&format!("user {name}, password {password}\n")), "{first}");
    }
    let port_of = |text: &str| {
        let line = text.lines().find(|line| line.contains("127.0.0.1, port ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().trim_end_matches('.').to_owned()
    };
    let count = status_of_inbox(&port_of(&first), "daphne", users[0].1);
    let tls_port = |text: &str| {
        let rest = text.split_once("IMAP with TLS: localhost, port ").unwrap().1;
        rest.split(';').next().unwrap().parse::<u16>().unwrap()
    };
    assert!(TcpStream::connect(("127.0.0.1", tls_port(&first))).is_ok());
    assert!(!count.contains("MESSAGES 0"), "{count}");
    assert!(status_of_inbox(&port_of(&first), "joe", users[1].1).contains("MESSAGES 0"));
    let listed = Command::new(base.join("sbin/mboxutil")).arg("-l").output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("user/daphne"));

    // Mail comes in by the line that it shows.
    let line = first.lines().find(|line| line.contains("--protocol LMTP --socket data/proc/lmtp.socket")).unwrap();
    if let Some(swaks) = crate::lmtpd::counterpart("swaks") {
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().skip(1).collect();
        let done = Command::new(swaks).args(words).current_dir(&base).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        assert!(status_of_inbox(&port_of(&first), "joe", users[1].1).contains("MESSAGES 1"));
    }
    let second = install(dir.path(), &["--demo", "my demo"]);
    assert!(second.contains("already"), "{second}");
    assert!(second.contains("imap server is already running"), "{second}");
    assert_eq!(fs::read_to_string(base.join("passwords")).unwrap(), passwords);
    assert_eq!(status_of_inbox(&port_of(&second), "daphne", users[0].1), count);
    assert_eq!(tls_port(&second), tls_port(&first));

    assert!(Command::new(base.join("sbin/stop-msg")).status().unwrap().success());
    let third = install(dir.path(), &["--demo", "my demo"]);
    assert!(third.contains("Starting imap server"), "{third}");
    assert_eq!(status_of_inbox(&port_of(&third), "daphne", users[0].1), count);
}

/// What bash offers for the last word of a line, by an installed completion.
fn offered(completion: &Path, words: &[&str]) -> String {
    let mut line = vec!["bash", "--norc", "-c"];
    let script = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function" "$1" "${@: -1}" "${@: -2:1}"; printf '%s\n' "${COMPREPLY[@]}""#;
    line.extend([script, "bash", completion.to_str().unwrap()]);
    let out = Command::new(line[0]).args(&line[1..]).args(words).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_package_is_installed_demonstrated_and_removed_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    install(dir.path(), &["--prefix", "/opt/msgstore", "--destdir", "package"]);
    let prefix = package.join("opt/msgstore");
    // Everything lies below the prefix, and belongs to what the manifest lists.
    let manifest = fs::read_to_string(prefix.join("share/msgstore/manifest")).unwrap();
    for (path, _) in tree(&package) {
        let name = path.strip_prefix(&prefix).unwrap().to_str().unwrap().to_owned();
        assert!(name == "share/msgstore/manifest" || manifest.lines().any(|line| line == name), "{name}");
    }
    // The links where the manuals place them, for the tools of this release.
    for link in [
        "sbin/configutil",
        "sbin/deliver",
        "sbin/hashdir",
        "sbin/imsimport",
        "sbin/mboxutil",
        "sbin/reconstruct",
        "sbin/refresh",
        "sbin/start-msg",
        "sbin/stop-msg",
        "lib/imapd",
        "lib/imsched",
        "lib/stored",
    ] {
        assert!(generate::links().iter().any(|known| known == link), "{link}");
        assert!(prefix.join(link).is_symlink() && prefix.join(link).exists(), "{link}");
    }
    let completion = prefix.join("share/bash-completion/completions/mboxutil");
    let options = offered(&completion, &["mboxutil", "--dr"]);
    assert_eq!(options, "--dry-run\n");
    if Command::new("groff").arg("--version").output().is_ok() {
        let page = prefix.join("share/man/man8/mboxutil.8");
        let out = Command::new("groff").args(["-man", "-Tascii", "-ww"]).arg(page).output().unwrap();
        // Bold and underlined letters are struck over.
        let shown =
            regex::Regex::new(".\u{8}").unwrap().replace_all(&String::from_utf8_lossy(&out.stdout), "").into_owned();
        assert!(out.status.success() && shown.contains("--dry-run") && shown.contains("SYNOPSIS"), "{shown}");
        assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    } else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "groff is needed under CI");
        eprintln!("SKIPPED: the manual page is not formatted: there is no groff here");
    }

    // The demonstration with the installed program, from a directory with a blank in its name.
    let demo = dir.path().join("a demo");
    let stop = Demonstration(demo.clone());
    let out = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"))
        .args(["--demo", "a demo"])
        .current_dir(dir.path())
        .env("MSGSTORE_BINARY", prefix.join("bin/msgstore"))
        .env_remove("CONFIGROOT")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for link in generate::links() {
        assert!(demo.join(&link).exists(), "{link}");
    }
    let listed = Command::new(demo.join("sbin/mboxutil")).args(["-l", "-s"]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("user/daphne/INBOX\n"));
    drop(stop);

    install(dir.path(), &["--uninstall", "--prefix", "/opt/msgstore", "--destdir", "package"]);
    assert!(!prefix.exists() && tree(&package).is_empty(), "{:?}", tree(&package));
}
