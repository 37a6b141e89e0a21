//! Files that an administrator broke.

// Files are written as an editor does it.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::imap::PATIENCE;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

#[test]
fn a_broken_entry_of_the_directory_is_named_and_the_others_work() {
    let it = Instance::new();
    it.user("joe");
    let path = it.base().join("config/directory.ldif");
    let mut text = fs::read_to_string(&path).unwrap();
    let line = text.lines().count() + 4;
    text.push_str(
        "\ndn: uid=bad,ou=People,dc=example,dc=org\nuid: bad\nthis is no attribute\nmail: bad@example.org\n\n",
    );
    text.push_str(&text.split("\n\n").next().unwrap().replace("joe", "ann"));
    text.push('\n');
    fs::write(&path, text).unwrap();
    let mut imapd = Imapd::start(&it);
    for user in ["joe", "ann"] {
        imapd.login(user);
    }
    assert!(imapd.connect().ask("login bad secret")[0].starts_with("NO "));
    let place = format!("directory.ldif:{line}: ");
    let log = fs::read_to_string(it.base().join("data/log/imap")).unwrap();
    assert!(log.contains(&place), "wanted {place} in {log}");
    let ran = it.run("user", &["list"]);
    assert!(ran.err.contains(&place), "{}", ran.err);
    assert!(ran.out.contains("joe") && ran.out.contains("ann"), "{}", ran.out);
    it.run_with("deliver", &["ann"], "Subject: x\n\ny\n").ok();
    let (_, err) = it.run_with("deliver", &["bad"], "Subject: x\n\ny\n").ended(67);
    assert!(err.contains("no such user: bad"), "{err}");
    // A tool that would write it says where the fault is, and leaves the file alone.
    let before = fs::read(&path).unwrap();
    let (_, err) = it.run_with("user", &["add", "bob"], "secret\n").ended(65);
    assert!(err.contains(&place), "{err}");
    assert_eq!(fs::read(&path).unwrap(), before);
    imapd.still_runs();
}

#[test]
fn a_broken_line_of_the_configuration_is_named() {
    let mut it = Instance::new();
    it.user("joe");
    let imapd = Imapd::start(&it);
    let path = it.base().join("config/msg.conf");
    let good = fs::read(&path).unwrap();
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    let kept = || {
        let log = fs::read_to_string(it.base().join("data/log/imap")).unwrap_or_default();
        log.matches("the configuration is wrong, the old one stays in use").count()
    };
    for broken in [
        "no quotes at all\n",
        "\"service.imap.port\" = \"70000\"\n",
        "\"service.imap.banner\" = \"unended\n",
        "\u{0}\u{1}\n",
    ] {
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(broken.as_bytes()).unwrap();
        // The setting may stand above already.
        let place = format!("{}:{line}: ", path.display());
        for words in [&["mboxutil", "-l"][..], &["user", "list"], &["imapd"], &["start-msg"], &["refresh"]] {
            let ran = it.run(words[0], &words[1..]);
            assert_eq!(ran.code, 78, "{words:?} with {broken:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains(&place), "{words:?}: wanted {place} in {}", ran.err);
        }
        // The mail system is to keep the message.
        let (_, err) = it.run_with("deliver", &["joe"], "Subject: x\n\ny\n").ended(75);
        assert!(err.contains(&place), "{err}");
        let (out, _) = it.run("configutil", &["-V"]).ended(78);
        assert!(out.contains(&place), "{out}");
        // What runs goes on with what it knows.
        let before = kept();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(imapd.pid()), nix::sys::signal::Signal::SIGHUP).unwrap();
        let begun = Instant::now();
        while kept() == before {
            assert!(begun.elapsed() < PATIENCE, "imapd does not read {broken:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        imapd.login("joe");
        fs::write(&path, &good).unwrap();
    }
    imapd.stop();
    it.stop();
    it.start();
}

#[test]
fn what_is_no_mbox_file_is_not_imported() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let path = it.base().join("junk");
    for (bytes, code) in [
        (super::Noise::new(5).bytes(300_000), 65),
        (b"From x Mon\n\nno date\n".to_vec(), 65),
        (vec![0; 100_000], 65),
        (Vec::new(), 0),
    ] {
        fs::write(&path, &bytes).unwrap();
        let (_, err) = it.run("imsimport", &["-u", "joe", "-s", path.to_str().unwrap()]).ended(code);
        assert!(code == 0 || err.contains("not an mbox file"), "{err}");
    }
    it.run("imsimport", &["-u", "joe", "-s", it.base().join("none").to_str().unwrap()]).ended(66);
    assert!(it.uids("user/joe/INBOX").is_empty());
}
