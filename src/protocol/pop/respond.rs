//! Writes responses (RFC 1939 section 3).

/// Response codes (RFC 2449 section 8, RFC 3206).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The name or the password is wrong.
    Auth,
    /// Trouble that is not the client's and may be over soon.
    SysTemp,
    /// Trouble that somebody must mend.
    SysPerm,
    /// Somebody else has the mailbox.
    InUse,
    /// The last login was a short while ago.
    LoginDelay,
}

impl Code {
    /// In brackets, with a blank behind.
    fn text(self) -> &'static str {
        match self {
            Code::Auth => "[AUTH] ",
            Code::SysTemp => "[SYS/TEMP] ",
            Code::SysPerm => "[SYS/PERM] ",
            Code::InUse => "[IN-USE] ",
            Code::LoginDelay => "[LOGIN-DELAY] ",
        }
    }
}

/// Adds text.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// `+OK words`.
pub fn ok(out: &mut Vec<u8>, words: &str) {
    text(out, "+OK ");
    text(out, words);
    text(out, "\r\n");
}

/// `-ERR [code] words`.
pub fn err(out: &mut Vec<u8>, code: Option<Code>, words: &str) {
    text(out, "-ERR ");
    text(out, code.map_or("", Code::text));
    text(out, words);
    text(out, "\r\n");
}

/// `+ challenge` (RFC 5034 section 4).
pub fn continuation(out: &mut Vec<u8>, challenge: &str) {
    text(out, "+ ");
    text(out, challenge);
    text(out, "\r\n");
}

/// The end of a response of several lines, where a line has just ended.
pub fn end(out: &mut Vec<u8>) {
    text(out, ".\r\n");
}

/// Writes the bytes of a message so that none of its lines looks like the end of the response.
///
/// A dot is put before one that stands behind any LF, also one without a CR: most clients take that as the end of a line, and what comes
/// behind a dot would be a response to them.
#[derive(Debug)]
pub struct Stuffer {
    /// The last two bytes.
    last: [u8; 2],
}

impl Default for Stuffer {
    fn default() -> Stuffer {
        Stuffer { last: *b"\r\n" }
    }
}

impl Stuffer {
    /// Writes the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + 16);
        let mut begun = 0;
        if bytes.first() == Some(&b'.') && self.last[1] == b'\n' {
            out.push(b'.');
        }
        for end in memchr::memmem::find_iter(bytes, b"\n.") {
            out.extend_from_slice(bytes.get(begun..=end).unwrap_or_default());
            out.push(b'.');
            begun = end + 1;
        }
        out.extend_from_slice(bytes.get(begun..).unwrap_or_default());
        match *bytes {
            [] => {}
            [only] => self.last = [self.last[1], only],
            [.., before, last] => self.last = [before, last],
        }
    }

    /// Ends the response; a last line without its end gets one.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.last != *b"\r\n" {
            text(out, "\r\n");
        }
        end(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &[u8], size: usize) -> String {
        let mut stuffer = Stuffer::default();
        let mut out = Vec::new();
        message.chunks(size).for_each(|piece| stuffer.push(piece, &mut out));
        stuffer.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_line_of_a_message_ends_the_response() {
        for size in 1..9 {
            for (message, wire) in [
                ("", ".\r\n"),
                ("a\r\n", "a\r\n.\r\n"),
                ("a", "a\r\n.\r\n"),
                ("a\n", "a\n\r\n.\r\n"),
                ("a\r", "a\r\r\n.\r\n"),
                (".\r\n", "..\r\n.\r\n"),
                ("..a\r\n.\r\nb.\r\n", "...a\r\n..\r\nb.\r\n.\r\n"),
                ("a\n.\n.\r\nb\r.\r\n", "a\n..\n..\r\nb\r.\r\n.\r\n"),
            ] {
                assert_eq!(sent(message.as_bytes(), size), wire, "{message:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn errors_have_their_codes() {
        let mut out = Vec::new();
        err(&mut out, Some(Code::LoginDelay), "wait");
        err(&mut out, None, "no");
        ok(&mut out, "yes");
        assert_eq!(out, b"-ERR [LOGIN-DELAY] wait\r\n-ERR no\r\n+OK yes\r\n");
    }

    proptest::proptest! {
        /// A client that takes dots away and splits at LF finds the message again, with the end that its last line may have lacked.
        #[test]
        fn a_message_comes_through(lines in proptest::collection::vec("[.a]{0,3}(\r\n|\n)", 0..20), size in 1usize..50) {
            let message: String = lines.concat();
            let wire = sent(message.as_bytes(), size);
            let body = wire.strip_suffix(".\r\n").unwrap();
            let mut back = String::new();
            for line in body.split_inclusive('\n') {
                proptest::prop_assert!(!matches!(line, ".\n" | ".\r\n"));
                back += line.strip_prefix('.').unwrap_or(line);
            }
            let whole = if message.is_empty() || message.ends_with("\r\n") { message } else { message + "\r\n" };
            proptest::prop_assert_eq!(back, whole);
        }
    }
}
