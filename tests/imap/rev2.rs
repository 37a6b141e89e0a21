//! IMAP4rev2 beyond its dialogue: where no keyword can be added, `\*` is not among the permanent flags (RFC 9051 section 7.1).

use super::Daemon;

#[test]
fn a_full_list_of_keywords_says_so() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    assert!(client.append("INBOX", "", "Subject: x\r\n\r\n").starts_with("OK "));
    let keywords = |from: usize, to: usize| (from..to).map(|n| format!("k{n}")).collect::<Vec<_>>().join(" ");
    assert_eq!(client.ask("enable imap4rev2"), ["* ENABLED IMAP4rev2", "OK Completed"]);
    client.ask("select INBOX");
    let told = |lines: Vec<String>| {
        let line = lines.into_iter().find(|line| line.starts_with("* OK [PERMANENTFLAGS ("));
        line.map(|line| line.contains(r" \*)"))
    };
    assert_eq!(told(client.ask(&format!("store 1 +flags ({})", keywords(0, 127)))), Some(true));
    assert_eq!(told(client.ask("store 1 +flags (k127)")), Some(false));
    assert!(client.ask("store 1 +flags (k128)").last().unwrap().starts_with("NO [LIMIT] "));
    assert_eq!(told(client.ask("select INBOX")), Some(false));
    // As before without IMAP4rev2.
    assert_eq!(told(daemon.login("joe").ask("select INBOX")), Some(true));
}
