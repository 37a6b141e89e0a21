//! What imapd does against those who take too much, guess passwords, or should not be there; and that a bug ends one session only.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use crate::bad_input::send_anyway;
use crate::imap::Client;
use crate::instance::imapd::Imapd;
use crate::instance::{Instance, wait_until};

const FULL: &str = "* BYE Too many connections, try again later";

#[track_caller]
fn set(it: &Instance, name: &str, value: &str) {
    assert_eq!(it.run("configutil", &["-o", name, "-v", value]).ok(), "", "{name}");
}

/// An instance behind a proxy, which is this process: clients come from where a test says, and may send passwords in the clear.
fn behind_a_proxy(users: &[&str]) -> Instance {
    let it = Instance::new();
    it.accounts(users);
    set(&it, "service.proxyprotocol.networks", "192.0.2.99 127.0.0.0/8");
    set(&it, "service.imap.requiretls", "no");
    it
}

/// A client at an address, and the first line that it gets.
fn from(imapd: &Imapd, address: &str) -> (Client, String) {
    let mut client = imapd.dial();
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    let here = if address.contains(':') { "::1" } else { "127.0.0.1" };
    client.send(format!("PROXY {family} {address} {here} 7 143\r\n"));
    let line = client.line();
    (client, line)
}

/// The same for one that is greeted.
#[track_caller]
fn greeted(imapd: &Imapd, address: &str) -> Client {
    let (client, line) = from(imapd, address);
    assert!(line.starts_with("* OK "), "{address}: {line}");
    client
}

fn log(it: &Instance) -> String {
    std::fs::read_to_string(it.base().join("data/log/imap")).unwrap()
}

