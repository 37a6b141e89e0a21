//! Header fields of a raw block (RFC 5322 section 2.2): iterate, find, unfold, cut subsets.

use std::borrow::Cow;

use memchr::memchr;

/// One header field as it stands in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field with its continuation lines and their line ends.
    pub raw: &'a [u8],
    /// The name without white space; empty for a line that is no field (no colon).
    pub name: &'a [u8],
    /// The octets after the colon, folding included, without the last line end.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Whether the name is `name`, letter case ignored.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value unfolded (line ends removed, white space kept) and trimmed at both ends.
    #[must_use]
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }
}

/// Removes line ends from a folded value and trims blanks at both ends.
///
/// A line end that no white space follows (possible only in damaged input) becomes one blank.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    for (i, &b) in value.iter().enumerate() {
        if b != b'\r' && b != b'\n' {
            out.push(b);
        } else if !matches!(value.get(i + 1), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
            out.push(b' ');
        }
    }
    Cow::Owned(out)
}

/// The fields of a header block, in order; ends at the blank line or the end of the block.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Iterates over the fields of `block`. Lines may end in CRLF or LF.
#[must_use]
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { rest: block }
}

fn line_len(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let block = self.rest;
        let mut end = line_len(block);
        if without_line_end(block.get(..end)?).is_empty() {
            self.rest = &[];
            return None;
        }
        while let Some(b' ' | b'\t') = block.get(end) {
            end += line_len(block.get(end..)?);
        }
        let (raw, rest) = block.split_at_checked(end)?;
        self.rest = rest;
        let line = without_line_end(raw);
        let colon = memchr(b':', line).filter(|_| !matches!(line.first(), Some(b' ' | b'\t')));
        let (name, value) = match colon {
            Some(at) => (line.get(..at)?.trim_ascii_end(), line.get(at + 1..)?),
            None => (&line[..0], line),
        };
        let name =
            if name.iter().all(u8::is_ascii_graphic) || name.iter().any(|b| *b >= 0x80) { name } else { &name[..0] };
        Some(Field { raw, name, value })
    }
}

/// The first field called `name`.
#[must_use]
pub fn find<'a>(block: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(block).find(|field| field.is(name))
}

/// All fields called `name`, in order.
pub fn find_all<'a, 'n>(block: &'a [u8], name: &'n str) -> impl Iterator<Item = Field<'a>> + use<'a, 'n> {
    fields(block).filter(move |field| field.is(name))
}

/// Appends `lines` to `out`, each line ended by CRLF (also the last one, if it had no line end).
pub fn append_crlf(out: &mut Vec<u8>, lines: &[u8]) {
    let mut rest = lines;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(line_len(rest));
        out.extend_from_slice(without_line_end(line));
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
}

/// Room for the few fields that are usually asked for.
const SUBSET_BYTES: usize = 256;

