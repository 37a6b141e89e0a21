//! configure and user, through the binary.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_msgstore");

/// Runs the binary with `input` on standard input; the instance is the one in `base`.
pub(crate) fn tool(base: &Path, words: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(BINARY)
        .args(words)
        .env("CONFIGROOT", base.join("config"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Makes an instance in a new directory.
pub(crate) fn configured() -> tempfile::TempDir {
    crate::instance::raise_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    let words = ["configure", "--base", base, "--domain", "example.org", "--set", "service.lmtp.enable=no"];
    let done = tool(dir.path(), &words, "");
    assert!(done.status.success(), "{}", text(&done.stderr));
    dir
}

#[test]
fn configure_makes_an_instance_and_the_second_call_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("new/base");
    let partition = dir.path().join("disk2");
    let words = [
        "configure",
        "--base",
        base.to_str().unwrap(),
        "--domain",
        "Example.org",
        "--partition",
        &format!("second={}", partition.display()),
        "--set",
        "service.imap.port=1143",
    ];
    let first = tool(&base, &words, "");
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    for (name, mode) in [
        ("data", 0o700),
        ("data/proc", 0o700),
        ("data/store/partition/primary", 0o700),
        ("config/directory.ldif", 0o600),
    ] {
        let meta = fs::metadata(base.join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(partition.is_dir());
    let program = Path::new(BINARY).canonicalize().unwrap();
    for link in ["sbin/start-msg", "sbin/configutil", "lib/stored"] {
        assert_eq!(fs::read_link(base.join(link)).unwrap(), program, "{link}");
    }
    let conf = fs::read(base.join("config/msg.conf")).unwrap();
    assert!(text(&conf).contains("\"service.imap.port\" = "), "{}", text(&conf));
    assert!(text(&conf).contains("\"service.lmtp.enable\" = \"yes\""), "{}", text(&conf));
    let second = tool(&base, &words, "");
    assert_eq!(second.status.code(), Some(0));
    let lines = text(&second.stdout);
    assert!(!lines.contains("made "), "{lines}");
    assert_eq!(fs::read(base.join("config/msg.conf")).unwrap(), conf);
    // A link finds the instance without the environment.
    let out = Command::new(base.join("sbin/configutil"))
        .args(["-o", "local.defdomain"])
        .env_remove("CONFIGROOT")
        .output()
        .unwrap();
    assert_eq!(text(&out.stdout), "example.org\n", "{}", text(&out.stderr));
}

#[test]
fn mail_is_let_in_by_default_and_only_where_nobody_has_decided() {
    let dir = tempfile::tempdir().unwrap();
    let enabled = |base: &Path| {
        let out = tool(base, &["configutil", "-o", "service.lmtp.enable"], "");
        text(&out.stdout)
    };
    // A second call opens nothing in an instance that was there, whoever made it.
    let old = dir.path().join("old");
    let words = ["configure", "--base", old.to_str().unwrap(), "--set", "service.lmtp.enable=no"];
    assert_eq!(tool(&old, &words, "").status.code(), Some(0));
    assert_eq!(tool(&old, &words[..3], "").status.code(), Some(0));
    assert_eq!(enabled(&old), "no\n");
    let conf = old.join("config/msg.conf");
    let without: String = fs::read_to_string(&conf)
        .unwrap()
        .lines()
        .filter(|line| !line.contains("lmtp"))
        .map(|line| format!("{line}\n"))
        .collect();
    msgstore::os::durable::replace(&conf, without.as_bytes(), 0o600).unwrap();
    assert_eq!(tool(&old, &words[..3], "").status.code(), Some(0));
    assert_eq!(enabled(&old), "no\n");
    // A path that no socket can have: the services must start.
    let long = dir.path().join("x".repeat(100));
    assert_eq!(tool(&long, &["configure", "--base", long.to_str().unwrap()], "").status.code(), Some(0));
    assert_eq!(enabled(&long), "no\n");
}

#[test]
fn configure_refuses_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("b");
    let path = base.to_str().unwrap();
    for (words, code) in [
        (vec!["configure"], 64),
        (vec!["configure", "--base", path, "--set", "no.such=1"], 64),
        (vec!["configure", "--base", path, "--set", "nothing"], 64),
        (vec!["configure", "--base", path, "--user", "no-such-user-x"], 78),
        (vec!["configure", "--base", "/proc/nowhere"], 73),
    ] {
        let out = tool(&base, &words, "");
        assert_eq!(out.status.code(), Some(code), "{words:?} {}", text(&out.stderr));
        assert!(!out.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn an_account_is_added_listed_changed_and_deleted() {
    let dir = configured();
    let base = dir.path();
    let ldif = base.join("config/directory.ldif");
    let out = tool(
        base,
        &["user", "add", "Joe", "--name", "Joe D\u{f6}e", "--quota", "10M", "--alias", "jd@example.org"],
        "secret\n",
    );
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(0), "added joe\n"), "{}", text(&out.stderr));
    let first = fs::read_to_string(&ldif).unwrap();
    assert!(!first.contains("secret"), "{first}");
    assert_eq!(fs::metadata(&ldif).unwrap().permissions().mode() & 0o777, 0o600);

    let out = tool(base, &["user", "show", "joe@example.org"], "");
    let shown = text(&out.stdout);
    for line in [
        "userid: joe\n",
        "mail: joe@example.org\n",
        "alias: jd@example.org\n",
        "quota: 10485760 bytes, default messages\n",
        "name: Joe D\u{f6}e\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    assert_eq!(tool(base, &["user", "add", "joe"], "x\n").status.code(), Some(73));
    let taken = tool(base, &["user", "add", "eve", "--alias", "JD@example.org"], "x\n");
    assert_eq!(taken.status.code(), Some(73), "{}", text(&taken.stderr));
    assert_eq!(tool(base, &["user", "add", "a/b"], "x\n").status.code(), Some(64));
    assert_eq!(tool(base, &["user", "add", "eve"], "\n").status.code(), Some(65));
    assert_eq!(tool(base, &["user", "passwd", "nobody"], "x\n").status.code(), Some(67));
    assert_eq!(fs::read_to_string(&ldif).unwrap(), first);

    assert_eq!(tool(base, &["user", "add", "joe@siroe.com"], "other\n").status.code(), Some(0));
    let listed = text(&tool(base, &["user", "list", "--json"], "").stdout);
    let ids: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["userid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["joe", "joe@siroe.com"]);
    // Mail to a userid that is no address of its user would go to whoever has it as an address.
    assert_eq!(tool(base, &["user", "add", "max", "--mail", "m@example.org"], "x\n").status.code(), Some(0));
    let taken = tool(base, &["user", "add", "eve", "--alias", "Max@example.org"], "x\n");
    assert_eq!(taken.status.code(), Some(73), "{}", text(&taken.stderr));
    assert_eq!(tool(base, &["user", "delete", "max", "--yes"], "").status.code(), Some(0));

    assert_eq!(tool(base, &["user", "passwd", "joe"], "new secret\n").status.code(), Some(0));
    let options = msgstore::directory::Options { default_domain: Some("example.org".to_owned()), ..Default::default() };
    let directory = msgstore::directory::Directory::open(&ldif, options);
    assert!(directory.authenticate("joe", "secret").is_err());
    assert!(directory.authenticate("joe", "new secret").is_ok());
    assert!(directory.authenticate("joe@siroe.com", "other").is_ok());

    let before = fs::read(&ldif).unwrap();
    assert_eq!(tool(base, &["user", "delete", "joe", "-n"], "").status.code(), Some(2));
    assert_eq!(tool(base, &["user", "delete", "joe"], "y\n").status.code(), Some(64));
    assert_eq!(fs::read(&ldif).unwrap(), before);
    let out = tool(base, &["user", "delete", "joe", "--yes"], "");
    assert!(text(&out.stdout).contains("mboxutil -d user/joe/INBOX"));
    assert_eq!(tool(base, &["user", "show", "joe"], "").status.code(), Some(67));
}

#[test]
fn a_broken_entry_is_told_with_its_line() {
    let dir = configured();
    let base = dir.path();
    let ldif = base.join("config/directory.ldif");
    assert_eq!(tool(base, &["user", "add", "joe"], "secret\n").status.code(), Some(0));
    let mut text_now = fs::read_to_string(&ldif).unwrap();
    let line = text_now.lines().count() + 3;
    text_now.push_str("\ndn: uid=bad,o=x\nthis is not LDIF\n");
    msgstore::os::durable::replace(&ldif, text_now.as_bytes(), 0o600).unwrap();
    let out = tool(base, &["user", "list"], "");
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("joe@example.org"));
    let place = format!("directory.ldif:{line}: ");
    assert!(text(&out.stderr).contains(&place), "{}", text(&out.stderr));
    let out = tool(base, &["user", "add", "eve"], "x\n");
    assert_eq!(out.status.code(), Some(65));
    assert!(text(&out.stderr).contains(&place), "{}", text(&out.stderr));
    assert_eq!(fs::read_to_string(&ldif).unwrap(), text_now);
}
