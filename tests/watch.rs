//! Alarms, partitions that are locked since their disk is full, counterutil, and the page for Prometheus.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;

use msgstore::store::layout::message_file;

use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use crate::instance::lmtpd::Lmtpd;
use crate::instance::wait_until;
use crate::lmtpd::counterpart;
use crate::lmtpd::postfix::{self, Postfix};

const HOUR_S: i64 = 3600;
/// Nobody listens there: it is the port of tcpmux, and a test is no such service.
const NOWHERE: &str = "1";

/// A clock and disks that a test moves.
struct World {
    clock: PathBuf,
    disk: PathBuf,
}

impl World {
    fn new(it: &Instance) -> World {
        let world = World { clock: it.base().join("clock"), disk: it.base().join("disk") };
        world.move_to(0);
        world.leave(it, 500);
        world
    }

    fn put(path: &std::path::Path, text: &str) {
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn move_to(&self, seconds: i64) {
        World::put(&self.clock, &seconds.to_string());
    }

    /// So many thousandths of the disk of `primary` are left; of the others half is.
    fn leave(&self, it: &Instance, available: u64) {
        let path = |name: &str| it.base().join(name).display().to_string();
        let (primary, second, root) = (path("data/store/partition/primary"), path("disk2"), path("data/store"));
        World::put(&self.disk, &format!("{primary} 1000 {available}\n{second} 1000 500\n{root} 1000 500\n"));
    }

    fn environment(&self) -> [(&str, &str); 2] {
        [("CLOCK_FILE", self.clock.to_str().unwrap()), ("DISK_FILE", self.disk.to_str().unwrap())]
    }
}

fn log(it: &Instance) -> String {
    std::fs::read_to_string(it.base().join("data/log/default")).unwrap_or_default()
}

fn texts(it: &Instance, mailbox: &str) -> Vec<String> {
    let dir = it.directory_of(mailbox);
    it.uids(mailbox).into_iter().map(|uid| std::fs::read_to_string(dir.join(message_file(uid))).unwrap()).collect()
}

/// The value that counterutil shows of a counter.
fn counter(it: &Instance, object: &str, name: &str) -> Option<String> {
    let ran = it.run("counterutil", &["-o", object, "-n", "1"]);
    let line = ran.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" ["));
    line.map(|line| line.split_once(": ").unwrap().1.to_owned())
}

fn wait_for(it: &Instance, object: &str, name: &str, value: &str) {
    wait_until(&format!("{name} is not {value}"), || counter(it, object, name).as_deref() == Some(value));
}

fn deliver(it: &Instance, user: &str) -> i32 {
    let mut command = it.command("deliver", &[user]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"Subject: one\r\n\r\ntext\r\n");
    child.wait().unwrap().code().unwrap()
}