/// The failure that the log has told is counted next, by the thread that then waits.
fn counted() {
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
pub fn connections_of_one_address() {
    let it = behind_a_proxy(&["joe"]);
    let full = |imapd: &Imapd, address: &str| from(imapd, address).1 == FULL;
    set(&it, "service.imap.maxsessionsperaddress", "2");
    let imapd = Imapd::start(&it);
    let mut first = greeted(&imapd, "192.0.2.1");
    assert_eq!(first.ask("login joe secret"), ["OK User logged in"]);
    let _second = greeted(&imapd, "192.0.2.1");
    assert!(full(&imapd, "192.0.2.1"));
    let _elsewhere = greeted(&imapd, "192.0.2.2");
    // One host has a whole /64 of IPv6.
    let _six = [greeted(&imapd, "2001:db8::1"), greeted(&imapd, "2001:db8::2:0:0:2")];
    assert!(full(&imapd, "2001:db8::3") && !full(&imapd, "2001:db8:0:1::1"));
    drop(first);
    wait_until("the place stays taken", || !full(&imapd, "192.0.2.1"));
    imapd.stop();
    // Only those count who have not logged in.
    set(&it, "service.imap.maxsessionsperaddress", "0");
    set(&it, "service.imap.maxunauthenticatedperaddress", "1");
    let imapd = Imapd::start(&it);
    for _ in 0..4 {
        let mut client = greeted(&imapd, "192.0.2.1");
        assert!(full(&imapd, "192.0.2.1"));
        assert_eq!(client.ask("login joe secret"), ["OK User logged in"]);
        std::mem::forget(client);
    }
    imapd.stop();
    assert!(log(&it).contains("too many sessions of this address: [192.0.2.1] sent away"));
}

#[test]
pub fn access_filters() {
    let it = behind_a_proxy(&[]);
    set(&it, "service.imap.domainnotallowed", "imap: 192.0.2.66 .evil.example $ pop: ALL");
    let imapd = Imapd::start(&it);
    assert_eq!(from(&imapd, "192.0.2.66").1, "* BYE Access denied");
    drop(greeted(&imapd, "192.0.2.1"));
    let log = log(&it);
    assert!(log.contains("the access filters: [192.0.2.66] sent away"), "{log}");
    assert!(log.contains(".evil.example: names are not looked up; this matches nobody"), "{log}");
    imapd.stop();
    // An Allow filter comes first.
    set(&it, "service.imap.domainallowed", "imap: 192.0.2.66");
    let imapd = Imapd::start(&it);
    drop([greeted(&imapd, "192.0.2.66"), greeted(&imapd, "192.0.2.1")]);
    set(&it, "service.imap.domainnotallowed", "ALL: ALL EXCEPT LOCAL");
    assert_eq!(it.run("refresh", &["imap"]).code, 0);
    wait_until("the old filters stay", || from(&imapd, "192.0.2.1").1 == "* BYE Access denied");
    drop([greeted(&imapd, "192.0.2.66"), greeted(&imapd, "127.0.0.1")]);
    imapd.stop();
}

#[test]
pub fn a_proxy_names_the_client() {
    let it = behind_a_proxy(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = greeted(&imapd, "192.0.2.7");
    assert!(client.ask("login joe wrong")[0].starts_with("NO "));
    assert!(log(&it).contains("badlogin: [192.0.2.7:7] plaintext joe"), "{}", log(&it));
    // It must say so.
    for text in ["a noop\r\na noop\r\na noop\r\n", "PROXY TCP4 192.0.2.1 192.0.2.1 7\r\n", "\r\n\r\n\0\r\nQUIT\n!!!!!!"]
    {
        let mut silent = imapd.dial();
        send_anyway(&silent.stream, text.as_bytes());
        let line = silent.line_in_time();
        assert!(!line.starts_with("* "), "{text:?}: {line}");
    }
    // It looks whether we live (LOCAL of version 2): it is greeted as itself.
    let mut alive = imapd.dial();
    send_anyway(&alive.stream, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    assert!(alive.line().starts_with("* OK "));
    imapd.stop();
    // From another address it is not listened to.
    set(&it, "service.proxyprotocol.networks", "192.0.2.99");
    let imapd = Imapd::start(&it);
    let mut client = imapd.connect();
    client.send("PROXY TCP4 192.0.2.7 127.0.0.1 7 143\r\n");
    assert!(client.line().starts_with("PROXY BAD "));
    imapd.stop();
}

#[test]
pub fn a_rate_of_commands() {
    let it = Instance::new();
    let mut noops = String::new();
    for number in 0..1000 {
        noops.push_str(&format!("n{number} noop\r\n"));
    }
    // At one a second these would not be over before the guard ends.
    let imapd = Imapd::start(&it);
    let mut client = imapd.connect();
    client.send(noops);
    assert_eq!(client.until("n999").len(), 1000);
    imapd.stop();
    set(&it, "service.imap.maxcommandrate", "1");
    let imapd = Imapd::start(&it);
    let mut client = imapd.connect();
    let begun = Instant::now();
    client.send("n noop\r\n".repeat(12));
    for _ in 0..12 {
        assert_eq!(client.line(), "n OK Completed");
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    imapd.stop();
}

#[test]
fn each_failed_login_makes_the_next_try_wait_longer() {
    let it = behind_a_proxy(&["joe"]);
    set(&it, "service.authfailpause", "1");
    let imapd = Imapd::start(&it);
    let mut client = greeted(&imapd, "192.0.2.1");
    let begun = Instant::now();
    // Answers wait a second each; the third try waits for two seconds after the second failure. PLAIN is counted as LOGIN is.
    for command in ["login joe wrong", "authenticate plain AGpvZQB3cm9uZw==", "login joe wrong"] {
        assert!(client.ask(command)[0].starts_with("NO "));
    }
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn an_attack_on_an_account_is_not_felt_where_its_owner_was_before() {
    let it = behind_a_proxy(&["joe", "ann"]);
    // So long that what waits is not answered before the guard ends.
    set(&it, "service.authfailpause", "600");
    let imapd = Imapd::start(&it);
    let ok = ["OK User logged in"];
    assert_eq!(greeted(&imapd, "192.0.2.1").ask("login joe secret"), ok);
    let mut attacker = greeted(&imapd, "192.0.2.66");
    attacker.send("a login joe guess\r\n");
    wait_until("no failure", || log(&it).contains("badlogin: [192.0.2.66:7]"));
    counted();
    assert_eq!(greeted(&imapd, "192.0.2.1").ask("login joe secret"), ok);
    assert_eq!(greeted(&imapd, "192.0.2.2").ask("login ann secret"), ok);
    // From elsewhere joe waits, and so does anybody at the attacker's address.
    for (address, user) in [("192.0.2.3", "joe"), ("192.0.2.66", "bob")] {
        let mut client = greeted(&imapd, address);
        client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        client.send(format!("a login {user} secret\r\n"));
        let line = client.line_in_time();
        assert!(line.starts_with("(nothing"), "{address} {user}: {line}");
    }
    imapd.stop();
}

#[test]
fn one_account_is_one_name_however_it_is_written() {
    let it = behind_a_proxy(&["joe"]);
    set(&it, "service.authfailpause", "600");
    let imapd = Imapd::start(&it);
    // The failure is answered when the service ends; the next try, from elsewhere and under another spelling, waits behind it.
    let mut guess = greeted(&imapd, "192.0.2.1");
    guess.send("a login joe wrong\r\n");
    wait_until("no failed login", || log(&it).contains("badlogin"));
    counted();
    for (number, name) in ["\"joe \"", "JOE@example.org", "\" joe\""].into_iter().enumerate() {
        let mut client = greeted(&imapd, &format!("192.0.2.{}", number + 10));
        client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        client.send(format!("a login {name} secret\r\n"));
        let line = client.line_in_time();
        assert!(line.starts_with("(nothing"), "{name}: {line}");
    }
    imapd.stop();
}

#[test]
fn a_bug_ends_one_session_and_has_a_number() {
    for (point, told) in [("imap.worker", true), ("imap.connection", false)] {
        let it = Instance::new();
        it.accounts(&["joe"]);
        set(&it, "service.imap.maxsessions", "2");
        // Two logins, then the command that has the bug.
        let imapd = Imapd::start_with(&it, &[("PANIC_POINT", &format!("{point}:3"))]);
        let (mut first, mut second) = (imapd.login("joe"), imapd.login("joe"));
        first.send("a status INBOX (messages)\r\n");
        let line = first.line();
        let number = format!("{}.1", imapd.pid());
        assert_eq!(line, if told { format!("* BYE Internal error, incident {number}") } else { String::new() });
        assert_eq!(second.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 0)");
        let wanted = format!("in a bug: the point {point}");
        wait_until("no incident in the log", || {
            log(&it).lines().any(|line| line.contains("incident 1: ") && line.ends_with(&wanted))
        });
        // Its place is free again.
        wait_until("the place stays taken", || imapd.dial().line().starts_with("* OK "));
        drop(second);
        wait_until("no second place", || imapd.dial().line().starts_with("* OK "));
        // The connections above may still take the places.
        wait_until("imapd does not go on", || {
            let mut client = imapd.dial();
            client.line().starts_with("* OK ") && client.ask("noop") == ["OK Completed"]
        });
    }
}
