//! Every parameter of the service does what it says; `tests/parameters.rs` has the table. What is the same for every service (throttling, proxies,
//! certificates) is tested with imapd.

use std::time::{Duration, Instant};

use msgstore::os::process::{Order, tell};

use crate::bad_input::send_anyway;
use crate::imap::{Client, PATIENCE};
use crate::instance::popd::{Popd, list, say};
use crate::instance::{Instance, wait_until};
use crate::parameters::{other_network, own_places};
use crate::tls::{Offer, certificate};

#[track_caller]
fn set(it: &Instance, name: &str, value: &str) {
    assert_eq!(it.run("configutil", &["-o", name, "-v", value]).ok(), "", "{name}");
}

fn with_joe() -> Instance {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it
}

/// Makes the service read its settings again; the greeting, which is changed as well, tells when it has.
fn refresh(it: &Instance, popd: &Popd, banner: &str) {
    set(it, "service.pop.banner", banner);
    tell(popd.pid(), Order::Refresh).unwrap();
    wait_until(banner, || popd.dial().line() == format!("+OK {banner}"));
}

#[test]
pub fn where_pop_listens() {
    let it = Instance::new();
    let reached = |address: (&str, u16)| std::net::TcpStream::connect(address).is_ok();
    let ([here, _], [one, two]) = own_places();
    set(&it, "service.listenaddr", &here);
    set(&it, "service.imap.enable", "no");
    for (port, other) in [(one, two), (two, one)] {
        set(&it, "service.pop.port", &port.to_string());
        let popd = Popd::start(&it);
        assert_eq!(popd.port, port);
        assert!(reached((&here, port)) && !reached((&here, other)));
        popd.stop();
    }
    set(&it, "service.pop.port", "0");
    set(&it, "service.pop.enable", "no");
    let (_, err) = it.run("start-msg", &["pop"]).ended(78);
    assert!(err.contains("pop is not enabled") && err.contains("service.pop.enable"), "{err}");
    let (out, _) = it.run("start-msg", &[]).ended(0);
    assert!(!out.contains("pop"), "{out}");
    set(&it, "service.pop.enable", "yes");
    let (out, _) = it.run("start-msg", &["pop"]).ended(0);
    assert!(out.contains("Starting pop server"), "{out}");
    let (out, _) = it.run("refresh", &["pop"]).ended(0);
    assert!(out.contains("Refreshing pop server"), "{out}");
    let (out, _) = it.run("stop-msg", &["pop"]).ended(0);
    assert!(out.contains("Stopping pop server"), "{out}");
}

#[test]
pub fn the_port_with_tls() {
    let it = with_joe();
    let popd = Popd::start(&it);
    assert_eq!(popd.tls_port, None);
    popd.stop();
    set(&it, "service.pop.enablesslport", "yes");
    let (_, [one, two]) = own_places();
    for port in [one, two] {
        set(&it, "service.pop.sslport", &port.to_string());
        let popd = Popd::start(&it);
        assert_eq!(popd.tls_port, Some(port));
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let trust = certificate(&it);
        let mut client = Offer { alpn: &["pop3"], ..Offer::of(&trust) }.secure(stream).unwrap();
        assert!(client.line().starts_with("+OK "));
        popd.stop();
    }
}

#[test]
pub fn the_greeting_and_what_may_be_said() {
    let it = with_joe();
    let popd = Popd::start(&it);
    let capable = |words: [&str; 3]| {
        let lines = list(&mut popd.connect(), "CAPA");
        words.map(|word| lines.iter().any(|line| line == word))
    };
    let words = ["STLS", "USER", "EXPIRE NEVER"];
    assert_eq!(capable(words), [true; 3]);
    set(&it, "local.hostname", "mail7.example.org");
    set(&it, "service.pop.banner", "%h speaks %p");
    tell(popd.pid(), Order::Refresh).unwrap();
    wait_until("the greeting", || popd.dial().line() == "+OK mail7.example.org speaks POP3");
    set(&it, "service.pop.sslusessl", "no");
    refresh(&it, &popd, "one");
    assert_eq!(capable(words), [false, true, true]);
    assert_eq!(say(&mut popd.connect(), "STLS"), "-ERR STLS is not available");
    set(&it, "service.pop.plaintextmincipher", "-1");
    set(&it, "service.pop.expiretime", "0");
    refresh(&it, &popd, "two");
    assert_eq!(capable(["SASL SCRAM-SHA-256 SCRAM-SHA-1", "USER", "EXPIRE 0"]), [true, false, true]);
    set(&it, "service.pop.plaintextmincipher", "0");
    refresh(&it, &popd, "three");
    drop(popd.login("joe"));
}

