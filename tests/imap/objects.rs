//! OBJECTID (RFC 8474): what keeps its id, and what gets another.

use super::{Client, Daemon};

fn id(lines: &[String], word: &str) -> String {
    let open = format!("{word} (");
    let (_, behind) = lines.iter().find_map(|line| line.split_once(&open)).unwrap_or_else(|| panic!("{lines:?}"));
    let id = behind.split(')').next().unwrap();
    assert!((1..=255).contains(&id.len()) && id.starts_with(|c: char| c.is_ascii_alphabetic()), "{id}");
    id.to_owned()
}

fn status(client: &mut Client, mailbox: &str) -> String {
    id(&client.ask(&format!("status {mailbox} (mailboxid)")), "MAILBOXID")
}

#[test]
fn ids_stay_with_mailboxes_and_contents() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let made = id(&client.ask("create Work/Sub"), "MAILBOXID");
    assert_eq!(status(&mut client, "Work/Sub"), made);
    assert_eq!(id(&client.ask("select Work/Sub"), "[MAILBOXID"), made);
    assert_ne!(status(&mut client, "Work"), made);
    let inbox = status(&mut client, "INBOX");
    // With everything that lies above it.
    client.ask("rename Work Play");
    assert_eq!(status(&mut client, "Play/Sub"), made);

    client.append("Play/Sub", "", "Subject: a\r\n\r\n1\r\n");
    client.append("Play/Sub", "", "Subject: b\r\n\r\n2\r\n");
    client.ask("select Play/Sub");
    let first = id(&client.ask("fetch 1 emailid"), "EMAILID");
    assert_ne!(id(&client.ask("fetch 2 emailid"), "EMAILID"), first);
    client.ask("store 1 +flags (\\Flagged)");
    client.ask("copy 1 INBOX");
    client.ask("move 1 Play");
    for mailbox in ["INBOX", "Play"] {
        client.ask(&format!("select {mailbox}"));
        assert_eq!(id(&client.ask("fetch 1 emailid"), "EMAILID"), first, "{mailbox}");
        assert_eq!(client.ask(&format!("search emailid {first}"))[0], "* SEARCH 1");
    }
    // RENAME of INBOX moves the messages; the mailbox stays what it is (RFC 8474 section 4.1).
    client.ask("rename INBOX Old");
    assert_eq!(status(&mut client, "INBOX"), inbox);
    assert_ne!(status(&mut client, "Old"), inbox);
    client.ask("examine Old");
    assert_eq!(id(&client.ask("fetch 1 emailid"), "EMAILID"), first);
    // A mailbox that is made again is another one, also where its name was kept for one below it.
    let play = status(&mut client, "Play");
    client.ask("delete Play");
    client.ask("create Play");
    assert_ne!(status(&mut client, "Play"), play);
    assert_eq!(status(&mut client, "Play/Sub"), made);
}
