//! Bounds: lines, literals, sessions, time.

use msgstore::store::Limits;

use super::{Client, Daemon};

#[test]
fn a_refused_command_does_not_desynchronise() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.send(format!("a search subject {}\r\n", "x".repeat(70_000)));
    assert_eq!(client.until("a"), ["BAD Command line too long"]);
    client.send("b search subject {2000000}\r\n");
    assert_eq!(client.until("b"), ["BAD [TOOBIG] Literal too long"]);
    client.send(format!("c search subject {{2000000+}}\r\n{} {{3+}}\r\nabc\r\n", "y".repeat(2_000_000)));
    assert_eq!(client.until("c"), ["BAD [TOOBIG] Literal too long"]);
    client.send("d append inbox {9999999999}\r\n");
    assert_eq!(client.until("d"), ["NO [TOOBIG] Message too large"]);
    client.send("e append nowhere {10+}\r\n0123456789 {3+}\r\nabc\r\n");
    assert_eq!(client.until("e"), ["NO [TRYCREATE] Mailbox does not exist"]);
    client.send("f append inbox {4+}\r\na\0bc\r\n");
    assert_eq!(client.until("f"), ["NO [CANNOT] the message contains NUL bytes"]);
    client.send("g append inbox {0+}\r\n\r\n");
    assert_eq!(client.until("g"), ["NO Message is empty"]);
    assert_eq!(client.ask("noop"), ["OK Completed"]);
    client.send("h search subject {999999999999+}\r\n");
    assert_eq!(client.line(), "* BYE Too much input");
    assert_eq!(client.line(), "");
}

#[test]
fn too_many_sessions_are_told() {
    let daemon = Daemon::start(&[], &[("service.imap.maxsessions", "2")]);
    let first = daemon.connect();
    let _second = daemon.connect();
    let mut third = Client::new(daemon.port);
    assert_eq!(third.line(), "* BYE Too many connections, try again later");
    assert_eq!(third.line(), "");
    drop(first);
    // The place is free once the daemon has seen that.
    let begun = std::time::Instant::now();
    while !Client::new(daemon.port).line().starts_with("* OK") {
        assert!(begun.elapsed() < super::PATIENCE);
    }
}

#[test]
fn passwords_in_the_clear_can_be_switched_off() {
    let daemon =
        Daemon::start(&["joe"], &[("service.imap.plaintextmincipher", "-1"), ("service.imap.capability.move", "no")]);
    let mut client = daemon.connect();
    let capability = client.ask("capability").remove(0);
    assert!(capability.contains(" LOGINDISABLED "), "{capability}");
    for hidden in ["AUTH=PLAIN", "AUTH=LOGIN", " MOVE"] {
        assert!(!capability.contains(hidden), "{capability}");
    }
    let refused = ["NO [PRIVACYREQUIRED] Login in the clear is disabled"];
    assert_eq!(client.ask("login joe secret"), refused);
    assert_eq!(client.ask("authenticate plain"), refused);
}

#[test]
fn after_ten_failures_the_client_is_sent_away() {
    let daemon = Daemon::start(&["joe"], &[("service.authfailpause", "1")]);
    let mut client = daemon.connect();
    let begun = std::time::Instant::now();
    client.ask("login joe wrong");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    drop(client);
    let badlogin =
        regex::Regex::new(r"Account Notice: badlogin: \[127\.0\.0\.1:\d+\] plaintext joe authentication failure\n")
            .unwrap();
    assert!(badlogin.is_match(&daemon.log()), "{}", daemon.log());
}

