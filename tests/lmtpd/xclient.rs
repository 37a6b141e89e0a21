//! XCLIENT: who may say whose client it is, and what that changes.

use std::process::Command;

use super::{counterpart, log, set};
use crate::instance::lmtpd::{Lmtpd, Wire};
use crate::instance::{Instance, wait_until};

const OFFER: &str = "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

/// The lines of the answer to LHLO.
fn offers(client: &mut Wire) -> Vec<String> {
    client.send("LHLO c\r\n");
    let mut lines = Vec::new();
    loop {
        lines.push(client.line());
        if lines.last().unwrap().as_bytes()[3] == b' ' {
            return lines;
        }
    }
}

#[test]
pub fn a_trusted_mail_system_names_its_client() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    set(&it, "logfile.lmtp.loglevel", "Information");
    let lmtpd = Lmtpd::start(&it);
    let mut client = lmtpd.connect();
    assert!(!offers(&mut client).contains(&OFFER.to_owned()));
    assert_eq!(client.ask("XCLIENT ADDR=192.0.2.1"), "550 5.7.0 Insufficient authorization");
    lmtpd.stop();
    set(&it, "service.lmtp.xclientnetworks", "192.0.2.0/24 127.0.0.1");
    set(&it, "service.lmtp.domainnotallowed", "lmtp: 192.0.2.66");
    set(&it, "service.lmtp.maxsessionsperaddress", "2");
    let lmtpd = Lmtpd::start(&it);
    let mut client = lmtpd.connect();
    assert!(offers(&mut client).contains(&OFFER.to_owned()));
    assert_eq!(client.ask("MAIL FROM:<>"), "250 2.1.0 OK");
    assert_eq!(client.ask("XCLIENT NAME=a"), "503 5.5.1 A mail transaction is in progress");
    assert_eq!(client.ask("RSET"), "250 2.0.0 OK");
    assert_eq!(client.ask("XCLIENT ADDR=1.2.3"), "501 5.5.4 Bad value of ADDR");
    // What it says of another client in pieces adds up, and the session begins anew each time; it stays trusted.
    let said = client.ask("XCLIENT NAME=spike.example ADDR=192.0.2.7 PORT=4711");
    assert!(said.starts_with("220 "), "{said}");
    assert_eq!(client.ask("MAIL FROM:<>"), "503 5.5.1 LHLO first");
    assert!(offers(&mut client).contains(&OFFER.to_owned()));
    assert!(client.ask("XCLIENT HELO=+5Bspike+5D LOGIN=[UNAVAILABLE] PROTO=ESMTP").starts_with("220 "));
    offers(&mut client);
    assert_eq!(client.deliver(&["joe"], "Subject: x\r\n"), ["250 2.1.5 Delivered <joe>"]);
    drop(client);
    wait_until("no line with the client", || log(&it).contains("close [192.0.2.7] 1 messages, 1 delivered"));
    let said = log(&it);
    for line in [
        "XCLIENT [127.0.0.1] NAME=spike.example ADDR=192.0.2.7 PORT=4711",
        "XCLIENT [192.0.2.7] NAME=spike.example ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=[spike] LOGIN=[UNAVAILABLE]",
        "message [192.0.2.7] ",
    ] {
        assert!(said.contains(line), "{said}");
    }
    // The rules are those for the client.
    let named = |address: &str| {
        let mut client = lmtpd.connect_in_turn();
        let answer = client.ask(&format!("XCLIENT ADDR={address}"));
        (client, answer)
    };
    let (mut denied, answer) = named("192.0.2.66");
    assert_eq!((answer.as_str(), denied.rest()), ("421 4.7.1 Access denied", vec![]));
    let (first, second) = (named("192.0.2.8"), named("IPV6:::ffff:192.0.2.8"));
    assert!(first.1.starts_with("220 ") && second.1.starts_with("220 "), "{}, {}", first.1, second.1);
    let (mut third, answer) = named("192.0.2.8");
    assert_eq!((answer.as_str(), third.rest()), ("421 4.3.2 Too many connections, try again later", vec![]));
    drop(first);
    wait_until("its place is not given back", || named("192.0.2.8").1.starts_with("220 "));
    drop(second);
    // The address that the connection comes from is free again when those that were refused are gone: no other counts there.
    wait_until("its own address is not free", || {
        let mut both = [lmtpd.dial(), lmtpd.dial()];
        both.iter_mut().all(|client| client.line().starts_with("220 "))
    });
    // The socket file counts as this host.
    let mut local = lmtpd.connect_local_in_turn();
    assert!(local.ask("XCLIENT ADDR=192.0.2.9").starts_with("220 "));
    drop(local);
    wait_until("no line with the client", || log(&it).contains("close [192.0.2.9] 0 messages"));
    lmtpd.stop();
}

#[test]
fn of_a_client_that_is_not_known_any_more_the_connection_counts() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    set(&it, "service.lmtp.xclientnetworks", "127.0.0.1");
    set(&it, "service.lmtp.domainnotallowed", "lmtp: 192.0.2.66");
    set(&it, "service.lmtp.maxsessionsperaddress", "3");
    let lmtpd = Lmtpd::start(&it);
    for own in ["127.0.0.1", "local"] {
        let mut client = if own == "local" { lmtpd.connect_local_in_turn() } else { lmtpd.connect_in_turn() };
        let named = || {
            let mut other = lmtpd.connect_in_turn();
            let answer = other.ask("XCLIENT ADDR=192.0.2.10");
            (other, answer.starts_with("220 "))
        };
        assert!(client.ask("XCLIENT ADDR=192.0.2.10").starts_with("220 "));
        assert!(client.ask("XCLIENT ADDR=[UNAVAILABLE]").starts_with("220 "));
        offers(&mut client);
        assert_eq!(client.deliver(&["joe"], "Subject: x\r\n"), ["250 2.1.5 Delivered <joe>"]);
        // Its place at the other address is free.
        wait_until("its place is not given back", || {
            let there = [named(), named(), named()];
            there.iter().all(|(_, stays)| *stays)
        });
        drop(client);
        let line = format!("close [{own}] 1 messages, 1 delivered");
        wait_until("no line with the connection's own name", || log(&it).contains(&line));
    }
    lmtpd.stop();
}

#[test]
fn swaks_names_its_client() {
    let Some(swaks) = counterpart("swaks") else { return };
    let it = Instance::new();
    it.accounts(&["joe"]);
    set(&it, "service.lmtp.xclientnetworks", "127.0.0.1");
    set(&it, "logfile.lmtp.loglevel", "Information");
    let lmtpd = Lmtpd::start(&it);
    let server = format!("127.0.0.1:{}", lmtpd.port);
    let words = ["--protocol", "LMTP", "--server", &server, "--to", "joe@example.org", "--from", "a@example.net"];
    let client = ["--xclient-addr", "192.0.2.44", "--xclient-name", "spike.example", "--timeout", "120"];
    let done = Command::new(&swaks).args(words).args(client).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("250 2.1.5 Delivered <joe@example.org>"), "{said}");
    lmtpd.stop();
    let said = log(&it);
    assert!(
        said.contains("close [192.0.2.44] 1 messages, 1 delivered") && said.contains("NAME=spike.example"),
        "{said}"
    );
}