#[test]
pub fn a_disk_that_fills_alarms_then_locks_its_partition() {
    let mut it = Instance::stopped(&[
        ("alarm.msgalarmnoticehost", "127.0.0.1"),
        ("alarm.msgalarmnoticeport", NOWHERE),
        ("alarm.serverresponse.msgalarmstatinterval", "0"),
    ]);
    let world = World::new(&it);
    it.start_with(&world.environment());
    it.accounts(&["postmaster", "joe"]);
    let lmtpd = Lmtpd::start(&it);
    let mut wire = lmtpd.connect();
    let mut lmtp = || wire.deliver(&["joe@example.org"], "Subject: x\r\n\r\n").pop().unwrap();
    assert!(lmtp().starts_with("250 2.1.5"));
    wait_for(&it, "alarm", "diskavail.primary.alarm.current", "50");
    assert_eq!(counter(&it, "diskusage", "primary.diskusage.percentAvail").as_deref(), Some("50"));
    // Little is left: nobody takes the mail, so it is put into the mailbox of its receiver, Postmaster@localhost.
    world.leave(&it, 50);
    world.move_to(HOUR_S);
    wait_for(&it, "alarm", "diskavail.primary.alarm.countwarningsent", "1");
    let mail = texts(&it, "user/postmaster/INBOX").pop().unwrap();
    for line in [
        "Subject: ALARM: percentage mail partition diskspace available of \"primary\" is 5\r\n",
        "\r\n\r\nServer instance: ",
        "Alarmid: diskavail\r\n",
        "Lowest recorded value: 5\r\nHighest recorded value: 50\r\nMonitoring interval: 3600 seconds\r\n",
        "Alarm condition is when under threshold of 10\r\nNumber of times under threshold: 1\r\n",
    ] {
        assert!(mail.contains(line), "{line}\n{mail}");
    }
    let words = "General Alert: ALARM: percentage mail partition diskspace available of \"primary\" is 5, under threshold of 10";
    assert!(log(&it).contains(words), "{}", log(&it));
    // It lasts: the next warning is due after a day. A restart forgets nothing.
    it.stop();
    world.move_to(2 * HOUR_S);
    it.start_with(&world.environment());
    wait_for(&it, "alarm", "diskavail.primary.alarm.countoverthreshold", "2");
    assert_eq!(texts(&it, "user/postmaster/INBOX").len(), 1);
    world.move_to(26 * HOUR_S);
    wait_for(&it, "alarm", "diskavail.primary.alarm.countwarningsent", "2");
    assert_eq!((lmtp().get(..3).unwrap(), deliver(&it, "joe")), ("250", 0));
    // Nothing is left: deliveries wait, those to other partitions do not, and an administrator can still be told.
    world.leave(&it, 5);
    world.move_to(30 * HOUR_S);
    wait_for(&it, "diskusage", "primary.diskusage.locked", "1");
    assert!(wire_says(&lmtpd, "joe@example.org").starts_with("452 4.3.1 No space left"));
    assert_eq!(deliver(&it, "joe"), 75);
    assert_eq!(counter(&it, "diskusage", "second.diskusage.locked").as_deref(), Some("0"));
    wait_until("nobody is told", || texts(&it, "user/postmaster/INBOX").len() == 3);
    let mail = texts(&it, "user/postmaster/INBOX").pop().unwrap();
    assert!(mail.contains("ALARM: percentage mail partition diskspace used of \"primary\" is 100\r\n"), "{mail}");
    // There is space again.
    world.leave(&it, 700);
    world.move_to(32 * HOUR_S);
    wait_for(&it, "diskusage", "primary.diskusage.locked", "0");
    assert_eq!(deliver(&it, "joe"), 0);
    wait_for(&it, "alarm", "diskavail.primary.alarm.warningstate", "0");
    let said = log(&it);
    for words in [
        "Store Critical: partition primary is locked, ",
        "Store Notice: partition primary is unlocked: 30% of its disk is used",
        "General Notice: percentage mail partition diskspace available of \"primary\" is 70: back to normal",
        "the alarm went into the mailbox of postmaster: the mail server 127.0.0.1:1: ",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    // Switched off, a full disk locks nothing.
    it.run("configutil", &["-o", "local.store.checkdiskusage", "-v", "no"]).ended(0);
    world.leave(&it, 5);
    it.run("refresh", &["store"]).ended(0);
    wait_for(&it, "diskusage", "primary.diskusage.percentAvail", "0");
    assert_eq!((counter(&it, "diskusage", "primary.diskusage.locked").as_deref(), deliver(&it, "joe")), (Some("0"), 0));
}

/// The answer to a recipient.
fn wire_says(lmtpd: &Lmtpd, to: &str) -> String {
    let mut wire = lmtpd.connect();
    assert!(wire.ask("MAIL FROM:<sender@example.net>").starts_with("250"));
    wire.ask(&format!("RCPT TO:<{to}>"))
}

/// Takes mail by SMTP; each message comes with what was said before it.
fn sink() -> (String, mpsc::Receiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let (mails, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut all = String::new();
            let mut data = false;
            reader.get_mut().write_all(b"220 sink\r\n").unwrap();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
                all.push_str(&line);
                let reply = match line.trim_end() {
                    "." if data => "250 taken\r\n",
                    _ if data => "",
                    "DATA" => "354 go on\r\n",
                    // An old server.
                    text if text.starts_with("EHLO") => "502 what?\r\n",
                    _ => "250-yes\r\n250 indeed\r\n",
                };
                data = reply.starts_with("354") || (data && reply.is_empty());
                if reader.get_mut().write_all(reply.as_bytes()).is_err() {
                    break;
                }
                line.clear();
            }
            if mails.send(all).is_err() {
                return;
            }
        }
    });
    (port, inbox)
}

