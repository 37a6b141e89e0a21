//! What a mail system may hand to deliver.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::Noise;
use super::messages::{BODY_AT, Large, compare, large_bytes};
use crate::instance::imapd::Imapd;
use crate::instance::{Instance, processor_time};

/// Delivers bytes to joe; the exit code, what was said, and the most memory that it had, in MiB.
fn deliver(it: &Instance, words: &[&str], message: impl Read) -> (i32, String, u64) {
    let (code, said, peak, _) = deliver_timed(it, words, message);
    (code, said, peak)
}

/// The same with the processor time that it took.
fn deliver_timed(it: &Instance, words: &[&str], mut message: impl Read) -> (i32, String, u64, Duration) {
    let mut child = it
        .command("deliver", words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut block = vec![0; 1 << 20];
    loop {
        let count = message.read(&mut block).unwrap();
        if count == 0 || stdin.write_all(&block[..count]).is_err() {
            break;
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .map_or(0, |line| line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024);
    drop(stdin);
    // It has little to say: it ends before anybody reads that.
    let ended = Id::Pid(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()));
    waitid(ended, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    let took = processor_time(child.id());
    let out = child.wait_with_output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap_or(-1), String::from_utf8(said).unwrap(), peak, took)
}

#[test]
fn a_large_message_streams() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let size = large_bytes();
    let begun = Instant::now();
    let (code, said, peak) = deliver(&it, &["joe"], std::io::BufReader::with_capacity(1 << 20, Large::new(size)));
    assert_eq!((code, said.as_str()), (0, ""));
    eprintln!("{size} bytes: {:?}, {peak} MiB", begun.elapsed());
    assert!(peak < 64, "{peak} MiB");
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    client.ask("select INBOX");
    client.send("f fetch 1 body.peek[text]\r\n");
    let body = size - BODY_AT;
    let head = client.line();
    assert!(
        head == format!("* 1 FETCH (BODY[TEXT] {{{body}}}") || head.ends_with(&format!("{{{}}}", body + 2)),
        "{head}"
    );
    let mut source = std::io::BufReader::with_capacity(1 << 20, Large::new(size));
    source.read_exact(&mut [0; BODY_AT as usize]).unwrap();
    compare(&mut client, source, body);
    client.until("f");
    assert!(imapd.peak_mb() < 64, "{} MiB", imapd.peak_mb());
}

#[test]
fn what_is_no_message_is_malformed() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for bytes in [&b""[..], b"a:b\n\nx\0y\n", b"\0"] {
        let (code, said, _) = deliver(&it, &["joe"], bytes);
        assert_eq!(code, 65, "{bytes:?}: {said}");
        assert!(said.starts_with("deliver: ") && said.len() > 20, "{said}");
    }
    let mut late = vec![b'x'; 3_000_000];
    late.push(0);
    assert_eq!(deliver(&it, &["joe"], &late[..]).0, 65);
    for (words, code) in [
        (&["nobody"][..], 67),
        (&["-m", "user/joe/Nowhere"], 66),
        (&["-F", "-c", "-m", "../x", "joe"], 64),
        (&["-g", "a b", "joe"], 64),
    ] {
        let (found, said, _) = deliver(&it, words, &b"a:b\n\nc\n"[..]);
        assert_eq!(found, code, "{words:?}: {said}");
    }
    assert!(it.uids("user/joe/INBOX").is_empty());
}

#[test]
fn odd_messages_are_taken() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let part = "--b\n\nx\n".repeat(20_000);
    let messages: Vec<(&str, Vec<u8>)> = vec![
        ("bare LF", b"Subject: a\n\none\ntwo\r\nthree".to_vec()),
        ("bare CR", b"Subject: a\rb\n\none\rtwo\n".to_vec()),
        ("no header", b"only words\n".to_vec()),
        ("8-bit", (128..=255).chain(1..=127).collect()),
        ("header of 1 MB", format!("{}\nbody\n", "X-Long: 0123456789\n".repeat(50_000)).into_bytes()),
        ("20,000 parts", format!("Content-Type: multipart/mixed; boundary=b\n\n{part}--b--\n").into_bytes()),
        ("line of 10 MB", format!("a:b\n\n{}", "l".repeat(10_000_000)).into_bytes()),
        ("noise", Noise::new(3).bytes(200_000).into_iter().filter(|byte| *byte != 0).collect()),
    ];
    let count = messages.len();
    for (name, bytes) in &messages {
        let (code, said, _, took) = deliver_timed(&it, &["joe"], &bytes[..]);
        assert_eq!((code, said.as_str()), (0, ""), "{name}");
        assert!(took < Duration::from_secs(15), "{name}: {took:?}");
    }
    assert_eq!(it.uids("user/joe/INBOX").len(), count);
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    client.ask("select INBOX");
    let text = client.ask("fetch 1 body.peek[text]");
    assert_eq!(text[0], "* 1 FETCH (BODY[TEXT] {15}");
    assert_eq!(text[1..4], ["one", "two", "three)"]);
    for number in 1..=count {
        let said = client.ask(&format!("search {number} text nowhere")).pop().unwrap();
        assert!(said.starts_with("OK "), "{number}: {said}");
    }
}

#[test]
fn lmtp_survives_what_is_no_lmtp() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let session = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n";
    for (name, bytes) in [
        ("noise", Noise::new(11).bytes(100_000)),
        ("a line of 1 MB", [vec![b'x'; 1_000_000], b"\r\nQUIT\r\n".to_vec()].concat()),
        ("cut off in the message", format!("{session}Subject: x\r\n\r\nhalf").into_bytes()),
        ("a bare LF ends nothing", format!("{session}Subject: x\r\n\r\nhalf\n.\nQUIT\n").into_bytes()),
        ("NUL", format!("{session}Subject: \0\r\n\r\nx\r\n.\r\nQUIT\r\n").into_bytes()),
        ("empty", format!("{session}.\r\nQUIT\r\n").into_bytes()),
    ] {
        let (code, said, peak) = deliver(&it, &["-l"], &bytes[..]);
        assert!([0, 75].contains(&code), "{name}: {code} {said}");
        assert!(!said.contains("panicked") && peak < 64, "{name}: {said}");
        assert!(it.uids("user/joe/INBOX").is_empty(), "{name}");
    }
    let whole = format!("{session}Subject: x\r\n\r\ny\r\n.\r\nQUIT\r\n");
    let (code, said, _) = deliver(&it, &["-l"], whole.as_bytes());
    assert_eq!(code, 0, "{said}");
    assert_eq!(it.uids("user/joe/INBOX"), [1]);
}