#[test]
pub fn how_often_a_user_may_come() {
    let it = with_joe();
    it.user("ann");
    let popd = Popd::start(&it);
    drop([popd.login("joe"), popd.login("joe")]);
    set(&it, "service.pop.popminpoll", "10");
    refresh(&it, &popd, "ten minutes");
    // The last login is known to the hour without this setting: here it was a moment ago.
    let refused = |user: &str| {
        let mut client = popd.connect();
        assert_eq!(say(&mut client, &format!("USER {user}")), "+OK Send PASS");
        say(&mut client, "PASS secret").starts_with("-ERR [LOGIN-DELAY]")
    };
    assert!(refused("joe") && !refused("ann") && refused("ann"));
    // It holds over a restart, and ends.
    popd.stop();
    let popd = Popd::start(&it);
    let mut client = popd.connect();
    client.send("USER ann\r\nPASS secret\r\n");
    assert_eq!(client.line(), "+OK Send PASS");
    assert!(client.line().starts_with("-ERR [LOGIN-DELAY]"));
    let store = it.store();
    let account = store.account_id("ann").unwrap().unwrap();
    let last = store.view(account).unwrap().account().unwrap().last_access_s[2];
    assert!(last > crate::instance::ARRIVED_S, "{last}");
    assert_eq!(store.note_poll(account, msgstore::store::Access::Pop, last + 599, 600).unwrap(), Some(1));
    assert_eq!(store.note_poll(account, msgstore::store::Access::Pop, last + 600, 600).unwrap(), None);
    // A clock that was put back.
    assert_eq!(store.note_poll(account, msgstore::store::Access::Pop, last, 600).unwrap(), None);
}

#[test]
pub fn how_many_at_once() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    let text = "Subject: x\r\n\r\nbody\r\n";
    assert_eq!(it.append("user/joe/INBOX", text, msgstore::store::Flags::SEEN), 1);
    it.settle();
    let file = it.directory_of("user/joe/INBOX").join("00/1.msg");
    let kept = it.base().join("kept");
    for (threads, answered) in [("1", false), ("2", true)] {
        set(&it, "service.pop.maxsessions", if answered { "3" } else { "2" });
        set(&it, "service.pop.maxthreads", threads);
        let popd = Popd::start(&it);
        let (mut joe, mut ann) = (popd.login("joe"), popd.login("ann"));
        let third = popd.dial().line();
        assert_eq!(third.starts_with("+OK"), answered, "{third}");
        // A message that is a pipe keeps a thread busy until somebody opens the other end; is there another thread?
        std::fs::rename(&file, &kept).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        joe.send("RETR 1\r\n");
        std::thread::sleep(Duration::from_millis(200));
        // The one thread may not have come to the pipe yet: then it is asked again.
        let patience = if answered { PATIENCE } else { Duration::from_millis(700) };
        ann.stream.set_read_timeout(Some(patience)).unwrap();
        wait_until(&format!("{threads} threads"), || {
            ann.send("LIST\r\n");
            let status = ann.line_in_time();
            let unanswered = status.starts_with("(nothing");
            assert!(unanswered || status == "+OK 0 messages, 0 octets", "{status}");
            if !unanswered {
                assert_eq!(ann.line(), ".");
            }
            unanswered != answered
        });
        wait_until("nobody reads the pipe", || {
            use std::os::unix::fs::OpenOptionsExt;
            std::fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&file).is_ok()
        });
        assert!(joe.line().starts_with("-ERR "));
        std::fs::rename(&kept, &file).unwrap();
        assert_eq!(list(&mut joe, "RETR 1"), ["Subject: x", "", "body"]);
        popd.stop();
    }
}

/// Logs in where a login is due within a few milliseconds: not every one is as fast. The moment is one before the idle time began.
fn quick_login(popd: &Popd) -> (Client, Instant) {
    let first = Instant::now();
    loop {
        assert!(first.elapsed() < PATIENCE, "no login is fast enough");
        let mut client = popd.dial();
        let begun = Instant::now();
        send_anyway(&client.stream, b"USER joe\r\nPASS secret\r\n");
        let lines = [client.line_in_time(), client.line_in_time(), client.line_in_time()];
        if lines[2].starts_with("+OK User logged in") {
            return (client, begun);
        }
    }
}