#[test]
fn the_service_filter_and_the_status_of_an_account_count() {
    let daemon = Daemon::start(&["joe", "mary"], &[]);
    let path = daemon.dir.path().join("config/directory.ldif");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\nuid: joe\n") && text.contains("\nuid: mary\n"), "{text}");
    let text = text
        .replace("\nuid: joe\n", "\nuid: joe\nmailAllowedServiceAccess: -imap:127.0.0.1$+*:*\n")
        .replace("\nuid: mary\n", "\nuid: mary\nmailUserStatus: hold\n");
    msgstore::os::durable::replace(&path, text.as_bytes(), 0o600).unwrap();
    let mut client = daemon.connect();
    assert_eq!(client.ask("login joe secret"), ["NO [AUTHORIZATIONFAILED] Service not allowed"]);
    assert_eq!(client.ask("login mary secret"), ["NO [AUTHORIZATIONFAILED] Account disabled"]);
    assert_eq!(client.ask("login mary wrong"), ["NO [AUTHENTICATIONFAILED] Login failed: authentication failure"]);
    assert!(daemon.log().contains(" plaintext mary account disabled (hold)\n"), "{}", daemon.log());
}

#[test]
fn a_full_mailbox_is_told_before_the_bytes() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    let limits = Limits { bytes: Some(1000), messages: Some(2), ..Limits::default() };
    store.set_limits(account, &limits, 1).unwrap();
    let over = ["NO [OVERQUOTA] Over quota"];
    // The client waits for the continuation: the answer comes instead of it.
    assert_eq!(client.ask("append INBOX {1001}"), over);
    for _ in 0..2 {
        assert!(client.append("INBOX", "", "a: 1\r\n").starts_with("OK "));
    }
    assert_eq!(client.ask("append INBOX {6+}\r\na: 1\r\n"), over);
    client.ask("select INBOX");
    assert_eq!(client.ask("copy 1 INBOX"), over);
}

#[test]
fn another_protocol_is_sent_away() {
    let daemon = Daemon::start(&[], &[("service.imap.maxsessions", "100000")]);
    let mut client = daemon.connect();
    client.send("GET / HTTP/1.1\r\n".repeat(20));
    for _ in 0..20 {
        assert_eq!(client.line(), "GET BAD Unrecognized command");
    }
    assert_eq!(client.line(), "* BYE Too many invalid commands");
    // More descriptors than a process here may have.
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    let warned = daemon.log().contains("General Critical: Not enough file descriptors to support 100000 sessions per process; Recommend ulimit -n 300851 or ");
    assert_eq!(warned, limit < 300_851, "{}", daemon.log());
}

#[test]
fn a_search_as_deep_as_is_allowed_is_answered() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.append("INBOX", "", "Subject: deep\r\n\r\n");
    client.ask("select INBOX");
    for deep in [
        format!("search {}subject deep", "not ".repeat(198)),
        format!("search {}subject deep", "or subject x ".repeat(198)),
        format!("search {}subject deep{}", "(".repeat(198), ")".repeat(198)),
    ] {
        assert_eq!(client.ask(&deep), ["* SEARCH 1", "OK Completed"], "{deep}");
    }
    assert_eq!(client.ask(&format!("search {}all", "not ".repeat(300))), ["BAD Nesting too deep in Search"]);
}

#[test]
fn a_keyword_that_makes_flags_endless_is_refused() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    client.append("INBOX", "", "Subject: x\r\n\r\n");
    client.ask("select INBOX");
    assert_eq!(client.ask(&format!("store 1 +flags.silent ({})", "k".repeat(256))), ["BAD Invalid flag in Store"]);
    let done = client.ask(&format!("store 1 +flags.silent ({})", "k".repeat(255)));
    assert_eq!(done.last().map(String::as_str), Some("OK Completed"));
}

#[test]
fn a_pattern_longer_than_any_name_is_refused() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    for command in ["list", "lsub"] {
        let long = format!("{command} \"\" {}", "%*".repeat(10_000));
        assert_eq!(client.ask(&long), ["NO [LIMIT] Pattern too long"]);
    }
    assert_eq!(client.ask("list \"\" %*%*%*")[1], "OK Completed");
}

/// Memory of the daemon that is its own, in MiB.
fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn logins_leave_no_memory_behind() {
    let daemon = Daemon::start(&["joe"], &[]);
    for _ in 0..2 {
        std::thread::scope(|scope| {
            for _ in 0..25 {
                scope.spawn(|| daemon.login("joe"));
            }
        });
    }
    // Argon2 works in 19 MiB; a thread that kept them would show here many times over.
    let kept = memory(&daemon);
    assert!(kept < 100, "{kept} MiB");
}
