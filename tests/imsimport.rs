//! imsimport: as a process.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fmt::Write as _;

use msgstore::store::{Flags, FolderPath, Limits};

use crate::instance::Instance;

fn file(it: &Instance, name: &str, text: &[u8]) -> String {
    let path = it.base().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn stored(it: &Instance, mailbox: &str) -> Vec<Vec<u8>> {
    let dir = it.directory_of(mailbox);
    let text = |uid: &u32| std::fs::read(dir.join(msgstore::store::layout::message_file(*uid))).unwrap();
    it.uids(mailbox).iter().map(text).collect()
}

/// The messages of the sample by other means than the reader: its separators are lines `From ... YYYY` behind a blank line, and
/// no message has a line `>From `.
fn expected(sample: &[u8]) -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    let mut blank = true;
    for line in sample.split_inclusive(|b| *b == b'\n') {
        let year = line.trim_ascii_end();
        let separator = blank && line.starts_with(b"From ") && year[year.len() - 4..].iter().all(u8::is_ascii_digit);
        blank = line == b"\n";
        if separator {
            out.push(Vec::new());
            continue;
        }
        let text = out.last_mut().unwrap();
        let quoted =
            line.starts_with(b">") && line[line.iter().take_while(|b| **b == b'>').count()..].starts_with(b"From ");
        let line = if quoted { &line[1..] } else { line };
        match line.strip_suffix(b"\n") {
            Some(bare) if !bare.ends_with(b"\r") => text.extend_from_slice(&[bare, b"\r\n"].concat()),
            _ => text.extend_from_slice(line),
        }
    }
    for text in &mut out {
        assert!(text.ends_with(b"\r\n\r\n"));
        text.truncate(text.len() - 2);
    }
    out
}

#[test]
fn real_messages_arrive_byte_for_byte() {
    let it = Instance::new();
    it.user("joe");
    let sample = std::fs::read("testdata/sample.mbox").unwrap();
    let path = file(&it, "sample", &sample);
    let out = it.run("imsimport", &["-u", "joe", "-s", &path, "-d", "Lists/Sample", "-v", "1", "-b"]).ok();
    let wanted = expected(&sample);
    assert!(wanted.len() >= 30);
    let bytes: usize = wanted.iter().map(Vec::len).sum();
    assert_eq!(out, format!("{path} -> user/joe/Lists/Sample: {} messages, {bytes} bytes\n", wanted.len()));
    assert!(stored(&it, "user/joe/Lists/Sample") == wanted);
    let store = it.store();
    let account = store.account_id("joe").unwrap().unwrap();
    assert_eq!(store.view(account).unwrap().subscriptions().unwrap(), ["Lists/Sample"]);
}

#[test]
fn dates_flags_and_keywords_are_kept_and_the_quota_is_not_looked_at() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let (account, inbox) = it.mailbox("user/joe/INBOX");
    let limits = Limits { bytes: Some(1), messages: Some(1), ..Limits::default() };
    it.store().set_limits(account, &limits, 1).unwrap();
    let text = b"From a@b Wed Nov 18 09:46:40 2026\nStatus: RO\nX-Status: FD\nX-Keywords: $Work\n\none\n\n\
        From a@b Wed Nov 18 09:46:41 2026\n\n\0\n\nFrom a@b Wed Nov 18 09:46:42 2026\nSubject: 3\n\nthree\n>From here\n";
    let path = file(&it, "m", text);
    let (out, err) = it.run("imsimport", &["-u", "joe", "-s", &path]).ended(1);
    let last = format!("{path} -> user/joe/INBOX: 2 messages, 84 bytes, 1 left out");
    assert_eq!(out.lines().collect::<Vec<_>>(), ["message 1: uid 1, 52 bytes", "message 3: uid 2, 32 bytes", &last]);
    assert!(err.contains("message 2") && err.contains("NUL"), "{err}");
    let store = it.store();
    let view = store.view(account).unwrap();
    let message = view.message(inbox, 1).unwrap().unwrap();
    assert_eq!((message.internal_date_s, message.internal_zone_min), (1_794_995_200, 0));
    let mut flags = Vec::new();
    view.states(inbox, 1..=2, &mut |run| flags.extend((0..run.count).map(|_| run.flags))).unwrap();
    assert_eq!(flags, [Flags::SEEN | Flags::FLAGGED | Flags::DELETED, Flags::NONE]);
    assert_eq!(view.keywords().unwrap(), ["$Work"]);
}

