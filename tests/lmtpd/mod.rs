//! The LMTP daemon as a process, and what mail transports do with it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::print_stdout, clippy::disallowed_methods)]

pub mod duplicates;
mod hostile;
mod many;
pub mod postfix;
mod swaks;
pub mod xclient;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use msgstore::store::layout::message_file;

use crate::instance::lmtpd::{Lmtpd, Wire};
use crate::instance::{Instance, wait_until};

const DELIVERED: &str = "250 2.1.5 Delivered";

/// A program that a test needs beside this product. `None`: it is not there, which is said; with `CI=true` it has to be.
pub fn counterpart(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/lib/postfix/sbin"];
    let found = places.iter().map(|place| PathBuf::from(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

fn set(it: &Instance, name: &str, value: &str) {
    it.run("configutil", &["-o", name, "-v", value]).ended(0);
}

fn log(it: &Instance) -> String {
    std::fs::read_to_string(it.base().join("data/log/lmtp")).unwrap()
}

/// The messages of a mailbox, in the order of their UIDs.
fn texts(it: &Instance, mailbox: &str) -> Vec<String> {
    let dir = it.directory_of(mailbox);
    let files = it.uids(mailbox).into_iter().map(|uid| dir.join(message_file(uid)));
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn mail_comes_by_the_port_and_by_the_socket() {
    let it = Instance::new();
    it.accounts(&["joe", "jane", "ann@hosted.example"]);
    let entry = "\ndn: uid=sue,ou=People,dc=example,dc=org\nobjectClass: inetMailUser\nuid: sue\nmail: sue@example.org\n\
                 mailAlternateAddress: info@hosted.example\nmailEquivalentAddress: Sue.S@example.org\n";
    let path = it.base().join("config/directory.ldif");
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, before + entry).unwrap();
    let lmtpd = Lmtpd::start(&it);
    let mode = std::fs::metadata(&lmtpd.socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    let mut port = lmtpd.connect();
    let all =
        ["joe@example.org", "jane@EXAMPLE.org", "ann@hosted.example", "info@hosted.example", "Joe+None@example.org"];
    let answers = port.deliver(&all, "Subject: all\r\n\r\n.\r\nx\r\n");
    let wanted: Vec<String> = all.iter().map(|address| format!("{DELIVERED} <{address}>")).collect();
    assert_eq!(answers, wanted);
    let mut local = lmtpd.dial_local().greeted();
    assert_eq!(
        local.deliver(&["sue.s@example.org"], "Subject: one\r\n\r\n"),
        ["250 2.1.5 Delivered <sue.s@example.org>"]
    );
    let sent = "Return-Path: <sender@example.net>\r\n";
    let all = format!("{sent}Subject: all\r\n\r\n.\r\nx\r\n");
    for user in ["joe", "jane", "ann@hosted.example"] {
        assert_eq!(texts(&it, &format!("user/{user}/INBOX")), [all.as_str()]);
    }
    // Delivered-To tells an address to its owner only: where there is one.
    let one = format!("{sent}Delivered-To: sue.s@example.org\r\nSubject: one\r\n\r\n");
    assert_eq!(texts(&it, "user/sue/INBOX"), [all, one]);
    // One file for all.
    let file = it.directory_of("user/joe/INBOX").join(message_file(1));
    assert!(std::fs::metadata(file).unwrap().nlink() >= 4);
    assert_eq!(port.ask("QUIT"), "221 2.0.0 localhost closing".replace("localhost", &port_host(&it)));
    drop((port, local));
    let socket = lmtpd.socket.clone();
    lmtpd.stop();
    assert!(!socket.exists());
    let said = log(&it);
    assert!(said.contains("close [127.0.0.1] 1 messages, 5 delivered, 0 refused, "), "{said}");
    assert!(said.contains("close [local] 1 messages, 1 delivered, 0 refused, "), "{said}");
}

fn port_host(it: &Instance) -> String {
    let instance = msgstore::config::Instance::at(it.base());
    msgstore::ops::instance::host_name(&instance.conf().unwrap())
}

#[test]
pub fn the_door_is_shut_until_somebody_opens_it() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    // Switched off, and with a socket only.
    let (_, err) = it.run("start-msg", &["lmtp"]).ended(78);
    assert!(err.contains("lmtp is not enabled: service.lmtp.enable are off"), "{err}");
    set(&it, "service.lmtp.enable", "yes");
    it.run("start-msg", &["lmtp"]).ended(0);
    assert!(!it.base().join("data/proc/lmtp.port").exists());
    let socket = it.base().join("data/proc/lmtp.socket");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    // A second one does not take it away.
    let (_, err) = it.run("lmtpd", &[]).ended(69);
    assert!(err.contains("cannot listen on ") && err.contains("lmtp.socket"), "{err}");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    it.run("refresh", &["lmtp"]).ended(0);
    it.run("stop-msg", &["lmtp"]).ended(0);
    assert!(!socket.exists());
    // What is no socket stays.
    std::fs::write(&socket, "mine").unwrap();
    it.run("lmtpd", &[]).ended(69);
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
    std::fs::remove_file(&socket).unwrap();
    // A socket that a killed process left is replaced.
    Lmtpd::start(&it).kill();
    assert!(socket.exists());
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtpd.dial_local().greeted().ask("NOOP"), "250 2.0.0 OK");
    lmtpd.stop();
    // Filters are for the port.
    set(&it, "service.lmtp.domainnotallowed", "lmtp: ALL");
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtpd.dial().rest(), ["421 4.7.1 Access denied"]);
    assert_eq!(lmtpd.dial_local().greeted().ask("NOOP"), "250 2.0.0 OK");
    lmtpd.stop();
    set(&it, "service.lmtp.domainallowed", "lmtp: 127.0.0.1");
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtpd.connect().ask("NOOP"), "250 2.0.0 OK");
    lmtpd.stop();
    // One address of this host and no other.
    set(&it, "service.lmtp.listenaddr", "127.0.0.2");
    let lmtpd = Lmtpd::start(&it);
    assert!(std::net::TcpStream::connect(("127.0.0.2", lmtpd.port)).is_ok());
    assert!(std::net::TcpStream::connect(("127.0.0.1", lmtpd.port)).is_err());
    lmtpd.stop();
    set(&it, "service.lmtp.socket", "");
    set(&it, "service.lmtp.port", "-1");
    let (_, err) = it.run("lmtpd", &[]).ended(78);
    assert!(err.contains("neither a port nor a socket"), "{err}");
}