/// HEADER.FIELDS (or, with `not`, HEADER.FIELDS.NOT) of RFC 3501 section 6.4.5: the fields whose name is
/// (is not) among `names`, in their order in the block, CRLF-ended, then the blank line.
#[must_use]
pub fn subset<N: AsRef<[u8]>>(block: &[u8], names: &[N], not: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(if not { block.len() } else { SUBSET_BYTES.min(block.len() + 2) });
    let plain =
        |name: &N| !name.as_ref().is_empty() && name.as_ref().iter().all(|b| b.is_ascii_graphic() && *b != b':');
    if !not && names.iter().all(plain) {
        plain_subset(&mut out, block, names);
        return out;
    }
    for field in fields(block) {
        let listed = names.iter().any(|n| n.as_ref().eq_ignore_ascii_case(field.name));
        if listed != not {
            append_crlf(&mut out, field.raw);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The same for names that fields can have: a line that does not begin with one of them is passed over as a whole. Lists of messages ask for a few
/// fields of many messages.
fn plain_subset<N: AsRef<[u8]>>(out: &mut Vec<u8>, block: &[u8], names: &[N]) {
    let is_named = |line: &[u8], name: &[u8]| {
        line.split_at_checked(name.len()).is_some_and(|(head, behind)| {
            // Of most lines the first octet says that it is not this one.
            head.first().map(u8::to_ascii_lowercase) == name.first().map(u8::to_ascii_lowercase)
                && head.eq_ignore_ascii_case(name)
                && behind.trim_ascii_start().first() == Some(&b':')
        })
    };
    let mut rest = block;
    while !rest.is_empty() {
        let mut end = line_len(rest);
        let line = without_line_end(rest.get(..end).unwrap_or_default());
        if line.is_empty() {
            break;
        }
        while let Some(b' ' | b'\t') = rest.get(end) {
            end += line_len(rest.get(end..).unwrap_or_default());
        }
        let (field, behind) = rest.split_at(end);
        if names.iter().any(|name| is_named(field, name.as_ref())) {
            append_crlf(out, field);
        }
        rest = behind;
    }
    out.extend_from_slice(b"\r\n");
}

/// Header fields that clients ask for in lists of messages; kept beside the index (lower case, sorted).
pub const CACHED_HEADERS: [&str; 50] = [
    "auto-submitted",
    "autocrypt",
    "bcc",
    "cc",
    "content-language",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "disposition-notification-to",
    "errors-to",
    "expires",
    "followup-to",
    "from",
    "importance",
    "in-reply-to",
    "keywords",
    "list-archive",
    "list-help",
    "list-id",
    "list-owner",
    "list-post",
    "list-subscribe",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "mail-followup-to",
    "mailing-list",
    "message-id",
    "mime-version",
    "newsgroups",
    "organization",
    "precedence",
    "priority",
    "references",
    "reply-to",
    "resent-date",
    "resent-from",
    "return-path",
    "return-receipt-to",
    "sender",
    "subject",
    "to",
    "user-agent",
    "x-label",
    "x-mailer",
    "x-mozilla-draft-info",
    "x-priority",
    "x-spam-flag",
    "x-spam-level",
    "x-spam-status",
];

const LONGEST_CACHED: usize = 32;

/// Whether `name` is in [`CACHED_HEADERS`], letter case ignored.
#[must_use]
pub fn is_cached(name: &[u8]) -> bool {
    let mut lower = [0; LONGEST_CACHED];
    let Some(lower) = lower.get_mut(..name.len()) else { return false };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    CACHED_HEADERS.binary_search_by(|known| known.as_bytes().cmp(lower)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: &[u8] =
        b"From: a@b\r\nSubject: one\r\n two\r\n\tthree \r\nbroken line\r\nTO : x@y\nTo:z@y\n\r\nBody: no\r\n";

    #[test]
    fn fields_in_order() {
        let names: Vec<_> = fields(BLOCK).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        assert_eq!(names, ["From", "Subject", "", "TO", "To"]);
        assert_eq!(find(BLOCK, "SUBJECT").unwrap().unfolded().as_ref(), b"one two\tthree");
        assert_eq!(find_all(BLOCK, "to").count(), 2);
        assert!(find(BLOCK, "body").is_none());
    }

    #[test]
    fn subsets_end_with_blank_line() {
        assert_eq!(subset(BLOCK, &["to", "cc"], false), b"TO : x@y\r\nTo:z@y\r\n\r\n");
        assert_eq!(subset(BLOCK, &["subject", "to"], true), b"From: a@b\r\nbroken line\r\n\r\n");
        assert_eq!(subset(b"", &["x"], false), b"\r\n");
        assert_eq!(subset(b"A: 1", &["a"], false), b"A: 1\r\n\r\n");
    }

    proptest! {
        #[test]
        fn the_short_way_gives_the_same(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "to", "To", "x", "-", ":", " ", "\t", "\r\n", "\n", "\r", "\u{e4}", "value", "To:", "X: ", "\u{0}"]), 0..24)) {
            let block = pieces.concat();
            let names: [&[u8]; 3] = [b"to", b"X", b"x-to"];
            let mut slow = Vec::new();
            for field in fields(block.as_bytes()).filter(|field| names.iter().any(|name| name.eq_ignore_ascii_case(field.name))) {
                append_crlf(&mut slow, field.raw);
            }
            slow.extend_from_slice(b"\r\n");
            prop_assert_eq!(subset(block.as_bytes(), &names, false), slow);
        }
    }

    #[test]
    fn cached_table_is_sorted() {
        assert!(CACHED_HEADERS.is_sorted());
        assert!(CACHED_HEADERS.iter().all(|name| name.len() <= LONGEST_CACHED && is_cached(name.as_bytes())));
        assert!(is_cached(b"Message-ID") && is_cached(b"X-Spam-Flag") && !is_cached(b"Received"));
        assert!(!is_cached(&[b'a'; 99]) && !is_cached(b""));
    }

    #[test]
    fn continuation_first_is_no_field() {
        let all: Vec<_> = fields(b" lead: x\r\nA: b\r\n").collect();
        assert_eq!(all[0].name, b"");
        assert_eq!(all[1].name, b"A");
    }
}
