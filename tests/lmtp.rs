//! LMTP sessions against a store, without processes.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use msgstore::directory::{Directory, Options};
use msgstore::ops::delivery::Policy;
use msgstore::protocol::lmtp::{Server, serve};
use msgstore::store::{Acl, AclEntry, FolderPath, Rights, Uid};

use crate::store::{Fixture, NOW};

const LDIF: &str = "\
dn: uid=joe,ou=People,dc=example,dc=org\nobjectClass: inetMailUser\nuid: joe\nmail: joe@example.org\nmailAlternateAddress: info+x@example.org\n\n\
dn: uid=jane,ou=People,dc=example,dc=org\nuid: jane\nmail: jane@example.org\n\n\
dn: uid=away,ou=People,dc=example,dc=org\nuid: away\nmail: away@example.org\nmailHost: other.example.org\n\n\
dn: uid=held,ou=People,dc=example,dc=org\nuid: held\nmail: held@example.org\nmailUserStatus: hold\n\n\
dn: uid=gone,ou=People,dc=example,dc=org\nuid: gone\nmail: gone@example.org\nmailUserStatus: disabled\n\n\
dn: uid=full,ou=People,dc=example,dc=org\nuid: full\nmail: full@example.org\nmailQuota: 10\n";

/// What the server says to `wire`, cut into reads of `piece` bytes.
fn talk_with(fixture: &Fixture, wire: &[u8], piece: usize, message_bytes: u64, directory: &Path) -> String {
    let options = Options {
        default_domain: Some("example.org".to_owned()),
        host: Some("mail.example.org".to_owned()),
        ..Options::default()
    };
    let directory = Directory::open(directory, options);
    let server = Server {
        store: fixture.store.clone(),
        directory,
        default_domain: "example.org".into(),
        policy: Policy::default(),
        hostname: "mail.example.org".into(),
        message_bytes,
        recipients_max: 1000,
        delivered_to: false,
        starttls: false,
        trusted: Vec::new(),
    };
    let (mut input, mut output) = (BufReader::with_capacity(piece, wire), Vec::new());
    // An input that ends inside of a message is an error; what was answered before counts.
    let _ = serve(Arc::new(server), &|| NOW, &mut input, &mut output);
    String::from_utf8(output).unwrap()
}

fn talk(fixture: &Fixture, wire: &str) -> Vec<String> {
    let path = fixture.dir.path().join("directory.ldif");
    std::fs::write(&path, LDIF).unwrap();
    let text = talk_with(fixture, wire.as_bytes(), 4096, 1 << 20, &path);
    text.lines().map(str::to_owned).collect()
}

fn codes(lines: &[String]) -> String {
    lines.iter().map(|line| line.get(..3).unwrap()).collect::<Vec<_>>().join(" ")
}

fn bodies(fixture: &Fixture, user: &str, folder: &str) -> Vec<String> {
    let Some(account) = fixture.store.account_id(user).unwrap() else { return Vec::new() };
    let row = fixture.store.view(account).unwrap().resolve(&FolderPath::parse(folder).unwrap()).unwrap().unwrap();
    let uids: Vec<Uid> = fixture.uids(account, row.id);
    uids.iter().map(|uid| std::fs::read_to_string(fixture.file(account, row.id, *uid)).unwrap()).collect()
}

#[test]
fn every_recipient_gets_an_answer_in_order() {
    let fixture = Fixture::new();
    let lines = talk(
        &fixture,
        "LHLO client\r\nMAIL FROM:<a@b> BODY=8BITMIME SIZE=20\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<nobody@example.org>\r\n\
         RCPT TO:<\"jane\"@example.org>\r\nRCPT TO:<joe>\r\nRCPT TO:<away@example.org>\r\nRCPT TO:<held@example.org>\r\n\
         RCPT TO:<gone@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n",
    );
    assert_eq!(codes(&lines), "220 250 250 250 250 250 250 250 250 250 550 250 250 450 450 550 354 250 250 250 221");
    let words = [
        "250-PIPELINING",
        "250-ENHANCEDSTATUSCODES",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-CHUNKING",
        "250 SIZE 1048576",
    ];
    assert_eq!(&lines[2..8], words);
    assert!(
        ["<joe@example.org>", "<jane@example.org>", "<joe>"]
            .iter()
            .zip(&lines[17..])
            .all(|(to, line)| line.ends_with(to)),
        "{lines:?}"
    );
    let text = "Return-Path: <a@b>\r\nSubject: x\r\n\r\n.dot\r\n";
    // Two addresses of one mailbox: one copy.
    assert_eq!(
        (bodies(&fixture, "joe", "INBOX"), bodies(&fixture, "jane", "INBOX")),
        (vec![text.into()], vec![text.into()])
    );
}