#[test]
pub fn bounds_hold_and_are_read_again() {
    let it = Instance::new();
    it.accounts(&["joe", "jane"]);
    set(&it, "service.lmtp.maxsessions", "2");
    set(&it, "service.lmtp.maxrecipients", "1");
    set(&it, "service.lmtp.maxmessagesize", "2000");
    set(&it, "service.proxyprotocol.networks", "127.0.0.0/8");
    let lmtpd = Lmtpd::start(&it);
    let from = |address: &str| {
        let mut client = lmtpd.dial();
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 9 24\r\n"));
        client
    };
    let (mut first, second) = (from("192.0.2.1").greeted(), lmtpd.dial_local().greeted());
    assert_eq!(lmtpd.dial().rest(), ["421 4.3.2 Too many connections, try again later"]);
    drop(second);
    assert_eq!(first.ask("MAIL FROM:<> SIZE=2001"), "552 5.3.4 Message too large");
    first.ask("MAIL FROM:<>");
    assert_eq!(first.ask("RCPT TO:<joe>"), "250 2.1.5 OK");
    assert_eq!(first.ask("RCPT TO:<jane>"), "452 4.5.3 Too many recipients");
    set(&it, "service.lmtp.maxrecipients", "2");
    msgstore::os::process::tell(lmtpd.pid(), msgstore::os::process::Order::Refresh).unwrap();
    // Sessions that begin later.
    wait_until("the old bound stays", || {
        let mut client = lmtpd.dial_local().greeted();
        client.ask("MAIL FROM:<>");
        client.ask("RCPT TO:<joe>");
        client.ask("RCPT TO:<jane>") == "250 2.1.5 OK"
    });
    drop(first);
    wait_until("no line with the client that the proxy named", || log(&it).contains("close [192.0.2.1] 0 messages"));
    lmtpd.stop();
}

