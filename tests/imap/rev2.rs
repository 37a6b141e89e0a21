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

/// RFC 9051 and RFC 9755 make message/global a message like message/rfc822; RFC 3501 does not.
#[test]
fn a_global_message_is_one_to_who_knows_it() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mail = "Content-Type: message/global\r\n\r\nSubject: inside\r\n\r\ntext\r\n";
    let structure = |enable: &str| {
        let mut client = daemon.login("joe");
        if !enable.is_empty() {
            client.ask(&format!("enable {enable}"));
        }
        client.ask("select INBOX");
        client.ask("fetch 1 (body bodystructure)").remove(0)
    };
    assert!(daemon.login("joe").append("INBOX", "", mail).starts_with("OK "));
    let basic = r#"("message" "global" NIL NIL NIL "7bit" 25"#;
    let plain = format!("* 1 FETCH (BODY {basic}) BODYSTRUCTURE {basic} NIL NIL NIL NIL))");
    assert_eq!(structure(""), plain);
    assert_eq!(structure("condstore"), plain);
    for enable in ["imap4rev2", "utf8=accept"] {
        let told = structure(enable);
        assert!(told.starts_with(&format!("* 1 FETCH (BODY {basic} (NIL \"inside\" NIL")), "{told}");
    }
    // Its sections are there for all.
    let mut client = daemon.login("joe");
    client.ask("select INBOX");
    assert!(client.ask("fetch 1 body[1.text]").concat().contains("text"), "RFC 3501 section 6.4.5");
}
