//! ENVELOPE (RFC 3501 section 7.4.2): ten values of the header, unfolded and not decoded.
//!
//! A field that stands several times: the first one counts for date, subject, in-reply-to and message-id; the
//! address fields are joined into one list. White space in subject and display names is collapsed to one blank.

use super::address::{Address, parse_list};
use super::header;
use crate::text::quote;

/// Longest raw value used from one field, octets.
const MAX_VALUE: usize = 64 * 1024;
/// Most addresses shown of one list.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Default)]
struct Values {
    date: Option<Vec<u8>>,
    subject: Option<Vec<u8>>,
    lists: [Vec<Address>; 6],
    in_reply_to: Option<Vec<u8>>,
    message_id: Option<Vec<u8>>,
}

const LISTS: [&[u8]; 6] = [b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"];

/// Renders the ENVELOPE of a header block, parentheses included.
#[must_use]
pub fn render(block: &[u8]) -> Vec<u8> {
    let mut values = Values::default();
    for field in header::fields(block) {
        values.take(&field);
    }
    let mut out = Vec::with_capacity(256);
    out.push(b'(');
    quote::nstring(&mut out, values.date.as_deref());
    out.push(b' ');
    quote::nstring(&mut out, values.subject.as_deref().map(collapse).as_deref());
    let from = &values.lists[0];
    for (i, list) in values.lists.iter().enumerate() {
        out.push(b' ');
        // An absent or empty Sender or Reply-To is the From.
        let list = if list.is_empty() && (i == 1 || i == 2) { from } else { list };
        addresses(&mut out, list);
    }
    out.push(b' ');
    quote::nstring(&mut out, values.in_reply_to.as_deref());
    out.push(b' ');
    quote::nstring(&mut out, values.message_id.as_deref());
    out.push(b')');
    out
}

impl Values {
    fn take(&mut self, field: &header::Field<'_>) {
        let name = field.name.to_ascii_lowercase();
        let raw = field.value.get(..MAX_VALUE).unwrap_or(field.value);
        if let Some(i) = LISTS.iter().position(|l| *l == name) {
            self.lists[i].extend(parse_list(raw));
            self.lists[i].truncate(MAX_ADDRESSES);
            return;
        }
        let slot = match name.as_slice() {
            b"date" => &mut self.date,
            b"subject" => &mut self.subject,
            b"in-reply-to" => &mut self.in_reply_to,
            b"message-id" => &mut self.message_id,
            _ => return,
        };
        if slot.is_none() {
            *slot = Some(header::unfold(raw).into_owned());
        }
    }
}

/// Runs of white space become one blank, none at the ends.
fn collapse(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &b in bytes.trim_ascii() {
        if !b.is_ascii_whitespace() {
            out.push(b);
        } else if out.last() != Some(&b' ') {
            out.push(b' ');
        }
    }
    out
}

fn addresses(out: &mut Vec<u8>, list: &[Address]) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        match address {
            Address::GroupStart(name) => {
                out.extend_from_slice(b"(NIL NIL ");
                quote::string(out, &collapse(name));
                out.extend_from_slice(b" NIL)");
            }
            Address::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
            Address::Mailbox { name, route, mailbox, host } => {
                out.push(b'(');
                quote::nstring(out, name.as_deref().map(collapse).as_deref());
                out.push(b' ');
                quote::nstring(out, route.as_deref());
                out.push(b' ');
                quote::string(out, mailbox);
                out.push(b' ');
                quote::string(out, host);
                out.push(b')');
            }
        }
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3501_example() {
        let block = b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
            From: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev1 WG mtg summary and minutes\r\n\
            To: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n";
        let want = "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
            ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
            ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) \
            ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
            \"<B27397-0100000@cac.washington.edu>\")";
        assert_eq!(String::from_utf8(render(block)).unwrap(), want);
    }

    #[test]
    fn folding_groups_and_eight_bit() {
        let block = "Subject: a\r\n\tb   c\r\nTo: g: a@b;\r\nFrom: Zo\u{eb} <z@x>\r\n";
        let want = "(NIL \"a b c\" (({4}\r\nZo\u{eb} NIL \"z\" \"x\")) (({4}\r\nZo\u{eb} NIL \"z\" \"x\")) \
            (({4}\r\nZo\u{eb} NIL \"z\" \"x\")) ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)";
        assert_eq!(String::from_utf8(render(block.as_bytes())).unwrap(), want);
        assert_eq!(render(b""), b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    }
}
