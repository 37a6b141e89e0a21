//! Tools and services of an instance whose users are on a server: as usual, and while the server is down.

use std::process::Command;

use super::data;
use super::outages::many;
use super::slapd::Slapd;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use crate::instance::lmtpd::Lmtpd;
use crate::instance::popd::{Popd, say};

pub fn instance(slapd: &Slapd, more: &[(&str, &str)]) -> Instance {
    let own = slapd.settings();
    let mut settings: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.extend(more);
    Instance::with(&settings)
}

const MESSAGE: &str = "Subject: one\r\n\r\nhello\r\n";

#[test]
fn tools_and_services_ask_the_server() {
    let Some(mut slapd) = Slapd::start(&data(), "") else { return };
    let it = instance(&slapd, &[("service.imap.requiretls", "no")]);
    let user = |words: &[&str]| it.run("user", words);
    it.run_with("user", &["add", "new", "--quota", "5M", "--partition", "second"], "secret\n").ended(0);
    assert!(user(&["show", "new"]).ok().contains("dn: uid=new,ou=People,o=example.org,o=isp\n"));
    it.run_with("user", &["add", "new@siroe.com"], "secret\n").ended(0);
    it.run_with("user", &["add", "new"], "secret\n").ended(73);
    it.run_with("user", &["passwd", "new"], "better\n").ended(0);
    let (out, err) = user(&["list"]).ended(1);
    assert!(
        out.lines().any(|line| line.starts_with("joe ")) && out.lines().any(|line| line.starts_with("new@siroe.com ")),
        "{out}"
    );
    assert!(err.contains("uid=a/b,ou=People,o=example.org,o=isp: \"a/b\" cannot be a userid"), "{err}");
    assert!(user(&["show", "kim@closed.org"]).ok().contains("status: active\nstatus of the domain: overquota\n"));
    // The partition of the entry counts when the mailbox is made.
    let place = it.run("hashdir", &["new"]).code;
    assert_eq!(place, 0);
    assert!(
        it.run("mboxutil", &["-l"]).ok().lines().any(|line| line.contains("second") && line.contains("user/new/INBOX"))
    );
    it.run("mboxutil", &["-c", "user/joe/INBOX"]).ok();
    it.run("mboxutil", &["-c", "user/nobody/INBOX"]).ended(67);
    it.run("mboxutil", &["-c", "user/odd/INBOX"]).ok();
    it.run_with("deliver", &["joe"], MESSAGE).ended(0);
    it.run_with("deliver", &["nobody"], MESSAGE).ended(67);
    it.run_with("deliver", &["kim@closed.org"], MESSAGE).ended(75);
    let (imapd, popd, lmtpd) = (Imapd::start(&it), Popd::start(&it), Lmtpd::start(&it));
    let login = |name: &str, password: &str| imapd.connect().ask(&format!("login {name} {password}")).pop().unwrap();
    assert_eq!(login("joe", "secret"), "OK User logged in");
    assert_eq!(login("joe", "other"), "NO [AUTHENTICATIONFAILED] Login failed: authentication failure");
    assert_eq!(login("nobody", "secret"), "NO [AUTHENTICATIONFAILED] Login failed: authentication failure");
    assert_eq!(login("new", "better"), "OK User logged in");
    assert_eq!(login("held", "secret"), "NO [AUTHORIZATIONFAILED] Account disabled");
    // The filter of the domain: POP only.
    assert_eq!(login("joe@siroe.com", "other"), "NO [AUTHORIZATIONFAILED] Service not allowed");
    // By the group of service administrators, in the user's entry and in the group's; of a domain for its own users.
    let plain = |authzid: &str, authcid: &str, password: &str| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{authzid}\0{authcid}\0{password}"));
        imapd.connect().ask(&format!("authenticate plain {text}")).pop().unwrap()
    };
    let no = "NO [AUTHENTICATIONFAILED] Login failed: authentication failure";
    for (authzid, authcid, expected) in [
        ("joe", "ann", "OK User logged in"),
        ("joe", "chief", "OK User logged in"),
        ("joe@siroe.com", "boss@siroe.com", "OK User logged in"),
        ("joe", "boss@siroe.com", no),
        ("nobody@siroe.com", "boss@siroe.com", no),
        ("ann", "held", "NO [AUTHORIZATIONFAILED] Account disabled"),
    ] {
        assert_eq!(plain(authzid, authcid, "secret"), expected, "{authcid} for {authzid}");
    }
    assert_eq!(plain("ann", "new", "better"), no);
    let pop = |name: &str, password: &str| {
        let mut client = popd.connect();
        say(&mut client, &format!("USER {name}"));
        say(&mut client, &format!("PASS {password}"))
    };
    assert!(pop("joe@siroe.com", "other").starts_with("+OK"));
    let rcpt = |name: &str| {
        let mut client = lmtpd.connect();
        client.ask("MAIL FROM:<a@b.example>");
        client.ask(&format!("RCPT TO:<{name}>"))
    };
    assert!(rcpt("joe.doe@example.org").starts_with("250 "));
    assert!(rcpt("nobody@example.org").starts_with("550 "), "{}", rcpt("nobody@example.org"));
    assert!(rcpt("joe)(uid=*@example.org").starts_with("5"), "{}", rcpt("joe)(uid=*@example.org"));
    // The server is down: later.
    slapd.stop();
    for words in [&["list"][..], &["show", "joe"], &["delete", "joe", "--yes"]] {
        let (out, err) = user(words).ended(75);
        assert!(out.is_empty() && err.contains("cannot be read"), "{out}{err}");
    }
    it.run_with("user", &["add", "more"], "secret\n").ended(75);
    it.run("mboxutil", &["-c", "user/ann/INBOX"]).ended(75);
    it.run("mboxutil", &["-o"]).ended(75);
    it.run_with("deliver", &["joe"], MESSAGE).ended(75);
    it.run_with("deliver", &["nobody"], MESSAGE).ended(75);
    assert!(login("joe", "secret").starts_with("NO [UNAVAILABLE] "), "{}", login("joe", "secret"));
    assert!(login("nobody", "secret").starts_with("NO [UNAVAILABLE] "));
    assert!(pop("joe@siroe.com", "other").starts_with("-ERR [SYS/TEMP] "));
    for name in ["joe.doe@example.org", "nobody@example.org"] {
        assert!(rcpt(name).starts_with("451 "), "{}", rcpt(name));
    }
    // And back: the same processes.
    slapd.run();
    assert_eq!(login("joe", "secret"), "OK User logged in");
    assert!(pop("joe@siroe.com", "other").starts_with("+OK"));
    assert!(rcpt("joe.doe@example.org").starts_with("250 "));
    user(&["delete", "new", "--yes"]).ok();
    user(&["show", "new"]).ended(67);
    imapd.stop();
    popd.stop();
    lmtpd.stop();
}