#[test]
pub fn how_long_a_client_may_be_silent() {
    let it = with_joe();
    // Minutes of a hundredth of a second each. The client is told nothing (RFC 1939 section 3).
    set(&it, "service.pop.idletimeout", "30");
    let short = Popd::start_with(&it, &[("MINUTE_MS", "10")]);
    let (mut client, begun) = quick_login(&short);
    assert_eq!(client.line(), "");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    short.stop();
    set(&it, "service.pop.idletimeout", "30000");
    let long = Popd::start_with(&it, &[("MINUTE_MS", "10")]);
    let (mut client, _) = quick_login(&long);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(say(&mut client, "NOOP"), "+OK Completed");
    long.stop();
}

#[test]
pub fn passwords_from_other_hosts() {
    let it = with_joe();
    set(&it, "service.pop.port", "0");
    let script = r#"
        file="$CONFIGROOT/../data/proc/pop.port"
        rm -f "$file"
        "$MSGSTORE" popd & pid=$!
        trap 'kill $pid 2>/dev/null || true' EXIT
        until [ -s "$file" ]; do kill -0 $pid; sleep 0.01; done
        for host in 127.0.0.1 192.0.2.1; do
            exec 3<>/dev/tcp/$host/$(cat "$file")
            # By SCRAM, which does not send a password, with a first message that is none; then by one.
            printf 'AUTH SCRAM-SHA-256 eA==\r\nUSER joe\r\nQUIT\r\n' >&3
            grep -a -v 'POP3 service' <&3
            exec 3>&-
        done
        kill $pid; wait $pid; trap - EXIT"#;
    let ok = "-ERR Invalid response\r\n+OK Send PASS\r\n+OK Bye\r\n";
    let no = "-ERR Login in the clear is disabled\r\n";
    let refused = format!("{no}{no}+OK Bye\r\n");
    for (value, other) in [("yes", refused.as_str()), ("no", ok)] {
        set(&it, "service.pop.requiretls", value);
        let Some(out) = other_network(&it, script) else { return };
        assert_eq!(out, format!("{ok}{other}"), "service.pop.requiretls {value}");
    }
}

/// The first line for a client at an address, as a proxy names it, and the client.
fn from(popd: &Popd, address: &str) -> (String, Client) {
    let mut client = popd.dial();
    client.send(format!("PROXY TCP4 {address} 127.0.0.1 7 110\r\n"));
    (client.line(), client)
}

#[test]
pub fn who_may_connect() {
    let it = with_joe();
    set(&it, "service.proxyprotocol.networks", "127.0.0.0/8");
    set(&it, "service.pop.requiretls", "no");
    set(&it, "service.pop.domainnotallowed", "pop: 192.0.2.66 $ imap: ALL");
    set(&it, "service.pop.maxsessionsperaddress", "2");
    let full = "-ERR [SYS/TEMP] Too many connections, try again later";
    let denied = "-ERR [SYS/PERM] Access denied";
    let popd = Popd::start(&it);
    let greeted = |popd: &Popd, address: &str| {
        let (line, client) = from(popd, address);
        assert!(line.starts_with("+OK "), "{address}: {line}");
        client
    };
    assert_eq!(from(&popd, "192.0.2.66").0, denied);
    let _two = [greeted(&popd, "192.0.2.1"), greeted(&popd, "192.0.2.1")];
    assert_eq!(from(&popd, "192.0.2.1").0, full);
    drop(greeted(&popd, "192.0.2.2"));
    popd.stop();
    // An Allow filter comes first; only those count who have not logged in.
    set(&it, "service.pop.domainallowed", "pop: 192.0.2.66");
    set(&it, "service.pop.maxsessionsperaddress", "0");
    set(&it, "service.pop.maxunauthenticatedperaddress", "1");
    let popd = Popd::start(&it);
    for _ in 0..3 {
        let mut client = greeted(&popd, "192.0.2.66");
        assert_eq!(from(&popd, "192.0.2.66").0, full);
        client.send("USER joe\r\nPASS secret\r\n");
        assert_eq!(client.line(), "+OK Send PASS");
        assert!(client.line().starts_with("+OK User logged in"));
        std::mem::forget(client);
    }
}

#[test]
pub fn a_rate_of_commands() {
    let it = Instance::new();
    // At one a second these would not be over before the guard ends.
    let popd = Popd::start(&it);
    let mut client = popd.connect();
    client.send("STAT\r\n".repeat(1000));
    (0..1000).for_each(|_| assert_eq!(client.line(), "-ERR Please login first"));
    popd.stop();
    set(&it, "service.pop.maxcommandrate", "1");
    let popd = Popd::start(&it);
    let mut client = popd.connect();
    let begun = Instant::now();
    client.send("STAT\r\n".repeat(12));
    for _ in 0..12 {
        assert_eq!(client.line(), "-ERR Please login first");
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}