#[test]
fn sessions_are_the_same_however_the_bytes_arrive() {
    let wire = "lhlo c\r\nMAIL FROM:<>\r\nRCPT TO:<joe>\r\nDATA\r\na\r\n.b\n.\r\nMAIL FROM:<not@a.command>\r\n.\r\nRSET\r\nQUIT\r\n";
    let mut seen = Vec::new();
    for piece in [1, 2, 3, 7, 4096] {
        let fixture = Fixture::new();
        let path = fixture.dir.path().join("directory.ldif");
        std::fs::write(&path, LDIF).unwrap();
        let said = talk_with(&fixture, wire.as_bytes(), piece, 1 << 20, &path);
        // A bare LF does not end the message: the command behind it is text.
        let text = "Return-Path: <>\r\na\r\nb\r\n.\r\nMAIL FROM:<not@a.command>\r\n";
        assert_eq!(bodies(&fixture, "joe", "INBOX"), [text]);
        seen.push(said);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}

#[test]
fn folders_behind_a_plus_need_the_right_to_post() {
    let fixture = Fixture::new();
    let joe = fixture.account("joe");
    for (name, rights) in [("Open", "p"), ("Closed", "lrs")] {
        let folder = fixture.folder(joe, name);
        let entry = AclEntry { identifier: "anyone".into(), rights: Rights::parse(rights).unwrap() };
        fixture.store.set_acl(joe, folder, &Acl(vec![entry])).unwrap();
    }
    let mut wire = "LHLO c\r\n".to_owned();
    for to in ["joe+Open", "joe+Closed", "joe+Missing", "joe+", "info+x", "nobody+Open", "+Open"] {
        wire += &format!("MAIL FROM:<a@b>\r\nRCPT TO:<{to}@example.org>\r\nDATA\r\nSubject: {to}\r\n\r\n.\r\nRSET\r\n");
    }
    let lines = talk(&fixture, &wire);
    assert_eq!(lines.iter().filter(|line| line.starts_with("250 2.1.5 Delivered")).count(), 5, "{lines:?}");
    assert_eq!(bodies(&fixture, "joe", "Open").len(), 1);
    assert_eq!(bodies(&fixture, "joe", "Closed").len(), 0);
    let subjects: Vec<String> =
        bodies(&fixture, "joe", "INBOX").iter().map(|text| text.lines().nth(1).unwrap()[9..].to_owned()).collect();
    assert_eq!(subjects, ["joe+Closed", "joe+Missing", "joe+", "info+x"]);
}

#[test]
fn commands_out_of_order_and_out_of_shape_are_refused() {
    let fixture = Fixture::new();
    let long = "x".repeat(5000);
    let lines = talk(
        &fixture,
        &format!(
            "MAIL FROM:<a@b>\r\nEHLO c\r\nLHLO\r\nLHLO c\r\nRCPT TO:<joe>\r\nDATA\r\nMAIL FROM:a@b\r\nMAIL FROM:<a@b> SIZE=99999999\r\n\
             MAIL FROM:<a@b> SMTPUTF8=1\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\nRCPT TO:<>\r\n\
             RCPT TO:<joe> X=1\r\n{long}\r\nVRFY joe\r\nNOOP\r\nHELP\r\nFROB\r\nN\u{0}OP\r\nRSET\r\nDATA\r\nquit\r\n"
        ),
    );
    assert_eq!(
        codes(&lines),
        "220 503 500 501 250 250 250 250 250 250 250 503 503 501 552 501 501 250 503 503 501 555 500 252 250 214 500 500 250 503 221"
    );
    let bad = talk(&fixture, &"FROB\r\n".repeat(60));
    assert!(bad.last().unwrap().starts_with("421") && bad.len() == 52, "{}", bad.len());
}

#[test]
fn messages_that_cannot_be_taken_are_read_to_their_end() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("directory.ldif");
    std::fs::write(&path, LDIF).unwrap();
    let one = |body: &str| format!("MAIL FROM:<a@b>\r\nRCPT TO:<joe>\r\nRCPT TO:<jane>\r\nDATA\r\n{body}.\r\n");
    let big = format!("{}\r\n", "y".repeat(200)).repeat(20);
    let wire = format!("LHLO c\r\n{}{}{}{}QUIT\r\n", one(&big), one("a\0b\r\n"), one(""), one("Subject: ok\r\n"));
    let said = talk_with(&fixture, wire.as_bytes(), 64, 2000, &path);
    let answers: Vec<&str> = said.lines().filter(|line| line.ends_with('>')).map(|line| &line[..9]).collect();
    assert_eq!(
        answers,
        ["552 5.3.4", "552 5.3.4", "554 5.6.0", "554 5.6.0", "554 5.6.0", "554 5.6.0", "250 2.1.5", "250 2.1.5"]
    );
    assert_eq!(bodies(&fixture, "joe", "INBOX"), ["Return-Path: <a@b>\r\nSubject: ok\r\n"]);
    // An input that ends before the dot delivers nothing.
    let cut = one("Subject: cut\r\n");
    talk_with(&fixture, format!("LHLO c\r\n{}", &cut[..cut.len() - 3]).as_bytes(), 64, 2000, &path);
    assert_eq!(bodies(&fixture, "joe", "INBOX").len(), 1);
    // Without the directory nothing is known about anybody.
    std::fs::remove_file(&path).unwrap();
    let said = talk_with(&fixture, b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<joe>\r\n", 64, 2000, &path);
    assert!(said.lines().last().unwrap().starts_with("451 4.3.0"), "{said}");
}

#[test]
fn a_full_quota_concerns_its_owner_only_and_recipients_are_limited() {
    let fixture = Fixture::new();
    let wire = "LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<full>\r\nRCPT TO:<jane>\r\nDATA\r\nSubject: x\r\n.\r\n";
    let lines = talk(&fixture, wire);
    assert!(lines[12].starts_with("452 4.2.2") && lines[13].starts_with("250 2.1.5"), "{lines:?}");
    // Ten thousand recipients: the first thousand are taken, the others asked to come again, and the session goes on.
    let many = "RCPT TO:<joe>\r\n".repeat(10_000);
    let lines = talk(&fixture, &format!("LHLO c\r\nMAIL FROM:<a@b>\r\n{many}DATA\r\nSubject: y\r\n.\r\n"));
    assert_eq!(lines.len(), 8 + 1 + 10_000 + 1 + 1_000);
    assert_eq!(lines.iter().filter(|line| *line == "452 4.5.3 Too many recipients").count(), 9_000);
    assert!(lines.last().unwrap().starts_with("250 2.1.5 Delivered"), "{:?}", lines.last());
    assert_eq!(bodies(&fixture, "joe", "INBOX").len(), 1);
}

#[test]
fn chunks_are_counted_and_nothing_in_them_ends_them() {
    let fixture = Fixture::new();
    let begin = "MAIL FROM:<a@b>\r\nRCPT TO:<joe>\r\nRCPT TO:<jane>\r\n";
    let text = "Subject: x\r\n\r\n.\r\n..two\nbare\r\n.\r\n";
    let (one, two) = text.split_at(17);
    let wire = format!(
        "LHLO c\r\n{begin}BDAT {}\r\n{one}RCPT TO:<jane>\r\nDATA\r\nBDAT 0\r\nBDAT {} LAST\r\n{two}\
         {begin}BDAT 3 last\r\na\r\n{begin}BDAT 0 LAST\r\nNOOP\r\nQUIT\r\n",
        one.len(),
        two.len()
    );
    for piece in [1, 3, 4096] {
        let fixture = Fixture::new();
        let path = fixture.dir.path().join("directory.ldif");
        std::fs::write(&path, LDIF).unwrap();
        let said = talk_with(&fixture, wire.as_bytes(), piece, 1 << 20, &path);
        let lines: Vec<String> = said.lines().skip(8).map(str::to_owned).collect();
        assert_eq!(
            codes(&lines),
            "250 250 250 250 503 503 250 250 250 250 250 250 250 250 250 250 250 554 554 250 221",
            "{lines:?}"
        );
        assert_eq!(lines[3], "250 2.0.0 17 octets received");
        let text = "Return-Path: <a@b>\r\nSubject: x\r\n\r\n.\r\n..two\r\nbare\r\n.\r\n";
        assert_eq!(bodies(&fixture, "joe", "INBOX"), [text, "Return-Path: <a@b>\r\na\r\n"]);
    }
    // What was announced is taken whatever the answer is: nothing of it becomes a command.
    let lines = talk(&fixture, &format!("LHLO c\r\nBDAT 12\r\nQUIT\r\nQUIT\r\n{begin}BDAT 5 LAST\r\nabc\r\nNOOP\r\n"));
    assert_eq!(codes(&lines[8..]), "503 250 250 250 250 250 250", "{lines:?}");
    // Where it is not known how much comes, everything is over.
    for lie in ["BDAT", "BDAT x", "BDAT -1", "BDAT 99999999999999999999", "BDAT 1 2"] {
        let lines = talk(&fixture, &format!("LHLO c\r\n{begin}{lie}\r\nQUIT\r\n"));
        assert_eq!(codes(&lines[11..]), "501 421", "{lie}: {lines:?}");
    }
}

#[test]
fn a_message_in_chunks_that_is_too_large_is_refused_at_each_and_for_everybody() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("directory.ldif");
    std::fs::write(&path, LDIF).unwrap();
    let body = "x".repeat(998) + "\r\n";
    let chunks = format!("BDAT 1000\r\n{body}").repeat(3);
    let wire = format!(
        "LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe>\r\nRCPT TO:<jane>\r\n{chunks}BDAT 1000 LAST\r\n{body}NOOP\r\n"
    );
    let said = talk_with(&fixture, wire.as_bytes(), 512, 1500, &path);
    let lines: Vec<String> = said.lines().skip(8).map(str::to_owned).collect();
    assert_eq!(codes(&lines), "250 250 250 250 552 552 552 552 250", "{lines:?}");
    assert!(bodies(&fixture, "joe", "INBOX").is_empty());
}

