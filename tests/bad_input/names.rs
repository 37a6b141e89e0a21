//! Names that are not: of parameters, users, mailboxes, folders.

use crate::instance::Instance;
use crate::instance::imapd::Imapd;

#[test]
fn a_refused_value_names_its_range_and_an_unknown_parameter_its_neighbours() {
    let it = Instance::stopped(&[]);
    let before = std::fs::read(it.base().join("config/msg.conf")).unwrap();
    let (_, err) = it.run("configutil", &["-o", "service.imap.port", "-v", "65536"]).ended(64);
    assert!(err.contains("service.imap.port: \"65536\" is refused, the range is a whole number, 0 to 65535"), "{err}");
    let (_, err) = it.run("configutil", &["-o", "service.imap.enable", "-v", "maybe"]).ended(64);
    assert!(err.contains("service.imap.enable") && err.contains("yes") && err.contains("no"), "{err}");
    let (_, err) = it.run("configutil", &["-o", "service.imap.prot", "-v", "1143"]).ended(64);
    assert!(err.contains("unknown parameter: service.imap.prot") && err.contains("service.imap.port"), "{err}");
    let (_, err) = it.run("configutil", &["-o", "service.imap.banner", "-v", "two\nlines"]).ended(64);
    assert!(err.contains("service.imap.banner"), "{err}");
    let long = "x".repeat(100_000);
    let (_, err) = it.run("configutil", &["-o", "service.imap.banner", "-v", &long]).ended(64);
    assert!(err.len() < 1000 && err.contains("service.imap.banner"), "{} bytes", err.len());
    assert_eq!(std::fs::read(it.base().join("config/msg.conf")).unwrap(), before);
}

/// Folder names that no store should take, and a word of why.
fn bad_folders() -> Vec<(String, &'static str)> {
    vec![
        ("../x".into(), "\"..\""),
        ("a/../../ann/x".into(), "\"..\""),
        ("a//b".into(), "empty"),
        ("a\u{1}b".into(), "not allowed"),
        ("a\u{7f}b".into(), "not allowed"),
        ("two\nlines".into(), "not allowed"),
        ("n".repeat(300), "255"),
        ("\u{20ac}".repeat(100), "255"),
        (vec!["deep"; 400].join("/"), "levels"),
    ]
}

#[test]
fn mboxutil_refuses_names_that_are_not() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    it.run("mboxutil", &["-c", "user/joe/Good"]).ended(0);
    for (name, why) in bad_folders() {
        let full = format!("user/joe/{name}");
        for words in [vec!["-c", &full], vec!["-r", "user/joe/Good", &full]] {
            let (_, err) = it.run("mboxutil", &words).ended(64);
            assert!(err.to_lowercase().contains(why), "{name:?}: wanted {why:?} in {err}");
            assert!(err.lines().all(|line| line.len() < 3000 && !line.contains(char::is_control)), "{err:?}");
        }
    }
    for words in [
        &["-d", "user/joe/Nowhere"][..],
        &["-r", "user/joe/Nowhere", "user/joe/There"],
        &["-R", "user/joe/Nowhere"],
        &["-l", "-p", "user/joe/Now*"],
    ] {
        let (_, err) = it.run("mboxutil", words).ended(66);
        assert!(err.contains("Now"), "{words:?}: {err}");
    }
    let (_, err) = it.run("mboxutil", &["-c", "user/nobody/INBOX"]).ended(67);
    assert!(err.contains("nobody"), "{err}");
    let list = it.run("mboxutil", &["-l", "-s"]).ok();
    assert_eq!(list, "user/ann/INBOX\nuser/joe/INBOX\nuser/joe/Good\n");
}

#[test]
fn imapd_refuses_names_that_are_not() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    let mut imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    assert!(client.ask("create Good")[0].starts_with("OK [MAILBOXID (F"));
    for (name, _) in bad_folders() {
        let name = msgstore::text::utf7::encode(&name);
        let literal = format!("{{{}+}}\r\n{name}", name.len());
        for command in [format!("create {literal}"), format!("rename Good {literal}")] {
            let answer = client.ask(&command).pop().unwrap();
            assert!(answer.starts_with("NO [CANNOT] ") || answer.starts_with("BAD "), "{name:?}: {answer}");
        }
        client.send(format!("p append {literal} {{4+}}\r\na:b\n\r\n"));
        let answer = client.until("p").pop().unwrap();
        assert!(answer.starts_with("NO ") || answer.starts_with("BAD "), "{name:?}: {answer}");
    }
    // Bytes that are no name at all: raw control characters, NUL, 8-bit, broken modified UTF-7.
    for name in [&b"\x01"[..], b"a\0b", b"\xff\xfe", b"&AGE", b"&AGEA-", b"a\r\nb", b""] {
        for verb in ["create", "delete", "select", "subscribe", "status"] {
            let items = if verb == "status" { " (messages)" } else { "" };
            client.send(format!("x {verb} {{{}+}}\r\n", name.len()));
            client.send([name, items.as_bytes(), b"\r\n"].concat());
            let answer = client.until("x").pop().unwrap();
            assert!(answer.starts_with("NO ") || answer.starts_with("BAD "), "{verb} {name:?}: {answer}");
        }
    }
    assert_eq!(client.ask("list \"\" *").len(), 3);
    imapd.still_runs();
}

#[test]
fn names_of_users_that_are_not() {
    let it = Instance::stopped(&[]);
    for name in ["a/b", "../x", "a\u{1b}[2Jb", "two\nlines", "", ".", "*", &"n".repeat(300)] {
        let (_, err) = it.run_with("user", &["add", "--", name], "secret\n").ended(64);
        assert!(err.contains("cannot be a userid: "), "{name:?}: {err}");
        assert!(err.lines().count() == 1 && !err.contains('\u{1b}'), "{err:?}");
    }
    assert_eq!(it.run("user", &["list"]).ok().lines().filter(|line| line.contains('@')).count(), 0);
}
