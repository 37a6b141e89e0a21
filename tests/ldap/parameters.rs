//! What the parameters of directory servers do, each changed by configutil.

use std::net::TcpListener;
use std::time::Duration;

use super::answers::TREE;
use super::data;
use super::outages::slow;
use super::slapd::{ADMIN, ADMIN_PASSWORD, Slapd};
use super::tools::instance;
use crate::instance::imapd::Imapd;
use crate::instance::{Instance, wait_until};

fn set(it: &Instance, name: &str, value: &str) {
    it.run("configutil", &["-o", name, "-v", value]).ended(0);
}

fn unset(it: &Instance, name: &str) {
    it.run("configutil", &["-d", "-o", name]).ended(0);
}

/// What `user show joe` says on standard error, and that the server did not answer.
fn no_answer(it: &Instance) -> String {
    it.run("user", &["show", "joe"]).ended(75).1
}

fn knows_joe(it: &Instance) -> bool {
    it.run("user", &["show", "joe"]).code == 0
}

#[test]
pub fn who_is_asked_and_as_whom() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let it = Instance::with(&[]);
    // A file, until a server is named.
    it.user("only-in-the-file");
    assert!(!knows_joe(&it));
    set(&it, "local.ugldaphost", &slapd.host());
    set(&it, "local.ugldapbasedn", "o=isp");
    assert!(knows_joe(&it));
    it.run("user", &["show", "only-in-the-file"]).ended(67);
    // Nobody in particular may read, not change.
    it.run_with("user", &["passwd", "joe"], "better\n").ended(77);
    set(&it, "local.ugldapbinddn", ADMIN);
    assert!(no_answer(&it).contains("local.ugldapbindcred is not set"));
    set(&it, "local.ugldapbindcred", "wrong");
    assert!(no_answer(&it).contains("does not let cn=admin,o=isp in"));
    set(&it, "local.ugldapbindcred", ADMIN_PASSWORD);
    // Her entry lacks the object class for keys.
    it.run_with("user", &["passwd", "ann"], "better\n").ended(0);
    it.run_with("user", &["passwd", "joe"], "better\n").ended(0);
    set(&it, "local.ugldapbasedn", "o=siroe.com,o=isp");
    it.run("user", &["show", "joe"]).ended(67);
    set(&it, "local.ugldapbasedn", "o=isp");
    set(&it, "local.ugldaphost", "127.0.0.1");
    set(&it, "local.ugldapport", &slapd.port.to_string());
    assert!(knows_joe(&it));
    // The first of several that answers.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    set(&it, "local.ugldaphost", &format!("{closed} {}", slapd.host()));
    assert!(knows_joe(&it));
    unset(&it, "local.ugldaphost");
    it.run("user", &["show", "only-in-the-file"]).ended(0);
}

