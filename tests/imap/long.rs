//! Commands that last: the work of a client that goes away ends, one that only stops sending gets its answer, and several threads tell what one would.

#![allow(clippy::unwrap_used)]

use std::net::Shutdown;
use std::time::{Duration, Instant};

use msgstore::store::Flags;

use super::PATIENCE;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// Fills the mailbox of joe: 64 messages, doubled so often, because copying costs less than appending. Number n holds "hello" and the rest of
/// (n - 1) % 64 by 3.
fn fill(it: &Instance, imapd: &Imapd, doublings: u32) {
    for number in 0..64 {
        let text = format!("Subject: n{number}\r\nMessage-ID: <{number}@x>\r\n\r\nhello {}\r\n", number % 3);
        it.append("user/joe/INBOX", &text, Flags::NONE);
    }
    let mut client = imapd.login("joe");
    client.ask("select inbox");
    for _ in 0..doublings {
        let answer = client.ask("copy 1:* inbox");
        assert!(answer.last().unwrap().starts_with("OK [COPYUID"), "{answer:?}");
    }
}

/// Waits until the log tells of so many ends of sessions.
fn wait_for_ends(it: &Instance, count: usize) {
    let begun = Instant::now();
    loop {
        let log = std::fs::read_to_string(it.base().join("data/log/imap")).unwrap_or_default();
        if log.lines().filter(|line| line.contains("close [")).count() >= count {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "a session without a client goes on: {log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_work_ends_when_the_client_is_gone() {
    let it = Instance::with(&[("service.imap.maxthreads", "1")]);
    it.accounts(&["joe"]);
    // No sign of life is due while this test waits.
    let imapd = Imapd::start_with(&it, &[("SILENCE_MS", "3600000")]);
    fill(&it, &imapd, 10);
    wait_for_ends(&it, 1);
    // 1,000 texts in each of 65,536 messages: one thread is not done with that within the patience of this test.
    let texts: String = (0..1000).map(|number| format!(" not body x{number}")).collect();
    let commands = ["search", "uid search return (count)", "sort (subject) utf-8", "thread references utf-8"];
    for (number, command) in commands.into_iter().enumerate() {
        let mut client = imapd.login("joe");
        client.ask("examine inbox");
        let begun = imapd.worked();
        client.send(format!("a {command}{texts}\r\n"));
        while imapd.worked() < begun + Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(client);
        wait_for_ends(&it, number + 2);
    }
    let mut client = imapd.login("joe");
    assert_eq!(client.ask("noop"), ["OK Completed"], "the only worker is free");
    client.ask("examine inbox");
    let answer = client.ask(&format!("search{texts} not text more"));
    assert_eq!(answer, ["NO [LIMIT] Too many texts to look for"]);
}

#[test]
fn a_client_that_sends_nothing_more_gets_its_answer() {
    let it = Instance::with(&[("service.imap.maxthreads", "1")]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start_with(&it, &[("SILENCE_MS", "3600000")]);
    fill(&it, &imapd, 3);
    let mut client = imapd.login("joe");
    client.ask("select inbox");
    client.send("a search body hello\r\nb thread references utf-8 body hello\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut lines = client.until("a");
    let numbers: Vec<String> = (1..=512).map(|number| number.to_string()).collect();
    lines.retain(|line| !line.starts_with("* OK [INPROGRESS"));
    assert_eq!(lines, [format!("* SEARCH {}", numbers.join(" ")), "OK Completed".to_owned()]);
    let lines = client.until("b");
    assert!(lines.iter().any(|line| line.starts_with("* THREAD (")) && lines.last().unwrap() == "OK Completed");
    assert_eq!(client.line(), "", "and then it is closed");
}

#[test]
fn many_threads_find_what_one_finds() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let commands = [
        "search body \"hello 1\"",
        "uid search return (min max count all) or body \"hello 2\" subject n63",
        "search return (all) not text \"hello 0\"",
        "search return (partial -1:-5) body hello",
        "search return (min max) body \"hello 2\"",
        "search return (count) from x",
        "search subject n1",
        "sort (reverse subject) utf-8 body \"hello 2\"",
    ];
    let mut answers: Vec<Vec<Vec<String>>> = Vec::new();
    for threads in ["1", "2", "250"] {
        it.run("configutil", &["-o", "service.imap.maxthreads", "-v", threads]).ok();
        let imapd = Imapd::start(&it);
        if answers.is_empty() {
            fill(&it, &imapd, 4);
        }
        let mut client = imapd.login("joe");
        client.ask("select inbox");
        answers.push(commands.iter().map(|command| client.ask(command)).collect());
    }
    let ones: Vec<String> = (1..=1024).filter(|n| (n - 1) % 64 % 3 == 1).map(|n: u32| n.to_string()).collect();
    assert_eq!(answers[0][0], [format!("* SEARCH {}", ones.join(" ")), "OK Completed".to_owned()]);
    assert!(answers[0].iter().all(|answer| answer.len() == 2), "{answers:?}");
    // The tags are in the answers of ESEARCH, and the same in each session.
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}