#[test]
pub fn who_is_silent_is_sent_away_and_so_is_everybody_at_the_end() {
    let it = Instance::new();
    set(&it, "service.lmtp.idletimeout", "1");
    let lmtpd = Lmtpd::start_with(&it, &[("MINUTE_MS", "300")]);
    assert_eq!(lmtpd.connect().rest(), ["421 4.4.2 Autologout; idle for too long"]);
    let mut half = lmtpd.connect();
    half.send("NOO");
    assert_eq!(half.rest(), ["421 4.4.2 Autologout; idle for too long"]);
    lmtpd.stop();
    let lmtpd = Lmtpd::start(&it);
    let (mut idle, mut busy) = (lmtpd.connect(), lmtpd.connect());
    assert_eq!(busy.ask("MAIL FROM:<>"), "250 2.1.0 OK");
    let ending = std::thread::spawn(move || lmtpd.stop());
    assert_eq!(idle.rest(), ["421 4.3.2 Server shutting down"]);
    // A transaction may come to its end.
    assert_eq!(busy.ask("RSET"), "250 2.0.0 OK");
    assert_eq!(busy.rest(), ["421 4.3.2 Server shutting down"]);
    ending.join().unwrap();
}

#[test]
fn a_bug_ends_one_session_and_its_message_is_not_there() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    // LHLO of both, MAIL, RCPT, DATA of the first; then the message.
    let lmtpd = Lmtpd::start_with(&it, &[("PANIC_POINT", "lmtp.worker:6")]);
    let (mut first, mut second) = (lmtpd.connect(), lmtpd.connect());
    for command in ["MAIL FROM:<>", "RCPT TO:<joe>", "DATA"] {
        first.ask(command);
    }
    first.send("Subject: lost\r\n.\r\n");
    assert_eq!(first.rest(), [format!("421 4.3.0 Internal error, incident {}.1", lmtpd.pid())]);
    assert_eq!(second.deliver(&["joe"], "Subject: kept\r\n"), ["250 2.1.5 Delivered <joe>"]);
    assert_eq!(it.uids("user/joe/INBOX").len(), 1);
    lmtpd.stop();
    // Nothing of the other stays.
    it.settle();
}

#[test]
fn what_may_pass_is_a_temporary_failure() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let lmtpd = Lmtpd::start(&it);
    let mut client = lmtpd.connect();
    let (ldif, away) = (it.base().join("config/directory.ldif"), it.base().join("config/away"));
    std::fs::rename(&ldif, &away).unwrap();
    assert_eq!(client.ask("MAIL FROM:<>"), "250 2.1.0 OK");
    assert_eq!(client.ask("RCPT TO:<joe>"), "451 4.3.0 Temporary failure");
    std::fs::rename(&away, &ldif).unwrap();
    assert_eq!(client.ask("RCPT TO:<joe>"), "250 2.1.5 OK");
    assert_eq!(client.ask("RCPT TO:<nobody>"), "550 5.1.1 No such user");
    // A file that is being written in its place: who is not in it now may come yet.
    let whole = std::fs::read(&ldif).unwrap();
    std::fs::write(&ldif, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(client.ask("RCPT TO:<nobody>"), "451 4.3.0 Temporary failure");
    // One that was put in its place as a whole is what it is.
    std::fs::write(&away, &whole).unwrap();
    std::fs::rename(&away, &ldif).unwrap();
    assert_eq!(client.ask("RCPT TO:<nobody>"), "550 5.1.1 No such user");
    // The partition goes away behind RCPT: no message is taken, and no file is made in an empty directory.
    let (disk, gone) = (it.base().join("data/store/partition/primary"), it.base().join("data/store/partition/gone"));
    std::fs::rename(&disk, &gone).unwrap();
    assert_eq!(client.ask("DATA"), "451 4.3.0 Temporary failure");
    std::fs::rename(&gone, &disk).unwrap();
    assert_eq!(client.deliver(&["joe"], "Subject: x\r\n"), ["250 2.1.5 Delivered <joe>"]);
    lmtpd.stop();
    assert!(log(&it).contains("recipient <joe>: "), "{}", log(&it));
}