/// The most memory a tool ever had, in KiB.
fn peak_kib(it: &Instance, words: &[&str]) -> Option<u64> {
    let python = crate::lmtpd::counterpart("python3")?;
    let tool = it.command("user", words);
    let script = "import resource, subprocess, sys\n\
                  subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False, stderr=subprocess.DEVNULL)\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let mut command = Command::new(python);
    command.args(["-c", script]).arg(tool.get_program()).args(tool.get_args()).env_clear();
    for (name, value) in tool.get_envs() {
        command.env(name, value.unwrap());
    }
    let out = command.output().unwrap();
    Some(String::from_utf8(out.stdout).unwrap().trim().parse().unwrap())
}

#[test]
fn ten_thousand_users_are_listed_a_page_at_a_time() {
    let Some(slapd) = Slapd::start(&(data() + &many(10_000)), "") else { return };
    let it = instance(&slapd, &[]);
    let (out, _) = it.run("user", &["list", "--json"]).ended(1);
    assert_eq!(out.lines().count(), 10_009);
    let Some(all) = peak_kib(&it, &["list"]) else { return };
    it.run("configutil", &["-o", "local.ugldapbasedn", "-v", "o=siroe.com,o=isp"]).ended(0);
    let few = peak_kib(&it, &["list"]).unwrap();
    // A page of 500 entries in its several forms, and some slack.
    assert!(all < few + 8 * 1024, "{few} KiB for two users, {all} KiB for ten thousand");
}
