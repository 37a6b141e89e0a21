//! BINARY (RFC 3516) with parts that are larger than what is ever in memory of them.

#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Client, Daemon};

/// Bytes of all values, in no short pattern.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

fn append(client: &mut Client, message: &[u8], binary: &str) -> String {
    client.send(format!("app append INBOX {binary}{{{}+}}\r\n", message.len()));
    client.send(message);
    client.send("\r\n");
    client.until("app").last().unwrap().clone()
}

/// The bytes of one BINARY item.
fn fetched(client: &mut Client, item: &str) -> Vec<u8> {
    client.send(format!("f uid fetch 1 {item}\r\n"));
    let line = client.line();
    let (_, count) = line.rsplit_once('{').unwrap();
    let bytes = client.bytes(count.trim_end_matches('}').parse().unwrap());
    assert_eq!(client.until("f").last().unwrap(), "OK Completed");
    bytes
}

#[test]
fn large_parts_are_decoded_in_pieces() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let whole = content(1_000_003);
    let mut message = b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec();
    for line in whole.chunks(57) {
        message.extend_from_slice(STANDARD.encode(line).as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    assert!(append(&mut client, &message, "").starts_with("OK [APPENDUID "));
    client.ask("select INBOX");
    assert_eq!(client.ask("uid fetch 1 binary.size[1]")[0], "* 1 FETCH (UID 1 BINARY.SIZE[1] 1000003)");
    assert_eq!(fetched(&mut client, "binary.peek[1]"), whole);
    for (offset, length) in [(0usize, 1usize), (65_535, 3), (131_072, 300_000), (999_990, 1000)] {
        let end = (offset + length).min(whole.len());
        assert_eq!(fetched(&mut client, &format!("binary.peek[1]<{offset}.{length}>")), whole[offset..end]);
    }
    assert_eq!(
        client.ask("uid fetch 1 (flags binary.peek[1]<1000003.1>)")[0],
        "* 1 FETCH (UID 1 FLAGS (\\Recent) BINARY[1]<1000003> \"\")"
    );
}

/// What comes in as it is comes out as it is, and every other client can read it, too.
#[test]
fn a_binary_message_comes_back() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let whole = content(500_000);
    let mut message = b"Content-Type: multipart/mixed; boundary=\"=bound=\"\r\nContent-Transfer-Encoding: binary\r\n\r\n--=bound=\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n".to_vec();
    message.extend_from_slice(&whole);
    message.extend_from_slice(b"\r\n--=bound=--\r\n");
    assert!(append(&mut client, &message, "").starts_with("NO "));
    assert!(append(&mut client, &message, "~").starts_with("OK [APPENDUID "));
    client.ask("select INBOX");
    assert_eq!(fetched(&mut client, "binary[1]"), whole);
    let encoded = fetched(&mut client, "body[1]");
    let text: String = String::from_utf8(encoded).unwrap().split_whitespace().collect();
    assert_eq!(STANDARD.decode(text).unwrap(), whole);
    assert!(client.ask("uid fetch 1 bodystructure")[0].contains("\"image\" \"png\" NIL NIL NIL \"base64\""));
}