#[test]
pub fn starttls_begins_anew_and_what_came_in_the_clear_behind_it_does_not_count() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let lmtpd = Lmtpd::start(&it);
    let mut client = lmtpd.connect();
    assert_eq!(client.ask("MAIL FROM:<>"), "250 2.1.0 OK");
    client.send("STARTTLS\r\nRCPT TO:<joe>\r\n");
    assert_eq!(client.reply(), "220 2.0.0 Begin TLS negotiation now");
    let trust = it.base().join("config/server.crt");
    let mut secure = crate::tls::Offer::of(&trust).secure(client.into_stream()).unwrap();
    for (command, answer) in
        [("MAIL FROM:<>", "503 5.5.1 LHLO first"), ("STARTTLS", "503 5.5.1 TLS is active already"), ("LHLO c", "250-")]
    {
        secure.send(format!("{command}\r\n"));
        let line = secure.line();
        assert!(line.starts_with(answer), "{line}");
    }
    let words: Vec<String> = (0..6).map(|_| secure.line()).collect();
    assert!(words[5].starts_with("250 SIZE") && !words.iter().any(|word| word.contains("STARTTLS")), "{words:?}");
    secure.send("MAIL FROM:<>\r\nRCPT TO:<joe>\r\nDATA\r\nSubject: secret\r\n.\r\nQUIT\r\n");
    let answers: Vec<String> = (0..5).map(|_| secure.line()).collect();
    assert_eq!(answers[3], "250 2.1.5 Delivered <joe>");
    assert!(log(&it).contains("behind STARTTLS; they are ignored"));
    // Not on the socket: there is nobody in between.
    let mut local = lmtpd.dial_local().greeted();
    assert_eq!(local.ask("STARTTLS"), "502 5.5.1 STARTTLS is not available");
    lmtpd.stop();
    set(&it, "service.lmtp.sslusessl", "no");
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtpd.connect().ask("STARTTLS"), "502 5.5.1 STARTTLS is not available");
    lmtpd.stop();
}

#[test]
pub fn the_socket_has_its_group_and_its_mode() {
    let it = Instance::new();
    set(&it, "service.lmtp.socketmode", "620");
    // A group of this process that is not its first one; root may take any.
    let first = nix::unistd::getegid();
    let groups = nix::unistd::getgroups().unwrap();
    let other = groups.into_iter().find(|group| *group != first);
    let root = nix::unistd::geteuid().is_root();
    let group = other.unwrap_or(if root { nix::unistd::Gid::from_raw(1) } else { first });
    set(&it, "service.lmtp.socketgroup", &group.to_string());
    let lmtpd = Lmtpd::start(&it);
    let file = std::fs::metadata(&lmtpd.socket).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o620, group.as_raw()));
    lmtpd.stop();
    set(&it, "service.lmtp.socketgroup", "no-such-group-x");
    let (_, err) = it.run("lmtpd", &[]).ended(69);
    assert!(err.contains("Cannot find group in name service: no-such-group-x"), "{err}");
}

/// Bytes of a message cut at any place into commands, as a client with pipelining sends them.
#[test]
pub fn everything_in_one_piece_is_answered_in_order() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    set(&it, "service.lmtp.maxthreads", "1");
    let lmtpd = Lmtpd::start(&it);
    let mut client: Wire = lmtpd.dial();
    let one = "MAIL FROM:<a@b>\r\nRCPT TO:<joe>\r\nRCPT TO:<nobody>\r\nBDAT 14 LAST\r\nSubject: one\r\n";
    client.send(format!("LHLO c\r\n{}NOOP\r\nQUIT\r\n", one.repeat(50)));
    let lines: Vec<String> = client.rest().into_iter().filter(|line| line.as_bytes()[3] == b' ').collect();
    assert_eq!(lines.len(), 2 + 50 * 4 + 2);
    assert!(lines[2..202].chunks(4).all(|four| four[0] == "250 2.1.0 OK"
        && four[1] == "250 2.1.5 OK"
        && four[2] == "550 5.1.1 No such user"
        && four[3] == "250 2.1.5 Delivered <joe>"));
    assert_eq!(it.uids("user/joe/INBOX").len(), 50);
    // The threads of the runtime, one for each core, and of the workers: one, and one to spare.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", lmtpd.pid())).unwrap();
    let named = tasks.filter(|task| {
        let name = task.as_ref().unwrap().path().join("comm");
        std::fs::read_to_string(name).is_ok_and(|name| name == "lmtp\n")
    });
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((1..=cores + 2).contains(&named.count()));
    lmtpd.stop();
}