#[test]
fn content_lengths_questions_and_new_names() {
    let it = Instance::new();
    it.user("joe");
    let body = "one\nFrom a@b Wed Nov 18 09:46:41 2026\ntwo\n";
    let text = format!("From a@b Wed Nov 18 09:46:40 2026\nContent-Length: {}\n\n{body}", body.len());
    let path = file(&it, "m", text.as_bytes());
    let import = |words: &[&str]| it.run("imsimport", &[&["-u", "joe", "-s", &path, "-v", "0"], words].concat());
    assert_eq!(import(&["-d", "A"]).ok(), "");
    assert_eq!(it.uids("user/joe/A").len(), 1);
    import(&["-d", "A", "-i", "-c", "y"]).ok();
    assert_eq!(it.uids("user/joe/A").len(), 3);
    import(&["-d", "A", "-c", "n"]).ended(2);
    assert_eq!(it.uids("user/joe/A").len(), 3);
    import(&["-d", "A", "-n"]).ok();
    import(&["-d", "Caf\u{e9}", "-n"]).ok();
    let store = it.store();
    let account = store.account_id("joe").unwrap().unwrap();
    let names: Vec<String> =
        store.view(account).unwrap().folders().unwrap().iter().map(|(path, _)| path.to_string()).collect();
    let dated = |name: &&String| {
        let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        shape == "A.999999.999999"
    };
    assert_eq!(names.iter().filter(dated).count(), 1, "{names:?}");
    assert!(names.contains(&"Caf&AOk-".to_owned()), "{names:?}");
    assert!(it.mailbox("user/joe/A").1.0 > 0 && FolderPath::parse("Caf&AOk-").is_ok());
}

#[test]
fn failures_have_their_codes() {
    let mut it = Instance::new();
    it.user("joe");
    let path = file(&it, "m", b"From a@b Wed Nov 18 09:46:40 2026\n\none\n");
    let other = file(&it, "other", b"Subject: not an mbox\n\nx\n");
    let empty = file(&it, "empty", b"");
    let code = |words: &[&str]| it.run("imsimport", words).code;
    assert_eq!(code(&["-u", "joe", "-s", &other]), 65);
    assert_eq!(code(&["-u", "joe", "-s", "/no/such/file"]), 66);
    assert_eq!(code(&["-u", "nobody", "-s", &path]), 67);
    assert_eq!(code(&["-u", "JOE", "-s", &path]), 67);
    assert_eq!(code(&["-u", "joe", "-s", &path, "-e", "klingon"]), 64);
    assert_eq!(code(&["-u", "joe"]), 64);
    assert_eq!(code(&["-u", "joe", "-s", &empty, "-v", "0"]), 0);
    it.stop();
    assert_eq!(it.run("imsimport", &["-u", "joe", "-s", &path]).code, 69);
    it.start();
}

#[cfg(feature = "failpoints")]
#[test]
fn what_was_told_survives_a_kill() {
    let mut it = Instance::new();
    it.user("joe");
    let mut text = String::new();
    for number in 0..350 {
        write!(text, "From a@b Wed Nov 18 09:46:40 2026\nSubject: {number}\n\nbody\n\n").unwrap();
    }
    let path = file(&it, "m", text.as_bytes());
    let out = it
        .command("imsimport", &["-u", "joe", "-s", &path])
        .env("CRASH_POINT", "import.after-batch:3")
        .output()
        .unwrap();
    assert_eq!(out.status.code(), None);
    let told = String::from_utf8(out.stdout).unwrap().lines().count();
    assert!(told <= 300 && it.uids("user/joe/INBOX").len() == 300, "{told}");
    it.stop();
    it.start();
    assert_eq!(stored(&it, "user/joe/INBOX")[299], b"Subject: 299\r\n\r\nbody\r\n");
}