#[test]
pub fn a_server_that_does_not_answer_alarms() {
    let (port, inbox) = sink();
    let mut it = Instance::stopped(&[
        ("alarm.msgalarmnoticehost", "127.0.0.1"),
        ("alarm.msgalarmnoticeport", &port),
        ("alarm.msgalarmnoticercpt", "ann@siroe.com"),
        ("alarm.msgalarmnoticesender", "watch@siroe.com"),
        ("alarm.diskavail.msgalarmstatinterval", "0"),
        ("service.imap.enable", "yes"),
        ("service.pop.enable", "no"),
        ("service.pop.enablesslport", "no"),
    ]);
    let world = World::new(&it);
    it.start_with(&world.environment());
    let imapd = Imapd::start(&it);
    world.move_to(HOUR_S);
    wait_for(&it, "serverresponse", "imap.responsetime", "0");
    imapd.stop();
    world.move_to(2 * HOUR_S);
    let mail = inbox.recv_timeout(crate::imap::PATIENCE).unwrap();
    for words in [
        "MAIL FROM:<watch@siroe.com>\r\nRCPT TO:<ann@siroe.com>\r\nDATA\r\n",
        "Subject: ALARM: server response time in seconds of \"imap\" is 15\r\n",
        "Alarmid: serverresponse\r\nInstance: imap\r\nDescription: server response time in seconds\r\n",
        "Lowest recorded value: 0\r\nHighest recorded value: 15\r\nMonitoring interval: 600 seconds\r\n",
        "Alarm condition is when over threshold of 10\r\nNumber of times over threshold: 1\r\n.\r\n",
    ] {
        assert!(mail.contains(words), "{words}\n{mail}");
    }
    assert_eq!(counter(&it, "serverresponse", "imap.responsetime").as_deref(), Some("15"));
    let imapd = Imapd::start(&it);
    world.move_to(3 * HOUR_S);
    wait_for(&it, "alarm", "serverresponse.imap.alarm.warningstate", "0");
    assert!(log(&it).contains("server response time in seconds of \"imap\" is 0: back to normal"), "{}", log(&it));
    imapd.stop();
    // An alarm that is lost is sent again at the next look: here the threshold is another after a refresh.
    it.run("configutil", &["-o", "alarm.serverresponse.msgalarmthreshold", "-v", "20"]).ended(0);
    it.run("refresh", &["store"]).ended(0);
    world.move_to(4 * HOUR_S);
    let mail = inbox.recv_timeout(crate::imap::PATIENCE).unwrap();
    assert!(mail.contains("of \"imap\" is 25\r\n") && mail.contains("over threshold of 20\r\n"), "{mail}");
}

#[test]
fn postfix_takes_the_alarm() {
    if !postfix::possible() {
        return;
    }
    let mut it = Instance::stopped(&[
        ("alarm.msgalarmnoticehost", "127.0.0.1"),
        ("alarm.msgalarmnoticercpt", "postmaster@example.org"),
        ("alarm.msgalarmnoticesender", "postmaster@example.org"),
        ("alarm.serverresponse.msgalarmstatinterval", "0"),
    ]);
    let world = World::new(&it);
    it.start_with(&world.environment());
    it.accounts(&["postmaster"]);
    let lmtpd = Lmtpd::start(&it);
    let postfix = Postfix::start(Some(&format!("msgstore:inet:127.0.0.1:{}", lmtpd.port)));
    let port = postfix.address.rsplit_once(':').unwrap().1;
    it.run("configutil", &["-o", "alarm.msgalarmnoticeport", "-v", port]).ended(0);
    world.leave(&it, 50);
    it.run("refresh", &["store"]).ended(0);
    wait_until("the alarm does not come", || !it.uids("user/postmaster/INBOX").is_empty());
    let mail = texts(&it, "user/postmaster/INBOX").remove(0);
    assert!(mail.contains("Received: from ") && mail.contains("ALARM: percentage mail partition"), "{mail}");
    drop(postfix);
    lmtpd.stop();
}

