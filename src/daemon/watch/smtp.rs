//! Hands one message to a mail server (RFC 5321), for the notices of alarms: one sender, one recipient, no encryption, no login.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::probe::connect;

/// How long a reply is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bounds of a reply.
const LINES: usize = 100;
const LINE: u64 = 2000;

/// Why the message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpError {
    /// The connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server said no.
    #[error("it says behind {behind}: {reply}")]
    Refused {
        /// The command.
        behind: &'static str,
        /// The last line of the reply.
        reply: String,
    },
    /// It is no address.
    #[error("{0:?} is no mail address")]
    Address(String),
}

/// Hands a message over; its lines end in CRLF. `name`: this host.
pub(super) fn send(
    (host, port): (&str, u16),
    name: &str,
    (sender, recipient): (&str, &str),
    message: &[u8],
) -> Result<(), SmtpError> {
    for address in [sender, recipient] {
        if address.is_empty() || !address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte)) {
            return Err(SmtpError::Address(address.to_owned()));
        }
    }
    let stream = connect(host, port, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut server = Server { replies: BufReader::new(stream.try_clone()?), stream };
    let name = if name.is_empty() { "localhost" } else { name };
    server.wants("the connection", '2')?;
    server.stream.write_all(format!("EHLO {name}\r\n").as_bytes())?;
    if matches!(server.wants("EHLO", '2'), Err(SmtpError::Refused { .. })) {
        server.say("HELO", &format!("HELO {name}"), '2')?;
    }
    server.say("MAIL", &format!("MAIL FROM:<{sender}>"), '2')?;
    server.say("RCPT", &format!("RCPT TO:<{recipient}>"), '2')?;
    server.say("DATA", "DATA", '3')?;
    server.stream.write_all(&stuffed(message))?;
    server.wants("the message", '2')?;
    // The message is theirs.
    drop(server.stream.write_all(b"QUIT\r\n"));
    Ok(())
}

/// The message with its dots doubled and the end behind it (RFC 5321 section 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

struct Server {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Server {
    fn say(&mut self, behind: &'static str, line: &str, class: char) -> Result<(), SmtpError> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.wants(behind, class)
    }

    fn wants(&mut self, behind: &'static str, class: char) -> Result<(), SmtpError> {
        for _ in 0..LINES {
            let mut line = Vec::new();
            io::Read::take(&mut self.replies, LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if line.get(3) == Some(&b'-') {
                continue;
            }
            let reply = String::from_utf8_lossy(&line).trim_end().to_owned();
            return if reply.starts_with(class) { Ok(()) } else { Err(SmtpError::Refused { behind, reply }) };
        }
        Err(io::Error::other("a reply without an end").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
    }

    #[test]
    fn an_address_cannot_be_a_command() {
        let sent = send(("127.0.0.1", 1), "x", ("a@b", "c@d>\r\nQUIT"), b"");
        assert!(matches!(sent, Err(SmtpError::Address(_))));
    }
}
