//! What one session does while another one is in the middle of a command.

#![allow(clippy::unwrap_used)]

use super::Daemon;

/// The flags that a FETCH response tells, in its first line or behind a literal.
fn flags(line: &str) -> Option<&str> {
    let told = line.contains("FETCH (") || line.starts_with(" FLAGS (");
    told.then(|| super::model::between(line, "FLAGS (", ')')).flatten()
}

/// FETCH of a body sets `\Seen` and tells the flags as they are then: with a keyword that came between reading and setting. The two meet in one
/// commit of the store more often than not.
#[test]
fn a_keyword_that_comes_while_a_body_is_fetched_is_told() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (mut one, mut other) = (daemon.login("joe"), daemon.login("joe"));
    one.append("INBOX", "", "a: 1\r\n");
    one.ask("select INBOX");
    other.ask("select INBOX");
    for turn in 0..60 {
        other.ask("store 1 flags ()");
        one.ask("noop");
        other.send(format!("o store 1 +flags.silent (new{turn})\r\n"));
        one.send("f fetch 1 body[]\r\n");
        let (mut told, _) = (one.until("f"), other.until("o"));
        told.extend(one.ask("noop"));
        let last = told.iter().rev().find_map(|line| flags(line)).unwrap();
        assert!(last.contains(&format!("new{turn}")), "turn {turn}: {told:#?}");
        let listed = told.iter().position(|line| line.starts_with("* FLAGS ") && line.contains(&format!("new{turn}")));
        let shown = told.iter().position(|line| flags(line).is_some_and(|flags| flags.contains(&format!("new{turn}"))));
        assert!(listed.is_some() && listed < shown, "turn {turn}: {told:#?}");
    }
}

/// A search sees the messages as they are, with keywords of which this session has not heard yet.
#[test]
fn a_keyword_is_found_as_soon_as_it_is_there() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (mut one, mut other) = (daemon.login("joe"), daemon.login("joe"));
    one.append("INBOX", "", "a: 1\r\n");
    one.append("INBOX", "", "a: 2\r\n");
    one.ask("select INBOX");
    other.ask("select INBOX");
    other.ask("store 2 +flags.silent (fresh)");
    assert_eq!(one.ask("search keyword fresh")[0], "* SEARCH 2");
    other.ask("store 1 +flags.silent (other)");
    assert_eq!(one.ask("search or unkeyword fresh not unkeyword other")[0], "* SEARCH 1");
    // What was found is told as ever.
    let told = one.ask("fetch 1:2 flags");
    assert_eq!(told[..2], ["* 1 FETCH (FLAGS (\\Recent other))", "* 2 FETCH (FLAGS (\\Recent fresh))"]);
}