#[test]
fn counterutil_shows_what_the_services_count() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let lmtpd = Lmtpd::start(&it);
    let answer = lmtpd.connect().deliver(&["joe@example.org"], "Subject: x\r\n\r\n").pop().unwrap();
    assert!(answer.starts_with("250"), "{answer}");
    assert!(wire_says(&lmtpd, "nobody@example.org").starts_with("550"));
    let _first = imapd.login("joe");
    let mut second = imapd.connect();
    assert!(second.ask("login joe wrong")[0].starts_with("NO"));
    let third = imapd.connect();
    drop(third);
    wait_for(&it, "imapstat", "global.numCurrentConnections", "2");
    wait_for(&it, "imapstat", "global.numConnections", "3");
    for (name, value) in [("numGoodLogins", "1"), ("numFailedLogins", "1"), ("numFailedConnections", "0")] {
        wait_for(&it, "imapstat", &format!("global.{name}"), value);
    }
    for (name, value) in [("numMessages", "1"), ("numDelivered", "1"), ("numRefused", "1"), ("numConnections", "2")] {
        wait_for(&it, "lmtpstat", &format!("global.{name}"), value);
    }
    let path = it.base().join("data/counter/counter").display().to_string();
    let out = it.run("counterutil", &["-l"]).ok();
    let moment = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000";
    let form = format!(
        "^Listing registry \\({}\\)\nnumobjects = 4\nrefcount = 3\ncreated = {moment}\nmodified = {moment}\n     entry = alarm\n     \
         entry = diskusage\n     entry = imapstat\n     entry = lmtpstat\n$",
        regex::escape(&path)
    );
    assert!(regex::Regex::new(&form).unwrap().is_match(&out), "{out}");
    let out = it.run("counterutil", &["-o", "imapstat", "-i", "1", "-n", "2"]).ok();
    let form = format!(
        "^Monitor counteroobject \\(imapstat\\)\nregistry {} opened\ncounterobject imapstat opened\n\n\
         count = 1 at \\d+ rh = 0x[0-9a-f]+ oh = 0x[0-9a-f]+\n\nglobal.currentStartTime \\[4 bytes\\]: {moment}\n\
         global.lastConnectionTime \\[4 bytes\\]: {moment}\nglobal.maxConnections \\[4 bytes\\]: [23]\n\
         global.numConnections \\[4 bytes\\]: 3\nglobal.numCurrentConnections \\[4 bytes\\]: 2\n\
         global.numFailedConnections \\[4 bytes\\]: 0\nglobal.numFailedLogins \\[4 bytes\\]: 1\n\
         global.numGoodLogins \\[4 bytes\\]: 1\nglobal.numBytesIn \\[8 bytes\\]: \\d+\n\
         global.numBytesOut \\[8 bytes\\]: \\d+\n\ncount = 2 at ",
        regex::escape(&path)
    );
    assert!(regex::Regex::new(&form).unwrap().is_match(&out), "{out}");
    // Named by hand it is the same; wrong words are refused.
    assert!(it.run("counterutil", &["-l", "-r", &path]).ok().contains("entry = imapstat"));
    for (words, code) in [
        (&["-o", "httpstat"][..], 64),
        (&["-o", "popstat", "-n", "1"], 66),
        (&[], 64),
        (&["-l", "-i", "3"], 64),
        (&["-o", "imapstat", "-n", "0"], 64),
        (&["-l", "-r", "/nowhere"], 66),
        (&["-l", "-r", "/etc/passwd"], 65),
    ] {
        let (_, err) = it.run("counterutil", words).ended(code);
        assert!(!err.is_empty(), "{words:?}");
    }
    // What a killed process had open is not open.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(imapd.pid()), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_for(&it, "imapstat", "global.numCurrentConnections", "0");
    assert_eq!(counter(&it, "imapstat", "global.numConnections").as_deref(), Some("3"));
    lmtpd.stop();
}

/// Reads the text format of Prometheus, strictly; the samples.
fn samples(text: &str) -> Vec<(String, f64)> {
    let name = "[a-zA-Z_:][a-zA-Z0-9_:]*";
    let label = r#"[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*""#;
    let sample = regex::Regex::new(&format!(r"^({name})(\{{{label}(?:,{label})*\}})? (-?\d+)$")).unwrap();
    let (mut family, mut families, mut seen, mut found) = (String::new(), HashSet::new(), HashSet::new(), Vec::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} is torn");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let wanted = if family.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(kind, format!("{family} {wanted}"));
        } else {
            let parts = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
            assert_eq!(&parts[1], family);
            let key = line.rsplit_once(' ').unwrap().0.to_owned();
            assert!(seen.insert(key.clone()), "twice: {line}");
            found.push((key, parts[3].parse().unwrap()));
        }
    }
    found
}

