//! `BODY[...]`: which bytes of a message a section names (RFC 3501 section 6.4.5).

use crate::message::header;
use crate::message::part::Part;
use crate::protocol::imap::parse::{Partial, Section, Text};
use crate::store::{Entry, Message};
use crate::text::quote;

/// What a section names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No such part: NIL.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes of the file, from and up to.
    Range(u64, u64),
    /// Fields of the header block in that range of the file.
    Fields { from: u64, to: u64, names: Vec<String>, not: bool },
}

/// True when the entry of store.idx is of use for the section.
pub(super) fn needs_entry(section: &Section) -> bool {
    !section.part.is_empty() || matches!(section.text, Text::HeaderFields(_))
}

/// Answers from the cached header lines, when all the fields are among those that are kept.
pub(super) fn find_cached(section: &Section, entry: &Entry<'_>) -> Option<Found> {
    let Text::HeaderFields(names) = &section.text else {
        return None;
    };
    // Without an entry there is not even a part tree.
    if !section.part.is_empty()
        || entry.envelope().is_empty()
        || !names.iter().all(|name| header::is_cached(name.as_bytes()))
    {
        return None;
    }
    Some(Found::Bytes(header::subset(entry.headers(), names, false)))
}

/// Finds the section in the message.
pub(super) fn find(section: &Section, message: &Message, parts: Option<&Part>) -> Found {
    let fields = |from: u64, to: u64| match &section.text {
        Text::HeaderFields(names) => Found::Fields { from, to, names: names.clone(), not: false },
        Text::HeaderFieldsNot(names) => Found::Fields { from, to, names: names.clone(), not: true },
        _ => Found::Range(from, to),
    };
    if section.part.is_empty() {
        return match section.text {
            Text::Whole => Found::Range(0, message.size),
            Text::Text => Found::Range(message.header_size, message.size),
            Text::Mime => Found::Nothing,
            _ => fields(0, message.header_size),
        };
    }
    let Some(part) = parts.and_then(|parts| parts.section(&section.part)) else {
        return Found::Nothing;
    };
    match (&section.text, part.message()) {
        (Text::Whole, _) => Found::Range(part.body.start, part.body.end),
        (Text::Mime, _) => Found::Range(part.header.start, part.header.end),
        (Text::Text, Some(inner)) => Found::Range(inner.body.start, inner.body.end),
        (_, Some(inner)) => fields(inner.header.start, inner.header.end),
        (_, None) => Found::Nothing,
    }
}

/// The part of `bytes` that is wanted.
pub(super) fn cut(bytes: &[u8], partial: Option<Partial>) -> &[u8] {
    let (from, to) = cut_range(0, bytes.len() as u64, partial);
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    bytes.get(index(from)..index(to)).unwrap_or_default()
}

/// The part of a range that is wanted; empty when it begins behind the end.
pub(super) fn cut_range(from: u64, to: u64, partial: Option<Partial>) -> (u64, u64) {
    match partial {
        None => (from, to),
        Some(Partial { offset, length }) => {
            let start = from.saturating_add(offset).min(to);
            (start, start.saturating_add(length).min(to))
        }
    }
}

/// `BODY[1.2.HEADER.FIELDS (SUBJECT)]<0>`: the name of the item in the response.
pub(super) fn label(section: &Section, partial: Option<Partial>) -> String {
    let mut words: Vec<String> = section.part.iter().map(u32::to_string).collect();
    words.extend(match &section.text {
        Text::Whole => None,
        Text::Header => Some("HEADER".to_owned()),
        Text::Text => Some("TEXT".to_owned()),
        Text::Mime => Some("MIME".to_owned()),
        Text::HeaderFields(names) => Some(format!("HEADER.FIELDS ({})", names_list(names))),
        Text::HeaderFieldsNot(names) => Some(format!("HEADER.FIELDS.NOT ({})", names_list(names))),
    });
    let origin = partial.map_or(String::new(), |partial| format!("<{}>", partial.offset));
    format!("BODY[{}]{origin}", words.join("."))
}

fn names_list(names: &[String]) -> String {
    let mut list = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            list.push(b' ');
        }
        quote::astring(&mut list, name.as_bytes());
    }
    String::from_utf8_lossy(&list).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::scan::Scanner;
    use crate::protocol::imap::parse::{Command, Item, parse};

    const MAIL: &[u8] = b"Subject: out\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nX-A: 1\r\n\r\ninner\r\n--b--\r\n";

    fn found(text: &str) -> Option<String> {
        let command = parse(format!("a FETCH 1 BODY[{text}]").as_bytes()).unwrap().command;
        let Command::Fetch { items, .. } = command else { panic!() };
        let Item::Section { section, .. } = &items[0] else { panic!() };
        assert_eq!(label(section, None), format!("BODY[{text}]"));
        let mut scanner = Scanner::new();
        scanner.push(MAIL);
        let scanned = scanner.finish();
        let message = Message { size: scanned.size, header_size: scanned.header_size, ..Message::default() };
        let range = |from: u64, to: u64| MAIL[from as usize..to as usize].to_vec();
        let bytes = match find(section, &message, Some(&scanned.parts)) {
            Found::Nothing => return None,
            Found::Bytes(bytes) => bytes,
            Found::Range(from, to) => range(from, to),
            Found::Fields { from, to, names, not } => header::subset(&range(from, to), &names, not),
        };
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn sections_of_a_message_in_a_message() {
        assert_eq!(found("").unwrap().as_bytes(), MAIL);
        assert_eq!(found("1").unwrap(), "one");
        assert_eq!(found("2.HEADER").unwrap(), "Subject: in\r\nX-A: 1\r\n\r\n");
        assert_eq!(found("2.TEXT").unwrap(), "inner");
        assert_eq!(found("2.1").unwrap(), "inner");
        assert_eq!(found("2.MIME").unwrap(), "Content-Type: message/rfc822\r\n\r\n");
        assert_eq!(found("2.HEADER.FIELDS (x-a)").unwrap(), "X-A: 1\r\n\r\n");
        assert_eq!(found("HEADER.FIELDS.NOT (Content-Type)").unwrap(), "Subject: out\r\n\r\n");
        assert_eq!([found("3"), found("1.HEADER"), found("1.2")], [None, None, None]);
    }

    #[test]
    fn partials() {
        let p = |offset, length| Some(Partial { offset, length });
        assert_eq!(cut(b"abcdef", p(1, 3)), b"bcd");
        assert_eq!(cut(b"abcdef", p(4, 30)), b"ef");
        assert_eq!(cut(b"abcdef", p(6, 1)), b"");
        assert_eq!(cut_range(10, 20, p(u64::MAX, u64::MAX)), (20, 20));
    }
}
