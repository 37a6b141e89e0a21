//! INPROGRESS (RFC 9585): commands that last, with a daemon for which any time is long.

#![allow(clippy::unwrap_used)]

use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use msgstore::store::Flags;

/// How much is done, and of how much.
type State = (Option<u64>, Option<u64>);

/// The progress told before a response, and the rest of the lines.
fn told(lines: &[String]) -> (Vec<State>, Vec<&str>) {
    let mut progress = Vec::new();
    let mut rest = Vec::new();
    for line in lines {
        let Some(words) = line.strip_prefix("* OK [INPROGRESS (\"t") else {
            rest.push(line.as_str());
            continue;
        };
        let (state, text) = words.split_once(")] ").unwrap();
        assert_eq!(text, "Still working");
        let mut words = state.split(' ').skip(1).map(|word| word.parse().ok());
        progress.push((words.next().unwrap(), words.next().unwrap()));
    }
    (progress, rest)
}

#[test]
fn commands_that_last_give_signs_of_life() {
    // One thread: how many messages a step looks at is known.
    let it = Instance::with(&[("service.imap.maxthreads", "1")]);
    it.accounts(&["joe"]);
    for number in 0..70 {
        it.append("user/joe/INBOX", &format!("Subject: n{number}\r\n\r\nhello\r\n"), Flags::NONE);
    }
    let imapd = Imapd::start_with(&it, &[("SILENCE_MS", "0")]);
    let mut client = imapd.login("joe");
    client.ask("select inbox");
    // Bodies are looked at 64 a step, with two texts 32: three steps, with a word after the first two.
    let lines = client.ask("search body hello body hello");
    let (progress, rest) = told(&lines);
    let counted: Vec<_> = progress.iter().filter(|state| state.0.is_some()).collect();
    assert_eq!(counted, [&(Some(32), Some(70)), &(Some(64), Some(70))]);
    assert!(rest[0].starts_with("* SEARCH 1 2 3 ") && rest[1..] == ["OK Completed"], "{rest:?}");
    // Search, keys, merge; never in the middle of a response.
    for (command, response) in [
        ("sort (subject) utf-8 all", "* SORT 1 2 11 "),
        ("thread references utf-8 all", "* THREAD (1)(2)(3)"),
        ("thread orderedsubject utf-8 body hello", "* THREAD (1)(2)(3)"),
    ] {
        let lines = client.ask(command);
        let (progress, rest) = told(&lines);
        let counted: Vec<_> = progress.iter().filter_map(|state| Some((state.0?, state.1?))).collect();
        assert!(!counted.is_empty() && counted.is_sorted() && counted.iter().all(|(done, goal)| done <= goal));
        assert!(counted.iter().all(|(_, goal)| *goal == 140), "{counted:?}");
        assert!(rest.len() == 2 && rest[0].starts_with(response) && rest[1] == "OK Completed", "{rest:?}");
    }
    // COPY is one step: all that can be told is that it goes on.
    let lines = client.ask("copy 1:* inbox");
    let (progress, rest) = told(&lines);
    assert!(!progress.is_empty() && progress.iter().all(|state| *state == (None, None)), "{progress:?}");
    assert!(rest.last().unwrap().starts_with("OK [COPYUID"), "{rest:?}");
    // A tag that cannot stand in a code.
    client.send("a]b search body hello body hello\r\n");
    let lines = client.until("a]b");
    assert!(lines.iter().any(|line| line == "* OK [INPROGRESS (NIL 32 140)] Still working"), "{lines:?}");
}

#[test]
fn who_need_not_wait_hears_nothing() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for number in 0..70 {
        it.append("user/joe/INBOX", &format!("Subject: n{number}\r\n\r\nhello\r\n"), Flags::NONE);
    }
    let imapd = Imapd::start_with(&it, &[("SILENCE_MS", "3600000")]);
    let mut client = imapd.login("joe");
    client.ask("select inbox");
    assert_eq!(client.ask("search body hello").len(), 2);
    assert_eq!(client.ask("thread references utf-8 body hello").len(), 2);
}