#[test]
pub fn prometheus_reads_the_same() {
    let Some(curl) = counterpart("curl") else { return };
    let it = Instance::with(&[("local.metrics.port", "0")]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let _client = imapd.login("joe");
    wait_for(&it, "imapstat", "global.numGoodLogins", "1");
    let ask = |words: &[&str]| {
        let out = std::process::Command::new(&curl).args(["-sS", "-i"]).args(words).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let socket = it.base().join("data/proc/metrics.socket");
    let port = std::fs::read_to_string(it.base().join("data/proc/metrics.port")).unwrap();
    let page = format!("http://127.0.0.1:{}/metrics", port.trim());
    let local = ["--unix-socket", socket.to_str().unwrap(), "http://localhost/metrics"];
    for words in [&local[..], &[page.as_str()]] {
        let answer = ask(words);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            "{head}"
        );
        let found = samples(body);
        for (name, value) in [
            ("msgstore_up{service=\"imap\"}", 1.0),
            ("msgstore_connections{service=\"imap\"}", 1.0),
            ("msgstore_logins_total{service=\"imap\",result=\"good\"}", 1.0),
            ("msgstore_disk_locked{partition=\"primary\"}", 0.0),
        ] {
            assert!(found.contains(&(name.to_owned(), value)), "{name}\n{body}");
        }
        assert!(found.iter().any(|(name, value)| name.starts_with("msgstore_disk_total_bytes{") && *value > 0.0));
    }
    assert!(ask(&[&page.replace("/metrics", "/")]).starts_with("HTTP/1.1 404 "));
    assert!(ask(&["-X", "POST", &page]).starts_with("HTTP/1.1 405 "));
    // Who says nothing does not stand in the way for long, and the end takes the files away.
    let _silent = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    assert!(ask(&local).starts_with("HTTP/1.1 200 "));
    imapd.stop();
    drop(it);
    assert!(!socket.exists());
}

#[test]
pub fn what_is_set_about_alarms_counts() {
    let (port, inbox) = sink();
    let mut it = Instance::stopped(&[
        ("alarm.msgalarmnoticehost", "127.0.0.1"),
        ("alarm.msgalarmnoticeport", &port),
        ("alarm.msgalarmnoticetemplate", "Subject: %s %s|%s|%s|%s$X-Mark: yes$$100%%$%s"),
        ("alarm.diskavail.msgalarmdescription", "room"),
        ("alarm.diskavail.msgalarmstatinterval", "600"),
        ("alarm.diskavail.msgalarmthreshold", "40"),
        ("alarm.diskavail.msgalarmthresholddirection", "1"),
        ("alarm.diskavail.msgalarmwarninginterval", "1"),
        ("alarm.serverresponse.msgalarmdescription", "patience"),
        ("alarm.serverresponse.msgalarmthreshold", "20"),
        ("alarm.serverresponse.msgalarmthresholddirection", "-1"),
        ("alarm.serverresponse.msgalarmwarninginterval", "1"),
        ("local.store.diskusagethreshold", "80"),
        ("service.pop.enable", "no"),
        ("service.pop.enablesslport", "no"),
    ]);
    let socket = it.base().join("figures");
    it.run("configutil", &["-o", "local.metrics.socket", "-v", socket.to_str().unwrap()]).ended(0);
    let world = World::new(&it);
    it.start_with(&world.environment());
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    // Half of each disk is left, which is over 40 percent.
    let next = |words: &str| loop {
        let mail = inbox.recv_timeout(crate::imap::PATIENCE).unwrap();
        if mail.contains(words) {
            return mail;
        }
    };
    let disk = "Subject: Postmaster@localhost Postmaster@localhost|room|primary|50\r\nX-Mark: yes\r\n\r\n100%\r\nServer instance: ";
    next(disk);
    // A server that answers is the alarm here. One that does not is none: it takes longer than 20 seconds.
    let imapd = Imapd::start(&it);
    world.move_to(2 * HOUR_S);
    next(disk);
    next("|patience|imap|0\r\n");
    world.move_to(4 * HOUR_S);
    next("|patience|imap|0\r\n");
    imapd.stop();
    world.move_to(6 * HOUR_S);
    wait_for(&it, "alarm", "serverresponse.imap.alarm.warningstate", "0");
    assert_eq!(counter(&it, "diskusage", "primary.diskusage.locked").as_deref(), Some("0"));
    world.leave(&it, 150);
    world.move_to(8 * HOUR_S);
    wait_for(&it, "diskusage", "primary.diskusage.locked", "1");
}
