//! BODY and BODYSTRUCTURE for clients that do not know message/global as a message.
//!
//! In RFC 3501 section 9 (`media-message`) only message/rfc822 has an envelope and a body of its own. message/global has them in RFC 9051, and with
//! UTF8=ACCEPT (RFC 9755); to all others it is `body-type-basic`.

use std::borrow::Cow;

use super::part::{Kind, Part};

/// What stands before the envelope of a message in another: type, subtype, parameters, id, description, encoding, octets.
const FIELDS: usize = 7;

/// True when the text may have a part message/global.
#[must_use]
pub fn may_have_global(text: &[u8]) -> bool {
    text.windows(8).any(|word| word.eq_ignore_ascii_case(b"\"global\""))
}

/// A rendered BODY or BODYSTRUCTURE with each message/global as a part that is not opened. `root`: the parts of the message.
#[must_use]
pub fn without_global<'t>(text: &'t [u8], root: &Part) -> Cow<'t, [u8]> {
    let mut copy = Copying { rest: text, out: Vec::with_capacity(text.len()) };
    match copy.part(root) {
        Some(()) => copy.out.into(),
        None => text.into(),
    }
}

struct Copying<'t> {
    rest: &'t [u8],
    out: Vec<u8>,
}

impl Copying<'_> {
    /// A part, with what is inside. `None`: that is not what stands there.
    fn part(&mut self, part: &Part) -> Option<()> {
        if part.kind == Kind::Leaf {
            return self.copy(1);
        }
        self.copy_byte(b'(')?;
        match &part.kind {
            Kind::Leaf => {}
            Kind::Multipart(parts) => parts.iter().try_for_each(|part| self.part(part))?,
            Kind::Message(inner) => {
                self.copy(FIELDS)?;
                if part.subtype == "global" {
                    // Envelope, body and lines.
                    (0..3).try_for_each(|_| self.next().map(drop))?;
                } else {
                    self.copy(1)?;
                    self.copy_byte(b' ')?;
                    self.part(inner)?;
                }
            }
        }
        while self.rest.first() != Some(&b')') {
            self.copy(1)?;
        }
        self.copy_byte(b')')
    }

    fn copy_byte(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        self.out.push(byte);
        Some(())
    }

    fn copy(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            let next = self.next()?;
            self.out.extend_from_slice(next);
        }
        Some(())
    }
}

impl<'t> Copying<'t> {
    /// The next word, string or list, with the blank before it.
    fn next(&mut self) -> Option<&'t [u8]> {
        let (mut depth, mut at) = (0usize, usize::from(self.rest.first() == Some(&b' ')));
        loop {
            match self.rest.get(at)? {
                b'(' => {
                    depth += 1;
                    at += 1;
                }
                b')' => {
                    depth = depth.checked_sub(1)?;
                    at += 1;
                }
                b' ' => at += 1,
                _ => at += element(self.rest.get(at..)?)?,
            }
            if depth == 0 {
                let (next, rest) = self.rest.split_at_checked(at)?;
                self.rest = rest;
                return Some(next);
            }
        }
    }
}

/// Octets of a quoted string, a literal or a word.
fn element(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => {
            let mut at = 1;
            loop {
                match text.get(at)? {
                    b'"' => return Some(at + 1),
                    b'\\' => at += 2,
                    _ => at += 1,
                }
            }
        }
        b'{' => {
            let end = memchr::memchr(b'}', text)?;
            let length: usize = std::str::from_utf8(text.get(1..end)?).ok()?.parse().ok()?;
            (end + 3).checked_add(length)
        }
        _ => text.iter().position(|byte| matches!(byte, b' ' | b')' | b'(')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::scan::{Scanned, Scanner};
    use proptest::prelude::*;

    fn scanned(message: &str) -> Scanned {
        let mut scanner = Scanner::new();
        scanner.push(message.as_bytes());
        scanner.finish()
    }

    fn shown(message: &str) -> (String, String) {
        let scanned = scanned(message);
        let text = |text: &[u8]| String::from_utf8(without_global(text, &scanned.parts).into_owned()).unwrap();
        (text(&scanned.body), text(&scanned.bodystructure))
    }

    /// A multipart of a message in a message, and a text.
    fn nested(outer: &str, inner: &str) -> String {
        format!(
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/{outer}\nContent-Id: <\"1)(@x>\n\n\
             Subject: gr\u{fc}n )\n (\nContent-Type: message/{inner}\n\nSubject: \"in\nContent-Type: multipart/mixed; boundary=y\n\n\
             --y\n\none\n--y\nContent-Type: text/html\n\ntwo\n--y--\n--x\n\nlast\n--x--\n"
        )
    }

    #[test]
    fn a_global_message_is_a_basic_part() {
        let (body, structure) = shown("Content-Type: message/global\nSubject: a\n\nSubject: b\n\nc\n");
        assert_eq!(body, "(\"message\" \"global\" NIL NIL NIL \"7bit\" 14)");
        assert_eq!(structure, "(\"message\" \"global\" NIL NIL NIL \"7bit\" 14 NIL NIL NIL NIL)");
        let (body, structure) = shown(&nested("Global", "rfc822"));
        let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 0";
        let global = "(\"message\" \"Global\" NIL \"<\\\"1)(@x>\" NIL \"7bit\" ";
        assert!(body.starts_with(&format!("({global}")) && body.ends_with(&format!("){text}) \"mixed\")")), "{body}");
        assert!(!body.contains("html") && !structure.contains("html"), "{structure}");
        // What is beside it and above it stays.
        let (body, _) = shown(&nested("rfc822", "global"));
        assert!(body.contains("gr\u{fc}n") && !body.contains("html") && body.contains(text), "{body}");
        let inside = "(\"message\" \"global\" NIL NIL NIL \"7bit\" ";
        let (_, behind) = body.split_once(inside).unwrap();
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap();
        assert!(behind[digits..].starts_with(") "), "{behind}");
    }

    #[test]
    fn others_stay_as_they_are() {
        for message in
            [nested("rfc822", "rfc822"), "a: b\n\nc".into(), "Content-Type: multipart/digest; boundary=q".into()]
        {
            let scanned = scanned(&message);
            for text in [&scanned.body, &scanned.bodystructure] {
                assert_eq!(without_global(text, &scanned.parts), text.as_slice());
                assert!(!may_have_global(text));
            }
        }
        assert!(may_have_global(&scanned(&nested("rfc822", "GLOBAL")).body));
    }

    proptest! {
        /// Whatever the text, nothing panics; without the parts that belong to it, it stays.
        #[test]
        fn any_bytes_are_data(text: Vec<u8>) {
            let parts = scanned(&nested("global", "global")).parts;
            prop_assert_eq!(&without_global(&text, &parts)[..], &text[..]);
        }
    }
}