/// A domain has a form with its letters and one in ASCII: senders and the directory may write either.
#[test]
fn both_forms_of_a_domain_are_one() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("directory.ldif");
    let more = "\ndn: uid=ann,ou=People,dc=example,dc=org\nuid: ann\nmail: ann@b\u{fc}cher.example\n\n\
                dn: uid=bob,ou=People,dc=example,dc=org\nuid: bob\nmail: bob@xn--bcher-kva.example\n";
    std::fs::write(&path, format!("{LDIF}{more}")).unwrap();
    let to = [
        "ann@b\u{fc}cher.example",
        "ann@xn--bcher-kva.example",
        "bob@B\u{dc}CHER.example",
        "bob@XN--bcher-kva.example",
    ];
    let mut wire = "LHLO c\r\nMAIL FROM:<a@b> SMTPUTF8\r\n".to_owned();
    to.iter().for_each(|to| wire += &format!("RCPT TO:<{to}>\r\n"));
    wire += "RCPT TO:<eve@b\u{fc}cher.example>\r\nDATA\r\nSubject: x\r\n.\r\n";
    let said = talk_with(&fixture, wire.as_bytes(), 4096, 1 << 20, &path);
    let lines: Vec<String> = said.lines().skip(8).map(str::to_owned).collect();
    assert_eq!(codes(&lines), "250 250 250 250 250 550 354 250 250 250 250", "{lines:?}");
    // The answers name the addresses as they were given.
    for (to, line) in to.iter().zip(&lines[7..]) {
        assert_eq!(*line, format!("250 2.1.5 Delivered <{to}>"));
    }
    assert_eq!(["ann", "bob"].map(|user| bodies(&fixture, user, "INBOX").len()), [1, 1]);
}

