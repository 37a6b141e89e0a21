//! REPLACE (RFC 8508) of a message that somebody else expunges while the new one is on its way.

#![allow(clippy::unwrap_used)]

use super::Daemon;

#[test]
fn both_or_neither() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut one = daemon.login("joe");
    assert!(one.append("INBOX", "", "Subject: draft\r\n\r\n").starts_with("OK [APPENDUID "));
    one.ask("create Drafts");
    one.ask("select INBOX");
    one.send("r replace 1 Drafts (\\Seen) {6}\r\n");
    assert_eq!(one.line(), "+ go ahead");
    let mut other = daemon.login("joe");
    other.ask("select INBOX");
    other.ask("store 1 +flags.silent \\Deleted");
    assert_eq!(other.ask("expunge"), ["* 1 EXPUNGE", "OK Completed"]);
    one.send("a: 1\r\n\r\n");
    assert_eq!(one.until("r"), ["* 1 EXPUNGE", "NO [EXPUNGEISSUED] Some of the messages no longer exist"]);
    assert_eq!(one.ask("status Drafts (messages)")[0], "* STATUS \"Drafts\" (MESSAGES 0)");
    one.append("INBOX", "", "Subject: draft\r\n\r\n");
    // A client that goes away in the middle leaves everything as it was.
    let mut gone = daemon.login("joe");
    gone.ask("select INBOX");
    gone.send("r uid replace 2 INBOX {6+}\r\na: ");
    drop(gone);
    assert_eq!(one.ask("uid fetch 1:* (flags)").len(), 2);
    assert_eq!(one.ask("status INBOX (messages uidnext)")[0], "* STATUS \"INBOX\" (MESSAGES 1 UIDNEXT 3)");
}