#[test]
pub fn how_long_is_waited() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let it = instance(&slapd, &[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    set(&it, "local.ugldaphost", &silent.local_addr().unwrap().to_string());
    set(&it, "local.ldapconnecttimeout", "1");
    assert!(no_answer(&it).contains("no answer within 1 seconds"));
    unset(&it, "local.ldapconnecttimeout");
    // Without a bind the server is slow only when it is asked.
    unset(&it, "local.ugldapbinddn");
    set(&it, "local.ugldaphost", &format!("127.0.0.1:{}", slow(slapd.port, Duration::from_secs(2))));
    assert!(knows_joe(&it));
    set(&it, "local.ldapsearchtimeout", "1");
    assert!(no_answer(&it).contains("no answer within 1 seconds"));
    // Minutes, which no test waits for: the value arrives, and outages.rs has what it does.
    set(&it, "local.ldappoolrefreshinterval", "3");
    let conf = msgstore::config::Instance::at(it.base()).conf().unwrap();
    assert_eq!(msgstore::ops::instance::ldap_settings(&conf).pool_refresh, Some(Duration::from_secs(180)));
}

#[test]
pub fn how_it_is_encrypted() {
    let Some(mut slapd) = Slapd::start(&data(), "") else { return };
    let it = instance(&slapd, &[]);
    slapd.stop();
    let path = |name: &str| it.base().join("config").join(name).display().to_string();
    let lines = format!("TLSCertificateFile {}\nTLSCertificateKeyFile {}", path("server.crt"), path("server.key"));
    slapd.configure(&lines, "security tls=1");
    let secure = slapd.run_with_tls();
    assert!(no_answer(&it).contains("TLS"));
    set(&it, "local.ugldapstarttls", "yes");
    assert!(no_answer(&it).contains("certificate"));
    set(&it, "local.ugldapcafile", &path("server.crt"));
    assert!(knows_joe(&it));
    unset(&it, "local.ugldapstarttls");
    set(&it, "local.ugldapusessl", "1");
    no_answer(&it);
    set(&it, "local.ugldaphost", &format!("127.0.0.1:{secure}"));
    assert!(knows_joe(&it));
}

/// Connections to a port that are open on the client's side.
fn connections(port: u16) -> usize {
    let wanted = format!("0100007F:{port:04X} 01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let state = |line: &str| line.split_whitespace().skip(2).take(2).collect::<Vec<_>>().join(" ");
    table.lines().filter(|line| state(line) == wanted).count()
}

#[test]
pub fn what_is_kept() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let it = instance(&slapd, &[]);
    let joe = "uid=joe,ou=People,o=example.org,o=isp";
    let login = |imapd: &Imapd| imapd.connect().ask("login joe secret").pop().unwrap();
    let (ok, blocked) = ("OK User logged in", "NO [AUTHORIZATIONFAILED] Account disabled");
    let other = msgstore::directory::Directory::ldap(super::settings(&slapd, None), super::options());
    let status = |word: &str| other.replace(joe, &[("mailUserStatus", &[word])]).unwrap();
    let with = |settings: &[(&str, &str)]| {
        settings.iter().for_each(|(name, value)| set(&it, name, value));
        status("active");
        let imapd = Imapd::start(&it);
        assert_eq!(login(&imapd), ok);
        status("hold");
        imapd
    };
    assert_eq!(login(&with(&[])), blocked);
    // Nothing of `other` is among them: what it asks goes through a connection of its own, which is counted.
    let before = connections(slapd.port);
    let imapd =
        with(&[("service.ldappoolsize", "0"), ("service.ldapmemcache", "yes"), ("service.ldapmemcachettl", "3600")]);
    assert_eq!(login(&imapd), ok);
    wait_until("a connection is kept", || connections(slapd.port) <= before);
    imapd.stop();
    let imapd = with(&[("service.ldappoolsize", "5")]);
    assert!(connections(slapd.port) > before);
    imapd.stop();
    assert_eq!(login(&with(&[("service.ldapmemcachesize", "100")])), blocked);
    let imapd = with(&[("service.ldapmemcachesize", "1M"), ("service.ldapmemcachettl", "1"), ("local.ldaptrace", "1")]);
    wait_until("the answer is remembered for ever", || login(&imapd) == blocked);
    let log = std::fs::read_to_string(it.base().join("data/log/imap")).unwrap();
    assert!(log.contains("search o=isp (&(uid=*)(|(uid=joe)") && !log.contains("secret"), "{log}");
}

#[test]
pub fn domains_and_administrators() {
    let Some(slapd) = Slapd::start(&(data() + TREE), "") else { return };
    let it = instance(&slapd, &[]);
    it.run("user", &["show", "eve@corp.com"]).ended(67);
    set(&it, "service.dcroot", "dc=internet,o=isp");
    it.run("user", &["show", "eve@corp.com"]).ended(0);
    let proxy = |imapd: &Imapd| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode("joe\0chief\0secret");
        imapd.connect().ask(&format!("authenticate plain {text}")).pop().unwrap()
    };
    assert_eq!(proxy(&Imapd::start(&it)), "OK User logged in");
    unset(&it, "store.serviceadmingroupdn");
    assert_eq!(proxy(&Imapd::start(&it)), "NO [AUTHENTICATIONFAILED] Login failed: authentication failure");
}