#[test]
fn other_letters_need_smtputf8() {
    let fixture = Fixture::new();
    let lines = talk(
        &fixture,
        "LHLO c\r\nMAIL FROM:<j\u{f6}rg@b>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe+T\u{fc}r>\r\nRSET\r\n\
         MAIL FROM:<j\u{f6}rg@b\u{fc}cher.example> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<joe+T\u{fc}r>\r\nDATA\r\nSubject: \u{fc}\r\n.\r\n",
    );
    assert_eq!(codes(&lines[8..]), "553 250 553 250 250 250 354 250", "{lines:?}");
    let text = "Return-Path: <j\u{f6}rg@b\u{fc}cher.example>\r\nSubject: \u{fc}\r\n";
    assert_eq!(bodies(&fixture, "joe", "INBOX"), [text]);
}

/// Folders are kept in modified UTF-7; senders write letters, or a name as it is kept.
#[test]
fn what_stands_behind_the_plus_finds_folders_with_other_letters() {
    let fixture = Fixture::new();
    let deliver = |detail: &str| {
        let wire = format!(
            "LHLO c\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<joe+{detail}>\r\nDATA\r\nSubject: {detail}\r\n.\r\n"
        );
        let lines = talk(&fixture, &wire);
        assert_eq!(codes(&lines[8..]), "250 250 354 250", "{lines:?}");
    };
    deliver("Nowhere");
    let joe = fixture.store.account_id("joe").unwrap().unwrap();
    let all = msgstore::store::Rights::ALL;
    for name in ["T&APw-r", "R&-D", "Plain"] {
        let made =
            fixture.store.folder_create(joe, &FolderPath::parse(name).unwrap(), &Default::default(), NOW).unwrap();
        let entry = msgstore::store::AclEntry { identifier: "anyone".into(), rights: all };
        fixture.store.set_acl(joe, made.id, &msgstore::store::Acl(vec![entry])).unwrap();
    }
    ["T\u{fc}r", "T&APw-r", "R&D", "R&-D", "Plain"].into_iter().for_each(deliver);
    assert_eq!(["T&APw-r", "R&-D", "Plain", "INBOX"].map(|folder| bodies(&fixture, "joe", folder).len()), [2, 2, 1, 1]);
}
