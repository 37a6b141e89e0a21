//! APPEND as it comes over the wire: whole with its command, in pieces, asked for, of many messages, refused at any of them.

#![allow(clippy::unwrap_used)]

use super::Client;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// One message of an APPEND: its text, and whether the client waits before it sends it.
struct Part {
    text: String,
    waits: bool,
}

/// Large messages go to their staging file in pieces, small ones are kept until they are complete.
const LARGE: usize = 700 * 1024;

fn part(name: &str, bytes: usize, waits: bool) -> Part {
    let mut text = format!("Subject: {name}\r\n\r\n");
    while text.len() < bytes {
        text += "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    }
    Part { text, waits }
}

/// Sends an APPEND of these messages, `cut` octets at a time, and gives its answer.
fn append(client: &mut Client, mailbox: &str, parts: &[Part], cut: usize) -> Vec<String> {
    let mut bytes = format!("a append {mailbox}").into_bytes();
    let send = |client: &mut Client, bytes: &mut Vec<u8>| {
        bytes.chunks(cut).for_each(|piece| client.send(piece));
        bytes.clear();
    };
    for part in parts {
        let plus = if part.waits { "" } else { "+" };
        bytes.extend_from_slice(format!(" {{{}{plus}}}\r\n", part.text.len()).as_bytes());
        if part.waits {
            send(client, &mut bytes);
            let line = client.line();
            if let Some(answer) = line.strip_prefix("a ") {
                return vec![answer.to_owned()];
            }
            assert_eq!(line, "+ go ahead");
        }
        bytes.extend_from_slice(part.text.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    send(client, &mut bytes);
    client.until("a")
}

#[test]
fn messages_arrive_however_they_come() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    let mut kept = Vec::new();
    // Small and large, asked for and not, alone and together; each shape in pieces of several sizes.
    for shape in ["s", "l", "S", "L", "ss", "sL", "Ls", "lS", "sls", "SsLl"] {
        for cut in [7, 4096, 1 << 20] {
            if cut == 7 && shape.contains(['l', 'L']) {
                continue;
            }
            let name = |at: usize| format!("{shape} {cut} {at}");
            let parts: Vec<Part> = shape
                .char_indices()
                .map(|(at, c)| {
                    part(&name(at), if c.eq_ignore_ascii_case(&'l') { LARGE } else { 300 }, c.is_uppercase())
                })
                .collect();
            let answer = append(&mut client, "inbox", &parts, cut);
            assert!(answer[0].starts_with("OK [APPENDUID "), "{shape} {cut}: {answer:?}");
            kept.extend(parts.into_iter().map(|part| part.text));
        }
    }
    // Around the size from which on a message is not kept.
    for bytes in [-1, 0, 1].map(|more| (512 * 1024_usize).saturating_add_signed(more)) {
        let text = format!("Subject: edge\r\n\r\n{}\r\n", "a".repeat(bytes - 19));
        assert_eq!(text.len(), bytes);
        let answer = append(&mut client, "inbox", &[Part { text: text.clone(), waits: false }], 100_000);
        assert!(answer[0].starts_with("OK [APPENDUID "), "{bytes}: {answer:?}");
        kept.push(text);
    }
    client.ask("examine inbox");
    for (at, text) in kept.iter().enumerate() {
        client.send(format!("f uid fetch {} body.peek[]\r\n", at + 1));
        let line = client.line();
        assert!(line.ends_with(&format!("BODY[] {{{}}}", text.len())), "{line}");
        assert!(client.bytes(text.len()) == text.as_bytes(), "message {} is another one", at + 1);
        assert_eq!(client.until("f"), [")", "OK Completed"]);
    }
    assert_eq!(client.ask("status inbox (messages)")[0], format!("* STATUS \"INBOX\" (MESSAGES {})", kept.len()));
}

#[test]
fn a_refusal_comes_when_the_command_is_over_and_leaves_nothing() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    let small = |text: &str| Part { text: text.to_owned(), waits: false };
    let good = || small("Subject: good\r\n\r\nx\r\n");
    let nul = || small("Subject: bad\r\n\r\n\0\r\n");
    for (mailbox, parts, expected) in [
        ("nowhere", vec![good()], "NO [TRYCREATE] Mailbox does not exist"),
        ("nowhere", vec![good(), part("large", LARGE, false), good()], "NO [TRYCREATE] Mailbox does not exist"),
        ("nowhere", vec![part("asked", 100, true)], "NO [TRYCREATE] Mailbox does not exist"),
        ("inbox", vec![nul()], "NO [CANNOT] the message contains NUL bytes"),
        ("inbox", vec![nul(), good()], "NO [CANNOT] the message contains NUL bytes"),
        ("inbox", vec![good(), nul(), good()], "NO [CANNOT] the message contains NUL bytes"),
        ("inbox", vec![good(), nul(), part("asked", 100, true)], "NO [CANNOT] the message contains NUL bytes"),
        ("inbox", vec![good(), good(), small("")], "NO Message is empty"),
        ("inbox (\\Nonsense", vec![good()], "BAD Invalid system flag in Append"),
        ("inbox", vec![good(), part("large", LARGE, false), nul()], "NO [CANNOT] the message contains NUL bytes"),
    ] {
        let answer = append(&mut client, mailbox, &parts, 4096);
        assert_eq!(answer, [expected], "{mailbox}, {} messages", parts.len());
        assert_eq!(client.ask("noop"), ["OK Completed"], "what follows is read as it is");
    }
    // Words behind the message.
    client.send("a append inbox {5+}\r\nX: y\n and more\r\n");
    assert_eq!(client.until("a"), ["BAD Unexpected extra arguments to Append"]);
    // A line that is too long behind a message that is there.
    client.send(format!("a append inbox {{5+}}\r\nX: y\n{}\r\n", "z".repeat(70_000)));
    assert_eq!(client.until("a"), ["BAD Command line too long"]);
    assert_eq!(client.ask("status inbox (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 0)");
    let staging = it.base().join("data/store/partition/primary/.staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0, "no staging file is left");
    // A stranger is not listened to for so long.
    for mailbox in
        ["inbox", "\"Shared Folders/User/joe\"", "\"Shared Folders/User/joe/none\"", "\"Shared Folders/User/none\""]
    {
        let mut stranger = imapd.connect();
        assert_eq!(append(&mut stranger, mailbox, &[good()], 4096), ["BAD Please login first"], "{mailbox}");
        stranger.send(format!("a append {mailbox} {{5}}\r\n"));
        assert_eq!(stranger.until("a"), ["BAD Please login first"], "{mailbox}");
        let mut was_joe = imapd.login("joe");
        was_joe.ask("unauthenticate");
        assert_eq!(append(&mut was_joe, mailbox, &[good()], 4096), ["BAD Please login first"], "{mailbox}");
    }
    assert_eq!(client.ask("status inbox (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 0)");
}
